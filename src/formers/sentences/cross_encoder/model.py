"""CrossEncoder: scores of pairs of texts, by a model that reads both at once.

It reads the folders that sentence-transformers writes for its class of that name; `pipeline("text-ranking")` does the
same for streams, and with errors for texts that are too long. Source: Nogueira and Cho 2019 (arXiv 1901.04085).
Letters: N pairs, C labels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import hub
from ...atomic import replacing
from ...auto import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from ...config import longest_text
from ...errors import ArgumentError, ConfigError, HeadError, InputError
from ...ops.activations import torch_activation
from ...pipelines.base import choose_device
from ...pipelines.batches import collate
from ...pipelines.text import least_limit
from .. import folder
from ..running import batches, chosen_prompt, opened, refuse_more, tokenized
from .fit import FitsPairs

Activation = Callable[[Tensor], Tensor]


class CrossEncoder(FitsPairs):
    """A model with a head for sequence classification, and its tokenizer. `fit` trains it.

    Attributes:
        model, tokenizer: as AutoModelForSequenceClassification and AutoTokenizer load them.
        max_length: the tokens of a pair that are read, the longer text is cut first; None for no limit.
        activation_fn: what is done to the model's logits, (N, C).
        prompts, default_prompt_name: what is put before the first text of a pair; see SentenceEncoder.
    """

    prompts: dict[str, str]
    default_prompt_name: str | None

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        max_length: int | None = None,
        activation_fn: Activation | str | None = None,
        prompts: dict[str, str] | None = None,
        default_prompt_name: str | None = None,
        do_lower_case: bool = False,
        **kwargs: Any,
    ) -> None:
        """Args:
        model: a model; or a name or a folder, of which all is loaded that is not given, with kwargs as from_pretrained.
        activation_fn: left out, what the model's configuration says, or a sigmoid of a single label's score.
        """
        super().__init__()
        if isinstance(model, str | os.PathLike):
            own = {**kwargs, "max_length": max_length, "activation_fn": activation_fn}
            self.__dict__ = opened(type(self), model, own, tokenizer).__dict__
            self.prompts.update(prompts or {})
            self.default_prompt_name = default_prompt_name or self.default_prompt_name
            return
        refuse_more(type(self), kwargs)
        self.model, self.tokenizer, self.do_lower_case = model, tokenizer, do_lower_case
        self.eval()
        self.max_length = max_length or least_limit(tokenizer.model_max_length, longest_text(model.config))
        self.prompts, self.default_prompt_name = dict(prompts or {}), default_prompt_name
        self.activation_fn = _activation(activation_fn, model.config)

    @property
    def activation_fn(self) -> Activation:
        """What is done to the model's logits."""
        function: Activation = self.__dict__["_activation"]  # no part of the model, whatever it is
        return function

    @activation_fn.setter
    def activation_fn(self, value: Activation) -> None:
        self.__dict__["_activation"] = value

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the model's own."""
        return self.model(*args, **kwargs)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Activation | str | None = None,
        device: Any = None,
        **kwargs: Any,
    ) -> CrossEncoder:
        """Load a folder or a hub name.

        Args:
            num_labels: how many labels; left out, those of the model, and one for a model without a head.
            max_length, activation_fn: instead of what the folder says.
            device: where to run; left out, where the model is loaded.
            kwargs: those of `AutoModelForSequenceClassification.from_pretrained`.

        Errors: as there; ConfigError for a module, or a setting that changes scores, that is not known.
        """
        where = hub.hub_arguments(kwargs.copy())
        source = hub.locate(name, **where)
        if more := [step["type"] for step in folder.steps(source)[1:]]:
            raise ConfigError(f"{name}: its modules.json has a {more[0]} after the model, which is not known here.")
        settings = folder.settings(source, "", "sequence-classification")
        own = folder.general(source, "CrossEncoder")
        if "config" not in kwargs:
            config = AutoConfig.from_pretrained(name, **where)
            headed = any(str(one).endswith("ForSequenceClassification") for one in config.architectures or ())
            if settings.config:
                settings.apply(config)
                kwargs["config"] = config
            if num_labels is not None or not headed:
                kwargs["num_labels"] = num_labels or 1
        model = AutoModelForSequenceClassification.from_pretrained(name, **{**settings.model, **kwargs})
        made = cls(
            model,
            AutoTokenizer.from_pretrained(name, **where, **settings.tokenizer),
            max_length or settings.max_seq_length,
            activation_fn or own.get("activation_fn"),
            own.get("prompts"),
            own.get("default_prompt_name"),
            settings.do_lower_case,
        )
        return made if device is None else made.to(choose_device(device, model))

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write a folder that from_pretrained, and sentence-transformers, read again; kwargs go to the model's."""
        kind = type(self.activation_fn)
        if not isinstance(self.activation_fn, nn.Module):
            raise ArgumentError(f"activation_fn={self.activation_fn!r:.60} has no name that a file could say.")
        path = f"{kind.__module__}.{kind.__qualname__}"
        torch_activation(path, "activation_fn")
        self.tokenizer.model_max_length = self.max_length or self.tokenizer.model_max_length
        self.model.config.sentence_transformers = {"activation_fn": path}
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory)
        own = {"prompts": self.prompts, "default_prompt_name": self.default_prompt_name, "activation_fn": path}
        with replacing(save_directory) as stage:
            folder.write_json(stage / "config_sentence_transformers.json", {"model_type": "CrossEncoder", **own})

    @property
    def max_seq_length(self) -> int | None:
        """As max_length."""
        return self.max_length

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        self.max_length = value

    @property
    def num_labels(self) -> int:
        """How many labels the model has."""
        return int(self.model.config.num_labels)

    def optimize(self, mode: str | bool | None = True, **kwargs: Any) -> CrossEncoder:
        """As the model's own `optimize`."""
        self.model.optimize(mode, **kwargs)
        return self

    @torch.inference_mode()
    def predict(
        self,
        sentences: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | str | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        *,
        inputs: Any = None,
        activation_fct: Activation | None = None,
    ) -> Any:
        """Scores of pairs of texts.

        Args:
            sentences: a pair, or a list of pairs; `inputs` is its newer name.
            prompt_name, prompt: what is put before the first text of each pair, by its name in `prompts`, or as it is.
            batch_size: pairs at a time; left out, they are chosen by tokens, which is faster.
            show_progress_bar: whether a bar shows how many are done.
            activation_fn: what is done to the logits, for this call; `activation_fct` is its older name.
            apply_softmax: whether the scores of several labels are made to sum to 1, after that.
            convert_to_numpy, convert_to_tensor: what is returned: an array, or a tensor, (N,) of models with one label,
                else (N, C); neither: a list.
            device: where to run from now on; left out, where the model is.

        Returns the same for one pair, without the first dimension. Raises InputError naming what is no pair.
        """
        given = sentences if inputs is None else inputs
        chosen = activation_fn if activation_fct is None else activation_fct
        function = self.activation_fn if chosen is None else _activation(chosen, self.model.config)
        if device is not None:
            self.to(choose_device(device, self.model))
        if self.training:
            self.eval()
        single = isinstance(given, list | tuple) and bool(given) and isinstance(given[0], str)
        pairs = _pairs([given] if single else given)
        before = chosen_prompt(self.prompts, self.default_prompt_name, prompt_name, prompt)
        logits = self._logits([(before + one, other) for one, other in pairs], batch_size, show_progress_bar)
        if not pairs:
            return torch.empty(0) if convert_to_tensor else np.empty(0, np.float32) if convert_to_numpy else []
        scores = function(logits)
        if self.num_labels == 1 and scores.ndim > 1:
            scores = scores.squeeze(-1)
        if apply_softmax and scores.ndim > 1:
            scores = scores.softmax(1)
        found: Any = scores if convert_to_tensor else scores.cpu().numpy() if convert_to_numpy else list(scores)
        return found[0] if single else found

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Documents by how well they fit the query.

        Args:
            query, documents: texts.
            top_k: how many, best first; None for all.
            return_documents: whether results have the documents' text.
            kwargs: those of `predict`.

        Returns [{"corpus_id": the place in `documents`, "score": float}, …], best first; with "text" if asked.
        """
        if self.num_labels != 1:
            raise ArgumentError(
                f"This {type(self.model).__name__} has {self.num_labels} labels; rank needs a model with one, whose "
                "score says how well a document fits. predict gives the scores of pairs."
            )
        unknown = kwargs.keys() & {"sentences", "inputs", "apply_softmax", "convert_to_numpy", "convert_to_tensor"}
        if unknown:
            raise ArgumentError(f"rank has no argument {min(unknown)!r}.")
        listed = list(documents)
        scores = self.predict([(query, document) for document in listed], convert_to_tensor=True, **kwargs).tolist()
        ranked = [
            {"corpus_id": number, "score": score, **({"text": text} if return_documents else {})}
            for number, (score, text) in enumerate(zip(scores, listed, strict=True))
        ]
        return sorted(ranked, key=lambda row: row["score"], reverse=True)[:top_k]

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Tensor:
        """What the model gives for pairs of texts: (N, C), float32, with gradients where these are recorded."""
        return self._computed(tokenized(self, [[pair[side] for pair in pairs] for side in (0, 1)]))

    def _logits(self, pairs: list[tuple[str, str]], size: int | None, bar: bool | None) -> Tensor:
        """As `logits`, some at a time."""
        read = tokenized(self, [[pair[side] for pair in pairs] for side in (0, 1)])
        found = torch.empty(len(pairs), self.num_labels, device=self.device)
        for batch in batches(read, size, bar):
            found[batch] = self._computed([read[i] for i in batch])
        return found

    def _computed(self, read: list[dict[str, Tensor]]) -> Tensor:
        inputs = {name: value.to(self.device) for name, value in collate(read, self.tokenizer, True).items()}
        logits: Tensor | None = self.model(**inputs, return_dict=True).get("logits")
        if logits is None or logits.ndim != 2:
            raise HeadError(f"{type(self.model).__name__} gives no logits per text, which a CrossEncoder needs.")
        return logits.float()


def _pairs(given: Any) -> list[tuple[str, str]]:
    if given is None or isinstance(given, str):
        raise InputError(f"{given!r:.60} is no pair of texts: give (text, text), or a list of these.")
    pairs = []
    for index, pair in enumerate(given):
        sides = list(pair) if isinstance(pair, list | tuple | np.ndarray) else []
        if len(sides) != 2 or not all(isinstance(side, str) for side in sides):
            raise InputError(f"sentences[{index}] is {pair!r:.60} ({type(pair).__name__}); a pair of texts is needed.")
        pairs.append((sides[0], sides[1]))
    return pairs


def _activation(given: Activation | str | None, config: Any) -> Activation:
    """The function itself, or what the configuration says; else a sigmoid of a single score, and nothing of several."""
    if callable(given):
        return given
    own = getattr(config, "sentence_transformers", None)
    named = given or (own.get("activation_fn") if isinstance(own, dict) else None)
    named = named or getattr(config, "sbert_ce_default_activation_function", None)
    return torch_activation(named or ("Sigmoid" if config.num_labels == 1 else "Identity"), "activation_fn")
