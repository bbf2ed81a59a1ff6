"""Samples to frames in inference: piece by piece, in memory that stays near the processor, whatever the length.

    samples  ├──────────── piece ────────────┤
                                      ├──────────── piece ────────────┤
    frames    1     2     3    …    P   P+1   P+2  …

A frame is of a few hundred samples, so that pieces overlap by less than a frame.
Letters: S samples, T frames, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .layers import ColumnConv
from .ops.activations import GELUActivation
from .ops.layout import Layout, is_tracing
from .ops.strided import Strided
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
    if torch.is_autocast_enabled("cpu"):  # which chooses a type for each operator
        return False
    plain = all(type(layer.conv) is ColumnConv for layer in encoder.conv_layers)
    ours = all(type(m).__module__.startswith(("formers.", "torch.nn.")) for m in modules)  # no adapters, say
    return plain and ours and not any(replaced(module) for module in modules)


def frames_in_pieces(layers: Sequence[Any], input_values: Tensor, layout: Layout) -> Tensor:
    """Sounds (B, S) to the frames of a layout, (N, C) or (B, T, C)."""
    later, pieces = [Strided.of(layer.conv) for layer in layers[1:]], []
    values, norm = input_values.to(layers[0].conv.weight.dtype), getattr(layers[0], "layer_norm", None)
    for text in layout.texts:
        first = Strided.of(layers[0].conv, norm if isinstance(norm, nn.GroupNorm) else None, values[text])
        for start in range(0, layout.new[text], PIECE):
            stop = min(start + PIECE, layout.new[text])
            pieces.append(_through(layers, [first, *later], values[text], start, stop))
    rows = torch.cat(pieces)
    return rows if layout.index is not None else rows.view(layout.batch, layout.columns, -1)


def reach(convolutions: Sequence[Strided], start: int, stop: int) -> tuple[int, int]:
    """The samples that frames from `start` up to `stop` are made of."""
    count = stop - start
    for convolution in reversed(convolutions):
        count, start = convolution.reads(count), start * convolution.stride
    return start, start + count


def _through(layers: Sequence[Any], convolutions: Sequence[Strided], wave: Tensor, start: int, stop: int) -> Tensor:
    """Of samples (S,) the frames from `start` up to `stop`, (T, C)."""
    rows = wave[slice(*reach(convolutions, start, stop))].contiguous()[:, None]
    for layer, convolution in zip(layers, convolutions, strict=True):
        rows, norm = convolution(rows), getattr(layer, "layer_norm", None)
        rows = norm(rows) if isinstance(norm, nn.LayerNorm) else rows
        rows = torch.ops.aten.gelu_(rows) if type(layer.activation) is GELUActivation else layer.activation(rows)
    return rows
