"""Processors of sounds and texts: which part gets what, their files, and the Auto classes that find them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_tokenizers
import torch
import transformers

from formers import (
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoProcessor,
    BertConfig,
    PreTrainedTokenizerFast,
    WhisperConfig,
    classes,
)
from formers.errors import ArgumentError, ConfigError, FormersError, InputError, NotFoundError
from formers.processing import SequenceFeatureExtractor, SoundProcessorMixin
from formers.processing.of_sound import ClapFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

RATE = 16_000
WAVES = [(0.1 * np.random.default_rng(0).standard_normal(n)).astype(np.float32) for n in (900, 1601)]
TEXTS = ["the stop", "the"]
CALL: dict[str, Any] = {"sampling_rate": RATE, "padding": True, "return_tensors": "pt"}


class Both(SoundProcessorMixin):
    """Texts are labels."""

    feature_extractor_class = Wav2Vec2FeatureExtractor
    tokenizer_class = PreTrainedTokenizerFast


class Beside(Both):
    """Texts are inputs."""

    text_alone = True


def made(kind: type[Both] = Both, **settings: Any) -> Any:
    tokenizer = small_tokenizers.tokenizer("words", unk_token="[UNK]", pad_token="[UNK]")
    return kind(Wav2Vec2FeatureExtractor(**settings), tokenizer)


def same(found: Any, expected: Any) -> None:
    assert list(found) == list(expected)
    for name in expected:
        assert torch.equal(torch.as_tensor(found[name]), torch.as_tensor(expected[name])), name


def test_calls() -> None:
    both = made()
    heard, words = both.feature_extractor(WAVES, **CALL), both.tokenizer(TEXTS, padding=True, return_tensors="pt")
    for call in (
        both(WAVES, **CALL), both(audio=WAVES, **CALL), both(raw_speech=WAVES, **CALL), both(audios=WAVES, **CALL),
        both(WAVES, None, **CALL), both(WAVES, audio=None, **CALL),
    ):  # fmt: skip
        same(call, heard)
    for call in (
        both(text=TEXTS, padding=True, return_tensors="pt"),
        both(None, TEXTS, **CALL),
        both(text=TEXTS, **CALL),
    ):
        same(call, words)
    for call in (both(WAVES, TEXTS, **CALL), both(audio=WAVES, text=TEXTS, **CALL), both(WAVES, text=TEXTS, **CALL)):
        same(call, {**heard, "labels": words["input_ids"]})
    beside = made(Beside)
    same(beside(WAVES, TEXTS, **CALL), {**heard, **words})
    assert both.model_input_names == ["input_values", "attention_mask", "labels"]
    assert beside.model_input_names == ["input_values", "attention_mask", "input_ids", "token_type_ids"]
    assert (both.decode([1, 2]), both.batch_decode([[1], [2]])) == ("the st", ["the", "st"])


def test_arguments_go_to_the_part_that_has_them() -> None:
    both = made()
    found = both(
        WAVES,
        TEXTS,
        audio_kwargs={"sampling_rate": RATE, "padding": True, "return_attention_mask": True},
        text_kwargs={"padding": "max_length", "max_length": 7},
        common_kwargs={"return_tensors": "pt"},
    )
    assert found["input_values"].shape == found["attention_mask"].shape == (2, 1601)
    assert found["labels"].shape == (2, 7)
    assert both(WAVES, TEXTS, **CALL, pad_to_multiple_of=8)["labels"].shape == (2, 8)
    assert both(WAVES, TEXTS, **CALL, pad_to_multiple_of=8)["input_values"].shape == (2, 1608)
    plain = both(WAVES[0], "the", sampling_rate=RATE, do_normalize=False, return_token_type_ids=False)
    assert np.array_equal(plain["input_values"][0], WAVES[0]) and plain["labels"] == [1]
    again = both(WAVES[0], sampling_rate=8000)["input_values"][0]
    left = both(WAVES, TEXTS, **CALL, padding_side="left")
    assert left["labels"].tolist() == [[1, 2, 3], [0, 0, 1]] and left["input_values"][0, 0] != 0, "of texts alone"
    assert again.shape == (1800,), "resampled"


BAD: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "needs audio=, text=, or both"),
    ((WAVES, "a", "b"), {}, "3 arguments without names"),
    ((WAVES,), {"audio": WAVES}, "got audio twice"),
    ((WAVES,), {"raw_speech": WAVES}, "got audio twice"),
    ((), {"audio": WAVES, "audios": WAVES}, "got audio twice"),
    ((WAVES, "the"), {"text": "stop"}, "got text twice"),
    ((WAVES,), {"smapling_rate": RATE}, "no argument 'smapling_rate'. Did you mean 'sampling_rate'\\?"),
    ((WAVES, "the"), {"smapling_rate": RATE}, "smapling_rate"),
    ((), {"text": "the", "paddin": True}, "Did you mean 'padding'"),
    ((WAVES,), {"audio_kwargs": {"do_normalise": True}}, "Did you mean 'do_normalize'"),
    ((WAVES,), {"audio_kwargs": 3}, "audio_kwargs is a dictionary of arguments, got int"),
    ((WAVES,), {"sampling_rate": RATE, "return_tensors": "pt"}, "of 2 sizes, 900, 1601.*padding=True"),
]


@pytest.mark.parametrize(("inputs", "call", "message"), BAD, ids=[message for *_, message in BAD])
def test_calls_that_are_refused(inputs: tuple[Any, ...], call: dict[str, Any], message: str) -> None:
    with pytest.raises((ArgumentError, InputError), match=message):
        made()(*inputs, **call)


def test_parts_that_are_none() -> None:
    both = made()
    for parts in ((), (both.tokenizer, both.feature_extractor), (both.feature_extractor,), (None, both.tokenizer)):
        with pytest.raises(ArgumentError, match=r"Both\(feature_extractor, tokenizer\) needs a "):
            Both(*parts)
    with pytest.raises(AttributeError, match="Did you mean 'feature_extractor'"):
        both.feature_extracto  # noqa: B018
    assert repr(both).startswith("Both:\n- feature_extractor: Wav2Vec2FeatureExtractor {")
    assert SoundProcessorMixin(feature_extractor=both.feature_extractor, tokenizer=both.tokenizer)
    assert Both(both.feature_extractor, both.tokenizer, chat_template="x").tokenizer.chat_template == "x"


def test_as_target_processor() -> None:
    both = made()
    assert both.current_processor is both.feature_extractor
    with contextlib.suppress(ZeroDivisionError), both.as_target_processor():
        assert both.current_processor is both.tokenizer
        same(both(TEXTS, padding=True, return_tensors="pt"), both.tokenizer(TEXTS, padding=True, return_tensors="pt"))
        assert both(text="the")["input_ids"] == [1]
        assert both.pad({"input_ids": [[1, 2], [1]]}, return_tensors="pt")["input_ids"].tolist() == [[1, 2], [1, 0]]
        raise ZeroDivisionError
    assert both.current_processor is both.feature_extractor, "after an error too"


def test_pad() -> None:
    both = made(return_attention_mask=True)
    rows = [{"input_values": wave} for wave in WAVES]
    labels = [{"input_ids": [1, 2]}, {"input_ids": [1]}]
    heard = both.feature_extractor.pad(rows, return_tensors="pt")
    for features in (rows, {"input_values": WAVES}):
        same(both.pad(features, return_tensors="pt"), heard)
    same(both.pad(input_features=rows, return_tensors="pt"), heard)
    same(both.pad(input_values=rows, return_tensors="pt"), heard)
    found = both.pad(rows, labels=labels, padding=True, return_tensors="pt")
    same(found, {**heard, "labels": torch.tensor([[1, 2], [1, 0]])})
    assert both.pad(labels=labels, padding=True, return_tensors="pt")["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert both.pad(rows, "max_length", 2000)["input_values"].shape == (2, 2000)
    with pytest.raises(ArgumentError, match="labels="):
        both.pad()
    with pytest.raises(ArgumentError, match="needs 'input_values'"):
        both.pad([{"input_features": WAVES[0]}])


# ---- files


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    written = made(do_normalize=False, padding_value=0.5).save_pretrained(tmp_path / "both")
    assert {Path(path).name for path in written} >= {
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer.json",
    }
    assert all(Path(path).is_file() for path in written)
    return tmp_path / "both"


def test_files(saved: Path) -> None:
    both, back = made(do_normalize=False, padding_value=0.5), Both.from_pretrained(saved)
    assert type(back) is Both and back.feature_extractor.to_dict() == both.feature_extractor.to_dict()
    same(back(WAVES, TEXTS, **CALL), both(WAVES, TEXTS, **CALL))
    assert Both.from_pretrained(saved, do_normalize=True, use_fast=True).feature_extractor.do_normalize
    for name in ("preprocessor_config.json", "processor_config.json"):
        assert json.loads((saved / name).read_text())["processor_class"] == "Both"
    theirs = transformers.Wav2Vec2FeatureExtractor.from_pretrained(saved)
    expected = theirs(WAVES, sampling_rate=RATE, padding=True, return_tensors="pt")["input_values"]
    assert torch.equal(expected, both(WAVES, **CALL)["input_values"])
    assert transformers.AutoTokenizer.from_pretrained(saved)(TEXTS)["input_ids"] == both(text=TEXTS)["input_ids"]
    assert both.to_dict() == {"feature_extractor": both.feature_extractor.to_dict(), "processor_class": "Both"}


def test_files_of_5_and_of_other_extractors(saved: Path) -> None:
    """Settings within processor_config.json, and the extractor that they name before the class's own."""
    expected = Both.from_pretrained(saved).feature_extractor.to_dict()
    inner = json.loads((saved / "preprocessor_config.json").read_text())
    (saved / "preprocessor_config.json").unlink()
    (saved / "processor_config.json").write_text(json.dumps({"feature_extractor": inner, "processor_class": "Both"}))
    assert Both.from_pretrained(saved).feature_extractor.to_dict() == expected
    other = ClapFeatureExtractor(sampling_rate=8000).to_dict()
    (saved / "processor_config.json").write_text(json.dumps({"feature_extractor": other}))
    assert type(Both.from_pretrained(saved).feature_extractor) is ClapFeatureExtractor
    (saved / "processor_config.json").write_text(json.dumps({"processor_class": "Both"}))
    with pytest.raises(FormersError, match="has no settings of sound"):
        Both.from_pretrained(saved)
    with pytest.raises(NotFoundError):
        Both.from_pretrained(saved / "nowhere")


