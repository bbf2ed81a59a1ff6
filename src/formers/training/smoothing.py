"""Label smoothing of what any model returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..ops import losses


@dataclass
class LabelSmoother:
    """A loss in which all tokens share `epsilon` of each label's weight, from what a model returns without labels.

    ignore_index: the label that is left out. Source: Szegedy et al. 2016 (arXiv 1512.00567), section 7.
    """

    epsilon: float = 0.1
    ignore_index: int = losses.IGNORED

    def __call__(
        self,
        model_output: Any,
        labels: Tensor,
        shift_labels: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The mean over the labels (B, T) that count. Logits are (B, T, V), by name or the first of a tuple.

        shift_labels: label t is for the logits at t - 1, as of decoders alone. num_items_in_batch: what the sum is
        divided by, for batches whose gradients are added up.
        """
        logits = model_output["logits"] if isinstance(model_output, Mapping) else model_output[0]
        if logits.shape[:-1] != labels.shape:
            raise InputError(
                f"labels have shape {tuple(labels.shape)}, but the logits are for {tuple(logits.shape[:-1])} tokens. "
                "Logits come first in a tuple of a model that got no labels."
            )
        if shift_labels:
            logits, labels = logits[..., :-1, :], labels[..., 1:]
        labels = labels.masked_fill(labels == self.ignore_index, losses.IGNORED)
        return losses.tokens(logits.flatten(0, -2).float(), labels.flatten(), num_items_in_batch, self.epsilon)
