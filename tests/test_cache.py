"""Passes on top of a cache: the same numbers as without one, whatever the padding; and what people do with a cache."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import MASKS, difference, having, pair, written_out

import formers
from formers import registry
from formers.errors import InputError

CACHED = having("causal-lm")
few: pytest.MarkDecorator = pytest.mark.brief(lambda family, **_: family in ("llama", "gpt2", "qwen2", "roberta"))
TOLERANCE = 1e-5


def both(family: str, **changes: Any) -> tuple[Any, Any]:
    return pair(family, "causal-lm", use_cache=True, **changes)


def drawn(columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(3, 99, (3, columns), generator=torch.Generator().manual_seed(seed))


def given(model: Any, mask: torch.Tensor, first: int = 0) -> dict[str, torch.Tensor]:
    """The mask so far, and positions that count real tokens, of the columns from `first` on."""
    places = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)[:, first:]}
    return {"attention_mask": mask, **(places if "position_ids" in model.inputs() else {})}


@few
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("family", CACHED)
def test_a_pass_in_two_parts(family: str, kernel: str) -> None:
    _, ours = both(family, attn_implementation=kernel)
    ids = drawn(9)
    with torch.no_grad():
        whole = ours(ids, use_cache=False)
        assert whole.past_key_values is None
        for cut in range(1, 9):
            first = ours(ids[:, :cut])
            assert first.past_key_values.get_seq_length() == cut
            second = ours(ids[:, cut:], past_key_values=first.past_key_values)
            assert second.past_key_values is first.past_key_values and len(second.past_key_values) == 2
            assert difference(torch.cat([first.logits, second.logits], 1), whole.logits) < TOLERANCE, cut
        cache = None
        for column in range(9):
            one = ours(ids[:, column : column + 1], past_key_values=cache)
            cache = one.past_key_values
        assert difference(one.logits[:, 0], whole.logits[:, -1]) < TOLERANCE


@few
@pytest.mark.parametrize("how", ["packed", "hook", "attentions", "eager"])
@pytest.mark.parametrize("mask", ["right", "left", "holes"])
@pytest.mark.parametrize("family", CACHED)
def test_texts_of_different_lengths(family: str, mask: str, how: str) -> None:
    """Beside the reference: a prompt with padding, two tokens more of each text, and then one."""
    theirs, ours = both(family)
    written_out(theirs)
    if how == "hook":
        ours.get_input_embeddings().register_forward_hook(lambda *_: None)
    if how == "eager":
        ours.set_attn_implementation("eager")
    asked = {"output_attentions": True} if how == "attentions" else {}
    keep, ids = torch.tensor(MASKS[mask]), drawn(12)
    keep = torch.cat([keep, torch.ones(3, 3, dtype=torch.long)], 1)
    kept: list[Any] = [None, None]
    for start, end in ((0, 9), (9, 11), (11, 12)):
        seen = keep[:, :end]
        with torch.no_grad():
            expected = theirs(ids[:, start:end], past_key_values=kept[0], **given(ours, seen, start), **asked)
            got = ours(ids[:, start:end], past_key_values=kept[1], **given(ours, seen, start), **asked)
        kept = [expected.past_key_values, got.past_key_values]
        real = seen[:, start:].bool()
        assert difference(got.logits[real], expected.logits[real]) < TOLERANCE, start
        for a, b in zip(got.attentions or (), expected.attentions or (), strict=True):
            a, b = a.transpose(1, 2)[real], b.transpose(1, 2)[real]
            assert difference(a[..., -b.shape[-1] :], b) < TOLERANCE  # there a window forgets what is behind it


@few
@pytest.mark.parametrize("mask", ["none", "right", "left", "holes"])
@pytest.mark.parametrize("family", CACHED)
def test_parts_cut_anywhere(family: str, mask: str) -> None:
    """Beside the reference's own cache: twelve columns in two parts and in three, of lengths of every kind."""
    theirs, ours = both(family)
    written_out(theirs)
    keep, ids = torch.nn.functional.pad(torch.tensor(MASKS[mask]), (0, 3), value=1), drawn(12)
    with torch.no_grad():
        whole = ours(ids, **given(ours, keep)).logits
        assert difference(whole[keep.bool()], theirs(ids, **given(ours, keep)).logits[keep.bool()]) < TOLERANCE
        for cuts in [(i,) for i in range(1, 12)] + [(1, 2), (1, 11), (3, 4), (4, 8), (5, 6), (9, 10), (10, 11)]:
            kept: list[Any] = [None, None]
            for start, end in itertools.pairwise((0, *cuts, 12)):
                seen = given(ours, keep[:, :end], start)
                a, b = (
                    model(ids[:, start:end], past_key_values=past, **seen)
                    for model, past in zip((theirs, ours), kept, strict=True)
                )
                kept, real = [a.past_key_values, b.past_key_values], keep[:, start:end].bool()
                if real.any():
                    assert difference(b.logits[real], whole[:, start:end][real]) < TOLERANCE, cuts
                    assert difference(b.logits[real], a.logits[real]) < TOLERANCE, cuts


