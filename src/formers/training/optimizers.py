"""Optimizers, and which parameters their weight decay is for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR

from ..errors import ArgumentError, InputError
from .choices import OptimizerNames

# a bias, and the parameters of a normalisation, by the names that models give them
_UNDECAYED = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)", re.IGNORECASE)


class AdamW(torch.optim.AdamW):
    """torch's, with the values that Transformers' own had where none are given: no weight decay, an eps of 1e-6.

    Source: Loshchilov and Hutter 2017 (arXiv 1711.05101).
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        correct_bias: bool = True,
        no_deprecation_warning: bool = False,
        **kwargs: Any,
    ) -> None:
        if not correct_bias:
            raise ArgumentError("AdamW: correct_bias=False is not here; torch's AdamW always corrects.")
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, **kwargs)


class Adafactor(Optimizer):
    """Adam whose second moments of a matrix (R, C) are kept as a row and a column, R + C numbers.

    lr: None lets the step decide, with `relative_step`. eps: what is added to squares, and the least scale of a
    parameter. clip_threshold: the largest root mean square of an update. decay_rate: second moments forget by
    1 - step ** decay_rate. beta1: None for no first moments. scale_parameter: a rate is a part of the parameter's
    root mean square. warmup_init: the rate of the first steps grows with the step.
    Source: Shazeer and Stern 2018 (arXiv 1804.04235).
    """

    def __init__(
        self,
        params: Any,
        lr: float | None = None,
        eps: tuple[float, float] = (1e-30, 1e-3),
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta1: float | None = None,
        weight_decay: float = 0.0,
        scale_parameter: bool = True,
        relative_step: bool = True,
        warmup_init: bool = False,
    ) -> None:
        if lr is not None and relative_step:
            raise InputError("Adafactor: with relative_step the step decides; leave lr out or set relative_step=False.")
        if warmup_init and not relative_step:
            raise InputError("Adafactor: warmup_init needs relative_step=True.")
        defaults = {
            "lr": lr, "eps": eps, "clip_threshold": clip_threshold, "decay_rate": decay_rate, "beta1": beta1,
            "weight_decay": weight_decay, "scale_parameter": scale_parameter, "relative_step": relative_step,
            "warmup_init": warmup_init,
        }  # fmt: skip
        super().__init__(params, defaults)

    @staticmethod
    def _get_lr(group: dict[str, Any], state: dict[str, Any]) -> float:
        rate = group["lr"]
        if group["relative_step"]:
            most = 1e-6 * state["step"] if group["warmup_init"] else 1e-2
            rate = min(most, 1 / math.sqrt(state["step"]))
        return rate * (max(group["eps"][1], float(state["RMS"])) if group["scale_parameter"] else 1.0)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters once by their gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient: Any = parameter.grad
        gradient, state = gradient.float(), self.state[parameter]
        if gradient.is_sparse:
            raise InputError("Adafactor takes no sparse gradients; make the embedding with sparse=False.")
        factored = gradient.dim() >= 2
        if not state:
            state["step"] = 0
            if group["beta1"] is not None:
                state["exp_avg"] = torch.zeros_like(gradient)
            if factored:
                state["exp_avg_sq_row"] = gradient.new_zeros(gradient.shape[:-1])
                state["exp_avg_sq_col"] = gradient.new_zeros(gradient.shape[:-2] + gradient.shape[-1:])
            else:
                state["exp_avg_sq"] = torch.zeros_like(gradient)
        weights = parameter.float()
        state["step"] += 1
        state["RMS"] = float(_rms(weights))
        rate = self._get_lr(group, state)
        kept = 1 - state["step"] ** group["decay_rate"]
        square = gradient**2 + group["eps"][0]
        if factored:
            row = state["exp_avg_sq_row"].mul_(kept).add_(square.mean(-1), alpha=1 - kept)
            column = state["exp_avg_sq_col"].mul_(kept).add_(square.mean(-2), alpha=1 - kept)
            update = gradient * (row / row.mean(-1, keepdim=True)).rsqrt()[..., None] * column.rsqrt()[..., None, :]
        else:
            update = gradient * state["exp_avg_sq"].mul_(kept).add_(square, alpha=1 - kept).rsqrt()
        update = update / (_rms(update) / group["clip_threshold"]).clamp(min=1.0) * rate
        if group["beta1"] is not None:
            update = state["exp_avg"].mul_(group["beta1"]).add_(update, alpha=1 - group["beta1"])
        if group["weight_decay"]:
            weights = weights - weights * (group["weight_decay"] * rate)
        parameter.copy_(weights - update)


