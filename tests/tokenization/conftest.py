"""Tokenizers over the real vocabularies, ours and the reference's."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from corpus import sst2
from tokenization.classes import BertTokenizer


@pytest.fixture(scope="session")
def folders(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """{"uncased": folder with its vocab.txt and tokenizer_config.json, …}."""
    made = {}
    for name in ("uncased", "cased", "chinese"):
        made[name] = tmp_path_factory.mktemp(name)
        shutil.copyfile(data / f"bert-base-{name}-vocab.txt", made[name] / "vocab.txt")
        lower = "false" if name == "cased" else "true"
        (made[name] / "tokenizer_config.json").write_text(f'{{"do_lower_case": {lower}, "model_max_length": 512}}')
    return made


@pytest.fixture(scope="session")
def pairs(folders: dict[str, Path]) -> dict[str, Any]:
    """{"uncased": .ours and .theirs, …}. Shared by all tests: none may change them."""
    transformers = pytest.importorskip("transformers")
    return {
        name: SimpleNamespace(
            ours=BertTokenizer.from_pretrained(folder), theirs=transformers.BertTokenizer.from_pretrained(folder)
        )
        for name, folder in folders.items()
    }


@pytest.fixture
def tokenizer(folders: dict[str, Path]) -> BertTokenizer:
    """A fresh tokenizer over bert-base-uncased's vocabulary."""
    return BertTokenizer.from_pretrained(folders["uncased"])


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """The sentences of SST-2 dev."""
    return [text for _, text in sst2("dev")]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a vocabulary of a few tokens: for tests that need no real one."""
    folder = tmp_path_factory.mktemp("tiny")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##c", "hello", "world", "'", "m", "i", "."]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    return folder
