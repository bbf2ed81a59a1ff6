"""The one place where pickles are read: an interpreter of the pickle language that cannot run code.

Pickle is a small stack language in which a file may import and call anything. Here a program of it works on inert
values only: numbers, text, tuples, lists, dictionaries, and the few things in `torch_values.TABLE`, which are ours.
Nothing is imported, looked up or called by a name that the file gives, no class is instantiated, and values that a
state dict has no use for are put aside. A file that asks for more is refused. Every step costs a bounded time, and
their number is bounded. FORMERS_NO_PICKLE=1 in the environment refuses all pickles.

Source of the opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Any

from ..errors import CheckpointError
from .tensor import MappedFile, is_size
from .torch_values import INERT, TABLE, Function, Part, Storage, StorageType

_MAX_STEPS = 500_000  # and one for every 50 bytes of file; a tensor takes about forty
_MAX_TEXT = 100_000  # bytes that a name may have; longer text is put aside
_MAX_TEXTS = 16_000_000  # bytes that all names may have
_BROKEN = (IndexError, KeyError, ValueError, TypeError, struct.error)  # what a broken program runs into


class _Refused(Exception):
    """Something that the file asks for and does not get."""


def load(file: MappedFile, start: int, end: int, storages: dict[str, Storage] | None = None) -> tuple[Any, int]:
    """Run the pickle at bytes `start` to `end`: its value, and where it stopped. Storages that it names are added.

    Errors: CheckpointError for a pickle that is broken, too long, or asks for anything that could run code.
    """
    if os.environ.get("FORMERS_NO_PICKLE", "0") not in ("", "0"):
        raise CheckpointError(
            f"{str(file.path)!r} is a pickle, and FORMERS_NO_PICKLE is set, which refuses all pickles. "
            "Use the model's safetensors file, or convert this one to safetensors in a place made for that."
        )
    machine = _Machine(file, start, end, {} if storages is None else storages)
    try:
        return machine.run(), machine.position
    except _Refused as refusal:
        raise CheckpointError(
            f"{str(file.path)!r} was not opened: {refusal}. Get the model as safetensors, or as a file "
            "with nothing but the tensors of its state_dict()."
        ) from None
    except _BROKEN as error:
        raise file.broken(f"its pickle fails at byte {machine.position:,}: {error}") from error


class _Machine:
    def __init__(self, file: MappedFile, start: int, end: int, storages: dict[str, Storage]) -> None:
        self.data, self.position, self.end, self.storages = file.data, start, end, storages
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.texts = 0

    def run(self) -> Any:
        most = _MAX_STEPS + len(self.data) // 50
        for _ in range(most):
            if self.position >= self.end:
                raise ValueError("it does not end")
            code = self.data[self.position]
            self.position += 1
            if code == _STOP:
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise _Refused(f"its pickle uses the opcode {bytes([code])!r}, which PyTorch's weights never need")
            step(self)
        raise _Refused(f"its pickle has more than {most:,} steps")

    def take(self, count: int) -> bytes:
        start = self.position
        if start + count > self.end:
            raise ValueError(f"{count:,} more bytes are needed, and {self.end - start:,} are there")
        self.position = start + count
        return self.data[start : start + count]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        stop = self.data.find(b"\n", self.position, min(self.end, self.position + 1000))
        if stop < 0:
            raise ValueError("a name does not end")
        return self.take(stop + 1 - self.position)[:-1].decode()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def text(self, form: str) -> None:
        count = self.number(form)
        if count > _MAX_TEXT:
            self.skip(count)
            return
        self.texts += count
        if self.texts > _MAX_TEXTS:
            raise _Refused(f"its pickle has more than {_MAX_TEXTS:,} bytes of names")
        self.push(self.take(count).decode())

    def skip(self, count: int) -> None:
        if self.position + count > self.end:
            raise ValueError(f"{count:,} more bytes are needed, and {self.end - self.position:,} are there")
        self.position += count
        self.push(INERT)

    def frame(self) -> None:
        self.number("<Q")  # a hint for readers of streams

    def integer(self, form: str) -> None:
        count = self.number(form)
        if not 0 <= count <= 255:
            raise ValueError(f"an integer of {count:,} bytes")
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def items(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def frozen_set(self) -> None:
        self.items()
        self.push(INERT)

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(items)
        elif self.stack[-1] is not INERT:
            raise TypeError("items are added to something that is no list")

    def set_items(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is dict:
            # Only text: to hash a tuple from a file may take forever, or all of the C stack.
            self.stack[-1].update(
                (key, value) for key, value in zip(items[::2], items[1::2], strict=True) if type(key) is str
            )
        elif self.stack[-1] is not INERT:
            raise TypeError("items are set in something that is no dictionary")

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def find(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise TypeError("the name of a global is no text")
        value = TABLE.get((module, name))
        if value is None:
            raise _Refused(_refusal(f"{module}.{name}"))
        self.push(value)

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.find(module, name)

    def instance(self) -> None:
        raise _Refused(_refusal(f"{self.line()}.{self.line()}"))

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is Function and type(arguments) is tuple and len(arguments) <= 10:
            self.push(function.call(*arguments))
        elif function is INERT:
            self.push(INERT)
        else:
            raise _Refused("its pickle calls something that is no function of PyTorch's weights")

    def new(self, arguments: int) -> None:
        del self.stack[-arguments:]
        if self.stack.pop() is not INERT:
            raise _Refused("its pickle makes an instance of a class, which PyTorch's weights never need")
        self.push(INERT)

    def persistent(self) -> None:
        reference = self.stack.pop()
        if type(reference) is not tuple or not 4 <= len(reference) <= 6:
            raise TypeError("a reference of an unknown kind")
        if reference[0] == "module":
            raise _Refused("it holds a whole Python object (a pickled module), and code is never taken from a file")
        kind, storage_type, key, _, count, view = reference if len(reference) == 6 else (*reference, None)
        if kind != "storage" or type(storage_type) is not StorageType or type(key) is not str or not is_size(count):
            raise TypeError("a reference to a storage is not as it should be")
        dtype = storage_type.dtype
        storage = self.storages.setdefault(key, Storage(count * dtype.itemsize, dtype.itemsize))
        if storage.nbytes != count * dtype.itemsize:
            raise ValueError(f"the storage {key[:50]!r} has two sizes")
        first = 0
        if view is not None:  # PyTorch 0.3 and earlier
            _, first, length = view
            if not is_size(first) or not is_size(length) or first + length > count:
                raise ValueError(f"a view reaches past the end of the storage {key[:50]!r}")
            count = length
        self.push(Part(storage, dtype, first, count))


def _refusal(name: str) -> str:
    if "sparse" in name or "nested" in name:
        return f"it holds a sparse or nested tensor ({name[:200]}), and only ordinary ones can be read"
    if "rebuild_q" in name or "QInt" in name or "QUInt" in name:
        return f"it holds a quantised tensor ({name[:200]}), and only ordinary ones can be read"
    return (
        f"it asks for {name[:200]!r}, which is none of the things that weights are made of; it could run code with it"
    )


_STOP = ord(".")
_STEPS: dict[int, Callable[[_Machine], object]] = {
    0x80: lambda m: m.take(1),  # PROTO
    0x95: _Machine.frame,
    # values
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    0x8A: lambda m: m.integer("B"),
    0x8B: lambda m: m.integer("<i"),
    ord("G"): lambda m: m.push(m.number(">d")),
    ord("X"): lambda m: m.text("<I"),
    0x8C: lambda m: m.text("B"),
    0x8D: lambda m: m.text("<Q"),
    ord("T"): lambda m: m.text("<I"),  # text of Python 2
    ord("U"): lambda m: m.text("B"),
    ord("B"): lambda m: m.skip(m.number("<I")),  # bytes
    ord("C"): lambda m: m.skip(m.number("B")),
    0x8E: lambda m: m.skip(m.number("<Q")),
    0x96: lambda m: m.skip(m.number("<Q")),
    # containers
    ord("}"): lambda m: m.push({}),
    ord("]"): lambda m: m.push([]),
    ord(")"): lambda m: m.push(()),
    0x8F: lambda m: m.push(INERT),  # sets
    0x90: lambda m: m.items(),
    0x91: _Machine.frozen_set,
    ord("t"): lambda m: m.push(tuple(m.items())),
    0x85: lambda m: m.push((m.stack.pop(),)),
    0x86: lambda m: m.push((m.stack.pop(-2), m.stack.pop())),
    0x87: lambda m: m.push((m.stack.pop(-3), m.stack.pop(-2), m.stack.pop())),
    ord("a"): lambda m: m.extend([m.stack.pop()]),
    ord("e"): lambda m: m.extend(m.items()),
    ord("s"): lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    ord("u"): lambda m: m.set_items(m.items()),
    # the stack and the memo
    ord("("): lambda m: m.marks.append(len(m.stack)),
    ord("0"): lambda m: m.stack.pop(),
    ord("1"): lambda m: m.items(),
    ord("2"): lambda m: m.push(m.stack[-1]),
    ord("q"): lambda m: m.put(m.number("B")),
    ord("r"): lambda m: m.put(m.number("<I")),
    0x94: lambda m: m.put(len(m.memo)),
    ord("h"): lambda m: m.push(m.memo[m.number("B")]),
    ord("j"): lambda m: m.push(m.memo[m.number("<I")]),
    # names and calls, of the table only
    ord("c"): lambda m: m.find(m.line(), m.line()),
    0x93: _Machine.stack_global,
    ord("i"): _Machine.instance,
    ord("R"): _Machine.call,
    0x81: lambda m: m.new(1),
    0x92: lambda m: m.new(2),
    ord("Q"): _Machine.persistent,
    ord("b"): lambda m: m.stack.pop(),  # attributes: a state dict's _metadata, a parameter's own
}
