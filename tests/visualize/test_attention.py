"""Attention weights: those of the model, in a page that says them right and keeps hostile tokens as text."""

from __future__ import annotations

import base64
import json
import re
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import dom, needs_chromium
from of_families import facts

from formers import FormersError, visualize

TEXT = "A warm, funny film."
HOSTILE = ["</script><img src=x onerror=\"document.title='owned'\">", "<b>", "&amp;", "']`${", "", "\u202e", "ok"]

# moves with the keyboard and the mouse once the page is drawn, notes where that leads, and then chooses layer 0
_USE = """<script>
const timer = setInterval(() => {
  if (!("ready" in document.documentElement.dataset)) return;
  clearInterval(timer);
  const notes = [];
  const note = () => notes.push(document.documentElement.dataset.token);
  const press = (key) => {
    document.getElementById("tokens").dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true }));
    note();
  };
  const enter = (i) => {
    document.querySelectorAll(".token")[i].dispatchEvent(new MouseEvent("mouseenter"));
    note();
  };
  press("End"); press("ArrowLeft"); press("Home"); press("ArrowRight");
  enter(4);
  press("Enter"); enter(2); press("Escape"); enter(2);
  document.documentElement.dataset.notes = notes.join(" ");
  document.documentElement.dataset.first = document.getElementById("said").textContent;
  const layer = document.getElementById("layer");
  layer.value = "0";
  layer.dispatchEvent(new Event("change"));
}, 20);
</script>"""


def drawn(count: int, layers: int = 2, heads: int = 3) -> list[torch.Tensor]:
    """Weights (1, H, T, T) of each layer."""
    draw = torch.Generator().manual_seed(0)
    return [(3 * torch.randn(1, heads, count, count, generator=draw)).softmax(-1) for _ in range(layers)]


def attribute(document: str, name: str) -> str:
    found = re.search(rf'<html[^>]* data-{name}="([^"]*)"', document)
    assert found is not None, f"no data-{name} in {document[:500]}"
    return found[1]


def test_weights_are_those_of_the_model(tiny: Any, tokenizer: Any) -> None:
    batch = tokenizer(TEXT, "And long.", return_tensors="pt")
    with torch.no_grad():
        outputs = tiny(**batch, output_attentions=True)
    tiny.train()
    found = visualize.attention(tiny, tokenizer, TEXT, "And long.")
    assert tiny.training
    assert found.tokens == tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist())
    assert found.layers == list(range(len(outputs.attentions)))
    for layer, expected in enumerate(outputs.attentions):
        torch.testing.assert_close(found.weights[layer], expected[0])
    same = visualize.attention(attentions=outputs.attentions, tokens=batch.tokens())
    assert same.html() == found.html()


