"""Trainer beside the Trainer of Transformers: the same figures step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from training import tiny

import formers

FIGURES = ("loss", "grad_norm", "learning_rate", "eval_loss", "eval_accuracy", "train_loss", "epoch", "step")


def histories(task: str, folder: Path, tmp_path: Path, **options: Any) -> tuple[list[Any], list[Any]]:
    made = [tiny.trainer(x, task, folder, tmp_path / x.__name__, **options) for x in (transformers, formers)]
    for one in made:
        torch.manual_seed(3)  # as a Trainer does when it is made, the other one's aside
        tiny.quiet(one.train)
    return made[0].state.log_history, made[1].state.log_history


def compare(theirs: list[Any], ours: list[Any], within: float = 1e-5) -> None:
    assert len(theirs) == len(ours) > 5
    for expected, found in zip(theirs, ours, strict=True):
        for name in FIGURES:
            assert (name in expected) == (name in found)
            if name in expected:
                assert found[name] == pytest.approx(expected[name], rel=within, abs=1e-9), (name, expected)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {task: tiny.saved(task, tmp_path_factory.mktemp(task)) for task in tiny.TASKS}


@pytest.mark.parametrize("task", tiny.TASKS)
def test_every_task(task: str, models: dict[str, Path], tmp_path: Path) -> None:
    compare(*histories(task, models[task], tmp_path, eval_strategy="epoch"))


def accuracy(found: Any) -> dict[str, float]:
    return {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("causal", {"gradient_accumulation_steps": 3, "lr_scheduler_type": "cosine", "warmup_steps": 4}),
        ("causal", {"gradient_checkpointing": True, "label_smoothing_factor": 0.1}),
        ("seq2seq", {"label_smoothing_factor": 0.1}),
        ("classification", {"label_smoothing_factor": 0.1, "eval_strategy": "steps", "eval_steps": 5}),
        ("classification", {"train_sampling_strategy": "group_by_length", "neftune_noise_alpha": 5.0}),
        ("classification", {"data_seed": 9, "dataloader_drop_last": True, "dataloader_num_workers": 1}),
        ("classification", {"eval_strategy": "epoch", "compute_metrics": accuracy, "per_device_eval_batch_size": 4}),
        (
            "classification",
            {"max_steps": 7, "optim": "sgd", "lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps",
             "eval_steps": 2},
        ),
        (
            "tokens",
            {"weight_decay": 0.1, "max_grad_norm": 0.5, "optim": "adafactor", "warmup_steps": 0.1,
             "lr_scheduler_type": "constant_with_warmup"},
        ),
        ("masked", {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-4}}),
    ],
)  # fmt: skip
def test_options(task: str, options: dict[str, Any], models: dict[str, Path], tmp_path: Path) -> None:
    compare(*histories(task, models[task], tmp_path, **options))


@pytest.mark.parametrize("task", ["classification", "causal"])
def test_bf16(task: str, models: dict[str, Path], tmp_path: Path) -> None:
    # products of 8 bits of mantissa, whose sums the two take in another order
    compare(*histories(task, models[task], tmp_path, bf16=True, max_grad_norm=1e9, num_train_epochs=1), within=5e-3)


@pytest.mark.parametrize("task", ["classification", "masked", "seq2seq", "causal"])
def test_batches_that_are_added_up_are_one_batch(task: str, models: dict[str, Path], tmp_path: Path) -> None:
    rows = tiny.data(task, 48)
    if task == "masked":  # with the same tokens masked in both
        for row in rows:
            row["labels"] = [-100, *row["input_ids"][1:3], *[-100] * (len(row["input_ids"]) - 3)]
    made = []
    for size, together in ((12, 1), (4, 3)):
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": together, "train_dataset": rows}
        one = tiny.trainer(formers, task, models[task], tmp_path / str(size), **options)
        if task == "masked":
            one.data_collator = formers.DataCollatorForTokenClassification(one.processing_class)
        tiny.quiet(one.train)
        made.append(one.state.log_history)
    assert len(made[0]) == len(made[1])
    for whole, added in zip(*made, strict=True):
        for name in ("loss", "grad_norm"):
            assert (name in added) == (name in whole)
            assert added.get(name, 0) == pytest.approx(whole.get(name, 0), rel=1e-4)


def test_a_loss_is_the_mean_over_what_is_predicted(tmp_path: Path) -> None:
    config = formers.GPT2Config(
        vocab_size=120, n_embd=32, n_layer=1, n_head=2, n_positions=64, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0
    )
    model = formers.GPT2LMHeadModel(config)
    rows = [{"input_ids": row["input_ids"], "labels": row["input_ids"]} for row in tiny.data("causal", 1)]
    expected = model(torch.tensor([rows[0]["input_ids"]]), labels=torch.tensor([rows[0]["labels"]])).loss.item()
    args = formers.TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True)
    trainer = formers.Trainer(model, args, eval_dataset=rows)
    assert tiny.quiet(trainer.evaluate)["eval_loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("task", ["classification", "answers", "tokens"])
def test_predictions(task: str, models: dict[str, Path], tmp_path: Path) -> None:
    found = []
    for library in (transformers, formers):
        one = tiny.trainer(library, task, models[task], tmp_path / library.__name__, per_device_eval_batch_size=4)
        found.append(tiny.quiet(one.predict, tiny.data(task, 11)))
    theirs, ours = found
    for expected, got in ((theirs.predictions, ours.predictions), (theirs.label_ids, ours.label_ids)):
        pairs = zip(expected, got, strict=True) if isinstance(expected, tuple) else [(expected, got)]
        for a, b in pairs:
            real = a != -100
            if task == "tokens" and a.ndim == 3:  # logits at padding are zeros here
                real &= (theirs.label_ids != -100)[..., None]
            assert a.shape == b.shape and np.allclose(a[real], b[real], atol=1e-5)
    assert ours.metrics["test_loss"] == pytest.approx(theirs.metrics["test_loss"], rel=1e-5)


def test_what_is_written_is_predicted(models: dict[str, Path], tmp_path: Path) -> None:
    found = []
    for library in (transformers, formers):
        one = tiny.trainer(
            library, "seq2seq", models["seq2seq"], tmp_path / library.__name__, kind=library.Seq2SeqTrainer,
            predict_with_generate=True, generation_max_length=9, generation_num_beams=2, per_device_eval_batch_size=11,
        )  # fmt: skip
        found.append(tiny.quiet(one.predict, tiny.data("seq2seq", 11)))
    theirs, ours = found
    assert theirs.predictions.shape == ours.predictions.shape == (11, 20)
    assert (theirs.predictions == ours.predictions).all() and (theirs.label_ids == ours.label_ids).all()
    assert ours.metrics["test_loss"] == pytest.approx(theirs.metrics["test_loss"], rel=1e-5)


def test_subclasses_of_old_and_new(models: dict[str, Path], tmp_path: Path) -> None:
    class Old(formers.Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False) -> Any:
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            loss = torch.nn.functional.cross_entropy(outputs.logits, labels)
            return (loss, outputs) if return_outputs else loss

        def training_step(self, model: Any, inputs: Any) -> Any:
            self.seen = getattr(self, "seen", 0) + 1
            return super().training_step(model, inputs)

    class New(formers.Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
            return super().compute_loss(model, inputs, return_outputs, **kwargs)

    made = []
    for kind in (formers.Trainer, Old, New):
        torch.manual_seed(0)
        folder = models["classification"]
        model = formers.AutoModelForSequenceClassification.from_pretrained(folder)
        args = formers.TrainingArguments(
            str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True, logging_steps=1, max_steps=5,
            gradient_accumulation_steps=2, per_device_train_batch_size=4, save_strategy="no", eval_strategy="steps",
        )  # fmt: skip
        tokenizer = formers.BertTokenizer(str(folder / "vocab.txt"))
        rows = tiny.data("classification")
        one = kind(model, args, train_dataset=rows, eval_dataset=rows[:9], tokenizer=tokenizer)
        tiny.quiet(one.train)
        made.append([x[name] for x in one.state.log_history for name in ("loss", "eval_loss") if name in x])
    assert made[1] == pytest.approx(made[0], rel=1e-5) and made[2] == pytest.approx(made[0], rel=1e-5)
    assert one.tokenizer is tokenizer


def test_labels_of_ones_own_loss(models: dict[str, Path], tmp_path: Path) -> None:
    def halved(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        return torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch / 2

    one, two = (tiny.trainer(formers, "classification", models["classification"], tmp_path, max_steps=1) for _ in "ab")
    two.compute_loss_func = halved
    losses = [tiny.quiet(x.train).training_loss for x in (one, two)]
    assert losses[1] == pytest.approx(losses[0] / 2, rel=1e-6)


def test_packing_fills_rows_and_no_text_sees_another(models: dict[str, Path], tmp_path: Path) -> None:
    rows = [*tiny.data("causal", 30), {"input_ids": list(range(5, 75)), "attention_mask": [1] * 70}]
    one = tiny.trainer(
        formers, "causal", models["causal"], tmp_path, train_dataset=rows, packing=True, packing_length=32,
        per_device_train_batch_size=2, num_train_epochs=1,
    )  # fmt: skip
    batches = list(one.get_train_dataloader())
    tokens = [int(batch["attention_mask"].sum()) for batch in batches]
    assert sum(tokens) == sum(len(row["input_ids"]) for row in rows)
    assert max(tokens) <= 64 and sum(tokens) / (64 * len(tokens)) > 0.8
    assert max(batch["input_ids"].shape[1] for batch in batches) == 32
    model, batch = one.model.eval(), batches[0]
    with torch.no_grad():
        together = model(**{name: batch[name] for name in ("input_ids", "attention_mask")}).logits
        for ids, mask, logits in zip(batch["input_ids"], batch["attention_mask"], together, strict=True):
            alone = model(ids[mask == 1][None]).logits[0]
            assert torch.allclose(logits[mask == 1], alone, atol=1e-5)
    assert tiny.quiet(one.train).global_step == len(batches)


def test_a_saved_model_opens_in_both(models: dict[str, Path], tmp_path: Path) -> None:
    one = tiny.trainer(formers, "classification", models["classification"], tmp_path, max_steps=2)
    tiny.quiet(one.train)
    one.save_model(str(tmp_path / "saved"))
    ids = torch.tensor([[2, 7, 8, 3]])
    expected = one.model.eval()(ids).logits
    for library in (formers, transformers):
        model = library.AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
        assert torch.allclose(model(ids).logits, expected, atol=1e-6)
    assert (tmp_path / "saved" / "training_args.json").is_file() and (tmp_path / "saved" / "vocab.txt").is_file()


def test_peft_models_train_and_save_their_adapter_alone(models: dict[str, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    folder = models["classification"]
    base = formers.AutoModelForSequenceClassification.from_pretrained(folder)
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"]))
    args = formers.TrainingArguments(
        str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True, max_steps=6, save_steps=2, logging_steps=1
    )
    tokenizer = formers.BertTokenizer(str(folder / "vocab.txt"))
    trainer = formers.Trainer(model, args, train_dataset=tiny.data("classification"), processing_class=tokenizer)
    tiny.quiet(trainer.train)
    assert (tmp_path / "checkpoint-6" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "checkpoint-6" / "model.safetensors").exists()
    ids = torch.tensor([[2, 7, 8, 3]])
    loaded = formers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint-6")
    assert torch.allclose(loaded(ids).logits, model.eval()(ids).logits, atol=1e-6)


def test_an_adapter_in_the_model_trains_stops_and_goes_on(models: dict[str, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    folder, made = models["classification"], []
    for stops in ((6,), (4, 6)):
        out = tmp_path / str(len(stops))
        for number, steps in enumerate(stops):
            torch.manual_seed(0)
            model = formers.AutoModelForSequenceClassification.from_pretrained(folder)
            model.add_adapter(peft.LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False))
            args = formers.TrainingArguments(
                str(out), use_cpu=True, report_to=[], disable_tqdm=True, max_steps=steps, save_steps=2,
                lr_scheduler_type="constant", learning_rate=1e-2,
            )  # fmt: skip
            tokenizer = formers.BertTokenizer(str(folder / "vocab.txt"))
            rows = tiny.data("classification")
            trainer = formers.Trainer(model, args, train_dataset=rows, processing_class=tokenizer)
            tiny.quiet(trainer.train, resume_from_checkpoint=number > 0)
        made.append(model.state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert (out / "checkpoint-6" / "adapter_model.safetensors").is_file()


def test_any_module_that_returns_a_loss(tmp_path: Path) -> None:
    class Line(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x: Any, labels: Any = None) -> Any:
            found = x * self.weight
            return {"loss": ((found - labels) ** 2).mean(), "logits": found}

    rows = [{"x": float(i), "labels": 2.0 * i} for i in range(1, 9)]
    args = formers.TrainingArguments(
        str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True, num_train_epochs=60, learning_rate=0.1
    )
    trainer = formers.Trainer(Line(), args, train_dataset=rows, eval_dataset=rows)
    tiny.quiet(trainer.train)
    assert trainer.model.weight.item() == pytest.approx(2, abs=0.1)
    trainer.save_model(str(tmp_path / "line"))
    assert (tmp_path / "line" / "model.safetensors").is_file()
