"""Modules called by hand, as those of Transformers are: chains of parts are the model's own forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import FAMILIES, batch, difference, first_layer, having, pair
from of_families import facts
from torch import nn

import formers
from formers import registry

SMALLEST = torch.finfo(torch.float32).min
MASKS = ["none", "right", "left"]


def stack(model: Any) -> Any:
    """The module that runs the layers; of a family without one, the body itself."""
    return getattr(model.base_model, model.base_model.STACK, None)


def hidden(model: Any, mask: str = "right") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A batch's ids, its mask, and hidden states of the width that layers read."""
    inputs = batch(model, "base", mask)
    width = model.config.hidden_size
    drawn = torch.randn(3, 9, width, generator=torch.Generator().manual_seed(2))
    return inputs["input_ids"], inputs["attention_mask"], drawn


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_chain_of_parts_is_the_forward(family: str, mask: str) -> None:
    _, ours = pair(family, "base")
    ids, keep, _ = hidden(ours, mask)
    with torch.no_grad():
        expected = ours(ids, attention_mask=keep).last_hidden_state
        got = facts(family).chain(ours, ids, keep)
    assert difference(got[keep.bool()], expected[keep.bool()]) < 1e-6


@pytest.mark.parametrize("family", [f for f in FAMILIES if stack(pair(f, "base")[1]) is not None])
def test_layers_return_tuples_and_weights_when_asked(family: str) -> None:
    _, ours = pair(family, "base")
    _, keep, rows = hidden(ours)
    mask = ours.get_extended_attention_mask(keep, (3, 9))
    layer = first_layer(ours)
    with torch.no_grad():
        for module in (layer, *facts(family).attentions(layer)):
            alone = module(rows, mask)
            both = module(rows, attention_mask=mask, output_attentions=True)
            assert isinstance(alone, tuple) and len(alone) == 1 and alone[0].shape == rows.shape
            weights = both[1][0] if isinstance(both[1], tuple) else both[1]
            assert len(both) == 2 and weights.shape == (3, 4, 9, 9)
            assert not (weights * (1 - keep)[:, None, None]).any()
            assert difference(both[0][keep.bool()], alone[0][keep.bool()]) < 1e-6
        if hasattr(stack(ours), "embedding_hidden_mapping_in"):
            rows = rows[..., : ours.config.embedding_size]
        everything = stack(ours)(rows, attention_mask=mask, output_hidden_states=True, output_attentions=True)
        assert len(everything.hidden_states) == len(everything.attentions) + 1
        as_tuple = stack(ours)(rows, attention_mask=mask, return_dict=False)
        assert isinstance(as_tuple, tuple) and difference(as_tuple[0], everything[0]) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["sequence-classification", "multiple-choice", "next-sentence-prediction"])
