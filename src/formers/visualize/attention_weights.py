"""Attention weights of one text or picture: a page to look through layers and heads, and figures.

Letters: L layers, H heads, T tokens.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError, NotTensorError, RangeError
from ..views import html
from .figures import new_figure
from .picture import Picture, seen
from .running import encoded, in_evaluation

_HERE = Path(__file__).parent
_MOST_BYTES = 8_000_000  # of a page in a notebook, which is saved with it


class Attention(html.Shown):
    """Attention weights (T, T) of some layers and heads: row i has the weights with which token i attends to each.

    In a notebook it shows as a page to look through; `save(path)` writes that page, which needs no network. Weights are
    in it to 0.4 % of their square root; `weights` has them as they are.

    Attributes:
        tokens: T strings.
        layers, heads: the numbers of those that are here.
        weights: {layer: (H, T, T)}, float32 on the CPU, with the heads in the order of `heads`.
        picture: what the tokens are patches of; None for a text.
    """

    title = "Attention"

    def __init__(
        self, tokens: list[str], heads: list[int], weights: dict[int, Tensor], picture: Picture | None = None
    ) -> None:
        self.tokens, self.heads, self.weights = tokens, heads, weights
        self.layers, self.picture = list(weights), picture

    def __repr__(self) -> str:
        return f"Attention({len(self.tokens)} tokens, layers {self.layers}, heads {self.heads})"

    def matrix(self, layer: int, head: int | None = None) -> Tensor:
        """The weights (T, T) of a head, or the mean over the heads that are here."""
        found = self.weights[_known("layer", layer, self.layers)]
        return found.mean(0) if head is None else found[self.heads.index(_known("head", head, self.heads))]

    def html(self) -> str:
        """The page, a whole document."""
        return self._page

    @cached_property
    def _page(self) -> str:
        known = {"tokens": self.tokens, "layers": self.layers, "heads": self.heads}
        known["picture"] = None if self.picture is None else self.picture.about()
        about = json.dumps(known).replace("<", "\\u003c")
        data = "".join(
            f'<script type="text/plain" class="weights" data-layer="{layer}">{_packed(weights)}</script>'
            for layer, weights in self.weights.items()
        )
        if self.picture is not None:
            data += f'<script type="text/plain" id="pixels">{self.picture.packed()}</script>'
        body, style, script = (
            (_HERE / f"attention.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
        )
        about = f'<script type="application/json" id="about">{about}</script>'
        return html.page(self.title, f"{body}{about}{data}<script>{script}</script>", style)

    def _repr_html_(self) -> str:
        page = self.html()
        if len(page) > _MOST_BYTES:
            return html.fragment(
                f"<b>{html.escape(self)}</b>: its page has {len(page) / 1e6:.0f} MB, too much for a notebook. "
                "Write it with <code>.save(path)</code>, or choose with <code>layers=</code> and <code>heads=</code>."
            )
        style = "width:100%;height:700px;border:0;color:inherit"
        return f'<iframe title="Attention" style="{style}" srcdoc="{_attribute(page)}"></iframe>'

    def figure(self, layer: int, head: int | None = None, token: int | None = None) -> Any:
        """A matplotlib Figure of one head, or of the mean of the heads: rows attend to columns; of a picture, whom one
        token attends to, as a heat map on it: the first one, which is the class token where there is one."""
        if self.picture is not None:
            return self._on_picture(layer, head, _known("token", token or 0, range(len(self.tokens))))
        if token is not None:
            raise ArgumentError("token= is for pictures; of a text all tokens are in the figure.")
        matrix, count = self.matrix(layer, head), len(self.tokens)
        size = min(max(3.5, count * 0.22 + 1.5), 16)
        figure, axes = new_figure(size + 0.8, size)
        drawn = axes.imshow(matrix.numpy(), cmap="viridis", vmin=0, aspect="equal")
        figure.colorbar(drawn, ax=axes, shrink=0.7)
        step = -(-count // 70)  # more names than that cannot be read
        names = [token.replace("$", r"\$") for token in self.tokens[::step]]  # matplotlib reads formulas between these
        axes.set_xticks(range(0, count, step), names, rotation=90, fontsize=8)
        axes.set_yticks(range(0, count, step), names, fontsize=8)
        axes.set_title(_title(layer, head), fontsize=10)
        axes.set_ylabel("attends …")
        axes.set_xlabel("… to")
        return figure

    def _on_picture(self, layer: int, head: int | None, token: int) -> Any:
        assert self.picture is not None  # which the caller has looked for
        height, width, _ = self.picture.pixels.shape
        figure, axes = new_figure(5.6, 5 * height / width + 0.5)
        axes.imshow(self.picture.pixels.float().mean(-1).numpy(), cmap="gray", vmin=0, vmax=255)
        heat = self.matrix(layer, head)[token, self.picture.before :].view(self.picture.grid).numpy()
        over = {"extent": (-0.5, width - 0.5, height - 0.5, -0.5), "interpolation": "nearest"}
        drawn = axes.imshow(heat, cmap="inferno", vmin=0, alpha=0.6, **over)
        figure.colorbar(drawn, ax=axes, shrink=0.7)
        axes.set_axis_off()
        axes.set_title(f"{self.tokens[token]} attends to: {_title(layer, head)}", fontsize=10)
        return figure


def _title(layer: int, head: int | None) -> str:
    return f"layer {layer}, {'mean of heads' if head is None else f'head {head}'}"


def attention(
    model: Any = None,
    tokenizer: Any = None,
    text: Any = None,
    text_pair: str | None = None,
    *,
    attentions: Sequence[Tensor] | None = None,
    tokens: Sequence[str] | None = None,
    layers: Iterable[int] | None = None,
    heads: Iterable[int] | None = None,
) -> Attention:
    """Attention weights of a text or a picture, to look at.

    Either of a model, its tokenizer and a text (or a pair), of a model that reads pictures, its image processor and a
    picture, or of what a model returned and its tokens:

        attention(model, tokenizer, "A text.")
        attention(model, image_processor, "photo.jpg")
        attention(attentions=outputs.attentions, tokens=encoding.tokens())

    Args:
        model, tokenizer, text, text_pair: the model is run once, in evaluation mode, and left as it was. A picture is
            shown as the model reads it, and whom a patch attends to as a heat map on it.
        attentions: L tensors (1, H, T, T) or (H, T, T): of one text. Of row b of a batch: [a[b] for a in attentions].
        tokens: T strings.
        layers, heads: the numbers of those to keep, all by default. The page has about 0.7 bytes for each weight: 26 MB
            for 12 layers of 12 heads over 512 tokens.

    Raises ArgumentError for other combinations, InputError for weights that do not belong together, and for a text that
    is longer than the model reads.
    """
    given, picture = (model, tokenizer, text), None
    if attentions is None and all(value is not None for value in given) and _of_pictures(model, tokenizer):
        if text_pair is not None:
            raise ArgumentError("text_pair is for models that read texts.")
        picture, attentions = seen(model, tokenizer, text)
        tokens = picture.tokens
    elif attentions is None and all(value is not None for value in given):
        encoding = encoded(model, tokenizer, text, text_pair)
        with in_evaluation(model), torch.no_grad():
            outputs = model(**encoding, output_attentions=True, return_dict=True)
        attentions = getattr(outputs, "attentions", None)
        tokens = tokenizer.convert_ids_to_tokens(encoding["input_ids"][0].tolist())
    elif attentions is None or tokens is None or any(value is not None for value in (*given, text_pair)):
        raise ArgumentError(
            "Give a model, its tokenizer and a text: attention(model, tokenizer, text); or weights and their tokens: "
            "attention(attentions=outputs.attentions, tokens=encoding.tokens()), where the model was called with "
            "output_attentions=True."
        )
    return _chosen(_checked(attentions, len(tokens := list(tokens or ()))), tokens, layers, heads, picture)


def _of_pictures(model: Any, processor: Any) -> bool:
    """Whether it is a picture that is to be shown: by what the model reads, or of two towers by the processor."""
    alone = getattr(model, "main_input_name", None) == "pixel_values"
    prepare = getattr(processor, "image_processor", processor)
    return alone or (hasattr(model, "vision_model") and hasattr(prepare, "image_mean"))


def _checked(attentions: Any, count: int) -> list[Tensor]:
    """Each layer's weights as (H, T, T)."""
    if isinstance(attentions, Tensor) or not attentions:
        raise InputError(
            f"attentions is {'one tensor' if isinstance(attentions, Tensor) else attentions!r}; a tuple with a tensor "
            "for each layer is needed: model(…, output_attentions=True).attentions."
        )
    found = []
    for i, weights in enumerate(attentions):
        if not isinstance(weights, Tensor):
            raise NotTensorError(f"attentions[{i}] is a {type(weights).__name__}; a tensor (1, H, T, T) is needed.")
        if weights.dim() == 4 and weights.shape[0] > 1:
            raise InputError(
                f"attentions[{i}] has {weights.shape[0]} texts. Choose one, number b: "
                "attentions=[a[b] for a in attentions], with its tokens."
            )
        own = weights[0] if weights.dim() == 4 else weights
        if own.dim() != 3 or tuple(own.shape[1:]) != (count, count):
            raise InputError(
                f"attentions[{i}] has shape {tuple(weights.shape)}, but there are {count} tokens: "
                f"(1, H, {count}, {count}) is needed. Padding counts as tokens."
            )
        own = own.detach().to("cpu", torch.float32)
        if not bool(own.isfinite().all()):
            raise InputError(f"attentions[{i}] has weights that are infinite, or no numbers; there is nothing to show.")
        found.append(own)
    return found


