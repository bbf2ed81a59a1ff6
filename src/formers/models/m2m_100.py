"""M2M-100, and NLLB: an mBART with fixed positions that count real tokens, for a hundred languages and more.

Source: Fan et al. 2020 (arXiv 2010.11125), NLLB Team 2022 (arXiv 2207.04672).
Letters: B batch, T columns, N rows, D width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..modeling import PreTrainedModel
from ..ops.layout import Layout
from . import bart, mbart, roberta


class M2M100Config(mbart.MBartConfig):
    """Defaults are those of m2m100_418M, but for vocab_size (128112 there too) and the numbers of layers."""

    model_type = "m2m_100"

    vocab_size: int = 128112
    encoder_layerdrop: float = 0.05
    decoder_layerdrop: float = 0.05
    activation_function: str = "relu"
    attention_dropout: float = 0.1
    scale_embedding: bool = True
    decoder_start_token_id: int | None = 2
    forced_eos_token_id: int | list[int] | None = None


class M2M100SinusoidalPositionalEmbedding(nn.Module):
    """Sines and cosines of positions, which begin after that of padding, where all is zero."""

    def __init__(self, num_positions: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        self.embedding_dim, self.padding_idx = embedding_dim, padding_idx

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values_length: int = 0,
    ) -> Tensor:
        """(B, T, D) of tokens, or of vectors."""
        given = inputs_embeds if input_ids is None else input_ids
        assert given is not None  # one of them is there
        batch, columns = given.shape[:2]
        past = (past_key_values_length,) * batch if past_key_values_length else None
        return self.of_rows(Layout(batch, columns, past=past), {"input_ids": input_ids}, given)

    def of_rows(self, layout: Layout, inputs: dict[str, Any], rows: Tensor) -> Tensor:
        """What is added to the rows of a layout."""
        padding, half = self.padding_idx or 0, self.embedding_dim // 2
        places = roberta.positions(layout, rows, inputs.get("input_ids"), padding)
        rates = torch.exp(torch.arange(half, device=rows.device).float() * -(math.log(10000) / (half - 1)))
        angles = places[..., None].float() * rates
        found = torch.cat([angles.sin(), angles.cos()], dim=-1)
        found = nn.functional.pad(found, (0, self.embedding_dim % 2))
        found = found.masked_fill((places == padding)[..., None], 0.0)
        return found.to(rows.dtype) if rows.is_floating_point() else found


class M2M100PreTrainedModel(bart.BartPreTrainedModel):
    """What M2M-100's models share."""

    config_class = M2M100Config

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return M2M100Model(config)


class M2M100Encoder(M2M100PreTrainedModel, mbart.MBartEncoder):
    POSITIONS, NORM_WORDS = M2M100SinusoidalPositionalEmbedding, False


class M2M100Decoder(M2M100PreTrainedModel, mbart.MBartDecoder):
    POSITIONS, NORM_WORDS = M2M100SinusoidalPositionalEmbedding, False


class M2M100Model(M2M100PreTrainedModel, bart.Both):
    """The model without a head."""

    PARTS = (M2M100Encoder, M2M100Decoder)


class M2M100ForConditionalGeneration(M2M100PreTrainedModel, bart.BartForConditionalGeneration):
    """Writes a text in another language."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        del self.final_logits_bias

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.lm_head(rows)


MODEL_TYPES = {"m2m_100": M2M100Config}
HEADS = {
    "base": M2M100Model,
    "seq2seq-lm": M2M100ForConditionalGeneration,
}
TINY = bart.TINY
