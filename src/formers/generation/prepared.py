"""Passes whose inputs a program makes by its own `prepare_inputs_for_generation`, as PEFT does for prompts it learned.

Letters: B texts, T columns of the prompts, n new columns, p columns that the program puts before them, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cache import Cache
from ..errors import InputError
from .runner import ColumnRunner


class PreparedRunner(ColumnRunner):
    """A padded batch, each pass of which is what the model's `prepare_inputs_for_generation` says."""

    def _pass(self, new: Tensor, real: Tensor) -> Tensor:
        started = bool(self.outputs)
        if started:
            self.mask, self.ids = torch.cat([self.mask, real], dim=1), torch.cat([self.ids, new], dim=1)
        inputs = self.model.prepare_inputs_for_generation(
            self.ids, past_key_values=self.cache if started else None, use_cache=True,
            **self.model.inputs_of_pass({"attention_mask": self.mask.long()}), **self._beside(new),
        )  # fmt: skip
        takes = {*self.model.inputs(), "inputs_embeds", "input_ids", "past_key_values", "attention_mask", "use_cache"}
        takes |= {"memory"} & self.more.keys()
        self._widen(inputs, new.shape[1])
        found = self.model(**{k: v for k, v in inputs.items() if k in takes}, return_dict=True, **self.options)
        if found.past_key_values is None:
            raise InputError(
                "prepare_inputs_for_generation gave use_cache=False: generate needs what the model has read."
            )
        self.cache = found.past_key_values
        self.outputs.append(found)
        logits = found.logits[:, -real.shape[1] :]  # (B, p + T, V) at first, (B, n, V) then
        last = (real * torch.arange(real.shape[1], device=real.device)).argmax(1)
        return logits[torch.arange(len(last), device=last.device), last]  # (B, V)

    def _widen(self, inputs: dict[str, Any], columns: int) -> None:
        """Let the mask of a decoder show what the program put before its columns, which it leaves out there."""
        past, mask = inputs.get("past_key_values"), inputs.get("decoder_attention_mask")
        if past is None or mask is None:
            return
        before = Cache.of(past).columns + columns - mask.shape[1]
        inputs["decoder_attention_mask"] = torch.nn.functional.pad(mask, (before, 0), value=1)

    def repeat(self, times: int) -> None:
        """Each text so many times."""
        super().repeat(times)
        self.ids = self.ids.repeat_interleave(times, 0)

    def move(self, origins: Any) -> None:
        """Text r goes on from what was text origins[r]."""
        super().move(origins)
        self.ids = self.ids[torch.tensor(list(origins), device=self.ids.device)]
