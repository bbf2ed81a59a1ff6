"""Bad input: an error that names the thing, the rule and the way out, of every kind that the reference raises there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES, main_head, pair
from of_families import facts

import formers
from formers import registry
from formers.tokenization import BatchEncoding

IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])
LONG = torch.full((1, 60), 5)
BASE, TEXT, TOKEN, FILL = "base", "sequence-classification", "token-classification", "masked-lm"
ANSWER, CHOICE = "question-answering", "multiple-choice"


def ids(**more: Any) -> dict[str, Any]:
    return {"input_ids": IDS, **more}


# head, arguments, what the message says, and what releases 4.20 and 5 raise there
Case = tuple[str, dict[str, Any], str, tuple[type[Exception], ...]]
CASES: dict[str, Case] = {
    "id too large": (BASE, {"input_ids": IDS + 96}, r"input_ids\[0, 2\] is 99.*vocab_size is 99", (IndexError,)),
    "negative id": (BASE, {"input_ids": IDS * -1}, r"input_ids\[0, 0\] is -1.*tokenizer", (IndexError,)),
    "too long": (BASE, {"input_ids": LONG}, r"is 40.*max_position_embeddings is 40.*truncation", (RuntimeError,)),
    "position": (BASE, ids(position_ids=IDS + 36), r"position_ids\[1, 0\] is 40", (RuntimeError, IndexError)),
    "mask of another shape": (BASE, ids(attention_mask=torch.ones(2, 4)), r"\(2, 4\).*\(2, 3\)", (RuntimeError,)),
    "mask of one dimension": (BASE, ids(attention_mask=torch.ones(3)), r"\(3,\).*\(2, 3\)", (ValueError, RuntimeError)),
    "positions of another shape": (BASE, ids(position_ids=IDS[:, :2]), r"\(2, 2\).*\(2, 3\)", (RuntimeError,)),
    "one dimension": (BASE, {"input_ids": IDS[0]}, r"\(3,\).*input_ids\[None\]", (ValueError, RuntimeError)),
    "three dimensions": (BASE, {"input_ids": IDS[None]}, r"\(1, 2, 3\).*batch, columns", (ValueError, RuntimeError)),
    "a list": (BASE, {"input_ids": IDS.tolist()}, r"list.*return_tensors", (AttributeError, TypeError)),
    "an array": (BASE, {"input_ids": IDS.numpy()}, r"ndarray.*tensor", (TypeError,)),
    "a mask in lists": (BASE, ids(attention_mask=[[1] * 3] * 2), r"attention_mask is a list", (AttributeError,)),
    "positions in lists": (BASE, ids(position_ids=[[1] * 3]), r"position_ids is a list", (TypeError,)),
    "floats": (BASE, {"input_ids": IDS.float()}, r"float32.*input_ids\.long", (RuntimeError,)),
    "nothing": (BASE, {}, r"input_ids or inputs_embeds.*none", (ValueError,)),
    "both": (BASE, ids(inputs_embeds=torch.ones(2, 3, 32)), r"input_ids or inputs_embeds.*both", (ValueError,)),
    "embeddings too narrow": (BASE, {"inputs_embeds": torch.ones(2, 3, 31)}, r"width 31.* (32|24)", (RuntimeError,)),
    "misspelt": (BASE, ids(atention_mask=IDS), r"'atention_mask'.*'attention_mask'", (TypeError,)),
    "head mask for three layers": (BASE, ids(head_mask=torch.ones(3, 4)), r"\(3, 4\).*\([24], heads\)", ()),
    "head mask for five heads": (BASE, ids(head_mask=torch.ones(5)), r"5 heads.* 4", (RuntimeError,)),
    "head mask in a list": (BASE, ids(head_mask=[1, 1, 1, 1]), r"head_mask is a list", (AttributeError,)),
    "label too large": (TEXT, ids(labels=torch.tensor([0, 2])), r"labels holds 2 \(element 1\).*0 to 1", (IndexError,)),
    "negative label": (TEXT, ids(labels=torch.tensor([-1, 0])), r"labels holds -1 \(element 0\)", (IndexError,)),
    "a label too many": (TEXT, ids(labels=torch.tensor([0, 1, 1])), r"3 elements.*2 rows", (ValueError,)),
    "a label a token": (TEXT, ids(labels=IDS * 0), r"6 elements.*2 rows", (ValueError,)),
    "labels in a list": (TEXT, ids(labels=[0, 1]), r"labels is a list", (AttributeError,)),
    "several floats of a wrong shape": (TEXT, ids(labels=torch.ones(2, 3)), r"\(2, 3\).*\(2, 2\)", (ValueError,)),
    "token labels too large": (TOKEN, ids(labels=IDS), r"labels holds 2.*num_labels", (IndexError,)),
    "token labels of another shape": (TOKEN, ids(labels=IDS[:, :2] * 0), r"\(2, 2\).*\(2, 3\)", (ValueError,)),
    "word labels too large": (FILL, ids(labels=IDS + 96), r"labels holds 99.*0 to 98", (IndexError,)),
    "word labels that are floats": (FILL, ids(labels=IDS * 0.5), r"labels is torch\.float32", (RuntimeError,)),
    "choices of one dimension too few": (CHOICE, ids(), r"\(2, 3\).*\(batch, choices, columns\)", (RuntimeError,)),
    "answers in a list": (ANSWER, ids(start_positions=[0, 1], end_positions=[0, 1]), "list", (AttributeError,)),
    "one answer": (ANSWER, ids(start_positions=IDS[0, :1], end_positions=IDS[0, 1:]), "1 .*2 rows", (ValueError,)),
}  # fmt: skip
OF_BERT = {
    "type": (BASE, ids(token_type_ids=IDS), r"token_type_ids\[0, 2\] is 3.*type_vocab_size is 3", (IndexError,)),
    "types of another shape": (BASE, ids(token_type_ids=IDS[:, :2]), r"\(2, 2\).*\(2, 3\)", (RuntimeError,)),
    "types in lists": (BASE, ids(token_type_ids=[[0] * 3] * 2), r"token_type_ids is a list", (TypeError,)),
    "types that are floats": (BASE, ids(token_type_ids=IDS * 0.0), r"token_type_ids is .*float32", (RuntimeError,)),
}  # fmt: skip
OF_DISTILBERT = {
    "types": (BASE, ids(token_type_ids=IDS * 0), r"no token types.*return_token_type_ids=False", (TypeError,)),
}


# what a family's own code looks at
FEW = ("id too large", "too long", "position", "misspelt", "head mask for three layers", "embeddings too narrow")


def possible(family: str, name: str) -> bool:
    """Whether the family reads what the case is about."""
    module, about = registry.load(family), CASES[name]
    if about[0] not in module.HEADS or not about[1].keys() <= {*module.HEADS[about[0]].arguments(), "atention_mask"}:
        return False
    return facts(family).positions is not None or name not in ("too long", "position")


ALL = [(f, n) for f in FAMILIES for n in CASES if possible(f, n)]
ALL += [("bert", n) for n in OF_BERT] + [("distilbert", n) for n in OF_DISTILBERT]


@pytest.mark.brief(lambda family, name, mask: family in ("bert", "distilbert") or (mask and name in FEW))
@pytest.mark.parametrize("mask", [True, False], ids=["packed", "full"])
@pytest.mark.parametrize(("family", "name"), ALL)
def test_of_models(family: str, name: str, mask: bool) -> None:
    head, inputs, said, kinds = {**CASES, **OF_BERT, **OF_DISTILBERT}[name]
    _, ours = pair(family, head, **(facts(family).positions or {}))
    shape = getattr(inputs.get("input_ids"), "shape", ())
    if mask and len(shape) == 2 and shape[0] == 2 and "attention_mask" not in inputs and head != CHOICE:
        inputs = {**inputs, "attention_mask": torch.tensor([[1, 1, 1], [1, 0, 1]])}
    with pytest.raises(formers.FormersError, match=f"(?s){said}") as caught:
        ours(**inputs)
    assert all(isinstance(caught.value, kind) for kind in kinds), type(caught.value).__mro__


@pytest.mark.shared
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [dict, BatchEncoding])
def test_an_encoding_that_is_not_unpacked(family: str, kind: type) -> None:
    for head in (BASE, main_head(family)):
        _, ours = pair(family, head)
        with pytest.raises(AttributeError, match=rf"{kind.__name__}.*model\(\*\*encoding\)") as caught:
            ours(kind({"input_ids": IDS}))
        assert isinstance(caught.value, TypeError) and isinstance(caught.value, formers.FormersError)


def test_the_position_named_is_the_callers() -> None:
    _, ours = pair("bert", BASE)
    padded = torch.tensor([[5, 0, 0, 0], [5, 5, 99, 5]])
    with pytest.raises(IndexError, match=r"input_ids\[1, 2\] is 99"):
        ours(padded, attention_mask=(padded != 0).long())
    assert ours(padded.clamp(max=9), torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1]])).last_hidden_state.isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_longest_text(family: str) -> None:
    """What a configuration says is true: one token more has no position."""
    _, ours = pair(family, BASE)
    longest = ours.config.longest_text()
    assert longest is not None or facts(family).positions != {}
    with torch.no_grad():
        assert ours(torch.full((1, longest or 90), 5))[0].isfinite().all()
        if longest is not None:
            with pytest.raises(formers.FormersError, match="max_position_embeddings is 40"):
                ours(torch.full((1, longest + 1), 5))
    tokenizer = registry.load(family).TOKENIZER
    expected = facts(family).longest or longest or getattr(ours.config, "max_position_embeddings", None)
    assert tokenizer.longest_input(ours.config.to_dict()) == expected


def test_six_hundred_tokens_for_512_positions() -> None:
    model = formers.DistilBertModel(formers.DistilBertConfig(dim=8, n_heads=1, n_layers=1, hidden_dim=8, vocab_size=9))
    with pytest.raises(RuntimeError, match=r"position_ids\[0, 512\] is 512.*max_position_embeddings is 512"):
        model(torch.ones(1, 600, dtype=torch.long))


def test_twice_and_too_many() -> None:
    for head in (BASE, TEXT):
        _, ours = pair("bert", head)
        with pytest.raises(TypeError):
            ours(IDS, input_ids=IDS)
        with pytest.raises(TypeError):
            ours(*[IDS] * 20)


LOADERS = [formers.AutoConfig, formers.AutoModel, formers.BertConfig, formers.BertModel]


@pytest.mark.parametrize("loader", LOADERS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", [None, 5, "", "a/b/c", "no such", "gpt2\n", "-x", "nowhere/at-all", "../nowhere"])
def test_names_that_are_none(loader: Any, name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(formers.FormersError) as caught:
        loader.from_pretrained(name)
    assert isinstance(caught.value, (OSError, ValueError)) and repr(name).strip("'") in str(caught.value)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    for folder in (tmp_path / "my-mode", str(tmp_path / "my-mode") + os.sep, "./my-mode"):
        with pytest.raises(OSError, match="my-mode") as caught:
            formers.AutoModel.from_pretrained(folder)
        assert "repo id" not in str(caught.value).lower()


def test_no_config_for_a_class_without_one() -> None:
    for wrong in (None, {}, "bert", registry.load("bert").BertConfig):
        with pytest.raises(TypeError, match="BertConfig"):
            formers.BertModel(wrong)
        with pytest.raises(formers.FormersError):
            formers.AutoModel.from_config(wrong)
    with pytest.raises(formers.FormersError, match="from_pretrained"):
        formers.AutoModel()
