"""Contestants as processes that have loaded a model and do the same work in turn, on the same cores."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any


def serve(run: Callable[..., None]) -> None:
    """Be a contestant that has loaded: answer each line of input, a list of arguments, with seconds."""
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        given = json.loads(line)
        start = time.perf_counter()
        run(*given)
        print(json.dumps(time.perf_counter() - start), flush=True)


def started(command: Sequence[str]) -> subprocess.Popen[str] | None:
    """The process of a contestant that has loaded its model; None where it cannot be had."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    return process if process.stdout.readline() else None


def race(commands: Mapping[str, Sequence[str]], questions: Iterable[list[Any]]) -> dict[str, list[float]]:
    """{contestant: seconds of each question}, after the first, which warms up."""
    running = {}
    for name, command in commands.items():
        if (process := started(command)) is None:
            print(f"{name} cannot be had here", file=sys.stderr)
        else:
            running[name] = process
    times: dict[str, list[float]] = {name: [] for name in running}
    for turn, question in enumerate(questions):
        for name, process in running.items():
            assert process.stdin is not None and process.stdout is not None
            print(json.dumps(question), file=process.stdin, flush=True)
            taken = json.loads(process.stdout.readline())
            times[name] += [taken] if turn else []
    for process in running.values():
        process.communicate()
    return times


def show(title: str, times: Mapping[str, Sequence[float]], ours: Sequence[str] = ("formers", "formers int8")) -> None:
    """Print medians, and medians of the ratios of a round: the other's time over that of each of `ours`."""
    ours = [name for name in ours if name in times]
    heads = "".join(f"{'/ ' + name:>16}" for name in ours)
    print(f"{title}\n{'':22}{'ms':>9}{heads}")
    for name, seconds in times.items():
        ratios = (statistics.median(a / b for a, b in zip(seconds, times[own], strict=True)) for own in ours)
        print(f"{name:22}{1000 * statistics.median(seconds):9.0f}" + "".join(f"{ratio:15.2f}×" for ratio in ratios))
    print(flush=True)
