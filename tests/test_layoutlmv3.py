"""LayoutLMv3 with images, beside words and alone; words alone are tried as all families are, in test_families.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from families import MASKS, batch, difference, pair, redraw

import formers
from formers import registry
from formers.errors import ConfigError, InputError

HEADS = ("base", "sequence-classification", "token-classification", "question-answering")
P = 10  # columns of an image: one for the whole, nine patches
TOLERANCE = 1e-5


def images(seed: int = 5) -> torch.Tensor:
    return torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(seed))


def page(model: Any, head: str, mask: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Words and images, with labels; and which columns of both are real."""
    inputs = batch(model, head, mask) | {"pixel_values": images()}
    return inputs, torch.cat([inputs["attention_mask"], torch.ones(3, P, dtype=torch.long)], 1).bool()


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("head", HEADS)
def test_words_and_images(head: str, mask: str, kernel: str) -> None:
    theirs, ours = pair("layoutlmv3", head, attn_implementation=kernel)
    inputs, real = page(ours, head, mask)
    options = {"output_hidden_states": True, "output_attentions": kernel == "eager"}
    with torch.no_grad():
        expected, got = theirs(**inputs, **options), ours(**inputs, **options)
    assert [*got] == [*expected]
    for name in got:
        mine, other = (x[name] if isinstance(x[name], tuple) else (x[name],) for x in (got, expected))
        assert len(mine) == len(other), name
        for a, b in zip(mine, other, strict=True):
            if name == "attentions":
                a, b = a.transpose(1, 2), b.transpose(1, 2)  # queries first
            if a.dim() > 1 and a.shape[1] == real.shape[1] and head != "question-answering":
                a, b = a[real], b[real]
            elif name == "logits" and head == "token-classification":
                assert a.shape == (3, 9, 2)
                a, b = a[real[:, :9]], b[real[:, :9]]
            assert difference(a, b) < TOLERANCE, name


