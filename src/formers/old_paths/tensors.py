"""What Transformers' pytorch_utils, activations and utils.generic have on tensors and layers.

Letters: D inputs of a layer, F outputs.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ArgumentError, InputError
from ..ops.activations import ACTIVATIONS, activation
from ..ops.conv1d import Conv1D
from ..pruning import keep, remaining

ALL_LAYERNORM_LAYERS = [nn.LayerNorm]


class _Activations(Mapping[str, nn.Module]):
    """`ACT2FN["gelu"]` makes an activation; a wrong name raises ConfigError with the near ones."""

    def __getitem__(self, name: str) -> nn.Module:
        if name not in ACTIVATIONS:
            raise KeyError(name)
        return activation(name)

    def __iter__(self) -> Iterator[str]:
        return iter(ACTIVATIONS)

    def __len__(self) -> int:
        return len(ACTIVATIONS)


ACT2FN = _Activations()
ACT2CLS = ACTIVATIONS


def get_activation(activation_string: str) -> nn.Module:
    """The activation of that name, as `hidden_act` gives it."""
    return activation(activation_string, "activation_string")


gelu, gelu_new, gelu_fast, quick_gelu = map(get_activation, ("gelu", "gelu_new", "gelu_fast", "quick_gelu"))
gelu_python, silu, mish, linear_act = map(get_activation, ("gelu_python", "silu", "mish", "linear"))


def prune_linear_layer(layer: nn.Linear, index: Tensor, dim: int = 0) -> nn.Linear:
    """A Linear with only the outputs (dim 0) or inputs (dim 1) that `index` lists."""
    return keep(layer, index, dim)


def prune_conv1d_layer(layer: Conv1D, index: Tensor, dim: int = 1) -> Conv1D:
    """A Conv1D with only the outputs (dim 1) or inputs (dim 0) that `index` lists."""
    index = index.to(layer.weight.device)
    weight = layer.weight.detach().index_select(dim, index)
    bias = layer.bias.detach()
    new = Conv1D(weight.shape[1], weight.shape[0])
    new.weight = nn.Parameter(weight)
    new.bias = nn.Parameter(bias.clone() if dim == 0 else bias[index])
    return new


def prune_layer(layer: Any, index: Tensor, dim: int | None = None) -> Any:
    """Either of the two, by the layer's kind."""
    if isinstance(layer, nn.Linear):
        return prune_linear_layer(layer, index, 0 if dim is None else dim)
    if isinstance(layer, Conv1D):
        return prune_conv1d_layer(layer, index, 1 if dim is None else dim)
    raise ArgumentError(f"prune_layer takes a Linear or a Conv1D, got {type(layer).__name__}.")


def find_pruneable_heads_and_indices(
    heads: Iterable[int], n_heads: int, head_size: int, already_pruned_heads: set[int]
) -> tuple[set[int], Tensor]:
    """What pruning `heads` removes, and the columns that stay; `n_heads` are those that are there now."""
    return remaining(heads, already_pruned_heads, n_heads, head_size)


def apply_chunking_to_forward(
    forward_fn: Callable[..., Tensor], chunk_size: int, chunk_dim: int, *input_tensors: Tensor
) -> Tensor:
    """`forward_fn` of whole tensors, or of `chunk_size` positions of `chunk_dim` at a time, which takes less memory."""
    if not input_tensors:
        raise ArgumentError("apply_chunking_to_forward needs at least one tensor.")
    if chunk_size <= 0:
        return forward_fn(*input_tensors)
    sizes = {tensor.shape[chunk_dim] for tensor in input_tensors}
    if len(sizes) > 1 or min(sizes) % chunk_size:
        raise InputError(
            f"dimension {chunk_dim} has the sizes {sorted(sizes)}; all should be one multiple of {chunk_size}."
        )
    chunks = zip(*(tensor.split(chunk_size, chunk_dim) for tensor in input_tensors), strict=True)
    return torch.cat([forward_fn(*chunk) for chunk in chunks], dim=chunk_dim)


def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """torch.meshgrid."""
    return torch.meshgrid(*tensors, indexing=indexing)


def softmax_backward_data(parent: Any, grad_output: Tensor, output: Tensor, *_: Any) -> Tensor:
    """The gradient of a softmax over `parent.dim` from that of its output."""
    return torch._softmax_backward_data(grad_output, output, parent.dim, output.dtype)


def id_tensor_storage(tensor: Tensor) -> tuple[torch.device, int, int]:
    """What two tensors that share memory have in common: device, address, bytes."""
    storage = tensor.untyped_storage()
    return tensor.device, storage.data_ptr(), storage.nbytes()


# ---- models


def unwrap_model(model: nn.Module, recursive: bool = False) -> nn.Module:
    """The model inside of DataParallel and its kind."""
    inner = getattr(model, "module", None)
    return unwrap_model(inner, recursive) if isinstance(inner, nn.Module) else model


