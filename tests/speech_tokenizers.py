"""Small tokenizers of speech: folders as Transformers 4.20 wrote them for Whisper and Wav2Vec2."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from small_tokenizers import MERGES, byte_level

from formers.tokenization.spoken import LANGUAGES

SPELLING = {"colour": "color", "realise": "realize"}
END = "<|endoftext|>"
MARKS = [
    "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES if code != "yue"), "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip


def _write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def whisper(folder: Path, times: bool = True) -> Path:
    """The files of a Whisper tokenizer, all but tokenizer.json. times: whether tokens of time are in them."""
    vocab = {**byte_level().get_vocab(), END: len(byte_level().get_vocab())}
    marks = MARKS + [f"<|{at * 0.02:.2f}|>" for at in range(1501)] * times
    _write(folder, "vocab.json", vocab)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in MERGES)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write(folder, "normalizer.json", SPELLING)
    numbers = {token: len(vocab) + at for at, token in enumerate(marks)}
    _write(folder, "added_tokens.json", {END: len(vocab) - 1, **numbers})
    named = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), END)
    _write(folder, "special_tokens_map.json", {**named, "additional_special_tokens": [END, *MARKS]})
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    added = {str(number): {"content": token, "special": token in MARKS, **flags} for token, number in numbers.items()}
    end = {str(len(vocab) - 1): {"content": END, "special": True, **flags}}
    _write(
        folder,
        "tokenizer_config.json",
        {
            "tokenizer_class": "WhisperTokenizer", "model_max_length": 1024, "add_prefix_space": False, **named,
            "errors": "replace", "clean_up_tokenization_spaces": True, "added_tokens_decoder": {**end, **added},
            "additional_special_tokens": [END, *MARKS],
        },
    )  # fmt: skip
    return folder


CHARACTERS = [*"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]


def ctc(folder: Path, vocab: dict[str, Any] | None = None, **options: Any) -> Path:
    """The files of a Wav2Vec2CTCTokenizer."""
    letters = {token: at for at, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *CHARACTERS])}
    _write(folder, "vocab.json", letters if vocab is None else vocab)
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    _write(folder, "special_tokens_map.json", named)
    config = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "word_delimiter_token": "|", "do_lower_case": False}
    _write(folder, "tokenizer_config.json", {**named, **config, **options})
    return folder


def written(tokenizer: Any, draw: random.Random, length: int = 30) -> list[int]:
    """What a model might write for a piece: words, times, languages, the end; and now and then nonsense."""
    begin = tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1
    text = tokenizer(" the stop, “hé” 漢字! the the stop? don't stop (the) .", add_special_tokens=False).input_ids
    marks = tokenizer.convert_tokens_to_ids(["<|en|>", "<|fr|>", "<|zh|>", "<|transcribe|>", "<|notimestamps|>"])
    ids: list[int] = tokenizer.convert_tokens_to_ids(["<|startoftranscript|>"]) if draw.random() < 0.7 else []
    time = 0
    for _ in range(draw.randint(0, length)):
        kind = draw.random()
        if kind < 0.12:
            time = min(1500, time + draw.randint(0, 80)) if draw.random() < 0.85 else draw.randint(0, 200)
            ids += [begin + time] * draw.choice([1, 1, 2])
        elif kind < 0.17:
            ids.append(draw.choice(marks))
        elif kind < 0.2:
            ids.append(draw.randrange(begin))
        else:
            start = draw.randrange(len(text))
            ids += text[start : start + draw.randint(1, 8)]
    return ids if draw.random() < 0.8 else [*ids, tokenizer.eos_token_id]
