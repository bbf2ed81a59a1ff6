"""Data2Vec for sound: Wav2Vec2's encoder, with positions from several convolutions.

Source: Baevski et al. 2022 (arXiv 2202.03555), https://github.com/facebookresearch/fairseq
Letters: B batch, T frames, D width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from .. import speech, speech_heads
from ..layers import ColumnConv
from ..modeling import PreTrainedModel
from ..ops.activations import activation
from . import wav2vec2


class Data2VecAudioConfig(speech.SpeechConfig):
    """Defaults are those of facebook/data2vec-audio-base-960h.

    num_conv_pos_embeddings: how many convolutions make positions; conv_pos_kernel_size: the width of each.
    """

    model_type = "data2vec-audio"

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
    feat_extract_activation: str = "gelu"
    conv_dim: Any = (512, 512, 512, 512, 512, 512, 512)
    conv_stride: Any = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: Any = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embedding_groups: int = 16
    conv_pos_kernel_size: int = 19
    num_conv_pos_embeddings: int = 5
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
    tdnn_dim: Any = (512, 512, 512, 512, 1500)
    tdnn_kernel: Any = (5, 3, 3, 1, 1)
    tdnn_dilation: Any = (1, 2, 3, 1, 1)
    xvector_output_dim: int = 512
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    add_adapter: bool = False
    adapter_kernel_size: int = 3
    adapter_stride: int = 2
    num_adapter_layers: int = 3
    output_hidden_size: int | None = None


class Data2VecAudioConvLayer(wav2vec2.Wav2Vec2LayerNormConvLayer):
    """Wav2Vec2's, with a norm of each frame."""


class Data2VecAudioFeatureEncoder(speech.FeatureEncoder):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.conv_layers = nn.ModuleList(Data2VecAudioConvLayer(config, i) for i in range(len(config.conv_dim)))


class Data2VecAudioPositionalConvLayer(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        D, self.kernel = config.hidden_size, config.conv_pos_kernel_size
        groups = config.num_conv_pos_embedding_groups
        self.conv = ColumnConv(D, D, self.kernel, padding=self.kernel // 2, groups=groups)
        self.activation = activation(config.feat_extract_activation, "feat_extract_activation")

    def forward(self, hidden_states: Tensor) -> Tensor:
        rows = speech.same_length(self.kernel, self.conv(hidden_states)).transpose(1, 2)
        return self.activation(F.layer_norm(rows, rows.shape[-1:]).transpose(1, 2))  # (B, D, T)


class Data2VecAudioPositionalConvEmbedding(nn.Module):
    WHOLE: ClassVar[bool] = True  # after the first convolution padding is no longer zeros

    def __init__(self, config: Any) -> None:
        super().__init__()
        count = config.num_conv_pos_embeddings
        self.layers = nn.ModuleList(Data2VecAudioPositionalConvLayer(config) for _ in range(count))

    def of_columns(self, columns: Tensor) -> Tensor:
        """(B, D, T) to the same."""
        for layer in self.layers:
            columns = layer(columns)
        return columns

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.of_columns(hidden_states.transpose(1, 2)).transpose(1, 2)  # (B, T, D)


class Data2VecAudioEncoder(wav2vec2.Wav2Vec2Encoder):
    POSITIONS = Data2VecAudioPositionalConvEmbedding


class Data2VecAudioPreTrainedModel(wav2vec2.Wav2Vec2PreTrainedModel):
    """What the models share."""

    config_class: ClassVar[Any] = Data2VecAudioConfig
    base_model_prefix = "data2vec_audio"

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return Data2VecAudioModel(config)


class Data2VecAudioModel(Data2VecAudioPreTrainedModel, wav2vec2.Wav2Vec2Model):
    """The encoder: hidden states (B, T, D), and what the convolutions hear, normalised, (B, T, C)."""

    FRONT = (Data2VecAudioFeatureEncoder, wav2vec2.Wav2Vec2FeatureProjection)
    STACKS = (Data2VecAudioEncoder, Data2VecAudioEncoder)


class Data2VecAudioForCTC(Data2VecAudioPreTrainedModel, speech_heads.CTC):
    """Writes what is said."""


class Data2VecAudioForSequenceClassification(Data2VecAudioPreTrainedModel, speech_heads.AudioClassification):
    """Labels sounds."""


class Data2VecAudioForAudioFrameClassification(Data2VecAudioPreTrainedModel, speech_heads.AudioFrameClassification):
    """Labels frames."""


class Data2VecAudioForXVector(Data2VecAudioPreTrainedModel, speech_heads.XVector):
    """Vectors of voices."""


MODEL_TYPES = {"data2vec-audio": Data2VecAudioConfig}
TOKENIZER = None
FEATURE_EXTRACTOR = wav2vec2.FEATURE_EXTRACTOR
HEADS = {
    "base": Data2VecAudioModel,
    "ctc": Data2VecAudioForCTC,
    "audio-classification": Data2VecAudioForSequenceClassification,
    "audio-frame-classification": Data2VecAudioForAudioFrameClassification,
    "audio-xvector": Data2VecAudioForXVector,
}
_KNOWN = {*Data2VecAudioConfig.keys(), "num_labels"}
TINY = {key: value for key, value in wav2vec2.TINY.items() if key in _KNOWN} | {
    "apply_spec_augment": False,
    "conv_pos_kernel_size": 3,
    "num_conv_pos_embeddings": 2,
}
