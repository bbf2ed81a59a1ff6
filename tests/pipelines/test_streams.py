"""Generators and datasets: in order, a bounded distance ahead, and never waiting for what comes after a result."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import pytest
from torch.utils.data import Dataset

from formers import errors
from formers.pipelines.batches import windows
from formers.pipelines.pt_utils import KeyDataset, KeyPairDataset

TEXTS = [f"{'good ' * (n % 13)}film {'bad ' * (n % 7)}" for n in range(300)]


class Rows(Dataset[Any]):
    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return len(TEXTS)

    def __getitem__(self, index: int) -> dict[str, str]:
        self.read += 1
        return {"text": TEXTS[index], "other": "fine", "label": "1"}


@pytest.fixture(scope="module")
def expected(classifier: Any) -> list[Any]:
    return [classifier(text)[0] for text in TEXTS]


def assert_equal(found: list[Any], expected: list[Any]) -> None:
    assert [x["label"] for x in found] == [x["label"] for x in expected]
    assert [x["score"] for x in found] == pytest.approx([x["score"] for x in expected], abs=1e-5)


@pytest.mark.parametrize(("size", "count"), [(None, 300), (1, 40), (7, 100)])
def test_order(classifier: Any, expected: list[Any], size: int | None, count: int) -> None:
    texts, wanted = TEXTS[:count], expected[:count]
    assert_equal(classifier(texts, batch_size=size), wanted)
    assert_equal(list(classifier((text for text in texts), batch_size=size)), wanted)
    assert_equal(list(classifier(iter(texts), batch_size=size)), wanted)
    assert_equal(list(islice(classifier(KeyDataset(Rows(), "text"), batch_size=size), count)), wanted)


def test_datasets_have_a_length_are_read_in_parts_and_can_be_run_again(classifier: Any, expected: list[Any]) -> None:
    rows = Rows()
    results = classifier(KeyDataset(rows, "text"))
    assert rows.read == 0
    assert len(results) == len(TEXTS)
    assert next(iter(results))["label"] == expected[0]["label"]
    assert 0 < rows.read < len(TEXTS)
    assert_equal(list(results), expected)
    assert_equal(list(results), expected)


def test_other_collections(classifier: Any, expected: list[Any]) -> None:
    for collection in (np.array(TEXTS[:9]), dict.fromkeys(TEXTS[:9]).keys(), (text for text in TEXTS[:9])):
        results = classifier(collection)
        assert not isinstance(results, list)
        assert_equal(list(results), expected[:9])


def test_threads_may_share_a_pipeline(classifier: Any, expected: list[Any]) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: classifier(text, truncation=True)[0], TEXTS))
    assert_equal(found, expected)


def test_pairs_from_a_dataset(classifier: Any) -> None:
    found = list(islice(classifier(KeyPairDataset(Rows(), "text", "other")), 3))
    assert_equal(found, classifier([(text, "fine") for text in TEXTS[:3]]))


def test_an_endless_generator_is_read_a_bounded_distance_ahead(classifier: Any) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "a good film"

    results = classifier(endless())
    assert read == 0
    assert len(list(islice(results, 5))) == 5
    assert read <= 4096
    assert next(results)["label"].startswith("LABEL")


def test_a_generator_may_wait_for_the_last_result(classifier: Any) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    served = []

    def requests() -> Iterator[str]:
        yield "a good film"
        for _ in range(5):
            served.append(answers.get(timeout=20))  # the next request comes after the answer to this one
            yield "a bad film"

    for result in classifier(requests()):
        answers.put(result)
    assert len(served) == 5


def test_batch_size_one_reads_one_result_one(classifier: Any) -> None:
    read = []
    results = classifier((read.append(text) or text for text in TEXTS), batch_size=1)
    for count in range(1, 4):
        next(results)
        assert len(read) == count


def test_an_abandoned_generator_stops_being_read(classifier: Any) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "a good film"

    before = threading.active_count()
    results = classifier(endless())
    next(results)
    assert threading.active_count() == before + 1
    reader = threading.enumerate()[-1]
    del results
    reader.join(timeout=10)
    assert not reader.is_alive()


def test_an_error_of_the_generator_comes_after_the_results_before_it(classifier: Any) -> None:
    def broken() -> Iterator[str]:
        yield from TEXTS[:20]
        raise RuntimeError("the disk is gone")

    results = classifier(broken())
    found = [next(results) for _ in range(20)]
    assert len(found) == 20
    with pytest.raises(RuntimeError, match="the disk is gone"):
        next(results)


def test_a_bad_item_of_a_stream_is_named_by_its_place_in_the_stream(classifier: Any) -> None:
    with pytest.raises(errors.InputError, match=r"inputs\[250\] is None"):
        list(classifier(None if n == 250 else text for n, text in enumerate(TEXTS)))
    with pytest.raises(errors.InputError, match=r"inputs\[250\] is None"):
        list(classifier((None if n == 250 else text for n, text in enumerate(TEXTS)), batch_size=8))


def test_windows_keep_their_budgets() -> None:
    lengths = [5, 30, 7, 100, 7, 2, 9, 500, 1, 3]
    plan = list(windows(lengths, step_tokens=40, window_tokens=150))
    members = [sorted(i for batch in window for i in batch) for window in plan]
    assert [i for indices in members for i in indices] == list(range(len(lengths)))
    for window in plan:
        assert sum(lengths[i] for batch in window for i in batch) <= 150 or len(window) == 1
        for batch in window:
            assert sum(lengths[i] for i in batch) <= 40 or len(batch) == 1
        flat = [lengths[i] for batch in window for i in batch]
        assert flat == sorted(flat)


def test_a_bar_on_a_terminal_only_and_only_for_long_work(
    classifier: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier(TEXTS)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    classifier(TEXTS)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("formers.pipelines.streams._BAR_AFTER_S", 0.01)
    forward = type(classifier).forward
    monkeypatch.setattr(type(classifier), "forward", lambda *a, **k: [time.sleep(0.1), forward(*a, **k)][1])
    classifier(TEXTS, batch_size=100)
    assert "300" in capsys.readouterr().err
    classifier(TEXTS[:10])
    assert capsys.readouterr().err == ""


def test_a_list_is_sorted_as_a_whole(classifier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    columns: list[int] = []
    forward = type(classifier).forward

    def watched(pipe: Any, inputs: Any, **parameters: Any) -> Any:
        columns.append(inputs["input_ids"].shape[1])
        return forward(pipe, inputs, **parameters)

    monkeypatch.setattr(type(classifier), "forward", watched)
    monkeypatch.setattr(type(classifier), "step_tokens", 500)
    monkeypatch.setattr(type(classifier), "window_tokens", 500)
    classifier(TEXTS * 3)
    assert len(columns) > 10
    assert columns == sorted(columns)
    columns.clear()
    next(iter(classifier(KeyDataset(Rows(), "text"))))
    assert len(columns) == 1  # the first results of a stream do not wait for many others
