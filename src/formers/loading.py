"""From weight files to a model: names aligned, tensors assigned, what is missing drawn.

The model is built without memory (on the meta device) and then given the file's own tensors, so that big weights stay
memory-mapped and nothing is copied that needs no change of type or device.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .checkpoints import LazyTensor
from .checkpoints.names import align
from .errors import CheckpointError, ConfigError, near
from .logging import logger
from .report import LoadingReport, compare, differing, listed, mismatched

if TYPE_CHECKING:
    from .config import PretrainedConfig
    from .modeling import PreTrainedModel

Model = TypeVar("Model", bound="PreTrainedModel")
_building: ContextVar[bool] = ContextVar("building", default=False)  # whether the device "meta" is that of a load


class Unfilled(TorchFunctionMode):
    """Inside, `torch.nn.init` leaves parameters as they are. For this thread only, as all torch function modes.

    A model on the meta device has no memory to fill, and trying to would import torch's compiler, for seconds; one that
    is made for its buffers' sake has nobody who reads its parameters, whose memory is never touched then.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            tensor = args[0] if args else (kwargs or {})["tensor"]
            if tensor.is_meta or isinstance(tensor, nn.Parameter):
                return tensor
        return func(*args, **(kwargs or {}))


_loads, _lock, _was_on = 0, threading.Lock(), False  # loads under way in all threads, and how they found the collector


@contextmanager
def without_collector() -> Iterator[None]:
    """Inside, Python's garbage collector rests, in all threads; nothing that a load makes is garbage.

    A model is thousands of small objects. To make them would set off a look through all that torch's import left, which
    takes three times as long as the load itself.
    """
    global _loads, _was_on
    with _lock:
        if not _loads:
            _was_on = gc.isenabled()
            gc.disable()
        _loads += 1
    try:
        yield
    finally:
        with _lock:
            _loads -= 1
            if _was_on and not _loads:
                gc.enable()


def resolve_dtype(dtype: Any, stored: Any = None, where: str = "") -> torch.dtype:
    """The floating type that `dtype` names: a torch.dtype, "float16", "torch.float16", or "auto" for `stored`.

    `where`: the file or folder that says `stored`, for errors.
    """
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        try:
            return resolve_dtype(stored)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}" if where else str(error)) from error
    # not getattr, by which torch imports some of its modules
    value = dtype if isinstance(dtype, torch.dtype) else vars(torch).get(str(dtype).removeprefix("torch."))
    floating = ["float32", "float16", "bfloat16", "float64"]
    if not isinstance(value, torch.dtype) or not value.is_floating_point:
        raise ConfigError(
            f"dtype={dtype!r} is no floating-point type.{near(dtype, floating)} "
            f"Use one of {', '.join(floating)}, or auto."
        )
    return value


def resolve_device(device_map: Any) -> torch.device:
    """The one device that `device_map` names: "auto", a device or its name or index, or {"": device}.

    None is where torch makes tensors by default, as inside of `with torch.device("meta")`.
    """
    if isinstance(device_map, dict):
        if set(device_map) != {""}:
            raise ConfigError("device_map names several devices; models here live on one: give a device, or 'auto'.")
        device_map = device_map[""]
    if device_map is None:
        return torch.device("cpu") if _building.get() else torch.get_default_device()
    if device_map in ("auto", "balanced", "sequential"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(device_map)
    except (RuntimeError, TypeError) as e:
        raise ConfigError(f"{device_map!r} is no device; use 'cpu', 'cuda', 'cuda:0' or 'auto'.") from e
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device {str(device)!r} was asked for, but this torch finds no CUDA device; use 'cpu' or 'auto'."
        )
    return device


def tied_names(model: nn.Module) -> list[list[str]]:
    """Names of all parameters and saved buffers, those of one shared tensor together, its owner first."""
    saved = model.state_dict(keep_vars=True)
    groups: dict[int, list[str]] = {}
    for name, tensor in saved.items():
        groups.setdefault(id(tensor), []).append(name)
    return list(groups.values())


