"""LED: BART whose encoder attends to what is near, and to tokens that a caller chooses, which see the whole text.

Source: Beltagy et al. 2020 (arXiv 2004.05150), https://github.com/allenai/longformer
Letters: B batch, S columns of the encoder, D width, H heads, d width of a head, r radius of a window, G chosen tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import outputs
from ..config import PretrainedConfig
from ..errors import ConfigError, InputError
from ..layers import by_hand, through
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.layout import Layout
from ..ops.local import Side, full_attention, local_attention
from ..ops.step import Step
from ..outputs import BaseModelOutput
from . import bart


class LEDConfig(PretrainedConfig):
    """Defaults are those of the reference.

    attention_window: how many tokens each one sees, half of them on either side; an even number, or one for each layer.
    """

    model_type = "led"
    attribute_map = {**bart.BartConfig.attribute_map, "attention_probs_dropout_prob": "attention_dropout"}

    vocab_size: int = 50265
    max_encoder_position_embeddings: int = 16384
    max_decoder_position_embeddings: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    use_cache: bool = True
    is_encoder_decoder: bool = True
    activation_function: str = "gelu"
    d_model: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    decoder_start_token_id: int | None = 2
    classifier_dropout: float = 0.0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    attention_window: list[int] | int = 512

    def windows(self) -> list[int]:
        """The window of each layer. Errors: ConfigError for a number that no window has, or not one for each layer."""
        given, depth = self.attention_window, self.encoder_layers
        found = [given] * depth if isinstance(given, int) else given
        fits = isinstance(found, list) and all(type(x) is int and x > 0 and x % 2 == 0 for x in found)
        if not fits or len(found) != depth:
            raise ConfigError(
                f"attention_window={given!r}: it should be an even number above 0, or a list of one for each of "
                f"{depth} layers."
            )
        return found

    def longest_text(self) -> int | None:
        """The longest text that the encoder reads, in tokens."""
        return self.max_encoder_position_embeddings

    def longest_written(self) -> int | None:
        """The longest text that the decoder writes."""
        return self.max_decoder_position_embeddings


class LEDTokenizer(bart.BartTokenizer):
    """BART's. `pad` fills up a `global_attention_mask` too, with -1."""

    @classmethod
    def longest_input(cls, config: dict[str, Any]) -> int | None:
        """The longest text that checkpoints of that configuration read, in tokens."""
        limit = config.get("max_encoder_position_embeddings")
        return limit if isinstance(limit, int) else None

    def _pad_rows(self, rows: list[dict[str, Any]], made: Any, with_mask: bool) -> list[dict[str, Any]]:
        padded = super()._pad_rows(rows, made, with_mask)
        for row in (row for row in padded if "global_attention_mask" in row):
            chosen = row["global_attention_mask"]
            fill = [-1] * (len(row["input_ids"]) - len(chosen))
            row["global_attention_mask"] = [*fill, *chosen] if made.padding_side == "left" else [*chosen, *fill]
        return padded


LEDTokenizerFast = LEDTokenizer


@dataclass
class LEDEncoderBaseModelOutput(BaseModelOutput):
    """`attentions` (B, H, S, G + 2r + 1): each token's to the chosen ones and to its window; `global_attentions`
    (B, H, S, G): those of the chosen ones, in columns, to all, where S is padded to a multiple of the window."""

    global_attentions: tuple[Tensor, ...] | None = None


@dataclass
class LEDSeq2SeqModelOutput(outputs.Seq2SeqModelOutput):
    """BART's, and `encoder_global_attentions`."""

    encoder_global_attentions: tuple[Tensor, ...] | None = None


@dataclass
class LEDSeq2SeqLMOutput(outputs.Seq2SeqLMOutput):
    """BART's, and `encoder_global_attentions`."""

    encoder_global_attentions: tuple[Tensor, ...] | None = None


@dataclass
class LEDSeq2SeqSequenceClassifierOutput(outputs.Seq2SeqSequenceClassifierOutput):
    """BART's, and `encoder_global_attentions`."""

    encoder_global_attentions: tuple[Tensor, ...] | None = None


@dataclass
class LEDSeq2SeqQuestionAnsweringModelOutput(outputs.Seq2SeqQuestionAnsweringModelOutput):
    """BART's, and `encoder_global_attentions`."""

    encoder_global_attentions: tuple[Tensor, ...] | None = None


class LEDLearnedPositionalEmbedding(bart.BartLearnedPositionalEmbedding):
    """A row for each column."""

    OFFSET = 0


@dataclass(frozen=True)
class Chosen:
    """The tokens of a batch that see all: `columns` (B, G) has their columns, `there` (B, G) says which of these count,
    `mask` (B, S) where they are."""

    columns: Tensor
    there: Tensor
    mask: Tensor

    @classmethod
    def of(cls, mask: Tensor) -> Chosen | None:
        """Of a mask (B, S); None where no token is chosen."""
        count = mask.sum(1, keepdim=True)
        most = int(count.max()) if len(mask) else 0
        if not most:
            return None
        columns = mask.int().argsort(dim=1, descending=True, stable=True)[:, :most]
        return cls(columns, torch.arange(most, device=mask.device) < count, mask)

    def pick(self, x: Tensor) -> Tensor:
        """Of (B, S, …) what is in the columns, (B, G, …)."""
        return x[torch.arange(len(x), device=x.device)[:, None], self.columns]


