"""text2text-generation, summarization and translation: what the reference's `generate` writes, in 4.20's forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import writers

import formers
from formers import pipeline
from formers.errors import ArgumentError, HeadError, InputError, UnknownTaskError, visible
from formers.pipelines import SummarizationPipeline, Text2TextGenerationPipeline, TranslationPipeline
from formers.pipelines.text2text_generation import ReturnType

TEXTS = ["the cat sat on the mat", "a", "and then there was é", "the", *["cat " * n for n in range(1, 20)]]
ENDS = [*range(70, 110)]
PAIRS = {
    "translation_en_to_fr": {"prefix": "translate English to French: ", "max_length": 9},
    "translation_en_to_de": {"prefix": "translate English to German: ", "max_length": 7, "num_beams": 2},
    "summarization": {"prefix": "summarize: ", "max_length": 8, "num_beams": 3},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("writers")
    t5 = writers.write(root / "t5", "T5ForConditionalGeneration", task_specific_params=PAIRS)
    return {"bart": writers.write(root / "bart", "BartForConditionalGeneration"), "t5": t5}


@pytest.fixture(scope="module")
def bart(folders: dict[str, Path]) -> Any:
    return pipeline("text2text-generation", model=folders["bart"])


def written(folder: Path, texts: list[str], **options: Any) -> list[list[list[int]]]:
    """The tokens that the reference writes from each text alone, several rows where it is asked for them."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    return [model.generate(**tokenizer(text, return_tensors="pt"), **options).tolist() for text in texts]


def as_text(pipe: Any, rows: list[list[int]]) -> list[str]:
    return [pipe.tokenizer.decode(row, skip_special_tokens=True) for row in rows]


class TestBesideTheReference:
    @pytest.mark.parametrize("name", ["bart", "t5"])
    @pytest.mark.parametrize(
        "options",
        [
            {"max_length": 12},
            {"max_new_tokens": 30, "eos_token_id": ENDS},
            {"max_length": 20, "num_beams": 3, "eos_token_id": ENDS, "no_repeat_ngram_size": 2},
            {"max_length": 15, "min_length": 8, "num_beams": 4, "num_return_sequences": 2, "eos_token_id": ENDS},
            {"max_new_tokens": 10, "encoder_no_repeat_ngram_size": 2, "repetition_penalty": 1.4},
        ],
        ids=str,
    )
    def test_tokens_and_texts(self, name: str, options: dict[str, Any], folders: dict[str, Path]) -> None:
        pipe = pipeline("text2text-generation", model=folders[name])
        expected = written(folders[name], TEXTS, **options)
        alone = [pipe(text, return_tensors=True, **options) for text in TEXTS]
        assert [[record["generated_token_ids"].tolist() for record in one] for one in alone] == expected
        several = "num_return_sequences" in options
        for size in (None, 3):
            found = pipe(TEXTS, return_tensors=True, batch_size=size, **options)
            tokens = [[one["generated_token_ids"].tolist() for one in (x if several else [x])] for x in found]
            assert tokens == expected
        texts = [[{"generated_text": text} for text in as_text(pipe, rows)] for rows in expected]
        assert pipe(TEXTS, **options) == (texts if several else [one[0] for one in texts])
        assert pipe(TEXTS[0], **options) == texts[0]
        assert list(pipe((text for text in TEXTS), **options)) == texts

    def test_the_usual_values_of_a_task(self, folders: dict[str, Path]) -> None:
        asked = {**PAIRS["summarization"]}
        prefix = asked.pop("prefix")
        expected = written(folders["t5"], [prefix + text for text in TEXTS], **asked)
        pipe = pipeline("summarization", model=str(folders["t5"]))
        assert type(pipe) is SummarizationPipeline
        assert [one["summary_text"] for one in pipe(TEXTS)] == [as_text(pipe, rows)[0] for rows in expected]
        longer = written(folders["t5"], [prefix + TEXTS[0]], num_beams=1, max_new_tokens=11)[0]
        assert pipe(TEXTS[0], num_beams=1, max_new_tokens=11) == [{"summary_text": as_text(pipe, longer)[0]}]

    def test_translation(self, folders: dict[str, Path]) -> None:
        asked = {**PAIRS["translation_en_to_de"]}
        prefix = asked.pop("prefix")
        expected = written(folders["t5"], [prefix + text for text in TEXTS], **asked)
        named = pipeline("translation_en_to_de", model=folders["t5"])
        assert type(named) is TranslationPipeline and named.task == "translation_en_to_de"
        texts = [{"translation_text": as_text(named, rows)[0]} for rows in expected]
        assert named(TEXTS) == texts
        open_ = pipeline("translation", model=folders["t5"])
        assert open_(TEXTS, src_lang="en", tgt_lang="de") == texts
        assert pipeline("translation", model=folders["t5"], src_lang="en", tgt_lang="de")(TEXTS) == texts
        assert pipeline("translation_en_to_fr", model=folders["t5"])(TEXTS) != texts


