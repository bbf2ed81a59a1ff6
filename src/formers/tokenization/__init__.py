"""Text to ids and back, on the `tokenizers` library. Nothing here needs torch until tensors are asked for.

base.py        PreTrainedTokenizer, of the parts in calling, packing, rows, decoding, special, loading, saving, training
encoding.py    BatchEncoding, what a call gives
packing.py     PackedEncoding, what `packed` gives: ids without padding; words.py: each word's ids, looked up once
backend.py     running a `tokenizers.Tokenizer` that no call changes; its errors
cutting.py     very long texts, cut where that cannot change the tokens kept
wordpiece.py   the recipe for vocab.txt; basic.py: its steps in plain Python
byte_level.py  the recipe for vocab.json with merges.txt; marked.py: where tokens say that a word goes on ("@@")
tabular.py     the recipe for a question and a table, over that of vocab.txt; tables.py: numbers and dates in tables
boxed.py       words with their boxes on a page, over any recipe
sentencepiece.py  the recipe for .model files
whisper.py     Whisper's recipe; transcript.py: what it wrote for pieces of a sound as one text, with times
ctc.py         characters, one or none for a frame of sound
spoken.py      languages that are spoken; normalizers_of_speech.py: texts of speech in one form
frames.py      what special tokens are put around texts; languages.py: texts that say their language, and targets
"""

from __future__ import annotations

from tokenizers import AddedToken, Encoding

from .base import PreTrainedTokenizerFast
from .basic import BasicTokenizer, WordpieceTokenizer
from .boxed import BoxedWords
from .byte_level import ByteLevelTokenizer
from .encoding import BatchEncoding
from .frames import ROBERTA_FRAME
from .languages import MultilingualTokenizer, TwoSided
from .packing import PackedEncoding
from .sentencepiece import SentencePieceModel, SentencePieceTokenizer, at_spaces, of_vocabulary
from .special import SpecialTokens
from .tabular import TableTokenizer
from .types import CharSpan, PaddingStrategy, TensorType, TokenSpan, TruncationStrategy
from .wordpiece import WordPieceTokenizer, read_vocabulary

PreTrainedTokenizer = PreTrainedTokenizerFast
PreTrainedTokenizerBase = PreTrainedTokenizerFast

__all__ = [
    "ROBERTA_FRAME",
    "AddedToken",
    "BasicTokenizer",
    "BatchEncoding",
    "BoxedWords",
    "ByteLevelTokenizer",
    "CharSpan",
    "Encoding",
    "MultilingualTokenizer",
    "PackedEncoding",
    "PaddingStrategy",
    "PreTrainedTokenizer",
    "PreTrainedTokenizerBase",
    "PreTrainedTokenizerFast",
    "SentencePieceModel",
    "SentencePieceTokenizer",
    "SpecialTokens",
    "TableTokenizer",
    "TensorType",
    "TokenSpan",
    "TruncationStrategy",
    "TwoSided",
    "WordPieceTokenizer",
    "WordpieceTokenizer",
    "at_spaces",
    "of_vocabulary",
    "read_vocabulary",
]