def get_parameter_device(parameter: nn.Module) -> torch.device:
    """Where a module's first parameter is."""
    return next(parameter.parameters()).device


def get_parameter_dtype(parameter: nn.Module) -> torch.dtype:
    """The type of a module's first floating parameter."""
    return next(p.dtype for p in parameter.parameters() if p.is_floating_point())


def get_parameter_names(
    model: nn.Module, forbidden_layer_types: list[type], forbidden_layer_names: list[str] | None = None
) -> list[str]:
    """The names of all parameters but those of layers of these kinds: the ones that weight decay is for."""
    left_out = tuple(forbidden_layer_types)
    names = [
        f"{where}.{name}" if where else name
        for where, module in model.named_modules()
        if not isinstance(module, left_out)
        for name, _ in module.named_parameters(recurse=False)
    ]
    inside = [where for where, module in model.named_modules() if isinstance(module, left_out)]
    names = [name for name in names if not any(name.startswith(f"{where}.") for where in inside)]
    return [name for name in names if not any(part in name for part in forbidden_layer_names or ())]


def find_labels(model_class: type) -> list[str]:
    """The arguments of a model's forward that are labels."""
    names = list(inspect.signature(model_class.forward).parameters)  # type: ignore[attr-defined]
    spans = ("start_positions", "end_positions") if "QuestionAnswering" in model_class.__name__ else ()
    return [name for name in names if "label" in name or name in spans]


def can_return_loss(model_class: type) -> bool:
    """Whether the model's forward has `return_loss=True`."""
    parameter = inspect.signature(model_class.forward).parameters.get("return_loss")  # type: ignore[attr-defined]
    return parameter is not None and parameter.default is True


# ---- lists, arrays and tensors


def is_tensor(x: object) -> bool:
    """Whether it is a tensor or an array."""
    return isinstance(x, (Tensor, np.ndarray))


def is_torch_tensor(x: object) -> bool:
    """Whether it is a tensor."""
    return isinstance(x, Tensor)


def is_numpy_array(x: object) -> bool:
    """Whether it is an array."""
    return isinstance(x, np.ndarray)


def is_torch_device(x: object) -> bool:
    """Whether it is a torch.device."""
    return isinstance(x, torch.device)


def is_torch_dtype(x: object) -> bool:
    """Whether it is a torch.dtype, or the name of one."""
    return isinstance(getattr(torch, x, None) if isinstance(x, str) else x, torch.dtype)


def to_py_obj(obj: Any) -> Any:
    """Lists and numbers instead of tensors and arrays, also inside of lists and dictionaries."""
    if isinstance(obj, Mapping):
        return {key: to_py_obj(value) for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [to_py_obj(item) for item in obj]
    if isinstance(obj, Tensor):
        return obj.detach().cpu().tolist()
    return obj.tolist() if isinstance(obj, (np.ndarray, np.generic)) else obj


def to_numpy(obj: Any) -> Any:
    """Arrays instead of tensors and lists, also inside of dictionaries."""
    if isinstance(obj, Mapping):
        return {key: to_numpy(value) for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return np.array(obj)
    return obj.detach().cpu().numpy() if isinstance(obj, Tensor) else obj


def flatten_dict(d: MutableMapping[str, Any], parent_key: str = "", delimiter: str = ".") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = OrderedDict()
    for key, value in d.items():
        name = f"{parent_key}{delimiter}{key}" if parent_key else str(key)
        flat.update(
            flatten_dict(value, name, delimiter) if value and isinstance(value, MutableMapping) else {name: value}
        )
    return dict(flat)


def transpose(array: Any, axes: Any = None) -> Any:
    """An array's or tensor's axes in another order, or in the reverse one."""
    if isinstance(array, Tensor):
        return array.T if axes is None else array.permute(*axes)
    return np.transpose(array, axes)


def reshape(array: Any, newshape: Any) -> Any:
    """An array or tensor in another shape."""
    return array.reshape(newshape)


def squeeze(array: Any, axis: int | None = None) -> Any:
    """An array or tensor without the axes of size 1, or without the one given."""
    if isinstance(array, Tensor):
        return array.squeeze() if axis is None else array.squeeze(dim=axis)
    return np.squeeze(array, axis)


def expand_dims(array: Any, axis: int) -> Any:
    """An array or tensor with one more axis."""
    return array.unsqueeze(axis) if isinstance(array, Tensor) else np.expand_dims(array, axis)


def tensor_size(array: Any) -> int:
    """How many numbers an array or tensor has."""
    return array.numel() if isinstance(array, Tensor) else int(np.size(array))


def torch_int(x: Any) -> Any:
    """A whole number; inside of a trace, where it is a tensor, a tensor of them."""
    return x.to(torch.int64) if isinstance(x, Tensor) and torch._C._get_tracing_state() is not None else int(x)


def torch_float(x: Any) -> Any:
    """The same for a fraction."""
    return x.to(torch.float32) if isinstance(x, Tensor) and torch._C._get_tracing_state() is not None else float(x)
