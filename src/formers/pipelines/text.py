"""What the tasks on text share: what counts as a text, tokenizing many at once, and the longest that a model reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError, near
from ..tokenization import PackedEncoding, PreTrainedTokenizerFast
from .base import Pipeline
from .batches import length_of

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

# those of them with which texts stay without padding, whatever their values
_PACKED_ARGUMENTS = {"truncation", "max_length", "padding", "add_special_tokens", "return_token_type_ids", "verbose"}

# Tokenizers that know no limit say so with a huge number.
_NO_LIMIT = 10**9

Text = tuple[str, str | None]
Choice = TypeVar("Choice", bound=Enum)


class TextPipeline(Pipeline):
    """A task on texts or text pairs; see Pipeline for the arguments.

    An input is a str, a pair as {"text": …, "text_pair": …} or as a tuple (text, pair); [[text, pair]] is accepted too.
    """

    by_tokens = True

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        if not callable(tokenizer):
            raise ArgumentError(
                f"{type(self).__name__} needs a tokenizer object, got {tokenizer!r}. "
                "Pass tokenizer=AutoTokenizer.from_pretrained(…), or use pipeline(…), which loads it by name."
            )
        super().__init__(model, tokenizer, **kwargs)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, list | tuple):
            for index, item in enumerate(inputs):  # now, since a list that fails late returns nothing of long work
                read_text(item, place(0, index))
        return super().__call__(inputs, *args, **kwargs)

    @property
    def max_tokens(self) -> int | None:
        """The longest text that the model has positions for, in tokens; None for a model without such a limit."""
        limit = getattr(self.model.config, "max_position_embeddings", None)
        return limit if isinstance(limit, int) and limit > 0 else None

    def preprocess(self, inputs: Any, **parameters: Any) -> Mapping[str, Any]:
        """The model's arguments for one text or pair: tensors (1, T)."""
        # not self.preprocess_batch, which a subclass may have on top of its own preprocess
        return TextPipeline.preprocess_batch(self, [inputs], None, **parameters)[0]

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several inputs, tokenized in one call.

        Raises InputError for an input that is no text, or one that is longer than the model reads.
        """
        texts = [read_text(item, place(first, index)) for index, item in enumerate(inputs)]
        encoded: list[Mapping[str, Any]] = list(self._tokenize(texts, self._with_limit(parameters)))
        limit = self.max_tokens
        for index, item in enumerate(encoded if limit is not None else ()):
            if limit is not None and (length := length_of(item)) > limit:
                raise InputError(
                    f"{place(first, index)}, which starts {texts[index][0][:40]!r}, has {length} tokens; this "
                    f"{type(self.model).__name__} reads at most {limit}. Pass truncation=True to cut it, or split it."
                )
        return encoded

    def _with_limit(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The tokenizer's arguments, with the model's own limit where a limit is meant and none is given."""
        cut = _value(parameters.get("truncation")) not in (None, False, "do_not_truncate")
        fill = _value(parameters.get("padding")) == "max_length"
        if (cut or fill) and parameters.get("max_length") is None and (limit := self._limit()) is not None:
            return {**parameters, "max_length": limit}
        return parameters

    def _limit(self) -> int | None:
        """The tokens that both the model and the tokenizer can take; None where neither knows a limit."""
        return least_limit(self.max_tokens, getattr(self.tokenizer, "model_max_length", None))

    def _tokenize(self, texts: list[Text], parameters: dict[str, Any]) -> Iterator[dict[str, Tensor]]:
        parameters = {"padding": False, "verbose": False, **parameters}
        if _value(parameters["padding"]) in (True, "longest"):
            if parameters.get("pad_to_multiple_of"):  # a multiple of each text's own length, not of the longest one's
                for text, pair in texts:
                    yield from rows(self.tokenizer([text], pair and [pair], **parameters))
                return
            parameters["padding"] = False  # each text is its own longest
        encoded: dict[int, dict[str, Tensor]] = {}
        for paired in (False, True):
            indices = [i for i, (_, pair) in enumerate(texts) if (pair is not None) == paired]
            if indices:
                columns = [[texts[i][column] for i in indices] for column in range(1 + paired)]
                encoded.update(zip(indices, self._encode(columns, parameters), strict=True))
        yield from (encoded[i] for i in range(len(texts)))

    def _encode(self, columns: list[list[Any]], parameters: dict[str, Any]) -> Iterator[dict[str, Tensor]]:
        if len(columns[0]) > 1 and self._packs(parameters):  # for a single sentence the call costs less
            packed = self.tokenizer.packed(*columns, **{k: v for k, v in parameters.items() if k != "padding"})
            return views(packed, "attention_mask" in self.tokenizer.model_input_names)
        return rows(self.tokenizer(*columns, **parameters))

    def _packs(self, parameters: dict[str, Any]) -> bool:
        """Whether the tokenizer's `packed` gives what its call would: its call is our own, and nothing is padded."""
        padding = _value(parameters["padding"])
        return (
            isinstance(self.tokenizer, PreTrainedTokenizerFast)
            and type(self.tokenizer).__call__ is PreTrainedTokenizerFast.__call__
            and padding in (False, None, "do_not_pad")
            and parameters.keys() <= _PACKED_ARGUMENTS
        )

    def _forward(self, model_inputs: Any, **parameters: Any) -> Any:
        return self.model(**model_inputs, **parameters)

    def _kind(self, inputs: Any) -> str:
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


def least_limit(*limits: int | None) -> int | None:
    """The least of those that are limits at all; None where there is none."""
    return min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=None)


def member(kind: type[Choice], name: str | Choice, argument: str) -> Choice:
    """The member of an enumeration that `name` names, in any case. Raises ArgumentError naming the argument."""
    try:
        return kind(name if isinstance(name, kind) else str(name).lower())
    except ValueError as error:
        known = [choice.value for choice in kind]
        raise ArgumentError(f"{argument}={name!r} is not known.{near(name, known)} Use {', '.join(known)}.") from error


def rows(encoding: Mapping[str, Any]) -> Iterator[dict[str, Tensor]]:
    """Each row of lists as tensors (1, T)."""
    keys = list(encoding)
    return (
        {key: torch.tensor([values]) for key, values in zip(keys, row, strict=True)}
        for row in zip(*(encoding[key] for key in keys), strict=True)
    )


def views(packed: PackedEncoding, with_mask: bool) -> Iterator[dict[str, Tensor]]:
    """Each row as tensors (1, T), views of the packed ones."""
    columns = {"input_ids": torch.from_numpy(packed.input_ids)}
    if packed.token_type_ids is not None:
        columns["token_type_ids"] = torch.from_numpy(packed.token_type_ids)
    if with_mask:
        columns["attention_mask"] = torch.ones(len(packed.input_ids), dtype=torch.long)
    lengths = packed.lengths.tolist()
    rows = zip(*(column[None].split(lengths, dim=1) for column in columns.values()), strict=True)
    return (dict(zip(columns, row, strict=True)) for row in rows)


def place(first: int | None, index: int) -> str:
    """How messages call the input at `index` of a chunk whose first is number `first`, or the only input."""
    return "The input" if first is None else f"inputs[{first + index}]"


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


def _value(option: Any) -> Any:
    """What an option's enum member stands for."""
    return getattr(option, "value", option)
