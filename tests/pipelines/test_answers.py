"""question-answering: what release 4.20 answered, and what it has to be given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import goldens
import pytest
from goldens import answers
from pipelines.conftest import Make
from torch.utils.data import Dataset

import formers
from formers import pipeline
from formers.errors import ArgumentError, InputError

GOLDENS = json.loads((Path(goldens.__file__).parent / "answers-4.20.json").read_text())
ASKED = {"question": "what was good?", "context": "The film, a story of Paris, was good."}


@pytest.fixture(scope="module")
def pipe() -> Any:
    vocabulary = {token: number for number, token in enumerate(answers.VOCABULARY)}
    tokenizer = formers.BertTokenizer(vocabulary, model_max_length=answers.LIMIT)
    return pipeline("question-answering", model=answers.model_of(formers), tokenizer=tokenizer)


@pytest.mark.parametrize("option", answers.OPTIONS)
def test_what_release_4_20_answered(pipe: Any, option: str) -> None:
    examples = answers.examples(option)
    for example, found, expected in zip(
        examples, pipe(examples, **answers.OPTIONS[option]), GOLDENS[option], strict=True
    ):
        found = found if isinstance(found, list) else [found]
        assert [answer["score"] for answer in found] == pytest.approx([row[0] for row in expected], abs=1e-5)
        assert [[answer[name] for name in ("start", "end", "answer")] for answer in found] == (
            [row[1:] for row in expected]
        ), example
        for answer in found:
            assert example["context"][answer["start"] : answer["end"]] == answer["answer"]


def test_forms_of_asking(pipe: Any) -> None:
    found = pipe(ASKED)
    question, context = ASKED["question"], ASKED["context"]
    assert (
        pipe(question=question, context=context) == pipe([ASKED]) == pipe(question, context) == pipe(X=ASKED) == found
    )
    assert pipe([ASKED, ASKED]) == pipe(question=[question] * 2, context=context) == [found] * 2
    assert pipe(question=question, context=[context] * 2) == pipe(ASKED, ASKED) == [found] * 2
    assert list(pipe(ASKED for _ in range(3))) == [found] * 3

    class Rows(Dataset[Any]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            if index > 1:
                raise IndexError
            return ASKED

    assert list(pipe(Rows())) == [found] * 2


def test_parts_of_words(pipe: Any) -> None:
    example = {"question": "who?", "context": "abcdef ghijk lmnop"}
    for answer in pipe(example, top_k=20):
        assert answer["answer"] in ("abcdef", "ghijk", "lmnop", "abcdef ghijk", "ghijk lmnop", example["context"])
    parts = [answer["answer"] for answer in pipe(example, top_k=20, align_to_words=False)]
    assert any(part not in example["context"].split() and " " not in part for part in parts)


def test_what_cannot_be(pipe: Any, classifier_folder: Path, make: Make) -> None:
    for options in ({"top_k": 0}, {"max_answer_len": 0}, {"stride": 3}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            pipe(ASKED, **options)
    for given, message in (({}, "Nothing was asked"), ({"question": "a"}, "belong together")):
        with pytest.raises(ArgumentError, match=message):
            pipe(**given)
    with pytest.raises(ArgumentError, match="2 questions and 3 contexts"):
        pipe(question=["a"] * 2, context=["b"] * 3)
    with pytest.raises(InputError, match=r"inputs\[1\]: its context is ''"):
        pipe([ASKED, {"question": "a", "context": ""}])
    with pytest.raises(InputError, match=r"The input: the question .* doc_stride=60"):
        pipe(ASKED["question"], ASKED["context"] * 20, doc_stride=60)
    model = pipeline("text-classification", model=classifier_folder)
    with pytest.raises(InputError, match="AutoModelForQuestionAnswering"):
        pipeline("question-answering", model=model.model)(ASKED)


def test_squad_examples(make: Make) -> None:
    pipe = pipeline("question-answering", model=make("BertForQuestionAnswering", max_position_embeddings=200))
    question, context = "is it good", "it is  a\tgood film"
    sample = pipe.create_sample(question, context)
    assert isinstance(sample, formers.SquadExample)
    assert (sample.doc_tokens, sample.char_to_word_offset[:5]) == (["it", "is", "a", "good", "film"], [0, 0, 0, 1, 1])
    expected = pipe(question=question, context=context)
    assert pipe(sample) == pipe([sample]) == pipe(pipe.create_sample([question], [context])) == expected
    assert pipe(pipe.create_sample([question] * 2, context)) == [expected] * 2
    known = formers.SquadExample("1", question, context, "good film", 9, None)
    assert (known.start_position, known.end_position) == (3, 4)