# ---- the Auto classes


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(classes, "processors", {})
    return


def folder(place: Path, values: Any, config: Any = None, name: str = "preprocessor_config.json") -> Path:
    place.mkdir(exist_ok=True)
    (place / name).write_text(json.dumps(values))
    if config is not None:
        (place / "config.json").write_text(json.dumps(config))
    return place


WHISPER = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 40, "sampling_rate": RATE}


def test_the_class_that_a_file_names(tmp_path: Path) -> None:
    place = folder(tmp_path / "a", WHISPER, {"model_type": "wav2vec2"})
    within = folder(tmp_path / "b", {"feature_extractor": WHISPER}, name="processor_config.json")
    for where in (place, place / "preprocessor_config.json", within, within / "processor_config.json"):
        found = AutoFeatureExtractor.from_pretrained(where, chunk_length=3, use_fast=True, trust_remote_code=True)
        assert type(found) is WhisperFeatureExtractor and (found.feature_size, found.n_samples) == (40, 48_000)
    for where in (place, within):
        (where / "config.json").write_text('{"model_type": "audio-spectrogram-transformer"}')
        assert type(AutoProcessor.from_pretrained(where)) is WhisperFeatureExtractor
    theirs = transformers.AutoFeatureExtractor.from_pretrained(place)
    assert json.loads(theirs.to_json_string()) == AutoFeatureExtractor.from_pretrained(place).to_dict()


