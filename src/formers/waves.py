"""Samples to frames in inference: piece by piece, in memory that stays in the processor's caches, whatever the length.

    samples  ├──────────── piece ────────────┤
                                      ├──────────── piece ────────────┤
    frames    1     2     3    …    P   P+1   P+2  …

A frame is of a few hundred samples, so that pieces overlap by less than a frame. The norm of each channel over a whole
sound, that of some models' first convolution, needs no pass over what the convolution makes: it is linear, so that mean
and deviation of its channels follow from those of the windows that it reads,

    mean(w · u) = w · mean(u)        var(w · u) = wᵀ · cov(u) · w

and the norm becomes part of kernel and bias.
Letters: S samples, T frames, C channels, K kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .ops.activations import GELUActivation
from .ops.layout import Layout, is_tracing
from .optimize.guard import hooks_of, watched
from .optimize.linear import replaced

PIECE = 64  # frames; of models with 320 samples to a frame a first convolution makes 8 MB of them


def in_pieces(encoder: Any, input_values: Tensor) -> bool:
    """Whether convolutions may be computed so: on a processor, with nobody who learns, or sees what is between."""
    modules = list(encoder.modules())
    if input_values.device.type != "cpu" or encoder.training or is_tracing() or watched(hooks_of(modules)):
        return False
    if torch.is_grad_enabled() and (input_values.requires_grad or any(p.requires_grad for p in encoder.parameters())):
        return False
    ours = all(type(m).__module__.startswith(("formers.", "torch.nn.")) for m in modules)  # no adapters, say
    return ours and not any(replaced(module) for module in modules)


def frames_in_pieces(layers: Sequence[Any], input_values: Tensor, layout: Layout) -> Tensor:
    """Sounds (B, S) to the frames of a layout, (N, C) or (B, T, C)."""
    steps = [(layer.conv.kernel_size[0], layer.conv.stride[0]) for layer in layers]
    made = []
    for text in layout.texts:
        wave, frames = input_values[text], layout.new[text]
        first = kernel_of(layers[0], wave)
        for start in range(0, frames, PIECE):
            piece = wave[slice(*_reach(steps, start, min(start + PIECE, frames)))]
            made.append(_through(layers, first, piece)[0].transpose(0, 1))
    rows = torch.cat(made)
    return rows if layout.index is not None else rows.view(layout.batch, layout.columns, -1)


def _reach(steps: Sequence[tuple[int, int]], start: int, stop: int) -> tuple[int, int]:
    """The samples that frames from `start` up to `stop` are made of."""
    last = stop - 1
    for kernel, stride in reversed(steps):
        start, last = start * stride, last * stride + kernel - 1
    return start, last + 1


def kernel_of(layer: Any, wave: Tensor) -> tuple[Tensor, Tensor | None]:
    """Kernel (C, K) and bias (C,) of a first convolution for one sound (S,), with its norm in them if it has one of
    each channel."""
    conv, norm = layer.conv, getattr(layer, "layer_norm", None)
    kernel, bias = conv.weight[:, 0], conv.bias
    if not isinstance(norm, nn.GroupNorm):
        return kernel, bias
    windows = wave.unfold(0, conv.kernel_size[0], conv.stride[0]).double()
    mean = windows.mean(0)
    apart = windows - mean
    spread = apart.T @ apart / len(windows)  # (K, K)
    exact = kernel.double()
    scale = norm.weight / ((exact @ spread * exact).sum(1).clamp(min=0) + norm.eps).sqrt()
    made = exact * scale[:, None], norm.bias - scale * (exact @ mean)
    return made[0].to(kernel.dtype), made[1].to(kernel.dtype)


def _through(layers: Sequence[Any], first: tuple[Tensor, Tensor | None], piece: Tensor) -> Tensor:
    """Samples (S,) to frames (1, C, T)."""
    kernel, bias = first
    for i, layer in enumerate(layers):
        norm = getattr(layer, "layer_norm", None)
        if i == 0:
            windows = piece.to(kernel.dtype).unfold(0, kernel.shape[1], layer.conv.stride[0]).T  # (K, T)
            columns = (kernel @ windows if bias is None else torch.addmm(bias[:, None], kernel, windows))[None]
        else:
            columns = layer.conv(columns)
        if isinstance(norm, nn.LayerNorm):
            columns = norm(columns.transpose(1, 2)).transpose(1, 2)
        columns = activated(layer.activation, columns)
    return columns


def activated(activation: nn.Module, columns: Tensor) -> Tensor:
    """What the activation makes, in the memory of what it reads where it can."""
    if type(activation) is GELUActivation:
        return torch.ops.aten.gelu_(columns)
    return activation(columns)
