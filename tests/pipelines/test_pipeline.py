"""Making pipelines: tasks, models by name, folder and object, defaults, devices, and classes of one's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import formers
from formers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, errors, pipeline
from formers.pipelines import (
    FeatureExtractionPipeline,
    FillMaskPipeline,
    MultipleChoicePipeline,
    NextSentencePipeline,
    Pipeline,
    QuestionAnsweringPipeline,
    TextClassificationPipeline,
    TextGenerationPipeline,
    TokenClassificationPipeline,
    find_task,
    get_supported_tasks,
)

TASKS = [
    "asr",
    "audio-classification",
    "automatic-speech-recognition",
    "conversational",
    "document-question-answering",
    "feature-extraction",
    "fill-mask",
    "image-classification",
    "image-feature-extraction",
    "image-text-to-text",
    "image-to-text",
    "multiple-choice",
    "ner",
    "next-sentence",
    "next-sentence-prediction",
    "question-answering",
    "sentiment-analysis",
    "summarization",
    "table-question-answering",
    "text-classification",
    "text-generation",
    "text-ranking",
    "text2text-generation",
    "token-classification",
    "translation",
    "visual-question-answering",
    "vqa",
    "zero-shot-audio-classification",
    "zero-shot-classification",
    "zero-shot-image-classification",
]
PACKAGED = Path(formers.__file__).parent / "packaged" / "sentiment"


def test_importing_loads_no_torch() -> None:
    code = "import formers.pipelines, sys; from formers.pipelines import pipeline; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_tasks_come_from_their_files() -> None:
    assert get_supported_tasks() == TASKS
    assert find_task("sentiment-analysis") is find_task("text-classification")


def test_from_folder_and_from_objects(classifier_folder: Path) -> None:
    by_folder = pipeline("sentiment-analysis", model=str(classifier_folder))
    model = AutoModelForSequenceClassification.from_pretrained(classifier_folder)
    tokenizer = AutoTokenizer.from_pretrained(classifier_folder)
    by_objects = pipeline("sentiment-analysis", model=model, tokenizer=tokenizer)
    mixed = pipeline("sentiment-analysis", model=model, tokenizer=classifier_folder)
    with_options = pipeline("sentiment-analysis", model=model, tokenizer=(str(classifier_folder), {"use_fast": True}))
    found = by_folder("a good film")
    assert found == by_objects("a good film") == mixed("a good film") == with_options("a good film")
    assert by_objects.model is model
    assert by_objects.tokenizer is tokenizer
    assert (by_folder.framework, by_folder.device, by_folder.call_count) == ("pt", torch.device("cpu"), 1)
    assert not by_folder.model.training


def test_a_model_in_training_is_set_to_evaluation(classifier_folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier_folder).train()
    pipe = TextClassificationPipeline(model=model, tokenizer=AutoTokenizer.from_pretrained(classifier_folder))
    assert pipe("a good film") == pipe("a good film")


def test_the_tokenizer_of_a_model_object(classifier_folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier_folder)
    assert pipeline("text-classification", model=model)("a good film")
    fresh = AutoModelForSequenceClassification.from_config(model.config)
    fresh.config._name_or_path = ""
    with pytest.raises(errors.ArgumentError, match=r"made in memory.*tokenizer="):
        pipeline("text-classification", model=fresh)
    for missing in (None, "a-name", 3):
        with pytest.raises(errors.ArgumentError, match="TextClassificationPipeline needs a tokenizer"):
            TextClassificationPipeline(model=model, tokenizer=missing)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("BertForSequenceClassification", TextClassificationPipeline),
        ("BertForMaskedLM", FillMaskPipeline),
        ("BertModel", FeatureExtractionPipeline),
        ("BertForMultipleChoice", MultipleChoicePipeline),
        ("BertForNextSentencePrediction", NextSentencePipeline),
        ("BertForTokenClassification", TokenClassificationPipeline),
        ("BertForQuestionAnswering", QuestionAnsweringPipeline),
        ("BertLMHeadModel", TextGenerationPipeline),
    ],
)
def test_the_task_from_the_model(architecture: str, kind: type[Pipeline], make: Any) -> None:
    pipe = pipeline(model=make(architecture))
    assert type(pipe) is kind
    assert type(pipeline(model=pipe.model, tokenizer=pipe.tokenizer)) is kind
    assert find_task(pipe.task).pipeline is kind


def test_a_model_whose_task_is_not_here(classifier_folder: Path, tmp_path: Path) -> None:
    config = (
        (classifier_folder / "config.json")
        .read_text()
        .replace("BertForSequenceClassification", "BertForObjectDetection")
    )
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(errors.ArgumentError, match=r"BertForObjectDetection.*text-classification"):
        pipeline(model=tmp_path)


@pytest.mark.parametrize("task", ["text-ranking", "multiple-choice", "next-sentence"])
def test_tasks_without_a_usual_model(task: str) -> None:
    with pytest.raises(errors.ArgumentError, match=rf"No model was given, and {task} has no usual one.*model="):
        pipeline(task)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("sentiment-analisis", "no task 'sentiment-analisis'. Did you mean 'sentiment-analysis'"),
        ("object-detection", "'object-detection' exists in Transformers, but not yet here"),
        ("sumarization", "Did you mean 'summarization'?"),
        ("translation_en_fr", "named as in 'translation_en_to_fr'"),
        ("qwertz", f"Tasks: {', '.join(TASKS)}"),
    ],
)
def test_unknown_tasks(task: str, message: str) -> None:
    with pytest.raises(errors.UnknownTaskError, match=message):
        pipeline(task)
    with pytest.raises(KeyError):
        pipeline(task)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Neither a task nor a model"),
        ({"task": "text-classification", "tokenizer": "x"}, "without its model"),
        ({"task": 3}, "task is the name"),
        ({"task": "fill-mask", "model": 3}, "model is a folder, a hub name or a model object, not 3"),
        ({"task": "fill-mask", "framework": "tf"}, "framework='tf'"),
        ({"task": "fill-mask", "device": 0, "device_map": "auto"}, "device=0 and device_map='auto'"),
    ],
)
def test_arguments_that_do_not_go_together(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        pipeline(**arguments)


@pytest.mark.parametrize("device", ["cpu", -1, torch.device("cpu"), None])
def test_devices(classifier: Any, device: Any) -> None:
    pipe = pipeline("text-classification", model=classifier.model, tokenizer=classifier.tokenizer, device=device)
    assert pipe.device == torch.device("cpu")


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda:99", "not available on this machine"), (99, "not available"), ("gpu", "is no device")],
)
def test_devices_that_are_not_there(classifier: Any, device: Any, message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        pipeline("text-classification", model=classifier.model, tokenizer=classifier.tokenizer, device=device)


def test_dtype(classifier_folder: Path, classifier: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert classifier.model.dtype == torch.float32
    for name in ("dtype", "torch_dtype"):
        half = pipeline("text-classification", model=classifier_folder, **{name: torch.bfloat16})
        assert half.model.dtype == torch.bfloat16
    (expected,) = classifier("a good film", return_all_scores=True)
    for mine, other in zip(half("a good film", return_all_scores=True)[0], expected, strict=True):
        assert mine["score"] == pytest.approx(other["score"], abs=0.05)
    pipeline("text-classification", model=classifier.model, tokenizer=classifier.tokenizer, dtype="auto")
    assert "loaded already: dtype" in caplog.text


def test_model_kwargs_and_hub_arguments(classifier_folder: Path) -> None:
    pipe = pipeline(
        "text-classification",
        model=classifier_folder,
        model_kwargs={"output_attentions": True, "cache_dir": "unused"},
        local_files_only=True,
        use_auth_token=False,
        revision="main",
    )
    assert pipe.model.config.output_attentions
    assert pipe(["a good film", "a bad film indeed"])


def test_a_model_without_the_head(base_folder: Path, classifier: Any) -> None:
    model = AutoModel.from_pretrained(base_folder)
    with pytest.raises(errors.InputError, match="BertModel gives no logits per text"):
        pipeline("text-classification", model=model, tokenizer=classifier.tokenizer)("a")


def test_save_and_load(classifier: Any, tmp_path: Path) -> None:
    classifier.save_pretrained(tmp_path / "saved")
    again = pipeline("text-classification", model=tmp_path / "saved")
    (found,), (expected,) = again("a good film"), classifier("a good film")
    # where weights lie in memory moves the last bit
    assert found == {"label": expected["label"], "score": pytest.approx(expected["score"], abs=1e-6)}


def test_the_names_of_other_libraries(classifier: Any) -> None:
    assert classifier.predict(["a good film"]) == classifier.transform(["a good film"]) == classifier(["a good film"])
    with classifier.device_placement():
        moved = classifier.ensure_tensor_on_device(ids=torch.ones(1), nested=[torch.ones(1)], text="a")
    assert (moved["text"], moved["nested"][0].device.type) == ("a", "cpu")


def test_the_steps_one_by_one(classifier: Any) -> None:
    outputs = classifier.forward(classifier.preprocess("a good film"))
    assert classifier.postprocess(outputs) == classifier("a good film")[0]


def test_check_model_type(classifier: Any, caplog: pytest.LogCaptureFixture) -> None:
    classifier.check_model_type(["BertForSequenceClassification"])
    classifier.check_model_type({1: (type(classifier.model),)})
    assert not caplog.records
    classifier.check_model_type(["BertForMaskedLM"])
    assert "BertForSequenceClassification is not made for" in caplog.text


class Shouting(TextClassificationPipeline):
    """Only the result differs, so batches stay."""

    def postprocess(self, model_outputs: Any, **parameters: Any) -> str:
        assert model_outputs["logits"].shape == (1, 3)
        return super().postprocess(model_outputs, **parameters)["label"].upper()


class Counting(Pipeline):
    """The reference's documented way to write a task, with hooks for one input."""

    def _sanitize_parameters(self, **kwargs: Any) -> Any:
        return ({"prefix": kwargs["prefix"]} if "prefix" in kwargs else {}), {}, {}

    def preprocess(self, inputs: Any, prefix: str = "") -> Any:
        if inputs == "bad":
            raise RuntimeError("no good")
        return {"model_input": self.tokenizer(prefix + inputs, return_tensors=self.framework), "text": inputs}

    def _forward(self, model_inputs: Any) -> Any:
        outputs = self.model(**model_inputs["model_input"])
        return {"logits": outputs.logits, "text": model_inputs["text"]}

    def postprocess(self, model_outputs: Any) -> Any:
        return model_outputs["text"], tuple(model_outputs["logits"].shape)


