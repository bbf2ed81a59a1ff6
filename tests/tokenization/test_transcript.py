"""Pieces merged into one text against the reference: times, strides, languages, words, drawn at random."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import speech_tokenizers as speech
import torch
import transformers
from transformers.models.whisper.tokenization_whisper import _find_longest_common_sequence

from formers.errors import InputError
from formers.tokenization.transcript import merged, transcript
from formers.tokenization.whisper import WhisperTokenizer


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[WhisperTokenizer, Any]:
    folder = speech.whisper(tmp_path_factory.mktemp("whisper"))
    return WhisperTokenizer.from_pretrained(folder), transformers.WhisperTokenizer.from_pretrained(folder)


def pieces(tokenizer: Any, draw: random.Random, stride: bool) -> list[dict[str, Any]]:
    """Outputs of a model for pieces of a sound, of which each repeats some of the one before."""
    made: list[dict[str, Any]] = []
    rows: list[list[int]] = []
    count = draw.randint(1, 4)
    for at in range(count):
        row = speech.written(tokenizer, draw)
        if rows and draw.random() < 0.6:
            tail = rows[-1][-draw.randint(1, 20) :]
            row = [*row[:1], *tail, *row[1:]] if row else tail
        rows.append(row)
        heard = np.cumsum([draw.choice([0, 0.02, 0.1, 0.34]) for _ in row])
        output = {"tokens": torch.tensor([row], dtype=torch.long), "token_timestamps": torch.tensor(heard[None])}
        if stride:
            output["stride"] = (30.0, 0.0 if at == 0 else 5.0, 0.0 if at == count - 1 else draw.choice([5.0, 3.3]))
        made.append(output)
    return made


@pytest.mark.parametrize("stride", [True, False])
@pytest.mark.parametrize("language", [True, False, None])
@pytest.mark.parametrize("times", [None, True, "word"])
def test_equal_to_the_reference(pair: Any, times: Any, language: Any, stride: bool) -> None:
    ours, theirs = pair
    options = {"return_timestamps": times, "return_language": language, "time_precision": 0.02}
    found = 0
    for seed in range(120):
        outputs = pieces(theirs, random.Random(seed), stride)
        expected = theirs._decode_asr(outputs, **options)
        assert transcript(ours, outputs, **options) == expected, seed
        found += len(expected[1].get("chunks", ()))
    assert found > 100 or not (times or language)
    assert ours._decode_asr(outputs, **options) == expected


@pytest.mark.parametrize("times", [True, False])
def test_merging(times: bool) -> None:
    for seed in range(400):
        draw = random.Random(seed)
        rows = [[draw.randrange(4) for _ in range(draw.randint(0, 12))] for _ in range(draw.randint(1, 4))]
        spans = [[(draw.randrange(3) / 2, draw.randrange(3) / 2) for _ in row] for row in rows]
        if times and all(rows):
            assert merged(rows, spans) == _find_longest_common_sequence(rows, spans)
        assert merged(rows)[0] == _find_longest_common_sequence(rows)


def test_a_prompt_moves_no_times(pair: Any) -> None:
    ours, _ = pair
    prompt, start, word = ours.convert_tokens_to_ids(["<|startofprev|>", "<|startoftranscript|>", "Ġstop"])
    output = {"tokens": [[prompt, word, start, word]], "token_timestamps": [[0.0, 0.0, 0.0, 1.5]]}
    _, found = transcript(ours, [output], return_timestamps="word")
    assert found["chunks"] == [{"text": " stop", "timestamp": (0.0, 1.5)}]


def test_words_of_a_language_named_by_its_code(pair: Any) -> None:
    ours, _ = pair
    ids = ours("漢字字", add_special_tokens=False)["input_ids"]
    output = {"tokens": [ids], "token_timestamps": [[0.1 * at for at in range(len(ids))]]}
    ours.language = "zh"
    words = transcript(ours, [output], return_timestamps="word")[1]["chunks"]
    ours.language = None
    assert [word["text"] for word in words] == [*"漢字字"]


def test_words_need_times(pair: Any) -> None:
    ours, _ = pair
    with pytest.raises(InputError, match="token_timestamps"):
        transcript(ours, [{"tokens": [[5, 6]]}], return_timestamps="word")
    with pytest.raises(InputError, match="2 tokens"):
        transcript(ours, [{"tokens": [[5, 6]], "token_timestamps": [[0.0]]}], return_timestamps="word")
