"""CLAP beside the reference: padding, vectors of one side, long sounds among short ones, and what it cannot read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from families import difference
from images.towers import batch, config_of, pair

from formers import (
    AutoProcessor,
    ClapAudioConfig,
    ClapAudioModel,
    ClapConfig,
    ClapModel,
    ClapProcessor,
    ClapTextConfig,
    registry,
)
from formers.errors import ConfigError, InputError, NotTensorError


@pytest.fixture(scope="module")
def both() -> tuple[Any, Any]:
    return pair("clap", "base")


def texts() -> dict[str, torch.Tensor]:
    ids = torch.randint(4, 99, (3, 9), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    for row, length in ((1, 5), (2, 2)):
        ids[row, length:], mask[row, length:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


def test_padded_texts(both: tuple[Any, Any]) -> None:
    theirs, ours = both
    with torch.no_grad():
        got, expected = (model.get_text_features(**texts()) for model in (ours, theirs))
    assert difference(got, expected.pooler_output) < 1e-5
    assert torch.allclose(got.norm(dim=-1), torch.ones(3))
    assert type(got.pooler_output) is torch.Tensor and got.pooler_output.shape == (3, 20)


@pytest.mark.parametrize("longer", [[0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 1]])
def test_long_sounds_among_short_ones(both: tuple[Any, Any], longer: list[int]) -> None:
    theirs, ours = both
    given = batch(ours, "base")["input_features"]
    with torch.no_grad():
        got, expected = (
            model.get_audio_features(given, is_longer=torch.tensor(longer)[:, None]) for model in (ours, theirs)
        )
    assert difference(got, expected.pooler_output) < 1e-5
    assert difference(got.last_hidden_state, expected.last_hidden_state) < 1e-5


@pytest.mark.parametrize("frames", [1, 17, 40, 63, 64])
def test_sounds_of_any_length(both: tuple[Any, Any], frames: int) -> None:
    theirs, ours = both
    given = {"input_features": torch.randn(2, 4, frames, 16), "is_longer": torch.tensor([[True], [False]])}
    with torch.no_grad():
        got, expected = (model.get_audio_features(**given) for model in (ours, theirs))
    assert difference(got, expected.pooler_output) < 1e-5


def test_both_configurations_as_one() -> None:
    text, audio = ClapTextConfig(hidden_size=24), ClapAudioConfig(num_mel_bins=32)
    config = ClapConfig.from_text_audio_configs(text, audio, projection_dim=7)
    assert config.text_config.hidden_size == 24 and config.audio_config.num_mel_bins == 32
    assert config.text_config.projection_dim == config.audio_config.projection_dim == 7
    assert text.projection_dim == 512  # copied
    assert config.num_hidden_layers == 16


def audio(**changes: Any) -> ClapAudioConfig:
    found: ClapAudioConfig = config_of("clap", "audio", **changes)
    return found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec_size": 40}, "no multiple of num_mel_bins"),
        ({"depths": [2, 2, 2]}, "for every stage"),
        ({"depths": [1] * 4, "num_attention_heads": [2] * 4}, "too small"),
        ({"fusion_type": "channel_map"}, "cannot be run"),
        ({"flatten_patch_embeds": False}, "cannot be run"),
    ],
)
def test_configurations_that_make_no_model(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClapAudioModel(audio(**changes))


def test_a_projection_that_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="last of the stages is 16 wide"):
        ClapModel(ClapConfig(text_config=config_of("clap", "text").to_dict(), audio_config=audio(hidden_size=64)))


GOOD = torch.zeros(2, 4, 50, 16)
LONGER = torch.tensor([[True], [False]])
BAD: list[tuple[Any, Any, type[Exception], str]] = [
    (None, LONGER, InputError, "reads input_features"),
    ([1.0], LONGER, NotTensorError, "is a list"),
    (GOOD[0], LONGER, InputError, r"input_features\[None\]"),
    (GOOD[:, :1], LONGER, InputError, 'truncation="fusion"'),
    (torch.zeros(2, 4, 50, 17), LONGER, InputError, "16 bands"),
    (torch.zeros(2, 4, 65, 16), LONGER, InputError, "at most 64 frames"),
    (torch.zeros(2, 4, 0, 16), LONGER, InputError, "nothing in it"),
    (GOOD.long(), LONGER, InputError, "floating"),
    (GOOD.log().neg(), LONGER, InputError, "NaN or infinite"),
    (GOOD, None, InputError, "is_longer"),
    (GOOD, [True, False], NotTensorError, "is_longer is a list"),
    (GOOD, LONGER[:1], InputError, "is_longer has shape"),
]


@pytest.mark.parametrize(("features", "longer", "kind", "message"), BAD, ids=[message for *_, message in BAD])
def test_bad_input(both: tuple[Any, Any], features: Any, longer: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        both[1].get_audio_features(features, is_longer=longer)


def test_pairs_that_are_none(both: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match="3 texts and 2 sounds"):
        both[1](**texts(), input_features=GOOD, is_longer=LONGER, return_loss=True)


@pytest.mark.parametrize("head", ["base", "audio", "text"])
@pytest.mark.parametrize(("mode", "most"), [("float32", 1e-5), ("int8", 0.2)])
def test_optimized(head: str, mode: str, most: float) -> None:
    _, ours = pair("clap", head)
    given = batch(ours, head, labels=False)
    with torch.inference_mode():
        expected = ours(**given)[0]
        ours.optimize(mode)
        assert ours.optimized is not None and ours.optimized.mode == mode
        assert difference(ours(**given)[0], expected) < most


def test_its_processor(tmp_path: Path) -> None:
    words = ["<s>", "<pad>", "</s>", "<unk>", *map(chr, range(ord("a"), ord("z") + 1)), "Ġ", "<mask>"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.RobertaTokenizer.from_pretrained(tmp_path)
    theirs = transformers.ClapProcessor(transformers.ClapFeatureExtractor(truncation="rand_trunc"), tokenizer)
    theirs.save_pretrained(tmp_path)
    ours = AutoProcessor.from_pretrained(tmp_path)
    ours.save_pretrained(tmp_path / "again")
    again = transformers.ClapProcessor.from_pretrained(tmp_path / "again")
    assert isinstance(ours, ClapProcessor)
    sound = np.random.default_rng(0).standard_normal(48_000).astype(np.float32) / 9
    asked: dict[str, Any] = {"sampling_rate": 48_000, "return_tensors": "pt", "padding": True}
    expected = theirs(text=["a dog", "rain falls"], audio=sound, **asked)
    for got in (
        ours(text=["a dog", "rain falls"], audio=sound, **asked),
        again(text=["a dog", "rain falls"], audio=sound, **asked),
    ):
        assert {*got} == {*expected} == {"input_ids", "attention_mask", "input_features", "is_longer"}
        for name in got:
            assert got[name].shape == expected[name].shape
            assert difference(got[name].float(), expected[name].float()) < 1e-5
    heard, read = ours(audio=sound, sampling_rate=48_000), ours(text="rain")
    assert {*heard} == {"input_features", "is_longer"} and {*read} == {"input_ids", "attention_mask"}


def test_parts_of_a_whole_file(both: tuple[Any, Any], tmp_path: Path) -> None:
    _, ours = both
    ours.save_pretrained(tmp_path)
    given = batch(ours, "base", labels=False)
    sounds = {name: given.pop(name) for name in ("input_features", "is_longer")}
    heads: Any = registry.load("clap").HEADS
    with torch.no_grad():
        whole = ours(**sounds, **given)
        for name, inputs in (("audio", sounds), ("text", given)):
            kind, projected = heads[name], heads[f"{name}-projection"]
            part, report = kind.from_pretrained(tmp_path, output_loading_info=True)
            assert not report["missing_keys"]
            assert torch.equal(part(**inputs).pooler_output, whole[f"{name}_model_output"].pooler_output)
            vectors = torch.nn.functional.normalize(projected.from_pretrained(tmp_path)(**inputs)[0], dim=-1)
            assert torch.allclose(vectors, whole[f"{name}_embeds"], atol=1e-6)
