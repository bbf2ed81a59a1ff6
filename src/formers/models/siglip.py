"""SigLIP: two towers as CLIP's, of which each pair of a text and a picture is told by itself to belong together or not.

A picture has no class token: a learned vector attends to its patches. A text's vector is its last column's.
Source: Zhai et al. 2023 (arXiv 2303.15343); google-research/big_vision.
Letters: B batch, T columns, D width of a tower, H heads, P patches.
"""

from __future__ import annotations

import string
from typing import Any, ClassVar

import torch
from tokenizers import AddedToken, Regex, normalizers
from torch import Tensor, nn

from .. import two_towers, vision
from ..cache import Cache
from ..config import PretrainedConfig
from ..errors import ConfigError
from ..layers import by_hand
from ..modeling import OPTIONS, PreTrainedModel
from ..ops import losses
from ..ops.attention import attention
from ..ops.layout import Layout
from ..ops.step import Step
from ..processing import BaseImageProcessor, PILImageResampling, ProcessorMixin
from ..processing.transforms import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD
from ..tokenization import SentencePieceTokenizer
from . import clip
from .bert import head_width


class SiglipTextConfig(PretrainedConfig):
    """Defaults are those of google/siglip-base-patch16-224. projection_size: of a text's vector, D if left out."""

    model_type = "siglip_text_model"
    base_config_key = "text_config"

    vocab_size: int = 32000
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = 64
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 49406
    eos_token_id: int | list[int] | None = 49407
    projection_size: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.projection_size is None:
            self.projection_size = self.hidden_size


class SiglipVisionConfig(PretrainedConfig):
    """Defaults are those of google/siglip-base-patch16-224. vision_use_head: whether there is a vector of a picture."""

    model_type = "siglip_vision_model"
    base_config_key = "vision_config"

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    vision_use_head: bool = True


class SiglipConfig(two_towers.TwoTowersConfig):
    """The configurations of both towers."""

    model_type = "siglip"
    sub_configs = {"text_config": SiglipTextConfig, "vision_config": SiglipVisionConfig}

    initializer_factor: float = 1.0


def _special(token: str) -> AddedToken:
    return AddedToken(token, lstrip=True, rstrip=True, normalized=False, special=True)


class SiglipTokenizer(SentencePieceTokenizer):
    """SentencePiece of words in small letters without punctuation, with the end after each text."""

    FRAME = ("$A:0 eos:0", "$A:0 eos:0 $B:0 eos:0")
    TOKENS: ClassVar[dict[str, Any]] = {
        "eos_token": _special("</s>"),
        "unk_token": _special("<unk>"),
        "pad_token": _special("</s>"),
    }
    _options = (*SentencePieceTokenizer._options, "do_lower_case")

    def __init__(
        self, *args: Any, model_max_length: int | None = 64, do_lower_case: bool = True, **kwargs: Any
    ) -> None:
        self.do_lower_case = do_lower_case
        super().__init__(*args, model_max_length=model_max_length, do_lower_case=do_lower_case, **kwargs)

    def normalizing(self, charsmap: list[Any]) -> Any:
        """Small letters, no punctuation, and one space for any white space, before what the file says."""
        marks = normalizers.Replace(Regex(r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""), "")
        lower = [normalizers.Lowercase()] if self.do_lower_case else []
        spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        return normalizers.Sequence([*lower, marks, *spaces, *charsmap])

    def canonicalize_text(self, text: str, *, keep_punctuation_exact_string: str | None = None) -> str:
        """The text as it is read: without punctuation but for one string that is to be kept."""
        text, kept = text.lower() if self.do_lower_case else text, keep_punctuation_exact_string
        parts = text.split(kept) if kept else [text]
        return " ".join((kept or "").join(part.translate(_NO_MARKS) for part in parts).split())


_NO_MARKS = str.maketrans("", "", string.punctuation)
SiglipTokenizerFast = SiglipTokenizer


class SiglipImageProcessor(BaseImageProcessor):
    """RGB images to squares of 224 pixels."""

    do_resize = True
    size = {"height": 224, "width": 224}
    resample = PILImageResampling.BICUBIC
    default_to_square = False
    do_convert_rgb = True
    do_rescale = True
    do_normalize = True
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD


class SiglipProcessor(ProcessorMixin):
    """Siglip's image processor and tokenizer."""

    image_processor_class = SiglipImageProcessor
    tokenizer_class = SiglipTokenizer


LAYER = ("hidden_states", "attention_mask", "output_attentions")


class SiglipAttention(clip.CLIPAttention):
    @by_hand(*LAYER)
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.attended(rows, step, head_mask)


class SiglipMLP(clip.CLIPMLP):
    pass


