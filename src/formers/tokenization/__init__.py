"""Text to ids and back, on the `tokenizers` library. Nothing here needs torch until tensors are asked for.

base.py        PreTrainedTokenizer, of the parts in calling, packing, rows, decoding, special, loading, saving, training
encoding.py    BatchEncoding, what a call gives
packing.py     PackedEncoding, what `packed` gives: ids without padding; words.py: each word's ids, looked up once
backend.py     running a `tokenizers.Tokenizer` that no call changes; its errors
cutting.py     very long texts, cut where that cannot change the tokens kept
wordpiece.py   the recipe for vocab.txt; basic.py: its steps in plain Python
"""

from __future__ import annotations

from tokenizers import AddedToken, Encoding

from .base import PreTrainedTokenizerFast
from .basic import BasicTokenizer, WordpieceTokenizer
from .encoding import BatchEncoding
from .packing import PackedEncoding
from .special import SpecialTokens
from .types import CharSpan, PaddingStrategy, TensorType, TokenSpan, TruncationStrategy
from .wordpiece import WordPieceTokenizer, read_vocabulary

PreTrainedTokenizer = PreTrainedTokenizerFast
PreTrainedTokenizerBase = PreTrainedTokenizerFast

__all__ = [
    "AddedToken",
    "BasicTokenizer",
    "BatchEncoding",
    "CharSpan",
    "Encoding",
    "PackedEncoding",
    "PaddingStrategy",
    "PreTrainedTokenizer",
    "PreTrainedTokenizerBase",
    "PreTrainedTokenizerFast",
    "SpecialTokens",
    "TensorType",
    "TokenSpan",
    "TruncationStrategy",
    "WordPieceTokenizer",
    "WordpieceTokenizer",
    "read_vocabulary",
]