def test_token_types_are_for_models_that_read_them(tiny: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(tiny.config, "type_vocab_sizes"):
        pytest.skip("its types are of seven kinds, and only its own tokenizer makes them")
    plain = visualize.attention(tiny, tokenizer, TEXT).weights
    monkeypatch.setattr(tokenizer, "model_input_names", ["input_ids", "token_type_ids", "attention_mask"])
    typed = visualize.attention(tiny, tokenizer, TEXT).weights
    same = all(torch.equal(typed[layer], plain[layer]) for layer in plain)
    assert typed.keys() == plain.keys()
    assert same != facts(tiny.config.model_type.replace("-", "_")).types_are_words


def test_layers_and_heads_are_chosen() -> None:
    weights = drawn(4, layers=3, heads=3)
    found = visualize.attention(attentions=weights, tokens=list("abcd"), layers=[2, 0], heads=[1, 2])
    assert (found.layers, found.heads) == ([2, 0], [1, 2])
    assert torch.equal(found.matrix(2, 1), weights[2][0, 1])
    torch.testing.assert_close(found.matrix(0), weights[0][0, 1:].mean(0))
    with pytest.raises(FormersError, match="no layer 1: there are 2, 0"):
        found.matrix(1)
    with pytest.raises(IndexError, match="no head 3: there are 0, 1, 2"):
        visualize.attention(attentions=weights, tokens=list("abcd"), heads=[3])


def test_what_cannot_be_shown(classifier: Any, tokenizer: Any) -> None:
    weights = drawn(3)
    for problem, options in {
        "Give a model, its tokenizer and a text": {},
        "or weights and their tokens": {"attentions": weights},
        "output_attentions=True": {"attentions": None, "tokens": ["a"]},
        "each layer is needed": {"attentions": weights[0], "tokens": ["a"] * 3},
        "there are 2 tokens": {"attentions": weights, "tokens": ["a"] * 2},
        "is a NoneType": {"attentions": (None, None), "tokens": ["a"]},
        "has 2 texts. Choose one": {"attentions": [torch.ones(2, 1, 3, 3)], "tokens": ["a"] * 3},
        "or no numbers": {"attentions": [torch.full((1, 3, 3), torch.nan)], "tokens": ["a"] * 3},
        "nothing to show": {"attentions": weights, "tokens": ["a"] * 3, "heads": []},
        "different numbers of heads": {"attentions": [weights[0], weights[1][:, :1]], "tokens": ["a"] * 3},
    }.items():
        with pytest.raises(FormersError, match=problem):
            visualize.attention(**options)
    with pytest.raises(FormersError, match="reads at most 256"):
        visualize.attention(classifier, tokenizer, "good " * 300)
    with pytest.raises(FormersError, match="or weights"):
        visualize.attention(classifier, tokenizer, TEXT, attentions=weights)


def test_the_page_has_the_weights_and_needs_no_other_file() -> None:
    weights = drawn(9)
    page = visualize.attention(attentions=weights, tokens=list("abcdefghi")).html()
    assert json.loads(re.search(r'id="about">(.*?)</script>', page)[1])["tokens"] == list("abcdefghi")
    stored = re.findall(r'class="weights" data-layer="(\d+)">(.*?)</script>', page)
    assert [layer for layer, _ in stored] == ["0", "1"]
    for (_, data), expected in zip(stored, weights, strict=True):
        codes = torch.frombuffer(bytearray(zlib.decompress(base64.b64decode(data))), dtype=torch.uint8)
        read = (codes.float() / 255).square().view(3, 9, 9)
        assert ((read - expected[0]).abs() <= 0.0041 * expected[0].sqrt() + 4e-6).all()
    assert not re.search(r"https?:|<link|@import|url\(|\bsrc=", page)


def test_a_page_of_long_texts_is_no_larger_than_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    view = visualize.attention(attentions=drawn(512, layers=1, heads=4), tokens=["a"] * 512)
    assert len(view.html()) < 4 * 512 * 512
    assert "<iframe" in view._repr_html_()
    monkeypatch.setattr(visualize.attention_weights, "_MOST_BYTES", 100_000)
    assert "too much for a notebook" in view._repr_html_()


@needs_chromium
def test_the_page_works_and_hostile_tokens_are_text(tmp_path: Path) -> None:
    view = visualize.attention(attentions=drawn(len(HOSTILE)), tokens=HOSTILE)
    page = tmp_path / "page.html"
    page.write_text(view.html().replace("</body>", f"{_USE}</body>"), encoding="utf-8")
    document = dom(page, "#layer=1&head=2&token=3")
    assert "<title>Attention</title>" in document  # nothing of a token ran
    assert "&lt;/script&gt;&lt;img src=x onerror=\"document.title='owned'\"&gt;</span>" in document
    assert attribute(document, "first").startswith("Layer 1, head 2: token 2, ")
    assert (attribute(document, "layer"), attribute(document, "head")) == ("0", "2")
    assert attribute(document, "notes") == "6 5 0 1 4 4 4 4 2"
    matrix, token = view.matrix(0, 2), 2
    said = re.search(r'<p id="said"[^>]*>(.*?)</p>', document)
    assert said is not None
    assert said[1].startswith("Layer 0, head 2: token 2, &amp;amp;, attends most to ")
    firsts = [float(said[1].rpartition("(")[2].strip(")"))]
    firsts += [
        float(re.search(rf'<table id="{name}">.*?<td>([\d.]+)</td>', document, re.DOTALL)[1]) for name in ("from", "to")
    ]
    expected = torch.stack([matrix[token].max(), matrix[token].max(), matrix[:, token].max()])
    assert firsts == pytest.approx(expected.tolist(), abs=0.01)


def test_figure() -> None:
    tokens = ["$a", "b$", "c"]
    view = visualize.attention(attentions=drawn(3), tokens=tokens)
    figure = view.figure(1, 2)
    drawn_there = figure.axes[0].images[0].get_array()
    assert torch.equal(torch.tensor(drawn_there), view.matrix(1, 2))
    figure.canvas.draw()
    assert "mean of heads" in view.figure(0).axes[0].get_title()
    assert "matplotlib.pyplot" not in sys.modules
