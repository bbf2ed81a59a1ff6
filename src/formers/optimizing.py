"""A model's `optimize`: what its user says, and texts to compare results on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import gguf, registry
from .errors import ArgumentError, FormersError, InputError
from .optimize import Limits, Optimized, optimize, optimized, take_back
from .optimize.agreement import mask_of
from .optimize.sample import SAMPLE
from .pretrained import Pretrained
from .tokenization import PreTrainedTokenizer

if TYPE_CHECKING:
    from typing_extensions import Self

_UNKNOWN = 0.5  # share of a text's tokens that its tokenizer does not know, of which nothing can be learned


class Optimizable(Pretrained):
    """The part of a model that is optimized."""

    device: Any

    @classmethod
    def inputs(cls) -> tuple[str, ...]:
        """The names of what the model reads."""
        raise NotImplementedError

    def optimize(
        self,
        mode: str | bool | None = True,
        *,
        check: Iterable[str | Mapping[str, Tensor]] | None = None,
        tokenizer: Any = None,
        min_cosine: float | None = None,
        max_labels_changed: float | None = None,
        max_score_change: float | None = None,
    ) -> Self:
        """Run faster in inference, from derived weights; parameters, names, hooks and saving stay as they are.

        Args:
            mode: "float32" (fused, exact), "fp16", "bf16", "int8"; True for the fastest that this processor does well
                and that agrees with the model as it is, which is left alone where nothing is faster; None to take it
                back. Where a mode is missing, the next is taken; one that loses is taken, and said to.
            check: texts, or encoded batches, to compare results on; `optimized.agreement` has what came out. What is
                left of int8 to choose is chosen by some of them.
            tokenizer: for the texts, or for a few texts of the package; by default the one saved with the model.
            min_cosine: least mean cosine of embeddings, 0 to 1.
            max_labels_changed: largest share of labels that may change, 0 to 1.
            max_score_change: largest change of a label's probability, 0 to 1.

        Returns the model itself. It is used in `torch.inference_mode()` or `no_grad()`; training takes it back, and so
        does a changed weight. Attentions, hooks and masks that hide columns are served by the model's own code.

        Raises InputError, and changes nothing, when a mode that was named breaks a limit.
        """
        if mode is None or mode is False:
            take_back(self)
            return self
        for name, value in (
            ("min_cosine", min_cosine),
            ("max_labels_changed", max_labels_changed),
            ("max_score_change", max_score_change),
        ):
            if value is not None and not 0 <= value <= 1:
                raise ArgumentError(f"{name}={value!r} is not possible: it is a share, from 0 to 1.")
        limits = Limits(min_cosine, None, max_labels_changed, max_score_change)
        named = limits if limits != Limits() else None
        checked = None if check is None else self._batches(check, tokenizer)

        def sample() -> list[Mapping[str, Tensor]]:
            return self._sample(tokenizer) if checked is None else checked[:: -(-len(checked) // 2)]

        optimize(self, mode, sample, checked, named)
        return self

    @property
    def optimized(self) -> Optimized | None:
        """How the model is run; None for the model as it is."""
        return optimized(self)

    def _batches(self, texts: Iterable[str | Mapping[str, Tensor]], tokenizer: Any) -> list[Mapping[str, Tensor]]:
        """Texts as batches of 32, of neighbours in length; batches as they are."""
        given: list[Any] = [texts] if isinstance(texts, str | Mapping) else list(texts)
        if not given:
            raise InputError("check has no texts to compare results on.")
        if isinstance(given[0], str):
            given.sort(key=len)
            given = [self._encoded(given[i : i + 32], tokenizer) for i in range(0, len(given), 32)]
        read = type(self).inputs()  # batches for training have labels, and not all models token types
        found = ({name: batch[name].to(self.device) for name in batch if name in read} for batch in given)
        return [self.whole_batch(batch) for batch in found]

    def whole_batch(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A batch of texts with all that a pass through the model needs."""
        return batch

    def states(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The last hidden states (B, T, D) of such a batch, of a model without a head."""
        found: Tensor = self(**batch, return_dict=True)[0]
        return found

    def _encoded(self, texts: list[str], tokenizer: Any) -> Mapping[str, Tensor]:
        tokenizer = tokenizer or self._tokenizer()
        if tokenizer is None:
            raise ArgumentError("The tokenizer for `check` cannot be found: pass tokenizer=…, or encoded batches.")
        limits: dict[str, Any] = {"truncation": True, "max_length": self.config.longest_text()}
        if tokenizer.pad_token is not None:
            return tokenizer(texts, padding=True, return_tensors="pt", **limits)
        rows = tokenizer(texts, **limits)  # what is masked may be anything
        tensors = {name: [torch.tensor(row) for row in values] for name, values in rows.items()}
        return {name: torch.nn.utils.rnn.pad_sequence(values, batch_first=True) for name, values in tensors.items()}

    def _tokenizer(self) -> Any:
        """The tokenizer that was saved with the model; None when there is none."""
        family = registry.family_of(self.config.model_type)
        if family is None or family.TOKENIZER is None or not self.config.name_or_path:
            return None
        try:
            if gguf.is_gguf(self.config.name_or_path):
                return PreTrainedTokenizer.from_pretrained(self.config.name_or_path)
            return family.TOKENIZER.from_pretrained(self.config.name_or_path)
        except FormersError:
            return None

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        """A few texts that are in the package, as a batch; none without a tokenizer that knows their words."""
        tokenizer = tokenizer or self._tokenizer()
        batches = [] if tokenizer is None else self._batches(SAMPLE, tokenizer)
        if batches and (unknown := tokenizer.unk_token_id) is not None:
            shown = [(batch["input_ids"] == unknown)[mask_of(batch) != 0] for batch in batches]
            return batches if float(torch.cat(shown).double().mean()) < _UNKNOWN else []
        return batches
