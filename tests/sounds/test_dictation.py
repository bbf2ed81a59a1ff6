"""What Whisper writes, beside the reference: every token, segment and time; and the rules behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor as TheirRule

from formers.errors import ArgumentError, InputError, NotTensorError
from formers.generation.alignment import median, path
from formers.generation.dictation import Said, _skip, repetition
from formers.generation.timestamps import WhisperTimeStampLogitsProcessor, segments
from formers.processing.silence import silent_frames

from .dictating import BANDS, END, NO_TIMES, POSITIONS, PREVIOUS, START, TRANSCRIBE, WINDOW, both, sounds

Models = tuple[Any, Any]
TIMES = NO_TIMES + 1
PROMPT = torch.tensor([PREVIOUS, 11, 12, 13])
IN_TURN = (0.0, 0.2, 0.4)


@pytest.fixture(scope="module")
def models() -> Models:
    return both()


@pytest.fixture(scope="module")
def english() -> Models:
    return both(without=("lang_to_id", "task_to_id"), is_multilingual=False)


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal, however deep; times of tokens to a thousandth of a second."""
    if isinstance(theirs, torch.Tensor):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype or theirs.is_floating_point()
        assert torch.allclose(ours.double(), theirs.double(), atol=1e-3 if theirs.is_floating_point() else 0)
    elif isinstance(theirs, Mapping):
        assert {*ours} == {*theirs}
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    else:
        assert ours == theirs


def without_results(found: Any) -> Any:
    """What a call gives, where segments are without the whole of what was written of their window."""
    if isinstance(found, Mapping) and "segments" in found:
        kept = [[{k: v for k, v in s.items() if k not in ("result", "idxs")} for s in own] for own in found["segments"]]
        return {**found, "segments": kept}
    return found


def assert_as_reference(models: Models, features: torch.Tensor, **options: Any) -> Any:
    theirs, ours = models
    task = {"task": "transcribe"} if getattr(theirs.generation_config, "task_to_id", None) else {}
    expected, found = theirs.generate(features, **{**task, **options}), ours.generate(features, **options)
    assert_same(without_results(found), without_results(expected))
    return found


def assert_times_as_reference(models: Models, features: torch.Tensor, mask: torch.Tensor, **options: Any) -> None:
    """Each sound of a batch as the reference's, which depends on the others there, and is from each window's beginning
    outside segments."""
    options |= {"return_token_timestamps": True, "return_segments": True}
    found = models[1].generate(features, attention_mask=mask, **options)
    for row in range(len(features)):
        length = int(mask[row].sum())  # since one alone is read to its end there, whatever its mask
        alone = {"task": "transcribe", "attention_mask": mask[row : row + 1, :length]}
        expected = models[0].generate(features[row : row + 1, :, :length], **alone, **options)
        expected = without_results(expected)
        own = without_results(found)["segments"][row]
        assert_same(own, expected["segments"][0])
        tokens, times = found["sequences"][row], found["token_timestamps"][row]
        count = expected["sequences"].shape[1]
        assert_same(tokens[:count], expected["sequences"][0])
        assert (tokens[count:] == END).all()
        assert_same(times[:count], torch.cat([segment["token_timestamps"] for segment in own]))
        assert (times[count:] == times[count - 1]).all()


SHORT: dict[str, dict[str, Any]] = {
    "greedy": {},
    "times": {"return_timestamps": True},
    "segments": {"return_timestamps": True, "return_segments": True},
    "language": {"language": "de"},
    "its token": {"language": "<|fr|>"},
    "its name": {"language": "German", "task": "translate"},
    "languages": {"language": ["fr", "english", "de"], "return_timestamps": True},
    "task": {"task": "translate"},
    "prompt": {"prompt_ids": PROMPT},
    "prompt, times": {"prompt_ids": PROMPT, "return_timestamps": True, "return_segments": True},
    "beams": {"num_beams": 3},
    "beams, times": {"num_beams": 3, "return_timestamps": True, "return_segments": True},
    "few": {"max_new_tokens": 5},
    "few, times": {"max_new_tokens": 5, "return_timestamps": True},
    "thresholds": {
        "temperature": 0.0, "logprob_threshold": -100.0, "no_speech_threshold": 0.6, "compression_ratio_threshold": 9.0,
    },
    "no n-gram twice": {"no_repeat_ngram_size": 2},
}  # fmt: skip


