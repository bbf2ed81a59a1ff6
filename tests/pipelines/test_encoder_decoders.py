"""Tasks of understanding, with models that have an encoder and a decoder: as the reference answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import writers
from hub_models import write_bytes

from formers import pipeline

TEXTS = ["the cat sat on the mat", "a dog", *["rain " * n for n in range(1, 12)]]
LABELS = {"contradiction": 0, "neutral": 1, "entailment": 2}
IDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BART that tells what follows from what, with its own tokenizer."""
    import transformers

    folder = tmp_path_factory.mktemp("mnli")
    size, names = write_bytes(folder), {number: label for label, number in LABELS.items()}
    config = transformers.BartConfig(vocab_size=size, **writers.BART, **IDS, id2label=names, label2id=LABELS)
    model = transformers.BartForSequenceClassification(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BartTokenizer"}))
    return folder


def reference(task: str, folder: Path) -> Any:
    import transformers

    return transformers.pipeline(task, model=str(folder))


@pytest.mark.parametrize("several", [False, True])
def test_zero_shot_classification(folder: Path, several: bool) -> None:
    ours = pipeline("zero-shot-classification", model=folder)
    assert ours.entailment_id == 2
    labels = ["animals", "the weather", "x"]
    expected = reference("zero-shot-classification", folder)(TEXTS, candidate_labels=labels, multi_label=several)
    for found, one in zip(ours(TEXTS, candidate_labels=labels, multi_label=several), expected, strict=True):
        assert (found["sequence"], found["labels"]) == (one["sequence"], one["labels"])
        assert found["scores"] == pytest.approx(one["scores"], rel=1e-4)


def test_text_classification(folder: Path) -> None:
    expected = reference("text-classification", folder)(TEXTS, top_k=None)
    for found, one in zip(pipeline("text-classification", model=folder)(TEXTS, top_k=None), expected, strict=True):
        assert [x["label"] for x in found] == [x["label"] for x in one]
        assert [x["score"] for x in found] == pytest.approx([x["score"] for x in one], rel=1e-4)


def test_feature_extraction(folder: Path) -> None:
    expected = reference("feature-extraction", folder)(TEXTS)
    for found, one in zip(pipeline("feature-extraction", model=folder)(TEXTS), expected, strict=True):
        torch.testing.assert_close(torch.tensor(found), torch.tensor(one), rtol=1e-4, atol=1e-5)
