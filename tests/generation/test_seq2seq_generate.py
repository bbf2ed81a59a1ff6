"""What models with an encoder and a decoder write, beside the reference; and what is asked for in other ways."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
import transformers
from families import SEQ2SEQ, difference, pair

import formers
from formers import registry
from formers.generation.runner import Runner

PAD = 98
TOKENS = {"pad_token_id": PAD, "eos_token_id": 2, "bos_token_id": 3}
ENDS = [2, 5, 7, 9, 20, 40, 60]
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True, "eos_token_id": ENDS},
    "several": {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.5},
    "no n-gram twice": {"no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
    "none of the source": {"encoder_no_repeat_ngram_size": 2, "num_beams": 2},
    "raised tokens of the source": {"encoder_repetition_penalty": 1.5},
    "forced": {"forced_bos_token_id": 7, "forced_eos_token_id": 9, "num_beams": 2},
    "drawn": {"do_sample": True},
    "drawn of the best": {"do_sample": True, "top_k": 5, "top_p": 0.8, "temperature": 0.7, "num_return_sequences": 2},
    "drawn beams": {"do_sample": True, "num_beams": 3},
    "ends": {"eos_token_id": ENDS, "min_length": 4},
    "length of the default": {"max_new_tokens": None},
    "no cache": {"use_cache": False},
}
MASKS = {
    "none": [[1] * 9] * 3,
    "right": [[1] * 9, [1] * 5 + [0] * 4, [1] * 2 + [0] * 7],
    "left": [[1] * 9, [0] * 4 + [1] * 5, [0] * 7 + [1] * 2],
}


@cache
def writers(family: str) -> tuple[Any, Any]:
    """The reference's model and ours, who write with the same tokens for the start, padding and the end."""
    theirs, ours = pair(family, "seq2seq-lm", use_cache=True)
    start = {"decoder_start_token_id": theirs.config.decoder_start_token_id}
    theirs.generation_config = transformers.GenerationConfig(**TOKENS, **start)
    ours.generation_config = formers.GenerationConfig(**TOKENS, **start)
    return theirs, ours


def texts(mask: str) -> dict[str, torch.Tensor]:
    """Three texts and their mask."""
    keep = torch.tensor(MASKS[mask])
    ids = torch.randint(4, PAD, keep.shape, generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids.masked_fill(keep == 0, PAD), "attention_mask": keep}


def written(model: Any, inputs: dict[str, Any], **options: Any) -> Any:
    torch.manual_seed(0)
    given = {k: v for k, v in {"max_new_tokens": 10, **options}.items() if v is not None}
    with torch.no_grad():
        return model.generate(**inputs, **given)


@pytest.mark.every
@pytest.mark.brief(lambda mask, **_: mask == "right")
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", SEQ2SEQ)
def test_tokens_are_the_reference_s(family: str, way: str, mask: str) -> None:
    theirs, ours = writers(family)
    inputs = texts("none" if way.endswith("of the source") else mask)  # of which padding is a part there
    expected, got = (written(model, inputs, **WAYS[way]) for model in (theirs, ours))
    assert got.tolist() == expected.tolist()


@pytest.mark.parametrize("way", ["greedy", "beams", "none of the source", "forced"])
@pytest.mark.parametrize("family", SEQ2SEQ)
def test_batches_are_texts_by_themselves(family: str, way: str) -> None:
    _, ours = writers(family)
    inputs = texts("right")  # padding on the left moves texts where positions are those of columns
    together = written(ours, inputs, **WAYS[way])
    for row, keep in enumerate(inputs["attention_mask"].bool()):
        alone = written(ours, {"input_ids": inputs["input_ids"][row, keep][None]}, **WAYS[way])[0]
        assert together[row, : len(alone)].tolist() == alone.tolist()
        assert (together[row, len(alone) :] == PAD).all()


def starts(start: int) -> dict[str, dict[str, Any]]:
    padded = torch.tensor([[start, 5, 6], [PAD, start, 6], [PAD, PAD, start]])
    return {
        "one for all": {"decoder_input_ids": torch.tensor([[start, 5, 6]] * 3)},
        "one each": {"decoder_input_ids": torch.tensor([[start, 5], [start, 6], [start, 7]])},
        "padded": {"decoder_input_ids": padded, "decoder_attention_mask": torch.ones(3, 3).long().triu()},
        "first tokens": {"decoder_start_token_id": [5, 6, 7]},
    }


