"""One call of `generate`, its arguments read: the prompts, the rules, and the ways of choosing.

Letters: B texts, T columns of prompts, s generated columns, R = num_return_sequences, K beams, V vocabulary, D width.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..cache import Cache
from ..config import longest_text
from ..errors import ArgumentError, InputError, NotTensorError, near
from ..layers import keeps_padding
from ..ops.checks import batch_shape, read_mask
from . import outputs, sampling, searching, writing
from .assisted import assisted, guesses
from .chain import Allowed, Rules, Text, eos_ids, rules, warping
from .configuration import KEYS, GenerationConfig, GenerationMode
from .contrastive import States, contrastive
from .guidance import guidance_of
from .healing import healed, padded
from .layer_contrast import Contrasted
from .processors import LogitsProcessorList
from .runner import ColumnRunner, Runner
from .stopping import StoppingCriteriaList, StopStringCriteria
from .watermarking import watermark_of

# keys that would change what is written, and that nothing here heeds
_ABSENT = ("use_mtp",)
_CONTRASTIVE = GenerationMode.CONTRASTIVE_SEARCH


def refuse(config: GenerationConfig) -> None:
    """Raise ArgumentError for what is asked for and not here, instead of passing over it in silence."""
    for name in _ABSENT:
        value = getattr(config, name)
        if value not in (None, False):
            raise ArgumentError(f"{name}={value!r} is not available in generate; leave it out, or set it to None.")


class Task:
    """One call of `generate`, its arguments read.

    ids, real: (B · R, T) prompts and which of their columns are tokens. prompts: their tokens, (t,) each, or vectors.
    """

    given: LogitsProcessorList
    criteria: StoppingCriteriaList
    allowed: Allowed | None = None
    negative: tuple[Any, Any] = (None, None)
    tokenizers: tuple[Any, Any] = (None, None)  # of the model, and of its assistant
    ids: Tensor
    real: Tensor
    prompts: list[Tensor]

    def __init__(
        self, model: Any, inputs: Any, config: GenerationConfig | None, kwargs: dict[str, Any], tokenizer: Any = None
    ) -> None:
        self.model = model
        keys = {name: kwargs.pop(name) for name in list(kwargs) if name in KEYS}
        self.config = (config or GenerationConfig()).over(model.generation_config, **keys)
        self.mode = self.config.get_generation_mode()
        refuse(self.config)
        self._read_inputs(inputs, kwargs)
        c = self.config
        self.beams, self.returned = c.num_beams or 1, c.num_return_sequences or 1
        if self.returned > 1 and self.beams == 1 and not c.do_sample:
            raise InputError(
                f"num_return_sequences={self.returned}, but greedy search writes one text: set do_sample=True, or "
                "num_beams to at least as many."
            )
        if self.returned > self.beams > 1:
            raise InputError(f"num_return_sequences={self.returned} is more than num_beams={self.beams}.")
        self.eos = eos_ids(c.eos_token_id)
        self._check_eos()
        pads = (c.pad_token_id, self.eos[0] if self.eos else None, 0)
        self.pad = next(int(token) for token in pads if token is not None)
        if c.token_healing:
            self._heal(tokenizer)
        times = self.beams if self.beams > 1 else self.returned
        self.ids, self.real = (x.repeat_interleave(times, 0) for x in (self.ids, self.real))
        self.times = times
        self.longest = [self._room(len(prompt)) for prompt in self.prompts for _ in range(times)]
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
        if unknown := sorted(kwargs.keys() - takes):
            known = [*KEYS, *takes]
            raise ArgumentError(f"generate takes no {unknown[0]!r}.{near(unknown[0], known)}")
        if ids is None and vectors is None:
            ids = self._first()
        source: Any = ids if vectors is None else vectors
        if vectors is None and not isinstance(source, Tensor):
            raise NotTensorError(f"generate: input_ids is a {type(ids).__name__}, not a tensor.")
        batch, columns = batch_shape(type(model).__name__, None if vectors is not None else source, vectors)
        mask, self.cache = kwargs.pop("attention_mask", None), kwargs.pop("past_key_values", None)
        for name in ("position_ids", "cache_position", "use_cache"):  # which follow from the mask
            kwargs.pop(name, None)
        real = torch.ones(batch, columns, dtype=torch.bool, device=source.device)
        if mask is not None:
            real = read_mask(mask, batch, columns)
            if real.dim() == 4:
                raise InputError("generate takes a mask (batch, columns), not one for each query.")
            real = real.to(source.device)
        if not bool(real.any(1).all()):
            row = int((~real.any(1)).nonzero()[0])
            raise InputError(f"Prompt {row} has no tokens: give at least one, such as the tokenizer's bos_token_id.")
        self.prompts = [source[b][real[b]] for b in range(batch)]
        written = columns if vectors is None else 0
        self.ids = source if vectors is None else torch.zeros(batch, 0, dtype=torch.long, device=source.device)
        self.real, self.vectors, self.whole = real[:, :written], vectors, source
        self.mask, self.more = real, {name: value for name, value in kwargs.items() if value is not None}

    def _heal(self, tokenizer: Any) -> None:
        if self.cache is not None or self.more:
            raise ArgumentError("token_healing is for input_ids alone: leave out further inputs and past_key_values.")
        self.prompts = healed(self.model, self.prompts, tokenizer)
        self.ids, self.real = padded(self.prompts, self.pad)
        self.whole, self.mask = self.ids, self.real

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

    def _room(self, prompt: int) -> int:
        """How many new tokens a text may get, after a prompt of so many."""
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
            room = c.max_length - (prompt if self.vectors is None else 0)
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
            prompt = len(self.prompts[number]) if self.vectors is None else 0
            text = Text(number, prompt, prompt + self.longest[row], self.prompts[number][:prompt])
            return LogitsProcessorList(rules(c, text, self.eos, self.allowed))

        of_prompts = c.encoder_repetition_penalty not in (None, 1.0) or bool(c.encoder_no_repeat_ngram_size)
        alike = bool(self.real.all()) and self.allowed is None and not of_prompts
        own = [of(0)] if alike else [of(row) for row in range(len(self.ids))]
        last, normal = warping(c, self.eos), bool(c.renormalize_logits)
        return Rules(own, given, last, alike, guidance_of(self), self._mark(), normal)

    def _mark(self) -> Any:
        config = watermark_of(self.config.watermarking_config)
        size = getattr(self.model.config, "vocab_size", 0)
        return None if config is None else config.construct_processor(size, self.ids.device)

    def begin(self, reader: Any = None) -> tuple[Any, Tensor]:
        """A runner that has computed the prompts, and the logits (B · R, V) after them. reader: who computes them in
        place of the model."""
        c = self.config
        asked = {n: True for n in ("output_attentions", "output_hidden_states") if getattr(c, n)}
        if asked and not c.return_dict_in_generate:
            asked = {}
        runner: Any
        whole = asked or self.more or keeps_padding(self.model.modules())
        if reader is not None and (whole or (self.cache is not None and self.mode is _CONTRASTIVE)):
            raise ArgumentError(
                f"generate: {self.mode.value} is for input_ids or inputs_embeds alone. Leave out further inputs and "
                "past_key_values, output_attentions and output_hidden_states, and take hooks off the model."
            )
        if whole:
            runner = ColumnRunner(self.model, self.whole, self.mask, asked, **self.more)
            logits = runner.begin()
        else:
            cache = None if self.cache is None else Cache.of(self.cache, self.mask)
            if cache is not None and max(cache.lengths, default=0) >= min(map(len, self.prompts)):
                raise InputError("past_key_values hold all of a prompt: give at least one token beyond them.")
            runner = Runner(self.model if reader is None else reader, cache, **self.more)
            logits = runner.begin(self.prompts)
        if self.times > 1:
            runner.repeat(self.times)
            logits = logits.repeat_interleave(self.times, 0)
        return runner, logits

    def draft(self) -> writing.Draft:
        """The texts, of which nothing is written."""
        return writing.Draft(self.ids, self.real, self.longest, self.eos, self.pad)

    def steps(self) -> Iterator[tuple[writing.Draft, Tensor]]:
        """What is asked for without beams, step by step."""
        draft = self.draft()
        for tokens in self._written(draft)[1]:
            yield draft, tokens

    def _written(self, draft: writing.Draft, assistant: Any = None) -> tuple[Any, Iterator[Tensor]]:
        """A runner, and the tokens of each step: greedy search, sampling, or either with the help of guesses; the
        contrast of candidates, or of layers."""
        c, rules = self.config, self.rules()
        if self.mode is _CONTRASTIVE:
            states = States(self.model)
            runner, logits = self.begin(states)
            return runner, contrastive(draft, runner, states, logits, rules, c, self.criteria, self.deadline)
        layers = c.dola_layers
        runner, logits = self.begin(None if layers is None else Contrasted(self.model, layers))
        if isinstance(runner, Runner) and len(self.ids) == 1:
            guess = guesses(self.model, c, rules, assistant, self.tokenizers)
            if guess is not None:
                return runner, assisted(draft, runner, logits, rules, c, guess, self.generators, self.criteria)
        return runner, writing.write(
            draft, runner, logits, rules, sample=bool(c.do_sample), generators=self.generators,
            criteria=self.criteria, deadline=self.deadline,
            keep_scores=bool(c.return_dict_in_generate and c.output_scores),
            keep_logits=bool(c.return_dict_in_generate and c.output_logits),
        )  # fmt: skip

    # ---- ways of choosing

    def run(self, assistant: Any = None, streamer: Any = None) -> Any:
        """What is asked for, in the way that is asked for."""
        if self.mode in (GenerationMode.GROUP_BEAM_SEARCH, GenerationMode.CONSTRAINED_BEAM_SEARCH):
            return searching.group_search(self)
        if self.beams > 1:
            return searching.beam_search(self)
        return self.write(assistant, streamer)

    def write(self, assistant: Any = None, streamer: Any = None) -> Any:
        """The texts that are asked for without beams."""
        c, draft = self.config, self.draft()
        runner, steps = self._written(draft, assistant)
        for tokens in steps:
            if streamer is not None:
                streamer.put(tokens.cpu())
        if not c.return_dict_in_generate:
            return draft.ids
        return outputs.GenerateDecoderOnlyOutput(
            sequences=draft.ids,
            scores=tuple(draft.scores) if c.output_scores else None,
            logits=tuple(draft.logits) if c.output_logits else None,
            **outputs.collected(runner, c),
            past_key_values=runner.cache,
            ended=draft.ended,
        )
