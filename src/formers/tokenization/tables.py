"""Tables for tokenizers: read from the forms that programs have them in, and what is a number or a date in them.

Numbers are floats; dates are (year, month, day), with None for what is not said.
Source: Herzig et al. 2020 (arXiv 2004.02349), appendix A; google-research/tapas, `number_annotation_utils`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from numbers import Number
from typing import Any

from ..errors import InputError

Date = tuple[int | None, int | None, int | None]
Value = float | Date
Values = dict[int, Value]  # by the number of their row

_FORMS = "a dictionary {column: its cells}, a list of rows as dictionaries, or a DataFrame"


@dataclass(frozen=True)
class Table:
    """columns: their names; rows: the text of each cell."""

    columns: list[str]
    rows: list[list[str]]

    @classmethod
    def read(cls, given: Any, name: str = "table") -> Table:
        """From a dictionary {column: its cells}, a list of rows as dictionaries, or a DataFrame. Numbers are written
        as text. Raises InputError for anything else, and for cells that are missing or no text."""
        if isinstance(given, Table):
            return given
        if hasattr(given, "columns") and hasattr(given, "itertuples"):
            columns, rows = list(given.columns), [list(row) for row in given.itertuples(index=False, name=None)]
        elif isinstance(given, Mapping):
            columns, rows = list(given), _turned(given, name)
        elif isinstance(given, list | tuple) and all(isinstance(row, Mapping) for row in given):
            columns = list(dict.fromkeys(key for row in given for key in row))
            rows = [[_entry(row, column, f"{name}[{n}]") for column in columns] for n, row in enumerate(given)]
        else:
            raise InputError(f"{name} is {given!r:.60} ({type(given).__name__}); a table is {_FORMS}.")
        texts = [[_text(cell, f"{name}, row {n}, column {c!r}") for c, cell in zip(columns, row, strict=True)]
                 for n, row in enumerate(rows)]  # fmt: skip
        return cls([_text(column, f"{name}: a column's name") for column in columns], texts)


def _turned(given: Mapping[Any, Any], name: str) -> list[list[Any]]:
    """The rows of a dictionary of columns."""
    for column, cells in given.items():
        if isinstance(cells, str) or not hasattr(cells, "__iter__"):
            raise InputError(f"{name}: column {column!r} is {cells!r:.60}; a list of its cells is needed.")
    found = {column: list(cells) for column, cells in given.items()}
    first = next(iter(found), None)
    for column, cells in found.items():
        if len(cells) != len(found[first]):
            raise InputError(
                f"{name}: column {first!r} has {len(found[first])} cells and column {column!r} {len(cells)}; "
                "all columns need as many."
            )
    return [list(row) for row in zip(*found.values(), strict=True)]


def _entry(row: Mapping[Any, Any], column: Any, name: str) -> Any:
    if column not in row:
        raise InputError(f"{name} has no {column!r}, which other rows have; an empty cell is 'n/a'.")
    return row[column]


def _text(cell: Any, name: str) -> str:
    if not isinstance(cell, str | Number):
        raise InputError(
            f"{name} is {cell!r:.60} ({type(cell).__name__}); cells are texts or numbers. An empty cell is 'n/a', "
            "and dataframe.astype(str) makes texts of the cells of a DataFrame."
        )
    return str(cell)


_NUMBER = re.compile(r"(?:(?<!\S)[+-])?(?:\.\d+|\d+(?:,\d{3})*(?:\.\d*)?)")
_WORD = re.compile(r"[^\W_]+")
_CARDINALS = "zero one two three four five six seven eight nine ten eleven twelve"
_ORDINALS = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_IN_WORDS = {word: float(n) for words in (_CARDINALS, _ORDINALS) for n, word in enumerate(words.split())}
_SUFFIXES = ("st", "nd", "rd", "th")

_MONTHS = "janfebmaraprmayjunjulaugsepoctnovdec"
_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:tember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAY = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_DAY = r"(?P<day>3[01]|[12]\d|0?[1-9])"
_NUMBERED = r"(?P<month>1[0-2]|0?[1-9])"
_YEAR = r"(?P<year>\d{4})"
_YEARS = range(1700, 2017)
_DATES = (
    re.compile(rf"{_YEAR}s?"),
    re.compile(rf"{_MONTH}(?: {_YEAR})?"),
    re.compile(rf"(?:{_WEEKDAY}, )?{_MONTH} {_DAY}"),
    re.compile(rf"{_DAY} {_MONTH}(?: {_YEAR})?"),
    re.compile(rf"{_MONTH} {_DAY}, {_YEAR}"),
    re.compile(rf"{_NUMBERED}-{_DAY}-{_YEAR}"),
    re.compile(rf"{_YEAR}-{_NUMBERED}(?:-{_DAY})?"),
    re.compile(rf"{_DAY}\.{_NUMBERED}\.{_YEAR}"),
)
_DATE_WORDS = 5  # of the longest form


def normalized(text: str) -> str:
    """The text in lower case, with single spaces."""
    return " ".join(text.lower().split())


def values_in(text: str) -> list[Value]:
    """The numbers and dates of a normalized text, from left to right; of those within others the longest.

    "2012" is a number and a year.
    """
    found: dict[tuple[int, int], list[Value]] = {}
    words = [match.span() for match in _WORD.finditer(text)]
    for match in _NUMBER.finditer(text):
        if (number := _number(match[0])) is not None:
            found[match.span()] = [number]
    for start, end in words:
        word = text[start:end]
        number = _IN_WORDS.get(word) if (number := _number(word)) is None else number
        if number is not None:
            found.setdefault((start, end), [number])
    for last, (_, end) in enumerate(words):
        for start, _ in words[max(0, last + 1 - _DATE_WORDS) : last + 1]:
            if (day := _date(text[start:end])) is not None:
                found.setdefault((start, end), []).append(day)
    kept, furthest = [], 0
    for span in sorted(found, key=lambda span: (span[0], -span[1])):
        if span[1] > furthest:  # or else it is within one that starts before it
            furthest = span[1]
            kept.append(span)
    return [value for span in kept for value in found[span]]


def _number(text: str) -> float | None:
    end = next((suffix for suffix in _SUFFIXES if text.endswith(suffix)), "")
    try:
        number = float(text.removesuffix(end).replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(text: str) -> Date | None:
    match = next((match for form in _DATES if (match := form.fullmatch(text))), None)
    if match is None:
        return None
    parts = match.groupdict()
    name = parts.get("name")
    if text == name and len(name) == 3 and name != "may":  # a short name alone is none
        return None
    month = parts.get("month") if name is None else 1 + _MONTHS.index(name[:3]) // 3
    year, month, day = (None if part is None else int(part) for part in (parts.get("year"), month, parts.get("day")))
    if year is not None and year not in _YEARS:
        return None
    try:
        date(year or 1900, month or 1, day or 1)
    except ValueError:
        return None
    return year, month, day


_COMMON = 0.7  # of the cells of a column that has values at all


def column_values(cells: Sequence[str]) -> Values:
    """The value of each cell that has one, {row: value}: all numbers or all dates, whichever more cells are; none
    where that is less than 7 cells of 10."""
    found = [values_in(normalized(cell)) for cell in cells]
    counts = Counter(kind for values in found for kind in {type(value) for value in values})
    most = max(counts.values(), default=0)
    if not counts or most < len(cells) * _COMMON:
        return {}
    kind = tuple if counts[tuple] == most else float
    first = (next((value for value in values if isinstance(value, kind)), None) for values in found)
    return {row: value for row, value in enumerate(first) if value is not None}


def comparable(values: Iterable[Value]) -> Callable[[Value], Any] | None:
    """What makes keys of values that can be compared: dates by what all of them say. None where nothing does."""
    values = list(values)
    dates = [value for value in values if isinstance(value, tuple)]
    if not dates:
        return (lambda value: value) if values else None
    said = [part for part in range(3) if all(day[part] is not None for day in dates)]
    if len(dates) < len(values) or not said:
        return None
    return lambda value: tuple(value[part] for part in said)  # type: ignore[index]


def ranks(values: Values) -> dict[int, tuple[int, int]]:
    """{row: (rank from the least, rank from the greatest)}, from 1 on; equal values have one rank."""
    key = comparable(values.values())
    if key is None:
        return {}
    keys = sorted({key(value) for value in values.values()})
    place = {one: number for number, one in enumerate(keys)}
    return {row: (place[key(value)] + 1, len(keys) - place[key(value)]) for row, value in values.items()}


def relations(asked: Iterable[Value], values: Values) -> dict[int, int]:
    """{row: how what is asked for compares with the row's value}, the sum of 1 equal, 2 less, and 4 greater."""
    found: dict[int, int] = {}
    for value in asked:
        key = comparable([*values.values(), value]) if values else None
        for row, cell in values.items() if key is not None else ():
            own, other = key(value), key(cell)  # type: ignore[misc]
            found[row] = found.get(row, 0) | (1 if own == other else 2 if own < other else 4)
    return found