_MOST_DRAWN = 2**27  # bytes of weights that may be drawn anew, and as many more as the files hold
_FEW_LAYERS = 100  # are built in no time, whatever the weights


def build(make: Callable[[], Model], config: PretrainedConfig, weights: Mapping[str, Any]) -> Model:
    """The model without memory, on the meta device. Errors: ConfigError for sizes that no weights can have."""
    layers = getattr(config, "num_hidden_layers", 0)
    if isinstance(layers, int) and layers > max(_FEW_LAYERS, len(weights)):
        raise ConfigError(
            f"num_hidden_layers={layers:,}, and there are {len(weights):,} tensors in "
            f"{config.name_or_path or 'the checkpoint'}: configuration and weights do not belong together."
        )
    inside = _building.set(True)
    try:
        with torch.device("meta"), Unfilled():
            model = make()
            model.tie_weights()  # a class of the user's own may do without post_init
            return model
    except ConfigError as error:
        name = config.name_or_path
        raise error if name in str(error) else ConfigError(f"{name}: {error}") from error
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        raise ConfigError(f"No model has the sizes that the configuration says: {error}.") from error
    finally:
        _building.reset(inside)


def assign(
    model: PreTrainedModel,
    weights: Mapping[str, LazyTensor | Tensor],
    *,
    dtype: torch.dtype,
    device: torch.device,
    ignore_mismatched: bool,
) -> LoadingReport:
    """Give a model on the meta device its tensors. What the file lacks is left on the meta device and reported."""
    state = model.state_dict()
    given = align(weights, set(state), model.base_model_prefix, model.RENAMES)
    groups = tied_names(model)
    tied = {*model.TIED, *model.TIED.values()}
    apart = differing(groups, given) if device.type != "meta" else []
    ours = type(model).tie_weights.__module__.startswith("formers.")  # a user's own class ties whatever comes
    if lost := [name for name in apart if name not in tied and ours]:
        raise CheckpointError(
            f"{type(model).__name__}: in {model.config.name_or_path or 'the checkpoint'} these differ from the tensor "
            f"that they share with others here, and it can have one value only: {listed(lost)}. Save the model with "
            "tables of words that are equal, or load it where they are apart."
        )
    if parted := [name for name in apart if name in tied]:
        groups = [[name for name in group if name not in parted] for group in groups] + [[name] for name in parted]
        if model.config.tie_word_embeddings:
            model.config.tie_word_embeddings = False
            where = model.config.name_or_path or "the checkpoint"
            logger.warning(
                "%s: in %s these differ from what they are tied to, and stay apart (tie_word_embeddings=False): %s.",
                type(model).__name__, where, listed(parted),
            )  # fmt: skip
    report = compare(groups, state, given, model.BUFFERS)
    report.apart, used = parted, {id(tensor) for tensor in given.values()}
    report.unexpected += [name for name, tensor in weights.items() if id(tensor) not in used]
    report.missing = [name for name in report.missing if state[name].is_meta]  # else the class has loaded it itself
    wrong = {name for name, *_ in (*report.mismatched, *report.mistyped)}
    modules = modules_of(model)
    for group in groups:
        found = next((name for name in group if name in given), None)
        if found is None or found in wrong or device.type == "meta":
            continue
        lazy = given[found]
        tensor = lazy.detach().clone() if isinstance(lazy, Tensor) else lazy.load()
        if tensor.is_floating_point():
            tensor = tensor.to(_own_dtype(model, group, dtype))
        put(modules, group, tensor.to(device))
    if report.mismatched and not ignore_mismatched:
        raise CheckpointError(mismatched(model, report))
    return report


def _own_dtype(model: PreTrainedModel, names: list[str], dtype: torch.dtype) -> torch.dtype:
    """The type of a parameter with these names in a model that is loaded in `dtype`."""
    kept = dtype == torch.float16 and any(not set(model.KEPT_FLOAT32).isdisjoint(n.split(".")) for n in names)
    return torch.float32 if kept else dtype


def modules_of(model: nn.Module) -> dict[str, nn.Module]:
    """Every module by each of its names: made once, as `get_submodule` takes a third of the time of a load."""
    return dict(model.named_modules(remove_duplicate=False))


