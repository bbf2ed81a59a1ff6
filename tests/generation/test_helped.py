"""Guesses of models with other tokens, of first layers, and prompts that are healed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from families import pair, redraw
from small_tokenizers import byte_fallback, byte_level

import formers
from formers.generation import assisted

TEXTS = ("the stop s", "a st", "o th", "don't st", "x", "no o", "stop th", "the sth", "s t", "t")
SPECIAL = {"bos_token": "<s>", "pad_token": "<p>", "eos_token": "<e>", "unk_token": "<u>"}


def tokenizer_of(library: Any, made: Any = byte_level) -> Any:
    return library.PreTrainedTokenizerFast(tokenizer_object=made(), **SPECIAL)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def models(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    tokenizer = tokenizer_of(formers)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    both = pair(request.param, "causal-lm", use_cache=True, vocab_size=len(tokenizer), **ids)
    with torch.no_grad():  # scores that differ by more than what the last token gets
        for model in both:
            model.get_output_embeddings().weight.mul_(5)
    return both


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many guesses there are in each pass."""
    found: list[int] = []
    held = assisted._held
    monkeypatch.setattr(
        assisted, "_held", lambda text, guessed, *a: found.append(len(guessed)) or held(text, guessed, *a)
    )
    return found


@pytest.mark.parametrize("sample", [False, True])
def test_first_layers_guess(models: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, sample: bool) -> None:
    _, model = models
    ids, tried = torch.tensor([[5, 9, 40, 7]]), counted(monkeypatch)
    options = {"max_new_tokens": 12, "min_new_tokens": 12}
    names = list(model.state_dict())
    if not sample:
        expected = model.generate(ids, **options)
        assert torch.equal(model.generate(ids, assistant_early_exit=1, **options), expected)
    else:
        torch.manual_seed(0)
        assert model.generate(ids, assistant_early_exit=1, do_sample=True, **options).shape == (1, 16)
    assert max(tried) > 1
    assert list(model.state_dict()) == names  # it is left as it was
    assert model.generate(ids, **options).shape == (1, 16)


