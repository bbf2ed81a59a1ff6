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
from ..config import longest_written
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
from .prepared import PreparedRunner
from .processors import LogitsProcessorList
from .runner import ColumnRunner, Runner, WholeRunner
from .source import Source
from .stopping import StoppingCriteriaList, StopStringCriteria
from .watermarking import watermark_of

# arguments of the reference's `generate` that are accepted where they ask for nothing
_OTHERS = ("custom_generate",)
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

    ids, real: (B · R, T) prompts and which of their columns are tokens, T = 0 where there are only vectors.
    tokens: those of each prompt, (t,). prompts: the same, or what the model reads instead, vectors (t, D).
    """

    given: LogitsProcessorList
    criteria: StoppingCriteriaList
    allowed: Allowed | None = None
    source: Source | None
    negative: tuple[Any, Any] = (None, None)
    tokenizers: tuple[Any, Any] = (None, None)  # of the model, and of its assistant
    ids: Tensor
    real: Tensor
    tokens: list[Tensor]
    prompts: list[Tensor]

    def __init__(
        self, model: Any, inputs: Any, config: GenerationConfig | None, kwargs: dict[str, Any], tokenizer: Any = None
    ) -> None:
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
        rooms = [self._room(len(prompt), len(tokens)) for prompt, tokens in zip(self.prompts, self.tokens, strict=True)]
        self.longest = [room for room in rooms for _ in range(times)]
        self.deadline = None if c.max_time is None else time.monotonic() + c.max_time
        self.generators = None
        if c.do_sample and c.seed is not None:
            self.generators = sampling.seeded(c.seed, len(self.ids), self.ids.device)

    def _read_inputs(self, inputs: Any, kwargs: dict[str, Any]) -> None:
        model, takes = self.model, {*self.model.inputs(), "cache_position"}
        self.source = model.read_source(inputs, self.config, kwargs)
        if self.source is not None:  # whose decoder goes on from a prompt of its own
            inputs, kwargs["attention_mask"] = self.source.start, self.source.mask
            takes.add("attention_mask")
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

    def _heal(self, tokenizer: Any) -> None:
        if self.cache is not None or self.more:
            raise ArgumentError("token_healing is for input_ids alone: leave out further inputs and past_key_values.")
        self.prompts = healed(self.model, self.prompts, tokenizer)
        self.ids, self.real = padded(self.prompts, self.pad)
        self.tokens, self.whole, self.mask = self.prompts, self.ids, self.real

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
        c, limit = self.config, longest_written(self.model.config)
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

    @property
    def encoder(self) -> Source | None:
        """What outputs say of an encoder; None where there is none."""
        return self.source if self.source is not None and self.source.named else None

    def rules(self) -> Rules:
        """The processors of every text."""

        c, given = self.config, self.given

        def of(row: int) -> LogitsProcessorList:
            number = row // self.times
            prompt = len(self.tokens[number])
            read = self.tokens if self.encoder is None else self.encoder.ids
            text = Text(number, prompt, prompt + self.longest[row], read[number] if read else self.ids[0, :0])
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
        prepared = self.whole.dim() == 2 and self.model.prepares_inputs()
        watched = prepared or asked or self.more or keeps_padding(self.model.modules())
        more = dict(self.more)
        if self.source is not None:
            more["memory"] = self.source.in_order([len(prompt) for prompt in self.prompts])
            if watched:
                more |= {"memory": self.source.memory, "encoder_outputs": self.source.encoded}
        if reader is not None and self.source is not None:
            raise ArgumentError(
                f"generate: {self.mode.value} is for models that are decoders alone; {type(self.model).__name__} has "
                "an encoder. Choose greedily, draw (do_sample=True), or search with beams (num_beams=4)."
            )
        if reader is not None and (more or watched or (self.cache is not None and self.mode is _CONTRASTIVE)):
            raise ArgumentError(
                f"generate: {self.mode.value} is for input_ids or inputs_embeds alone. Leave out further inputs and "
                "past_key_values, output_attentions and output_hidden_states, and take hooks off the model."
            )
        if watched:
            kind = PreparedRunner if prepared else ColumnRunner
            runner = kind(self.model, self.whole, self.mask, asked, **more)
            logits = runner.begin()
        else:
            to_go_on = c.return_dict_in_generate and self.mode is not _CONTRASTIVE
            reads = self.model if reader is None else reader
            runner = (WholeRunner if to_go_on else Runner)(reads, self._taken_cache(), **more)
            if self.whole.dim() == 2 and self.mode is not _CONTRASTIVE:
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
        if self.whole.dim() == 2:
            runner.recall = lambda row: draft.ids[row][draft.real[row]]
        if isinstance(runner, Runner) and len(self.ids) == 1:
            guess = guesses(self.model, c, rules, assistant, self.tokenizers)
            if guess is not None:
                beside = self.generators, self.criteria, self.deadline
                return runner, assisted(draft, runner, logits, rules, c, guess, *beside)
        return runner, writing.write(
            draft, runner, logits, rules, sample=bool(c.do_sample), generators=self.generators,
            criteria=self.criteria, deadline=self.deadline,
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
        if c.return_dict_in_generate:
            draft.keep_scores, draft.keep_logits = bool(c.output_scores), bool(c.output_logits)
        runner, steps = self._written(draft, assistant)
        for tokens in steps:
            if streamer is not None:
                streamer.put(tokens.cpu())
        if not c.return_dict_in_generate:
            return draft.ids
        kind = outputs.GenerateDecoderOnlyOutput if self.encoder is None else outputs.GenerateEncoderDecoderOutput
        return kind(
            sequences=draft.ids,
            scores=tuple(draft.scores) if c.output_scores else None,
            logits=tuple(draft.logits) if c.output_logits else None,
            **outputs.collected(runner, c, self.encoder),
            past_key_values=runner.finish(self.columns(draft.real[:, draft.prompt :])),
            ended=draft.ended,
        )

    def columns(self, new: Tensor) -> Tensor:
        """(B · R, T + s) which columns hold tokens, of the prompts or their vectors, and of `new` (B · R, s)."""
        return torch.cat([self.mask.repeat_interleave(self.times, 0), new.to(self.mask.device)], dim=1)
