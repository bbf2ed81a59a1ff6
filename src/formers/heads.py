"""The heads: the forward and the loss of each task, written once for all families.

A family's class names its modules and says how they score; the task below runs the base model, and computes the loss.
Letters: B batch, T columns, N real tokens, D width, C labels, V vocabulary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from . import outputs
from .errors import InputError, NotTensorError
from .generation.generate import GenerationMixin
from .logging import logger
from .modeling import OPTIONS, PreTrainedModel
from .ops import losses
from .ops.layout import Layout, is_tracing
from .optimize import unwatched

ITEMS = "num_items_in_batch"  # of trainers that add up gradients: see losses.py


class Head(PreTrainedModel):
    """A model with a head.

    TARGETS: names of the arguments that carry labels. OUTPUT: the class of what is returned.
    READS: what `compute_logits` gets: "tokens", rows of hidden states, (N, D) or (B, T, D); "first", what holds column
        0, (B, D) or (B, T, D); "last", the last real token of each text, (B, D); "pooled", the body's `pooler_output`.
    A task defines `results`; a family defines what the task's `results` calls, mostly `compute_logits`.
    """

    TARGETS: ClassVar[tuple[str, ...]] = ("labels",)
    OUTPUT: ClassVar[Any] = outputs.ModelOutput
    READS: ClassVar[str] = "tokens"

    KEYWORDS: ClassVar[tuple[str, ...]] = (ITEMS,)

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.num_labels = config.num_labels

    def add_body(self, config: Any, pooling: bool = False) -> None:
        """Hold the model without a head, which the family's `make_body` makes, under the family's prefix."""
        self.add_module(self.base_model_prefix, self.make_body(config, pooling))

    def make_body(self, config: Any, pooling: bool) -> PreTrainedModel:
        """The model without a head, with or without a pooler."""
        raise NotImplementedError

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Run the base model on the inputs and score what it returns; with labels, compute the loss too."""
        items = inputs.pop(ITEMS, None)
        targets = {name: inputs.pop(name, None) for name in self.TARGETS}
        for name, value in targets.items():
            if value is not None and not isinstance(value, Tensor):
                raise NotTensorError(f"{name} is a {type(value).__name__}, not a tensor; torch.tensor(…) makes one.")
        targets[ITEMS] = items
        options = {name: inputs.pop(name, None) for name in OPTIONS}
        flat = self.flatten(inputs)
        cache = self.take_cache(flat)
        layout = self.layout_of(flat, inputs, targets, cache)
        if self._reads_first_alone() and unwatched(self):
            layout = replace(layout, only_first=True)
        return_dict = options.pop("return_dict")
        body = self.body({**flat, **options, "layout": layout, "return_dict": True})
        found = self.results(body, layout, inputs, targets)
        # what the body's output and the head's both have
        both = {name: body[name] for name in body if name in self.OUTPUT.__match_args__ and name not in found}
        return self.returned(self.OUTPUT(**found, **both), return_dict)

    def body(self, inputs: dict[str, Any]) -> Any:
        """What the model without a head says."""
        return self.base_model(**inputs)

    def layout_of(self, flat: dict[str, Any], inputs: dict[str, Any], targets: dict[str, Any], cache: Any) -> Layout:
        """Where the rows that the head reads are in their batch. flat: the base model's inputs."""
        return self.layout_of_inputs(
            flat,
            keep_padding=self.needs_padding(inputs, targets),
            reads_first=self.READS in ("first", "pooled") or not self.causal(),
            cache=cache,
        )

    def _reads_first_alone(self) -> bool:
        """Whether nobody reads what the body computes but column 0; a subclass may read more in its `results`."""
        if self.READS not in ("first", "pooled") or is_tracing():
            return False
        return "results" not in vars(self) and type(self).results.__module__.startswith("formers.")

    def flatten(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The base model's inputs, (B, T); a task whose inputs have another shape changes it here."""
        return inputs

    def needs_padding(self, inputs: dict[str, Any], targets: dict[str, Any]) -> bool:
        """Whether the result depends on what the model computes at padding."""
        return False

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        """The output's fields, from the base model's output in rows of `layout`, what it was given, and the labels."""
        raise NotImplementedError

    def logits_of_texts(self, body: Any, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """(B, C), from what the head READS."""
        if self.READS == "pooled":
            return self.compute_logits(body.pooler_output)
        rows = body.last_hidden_state
        return self.compute_logits(
            self._last(rows, layout, inputs) if self.READS == "last" else layout.with_first(rows)
        )

    def _last(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """(B, D) of the last real token: as the mask says, or without one the last that is not the padding token."""
        ids, padding = inputs.get("input_ids"), self.config.pad_token_id
        if inputs.get("attention_mask") is not None or ids is None or len(ids) == 1:
            return layout.last(rows)
        if padding is None:
            raise InputError(
                f"{type(self).__name__} reads the last token of each of {len(ids)} texts, and cannot tell it from "
                "padding: give an attention_mask, or set config.pad_token_id."
            )
        return replace(layout, mask=ids != padding).last(rows)

    def compute_logits(self, rows: Tensor) -> Tensor:
        """The logits, from what the head READS."""
        raise NotImplementedError


class _TokenHead(Head):
    """A task with one label a token. Labels at padding count if they are not -100, as anywhere else.

    label_smoothing: the part of a label's weight that all labels share."""

    label_smoothing: float = 0.0

    def needs_padding(self, inputs: dict[str, Any], targets: dict[str, Any]) -> bool:
        labels, mask = self.shifted(targets["labels"]), inputs.get("attention_mask")
        if labels is None or mask is None or mask.shape != labels.shape:
            return False
        return bool((labels[mask == 0] != losses.IGNORED).any())

    def shifted(self, labels: Tensor | None) -> Tensor | None:
        """Labels, each in the column whose logits are to predict it."""
        return labels

    def loss(self, logits: Tensor, targets: dict[str, Any], layout: Layout) -> Tensor | None:
        """From logits (B, T, C) and labels (B, T)."""
        labels = targets["labels"]
        if labels is None:
            return None
        if tuple(labels.shape) != (layout.batch, layout.columns):
            raise InputError(
                f"labels has shape {tuple(labels.shape)}; give one label a token, {(layout.batch, layout.columns)}, "
                "-100 to leave one out."
            )
        logits, labels = layout.pack(logits), layout.pack(self.shifted(labels))
        return losses.tokens(
            logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), targets.get(ITEMS), self.label_smoothing
        )

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        logits = layout.unpacked(self.compute_logits, body.last_hidden_state)  # (B, T, C or V)
        return {"loss": self.loss(logits, targets, layout), "logits": logits}


class MaskedLM(_TokenHead):
    """Fill in tokens. labels (B, T): token ids to predict, -100 elsewhere; logits (B, T, V), zeros at padding.

    Source: Devlin et al. 2018 (arXiv 1810.04805)."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.MaskedLMOutput


class CausalLM(GenerationMixin, _TokenHead):
    """Predict the next token. labels (B, T): the token ids themselves, -100 to leave one out; logits (B, T, V)."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.CausalLMOutputWithCrossAttentions
    # which logits are wanted: the last so many columns, or those of these numbers; by its first name too
    KEYWORDS: ClassVar[tuple[str, ...]] = (ITEMS, "logits_to_keep", "num_logits_to_keep")

    def compute(self, inputs: dict[str, Any]) -> Any:
        labels = inputs.get("labels")
        given = isinstance(labels, Tensor) and inputs.get("past_key_values") is None
        if given and self.needs_padding(inputs, {"labels": labels}):
            inputs["use_cache"] = False  # which would leave out the keys of padding that it reads itself
        return super().compute(inputs)

    def flatten(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in inputs.items() if not name.endswith("logits_to_keep")}

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        given = (inputs.get(name) for name in ("logits_to_keep", "num_logits_to_keep"))
        kept = next((value for value in given if value is not None), 0)
        if isinstance(kept, int) and not kept:
            return super().results(body, layout, inputs, targets)
        if targets["labels"] is not None:
            raise InputError("logits_to_keep leaves out logits that the loss of labels needs; leave one of them out.")
        rows = layout.unpack(body.last_hidden_state)
        rows = rows[:, -kept:] if isinstance(kept, int) else rows[:, kept]
        return {"loss": None, "logits": self.compute_logits(rows)}

    def post_init(self) -> None:
        super().post_init()
        if not self.causal():
            logger.warning(
                "%s: is_decoder is False, so each token sees the ones to be predicted; set it to True.",
                type(self).__name__,
            )

    def shifted(self, labels: Tensor | None) -> Tensor | None:
        return None if labels is None else F.pad(labels[:, 1:], (0, 1), value=losses.IGNORED)


class TokenClassification(_TokenHead):
    """Label every token. labels (B, T) in [0, C), -100 to leave one out; logits (B, T, C), zeros at padding."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.TokenClassifierOutput
    dropout: Any
    classifier: Any

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(self.dropout(rows))


class SequenceClassification(Head):
    """Label a text. logits (B, C); labels as `problem_type` says: (B,) ids, (B, C) floats, or numbers to regress on."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.SequenceClassifierOutput

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        logits, labels = self.logits_of_texts(body, layout, inputs), targets["labels"]
        if labels is None:
            return {"loss": None, "logits": logits}
        if self.config.problem_type is None:
            # kept, so that it is saved: what serves the model later needs to know how its scores are meant
            self.config.problem_type = losses.problem_type(self.config.num_labels, labels)
        kind, items = self.config.problem_type, targets.get(ITEMS)
        return {"loss": losses.classification(logits, labels, kind, items), "logits": logits}


class NextSentencePrediction(Head):
    """Does the second text follow the first? labels (B,): 0 yes, 1 no; logits (B, 2) in that order."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.NextSentencePredictorOutput
    TARGETS = ("labels", "next_sentence_label")  # the second is the old name

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        logits = self.logits_of_texts(body, layout, inputs)
        labels = targets["labels"] if targets["labels"] is not None else targets["next_sentence_label"]
        loss = None if labels is None else losses.choice(logits, labels, items=targets.get(ITEMS))
        return {"loss": loss, "logits": logits}


class PreTraining(_TokenHead):
    """BERT's two pretraining tasks at once; the loss is their sum, and needs both labels.

    `num_items_in_batch` counts tokens; the loss of the pairs is a mean with it, too.

    PAIR: what the labels of pairs, and their logits, are called.
    """

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.BertForPreTrainingOutput
    TARGETS = ("labels", "next_sentence_label")
    PAIR: ClassVar[tuple[str, str]] = ("next_sentence_label", "seq_relationship_logits")

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        rows, pair = self.compute_both(body.last_hidden_state, body.pooler_output)
        tokens = layout.unpack(rows)
        name, logits = self.PAIR
        loss, follows = None, targets[name]
        if targets["labels"] is not None and follows is not None:
            next_loss = losses.choice(pair, follows, name)
            loss = self.loss(tokens, targets, layout) + next_loss  # type: ignore[operator]
        return {"loss": loss, "prediction_logits": tokens, logits: pair}

    def compute_both(self, rows: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the tokens, in rows of V, and of the pair, (B, 2)."""
        raise NotImplementedError


class ReplacedTokenDetection(Head):
    """Tell replaced tokens from the text's own. labels (B, T): 1 replaced, 0 not; logits (B, T), zeros at padding.

    Source: Clark et al. 2020 (arXiv 2003.10555)."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.ElectraForPreTrainingOutput

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        logits, labels = layout.unpacked(self.compute_logits, body.last_hidden_state), targets["labels"]
        mask, items = inputs.get("attention_mask"), targets.get(ITEMS)
        loss = None if labels is None else losses.replaced(logits, labels, mask, items)
        return {"loss": loss, "logits": logits}


class MultipleChoice(Head):
    """Choose one of C texts. Inputs are (B, C, T); labels (B,) in [0, C); logits (B, C)."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.MultipleChoiceModelOutput

    def flatten(self, inputs: dict[str, Any]) -> dict[str, Any]:
        given = inputs.get("input_ids") if inputs.get("input_ids") is not None else inputs.get("inputs_embeds")
        dims = 3 if inputs.get("input_ids") is not None else 4
        if isinstance(given, Tensor) and given.dim() != dims:
            raise InputError(
                f"{type(self).__name__} got a tensor of shape {tuple(given.shape)}; multiple choice reads "
                "(batch, choices, columns): the choices of one question side by side."
            )
        per_choice = {*self.inputs()} - {"head_mask"}
        return {k: v.flatten(0, 1) if k in per_choice and isinstance(v, Tensor) else v for k, v in inputs.items()}

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        given = inputs["input_ids"] if inputs.get("input_ids") is not None else inputs["inputs_embeds"]
        logits, labels = self.logits_of_texts(body, layout, inputs).view(given.shape[:2]), targets["labels"]
        loss = None if labels is None else losses.choice(logits, labels, items=targets.get(ITEMS))
        return {"loss": loss, "logits": logits}


class QuestionAnswering(Head):
    """Find the answer's span. start_positions, end_positions (B,): columns; start_logits, end_logits (B, T).

    Scores run over all columns, padding included, so padding is computed."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.QuestionAnsweringModelOutput
    qa_outputs: Any
    TARGETS = ("start_positions", "end_positions")

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.qa_outputs(rows)

    def needs_padding(self, inputs: dict[str, Any], targets: dict[str, Any]) -> bool:
        return True

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        both = self.compute_logits(body.last_hidden_state)  # (B, T, 2)
        start, end = (x.squeeze(-1).contiguous() for x in both.split(1, dim=-1))  # (B, T) each
        starts, ends = targets["start_positions"], targets["end_positions"]
        loss = None if starts is None or ends is None else losses.span(start, end, starts, ends, targets.get(ITEMS))
        return {"loss": loss, "start_logits": start, "end_logits": end}
