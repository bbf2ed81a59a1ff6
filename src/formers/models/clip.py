"""CLIP: a tower that reads texts and one that reads pictures, whose vectors of what belongs together are near.

Source: Radford et al. 2021 (arXiv 2103.00020); openai/CLIP.
Letters: B batch, T columns, D width of a tower, F width of the feed-forward, E width of the space, P patches.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.processors import RobertaProcessing
from torch import Tensor, nn

from .. import two_towers, vision
from ..config import PretrainedConfig
from ..cross_attention import EitherAttention
from ..layers import by_hand, first_column
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.activations import activation
from ..ops.layout import Layout
from ..ops.step import Step
from ..outputs import CLIPTextModelOutput, CLIPVisionModelOutput
from ..processing import BaseImageProcessor, PILImageResampling, ProcessorMixin
from ..processing.transforms import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from ..tokenization import ByteLevelTokenizer
from .bert import head_width

_END = "<|endoftext|>"
_OLD_END = 2  # what configurations up to Transformers 4.30 call the end, which it is not
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class CLIPTextConfig(PretrainedConfig):
    """Defaults are those of openai/clip-vit-base-patch32."""

    model_type = "clip_text_model"
    base_config_key = "text_config"

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 0.02
    initializer_factor: float = 1.0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 49406
    eos_token_id: int | list[int] | None = 49407


class CLIPVisionConfig(PretrainedConfig):
    """Defaults are those of openai/clip-vit-base-patch32."""

    model_type = "clip_vision_model"
    base_config_key = "vision_config"

    hidden_size: int = 768
    intermediate_size: int = 3072
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 0.02
    initializer_factor: float = 1.0


class CLIPConfig(two_towers.TwoTowersConfig):
    """projection_dim: E. logit_scale_init_value: the logarithm of what cosines are multiplied by, to begin with."""

    model_type = "clip"
    sub_configs = {"text_config": CLIPTextConfig, "vision_config": CLIPVisionConfig}

    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592
    initializer_factor: float = 1.0


class CLIPTokenizer(ByteLevelTokenizer):
    """Byte-level BPE of words in small letters, whose last token says that the word ends there."""

    TOKENS = {"unk_token": _END, "bos_token": "<|startoftext|>", "eos_token": _END, "pad_token": _END}
    MODEL = {"continuing_subword_prefix": "", "end_of_word_suffix": "</w>", "fuse_unk": False, "unk_token": _END}
    NORMALIZER = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )

    @classmethod
    def _open(cls, vocab_file: Any, merges_file: Any, tokenizer_file: Any, tokenizer_object: Any) -> Tokenizer:
        made = super()._open(vocab_file, merges_file, tokenizer_file, tokenizer_object)
        words, around = decoders.Replace("</w>", " "), decoders.Replace(Regex(r"^[\s\x1c-\x1f]+|[\s\x1c-\x1f]+$"), "")
        made.decoder = decoders.Sequence([decoders.ByteLevel(), words, around])
        return made

    @classmethod
    def splitting(cls, words: Any) -> Any:
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_WORDS), "removed", invert=True), words])

    def _around(self) -> None:
        begin: Any = (self.bos_token, self.bos_token_id)
        end: Any = (self.eos_token, self.eos_token_id)
        if None not in (*begin, *end):
            around: Any = RobertaProcessing
            self._tokenizer.post_processor = around(end, begin, trim_offsets=False, add_prefix_space=False)

    @classmethod
    def longest_input(cls, config: dict[str, Any]) -> int | None:
        """The longest text that checkpoints of that configuration read, in tokens."""
        text = config.get("text_config")
        if not isinstance(text, dict):
            return super().longest_input(config)
        return super().longest_input({"max_position_embeddings": CLIPTextConfig.max_position_embeddings, **text})


CLIPTokenizerFast = CLIPTokenizer


class CLIPImageProcessor(BaseImageProcessor):
    """RGB images, the middle 224 × 224 pixels of the shortest edge at 224."""

    do_resize = True
    size = {"shortest_edge": 224}
    resample = PILImageResampling.BICUBIC
    default_to_square = False
    do_center_crop = True
    crop_size = {"height": 224, "width": 224}
    do_convert_rgb = True
    do_rescale = True
    do_normalize = True
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD


class CLIPProcessor(ProcessorMixin):
    """CLIP's image processor and tokenizer."""

    image_processor_class = CLIPImageProcessor
    tokenizer_class = CLIPTokenizer


class CLIPAttention(EitherAttention):
    def __init__(self, config: Any) -> None:
        super().__init__()
        head_width(config)
        D, self.heads, self.rate = config.hidden_size, config.num_attention_heads, config.attention_dropout
        self.kernel = config._attn_implementation
        self.k_proj = nn.Linear(D, D)
        self.v_proj = nn.Linear(D, D)
        self.q_proj = nn.Linear(D, D)
        self.out_proj = nn.Linear(D, D)

    @by_hand("hidden_states", "attention_mask", "causal_attention_mask", "output_attentions")
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.attended(rows, step, head_mask)


