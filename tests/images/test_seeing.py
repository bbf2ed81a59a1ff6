"""Models that write from texts with pictures in them: what they write, beside the reference, and what goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import difference
from of_families.seeing import texts

import formers
from formers import registry
from images.towers import config_of, pair

FAMILIES = ("idefics3", "llava")
HEAD = "image-text-to-text"


def prompts(model: Any) -> dict[str, torch.Tensor]:
    """Three texts of different lengths, padded on the left, of 2, 1 and 2 pictures."""
    given = texts(model, (2, 1, 2))
    front = torch.tensor([[5, 6, 7, 8], [0, 0, 0, 0], [0, 0, 9, 9]])
    mask = torch.cat([(front > 0).long(), torch.ones_like(given["input_ids"])], dim=1)
    return {**given, "input_ids": torch.cat([front, given["input_ids"]], dim=1), "attention_mask": mask}


ASKED: list[dict[str, Any]] = [{}, {"num_beams": 3}, {"repetition_penalty": 1.5}, {"no_repeat_ngram_size": 2}]


@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written(family: str, asked: dict[str, Any]) -> None:
    theirs, ours = pair(family, HEAD)
    inputs = {**prompts(ours), "max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    expected = theirs.generate(**inputs, **asked)
    assert torch.equal(ours.generate(**inputs, **asked), expected)
    if not asked:
        layer = next(m for m in ours.modules() if type(m).__name__ == "LlamaDecoderLayer")
        layer.register_forward_hook(lambda *_: None)  # for which the padding is kept
        assert torch.equal(ours.generate(**inputs), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_is_read_once(family: str) -> None:
    model = registry.load(family).HEADS[HEAD](config_of(family, HEAD)).eval()
    tower, inputs, seen = (
        model.seer().get_submodule("vision_tower" if family == "llava" else "vision_model"),
        prompts(model),
        [],
    )
    tower.register_forward_hook(lambda *_: seen.append(1))
    for more in ({}, {"num_beams": 2}, {"do_sample": True, "num_return_sequences": 2, "seed": 0}):
        model.generate(**inputs, max_new_tokens=4, eos_token_id=None, **more)
    assert len(seen) == 3
    row, piece = next(iter(model.stream(**inputs, max_new_tokens=2, eos_token_id=None)))
    assert row == 0 and isinstance(piece, int)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_guess_changes_nothing(family: str) -> None:
    model = registry.load(family).HEADS[HEAD](config_of(family, HEAD)).eval()
    inputs = {**texts(model, (1,)), "max_new_tokens": 12, "eos_token_id": None}
    expected = model.generate(**inputs)
    assert torch.equal(model.generate(**inputs, prompt_lookup_num_tokens=3), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing(family: str) -> None:
    model = registry.load(family).HEADS[HEAD](config_of(family, HEAD)).eval()
    inputs = prompts(model)
    count = slice(0, 1) if family == "idefics3" else slice(2, 3)
    alone = {"input_ids": inputs["input_ids"][1:2, 4:], "pixel_values": inputs["pixel_values"][1:2]}
    alone["pixel_values"] = inputs["pixel_values"][1:2, :1] if family == "idefics3" else inputs["pixel_values"][count]
    with torch.no_grad():
        assert difference(model(**inputs).logits[1:2, 4:], model(**alone).logits) < 1e-5
        assert difference(model(**inputs, logits_to_keep=1).logits[1:2, 0], model(**alone).logits[:, -1]) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_that_are_too_few(family: str) -> None:
    model = registry.load(family).HEADS[HEAD](config_of(family, HEAD)).eval()
    inputs = texts(model, (1,))
    rows = int((inputs["input_ids"] == 98).sum())
    for run in (model, model.generate):
        with pytest.raises(
            formers.InputError, match=rf"have {rows - 1} image tokens \(id 98\), and the pictures {rows} rows"
        ):
            run(**{**inputs, "input_ids": inputs["input_ids"].masked_fill(torch.arange(rows + 5)[None] == 1, 4)})
    with pytest.raises(formers.InputError, match="input_ids or inputs_embeds"):
        model(pixel_values=inputs["pixel_values"])


def test_pictures_that_are_none() -> None:
    model = registry.load("idefics3").HEADS[HEAD](config_of("idefics3", HEAD))
    inputs = texts(model, (1,))
    for pixels, message in ((torch.zeros(1, 1, 3, 32, 32), "are zeros"), (torch.ones(1, 3, 32, 32), "reads \\(texts")):
        with pytest.raises(formers.InputError, match=message):
            model(**{**inputs, "pixel_values": pixels})
    with pytest.raises(formers.InputError, match="no square"):
        model(**{**inputs, "pixel_values": torch.ones(1, 1, 3, 32, 16)})


def test_parts_of_pictures_that_are_not_theirs() -> None:
    theirs, ours = pair("idefics3", HEAD)
    inputs = {**texts(ours), "use_cache": False}
    mask = torch.ones(2, 2, 32, 32, dtype=torch.bool)
    mask[0, 0, 20:], mask[1, 0, :, 9:] = False, False
    with torch.no_grad():
        got, expected = ours(**inputs, pixel_attention_mask=mask), theirs(**inputs, pixel_attention_mask=mask)
        assert difference(got.logits, expected.logits) < 1e-5
        assert difference(got.logits, ours(**inputs).logits) > 1e-3
        given = ours(**{**inputs, "pixel_values": None}, image_hidden_states=got.image_hidden_states)
    assert torch.equal(given.logits, got.logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_vocabularies_of_another_size(family: str, tmp_path: Path) -> None:
    model = registry.load(family).HEADS[HEAD](config_of(family, HEAD, tie_word_embeddings=True)).eval()
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    model.resize_token_embeddings(120)
    assert model.config.text_config.vocab_size == 120 and "vocab_size" not in model.config.to_dict()
    inputs = texts(model)
    with torch.no_grad():
        assert model(**inputs).logits.shape[-1] == 120
        model.save_pretrained(tmp_path)
        again = type(model).from_pretrained(tmp_path)
        assert torch.equal(again(**inputs).logits, model(**inputs).logits)


def test_llavas_names_of_each_release(tmp_path: Path) -> None:
    """Files of 4.x, of 5.x, and of what 5.x calls its modules in memory, are one."""
    model = registry.load("llava").HEADS[HEAD](config_of("llava", HEAD)).eval()
    state = model.state_dict()
    assert {"language_model.model.norm.weight", "vision_tower.vision_model.pre_layrnorm.bias"} <= state.keys()
    news = {old: new for new, old in model.RENAMES.items() if new.startswith("model.") or new == "lm_head.weight"}
    other = {old: new for new, old in model.RENAMES.items()}
    for names in (news, other):
        model.save_pretrained(tmp_path)
        from safetensors.torch import save_file

        save_file({names.get(name, name): x.clone() for name, x in state.items()}, tmp_path / "model.safetensors")
        again, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"]
        assert all(torch.equal(x, state[name]) for name, x in again.state_dict().items())
    body = formers.LlavaModel.from_pretrained(tmp_path)
    assert torch.equal(body.language_model.model.norm.weight, state["language_model.model.norm.weight"])


@pytest.mark.parametrize("family", FAMILIES)
def test_both_stacks_run_from_derived_weights(family: str) -> None:
    from formers.optimize import stack_of

    _, model = pair(family, HEAD)
    inputs = {**texts(model), "use_cache": False}
    with torch.inference_mode():
        expected = model(**inputs).logits
        for mode, least in (("float32", 0.999999), ("int8", 0.98)):
            model.optimize(mode)
            stacks = [m for m in model.modules() if stack_of(m) is not None]
            assert len(stacks) == 2
            got = model(**inputs).logits
            assert torch.nn.functional.cosine_similarity(got.flatten(), expected.flatten(), dim=0) > least
        assert torch.equal(
            model.generate(**prompts(model), max_new_tokens=2)[:, :4], prompts(model)["input_ids"][:, :4]
        )
