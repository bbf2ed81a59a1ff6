"""Image processors: from images of any kind to what a model reads.

    image ─ reading ─▶ Picture ─ one ─▶ (C, H, W) ─ batch ─▶ pixel_values
                                 └ resized, cropped, as numbers

A family's processor is a class with other settings; the few that do more have their own `resized`, `one` or `batch`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from ..errors import FormersError, InputError
from ..logging import warn_once
from ..machine import processors
from . import transforms
from .configured import NOT_SETTINGS, Configured
from .feature import BatchFeature
from .files import required_image_values
from .reading import as_numpy, picture_of
from .settings import BACKENDS, FORMATS, SIZES, checked
from .sizes import SizeDict, target
from .transforms import Array, ChannelDimension, Picture, is_scaled

T = TypeVar("T")
P = TypeVar("P", bound="BaseImageProcessor")
_OF_CALLS = ("backend", *FORMATS, "timeout")  # settings that are no part of a file


class BaseImageProcessor(Configured):
    """What image processors share. Every setting is a keyword of the constructor and of a call, and an attribute.

    Settings:
        do_convert_rgb: make three channels of whatever an image has.
        do_resize, size, resample: resize to a size (see `sizes.as_size`), by a number of `PILImageResampling`.
        default_to_square: whether an integer as size is both edges, not the shortest one.
        do_center_crop, crop_size: cut the middle out, with zeros around an image that is smaller.
        do_rescale, rescale_factor: multiply pixels, 0 to 255, by a number.
        do_normalize, image_mean, image_std: less each channel's mean, by its std.
        do_pad, pad_size: zeros below and on the right, up to the largest image where no size is given.
        backend: who resizes: "pil", Pillow; or "torchvision", torch's filters, which are torchvision's.
        data_format: where `pixel_values` have their channels; input_data_format: where given arrays have them.
        timeout: seconds that an address may take.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values"]
    ignored: ClassVar[tuple[str, ...]] = ("device", "disable_grouping", "image_seq_length")
    first: ClassVar[str | None] = "default_to_square"  # it says what a size means
    skip_tensor_conversion: ClassVar[tuple[str, ...]] = ()

    do_convert_rgb: bool | None = None
    do_resize: bool | None = None
    size: Any = None
    default_to_square: bool = True
    resample: int | None = None
    do_center_crop: bool | None = None
    crop_size: Any = None
    do_rescale: bool | None = None
    rescale_factor: float = 1 / 255
    do_normalize: bool | None = None
    image_mean: Any = None
    image_std: Any = None
    do_pad: bool | None = None
    pad_size: Any = None
    backend: str = "pil"
    data_format: Any = ChannelDimension.FIRST
    input_data_format: Any = None
    timeout: float | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self._take(kwargs)
        for name in self.keys():  # null in a file: not done, but numbers and sizes are the class's
            if name.startswith("do_") and name in kwargs and kwargs[name] is None:
                setattr(self, name, None)
        for name in set(self.keys()) - self.__dict__.keys():
            setattr(self, name, copy.copy(getattr(type(self), name)))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "backend" and value not in BACKENDS:
            raise InputError(f"backend must be one of {', '.join(map(repr, BACKENDS))}, got {value!r}.")
        if name in self.keys() and name not in ("backend", "timeout"):
            value = checked(name, value, getattr(type(self), name), self.default_to_square)
        super().__setattr__(name, value)

    # ---- calls

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> BatchFeature:
        """As `preprocess`."""
        return self.preprocess(images, *args, **kwargs)

    def preprocess(self, images: Any, return_tensors: Any = None, **overrides: Any) -> BatchFeature:
        """What a model reads of one image or a list of them.

        Args:
            images: paths, http(s) and data: addresses, base64, bytes, files, images of Pillow, arrays, tensors;
                alone, in lists, or (N, …) arrays. What is no image in memory is made upright and RGB; images of Pillow
                and arrays are taken as they are.
            return_tensors: "pt" or "np"; lists of arrays where None.
            overrides: settings for this call.

        Returns:
            `pixel_values` (N, C, H, W), and what else the family's models read.

        Errors: NotFoundError, InputError for images; ArgumentError for a keyword that is no setting.
        """
        own = self.with_settings(overrides)
        return own.feature(own.batch(own.each(own.one, own.listed(images))), return_tensors)

    def feature(self, data: dict[str, Any], return_tensors: Any) -> BatchFeature:
        """A result of its parts."""
        if self.data_format is ChannelDimension.LAST:
            data["pixel_values"] = [np.moveaxis(np.asarray(image), -3, -1) for image in data["pixel_values"]]
        return BatchFeature(data, return_tensors, self.skip_tensor_conversion)

    def listed(self, images: Any, dimensions: int = 3) -> list[Any]:
        """One image, a list, lists in lists or a batch, as one list of images. dimensions: of one image's array."""
        if isinstance(images, (list, tuple)):
            found = [one for image in images for one in self.listed(image, dimensions)]
        else:
            array = as_numpy(images)
            found = list(array) if array is not None and array.ndim == dimensions + 1 else [images]
        if not found:
            raise InputError("There are no images: the list is empty.")
        return found

    def each(self, what: Callable[[Picture], T], images: Sequence[Any]) -> list[T]:
        """`what` of each image, by as many threads as there are processors; the order is kept."""
        alone = {id(image): (number, image) for number, image in reversed(list(enumerate(images)))}

        def run(numbered: tuple[int, Any]) -> T:
            number, image = numbered
            try:
                return what(self.picture(image))
            except FormersError as error:
                if len(images) == 1:
                    raise
                raise type(error)(f"Image {number} of {len(images)} (from 0): {error}") from error

        items = sorted(alone.values(), key=lambda numbered: numbered[0])  # an object given twice is read by one thread
        threads = min(len(items), processors())
        if threads == 1:
            made = [run(item) for item in items]
        else:
            with ThreadPoolExecutor(threads) as pool:
                made = list(pool.map(run, items))
        by_id = {id(image): one for (_, image), one in zip(items, made, strict=True)}
        return [by_id[id(image)] for image in images]

    # ---- what is done to an image

    def picture(self, image: Any) -> Picture:
        """An image as it is worked on."""
        picture = picture_of(image, self.timeout, self.input_data_format, bool(self.do_convert_rgb))
        if self.do_rescale and is_scaled(picture):
            warn_once(
                f"Pixels from 0 to 1 were given to {type(self).__name__} and are multiplied by rescale_factor="
                f"{self.rescale_factor:.4g}, as those from 0 to 255. If they are scaled already, give do_rescale=False."
            )
        return picture

    def one(self, picture: Picture) -> Any:
        """What becomes of one image: (C, H, W) numbers."""
        if self.do_resize:
            picture = self.resized(picture)
        if self.do_center_crop:
            picture = self.cropped(picture, self.crop_size)
        return self.numbers(picture)

    def resized(self, picture: Picture) -> Picture:
        """The image in the size that the settings say."""
        if self.size is None:
            raise InputError("do_resize=True needs a size: size={'height': …, 'width': …} or {'shortest_edge': …}.")
        return self.resized_to(picture, target(transforms.size_of(picture), self.size))

    def resized_to(self, picture: Picture, size: tuple[int, int]) -> Picture:
        """The image in that height and width."""
        resample = transforms.PILImageResampling.BILINEAR if self.resample is None else self.resample
        return transforms.resize(picture, size, resample, self.backend)

    def cropped(self, picture: Picture, size: SizeDict | None) -> Picture:
        """The middle of the image."""
        if size is None or not size.height or not size.width:
            raise InputError(f"crop_size={size} must have height and width, where do_center_crop=True.")
        return transforms.center_crop(picture, (size.height, size.width), self.backend)

    def numbers(self, picture: Picture) -> Array:
        """(C, H, W): the image's pixels, scaled and normalized as the settings say."""
        if self.do_normalize and (self.image_mean is None or self.image_std is None):
            raise InputError("do_normalize=True needs image_mean and image_std.")
        scale = self.rescale_factor if self.do_rescale else None
        mean, std = (self.image_mean, self.image_std) if self.do_normalize else (None, None)
        return transforms.to_numbers(picture, scale, mean, std, self.backend)

    def batch(self, made: list[Any]) -> dict[str, Any]:
        """A model's inputs, of what `one` made of each image."""
        if self.do_pad:
            made = transforms.pad(made, self._padded())
        return {"pixel_values": made}

    def _padded(self) -> tuple[int, int] | None:
        if self.pad_size is None:
            return None
        if not self.pad_size.height or not self.pad_size.width:
            raise InputError(f"pad_size={dict(self.pad_size)} must have height and width.")
        return self.pad_size.height, self.pad_size.width

    def pad(self, images: Iterable[Any], pad_size: Any = None, return_tensors: Any = None) -> BatchFeature:
        """Arrays (C, H, W) with zeros below and on the right, and `pixel_mask` (H, W), 1 where the image is."""
        own = self.with_settings({} if pad_size is None else {"pad_size": pad_size})
        arrays = [transforms.as_array(picture_of(image)) for image in images]
        padded = transforms.pad(arrays, own._padded())
        masks = [transforms.pixel_mask(a.shape[-2:], p.shape[-2:]) for a, p in zip(arrays, padded, strict=True)]
        return BatchFeature({"pixel_values": padded, "pixel_mask": masks}, return_tensors)

    # ---- files

    def to_dict(self) -> dict[str, Any]:
        """The settings in the form of a file of Transformers 5: what is None or has no meaning is left out."""
        own: dict[str, Any] = {}
        for name in sorted(set(self.keys()) - {*_OF_CALLS}):
            value, default = getattr(self, name), getattr(type(self), name)
            if (value is None and default is None) or (name == "default_to_square" and value == default):
                continue
            plain = int(value) if name == "resample" and value is not None else value
            own[name] = dict(plain) if isinstance(plain, SizeDict) else plain
        return {**self._unknown, **own, "image_processor_type": type(self).__name__}

    def file_dict(self) -> dict[str, Any]:
        """The same in the form that Transformers 4.20 reads too: sizes as integers where the class knows what they
        mean, and the old names beside the new ones."""
        own = self.to_dict()
        for name in SIZES:
            edges, square = own.get(name), type(self).default_to_square or name != "size"
            if not edges or self.default_to_square != type(self).default_to_square:
                continue
            if square and set(edges) == {"height", "width"} and edges["height"] == edges["width"]:
                own[name] = edges["height"]
            elif not square and set(edges) == {"shortest_edge"}:
                own[name] = edges["shortest_edge"]
        own.update({old: own[new] for old, new in self.old_names.items() if new in own})
        return {
            **own,
            "feature_extractor_type": own["image_processor_type"].replace("ImageProcessor", "FeatureExtractor"),
        }

    @classmethod
    def from_dict(cls: type[P], image_processor_dict: dict[str, Any], /, **kwargs: Any) -> P:
        """A processor of a file's values, which keywords override. Values that are no settings are kept."""
        values = {cls.old_names.get(name, name): value for name, value in image_processor_dict.items()}
        if "feature_extractor_type" in values and "image_processor_type" not in values:
            for name in SIZES:  # Pillow's order, then
                if isinstance(values.get(name), list) and len(values[name]) == 2:
                    values[name] = values[name][::-1]
        known = {*cls.keys()} - {*_OF_CALLS}
        own = cls(**{name: value for name, value in values.items() if name in known})
        own._unknown = {k: v for k, v in values.items() if k not in known and k not in (*NOT_SETTINGS, *_OF_CALLS)}
        own._take(kwargs)
        return own

    @classmethod
    def file_values(cls, name: str | os.PathLike[str], where: dict[str, Any]) -> tuple[dict[str, Any], Path]:
        """The settings of images in a folder, under a hub name or in a file, and the file that says them."""
        return required_image_values(name, where)
