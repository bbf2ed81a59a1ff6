"""Every family × head × mask × {eval, train step} against the reference, elementwise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import ANSWERS, CASES, FAMILIES, MASKS, batch, difference, is_causal, pair, rates, written_out
from of_families import facts

TOLERANCE = 1e-5


def one_forward(family: str, head: str, mask: str, kernel: str = "sdpa") -> bool:
    """A body with every mask and kernel, each head with one; of a family under a new name each with one."""
    return (head == "base" and facts(family).same_as is None) or (mask == "right" and kernel == "sdpa")


# modules that the reference calls, but that compute what is a function or within a fused kernel here
NOT_CALLED = ("mlm_loss_fct", "attn.dropout", "self.dropout", "attn_dropout", "attention_dropout")


def real(mask: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What is at real tokens, of tensors that have one vector a token."""
    return x[mask.bool()] if x.shape[: mask.dim()] == mask.shape else x


def sees_nothing(family: str, head: str, mask: str) -> bool:
    """Whether some query sees no key: there the reference's kernels differ, zeros in one, an even mean in the other."""
    local = facts(family).windows and mask != "none"
    return local or mask == "all-masked" or (is_causal(family, head) and mask == "left")


@pytest.mark.every
@pytest.mark.brief.with_args(one_forward)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("family", "head"), CASES)
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_eval(family: str, head: str, mask: str, kernel: str) -> None:
    theirs, ours = pair(family, head, attn_implementation=kernel)
    if sees_nothing(family, head, mask):
        written_out(theirs)
    inputs = batch(ours, head, mask)
    options = {"output_hidden_states": True, "output_attentions": kernel == "eager"}
    with torch.no_grad():
        expected, got = theirs(**inputs, **options), ours(**inputs, **options)
    keep = inputs["attention_mask"].flatten(0, -2)
    for name in got:
        theirs_value = expected[name] if isinstance(expected[name], tuple) else (expected[name],)
        ours_value = got[name] if isinstance(got[name], tuple) else (got[name],)
        assert len(ours_value) == len(theirs_value), name
        for a, b in zip(ours_value, theirs_value, strict=True):
            if name == "attentions":
                a, b = a.transpose(1, 2), b.transpose(1, 2)  # queries first
            whole = head in ANSWERS and name.endswith("logits")
            assert difference(a if whole else real(keep, a), b if whole else real(keep, b)) < TOLERANCE, name


FORMS = [(family, *form) for family in FAMILIES for form in facts(family).forms]


@pytest.mark.brief(lambda mask, **_: mask == "right")
@pytest.mark.parametrize("mask", ["none", "right", "left"])
@pytest.mark.parametrize(("family", "head", "changes"), FORMS, ids=lambda value: str(value).replace(" ", ""))
def test_other_forms(family: str, head: str, changes: dict[str, Any], mask: str) -> None:
    theirs, ours = pair(family, head, **changes)
    if sees_nothing(family, head, mask) and not {*changes} & {*facts(family).wrong_eager}:
        written_out(theirs)
    inputs = batch(ours, head, mask, labels=False)
    with torch.no_grad():
        expected, got = theirs(**inputs)[0], ours(**inputs)[0]
    assert difference(real(inputs["attention_mask"], got), real(inputs["attention_mask"], expected)) < TOLERANCE


@pytest.mark.brief(lambda head, mask, **_: mask == "right" or (head == "base" and mask == "left"))
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("family", "head"), CASES)
def test_train_step(family: str, head: str, mask: str) -> None:
    theirs, ours = pair(family, head, **dict.fromkeys(rates(family), 0.0))
    if sees_nothing(family, head, mask):
        written_out(theirs)
    for module in (*theirs.modules(), *ours.modules()):  # some drop at a rate that no key says
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    inputs = batch(ours, head, mask)

    def loss(model: Any) -> torch.Tensor:
        out = model.train()(**inputs)
        if head != "base":
            return out.loss
        keep = inputs["attention_mask"][..., None]
        return (out.last_hidden_state * keep).square().sum() + sum(
            x.sum() for x in (out.get("pooler_output"),) if x is not None
        )

    expected, got = loss(theirs), loss(ours)
    assert difference(got, expected) < TOLERANCE
    expected.backward()
    got.backward()
    wanted = dict(theirs.named_parameters(remove_duplicate=False))
    largest = max(float(p.grad.abs().max()) for p in wanted.values() if p.grad is not None)
    for name, parameter in ours.named_parameters():
        theirs_grad = wanted[name].grad
        if parameter.grad is None or theirs_grad is None:
            assert (parameter.grad is None or not parameter.grad.any()) and (
                theirs_grad is None or not theirs_grad.any()
            ), name
            continue
        assert float((parameter.grad - theirs_grad).abs().max()) < TOLERANCE * max(largest, 1.0), name


@pytest.mark.every
@pytest.mark.parametrize(("family", "head"), CASES)
def test_keys_and_modules(family: str, head: str) -> None:
    theirs, ours = pair(family, head)
    assert list(ours.state_dict()) == list(theirs.state_dict()) or set(ours.state_dict()) == set(theirs.state_dict())
    inputs = batch(ours, head, "right")

    def fired(model: Any) -> dict[str, tuple[int, ...] | None]:
        seen: dict[str, tuple[int, ...] | None] = {}

        def note(name: str) -> Any:
            def hook(_: Any, __: Any, out: Any) -> None:
                seen[name] = tuple(out.shape) if isinstance(out, torch.Tensor) else None

            return hook

        handles = [m.register_forward_hook(note(n)) for n, m in model.named_modules()]
        model(**inputs)
        for handle in handles:
            handle.remove()
        return seen

    expected, got = fired(theirs), fired(ours)
    assert not [name for name in set(expected) - set(got) if not name.endswith(NOT_CALLED)]
    for name, shape in expected.items():  # hooks see the shapes that they were written for
        if shape is not None and got.get(name) is not None and "pooler" not in name and shape[0] != 1:
            # a head that reads the last token scores that alone
            if name.endswith(facts(family).flat) and len(shape) == 2 != len(got[name] or ()):
                shape = (3, 9, *shape[1:])
            alone = getattr(ours, "READS", None) == "last" and not name.startswith(ours.base_model_prefix)
            assert got[name] == ((shape[0], *shape[2:]) if alone else shape), name


@pytest.mark.brief(lambda head, **_: head == "base")
@pytest.mark.parametrize(("family", "head"), CASES)
@pytest.mark.parametrize("mask", ["right", "holes"])
def test_packed_equals_padded(family: str, head: str, mask: str) -> None:
    """A hook keeps the padding; results must not move by it."""
    _, ours = pair(family, head)
    inputs = batch(ours, head, mask, labels=False)
    with torch.no_grad():
        packed = ours(**inputs)[0]
        handle = ours.get_input_embeddings().register_forward_hook(lambda *_: None)
        padded = ours(**inputs)[0]
        handle.remove()
    keep = inputs["attention_mask"].flatten(0, -2)
    assert difference(real(keep, packed), real(keep, padded)) < TOLERANCE
