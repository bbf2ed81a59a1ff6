"""Sharing, resizing, pruning and counting of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import CASES, FAMILIES, batch, difference, main_head, pair, prunes

import formers
from formers import registry

WITH_VOCABULARY = [c for c in CASES if registry.load(c[0]).HEADS[c[1]].TIED]


def made(family: str, head: str, **changes: Any) -> Any:
    module = registry.load(family)
    torch.manual_seed(0)
    return module.HEADS[head](module.HEADS[head].config_class(**{**module.TINY, **changes}))


@pytest.mark.brief(lambda family, head, **_: head in (main_head(family), "pretraining"))
@pytest.mark.parametrize(("family", "head"), WITH_VOCABULARY)
@pytest.mark.parametrize("tie", [True, False])
def test_tying(family: str, head: str, tie: bool, tmp_path: Path) -> None:
    ours = made(family, head, tie_word_embeddings=tie)
    words, output = ours.get_input_embeddings(), ours.get_output_embeddings()
    assert (output.weight is words.weight) == tie
    biases = {name: owner for name, owner in ours.TIED.items() if name.endswith(".bias")}
    assert all(ours.get_parameter(name) is ours.get_parameter(owner) for name, owner in biases.items())
    ours.save_pretrained(tmp_path)
    back = type(ours).from_pretrained(tmp_path)
    assert (back.get_output_embeddings().weight is back.get_input_embeddings().weight) == tie
    assert all(torch.equal(v, back.state_dict()[k]) for k, v in ours.state_dict().items())
    ids = torch.tensor([[1, 2, 3]])
    ours.eval()(ids)[0].sum().backward()
    assert words.weight.grad is not None and bool(output.weight.grad.any())
    assert len(dict(ours.named_parameters())) + tie + len(biases) == len(ours.state_dict())


def test_heads_without_a_vocabulary_have_no_output_embeddings() -> None:
    ours = made("bert", "sequence-classification")
    assert ours.get_output_embeddings() is None
    with pytest.raises(TypeError, match="no output embeddings"):
        ours.set_output_embeddings(torch.nn.Linear(1, 1))


@pytest.mark.brief(lambda family, head, size, **_: family == "bert" or (head == main_head(family) and size == 120))
@pytest.mark.parametrize(("family", "head"), [*WITH_VOCABULARY, *((f, "base") for f in FAMILIES)])
@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize(("size", "multiple", "expected"), [(120, None, 120), (50, None, 50), (99, 64, 128)])
def test_resizing(
    family: str, head: str, tie: bool, size: int, multiple: int | None, expected: int, tmp_path: Path
) -> None:
    theirs, ours = pair(family, head, tie_word_embeddings=tie)
    ids = torch.randint(0, 50, (2, 7), generator=torch.Generator().manual_seed(0))
    table = ours.resize_token_embeddings(size, pad_to_multiple_of=multiple)
    theirs.resize_token_embeddings(size, pad_to_multiple_of=multiple)
    assert table is ours.get_input_embeddings() and table.num_embeddings == ours.config.vocab_size == expected
    shapes = {name: tuple(value.shape) for name, value in ours.state_dict().items()}
    stale = set() if tie else set(ours.TIED.values())  # a second name of the output's bias, which keeps its old size
    assert not {name for name, value in theirs.state_dict().items() if tuple(value.shape) != shapes[name]} - stale
    assert shapes.keys() == theirs.state_dict().keys()
    with torch.no_grad():
        got, wanted = ours(ids)[0], theirs(ids)[0]
    kept = min(99, expected) if head != "base" else None
    assert difference(got[..., :kept], wanted[..., :kept]) < 1e-5
    if head != "base":
        assert got.shape[-1] == expected and (ours.get_output_embeddings().weight is table.weight) == tie
        assert ours.get_output_embeddings().out_features == expected
    ours.save_pretrained(tmp_path)
    back = type(ours).from_pretrained(tmp_path)
    assert difference(back(ids)[0], ours(ids)[0]) < 1e-6


@pytest.mark.parametrize(
    ("family", "changes"), [("bert", {}), ("electra", {}), ("modernbert", {"decoder_bias": False})]
)
def test_new_rows_are_near_the_mean_of_the_old(family: str, changes: dict[str, Any]) -> None:
    """So that a new token takes no part of the probability of the others; see the source that the method names."""
    theirs, ours = pair(family, "masked-lm", tie_word_embeddings=False, **changes)
    torch.manual_seed(0)
    for model in (theirs, ours):
        model.resize_token_embeddings(120)
    for mine, other in zip(_vocabulary(ours), _vocabulary(theirs), strict=True):
        assert difference(mine[:99], other[:99]) == 0
        assert difference(mine[99:], other[99:]) < 1e-3
        assert difference(mine[99:], mine[:99].mean(0).expand_as(mine[99:])) < 1e-3
    table, bias = ours.get_input_embeddings().weight, ours.get_output_embeddings().bias
    assert not torch.equal(table[99], table[100]) and (bias is None or bias[99:].any())
    ours.resize_token_embeddings(300, mean_resizing=False)
    table, bias = ours.get_input_embeddings().weight, ours.get_output_embeddings().bias
    assert 0.01 < table[120:].std() < 0.03 and (bias is None or not bias[120:].any())
    with pytest.raises(TypeError):
        ours.resize_token_embeddings(301, mean_resize=False)


def _vocabulary(model: Any) -> list[torch.Tensor]:
    """The input table, and the output's weight, and its bias where it has one."""
    output = model.get_output_embeddings()
    parts = (model.get_input_embeddings().weight, output.weight, output.bias)
    return [part.detach() for part in parts if part is not None]


