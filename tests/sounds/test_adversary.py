"""What users try with sounds: what is asked for is done, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import speech_tokenizers
import torch
from families import redraw

import formers
from formers import errors
from formers.pipelines.recognizing import CTC, Piece, Take, pieces, strides
from formers.processing.hearing import open_sound

RATE = 16_000
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]


def wave(seconds: float, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(int(seconds * RATE)).astype(np.float32) * np.float32(0.1)


@pytest.fixture(scope="module")
def spelling(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The pipeline of a small model for CTC."""
    folder = tmp_path_factory.mktemp("ctc")
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(LETTERS)}))
    config: Any = formers.Wav2Vec2Config(
        vocab_size=len(LETTERS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
    )  # fmt: skip
    model: Any = formers.Wav2Vec2ForCTC(config)
    redraw(model)
    tokenizer: Any = formers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    return formers.AutomaticSpeechRecognitionPipeline(
        model=model.eval(), tokenizer=tokenizer, feature_extractor=formers.Wav2Vec2FeatureExtractor()
    )


@pytest.mark.parametrize("options", [{}, {"stride_length_s": (1, 0.3)}, {"stride_length_s": 0}])
def test_no_frame_is_lost_between_pieces(spelling: Any, options: dict[str, Any]) -> None:
    """Each piece has a frame less than its samples would fill: at a seam the next piece has it."""
    take = Take(open_sound(wave(20), RATE), RATE, {})
    take.read(60)
    how, align = CTC(spelling), spelling.model.config.inputs_to_logits_ratio
    sizes = strides({"chunk_length_s": 3, **options}, take, RATE, align)
    cut = [*pieces(take, sizes)]
    begin, starts = 0, []
    for piece in cut:  # which frame of the whole sound each row is
        kept = how._kept(torch.arange((len(piece.wave) - 400) // align + 1)[:, None], piece)[:, 0]
        starts += (kept + begin // align).tolist()
        begin += len(piece.wave) - piece.right - (sizes[1] if sizes else 0)
    if options.get("stride_length_s") == 0:  # nothing is heard twice: what lies across a seam is in neither piece
        assert sorted(set(starts)) == starts
    else:
        assert starts == list(range((20 * RATE - 400) // align + 1))


def test_the_end_of_a_stride(spelling: Any) -> None:
    kept = CTC(spelling)._kept(torch.arange(499)[:, None], Piece(wave(10), 16_000, 8_000))
    assert (int(kept[0]), int(kept[-1])) == (50, 474)


@pytest.mark.parametrize(
    ("stride", "message"),
    [((16_000, 8_000), "nothing"), ((-1, 0), "nothing"), (5, r"\(left, right\)"), ((1,), r"\(left, right\)")],
)
def test_strides_that_cannot_be(spelling: Any, stride: Any, message: str) -> None:
    with pytest.raises(errors.InputError, match=message):
        spelling({"raw": wave(1), "sampling_rate": RATE, "stride": stride})


def test_a_stride_is_not_left_out_silently(spelling: Any) -> None:
    with pytest.raises(errors.InputError, match="chunk_length_s"):
        spelling({"raw": wave(4), "sampling_rate": RATE, "stride": (160, 160)}, chunk_length_s=2)


def test_bytes_of_any_kind_are_one_sound(spelling: Any, tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", wave(1), RATE)
    data = (tmp_path / "a.wav").read_bytes()
    assert spelling(memoryview(data)) == spelling(data)


@pytest.mark.parametrize("kind", ["Wav2Vec2FeatureExtractor", "WhisperFeatureExtractor"])
def test_channels_are_no_batch(kind: str) -> None:
    """What soundfile reads of two channels, given to an extractor, would be as many sounds as it has samples."""
    with pytest.raises(errors.InputError, match=r"channels.*array\.mean\(1\)"):
        getattr(formers, kind)()(np.zeros((4000, 2), np.float32), sampling_rate=RATE)


@pytest.fixture(scope="module")
def dictating(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The pipeline of a small Whisper, whose tokens tell languages."""
    folder = speech_tokenizers.whisper(tmp_path_factory.mktemp("whisper"))
    tokenizer: Any = formers.WhisperTokenizer.from_pretrained(str(folder))
    number = tokenizer.convert_tokens_to_ids
    start, end = number("<|startoftranscript|>"), number("<|endoftext|>")
    config: Any = formers.WhisperConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_target_positions=40,
        decoder_start_token_id=start, bos_token_id=end, eos_token_id=end, pad_token_id=end, suppress_tokens=None,
        begin_suppress_tokens=None,
    )  # fmt: skip
    model: Any = formers.WhisperForConditionalGeneration(config)
    redraw(model)
    for name, value in {
        "is_multilingual": True, "max_new_tokens": 8, "no_timestamps_token_id": number("<|notimestamps|>"),
        "lang_to_id": {f"<|{code}|>": number(f"<|{code}|>") for code in ("en", "de", "fr")},
        "task_to_id": {task: number(f"<|{task}|>") for task in ("transcribe", "translate")},
    }.items():  # fmt: skip
        setattr(model.generation_config, name, value)
    return formers.AutomaticSpeechRecognitionPipeline(
        model=model.eval(), tokenizer=tokenizer, feature_extractor=formers.WhisperFeatureExtractor()
    )


def test_each_sound_has_its_language(dictating: Any) -> None:
    """Whatever their order by length, and whatever is silent among them."""
    sounds = [wave(2, 1), np.zeros(RATE, np.float32), wave(1, 2), wave(1.5, 3), wave(1, 4), wave(1, 5)]
    languages = ["en", "de", None, "fr", "de", "en"]
    alone = [dictating(s, language=own, return_language=True) for s, own in zip(sounds, languages, strict=True)]
    assert dictating(sounds, language=languages, return_language=True) == alone
    assert dictating(tuple(sounds), return_language=True, generate_kwargs={"language": languages}) == alone
    assert dictating(sounds[3], language=["fr"], return_language=True) == alone[3]
    with pytest.raises(errors.InputError, match="2 entries, and there are 6 sounds"):
        dictating(sounds, language=["en", "de"])


def test_forced_ids_of_a_call(dictating: Any) -> None:
    """As code of 4.23 says language and task."""
    features = dictating.feature_extractor(wave(2), sampling_rate=RATE, return_tensors="pt").input_features
    forced = dictating.tokenizer.get_decoder_prompt_ids(language="fr", task="translate")
    wanted = dictating.model.generate(features, language="fr", task="translate")
    assert torch.equal(dictating.model.generate(features, forced_decoder_ids=forced), wanted)
    called = dictating(wave(2), generate_kwargs={"forced_decoder_ids": forced})
    assert called == dictating(wave(2), language="fr", task="translate")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_ids": "Beckett"}, "get_prompt_ids"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": (0.0, "hot")}, "temperature"),
        ({"language": "frensh"}, "french"),
    ],
)
def test_what_cannot_be_dictated(dictating: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InputError, match=message):
        dictating(wave(1), **options)
