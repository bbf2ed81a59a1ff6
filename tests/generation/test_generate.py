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


@pytest.mark.parametrize("hook", [False, True])
@pytest.mark.parametrize("beams", [1, 2])
def test_a_cache_of_texts_that_ended_apart(models: tuple[Any, Any], beams: int, hook: bool) -> None:
    """The cache is of the caller's texts in the caller's order, and of all of them."""
    _, model = models
    ids, keep = prompts("left")
    handle = model.get_input_embeddings().register_forward_hook(lambda *_: None) if hook else None
    asked = {"max_new_tokens": 8, "no_repeat_ngram_size": 1, "suppress_tokens": [98]}
    plain = model.generate(ids, attention_mask=keep, **asked, eos_token_id=None)
    ends = [int(plain[0, 11]), int(plain[1, 13])]
    asked |= {"return_dict_in_generate": True, "eos_token_id": ends, "num_beams": beams}
    first = model.generate(ids, attention_mask=keep, num_return_sequences=beams, **asked)
    if handle is not None:
        handle.remove()
    if beams > 1:
        assert len(first.past_key_values.lengths) == 6  # of beams, whichever they were in the end
        return
    real = torch.cat([keep, (first.sequences[:, 9:] != 98).long()], 1)
    assert len({*real[:, 9:].sum(1).tolist()}) > 1
    held = [length - 1 for length in real.sum(1).tolist()]
    assert first.past_key_values.lengths == held
    whole, real = torch.cat([first.sequences, ids[:, -2:]], 1), torch.nn.functional.pad(real, (0, 2), value=1)
    expected = model.generate(whole, attention_mask=real, max_new_tokens=5)
    again = model.generate(whole, attention_mask=real, past_key_values=first.past_key_values, max_new_tokens=5)
    assert torch.equal(again, expected)
    with pytest.raises(formers.InputError, match="past_key_values is of 3 texts, but there are 2"):
        model.generate(whole[:2], attention_mask=real[:2], past_key_values=first.past_key_values)
    with pytest.raises(formers.InputError, match=r"hold \d+ tokens of text 0, and its prompt has 2"):
        model.generate(whole[:, -2:], past_key_values=first.past_key_values)


def test_padding_of_texts_that_ended_takes_no_places() -> None:
    """While another text of a watched batch goes on to the last position."""
    _, model = pair("gpt2", "causal-lm", use_cache=True, pad_token_id=98)
    ids = torch.randint(3, 98, (2, 30), generator=torch.Generator().manual_seed(0))
    keep = torch.ones_like(ids)
    keep[1, :27] = 0
    options = {"attention_mask": keep, "max_length": 40, "eos_token_id": None, "pad_token_id": 98}
    expected = model.generate(ids, **options)
    model.get_input_embeddings().register_forward_hook(lambda *_: None)
    assert torch.equal(model.generate(ids, **options), expected)
    assert expected.shape == (2, 67)


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


def test_beams_are_no_stream(models: tuple[Any, Any]) -> None:
    with pytest.raises(formers.InputError, match="num_beams=1"):
        next(models[1].stream(prompts("none")[0], num_beams=2))


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
    ({"num_beams": "2"}, "num_beams='2'"),
    ({"seed": 2**64, "do_sample": True}, "seed=18446744073709551616"),
    ({"token_typ_ids": 1}, "token_typ_ids"),
    ({"generation_config": {"max_new_tokens": 3}}, "generation_config is a dict"),
    ({"logits_processor": print}, r"logits_processor is a builtin_function_or_method.*logits_processor=\[…\]"),
    ({"logits_processor": [formers.TopKLogitsWarper]}, "TopKLogitsWarper is a class"),
    ({"logits_processor": [lambda _, scores: scores[:, :5]]}, r"gave \(3, 5\) for scores of shape \(3, 99\)"),
    ({"logits_processor": [lambda *_: None]}, "logits_processor gave None"),
    ({"stopping_criteria": print}, "stopping_criteria is a"),
    ({"stopping_criteria": [lambda *_: None]}, "gave None: a criterion returns True or False"),
    ({"stopping_criteria": [formers.MaxTimeCriteria]}, "MaxTimeCriteria is a class"),
    ({"prefix_allowed_tokens_fn": lambda *_: []}, "allows nothing after the 9 tokens of text 0"),
    ({"prefix_allowed_tokens_fn": lambda *_: None}, "prefix_allowed_tokens_fn gave None for text 0"),
    ({"prefix_allowed_tokens_fn": lambda *_: [-1]}, r"prefix_allowed_tokens_fn=\[-1\]"),
    ({"prefix_allowed_tokens_fn": lambda *_: [99]}, r"prefix_allowed_tokens_fn=\[99\]: the vocabulary has 99"),
    ({"position_ids": torch.arange(9) + 5}, "position_ids are not those"),
    ({"position_ids": torch.zeros(3, 4)}, "position_ids are not those"),
    ({"streamer": "a"}, "streamer is a str, which has no `put`"),
    ({"assistant_model": "a"}, "assistant_model is a str"),
    ({"inputs_embeds": torch.zeros(3, 4, 32)}, r"input_ids has shape \(3, 9\), but inputs_embeds is of \(3, 4\)"),
    ({"attention_mask": torch.zeros(3, 9, dtype=torch.long)}, "Prompt 0 has no tokens"),
    ({"attention_mask": torch.ones(3, 4, dtype=torch.long)}, "attention_mask has shape"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[", ".join(options) for options, _ in WRONG])
