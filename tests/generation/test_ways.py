"""Ways of choosing tokens that Transformers has no more, beside what releases wrote that had them."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from families import having, is_causal, pair
from goldens import generation
from of_families import facts

import formers

GOLDENS = json.loads((Path(generation.__file__).parent / "generation.json").read_text())
CASES = [(release, *case) for release in generation.RELEASES for case in generation.cases(release)]
# where 4.20 gives texts that lack the words, though it has found others with them
LACKING = {("constrained", "gpt2", "two, ending"), ("constrained", "gpt2", "both kinds, ending")}


@lru_cache
def model_of(name: str) -> Any:
    return generation.model_of(formers, name)


@pytest.mark.parametrize(("release", "way", "name", "case", "options"), CASES, ids=[", ".join(c[1:4]) for c in CASES])
def test_tokens_are_those_of_the_release(release: str, way: str, name: str, case: str, options: dict[str, Any]) -> None:
    found = [generation.written(model_of(name), options, prompt) for prompt in generation.PROMPTS]
    expected = GOLDENS[release][f"{way}, {name}, {case}"]
    if (way, name, case) not in LACKING:
        assert found == expected
        return
    right = [
        sum(contains([*prompt, *text], options["force_words_ids"]) for texts, prompt in rows for text in texts)
        for rows in (zip(x, generation.PROMPTS, strict=True) for x in (found, expected))
    ]
    assert right[0] > right[1]


def contains(text: list[int], wanted: list[Any]) -> bool:
    state = formers.ConstraintListState(
        formers.DisjunctiveConstraint(ids) if isinstance(ids[0], list) else formers.PhrasalConstraint(ids)
        for ids in wanted
    )
    state.reset(text)
    return bool(state.completed)


def batches(prompts: list[list[int]]) -> Any:
    """The prompts padded on the left, and on the right, and their masks."""
    width = max(map(len, prompts))
    for left in (True, False):
        rows = [[0] * (width - len(p)) + p if left else p + [0] * (width - len(p)) for p in prompts]
        mask = [
            [0] * (width - len(p)) + [1] * len(p) if left else [1] * len(p) + [0] * (width - len(p)) for p in prompts
        ]
        yield torch.tensor(rows), torch.tensor(mask)


WAYS = {
    "groups": generation.GROUPS["six in three"],
    "groups that end early": generation.GROUPS["early"],
    "long groups with rules": generation.GROUPS["with rules"] | {"length_penalty": 2.0, "num_return_sequences": 2},
    "constrained": generation.CONSTRAINED["two"],
    "one of several": generation.CONSTRAINED["both kinds"],
    "contrastive": generation.CONTRASTIVE["usual"],
    "contrastive with rules": generation.CONTRASTIVE["with rules"],
    "layers": generation.DOLA["low"],
    "later layers": generation.DOLA["high"],
}


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("way", WAYS)
def test_a_text_does_not_depend_on_others(way: str, name: str) -> None:
    model, end = model_of(name), generation.ENDS[name]
    options = {**WAYS[way], "eos_token_id": end, "max_new_tokens": generation.NEW}
    alone = [generation.written(model, {**WAYS[way], "eos_token_id": end}, prompt) for prompt in generation.PROMPTS]
    assert (
        name == "llama" or "layers" in way or any(end in text for texts in alone for text in texts)
    )  # some end before others
    for ids, mask in batches(generation.PROMPTS):
        torch.manual_seed(1)
        rows = model.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :].tolist()
        rows = [row[: row.index(end) + 1] if end in row else row for row in rows]
        each = len(rows) // len(generation.PROMPTS)
        assert [rows[i * each : (i + 1) * each] for i in range(len(generation.PROMPTS))] == alone


def test_names_of_4_20() -> None:
    model, prompt = model_of("gpt2"), torch.tensor([generation.PROMPTS[0], generation.PROMPTS[0][::-1]])
    rows, most = prompt.repeat_interleave(4, 0), 9 + generation.NEW
    scorer = formers.BeamSearchScorer(2, 4, "cpu", num_beam_groups=2, num_beam_hyps_to_keep=3, length_penalty=0.5)
    apart = formers.HammingDiversityLogitsProcessor(0.7, num_beams=4, num_beam_groups=2)
    options = {"num_beams": 4, "num_beam_groups": 2, "num_return_sequences": 3, "length_penalty": 0.5}
    expected = model.generate(prompt, **options, diversity_penalty=0.7, max_length=most)
    found = model.group_beam_search(rows, scorer, logits_processor=[apart], max_length=most)
    assert torch.equal(found, expected)
    assert not torch.equal(model.group_beam_search(rows, scorer, max_length=most), expected)

    wanted = [formers.PhrasalConstraint([14, 15]), formers.DisjunctiveConstraint([[18], [22, 23]])]
    scorer = formers.ConstrainedBeamSearchScorer(2, 4, wanted, device="cpu", do_early_stopping=True)
    expected = model.generate(
        prompt, num_beams=4, force_words_ids=[[14, 15], [[18], [22, 23]]], early_stopping=True, max_length=most
    )
    assert torch.equal(model.constrained_beam_search(rows, scorer, max_length=most), expected)

    scorer = formers.BeamSearchScorer(2, 4, "cpu", num_beam_hyps_to_keep=2)
    expected = model.generate(prompt, num_beams=4, num_return_sequences=2, max_length=most)
    assert torch.equal(model.beam_search(rows, scorer, max_length=most), expected)


class Between(formers.Constraint):
    """A token of a range, some times: a constraint of one's own."""

    def __init__(self, least: int, most: int, times: int) -> None:
        self.range, self.times, self.seqlen, self.done = range(least, most + 1), times, times, 0
        super().__init__()
        self.reset()

    def advance(self) -> Any:
        return list(self.range) if self.done < self.times else None

    def does_advance(self, token_id: int) -> bool:
        return token_id in self.range and self.done < self.times

    def update(self, token_id: int) -> tuple[bool, bool, bool]:
        if not self.does_advance(token_id):
            return False, False, False
        self.done += 1
        return True, self.done == self.times, False

    def reset(self) -> None:
        self.done = 0

    def remaining(self) -> int:
        return self.times - self.done

    def copy(self, stateful: bool = False) -> Any:
        new = Between(self.range[0], self.range[-1], self.times)
        new.done = self.done if stateful else 0
        return new


