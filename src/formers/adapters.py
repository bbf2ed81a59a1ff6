"""Adapters by PEFT: a few weights beside a model's own, in its layers, trained and saved alone.

The package `peft` is imported when the first adapter is asked for. Source: Hu et al. 2021 (arXiv 2106.09685) for LoRA;
https://huggingface.co/docs/peft for the others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from . import hub
from .atomic import replacing
from .checkpoints import open_checkpoint
from .checkpoints.write import save_checkpoint
from .config import ADAPTER_NAME, base_of_adapter, read_json, refuse_push
from .errors import ArgumentError, CheckpointError, ConfigError, InputError, NotFoundError, near
from .extra import library
from .logging import logger
from .ops.conv1d import Conv1D
from .optimize import take_back
from .pretrained import Model, Pretrained
from .report import listed

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_OUTER = "base_model.model."  # before a model's own names, in PEFT's files
_IGNORED = {"low_cpu_mem_usage", "device_map", "max_memory", "offload_folder", "offload_index", "load_config"}


def _peft() -> Any:
    return library("peft", "An adapter", '"formers[adapters]"')


def _layers(model: nn.Module, wrappers: bool = True) -> Iterator[tuple[str, Any]]:
    """The layers that hold adapters, and the modules that are trained with them."""
    _peft()
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper) if wrappers else (BaseTunerLayer,)
    yield from [(name, module) for name, module in model.named_modules() if isinstance(module, kinds)]


class Adapted(Pretrained):
    """The part of a model that adapters are put into.

    peft_config: {adapter's name: its configuration}, once there is one.
    """

    name_or_path: str
    device: Any

    @property
    def _hf_peft_config_loaded(self) -> bool:
        return bool(vars(self).get("peft_config"))

    # ---- adapters in, and out

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """Put a new adapter into the layers, which alone is trained from then on, and make it the active one.

        adapter_config: a `peft.LoraConfig`, `IA3Config` or another whose adapters are within layers.
        Errors: ArgumentError for what is no such configuration; InputError for a name that is taken, or for layers
        that the model does not have.
        """
        peft, name = _peft(), "default" if adapter_name is None else adapter_name
        if not isinstance(adapter_config, peft.PeftConfig):
            raise ArgumentError(
                f"add_adapter takes a configuration of PEFT, such as peft.LoraConfig(…); got "
                f"{type(adapter_config).__name__}."
            )
        self._check_new(name)
        adapter_config.base_model_name_or_path = self.name_or_path or None
        with self._whole_or_not():
            self._inject(adapter_config, name)
            self.set_adapter(name)

    def load_adapter(
        self,
        peft_model_id: str | os.PathLike[str] | None = None,
        adapter_name: str | None = None,
        *,
        peft_config: Any = None,
        adapter_state_dict: Mapping[str, Tensor] | None = None,
        is_trainable: bool = False,
        hotswap: bool | str = "auto",
        adapter_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Load an adapter from a folder or a hub name, and make it the active one.

        adapter_name: what it is called here, "default" if left out.
        peft_config, adapter_state_dict: its configuration, as a `PeftConfig` or a dictionary, and its weights, instead
        of those in files.
        is_trainable: whether it is trained further; otherwise it is frozen, and the model in eval mode.
        hotswap: True puts it in the place of the adapter that has this name.
        Hub keywords, also in `adapter_kwargs`: revision, subfolder, cache_dir, token, local_files_only, force_download.
        Errors: NotFoundError without files, ConfigError for a configuration and CheckpointError for weights that do
        not fit this model. After an error the model is as it was.
        """
        kwargs = {**kwargs, **(adapter_kwargs or {})}
        where = hub.hub_arguments(kwargs)
        if unknown := sorted(kwargs.keys() - _IGNORED):
            raise ArgumentError(f"load_adapter takes no {unknown[0]!r}.{near(unknown[0], ('is_trainable', *where))}")
        name = "default" if adapter_name is None else adapter_name
        _peft()
        if peft_model_id is None and (peft_config is None or adapter_state_dict is None):
            raise ArgumentError("load_adapter needs a folder or a hub name, or peft_config and adapter_state_dict.")
        source = None if peft_model_id is None else hub.locate(peft_model_id, **where)
        config = _config(peft_config, source)
        weights = _weights(source) if adapter_state_dict is None else adapter_state_dict
        origin = "adapter_state_dict" if source is None else source.where
        _check_rank(config, weights, origin)
        if hotswap is True:
            self._known([name])
            self.delete_adapter(name)
        self._check_new(name)
        config.inference_mode = not is_trainable
        with self._whole_or_not():
            self._inject(config, name)
            self.fill_adapter(name, weights, origin)
        if not is_trainable:
            self.eval()
            for _, layer in _layers(self, wrappers=False):
                layer.requires_grad_(False)

    def delete_adapter(self, adapter_names: list[str] | str) -> None:
        """Remove adapters; with the last one, the layers are the model's own again. What was frozen stays frozen."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        self._known(names)
        take_back(self)
        for name in names:
            self._remove(name)

    # ---- which are used

    def set_adapter(self, adapter_name: list[str] | str) -> None:
        """Use this adapter, or these, and no others."""
        self._known([adapter_name] if isinstance(adapter_name, str) else adapter_name)
        from peft.functional import set_adapter

        take_back(self)
        set_adapter(self, adapter_name)

    def disable_adapters(self) -> None:
        """Run the model as it is without adapters."""
        self._enable(False)

    def enable_adapters(self) -> None:
        """Use the active adapters again."""
        self._enable(True)

    def active_adapters(self) -> list[str]:
        """The names of the adapters that are used."""
        self._known([])
        found = next(layer for _, layer in _layers(self, wrappers=False)).active_adapters
        return [found] if isinstance(found, str) else list(found)

    def active_adapter(self) -> str:
        """The first of them."""
        return self.active_adapters()[0]

    def get_adapter_state_dict(
        self, adapter_name: str | None = None, state_dict: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The weights of one adapter, the active one if left out, without its name in theirs.

        state_dict: the model's, where it is not to be asked for it.
        """
        self._known([] if adapter_name is None else [adapter_name])
        name = self.active_adapter() if adapter_name is None else adapter_name
        found: dict[str, Tensor] = _peft().get_peft_model_state_dict(self, state_dict=state_dict, adapter_name=name)
        return found

    # ---- files

    @classmethod
    def _load(
        cls: type[Model], name: Any, file: Path | None, model_args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Model | tuple[Model, dict[str, Any]]:
        adapter_name, more = kwargs.pop("adapter_name", None), kwargs.pop("adapter_kwargs", None) or {}
        where = {} if file or name is None else hub.hub_arguments({**kwargs, **more})
        source = None if file or name is None else hub.locate(name, **where)
        if source is None or source.file(ADAPTER_NAME) is None:
            return super()._load(name, file, model_args, kwargs)
        _peft()
        base, given = base_of_adapter(source, where) or source, dict(kwargs)
        if base is not source:
            for keyword in ("revision", "subfolder"):  # those of the adapter
                given.pop(keyword, None)
            given["revision"] = base.commit
        made = super()._load(base.name, None, model_args, given)
        model: Any = made[0] if isinstance(made, tuple) else made
        model.load_adapter(name, adapter_name, **where)
        return made

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write config.json and the weights; of a model with adapters the active adapter alone."""
        if not self._hf_peft_config_loaded:
            super().save_pretrained(save_directory, *args, **kwargs)
            return
        self._save_adapter(save_directory, *args, **kwargs)

    def _save_adapter(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        push_to_hub: bool = False,
        save_peft_format: bool = True,
        **_: Any,
    ) -> None:
        """adapter_config.json and adapter_model.safetensors, as PEFT writes them; `save_peft_format=False` leaves the
        names of weights as they are in the model."""
        refuse_push(push_to_hub)
        active = self.active_adapters()
        if len(active) != 1:
            raise InputError(
                f"{len(active)} adapters are active, {listed(active)}, and a folder holds one: choose each by "
                "model.set_adapter(name), and save it to a folder of its own."
            )
        if not is_main_process:
            return
        outer = _OUTER if save_peft_format else ""
        tensors = {f"{outer}{k}": v for k, v in self.get_adapter_state_dict(active[0], state_dict).items()}
        with replacing(save_directory, stale=WEIGHTS) as stage:
            vars(self)["peft_config"][active[0]].save_pretrained(stage)
            self.write_beside(stage)
            # its readers know one file
            save_checkpoint(tensors, stage, 2**62, pickled=not safe_serialization, base="adapter_model")

    # ---- within

    def _known(self, names: list[str]) -> None:
        known = list(vars(self).get("peft_config") or ())
        if not known:
            raise InputError(
                f"The {type(self).__name__} has no adapter: model.load_adapter(folder) or "
                "model.add_adapter(peft.LoraConfig(…)) gives it one."
            )
        for name in names:
            if name not in known:
                raise InputError(f"There is no adapter {name!r}; there are {listed(known)}.{near(name, known)}")

    def _check_new(self, name: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(f"An adapter's name is a word without dots, such as 'default'; got {name!r}.")
        if name in (vars(self).get("peft_config") or ()):
            raise InputError(
                f"There is an adapter {name!r} already. Give another adapter_name, or call "
                f"model.delete_adapter({name!r}) first."
            )

    def _enable(self, enabled: bool) -> None:
        self._known([])
        take_back(self)
        for _, layer in _layers(self):
            layer.enable_adapters(enabled=enabled)

    def _inject(self, config: Any, name: str) -> None:
        peft, kind = _peft(), str(getattr(config.peft_type, "value", config.peft_type))
        if config.is_prompt_learning or config.is_adaption_prompt:
            raise InputError(
                f"{kind} is no adapter within layers: peft.get_peft_model(model, config) makes a model around this one "
                "for it, and peft.PeftModel.from_pretrained(model, folder) loads one."
            )
        take_back(self)
        if str(getattr(config, "target_modules", "")).lower() == "all-linear":
            config.target_modules = _all_linear(self, config)
        try:
            peft.inject_adapter_in_model(config, self, name)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError, re.error) as error:
            raise InputError(f"The {kind} adapter cannot be put into this {type(self).__name__}: {error}") from error

    def fill_adapter(self, name: str, weights: Mapping[str, Any], origin: str) -> None:
        """Give the adapter of that name its weights, by the names of PEFT's files or the model's own."""
        peft = _peft()
        given = {key.removeprefix(_OUTER): value for key, value in weights.items()}
        wanted = peft.get_peft_model_state_dict(self, adapter_name=name, save_embedding_layers=False)
        wrong = [
            f"{key} is {tuple(given[key].shape)} and not {tuple(value.shape)}"
            for key, value in wanted.items()
            if key in given and tuple(given[key].shape) != tuple(value.shape)
        ]
        if wrong or not wanted.keys() & given.keys():
            what = f"these do not fit: {listed(wrong)}" if wrong else (
                f"none of its weights, such as {listed(list(given)[:1])}, is among those of the layers that it names "
                f"here, such as {listed(list(wanted)[:1])}"
            )  # fmt: skip
            raise CheckpointError(
                f"{origin}: the adapter is of another model than this {type(self).__name__}: {what}. "
                "Nothing was loaded."
            )
        own = self.state_dict()
        missing = [key for key in wanted if key not in given]
        unknown = [key for key in given if key not in wanted and key not in own]
        for what, keys in (("lacks weights, which are as drawn", missing), ("has weights that are not used", unknown)):
            if keys:
                logger.warning("%s %s: %s. All others were loaded.", origin, what, listed(keys))
        loaded = {k: v if isinstance(v, Tensor) else v.load() for k, v in given.items() if k not in unknown}
        peft.set_peft_model_state_dict(self, loaded, adapter_name=name)

    def _remove(self, name: str) -> None:
        from peft.functional import set_adapter
        from peft.utils.other import AuxiliaryTrainingWrapper

        configs, active = vars(self)["peft_config"], [other for other in self.active_adapters() if other != name]
        configs.pop(name)
        _drop(self, name)
        if configs:
            active = active or [next(iter(configs))]
            set_adapter(self, active, inference_mode=all(configs[other].inference_mode for other in active))
            return
        for place, layer in _layers(self):
            wrapped = isinstance(layer, AuxiliaryTrainingWrapper)
            self.set_submodule(place, layer.original_module if wrapped else layer.get_base_layer())
        del vars(self)["peft_config"]

    @contextmanager
    def _whole_or_not(self) -> Iterator[None]:
        """Inside, an error leaves the model as it was."""
        before = dict(vars(self).get("peft_config") or {})
        grads = [(p, p.requires_grad) for p in self.parameters()]
        places = dict(self.named_modules())
        active = self.active_adapters() if before else []
        training = [(module, module.training) for module in self.modules()]
        try:
            yield
        except BaseException:
            self._put_back(before, places, active)
            for parameter, wanted in grads:
                parameter.requires_grad_(wanted)
            for module, mode in training:
                module.training = mode
            raise

    def _put_back(self, before: dict[str, Any], places: Mapping[str, nn.Module], active: list[str]) -> None:
        for name in (vars(self).get("peft_config") or {}).keys() - before.keys():
            _drop(self, name)
        for name, module in places.items():
            if name and self.get_submodule(name) is not module:
                self.set_submodule(name, module)
        if before:
            vars(self)["peft_config"] = before
            self.set_adapter(active)
        else:
            vars(self).pop("peft_config", None)


def _drop(model: nn.Module, name: str) -> None:
    """Take an adapter out of the layers that hold it, also out of weights that it was merged into."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for _, layer in _layers(model):
        if not isinstance(layer, BaseTunerLayer):
            layer.delete_adapter(name, new_active_adapters=None)
            continue
        if name in layer.merged_adapters:
            layer.unmerge()
        layer.delete_adapter(name)


def _all_linear(model: Any, config: Any) -> list[str]:
    """All layers that compute products, but the one that scores words or, without one, the one that labels texts."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    names = dict(model.named_modules())
    inside = [f"{name}." for name, module in names.items() if isinstance(module, BaseTunerLayer)]
    head = model.get_output_embeddings()
    if head is None and config.task_type == "SEQ_CLS":
        head = getattr(model, "score", None) or getattr(model, "classifier", None)
    return [
        name
        for name, module in names.items()
        if (isinstance(module, nn.Linear | Conv1D) or (f"{name}." in inside and "Linear" in type(module).__name__))
        and module is not head
        and not any(name.startswith(outer) for outer in inside)
    ]


def _config(given: Any, source: hub.Source | None) -> Any:
    """The configuration that was given, or that of a folder, as PEFT's."""
    peft = _peft()
    if isinstance(given, peft.PeftConfig):
        return given
    if given is not None:
        values, where = dict(given), "peft_config"
    else:
        assert source is not None  # the caller has asked for one of both
        path = source.file(ADAPTER_NAME)
        if path is None:
            raise NotFoundError(f"{source.where} has no {ADAPTER_NAME}: it is not the folder of an adapter.")
        values, where = read_json(path), str(path)
    known = [kind.value for kind in peft.PeftType]
    if (kind := values.get("peft_type")) not in known:
        raise ConfigError(f"{where}: peft_type is {kind!r}; it is one of {', '.join(known)}.{near(kind, known)}")
    if values.get("megatron_config"):  # with it a key of the file names a module to import
        raise ConfigError(f"{where}: megatron_config is not supported; take it out.")
    try:
        return peft.PeftConfig.from_peft_type(**{k: v for k, v in values.items() if k != "auto_mapping"})
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"{where} cannot be used: {error}") from error


def _weights(source: hub.Source | None) -> Mapping[str, Any]:
    if source is None:
        raise ArgumentError("load_adapter needs adapter_state_dict beside peft_config, or a folder.")
    path = next((path for name in WEIGHTS if (path := source.file(name)) is not None), None)
    if path is None:
        raise NotFoundError(f"{source.where} has no weights of an adapter: no {' or '.join(WEIGHTS)}.")
    return open_checkpoint(path)


def _check_rank(config: Any, weights: Mapping[str, Any], origin: str) -> None:
    """A rank is a few bytes that ask for any size; the weights are proof of it."""
    ranks = [getattr(config, "r", 0), *(getattr(config, "rank_pattern", None) or {}).values()]
    most = max([max(tensor.shape, default=0) for tensor in weights.values()], default=0)
    for rank in ranks:
        if rank is not None and (type(rank) is not int or not 0 <= rank <= max(most, 1)):
            raise ConfigError(f"{origin}: the rank {rank!r} of the adapter is not that of its weights.")
