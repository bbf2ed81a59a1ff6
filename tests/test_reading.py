"""Loads beside writers: what was read is of one time, and nothing else in the folder counts."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import formers
from formers import registry
from formers.atomic import replacing
from formers.hub import reading
from formers.hub.reading import note, unchanged


@contextlib.contextmanager
def meanwhile(work: Callable[[int], Any]) -> Iterator[None]:
    """Inside, a thread calls work(0), work(1) and so on."""
    over = threading.Event()

    def run() -> None:
        for turn in itertools.count():
            if over.is_set():
                return
            work(turn)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def reader(folder: Path, pause_s: float = 0.0) -> tuple[Callable[[], str], list[int]]:
    """A read of two files, a pause between them, and a list with an entry for each time that it was called."""
    calls: list[int] = []

    def read() -> str:
        calls.append(len(calls))
        texts = []
        for name in ("a", "b"):
            note(folder / name)
            texts.append((folder / name).read_text())
            time.sleep(pause_s)
        return "".join(texts)

    return read, calls


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "ab":
        (tmp_path / name).write_text("0")
    return tmp_path


def save(folder: Path, text: str) -> None:
    with replacing(folder) as stage:
        for name in "ab":
            (stage / name).write_text(text)


def test_other_files_may_come_and_go(folder: Path) -> None:
    read, calls = reader(folder, 0.05)

    def log(turn: int) -> None:
        (folder / "log").write_text(str(turn))
        (folder / "new").write_text("")
        (folder / "new").unlink()
        time.sleep(0.001)

    with meanwhile(log):
        assert unchanged(folder, read) == "00"
    assert calls == [0]


def test_a_load_beside_a_log(tmp_path: Path) -> None:
    module = registry.load("bert")
    module.BertModel(module.BertConfig(**module.TINY)).save_pretrained(tmp_path / "model")
    count = []

    class Counting(formers.BertModel):
        def __init__(self, config: Any) -> None:
            count.append(1)
            super().__init__(config)

    def log(turn: int) -> None:
        (tmp_path / "model" / f"{turn}.log").write_text("")
        time.sleep(0.001)

    with meanwhile(log):
        for _ in range(5):
            Counting.from_pretrained(tmp_path / "model")
    assert len(count) == 5


def test_files_that_are_saved_in_a_tight_loop_are_read_all_the_same(folder: Path) -> None:
    read, calls = reader(folder, 0.05)
    with meanwhile(lambda turn: save(folder, str(turn))):
        for _ in range(5):
            text = unchanged(folder, read)
            assert text == text[: len(text) // 2] * 2, "both of one save"
    assert len(calls) <= 10, "a save holds a read up once"


def test_a_save_waits_for_a_second_reading_only(folder: Path) -> None:
    with reading.saves_wait(str(folder)):
        saving = threading.Thread(target=save, args=(folder, "1"))
        saving.start()
        saving.join(0.2)
        assert saving.is_alive() and (folder / "a").read_text() == "0"
    saving.join()
    assert (folder / "a").read_text() == "1"
    with reading.saves_wait(str(folder / "absent"), patience_s=0.01):
        pass


def test_a_file_that_was_looked_for_and_came(folder: Path) -> None:
    calls = []

    def read() -> bool:
        calls.append(1)
        note(folder / "c")
        there = (folder / "c").exists()
        if not there:
            (folder / "c").write_text("here now")
        return there

    assert unchanged(folder, read) and len(calls) == 2


def test_errors_of_a_reading_that_was_disturbed_do_not_count(folder: Path) -> None:
    calls = []

    def read() -> str:
        calls.append(1)
        note(folder / "a")
        if len(calls) == 1:
            (folder / "a").write_text("longer than before")
            raise formers.CheckpointError("half old, half new")
        return "whole"

    assert unchanged(folder, read) == "whole"

    def fail() -> None:
        note(folder / "a")
        raise formers.CheckpointError("always")

    with pytest.raises(formers.CheckpointError, match="always"):
        unchanged(folder, fail)


def test_two_readings_are_always_allowed_and_then_it_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PATIENCE_S", 0.0)
    calls: list[int] = []

    def read(quiet_from: int) -> int:
        calls.append(1)
        note(folder / "a")
        if len(calls) < quiet_from:
            (folder / "a").write_text("x" * (len(calls) + 5))
        return len(calls)

    assert unchanged(folder, lambda: read(2)) == 2
    calls.clear()
    with pytest.raises(formers.CheckpointError, match=r"read 2 times.*'.*a' changed") as caught:
        unchanged(folder, lambda: read(99))
    assert str(folder) in str(caught.value)


def test_a_reading_within_another_counts_for_it(folder: Path) -> None:
    calls = []

    def outer() -> str:
        calls.append(1)
        text = unchanged(folder, reader(folder)[0])
        if len(calls) == 1:
            save(folder, "11")
        return text

    assert unchanged(folder, outer) == "1111" and len(calls) == 2


def test_an_unseen_save_beside_does_not_disturb(folder: Path) -> None:
    """Files that a save leaves as they are get new links in the new folder; they are the same."""
    read, calls = reader(folder)

    def then_saved() -> str:
        text = read()
        with replacing(folder) as stage:
            (stage / "c").write_text("other")
        return text

    assert unchanged(folder, then_saved) == "00" and calls == [0]


def test_a_loaded_model_may_be_saved_over_its_own_files(tmp_path: Path) -> None:
    module = registry.load("bert")
    module.BertModel(module.BertConfig(**module.TINY)).save_pretrained(tmp_path)
    model = formers.BertModel.from_pretrained(tmp_path)
    before = model.state_dict()["pooler.dense.weight"].clone()
    model.save_pretrained(tmp_path)
    assert torch.equal(formers.BertModel.from_pretrained(tmp_path).pooler.dense.weight, before)
