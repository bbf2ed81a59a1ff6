"""The one attention. Letters: B batch, T columns, Q queries, K keys, N real tokens, H heads, d width of a head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from .layout import Layout, is_tracing

if TYPE_CHECKING:
    from .bias import PairBias
    from .step import Step

# from query (B, H, Q, d), key (B, H, K, d), and how far each key is behind each query, (Q, K), to what is added to the
# scores, broadcastable to (B, H, Q, K)
Bias = Callable[[Tensor, Tensor, Tensor], Tensor]
# from how many tokens of its text are before each key, (1 or B, K), to what is added to its scores, (1 or B, H, 1, K)
ByPlace = Callable[[Tensor], Tensor]
Kernel = Callable[..., Tensor]  # from q, k, v, and maybe what is added to their scores
_FEW = 64  # queries, and keys


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    step: Step,
    *,
    heads: int,
    key_heads: int | None = None,
    memory: Layout | None = None,
    bias: Bias | None = None,
    by_place: ByPlace | None = None,
    pairs: PairBias | None = None,
    causal: bool = False,
    window: int | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
    head_mask: Tensor | None = None,
    kernel: str = "sdpa",
) -> tuple[Tensor, ...]:
    """softmax(query · keyᵀ · scale + bias) · value, per head, within each text of the batch.

    query: rows of the step's layout, (N, H·d) or (B, T, H·d). key, value: rows of the same, or of `memory`.
    key_heads: heads of keys and values, of which each serves as many neighbouring heads of queries; H if left out.
    memory: where the rows of keys and values are, when they are another text's; it has the same B, or a part of it:
        then as many neighbours attend to one. Keys and values may also be (B, H, K, d).
    bias: what is added to scores, from the positions of queries and keys; called for texts of each length where no
        padding is within a text.
    by_place: instead of `bias`, what is added to the scores of a key, wherever the query is; it counts real tokens.
    pairs: instead of both, what is added by what query and key are, in a model that is neither causal nor has windows.
    causal: no query sees a later key. The last query stands at the last key.
    window: how far a query sees. As the reference counts: causal, the nearest `window` keys, itself included; else that
        many on either side. None for all. A mask that is given for each query replaces both.
    scale: 1/√d if left out. softcap: scores are brought below it, as softcap · tanh(score / softcap).
    dropout: probability of dropping a weight; give 0 outside training.
    head_mask: what each weight is multiplied by after dropout, broadcastable to (B, H, Q, K).
    kernel: "sdpa" (torch's fused kernels) or "eager" (written out, as it always is to return, mask or cap weights).

    Returns the rows, (N, H·d) or (B, T, H·d), and where the step asks for them the weights, (B, H, Q, K).
    Masked scores get the smallest finite number: a query that may see nothing attends evenly, instead of giving NaN.
    Source: Vaswani et al. 2017 (arXiv 1706.03762); grouped keys: Ainslie et al. 2023 (arXiv 2305.13245).
    """
    layout, asked, groups = step.layout, step.output_attentions, key_heads or heads
    if head_mask is not None and head_mask.shape[1] not in (1, heads):
        raise InputError(f"head_mask is for {head_mask.shape[1]} heads, but the layer has {heads}.")
    written = partial(_written_out, scale=scale, softcap=softcap, dropout=dropout)
    fused = head_mask is None and not asked and kernel != "eager"
    by_column = bias is not None or window is not None  # so that padding within a text counts
    if step.cache is not None and memory is None:
        # a window counts padding, too, and places are those of columns
        apart = window is not None and step.cache.apart(layout)
        if (
            fused
            and causal
            and layout.mask is None
            and not apart
            and not is_tracing()
            and (not by_column or layout.contiguous)
        ):
            more: Any = {"bias": bias, "by_place": by_place, "window": window}
            more |= {"scale": scale, "softcap": softcap, "dropout": dropout}
            return (_onto_past(query, key, value, step, heads, groups, **more),)
        new = (_split(layout.unpack(x), groups) for x in (key, value))
        key, value, memory = step.cache.extend_columns(step.layer, *new, layout)
    packed = fused and layout.index is not None and memory is None
    if packed and (not by_column or layout.contiguous):
        sdpa: Any = partial(F.scaled_dot_product_attention, scale=scale, dropout_p=dropout)
        if pairs is not None:
            return (by_spans(sdpa, query, key, value, layout, heads, groups, added=pairs.of_spans),)
        if softcap is not None:
            capped = lambda q, k, v, attn_mask: written(q, k, v, attn_mask)[0]  # noqa: E731
            run = _with_scores(capped, bias, by_place, causal, window)
        elif bias is None and by_place is None and window is None:
            run = partial(sdpa, is_causal=causal)
        else:
            run = _with_scores(sdpa, bias, by_place, causal, window)
        return (by_spans(run, query, key, value, layout, heads, groups),)
    keys = layout if memory is None else memory
    q = _split(layout.unpack(query), heads)
    shares = (
        layout.batch // keys.batch if keys.batch else 1
    )  # texts that attend to one memory are as many queries of one
    q = q if shares == 1 else q.unflatten(0, (-1, shares)).transpose(1, 2).flatten(2, 3)
    k, v = (x if x.dim() == 4 else _split(keys.unpack(x), groups) for x in (key, value))
    k, v = _each_head(k, heads), _each_head(v, heads)
    Q, K = q.shape[2], k.shape[2]
    places = None if by_place is None else keys.places(q.device).clamp(min=0)
    scores = _added(q, k, bias, by_place, places) if pairs is None else pairs.whole
    hidden = scores_hidden(keys, Q, K, q, causal=causal, window=window)
    if hidden is not None:
        if hidden.shape[1] not in (1, heads):
            raise InputError(f"attention_mask is for {hidden.shape[1]} heads, but the layer has {heads}.")
        # added, so that gradients reach the bias where a query sees nothing; (B, 1 or H, 1 or Q, K)
        scores = hidden if scores is None else _summed(scores, hidden)
    # fused kernels have a wrong backward where a query sees nothing: the minimum swallows their sum of exponentials
    if not fused or softcap is not None or _blind(keys, causal, window):
        context, weights = written(q, k, v, scores, head_mask=head_mask)
    elif memory is not None and _is_few(q, k):
        context, weights = written(q, k, v, scores)
    else:
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=scores, dropout_p=dropout, scale=scale)
        weights = None
    if shares > 1:
        apart = lambda x: x.unflatten(2, (shares, -1)).transpose(1, 2).flatten(0, 1)  # noqa: E731
        context, weights = apart(context), None if weights is None else apart(weights)
    rows = layout.pack(context.transpose(1, 2).flatten(2))  # (B, H, Q, d) -> (B, Q, H·d) -> rows
    return (rows, weights) if asked and weights is not None else (rows,)


def _is_few(q: Tensor, k: Tensor) -> bool:
    """Whether a CPU is faster at the few steps of attention one by one than at torch's fused kernel."""
    plain = q.device.type == "cpu" and q.dtype == torch.float32 and not torch.is_grad_enabled()
    together = k.stride(0) == k.shape[1] * k.stride(1)  # or products copy them
    return plain and together and 1 < q.shape[2] <= _FEW and q.shape[2] * k.shape[2] <= _FEW * _FEW


def distances(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """(Q, K) how far each key is behind each query, the last query standing at the last key."""
    place = torch.arange(keys - queries, keys, device=device)
    return place[:, None] - torch.arange(keys, device=device)


def _added(
    q: Tensor, k: Tensor, bias: Bias | None, by_place: ByPlace | None, places: Tensor | None = None
) -> Tensor | None:
    """What is added to the scores of queries (B, H, Q, d); places: of the keys, which else come without padding."""
    Q, K = q.shape[2], k.shape[2]
    if by_place is not None:
        return by_place(torch.arange(K, device=q.device)[None] if places is None else places).to(q.dtype)
    return None if bias is None else bias(q, k, distances(Q, K, q.device))


def _summed(scores: Tensor, hidden: Tensor) -> Tensor:
    """Both, no less than the smallest number; what both hide with it, even a query that sees nothing leaves out."""
    least = torch.finfo(scores.dtype).min
    return (scores + hidden).clamp(min=least).masked_fill((scores == least) & (hidden == least), -torch.inf)


def scores_hidden(
    keys: Layout, queries: int, columns: int, like: Tensor, *, causal: bool = False, window: int | None = None
) -> Tensor | None:
    """What is added to scores so that no query sees what it may not: (B or 1, 1 or H, 1 or Q, K), None for nothing."""
    seen, least = keys.visible(), torch.finfo(like.dtype).min
    if keys.mask is None or keys.mask.dim() == 2:
        near = _near(queries, columns, causal, window, like.device)
        if near is None:
            return keys.hidden(like)
        seen = near[None, None] if seen is None else seen.to(like.device) & near
    if seen is None:
        return None
    seen = seen.to(like.device)
    if seen.dtype.is_floating_point:
        return seen.to(like.dtype).clamp(min=least)
    return torch.zeros((), dtype=like.dtype, device=like.device).where(seen, least)


def _near(queries: int, keys: int, causal: bool, window: int | None, device: torch.device) -> Tensor | None:
    """(Q, K) which keys are near enough, and not later; None when all are."""
    narrow = window is not None and window < keys
    if not narrow and not (causal and queries > 1):
        return None
    distance = distances(queries, keys, device)
    near = distance >= 0 if causal else distance == distance
    if window is not None and narrow:
        near = near & (distance < window if causal else distance.abs() <= window)
    return near


def _blind(keys: Layout, causal: bool, window: int | None) -> bool:
    """Whether some query may see nothing at all; not asked while a graph is being traced."""
    mask = keys.mask
    if mask is None or is_tracing():
        return False
    if mask.dim() == 2 and not causal and window is None:
        return keys.some_empty
    if mask.dtype.is_floating_point:
        return bool((mask.amax(-1) <= torch.finfo(torch.float16).min).any())
    if mask.dim() == 4:
        return not bool(mask.any(-1).all())
    if window is not None and window < keys.columns:
        return True  # padding may lie too far away from all that is real
    return not bool((mask[:, 0] if causal else mask.any(-1)).all())


def _with_scores(
    run: Callable[..., Tensor], bias: Bias | None, by_place: ByPlace | None, causal: bool, window: int | None
) -> Kernel:
    """Attention of texts of one length, none of whose columns is padding, with what is added to their scores."""

    def kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = _each_head(k, q.shape[1]), _each_head(v, q.shape[1])
        seen = _near(q.shape[2], k.shape[2], causal, window, q.device)
        scores = _added(q, k, bias, by_place)
        if seen is not None:
            scores = q.new_zeros(()) if scores is None else scores
            scores = torch.where(seen, scores, torch.finfo(q.dtype).min)
        return run(q, k, v, attn_mask=scores)

    return kernel


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, T, H·d) -> (B, H, T, d)


def _each_head(x: Tensor, heads: int) -> Tensor:
    """(B, G, K, d) to (B, H, K, d), H a multiple of G."""
    groups = x.shape[1]
    return x if groups == heads else x.repeat_interleave(heads // groups, dim=1)


def by_spans(
    kernel: Kernel,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    heads: int,
    groups: int | None = None,
    first: bool = False,
    added: Sequence[Tensor] | None = None,
) -> Tensor:
    """Attention on packed rows (N, H·d) as they are: a call for each span of texts of one length, no padding, no mask.

    kernel: from q, k, v, views (texts, H or G, length, d), to the context in q's shape. Within a text rows are in the
    order of their columns, so it may be causal.
    groups: G, heads of keys and values, when they are fewer.
    first: `query` has only column 0 of each text, in the order of the spans, (B, H·d); so has what is returned.
    added: for each span what its scores gain; the kernel then takes it as `attn_mask`.
    """
    sizes = [span.texts * span.new for span in layout.spans]
    counts = [span.texts for span in layout.spans] if first else sizes
    width = value.shape[1] // (groups or heads) * heads
    parts = []  # split, not slices: its backward joins the parts' gradients once
    more: Any = [{}] * len(sizes) if added is None else [{"attn_mask": scores} for scores in added]
    for span, extra, rows, *both in zip(
        layout.spans, more, query.split(counts), key.split(sizes), value.split(sizes), strict=True
    ):
        q = rows.view(span.texts, -1, heads, rows.shape[1] // heads).transpose(1, 2)
        k, v = (x.view(span.texts, -1, groups or heads, x.shape[1] // (groups or heads)).transpose(1, 2) for x in both)
        if groups and groups != heads:
            k, v = _each_head(k, heads), _each_head(v, heads)
        parts.append(kernel(q, k, v, **extra).transpose(1, 2).reshape(-1, width))  # (texts · length, H · d)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _onto_past(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    step: Step,
    heads: int,
    groups: int,
    *,
    bias: Bias | None,
    by_place: ByPlace | None,
    window: int | None,
    scale: float | None,
    softcap: float | None,
    dropout: float,
) -> Tensor:
    """Causal attention of new rows to themselves and to the tokens before them in the step's cache, span by span."""
    layout, parts, cache = step.layout, [], step.cache
    past = layout.past or (0,) * layout.batch
    if cache.trunk is not None and (bias or by_place or window or softcap or dropout or max(layout.new) > 1):
        cache.join()
    rows = [x.reshape(-1, x.shape[-1]) for x in (query, key, value)]
    sizes, first = [span.texts * span.new for span in layout.spans], 0
    for span, *qkv in zip(layout.spans, *(x.split(sizes) for x in rows), strict=True):
        texts = layout.texts[first : first + span.texts]
        first += span.texts
        q, k, v = (
            x.view(span.texts, span.new, n, -1).transpose(1, 2)
            for x, n in zip(qkv, (heads, groups, groups), strict=True)
        )
        earlier = [past[text] for text in texts]
        trunks = None if cache.trunk is None else cache.trunks(step.layer, texts)
        if trunks is None:
            cache.join()
        k, v = cache.extend(step.layer, texts, earlier, k, v)
        if trunks is None:
            context = _of_past(q, k, v, earlier, bias, by_place, window, scale, softcap, dropout)
        else:
            context = _of_branches(q, k, v, trunks, scale)
        parts.append(context.transpose(1, 2).reshape(span.texts * span.new, -1))
    joined = parts[0] if len(parts) == 1 else torch.cat(parts)
    return joined.view(*query.shape[:-1], joined.shape[-1])


def _of_past(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    past: list[int],
    bias: Bias | None,
    by_place: ByPlace | None,
    window: int | None,
    scale: float | None,
    softcap: float | None,
    dropout: float,
) -> Tensor:
    """Attention (n, H, T, d) of texts with T new tokens each, to keys (n, G, K, d) of which text i has past[i] + T."""
    (n, H, T, d), G, K = q.shape, k.shape[1], k.shape[2]
    options: Any = {"scale": scale, "softcap": softcap, "dropout": dropout}
    if min(past) != max(past) and bias is not None:  # which is of one distance for all
        each = ((q[i : i + 1], k[i : i + 1, :, : p + T], v[i : i + 1, :, : p + T], [p]) for i, p in enumerate(past))
        return torch.cat([_of_past(*one, bias, None, window, **options) for one in each])
    if min(past) == max(past):
        seen = _near(T, K, True, window, q.device)  # (T, K)
    else:  # one new token each
        behind = torch.tensor(past, device=q.device)[:, None, None, None] - torch.arange(K, device=q.device)
        seen = behind >= 0 if window is None or window >= K else (behind >= 0) & (behind < window)  # (n, 1, 1, K)
    if T == 1 and G != H and bias is None and by_place is None:  # heads that share keys are as many queries of one
        q, seen_by_all = q.view(n, G, H // G, d), True
    else:
        k, v, seen_by_all = _each_head(k, H), _each_head(v, H), False
    scores = _added(q, k, bias, by_place)
    if softcap is None and scores is None and seen is not None and T == K and (window is None or window >= K):
        context = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, dropout_p=dropout)
    else:
        if scores is not None and seen is not None:
            scores = torch.where(seen, scores, torch.finfo(q.dtype).min)
        elif seen is not None:
            scores = seen
        if softcap is None:
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=scores, scale=scale, dropout_p=dropout)
        else:
            if scores is seen and seen is not None:
                scores = q.new_zeros(()).where(seen, torch.finfo(q.dtype).min)
            context = _written_out(q, k, v, scores, **options)[0]
    return context.view(n, H, 1, d) if seen_by_all else context


def _of_branches(
    q: Tensor, k: Tensor, v: Tensor, trunks: tuple[Tensor, Tensor, list[int]], scale: float | None
) -> Tensor:
    """Attention (n, H, 1, d) of a new token each to own keys (n, G, K, d) and to those of trunks, (m, G, P, d), each of
    which has so many tokens and the same number of neighbours: their queries are as many of one text."""
    trunk_k, trunk_v, lengths = trunks
    (n, H, _, d), (m, G, P, _) = q.shape, trunk_k.shape

    def together(x: Tensor) -> Tensor:
        return x.view(m, n // m, G, H // G, -1).transpose(1, 2).reshape(m, G, n // m * (H // G), -1)

    def apart(x: Tensor) -> Tensor:
        return x.view(m, G, n // m, H // G, -1).transpose(1, 2).reshape(n, G, H // G, -1)

    q = q.reshape(n, G, H // G, d) * (d**-0.5 if scale is None else scale)
    early = together(q) @ trunk_k.transpose(-1, -2)  # (m, G, n/m · H/G, P)
    if min(lengths) < P:
        there = torch.arange(P, device=q.device) < torch.tensor(lengths, device=q.device)[:, None]
        early = early.masked_fill(~there[:, None, None], -torch.inf)
    late = together(q @ k.transpose(-1, -2))
    weights = torch.cat([early, late], dim=-1).float().softmax(-1).to(q.dtype)
    context = apart(weights[..., :P] @ trunk_v) + apart(weights[..., P:]) @ v
    return context.reshape(n, H, 1, d)


def _written_out(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    *,
    scale: float | None,
    softcap: float | None,
    dropout: float,
    head_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    scores = (q if scale == 1 else q * (q.shape[-1] ** -0.5 if scale is None else scale)) @ k.transpose(-1, -2)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias
    weights = scores.softmax(-1)
    weights = F.dropout(weights, dropout) if dropout else weights
    if head_mask is not None:
        weights = weights * head_mask
    return weights @ v, weights
