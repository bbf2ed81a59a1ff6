"""Contestants in processes of their own, computing in turn."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .entrants import Contestant
from .inputs import Model

PAUSE = 0.25  # seconds; threads that wait for more work by spinning have given up by then (libiomp: 0.2)


class Failed(Exception):
    """A contestant cannot do its work; the message is the reason."""


@dataclass
class Setting:
    """What all processes share."""

    folder: Path
    threads: int
    engines: str = sys.executable  # the Python that has the rivals

    def job(self, kind: str, contestant: Contestant, model: Model, texts: list[str]) -> dict[str, Any]:
        """What a worker is told."""
        path = self.folder / "texts.json"
        path.write_text(json.dumps(texts), encoding="utf-8")
        options = dict(contestant.options)
        exported = self.folder / f"{contestant.module}-{Path(model.folder).name}"
        if contestant.exports:
            options["exported"] = str(exported)
        return {
            "kind": kind,
            "module": contestant.module,
            "options": options,
            "model": asdict(model),
            "texts": str(path),
            "threads": self.threads,
            "exported": str(exported),
        }

    def export(self, contestant: Contestant, model: Model) -> None:
        """Let the contestant write what it loads, once. Raises Failed."""
        job = self.job("export", contestant, model, [])
        done = Path(job["exported"], "done")
        if contestant.exports and not done.exists():
            done.parent.mkdir(parents=True, exist_ok=True)
            with Worker(self, contestant, job):
                done.touch()


class Worker:
    """A contestant's process, started and warm. Raises Failed."""

    def __init__(self, setting: Setting, contestant: Contestant, job: dict[str, Any]) -> None:
        ours = contestant.ours or job["options"].get("library") == "formers" or contestant.module == "products"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split()]),
            "OMP_NUM_THREADS": str(setting.threads),
            "HF_HUB_OFFLINE": "1",
        }
        with open(setting.folder / "log.txt", "a") as log:
            self.process = subprocess.Popen(
                [sys.executable if ours else setting.engines, "-m", "contest.worker", json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        try:
            self.answers = self._reply()["answers"]
        except Failed:
            self.close()
            raise

    def _reply(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise Failed(f"the process ended with {self.process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        if "failed" in reply:
            raise Failed(reply["failed"])
        return reply

    def run(self) -> dict[str, Any]:
        """Let it compute once: seconds, the CPU time it took while it should have been idle, its peak memory."""
        print("go", file=self.process.stdin, flush=True)
        return self._reply()

    def close(self) -> None:
        """End the process."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Measured:
    """What came out for one contestant in one case, round by round."""

    seconds: list[float] = field(default_factory=list)
    megabytes: float = 0.0
    idle: float = 0.0  # the most CPU seconds in a pause
    answers: list[Any] = field(default_factory=list)
    rates: list[dict[str, float]] = field(default_factory=list)
    failed: str | None = None

    @property
    def median(self) -> float:
        """Seconds; of one text where they came one by one."""
        return statistics.median(self.seconds)

    def add(self, reply: dict[str, Any]) -> None:
        """A round's reply."""
        self.seconds.append(reply["seconds"])
        self.megabytes = reply["megabytes"]
        self.idle = max(self.idle, reply["idle"])
        if "rates" in reply:
            self.rates.append(reply["rates"])


def contest(
    setting: Setting, kind: str, contestants: list[Contestant], model: Model, texts: list[str], rounds: int
) -> dict[str, Measured]:
    """Start all contestants, then let them compute in turn, so many rounds, with a pause before each."""
    results = {contestant.name: Measured() for contestant in contestants}
    workers: dict[str, Worker] = {}
    try:
        for contestant in contestants:
            try:
                setting.export(contestant, model)
                worker = Worker(setting, contestant, setting.job(_kind(contestant, kind), contestant, model, texts))
                workers[contestant.name], results[contestant.name].answers = worker, worker.answers
                progress(f"{contestant.name} is ready")
            except Failed as error:
                results[contestant.name].failed = str(error)
        for turn in range(rounds):
            for name, worker in workers.items():
                time.sleep(PAUSE)
                results[name].add(worker.run())
                progress(f"round {turn + 1}: {name} {results[name].seconds[-1]:.4f} s")
    finally:
        for worker in workers.values():
            worker.close()
    return results


def progress(line: str) -> None:
    """Show that something goes on, to whoever watches."""
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


def _kind(contestant: Contestant, kind: str) -> str:
    return "steps" if contestant.module in ("products", "training", "tokenising") else kind


def first_answers(
    setting: Setting, contestants: list[Contestant], model: Model, texts: list[str], rounds: int
) -> dict[str, Measured]:
    """Seconds from the start of a process to its first answer, in turn; one round before warms the disk's cache."""
    results = {contestant.name: Measured() for contestant in contestants}
    for turn in range(rounds + 1):
        for contestant in contestants:
            measured = results[contestant.name]
            if measured.failed:
                continue
            try:
                setting.export(contestant, model)
                job = setting.job("startup", contestant, model, texts)
                start = time.perf_counter()
                with Worker(setting, contestant, job):
                    taken = time.perf_counter() - start
                if turn:
                    measured.seconds.append(taken)
            except Failed as error:
                measured.failed = str(error)
    return results