class SiglipEncoderLayer(two_towers.TowerLayer):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = SiglipAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = SiglipMLP(config)


class SiglipEncoder(two_towers.TowerEncoder):
    LAYER = SiglipEncoderLayer


class SiglipTextEmbeddings(two_towers.TextEmbeddings):
    pass


class SiglipVisionEmbeddings(nn.Module):
    """Patches with positions."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config, patch = config, vision.sides(config, "patch_size")
        down, across = vision.grid_of(config)
        self.patch_embedding = nn.Conv2d(config.num_channels, config.hidden_size, kernel_size=patch, stride=patch)
        self.position_embedding = nn.Embedding(down * across, config.hidden_size)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool | None = None) -> Tensor:
        """(B, C, H, W) to (B, P, D)."""
        images = vision.checked_images(type(self).__name__, pixel_values, self.config.num_channels)
        rows, size = vision.project(self.patch_embedding, images), (images.shape[2], images.shape[3])
        table = self.position_embedding.weight[None]
        return vision.with_positions(rows, table, self.config, size, interpolate_pos_encoding)


class ProbeAttention(nn.Module):
    """Attention of one vector a picture to its patches; its weights have the names of torch's MultiheadAttention."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        D, self.heads, self.kernel = config.hidden_size, config.num_attention_heads, config._attn_implementation
        head_width(config)
        self.in_proj_weight = nn.Parameter(torch.empty(3 * D, D))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * D))
        self.out_proj = nn.Linear(D, D)

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.in_proj_bias)

    def forward(self, probe: Tensor, rows: Tensor, layout: Layout) -> Tensor:
        """A probe (B, 1, D) and rows of the layout to (B, 1, D)."""
        D = probe.shape[-1]
        query = nn.functional.linear(probe, self.in_proj_weight[:D], self.in_proj_bias[:D])
        key, value = nn.functional.linear(rows, self.in_proj_weight[D:], self.in_proj_bias[D:]).chunk(2, dim=-1)
        step = Step(Layout(layout.batch, 1))
        return self.out_proj(attention(query, key, value, step, heads=self.heads, memory=layout, kernel=self.kernel)[0])


