"""mT5: T5 v1.1 for a hundred languages. Source: Xue et al. 2020 (arXiv 2010.11934).

Letters: B batch, T columns, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..modeling import PreTrainedModel
from . import t5


class MT5Config(t5.T5Config):
    """Defaults are those of mt5-small."""

    model_type = "mt5"

    vocab_size: int = 250112
    d_ff: int = 1024
    num_layers: int = 8
    num_heads: int = 6
    feed_forward_proj: str = "gated-gelu"
    decoder_start_token_id: int | None = 0
    tie_word_embeddings: bool = True  # written out, as 4.x takes False where no file says


class MT5PreTrainedModel(t5.T5PreTrainedModel):
    """What mT5's models share."""

    config_class = MT5Config

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return MT5Model(config)

    def make_encoder(self, config: Any) -> PreTrainedModel:
        """The part that reads, alone, under a head."""
        return MT5EncoderModel(config)


class MT5Stack(MT5PreTrainedModel, t5.T5Stack):
    """The encoder, or the decoder."""


MT5PreTrainedModel.PART = MT5Stack


class MT5Model(MT5PreTrainedModel, t5.T5Model):
    """The model without a head."""


class MT5ForConditionalGeneration(MT5PreTrainedModel, t5.T5ForConditionalGeneration):
    """Writes a text from another."""

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.lm_head(rows)


class MT5EncoderModel(MT5PreTrainedModel, t5.T5EncoderModel):
    """The part that reads, alone."""


class MT5ForSequenceClassification(MT5PreTrainedModel, t5.T5ForSequenceClassification):
    """Labels a text where the decoder, which reads it again, has its end."""


class MT5ForTokenClassification(MT5PreTrainedModel, t5.T5ForTokenClassification):
    """Labels the encoder's tokens."""


class MT5ForQuestionAnswering(MT5PreTrainedModel, t5.T5ForQuestionAnswering):
    """Finds the answer's span in the decoder's columns."""


MODEL_TYPES = {"mt5": MT5Config}
TOKENIZER = t5.T5Tokenizer
HEADS = {
    "base": MT5Model,
    "seq2seq-lm": MT5ForConditionalGeneration,
    "text-encoding": MT5EncoderModel,
    "sequence-classification": MT5ForSequenceClassification,
    "token-classification": MT5ForTokenClassification,
    "question-answering": MT5ForQuestionAnswering,
}
TINY = {**t5.TINY}
