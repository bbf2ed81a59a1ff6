"""What the tasks on pictures share: what counts as a picture, and reading and preparing several at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from torch import Tensor

from ..errors import ArgumentError, InputError, NotFoundError
from ..processing.reading import check_source, load_image
from .base import Pipeline
from .failures import add_note, place
from .threads import in_threads

_PIXELS = 256  # of a patch of 16 x 16, by which work is counted


class ImagePipeline(Pipeline):
    """A task on pictures; see Pipeline for the arguments.

    A picture is a path, an http(s) URL, base64, bytes, a PIL image, a numpy array or a tensor. Those of a list are read
    in threads.

    Args:
        image_processor: what makes pixel values of pictures; `feature_extractor` is its older name.
        timeout: seconds to wait for a URL.
    """

    by_tokens = True
    read_at_once = 64
    # the key of the picture in inputs that are dictionaries; "" for a task that reads pictures alone
    PICTURE: ClassVar[str] = ""

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        found = kwargs.get("image_processor") or kwargs.get("feature_extractor")
        found = found or getattr(kwargs.get("processor"), "image_processor", None)
        tokenizer = tokenizer or getattr(kwargs.get("processor"), "tokenizer", None)
        if not callable(found):
            raise ArgumentError(
                f"{type(self).__name__} needs an image processor, got {found!r}. Pass image_processor="
                "AutoImageProcessor.from_pretrained(…), or use pipeline(…), which loads it by name."
            )
        super().__init__(model, tokenizer, **{**kwargs, "image_processor": found})

    def _kind(self, inputs: Any) -> str:
        if isinstance(inputs, list | tuple):
            return "list"
        single = (str, bytes, os.PathLike, Mapping, Tensor)
        if isinstance(inputs, single) or hasattr(inputs, "__array__") or hasattr(inputs, "read"):
            return "one"
        iterable = hasattr(inputs, "__iter__") or (hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"))
        return "stream" if iterable else "one"

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise NotFoundError or InputError for a picture whose file is not there; see Pipeline.check_input."""
        if item is None:
            raise InputError(f"{name} is None; a picture is needed.")
        try:
            check_source(item)
        except NotFoundError as error:
            raise error if name == place(None, 0) else NotFoundError(f"{name}: {error}") from error

    def pixels(self, image: Any, timeout: float | None = None, **options: Any) -> dict[str, Any]:
        """What the image processor makes of one picture: tensors (1, …), numbers in the model's type."""
        arrays = isinstance(image, Tensor) or (hasattr(image, "__array__") and not hasattr(image, "convert"))
        if arrays and (shape := tuple(image.shape)) and len(shape) > 3 and shape[0] != 1:
            raise InputError(f"An array of shape {shape} holds several pictures: give them as a list, list(array).")
        loaded = image if arrays else load_image(image, timeout=timeout)
        made = self.image_processor(images=loaded, return_tensors="pt", **options)
        dtype = self.dtype
        return {
            name: value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() and dtype else value
            for name, value in made.items()
        }

    def preprocess(self, inputs: Any, **parameters: Any) -> Mapping[str, Any]:
        """The model's arguments for one picture."""
        return self.pixels(inputs, **parameters)

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several, in threads."""

        def one(index: int) -> Mapping[str, Any]:
            try:
                return self.preprocess(inputs[index], **parameters)
            except (InputError, NotFoundError) as error:
                raise error if first is None else type(error)(f"{place(first, index)}: {error}") from error
            except Exception as error:
                add_note(error, first, [index])
                raise

        return in_threads(one, range(len(inputs)))

    def length(self, model_inputs: Mapping[str, Any]) -> int:
        """How much the model computes for one input: its tokens, and its patches of 16 x 16 pixels."""
        pixels = model_inputs.get("pixel_values")
        patches = 0
        if isinstance(pixels, Tensor):  # (1, C, H, W), or (1, P, C · p · p) of patches
            patches = pixels.shape[1] if pixels.dim() == 3 else pixels.numel() // (3 * _PIXELS)
        return max(1, patches + (super().length(model_inputs) if "input_ids" in model_inputs else 0))

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        """Pictures of one size go through the model together."""
        groups: dict[Any, list[int]] = {}
        for index, item in enumerate(items):
            groups.setdefault(getattr(item.get("pixel_values"), "shape", None), []).append(index)
        if len(groups) == 1:
            yield from super()._batch_outputs(items, parameters)
            return
        outputs: dict[int, Any] = {}
        for group in groups.values():
            found = super()._batch_outputs([items[i] for i in group], parameters)
            outputs.update(zip(group, found, strict=True))
        yield from (outputs[i] for i in range(len(items)))

    def _forward(self, model_inputs: Any, **parameters: Any) -> Any:
        return self.model(**model_inputs, **parameters)
