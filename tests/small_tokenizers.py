"""Small tokenizers whose tokens are bytes, pieces with bytes to fall back on, and words."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from formers import PreTrainedTokenizerFast

MERGES = [("t", "h"), ("th", "e"), ("Ġ", "s"), ("Ġs", "t"), ("o", "p"), ("Ġst", "op")]
PIECES = ["▁", "▁the", "▁st", "op", "s", "t", "o", "p", "h", "e", "n", "▁s", "'", "!", "."]
WORDS = ["[UNK]", "the", "st", "##op", "do", "n", "'", "t", "s", "!", ".", ",", "ve", "re"]


def byte_level() -> Tokenizer:
    """Bytes, with a few merges, as of GPT-2."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *("".join(pair) for pair in MERGES)]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def byte_fallback() -> Tokenizer:
    """Pieces with ▁ for spaces, and a token for each byte, as of Llama 2."""
    tokens = [f"<0x{i:02X}>" for i in range(256)] + PIECES
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def word_piece() -> Tokenizer:
    """Words and their ends, as of BERT."""
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return tokenizer


KINDS = {"bytes": byte_level, "fallback": byte_fallback, "words": word_piece}


def tokenizer(kind: str, cls: Any = PreTrainedTokenizerFast, **kwargs: Any) -> Any:
    """One of KINDS, as a tokenizer of `cls`."""
    return cls(tokenizer_object=KINDS[kind](), **kwargs)
