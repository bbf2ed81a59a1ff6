"""The machinery of every task: inputs in, results out, in order, batched.

    inputs ─▶ chunks ─▶ preprocess ─▶ batches ─▶ forward ─▶ parts of one input ─▶ postprocess ─▶ results

A task is a class with four hooks, named as Transformers names them: `_sanitize_parameters` sorts keyword arguments,
`preprocess` makes one input's tensors (1, T), `_forward` calls the model, `postprocess` makes one input's result.
"""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import torch
from torch.utils.data import Dataset

from .. import auto
from ..errors import ArgumentError, InputError, near
from ..logging import logger
from ..views import notebook
from .batches import collate, length_of, map_tensors, part
from .choices import member
from .failures import OnError, settled
from .pt_utils import KeyDataset
from .registry import PipelineRegistry
from .steps import Steps, one_by_one
from .streams import Results, progress
from .threads import fit_threads

__all__ = ["KeyDataset", "Pipeline", "PipelineException", "PipelineRegistry", "Task"]

_CALL_ARGUMENTS = ("batch_size", "num_workers", "on_error")
# a CPU is busy with a few sentences; an accelerator idles between steps of that size
_ACCELERATOR_FACTOR = 8
_WIDTH = 768  # of the models that step_tokens is for


@dataclass(frozen=True)
class Task:
    """What the file of a task declares in its `TASK`.

    Attributes:
        name: the task.
        pipeline: its class.
        auto: the class of `formers.auto` that loads its models, by its name, or a class of your own.
        default: hub name and revision of the model used when none is given; None where there is no usual one.
        aliases: other names of the task.
        architectures: how the class names of its models end, to tell the task from a model alone.
        packaged: folder under `formers/packaged` that stands in when the default cannot be reached.
        beside: a JSON file beside config.json that the task reads too, as `model.config.sentence_transformers`.
        reads: what makes the model's inputs: "tokenizer", "image_processor" or "processor".
        may_read: the same, of what not every model of the task has.
    """

    name: str
    pipeline: type[Pipeline]
    auto: str | type
    default: tuple[str, str | None] | None
    aliases: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    packaged: str | None = None
    beside: str | None = None
    reads: tuple[str, ...] = ("tokenizer",)
    may_read: tuple[str, ...] = ()

    def loader(self) -> Any:
        """The class whose `from_pretrained` loads its models."""
        return getattr(auto, self.auto) if isinstance(self.auto, str) else self.auto


class PipelineException(InputError):
    """An input that a task cannot use; `task` and `model` say which."""

    def __init__(self, task: str, model: str, reason: str) -> None:
        super().__init__(reason)
        self.task, self.model = task, model


