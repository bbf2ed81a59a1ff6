"""Processors of speech beside the reference: calls of 4.20 and of 5, padding, decoding with words likely, files."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import speech_tokenizers as speech
import torch
import transformers

from formers.errors import ArgumentError, CheckpointError, FormersError, InputError, MissingNameError
from formers.processing.of_sound import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from formers.processing.spoken import Wav2Vec2Processor, Wav2Vec2ProcessorWithLM, WhisperProcessor
from formers.tokenization.ctc import Wav2Vec2CTCTokenizer

DRAW = np.random.default_rng(0)
SOUND = (0.1 * DRAW.standard_normal(16_000)).astype(np.float32)
SOUNDS = [SOUND, SOUND[:9000]]
TEXTS = ["THE STOP", "A"]


def whisper(folder: Path) -> Path:
    WhisperFeatureExtractor(chunk_length=2).save_pretrained(folder)
    return speech.whisper(folder)


def wav2vec2(folder: Path) -> Path:
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return speech.ctc(folder)


@pytest.fixture(params=[(whisper, "WhisperProcessor"), (wav2vec2, "Wav2Vec2Processor")], ids=lambda of: of[1])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any]:
    make, name = request.param
    folder = make(tmp_path)
    ours = {"WhisperProcessor": WhisperProcessor, "Wav2Vec2Processor": Wav2Vec2Processor}[name]
    return ours.from_pretrained(folder), getattr(transformers, name).from_pretrained(folder)


def same(made: Any, expected: Any) -> None:
    assert set(made) == set(expected)
    for name in expected:
        if isinstance(expected[name], torch.Tensor):
            assert made[name].dtype == expected[name].dtype or name == "attention_mask"
            torch.testing.assert_close(made[name], expected[name], atol=1e-5, rtol=1e-5, check_dtype=False)
        else:
            for one, other in zip(made[name], expected[name], strict=True):
                np.testing.assert_allclose(np.array(one), np.array(other), atol=1e-5)


CALLS: list[Any] = [
    lambda p: p(SOUND, sampling_rate=16_000, return_tensors="pt"),
    lambda p: p(SOUNDS, sampling_rate=16_000, padding=True, return_tensors="pt"),
    lambda p: p(audio=SOUNDS, sampling_rate=16_000, padding="longest", return_tensors="pt"),
    lambda p: p(audio=SOUND, text="THE", sampling_rate=16_000),
    lambda p: p(audio=SOUNDS, text=TEXTS, sampling_rate=16_000, padding=True, return_tensors="pt"),
    lambda p: p(text="THE STOP"),
    lambda p: p(text=TEXTS, padding=True, return_tensors="pt"),
    lambda p: p(text=TEXTS, padding="max_length", max_length=20, truncation=True, return_tensors="pt"),
    lambda p: p.tokenizer("THE"),
    lambda p: p.feature_extractor(SOUND, sampling_rate=16_000),
]


@pytest.mark.parametrize("call", CALLS)
def test_calls(both: tuple[Any, Any], call: Any) -> None:
    ours, theirs = both
    same(call(ours), call(theirs))


def test_facts(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    names = theirs.model_input_names
    assert set(ours.model_input_names) - {"labels"} <= {*names, "attention_mask"}
    assert ours.model_input_names[0] == names[0]
    ids = ours.tokenizer("THE STOP")["input_ids"]
    for options in ({}, {"skip_special_tokens": True}):
        assert ours.decode(ids, **options) == theirs.decode(ids, **options)
        assert ours.batch_decode([ids, ids], **options) == theirs.batch_decode([ids, ids], **options)


def test_targets_of_older_code(both: tuple[Any, Any]) -> None:
    ours, _ = both
    with ours.as_target_processor():
        assert ours.current_processor is ours.tokenizer
        assert ours("THE STOP")["input_ids"] == ours.tokenizer("THE STOP")["input_ids"]
        padded = ours.pad([{"input_ids": [5, 6]}, {"input_ids": [7]}], padding=True, return_tensors="pt")
        assert padded["input_ids"].tolist() == [[5, 6], [7, ours.tokenizer.pad_token_id]]
    assert ours.current_processor is ours.feature_extractor
    assert ours.feature_extractor is not ours.tokenizer


def test_padding(tmp_path: Path) -> None:
    folder = wav2vec2(tmp_path)
    ours, theirs = (c.from_pretrained(folder) for c in (Wav2Vec2Processor, transformers.Wav2Vec2Processor))
    rows = [{"input_values": sound} for sound in SOUNDS]
    labels = [{"input_ids": [5, 6, 7]}, {"input_ids": [8]}]
    for call in (
        lambda p: p.pad(rows, padding=True, return_tensors="pt"),
        lambda p: p.pad(rows, True, 20_000, return_tensors="pt"),
        lambda p: p.pad(rows, labels=labels, padding=True, return_tensors="pt"),
        lambda p: p.pad(labels=labels, padding=True, return_tensors="pt"),
        lambda p: p.pad(input_features=rows, padding="max_length", max_length=20_000, return_tensors="np"),
    ):
        same(call(ours), call(theirs))
    with pytest.raises(ArgumentError, match="labels="):
        ours.pad()


def test_whisper_has_its_tokenizers_ways(tmp_path: Path) -> None:
    folder = whisper(tmp_path)
    ours, theirs = (c.from_pretrained(folder) for c in (WhisperProcessor, transformers.WhisperProcessor))
    for options in ({}, {"language": "fr", "task": "translate"}, {"language": "german", "no_timestamps": False}):
        assert ours.get_decoder_prompt_ids(**options) == theirs.get_decoder_prompt_ids(**options)
    assert ours.get_prompt_ids("stop").tolist() == theirs.get_prompt_ids("stop").tolist()
    begin = ours.tokenizer.timestamp_begin
    ids = [begin, 5, 6, begin + 50, begin + 50, 7, begin + 99]
    for options in ({"output_offsets": True}, {"decode_with_timestamps": True}, {"basic_normalize": True}):
        assert ours.batch_decode([ids], **options) == [theirs.decode(ids, **options)]


def test_files_both_ways(both: tuple[Any, Any], tmp_path: Path) -> None:
    ours, theirs = both
    for made, name in ((ours, "ours"), (theirs, "theirs")):
        made.save_pretrained(tmp_path / name)
        call = CALLS[4]
        same(call(type(ours).from_pretrained(tmp_path / name)), call(ours))
        same(call(type(theirs).from_pretrained(tmp_path / name)), call(theirs))


def test_a_misspelt_name_is_refused(both: tuple[Any, Any]) -> None:
    ours, _ = both
    with pytest.raises(ArgumentError, match="sampling_rate"):
        ours(SOUND, sampling_rat=16_000)
    with pytest.raises(FormersError, match="audio="):
        ours()
    ours(SOUND, sampling_rate=16_000, add_special_tokens=False, return_length=True)


# ---- with a language model


class Greedy:
    """What has a beam decoder's methods: the best token of each frame, and a second beam that says it backwards."""

    def __init__(self, labels: list[str]) -> None:
        self._alphabet = SimpleNamespace(labels=labels)
        self.calls: list[Any] = []

    def reset_params(self, **params: Any) -> None:
        self.calls.append(params)

    def decode_beams(self, logits: Any, **how: Any) -> list[Any]:
        self.calls.append(how)
        text = "".join(self._alphabet.labels[number] for number in logits.argmax(-1))
        words = [(word, (at, at + 1)) for at, word in enumerate(text.split())]
        return [(text, None, words, -1.0, -2.0), (text[::-1], None, words[::-1], -3.0, -4.0)]

    def decode_beams_batch(self, pool: Any, logits_list: Any, **how: Any) -> list[Any]:
        self.calls.append(pool)
        found = [self.decode_beams(logits, **how) for logits in logits_list]
        return [[(text, words, *scores) for text, _, words, *scores in beams] for beams in found]

    def save_to_dir(self, folder: str) -> None:
        Path(folder, "alphabet.json").write_text(json.dumps({"labels": self._alphabet.labels, "is_bpe": False}))


