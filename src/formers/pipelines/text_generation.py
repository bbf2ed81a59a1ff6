"""text-generation: what a model writes after a prompt, or as the answer in a chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, HeadError, InputError
from ..generation.chain import eos_ids
from .base import Task
from .batches import collate, length_of, part
from .failures import place
from .prompts import Prompt, answered, goes_on, is_chat, read_prompt
from .writing import WritingPipeline, check_names, columns_written, not_none, over, reads_and_writes

_ENCODING = ("add_special_tokens", "truncation", "padding", "max_length")


class ReturnType(Enum):
    """What is returned of a text: its tokens, what was written, or the prompt too."""

    TENSORS = 0
    NEW_TEXT = 1
    FULL_TEXT = 2


class TextGenerationPipeline(WritingPipeline):
    """Texts that a model writes on; see Pipeline for the general arguments.

    An input is a prompt, or a chat, a list of {"role": …, "content": …}, which the tokenizer's template writes out.
    Greedy search and sampling write `batch_size` texts at a time (16 on a CPU), and as one ends, the next joins.

    Args:
        return_full_text: False gives what was written, without the prompt or the chat.
        return_tensors: True gives {"generated_token_ids": …}, the prompt's among them.
        return_text: accepted; texts are returned unless tensors are asked for.
        return_type: a ReturnType, which goes before these.
        clean_up_tokenization_spaces, skip_special_tokens: as in `tokenizer.decode`; the second is True by default.
        prefix: a text before every prompt, which is not returned.
        handle_long_generation: "hole" cuts the front of a prompt that leaves no room for what is to be written.
        stop_sequence: a text, or several, after which writing ends.
        continue_final_message: go on with a chat's last message; left out, where it is the assistant's.
        tools, documents: for a chat's template.
        tokenizer_encode_kwargs: a dictionary of further arguments of the tokenizer, or of the template.
        truncation, padding, add_special_tokens, max_length: the tokenizer's; the last is of `generate` too.
        assistant_model: a smaller model, a name or a folder that guesses tokens; of the constructor.
        generate_kwargs: those of `generate`. Without any, the model's own `generation_config` holds, then its
            `task_specific_params`, then max_new_tokens=256, do_sample=True and temperature=0.7. With `seed`, input n is
            drawn with seed + n.
    """

    by_tokens = True

    def __init__(self, model: Any, tokenizer: Any = None, assistant_model: Any = None, **kwargs: Any) -> None:
        if not callable(getattr(model, "generate", None)):
            raise HeadError(
                f"{type(model).__name__} writes no texts. Text generation needs a model with a head for the next "
                "token: AutoModelForCausalLM loads one."
            )
        if reads_and_writes(model):
            raise HeadError(
                f"{type(model).__name__} writes one text from another, and goes on with none: it is for "
                "pipeline('text2text-generation'), pipeline('summarization') and pipeline('translation_en_to_fr')."
            )
        if isinstance(assistant_model, str):
            from ..auto import AutoModelForCausalLM

            assistant_model = AutoModelForCausalLM.from_pretrained(assistant_model).to(model.device, model.dtype)
        self.assistant_model = assistant_model
        super().__init__(model, tokenizer, **kwargs)
        prefix = getattr(model.config, "prefix", None) or self._of_task().get("prefix")
        if prefix and "prefix" not in self._preprocess_params:
            before, inside, _ = self._sanitize_parameters(prefix=prefix)
            self._preprocess_params |= before
            self._forward_params = {**inside, **self._forward_params}

    def _sanitize_parameters(
        self,
        return_full_text: bool | None = None,
        return_tensors: bool | None = None,
        return_text: bool | None = None,
        return_type: ReturnType | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        prefix: str | None = None,
        handle_long_generation: str | None = None,
        stop_sequence: str | list[str] | None = None,
        continue_final_message: bool | None = None,
        skip_special_tokens: bool | None = None,
        tokenizer_encode_kwargs: dict[str, Any] | None = None,
        tools: Any = None,
        documents: Any = None,
        **generate_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        _exclude(return_full_text=return_full_text, return_text=return_text, return_tensors=return_tensors)
        encoding = {name: generate_kwargs[name] for name in _ENCODING if generate_kwargs.get(name) is not None}
        for name in set(_ENCODING) - {"max_length"}:
            generate_kwargs.pop(name, None)
        if handle_long_generation not in (None, "hole"):
            raise ArgumentError(
                f"handle_long_generation={handle_long_generation!r} is not 'hole', the only way there is."
            )
        check_names(self, generate_kwargs)
        if handle_long_generation:
            generate_kwargs["handle_long_generation"] = handle_long_generation
        if prefix:
            ids = self.tokenizer(prefix, add_special_tokens=encoding.get("add_special_tokens", False))["input_ids"]
            generate_kwargs["prefix_length"] = len(ids)
        if stop_sequence is not None:
            generate_kwargs["stop_strings"] = [stop_sequence] if isinstance(stop_sequence, str) else stop_sequence
        if return_type is None and return_full_text is not None:
            return_type = ReturnType.FULL_TEXT if return_full_text else ReturnType.NEW_TEXT
        if return_type is None and return_tensors:
            return_type = ReturnType.TENSORS
        shared = {"continue_final_message": continue_final_message}
        before = {**encoding, **shared, "prefix": prefix, "tokenizer_encode_kwargs": tokenizer_encode_kwargs}
        before |= {"tools": tools, "documents": documents}
        after = {**shared, "return_type": return_type, "clean_up_tokenization_spaces": clean_up_tokenization_spaces}
        after |= {"skip_special_tokens": skip_special_tokens}
        return not_none(before), generate_kwargs, not_none(after)

    def __call__(self, text_inputs: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Write on.

        Returns:
            For each prompt a list of `num_return_sequences` dictionaries {"generated_text": …}: for a prompt a text,
            for a chat its messages and the answer; or with return_tensors {"generated_token_ids": […]}. See
            Pipeline.__call__ for lists, generators and datasets.
        """
        return super().__call__(text_inputs, *args, **kwargs)

    def _kind(self, inputs: Any) -> str:
        return "one" if is_chat(inputs) else super()._kind(inputs)

    def _over(self, default: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        return over(default, new)

    # ---- prompts

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise InputError unless the item is a prompt or a chat; see Pipeline.check_input."""
        read_prompt(item, name)

    def preprocess(self, inputs: Any, **parameters: Any) -> Mapping[str, Any]:
        """The tokens of one prompt or chat, (1, T)."""
        return TextGenerationPipeline.preprocess_batch(self, [inputs], None, **parameters)[0]

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several, the prompts tokenized in one call. Raises InputError for one without tokens."""
        prompts = [read_prompt(item, place(first, index)) for index, item in enumerate(inputs)]
        options = not_none({name: parameters.get(name) for name in _ENCODING})
        options |= parameters.get("tokenizer_encode_kwargs") or {}
        texts = [(f"{parameters.get('prefix') or ''}{prompt}", None) for prompt in prompts if isinstance(prompt, str)]
        encoded = self._tokenize(texts, self._with_limit(options))
        found: list[Mapping[str, Any]] = []
        for index, prompt in enumerate(prompts):
            own = next(encoded) if isinstance(prompt, str) else self._written_out(prompt, parameters, options)
            ids = own["input_ids"].long()
            if "attention_mask" in own:
                ids = ids[own["attention_mask"].bool()][None]
            found.append({"input_ids": ids if ids.numel() else self._first(place(first, index)), "prompt_text": prompt})
        return found

    def _written_out(self, chat: Prompt, parameters: dict[str, Any], options: dict[str, Any]) -> Mapping[str, Tensor]:
        last = goes_on(chat, parameters.get("continue_final_message"))  # type: ignore[arg-type]
        encoding: Mapping[str, Tensor] = self.tokenizer.apply_chat_template(
            chat,
            add_generation_prompt=not last,
            continue_final_message=last,
            return_dict=True,
            return_tensors="pt",
            tools=parameters.get("tools"),
            documents=parameters.get("documents"),
            # the template writes the special tokens itself
            **{name: value for name, value in options.items() if name != "add_special_tokens"},
        )
        return encoding

    def _first(self, name: str) -> Tensor:
        sources = (self.model.generation_config, self.tokenizer)
        bos = next((bos for source in sources if (bos := getattr(source, "bos_token_id", None)) is not None), None)
        if bos is None:
            raise InputError(f"{name} is empty, and there is no bos_token_id to begin with. Give at least one word.")
        return torch.tensor([[bos]])

    # ---- generate

    def _forward(self, model_inputs: Any, **generate_kwargs: Any) -> Any:
        ids = model_inputs["input_ids"]
        asked = self.asked(generate_kwargs, ids.shape[1], model_inputs.get("number", 0))
        found = self.model.generate(input_ids=ids, attention_mask=model_inputs.get("attention_mask"), **asked)
        if isinstance(found, Tensor):
            return {"sequences": found}
        return {name: _rows(value) for name, value in found.items() if name != "past_key_values"}

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        if not self.by_tokens:  # a class of somebody's own, with a _forward of its own
            yield from super()._batch_outputs(items, parameters)
            return
        batch = collate([{"input_ids": item["input_ids"]} for item in items], self.tokenizer, right=False)
        outputs = self.forward({**batch, "number": items[0].get("number", 0)}, **parameters)
        new = outputs.pop("sequences")[:, length_of(batch) :].unflatten(0, (len(items), -1))  # (B, R, s)
        asked = {**self.model.generation_config.to_diff_dict(), **self.asked(parameters)}
        for row, item in enumerate(items):
            prompt, own = item["input_ids"], new[row]
            if len(items) > 1:
                own = own[:, : columns_written(own, eos_ids(asked.get("eos_token_id")))]
            more = {
                name: part(value.unflatten(0, (len(items), -1)), row, len(items), None)
                for name, value in outputs.items()
                if isinstance(value, Tensor) and value.ndim and len(value) == new.shape[0] * new.shape[1]
            }
            whole = torch.cat([prompt.expand(len(own), -1), own], dim=1)[None]
            yield {**more, "generated_sequence": whole, "input_ids": prompt, "prompt_text": item["prompt_text"]}

    # ---- results

    def postprocess(
        self,
        model_outputs: Any,
        return_type: ReturnType = ReturnType.FULL_TEXT,
        clean_up_tokenization_spaces: bool | None = None,
        continue_final_message: bool | None = None,
        skip_special_tokens: bool = True,
    ) -> list[dict[str, Any]]:
        """The texts of one prompt: `generated_sequence` (1, R, T + s) after `input_ids` (1, T)."""
        rows, prompt = model_outputs["generated_sequence"][0].tolist(), model_outputs["prompt_text"]
        start = length_of(model_outputs)
        known = ("generated_sequence", "input_ids", "prompt_text", "number")
        more = {name: value[0].tolist() for name, value in model_outputs.items() if name not in known}
        records = []
        for index, ids in enumerate(rows):
            if return_type is ReturnType.TENSORS:
                record: dict[str, Any] = {"generated_token_ids": ids}
            else:
                plain = isinstance(prompt, str)
                text: Any = self._decoded(ids, start, plain, skip_special_tokens, clean_up_tokenization_spaces)
                if return_type is ReturnType.FULL_TEXT and plain:
                    text = prompt + text
                elif return_type is ReturnType.FULL_TEXT:
                    text = answered(prompt, text, goes_on(prompt, continue_final_message))
                record = {"generated_text": text, **{name: value[index] for name, value in more.items()}}
            records.append(record)
        return records

    def _decoded(self, ids: list[int], start: int, after: bool, skip: bool, clean: bool | None) -> str:
        """What was written, as text; `after` a prompt with the space between them, which some decoders take from a
        text's begin."""

        def text(part: list[int]) -> str:
            return str(self.tokenizer.decode(part, skip_special_tokens=skip, clean_up_tokenization_spaces=clean))

        if after and (whole := text(ids)).startswith(before := text(ids[:start])):
            return whole[len(before) :]
        return text(ids[start:])


def _exclude(**given: bool | None) -> None:
    said = [name for name, value in given.items() if value is not None]
    if len(said) > 1:
        raise ArgumentError(f"{said[0]} and {said[1]} say what is returned; give one of them.")


def _rows(value: Any) -> Any:
    """Scores of each step as one tensor with a row a text; other values as they are."""
    steps = isinstance(value, tuple) and bool(value) and all(isinstance(one, Tensor) for one in value)
    return torch.stack(value, dim=1) if steps else value


TASK = Task(
    name="text-generation",
    pipeline=TextGenerationPipeline,
    auto="AutoModelForCausalLM",
    architectures=("ForCausalLM", "LMHeadModel"),
    default=("openai-community/gpt2", "607a30d"),
)
