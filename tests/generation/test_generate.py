"""What is written, beside the reference: every way of choosing, texts alone and among others, padded on either side."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
import transformers
from families import pair

import formers
from formers.generation.assisted import _drawn
from formers.generation.continuous import write_many

MASKS = {"none": [[1] * 9] * 3, "left": [[1] * 9, [0] * 4 + [1] * 5, [0] * 7 + [1] * 2]}
ENDS = [2, 5, 7, 9, 20, 40, 60]
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 4},
    "several beams": {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0, "early_stopping": True},
    "beams to the end": {"num_beams": 4, "early_stopping": "never", "length_penalty": 0.5},
    "drawn": {"do_sample": True},
    "drawn of the best": {
        "do_sample": True, "top_k": 5, "top_p": 0.8, "temperature": 0.7, "num_return_sequences": 2
    },
    "drawn beams": {"do_sample": True, "num_beams": 3},
    "no repetitions": {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
    "long enough": {"min_new_tokens": 5},
    "many ends": {"eos_token_id": ENDS},
    "many ends of beams": {"eos_token_id": ENDS, "num_beams": 3},
}  # fmt: skip


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def models(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    theirs, ours = pair(request.param, "causal-lm", use_cache=True, pad_token_id=98)
    tokens = {"pad_token_id": 98, "bos_token_id": 1, "eos_token_id": 2}
    theirs.generation_config = transformers.GenerationConfig(**tokens)
    ours.generation_config = formers.GenerationConfig(**tokens)
    return theirs, ours


def prompts(mask: str) -> tuple[torch.Tensor, torch.Tensor]:
    keep = torch.tensor(MASKS[mask])
    ids = torch.randint(3, 98, keep.shape, generator=torch.Generator().manual_seed(0))
    return ids.masked_fill(keep == 0, 98), keep


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("way", WAYS)
def test_tokens_are_the_reference_s(models: tuple[Any, Any], way: str, mask: str) -> None:
    ids, keep = prompts(mask)
    found = []
    for model in models:
        torch.manual_seed(1)
        found.append(model.generate(ids, attention_mask=keep, **{"max_new_tokens": 12, **WAYS[way]}))
    assert found[1].tolist() == found[0].tolist()


def test_rules_about_the_prompt(models: tuple[Any, Any]) -> None:
    """Padding, which is a part of it in the reference, is none here."""
    ids, keep = prompts("none")
    rules = {"encoder_repetition_penalty": 1.5, "encoder_no_repeat_ngram_size": 2, "max_new_tokens": 12}
    theirs, ours = (model.generate(ids, attention_mask=keep, **rules) for model in models)
    assert torch.equal(ours, theirs)
    left = torch.cat([torch.full((3, 2), 98), ids], dim=1)
    padded = models[1].generate(left, attention_mask=torch.nn.functional.pad(keep, (2, 0)), **rules)
    assert torch.equal(padded[:, 2:], ours)


@pytest.mark.parametrize("way", ["greedy", "beams", "no repetitions", "long enough"])
def test_a_text_does_not_depend_on_others(models: tuple[Any, Any], way: str) -> None:
    _, model = models
    (ids, keep), options = prompts("left"), {"max_new_tokens": 12, **WAYS[way]}
    whole = model.generate(ids, attention_mask=keep, **options)[:, 9:]
    right = torch.stack([torch.cat([row[real], row[~real]]) for row, real in zip(ids, keep.bool(), strict=True)])
    assert torch.equal(model.generate(right, attention_mask=keep.flip(1), **options)[:, 9:], whole)
    for row, real, expected in zip(ids, keep.bool(), whole, strict=True):
        alone = model.generate(row[real][None], **options)[0, int(real.sum()) :]
        assert alone.tolist() == expected[: len(alone)].tolist()
        assert set(expected[len(alone) :].tolist()) <= {98}


def test_a_seed_is_each_text_s_own(models: tuple[Any, Any]) -> None:
    _, model = models
    ids, keep = prompts("left")
    options = {"do_sample": True, "seed": 7, "max_new_tokens": 12}
    whole = model.generate(ids, attention_mask=keep, **options)
    assert torch.equal(whole, model.generate(ids, attention_mask=keep, **options))
    alone = model.generate(ids[:1], **options)[0]
    assert alone.tolist() == whole[0, : len(alone)].tolist()


def test_guesses_change_nothing(models: tuple[Any, Any]) -> None:
    _, model = models
    ids, _ = prompts("none")
    expected = model.generate(ids[:1], max_new_tokens=16)
    assert torch.equal(model.generate(ids[:1], max_new_tokens=16, prompt_lookup_num_tokens=4), expected)
    assert torch.equal(model.generate(ids[:1], max_new_tokens=16, assistant_model=model), expected)
    torch.manual_seed(0)
    drawn = model.generate(ids[:1], max_new_tokens=16, assistant_model=model, do_sample=True)
    assert 9 < drawn.shape[1] <= 25


def test_drawn_guesses_leave_the_distribution() -> None:
    draw = torch.Generator().manual_seed(0)
    own, chances = (2 * torch.randn(2, 6, generator=draw)).softmax(-1)
    found = torch.zeros(6)
    torch.manual_seed(0)
    for _ in range(4000):
        found[_drawn(own, chances, int(torch.multinomial(chances, 1)), None)] += 1
    assert float((chances - own).abs().max()) > 0.1
    assert float((found / 4000 - own).abs().max()) < 0.03


def test_what_comes_back(models: tuple[Any, Any]) -> None:
    theirs, ours = models
    ids, _ = prompts("none")
    asked = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    asked |= {"max_new_tokens": 6, "min_new_tokens": 6}
    theirs.set_attn_implementation("eager")
    try:
        more = {"output_attentions": True, "output_hidden_states": True}
        a, b = (model.generate(ids, **asked, **more) for model in models)
        c, d = (model.generate(ids, num_beams=3, **asked) for model in models)
    finally:
        theirs.set_attn_implementation("sdpa")
    assert torch.equal(a.sequences, b.sequences)
    for name in ("scores", "logits"):
        for x, y in zip(a[name], b[name], strict=True):
            torch.testing.assert_close(y, x, rtol=1e-4, atol=1e-4)
    for name in ("attentions", "hidden_states"):
        for x, y in zip(a[name], b[name], strict=True):
            for p, q in zip(x, y, strict=True):
                torch.testing.assert_close(q, p, rtol=1e-4, atol=1e-4)
    assert b.ended == ["length"] * 3
    assert torch.equal(c.sequences, d.sequences)
    assert torch.equal(c.beam_indices.long(), d.beam_indices.long())
    torch.testing.assert_close(d.sequences_scores, c.sequences_scores)
    for one, other in ((a, b), (c, d)):
        expected = theirs.compute_transition_scores(one.sequences, one.scores, one.get("beam_indices"))
        got = ours.compute_transition_scores(other.sequences, other.scores, other.get("beam_indices"))
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_many_texts_few_at_a_time(models: tuple[Any, Any]) -> None:
    _, model = models
    draw = torch.Generator().manual_seed(3)
    texts = [torch.randint(3, 98, (n,), generator=draw) for n in (3, 9, 1, 7, 5, 12, 2, 8, 4, 11)]
    room = dict(zip(map(len, texts), (5, 12, 3, 9, 2, 10, 4, 6, 8, 7), strict=True))
    config = formers.GenerationConfig(eos_token_id=2).over(None)
    with torch.inference_mode():
        found = list(write_many(model, iter(texts), config, room.__getitem__, at_once=3))
    assert sorted(text.number for text in found) == list(range(10))
    for text in found:
        alone = model.generate(texts[text.number][None], max_new_tokens=room[text.prompt], eos_token_id=2)[0]
        assert torch.equal(text.ids, alone)
        assert text.ended == ("eos" if int(text.ids[-1]) == 2 else "length")


def test_the_user_s_own_rules_and_ends(models: tuple[Any, Any]) -> None:
    _, model = models
    ids, _ = prompts("none")
    found = model.generate(ids, max_new_tokens=3, prefix_allowed_tokens_fn=lambda row, _: [3 + row])[:, 9:]
    assert found.tolist() == [[3] * 3, [4] * 3, [5] * 3]
    seven = torch.nn.functional.one_hot(torch.tensor(7), 99) * 1e4
    found = model.generate(ids, max_new_tokens=2, logits_processor=[lambda _, scores: scores + seven])[:, 9:]
    assert found.tolist() == [[7, 7]] * 3
    left, keep = prompts("left")
    found = model.generate(
        left, attention_mask=keep, max_new_tokens=2, prefix_allowed_tokens_fn=lambda row, _: [3 + row, 7],
        logits_processor=[lambda _, scores: scores + seven],
    )  # fmt: skip
    assert found[:, 9:].tolist() == [[7, 7]] * 3
    minus = [lambda _, scores: scores - seven]
    found = model.generate(
        left, attention_mask=keep, max_new_tokens=2, prefix_allowed_tokens_fn=lambda row, _: [3 + row, 7],
        logits_processor=minus,
    )  # fmt: skip
    assert found[:, 9:].tolist() == [[3] * 2, [4] * 2, [5] * 2]
    found = model.generate(
        ids, max_new_tokens=5, min_new_tokens=5, stopping_criteria=[lambda ids, _: ids.shape[1] == 11]
    )
    assert found.shape[1] == 11


def test_a_cache_goes_on(models: tuple[Any, Any]) -> None:
    _, model = models
    ids = prompts("none")[0][:1]
    first = model.generate(ids, max_new_tokens=4, min_new_tokens=4, return_dict_in_generate=True)
    expected = model.generate(first.sequences, max_new_tokens=5)
    again = model.generate(first.sequences, past_key_values=first.past_key_values, max_new_tokens=5)
    assert torch.equal(again, expected)
    of_vectors = model.generate(inputs_embeds=model.get_input_embeddings()(ids), max_new_tokens=5)
    assert torch.equal(of_vectors, model.generate(ids, max_new_tokens=5)[:, 9:])


def test_names_of_4_20(models: tuple[Any, Any]) -> None:
    _, model = models
    ids, _ = prompts("none")
    expected = model.generate(ids, max_length=15)
    assert torch.equal(model.greedy_search(ids, max_length=15), expected)
    criteria = formers.StoppingCriteriaList([formers.MaxLengthCriteria(15)])
    assert torch.equal(model.greedy_search(ids, stopping_criteria=criteria), expected)
    beams = model.generate(ids, num_beams=2, max_length=15)
    assert torch.equal(model.beam_search(ids.repeat_interleave(2, 0), num_beams=2, max_length=15), beams)


def test_streams(models: tuple[Any, Any]) -> None:
    _, model = models
    ids, keep = prompts("left")
    whole = model.generate(ids, attention_mask=keep, max_new_tokens=6)[:, 9:]
    found: list[list[int]] = [[], [], []]
    for row, token in model.stream(ids, attention_mask=keep, max_new_tokens=6):
        found[row].append(token)
    for tokens, row in zip(found, whole.tolist(), strict=True):
        assert tokens == row[: len(tokens)]
        assert set(row[len(tokens) :]) <= {98}


def test_an_error_reaches_who_reads_the_stream(models: tuple[Any, Any]) -> None:
    _, model = models
    ids = prompts("none")[0][:1]

    class Words:
        def decode(self, tokens: Any, **_: Any) -> str:
            return " ".join(map(str, tokens))

    def failing(_: torch.Tensor, __: torch.Tensor) -> torch.Tensor:
        raise ValueError("mine")

    streamer = formers.TextIteratorStreamer(Words(), timeout=20)

    def write() -> None:
        with pytest.raises(ValueError, match="mine"):
            model.generate(ids, streamer=streamer, logits_processor=[failing], max_new_tokens=3)

    task = threading.Thread(target=write)
    task.start()
    with pytest.raises(ValueError, match="mine"):
        list(streamer)
    task.join()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_length": 5}, "max_length=5, but a prompt has 9 tokens"),
    ({"max_new_tokens": 100}, "set max_new_tokens to at most"),
    ({"num_beams": 0}, "num_beams"),
    ({"top_p": 1.5, "do_sample": True}, "top_p"),
    ({"temperature": 0.0, "do_sample": True}, "temperature"),
    ({"num_return_sequences": 2}, "num_return_sequences"),
    ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences"),
    ({"eos_token_id": 1000}, "eos_token_id=1000"),
    ({"max_new_token": 3}, "max_new_token.*max_new_tokens"),
    ({"stop_strings": "a"}, "tokenizer=tokenizer"),
    ({"attention_mask": torch.zeros(3, 9, dtype=torch.long)}, "Prompt 0 has no tokens"),
    ({"attention_mask": torch.ones(3, 4, dtype=torch.long)}, "attention_mask has shape"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[", ".join(options) for options, _ in WRONG])
def test_bad_input(options: dict[str, Any], words: str) -> None:
    _, model = pair("gpt2", "causal-lm", use_cache=True)
    ids, _ = prompts("none")
    with pytest.raises(formers.FormersError, match=words):
        model.generate(ids, **options)


def test_logits_that_are_not_finite() -> None:
    _, model = pair("llama", "causal-lm", use_cache=True)
    with torch.no_grad():
        model.lm_head.weight[:] = float("nan")
    with pytest.raises(formers.InputError, match="not finite"):
        model.generate(torch.tensor([[3, 4]]), max_new_tokens=2)


def test_hooks_see_whole_batches(models: tuple[Any, Any]) -> None:
    _, model = models
    ids, keep = prompts("left")
    expected, shapes = model.generate(ids, attention_mask=keep, max_new_tokens=6), []
    handle = model.get_input_embeddings().register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape)))
    try:
        assert torch.equal(model.generate(ids, attention_mask=keep, max_new_tokens=6), expected)
    finally:
        handle.remove()
    assert shapes[0][:2] == (3, 9)
    assert {shape[:2] for shape in shapes[1:]} <= {(3, 1)}


@pytest.mark.parametrize("beams", [1, 2])
def test_types_of_tokens(models: tuple[Any, Any], beams: int) -> None:
    """GPT-2 has them; a new token is of the type of the last one."""
    theirs, ours = models
    if "token_type_ids" not in ours.inputs():
        pytest.skip("it has none")
    ids, keep = prompts("left")
    types = torch.randint(3, 98, ids.shape, generator=torch.Generator().manual_seed(5))
    given = {"attention_mask": keep, "token_type_ids": types, "max_new_tokens": 6, "num_beams": beams}
    assert torch.equal(ours.generate(ids, **given), theirs.generate(ids, **given))


@pytest.mark.parametrize("beams", [1, 3])
def test_an_encoder_s_states(beams: int) -> None:
    theirs, ours = pair("gpt2", "causal-lm", use_cache=True, add_cross_attention=True, pad_token_id=98)
    draw = torch.Generator().manual_seed(5)
    ids, keep = prompts("left")
    given = {
        "encoder_hidden_states": torch.randn(3, 9, 32, generator=draw),
        "encoder_attention_mask": torch.tensor([[1] * 9, [1] * 4 + [0] * 5, [1] * 7 + [0] * 2]),
    }
    options = {"attention_mask": keep, "max_new_tokens": 6, "num_beams": beams, "pad_token_id": 98, "eos_token_id": 2}
    expected = theirs.generate(ids, **options, **given)
    assert torch.equal(ours.generate(ids, **options, **given), expected)


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_derived_weights(models: tuple[Any, Any], mode: str) -> None:
    _, model = models
    ids, keep = prompts("left")
    expected = model.generate(ids, attention_mask=keep, max_new_tokens=6)
    model.optimize(mode)
    try:
        found = model.generate(ids, attention_mask=keep, max_new_tokens=6)
        if mode == "float32":
            assert torch.equal(found, expected)
        for row, real, whole in zip(ids, keep.bool(), found, strict=True):
            alone = model.generate(row[real][None], max_new_tokens=6)[0, int(real.sum()) :]
            assert alone.tolist() == whole[9:][: len(alone)].tolist()
    finally:
        model.optimize(None)
