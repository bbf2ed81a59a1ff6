"""GGUF files wherever a model is named: which calls take them, parts, types, where texts end, absurd values."""

from __future__ import annotations

import functools
import json
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf as theirs
import gguf_files
import pytest
import torch
from damage import flipped, patched
from hub_server import HubServer
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gguf import byte_level, learned

import formers
from formers import gguf
from formers.check import check
from formers.cli import main
from formers.errors import CheckpointError, ConfigError, FormersError, InputError, NotFoundError, TokenizerError
from tests.clock import within

Q8 = theirs.GGMLQuantizationType.Q8_0
IDS = torch.tensor([[5, 17, 80, 3, 44, 9]])


@functools.cache
def llama() -> Any:
    return gguf_files.model("llama")


def saved(folder: Path, **more: Any) -> Path:
    return gguf_files.saved(folder / "x.gguf", "llama", llama(), **more)


# Which calls take them


@pytest.mark.parametrize("form", ["path", "folder"])
def test_every_class_that_loads_takes_the_file(tmp_path: Path, form: str) -> None:
    path = byte_level(tmp_path, architecture="llama", **{"tokenizer.ggml.eot_token_id": 3})
    name, more = (path, {}) if form == "path" else (tmp_path, {"gguf_file": "x.gguf"})
    for kind in (formers.AutoConfig, formers.LlamaConfig):
        config, unused = kind.from_pretrained(name, rope_theta=5.0, odd=1, return_unused_kwargs=True, **more)
        assert type(config) is formers.LlamaConfig and config.num_hidden_layers == 2 and unused == {"odd": 1}
    expected = formers.AutoTokenizer.from_pretrained(name, **more)
    for words in (formers.LlamaTokenizer, formers.PreTrainedTokenizerFast, formers.GPT2Tokenizer):
        found = words.from_pretrained(name, model_max_length=7, **more)
        assert type(found) is words and found.model_max_length == 7
        assert found("a  b<|end|> 12 é")["input_ids"] == expected("a  b<|end|> 12 é")["input_ids"]
    assert formers.AutoProcessor.from_pretrained(name, **more)("a b") == expected("a b")
    writing = formers.GenerationConfig.from_pretrained(name, max_new_tokens=3, **more)
    assert writing.eos_token_id == [len(learned()[0]) + 1, 3] and writing.max_new_tokens == 3
    model = formers.LlamaForCausalLM.from_pretrained(name, **more)
    assert model.generation_config.eos_token_id == writing.eos_token_id


def test_classes_of_other_ways_to_split(tmp_path: Path) -> None:
    path = byte_level(tmp_path)
    with pytest.raises(ConfigError, match="model_type is 'qwen2', but LlamaConfig is for 'llama'"):
        formers.LlamaConfig.from_pretrained(path)
    for more in ({}, {"do_lower_case": False}):
        with pytest.raises(TokenizerError, match=r"not split as BertTokenizer does it\. Load it with AutoTokenizer"):
            formers.BertTokenizer.from_pretrained(path, **more)


def test_a_pipeline_without_a_task(tmp_path: Path) -> None:
    pipe = formers.pipeline(model=str(byte_level(tmp_path, architecture="llama")))
    assert pipe.task == "text-generation" and type(pipe.model) is formers.LlamaForCausalLM


