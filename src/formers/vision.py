"""What models that read images share: a picture is a row of patches, which layers see as they see the tokens of a text.

    pixel_values (B, C, H, W) ─ patches ─▶ rows (B, T, D) ─ layers ─ norm ─┬─▶ last hidden state
                                                                           └─ pooler ─▶ (B, D)
Letters: B batch, C channels, H height, W width (of a picture in pixels, of its grid in patches), p side of a patch,
P patches, T columns: P and those of class tokens, D width of a row, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import heads, outputs
from .bodies import Body
from .errors import ArgumentError, ConfigError, InputError, NotTensorError
from .layers import by_hand, first_column
from .modeling import OPTIONS, PreTrainedModel
from .ops.checks import read_mask
from .ops.layout import Layout

if TYPE_CHECKING:
    from .cache import Cache
    from .ops.step import Step

# how Transformers calls a layer of patches, its attention, and a stack of layers; the last since 5.0
LAYER = ("hidden_states", "head_mask", "output_attentions", "attention_mask")
STACK = (*LAYER[:3], "output_hidden_states", "return_dict", "attention_mask")
INPUTS = ("pixel_values", "head_mask")
by_hand_layer = by_hand(*LAYER)
by_hand_stack = by_hand(*STACK)
INTERPOLATED = (*OPTIONS[:2], "interpolate_pos_encoding", OPTIONS[2])


def of_pictures(config: Any) -> Any:
    """Of a model's configuration the one of the part that reads pictures: itself where there are no parts."""
    parts = (getattr(config, name, None) for name in ("vision_config", "encoder"))
    return next((part for part in parts if part is not None), config)


class _Sized(Protocol):
    """A configuration with the size of its pictures: one number for both sides, or height and width."""

    image_size: Any
    patch_size: Any


def sides(config: Any, key: str) -> tuple[int, int]:
    """Height and width, from a key that holds both or one number for both. Raises ConfigError for anything else."""
    value = getattr(config, key)
    both = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(both) != 2 or not all(type(side) is int and side > 0 for side in both):
        raise ConfigError(f"{key}={value!r} is one number of pixels, or height and width.")
    return both


def grid_of(config: _Sized, height: int | None = None, width: int | None = None) -> tuple[int, int]:
    """How many patches there are below each other and side by side, in pictures of that size; of the configuration's
    own size where none is given. What does not fill a patch is left out. Raises ConfigError where that is all."""
    own, patch = sides(config, "image_size"), sides(config, "patch_size")
    if own[0] < patch[0] or own[1] < patch[1]:
        raise ConfigError(f"image_size={config.image_size!r} is less than patch_size={config.patch_size!r}.")
    return (height or own[0]) // patch[0], (width or own[1]) // patch[1]


def checked_images(who: str, pixel_values: Any, channels: int) -> Tensor:
    """Pixel values (B, C, H, W), floating. Raises InputError for anything else; `who` is the model's name."""
    how = "an image processor makes them: processor(image, return_tensors='pt')"
    if pixel_values is None:
        raise InputError(f"{who} reads pixel_values: {how}.")
    if not isinstance(pixel_values, Tensor):
        raise NotTensorError(f"pixel_values is a {type(pixel_values).__name__}, not a tensor; {how}.")
    shape = tuple(pixel_values.shape)
    if len(shape) != 4:
        hint = " For one picture, add a batch dimension: pixel_values[None]." if len(shape) == 3 else ""
        raise InputError(f"pixel_values has shape {shape}; it should be (batch, channels, height, width).{hint}")
    if shape[1] != channels:
        last = " The channels come first: pixel_values.permute(0, 3, 1, 2)." if shape[3] == channels else ""
        raise InputError(
            f"pixel_values has shape {shape}, {shape[1]} channels, but {who} has num_channels={channels}.{last}"
        )
    if 0 in shape:
        raise InputError(f"pixel_values has shape {shape}: there is nothing in it.")
    if not pixel_values.is_floating_point():
        raise InputError(
            f"pixel_values is {pixel_values.dtype}; models read numbers that are scaled and normalised: {how}."
        )
    return pixel_values