@pytest.mark.parametrize("given", [name for name in starts(0) if name != "padded"])
@pytest.mark.parametrize("family", SEQ2SEQ)
def test_what_the_decoder_begins_with(family: str, given: str) -> None:
    theirs, ours = writers(family)
    options = starts(ours.config.decoder_start_token_id)[given]
    expected, got = (written(model, texts("right"), **options) for model in (theirs, ours))
    assert got.tolist() == expected.tolist()
    beams = written(ours, texts("right"), **options, num_beams=3)
    assert beams[:, : got.shape[1] - 10].tolist() == got[:, :-10].tolist()


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_padding_before_what_the_decoder_begins_with(family: str) -> None:
    """It moves no token of a text, as it does in the reference where positions are those of columns."""
    theirs, ours = writers(family)
    inputs, options = texts("right"), starts(ours.config.decoder_start_token_id)["padded"]
    together = written(ours, inputs, **options)
    for row, keep in enumerate(options["decoder_attention_mask"].bool()):
        one = {name: value[row : row + 1] for name, value in inputs.items()}
        start = {"decoder_input_ids": options["decoder_input_ids"][row : row + 1, keep]}
        alone = written(theirs, one, **start)
        assert together[row, row:].tolist() == alone[0].tolist() == written(ours, one, **start)[0].tolist()


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("family", SEQ2SEQ)
def test_other_forms_of_the_source(family: str, beams: int) -> None:
    _, ours = writers(family)
    inputs = texts("right")
    expected = written(ours, inputs, num_beams=beams).tolist()
    ids, mask = inputs.values()
    with torch.no_grad():
        encoder = ours.get_encoder()
        vectors, encoded = ours.get_input_embeddings()(ids), encoder(input_ids=ids, attention_mask=mask)
        vectors = vectors * getattr(encoder, "embed_scale", 1.0)  # which words alone are multiplied by
    forms = {"inputs_embeds": vectors}, {"encoder_outputs": encoded}, {"encoder_outputs": (encoded[0],)}
    for given in forms:
        assert written(ours, given | {"attention_mask": mask}, num_beams=beams).tolist() == expected
    # without a mask, what is padding follows from the padding token
    assert written(ours, {"input_ids": ids}, num_beams=beams).tolist() == expected


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("family", SEQ2SEQ)
def test_all_that_was_computed(family: str, beams: int) -> None:
    theirs, ours = pair(family, "seq2seq-lm", use_cache=True, attn_implementation="eager")
    theirs.generation_config, ours.generation_config = (model.generation_config for model in writers(family))
    asked = {"output_scores", "output_logits", "output_attentions", "output_hidden_states", "return_dict_in_generate"}
    options = dict.fromkeys(asked, True) | {"max_new_tokens": 5, "num_beams": beams}
    expected, got = (written(model, texts("right"), **options) for model in (theirs, ours))
    assert type(got).__name__ == type(expected).__name__ and got.sequences.tolist() == expected.sequences.tolist()
    assert got.keys() - {"ended"} == expected.keys()
    keep = texts("right")["attention_mask"].bool()
    for name in ("scores", "logits"):
        assert all(difference(a, b) < 1e-5 for a, b in zip(got[name], expected[name], strict=True))
    for name in ("encoder_hidden_states", "encoder_attentions"):
        for a, b in zip(got[name], expected[name], strict=True):
            if a.dim() == 5:  # of blocks (B, n, H, L, K)
                a, b = (x.transpose(2, 3).flatten(1, 2)[:, : keep.shape[1]].transpose(1, 2) for x in (a, b))
            rows = (a, b) if name.endswith("states") else (a.transpose(1, 2), b.transpose(1, 2))
            assert difference(rows[0][keep], rows[1][keep]) < 1e-5
    for name in ("decoder_hidden_states", "decoder_attentions", "cross_attentions"):
        for a, b in zip(got[name][1:], expected[name][1:], strict=True):
            assert all(difference(x, y) < 1e-5 for x, y in zip(a, b, strict=True))
    assert [len(layer) for layer in got.past_key_values] == [4, 4]


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_texts_as_they_are_written(family: str) -> None:
    class Heard:
        def __init__(self) -> None:
            self.tokens: list[int] = []

        def put(self, value: torch.Tensor) -> None:
            self.tokens += value.flatten().tolist()

        def end(self) -> None:
            self.tokens.append(-1)

    _, ours = writers(family)
    heard, inputs = Heard(), {"input_ids": texts("none")["input_ids"][:1]}
    assert heard.tokens == [] and [*written(ours, inputs, streamer=heard)[0].tolist(), -1] == heard.tokens
    guessed = written(ours, inputs, prompt_lookup_num_tokens=3)
    assert guessed.tolist() == written(ours, inputs).tolist() == written(ours, inputs, assistant_model=ours).tolist()


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_groups_of_beams(family: str) -> None:
    """As many groups as beams, which do not mind each other, choose greedily each."""
    _, ours = writers(family)
    inputs, groups = texts("left"), {"num_beams": 3, "num_beam_groups": 3, "diversity_penalty": 1e-9}
    assert written(ours, inputs, **groups).tolist() == written(ours, inputs).tolist()
    forced = written(ours, inputs, num_beams=3, force_words_ids=[[7, 8]])
    assert all("7, 8" in str(row) for row in forced.tolist())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"penalty_alpha": 0.6, "top_k": 4}, "contrastive_search is for models that are decoders alone"),
        ({"dola_layers": "high"}, "dola_generation is for models that are decoders alone"),
        ({"guidance_scale": 1.5}, "guidance_scale is for models that are decoders alone"),
        ({"decoder_start_token_id": [5, 6]}, "has 2 tokens; give one, or 3"),
        ({"decoder_input_ids": torch.ones(2, 2).long()}, r"decoder_input_ids is \(2, 2\)"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, Any], said: str) -> None:
    _, ours = writers("t5")
    with pytest.raises(formers.FormersError, match=said):
        written(ours, texts("right"), **options)


