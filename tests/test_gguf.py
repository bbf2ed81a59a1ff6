"""GGUF files as models: configuration, weights and tokenizer, compared with the reference's models and its reading."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import gguf as theirs
import gguf_files
import pytest
import torch
import transformers
from corpus import sst2
from damage import flipped
from gguf_files import MODELS
from hypothesis import given, settings
from tokenizers import ByteLevelBPETokenizer, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

import formers
from formers import gguf, registry
from formers.checkpoints import open_checkpoint
from formers.convert import convert
from formers.errors import ArgumentError, CheckpointError, ConfigError, FormersError, NotFoundError, TokenizerError
from formers.gguf.architectures import ARCHITECTURES
from tests.clock import within

UNREAD = {"gemma", "olmo2", "granite"}  # architectures that the reference does not read
NAMES = [pytest.param(name, id=name) for name in MODELS]


@cache
def model(name: str) -> Any:
    return gguf_files.model(name)


def saved(folder: Path, name: str, **more: Any) -> Path:
    return gguf_files.saved(folder / "x.gguf", name, model(name), **more)


# Configuration and weights


@pytest.mark.parametrize("name", NAMES)
def test_configuration_is_the_models(tmp_path: Path, name: str) -> None:
    found = gguf.config_values(saved(tmp_path, name))
    config, kind = model(name).config, MODELS[name][1]
    assert found.pop("architectures") == [type(model(name)).__name__]
    assert found.pop("model_type") == config.model_type and found.pop("dtype") == "float32"
    assert found.pop("_name_or_path") == str(tmp_path / "x.gguf")
    made = getattr(transformers, kind)(**found)
    expected = getattr(transformers, kind)(**{**MODELS[name][2], "bos_token_id": 1, "eos_token_id": 2})
    theirs, ours = expected.to_dict(), made.to_dict()
    leave = {"dtype", "torch_dtype", "pad_token_id", "transformers_version", "_name_or_path"}
    for key in theirs.keys() - leave:
        if key in (
            "ffn_hidden_size",
            "n_inner",
            "head_dim",
            "rope_parameters",
            "num_kv_heads",
            "num_ln_in_parallel_attn",
        ):
            continue
        if isinstance(theirs[key], float):
            assert ours[key] == pytest.approx(theirs[key]), key
        else:
            assert ours[key] == theirs[key], key
    if "rope_parameters" in theirs:
        assert ours["rope_parameters"] == theirs["rope_parameters"]


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name][0] not in UNREAD])
def test_configuration_is_what_the_reference_reads(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, name)
    found, expected = gguf.config_values(path), load_gguf_checkpoint(path)["config"]
    said = {"n_ctx": "n_positions", "feed_forward_length": "n_inner"}
    for key, value in expected.items():
        if key in ("_model_name_or_path", "unk_token_id") or (key == "num_key_value_heads" and "falcon" in name):
            continue
        if key == "intermediate_size" and "falcon" in name:
            key = "ffn_hidden_size"
        assert found[said.get(key, key)] == value, key


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_the_models(tmp_path: Path, name: str) -> None:
    found = gguf.tensors(saved(tmp_path, name))
    expected = dict(model(name).state_dict())
    tied = {"lm_head.weight"} if model(name).config.tie_word_embeddings else set()
    assert found.keys() == expected.keys() - tied
    for key, lazy in found.items():
        value = lazy.load()
        assert lazy.name == key and (tuple(value.shape), value.dtype) == (lazy.shape, lazy.dtype)
        assert value.is_contiguous()
        torch.testing.assert_close(value, expected[key], rtol=0, atol=3e-7 if "gemma" in name else 0)


@pytest.mark.parametrize(
    "name", [n for n in MODELS if MODELS[n][0] not in UNREAD and n not in ("mistral", "falcon-40b", "falcon-11b")]
)
def test_weights_are_what_the_reference_reads(tmp_path: Path, name: str) -> None:
    """The same of a quantised file. The reference refuses what it calls Mistral, and leaves Falcon 40B out of order."""
    path = gguf_files.saved(tmp_path / "x.gguf", name, model(name), quantised=theirs.GGMLQuantizationType.Q8_0)
    expected = load_gguf_checkpoint(path, return_tensors=True, model_to_load=model(name))["tensors"]
    found = gguf.tensors(path)
    shared = found.keys() & expected.keys()
    assert len(shared) >= len(found) - 1
    assert all(torch.equal(found[key].load(), expected[key]) for key in shared)


@pytest.mark.parametrize("name", NAMES)
def test_models_load(tmp_path: Path, name: str) -> None:
    if registry.family_of(model(name).config.model_type) is None:
        pytest.skip("the family is not here yet")
    path, ids = saved(tmp_path, name), torch.tensor([[5, 17, 80, 3, 44, 9]])
    with torch.inference_mode():
        expected = model(name)(ids).logits
        for ours in (
            formers.AutoModelForCausalLM.from_pretrained(path),
            formers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="x.gguf"),
        ):
            torch.testing.assert_close(ours(ids).logits, expected, rtol=1e-4, atol=1e-4)
    ours.save_pretrained(tmp_path / "saved")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(again(ids).logits, expected, rtol=1e-4, atol=1e-4)


def test_converted_to_a_folder(tmp_path: Path) -> None:
    """Also where the family is not known: then the names of the tensors are those of Transformers all the same."""
    done = convert(byte_level(tmp_path, architecture="llama"), tmp_path / "folder")
    assert {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    } <= set(done.files)  # fmt: skip
    said = formers.GenerationConfig.from_pretrained(tmp_path / "folder")
    assert said.eos_token_id == formers.GenerationConfig.from_pretrained(tmp_path / "x.gguf").eos_token_id
    found = open_checkpoint(tmp_path / "folder" / "model.safetensors")
    name = "model.layers.1.self_attn.k_proj.weight"
    assert torch.equal(found[name].load(), model("llama").state_dict()[name])
    ours = formers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "folder")
    assert (
        ours("a b<|end|>")["input_ids"]
        == formers.AutoTokenizer.from_pretrained(tmp_path / "x.gguf")("a b<|end|>")["input_ids"]
    )


def test_how_a_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, "llama")
    other = tmp_path / "x.bin"
    other.write_bytes(path.read_bytes())
    for wanted in ("x.gguf", "x.bin"):
        kwargs = {"gguf_file": wanted, "revision": "main"}
        assert gguf.given(tmp_path, kwargs) == tmp_path / wanted
        assert kwargs == {"revision": "main"}
    assert gguf.given(str(other), {}) == other
    assert gguf.given(tmp_path, {}) is None and gguf.given("a/name", {}) is None and gguf.given(None, {}) is None
    (tmp_path / "y.gguf").write_bytes(b"GGML" + bytes(40))
    with pytest.raises(CheckpointError, match=r"y\.gguf' is no GGUF file"):
        gguf.given(tmp_path, {"gguf_file": "y.gguf"})
    with pytest.raises(NotFoundError, match=r"has no z\.gguf\. It has x\.bin, x\.gguf, y\.gguf"):
        gguf.given(tmp_path, {"gguf_file": "z.gguf"})


def test_a_class_of_another_family(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model_type is 'llama', but BertConfig is for 'bert'"):
        formers.BertModel.from_pretrained(saved(tmp_path, "llama"))


def changed(folder: Path, **changes: Any) -> Path:
    """A file of Llama with other keys; None takes one out. A change of a tensor is its sizes."""
    made = model("llama")
    keys = {"general.name": "x", **gguf_files.keys("llama", made.config)}
    tensors = gguf_files.as_converted("llama", made)
    for key, value in changes.items():
        table: dict[str, Any] = tensors if key.endswith(("weight", "bias")) else keys
        key = key if table is tensors or key.startswith("split") else f"llama.{key}"
        if value is None:
            del table[key]
        else:
            table[key] = torch.ones(value) if table is tensors else value
    return gguf_files.write(folder / "x.gguf", "llama", keys, tensors)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split.count": 3}, "one of 3 files.*give each the name"),
        ({"expert_count": 8}, "mixture of experts"),
        ({"token_embd.weight": None}, "no tensor token_embd"),
        ({"token_embd.weight": (8,)}, "no tensor token_embd"),
        ({"attention.head_count": 0}, "attention.head_count is 0"),
        ({"attention.head_count": "4"}, "attention.head_count is 4"),
        ({"attention.head_count": None}, "attention.head_count is None"),
        ({"attention.head_count": 5}, r"\[32, 32\] cannot be cut into 10 parts"),
        ({"attention.head_count_kv": [1, 2]}, "differs between layers"),
        ({"blk.0.attn_q.weight": ()}, "cannot be cut"),
        ({"model.norm.weight": (8,)}, "two tensors are 'model.norm.weight'"),
        ({"rope.scaling.type": "odd", "rope.scaling.factor": 2.0}, "rope.scaling.type is 'odd'"),
        ({"rope.scaling.type": "linear", "rope.scaling.factor": "x"}, "with the factor x"),
        ({"rope_freqs.weight": (5000,)}, r"shape \[5000\]"),
        ({"rope_freqs.weight": (2, 2)}, r"shape \[2, 2\]"),
    ],
    ids=range(15),
)
def test_files_that_are_no_model(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    def load(path: Path) -> None:
        gguf.config_values(path)
        for lazy in gguf.tensors(path).values():
            lazy.load()

    path = changed(tmp_path, **changes)
    with pytest.raises((CheckpointError, ConfigError), match=words) as caught:
        load(path)
    assert str(tmp_path / "x.gguf") in str(caught.value)


def test_an_unknown_architecture(tmp_path: Path) -> None:
    path = gguf_files.write(tmp_path / "x.gguf", "lama", {}, {})
    with pytest.raises(ConfigError, match=r"'lama', and known are llama, qwen2.*Did you mean 'llama'"):
        gguf.config_values(path)


def test_values_for_each_layer_that_agree(tmp_path: Path) -> None:
    path = changed(tmp_path, **{"attention.head_count_kv": [2, 2]})
    assert gguf.config_values(path)["num_key_value_heads"] == 2
    assert torch.equal(gguf.tensors(path)["model.layers.0.self_attn.k_proj.weight"].load(),
                       model("llama").state_dict()["model.layers.0.self_attn.k_proj.weight"])  # fmt: skip


def test_tensors_of_unknown_names_keep_them(tmp_path: Path) -> None:
    found = gguf.tensors(changed(tmp_path, **{"blk.0.odd.weight": (2,), "blk.00.attn_q.weight": (2,)}))
    assert {"blk.0.odd.weight", "blk.00.attn_q.weight"} <= found.keys()


# Scaled positions


def factors_of_llama3(dimensions: int, theta: float, factor: float, high: float, length: int) -> torch.Tensor:
    """As convert_hf_to_gguf.py computes them."""
    frequencies = 1.0 / theta ** (torch.arange(0, dimensions, 2, dtype=torch.float32) / dimensions)
    found = []
    for wave in 2 * torch.pi / frequencies:
        share = (length / wave - 1) / (high - 1)
        found.append(1.0 if wave < length / high else factor if wave > length else 1 / ((1 - share) / factor + share))
    return torch.tensor(found)


@pytest.mark.parametrize(("dimensions", "factor"), [(128, 8.0), (64, 32.0), (64, 8.0)])
def test_the_scaling_of_llama_3(tmp_path: Path, dimensions: int, factor: float) -> None:
    made = model("llama")
    tensors = gguf_files.as_converted("llama", made)
    tensors["rope_freqs.weight"] = factors_of_llama3(dimensions, 500_000.0, factor, 4.0, 8192)
    keys = {**gguf_files.keys("llama", made.config), "llama.rope.freq_base": 500_000.0}
    path = gguf_files.write(tmp_path / "x.gguf", "llama", keys, tensors)
    assert gguf.config_values(path)["rope_scaling"] == {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    assert "rope_freqs.weight" not in gguf.tensors(path)
    tensors["rope_freqs.weight"][20:] += 1
    gguf_files.write(path, "llama", keys, tensors)
    with pytest.raises(ConfigError, match="none of Llama 3's scaling"):
        gguf.config_values(path)
    tensors["rope_freqs.weight"].fill_(1)
    gguf_files.write(path, "llama", keys, tensors)
    assert "rope_scaling" not in gguf.config_values(path)


def test_other_scalings(tmp_path: Path) -> None:
    linear = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    assert gguf.config_values(changed(tmp_path, **linear))["rope_scaling"] == {"rope_type": "linear", "factor": 4.0}
    old = {"rope.scale_linear": 2.0}
    assert gguf.config_values(changed(tmp_path, **old))["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}
    yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 4096}
    assert gguf.config_values(changed(tmp_path, **yarn))["rope_scaling"] == {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 4096,
    }
    made = model("phi3")
    tensors = gguf_files.as_converted("phi3", made)
    tensors |= {"rope_factors_long.weight": torch.full((4,), 2.0), "rope_factors_short.weight": torch.ones(4)}
    keys = {**gguf_files.keys("phi3", made.config), "phi3.rope.scaling.original_context_length": 20}
    found = gguf.config_values(gguf_files.write(tmp_path / "x.gguf", "phi3", keys, tensors))
    assert found["rope_scaling"] == {"rope_type": "longrope", "long_factor": [2.0] * 4, "short_factor": [1.0] * 4}
    assert found["original_max_position_embeddings"] == 20


# Tokenizers

TEXTS = [
    *[text for _, text in sst2("dev")[:60]],
    "", " ", "  two  spaces ", "\n\n a\t\tb\r\n", "It's WE'LL don't I'M", "x1234567 12", "naïve café — déjà vu… 東京",
    "a<|end|>b <|end|>", "<think>hm</think>", "🙂👍🏽", "CamelCase HTTPServer", "a/b//c\n/", "....!!!", "a 1",
]  # fmt: skip


@cache
def learned() -> tuple[list[str], list[str]]:
    """Tokens and merges of a small byte-level BPE."""
    made = ByteLevelBPETokenizer()
    made.train_from_iterator([text for _, text in sst2("dev")[:300]], vocab_size=500, show_progress=False)
    state = json.loads(made.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].get)
    return tokens, [" ".join(pair) for pair in state["merges"]]


def byte_level(folder: Path, pre: str | None = "gpt-2", architecture: str = "qwen2", **more: Any) -> Path:
    tokens, merges = learned()
    special = ["<|begin|>", "<|end|>", "<|endoftext|>", "<think>"]
    keys = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": tokens + special,
        "tokenizer.ggml.token_type": [1] * len(tokens) + [3, 3, 3, 4],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": len(tokens),
        "tokenizer.ggml.eos_token_id": len(tokens) + 1,
        f"{architecture}.context_length": 512,
        **gguf_files.keys("llama", model("llama").config),
        **({} if pre is None else {"tokenizer.ggml.pre": pre}),
    }
    keys = {key: value for key, value in {**keys, **more}.items() if value is not None}
    keys = {key.replace("llama.", f"{architecture}."): value for key, value in keys.items()}
    return gguf_files.write(folder / "x.gguf", architecture, keys, gguf_files.as_converted("llama", model("llama")))


def compare(path: Path, texts: list[str]) -> tuple[Any, Any]:
    """Both tokenizers of a file, after they have given the same for texts."""
    ours = formers.AutoTokenizer.from_pretrained(path)
    reference = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    assert len(ours) == len(reference) and ours.get_vocab() == reference.get_vocab()
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        assert getattr(ours, name) == getattr(reference, name), name
    for text in texts:
        found, expected = ours(text), reference(text)
        assert found.keys() == expected.keys()
        assert found["input_ids"] == expected["input_ids"], text
        for skip in (False, True):
            ids = found["input_ids"]
            assert ours.decode(ids, skip_special_tokens=skip) == reference.decode(ids, skip_special_tokens=skip), text
    assert ours("a", "b")["input_ids"] == reference("a", "b")["input_ids"]
    return ours, reference


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "dbrx", "qwen2", "tekken", "gpt-4o"])
def test_byte_level(tmp_path: Path, pre: str) -> None:
    texts = TEXTS
    if pre in ("llama-bpe", "tekken"):  # words that are tokens are taken as they are there; here merges give the same
        texts = [text for text in TEXTS if "think" not in text]
    ours, _ = compare(byte_level(tmp_path, pre, **{"tokenizer.ggml.add_bos_token": pre != "gpt-2"}), texts)
    assert ours.model_max_length == 40 and isinstance(ours, formers.PreTrainedTokenizer)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2", "phi3", "falcon", "bloom"])
def test_padding_is_where_the_reference_has_it(tmp_path: Path, architecture: str) -> None:
    ours, reference = compare(byte_level(tmp_path, architecture=architecture), ["a b"])
    assert ours.padding_side == reference.padding_side


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
MAPPED = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


@pytest.mark.parametrize(
    ("pre", "parts"),
    [
        ("smollm", [pre_tokenizers.Digits(individual_digits=True), BYTES]),
        ("refact", [pre_tokenizers.Digits(individual_digits=True), BYTES]),
        (
            "falcon",
            [
                pre_tokenizers.Punctuation("contiguous"),
                BYTES,
                pre_tokenizers.Digits(individual_digits=False),
                pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
            ],
        ),
        ("bloom", [pre_tokenizers.Split(Regex(r" ?[^(\s|[.,!?…。，、।۔،])]+"), "isolated"), MAPPED]),
    ],
    ids=["smollm", "refact", "falcon", "bloom"],
)
def test_splitting_as_in_published_files(tmp_path: Path, pre: str, parts: list[Any]) -> None:
    """What the reference splits as GPT-2 does, and the tokenizer.json of these models does not."""
    tokens, merges = learned()
    expected = Tokenizer(
        models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges])
    )
    expected.pre_tokenizer, expected.decoder = pre_tokenizers.Sequence(parts), decoders.ByteLevel()
    ours = formers.AutoTokenizer.from_pretrained(byte_level(tmp_path, pre))
    for text in TEXTS:
        if "<" not in text:
            assert ours(text)["input_ids"] == expected.encode(text).ids, text


def test_a_file_that_does_not_say_how_it_splits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    compare(byte_level(tmp_path, None), TEXTS)
    assert "does not say how texts are split" in caplog.text


def test_words_that_are_tokens(tmp_path: Path) -> None:
    """Llama 3 has tokens that no merges lead to."""
    tokens, _ = learned()
    more = {"tokenizer.ggml.tokens": [*tokens, "Ġzyzzyva"], "tokenizer.ggml.token_type": None}
    more |= {"tokenizer.ggml.bos_token_id": None, "tokenizer.ggml.eos_token_id": None}
    ours = formers.AutoTokenizer.from_pretrained(byte_level(tmp_path, "llama-bpe", **more))
    assert ours(" zyzzyva")["input_ids"] == [len(tokens)]


def test_special_tokens_and_options(tmp_path: Path) -> None:
    tokens, _ = learned()
    more = {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": True}
    template = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    more |= {"tokenizer.chat_template": template, "tokenizer.ggml.padding_token_id": len(tokens)}
    path = byte_level(tmp_path, **more)
    ours, reference = compare(path, TEXTS)
    assert ours.chat_template == reference.chat_template == template
    talk = [{"role": "user", "content": "hi"}]
    assert (
        ours.apply_chat_template(talk, tokenize=False)
        == reference.apply_chat_template(talk, tokenize=False)
        == "hi<|end|>"
    )
    assert ours.all_special_tokens == ["<|begin|>", "<|end|>"] and ours.pad_token == "<|begin|>"
    other = formers.AutoTokenizer.from_pretrained(tmp_path, gguf_file="x.gguf", padding_side="left", model_max_length=7)
    assert (other.padding_side, other.model_max_length) == ("left", 7)
    ours.save_pretrained(tmp_path / "saved")
    for again in (formers, transformers):
        loaded = again.AutoTokenizer.from_pretrained(tmp_path / "saved")
        assert loaded("a <|end|>b")["input_ids"] == ours("a <|end|>b")["input_ids"]
    more["tokenizer.chat_template.tools"] = "{{ 1 }}"
    assert formers.AutoTokenizer.from_pretrained(byte_level(tmp_path, **more)).chat_template == {
        "default": template,
        "tools": "{{ 1 }}",
    }
    with pytest.raises(ArgumentError, match="Did you mean 'padding_side'"):
        formers.AutoTokenizer.from_pretrained(path, padding_sid="left")


def pieces(architecture: str) -> tuple[list[str], list[float], list[int]]:
    """A small vocabulary of SentencePiece: merged pieces, the later the lower their score, then single letters."""
    words = sorted({word for _, text in sst2("dev")[:40] for word in text.split()})
    letters = sorted({letter for _, text in sst2("dev")[:60] for letter in text if letter != " "})
    parts = dict.fromkeys(f"▁{word}"[:size] for word in words for size in range(2, 6))
    spaces = ["  ", "   "] if architecture.startswith("gemma") else []
    named = ["<bos>", "<eos>", "<pad>", "<mask>"] if spaces else ["<s>", "</s>"]
    tokens = ["<unk>", *named, *(f"<0x{byte:02X}>" for byte in range(256)), "<think>", *spaces]
    kinds = [2, *[3] * len(named), *[6] * 256, 4, *[4] * len(spaces)]
    scores = [0.0] * len(tokens)
    rest = [part for part in parts if part not in tokens] + ["▁", *letters]
    return (
        tokens + rest,
        scores + [-float(i) for i in range(len(rest))],
        kinds + [1] * len(rest),
    )


def sentencepiece(folder: Path, architecture: str, **more: Any) -> Path:
    tokens, scores, kinds = pieces(architecture)
    ids = {"bos": 1, "eos": 2, "unknown": 0}
    return byte_level(folder, None, architecture, **{
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds, "tokenizer.ggml.merges": None,
        **{f"tokenizer.ggml.{key}_token_id": number for key, number in ids.items()}, **more,
    })  # fmt: skip


@pytest.mark.parametrize("architecture", ["llama", "phi3", "gemma2", "gemma3"])
def test_sentencepiece(tmp_path: Path, architecture: str) -> None:
    ours, reference = compare(sentencepiece(tmp_path, architecture), [text for text in TEXTS if "<|" not in text])
    assert ours.padding_side == reference.padding_side
    assert ours("a")["input_ids"][0] == 1
    offs = {"tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_space_prefix": False}
    ours = formers.AutoTokenizer.from_pretrained(sentencepiece(tmp_path, architecture, **offs))
    assert ours.tokenize("a") == ["a"] and ours.decode(ours(" a b")["input_ids"]) == " a b"


def test_sentencepiece_with_merges(tmp_path: Path) -> None:
    tokens, _, _ = pieces("llama")
    merges = [f"▁ {tokens[-1]}", "a n"]
    known = [merge for merge in merges if merge.replace(" ", "") in tokens]
    compare(sentencepiece(tmp_path, "llama", **{"tokenizer.ggml.merges": known or ["▁ t"]}), ["an a", "to"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "t5"}, "model is 't5', and known are gpt2, llama"),
        ({"model": None}, "model is 'None'"),
        ({"model": 5}, "should be a str"),
        ({"tokens": None}, "no tokenizer.ggml.tokens"),
        ({"tokens": [1, 2]}, "no tokenizer.ggml.tokens"),
        ({"tokens": ["a", "b", "a"]}, "the token 'a' is in it twice"),
        ({"tokens": "abc"}, "should be a list"),
        ({"merges": None}, "no tokenizer.ggml.merges"),
        ({"merges": ["a b c"]}, "merge 1 is 'a b c'"),
        ({"merges": ["a ĠĠĠĠĠ"]}, "cannot be made"),
        ({"merges": [1]}, "cannot be made|merge 1|should be"),
        ({"token_type": [1]}, "should be 5.. values"),
        ({"token_type": ["a"] * 3}, "should be 5.. values"),
        ({"pre": "odd"}, "pre is 'odd', and known are"),
        ({"pre": 1}, "should be a str"),
        ({"bos_token_id": 10_000}, "bos_token_id is 10,000, and there are 5"),
        ({"eos_token_id": "1"}, "should be a int"),
        ({"add_bos_token": 1}, "should be a bool"),
        ({"model": "llama", "merges": None, "scores": [0.5]}, "should be 5.. values"),
        ({"model": "llama", "merges": None, "tokens": ["<unk>", "a" * 20_000], "token_type": None}, "too long"),
    ],
    ids=range(20),
)
def test_tokenizers_that_cannot_be_made(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    if "too long" in words:
        changes = {**changes, "bos_token_id": None, "eos_token_id": None}
    path = byte_level(tmp_path, **{f"tokenizer.ggml.{key}": value for key, value in changes.items()})
    with within(2), pytest.raises(TokenizerError, match=words) as caught:
        formers.AutoTokenizer.from_pretrained(path)
    assert str(path) in str(caught.value)


def test_a_template_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="chat_template is no text"):
        formers.AutoTokenizer.from_pretrained(byte_level(tmp_path, **{"tokenizer.chat_template": 5}))


@pytest.mark.parametrize("architecture", [*ARCHITECTURES])
def test_broken_files(tmp_path: Path, architecture: str) -> None:
    """Whatever a byte of the header says, nothing but an error of this package comes of it."""
    tokens = {
        "tokenizer.ggml.tokens": ["a", "b", "ab"],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.pre": "gpt-2",
    }
    name = architecture
    keys = {**gguf_files.keys(name, model(name).config), "tokenizer.ggml.model": "gpt2", **tokens}
    path = gguf_files.write(tmp_path / "x.gguf", architecture, keys, {
        key: value[:8] for key, value in gguf_files.as_converted(name, model(name)).items()
    })  # fmt: skip
    data = path.read_bytes()
    begin = data.index(b"token_embd") + 200

    @settings(max_examples=25, deadline=None, database=None)
    @given(flipped(data[:begin]).map(lambda head: head + data[len(head) :]))
    def check(broken: bytes) -> None:
        path.write_bytes(broken)
        with within(2):
            for attempt in (
                gguf.config_values,
                gguf.generation_values,
                gguf.tensors,
                formers.AutoTokenizer.from_pretrained,
            ):
                try:
                    attempt(path)
                except FormersError:
                    continue

    check()
