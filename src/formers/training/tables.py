"""Tables of examples, from files: .csv, .tsv, .jsonl, .json, .parquet, CoNLL's columns, and what `datasets` saves.

A row is {column: value}, and knows where in its file it stands, so that errors can say so. Text files are UTF-8, also
packed as .gz, .bz2 or .xz, and are read by Python's own library.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, NotFoundError, near
from ..extra import library

_PACKED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_SHOWN = 5  # places that an error names
Rows = list[dict[str, Any]]


class MissingColumnError(InputError):
    """A column that a table lacks."""


@dataclass(frozen=True)
class Table:
    """Rows of a file.

    places: the line of each, or its number, as `unit` says. sha256: of the file, or of those in a folder.
    """

    name: str
    columns: tuple[str, ...]
    rows: Rows
    places: Sequence[int]
    unit: str
    sha256: str

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, row: int) -> str:
        """Where a row stands, as "train.csv, line 3"."""
        return f"{self.name}, {self.unit} {self.places[row]}"

    def listed(self, rows: Sequence[int]) -> str:
        """Where rows stand, the first few of them, as "lines 3, 17 and 4 more of train.csv"."""
        shown = ", ".join(str(self.places[row]) for row in rows[:_SHOWN])
        more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
        return f"{self.unit}{'s' * (len(rows) > 1)} {shown}{more} of {self.name}"

    def chosen(self, rows: Sequence[int]) -> Table:
        """A table of these rows alone, in their order."""
        return replace(self, rows=[self.rows[i] for i in rows], places=[self.places[i] for i in rows])

    def drawn(self, count: int, seed: int) -> Table:
        """A table of `count` rows that the seed draws, in the order of the file; all of them where there are fewer."""
        if count >= len(self):
            return self
        return self.chosen(sorted(random.Random(seed).sample(range(len(self)), count)))

    def renamed(self, names: Mapping[str, str]) -> Table:
        """A table with other names of columns: {new: old}. Errors: MissingColumnError."""
        for old in names.values():
            self.column(old)
        known = {old: new for new, old in names.items()}
        rows = [{known.get(name, name): value for name, value in row.items()} for row in self.rows]
        return replace(self, columns=tuple(known.get(name, name) for name in self.columns), rows=rows)

    def column(self, name: str) -> list[Any]:
        """What each row has in a column. Errors: InputError where a row has none."""
        if name not in self.columns:
            raise MissingColumnError(
                f"{self.name} has no column {name!r}; it has {', '.join(map(repr, self.columns))}."
                f"{near(name, self.columns)}{self._hint()}"
            )
        if lacking := [i for i, row in enumerate(self.rows) if row.get(name) is None]:
            raise InputError(
                f"Column {name!r} has no value in {self.listed(lacking)}. Fill it, or leave such rows out."
            )
        return [row[name] for row in self.rows]

    def texts(self, name: str) -> list[str]:
        """The same, all of them texts that are not all empty."""
        values = self.column(name)
        if wrong := [i for i, value in enumerate(values) if not isinstance(value, str)]:
            kind = type(values[wrong[0]]).__name__
            raise InputError(f"Column {name!r} is a {kind}, and should be a text, in {self.listed(wrong)}.")
        if not any(value.strip() for value in values):
            raise InputError(f"Column {name!r} of {self.name} has empty texts alone.")
        return values

    def _hint(self) -> str:
        if self.unit != "line" or self.name.removesuffix(".gz").endswith((".jsonl", ".conll")):
            return ""
        return " The first line names the columns: if it is a row already, put such a line before it."


def read_table(path: str) -> Table:
    """All rows of a file or folder. Errors: NotFoundError, InputError with file, line and column."""
    source = Path(path).expanduser()
    if not source.exists():
        known = [p.name for p in source.parent.iterdir()] if source.parent.is_dir() else []
        raise NotFoundError(f"There is no file {path!r}.{near(source.name, known)}")
    packed = source.suffix if source.suffix in _PACKED else ""
    kind = "dataset" if source.is_dir() else source.with_suffix("").suffix if packed else source.suffix
    readers: dict[str, Callable[[Path], Table]] = {
        ".csv": _separated, ".tsv": _separated, ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json,
        ".conll": _conll, ".conllu": _conll, ".bio": _conll, ".iob": _conll, ".iob2": _conll, ".txt": _lines,
        ".parquet": _parquet, ".arrow": _arrow, "dataset": _saved,
    }  # fmt: skip
    if kind not in readers or (packed and kind in (".parquet", ".arrow")):
        raise InputError(
            f"{path!r} is no kind of table that is known: {', '.join(x for x in readers if x.startswith('.'))}, or a "
            "folder of save_to_disk; text files also with .gz, .bz2 or .xz at the end."
        )
    table = readers[kind](source)
    if not table.rows:
        raise InputError(f"{path!r} has no rows.")
    return table


# ---- text files


def _text(path: Path) -> tuple[str, str]:
    """What a text file says, and its SHA-256. Errors: InputError for what is no UTF-8, with the line."""
    try:
        with _PACKED.get(path.suffix, open)(path, "rb") as file:
            content = file.read()
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}.") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{str(path)!r} is UTF-16: convert it, as by `iconv -f utf-16 -t utf-8`.")
    try:
        return content.decode("utf-8-sig"), _sha256([path])
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path.name}, line {line} is no UTF-8: there is the byte 0x{content[error.start]:02x}. Convert the file, "
            "as by `iconv -f latin1 -t utf-8`."
        ) from error


def _sha256(paths: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                found.update(part)
    return found.hexdigest()


def _separated(path: Path) -> Table:
    """Values between commas, semicolons or tabs, below a line of names. Quotes are those of RFC 4180; between tabs
    only where every line is right with them, since texts of such files often begin with a quote."""
    text, sha = _text(path)
    first = text[: text.find("\n")] if "\n" in text else text
    tabs = ".tsv" in path.suffixes
    separator = "\t" if tabs else ";" if ";" in first and "," not in first else ","
    lines = _of_tabs(text) if tabs else _quoted(path.name, io.StringIO(text, newline=""), separator)
    header: list[str] = []
    rows: Rows = []
    places = []
    for line, values in lines:
        if not values:
            continue
        if not header:
            header = values
            if twice := [name for name in header if header.count(name) > 1]:
                raise InputError(f"{path.name}, line {line} names two columns {twice[0]!r}; it should name each once.")
        elif len(values) != len(header):
            raise InputError(_ragged(path.name, line, values, header, separator))
        else:
            rows.append(dict(zip(header, values, strict=True)))
            places.append(line)
    return Table(path.name, tuple(header), rows, places, "line", sha)


def _ragged(name: str, line: int, values: list[str], header: list[str], separator: str) -> str:
    which = header[len(values)] if len(values) < len(header) else f"number {len(header) + 1}"
    way = "Put texts with the separator in them in quotes" if separator != "\t" else "Replace tabs and line ends"
    return (
        f"{name}, line {line} has {len(values)} values, and the first line names {len(header)} columns: column "
        f"{which} is {'missing' if len(values) < len(header) else 'one too many'}. {way}, or give .jsonl."
    )


def _quoted(name: str, file: Any, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(line, values) of each record, which may have several lines within quotes."""
    records, line = csv.reader(file, delimiter=separator, strict=True), 1
    while True:
        try:
            values = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"{name}, the row that begins in line {line}: {error}. A quote in a text within quotes is written "
                'twice (""), and each that opens is closed.'
            ) from error
        yield line, values
        line = records.line_num + 1