@pytest.mark.parametrize("way", SHORT)
def test_one_window(models: Models, way: str) -> None:
    found = assert_as_reference(models, sounds(WINDOW, 3), **SHORT[way])
    rows = found["sequences"] if isinstance(found, Mapping) else found
    if way == "greedy":
        assert len({tuple(row.tolist()) for row in rows}) == 3


LONG: dict[str, dict[str, Any]] = {
    "times": {},
    "segments": {"return_segments": True},
    "language": {"language": "fr", "task": "translate", "return_segments": True},
    "prompt first": {"prompt_ids": PROMPT, "return_segments": True},
    "said before": {"condition_on_prev_tokens": True, "return_segments": True},
    "prompt and said before": {"condition_on_prev_tokens": True, "prompt_ids": PROMPT, "return_segments": True},
    "prompt always": {
        "condition_on_prev_tokens": True, "prompt_ids": PROMPT, "prompt_condition_type": "all-segments",
        "return_segments": True,
    },
    "beams": {"num_beams": 2, "return_segments": True},
    "few": {"max_new_tokens": 6, "return_segments": True},
    "thresholds": {
        "temperature": 0.0, "logprob_threshold": -100.0, "no_speech_threshold": 0.6, "return_segments": True,
        "compression_ratio_threshold": 9.0,
    },
    "silent": {
        "temperature": 0.0, "logprob_threshold": 0.0, "no_speech_threshold": 0.0, "return_segments": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("way", LONG)
def test_several_windows(models: Models, way: str) -> None:
    assert_as_reference(models, sounds(3 * WINDOW + 30, seed=4), return_timestamps=True, **LONG[way])


@pytest.mark.parametrize("way", LONG)
def test_several_sounds_of_several_windows(models: Models, way: str) -> None:
    features, mask = sounds(3 * WINDOW, 3, seed=4), torch.ones(3, 3 * WINDOW, dtype=torch.long)
    mask[1, 220:] = mask[2, 90:] = 0
    options = {"attention_mask": mask, "return_timestamps": True, **LONG[way]}
    assert_as_reference(models, features, **options)


TOKENS: dict[str, dict[str, Any]] = {
    "alone": {},
    "times": {"return_timestamps": True},
    "prompt": {"prompt_ids": PROMPT},
    "said before": {"condition_on_prev_tokens": True, "return_timestamps": True},
    "beams": {"num_beams": 2},
    "few": {"max_new_tokens": 4},
    "one": {"max_new_tokens": 1},
    "language": {"language": "de", "return_timestamps": True},
}


@pytest.mark.parametrize("way", TOKENS)
def test_times_of_tokens(models: Models, way: str) -> None:
    assert_times_as_reference(models, sounds(WINDOW, 3), torch.ones(3, WINDOW, dtype=torch.long), **TOKENS[way])


@pytest.mark.parametrize("way", ["times", "few"])
def test_times_of_tokens_of_several_windows(models: Models, way: str) -> None:
    features, mask = sounds(3 * WINDOW, 3, seed=4), torch.ones(3, 3 * WINDOW, dtype=torch.long)
    mask[1, 220:] = mask[2, 150:] = 0
    assert_times_as_reference(models, features * mask[:, None], mask, **{**TOKENS[way], "return_timestamps": True})


def test_a_dictionary_of_one_window(models: Models) -> None:
    features = sounds(WINDOW, 2)
    expected = models[0].generate(features, task="transcribe", return_dict_in_generate=True, output_scores=True)
    found = models[1].generate(features, return_dict_in_generate=True, output_scores=True)
    assert_same(found.sequences, expected.sequences)
    assert len(found.scores) == len(expected.scores)
    for one, other in zip(found.scores, expected.scores, strict=True):
        assert torch.allclose(one.clamp(min=-1e4), other.clamp(min=-1e4), atol=1e-4)


@pytest.mark.parametrize("way", [{}, {"return_timestamps": True}, {"num_beams": 2}, {"max_new_tokens": 4}], ids=str)
def test_english_alone(english: Models, way: dict[str, Any]) -> None:
    assert_as_reference(english, sounds(WINDOW, 2), **way)
    assert_as_reference(english, sounds(2 * WINDOW, 1), **{**way, "return_timestamps": True})
    ours, asked = english[1], {**way, "language": "English", "task": "transcribe"}
    assert_same(ours.generate(sounds(WINDOW, 2), **asked), ours.generate(sounds(WINDOW, 2), **way))


def test_what_is_drawn_after_what_failed(models: Models) -> None:
    """At the second temperature tokens are drawn; a window that did not fail keeps its tokens of the first."""
    features = sounds(WINDOW, 2)
    (_, ours), greedy = models, models[1].generate(features)
    kept = ours.generate(features, temperature=IN_TURN, logprob_threshold=-100.0)
    assert_same(kept, greedy)
    torch.manual_seed(0)
    assert ours.generate(features, temperature=IN_TURN[:2], logprob_threshold=0.0).tolist() != greedy.tolist()
    torch.manual_seed(0)
    assert ours.generate(features, temperature=IN_TURN[:2], compression_ratio_threshold=0.0).tolist() != greedy.tolist()


@pytest.mark.parametrize(
    "forced", [[[1, 53], [2, TRANSCRIBE]], [[1, 54], [2, 55], [3, NO_TIMES]], [[1, None], [2, TRANSCRIBE]]], ids=str
)
def test_forced_tokens_of_old_files(forced: list[list[Any]]) -> None:
    ours = both(forced_decoder_ids=forced)[1]
    features = sounds(WINDOW, 2)
    said = {53: {"language": "de"}, 54: {"language": "fr", "task": "translate"}, None: {}}[forced[0][1]]
    assert_same(ours.generate(features), both()[1].generate(features, **said))
    assert_same(ours.generate(features, language="en"), both()[1].generate(features, language="en"))


# ---- where it is otherwise than the reference


def test_transcribes_unless_asked_to_translate(models: Models) -> None:
    theirs, ours = models
    features = sounds(WINDOW, 2)
    assert_same(ours.generate(features), theirs.generate(features, task="transcribe"))


def test_long_sounds_need_no_argument(models: Models) -> None:
    ours, features = models[1], sounds(3 * WINDOW)
    timed = ours.generate(features, return_timestamps=True)[0]
    assert ours.generate(features)[0].tolist() == timed[timed < TIMES].tolist()
    with pytest.raises(ValueError, match="return_timestamps=True"):
        models[0].generate(features)


@pytest.mark.parametrize("way", ["times", "said before", "beams"])
def test_a_batch_is_each_sound_alone(models: Models, way: str) -> None:
    ours, features = models[1], sounds(3 * WINDOW, 3, seed=7)
    mask = torch.ones(3, 3 * WINDOW, dtype=torch.long)
    mask[1, 220:] = mask[2, 130:] = 0
    options = {**TOKENS[way], "return_token_timestamps": True, "return_segments": True, "return_timestamps": True}
    batch = ours.generate(features, attention_mask=mask, **options)
    for row in range(3):
        alone = ours.generate(features[row : row + 1, :, : int(mask[row].sum())], **options)
        assert_same(without_results(batch)["segments"][row], without_results(alone)["segments"][0])


@pytest.mark.parametrize("options", [{}, {"return_timestamps": True}], ids=str)
def test_what_the_encoder_said_in_place_of_features(models: Models, options: dict[str, Any]) -> None:
    ours, features = models[1], sounds(WINDOW, 2)
    encoded = ours.get_encoder()(features)
    found, whole = (
        ours.generate(**given, **options) for given in ({"encoder_outputs": encoded}, {"input_features": features})
    )
    for row, (one, other) in enumerate(zip(found, whole, strict=True)):
        said = one[one != END].tolist()
        assert said and said == other[: len(said)].tolist()  # what follows the last segment cannot be read again
        alone = ours.generate(encoder_outputs=type(encoded)(encoded[0][row : row + 1]), **options)
        assert alone[0].tolist() == said
    assert ours.detect_language(features).tolist() == models[0].detect_language(features).tolist()


def test_progress(models: Models) -> None:
    seen: list[list[list[int]]] = []
    models[1].generate(sounds(3 * WINDOW), monitor_progress=lambda at: seen.append(at.tolist()))
    assert seen[0] == [[0, 3 * WINDOW]]
    assert [at[0][0] for at in seen] == sorted({at[0][0] for at in seen})


# ---- what is refused

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"language": "germann"}, "germann.*german"),
    ({"language": "xx"}, "'xx'"),
    ({"language": ["de", "fr", "en"]}, "3 entries"),
    ({"task": "translat"}, "translate"),
    ({"prompt_condition_type": "all"}, "first-segment"),
    ({"prompt_condition_type": "all-segments"}, "condition_on_prev_tokens"),
    ({"max_new_tokens": 100}, "max_new_tokens=100"),
    ({"prompt_ids": torch.arange(POSITIONS), "max_new_tokens": 10}, "prompt"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_what_contradicts_itself(models: Models, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        models[1].generate(sounds(WINDOW, 2), **options)


def test_a_prompt_that_leaves_no_place(models: Models) -> None:
    with pytest.raises(InputError):
        models[1].generate(sounds(WINDOW), prompt_ids=torch.arange(1, POSITIONS + 5))


def test_another_language_than_english(english: Models) -> None:
    for options in ({"language": "de"}, {"task": "translate"}):
        with pytest.raises(InputError, match="English"):
            english[1].generate(sounds(WINDOW), **options)


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("no_timestamps_token_id", {"return_timestamps": True}),
        ("alignment_heads", {"return_token_timestamps": True}),
        ("lang_to_id", {"language": "de"}),
        ("task_to_id", {"task": "translate"}),
    ],
)
def test_keys_that_files_lack(key: str, options: dict[str, Any]) -> None:
    ours = both(without=(key,))[1]
    with pytest.raises(InputError, match=key):
        ours.generate(sounds(WINDOW), **options)
    if key == "no_timestamps_token_id":
        with pytest.raises(InputError, match=key):
            ours.generate(sounds(2 * WINDOW))


