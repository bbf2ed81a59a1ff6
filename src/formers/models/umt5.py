"""UMT5: mT5 with a bias of positions in every layer. Source: Chung et al. 2023 (arXiv 2304.09151).

Letters: B batch, T columns, D width, V vocabulary.
"""

from __future__ import annotations

from . import mt5, t5


class UMT5Config(mt5.MT5Config):
    """Defaults are those of umt5-small."""

    model_type = "umt5"


class UMT5PreTrainedModel(t5.T5PreTrainedModel):
    """What UMT5's models share."""

    config_class = UMT5Config


class UMT5Stack(UMT5PreTrainedModel, t5.T5Stack):
    """The encoder, or the decoder."""

    BIASED = True


UMT5PreTrainedModel.PART = UMT5Stack


class UMT5Model(UMT5PreTrainedModel, t5.T5Model):
    """The model without a head."""


class UMT5ForConditionalGeneration(UMT5PreTrainedModel, t5.T5ForConditionalGeneration):
    """Writes a text from another."""


MODEL_TYPES = {"umt5": UMT5Config}
TOKENIZER = t5.T5Tokenizer
HEADS = {
    "base": UMT5Model,
    "seq2seq-lm": UMT5ForConditionalGeneration,
}
TINY = {**t5.TINY}
