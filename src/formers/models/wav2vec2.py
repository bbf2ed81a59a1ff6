"""Wav2Vec2: samples to frames by convolutions, frames to what is said by an encoder.

Source: Baevski et al. 2020 (arXiv 2006.11477), https://github.com/facebookresearch/fairseq; adapters of languages:
Pratap et al. 2023 (arXiv 2305.13516).
Letters: B batch, S samples, T frames, C channels of the convolutions, D width, E width after an adapter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import hub, speech, speech_heads
from ..checkpoints import open_checkpoint
from ..cross_attention import EitherAttention
from ..errors import CheckpointError, ConfigError, InputError
from ..heads import MaskedLM
from ..layers import ColumnConv, HeadMasks, run_layers, through
from ..modeling import PreTrainedModel
from ..ops.activations import activation
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutput
from ..processing.of_sound import Wav2Vec2FeatureExtractor
from ..processing.spoken import Wav2Vec2Processor, Wav2Vec2ProcessorWithLM  # noqa: F401
from ..speech import mask_spans as _compute_mask_indices  # noqa: F401
from ..speech import sample_negatives as _sample_negative_indices  # noqa: F401
from ..tokenization.ctc import Wav2Vec2CTCTokenizer

_ADAPTER = ("adapter.{}.safetensors", "adapter.{}.bin")


class Wav2Vec2Config(speech.SpeechConfig):
    """Defaults are those of facebook/wav2vec2-base-960h.

    conv_dim, conv_stride, conv_kernel: of each convolution. feat_extract_norm: "group", of the first convolution alone,
    whose models were trained without masks, or "layer", of each. do_stable_layer_norm: whether norms come first.
    """

    model_type = "wav2vec2"

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
    feat_quantizer_dropout: float = 0.0
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
    do_stable_layer_norm: bool = False
    apply_spec_augment: bool = True
    mask_time_prob: float = 0.05
    mask_time_length: int = 10
    mask_time_min_masks: int = 2
    mask_feature_prob: float = 0.0
    mask_feature_length: int = 10
    mask_feature_min_masks: int = 0
    num_codevectors_per_group: int = 320
    num_codevector_groups: int = 2
    contrastive_logits_temperature: float = 0.1
    num_negatives: int = 100
    codevector_dim: int = 256
    proj_codevector_dim: int = 256
    diversity_loss_weight: float = 0.1
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
    adapter_attn_dim: int | None = None


class Wav2Vec2NoLayerNormConvLayer(speech.Convolution):
    """Without a norm."""

    def __init__(self, config: Any, layer_id: int = 0) -> None:
        super().__init__()
        self.in_conv_dim = config.conv_dim[layer_id - 1] if layer_id else 1
        self.out_conv_dim = config.conv_dim[layer_id]
        kernel, stride = config.conv_kernel[layer_id], config.conv_stride[layer_id]
        self.conv = ColumnConv(self.in_conv_dim, self.out_conv_dim, kernel, stride=stride, bias=config.conv_bias)
        self.activation = activation(config.feat_extract_activation, "feat_extract_activation")

    def after(self, rows: Tensor) -> Tensor:
        return self.activation(rows)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.activation(self.conv(hidden_states))  # (B, C, T)


class Wav2Vec2LayerNormConvLayer(Wav2Vec2NoLayerNormConvLayer):
    """With a norm of each frame."""

    def __init__(self, config: Any, layer_id: int = 0) -> None:
        super().__init__(config, layer_id)
        self.layer_norm = nn.LayerNorm(self.out_conv_dim)

    def after(self, rows: Tensor) -> Tensor:
        return self.activation(self.layer_norm(rows))

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.activation(self.layer_norm(self.conv(hidden_states).transpose(1, 2)).transpose(1, 2))


class Wav2Vec2GroupNormConvLayer(Wav2Vec2NoLayerNormConvLayer):
    """With a norm of each channel over the whole sound."""

    WHOLE = True

    def __init__(self, config: Any, layer_id: int = 0) -> None:
        super().__init__(config, layer_id)
        self.layer_norm = speech.ChannelNorm(self.out_conv_dim, self.out_conv_dim)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.activation(self.layer_norm(self.conv(hidden_states)))


class Wav2Vec2FeatureEncoder(speech.FeatureEncoder):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        kinds: dict[str, tuple[Any, Any]] = {
            "group": (Wav2Vec2GroupNormConvLayer, Wav2Vec2NoLayerNormConvLayer),
            "layer": (Wav2Vec2LayerNormConvLayer, Wav2Vec2LayerNormConvLayer),
        }
        if config.feat_extract_norm not in kinds:
            raise ConfigError(f"feat_extract_norm={config.feat_extract_norm!r} is unknown; it is group or layer.")
        first, other = kinds[config.feat_extract_norm]
        self.conv_layers = nn.ModuleList((other if i else first)(config, i) for i in range(len(config.conv_dim)))


class Wav2Vec2FeatureProjection(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1], eps=config.layer_norm_eps)
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)
        self.dropout = nn.Dropout(config.feat_proj_dropout)

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of C to rows of D, and those of C normalised."""
        normed = self.layer_norm(hidden_states)
        return self.dropout(self.projection(normed)), normed