def _rms(x: Tensor) -> Tensor:
    return x.norm(2) / x.numel() ** 0.5


class AdafactorSchedule(LambdaLR):
    """Shows the rates that Adafactor takes by itself, for programs that ask a schedule for them."""

    def __init__(self, optimizer: Optimizer, initial_lr: float = 0.0) -> None:
        for group in optimizer.param_groups:
            group["initial_lr"] = initial_lr
        super().__init__(optimizer, lambda _: initial_lr)
        for group in optimizer.param_groups:
            del group["initial_lr"]

    def get_lr(self) -> list[float | Tensor]:
        """The rate of the first parameter of each group that has had a gradient."""
        optimizer: Any = self.optimizer
        rates: list[float | Tensor] = [
            optimizer._get_lr(group, optimizer.state[group["params"][0]])
            for group in optimizer.param_groups
            if group["params"][0].grad is not None
        ]
        return rates or self.base_lrs


def get_adafactor_schedule(optimizer: Optimizer, initial_lr: float = 0.0) -> AdafactorSchedule:
    """The same."""
    return AdafactorSchedule(optimizer, initial_lr)


def decayed_names(model: nn.Module) -> list[str]:
    """The names of the parameters that weight decay is for: all but biases and those of normalisations."""
    norms = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, nn.LayerNorm)
        for name, _ in module.named_parameters(recurse=False)
    }
    return [name for name, _ in model.named_parameters() if name not in norms and not _UNDECAYED.search(name)]


def groups(model: nn.Module, decayed: Iterable[str], weight_decay: float) -> list[dict[str, Any]]:
    """The parameters that are trained, those with weight decay first."""
    chosen = set(decayed)
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not trained:
        raise InputError("No parameter of the model is trained: requires_grad is False for all of them.")
    return [
        {"params": [p for name, p in trained if name in chosen], "weight_decay": weight_decay},
        {"params": [p for name, p in trained if name not in chosen], "weight_decay": 0.0},
    ]


def chosen(args: Any) -> tuple[type[Optimizer], dict[str, Any]]:
    """The class that `args.optim` names, and its options from the arguments and from `args.optim_args`."""
    given = _given(args.optim_args)
    rate, adam = {"lr": args.learning_rate}, {"betas": (args.adam_beta1, args.adam_beta2), "eps": args.adam_epsilon}
    kind = OptimizerNames(args.optim)
    if kind in (OptimizerNames.ADAMW_TORCH, OptimizerNames.ADAMW_HF):
        return torch.optim.AdamW, {**rate, **adam, **given}
    if kind == OptimizerNames.ADAMW_TORCH_FUSED:
        return torch.optim.AdamW, {**rate, **adam, "fused": True, **given}
    if kind == OptimizerNames.ADAFACTOR:
        return Adafactor, {**rate, "scale_parameter": False, "relative_step": False, **given}
    return {OptimizerNames.SGD: SGD, OptimizerNames.ADAGRAD: Adagrad, OptimizerNames.RMSPROP: RMSprop}[kind], {
        **rate,
        **given,
    }


def _given(text: str | None) -> dict[str, Any]:
    """Options from "name=value, name=value"."""
    found: dict[str, Any] = {}
    for part in (text or "").replace(" ", "").split(","):
        name, equals, value = part.partition("=")
        if not part:
            continue
        if not equals:
            raise ArgumentError(f"optim_args={text!r}: {part!r} is not name=value.")
        words = {"true": True, "false": False, "none": None}
        try:
            found[name] = words[value.lower()] if value.lower() in words else float(value)
        except ValueError:
            found[name] = value
    return found
