"""Guidance and watermarks, beside the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from families import pair

import formers

MORE = {"pad_token_id": 98, "eos_token_id": 2, "max_new_tokens": 12}
LENGTHS = (9, 4, 2)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def models(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    theirs, ours = pair(request.param, "causal-lm", use_cache=True, pad_token_id=98)
    theirs.generation_config = transformers.GenerationConfig(pad_token_id=98, bos_token_id=1, eos_token_id=2)
    return theirs, ours


def prompts(seed: int = 0) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(3, 98, (1, n), generator=draw) for n in LENGTHS]


def batch(rows: list[torch.Tensor], left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(LENGTHS)
    sides = [(width - row.shape[1], 0) if left else (0, width - row.shape[1]) for row in rows]
    pad = torch.nn.functional.pad
    ids = torch.cat([pad(row, side, value=98) for row, side in zip(rows, sides, strict=True)])
    return ids, torch.cat([pad(torch.ones_like(row), side) for row, side in zip(rows, sides, strict=True)])


GUIDED: dict[str, dict[str, Any]] = {
    "greedy": {"guidance_scale": 1.7},
    "away": {"guidance_scale": -0.5},
    "drawn": {"guidance_scale": 1.5, "do_sample": True, "top_k": 8},
    "with rules": {"guidance_scale": 2.0, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
}


@pytest.mark.parametrize("other", [True, False])
@pytest.mark.parametrize("way", GUIDED)
def test_guidance_is_the_reference_s(models: tuple[Any, Any], way: str, other: bool) -> None:
    for ids in prompts():
        found = []
        for model in models:
            torch.manual_seed(1)
            more = {"negative_prompt_ids": torch.tensor([[5, 60, 7]])} if other else {}
            found.append(model.generate(ids, **MORE, **GUIDED[way], **more))
        assert torch.equal(found[1], found[0])
        assert not torch.equal(found[1], models[1].generate(ids, **MORE))


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_beams": 3},
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0},
        {"num_beams": 3, "force_words_ids": [[40, 41]]},
        {"num_return_sequences": 2, "do_sample": True, "seed": 3},
    ],
)
def test_guided_texts_do_not_depend_on_others(models: tuple[Any, Any], options: dict[str, Any], left: bool) -> None:
    _, model = models
    rows, others = prompts(), prompts(1)[::-1]
    options = {**MORE, **options, "guidance_scale": 1.5, "min_new_tokens": 12}
    ids, mask = batch(rows, left)
    negative, negative_mask = batch(others, left)
    both = {"negative_prompt_ids": negative, "negative_prompt_attention_mask": negative_mask}
    found = model.generate(ids, attention_mask=mask, **both, **options)[:, ids.shape[1] :]
    each, seed = len(found) // 3, options.get("seed")
    for i, (row, other) in enumerate(zip(rows, others, strict=True)):
        one = options if seed is None else {**options, "seed": seed + i * each}
        alone = model.generate(row, negative_prompt_ids=other, **one)[:, row.shape[1] :]
        assert torch.equal(found[i * each : (i + 1) * each], alone)


def test_guided_beams_follow_their_own_texts(models: tuple[Any, Any]) -> None:
    """Beside a guidance that reads everything anew at each step."""
    _, model = models
    ids, other = prompts()[0], torch.tensor([[5, 60, 7]])

    def anew(texts: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        whole = torch.cat([other.expand(len(texts), -1), texts[:, ids.shape[1] :]], 1)
        free = model(whole).logits[:, -1].log_softmax(-1)
        return 1.5 * (scores.log_softmax(-1) - free) + free

    expected = model.generate(ids, num_beams=4, logits_processor=[anew], **MORE)
    found = model.generate(ids, num_beams=4, guidance_scale=1.5, negative_prompt_ids=other, **MORE)
    assert torch.equal(found, expected)
    helped = {"guidance_scale": 1.5, "negative_prompt_ids": other, **MORE}
    assert torch.equal(model.generate(ids, prompt_lookup_num_tokens=3, **helped), model.generate(ids, **helped))
    assert torch.equal(model.generate(ids, assistant_model=model, **helped), model.generate(ids, **helped))


MARKED: dict[str, dict[str, Any]] = {
    "greedy": {},
    "drawn": {"do_sample": True, "top_k": 5, "temperature": 0.8},
    "beams": {"num_beams": 3},
    "normal": {"do_sample": True, "renormalize_logits": True, "top_p": 0.9},
}
MARKS: dict[str, dict[str, Any]] = {
    "left": {"bias": 2.5, "context_width": 1},
    "own": {"bias": 4.0, "seeding_scheme": "selfhash", "context_width": 2},
    "own key": {"hashing_key": 17, "greenlist_ratio": 0.5, "seeding_scheme": "selfhash", "context_width": 4},
}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("way", MARKED)
def test_watermarks_are_the_reference_s(models: tuple[Any, Any], way: str, mark: str) -> None:
    for ids in prompts():
        found = []
        for model, library in zip(models, (transformers, formers), strict=True):
            torch.manual_seed(1)
            config = library.WatermarkingConfig(**MARKS[mark])
            found.append(model.generate(ids, watermarking_config=config, **MORE, **MARKED[way]))
        assert torch.equal(found[1], found[0])


@pytest.mark.parametrize("left", [True, False])
def test_marked_texts_do_not_depend_on_others(models: tuple[Any, Any], left: bool) -> None:
    _, model = models
    ids, mask = batch(prompts(), left)
    options = {**MORE, "watermarking_config": dict(MARKS["own key"]), "min_new_tokens": 12}
    found = model.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :]
    for row, text in zip(prompts(), found, strict=True):
        assert torch.equal(model.generate(row, **options)[0, row.shape[1] :], text)


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("mark", MARKS)
def test_detectors_agree(models: tuple[Any, Any], mark: str, once: bool) -> None:
    theirs, ours = models
    draw = torch.Generator().manual_seed(0)
    ids = torch.cat([torch.ones(5, 1, dtype=torch.long), torch.randint(3, 9, (5, 40), generator=draw)], 1)
    ids[4] = ours.generate(
        ids[4:, :3], watermarking_config=MARKS[mark] | {"bias": 40.0}, max_new_tokens=38, min_new_tokens=38
    )
    detectors = [
        library.WatermarkDetector(model.config, "cpu", library.WatermarkingConfig(**MARKS[mark]), once)
        for library, model in ((transformers, theirs), (formers, ours))
    ]
    expected, found = (detector(ids, return_dict=True) for detector in detectors)
    for name in vars(expected):
        torch.testing.assert_close(torch.as_tensor(found[name]), torch.as_tensor(vars(expected)[name]))
    assert detectors[1](ids).tolist() == detectors[0](ids).tolist()
    assert once or bool(detectors[1](ids)[4])
    for detector in detectors:
        with pytest.raises(ValueError, match="at least"):
            detector(ids[:, 1:2])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"negative_prompt_ids": torch.tensor([[3]])}, "set guidance_scale"),
    ({"guidance_scale": 2.0, "negative_prompt_ids": torch.tensor([3])}, r"negative_prompt_ids is \(1,\)"),
    ({"guidance_scale": 2.0, "negative_prompt_ids": torch.ones(3, 2).long()}, r"give token ids \(1, S\)"),
    ({"guidance_scale": 2.0, "token_type_ids": torch.tensor([[3, 4]])}, "leave out further inputs"),
    ({"watermarking_config": {"ratio": 1}}, "watermarking_config has 'ratio'"),
    ({"watermarking_config": {"greenlist_ratio": 1.5}}, "greenlist_ratio=1.5"),
    ({"watermarking_config": {"seeding_scheme": "both"}}, "lefthash, selfhash"),
    ({"watermarking_config": 3}, "watermarking_config is a int"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[words for _, words in WRONG])
def test_bad_input(options: dict[str, Any], words: str) -> None:
    _, model = pair("gpt2", "causal-lm", use_cache=True)
    with pytest.raises(formers.FormersError, match=words):
        model.generate(torch.tensor([[3, 4]]), **options)
