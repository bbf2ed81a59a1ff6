"""HuBERT: Wav2Vec2's encoder, which was taught to name clusters of sounds.

Source: Hsu et al. 2021 (arXiv 2106.07447), https://github.com/facebookresearch/fairseq
Letters: B batch, T frames, C channels of the convolutions, D width.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from .. import speech, speech_heads
from ..layers import ColumnConv
from ..modeling import PreTrainedModel
from ..outputs import BaseModelOutput
from . import wav2vec2


class HubertConfig(speech.SpeechConfig):
    """Defaults are those of facebook/hubert-base-ls960.

    feat_proj_layer_norm: whether frames are normalised before their projection. conv_pos_batch_norm: whether positions
    are made from rows that are normalised over the batch, instead of by a kernel with a norm.
    """

    model_type = "hubert"

    vocab_size: int | None = 32
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout: float = 0.1
    activation_dropout: float = 0.1
    attention_dropout: float = 0.1
    feat_proj_layer_norm: bool = True
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
    conv_pos_batch_norm: bool = False
    do_stable_layer_norm: bool = False
    apply_spec_augment: bool = True
    mask_time_prob: float = 0.05
    mask_time_length: int = 10
    mask_time_min_masks: int = 2
    mask_feature_prob: float = 0.0
    mask_feature_length: int = 10
    mask_feature_min_masks: int = 0
    ctc_loss_reduction: str = "sum"
    ctc_zero_infinity: bool = False
    use_weighted_layer_sum: bool = False
    classifier_proj_size: int = 256
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2


class HubertFeatureProjection(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        if config.feat_proj_layer_norm:
            self.layer_norm = nn.LayerNorm(config.conv_dim[-1], eps=config.layer_norm_eps)
        self.feat_proj_layer_norm = config.feat_proj_layer_norm
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)
        self.dropout = nn.Dropout(config.feat_proj_dropout)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Rows of C to rows of D."""
        normed = self.layer_norm(hidden_states) if self.feat_proj_layer_norm else hidden_states
        return self.dropout(self.projection(normed))


class HubertPositionalConvEmbedding(wav2vec2.Wav2Vec2PositionalConvEmbedding):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.batch_norm = None
        if config.conv_pos_batch_norm:  # after which padding is no longer zeros
            D, kernel, groups = config.hidden_size, self.kernel, config.num_conv_pos_embedding_groups
            self.batch_norm = speech.BatchNorm(D)
            self.conv = ColumnConv(D, D, kernel, padding=kernel // 2, groups=groups)  # type: ignore[assignment]
            self.WHOLE = True  # type: ignore[misc]

    def of_columns(self, columns: Tensor) -> Tensor:
        return super().of_columns(columns if self.batch_norm is None else self.batch_norm(columns))


class HubertEncoder(wav2vec2.Wav2Vec2Encoder):
    POSITIONS = HubertPositionalConvEmbedding


class HubertEncoderStableLayerNorm(wav2vec2.Wav2Vec2EncoderStableLayerNorm):
    POSITIONS = HubertPositionalConvEmbedding


class HubertPreTrainedModel(wav2vec2.Wav2Vec2PreTrainedModel):
    """What HuBERT's models share."""

    config_class: ClassVar[Any] = HubertConfig
    base_model_prefix = "hubert"

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return HubertModel(config)


class HubertModel(HubertPreTrainedModel, wav2vec2.Wav2Vec2Model):
    """The encoder: hidden states (B, T, D)."""

    OUTPUT = BaseModelOutput
    FRONT = (wav2vec2.Wav2Vec2FeatureEncoder, HubertFeatureProjection)
    STACKS = (HubertEncoder, HubertEncoderStableLayerNorm)
    HIDES_PADDING = True

    def projected(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames of C channels to rows of D, and the frames."""
        return self.feature_projection(frames), frames


class HubertForCTC(HubertPreTrainedModel, wav2vec2.Wav2Vec2ForCTC):
    """Writes what is said."""


class HubertForSequenceClassification(HubertPreTrainedModel, speech_heads.AudioClassification):
    """Labels sounds."""


MODEL_TYPES = {"hubert": HubertConfig}
TOKENIZER = None
FEATURE_EXTRACTOR = wav2vec2.FEATURE_EXTRACTOR
HEADS = {"base": HubertModel, "ctc": HubertForCTC, "audio-classification": HubertForSequenceClassification}
_OTHER = {key for key in wav2vec2.TINY if key not in HubertConfig.keys()}  # noqa: SIM118
TINY = {key: value for key, value in wav2vec2.TINY.items() if key not in _OTHER} | {"num_labels": 3}
