"""table-question-answering: the cells of a table that answer a question about it, and what to do with them.

Source: Herzig et al. 2020 (arXiv 2004.02349).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError
from ..modeling import PreTrainedModel
from ..outputs import TableQuestionAnsweringOutput
from ..tokenization.tables import Table
from .base import Task
from .batches import length_of
from .failures import place
from .parts import PartsPipeline
from .text import no_head, read_side

_FORMS = 'give {"table": …, "query": …}, a list of these, or table=… and query=…'
_KINDS = (
    *("segments", "columns", "rows", "previous answers"),
    *("numbers in a column", "numbers in a column", "relations"),
)


class TableQuestionAnsweringPipeline(PartsPipeline):
    """Answers from tables, from models that select cells; see Pipeline for the general arguments.

    An input is {"table": …, "query": str or a list of str}. With the argument `table` it is a query alone, or a list.
    A table is {column: its cells}, a list of rows as dictionaries, or a DataFrame.

    Args:
        table: that of all queries.
        sequential: whether each query of a list is read with the answer to the one before it, as in a conversation.
        truncation: "drop_rows_to_fit" (True), the default, leaves out the ends of long cells, then the last rows, of a
            table that is too long; False makes it an error.
        max_length: tokens of a query with its table, by default those of the tokenizer's model_max_length.
        padding: accepted and not used: padding is not computed.
    """

    NEEDS = ("cell", "Table question answering", "AutoModelForTableQuestionAnswering")

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        if isinstance(model, PreTrainedModel) and getattr(model, "OUTPUT", None) is not TableQuestionAnsweringOutput:
            raise no_head(model, *self.NEEDS)
        super().__init__(model, tokenizer, **kwargs)
        if not hasattr(self.tokenizer, "convert_logits_to_predictions"):
            raise ArgumentError(f"Tables need a tokenizer that reads them, as TapasTokenizer; got {self.tokenizer!r}.")

    def _sanitize_parameters(
        self,
        table: Any = None,
        sequential: bool | None = None,
        padding: Any = None,
        truncation: Any = None,
        max_length: int | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        self.reject(set(unknown))
        before: dict[str, Any] = {"table": None if table is None else Table.read(table)}
        before |= {"truncation": truncation, "max_length": max_length}
        inside = {} if sequential is None else {"sequential": bool(sequential)}
        return {name: value for name, value in before.items() if value is not None}, inside, {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer queries about tables.

        Args:
            args: {"table": …, "query": …}, a list, or a generator or dataset of these; or a table and a query.
            table, query: the same; query may be a list of str. A table alone, for queries as `args`.

        Returns:
            For each query {"answer", "coordinates", "cells", "aggregator"}, a list for several; coordinates are the
            (row, column) of the cells, from 0 on; the aggregator is there where the model has any, and stands before
            " > " in the answer unless it is none.
        """
        inputs = _inputs(args, kwargs)
        if isinstance(inputs, list) and len(inputs) == 1:
            inputs = inputs[0]
        return super().__call__(inputs, **kwargs)

    def check_input(self, item: Any, name: str, table: Table | None = None, **parameters: Any) -> None:
        """Raise InputError unless the item has a table with cells, and queries."""
        _asked(item, name, table)

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """Each query of each input, with its table."""
        given = {"truncation": "drop_rows_to_fit", **parameters}
        shared = given.pop("table", None)
        found: list[Mapping[str, Any]] = []
        for index, item in enumerate(inputs):
            name = place(first, index)
            table, queries = _asked(item, name, shared)
            parts = self._model_inputs(self.tokenizer(table, queries, verbose=False, **given))
            if (limit := self.max_tokens) is not None and (longest := max(map(length_of, parts))) > limit:
                raise InputError(
                    f"{name} has {longest} tokens with its table, and this {type(self.model).__name__} reads at most "
                    f"{limit}. Shorten them, or give max_length={limit}, which leaves out the last rows."
                )
            self._tells_apart(parts, name)
            found.append(self._item(parts, table=table))
        return found

    def _tells_apart(self, parts: list[dict[str, Tensor]], name: str) -> None:
        """Raise InputError for more rows, columns or ranks of numbers than the model has embeddings for."""
        sizes = getattr(self.model.config, "type_vocab_sizes", ())
        most = torch.cat([part["token_type_ids"][0] for part in parts]).amax(0).tolist()
        for kind, found, size in zip(_KINDS, most, sizes, strict=False):
            if found >= size:
                raise InputError(
                    f"{name}: its table has {found} {kind}, and this {type(self.model).__name__} tells at most "
                    f"{size - 1} apart. Give a part of the table."
                )

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        options = dict(parameters)
        if not options.pop("sequential", False):
            yield from super()._batch_outputs(items, options)
            return
        for item in items:
            logits: list[Tensor] = []
            for before, part in zip([None, *item["parts"]], item["parts"], strict=False):
                now = part if before is None else _with_answer(part, self._chosen(before, logits[-1]))
                logits.append(self._logits(self.forward(now, **options))[0])
            yield {**item, "logits": logits}

    def _logits(self, outputs: Any) -> Tensor:
        """(B, A + T): those of aggregations, then of tokens."""
        logits, aggregation = super()._logits(outputs), outputs.get("logits_aggregation")
        return logits if aggregation is None else torch.cat([aggregation, logits], dim=1)

    def _chosen(self, part: Mapping[str, Tensor], logits: Tensor) -> list[tuple[int, int]]:
        """The cells of one query's answer, from its logits (A + T)."""
        own = logits[None, self._aggregations() :][:, : length_of(part)]
        cells: list[tuple[int, int]] = self.tokenizer.convert_logits_to_predictions(part, own)[0][0]
        return cells

    def _aggregations(self) -> int:
        return int(getattr(self.model.config, "num_aggregation_labels", 0) or 0)

    def postprocess(self, model_outputs: Any) -> dict[str, Any] | list[dict[str, Any]]:
        """The answers to the queries about one table."""
        config, table = self.model.config, model_outputs["table"]
        labels, answers = getattr(config, "aggregation_labels", None) or {}, []
        for part, logits in zip(model_outputs["parts"], model_outputs["logits"], strict=True):
            chosen = self._chosen(part, logits)
            cells = [table.rows[row][column] for row, column in chosen]
            answer = {"answer": ", ".join(cells), "coordinates": chosen, "cells": cells}
            if labels and self._aggregations():
                number = int(logits[: self._aggregations()].argmax())
                answer["aggregator"] = labels.get(number, str(number))
                if number != config.no_aggregation_label_index:
                    answer["answer"] = f"{answer['aggregator']} > {answer['answer']}"
            answers.append(answer)
        return answers if len(answers) > 1 else answers[0]


