"""The fit of cross-encoders, of pairs of texts and what is known of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..examples import Batch, loader_of
from ..fit import Callback, Encoder, Run, check_numbers, make_optimizer, scheduled
from .losses import BinaryCrossEntropyLoss, CrossEntropyLoss, FunctionLoss, PairLoss


class FitsPairs(Encoder):
    """The part of a CrossEncoder that is trained."""

    num_labels: Any

    def fit(
        self,
        train_dataloader: Any,
        evaluator: Any = None,
        epochs: int = 1,
        loss_fct: Callable[..., Tensor] | None = None,
        activation_fct: Callable[[Tensor], Tensor] | None = None,
        scheduler: str = "WarmupLinear",
        warmup_steps: int = 10_000,
        optimizer_class: type[Optimizer] = torch.optim.AdamW,
        optimizer_params: Mapping[str, Any] | None = None,
        weight_decay: float = 0.01,
        evaluation_steps: int = 0,
        output_path: str | os.PathLike[str] | None = None,
        save_best_model: bool = True,
        max_grad_norm: float = 1.0,
        use_amp: bool = False,
        callback: Callback | None = None,
        show_progress_bar: bool = True,
        *,
        batch_size: int = 16,
    ) -> None:
        """Train, in place.

        Args:
            train_dataloader: a DataLoader of InputExamples, or of dictionaries or tuples of two texts and a label (see
                `batch_of`), or a list of these.
            loss_fct: one of `losses`; or a loss of torch's, of logits and labels. Left out: the binary cross-entropy of
                a model with one label, else the cross-entropy.
            activation_fct: what is done to logits before a loss that is left out, or of torch's.

        The others, and errors: as of SentenceEncoder.fit. Without an evaluator the model is saved at the end.
        """
        loss = self._loss(loss_fct, activation_fct)
        check_numbers(epochs=epochs, warmup_steps=warmup_steps, evaluation_steps=evaluation_steps)
        data = loader_of(train_dataloader, batch_size, "train_dataloader")
        optimizer = make_optimizer([self, loss], optimizer_class, optimizer_params or {"lr": 2e-5}, weight_decay)
        Run(
            model=self,
            objectives=[(data, _Read(self, loss))],
            evaluator=evaluator,
            epochs=epochs,
            steps_per_epoch=len(data),
            optimizer=optimizer,
            schedule=scheduled(scheduler, optimizer, warmup_steps, epochs * len(data)),
            evaluation_steps=evaluation_steps,
            output_path=output_path,
            save_best_model=save_best_model,
            max_grad_norm=max_grad_norm,
            use_amp=use_amp,
            callback=callback,
            show_progress_bar=show_progress_bar,
        ).go()

    def _loss(self, given: Any, activation: Any) -> PairLoss:
        device = self.device
        if isinstance(given, PairLoss):
            return given.to(device)
        if given is not None:
            return FunctionLoss(self, given, activation).to(device)
        one = self.num_labels == 1
        return (BinaryCrossEntropyLoss if one else CrossEntropyLoss)(self, activation).to(device)


@dataclass(frozen=True)
class _Read:
    """A loss of batches, by a loss of columns of texts."""

    encoder: Any
    loss: PairLoss

    def __call__(self, batch: Batch) -> Tensor:
        labels = None if batch.labels is None else batch.labels.to(self.encoder.device)
        value: Tensor = self.loss(batch.columns, labels)
        return value
