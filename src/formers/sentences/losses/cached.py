"""Losses of large batches in the memory of small ones.

    texts ── model, some at a time, nothing kept ──▶ vectors ── loss ──▶ gradients of the vectors
    texts ── model again, some at a time ──▶ vectors ── these gradients ──▶ gradients of the weights

Source: Gao et al. 2021 (arXiv 2101.06983). The second pass draws the dropout of the first again.
Letters: B examples, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import ArgumentError
from ...pipelines.batches import by_count, by_length
from .base import Features, Loss, joined, vectors_of

Objective = Callable[[list[Tensor], Any], Tensor]


@dataclass
class _Part:
    """Some texts of a batch: their places in it, their features, and the random state before they went through."""

    rows: Tensor
    features: Features
    random: dict[str, Tensor]


class Cached(Loss):
    """A loss whose vectors are computed some at a time, twice."""

    mini_batch_size: int = 32
    mini_batch_num_tokens: int | None = None

    def set_parts(self, size: int, tokens: int | None) -> None:
        """Say how many texts go through the model at once, or how many tokens. Raises ArgumentError below 1."""
        if size < 1 or (tokens is not None and tokens < 1):
            raise ArgumentError(f"mini_batch_size={size}, mini_batch_num_tokens={tokens}: both should be 1 or more.")
        self.mini_batch_size, self.mini_batch_num_tokens = size, tokens

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        """As of any loss."""
        features = list(sentence_features)
        self.check(len(features), labels)
        return self.cached(features, labels, self.compute_loss_from_embeddings)

    def cached(self, features: list[Features], labels: Tensor | None, objective: Objective) -> Tensor:
        """The value of `objective` of the columns' vectors, (B, D) each; its `backward` reaches the weights."""
        sizes, parts = [len(column["input_ids"]) for column in features], list(self._parts(joined(features)))
        order = torch.cat([part.rows for part in parts])
        precision = _precision(order.device.type)
        found = []
        with torch.set_grad_enabled(False), precision():
            for part in parts:
                part.random = _random_state(order.device)
                found.append(vectors_of(self.model, dict(part.features)))
        vectors = torch.cat(found)[order.argsort()]
        if not torch.is_grad_enabled():
            return objective(list(vectors.split(sizes)), labels)
        vectors = vectors.requires_grad_()
        value = objective(list(vectors.split(sizes)), labels)
        (gradient,) = torch.autograd.grad(value, vectors)
        handed = value.detach().requires_grad_()

        def replay(scale: Tensor) -> None:
            with torch.enable_grad():
                for part in parts:
                    with _random(part.random, order.device), precision():
                        again = vectors_of(self.model, dict(part.features))
                    again.backward(gradient[part.rows] * scale)

        handed.register_hook(replay)
        return handed

    def _parts(self, whole: Features) -> Iterator[_Part]:
        mask = whole["attention_mask"]
        lengths, every = mask.sum(1).tolist(), range(len(mask))
        if self.mini_batch_num_tokens is None:
            chosen = by_count(every, lengths, self.mini_batch_size)
        else:
            chosen = by_length(every, lengths, self.mini_batch_num_tokens)
        for batch in chosen:
            rows = torch.tensor(batch, device=mask.device)
            columns = int(mask[rows].any(0).nonzero().max()) + 1 if bool(mask[rows].any()) else 1

            def own(value: Any, rows: Tensor = rows, columns: int = columns) -> Any:
                if not isinstance(value, Tensor) or not value.ndim:
                    return value
                return value[rows] if value.ndim < 2 else value[rows, :columns]

            yield _Part(rows, {name: own(value) for name, value in whole.items()}, {})


def _precision(device: str) -> Callable[[], Any]:
    """A context of the automatic precision of now, for then. What it casts is not kept: a cast without gradients would
    be taken for one with them."""
    if not torch.is_autocast_enabled(device):
        return nullcontext
    kind = torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, kind, cache_enabled=False)


def _random_state(device: torch.device) -> dict[str, Tensor]:
    own = {"cpu": torch.get_rng_state()}
    return {**own, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else own


@contextmanager
def _random(state: dict[str, Tensor], device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng([device] if "cuda" in state else []):
        torch.set_rng_state(state["cpu"])
        if "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], device)
        yield
