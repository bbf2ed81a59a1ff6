"""Collators against the reference's: the same batches, types and random numbers."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import formers
from formers.errors import ArgumentError, FormersError, InputError

TEXTS = ["a fine film", "dull", "unbelievably well-acted performances , and a story that moves", "it is n't bad ."]


@pytest.fixture(scope="module")
def both(data: Path) -> tuple[Any, Any]:
    file = str(data / "bert-base-uncased-vocab.txt")
    return formers.BertTokenizerFast(file), transformers.BertTokenizer(file)


def seed() -> None:
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)


def same(found: Any, wanted: Any) -> None:
    assert [*found] == [*wanted]
    for name, value in wanted.items():
        assert type(found[name]) is type(value), name
        if isinstance(value, (torch.Tensor, np.ndarray)):
            assert found[name].dtype == value.dtype, name
            if value.dtype == torch.bfloat16:
                assert torch.equal(found[name], value)
                continue
            assert found[name].shape == value.shape, name
            assert np.array_equal(np.asarray(found[name]), np.asarray(value)), name
        else:
            assert found[name] == value, name


def compare(
    both: tuple[Any, Any],
    name: str,
    make: Callable[[], list[Any]],
    calls: int = 2,
    kinds: tuple[str, ...] = ("pt", "np"),
    **options: Any,
) -> Any:
    for kind in kinds:
        ours, theirs = (
            getattr(library, name)(tokenizer, **options, return_tensors=kind)
            for library, tokenizer in zip((formers, transformers), both, strict=True)
        )
        batches = []
        for collator in (ours, theirs):
            seed()
            batches.append([collator(make()) for _ in range(calls)])
        for found, wanted in zip(*batches, strict=True):
            same(found, wanted)
    return found


def encoded(tokenizer: Any, **options: Any) -> list[dict[str, Any]]:
    return [dict(tokenizer(text, **options)) for text in TEXTS]


PLAIN = [
    [{"label": i, "input_ids": [1, 2, i]} for i in range(3)],
    [{"label": i * 0.5, "input_ids": [1, 2, i], "text": "words", "x": None} for i in range(3)],
    [{"label": bool(i), "input_ids": [1.5, 2, i]} for i in range(3)],
    [{"label_ids": [0, 1, i], "input_ids": [True, False]} for i in range(3)],
    [{"label_ids": [0.5, 1, i], "label": None, "input_ids": [[1, 2], [3, 4]]} for i in range(3)],
    [{"label": [0, 1, 1], "input_ids": [1, i]} for i in range(3)],
    [{"label": np.int64(i), "input_ids": np.array([1, 2, i], np.int32), "w": np.float64(2.5)} for i in range(3)],
    [{"label": np.float32(i), "x": np.array([0.5, 1.5])} for i in range(3)],
]


@pytest.mark.parametrize("features", PLAIN)
def test_default(features: list[Any]) -> None:
    for kind in ("pt", "np"):
        same(formers.default_data_collator(features, kind), transformers.default_data_collator(features, kind))
        same(formers.DefaultDataCollator(kind)(features), transformers.DefaultDataCollator(kind)(features))


class Record:
    def __init__(self, i: int) -> None:
        self.label, self.ids = i, torch.tensor([1, i])


def test_default_of_tensors_and_objects() -> None:
    tensors = [
        {"label": torch.tensor(i), "label_ids": torch.tensor([i]), "x": torch.tensor([i, 1.0], dtype=torch.float64)}
        for i in range(3)
    ]
    for features in (tensors, [{k: v for k, v in f.items() if k != "label"} for f in tensors], [*map(Record, (1, 2))]):
        same(formers.default_data_collator(features), transformers.default_data_collator(features))


BAD: list[tuple[list[Any], str]] = [
    ([], "no features"),
    ([{"x": [1, 2]}, {"x": [1]}], r"x: feature 1 has the shape \(1,\), but feature 0 has \(2,\)"),
    ([{"x": [1, 2]}, {"y": [1]}], "Feature 1 has no 'x'"),
    ([{"label": "good"}, {"label": "bad"}], "label: feature 0 has 'good', which are no numbers"),
    ([{"label": 0}, {"label": 0.5}], "label of feature 1 is 0.5, but feature 0 has a whole number"),
    ([{"x": ["a", "b"]}, {"x": ["a", "b"]}], "x: feature 0 has"),
    ([{"x": [1, 2]}, {"x": [1, None]}], "x: feature 1 has"),
]


@pytest.mark.parametrize(("features", "message"), BAD)
def test_default_says_what_is_wrong(features: list[Any], message: str) -> None:
    for kind in ("pt", "np"):
        with pytest.raises(InputError, match=message):
            formers.default_data_collator(features, kind)


@pytest.mark.parametrize("options", [{}, {"pad_to_multiple_of": 8}, {"padding": "max_length", "max_length": 30}])
def test_padding(both: tuple[Any, Any], options: dict[str, Any]) -> None:
    rows = encoded(both[1])
    for name, labels in (("label", [0, 1, 1, 0]), ("label_ids", [[0.5]] * 4), ("labels", [1.5, 2.5, 0.0, 1.0])):
        compare(
            both,
            "DataCollatorWithPadding",
            lambda n=name, a=labels: [r | {n: x} for r, x in zip(rows, a, strict=True)],
            **options,
        )
    compare(both, "DataCollatorWithPadding", lambda: [{"input_ids": r["input_ids"]} for r in rows], **options)


def test_ids_as_tuples_arrays_and_tensors(both: tuple[Any, Any]) -> None:
    for kind in (tuple, np.array, torch.tensor):
        for columns in (["input_ids"], ["input_ids", "attention_mask", "token_type_ids"]):
            rows = [{name: kind(row[name]) for name in columns} | {"label": 1.5} for row in encoded(both[1])]
            rows = [rows[0], rows[0]] if kind is tuple else rows  # others fail there
            compare(both, "DataCollatorWithPadding", lambda x=rows: [dict(row) for row in x])
            compare(both, "DataCollatorForLanguageModeling", lambda x=rows: [dict(row) for row in x])
    scores = [{"x": torch.tensor([0.5 * i], dtype=torch.bfloat16)} for i in range(2)]
    same(formers.default_data_collator(scores), transformers.default_data_collator(scores))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("options", [{}, {"pad_to_multiple_of": 8}, {"label_pad_token_id": -1}])
def test_tokens_and_sequences(both: tuple[Any, Any], side: str, options: dict[str, Any]) -> None:
    for tokenizer in both:
        tokenizer.padding_side = side
    try:
        rows = encoded(both[1])
        for name in ("label", "labels"):
            long = [r | {name: [*range(len(r["input_ids"]))]} for r in rows]
            compare(both, "DataCollatorForTokenClassification", lambda x=long: x, **options)
            short = [r | {name: [*range(3 + i)]} for i, r in enumerate(rows)]
            compare(both, "DataCollatorForTokenClassification", lambda x=short: x[2:], **options)
            for kind in (list, np.array):
                other = [r | {name: kind([*range(3 + i)])} for i, r in enumerate(rows)]
                compare(both, "DataCollatorForSeq2Seq", lambda x=other: x, **options)
        compare(both, "DataCollatorForTokenClassification", lambda: rows, **options)
        compare(both, "DataCollatorForSeq2Seq", lambda: rows, **options)
        compare(both, "DataCollatorForSeq2Seq", lambda: [r | {"labels": None} for r in rows], **options)
        labelled = [r | {"labels": [1, 2]} for r in rows]
        compare(both, "DataCollatorForSeq2Seq", lambda: labelled, padding="max_length", max_length=30, **options)
        compare(both, "DataCollatorForSeq2Seq", lambda: labelled[:1], padding=False)
    finally:
        for tokenizer in both:
            tokenizer.padding_side = "right"


def test_decoder_inputs(both: tuple[Any, Any]) -> None:
    sizes = {"vocab_size": 99, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    ours = formers.T5ForConditionalGeneration(formers.T5Config(**sizes, decoder_start_token_id=0))
    theirs = transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes, decoder_start_token_id=0))
    rows = [{"input_ids": [1, 2, 3], "labels": [4, 5]}, {"input_ids": [1, 2], "labels": [6]}]
    found = formers.DataCollatorForSeq2Seq(both[0], ours)(rows)
    same(found, transformers.DataCollatorForSeq2Seq(both[1], theirs)(rows))
    arrays = formers.DataCollatorForSeq2Seq(both[0], ours, return_tensors="np")(rows)
    assert np.array_equal(arrays["decoder_input_ids"], found["decoder_input_ids"])


def test_multiple_choice(both: tuple[Any, Any]) -> None:
    for name in ("label", "labels"):
        rows = [{k: [v, v[:3]] for k, v in both[1](text).items()} | {name: i % 2} for i, text in enumerate(TEXTS)]
        compare(both, "DataCollatorForMultipleChoice", lambda x=rows: x, kinds=("pt",))
        arrays = formers.DataCollatorForMultipleChoice(both[0], return_tensors="np")(rows)
        same({k: torch.from_numpy(v) for k, v in arrays.items()}, formers.DataCollatorForMultipleChoice(both[0])(rows))
    found = formers.DataCollatorForMultipleChoice(both[0])([{"input_ids": [[1, 2], [3]]}])
    assert [*found] == ["input_ids", "attention_mask"]
    with pytest.raises(InputError, match="'input_ids' of feature 1 has 1 choices, but feature 0 has 2"):
        formers.DataCollatorForMultipleChoice(both[0])([{"input_ids": [[1], [3]]}, {"input_ids": [[1]]}])


LANGUAGE: list[dict[str, Any]] = [
    {},
    {"mlm": False},
    {"mlm_probability": 0.5, "pad_to_multiple_of": 16},
    {"mlm_probability": 0.9, "mask_replace_prob": 0.0, "random_replace_prob": 1.0},
    {"mlm_probability": 0.9, "mask_replace_prob": 1.0, "random_replace_prob": 0.0},
    {"mlm_probability": 0.9, "mask_replace_prob": 0.3, "random_replace_prob": 0.3, "seed": 5},
]


@pytest.mark.parametrize("options", LANGUAGE)
def test_language_modelling(both: tuple[Any, Any], options: dict[str, Any]) -> None:
    for asked in ({}, {"return_special_tokens_mask": True}):
        compare(both, "DataCollatorForLanguageModeling", lambda a=asked: encoded(both[1], **a), calls=3, **options)
    ids = [row["input_ids"] for row in encoded(both[1])]
    for kind in (list, np.array):
        compare(both, "DataCollatorForLanguageModeling", lambda k=kind: [k(row) for row in ids], **options)
    tensors = [torch.tensor(row) for row in ids]
    found = formers.DataCollatorForLanguageModeling(both[0], **options)
    wanted = transformers.DataCollatorForLanguageModeling(both[1], **options)
    seed()
    first = found(tensors)
    seed()
    same(first, wanted(tensors))


@pytest.mark.parametrize("side", ["right", "left"])
def test_whole_words(both: tuple[Any, Any], side: str) -> None:
    asked = {"return_special_tokens_mask": True, "return_offsets_mapping": True}
    for tokenizer in both:
        tokenizer.padding_side = side
    try:
        rows = [dict(row) for row in (both[1](t, padding="max_length", max_length=30, **asked) for t in TEXTS)]
        for more in ({}, {"seed": 3}):
            found = compare(
                both, "DataCollatorForLanguageModeling", lambda: rows, whole_word_mask=True, mlm_probability=0.5, **more
            )
            assert (found["labels"] != -100).any()
        ragged = [dict(both[1](t, **asked)) for t in TEXTS]
        seed()
        padded = formers.DataCollatorForLanguageModeling(both[0], True, True, 0.5)(ragged)
        seed()
        rows = [dict(row) for row in (both[1](t, padding="max_length", max_length=17, **asked) for t in TEXTS)]
        assert padded["input_ids"].shape == (4, 17)
        same(padded, formers.DataCollatorForLanguageModeling(both[0], True, True, 0.5)(rows))
    finally:
        for tokenizer in both:
            tokenizer.padding_side = "right"
    with pytest.raises(InputError, match="offset_mapping"):
        formers.DataCollatorForLanguageModeling(both[0], whole_word_mask=True)(encoded(both[0]))


def test_permutations(both: tuple[Any, Any]) -> None:
    ids = [both[1](t, padding="max_length", max_length=20)["input_ids"] for t in TEXTS]
    compare(both, "DataCollatorForPermutationLanguageModeling", lambda: [{"input_ids": row} for row in ids])
    compare(both, "DataCollatorForPermutationLanguageModeling", lambda: ids, plm_probability=0.5, max_span_length=2)
    with pytest.raises(InputError, match="19 tokens wide"):
        formers.DataCollatorForPermutationLanguageModeling(both[0])([row[:19] for row in ids])


FLAT: list[dict[str, Any]] = [
    {},
    {"return_position_ids": False, "separator_id": -1},
    {"return_flash_attn_kwargs": True, "return_seq_idx": True, "position_ids_start": 2},
]


@pytest.mark.parametrize("options", FLAT)
def test_flattening(options: dict[str, Any]) -> None:
    rows = [{"input_ids": [1, 2, 3]}, {"input_ids": [4]}, {"input_ids": [5, 6]}]
    for kind in ("pt", "np"):
        for to in (list, np.array, torch.tensor):
            for labelled in (False, True):
                features = [
                    {"input_ids": to(r["input_ids"])} | ({"labels": to(r["input_ids"])} if labelled else {})
                    for r in rows
                ]
                ours = formers.DataCollatorWithFlattening(kind, **options)
                same(ours(features), transformers.DataCollatorWithFlattening(kind, **options)(features))
        same(
            formers.DataCollatorWithFlattening()(rows, kind, 7),
            transformers.DataCollatorWithFlattening()(rows, kind, 7),
        )


# row and column of what is to be predicted: its id in the batch, and its label
DRAWN_PT = {(2, 6): (103, 2092), (2, 8): (103, 6051), (2, 15): (103, 5829), (3, 6): (103, 2919)}
DRAWN_NP = {(2, 6): (103, 2092), (2, 8): (103, 6051), (2, 15): (103, 5829), (3, 6): (103, 2919)}


def test_words_of_4x(both: tuple[Any, Any]) -> None:
    collator = formers.DataCollatorForWholeWordMask(both[0], True, 0.5)
    seed()
    batch = collator(encoded(both[0]))
    chosen = batch["labels"] != -100
    ids = torch.where(chosen, batch["labels"], batch["input_ids"])
    for row, picked in zip(ids.tolist(), chosen.tolist(), strict=True):
        tokens = both[0].convert_ids_to_tokens(row)
        for left, right, token in zip(picked, picked[1:], tokens[1:], strict=False):
            assert left == right or not token.startswith("##")
    # what Transformers 4.20.1 drew
    drawn = {"pt": DRAWN_PT, "np": DRAWN_NP}
    for kind, wanted in drawn.items():
        seed()
        batch = formers.DataCollatorForWholeWordMask(both[0], return_tensors=kind)(
            [row | {"chinese_ref": [2, 3]} for row in encoded(both[0])]
        )
        found = {place: (int(batch["input_ids"][place]), int(batch["labels"][place])) for place in wanted}
        assert found == wanted
        assert (batch["labels"] != -100).sum() == len(wanted)
    assert [*batch] == ["input_ids", "labels"]


def test_order_of_sentences(both: tuple[Any, Any]) -> None:
    rows = [r | {"sentence_order_label": torch.tensor(i)} for i, r in enumerate(encoded(both[0]))]
    seed()
    batch = formers.DataCollatorForSOP(both[0], mlm_probability=0.9)(rows)
    assert [*batch] == ["input_ids", "labels", "attention_mask", "token_type_ids", "sentence_order_label"]
    assert torch.equal(batch["attention_mask"] == 0, batch["labels"] != -100)
    assert batch["sentence_order_label"].tolist() == [0, 1, 2, 3]
    assert batch["attention_mask"].eq(0).any()


def test_says_what_is_wrong(both: tuple[Any, Any]) -> None:
    tokenizer = both[0]
    cases: list[tuple[Any, list[Any], str]] = [
        (
            "DataCollatorForTokenClassification",
            [{"input_ids": [1, 2], "labels": [1, 2, 3]}],
            "Feature 0 has 3 labels and 2",
        ),
        (
            "DataCollatorForTokenClassification",
            [{"input_ids": [1, 2], "labels": [0.5, 1]}],
            "entry 0 of feature 0 is 0.5",
        ),
        ("DataCollatorForTokenClassification", [{"input_ids": [1], "labels": ["a"]}], "entry 0 of feature 0 is 'a'"),
        ("DataCollatorForTokenClassification", [{"input_ids": [1], "labels": 3}], "labels of feature 0 is 3"),
        (
            "DataCollatorForTokenClassification",
            [{"input_ids": [1], "labels": [3]}, {"input_ids": [1]}],
            "Feature 1 has no",
        ),
        (
            "DataCollatorForSeq2Seq",
            [{"input_ids": [1], "labels": [3]}, {"input_ids": [1], "labels": None}],
            "feature 1 is None",
        ),
        ("DataCollatorForSeq2Seq", [{"input_ids": [1], "labels": "text"}], "labels of feature 0 is 'text'"),
        ("DataCollatorWithPadding", [{"input_ids": [1], "text": "words"}], "'?text'?"),
        ("DataCollatorWithPadding", [], "no features"),
        (
            "DataCollatorWithPadding",
            [{"input_ids": [1, 2], "labels": [1, 2]}, {"input_ids": [1], "labels": [1]}],
            "labels of feature 1 are 1, but of feature 0 2.*DataCollatorForTokenClassification",
        ),
        ("DataCollatorForSeq2Seq", [{"input_ids": [1]}, [1, 2]], "Feature 1 is a list"),
        ("DataCollatorForPermutationLanguageModeling", [{"x": [1]}], "Feature 0 has no 'input_ids'. It has 'x'"),
        ("DataCollatorForMultipleChoice", [{"input_ids": [[1], [2]], "label": 0.5}], "entry 0 of feature 0 is 0.5"),
        ("DataCollatorForLanguageModeling", [["a"]], "entry 0 of feature 0 is 'a'"),
    ]
    for name, features, message in cases:
        with pytest.raises(FormersError, match=message):
            getattr(formers, name)(tokenizer)(features)
    with pytest.raises(InputError, match="Feature 1 has 0 input_ids and 0 labels"):
        formers.DataCollatorWithFlattening()([{"input_ids": [1]}, {"input_ids": []}])
    with pytest.raises(InputError, match="3 entries, but the batch is 2 wide"):
        formers.DataCollatorForSeq2Seq(tokenizer, padding="max_length", max_length=2)(
            [{"input_ids": [1], "labels": [1, 2, 3]}]
        )
    for wrong in (
        {"mlm_probability": 2.0},
        {"mask_replace_prob": 0.9, "random_replace_prob": 0.2},
        {"random_replace_prob": -1},
        {"mlm": False, "whole_word_mask": True},
        {"tf_experimental_compile": True},
    ):
        with pytest.raises(ArgumentError):
            formers.DataCollatorForLanguageModeling(tokenizer, **wrong)


def test_tokens_that_are_missing(data: Path) -> None:
    tokenizer = formers.BertTokenizerFast(str(data / "bert-base-uncased-vocab.txt"))
    tokenizer.pad_token = None
    for name in ("DataCollatorWithPadding", "DataCollatorForLanguageModeling"):
        with pytest.raises(FormersError, match="padding token"):
            getattr(formers, name)(tokenizer)([{"input_ids": [1, 2]}, {"input_ids": [1]}])
    with pytest.raises(FormersError, match="padding token"):
        formers.DataCollatorForLanguageModeling(tokenizer)([[1, 2], [1]])
    assert formers.DataCollatorForLanguageModeling(tokenizer, mlm=False)([[1, 2], [3, 4]])["labels"].tolist() == [
        [1, 2],
        [3, 4],
    ]
    tokenizer.mask_token = None
    with pytest.raises(InputError, match="mlm=False"):
        formers.DataCollatorForLanguageModeling(tokenizer)


def test_third_argument_of_4x(both: tuple[Any, Any]) -> None:
    collator = formers.DataCollatorForLanguageModeling(both[0], True, 0.4)
    assert (collator.mlm_probability, collator.whole_word_mask) == (0.4, False)


def test_workers(both: tuple[Any, Any]) -> None:
    rows = encoded(both[0]) * 4
    collator = formers.DataCollatorForLanguageModeling(both[0], mlm_probability=0.5, seed=3)
    wanted = transformers.DataCollatorForLanguageModeling(both[1], mlm_probability=0.5, seed=3)
    for context in ("fork", "spawn"):
        loaders = [
            torch.utils.data.DataLoader(
                rows, 4, collate_fn=c, num_workers=2, multiprocessing_context=context if c is collator else "fork"
            )
            for c in (collator, wanted)
        ]
        for found, expected in zip(*loaders, strict=True):
            assert torch.equal(found["labels"], expected["labels"])
    collator(rows[:4])  # its own generator, which workers do not share
    labels = [batch["labels"] for batch in torch.utils.data.DataLoader(rows, 4, collate_fn=collator, num_workers=2)]
    assert not torch.equal(labels[0], labels[1])
    for name in ("DataCollatorWithPadding", "DataCollatorForSeq2Seq", "DataCollatorForPermutationLanguageModeling"):
        assert type(pickle.loads(pickle.dumps(getattr(formers, name)(both[0])))).__name__ == name


def test_overridden(both: tuple[Any, Any]) -> None:
    class Own(formers.DataCollatorForLanguageModeling):  # type: ignore[misc]
        def torch_mask_tokens(self, inputs: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
            return inputs, inputs.clone()

    batch = Own(both[0])(encoded(both[0]))
    assert torch.equal(batch["labels"], batch["input_ids"])
