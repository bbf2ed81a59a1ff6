"""Watermarks: at each token a part of the vocabulary is green, drawn by what stands before it, and gets a bias; who has
the key counts green tokens.

    seed     of the key and the last token ("lefthash"), or of the key, the last ones and the token itself ("selfhash")
    z        (green - ratio · n) / √(n · ratio · (1 - ratio)) of n tokens

Source: Kirchenbauer et al. 2023 (arXiv 2301.10226, and arXiv 2306.04634 for the seeds).
Letters: B texts, T columns, V vocabulary, n tokens that are looked at, w = context_width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError
from ..outputs import ModelOutput
from .processors import LogitsProcessor

_TABLE, _SEEDS, _TRIED = 1_000_003, 2**64 - 1, 40
SCHEMES = ("lefthash", "selfhash")


class WatermarkingConfig:
    """What a watermark is made by, and found again by.

    greenlist_ratio: the part of the vocabulary that is green, between 0 and 1. bias: what their scores get.
    hashing_key: the secret. seeding_scheme: "lefthash" or "selfhash". context_width: w. Errors: InputError.
    """

    def __init__(
        self,
        greenlist_ratio: float = 0.25,
        bias: float = 2.0,
        hashing_key: int = 15485863,
        seeding_scheme: str = "lefthash",
        context_width: int = 1,
    ) -> None:
        self.greenlist_ratio, self.bias, self.hashing_key = greenlist_ratio, bias, hashing_key
        self.seeding_scheme, self.context_width = seeding_scheme, context_width
        self.validate()

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> WatermarkingConfig:
        """Of a dictionary; ArgumentError for a key that there is not."""
        values = {**config_dict, **kwargs}
        known = ("greenlist_ratio", "bias", "hashing_key", "seeding_scheme", "context_width")
        if unknown := sorted(values.keys() - set(known)):
            raise ArgumentError(f"watermarking_config has {unknown[0]!r}: its keys are {', '.join(known)}.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """All keys and values."""
        return dict(self.__dict__)

    def validate(self) -> None:
        """Raise InputError for a value that breaks a rule."""
        if self.seeding_scheme not in SCHEMES:
            raise InputError(f"seeding_scheme={self.seeding_scheme!r}: it is one of {', '.join(SCHEMES)}.")
        if not 0 < self.greenlist_ratio < 1:
            raise InputError(f"greenlist_ratio={self.greenlist_ratio!r}: give a number between 0 and 1.")
        if not isinstance(self.context_width, int) or self.context_width < 1:
            raise InputError(f"context_width={self.context_width!r}: give a whole number, at least 1.")

    def construct_processor(self, vocab_size: int, device: Any = "cpu") -> WatermarkLogitsProcessor:
        """What puts the watermark into the scores of a vocabulary."""
        return WatermarkLogitsProcessor(vocab_size, device, **self.to_dict())


def watermark_of(value: Any) -> WatermarkingConfig | None:
    """A configuration, or one of its dictionary. Errors: ArgumentError for another kind."""
    if value is None or isinstance(value, WatermarkingConfig):
        return value
    if isinstance(value, dict):
        return WatermarkingConfig.from_dict(value)
    raise ArgumentError(
        f"watermarking_config is a {type(value).__name__}: give a WatermarkingConfig, or a dictionary of its keys; "
        "other watermarks go into logits_processor."
    )


class WatermarkLogitsProcessor(LogitsProcessor):
    """Adds `bias` to the scores of green tokens; arguments as those of WatermarkingConfig. Texts shorter than w stay as
    they are. With "selfhash" the best 40 tokens are tried."""

    def __init__(
        self,
        vocab_size: int,
        device: Any,
        greenlist_ratio: float = 0.25,
        bias: float = 2.0,
        hashing_key: int = 15485863,
        seeding_scheme: str = "lefthash",
        context_width: int = 1,
    ) -> None:
        WatermarkingConfig(greenlist_ratio, bias, hashing_key, seeding_scheme, context_width)  # checks them
        self.vocab_size, self.bias, self.hash_key = vocab_size, bias, hashing_key
        self.seeding_scheme, self.context_width = seeding_scheme, context_width
        self.greenlist_size = int(vocab_size * greenlist_ratio)
        self.rng = torch.Generator(device)
        self.fixed_table = torch.randperm(_TABLE, generator=self.rng.manual_seed(hashing_key), device=device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[1] < self.context_width:
            return scores
        scores = scores.clone()
        for row, ids in enumerate(input_ids):
            scores[row, self._greens(ids, scores[row])] += self.bias
        return scores

    def _greens(self, ids: Tensor, scores: Tensor) -> Tensor:
        if self.seeding_scheme == "lefthash":
            return self.greenlist(ids)
        best = scores.argsort(descending=True)[:_TRIED]
        green = [bool((self.greenlist(torch.cat([ids, token[None]])) == token).any()) for token in best]
        return best[torch.tensor(green, device=best.device)]

    def greenlist(self, ids: Tensor) -> Tensor:
        """The green tokens after a text (T,), or with "selfhash" of those texts that end in the token itself."""
        if self.seeding_scheme == "lefthash":
            seed = self.hash_key * int(ids[-1])
        else:  # the product may overflow: whole numbers of 64 bits wrap
            table = self.fixed_table.to(ids.device)
            near = table[ids[-self.context_width :] % _TABLE] + 1
            seed = int((self.hash_key * near * (table[ids[-1] % _TABLE] + 1)).min())
        order = torch.randperm(self.vocab_size, generator=self.rng.manual_seed(seed % _SEEDS), device=self.rng.device)
        return order[: self.greenlist_size].to(ids.device)


@dataclass
class WatermarkDetectorOutput(ModelOutput):
    """Of each text, (B,): tokens looked at and green ones, their share, the z score and its p-value, whether the score
    is above the threshold, and 1 - p-value."""

    num_tokens_scored: Any = None
    num_green_tokens: Any = None
    green_fraction: Any = None
    z_score: Any = None
    p_value: Any = None
    prediction: Any = None
    confidence: Any = None


class WatermarkDetector:
    """Finds the watermark of a WatermarkingConfig, or its dictionary, in texts.

    model_config: of the model that wrote them, for its vocabulary and its bos_token_id. ignore_repeated_ngrams: count
    what repeats once.
    """

    def __init__(
        self,
        model_config: Any,
        device: Any,
        watermarking_config: Any,
        ignore_repeated_ngrams: bool = False,
        max_cache_size: int = 128,
    ) -> None:
        config = watermark_of(watermarking_config)
        if config is None:
            raise ArgumentError("watermarking_config is None: give the one that the texts were written with.")
        self.config, self.ignore_repeated_ngrams = config, ignore_repeated_ngrams
        self.bos_token_id = getattr(model_config, "bos_token_id", None)
        self.processor = config.construct_processor(model_config.vocab_size, device)
        self._green = lru_cache(max_cache_size)(self._is_green)

    def __call__(
        self, input_ids: Tensor, z_threshold: float = 3.0, return_dict: bool = False
    ) -> WatermarkDetectorOutput | Any:
        """Whether texts (B, T) have it: an array (B,) of bool, or with `return_dict` all that was found, as arrays.

        Errors: InputError for texts too short to look at.
        """
        if bool((input_ids[:, 0] == self.bos_token_id).all()) if self.bos_token_id is not None else False:
            input_ids = input_ids[:, 1:]
        own = int(self.config.seeding_scheme == "selfhash")
        width = self.config.context_width + 1 - own
        if input_ids.shape[1] < width + own:
            raise InputError(
                f"A text has {input_ids.shape[1]} tokens to look at: with context_width={self.config.context_width} at "
                f"least {width + own} are needed."
            )
        counts = [self._count(ids, width) for ids in input_ids.cpu()]
        green, n = (torch.tensor(x, dtype=torch.float64) for x in zip(*counts, strict=True))
        ratio = self.config.greenlist_ratio
        z = (green - ratio * n) / (n * ratio * (1 - ratio)).sqrt()
        found = (z > z_threshold).numpy()
        if not return_dict:
            return found
        p = 0.5 * torch.erfc(z / math.sqrt(2))
        return WatermarkDetectorOutput(
            n.numpy(), green.numpy(), (green / n).numpy(), z.numpy(), p.numpy(), found, (1 - p).numpy()
        )

    def _count(self, ids: Tensor, width: int) -> tuple[int, int]:
        """Green ones, and all, of the runs of `width` tokens of a text (T,)."""
        runs: Sequence[tuple[int, ...]] = [tuple(run) for run in ids.unfold(0, width, 1).tolist()]
        if self.ignore_repeated_ngrams:
            runs = list(dict.fromkeys(runs))
        return sum(self._green(run) for run in runs), len(runs)

    def _is_green(self, run: tuple[int, ...]) -> bool:
        before = run if self.config.seeding_scheme == "selfhash" else run[:-1]
        ids = torch.tensor(before, device=self.processor.rng.device)
        return bool((self.processor.greenlist(ids) == run[-1]).any())
