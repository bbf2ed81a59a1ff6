"""Two processes that train together: what one process does with batches twice as large."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training import tiny

import formers

CHILD = """
import pathlib, sys, torch
sys.path.insert(0, {tests!r})
import formers
from training import tiny
torch.set_num_threads(1)
folders, out = {folders!r}, pathlib.Path({out!r})
for task, options in {cases!r}.items():
    rows = tiny.data(task, 48)
    one = tiny.trainer(formers, task, pathlib.Path(folders[task]), out / task, train_dataset=rows, **options)
    tiny.quiet(one.train, resume_from_checkpoint={resume!r} and str(pathlib.Path({resume!r}) / task / "checkpoint-3"))
    found = tiny.quiet(one.predict, tiny.data(task, 11))
    if one.is_world_process_zero():
        losses = [x["loss"] for x in one.state.log_history if "loss" in x]
        kept = {{"weights": one.model.state_dict(), "losses": losses, "world": one.args.world_size}}
        torch.save({{**kept, "predictions": torch.tensor(found.predictions)}}, out / f"{{task}}.pt")
"""
CASES: dict[str, dict[str, Any]] = {
    "causal": {"gradient_accumulation_steps": 2},
    "classification": {"train_sampling_strategy": "group_by_length"},
}
GIVEN = {"per_device_train_batch_size": 2, "max_steps": 6, "save_strategy": "steps", "save_steps": 3}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {task: str(tiny.saved(task, tmp_path_factory.mktemp(task))) for task in CASES}


def two(models: dict[str, str], out: Path, resume: str | None = None) -> dict[str, Any]:
    out.mkdir()
    cases = {task: GIVEN | options for task, options in CASES.items()}
    script = out / "script.py"
    tests = str(Path(__file__).parents[1])
    script.write_text(CHILD.format(tests=tests, folders=models, out=str(out), cases=cases, resume=resume))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return {task: torch.load(out / f"{task}.pt", weights_only=True) for task in CASES}


def test_two_processes_are_one_with_larger_batches(models: dict[str, str], tmp_path: Path) -> None:
    whole = two(models, tmp_path / "whole")
    for task, options in CASES.items():
        assert whole[task]["world"] == 2
        given = GIVEN | options | {"per_device_train_batch_size": 4, "train_dataset": tiny.data(task, 48)}
        if task == "classification":  # in one process the order of lengths is drawn otherwise
            assert len(whole[task]["losses"]) == 6
            continue
        one = tiny.trainer(formers, task, Path(models[task]), tmp_path / "one", **given)
        tiny.quiet(one.train)
        losses = [x["loss"] for x in one.state.log_history if "loss" in x]
        assert whole[task]["losses"] == pytest.approx(losses, rel=1e-5)
        for name, value in one.model.state_dict().items():
            assert torch.allclose(value, whole[task]["weights"][name], atol=1e-5), name
        found = tiny.quiet(one.predict, tiny.data(task, 11))
        real = found.predictions != -100  # both fill up with it
        other = whole[task]["predictions"].numpy()
        assert found.predictions.shape[0] == len(other) == 11
        width = min(other.shape[1], found.predictions.shape[1])
        assert np.allclose(other[:, :width][real[:, :width]], found.predictions[:, :width][real[:, :width]], atol=1e-4)
    # and they go on, bit for bit
    again = two(models, tmp_path / "again", resume=str(tmp_path / "whole"))
    for task in CASES:
        assert again[task]["losses"] == whole[task]["losses"]
        for name, value in whole[task]["weights"].items():
            assert torch.equal(value, again[task]["weights"][name]), (task, name)
    names = {path.name for path in (tmp_path / "whole" / "causal" / "checkpoint-3").iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth", "model.safetensors", "trainer_state.json"} <= names
