"""Which inputs share a step, how their tensors become one batch, and how its outputs become theirs again.

Models compute real tokens only, so a batch is measured in tokens, not rows; neighbours in length share one because
attention still works row by row. Padding goes to the right: to the left it would shift the positions of some models,
and a result would depend on who else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Batch = list[int]


def windows(lengths: list[int], step_tokens: int, window_tokens: int) -> Iterator[list[Batch]]:
    """Split inputs 0, 1, … into windows of consecutive ones, and each window by length into batches.

    A window has at most `window_tokens` tokens and a batch at most `step_tokens`, or else just one input.
    """
    start = total = 0
    for index, length in enumerate(lengths):
        if total + length > window_tokens and index > start:
            yield by_length(range(start, index), lengths, step_tokens)
            start, total = index, 0
        total += length
    if start < len(lengths):
        yield by_length(range(start, len(lengths)), lengths, step_tokens)


def by_length(window: range, lengths: list[int], step_tokens: int) -> list[Batch]:
    """The inputs of a window by length, in batches of at most `step_tokens` tokens, or else just one input."""
    batches: list[Batch] = []
    room = 0
    for index in sorted(window, key=lambda i: lengths[i]):
        if not batches or lengths[index] > room:
            batches.append([])
            room = step_tokens
        batches[-1].append(index)
        room -= lengths[index]
    return batches


def by_count(window: range, lengths: list[int], size: int) -> list[Batch]:
    """The inputs of a window by length, in batches of `size`."""
    order = sorted(window, key=lambda i: lengths[i])
    return [order[start : start + size] for start in range(0, len(order), size)]


def consecutive(count: int, size: int) -> Iterator[list[Batch]]:
    """Windows of one batch each, of `size` consecutive inputs."""
    for start in range(0, count, size):
        yield [list(range(start, min(start + size, count)))]


def length_of(model_inputs: Any) -> int:
    """The columns T of `input_ids`, (1, T) or (B, T); 1 when there are none."""
    ids = model_inputs.get("input_ids") if isinstance(model_inputs, Mapping) else None
    return ids.shape[1] if isinstance(ids, Tensor) and ids.ndim > 1 else 1


def collate(items: Sequence[Mapping[str, Any]], tokenizer: Any, right: bool) -> dict[str, Any]:
    """One batch of the arguments of several inputs.

    Tensors (1, T, …) become (B, longest T, …), padded on the right, or else on the tokenizer's side; tensors without
    columns are stacked, values that are no tensors become a list.
    """
    side = "right" if right else getattr(tokenizer, "padding_side", "right")
    padding = {
        "input_ids": getattr(tokenizer, "pad_token_id", None) or 0,
        "token_type_ids": getattr(tokenizer, "pad_token_type_id", None) or 0,
    }
    batch: dict[str, Any] = {}
    for key in items[0]:
        values = [item[key] for item in items]
        if not all(isinstance(value, Tensor) and value.ndim for value in values):
            batch[key] = values
        elif values[0].ndim == 1:
            batch[key] = torch.cat(values)
        else:
            batch[key] = _padded(values, padding.get(key, 0), side)
    if "input_ids" in batch and "attention_mask" not in batch:
        masks = [torch.ones(1, length_of(item), dtype=torch.long) for item in items]
        batch["attention_mask"] = _padded(masks, 0, side)
    return batch


def _padded(rows: list[Tensor], value: int, side: str) -> Tensor:
    """(B, longest T, …) from rows (1, T, …), filled up with `value`."""
    lengths = [row.shape[1] for row in rows]
    longest = max(lengths)
    if longest == min(lengths):
        return torch.cat(rows)
    columns = torch.arange(longest, device=rows[0].device)
    real = columns < torch.tensor(lengths, device=columns.device)[:, None]  # (B, T)
    padded = rows[0].new_full((len(rows), longest, *rows[0].shape[2:]), value)
    padded[real if side == "right" else real.flip(1)] = torch.cat(rows, dim=1)[0]
    return padded


def part(outputs: Any, row: int, rows: int, columns: tuple[int, int] | None) -> Any:
    """The outputs of one row of a batch of `rows`, still with a batch dimension of 1.

    `columns` is (T of the batch, T of this row) where outputs (B, T, …) lose their padding, else None.
    """

    def own(tensor: Tensor) -> Tensor:
        if not tensor.ndim or tensor.shape[0] != rows:
            return tensor
        tensor = tensor[row : row + 1]
        if columns and tensor.ndim > 1 and tensor.shape[1] == columns[0]:
            tensor = tensor[:, : columns[1]]
        return tensor

    return map_tensors(outputs, own)


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same structure of dictionaries, model outputs, lists and tuples with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        made = type(value)()
        for key, item in value.items():
            made[key] = map_tensors(item, change)  # type: ignore[index]
        return made
    if isinstance(value, list | tuple):
        items = [map_tensors(item, change) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value
