"""Idefics 3: a decoder that reads pictures in texts, each as a few rows; patches that are neighbours become one.

Source: Laurençon et al. 2024 (arXiv 2408.12637).
Letters: B texts, n pictures of a text at most, I pictures, C channels, H height, W width, P patches of a picture, D
width of the vision model, s scale_factor, R = P / s² rows of a picture, E width of the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import outputs, seeing, vision
from ..cache import Cache
from ..config import PretrainedConfig
from ..errors import InputError
from ..layers import by_hand
from ..modeling import OPTIONS
from ..ops.layout import Layout
from ..processing import BaseImageProcessor, BatchFeature, PILImageResampling
from ..processing.chats import ImageTextProcessor
from ..processing.tiles import longest_edge, padded_tiles, tiles_of, whole_tiles
from ..processing.transforms import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, Array, Picture, size_of
from ..tokenization import PreTrainedTokenizer
from ..two_towers import TowerEncoder, TowerLayer
from . import clip, llama


class Idefics3VisionConfig(PretrainedConfig):
    """Defaults are those of the reference."""

    model_type = "idefics3_vision"
    base_config_key = "vision_config"

    hidden_size: int = 1152
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 32
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    initializer_range: float = 0.02


class Idefics3Config(seeing.SeeingConfig):
    """Defaults are those of HuggingFaceM4/Idefics3-8B-Llama3. scale_factor: s."""

    model_type = "idefics3"
    sub_configs = {"text_config": llama.LlamaConfig, "vision_config": Idefics3VisionConfig}
    DEFAULTS = {"text_config": {"rms_norm_eps": 1e-5}}

    use_cache: bool = True
    image_token_id: int = 128257
    tie_word_embeddings: bool = False
    scale_factor: int = 2


class Idefics3ImageProcessor(BaseImageProcessor):
    """RGB images as tiles and, after them, the whole image in a tile's size.

    Images may be in lists, one a text. Gives `pixel_values` (N, T, C, H, W) and `pixel_attention_mask` (N, T, H, W), T
    the most tiles of a list; with return_row_col_info also `rows` and `cols`, how many tiles each image has down and
    across, 0 for one that is whole.

    size: `longest_edge` of an image; max_image_size: that of a tile.
    do_image_splitting: make tiles; else each image becomes one tile.
    """

    model_input_names = ["pixel_values", "pixel_attention_mask"]
    skip_tensor_conversion = ("rows", "cols")

    do_convert_rgb = True
    do_resize = True
    size: Any = {"longest_edge": 4 * 364}
    resample = PILImageResampling.LANCZOS
    do_rescale = True
    do_normalize = True
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    do_pad = True
    do_image_splitting: bool = True
    max_image_size: Any = {"longest_edge": 364}
    return_row_col_info: bool = False

    def preprocess(self, images: Any, return_tensors: Any = None, **overrides: Any) -> BatchFeature:
        """As the others; lists in a list are the images of one text each."""
        own = self.with_settings(overrides)
        nested = isinstance(images, (list, tuple)) and all(isinstance(group, (list, tuple)) for group in images)
        groups = [own.listed(group) if len(group) else [] for group in (images if nested else [images])]
        made = iter(own.each(own.one, own.listed(groups)) if any(groups) else ())
        return own.feature(own.batch([[next(made) for _ in group] for group in groups]), return_tensors)

    def listed(self, images: Any, dimensions: int = 3) -> list[Any]:
        """As the others, where some of the lists may be empty."""
        if isinstance(images, list) and all(isinstance(group, list) for group in images) and any(images):
            return [image for group in images for image in group]
        return super().listed(images, dimensions)

    def one(self, picture: Picture) -> tuple[list[Array], int, int]:
        """The tiles of an image, and how many there are down and across."""
        if self.do_resize:
            picture = self.resized(picture)
        edge = self.max_image_size["longest_edge"]
        if not self.do_image_splitting:
            return [self.numbers(self.resized_to(picture, (edge, edge)))], 0, 0
        picture = self.resized_to(picture, whole_tiles(size_of(picture), edge))
        height, width = size_of(picture)
        if max(height, width) <= edge:
            return [self.numbers(picture)], 0, 0
        whole = self.numbers(self.resized_to(picture, (edge, edge)))
        return [*tiles_of(self.numbers(picture), edge), whole], height // edge, width // edge

    def resized(self, picture: Picture) -> Picture:
        if self.size.longest_edge:
            return self.resized_to(picture, longest_edge(size_of(picture), self.size.longest_edge))
        if not self.size.height:
            raise InputError(f"size={dict(self.size)} must have longest_edge, or height and width.")
        return self.resized_to(picture, (self.size.height, self.size.width))

    def batch(self, made: list[Any]) -> dict[str, Any]:
        tiles = [[tile for image, _, _ in group for tile in image] for group in made]
        found: dict[str, Any] = {"pixel_values": tiles}
        if self.do_pad:
            found = padded_tiles(tiles)
        if self.return_row_col_info:
            found["rows"] = [[rows for _, rows, _ in group] for group in made]
            found["cols"] = [[columns for _, _, columns in group] for group in made]
        return found

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_dict().items() if name != "return_row_col_info"}


class Idefics3Processor(ImageTextProcessor):
    """An image becomes `image_seq_len` tokens, or where it is split, as many for each tile, with its row and column."""

    image_processor_class = Idefics3ImageProcessor
    tokenizer_class = PreTrainedTokenizer
    unused_input_names = ("rows", "cols", "token_type_ids")
    SETTINGS = {"image_seq_len": 169}
    image_seq_len: int

    def of_images(self) -> dict[str, Any]:
        return {"return_row_col_info": True}

    def _written(self, name: str, default: str) -> str:
        return getattr(self.tokenizer, name, None) or default

    def places(self, seen: Mapping[str, Any]) -> list[str]:
        around, tiles = (
            self._written("fake_image_token", "<fake_token_around_image>"),
            self.image_token * self.image_seq_len,
        )
        whole = around + self._written("global_image_token", "<global-img>") + tiles + around
        counts = [pair for texts in zip(seen["rows"], seen["cols"], strict=True) for pair in zip(*texts, strict=True)]

        def split(rows: int, columns: int) -> str:
            lines = (
                "".join(f"{around}<row_{row}_col_{column}>{tiles}" for column in range(1, columns + 1)) + "\n"
                for row in range(1, rows + 1)
            )
            return "".join(lines) + "\n"

        return [(split(rows, columns) if rows else "") + whole for rows, columns in counts]


class Idefics3VisionAttention(clip.CLIPAttention):
    pass


class Idefics3VisionMLP(clip.CLIPMLP):
    pass


class Idefics3EncoderLayer(TowerLayer):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.self_attn = Idefics3VisionAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = Idefics3VisionMLP(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    forward = by_hand("hidden_states", "attention_mask", "output_attentions")(TowerLayer.run)


class Idefics3Encoder(TowerEncoder):
    LAYER = Idefics3EncoderLayer


class Idefics3VisionEmbeddings(nn.Module):
    """Patches with the positions of a grid that every picture is stretched to, whatever its shape."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        D, patch = config.hidden_size, vision.sides(config, "patch_size")
        self.num_channels, self.num_patches_per_side = config.num_channels, vision.grid_of(config)[0]
        self.patch_embedding = nn.Conv2d(config.num_channels, D, kernel_size=patch, stride=patch)
        self.position_embedding = nn.Embedding(self.num_patches_per_side**2, D)

    def forward(self, pixel_values: Tensor, patch_attention_mask: Tensor | None = None) -> Tensor:
        """(I, C, H, W) and which patches are the picture's, (I, H/p, W/p), to (I, P, D)."""
        images = vision.checked_images(type(self).__name__, pixel_values, self.num_channels)
        patches = self.patch_embedding(images.to(self.patch_embedding.weight.dtype))
        mask = patch_attention_mask
        if mask is None:
            mask = torch.ones(len(images), *patches.shape[2:], device=images.device)
        mask = mask.bool()
        down, across = (self._buckets(x) for x in (mask[:, :, 0], mask[:, 0, :]))
        places = down[:, :, None] * self.num_patches_per_side + across[:, None]  # (I, H/p, W/p)
        return patches.flatten(2).transpose(1, 2) + self.position_embedding(places.masked_fill(~mask, 0).flatten(1))

    def _buckets(self, real: Tensor) -> Tensor:
        """(I, patches of a side): the place in the grid of each, of which `real` says how many there are."""
        side, each = self.num_patches_per_side, torch.arange(real.shape[1], device=real.device, dtype=torch.float)
        shares = (each * (1.0 / real.sum(1, keepdim=True))).clamp(max=1 - 1e-6)
        return torch.bucketize(shares, torch.arange(1 / side, 1.0, 1 / side, device=real.device), right=True)