class Wav2Vec2PositionalConvEmbedding(nn.Module):
    """What is added to a frame, from those around it."""

    WHOLE: ClassVar[bool] = False  # whether it reads columns of padding, which are zeros

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.kernel = config.num_conv_pos_embeddings
        self.conv = speech.WeightNormConv(config.hidden_size, self.kernel, config.num_conv_pos_embedding_groups)
        self.activation = activation(config.feat_extract_activation, "feat_extract_activation")

    def of_columns(self, columns: Tensor) -> Tensor:
        """(B, D, T) to the same."""
        return self.activation(speech.same_length(self.kernel, self.conv(columns)))

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.of_columns(hidden_states.transpose(1, 2)).transpose(1, 2)  # (B, T, D)


class Wav2Vec2Attention(EitherAttention):
    def __init__(self, config: Any) -> None:
        super().__init__()
        D, self.heads, self.rate = config.hidden_size, config.num_attention_heads, config.attention_dropout
        if D % self.heads:
            raise ConfigError(f"hidden_size={D} is no multiple of num_attention_heads={self.heads}.")
        self.kernel = config._attn_implementation
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(D, D) for _ in range(4))

    @speech.by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.attended(rows, step, head_mask)


class Wav2Vec2FeedForward(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.intermediate_dropout = nn.Dropout(config.activation_dropout)
        self.intermediate_dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.intermediate_act_fn = activation(config.hidden_act)
        self.output_dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.output_dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden_states: Tensor) -> Tensor:
        between = self.intermediate_dropout(self.intermediate_act_fn(self.intermediate_dense(hidden_states)))
        return self.output_dropout(self.output_dense(between))


class Wav2Vec2EncoderLayer(nn.Module):
    PRE: ClassVar[bool] = False
    ATTENTION: ClassVar[Any] = Wav2Vec2Attention

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.attention = self.ATTENTION(config)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = Wav2Vec2FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    @speech.by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        attended, *weights = through(self.attention, rows, step, head_mask)
        rows = self.layer_norm(rows + self.dropout(attended))
        return self.final_layer_norm(rows + self.feed_forward(rows)), *weights

    def block(self) -> Block | None:
        inner, fed = self.attention, self.feed_forward
        return Block(
            heads=inner.heads,
            projections=(inner.q_proj, inner.k_proj, inner.v_proj),
            output=inner.out_proj,
            attention_norm=self.layer_norm,
            up=fed.intermediate_dense,
            activation=fed.intermediate_act_fn,
            down=fed.output_dense,
            output_norm=self.final_layer_norm,
            pre=self.PRE,
        )


