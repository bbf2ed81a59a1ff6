"""Losses of texts and what answers them, where the other answers of the batch are wrong. Letters: B examples, D width.

Source: Henderson et al. 2017 (arXiv 1705.00652), van den Oord et al. 2018 (arXiv 1807.03748).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...errors import ArgumentError, InputError, near
from ...logging import logger
from ..search import cos_sim
from .base import Loss
from .cached import Cached

Similarity = Callable[[Any, Any], Tensor]

DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
_PARTITIONS = ("joint", "per_direction")
_HARDNESS = (None, "in_batch_negatives", "hard_negatives", "all_negatives")


class MultipleNegativesRankingLoss(Loss):
    """The cross-entropy of finding each anchor's own positive among all texts of the other columns.

    Columns: anchors, positives, and any number of negatives. No text of a batch should answer another one's anchor.
    Source: Henderson et al. 2017 (arXiv 1705.00652); for directions Li et al. 2023 (arXiv 2308.03281); for hardness Lan
    et al. 2025 (arXiv 2503.04812) and Schechter Vera et al. 2025 (arXiv 2509.20354).
    """

    FEWEST, MOST, LABELS = 2, None, None

    def __init__(
        self,
        model: Any,
        scale: float = 20.0,
        similarity_fct: Similarity = cos_sim,
        gather_across_devices: bool = False,
        directions: Sequence[str] = ("query_to_doc",),
        partition_mode: str = "joint",
        hardness_mode: str | None = None,
        hardness_strength: float = 0.0,
    ) -> None:
        """Args:
        model: a SentenceEncoder.
        scale: what similarities are multiplied by: 1 over the temperature.
        similarity_fct: (n, D) and (m, D) to (n, m), larger is nearer.
        gather_across_devices: accepted as False alone.
        directions: what an anchor's positive is found among: "query_to_doc", all texts of other columns, always;
            "query_to_query", the other anchors; and the positive's own: "doc_to_query", "doc_to_doc".
        partition_mode: "joint" for one cross-entropy over all directions, "per_direction" for the mean of one each.
        hardness_mode, hardness_strength: which negatives count more, the nearer they are, and how much.
        """
        super().__init__(model)
        if not scale > 0:
            raise ArgumentError(f"scale={scale!r} is not possible: it should be above 0.")
        if gather_across_devices:
            raise ArgumentError("gather_across_devices=True is not done here: a batch is that of one process.")
        for name, value, known in (
            *(("directions", one, DIRECTIONS) for one in directions),
            ("partition_mode", partition_mode, _PARTITIONS),
            ("hardness_mode", hardness_mode, _HARDNESS),
        ):
            if value not in known:
                raise ArgumentError(
                    f"{name} has {value!r}.{near(value, map(str, known))} Use {', '.join(map(str, known))}."
                )
        if "query_to_doc" not in directions:
            raise ArgumentError("directions need 'query_to_doc', which alone has the positives.")
        if partition_mode == "per_direction" and {"query_to_query", "doc_to_doc"} & set(directions):
            raise ArgumentError(
                "partition_mode='per_direction' needs the positive in each direction; 'query_to_query' and "
                "'doc_to_doc' have none. Use 'joint'."
            )
        if hardness_strength < 0:
            raise ArgumentError(f"hardness_strength={hardness_strength!r} is not possible: it should be 0 or more.")
        if hardness_mode is not None and not hardness_strength:
            logger.warning(f"hardness_mode={hardness_mode!r} does nothing at a hardness_strength of 0.")
        self.scale, self.similarity_fct = scale, similarity_fct
        self.directions, self.partition_mode = tuple(directions), partition_mode
        self.hardness_mode, self.hardness_strength = hardness_mode, hardness_strength

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None = None) -> Tensor:
        """A number, of two columns (B, D) or more."""
        if len(embeddings) < 2:
            raise InputError(f"{type(self).__name__} needs anchors and positives; got {len(embeddings)} column.")
        rows = torch.arange(len(embeddings[0]), device=embeddings[0].device)
        return self.losses(embeddings[0], embeddings[1], torch.cat(embeddings[1:]), rows).mean()

    def losses(self, queries: Tensor, positives: Tensor, documents: Tensor, rows: Tensor) -> Tensor:
        """(R,) the losses of some rows of the batch; documents are positives (B, D) and negatives below each other."""
        own = rows[:, None] == torch.arange(len(queries), device=rows.device)  # (R, B)
        of_own = own.repeat(1, len(documents) // len(queries))  # (R, B · columns)
        near = self.similarity_fct(queries[rows], documents)
        found = {"query_to_doc": near * self.scale + self._hardness(near.detach(), own, of_own)}
        if "query_to_query" in self.directions:
            others = self.similarity_fct(queries[rows], queries).masked_fill(own, -torch.inf)
            found["query_to_query"] = others * self.scale
        if "doc_to_query" in self.directions:
            found["doc_to_query"] = self.similarity_fct(queries, positives[rows]).T * self.scale
        if "doc_to_doc" in self.directions:
            others = self.similarity_fct(documents, positives[rows]).T.masked_fill(of_own, -torch.inf)
            found["doc_to_doc"] = others * self.scale
        right = found["query_to_doc"].gather(1, rows[:, None])[:, 0]
        if self.partition_mode == "joint":
            return torch.cat(list(found.values()), dim=1).logsumexp(1) - right
        return torch.stack([one.logsumexp(1) for one in found.values()]).mean(0) - right

    def _hardness(self, near: Tensor, own: Tensor, of_own: Tensor) -> Tensor:
        """(R, B · columns) what is added to the scores of negatives."""
        if self.hardness_mode is None or not self.hardness_strength:
            return near.new_zeros(())
        hard = of_own.clone()
        hard[:, : own.shape[1]] = False  # the anchor's own texts after its positive
        counted = {"hard_negatives": hard, "in_batch_negatives": ~of_own, "all_negatives": ~of_own | hard}
        return near * self.hardness_strength * counted[self.hardness_mode]


class MultipleNegativesSymmetricRankingLoss(MultipleNegativesRankingLoss):
    """As above, and the cross-entropy of finding each positive's anchor among the anchors: the mean of both.

    Source: Radford et al. 2021 (arXiv 2103.00020).
    """

    def __init__(
        self,
        model: Any,
        scale: float = 20.0,
        similarity_fct: Similarity = cos_sim,
        gather_across_devices: bool = False,
    ) -> None:
        both = ("query_to_doc", "doc_to_query")
        super().__init__(model, scale, similarity_fct, gather_across_devices, both, "per_direction")


class CachedMultipleNegativesRankingLoss(Cached, MultipleNegativesRankingLoss):
    """MultipleNegativesRankingLoss of any batch in the memory of `mini_batch_size` texts: the same gradients.

    Source: Gao et al. 2021 (arXiv 2101.06983).
    """

    def __init__(
        self,
        model: Any,
        scale: float = 20.0,
        similarity_fct: Similarity = cos_sim,
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        gather_across_devices: bool = False,
        directions: Sequence[str] = ("query_to_doc",),
        partition_mode: str = "joint",
        show_progress_bar: bool = False,
        hardness_mode: str | None = None,
        hardness_strength: float = 0.0,
    ) -> None:
        """mini_batch_size, mini_batch_num_tokens: texts that go through the model at once, or their tokens.
        show_progress_bar: accepted; no bar is shown. The others: see MultipleNegativesRankingLoss.
        """
        super().__init__(
            model, scale, similarity_fct, gather_across_devices, directions, partition_mode, hardness_mode,
            hardness_strength,
        )  # fmt: skip
        self.set_parts(mini_batch_size, mini_batch_num_tokens)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None = None) -> Tensor:
        """A number, of two columns (B, D) or more; similarities are kept of `mini_batch_size` anchors at a time."""
        queries, positives = embeddings[:2]
        documents, count = torch.cat(embeddings[1:]), len(queries)
        rows = torch.arange(count, device=queries.device).split(self.mini_batch_size)
        parts = [
            checkpoint(
                self.losses, queries, positives, documents, part, use_reentrant=False, preserve_rng_state=False
            ).sum()
            for part in rows
        ]
        return torch.stack(parts).sum() / count