def test_bad_input(options: dict[str, Any], words: str) -> None:
    _, model = pair("gpt2", "causal-lm", use_cache=True)
    ids, _ = prompts("none")
    with pytest.raises(formers.FormersError, match=words):
        model.generate(ids, **options)


NO_CHOICE: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 3},
    "drawn beams": {"num_beams": 3, "do_sample": True},
    "guesses": {"prompt_lookup_num_tokens": 2},
}


@pytest.mark.parametrize("way", NO_CHOICE)
@pytest.mark.parametrize("weight", [float("nan"), float("inf"), None])
def test_logits_of_which_none_can_be_chosen(way: str, weight: float | None) -> None:
    """Weights that are no numbers, or all tokens suppressed."""
    _, model = pair("llama", "causal-lm", use_cache=True)
    options = {"max_new_tokens": 2, **NO_CHOICE[way]}
    if weight is None:
        options["suppress_tokens"] = list(range(99))
    else:
        with torch.no_grad():
            model.lm_head.weight[:] = weight
    with pytest.raises(formers.InputError, match="not finite"):
        model.generate(torch.tensor([[3, 4]]), **options)


@pytest.mark.parametrize("helper", ["prompt", "model"])
def test_guesses_heed_the_rest_of_what_is_asked(models: tuple[Any, Any], helper: str) -> None:
    _, model = models
    ids = prompts("none")[0][:1]
    guesses = {"prompt_lookup_num_tokens": 3} if helper == "prompt" else {"assistant_model": model}
    asked = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True, "max_new_tokens": 8}
    asked |= {"repetition_penalty": 1.3}
    expected, found = model.generate(ids, **asked), model.generate(ids, **asked, **guesses)
    assert torch.equal(found.sequences, expected.sequences)
    for name in ("scores", "logits"):
        assert len(found[name]) == len(expected[name]) == found.sequences.shape[1] - 9
        for x, y in zip(found[name], expected[name], strict=True):
            torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)
    more = torch.cat([found.sequences, ids[:, :2]], 1)
    again = model.generate(more, past_key_values=found.past_key_values, max_new_tokens=4)
    assert torch.equal(again, model.generate(more, max_new_tokens=4))
    late = model.generate(ids, **asked | {"max_time": 1e-9}, **guesses)
    assert late.ended == ["time"] and late.sequences.shape[1] == 10


def test_vectors_of_tokens_that_are_given_too(models: tuple[Any, Any]) -> None:
    """The vectors are read; the tokens are what rules see, and come back."""
    theirs, ours = models
    ids, keep = prompts("left")
    vectors = ours.get_input_embeddings()(ids.flip(1)).detach()
    options = {"attention_mask": keep, "inputs_embeds": vectors, "max_new_tokens": 6}
    rules: list[dict[str, Any]] = [{}, {"no_repeat_ngram_size": 1, "suppress_tokens": [98]}, {"num_beams": 2}]
    for rule in rules:
        expected, found = (model.generate(ids, **options, **rule) for model in (theirs, ours))
        assert torch.equal(found, expected)
    assert ours.generate(ids[:1], inputs_embeds=vectors[:1], max_length=15).shape == (1, 15)


@pytest.mark.parametrize("way", ["greedy", "beams", "drawn"])
def test_padding_without_a_mask(models: tuple[Any, Any], way: str) -> None:
    """It is told by its id, but not where a text may end with that."""
    ids, keep = prompts("left")
    for more in ({}, {"eos_token_id": [2, 98]}, {"pad_token_id": None}, {"pad_token_id": 7}):
        found = []
        for model in models:
            torch.manual_seed(1)
            found.append(model.generate(ids, max_new_tokens=6, **WAYS[way], **more))
        assert torch.equal(found[1], found[0]), more
    _, ours = models
    torch.manual_seed(1)
    told = ours.generate(ids, max_new_tokens=6, **WAYS[way])
    torch.manual_seed(1)
    assert torch.equal(told, ours.generate(ids, attention_mask=keep, max_new_tokens=6, **WAYS[way]))


