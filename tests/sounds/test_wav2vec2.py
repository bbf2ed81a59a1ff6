"""What is special about families that read sound as it is: padding, masks, what training hides, files of languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from families import SOUNDS, difference
from images.towers import config_of, flat, pair
from of_families.hearing import waves
from safetensors.torch import load_file, save_file

import formers
from formers import registry, speech
from formers.layers import ColumnConv

WAVES = tuple(f for f in SOUNDS if issubclass(registry.load(f).HEADS["base"], speech.ReadsSound))
LENGTHS = (400, 230, 400, 171)
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
GROUP = {"feat_extract_norm": "group", "do_stable_layer_norm": False}
CASES = [(f, h) for f in WAVES for h in registry.load(f).HEADS if h != "pretraining"]


def padded(lengths: tuple[int, ...] = LENGTHS) -> dict[str, torch.Tensor]:
    """Sounds with zeros for padding, and their mask."""
    values = waves(len(lengths), max(lengths))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return {"input_values": values * mask, "attention_mask": mask.long()}


def real(model: Any, inputs: dict[str, torch.Tensor], name: str, tensor: torch.Tensor) -> torch.Tensor:
    """What of an output (B, T, …) is of sound."""
    if not name.startswith(("logits", "last", "extract", "hidden")) or tensor.dim() < 3:
        return tensor
    frames = model._get_feat_extract_output_lengths(inputs["attention_mask"].sum(1), add_adapter=False)
    return tensor[torch.arange(tensor.shape[1]) < frames[:, None]]


@pytest.mark.parametrize(("family", "head"), CASES)
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_padding(family: str, head: str, norm: str) -> None:
    """Packed, and with a hook that has padding kept: the reference's results where there is sound."""
    changes = LAYER if norm == "layer" else GROUP
    theirs, ours = pair(family, head, **changes)
    inputs = padded()
    labels: dict[str, Any] = {}
    if head == "ctc":
        labels["labels"] = torch.tensor([[1, 2, 3], [4, -100, -100], [1, 1, -100], [2, -100, -100]])
    elif head.startswith("audio-") and "frame" not in head:
        labels["labels"] = torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        expected = flat(theirs(**inputs, **labels, output_hidden_states=True))
        got = flat(ours(**inputs, **labels, output_hidden_states=True))
        assert [*got] == [*expected]
        for name, value in got.items():
            pair_of = (real(ours, inputs, name, x) for x in (value, expected[name]))
            assert difference(*pair_of) < 1e-5, name
        hook = next(m for m in ours.modules() if isinstance(m, ColumnConv)).register_forward_hook(lambda *_: None)
        kept = flat(ours(**inputs, **labels))
        hook.remove()
        for name, value in kept.items():
            assert difference(real(ours, inputs, name, value), real(ours, inputs, name, got[name])) < 1e-5, name


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize(
    "changes", [{}, {"conv_kernel": [10, 5, 2], "conv_stride": [3, 2, 3], "conv_bias": False}], ids=str
)
def test_long_sounds(norm: str, changes: dict[str, Any]) -> None:
    """The convolutions of a sound are computed a part after the other."""
    theirs, ours = pair("wav2vec2", "base", **(LAYER if norm == "layer" else GROUP), **changes)
    inputs = padded((6000, 2601, 5990))
    for given in (inputs, {"input_values": inputs["input_values"]}):
        with torch.no_grad():
            got, expected = (flat(model(**given)) for model in (ours, theirs))
        for name, value in got.items():
            compared = (real(ours, inputs, name, x) for x in (value, expected[name]))
            assert difference(*compared) < 1e-5, name


@pytest.mark.parametrize("family", WAVES)
def test_padding_learns_as_the_reference_does(family: str) -> None:
    theirs, ours = pair(family, "ctc", **LAYER)
    inputs = padded() | {"labels": torch.tensor([[1, 2, 3], [4, -100, -100], [1, 1, -100], [2, -100, -100]])}
    for model in (theirs, ours):
        model(**inputs).loss.backward()
    for name in ("lm_head.weight", f"{ours.base_model_prefix}.feature_projection.projection.weight"):
        assert difference(ours.get_parameter(name).grad, theirs.get_parameter(name).grad) < 1e-5, name
    first = f"{ours.base_model_prefix}.feature_extractor.conv_layers.0.conv.weight"
    assert difference(ours.get_parameter(first).grad, theirs.get_parameter(first).grad) < 1e-5


