"""Records what Transformers 4.20 gives: run it in an environment that has it.

    python tests/tokenization/record.py > tests/tokenization/transformers-4.20.json

Each case: which vocabulary and options, which class ("fast" or "slow"), the method, its arguments, and the result.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"
SENTENCE = "I'm in a Titan RTX, don't you know? Café (naïve) costs 3.50$!"
LONG = "hello world this is a long sentence about tokenizers"
HOSTILE = [
    "",
    " \t\n ",
    "a\0b\ufffdc\u200bd\u00ade",
    "e\u0301e\u0302\u0301 A\u030a \u1e9b\u0323 İstanbul ǅ ſt ß",
    "你好吗 日本語テスト 한국어 조선말 𠀀𪜀",
    "👩‍👩‍👧 🇩🇪 ✌🏽 ☎️",
    "!!!???...,,,;;;—–-…«»„“‚‘",
    "x" * 100 + " " + "y" * 101,
    "[MASK] [mask] [CLS][SEP] [UNK]hello[PAD]",
    "price: €5 ¥6 £7 ₹8 5% #tag @user a_b^c~d`e|f",
    "مرحبا بالعالم שלום Привет мир ça où ñandú",
    "\u3000full\u00a0width　ＡＢＣ ①②③",
]


def cases() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []

    def case(
        method: str, *args: Any, kind: str = "fast", vocab: str = "uncased", options: Any = None, **kw: Any
    ) -> None:
        made.append(
            {"kind": kind, "vocab": vocab, "options": options or {}, "method": method, "args": list(args), "kwargs": kw}
        )

    for vocab, lower in (("uncased", True), ("cased", False), ("chinese", True)):
        for text in (SENTENCE, *HOSTILE):
            case("__call__", text, vocab=vocab, options={"do_lower_case": lower})
            case("tokenize", text, vocab=vocab, options={"do_lower_case": lower})
    for options in (
        {"strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False},
        {"do_basic_tokenize": False},
        {"never_split": ["don't", "naïve", "you'll", "日本", "(naïve)"]},
        {"never_split": ["Café", "RTX,"], "do_lower_case": False},
    ):
        kind = "slow" if {"do_basic_tokenize", "never_split"} & options.keys() else "fast"
        for text in (SENTENCE, *HOSTILE[2:6], HOSTILE[8], "don't you'll (naïve) 日本 RTX, Café"):
            case("__call__", text, kind=kind, options=options)
    case("__call__", [SENTENCE, LONG], padding=True)
    case("__call__", SENTENCE, LONG, truncation=True, max_length=12)
    case("__call__", SENTENCE, LONG, truncation="only_first", max_length=20, stride=2, return_overflowing_tokens=True)
    case("__call__", LONG, padding="max_length", max_length=14, return_length=True, return_special_tokens_mask=True)
    case("__call__", LONG, max_length=5)
    case("__call__", LONG, max_length=5, truncation=False)
    case("__call__", "a", pad_to_max_length=True, max_length=5)
    case("__call__", ["a", "a b"], pad_to_max_length=True)
    case("__call__", [["a", "b"], ["c", "d"]])
    case("__call__", [["a", "b", "cc dd"], ["c", "d"]], is_split_into_words=True)
    case("__call__", [], is_split_into_words=True)
    case("encode_plus", "a", "b", return_attention_mask=False)
    case("encode_plus", LONG, max_length=4, truncation_strategy="longest_first")
    case("batch_encode_plus", [["a", "b"], ["c", "d"]], padding="max_length", max_length=7)
    case("encode", [5, 6], kind="slow")
    case("encode", ["hello", "##s", "zzzzzz"], kind="slow")
    case("encode", "hello", [5, 6], kind="slow")
    for ids in ([101, 1045, 1005, 1049, 2061, 1010, 2123, 1005, 1056, 999, 102], [100, 103, 0, 2172, 1012], []):
        for skip in (False, True):
            case("decode", ids, skip_special_tokens=skip)
            case("decode", ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
    case("batch_decode", [[7592, 2088], [101, 102]])
    case("build_inputs_with_special_tokens", [5, 6])
    case("build_inputs_with_special_tokens", [5, 6], [7])
    case("create_token_type_ids_from_sequences", [5, 6])
    case("create_token_type_ids_from_sequences", [5, 6], [7])
    case("get_special_tokens_mask", [5, 6], kind="slow")
    case("get_special_tokens_mask", [5, 6], [7], kind="slow")
    case("get_special_tokens_mask", [101, 5, 102, 0], already_has_special_tokens=True)
    case("num_special_tokens_to_add")
    case("num_special_tokens_to_add", True)
    for removed in range(8):
        for strategy in ("longest_first", "only_first", "only_second"):
            case("truncate_sequences", [5, 6, 7, 8], [9, 10, 11], removed, strategy, 1)
        case("truncate_sequences", [5, 6, 7, 8], None, removed, "longest_first", 2)
    case("prepare_for_model", [5, 6, 7, 8], truncation=True, max_length=4, stride=1, return_overflowing_tokens=True)
    case(
        "prepare_for_model",
        [5, 6, 7],
        [8, 9],
        padding="max_length",
        max_length=12,
        kind="slow",
        return_special_tokens_mask=True,
    )
    case("prepare_for_model", [5, 6, 7], [8, 9], add_special_tokens=False, return_length=True)
    case("pad", {"input_ids": [[1, 2], [3]], "labels": [1, 2]})
    case("pad", [{"input_ids": [1, 2], "token_type_ids": [0, 1]}, {"input_ids": [3], "token_type_ids": [1]}])
    case("pad", {"input_ids": [1, 2]}, padding="max_length", max_length=3, pad_to_multiple_of=4)
    case("pad", {"input_ids": [1, 2], "attention_mask": [1, 0]}, padding=False)
    case("convert_ids_to_tokens", [101, 5000, 102], skip_special_tokens=True)
    case("convert_tokens_to_ids", ["hello", "zzzzzz"])
    case("convert_tokens_to_string", ["hello", "##s", "'", "m", "[UNK]"])
    case("clean_up_tokenization", "a ' b , c . do n't I 'm he 's we 've you 're ? !")
    return made


def plain(value: Any) -> Any:
    """What JSON makes of it, so that results can be compared."""
    return json.loads(json.dumps(dict(value) if hasattr(value, "keys") else value))


def run(tokenizer: Any, case: dict[str, Any]) -> Any:
    return plain(getattr(tokenizer, case["method"])(*case["args"], **case["kwargs"]))


def main() -> None:
    from transformers import BertTokenizer, BertTokenizerFast  # of 4.20

    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp())
    recorded = []
    for case in cases():
        kind = BertTokenizer if case["kind"] == "slow" else BertTokenizerFast
        vocab = shutil.copyfile(DATA / f"bert-base-{case['vocab']}-vocab.txt", folder / "vocab.txt")
        tokenizer = kind.from_pretrained(str(vocab.parent), **case["options"])
        recorded.append({**case, "result": run(tokenizer, case)})
    print("[\n" + ",\n".join(json.dumps(case) for case in recorded) + "\n]")


if __name__ == "__main__":
    main()