def _of_tabs(text: str) -> Iterator[tuple[int, list[str]]]:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    try:
        yield from enumerate([next(csv.reader([line], delimiter="\t", strict=True), []) for line in lines], 1)
    except csv.Error:
        yield from ((number, line.split("\t") if line else []) for number, line in enumerate(lines, 1))


def _json_lines(path: Path) -> Table:
    text, sha = _text(path)
    rows, places = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            rows.append(_object(_parsed(line, f"{path.name}, line {number}"), f"{path.name}, line {number}"))
            places.append(number)
    return Table(path.name, _names(rows), rows, places, "line", sha)


def _json(path: Path) -> Table:
    text, sha = _text(path)
    found = _parsed(text, path.name)
    rows = found.get("data") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise InputError(f'{path.name} should hold a list of rows, or {{"data": [rows]}}, or be .jsonl, a row a line.')
    rows = [_object(row, f"{path.name}, row {number}") for number, row in enumerate(rows, 1)]
    if rows and all("paragraphs" in row for row in rows):
        rows = _squad(rows, path.name)
    return Table(path.name, _names(rows), rows, range(1, len(rows) + 1), "row", sha)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON: {error}.") from error


def _object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise InputError(f'{where} is {str(row)[:40]!r}; it should be an object {{"column": value, …}}.')
    return row


