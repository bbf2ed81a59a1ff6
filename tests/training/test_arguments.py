"""TrainingArguments: each name that a version of Transformers has is honoured, said to have no effect, or refused."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from formers.errors import ArgumentError, InputError
from formers.training.old_arguments import REFUSED, RENAMED, WITHOUT_EFFECT

# defaults of 4.20.1 and 4.40.2, of the names that 5.23 lacks
OLDER: dict[str, Any] = {
    "adafactor": False, "dispatch_batches": None, "evaluation_strategy": "no", "fp16_backend": "auto",
    "fp16_opt_level": "O1", "fsdp_min_num_params": 0, "fsdp_transformer_layer_cls_to_wrap": None,
    "group_by_length": False, "half_precision_backend": "auto", "hub_private_repo": False,
    "include_inputs_for_metrics": False, "include_tokens_per_second": False, "jit_mode_eval": False,
    "logging_dir": None, "mp_parameters": "", "no_cuda": False, "overwrite_output_dir": False, "past_index": -1,
    "per_gpu_eval_batch_size": None, "per_gpu_train_batch_size": None, "push_to_hub_model_id": None,
    "push_to_hub_organization": None, "push_to_hub_token": None, "ray_scope": "last", "save_safetensors": True,
    "sharded_ddp": "", "split_batches": None, "torchdynamo": None, "tpu_metrics_debug": False, "tpu_num_cores": None,
    "use_ipex": False, "use_legacy_prediction_loop": False, "use_mps_device": False, "warmup_ratio": 0.0,
    "xpu_backend": None,
}  # fmt: skip
# another value than the default, where the type does not give one
OTHERS: dict[str, Any] = {
    "lr_scheduler_type": "cosine", "optim": "sgd", "eval_strategy": "epoch", "save_strategy": "epoch",
    "logging_strategy": "epoch", "log_level": "info", "log_level_replica": "error", "eval_steps": 7,
    "include_num_input_tokens_seen": "all", "report_to": "tensorboard", "include_for_metrics": ["loss"],
    "train_sampling_strategy": "sequential", "label_names": ["labels"], "lr_scheduler_kwargs": {"num_cycles": 2},
    "save_total_limit": 3, "resume_from_checkpoint": "x", "metric_for_best_model": "f1", "data_seed": 3,
    "accelerator_config": {"even_batches": False}, "neftune_noise_alpha": 5.0, "adam_beta1": 0.5, "adam_beta2": 0.5,
    "dataloader_multiprocessing_context": "fork", "activation_checkpointing_kwargs": {"use_reentrant": False},
    "torch_empty_cache_steps": 2, "eval_accumulation_steps": 2, "ddp_bucket_cap_mb": 5, "label_smoothing_factor": 0.1,
    "evaluation_strategy": "epoch", "warmup_ratio": 0.1, "torchdynamo": "eager", "per_gpu_train_batch_size": 3,
    "per_gpu_eval_batch_size": 3, "gradient_checkpointing_kwargs": {"use_reentrant": False}, "greater_is_better": True,
    "torch_compile_mode": "default", "torch_compile_backend": "eager", "dataloader_prefetch_factor": 2,
}  # fmt: skip
BESIDE: dict[str, dict[str, Any]] = {  # what else must be set
    name: {"dataloader_num_workers": 1} for name in ("dataloader_prefetch_factor", "dataloader_persistent_workers")
} | {"load_best_model_at_end": {"eval_strategy": "steps", "eval_steps": 500}}


def defaults() -> dict[str, Any]:
    newest = {
        f.name: f.default_factory() if f.default is dataclasses.MISSING else f.default  # type: ignore[misc]
        for f in dataclasses.fields(transformers.TrainingArguments)
        if f.init
    }
    return OLDER | newest


def other(name: str, default: Any) -> Any:
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(default, bool):
        return not default
    return default + 1 if isinstance(default, (int, float)) else True if "find" in name or "broad" in name else "other"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    monkeypatch.setattr(formers.logging, "_said", set())
    with caplog.at_level(logging.WARNING):
        yield caplog


@pytest.mark.parametrize("name", sorted(defaults()))
def test_every_name(name: str, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    default = defaults()[name]
    args = formers.TrainingArguments(str(tmp_path), **({} if name == "output_dir" else {name: default}))
    assert not said.records
    value = other(name, default)
    if name in REFUSED:
        with pytest.raises(ArgumentError, match=f"(?s){name}=.*cannot be honoured: .*;"):
            formers.TrainingArguments(str(tmp_path), **{name: value})
        with pytest.raises(ArgumentError, match=f"{name}=.*cannot be honoured"):
            setattr(args, name, value)
        return
    given = {"output_dir": str(tmp_path), **BESIDE.get(name, {}), name: value}
    made = formers.TrainingArguments(**given)
    if name in WITHOUT_EFFECT or name == "logging_nan_inf_filter":
        assert f"{name}={value!r} has no effect here" in said.text
        formers.TrainingArguments(**given)
        assert len(said.records) == 1  # once
    else:
        found = getattr(made, name)
        assert found == ([value] if name == "report_to" else value) and not said.records
        if name != "logging_dir":
            assert str(getattr(args, name)) != str(found) or name == "output_dir"
    if name in RENAMED:  # it can be set as well, and that means the same
        setattr(args, name, value)
        assert getattr(args, name) == value
        again = dataclasses.replace(formers.TrainingArguments(str(tmp_path)), **{name: value})
        assert getattr(again, name) == value


def test_older_names_are_what_newer_ones_say(tmp_path: Path) -> None:
    args = formers.TrainingArguments(
        str(tmp_path), evaluation_strategy="epoch", no_cuda=True, group_by_length=True, adafactor=True,
        warmup_ratio=0.25, per_gpu_train_batch_size=3, gradient_checkpointing=True, include_inputs_for_metrics=True,
    )  # fmt: skip
    assert args.eval_strategy == "epoch" and args.do_eval and args.use_cpu and args.optim == "adafactor"
    assert args.train_sampling_strategy == "group_by_length" and args.train_batch_size == 3
    assert args.activation_checkpointing and args.include_for_metrics == ["inputs"]
    assert args.get_warmup_steps(10) == 3  # rounded up
    assert formers.TrainingArguments(str(tmp_path), warmup_ratio=0.1, warmup_steps=7).get_warmup_steps(100) == 7
    args.evaluation_strategy, args.no_cuda = "no", False
    assert args.eval_strategy == "no" and not args.use_cpu


def test_an_old_and_a_new_name_that_say_different_things(tmp_path: Path) -> None:
    args = formers.TrainingArguments(str(tmp_path), eval_strategy="steps")
    with pytest.raises(ArgumentError, match=r"eval_strategy='steps' and evaluation_strategy, .*give one"):
        formers.TrainingArguments(str(tmp_path), eval_strategy="steps", evaluation_strategy="epoch")
    with pytest.raises(ArgumentError, match="different things"):
        dataclasses.replace(args, evaluation_strategy="epoch")
    same: Any = {"eval_strategy": "steps", "evaluation_strategy": "steps", "group_by_length": False}
    kept = formers.TrainingArguments(str(tmp_path), train_sampling_strategy="sequential", **same)
    assert kept.eval_strategy == "steps" and kept.train_sampling_strategy == "sequential"
    assert dataclasses.replace(args, evaluation_strategy="steps").eval_strategy == "steps"


@pytest.mark.parametrize("kind", ["TrainingArguments", "Seq2SeqTrainingArguments"])
def test_copies_and_text(kind: str, tmp_path: Path) -> None:
    options: Any = {"learning_rate": 1e-3, "eval_strategy": "steps", "label_names": ["labels"], "optim": "sgd"}
    args = getattr(formers, kind)(str(tmp_path), use_cpu=True, **options)
    assert args.device == torch.device("cpu") and args.n_gpu == 0 and args.world_size == 1  # which makes its record
    for made in (copy.deepcopy(args), copy.copy(args), pickle.loads(pickle.dumps(args)), dataclasses.replace(args)):
        assert made == args and made.device == args.device and made.to_dict() == args.to_dict()
    assert json.loads(args.to_json_string()) == args.to_dict()
    assert args.to_dict()["eval_strategy"] == "steps" and args.to_dict()["learning_rate"] == 1e-3
    known = {k: v for k, v in args.to_dict().items() if k != "generation_config" or v is not None}
    assert getattr(formers, kind)(**known) == args
    plain = args.to_sanitized_dict()
    assert plain["label_names"] == "['labels']" and plain["train_batch_size"] == 8
    assert all(isinstance(value, (bool, int, float, str)) for value in plain.values())


@dataclass
class Own(formers.TrainingArguments):
    alpha: float = 0.5
    eval_strategy: Any = "epoch"
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.doubled = self.alpha * 2


def test_subclasses(tmp_path: Path) -> None:
    args = Own(str(tmp_path), alpha=2.0, no_cuda=True)
    assert args.doubled == 4 and args.use_cpu and args.eval_strategy == "epoch" and args.to_dict()["alpha"] == 2
    assert Own(str(tmp_path), evaluation_strategy="steps").eval_strategy == "steps"
    assert pickle.loads(pickle.dumps(args)) == args and dataclasses.replace(args, alpha=1.0).doubled == 2
    with pytest.raises(ArgumentError, match=r"Own takes no argument 'alpah'\..*'alpha'"):
        Own(str(tmp_path), alpah=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"learning_rat": 1}, r"takes no argument 'learning_rat'.*Did you mean 'learning_rate'"),
        ({"eval_strategy": "epochs"}, r"epochs.*no.*steps.*epoch"),
        ({"optim": "adamw_bnb_8bit"}, r"adamw_bnb_8bit.*optimizers="),
        ({"lr_scheduler_type": "cosin"}, "cosin"),
        ({"save_strategy": "never"}, "never"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size=0 must be at least 1"),
        ({"gradient_accumulation_steps": 0}, "at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate=nan must be"),
        ({"learning_rate": "fast"}, "learning_rate='fast' is no number"),
        ({"seed": "1.5"}, "seed='1.5' is no whole number"),
        ({"logging_steps": 0}, "logging_steps above 0"),
        ({"logging_steps": 1.5}, "neither a whole number nor"),
        ({"warmup_steps": 2.5}, "neither a whole number nor"),
        ({"warmup_ratio": 1.5}, "warmup_ratio=1.5 must be"),
        ({"label_smoothing_factor": 2}, "at most 1"),
        ({"adam_beta1": -0.1}, "adam_beta1"),
        ({"fp16": True, "bf16": True}, "exclude"),
        ({"fp16_full_eval": True, "bf16_full_eval": True}, "exclude"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "set eval_strategy"),
        ({"load_best_model_at_end": True}, "eval_strategy='no' and save_strategy='steps'"),
        (
            {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 3, "save_steps": 4},
            "multiple of eval_steps",
        ),
        ({"train_sampling_strategy": "batch_rebalance"}, "none of random, sequential, group_by_length"),
        ({"include_num_input_tokens_seen": "some"}, "none of no, all, non_padding"),
        ({"log_level": "loud"}, "log_level='loud' is none of"),
        ({"dataloader_prefetch_factor": 2}, "dataloader_num_workers"),
        ({"lr_scheduler_kwargs": "{num_cycles"}, "neither JSON nor a file"),
        ({"push_to_hub": True}, "huggingface_hub"),
        ({"deepspeed": {"zero": 3}}, "torchrun"),
    ],
)
def test_bad_values(given: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises((ArgumentError, InputError), match=f"(?s){says}") as error:
        formers.TrainingArguments(str(tmp_path), **given)
    assert isinstance(error.value, (ValueError, TypeError))


def test_words_that_are_numbers(tmp_path: Path) -> None:
    args = formers.TrainingArguments(str(tmp_path), learning_rate="2e-5", max_steps="7", eval_steps="0.5")  # type: ignore[arg-type]
    assert (args.learning_rate, args.max_steps, args.eval_steps) == (2e-5, 7, 0.5)


@pytest.mark.parametrize(("steps", "whole"), [(0, 0), (0.1, 2), (0.11, 2), (1, 1), (5, 5), (5.0, 5)])
def test_warmup_steps(steps: float, whole: int, tmp_path: Path) -> None:
    for library in (formers, transformers):
        args = library.TrainingArguments(str(tmp_path), warmup_steps=steps)
        assert args.get_warmup_steps(15) == whole


def test_levels_of_logging(tmp_path: Path) -> None:
    before = formers.logging.get_verbosity()
    try:
        args = formers.TrainingArguments(str(tmp_path), use_cpu=True)
        assert args.get_process_log_level() == before
        args = formers.TrainingArguments(str(tmp_path), log_level="error", use_cpu=True)
        assert args.get_process_log_level() == logging.ERROR
        formers.Trainer(torch.nn.Linear(1, 1), args)
        assert formers.logging.get_verbosity() == logging.ERROR
    finally:
        formers.logging.set_verbosity(before)


def test_main_process_first(tmp_path: Path) -> None:
    args = formers.TrainingArguments(str(tmp_path), use_cpu=True)
    for local in (True, False):
        with args.main_process_first(local=local, desc="reading"):
            assert args.process_index == args.local_process_index == 0 and args.should_save and args.should_log
