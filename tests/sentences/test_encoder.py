"""SentenceEncoder: the vectors of sentence-transformers, from its folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import goldens
import numpy as np
import pytest
import torch
from goldens import draw_weights
from safetensors.torch import save_file

import formers
from formers import SentenceEncoder
from formers.errors import ArgumentError, ConfigError, InputError
from tests.clock import within

GOLDENS = json.loads((Path(goldens.__file__).parent / "sentences.json").read_text(encoding="utf-8"))

TEXTS = ["a good film", "A GOOD film. " * 9, "", "abc: z", "film"]


@pytest.fixture(scope="module")
def folder(minilm: Path) -> Path:
    return minilm


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SentenceEncoder:
    return SentenceEncoder.from_pretrained(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT with weights at standard deviation 0.2, and its tokenizer."""
    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz:.", "good", "film"]
    config = formers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=64,
    )  # fmt: skip
    model = formers.BertModel(config)
    draw_weights(model)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    return folder


def altered(folder: Path, tmp_path: Path, modules: list[dict[str, Any]], pooling: dict[str, Any]) -> Path:
    """The folder with other modules after the model."""
    for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        if (folder / name).exists():
            shutil.copy(folder / name, tmp_path / name)
    first = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    (tmp_path / "modules.json").write_text(json.dumps([first, *modules]))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return tmp_path


def module(kind: str, path: str) -> dict[str, Any]:
    return {"idx": 1, "name": "1", "path": path, "type": f"sentence_transformers.models.{kind}"}


def test_what_sentence_transformers_gives(encoder: SentenceEncoder) -> None:
    found = encoder.encode(GOLDENS["texts"])
    assert found.dtype == np.float32
    assert np.abs(found - np.array(GOLDENS["mean"])).max() < 1e-5
    similar = encoder.similarity(found, found)
    assert torch.allclose(similar, torch.tensor(GOLDENS["similarity"]), atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in GOLDENS if kind not in ("texts", "mean", "similarity")])
def test_other_poolings(folder: Path, tmp_path: Path, kind: str) -> None:
    flag = {"cls": "cls_token", "lasttoken": "lasttoken"}.get(kind, f"{kind}_tokens")
    made = altered(folder, tmp_path, [module("Pooling", "1_Pooling")], {f"pooling_mode_{flag}": True})
    found = SentenceEncoder.from_pretrained(made).encode(GOLDENS["texts"])
    assert np.abs(found[:, :8] - np.array(GOLDENS[kind])).max() < 1e-4