def _with_answer(part: Mapping[str, Tensor], cells: list[tuple[int, int]]) -> dict[str, Tensor]:
    """A query's inputs, where the tokens of `cells` say that they answered the query before."""
    types = part["token_type_ids"].clone()  # (1, T, 7)
    for row, column in cells:
        types[..., 3] |= (types[..., 0] == 1) & (types[..., 1] == column + 1) & (types[..., 2] == row + 1)
    return {**part, "token_type_ids": types}


def _inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What was asked, taken out of `kwargs`, where a table for all queries stays."""
    query = kwargs.pop("query", None)
    if len(args) > 2 or (len(args) == 2 and query is not None):
        raise ArgumentError(f"There are more than a table and its query: {_FORMS}.")
    if len(args) == 2:
        query = args[1]
    if query is not None:
        table = args[0] if args else kwargs.pop("table", None)
        return {"table": table, "query": query}
    found = args[0] if args else kwargs.pop("table", None)
    if found is None or hasattr(found, "itertuples"):
        raise ArgumentError(f"Nothing was asked{'' if found is None else ' of the table'}: {_FORMS}.")
    return found


def _asked(item: Any, name: str, shared: Table | None) -> tuple[Table, list[str]]:
    """The table and the queries of an input."""
    if isinstance(item, Mapping) and item.keys() == {"table", "query"}:
        table, query = Table.read(item["table"], f"{name}: its table"), item["query"]
    elif shared is not None and isinstance(item, str | list | tuple):
        table, query = shared, item
    else:
        raise InputError(f"{name} is {item!r:.60} ({type(item).__name__}); {_FORMS}.")
    if not table.rows or not table.columns:
        raise InputError(f"{name}: its table is empty; there is nothing to answer from.")
    queries = list(query) if isinstance(query, list | tuple) else [query]
    if not queries:
        raise InputError(f"{name}: its query is an empty list; at least one is needed.")
    return table, [read_side(one, f"{name}: its query") for one in queries]


TASK = Task(
    name="table-question-answering",
    pipeline=TableQuestionAnsweringPipeline,
    auto="AutoModelForTableQuestionAnswering",
    architectures=("TapasForQuestionAnswering",),
    default=("google/tapas-base-finetuned-wtq", "e3dde19"),
)