class Pipeline(ABC):
    """Base of all pipelines.

    Args:
        model: a model; set to evaluation mode, and moved when `device` is given.
        tokenizer: its tokenizer; a subclass of your own may do without.
        framework: "pt", the only one.
        task: the task's name, for messages.
        device: "cpu", "cuda:1", a number (accelerator) or -1 (CPU), a torch.device; None leaves the model where it is.
        batch_size: inputs per step. Without it the tasks of this package choose by tokens; subclasses that define
            `preprocess`, `forward` or `_forward` of their own get one input at a time.
        optimize: a mode of `model.optimize()`, which is called: True, "float32", "fp16", "bf16" or "int8".
        on_error: what an input that cannot be used gives: "raise", its error; "return", the error instead of a result.
        feature_extractor, image_processor, video_processor, processor: for a class of your own, kept under these names;
            a processor's tokenizer serves where none is given.
        dtype, torch_dtype: accepted; the model has its type already.
        kwargs: anything that `_sanitize_parameters` takes, as default for the calls.
    """

    # whether forward takes batches that were chosen by tokens; read again for each subclass below
    by_tokens: ClassVar[bool] = False
    # whether outputs have a row per token, so that a batch's padding must be cut off
    per_token: ClassVar[bool] = False
    # tokens that one step computes on a CPU, up to twice as many in narrow models, and tokens whose results may wait
    step_tokens: ClassVar[int] = 2_500
    window_tokens: ClassVar[int] = 10_000
    # the same for lists, whose results are all kept anyway: more neighbours in length, and still a bar that moves
    list_tokens: ClassVar[int] = 50_000
    # inputs that are read together at most
    read_at_once: ClassVar[int] = 1024
    # how inputs go through the model
    steps: ClassVar[type[Steps]] = Steps

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if {"preprocess", "forward", "_forward"} & vars(cls).keys() and "by_tokens" not in vars(cls):
            cls.by_tokens = False  # hooks written for one input must not meet a batch nobody asked for
            if "preprocess" in vars(cls) and "check_input" not in vars(cls):  # it may read inputs of its own form
                cls.check_input = Pipeline.check_input  # type: ignore[method-assign]

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        feature_extractor: Any = None,
        modelcard: Any = None,
        framework: str | None = None,
        task: str = "",
        args_parser: Any = None,
        device: int | str | torch.device | None = None,
        binary_output: bool = False,
        batch_size: int | None = None,
        num_workers: int | None = None,
        optimize: bool | str | None = None,
        on_error: str = "raise",
        image_processor: Any = None,
        processor: Any = None,
        video_processor: Any = None,
        torch_dtype: Any = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        if framework not in (None, "pt"):
            raise ArgumentError(f"framework={framework!r} is not available: models are PyTorch here. Leave it out.")
        self.model = model
        self.tokenizer = tokenizer
        self.feature_extractor, self.modelcard, self.binary_output = feature_extractor, modelcard, binary_output
        self.image_processor, self.video_processor, self.processor = image_processor, video_processor, processor
        if (wanted := torch_dtype if dtype is None else dtype) not in (None, "auto", self.dtype, str(self.dtype)[6:]):
            logger.warning(f"The model is loaded already, as {self.dtype}: dtype={wanted} changes nothing.")
        self.framework = "pt"
        self.task = task
        self.device = choose_device(device, model)
        if device is not None and model.device != self.device:
            model.to(self.device)
        model.eval()
        if self.device.type == "cpu":
            fit_threads()
        if optimize:
            _optimize(model, optimize, tokenizer)
        notebook.register_where_running()
        self.call_count = 0
        self._batch_size = checked_batch_size(batch_size)
        self._on_error = member(OnError, on_error, "on_error")
        self._preprocess_params, self._forward_params, self._postprocess_params = self._sanitize_parameters(**kwargs)

    def __repr__(self) -> str:
        mode = getattr(getattr(self.model, "optimized", None), "mode", None)
        own = f", optimize={mode!r}" if mode else ""
        return f"{type(self).__name__}(model={type(self.model).__name__}, device='{self.device}'{own})"

    @property
    def dtype(self) -> torch.dtype | None:
        """The type of the model's weights; None for a model that does not say."""
        return getattr(self.model, "dtype", None)

    @property
    def torch_dtype(self) -> torch.dtype | None:
        """The older name of dtype."""
        return self.dtype

    @abstractmethod
    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Sort the keyword arguments of the constructor or a call into those of preprocess, forward and postprocess."""

    @abstractmethod
    def preprocess(self, inputs: Any, *args: Any, **parameters: Any) -> Mapping[str, Any]:
        """The model's arguments for one input: tensors of one row; other values pass through."""

    @abstractmethod
    def _forward(self, model_inputs: Any, *args: Any, **parameters: Any) -> Any:
        """Call the model. Tensors are on its device; gradients are off."""

    @abstractmethod
    def postprocess(self, model_outputs: Any, *args: Any, **parameters: Any) -> Any:
        """One input's result from its outputs, on the CPU."""

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:  # noqa: B027
        """Raise InputError when the item is nothing that `preprocess` can read, with its `parameters`.

        This is quick: all of a list is checked before any work. `name` is what the message calls the item. A class
        with a `preprocess` of its own has no check until it has a `check_input` of its own.
        """

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """`preprocess` for several inputs; `first` is the first one's number in messages, None when it is alone."""
        return one_by_one(self.preprocess, inputs, first, parameters)

    def forward(self, model_inputs: Any, **parameters: Any) -> Any:
        """`_forward` on the pipeline's device without gradients; outputs on the CPU, half precision as float32."""
        with self.device_placement(), self.get_inference_context()():
            outputs = self._forward(self._ensure_tensor_on_device(model_inputs, self.device), **parameters)
            return map_tensors(outputs, _to_cpu)

    def __call__(
        self,
        inputs: Any,
        *args: Any,
        num_workers: int | None = None,
        batch_size: int | None = None,
        on_error: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the task.

        Args:
            inputs: one input, a list of inputs, or a generator or dataset of inputs.
            num_workers: accepted and not used: text is read faster than a model runs.
            batch_size: inputs per step, for this call.
            on_error: "raise", or "return" for errors of inputs in the places of their results, for this call.
            kwargs: the task's own arguments, for this call.

        Returns:
            The result of one input, a list of results, or for a generator or dataset an iterator of results; always in
            the order of the inputs.

        Raises:
            InputError: for an input that cannot be used; it names its index. Of a list, before any work; of a
                generator or dataset, in its turn.
            ArgumentError: for a keyword that the task does not have.
        """
        if args:
            raise ArgumentError("Give several inputs as one list: the call takes one positional argument.")
        size = checked_batch_size(batch_size) or self._batch_size
        errors = self._on_error if on_error is None else member(OnError, on_error, "on_error")
        given = self._sanitize_parameters(**kwargs)
        defaults = (self._preprocess_params, self._forward_params, self._postprocess_params)
        before, inside, after = (self._over(default, new) for default, new in zip(defaults, given, strict=True))
        self.call_count += 1
        kind = self._kind(inputs)
        keep = kind == "stream" or errors is OnError.RETURN
        window = self.list_tokens if kind == "list" else self.window_tokens
        steps = self.steps(self, before, inside, after, 1 if kind == "one" else size, window, keep)
        if not keep:
            steps.check([inputs] if kind == "one" else inputs, None if kind == "one" else 0)
        if kind == "one":
            return next(settled(steps.results(iter([[inputs]]), None), errors))

        def run() -> Iterator[Any]:
            results = steps.stream(inputs, eager=kind == "list")
            return progress(settled(results, errors), inputs, self.task, steps.pace)

        return list(run()) if kind == "list" else Results(run, inputs)

    def _over(self, default: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        """A hook's keyword arguments: those of the call, `new`, before those of the constructor."""
        return {**default, **new}

    def _kind(self, inputs: Any) -> str:
        if isinstance(inputs, list):
            return "list"
        return "stream" if isinstance(inputs, Iterator | Dataset) else "one"

    def length(self, model_inputs: Mapping[str, Any]) -> int:
        """How much the model computes for one input: its tokens."""
        return length_of(model_inputs)

    def _step_tokens(self) -> int:
        if self.device.type != "cpu":
            return self.step_tokens * _ACCELERATOR_FACTOR
        width = getattr(getattr(self.model, "config", None), "hidden_size", _WIDTH)
        return int(self.step_tokens * min(2, max(1, _WIDTH / width)))

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        if len(items) == 1:
            yield self.forward(items[0], **parameters)
            return
        batch = collate(items, self.tokenizer, right=self.by_tokens)
        columns = length_of(batch)
        outputs = self.forward(batch, **parameters)
        for row, item in enumerate(items):
            yield part(outputs, row, len(items), (columns, length_of(item)) if self.per_token else None)

    def transform(self, X: Any) -> Any:
        """The call under the name that scikit-learn's transformers have."""
        return self(X)

    def predict(self, X: Any) -> Any:
        """The call under the name that scikit-learn's and Keras' predictors have."""
        return self(X)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Save the model, and what makes its inputs, in one folder, from which `pipeline` loads them again; kwargs go
        to the model's."""
        self.model.save_pretrained(save_directory, **kwargs)
        parts = (self.tokenizer, self.image_processor or self.feature_extractor)
        for one in (self.processor,) if hasattr(self.processor, "save_pretrained") else parts:
            if one is not None:
                one.save_pretrained(save_directory)

    @contextmanager
    def device_placement(self) -> Iterator[None]:
        """Make the pipeline's device the current one, for tensors that are created inside."""
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                yield
        else:
            yield

    def get_inference_context(self) -> type[AbstractContextManager[Any]]:
        """What `forward` runs in; override it with `torch.no_grad` where inference tensors are in the way."""
        return torch.inference_mode

    def ensure_tensor_on_device(self, **inputs: Any) -> dict[str, Any]:
        """The same values with every tensor, also inside lists and dictionaries, on the pipeline's device."""
        moved: dict[str, Any] = self._ensure_tensor_on_device(inputs, self.device)
        return moved

    def _ensure_tensor_on_device(self, inputs: Any, device: torch.device) -> Any:
        return map_tensors(inputs, lambda tensor: tensor.to(device))

    def check_model_type(self, supported_models: list[str] | Mapping[Any, Any]) -> None:
        """Log an error when the model's class is not in `supported_models`, names or a mapping to classes or names."""
        values = supported_models if isinstance(supported_models, list) else supported_models.values()
        flat = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
        names = [one if isinstance(one, str) else one.__name__ for one in flat]
        if (name := type(self.model).__name__) not in names:
            logger.error(f"{name} is not made for {self.task or type(self).__name__}, which uses {', '.join(names)}.")

    def reject(self, unknown: set[str], more: tuple[str, ...] = ()) -> None:
        """Raise ArgumentError for keyword arguments that the task does not have; `more` are names beside its own."""
        if unknown:
            own = inspect.signature(self._sanitize_parameters).parameters.values()
            known = [p.name for p in own if p.kind is not p.VAR_KEYWORD] + [*more, *_CALL_ARGUMENTS]
            name = min(unknown)
            task = self.task or type(self).__name__
            raise ArgumentError(f"{task} has no argument {name!r}.{near(name, known)} It takes {', '.join(known)}.")


def choose_device(wanted: int | str | torch.device | None, model: Any) -> torch.device:
    """The device meant by the `device` argument. Raises ArgumentError for one that does not exist or is not there."""
    if wanted is None:
        return torch.device(model.device)
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = accelerator.type if accelerator else "cuda"
    name = wanted if not isinstance(wanted, Integral) else "cpu" if wanted < 0 else f"{kind}:{wanted}"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ArgumentError(f"device={wanted!r} is no device. Examples: 'cpu', 'cuda', 'cuda:1', 0, -1.") from error
    count = torch.accelerator.device_count() if accelerator else 0
    if device.type != "cpu" and (device.type != kind or (device.index or 0) >= count):
        there = ", ".join(["'cpu'", *(f"'{kind}:{i}'" for i in range(count))])
        raise ArgumentError(f"device={wanted!r} is not available on this machine, which has {there}.")
    if device.type != "cpu" and device.index is None:
        device = torch.device(device.type, torch.accelerator.current_device_index())
    return device


def _optimize(model: Any, mode: bool | str, tokenizer: Any) -> None:
    if not callable(getattr(model, "optimize", None)):
        raise ArgumentError(
            f"optimize={mode!r} needs a model of formers, which has optimize(); this is a {type(model).__module__}."
            f"{type(model).__qualname__}. Leave optimize out, or load the model with an Auto class of formers."
        )
    model.optimize(mode, tokenizer=tokenizer)


def checked_batch_size(batch_size: int | None) -> int | None:
    """`batch_size` itself. Raises ArgumentError unless it is None or at least 1."""
    if batch_size is not None and (not isinstance(batch_size, Integral) or batch_size < 1):
        raise ArgumentError(f"batch_size={batch_size!r} is not possible: it is a number from 1 on, or left out.")
    return batch_size


def _to_cpu(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("cpu", torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else None)
