"""One contestant in its own process: prepares and warms up, then computes once for each line on its standard input.

    python -m contest.worker '{"kind": "bulk", "engine": …}'

It answers each line with one line of JSON. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO

from .inputs import Model

Run = Callable[[], Any]


@dataclass(frozen=True)
class Turn:
    """What a turn runs, and what comes before it out of its time: nothing may be remembered of the same texts."""

    run: Run
    forget: Run | None = None

    def __call__(self) -> Any:
        return self.run()


def make_engine(job: dict[str, Any]) -> Any:
    """The engine of a job, loaded."""
    module = importlib.import_module(f"contest.engines.{job['module']}")
    return module.Engine(Model(**job["model"]), job["threads"], **job["options"])


def texts_of(job: dict[str, Any]) -> list[str]:
    """The texts of a job."""
    with open(job["texts"], encoding="utf-8") as file:
        texts: list[str] = json.load(file)
    return texts


def bulk(job: dict[str, Any]) -> Run:
    """All texts in one call."""
    engine, texts = make_engine(job), texts_of(job)
    return Turn(lambda: engine(texts), getattr(engine, "forget", None))


def single(job: dict[str, Any]) -> Run:
    """Each text in a call of its own."""
    engine, texts = make_engine(job), texts_of(job)
    return Turn(lambda: [timed(partial(engine, [text])) for text in texts], getattr(engine, "forget", None))


def startup(job: dict[str, Any]) -> Run:
    """Nothing but the first answer, which the warm-up gives."""
    engine, texts = make_engine(job), texts_of(job)[:1]
    return lambda: engine(texts)


def steps(job: dict[str, Any]) -> Run:
    """Whatever the module of the job repeats: training steps, calls of a tokenizer, matrix products."""
    module = importlib.import_module(f"contest.engines.{job['module']}")
    run: Run = module.prepare(job, texts_of(job))
    return run


def export(job: dict[str, Any]) -> Run:
    """Write what the engine loads, where it loads something of its own."""
    module = importlib.import_module(f"contest.engines.{job['module']}")
    return lambda: module.export(Model(**job["model"]), job["exported"])


KINDS = {"bulk": bulk, "single": single, "startup": startup, "steps": steps, "export": export}


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call took, and what it gave."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def answers(result: Any) -> list[Any]:
    """Results as JSON: the score of the second label for a label and its score, or an embedding."""
    if isinstance(result, list) and result and isinstance(result[0], tuple):  # from `single`
        return [row for _, one in result for row in answers(one)]
    if isinstance(result, list) and result and isinstance(result[0], dict):
        return [row["score"] if row["label"].endswith("1") else 1 - row["score"] for row in result]
    return result.tolist() if hasattr(result, "tolist") else []


def peak_megabytes() -> float:
    """The most memory that this process has had."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 1000


def serve(job: dict[str, Any], out: TextIO) -> None:
    """Prepare, say so, and compute whenever asked."""

    def say(**reply: Any) -> None:
        print(json.dumps(reply), file=out, flush=True)

    try:
        run = KINDS[job["kind"]](job)
        first = run()
        say(answers=answers(first), pid=os.getpid())
        rested = time.process_time()
        for _ in sys.stdin:
            idle = time.process_time() - rested
            if isinstance(run, Turn) and run.forget:
                run.forget()
            seconds, result = timed(run)
            if job["kind"] == "single":
                seconds = statistics.median(took for took, _ in result)
            rested = time.process_time()
            more = result if isinstance(result, dict) else {}
            say(**{"seconds": seconds, "idle": idle, "megabytes": peak_megabytes(), **more})
    except Exception as error:
        say(failed=f"{type(error).__name__}: {error}".splitlines()[0][:300])
        raise


def main() -> None:
    """Keep the standard output for answers."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(json.loads(sys.argv[1]), out)


if __name__ == "__main__":
    main()
