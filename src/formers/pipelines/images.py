"""What the tasks on pictures share: what counts as a picture, and reading and preparing several at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError, NotFoundError
from ..processing.reading import IMAGE, load_image
from ..processing.sources import check_source
from ..processing.transforms import is_pil
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
        if isinstance(inputs, str | Mapping) or picture(inputs):
            return "one"
        iterable = hasattr(inputs, "__iter__") or (hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"))
        return "stream" if iterable else "one"

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise NotFoundError or InputError for a picture whose file is not there; see Pipeline.check_input."""
        if item is None:
            raise InputError(f"{name} is None; a picture is needed.")
        check_pictures(item, name)

    def pixels(self, image: Any, timeout: float | None = None, **options: Any) -> dict[str, Any]:
        """What the image processor makes of one picture: tensors (1, …), numbers in the model's type."""
        return in_type(self.image_processor(images=loaded(image, timeout), return_tensors="pt", **options), self.dtype)

    def preprocess(self, inputs: Any, **parameters: Any) -> Mapping[str, Any]:
        """The model's arguments for one picture."""
        return self.pixels(inputs, **parameters)

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several, in threads."""
        return in_turn(lambda item: self.preprocess(item, **parameters), inputs, first)

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


def picture(item: Any) -> bool:
    """Whether it can be nothing but one picture: bytes, a path that is no str, a file, an array, an image of Pillow."""
    single = isinstance(item, bytes | bytearray | os.PathLike | Tensor)
    return single or is_pil(item) or hasattr(item, "__array__") or hasattr(item, "read")


def loaded(images: Any, timeout: float | None = None) -> Any:
    """Arrays as they are, anything else as images of Pillow; a list as a list of them."""
    if isinstance(images, list | tuple):
        return [loaded(one, timeout) for one in images]
    arrays = isinstance(images, Tensor) or (hasattr(images, "__array__") and not hasattr(images, "convert"))
    if arrays and (shape := tuple(images.shape)) and len(shape) > 3 and shape[0] != 1:
        raise InputError(f"An array of shape {shape} holds several pictures: give them as a list, list(array).")
    return images if arrays else load_image(images, timeout=timeout)


def check_pictures(images: Any, name: str) -> None:
    """Raise NotFoundError where a picture, or one of a list, is a file that is not there."""
    for one in images if isinstance(images, list | tuple) else [images]:
        if isinstance(one, list | tuple):
            check_pictures(one, name)
            continue
        try:
            check_source(one, IMAGE)
        except NotFoundError as error:
            raise error if name == place(None, 0) else NotFoundError(f"{name}: {error}") from error


def in_type(made: Mapping[str, Any], dtype: torch.dtype | None) -> dict[str, Any]:
    """What a processor gave, numbers in a model's type."""
    return {
        name: value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() and dtype else value
        for name, value in made.items()
    }


def in_turn(preprocess: Callable[[Any], Any], inputs: list[Any], first: int | None) -> list[Any]:
    """What `preprocess` gives for each input, in threads; its errors say which one it was."""

    def one(index: int) -> Any:
        try:
            return preprocess(inputs[index])
        except (InputError, NotFoundError) as error:
            raise error if first is None else type(error)(f"{place(first, index)}: {error}") from error
        except Exception as error:
            add_note(error, first, [index])
            raise

    return in_threads(one, range(len(inputs)))


def together(image: Any, question: Any) -> Any:
    """Pictures with questions: one with one, or each of several with each of the other; of a stream one by one."""
    if isinstance(image, Iterator):
        return ({"image": one, "question": question} for one in image)
    images = list(image) if isinstance(image, list | tuple) else [image]
    questions = list(question) if isinstance(question, list | tuple) else [question]
    found = [{"image": one, "question": asked} for asked in questions for one in images]
    return found if isinstance(image, list | tuple) or isinstance(question, list | tuple) else found[0]
