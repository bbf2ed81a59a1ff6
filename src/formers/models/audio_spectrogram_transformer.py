"""AST: ViT on the spectrogram of a sound, in patches that overlap, with DeiT's two tokens of the whole.

Source: Gong et al. 2021 (arXiv 2104.01778); YuanGongND/ast.
Letters: B batch, T frames, M bands, P patches, P + 2 columns, D width, L labels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import heads, vision
from ..config import PretrainedConfig
from ..errors import ConfigError, InputError
from ..modeling import OPTIONS
from ..ops.layout import Layout
from ..outputs import SequenceClassifierOutput
from ..processing.of_sound import FilterBankExtractor
from ..spectrograms import ReadsSpectrograms, checked_sound
from . import vit


class ASTConfig(PretrainedConfig):
    """Defaults are those of MIT/ast-finetuned-audioset-10-10-0.4593.

    frequency_stride, time_stride: how far patches are from each other. max_length, num_mel_bins: T and M.
    """

    model_type = "audio-spectrogram-transformer"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    patch_size: int = 16
    qkv_bias: bool = True
    frequency_stride: int = 10
    time_stride: int = 10
    max_length: int = 1024
    num_mel_bins: int = 128

    def check(self) -> None:
        super().check()
        for name in ("max_length", "num_mel_bins"):
            if getattr(self, name) < self.patch_size:
                raise ConfigError(f"{name}={getattr(self, name)} is less than patch_size={self.patch_size}.")

    @property
    def num_patches(self) -> int:
        """P."""
        down = (self.num_mel_bins - self.patch_size) // self.frequency_stride + 1
        across = (self.max_length - self.patch_size) // self.time_stride + 1
        return down * across


class ASTFeatureExtractor(FilterBankExtractor):
    """Kaldi's filter banks of 1024 frames, by AudioSet's mean and deviation."""


class ASTPatchEmbeddings(nn.Module):
    def __init__(self, config: ASTConfig) -> None:
        super().__init__()
        strides = (config.frequency_stride, config.time_stride)
        self.shape = (config.max_length, config.num_mel_bins)
        self.projection = nn.Conv2d(1, config.hidden_size, kernel_size=config.patch_size, stride=strides)

    def forward(self, input_values: Tensor) -> Tensor:
        """(B, T, M) to (B, P, D)."""
        given = checked_sound(type(self).__name__, "input_values", input_values, ReadsSpectrograms.AXES)
        if tuple(given.shape[1:]) != self.shape:
            raise InputError(
                f"input_values has shape {tuple(given.shape)}; the model reads {self.shape[0]} frames (max_length) of "
                f"{self.shape[1]} bands (num_mel_bins), (batch, {self.shape[0]}, {self.shape[1]}), as its feature "
                "extractor makes them of any sound."
            )
        return vision.project(self.projection, given.transpose(1, 2)[:, None])


class ASTEmbeddings(nn.Module):
    def __init__(self, config: ASTConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.cls_token, self.distillation_token = (nn.Parameter(torch.zeros(1, 1, D)) for _ in range(2))
        self.patch_embeddings = ASTPatchEmbeddings(config)
        self.position_embeddings = nn.Parameter(torch.zeros(1, config.num_patches + 2, D))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_values: Tensor) -> Tensor:
        """(B, T, M) to (B, P + 2, D)."""
        rows = self.patch_embeddings(input_values)
        first = torch.cat([self.cls_token, self.distillation_token], dim=1).to(rows.dtype)
        return self.dropout(torch.cat([first.expand(len(rows), -1, -1), rows], dim=1) + self.position_embeddings)


class ASTPreTrainedModel(ReadsSpectrograms):
    """What AST's models share."""

    config_class = ASTConfig
    base_model_prefix = "audio_spectrogram_transformer"
    main_input_name = "input_values"
    SIGNATURE: ClassVar[tuple[str, ...]] = ("input_values", "head_mask", "labels", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = ("attention_mask",)
    TOKENS = ()
    ZEROS = ("cls_token", "distillation_token", "position_embeddings")

    def shape_of_input(self) -> tuple[int, ...]:
        return self.config.max_length, self.config.num_mel_bins

    def rows_of_input(self, given: Tensor) -> int:
        count: int = self.config.num_patches + 2
        return count


class ASTModel(ASTPreTrainedModel, vision.ImageBody):
    """The encoder: hidden states (B, P + 2, D), and the mean of the first two (B, D)."""

    EMBEDDED: ClassVar[tuple[str, ...]] = ("input_values",)

    def __init__(self, config: ASTConfig) -> None:
        super().__init__(config)
        self.embeddings = ASTEmbeddings(config)
        self.encoder = vit.ViTEncoder(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def vector(self, layout: Layout, rows: Tensor, inputs: dict[str, Any]) -> Tensor:
        return rows[:, :2].mean(dim=1)

    def _attentions(self) -> list[Any]:
        return [layer.attention for layer in self.encoder.layer]


class ASTMLPHead(nn.Module):
    def __init__(self, config: ASTConfig) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dense = nn.Linear(config.hidden_size, config.num_labels) if config.num_labels > 0 else nn.Identity()

    def forward(self, hidden_state: Tensor) -> Tensor:
        return self.dense(self.layernorm(hidden_state))


class ASTForAudioClassification(ASTPreTrainedModel, vision.PooledImageClassification):
    """Label a sound. logits (B, L); labels (B,) ids, (B, L) floats, or numbers to regress on, as for texts."""

    OUTPUT = SequenceClassifierOutput
    KEYWORDS = (heads.ITEMS, "attention_mask")

    def __init__(self, config: ASTConfig) -> None:
        super().__init__(config)
        self.audio_spectrogram_transformer = ASTModel(config)
        self.classifier = ASTMLPHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(rows)


MODEL_TYPES = {"audio-spectrogram-transformer": ASTConfig}
TOKENIZER = None
FEATURE_EXTRACTOR = ASTFeatureExtractor
HEADS = {"base": ASTModel, "audio-classification": ASTForAudioClassification}
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "patch_size": 6,
    "frequency_stride": 5,
    "time_stride": 4,
    "max_length": 24,
    "num_mel_bins": 16,
    "num_labels": 3,
}
