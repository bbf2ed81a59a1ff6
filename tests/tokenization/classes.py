"""Tokenizer classes as a family file declares them."""

from __future__ import annotations

from formers.tokenization import WordPieceTokenizer


class BertTokenizer(WordPieceTokenizer):
    pass


class DistilBertTokenizer(WordPieceTokenizer):
    model_input_names = ["input_ids", "attention_mask"]
