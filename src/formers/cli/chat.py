"""`formers chat`: a conversation with a model, in the terminal."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import FormersError, InputError, visible, visible_json
from .output import declare_json, on_terminal
from .run import MODES, device
from .texts import texts_given
from .values import assigned, value_of

ABOUT = "talk with a model"
HELP = """/new               begin anew
/save FILE         write the conversation into a file
/load FILE         go on with the conversation in a file
/set NAME=VALUE    change how answers are written, as /set temperature=0.5; /set alone lists what is set
/help              this
/exit              leave, as Ctrl-D does; Ctrl-C stops an answer"""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="folder or hub name of a model with a chat template")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    parser.add_argument("--system", metavar="TEXT", help="what the model is told before the conversation")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="longest answer (default: the model's, or 256)")
    parser.add_argument("--seed", type=int, metavar="N", help="of drawing tokens, for the same answers again")
    parser.add_argument(
        "--set",
        action="append",
        type=assigned,
        default=[],
        metavar="NAME=VALUE",
        help="how answers are written, as --set do_sample=false",
    )
    parser.add_argument("--device", type=device, help="cpu, cuda, cuda:1, or an accelerator's number")
    parser.add_argument("--dtype", help="type of the weights: float32, bfloat16, …")
    parser.add_argument(
        "--optimize", nargs="?", const=True, choices=MODES, metavar="MODE", help=f"run faster: {', '.join(MODES)}"
    )
    declare_json(parser)


def run(given: argparse.Namespace) -> None:
    from ..pipelines import pipeline

    loading = {name: getattr(given, name) for name in ("model", "revision", "device", "dtype", "optimize")}
    pipe = pipeline("text-generation", **loading)
    pipe.tokenizer.get_chat_template()  # an error before a first question
    options = {name: value for name in ("max_new_tokens", "seed") if (value := getattr(given, name)) is not None}
    talk = Conversation(pipe, given.system, {**options, **dict(given.set)})
    as_json = given.json or not on_terminal()
    for line in _lines(given, as_json):
        if not line.strip():
            continue
        if line.startswith("/"):
            if not _obey(talk, line):
                return
        elif as_json:
            print(visible_json(json.dumps(talk.answer(line, quiet=True), ensure_ascii=True)), flush=True)
        else:
            _say(talk, line)


def _say(talk: Conversation, line: str) -> None:
    """Show an answer as it comes; what cannot be answered is said, and the conversation goes on."""
    try:
        talk.answer(line)
    except FormersError as error:
        _tell(str(error))
    except KeyboardInterrupt:  # before the first word
        print(flush=True)


def _tell(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)


def _lines(given: argparse.Namespace, as_json: bool) -> Iterator[str]:
    """What is typed, or the lines of standard input."""
    if sys.stdin is None or not sys.stdin.isatty():
        given.text = ["-"]
        yield from texts_given(given)
        return
    with suppress(ImportError):
        import readline  # noqa: F401  # keys that move, and lines of before
    if not as_json:
        _tell("/help lists the commands.")
    while True:
        try:
            yield input("" if as_json else "> ")
        except KeyboardInterrupt:
            _tell("\n/exit or Ctrl-D leaves.")
        except EOFError:
            print()
            return


class Conversation:
    """Messages, and what the model has read of them: keys and values of a turn serve the next one.

    pipe: a pipeline for text generation. options: arguments of `generate`.
    """

    def __init__(self, pipe: Any, system: str | None, options: dict[str, Any]) -> None:
        self.pipe, self.system, self.options = pipe, system, options
        self.begin()

    def begin(self, messages: list[dict[str, Any]] | None = None) -> None:
        """Begin anew, or with the messages of an earlier conversation."""
        told = [] if self.system is None else [{"role": "system", "content": self.system}]
        self.messages: list[dict[str, Any]] = told if messages is None else messages
        self.cache: Any = None
        self.read: list[int] = []

    def set(self, name: str, value: Any) -> None:
        """Change how answers are written; None is as before. Raises InputError for what is not possible."""
        from ..generation.configuration import GenerationConfig

        options = {key: old for key, old in {**self.options, name: value}.items() if old is not None}
        GenerationConfig(**options)
        self.options = options

    def answer(self, text: str, quiet: bool = False) -> dict[str, str]:
        """The model's message after one of the user, shown as it is written. Ctrl-C ends it after the next token, and
        where that takes long, a second one at once.

        Raises InputError for a conversation that is too long, or that the template does not take; it is as before then.
        """
        from .streaming import Shown

        asked = [*self.messages, {"role": "user", "content": text}]
        encoded = self.pipe.tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt")
        ids, shown = encoded["input_ids"].to(self.pipe.device), Shown(self.pipe.tokenizer, quiet)
        options = self.pipe.asked(self.options, ids.shape[1], sum(one["role"] == "user" for one in self.messages))
        known, self.cache = self._known(ids[0].tolist()), None
        try:
            with _interruptible() as stopped:
                found = self.pipe.model.generate(
                    ids,
                    past_key_values=known,
                    streamer=shown,
                    stopping_criteria=[lambda ids, scores: bool(stopped)],
                    return_dict_in_generate=True,
                    **options,
                )
            self.cache, self.read = found.past_key_values, found.sequences[0].tolist()
        except KeyboardInterrupt:  # what the cache holds of the last step is not known
            if not quiet:
                print(flush=True)
        message = {"role": "assistant", "content": shown.text}
        self.messages = [*asked, message]
        return message

    def _known(self, ids: list[int]) -> Any:
        """Keys and values of the tokens with which the conversation begins as the last one did; None for none."""
        if self.cache is None:
            return None
        most = min(self.cache.get_seq_length(), len(ids) - 1)
        same = next((i for i in range(most) if ids[i] != self.read[i]), most)
        self.cache.crop(same)
        return self.cache if same else None


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Inside, the first Ctrl-C is noted in the list, and the next one raises; nothing changes in another thread."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, frame: Any) -> None:
        noted.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _obey(talk: Conversation, line: str) -> bool:
    """Do what a line with a command asks for; False to leave."""
    name, _, rest = line.strip().partition(" ")
    command = _COMMANDS.get(name)
    if name in ("/exit", "/quit"):
        return False
    if command is None:
        _tell(f"There is no {name}. /help lists the commands.")
        return True
    try:
        command(talk, rest.strip())
    except (FormersError, OSError) as error:
        _tell(str(error))
    return True


def _new(talk: Conversation, rest: str) -> None:
    talk.begin()


def _save(talk: Conversation, rest: str) -> None:
    Path(_file(rest)).write_text(json.dumps({"messages": talk.messages}, ensure_ascii=False, indent=2) + "\n", "utf-8")


def _load(talk: Conversation, rest: str) -> None:
    from ..pipelines.prompts import read_chat

    try:
        found = json.loads(Path(_file(rest)).read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{rest} is no JSON: {error}") from error
    messages = found.get("messages") if isinstance(found, dict) else found
    if not isinstance(messages, list):
        raise InputError(f'{rest} holds no conversation: {{"messages": [{{"role": …, "content": …}}, …]}} is one.')
    talk.begin([dict(message) for message in read_chat(messages, rest)] if messages else [])


def _file(rest: str) -> str:
    if not rest:
        raise InputError("Which file? /save FILE, /load FILE.")
    return rest


def _set(talk: Conversation, rest: str) -> None:
    if not rest:
        _tell(", ".join(f"{name}={value}" for name, value in talk.options.items()) or "Nothing is set.")
        return
    name, found, value = rest.partition("=")
    if not found:
        raise InputError("/set NAME=VALUE, as /set temperature=0.5; null for a value as before.")
    talk.set(name.strip(), value_of(value.strip()))


_COMMANDS: dict[str, Callable[[Conversation, str], None]] = {
    "/new": _new,
    "/save": _save,
    "/load": _load,
    "/set": _set,
    "/help": lambda talk, rest: _tell(HELP),
}