def test_features_that_are_none(models: Models) -> None:
    ours = models[1]
    with pytest.raises(ArgumentError, match="input_features"):
        ours.generate()
    with pytest.raises(NotTensorError):
        ours.generate(np.zeros((1, BANDS, WINDOW)))
    for shape in ((1, BANDS + 1, WINDOW), (BANDS, WINDOW), (0, BANDS, WINDOW), (1, BANDS, 0)):
        with pytest.raises(InputError, match="shape"):
            ours.generate(torch.zeros(shape))
    with pytest.raises(InputError, match="attention_mask"):
        ours.generate(torch.zeros(2, BANDS, 2 * WINDOW))


# ---- the rules behind it


@pytest.mark.parametrize("most", [None, 3, 0])
def test_rules_of_times_are_the_references(most: int | None) -> None:
    draw, vocabulary, prompt = torch.Generator().manual_seed(0), TIMES + 20, [START, 52, TRANSCRIBE]
    kind: Any = transformers.GenerationConfig
    file = kind(eos_token_id=END, bos_token_id=END, no_timestamps_token_id=NO_TIMES)
    file.max_initial_timestamp_index = most
    theirs = TheirRule(file, begin_index=len(prompt), _detect_timestamp_from_logprob=True)
    ours = WhisperTimeStampLogitsProcessor(TIMES, END, len(prompt), most)
    for length in [*range(8)] * 6:
        new = torch.where(
            torch.rand(5, length, generator=draw) < 0.5,
            torch.randint(0, END, (5, length), generator=draw),
            torch.randint(TIMES, vocabulary, (5, length), generator=draw).sort(1).values,
        )
        ids = torch.cat([torch.tensor([prompt] * 5), new], 1)
        scores = torch.randn(5, vocabulary, generator=draw) * 2
        assert torch.equal(ours(ids, scores.clone()), theirs(ids, scores.clone()))


