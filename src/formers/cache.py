"""Keys and values of earlier tokens: tuples of tuples (Transformers 4) and a DynamicCache (Transformers 5) at once.

    text 0   a b c d e . . .      lengths 5, 2, 4: text b's are at [b, :, :lengths[b]], whatever its padding was;
    text 1   f g . . . . . .      the room behind them is for tokens to come
    text 2   h i j k . . . .

Texts that begin alike, as beams do, are branches of a trunk, which is stored once.

Letters: S texts, B of them in a pass, G heads of keys, K tokens with room, T columns of a pass, d width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from .errors import ArgumentError, InputError
from .machine import free_memory
from .ops.layout import Layout

_GROWTH, _LEAST = 1.5, 32  # of the room, when it is too small, and tokens that it is then for at least
_SHORT = 16  # tokens that are copied sooner than shared
_LARGE = 2**28  # bytes that are worth asking for what there is


@dataclass(frozen=True)
class Trunk:
    """What some texts begin with.

    keys, values: (M, G, P, d) for each layer. lengths: (M,) tokens. of: (S,) the number of each text's trunk.
    """

    keys: list[Tensor]
    values: list[Tensor]
    lengths: list[int]
    of: list[int]

    def grown(self, stored: Tensor, own: Tensor | None) -> Tensor:
        """Keys, or values, of one layer with what texts have of their own (S, G, K, d) behind them."""
        whole = stored.index_select(0, torch.tensor(self.of))
        if own is None:
            return whole
        whole = torch.nn.functional.pad(whole, (0, 0, 0, own.shape[2]))
        for text, trunk in enumerate(self.of):
            whole[text].narrow(1, self.lengths[trunk], own.shape[2]).copy_(own[text])
        return whole


def _grouped(of: list[int]) -> tuple[list[int], int]:
    """The encoder's texts that texts name, each once for as many neighbours, and how many these are."""
    times = _times(of)
    return (of, 1) if times is None else (of[::times], times)


def _texts(pair: tuple[Tensor, Tensor], picks: list[int]) -> tuple[Tensor, Tensor]:
    key, value = (x.index_select(0, torch.tensor(picks, device=x.device)) for x in pair)
    return key, value


def _layout_of(memory: Layout, picks: list[int]) -> Layout:
    mask = memory.mask
    mask = mask if mask is None or len(mask) == 1 else mask.index_select(0, torch.tensor(picks, device=mask.device))
    return Layout(len(picks), memory.columns, mask=mask)


def _times(of: Sequence[int]) -> int | None:
    """How many neighbours each trunk has, if all have as many."""
    times = of.count(of[0]) if of else 0
    return times if times and list(of) == [trunk for trunk in dict.fromkeys(of) for _ in range(times)] else None


