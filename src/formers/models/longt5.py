"""LongT5: T5 whose encoder attends to what is near, and maybe to sums of blocks of the whole text.

Source: Guo et al. 2021 (arXiv 2112.07916), https://github.com/google-research/longt5
Letters: B batch, T columns, D width, H heads, G blocks of a text.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import ConfigError, InputError
from ..layers import through
from ..ops.bias import buckets
from ..ops.layout import Layout
from ..ops.local import Side, local_attention
from ..ops.step import Step
from . import t5

KINDS = ("local", "transient-global")


class LongT5Config(t5.T5Config):
    """Defaults are those of google/long-t5-local-base.

    local_radius: how many columns a token sees on either side. encoder_attention_type: "local", or "transient-global",
    whose tokens see the sums of blocks of `global_block_size` tokens too.
    """

    model_type = "longt5"

    local_radius: int = 127
    global_block_size: int = 16
    encoder_attention_type: str = "local"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tie_word_embeddings = True  # what a file says of it is about `scale_decoder_outputs`
        if self.encoder_attention_type not in KINDS:
            raise ConfigError(
                f"encoder_attention_type={self.encoder_attention_type!r} is unknown; it is {' or '.join(KINDS)}."
            )


def blocks_of(real: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The block of each column (B, T), -1 for none; and which blocks there are, (B, G). Tokens after the last whole
    block belong to it. real: bool (B, T) which columns are tokens."""
    columns = torch.arange(real.shape[1], device=real.device)
    ends = (columns % size == size - 1) & real
    last = ends.sum(1, keepdim=True) - 1  # (B, 1)
    blocks = torch.where(real, columns // size, -1).minimum(last)
    there = torch.arange(real.shape[1] // size, device=real.device) <= blocks.amax(1, keepdim=True)
    return blocks, there


class LongT5LocalAttention(t5.T5Attention):
    """Attends to what is near."""

    def __init__(self, config: Any, has_relative_attention_bias: bool = False) -> None:
        super().__init__(config, has_relative_attention_bias)
        self.radius, self.block_size = config.local_radius, config.global_block_size

    def shared(self, layout: Layout, like: Tensor, kept: bool = True) -> tuple[Any, Any]:
        """What all layers read: the bias of distances; and the blocks of columns with what is added to scores of their
        sums, or None. kept: as of `by_distance`."""
        return self.by_distance(kept), None

    def side(self, rows: Tensor, layout: Layout, found: Any) -> Side | None:
        """What is seen beside, of the rows of a layer."""
        return None

    @t5.by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        layout = step.layout
        if head_mask is not None or (layout.mask is not None and layout.mask.dim() == 4):
            raise InputError(f"{type(self).__name__} takes neither a head_mask nor a mask for each query.")
        bias, found = self.shared(layout, rows) if step.shared is None else step.shared
        q, k, v = (self.heads_of(layout.unpack(project(rows))) for project in (self.q, self.k, self.v))
        context, *weights = local_attention(
            *(q, k, v, self.radius),
            real=layout.tokens,
            bias=bias,
            side=self.side(rows, layout, found),
            scale=1.0,
            dropout=self.rate if self.training else 0.0,
            weights=step.output_attentions,
        )
        return self.o(layout.pack(context.transpose(1, 2).flatten(2))), *weights

    def heads_of(self, x: Tensor) -> Tensor:
        """(B, T, H · d) to (B, H, T, d)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class LongT5TransientGlobalAttention(LongT5LocalAttention):
    """Attends to what is near, and to sums of blocks."""

    def __init__(self, config: Any, has_relative_attention_bias: bool = False) -> None:
        super().__init__(config, has_relative_attention_bias)
        if has_relative_attention_bias:
            self.global_relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_heads)
        self.global_input_layer_norm = t5.T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon)

    def shared(self, layout: Layout, like: Tensor, kept: bool = True) -> tuple[Any, Any]:
        real = layout.tokens
        real = torch.ones(1, layout.columns, dtype=torch.bool) if real is None else real
        blocks, there = blocks_of(real.to(like.device).expand(layout.batch, -1), self.block_size)
        behind = blocks[..., None] - torch.arange(there.shape[1], device=like.device)  # (B, T, G)
        index = buckets(behind, self.buckets, self.farthest)
        scores = self.global_relative_attention_bias(index).permute(0, 3, 1, 2)  # (B, H, T, G)
        scores = scores.masked_fill(~there[:, None, None], torch.finfo(scores.dtype).min)
        return self.by_distance(kept), (blocks, scores)

    def side(self, rows: Tensor, layout: Layout, found: Any) -> Side | None:
        blocks, scores = found
        whole, count = layout.unpack(rows), scores.shape[-1]  # (B, T, D), zeros at padding
        at = torch.where(blocks < 0, count, blocks)[..., None].expand(-1, -1, whole.shape[2])
        sums = whole.new_zeros(len(whole), count + 1, whole.shape[2]).scatter_add(1, at, whole)[:, :count]
        sums = self.global_input_layer_norm(sums)
        return Side(self.heads_of(self.k(sums)), self.heads_of(self.v(sums)), scores)


class LongT5LayerLocalSelfAttention(nn.Module):
    ATTENTION: ClassVar[tuple[str, Any]] = ("LocalSelfAttention", LongT5LocalAttention)

    def __init__(self, config: Any, has_relative_attention_bias: bool = False) -> None:
        super().__init__()
        name, made = self.ATTENTION
        self.add_module(name, made(config, has_relative_attention_bias))
        self.layer_norm = t5.T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def attends(self) -> Any:
        """The module that attends."""
        return self.get_submodule(self.ATTENTION[0])

    @t5.by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.attends(), self.layer_norm(rows), step.alone(), head_mask)
        return rows + self.dropout(context), *weights


class LongT5LayerTransientGlobalSelfAttention(LongT5LayerLocalSelfAttention):
    ATTENTION = ("TransientGlobalSelfAttention", LongT5TransientGlobalAttention)


class LongT5Block(t5.T5Block):
    def __init__(self, config: Any, has_relative_attention_bias: bool = False, layer_idx: int = 0) -> None:
        super().__init__(config, has_relative_attention_bias, layer_idx)
        if not config.is_decoder:
            is_local = config.encoder_attention_type == "local"
            made = LongT5LayerLocalSelfAttention if is_local else LongT5LayerTransientGlobalSelfAttention
            self.layer[0] = made(config, has_relative_attention_bias)


class LongT5PreTrainedModel(t5.T5PreTrainedModel):
    """What LongT5's models share."""

    config_class = LongT5Config
    KEPT_FLOAT32 = ()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        table = getattr(module, "global_relative_attention_bias", None)
        if isinstance(table, nn.Embedding):
            nn.init.normal_(table.weight, std=self.config.initializer_factor * self.config.d_model**-0.5)


class LongT5Stack(LongT5PreTrainedModel, t5.T5Stack):
    """The encoder, or the decoder."""

    BLOCK, WORDS = LongT5Block, "embed_tokens"

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Any:
        first: Any = self.block[0]
        if self.config.is_decoder:
            return super().shared(rows, layout, inputs)
        return first.layer[0].attends().shared(layout, rows, kept=not self.recomputes)


LongT5PreTrainedModel.PART = LongT5Stack


class LongT5Model(LongT5PreTrainedModel, t5.T5Model):
    """The model without a head."""


class LongT5ForConditionalGeneration(LongT5PreTrainedModel, t5.T5ForConditionalGeneration):
    """Writes a text from another."""


class LongT5EncoderModel(LongT5PreTrainedModel, t5.T5EncoderModel):
    """The part that reads, alone."""


MODEL_TYPES = {"longt5": LongT5Config}
TOKENIZER = t5.T5Tokenizer
HEADS = {
    "base": LongT5Model,
    "seq2seq-lm": LongT5ForConditionalGeneration,
}
TINY = {**t5.TINY, "local_radius": 2, "global_block_size": 2, "encoder_attention_type": "transient-global"}
