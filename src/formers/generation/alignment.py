"""When each token of speech was said: where some heads of the decoder look in the sound while it is read.

    weights of a head (T, S) ─ by column ─ median of frames ─ mean of heads ─▶ (T, S) ─ shortest path ─▶ seconds (T,)

Source: https://github.com/openai/whisper, whisper/timing.py; dynamic time warping: Sakoe & Chiba 1978.
Letters: T tokens, S rows of the encoder, H heads chosen, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Array = np.ndarray[Any, Any]


def token_times(
    model: Any, memory: Tensor, tokens: Sequence[int], prompt: int, heads: Sequence[Sequence[int]], rows: int
) -> Tensor:
    """(T,) the second at which each token begins; 0 for those of the prompt, and for the last that of the one before.

    memory: (S, D) what the encoder said, of which `rows` are sound. tokens: T of them, `prompt` of which were given.
    heads: pairs of a layer and a head of it.
    """
    times = torch.zeros(len(tokens))
    if len(tokens) - prompt < 2:
        return times
    weights = crossed(model, memory, tokens[:-1], heads)[:, prompt:, :rows]
    deviation, mean = torch.std_mean(weights, dim=1, keepdim=True, unbiased=False)
    weights = median((weights - mean) / deviation, model.config.median_filter_width).mean(0)
    text, frames = path(-weights.double().numpy())
    starts = np.diff(text, prepend=-1) > 0
    found = torch.from_numpy(frames[starts] * 0.02)
    times[prompt:-1], times[-1] = found, found[-1]
    return times


def crossed(model: Any, memory: Tensor, tokens: Sequence[int], heads: Sequence[Sequence[int]]) -> Tensor:
    """(H, T, S) what those heads attend to of the memory (S, D) while tokens are read: no other head is kept."""
    decoder, seen, hooks = model.get_decoder(), dict[int, Tensor](), []
    for number in sorted({layer for layer, _ in heads}):

        def keep(module: Any, given: Any, number: int = number) -> None:
            seen[number] = given[0].reshape(-1, given[0].shape[-1])

        hooks.append(decoder.layers[number].encoder_attn.register_forward_pre_hook(keep))
    try:
        ids = torch.tensor([tokens], device=memory.device)
        decoder(input_ids=ids, encoder_hidden_states=memory[None], use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for layer, head in heads:
        attention = decoder.layers[layer].encoder_attn
        query, key = attention.q_proj(seen[layer]), attention.k_proj(memory)
        of_head = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
        scores = query[:, of_head] @ key[:, of_head].T * attention.head_dim**-0.5
        found.append(scores.float().softmax(-1))
    return torch.stack(found).cpu()


def median(weights: Tensor, width: int) -> Tensor:
    """(H, T, S) each the median of `width` neighbours, whose ends are mirrored."""
    half = width // 2
    if weights.shape[-1] <= half:
        return weights
    wide = F.pad(weights, (half, half), mode="reflect")
    return wide.unfold(-1, width, 1).sort().values[..., half]


def path(cost: Array) -> tuple[Array, Array]:
    """The cheapest way through a matrix (T, S) from its first corner to its last, by steps of one down, across or both:
    its rows and its columns."""
    height, width = cost.shape
    total = np.full((height + 1, width + 1), np.inf, np.float32)
    total[0, 0] = 0
    came = np.zeros((height + 1, width + 1), np.int8)
    for diagonal in range(2, height + width + 1):  # all of which depend on the two before alone
        i = np.arange(max(1, diagonal - width), min(height, diagonal - 1) + 1)
        j = diagonal - i
        both, down, across = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
        way = np.where((both < down) & (both < across), 0, np.where((down < both) & (down < across), 1, 2))
        total[i, j] = cost[i - 1, j - 1] + np.choose(way, (both, down, across))
        came[i, j] = way
    came[0, :], came[:, 0] = 2, 1
    i, j, rows, columns = height, width, [], []
    while i > 0 or j > 0:
        rows.append(i - 1)
        columns.append(j - 1)
        way = came[i, j]
        i, j = i - (way != 2), j - (way != 1)
    return np.array(rows[::-1]), np.array(columns[::-1])
