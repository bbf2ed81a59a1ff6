"""Tasks of understanding, with models that have an encoder and a decoder: as the reference answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import writers
from hub_models import write_bytes

from formers import SentenceEncoder, pipeline, registry

TEXTS = ["the cat sat on the mat", "a dog", *["rain" + " rain" * n for n in range(11)]]
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


@pytest.mark.skipif("text-encoding" not in registry.load("t5").HEADS, reason="T5 has no encoder alone")
class TestEncodersAlone:
    @pytest.fixture(scope="class")
    @classmethod
    def t5(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return writers.write(tmp_path_factory.mktemp("t5"), "T5ForConditionalGeneration")

    @staticmethod
    def rows(folder: Path) -> list[torch.Tensor]:
        """What the reference's encoder says of each text alone, (1, T, D)."""
        import transformers

        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.T5EncoderModel.from_pretrained(folder)
        with torch.no_grad():
            return [model(**tokenizer(text, return_tensors="pt")).last_hidden_state for text in TEXTS]

    def test_feature_extraction(self, t5: Path) -> None:
        pipe = pipeline("feature-extraction", model=t5)
        assert type(pipe.model).__name__ == "T5EncoderModel"
        for found, rows in zip(pipe(TEXTS), self.rows(t5), strict=True):
            torch.testing.assert_close(torch.tensor(found), rows, rtol=1e-4, atol=1e-5)

    def test_a_sentence_encoder(self, t5: Path, tmp_path: Path) -> None:
        """The folder of a sentence-t5: the mean of the encoder's rows, through a matrix, of length 1."""
        import transformers
        from safetensors.torch import save_file

        transformers.T5EncoderModel.from_pretrained(t5).save_pretrained(tmp_path)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(t5 / name, tmp_path / name)
        kinds = {"Transformer": "", "Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "3_Normalize"}
        listed = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(kinds.items())
        ]
        pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
        activation = "torch.nn.modules.linear.Identity"
        dense = {"in_features": 32, "out_features": 24, "bias": False, "activation_function": activation}
        for path, values in (("1_Pooling", pooling), ("2_Dense", dense)):
            (tmp_path / path).mkdir()
            (tmp_path / path / "config.json").write_text(json.dumps(values))
        (tmp_path / "modules.json").write_text(json.dumps(listed))
        weight = torch.randn(24, 32, generator=torch.Generator().manual_seed(0))
        save_file({"linear.weight": weight}, tmp_path / "2_Dense" / "model.safetensors")
        expected = torch.cat([rows.mean(1) @ weight.T for rows in self.rows(t5)])
        found = SentenceEncoder.from_pretrained(tmp_path).encode(TEXTS, convert_to_tensor=True)
        torch.testing.assert_close(found, torch.nn.functional.normalize(expected), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("prompt", ["Represent the cat: ", "on the mat:", " a "])
    def test_instructions_that_do_not_count(self, t5: Path, tmp_path: Path, prompt: str) -> None:
        """The form of INSTRUCTOR: what a prompt says is read, and left out of the mean; no space is dropped."""
        import transformers

        shutil.copytree(t5, tmp_path / "model")
        files = {
            "modules.json": [
                {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for i, (kind, path) in enumerate({"Transformer": "", "Pooling": "1_Pooling"}.items())
            ],
            "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
            "config_sentence_transformers.json": {"prompts": {"own": prompt}},
        }
        files["1_Pooling/config.json"] |= {"include_prompt": False}  # type: ignore[operator]
        (tmp_path / "model" / "1_Pooling").mkdir()
        for name, values in files.items():
            (tmp_path / "model" / name).write_text(json.dumps(values))
        encoder = SentenceEncoder.from_pretrained(tmp_path / "model")
        tokenizer = transformers.AutoTokenizer.from_pretrained(t5)
        model = transformers.T5EncoderModel.from_pretrained(t5)
        texts = [*TEXTS[:4], " the cat \n", "x"]
        left_out = len(tokenizer(prompt)["input_ids"])
        with torch.no_grad():
            rows = [model(**tokenizer(prompt + text, return_tensors="pt")).last_hidden_state for text in texts]
            plain = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state for text in texts]
        for found in (encoder.encode(texts, prompt_name="own"), encoder.encode(texts, prompt=prompt, batch_size=2)):
            expected = torch.cat([one[:, left_out:].mean(1) for one in rows])
            torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-5)
        expected = torch.cat([one.mean(1) for one in plain])
        torch.testing.assert_close(torch.tensor(encoder.encode(texts)), expected, rtol=1e-4, atol=1e-5)
