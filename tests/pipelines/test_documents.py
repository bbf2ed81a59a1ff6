"""document-question-answering: answers are the reference's, and what cannot be read says so."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers
from page_folders import page, play_tesseract, write_layoutlm, write_layoutlmv3
from PIL import Image
from pipelines.test_images import near
from torch.utils.data import Dataset

import formers
from formers import pipeline
from formers.errors import ArgumentError, ConfigError, HeadError, InputError, NotFoundError

TASK = "document-question-answering"
KINDS = ("layoutlm", "layoutlm with RoBERTa's tokenizer", "layoutlmv3")
ASKED = {"question": "What is due?", "word_boxes": page(8)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    made = [tmp_path_factory.mktemp("page") for _ in KINDS]
    found = (
        write_layoutlm(made[0]),
        write_layoutlm(made[1], byte_level=True),
        write_layoutlmv3(made[2], apply_ocr=False),
    )
    return dict(zip(KINDS, found, strict=True))


@pytest.fixture(scope="module")
def pipe(folders: dict[str, str]) -> Any:
    return pipeline(TASK, model=folders["layoutlm"])


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scan") / "page.png"
    Image.linear_gradient("L").resize((60, 47)).save(path)
    return str(path)


def cases(count: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Pages of all lengths, up to several windows, and options."""
    draw = random.Random(3)
    questions = ("What is due?", "name", "", "who  owns it")
    choices: dict[str, tuple[Any, ...]] = {
        "top_k": (1, 2, 10), "doc_stride": (0, 4, 12), "max_answer_len": (1, 3, 40), "max_seq_len": (50, 60),
        "handle_impossible_answer": (True, False), "padding": ("max_length", True),
    }  # fmt: skip
    for seed in range(count):
        options = {name: draw.choice(values) for name, values in choices.items() if draw.random() < 0.5}
        yield {"question": draw.choice(questions), "word_boxes": page(draw.choice([1, 6, 30, 90]), seed)}, options


@pytest.mark.parametrize("kind", KINDS)
def test_answers(folders: dict[str, str], kind: str) -> None:
    ours, theirs = pipeline(TASK, model=folders[kind]), transformers.pipeline(TASK, model=folders[kind])
    several = 0
    for asked, options in cases(25):
        got, expected = ours(asked, **options), theirs(asked, **options)
        assert near(got, expected), (asked["question"], options)
        several += len(ours.preprocess(asked)["parts"]) > 1
        for answer in got:
            if answer["answer"]:
                words = [word for word, _ in asked["word_boxes"]][answer["start"] : answer["end"] + 1]
                assert answer["answer"] == " ".join(words)
    assert several > 5


def test_usual_overlap(tmp_path: Path) -> None:
    """Half of a window, and no more than 256 tokens."""
    folder = write_layoutlm(tmp_path, positions=600)
    ours, theirs = pipeline(TASK, model=folder), transformers.pipeline(TASK, model=folder)
    asked = {"question": "What?", "word_boxes": page(400)}
    assert near(ours(asked, top_k=20), theirs(asked, top_k=20))
    assert ours.preprocess(asked)["input_ids"].shape[1] > 1200


