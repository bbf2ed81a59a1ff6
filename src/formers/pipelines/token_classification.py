"""token-classification: which label each token of a text gets, or each entity that tokens make up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import accumulate, groupby
from numbers import Integral
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import ArgumentError, InputError
from ..logging import logger
from ..views import notebook
from .base import Task
from .choices import member
from .failures import place
from .parts import PartsPipeline
from .text import read_text


class AggregationStrategy(str, Enum):
    """How tokens become entities.

    NONE: they do not. SIMPLE: neighbours with one label. FIRST, AVERAGE, MAX: whole words first, whose label is that of
    their first token, of the mean of their tokens' scores, or of their surest token; then neighbours with one label.
    """

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


@dataclass(frozen=True)
class Piece:
    """A token or a word: its text, its scores or those it goes by, where it is, and whether a word goes on with it."""

    word: str
    scores: np.ndarray
    start: int
    end: int
    index: int
    inside: bool
    label: str = ""
    score: float = 0.0


class TokenClassificationPipeline(PartsPipeline):
    """Labels of tokens, or of entities, from any model with a token classification head; see Pipeline.

    An input is a str; or with `is_split_into_words` a list of words, which are joined by `delimiter` (a space) to the
    text that positions count in. Texts that are longer than the model reads are read in windows that overlap.

    Args:
        aggregation_strategy: "none", "simple", "first", "average" or "max": see AggregationStrategy.
        ignore_labels: labels that are left out, ["O"] by default.
        stride: by how many tokens windows overlap; a quarter of a window by default.
        grouped_entities, ignore_subwords: older arguments: True and False mean "simple", True and True "first".
    """

    per_token = True
    DIMENSIONS = 3
    NEEDS = ("token", "Token classification", "AutoModelForTokenClassification")

    def _sanitize_parameters(
        self,
        ignore_labels: Sequence[str] | None = None,
        grouped_entities: bool | None = None,
        ignore_subwords: bool | None = None,
        aggregation_strategy: str | AggregationStrategy | None = None,
        offset_mapping: Sequence[tuple[int, int]] | None = None,
        is_split_into_words: bool | None = None,
        stride: int | None = None,
        delimiter: str | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        self.reject(
            set(unknown), ("ignore_labels", "aggregation_strategy", "stride", "is_split_into_words", "delimiter")
        )
        preprocess: dict[str, Any] = {}
        postprocess: dict[str, Any] = {}
        if grouped_entities is not None or ignore_subwords is not None:
            logger.warning("grouped_entities and ignore_subwords are now aggregation_strategy: none, simple, first, …")
            older = AggregationStrategy.FIRST if ignore_subwords else AggregationStrategy.SIMPLE
            postprocess["aggregation_strategy"] = older if grouped_entities else AggregationStrategy.NONE
        if aggregation_strategy is not None:
            postprocess["aggregation_strategy"] = member(
                AggregationStrategy, aggregation_strategy, "aggregation_strategy"
            )
        if ignore_labels is not None:
            postprocess["ignore_labels"] = tuple(ignore_labels)
        if is_split_into_words is not None:
            preprocess["is_split_into_words"] = is_split_into_words
        if delimiter is not None:
            preprocess["delimiter"] = delimiter
        if offset_mapping is not None:
            preprocess["offset_mapping"] = offset_mapping
        if stride is not None:
            if not isinstance(stride, Integral) or stride < 0:
                raise ArgumentError(f"stride={stride!r} is not possible: it is a number of tokens, 0 or more.")
            preprocess["stride"] = stride
        return preprocess, {}, postprocess

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Label tokens or entities.

        Returns:
            For each text a list of {"entity", "score", "index", "word", "start", "end"}, one for each token, or of
            {"entity_group", "score", "word", "start", "end"}, one for each entity; start and end are characters.
        """
        splits = kwargs.get("is_split_into_words", self._preprocess_params.get("is_split_into_words"))
        if splits and isinstance(inputs, list) and not all(isinstance(item, list) for item in inputs):
            return super().__call__([inputs], *args, **kwargs)[0]
        return super().__call__(inputs, *args, **kwargs)

    def check_input(self, item: Any, name: str, is_split_into_words: bool = False, **parameters: Any) -> None:
        """Raise InputError unless the item is a text, or with is_split_into_words a list of words."""
        if not is_split_into_words:
            if read_text(item, name)[1] is not None:
                raise InputError(f"{name} is a pair of texts; token classification reads one text.")
        elif not isinstance(item, list) or not all(isinstance(word, str) for word in item):
            raise InputError(f"{name} is no list of words, which is_split_into_words=True asks for.")

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """Several texts, as windows that the model can read."""
        return [self._read_parts(item, place(first, index), **parameters) for index, item in enumerate(inputs)]

    def _read_parts(
        self,
        item: Any,
        name: str,
        is_split_into_words: bool = False,
        delimiter: str = " ",
        offset_mapping: Sequence[tuple[int, int]] | None = None,
        stride: int | None = None,
    ) -> dict[str, Any]:
        self.check_input(item, name, is_split_into_words)
        if not is_split_into_words:
            text, _ = read_text(item, name)
            return self._windows(text, text, None, stride, offset_mapping)
        starts = [0, *accumulate(len(word) + len(delimiter) for word in item)]
        return self._windows(delimiter.join(item), item, starts, stride, offset_mapping)

    def _windows(
        self, text: str, given: Any, starts: list[int] | None, stride: int | None, offsets: Any
    ) -> dict[str, Any]:
        limit = self._limit()
        room = None if limit is None else limit - self.tokenizer.num_special_tokens_to_add()
        if stride is not None and room is not None and stride >= room:
            raise ArgumentError(f"stride={stride} is too large: a window has room for {room} tokens.")
        cut = {} if limit is None or room is None else {
            "truncation": True, "max_length": limit, "stride": room // 4 if stride is None else stride,
            "return_overflowing_tokens": True,
        }  # fmt: skip
        encoding = self.tokenizer(
            [given], is_split_into_words=starts is not None, return_offsets_mapping=True,
            return_special_tokens_mask=True, verbose=False, **cut,
        )  # fmt: skip
        notes = []
        for row, own in enumerate(encoding.encodings):
            words = own.word_ids if starts is not None else [None] * len(own.ids)
            places = [
                (start + shift, end + shift)
                for (start, end), word in zip(offsets or own.offsets, words, strict=True)
                for shift in [0 if word is None or starts is None else starts[word]]
            ]
            first = row * ((room or 0) - int(cut.get("stride", 0)))
            notes.append({"special": own.special_tokens_mask, "offsets": places, "first": first})
        return self._item(self._model_inputs(encoding), text=text, notes=notes)

    def postprocess(
        self,
        model_outputs: Any,
        aggregation_strategy: AggregationStrategy = AggregationStrategy.NONE,
        ignore_labels: tuple[str, ...] = ("O",),
    ) -> list[dict[str, Any]]:
        """The tokens or entities of one text."""
        parts = [
            self._pieces(model_outputs["text"], *part)
            for part in zip(*(model_outputs[name] for name in ("parts", "notes", "logits")), strict=True)
        ]
        if aggregation_strategy is AggregationStrategy.NONE:
            found = [
                {
                    "entity": piece.label,
                    "score": piece.score,
                    "index": piece.index,
                    "word": piece.word,
                    "start": piece.start,
                    "end": piece.end,
                }
                for piece in _once(parts)
            ]
            kept = [entity for entity in found if entity["entity"] not in ignore_labels]
            return notebook.remember(kept, model_outputs["text"])
        grouped = [
            entity
            for pieces in parts
            for entity in self._grouped(self._words(pieces, aggregation_strategy))
            if entity["entity_group"] not in ignore_labels
        ]
        kept = grouped if len(parts) == 1 else _without_overlap(grouped)
        return notebook.remember(kept, model_outputs["text"])

    def _pieces(self, text: str, part: Mapping[str, Tensor], note: Mapping[str, Any], logits: Tensor) -> list[Piece]:
        """The tokens of a window that are no special ones."""
        scores, ids = logits.softmax(-1).numpy(), part["input_ids"][0].tolist()
        marked = bool(getattr(self.tokenizer._tokenizer.model, "continuing_subword_prefix", None))
        found = []
        for place_, (token, special, (start, end)) in enumerate(
            zip(ids, note["special"], note["offsets"], strict=True)
        ):
            if special:
                continue
            word, written = self.tokenizer.convert_ids_to_tokens(token), text[start:end]
            # without a mark on the tokens that go on with a word: those with no space before them, or at their start
            inside = len(word) != len(written) if marked else start > 0 and " " not in text[start - 1 : start + 1]
            if token == self.tokenizer.unk_token_id:
                word, inside = written, False
            found.append(self._labelled(Piece(word, scores[place_], start, end, note["first"] + place_, inside)))
        return found

    def _labelled(self, piece: Piece) -> Piece:
        best = int(piece.scores.argmax())
        return replace(piece, label=self.model.config.id2label[best], score=float(piece.scores[best]))

    def _words(self, pieces: list[Piece], strategy: AggregationStrategy) -> list[Piece]:
        """Pieces joined to words, where the strategy asks for that."""
        if strategy is AggregationStrategy.SIMPLE:
            return pieces
        words: list[list[Piece]] = []
        for piece in pieces:
            if words and piece.inside:
                words[-1].append(piece)
            else:
                words.append([piece])
        return [self._joined(word, strategy) for word in words]

    def _joined(self, word: list[Piece], strategy: AggregationStrategy) -> Piece:
        if strategy is AggregationStrategy.FIRST:
            scores = word[0].scores
        elif strategy is AggregationStrategy.MAX:
            scores = max(word, key=lambda piece: piece.scores.max()).scores
        else:
            scores = np.nanmean([piece.scores for piece in word], axis=0)
        written = self.tokenizer.convert_tokens_to_string([piece.word for piece in word])
        return self._labelled(replace(word[0], word=written, scores=scores, end=word[-1].end))

    def _grouped(self, pieces: list[Piece]) -> list[dict[str, Any]]:
        """Neighbours of one entity: those whose labels say the same, up to one that says that another begins."""
        groups: list[list[Piece]] = []
        for piece in pieces:
            begins = str(piece.label).startswith("B-")
            if groups and not begins and _tag(groups[-1][-1].label) == _tag(piece.label):
                groups[-1].append(piece)
            else:
                groups.append([piece])
        return [
            {
                "entity_group": _kind(group[0].label),
                "score": float(np.nanmean([piece.score for piece in group])),
                "word": self.tokenizer.convert_tokens_to_string([piece.word for piece in group]),
                "start": group[0].start,
                "end": group[-1].end,
            }
            for group in groups
        ]


