"""Tasks whose answers are within a text: tags of words, and answers to questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..ops.losses import IGNORED
from . import metrics
from .collators import DataCollatorForTokenClassification
from .tables import Table
from .tasks import (
    ERRORS,
    Columns,
    Example,
    Report,
    TableTask,
    check_known,
    in_models_order,
    named,
    rows_of,
    sorted_labels,
)


class TokenClassification(TableTask):
    """A tag for each word of a sentence. Rows have words and tags, as lists, or as texts with spaces between."""

    AUTO = "AutoModelForTokenClassification"
    WATCHED, HIGHER = "f1", True
    USES = ("text", "label")

    def __init__(self, name: str, columns: Columns) -> None:
        super().__init__(name, columns)
        self.text, self.label = columns.text or "words", columns.label or "tags"

    def examples(self, table: Table) -> list[Example]:
        words, tags = (self._listed(table, name) for name in (self.text, self.label))
        for row, (own, theirs) in enumerate(zip(words, tags, strict=True)):
            if len(own) != len(theirs):
                raise InputError(
                    f"{table.place(row)}: column {self.text!r} has {len(own)} words, and column {self.label!r} "
                    f"{len(theirs)} tags; there should be one for each."
                )
        return [{"words": w, "text": " ".join(w), "label": t} for w, t in zip(words, tags, strict=True)]

    def _listed(self, table: Table, name: str) -> list[list[str]]:
        found = []
        for row, value in enumerate(table.column(name)):
            value = value.split() if isinstance(value, str) else value
            if not isinstance(value, list) or not all(isinstance(x, (str, int)) for x in value):
                raise InputError(f"{table.place(row)}: column {name!r} has {value!r}; it should be a list of texts.")
            found.append([str(x) for x in value])
        return found

    def truth(self, example: Example) -> Hashable:
        return tuple(example["label"])

    def stratum(self, example: Example) -> Hashable:
        return tuple(sorted({tag.split("-", 1)[-1] for tag in example["label"]}))

    def learn(self, examples: list[Example], table: Table, known: Sequence[str]) -> list[str]:
        counts = Counter(tag for example in examples for tag in example["label"])
        if len(counts) < 2:
            raise InputError(f"Column {self.label!r} of {table.name} has one tag alone: a tagger needs two or more.")
        self.labels = in_models_order(sorted_labels(set(counts)), known)
        return [f"tags: {', '.join(f'{tag} ({counts[tag]:,})' for tag in self.labels)}"]

    def check(self, examples: list[Example], table: Table) -> None:
        check_known([example["label"] for example in examples], self.labels, table, self.label)

    def options(self) -> dict[str, Any]:
        return named(self.labels)

    def features(self, examples: list[Example], held_out: bool) -> list[dict[str, Any]]:
        encoding = self._encoded([example["words"] for example in examples], is_split_into_words=True)
        ids = {tag: i for i, tag in enumerate(self.labels)}
        found = rows_of(encoding)
        for row, own, example in zip(found, encoding.encodings, examples, strict=True):
            words = own.word_ids  # a word's first token has its tag, the others none
            first = [w is not None and w != before for w, before in zip(words, [None, *words], strict=False)]
            row["labels"] = [
                ids[example["label"][w]] if begins else IGNORED for w, begins in zip(words, first, strict=True)
            ]
        if held_out:
            self.held = examples
        return found

    def collator(self) -> Any:
        return DataCollatorForTokenClassification(self.tokenizer)

    @staticmethod
    def reduce(logits: Any, labels: Any) -> Any:
        """The best tag of each token."""
        return TableTask.reduce(logits, labels).argmax(-1)

    def metrics(self, found: Any) -> dict[str, float]:
        return metrics.entity_scores(*self._tags(found.predictions, found.label_ids))

    def _tags(self, predicted: Any, labels: Any) -> tuple[list[list[str]], list[list[str]]]:
        """(predicted, right) tags of each sentence's words, as far as they were read."""
        real = labels != IGNORED
        sides = []
        for ids in (predicted, labels):
            sides.append([[self.labels[i] for i in row[own]] for row, own in zip(ids, real, strict=True)])
        return sides[0], sides[1]

    def report(self, predictions: Any, labels: Any) -> Report:
        real = labels != IGNORED
        matrix = metrics.confusion(predictions[real], labels[real], len(self.labels))
        errors = []
        for example, guess, truth in zip(self.held, *self._tags(predictions, labels), strict=True):
            if wrong := [i for i, (a, b) in enumerate(zip(guess, truth, strict=True)) if a != b]:
                shown = [", ".join(f"{example['words'][i]} {tags[i]}" for i in wrong) for tags in (truth, guess)]
                errors.append({"text": example["text"], "label": shown[0], "predicted": shown[1]})
        return Report(self.labels, matrix, errors[:ERRORS])


