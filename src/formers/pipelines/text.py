"""What the tasks on text share: what counts as a text, tokenizing many at once, and the longest that a model reads."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from torch import Tensor

from ..config import longest_text
from ..errors import ArgumentError, HeadError, InputError
from ..modeling import PreTrainedModel
from .base import Pipeline
from .batches import length_of
from .encoding import encoded, rows, value_of
from .failures import place

TOKENIZER_ARGUMENTS = (
    "truncation",
    "max_length",
    "padding",
    "padding_side",
    "pad_to_multiple_of",
    "add_special_tokens",
    "stride",
    "return_token_type_ids",
    "return_attention_mask",
    "verbose",
)

# Tokenizers that know no limit say so with a huge number.
_NO_LIMIT = 10**9

Text = tuple[str, str | None]


class TextPipeline(Pipeline):
    """A task on texts or text pairs; see Pipeline for the arguments.

    An input is a str, a pair as {"text": …, "text_pair": …} or as a tuple (text, pair); [[text, pair]] is accepted too.
    """

    by_tokens = True
    # whether every input is a pair, so that (text, text) and [text, text] are one input
    only_pairs: ClassVar[bool] = False

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        if tokenizer is None:
            tokenizer = getattr(kwargs.get("processor"), "tokenizer", None)
        if not callable(tokenizer):
            raise ArgumentError(
                f"{type(self).__name__} needs a tokenizer object, got {tokenizer!r}. "
                "Pass tokenizer=AutoTokenizer.from_pretrained(…), or use pipeline(…), which loads it by name."
            )
        super().__init__(model, tokenizer, **kwargs)

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise InputError unless the item is a text or a pair of texts; see Pipeline.check_input."""
        self._read(item, name)

    def _read(self, item: Any, name: str) -> Text:
        """The text, and the text pair where there is one."""
        if not self.only_pairs:
            return read_text(item, name)
        text, pair = read_text(tuple(item) if isinstance(item, list) and len(item) == 2 else item, name)
        if pair is None:
            raise InputError(f'{name} is one text, {text[:40]!r}; a pair is needed: {{"text": …, "text_pair": …}}.')
        return text, pair

    @property
    def max_tokens(self) -> int | None:
        """The longest text that the model has positions for, in tokens; None for a model without such a limit."""
        return longest_text(self.model.config)

    def preprocess(self, inputs: Any, **parameters: Any) -> Mapping[str, Any]:
        """The model's arguments for one text or pair: tensors (1, T)."""
        # not self.preprocess_batch, which a subclass may have on top of its own preprocess
        return TextPipeline.preprocess_batch(self, [inputs], None, **parameters)[0]

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several inputs, tokenized in one call.

        Raises InputError for an input that is no text, or one that is longer than the model reads.
        """
        texts = [self._read(item, place(first, index)) for index, item in enumerate(inputs)]
        found: list[Mapping[str, Any]] = list(self._tokenize(texts, self._with_limit(parameters)))
        for index, item in enumerate(found):
            self._fits(item, place(first, index), texts[index][0])
        return found

    def _fits(self, item: Mapping[str, Any], name: str, text: str) -> None:
        """Raise InputError for more tokens than the model reads; the message calls them `name`, and shows the text."""
        limit = self.max_tokens
        if limit is not None and (length := length_of(item)) > limit:
            raise InputError(
                f"{name}, which starts {text[:40]!r}, has {length} tokens; this {type(self.model).__name__} reads at "
                f"most {limit}. Pass truncation=True to cut it, or split it."
            )

    def _with_limit(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The tokenizer's arguments, with the model's own limit where a limit is meant and none is given."""
        cut = value_of(parameters.get("truncation")) not in (None, False, "do_not_truncate")
        fill = value_of(parameters.get("padding")) == "max_length"
        if (cut or fill) and parameters.get("max_length") is None and (limit := self._limit()) is not None:
            return {**parameters, "max_length": limit}
        return parameters

    def _limit(self) -> int | None:
        """The tokens that both the model and the tokenizer can take; None where neither knows a limit."""
        return least_limit(self.max_tokens, getattr(self.tokenizer, "model_max_length", None))

    def _tokenize(self, texts: Sequence[Text], parameters: dict[str, Any]) -> Iterator[dict[str, Tensor]]:
        parameters = {"padding": False, "verbose": False, **parameters}
        if not reads(self.model, "token_type_ids"):  # which tokenizers of no family return
            parameters.setdefault("return_token_type_ids", False)
        if value_of(parameters["padding"]) in (True, "longest"):
            if parameters.get("pad_to_multiple_of"):  # a multiple of each text's own length, not of the longest one's
                for text, pair in texts:
                    yield from rows(self.tokenizer([text], pair and [pair], **parameters))
                return
            parameters["padding"] = False  # each text is its own longest
        found: dict[int, dict[str, Tensor]] = {}
        for paired in (False, True):
            indices = [i for i, (_, pair) in enumerate(texts) if (pair is not None) == paired]
            if indices:
                columns = [[texts[i][column] for i in indices] for column in range(1 + paired)]
                found.update(zip(indices, encoded(self.tokenizer, columns, parameters), strict=True))
        yield from (found[i] for i in range(len(texts)))

    def _forward(self, model_inputs: Any, **parameters: Any) -> Any:
        """The model's named outputs, also where its configuration asks for tuples."""
        if _takes_return_dict(getattr(type(self.model), "forward", None)):
            parameters = {"return_dict": True, **parameters}
        return self.model(**model_inputs, **parameters)

    def _kind(self, inputs: Any) -> str:
        if self.only_pairs and isinstance(inputs, list | tuple) and [type(side) for side in inputs] == [str, str]:
            return "one"
        if isinstance(inputs, list | tuple):
            return "list"
        if isinstance(inputs, str | bytes | Mapping):
            return "one"
        iterable = hasattr(inputs, "__iter__") or (hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"))
        return "stream" if iterable else "one"

    def _tokenizer_parameters(self, given: dict[str, Any], nested: dict[str, Any] | None = None) -> dict[str, Any]:
        """`given` and `nested` joined. Raises ArgumentError for a name that is not the tokenizer's, or given twice."""
        if twice := given.keys() & (nested or {}).keys():
            raise ArgumentError(f"{min(twice)} is given twice: in the call and in the tokenizer's own arguments.")
        self.reject(given.keys() - set(TOKENIZER_ARGUMENTS), TOKENIZER_ARGUMENTS)
        return {**given, **(nested or {})}


@lru_cache(maxsize=64)
def _takes_return_dict(forward: Any) -> bool:
    return callable(forward) and "return_dict" in inspect.signature(forward).parameters


def reads(model: Any, name: str) -> bool:
    """Whether the model takes an input of that name; of a class that does not say, it is believed to."""
    return not hasattr(model, "inputs") or name in model.inputs()


def no_head(model: Any, per: str, task: str, auto: str) -> HeadError:
    """The error of a model without the head that a task needs: what logits are per, and the class that loads one."""
    return HeadError(
        f"{type(model).__name__} gives no logits per {per}. {task} needs a model with such a head: {auto} loads one."
    )


def require_head(model: Any, head: type, per: str, task: str, auto: str) -> None:
    """Raise as no_head does when a model of this package is none with the `head`, a class of heads.py."""
    if isinstance(model, PreTrainedModel) and not isinstance(model, head):
        raise no_head(model, per, task, auto)


def least_limit(*limits: int | None) -> int | None:
    """The least of those that are limits at all; None where there is none."""
    return min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=None)


