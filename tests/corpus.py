"""The files of tests/data: where they are, and SST-2's sentences. Benchmarks and tools read them by this as well."""

from __future__ import annotations

import lzma
from pathlib import Path

DATA = Path(__file__).parent / "data"


def sst2(split: str) -> list[tuple[int, str]]:
    """(label, sentence) of each line of SST-2's "train" or "dev", in the order of the file; label 1 is positive."""
    if split == "train":
        text = lzma.decompress((DATA / "sst2-train.tsv.xz").read_bytes()).decode("utf-8")
    else:
        text = (DATA / f"sst2-{split}.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t", 1) for line in text.splitlines()[1:])
    return [(int(label), sentence) for label, sentence in rows]