def test_pruning_counts_layers_from_the_end_too(tmp_path: Path) -> None:
    ours, other = made("bert", "base"), made("bert", "base")
    ours.prune_heads({-1: [0], 1: [2]})
    other.prune_heads({1: [0, 2]})
    assert ours.config.pruned_heads == {1: [0, 2]}
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(ours.eval()(ids)[0], other.eval()(ids)[0])
    ours.save_pretrained(tmp_path)
    assert torch.equal(type(ours).from_pretrained(tmp_path, pruned_heads={-1: [0, 2]})(ids)[0], ours(ids)[0])
    with pytest.raises(formers.InputError, match="layers 0 to 1"):
        ours.prune_heads({-3: [0]})


def test_resizing_by_nothing_and_to_nothing() -> None:
    ours = made("bert", "masked-lm")
    table = ours.get_input_embeddings()
    assert ours.resize_token_embeddings() is ours.resize_token_embeddings(99) is table
    with pytest.raises(ValueError, match="at least one token"):
        ours.resize_token_embeddings(0)
    frozen = made("bert", "masked-lm")
    frozen.get_input_embeddings().weight.requires_grad_(False)
    assert not frozen.resize_token_embeddings(110).weight.requires_grad
    assert made("bert", "base").half().resize_token_embeddings(110).weight.dtype == torch.float16


# modules that one of both has: a loss that is a function here, one that is never called, an activation
ELSEWHERE = ("mlm_loss_fct", "albert_layers.0.dropout", "conv.conv_act", "pooler.act")


@pytest.mark.every
@pytest.mark.parametrize(("family", "head"), CASES)
def test_parts(family: str, head: str) -> None:
    theirs, ours = pair(family, head)
    assert type(ours.base_model).__name__ == type(theirs.base_model).__name__
    assert ours.base_model_prefix == theirs.base_model_prefix
    assert (ours.base_model is ours) == (head == "base")
    assert isinstance(ours, formers.PreTrainedModel) and ours.config_class is type(ours.config)
    names, wanted = ({name for name, _ in model.named_modules()} for model in (ours, theirs))
    assert not [n for n in names ^ wanted if not n.endswith(ELSEWHERE)]
    own = {type(m).__name__ for m in ours.modules() if type(m).__module__ == type(ours).__module__}
    assert own <= {type(m).__name__ for m in theirs.modules()}
    new = ours.get_input_embeddings().weight
    for options in ({}, {"only_trainable": True}, {"exclude_embeddings": True}):
        # of a tied table it may see the output's name alone, and count it
        counted = "exclude_embeddings" in options and next(iter(theirs.state_dict())).startswith("lm_head.")
        more = new.numel() if counted else 0
        assert ours.num_parameters(**options) + more == theirs.num_parameters(**options), options
    new = torch.nn.Embedding(99, ours.get_input_embeddings().embedding_dim)
    ours.set_input_embeddings(new)
    theirs.set_input_embeddings(new)
    assert ours.get_input_embeddings() is new
    assert [n for n, m in ours.named_modules() if m is new] == [n for n, m in theirs.named_modules() if m is new]
    assert ours.get_memory_footprint() >= 4 * ours.num_parameters()
    assert ours.device.type == "cpu" and ours.dtype == torch.float32
    assert head == "multiple-choice" or ours(**ours.dummy_inputs)[0] is not None


def test_only_trainable_leaves_out_frozen_weights() -> None:
    ours = made("bert", "sequence-classification")
    for parameter in ours.bert.parameters():
        parameter.requires_grad_(False)
    assert ours.num_parameters(only_trainable=True) == 32 * 2 + 2


