"""The `formers` command.

Arguments are parsed before anything heavy is imported: `formers --help` needs no torch. Results are for people on a
terminal; into a file or a pipe, or with --json, each is one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from .errors import ArgumentError, ConfigError, FormersError, InputError, NotFoundError, UnknownTaskError, near
from .version import __version__

_PACKAGED = Path(__file__).parent / "packaged" / "sentiment"
_LIBRARIES = ("torch", "numpy", "tokenizers", "huggingface_hub", "tqdm", "safetensors", "transformers")
_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "OMP_NUM_THREADS")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 1 failed, 2 wrong usage (130 after Ctrl-C)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a character must not end the job
            stream.reconfigure(errors="backslashreplace")
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader has what it wanted; Python's own flush at exit would complain about the closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (FormersError, OSError, ImportError) as error:
        return _fail(error, 2 if isinstance(error, (ArgumentError, UnknownTaskError)) else 1)


def _dispatch(arguments: list[str]) -> int:
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "help"):
        print(_usage())
    elif name in ("-V", "--version"):
        print(f"formers {__version__}")
    elif name in _COMMANDS:
        command = _COMMANDS[name]
        parser = _Parser(prog=f"formers {name}", description=command.about, allow_abbrev=False)
        command.declare(parser)
        command.run(parser.parse(arguments[1:]))
        sys.stdout.flush()
    else:
        return _fail(f"There is no command {name!r}.{near(name, _COMMANDS)} `formers --help` lists them.", 2)
    return 0


def _usage() -> str:
    commands = "\n".join(f"  {name:<10}{command.about}" for name, command in _COMMANDS.items())
    return (
        f"usage: formers COMMAND …\n\n{commands}\n\n"
        "`formers COMMAND --help` explains a command, `formers --version` prints the version.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage."
    )


def _fail(error: object, code: int) -> int:
    paragraph = " ".join(str(error).split()) or type(error).__name__
    print(f"formers: {paragraph}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    def parse(self, arguments: list[str]) -> argparse.Namespace:
        """As `parse_args`, but texts may stand before, between and after options, or all after '--'."""
        cut = arguments.index("--") if "--" in arguments else len(arguments)
        given, rest = self.parse_known_args(arguments[:cut])
        for unknown in (argument for argument in rest if argument.startswith("--")):
            options = re.findall(r"--[a-z-]+", self.format_usage())
            self.error(f"there is no option {unknown}.{near(unknown, options)} Texts that begin with '-' go after '--'")
        rest += arguments[cut + 1 :]
        if rest and not hasattr(given, "text"):
            self.error(f"{rest[0]!r} is one argument too many")
        if rest:
            given.text = [*given.text, *rest]
        return given

    def error(self, message: str) -> NoReturn:
        sys.exit(_fail(f"{message}. See `{self.prog} --help`.", 2))


@dataclass(frozen=True)
class _Command:
    about: str
    declare: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


# ---- run


def _declare_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "task", metavar="TASK", help="text-classification (sentiment-analysis), fill-mask, feature-extraction, …"
    )
    _declare_texts(parser)
    parser.add_argument("--model", metavar="NAME", help="folder or hub name (default: the task's own)")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    # "all" is None there, so an option that is not given must leave no trace
    parser.add_argument(
        "--top-k",
        type=_count_or_all,
        metavar="N",
        default=argparse.SUPPRESS,
        help="results per text, best first; 'all' for all",
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="texts per step (default: chosen by their length)")
    parser.add_argument("--device", type=_device, help="cpu, cuda, cuda:1, or an accelerator's number")
    parser.add_argument(
        "--dtype", help="type of the weights: float32, bfloat16, …; auto for the type they are stored in"
    )
    parser.add_argument("--truncation", action="store_true", help="cut texts that are too long for the model")
    _declare_json(parser)


def _run(given: argparse.Namespace) -> None:
    texts = _texts(given)
    from .pipelines import pipeline

    pipe = pipeline(given.task, model=given.model, revision=given.revision, device=given.device, dtype=given.dtype)
    options: dict[str, Any] = {"batch_size": given.batch_size}
    if hasattr(given, "top_k"):
        options["top_k"] = given.top_k
    if given.truncation:
        options["truncation"] = True
    waiting: deque[str] = deque()

    def read() -> Iterator[str]:
        for text in texts:
            waiting.append(text)
            yield text

    for result in pipe(read(), **options):
        _show(given, result, _describe(waiting.popleft(), result))


def _count_or_all(value: str) -> int | None:
    if value == "all":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is no number from 1 on, nor 'all'")
    return int(value)


def _device(value: str) -> str | int:
    return int(value) if value.removeprefix("-").isdecimal() else value


def _describe(text: str, result: Any) -> list[str]:
    """The lines that show the result of one text: scores first, so that they line up."""
    rows = list(_scored(result))
    if not rows:
        return [f"{_shape(result)}  {_printable(text)}"]
    lines = [
        f"{row['score']:.4f}  " + "  ".join(_printable(v) for v in row.values() if isinstance(v, str)) for row in rows
    ]
    return (
        [f"{lines[0]}  {_printable(text)}"]
        if isinstance(result, dict)
        else [_printable(text), *(f"  {x}" for x in lines)]
    )


def _scored(result: Any) -> Iterator[dict[str, Any]]:
    if isinstance(result, dict) and "score" in result:
        yield result
    elif isinstance(result, list):
        for item in result:
            yield from _scored(item)


def _shape(numbers: Any) -> str:
    sizes = []
    while isinstance(numbers, list):
        sizes.append(str(len(numbers)))
        numbers = numbers[0] if numbers else None
    return f"{' × '.join(sizes)} numbers"


# ---- info


def _declare_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="folder or hub name; weights that are not in the cache are not downloaded"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    _declare_json(parser)


def _info(given: argparse.Namespace) -> None:
    from . import hub
    from .config import read_json

    source = hub.locate(given.model, revision=given.revision)
    values = read_json(source.require("config.json"))
    facts: dict[str, Any] = {
        "model": source.name,
        "commit": source.commit,
        "folder": str(source.folder),
        "architecture": ", ".join(map(str, values.get("architectures") or [])) or None,
        "model_type": values.get("model_type"),
        **_config_facts(values),
        **_weight_facts(source, values),
        "tokenizer": _tokenizer_facts(given.model, source.commit or given.revision),
        "files": [{"name": name, "bytes": _size(source.folder / name)} for name in source.names()],
    }
    _show(given, facts, _table(facts))


def _config_facts(values: dict[str, Any]) -> dict[str, Any]:
    from .auto import config_class

    try:
        config = config_class(str(values.get("model_type")), "config.json").from_dict(values)
    except ConfigError as error:
        return {"supported": False, "problem": str(error)}
    keys = {
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "hidden_size": "hidden_size",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    }
    labels = list(config.id2label.values()) if "id2label" in values else None
    return {"supported": True} | {key: getattr(config, name, None) for key, name in keys.items()} | {"labels": labels}


def _weight_facts(source: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Parameters and types: from the headers of weight files on this machine, else as the configuration plans them."""
    from . import checkpoints, hub

    try:
        here = source if source.is_local else hub.locate(source.name, revision=source.commit, local_files_only=True)
        tensors = checkpoints.open_checkpoint(checkpoints.find_weights(here)).values()
    except NotFoundError:
        return {"parameters": _planned_parameters(values), "dtype": values.get("dtype") or values.get("torch_dtype")}
    weights = [tensor for tensor in tensors if tensor.dtype.is_floating_point]
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in weights})
    return {"parameters": sum(_product(tensor.shape) for tensor in weights), "dtype": ", ".join(types)}


