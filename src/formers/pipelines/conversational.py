"""conversational: the answer to what a user said, in the form of Transformers 4.20; chats are for text-generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from .. import auto
from ..config import longest_text
from ..errors import HeadError, InputError
from ..generation.chain import eos_ids
from ..logging import logger
from .base import Task
from .batches import length_of
from .conversation import Conversation
from .failures import place
from .prompts import is_chat
from .text import _describe, _readable, least_limit
from .text2text_generation import Text2TextGenerationPipeline
from .writing import columns_written, not_none, reads_and_writes


class AutoModelThatAnswers(auto.AutoModelForSeq2SeqLM):
    """With an encoder and a decoder, or else a decoder alone."""

    ELSE = ("causal-lm",)


class ConversationalPipeline(Text2TextGenerationPipeline):
    """Answers in conversations; see Pipeline for the general arguments.

    An input is a Conversation in which the user said something, or a chat, a list of messages. The tokenizer's chat
    template writes it out, or its `_build_conversation_input_ids(conversation)`; without both, each text is followed by
    the tokenizer's end. What `config.task_specific_params["conversational"]` says holds as for text2text-generation.

    Args:
        minimum_tokens: a conversation that leaves no room for so many of `max_length` loses its begin, with a warning.
        min_length_for_response: accepted, and without effect, as in Transformers.
        clean_up_tokenization_spaces: as in `tokenizer.decode`; True by default.
        generate_kwargs: those of `generate`. Without a length an answer has at most 256 tokens.
    """

    doing = "Answering"

    def check_model(self, model: Any) -> None:
        """Raise HeadError for one that writes nothing."""
        if not callable(getattr(model, "generate", None)):
            raise HeadError(
                f"{type(model).__name__} writes no texts. Conversations need a model with a head for the next token: "
                "AutoModelForSeq2SeqLM or AutoModelForCausalLM loads one."
            )

    def _sanitize_parameters(  # type: ignore[override]
        self,
        min_length_for_response: int | None = None,
        minimum_tokens: int | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        **generate_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        found = super()._sanitize_parameters(
            clean_up_tokenization_spaces=clean_up_tokenization_spaces, **generate_kwargs
        )
        found[1].update(not_none({"minimum_tokens": minimum_tokens}))
        return found

    of_preprocess = ("minimum_tokens",)

    def __call__(self, conversations: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Answer.

        Returns:
            The same Conversation, with its answer; for a list of several a list, for a generator an iterator.
        """
        found = super(Text2TextGenerationPipeline, self).__call__(conversations, *args, **kwargs)
        return found[0] if isinstance(found, list) and len(found) == 1 else found

    def _kind(self, inputs: Any) -> str:
        return "one" if isinstance(inputs, Conversation) or is_chat(inputs) else super()._kind(inputs)

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise InputError unless the item is a Conversation in which something waits for an answer."""
        self._conversation(item, name)

    def _conversation(self, item: Any, name: str) -> Conversation:
        if is_chat(item):
            item = Conversation(item)
        if not isinstance(item, Conversation):
            what = 'a Conversation is needed: Conversation("Hello.")'
            raise InputError(f"{name} is {_describe(item).split(';')[0]}; {what}.")
        if item.new_user_input is None:
            raise InputError(f"{name}: nothing in the Conversation waits for an answer. Call its add_user_input(text).")
        for _, text in item.iter_texts():
            _readable(text, name)
        return item

    # ---- what is read

    def preprocess(self, inputs: Any, **parameters: Any) -> Mapping[str, Any]:
        """The tokens of one conversation, (1, T)."""
        return ConversationalPipeline.preprocess_batch(self, [inputs], None, **parameters)[0]

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several."""
        found: list[Mapping[str, Any]] = []
        for index, item in enumerate(inputs):
            conversation = self._conversation(item, name := place(first, index))
            ids = self._ids(conversation)
            if not ids:
                raise InputError(f"{name} has no tokens; the user should say at least one word.")
            number = (first or 0) + index
            found.append({"input_ids": torch.tensor([ids]), "number": number, "conversation": conversation})
        return found

    def _ids(self, conversation: Conversation) -> list[int]:
        tokenizer = self.tokenizer
        if getattr(tokenizer, "chat_template", None) is not None:
            written: Any = tokenizer.apply_chat_template(
                conversation.messages, add_generation_prompt=True, return_dict=False
            )
            return list(written)
        if hasattr(tokenizer, "_build_conversation_input_ids"):
            return list(tokenizer._build_conversation_input_ids(conversation))
        end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        texts = [text for _, text in conversation.iter_texts()]
        return [token for text in texts for token in [*tokenizer.encode(text, add_special_tokens=False), *end]]

    def _room(self, parameters: dict[str, Any]) -> tuple[int | None, str]:
        """The most tokens of a conversation that may be read, and why."""
        minimum = parameters.get("minimum_tokens", 10)
        known = {**self.model.generation_config.to_diff_dict(), **self.asked(parameters)}
        said = {**self.model.generation_config.to_diff_dict(), **self.of_task(), **not_none(parameters)}
        positions, reads = longest_text(self.model.config), getattr(self.tokenizer, "model_max_length", None)
        if positions is not None and not reads_and_writes(self.model):  # the answer needs some of them
            positions -= said.get("max_new_tokens") or minimum
        rooms = {"the model and its tokenizer read no more": least_limit(positions, reads)}
        if (most := known.get("max_length")) is not None and known.get("max_new_tokens") is None:
            rooms[f"max_length={most} with minimum_tokens={minimum}"] = most - minimum
        return min(((room, why) for why, room in rooms.items() if room is not None), default=(None, ""))

    def fitted(self, item: Mapping[str, Any], parameters: dict[str, Any]) -> Mapping[str, Any]:
        """A conversation without its begin, where it is too long."""
        (room, why), tokens = self._room(parameters), length_of(item)
        if room is None or tokens <= room:
            return item
        if room < 1:
            raise InputError(f"{why} leaves no room for a conversation of {tokens} tokens.")
        logger.warning(f"The conversation has {tokens} tokens, of which the first {tokens - room} are cut: {why}.")
        return {**item, "input_ids": item["input_ids"][:, -room:]}

    # ---- what is written

    def together(self, parameters: dict[str, Any]) -> int | None:
        """As for texts; one, where a model writes the conversation on, whose length then counts."""
        return super().together(parameters) if reads_and_writes(self.model) else 1

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Iterator[Any]:
        said = [item["conversation"] for item in items]
        fits = [self.fitted({k: v for k, v in item.items() if k != "conversation"}, parameters) for item in items]
        groups = [fits] if reads_and_writes(self.model) else [[item] for item in fits]
        found = (
            output
            for group in groups
            for output in super(ConversationalPipeline, self)._batch_outputs(group, parameters)
        )
        yield from ({**output, "conversation": own} for own, output in zip(said, found, strict=True))

    def _forward(self, model_inputs: Any, **generate_kwargs: Any) -> Any:
        if reads_and_writes(self.model):
            return super()._forward(model_inputs, **generate_kwargs)
        ids, longest = model_inputs["input_ids"], longest_text(self.model.config)
        asked = self.asked(generate_kwargs, model_inputs.get("number", 0))
        if longest is not None and "max_new_tokens" in asked:
            asked["max_new_tokens"] = min(asked["max_new_tokens"], longest + 1 - ids.shape[1])
        found = self.model.generate(ids, attention_mask=torch.ones_like(ids), **asked)
        new = found[:, ids.shape[1] :]
        eos = eos_ids({**self.model.generation_config.to_diff_dict(), **asked}.get("eos_token_id"))
        return {"output_ids": new[None], "columns": torch.tensor([columns_written(new, eos)])}

    def postprocess(  # type: ignore[override]
        self, model_outputs: Any, clean_up_tokenization_spaces: bool = True, **parameters: Any
    ) -> Conversation:
        """The conversation with its answer: the first of `output_ids` (1, R, T), of its first `columns` (1,)."""
        conversation: Conversation = model_outputs["conversation"]
        if conversation.new_user_input is None:
            raise InputError("The same Conversation is there twice, and has its answer already.")
        answers = super().postprocess(model_outputs, clean_up_tokenization_spaces=clean_up_tokenization_spaces)
        conversation.mark_processed()
        conversation.append_response(answers[0][f"{self.return_name}_text"])
        return conversation


TASK = Task(
    name="conversational",
    pipeline=ConversationalPipeline,
    auto=AutoModelThatAnswers,
    architectures=(),
    default=("microsoft/DialoGPT-medium", "8bada3b"),
)