def pictures(config: Any, count: int = 6) -> Tensor:
    """Pixel values (count, C, H, W), normalised, of pictures that are nobody's: as in those of the world, what is
    coarse is stronger than what is fine (Field 1987), and channels are alike."""
    channels, (height, width) = config.num_channels, sides(config, "image_size")
    draw = torch.Generator().manual_seed(0)
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    amplitude = 1 / torch.hypot(down, across).clamp(min=1 / max(height, width))
    noise = torch.randn(count, channels + 1, height, width, generator=draw)
    made = torch.fft.irfft2(torch.fft.rfft2(noise) * amplitude, s=(height, width))
    made = made[:, :1] + made[:, 1:] / 2
    return (made - made.mean((1, 2, 3), keepdim=True)) / made.std((1, 2, 3), keepdim=True)


def project(convolution: nn.Conv2d, pixel_values: Tensor) -> Tensor:
    """Pixel values (B, C, H, W) to a row of each patch, (B, P, D), in the convolution's type.

    Raises InputError for pictures that are smaller than a patch."""
    size, patch = tuple(pixel_values.shape[2:]), convolution.kernel_size
    if size[0] < patch[0] or size[1] < patch[1]:
        raise InputError(
            f"pixel_values are of {size[0]} x {size[1]} pixels, less than the {patch[0]} x {patch[1]} of a patch."
        )
    found: Tensor = convolution(pixel_values.to(convolution.weight.dtype))
    return found.flatten(2).transpose(1, 2)


