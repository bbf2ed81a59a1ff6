"""The part of a tokenizer that writes conversations as the text that a model was trained on: chat templates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from ..errors import ArgumentError, FormersError, InputError, TokenizerError
from .calling import Calling
from .types import PaddingStrategy, TensorType

_TAG = "CONTINUE HERE, AND NOT BEFORE "  # put at the end of a message, to find that end in the text
_THOUGHTS = ("reasoning_content", "thinking", "reasoning")
_GENERATION = re.compile(r"\{%[-+]? {0,9}generation\b")


class Chat(Calling):
    """Conversations to text and ids."""

    chat_template: str | dict[str, str] | None
    _template_file: str

    def apply_chat_template(
        self,
        conversation: Any,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        tokenize: bool = True,
        padding: bool | str | PaddingStrategy = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: str | TensorType | None = None,
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """The encoding, or text, of a conversation: a list of {"role": …, "content": …}; or a list of these lists.

        `chat_template`: a template, or the name of one of several; the tokenizer's own by default. `tools`, JSON
        schemas of functions, `documents` and further keywords are for the template. `add_generation_prompt` adds what
        comes before an answer; `continue_final_message` leaves the last message open. `tokenize=False` gives the text,
        `return_dict=False` the ids alone; `return_assistant_tokens_mask` adds `assistant_masks`, 1 in what templates
        mark as the assistant's. Other arguments are those of the tokenizer's call, as are `tokenizer_kwargs`.

        Errors: InputError for what the template does not take, TokenizerError for a template that is broken or has no
        end; both name its file.
        """
        _check(conversation, add_generation_prompt, continue_final_message, return_assistant_tokens_mask)
        if return_assistant_tokens_mask and not (tokenize and return_dict):
            raise ArgumentError("return_assistant_tokens_mask=True needs tokenize=True and return_dict=True.")
        if kwargs.pop("sanitize_control_tokens", False):
            raise ArgumentError("sanitize_control_tokens=True is not available: check messages for special tokens.")
        source = self.get_chat_template(chat_template, tools)
        where = "chat_template" if chat_template is not None else self._template_file
        batched = not isinstance(conversation[0], Mapping)
        values = {"tools": _schemas(tools), "documents": documents, "add_generation_prompt": add_generation_prompt}
        values = _plain({**self.special_tokens_map, **kwargs, **values})
        chats = [_messages(chat) for chat in (conversation if batched else [conversation])]
        field = "content" if continue_final_message is True else continue_final_message
        texts = [_written(source, chat, values, field, where) for chat in chats]
        spans = [_unmarked(source, text) for text in texts]
        texts = [text for text, _ in spans]
        if not tokenize:
            return texts if batched else texts[0]
        options = {"padding": padding, "truncation": truncation, "max_length": max_length, **(tokenizer_kwargs or {})}
        options = {"add_special_tokens": False, "return_tensors": return_tensors, **options}
        made = self(texts if batched else texts[0], **options)
        if return_assistant_tokens_mask:
            masks = [_mask(made, row, found) for row, (_, found) in enumerate(spans)]
            made["assistant_masks"] = masks if batched or options["return_tensors"] else masks[0]
            made.convert_to_tensors(options["return_tensors"])
        return made if return_dict else made["input_ids"]

    def get_chat_template(self, chat_template: str | None = None, tools: Any = None) -> str:
        """The template that `apply_chat_template` would use. Errors: InputError when there is none."""
        known = self.chat_template
        if isinstance(known, dict):
            name = chat_template or ("tool_use" if tools is not None and "tool_use" in known else "default")
            if chat_template is None and name not in known:
                raise InputError(f"There are several chat templates and no default; choose one of {sorted(known)}.")
            return known.get(name, name)
        if chat_template is None and known is None:
            raise InputError(
                f"The tokenizer of {self.name_or_path!r} has no chat template. Set tokenizer.chat_template, or give "
                "chat_template=; the model's authors say which one it was trained with."
            )
        return str(known if chat_template is None else chat_template)


def as_templates(value: Any) -> str | dict[str, str] | None:
    """A template, or several by their names, from any of the forms in files. Raises ArgumentError for another one."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(one, Mapping) for one in value):
        value = {one.get("name"): one.get("template") for one in value}
    if not isinstance(value, Mapping) or not all(isinstance(part, str) for pair in value.items() for part in pair):
        raise ArgumentError(
            f"chat_template={str(value)[:80]!r} should be a template, or a list of {{'name': …, 'template': …}}."
        )
    return dict(value)


