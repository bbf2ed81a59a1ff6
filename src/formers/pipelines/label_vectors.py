"""What the tasks share that choose among labels named in the call, by a model of two towers.

Letters: L labels, D width of the space that both towers share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ArgumentError
from .base import Pipeline
from .choices import checked_labels, checked_template

_LOOKED_AT = 8  # numbers of a parameter, by which an edit is found


class LabelVectorsPipeline(Pipeline):
    """How well each of some labels fits an input.

    The vectors of labels are computed once for all inputs, and kept for the next call.

    TEMPLATE: the sentence that labels are put into. TOWER: the model's part that reads the inputs.
    """

    TEMPLATE: ClassVar[str]
    TOWER: ClassVar[str]
    _kept: tuple[Any, Tensor] | None = None

    def _sanitize_parameters(
        self,
        candidate_labels: str | Sequence[str] | None = None,
        hypothesis_template: str | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        self.reject(set(unknown))
        inside: dict[str, Any] = {} if tokenizer_kwargs is None else {"tokenizer_kwargs": dict(tokenizer_kwargs)}
        if candidate_labels is not None:
            inside["candidate_labels"] = checked_labels(candidate_labels)
        if hypothesis_template is not None:
            inside["hypothesis_template"] = checked_template(hypothesis_template)
        return {} if timeout is None else {"timeout": timeout}, inside, {}

    def features(self, model_inputs: Any) -> Tensor:
        """The vectors (B, D) of inputs."""
        raise NotImplementedError

    def _forward(self, model_inputs: Any, **parameters: Any) -> Any:
        labels = parameters.get("candidate_labels")
        if not labels:
            raise ArgumentError("candidate_labels are needed: the labels to choose from, as a list.")
        template = parameters.get("hypothesis_template", self.TEMPLATE)
        vectors = self._of_texts([template.format(label) for label in labels], parameters.get("tokenizer_kwargs", {}))
        return {"logits": self.model.similarities(vectors, F.normalize(self.features(model_inputs), dim=-1)).T}

    def _of_texts(self, texts: list[str], options: dict[str, Any]) -> Tensor:
        """The vectors of texts, (L, D): those of the last call where texts and the model are the same."""
        key, kept = (texts, options, self._state()), self._kept  # once: another thread may replace it meanwhile
        if kept is not None and key[2] is not None and kept[0] == key:
            return kept[1]
        usual: dict[str, Any] = {"padding": True}
        if self._sigmoid():  # which was trained with texts of one length alone
            usual = {"padding": "max_length", "max_length": 64, "truncation": True}
        encoded = self.tokenizer(texts, return_tensors="pt", **{**usual, **options})
        moved = self._ensure_tensor_on_device(dict(encoded), self.device)
        read = {name: value for name, value in moved.items() if name in self.model.inputs()}
        vectors = F.normalize(self.model.get_text_features(**read), dim=-1)
        self._kept = key, vectors
        return vectors

    def _state(self) -> Any:
        """What vectors depend on beside texts; None where that cannot be told, as with adapters and hooks.

        Edits of `parameter.data` count no version, so that some numbers of each are looked at too."""
        model = self.model
        if model.training or any(_does_more(module) for module in model.modules()):
            return None
        own = [p.detach() for name, p in model.named_parameters() if not name.startswith(f"{self.TOWER}.")]
        weights = [(id(p), 0 if p.is_inference() else p._version, p.dtype) for p in model.parameters()]
        some = torch.cat([p.flatten()[:: p.numel() // _LOOKED_AT + 1] for p in own]).tolist()
        mode = getattr(getattr(model, "optimized", None), "mode", None)
        return weights, some, model.device, mode, self.tokenizer

    def _sigmoid(self) -> bool:
        """Whether each label has a probability of its own, as in models with a bias for that."""
        return hasattr(self.model, "logit_bias")

    def _batch_outputs(self, items: list[Mapping[str, Any]], parameters: dict[str, Any]) -> Any:
        for found in super()._batch_outputs(items, parameters):
            yield {**found, "candidate_labels": parameters.get("candidate_labels")}

    def postprocess(self, model_outputs: Any) -> list[dict[str, Any]]:
        """Labels of one input, the best first."""
        logits = model_outputs["logits"][0]
        scores = (logits.sigmoid() if self._sigmoid() else logits.softmax(-1)).tolist()
        pairs = zip(scores, model_outputs["candidate_labels"], strict=True)
        return [{"score": score, "label": label} for score, label in sorted(pairs, key=lambda pair: -pair[0])]


def _does_more(module: nn.Module) -> bool:
    """Whether a module's outputs may change while its weights stay."""
    return bool(module._forward_hooks or module._forward_pre_hooks) or "_active_adapter" in vars(module)