@pytest.mark.parametrize(
    ("family", "changes"), [("bert", {"is_decoder": False}), ("gemma3", {"use_bidirectional_attention": True})]
)
def test_models_that_see_what_comes(family: str, changes: dict[str, Any]) -> None:
    _, model = pair(family, "causal-lm", **changes)
    with pytest.raises(formers.InputError, match=r"cannot write on.*is_decoder=True"):
        model.generate(prompts("none")[0])
    with pytest.raises(formers.InputError, match="cannot write on"):
        next(model.stream(prompts("none")[0]))


def test_what_asks_for_nothing(models: tuple[Any, Any]) -> None:
    _, model = models
    ids, _ = prompts("none")
    nothing: dict[str, Any] = dict.fromkeys(("custom_generate", "assistant_tokenizer", "negative_prompt_ids"))
    found = model.generate(ids, labels=ids, trust_remote_code=True, max_new_tokens=3, **nothing)
    assert torch.equal(found, model.generate(ids, max_new_tokens=3))
    for places in (torch.arange(9), torch.arange(9)[None], torch.arange(9).expand(3, 9)):
        assert torch.equal(found, model.generate(ids, position_ids=places, max_new_tokens=3))
    if "token_type_ids" not in model.inputs():
        with pytest.raises(formers.ArgumentError, match="return_token_type_ids=False"):
            model.generate(ids, token_type_ids=ids)
    with pytest.raises(formers.NotTensorError, match="encoding"):
        model.generate({"input_ids": ids})
    with pytest.raises(formers.InputError, match="give one at least"):
        model.generate(ids[:0])


@pytest.mark.parametrize("mode", [None, "float32", "int8"])
def test_an_interrupted_call_leaves_the_model_as_it_was(mode: str | None) -> None:
    _, model = pair("llama", "causal-lm", use_cache=True)
    model.optimize(mode)
    ids, calls = prompts("none")[0], list[int]()

    def interrupted(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return scores

    expected = model.generate(ids, max_new_tokens=6)
    with pytest.raises(KeyboardInterrupt):
        model.generate(ids, max_new_tokens=6, logits_processor=[interrupted])
    assert len(calls) == 3 and torch.equal(model.generate(ids, max_new_tokens=6), expected)


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


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("mask", MASKS)
def test_inputs_that_a_program_prepares(models: tuple[Any, Any], mask: str, beams: int) -> None:
    """Vectors that it puts before the prompt, and the tokens that it takes out of it, at every pass."""
    model = models[1]
    ids, keep = prompts(mask)
    vectors = torch.randn(1, 3, model.get_input_embeddings().embedding_dim, generator=torch.Generator().manual_seed(3))
    asked: dict[str, Any] = {"max_new_tokens": 6, "num_beams": beams}
    before = torch.cat([vectors.expand(3, -1, -1), model.get_input_embeddings()(ids)], 1)
    wide = torch.cat([torch.ones(3, 3, dtype=torch.long), keep], 1)
    expected = model.generate(inputs_embeds=before, attention_mask=wide, **asked)
    plain, usual = model.generate(ids, attention_mask=keep, **asked), model.prepare_inputs_for_generation
    passes = []

    def prepared(input_ids: torch.Tensor, past_key_values: Any = None, **kwargs: Any) -> Any:
        found = usual(input_ids, past_key_values=past_key_values, **kwargs)
        passes.append(found["input_ids"].shape[1])
        found["attention_mask"] = torch.cat([torch.ones(len(input_ids), 3), found["attention_mask"]], 1)
        new = 1 if past_key_values is not None else 3 + input_ids.shape[1]
        found["position_ids"] = (found["attention_mask"].cumsum(1) - 1).clamp(min=0)[:, -new:].long()
        if past_key_values is None:
            ids = found.pop("input_ids")
            found["inputs_embeds"] = torch.cat([vectors.expand(len(ids), -1, -1), model.get_input_embeddings()(ids)], 1)
        return found

    model.prepare_inputs_for_generation = prepared
    try:
        found = model.generate(ids, attention_mask=keep, **asked)
    finally:
        del model.prepare_inputs_for_generation
    assert passes[0] == ids.shape[1] and set(passes[1:]) == {1}
    assert found[:, : ids.shape[1]].tolist() == ids.tolist() and found[:, ids.shape[1] :].tolist() == expected.tolist()
    assert model.generate(ids, attention_mask=keep, **asked).tolist() == plain.tolist()