class CLIPMLP(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.activation_fn = activation(config.hidden_act)
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.fc2(self.activation_fn(self.fc1(hidden_states)))  # rows of D -> F -> D


class CLIPEncoderLayer(two_towers.TowerLayer):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.self_attn = CLIPAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = CLIPMLP(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    forward = by_hand("hidden_states", "attention_mask", "causal_attention_mask", "output_attentions")(
        two_towers.TowerLayer.run
    )


class CLIPEncoder(two_towers.TowerEncoder):
    LAYER = CLIPEncoderLayer

    forward = by_hand(
        *("inputs_embeds", "attention_mask", "causal_attention_mask", "output_attentions"),
        *("output_hidden_states", "return_dict"),
    )(two_towers.TowerEncoder.run)


class CLIPTextEmbeddings(two_towers.TextEmbeddings):
    pass


class CLIPVisionEmbeddings(nn.Module):
    """Patches after a vector that is the same for all pictures, with positions."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config, D, patch = config, config.hidden_size, vision.sides(config, "patch_size")
        self.class_embedding = nn.Parameter(torch.zeros(D))
        self.patch_embedding = nn.Conv2d(config.num_channels, D, kernel_size=patch, stride=patch, bias=False)
        down, across = vision.grid_of(config)
        self.position_embedding = nn.Embedding(down * across + 1, D)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool | None = None) -> Tensor:
        """(B, C, H, W) to (B, T, D)."""
        images = vision.checked_images(type(self).__name__, pixel_values, self.config.num_channels)
        rows = vision.project(self.patch_embedding, images)
        rows = torch.cat([self.class_embedding.expand(rows.shape[0], 1, -1).to(rows.dtype), rows], dim=1)
        size, table = (images.shape[2], images.shape[3]), self.position_embedding.weight[None]
        return vision.with_positions(rows, table, self.config, size, interpolate_pos_encoding)


class CLIPPreTrainedModel(PreTrainedModel):
    """What CLIP's models share."""

    config_class: ClassVar[Any] = CLIPConfig
    base_model_prefix = "clip"

    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of one module, narrower the more layers there are, all times `initializer_factor`."""
        super()._init_weights(module)
        config, draw = vision.of_pictures(self.config), nn.init.normal_
        if isinstance(module, CLIPAttention | CLIPMLP):
            D, factor = config.hidden_size, config.initializer_factor
            added = D**-0.5 * (2 * config.num_hidden_layers) ** -0.5 * factor
            if isinstance(module, CLIPMLP):
                draw(module.fc1.weight, std=(2 * D) ** -0.5 * factor)
                draw(module.fc2.weight, std=added)
                return
            for layer in (module.q_proj, module.k_proj, module.v_proj):
                draw(layer.weight, std=added)
            draw(module.out_proj.weight, std=D**-0.5 * factor)
        elif isinstance(module, CLIPVisionEmbeddings):
            draw(module.class_embedding, std=config.hidden_size**-0.5 * config.initializer_factor)

    def _std(self) -> float:
        return float(getattr(self.config, "initializer_range", 0.02) * self.config.initializer_factor)


class CLIPTextTransformer(CLIPPreTrainedModel, two_towers.TextTower):
    """The tower that reads texts: hidden states (B, T, D), and of each text's end (B, D)."""

    config_class = CLIPTextConfig

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__(config)
        self.embeddings = CLIPTextEmbeddings(config)
        self.encoder = CLIPEncoder(config, causal=True)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def causal(self) -> bool:
        """Always."""
        return True

    def vector(self, layout: Layout, rows: Tensor, inputs: dict[str, Any]) -> Tensor:
        ids, columns = inputs["input_ids"], torch.arange(layout.batch, device=rows.device)
        return rows[columns, ends(ids, self.config.eos_token_id, inputs.get("attention_mask"))]


def ends(ids: Tensor, end: int | list[int] | None, mask: Tensor | None) -> Tensor:
    """(B,) the column of each text's first end that is no padding, though the same token may pad; 0 without an end.

    Where configurations call it 2, it is the highest id there is."""
    real = mask if mask is not None and mask.shape == ids.shape else torch.ones_like(ids)
    if end == _OLD_END:
        return ids.masked_fill(real == 0, -1).argmax(-1)
    found = torch.isin(ids, torch.tensor([] if end is None else end, device=ids.device))
    inside = found & (real != 0)
    return torch.where(inside.any(-1, keepdim=True), inside, found).int().argmax(-1)


class CLIPVisionTransformer(CLIPPreTrainedModel, vision.ImageBody):
    """The tower that reads pictures: hidden states (B, T, D), and of the first column through a norm (B, D)."""

    config_class = CLIPVisionConfig
    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = ("interpolate_pos_encoding", "attention_mask")
    WORDS = "embeddings.patch_embedding"
    NORM = ""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = CLIPVisionEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.encoder = CLIPEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        return self.pre_layrnorm(self.embeddings(**inputs))

    def vector(self, layout: Layout, rows: Tensor, inputs: dict[str, Any]) -> Tensor:
        return self.post_layernorm(first_column(rows))


class CLIPTextModel(CLIPPreTrainedModel, two_towers.Around):
    """The tower that reads texts, by itself."""

    config_class = CLIPTextConfig
    base_model_prefix = "text_model"
    SIGNATURE: ClassVar[tuple[str, ...]] = CLIPTextTransformer.SIGNATURE

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__(config)
        self.text_model = CLIPTextTransformer(config)
        self.post_init()


class CLIPVisionModel(CLIPPreTrainedModel, two_towers.Around, vision.ReadsImages):
    """The tower that reads pictures, by itself."""

    config_class = CLIPVisionConfig
    base_model_prefix = "vision_model"
    SIGNATURE: ClassVar[tuple[str, ...]] = CLIPVisionTransformer.SIGNATURE
    KEYWORDS: ClassVar[tuple[str, ...]] = CLIPVisionTransformer.KEYWORDS

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__(config)
        self.vision_model = CLIPVisionTransformer(config)
        self.post_init()


class CLIPTextModelWithProjection(CLIPTextModel):
    """Vectors of texts in the space that pictures share, (B, E)."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__(config)
        self.text_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)
        self.post_init()

    def compute(self, inputs: dict[str, Any]) -> Any:
        found = self.text_model(**{**inputs, "return_dict": True})
        vectors = self.text_projection(found.pooler_output)
        made = CLIPTextModelOutput(vectors, found.last_hidden_state, found.hidden_states, found.attentions)
        return self.returned(made, inputs.get("return_dict"))


class CLIPVisionModelWithProjection(CLIPVisionModel):
    """Vectors of pictures in the space that texts share, (B, E)."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__(config)
        self.visual_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)
        self.post_init()

    def compute(self, inputs: dict[str, Any]) -> Any:
        found = self.vision_model(**{**inputs, "return_dict": True})
        vectors = self.visual_projection(found.pooler_output)
        made = CLIPVisionModelOutput(vectors, found.last_hidden_state, found.hidden_states, found.attentions)
        return self.returned(made, inputs.get("return_dict"))


class CLIPModel(CLIPPreTrainedModel, two_towers.TwoTowers):
    """Compares texts with pictures: logits are cosines times a learned scale."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        self.add_towers(CLIPTextTransformer, CLIPVisionTransformer)
        self.visual_projection = nn.Linear(config.vision_config.hidden_size, config.projection_dim, bias=False)
        self.text_projection = nn.Linear(config.text_config.hidden_size, config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        two_towers.TwoTowers._init_weights(self, module)
        if module in (self.visual_projection, self.text_projection):
            nn.init.normal_(module.weight, std=module.in_features**-0.5 * self.config.initializer_factor)


class CLIPForImageClassification(CLIPPreTrainedModel, vision.ImageClassification):
    """Label a picture, of the mean of its patches."""

    base_model_prefix = "vision_model"
    SIGNATURE: ClassVar[tuple[str, ...]] = ("pixel_values", "labels", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = (*vision.ImageClassification.KEYWORDS, "interpolate_pos_encoding")
    READS = "tokens"

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        self.vision_model = CLIPVisionTransformer(config.vision_config)
        self.add_classifier(config.vision_config.hidden_size)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(rows[:, 1:].mean(dim=1))


MODEL_TYPES = {"clip": CLIPConfig, "clip_text_model": CLIPTextConfig, "clip_vision_model": CLIPVisionConfig}
TOKENIZER = CLIPTokenizer
IMAGE_PROCESSOR = CLIPImageProcessor
PROCESSOR = CLIPProcessor
HEADS = {
    "base": CLIPModel,
    "zero-shot-image-classification": CLIPModel,
    "image-classification": CLIPForImageClassification,
    "text": CLIPTextModel,
    "vision": CLIPVisionModel,
    "text-projection": CLIPTextModelWithProjection,
    "vision-projection": CLIPVisionModelWithProjection,
}
PARTS = {"clip_text_model": {"base": CLIPTextModel}, "clip_vision_model": {"base": CLIPVisionModel}}
TINY = {
    "text_config": {
        "vocab_size": 99,
        "hidden_size": 32,
        "intermediate_size": 37,
        "projection_dim": 20,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 40,
        "bos_token_id": 97,
        "eos_token_id": 98,
    },
    "vision_config": {
        "hidden_size": 24,
        "intermediate_size": 37,
        "projection_dim": 20,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 24,
        "patch_size": 8,
    },
    "projection_dim": 20,
    "num_labels": 3,
}
