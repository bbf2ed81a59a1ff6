"""UMT5: mT5 with a bias of positions in every layer. Source: Chung et al. 2023 (arXiv 2304.09151).

Letters: B batch, T columns, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

from ..modeling import PreTrainedModel
from . import mt5, t5


class UMT5Config(mt5.MT5Config):
    """Defaults are those of umt5-small."""

    model_type = "umt5"


class UMT5PreTrainedModel(t5.T5PreTrainedModel):
    """What UMT5's models share."""

    config_class = UMT5Config

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return UMT5Model(config)

    def make_encoder(self, config: Any) -> PreTrainedModel:
        """The part that reads, alone, under a head."""
        return UMT5EncoderModel(config)


class UMT5Stack(UMT5PreTrainedModel, t5.T5Stack):
    """The encoder, or the decoder."""

    BIASED = True


UMT5PreTrainedModel.PART = UMT5Stack


class UMT5Model(UMT5PreTrainedModel, t5.T5Model):
    """The model without a head."""


class UMT5ForConditionalGeneration(UMT5PreTrainedModel, t5.T5ForConditionalGeneration):
    """Writes a text from another."""


class UMT5EncoderModel(UMT5PreTrainedModel, t5.T5EncoderModel):
    """The part that reads, alone."""


class UMT5ForSequenceClassification(UMT5PreTrainedModel, t5.T5ForSequenceClassification):
    """Labels a text where the decoder, which reads it again, has its end."""


class UMT5ForTokenClassification(UMT5PreTrainedModel, t5.T5ForTokenClassification):
    """Labels the encoder's tokens."""


class UMT5ForQuestionAnswering(UMT5PreTrainedModel, t5.T5ForQuestionAnswering):
    """Finds the answer's span in the decoder's columns."""


MODEL_TYPES = {"umt5": UMT5Config}
TOKENIZER = t5.T5Tokenizer
HEADS = {
    "base": UMT5Model,
    "seq2seq-lm": UMT5ForConditionalGeneration,
    "text-encoding": UMT5EncoderModel,
    "sequence-classification": UMT5ForSequenceClassification,
    "token-classification": UMT5ForTokenClassification,
    "question-answering": UMT5ForQuestionAnswering,
}
TINY = {**t5.TINY}
