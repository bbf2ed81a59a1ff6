"""PEFT's adapters on models of this package, with --as-transformers through as_transformers."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from typing import Any

import checks
import torch

import formers

if "--as-transformers" in sys.argv:
    formers.as_transformers()

import peft

TARGETS = {
    "bert": ["query", "value"],
    "roberta": ["query", "value"],
    "distilbert": ["q_lin", "v_lin"],
    "electra": ["query", "value"],
    "deberta_v2": ["query_proj", "value_proj"],
}
FEED_FORWARD = {"distilbert": ["lin2"]}


def configurations(family: str) -> dict[str, Callable[[], Any]]:
    feed = FEED_FORWARD.get(family, ["output.dense"])
    model = checks.tiny(family)
    common: dict[str, Any] = {"task_type": "SEQ_CLS"}
    prompt = {  # PEFT reads these from some configurations only
        "num_virtual_tokens": 3,
        "token_dim": model.get_input_embeddings().embedding_dim,
        "num_layers": model.config.num_hidden_layers,
        "num_attention_heads": model.config.num_attention_heads,
        **common,
    }
    return {
        "LoRA": lambda: peft.LoraConfig(r=2, target_modules=TARGETS[family], **common),
        "IA3": lambda: peft.IA3Config(target_modules=[*TARGETS[family], *feed], feedforward_modules=feed, **common),
        "prompt tuning": lambda: peft.PromptTuningConfig(**prompt),
        "P-tuning": lambda: peft.PromptEncoderConfig(encoder_hidden_size=8, **prompt),
        "prefix tuning": lambda: peft.PrefixTuningConfig(**{**prompt, "token_dim": model.config.hidden_size}),
    }


def adapt(family: str, make: Callable[[], Any]) -> None:
    """Logits, gradients of the adapter alone, and a round trip through files."""
    model = checks.tiny(family)
    inputs = checks.batch(model)
    before = model(**inputs).logits.detach()
    adapted = peft.get_peft_model(model, make())
    labels = torch.zeros(len(before), dtype=torch.long)
    adapted.train()
    adapted(**inputs, labels=labels).loss.backward()
    moved = [n for n, p in adapted.named_parameters() if p.grad is not None]
    assert moved and all(p.requires_grad for n, p in adapted.named_parameters() if n in moved), moved
    adapted.eval()
    with torch.no_grad():
        for _, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                parameter.add_(0.05)
        after = adapted(**inputs).logits
    assert not torch.allclose(before, after), "the adapter changes nothing"
    with tempfile.TemporaryDirectory() as folder:
        adapted.save_pretrained(folder)
        again = peft.PeftModel.from_pretrained(checks.tiny(family), folder).eval()
        checks.same(again(**inputs).logits, after)
    if isinstance(make(), peft.LoraConfig):
        checks.same(adapted.merge_and_unload()(**inputs).logits, after, 1e-4)


# prefix tuning is for models with keys and values of earlier tokens; these have none in Transformers either
for _family in checks.FAMILIES:
    for _name, _make in configurations(_family).items():
        if _name == "prefix tuning" and _family in ("deberta_v2", "distilbert"):
            continue
        checks.check(f"{_name}: {_family}")(lambda family=_family, make=_make: adapt(family, make))


@checks.check("LoRA leaves a fresh model's logits as they are")
def fresh() -> None:
    model = checks.tiny("bert")
    inputs = checks.batch(model)
    before = model(**inputs).logits
    checks.same(peft.get_peft_model(model, configurations("bert")["LoRA"]()).eval()(**inputs).logits, before)


@checks.check("LoRA with gradient checkpointing")
def checkpointing() -> None:
    model = checks.tiny("bert")
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    adapted = peft.get_peft_model(model, configurations("bert")["LoRA"]()).train()
    adapted(**checks.batch(model), labels=torch.tensor([0, 1, 1])).loss.backward()
    assert all(p.grad is not None for n, p in adapted.named_parameters() if "lora_" in n)


if __name__ == "__main__":
    checks.run()
