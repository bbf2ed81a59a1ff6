"""text2text-generation: what a model with an encoder and a decoder writes from a text.

Letters: B texts, R texts written from each, T columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..config import longest_text
from ..errors import ArgumentError, HeadError, InputError
from ..generation.chain import eos_ids
from ..generation.configuration import KEYS
from ..generation.continuous import AT_ONCE
from .base import Task
from .batches import Batch, consecutive, length_of, windows
from .encoding import value_of
from .failures import place
from .steps import Steps
from .text import Text, TextPipeline
from .writing import LENGTHS, check_names, columns_written, not_none, of_task, over, reads_and_writes

_USUAL_LENGTH = 256
# texts of like lengths that are written together: a pass of some takes hardly longer than one of few
_AT_ONCE = 64
_ACCELERATOR_FACTOR = 8
_GIVEN = ("return_dict_in_generate", "output_scores", "output_logits", "output_attentions", "output_hidden_states")


class ReturnType(Enum):
    """What is returned of a text that was written: its tokens, or the text."""

    TENSORS = 0
    TEXT = 1


class Grouped(Steps):
    """Steps in which texts of like lengths are read together, and what is written from them is written together."""

    def _plan(self, lengths: list[int]) -> Iterator[list[Batch]]:
        most: int | None = self.pipe.together(self.forward)  # type: ignore[attr-defined]
        if self.size is not None or most is None:
            yield from consecutive(len(lengths), self.size or AT_ONCE)
            return
        step = self.pipe._step_tokens()
        for window in windows(lengths, step, max(self.window_tokens, step)):
            yield [batch[start : start + most] for batch in window for start in range(0, len(batch), most)]


class Text2TextGenerationPipeline(TextPipeline):
    """Texts that a model writes from others; see Pipeline for the general arguments.

    An input is a text. What `config.task_specific_params` says of the task holds: its `prefix` stands before each text,
    and its other values go before those of the model's `generation_config`. A length that nobody gives is 256 tokens.

    Args:
        return_tensors: True gives {"generated_token_ids": tensor (T,)} instead of a text.
        return_text: accepted; texts are returned unless tensors are asked for.
        return_type: a ReturnType, which goes before these.
        clean_up_tokenization_spaces: as in `tokenizer.decode`; False by default.
        truncation: True cuts a text that is too long; else it is an error.
        stop_sequence: a text, or several, after which writing ends.
        generate_kwargs: those of `generate`. With `seed`, input n is drawn with seed + n.
    """

    by_tokens = True
    steps = Grouped
    return_name: ClassVar[str] = "generated"
    # what stands for the task in messages of a model that cannot do it
    doing: ClassVar[str] = "Writing one text from another"

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        self.check_model(model)
        super().__init__(model, tokenizer, **kwargs)

    def check_model(self, model: Any) -> None:
        """Raise HeadError for a model that cannot do the task."""
        if not (reads_and_writes(model) and callable(getattr(model, "generate", None))):
            raise HeadError(
                f"{type(model).__name__} has no encoder and decoder with a head. {self.doing} needs them: "
                "AutoModelForSeq2SeqLM loads one. Models that write a text on are for pipeline('text-generation')."
            )

    def _sanitize_parameters(
        self,
        return_tensors: bool | None = None,
        return_text: bool | None = None,
        return_type: Any = None,
        clean_up_tokenization_spaces: bool | None = None,
        truncation: bool | str | None = None,
        stop_sequence: str | list[str] | None = None,
        **generate_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        check_names(self, generate_kwargs)
        if asked := [name for name in _GIVEN if generate_kwargs.get(name)]:
            raise ArgumentError(f"{asked[0]} is of no use here, where texts are returned: call model.generate.")
        if stop_sequence is not None:
            generate_kwargs["stop_strings"] = [stop_sequence] if isinstance(stop_sequence, str) else stop_sequence
        if return_type is None and return_tensors is not None:
            return_type = ReturnType.TENSORS if return_tensors else ReturnType.TEXT
        after = {"return_type": return_type, "clean_up_tokenization_spaces": clean_up_tokenization_spaces}
        return not_none({"truncation": truncation}), generate_kwargs, not_none(after)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Write.

        Returns:
            For a text a list of `num_return_sequences` dictionaries {"generated_text": …}. For a list of texts one
            dictionary each, or with several a list each. For a generator or dataset an iterator of such lists.
        """
        found = super().__call__(inputs, *args, **kwargs)
        if self._kind(inputs) != "list" or any(isinstance(one, list) and len(one) != 1 for one in found):
            return found
        return [one[0] if isinstance(one, list) else one for one in found]

    def _over(self, default: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        return over(default, new)

    # ---- what is asked for

    def of_task(self, **parameters: Any) -> dict[str, Any]:
        """What the model's configuration says of this task."""
        return of_task(self.model, self.task)

    def asked(self, given: dict[str, Any], number: int = 0) -> dict[str, Any]:
        """The arguments of `generate`: those that are given, then those of the task; `number` is the first input's."""
        config = given.get("generation_config")
        said = {**(config.to_diff_dict() if config else {}), **not_none(given)}
        added = {name: value for name, value in self.of_task(**given).items() if name in KEYS and name not in said}
        if any(name in said for name in LENGTHS):
            added = {name: value for name, value in added.items() if name not in LENGTHS}
        known = {**self.model.generation_config.to_diff_dict(), **added, **said}
        if all(known.get(name) is None for name in LENGTHS):
            added["max_new_tokens"] = min(_USUAL_LENGTH, longest_text(self.model.config) or _USUAL_LENGTH)
        if known.get("seed") is not None and number:
            added["seed"] = known["seed"] + number * (known.get("num_return_sequences") or 1)
        if known.get("stop_strings") is not None:
            added["tokenizer"] = self.tokenizer
        return {**{name: value for name, value in given.items() if name not in self.of_preprocess}, **added}

    # arguments that say what is asked for, and are none of `generate`
    of_preprocess: ClassVar[tuple[str, ...]] = ()

    def together(self, parameters: dict[str, Any]) -> int | None:
        """How many texts may be read together, in any order; None for as many as usual, in the order of the inputs.

        One, where something looks at what is written.
        """
        asked = self.asked(parameters)
        if asked.keys() - {*KEYS, "generation_config", "tokenizer"}:
            return 1
        known = {**self.model.generation_config.to_diff_dict(), **asked}
        config = asked.get("generation_config")
        known |= config.to_diff_dict() if config else {}
        if known.get("max_time") is not None:
            return 1
        beams = known.get("num_beams")
        beams = beams if isinstance(beams, int) and beams > 0 else 1  # generate says what is wrong with others
        if known.get("do_sample"):  # with seeds that follow one another
            return None if known.get("seed") is not None and beams == 1 else 1
        factor = 1 if self.device.type == "cpu" else _ACCELERATOR_FACTOR
        return max(1, _AT_ONCE * factor // beams)

    # ---- texts

    def _read(self, item: Any, name: str) -> Text:
        text, pair = super()._read(item, name)
        if pair is not None:
            raise InputError(
                f"{name} is a pair of texts; {self.doing[0].lower()}{self.doing[1:]} takes one text (str)."
            )
        return text, None

    def preprocess(self, inputs: Any, **parameters: Any) -> Mapping[str, Any]:
        """The tokens of one text, (1, T)."""
        return Text2TextGenerationPipeline.preprocess_batch(self, [inputs], None, **parameters)[0]

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several, tokenized in one call.

        Raises InputError for a text that is longer than the model reads, unless truncation is asked for.
        """
        texts = [self._read(item, place(first, index))[0] for index, item in enumerate(inputs)]
        found: list[Mapping[str, Any]] = []
        for index, item in enumerate(self._encoded(texts, parameters)):
            name = place(first, index)
            self._fits(item, name, texts[index])
            if not length_of(item):
                raise InputError(f"{name} is empty, and its tokenizer adds no end to it. Give at least one word.")
            number = (first or 0) + index
            found.append({**{key: item[key] for key in item if key != "token_type_ids"}, "number": number})
        return found

    def _encoded(self, texts: list[str], parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
        before = self.of_task(**parameters).get("prefix")
        before = getattr(self.model.config, "prefix", None) if before is None else before
        options = {name: value for name, value in parameters.items() if name not in self.of_preprocess}
        return self._tokenize([((before or "") + text, None) for text in texts], self._with_limit(options))

    # ---- what is written

    def _forward(self, model_inputs: Any, **generate_kwargs: Any) -> Any:
        numbers = model_inputs.get("number", 0)
        asked = self.asked(generate_kwargs, numbers[0] if isinstance(numbers, list) else numbers)
        bos = model_inputs.get("forced_bos_token_id")
        if bos is not None:  # of the language to translate to, the same for all
            asked.setdefault("forced_bos_token_id", bos[0] if isinstance(bos, list) else bos)
        ids = model_inputs["input_ids"]
        known = {**self.model.generation_config.to_diff_dict(), **asked}
        found = self.model.generate(ids, attention_mask=model_inputs.get("attention_mask"), **asked)
        rows = found.unflatten(0, (len(ids), -1))  # (B, R, T)
        eos = eos_ids(known.get("eos_token_id"))
        # the first column is what the decoder begins with, which may be an end
        columns = [1 + columns_written(own[:, 1:], eos) for own in rows]
        return {"output_ids": rows, "columns": torch.tensor(columns)}

    def postprocess(
        self, model_outputs: Any, return_type: Any = ReturnType.TEXT, clean_up_tokenization_spaces: bool = False
    ) -> list[dict[str, Any]]:
        """What was written from one text: `output_ids` (1, R, T), of which the first `columns` (1,) are its own."""
        rows: Tensor = model_outputs["output_ids"][0]
        if "columns" in model_outputs:
            rows = rows[:, : int(model_outputs["columns"][0])]
        if value_of(return_type) == ReturnType.TENSORS.value:
            return [{f"{self.return_name}_token_ids": ids} for ids in rows]
        how = {"skip_special_tokens": True, "clean_up_tokenization_spaces": clean_up_tokenization_spaces}
        return [{f"{self.return_name}_text": self.tokenizer.decode(ids, **how)} for ids in rows.tolist()]


TASK = Task(
    name="text2text-generation",
    pipeline=Text2TextGenerationPipeline,
    auto="AutoModelForSeq2SeqLM",
    architectures=("ForConditionalGeneration", "T5WithLMHeadModel"),
    default=("google-t5/t5-base", "686f1db"),
)
