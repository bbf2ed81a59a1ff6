"""Load folders and say what happened: `python hostile_child.py LIBRARY [VALID] < cases`, a line of JSON for each case.

A case is {"name", "door", "folder", "options"}. Each is loaded in a process of its own, forked once the library is
there, which may take SECONDS and GIGABYTES more address space than it has. VALID: a folder without harm to load before;
without it, TensorFlow and Flax are imported before.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import resource
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

SECONDS, GIGABYTES = 20, 4
TEXT = "the a of b! " * 170 + "?"


def model(library: Any, folder: str, **options: Any) -> str:
    """A digest of all weights."""
    loaded = library.AutoModel.from_pretrained(folder, **options)
    loaded = loaded[0] if isinstance(loaded, tuple) else loaded
    return f"{sum(float(p.double().abs().sum()) for p in loaded.parameters()):.6f}"


def tokenizer(library: Any, folder: str, **options: Any) -> str:
    """The ids of a text."""
    loaded = library.AutoTokenizer.from_pretrained(folder, **options)
    try:
        return str([len(loaded), loaded(TEXT)["input_ids"]])
    except Exception as error:
        error.args = (f"{folder}: opened, but {error}",)
        raise


def config(library: Any, folder: str, **options: Any) -> str:
    return str(library.AutoConfig.from_pretrained(folder, **options).hidden_size)


def info(library: Any, folder: str, **options: Any) -> str:
    """The command `formers info`: what it printed, if it said why it failed."""
    from formers.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["info", folder, "--json"])
        err.flush()
    if code:
        raise library.FormersError(err.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return "shown"


DOORS = {f.__name__: f for f in (model, tokenizer, config, info)}


def attempt(library: Any, case: dict[str, Any]) -> dict[str, Any]:
    """What loading gives, and which modules it brought in from the folder."""
    start = time.process_time()
    before, modules = _peak(), set(sys.modules)
    try:
        said = {"result": DOORS[case["door"]](library, case["folder"], **case.get("options", {}))}
    except BaseException as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        said = {"error": kinds, "message": str(error)[:3000]}  # type: ignore[dict-item]
    new = [n for n in set(sys.modules) - modules if "evil" in n or n in ("runpy", "torch._dynamo", "torch.onnx")]
    return said | {"seconds": time.process_time() - start, "megabytes": _peak() - before, "modules": new}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def isolated(library: Any, case: dict[str, Any]) -> dict[str, Any]:
    """`attempt` in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _limit()
        os.chdir(Path(case["folder"]).parent)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        answer = json.dumps(attempt(library, case)).encode()
        with open(writer, "wb") as out:
            out.write(answer)
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answers:
        raw = answers.read()
    _, status = os.waitpid(child, 0)
    if raw and not status:
        return dict(json.loads(raw))
    return {"killed": os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)}


def _limit() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = size + GIGABYTES * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, also inside of C code
    signal.alarm(SECONDS)


def main() -> None:
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", RUST_BACKTRACE="0")
    warnings.simplefilter("ignore")
    library = importlib.import_module(sys.argv[1])
    cases = json.load(sys.stdin)
    import torch

    torch.set_num_threads(1)
    # what is imported is no part of what an attack costs
    for module in ("tensorflow", "flax") if len(sys.argv) < 3 else ():
        importlib.import_module(module)
    with contextlib.suppress(Exception):
        for door in ("model", "tokenizer", "config"):
            DOORS[door](library, sys.argv[2])
    for case in cases:
        print(json.dumps({"name": case["name"], "door": case["door"], **isolated(library, case)}), flush=True)


if __name__ == "__main__":
    main()