@pytest.mark.parametrize("made", [byte_fallback, byte_level])
def test_an_assistant_with_other_tokens(models: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    _, model = models
    tokenizer, other = tokenizer_of(formers), tokenizer_of(formers, made)
    _, assistant = pair("gpt2", "causal-lm", use_cache=True, vocab_size=len(other))
    redraw(assistant, 3)
    both, tried = {"tokenizer": tokenizer, "assistant_tokenizer": other}, counted(monkeypatch)
    for text in TEXTS[:4]:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        expected = model.generate(ids, max_new_tokens=12)
        assert torch.equal(model.generate(ids, max_new_tokens=12, assistant_model=assistant, **both), expected)
    assert max(tried) > 1


def test_guesses_that_are_translated_hold(models: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the model itself, which its tokenizer reads as it wrote them where they are letters."""
    _, model = models
    tokenizer, passes = tokenizer_of(formers), counted(monkeypatch)
    ids = torch.tensor([tokenizer("the stop")["input_ids"]])
    letters = [i for i in range(256) if tokenizer.decode([i]).isalpha() and tokenizer.decode([i]) not in "thesop"]
    options = {
        "max_new_tokens": 16, "min_new_tokens": 16, "suppress_tokens": [i for i in range(266) if i not in letters]
    }  # fmt: skip
    guess = assisted.translated(model, tokenizer, tokenizer)
    found, _ = guess(ids[0], 4)
    assert 0 < len(found) <= 4
    expected = model.generate(ids, **options)
    both = {"tokenizer": tokenizer, "assistant_tokenizer": tokenizer}
    assert torch.equal(model.generate(ids, assistant_model=model, **both, **options), expected)
    assert len(passes) <= 16


def test_healed_prompts_are_the_reference_s(models: tuple[Any, Any]) -> None:
    """Where the last token begins with no space, for which the reference finds no longer ones."""
    tokenizers = tokenizer_of(transformers), tokenizer_of(formers)
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "suppress_tokens": [262, 263, 264, 265], "token_healing": True}
    changed = 0
    for text in (*(text for text in TEXTS if " s" not in text[-3:]), *(f"{letter}t" for letter in "abcdefgijkl")):
        encoded = tokenizers[0](text, return_tensors="pt", return_token_type_ids=False)
        expected, found = (
            model.generate(**encoded, **options, tokenizer=t) for model, t in zip(models, tokenizers, strict=True)
        )
        assert found[0].tolist() == [i for i in expected[0].tolist() if i != 262]
        changed += not torch.equal(found[:, : encoded["input_ids"].shape[1]], encoded["input_ids"])
    assert changed


def test_a_word_is_healed_with_its_space(models: tuple[Any, Any]) -> None:
    _, model = models
    tokenizer = tokenizer_of(formers)
    ids = torch.tensor([tokenizer("the stop s")["input_ids"]])
    longer = [tokenizer.convert_tokens_to_ids(word) for word in ("Ġs", "Ġst", "Ġstop")]
    logits = model(ids[:, :-1]).logits[0, -1].detach()
    best = max(longer, key=lambda i: float(logits[i]) + (i == longer[0]))
    assert logits.max() - logits[longer].max() < 10
    found = model.generate(ids, max_new_tokens=1, token_healing=True, tokenizer=tokenizer)
    assert found[0, :-1].tolist() == [*ids[0, :-1].tolist(), best]


def test_healed_prompts_do_not_depend_on_others(models: tuple[Any, Any]) -> None:
    _, model = models
    tokenizer = tokenizer_of(formers)
    encoded = tokenizer(list(TEXTS), padding=True, return_tensors="pt", return_token_type_ids=False)
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "token_healing": True, "tokenizer": tokenizer}
    found = model.generate(**encoded, **options)
    for text, row in zip(TEXTS, found, strict=True):
        alone = model.generate(torch.tensor([tokenizer(text)["input_ids"]]), **options)[0]
        assert row[-len(alone) :].tolist() == alone.tolist()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"token_healing": True}, "tokenizer=tokenizer"),
    ({"assistant_early_exit": 2}, "the model has 2 layers"),
    ({"assistant_model": "other"}, "both tokenizers"),
    ({"assistant_model": "other", "assistant_tokenizer": 1}, "give tokenizer=tokenizer"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[words for _, words in WRONG])
def test_bad_input(models: tuple[Any, Any], options: dict[str, Any], words: str) -> None:
    if "assistant_model" in options:
        options = {**options, "assistant_model": pair("gpt2", "causal-lm", use_cache=True)[1]}
    with pytest.raises(formers.FormersError, match=words):
        models[1].generate(torch.tensor([[3, 4]]), max_new_tokens=3, **options)


def test_the_pipeline_heeds_what_whole_batches_need(models: tuple[Any, Any]) -> None:
    _, model = models
    tokenizer = tokenizer_of(formers)
    writer = formers.pipeline("text-generation", model=model, tokenizer=tokenizer)
    texts = ["the stop s", "no t", "a st"]
    for options in (
        {"guidance_scale": 2.0},
        {"watermarking_config": {"bias": 20.0}},
        {"penalty_alpha": 0.9, "top_k": 4},
        {"num_beams": 2, "force_words_ids": [[70, 71]]},
    ):
        asked: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, **options}
        found = writer(texts, return_tensors=True, **asked)
        changed = False
        for text, one in zip(texts, found, strict=True):
            encoded = torch.tensor([tokenizer(text)["input_ids"]])
            expected = model.generate(encoded, **asked, tokenizer=tokenizer)[0].tolist()
            assert one[0]["generated_token_ids"] == expected
            changed |= expected != model.generate(encoded, max_new_tokens=6)[0].tolist()
        assert changed
    with pytest.raises(formers.ArgumentError, match="token_healing changes"):
        writer(texts, token_healing=True)


def test_streams_are_of_single_texts(models: tuple[Any, Any]) -> None:
    _, model = models
    with pytest.raises(formers.InputError, match="num_beams=2"):
        next(model.stream(torch.tensor([[3, 4]]), num_beams=2, max_new_tokens=3))
    options = {"penalty_alpha": 0.9, "top_k": 4, "max_new_tokens": 6}
    found = [token for _, token in model.stream(torch.tensor([[3, 4]]), **options)]
    assert found == model.generate(torch.tensor([[3, 4]]), **options)[0, 2:].tolist()
