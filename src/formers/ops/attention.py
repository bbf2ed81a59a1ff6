"""The one attention. Letters: B batch, T columns, N real tokens, H heads, d width of a head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from .layout import Layout

Bias = Callable[[Tensor, Tensor], Tensor]
Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    *,
    heads: int,
    bias: Bias | None = None,
    causal: bool = False,
    window: int | None = None,
    dropout: float = 0.0,
    head_mask: Tensor | None = None,
    return_weights: bool = False,
    kernel: str = "sdpa",
) -> tuple[Tensor, Tensor | None]:
    """softmax(query · keyᵀ / √d + bias) · value, per head, within each row of the batch.

    query, key, value: rows of `layout`, (N, H·d) or (B, T, H·d).
    bias: from query and key, (B, H, T, d) each, to what is added to the scores, broadcastable to (B, H, T, T). It is
        called for texts of each length, with fewer of them and T their length, where no padding is within a text.
    causal: no column sees a later one.
    window: how many columns away, at most, what a column sees may be; None for any.
    dropout: probability of dropping a weight; give 0 outside training.
    head_mask: what each weight is multiplied by after dropout, broadcastable to (B, H, T, T).
    return_weights: also return the weights, (B, H, T, T).
    kernel: "sdpa" (torch's fused kernels) or "eager" (written out, as it always is to return or mask weights).

    Masked scores get the smallest finite number: a query that may see nothing attends evenly, instead of giving NaN.
    Source: Vaswani et al. 2017 (arXiv 1706.03762).
    """
    if head_mask is not None and head_mask.shape[1] not in (1, heads):
        raise InputError(f"head_mask is for {head_mask.shape[1]} heads, but the layer has {heads}.")
    fused = head_mask is None and not return_weights and kernel != "eager"
    if fused and layout.index is not None and ((bias is None and window is None) or layout.contiguous):
        return by_runs(_fused(bias, causal, window, dropout), query, key, value, layout, heads), None
    q, k, v = (_split(layout.unpack(x), heads) for x in (query, key, value))  # (B, H, T, d)
    scores_bias = bias(q, k) if bias is not None else None
    visible = layout.visible(causal, window)
    if visible is not None:
        least = torch.finfo(q.dtype).min
        hidden = torch.zeros((), dtype=q.dtype, device=q.device).where(visible.to(q.device), least)
        # added, so that gradients reach the bias where a query sees nothing; (B, 1 or H, 1 or T, T)
        scores_bias = hidden if scores_bias is None else (scores_bias + hidden).clamp(min=least)
    # fused kernels have a wrong backward where a query sees nothing: the minimum swallows their sum of exponentials
    if kernel == "eager" or return_weights or head_mask is not None or layout.blind(causal, window):
        context, weights = _written_out(q, k, v, scores_bias, dropout, head_mask)
    else:
        context, weights = F.scaled_dot_product_attention(q, k, v, attn_mask=scores_bias, dropout_p=dropout), None
    rows = layout.pack(context.transpose(1, 2).flatten(2))  # (B, H, T, d) -> (B, T, H·d) -> rows
    return rows, weights if return_weights else None


def _fused(bias: Bias | None, causal: bool, window: int | None, dropout: float) -> Kernel:
    """Attention of texts of one length, none of whose columns is padding."""
    if bias is None and window is None:
        return partial(F.scaled_dot_product_attention, dropout_p=dropout, is_causal=causal)

    def kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen = Layout(q.shape[0], q.shape[2]).visible(causal, window, q.device)
        scores = None if bias is None else bias(q, k)
        if scores is not None and seen is not None:
            scores = scores.masked_fill(~seen, torch.finfo(q.dtype).min)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen if scores is None else scores, dropout_p=dropout)

    return kernel


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, T, H·d) -> (B, H, T, d)


def by_runs(
    kernel: Kernel, query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: int, first: bool = False
) -> Tensor:
    """Attention on packed rows (N, H·d) as they are: a call for each run of texts of one length, no padding, no mask.

    kernel: from q, k, v, views (texts, H, length, d), to the context in the same shape. Within a text rows are in the
    order of their columns, so it may be causal.
    first: `query` has only column 0 of each text, in the order of the runs, (B, H·d); so has what is returned.
    """
    sizes = [run.texts * run.length for run in layout.runs]
    counts = [run.texts for run in layout.runs] if first else sizes
    parts = []  # split, not slices: its backward joins the parts' gradients once
    for run, *qkv in zip(layout.runs, query.split(counts), key.split(sizes), value.split(sizes), strict=True):
        q, k, v = (x.view(run.texts, -1, heads, x.shape[1] // heads).transpose(1, 2) for x in qkv)
        parts.append(kernel(q, k, v).transpose(1, 2).reshape(-1, value.shape[1]))  # (texts · length, H · d)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _written_out(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, dropout: float, head_mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    weights = F.dropout(scores.softmax(-1), dropout)
    if head_mask is not None:
        weights = weights * head_mask
    return weights @ v, weights
