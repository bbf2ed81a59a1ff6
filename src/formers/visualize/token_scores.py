"""Attributions: what each token of a text adds to a classifier's score of a label.

Source: gradient × input as in Shrikumar et al. 2016 (arXiv 1605.01713), integrated gradients as in Sundararajan et al.
2017 (arXiv 1703.01365). Letters: T tokens, D width, C labels, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError, near
from ..views import html
from ..views.attributed import Piece, attributed_html
from .figures import new_figure
from .running import encoded, in_evaluation

METHODS = ("integrated_gradients", "gradient_x_input")
_STEP_TOKENS = 2_500  # computed at once
_LARGE_GAP = 0.05  # share of all scores

Scores = Callable[[Tensor], Tensor]


@dataclass(frozen=True, repr=False, eq=False)
class Attributions(html.Shown):
    """What each token adds to the score of a label; shows as the text in colours, blue for and red against.

    Attributes:
        tokens: T strings.
        scores: (T,), float32 on the CPU; in the unit of `score`.
        target, target_id: the label and its number.
        method: "integrated_gradients" or "gradient_x_input".
        score: the label's logit.
        baseline_score: its logit where every token but the special ones is the padding token; None for
            "gradient_x_input", which compares with nothing.
        gap: score - baseline_score - sum of scores: how far integrated gradients are from complete. It goes to 0 as
            steps grow. None for "gradient_x_input".
    """

    tokens: list[str]
    scores: Tensor
    target: str
    target_id: int
    method: str
    score: float
    baseline_score: float | None = None
    gap: float | None = None
    pieces: list[Piece] = field(default_factory=list)
    texts: tuple[str, ...] = ()

    title = "Attributions"

    def __repr__(self) -> str:
        return f"Attributions({len(self.tokens)} tokens, target={self.target!r}, method={self.method!r})"

    def _repr_html_(self) -> str:
        facts = [f"score {self.score:.3f}", self.method.replace("_", " ")]
        if self.gap is not None:
            more = ": take more steps" if abs(self.gap) > _LARGE_GAP * float(self.scores.abs().sum()) else ""
            facts.append(f"{self.baseline_score:.3f} without the words, {self.gap:+.3f} unexplained{more}")
        return attributed_html(self.target, facts, self.texts, self.pieces, self.tokens, self.scores.tolist())

    def figure(self) -> Any:
        """A matplotlib Figure: a bar for each token, in the order of the text."""
        count = len(self.tokens)
        figure, axes = new_figure(6, min(max(2.0, 0.22 * count + 1), 100))
        colours = ["#3c82dc" if score >= 0 else "#d73c32" for score in self.scores.tolist()]
        axes.barh(range(count), self.scores.numpy(), color=colours)
        names = [token.replace("$", r"\$") for token in self.tokens]  # matplotlib reads formulas between these
        axes.set_yticks(range(count), names, fontsize=8)
        axes.set_ylim(count - 0.4, -0.6)
        axes.axvline(0, color="gray", linewidth=0.8)
        axes.set_xlabel(f"adds to the score of {self.target}".replace("$", r"\$"))
        return figure


def attributions(
    model: Any,
    tokenizer: Any,
    text: str,
    text_pair: str | None = None,
    *,
    target: int | str | None = None,
    method: str = "integrated_gradients",
    steps: int = 200,
) -> Attributions:
    """What each token of a text, or of a pair, adds to the logit of a label.

    Args:
        model: any model with a sequence classification head. It is run in evaluation mode, and is left as it was:
            gradients of parameters, modes and what optimize() derived. Its own weights are used, not the derived ones.
        target: the label, or its number; left out, the one with the highest logit.
        method: "integrated_gradients": the mean of S gradients on the straight way from a baseline to the text, times
            the difference of the two. The baseline has the padding token's embedding in place of each token that is not
            special, and zeros where the tokenizer has no padding token. "gradient_x_input": one gradient times the
            embeddings, which is quick, and says less where scores are saturated.
        steps: S, of integrated gradients. Where `gap` of the result is large, take more.

    Raises ArgumentError for arguments that do not exist; InputError for a model without logits of labels, and for a
    text that is longer than the model reads.
    """
    if method not in METHODS:
        raise ArgumentError(f"method={method!r} is not known.{near(method, METHODS)} Use {' or '.join(METHODS)}.")
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 1:
        raise ArgumentError(f"steps={steps!r} is not possible: it is a number of steps, 1 or more.")
    encoding = encoded(model, tokenizer, text, text_pair)
    with in_evaluation(model), torch.inference_mode(False), torch.enable_grad():
        x = _embedded(model, encoding["input_ids"])  # (1, T, D)
        logits = _logits(model, encoding, x)
        number = _target(model.config.id2label, logits, target)
        score, found = float(logits[0, number].detach()), {}
        if method == "gradient_x_input":
            (gradient,) = torch.autograd.grad(logits[0, number], x)
            scores = (gradient * x).float().sum(-1)[0]
        else:

            def scores_of(rows: Tensor) -> Tensor:
                return _logits(model, encoding, rows)[:, number]

            baseline = _baseline(model, tokenizer, encoding, x)
            scores = integrated(scores_of, x.detach(), baseline, steps)
            before = float(scores_of(baseline.requires_grad_()).detach())
            found = {"baseline_score": before, "gap": score - before - float(scores.sum())}
    row, texts = encoding.encodings[0], tuple(t for t in (text, text_pair) if t is not None)
    pieces = _pieces(row.offsets, row.sequence_ids)
    label = str(model.config.id2label[number])
    return Attributions(
        row.tokens, scores.detach().cpu(), label, number, method, score, **found, pieces=pieces, texts=texts
    )


def integrated(scores_of: Scores, x: Tensor, baseline: Tensor, steps: int) -> Tensor:
    """(T,) integrated gradients, by the midpoints of S steps from `baseline` to `x`, each (1, T, D).

    scores_of: from (B, T, D) to (B,).
    """
    total = torch.zeros_like(x, dtype=torch.float32)
    midpoints = (torch.arange(steps, device=x.device, dtype=torch.float32) + 0.5) / steps
    for some in midpoints.split(max(1, _STEP_TOKENS // x.shape[1])):
        rows = torch.lerp(baseline.float(), x.float(), some[:, None, None]).to(x.dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(scores_of(rows).sum(), rows)
        total += gradient.float().sum(0)
    return ((x - baseline).float() * total / steps).sum(-1)[0]


def _embedded(model: Any, ids: Tensor) -> Tensor:
    return model.get_input_embeddings()(ids).detach().requires_grad_()


def _logits(model: Any, encoding: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """(B, C) of rows of embeddings (B, T, D) in place of the encoding's ids."""
    others = {key: value.expand(len(rows), -1) for key, value in encoding.items() if key != "input_ids"}
    logits = getattr(model(inputs_embeds=rows, **others, return_dict=True), "logits", None)
    if logits is None or logits.dim() != 2:
        raise InputError(
            f"{type(model).__name__} gives no logits of labels. Attributions need a model with a sequence "
            "classification head: AutoModelForSequenceClassification loads one."
        )
    return logits


