"""document-question-answering: the words of a page that answer a question about it.

Source: Xu et al. 2019 (arXiv 1912.13318); Huang et al. 2022 (arXiv 2204.08387).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch

from ..errors import ArgumentError, HeadError, InputError
from ..processing.ocr import read_words
from ..tokenization import BoxedWords
from ..tokenization.boxed import Box, as_box
from .base import Task
from .failures import place
from .images import check_pictures, in_turn, loaded, picture, together
from .spans import Room, SpansPipeline, best_spans, checked_counts, notes_of, windows
from .text import read_side, reads
from .writing import not_none

_FORMS = 'give {"image": …, "question": …}, with "word_boxes": [(word, box), …] where the words are known'
# of tokens that are of no word, where a tokenizer does not say
_ENDS, _OTHERS = [1000] * 4, [0] * 4


class DocumentQuestionAnsweringPipeline(SpansPipeline):
    """Answers from pages, from models that read words with their places; see Pipeline for the general arguments.

    An input is {"image": …, "question": str, "word_boxes": …}. Words and boxes are read off the image by Tesseract,
    for which pytesseract and the program have to be there, or they are given, and no image is needed: `word_boxes` is
    a list of (word, (x0, y0, x1, y1)) in thousandths of the page's width and height. Pages that are longer than the
    model reads are read in windows that overlap. Models get words and boxes, not pixels, as in Transformers.

    Args:
        top_k: how many answers, the best first, 1 by default.
        doc_stride: by how many tokens windows overlap, by default 256, and no more than half of a window.
        max_answer_len: the longest answer, in tokens, 15 by default.
        max_seq_len: tokens of a window, question and all, by default as many as the model reads.
        handle_impossible_answer: whether "" may be the answer, where the model finds that there is none.
        lang, tesseract_config: for Tesseract, "deu" and "--psm 6" for example; by default as the image processor says,
            which is read for these two alone.
        timeout: seconds to wait for a URL.
        max_question_len, padding: accepted and not used: questions are never cut, and padding is not computed.
    """

    read_at_once = 64
    NEEDS = ("word", "Document question answering", "AutoModelForDocumentQuestionAnswering")

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        if not reads(model, "bbox"):
            raise HeadError(
                f"{type(model).__name__} does not read where words stand on a page (bbox). "
                "AutoModelForDocumentQuestionAnswering loads models that do; those that write answers from pixels "
                "alone, such as Donut, are not available here."
            )
        super().__init__(model, tokenizer, **kwargs)

    def _sanitize_parameters(
        self,
        padding: Any = None,
        doc_stride: int | None = None,
        max_question_len: int | None = None,
        lang: str | None = None,
        tesseract_config: str | None = None,
        max_answer_len: int | None = None,
        max_seq_len: int | None = None,
        top_k: int | None = None,
        handle_impossible_answer: bool | None = None,
        timeout: float | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        self.reject(set(unknown))
        before = {"doc_stride": doc_stride, "max_seq_len": max_seq_len, "lang": lang, "timeout": timeout}
        before["tesseract_config"] = tesseract_config
        after = {"top_k": top_k, "max_answer_len": max_answer_len, "handle_impossible_answer": handle_impossible_answer}
        return not_none(before), {}, checked_counts(not_none(after))

    def __call__(  # type: ignore[override]  # the reference's names
        self, image: Any = None, question: Any = None, word_boxes: Any = None, **kwargs: Any
    ) -> Any:
        """Answer questions.

        Args:
            image: {"image": …, "question": …, "word_boxes": …}, a list, or a generator or dataset of these; or a
                picture, or a list of them, and beside it
            question: a question, or a list of them
            word_boxes: the words of the page, each with its box.

        Returns:
            For each question a list of {"score", "answer", "start", "end"}, the best first; start and end are the
            numbers of the first and the last word of the answer.
        """
        inputs = kwargs.pop("inputs", None) if image is None else image
        if question is not None:
            inputs = together(inputs, question)
        elif word_boxes is not None or inputs is None or picture(inputs):
            raise ArgumentError(f"Nothing was asked: {_FORMS}, or the same as arguments.")
        return super().__call__(inputs if word_boxes is None else _beside(inputs, word_boxes), **kwargs)

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise InputError unless the item is a question about a page."""
        if not isinstance(item, Mapping) or "question" not in item:
            raise InputError(f"{name} is {item!r:.60}; {_FORMS}.")
        read_side(item["question"], f"{name}: its question", may_be_empty=True)
        image, given = item.get("image"), item.get("word_boxes")
        if image is None and given is None:
            raise InputError(f"{name} has neither an image nor words: {_FORMS}.")
        if image is not None:
            check_pictures(image, f"{name}: its image")
        if given is not None:
            self._given(given, name)

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """Each question beside the windows of its page."""
        longest, known = parameters.pop("max_seq_len", None), self._limit()
        limit = min((one for one in (longest, known) if one is not None), default=None)
        if limit is None:
            raise ArgumentError(f"{type(self.model).__name__} and its tokenizer know no limit: give max_seq_len=….")
        stride = parameters.pop("doc_stride", min(limit // 2, 256))
        pages = in_turn(lambda item: self._words(item, **parameters), inputs, first)
        rooms = [Room(limit, stride, place(first, i), item["question"]) for i, item in enumerate(inputs)]
        return [self._windows(page, boxes, room) for (page, boxes), room in zip(pages, rooms, strict=True)]

    def _words(
        self, item: Mapping[str, Any], lang: Any = None, tesseract_config: Any = None, timeout: float | None = None
    ) -> tuple[list[str], list[Box]]:
        """The words of a page and their boxes, as they are given or as Tesseract reads them."""
        if item.get("word_boxes") is not None:
            return self._given(item["word_boxes"], "The page")
        own = self.image_processor or self.feature_extractor
        lang = getattr(own, "ocr_lang", None) if lang is None else lang
        options = getattr(own, "tesseract_config", None) if tesseract_config is None else tesseract_config
        return read_words(loaded(item["image"], timeout), lang, options)

    def _given(self, word_boxes: Any, name: str) -> tuple[list[str], list[Box]]:
        """Words and boxes that a caller gives. Raises InputError for a word or a box that is none."""
        limit = getattr(self.model.config, "max_2d_position_embeddings", 1001)
        if not isinstance(word_boxes, list | tuple):
            raise InputError(f"{name}: its word_boxes are {word_boxes!r:.60}; a list of (word, box) is needed.")
        words, boxes = [], []
        for number, pair in enumerate(word_boxes):
            where = f"{name}: word_boxes[{number}]"
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise InputError(f"{where} is {pair!r:.60}; a word with its box is needed: (word, (x0, y0, x1, y1)).")
            words.append(read_side(pair[0], where, may_be_empty=True))
            box = as_box(pair[1], where)
            if min(box) < 0 or max(box) >= limit:
                raise InputError(
                    f"{where}, {pair[0]!r:.40}, is at {box}; a box is (x0, y0, x1, y1) in thousandths of the page, "
                    "from 0 to 1000. Of pixels: 1000 * x // width, 1000 * y // height."
                )
            boxes.append(box)
        return words, boxes

    def _windows(self, words: list[str], boxes: list[Box], room: Room) -> dict[str, Any]:
        boxed = isinstance(self.tokenizer, BoxedWords)
        asked: Any = [room.question] if boxed else [room.question.split()]
        how: dict[str, Any] = {"boxes": [boxes]} if boxed else {"is_split_into_words": True}
        encoding = windows(partial(self.tokenizer, asked, [words], verbose=False, **how), 1, room)
        parts = self._model_inputs(encoding)
        if not boxed:
            for part, row in zip(parts, encoding.encodings, strict=True):
                part["bbox"] = torch.tensor([self._spread(row, boxes)])
        return self._item(parts, words=words, notes=notes_of(encoding, 1, self.tokenizer.cls_token_id))

    def _spread(self, row: Any, boxes: list[Box]) -> list[Box]:
        """For each token of a window a box: of its word, or of what is no word of the page."""
        ends = {self.tokenizer.sep_token_id: _ENDS}
        tokens = zip(row.ids, row.sequence_ids, row.word_ids, strict=True)
        return [boxes[word] if text == 1 else ends.get(number, _OTHERS) for number, text, word in tokens]

    def postprocess(
        self,
        model_outputs: Any,
        top_k: int = 1,
        max_answer_len: int = 15,
        handle_impossible_answer: bool = False,
    ) -> list[dict[str, Any]]:
        """The answers to one question, from all windows."""
        found, none = best_spans(model_outputs, top_k, max_answer_len)
        words, answers = model_outputs["words"], []
        for span in found:
            start, end = (span.encoding.word_ids[token] for token in (span.start, span.end))
            if start is not None and end is not None:
                answer = " ".join(words[start : end + 1])
                answers.append({"score": span.score, "answer": answer, "start": start, "end": end})
        if handle_impossible_answer:
            answers.append({"score": none, "answer": "", "start": 0, "end": 0})
        return sorted(answers, key=lambda answer: answer["score"], reverse=True)[:top_k]


def _beside(inputs: Any, word_boxes: Any) -> Any:
    """Questions with the words of the page that all of them are about."""
    if isinstance(inputs, Iterator):
        return ({**one, "word_boxes": word_boxes} for one in inputs)
    if isinstance(inputs, list):
        return [{**one, "word_boxes": word_boxes} for one in inputs]
    return {**inputs, "word_boxes": word_boxes}


TASK = Task(
    name="document-question-answering",
    pipeline=DocumentQuestionAnsweringPipeline,
    auto="AutoModelForDocumentQuestionAnswering",
    architectures=("LayoutLMForQuestionAnswering", "LayoutLMv3ForQuestionAnswering"),
    default=("impira/layoutlm-document-qa", "beed3c4"),
    may_read=("image_processor",),
)