def test_the_class_of_the_family(tmp_path: Path) -> None:
    nameless = {"feature_size": 80, "sampling_rate": RATE}
    place = folder(tmp_path / "a", nameless)
    with pytest.raises(ConfigError, match=r"names no class, and its model_type .* These have one: .*whisper"):
        AutoFeatureExtractor.from_pretrained(place)
    assert type(AutoFeatureExtractor.from_pretrained(place, config=WhisperConfig())) is WhisperFeatureExtractor
    folder(place, nameless, {"model_type": "whisper"})
    assert type(AutoFeatureExtractor.from_pretrained(place)) is WhisperFeatureExtractor


def test_names_that_are_nothing(tmp_path: Path) -> None:
    place = folder(tmp_path / "a", {**WHISPER, "feature_extractor_type": "WisperFeatureExtractor"})
    with pytest.raises(
        ConfigError, match=r"WisperFeatureExtractor, which is not here.* mean 'WhisperFeatureExtractor'"
    ) as e:
        AutoFeatureExtractor.from_pretrained(place)
    assert str(e.value).partition("These")[0].count("'Wav2Vec2FeatureExtractor'") <= 1
    with pytest.raises(ConfigError, match="of sound: AutoFeatureExtractor reads it"):
        AutoImageProcessor.from_pretrained(place)
    folder(place, {**WHISPER, "processor_class": "WisperProcessor"})
    with pytest.raises(ConfigError, match=r"WisperProcessor, which is not here.* mean 'WhisperProcessor'"):
        AutoProcessor.from_pretrained(place)
    with pytest.raises(ArgumentError, match="chunk_length"):
        AutoFeatureExtractor.from_pretrained(place, chunk_lenth=3)
    found, unused = AutoFeatureExtractor.from_pretrained(place, chunk_lenth=3, return_unused_kwargs=True)
    assert type(found) is WhisperFeatureExtractor and unused == {"chunk_lenth": 3}
    for content in ("[]", "{"):
        (place / "preprocessor_config.json").write_text(content)
        with pytest.raises(ConfigError, match="preprocessor_config"):
            AutoFeatureExtractor.from_pretrained(place)
    (place / "preprocessor_config.json").unlink()
    with pytest.raises(NotFoundError, match="preprocessor_config"):
        AutoFeatureExtractor.from_pretrained(place)
    for auto in (AutoFeatureExtractor, AutoProcessor):
        with pytest.raises(ArgumentError, match="is not made directly"):
            auto()


