"""What two have said to each other, as a list of messages, and which of it is still to be answered."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import ArgumentError, InputError
from ..logging import logger

Message = dict[str, str]
_ROLES = ("user", "assistant", "system")
# how Transformers 4.20 prints who says something
_SPEAKERS = {"user": "user", "assistant": "bot"}


class Conversation:
    """A conversation, which `pipeline("conversational")` answers in its place.

    Args:
        text: what the user says; or a list of messages {"role": …, "content": …}, as chats are.
        conversation_id: a uuid.UUID; drawn if left out.
        past_user_inputs, generated_responses: what was said before in turn, as many of the one as of the other, or
            one more of the user's.
        messages: the messages, by the name of release 4.40.
    """

    def __init__(
        self,
        text: str | Sequence[Mapping[str, str]] | None = None,
        conversation_id: uuid.UUID | None = None,
        past_user_inputs: Sequence[str] | None = None,
        generated_responses: Sequence[str] | None = None,
        *,
        messages: str | Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        if text is not None and messages is not None:
            raise ArgumentError("A Conversation got text and messages; give one of them.")
        text = messages if text is None else text
        self.uuid = uuid.uuid4() if conversation_id is None else conversation_id
        self.messages: list[Message] = []
        asked, answers = list(past_user_inputs or ()), list(generated_responses or ())
        if len(asked) - len(answers) not in (0, 1):
            raise InputError(
                f"A Conversation has {len(asked)} past_user_inputs and {len(answers)} generated_responses; there is "
                "one response to each, but perhaps for the last."
            )
        for turn, said in enumerate(asked):
            self.add_message({"role": "user", "content": said})
            if turn < len(answers):
                self.append_response(answers[turn])
        self._answered = len(self.messages)  # messages that are not to be answered any more
        for message in [{"role": "user", "content": text}] if isinstance(text, str) else text or ():
            self.add_message(message)

    def add_message(self, message: Mapping[str, str]) -> None:
        """Add {"role": …, "content": …}; the role is "user", "assistant" or "system"."""
        if not isinstance(message, Mapping) or {*message} != {"role", "content"}:
            what = sorted(map(str, message)) if isinstance(message, Mapping) else type(message).__name__
            raise InputError(f"A message of a Conversation has a 'role' and a 'content', and nothing else; got {what}.")
        if message["role"] not in _ROLES or not isinstance(message["content"], str):
            kind = type(message["content"]).__name__
            raise InputError(
                f"A message of a Conversation has a text (str) as content, and a role of {_ROLES}; got "
                f"{message['role']!r} and {kind}."
            )
        self.messages.append(dict(message))

    def add_user_input(self, text: str, overwrite: bool = False) -> None:
        """What the user says next. Where something is unanswered it is left out, or with `overwrite` replaces that."""
        waiting = self.new_user_input
        if waiting is None:
            self.add_message({"role": "user", "content": text})
        elif overwrite:
            self.messages.pop()
            self.add_message({"role": "user", "content": text})
            logger.warning(f"The user's input {waiting!r:.60}, which is unanswered, is replaced by {text!r:.60}.")
        else:
            logger.warning(
                f"The user's input {text!r:.60} is left out, because {waiting!r:.60} is unanswered; overwrite=True "
                "replaces that."
            )

    def append_response(self, response: str) -> None:
        """The answer."""
        self.add_message({"role": "assistant", "content": response})

    def mark_processed(self) -> None:
        """Count what the user said last among `past_user_inputs`, answered or not."""
        self._answered = len(self.messages)

    def iter_texts(self) -> Iterator[tuple[bool, str]]:
        """Whether the user says it, and what is said, from the first on."""
        for message in self.messages:
            yield message["role"] == "user", message["content"]

    @property
    def new_user_input(self) -> str | None:
        """What the user said and waits for an answer to; None where there is nothing."""
        if len(self.messages) <= self._answered or self.messages[-1]["role"] != "user":
            return None
        return self.messages[-1]["content"]

    @property
    def past_user_inputs(self) -> list[str]:
        """What the user said, but for what waits."""
        said = self._of("user")
        return said if self.new_user_input is None else said[:-1]

    @property
    def generated_responses(self) -> list[str]:
        """The answers."""
        return self._of("assistant")

    def _of(self, role: str) -> list[str]:
        return [message["content"] for message in self.messages if message["role"] == role]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Conversation):
            return NotImplemented
        return self.uuid == other.uuid or self.messages == other.messages

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __iter__(self) -> Iterator[Message]:
        yield from self.messages

    def __getitem__(self, item: Any) -> Any:
        return self.messages[item]

    def __len__(self) -> int:
        return len(self.messages)

    def __repr__(self) -> str:
        lines = [f"{_SPEAKERS.get(one['role'], one['role'])} >> {one['content']}" for one in self.messages]
        return "".join(f"{line} \n" for line in (f"Conversation id: {self.uuid}", *lines))
