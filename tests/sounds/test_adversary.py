"""What users try with sounds: what is asked for is done, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import redraw
from speech_tokenizers import whisper_folder

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
