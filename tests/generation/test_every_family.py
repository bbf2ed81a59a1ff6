"""What every family of decoders writes, beside the reference; and that no way of asking for it changes what it is."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
import transformers
from families import difference, having, pair

import formers

FAMILIES = having("causal-lm")
PAD = 98
TOKENS = {"pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": 2}
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"no_repeat_ngram_size": 1, "suppress_tokens": [PAD]},  # no token twice, so that texts go on changing
    "beams": {"num_beams": 4},
    "drawn": {"do_sample": True},
}
# longer than the windows of all tiny models, which are 3 or 4 columns
MASKS = {
    "alone": [[1] * 9],
    "left": [[1] * 9, [0] * 4 + [1] * 5, [0] * 7 + [1] * 2],
    "right": [[1] * 9, [1] * 5 + [0] * 4, [1] * 2 + [0] * 7],
}
brief = pytest.mark.brief(lambda way, mask, **_: way == "greedy" and mask == "left")


@cache
def writers(family: str, mask: str = "alone") -> tuple[Any, Any]:
    """The reference's model and ours, who write with the same tokens for padding and the end."""
    # where RoFormer turns values too, a text's place counts, and padding on the left moves it in the reference
    changes = {"rotary_value": False} if family == "roformer" and mask != "alone" else {}
    theirs, ours = pair(family, "causal-lm", use_cache=True, **changes)
    theirs.generation_config = transformers.GenerationConfig(**TOKENS)
    ours.generation_config = formers.GenerationConfig(**TOKENS)
    padding = getattr(getattr(ours.base_model, "embeddings", None), "padding_idx", None)
    if padding is not None:
        # RoBERTa's positions count from padding_idx + 1, and in the reference's own forward they do; but its `generate`
        # of 5.x hands it positions from 0, and so writes what the model does not predict
        def corrected(_: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            if kwargs.get("position_ids") is not None:
                kwargs["position_ids"] = kwargs["position_ids"] + padding + 1
            return args, kwargs

        theirs.base_model.register_forward_pre_hook(corrected, with_kwargs=True)
    return theirs, ours


def prompts(mask: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The same texts (3, 9) with padding on either side, or the first of them; and their mask."""
    keep = torch.tensor(MASKS[mask])
    texts = torch.randint(3, PAD, (3, 9), generator=torch.Generator().manual_seed(0))
    ids = torch.full(keep.shape, PAD)
    for row, real in enumerate(keep.bool()):
        ids[row, real] = texts[row, : int(real.sum())]
    return ids, keep


def written(model: Any, mask: str, **options: Any) -> Any:
    """New tokens of each text."""
    ids, keep = prompts(mask)
    torch.manual_seed(1)
    found: torch.Tensor = model.generate(ids, attention_mask=keep, **{"max_new_tokens": 12, **options})
    return found[:, ids.shape[1] :].tolist()


@brief
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_the_reference_s(family: str, way: str, mask: str) -> None:
    """The reference needs padding on the left; here it makes no difference."""
    theirs, ours = writers(family, mask)
    expected = written(theirs, "left" if mask == "right" else mask, **WAYS[way])
    assert written(ours, mask, **WAYS[way]) == expected


@pytest.mark.brief(lambda family, **_: family in ("gpt2", "mistral", "roformer"))
@pytest.mark.parametrize("family", FAMILIES)
def test_guesses_change_nothing(family: str) -> None:
    """Of a second model, some of whose guesses hold; and of the prompt."""
    theirs, ours = writers(family)
    drafts = pair(family, "causal-lm", use_cache=True)
    for draft in drafts:
        draft.load_state_dict(ours.state_dict())
        with torch.no_grad():
            for parameter in draft.base_model.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    expected = written(ours, "alone", max_new_tokens=16)
    for model, draft in zip((theirs, ours), drafts, strict=True):
        assert written(model, "alone", max_new_tokens=16, assistant_model=draft) == expected
        assert written(model, "alone", max_new_tokens=16, prompt_lookup_num_tokens=3) == expected


SHORT = {"max_new_tokens": 4, "min_new_tokens": 4}
few = pytest.mark.brief(lambda family, **_: family in ("bert", "gemma3", "gpt_neo", "roberta", "roformer"))


@few
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_asked_for_beside_changes_nothing(family: str, mask: str) -> None:
    """Attentions and hidden states, hooks, vectors for tokens, no cache, several texts of a prompt: the same tokens."""
    _, ours = writers(family, mask)
    (ids, keep), expected = prompts(mask), written(ours, mask, **SHORT)
    named = {"return_dict_in_generate": True, **SHORT}
    found = ours.generate(ids, attention_mask=keep, output_attentions=True, output_hidden_states=True, **named)
    assert found.sequences[:, 9:].tolist() == expected
    assert len(found.attentions) == len(found.hidden_states) == 4
    assert found.attentions[0][-1].shape == (len(ids), 4, 9, 9)
    assert found.attentions[3][-1].shape == (len(ids), 4, 1, 12)
    assert found.hidden_states[0][-1].shape[:2] == (len(ids), 9)
    handle = ours.get_input_embeddings().register_forward_hook(lambda *_: None)
    assert written(ours, mask, **SHORT) == expected
    handle.remove()
    assert written(ours, mask, use_cache=False, **SHORT) == expected
    drawn = written(ours, mask, do_sample=True, num_return_sequences=2, top_k=1, **SHORT)
    assert drawn[::2] == drawn[1::2] == expected
    best = written(ours, mask, num_beams=3, **SHORT)
    assert written(ours, mask, num_beams=3, num_return_sequences=3, **SHORT)[::3] == best
    vectors = ours.get_input_embeddings()(ids)
    assert ours.generate(inputs_embeds=vectors, attention_mask=keep, **SHORT).tolist() == expected


@few
@pytest.mark.parametrize("family", FAMILIES)
def test_some_of_the_logits(family: str) -> None:
    """The last ones, or those of some columns; with a cache and without one."""
    _, ours = writers(family)
    ids, keep = prompts("left")
    ids = ids.masked_fill(keep == 0, 1)  # by its id RoBERTa tells what takes no position
    with torch.no_grad():
        whole = ours(ids, attention_mask=keep).logits
        first = ours(ids[:, :4], attention_mask=keep[:, :4])
        rest = ours(ids[:, 4:], attention_mask=keep, past_key_values=first.past_key_values, logits_to_keep=2).logits
        assert difference(ours(ids, attention_mask=keep, logits_to_keep=2).logits, whole[:, -2:]) < 1e-5
        columns = torch.tensor([8, 7])
        assert difference(ours(ids, attention_mask=keep, logits_to_keep=columns).logits, whole[:, [8, 7]]) < 1e-5
        assert difference(rest, whole[:, -2:]) < 1e-5


@few
@pytest.mark.parametrize("family", FAMILIES)
def test_a_talk_goes_on(family: str) -> None:
    """Each turn gives the last one's cache, with some tokens more; whatever kind of cache it was."""
    theirs, ours = writers(family)
    asked = {"return_dict_in_generate": True, "max_new_tokens": 5, "suppress_tokens": [2, PAD]}
    more = torch.randint(3, PAD, (3, 3), generator=torch.Generator().manual_seed(8))
    for mask in ("alone", "left"):
        ids, keep = prompts(mask)
        for first in (None, formers.DynamicCache(), formers.StaticCache(ours.config, max_cache_len=64)):
            whole, real, kept = ids, keep, first
            for _ in range(3):
                expected = ours.generate(whole, attention_mask=real, **asked).sequences
                found = ours.generate(whole, attention_mask=real, past_key_values=kept, **asked)
                assert torch.equal(found.sequences, expected)
                kept, whole = found.past_key_values, torch.cat([found.sequences, more[: len(ids)]], 1)
                real = torch.nn.functional.pad(real, (0, 8), value=1)
            if mask == "alone":
                assert torch.equal(theirs.generate(whole[:, :-8], **asked).sequences, expected)
            # and a pass of the caller's own goes on, too
            again = ours(whole[:, -4:], attention_mask=real, past_key_values=kept).logits
            assert difference(again[0], ours(whole[:1], attention_mask=real[:1]).logits[0, -4:]) < 1e-5