def interpolated(table: Tensor, own: tuple[int, int], grid: tuple[int, int], before: int = 1, **how: Any) -> Tensor:
    """A table of positions (1, before + P, D) of an `own` grid, for another `grid`; the first ones stay.

    how: keywords of torch's interpolate, bicubic without them.
    """
    if own == grid:
        return table
    first, patches = table[:, :before], table[:, before:]
    squares = patches.unflatten(1, own).permute(0, 3, 1, 2)
    resized = F.interpolate(squares.float(), size=grid, **{"mode": "bicubic", "align_corners": False, **how})
    return torch.cat([first, resized.to(table.dtype).permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def with_positions(rows: Tensor, table: Tensor, config: Any, size: tuple[int, int], interpolate: Any) -> Tensor:
    """Rows (B, T, D) of pictures of that size, each with its position's vector from the table (1, T, D) added.

    Raises InputError for pictures of another size than the configuration's, unless they are to be interpolated."""
    own, before = grid_of(config), table.shape[1] - (grid_of(config)[0] * grid_of(config)[1])
    if interpolate:
        return rows + interpolated(table, own, grid_of(config, *size), before)
    if size != (wanted := sides(config, "image_size")):
        raise InputError(
            f"pixel_values are of {size[0]} x {size[1]} pixels, but the model is for {wanted[0]} x {wanted[1]}: resize "
            "the pictures, as its image processor does, or pass interpolate_pos_encoding=True."
        )
    return rows + table


def masked(rows: Tensor, token: Tensor | None, bool_masked_pos: Tensor | None) -> Tensor:
    """Rows of patches (B, P, D) with a token (1, 1, D) in place of those that are hidden, (B, P)."""
    if bool_masked_pos is None:
        return rows
    if token is None:
        raise InputError("bool_masked_pos has no effect here: the model was made with use_mask_token=False.")
    if not isinstance(bool_masked_pos, Tensor):
        raise NotTensorError(f"bool_masked_pos is a {type(bool_masked_pos).__name__}, not a tensor (batch, patches).")
    if tuple(bool_masked_pos.shape) != tuple(rows.shape[:2]):
        raise InputError(
            f"bool_masked_pos has shape {tuple(bool_masked_pos.shape)}; it says of each patch whether it is hidden, "
            f"{tuple(rows.shape[:2])}."
        )
    hidden = bool_masked_pos[..., None].to(rows.dtype)  # numbers between 0 and 1 mix both
    return rows * (1 - hidden) + token.to(rows.dtype) * hidden


class ReadsImages(PreTrainedModel):
    """The part of a model that reads `pixel_values`.

    TOKENS: names of parameters, of whatever module, that are drawn like tokens of a table. ZEROS: those that begin as
    zeros.
    """

    main_input_name = "pixel_values"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, "labels", *INTERPOLATED)
    WORDS = "embeddings.patch_embeddings"
    TOKENS: ClassVar[tuple[str, ...]] = ("cls_token", "position_embeddings")
    ZEROS: ClassVar[tuple[str, ...]] = ("mask_token",)

    def before(self) -> int:
        """How many columns come before those of patches."""
        return 1

    def columns(self, height: int, width: int) -> int:
        """T, for pictures of that size: of a model without a head."""
        rows, columns = grid_of(self.config, height, width)
        return rows * columns + self.before()

    def layout_of_inputs(
        self,
        inputs: dict[str, Any],
        keep_padding: bool = False,
        reads_first: bool = True,
        cache: Cache | None = None,
    ) -> Layout:
        images = checked_images(type(self).__name__, inputs.get("pixel_values"), of_pictures(self.config).num_channels)
        body: Any = self.base_model
        B, T, mask = images.shape[0], body.columns(*images.shape[2:]), inputs.get("attention_mask")
        return Layout(B, T, mask=None if mask is None else read_mask(mask, B, T))

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        config = of_pictures(self.config)
        shape = (2, config.num_channels, *sides(config, "image_size"))
        return {"pixel_values": torch.linspace(-1, 1, shape[0] * shape[1] * shape[2] * shape[3]).view(shape)}

    def states(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The last hidden states (B, P, D), those of maps too."""
        found = super().states(batch)
        return found.flatten(2).transpose(1, 2) if found.dim() == 4 else found

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        return [{"pixel_values": pictures(of_pictures(self.config)).to(self.device, self.dtype)}]

    def _encoded(self, texts: list[str], tokenizer: Any) -> Mapping[str, Tensor]:
        raise ArgumentError(
            f"{type(self).__name__} reads pictures: check={texts[0]!r:.40} is a list of batches for it, "
            'such as [processor(images, return_tensors="pt")].'
        )

    def resize_token_embeddings(self, *_: Any, **__: Any) -> nn.Embedding:
        """Raise InputError: there are no words."""
        raise InputError(f"{type(self).__name__} reads pictures: it has no vocabulary to resize.")

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=self._std())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        for name, parameter in module.named_parameters(recurse=False):
            if name in self.TOKENS:
                nn.init.trunc_normal_(parameter, std=self._std())
            elif name in self.ZEROS:
                nn.init.zeros_(parameter)


class ImageBody(ReadsImages, Body):
    """A model of patches without a head: `embeddings`, a stack of layers, the norm NORM, and maybe a `pooler`."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.BaseModelOutputWithPooling
    KEYWORDS: ClassVar[tuple[str, ...]] = ("attention_mask",)
    EMBEDDED: ClassVar[tuple[str, ...]] = ("pixel_values", "bool_masked_pos", "interpolate_pos_encoding")
    UNUSED: ClassVar[tuple[str, ...]] = ()
    NORM: ClassVar[str] = "layernorm"  # of the last rows; "" for none

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        return self.embeddings(**inputs)

    def stack(self, rows: Tensor, step: Step, head_masks: Any) -> outputs.BaseModelOutput:
        found = super().stack(rows, step, head_masks)
        if not self.NORM:
            return found
        norm = getattr(self, self.NORM)
        return outputs.BaseModelOutput(norm(found.last_hidden_state), found.hidden_states, found.attentions)


class ImageClassification(ReadsImages, heads.SequenceClassification):
    """Label a picture. logits (B, L); labels (B,) ids, (B, L) floats, or numbers to regress on, as for texts.

    A family's `classifier` reads column 0; without labels, num_labels=0, it gives back what it reads."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.ImageClassifierOutput
    READS = "first"
    KEYWORDS: ClassVar[tuple[str, ...]] = (heads.ITEMS, "attention_mask")

    def made_classifier(self, width: int) -> nn.Module:
        """A last layer, of rows of that width."""
        return nn.Linear(width, self.num_labels) if self.num_labels > 0 else nn.Identity()

    def add_classifier(self, width: int) -> None:
        """Make the last layer, of rows of that width."""
        self.classifier = self.made_classifier(width)

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(first_column(rows))


class PooledImageClassification(ImageClassification):
    """Label a picture by the body's vector of it, which may be of all its patches."""

    READS = "pooled"

    def _reads_first_alone(self) -> bool:
        return False


class MaskedImageModeling(ReadsImages, heads.Head):
    """Paint hidden patches. bool_masked_pos (B, P): 1 hides a patch; `reconstruction` (B, C, H, W).

    A family's `decoder` makes a picture of the map of its rows (B, D, H/p, W/p).
    Source: Xie et al. 2021 (arXiv 2111.09886)."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.MaskedImageModelingOutput
    TARGETS = ()
    KEYWORDS: ClassVar[tuple[str, ...]] = (heads.ITEMS, "attention_mask")
    decoder: Any

    def add_decoder(self, width: int) -> None:
        """Make the decoder, which reads rows of that width."""
        config = self.config
        self.decoder = nn.Sequential(
            nn.Conv2d(width, config.encoder_stride**2 * config.num_channels, kernel_size=1),
            nn.PixelShuffle(config.encoder_stride),
        )

    def patches(self, rows: Tensor) -> Tensor:
        """Of rows (B, T, D) those of patches."""
        return rows[:, self.before() :]

    def grid_of_rows(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the map of the last rows, for pictures of that size."""
        return grid_of(self.config, height, width)

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        images, hidden = inputs["pixel_values"], inputs.get("bool_masked_pos")
        grid = self.grid_of_rows(*images.shape[2:])
        made = self.decoder(as_map(self.patches(body.last_hidden_state), grid))
        return {"loss": None if hidden is None else self.painted_loss(made, images, hidden), "reconstruction": made}

    def painted_loss(self, made: Tensor, images: Tensor, hidden: Tensor) -> Tensor:
        """The mean distance of a channel's value, over the pixels of hidden patches."""
        if tuple(made.shape) != tuple(images.shape):
            raise InputError(
                f"what is painted has shape {tuple(made.shape)}, and pixel_values {tuple(images.shape)}: with "
                "bool_masked_pos, patch_size and encoder_stride have to be equal."
            )
        patch = sides(self.config, "patch_size")
        grid = grid_of(self.config, *images.shape[2:])
        of_pixels = hidden.reshape(-1, *grid).repeat_interleave(patch[0], 1).repeat_interleave(patch[1], 2)[:, None]
        far = (F.l1_loss(images.to(made.dtype), made, reduction="none") * of_pixels).sum()
        return far / (of_pixels.sum() + 1e-5) / self.config.num_channels


def as_map(rows: Tensor, grid: tuple[int, int]) -> Tensor:
    """Rows of patches (B, P, D) as a map of their grid, (B, D, H/p, W/p)."""
    return rows.transpose(1, 2).unflatten(2, grid)


def drop_rates(config: Any, layers: int) -> Iterator[float]:
    """How likely each layer's branches are left out in training: from 0 up to `drop_path_rate`."""
    yield from torch.linspace(0, config.drop_path_rate, layers, device="cpu").tolist()


class DropPath(nn.Module):
    """Leaves out a branch for some pictures in training, and makes up for it in the others.

    Source: Huang et al. 2016 (arXiv 1603.09382)."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, hidden_states: Tensor) -> Tensor:
        if not self.drop_prob or not self.training:
            return hidden_states
        kept = hidden_states.new_empty(len(hidden_states), *[1] * (hidden_states.dim() - 1))
        return hidden_states * kept.bernoulli_(1 - self.drop_prob) / (1 - self.drop_prob)

    def extra_repr(self) -> str:
        return f"p={self.drop_prob}"
