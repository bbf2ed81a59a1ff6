"""PEFT's adapters on models of this package that write: trained, saved, loaded, written with; as the reference's are.

With --as-transformers through as_transformers, where there is no reference to compare with.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from typing import Any

import checks
import torch

import formers

if RENAMED := "--as-transformers" in sys.argv:
    formers.as_transformers()

import peft

FAMILIES = {
    "gpt2": (["c_attn"], ["mlp.c_proj"]),
    "llama": (["q_proj", "v_proj"], ["down_proj"]),
    "t5": (["q", "v"], ["wo"]),
    "bart": (["q_proj", "v_proj"], ["fc2"]),
}
SIX: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
TASKS = {"t5": "SEQ_2_SEQ_LM", "bart": "SEQ_2_SEQ_LM"}


def tiny(family: str) -> Any:
    return checks.tiny(family, "seq2seq-lm" if family in TASKS else "causal-lm")


def configurations(family: str) -> dict[str, Callable[[], Any]]:
    attention, feed = FAMILIES[family]
    task: dict[str, Any] = {"task_type": TASKS.get(family, "CAUSAL_LM")}
    turned: dict[str, Any] = {**task, "fan_in_fan_out": family == "gpt2"}
    prompt: dict[str, Any] = {**task, "num_virtual_tokens": 3}
    before = (
        {**prompt, "num_attention_heads": 2} if family == "bart" else prompt
    )  # its decoder's, and not its encoder's
    layers = {
        "LoRA": lambda: peft.LoraConfig(r=2, target_modules=attention, **turned),
        "LoRA where PEFT puts it": lambda: peft.LoraConfig(r=2, **turned),
        "IA3": lambda: peft.IA3Config(target_modules=[*attention, *feed], feedforward_modules=feed, **turned),
    }
    prompts = {
        "prompt tuning": lambda: peft.PromptTuningConfig(**prompt),
        "P-tuning": lambda: peft.PromptEncoderConfig(encoder_hidden_size=8, **prompt),
        "prefix tuning": lambda: peft.PrefixTuningConfig(**before),
        "prefix tuning, projected": lambda: peft.PrefixTuningConfig(
            prefix_projection=True, encoder_hidden_size=8, **before
        ),
    }
    return {**layers, **prompts}


def adapt(family: str, make: Callable[[], Any]) -> None:
    """A step of training moves the adapter alone and the loss, files hold it, and what is written follows it."""
    torch.manual_seed(3)
    model = tiny(family)
    inputs = {name: value.flip(1) for name, value in checks.batch(model).items()}  # padding on the left
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    adapted = peft.get_peft_model(model, make()).eval()  # no dropout: each step's loss is to be compared
    own = [weight for weight in adapted.parameters() if weight.requires_grad]
    step = torch.optim.Adam(own, lr=0.02)  # whatever the size of gradients, which is small far below
    losses = []
    for _ in range(12):
        step.zero_grad()
        loss = adapted(**inputs, labels=labels).loss
        loss.backward()
        step.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0], losses
    for name, weight in model.state_dict().items():
        plain = name.replace("base_layer.", "")
        assert plain not in before or torch.equal(weight, before[plain]), f"{name} was trained too"
    with torch.no_grad():
        for weight in own:
            weight.add_(torch.randn_like(weight), alpha=0.5)
        logits = adapted(**inputs, labels=labels).logits
    with tempfile.TemporaryDirectory() as folder:
        adapted.save_pretrained(folder)
        again = peft.PeftModel.from_pretrained(tiny(family), folder).eval()
        checks.same(again(**inputs, labels=labels).logits, logits)
        written = steps(again, inputs)
        plain = steps(tiny(family), inputs)
        assert not torch.allclose(written, plain), "written without the adapter"
        if not RENAMED:
            theirs = peft.PeftModel.from_pretrained(reference(family), folder).eval()
            real = inputs["attention_mask"].bool()
            checks.same(
                logits[:, -real.shape[1] :][real], theirs(**inputs, labels=labels).logits[:, -real.shape[1] :][real]
            )
            checks.same(written, steps(theirs, inputs))
            asked: dict[str, Any] = {**inputs, **SIX, "num_beams": 3}
            assert torch.equal(again.generate(**asked), theirs.generate(**asked)), "other tokens by beams"
        if not make().is_prompt_learning:
            merged = again.merge_and_unload()
            assert type(merged) is type(model)
            checks.same(merged(**inputs, labels=labels).logits, logits, 1e-4)


def steps(model: Any, inputs: Any) -> torch.Tensor:
    """The logits of each token that is written, (B, steps, V)."""
    asked = {**SIX, "return_dict_in_generate": True, "output_logits": True}
    return torch.stack(model.generate(**inputs, **asked).logits, 1)


def reference(family: str) -> Any:
    """The reference's model with the same weights."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        tiny(family).save_pretrained(folder)
        auto = transformers.AutoModelForSeq2SeqLM if family in TASKS else transformers.AutoModelForCausalLM
        return auto.from_pretrained(folder).eval()


for _family in FAMILIES:
    for _name, _make in configurations(_family).items():
        checks.check(f"{_name}: {_family}")(lambda family=_family, make=_make: adapt(family, make))


if __name__ == "__main__":
    checks.run()