def _planned_parameters(values: dict[str, Any]) -> int | None:
    import torch

    from . import registry
    from .loading import Unfilled

    found: list[Any] = [registry.find_class(str(name)) for name in values.get("architectures") or []]
    for kind in filter(None, found):
        with torch.device("meta"), Unfilled():
            return int(kind(kind.config_class.from_dict(values)).num_parameters())
    return None


def _tokenizer_facts(model: str, revision: str | None) -> dict[str, Any] | None:
    from .auto import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
    except FormersError as error:
        return {"problem": str(error)}
    limit = tokenizer.model_max_length
    return {
        "class": type(tokenizer).__name__,
        "vocabulary": len(tokenizer),
        "model_max_length": int(limit) if limit < 10**9 else None,
        "special_tokens": list(tokenizer.all_special_tokens),
    }


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _product(sizes: Iterable[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


# ---- tokenize


def _declare_tokenize(parser: argparse.ArgumentParser) -> None:
    _declare_texts(parser)
    parser.add_argument("--model", metavar="NAME", default=str(_PACKAGED), help="folder or hub name (default: ours)")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    _declare_json(parser)


def _tokenize(given: argparse.Namespace) -> None:
    texts = _texts(given)
    from .auto import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(given.model, revision=given.revision)
    for text in texts:
        encoding = tokenizer(text, return_offsets_mapping=True, verbose=False)
        ids, offsets = encoding["input_ids"], [list(pair) for pair in encoding["offset_mapping"]]
        tokens = tokenizer.convert_ids_to_tokens(ids)
        rows = [(_printable(token), str(i), f"{a}–{b}") for token, i, (a, b) in zip(tokens, ids, offsets, strict=True)]
        _show(given, {"tokens": tokens, "ids": ids, "offsets": offsets}, [*_columns(rows), ""])


# ---- env


def _declare_env(parser: argparse.ArgumentParser) -> None:
    _declare_json(parser)


def _env(given: argparse.Namespace) -> None:
    import platform
    from importlib import metadata

    import huggingface_hub.constants as hub_constants
    import torch

    versions: dict[str, str | None] = {"formers": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = None
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    facts = {
        **versions,
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": str(accelerator) if accelerator else None,
        "cache": hub_constants.HF_HUB_CACHE,
        **{variable: os.environ.get(variable) for variable in _VARIABLES},
    }
    _show(given, facts, _table(facts))


def _cpu_name() -> str:
    import platform

    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


# ---- texts in, results out


def _declare_texts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "text", nargs="*", default=[], metavar="TEXT", help="texts; '-' or none: one text per line from standard input"
    )


def _declare_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one line of JSON per result, also on a terminal")


def _texts(given: argparse.Namespace) -> Iterable[str]:
    """The texts of the command line, or the lines of standard input as they come."""
    if given.text and given.text != ["-"]:
        return list(given.text)
    if not given.text and sys.stdin.isatty():
        raise ArgumentError("No text was given. Add one in quotes, pipe lines in, or type lines after giving '-'.")
    return _lines()


def _lines() -> Iterator[str]:
    # not sys.stdin: a thread of the pipeline reads here, and Python aborts when one waits inside sys.stdin at exit
    with open(0, "rb", closefd=False) as lines:
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"Line {number} of standard input is no UTF-8: its byte {error.start} is 0x{line[error.start]:02x}."
                    " Convert the text first, for example with `iconv -f latin1 -t utf-8`."
                ) from error
            yield text.rstrip("\r\n")


def _show(given: argparse.Namespace, result: Any, lines: Iterable[str]) -> None:
    """Print one result at once: JSON, or `lines` for people on a terminal."""
    terminal = _on_terminal()
    if given.json or not terminal:
        lines = [json.dumps(result, ensure_ascii=sys.stdout.encoding.lower() not in ("utf-8", "utf8"))]
    if terminal:
        from tqdm import tqdm

        tqdm.write("\n".join(lines))  # above the progress bar, where there is one
    else:
        print(*lines, sep="\n", flush=True)


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _table(facts: dict[str, Any]) -> Iterator[str]:
    """'name  value' lines; files and other lists of dictionaries get a line each."""
    width = max(map(len, facts))
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {_words(item)}" for key, item in value.items())
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = [(_printable(item["name"]), _bytes(item["bytes"])) for item in value]
            first, *rest = _columns(rows)
            yield f"{name:<{width}}  {first}"
            yield from (f"{'':<{width}}  {row}" for row in rest)
        else:
            yield f"{name.replace('_', ' ') if name.islower() else name:<{width}}  {_words(value)}"


def _words(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return _printable(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _bytes(count: int | None) -> str:
    if count is None:
        return "not downloaded"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _printable(text: str) -> str:
    """`text` without what could steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


_COMMANDS = {
    "run": _Command("run a task on texts", _declare_run, _run),
    "info": _Command("show what a model is, without loading its weights", _declare_info, _info),
    "tokenize": _Command("show the tokens of texts", _declare_tokenize, _tokenize),
    "env": _Command("show versions, machine and settings, for bug reports", _declare_env, _env),
}