def test_contrastive_search_by_its_name() -> None:
    model, prompt = model_of("gpt2"), torch.tensor([generation.PROMPTS[0]])
    found = model.contrastive_search(prompt, penalty_alpha=0.9, top_k=3, max_length=23)
    assert torch.equal(found, model.generate(prompt, penalty_alpha=0.9, top_k=3, max_length=23))
    assert not torch.equal(found, model.generate(prompt, max_length=23))


def test_layers_with_guesses() -> None:
    model, prompt = model_of("gpt2"), torch.tensor([generation.PROMPTS[0]])
    expected = model.generate(prompt, dola_layers="low", max_new_tokens=20)
    found = model.generate(prompt, dola_layers="low", max_new_tokens=20, prompt_lookup_num_tokens=3)
    assert torch.equal(found, expected)


def test_a_constraint_of_one_s_own() -> None:
    model, prompt = model_of("gpt2"), torch.tensor([generation.PROMPTS[1]])
    plain = model.generate(prompt, num_beams=4, max_new_tokens=12)[0, 5:]
    assert sum(int(token) in range(20, 24) for token in plain) < 3
    found = model.generate(prompt, num_beams=4, max_new_tokens=12, constraints=[Between(20, 23, 3)])[0, 5:]
    assert sum(int(token) in range(20, 24) for token in found) >= 3


def test_constraints_that_contradict_themselves() -> None:
    class Endless(Between):
        def update(self, token_id: int) -> tuple[bool, bool, bool]:
            return True, False, False

    class Deaf(Between):
        def does_advance(self, token_id: int) -> bool:
            return False

    with pytest.raises(formers.InputError, match="Endless: update"):
        Endless(3, 5, 2)
    with pytest.raises(formers.InputError, match=r"Deaf: advance\(\) gives 3"):
        Deaf(3, 5, 2)
    with pytest.raises(formers.InputError, match="begins with"):
        formers.DisjunctiveConstraint([[3, 4], [3, 4, 5]])
    with pytest.raises(formers.InputError, match="not an empty one"):
        formers.PhrasalConstraint([])


def test_a_phrase_step_by_step() -> None:
    state = formers.ConstraintListState(
        [formers.PhrasalConstraint([7, 8, 9]), formers.DisjunctiveConstraint([[3], [4, 5]])]
    )
    assert sorted(state.advance()) == [3, 4, 7]
    state.add(7)
    assert (state.advance(), state.get_bank(), state.completed) == ([8], 1, False)
    state.add(5)  # begun anew
    assert (sorted(state.advance()), state.get_bank()) == ([3, 4, 7], 0)
    state.reset([7, 8, 9, 4])
    assert (state.advance(), state.get_bank()) == ([5], 5)
    other = state.copy(stateful=True)
    other.add(5)
    assert (other.completed, state.completed, other.advance()) == (True, False, None)