class SiglipMultiheadAttentionPoolingHead(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.attention = ProbeAttention(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = SiglipMLP(config)

    def forward(self, hidden_state: Tensor, layout: Layout | None = None) -> Tensor:
        """Rows of the layout, or (B, P, D), to a vector a picture, (B, D)."""
        layout = Layout(*hidden_state.shape[:2]) if layout is None else layout
        found = self.attention(self.probe.expand(layout.batch, -1, -1), hidden_state, layout)
        return (found + self.mlp(self.layernorm(found)))[:, 0]


class SiglipPreTrainedModel(PreTrainedModel):
    """What SigLIP's models share."""

    config_class: ClassVar[Any] = SiglipConfig
    base_model_prefix = "siglip"

    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of one module by how much goes into each of its numbers."""
        super()._init_weights(module)
        if isinstance(module, clip.CLIPAttention):
            for layer in module.linear():
                nn.init.xavier_uniform_(layer.weight)
        elif isinstance(module, clip.CLIPMLP):
            for layer in (module.fc1, module.fc2):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)
        elif isinstance(module, ProbeAttention):
            module.reset_parameters()
        elif isinstance(module, SiglipMultiheadAttentionPoolingHead):
            nn.init.xavier_uniform_(module.probe)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)


class SiglipTextTransformer(SiglipPreTrainedModel, two_towers.TextTower):
    """The tower that reads texts: hidden states (B, T, D), and of the last column through a layer (B, projection_size).

    Texts are padded to one length for it, without a mask: the last column is read also where it is padding."""

    config_class: ClassVar[Any] = SiglipTextConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = SiglipTextEmbeddings(config)
        self.encoder = SiglipEncoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.head = nn.Linear(config.hidden_size, config.projection_size)
        self.post_init()

    def layout_of_inputs(
        self, inputs: dict[str, Any], keep_padding: bool = False, reads_first: bool = True, cache: Cache | None = None
    ) -> Layout:
        return super().layout_of_inputs(inputs, keep_padding=True, reads_first=reads_first, cache=cache)

    def vector(self, layout: Layout, rows: Tensor, inputs: dict[str, Any]) -> Tensor:
        return self.head(rows[:, -1])


class SiglipVisionTransformer(SiglipPreTrainedModel, vision.ImageBody):
    """The tower that reads pictures: hidden states (B, P, D), and a vector of all patches (B, D)."""

    config_class: ClassVar[Any] = SiglipVisionConfig
    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = ("interpolate_pos_encoding", "attention_mask")
    WORDS = "embeddings.patch_embedding"
    NORM = "post_layernorm"
    EMBEDDINGS: ClassVar[Any] = SiglipVisionEmbeddings

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = self.EMBEDDINGS(config)
        self.encoder = SiglipEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        if config.vision_use_head:
            self.head = SiglipMultiheadAttentionPoolingHead(config)
        self.post_init()

    def columns(self, height: int, width: int) -> int:
        """P, for pictures of that size."""
        return super().columns(height, width) - 1

    def vector(self, layout: Layout, rows: Tensor, inputs: dict[str, Any]) -> Tensor | None:
        return self.head(rows) if self.config.vision_use_head else None


class SiglipTextModel(SiglipPreTrainedModel, two_towers.Around):
    """The tower that reads texts, by itself."""

    config_class: ClassVar[Any] = SiglipTextConfig
    base_model_prefix = "text_model"
    SIGNATURE: ClassVar[tuple[str, ...]] = SiglipTextTransformer.SIGNATURE
    TOWER: ClassVar[Any] = SiglipTextTransformer

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.text_model = self.TOWER(config)
        self.post_init()


class SiglipVisionModel(SiglipPreTrainedModel, two_towers.Around, vision.ReadsImages):
    """The tower that reads pictures, by itself."""

    config_class: ClassVar[Any] = SiglipVisionConfig
    base_model_prefix = "vision_model"
    SIGNATURE: ClassVar[tuple[str, ...]] = SiglipVisionTransformer.SIGNATURE
    KEYWORDS: ClassVar[tuple[str, ...]] = SiglipVisionTransformer.KEYWORDS
    TOWER: ClassVar[Any] = SiglipVisionTransformer

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.vision_model = self.TOWER(config)
        self.post_init()


class SiglipModel(SiglipPreTrainedModel, two_towers.TwoTowers):
    """Compares texts with pictures: logits are cosines times a learned scale, and a learned bias; their sigmoid says
    how likely both belong together."""

    TOWERS: ClassVar[tuple[Any, Any]] = (SiglipTextTransformer, SiglipVisionTransformer)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        text, pictures = config.text_config, config.vision_config
        if not pictures.vision_use_head or text.projection_size != pictures.hidden_size:
            raise ConfigError(
                f"{type(self).__name__} compares vectors of one width: it needs vision_use_head=True, and its text's "
                f"projection_size={text.projection_size} as wide as its pictures' hidden_size={pictures.hidden_size}."
            )
        self.add_towers(*self.TOWERS)
        self.logit_scale = nn.Parameter(torch.zeros(1))
        self.logit_bias = nn.Parameter(torch.zeros(1))
        self.post_init()

    def project_text(self, text: Any) -> Tensor:
        found: Tensor = text.pooler_output
        return found

    def project_images(self, image: Any) -> Tensor:
        found: Tensor = image.pooler_output
        return found

    def similarities(self, texts: Tensor, images: Tensor) -> Tensor:
        return super().similarities(texts, images) + self.logit_bias.to(texts.device)

    def loss(self, logits: Tensor) -> Tensor:
        return losses.pairs_apart(logits)


class SiglipForImageClassification(SiglipPreTrainedModel, vision.ImageClassification):
    """Label a picture, of the mean of its patches."""

    base_model_prefix = "vision_model"
    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", "labels", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = (*vision.ImageClassification.KEYWORDS, "interpolate_pos_encoding")
    READS = "tokens"
    TOWER: ClassVar[Any] = SiglipVisionTransformer

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.vision_model = self.TOWER(config.vision_config)
        self.add_classifier(config.vision_config.hidden_size)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(rows.mean(dim=1))


MODEL_TYPES = {
    "siglip": SiglipConfig,
    "siglip_text_model": SiglipTextConfig,
    "siglip_vision_model": SiglipVisionConfig,
}
TOKENIZER = SiglipTokenizer
IMAGE_PROCESSOR = SiglipImageProcessor
PROCESSOR = SiglipProcessor
HEADS = {
    "base": SiglipModel,
    "zero-shot-image-classification": SiglipModel,
    "image-classification": SiglipForImageClassification,
    "text": SiglipTextModel,
    "vision": SiglipVisionModel,
}
PARTS = {"siglip_text_model": {"base": SiglipTextModel}, "siglip_vision_model": {"base": SiglipVisionModel}}
TINY = {
    "text_config": {
        "vocab_size": 99,
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 40,
        "projection_size": 24,
    },
    "vision_config": {
        "hidden_size": 24,
        "intermediate_size": 37,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 24,
        "patch_size": 8,
    },
    "num_labels": 3,
}
