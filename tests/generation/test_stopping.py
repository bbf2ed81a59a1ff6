"""When a text is done, beside the reference."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizers import KINDS, tokenizer
from torch import Tensor
from transformers import generation

import formers
from formers.errors import InputError
from formers.generation.stopping import validate_stopping_criteria

IDS = torch.tensor([[5, 2, 3, 4], [5, 3, 4, 2], [2, 2, 2, 1]])
SCORES = (torch.zeros(3, 6), torch.arange(18.0).view(3, 6) / 9)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MaxLengthCriteria", (4,)),
        ("MaxLengthCriteria", (5, 3)),
        ("MaxTimeCriteria", (60.0,)),
        ("MaxTimeCriteria", (60.0, 5.0)),
        ("EosTokenCriteria", (2,)),
        ("EosTokenCriteria", ([1, 2],)),
        ("EosTokenCriteria", (torch.tensor([4, 1]),)),
    ],
)
def test_beside_the_reference(name: str, arguments: tuple[Any, ...]) -> None:
    for rows in (1, 2, 3):
        ours = getattr(formers, name)(*arguments)(IDS[:rows], SCORES)
        theirs = getattr(generation, name)(*arguments)(IDS[:rows], SCORES)
        assert ours.dtype == torch.bool and torch.equal(ours, theirs)


def test_several_new_tokens_at_once() -> None:
    ours, theirs = (m.EosTokenCriteria(2)(IDS, None, new_token_length=3) for m in (formers, generation))
    assert torch.equal(ours, theirs)


def test_confidence() -> None:
    for bar in (0.1, 0.2, 0.9):
        ours = formers.ConfidenceCriteria(bar)(IDS, SCORES)
        theirs = [generation.ConfidenceCriteria(bar)(IDS[[b]], tuple(s[[b]] for s in SCORES)) for b in range(3)]
        assert ours.tolist() == theirs


def test_lists() -> None:
    class Own(transformers.StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> bool:  # as in 4.20
            return bool(input_ids[0, 0] == 7)

    criteria = formers.StoppingCriteriaList(
        [
            formers.EosTokenCriteria(2),
            Own(),
            lambda input_ids, scores: input_ids[:, -1] == 1,
            formers.MaxLengthCriteria(9),
        ]
    )
    assert criteria(IDS, None).tolist() == [False, True, True]
    assert criteria(torch.full((2, 3), 7), None).tolist() == [True, True]
    assert criteria.max_length == 9 and formers.StoppingCriteriaList().max_length is None
    assert formers.StoppingCriteriaList([formers.MaxNewTokensCriteria(3, 4)]).max_length == 7
    assert (
        formers.MaxNewTokensCriteria(3, 1)(IDS, None).all() and not formers.MaxNewTokensCriteria(3, 2)(IDS, None).any()
    )
    with pytest.raises(InputError, match="shape \\(2,\\) for 3 texts"):
        formers.StoppingCriteriaList([lambda *_: torch.ones(2)])(IDS, None)
    with pytest.raises(NotImplementedError):
        formers.StoppingCriteria()(IDS, None)
    assert validate_stopping_criteria(formers.StoppingCriteriaList(), 8).max_length == 8
    assert validate_stopping_criteria(criteria, 9).max_length == 9 and len(criteria) == 4


def test_time_goes_by() -> None:
    criterion = formers.MaxTimeCriteria(0.05)
    assert not criterion(IDS, None).any()
    time.sleep(0.06)
    assert criterion(IDS, None).all()


# ---- strings


def stops(kind: str, strings: str | list[str], *texts: list[int]) -> list[bool]:
    """Of the ids of texts, whether each stops at its last token."""
    criterion = formers.StopStringCriteria(tokenizer(kind), strings)
    return [bool(criterion(torch.tensor([ids]), None)) for ids in texts]


def ids_of(kind: str, text: str) -> list[int]:
    ids: list[int] = tokenizer(kind)(text, add_special_tokens=False).input_ids
    return ids


def test_strings_in_tokens() -> None:
    ids = ids_of("bytes", "the stop")  # "the", " stop"
    other = ids_of("bytes", "h")
    for strings in ("stop", "e st", ["x", " s"], "p", "the stop"):
        assert stops("bytes", strings, ids, [*ids, *other], ids[:1]) == [True, False, False], strings
    assert stops("bytes", "the", ids, ids[:1]) == [False, True]
    assert stops("words", ["the st"], [1, 2], [1, 2, 3], [1, 1]) == [True, False, False]


def test_a_character_of_several_tokens() -> None:
    for kind in ("bytes", "fallback"):
        ids = list("né你".encode()) if kind == "fallback" else ids_of(kind, "né你")
        assert len(ids) == 6
        assert stops(kind, "é", *(ids[: n + 1] for n in range(6))) == [False, False, True, False, False, False]
        assert stops(kind, "é你", *(ids[: n + 1] for n in range(6))) == [False] * 5 + [True]


def test_rows_are_looked_at_each() -> None:
    criterion = formers.StopStringCriteria(tokenizer("bytes"), ["stop", "n"])
    texts = ["the stop", "stop the", "then"]
    rows = [ids_of("bytes", text)[-2:] for text in texts]
    assert criterion(torch.tensor(rows), None).tolist() == [True, False, True]


@given(st.data(), st.sampled_from(["bytes", "fallback"]))
def test_strings_beside_the_reference(data: st.DataObject, kind: str) -> None:
    """At each length of a text, of plain letters and tokens of several."""
    count = len(KINDS[kind]().get_vocab())
    letters = ids_of("bytes", "sthop") if kind == "bytes" else list(range(260, 267))
    ids = data.draw(st.lists(st.sampled_from([*letters, *range(max(257, count - 9), count)]), min_size=1, max_size=12))
    strings = data.draw(st.lists(st.text("sthope ", min_size=1, max_size=5), min_size=1, max_size=2))
    own = formers.StopStringCriteria(tokenizer(kind), strings)
    try:
        theirs = generation.StopStringCriteria(tokenizer(kind, transformers.PreTrainedTokenizerFast), strings)
    except ValueError:  # a string that no token of theirs can end
        return
    for n in range(1, len(ids) + 1):
        rows = torch.tensor([ids[:n]])
        text = tokenizer(kind).decode(ids[:n], clean_up_tokenization_spaces=False)
        if not text.startswith(" ") and kind == "fallback" and strings[0].startswith(" "):
            continue  # the text's first space, which is not decoded
        assert bool(own(rows, None)) == bool(theirs(rows, None)), (ids[:n], text, strings)


def test_strings_that_cannot_be_looked_for() -> None:
    with pytest.raises(InputError, match="tokenizer=tokenizer"):
        formers.StopStringCriteria(None, "a")
    for strings in ([], "", ["a", ""], [1]):
        with pytest.raises(InputError, match="none of them empty"):
            formers.StopStringCriteria(tokenizer("bytes"), strings)