class TestForms:
    def test_the_task_of_a_model(self, folders: dict[str, Path]) -> None:
        pipe = pipeline(model=folders["bart"])
        assert type(pipe) is Text2TextGenerationPipeline and pipe.task == "text2text-generation"

    def test_return_types(self, bart: Any) -> None:
        record = bart("the cat", max_length=6, return_type=ReturnType.TENSORS)[0]
        assert [*record] == ["generated_token_ids"] and isinstance(record["generated_token_ids"], torch.Tensor)
        assert [*bart("the cat", max_length=6, return_text=True)[0]] == ["generated_text"]
        assert [*bart("the cat", max_length=6, return_tensors=False)[0]] == ["generated_text"]

    def test_a_length_that_nobody_gives(self, bart: Any, folders: dict[str, Path]) -> None:
        ids = bart("the cat", return_tensors=True, eos_token_id=None, forced_eos_token_id=None)[0]
        assert len(ids["generated_token_ids"]) == 97  # all of its positions, after what it begins with
        t5 = pipeline("text2text-generation", model=folders["t5"], eos_token_id=None)
        assert len(t5("the cat", return_tensors=True)[0]["generated_token_ids"]) == 257

    def test_seeds_follow_one_another(self, bart: Any) -> None:
        options = {"do_sample": True, "max_length": 14, "seed": 5}
        together = bart(TEXTS, **options)
        assert together == bart(TEXTS, batch_size=1, **options)
        assert together[3] == bart(TEXTS[3], **{**options, "seed": 8})[0]
        assert together != bart(TEXTS, **{**options, "seed": 6})

    def test_stop_sequence(self, bart: Any) -> None:
        whole = bart("the cat", max_length=40)[0]["generated_text"]
        stop = whole[5:7]
        assert bart("the cat", max_length=40, stop_sequence=stop)[0]["generated_text"].endswith(stop)
        assert len(bart("the cat", max_length=40, stop_sequence=stop)[0]["generated_text"]) < len(whole)

    def test_languages_of_a_tokenizer(self, folders: dict[str, Path]) -> None:
        pipe = pipeline("translation", model=folders["bart"], max_length=8)
        tokenizer, seen = pipe.tokenizer, []

        def build(texts: list[str], src_lang: str, tgt_lang: str, **options: Any) -> Any:
            seen.append((src_lang, tgt_lang))
            return {**tokenizer(texts, **options), "forced_bos_token_id": 40 + len(tgt_lang)}

        tokenizer._build_translation_inputs = build
        with pytest.raises(ArgumentError, match="src_lang=None and tgt_lang=None: this model translates between many"):
            pipe("the cat")
        found = pipe(TEXTS, src_lang="en", tgt_lang="fra", return_tensors=True)
        expected = written(folders["bart"], TEXTS, max_length=8, forced_bos_token_id=43)
        assert [one["translation_token_ids"].tolist() for one in found] == [rows[0] for rows in expected]
        assert {*seen} == {("en", "fra")}


