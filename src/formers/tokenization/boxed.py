"""Tokenizers of documents: words with their boxes on the page, and a question before them.

    words   Total   due      ids   <s>  Total  ┬ due  </s>
    boxes   [a]     [b]      bbox  cls  [a]    [a] [b]  sep
    labels  1       2        labels -100 1    -100 2  -100

Source: Xu et al. 2019 (arXiv 1912.13318); Huang et al. 2022 (arXiv 2204.08387).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from tokenizers import Encoding

from ..errors import ArgumentError, InputError
from .base import PreTrainedTokenizerFast
from .encoding import BatchEncoding
from .ids import as_list
from .types import PaddingStrategy, TensorType, TruncationStrategy

Box = list[int]


class BoxedWords(PreTrainedTokenizerFast):
    """For a recipe to be mixed with: texts are words, each with a box (x0, y0, x1, y1) in thousandths of the page.

    cls_token_box, sep_token_box, pad_token_box: boxes of special tokens; a question's tokens have that of padding.
    pad_token_label: the label of tokens that are of no word. only_label_first_subword: whether it is also that of all
    of a word's tokens but the first.
    """

    _options = (
        *PreTrainedTokenizerFast._options, "cls_token_box", "sep_token_box", "pad_token_box", "pad_token_label",
        "only_label_first_subword",
    )  # fmt: skip

    def __init__(
        self,
        *args: Any,
        cls_token_box: Sequence[int] = (0, 0, 0, 0),
        sep_token_box: Sequence[int] = (0, 0, 0, 0),
        pad_token_box: Sequence[int] = (0, 0, 0, 0),
        pad_token_label: int = -100,
        only_label_first_subword: bool = True,
        **kwargs: Any,
    ) -> None:
        self.cls_token_box = as_box(cls_token_box, "cls_token_box")
        self.sep_token_box = as_box(sep_token_box, "sep_token_box")
        self.pad_token_box = as_box(pad_token_box, "pad_token_box")
        self.pad_token_label, self.only_label_first_subword = pad_token_label, only_label_first_subword
        kwargs |= {
            "cls_token_box": self.cls_token_box,
            "sep_token_box": self.sep_token_box,
            "pad_token_box": self.pad_token_box,
            "pad_token_label": pad_token_label,
            "only_label_first_subword": only_label_first_subword,
        }
        super().__init__(*args, **kwargs)

    def __call__(  # type: ignore[override]
        self,
        text: Any = None,
        text_pair: Any = None,
        boxes: Any = None,
        word_labels: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str | PaddingStrategy = False,
        truncation: bool | str | TruncationStrategy | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | TensorType | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Tokenize the words of a page with their boxes, or of several pages; or a question before the words.

        text: the words of a page, or a list of such lists; with `text_pair`, which are then the words, the question,
            or a list of questions.
        boxes: for each word (x0, y0, x1, y1) in thousandths of the page; of several pages a list each.
        word_labels: for each word a number, likewise; they become the column `labels`.
        padding, truncation, …: as in the calls of other tokenizers.

        Returns the columns of any tokenizer, and `bbox`, for each token the box of its word.
        Errors: InputError and ArgumentError, naming the page and the word.
        """
        given = {
            "add_special_tokens": add_special_tokens,
            "padding": padding,
            "truncation": truncation,
            "max_length": max_length,
            "stride": stride,
            "pad_to_multiple_of": pad_to_multiple_of,
            "padding_side": padding_side,
            "return_tensors": return_tensors,
            "is_split_into_words": True,
            **kwargs,
        }
        words, name = (text, "text") if text_pair is None else (text_pair, "text_pair")
        paired = text_pair is not None
        batched = isinstance(text, list | tuple) and (paired or (bool(text) and isinstance(text[0], list | tuple)))
        for value in (words, *(words if batched and isinstance(words, list | tuple) else ())):
            if not isinstance(value, list | tuple):
                raise ArgumentError(
                    f"{name} is a {type(value).__name__}; {type(self).__name__} reads the words of a page, a list of "
                    "strings, or a list of such lists for several pages, and boxes=… for them. A question comes "
                    "before the words: tokenizer(question, words, boxes=boxes)."
                )
        pages = list(words) if batched else [words]
        places = _beside(boxes, pages, batched, "boxes")
        read = [
            [as_box(box, f"boxes[{page}][{word}]" if batched else f"boxes[{word}]") for word, box in enumerate(found)]
            for page, found in enumerate(places)
        ]
        labels = None if word_labels is None else _beside(word_labels, pages, batched, "word_labels")
        question = _split(text, batched) if paired else text
        return self._encode(question, text_pair, given, beside=self._spread(read, labels, paired))

    def _spread(
        self, boxes: list[list[Box]], labels: list[list[Any]] | None, paired: bool
    ) -> Callable[[Encoding, int], dict[str, Any]]:
        """From a row and the number of its page to what each token has of its word."""
        special = {self.pad_token_id: self.pad_token_box, self.sep_token_id: self.sep_token_box}
        special |= {self.cls_token_id: self.cls_token_box}
        own, first_alone, none = int(paired), self.only_label_first_subword, self.pad_token_label

        def spread(row: Encoding, page: int) -> dict[str, Any]:
            words = row.word_ids
            bbox = [
                special.get(number, self.sep_token_box)
                if word is None
                else (boxes[page][word] if text == own else self.pad_token_box)
                for number, text, word in zip(row.ids, row.sequence_ids, words, strict=True)
            ]
            if labels is None:
                return {"bbox": bbox}
            known = [
                none if word is None or text != own or (first_alone and word == before) else labels[page][word]
                for text, word, before in zip(row.sequence_ids, words, [None, *words], strict=False)
            ]
            return {"bbox": bbox, "labels": known}

        return spread

    def encode(self, text: Any, text_pair: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The ids of a page; arguments as those of the call."""
        return self(text, text_pair, *args, **kwargs)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, *args: Any, **kwargs: Any) -> BatchEncoding:
        """The call's older name, for one page."""
        return self(text, text_pair, *args, **kwargs)

    def batch_encode_plus(
        self, batch_text_or_text_pairs: Any, is_pair: bool | None = None, boxes: Any = None, **kwargs: Any
    ) -> BatchEncoding:
        """The call's older name, for several pages; with `is_pair`, each is a question and its words."""
        if not is_pair:
            return self(batch_text_or_text_pairs, boxes=boxes, **kwargs)
        questions, words = ([pair[place] for pair in batch_text_or_text_pairs] for place in (0, 1))
        return self(questions, words, boxes=boxes, **kwargs)

    def _filling(self) -> dict[str, Any]:
        return {**super()._filling(), "bbox": self.pad_token_box, "labels": self.pad_token_label}


def _split(question: Any, batched: bool) -> Any:
    """A question, or a list of them, as words."""
    asked = question if batched else [question]
    if not batched and not isinstance(question, str):
        raise ArgumentError(f"text is a {type(question).__name__}; before words it is a question, a string.")
    found = [one.split() if isinstance(one, str) else one for one in asked]
    return found if batched else found[0]


def _beside(given: Any, pages: list[Any], batched: bool, name: str) -> list[list[Any]]:
    """What each word of each page has. Raises InputError where it is not as many as words."""
    if given is None:
        raise InputError(
            f"{name}= is missing: give a box (x0, y0, x1, y1) for each word, in thousandths of the page's width and "
            "height."
        )
    found = as_list(given) if batched else [as_list(given)]
    if len(found) != len(pages):
        raise InputError(f"{name} is of {len(found)} pages, and the words are of {len(pages)}: as many are needed.")
    for number, (own, words) in enumerate(zip(found, pages, strict=True)):
        count = len(own) if isinstance(own, list | tuple) else type(own).__name__
        if count != len(words):
            where = f"{name}[{number}]" if batched else name
            raise InputError(f"{where} is of {count} words, and there are {len(words)}: each word needs its own.")
    return found


def as_box(given: Any, where: str) -> Box:
    """Four integers."""
    try:
        box = [operator.index(number) for number in as_list(given)]
    except TypeError:
        box = []
    if len(box) != 4:
        raise InputError(
            f"{where} is {given!s:.60}; a box is four integers, x0, y0, x1, y1, in thousandths of the page: of "
            "pixels 1000 * x // width and 1000 * y // height."
        )
    return box