@few
@pytest.mark.parametrize("mask", ["none", "left", "right"])
@pytest.mark.parametrize("family", CACHED)
def test_tuples_of_release_4(family: str, mask: str) -> None:
    _, ours = both(family)
    keep, ids = torch.tensor(MASKS[mask]), drawn(11)
    longer = torch.cat([keep, torch.ones(3, 2, dtype=torch.long)], 1)
    with torch.no_grad():
        first = ours(ids[:, :9], **given(ours, keep))
        pairs = first.past_key_values.to_legacy_cache()
        assert len(pairs) == 2 and pairs[0][0].shape == pairs[0][1].shape and pairs[0][0].shape[::2] == (3, 9)
        assert difference(first.past_key_values[-1][0], pairs[1][0]) == 0
        assert [tuple(k.shape) for k, _ in first.past_key_values] == [tuple(k.shape) for k, _ in pairs]
        expected = ours(ids[:, 9:], past_key_values=first.past_key_values, **given(ours, longer, 9)).logits
        for form in (pairs, [list(one) for one in pairs], formers.DynamicCache.from_legacy_cache(pairs)):
            got = ours(ids[:, 9:], past_key_values=form, **given(ours, longer, 9)).logits
            assert difference(got, expected) < TOLERANCE and len(pairs[0][0][0, 0]) == 9


@few
@pytest.mark.parametrize("family", CACHED)
def test_what_is_done_with_a_cache(family: str) -> None:
    _, ours = both(family)
    ids, keep = drawn(11), torch.tensor(MASKS["left"])
    longer = torch.cat([keep, torch.ones(3, 2, dtype=torch.long)], 1)

    def after(cache: Any, texts: Any) -> torch.Tensor:
        found: torch.Tensor = ours(ids[texts, 9:], past_key_values=cache, **given(ours, longer[texts], 9)).logits
        return found

    with torch.no_grad():
        expected = after(ours(ids[:, :9], **given(ours, keep)).past_key_values, [0, 1, 2])
        cache = ours(ids[:, :9], **given(ours, keep)).past_key_values
        cache.reorder_cache(torch.tensor([2, 0]))
        assert difference(after(cache, [2, 0]), expected[[2, 0]]) < TOLERANCE
        cache = ours(ids[:, :9], **given(ours, keep)).past_key_values
        cache.batch_repeat_interleave(2)
        assert difference(after(cache, [0, 0, 1, 1, 2, 2]), expected.repeat_interleave(2, 0)) < TOLERANCE
        assert cache.get_seq_length() == 11
        for length in (9, -2):
            cache = ours(ids, **given(ours, longer)).past_key_values
            cache.crop(length)
            assert cache.get_seq_length() == 9 and cache[0][0].shape[2] == 9
            assert difference(after(cache, [0, 1, 2]), expected) < TOLERANCE
        cache.reset()
        assert cache.get_seq_length() == 0 and len(cache) == 0
        roomy = formers.StaticCache(ours.config, max_cache_len=20)
        ours(ids[:, :9], past_key_values=roomy, **given(ours, keep))
        assert roomy.get_max_cache_shape() == 20 and difference(after(roomy, [0, 1, 2]), expected) < TOLERANCE