def put(modules: Mapping[str, nn.Module], names: list[str], tensor: Tensor) -> None:
    """Make `tensor` the parameter or buffer of all `names`, which share it."""
    old = _tensor(modules, names[0])
    value = nn.Parameter(tensor, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else tensor
    for name in names:
        owner, _, attribute = name.rpartition(".")
        setattr(modules[owner], attribute, value)


def draw_missing(
    model: PreTrainedModel,
    report: LoadingReport,
    *,
    dtype: torch.dtype,
    device: torch.device,
    make: Callable[[], PreTrainedModel],
) -> None:
    """Give what is still on the meta device memory and values, and mark the model as loaded.

    Parts that the class itself loads in its `__init__` have theirs. Layers draw their own weights; what belongs to no
    layer that can is taken from a model made afresh by `make`.
    Errors: CheckpointError, before any memory is taken, for much more than the files hold.
    """
    for module in model.modules():
        vars(module)["_loaded"] = True
    if device.type == "meta":
        model.to(device=device, dtype=dtype)
        return
    state, groups, modules = model.state_dict(), tied_names(model), modules_of(model)
    _check_room(model, {names[0]: state[names[0]] for names in groups}, dtype)
    layers: dict[str, set[str]] = {}
    others: list[list[str]] = []
    for names in groups:
        wanted = _own_dtype(model, names, dtype)
        if not (old := state[names[0]]).is_meta:
            if old.device != device or (old.is_floating_point() and old.dtype != wanted):
                put(modules, names, old.to(device, wanted if old.is_floating_point() else old.dtype))
            continue
        put(modules, names, torch.zeros(state[names[0]].shape, dtype=wanted, device=device))
        places = [name.rpartition(".")[::2] for name in names]
        layer = next((p for p in places if hasattr(modules[p[0]], "reset_parameters")), None)
        if layer:
            layers.setdefault(layer[0], set()).add(layer[1])
        else:
            others.append(names)
    for name, new in layers.items():
        module = modules[name]
        kept = {n: p.detach().clone() for n, p in module.named_parameters(recurse=False) if n not in new}
        module.reset_parameters()  # type: ignore[operator]
        model._init_weights(module)
        with torch.no_grad():
            for n, value in kept.items():
                module.get_parameter(n).copy_(value)
    unsaved = [[name] for name, buffer in model.named_buffers() if buffer.is_meta]
    if others or unsaved:
        with nullcontext() if others else Unfilled():
            fresh = modules_of(make())
        for names in others + unsaved:
            value = _tensor(fresh, names[0]).detach()
            wanted = _own_dtype(model, names, dtype) if value.is_floating_point() else value.dtype
            put(modules, names, value.to(device, wanted))


def _check_room(model: nn.Module, tensors: dict[str, Tensor], dtype: torch.dtype) -> None:
    """A configuration is a few bytes that ask for any size; the files that were read are proof of a part of it."""
    sizes = {name: tensor.numel() * dtype.itemsize for name, tensor in tensors.items()}
    new = {name: size for name, size in sizes.items() if tensors[name].is_meta}
    held, drawn = sum(sizes.values()) - sum(new.values()), sum(new.values())
    if drawn > held + _MOST_DRAWN:
        largest = max(new, key=lambda name: new[name])
        raise CheckpointError(
            f"{type(model).__name__}: {drawn / 1e9:,.1f} GB of weights would have to be drawn anew, and the checkpoint "
            f"holds {held / 1e9:,.1f} GB. The largest is {largest}, {tuple(tensors[largest].shape)}. "
            "Is the configuration that of these weights?"
        )


def _tensor(modules: Mapping[str, nn.Module], name: str) -> Tensor:
    owner, _, attribute = name.rpartition(".")
    found: Tensor = getattr(modules[owner], attribute)
    return found


def loaded(module: nn.Module) -> bool:
    """Whether a module came from files, or is a copy of one that did: its weights are not to be drawn again."""
    return "_loaded" in vars(module)