LABELS = ["", "<s>", "</s>", "⁇", " ", *speech.CHARACTERS]


def logits_of(*rows: list[int]) -> np.ndarray[Any, Any]:
    made = np.full((len(rows), max(map(len, rows)), len(LABELS)), -100.0, np.float32)
    for at, row in enumerate(rows):
        made[at, : len(row)] = -10.0
        made[at, np.arange(len(row)), row] = 0.0
    return made


@pytest.fixture
def beams(tmp_path: Path) -> Wav2Vec2ProcessorWithLM:
    plain = Wav2Vec2Processor.from_pretrained(wav2vec2(tmp_path))
    return Wav2Vec2ProcessorWithLM(plain.feature_extractor, plain.tokenizer, Greedy(LABELS))


def test_decoding_with_a_stand_in(beams: Wav2Vec2ProcessorWithLM) -> None:
    logits = logits_of([7, 4, 8, 9], [10, 11])
    one = beams.decode(logits[0], output_word_offsets=True, beam_width=5, alpha=0.1)
    assert (one.text, one.logit_score, one.lm_score, one[0]) == ("A ON", -1.0, -2.0, "A ON")
    offsets = [{"word": "A", "start_offset": 0, "end_offset": 1}, {"word": "ON", "start_offset": 1, "end_offset": 2}]
    assert one.word_offsets == offsets
    assert beams.decoder.calls[0]["alpha"] == 0.1
    assert beams.decoder.calls[1] == {"beam_width": 5}
    several = beams.batch_decode(torch.tensor(logits), num_processes=1, n_best=2)
    assert several.text == [["A ON", "NO A"], ["IH", "HI"]], "padding is left out"
    assert several.word_offsets is None
    assert set(several) == {"text", "logit_score", "lm_score"}
    for call, text in [
        (lambda: beams.decode(logits), "batch_decode"),
        (lambda: beams.decode(logits[0], n_best=0), "n_best"),
        (lambda: Wav2Vec2ProcessorWithLM(beams.feature_extractor, beams.tokenizer, 5), "decoder"),
        (lambda: Wav2Vec2ProcessorWithLM(beams.feature_extractor, beams.tokenizer, Greedy(LABELS[:-1])), "'Z'"),
    ]:
        with pytest.raises(FormersError, match=text):
            call()


