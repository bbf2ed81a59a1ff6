"""Tasks of texts without labels, and of texts that are written: language modelling, and one text from another."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import InputError
from ..ops.losses import IGNORED
from . import metrics
from .collators import DataCollatorForSeq2Seq, DataCollatorForTokenClassification
from .masking import DataCollatorForLanguageModeling
from .tables import Table
from .tasks import ERRORS, Columns, Example, Report, TableTask, rows_of


class _Language(TableTask):
    """What both kinds of language modelling share: texts in pieces, and the perplexity of what is held out."""

    USES = ("text",)
    LONGEST = 512
    shifted = 0  # by how many columns logits are before their labels

    def __init__(self, name: str, columns: Columns) -> None:
        super().__init__(name, columns)
        self.text = columns.text or "text"

    def examples(self, table: Table) -> list[Example]:
        return [{"text": text} for text in table.texts(self.text)]

    def ready(self, tokenizer: Any, model: Any, limit: int | None) -> None:
        super().ready(tokenizer, model, limit)
        if tokenizer.pad_token_id is None:
            if tokenizer.eos_token is None:
                raise InputError(f"The tokenizer of {self.name} has neither a padding token nor one for a text's end.")
            tokenizer.pad_token = tokenizer.eos_token

    def _pieces(self, rows: Sequence[list[int]], room: int) -> list[list[int]]:
        """All of every text, in pieces of at most `room` tokens."""
        return [row[at : at + room] for row in rows for at in range(0, len(row), room)]

    def reduce(self, logits: Any, labels: Any) -> Any:  # type: ignore[override]
        """(B, 3): of each row the sum of its labels' losses, how many labels it has, and how many were the best."""
        logits = TableTask.reduce(logits, labels)
        end = logits.shape[1] - self.shifted
        logits, labels = logits[:, :end].float(), labels[:, self.shifted :]
        losses = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        right = (logits.argmax(-1) == labels).sum(1)
        return torch.stack([losses.sum(1), (labels != IGNORED).sum(1), right], 1).double()

    def metrics(self, found: Any) -> dict[str, float]:
        loss, count, right = found.predictions.sum(0)
        mean = loss / max(count, 1)
        return {"token_loss": mean, "perplexity": math.exp(min(mean, 700.0)), "accuracy": right / max(count, 1)}


class FillMask(_Language):
    """Masked language modelling: arXiv 1810.04805. What is held out is masked once, the same for all evaluations."""

    AUTO = "AutoModelForMaskedLM"
    WATCHED = "token_loss"

    def features(self, examples: list[Example], held_out: bool) -> list[dict[str, Any]]:
        texts = [example["text"] for example in examples]
        room = int(self.limit or self.LONGEST) - self.tokenizer.num_special_tokens_to_add()
        plain = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        whole = [self.tokenizer.build_inputs_with_special_tokens(piece) for piece in self._pieces(plain, room)]
        return self._masked(whole) if held_out else [{"input_ids": ids} for ids in whole]

    def _masked(self, rows: list[list[int]]) -> list[dict[str, Any]]:
        collator = DataCollatorForLanguageModeling(self.tokenizer, seed=0)
        found = []
        for ids in rows:
            batch = collator([{"input_ids": ids}])
            found.append({"input_ids": batch["input_ids"][0].tolist(), "labels": batch["labels"][0].tolist()})
        return found

    def collator(self) -> Any:
        return MaskedOnce(self.tokenizer)