@pytest.mark.parametrize("given", [False, True], ids=["alone", "after an encoder"])
def test_a_decoder_alone_writes(given: bool) -> None:
    theirs, ours = pair("bart", "causal-lm", use_cache=True)
    theirs.generation_config, ours.generation_config = (
        lib.GenerationConfig(**TOKENS) for lib in (transformers, formers)
    )
    inputs = texts("none")
    if given:
        rows = torch.randn(3, 6, 32, generator=torch.Generator().manual_seed(0))
        mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [0] * 3 + [1] * 3])
        inputs |= {"encoder_hidden_states": rows, "encoder_attention_mask": mask}
    for options in ({}, {"num_beams": 3}):
        # the reference cannot keep keys of both texts here
        expected = written(theirs, inputs, use_cache=not given, **options)
        assert written(ours, inputs, **options).tolist() == expected.tolist()


@pytest.mark.parametrize("family", ["t5"])
def test_beams_of_a_text_that_is_done_leave(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nothing can better costs nothing more, and comes in its own place."""
    _, ours = writers(family)
    rows: list[int] = []
    step = Runner.step
    monkeypatch.setattr(Runner, "step", lambda self, tokens: rows.append(len(tokens)) or step(self, tokens))
    inputs, options = texts("right"), {"num_beams": 3, "early_stopping": True, "eos_token_id": [*range(0, 98, 6)]}
    together = written(ours, inputs, **options)
    assert rows[0] == 9 and rows[-1] < 9
    for row, keep in enumerate(inputs["attention_mask"].bool()):
        alone = written(ours, {"input_ids": inputs["input_ids"][row, keep][None]}, **options)[0]
        assert together[row, : len(alone)].tolist() == alone.tolist()
        assert (together[row, len(alone) :] == PAD).all()


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", SEQ2SEQ)
def test_loops_of_people_s_own(family: str, mask: str) -> None:
    """Inputs of each pass are prepared from what the decoder has written and what the encoder said."""
    _, ours = writers(family)
    inputs = texts(mask)
    expected = written(ours, inputs, eos_token_id=None)
    ids = torch.full((3, 1), ours.config.decoder_start_token_id)
    kept: dict[str, Any] = {"attention_mask": inputs["attention_mask"], "past_key_values": None}
    with torch.no_grad():
        kept["encoder_outputs"] = ours.get_encoder()(**inputs)
        for _ in range(10):
            out = ours(**ours.prepare_inputs_for_generation(ids, **kept, use_cache=True))
            kept["past_key_values"] = out.past_key_values
            ids = torch.cat([ids, out.logits[:, -1:].argmax(-1)], 1)
    assert ids.tolist() == expected.tolist()


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("given", ["one each", "padded"])
@pytest.mark.parametrize("family", SEQ2SEQ)
def test_keys_that_a_program_puts_before_a_decoder_s(family: str, given: str, beams: int) -> None:
    """As PEFT does for prefixes: the model writes as it does behind them by hand, whatever its caller's masks."""
    _, ours = writers(family)
    inputs, usual = texts("right"), ours.prepare_inputs_for_generation
    options = {**starts(ours.config.decoder_start_token_id)[given], "num_beams": beams, "eos_token_id": None}
    ids = options["decoder_input_ids"]  # some families count places by their own padding
    options["decoder_input_ids"] = ids.masked_fill(ids == PAD, ours.config.pad_token_id)
    plain = written(ours, inputs, **options)
    with torch.no_grad():
        ids = torch.randint(4, PAD, (1, 2), generator=torch.Generator().manual_seed(5))
        before = ours(input_ids=ids, decoder_input_ids=ids, use_cache=True).past_key_values.self_attention_cache

    def prefix(rows: int) -> Any:
        return formers.EncoderDecoderCache([(k.repeat(rows, 1, 1, 1), v.repeat(rows, 1, 1, 1)) for k, v in before])

    def prepared(input_ids: torch.Tensor, past_key_values: Any = None, **kwargs: Any) -> Any:
        found = usual(input_ids, past_key_values=past_key_values, **kwargs)
        return found if past_key_values is not None else {**found, "past_key_values": prefix(len(input_ids))}

    ours.prepare_inputs_for_generation = prepared
    try:
        found = written(ours, inputs, **options, return_dict_in_generate=True, output_logits=True, output_scores=True)
    finally:
        del ours.prepare_inputs_for_generation
    columns = options["decoder_input_ids"].shape[1]
    assert found.sequences[:, :columns].tolist() == options["decoder_input_ids"].tolist()
    real = options.get("decoder_attention_mask", torch.ones(3, columns).long())
    mask = torch.cat([torch.ones(3, 2).long(), real, torch.ones(3, 9).long()], 1)
    behind = {
        "decoder_input_ids": found.sequences[:, :-1],
        "decoder_attention_mask": mask,
        "past_key_values": prefix(3),
    }
    with torch.no_grad():
        logits = ours(**inputs, **behind).logits[:, columns - 1 :]
    if beams == 1:
        assert difference(torch.stack(found.logits, 1), logits) < 1e-5
    else:
        chosen = logits.log_softmax(-1).gather(-1, found.sequences[:, columns:, None])
        assert difference(found.sequences_scores * found.sequences[0, columns:].numel(), chosen.sum((1, 2))) < 1e-5
    assert written(ours, inputs, **options).tolist() == plain.tolist()


def test_limits_of_decoders_that_are_not_their_encoders() -> None:
    """Said before anything is written; and what is written takes the decoder's positions, not the encoder's."""
    _, long = pair("led", "seq2seq-lm", max_encoder_position_embeddings=80, max_decoder_position_embeddings=12)
    _, short = pair("led", "seq2seq-lm", max_encoder_position_embeddings=12, max_decoder_position_embeddings=80)
    joined = formers.EncoderDecoderModel(
        formers.EncoderDecoderConfig.from_encoder_decoder_configs(
            *(formers.BertConfig(**{**registry.load("bert").TINY, "max_position_embeddings": n}) for n in (80, 12)),
            decoder_start_token_id=1, pad_token_id=0,
        )
    ).eval()  # fmt: skip
    ids, first = torch.full((1, 60), 5), []
    for model in (long, joined):
        handle = model.get_encoder().register_forward_pre_hook(lambda *_: first.append(1))
        with pytest.raises(formers.InputError, match=r"12 positions.*at most 12"):
            model.generate(ids, max_new_tokens=13)
        handle.remove()
        assert model.generate(ids, max_new_tokens=12, eos_token_id=None).shape == (1, 13)
    assert short.generate(ids[:, :8], max_new_tokens=30, eos_token_id=None).shape == (1, 31)