def _target(labels: Mapping[int, str], logits: Tensor, target: int | str | None) -> int:
    if target is None:
        return int(logits[0].argmax())
    number = {name: i for i, name in labels.items()}.get(target, target) if isinstance(target, str) else target
    if not isinstance(number, Integral) or isinstance(number, bool) or not 0 <= number < logits.shape[1]:
        known = ", ".join(f"{name!r} ({i})" for i, name in list(labels.items())[:20])
        raise ArgumentError(
            f"target={target!r} is no label of the model.{near(target, labels.values())} It has {known}."
        )
    return int(number)


def _baseline(model: Any, tokenizer: Any, encoding: Any, x: Tensor) -> Tensor:
    """(1, T, D): the text's embeddings with each token that is not special replaced."""
    special = torch.tensor([of is None for of in encoding.encodings[0].sequence_ids], device=x.device)
    pad = tokenizer.pad_token_id
    nothing = torch.zeros_like(x) if pad is None else _embedded(model, torch.full_like(encoding["input_ids"], pad))
    return torch.where(special[None, :, None], x, nothing).detach()


def _pieces(offsets: list[tuple[int, int]], texts: list[int | None]) -> list[Piece]:
    """Tokens with the characters that they stand for; those that share characters together."""
    pieces: list[Piece] = []
    for token, ((start, end), text) in enumerate(zip(offsets, texts, strict=True)):
        last = pieces[-1] if pieces else None
        if last is not None and text is not None and last.text == text and start < last.end:
            pieces[-1] = Piece(text, last.start, max(end, last.end), (*last.tokens, token))
        else:
            pieces.append(Piece(text, start, end, (token,)))
    return pieces
