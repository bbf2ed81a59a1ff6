"""Whether a model's files are whole, belong together, are finite, and are safe.

Each check is a function that yields what it finds. None believes a file: those that fail become findings, checks that
build on them are left out, and no tensor's data is read before names, shapes and types are known to be right.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from . import gguf, hub
from .auto import AutoTokenizer
from .checkpoints import LazyTensor, file_given, find_weights, is_pickle, open_checkpoint
from .checkpoints.find import FRAMEWORKS, is_index, read_index, stored_name
from .checkpoints.safetensors import DTYPES
from .config import PretrainedConfig, config_values, longest_text, read_json
from .errors import FormersError, InputError, NotFoundError
from .fitting import Fit, closest_class, fit, named_classes
from .hub.reading import unchanged
from .logging import shows_bars
from .modeling import PreTrainedModel
from .report import listed, missing_from_body, mistyped, wrapped

_PART_OF_A_MODEL = re.compile(
    r"(model|pytorch_model|tf_model|flax_model)(-\d+-of-\d+)?\.(safetensors|bin|h5|msgpack)(\.index\.json)?"
)
_SPECIAL = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "decoder_start_token_id")
_FLOATS = {str(dtype).removeprefix("torch.") for dtype in DTYPES.values() if dtype.is_floating_point}
_AT_ONCE = 2**22  # numbers that are looked at in one step: 16 MB of float32


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: the name of the check.
        state: "ok"; "note", worth knowing; "warning", likely not meant; "problem", wrong or unsafe.
        words: what was found, and where.
    """

    check: str
    state: str
    words: str


@dataclass(frozen=True)
class Report:
    """All findings about a model, in the order of the checks."""

    model: str
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return all(finding.state != "problem" for finding in self.findings)


@dataclass
class _Subject:
    """The model that is checked, and what of it is known to be sound so far; None is what is not."""

    source: hub.Source
    file: Path | None
    packed: Path | None
    variant: str | None
    progress: bool
    paths: list[Path] = field(default_factory=list)
    weights: Mapping[str, LazyTensor] | None = None
    values: dict[str, Any] | None = None
    config: PretrainedConfig | None = None
    kind: type[PreTrainedModel] | None = None
    held: Fit | None = None


_Found = Iterator[tuple[str, str]]


def check(
    model: str | os.PathLike[str], *, revision: str | None = None, variant: str | None = None, progress: bool = False
) -> Report:
    """Check a folder, a hub name, or a weight file and what is beside it. Of a hub name, what a load needs is fetched.

    A GGUF file is all of a model, also where a folder has nothing else.
    Weights are read one tensor at a time. With `progress`, a bar shows on standard error, if that is a terminal.
    Errors: NotFoundError when there is no such model; whatever else is wrong is a finding.
    """
    file = file_given(model)
    source = hub.locate(file.parent if file else model, revision=revision)
    packed = gguf.only_one(source) if file is None else file if gguf.is_gguf(file) else None
    file = file or packed
    return unchanged(model, lambda: Report(str(model), _findings(_Subject(source, file, packed, variant, progress))))


def _findings(subject: _Subject) -> list[Finding]:
    findings = []
    for name, look in _CHECKS.items():
        try:
            for state, words in look(subject):
                findings.append(Finding(name, state, words[:1000]))
        except FormersError as error:
            findings.append(Finding(name, "problem", " ".join(str(error).split())[:1000]))
        except Exception as error:  # a file that gets past every check must still not end this one
            findings.append(Finding(name, "problem", f"The check failed with {type(error).__name__}: {error}"[:500]))
    return findings


def _weights(subject: _Subject) -> _Found:
    file = subject.file
    if subject.packed:
        yield "ok", _packed_weights(subject, subject.packed)
        return
    subject.paths = [file] if file else find_weights(subject.source, subject.variant)
    subject.weights = open_checkpoint(subject.paths)
    size = sum(lazy.nbytes for lazy in subject.weights.values())
    names = [path.name for path in subject.paths]
    yield "ok", f"{len(subject.weights):,} tensors, {size:,} bytes, in {listed(names, 3)}"


