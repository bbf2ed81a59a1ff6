"""From a checkpoint of any kind to a folder with safetensors, tensor by tensor: larger than memory it may be."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import gguf, hub
from .atomic import replacing, target_folder
from .checkpoints import LazyTensor, file_given, find_weights, is_pickle, open_checkpoint
from .checkpoints.find import FRAMEWORKS
from .checkpoints.scales import scaled
from .checkpoints.write import save_checkpoint
from .config import CONFIG_NAME, config_values
from .errors import ArgumentError, CheckpointError, ConfigError, NotFoundError, TokenizerError
from .fitting import Fit, closest_class, fit, named_classes
from .generation.configuration import GENERATION_CONFIG_NAME
from .hub.reading import unchanged
from .loading import resolve_dtype
from .logging import shows_bars
from .report import differing, judge, listed
from .tokenization import PreTrainedTokenizer

_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model", "tokenizer.model", "source.spm",
    "target.spm", "target_vocab.json", "chat_template.jinja", "normalizer.json",
)  # fmt: skip
_BESIDE_A_FILE = (*_TOKENIZER, GENERATION_CONFIG_NAME)  # its folder may be anything, full of other things
_COMPANIONS = ("*.json", "*.txt", "*.model", "*.spm", "*.md", "*.jinja", "LICENSE*", "NOTICE*")
_LARGEST_COMPANION = 100_000_000  # bytes
_FRAMEWORKS = {
    "safetensors": ("*.safetensors*",),
    "torch": ("*.bin*",),
    "tf": ("*.h5*", "*.ckpt*.index"),
    "flax": ("*.msgpack*",),
}
_WEIGHTS = tuple(
    pattern
    for stem, ending in (name.rsplit(".", 1) for name in FRAMEWORKS.values())
    for pattern in (f"{stem}.{ending}", f"{stem}[.-]*.{ending}", f"{stem}.{ending}.index*.json")
)


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
        architecture: the class whose names the tensors have now; None when they have those of the old file.
        dtype: the types of the floating tensors, as they are now.
        tensors, bytes: how many tensors were written, and how much data they are.
        files: what is new in the folder.
        left_out: tensors of the old files that were not written: optimizer states and counters.
        notes: what else there is to know, a sentence each.
    """

    model: str
    folder: str
    architecture: str | None
    dtype: str
    tensors: int
    bytes: int
    files: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Plan:
    """What is to be written: the contents of config.json, tensors by name, and what to tell about them."""

    config: dict[str, Any] | None
    tensors: dict[str, LazyTensor]
    architecture: str | None
    left_out: list[str]
    notes: list[str]


