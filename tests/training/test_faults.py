"""What goes wrong while training: words that name the rows, and nothing that is overwritten."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset
from training import tiny

import formers
from formers.errors import ArgumentError, HeadError, InputError, RangeError
from formers.training.faults import NotFiniteError


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {task: tiny.saved(task, tmp_path_factory.mktemp(task)) for task in tiny.TASKS}


@pytest.fixture
def made(models: dict[str, Path], tmp_path: Path) -> Any:
    return lambda task="classification", **options: tiny.trainer(formers, task, models[task], tmp_path, **options)


def changed(task: str, row: int, **columns: Any) -> list[dict[str, Any]]:
    rows = tiny.data(task, 20)
    for name, change in columns.items():
        rows[row][name] = change(rows[row][name])
    return rows


def third(value: int) -> Any:
    return lambda labels: [*labels[:2], value, *labels[3:]]


@pytest.mark.parametrize(
    ("task", "row", "change", "options", "says"),
    [
        ("classification", 13, lambda _: 7, {}, r"Column 'labels', row 13 of the training.*: the label is 7, but the "
         r"model has 3 labels, 0 to 2.*num_labels="),
        ("classification", 3, lambda _: -1, {"gradient_accumulation_steps": 3}, "row 3 of the.*label is -1"),
        ("classification", 3, lambda _: 3, {"label_smoothing_factor": 0.1}, "row 3 of the.*label is 3"),
        ("classification", 3, lambda _: 3, {"group_by_length": True}, "row 3 of the.*label is 3"),
        ("tokens", 5, third(9), {}, r"row 5 of the.*, token 2: the label is 9, but the model has 5 labels"),
        ("tokens", 5, third(-3), {}, r"row 5 of the.*, token 2: the label is -3"),
        ("seq2seq", 4, third(500), {}, "row 4 .*, token 2: the label is 500.*120 labels.*another model's"),
    ],
)  # fmt: skip
def test_labels_out_of_range(task: str, row: int, change: Any, options: dict[str, Any], says: str, made: Any) -> None:
    rows = changed(task, row, labels=change)
    with pytest.raises(RangeError, match=f"(?s){says}"):
        tiny.quiet(made(task, train_dataset=rows, **options).train)
    for method, data in (("evaluate", "evaluation"), ("predict", "prediction")):
        with pytest.raises(RangeError, match=f"row {row} of the {data} data"):
            tiny.quiet(getattr(made(task), method), rows)


def test_tokens_out_of_range(made: Any) -> None:
    rows = changed("masked", 6, input_ids=third(500))
    for row in rows:
        row["labels"] = [-100, *row["input_ids"][1:2], *[-100] * (len(row["input_ids"]) - 2)]
    for case, says in ((rows, "500.*vocab_size is 120.*in rows .*6"), (rows[7:], "label is 777.*120 labels")):
        rows[9]["labels"] = third(777)(rows[9]["labels"]) if case is not rows else rows[9]["labels"]
        one = made("masked", train_dataset=case)
        one.data_collator = formers.DataCollatorForTokenClassification(one.processing_class)
        with pytest.raises(RangeError, match=f"(?s){says}"):
            tiny.quiet(one.train)


class Broken(formers.Trainer):
    """In the fourth step, a loss that is no number."""

    value = float("nan")

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        self.before = {name: x.clone() for name, x in self.model.state_dict().items()}  # type: ignore[attr-defined]
        return self.broken(loss) if self.state.global_step == 3 else loss

    def broken(self, loss: Any) -> Any:
        return loss * self.value


class BrokenGradients(Broken):
    """The same of gradients."""

    def broken(self, loss: Any) -> Any:
        loss = loss * 1
        loss.register_hook(lambda gradient: gradient * self.value)
        return loss


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (Broken, float("nan"), "The loss is nan in step 4"),
        (Broken, float("inf"), "The loss is inf in step 4"),
        (BrokenGradients, float("nan"), "The norm of the gradients is nan in step 4"),
        (BrokenGradients, float("inf"), "The norm of the gradients is (nan|inf) in step 4"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"max_grad_norm": 0.0, "gradient_accumulation_steps": 2}])
def test_not_finite(
    kind: Any, value: float, says: str, options: dict[str, Any], made: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Broken, "value", value)
    one = made()
    one = kind(
        one.model, formers.TrainingArguments(
            str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True, save_steps=1, learning_rate=1e-3,
            per_device_train_batch_size=4, **options,
        ), train_dataset=tiny.data("classification"), processing_class=one.processing_class,
    )  # fmt: skip
    with pytest.raises(NotFiniteError, match=rf"(?s){says} \(learning rate 0\.000\d+\), on rows \d+, .*lower the"):
        tiny.quiet(one.train)
    assert all(torch.equal(x, one.before[name]) for name, x in one.model.state_dict().items())
    assert all(p.grad is None for p in one.model.parameters())
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"checkpoint-{i}" for i in (1, 2, 3)]


def test_labels_that_are_all_left_out(made: Any) -> None:
    rows = [{"input_ids": [2, 5, 3], "attention_mask": [1, 1, 1], "labels": [-100] * 3}] * 5
    with pytest.raises(NotFiniteError, match="labels of -100 alone have no mean"):
        tiny.quiet(made("tokens", train_dataset=rows).train)


class Endless(IterableDataset[Any]):
    def __init__(self, count: int = 30) -> None:
        self.count = count

    def __iter__(self) -> Any:
        yield from tiny.data("classification", self.count)


def test_data_that_is_none(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    without = [{name: row[name] for name in ("input_ids", "attention_mask")} for row in tiny.data("classification", 5)]
    texts: Any = [{"text": "a", "other": 1}] * 5
    empty = [{"input_ids": [], "attention_mask": [], "labels": 1}] * 5
    few = tiny.data("classification", 3)
    for options, says in (
        ({"train_dataset": []}, "train_dataset is empty"),
        ({"train_dataset": without}, "no labels. It has input_ids, attention_mask.*label_names.*in rows"),
        ({"train_dataset": texts}, "None of the columns 'text', 'other'.*Tokenize"),
        ({"train_dataset": empty}, "at least one token"),
        ({"train_dataset": few, "dataloader_drop_last": True}, "dataloader_drop_last"),
        ({"train_dataset": {"train": few}}, "dict of 'train': give one"),
        ({"train_dataset": iter(few), "max_steps": 3}, "read once"),
        ({"train_dataset": Endless()}, "set max_steps"),
        ({"train_dataset": Endless(0), "max_steps": 3}, "gave no batch"),
        ({"train_dataset": Endless(), "max_steps": 3, "group_by_length": True}, "without a length"),
        ({"train_dataset": Endless(), "max_steps": 3, "packing": True}, "without a length"),
    ):
        with pytest.raises(InputError, match=f"(?s){says}"):
            tiny.quiet(made(**options).train)
    for method in ("evaluate", "predict"):
        for data, says in (
            ([], "is empty"),
            (Endless(0), "gave no batch"),
            (empty, "at least one token.*in rows 0, 1"),
        ):
            with pytest.raises(InputError, match=f"(?s){says}"):
                tiny.quiet(getattr(made(), method), data)
    assert "eval_loss" not in tiny.quiet(made().evaluate, without) and "has no loss" in caplog.text
    assert tiny.quiet(made().predict, without).predictions.shape == (5, 3)


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 3}])
def test_data_without_a_length(options: dict[str, Any], models: dict[str, Path], tmp_path: Path) -> None:
    def made(folder: str, **more: Any) -> Any:
        given = {"train_dataset": Endless(), "eval_dataset": Endless(9), "max_steps": 12, "save_strategy": "steps"}
        dropout = {"hidden_dropout_prob": 0.1}
        return tiny.trainer(
            formers, "classification", models["classification"], tmp_path / folder, config=dropout, save_steps=1,
            **given | options | more,
        )  # fmt: skip

    whole = made("whole")
    tiny.quiet(whole.train)
    assert whole.state.global_step == 12
    for stop in (2, 3, 8, 10):  # within a pass, and at the end of one
        again = made("again")
        tiny.quiet(again.train, resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{stop}"))
        pairs = zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs), stop
    listed = tiny.quiet(whole.evaluate, tiny.data("classification", 9))
    assert tiny.quiet(whole.evaluate)["eval_loss"] == listed["eval_loss"]
    assert tiny.quiet(whole.predict, Endless(9)).predictions.shape == (9, 3)


def boom(examples: Any) -> Any:
    raise ValueError("no such column")


def test_what_fails_elsewhere(made: Any) -> None:
    for workers in (0, 1):
        one = made(dataloader_num_workers=workers)
        one.data_collator = boom
        with pytest.raises(ValueError, match=r"(?s)no such column"):
            tiny.quiet(one.train)
    with pytest.raises(InputError, match="compute_metrics returned a list"):
        tiny.quiet(made(compute_metrics=lambda _: [1]).evaluate)
    frozen = made()
    frozen.model.requires_grad_(False)
    with pytest.raises(InputError, match="requires_grad is False for all"):
        tiny.quiet(frozen.train)
    half = made(max_steps=2)
    half.model.bert.requires_grad_(False)
    before = half.model.bert.embeddings.word_embeddings.weight.clone()
    tiny.quiet(half.train)
    assert torch.equal(half.model.bert.embeddings.word_embeddings.weight, before)


def test_what_is_no_model(models: dict[str, Path], tmp_path: Path) -> None:
    args = formers.TrainingArguments(str(tmp_path), use_cpu=True, report_to=[])
    config = formers.BertConfig(**tiny.BERT)
    with torch.device("meta"):
        nowhere = formers.BertForSequenceClassification(config)
    for model, error, says in (
        (formers.BertModel(config), HeadError, "takes no labels.*AutoModelFor"),
        (nowhere, InputError, "'meta'"),
        ("bert-base-uncased", ArgumentError, "'bert-base-uncased' is no module"),
        (formers.BertForSequenceClassification, ArgumentError, "BertForSequenceClassification is no module"),
        (None, ArgumentError, "a model_init"),
    ):
        with pytest.raises(error, match=says):
            formers.Trainer(model, args)
    with pytest.raises(ArgumentError, match="args is a str; give TrainingArguments"):
        formers.Trainer(formers.BertForSequenceClassification(config), str(tmp_path))  # type: ignore[arg-type]


def test_smoothing_of_what_cannot_be_smoothed(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{**row, "labels": [0.0, 1.0, 0.0]} for row in tiny.data("classification", 8)]
    kind = {"problem_type": "multi_label_classification"}
    with pytest.raises(ArgumentError, match="exclude each other"):
        made(label_smoothing_factor=0.1, train_dataset=rows, config=kind)
    with pytest.raises(InputError, match="label"):
        tiny.quiet(made(label_smoothing_factor=0.1, train_dataset=rows).train)
    formers.logging._said.clear()
    made("answers", label_smoothing_factor=0.1)
    assert "label_smoothing_factor has no effect" in caplog.text


class Interrupted(formers.TrainerCallback):
    """Ctrl-C within a step, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 3:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000):
                    pass  # where the handler runs