@pytest.mark.parametrize(
    ("tokens", "expected", "frames"),
    [
        ([], [(0, 0, 0.0, 1.0)], 100),
        ([5, 6], [(0, 2, 0.0, 1.0)], 100),
        ([60, 5, 80], [(0, 3, 0.0, 0.4)], 100),
        ([60, 5, 70, 70, 6, 90], [(0, 3, 0.0, 0.2), (3, 6, 0.2, 0.6)], 100),
        ([60, 5, 70, 70, 6, 90, 90], [(0, 3, 0.0, 0.2), (3, 7, 0.2, 0.6)], 60),
        ([60, 5, 70, 70, 6], [(0, 4, 0.0, 0.2)], 20),
    ],
)
def test_segments(tokens: list[int], expected: list[tuple[Any, ...]], frames: int) -> None:
    found, step = segments(tokens, TIMES, 100, 2)
    assert step == frames
    assert [(s.start, s.end, pytest.approx(s.begins), pytest.approx(s.ends)) for s in found] == expected


def cheapest(cost: np.ndarray[Any, Any]) -> float:
    """The price of the cheapest way from corner to corner, one cell after the other."""
    total = np.full(cost.shape, np.inf)
    for i, j in np.ndindex(*cost.shape):
        before = [total[a, b] for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
        total[i, j] = cost[i, j] + min(before, default=0.0)
    return float(total[-1, -1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 31), (31, 7), (12, 12)])