class Lower(TextClassificationPipeline):
    """preprocess and _forward as the reference's subclasses have them: one text, a batch dimension of 1."""

    def preprocess(self, inputs: Any, **parameters: Any) -> Any:
        return self.tokenizer(inputs.lower(), return_tensors=self.framework, **parameters)

    def _forward(self, model_inputs: Any) -> Any:
        outputs = self.model(**model_inputs)
        outputs["input_ids"] = model_inputs["input_ids"]
        return outputs


def test_a_class_of_one_s_own(classifier: Any) -> None:
    parts = {"model": classifier.model, "tokenizer": classifier.tokenizer}
    texts = ["a good film", "a", "a very bad film"]
    labels = [x["label"] for x in classifier(texts)]
    assert pipeline("text-classification", pipeline_class=Shouting, **parts)(texts) == labels
    counting = pipeline("my-task", pipeline_class=Counting, **parts)
    assert counting(texts, prefix="the ") == [(text, (1, 3)) for text in texts]
    assert counting("a") == ("a", (1, 3))
    assert list(counting(text for text in texts)) == counting(texts)
    with pytest.raises(RuntimeError, match="no good") as error:
        counting(["a", "bad"])
    assert getattr(error.value, "__notes__", ["inputs[1]"])[0].endswith("inputs[1].") or sys.version_info < (3, 11)
    lower = Lower(**parts)
    assert not lower.by_tokens
    for size in (None, 1, 2):
        assert [x["label"] for x in lower(texts, batch_size=size)] == labels