def test_forms_of_asking(pipe: Any, scan: str) -> None:
    found = pipe(ASKED)
    question, words = ASKED["question"], ASKED["word_boxes"]
    assert pipe(None, question, words) == pipe(question=question, word_boxes=words) == found
    assert pipe(scan, question, words) == pipe(image=scan, question=question, word_boxes=words) == found
    assert pipe({**ASKED, "image": None}) == found
    assert pipe([ASKED] * 2) == pipe(None, [question] * 2, words) == pipe([scan] * 2, question, words) == [found] * 2
    assert near(list(pipe(ASKED for _ in range(3))), [found] * 3)
    assert near(pipe([ASKED, {**ASKED, "word_boxes": page(60)}], batch_size=2)[:1], [found])

    class Rows(Dataset[Any]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return ASKED

    assert near(list(pipe(Rows())), [found] * 2)
    assert pipe({**ASKED, "word_boxes": []}) == []
    assert [one["answer"] for one in pipe({**ASKED, "word_boxes": []}, handle_impossible_answer=True)] == [""]


def test_no_more_answers_than_there_are(pipe: Any) -> None:
    """Where more are asked for, spans that end before they start are none."""
    found = pipe({**ASKED, "word_boxes": [("ab", [1, 2, 3, 4]), ("c", [1, 2, 3, 4])]}, top_k=1000)
    assert len(found) == 6 and all(one["start"] <= one["end"] and one["answer"] for one in found)


def test_words_that_are_read(folders: dict[str, str], scan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = play_tesseract(monkeypatch)
    for kind in KINDS:
        ours, theirs = pipeline(TASK, model=folders[kind]), transformers.pipeline(TASK, model=folders[kind])
        for given in (scan, Image.open(scan)):
            for options in ({}, {"lang": "deu", "tesseract_config": "--psm 6", "top_k": 3}):
                expected = theirs(image=given, question="What?", **options)
                assert near(ours(image=given, question="What?", **options), expected)
                # nothing of the language in the reference is nothing of it here
                assert (
                    asked[-1]
                    == asked[-2]
                    == (options.get("lang"), options.get("tesseract_config", ""), (60, 47), "RGB")
                )
        assert near(ours([scan] * 2, "What?"), [ours(scan, "What?")] * 2)
    asked.clear()
    assert ours(scan, "What?", ASKED["word_boxes"]) and not asked


def test_what_the_image_processor_says_of_reading(tmp_path: Path, scan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = play_tesseract(monkeypatch)
    folder = write_layoutlmv3(tmp_path, apply_ocr=True, ocr_lang="fra", tesseract_config="--oem 1")
    ours, theirs = pipeline(TASK, model=folder), transformers.pipeline(TASK, model=folder)
    assert near(ours(scan, "What?"), theirs(image=scan, question="What?"))
    assert asked[0] == asked[1] == ("fra", "--oem 1", (60, 47), "RGB")
    ours(scan, "What?", lang="deu", tesseract_config="")
    assert asked[2][:2] == ("deu", "")
    again = tmp_path / "again"
    ours.save_pretrained(again)
    assert pipeline(TASK, model=again).image_processor.ocr_lang == "fra"


def test_without_tesseract(pipe: Any, scan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytesseract", None)
    with pytest.raises(ImportError, match=r"word_boxes=.*pip install pytesseract"):
        pipe(scan, "What?")
    play_tesseract(monkeypatch)
    played: Any = sys.modules["pytesseract"]
    for error, said in (("TesseractNotFoundError", r"apt install.*word_boxes="), ("TesseractError", "--list-langs")):

        def fail(*_: Any, error: str = error, **__: Any) -> None:
            raise getattr(played, error)("no")

        monkeypatch.setattr(played, "image_to_data", fail)
        with pytest.raises(ArgumentError, match=said):
            pipe(scan, "What?")


WORD = ("a", [0, 0, 1, 2])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("page.png", "'page.png'; give"),
        ({"word_boxes": [WORD]}, '"question": '),
        ({"question": 5, "word_boxes": [WORD]}, "its question is 5"),
        ({"question": "What?"}, "neither an image nor words"),
        (
            {"question": "What?", "image": "nowhere.png", "word_boxes": [WORD]},
            "its image: There is no file 'nowhere.png'",
        ),
        ({"question": "What?", "word_boxes": "a b"}, "a list of .word, box. is needed"),
        ({"question": "What?", "word_boxes": [WORD, "b"]}, r"word_boxes\[1\] is 'b'; a word with its box"),
        ({"question": "What?", "word_boxes": [(3, WORD[1])]}, r"word_boxes\[0\] is 3; a text"),
        ({"question": "What?", "word_boxes": [("a", [0, 1, 2])]}, r"word_boxes\[0\] is \[0, 1, 2\]; a box is four"),
        ({"question": "What?", "word_boxes": [("a", [0, 0, 0.5, 1])]}, r"word_boxes\[0\] is .*four integers"),
        ({"question": "What?", "word_boxes": [WORD, ("b", [0, 0, 1, 1024])]}, r"word_boxes\[1\], 'b', is at .*1024"),
        ({"question": "What?", "word_boxes": [("b", [9, 0, 1, 10])]}, r"\[9, 0, 1, 10\].*x0 ≤ x1"),
        ({"question": "What? " * 30, "word_boxes": page(40)}, "leaves 0 of max_seq_len=64"),
    ],
)
def test_what_cannot_be_used(pipe: Any, asked: Any, said: str) -> None:
    with pytest.raises((InputError, NotFoundError), match=said):
        pipe(asked)
    good, bad = pipe([ASKED, asked], on_error="return")
    assert near(good, pipe(ASKED)) and isinstance(bad, InputError | NotFoundError)
    assert "inputs[1]" in str(bad)


def test_arguments_that_do_not_fit(pipe: Any, scan: str) -> None:
    for call in (lambda: pipe(), lambda: pipe(Image.open(scan)), lambda: pipe(ASKED, word_boxes=[WORD])):
        with pytest.raises(ArgumentError, match="Nothing was asked"):
            call()
    for options, said in (
        ({"top_k": 0}, "top_k=0"),
        ({"max_answer_len": 0}, "max_answer_len=0"),
        ({"topk": 2}, "no argument 'topk'"),
    ):
        with pytest.raises(ArgumentError, match=said):
            pipe(ASKED, **options)
    with pytest.raises(InputError, match="doc_stride=60"):
        pipe({**ASKED, "word_boxes": page(40)}, doc_stride=60)


def test_models_that_do_not_fit(folders: dict[str, str], tmp_path: Path) -> None:
    tokenizer = formers.AutoTokenizer.from_pretrained(folders["layoutlm"])
    tiny = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
    plain = formers.BertForQuestionAnswering(formers.BertConfig(**tiny))
    with pytest.raises(HeadError, match=r"bbox.*Donut"):
        pipeline(TASK, model=plain, tokenizer=tokenizer)
    unfit = formers.LayoutLMForMaskedLM(formers.LayoutLMConfig(**tiny))
    with pytest.raises(HeadError, match="no logits per word"):
        pipeline(TASK, model=unfit, tokenizer=tokenizer)(ASKED)
    (tmp_path / "config.json").write_text(
        '{"model_type": "vision-encoder-decoder", "encoder": {"model_type": "donut-swin"}, "decoder": {"model_type": '
        '"mbart"}}'
    )
    with pytest.raises(ConfigError, match="donut-swin"):
        pipeline(TASK, model=str(tmp_path))


def test_the_task_is_the_models(folders: dict[str, str]) -> None:
    for kind in KINDS:
        pipe = pipeline(model=folders[kind])
        assert pipe.task == TASK and (pipe.image_processor is None) == (kind != "layoutlmv3")
        fused = pipeline(TASK, model=folders[kind], optimize="float32")
        assert fused.model.optimized.mode == "float32" and near(fused(ASKED), pipe(ASKED))
    made = formers.LayoutLMv3ForQuestionAnswering(formers.LayoutLMv3Config(**pipe.model.config.to_diff_dict()))
    assert pipeline(TASK, model=made, tokenizer=pipe.tokenizer).image_processor is None