def _packed_weights(subject: _Subject, packed: Path) -> str:
    subject.weights = gguf.tensors(packed)
    files = {lazy.file: None for lazy in subject.weights.values()}
    subject.paths = list(files) or [packed]
    size = sum(path.stat().st_size for path in subject.paths)
    types = Counter(lazy.stored or str(lazy.dtype).removeprefix("torch.") for lazy in subject.weights.values())
    kinds = ", ".join(f"{count:,} of {name}" for name, count in types.most_common())
    names = listed([path.name for path in subject.paths], 3)
    return f"{len(subject.weights):,} tensors ({kinds}) in {size:,} bytes, in {names}"


def _index(subject: _Subject) -> _Found:
    """Whether each tensor is in the shard that the index names, and nothing else is there."""
    if subject.weights is None or not is_index(subject.paths[0]):
        return
    data = read_index(subject.paths[0])
    places = {name: lazy.file.name for name, lazy in subject.weights.items()}
    table = {stored_name(name, places): shard for name, shard in data["weight_map"].items()}
    metadata = data.get("metadata")
    if wrong := [f"{name} is in {places[name]}, not in {table[name]}" for name in table if places[name] != table[name]]:
        yield "problem", f"the index is wrong: {listed(wrong, 3)}"
    if extra := [name for name in places if name not in table]:
        yield "warning", f"not in the index: {listed(extra)}"
    said = metadata.get("total_size") if isinstance(metadata, dict) else None
    size = sum(lazy.nbytes for lazy in subject.weights.values())
    if said is not None and said != size:
        yield "warning", f"the index says total_size={said}, and the tensors have {size:,} bytes"
    if not wrong:
        yield "ok", f"each of {len(table):,} tensors is in the shard that {subject.paths[0].name} names"


def _config(subject: _Subject) -> _Found:
    place = str(subject.packed or subject.source.folder / "config.json")
    values = gguf.config_values(subject.packed) if subject.packed else config_values(subject.source)
    subject.values = values
    if values is None:
        yield "problem", "there is no config.json, which says what the weights are"
        return
    found, kind = named_classes(values, place)
    config: PretrainedConfig = found.from_dict(values)
    config.check()
    subject.config, named = config, values.get("architectures")
    if kind is None and subject.weights is not None:
        kind = closest_class(config, subject.weights)
        because = f"{str(named)[:100]} is no architecture known here" if named else "it names no architecture"
        yield "warning" if named else "note", f"{because}; the weights are nearest to {kind.__name__ if kind else '–'}"
    subject.kind = kind
    yield "ok", f"{found.model_type}{f', {kind.__name__}' if kind else ''}"


def _shapes(subject: _Subject) -> _Found:
    """Names and shapes of the weights against what the configuration asks for."""
    if subject.weights is None or subject.config is None or subject.kind is None:
        yield "note", "not compared, as the weights or the configuration could not be read"
        return
    held, name = fit(subject.kind, subject.config, subject.weights), subject.kind.__name__
    model, report = held.model, held.report
    if report.mistyped:
        yield "problem", mistyped(report)
        return
    if report.mismatched:
        yield "problem", f"{held.misfits()}, by the configuration"
        return
    if lost := missing_from_body(model, report):
        prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
        there_is_no = f"of {name}'s body there is no {listed([key.removeprefix(prefix) for key in lost], 3)}"
        yield "problem", f"{there_is_no}. {wrapped(model, report)}".removesuffix(". ")
        return
    subject.held = held
    if report.missing:
        yield "warning", f"a load draws these anew, as they are not there: {listed(report.missing)}"
    if report.unexpected:
        yield "note", f"{name} has no place for {listed(report.unexpected)}"
    there = sum(not held.found.keys().isdisjoint(group) for group in held.groups)
    yield "ok", f"{there:,} of {len(held.groups):,} weights of {name} are there, as the configuration says"


def _other_formats(subject: _Subject) -> _Found:
    """Weights in several formats: whether they are the same model. Parts of models that nothing uses."""
    if subject.weights is None or subject.file or subject.variant or not subject.source.is_local:
        return
    used = {path.name for path in subject.paths}
    for framework in FRAMEWORKS:
        try:
            paths = find_weights(subject.source, first=framework)
            if paths[0].name not in used:
                used |= {path.name for path in paths}
                yield _compare(subject, paths)
        except FormersError as error:
            yield "problem", " ".join(str(error).split())
    there = [entry.name for entry in os.scandir(subject.source.folder) if entry.is_file()]
    if left := sorted(name for name in there if _PART_OF_A_MODEL.fullmatch(name) and name not in used):
        yield "warning", f"no load uses {listed(left)}: is it left over from another model?"


