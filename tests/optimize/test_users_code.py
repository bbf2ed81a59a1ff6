"""Code of users in the place of a model's own runs, optimised or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import difference, redraw
from torch import Tensor, nn

import formers
from formers.models import bert, distilbert
from formers.models.bert import BertAttention, BertLayer
from formers.ops.layout import Layout

MODES = ("int8", "bf16", "float32")


class MeanOfAll(formers.BertForSequenceClassification):
    """Scores the mean over all tokens."""

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.classifier(layout.unpack(body.last_hidden_state).mean(1))


class MeanOfAllToo(MeanOfAll):
    """Has it from its parent."""


class LastToken(formers.DistilBertForSequenceClassification):
    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.classifier(layout.unpack(body.last_hidden_state)[:, -1])


class OwnForward(formers.BertForSequenceClassification):
    """Calls the base model by itself."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        states = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        return formers.outputs.SequenceClassifierOutput(logits=self.classifier(states.mean(1)))


class MeanFromMixin:
    """Scores the mean; not itself a model."""

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.classifier(layout.unpack(body.last_hidden_state).mean(1))  # type: ignore[attr-defined]


class MixedIn(MeanFromMixin, formers.BertForSequenceClassification):
    pass


class OwnResults(formers.BertForSequenceClassification):
    def results(self, body: Any, layout: Layout, inputs: Any, targets: Any) -> Any:
        return {"loss": None, "logits": self.classifier(layout.unpack(body.last_hidden_state).mean(1))}


class FirstTokenAgain(formers.BertForSequenceClassification):
    """Says that it reads the first column alone."""

    READS_FIRST = True

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.classifier(layout.first(body.last_hidden_state))


def made(cls: Any) -> Any:
    family = distilbert if issubclass(cls, formers.DistilBertForSequenceClassification) else bert
    model = cls(cls.config_class(**family.TINY)).eval()
    redraw(model)
    return model


def batch() -> dict[str, Tensor]:
    ids = torch.randint(1, 99, (4, 9), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": (torch.arange(9) < torch.tensor([[9], [4], [1], [4]])).long()}


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cls", [MeanOfAll, MeanOfAllToo, MixedIn, OwnResults, LastToken, OwnForward, FirstTokenAgain])
def test_heads_of_users(cls: Any, mode: str, ragged: bool) -> None:
    model, inputs = made(cls), batch()
    if not ragged:
        del inputs["attention_mask"]
    with torch.inference_mode():
        expected = model(**inputs).logits
        got = model.optimize(mode)(**inputs).logits
    assert model.optimized.stacks == 1
    assert difference(got, expected) < (1e-5 if mode == "float32" else 0.1)


class HalvedLayer(BertLayer):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        rows, *weights = super().forward(*args, **kwargs)
        return rows / 2, *weights


class Doubled(BertAttention):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        rows, *rest = super().forward(*args, **kwargs)
        return rows * 2, *rest


class Shifted(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


class Cube(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x**3


def replace_layer(model: Any) -> None:
    model.bert.encoder.layer[1] = HalvedLayer(model.config)


def replace_attention(model: Any) -> None:
    model.bert.encoder.layer[0].attention = Doubled(model.config)


def replace_norm(model: Any) -> None:
    model.bert.encoder.layer[0].output.LayerNorm = Shifted(32)


def replace_activation(model: Any) -> None:
    model.bert.encoder.layer[0].intermediate.intermediate_act_fn = Cube()


def replace_class(model: Any) -> None:
    model.bert.encoder.layer[1].__class__ = HalvedLayer


@pytest.mark.parametrize("change", [replace_layer, replace_attention, replace_norm, replace_activation, replace_class])
@pytest.mark.parametrize("mode", MODES)
def test_modules_of_users(mode: str, change: Callable[[Any], None]) -> None:
    """In the model before optimize(): the stack stays as it is, and the note says so."""
    model, inputs = made(formers.BertForSequenceClassification), batch()
    with torch.inference_mode():
        plain = model(**inputs).logits
        change(model)
        redraw(model)
        model.eval()
        expected = model(**inputs).logits
        got = model.optimize(mode)(**inputs).logits
        assert difference(expected, plain) > 1e-3 and difference(got, expected) < 1e-5
    assert model.optimized.stacks == 0 and "no stack" in model.optimized.note


@pytest.mark.parametrize("change", [replace_layer, replace_attention, replace_norm, replace_activation])
def test_modules_of_users_afterwards(change: Callable[[Any], None]) -> None:
    model, inputs = made(formers.BertForSequenceClassification), batch()
    with torch.inference_mode():
        model.optimize("bf16")(**inputs)
        torch.manual_seed(0)
        change(model)
        got = model.eval()(**inputs).logits
        assert torch.equal(got, model.optimize(None)(**inputs).logits)


def test_an_activation_of_formers_that_no_operator_fuses() -> None:
    model = formers.BertModel(formers.BertConfig(**bert.TINY, hidden_act="mish")).eval()
    redraw(model)
    with torch.inference_mode():
        expected = model(**batch()).last_hidden_state
        for mode, tolerance in {"float32": 1e-5, "bf16": 0.03, "int8": 0.12}.items():
            assert difference(model.optimize(mode)(**batch()).last_hidden_state, expected) < tolerance
            assert model.optimized.stacks == 1
