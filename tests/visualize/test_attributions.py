"""Attributions against gradients taken by hand, models whose attributions are known, and their own completeness."""

from __future__ import annotations

import copy
import html as html_
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from of_families import facts
from torch import Tensor, nn

from formers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    FormersError,
    registry,
    visualize,
)

TEXT = "A warm, funny film."


class Linear(nn.Module):
    """logits = sum over tokens of w · embedding: each token adds its own product."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.table = nn.Embedding(10000, 6, _weight=torch.randn(10000, 6, generator=draw))
        self.w = nn.Parameter(torch.randn(6, 2, generator=draw))
        self.config = SimpleNamespace(id2label={0: "A", 1: "B"})
        self.device = torch.device("cpu")

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor, return_dict: bool) -> Any:
        return SimpleNamespace(logits=inputs_embeds.sum(1) @ self.w)


def test_gradient_x_input_is_that_of_autograd(tiny: Any, tokenizer: Any) -> None:
    seen: list[Tensor] = []

    def keep(_: Any, __: Any, output: Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    batch = tokenizer(TEXT, "And long.", return_tensors="pt")
    handle = tiny.get_input_embeddings().register_forward_hook(keep)
    tiny(**batch).logits[0, 2].backward()
    handle.remove()
    by_hand = (seen[0].grad * seen[0]).sum(-1)[0]  # (T,)
    tiny.zero_grad()
    found = visualize.attributions(tiny, tokenizer, TEXT, "And long.", target="maybe", method="gradient_x_input")
    torch.testing.assert_close(found.scores, by_hand.detach(), rtol=1e-4, atol=1e-6)
    assert found.tokens == tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist())
    assert (found.target, found.target_id, found.gap) == ("maybe", 2, None)
    assert found.score == pytest.approx(tiny(**batch).logits[0, 2].item(), rel=1e-4)


@pytest.mark.parametrize("steps", [1, 7])
def test_a_linear_model_has_known_attributions(tokenizer: Any, steps: int) -> None:
    model = Linear()
    ids = tokenizer(TEXT)["input_ids"]
    rows, nothing = model.table.weight[ids], model.table.weight[tokenizer.pad_token_id]
    plain = visualize.attributions(model, tokenizer, TEXT, target=1, method="gradient_x_input")
    torch.testing.assert_close(plain.scores, (rows @ model.w[:, 1]).detach())
    expected = ((rows - nothing) @ model.w[:, 1]).detach()
    expected[0] = expected[-1] = 0  # the special tokens are those of the baseline
    complete = visualize.attributions(model, tokenizer, TEXT, target=1, steps=steps)
    torch.testing.assert_close(complete.scores, expected, rtol=1e-4, atol=1e-5)
    assert complete.gap == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 5000])
def test_midpoints_are_exact_for_squares(steps: int) -> None:
    x, baseline = torch.randn(2, 1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = visualize.token_scores.integrated(lambda rows: rows.square().sum((1, 2)), x, baseline, steps)
    torch.testing.assert_close(found.double(), (x.square() - baseline.square()).sum(-1)[0], rtol=1e-4, atol=1e-4)


def test_without_a_padding_token_the_baseline_is_zero(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, bare = Linear(), copy.copy(tokenizer)
    monkeypatch.setattr(type(bare), "pad_token_id", None)
    found = visualize.attributions(model, bare, TEXT, target=0, steps=2)
    expected = (model.table.weight[tokenizer(TEXT)["input_ids"]] @ model.w[:, 0]).detach()
    torch.testing.assert_close(found.scores[1:-1], expected[1:-1], rtol=1e-4, atol=1e-5)


def test_integrated_gradients_are_complete(tiny: Any, tokenizer: Any) -> None:
    family = registry.family_of(tiny.config.model_type)
    if family is None or not facts(family.__name__.rpartition(".")[2]).smooth:
        pytest.skip("the sum of gradients does not see where a token changes its expert")
    few, many = (visualize.attributions(tiny, tokenizer, TEXT, steps=steps) for steps in (2, 200))
    difference = many.score - many.baseline_score
    assert many.gap == pytest.approx(difference - many.scores.sum().item(), abs=1e-5)
    assert abs(many.gap) < 0.01 * max(1, abs(difference))
    assert abs(many.gap) < abs(few.gap)


def test_the_model_is_left_as_it_was(tiny: Any, tokenizer: Any) -> None:
    tiny.train()
    tiny.base_model.eval()
    parameters = dict(tiny.named_parameters())
    for i, parameter in enumerate(parameters.values()):
        parameter.requires_grad = i % 2 == 0
        parameter.grad = torch.full_like(parameter, 3.0) if i % 4 == 0 else None
    before = {
        name: (p.requires_grad, None if p.grad is None else p.grad.clone(), p.detach().clone())
        for name, p in parameters.items()
    }
    modes, state = [m.training for m in tiny.modules()], torch.get_rng_state()
    found = [visualize.attributions(tiny, tokenizer, TEXT, steps=3, method=m) for m in visualize.token_scores.METHODS]
    with pytest.raises(FormersError):
        visualize.attributions(tiny, tokenizer, TEXT, target="none of them")
    assert [m.training for m in tiny.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    for name, (learns, gradient, value) in before.items():
        parameter = parameters[name]
        assert parameter.requires_grad == learns
        assert torch.equal(parameter, value)
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)
    tiny.eval()  # dropout was off
    again = visualize.attributions(tiny, tokenizer, TEXT, steps=3)
    assert torch.equal(found[0].scores, again.scores)


def test_a_frozen_model_and_inference_mode(tiny: Any, tokenizer: Any) -> None:
    expected = visualize.attributions(tiny, tokenizer, TEXT, steps=5)
    tiny.requires_grad_(False)
    with torch.inference_mode():
        found = visualize.attributions(tiny, tokenizer, TEXT, steps=5)
    torch.testing.assert_close(found.scores, expected.scores)


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_an_optimized_model_is_explained_by_its_own_weights(classifier: Any, tokenizer: Any, mode: str) -> None:
    expected = visualize.attributions(classifier, tokenizer, TEXT, steps=5)
    classifier.optimize(mode, tokenizer=tokenizer)
    taken = classifier.optimized.mode  # another one, where the processor does not have it
    found = visualize.attributions(classifier, tokenizer, TEXT, steps=5)
    torch.testing.assert_close(found.scores, expected.scores)
    assert found.score == pytest.approx(expected.score, rel=1e-4)
    assert classifier.optimized.mode == taken


def test_bfloat16(classifier: Any, tokenizer: Any) -> None:
    expected = visualize.attributions(classifier, tokenizer, TEXT, method="gradient_x_input", target=1)
    found = visualize.attributions(classifier.bfloat16(), tokenizer, TEXT, method="gradient_x_input", target=1)
    assert found.scores.dtype == torch.float32
    assert torch.cosine_similarity(found.scores, expected.scores, dim=0) > 0.95


def test_the_text_is_shown_as_it_was_given(classifier: Any, tokenizer: Any) -> None:
    text, pair = "Ünbelievably  good\n— 電影 </div><script>x()</script> 🤗 & so on. ", 'it\'s "fine"'
    found = visualize.attributions(classifier, tokenizer, text, pair, steps=2)
    shown = re.search(r'<div class="text">(.*?)</div>', found._repr_html_(), re.DOTALL)
    assert shown is not None
    assert html_.unescape(re.sub("<.*?>", "", shown[1])) == f"[CLS]{text}[SEP]{pair}[SEP]"
    assert "<script" not in found.html()
    word = found.tokens.index("good")
    assert f'title="{found.scores[word]:+.4f}  good"' in shown[1]


def test_tokens_that_share_characters_are_one_piece() -> None:
    pieces = visualize.token_scores._pieces([(0, 0), (0, 1), (0, 1), (1, 3), (0, 2), (0, 0)], [None, 0, 0, 0, 1, None])
    assert [(p.text, p.start, p.end, p.tokens) for p in pieces] == [
        (None, 0, 0, (0,)), (0, 0, 1, (1, 2)), (0, 1, 3, (3,)), (1, 0, 2, (4,)), (None, 0, 0, (5,)),
    ]  # fmt: skip


def test_what_cannot_be_explained(classifier: Any, tokenizer: Any) -> None:
    def explain(text: Any = TEXT, model: Any = classifier, own: Any = tokenizer, **options: Any) -> None:
        visualize.attributions(model, own, text, **options)

    with pytest.raises(FormersError, match=r"has 302 tokens; this BertForSequenceClassification reads at most 256"):
        explain("good " * 300)
    with pytest.raises(FormersError, match=r"Did you mean 'POSITIVE'"):
        explain(target="POSITVE")
    with pytest.raises(FormersError, match=r"'NEGATIVE' \(0\), 'POSITIVE' \(1\)"):
        explain(target=2)
    with pytest.raises(FormersError, match="steps=0"):
        explain(steps=0)
    with pytest.raises(FormersError, match="Did you mean 'gradient_x_input'"):
        explain(method="gradient_input")
    with pytest.raises(FormersError, match="one text"):
        explain([TEXT])
    with pytest.raises(FormersError, match="A tokenizer is needed"):
        explain(own=None)
    masked = AutoModelForMaskedLM.from_config(
        BertConfig(vocab_size=10000, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    )
    with pytest.raises(FormersError, match="AutoModelForSequenceClassification loads one"):
        explain(model=masked)


def test_regression_has_one_target(tokenizer: Any) -> None:
    config = BertConfig(
        vocab_size=10000, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=1
    )
    found = visualize.attributions(AutoModelForSequenceClassification.from_config(config), tokenizer, TEXT, steps=2)
    assert (found.target, found.target_id) == ("LABEL_0", 0)


def test_figure(classifier: Any, tokenizer: Any) -> None:
    found = visualize.attributions(classifier, tokenizer, "It costs $5 and $6.", steps=2)
    figure = found.figure()
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(found.scores.tolist())
    assert [label.get_text().replace("\\", "") for label in axes.get_yticklabels()] == found.tokens
    figure.canvas.draw()
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib(classifier: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = visualize.attributions(classifier, tokenizer, TEXT, steps=1)
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        found.figure()