def test_a_new_output_layer_is_used_and_saved(tmp_path: Path) -> None:
    ours = made("bert", "masked-lm", tie_word_embeddings=False)
    new = torch.nn.Linear(32, 99)
    ours.set_output_embeddings(new)
    assert ours.get_output_embeddings() is new is ours.cls.predictions.decoder
    ours.save_pretrained(tmp_path)
    back = type(ours).from_pretrained(tmp_path)
    assert all(torch.equal(weight, ours.state_dict()[name]) for name, weight in back.state_dict().items())
    ids = torch.tensor([[1]])  # a product of a mapped weight may differ in the last bit, as its address does
    assert difference(back.eval()(ids)[0], ours.eval()(ids)[0]) < 1e-6


HEADS_PRUNED = {0: [1], 1: [0, 3]}


@pytest.mark.brief(lambda family, head, **_: head == "base" or family == "bert")
@pytest.mark.parametrize(("family", "head"), [c for c in CASES if prunes(c[0])])
def test_pruning_is_masking(family: str, head: str, tmp_path: Path) -> None:
    _, ours = pair(family, head)
    inputs = batch(ours, head, "right", labels=False)
    mask = torch.ones(2, 4)
    for layer, chosen in HEADS_PRUNED.items():
        mask[layer, chosen] = 0
    uses = ours.config.num_hidden_layers // 2  # of each of two groups of weights, in ALBERT
    mask = mask.repeat_interleave(uses, 0)
    with torch.no_grad():
        masked = ours(**inputs, head_mask=mask)[0]
        ours.prune_heads({0: [1], 1: {3}})
        ours.prune_heads({1: [0, 3]})  # numbered as before; a head that is gone stays gone
        assert difference(ours(**inputs)[0], masked) < 1e-5
        assert ours.config.pruned_heads == HEADS_PRUNED
        attentions = ours(**inputs, output_attentions=True).attentions
        assert [a.shape[1] for a in attentions] == [3] * uses + [2] * uses
        ours.save_pretrained(tmp_path)
        back = type(ours).from_pretrained(tmp_path)
        assert back.config.pruned_heads == HEADS_PRUNED
        assert difference(back(**inputs)[0], masked) < 1e-5
        base = type(ours.base_model).from_pretrained(tmp_path)
        assert base.config.pruned_heads == HEADS_PRUNED
        back.prune_heads({0: [2]})
        assert back(**inputs, output_attentions=True).attentions[0].shape[1] == 2


@pytest.mark.parametrize("family", [f for f in FAMILIES if not prunes(f)])
def test_families_whose_heads_stay_say_so(family: str) -> None:
    for ours in (made(family, "base"), made(family, main_head(family))):
        with pytest.raises(formers.InputError, match="no heads that can be pruned"):
            ours.prune_heads({0: [1]})


@pytest.mark.parametrize("family", [f for f in FAMILIES if prunes(f)])
def test_pruning_from_the_configuration_and_its_errors(family: str) -> None:
    whole, ours = made(family, "base"), made(family, "base", pruned_heads={"0": [2]})
    sizes = [(a.numel(), b.numel()) for a, b in zip(whole.parameters(), ours.parameters(), strict=True)]
    smaller = [left / was for was, left in sizes if left != was]
    assert smaller and set(smaller) == {3 / 4} and whole.config.pruned_heads == {}
    for wrong, said in (({0: [4]}, "heads 0 to 3"), ({5: [0]}, "layer"), ({1: [0, 1, 2, 3]}, "at least one")):
        with pytest.raises(formers.InputError, match=said):
            made(family, "base").prune_heads(wrong)
        with pytest.raises(formers.InputError, match=said):
            made(family, "base", pruned_heads=wrong)


def test_weights_are_drawn_as_the_configuration_says() -> None:
    ours = made("bert", "masked-lm", initializer_range=0.5)
    assert 0.45 < ours.bert.encoder.layer[0].output.dense.weight.std() < 0.55
    assert not ours.bert.embeddings.word_embeddings.weight[0].any()  # padding
    assert bool((ours.bert.embeddings.LayerNorm.weight == 1).all()) and not ours.cls.predictions.bias.any()
    before = ours.bert.pooler if ours.bert.pooler else ours.bert.embeddings.position_embeddings.weight.clone()
    ours.init_weights()
    assert not torch.equal(before, ours.bert.embeddings.position_embeddings.weight)


def test_sinusoidal_positions() -> None:
    theirs, ours = pair("distilbert", "base", sinusoidal_pos_embds=True)
    fresh, reference = type(ours)(ours.config), type(theirs)(theirs.config)
    assert difference(fresh.get_position_embeddings().weight, reference.get_position_embeddings().weight) < 1e-5
    assert not fresh.get_position_embeddings().weight.requires_grad
