"""A model's way from files and back to them."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from . import gguf, hub
from .atomic import replacing
from .checkpoints import file_given, find_weights, open_checkpoint
from .checkpoints.find import is_plain
from .checkpoints.names import torch_names
from .checkpoints.scales import scaled
from .checkpoints.write import save_checkpoint
from .config import PretrainedConfig, refuse_push
from .errors import ArgumentError, InputError, near
from .hub.reading import unchanged
from .loading import (
    assign,
    build,
    draw_missing,
    resolve_device,
    resolve_dtype,
    tied_names,
    without_collector,
)
from .logging import warn_once
from .optimize import probe
from .report import judge

Model = TypeVar("Model", bound="Pretrained")

# keywords of `from_pretrained` that steer how the reference loads and have nothing to steer here
_IGNORED = ("low_cpu_mem_usage", "_fast_init", "trust_remote_code", "offload_folder")


class Pretrained(nn.Module):
    """The part of a model that loads and saves. `RENAMES`: {foreign name, already in torch's form: the family's}."""

    config_class: ClassVar[type[PretrainedConfig]] = PretrainedConfig
    RENAMES: ClassVar[dict[str, str]] = {}

    config: Any

    @classmethod
    def _from_config(cls: type[Model], config: PretrainedConfig, **kwargs: Any) -> Model:
        """A model with drawn weights."""
        config = copy.deepcopy(config)
        dtype = kwargs.pop("dtype", None) or kwargs.pop("torch_dtype", None)
        config._attn_implementation = kwargs.pop("attn_implementation", None) or config._attn_implementation
        model = cls(config, **kwargs)
        return model.to(resolve_dtype(dtype, config.dtype)) if dtype is not None else model

    @classmethod
    def from_pretrained(
        cls: type[Model], pretrained_model_name_or_path: str | os.PathLike[str], *model_args: Any, **kwargs: Any
    ) -> Model | tuple[Model, dict[str, Any]]:
        """Load a model, in eval mode, from a folder or a hub name, or from one weight file.

        The weights may be safetensors, or those of PyTorch, TensorFlow (2 and 1) or Flax, as one file or in shards,
        or a GGUF file, which has its configuration within: `gguf_file` names it in the folder or on the hub.
        from_tf, from_flax: take TensorFlow's or Flax's weights also where there are others.
        mmap: False reads the files into memory at once, so that what others do to them later does not matter here;
        by default they are mapped, which is quicker and shares memory between processes.
        config: a configuration to use instead of the one beside the weights.
        dtype: float32 unless given; "auto" is the type that the weights are stored in, and bfloat16 for the blocks of
        integers of GGUF files.
        device, device_map: a device, or "auto". attn_implementation: "sdpa" or "eager".
        state_dict: weights to use instead of those in the files.
        adapter_name, adapter_kwargs: of an adapter's folder, which opens as the model that it names with the adapter in
        it: what the adapter is called, and hub keywords for it alone.
        ignore_mismatched_sizes: draw weights anew whose shape differs.
        output_loading_info: also return what was missing, unexpected and mismatched.
        revision, subfolder, cache_dir, token, local_files_only, force_download, variant, use_safetensors: what to look
        for, and where.
        Any key of the configuration overrides it.

        Raises NotFoundError, ConfigError or CheckpointError; each is an OSError and a ValueError.
        """
        name = gguf.given(pretrained_model_name_or_path, kwargs) or pretrained_model_name_or_path
        file = file_given(name)
        folder = file.parent if file else name
        return unchanged(name, lambda: cls._load(folder, file, model_args, dict(kwargs)))

    @classmethod
    def _load(
        cls: type[Model],
        name: str | os.PathLike[str],
        file: Path | None,
        model_args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Model | tuple[Model, dict[str, Any]]:
        where = hub.hub_arguments(kwargs)
        options = {
            k: kwargs.pop(k, None)
            for k in ("state_dict", "variant", "use_safetensors", "from_tf", "from_flax", *_IGNORED)
        }
        device_map, device = kwargs.pop("device_map", None), kwargs.pop("device", None)
        mmap = kwargs.pop("mmap", True)
        ignore_mismatched = kwargs.pop("ignore_mismatched_sizes", False)
        with_report = kwargs.pop("output_loading_info", False)
        dtype = kwargs.pop("dtype", None)
        dtype = kwargs.pop("torch_dtype", None) if dtype is None else dtype
        packed = file if file and gguf.is_gguf(file) else None
        config, kwargs = cls._find_config(packed or name, where, kwargs)
        device = resolve_device(device_map if device is None else device)
        weights = options["state_dict"]
        if weights is None:
            first = "tf" if options["from_tf"] else "flax" if options["from_flax"] else None
            find = (options["variant"], options["use_safetensors"], first)
            if packed:
                wanted = resolve_dtype(dtype, config.dtype, str(packed))
                weights = gguf.tensors(packed, mmap, wanted)
            else:
                weights = open_checkpoint(file or find_weights(hub.locate(name, **where), *find), mmap=mmap)
        stored, weights = len(weights), scaled(weights)
        if len(weights) < stored:  # what would be saved is in no need of it
            vars(config).pop("quantization_config", None)
        weights = torch_names(weights)
        resolved = resolve_dtype(dtype, config.dtype or _stored_dtype(weights), config.name_or_path)

        def make() -> Any:
            return cls(config, *model_args, **kwargs)

        with without_collector():
            model = build(make, config, weights)
            report = assign(model, weights, dtype=resolved, device=device, ignore_mismatched=ignore_mismatched)
            judge(model, report)
            draw_missing(model, report, dtype=resolved, device=device, make=make)
            if not report.apart:
                model.tie_weights()
        model.config.dtype = resolved
        if name is not None:
            model.read_beside(hub.locate(name, **where), packed)
        _advise(resolved, model)
        model.eval()
        return (model, report.as_dict()) if with_report else model

    @classmethod
    def _find_config(
        cls, name: Any, where: dict[str, Any], kwargs: dict[str, Any]
    ) -> tuple[PretrainedConfig, dict[str, Any]]:
        config = kwargs.pop("config", None)
        if isinstance(config, PretrainedConfig):
            config = copy.deepcopy(config)
            for key in [k for k in kwargs if hasattr(config, k)]:
                setattr(config, key, kwargs.pop(key))
            if attention := kwargs.pop("attn_implementation", None):
                config._attn_implementation = attention
            config._name_or_path = str(name)
        else:
            beside = config is None
            config, kwargs = cls.config_class.from_pretrained(
                config or name, return_unused_kwargs=True, **where, **kwargs
            )
            if beside and config._commit_hash:  # the branch may move before the weights are asked for
                where["revision"] = config._commit_hash
        taken = _init_names(cls)
        if taken is not None and (unknown := kwargs.keys() - taken):
            wrong = sorted(unknown)[0]
            known = {
                *config.to_dict(),
                "num_labels",
                "dtype",
                "config",
                "revision",
                "token",
                "subfolder",
                "device_map",
                "ignore_mismatched_sizes",
            }
            raise ArgumentError(
                f"{cls.__name__}.from_pretrained takes no {wrong!r}: "
                f"no option, and no key of {type(config).__name__}.{near(wrong, known)}"
            )
        return config, kwargs

    def read_beside(self, source: hub.Source, packed: Path | None = None) -> None:
        """Read what a checkpoint has for the model beside its configuration and weights; `packed`: its GGUF file."""

    def write_beside(self, folder: Path) -> None:
        """Write it."""

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        variant: str | None = None,
        push_to_hub: bool = False,
        **_: Any,
    ) -> None:
        """Write config.json and the weights, as safetensors, in files of at most `max_shard_size` bytes ("5GB").

        The folder goes from its old contents to the new ones at once: a reader, or a crash, never sees a mixture. The
        weights that it had for PyTorch, in either form, are removed: no program shall take old ones for these.
        With `variant`, the files are called model.fp16.safetensors and so on. `safe_serialization=False` writes
        pytorch_model.bin instead, in shards too.
        """
        refuse_push(push_to_hub)
        if variant and not is_plain(variant):
            raise InputError(f"variant={variant!r} cannot be a part of a file's name; it is a word such as 'fp16'.")
        if not is_main_process:
            return
        config = copy.deepcopy(self.config)
        config.architectures = [type(self).__name__]
        config.dtype = self.dtype
        tied = tied_names(self) if config.tie_word_embeddings else []  # otherwise readers expect every name
        shared = {name for names in tied for name in names[1:]}
        tensors = {
            k: v for k, v in (self.state_dict() if state_dict is None else state_dict).items() if k not in shared
        }
        with replacing(save_directory, stale=_weight_files(variant)) as stage:
            config.to_json_file(stage / "config.json")
            self.write_beside(stage)
            save_checkpoint(tensors, stage, max_shard_size, variant=variant, pickled=not safe_serialization)


def _weight_files(variant: str | None) -> list[str]:
    """Patterns of all names that weights of that variant are saved under."""
    mark = f".{variant}" if variant else ""
    return [
        pattern
        for stem, ending in (("model", "safetensors"), ("pytorch_model", "bin"))
        for pattern in (
            f"{stem}{mark}.{ending}",
            f"{stem}{mark}-*-of-*.{ending}",
            f"{stem}.{ending}.index{mark}.json",
        )
    ]


def _init_names(cls: type) -> set[str] | None:
    parameters = inspect.signature(cls).parameters.values()
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else {p.name for p in parameters}


def _advise(dtype: torch.dtype, model: Any) -> None:
    """Say so where the processor, and there is no other device, is slow with numbers of 16 bits."""
    if dtype not in (torch.bfloat16, torch.float16) or torch.accelerator.is_available():
        return
    if model.device.type == "cpu" and probe.computes_slowly(dtype):
        name = str(dtype).removeprefix("torch.")
        warn_once(
            f"This processor takes longer to compute in {name} than in float32. Load the model in float32 and call "
            "model.optimize(), which finds what is fast here."
        )


def _stored_dtype(weights: Mapping[str, Any]) -> torch.dtype | None:
    return next((t.dtype for t in weights.values() if t.dtype.is_floating_point), None)