class QuestionAnswering(TableTask):
    """Answers that stand in a context, as in SQuAD: arXiv 1606.05250, and 1806.03822 with questions without one.

    The column of answers has {"text": […], "answer_start": […]}, a list of {"text", "answer_start"}, or the text of
    one, which begins where the column `answer_start` says; without it, where the context has it once.
    """

    AUTO = "AutoModelForQuestionAnswering"
    WATCHED, HIGHER = "f1", True
    USES = ("text", "text_pair", "label")
    LONGEST = 384  # tokens of a window, as the pipeline reads them
    LONGEST_ANSWER = 30  # tokens

    def __init__(self, name: str, columns: Columns) -> None:
        super().__init__(name, columns)
        self.question, self.context = columns.text or "question", columns.text_pair or "context"

    def examples(self, table: Table) -> list[Example]:
        known = [name for name in ("answers", "answer") if name in table.columns]
        column = self.columns.label or (known[0] if known else "answers")
        questions, contexts = table.texts(self.question), table.texts(self.context)
        values = table.column(column)
        starts = table.column("answer_start") if "answer_start" in table.columns else [None] * len(values)
        found = []
        for row, (question, context, value, start) in enumerate(zip(questions, contexts, values, starts, strict=True)):
            answers = self._answers(value, start, context, table.place(row), column)
            found.append({"text": question, "pair": context, "answers": answers})
        return found

    def _answers(self, value: Any, start: Any, context: str, where: str, column: str) -> list[tuple[str, int]]:
        try:
            if isinstance(value, dict):
                pairs = list(zip(value["text"], value["answer_start"], strict=True))
            elif isinstance(value, list):
                pairs = [(one["text"], one["answer_start"]) for one in value]
            else:
                pairs = [(value, start)] if value else []
            return [(text, self._start(text, begin, context, where)) for text, begin in pairs]
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{where}: column {column!r} has {str(value)[:80]!r}; it should have texts and where they begin, as "
                '{"text": ["Paris"], "answer_start": [17]}.'
            ) from error

    def _start(self, text: str, start: Any, context: str, where: str) -> int:
        if start is None:
            if context.count(text) != 1:
                raise InputError(
                    f"{where}: the context has the answer {text[:40]!r} {context.count(text)} times, so where it is "
                    "should stand in a column 'answer_start'."
                )
            return context.index(text)
        begin = int(start)
        if begin < 0 or context[begin : begin + len(text)] != text or not text:
            raise InputError(
                f"{where}: the answer {text[:40]!r} does not stand at character {begin} of the context; there is "
                f"{context[max(begin, 0) : max(begin, 0) + len(text)][:40]!r}."
            )
        return begin

    def is_empty(self, example: Example) -> bool:
        return not example["text"].strip() or not example["pair"].strip()

    def group(self, example: Example) -> Hashable:
        return example["pair"]  # questions about one text stay on one side

    def truth(self, example: Example) -> Hashable:
        return None

    def learn(self, examples: list[Example], table: Table, known: Sequence[str]) -> list[str]:
        without = sum(not example["answers"] for example in examples)
        if without == len(examples):
            raise InputError(f"{table.name} has no question with an answer.")
        self.may_lack = without > 0
        return [f"{without:,} questions have no answer"] * bool(without)

    def features(self, examples: list[Example], held_out: bool) -> list[dict[str, Any]]:
        limit = self.limit
        assert limit is not None  # LONGEST, if no other
        encoding = self.tokenizer(
            [example["text"].strip() for example in examples], [example["pair"] for example in examples],
            truncation="only_second", max_length=limit, stride=min(limit // 4, 128), return_overflowing_tokens=True,
            return_offsets_mapping=True, verbose=False,
        )  # fmt: skip
        of = [int(i) for i in encoding.pop("overflow_to_sample_mapping")]
        offsets = encoding.pop("offset_mapping")
        found = rows_of(encoding)
        places: list[list[Any]] = [
            [tuple(x) if s == 1 else None for x, s in zip(offsets[i], encoding.sequence_ids(i), strict=True)]
            for i in range(len(found))
        ]
        for row, i, own in zip(found, of, places, strict=True):
            row["start_positions"], row["end_positions"] = _positions(own, examples[i]["answers"][:1])
        if held_out:
            self.held, self.held_places, self.held_of = examples, places, of
        return found

    @staticmethod
    def reduce(logits: Any, labels: Any) -> Any:
        """The scores of first and last tokens."""
        return logits[:2]

    def metrics(self, found: Any) -> dict[str, float]:
        right = [[text for text, _ in example["answers"]] or [""] for example in self.held]
        return metrics.answer_scores(self._predicted(found.predictions), right)

    def _predicted(self, logits: Any) -> list[str]:
        """The best answer of each question, of all its windows; "" where that there is none is the better one."""
        best: list[tuple[float, str]] = [(-np.inf, "")] * len(self.held)
        none = [np.inf] * len(self.held)
        for start, end, i, places in zip(logits[0], logits[1], self.held_of, self.held_places, strict=True):
            none[i] = min(none[i], float(start[0] + end[0]))
            score, (first, last) = _best_span(start, end, places, self.LONGEST_ANSWER)
            if score > best[i][0]:
                best[i] = score, self.held[i]["pair"][places[first][0] : places[last][1]]
        return ["" if self.may_lack and n > score else text for (score, text), n in zip(best, none, strict=True)]

    def report(self, predictions: Any, labels: Any) -> Report:
        wrong = []
        for example, guess in zip(self.held, self._predicted(predictions), strict=True):
            right = [text for text, _ in example["answers"]] or [""]
            if metrics.normalized(guess) not in map(metrics.normalized, right):
                wrong.append({"question": example["text"], "answer": right[0], "predicted": guess})
        return Report(errors=wrong[:ERRORS])


def _positions(places: list[Any], answers: list[tuple[str, int]]) -> tuple[int, int]:
    """The first and the last token of the answer; of column 0, which says that there is none, where it is not here."""
    for text, begin in answers:
        end = begin + len(text)
        inside = [i for i, place in enumerate(places) if place and place[0] < end and place[1] > begin]
        known = [place for place in places if place]
        if inside and known[0][0] <= begin and known[-1][1] >= end:
            return inside[0], inside[-1]
    return 0, 0


def _best_span(start: Any, end: Any, places: list[Any], longest: int) -> tuple[float, tuple[int, int]]:
    """The best score of a span within the context, and its first and last token."""
    columns = np.array([i for i, place in enumerate(places) if place])
    if not len(columns):
        return -np.inf, (0, 0)
    scores = torch.from_numpy(start[columns][:, None] + end[columns][None, :]).triu().tril(longest - 1)
    allowed = torch.ones_like(scores, dtype=torch.bool).triu().tril(longest - 1)
    best = int(scores.masked_fill(~allowed, -np.inf).argmax())
    first, last = divmod(best, len(columns))
    return float(scores[first, last]), (int(columns[first]), int(columns[last]))