def read_text(item: Any, name: str) -> Text:
    """The text and the text pair, if any, of one input; `name` is for messages. Raises InputError for anything else."""
    if isinstance(item, str):
        return _readable(item, name), None
    if isinstance(item, Mapping):
        if "text" not in item or item.keys() - {"text", "text_pair"}:
            raise InputError(
                f"{name} is a dictionary of {', '.join(map(repr, item))}; a pair is one of 'text' and 'text_pair'. "
                "Choose a column (KeyDataset(dataset, 'text')), and give options such as truncation in the call."
            )
        text, pair = item["text"], item.get("text_pair")
    elif isinstance(item, list) and len(item) == 1 and isinstance(item[0], list | tuple) and len(item[0]) == 2:
        text, pair = item[0]
    elif isinstance(item, tuple) and len(item) == 2:
        text, pair = item
    else:
        raise InputError(f"{name} is {_describe(item)}.")
    if not isinstance(text, str) or not (pair is None or isinstance(pair, str)):
        wrong = text if not isinstance(text, str) else pair
        raise InputError(f"{name} is a pair, and one side of it is {_describe(wrong)}.")
    return _readable(text, name), None if pair is None else _readable(pair, name)


def read_side(text: Any, name: str, may_be_empty: bool = False) -> str:
    """One of several texts of an input. Raises InputError for anything that is no text, or empty."""
    if not isinstance(text, str) or not (text or may_be_empty):
        raise InputError(
            f"{name} is {text!r:.60}; a text (str){'' if may_be_empty else ' that is not empty'} is needed."
        )
    return _readable(text, name)


def _describe(item: Any) -> str:
    if item is None:
        return "None; a text (str) is needed. Leave it out, or use '' for an empty text"
    if isinstance(item, bytes):
        return "bytes; a text (str) is needed. Decode it first: value.decode('utf-8')"
    if isinstance(item, list):
        return 'a list; a text (str) is needed, or for a pair {"text": …, "text_pair": …}'
    return f"{item!r:.60} ({type(item).__name__}); a text (str) is needed"


def _readable(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name} has half of a surrogate pair, U+{ord(text[error.start]):04X}, at character {error.start}: "
            "no text has that. text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace') joins and mends them."
        ) from error
    return text
