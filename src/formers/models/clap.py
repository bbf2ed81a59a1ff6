"""CLAP: a tower that reads texts and one that hears sounds, whose vectors of what belongs together are near.

    input_features ─ norm ─ folded to a square ─ patches (and, of a long sound, those of three pieces) ─ Swin ─ mean
    input_ids ────── RoBERTa ─ first column
Source: Wu et al. 2022 (arXiv 2211.06687); Chen et al. 2022 (arXiv 2202.00874) for the tower of sounds; LAION-AI/CLAP.
Letters: B batch, C channels, T frames, M bands, S side of the square, D width of a tower, E width of the space.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import outputs, two_towers, vision
from ..config import PretrainedConfig
from ..errors import ConfigError, InputError, NotTensorError
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.activations import activation
from ..ops.bias import Grid
from ..ops.layout import Layout
from ..ops.step import Step
from ..processing.of_sound import ClapFeatureExtractor
from ..processing.sound_processor import SoundProcessorMixin
from ..spectrograms import ReadsSpectrograms, checked_sound
from . import roberta, swin

_PIECES = 4  # channels of a sound of any length: the whole, and three pieces of a long one


class ClapTextConfig(roberta.RobertaConfig):
    """Defaults are those of laion/clap-htsat-fused."""

    model_type = "clap_text_model"
    base_config_key = "text_config"

    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    initializer_factor: float = 1.0
    projection_dim: int = 512
    projection_hidden_act: str = "relu"


class ClapAudioConfig(PretrainedConfig):
    """Defaults are those of laion/clap-htsat-unfused.

    spec_size: S. num_mel_bins: M. enable_fusion: read three pieces of a long sound beside the whole.
    """

    model_type = "clap_audio_model"
    base_config_key = "audio_config"

    window_size: int = 8
    num_mel_bins: int = 64
    spec_size: int = 256
    hidden_act: str = "gelu"
    patch_size: int | list[int] = 4
    patch_stride: int | list[int] = [4, 4]
    num_classes: int = 527
    hidden_size: int = 768
    projection_dim: int = 512
    depths: list[int] = [2, 2, 6, 2]
    num_attention_heads: list[int] = [4, 8, 16, 32]
    enable_fusion: bool = False
    hidden_dropout_prob: float = 0.1
    fusion_type: str | None = None
    patch_embed_input_channels: int = 1
    flatten_patch_embeds: bool = True
    patch_embeds_hidden_size: int = 96
    enable_patch_layer_norm: bool = True
    drop_path_rate: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    qkv_bias: bool = True
    mlp_ratio: float = 4.0
    aff_block_r: int = 4
    num_hidden_layers: int = 4
    projection_hidden_act: str = "relu"
    layer_norm_eps: float = 1e-5
    initializer_factor: float = 1.0

    @property
    def ratio(self) -> int:
        """How many parts of its frames a spectrogram has one above the other in the square."""
        return int(self.spec_size // self.num_mel_bins)

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, the most frames that fit the square, and M."""
        channels = _PIECES if self.enable_fusion else self.patch_embed_input_channels
        return channels, self.spec_size * self.ratio, self.num_mel_bins

    def check(self) -> None:
        super().check()
        name, stages = type(self).__name__, len(self.depths)
        if not stages or stages != len(self.num_attention_heads):
            raise ConfigError(
                f"{name}: depths={self.depths} and num_attention_heads={self.num_attention_heads} each have a number "
                "for every stage."
            )
        if self.ratio * self.num_mel_bins != self.spec_size:
            raise ConfigError(f"{name}: spec_size={self.spec_size} is no multiple of num_mel_bins={self.num_mel_bins}.")
        rows = self.grid(stages - 1)[0]
        if rows < self.ratio or rows % (rows // self.ratio):
            raise ConfigError(f"{name}: spec_size={self.spec_size} is too small for {stages} stages of its patches.")
        if not self.flatten_patch_embeds:
            raise ConfigError(f"{name}: flatten_patch_embeds=False cannot be run.")
        if self.enable_fusion and (self.fusion_type == "channel_map" or self.patch_embed_input_channels != 1):
            raise ConfigError(
                f"{name}: with enable_fusion, fusion_type='channel_map' or several channels cannot be run."
            )

    def grid(self, number: int = 0) -> Grid:
        """Height and width of a stage's map."""
        down, across = (self.spec_size // stride for stride in vision.sides(self, "patch_stride"))
        for _ in range(number):
            down, across = (down + 1) // 2, (across + 1) // 2
        return down, across

    def of_stage(self, number: int) -> Any:
        """The configuration of a ViT whose layers are as those of that stage."""
        found = copy.copy(self)
        found.hidden_size = self.patch_embeds_hidden_size * 2**number
        setattr(found, "num_attention_heads", self.num_attention_heads[number])  # noqa: B010  # a list in this one
        found.intermediate_size = int(self.mlp_ratio * found.hidden_size)
        return found


class ClapConfig(two_towers.TowersConfig):
    """projection_dim: E. logit_scale_init_value: what cosines are multiplied by, to begin with."""

    model_type = "clap"
    sub_configs = {"text_config": ClapTextConfig, "audio_config": ClapAudioConfig}

    audio_config: Any = None
    logit_scale_init_value: float = 1 / 0.07
    projection_dim: int = 512
    projection_hidden_act: str = "relu"
    initializer_factor: float = 1.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for part in (self.text_config, self.audio_config):
            part.projection_dim, part.projection_hidden_act = self.projection_dim, self.projection_hidden_act
        self.hidden_size = self.text_config.hidden_size
        self.num_hidden_layers = self.text_config.num_hidden_layers + len(self.audio_config.depths)

    @classmethod
    def from_text_audio_configs(cls, text_config: Any, audio_config: Any, **kwargs: Any) -> Any:
        """One of the configurations of both towers, which are copied."""
        return cls(text_config=copy.deepcopy(text_config), audio_config=copy.deepcopy(audio_config), **kwargs)


class ClapProcessor(SoundProcessorMixin):
    """CLAP's feature extractor and tokenizer."""

    feature_extractor_class = ClapFeatureExtractor
    tokenizer_class = roberta.RobertaTokenizer
    text_alone = True


@dataclass
class ClapTextModelOutput(outputs.CLIPTextModelOutput):
    """`text_embeds` (B, E): texts in the space that sounds share; `last_hidden_state` (B, T, D)."""


@dataclass
class ClapAudioModelOutput(outputs.ModelOutput):
    """`audio_embeds` (B, E): sounds in the space that texts share; `last_hidden_state` (B, D, h, w)."""

    audio_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class ClapOutput(outputs.ModelOutput):
    """`logits_per_audio` (A, B) of A sounds and B texts, and the same the other way round, each by a scale of its own;
    both sides' vectors (B, E) and (A, E) of length 1, and what each tower returned."""

    loss: Tensor | None = None
    logits_per_audio: Tensor | None = None
    logits_per_text: Tensor | None = None
    text_embeds: Tensor | None = None
    audio_embeds: Tensor | None = None
    text_model_output: Any = None
    audio_model_output: Any = None

    to_tuple = outputs.CLIPOutput.to_tuple


class ClapAudioAFFBlock(nn.Module):
    """Two maps as one, each place by how much both of them and their means say (Dai et al. 2020, arXiv 2009.14082)."""

    def __init__(self, config: ClapAudioConfig) -> None:
        super().__init__()
        D = config.patch_embeds_hidden_size
        fewer = int(D // config.aff_block_r)

        def layers() -> list[nn.Module]:
            first, last = nn.Conv2d(D, fewer, kernel_size=1), nn.Conv2d(fewer, D, kernel_size=1)
            return [first, nn.BatchNorm2d(fewer), nn.ReLU(), last, nn.BatchNorm2d(D)]

        self.local_att = nn.Sequential(*layers())
        self.global_att = nn.Sequential(nn.AdaptiveAvgPool2d(1), *layers())
        self.sigmoid = nn.Sigmoid()

    def forward(self, hidden_states: Tensor, residual: Tensor) -> Tensor:
        both = hidden_states + residual
        share = self.sigmoid(self.local_att(both) + self.global_att(both))
        return 2 * hidden_states * share + 2 * residual * (1 - share)


class ClapAudioPatchEmbed(nn.Module):
    def __init__(self, config: ClapAudioConfig) -> None:
        super().__init__()
        D, C = config.patch_embeds_hidden_size, config.patch_embed_input_channels
        patch, stride = vision.sides(config, "patch_size"), vision.sides(config, "patch_stride")
        around = ((patch[0] - stride[0]) // 2, (patch[1] - stride[1]) // 2)
        self.proj = nn.Conv2d(C, D, kernel_size=patch, stride=stride, padding=around)
        self.norm = nn.LayerNorm(D) if config.enable_patch_layer_norm else nn.Identity()
        if config.enable_fusion:
            wide, far = (patch[0], 3 * patch[1]), (stride[0], 3 * stride[1])
            self.fusion_model = ClapAudioAFFBlock(config)
            self.mel_conv2d = nn.Conv2d(C, D, kernel_size=wide, stride=far, padding=around)

    def forward(self, hidden_states: Tensor, is_longer_idx: Tensor | None = None) -> Tensor:
        """Squares (B, C, S, S) to (B, P, D). is_longer_idx: with fusion, the numbers of long sounds."""
        if is_longer_idx is None:
            return self.norm(vision.project(self.proj, hidden_states))
        whole = self.proj(hidden_states[:, :1].to(self.proj.weight.dtype))  # (B, D, h, w)
        if len(is_longer_idx):
            pieces = hidden_states[is_longer_idx, 1:].flatten(0, 1)[:, None].to(whole.dtype)
            of_pieces = self.mel_conv2d(pieces).unflatten(0, (len(is_longer_idx), -1))  # (A, 3, D, h, w / 3)
            beside = of_pieces.permute(0, 2, 3, 1, 4).flatten(3)
            beside = F.pad(beside, (0, whole.shape[3] - beside.shape[3]))
            whole = whole.index_copy(0, is_longer_idx, self.fusion_model(whole[is_longer_idx], beside).to(whole.dtype))
        return self.norm(whole.flatten(2).transpose(1, 2))


class ClapAudioEncoder(swin.SwinEncoder):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.config = config
        self.patch_embed = ClapAudioPatchEmbed(config)
        self.batch_norm = nn.BatchNorm2d(config.num_mel_bins)
        self.norm = nn.LayerNorm(config.of_stage(len(config.depths) - 1).hidden_size)
        self.avgpool = nn.AdaptiveAvgPool1d(1)
        stages: Any = self.layers
        for layer in (layer for stage in stages for layer in stage.blocks):
            layer.attention.output.dropout.p = config.attention_probs_dropout_prob

    def reshape_mel2img(self, normalized_input_features: Tensor) -> Tensor:
        """Spectrograms (B, C, T, M), their frames stretched and cut into parts, to squares (B, C, S, S)."""
        config, x = self.config, normalized_input_features
        if x.shape[2] < config.shape[1]:
            x = F.interpolate(x, config.shape[1:], mode="bicubic", align_corners=True)
        return x.unflatten(2, (config.ratio, -1)).transpose(3, 4).flatten(2, 3)

    def longer(self, is_longer: Any, count: int) -> Tensor | None:
        """The numbers of long sounds; None where the model makes no difference."""
        if not self.config.enable_fusion:
            return None
        if not isinstance(is_longer, Tensor):
            raise (InputError if is_longer is None else NotTensorError)(
                f"is_longer is a {type(is_longer).__name__}; with enable_fusion it is a tensor (batch, 1) that says of "
                "each sound whether it is longer than a window: the feature extractor makes it."
            )
        if is_longer.numel() != count:
            raise InputError(f"is_longer has shape {tuple(is_longer.shape)}; it should be (batch, 1), ({count}, 1).")
        return torch.where(is_longer.reshape(-1) == 1)[0]

    def forward(  # as the reference calls it: its input is of sounds
        self,
        input_features: Tensor,
        is_longer: Tensor | None = None,
        output_attentions: bool | None = False,
        output_hidden_states: bool | None = False,
        output_hidden_states_before_downsampling: bool | None = False,
        always_partition: bool | None = False,
        return_dict: bool | None = True,
    ) -> Any:
        config, norm = self.config, self.batch_norm
        normed = norm(checked(config, input_features).to(norm.weight.dtype).transpose(1, 3)).transpose(1, 3)
        rows = self.patch_embed(self.reshape_mel2img(normed), self.longer(is_longer, len(input_features)))
        place = swin.Map(config.grid(), bool(always_partition), bool(output_hidden_states_before_downsampling))
        asked = bool(output_attentions), bool(output_hidden_states)
        found = super().forward(rows, Step(Layout(len(rows), rows.shape[1]), False, *asked, shared=place))
        last = vision.as_map(self.norm(found.last_hidden_state), config.grid(len(config.depths) - 1))  # (B, D, h, w)
        bands = last.shape[2] // config.ratio
        last = last.unflatten(2, (-1, bands)).transpose(2, 3).flatten(3)
        vectors = self.avgpool(last.flatten(2)).flatten(1)
        made = outputs.BaseModelOutputWithPooling(last, vectors, found.reshaped_hidden_states, found.attentions)
        return made if return_dict is not False else made.to_tuple()


def checked(config: ClapAudioConfig, given: Any) -> Tensor:
    """Spectrograms (B, C, T, M) that the tower reads. Raises InputError for others."""
    found = checked_sound("CLAP", "input_features", given, ClapAudioModel.AXES)
    (channels, frames, bands), shape = config.shape, tuple(found.shape)
    if shape[1] != channels or shape[3] != bands or shape[2] > frames:
        how = 'truncation="fusion"' if config.enable_fusion else 'truncation="rand_trunc"'
        raise InputError(
            f"input_features has shape {shape}; the model reads {channels} channels of at most {frames} frames of "
            f"{bands} bands, as its feature extractor makes them with {how}."
        )
    return found


class ClapProjectionLayer(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.linear1 = nn.Linear(config.hidden_size, config.projection_dim)
        self.activation = activation(config.projection_hidden_act, "projection_hidden_act")
        self.linear2 = nn.Linear(config.projection_dim, config.projection_dim)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.linear2(self.activation(self.linear1(hidden_states)))  # (B, D) -> (B, E)


def of_sounds(config: ClapAudioConfig) -> ClapProjectionLayer:
    """What brings sounds into the space. Raises ConfigError where it does not fit the tower."""
    width = config.of_stage(len(config.depths) - 1).hidden_size
    if config.hidden_size != width:
        raise ConfigError(f"hidden_size={config.hidden_size}, but the last of the stages is {width} wide.")
    return ClapProjectionLayer(config)


class ClapPreTrainedModel(PreTrainedModel):
    """What CLAP's models share."""

    config_class: ClassVar[Any] = ClapConfig
    base_model_prefix = "clap"
    BUFFERS = ("position_ids", "token_type_ids", "relative_position_index")

    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of one module, narrower the more layers there are, all times `initializer_factor`."""
        super()._init_weights(module)
        config, factor = self.config, self.config.initializer_factor
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=factor * 0.02)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            std = config.hidden_size**-0.5 * (2 * config.num_hidden_layers) ** -0.5 * factor
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, swin.SwinSelfAttention):
            nn.init.zeros_(module.relative_position_bias_table)


class ClapAudioModel(ClapPreTrainedModel, ReadsSpectrograms):
    """The tower that hears: the last map (B, D, h, w), folded back, and its mean (B, D)."""

    config_class: ClassVar[Any] = ClapAudioConfig
    base_model_prefix = "audio_model"
    main_input_name = "input_features"
    AXES = ("batch", "channels", "frames", "bands")
    SIGNATURE: ClassVar[tuple[str, ...]] = ("input_features", "is_longer", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = ("always_partition", "output_hidden_states_before_downsampling")
    WORDS = "audio_encoder.patch_embed.proj"

    def __init__(self, config: ClapAudioConfig) -> None:
        super().__init__(config)
        self.audio_encoder = ClapAudioEncoder(config)
        self.post_init()

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Hear a batch: input_features (B, C, T, M), is_longer (B, 1), whether a sound is longer than a window."""
        asked = self.options(**{name: inputs.get(name) for name in OPTIONS[:2]}) | {"return_dict": True}
        found = self.audio_encoder(**{"input_features": None, **inputs, **asked})
        return self.returned(found, inputs.get("return_dict"))

    def shape_of_input(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.config.shape
        return shape

    def example(self, count: int) -> dict[str, Tensor]:
        return {**super().example(count), "is_longer": torch.arange(count)[:, None] % 2 == 1}


class ClapTextModel(ClapPreTrainedModel, roberta.RobertaModel):
    """RoBERTa: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D)."""

    config_class: ClassVar[Any] = ClapTextConfig
    base_model_prefix = "text_model"


class ClapModel(ClapPreTrainedModel, two_towers.Towers):
    """Compares texts with sounds: logits are cosines times learned scales."""

    OTHER = "audio"
    OUTPUT = ClapOutput
    AUDIO: ClassVar[tuple[str, ...]] = ("input_features", "is_longer")
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "input_features", "is_longer", "attention_mask", "position_ids", "return_loss"),
        *OPTIONS,
    )

    def __init__(self, config: ClapConfig) -> None:
        super().__init__(config)
        scale = math.log(config.logit_scale_init_value)
        self.logit_scale_a, self.logit_scale_t = (nn.Parameter(torch.tensor(scale)) for _ in range(2))
        self.text_model = ClapTextModel(config.text_config)
        self.text_projection = ClapProjectionLayer(config.text_config)
        self.audio_model = ClapAudioModel(config.audio_config)
        self.audio_projection = of_sounds(config.audio_config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        towers = (*self.text_model.modules(), *self.audio_model.modules())
        (two_towers.Towers if module in towers else ClapPreTrainedModel)._init_weights(self, module)

    @property
    def other(self) -> ClapAudioModel:
        return self.audio_model

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Compare B texts with A sounds: logits (A, B), and (B, A).

        return_loss: also how badly each text finds the sound of its number, by both scales.
        """
        asked = self.options(**{n: inputs.get(n) for n in OPTIONS[:2]})
        audio, text = self.read_audio(inputs | asked), self.read_text(inputs | asked)
        both = self.text_projection(text.pooler_output), self.audio_projection(audio.pooler_output)
        texts, sounds = (vectors / vectors.norm(dim=-1, keepdim=True) for vectors in both)
        of_texts, of_sounds = texts @ sounds.T * self.logit_scale_t.exp(), self.similarities(texts, sounds).T
        loss = self.loss(of_texts, of_sounds.T) if inputs.get("return_loss") else None
        found = self.OUTPUT(loss, of_sounds, of_texts, texts, sounds, text, audio)
        return self.returned(found, inputs.get("return_dict"))

    def similarities(self, texts: Tensor, sounds: Tensor) -> Tensor:
        """Logits (B, A) of vectors of length 1, by the scale of sounds."""
        return texts @ sounds.T.to(texts.device) * self.logit_scale_a.exp().to(texts.device)

    def loss(self, *logits: Tensor) -> Tensor:
        """Of logits (B, B) by each scale, whose rows are texts."""
        if len({*logits[0].shape}) > 1:
            texts, sounds = logits[0].shape
            raise InputError(f"return_loss=True with {texts} texts and {sounds} sounds: the loss is of pairs of both.")
        own = torch.arange(len(logits[0]), device=logits[0].device)
        return torch.stack([F.cross_entropy(one, own) for one in logits]).mean()

    def read_audio(self, inputs: dict[str, Any]) -> Any:
        """What the tower of sounds returns."""
        return self.audio_model(**two_towers.among(self.AUDIO, inputs), return_dict=True)

    def project_text(self, text: Any) -> Tensor:
        return F.normalize(self.text_projection(text.pooler_output), dim=-1)

    def get_audio_features(self, *args: Any, **kwargs: Any) -> Tensor:
        """The vectors (A, E) of sounds, of length 1; the arguments are input_features and is_longer, then the options
        of `forward`. An attention_mask is taken and hides nothing, since sounds have no padding here."""
        named = self._named("get_audio_features", (*self.AUDIO, "attention_mask"), args, kwargs)
        found = self.read_audio(named)
        return two_towers.Features.of(F.normalize(self.audio_projection(found.pooler_output), dim=-1), found)


class _Projected(ClapPreTrainedModel):
    """A tower with what brings its vectors into the space."""

    OUTPUT: ClassVar[Any]

    def compute(self, inputs: dict[str, Any]) -> Any:
        tower: Any = self.base_model
        found = tower(**{**inputs, "return_dict": True})
        vectors = self.get_submodule(self.base_model_prefix.replace("model", "projection"))(found.pooler_output)
        made = self.OUTPUT(vectors, found.last_hidden_state, found.hidden_states, found.attentions)
        return self.returned(made, inputs.get("return_dict"))


class ClapTextModelWithProjection(_Projected):
    """Vectors of texts in the space that sounds share, (B, E)."""

    config_class: ClassVar[Any] = ClapTextConfig
    base_model_prefix = "text_model"
    OUTPUT = ClapTextModelOutput
    SIGNATURE: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "position_ids", *OPTIONS)

    def __init__(self, config: ClapTextConfig) -> None:
        super().__init__(config)
        self.text_model = ClapTextModel(config)
        self.text_projection = ClapProjectionLayer(config)
        self.post_init()


class ClapAudioModelWithProjection(_Projected, ReadsSpectrograms):
    """Vectors of sounds in the space that texts share, (B, E)."""

    config_class: ClassVar[Any] = ClapAudioConfig
    base_model_prefix = "audio_model"
    main_input_name = "input_features"
    OUTPUT = ClapAudioModelOutput
    SIGNATURE: ClassVar[tuple[str, ...]] = ClapAudioModel.SIGNATURE
    KEYWORDS: ClassVar[tuple[str, ...]] = ClapAudioModel.KEYWORDS

    def __init__(self, config: ClapAudioConfig) -> None:
        super().__init__(config)
        self.audio_model = ClapAudioModel(config)
        self.audio_projection = of_sounds(config)
        self.post_init()


MODEL_TYPES = {"clap": ClapConfig, "clap_text_model": ClapTextConfig, "clap_audio_model": ClapAudioConfig}
TOKENIZER = roberta.RobertaTokenizer
FEATURE_EXTRACTOR = ClapFeatureExtractor
PROCESSOR = ClapProcessor
HEADS = {
    "base": ClapModel,
    "text": ClapTextModel,
    "audio": ClapAudioModel,
    "text-projection": ClapTextModelWithProjection,
    "audio-projection": ClapAudioModelWithProjection,
}
PARTS = {"clap_text_model": {"base": ClapTextModel}, "clap_audio_model": {"base": ClapAudioModel}}
TINY = {
    "text_config": {
        "vocab_size": 99,
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 40,
        "projection_dim": 20,
    },
    "audio_config": {
        "window_size": 4,
        "num_mel_bins": 16,
        "spec_size": 32,
        "patch_size": 4,
        "patch_stride": 4,
        "hidden_size": 16,
        "patch_embeds_hidden_size": 8,
        "depths": [2, 2],
        "num_attention_heads": [2, 4],
        "mlp_ratio": 2.0,
        "num_hidden_layers": 2,
        "projection_dim": 20,
        "enable_fusion": True,
    },
    "projection_dim": 20,
}