class TestErrors:
    def test_texts_that_are_too_long(self, bart: Any) -> None:
        with pytest.raises(InputError, match=r"inputs\[1\], which starts .* has \d+ tokens; .* truncation=True"):
            bart(["the", "cat " * 200], max_length=5)
        assert bart("cat " * 200, max_length=5, truncation=True) == bart("cat " * 95, max_length=5, truncation=True)
        found = bart(["the", "cat " * 200, "a"], max_length=5, on_error="return")
        assert isinstance(found[1], InputError)
        assert [found[0], found[2]] == bart(["the", "a"], max_length=5)

    def test_what_is_no_text(self, bart: Any) -> None:
        with pytest.raises(InputError, match=r"inputs\[1\] is None"):
            bart(["the", None])
        with pytest.raises(InputError, match=r"is a pair of texts; writing one text from another takes one"):
            bart({"text": "a", "text_pair": "b"})

    def test_arguments(self, bart: Any, folders: dict[str, Path]) -> None:
        with pytest.raises(ArgumentError, match=r"has no argument 'max_lenght'. Did you mean 'max_length'"):
            bart("a", max_lenght=3)
        with pytest.raises(InputError, match="num_beams='x': it should be a whole number"):
            bart(["The cat.", "A dog."], num_beams="x")
        with pytest.raises(ArgumentError, match="output_scores is of no use here"):
            bart("a", output_scores=True)
        with pytest.raises(ArgumentError, match=r"src_lang='en' and tgt_lang='xx' would change nothing.*en_to_fr"):
            pipeline("translation", model=folders["t5"])("a", src_lang="en", tgt_lang="xx")

    def test_a_pair_that_has_no_prefix(self, folders: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
        formers.logging.logger.addHandler(caplog.handler)
        try:
            pipeline("translation_fr_to_en", model=folders["t5"])
        finally:
            formers.logging.logger.removeHandler(caplog.handler)
        assert "has no translation_fr_to_en, so no prefix says" in caplog.text

    def test_names_of_tasks(self) -> None:
        with pytest.raises(UnknownTaskError, match=r"Two languages are named as in 'translation_en_to_fr'"):
            pipeline("translation_en_XX_to_fr_XX", model="x")
        found = formers.pipelines.PIPELINE_REGISTRY.check_task("translation_en_to_fr")
        assert (found[0], found[2]) == ("translation", ("en", "fr"))

    def test_models_of_other_tasks(self, bart: Any, tmp_path: Path) -> None:
        with pytest.raises(HeadError, match=r"BartForConditionalGeneration writes one text .*text2text-generation"):
            pipeline("text-generation", model=bart.model, tokenizer=bart.tokenizer)
        llama = pipeline("text-generation", model=writers.write(tmp_path))
        with pytest.raises(HeadError, match=r"LlamaForCausalLM has no encoder and decoder.*Summarization needs them"):
            pipeline("summarization", model=llama.model, tokenizer=llama.tokenizer)


class TestInTheShell:
    @pytest.mark.parametrize("task", ["summarization", "translation_en_to_fr", "text2text-generation"])
    def test_run(
        self, task: str, folders: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from formers import cli

        given = [task, "the cat", "a", "--model", str(folders["t5"]), "--max-new-tokens", "6"]
        expected = pipeline(task, model=folders["t5"], max_new_tokens=6)(["the cat", "a"])
        assert cli.main(["run", *given]) == 0
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [[one] for one in expected]
        for file in (cli.output, cli.run):
            monkeypatch.setattr(file, "on_terminal", lambda: True)
        assert cli.main(["run", *given]) == 0
        out = capsys.readouterr().out
        assert all(visible(text) in out for one in expected for text in one.values())

    def test_names_of_tasks(self, capsys: pytest.CaptureFixture[str]) -> None:
        from formers import cli

        assert cli.main(["run", "summarisation", "a"]) == 2
        assert "Did you mean 'summarization'?" in capsys.readouterr().err
