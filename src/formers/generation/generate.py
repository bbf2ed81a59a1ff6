"""`generate`: what a call and the files ask for, turned into a draft, a runner and the rules between them.

    prompts ─ runner ─▶ logits ─ rules ─▶ scores ─ best, drawn, beams ─▶ tokens ─┐
                 ▲──────────────────────────────────────────────────────────────┘
Letters: B texts, T columns of prompts, s generated columns, R = num_return_sequences, K beams, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import gguf
from ..cache import Cache
from ..config import read_json
from ..errors import ArgumentError, InputError
from .chain import Allowed
from .configuration import GENERATION_CONFIG_NAME, GenerationConfig
from .processors import LogitsProcessorList, listed
from .scorers import read_scorer
from .stopping import StoppingCriteriaList
from .task import Task


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

    def read_beside(self, source: Any, packed: Path | None = None) -> None:
        """Read generation_config.json, or what the GGUF file says, where there is one."""
        super().read_beside(source, packed)  # type: ignore[misc]
        if (path := source.file(GENERATION_CONFIG_NAME)) is not None:
            self.generation_config = GenerationConfig.from_dict(read_json(path) | {"_where": str(path)})
        elif packed is not None:
            said = gguf.generation_values(packed)
            own = GenerationConfig.from_model_config(self.config).to_diff_dict()
            ends, end = said.get("eos_token_id"), own.get("eos_token_id")
            if isinstance(ends, list) and end in ends:  # unless the caller chose another
                own["eos_token_id"] = ends
            self.generation_config = GenerationConfig.from_dict(said | own | {"_where": str(packed)})

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
        negative_prompt_ids: Tensor | None = None,
        negative_prompt_attention_mask: Tensor | None = None,
        tokenizer: Any = None,
        assistant_tokenizer: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Write on: tokens (B · R, T + s), the prompts first, and padding after the end of a text.

        inputs: input_ids (B, T), padded on either side, which makes no difference, as `attention_mask` says, or without
        one pad_token_id, if that ends no text; or inputs_embeds (B, T, D), after which only new tokens are returned.
        past_key_values: what an earlier call returned; inputs are the whole texts then, too, as long as they are now.
        Keywords are keys of GenerationConfig, and inputs of the model. They go before `generation_config`, that before
        the model's own. How long a text becomes (`max_length`) counts its own tokens, not its padding.
        logits_processor, stopping_criteria: functions of (ids, scores), as those of this package.
        negative_prompt_ids (1 or B, S): prompts that `guidance_scale` leads away from; the last token of each if left
        out.
        prefix_allowed_tokens_fn: from a text's number and tokens to what may come next. tokenizer: for
        `stop_strings`, `token_healing`, and an assistant with another one, the `assistant_tokenizer`.
        With `return_dict_in_generate` a GenerateDecoderOnlyOutput or GenerateBeamDecoderOnlyOutput.
        Errors: InputError for what contradicts itself, or would be longer than the model's positions.
        """
        task = Task(self, inputs, generation_config, kwargs, tokenizer)
        task.tokenizers = tokenizer, assistant_tokenizer
        task.given = LogitsProcessorList(listed("logits_processor", logits_processor))
        task.criteria = StoppingCriteriaList(listed("stopping_criteria", stopping_criteria))
        task.allowed = prefix_allowed_tokens_fn
        task.negative = negative_prompt_ids, negative_prompt_attention_mask
        for name, given, needed in (("streamer", streamer, "put"), ("assistant_model", assistant_model, "next_logits")):
            if given is not None and not hasattr(given, needed):
                raise ArgumentError(f"{name} is a {type(given).__name__}, which has no `{needed}`.")
        task.read_stops(tokenizer)
        if streamer is not None and (len(task.ids) > 1 or task.beams > 1):
            raise InputError("A streamer shows one text: give one prompt, num_beams=1 and num_return_sequences=1.")
        try:
            if streamer is not None:
                streamer.put(task.ids.cpu())
            found = task.run(assistant_model, streamer)
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
        task = Task(self, inputs, kwargs.pop("generation_config", None), kwargs, tokenizer)
        if task.beams > 1:
            raise InputError(
                f"stream gives tokens as they are chosen, and num_beams={task.beams} are compared at the end: set "
                "num_beams=1, or call generate."
            )
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
        """The inputs of the next pass, for loops of people's own: only the tokens that the cache lacks, or the last one
        where it holds more than the tokens given, such as a learned prompt. One that a class or program puts in its
        place is what `generate` asks at every pass."""
        cache = None if past_key_values is None else Cache.of(past_key_values)
        first = 0 if cache is None else min(cache.columns, input_ids.shape[1] - 1)
        mask, new = kwargs.get("attention_mask"), input_ids[:, first:]
        found = {"input_ids": new, "past_key_values": past_key_values, "use_cache": kwargs.get("use_cache", True)}
        if mask is not None:
            found["attention_mask"] = mask
            if "position_ids" in self.inputs():  # type: ignore[attr-defined]
                found["position_ids"] = self.places_of(mask)[:, -new.shape[1] :]
        return found

    def border(self) -> int | None:
        """The length of texts behind which the model turns all their keys otherwise; None for most."""
        return None

    def places_of(self, mask: Tensor) -> Tensor:
        """The `position_ids` of columns (B, T) of which a mask says which are tokens, as the model counts them."""
        return (mask.long().cumsum(-1) - 1).clamp(min=0)

    def read_source(self, inputs: Any, config: GenerationConfig, kwargs: dict[str, Any]) -> Any:
        """The text that is read beside the one that is written, of models that have an encoder; None for others."""
        return None

    def inputs_of_pass(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """A pass's inputs by the names that the model has for them."""
        return inputs

    def prepares_inputs(self) -> bool:
        """Whether `prepare_inputs_for_generation` is another than that of this package."""
        own = getattr(self.prepare_inputs_for_generation, "__func__", None)
        return own is None or not own.__module__.startswith("formers.")

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
        return self._of_scorer(input_ids, beam_scorer, kwargs)

    def group_beam_search(self, input_ids: Tensor, beam_scorer: Any = None, **kwargs: Any) -> Any:
        """The same with groups of beams. A HammingDiversityLogitsProcessor in `logits_processor` keeps them apart."""
        return self._of_scorer(input_ids, beam_scorer, kwargs)

    def constrained_beam_search(self, input_ids: Tensor, constrained_beam_scorer: Any = None, **kwargs: Any) -> Any:
        """The same for texts that contain what the ConstrainedBeamSearchScorer says."""
        return self._of_scorer(input_ids, constrained_beam_scorer, kwargs)

    def contrastive_search(self, input_ids: Tensor, **kwargs: Any) -> Any:
        """`generate` with `penalty_alpha` and `top_k`, by its name in 4.24 to 4.40."""
        return self._older(input_ids, kwargs, do_sample=False, num_beams=1)

    def _of_scorer(self, input_ids: Tensor, scorer: Any, kwargs: dict[str, Any]) -> Any:
        asked = read_scorer(scorer, kwargs)
        K = asked.setdefault("num_beams", 1)
        if len(input_ids) % K:
            raise InputError(f"{len(input_ids)} rows of input_ids: give each prompt num_beams={K} times.")
        mask = kwargs.pop("attention_mask", None)
        kwargs |= {} if mask is None else {"attention_mask": mask[::K]}
        return self._older(input_ids[::K], kwargs, do_sample=False, **asked)

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