def test_nothing_is_written_at_padding() -> None:
    """Whatever the first token is: the blank need not be it."""
    _, ours = pair("wav2vec2", "ctc", pad_token_id=7, **LAYER)
    with torch.no_grad():
        logits = ours(**padded()).logits
    frames = ours._get_feat_extract_output_lengths(torch.tensor(LENGTHS))
    for sound, count in enumerate(frames.tolist()):
        assert (logits[sound, count:].argmax(-1) == 7).all()
    assert frames.tolist() == [19, 11, 19, 8]


def test_lengths() -> None:
    config = registry.load("wav2vec2").MODEL_TYPES["wav2vec2"]()
    theirs = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(num_hidden_layers=0))
    for samples in (400, 401, 719, 720, 16_000, 123_456):
        count = speech.frames_of(config, samples)
        assert count == int(theirs._get_feat_extract_output_lengths(samples))
        assert speech.samples_of(config, count) <= samples < speech.samples_of(config, count + 1)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_values": None}, "a feature extractor makes them"),
        ({"input_values": [[0.1]]}, "is a list, not a tensor"),
        ({"input_values": torch.zeros(400)}, r"input_values\[None\]"),
        ({"input_values": torch.zeros(1, 2, 400)}, r"input_values.mean\(1\)"),
        ({"input_values": torch.zeros(0, 400)}, "nothing in it"),
        ({"input_values": torch.zeros(1, 400, dtype=torch.int16)}, "int16; models read floating"),
        ({"input_values": torch.zeros(1, 20)}, "20 samples is too short; one frame is made of 30"),
        ({"input_values": torch.zeros(1, 400), "attention_mask": torch.ones(1, 300)}, "attention_mask has shape"),
        (
            {"input_values": torch.zeros(2, 400), "attention_mask": torch.tensor([[0] * 50 + [1] * 350, [1] * 400])},
            "padded on the right",
        ),
        (
            {"input_values": torch.zeros(2, 400), "attention_mask": torch.tensor([[1] * 400, [1] * 9 + [0] * 391])},
            "sound 1 of the batch has 9 samples",
        ),
        ({"input_values": torch.zeros(1, 400), "labels": torch.tensor([[3, 11]])}, "labels holds 11.*vocab_size=11"),
        ({"input_values": torch.zeros(1, 400), "labels": torch.tensor([3, 1])}, "ids of what is said"),
        ({"input_values": torch.zeros(1, 400), "mask_time_indices": torch.ones(1, 5)}, "takes no argument"),
    ],
)
def test_what_is_no_sound(inputs: dict[str, Any], message: str) -> None:
    model = registry.load("wav2vec2").HEADS["ctc"](config_of("wav2vec2", "ctc"))
    with pytest.raises(formers.FormersError, match=message):
        model(**inputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_dim": [8, 8]}, "conv_dim 2, conv_stride 3"),
        ({"conv_stride": [5, 0, 2]}, "conv_stride"),
        ({"feat_extract_norm": "batch"}, "it is group or layer"),
        ({"num_attention_heads": 5}, "no multiple"),
        ({"vocab_size": None}, "vocab_size is None"),
    ],
)
def test_what_is_no_configuration(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(formers.FormersError, match=message):
        registry.load("wav2vec2").HEADS["ctc"](config_of("wav2vec2", "ctc", **changes))


def test_adapters_have_no_labels_of_frames() -> None:
    for head in ("audio-classification", "audio-frame-classification"):
        with pytest.raises(formers.ConfigError, match="add_adapter"):
            registry.load("wav2vec2").HEADS[head](config_of("wav2vec2", head, add_adapter=True))


# ---- what training hides


@pytest.mark.parametrize("seed", range(6))
def test_spans_are_drawn_as_the_reference_draws_them(seed: int) -> None:
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

    mask = torch.arange(40) < torch.tensor([40, 21, 8, 4])[:, None]
    for given, least in ((mask, 0), (None, 2), (mask, 1)):
        np.random.seed(seed)
        expected = _compute_mask_indices((4, 40), 0.4, 5, given, min_masks=least)
        np.random.seed(seed)
        lengths = None if given is None else given.sum(1).tolist()
        got = speech.mask_spans((4, 40), 0.4, 5, lengths, least)
        assert np.array_equal(got, expected)
    if not (expected.sum(1) < 2).any():
        np.random.seed(seed)
        wanted = _sample_negative_indices((4, 40), 7, expected)
        np.random.seed(seed)
        assert np.array_equal(speech.sample_negatives((4, 40), 7, expected), wanted)


def test_spans_that_cannot_be() -> None:
    with pytest.raises(formers.InputError, match="mask_length=9"):
        speech.mask_spans((1, 8), 0.5, 9)
    with pytest.raises(formers.InputError, match="1 masked frames"):
        speech.sample_negatives((1, 8), 3, np.eye(8)[:1])


def silent_dropout(*models: Any) -> None:
    from images.test_towers import no_dropping

    no_dropping(*models)


@pytest.mark.parametrize("family", WAVES)
@pytest.mark.parametrize("masked", [False, True])
def test_training_hides_the_same(family: str, masked: bool) -> None:
    changes = {
        **LAYER, "apply_spec_augment": True, "mask_time_prob": 0.4, "mask_time_length": 3,
        "mask_feature_prob": 0.3, "mask_feature_length": 4, "mask_feature_min_masks": 0,
    }  # fmt: skip
    theirs, ours = pair(family, "ctc", **changes)
    silent_dropout(theirs, ours)
    inputs: dict[str, Any] = padded() if masked else {"input_values": waves(4)}
    labels = torch.tensor([[1, 2, 3], [4, -100, -100], [1, 1, -100], [2, -100, -100]])
    found = []
    for model in (theirs.train(), ours.train()):
        np.random.seed(5)
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        found.append((loss, model.get_parameter(f"{ours.base_model_prefix}.masked_spec_embed").grad))
    assert difference(found[1][0], found[0][0]) < 1e-5 and difference(found[1][1], found[0][1]) < 1e-5


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_hidden_frames(norm: str) -> None:
    changes = {**(LAYER if norm == "layer" else {}), "apply_spec_augment": True}
    theirs, ours = pair("wav2vec2", "base", **changes)
    hidden = torch.rand(4, 19, generator=torch.Generator().manual_seed(0)) < 0.4
    inputs = padded()
    with torch.no_grad():
        got, expected = (m(**inputs, mask_time_indices=hidden)[0] for m in (ours, theirs))
    assert difference(real(ours, inputs, "last", got), real(ours, inputs, "last", expected)) < 1e-5
    with pytest.raises(formers.InputError, match="mask_time_indices has shape"):
        ours(**inputs, mask_time_indices=hidden[:, :4])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_pretraining_with_padding(mode: str) -> None:
    theirs, ours = pair("wav2vec2", "pretraining", apply_spec_augment=True, **LAYER)
    silent_dropout(theirs, ours)
    inputs: dict[str, Any] = padded((400, 300, 350))
    frames = ours._get_feat_extract_output_lengths(inputs["attention_mask"].sum(1))
    np.random.seed(0)
    hidden = speech.mask_spans((3, 19), 0.5, 2, frames.tolist(), 2)
    others = speech.sample_negatives((3, 19), 6, hidden)
    inputs |= {"mask_time_indices": torch.from_numpy(hidden), "sampled_negative_indices": torch.from_numpy(others)}
    found = []
    for model in (theirs, ours):
        getattr(model, mode)()
        torch.manual_seed(0)
        output = model(**inputs)
        output.loss.backward()
        found.append((output, model.get_parameter("quantizer.codevectors").grad, model.project_hid.weight.grad))
    for name in ("loss", "contrastive_loss", "diversity_loss", "codevector_perplexity"):
        assert difference(found[1][0][name], found[0][0][name]) < 1e-5, name
    for got, expected in zip(found[1][1:], found[0][1:], strict=True):
        assert difference(got, expected) < 1e-5
    ours.set_gumbel_temperature(1.5)
    assert ours.quantizer.temperature == 1.5


def test_layers_are_left_out_and_computed_again_in_training() -> None:
    _, ours = pair("wav2vec2", "ctc", layerdrop=1.0)
    inputs = {"input_values": waves()}
    silent_dropout(ours)
    states = ours.train()(**inputs, output_hidden_states=True).hidden_states
    assert len(states) == 1
    _, ours = pair("wav2vec2", "ctc")
    silent_dropout(ours)
    found = []
    for again in (False, True):
        if again:
            ours.gradient_checkpointing_enable()
        ours.zero_grad()
        ours.train()(**inputs, labels=torch.tensor([[1], [2]])).loss.backward()
        found.append(ours.wav2vec2.feature_extractor.conv_layers[0].conv.weight.grad.clone())
    assert torch.allclose(*found, atol=1e-6)


def test_freezing() -> None:
    _, ours = pair("wav2vec2", "ctc")
    ours.freeze_feature_extractor()
    ours(waves(), labels=torch.tensor([[1], [2]])).loss.backward()
    assert ours.wav2vec2.feature_extractor.conv_layers[0].conv.weight.grad is None
    assert ours.wav2vec2.feature_projection.projection.weight.grad is not None
    ours.freeze_base_model()
    assert {n for n, p in ours.named_parameters() if p.requires_grad} == {"lm_head.weight", "lm_head.bias"}


# ---- files


def test_both_spellings_of_the_norm_of_weights(tmp_path: Path) -> None:
    theirs, ours = pair("wav2vec2", "ctc")
    ours.save_pretrained(tmp_path / "old")
    names = load_file(tmp_path / "old" / "model.safetensors")
    assert {n for n in names if "pos_conv_embed" in n} == {
        f"wav2vec2.encoder.pos_conv_embed.conv.{end}" for end in ("bias", "weight_g", "weight_v")
    }
    theirs.save_pretrained(tmp_path / "new")
    assert any("parametrizations" in n for n in load_file(tmp_path / "new" / "model.safetensors"))
    inputs = {"input_values": waves()}
    with torch.no_grad():
        expected = ours(**inputs).logits
        for folder in ("old", "new"):
            for kind in (type(ours), type(theirs)):
                assert difference(kind.from_pretrained(tmp_path / folder).eval()(**inputs).logits, expected) < 1e-5
        fresh = type(ours)(ours.config).eval()
        fresh.load_state_dict(theirs.state_dict())
        assert difference(fresh(**inputs).logits, expected) < 1e-5
    body, report = formers.Wav2Vec2Model.from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not report["missing_keys"]
    body.save_pretrained(tmp_path / "body")
    assert sorted(type(ours).from_pretrained(tmp_path / "body", output_loading_info=True)[1]["missing_keys"]) == [
        "lm_head.bias", "lm_head.weight",
    ]  # fmt: skip


def languages(folder: Path) -> tuple[Any, Any]:
    """The reference's model, and ours, of layers of languages, with files of two in the folder."""
    theirs, ours = pair("wav2vec2", "ctc", adapter_attn_dim=6, **LAYER)
    theirs.save_pretrained(folder)
    for language, words in (("fra", 11), ("deu", 14)):
        torch.manual_seed(words)
        weights = {name: torch.randn(x.shape) * 0.2 for name, x in theirs._get_adapters().items()}
        weights |= {"lm_head.weight": torch.randn(words, 32), "lm_head.bias": torch.randn(words)}
        save_file(weights, folder / f"adapter.{language}.safetensors")
    return theirs, ours


def test_languages(tmp_path: Path) -> None:
    theirs, _ = languages(tmp_path)
    inputs = {"input_values": waves()}
    kind = registry.load("wav2vec2").HEADS["ctc"]
    ours = kind.from_pretrained(tmp_path)
    assert {*ours._get_adapters()} == {*theirs._get_adapters()}
    theirs.config._name_or_path = str(tmp_path)
    for language in ("fra", "deu"):
        theirs.load_adapter(language)
        ours.load_adapter(language)
        with torch.no_grad():
            assert difference(ours(**inputs).logits, theirs(**inputs).logits) < 1e-5
        at_once = kind.from_pretrained(tmp_path, target_lang=language, ignore_mismatched_sizes=True)
        with torch.no_grad():
            assert torch.equal(at_once(**inputs).logits, ours(**inputs).logits)
    assert ours.config.vocab_size == 14 and ours.target_lang == "deu"
    with pytest.raises(formers.NotFoundError, match=r"adapter\.ita\.safetensors"):
        ours.load_adapter("ita")
    save_file({"lm_head.weight": torch.zeros(3, 32)}, tmp_path / "adapter.bad.safetensors")
    with pytest.raises(formers.CheckpointError, match="is missing"):
        ours.load_adapter("bad")
    with pytest.raises(formers.FormersError, match="no layers of languages"):
        kind(config_of("wav2vec2", "ctc"), target_lang="fra")
    ours.init_adapter_layers()
    ours.save_pretrained(tmp_path / "without")
    (tmp_path / "without" / "config.json").write_text(
        (tmp_path / "without" / "config.json").read_text().replace('"adapter_attn_dim": 6', '"adapter_attn_dim": 7')
    )
    names = load_file(tmp_path / "without" / "model.safetensors")
    save_file({n: x for n, x in names.items() if "adapter_layer" not in n}, tmp_path / "without" / "model.safetensors")
    _, report = kind.from_pretrained(
        tmp_path / "without", output_loading_info=True
    )  # layers of a language to be taught
    assert all("adapter_layer" in name for name in report["missing_keys"]) and report["missing_keys"]
    assert json.loads((tmp_path / "config.json").read_text())["adapter_attn_dim"] == 6
