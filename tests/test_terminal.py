"""Text from files never reaches a terminal as it is: escape sequences in it would set titles, colours, or keys."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import formers
from formers import cli

TITLE = "\x1b]0;owned\x07"
HOSTILE = f"{TITLE}\x9b31m\x7f\r\u202e\u2066\x00"
SHOWN = r"\x1b]0;owned\x07\x9b31m\x7f\r\u202e\u2066\x00"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    formers.BertConfig(vocab_size=5, id2label={0: HOSTILE, 1: "plain"}).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"additional_special_tokens": [HOSTILE]}))
    return tmp_path


def is_harmless(text: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in text)


def test_a_warning(folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    handler = logging.StreamHandler()
    logging.getLogger("formers").addHandler(handler)
    try:
        formers.AutoTokenizer.from_pretrained(folder)
        formers.logging.get_logger("formers.more").warning("of a %s", HOSTILE)
        formers.logging.logger.warning("kept: %s\t%d\n and é 你好 \N{GRINNING FACE}", "a", 1)
    finally:
        logging.getLogger("formers").removeHandler(handler)
    said = capsys.readouterr().err
    assert SHOWN in said and f"of a {SHOWN}" in said and is_harmless(said)
    assert "kept: a\t1\n and é 你好 \N{GRINNING FACE}" in said
    assert all(is_harmless(record.getMessage()) for record in caplog.records)


def test_an_error() -> None:
    error = formers.TokenizerError(f"a file says {HOSTILE}\n\tand more")
    assert str(error) == f"a file says {SHOWN}\n\tand more" and HOSTILE in error.args[0]
    assert "\\ud800" in str(formers.InputError("half a character: \ud800"))


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_command(
    folder: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.output, "on_terminal", lambda: not options)
    assert cli.main(["info", str(folder), *options]) == 0
    out, err = capsys.readouterr()
    assert is_harmless(out) and is_harmless(err)
    if options:
        assert json.loads(out)["labels"] == [HOSTILE, "plain"]
    else:
        assert SHOWN in out
    (folder / "config.json").write_text(json.dumps({"model_type": TITLE}))
    assert cli.main(["info", str(folder / TITLE)]) == 1
    out, err = capsys.readouterr()
    assert "owned" in err and is_harmless(out) and is_harmless(err)
