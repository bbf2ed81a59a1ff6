"""Outputs: a tuple, a dictionary and an object at once, in the reference's order."""

from __future__ import annotations

import copy
import importlib
import pickle

import pytest
import torch
import transformers
from families import CASES, FAMILIES, IMAGES, SOUNDS, batch, pair
from of_families import facts
from torch.utils import _pytree as pytree

import formers
from formers import outputs, registry

CLASSES = [cls for cls in outputs.ModelOutput.__subclasses__() if cls.__module__.startswith("formers.")]

# fields that the reference lacks, after those that it has
OWN = {"GenerateDecoderOnlyOutput": ["ended"], "GenerateEncoderDecoderOutput": ["ended"]}


# classes that the reference has for each family
THEIRS = {
    "MultimodalModelOutputWithPast": "Idefics3BaseModelOutputWithPast",
    "MultimodalCausalLMOutputWithPast": "Idefics3CausalLMOutputWithPast",
}


def classifier_output() -> outputs.SequenceClassifierOutput:
    return outputs.SequenceClassifierOutput(logits=torch.tensor([[0.25, 0.5]]), hidden_states=(torch.zeros(1),) * 3)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_fields_are_the_references(cls: type) -> None:
    towers = (registry.load(family).HEADS["base"].__name__ for family in (*IMAGES, *SOUNDS))
    homes = (getattr(transformers, name).__module__ for name in towers)
    modules = map(importlib.import_module, (*(type(pair(f, "base")[0]).__module__ for f in FAMILIES), *homes))
    name = THEIRS.get(cls.__name__, cls.__name__)
    theirs = next(
        getattr(m, name)
        for m in (
            transformers.modeling_outputs,
            transformers.generation.utils,
            transformers.generation.watermarking,
            *modules,
        )
        if hasattr(m, name)
    )
    assert list(cls.__dataclass_fields__) == [*theirs.__dataclass_fields__, *OWN.get(cls.__name__, ())]


@pytest.mark.parametrize(("family", "head"), CASES)
def test_tuples_follow_the_references_order(family: str, head: str) -> None:
    theirs, ours = pair(family, head, attn_implementation="eager")
    inputs = batch(ours, head, "right")
    options = {"output_attentions": True, "output_hidden_states": True, "return_dict": False}
    expected, got = theirs(**inputs, **options), ours(**inputs, **options)
    assert type(got) is tuple

    def shapes(values: tuple[object, ...]) -> list[object]:
        return [tuple(v.shape) if isinstance(v, torch.Tensor) else shapes(v) for v in values]  # type: ignore[arg-type]

    wanted = [s for s in shapes(expected) if s != []]  # release 5 gives an empty cross_attentions
    mine = shapes(got)
    assert (mine[:-2] + mine[-1:] if head in facts(family).short_tuples else mine) == wanted
    named, options["return_dict"] = ours(**inputs, **{**options, "return_dict": True}), True
    assert list(named) == [k for k, v in theirs(**inputs, **options).items() if v != ()]
    assert shapes(named.to_tuple()) == shapes(got)
    ours.config.return_dict = False
    assert type(ours(**inputs)) is tuple and not isinstance(ours(**inputs, return_dict=True), tuple)


def test_reading() -> None:
    out = classifier_output()
    assert out[0] is out["logits"] is out.logits and out.loss is None
    assert list(out) == ["logits", "hidden_states"] == list(out.keys()) and len(out) == 2
    assert "loss" not in out and "logits" in out
    assert out[:1] == (out.logits,) and out[-2:] == out.to_tuple() and out[-1] is out.hidden_states
    assert out.get("loss") is None and out.get("loss", 3) == 3
    logits, states = out.to_tuple()
    assert logits is out.logits and len(states) == 3
    assert dict(out) == {**out} and isinstance(out, dict)
    with pytest.raises(KeyError):
        out["loss"]
    with pytest.raises(IndexError):
        out[2]


def test_printing_is_the_references() -> None:
    out = classifier_output()
    theirs = transformers.modeling_outputs.SequenceClassifierOutput(logits=out.logits, hidden_states=out.hidden_states)
    assert repr(out) == str(out) == repr(theirs)
    assert repr(outputs.SequenceClassifierOutput(logits=torch.tensor([1.0]))) == (
        "SequenceClassifierOutput(loss=None, logits=tensor([1.]), hidden_states=None, attentions=None)"
    )


def test_writing() -> None:
    out = classifier_output()
    out["logits"] = torch.zeros(2)
    out.logits = out.logits + 1
    assert out["logits"].tolist() == out[0].tolist() == [1, 1]
    out.loss = torch.tensor(1.0)
    assert out.loss is out["loss"] and "loss" in out and list(out) == ["logits", "hidden_states", "loss"]
    out.note = "no field"
    assert out.note == "no field" and "note" not in out
    for change in (lambda: out.pop("logits"), lambda: out.update(a=1), lambda: out.setdefault("a", 1)):
        with pytest.raises(TypeError):
            change()
    with pytest.raises(TypeError):
        del out["logits"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(copied: object) -> None:
    out = copied(classifier_output())  # type: ignore[operator]
    assert type(out) is outputs.SequenceClassifierOutput and list(out) == ["logits", "hidden_states"]
    assert out.logits.tolist() == [[0.25, 0.5]] and out.loss is None


def test_pytree() -> None:
    out = classifier_output()
    leaves, spec = pytree.tree_flatten(out)
    assert len(leaves) == 4
    back = pytree.tree_unflatten([x + 1 for x in leaves], spec)
    assert type(back) is type(out) and back.logits.tolist() == [[1.25, 1.5]] and len(back.hidden_states) == 3
    doubled = torch.vmap(lambda x: outputs.MaskedLMOutput(logits=x * 2))(torch.ones(2, 3))
    assert isinstance(doubled, outputs.MaskedLMOutput) and doubled.logits.shape == (2, 3)


def test_made_from_pairs_as_data_parallel_does() -> None:
    parts = [classifier_output(), classifier_output()]
    whole = type(parts[0])((k, [part[k] for part in parts]) for k in parts[0])
    assert list(whole) == ["logits", "hidden_states"] and len(whole.logits) == 2 and whole.loss is None
    pairs = {"loss": torch.ones(1), "logits": torch.ones(1)}
    for given in (pairs, list(pairs.items()), tuple(pairs.items()), [*map(list, pairs.items())]):
        made = type(whole)(given)
        assert list(made) == ["loss", "logits"] and made.loss is pairs["loss"] and made[1] is pairs["logits"]
    states = (torch.ones(1), torch.ones(1))
    assert type(whole)(loss=states).loss is states and list(type(whole)(list(states)).loss) == list(states)
    with pytest.raises(formers.ArgumentError, match=r"pairs \(name, value\), and number 1"):
        type(whole)([("loss", torch.ones(1)), 3])
