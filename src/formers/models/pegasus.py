"""PEGASUS: BART with fixed positions, and norms before its parts and at its end.

Source: Zhang et al. 2019 (arXiv 1912.08777), https://github.com/google-research/pegasus
"""

from __future__ import annotations

from typing import Any

from ..modeling import PreTrainedModel
from . import bart, marian, mbart


class PegasusConfig(mbart.MBartConfig):
    """Defaults are those of the reference."""

    model_type = "pegasus"

    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 1
    decoder_start_token_id: int | None = 0
    forced_eos_token_id: int | list[int] | None = 1


class PegasusPreTrainedModel(marian.MarianPreTrainedModel):
    """What PEGASUS' models share."""

    config_class = PegasusConfig

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return PegasusModel(config)


class PegasusEncoder(PegasusPreTrainedModel, marian.MarianEncoder):
    LAYER, NORM_LAST = mbart.MBartEncoderLayer, True


class PegasusDecoder(PegasusPreTrainedModel, marian.MarianDecoder):
    LAYER, NORM_LAST, VOCABULARY = mbart.MBartDecoderLayer, True, "vocab_size"


class PegasusModel(PegasusPreTrainedModel, bart.Both):
    """The model without a head."""

    PARTS = (PegasusEncoder, PegasusDecoder)


class PegasusForConditionalGeneration(PegasusPreTrainedModel, bart.BartForConditionalGeneration):
    """Writes a summary of a text."""


MODEL_TYPES = {"pegasus": PegasusConfig}
HEADS = {
    "base": PegasusModel,
    "seq2seq-lm": PegasusForConditionalGeneration,
}
TINY = {**bart.TINY, "scale_embedding": True}
