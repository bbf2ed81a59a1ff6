"""Words with their boxes, beside the reference: LayoutLMv3's tokenizer."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import ByteLevelBPETokenizer

import formers
from formers.optimize.sample import SAMPLE

WORDS = [
    *(
        "Total",
        "due:",
        "12.50€",
        "",
        "  ",
        " ",
        "a b",
        "naïve",
        "日本語",
        "😀👩‍👩‍👧",
        "\u200b",
        "x" * 40,
        "-",
        "“quoted”",
    ),
    *("<s>", "</s>", "<pad>", "<mask>", "a <mask> b", "<unk>", "\n", "\t", "\u0301"),
]
QUESTIONS = ["what is the total?", "", "  ", "who 😀 signs <mask> here", "Total"]
BOXES = {"cls_token_box": [1, 2, 3, 4], "sep_token_box": [1000] * 4, "pad_token_box": [5, 6, 7, 8]}
FORMS: list[dict[str, Any]] = [{}, BOXES, {**BOXES, "pad_token_label": -7, "only_label_first_subword": False}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boxed")
    learned = ByteLevelBPETokenizer()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learned.train_from_iterator([*SAMPLE, *WORDS], vocab_size=600, min_frequency=2, special_tokens=names)
    learned.save_model(str(folder))
    return folder


def both(folder: Path, **options: Any) -> tuple[Any, Any]:
    files = [str(folder / name) for name in ("vocab.json", "merges.txt")]
    mask = transformers.AddedToken("<mask>", lstrip=True, special=True)
    theirs = transformers.LayoutLMv3Tokenizer(vocab=files[0], merges=files[1], mask_token=mask, **options)
    return formers.LayoutLMv3Tokenizer(*files, **options), theirs


def drawn(rng: random.Random) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call: a page or several, with a question or without, cut and padded in some way."""
    batched, paired, options = rng.random() < 0.6, rng.random() < 0.5, dict[str, Any]()
    pages = [[rng.choice(WORDS) for _ in range(rng.randint(1, 9))] for _ in range(rng.randint(1, 4) if batched else 1)]
    boxes = [[[rng.randint(0, 1000) for _ in range(4)] for _ in page] for page in pages]
    labels = [[rng.randint(0, 9) for _ in page] for page in pages]
    if rng.random() < 0.6:
        options["truncation"] = rng.choice([True, "only_second"] if paired else [True, "only_first"])
        options["max_length"] = rng.choice([12, 16, 33])
        if rng.random() < 0.5:
            options |= {"return_overflowing_tokens": True, "stride": rng.choice([0, 1])}
    if rng.random() < 0.6:
        options |= {"padding": rng.choice([True, "max_length"] if "max_length" in options else [True])}
        options |= {"padding_side": rng.choice(["left", "right"])}
    for name in ("offsets_mapping", "special_tokens_mask", "token_type_ids"):
        options |= {f"return_{name}": True} if rng.random() < 0.3 else {}
    given = {"boxes": boxes if batched else boxes[0], **options}
    if not paired and rng.random() < 0.5:  # of a question's tokens, the reference takes the labels of the words
        given["word_labels"] = labels if batched else labels[0]
    asked = [rng.choice(QUESTIONS) for _ in pages]
    words: Any = pages if batched else pages[0]
    return ([asked if batched else asked[0], words] if paired else [words]), given


@pytest.mark.parametrize("options", FORMS)
def test_beside_the_reference(folder: Path, options: dict[str, Any]) -> None:
    ours, theirs = both(folder, **options)
    rng, compared = random.Random(0), 0
    for _ in range(300):
        args, given = drawn(rng)
        try:
            expected = theirs(*args, **given)
        except BaseException:  # what does not fit: a panic of the library there
            with pytest.raises(formers.FormersError):
                ours(*args, **given)
            continue
        got = ours(*args, **given)
        assert [*got] == [*expected]
        for name in got:
            assert _lists(got[name]) == _lists(expected[name]), (name, args, given)
        compared += 1
    assert compared > 200


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def test_a_question_has_no_labels(folder: Path) -> None:
    ours, _ = both(folder)
    found = ours("what is due?", ["Total", "due"], boxes=[[1] * 4, [2] * 4], word_labels=[3, 4])
    both_of = list(zip(found["labels"], found.sequence_ids(0), strict=True))
    assert {x for x, of in both_of if of == 1} >= {3, 4} and {x for x, of in both_of if of != 1} == {-100}


def test_files_and_padding(folder: Path, tmp_path: Path) -> None:
    ours, _ = both(folder, **FORMS[2])
    ours.save_pretrained(tmp_path)
    again = formers.AutoTokenizer.from_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is formers.LayoutLMv3Tokenizer and again.sep_token_box == [1000] * 4
    pages, boxes, labels = [["Total", "due:"], ["naïve"]], [[[1] * 4, [2] * 4], [[3] * 4]], [[1, 2], [3]]
    rows = [again(*page) for page in zip(pages, [None] * 2, boxes, labels, strict=True)]
    found = again.pad([dict(row) for row in rows], return_tensors="pt")
    whole = theirs(pages, boxes=boxes, word_labels=labels, padding=True, return_tensors="pt")
    assert all(found[name].tolist() == whole[name].tolist() for name in whole)


@pytest.mark.parametrize(
    ("args", "given", "said"),
    [
        (("a text",), {"boxes": [[0] * 4]}, "text is a str; .*question, words"),
        ((["a", "b"],), {}, "boxes= is missing"),
        ((["a", "b"],), {"boxes": [[0] * 4]}, "boxes is of 1 words, and there are 2"),
        (([["a"], ["b"]],), {"boxes": [[[0] * 4]]}, "of 1 pages, and the words are of 2"),
        (([["a"], ["b"]],), {"boxes": [[[0] * 4], []]}, r"boxes\[1\] is of 0 words, and there are 1"),
        ((["a"],), {"boxes": [[0, 0.5, 1, 1]]}, r"boxes\[0\] is \[0, 0.5, 1, 1\]; a box is four integers"),
        (([["a"], ["b"]],), {"boxes": [[[0] * 4], [[0] * 5]]}, r"boxes\[1\]\[0\] is"),
        ((["a"],), {"boxes": [[0] * 4], "word_labels": [1, 2]}, "word_labels is of 2 words"),
        ((5, ["a"]), {"boxes": [[0] * 4]}, "question, a string"),
        ((["q"], [["a"]]), {"boxes": [[[0] * 4]], "paddin": True}, "paddin.*padding"),
    ],
)
def test_what_does_not_fit(args: Any, given: dict[str, Any], said: str, folder: Path) -> None:
    with pytest.raises(formers.FormersError, match=f"(?s){said}"):
        both(folder)[0](*args, **given)