@pytest.mark.parametrize(("times", "checkpoints"), [(1, ["checkpoint-4"]), (2, [])])
def test_ctrl_c(times: int, checkpoints: list[str], made: Any, tmp_path: Path) -> None:
    one = made(callbacks=[Interrupted(times)], save_strategy="steps", save_steps=100)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have taken away
    try:
        with pytest.raises(KeyboardInterrupt):
            tiny.quiet(one.train)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == checkpoints


def test_in_a_thread(made: Any) -> None:
    found: list[Any] = []
    one = made(max_steps=3)
    thread = threading.Thread(target=lambda: found.append(tiny.quiet(one.train)))
    thread.start()
    thread.join()
    assert found[0].global_step == 3


def test_batches_that_do_not_fit(made: Any) -> None:
    one = made(per_device_train_batch_size=16, auto_find_batch_size=True, num_train_epochs=1)
    sizes, real = [], one.compute_loss

    def compute(model: Any, inputs: Any, **kwargs: Any) -> Any:
        sizes.append(len(inputs["labels"]))
        if sizes[-1] > 6:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(model, inputs, **kwargs)

    one.compute_loss = compute
    steps = tiny.quiet(one.train).global_step
    failed = sum(size > 6 for size in sizes)
    assert sizes[0] == 16 and failed > 1 and max(sizes[failed:]) <= 6 and one._train_batch_size <= 6
    assert steps == len(sizes) - failed
    assert one.state.train_batch_size == one._train_batch_size and set(one.lr_scheduler.get_last_lr()) == {0.0}
