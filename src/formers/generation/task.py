"""One call of `generate`, its arguments read: the prompts, the rules, and the ways of choosing.

Letters: B texts, T columns of prompts, s generated columns, R = num_return_sequences, K beams, V vocabulary, D width.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..cache import Cache
from ..config import longest_text
from ..errors import ArgumentError, InputError, NotTensorError, near
from ..layers import keeps_padding
from ..ops.checks import batch_shape, read_mask
from . import beams, outputs, sampling, writing
from .assisted import assisted
from .chain import Allowed, Rules, Text, eos_ids, rules, warping
from .configuration import KEYS, GenerationConfig, GenerationMode
from .prepared import PreparedRunner
from .processors import LogitsProcessorList
from .runner import ColumnRunner, Runner, WholeRunner
from .stopping import StoppingCriteriaList, StopStringCriteria

_MODES = {
    GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE, GenerationMode.BEAM_SEARCH, GenerationMode.BEAM_SAMPLE,
    GenerationMode.ASSISTED_GENERATION,
}  # fmt: skip

# arguments of the reference's `generate` that are accepted where they ask for nothing
_OTHERS = ("custom_generate", "assistant_tokenizer", "negative_prompt_ids", "negative_prompt_attention_mask")
# keys that would change what is written, and that nothing here heeds
_ABSENT = ("guidance_scale", "watermarking_config", "token_healing", "assistant_early_exit", "use_mtp", "dola_layers")


def refuse(config: GenerationConfig) -> None:
    """Raise ArgumentError for what is asked for and not here, instead of passing over it in silence."""
    for name in _ABSENT:
        value = getattr(config, name)
        if value not in (None, False) and not (name == "guidance_scale" and value == 1):
            raise ArgumentError(f"{name}={value!r} is not available in generate; leave it out, or set it to None.")


class Task:
    """One call of `generate`, its arguments read.

    ids, real: (B · R, T) prompts and which of their columns are tokens, T = 0 where there are only vectors.
    tokens: those of each prompt, (t,). prompts: the same, or what the model reads instead, vectors (t, D).
    """

    given: LogitsProcessorList
    criteria: StoppingCriteriaList
    allowed: Allowed | None = None
    ids: Tensor
    real: Tensor
    tokens: list[Tensor]
    prompts: list[Tensor]

    def __init__(self, model: Any, inputs: Any, config: GenerationConfig | None, kwargs: dict[str, Any]) -> None:
        self.model = model
        if not model.causal():
            raise InputError(
                f"{type(model).__name__} cannot write on: its tokens see those after them. If it was trained to "
                "predict the next token, load it with is_decoder=True, or without use_bidirectional_attention."
            )
        keys = {name: kwargs.pop(name) for name in list(kwargs) if name in KEYS}
        if config is not None and not isinstance(config, GenerationConfig):
            raise ArgumentError(f"generation_config is a {type(config).__name__}: give GenerationConfig(…).")
        self.config = (config or GenerationConfig()).over(model.generation_config, **keys)
        mode = self.config.get_generation_mode()
        if mode not in _MODES:
            raise ArgumentError(f"generate has no {mode.value} here; greedy, sampling and beams are, and assistants.")
        refuse(self.config)
        self._read_inputs(inputs, kwargs)
        c = self.config
        self.beams, self.returned = c.num_beams or 1, c.num_return_sequences or 1
        if self.returned > 1 and self.beams == 1 and not c.do_sample:
            raise InputError(
                f"num_return_sequences={self.returned}, but greedy search writes one text: set do_sample=True, or "
                "num_beams to at least as many."
            )
        self.eos = eos_ids(c.eos_token_id)
        self._check_eos()
        pads = (c.pad_token_id, self.eos[0] if self.eos else None, 0)
        self.pad = next(int(token) for token in pads if token is not None)
        times = self.beams if self.beams > 1 else self.returned
        self.ids, self.real = (x.repeat_interleave(times, 0) for x in (self.ids, self.real))
        self.times = times
        rooms = [self._room(len(prompt), len(tokens)) for prompt, tokens in zip(self.prompts, self.tokens, strict=True)]
        self.longest = [room for room in rooms for _ in range(times)]
        self.deadline = None if c.max_time is None else time.monotonic() + c.max_time
        self.generators = None
        if c.do_sample and c.seed is not None:
            self.generators = sampling.seeded(c.seed, len(self.ids), self.ids.device)

    def _read_inputs(self, inputs: Any, kwargs: dict[str, Any]) -> None:
        model, takes = self.model, {*self.model.inputs(), "cache_position"}
        ids, vectors = kwargs.pop("input_ids", None), kwargs.pop("inputs_embeds", None)
        if inputs is not None and ids is not None:
            raise ArgumentError("generate got the prompts twice, as inputs and as input_ids.")
        ids = inputs if ids is None else ids
        self._pass_over(kwargs, takes)
        if ids is None and vectors is None:
            ids = self._first()
            kwargs.setdefault("attention_mask", torch.ones_like(ids))
        source: Any = ids if vectors is None else vectors
        if ids is not None and not isinstance(ids, Tensor):
            how = "generate(**encoding)" if isinstance(ids, Mapping) else 'tokenizer(texts, return_tensors="pt")'
            raise NotTensorError(f"generate: input_ids is a {type(ids).__name__}, not a tensor: {how}.")
        batch, columns = batch_shape(type(model).__name__, None if vectors is not None else source, vectors)
        if not batch:
            raise InputError(f"generate got prompts of shape {tuple(source.shape)}: give one at least.")
        if vectors is not None and ids is not None and tuple(ids.shape) != (batch, columns):
            raise InputError(
                f"input_ids has shape {tuple(ids.shape)}, but inputs_embeds is of {(batch, columns)} tokens: give the "
                "tokens of these vectors, or none."
            )
        real = self._read_mask(kwargs.pop("attention_mask", None), ids, source)
        self.cache = kwargs.pop("past_key_values", None)
        self._check_places(kwargs.pop("position_ids", None), real)
        for name in ("cache_position", "use_cache"):  # which change nothing of what is written
            kwargs.pop(name, None)
        self.prompts = [source[b][real[b]] for b in range(batch)]
        self.ids = torch.zeros(batch, 0, dtype=torch.long, device=source.device) if ids is None else ids
        self.real, self.whole = real[:, : self.ids.shape[1]], source
        self.tokens = [row[kept] for row, kept in zip(self.ids, self.real, strict=True)]
        self.mask, self.more = real, {name: value for name, value in kwargs.items() if value is not None}

    def _read_mask(self, mask: Any, ids: Tensor | None, source: Tensor) -> Tensor:
        """(B, T) bool which columns of the prompts are tokens. Errors: InputError for a prompt without any."""
        pad, ends = self.config.pad_token_id, eos_ids(self.config.eos_token_id)
        if ids is not None and mask is None and pad is not None and pad not in ends:
            mask = ids != pad  # which nothing but padding can be
        real = torch.ones(source.shape[:2], dtype=torch.bool, device=source.device)
        if mask is not None:
            real = read_mask(mask, *source.shape[:2])
            if real.dim() == 4:
                raise InputError("generate takes a mask (batch, columns), not one for each query.")
            real = real.to(source.device)
        if not bool(real.any(1).all()):
            row = int((~real.any(1)).nonzero()[0])
            raise InputError(f"Prompt {row} has no tokens: give at least one, such as the tokenizer's bos_token_id.")
        return real

    def _check_places(self, given: Any, real: Tensor) -> None:
        """Raise InputError for positions that are not those which follow from the mask."""
        if given is None:
            return
        places = self.model.places_of(real)
        fits = isinstance(given, Tensor) and given.shape[-1:] == places.shape[-1:] and given.dim() <= 2
        if not fits or bool(((given.to(places.device) - places)[real] != 0).any()):
            raise InputError(
                "position_ids are not those of the tokens that attention_mask shows, which generate counts itself: "
                "leave them out."
            )

    def _pass_over(self, kwargs: dict[str, Any], takes: set[str]) -> None:
        """Take away what asks for nothing, and raise ArgumentError for what nothing here heeds."""
        for name in ("labels", "trust_remote_code"):  # of a batch to train on; no code comes with a model here
            kwargs.pop(name, None)
        for name in _OTHERS:
            if kwargs.pop(name, None) is not None:
                raise ArgumentError(f"{name} is not available in generate; leave it out, or set it to None.")
        if unknown := sorted(kwargs.keys() - takes):
            name, hint = unknown[0], near(unknown[0], [*KEYS, *takes])
            if name == "token_type_ids":
                hint = " This model has no token types: call the tokenizer with return_token_type_ids=False."
            raise ArgumentError(f"generate takes no {name!r}.{hint}")

    def _first(self) -> Tensor:
        bos = self.config.bos_token_id
        if bos is None:
            raise InputError("generate needs a prompt: input_ids, or a bos_token_id to begin with.")
        return torch.tensor([[bos]], device=self.model.device)

    def _check_eos(self) -> None:
        size = getattr(self.model.config, "vocab_size", None)
        for token in self.eos:
            if size is not None and not 0 <= token < size and self.config.source("eos_token_id") == "caller":
                raise InputError(f"eos_token_id={token}: the vocabulary has ids 0 to {size - 1}.")

    def _room(self, prompt: int, tokens: int | None = None) -> int:
        """How many new tokens a text may get, after a prompt of so many, of which `tokens`, or all, are returned."""
        c, limit = self.config, longest_text(self.model.config)
        if limit is not None and prompt > limit:
            raise InputError(
                f"A prompt has {prompt} tokens, but the model has positions for {limit}: shorten it, "
                "tokenizer(…, truncation=True)."
            )
        if c.max_new_tokens is not None:
            room = c.max_new_tokens
        elif c.source("max_length") == "default" or c.max_length is None:
            room = 20 if limit is None else min(20, limit - prompt)
        else:
            room = c.max_length - (prompt if tokens is None else tokens)
            if room <= 0:
                raise InputError(
                    f"max_length={c.max_length}, but a prompt has {prompt} tokens already: raise it, or set "
                    "max_new_tokens."
                )
        if limit is not None and prompt + room > limit + 1:
            raise InputError(
                f"A prompt of {prompt} tokens and {room} new ones are more than the model's {limit} positions: "
                f"set max_new_tokens to at most {limit + 1 - prompt}."
            )
        return int(room)

    def read_stops(self, tokenizer: Any) -> None:
        """Make a criterion of `stop_strings`."""
        if self.config.stop_strings is None:
            return
        if tokenizer is None:
            raise ArgumentError("stop_strings need the text: give generate(…, tokenizer=tokenizer).")
        self.criteria.append(StopStringCriteria(tokenizer, self.config.stop_strings))

    # ---- parts

    def rules(self) -> Rules:
        """The processors of every text."""

        c, given = self.config, self.given

        def of(row: int) -> LogitsProcessorList:
            number = row // self.times
            prompt = len(self.tokens[number])
            text = Text(number, prompt, prompt + self.longest[row], self.tokens[number])
            return LogitsProcessorList(rules(c, text, self.eos, self.allowed))

        of_prompts = c.encoder_repetition_penalty not in (None, 1.0) or bool(c.encoder_no_repeat_ngram_size)
        alike = bool(self.real.all()) and self.allowed is None and not of_prompts
        own = [of(0)] if alike else [of(row) for row in range(len(self.ids))]
        return Rules(own, given, warping(c, self.eos), alike)

    def begin(self) -> tuple[Any, Tensor]:
        """A runner that has computed the prompts, and the logits (B · R, V) after them."""
        c = self.config
        asked = {n: True for n in ("output_attentions", "output_hidden_states") if getattr(c, n)}
        if asked and not c.return_dict_in_generate:
            asked = {}
        runner: Any
        if self.vectors is None and self.model.prepares_inputs():
            runner = PreparedRunner(self.model, self.whole, self.mask, asked, **self.more)
            logits = runner.begin()
        elif asked or self.more or keeps_padding(self.model.modules()):
            runner = ColumnRunner(self.model, self.whole, self.mask, asked, **self.more)
            logits = runner.begin()
        else:
            cache = self._taken_cache()
            runner = (WholeRunner if c.return_dict_in_generate else Runner)(self.model, cache, **self.more)
            if self.whole.dim() == 2:
                runner.recall = self.prompts.__getitem__
            logits = runner.begin(self.prompts)
        runner.cache.check_room(sum(self.longest))
        if self.times > 1:
            runner.repeat(self.times)
            logits = logits.repeat_interleave(self.times, 0)
        return runner, logits

    def _taken_cache(self) -> Cache | None:
        """The cache that the caller gives, which has to hold a part of each prompt."""
        cache = None if self.cache is None else Cache.of(self.cache, self.mask)
        if cache is None or not cache.lengths:
            return cache
        if len(cache.lengths) != len(self.prompts):
            raise InputError(f"past_key_values is of {len(cache.lengths)} texts, but there are {len(self.prompts)}.")
        for row, (held, prompt) in enumerate(zip(cache.lengths, self.prompts, strict=True)):
            if held >= len(prompt):
                raise InputError(
                    f"past_key_values hold {held} tokens of text {row}, and its prompt has {len(prompt)}: give the "
                    "whole text, what is in past_key_values too, and at least one token beyond it."
                )
        return cache

    def steps(self) -> Iterator[tuple[writing.Draft, Tensor]]:
        """Greedy search or sampling, step by step."""
        draft = writing.Draft(self.ids, self.real, self.longest, self.eos, self.pad)
        runner, logits = self.begin()
        if self.whole.dim() == 2:
            runner.recall = lambda row: draft.ids[row][draft.real[row]]
        for tokens in self._written(draft, runner, logits):
            yield draft, tokens

    def _written(self, draft: writing.Draft, runner: Any, logits: Tensor) -> Iterator[Tensor]:
        c = self.config
        return writing.write(
            draft, runner, logits, self.rules(), sample=bool(c.do_sample), generators=self.generators,
            criteria=self.criteria, deadline=self.deadline,
        )  # fmt: skip

    # ---- ways of choosing

    def write(self, assistant: Any = None, streamer: Any = None) -> Any:
        """Greedy search, sampling, or either with the help of guesses."""
        c = self.config
        draft = writing.Draft(self.ids, self.real, self.longest, self.eos, self.pad)
        if c.return_dict_in_generate:
            draft.keep_scores, draft.keep_logits = bool(c.output_scores), bool(c.output_logits)
        runner, logits = self.begin()
        if self.whole.dim() == 2:
            runner.recall = lambda row: draft.ids[row][draft.real[row]]
        if (assistant is not None or c.prompt_lookup_num_tokens) and isinstance(runner, Runner) and len(self.ids) == 1:
            steps = assisted(
                draft, runner, logits, self.rules(), c, assistant, self.generators, self.criteria, self.deadline
            )
        else:
            steps = self._written(draft, runner, logits)
        for tokens in steps:
            if streamer is not None:
                streamer.put(tokens.cpu())
        if not c.return_dict_in_generate:
            return draft.ids
        return outputs.GenerateDecoderOnlyOutput(
            sequences=draft.ids,
            scores=tuple(draft.scores) if c.output_scores else None,
            logits=tuple(draft.logits) if c.output_logits else None,
            **_collected(runner, c),
            past_key_values=runner.finish(self._columns(draft.real[:, draft.prompt :])),
            ended=draft.ended,
        )

    def beam_search(self) -> Any:
        """Beams, the best or drawn."""
        c, K = self.config, self.beams
        if self.returned > K:
            raise InputError(f"num_return_sequences={self.returned} is more than num_beams={K}.")
        runner, logits = self.begin()
        rules, T = self.rules(), self.ids.shape[1]
        scores: list[Tensor] | None = [] if c.return_dict_in_generate and c.output_scores else None
        raw: list[Tensor] | None = [] if c.return_dict_in_generate and c.output_logits else None

        def apply(tokens: Tensor, found: Tensor) -> Tensor:
            new = torch.ones_like(tokens, dtype=torch.bool)
            ids, real = torch.cat([self.ids, tokens], 1), torch.cat([self.real, new], 1)
            return rules(ids, real, found, range(len(ids)))

        asked = beams.Search(
            K, max(self.longest), len(self.eos), self._ends, 1.0 if c.length_penalty is None else c.length_penalty,
            c.early_stopping or False, bool(c.do_sample), self.pad,
        )  # fmt: skip
        if self.whole.dim() == 2:
            runner.recall = lambda row: torch.cat([self.prompts[row // K], runner.written[row]])
        done = beams.search(asked, runner, logits, apply, (scores, raw), self.deadline)
        R = self.returned
        origins = done.origins[:, :R].flatten(0, 1)
        length = int((origins >= 0).sum(1).max())
        ids = self.ids[::K].repeat_interleave(R, 0)
        sequences = torch.cat([ids, done.tokens[:, :R].flatten(0, 1)[:, :length]], dim=1)
        assert sequences.shape[1] == T + length
        if not c.return_dict_in_generate:
            return sequences
        new = torch.ones(len(self.ids), done.tokens.shape[2], dtype=torch.bool, device=ids.device)
        return outputs.GenerateBeamDecoderOnlyOutput(
            sequences=sequences,
            sequences_scores=done.scores[:, :R].flatten() if c.output_scores else None,
            scores=None if scores is None else tuple(scores),
            logits=None if raw is None else tuple(raw),
            beam_indices=origins[:, :length],
            **_collected(runner, c),
            past_key_values=runner.finish(self._columns(new)),
        )

    def _columns(self, new: Tensor) -> Tensor:
        """(B · R, T + s) which columns hold tokens, of the prompts or their vectors, and of `new` (B · R, s)."""
        return torch.cat([self.mask.repeat_interleave(self.times, 0), new], dim=1)

    def _ends(self, tokens: Tensor) -> Tensor:
        """(B, C) which candidates (B, C, s) are at their end."""
        B, C, s = tokens.shape
        ends = torch.zeros(B, C, dtype=torch.bool, device=tokens.device)
        for token in self.eos:
            ends |= tokens[:, :, -1] == token
        longest = torch.tensor(self.longest[:: self.times], device=tokens.device)
        ends |= (s >= longest)[:, None]
        if self.criteria:
            ids = self.ids[:: self.times].repeat_interleave(C, 0)
            ends |= self.criteria(torch.cat([ids, tokens.flatten(0, 1)], 1), None).view(B, C)
        return ends


def _collected(runner: Any, config: Any) -> dict[str, Any]:
    """Attentions and hidden states of every pass, where they were asked for."""
    passes = getattr(runner, "outputs", [])
    found = {}
    for name, asked in (("attentions", config.output_attentions), ("hidden_states", config.output_hidden_states)):
        found[name] = tuple(one[name] for one in passes) if asked and passes else None
    return found
