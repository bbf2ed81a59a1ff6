"""torch's threads fitted to what a container gives: control groups of both versions, from files made here."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import formers.machine
from formers.pipelines import threads

Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """machine(processors, {path: content}, threads) -> a machine on which torch starts with so many threads."""
    before = torch.get_num_threads()

    def make(processors: int, files: dict[str, str], number: int = 8) -> None:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        monkeypatch.setattr(formers.machine, "_ROOT", tmp_path)
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)), raising=False)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        torch.set_num_threads(number)
        threads.fit_threads.cache_clear()

    yield make
    torch.set_num_threads(before)


V2 = {"proc/self/cgroup": "0::/\n"}
V1 = {"proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n"}
QUOTA = "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"
PERIOD = "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us"
CASES: dict[str, tuple[dict[str, str], int]] = {
    "no groups": ({}, 8),
    "no limit": ({**V2, "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
    "two": ({**V2, "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
    "two and a half": ({**V2, "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
    "a tenth": ({**V2, "sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
    "of a group above": (
        {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 1", "sys/fs/cgroup/a/cpu.max": "30 10"},
        3,
    ),
    "version 1": ({**V1, QUOTA: "400000\n", PERIOD: "100000\n"}, 4),
    "version 1, no limit": ({**V1, QUOTA: "-1\n", PERIOD: "100000\n"}, 8),
    "version 1, by its short name": (
        {**V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "4", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "2"},
        2,
    ),
    "nonsense": ({"proc/self/cgroup": "what\n\n::\n", "sys/fs/cgroup/cpu.max": "many"}, 8),
    "a period of nothing": ({**V2, "sys/fs/cgroup/cpu.max": "100000 0"}, 8),
}


@pytest.mark.parametrize("case", CASES)
def test_quotas(case: str, machine: Machine) -> None:
    files, expected = CASES[case]
    machine(8, files)
    assert formers.machine.processors() == expected


def test_fewer_processors_than_the_machine_has(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine(3, {})
    with caplog.at_level(logging.INFO, logger="formers"):
        threads.fit_threads()
    assert torch.get_num_threads() == 3
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "3 threads now, and not 8" in caplog.text


def test_done_once(machine: Machine) -> None:
    machine(3, {})
    threads.fit_threads()
    torch.set_num_threads(8)
    threads.fit_threads()
    assert torch.get_num_threads() == 8


@pytest.mark.parametrize("number", [1, 2, 5])
def test_what_was_chosen_stays(number: int, machine: Machine) -> None:
    machine(2, {}, number)
    threads.fit_threads()
    assert torch.get_num_threads() == number


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_what_the_environment_says_stays(variable: str, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(2, {})
    monkeypatch.setenv(variable, "8")
    threads.fit_threads()
    assert torch.get_num_threads() == 8


def test_pipelines_do_it_and_imports_do_not(classifier_folder: Path) -> None:
    code = (
        "import os, sys, torch; torch.get_num_threads = lambda: 8; os.cpu_count = lambda: 8\n"
        "os.sched_getaffinity = lambda _: {0}; chosen = []; torch.set_num_threads = chosen.append\n"
        "import formers, formers.pipelines.base; print(chosen)\n"
        "formers.pipeline('text-classification', model=sys.argv[1]); print(chosen)"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    command: list[Any] = [sys.executable, "-c", code, classifier_folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[1]"]
