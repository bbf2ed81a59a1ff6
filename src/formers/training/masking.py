"""Collators of language modelling: which tokens are hidden, and what is to be predicted.

Each draws its random numbers in the reference's order, so that a seed gives the same batch.
Letters: B texts, T columns.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ArgumentError, InputError
from ..logging import logger
from ..ops.losses import IGNORED
from ..tokenization.rows import Rows
from .collators import Array, DataCollatorMixin, column_of, fill, given, listed, mappings, padded


def _has_mask(tokenizer: Any, instead: str = "") -> None:
    if tokenizer.mask_token is None:
        raise InputError(
            f"This tokenizer has no mask token, which hides what is to be predicted.{instead} Or add one: "
            "tokenizer.add_special_tokens({'mask_token': '[MASK]'}), and model.resize_token_embeddings(len(tokenizer))."
        )


def joined(rows: list[Any], tokenizer: Any, multiple: int | None, kind: str) -> Array:
    """Ids (B, T) of rows that are lists, arrays or tensors, filled up with the padding token."""
    rows = listed(rows, "input_ids")
    longest = max(len(row) for row in rows)
    width = -(-longest // multiple) * multiple if multiple else longest
    if any(len(row) != width for row in rows) and tokenizer.pad_token is None:
        raise InputError(
            "The features have different lengths, and this tokenizer has no padding token. Set one: "
            "tokenizer.pad_token = tokenizer.eos_token."
        )
    return given(fill(rows, tokenizer.pad_token_id or 0, "input_ids", tokenizer.padding_side, width), kind)


def special_tokens(ids: Array, tokenizer: Any) -> Any:
    """(B, T) bool array: which ids are special tokens, as the tokenizer says."""
    ids = np.asarray(ids)
    if getattr(type(tokenizer), "get_special_tokens_mask", None) is Rows.get_special_tokens_mask:
        return np.isin(ids, tokenizer.all_special_ids)
    masks = [tokenizer.get_special_tokens_mask(row, already_has_special_tokens=True) for row in ids.tolist()]
    return np.array(masks, dtype=bool)


class _Draws:
    """Random numbers of a shape, from torch or NumPy, from a generator or the global one."""

    def __init__(self, kind: str, generator: Any = None) -> None:
        self.torch, self.generator = kind == "pt", generator

    def chance(self, probability: Any, shape: tuple[int, ...]) -> Any:
        """(B, T) bool array: true with `probability`, a number or (B, T)."""
        if self.torch:
            rates = torch.full(shape, probability) if isinstance(probability, float) else torch.from_numpy(probability)
            return torch.bernoulli(rates.float(), generator=self.generator).bool().numpy()
        return (self.generator or np.random).binomial(1, probability, size=shape).astype(bool)

    def words(self, count: int, where: Any, everywhere: bool = False) -> Any:
        """Ids below `count`, one for each place that is true in `where` (B, T)."""
        if self.torch:
            return torch.randint(count, where.shape, dtype=torch.long, generator=self.generator).numpy()[where]
        draw = self.generator.integers if self.generator else np.random.randint
        shape = where.shape if everywhere else np.count_nonzero(where)
        found = draw(low=0, high=count, size=shape, dtype=np.int64)
        return found[where] if everywhere else found


@dataclass
class DataCollatorForLanguageModeling(DataCollatorMixin):
    """Padded texts with `labels` (B, T): for masked language modelling, or with mlm=False the ids themselves.

    features: mappings with `input_ids`, or the ids alone. Of the tokens that are not special `mlm_probability` are to
    be predicted: `mask_replace_prob` of these become the mask token, `random_replace_prob` any token, the rest stay.
    Labels are -100 elsewhere; with mlm=False at the padding token. A feature may say its `special_tokens_mask`.
    whole_word_mask: all tokens of a word or none, which needs `offset_mapping` in the features.
    seed: of the collator's own generator; torch's or NumPy's global one if left out. In workers of a DataLoader it is
        the seed and the worker's number.
    Source: Devlin et al. 2018 (arXiv 1810.04805).
    """

    tokenizer: Any
    mlm: bool = True
    whole_word_mask: bool = False
    mlm_probability: float | None = 0.15
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"
    seed: int | None = None
    tf_experimental_compile: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.whole_word_mask, float):  # the third argument of 4.x
            self.whole_word_mask, self.mlm_probability = False, self.whole_word_mask
        if self.tf_experimental_compile:
            raise ArgumentError("tf_experimental_compile is for TensorFlow; leave it out.")
        if self.mlm:
            _has_mask(self.tokenizer, " For causal language modelling give mlm=False.")
        elif self.whole_word_mask:
            raise ArgumentError("whole_word_mask=True hides words, which mlm=False does not: leave one of them out.")
        for name in ("mlm_probability", "mask_replace_prob", "random_replace_prob"):
            value = getattr(self, name)
            if name != "mlm_probability" or self.mlm:
                if value is None or not 0 <= value <= 1:
                    raise ArgumentError(f"{name}={value} is no probability: it is from 0 to 1.")
                setattr(self, name, float(value))
        if self.mask_replace_prob + self.random_replace_prob > 1:
            both = f"{self.mask_replace_prob} and random_replace_prob={self.random_replace_prob}"
            raise ArgumentError(f"mask_replace_prob={both} are more than 1 together.")
        if self.whole_word_mask and self.mask_replace_prob < 1:
            logger.warning("whole_word_mask hides all chosen words: mask_replace_prob is 1, random_replace_prob 0.")
            self.mask_replace_prob, self.random_replace_prob = 1.0, 0.0
        self.generator: Any = None
        self._process = 0

    def create_rng(self) -> None:
        """Make the collator's generator, of this process or of this worker."""
        worker = torch.utils.data.get_worker_info()
        if worker is None and multiprocessing.parent_process() is not None:
            raise InputError("seed= needs a DataLoader's workers, or one process: others would all draw the same.")
        assert self.seed is not None  # it is called where there is one
        seed = self.seed + (worker.id if worker else 0)
        pt = self.return_tensors == "pt"
        self.generator = torch.Generator().manual_seed(seed) if pt else np.random.default_rng(seed)
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"generator": None}

    def collate(self, features: Any, kind: str) -> Any:
        if self.seed is not None and (self.generator is None or self._process != os.getpid()):
            self.create_rng()
        offsets = None
        if isinstance(features[0], Mapping):
            if "offset_mapping" in features[0]:
                offsets = column_of(features, "offset_mapping")
                features = [{k: v for k, v in row.items() if k != "offset_mapping"} for row in features]
            batch = padded(self, features, kind)
        else:
            batch = {"input_ids": joined(features, self.tokenizer, self.pad_to_multiple_of, kind)}
        special, ids = batch.pop("special_tokens_mask", None), batch["input_ids"]
        if self.mlm:
            mask = self.torch_mask_tokens if kind == "pt" else self.numpy_mask_tokens
            batch["input_ids"], batch["labels"] = mask(ids, special, self._filled(offsets, ids))
        else:
            labels = ids.clone() if kind == "pt" else ids.copy()
            if self.tokenizer.pad_token_id is not None:
                labels[labels == self.tokenizer.pad_token_id] = IGNORED
            batch["labels"] = labels
        return batch

    def _filled(self, offsets: list[Any] | None, ids: Array) -> Any:
        """(B, T, 2), of rows of any lengths."""
        if offsets is None:
            return None
        side, width = self.tokenizer.padding_side, ids.shape[1]
        rows = listed(offsets, "offset_mapping")
        ends = ([[pair[i] for pair in row] for row in rows] for i in (0, 1))
        return np.stack([fill(end, 0, "offset_mapping", side, width) for end in ends], axis=2)

    def torch_mask_tokens(
        self, inputs: Tensor, special_tokens_mask: Any = None, offset_mapping: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Ids (B, T), which are changed in place, and their labels."""
        labels = self._mask(inputs.numpy(), special_tokens_mask, offset_mapping, "pt")
        return inputs, torch.from_numpy(labels)

    def numpy_mask_tokens(
        self, inputs: Any, special_tokens_mask: Any = None, offset_mapping: Any = None
    ) -> tuple[Any, Any]:
        """The same of arrays."""
        return inputs, self._mask(inputs, special_tokens_mask, offset_mapping, "np")

    def _mask(self, ids: Any, special: Any, offsets: Any, kind: str) -> Any:
        draws, rate = _Draws(kind, self.generator), float(self.mlm_probability or 0)
        kept = special_tokens(ids, self.tokenizer) if special is None else np.asarray(special).astype(bool)
        if self.whole_word_mask:
            if offsets is None:
                raise InputError(
                    "whole_word_mask needs offset_mapping in each feature: tokenizer(…, return_offsets_mapping=True)."
                )
            first, start = word_starts(np.asarray(offsets), kept)
            chosen = draws.chance(np.where(first, rate, 0.0), ids.shape)
            chosen = np.take_along_axis(chosen, start, axis=1) & ~kept
        else:
            chosen = draws.chance(np.where(kept, 0.0, rate), ids.shape)
        return self._replaced(ids, chosen, draws)

    def _replaced(self, ids: Any, chosen: Any, draws: _Draws, everywhere: bool = False) -> Any:
        """The labels of the chosen tokens, which are replaced in `ids`."""
        labels = np.where(chosen, ids, IGNORED)
        hidden = draws.chance(self.mask_replace_prob, ids.shape) & chosen
        ids[hidden] = self.tokenizer.mask_token_id
        if self.mask_replace_prob < 1 and self.random_replace_prob > 0:
            rate = self.random_replace_prob / (1 - self.mask_replace_prob)  # of what is not hidden
            rate = round(rate, 9) if everywhere else rate  # 4.x had 0.5 itself, of which NumPy draws others
            other = draws.chance(rate, ids.shape) & chosen & ~hidden
            ids[other] = draws.words(len(self.tokenizer), other, everywhere)
        return labels


def word_starts(offsets: Any, special: Any) -> tuple[Any, Any]:
    """From where tokens are in their text, (B, T, 2): which begin a word, and the column where each token's word does.

    A word begins where characters lie between a token and the one before, and after a special token.
    """
    apart, after = np.ones_like(special), np.zeros_like(special)
    apart[:, 1:] = offsets[:, 1:, 0] != offsets[:, :-1, 1]
    after[:, 1:] = special[:, :-1]
    first = ~special & (apart | after)
    return first, np.maximum.accumulate(np.where(first, np.arange(special.shape[1]), 0), axis=1)


@dataclass
class DataCollatorForWholeWordMask(DataCollatorForLanguageModeling):
    """All tokens of a word or none, by the "##" of BERT's tokens; `chinese_ref` of a feature lists the columns that
    continue a word beside them. The batch has `input_ids` and `labels` alone, as 4.x gave them."""

    def collate(self, features: Any, kind: str) -> dict[str, Any]:
        rows = [{"input_ids": row} if not isinstance(row, Mapping) else row for row in features]
        ids = joined([row["input_ids"] for row in rows], self.tokenizer, self.pad_to_multiple_of, kind)
        array = np.asarray(ids)
        chosen = fill(
            [self._words(row) for row in rows], 0, "input_ids", self.tokenizer.padding_side, array.shape[1]
        ).astype(bool)
        chosen &= ~special_tokens(array, self.tokenizer)
        labels = self._replaced(array, chosen, _Draws(kind), everywhere=True)
        return {"input_ids": ids, "labels": given(labels, kind)}

    def _words(self, row: Mapping[str, Any], most: int = 512) -> list[int]:
        """1 for each token that is to be predicted: of words in a random order, as many as `mlm_probability` says."""
        ids, more = listed([row["input_ids"], row.get("chinese_ref", [])], "input_ids")
        tokens = self.tokenizer.convert_ids_to_tokens(list(ids))
        words: list[list[int]] = []
        for i, token in enumerate(tokens):
            if i in more or token not in ("[CLS]", "[SEP]"):
                if words and (i in more or token.startswith("##")):
                    words[-1].append(i)
                else:
                    words.append([i])
        random.shuffle(words)
        wanted = min(most, max(1, round(len(tokens) * float(self.mlm_probability or 0))))
        chosen: set[int] = set()
        for word in words:
            if len(chosen) + len(word) <= wanted:
                chosen.update(word)
        return [int(i in chosen) for i in range(len(tokens))]


@dataclass
class DataCollatorForSOP(DataCollatorForLanguageModeling):
    """Masked language modelling and the order of sentences at once, for ALBERT, as 4.x had it.

    features: `input_ids`, `token_type_ids` and `sentence_order_label`, tensors or lists. `attention_mask` is float: 0
    where a token is to be predicted. Source: Lan et al. 2019 (arXiv 1909.11942).
    """

    def __call__(self, features: Any, return_tensors: str | None = None) -> dict[str, Any]:
        features = mappings(features)
        ids = joined(column_of(features, "input_ids"), self.tokenizer, None, "pt")
        types = fill(column_of(features, "token_type_ids"), self.tokenizer.pad_token_id or 0, "token_type_ids")
        order = [torch.as_tensor(label) for label in column_of(features, "sentence_order_label")]
        ids, labels, mask = self.mask_tokens(ids)
        batch = {"input_ids": ids, "labels": labels, "attention_mask": mask, "token_type_ids": torch.from_numpy(types)}
        return batch | {"sentence_order_label": torch.stack(order)}

    def mask_tokens(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ids (B, T), which are changed in place, their labels, and the attention mask."""
        ids = inputs.numpy()
        padding = ids == self.tokenizer.pad_token_id
        draws, kept = _Draws("pt", self.generator), special_tokens(ids, self.tokenizer) | padding
        chosen = draws.chance(np.where(kept, 0.0, float(self.mlm_probability or 0)), ids.shape)
        labels = self._replaced(ids, chosen, draws)
        return inputs, torch.from_numpy(labels), torch.from_numpy((~chosen).astype(np.float32))


@dataclass
class DataCollatorForPermutationLanguageModeling(DataCollatorMixin):
    """XLNet's task: spans are predicted in a random order, each from what comes before it in that order.

    Ids (B, T), T even; `perm_mask` (B, T, T): 1 where a column does not see another; `target_mapping` (B, T, T), the
    identity; `labels` -100 where nothing is predicted. plm_probability: the share of the tokens that is.
    max_span_length: the longest span. Source: Yang et al. 2019 (arXiv 1906.08237).
    """

    tokenizer: Any
    plm_probability: float = 1 / 6
    max_span_length: int = 5
    return_tensors: str = "pt"

    def collate(self, features: Any, kind: str) -> dict[str, Any]:
        rows = column_of(features, "input_ids") if isinstance(features[0], Mapping) else features
        mask = self.torch_mask_tokens if kind == "pt" else self.numpy_mask_tokens
        names = ("input_ids", "perm_mask", "target_mapping", "labels")
        return dict(zip(names, mask(joined(rows, self.tokenizer, None, kind)), strict=True))

    def torch_mask_tokens(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Ids, which are changed in place, `perm_mask`, `target_mapping` and labels."""
        return tuple(torch.from_numpy(x) for x in self._mask(inputs.numpy(), "pt"))

    def numpy_mask_tokens(self, inputs: Any) -> tuple[Any, ...]:
        """The same of arrays."""
        return self._mask(inputs, "np")

    def _mask(self, ids: Any, kind: str) -> tuple[Any, ...]:
        _has_mask(self.tokenizer)
        (B, T), pt = ids.shape, kind == "pt"
        if T % 2:
            raise InputError(
                f"The batch is {T} tokens wide; each half is put in an order of its own, so give an even number: cut "
                "texts to one even length."
            )
        spans = self._spans(B, T, pt)
        special, padding = special_tokens(ids, self.tokenizer), ids == self.tokenizer.pad_token_id
        chosen = spans & ~special & ~padding
        labels = np.where(chosen, ids, IGNORED)
        ids[chosen] = self.tokenizer.mask_token_id
        hidden = np.zeros((B, T, T), np.float32)
        for i in range(B):
            halves = np.arange(T).reshape(2, T // 2).T
            if pt:
                halves = halves[torch.randperm(T // 2).numpy()]
            else:
                np.random.shuffle(halves)
            order = halves.T.flatten()
            order[~chosen[i] & ~(special[i] | padding[i])] = -1  # what all see
            hidden[i] = (order[:, None] <= order) & chosen[i]
        return ids, hidden, np.broadcast_to(np.eye(T, dtype=np.float32), (B, T, T)).copy(), labels

    def _spans(self, texts: int, columns: int, pt: bool) -> Any:
        """(B, T) bool: spans of up to `max_span_length` tokens, each in a stretch that is its length over
        `plm_probability`."""

        def upto(low: int, high: int) -> int:
            return int(torch.randint(low, high, (1,))) if pt else random.randint(low, high)

        found = np.zeros((texts, columns), bool)
        for row in found:
            at = 0
            while at < columns:
                length = upto(1, self.max_span_length + 1)
                stretch = int(length / self.plm_probability)
                start = at + upto(0, stretch - length + 1)
                row[start : start + length] = True
                at += stretch
        return found
