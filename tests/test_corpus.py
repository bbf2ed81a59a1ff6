"""The data is in the repository, whole; nothing of the repository reads files beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from corpus import DATA, sst2

REPOSITORY = Path(__file__).parents[1]
PLACES = ("src", "tests", "tools", "benchmarks", "fuzz", "docs", ".ci")
PAGES = [
    path
    for path in [*REPOSITORY.glob("*"), *(file for place in PLACES for file in (REPOSITORY / place).rglob("*"))]
    if path.suffix in (".py", ".md", ".toml") or path.name in ("Makefile", "run")
]
BESIDE = re.compile(r"\.\./shared|\bshared\W{1,5}(data|seeds)\b")
CLIMB = re.compile(r"Path\(__file__\)(?:\.resolve\(\))?((?:\.parents\[\d+\]|\.parent\b)+)")


@pytest.mark.parametrize(("name", "tokens"), [("uncased", 30_522), ("cased", 28_996), ("chinese", 21_128)])
def test_vocabularies(name: str, tokens: int) -> None:
    found = (DATA / f"bert-base-{name}-vocab.txt").read_bytes()
    assert found.count(b"\n") == tokens and found.endswith(b"\n") and b"\r" not in found


@pytest.mark.parametrize(("split", "lines", "positive"), [("dev", 872, 444), ("train", 67_349, 37_569)])
def test_sst2(split: str, lines: int, positive: int) -> None:
    found = sst2(split)
    assert len(found) == lines and sum(label for label, _ in found) == positive
    assert all(text and text == text.strip() and "\t" not in text for _, text in found)


def test_nothing_beside_the_repository_is_read() -> None:
    assert len(PAGES) > 200
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert BESIDE.search(text) is None, page
        for steps in CLIMB.findall(text):
            up = sum(int(number or 0) + 1 for number in re.findall(r"\.parent(?:s\[(\d+)\])?", steps))
            assert up <= len(page.relative_to(REPOSITORY).parts), page