class MaskedOnce:
    """Masks texts; those that have labels are masked already, and are only filled up."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.masks = DataCollatorForLanguageModeling(tokenizer)
        self.fills = DataCollatorForTokenClassification(tokenizer)

    def __call__(self, features: list[Any]) -> Any:
        """A batch of features of one kind."""
        return self.fills(features) if "labels" in features[0] else self.masks(features)


class TextGeneration(_Language):
    """Causal language modelling, batches filled up to a number of tokens with texts that do not see one another."""

    AUTO = "AutoModelForCausalLM"
    WATCHED = "token_loss"
    LONGEST = 1024
    shifted = 1

    def arguments(self) -> dict[str, Any]:
        return {"packing": True}

    def features(self, examples: list[Example], held_out: bool) -> list[dict[str, Any]]:
        rows = self.tokenizer([example["text"] for example in examples], verbose=False)["input_ids"]
        end = self.tokenizer.eos_token_id
        whole = [row if end is None or row[-1:] == [end] else [*row, end] for row in rows]
        pieces = [piece for piece in self._pieces(whole, int(self.limit or self.LONGEST)) if len(piece) > 1]
        if not pieces:
            raise InputError("No text has two tokens or more, so there is no next token to learn.")
        return [{"input_ids": piece, "labels": piece} for piece in pieces]

    def collator(self) -> Any:
        return DataCollatorForTokenClassification(self.tokenizer)  # labels that are the ids, -100 beside the texts


class Writing(TableTask):
    """One text from another: translations, summaries, and any other."""

    AUTO = "AutoModelForSeq2SeqLM"
    USES = ("text", "target")
    WRITES = True
    HIGHER = True

    def __init__(self, name: str, columns: Columns) -> None:
        super().__init__(name, columns)
        self.text, self.target = columns.text or "text", columns.target or "target"
        self.WATCHED = "chrf" if name.startswith("translation") else "rouge_l"

    def examples(self, table: Table) -> list[Example]:
        pairs = zip(table.texts(self.text), table.texts(self.target), strict=True)
        return [{"text": text, "target": target} for text, target in pairs]

    def is_empty(self, example: Example) -> bool:
        return not example["text"].strip() or not example["target"].strip()

    def truth(self, example: Example) -> Hashable:
        return example["target"]

    def stratum(self, example: Example) -> Hashable:
        return None

    def arguments(self) -> dict[str, Any]:
        return {"predict_with_generate": True}

    def features(self, examples: list[Example], held_out: bool) -> list[dict[str, Any]]:
        prefix = self._prefix()
        found = rows_of(self._encoded([prefix + example["text"] for example in examples]))
        long = {"truncation": True, "max_length": self.limit} if self.limit else {}
        targets = self.tokenizer(text_target=[example["target"] for example in examples], verbose=False, **long)
        for row, labels in zip(found, targets["input_ids"], strict=True):
            row["labels"] = labels
        self.longest_target = max(self.longest_target, *(len(row["labels"]) for row in found), 1)
        if held_out:
            self.held = examples
        return found

    def _prefix(self) -> str:
        """What the pipeline puts before each text for this task."""
        config = self.model.config
        found = ((getattr(config, "task_specific_params", None) or {}).get(self.name) or {}).get("prefix")
        return (getattr(config, "prefix", None) if found is None else found) or ""

    def collator(self) -> Any:
        return DataCollatorForSeq2Seq(self.tokenizer, self.model)

    def metrics(self, found: Any) -> dict[str, float]:
        guesses = self._written(found.predictions)
        right = [example["target"] for example in self.held]
        exact = float(np.mean([a.strip() == b.strip() for a, b in zip(guesses, right, strict=True)]))
        return {"rouge_l": metrics.rouge_l(guesses, right), "chrf": metrics.chrf(guesses, right), "exact_match": exact}

    def _written(self, ids: Any) -> list[str]:
        real = np.where(ids < 0, self.tokenizer.pad_token_id, ids)
        return self.tokenizer.batch_decode(real, skip_special_tokens=True)

    def report(self, predictions: Any, labels: Any) -> Report:
        both = zip(self.held, self._written(predictions), strict=True)
        wrong = [(e, guess) for e, guess in both if guess.strip() != e["target"].strip()]
        return Report(errors=[{"text": e["text"], "target": e["target"], "predicted": g} for e, g in wrong[:ERRORS]])