def test_without_a_model_and_without_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(errors.NotFoundError, match=r"No model was given for fill-mask.*model="):
        pipeline("fill-mask", cache_dir=tmp_path)
    if not PACKAGED.is_dir():
        pytest.skip("the packaged model is not built")
    pipe = pipeline("sentiment-analysis", cache_dir=tmp_path)
    assert len(caplog.records) == 1
    assert "inside the package" in caplog.text
    assert "\n" not in caplog.records[0].getMessage()
    assert [x["label"] for x in pipe(["a wonderful film", "a terrible film"])] == ["POSITIVE", "NEGATIVE"]


def test_without_a_model_the_default_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, classifier_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub_server = pytest.importorskip("hub_server")
    name, revision = find_task("sentiment-analysis").default
    root = tmp_path / "models"
    shutil.copytree(classifier_folder, root / f"{name}@{revision}")
    shutil.copytree(classifier_folder, root / name)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with hub_server.HubServer(root) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        pipe = pipeline("sentiment-analysis", cache_dir=tmp_path / "cache")
    assert pipe.model.config.num_labels == 3
    assert f"{name} (revision {revision}) is used" in caplog.text


def test_what_constructors_of_the_reference_take(classifier: Any, caplog: pytest.LogCaptureFixture) -> None:
    parts = {"model": classifier.model, "tokenizer": classifier.tokenizer}
    processor = type("Processor", (), {"tokenizer": classifier.tokenizer})()
    pipe = TextClassificationPipeline(**parts, image_processor=None, processor=None, torch_dtype=torch.float32)
    assert pipe.dtype == pipe.torch_dtype == torch.float32
    assert not caplog.records
    for made in (
        TextClassificationPipeline(model=classifier.model, processor=processor, image_processor="kept"),
        pipeline("text-classification", model=classifier.model, processor=processor, image_processor="kept"),
    ):
        assert (made.tokenizer, made.processor, made.image_processor) == (classifier.tokenizer, processor, "kept")
    TextClassificationPipeline(**parts, torch_dtype=torch.bfloat16)
    assert "as torch.float32: dtype=torch.bfloat16 changes nothing" in caplog.text