def _check(conversation: Any, prompt: bool, goes_on: bool | str, mask: bool) -> None:
    if not isinstance(conversation, (list, tuple)) or not conversation:
        raise InputError(
            f"A conversation is a list of messages, {{'role': 'user', 'content': …}}, not {str(conversation)[:80]!r}."
        )
    if goes_on and (prompt or mask):
        other = "add_generation_prompt" if prompt else "return_assistant_tokens_mask"
        raise ArgumentError(f"continue_final_message and {other} exclude each other; give one of them.")


def _schemas(tools: Any) -> Any:
    for index, tool in enumerate(tools or ()):
        if not isinstance(tool, Mapping):
            raise ArgumentError(
                f"tools[{index}] is a {type(tool).__name__}; give the JSON schema of the function: "
                "{'type': 'function', 'function': {'name': …, 'description': …, 'parameters': …}}."
            )
    return tools


def _messages(chat: Any) -> list[dict[str, Any]]:
    """Messages of plain values, without keys that are None, and thoughts under the name that templates read."""
    if not isinstance(chat, (list, tuple)):
        raise InputError(f"A conversation is a list of messages, not {type(chat).__name__}: {str(chat)[:80]!r}.")
    found = []
    for index, message in enumerate(chat):
        if not isinstance(message, Mapping):
            raise InputError(f"Message {index} is a {type(message).__name__}, not {{'role': …, 'content': …}}.")
        kept = _plain({key: value for key, value in message.items() if value is not None})
        thought = next((kept[name] for name in _THOUGHTS if name in kept), None)
        found.append(kept if thought is None else {"thinking": thought, **kept, "reasoning_content": thought})
    return found


def _plain(value: Any) -> Any:
    """JSON's types alone: a template must not reach the methods of other objects. These are shown by their type."""
    if value is None or isinstance(value, (bool, str)):
        return value if type(value) in (bool, str, type(None)) else str.__str__(value)
    if isinstance(value, (Integral, Real)):
        return int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"


def _written(source: str, chat: list[dict[str, Any]], values: dict[str, Any], field: bool | str, where: str) -> str:
    if field:
        last = _left_open(chat, str(field))
        text = _rendered(source, {**values, "messages": chat}, where)
        place = text.rfind(_TAG.strip())
        if place < 0 or last.strip() not in text:
            raise InputError(f"continue_final_message: the text that {where} makes does not hold the last message.")
        # a template that strips the message strips the tag's space too
        return text[:place] if text.startswith(_TAG, place) else text[:place].rstrip()
    return _rendered(source, {**values, "messages": chat}, where)


def _left_open(chat: list[dict[str, Any]], field: str) -> str:
    """Put the tag at the end of the last message; gives what stood there."""
    if not chat or field not in chat[-1]:
        raise InputError(f"continue_final_message: the last message has no {field!r} to go on with.")
    message = chat[-1]
    last = message[field]
    if isinstance(last, list):
        part = next((part for part in reversed(last) if isinstance(part, dict) and "text" in part), None)
        if part is None:
            raise InputError("continue_final_message: the last message has no text to go on with.")
        message, field, last = part, "text", part["text"]
    for name in _THOUGHTS if field in _THOUGHTS else (field,):
        if message.get(name) == last:
            message[name] = f"{last}{_TAG}"
    return str(last)


def _rendered(source: str, values: dict[str, Any], where: str) -> str:
    from . import templates  # jinja2 is loaded for those who chat

    try:
        return templates.rendered(source, values)
    except templates.TemplateRefusalError as error:
        raise InputError(f"The chat template of {where} does not take this conversation: {error}") from error
    except (Exception, RecursionError, MemoryError) as error:
        if isinstance(error, FormersError):
            raise
        line = getattr(error, "lineno", None)
        place = f", line {line}" if line else ""
        said = str(error)[:500] or type(error).__name__
        raise TokenizerError(
            f"The chat template of {where}{place} fails: {said}. Does it fit the conversation, and is it whole?"
        ) from error


def _unmarked(source: str, text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text, and from where to where in it the assistant speaks."""
    from .templates import END, START

    if not _GENERATION.search(source):
        return text, []
    parts, spans, length, start = [], [], 0, 0
    for part in re.split("([\ufdd0\ufdd1])", text):
        if part == START:
            start = length
        elif part == END:
            spans.append((start, length))
        else:
            parts.append(part)
            length += len(part)
    return "".join(parts), spans


def _mask(made: Any, row: int, spans: list[tuple[int, int]]) -> list[int]:
    """1 for each token of a row that the assistant says."""
    offsets = made.encodings[row].offsets
    return [int(any(start < to and end > at for at, to in spans)) for start, end in offsets]