def test_saving_with_a_stand_in(beams: Wav2Vec2ProcessorWithLM, tmp_path: Path) -> None:
    written = beams.save_pretrained(tmp_path / "saved")
    assert {Path(path).name for path in written} >= {"alphabet.json", "vocab.json", "preprocessor_config.json"}
    assert all(Path(path).is_file() for path in written)
    (tmp_path / "saved" / "language_model").mkdir()
    with pytest.raises(CheckpointError, match="language_model"):
        beams.save_pretrained(tmp_path / "saved")


@pytest.mark.skipif(find_spec("pyctcdecode") is not None, reason="pyctcdecode is installed")
def test_it_says_what_is_missing(beams: Wav2Vec2ProcessorWithLM, tmp_path: Path) -> None:
    beams.save_pretrained(tmp_path / "saved")
    with pytest.raises(MissingNameError, match="pip install pyctcdecode"):
        Wav2Vec2ProcessorWithLM.from_pretrained(tmp_path / "saved")


ARPA = """\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-1.0\t<unk>\t0
-1.0\t<s>\t-0.3
-1.0\t</s>\t0
-0.5\tTAN\t-0.2
-2.0\tTEN\t-0.2

\\2-grams:
-0.3\t<s> TAN
-0.4\tTAN </s>

\\end\\
"""