@few
@pytest.mark.parametrize("tuples", [False, True])
@pytest.mark.parametrize("mask", ["none", "right", "left"])
@pytest.mark.parametrize("family", CACHED)
def test_gradients_through_a_cache(family: str, mask: str, tuples: bool) -> None:
    _, ours = both(family)
    ids, keep = drawn(9), torch.tensor(MASKS[mask])
    real = keep.bool()
    ours(ids, **given(ours, keep), use_cache=False).logits[real].square().sum().backward()
    expected = {name: p.grad.clone() for name, p in ours.named_parameters() if p.grad is not None}
    ours.zero_grad()
    parts: list[torch.Tensor] = []
    cache: Any = None
    for start, end in ((0, 2), (2, 5), (5, 9)):
        out = ours(ids[:, start:end], past_key_values=cache, **given(ours, keep[:, :end], start))
        cache = out.past_key_values.to_legacy_cache() if tuples else out.past_key_values
        parts.append(out.logits)
    torch.cat(parts, 1)[real].square().sum().backward()
    largest = max(float(g.abs().max()) for g in expected.values())
    for name, parameter in ours.named_parameters():
        if name in expected:
            assert float((parameter.grad - expected[name]).abs().max()) < TOLERANCE * largest, name


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_masks_and_texts_that_contradict_the_cache(family: str) -> None:
    _, ours = both(family)
    ids, keep = drawn(10), torch.tensor(MASKS["left"])
    one, ones = ids[:, 9:], torch.ones(3, 1, dtype=torch.long)
    cache = ours(ids[:, :9], attention_mask=keep).past_key_values
    for wrong in (torch.ones(3, 10), torch.cat([keep.flip(0), ones], 1)):
        with pytest.raises(formers.InputError, match=r"attention_mask differs.*past_key_values"):
            ours(one, attention_mask=wrong, past_key_values=cache)
    with pytest.raises(formers.InputError, match="attention_mask"):
        ours(one, attention_mask=torch.ones(3, 4), past_key_values=cache)
    with pytest.raises(formers.InputError, match=r"3 texts.*2"):
        ours(one[:2], past_key_values=cache)
    nothings: tuple[Any, ...] = ((1, 2), ((torch.ones(2),),), [[None]])
    for nothing in nothings:
        with pytest.raises(formers.InputError, match="past_key_values should be"):
            ours(one, past_key_values=nothing)
    assert cache.get_seq_length() == 9  # nothing of this has been added


def test_no_cache_while_activations_are_computed_again() -> None:
    _, ours = both("llama")
    ours.train().gradient_checkpointing_enable()
    assert ours(drawn(4)).past_key_values is None
    assert ours.eval()(drawn(4)).past_key_values is not None


def test_no_cache_of_a_model_that_sees_both_ways() -> None:
    _, ours = both("gemma3", use_bidirectional_attention=True)
    out = ours(drawn(4))
    assert out.past_key_values is None
    with pytest.raises(formers.InputError, match="past_key_values"):
        ours(drawn(1), past_key_values=formers.DynamicCache())


LONG = {"short_factor": [1.0, 1.5, 2.0, 3.0], "long_factor": [2.0, 4.0, 6.0, 8.0]}
SCALED: dict[str, dict[str, Any]] = {
    "linear": {"factor": 2.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 10},
    "yarn with its numbers": {
        "factor": 4.0, "original_max_position_embeddings": 10, "beta_fast": 4.0, "beta_slow": 2.0,
        "mscale": 0.5, "mscale_all_dim": 0.7, "truncate": False,
    },
    "longrope": {"factor": 4.0, "original_max_position_embeddings": 10, **LONG},
    "longrope without a factor": {"original_max_position_embeddings": 10, **LONG},
    "llama3": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 10,
    },
}  # fmt: skip