def test_dense_and_several_poolings(folder: Path, tmp_path: Path) -> None:
    modules = [module("Pooling", "1_Pooling"), module("dense.Dense", "2_Dense"), module("Normalize", "3_Normalize")]
    made = altered(folder, tmp_path, modules, {"pooling_mode": ["cls", "mean"]})
    weights = {"linear.weight": torch.randn(6, 768), "linear.bias": torch.randn(6)}
    (made / "2_Dense").mkdir()
    save_file(weights, made / "2_Dense" / "model.safetensors")
    config = {"in_features": 768, "out_features": 6, "activation_function": "torch.nn.modules.activation.Tanh"}
    (made / "2_Dense" / "config.json").write_text(json.dumps(config))
    found = SentenceEncoder.from_pretrained(made).encode(["a film", "a story"], convert_to_tensor=True)
    (made / "modules.json").write_text((made / "modules.json").read_text().replace("dense.Dense", "Gone"))
    with pytest.raises(ConfigError, match="a Gone, which is not known"):
        SentenceEncoder.from_pretrained(made)
    (made / "modules.json").write_text(json.dumps([module("Transformer", ""), module("Pooling", "1_Pooling")]))
    pooled = SentenceEncoder.from_pretrained(made).encode(["a film", "a story"], convert_to_tensor=True)
    expected = torch.tanh(pooled @ weights["linear.weight"].T + weights["linear.bias"])
    assert torch.allclose(found, torch.nn.functional.normalize(expected, dim=1), atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "after"),
    [
        ({"pooling_mode": "mean"}, ["Normalize"]),
        ({"pooling_mode": "mean_sqrt_len_tokens", "include_prompt": False}, []),
        ({"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, ["Dense", "Normalize"]),
        ({"pooling_mode": ["mean", "cls"]}, ["Normalize", "Dense"]),
    ],
)
def test_what_is_saved_is_read_again(tiny: Path, tmp_path: Path, pooling: dict[str, Any], after: list[str]) -> None:
    modules = [module("Pooling", "1_Pooling"), *(module(kind, f"2_{kind}") for kind in after)]
    made = altered(tiny, tmp_path, modules, pooling)
    if "Dense" in after:
        (made / "2_Dense").mkdir()
        weights = {"linear.weight": torch.randn(6, 64), "linear.bias": torch.randn(6)}
        save_file(weights, made / "2_Dense" / "model.safetensors")
        activation = {"activation_function": "torch.nn.modules.linear.Identity"}
        (made / "2_Dense" / "config.json").write_text(json.dumps({"in_features": 64, "out_features": 6, **activation}))
    encoder = SentenceEncoder.from_pretrained(made)
    encoder.prompts, encoder.default_prompt_name = {"query": "good: ", "document": ""}, "query"
    encoder.max_seq_length, encoder.similarity_fn_name, encoder.do_lower_case = 20, "dot", True
    for place in ("a", "a", "b"):  # over an older save too
        encoder.save_pretrained(tmp_path / place)
        again = SentenceEncoder.from_pretrained(tmp_path / place)
        assert np.array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
        for name in ("prompts", "default_prompt_name", "max_seq_length", "similarity_fn_name", "do_lower_case"):
            assert getattr(again, name) == getattr(encoder, name)
        assert again[1].include_prompt == encoder[1].include_prompt
        encoder = again


def test_the_published_model_saved(encoder: SentenceEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    found = SentenceEncoder.from_pretrained(tmp_path).encode(GOLDENS["texts"])
    assert np.abs(found - np.array(GOLDENS["mean"])).max() < 1e-5
    modules = json.loads((tmp_path / "modules.json").read_text())
    assert [step["path"] for step in modules] == ["", "1_Pooling", "2_Normalize"]
    assert json.loads((tmp_path / "1_Pooling" / "config.json").read_text())["pooling_mode_mean_tokens"] is True


def test_texts_are_lowercased_where_the_folder_says_so(tiny: Path, tmp_path: Path) -> None:
    made = altered(tiny, tmp_path, [module("Pooling", "1_Pooling")], {"pooling_mode": "mean"})
    (made / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": false}')
    upper, lower = ["A GOOD Film"], ["a good film"]
    encoder = SentenceEncoder.from_pretrained(made)
    assert not np.allclose(encoder.encode(upper), encoder.encode(lower), atol=1e-3)
    (made / "sentence_bert_config.json").write_text('{"max_seq_length": 30, "do_lower_case": true}')
    encoder = SentenceEncoder.from_pretrained(made)
    assert np.array_equal(encoder.encode(upper), encoder.encode(lower))


def test_packed_texts_are_those_of_the_call(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SentenceEncoder.from_pretrained(tiny)
    called: list[int] = []
    packed = type(encoder.tokenizer).packed
    monkeypatch.setattr(
        type(encoder.tokenizer), "packed", lambda *args, **kwargs: called.append(1) or packed(*args, **kwargs)
    )
    whole = encoder.encode(TEXTS)
    assert called
    assert np.allclose(whole, np.stack([encoder.encode(text) for text in TEXTS]), atol=1e-5)


def test_forms(encoder: SentenceEncoder) -> None:
    texts = ["a film", "a much longer story about a film " * 40, "", "a story"]
    whole = encoder.encode(texts)
    assert whole.shape == (4, 384) == (4, encoder.get_sentence_embedding_dimension())
    assert np.allclose(whole, encoder.encode(texts, batch_size=1), atol=1e-6)
    assert np.allclose(whole[3], encoder.encode("a story"), atol=1e-6)
    assert isinstance(encoder.encode(texts, convert_to_tensor=True), torch.Tensor)
    assert [len(vector) for vector in encoder.encode(texts, convert_to_numpy=False)] == [384] * 4
    assert encoder.encode([]).shape == (0,)
    with pytest.raises(InputError, match=r"sentences\[1\] is None"):
        encoder.encode(["a", None])  # type: ignore[list-item]
    with pytest.raises(ArgumentError, match="batch_size=0"):
        encoder.encode(["a"], batch_size=0)


def test_prompts(folder: Path) -> None:
    encoder = SentenceEncoder.from_pretrained(folder)
    encoder.prompts = {"query": "query: "}
    plain, asked = encoder.encode("query: a film"), encoder.encode("a film", prompt_name="query")
    assert np.array_equal(plain, asked) and np.array_equal(plain, encoder.encode("a film", prompt="query: "))
    encoder.default_prompt_name = "query"
    assert np.array_equal(plain, encoder.encode("a film"))
    encoder[1].include_prompt = False
    assert not np.allclose(plain, encoder.encode("a film"), atol=1e-3)
    with pytest.raises(ArgumentError, match="prompt_name='passage' is not one of 'query'"):
        encoder.encode("a film", prompt_name="passage")


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities(encoder: SentenceEncoder, name: str) -> None:
    a, b = torch.randn(3, 5), torch.randn(2, 5)
    expected = {
        "cosine": torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1),
        "dot": (a[:, None] * b[None]).sum(-1),
        "euclidean": -(a[:, None] - b[None]).norm(dim=-1),
        "manhattan": -(a[:, None] - b[None]).abs().sum(-1),
    }
    encoder.similarity_fn_name, before = name, encoder.similarity_fn_name
    assert torch.allclose(encoder.similarity(a, b.numpy()), expected[name], atol=1e-5)
    encoder.similarity_fn_name = before


def test_optimized(folder: Path) -> None:
    encoder = SentenceEncoder.from_pretrained(folder)
    plain = encoder.encode(GOLDENS["texts"])
    found = encoder.optimize("bf16").encode(GOLDENS["texts"])
    assert (plain * found).sum(1).min() > 0.999


def test_a_file_of_too_many_modules(tmp_path: Path) -> None:
    steps = [module("Transformer", ""), *[module("Normalize", "1_Normalize")] * 100_000]
    (tmp_path / "modules.json").write_text(json.dumps(steps))
    with within(2), pytest.raises(formers.ConfigError, match=r"modules\.json lists 100,001 modules; at most 100"):
        formers.SentenceEncoder.from_pretrained(tmp_path)