by_hand_encoder = by_hand(
    *("hidden_states", "attention_mask", "layer_head_mask", "is_index_masked", "is_index_global_attn"),
    *("is_global_attn", "output_attentions"),
    shared=lambda given: (
        None if given.get("is_index_global_attn") is None else Chosen.of(given["is_index_global_attn"])
    ),
)


class LEDEncoderSelfAttention(nn.Module):
    """Tokens that are chosen have projections of their own, by which they attend to all."""

    def __init__(self, config: Any, layer_id: int) -> None:
        super().__init__()
        D, self.num_heads = config.d_model, config.encoder_attention_heads
        if D % self.num_heads:
            raise ConfigError(f"d_model={D} is no multiple of {self.num_heads} heads.")
        for name in ("query", "key", "value", "query_global", "key_global", "value_global"):
            self.add_module(name, nn.Linear(D, D))
        self.dropout, self.radius = config.attention_dropout, config.windows()[layer_id] // 2

    @by_hand_encoder
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        layout, chosen = step.layout, step.shared
        if head_mask is not None or (layout.mask is not None and layout.mask.dim() == 4):
            raise InputError(f"{type(self).__name__} takes neither a head_mask nor a mask for each query.")
        q, k, v = (self.columns(name, rows, layout) for name in ("query", "key", "value"))
        real, side = layout.tokens, None
        if chosen is not None:
            far = torch.finfo(q.dtype).min
            scores = q.new_zeros(()).where(chosen.there, far)[:, None, None]  # (B, 1, 1, G)
            far_k, far_v = (chosen.pick(x.transpose(1, 2)).transpose(1, 2) for x in (k, v))
            side = Side(far_k, far_v, scores)
            real = ~chosen.mask if real is None else real & ~chosen.mask  # seen once, and not in windows again
        asked, rate = step.output_attentions, self.dropout if self.training else 0.0
        context, *weights = local_attention(q, k, v, self.radius, real=real, side=side, dropout=rate, weights=asked)
        context, shown = context.transpose(1, 2), list[Tensor]()  # (B, S, H, d)
        if asked:
            shown = [self.in_window(weights[0], layout, chosen)]
        if chosen is not None:
            found, *weights = self.of_chosen(rows, layout, chosen, rate, asked)
            text, slot = chosen.there.nonzero(as_tuple=True)
            where = (text, chosen.columns[text, slot])
            context = context.index_put(where, found.transpose(1, 2)[text, slot])
            shown += [x.masked_fill(~chosen.there[:, None, :, None], 0.0).transpose(2, 3) for x in weights]
        return layout.pack(context.flatten(2)), *shown

    def columns(self, name: str, rows: Tensor, layout: Layout) -> Tensor:
        """One projection of the rows, (B, H, S, d)."""
        whole = layout.unpack(self.get_submodule(name)(rows))
        return whole.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def of_chosen(self, rows: Tensor, layout: Layout, chosen: Chosen, rate: float, asked: bool) -> tuple[Tensor, ...]:
        """What the chosen tokens see of all, (B, H, G, d)."""
        query = self.get_submodule("query_global")(chosen.pick(layout.unpack(rows)))
        query = query.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key, value = (self.columns(name, rows, layout) for name in ("key_global", "value_global"))
        real = layout.tokens
        scores = query.new_zeros(1, 1, 1, 1)
        if real is not None:
            scores = scores.where(real[:, None, None], torch.finfo(query.dtype).min)
        return full_attention(query, key, value, scores, rate, asked)

    def in_window(self, weights: Tensor, layout: Layout, chosen: Chosen | None) -> Tensor:
        """Weights of blocks (B, n, H, L, 3L + G) as (B, H, S, G + 2r + 1): those of chosen tokens, then of the window;
        zeros at padding, and where a token is chosen itself."""
        L, S = weights.shape[3], layout.columns
        at = torch.arange(L, device=weights.device)[:, None] + torch.arange(
            1, 2 * self.radius + 2, device=weights.device
        )
        near = weights.gather(-1, at.expand(*weights.shape[:3], -1, -1))
        found = torch.cat([weights[..., 3 * L :], near], dim=-1).transpose(1, 2).flatten(2, 3)[:, :, :S]
        if layout.tokens is not None:
            found = found.masked_fill(~layout.tokens[:, None, :, None], 0.0)
        return found if chosen is None else found.masked_fill(chosen.mask[:, None, :, None], 0.0)


class LEDEncoderAttention(nn.Module):
    def __init__(self, config: Any, layer_id: int) -> None:
        super().__init__()
        self.longformer_self_attn = LEDEncoderSelfAttention(config, layer_id)
        self.output = nn.Linear(config.d_model, config.d_model)

    @by_hand_encoder
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.longformer_self_attn, rows, step, head_mask)
        return self.output(context), *weights


