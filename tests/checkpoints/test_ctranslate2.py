"""CTranslate2's model.bin: what is read of it, and files that are broken."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from damage import flipped, patched
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.checkpoints import open_checkpoint
from formers.errors import CheckpointError, FormersError


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def variable(name: str, shape: tuple[int, ...], kind: int, data: bytes) -> bytes:
    sizes = struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return text(name) + sizes + struct.pack("<BI", kind, len(data)) + data


VARIABLES = [
    variable("a/weight", (2, 2), 0, struct.pack("<4f", 1, 2, 3, 4)),
    variable("b", (3,), 4, struct.pack("<3e", 0.5, 1, 2)),
    variable("heads", (), 2, struct.pack("<h", 6)),
    variable("codes", (1, 3), 1, b"\x01\xff\x7f"),
]
ALIASES = struct.pack("<I", 1) + text("scores/weight") + text("a/weight")


def whole(variables: list[bytes] = VARIABLES, aliases: bytes = ALIASES, version: int = 6) -> bytes:
    head = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    return head + b"".join(variables) + aliases


def test_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(whole())
    found = {name: lazy.load() for name, lazy in open_checkpoint(path).items()}
    assert torch.equal(found["a/weight"], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert torch.equal(found["scores/weight"], found["a/weight"])
    assert torch.equal(found["b"], torch.tensor([0.5, 1, 2], dtype=torch.float16))
    assert int(found["heads"]) == 6
    assert found["codes"].tolist() == [[1, -1, 127]]


BROKEN = {
    "cut": (whole()[:-30], "needs|ends at byte"),
    "twice": (whole([*VARIABLES, VARIABLES[0]]), "in it twice"),
    "kind": (whole([variable("a", (1,), 9, b"abcd")]), "type 9"),
    "size": (whole([variable("a", (2,), 0, b"abcd")]), "4 bytes, which are not"),
    "alias": (whole(aliases=struct.pack("<I", 1) + text("c") + text("d")), "of nothing"),
    "version": (whole(version=9), "no known weight format"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(BROKEN[case][0])
    with pytest.raises(CheckpointError, match=BROKEN[case][1]) as error:
        open_checkpoint(path)
    assert str(path) in str(error.value)


@settings(max_examples=60)
@given(st.one_of(flipped(whole()), patched(whole())))
def test_damaged_files(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """They are read, or refused."""
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.write_bytes(data or b"\0")
    with suppress(FormersError):
        for lazy in open_checkpoint(path).values():
            lazy.load()
