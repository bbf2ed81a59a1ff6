"""The text that an encoder–decoder writes from, read once for all that is written from it.

Letters: B texts, S columns of the encoder, T columns of the decoder's prompts, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError
from ..ops.layout import Layout


@dataclass
class Source:
    """What a call of `generate` gives the encoder, and what that says.

    ids: (B,) tokens of each text, without padding; none of vectors. encoded: the encoder's output. memory: its rows and
    their layout. start, mask: (B, T) what the decoder begins with, and which columns are tokens. named: whether outputs
    of `generate` say what the encoder returned, as they do of a model that has one.
    """

    ids: list[Tensor]
    encoded: Any
    memory: tuple[Tensor, Layout]
    start: Tensor
    mask: Tensor | None
    named: bool = True

    def in_order(self, lengths: list[int]) -> tuple[Tensor, Layout]:
        """The memory of the texts in the order of the lengths of their decoders' prompts, as a cache has them."""
        order, (rows, layout) = sorted(range(len(lengths)), key=lengths.__getitem__), self.memory
        if order == list(range(len(order))):
            return self.memory
        at, mask = torch.tensor(order, device=rows.device), layout.tokens
        mask = None if mask is None else mask.expand(layout.batch, -1)[at]
        return layout.unpack(rows)[at], Layout(layout.batch, layout.columns, mask=mask)


def read_source(model: Any, inputs: Any, config: Any, kwargs: dict[str, Any]) -> Source:
    """What of a call is for the encoder, taken out of `kwargs`, and run through it."""
    main, given, mask = model.main_input_name, kwargs.pop("encoder_outputs", None), kwargs.pop("attention_mask", None)
    read = {name: value for name in model.READ if (value := kwargs.pop(name, None)) is not None}
    if inputs is not None and main in read:
        raise ArgumentError(f"generate got what is read twice, as inputs and as {main}.")
    if inputs is not None:
        read[main] = inputs
    named = [name for name in (main, "inputs_embeds") if name in model.READ]
    if given is None and not read.keys() & {*named}:
        raise InputError(f"generate needs something to write from: {', '.join(named)} or encoder_outputs.")
    if mask is not None and "attention_mask" not in model.inputs():
        raise ArgumentError(f"generate takes no 'attention_mask' here: {type(model).__name__} reads {main}.")
    ids = read.get("input_ids")
    pad = None if config.pad_token_id in _listed(config.eos_token_id) else config.pad_token_id  # an end is no padding
    if given is None and ids is not None and mask is None and pad is not None:
        mask = (ids != pad).long() if isinstance(ids, Tensor) and bool((ids == pad).any()) else None
    asked = {name: bool(getattr(config, name)) for name in ("output_attentions", "output_hidden_states")}
    read |= {"attention_mask": mask, "encoder_outputs": given}
    encoded, memory = model.encoded(read, asked)
    batch, start = memory[1].batch, kwargs.pop("decoder_input_ids", None)
    started = kwargs.pop("decoder_attention_mask", None)
    if start is None:
        start = first(config, batch, memory[0].device)
    if not isinstance(start, Tensor) or start.dim() != 2 or len(start) not in (1, batch):
        shape = tuple(start.shape) if isinstance(start, Tensor) else type(start).__name__
        raise InputError(f"decoder_input_ids is {shape}; it should be ({batch}, columns), as there are {batch} texts.")
    start, started = begun(config, start, started)
    real = torch.ones_like(ids) if ids is not None and mask is None else mask
    rows = [] if ids is None else [row[keep.bool()] for row, keep in zip(ids, real, strict=True)]
    start = start.expand(batch, -1)  # which begins with padding in some families
    return Source(rows, encoded, memory, start, torch.ones_like(start) if started is None else started)


def begun(config: Any, start: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Prompts of decoders (B, T) and their mask, behind the start token where a caller has left that out of all."""
    if config.decoder_start_token_id is None and config.bos_token_id is None:
        return start, mask
    token = first(config, len(start), start.device)
    if not start.shape[1] or bool((start[:, :1] == token).any()):
        return start, mask
    mask = None if mask is None else torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
    return torch.cat([token.to(start.dtype), start], dim=1), mask


def _listed(token: Any) -> list[Any]:
    return token if isinstance(token, list) else [token]


def first(config: Any, batch: int, device: torch.device) -> Tensor:
    """(B, 1) the tokens that decoders begin with: `decoder_start_token_id`, one or one a text, or `bos_token_id`."""
    start = config.decoder_start_token_id
    start = config.bos_token_id if start is None else start
    if start is None:
        raise InputError("generate needs decoder_start_token_id, or bos_token_id, or decoder_input_ids, to begin with.")
    tokens = torch.as_tensor(start, device=device).reshape(-1, 1)
    if len(tokens) not in (1, batch):
        raise InputError(f"decoder_start_token_id has {len(tokens)} tokens; give one, or {batch}, as there are texts.")
    return tokens.expand(batch, 1)
