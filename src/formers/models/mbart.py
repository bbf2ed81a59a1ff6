"""mBART and mBART-50: BART with norms before its parts and at its end, for many languages.

Source: Liu et al. 2020 (arXiv 2001.08210), Tang et al. 2020 (arXiv 2008.00401).
Letters: B batch, T columns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..modeling import PreTrainedModel
from . import bart


class MBartConfig(bart.BartConfig):
    """Defaults are those of mbart-large-cc25, but for scale_embedding (True there)."""

    model_type = "mbart"
    LABELS = 2

    decoder_start_token_id: int | None = None


class MBartPreTrainedModel(bart.BartPreTrainedModel):
    """What mBART's models share."""

    config_class = MBartConfig

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return MBartModel(config)

    def shift(self, ids: Tensor) -> Tensor:
        """What the decoder reads to write `ids` (B, T): the last of each text, its language, comes first."""
        if (padding := self.config.pad_token_id) is None:
            raise InputError("pad_token_id is None in the configuration, by which a text's last token is found.")
        ids = ids.masked_fill(ids == -100, padding)
        last = (ids != padding).sum(1, keepdim=True) - 1  # (B, 1)
        return torch.cat([ids.gather(1, last.clamp(min=0)), ids[:, :-1]], dim=1)


class MBartEncoderLayer(bart.BartEncoderLayer):
    PRE = True


class MBartDecoderLayer(bart.BartDecoderLayer):
    PRE = True


class MBartEncoder(MBartPreTrainedModel, bart.BartEncoder):
    LAYER, NORM_LAST = MBartEncoderLayer, True


class MBartDecoder(MBartPreTrainedModel, bart.BartDecoder):
    LAYER, NORM_LAST = MBartDecoderLayer, True


class MBartModel(MBartPreTrainedModel, bart.BartModel):
    """The model without a head."""

    PARTS = (MBartEncoder, MBartDecoder)


class MBartForConditionalGeneration(MBartPreTrainedModel, bart.BartForConditionalGeneration):
    """Writes a text from another."""


class MBartForSequenceClassification(MBartPreTrainedModel, bart.BartForSequenceClassification):
    """Labels a text where the decoder, which reads it again, has its end."""


class MBartForQuestionAnswering(MBartPreTrainedModel, bart.BartForQuestionAnswering):
    """Finds the answer's span in the decoder's columns."""


MODEL_TYPES = {"mbart": MBartConfig}
HEADS = {
    "base": MBartModel,
    "seq2seq-lm": MBartForConditionalGeneration,
    "sequence-classification": MBartForSequenceClassification,
    "question-answering": MBartForQuestionAnswering,
}
TINY = {**bart.TINY, "scale_embedding": True, "decoder_start_token_id": 5}
