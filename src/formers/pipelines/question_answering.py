"""question-answering: the words of a text that answer a question about it.

Source: Devlin et al. 2018 (arXiv 1810.04805), section 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch.utils.data import Dataset

from ..errors import ArgumentError, InputError
from ..logging import logger
from ..views import notebook
from .base import Task
from .failures import place
from .spans import Room, SpansPipeline, best_spans, checked_counts, notes_of, windows
from .squad import SquadExample
from .text import read_side
from .writing import not_none

_FORMS = 'give {"question": …, "context": …}, a list of these, or question=… and context=…'


class QuestionAnsweringPipeline(SpansPipeline):
    """Answers from texts, from any model with a question answering head; see Pipeline for the general arguments.

    A context that is longer than the model reads is read in windows that overlap.

    An input is {"question": str, "context": str}, or a SquadExample.

    Args:
        top_k: how many answers, the best first; a list if there are several.
        doc_stride: by how many tokens windows overlap, by default 128, and no more than half of a window.
        max_answer_len: the longest answer, in tokens, 15 by default.
        max_seq_len: tokens of a window, question and all, by default 384, and no more than the model reads.
        handle_impossible_answer: whether "" may be the answer, where the model finds that there is none.
        align_to_words: whether answers are whole words, True by default.
        max_question_len, padding: accepted and not used: questions are never cut, and padding is not computed.
    """

    NEEDS = ("token", "Question answering", "AutoModelForQuestionAnswering")

    def _sanitize_parameters(
        self,
        padding: Any = None,
        topk: int | None = None,
        top_k: int | None = None,
        doc_stride: int | None = None,
        max_answer_len: int | None = None,
        max_seq_len: int | None = None,
        max_question_len: int | None = None,
        handle_impossible_answer: bool | None = None,
        align_to_words: bool | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        known = ("top_k", "doc_stride", "max_answer_len", "max_seq_len", "handle_impossible_answer", "align_to_words")
        self.reject(set(unknown), known)
        if topk is not None and top_k is None:
            logger.warning("topk is now called top_k.")
            top_k = topk
        preprocess = {"doc_stride": doc_stride, "max_seq_len": max_seq_len}
        postprocess = {
            "top_k": top_k,
            "max_answer_len": max_answer_len,
            "handle_impossible_answer": handle_impossible_answer,
            "align_to_words": align_to_words,
        }
        return not_none(preprocess), {}, checked_counts(not_none(postprocess))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer questions.

        Args:
            args: {"question": str, "context": str}, a list, or a generator or dataset of these.
            question, context: the same as str or lists of str; one context may serve for several questions.

        Returns:
            For each question {"score", "start", "end", "answer"}, or a list of these with top_k > 1; start and end are
            characters of the context.
        """
        examples = _examples(args, kwargs)
        if isinstance(examples, list) and len(examples) == 1:
            examples = examples[0]
        return super().__call__(examples, **kwargs)

    @staticmethod
    def create_sample(question: str | list[str], context: str | list[str]) -> SquadExample | list[SquadExample]:
        """A question and its context as a SquadExample; of two lists, the questions and contexts of one place each."""
        if isinstance(question, str) and isinstance(context, str):
            return SquadExample(None, question, context, None, None, None)
        return [
            SquadExample(None, one["question"], one["context"], None, None, None) for one in _beside(question, context)
        ]

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise InputError unless the item has a question and a context."""
        _example(item, name)

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """Each question beside the windows of its context."""
        asked, known = parameters.get("max_seq_len", 384), self._limit()
        limit = asked if known is None else min(asked, known)
        stride = parameters.get("doc_stride")
        names = (place(first, index) for index in range(len(inputs)))
        return [
            self._windows(*_example(item, name), name, limit, stride) for item, name in zip(inputs, names, strict=True)
        ]

    def _windows(self, question: str, context: str, name: str, limit: int, stride: int | None) -> dict[str, Any]:
        stride = min(limit // 2, 128) if stride is None else stride
        second = self.tokenizer.padding_side == "right"  # where the context goes
        pair = (question, context) if second else (context, question)
        encode = partial(self.tokenizer, *([text] for text in pair), verbose=False)
        encoding = windows(encode, int(second), Room(limit, stride, name, question))
        notes = notes_of(encoding, int(second), self.tokenizer.cls_token_id)
        return self._item(self._model_inputs(encoding), context=context, second=int(second), notes=notes)

    def postprocess(
        self,
        model_outputs: Any,
        top_k: int = 1,
        max_answer_len: int = 15,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """The answers to one question, from all windows."""
        found, none = best_spans(model_outputs, top_k, max_answer_len)
        answers = []
        for span in found:
            places = _characters(span.encoding, span.start, span.end, model_outputs["second"], align_to_words)
            answers.append(_answer(span.score, *places, model_outputs["context"]))
        if handle_impossible_answer or not answers:
            answers.append(_answer(none if handle_impossible_answer else 0.0, 0, 0, ""))
        answers = sorted(answers, key=lambda answer: answer["score"], reverse=True)[:top_k]
        return notebook.remember(answers[0] if len(answers) == 1 else answers, model_outputs["context"])


def _answer(score: float, start: int, end: int, context: str) -> dict[str, Any]:
    return {"score": float(score), "start": start, "end": end, "answer": context[start:end]}


def _characters(encoding: Any, start: int, end: int, text: int, align: bool) -> tuple[int, int]:
    """Where a span starts and ends in its text, in whole words where they are known."""
    words = (encoding.token_to_word(start), encoding.token_to_word(end)) if align else (None, None)
    if words[0] is None or words[1] is None:
        return encoding.offsets[start][0], encoding.offsets[end][1]
    return encoding.word_to_chars(words[0], text)[0], encoding.word_to_chars(words[1], text)[1]


def _examples(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What was asked: one example, a list of them, or something that gives them one by one."""
    given = [kwargs.pop(name) for name in ("X", "data") if name in kwargs]
    question, context = kwargs.pop("question", None), kwargs.pop("context", None)
    if (question is None) != (context is None):
        raise ArgumentError(f"A question and a context belong together: {_FORMS}.")
    if question is not None:
        return _beside(question, context)
    found = [*args, *given]
    if not found:
        raise ArgumentError(f"Nothing was asked: {_FORMS}.")
    if len(found) == 2 and all(isinstance(item, str) for item in found):
        return _beside(*found)
    if len(found) > 1:
        return found
    (only,) = found
    if isinstance(only, Mapping) and isinstance(only.get("question"), list):
        return _beside(only["question"], only["context"])
    if isinstance(only, Mapping | SquadExample | str):
        return [only]
    if isinstance(only, Dataset) or not isinstance(only, list | tuple):
        return only
    return list(only)


def _beside(question: Any, context: Any) -> list[dict[str, Any]]:
    questions = [question] if isinstance(question, str) else list(question)
    contexts = [context] * len(questions) if isinstance(context, str) else list(context)
    if len(questions) == 1 and len(contexts) > 1:
        questions *= len(contexts)
    if len(questions) != len(contexts):
        raise ArgumentError(f"There are {len(questions)} questions and {len(contexts)} contexts: as many are needed.")
    return [{"question": q, "context": c} for q, c in zip(questions, contexts, strict=True)]


def _example(item: Any, name: str) -> tuple[str, str]:
    if isinstance(item, SquadExample):
        item = {"question": item.question_text, "context": item.context_text}
    if not isinstance(item, Mapping) or not {"question", "context"} <= item.keys():
        raise InputError(f"{name} is {item!r:.60} ({type(item).__name__}); {_FORMS}.")
    return read_side(item["question"], f"{name}: its question"), read_side(item["context"], f"{name}: its context")


TASK = Task(
    name="question-answering",
    pipeline=QuestionAnsweringPipeline,
    auto="AutoModelForQuestionAnswering",
    architectures=("ForQuestionAnswering",),
    default=("distilbert/distilbert-base-cased-distilled-squad", "564e9b5"),
)