# Split ones


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    saved(tmp_path, most=8)
    found = sorted(tmp_path.glob("x-*.gguf"))
    assert [path.name for path in found] == [f"x-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    return found


@pytest.mark.parametrize("number", [0, 1, 2])
def test_any_part_opens_all(parts: list[Path], number: int) -> None:
    model = formers.AutoModelForCausalLM.from_pretrained(parts[number])
    with torch.inference_mode():
        torch.testing.assert_close(model(IDS).logits, llama()(IDS).logits, rtol=1e-4, atol=1e-4)
    tokens = [gguf.metadata(part)["tokenizer.ggml.tokens"] for part in (parts[number], parts[0])]
    assert tokens[0] == tokens[1] and len(tokens[0]) == 96
    report = check(parts[number])
    assert "x-00001-of-00003.gguf, x-00002-of-00003.gguf, x-00003-of-00003.gguf" in report.findings[0].words


def test_a_part_is_missing(parts: list[Path]) -> None:
    parts[1].unlink()
    for part in (parts[0], parts[2]):
        with pytest.raises(CheckpointError, match=r"one of 3 files .* 'x-00002-of-00003\.gguf' is not beside it"):
            formers.AutoModelForCausalLM.from_pretrained(part)
        with pytest.raises(CheckpointError, match=r"'x-00002-of-00003\.gguf' is not beside it"):
            gguf.metadata(part)
    assert not check(parts[0]).ok


def test_parts_that_do_not_belong_together(parts: list[Path], tmp_path: Path) -> None:
    whole = {path: path.read_bytes() for path in parts}
    parts[1].write_bytes(whole[parts[2]])
    with pytest.raises(CheckpointError, match=r"x-00002-of-00003\.gguf' says that it is part 2 \(from 0\) of 3"):
        gguf.tensors(parts[0])
    parts[1].write_bytes(whole[parts[1]].replace(b"blk.0.", b"blk.1."))
    with pytest.raises(CheckpointError, match=r"is in .*x-0000[23]-of-00003\.gguf"):
        gguf.tensors(parts[0])
    parts[1].write_bytes(whole[parts[1]])
    renamed = parts[0].rename(tmp_path / "y.gguf")
    with pytest.raises(CheckpointError, match=r"one of 3 files .* which its name does not say"):
        gguf.tensors(renamed)


def test_parts_with_fewer_tensors_than_the_first_says(parts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    made = gguf_files.model("llama-tied")
    gguf_files.saved(tmp_path / "other" / "x.gguf", "llama-tied", made, most=8)
    shutil.copy(tmp_path / "other" / parts[2].name, parts[2])
    with pytest.raises(CheckpointError, match="counts 21 tensors in 3 parts, and there are 20"):
        gguf.tensors(parts[0])


def test_a_whole_file_called_like_a_part(tmp_path: Path) -> None:
    path = saved(tmp_path).rename(tmp_path / "x-00002-of-00003.gguf")
    assert gguf.config_values(path)["num_hidden_layers"] == 2


def test_parts_on_the_hub(parts: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = parts[0].parent / "served/acme/tiny"
    folder.mkdir(parents=True)
    for part in parts:
        shutil.copy(part, folder)
    with HubServer(folder.parents[1]) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        model = formers.AutoModelForCausalLM.from_pretrained("acme/tiny", gguf_file=parts[1].name)
    with torch.inference_mode():
        torch.testing.assert_close(model(IDS).logits, llama()(IDS).logits, rtol=1e-4, atol=1e-4)


# Types


def test_types(tmp_path: Path) -> None:
    path = saved(tmp_path, quantised=Q8)
    name = "model.layers.0.mlp.gate_proj.weight"
    reader = theirs.GGUFReader(path)
    (raw,) = (tensor for tensor in reader.tensors if tensor.name == "blk.0.ffn_gate.weight")
    assert raw.tensor_type == Q8
    expected = torch.from_numpy(theirs.quants.dequantize(raw.data, raw.tensor_type).copy())
    for dtype, wanted in (
        (None, torch.float32),
        ("auto", torch.bfloat16),
        (torch.bfloat16, torch.bfloat16),
        ("float16", torch.float16),
    ):
        model = formers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
        assert {weight.dtype for weight in model.parameters()} == {wanted} and model.config.dtype == wanted
        assert torch.equal(model.get_parameter(name), expected.to(wanted))
    lazy = gguf.tensors(path, dtype=torch.bfloat16)[name]
    assert lazy.load().dtype == lazy.dtype == torch.bfloat16 and lazy.stored == "Q8_0"
    plain = formers.AutoModelForCausalLM.from_pretrained(saved(tmp_path), dtype="auto")
    assert plain.dtype == torch.float32


def test_a_load_draws_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = torch.get_rng_state()
    model = formers.AutoModelForCausalLM.from_pretrained(path)
    assert torch.equal(torch.get_rng_state(), before)
    expected = formers.LlamaForCausalLM(model.config).model.rotary_emb.inv_freq
    assert torch.equal(model.model.rotary_emb.inv_freq, expected)


# Where texts end


def test_a_turn_ends_a_text(tmp_path: Path) -> None:
    plain = formers.AutoModelForCausalLM.from_pretrained(saved(tmp_path))
    assert plain.generation_config.eos_token_id == 2
    ids = plain.generate(IDS, max_new_tokens=8, do_sample=False)[0, 6:].tolist()
    end = ids[3]
    model = formers.AutoModelForCausalLM.from_pretrained(saved(tmp_path, **{"tokenizer.ggml.eot_token_id": end}))
    assert model.config.eos_token_id == 2 and model.generation_config.eos_token_id == [2, end]
    assert model.generate(IDS, max_new_tokens=8, do_sample=False)[0, 6:].tolist() == ids[: ids.index(end) + 1]
    model.save_pretrained(tmp_path / "saved")
    said = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert said["eos_token_id"] == [2, end] and said["pad_token_id"] == 0
    other = formers.AutoModelForCausalLM.from_pretrained(tmp_path / "x.gguf", eos_token_id=7)
    assert other.generation_config.eos_token_id == 7


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, {}),
        ({"tokenizer.ggml.eot_token_id": 5, "tokenizer.ggml.eom_token_id": 6}, {"eos_token_id": [2, 5, 6]}),
        ({"tokenizer.ggml.eot_token_id": 2}, {}),
        ({"tokenizer.chat_template": "{{ 1 }}<|im_end|>"}, {"eos_token_id": [2, 95]}),
        ({"tokenizer.chat_template": "{{ 1 }}<|im_end|>", "tokenizer.ggml.eot_token_id": 5}, {"eos_token_id": [2, 5]}),
        ({"tokenizer.chat_template": "{{ 1 }}<end_of_turn>"}, {}),
        ({"general.sampling.temp": 0.5, "general.sampling.top_k": 9}, {"temperature": 0.5, "top_k": 9}),
        ({"general.sampling.temp": 0.0, "general.sampling.top_k": 9, "general.sampling.penalty_repeat": 1.5}, None),
    ],
    ids=range(8),
)
def test_what_a_file_says_of_writing(tmp_path: Path, keys: dict[str, Any], expected: dict[str, Any] | None) -> None:
    tokens = {"tokenizer.ggml.tokens": [*(f"t{i}" for i in range(95)), "<|im_end|>"]}
    found = gguf.generation_values(saved(tmp_path, **tokens, **keys))
    common = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    if expected is None:
        expected = {"repetition_penalty": 1.5}
    elif "temperature" in expected:
        expected = {**expected, "do_sample": True}
    assert found == {**common, **expected}


