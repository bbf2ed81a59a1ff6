"""What is asked of a model that writes: the usual values, those of its files, of a pipeline and of a call."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config import longest_text
from ..errors import ArgumentError, InputError, near
from ..generation.configuration import KEYS, GenerationConfig, GenerationMode
from ..generation.continuous import AT_ONCE
from ..generation.generate import GenerationMixin
from ..generation.rules import EXTRA_OUTPUTS, SAMPLING
from ..generation.stopping import StoppingCriteriaList
from ..generation.task import Task as Call
from ..layers import keeps_padding
from ..modeling import PreTrainedModel
from ..seq2seq import Seq2SeqPreTrainedModel
from .batches import length_of
from .joining import Joining
from .text import TextPipeline, least_limit

# what is written where neither the call nor the model says; with a key of its own, `task_specific_params` replaces it
_USUAL = {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}
LENGTHS = ("max_length", "max_new_tokens")
# arguments of generate that are no keys of GenerationConfig
OF_GENERATE = (
    *("generation_config", "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "assistant_model"),
    *("streamer", "tokenizer", "past_key_values", "prefix_length", "synced_gpus", "handle_long_generation"),
)


@dataclass(frozen=True)
class Writing:
    """What texts are written by that may join each other: all values, and criteria besides the usual ones.

    longest: from a prompt's tokens to how many may be written. Raises InputError for a prompt that is too long.
    """

    config: GenerationConfig
    criteria: StoppingCriteriaList
    longest: Callable[[int], int]

    def room(self, prompt: int) -> int:
        """How many tokens may be written after so many."""
        return self.longest(prompt)


class WritingPipeline(TextPipeline):
    """A task whose model writes texts; what it is given beside them are arguments of `generate`."""

    steps = Joining
    assistant_model: Any = None

    def _of_task(self) -> dict[str, Any]:
        """What the model's configuration says of this task, as those of 4.x do."""
        return of_task(self.model, "text-generation")

    def asked(self, given: dict[str, Any], prompt: int = 1, number: int = 0) -> dict[str, Any]:
        """The arguments of `generate`: those that are given, and the usual ones.

        prompt: its tokens, for a usual length that the model has no positions for. number: of the input, for its seed.
        """
        given = dict(given)
        prefix, hole = given.pop("prefix_length", 0), given.pop("handle_long_generation", None)
        config = given.get("generation_config")
        known = {**self.model.generation_config.to_diff_dict(), **(config.to_diff_dict() if config else {}), **given}
        usual = {name: value for name, value in self._of_task().items() if name in KEYS} or _USUAL
        lengths = {*LENGTHS} if any(name in known for name in LENGTHS) else set()
        added = {name: value for name, value in usual.items() if name not in known and name not in lengths}
        if not {**known, **added}.get("do_sample"):
            added = {name: value for name, value in added.items() if name not in SAMPLING}
        known |= added
        for length, new in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
            if prefix and known.get(length) and not known.get(new):
                added[length] = known[length] + prefix
        limit = longest_text(self.model.config)
        if "max_new_tokens" in added and limit is not None and not hole and prompt <= limit:
            added["max_new_tokens"] = min(added["max_new_tokens"], limit + 1 - prompt)
        if known.get("seed") is not None and number:
            added["seed"] = known["seed"] + number * (known.get("num_return_sequences") or 1)
        if self.assistant_model is not None:
            added["assistant_model"] = self.assistant_model
        refuse_healing(known)
        if known.get("stop_strings") is not None:
            added["tokenizer"] = self.tokenizer
        return {**given, **added}

    def writing(self, parameters: dict[str, Any]) -> Writing | None:
        """What texts are written by if they may join each other; None where `generate` has to be called."""
        asked = {name: value for name, value in self.asked(parameters).items() if value is not None or name in KEYS}
        tokenizer = asked.pop("tokenizer", None)
        own = isinstance(self.model, PreTrainedModel) and isinstance(self.model, GenerationMixin)
        own = own and not keeps_padding(self.model.modules())
        if not (own and self.by_tokens) or asked.keys() - {*KEYS, "generation_config"}:
            return None
        config = asked.pop("generation_config", None)
        one = torch.ones(1, 1, dtype=torch.long)  # a prompt, whatever its id stands for
        call = Call(self.model, one, copy.deepcopy(config), {**asked, "attention_mask": one})
        c = call.config
        alone = (call.beams > 1, call.returned > 1, c.max_time is not None, c.return_dict_in_generate)
        whole = (c.guidance_scale not in (None, 1), c.watermarking_config is not None)
        if (
            any(alone)
            or any(whole)
            or c.get_generation_mode() not in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)
        ):
            return None
        call.criteria = StoppingCriteriaList()
        call.read_stops(tokenizer)

        def longest(prompt: int) -> int:
            most, limit = self.asked(parameters, prompt).get("max_new_tokens"), longest_text(self.model.config)
            if most is None or most == c.max_new_tokens or (limit is not None and prompt > limit):
                return call._room(prompt)
            return int(most)

        return Writing(c, call.criteria, longest)

    def together(self, parameters: dict[str, Any]) -> int:
        """How many prompts one call of `generate` gets where nobody says: one, if something looks at whole batches."""
        asked = self.asked(parameters)
        beams = {**self.model.generation_config.to_diff_dict(), **asked}.get("num_beams") or 1
        if beams == 1 or not isinstance(self.model, GenerationMixin):
            return 1
        alone = any(asked.get(name) for name in ("do_sample", "max_time", *EXTRA_OUTPUTS))
        alone = alone or bool(asked.keys() - {*KEYS}) or longest_text(self.model.config) is not None
        return 1 if alone else max(1, AT_ONCE // beams)

    def fitted(self, item: Mapping[str, Any], parameters: dict[str, Any]) -> Mapping[str, Any]:
        """A prompt without its front, where `handle_long_generation` asks for that and there is no room otherwise.

        Raises InputError where what is to be written leaves no room at all.
        """
        limit = least_limit(self.max_tokens, getattr(self.tokenizer, "model_max_length", None))
        if parameters.get("handle_long_generation") is None or limit is None:
            return item
        known, tokens = {**self.model.generation_config.to_diff_dict(), **self.asked(parameters)}, length_of(item)
        new = known.get("max_new_tokens")
        new = known.get("max_length", 0) - tokens if new is None else new
        if new < 0 or limit <= new:
            raise InputError(
                f"handle_long_generation='hole' leaves no token of a prompt of {tokens} beside {new} new ones, of "
                f"{limit}: set max_new_tokens to fewer."
            )
        return {**item, "input_ids": item["input_ids"][:, -(limit - new) :]} if tokens + new > limit else item


def of_task(model: Any, task: str) -> dict[str, Any]:
    """What a model's configuration says of a task."""
    specific = getattr(model.config, "task_specific_params", None) or {}
    return dict(specific.get(task) or {})


def not_none(values: dict[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def over(default: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call before those of the constructor, of which a configuration in the call replaces some."""
    kept = set(OF_GENERATE) if "generation_config" in new else default.keys()
    return {**{name: value for name, value in default.items() if name in kept}, **new}


def check_names(pipe: Any, given: Mapping[str, Any]) -> None:
    """Raise ArgumentError for an argument that neither the task nor `generate` has."""
    known = {*KEYS, *OF_GENERATE, *inspect.signature(type(pipe.model).generate).parameters} - {"self", "kwargs"}
    if isinstance(pipe.model, GenerationMixin) and (unknown := given.keys() - known):
        name, kind = min(unknown), type(pipe).__name__
        raise ArgumentError(
            f"{pipe.task or kind} has no argument {name!r}.{near(name, [*known, 'stop_sequence'])} "
            f"It takes those of its own (help({kind})), and the values of GenerationConfig."
        )


def refuse_healing(known: Mapping[str, Any]) -> None:
    """Raise ArgumentError where a prompt's last token is to be chosen anew."""
    if known.get("token_healing"):
        raise ArgumentError(
            "token_healing changes a prompt's last token, and a pipeline gives prompts back as they are: call "
            "model.generate(…, token_healing=True, tokenizer=tokenizer)."
        )


def reads_and_writes(model: Any) -> bool:
    """Whether the model has an encoder for the text that is given and a decoder for the one that is written."""
    own = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    return isinstance(model, Seq2SeqPreTrainedModel) or (own and not isinstance(model, PreTrainedModel))


def columns_written(rows: Tensor, eos: list[int]) -> int:
    """The columns of rows (R, s) up to the last end of one of them, that included."""
    ends = torch.isin(rows, torch.tensor(eos, dtype=rows.dtype)) if eos else torch.zeros_like(rows, dtype=torch.bool)
    first = torch.where(ends.any(1), ends.int().argmax(1) + 1, rows.shape[1])
    return int(first.max())
