"""`formers tokenize`: the tokens of texts."""

from __future__ import annotations

import argparse
from pathlib import Path

from .output import columns, declare_json, printable, show
from .texts import declare_texts, texts_given

ABOUT = "show the tokens of texts"
PACKAGED = Path(__file__).parents[1] / "packaged" / "sentiment"


def declare(parser: argparse.ArgumentParser) -> None:
    declare_texts(parser)
    parser.add_argument("--model", metavar="NAME", default=str(PACKAGED), help="folder or hub name (default: ours)")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    declare_json(parser)


def run(given: argparse.Namespace) -> None:
    texts = texts_given(given)
    from ..auto import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(given.model, revision=given.revision)
    for text in texts:
        encoding = tokenizer(text, return_offsets_mapping=True, verbose=False)
        ids, offsets = encoding["input_ids"], [list(pair) for pair in encoding["offset_mapping"]]
        tokens = tokenizer.convert_ids_to_tokens(ids)
        rows = [(printable(token), str(i), f"{a}–{b}") for token, i, (a, b) in zip(tokens, ids, offsets, strict=True)]
        show(given, {"tokens": tokens, "ids": ids, "offsets": offsets}, [*columns(rows), ""])
