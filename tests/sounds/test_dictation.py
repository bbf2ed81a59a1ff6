"""What Whisper writes, beside the reference: every token, segment and time; and the rules behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from .dictating import (
    END,
    NO_TIMES,
    PREVIOUS,
    WINDOW,
    both,
    sounds,
)

Models = tuple[Any, Any]
TIMES = NO_TIMES + 1
PROMPT = torch.tensor([PREVIOUS, 11, 12, 13])
IN_TURN = (0.0, 0.2, 0.4)


@pytest.fixture(scope="module")
def models() -> Models:
    return both()


@pytest.fixture(scope="module")
def english() -> Models:
    keys = ("lang_to_id", "task_to_id", "is_multilingual")
    return both(without=keys, is_multilingual=False)


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


def assert_times_as_reference(models: Models, features: torch.Tensor, mask: Any = None, **options: Any) -> None:
    """Each sound of a batch as the reference's, which depends on the others there, and is from each window's beginning
    outside segments."""
    options |= {"return_token_timestamps": True, "return_segments": True}
    found = models[1].generate(features, attention_mask=mask, **options)
    for row in range(len(features)):
        alone = {} if mask is None else {"attention_mask": mask[row : row + 1]}
        kept = features[row : row + 1, :, : None if mask is None else max(WINDOW, int(mask[row].sum()))]
        if mask is not None:
            alone["attention_mask"] = alone["attention_mask"][:, : kept.shape[2]]
        expected = without_results(models[0].generate(kept, task="transcribe", **alone, **options))
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
        "temperature": 0.0, "logprob_threshold": -100.0, "no_speech_threshold": 0.6, "compression_ratio_threshold": 50.0,
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
        "compression_ratio_threshold": 50.0,
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
    assert_times_as_reference(models, sounds(WINDOW, 3), **TOKENS[way])


@pytest.mark.parametrize("way", ["times", "said before", "few", "language"])
def test_times_of_tokens_of_several_windows(models: Models, way: str) -> None:
    features, mask = sounds(3 * WINDOW, 3, seed=4), torch.ones(3, 3 * WINDOW, dtype=torch.long)
    mask[1, 220:] = mask[2, 90:] = 0
    assert_times_as_reference(models, features * mask[:, None], mask, **{**TOKENS[way], "return_timestamps": True})
    assert_times_as_reference(models, sounds(3 * WINDOW + 30, seed=2), **{**TOKENS[way], "return_timestamps": True})