@pytest.mark.parametrize("mask", ["none", "right", "left", "holes"])
@pytest.mark.parametrize("head", HEADS)
def test_train_step(head: str, mask: str) -> None:
    theirs, ours = pair("layoutlmv3", head, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    inputs, real = page(ours, head, mask)
    losses = []
    for model in (theirs.train(), ours.train()):
        found = model(**inputs)
        losses.append(found.last_hidden_state[real].square().sum() if head == "base" else found.loss)
        losses[-1].backward()
    assert difference(losses[1], losses[0]) < TOLERANCE
    wanted = {name: p.grad for name, p in theirs.named_parameters()}
    largest = max(float(grad.abs().max()) for grad in wanted.values() if grad is not None)
    for name, parameter in ours.named_parameters():
        if wanted[name] is None:
            assert parameter.grad is None, name
        else:
            assert float((parameter.grad - wanted[name]).abs().max()) < TOLERANCE * max(largest, 1.0), name


FORMS: list[dict[str, Any]] = [
    {"has_spatial_attention_bias": False},
    {"has_relative_attention_bias": False},
    {"input_size": 30},  # which patches of 8 do not fill
    {"patch_size": 12, "num_channels": 1},
    {"max_rel_2d_pos": 900, "max_rel_pos": 40},
]


@pytest.mark.parametrize("changes", FORMS, ids=lambda changes: next(iter(changes)))
def test_other_forms(changes: dict[str, Any]) -> None:
    theirs, ours = pair("layoutlmv3", "sequence-classification", **changes)
    config = ours.config
    inputs = batch(ours, "sequence-classification", "right")
    inputs["pixel_values"] = torch.randn(3, config.num_channels, config.input_size, config.input_size)
    with torch.no_grad():
        assert difference(ours(**inputs).logits, theirs(**inputs).logits) < TOLERANCE


@pytest.mark.parametrize("head", HEADS)
def test_files(head: str, tmp_path: Path) -> None:
    """The reference opens ours, and its own are ours."""
    theirs, ours = pair("layoutlmv3", head)
    inputs, real = page(ours, head, "right")
    for number, (wrote, cls) in enumerate(((ours, type(theirs)), (theirs, type(ours)))):
        wrote.save_pretrained(tmp_path / str(number))
        again = cls.from_pretrained(tmp_path / str(number)).eval()
        with torch.no_grad():
            got, expected = again(**inputs), wrote(**inputs)
        for name in (name for name in expected if name != "loss"):
            a, b = got[name], expected[name]
            if a.dim() == 3:  # of columns, some of which are padding
                a, b = (x[real[:, : x.shape[1]]] for x in (a, b))
            assert difference(a, b) < TOLERANCE, name


@pytest.mark.parametrize("head", ["base", "sequence-classification", "question-answering"])
def test_images_alone(head: str) -> None:
    theirs, ours = pair("layoutlmv3", head)
    with torch.no_grad():
        expected, got = theirs(pixel_values=images()), ours(pixel_values=images())
    assert [*got] == [*expected]
    assert all(difference(got[name], expected[name]) < TOLERANCE for name in got)


def test_vectors_in_place_of_words() -> None:
    theirs, ours = pair("layoutlmv3", "base")
    inputs, real = page(ours, "base", "right")
    inputs["inputs_embeds"] = ours.get_input_embeddings()(inputs.pop("input_ids")).detach() * 2
    with torch.no_grad():
        assert difference(ours(**inputs)[0][real], theirs(**inputs)[0][real]) < TOLERANCE


@pytest.mark.parametrize("mask", ["right", "holes"])
def test_what_is_packed_and_what_is_not(mask: str) -> None:
    """Padding between words and image is not computed, but where a hook is to see whole batches."""
    theirs, ours = pair("layoutlmv3", "base")
    inputs, real = page(ours, "base", mask)
    rows: list[tuple[int, ...]] = []
    ours.encoder.layer[0].register_forward_pre_hook(lambda _, args: rows.append(args[0].shape))
    with torch.no_grad():
        watched = ours(**inputs)[0]
        ours.encoder.layer[0]._forward_pre_hooks.clear()
        layout, seen = ours.layout_of_inputs(inputs), ours(**inputs)[0]
    assert rows == [(3, 9 + P, 32)] and layout.index is not None and len(layout.index) == int(real.sum())
    assert difference(seen[real], watched[real]) < TOLERANCE and not seen[~real].any()

    def fired(model: Any) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}

        def note(name: str, out: Any) -> None:
            first = out if isinstance(out, torch.Tensor) else out[0]
            found[name] = tuple(first.shape)

        for name, module in model.named_modules():
            module.register_forward_hook(lambda _, __, out, name=name: note(name, out))
        model(**inputs)
        return found

    expected, got = fired(theirs), fired(ours)
    assert not [name for name in expected if name not in got and not name.endswith(".self.dropout")]
    assert all(got[name] == shape for name, shape in expected.items() if name in got)


def test_boxes_of_patches_and_more_labels(tmp_path: Path) -> None:
    theirs, ours = pair("layoutlmv3", "token-classification", num_labels=12, input_size=40)
    assert torch.equal(ours.base_model.visual_bbox, theirs.layoutlmv3.visual_bbox)
    assert set(ours.state_dict()) == set(theirs.state_dict()) and "classifier.dense.weight" in ours.state_dict()
    ours.save_pretrained(tmp_path)
    again = transformers.LayoutLMv3ForTokenClassification.from_pretrained(tmp_path).eval()
    inputs = batch(ours, "token-classification", "none") | {"pixel_values": torch.randn(3, 3, 40, 40)}
    with torch.no_grad():
        assert difference(ours(**inputs).logits, again(**inputs).logits) < TOLERANCE


@pytest.mark.parametrize("mode", ["float32", "int8"])
@pytest.mark.parametrize("mask", ["none", "right"])
def test_optimized(mode: str, mask: str) -> None:
    _, ours = pair("layoutlmv3", "base")
    inputs, real = page(ours, "base", mask)
    with torch.inference_mode():
        expected = ours(**inputs)[0][real]
        ours.optimize(mode)
        assert ours.optimized is not None
        got = ours(**inputs)[0][real]
    assert difference(got, expected) < (TOLERANCE if mode == "float32" else 0.1)


def test_adapters_around_biases() -> None:
    """What an adapter adds counts before it is merged, as it does after."""
    _, ours = pair("layoutlmv3", "base")
    inputs, real = page(ours, "base", "right")
    plain = ours(**inputs)[0][real]
    names = ["rel_pos_bias", "rel_pos_x_bias", "rel_pos_y_bias"]
    adapted: Any = peft.get_peft_model(ours, peft.LoraConfig(r=2, target_modules=names, init_lora_weights=False))
    apart = adapted.eval()(**inputs)[0][real]
    together = adapted.merge_and_unload()(**inputs)[0][real]
    assert difference(together, apart) < TOLERANCE and difference(apart, plain) > 1e-3