def _chosen(
    weights: list[Tensor],
    tokens: list[str],
    layers: Iterable[int] | None,
    heads: Iterable[int] | None,
    picture: Picture | None,
) -> Attention:
    present, least = list(range(len(weights))), min(len(own) for own in weights)
    if heads is None and any(len(own) != least for own in weights):
        raise InputError(f"Layers have different numbers of heads; choose some that all have: heads=range({least}).")
    numbers = present if layers is None else [_known("layer", layer, present) for layer in layers]
    kept = list(range(least)) if heads is None else [_known("head", head, range(least)) for head in heads]
    if not numbers or not kept:
        raise ArgumentError("layers and heads leave nothing to show: give at least one of each.")
    return Attention(tokens, kept, {layer: weights[layer][kept] for layer in numbers}, picture)


def _known(what: str, number: int, known: Sequence[int]) -> int:
    if isinstance(number, Integral) and number in known:
        return number
    raise RangeError(f"There is no {what} {number!r}: there are {', '.join(map(str, known))}.")


def _packed(weights: Tensor) -> str:
    """Weights (H, T, T) as bytes, deflated, in base64.

    A byte is 255 times the square root, since most weights are small: in steps of 1/255 a text of 512 tokens would show
    as zeros.
    """
    codes = weights.clamp(0, 1).sqrt().mul(255).round().to(torch.uint8)
    return base64.b64encode(zlib.compress(codes.numpy().tobytes(), 1)).decode()


def _attribute(page: str) -> str:
    return page.replace("&", "&amp;").replace('"', "&quot;")