def _compare(subject: _Subject, paths: list[Path]) -> tuple[str, str]:
    name, weights = paths[0].name, open_checkpoint(paths)
    if subject.held is None or subject.kind is None or subject.config is None:
        return "note", f"{name} is there too: {len(weights):,} tensors"
    ours, theirs = subject.held.report, fit(subject.kind, subject.config, weights).report
    if set(ours.missing) == set(theirs.missing) and not theirs.mismatched:
        return "ok", f"{name} has the same names and shapes"
    wrong = sorted({*ours.missing} ^ {*theirs.missing} | {name for name, _, _ in theirs.mismatched})
    return "warning", f"{name} is not the same model: it differs in {listed(wrong, 3)}"


def _types(subject: _Subject) -> _Found:
    if subject.weights is None:
        return
    if subject.packed:
        yield "ok", f"{subject.values['dtype']} where dtype='auto'" if subject.values else "not known"
        return
    types = {lazy.dtype: None for lazy in subject.weights.values() if lazy.dtype.is_floating_point}
    stored = [str(dtype).removeprefix("torch.") for dtype in types]
    said = None if subject.config is None else subject.config.dtype
    name = str(said).removeprefix("torch.")
    if said is not None and name not in _FLOATS:
        yield "problem", f"config.json says {name[:100]!r}, which is no floating-point type"
    elif said is not None and name not in stored:
        yield "warning", f"config.json says {name}, and the weights are {' and '.join(stored)}"
    else:
        yield "note" if len(stored) > 1 else "ok", " and ".join(stored) or "there are no floating-point weights"


def _values(subject: _Subject) -> _Found:
    """Numbers that are none, and tables that are all the same number."""
    if subject.held is None or subject.weights is None:
        yield "note", "not read, as it is in doubt what they are"
        return
    wrong, flat, count = [], [], 0
    for lazy in _shown(list(subject.weights.values()), subject.progress):
        if lazy.dtype.is_floating_point:
            bad, constant = _look_at(lazy.load())
            count += 1
            if bad:
                wrong.append((bad, f"{lazy.name} ({bad:,} of {lazy.nbytes // lazy.dtype.itemsize:,})"))
            elif constant and len(lazy.shape) > 1:
                flat.append(lazy.name)
    if wrong:
        worst = [words for _, words in sorted(wrong, reverse=True)]
        yield "problem", f"NaN or infinite numbers in {len(wrong):,} of {count:,} tensors: {listed(worst, 3)}"
    if flat:
        yield "warning", f"all numbers are the same in {listed(flat, 3)}"
    if not wrong:
        yield "ok", f"all numbers are finite, in {count:,} tensors"


def _look_at(tensor: Tensor) -> tuple[int, bool]:
    """How many numbers are NaN or infinite, and whether there are several that are all the same."""
    bad, low, high = 0, float("inf"), -float("inf")
    for part in tensor.reshape(-1).split(_AT_ONCE) if tensor.numel() else ():
        numbers = part.float() if part.dtype.itemsize < 4 else part
        least, most = (float(value) for value in numbers.aminmax())
        low, high = min(low, least), max(high, most)
        if not abs(least) + abs(most) < float("inf"):
            bad += int((~numbers.isfinite()).sum())
    return bad, tensor.numel() > 1 and low == high


def _shown(tensors: list[LazyTensor], progress: bool) -> Iterable[LazyTensor]:
    if not (progress and shows_bars()):
        return tensors
    from tqdm import tqdm

    bar: Iterable[LazyTensor] = tqdm(tensors, desc="reading", unit=" tensors", delay=1, leave=False)
    return bar


def _tokenizer(subject: _Subject) -> _Found:
    """Whether every token has a row in the model, and both mean the same by the special ones."""
    source, config = subject.source, subject.config
    name = str(subject.packed or source.folder) if source.is_local else source.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=source.commit)
    except NotFoundError as error:
        yield "warning", " ".join(str(error).split())
        return
    tokenizer("a text")
    if tokenizer.chat_template is not None:
        try:
            tokenizer.apply_chat_template([{"role": "user", "content": "a text"}], tokenize=False)
        except InputError:  # what a template says itself of a conversation that it does not take
            pass
        except FormersError as error:
            yield "warning", " ".join(str(error).split())
    ids = tokenizer.get_vocab().values()
    size, rows = max(ids, default=-1) + 1, getattr(config, "vocab_size", None)
    if rows is not None and size > rows:
        beyond = sum(i >= rows for i in ids)
        yield (
            "problem",
            f"{beyond:,} tokens have no row in the model: {size:,} ids, and vocab_size is {rows:,}",
        )
        return
    pad = config.pad_token_id if config else None
    if pad is not None and tokenizer.pad_token_id not in (None, pad):
        yield "warning", f"pad_token_id is {pad} in config.json and {tokenizer.pad_token_id} in the tokenizer"
    limit, positions = tokenizer.model_max_length, longest_text(config)
    if positions is not None and positions < limit < 10**9:
        yield "warning", f"it lets {limit:,} tokens pass, and the model has {positions:,} positions"
    yield "ok", f"{type(tokenizer).__name__}: {len(ids):,} tokens" + (f" for {rows:,} rows" if rows is not None else "")


