"""The one attention against the formula, for each way of asking."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from formers.errors import InputError
from formers.ops.attention import attention
from formers.ops.checks import read_mask
from formers.ops.layout import Layout
from formers.ops.step import Step

B, T, H, d = 3, 7, 2, 4
MASK = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1, 0, 1, 0, 1, 1, 0]])


def formula(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, visible: torch.Tensor, bias: float) -> torch.Tensor:
    """Attention written out query by query, in double precision; q, k, v (T, d), visible (T, T)."""
    out = []
    for i in range(len(q)):
        keys = [j for j in range(len(k)) if visible[i, j]]
        scores = torch.stack([q[i].double() @ k[j].double() / d**0.5 + bias * (i - j) for j in keys])
        out.append(scores.softmax(0) @ v[keys].double())
    return torch.stack(out)


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("keep_padding", [False, True])
def test_formula(kernel: str, causal: bool, bias: float, keep_padding: bool) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, B, T, H * d)
    layout = Layout.of(MASK.bool(), B, T, keep_padding)
    columns = torch.arange(T)
    (rows,) = attention(
        *(layout.pack(x) for x in (q, k, v)),
        Step(layout),
        heads=H,
        causal=causal,
        kernel=kernel,
        bias=(lambda *_: bias * (columns[:, None] - columns)[None, None].float()) if bias else None,
    )
    got = layout.unpack(rows)
    for b in range(B):
        visible = MASK[b].bool().expand(T, T) & (torch.ones(T, T).tril().bool() | (not causal))
        for h in range(H):
            part = slice(h * d, (h + 1) * d)
            expected = formula(q[b, :, part], k[b, :, part], v[b, :, part], visible, bias)
            real = MASK[b].bool()
            torch.testing.assert_close(got[b, real, part].double(), expected[real], rtol=1e-5, atol=1e-5)


def test_weights_add_up_and_heads_can_be_masked() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, B, T, H * d)
    layout = Layout.of(MASK.bool(), B, T)
    rows, weights = attention(
        *(layout.pack(x) for x in (q, k, v)),
        Step(layout, output_attentions=True),
        heads=H,
        head_mask=torch.tensor([1.0, 0.0])[None, :, None, None],
    )
    assert weights.shape == (B, H, T, T)
    torch.testing.assert_close(weights.sum(-1)[:, 0], torch.ones(B, T))
    assert not weights[:, 1].any()
    assert not rows[:, d:].any()
    assert not (weights[:, 0] * (1 - MASK)[:, None]).any()  # nothing goes to masked keys


def test_dropout_drops() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, T, H * d)
    layout = Layout.of(None, 1, T)
    (plain,) = attention(q, k, v, Step(layout), heads=H)
    for kernel in ("sdpa", "eager"):
        (dropped,) = attention(q, k, v, Step(layout), heads=H, dropout=0.5, kernel=kernel)
        assert not torch.allclose(plain, dropped)


LENGTHS = [5, 2, 5, 1, 5, 2]


@pytest.mark.parametrize("causal", [False, True])
def test_packed_gradients(causal: bool) -> None:
    """Outputs and gradients of packed rows are those of the padded batch at real tokens."""
    torch.manual_seed(0)
    packed = Layout.of_lengths(LENGTHS)
    padded = Layout.of(torch.arange(5) < torch.tensor(LENGTHS)[:, None], 6, 5, keep_padding=True)
    inputs = torch.randn(3, 6, 5, H * d)
    rows = [packed.pack(x).requires_grad_() for x in inputs]
    whole = [x.clone().requires_grad_() for x in inputs]
    (got,) = attention(*rows, Step(packed), heads=H, causal=causal)
    (expected,) = attention(*whole, Step(padded), heads=H, causal=causal)
    weight = torch.randn_like(got)
    got.backward(weight)
    packed.pack(expected).backward(weight)
    torch.testing.assert_close(got, packed.pack(expected))
    for row, x in zip(rows, whole, strict=True):
        torch.testing.assert_close(row.grad, packed.pack(x.grad))


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_dropout_of_packed_rows(kernel: str) -> None:
    """With values that are all 1 an output is the sum of kept weights: 1 on average, each text and head its own."""
    torch.manual_seed(0)
    lengths = [4, 9, 4, 9, 9]
    layout = Layout.of_lengths(lengths)
    q = torch.zeros(len(layout.index), 50 * d)
    (rows,) = attention(q, q, q + 1, Step(layout), heads=50, dropout=0.25, kernel=kernel)
    kept = layout.unpack(rows).unflatten(2, (50, d))[..., 0]  # (B, T, H)
    for text, length in zip(kept, lengths, strict=True):
        mean, spread = text[:length].mean(), text[:length].var()
        assert abs(mean - 1) < 0.1
        assert abs(spread * length - 0.25 / 0.75) < 0.1  # of a mean of `length` numbers that are 0 or 1 / 0.75
    assert not torch.equal(kept[0, :4], kept[2, :4])


def plainly(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    seen: torch.Tensor,
    scale: float | None = None,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attention of one text in double precision: q (Q, H, d), k and v (K, G, d), seen (Q, K), to (Q, H·d)."""
    q, k, v = (x.double() for x in (q, k, v))
    out = []
    for h in range(q.shape[1]):
        g = h // (q.shape[1] // k.shape[1])
        scores = q[:, h] @ k[:, g].T * (scale or q.shape[-1] ** -0.5)
        scores = scores if softcap is None else softcap * (scores / softcap).tanh()
        out.append(scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v[:, g])
    return torch.cat(out, -1)