def convert(
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    dtype: str | torch.dtype | None = None,
    max_shard_size: int | str = "5GB",
    framework: str | None = None,
    revision: str | None = None,
    variant: str | None = None,
    progress: bool = False,
) -> Conversion:
    """Write a checkpoint of any kind as safetensors, with its configuration and its tokenizer, to `folder`.

    The tensors get the names that the model's class has, which `architectures` in config.json says; where it says
    none, it is the class of the family that the weights fit best. Tied tensors are written once. Tensors that the class
    has no place for are kept. For a family that is not known here, torch's names stay as they are.

    model: a folder, a hub name, one weight file, or a TensorFlow 1 checkpoint without its ending.
    folder: new, empty, or a model's: then its weights, configuration and tokenizer are replaced, all at once. It may be
    `model` itself as long as that has no safetensors; these come beside its files, and nothing is removed.
    dtype: the floating type to convert to; as stored when it is None.
    framework: "safetensors", "torch", "tf" or "flax": whose files are taken where there are several.
    progress: show a bar on standard error, if that is a terminal.
    Errors: NotFoundError, ConfigError, CheckpointError as in loading; ArgumentError for a folder that must not be
    written to. Nothing is written then.
    """
    target_folder(folder)
    target, file = Path(os.path.expanduser(folder)), file_given(model)
    packed = file if file and gguf.is_gguf(file) else None
    source = hub.locate(file.parent if file else model, revision=revision)
    in_place = source.is_local and target.is_dir() and target.samefile(source.folder)
    _check_target(target, in_place)
    wanted = None if dtype is None else resolve_dtype(dtype)

    def read() -> _Plan:
        if packed:
            return _plan(gguf.tensors(packed), gguf.config_values(packed), str(model))
        stored, values = open_checkpoint(file or _find(source, variant, framework)), config_values(source)
        weights, kept = scaled(stored), {k: v for k, v in (values or {}).items() if k != "quantization_config"}
        if len(weights) == len(stored):
            return _plan(weights, values, str(model))
        plan = _plan(weights, kept if values else None, str(model))
        plan.notes.append("Weights of 8 bits were multiplied by their scales, which are not written.")
        return plan

    plan = unchanged(model, read)
    tensors = {name: lazy if wanted is None else _converted(lazy, wanted) for name, lazy in plan.tensors.items()}
    floats = {str(lazy.dtype)[6:]: None for lazy in tensors.values() if lazy.dtype.is_floating_point}
    notes = list(plan.notes)
    with replacing(folder, stale=() if in_place else (*_WEIGHTS, *_TOKENIZER, CONFIG_NAME)) as stage:
        if packed:
            notes += _unpacked_tokenizer(packed, stage)
            text = json.dumps(gguf.generation_values(packed), indent=2, sort_keys=True)
            (stage / GENERATION_CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
        elif not in_place:
            notes += _copy(source, stage, _BESIDE_A_FILE if file else _COMPANIONS)
        if plan.config is not None:
            stored = {"torch_dtype": next(iter(floats))} if floats else {}
            text = json.dumps({k: v for k, v in plan.config.items() if k != "dtype"} | stored, indent=2, sort_keys=True)
            (stage / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
        with _shown(tensors, progress) as lazies:
            save_checkpoint(lazies, stage, max_shard_size)
        files = sorted(path.name for path in stage.iterdir())
    size = sum(lazy.nbytes for lazy in tensors.values())
    names = (str(model), str(target), plan.architecture, ", ".join(floats))
    return Conversion(*names, len(tensors), size, files, plan.left_out, notes)


def _find(source: hub.Source, variant: str | None, framework: str | None) -> list[Path]:
    if framework is not None and framework not in _FRAMEWORKS:
        raise ArgumentError(f"framework={framework!r} is not one of {', '.join(_FRAMEWORKS)}.")
    paths = find_weights(source, variant, first=framework)
    if framework is not None and not _matches(paths[0].name, _FRAMEWORKS[framework]):
        raise NotFoundError(f"{source.where} has no weights of {framework}, but {paths[0].name}.")
    return paths


def _check_target(target: Path, in_place: bool) -> None:
    names = os.listdir(target) if target.is_dir() else []
    if in_place and any(_matches(name, _WEIGHTS[:3]) for name in names):
        raise ArgumentError(
            f"{str(target)!r} is the model itself and has safetensors, which would be overwritten: give another folder."
        )
    if names and not in_place and not any(_matches(name, (CONFIG_NAME, *_WEIGHTS)) for name in names):
        raise ArgumentError(f"{str(target)!r} has files and is no model's folder: give a new folder, or an empty one.")


def _plan(weights: Mapping[str, LazyTensor], values: dict[str, Any] | None, where: str) -> _Plan:
    values = None if values is None else {k: v for k, v in values.items() if k != "_name_or_path"}
    foreign = any("/" in name for name in weights)
    problem = "there is no config.json."
    if values is not None:
        try:
            config_type, kind = named_classes(values, where)
        except ConfigError as error:
            problem = str(error)[:500]
        else:
            config = config_type.from_dict(values | {"_name_or_path": where})
            if kind is None and (foreign or not values.get("architectures")):
                kind = closest_class(config, weights)
            if kind is not None:
                return _plan_for(kind, config, weights, values)
            named = str(values.get("architectures"))[:200]
            problem = f"the architecture {named} is not one of {config_type.model_type}'s."
    if foreign:
        raise CheckpointError(
            f"{where}: the tensors have the names of TensorFlow or Flax, and which names a model has for them is not"
            f" known here: {problem} Convert it with the framework that wrote it."
        )
    return _Plan(values, dict(weights), None, [], [f"The names of the tensors are as they were: {problem}"])


def _plan_for(kind: Any, config: Any, weights: Mapping[str, LazyTensor], values: dict[str, Any]) -> _Plan:
    notes = []
    if not {"num_labels", "id2label", "label2id"} & values.keys() and (count := _labels(kind, config, weights)):
        config.num_labels = count  # Google's scripts kept it for themselves
        values = values | {"id2label": config.id2label, "label2id": config.label2id}
        notes.append(f"config.json has {count} labels now: it said none, and the weights have as many.")
    held = fit(kind, config, weights)
    if held.report.mismatched:
        where = config.name_or_path
        raise CheckpointError(f"{where}: {held.misfits()}, by its configuration. Correct config.json, or the weights.")
    judge(held.model, held.report)
    others = {name: lazy for name, lazy in held.others().items() if not name.endswith("position_ids")}
    tied = config.tie_word_embeddings
    if tied and (apart := differing(held.groups, held.found)):
        tied, values = False, values | {"tie_word_embeddings": False}
        notes.append(f"{listed(apart)} differ from what they are tied to: tie_word_embeddings is false now.")
    tensors = _in_groups(held, tied) | others
    kept = {lazy.name for name, lazy in held.found.items() if not name.endswith("position_ids")}
    left_out = [name for name in weights if name not in kept]
    if others:
        notes.append(f"{kind.__name__} has no place for {listed(list(others))}: kept all the same.")
    if "auto_map" in values:
        notes.append("auto_map was taken out of config.json: it names code, and code is not copied.")
    names = {"architectures": [kind.__name__], "model_type": type(config).model_type}
    return _Plan({k: v for k, v in values.items() if k != "auto_map"} | names, tensors, kind.__name__, left_out, notes)


def _in_groups(held: Fit, tied: bool) -> dict[str, LazyTensor]:
    """The model's tensors: of tied names one; when nothing is tied the reference wants all, also biases."""
    tensors: dict[str, LazyTensor] = {}
    for group in held.groups:
        there = next((name for name in group if name in held.found), None)
        if there is not None:
            first = held.found[there]
            tensors |= {group[0]: first} if tied else {name: held.found.get(name, first) for name in group}
    return tensors


def _labels(kind: Any, config: Any, weights: Mapping[str, LazyTensor]) -> int | None:
    """How many labels the weights have, where that is all in which their shapes differ from the configuration's."""
    mismatched = fit(kind, config, weights).report.mismatched
    counts = {found[0] for _, found, wanted in mismatched if found and wanted == (config.num_labels, *found[1:])}
    others = [name for name, found, wanted in mismatched if wanted != (config.num_labels, *found[1:])]
    return counts.pop() if len(counts) == 1 and not others else None


def _converted(lazy: LazyTensor, dtype: torch.dtype) -> LazyTensor:
    if not lazy.dtype.is_floating_point or lazy.dtype == dtype:
        return lazy

    def read() -> Tensor:
        tensor = lazy.load()
        new = tensor.to(dtype)
        if dtype == torch.float16 and new.numel():
            low, high = (float(value) for value in new.aminmax())
            if not abs(low) + abs(high) < float("inf") and not torch.equal(new.isinf(), tensor.isinf()):
                raise CheckpointError(
                    f"{lazy.name!r} has numbers beyond 65,504, the largest of float16. Convert it to bfloat16."
                )
        return new

    return replace(lazy, dtype=dtype, read=read)


@contextmanager
def _shown(tensors: dict[str, LazyTensor], progress: bool) -> Iterator[dict[str, LazyTensor]]:
    """The same tensors, with a bar on the terminal that moves as they are loaded."""
    if not (progress and shows_bars()):
        yield tensors
        return
    from tqdm import tqdm

    total = sum(lazy.nbytes for lazy in tensors.values())
    with tqdm(total=total, desc="converting", unit="B", unit_scale=True, delay=1, leave=False) as bar:

        def counted(lazy: LazyTensor) -> LazyTensor:
            def read() -> Tensor:
                bar.update(lazy.nbytes)
                return lazy.load()

            return replace(lazy, read=read)

        yield {name: counted(lazy) for name, lazy in tensors.items()}


def _copy(source: hub.Source, stage: Path, patterns: tuple[str, ...]) -> list[str]:
    """Copy the small files at the top that are no weights and no code; gives a note about those that were not."""
    wanted = list(patterns) if patterns is _BESIDE_A_FILE else source.names()
    left = {f"{name.partition('/')[0]}/" for name in wanted if "/" in name}
    for name in wanted:
        if name[0] == "." or "/" in name or ".index." in name or not _matches(name, patterns):
            continue
        try:
            path = source.file(name)
        except NotFoundError:
            left.add(name)
            continue
        if path is not None and path.stat().st_size <= _LARGEST_COMPANION and not is_pickle(path):
            shutil.copyfile(path, stage / name)
        elif path is not None:
            left.add(name)
    return [f"Not copied: {listed(sorted(left))}."] if left else []


def _unpacked_tokenizer(path: Path, stage: Path) -> list[str]:
    """Write the tokenizer that is within a GGUF file; gives a note where there is none."""
    with tempfile.TemporaryDirectory() as folder:  # the stage is locked, as saving locks what it saves to
        try:
            PreTrainedTokenizer.from_pretrained(path).save_pretrained(folder)
        except TokenizerError as error:
            return [f"No tokenizer was written: {error}"]
        for name in os.listdir(folder):
            if _matches(name, _COMPANIONS):
                shutil.copyfile(Path(folder) / name, stage / name)
    return []


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
