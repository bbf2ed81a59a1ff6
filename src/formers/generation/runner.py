"""What a model computes while it writes: passes of new tokens onto a cache of earlier ones.

    texts   a: 3 tokens   b: 40   c: 44        a pass may bring any number of new tokens for each of them:
    new     a: 3          b: 1    c: 1         the prompt of one and the next token of others are one pass

Letters: B texts, T columns of a pass, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..cache import Cache, DynamicCache, EncoderDecoderCache
from ..ops.layout import Layout

OF_TOKENS = ("token_type_ids",)  # further inputs that have a value for each token


class Runner:
    """Texts that a model writes, packed: what they cost is their tokens, whatever their lengths.

    rows: the number of each text, in the order of the cache, which is that of their lengths: so neighbours have about
        as many tokens, and what attention reads of them lies together.
    more: further inputs of every pass, the same for all texts.
    recall: from a text's number to its tokens so far (t,), which models with a border read again; None for none.
    """

    recall: Callable[[int], Tensor] | None = None

    def __init__(self, model: Any, cache: Cache | None = None, **more: Any) -> None:
        self.model, self.more = model, more
        fresh = EncoderDecoderCache if "memory" in more else DynamicCache
        self.cache = fresh() if cache is None else cache
        self.rows: list[int] = list(range(len(self.cache.lengths)))

    def begin(self, prompts: Sequence[Tensor], rows: Sequence[int] | None = None) -> Tensor:
        """Add texts, by their tokens (T,) or vectors (T, D): the logits (B, V) after each, in the order given.

        rows: their numbers; those that are known already get what they have beyond the cache.
        """
        numbers = list(range(len(prompts))) if rows is None else list(rows)
        known = {row: slot for slot, row in enumerate(self.rows)}
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        fresh = [i for i in order if numbers[i] not in known]
        self.rows += [numbers[i] for i in fresh]
        self.cache.lengths += [0] * len(fresh)
        slots = {row: slot for slot, row in enumerate(self.rows)}
        ordered = sorted(range(len(prompts)), key=lambda i: slots[numbers[i]])
        chosen = [slots[numbers[i]] for i in ordered]
        logits = self.feed(chosen, [prompts[i][self.cache.lengths[slots[numbers[i]]] :] for i in ordered])
        if len(self.rows) > len(prompts):
            self.keep(self.rows)
        back = sorted(range(len(prompts)), key=ordered.__getitem__)
        return logits if back == sorted(back) else logits[torch.tensor(back, device=logits.device)]

    def step(self, tokens: Tensor) -> Tensor:
        """One more token (B,) of every text, in the order of their numbers: the logits (B, V) after it."""
        slots = sorted(range(len(self.rows)), key=self.rows.__getitem__)  # of the texts by their numbers
        if slots == list(range(len(slots))):
            return self.feed(slots, tokens[:, None])
        at = torch.tensor(slots, device=tokens.device)
        return self.feed(range(len(slots)), tokens[at.argsort(), None])[at]

    def feed(self, slots: Sequence[int], new: Sequence[Tensor] | Tensor, every: bool = False) -> Tensor:
        """New tokens of the texts in these slots: the logits after the last, (B, V), or with `every` after each.

        Each is (T,) tokens or (T, D) vectors; a tensor has as many for all.
        """
        cache, new = self.cache, self._renewed(slots, new)
        lengths = [len(tokens) for tokens in new]
        cache.chosen = list(slots)
        past = [cache.lengths[slot] for slot in slots]
        layout = Layout.of_lengths(lengths, device=new[0].device, past=past)
        batch = new if isinstance(new, Tensor) else torch.nn.utils.rnn.pad_sequence(list(new), batch_first=True)
        name = "inputs_embeds" if batch.dim() == 3 else "input_ids"
        try:
            found: Tensor = self.model.next_logits({name: batch, **self.more}, layout, cache, every=every)
        finally:
            cache.chosen = None
        return found

    def _renewed(self, slots: Sequence[int], new: Sequence[Tensor] | Tensor) -> Sequence[Tensor] | Tensor:
        """The same, but all tokens of texts that come over the border behind which the model turns keys otherwise."""
        lengths, border = self.cache.lengths, None if self.recall is None else self.model.border()
        if border is None or self.recall is None:
            return new
        found, numbers = list(new), self.numbers()
        for i, slot in enumerate(slots):
            if 0 < lengths[slot] <= border < lengths[slot] + len(found[i]):
                found[i] = torch.cat([self.recall(numbers[slot])[: lengths[slot]], found[i]])
                lengths[slot] = 0
        return found

    def numbers(self) -> list[int]:
        """The number of the text in each slot of the cache."""
        return self.rows

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these texts alone, in the order of their lengths."""
        slots = {row: slot for slot, row in enumerate(self.rows)}
        order = sorted(rows, key=lambda row: self.cache.lengths[slots[row]])
        if order != self.rows:
            self.cache.select([slots[row] for row in order])
            self.rows = order

    def repeat(self, times: int) -> None:
        """Each text so many times: number r becomes numbers r · times and on."""
        self.cache.fork(times)
        self.rows = [row * times + i for row in self.rows for i in range(times)]

    def move(self, origins: Sequence[int]) -> None:
        """Text r goes on from what was text origins[r]."""
        slots = {row: slot for slot, row in enumerate(self.rows)}
        wanted = [slots[origins[row]] for row in self.rows]
        if wanted != list(range(len(wanted))):
            self.cache.select(wanted)

    def finish(self, real: Tensor) -> Cache:
        """What the caller gets of the cache: see WholeRunner."""
        return self.cache

    def back(self, lengths: Sequence[int]) -> None:
        """Forget tokens: each text, in the order of `rows`, keeps so many."""
        self.cache.lengths = [min(old, new) for old, new in zip(self.cache.lengths, lengths, strict=True)]


