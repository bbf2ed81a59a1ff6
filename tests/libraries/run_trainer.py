"""Transformers' own Trainer on models and tokenizers of this package."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import checks
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

import formers


class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Tokenized texts."""

    def __init__(self, tokenizer: Any) -> None:
        self.rows = [{**tokenizer(text), "labels": i % 2} for i, text in enumerate(["good", "bad film", "fine"] * 4)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


def trainer(folder: str, **arguments: Any) -> Trainer:
    tokenizer = formers.AutoTokenizer.from_pretrained(checks.minilm())
    model = formers.AutoModelForSequenceClassification.from_pretrained(checks.minilm(), num_labels=2)
    options = TrainingArguments(
        folder, max_steps=2, per_device_train_batch_size=4, report_to=[], use_cpu=True, **arguments
    )
    return Trainer(
        model, options, train_dataset=Rows(tokenizer), eval_dataset=Rows(tokenizer),
        data_collator=DataCollatorWithPadding(tokenizer),
    )  # fmt: skip


@checks.check("train, evaluate and predict")
def train() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = trainer(folder, save_strategy="no")
        assert made.train().global_step == 2
        assert made.evaluate()["eval_loss"] > 0 and made.predict(made.eval_dataset).predictions.shape == (12, 2)


@checks.check("save_model writes config.json and weights that both packages read")
def save() -> None:
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        made = trainer(folder, save_strategy="no")
        made.train()
        made.save_model()
        assert (Path(folder) / "config.json").exists(), sorted(p.name for p in Path(folder).iterdir())
        inputs = checks.batch(made.model)
        expected = made.model.eval()(**inputs).logits
        checks.same(formers.AutoModelForSequenceClassification.from_pretrained(folder)(**inputs).logits, expected)
        theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
        checks.same(theirs(**inputs).logits, expected)


@checks.check("checkpoints: resume, and load_best_model_at_end")
def checkpoints() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = trainer(
            folder,
            save_strategy="steps",
            save_steps=1,
            eval_strategy="steps",
            eval_steps=1,
            load_best_model_at_end=True,
        )
        made.train()
        assert (Path(folder) / "checkpoint-2" / "config.json").exists()
        made.args.max_steps = 3
        assert made.train(resume_from_checkpoint=True).global_step == 3


@checks.check("label smoothing, gradient checkpointing and accumulation")
def options() -> None:
    with tempfile.TemporaryDirectory() as folder:
        trainer(
            folder, save_strategy="no", label_smoothing_factor=0.1, gradient_checkpointing=True,
            gradient_accumulation_steps=2,
        ).train()  # fmt: skip


if __name__ == "__main__":
    checks.run()