@pytest.mark.parametrize("kind", ["alone", "with a model"])
def test_decoding_by_pyctcdecode(tmp_path: Path, kind: str) -> None:
    package = pytest.importorskip("pyctcdecode")
    options: dict[str, Any] = {}
    if kind == "with a model":
        pytest.importorskip("kenlm")
        (tmp_path / "words.arpa").write_text(ARPA)
        options = {"kenlm_model_path": str(tmp_path / "words.arpa"), "alpha": 0.7}
    plain = Wav2Vec2Processor.from_pretrained(wav2vec2(tmp_path / "made"))
    theirs = transformers.Wav2Vec2Processor.from_pretrained(tmp_path / "made")
    decoder = package.build_ctcdecoder([*plain.tokenizer.encoder], **options)
    ours = Wav2Vec2ProcessorWithLM(plain.feature_extractor, plain.tokenizer, decoder)
    reference = transformers.Wav2Vec2ProcessorWithLM(theirs.feature_extractor, theirs.tokenizer, decoder)
    logits = np.random.default_rng(1).standard_normal((3, 20, len(LABELS))).astype(np.float32)
    logits[2, 12:] = -100.0
    for how in ({}, {"output_word_offsets": True, "beam_width": 20}, {"n_best": 3, "output_word_offsets": True}):
        found, expected = (p.decode(logits[0], **how) for p in (ours, reference))
        assert dict(found) == dict(expected)
        found, expected = (p.batch_decode(logits, **how) for p in (ours, reference))
        assert dict(found) == dict(expected)
    hot = {"hotwords": ["TEN"], "hotword_weight": 5.0, "alpha": 0.2, "beta": 0.3}
    assert dict(ours.decode(logits[1], **hot)) == dict(reference.decode(logits[1], **hot))
    ours.save_pretrained(tmp_path / "saved")
    again = Wav2Vec2ProcessorWithLM.from_pretrained(tmp_path / "saved")
    assert dict(again.decode(logits[0])) == dict(ours.decode(logits[0]))
    reference.save_pretrained(tmp_path / "theirs")
    again = Wav2Vec2ProcessorWithLM.from_pretrained(tmp_path / "theirs")
    assert dict(again.decode(logits[0])) == dict(ours.decode(logits[0]))
    if kind == "with a model":
        assert again.language_model.alpha == 0.2
        assert Wav2Vec2ProcessorWithLM.from_pretrained(tmp_path / "saved", alpha=0.9).language_model.alpha == 0.9
        read = transformers.Wav2Vec2ProcessorWithLM.from_pretrained(tmp_path / "saved")
        assert dict(read.decode(logits[0])) == dict(ours.decode(logits[0]))


def test_the_tokenizer_alone_is_no_processor(tmp_path: Path) -> None:
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(speech.ctc(tmp_path))
    with pytest.raises(ArgumentError, match="feature extractor"):
        Wav2Vec2Processor(tokenizer, tokenizer)
    with pytest.raises(InputError, match="empty"):
        Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer)([])


@pytest.mark.parametrize(
    "kind", ["WhisperProcessor", "Wav2Vec2Processor", "WhisperTokenizerFast", "Wav2Vec2CTCTokenizer"]
)
def test_auto_finds_them(tmp_path: Path, kind: str) -> None:
    import formers

    is_whisper = kind.startswith("Whisper")
    folder = (whisper if is_whisper else wav2vec2)(tmp_path)
    config = {"model_type": "whisper" if is_whisper else "wav2vec2"}
    (folder / "config.json").write_text(json.dumps(config))
    auto: Any = formers.AutoProcessor if kind.endswith("Processor") else formers.AutoTokenizer
    assert type(auto.from_pretrained(folder)) is getattr(formers, kind)
