"""What a text is written after: a prompt, or a chat, a list of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from .text import _describe, _readable

Prompt = str | list[Mapping[str, Any]]


def is_chat(item: Any) -> bool:
    """Whether the item is meant as one chat, and not as several inputs."""
    return isinstance(item, list | tuple) and bool(item) and isinstance(item[0], Mapping) and "role" in item[0]


def read_prompt(item: Any, name: str) -> Prompt:
    """The prompt, a str, or the messages of a chat; `name` is for messages. Raises InputError for anything else."""
    if isinstance(item, str):
        return _readable(item, name)
    if isinstance(item, list | tuple) and item and all(isinstance(message, Mapping) for message in item):
        return read_chat(item, name)
    if isinstance(item, Mapping):
        what = "a list with it as its only message" if "role" in item else "a str, or a list of messages"
        raise InputError(f"{name} is a dictionary of {', '.join(map(repr, item))}; give {what}.")
    if isinstance(item, list | tuple):
        raise InputError(
            f"{name} is a list of {type(item[0]).__name__ if item else 'nothing'}; a prompt (str) is needed, or for a "
            'chat a list of {"role": …, "content": …}.'
        )
    raise InputError(f"{name} is {_describe(item)}.")


def read_chat(messages: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """The messages of a chat. Raises InputError for one without a role or a content."""
    for number, message in enumerate(messages):
        if "role" not in message or not ("content" in message or "tool_calls" in message):
            raise InputError(
                f"{name}: message {number} has {', '.join(map(repr, message)) or 'no keys'}; a message of a chat has a "
                "'role' and a 'content'."
            )
    return list(messages)


def goes_on(chat: Sequence[Mapping[str, Any]], asked: bool | None) -> bool:
    """Whether what is written belongs to the last message: as asked for, else where it is the assistant's already."""
    return chat[-1].get("role") == "assistant" if asked is None else asked


def answered(chat: Sequence[Mapping[str, Any]], text: str, last: bool) -> list[Any]:
    """The chat with what was written, as a message of the assistant, or at the end of the last one."""
    if not last:
        return [*chat, {"role": "assistant", "content": text}]
    content = chat[-1].get("content") or ""
    longer: str | list[Any]
    if isinstance(content, str):
        longer = content + text
    elif content and isinstance(content[-1], Mapping) and isinstance(said := content[-1].get("text"), str):
        longer = [*content[:-1], {**content[-1], "text": said + text}]
    else:
        longer = [*content, {"type": "text", "text": text}]
    return [*chat[:-1], {**chat[-1], "content": longer}]
