"""fill-mask: the likeliest tokens in place of each mask of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError
from ..logging import logger
from .base import PipelineException, Task
from .choices import checked_top_k
from .failures import place
from .text import TextPipeline, no_head


class FillMaskPipeline(TextPipeline):
    """Candidates for masked tokens, from any model with a masked language model head; see Pipeline for the rest.

    With several masks in one text each is filled on its own: the scores are not those of the combination.

    Args:
        top_k: how many candidates per mask, 5 by default.
        targets: a word or words; only these are scored. A word of several tokens counts as its first, with a warning.
        tokenizer_kwargs: a dictionary of the tokenizer's arguments.
        kwargs: the same, one by one: truncation, max_length, …
    """

    by_tokens = True
    per_token = True
    # each token's logits are as long as the vocabulary
    step_tokens = 512

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        targets: str | Sequence[str] | None = None,
        tokenizer_kwargs: dict[str, Any] | None = None,
        **more_tokenizer_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if self.tokenizer.mask_token_id is None:
            raise self._unusable(f"{type(self.tokenizer).__name__} has no mask token. Set tokenizer.mask_token.")
        postprocess: dict[str, Any] = {}
        if targets is not None:
            postprocess["target_ids"] = self.get_target_ids(targets)
        if checked_top_k(top_k, "candidates") is not None:
            postprocess["top_k"] = top_k
        return self._tokenizer_parameters(more_tokenizer_kwargs, tokenizer_kwargs), {}, postprocess

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Fill the masks.

        Returns:
            For each text a list of {"score": float, "token": int, "token_str": str, "sequence": str}, best first; with
            several masks in the text a list of such lists. A list of one text gives what the text alone gives.
        """
        result = super().__call__(inputs, *args, **kwargs)
        return result[0] if isinstance(inputs, list) and len(inputs) == 1 else result

    def check_input(self, item: Any, name: str, **parameters: Any) -> None:
        """Raise InputError unless the item is a text or a pair of texts with a mask token somewhere."""
        texts = self._read(item, name)
        mask = str(
            self.tokenizer.mask_token
        ).casefold()  # what the tokenizer is told to normalize, it finds in any case
        if not any(mask in text.casefold() for text in texts if text is not None):
            raise self._without_mask(item, name)

    def preprocess(self, inputs: Any, **parameters: Any) -> Mapping[str, Any]:
        """The model's arguments for one text: tensors (1, T)."""
        return FillMaskPipeline.preprocess_batch(self, [inputs], None, **parameters)[0]

    def preprocess_batch(self, inputs: list[Any], first: int | None, **parameters: Any) -> list[Mapping[str, Any]]:
        """The same for several texts. Raises PipelineException for one without a mask."""
        encoded = super().preprocess_batch(inputs, first, **parameters)
        for index, item in enumerate(encoded):
            if not (item["input_ids"] == self.tokenizer.mask_token_id).any():
                cut = " in the part that truncation leaves" if parameters.get("truncation") else ""
                raise self._without_mask(inputs[index], place(first, index), cut)
        return encoded

    def _forward(self, model_inputs: Any, **parameters: Any) -> Any:
        outputs = super()._forward(model_inputs, **parameters)
        return {"logits": outputs["logits"], "input_ids": model_inputs["input_ids"]}

    def postprocess(self, model_outputs: Any, top_k: int = 5, target_ids: Tensor | None = None) -> Any:
        """The candidates of one text; `target_ids` are the only tokens to consider."""
        ids, logits = model_outputs["input_ids"][0], model_outputs["logits"][0]
        if logits.ndim != 2 or logits.shape[0] != ids.shape[0]:
            raise no_head(self.model, "token", "Filling masks", "AutoModelForMaskedLM")
        masks = (ids == self.tokenizer.mask_token_id).nonzero()[:, 0]
        probabilities = logits[masks].softmax(dim=-1)
        if target_ids is not None:
            probabilities = probabilities[:, target_ids]
        scores, tokens = probabilities.topk(min(top_k, probabilities.shape[1]))
        if target_ids is not None:
            tokens = target_ids[tokens]
        # among several masks, those not filled must stay visible
        plain = len(masks) == 1
        filled = [
            [self._candidate(ids, mask, token, score, plain) for token, score in zip(row, row_scores, strict=True)]
            for mask, row, row_scores in zip(masks.tolist(), tokens.tolist(), scores.tolist(), strict=True)
        ]
        return filled[0] if plain else filled

    def _candidate(self, ids: Tensor, mask: int, token: int, score: float, plain: bool) -> dict[str, Any]:
        filled = [
            i for i in (*ids[:mask].tolist(), token, *ids[mask + 1 :].tolist()) if i != self.tokenizer.pad_token_id
        ]
        sequence = self.tokenizer.decode(filled, skip_special_tokens=plain)
        return {"score": score, "token": token, "token_str": self.tokenizer.decode([token]), "sequence": sequence}

    def get_target_ids(self, targets: str | Sequence[str]) -> Tensor:
        """The token ids of the targets, each once. Raises ArgumentError when none is left."""
        vocabulary = self.tokenizer.get_vocab()
        found: dict[int, None] = {}
        for target in [targets] if isinstance(targets, str) else targets:
            token = vocabulary.get(target)
            if token is None:
                ids = self.tokenizer(target, add_special_tokens=False)["input_ids"]
                used = f"{self.tokenizer.convert_ids_to_tokens(ids[0])!r} is used" if ids else "it is left out"
                logger.warning(f"The target {target!r} is no token of the vocabulary: {used}.")
                token = ids[0] if ids else None
            if token is not None:
                found[token] = None
        if not found:
            raise ArgumentError(f"targets={targets!r} has no word that the vocabulary can express. Give at least one.")
        return torch.tensor(list(found))

    def _without_mask(self, item: Any, name: str, cut: str = "") -> PipelineException:
        return self._unusable(
            f"{name} has no mask token{cut}: {str(item)[:60]!r}. "
            f"Write {self.tokenizer.mask_token} where a word is to be found."
        )

    def _unusable(self, reason: str) -> PipelineException:
        return PipelineException("fill-mask", getattr(self.model, "base_model_prefix", ""), reason)


TASK = Task(
    name="fill-mask",
    pipeline=FillMaskPipeline,
    auto="AutoModelForMaskedLM",
    architectures=("ForMaskedLM", "ForPreTraining"),
    default=("distilbert/distilroberta-base", "fb53ab8"),
)