class LEDEncoderLayer(bart.BartEncoderLayer):
    def __init__(self, config: Any, layer_idx: int = 0) -> None:
        super().__init__(config)
        self.self_attn = LEDEncoderAttention(config, layer_idx)

    forward = by_hand_encoder(bart.BartEncoderLayer.forward.__wrapped__)


class LEDDecoderLayer(bart.BartDecoderLayer):
    pass


GLOBAL = "global_attention_mask"


shift_tokens_right = bart.shift_tokens_right


class LEDPreTrainedModel(bart.BartPreTrainedModel):
    """What LED's models share."""

    config_class: ClassVar[Any] = LEDConfig
    base_model_prefix = "led"
    READ: ClassVar[tuple[str, ...]] = ("input_ids", "inputs_embeds", "head_mask", GLOBAL)
    OF_ENCODER: ClassVar[tuple[str, ...]] = ("hidden_states", "attentions", "global_attentions")
    ENCODED: ClassVar[Any] = LEDEncoderBaseModelOutput
    WHOLE: ClassVar[Any] = LEDSeq2SeqModelOutput

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return LEDModel(config)


class LEDEncoder(LEDPreTrainedModel, bart.BartEncoder):
    """The part that reads. global_attention_mask: (B, S), 1 at tokens that see all, and that all see."""

    SIGNATURE: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", GLOBAL, "inputs_embeds", *OPTIONS)
    OUTPUT = LEDEncoderBaseModelOutput
    WORDS, TABLE, LAYER = "embed_tokens", nn.Embedding, LEDEncoderLayer
    POSITIONS, LENGTH = LEDLearnedPositionalEmbedding, "max_encoder_position_embeddings"

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Chosen | None:
        given = inputs.get(GLOBAL)
        if given is None:
            return None
        shape = (layout.batch, layout.columns)
        if not isinstance(given, Tensor) or tuple(given.shape) != shape:
            found = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise InputError(f"{GLOBAL} is {found}; it should be {shape}: 1 at tokens that see all, 0 at others.")
        mask = given.to(rows.device) > 0
        return Chosen.of(mask if layout.tokens is None else mask & layout.tokens)

    def stack(self, rows: Tensor, step: Step, head_masks: Sequence[Tensor | None]) -> Any:
        fields: dict[str, Any] = dict(super().stack(rows, step, head_masks))
        if step.output_attentions and step.shared is not None:
            both, tail = fields["attentions"], -step.layout.columns % max(self.config.windows())
            fields["attentions"] = both[::2]  # two of each layer
            fields["global_attentions"] = tuple(F.pad(x, (0, 0, 0, tail)) for x in both[1::2])
        return LEDEncoderBaseModelOutput(**fields)


class LEDDecoder(LEDPreTrainedModel, bart.BartDecoder):
    """The part that writes."""

    SIGNATURE, KEYWORDS = bart.BartDecoder.SIGNATURE, bart.BartDecoder.KEYWORDS
    WORDS, TABLE, LAYER = "embed_tokens", nn.Embedding, LEDDecoderLayer
    POSITIONS, LENGTH = LEDLearnedPositionalEmbedding, "max_decoder_position_embeddings"


def _with_mask(names: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments of BART's, with that for chosen tokens in its place."""
    at = names.index("encoder_outputs") + 1
    return (*names[:at], GLOBAL, *names[at:])


class LEDModel(LEDPreTrainedModel, bart.BartModel):
    """The model without a head."""

    SIGNATURE = _with_mask(bart.BartModel.SIGNATURE)
    PARTS = (LEDEncoder, LEDDecoder)


class LEDForConditionalGeneration(LEDPreTrainedModel, bart.BartForConditionalGeneration):
    """Writes a text from another."""

    SIGNATURE = _with_mask(bart.BartForConditionalGeneration.SIGNATURE)
    OUTPUT = LEDSeq2SeqLMOutput
    TIED = {"lm_head.weight": "led.shared.weight"}


class LEDForSequenceClassification(LEDPreTrainedModel, bart.BartForSequenceClassification):
    """Labels a text where the decoder, which reads it again, has its end."""

    SIGNATURE = _with_mask(bart.BartForSequenceClassification.SIGNATURE)
    OUTPUT = LEDSeq2SeqSequenceClassifierOutput


class LEDForQuestionAnswering(LEDPreTrainedModel, bart.BartForQuestionAnswering):
    """Finds the answer's span in the decoder's columns."""

    SIGNATURE = _with_mask(bart.BartForQuestionAnswering.SIGNATURE)
    OUTPUT = LEDSeq2SeqQuestionAnsweringModelOutput


MODEL_TYPES = {"led": LEDConfig}
TOKENIZER = LEDTokenizer
HEADS = {
    "base": LEDModel,
    "seq2seq-lm": LEDForConditionalGeneration,
    "question-answering": LEDForQuestionAnswering,
}
TINY = {
    **{name: value for name, value in bart.TINY.items() if name != "max_position_embeddings"},
    "max_encoder_position_embeddings": 40,
    "max_decoder_position_embeddings": 40,
    "attention_window": [4, 8],
}