def test_parts_that_are_left_out() -> None:
    config = registry.load("layoutlmv3").TINY
    alone = formers.LayoutLMv3Model(formers.LayoutLMv3Config(**config, text_embed=False)).eval()
    words = formers.LayoutLMv3Model(formers.LayoutLMv3Config(**config, visual_embed=False)).eval()
    assert not [k for k in alone.state_dict() if k.startswith("embeddings")] and not hasattr(words, "patch_embed")
    for model in (alone, words):
        redraw(model)
    assert alone(pixel_values=images())[0].shape == (3, P, 32)
    assert words(torch.tensor([[1, 2]]))[0].shape == (1, 2, 32)
    with pytest.raises(InputError, match="text_embed is False"):
        alone(torch.tensor([[1, 2]]))
    with pytest.raises(InputError, match="visual_embed is False"):
        words(pixel_values=images())
    with pytest.raises(ConfigError, match=r"coordinate_size=6 and shape_size=5.*34.*hidden_size=32"):
        formers.LayoutLMv3Model(formers.LayoutLMv3Config(**{**config, "shape_size": 5}))


WORDS = {"input_ids": torch.ones(3, 4, dtype=torch.long)}


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "input_ids or inputs_embeds"),
        ({"pixel_values": [[1]]}, "pixel_values is a list"),
        ({"pixel_values": torch.ones(3, 3, 25, 24)}, "25 x 24 pixels.*24 x 24"),
        ({"pixel_values": torch.ones(3, 24, 24)}, r"pixel_values\[None\]"),
        ({"pixel_values": torch.ones(3, 24, 24, 3)}, "permute"),
        ({"pixel_values": torch.ones(3, 1, 24, 24)}, "1 channels"),
        ({"pixel_values": torch.ones(0, 3, 24, 24)}, "nothing in it"),
        ({"pixel_values": torch.ones(3, 3, 24, 24).long()}, "int64.*scaled and normalised"),
        ({"pixel_values": images(), "attention_mask": torch.ones(3, P)}, "no padding"),
        ({**WORDS, "pixel_values": images()[:2]}, "of 2 pages, and the words of 3"),
        ({**WORDS, "pixel_values": images(), "attention_mask": torch.ones(3, 1, 4, 4)}, "attention_mask is .batch, co"),
        ({**WORDS, "pixel_values": images(), "attention_mask": torch.ones(3, 4 + P)}, r"\(3, 14\).*\(3, 4\)"),
        ({**WORDS, "pixel_values": images(), "bbox": torch.full((3, 4, 4), 1024)}, r"bbox\[0, 0\] is \[1024"),
    ],
)
def test_what_does_not_fit(inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(formers.FormersError, match=f"(?s){said}"):
        pair("layoutlmv3", "base")[1](**inputs)


def test_labels_of_words_need_words() -> None:
    with pytest.raises(InputError, match="labels words"):
        pair("layoutlmv3", "token-classification")[1](pixel_values=images())


def test_layers_called_by_hand() -> None:
    theirs, ours = pair("layoutlmv3", "base")
    inputs, _ = page(ours, "base", "none")
    rows = torch.randn(3, 9, 32, generator=torch.Generator().manual_seed(2))
    positions, box = torch.arange(9).expand(3, -1), inputs["bbox"]
    with torch.no_grad():
        rel, of_boxes = theirs.encoder._cal_1d_pos_emb(positions), theirs.encoder._cal_2d_pos_emb(box)
        for part in ("", ".attention", ".attention.self"):
            mine, other = (m.encoder.get_submodule(f"layer.0{part}") for m in (ours, theirs))
            expected = other(rows, rel_pos=rel, rel_2d_pos=of_boxes)
            expected = expected[0] if isinstance(expected, tuple) else expected
            assert difference(mine(rows, rel_pos=rel, rel_2d_pos=of_boxes)[0], expected) < TOLERANCE, part
        whole = theirs.encoder(rows, bbox=box, position_ids=positions)[0]
        assert difference(ours.encoder(rows, bbox=box, position_ids=positions)[0], whole) < TOLERANCE
