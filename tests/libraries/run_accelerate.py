"""accelerate around models of this package."""

from __future__ import annotations

import tempfile

import checks
import torch
from accelerate import Accelerator, init_empty_weights
from accelerate.utils import compute_module_sizes, infer_auto_device_map

import formers


@checks.check("prepare, backward, clip and step")
def training() -> None:
    accelerator = Accelerator(cpu=True)
    model = checks.tiny("bert").train()
    inputs = checks.batch(model)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=1e-2))
    losses = []
    for _ in range(4):
        with accelerator.accumulate(model):
            loss = model(**inputs, labels=torch.tensor([0, 1, 1])).loss
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert losses[-1] < losses[0]


@checks.check("unwrap_model and save_pretrained with the accelerator's save_function and state")
def saving() -> None:
    accelerator = Accelerator(cpu=True)
    model = accelerator.prepare(checks.tiny("bert"))
    inputs = checks.batch(model)
    with tempfile.TemporaryDirectory() as folder:
        accelerator.unwrap_model(model).save_pretrained(
            folder,
            is_main_process=accelerator.is_main_process,
            save_function=accelerator.save,
            state_dict=accelerator.get_state_dict(model),
        )
        again = formers.AutoModelForSequenceClassification.from_pretrained(folder)
        checks.same(again(**inputs).logits, model.eval()(**inputs).logits)


@checks.check("save_state and load_state")
def state() -> None:
    accelerator = Accelerator(cpu=True)
    model = accelerator.prepare(checks.tiny("bert"))
    before = model(**checks.batch(model)).logits.detach()
    with tempfile.TemporaryDirectory() as folder:
        accelerator.save_state(folder)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        accelerator.load_state(folder)
    checks.same(model(**checks.batch(model)).logits, before)


@checks.check("init_empty_weights, sizes of modules and a device map")
def empty() -> None:
    with init_empty_weights():
        model = formers.BertModel(checks.tiny("bert", "base").config)
    model.tie_weights()
    assert all(p.is_meta for p in model.parameters()) and compute_module_sizes(model)[""] > 0
    assert set(infer_auto_device_map(model, max_memory={"cpu": "1GB"}).values()) == {"cpu"}


if __name__ == "__main__":
    checks.run()