class Wav2Vec2AttnAdapterLayer(nn.Module):
    """What one language adds to the rows."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size)
        self.linear_1 = nn.Linear(config.hidden_size, config.adapter_attn_dim)
        self.act_fn = nn.ReLU()
        self.linear_2 = nn.Linear(config.adapter_attn_dim, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.linear_2(self.act_fn(self.linear_1(self.norm(hidden_states))))


class Wav2Vec2EncoderLayerStableLayerNorm(Wav2Vec2EncoderLayer):
    """With norms at the start of both branches."""

    PRE = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        wanted = getattr(config, "adapter_attn_dim", None) is not None
        self.adapter_layer = Wav2Vec2AttnAdapterLayer(config) if wanted else None

    @speech.by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        attended, *weights = through(self.attention, self.layer_norm(rows), step, head_mask)
        rows = rows + self.dropout(attended)
        rows = rows + self.feed_forward(self.final_layer_norm(rows))
        return rows if self.adapter_layer is None else rows + self.adapter_layer(rows), *weights

    def block(self) -> Block | None:
        return super().block() if self.adapter_layer is None else None


class Wav2Vec2Encoder(nn.Module):
    """Positions, and the layers. PRE: whether norms come first, and the last one after all layers."""

    PRE: ClassVar[bool] = False
    LAYER: ClassVar[Any] = Wav2Vec2EncoderLayer
    POSITIONS: ClassVar[Any] = Wav2Vec2PositionalConvEmbedding

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.pos_conv_embed = self.POSITIONS(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(self.layer(config, i) for i in range(config.num_hidden_layers))
        self.gradient_checkpointing = False

    def layer(self, config: Any, number: int) -> nn.Module:
        """A layer, by its number."""
        made: nn.Module = self.LAYER(config)
        return made

    def shared(self, rows: Tensor, step: Step) -> Any:
        """What all layers read beside the rows."""
        return step.shared

    @speech.by_hand_stack
    def forward(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> BaseModelOutput:
        layout, rate = step.layout, self.config.layerdrop if self.training else 0.0
        if layout.real is not None:  # kept padding is heard as silence
            rows = rows * layout.real[..., None]
        rows = rows + speech.over_columns(self.pos_conv_embed, rows, layout)
        rows = self.dropout(rows if self.PRE else self.layer_norm(rows))
        step = replace(step, shared=self.shared(rows, step))
        found = run_layers(
            *(self.layers, rows, step, head_masks),
            checkpointing=self.gradient_checkpointing and self.training,
            layerdrop=rate,
        )
        if self.PRE:
            found.last_hidden_state = self.layer_norm(found.last_hidden_state)
        return found


class Wav2Vec2EncoderStableLayerNorm(Wav2Vec2Encoder):
    PRE = True
    LAYER = Wav2Vec2EncoderLayerStableLayerNorm


class Wav2Vec2AdapterLayer(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width, kernel = config.output_hidden_size, config.adapter_kernel_size
        self.conv = ColumnConv(width, 2 * width, kernel, stride=config.adapter_stride, padding=1)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return F.glu(self.conv(hidden_states), dim=1)  # (B, D, T) to (B, D, T / stride)


class Wav2Vec2Adapter(nn.Module):
    """Fewer and maybe narrower rows, for a decoder to attend to."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.proj = self.proj_layer_norm = None
        if config.output_hidden_size != config.hidden_size:
            self.proj = nn.Linear(config.hidden_size, config.output_hidden_size)
            self.proj_layer_norm = nn.LayerNorm(config.output_hidden_size)
        self.layers = nn.ModuleList(Wav2Vec2AdapterLayer(config) for _ in range(config.num_adapter_layers))
        self.layerdrop = config.layerdrop

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, D) to (B, T', E)."""
        if self.proj is not None and self.proj_layer_norm is not None:
            hidden_states = self.proj_layer_norm(self.proj(hidden_states))
        columns = hidden_states.transpose(1, 2)
        for layer in self.layers:
            drawn = np.random.random()
            columns = layer(columns) if not self.training or drawn > self.layerdrop else columns
        return columns.transpose(1, 2)


class Wav2Vec2PreTrainedModel(speech.ReadsSound):
    """What Wav2Vec2's models share."""

    config_class: ClassVar[Any] = Wav2Vec2Config
    base_model_prefix = "wav2vec2"
    OPTIONAL = ("adapter.", "masked_spec_embed", "adapter_layer")

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return Wav2Vec2Model(config)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        speech_heads.draw(module)

    def init_adapter_layers(self) -> None:
        """Draw the layers of a language, and the last one, anew."""
        for module in self.modules():
            if isinstance(module, Wav2Vec2AttnAdapterLayer):
                module.apply(self._init_weights)
        if isinstance(self, speech_heads.CTC):
            self._init_weights(self.lm_head)

    def _get_adapters(self) -> dict[str, Tensor]:
        """The weights of a language by their names."""
        if getattr(self.config, "adapter_attn_dim", None) is None:
            raise ConfigError(f"{type(self).__name__} has no layers of languages: config.adapter_attn_dim is None.")
        parts = ("adapter_layer", "lm_head")
        return {name: x for name, x in self.named_parameters() if not {*parts}.isdisjoint(name.split("."))}

    def load_adapter(self, target_lang: str, force_load: bool = True, **kwargs: Any) -> None:  # type: ignore[override]
        """Load the layers of a language, and its vocabulary's, from `adapter.<target_lang>.safetensors` or `.bin` where
        the model was loaded from.

        force_load: also where it is the language that the model has. Hub keywords: revision, cache_dir, token,
        local_files_only, force_download.
        Errors: NotFoundError without such a file, CheckpointError for weights that do not fit.
        """
        if target_lang == getattr(self, "target_lang", None) and not force_load:
            return
        where = hub.hub_arguments(kwargs)
        self._take_adapter(target_lang, hub.locate(self.config.name_or_path, **where))

    def _take_adapter(self, target_lang: str, source: hub.Source) -> None:
        own = self._get_adapters()
        path = source.require(*(name.format(target_lang) for name in _ADAPTER))
        weights = {name: x.load() for name, x in open_checkpoint(path).items()}
        if wrong := sorted(weights.keys() ^ own.keys()):
            known = "is not of this model" if wrong[0] in weights else "is missing"
            raise CheckpointError(f"{path}: {wrong[0]} {known}; a language has {len(own)} weights.")
        words = weights.get("lm_head.weight")
        if words is not None and len(words) != self.config.vocab_size:
            place = {"device": self.device, "dtype": self.dtype}
            self.lm_head = nn.Linear(words.shape[1], len(words), **place)  # type: ignore[arg-type]
            self.config.vocab_size, own = len(words), self._get_adapters()
        for name, tensor in weights.items():
            if tensor.shape != own[name].shape:
                raise CheckpointError(
                    f"{path}: {name} is of {tuple(tensor.shape)}, and the model's of {tuple(own[name].shape)}."
                )
        with torch.no_grad():
            for name, tensor in weights.items():
                own[name].copy_(tensor)
        vars(self)["target_lang"] = target_lang


class Wav2Vec2Model(Wav2Vec2PreTrainedModel, speech.SpeechBody):
    """The encoder: hidden states (B, T, D), and what the convolutions hear, normalised, (B, T, C)."""

    FRONT: ClassVar[tuple[Any, Any]] = (Wav2Vec2FeatureEncoder, Wav2Vec2FeatureProjection)
    STACKS: ClassVar[tuple[Any, Any]] = (Wav2Vec2Encoder, Wav2Vec2EncoderStableLayerNorm)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.feature_extractor, self.feature_projection = (part(config) for part in self.FRONT)
        if config.mask_time_prob > 0.0 or config.mask_feature_prob > 0.0:
            self.masked_spec_embed = nn.Parameter(torch.empty(config.hidden_size).uniform_())
        self.encoder = self.STACKS[bool(getattr(config, "do_stable_layer_norm", False))](config)
        self.adapter = Wav2Vec2Adapter(config) if getattr(config, "add_adapter", False) else None
        self.post_init()


class Wav2Vec2ForPreTraining(Wav2Vec2PreTrainedModel, speech_heads.PreTraining):
    """Learns from sound alone."""


class Wav2Vec2ForCTC(Wav2Vec2PreTrainedModel, speech_heads.CTC):
    """Writes what is said. target_lang: the language whose layers are loaded from beside the weights."""

    def __init__(self, config: Any, target_lang: str | None = None) -> None:
        super().__init__(config)
        self.target_lang: str | None = target_lang
        if target_lang is not None and getattr(config, "adapter_attn_dim", None) is None:
            raise InputError(
                f"target_lang={target_lang!r}, but there are no layers of languages: adapter_attn_dim=None."
            )

    def read_beside(self, source: hub.Source, packed: Any = None) -> None:
        super().read_beside(source, packed)
        if self.target_lang is not None:
            self._take_adapter(self.target_lang, source)


class Wav2Vec2ForMaskedLM(Wav2Vec2PreTrainedModel, speech_heads.SpeechHead):
    """Scores the vocabulary at each frame, as releases before 5.0 did under this name."""

    OUTPUT = MaskedLM.OUTPUT

    TARGETS = ()

    def add_head(self, config: Any) -> None:
        """Make the last layer."""
        self.dropout = nn.Dropout(config.final_dropout)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)

    def results(self, body: Any, layout: Any, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        return {"logits": layout.unpack(self.lm_head(self.dropout(body.last_hidden_state)))}


class Wav2Vec2ForSequenceClassification(Wav2Vec2PreTrainedModel, speech_heads.AudioClassification):
    """Labels sounds."""


class Wav2Vec2ForAudioFrameClassification(Wav2Vec2PreTrainedModel, speech_heads.AudioFrameClassification):
    """Labels frames."""


class Wav2Vec2ForXVector(Wav2Vec2PreTrainedModel, speech_heads.XVector):
    """Vectors of voices."""


MODEL_TYPES = {"wav2vec2": Wav2Vec2Config}
TOKENIZER = Wav2Vec2CTCTokenizer
FEATURE_EXTRACTOR = Wav2Vec2FeatureExtractor
PROCESSOR = Wav2Vec2Processor
HEADS = {
    "base": Wav2Vec2Model,
    "ctc": Wav2Vec2ForCTC,
    "pretraining": Wav2Vec2ForPreTraining,
    "audio-classification": Wav2Vec2ForSequenceClassification,
    "audio-frame-classification": Wav2Vec2ForAudioFrameClassification,
    "audio-xvector": Wav2Vec2ForXVector,
}
TINY = {
    "vocab_size": 11,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "conv_dim": [8, 12, 16],
    "conv_stride": [5, 2, 2],
    "conv_kernel": [10, 3, 2],
    "conv_bias": True,
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 2,
    "apply_spec_augment": False,
    "layerdrop": 0.0,
    "num_codevectors_per_group": 6,
    "codevector_dim": 8,
    "proj_codevector_dim": 10,
    "classifier_proj_size": 14,
    "tdnn_dim": [12, 10, 18],
    "tdnn_kernel": [3, 2, 1],
    "tdnn_dilation": [1, 2, 1],
    "xvector_output_dim": 9,
    "num_labels": 3,
}