class Cache:
    """A ragged cache of keys and values, (S, G, K, d) for each layer.

    lengths: tokens of each text whose keys are there. columns: what these and their padding take in the caller's batch.
    real: bool (S, columns) which of these columns hold a token; None for all.
    unseen: whether it was made of tuples, and no mask has said which of their columns are padding.
    chosen: the texts that the next pass is about, in the order of its batch; None for all.
    trunk: what texts begin with, where some share it: keys and values are what each has after that.
    crossed: keys and values of an encoder's rows for each layer, (M, H, K, d) each, and `memory` their layout; each
        text of the encoder's has `shares` neighbours.
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.lengths: list[int] = []
        self.columns = 0
        self.real: Tensor | None = None
        self.chosen: list[int] | None = None
        self.unseen = False
        self.room = 0  # tokens to make room for at once
        self.trunk: Trunk | None = None
        self._apart: tuple[Layout, bool] | None = None  # what `apart` found
        self.crossed: dict[int, tuple[Tensor, Tensor]] = {}
        self.memory: Layout | None = None
        self.shares = 1

    # ---- a pass

    def begin(self, batch: int) -> tuple[int, ...]:
        """(B,) the tokens that are there of each text of the coming pass."""
        if not self.lengths:
            self.lengths = [0] * batch
        texts = range(len(self.lengths)) if self.chosen is None else self.chosen
        if len(texts) != batch:
            raise InputError(f"past_key_values is of {len(texts)} texts, but the batch has {batch}.")
        return tuple(self.lengths[text] for text in texts)

    def check(self, mask: Tensor) -> None:
        """Raise InputError where a mask (B, columns or more) hides tokens of earlier passes, or shows their padding."""
        mask = mask[:, : self.columns].cpu()
        if self.chosen is None and not torch.equal(mask, torch.ones_like(mask) if self.real is None else self.real):
            raise InputError(
                "attention_mask differs from that of earlier passes in the columns of past_key_values: give theirs, "
                "followed by that of the new tokens."
            )

    def apart(self, layout: Layout) -> bool:
        """Whether some text has padding between its tokens, so that they are fewer than the columns that they span."""
        if self._apart is None or self._apart[0] is not layout:  # asked by each layer of a pass
            found = False
            if layout.before is not None and (self.real is not None or layout.index is not None):
                shape = (layout.batch, layout.columns)
                old = torch.ones(shape[0], self.columns, dtype=torch.bool) if self.real is None else self.real
                new = torch.ones(shape, dtype=torch.bool)
                if layout.index is not None and layout.tokens is not None:
                    new = layout.tokens.cpu()
                starts = torch.cat([old, new], dim=1).int().diff(dim=1, prepend=torch.zeros(shape[0], 1).int()) > 0
                found = bool((starts.sum(1) > 1).any())
            self._apart = layout, found
        return self._apart[1]

    def extend(
        self, layer: int, texts: Sequence[int], past: Sequence[int], key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Add new keys and values (n, G, T, d) of n texts of the pass; returns all that these have, (n, G, K, d), after
        their trunk.

        K is the longest text's; what is behind a shorter one's is not to be seen.
        """
        new, slots = key.shape[2], self._slots(texts)
        if (trunk := self.trunk) is not None:
            past = [length - trunk.lengths[trunk.of[slot]] for length, slot in zip(past, slots, strict=True)]
        longest, equal = max(past) + new, min(past) == max(past)
        first = layer == len(self.keys) and not self.room and equal and not past[0]
        if first and slots == list(range(len(self.lengths))):  # nothing to join, nothing to copy
            self.keys.append(key)
            self.values.append(value)
            return key, value
        self._make_room(layer, key, value, longest)
        place, found = _place(slots, key.device), []
        if not equal:
            at = torch.tensor(past, device=key.device)[:, None] + torch.arange(new, device=key.device)
            rows = torch.tensor(slots, device=key.device)[:, None]
        for stored, added in ((self.keys, key), (self.values, value)):
            tensor = stored[layer] = _writable(stored[layer], added)
            if not equal:
                tensor[rows, :, at] = added.transpose(1, 2)
            elif isinstance(place, slice):
                tensor[place].narrow(2, past[0], new).copy_(added)
            else:
                tensor[place, :, past[0] : longest] = added
            found.append(tensor[place].narrow(2, 0, longest))
        return found[0], found[1]

    def extend_columns(self, layer: int, key: Tensor, value: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Layout]:
        """The same where the columns are wanted as the caller has them, padding included: new ones (B, G, T, d) added;
        all of them (B, G, columns, d), and their layout."""
        self.join()
        past, (B, _, T, _) = self.begin(layout.batch), key.shape
        new = torch.ones(B, T, dtype=torch.bool, device=key.device)
        if layout.tokens is not None:
            new = layout.tokens.expand(B, T)
        before = torch.ones(B, layout.before or max(past), dtype=torch.bool, device=key.device)
        if self.real is not None:
            before = self.real.to(key.device)
        elif layout.before is None:
            before = torch.arange(max(past), device=key.device) < torch.tensor(past, device=key.device)[:, None]
        self._make_room(layer, key, value, max(past) + T)
        slots = torch.arange(B, device=key.device) if self.chosen is None else torch.tensor(self.chosen)
        at = torch.tensor(past, device=key.device)[:, None] + new.cumsum(1) - 1
        text, column = new.nonzero(as_tuple=True)
        whole = torch.cat([before, new], dim=1)
        where = (whole.cumsum(1) - 1).clamp(min=0)  # (B, columns)
        found = []
        for stored, added in ((self.keys, key), (self.values, value)):
            tensor = stored[layer] = _writable(stored[layer], added)
            tensor[slots[text], :, at[text, column]] = added.transpose(1, 2)[text, column]
            found.append(tensor[slots[:, None], :, where].transpose(1, 2))
        mask = layout.mask if layout.mask is not None and layout.mask.dim() == 4 else whole
        every = mask is whole and bool(whole.all())
        return found[0], found[1], Layout(B, whole.shape[1], mask=None if every else mask)

    def advance(self, layout: Layout) -> None:
        """Count the tokens of a pass that has gone through all layers."""
        texts = range(len(self.lengths)) if self.chosen is None else self.chosen
        real = layout.real if layout.before is None else layout.tokens
        new = layout.new if real is None else real.expand(layout.batch, -1).sum(1).tolist()
        for text, count in zip(texts, new, strict=True):
            self.lengths[text] += count
        if layout.before is not None:
            full = real is None or bool(real.all())
            if self.real is not None or not full:
                shape = (layout.batch, layout.columns)
                real = torch.ones(shape, dtype=torch.bool) if real is None else real.expand(shape).cpu()
                old = torch.ones(shape[0], self.columns, dtype=torch.bool) if self.real is None else self.real
                self.real = torch.cat([old, real], dim=1)
        self.columns += layout.columns

    def _make_room(self, layer: int, key: Tensor, value: Tensor, longest: int) -> None:
        if layer == len(self.keys):
            for stored, like in ((self.keys, key), (self.values, value)):
                G, d = like.shape[1], like.shape[3]
                stored.append(like.new_zeros(len(self.lengths), G, max(longest, self.room), d))
        elif self.keys[layer].shape[2] < longest or self.keys[layer].shape[0] < len(self.lengths):
            for stored in (self.keys, self.values):
                old = stored[layer]
                room = old.shape[2]
                if room < longest:  # and not where it is more texts that come
                    room = max(longest, min(max(int(room * _GROWTH), _LEAST), self.room or 2**62))
                wider = old.new_zeros(len(self.lengths), old.shape[1], room, old.shape[3])
                wider[: old.shape[0], :, : old.shape[2]] = old
                stored[layer] = wider

    def _slots(self, texts: Sequence[int]) -> list[int]:
        return list(texts) if self.chosen is None else [self.chosen[text] for text in texts]

    # ---- texts that begin alike

    def fork(self, times: int) -> None:
        """Each text so many times, one after the other, which share what is there."""
        of = [text for text in range(len(self.lengths)) for _ in range(times)]
        if self.trunk is not None or self.real is not None or not self.keys or max(self.lengths) < _SHORT:
            return self.select(of)
        self.shares *= times
        self.trunk = Trunk(self.keys, self.values, self.lengths, of)
        self.keys, self.values, self.lengths = [], [], [self.lengths[text] for text in of]
        return None

    def trunks(self, layer: int, texts: Sequence[int]) -> tuple[Tensor, Tensor, list[int]] | None:
        """Keys and values (M, G, P, d) of the trunks of these texts, and their lengths (M,); None where not each has
        the same number of neighbours among them."""
        assert self.trunk is not None  # attention asks where there is one
        of = [self.trunk.of[slot] for slot in self._slots(texts)]
        if (times := _times(of)) is None:
            return None
        lengths, place = [self.trunk.lengths[trunk] for trunk in of[::times]], _place(of[::times], torch.device("cpu"))
        keys, values = (x[layer][place][:, :, : max(lengths)] for x in (self.trunk.keys, self.trunk.values))
        return keys, values, lengths

    def join(self) -> None:
        """Give each text its own copy of what it begins with."""
        trunk, self.trunk = self.trunk, None
        if trunk is not None:
            self.keys = [trunk.grown(*pair) for pair in zip_longest(trunk.keys, self.keys)]
            self.values = [trunk.grown(*pair) for pair in zip_longest(trunk.values, self.values)]

    # ---- what people do with it

    @classmethod
    def of(cls, given: Any, mask: Tensor | None = None) -> Cache:
        """The cache itself, or one made of tuples (key, value), (B, G, K, d) each, one for each layer; behind these
        may be those of an encoder's rows.

        mask: bool (B, K or more) which columns of the tuples are no padding.
        """
        if isinstance(given, Cache):
            if given.unseen and mask is not None:
                given._compact(mask[:, : given.columns].bool())
            return given
        made, pairs = cls(), _pairs(given)
        if not pairs or pairs[0] is None:
            return made
        try:
            made.keys, made.values = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            made.crossed = {i: (pair[2], pair[3]) for i, pair in enumerate(pairs) if len(pair) > 2}
            B, _, K, _ = made.keys[0].shape
            shapes = {key.shape[2] for key in made.keys}
        except (TypeError, IndexError, ValueError, AttributeError) as e:
            raise InputError(
                "past_key_values should be the past_key_values that the model returned, a DynamicCache, or for each "
                "layer a tuple of keys and values, (batch, heads, columns, width) each."
            ) from e
        read = int(given.get_seq_length()) if hasattr(given, "get_seq_length") else K
        if shapes != {K} or read > K:
            raise InputError(
                f"past_key_values are of layers that hold {', '.join(map(str, sorted(shapes)))} of {read} columns, as "
                "caches of windows do in Transformers: give the past_key_values that this model returned."
            )
        if read < K:  # room for tokens to come
            K, stored = read, (made.keys, made.values)
            made.keys, made.values = ([x[:, :, :read] for x in layers] for layers in stored)
        made.lengths, made.columns, made.unseen = [K] * B, K, True
        return made if mask is None else cls.of(made, mask)

    def _compact(self, real: Tensor) -> None:
        """Move the tokens of columns that are real to the front."""
        self.unseen = False
        if bool(real.all()):
            return
        front = (~real).to(torch.int8).argsort(dim=1, stable=True)[:, None, :, None]  # (B, 1, K, 1)
        for stored in (self.keys, self.values):
            stored[:] = [x.gather(2, front.to(x.device).expand(-1, x.shape[1], -1, x.shape[3])) for x in stored]
        self.real, self.lengths = real.cpu(), real.sum(1).tolist()

    def read(self, layer: int) -> tuple[Tensor, ...]:
        """Keys and values of one layer, and behind them those of the encoder's rows, where there are any."""
        if layer not in self.crossed:
            return self.pair(layer)
        return *self.pair(layer), *(x.repeat_interleave(self.shares, 0) for x in self.crossed[layer])

    def pair(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one layer as (S, G, columns, d), zeros at padding."""
        self.join()
        if self.real is None:
            return self.keys[layer][:, :, : self.columns], self.values[layer][:, :, : self.columns]
        where = (self.real.cumsum(1) - 1).clamp(min=0)[:, None, :, None].to(self.keys[layer].device)
        keep = self.real[:, None, :, None].to(where.device)
        both = (stored[layer] for stored in (self.keys, self.values))
        keys, values = (x.gather(2, where.expand(-1, x.shape[1], -1, x.shape[3])) * keep for x in both)
        return keys, values

    def __len__(self) -> int:
        return len(self.keys if self.trunk is None else self.trunk.keys)

    def __getitem__(self, layer: int) -> tuple[Tensor, ...]:
        if not -len(self) <= layer < len(self):
            raise IndexError(f"past_key_values has {len(self)} layers; there is no layer {layer}.")
        return self.read(layer % len(self))

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return (self.read(layer) for layer in range(len(self)))

    def __bool__(self) -> bool:
        return True

    @property
    def layers(self) -> list[Layer]:
        """Each layer with its `keys` and `values`."""
        return [Layer(*self.pair(layer)) for layer in range(len(self))]

    @property
    def key_cache(self) -> list[Tensor]:
        """The keys of each layer."""
        return [self.pair(layer)[0] for layer in range(len(self))]

    @property
    def value_cache(self) -> list[Tensor]:
        """The values of each layer."""
        return [self.pair(layer)[1] for layer in range(len(self))]

    def alone(self) -> DynamicCache:
        """The same without the encoder's. What is added to the one is not added to the other."""
        own = DynamicCache([self.pair(layer) for layer in range(len(self))])
        if self.real is not None:
            own._compact(self.real)
        return own

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How many columns earlier passes had."""
        return self.columns

    def get_usable_length(self, new_seq_length: int = 0, layer_idx: int = 0) -> int:
        """The same, by a name of 4.36."""
        return self.columns

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        """-1: it grows."""
        return -1

    def get_max_length(self, layer_idx: int | None = None) -> None:
        """None: it grows."""

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, cache_kwargs: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Add keys and values (B, G, T, d) of one layer, for people's own attention; returns all of that layer."""
        batch, _, T, _ = key_states.shape
        if layer_idx > len(self):
            raise ArgumentError(f"update of layer {layer_idx}, but only layers 0 to {len(self) - 1} are there.")
        past = self.begin(batch) if not layer_idx else tuple(length - T for length in self.lengths)
        if not layer_idx:  # the layers after it find the tokens counted
            self.lengths, self.columns = [length + T for length in past], self.columns + T
        return self.extend(layer_idx, range(batch), past, key_states, value_states)

    def to_legacy_cache(self) -> tuple[tuple[Tensor, ...], ...]:
        """Tuples of keys and values, one for each layer; of four where there are those of an encoder's rows."""
        return tuple(self)

    @classmethod
    def from_legacy_cache(cls, past_key_values: Any = None, **_: Any) -> Cache:
        """A cache of tuples."""
        return cls.of(past_key_values if past_key_values is not None else ())

    def select(self, texts: Sequence[int]) -> None:
        """Keep the texts of these numbers, in this order; one may come more than once."""
        if self.trunk is not None:
            self.trunk = replace(self.trunk, of=[self.trunk.of[text] for text in texts])
        chosen = torch.tensor(list(texts), dtype=torch.long)
        for stored in (self.keys, self.values):
            for layer, x in enumerate(stored):  # one at a time: the old is let go before the next is made
                stored[layer] = x.index_select(0, chosen.to(x.device))
        if self.crossed:
            self._select_memory([text // self.shares for text in texts])
        self.lengths = [self.lengths[text] for text in texts]
        self.real = None if self.real is None else self.real[chosen]

    def memory_of_pass(self, layer: int) -> tuple[tuple[Tensor, Tensor], Layout]:
        """Keys and values of the encoder's texts that the next pass is about, for a layer, and their layout."""
        pair, memory = self.crossed[layer], self.memory
        assert memory is not None  # it comes with the first keys
        if self.chosen is None:
            return pair, memory
        picks, _ = _grouped([text // self.shares for text in self.chosen])
        if picks == list(range(memory.batch)):
            return pair, memory
        return _texts(pair, picks), _layout_of(memory, picks)

    def _select_memory(self, of: list[int]) -> None:
        """Keep of the encoder's texts those that texts belong to, each of which names its own."""
        picks, self.shares = _grouped(of)
        if picks == list(range(len(next(iter(self.crossed.values()))[0]))):
            return
        self.crossed = {layer: _texts(pair, picks) for layer, pair in self.crossed.items()}
        if self.memory is not None:
            self.memory = _layout_of(self.memory, picks)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep these texts, in this order."""
        self.select(beam_idx.tolist())

    batch_select_indices = reorder_cache

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each text so many times, one after the other."""
        self.select([text for text in range(len(self.lengths)) for _ in range(repeats)])

    def crop(self, max_length: int) -> None:
        """Forget all columns from `max_length` on; with a negative number, so many of the last."""
        self.join()
        kept = max_length if max_length >= 0 else self.columns + max_length
        if kept >= self.columns:
            return
        if self.real is not None:
            self.real = self.real[:, :kept]
            self.lengths = self.real.sum(1).tolist()
        else:
            self.lengths = [min(length, kept) for length in self.lengths]
        self.columns = kept

    def reset(self) -> None:
        """Forget everything."""
        self.keys, self.values, self.lengths, self.columns, self.real = [], [], [], 0, None
        self.crossed, self.memory, self.shares, self.trunk = {}, None, 1, None

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        trunk = () if self.trunk is None else (*self.trunk.keys, *self.trunk.values)
        crossed = (x for both in self.crossed.values() for x in both)
        return sum(x.untyped_storage().nbytes() for x in (*self.keys, *self.values, *trunk, *crossed))

    def check_room(self, tokens: int) -> None:
        """Raise InputError where the keys and values of so many more tokens need more memory than there is."""
        needed = tokens * sum(x.shape[1] * x.shape[3] * x.element_size() for x in (*self.keys, *self.values))
        if needed < _LARGE:
            return
        device = self.keys[0].device
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
        if free is not None and needed > free:
            raise InputError(
                f"The keys and values of {tokens:,} new tokens need {needed / 2**30:.1f} GiB of memory, but {device} "
                f"has {free / 2**30:.1f} GiB left: set a smaller max_new_tokens, or write fewer texts at once."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} layers, {self.columns} columns of {len(self.lengths)} texts)"


def _pairs(given: Any) -> list[Any]:
    """Keys and values of each layer, of tuples or of a cache of another library: by layers, as 5.x's, or by indices."""
    if isinstance(given, (tuple, list)):
        return list(given)
    if hasattr(given, "self_attention_cache"):
        own, across = _pairs(given.self_attention_cache), _pairs(given.cross_attention_cache)
        return [(*pair, *other) for pair, other in zip(own, across or [()] * len(own), strict=True)]
    layers = getattr(given, "layers", None)
    if isinstance(layers, (tuple, list)):
        found = [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in layers]
        return found if all(keys is not None for keys, _ in found) else []
    try:
        return [given[i] for i in range(len(given))]
    except TypeError:
        return [given]  # which is refused in words


class Layer:
    """One layer of a cache, as 5.x shows it."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values


class DynamicCache(Cache):
    """A cache that grows. `ddp_cache_data`: keys and values of each layer to begin with, as in 5.x."""

    def __init__(self, ddp_cache_data: Any = None, *_: Any, **__: Any) -> None:
        super().__init__()
        if ddp_cache_data is not None and not hasattr(ddp_cache_data, "model_type"):  # a configuration, in 5.x's others
            vars(self).update(vars(Cache.of(tuple(ddp_cache_data))))


class EncoderDecoderCache(DynamicCache):
    """A cache of a text that is written, and of one that it is written from.

    caches: of the one and of the other, as in 5.x; or one cache or tuples of both.
    """

    def __init__(self, *caches: Any, **__: Any) -> None:
        super().__init__()
        if not caches:
            return
        own = Cache.of(caches[0])
        vars(self).update(vars(own.alone()), crossed=dict(own.crossed), memory=own.memory, shares=own.shares)
        if len(caches) > 1:
            self.crossed = {i: (pair[0], pair[1]) for i, pair in enumerate(_pairs(caches[1]))}

    @property
    def self_attention_cache(self) -> DynamicCache:
        """Keys and values of the text that is written, by themselves."""
        return self.alone()

    @property
    def cross_attention_cache(self) -> DynamicCache:
        """Keys and values of the text that it is written from, by themselves."""
        return DynamicCache([self.read(layer)[2:] for layer in sorted(self.crossed)])

    @cross_attention_cache.setter
    def cross_attention_cache(self, cache: Any) -> None:  # an empty one for what is to be made anew
        self.crossed = {i: (pair[0], pair[1]) for i, pair in enumerate(_pairs(cache))}
        self.memory, self.shares = None, 1

    @property
    def is_updated(self) -> dict[int, bool]:
        """Which layers have keys and values of the text that is read."""
        return {layer: layer in self.crossed for layer in range(len(self))}


class StaticCache(Cache):
    """A cache with room for `max_cache_len` tokens of each text, taken at once."""

    def __init__(self, config: Any = None, max_cache_len: int | None = None, **others: Any) -> None:
        super().__init__()
        self.room = int(max_cache_len or others.get("max_length") or 0)

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        """How many tokens there is room for."""
        return self.room


def _place(slots: Sequence[int], device: torch.device) -> slice | Tensor:
    """Where texts are: without an index, and so without a copy, if they are neighbours."""
    if list(slots) == list(range(slots[0], slots[0] + len(slots))):
        return slice(slots[0], slots[0] + len(slots))
    return torch.tensor(list(slots), device=device)


def _writable(stored: Tensor, added: Tensor) -> Tensor:
    """What may be written into: earlier passes need their own for gradients, and inference mode leaves no other way."""
    recorded = torch.is_grad_enabled() and (stored.requires_grad or added.requires_grad)
    return stored.clone() if recorded or (stored.is_inference() and not torch.is_inference_mode_enabled()) else stored