class Idefics3SimpleMLP(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.vision_config.hidden_size * config.scale_factor**2
        self.proj = nn.Linear(width, config.text_config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Idefics3Connector(nn.Module):
    """Squares of s · s patches become a row each."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.scale_factor = config.scale_factor
        self.modality_projection = Idefics3SimpleMLP(config)

    def pixel_shuffle(self, x: Tensor, scale_factor: int = 2) -> Tensor:
        """(I, P, D) to (I, R, s² · D), of square pictures."""
        side, s = int(x.shape[1] ** 0.5), scale_factor
        if side * side != x.shape[1] or side % s:
            raise InputError(
                f"A picture has {x.shape[1]} patches, which are no square of a side that scale_factor={s} divides: "
                "give square pictures, as the model's processor makes them."
            )
        squares = x.view(len(x), side // s, s, side // s, s, -1).transpose(2, 3)
        return squares.reshape(len(x), (side // s) ** 2, -1)

    def forward(self, image_hidden_states: Tensor) -> Tensor:
        return self.modality_projection(self.pixel_shuffle(image_hidden_states, self.scale_factor))


class Idefics3VisionTransformer(vision.ImageBody):
    """The model that reads pictures alone: hidden states (I, P, D)."""

    config_class: ClassVar[Any] = Idefics3VisionConfig
    base_model_prefix = "vision_model"
    SIGNATURE = ("pixel_values", "patch_attention_mask", *OPTIONS)
    KEYWORDS = ()
    EMBEDDED = ("pixel_values", "patch_attention_mask")
    WORDS = "embeddings.patch_embedding"
    NORM = "post_layernorm"
    LAYERS: ClassVar[Any] = Idefics3Encoder

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = Idefics3VisionEmbeddings(config)
        self.encoder = self.LAYERS(config)
        self.patch_size = config.patch_size
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def layout_of_inputs(
        self,
        inputs: dict[str, Any],
        keep_padding: bool = False,
        reads_first: bool = True,
        cache: Cache | None = None,
    ) -> Layout:
        images = vision.checked_images(type(self).__name__, inputs.get("pixel_values"), self.config.num_channels)
        grid, mask = vision.grid_of(self.config, *images.shape[2:]), inputs.get("patch_attention_mask")
        if mask is not None and tuple(mask.shape) != (len(images), *grid):
            raise InputError(
                f"patch_attention_mask has shape {tuple(mask.shape)}; it says of each patch whether it is the "
                f"picture's, {(len(images), *grid)}."
            )
        if mask is not None and bool(mask.all()):
            mask = None
        return Layout(len(images), grid[0] * grid[1], mask=None if mask is None else mask.bool().flatten(1))


class Idefics3PreTrainedModel(seeing.Seeing):
    """What Idefics 3's models share."""

    config_class: ClassVar[Any] = Idefics3Config
    base_model_prefix = "model"
    IMAGE = ("pixel_values", "pixel_attention_mask")
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", *IMAGE),
        *("image_hidden_states", "labels", "use_cache", *OPTIONS),
    )
    KEYWORDS = (*seeing.Seeing.KEYWORDS, "mm_encoder_outputs")

    def picture_of_nobody(self) -> dict[str, Tensor]:
        return {name: x[:, None] for name, x in super().picture_of_nobody().items()}


class Idefics3Model(Idefics3PreTrainedModel, seeing.SeeingModel):
    """The model without a head."""

    SIGNATURE = tuple(name for name in Idefics3PreTrainedModel.SIGNATURE if name != "labels")
    VISION: ClassVar[Any] = Idefics3VisionTransformer
    CONNECTOR: ClassVar[Any] = Idefics3Connector

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.vision_model = self.VISION(config.vision_config)
        self.connector = self.CONNECTOR(config)
        self.text_model = seeing.part_of(config, "text_config")
        grid = vision.grid_of(config.vision_config)
        self.image_seq_len = grid[0] * grid[1] // config.scale_factor**2
        self.image_token_id = config.image_token_id
        seeing.names_of_parts(self, self.TEXT)
        self.post_init()

    def get_image_features(self, pixel_values: Tensor, pixel_attention_mask: Tensor | None = None, **_: Any) -> Any:
        """Of pictures (B, n, C, H, W), those of zeros left out, and which pixels are theirs, (B, n, H, W): what the
        vision model says, and as `pooler_output` the rows of each text's pictures, (its pictures · R, E)."""
        if not isinstance(pixel_values, Tensor) or pixel_values.dim() != 5:
            shape = tuple(pixel_values.shape) if isinstance(pixel_values, Tensor) else type(pixel_values).__name__
            raise InputError(
                f"pixel_values is {shape}; {type(self).__name__} reads (texts, pictures of a text, channels, height, "
                "width), as its processor makes them."
            )
        real = pixel_values.flatten(2).ne(0).any(-1)  # (B, n)
        images, mask = pixel_values.to(self.dtype)[real], pixel_attention_mask
        counts = real.sum(1).tolist()
        if not len(images):
            raise InputError("pixel_values are zeros, which is how pictures that are not there look: give pictures.")
        if mask is not None:
            patch = vision.sides(self.config.vision_config, "patch_size")
            mask = mask[real].unfold(1, patch[0], patch[0]).unfold(2, patch[1], patch[1]).flatten(3).any(-1)
        found = self.vision_model(images, mask, return_dict=True)
        rows = self.connector(found.last_hidden_state).split(counts)
        parts = [x.flatten(0, 1) for x in rows]
        return outputs.BaseModelOutputWithPooling(found.last_hidden_state, parts)  # type: ignore[arg-type]


class Idefics3ForConditionalGeneration(Idefics3PreTrainedModel, seeing.SeeingLM):
    """Writes on from texts with pictures in them."""

    KEYWORDS = (*seeing.SeeingLM.KEYWORDS, "mm_encoder_outputs")
    BODY: ClassVar[Any] = Idefics3Model

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = self.BODY(config)
        self.image_token_id, self.vocab_size = config.image_token_id, config.text_config.vocab_size
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        seeing.names_of_parts(self, f"model.{self.TEXT}")
        self.post_init()


MODEL_TYPES = {"idefics3": Idefics3Config, "idefics3_vision": Idefics3VisionConfig}
TOKENIZER = llama.LlamaTokenizer
IMAGE_PROCESSOR = Idefics3ImageProcessor
PROCESSOR = Idefics3Processor
HEADS = {
    "base": Idefics3Model,
    "image-text-to-text": Idefics3ForConditionalGeneration,
    "vision": Idefics3VisionTransformer,
}
PARTS = {"idefics3_vision": {"base": Idefics3VisionTransformer}}
TINY = {
    "text_config": {**llama.TINY, "model_type": "llama"},
    "vision_config": {
        "hidden_size": 24,
        "intermediate_size": 37,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 4,
    },
    "image_token_id": 98,
    "scale_factor": 2,
}