@pytest.mark.parametrize(
    ("task", "architecture", "inputs"),
    [
        ("text-classification", "BertForSequenceClassification", ["a good film", "a"]),
        ("fill-mask", "BertForMaskedLM", ["a [MASK] film", "[MASK]"]),
        ("multiple-choice", "BertForMultipleChoice", [{"prompt": "a", "choices": ["b", "c"]}] * 2),
        ("question-answering", "BertForQuestionAnswering", [{"question": "a", "context": "b c"}] * 2),
        ("feature-extraction", "BertModel", ["a good film", "a"]),
    ],
)
def test_a_model_that_returns_tuples(make: Any, task: str, architecture: str, inputs: Any) -> None:
    pipe = pipeline(task, model=make(architecture))
    expected = pipe(inputs)
    pipe.model.config.return_dict = False
    assert pipe(inputs) == expected


def test_names_beside_the_tasks() -> None:
    from formers.pipelines import (
        PIPELINE_REGISTRY,
        AggregationStrategy,
        NerPipeline,
        SquadExample,
        token_classification,
    )

    assert AggregationStrategy is token_classification.AggregationStrategy and AggregationStrategy("max").name == "MAX"
    assert NerPipeline is formers.NerPipeline is TokenClassificationPipeline
    assert formers.SquadExample is SquadExample
    assert PIPELINE_REGISTRY.get_supported_tasks() == TASKS
    name, found, _ = PIPELINE_REGISTRY.check_task("sentiment-analysis")
    assert (name, found["impl"]) == ("text-classification", TextClassificationPipeline)
    assert found == PIPELINE_REGISTRY.supported_tasks[name] == PIPELINE_REGISTRY.to_dict()[name]
    assert PIPELINE_REGISTRY.task_aliases["ner"] == "token-classification"
    with pytest.raises(KeyError, match="text-clasification"):
        PIPELINE_REGISTRY.check_task("text-clasification")


def test_a_task_of_your_own(classifier_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    from formers.pipelines import PIPELINE_REGISTRY, registry

    class Pairs(TextClassificationPipeline):
        only_pairs = True

    monkeypatch.setattr(registry, "_registered", {})
    usual = {"pt": (str(classifier_folder), None)}
    PIPELINE_REGISTRY.register_pipeline("pairs", Pairs, pt_model=AutoModelForSequenceClassification, default=usual)
    for pipe in (pipeline("pairs"), pipeline("pairs", model=classifier_folder)):
        assert type(pipe) is Pairs and pipe.task == "pairs"
        assert pipe(("a", "b"))["label"].startswith("LABEL_")
    assert "pairs" in get_supported_tasks()
    PIPELINE_REGISTRY.register_pipeline("pairs", TextClassificationPipeline)
    assert "'pairs' is registered already" in caplog.text