def _ids(subject: _Subject) -> _Found:
    """Labels and special tokens of the configuration."""
    config = subject.config
    if config is None:
        return
    rows = getattr(config, "vocab_size", 2**31)
    for key in _SPECIAL:
        value = getattr(config, key, None)
        for number in value if isinstance(value, list) else [value]:
            if number is not None and not (type(number) is int and -1 <= number < rows):
                yield "problem", f"{key} is {number!r}, and vocab_size is {rows:,}"
    labels = config.id2label
    if config.label2id != {label: number for number, label in labels.items()}:
        yield "warning", "id2label and label2id do not say the same"
    elif "id2label" in (subject.values or {}):
        yield "ok", f"{len(labels):,} labels: {listed(list(labels.values()))}"


def _files(subject: _Subject) -> _Found:
    """Links that lead away, devices, git-LFS pointers, and downloads that were cut short."""
    source, folder = subject.source, subject.source.folder
    if source.is_local:
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.is_dir())
    else:
        names = [name for name in source.names() if "/" not in name]
    here, pointers = [], []
    for name in names:
        try:
            path = source.file(name) if source.is_local else folder / name
        except NotFoundError as error:
            yield "problem", str(error)
            continue
        if path is not None and path.is_file():
            here.append(path)
            with open(path, "rb") as opened:
                if opened.read(24) == b"version https://git-lfs.":
                    pointers.append(name)
    if pointers:
        yield "warning", f"{listed(pointers)}: a git-LFS pointer is there, not the file. Run `git lfs pull`."
    cut = [*folder.glob("*.incomplete"), *folder.glob(".cache/huggingface/download/**/*.incomplete")]
    if not source.is_local:
        cut += folder.parent.parent.glob("blobs/**/*.incomplete")
    if cut:
        yield "warning", f"a download was not completed: {listed([path.name for path in cut], 2)}"
    total = sum(path.stat().st_size for path in here)
    yield "ok", f"{len(here):,} files, {total:,} bytes"


def _safety(subject: _Subject) -> _Found:
    """Pickles and code among the files. Nothing here runs either, but other programs may."""
    source = subject.source
    names = source.names() if subject.file is None else os.listdir(source.folder)  # which may be any folder
    used = {path.name for path in subject.paths} if subject.weights is not None else set()
    pickles: list[str] = []
    opened: list[str] = []
    for name in names:
        path = source.folder / name
        if path.is_file() and is_pickle(path):
            (opened if name in used else pickles).append(name)
    if opened:
        yield "note", f"{listed(opened)}: a pickle, read without running what is in it. Safer: `formers convert`"
    if pickles:
        yield "note", f"pickles that a load leaves closed: {listed(pickles)}"
    if code := [name for name in names if name.endswith(".py")]:
        yield "note", f"code, which is never run: {listed(code)}"
    values = {"config.json": subject.values or {}, "tokenizer_config.json": {}}
    with suppress(FormersError):  # found by another check
        if "tokenizer_config.json" in names and (there := source.file("tokenizer_config.json")):
            values["tokenizer_config.json"] = read_json(there)
    for name, found in values.items():
        if name in names and "auto_map" in found:
            yield "note", f"{name} has an auto_map, which names code; it is not used"
    if not (pickles or opened or code):
        yield "ok", "no pickles and no code"


_CHECKS: dict[str, Callable[[_Subject], _Found]] = {
    "weights": _weights,
    "index": _index,
    "config": _config,
    "shapes": _shapes,
    "formats": _other_formats,
    "dtype": _types,
    "values": _values,
    "tokenizer": _tokenizer,
    "ids": _ids,
    "files": _files,  # after what may download some
    "safety": _safety,
}
