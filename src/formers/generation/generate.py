"""`generate`: what a call and the files ask for, turned into a draft, a runner and the rules between them.

    prompts ─ runner ─▶ logits ─ rules ─▶ scores ─ best, drawn, beams ─▶ tokens ─┐
                 ▲──────────────────────────────────────────────────────────────┘
Letters: B texts, T columns of prompts, s generated columns, R = num_return_sequences, K beams, V vocabulary, D width.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..cache import Cache
from ..config import longest_text, read_json
from ..errors import ArgumentError, InputError, NotTensorError, near
from ..layers import keeps_padding
from ..ops.checks import batch_shape, read_mask
from . import beams, outputs, sampling, writing
from .assisted import assisted
from .chain import Allowed, Rules, Text, eos_ids, rules, warping
from .configuration import GENERATION_CONFIG_NAME, KEYS, GenerationConfig, GenerationMode
from .processors import LogitsProcessorList
from .runner import ColumnRunner, Runner
from .stopping import StoppingCriteriaList, StopStringCriteria

_MODES = {
    GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE, GenerationMode.BEAM_SEARCH, GenerationMode.BEAM_SAMPLE,
    GenerationMode.ASSISTED_GENERATION,
}  # fmt: skip


class GenerationMixin:
    """The part of a model that writes texts."""

    config: Any
    device: Any

    @property
    def generation_config(self) -> GenerationConfig:
        """How the model writes where a call does not say: generation_config.json, or what config.json says of it."""
        found = self.__dict__.get("_generation_config")
        if found is None:
            found = self.__dict__["_generation_config"] = GenerationConfig.from_model_config(self.config)
        return found

    @generation_config.setter
    def generation_config(self, value: GenerationConfig) -> None:
        self.__dict__["_generation_config"] = value

    def read_beside(self, source: Any) -> None:
        """Read generation_config.json, where there is one."""
        super().read_beside(source)  # type: ignore[misc]
        if (path := source.file(GENERATION_CONFIG_NAME)) is not None:
            self.generation_config = GenerationConfig.from_dict(read_json(path) | {"_where": str(path)})

    def write_beside(self, folder: Path) -> None:
        """Write generation_config.json."""
        super().write_beside(folder)  # type: ignore[misc]
        self.generation_config.to_json_file(folder / GENERATION_CONFIG_NAME)

    def can_generate(self) -> bool:
        """Whether `generate` is there."""
        return True

    @torch.no_grad()
    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Sequence[Any] | None = None,
        stopping_criteria: Sequence[Any] | None = None,
        prefix_allowed_tokens_fn: Allowed | None = None,
        synced_gpus: bool | None = None,
        assistant_model: Any = None,
        streamer: Any = None,
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Write on: tokens (B · R, T + s), the prompts first, and padding after the end of a text.

        inputs: input_ids (B, T), padded on either side, which makes no difference, as `attention_mask` says; or
        inputs_embeds (B, T, D), after which only new tokens are returned.
        Keywords are keys of GenerationConfig, and inputs of the model. They go before `generation_config`, that before
        the model's own. How long a text becomes (`max_length`) counts its own tokens, not its padding.
        logits_processor, stopping_criteria: functions of (ids, scores), as those of this package.
        prefix_allowed_tokens_fn: from a text's number and tokens to what may come next. tokenizer: for `stop_strings`.
        With `return_dict_in_generate` a GenerateDecoderOnlyOutput or GenerateBeamDecoderOnlyOutput.
        Errors: InputError for what contradicts itself, or would be longer than the model's positions.
        """
        task = Task(self, inputs, generation_config, kwargs)
        task.given, task.allowed = LogitsProcessorList(logits_processor or ()), prefix_allowed_tokens_fn
        task.criteria = StoppingCriteriaList(stopping_criteria or ())
        task.read_stops(tokenizer)
        if streamer is not None and (len(task.ids) > 1 or task.beams > 1):
            raise InputError("A streamer shows one text: give one prompt, num_beams=1 and num_return_sequences=1.")
        try:
            if streamer is not None:
                streamer.put(task.ids.cpu())
            found = task.beam_search() if task.beams > 1 else task.write(assistant_model, streamer)
        except BaseException as error:
            if hasattr(streamer, "fail"):
                streamer.fail(error)
            raise
        if streamer is not None:
            streamer.end()
        return found

    @torch.no_grad()
    def stream(self, inputs: Tensor | None = None, tokenizer: Any = None, **kwargs: Any) -> Iterator[tuple[int, Any]]:
        """Write many texts at once: yields (number of a text, its next piece) as pieces come, text where a tokenizer is
        given, which holds back incomplete characters, else tokens. Arguments are those of `generate`."""
        task = Task(self, inputs, kwargs.pop("generation_config", None), kwargs)
        task.given, task.criteria = LogitsProcessorList(), StoppingCriteriaList()
        task.read_stops(tokenizer)
        pieces = [Pieces(tokenizer) for _ in task.ids]
        for draft, tokens in task.steps():
            for row, token in enumerate(tokens.tolist()):
                if draft.real[row, -1] and (piece := pieces[row].add(token, token in draft.eos)) is not None:
                    yield row, piece
        for row, piece in enumerate(pieces):
            if (rest := piece.rest()) is not None:
                yield row, rest

    def next_logits(self, inputs: dict[str, Any], layout: Any, cache: Cache | None, every: bool = False) -> Tensor:
        """The logits (B, V) after the last token of each text of a layout, or with `every` in all rows."""
        body = self.base_model(**inputs, layout=layout, past_key_values=cache, return_dict=True)  # type: ignore[attr-defined]
        rows = body.last_hidden_state
        rows = rows.flatten(0, -2) if every else layout.last(rows)
        found: Tensor = self.compute_logits(rows)  # type: ignore[attr-defined]
        return found

    def prepare_inputs_for_generation(self, input_ids: Tensor, past_key_values: Any = None, **kwargs: Any) -> Any:
        """The inputs of the next pass, for loops of people's own: only the tokens that the cache lacks."""
        cache = None if past_key_values is None else Cache.of(past_key_values)
        mask, new = kwargs.get("attention_mask"), input_ids[:, 0 if cache is None else cache.columns :]
        found = {"input_ids": new, "past_key_values": past_key_values, "use_cache": kwargs.get("use_cache", True)}
        if mask is not None:
            found["attention_mask"] = mask
            if "position_ids" in self.inputs():  # type: ignore[attr-defined]
                found["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -new.shape[1] :]
        return found

    @staticmethod
    def _reorder_cache(past_key_values: Any, beam_idx: Tensor) -> Any:
        cache = Cache.of(past_key_values)
        cache.reorder_cache(beam_idx)
        return cache

    def greedy_search(self, input_ids: Tensor, **kwargs: Any) -> Any:
        """`generate` with the best token at every step, by its name in 4.20."""
        return self._older(input_ids, kwargs, do_sample=False, num_beams=1)

    def sample(self, input_ids: Tensor, logits_warper: Sequence[Any] | None = None, **kwargs: Any) -> Any:
        """`generate` that draws tokens, by its name in 4.20; only what `logits_warper` cuts is cut."""
        kwargs["logits_processor"] = [*(kwargs.get("logits_processor") or ()), *(logits_warper or ())]
        return self._older(input_ids, kwargs, do_sample=True, num_beams=1, top_k=0, top_p=1.0, temperature=1.0)

    def beam_search(self, input_ids: Tensor, beam_scorer: Any = None, **kwargs: Any) -> Any:
        """`generate` with beams, by its name in 4.20: `input_ids` (B · K, T), with each prompt K times."""
        K = getattr(beam_scorer, "num_beams", None) or kwargs.pop("num_beams", 1)
        return self._older(input_ids[::K], kwargs, do_sample=False, num_beams=K)

    def _older(self, input_ids: Tensor, kwargs: dict[str, Any], **fixed: Any) -> Any:
        if (most := kwargs.pop("max_length", None)) is not None:
            fixed["max_length"] = most
        criteria = kwargs.get("stopping_criteria")
        if most is None and getattr(criteria, "max_length", None) is not None:
            fixed["max_length"] = criteria.max_length  # type: ignore[union-attr]
        return self.generate(input_ids, **kwargs, **fixed)

    def compute_transition_scores(
        self, sequences: Tensor, scores: tuple[Tensor, ...], beam_indices: Tensor | None = None,
        normalize_logits: bool = False,
    ) -> Tensor:  # fmt: skip
        """(B, s) the score that each generated token had when it was chosen, of what `generate` returned.

        normalize_logits: scores become log probabilities first.
        """
        s = len(scores)
        rows = torch.arange(len(sequences), device=sequences.device)[:, None].expand(-1, s)
        if beam_indices is not None:
            s = int((beam_indices >= 0).sum(-1).max())
            rows = beam_indices[:, :s].clamp(min=0).long()
        steps = torch.stack([x.log_softmax(-1) if normalize_logits else x for x in scores[:s]])  # (s, B, V)
        at = torch.arange(s, device=sequences.device)
        found: Tensor = steps[at, rows, sequences[:, sequences.shape[1] - s :]]
        return found if beam_indices is None else found.masked_fill(beam_indices[:, :s] < 0, 0.0)


# keys that would change what is written, and that nothing here heeds
_ABSENT = ("guidance_scale", "watermarking_config", "token_healing", "assistant_early_exit", "use_mtp", "dola_layers")


def refuse(config: GenerationConfig) -> None:
    """Raise ArgumentError for what is asked for and not here, instead of passing over it in silence."""
    for name in _ABSENT:
        value = getattr(config, name)
        if value not in (None, False, 1):
            raise ArgumentError(f"{name}={value!r} is not available in generate; leave it out, or set it to None.")


class Pieces:
    """The text of tokens that come one by one; without a tokenizer, the tokens themselves."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.tokens, self.shown = tokenizer, list[int](), 0

    def add(self, token: int, last: bool) -> Any:
        """What there is to show after one more token; None for nothing."""
        if self.tokenizer is None:
            return token
        self.tokens += [] if last else [token]
        text = self.tokenizer.decode(self.tokens, skip_special_tokens=True)
        return self._after(text) if not text.endswith("\ufffd") else None

    def rest(self) -> Any:
        """What was held back."""
        if self.tokenizer is None:
            return None
        return self._after(self.tokenizer.decode(self.tokens, skip_special_tokens=True))

    def _after(self, text: str) -> str | None:
        new, self.shown = text[self.shown :], len(text)
        return new or None


class Task:
    """One call of `generate`, its arguments read.

    ids, real: (B · R, T) prompts and which of their columns are tokens. prompts: their tokens, (t,) each, or vectors.
    """

    given: LogitsProcessorList
    criteria: StoppingCriteriaList
    allowed: Allowed | None = None
    ids: Tensor
    real: Tensor
    prompts: list[Tensor]

    def __init__(self, model: Any, inputs: Any, config: GenerationConfig | None, kwargs: dict[str, Any]) -> None:
        self.model, self.stops = model, None
        keys = {name: kwargs.pop(name) for name in list(kwargs) if name in KEYS}
        self.config = (config or GenerationConfig()).over(model.generation_config, **keys)
        mode = self.config.get_generation_mode()
        if mode not in _MODES:
            raise ArgumentError(f"generate has no {mode.value} here; greedy, sampling and beams are, and assistants.")
        refuse(self.config)
        self._read_inputs(inputs, kwargs)
        c, B = self.config, len(self.prompts)
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
        self.times, self.count = times, B
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
        return Rules(own, given, warping(c, self.eos), alike)

    def begin(self) -> tuple[Any, Tensor]:
        """A runner that has computed the prompts, and the logits (B · R, V) after them."""
        c = self.config
        asked = {n: True for n in ("output_attentions", "output_hidden_states") if getattr(c, n)}
        if asked and not c.return_dict_in_generate:
            asked = {}
        runner: Any
        if asked or self.more or keeps_padding(self.model.modules()):
            runner = ColumnRunner(self.model, self.whole, self.mask, asked, **self.more)
            logits = runner.begin()
        else:
            cache = None if self.cache is None else Cache.of(self.cache, self.mask)
            if cache is not None and max(cache.lengths, default=0) >= min(map(len, self.prompts)):
                raise InputError("past_key_values hold all of a prompt: give at least one token beyond them.")
            runner = Runner(self.model, cache, **self.more)
            logits = runner.begin(self.prompts)
        if self.times > 1:
            runner.repeat(self.times)
            logits = logits.repeat_interleave(self.times, 0)
        return runner, logits

    def steps(self) -> Iterator[tuple[writing.Draft, Tensor]]:
        """Greedy search or sampling, step by step."""
        draft = writing.Draft(self.ids, self.real, self.longest, self.eos, self.pad)
        runner, logits = self.begin()
        for tokens in self._written(draft, runner, logits):
            yield draft, tokens

    def _written(self, draft: writing.Draft, runner: Any, logits: Tensor) -> Iterator[Tensor]:
        c = self.config
        return writing.write(
            draft, runner, logits, self.rules(), sample=bool(c.do_sample), generators=self.generators,
            criteria=self.criteria, deadline=self.deadline,
            keep_scores=bool(c.return_dict_in_generate and c.output_scores),
            keep_logits=bool(c.return_dict_in_generate and c.output_logits),
        )  # fmt: skip

    # ---- ways of choosing

    def write(self, assistant: Any = None, streamer: Any = None) -> Any:
        """Greedy search, sampling, or either with the help of guesses."""
        c = self.config
        draft = writing.Draft(self.ids, self.real, self.longest, self.eos, self.pad)
        runner, logits = self.begin()
        if (assistant is not None or c.prompt_lookup_num_tokens) and isinstance(runner, Runner) and len(self.ids) == 1:
            steps = assisted(draft, runner, logits, self.rules(), c, assistant, self.generators, self.criteria)
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
            past_key_values=runner.cache,
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
        done = beams.search(asked, runner, logits, apply, (scores, raw), self.deadline)
        R = self.returned
        origins = done.origins[:, :R].flatten(0, 1)
        length = int((origins >= 0).sum(1).max())
        ids = self.ids[::K].repeat_interleave(R, 0)
        sequences = torch.cat([ids, done.tokens[:, :R].flatten(0, 1)[:, :length]], dim=1)
        assert sequences.shape[1] == T + length
        if not c.return_dict_in_generate:
            return sequences
        return outputs.GenerateBeamDecoderOnlyOutput(
            sequences=sequences,
            sequences_scores=done.scores[:, :R].flatten() if c.output_scores else None,
            scores=None if scores is None else tuple(scores),
            logits=None if raw is None else tuple(raw),
            beam_indices=origins[:, :length],
            **_collected(runner, c),
            past_key_values=runner.cache,
        )

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
