"""WavLM: Wav2Vec2's encoder, whose attention gains by how far frames are apart, as much as the frame that asks lets it.

    scores of a query  +=  gate(query's row) · table[bucket of distance]

Source: Chen et al. 2021 (arXiv 2110.13900), https://github.com/microsoft/unilm; Chi et al. 2021 (arXiv 2106.16138).
Letters: B batch, T frames, N rows, D width, H heads, d width of a head.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import speech, speech_heads
from ..errors import InputError
from ..layers import by_hand
from ..modeling import PreTrainedModel
from ..ops.attention import attention, distances
from ..ops.bias import PairBias, buckets
from ..ops.step import Step
from ..optimize import Block
from . import wav2vec2


class WavLMConfig(speech.SpeechConfig):
    """Defaults are those of microsoft/wavlm-base.

    num_buckets: of distances between frames, half of them for either side; max_bucket_distance: the farthest.
    """

    model_type = "wavlm"

    vocab_size: int | None = 32
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout: float = 0.1
    activation_dropout: float = 0.1
    attention_dropout: float = 0.1
    feat_proj_dropout: float = 0.0
    final_dropout: float = 0.1
    layerdrop: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    feat_extract_norm: str = "group"
    feat_extract_activation: str = "gelu"
    conv_dim: Any = (512, 512, 512, 512, 512, 512, 512)
    conv_stride: Any = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: Any = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    num_buckets: int = 320
    max_bucket_distance: int = 800
    do_stable_layer_norm: bool = False
    apply_spec_augment: bool = True
    mask_time_prob: float = 0.05
    mask_time_length: int = 10
    mask_time_min_masks: int = 2
    mask_feature_prob: float = 0.0
    mask_feature_length: int = 10
    num_codevectors_per_group: int = 320
    num_codevector_groups: int = 2
    contrastive_logits_temperature: float = 0.1
    num_negatives: int = 100
    codevector_dim: int = 256
    proj_codevector_dim: int = 256
    diversity_loss_weight: float = 0.1
    ctc_loss_reduction: str = "mean"
    ctc_zero_infinity: bool = False
    use_weighted_layer_sum: bool = False
    classifier_proj_size: int = 256
    tdnn_dim: Any = (512, 512, 512, 512, 1500)
    tdnn_kernel: Any = (5, 3, 3, 1, 1)
    tdnn_dilation: Any = (1, 2, 3, 1, 1)
    xvector_output_dim: int = 512
    num_ctc_classes: int = 80
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    add_adapter: bool = False
    adapter_kernel_size: int = 3
    adapter_stride: int = 2
    num_adapter_layers: int = 3
    output_hidden_size: int | None = None


class Nearness:
    """What scores gain by distances, before the gates: made once a pass, for each number of frames."""

    def __init__(self, attention: WavLMAttention) -> None:
        self.attention = attention
        self.known: dict[int, Tensor] = {}

    def __call__(self, frames: int) -> Tensor:
        """(H, T, T)."""
        if frames not in self.known:
            self.known[frames] = self.attention.compute_bias(frames, frames)
        return self.known[frames]


class WavLMAttention(wav2vec2.Wav2Vec2Attention):
    """The first layer's has the table of distances, for all."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_buckets, self.max_distance = config.num_buckets, config.max_bucket_distance
        self.gru_rel_pos_const = nn.Parameter(torch.ones(1, self.heads, 1, 1))
        self.gru_rel_pos_linear = nn.Linear(self.head_dim, 8)
        self.rel_attn_embed = nn.Embedding(self.num_buckets, self.heads)

    def compute_bias(self, query_length: int, key_length: int) -> Tensor:
        """(H, Q, K) by distances."""
        apart = distances(query_length, key_length, self.rel_attn_embed.weight.device)
        found: Tensor = self.rel_attn_embed(buckets(apart, self.num_buckets, self.max_distance))
        return found.permute(2, 0, 1)

    def gates(self, rows: Tensor) -> Tensor:
        """Of rows (…, D) how much of it each head takes, (…, H)."""
        each = rows.unflatten(-1, (self.heads, -1))
        a, b = self.gru_rel_pos_linear(each).unflatten(-1, (2, 4)).sum(-1).sigmoid().unbind(-1)
        return a * (b * self.gru_rel_pos_const.flatten() - 1.0) + 2.0

    def nearness(self, step: Step) -> Nearness:
        """What the pass has, or the module's own where it is called by hand."""
        if step.shared is None and not hasattr(self, "rel_attn_embed"):
            raise InputError("This layer has no table of distances: give the position_bias of the first one's.")
        return Nearness(self) if step.shared is None else step.shared

    @by_hand(
        *("hidden_states", "attention_mask", "position_bias", "output_attentions"),
        shared=lambda given: None if given.get("position_bias") is None else _given(given["position_bias"]),
    )
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        query, key, value, last = self.linear()
        context, *weights = self.gated(query(rows), key(rows), value(rows), step, rows, head_mask)
        return last(context), *weights

    def gated(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, rows: Tensor, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The context of queries, keys and values of rows."""
        near = self.nearness(step)

        def make(gates: Tensor) -> Tensor:
            return gates.transpose(1, 2)[..., None] * near(gates.shape[1])  # (texts, H, T, 1) · (H, T, T)

        return attention(
            *(query, key, value, step),
            heads=self.heads,
            pairs=PairBias(make, self.gates(rows), step.layout),
            dropout=self.rate if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


def _given(bias: Tensor) -> Any:
    """A bias (H, T, T), or of each text, (B · H, T, T), as what a pass has."""
    return lambda frames: bias if bias.shape[-1] == frames else None


def _gated(block: Block | None, attention: Any) -> Block | None:
    return None if block is None else replace(block, attend=attention.gated, reads_rows=True)


class WavLMEncoderLayer(wav2vec2.Wav2Vec2EncoderLayer):
    ATTENTION = WavLMAttention

    def block(self) -> Block | None:
        return _gated(super().block(), self.attention)


class WavLMEncoderLayerStableLayerNorm(wav2vec2.Wav2Vec2EncoderLayerStableLayerNorm):
    ATTENTION = WavLMAttention

    def block(self) -> Block | None:
        return _gated(super().block(), self.attention)


def _without_table(layer: Any) -> nn.Module:
    del layer.attention.rel_attn_embed
    return layer


class WavLMEncoder(wav2vec2.Wav2Vec2Encoder):
    LAYER: ClassVar[Any] = WavLMEncoderLayer

    def layer(self, config: Any, number: int) -> nn.Module:
        return super().layer(config, number) if number == 0 else _without_table(super().layer(config, number))

    def shared(self, rows: Tensor, step: Step) -> Any:
        return Nearness(self.layers[0].attention)  # type: ignore[arg-type]


class WavLMEncoderStableLayerNorm(WavLMEncoder):
    PRE = True
    LAYER = WavLMEncoderLayerStableLayerNorm


class WavLMPreTrainedModel(wav2vec2.Wav2Vec2PreTrainedModel):
    """What WavLM's models share."""

    config_class: ClassVar[Any] = WavLMConfig
    base_model_prefix = "wavlm"

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return WavLMModel(config)


class WavLMModel(WavLMPreTrainedModel, wav2vec2.Wav2Vec2Model):
    """The encoder: hidden states (B, T, D), and what the convolutions hear, normalised, (B, T, C)."""

    STACKS = (WavLMEncoder, WavLMEncoderStableLayerNorm)


class WavLMForCTC(WavLMPreTrainedModel, wav2vec2.Wav2Vec2ForCTC):
    """Writes what is said."""


class WavLMForSequenceClassification(WavLMPreTrainedModel, speech_heads.AudioClassification):
    """Labels sounds."""


class WavLMForAudioFrameClassification(WavLMPreTrainedModel, speech_heads.AudioFrameClassification):
    """Labels frames."""


class WavLMForXVector(WavLMPreTrainedModel, speech_heads.XVector):
    """Vectors of voices."""


MODEL_TYPES = {"wavlm": WavLMConfig}
TOKENIZER = None
FEATURE_EXTRACTOR = wav2vec2.FEATURE_EXTRACTOR
HEADS = {
    "base": WavLMModel,
    "ctc": WavLMForCTC,
    "audio-classification": WavLMForSequenceClassification,
    "audio-frame-classification": WavLMForAudioFrameClassification,
    "audio-xvector": WavLMForXVector,
}
TINY = {
    **wav2vec2.TINY,
    "num_buckets": 12,
    "max_bucket_distance": 14,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
}
