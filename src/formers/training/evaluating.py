"""Evaluation and prediction: a model over a data set, what it gives gathered from all processes, and metrics of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import FormersError, InputError
from ..logging import logger
from .callbacks import TRAINER_STATE_NAME
from .data import read
from .faults import explained
from .results import (
    EvalLoopOutput,
    EvalPrediction,
    PredictionOutput,
    denumpify_detensorize,
    has_length,
    metrics_format,
    speed_metrics,
)

PADDING = -100  # beside what is shorter than its neighbours


def mapped(function: Any, nested: Any) -> Any:
    """`function` of each tensor in lists, tuples and mappings."""
    if isinstance(nested, (list, tuple)):
        return type(nested)(mapped(function, x) for x in nested)
    if isinstance(nested, Mapping):
        return type(nested)({name: mapped(function, x) for name, x in nested.items()})  # type: ignore[call-arg]
    return function(nested) if isinstance(nested, Tensor) else nested


def joined(parts: list[Any], padding: int = PADDING) -> Any:
    """Tensors (b, T, …) of all parts as one (B, longest T, …), filled up at the end; nested ones likewise."""
    first = parts[0]
    if isinstance(first, (list, tuple)):
        return type(first)(joined(list(some), padding) for some in zip(*parts, strict=True))
    if isinstance(first, Mapping):
        return type(first)({name: joined([p[name] for p in parts], padding) for name in first})  # type: ignore[call-arg]
    parts = [torch.atleast_1d(part) for part in parts]
    if first.dim() < 2 or len({part.shape[1:] for part in parts}) == 1:
        return torch.cat(parts)
    longest = max(part.shape[1] for part in parts)
    whole = parts[0].new_full((sum(len(part) for part in parts), longest, *parts[0].shape[2:]), padding)
    row = 0
    for part in parts:
        whole[row : row + len(part), : part.shape[1]] = part
        row += len(part)
    return whole


def arrays(nested: Any) -> Any:
    """numpy arrays of tensors; bfloat16, which numpy lacks, as float32."""
    if nested is None:
        return None
    return mapped(lambda x: (x.float() if x.dtype == torch.bfloat16 else x).cpu().numpy(), nested)


nested_numpify = arrays


def nested_detach(tensors: Any) -> Any:
    """Nested tensors without their gradients."""
    return mapped(Tensor.detach, tensors)


def nested_concat(tensors: Any, new_tensors: Any, padding_index: int = PADDING) -> Any:
    """Nested tensors (b, T, …) and further ones as one (B, longest T, …), filled up at the end."""
    return joined([tensors, new_tensors], padding_index)


class Gathered:
    """What the batches of an evaluation give, kept until its end."""

    def __init__(self, together: bool) -> None:
        self.together, self.parts = together, list[Any]()

    def add(self, value: Any) -> None:
        """Keep what one batch gave."""
        if value is not None:
            self.parts.append(value)

    def to_cpu(self) -> None:
        """Move what is kept off the device."""
        self.parts = [mapped(Tensor.cpu, part) for part in self.parts]

    def whole(self) -> Any:
        """All of it as arrays, None where there is nothing; a list of batches where they stay apart."""
        if not self.parts:
            return None
        if not self.together:
            return [arrays(part) for part in self.parts]
        cpu = [mapped(Tensor.cpu, part) for part in self.parts]
        return arrays(joined(cpu))


class Evaluating:
    """The part of a Trainer that evaluates and predicts."""

    args: Any
    model: Any
    accelerator: Any
    callback_handler: Any
    state: Any
    control: Any
    compute_metrics: Any
    preprocess_logits_for_metrics: Any
    label_names: list[str]
    eval_dataset: Any
    optimizer: Any
    is_in_train: bool
    gather_function: Any

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The loss and the metrics over `eval_dataset`, each under the prefix; of several data sets, under their names.

        ignore_keys: fields of the model's output that are no predictions.
        """
        chosen = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(chosen, dict):
            found: dict[str, float] = {}
            for name, one in chosen.items():
                part = name if eval_dataset is None else one
                found |= self.evaluate(part, ignore_keys, f"{metric_key_prefix}_{name}")
            return found
        loader: Any = self.get_eval_dataloader(eval_dataset)  # type: ignore[attr-defined]
        start = time.time()
        loss_only = True if self.compute_metrics is None else None
        output = self.evaluation_loop(loader, "Evaluation", loss_only, ignore_keys, metric_key_prefix)
        metrics = self._timed(output, metric_key_prefix, start)
        if loss_only and output.num_samples and f"{metric_key_prefix}_loss" not in metrics:
            logger.warning("The evaluation has no loss: the data has none of the labels %s.", self.label_names)
        self.log(metrics)  # type: ignore[attr-defined]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Predictions for `test_dataset`, its labels, and the metrics if it has labels."""
        loader: Any = self.get_test_dataloader(test_dataset)  # type: ignore[attr-defined]
        start = time.time()
        output = self.evaluation_loop(loader, "Prediction", None, ignore_keys, metric_key_prefix)
        metrics = self._timed(output, metric_key_prefix, start)
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, metrics)
        return PredictionOutput(output.predictions, output.label_ids, metrics)

    def _timed(self, output: EvalLoopOutput, prefix: str, start: float) -> dict[str, float]:
        samples = output.num_samples or 0
        steps = math.ceil(samples / (self.args.eval_batch_size * self.args.world_size))
        return {**(output.metrics or {}), **speed_metrics(prefix, start, num_samples=samples, num_steps=steps)}

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Predictions of all batches, their labels and metrics; of the loss alone with `prediction_loss_only`."""
        args = self.args
        self._take_accelerator()  # type: ignore[attr-defined]
        loss_only = args.prediction_loss_only if prediction_loss_only is None else prediction_loss_only
        model = self._ready_to_evaluate()
        self.callback_handler.eval_dataloader = dataloader
        kept = {name: Gathered(args.eval_do_concat_batches) for name in ("losses", "logits", "labels", "inputs")}
        each = args.batch_eval_metrics and description != "Prediction"
        seen, metrics = 0, None
        for step, inputs in enumerate(read(dataloader)):
            size = batch_size(inputs)
            first = (step * args.world_size + args.process_index) * args.eval_batch_size
            seen += size
            try:
                loss, logits, labels = self.prediction_step(model, inputs, loss_only, ignore_keys)
            except (FormersError, IndexError, KeyError) as error:
                rows = range(first, first + size)
                raise explained(error, self, inputs, rows, description.lower(), step) from error
            main = inputs.get(self._main_input()) if "inputs" in args.include_for_metrics else None  # type: ignore[attr-defined]
            if loss is not None:
                loss = loss.repeat(size)
            logits, labels, main = (self._padded(x) for x in (logits, labels, main))
            if logits is not None and self.preprocess_logits_for_metrics is not None:
                logits = self.preprocess_logits_for_metrics(logits, labels)
            one = {"losses": loss, "logits": logits, "labels": labels, "inputs": main}
            one = {name: None if x is None else self.gather_function(x) for name, x in one.items()}
            for name in kept if not each else ("losses",):
                kept[name].add(one[name])
            self.control = self.callback_handler.on_prediction_step(args, self.state, self.control)
            if args.batch_eval_metrics and self.compute_metrics is not None and one["labels"] is not None:
                metrics = self._metrics(one, compute_result=self.accelerator.gradient_state.end_of_dataloader)
            elif args.eval_accumulation_steps and (step + 1) % args.eval_accumulation_steps == 0:
                for part in kept.values():
                    part.to_cpu()
        self.gather_function = self.accelerator.gather_for_metrics
        whole = {name: part.whole() for name, part in kept.items()}
        known = has_length(getattr(dataloader, "dataset", None))
        samples = len(dataloader.dataset) if known else seen
        if not args.batch_eval_metrics and self.compute_metrics is not None and whole["labels"] is not None:
            metrics = self._metrics(whole)
        found = self._named(metrics, whole["losses"], metric_key_prefix)
        return EvalLoopOutput(whole["logits"], whole["labels"], found, samples)

    def _ready_to_evaluate(self) -> Any:
        wrapped: Any = self.model_wrapped if self.is_in_train else self.model  # type: ignore[attr-defined]
        model = wrapped
        if not self.is_in_train:
            if wrapped is self.model and not self.accelerator._models:
                model = self.accelerator.prepare_model(wrapped, evaluation_mode=True)
            full = torch.float16 if self.args.fp16_full_eval else torch.bfloat16 if self.args.bf16_full_eval else None
            model = model.to(dtype=full, device=self.args.device) if full else model
        model.eval()
        if callable(getattr(self.optimizer, "eval", None)):
            self.optimizer.eval()
        return model

    def _padded(self, x: Any) -> Any:
        return None if x is None else self.accelerator.pad_across_processes(x, dim=1, pad_index=PADDING)

    def _metrics(self, found: dict[str, Any], **more: Any) -> Any:
        wanted = self.args.include_for_metrics
        beside = {
            "inputs": found["inputs"] if "inputs" in wanted else None,
            "losses": found["losses"] if "loss" in wanted else None,
        }
        return self.compute_metrics(EvalPrediction(found["logits"], found["labels"], **beside), **more)

    def _named(self, metrics: Any, losses: Any, prefix: str) -> dict[str, float]:
        if metrics is not None and not isinstance(metrics, dict):
            raise InputError(f"compute_metrics returned a {type(metrics).__name__}; return {{name: number}}.")
        found = dict(denumpify_detensorize(metrics or {}))
        if losses is not None:
            found["loss"] = float(np.concatenate(losses).mean() if isinstance(losses, list) else losses.mean())
        return {name if name.startswith(f"{prefix}_") else f"{prefix}_{name}": x for name, x in found.items()}

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Any, Any, Any]:
        """(loss, logits, labels) of a batch, None for what is not there; several logits or labels are tuples."""
        has_labels = bool(self.label_names) and all(inputs.get(name) is not None for name in self.label_names)
        inputs = self._prepare_inputs(inputs)  # type: ignore[attr-defined]
        if ignore_keys is None:
            config = getattr(self.model, "config", None)
            ignore_keys = list(getattr(config, "keys_to_ignore_at_inference", ["past_key_values"]))
        labels = None
        if has_labels:
            labels = nested_detach(tuple(inputs[name] for name in self.label_names))
            labels = labels[0] if len(labels) == 1 else labels
        loss = None
        with torch.no_grad(), self.compute_loss_context_manager():  # type: ignore[attr-defined]
            if has_labels:
                items = self._get_num_items_in_batch([inputs], self.args.device)  # type: ignore[attr-defined]
                loss, outputs = self.compute_loss(model, inputs, return_outputs=True, **self._items(items))  # type: ignore[attr-defined]
                loss = loss.detach().mean()
            else:
                outputs = self._computed(model, inputs)  # type: ignore[attr-defined]
        if prediction_loss_only:
            return loss, None, None
        logits: Any
        if isinstance(outputs, Mapping):
            left_out = {*ignore_keys, "loss"} if has_labels else set(ignore_keys)
            logits = tuple(value for name, value in outputs.items() if name not in left_out)
        else:
            logits = outputs[1:] if has_labels else outputs
        logits = nested_detach(logits)
        return loss, logits[0] if isinstance(logits, tuple) and len(logits) == 1 else logits, labels

    def log_metrics(self, split: str, metrics: dict[str, float]) -> None:
        """Print the metrics, a line each."""
        if self.is_world_process_zero():  # type: ignore[attr-defined]
            shown = metrics_format(metrics)
            width = max(map(len, shown), default=0)
            print(f"***** {split} metrics *****")
            for name in sorted(shown):
                print(f"  {name:{width}} = {shown[name]}")

    def save_metrics(self, split: str, metrics: dict[str, float], combined: bool = True) -> None:
        """Write them to {split}_results.json, and with `combined` into all_results.json too."""
        if not self.is_world_process_zero():  # type: ignore[attr-defined]
            return
        folder = Path(self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        written = {f"{split}_results.json": metrics}
        if combined:
            path = folder / "all_results.json"
            written[path.name] = {**(json.loads(path.read_text()) if path.exists() else {}), **metrics}
        for name, values in written.items():
            (folder / name).write_text(json.dumps(values, indent=4, sort_keys=True) + "\n", encoding="utf-8")

    def save_state(self) -> None:
        """Write the state of the training beside the model."""
        if self.is_world_process_zero():  # type: ignore[attr-defined]
            self.state.save_to_json(Path(self.args.output_dir) / TRAINER_STATE_NAME)


def batch_size(inputs: Any) -> int:
    """The rows of a batch: of the first tensor in it."""
    if isinstance(inputs, Tensor):
        return len(inputs) if inputs.dim() else 1
    values = inputs.values() if isinstance(inputs, Mapping) or hasattr(inputs, "values") else inputs
    for value in values if not isinstance(values, (str, int, float)) and values is not None else ():
        if found := batch_size(value):
            return found
    return 0