@pytest.mark.parametrize("value", [96, -1, "2", 1.5])
def test_ends_that_are_no_tokens(tmp_path: Path, value: Any) -> None:
    path = saved(tmp_path, **{"tokenizer.ggml.eot_token_id": 5})
    keys = {**gguf_files.keys("llama", llama().config), "tokenizer.ggml.tokens": [f"t{i}" for i in range(96)]}
    writer = theirs.GGUFWriter(path, "llama")
    for key, one in keys.items():
        kinds = {bool: "bool", int: "uint32", float: "float32", str: "string", list: "array"}
        getattr(writer, f"add_{kinds[type(one)]}")(key, one)
    kind = {int: "int32", str: "string", float: "float32"}[type(value)]
    getattr(writer, f"add_{kind}")("tokenizer.ggml.eot_token_id", value)
    for name, tensor in gguf_files.as_converted("llama", llama()).items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(CheckpointError, match=r"eot_token_id is .*, and there are 96 tokens"):
        formers.AutoModelForCausalLM.from_pretrained(path)


# The command


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code = main([str(one) for one in arguments])
    return code or 0, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("form", ["file", "folder"])
def test_check_and_info(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    path = byte_level(tmp_path, architecture="llama", **{"general.name": "a \x1b[31mmodel", "general.license": "mit"})
    name = path if form == "file" else tmp_path
    size = path.stat().st_size
    code, found = shown(capsys, "info", name)
    assert code == 0 and found["model"] == str(path) and found["supported"] is True
    assert (found["architecture"], found["layers"], found["stored"]) == ("LlamaForCausalLM", 2, {"float32": 21})
    assert found["files"] == [{"name": "x.gguf", "bytes": size}] and found["licence"] == "mit"
    assert found["parameters"] == sum(weight.numel() for weight in llama().parameters())
    code, found = shown(capsys, "check", name)
    words = {one["check"]: one["words"] for one in found["checks"]}
    assert words["weights"] == f"21 tensors (21 of float32) in {size:,} bytes, in x.gguf"
    assert words["shapes"] == "21 of 21 weights of LlamaForCausalLM are there, as the configuration says"
    # the tokenizer of this file has more tokens than its model
    wrong = {one["check"] for one in found["checks"] if one["state"] == "problem"}
    assert code == 1 and wrong == {"tokenizer", "ids"}


def test_a_folder_with_more_than_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path)
    shutil.copy(tmp_path / "x.gguf", tmp_path / "y.gguf")
    with pytest.raises(NotFoundError, match=r"no config\.json\. It has x\.gguf, y\.gguf.* give gguf_file='x\.gguf'"):
        formers.AutoConfig.from_pretrained(tmp_path)
    assert not check(tmp_path).ok
    assert main(["info", str(tmp_path)]) != 0


