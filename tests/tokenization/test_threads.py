"""One tokenizer, many threads, different settings: always the right answers."""

from __future__ import annotations

import copy
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tokenization.record import HOSTILE, LONG, SENTENCE

SETTINGS: list[dict[str, Any]] = [
    {},
    {"truncation": True, "max_length": 5},
    {"truncation": True, "max_length": 9, "stride": 2, "return_overflowing_tokens": True},
    {"padding": "max_length", "max_length": 40},
    {"padding": True, "truncation": True, "max_length": 16, "padding_side": "left"},
    {"padding": True, "pad_to_multiple_of": 8},
    {"add_special_tokens": False, "return_offsets_mapping": True},
    {"split_special_tokens": True},
]


def test_threads_do_not_see_each_other_s_settings(pairs: Any) -> None:
    tokenizer = pairs["uncased"].ours
    texts = [SENTENCE, LONG, *HOSTILE]
    calls = [(texts[i % len(texts) :] + texts[:1], options) for i in range(10) for options in SETTINGS] * 4
    expected = [copy.deepcopy(tokenizer)(batch, **options).data for batch, options in calls[:80]] * 4
    order = list(range(len(calls)))
    random.Random(0).shuffle(order)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda i: tokenizer(calls[i][0], **calls[i][1]).data, order))
    assert [results[at] == expected[i] for at, i in enumerate(order)] == [True] * len(calls)


def test_calls_leave_the_tokenizer_as_it_is(pairs: Any) -> None:
    tokenizer = pairs["uncased"].ours
    before = tokenizer.backend_tokenizer.to_str()
    for options in SETTINGS:
        tokenizer([SENTENCE, LONG], **options)
    assert tokenizer.backend_tokenizer.to_str() == before


def test_a_changed_backend_takes_effect(tokenizer: Any) -> None:
    from tokenizers import normalizers
    from tokenizers.processors import TemplateProcessing

    options = {"truncation": True, "max_length": 4, "padding": True}
    tokenizer("Hello [X] world", **options)
    tokenizer.backend_tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    assert tokenizer("Hello", **options).tokens()[1] == "[UNK]"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("$A [SEP]", special_tokens=[("[SEP]", 102)])
    assert tokenizer("a", **options).tokens() == ["a", "[SEP]"]
    tokenizer.add_tokens(["[X]"])
    assert tokenizer("[X]", **options).tokens() == ["[X]", "[SEP]"]


def test_copies(tokenizer: Any) -> None:
    tokenizer.add_tokens(["newtoken"])
    tokenizer.padding_side = "left"
    for made in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert made(["newtoken a", "b"], padding=True) == tokenizer(["newtoken a", "b"], padding=True)
        made.add_tokens(["onemoretoken"])
        assert len(made) == len(tokenizer) + 1
