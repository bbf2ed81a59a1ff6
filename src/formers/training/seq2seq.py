"""Seq2SeqTrainer: a Trainer of models that write, which evaluates what they write."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..generation.configuration import GenerationConfig
from .results import PredictionOutput
from .trainer import Trainer


class Seq2SeqTrainer(Trainer):
    """A Trainer that, with `predict_with_generate`, predicts the tokens that the model writes.

    Keywords of `evaluate` and `predict` (max_length, num_beams, …) are those of `generate`.
    """

    _writing: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writing = {}
        given = getattr(self.args, "generation_config", None)
        if given is not None:
            config = given if isinstance(given, GenerationConfig) else GenerationConfig.from_pretrained(str(given))
            self.model.generation_config = config

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
        **gen_kwargs: Any,
    ) -> dict[str, float]:
        """As Trainer.evaluate, writing with `gen_kwargs`."""
        self._writing = self._with_limits(gen_kwargs)
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def predict(
        self,
        test_dataset: Any,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "test",
        **gen_kwargs: Any,
    ) -> PredictionOutput:
        """As Trainer.predict, writing with `gen_kwargs`."""
        self._writing = self._with_limits(gen_kwargs)
        return super().predict(test_dataset, ignore_keys, metric_key_prefix)

    def _with_limits(self, given: dict[str, Any]) -> dict[str, Any]:
        found = {name: value for name, value in given.items() if value is not None}
        most, beams = (getattr(self.args, f"generation_{name}", None) for name in ("max_length", "num_beams"))
        if most is not None and not {"max_length", "max_new_tokens"} & found.keys():
            found["max_length"] = most
        if beams is not None:
            found.setdefault("num_beams", beams)
        return found

    def prediction_step(
        self,
        model: Any,
        inputs: Any,
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
        **gen_kwargs: Any,
    ) -> tuple[Any, Any, Any]:
        """(loss, tokens written (B, T), labels (B, T)); tokens and labels are filled up to the longest allowed."""
        if not getattr(self.args, "predict_with_generate", False) or prediction_loss_only:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        inputs = self._prepare_inputs(inputs)
        options = self._with_limits(gen_kwargs) if gen_kwargs else self._writing
        labels = inputs.get("labels")
        read = {name: value for name, value in inputs.items() if name != "labels"}
        if labels is not None and getattr(read.get("decoder_input_ids"), "shape", None) == labels.shape:
            for name in ("decoder_input_ids", "decoder_attention_mask"):  # which are the labels' own
                read.pop(name, None)
        written = self.model.generate(**read, **options)
        loss = None
        if labels is not None:
            loss, _, _ = super().prediction_step(model, inputs, True, ignore_keys)
        return loss, self._filled(written), None if labels is None else self._filled(labels)

    def _filled(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T), as many as the model's own configuration lets it write."""
        config = self.model.generation_config
        for most in (config.max_length or 20, (config.max_new_tokens or 0) + 1):
            if (missing := most - tokens.shape[-1]) > 0:
                return torch.nn.functional.pad(tokens, (0, missing), value=self._padding())
        return tokens

    def _padding(self) -> int:
        for holder in (self.processing_class, getattr(self.model, "config", None)):
            for name in ("pad_token_id", "eos_token_id"):
                if isinstance(found := getattr(holder, name, None), int):
                    return found
        raise InputError("What is written cannot be filled up: neither the tokenizer nor the model has a pad_token_id.")