@pytest.mark.parametrize("words", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize("name", SCALED)
def test_angles_of_long_texts(name: str, words: str) -> None:
    """Beside the reference, on texts below and beyond the trained lengths, with the words of releases 5 and 4."""
    given = {"rope_type": name.split()[0], "rope_theta": 100.0, **SCALED[name]}
    if words == "rope_scaling":
        given["type"] = given.pop("rope_type")
    theirs, ours = both("llama", **{words: given})
    assert ours.config.rope_parameters == {k: v for k, v in theirs.config.rope_parameters.items() if k != "type"}
    with torch.no_grad():
        for length in (5, 30, 60, 20):
            ids = drawn(length)
            assert difference(ours(ids).logits, theirs(ids).logits) < TOLERANCE, length


@pytest.mark.parametrize("wrong", [{"rope_type": "liner", "factor": 2.0}, {"rope_type": "linear"}])
def test_angles_that_nobody_knows(wrong: dict[str, Any]) -> None:
    with pytest.raises(formers.ConfigError, match=r"rope_parameters.*(linear|factor)"):
        formers.LlamaModel(formers.LlamaConfig(hidden_size=8, num_attention_heads=2, rope_parameters=wrong))


def test_a_cache_as_5_x_shows_it() -> None:
    theirs, ours = both("llama")
    ids = drawn(5)
    expected, got = (model(ids).past_key_values for model in (theirs, ours))
    assert isinstance(got, formers.DynamicCache) and isinstance(expected, transformers.DynamicCache)
    layers: list[Any] = expected.layers
    for mine, other in zip(got.layers, layers, strict=True):
        assert difference(mine.keys, other.keys) < TOLERANCE and difference(mine.values, other.values) < TOLERANCE
    assert got.get_seq_length() == expected.get_seq_length() == 5 and got.nbytes > 0
    assert "2 layers, 5 columns of 3 texts" in repr(got)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "falcon", "phi3"])
def test_files_of_4_x_say_how_angles_grow(family: str, tmp_path: Path) -> None:
    """A base and a scaling in keys of their own; `rope_parameters` came with 5."""
    kind = registry.load(family).HEADS["base"].config_class
    values = registry.load(family).TINY | {"model_type": kind.model_type, "rope_theta": 500.0}
    values.pop("rope_parameters", None)
    scaled = values | {"rope_scaling": {"type": "linear", "factor": 4.0}}
    for given, expected in ((values, "default"), (scaled, "linear")):
        (tmp_path / "config.json").write_text(json.dumps(given))
        config = formers.AutoConfig.from_pretrained(tmp_path)
        assert (config.rope_theta, config.rope_parameters["rope_type"]) == (500.0, expected)
        assert formers.AutoConfig.from_pretrained(tmp_path, rope_theta=7.0).rope_parameters["rope_theta"] == 7.0
    config.rope_scaling = None
    assert config.rope_parameters["rope_type"] == "default"
    assert config.rope_theta == 500.0
    if family == "gpt_neox":
        (tmp_path / "config.json").write_text(json.dumps(values | {"rotary_pct": 0.5, "rotary_emb_base": 9.0}))
        config = formers.AutoConfig.from_pretrained(tmp_path)
        assert config.rope_parameters["partial_rotary_factor"] == 0.5


@few
@pytest.mark.parametrize("family", CACHED)
def test_caches_of_other_libraries(family: str) -> None:
    """The reference's cache as it is, one made of it, and gradients through the keys that it holds."""
    theirs, ours = both(family)
    ids = drawn(9)
    with torch.no_grad():
        expected = ours(ids).logits[:, 5:]
        cache = theirs(ids[:, :5]).past_key_values
    assert type(cache) is transformers.DynamicCache
    pairs = [(layer.keys, layer.values) for layer in cache.layers]
    if family == "qwen2":  # whose second layer has a window, all that its cache holds
        with pytest.raises(InputError, match="layers that hold 3, 5 of 5 columns, as caches of windows do"):
            ours(ids[:, 5:], past_key_values=cache)
        return
    static = transformers.StaticCache(theirs.config, max_cache_len=20)
    with torch.no_grad():
        theirs(ids[:, :5], past_key_values=static)
    for given_cache in (cache, static, formers.DynamicCache(pairs), formers.DynamicCache(iter(pairs)), tuple(pairs)):
        with torch.no_grad():
            found = ours(ids[:, 5:], past_key_values=given_cache)
        assert difference(found.logits, expected) < TOLERANCE
        assert found.past_key_values.get_seq_length() == 9
    with torch.no_grad():
        assert difference(ours(ids, past_key_values=transformers.DynamicCache()).logits[:, 5:], expected) < TOLERANCE
    assert len(formers.DynamicCache(config=ours.config)) == len(formers.DynamicCache(ours.config)) == 0
    learned = [tuple(x.clone().requires_grad_() for x in pair) for pair in pairs]
    ours(ids[:, 5:], past_key_values=transformers.DynamicCache(learned)).logits.sum().backward()
    assert all(bool(x.grad.abs().sum() > 0) for pair in learned for x in pair)