class Loud(Wav2Vec2FeatureExtractor):
    """A program's own."""

    gain: float = 2.0


def test_registering(tmp_path: Path) -> None:
    AutoFeatureExtractor.register(BertConfig, Loud)
    named = folder(tmp_path / "a", {"feature_extractor_type": "Loud", "sampling_rate": RATE, "gain": 3.0})
    by_type = folder(tmp_path / "b", {"sampling_rate": RATE}, {"model_type": "bert"})
    for place, gain in ((named, 3.0), (by_type, 2.0)):
        found = AutoFeatureExtractor.from_pretrained(place)
        assert type(found) is Loud and found.gain == gain
    with pytest.raises(ArgumentError, match="exist_ok"):
        AutoFeatureExtractor.register(BertConfig, Wav2Vec2FeatureExtractor)
    AutoFeatureExtractor.register(BertConfig, Wav2Vec2FeatureExtractor, exist_ok=True)
    assert type(AutoFeatureExtractor.from_pretrained(by_type)) is Wav2Vec2FeatureExtractor
    for nothing in (Both, "Loud", None):
        with pytest.raises(ArgumentError, match="takes a class made from"):
            AutoFeatureExtractor.register(BertConfig, nothing)  # type: ignore[arg-type]
        if nothing is not Both:
            with pytest.raises(ArgumentError, match="takes a class made from"):
                AutoProcessor.register(BertConfig, nothing)  # type: ignore[arg-type]


def test_registering_a_processor(saved: Path) -> None:
    with pytest.raises(ConfigError, match="prepared by Both, which is not here"):
        AutoProcessor.from_pretrained(saved)
    AutoProcessor.register(BertConfig, Both)
    found = AutoProcessor.from_pretrained(saved, do_normalize=True)
    assert type(found) is Both and found.feature_extractor.do_normalize
    for name in ("preprocessor_config.json", "processor_config.json", "tokenizer_config.json"):
        values = json.loads((saved / name).read_text())
        folder(saved, {key: value for key, value in values.items() if key != "processor_class"}, name=name)
    (saved / "config.json").write_text('{"model_type": "bert"}')
    assert type(AutoProcessor.from_pretrained(saved)) is Both
    assert isinstance(found.feature_extractor, SequenceFeatureExtractor)