def _tag(label: Any) -> Any:
    return label[2:] if str(label).startswith(("B-", "I-")) else label


def _kind(label: Any) -> Any:
    return label.split("-", 1)[-1] if isinstance(label, str) else label


def _once(parts: list[list[Piece]]) -> list[Piece]:
    """Each token once: from the window in which it is farthest from an end."""
    known: list[tuple[Piece, int]] = []
    for pieces in parts:
        known += [(piece, min(i, len(pieces) - 1 - i)) for i, piece in enumerate(pieces)]
    if len(parts) > 1:
        known.sort(key=lambda entry: (entry[0].index, -entry[1]))
    return [next(same)[0] for _, same in groupby(known, key=lambda entry: entry[0].index)]


def _without_overlap(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of entities that share characters the longest, and of equally long ones the surest."""
    kept: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda entity: entity["start"]):
        last = kept[-1] if kept else None
        if last is None or not last["start"] <= entity["start"] < last["end"]:
            kept.append(entity)
        elif (entity["end"] - entity["start"], entity["score"]) > (last["end"] - last["start"], last["score"]):
            kept[-1] = entity
    return kept


# its name before it read anything but names
NerPipeline = TokenClassificationPipeline

TASK = Task(
    name="token-classification",
    aliases=("ner",),
    pipeline=TokenClassificationPipeline,
    auto="AutoModelForTokenClassification",
    architectures=("ForTokenClassification",),
    default=("dbmdz/bert-large-cased-finetuned-conll03-english", "4c53496"),
)
