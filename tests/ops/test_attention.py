"""The one attention against the formula, for each way of asking."""

from __future__ import annotations

import pytest
import torch

from formers.ops.attention import attention
from formers.ops.layout import Layout

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
    layout = Layout.of(MASK, B, T, keep_padding)
    columns = torch.arange(T)
    rows, weights = attention(
        *(layout.pack(x) for x in (q, k, v)),
        layout,
        heads=H,
        causal=causal,
        kernel=kernel,
        bias=(lambda *_: bias * (columns[:, None] - columns)[None, None].float()) if bias else None,
    )
    assert weights is None
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
    layout = Layout.of(MASK, B, T)
    rows, weights = attention(
        *(layout.pack(x) for x in (q, k, v)),
        layout,
        heads=H,
        return_weights=True,
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
    plain, _ = attention(q, k, v, layout, heads=H)
    for kernel in ("sdpa", "eager"):
        dropped, _ = attention(q, k, v, layout, heads=H, dropout=0.5, kernel=kernel)
        assert not torch.allclose(plain, dropped)


LENGTHS = [5, 2, 5, 1, 5, 2]


@pytest.mark.parametrize("causal", [False, True])
def test_packed_gradients(causal: bool) -> None:
    """Outputs and gradients of packed rows are those of the padded batch at real tokens."""
    torch.manual_seed(0)
    packed = Layout.of_lengths(LENGTHS)
    padded = Layout.of((torch.arange(5) < torch.tensor(LENGTHS)[:, None]).long(), 6, 5, keep_padding=True)
    inputs = torch.randn(3, 6, 5, H * d)
    rows = [packed.pack(x).requires_grad_() for x in inputs]
    whole = [x.clone().requires_grad_() for x in inputs]
    got, _ = attention(*rows, packed, heads=H, causal=causal)
    expected, _ = attention(*whole, padded, heads=H, causal=causal)
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
    rows, _ = attention(q, q, q + 1, layout, heads=50, dropout=0.25, kernel=kernel)
    kept = layout.unpack(rows).unflatten(2, (50, d))[..., 0]  # (B, T, H)
    for text, length in zip(kept, lengths, strict=True):
        mean, spread = text[:length].mean(), text[:length].var()
        assert abs(mean - 1) < 0.1
        assert abs(spread * length - 0.25 / 0.75) < 0.1  # of a mean of `length` numbers that are 0 or 1 / 0.75
    assert not torch.equal(kept[0, :4], kept[2, :4])
