"""The recipe of TAPAS' tokenizer: a question and the cells of a table to ids, and to what each token is of the table.

Source: Herzig et al. 2020 (arXiv 2004.02349), section 3.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, InputError
from ..logging import logger
from . import arguments
from .encoding import BatchEncoding
from .tables import Table, Values, column_values, normalized, ranks, relations, values_in
from .types import Choice, PaddingStrategy, TensorType
from .wordpiece import WordPieceTokenizer

Coordinate = tuple[int, int]  # row and column, from 0 on
Cell = list[tuple[int, int]]  # the id of each token, and at which of the cell's tokens its word starts
_LIMIT = 512
_KINDS = 7  # segment, column, row, previous answer, rank, rank from the end, relation
_EMPTY = ("n/a", "?", "nan")
_COLUMNS = ("attention_mask", "token_type_ids", "special_tokens_mask")
_KNOWN = [*(f"return_{name}" for name in _COLUMNS), "return_length", "verbose"]
_OPTIONS = {
    "cell_trim_length": -1, "max_column_id": None, "max_row_id": None, "strip_column_names": False,
    "update_answer_coordinates": False, "min_question_length": None, "max_question_length": None,
}  # fmt: skip


class TapasTruncationStrategy(Choice):
    """What is left out of a table that is too long: its last rows, or nothing."""

    DROP_ROWS_TO_FIT = "drop_rows_to_fit"
    DO_NOT_TRUNCATE = "do_not_truncate"


@dataclass
class _Read:
    """A table: the tokens of each row of cells, the header first; and what has a value in each column."""

    table: Table
    cells: list[list[Cell]]
    values: list[Values]

    def __post_init__(self) -> None:
        self.longest = max((len(cell) for row in self.cells for cell in row), default=0)


class TableTokenizer(WordPieceTokenizer):
    """WordPiece for a question and a table: [CLS] question [SEP] header cells, row by row.

    empty_token: stands for a text without words, as "?" or "n/a". cell_trim_length: the most tokens of a cell, -1 for
    as many as fit. max_column_id, max_row_id: tables have fewer columns and rows; None for model_max_length.
    strip_column_names: leaves them out. min_question_length, max_question_length: in tokens; other questions are
    skipped. update_answer_coordinates: accepted when False.
    """

    model_input_names = ["input_ids", "attention_mask", "token_type_ids"]
    _options = (*WordPieceTokenizer._options, "empty_token", *_OPTIONS)

    def __init__(self, vocab_file: Any = None, *args: Any, empty_token: str = "[EMPTY]", **kwargs: Any) -> None:
        for name, default in _OPTIONS.items():
            setattr(self, name, kwargs.setdefault(name, default))
        if self.update_answer_coordinates:
            raise ArgumentError("update_answer_coordinates=True is not available: give the cells that answer.")
        limit, self.empty_token = kwargs.pop("model_max_length", None), str(empty_token)
        more = [*(kwargs.pop("additional_special_tokens", None) or ())]
        if not isinstance(named := kwargs.pop("extra_special_tokens", None), Mapping):  # its name in Transformers 5
            more += [token for token in named or () if str(token) not in map(str, more)]
        if self.empty_token not in map(str, more):
            more.append(self.empty_token)
        kwargs.update(empty_token=self.empty_token, additional_special_tokens=more)
        super().__init__(vocab_file, *args, model_max_length=_LIMIT if limit is None else limit, **kwargs)

    @classmethod
    def longest_input(cls, config: dict[str, Any]) -> int | None:
        """512, as for the models that were published, where positions start anew in each cell."""
        if config.get("reset_position_index_per_cell", True):
            return _LIMIT
        return min(_LIMIT, super().longest_input(config) or _LIMIT)

    def __call__(  # type: ignore[override]
        self,
        table: Any,
        queries: str | list[str] | None = None,
        answer_coordinates: list[Any] | None = None,
        answer_text: list[Any] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str | PaddingStrategy = False,
        truncation: bool | str | TapasTruncationStrategy = False,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | TensorType | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Tokenize one question about a table, or several about the same, with the table.

        table: {column: its cells}, a list of rows as dictionaries, or a DataFrame. queries: a question, or a list.
        answer_coordinates: the (row, column) of each cell that answers, from 0 on; of several questions a list each,
            which is also what was answered before the question that follows. answer_text: accepted beside them.
        truncation: "drop_rows_to_fit" or True leaves out the ends of cells, then the last rows.
        padding, max_length, …: as in the calls of other tokenizers.

        Returns input_ids and attention_mask (T), token_type_ids (T, 7); with answers labels, numeric_values and
        numeric_values_scale (T). With a list of questions or return_tensors, all of them (B, T) and (B, T, 7).
        Errors: InputError for a table or question that cannot be read or does not fit.
        """
        if queries is None and (isinstance(table, str) or _is_texts(table)):
            table, queries = Table([], []), table  # a question without a table
        if queries is None:
            logger.warning("No question was given, which models of tables are made to answer.")
        one = queries is None or isinstance(queries, str)
        asked: Any = [queries or ""] if one else queries
        if not _is_texts(asked):
            raise InputError(f"queries is {queries!r:.60}; give a question or a list of questions.")
        answers = self._answers(answer_coordinates, answer_text, one, len(asked))
        arguments.refuse("tokenizer", {k: v for k, v in kwargs.items() if k not in _KNOWN}, _KNOWN)
        wanted = {name: self._wants(name, kwargs.get(f"return_{name}")) for name in _COLUMNS}
        read = self._read(Table.read(table))
        rows = []
        for number, question in enumerate(asked):
            before = answers[number - 1] if number else None
            made = self._row(read, question, answers[number], before, add_special_tokens, truncation, max_length)
            rows.append({name: value for name, value in made.items() if wanted.get(name, True)})
        if max_length is None and kwargs.get("verbose", True):
            self._warn_if_too_long(max((len(row["input_ids"]) for row in rows), default=0))
        if one and isinstance(padding, bool):  # as the reference does with a single one
            padding = "max_length" if padding and (max_length or pad_to_multiple_of) else "do_not_pad"
        given = {"max_length": max_length, "pad_to_multiple_of": pad_to_multiple_of, "padding_side": padding_side}
        settings = arguments.settings(self, {**given, "padding": padding, "truncation": False, "verbose": False})
        rows = self._pad_rows(rows, settings, wanted["attention_mask"])
        if kwargs.get("return_length"):
            rows = [{**row, "length": len(row["input_ids"])} for row in rows]
        if one:
            return BatchEncoding(rows[0], tensor_type=return_tensors, prepend_batch_axis=True)
        return BatchEncoding({name: [row[name] for row in rows] for name in rows[0]}, tensor_type=return_tensors)

    def encode(self, table: Any, query: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """The ids of a question and its table."""
        return self(table, query, **kwargs)["input_ids"]

    def encode_plus(self, table: Any, query: Any = None, **kwargs: Any) -> BatchEncoding:  # type: ignore[override]
        """The call's older name, for one question."""
        return self(table, query, **kwargs)

    def batch_encode_plus(self, table: Any, queries: Any = None, **kwargs: Any) -> BatchEncoding:  # type: ignore[override]
        """The call's older name, for several questions."""
        return self(table, list(queries or ()), **kwargs)

    def tokenize(self, text: str, pair: str | None = None, *args: Any, **kwargs: Any) -> list[str]:
        return [self.empty_token] if pair is None and _is_empty(text) else super().tokenize(text, pair, *args, **kwargs)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """[CLS] question [SEP] table; there is nothing after the table."""
        return [*self._specials()[0], *token_ids_0, *self._specials()[1], *(token_ids_1 or ())]

    def prepare_for_model(self, *_: Any, **__: Any) -> Any:
        raise ArgumentError(f"Ids alone do not say where they are in a table: call the {type(self).__name__} with it.")

    create_token_type_ids_from_sequences = prepare_for_model

    def _specials(self) -> tuple[list[int], list[int]]:
        return [self.cls_token_id or 0], [self.sep_token_id or 0]

    def _pieces(self, texts: list[str]) -> list[Cell]:
        """The tokens of each text."""
        if not texts:
            return []
        encoded = super()._encode(texts, None, {"add_special_tokens": False, "verbose": False})
        empty: Cell = [(self._id(self.empty_token) or 0, 0)]
        return [
            empty if _is_empty(text) else list(zip(row.ids, _starts(row.tokens), strict=True))
            for text, row in zip(texts, encoded.encodings or (), strict=True)
        ]

    def _read(self, table: Table) -> _Read:
        header = [""] * len(table.columns) if self.strip_column_names else table.columns
        rows = [header, *table.rows]
        pieces = iter(self._pieces([text for row in rows for text in row]))
        columns = zip(*table.rows, strict=True) if table.rows else ()
        return _Read(table, [[next(pieces) for _ in row] for row in rows], [column_values(cells) for cells in columns])

    def _row(
        self,
        read: _Read,
        question: str,
        answer: set[Coordinate] | None,
        before: set[Coordinate] | None,
        specials: bool,
        truncation: Any,
        max_length: int | None,
    ) -> dict[str, Any]:
        """The columns of one question with its table, without padding."""
        asked = [number for number, _ in self._pieces([question])[0]]
        shortest, longest = self.min_question_length, self.max_question_length
        if (longest is not None and len(asked) > longest) or (shortest is not None and len(asked) < shortest):
            logger.warning("The question %r is skipped: it has %d tokens.", question[:40], len(asked))
            question, asked = "", []
        first, second = self._specials() if specials else ([], [])
        start = [*first, *asked, *second]
        limit = self.model_max_length if max_length is None else max_length
        rows, width = self._fit(read, limit - len(asked) - 2, truncation)
        tokens = [
            (number, row, column)
            for row, cells in enumerate(read.cells[: rows + 1])
            for column, cell in enumerate(cells, start=1)
            for number, word in cell
            if word < width
        ]
        ids = [*start, *(number for number, *_ in tokens)]
        if max_length is not None and len(ids) > max_length:
            raise InputError(
                f"The question {question[:40]!r} and the table have {len(ids)} tokens, with {rows} of "
                f"{len(read.table.rows)} rows, and max_length={max_length}. Shorten them, or give "
                "truncation='drop_rows_to_fit'."
            )
        places = [(row - 1, column - 1) for _, row, column in tokens]
        found: dict[str, Any] = {"input_ids": ids, "attention_mask": [1] * len(ids)}
        if answer is not None:
            found |= _labels(read, places, answer, len(start))
        types = _types(read, places, values_in(normalized(question)), _chosen(places, before or set(), "before"))
        found["token_type_ids"] = [[0] * _KINDS for _ in start] + types
        special = [*[1] * len(first), *[0] * len(asked), *[1] * len(second), *[0] * len(tokens)]
        return {**found, "special_tokens_mask": special}

    def _fit(self, read: _Read, room: int, truncation: Any) -> tuple[int, int]:
        """How many rows of a table are kept, and of each cell how many tokens, a word begun counting whole."""
        if isinstance(truncation, bool) or truncation is None:
            truncation = "drop_rows_to_fit" if truncation else "do_not_truncate"
        cut = TapasTruncationStrategy(truncation) is TapasTruncationStrategy.DROP_ROWS_TO_FIT
        rows, columns, limit = len(read.table.rows), len(read.table.columns), self.model_max_length
        most_rows, most_columns = (limit if most is None else most for most in (self.max_row_id, self.max_column_id))
        if columns >= most_columns or (rows >= most_rows and not cut):
            raise InputError(
                f"The table has {rows} rows and {columns} columns, and fewer than {most_rows} and {most_columns} are "
                "read: leave some out, or give truncation='drop_rows_to_fit' for rows."
            )
        if not cut:
            return rows, read.longest
        rows, trim = min(rows, most_rows - 1), self.cell_trim_length
        longest = min(read.longest, trim) if trim >= 0 else read.longest
        starts = [Counter(word for cell in cells for _, word in cell) for cells in read.cells]
        count = sum(starts[: rows + 1], Counter())
        for kept in range(rows, 0, -1) or (0,):
            width = total = 0
            for width in range(longest + 1):
                total += count[width]
                if total > room:
                    break
            if width == longest or (trim < 0 and width):
                return kept, width or 1
            count.subtract(starts[kept])
        return 0, 1

    def _answers(self, coordinates: Any, text: Any, one: bool, count: int) -> list[set[Coordinate] | None]:
        """The cells that answer each of `count` questions; None where that is not said."""
        if text and not coordinates:
            raise InputError("answer_text alone does not say which cells answer: give answer_coordinates.")
        given = [coordinates] if one else coordinates
        if coordinates is None or (not coordinates and not one):
            return [None] * count
        if len(given) != count:
            raise InputError(f"There are {count} questions and answer_coordinates of {len(given)}: as many are needed.")
        return [None if cells is None else {(int(row), int(column)) for row, column in cells} for cells in given]

    def _filling(self) -> dict[str, Any]:
        fill = {"input_ids": self.pad_token_id or 0, "token_type_ids": [self.pad_token_type_id] * _KINDS}
        return fill | {"labels": 0, "numeric_values": float("nan"), "numeric_values_scale": 1.0}

    def convert_logits_to_predictions(
        self, data: Any, logits: Any, logits_agg: Any = None, cell_classification_threshold: float = 0.5
    ) -> tuple[Any, ...]:
        """The cells whose tokens have a mean probability over the threshold, and which aggregation is likeliest.

        data: what the call gave, as tensors or arrays. logits: (B, T). logits_agg: (B, A).
        Returns a list with the (row, column) of the cells of each question; and with logits_agg a list of B numbers.
        """
        types, mask = np.asarray(data["token_type_ids"]), np.asarray(data["attention_mask"])
        chances = 1 / (1 + np.exp(-np.asarray(logits).clip(-88.7))) * mask
        found = [chosen_cells(*row, cell_classification_threshold) for row in zip(chances, types, strict=True)]
        return (found,) if logits_agg is None else (found, np.asarray(logits_agg).argmax(-1).tolist())


def chosen_cells(chances: Any, types: Any, threshold: float) -> list[Coordinate]:
    """The (row, column), from 0 on, of cells whose tokens have a mean of `chances` (T) over it; types are (T, 7)."""
    segment, column, row = types[:, 0], types[:, 1], types[:, 2]
    inside = (segment == 1) & (column > 0) & (row > 0)
    wide = int(column.max(initial=0)) + 1
    cell = (row * wide + column)[inside]
    total, count = np.bincount(cell, chances[inside]), np.bincount(cell)
    return [(int(n) // wide - 1, int(n) % wide - 1) for n in np.flatnonzero(total > threshold * count)]


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(text, str) for text in value)


def _is_empty(text: str) -> bool:
    """Whether the empty token stands for a text: one without words, but for one without anything."""
    return bool(text) and (text.lower().strip() in _EMPTY or not re.search(r"[^\W_]", text))


def _starts(tokens: list[str]) -> Iterable[int]:
    """For each token, which of the text's tokens begins its word."""
    start = 0
    for place, token in enumerate(tokens):
        start = start if token.startswith("##") else place
        yield start


def _chosen(places: list[Coordinate], cells: set[Coordinate], which: str) -> list[int]:
    """1 for the tokens of the cells, 0 for others. Raises InputError for cells that are not there."""
    if missing := cells - set(places):
        raise InputError(
            f"The answer{' before' if which == 'before' else ''} is in cell {min(missing)} (row, column), which is not "
            "among those read: the table has fewer, or they were left out to fit."
        )
    return [int(place in cells) for place in places]


def _types(read: _Read, places: list[Coordinate], asked: list[Any], before: list[int]) -> list[list[int]]:
    """The types of the table's tokens, each in the (row, column) of `places`."""
    ranked, related = [ranks(own) for own in read.values], [relations(asked, own) for own in read.values]
    found = []
    for (row, column), previous in zip(places, before, strict=True):
        in_column = ranked[column].get(row, (0, 0)) if ranked else (0, 0)
        found.append([1, column + 1, row + 1, previous, *in_column, related[column].get(row, 0) if related else 0])
    return found


def _labels(read: _Read, places: list[Coordinate], answer: set[Coordinate], start: int) -> dict[str, Any]:
    """What models learn from: which tokens answer, the numbers of their cells, and how many tokens these have."""
    count = Counter(places)
    values = [read.values[column].get(row) if row >= 0 else None for row, column in places]
    numbers = [value if isinstance(value, float) else float("nan") for value in values]
    scale = [float(count[place]) if place[0] >= 0 else 1.0 for place in places]
    return {
        "labels": [0] * start + _chosen(places, answer, "now"),
        "numeric_values": [float("nan")] * start + numbers,
        "numeric_values_scale": [1.0] * start + scale,
    }
