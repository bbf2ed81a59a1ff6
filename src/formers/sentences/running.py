"""How texts, or pairs of texts, are read and batched: what the encoder of sentences and that of pairs share."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ..errors import ArgumentError, ConfigError
from ..logging import logger
from ..pipelines.batches import by_count, by_length
from ..pipelines.encoding import encoded
from .modules import Features
from .precision import quantize_embeddings

_STEP_TOKENS = 5_000


def opened(kind: Any, name: Any, options: Mapping[str, Any], tokenizer: Any = None) -> Any:
    """What `kind(name, …)` loads, without options that are None. Raises ArgumentError for a tokenizer beside it."""
    if tokenizer is not None:
        raise ArgumentError(
            f"{kind.__name__}({name!r:.60}, …) loads its own tokenizer; got {tokenizer!r:.60} as another. Give "
            "the other arguments by name."
        )
    return kind.from_pretrained(name, **{key: value for key, value in options.items() if value is not None})


def refuse_more(kind: Any, options: Mapping[str, Any]) -> None:
    """Raises ArgumentError for arguments that only loading takes, beside a model that is loaded."""
    if options:
        raise ArgumentError(f"{kind.__name__} has no argument {min(options)!r} beside a model; from_pretrained may.")


def chosen_prompt(prompts: Mapping[str, str], default: str | None, name: str | None, text: str | None) -> str:
    """What is put before texts. Raises ArgumentError for a name that is none of the prompts."""
    name = default if name is None else name
    if text is not None or name is None:
        return text or ""
    if name not in prompts:
        raise ArgumentError(f"prompt_name={name!r} is not one of {', '.join(map(repr, prompts)) or 'none'}.")
    return prompts[name]


def tokenized(reader: Any, columns: list[list[str]]) -> list[dict[str, Tensor]]:
    """Each text, or each pair of two columns, as tensors (1, T).

    `reader` is a Transformer, or has its attributes. Of pairs the longer text is cut first.
    """
    if not columns[0]:
        return []
    limit = reader.max_seq_length
    cut = {} if limit is None else {"truncation": True, "max_length": limit}
    read = [[text.lower() if reader.do_lower_case else text for text in column] for column in columns]
    return list(
        encoded(reader.tokenizer, read, {"padding": getattr(reader, "padding", False), "verbose": False, **cut})
    )


def batches(read: list[dict[str, Tensor]], size: int | None, bar: bool | None) -> Iterator[list[int]]:
    """Places of texts of like lengths: `size` at a time, or by tokens. A bar shows how many are done.

    Raises ArgumentError for a size below 1.
    """
    lengths = [row["input_ids"].shape[1] for row in read]
    every = range(len(lengths))
    checked_size(size)
    with progress(len(lengths), bar, "Texts") as shown:
        for batch in by_length(every, lengths, _STEP_TOKENS) if size is None else by_count(every, lengths, size):
            yield batch
            shown.update(len(batch))


def checked_size(size: int | None) -> int | None:
    """The size itself. Raises ArgumentError for one below 1."""
    if size is not None and size < 1:
        raise ArgumentError(f"batch_size={size} is not possible: it should be 1 or more.")
    return size


def progress(total: int, bar: bool | None, name: str) -> tqdm[Any]:
    """A bar of how many inputs are done; None shows it where the log is as chatty."""
    shown = logger.isEnabledFor(logging.INFO) if bar is None else bar
    return tqdm(total=total, disable=not shown, desc=name)


def rows(features: Features, count: int, output: str | None, normalize: bool) -> list[Any]:
    """What is returned of each text of a batch."""
    if output is None:
        return [
            {
                name: value[row] if isinstance(value, Tensor) and value.ndim and len(value) == count else value
                for name, value in features.items()
            }
            for row in range(count)
        ]
    if output == "token_embeddings":
        if output not in features:
            raise ConfigError(f"The model makes no vectors of tokens; it makes {', '.join(features)}.")
        if "attention_mask" not in features:
            return list(features[output])
        lengths = features["attention_mask"].sum(1).tolist()
        return [tokens[:length] for tokens, length in zip(features[output], lengths, strict=True)]
    vectors = features[output]
    return list(F.normalize(vectors, dim=1) if normalize else vectors)


def returned(found: list[Tensor], precision: str, as_tensor: bool, as_numpy: bool) -> Any:
    """Vectors as they were asked for: a tensor, an array, or a list."""
    if not found:
        return torch.empty(0) if as_tensor else np.empty(0, np.float32) if as_numpy else []
    whole: Any = torch.stack(found)
    if precision != "float32":
        whole = torch.from_numpy(quantize_embeddings(whole, precision))
    if as_tensor:
        return whole
    return whole.cpu().numpy() if as_numpy else list(whole)
