"""Every kind of module, and every setting of a folder: heeded as sentence-transformers does, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import goldens
import numpy as np
import pytest
import torch
from goldens import encoders
from goldens.encoders import STEPS, TEXTS

import formers
from formers import SentenceEncoder
from formers.errors import ArgumentError, CheckpointError, ConfigError, InputError
from formers.sentences import Pooling, Transformer, quantize_embeddings

GOLDENS = json.loads((Path(goldens.__file__).parent / "encoders.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    """One that keeps 9 of 16 numbers and has prompts, as its folder says."""
    place = tmp_path_factory.mktemp("encoder")
    encoders.folder(place, formers, STEPS["layer norm"], prompts=encoders.PROMPTS, truncate_dim=9)
    return SentenceEncoder.from_pretrained(place)


def close(found: Any, expected: Any) -> bool:
    return np.allclose(np.asarray(found), np.asarray(expected), atol=2e-5)


@pytest.mark.parametrize("name", STEPS)
def test_modules(tmp_path: Path, name: str) -> None:
    encoders.folder(tmp_path / "first", formers, STEPS[name], encoders.own_settings(name))
    encoder = SentenceEncoder.from_pretrained(tmp_path / "first")
    assert close(encoder.encode(TEXTS), GOLDENS["modules"][name])
    encoder.save_pretrained(tmp_path / "again")
    again = SentenceEncoder.from_pretrained(tmp_path / "again")
    assert np.allclose(again.encode(TEXTS, batch_size=2), encoder.encode(TEXTS), atol=1e-5)
    assert [type(module).__name__ for module in again] == ["Transformer", *(kind for kind, _, _ in STEPS[name])]


@pytest.mark.parametrize("name", ["sentence_roberta_config.json", "sentence_xlm-roberta_config.json"])
def test_the_limit_is_in_a_file_named_after_the_family(tmp_path: Path, name: str) -> None:
    encoders.folder(tmp_path, formers, STEPS["dropout"])
    expected = SentenceEncoder.from_pretrained(tmp_path).encode("good " * 30)
    (tmp_path / "sentence_bert_config.json").rename(tmp_path / name)
    encoder = SentenceEncoder.from_pretrained(tmp_path)
    assert encoder.max_seq_length == 12
    assert np.array_equal(encoder.encode("good " * 30), expected)


@pytest.mark.parametrize("call", encoders.ENCODED)
def test_arguments_of_encode(encoder: SentenceEncoder, call: str) -> None:
    found, expected = encoder.encode(TEXTS, **encoders.ENCODED[call]), np.array(GOLDENS["encoded"][call])
    assert found.shape == expected.shape
    # a number at the border of two levels may fall on either side
    assert np.abs(found.astype(float) - expected).max() <= (1 if "int8" in call else 2e-5)
    assert found.dtype == {"binary": np.int8, "int8": np.int8, "ubinary": np.uint8, "uint8": np.uint8}.get(
        call, np.float32
    )


def test_what_the_folder_says_of_the_whole(encoder: SentenceEncoder) -> None:
    expected = GOLDENS["encoded"]
    assert close(encoder.encode(TEXTS), expected["plain"])
    assert encoder.truncate_dim == encoder.get_embedding_dimension() == encoder.get_sentence_embedding_dimension() == 9
    assert close(encoder.encode_query(TEXTS), expected["query"])
    assert close(encoder.encode_document(inputs=TEXTS), expected["document"])
    assert close(encoder.encode_query(TEXTS, prompt_name="passage"), expected["prompt"])
    assert close(encoder.encode_query(TEXTS, prompt="the film: "), expected["prompt"])
    assert close(encoder.encode_query(TEXTS, None, "the film: "), expected["prompt"])
    with encoder.truncate_sentence_embeddings(5):
        assert close(encoder.encode(TEXTS), expected["cut"])
    assert encoder.encode(TEXTS, truncate_dim=99).shape == (5, 16)
    for name in ("cosine", "dot", "euclidean", "manhattan"):
        encoder.similarity_fn_name = name
        found = encoder.similarity_pairwise(encoder.encode(TEXTS[:2]), encoder.encode(TEXTS[2:4]))
        assert close(found, expected[f"{name} of pairs"])
    encoder.similarity_fn_name = "cosine"
    with pytest.raises(InputError, match=r"\(1, 9\) and \(2, 9\)"):
        encoder.similarity_pairwise(encoder.encode("a"), encoder.encode(TEXTS[:2]))


def test_a_model_without_modules(tmp_path: Path) -> None:
    encoders.folder(tmp_path, formers, [])
    (tmp_path / "modules.json").unlink()
    plain = SentenceEncoder.from_pretrained(tmp_path)
    tokens = plain.encode(TEXTS[0], output_value="token_embeddings")
    assert close(plain.encode(TEXTS[0]), tokens.mean(0))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["OtherForCausalLM"]}))
    assert close(SentenceEncoder.from_pretrained(tmp_path).encode(TEXTS[0]), tokens[-1])


def test_truncate_dim_is_kept(encoder: SentenceEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    assert SentenceEncoder.from_pretrained(tmp_path).truncate_dim == 9
    assert SentenceEncoder.from_pretrained(tmp_path, truncate_dim=3, device="cpu").encode(TEXTS).shape == (5, 3)


def test_output_value(encoder: SentenceEncoder) -> None:
    tokens = encoder.encode(TEXTS, output_value="token_embeddings")
    for found, expected in zip(tokens, GOLDENS["encoded"]["tokens"], strict=True):
        assert close(found[:, :3], expected)
    assert torch.allclose(encoder.encode(TEXTS[1], output_value="token_embeddings"), tokens[1], atol=1e-5)
    every = encoder.encode(TEXTS, output_value=None, prompt_name="query", batch_size=2)
    assert {"input_ids", "attention_mask", "token_embeddings", "sentence_embedding", "prompt_length"} <= every[0].keys()
    assert close([one["sentence_embedding"] for one in every], GOLDENS["encoded"]["query"])
    assert isinstance(encoder.encode(TEXTS[0], output_value=None), dict)


def test_forms_of_precision(encoder: SentenceEncoder) -> None:
    bits = encoder.encode(TEXTS, precision="ubinary")
    assert torch.equal(encoder.encode(TEXTS, precision="ubinary", convert_to_tensor=True), torch.from_numpy(bits))
    assert np.array_equal(encoder.encode(TEXTS[0], precision="ubinary"), bits[0])
    assert encoder.encode(TEXTS, precision="int8", convert_to_numpy=False)[0].dtype == torch.int8
    assert encoder.encode(TEXTS, precision=None).dtype == np.float32
    vectors = encoders.vectors()
    ranges = np.stack([vectors.min(0), vectors.max(0)])
    for found in (
        quantize_embeddings(vectors[:3], "int8", ranges=ranges),
        quantize_embeddings(torch.from_numpy(vectors[:3]), "int8", calibration_embeddings=vectors),
    ):
        assert np.abs(found.astype(int) - np.array(GOLDENS["searched"]["int8 of ranges"])).max() <= 1
    with pytest.raises(InputError, match="'int8' of one vector has no range"):
        encoder.encode("a", precision="int8")
    with pytest.raises(InputError, match="embeddings are int8 already"):
        quantize_embeddings(found, "uint8")


def test_unusable_arguments(encoder: SentenceEncoder) -> None:
    for options in (
        {"precision": "int4"},
        {"output_value": "sentence"},
        {"truncate_dim": 0},
        {"device": "gpu"},
        {"batch_size": 0},
    ):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            encoder.encode(TEXTS, **options)
    with pytest.raises(ArgumentError, match="encode needs sentences"):
        encoder.encode()
    with pytest.raises(TypeError, match="pool"):
        encoder.encode(TEXTS, pool={})  # type: ignore[call-arg]


def test_indexing_and_tokenizing(encoder: SentenceEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(encoder[0], Transformer) and isinstance(encoder[1], Pooling) and len(encoder) == 3
    assert encoder[0].auto_model is encoder.model and encoder[-1] is list(encoder)[2]
    read = encoder.tokenize(["good " * 30, "a"])
    assert read["input_ids"].shape == read["attention_mask"].shape == (2, 12)
    with torch.no_grad():
        features = encoder[2](encoder[1](encoder[0](read)))
    assert close(features["sentence_embedding"][:, :9], encoder.encode(["good " * 30, "a"]))
    assert encoder.encode(TEXTS, show_progress_bar=False, device="cpu").shape == (5, 9)
    assert not capsys.readouterr().err
    encoder.encode(TEXTS, show_progress_bar=True)
    assert "Texts" in capsys.readouterr().err
    encoder.set_pooling_include_prompt(False)
    assert encoder[1].include_prompt is False
    encoder.set_pooling_include_prompt(True)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("sentence_bert_config.json", {"max_seq_length": "12"}, "max_seq_length='12' should be a number"),
    ("sentence_bert_config.json", {"query_length": 8}, "query_length=8 is not known here, and may change"),
    ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task='fill-mask'"),
    ("sentence_bert_config.json", {"model_args": {"peft": 1}}, r"model_kwargs\['peft'\]=1"),
    ("sentence_bert_config.json", {"config_args": {"token": "x"}}, r"config_kwargs\['token'\]='x'"),
    ("sentence_bert_config.json", {"processing_kwargs": {"text": {"padding": "max"}}}, r"\['padding'\]='max'"),
    ("sentence_bert_config.json", {"modality_config": {"image": {"method": "get"}}}, r"modality_config\['image'\]="),
    ("sentence_bert_config.json", {"modality_config": [1]}, r"modality_config=\[1\]"),
    ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "is of a 'SparseEncoder'"),
    ("config_sentence_transformers.json", {"prompts": {"query": 3}}, "prompts=.* should be texts"),
    ("config_sentence_transformers.json", {"default_prompt_name": ["query"]}, "should be a name"),
    ("config_sentence_transformers.json", {"similarity_fn_name": "maxsim"}, "similarity_fn_name='maxsim'"),
    ("config_sentence_transformers.json", {"default_prompt_name": "a"}, "default_prompt_name='a' is not one of"),
    ("1_Pooling/config.json", {"pooling_mode": "medoid"}, "medoid"),
    ("1_Pooling/config.json", {"pooling_mode_median_tokens": True}, "'pooling_mode_median_tokens' is not known"),
    ("2_LayerNorm/config.json", {"dimension": 16, "eps": 1.0}, "2_LayerNorm/config.json has 'eps', which a LayerNorm"),
    ("2_LayerNorm/config.json", {}, "2_LayerNorm/config.json: .*dimension"),
    ("2_LayerNorm/config.json", {"dimension": 1e99}, "2_LayerNorm/config.json: "),
    ("modules.json", {"type": "Transformer"}, "should hold a list of modules"),
    ("modules.json", [{"type": "a.Transformer", "path": ""}, {"type": "a.Router", "path": "r"}], "a Router, which is"),
]


@pytest.mark.parametrize(("file", "values", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_settings_that_are_refused(tmp_path: Path, file: str, values: Any, message: str) -> None:
    encoders.folder(tmp_path, formers, STEPS["layer norm"])
    (tmp_path / file).write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=message):
        SentenceEncoder.from_pretrained(tmp_path)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    encoders.folder(tmp_path, formers, STEPS["layer norm"])
    (tmp_path / "2_LayerNorm" / "config.json").write_text('{"dimension": 17}')
    with pytest.raises(CheckpointError, match=r"2_LayerNorm.* has not the weights of a LayerNorm"):
        SentenceEncoder.from_pretrained(tmp_path)
    (tmp_path / "2_LayerNorm" / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"2_LayerNorm/model\.safetensors"):
        SentenceEncoder.from_pretrained(tmp_path)
    encoders.folder(tmp_path / "layers", formers, STEPS["layers"])
    with pytest.raises(ConfigError, match="output_hidden_states=True"):
        SentenceEncoder.from_pretrained(tmp_path / "layers").encode(TEXTS)


def test_sizes_out_of_proportion_cost_nothing(tmp_path: Path) -> None:
    encoders.folder(tmp_path, formers, STEPS["recurrent"])
    for more in ({"num_layers": 10**9}, {"hidden_dim": 10**7}):
        config = {**STEPS["recurrent"][0][1], **more}
        (tmp_path / "1_LSTM" / "lstm_config.json").write_text(json.dumps(config))
        with pytest.raises((ConfigError, CheckpointError), match="1_LSTM"):
            SentenceEncoder.from_pretrained(tmp_path)


def test_settings_that_are_heeded(tmp_path: Path) -> None:
    encoders.folder(tmp_path, formers, STEPS["layers"])
    newer = {
        "transformer_task": "feature-extraction",
        "module_output_name": "token_embeddings",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "processing_kwargs": {"text": {"max_length": 5}},
        "model_args": {"torch_dtype": "bfloat16", "attn_implementation": "sdpa", "trust_remote_code": True},
        "tokenizer_args": {"padding_side": "left"},
        "config_args": {"output_hidden_states": True},
        "unpad_inputs": True,
    }
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps(newer))
    encoder = SentenceEncoder.from_pretrained(tmp_path)
    assert encoder.model.dtype == torch.bfloat16
    assert (encoder.max_seq_length, encoder.tokenize(TEXTS)["input_ids"].shape) == (5, (5, 5))
    encoder.model.config.return_dict = False
    assert encoder.encode(TEXTS).dtype == np.float32
    assert SentenceEncoder.from_pretrained(tmp_path, dtype=torch.float32).model.dtype == torch.float32
