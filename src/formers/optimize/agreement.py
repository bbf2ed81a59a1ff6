"""How far a model's results in one mode are from those in another, on texts.

Letters: B batch, T columns, D width, C labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Batch = Mapping[str, Tensor]
_AT_ONCE = 256  # rows of logits, which may be as wide as a vocabulary


@dataclass(frozen=True)
class Agreement:
    """A mode beside the model as it is.

    Attributes:
        texts: how many were compared.
        cosine: mean over the texts of the cosine between their embeddings, the mean of the last hidden states.
        worst_cosine: the least of them.
        labels_changed: share of the labels that changed (for a model that labels tokens: of the tokens); None without.
        score_change: largest change of the score, a probability, of the label that the model gave; None without.
    """

    texts: int
    cosine: float
    worst_cosine: float
    labels_changed: float | None = None
    score_change: float | None = None

    def __str__(self) -> str:
        line = f"cosine {self.cosine:.5f} (worst {self.worst_cosine:.5f}) on {self.texts} texts"
        if self.labels_changed is not None:
            line += f", {self.labels_changed:.2%} of labels changed, scores by at most {self.score_change:.4f}"
        return line


@dataclass(frozen=True)
class Limits:
    """What an agreement has to hold; None for anything. The attributes are those of Agreement."""

    cosine: float | None = None
    worst_cosine: float | None = None
    labels_changed: float | None = None
    score_change: float | None = None

    def broken(self, found: Agreement) -> str | None:
        """The first limit that does not hold, in words."""
        for name, limit in vars(self).items():
            value = getattr(found, name)
            if limit is None or value is None:
                continue
            holds = value >= limit if "cosine" in name else value <= limit
            if not holds:  # nor does what is no number
                side = "at least" if "cosine" in name else "at most"
                return f"{name} is {value:.5g}, and has to be {side} {limit:g}"
        return None


@dataclass
class Results:
    """What a model makes of texts.

    embeddings: (B, D). labels, scores: of each text or token that the model labels, and of each label its score, or
    that of the label which other results have there; None for a model that labels nothing.
    """

    embeddings: Tensor
    labels: Tensor | None
    scores: Tensor | None

    @classmethod
    def of(cls, model: Any, batches: Iterable[Batch], beside: Results | None = None) -> Results:
        """Run `model` and, for the embeddings, its base model; scores are those of the labels of `beside`, if given."""
        embeddings, labels, scores = [], [], []
        start = 0
        with torch.inference_mode():
            for batch in batches:
                alone = model.base_model is model
                embeddings.append(_embeddings(model.base_model, batch if alone else model.flatten(dict(batch))))
                logits = None if alone else _logits(model, batch)
                if logits is None:
                    continue
                for part in logits.float().split(_AT_ONCE):
                    labels.append(part.argmax(-1))
                    known = (
                        labels[-1] if beside is None or beside.labels is None else beside.labels[start:][: len(part)]
                    )
                    probabilities = part.sigmoid() if part.shape[-1] == 1 else part.softmax(-1)
                    scores.append(probabilities.gather(-1, known[:, None])[:, 0])
                    start += len(part)
        return cls(torch.cat(embeddings), torch.cat(labels) if labels else None, torch.cat(scores) if scores else None)

    def agreement(self, other: Results) -> Agreement:
        """How far `other`, made `beside` these, is from these."""
        cosines = F.cosine_similarity(self.embeddings, other.embeddings, dim=-1)
        changed = change = None
        if self.labels is not None and self.scores is not None:
            assert other.labels is not None and other.scores is not None  # the same model made both
            changed = float((other.labels != self.labels).double().mean())
            change = float((other.scores - self.scores).abs().max())
        return Agreement(len(cosines), float(cosines.double().mean()), float(cosines.min()), changed, change)


def _embeddings(base: Any, batch: Batch) -> Tensor:
    states = base.states(batch).float()  # (B, T, D)
    mask = None if "pixel_values" in batch else real_of(base, batch, states.shape[1])
    if mask is None:
        return states.mean(1)
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def _logits(model: Any, batch: Batch) -> Tensor | None:
    """(B, C), or those of real tokens, (N, C)."""
    logits = model(**batch, return_dict=True).get("logits")
    if logits is None:
        return None
    mask = real_of(model, batch, logits.shape[1]) if logits.dim() == 3 else None
    return logits.flatten(0, -2) if mask is None else logits[mask.bool()]


def real_of(model: Any, batch: Batch, columns: int) -> Tensor | None:
    """Which of so many columns of a model's results are real, (B, T): of tokens as the batch says, of frames of sound
    as follows from samples. None where all are, or where the batch does not speak of these columns."""
    mask = columns_of(batch)
    if mask is None or mask.shape[1] == columns:
        return mask
    frames = getattr(model, "_get_feature_vector_attention_mask", None)
    found: Tensor | None = None if frames is None else frames(columns, mask)
    return found


def senses(batch: Batch) -> bool:
    """Whether there are pictures or sounds in a batch, of which all rows are there."""
    return not {"pixel_values", "input_values", "input_features"}.isdisjoint(batch)


def mask_of(batch: Batch) -> Tensor | None:
    """Which columns are tokens, or samples of sound, (B, T); None for pictures or sounds alone."""
    if "attention_mask" in batch or "input_ids" not in batch:
        return batch.get("attention_mask")
    return torch.ones_like(batch["input_ids"])


def columns_of(batch: Batch) -> Tensor | None:
    """Which columns of the results are tokens: those of the decoder, where there is one."""
    return batch["decoder_attention_mask"] if "decoder_attention_mask" in batch else mask_of(batch)
