"""Tokenizers of speech from files that a disk broke: they load, or an error of this package says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import speech_tokenizers as speech
from damage import flipped, patched
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formers.errors import FormersError
from formers.tokenization.ctc import Wav2Vec2CTCTokenizer
from formers.tokenization.whisper import WhisperTokenizer

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
LANGUAGES = {"eng": {"<pad>": 0, "<unk>": 1, "|": 2, "a": 3}, "fra": {"<pad>": 0, "<unk>": 1, "|": 2, "é": 3}}


def tried(cls: Any, folder: Path, file: str, data: bytes) -> None:
    """Load a folder with one file broken, and use what was loaded."""
    path = folder / file
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        made = cls.from_pretrained(folder)
        ids = made(" the stop| <s>")["input_ids"]
        made.decode(ids), made.decode(ids, skip_special_tokens=True)
    except FormersError:
        pass
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("file", ["vocab.json", "tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("languages", [False, True])
@given(data=st.data())
@FEW
def test_characters(tmp_path: Path, file: str, languages: bool, data: Any) -> None:
    folder = speech.ctc(tmp_path, LANGUAGES, target_lang="fra") if languages else speech.ctc(tmp_path)
    whole = (folder / file).read_bytes()
    tried(Wav2Vec2CTCTokenizer, folder, file, data.draw(flipped(whole) | patched(whole)))


@pytest.mark.parametrize("file", ["normalizer.json", "merges.txt", "special_tokens_map.json"])
@given(data=st.data())
@FEW
def test_whisper(tmp_path: Path, file: str, data: Any) -> None:
    folder = speech.whisper(tmp_path, times=False)
    whole = (folder / file).read_bytes()
    tried(WhisperTokenizer, folder, file, data.draw(flipped(whole) | patched(whole)))


VALUES = [5, -1, 1.5, None, True, "x", "", [], {}, ["a"], {"a": 1}, 2**40, "\ud800"]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize(
    "key",
    [
        *("word_delimiter_token", "replace_word_delimiter_char", "do_lower_case", "target_lang", "language", "task"),
        *("predict_timestamps", "pad_token", "errors", "normalizer_file"),
    ],
)
def test_strange_settings(tmp_path: Path, key: str, value: Any) -> None:
    for cls, make in ((Wav2Vec2CTCTokenizer, speech.ctc), (WhisperTokenizer, lambda at: speech.whisper(at, False))):
        folder = make(tmp_path)
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        tried(cls, folder, "tokenizer_config.json", json.dumps({**config, key: value}).encode())
