"""Moonshine: writes what is said, of waves as they are; an encoder and a decoder whose positions are angles.

    wave ─ three convolutions, 384 samples a column ─ encoder ─▶ rows ─▶ decoder ─▶ logits
Source: Jeffries et al. 2024 (arXiv 2410.15608); usefulsensors/moonshine.
Letters: B batch, N samples, S columns of the encoder, T of the decoder, D width, F of the feed-forward, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import decoders, outputs, seq2seq, speech
from ..errors import InputError
from ..layers import ColumnConv, by_hand, keeps_padding, through
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.checks import read_mask
from ..ops.layout import Layout
from ..ops.rope import rotate
from ..ops.step import Step
from ..optimize import Block
from ..processing.of_sound import Wav2Vec2FeatureExtractor
from ..processing.spoken import Wav2Vec2Processor
from ..spectrograms import checked_sound
from ..tokenization import PreTrainedTokenizer

CONVOLUTIONS = ((127, 64), (7, 3), (3, 2))  # samples, or columns, that each reads, and how far it goes on
STRIDE = 384  # samples a column


class MoonshineConfig(decoders.RopeConfig):
    """Defaults are those of UsefulSensors/moonshine-tiny. num_attention_heads and the like are the decoder's."""

    model_type = "moonshine"
    PART = 0.9
    attribute_map: ClassVar[dict[str, str]] = {
        "num_key_value_heads": "decoder_num_key_value_heads",
        "num_attention_heads": "decoder_num_attention_heads",
        "num_hidden_layers": "decoder_num_hidden_layers",
        "hidden_act": "decoder_hidden_act",
    }

    vocab_size: int = 32768
    hidden_size: int = 288
    intermediate_size: int = 1152
    encoder_num_hidden_layers: int = 6
    decoder_num_hidden_layers: int = 6
    encoder_num_attention_heads: int = 8
    decoder_num_attention_heads: int = 8
    encoder_num_key_value_heads: int | None = None
    decoder_num_key_value_heads: int | None = None
    pad_head_dim_to_multiple_of: int | None = None
    encoder_hidden_act: str = "gelu"
    decoder_hidden_act: str = "silu"
    max_position_embeddings: int = 512
    initializer_range: float = 0.02
    decoder_start_token_id: int | None = 1
    use_cache: bool = True
    rope_parameters: dict[str, Any] | None = None
    is_encoder_decoder: bool = True
    attention_bias: bool = False
    attention_dropout: float = 0.0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True

    def complete(self) -> None:
        for side in ("encoder", "decoder"):
            if getattr(self, f"{side}_num_key_value_heads") is None:
                setattr(self, f"{side}_num_key_value_heads", getattr(self, f"{side}_num_attention_heads"))

    def of_encoder(self) -> MoonshineConfig:
        """That of a decoder whose layers are as the encoder's."""
        found = copy(self)
        for key in self.attribute_map.values():
            setattr(found, key, getattr(self, key.replace("decoder", "encoder")))
        return found


@dataclass
class MoonshineEncoderModelOutput(outputs.BaseModelOutput):
    """`attention_mask` (B, S): which columns are of a sound, where padding was told of."""

    attention_mask: Tensor | None = None