def test_poolers_and_classifiers_read_whole_texts(family: str, head: str) -> None:
    if head not in registry.load(family).HEADS:
        pytest.skip("no such head")
    theirs, ours = pair(family, head)
    _, _, rows = hidden(ours)
    names = [n for n, _ in ours.named_modules() if n.rpartition(".")[2] in ("pooler", "classifier", "sequence_summary")]
    seen = 0
    for name in names:
        mine, other = ours.get_submodule(name), theirs.get_submodule(name)
        if mine is None or isinstance(mine, nn.Linear):
            continue
        with torch.no_grad():
            assert difference(mine(rows), other(rows)) < 1e-6, name
        seen += 1
    assert seen or not [n for n in names if not isinstance(ours.get_submodule(n), nn.Linear)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_number_of_layers_is_that_of_the_modules(family: str) -> None:
    _, whole = pair(family, "base")
    name, layers = next((n, m) for n, m in whole.named_modules() if isinstance(m, nn.ModuleList))
    if len(layers) != whole.config.num_hidden_layers:
        pytest.skip("a layer is used several times")
    whole.set_submodule(name, layers[:1])
    inputs = batch(whole, "base", "right")
    with torch.no_grad():
        out = whole(**inputs, output_hidden_states=True)
    assert len(out.hidden_states) == 2 and out.last_hidden_state.isfinite().all()


class Mixer(nn.Module):
    """Another's module between ours, which needs whole texts: in packed rows it would mix them up."""

    def __init__(self, inner: nn.Module, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.mix = inner, nn.LSTM(width, width, batch_first=True)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: Any = None, head_mask: Any = None, *rest: Any
    ) -> Any:
        assert hidden_states.dim() == 3 and attention_mask.dim() == 4 and attention_mask.dtype == torch.float32
        out = self.inner(hidden_states, attention_mask, head_mask, *rest)
        return (self.mix(out[0])[0], *out[1:])


@pytest.mark.parametrize("family", FAMILIES)
def test_another_module_between(family: str) -> None:
    """Around a layer, in the form of Transformers' layers: it sees (B, T, D) and a mask that is added to scores."""
    _, ours = pair(family, "base")
    inputs = batch(ours, "base", "right")
    short = {k: v[1:2, :5] for k, v in inputs.items()}  # the second text alone, without its padding
    layers = next(m for m in ours.modules() if isinstance(m, nn.ModuleList))
    with torch.no_grad():
        before = ours(**inputs).last_hidden_state
        layers[0] = Mixer(layers[0], ours.config.hidden_size)
        got, alone = ours(**inputs).last_hidden_state, ours(**short).last_hidden_state
    assert got.shape == before.shape and difference(got[1, :5], before[1, :5]) > 1e-3
    assert difference(got[1, :5], alone[0]) < 1e-5


def test_a_forward_of_ones_own_gets_what_it_expects() -> None:
    """Put in the place of a method, or in a subclass."""
    _, ours = pair("bert", "base")
    inputs = batch(ours, "base", "right")
    expected = ours(**inputs).last_hidden_state
    seen: list[Any] = []

    class Watching(formers.models.bert.BertSelfAttention):  # type: ignore[name-defined, misc]
        def forward(self, hidden_states: torch.Tensor, attention_mask: Any = None, *rest: Any, **more: Any) -> Any:
            seen.append((hidden_states.shape, attention_mask.shape))
            return super().forward(hidden_states, attention_mask, *rest, **more)

    other = Watching(ours.config).eval()
    other.load_state_dict(ours.encoder.layer[0].attention.self.state_dict())
    ours.encoder.layer[0].attention.self = other
    inner = ours.encoder.layer[1].attention.self
    own = inner.forward
    inner.forward = lambda hidden, mask, *rest: (seen.append((hidden.shape, mask.shape)), own(hidden, mask, *rest))[1]
    real = inputs["attention_mask"].bool()
    assert difference(ours(**inputs).last_hidden_state[real], expected[real]) < 1e-5
    assert seen == [((3, 9, 32), (3, 1, 1, 9))] * 2


@pytest.mark.parametrize("family", having("sequence-classification"))
def test_gradients_reach_all_that_an_output_carries(family: str) -> None:
    _, ours = pair(family, "sequence-classification")
    inputs = batch(ours, "sequence-classification", "right")
    out = ours(**inputs, output_hidden_states=True, output_attentions=True)
    for value in (*out.hidden_states, *out.attentions):
        value.retain_grad()
    found = torch.autograd.grad(out.logits[1, 0], [*out.hidden_states, *out.attentions], retain_graph=True)
    assert all(bool(g.any()) for g in found[:-1])
    out.loss.backward(retain_graph=True)
    assert all(value.grad is not None for value in (*out.hidden_states, *out.attentions))
    plain = ours(**inputs, output_hidden_states=True)
    assert all(bool(g.any()) for g in torch.autograd.grad(plain.logits[1, 0], plain.hidden_states))


def test_gradients_of_a_loss_reach_the_logits() -> None:
    for head in ("token-classification", "masked-lm"):
        _, ours = pair("bert", head)
        out = ours(**batch(ours, head, "right"))
        assert bool(torch.autograd.grad(out.loss, out.logits)[0].any())
    _, base = pair("bert", "base")
    out = base(**batch(base, "base", "right"))
    assert bool(torch.autograd.grad(out.pooler_output.sum(), out.last_hidden_state)[0].any())


FORMS = ["2-D", "3-D", "4-D", "4-D bool", "4-D added", "extended"]


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_of_all_forms(family: str) -> None:
    """Those for each query say all: windows are in none of them, and causality in the extended one alone."""
    _, ours = pair(family, "base")
    inputs = batch(ours, "base", "right")
    keep = inputs.pop("attention_mask")
    whole = keep[:, None, None].expand(3, 1, 9, 9)
    forms = {
        "3-D": keep[:, None].expand(3, 9, 9),
        "4-D": whole,
        "4-D bool": whole.bool(),
        "4-D added": (1 - whole.float()) * SMALLEST,
        "4-D infinite": torch.zeros(3, 1, 9, 9).masked_fill(whole == 0, -torch.inf),
        "extended": ours.get_extended_attention_mask(keep, (3, 9)),
    }
    with torch.no_grad():
        got = {name: ours(**inputs, attention_mask=mask).last_hidden_state for name, mask in forms.items()}
        usual = ours(**inputs, attention_mask=keep)[0]
        lower = ours(**inputs, attention_mask=keep[:, None] * torch.ones(9, 9).tril())[0]
    known = facts(family)
    assert known.windows or difference((lower if known.causal else got["4-D"])[keep.bool()], usual[keep.bool()]) < 1e-5
    for name, value in got.items():
        expected = usual if known.always else lower if known.causal and name == "extended" else got["4-D"]
        assert difference(value[keep.bool()], expected[keep.bool()]) < 1e-5, name
    with pytest.raises(formers.InputError, match=r"holds -3\.4.*four dimensions"):
        ours(**inputs, attention_mask=(1 - keep.float()) * SMALLEST)
    with pytest.raises(formers.InputError, match="holds 2"):
        ours(**inputs, attention_mask=keep * 2)


def test_masks_of_a_decoder_replace_its_causality() -> None:
    """As in 4.20: with three dimensions, or four, the mask says all."""
    _, ours = pair("bert", "base", is_decoder=True)
    ids = batch(ours, "base", "none")["input_ids"]
    everything = torch.ones(3, 9, 9)
    encoder = formers.BertModel(formers.BertConfig(**registry.load("bert").TINY)).eval()
    encoder.load_state_dict(ours.state_dict())
    with torch.no_grad():
        both_ways = encoder(ids).last_hidden_state
        for mask in (everything, everything[:, None], everything[:, None].bool(), torch.zeros(1, 1, 1, 9)):
            assert difference(ours(ids, attention_mask=mask).last_hidden_state, both_ways) < 1e-5
        causal = ours(ids).last_hidden_state
        extended = ours.get_extended_attention_mask(torch.ones(3, 9), (3, 9))
        assert extended.shape == (3, 1, 9, 9)
        chained = ours.encoder(ours.embeddings(ids), extended).last_hidden_state
    assert difference(chained, causal) < 1e-5 < difference(both_ways, causal)


def test_masks_of_a_model_that_is_causal_by_itself() -> None:
    """Whatever its configuration says."""

    class Causal(formers.BertModel):
        def causal(self) -> bool:
            return True

    ours = Causal(formers.BertConfig(**registry.load("bert").TINY))
    extended = ours.get_extended_attention_mask(torch.tensor([[0, 1, 1]]), (1, 3))
    assert (extended == 0).tolist() == [[[[False] * 3, [False, True, False], [False, True, True]]]]


@pytest.mark.parametrize("packed", [True, False])
def test_left_padding_of_a_decoder_is_not_computed(packed: bool) -> None:
    _, ours = pair("bert", "causal-lm")
    inputs = batch(ours, "causal-lm", "left", labels=False)
    seen: list[int] = []
    if packed:  # a hook would keep the padding
        own = ours.cls.predictions.decoder.forward
        vars(ours.cls.predictions.decoder)["forward"] = lambda rows: (seen.append(rows.dim()), own(rows))[1]
    expected = torch.cat(
        [
            ours(
                ids[keep.bool()][None],
                token_type_ids=types[keep.bool()][None],
                position_ids=torch.arange(9)[keep.bool()][None],
            ).logits[0]
            for ids, keep, types in zip(
                inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"], strict=True
            )
        ]
    )
    got = ours(**inputs).logits
    assert difference(got[inputs["attention_mask"].bool()], expected) < 1e-5


def test_helpers_of_old() -> None:
    _, ours = pair("bert", "base")
    keep = torch.tensor([[1, 1, 0]])
    extended = ours.get_extended_attention_mask(keep, (1, 3), device="cpu")
    assert extended.tolist() == [[[[0.0, 0.0, SMALLEST]]]] and extended.dtype == torch.float32
    assert ours.invert_attention_mask(keep).tolist() == extended.tolist()
    assert ours.get_head_mask(None, 2) == [None, None]
    assert ours.get_head_mask(torch.tensor([1.0, 0, 1, 1]), 2).shape == (2, 1, 4, 1, 1)
    with pytest.raises(ValueError, match="attention_mask has shape"):
        ours.get_extended_attention_mask(keep[0], (1, 3))
    assert ours.embeddings.position_ids.tolist() == [list(range(40))]
    assert ours.encoder.layer[0].attention.self.all_head_size == 32
    ours.prune_heads({0: [1]})
    assert ours.encoder.layer[0].attention.self.all_head_size == 24


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m, h: m.encoder.layer[0](h[0]), r"hidden_states has shape \(9, 32\)"),
        (lambda m, h: m.encoder.layer[0](h.tolist()), "hidden_states is a list"),
        (lambda m, h: m.encoder(h, attention_masc=None), "takes no 'attention_masc'.*'attention_mask'"),
        (lambda m, h: m.encoder(h, torch.ones(3, 8)), r"\(3, 8\).*\(3, 9\)"),
        (lambda m, h: m.encoder(h, encoder_hidden_states=h), "encoder_hidden_states has no effect"),
        (lambda m, h: m.encoder.layer[0](h, hidden_states=h), "hidden_states twice"),
        (lambda m, h: m.encoder.layer[0](*[h] * 9), "takes 7 arguments"),
        (lambda m, h: m.encoder(h, head_mask=torch.ones(3, 1, 4, 1, 1)), "3 layers.*2"),
        (lambda m, h: m.embeddings(), "input_ids or inputs_embeds"),
    ],
)
def test_what_cannot_be_called(call: Any, said: str) -> None:
    _, ours = pair("bert", "base")
    with pytest.raises(formers.FormersError, match=said):
        call(ours, torch.randn(3, 9, 32))