def near(queries: int, keys: int, causal: bool, window: int | None) -> torch.Tensor:
    """(Q, K) as the reference's masks count."""
    i, j = torch.arange(keys - queries, keys)[:, None], torch.arange(keys)
    seen = j <= i if causal else torch.ones(queries, keys, dtype=torch.bool)
    if window is not None:
        seen = seen & ((j > i - window) if causal else ((i - j).abs() <= window))
    return seen


FORMS = [
    {"window": 2},
    {"causal": True, "window": 3},
    {"causal": True, "window": 1},
    {"scale": 0.3},
    {"softcap": 1.5},
    {"causal": True, "softcap": 1.5, "window": 2, "scale": 0.4},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("groups", [4, 2, 1])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_grouped_keys_windows_scales_and_caps(form: dict[str, Any], groups: int, kernel: str) -> None:
    torch.manual_seed(0)
    heads = 4
    q, k, v = torch.randn(B, T, heads * d), torch.randn(B, T, groups * d), torch.randn(B, T, groups * d)
    lengths = [7, 4, 4]
    for layout in (Layout.of_lengths(lengths), Layout.of(torch.arange(T) < torch.tensor(lengths)[:, None], B, T, True)):
        rows = [layout.pack(x) for x in (q, k, v)]
        (got,) = attention(*rows, Step(layout), heads=heads, key_heads=groups, kernel=kernel, **form)
        whole = layout.unpack(got)
        for b, n in enumerate(lengths):
            seen = near(n, n, form.get("causal", False), form.get("window"))
            parts = (x[b, :n].unflatten(-1, (-1, d)) for x in (q, k, v))
            expected = plainly(*parts, seen, form.get("scale"), form.get("softcap"))
            torch.testing.assert_close(whole[b, :n].double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 2])
def test_other_numbers_of_keys_than_of_queries(causal: bool, window: int | None) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(B, 3, H * d), torch.randn(B, T, H * d), torch.randn(B, T, H * d)
    (got,) = attention(q, k, v, Step(Layout(B, 3)), heads=H, memory=Layout(B, T), causal=causal, window=window)
    for b in range(B):
        parts = (x[b].unflatten(-1, (H, d)) for x in (q, k, v))
        expected = plainly(*parts, near(3, T, causal, window))
        torch.testing.assert_close(got[b].double(), expected, rtol=1e-5, atol=1e-5)


def test_another_text_is_attended_to_without_its_padding() -> None:
    torch.manual_seed(0)
    text, other = Layout.of_lengths([3, 1, 2]), Layout.of_lengths([4, 7, 2])
    q, k, v = torch.randn(B, 3, H * d), torch.randn(B, T, H * d), torch.randn(B, T, H * d)
    (rows,) = attention(text.pack(q), other.pack(k), other.pack(v), Step(text), heads=H, memory=other)
    for b, (new, keys) in enumerate([(3, 4), (1, 7), (2, 2)]):
        parts = (x[b, :n].unflatten(-1, (H, d)) for x, n in ((q, new), (k, keys), (v, keys)))
        expected = plainly(*parts, near(new, keys, False, None))
        torch.testing.assert_close(text.unpack(rows)[b, :new].double(), expected, rtol=1e-5, atol=1e-5)


GIVEN = torch.tensor([[[1, 0, 0, 1, 0, 0, 0]] * 3 + [[0, 1, 1, 0, 1, 0, 0]] * 4])  # (1, T, T)


@pytest.mark.parametrize("form", ["bool", "ones and zeros", "floating ones", "added", "added infinities", "per head"])
def test_masks_for_each_query_say_all(form: str) -> None:
    """They stand for causality and windows too."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, B, T, H * d)
    mask = {
        "bool": GIVEN.bool()[None],
        "ones and zeros": GIVEN[None],
        "floating ones": GIVEN[None].float(),
        "added": (1 - GIVEN[None].float()) * torch.finfo(torch.float32).min,
        "added infinities": torch.zeros(1, 1, T, T).masked_fill(GIVEN[None] == 0, -torch.inf),
        "per head": GIVEN.bool()[None].expand(B, H, T, T),
    }[form]
    layout = Layout.of(read_mask(mask, B, T), B, T)
    (got,) = attention(q, k, v, Step(layout), heads=H, causal=True, window=1)
    for b in range(B):
        expected = plainly(*(x[b].unflatten(-1, (H, d)) for x in (q, k, v)), GIVEN[0].bool())
        torch.testing.assert_close(got[b].double(), expected, rtol=1e-5, atol=1e-5)


def test_masks_that_say_nothing_hide_nothing() -> None:
    zeros = torch.zeros(B, 1, 1, T)
    q = torch.randn(B, T, H * d)
    (plain,) = attention(q, q, q, Step(Layout(B, T)), heads=H)
    (got,) = attention(q, q, q, Step(Layout.of(read_mask(zeros, B, T), B, T)), heads=H)
    torch.testing.assert_close(got, plain)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (torch.full((B, T), torch.finfo(torch.float32).min), "holds -3.4"),
        (torch.full((B, T), 2), "holds 2"),
        (torch.full((B, T), torch.nan), "holds nan"),
        (torch.full((B, T, T), -1.0), "holds -1"),
        (torch.full((B, 1, 1, T), 5), "holds 5"),
        (torch.ones(B, 2, T), "shape"),
        (torch.ones(2, 1, 1, T), "shape"),
        (torch.ones(B, 1, 2, T), "shape"),
    ],
)
def test_masks_of_other_values_and_shapes(mask: torch.Tensor, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_mask(mask, B, T)


def test_masks_for_other_numbers_of_heads() -> None:
    q = torch.randn(B, T, H * d)
    layout = Layout.of(read_mask(torch.ones(B, 3, T, T), B, T), B, T)
    with pytest.raises(InputError, match="for 3 heads, but the layer has 2"):
        attention(q, q, q, Step(layout), heads=H)