def _names(rows: Rows) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in rows for name in row))


def _squad(articles: Rows, name: str) -> Rows:
    """The questions within articles of SQuAD's form, each beside its context. Source: arXiv 1606.05250."""
    try:
        return [
            {"context": paragraph["context"], **question}
            for article in articles
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (KeyError, TypeError) as error:
        raise InputError(f"{name} has SQuAD's paragraphs, but not in all of its form: {error!r} is missing.") from error


def _lines(path: Path) -> Table:
    """A text a line, in a column `text`."""
    text, sha = _text(path)
    found = [(n, line.removesuffix("\r")) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    return Table(path.name, ("text",), [{"text": line} for _, line in found], [n for n, _ in found], "line", sha)


def _conll(path: Path) -> Table:
    """Sentences of a word a line, parted by empty lines: columns `words`, the first, and `tags`, the last one."""
    text, sha = _text(path)
    rows: Rows = []
    places: list[int] = []
    open_, width = False, 0
    for number, line in enumerate(text.split("\n"), 1):
        cells = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or line.startswith(("-DOCSTART-", "# ")):
            open_ = False
            continue
        if len(cells) < 2 or (width and len(cells) != width):
            wanted = width or "at least 2"
            raise InputError(
                f"{path.name}, line {number} has {len(cells)} columns, and should have {wanted}: {line!r}."
            )
        width = len(cells)
        if not open_:
            rows.append({"words": [], "tags": []})
            places.append(number)
        open_ = True
        rows[-1]["words"].append(cells[0])
        rows[-1]["tags"].append(cells[-1].strip())
    return Table(path.name, ("words", "tags"), rows, places, "line", sha)


# ---- tables of other libraries


def _parquet(path: Path) -> Table:
    library("pyarrow", f"Reading {path.name}", '"formers[train]"')
    import pyarrow
    from pyarrow import parquet

    try:
        found = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path.name} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    return Table(
        path.name, tuple(found.column_names), found.to_pylist(), range(1, len(found) + 1), "row", _sha256([path])
    )


def _arrow(path: Path) -> Table:
    datasets = library("datasets", f"Reading {path.name}", '"formers[train]"')
    return _of_dataset(path, datasets.Dataset.from_file(str(path)), [path])


def _saved(path: Path) -> Table:
    """What `save_to_disk` of the library datasets wrote."""
    datasets: Any = library("datasets", f"Reading the folder {path.name}", '"formers[train]"')
    if (path / "dataset_dict.json").is_file():
        splits = ", ".join(repr(str(p)) for p in sorted(path.iterdir()) if p.is_dir())
        raise InputError(f"{str(path)!r} holds several data sets: give one of {splits}.")
    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no folder that save_to_disk wrote: {error}.") from error
    return _of_dataset(path, found, sorted(path.glob("*.arrow")))


def _of_dataset(path: Path, found: Any, files: Sequence[Path]) -> Table:
    """The rows of a data set, its numbered labels by their names."""
    rows: Rows = list(found)
    for name, feature in found.features.items():
        one = getattr(feature, "feature", feature)
        if hasattr(one, "int2str"):
            for row in rows:
                value = row[name]
                row[name] = [one.int2str(i) for i in value] if isinstance(value, list) else one.int2str(value)
    return Table(path.name, tuple(found.column_names), rows, range(1, len(rows) + 1), "row", _sha256(files))