class WholeRunner(Runner):
    """The same for callers who get the cache, to go on with it: texts that have ended stay there."""

    slots: Mapping[int, int] = MappingProxyType({})  # of each text's number, where its keys are

    def begin(self, prompts: Sequence[Tensor], rows: Sequence[int] | None = None) -> Tensor:
        """As Runner's, of all texts at once."""
        logits = super().begin(prompts, rows)
        self.slots = {row: slot for slot, row in enumerate(self.rows)}
        return logits

    def repeat(self, times: int) -> None:
        """Each text so many times: number r becomes numbers r · times and on."""
        super().repeat(times)
        self.slots = {row: slot for slot, row in enumerate(self.rows)}

    def step(self, tokens: Tensor) -> Tensor:
        """One more token (B,) of every text that goes on, in the order of their numbers: the logits (B, V) after it."""
        slots = torch.tensor([self.slots[row] for row in sorted(self.rows)], device=tokens.device)
        order = slots.argsort()
        return self.feed(slots[order].tolist(), tokens[order, None])[order.argsort()]

    def numbers(self) -> list[int]:
        """The number of the text in each slot of the cache."""
        return list(self.slots) or self.rows

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these texts alone."""
        self.rows = [row for row in self.rows if row in rows]

    def finish(self, real: Tensor) -> Cache:
        """The cache of all texts, in the order of their numbers. real: (B, T + s) which columns hold tokens, of which
        the last of each text has never been fed."""
        self.cache.select([self.slots[row] for row in sorted(self.slots)])
        kept = real.cpu() & (real.cpu().cumsum(1) <= torch.tensor(self.cache.lengths)[:, None])
        kept = kept[:, : int(kept.any(0).nonzero().max()) + 1]  # nor have columns that no text has come to
        self.cache.columns, self.cache.lengths = kept.shape[1], kept.sum(1).tolist()
        self.cache.real = None if bool(kept.all()) else kept
        return self.cache


class ColumnRunner:
    """The same in a padded batch, for what sees whole batches: hooks, further inputs of each text or token, and callers
    who want hidden states or attentions.

    ids, mask: (B, T) of the prompts. outputs: what each pass returned.
    Padding goes to the left, wherever the caller's was: windows count columns, and none may lie before a new token.
    """

    def __init__(self, model: Any, ids: Tensor, mask: Tensor, options: dict[str, Any], **more: Any) -> None:
        order = mask.int().argsort(dim=1, stable=True)  # (B, T), padding first
        rows = torch.arange(len(ids), device=ids.device)[:, None]
        self.model, self.mask, self.options = model, mask.bool()[rows, order], options
        self.cache = EncoderDecoderCache() if "memory" in more else DynamicCache()
        self.outputs, self.rows = list[Any](), list(range(len(ids)))
        self.ids, self.going = ids[rows, order], torch.ones(len(ids), dtype=torch.bool, device=ids.device)
        self.more = more | {name: more[name].expand(order.shape)[rows, order] for name in OF_TOKENS if name in more}

    def begin(self) -> Tensor:
        """The logits (B, V) after each prompt."""
        return self._pass(self.ids, self.mask)

    def step(self, tokens: Tensor) -> Tensor:
        """One more token (B,) of every text; those of texts that have ended are padding."""
        return self._pass(tokens[:, None], self.going[:, None])

    def _pass(self, new: Tensor, real: Tensor) -> Tensor:
        if self.cache.columns:
            self.mask = torch.cat([self.mask, real], dim=1)
        places = self.model.places_of(self.mask)[:, -new.shape[1] :]
        takes = self.model.inputs()
        inputs: dict[str, Any] = {"inputs_embeds" if new.dim() == 3 else "input_ids": new, **self._beside(new)}
        inputs |= {"position_ids": places} if "position_ids" in takes else {}
        inputs |= {"attention_mask": self.mask.long(), "past_key_values": self.cache, "use_cache": True}
        found = self.model(**self.model.inputs_of_pass(inputs), return_dict=True, **self.options)
        self.outputs.append(found)
        last = (real * torch.arange(real.shape[1], device=real.device)).argmax(1)
        logits: Tensor = found.logits[torch.arange(len(last), device=last.device), last]
        return logits

    def _beside(self, new: Tensor) -> dict[str, Any]:
        """The further inputs of a pass: where there is one for each token, a new one is that of the last."""
        last = {name: self.more[name][:, -new.shape[1] :] for name in OF_TOKENS if name in self.more}
        return self.more | last

    def keep(self, rows: Sequence[int]) -> None:
        """All texts stay in the batch, as hooks expect, but take no further places."""
        self.going = torch.zeros_like(self.going).index_fill(0, torch.tensor(list(rows), device=self.mask.device), True)

    def finish(self, real: Tensor) -> Cache:
        """The cache of all texts."""
        return self.cache

    def repeat(self, times: int) -> None:
        """Each text so many times."""
        self.cache.batch_repeat_interleave(times)
        of_texts = {name: value for name, value in self.more.items() if isinstance(value, Tensor)}
        self.more |= {name: value.repeat_interleave(times, 0) for name, value in of_texts.items()}
        self.mask = self.mask.repeat_interleave(times, 0)
        self.going = self.going.repeat_interleave(times, 0)
        self.rows = list(range(len(self.mask)))

    def move(self, origins: Sequence[int]) -> None:
        """Text r goes on from what was text origins[r]."""
        self.cache.select(list(origins))
        self.mask = self.mask[torch.tensor(list(origins), device=self.mask.device)]