def test_the_cheapest_path(shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(0)
    for _ in range(5):
        cost = draw.normal(size=shape)
        rows, columns = path(cost)
        assert (rows[0], columns[0], rows[-1], columns[-1]) == (0, 0, shape[0] - 1, shape[1] - 1)
        steps = {*zip(np.diff(rows).tolist(), np.diff(columns).tolist(), strict=True)}
        assert steps <= {(0, 1), (1, 0), (1, 1)}
        assert cost[rows, columns].sum() == pytest.approx(cheapest(cost), abs=1e-4)


def test_median() -> None:
    weights = torch.tensor([[[3.0, 1.0, 2.0, 9.0, 4.0]]])
    assert median(weights, 3).tolist() == [[[1.0, 2.0, 2.0, 4.0, 9.0]]]
    assert torch.equal(median(weights, 11), weights)


def test_repetition() -> None:
    assert repetition([], 100) == 0.0
    assert repetition([7] * 200, 51865) > 10 > 2 > repetition([*range(200)], 51865)


def test_pauses_are_left_out() -> None:
    silent = torch.ones(1000, dtype=torch.bool)
    silent[400:600] = False
    for seek, expected in ((0, 380), (300, 300), (450, 450), (600, 1000), (900, 1000)):
        said = Said([], 1000, seek=seek)
        _skip(said, silent)
        assert said.seek == expected


def test_what_is_silent() -> None:
    time = np.arange(16_000) / 16_000
    wave = np.sin(2 * np.pi * 300 * time).astype(np.float32) * 0.3
    wave[:8000] = 0
    silent = silent_frames(wave, 16_000, 160)
    assert silent.shape == (100,) and silent[:48].all() and not silent[51:99].any()
    assert silent_frames(np.zeros(150, np.float32), 16_000, 160).tolist() == [True]
    assert silent_frames(wave[8000:], 16_000, 160, "energy").sum() == 0
    quiet = silent_frames(wave[8000:] * 1e-4, 16_000, 160)
    assert quiet.all()
    with pytest.raises(ArgumentError, match="silero-vad"):
        silent_frames(wave, 16_000, 160, "loud")