@pytest.mark.parametrize(
    ("changes", "check_name", "words"),
    [
        ({"tokenizer.chat_template": "{% for i in range(10) %}{{ 1"}, "tokenizer", "broken|template"),
        ({"tokenizer.ggml.merges": ["a ĠĠĠĠĠ"]}, "tokenizer", "cannot be made"),
        ({"llama.embedding_length": 64}, "shapes", "should be"),
        ({"llama.block_count": 3}, "shapes", "model.layers.2|layers.2"),
        ({"llama.block_count": 2**31}, "config", "num_hidden_layers=2147483648; it should be"),
        ({"general.architecture": "odd"}, "weights", "known are"),
        ({"tokenizer.ggml.eos_token_id": 10**9}, "tokenizer", "eos_token_id is 1,000,000,000"),
    ],
    ids=range(7),
)
def test_files_that_check_refuses(tmp_path: Path, changes: dict[str, Any], check_name: str, words: str) -> None:
    architecture = changes.pop("general.architecture", None)
    path = byte_level(tmp_path, architecture="llama", **changes)
    if architecture:
        path.write_bytes(path.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lamas", 1))
    with within(4):
        report = check(path)
    found = [one for one in report.findings if one.state in ("warning", "problem") and one.check == check_name]
    assert re.search(words, " ".join(one.words for one in found)), report.findings


def test_not_a_number_is_found(tmp_path: Path) -> None:
    made = gguf_files.model("llama")
    with torch.no_grad():
        made.model.norm.weight[3] = float("nan")
    report = check(gguf_files.saved(tmp_path / "x.gguf", "llama", made))
    found = {finding.check: finding.words for finding in report.findings if finding.state == "problem"}
    assert found["values"] == "NaN or infinite numbers in 1 of 21 tensors: model.norm.weight (1 of 32)"


# Absurd ones


def everything(path: Path) -> None:
    """All that is done with a file; what is refused is refused with an error of this package."""
    with suppress(FormersError):
        words = formers.AutoTokenizer.from_pretrained(path)
        words("a b é 12")
        if words.chat_template is not None:
            words.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    with suppress(FormersError):
        formers.AutoModelForCausalLM.from_pretrained(path).generate(IDS, max_new_tokens=2)
    assert not any("The check failed with" in finding.words for finding in check(path).findings)


ABSURD: dict[str, list[Any]] = {
    "rope.freq_base": [0.0, -1.0, float("nan"), float("inf"), 1e38, "x"],
    "rope.dimension_count": [0, 1, 3, 2**32 - 1, "x"],
    "rope.scaling.factor": [0.0, -1.0, float("nan"), 1e38],
    "attention.head_count": [0, 1, 3, 2**32 - 1],
    "attention.head_count_kv": [0, 3, 2**32 - 1, [2, 3]],
    "attention.key_length": [0, 1, 7, 2**32 - 1],
    "attention.layer_norm_rms_epsilon": [float("nan"), -1.0, float("inf")],
    "embedding_length": [0, 2**32 - 1],
    "feed_forward_length": [0, 2**32 - 1, [48, 48], [48, 32]],
    "block_count": [0, 1, 2**32 - 1],
    "context_length": [0, 1, 2**32 - 1, "x"],
    "vocab_size": [0, 2**32 - 1],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in ABSURD.items() for value in values])
def test_absurd_values(tmp_path: Path, key: str, value: Any) -> None:
    more: dict[str, Any] = {"rope.scaling.type": "yarn"} if key == "rope.scaling.factor" else {}
    path = byte_level(
        tmp_path, architecture="llama", **{f"llama.{name}": x for name, x in {**more, key: value}.items()}
    )
    with within(4, key):
        everything(path)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_angles_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    """Attention hides them: a kernel of torch gives numbers for keys that are none."""
    path = byte_level(tmp_path, architecture="llama", **{"llama.rope.freq_base": value})
    with pytest.raises(ConfigError, match="number, of which no angles come"):
        formers.AutoModelForCausalLM.from_pretrained(path)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for i in range(10**9) %}{% for j in range(10**9) %}{% endfor %}{% endfor %}", "template"),
        ("{{ 'a' * 10**10 }}", "template"),
        ("{{ ''.__class__.__mro__ }}", "template"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "template"),
    ],
    ids=range(4),
)
def test_templates_that_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, words: str) -> None:
    monkeypatch.setattr("formers.tokenization.templates.SECONDS", 0.5)
    path = byte_level(tmp_path, **{"tokenizer.chat_template": template})
    tokenizer = formers.AutoTokenizer.from_pretrained(path)
    with within(3), pytest.raises((TokenizerError, InputError), match=words) as caught:
        tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    assert str(path) in str(caught.value)


def test_damage_anywhere(tmp_path: Path) -> None:
    """Bytes flipped, cut out and put in, in a whole small model: what comes is a model, or an error of this package."""
    path = byte_level(tmp_path, architecture="llama", **{"tokenizer.chat_template": "{{ messages[0].content }}"})
    data = path.read_bytes()
    end = data.index(b"blk.1.ffn_down.weight") + 60  # of the table, behind which there are numbers alone

    @settings(max_examples=60, deadline=None, database=None)
    @given(st.one_of(flipped(data, range(end)), patched(data), patched(data[:end]).map(lambda x: x + data[end:])))
    def attempt(broken: bytes) -> None:
        path.write_bytes(broken)
        with within(4):
            everything(path)

    attempt()
