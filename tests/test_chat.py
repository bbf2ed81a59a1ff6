"""`formers chat` and `formers run text-generation`: in a terminal, and where nobody watches."""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import writers

import formers
from formers import cli, pipeline
from formers.cli import values
from formers.cli.chat import Conversation
from formers.errors import InputError

SOURCES = Path(formers.__file__).parents[1]
GREEDY = {"do_sample": False, "max_new_tokens": 10}
OPTIONS = ("--set", "do_sample=false", "--max-new-tokens", "10")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return writers.write(tmp_path_factory.mktemp("talker"))


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Any:
    return pipeline("text-generation", model=folder)


def answers(pipe: Any, *turns: str, system: str | None = None, **options: Any) -> list[str]:
    """What the pipeline says turn by turn, each from the whole conversation."""
    chat = [] if system is None else [{"role": "system", "content": system}]
    for turn in turns:
        chat = pipe([*chat, {"role": "user", "content": turn}], **{**GREEDY, **options})[0]["generated_text"]
    return [message["content"] for message in chat if message["role"] == "assistant"]


class TestConversation:
    def test_it_says_what_the_pipeline_says(self, pipe: Any) -> None:
        talk = Conversation(pipe, "be", GREEDY)
        said = [talk.answer(turn, quiet=True)["content"] for turn in ("the cat", "and", "on")]
        assert said == answers(pipe, "the cat", "and", "on", system="be")
        assert [message["role"] for message in talk.messages] == ["system", *["user", "assistant"] * 3]

    def test_what_was_read_is_not_read_again(self, pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from formers.generation.runner import Runner

        read: list[int] = []
        feed = Runner.feed

        def counted(self: Any, slots: Any, new: Any, *rest: Any) -> Any:
            read.append(sum(map(len, new)))
            return feed(self, slots, new, *rest)

        monkeypatch.setattr(Runner, "feed", counted)
        talk = Conversation(pipe, "be kind " * 20, GREEDY)
        talk.answer("the cat", quiet=True)
        first, before = read[0], len(read)
        talk.answer("and", quiet=True)
        assert first > 150 and read[before] < 60

    def test_a_seed(self, pipe: Any) -> None:
        drawn = {"max_new_tokens": 8, "seed": 3}
        talks = [Conversation(pipe, None, drawn) for _ in range(2)]
        said = [[talk.answer(turn, quiet=True) for turn in ("a", "b")] for talk in talks]
        assert said[0] == said[1]

    @pytest.mark.parametrize("presses", [(12,), (12, 13)])
    def test_an_answer_that_is_stopped(self, presses: Any, pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        talk = Conversation(pipe, None, {**GREEDY, "max_new_tokens": 30})
        whole = Conversation(pipe, None, talk.options).answer("the cat", quiet=True)["content"]
        generate = type(pipe.model).generate

        def stopped(model: Any, *args: Any, streamer: Any, **kwargs: Any) -> Any:
            put, count = streamer.put, iter(range(100))

            def until(value: Any) -> None:
                put(value)
                if next(count) in presses:
                    os.kill(os.getpid(), signal.SIGINT)

            streamer.put = until
            return generate(model, *args, streamer=streamer, **kwargs)

        monkeypatch.setattr(type(pipe.model), "generate", stopped)
        part = talk.answer("the cat", quiet=True)["content"]
        assert part and whole.startswith(part) and len(part) < len(whole)
        monkeypatch.undo()
        assert (talk.cache is not None) == (len(presses) == 1)
        said = pipe([*talk.messages, {"role": "user", "content": "and"}], **talk.options)
        assert talk.answer("and", quiet=True) == said[0]["generated_text"][-1]

    def test_what_cannot_be_answered_changes_nothing(self, pipe: Any) -> None:
        talk = Conversation(pipe, None, GREEDY)
        talk.answer("the cat", quiet=True)
        before = list(talk.messages)
        talk.options = {"max_new_tokens": 0}
        with pytest.raises(InputError):
            talk.answer("and", quiet=True)
        assert talk.messages == before
        talk.options = dict(GREEDY)
        with pytest.raises(InputError, match="temperature"):
            talk.set("temperature", -1)


def test_values() -> None:
    assert values.assigned("do-sample=False") == ("do_sample", False)
    assert values.assigned("top_p=0.5") == ("top_p", 0.5) and values.assigned("a=b=c") == ("a", "b=c")
    assert values.assigned('stop_sequence=["a"]') == ("stop_sequence", ["a"])
    for wrong in ("x", "=3"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no NAME=VALUE"):
            values.assigned(wrong)


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "formers", *arguments]
    return subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, timeout=60)


def test_lines_as_turns(folder: Path, pipe: Any, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    lines = [
        "the cat",
        "",
        "and",
        f"/save {file}",
        "/new",
        "a",
        f"/load {file}",
        "/set max_new_tokens=4",
        "on",
        "/exit",
        "x",
    ]
    done = run("chat", str(folder), "--system", "be", *OPTIONS, stdin="\n".join(lines))
    assert (done.returncode, done.stderr) == (0, "")
    said = [json.loads(line) for line in done.stdout.splitlines()]
    expected = answers(pipe, "the cat", "and", system="be")
    assert [one["content"] for one in said[:2]] == expected and {one["role"] for one in said} == {"assistant"}
    assert said[2]["content"] == answers(pipe, "a", system="be")[0]
    kept = json.loads(file.read_text("utf-8"))["messages"]
    assert [one["content"] for one in kept] == ["be", "the cat", expected[0], "and", expected[1]]
    last = pipe([*kept, {"role": "user", "content": "on"}], do_sample=False, max_new_tokens=4)
    assert said[3]["content"] == last[0]["generated_text"][-1]["content"] and len(said) == 4


def test_commands_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "talk.json").write_text('{"a": 1}')
    (tmp_path / "chat.json").write_text('[{"role": "user"}]')
    lines = ["/nwe", "/save", "/load /no/such", f"/load {tmp_path / 'talk.json'}", f"/load {tmp_path / 'chat.json'}"]
    done = run("chat", str(folder), stdin="\n".join([*lines, "/set top_p=7", "/set top_p", "/help"]))
    assert done.returncode == 0 and done.stdout == ""
    said = done.stderr
    for words in (
        "There is no /nwe",
        "Which file?",
        "/no/such",
        "holds no conversation",
        "message 0 has 'role'",
        "top_p=7",
    ):
        assert words in said
    assert "/set NAME=VALUE, as" in said and "/save FILE         write" in said and "Traceback" not in said


def test_a_model_without_a_template(tmp_path: Path) -> None:
    done = run("chat", str(writers.write(tmp_path, template=False)), stdin="hello")
    assert done.returncode == 1 and "has no chat template" in done.stderr and done.stderr.count("\n") == 1


class Terminal:
    """The command in a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1", "TERM": "dumb"}
        self.job = subprocess.Popen(
            [sys.executable, "-m", "formers", *arguments],
            stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def until(self, words: str, seconds: float = 30) -> str:
        """What is shown up to and with these words; what comes after it is kept."""
        end = time.monotonic() + seconds
        while words not in self.seen:
            assert time.monotonic() < end, f"{words!r} did not come, but {self.seen!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 4096).decode("utf-8", "replace").replace("\r\n", "\n")
                except OSError:
                    break
        assert words in self.seen, self.seen
        before, _, self.seen = self.seen.partition(words)
        return before + words

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def close(self) -> int:
        code = self.job.wait(timeout=30)
        os.close(self.master)
        return code


def shown(text: str) -> str:
    from formers.errors import visible

    return visible(text)


def test_a_real_terminal(folder: Path, pipe: Any) -> None:
    terminal = Terminal("chat", str(folder), *OPTIONS)
    first, second = answers(pipe, "the cat", "and")
    terminal.until("> ")
    terminal.type("the cat\n")
    assert shown(first) in terminal.until("\n> ")
    terminal.type("and\n")
    assert shown(second) in terminal.until("\n> ")
    terminal.type("/set\n")
    terminal.until("do_sample=False")
    terminal.until("> ")
    terminal.type("\x04")
    assert terminal.close() == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(folder: Path) -> None:
    terminal = Terminal(
        "chat", str(folder), "--set", "do_sample=false", "--set", "eos_token_id=-1", "--max-new-tokens", "100000"
    )
    terminal.until("> ")
    terminal.type("the cat\n")
    terminal.until("the cat\n")
    time.sleep(1)
    os.killpg(terminal.job.pid, signal.SIGINT)
    terminal.type("/set\n")
    terminal.until("do_sample=False")  # said after the answer, and not by it
    terminal.until("> ")
    time.sleep(0.5)  # readline shows its prompt a moment before it looks for signals
    os.killpg(terminal.job.pid, signal.SIGINT)
    terminal.until("Ctrl-D leaves")
    terminal.until("> ")
    terminal.type("/exit\n")
    assert terminal.close() == 0


class TestRun:
    def test_one_prompt_is_shown_as_it_grows(self, folder: Path, pipe: Any) -> None:
        terminal = Terminal("run", "text-generation", "the cat", "--model", str(folder), *OPTIONS)
        whole = pipe("the cat", **GREEDY)[0]["generated_text"]
        assert terminal.until(shown(whole)).endswith(shown(whole))
        assert terminal.close() == 0

    def test_lines_of_json(self, folder: Path, pipe: Any) -> None:
        prompts = ["the cat", "and", "a"]
        done = run("run", "text-generation", "--model", str(folder), *OPTIONS, stdin="\n".join(prompts))
        assert (done.returncode, done.stderr) == (0, "")
        assert [json.loads(line) for line in done.stdout.splitlines()] == pipe(prompts, **GREEDY)

    def test_on_a_terminal(
        self, folder: Path, pipe: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(cli.output, "on_terminal", lambda: True)
        monkeypatch.setattr(cli.run, "on_terminal", lambda: True)
        assert cli.main(["run", "text-generation", "the", "a", "--model", str(folder), *OPTIONS]) == 0
        assert [one[0]["generated_text"] for one in pipe(["the", "a"], **GREEDY)] != []
        out = capsys.readouterr().out
        for one in pipe(["the", "a"], **GREEDY):
            assert shown(one[0]["generated_text"]) in out
        beams = ["--set", "num_beams=2", "--set", "num_return_sequences=2"]
        assert cli.main(["run", "text-generation", "the", "--model", str(folder), *OPTIONS, *beams]) == 0
        assert capsys.readouterr().out.count("\n\n") == 1

    def test_an_argument_that_is_not_there(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["run", "text-generation", "a", "--model", str(folder), "--set", "top_q=1"]) == 2
        assert "has no argument 'top_q'" in capsys.readouterr().err
