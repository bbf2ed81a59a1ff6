"""Views of notebooks: what they say, what they keep small, that hostile text stays text, and that they can be seen."""

from __future__ import annotations

import html as html_
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import drawn, is_blank, needs_chromium, picture

import formers
from formers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BatchEncoding,
    BertConfig,
    BertForMaskedLM,
    FormersError,
    pipeline,
    visualize,
)
from formers.views import notebook
from formers.views.html import View, escape, page
from formers.views.results import result_html

PACKAGED = Path(formers.__file__).parent / "packaged" / "sentiment"
SMALL = {"vocab_size": 50, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
EVIL = "</td></script><img src=x onerror=alert(1)>"
SENTENCE = "Hans Meier lives in <Berlin> & works for ACME."
LABELS = [{"label": "POSITIVE", "score": 0.98}, {"label": "NEGATIVE", "score": 0.02}]
ENTITIES = [
    {"entity_group": "PER", "score": 0.9, "word": "hans meier", "start": 0, "end": 10},
    {"entity_group": "LOC", "score": 0.8, "word": "berlin", "start": 21, "end": 27},
]
ANSWER = {"score": 0.9, "start": 21, "end": 27, "answer": "Berlin"}
FILLED = [{"score": 0.5, "token": 3, "token_str": "dog", "sequence": "a dog"}]
ZERO_SHOT = {"sequence": "I love cats", "labels": ["pets", "cars"], "scores": [0.9, 0.1]}
CHOICES = [{"choice": "it rises", "index": 1, "score": 0.75}, {"choice": "it sinks", "index": 0, "score": 0.25}]
RANKED = [{"corpus_id": 2, "score": 0.9, "text": "about tea"}, {"corpus_id": 0, "score": 0.1, "text": "about cats"}]
RESULTS = {
    "labels": LABELS,
    "entities": ENTITIES,
    "answer": ANSWER,
    "filled": FILLED,
    "zero-shot": ZERO_SHOT,
    "choices": CHOICES,
    "ranked": RANKED,
}


def text_of(fragment: str) -> str:
    """What is read of HTML, with single spaces between its parts."""
    without = re.sub(r"<style>.*?</style>", "", fragment, flags=re.DOTALL)
    return " ".join(html_.unescape(re.sub(r"<[^>]*>", " ", without)).split())


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(PACKAGED)


class TestConfig:
    def test_what_differs_is_marked_with_its_default(self) -> None:
        view = BertConfig(hidden_size=96, num_labels=3, own_key={"a": {"b": EVIL}})._repr_html_()
        marked = re.findall(r'<td class="changed"[^>]*><code><b>(\w+)</b>', view)
        assert marked == ["hidden_size", "own_key", "id2label", "label2id"]
        row = re.search(r"<tr>(?:(?!<tr>).)*hidden_size.*?</tr>", view)
        assert row is not None
        assert text_of(row[0]) == "hidden_size 96 768"
        assert "4 of " in text_of(view)
        assert EVIL not in view
        assert "as by default" in BertConfig()._repr_html_()
        assert 'class="changed"' not in BertConfig()._repr_html_()

    def test_every_key_is_there_and_many_labels_are_cut(self) -> None:
        config = BertConfig(num_labels=1000)
        shown = config._repr_html_()
        assert all(f">{key}<" in shown for key in config.to_dict() if key != "model_type")
        assert "1,000 entries" in shown and "… 950 more" in shown
        assert len(shown) < 40_000


class TestModel:
    def test_totals_and_ties(self) -> None:
        model = BertForMaskedLM(BertConfig(**SMALL, num_hidden_layers=12))
        shown = text_of(model._repr_html_())
        count = sum(p.numel() for p in model.parameters())
        assert (
            f"BertForMaskedLM {count:,} parameters all trainable {model.get_memory_footprint() / 1e6:,.1f} MB" in shown
        )
        assert "float32 on cpu" in shown and "training mode" in shown
        assert shown.count("tied to bert.embeddings.word_embeddings.weight") == 1
        assert "0–11 12 × BertLayer" in shown
        assert "query Linear weight 8 × 8, float32 · bias 8, float32 · 72" in shown
        assert len(model._repr_html_()) < 20_000

    def test_layers_that_differ_are_shown_apart(self) -> None:
        model = BertForMaskedLM(BertConfig(**SMALL, num_hidden_layers=6))
        model.bert.encoder.layer[2].requires_grad_(False)
        model.bert.encoder.layer[4].output.dense.half()
        shown = text_of(model._repr_html_())
        layers = re.findall(r"(\S+)(?: (\d) ×)? BertLayer", shown)
        assert layers == [("0–1", "2"), ("2", ""), ("3", ""), ("4", ""), ("5", "")]
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert f"{trainable:,} trainable" in shown
        assert "float16 on cpu float32 on cpu" in shown

    def test_an_optimized_model_says_so(self) -> None:
        model = AutoModelForSequenceClassification.from_pretrained(PACKAGED).optimize("float32")
        assert "optimized: float32" in model._repr_html_()
        assert "evaluation mode" in model._repr_html_()


class TestEncoding:
    def test_tokens_ids_segments_padding_and_places(self, tokenizer: Any) -> None:
        encoding = tokenizer(["a film", EVIL], ["so good", "x"], padding=True, return_tensors="pt")
        shown = encoding._repr_html_()
        cells = re.findall(r'<span class="token (\w*)" title="([^"]*)"><bdi>(.*?)</bdi><i>(\d+)</i>', shown)
        first = len(encoding["input_ids"][0])
        assert [int(number) for *_, number in cells] == encoding["input_ids"].flatten().tolist()
        assert [html_.unescape(name) for _, _, name, _ in cells] == encoding.tokens(0) + encoding.tokens(1)
        kinds = [kind for kind, *_ in cells[:first]]
        assert kinds[:7] == ["special", "", "", "special", "second", "second", "special"]
        assert set(kinds[7:]) == {"padding"}
        assert cells[2][1] == "2: token, characters 2–6"
        assert EVIL not in shown
        assert f"input_ids (2, {first})" in text_of(shown)

    def test_a_row(self, tokenizer: Any) -> None:
        row = tokenizer("a film")[0]
        assert "film" in visualize.show(row).html()

    @pytest.mark.parametrize("form", [{}, {"return_tensors": "pt"}, {"return_tensors": "np"}])
    def test_one_text_in_every_form(self, tokenizer: Any, form: dict[str, Any]) -> None:
        shown = tokenizer("a film", **form)._repr_html_()
        assert re.findall(r"<bdi>(.*?)</bdi>", shown) == ["[CLS]", "a", "film", "[SEP]"]

    def test_ids_alone_and_other_shapes(self, tokenizer: Any) -> None:
        ids = BatchEncoding({"input_ids": [[1, 2, 3], [4]], "attention_mask": [[1, 1, 0], [1]]})._repr_html_()
        assert re.findall(r"<i>(\d+)</i>", ids) == ["1", "2", "3", "4"]
        choices = BatchEncoding({"input_ids": torch.arange(12).view(2, 2, 3)})._repr_html_()
        assert len(re.findall(r'<div class="tokens"><span class="token "', choices)) == 4
        assert "BatchEncoding" in BatchEncoding({"input_ids": []})._repr_html_()
        assert "BatchEncoding" in BatchEncoding({"labels": [1]})._repr_html_()

    def test_changed_ids_have_no_token(self, tokenizer: Any) -> None:
        encoding = tokenizer("a film", return_tensors="pt")
        encoding["input_ids"][0, 2] = 7
        assert re.findall(r"<bdi>(.*?)</bdi>", encoding._repr_html_()) == ["[CLS]", "a", "", "[SEP]"]

    def test_large_batches_are_cut(self, tokenizer: Any) -> None:
        shown = tokenizer(["good " * 600] * 30, padding=True, verbose=False)._repr_html_()
        assert text_of(shown).endswith("… 10 more texts")
        assert shown.count("… 90 more tokens") == 20
        assert shown.count("<bdi>") == 20 * 512


class TestResults:
    def test_labels(self) -> None:
        assert text_of(result_html(LABELS)) == "POSITIVE 0.9800 NEGATIVE 0.0200"
        assert text_of(result_html(LABELS[0])) == "POSITIVE 0.9800"

    def test_candidates_for_masks(self) -> None:
        assert text_of(result_html(FILLED)) == "token score id text dog 0.5000 3 a dog"
        assert text_of(result_html([FILLED, FILLED])).count("mask ") == 2

    def test_entities_stand_in_their_text(self) -> None:
        view = visualize.show(ENTITIES, SENTENCE)
        assert text_of(view._repr_html_()) == "Hans Meier PER lives in < Berlin LOC > & works for ACME."
        assert text_of(visualize.show(ENTITIES)._repr_html_()).startswith("word entity score characters hans meier PER")
        # places that are not in the text: the table
        assert text_of(visualize.show(ENTITIES, "Hans")._repr_html_()).startswith("word")

    def test_answers_stand_in_their_text(self) -> None:
        assert text_of(visualize.show(ANSWER, SENTENCE)._repr_html_()).endswith("in < Berlin > & works for ACME.")
        assert "no answer" in visualize.show({**ANSWER, "answer": "", "start": 0, "end": 0})._repr_html_()

    def test_zero_shot(self) -> None:
        assert text_of(result_html(ZERO_SHOT)) == "I love cats pets 0.9000 cars 0.1000"

    def test_choices_and_documents(self) -> None:
        assert text_of(result_html(CHOICES)) == "it rises 0.7500 it sinks 0.2500"
        assert text_of(result_html(RANKED)) == "2 about tea 0.9000 0 about cats 0.1000"
        assert text_of(result_html([{"corpus_id": 2, "score": -3.5}])) == "2 -3.5000"

    def test_errors_in_the_places_of_results(self) -> None:
        shown = text_of(result_html([LABELS[0], ValueError("inputs[1] is None <b>")]))
        assert shown == "0 POSITIVE 0.9800 1 ValueError inputs[1] is None <b>"
        assert result_html([ValueError("alone")]) is None

    def test_results_of_several_texts(self) -> None:
        assert text_of(result_html([LABELS] * 25)).endswith("… 5 more results")
        assert (
            text_of(result_html([[], []], lambda value: "No names." if value == [] else None)).count("No names.") == 2
        )

    @pytest.mark.parametrize("name", RESULTS)
    def test_hostile_text_is_text(self, name: str) -> None:
        def spoiled(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: spoiled(item) for key, item in value.items()}
            return (
                [spoiled(item) for item in value]
                if isinstance(value, list)
                else EVIL
                if isinstance(value, str)
                else value
            )

        shown = result_html(spoiled(RESULTS[name]))
        assert shown is not None
        assert "<img" not in shown and "</script>" not in shown

    @pytest.mark.parametrize(
        "value",
        [
            *(
                [],
                {},
                [1, 2],
                [[]],
                [None],
                {"label": "x"},
                {"label": 1, "score": 0.5},
                [{"label": "x"}],
                [[0.5, 0.25]],
            ),
            *([LABELS[0], 3], [LABELS, 3], {**LABELS[0], "more": 1}, {1: 2}, "text", (LABELS,), [{}]),
        ],
    )
    def test_other_values_have_no_view(self, value: Any) -> None:
        assert result_html(value) is None
        with pytest.raises(FormersError, match="has no view"):
            visualize.show(value)

    def test_what_has_a_view_of_its_own_is_shown_by_it(self, tmp_path: Path) -> None:
        view = visualize.show(BertConfig())
        view.save(tmp_path / "config.html")
        assert (tmp_path / "config.html").read_text(encoding="utf-8") == view.html()
        assert view.html().startswith("<!DOCTYPE html>") and BertConfig()._repr_html_() in view.html()


class TestNotebook:
    @pytest.fixture
    def shell(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """A running IPython."""
        from IPython.core.interactiveshell import InteractiveShell

        monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
        monkeypatch.setattr(notebook, "_registered", False)
        shell = InteractiveShell.instance()
        yield shell
        notebook._texts.clear()
        InteractiveShell.clear_instance()

    def shown(self, shell: Any, value: Any) -> str | None:
        return shell.display_formatter.formatters["text/html"](value)

    def test_results_show_once_a_pipeline_is_made_and_stay_plain(self, shell: Any) -> None:
        assert self.shown(shell, LABELS) is None
        classify = pipeline("sentiment-analysis", model=PACKAGED)
        results = classify(["A warm film.", "A dull film."])
        assert type(results) is list and [type(result) for result in results] == [dict, dict]
        assert json.loads(json.dumps(results)) == results
        assert text_of(self.shown(shell, results) or "").startswith("POSITIVE")
        assert shell.display_formatter.format(results)[0]["text/plain"].startswith("[{'label': 'POSITIVE'")
        for other in ([1, 2], {"a": 1}, [], {}, "x", (1,)):
            assert self.shown(shell, other) is None

    def test_entities_and_answers_are_shown_in_their_text(self, shell: Any) -> None:
        model = formers.AutoModelForTokenClassification.from_config(
            BertConfig(**{**SMALL, "vocab_size": 10000}, num_hidden_layers=1, id2label={0: "PER", 1: "LOC"})
        )
        tokenizer = AutoTokenizer.from_pretrained(PACKAGED)
        label = pipeline("ner", model=model, tokenizer=tokenizer)
        found = label("A <warm> film.")
        assert [type(entity) for entity in found] == [dict] * len(found)
        shown = text_of(self.shown(shell, found) or "")
        assert shown.startswith("A ") and "< warm" in shown.replace("PER ", "").replace("LOC ", "")
        assert "A <warm> film." not in (self.shown(shell, [dict(entity) for entity in found]) or "")  # equal, not known
        texts = ["A film.", "A story."]
        nothing = [label(text, ignore_labels=["PER", "LOC"]) for text in texts]
        assert nothing == [[], []] and [text_of(self.shown(shell, none) or "") for none in nothing] == texts
        asked = formers.AutoModelForQuestionAnswering.from_config(model.config)
        answer = pipeline("question-answering", model=asked, tokenizer=tokenizer)(
            question="What?", context="A warm film.", max_answer_len=1
        )
        marked = re.sub(r"\s", "", text_of(self.shown(shell, answer) or ""))
        assert marked.endswith("Awarmfilm.")

    def test_load_ext(self, shell: Any) -> None:
        shell.run_line_magic("load_ext", "formers")
        assert "POSITIVE" in (self.shown(shell, LABELS) or "")
        shell.run_line_magic("reload_ext", "formers")
        assert "POSITIVE" in (self.shown(shell, LABELS) or "")
        row = AutoTokenizer.from_pretrained(PACKAGED)("a film")[0]
        assert "film" in (self.shown(shell, row) or "")

    def test_formatters_and_classes_of_others_are_kept(self, shell: Any) -> None:
        formatter = shell.display_formatter.formatters["text/html"]
        formatter.for_type(dict, lambda value: "theirs")
        notebook.load_ipython_extension(shell)

        class Own(list):
            def _repr_html_(self) -> str:
                return "own"

        assert self.shown(shell, {"a": 1}) == "theirs"
        assert self.shown(shell, Own(LABELS)) == "own"
        assert "POSITIVE" in (self.shown(shell, LABELS[0]) or "")

    def test_nothing_is_kept_outside_of_a_notebook(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notebook, "_registered", False)
        notebook.register_where_running()
        assert notebook.remember(ENTITIES, SENTENCE) is ENTITIES
        assert not notebook._registered and not notebook._texts


def test_control_characters_are_shown_as_numbers() -> None:
    assert escape("a\u202eb\x00\n<\ud800") == "a‹U+202E›b‹U+0000›\n&lt;‹U+D800›"


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_every_view_can_be_seen(tmp_path: Path, tokenizer: Any, dark: bool) -> None:
    """All pages side by side in one picture; an empty one among them shows that blank ones are found out."""
    model = AutoModelForSequenceClassification.from_pretrained(PACKAGED)
    views = {
        "empty": View(""),
        "config": visualize.show(model.config),
        "model": visualize.show(model),
        "encoding": visualize.show(tokenizer(["a film", "so good"], padding=True)),
        "row": visualize.show(tokenizer("a film")[0]),
        **{name: visualize.show(result, SENTENCE) for name, result in RESULTS.items()},
        "attributions": visualize.attributions(model, tokenizer, "A warm film, badly made.", steps=5),
        "attention": visualize.attention(model, tokenizer, "A warm film, badly made."),
    }
    width, height, columns = 500, 400, 4
    frames = ""
    for number, (name, view) in enumerate(views.items()):
        view.save(tmp_path / f"{name}.html")
        place = f"left:{number % columns * width}px;top:{number // columns * height}px"
        size = f"width:{width}px;height:{height}px;border:0"
        frames += f'<iframe src="{name}.html" style="position:absolute;{place};{size}"></iframe>'
    (tmp_path / "all.html").write_text(page("all", frames, "body{margin:0}"), encoding="utf-8")
    image = picture(tmp_path / "all.html", columns * width, -(-len(views) // columns) * height, dark)
    blank = []
    for number, name in enumerate(views):
        left, top = number % columns * width, number // columns * height
        tile = image.crop((left, top, left + width, top + height))
        assert (max(tile.getpixel((width - 1, height - 1))) < 60) == dark, name
        blank += [name] if is_blank(tile) else []
    assert blank == ["empty"], {name: drawn(image) for name in blank}
