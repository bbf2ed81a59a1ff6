"""BatchFeature: what a processor gives, a dictionary of a model's inputs."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, near
from ..tokenization.types import TensorType


class BatchFeature(UserDict[str, Any]):
    """A model's inputs, `pixel_values` and the like, also as attributes.

    Args:
        data: the inputs: arrays, or lists of them.
        tensor_type: "pt" or "np", to make tensors or arrays of them; None leaves lists.
        skip_tensor_conversion: those that stay as they are.

    Errors: InputError, naming the sizes, where images of different sizes cannot be one tensor.
    """

    def __init__(
        self,
        data: dict[str, Any] | None = None,
        tensor_type: str | TensorType | None = None,
        skip_tensor_conversion: Iterable[str] = (),
    ) -> None:
        super().__init__(data)
        self.convert_to_tensors(tensor_type, skip_tensor_conversion)

    def __getattr__(self, name: str) -> Any:
        if name == "data" or name.startswith("__"):  # while unpickling, there is no data yet
            raise AttributeError(name)
        if name not in self.data:
            raise AttributeError(f"This BatchFeature has no {name!r}; it has {list(self.data)}.{near(name, self.data)}")
        return self.data[name]

    def __getitem__(self, item: Any) -> Any:
        if not isinstance(item, str):
            raise KeyError(f"A BatchFeature is indexed by names, {list(self.data)}, not by {item!r}.")
        return self.data[item]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def convert_to_tensors(
        self, tensor_type: str | TensorType | None = None, skip_tensor_conversion: Iterable[str] = ()
    ) -> BatchFeature:
        """Turn the inputs into "pt" or "np" tensors, in place."""
        if tensor_type is None:
            return self
        kind, skipped = TensorType(tensor_type), set(skip_tensor_conversion)
        for key, value in self.data.items():
            if key not in skipped:
                self.data[key] = _tensor(key, value, kind)
        return self

    def to(self, *args: Any, **kwargs: Any) -> BatchFeature:
        """Move the tensors, as torch's `to` does, in place: a dtype is for floats alone, ids keep theirs."""
        dtype = kwargs.get("dtype", next((x for x in args if type(x).__name__ == "dtype"), None))
        places = [x for x in args if x is not dtype]
        rest = {key: value for key, value in kwargs.items() if key != "dtype"}
        for key, value in self.data.items():
            if hasattr(value, "is_floating_point"):
                kinds = {"dtype": dtype} if dtype is not None and value.is_floating_point() else {}
                self.data[key] = value.to(*places, **rest, **kinds) if places or rest or kinds else value
        return self


def _tensor(key: str, value: Any, kind: TensorType) -> Any:
    if hasattr(value, "detach"):
        return value if kind is TensorType.PYTORCH else value.detach().cpu().numpy()
    if isinstance(value, Sequence) and value and all(hasattr(item, "dtype") for item in value):
        array = _stacked(key, value)
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise InputError(f"{key!r} has rows of different lengths and cannot be one tensor.") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"{key!r} cannot be a tensor: it holds {array.dtype}, and numbers are needed.")
    if kind is TensorType.NUMPY:
        return array
    import torch

    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _stacked(key: str, items: Sequence[Any]) -> Any:
    sizes = sorted({tuple(item.shape) for item in items})
    if len(sizes) == 1:
        return np.stack([np.asarray(item) for item in items]) if len(items) > 1 else np.asarray(items[0])[None]
    shown = ", ".join(" × ".join(map(str, size)) for size in sizes[:4]) + (", …" if len(sizes) > 4 else "")
    if not key.startswith("pixel"):
        raise InputError(
            f"{key!r} cannot be one tensor: the rows are of {len(sizes)} sizes, {shown}. padding=True makes them one, "
            "and without return_tensors they are a list."
        )
    raise InputError(
        f"{key!r} cannot be one tensor: the images are of {len(sizes)} sizes, {shown} (channels × height × width). "
        "Resize them to one (do_resize=True, size={'height': …, 'width': …}), crop or pad them, or call without "
        "return_tensors."
    )