def test_what_comes_back_of_groups() -> None:
    model, prompt = model_of("gpt2"), torch.tensor([generation.PROMPTS[0], generation.PROMPTS[0][::-1]])
    found = model.generate(
        prompt, num_beams=4, num_beam_groups=2, max_new_tokens=6, min_new_tokens=6, num_return_sequences=2,
        length_penalty=0.0, return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    assert found.beam_indices.shape == (4, 6)
    steps = model.compute_transition_scores(found.sequences, found.scores, found.beam_indices)
    torch.testing.assert_close(steps.sum(1), found.sequences_scores)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"num_beams": 4, "num_beam_groups": 3}, "cannot be divided"),
    ({"num_beams": 4, "diversity_penalty": 0.5}, "Set num_beam_groups"),
    ({"num_beams": 4, "num_beam_groups": 2, "do_sample": True}, "do_sample=False"),
    ({"force_words_ids": [[3]]}, "Set num_beams to at least 2"),
    ({"num_beams": 2, "force_words_ids": []}, "force_words_ids=.*at least one"),
    ({"num_beams": 2, "force_words_ids": [[3], []]}, r"force_words_ids\[1\].*not an empty one"),
    ({"num_beams": 2, "force_words_ids": [[3, 24]]}, "token 24.*0 to 23"),
    ({"num_beams": 2, "force_words_ids": [[[3, 4], [3]]]}, r"force_words_ids\[0\].*begins with"),
    ({"num_beams": 2, "force_words_ids": "ab"}, "force_words_ids='ab'"),
    ({"num_beams": 2, "constraints": [[3]]}, "constraints has a list"),
    ({"num_beams": 2, "constraints": []}, "constraints=.*at least one"),
    ({"num_beams": 2, "force_words_ids": [[3]], "do_sample": True}, "do_sample=True"),
    ({"num_beams": 4, "force_words_ids": [[3]], "num_beam_groups": 2}, "num_beam_groups=2"),
    ({"num_beams": 2, "dola_layers": "low"}, "Set num_beams=1"),
    ({"dola_layers": "middle"}, "'low', 'high'"),
    ({"dola_layers": [2]}, r"dola_layers=\[2\].*0 to 1"),
    ({"dola_layers": "low", "output_attentions": True, "return_dict_in_generate": True}, "dola_generation is for"),
    ({"penalty_alpha": 0.6, "top_k": 4, "token_type_ids": torch.tensor([[3, 4]])}, "contrastive_search is for"),
    ({"use_mtp": True}, "use_mtp=True is not available"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[str(options) for options, _ in WRONG])
def test_bad_input(options: dict[str, Any], words: str) -> None:
    with pytest.raises(formers.FormersError, match=words):
        model_of("gpt2").generate(torch.tensor([[3, 4]]), **options)


@pytest.mark.parametrize("way", ["groups", "groups that end early", "constrained", "one of several"])
def test_hooks_change_no_tokens(way: str) -> None:
    """A model with a hook computes whole batches, padding and texts that have ended included."""
    model = model_of("gpt2")
    ids, mask = next(iter(batches(generation.PROMPTS)))
    options = {**WAYS[way], "eos_token_id": 9, "max_new_tokens": generation.NEW, "attention_mask": mask}
    expected = model.generate(ids, **options)
    shapes: list[Any] = []
    handle = model.get_input_embeddings().register_forward_hook(lambda _, __, out: shapes.append(out.shape))
    try:
        assert torch.equal(model.generate(ids, **options), expected)
    finally:
        handle.remove()
    assert shapes[0][:2] == ids.shape


def test_layers_that_the_head_does_not_read() -> None:
    _, model = pair("opt", "causal-lm", use_cache=True)
    with pytest.raises(formers.ArgumentError, match="OPTForCausalLM narrows"):
        model.generate(torch.tensor([[5, 6]]), dola_layers="high", max_new_tokens=2)


@pytest.mark.parametrize("family", [family for family in having("causal-lm") if is_causal(family, "causal-lm")])
def test_families(family: str) -> None:
    """Ways that look into a model: a text of a batch is what it is alone, and what the model's own guesses change."""
    if not facts(family).causal:
        pytest.skip("an encoder that is made to write")
    _, model = pair(family, "causal-lm", use_cache=True, **({"word_embed_proj_dim": 32} if family == "opt" else {}))
    draw = torch.Generator().manual_seed(0)
    prompts = [torch.randint(4, 98, (n,), generator=draw).tolist() for n in (7, 3)]
    ids, mask = next(iter(batches(prompts)))
    tokens = {"max_new_tokens": 5, "min_new_tokens": 5, "eos_token_id": 2, "pad_token_id": 0}
    for way in ({"penalty_alpha": 0.6, "top_k": 3}, {"dola_layers": [0, 1]}, {"guidance_scale": 1.5}):
        found = model.generate(ids, attention_mask=mask, **way, **tokens)[:, -5:]
        alone = [model.generate(torch.tensor([prompt]), **way, **tokens)[0, -5:] for prompt in prompts]
        assert torch.equal(found, torch.stack(alone)), way
    if hasattr(model.base_model, "LAYERS"):
        prompt = torch.tensor(prompts[:1])
        found = model.generate(prompt, assistant_early_exit=1, **tokens)
        assert torch.equal(found, model.generate(prompt, **tokens))


def test_texts_that_lack_something_are_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prompt = model_of("gpt2"), torch.tensor([generation.PROMPTS[1]])
    monkeypatch.setattr("formers.logging._said", set())
    model.generate(prompt, num_beams=3, max_new_tokens=4, force_words_ids=[[14, 15]])
    assert "do not contain" not in caplog.text
    model.generate(prompt, num_beams=3, max_new_tokens=2, force_words_ids=[[14, 15, 16]])
    assert "1 of 1 texts, the first is number 0, do not contain" in caplog.text