def columns_of(samples: int) -> int:
    """S, of a wave of so many samples; 0 for one that is too short."""
    for reads, stride in CONVOLUTIONS:
        samples = max(0, (samples - reads) // stride + 1)
    return samples


def of_columns(mask: Tensor, batch: int, samples: int) -> Tensor:
    """(B, S) of columns, from a mask (B, N) of samples."""
    return read_mask(mask, batch, samples)[:, ::STRIDE][:, : columns_of(samples)].int()


class GroupNorm(nn.GroupNorm):
    """Of (B, D, S): what convolutions give is not packed yet."""


def _neighbours(turns: Any) -> Any:
    """Cosines and sines for numbers that turn with their neighbours, from those for halves."""
    return None if turns is None else tuple(x[..., : x.shape[-1] // 2].repeat_interleave(2, -1) for x in turns)


def _turns(given: Any) -> Any:
    return _neighbours(decoders.given_turns(given))


by_hand_attention = by_hand(
    *("hidden_states", "position_embeddings", "attention_mask", "past_key_values", "output_attentions"), shared=_turns
)
_LAYER = ("position_ids", "past_key_values", "use_cache", "position_embeddings", "output_attentions")
by_hand_layer = by_hand("hidden_states", "attention_mask", *_LAYER, shared=_turns)
by_hand_decoder_layer = by_hand(
    *("hidden_states", "attention_mask", "encoder_hidden_states", "encoder_attention_mask", *_LAYER),
    shared=_turns,
    causal=True,
)


class MoonshineAttention(decoders.RotaryAttention):
    OUT_BIAS = False
    o_proj: Any

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        if step.memory is None:
            query, key, value = self.project(rows)
            context, *weights = self.attend(query, key, value, step, head_mask)
        else:
            (key, value), memory = step.crossed(lambda x: (self.k_proj(x), self.v_proj(x)), self.key_heads)
            context, *weights = attention(
                *(self.q_proj(rows), key, value, step),
                heads=self.heads,
                key_heads=self.key_heads,
                memory=memory,
                scale=self.scaling,
                dropout=self.attention_dropout if self.training else 0.0,
                kernel=self.kernel,
            )
        return self.o_proj(context), *weights

    def turned(self, query: Tensor, key: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        turns = self.turns(step)
        return rotate(query, *turns, self.heads, pairs=True), rotate(key, *turns, self.key_heads, pairs=True)


class MoonshineEncoderMLP(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.activation_fn = activation(config.hidden_act)
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.fc2(self.activation_fn(self.fc1(hidden_states)))  # rows of D -> F -> D


class MoonshineDecoderMLP(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.activation_fn = activation(config.hidden_act)
        self.fc1 = nn.Linear(config.hidden_size, 2 * config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        up, gate = self.fc1(hidden_states).chunk(2, dim=-1)  # rows of D -> 2F -> F -> D
        return self.fc2(self.activation_fn(gate) * up)


class MoonshineEncoderLayer(nn.Module):
    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__()
        D = config.hidden_size
        self.self_attn, self.mlp = MoonshineAttention(config, layer_idx), MoonshineEncoderMLP(config)
        self.input_layernorm, self.post_attention_layernorm = (nn.LayerNorm(D, bias=False) for _ in range(2))

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.self_attn, self.input_layernorm(rows), step, head_mask)
        rows = rows + context
        return rows + self.mlp(self.post_attention_layernorm(rows)), *weights

    def block(self) -> Block:
        inner, up = self.self_attn, self.mlp
        return Block(
            *(inner.heads, (inner.q_proj, inner.k_proj, inner.v_proj), inner.o_proj, self.input_layernorm),
            *(up.fc1, up.activation_fn, up.fc2, self.post_attention_layernorm),
            attend=inner.attend,
            pre=True,
        )


class MoonshineDecoderLayer(nn.Module):
    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__()
        D = config.hidden_size
        self.self_attn, self.encoder_attn = (MoonshineAttention(config, layer_idx) for _ in range(2))
        self.mlp = MoonshineDecoderMLP(config)
        self.input_layernorm, self.post_attention_layernorm = (nn.LayerNorm(D, bias=False) for _ in range(2))
        self.final_layernorm = nn.LayerNorm(D, bias=False)

    @by_hand_decoder_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.self_attn, self.input_layernorm(rows), step.alone(), head_mask)
        rows = rows + context
        if step.memory is not None:
            across, *more = through(self.encoder_attn, self.post_attention_layernorm(rows), step)
            rows, weights = rows + across, [*weights, *more]
        return rows + self.mlp(self.final_layernorm(rows)), *weights


class MoonshinePreTrainedModel(PreTrainedModel):
    """What Moonshine's models share."""

    config_class = MoonshineConfig
    base_model_prefix = "model"
    main_input_name = "input_values"
    BUFFERS = ("rotary_emb.inv_freq",)

    def _get_feat_extract_output_lengths(self, input_lengths: Any) -> Any:  # which people call
        """S, of a wave of so many samples, or of each of several."""
        if not isinstance(input_lengths, Tensor):
            return columns_of(int(input_lengths))
        return torch.tensor([columns_of(n) for n in input_lengths.flatten().tolist()]).view(input_lengths.shape)

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        begun = torch.ones(2, 3, dtype=torch.long)
        return {"input_values": speech.sounds((20 * STRIDE,) * 2), "decoder_input_ids": begun}

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        """Sounds, and texts of random tokens, which is what the decoder makes of them too."""
        ids = torch.randint(self.config.vocab_size, (4, 12), generator=torch.Generator().manual_seed(0))
        made = {"input_values": speech.sounds((120 * STRIDE,) * 4).to(self.dtype), "decoder_input_ids": ids}
        return [{name: x.to(self.device) for name, x in made.items() if name in self.inputs()}]

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv1d):
            nn.init.normal_(module.weight, std=self._std())
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Part(MoonshinePreTrainedModel, decoders.DecoderBody):
    """The encoder, or the decoder: hidden states (B, S or T, D)."""

    LAYERS = "layers"

    def __init__(self, config: MoonshineConfig) -> None:
        super().__init__(config)
        self.gradient_checkpointing = False

    def add_layers(self, kind: Any, own: MoonshineConfig) -> None:
        """Make the layers, of the configuration of that part."""
        self.layers = nn.ModuleList(kind(own, i) for i in range(own.num_hidden_layers))
        self.rotary_emb = decoders.RotaryEmbedding(own)

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Any:
        """The turns of every row."""
        return _neighbours(self.rotary_emb(rows, self.positions(layout, inputs, rows.device)))


class MoonshineEncoder(Part):
    """Waves (B, N) to hidden states (B, S, D)."""

    OUTPUT = MoonshineEncoderModelOutput
    SIGNATURE = ("input_values", "attention_mask", *OPTIONS)
    KEYWORDS = ()
    EMBEDDED = ("input_values",)
    WORDS = "conv1"
    LAST = "layer_norm"

    def __init__(self, config: MoonshineConfig) -> None:
        super().__init__(config)
        D, ((first, far), (second, on), (third, by)) = config.hidden_size, CONVOLUTIONS
        self.conv1 = ColumnConv(1, D, kernel_size=first, stride=far, bias=False)
        self.conv2 = ColumnConv(D, 2 * D, kernel_size=second, stride=on)
        self.conv3 = ColumnConv(2 * D, D, kernel_size=third, stride=by)
        self.groupnorm = GroupNorm(num_groups=1, num_channels=D, eps=1e-5)
        self.add_layers(MoonshineEncoderLayer, config.of_encoder())
        self.layer_norm = nn.LayerNorm(D, bias=False)
        self.post_init()

    def causal(self) -> bool:
        return False

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Encode waves: input_values (B, N), attention_mask (B, N), 1 where the sound is."""
        found = super().compute({**inputs, "return_dict": True})
        values, mask = inputs["input_values"], inputs.get("attention_mask")
        if mask is not None:
            found["attention_mask"] = of_columns(mask, *values.shape)
        return self.returned(found, inputs.get("return_dict"))

    def layout_of_inputs(self, inputs: dict[str, Any], *_: Any, **kwargs: Any) -> Layout:
        given = checked_sound(type(self).__name__, "input_values", inputs.get("input_values"), ("batch", "samples"))
        (B, N), mask = given.shape, inputs.get("attention_mask")
        if not (S := columns_of(N)):
            raise InputError(f"input_values has {N} samples a sound; the shortest that can be read has 895, 0.06 s.")
        if mask is None:
            return Layout(B, S)
        real = of_columns(mask, B, N).bool()
        keep = bool(kwargs.get("keep_padding")) or keeps_padding(self.modules(), self)
        return Layout.of(real, B, S, keep, reads_first=False, device=given.device)

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        x = inputs["input_values"].to(self.conv1.weight.dtype)[:, None]
        x = self.groupnorm(torch.tanh(self.conv1(x)))
        x = F.gelu(self.conv3(F.gelu(self.conv2(x))))  # (B, D, S)
        return layout.pack(x.transpose(1, 2))


class MoonshineDecoder(Part):
    """Tokens (B, T), and the encoder's rows, to hidden states (B, T, D)."""

    OUTPUT = outputs.BaseModelOutputWithPastAndCrossAttentions
    SIGNATURE = (
        *("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "use_cache"),
        *("encoder_hidden_states", "encoder_attention_mask", *OPTIONS),
    )
    main_input_name = "input_ids"
    WORDS = "embed_tokens"
    LAST = "norm"

    def __init__(self, config: MoonshineConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.add_layers(MoonshineDecoderLayer, config)
        self.norm = nn.LayerNorm(config.hidden_size, bias=False)
        self.post_init()


class _Whole(MoonshinePreTrainedModel, seq2seq.Seq2SeqPreTrainedModel):
    """What models with an encoder and a decoder share."""

    READ = ("input_values",)
    ENCODED = MoonshineEncoderModelOutput
    WORDS = "decoder.embed_tokens"
    WRITTEN: ClassVar[dict[str, str]] = {
        **{name: own for name, own in seq2seq.Seq2SeqPreTrainedModel.WRITTEN.items() if not name.endswith("head_mask")},
        "decoder_position_ids": "position_ids",
    }
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_values", "attention_mask", "decoder_input_ids", "decoder_attention_mask", "encoder_outputs"),
        *("past_key_values", "decoder_inputs_embeds", "decoder_position_ids", "use_cache", "labels", *OPTIONS),
    )
    KEYWORDS: ClassVar[tuple[str, ...]] = ("cache_position",)

    def encoded(self, inputs: dict[str, Any], asked: dict[str, Any]) -> tuple[Any, tuple[Tensor, Layout]]:
        """As for others; the mask of samples becomes one of columns."""
        given, mask = inputs.get("encoder_outputs"), inputs.get("attention_mask")
        if given is None:
            found, memory = super().encoded(inputs, asked)
            if mask is not None:
                found["attention_mask"] = of_columns(mask, *inputs["input_values"].shape)
            return found, memory
        own = given.get("attention_mask") if isinstance(given, outputs.ModelOutput) else None
        if own is None and mask is not None:
            own = of_columns(mask, *mask.shape)
        return super().encoded({**inputs, "attention_mask": own}, asked)


class MoonshineModel(_Whole, seq2seq.Seq2SeqModel):
    """The model without a head: the decoder's hidden states (B, T, D)."""

    SIGNATURE: ClassVar[tuple[str, ...]] = tuple(name for name in _Whole.SIGNATURE if name != "labels")

    def __init__(self, config: MoonshineConfig) -> None:
        super().__init__(config)
        self.encoder, self.decoder = MoonshineEncoder(config), MoonshineDecoder(config)
        self.post_init()

    def freeze_encoder(self) -> None:
        """Let training leave the encoder as it is."""
        self.encoder.requires_grad_(False)


class MoonshineForConditionalGeneration(_Whole, seq2seq.Seq2SeqLM):
    """Writes what is said. labels (B, T): the tokens to be written, -100 to leave one out; logits (B, T, V)."""

    TIED = {"proj_out.weight": "model.decoder.embed_tokens.weight"}
    KEYWORDS = tuple(name for name in seq2seq.Seq2SeqLM.KEYWORDS if not name.endswith("head_mask"))

    def __init__(self, config: MoonshineConfig) -> None:
        super().__init__(config)
        self.model = MoonshineModel(config)
        self.proj_out = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.proj_out(rows)


MODEL_TYPES = {"moonshine": MoonshineConfig}
TOKENIZER = PreTrainedTokenizer
FEATURE_EXTRACTOR = Wav2Vec2FeatureExtractor
PROCESSOR = Wav2Vec2Processor
HEADS = {"base": MoonshineModel, "speech-seq2seq": MoonshineForConditionalGeneration}
TINY = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 37,
    "encoder_num_hidden_layers": 3,
    "decoder_num_hidden_layers": 2,
    "encoder_num_attention_heads": 4,
    "decoder_num_attention_heads": 4,
    "pad_token_id": 0,
}
