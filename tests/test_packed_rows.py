"""Rows of several texts: none sees another, as in the reference and as if each were alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import CASES, difference, pair, registry

from formers import DataCollatorWithFlattening, logging
from formers.decoders import Decoding
from formers.errors import ArgumentError, FormersError
from formers.ops.layout import Layout

TEXTS = [(4, 3, 6), (6, 6, 1)]  # lengths of the texts of two rows
DECODERS = [(f, h) for f, h in CASES if issubclass(registry.load(f).HEADS[h], Decoding)]
APART = [
    (f, h)
    for f, h in DECODERS
    if registry.load(f).HEADS[h].PARTS_BY_POSITION and "position_ids" in registry.load(f).HEADS[h].SIGNATURE
]
TOGETHER = [
    (f, h) for f, h in DECODERS if not registry.load(f).HEADS[h].PARTS_BY_POSITION and h in ("base", "causal-lm")
]


def rows(texts: list[tuple[int, ...]] = TEXTS) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(5, 90, (len(texts), sum(texts[0])), generator=draw)
    positions = torch.stack([torch.cat([torch.arange(n) for n in lengths]) for lengths in texts])
    return {"input_ids": ids, "position_ids": positions}


def labels_of(head: str, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    if head == "causal-lm":
        return {"labels": ids.masked_fill(ids % 7 == 0, -100)}
    if head == "token-classification":
        return {"labels": ids % 2}
    return {"labels": ids[:, 0] % 2} if head == "sequence-classification" else {}


def main(output: Any) -> torch.Tensor:
    found = [output[name] for name in ("logits", "last_hidden_state", "start_logits") if output.get(name) is not None]
    return found[0]


@pytest.mark.parametrize(("family", "head"), APART)
def test_as_the_reference(family: str, head: str) -> None:
    theirs, ours = pair(family, head)
    if head == "sequence-classification":
        theirs.config.pad_token_id = ours.config.pad_token_id = 0
    for texts in (TEXTS, TEXTS[:1]):
        batch = rows(texts)
        inputs = batch | labels_of(head, batch["input_ids"])
        wanted, found = theirs(**inputs), ours(**inputs)
        assert difference(main(found), main(wanted)) < 1e-5
        if "labels" in inputs:
            assert difference(found.loss, wanted.loss) < 1e-5
            for model, output in ((theirs, wanted), (ours, found)):
                model.zero_grad()
                output.loss.backward()
            known = dict(theirs.named_parameters())
            for name, parameter in ours.named_parameters():
                other = known[name].grad
                if other is None or parameter.grad is None:
                    assert other is parameter.grad or not (other if other is not None else parameter.grad).any(), name
                else:
                    assert difference(parameter.grad, other) < 1e-4, name
        # the positions change nothing where they go on, wherever they begin
        going = batch | {"position_ids": torch.arange(5, 5 + batch["input_ids"].shape[1])[None]}
        assert difference(main(ours(**going)), main(theirs(**going))) < 1e-5


@pytest.mark.parametrize(("family", "head"), TOGETHER)
def test_together_where_the_reference_does_not_part_them(family: str, head: str) -> None:
    theirs, ours = pair(family, head)
    batch = rows() if "position_ids" in type(ours).SIGNATURE else {"input_ids": rows()["input_ids"]}
    with torch.no_grad():
        assert difference(main(ours(**batch)), main(theirs(**batch))) < 1e-5


@pytest.mark.parametrize(("family", "head"), [(f, h) for f, h in APART if h in ("base", "causal-lm")])
def test_weights_and_hidden_states(family: str, head: str) -> None:
    theirs, ours = pair(family, head)
    theirs.set_attn_implementation("eager")
    batch = rows() | {"output_attentions": True, "output_hidden_states": True}
    with torch.no_grad():
        wanted, found = theirs(**batch), ours(**batch)
        assert difference(main(found), main(wanted)) < 1e-5
        for mine, other in zip(found.hidden_states, wanted.hidden_states, strict=True):
            assert difference(mine, other) < 1e-5
        for mine, other in zip(found.attentions, wanted.attentions, strict=True):
            assert difference(mine, other) < 1e-5
        ours.set_attn_implementation("eager")
        assert difference(main(ours(**rows())), main(wanted)) < 1e-5
        handle = next(iter(ours.base_model.children())).register_forward_hook(lambda *_: None)
        ours.set_attn_implementation("sdpa")
        assert difference(main(ours(**rows())), main(wanted)) < 1e-5
        handle.remove()


@pytest.mark.parametrize(("family", "head"), [(f, h) for f, h in DECODERS if h in ("base", "causal-lm")])
def test_as_texts_alone(family: str, head: str) -> None:
    """By what says where texts begin, which all decoders take, also those that do not go by positions."""
    _, ours = pair(family, head)
    batch = rows(TEXTS[:1])
    parts = batch["input_ids"].split(TEXTS[0], dim=1)
    features = [{"input_ids": part[0]} for part in parts]
    with torch.no_grad():
        alone = torch.cat([main(ours(part)) for part in parts], dim=1)
        for asked in ({"return_position_ids": False}, {}):
            if not asked and "position_ids" not in type(ours).SIGNATURE:
                continue
            made = DataCollatorWithFlattening(return_flash_attn_kwargs=True, return_seq_idx=True, **asked)(features)
            made.pop("labels")
            ours.config.use_cache = True
            found = ours(**made)
            assert difference(main(found), alone) < 1e-5
            assert found.past_key_values is None
            found = ours(**{name: value for name, value in made.items() if name.startswith(("input", "seq", "pos"))})
            assert difference(main(found), alone) < 1e-5


def test_what_changes_nothing() -> None:
    theirs, ours = pair("llama", "causal-lm")
    batch = rows()
    left = torch.tensor([[0] * 4 + [1] * 9, [1] * 13])
    places = (left.cumsum(1) - 1).clamp(min=0)
    cases: list[dict[str, Any]] = [
        {"attention_mask": torch.ones_like(batch["input_ids"])},
        {"attention_mask": left, "position_ids": places},
        {"use_cache": True},  # of which a warning tells
        {"position_ids": batch["position_ids"][:1]},
        {"position_ids": torch.arange(3, 16)[None]},
        {"position_ids": torch.zeros(1, 13, dtype=torch.long)},
    ]
    for more in cases:
        with torch.no_grad():
            wanted, found = (model(**{**batch, **more}).logits for model in (theirs, ours))
        real = more.get("attention_mask", torch.ones_like(left)).bool()
        assert difference(found[real], wanted[real]) < 1e-5, more


def test_costs_what_texts_alone_cost() -> None:
    pieces = torch.tensor([[0, 0, 0, 1, 1], [0, 1, 1, 1, 1]])
    layout = Layout.of_pieces(pieces)
    assert [tuple(span) for span in layout.spans] == [(0, 1, 1, 1), (1, 1, 2, 2), (3, 1, 3, 3), (6, 1, 4, 4)]
    x = torch.arange(10).view(2, 5)
    assert layout.pack(x).tolist() == [5, 3, 4, 0, 1, 2, 6, 7, 8, 9]
    assert torch.equal(layout.unpack(layout.pack(x)), x)
    assert layout.last(layout.pack(x)).tolist() == [4, 9]


def test_optimized_and_checkpointed() -> None:
    _, ours = pair("llama", "causal-lm")
    batch = rows()
    with torch.no_grad():
        wanted = ours(**batch).logits
        assert difference(ours.optimize()(**batch).logits, wanted) < 1e-4
    ours.train()
    ours.config.use_cache = True
    ours.gradient_checkpointing_enable()
    assert difference(ours(**batch).logits, wanted) < 1e-5


def test_what_does_not_fit() -> None:
    _, ours = pair("llama", "causal-lm")
    ids = torch.tensor([[5, 6, 7, 8]])
    ends = torch.tensor([0, 1, 4])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"cu_seq_lens_q": torch.tensor([0, 1, 3])}, r"\[0, 1, 3\], but the batch is \(1, 4\)"),
        ({"cu_seq_lens_q": torch.tensor([0, 2, 2, 4])}, "should go up"),
        ({"cu_seq_lens_q": [0, 4]}, "not a tensor"),
        ({"cu_seq_lens_q": ends, "max_length_q": 2}, "longest text of cu_seq_lens_q has 3"),
        ({"cu_seq_lens_q": ends, "cu_seq_lens_k": torch.tensor([0, 2, 4])}, "column 1 of row 0"),
        ({"cu_seq_lens_q": ends, "position_ids": torch.tensor([[0, 1, 2, 3]])}, "by position_ids"),
        ({"cu_seq_lens_q": ends, "seq_idx": torch.tensor([[0, 0, 1, 1]])}, "by seq_idx"),
        ({"seq_idx": torch.tensor([0, 0, 1, 1])}, "seq_idx should be"),
        ({"cu_seq_lens_q": ends, "attention_mask": torch.ones_like(ids)}, "leave out attention_mask"),
        ({"cu_seq_lens_q": ends, "use_cache": True}, "no cache"),
    ]
    for more, message in cases:
        with pytest.raises(FormersError, match=message):
            ours(ids, **more)
    _, encoder = pair("bert", "base")
    with pytest.raises(ArgumentError, match="DataCollatorWithPadding"):
        encoder(ids, cu_seq_lens_q=ends)


def test_says_that_a_cache_joins_texts(caplog: pytest.LogCaptureFixture) -> None:
    _, ours = pair("llama", "causal-lm", use_cache=True)
    logging._said.clear()
    with torch.no_grad():
        ours(**rows(), attention_mask=torch.ones(2, 13))
        ours(**rows(), use_cache=False)
        ours(torch.tensor([[5, 6]]), position_ids=torch.tensor([[3, 4]]))
        assert "use_cache=False" not in caplog.text
        ours(**rows())
    assert "use_cache=False" in caplog.text


class ByPosition(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return self.model(ids, position_ids=positions, return_dict=False)[0]


@pytest.mark.filterwarnings("ignore")
def test_traced() -> None:
    _, ours = pair("llama", "causal-lm")
    with torch.no_grad():
        traced = torch.jit.trace(ByPosition(ours), tuple(rows().values()))
        for texts in (TEXTS, [(5, 8), (13,)]):
            inputs = rows(texts)
            assert difference(traced(*inputs.values()), ours(**inputs).logits) < 1e-5
