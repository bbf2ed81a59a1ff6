"""Every argument of the models: against the reference of today, and where it lost something, against 4.20's numbers."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import goldens
import pytest
import torch
import transformers
from families import CASES, FAMILIES, MASKS, batch, difference, having, main_head, pair, written_out
from of_families import facts

import formers
from formers import registry

GOLDENS = json.loads((Path(goldens.__file__).parent / "transformers-4.20.json").read_text())
KERNELS = ["sdpa", "eager"]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", goldens.CASES)
def test_what_release_4_20_computed(name: str, kernel: str) -> None:
    case = goldens.CASES[name]
    model_class = getattr(formers, case["model"])
    model = model_class(model_class.config_class(**case["config"], attn_implementation=kernel))
    goldens.draw_weights(model)
    results = goldens.run(model.eval(), case)
    assert results.keys() == GOLDENS[name].keys()
    for key, value in results.items():
        expected = torch.tensor(GOLDENS[name][key])
        if key == "attentions" and (mask := case["call"].get("attention_mask")) is goldens.RIGHT:
            seen = torch.tensor(mask)[:, None, :, None]
            value, expected = value * seen, expected * seen
        assert difference(value, expected) < 1e-5, key


def both(theirs: Any, ours: Any, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        return ours(**inputs)[0], theirs(**inputs)[0]


@pytest.mark.parametrize("mask", ["none", "right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_position_ids_and_embeddings(family: str, mask: str) -> None:
    theirs, ours = pair(family, "base")
    inputs = batch(ours, "base", mask)
    seen = inputs["attention_mask"][..., None]
    ids = inputs.pop("input_ids")
    read = "position_ids" in ours.inputs()
    for positions in (torch.arange(9).flip(0)[None], torch.arange(9) + torch.tensor([[0], [7], [31]])) if read else ():
        got, expected = both(theirs, ours, input_ids=ids, position_ids=positions, **inputs)
        assert difference(got * seen, expected * seen) < 1e-5
    width = ours.get_input_embeddings().embedding_dim
    embeds = torch.randn(3, 9, width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    if facts(family).embeds:
        got, expected = both(theirs, ours, inputs_embeds=embeds, **inputs)
        assert difference(got * seen, expected * seen) < 1e-5
    ours(inputs_embeds=embeds, **inputs)[0].sum().backward()
    assert embeds.grad is not None and bool(embeds.grad.any())


@pytest.mark.shared
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float32, torch.float16])
def test_masks_of_any_type_and_ids_of_any_integer(family: str, dtype: torch.dtype) -> None:
    _, ours = pair(family, "base")
    inputs = batch(ours, "base", "right")
    expected = ours(**inputs)[0]
    inputs["attention_mask"] = inputs["attention_mask"].to(dtype)
    inputs["input_ids"] = inputs["input_ids"].int()
    assert torch.equal(ours(**inputs)[0], expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_per_query(family: str) -> None:
    theirs, ours = pair(family, "base")
    inputs = batch(ours, "base", "none")
    mask = torch.ones(3, 9, 9).tril() * torch.tensor(MASKS["right"])[:, None]
    inputs["attention_mask"] = mask
    whole = ours(**inputs)[0]
    inputs["attention_mask"] = mask[:, None]
    assert torch.equal(ours(**inputs)[0], whole)
    inputs["attention_mask"] = (1 - mask[:, None]) * torch.finfo(torch.float32).min
    if facts(family).per_query:  # all families there take what is added to scores, and not all others
        assert difference(*both(theirs, ours, **inputs)) < 1e-5


@pytest.mark.shared
@pytest.mark.parametrize("family", having("sequence-classification"))
def test_arguments_by_position(family: str) -> None:
    _, ours = pair(family, "sequence-classification")
    inputs = batch(ours, "sequence-classification", "right")
    by_position = [inputs.get(name) for name in ours.arguments()]
    assert torch.equal(ours(*by_position).loss, ours(**inputs).loss)


def names(model: Any) -> list[str]:
    """The arguments that may be given by position."""
    parameters = inspect.signature(model.forward).parameters.values()
    return [p.name for p in parameters if p.name != "self" and p.kind is p.POSITIONAL_OR_KEYWORD]


@pytest.mark.every
@pytest.mark.parametrize(("family", "head"), CASES)
def test_arguments_stand_in_the_order_of_the_reference(family: str, head: str) -> None:
    ours = registry.load(family).HEADS[head]
    mine, theirs = names(ours), names(getattr(transformers, ours.__name__))
    assert [n for n in mine if n in theirs] == [n for n in theirs if n in mine]
    assert {*theirs} - {*mine} <= {"logits_to_keep"}  # comes with generation


BERT = ["input_ids", "attention_mask", "token_type_ids", "position_ids", "head_mask", "inputs_embeds"]
ASKED = ["output_attentions", "output_hidden_states", "return_dict"]
CROSS, CACHE = ["encoder_hidden_states", "encoder_attention_mask"], ["past_key_values", "use_cache"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BertModel", [*BERT, *CROSS, *CACHE, *ASKED]),
        ("BertForMaskedLM", [*BERT, *CROSS, "labels", *ASKED]),
        ("BertLMHeadModel", [*BERT, *CROSS, "labels", *CACHE, *ASKED]),
        ("BertForPreTraining", [*BERT, "labels", "next_sentence_label", *ASKED]),
        ("BertForQuestionAnswering", [*BERT, "start_positions", "end_positions", *ASKED]),
        ("RobertaForMultipleChoice", [BERT[0], BERT[2], BERT[1], "labels", *BERT[3:], *ASKED]),
        ("AlbertForPreTraining", [*BERT, "labels", "sentence_order_label", *ASKED]),
        ("ElectraForMaskedLM", [*BERT, "labels", *ASKED]),
        ("DistilBertModel", ["input_ids", "attention_mask", "head_mask", "inputs_embeds", *ASKED, "position_ids"]),
        ("MPNetModel", ["input_ids", "attention_mask", "position_ids", "head_mask", "inputs_embeds", *ASKED]),
        ("DebertaV2Model", [*BERT[:4], "inputs_embeds", *ASKED]),
    ],
)
def test_arguments_stand_in_the_order_of_4_20(name: str, expected: list[str]) -> None:
    """With those that later releases took away; what came later comes last."""
    assert names(getattr(formers, name)) == expected


@pytest.mark.brief(lambda head, **_: head in ("base", "sequence-classification"))
@pytest.mark.parametrize(("family", "head"), [c for c in CASES if c[1] != "multiple-choice"])
def test_attentions_are_weights_whatever_the_kernel(family: str, head: str) -> None:
    theirs, ours = pair(family, head)
    written_out(theirs)
    inputs = batch(ours, head, "right", labels=False)
    with torch.no_grad():
        got = ours(**inputs, output_attentions=True).attentions
        expected = theirs(**inputs, output_attentions=True).attentions
    assert len(got) == ours.config.num_hidden_layers
    seen = inputs["attention_mask"][:, None, :, None]
    for a, b in zip(got, expected, strict=True):
        assert difference(a * seen, b * seen) < 1e-5
    ours.config.output_attentions = ours.config.output_hidden_states = True
    out = ours(**inputs)
    assert len(out.attentions) + 1 == len(out.hidden_states) == len(expected) + 1
    assert ours(**inputs, output_attentions=False).attentions is None


@pytest.mark.parametrize("family", having("sequence-classification"))
@pytest.mark.parametrize("shape", ["(H,)", "(L, H)"])
def test_head_mask_has_gradients(family: str, shape: str) -> None:
    _, ours = pair(family, "sequence-classification")
    if "head_mask" not in ours.inputs():
        pytest.skip("the reference never had it here")
    L, H = ours.config.num_hidden_layers, ours.config.num_attention_heads
    mask = torch.ones(H if shape == "(H,)" else (L, H)).requires_grad_()
    inputs = batch(ours, "sequence-classification", "right")
    out = ours(**inputs, head_mask=mask)
    assert difference(out.logits, ours(**inputs).logits) < 1e-5
    out.loss.backward()
    assert mask.grad is not None and bool((mask.grad != 0).all())


@pytest.mark.shared
@pytest.mark.parametrize("family", having("sequence-classification"))
@pytest.mark.parametrize(
    ("kind", "count", "labels"),
    [
        ("regression", 1, [0.5, -1.0, 2.0]),
        ("regression", 1, [[0.5], [-1.0], [2.0]]),
        ("regression", 3, [[0.5, 1, 2], [-1.0, 0, 1], [2.0, 2, 2]]),
        ("single_label_classification", 3, [0, 2, 1]),
        ("multi_label_classification", 3, [[0.0, 1, 1], [1.0, 0, 0], [0.0, 0, 0]]),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_problem_types(family: str, kind: str, count: int, labels: Any, named: bool) -> None:
    named = named or (kind == "regression" and count > 1)  # which only the configuration can tell from several labels
    changes = {"num_labels": count} | ({"problem_type": kind} if named else {})
    theirs, ours = pair(family, "sequence-classification", **changes)
    inputs = batch(ours, "sequence-classification", "right") | {"labels": torch.tensor(labels)}
    got = ours(**inputs)
    assert difference(got.loss, theirs(**inputs).loss) < 1e-5 and got.logits.shape == (3, count)
    assert ours.config.problem_type in (kind, theirs.config.problem_type)  # DeBERTa keeps none for shares of labels


def test_no_column_of_a_decoder_sees_a_later_one() -> None:
    _, ours = pair("bert", "causal-lm")
    ids = batch(ours, "causal-lm", "none")["input_ids"]
    with torch.no_grad():
        before = ours(ids).logits
        changed = ids.clone()
        changed[:, 5:] = (changed[:, 5:] + 1) % ours.config.vocab_size
        after = ours(changed).logits
    assert difference(after[:, :5], before[:, :5]) < 1e-6 < difference(after[:, 5:], before[:, 5:])
    base = ours.bert(ids, output_attentions=True).attentions[0]
    assert not base.triu(1).any()


def test_a_language_model_that_is_no_decoder_says_so(caplog: pytest.LogCaptureFixture) -> None:
    tiny = registry.load("bert").TINY
    formers.BertLMHeadModel(formers.BertConfig(**tiny))
    assert "is_decoder" in caplog.text


def test_decoder_arguments() -> None:
    _, ours = pair("bert", "causal-lm")
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(ours(ids, use_cache=False).logits, ours(ids).logits)
    for argument in ("encoder_hidden_states", "past_key_values"):
        with pytest.raises(ValueError, match=argument):
            ours(ids, **{argument: torch.ones(1)})
    with pytest.raises(ValueError, match="takes no encoder_hidden_states"):
        pair("bert", "base")[1](ids, encoder_hidden_states=torch.ones(1))
    with pytest.raises(ValueError, match="for each layer a tuple of keys and values"):
        pair("bert", "base")[1](ids, past_key_values=torch.ones(1))
    with pytest.raises(formers.ConfigError, match=r"add_cross_attention.*is_decoder=True"):
        formers.BertModel(formers.BertConfig(**registry.load("bert").TINY, add_cross_attention=True))


def test_a_pretraining_loss_needs_both_labels() -> None:
    theirs, ours = pair("bert", "pretraining")
    inputs = batch(ours, "pretraining", "right")
    assert difference(ours(**inputs).loss, theirs(**inputs).loss) < 1e-5
    inputs.pop("labels")
    assert ours(**inputs).loss is None


def test_the_old_name_of_the_next_sentence_labels() -> None:
    _, ours = pair("bert", "next-sentence-prediction")
    inputs = batch(ours, "next-sentence-prediction", "right")
    new = ours(**inputs).loss
    assert torch.equal(ours(**inputs | {"labels": None}, next_sentence_label=inputs["labels"]).loss, new)


@pytest.mark.shared
@pytest.mark.parametrize("family", FAMILIES)
def test_labels_at_padding_count_as_in_the_reference(family: str) -> None:
    for head in {main_head(family), "token-classification"} & registry.load(family).HEADS.keys():
        theirs, ours = pair(family, head)
        written_out(theirs)
        inputs = batch(ours, head, "right")
        inputs["labels"] = inputs["labels"].masked_fill(inputs["labels"] == -100, 1)
        assert difference(ours(**inputs).loss, theirs(**inputs).loss) < 1e-5
        inputs["labels"] = torch.full_like(inputs["labels"], -100)
        assert ours(**inputs).loss.isnan() == theirs(**inputs).loss.isnan()


@pytest.mark.parametrize("family", having("causal-lm"))
def test_labels_at_padding_on_the_left_of_decoders(family: str) -> None:
    """As in scripts that copy the ids; a cache, which is made where nobody says otherwise, changes nothing."""
    theirs, ours = pair(family, "causal-lm", use_cache=True)
    written_out(theirs)
    inputs = batch(ours, "causal-lm", "left")
    inputs["labels"] = inputs["input_ids"]
    assert difference(ours(**inputs).loss, theirs(**inputs).loss) < 1e-5
    assert ours(inputs["input_ids"], labels=inputs["labels"]).past_key_values is not None


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_zeros_at_padding(family: str) -> None:
    _, ours = pair(family, "base")
    inputs = batch(ours, "base", "right")
    out = ours(**inputs, output_hidden_states=True)
    for state in (out.last_hidden_state, *out.hidden_states):
        assert not state[inputs["attention_mask"] == 0].any()
    assert torch.equal(out.hidden_states[-1], out.last_hidden_state)


@pytest.mark.parametrize("family", FAMILIES)
def test_edges_of_the_batch(family: str) -> None:
    theirs, ours = pair(family, "base")
    for shape in ((1, 1), (2, 40)):
        assert difference(*both(theirs, ours, input_ids=torch.ones(shape, dtype=torch.long))) < 1e-5
    assert ours(torch.ones(0, 5, dtype=torch.long))[0].shape == (
        0,
        5,
        getattr(ours.config, getattr(ours, "WIDTH", "hidden_size")),
    )
    with pytest.raises(formers.InputError, match="no columns"):
        ours(torch.ones(2, 0, dtype=torch.long))
