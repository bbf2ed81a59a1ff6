"""Every head of the families with an encoder and a decoder beside the reference, and what only these have."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import MASKS, SEQ2SEQ, SEQ2SEQ_CASES, batch, difference, pair, rates, written_out
from safetensors.torch import load_file

import formers
from formers import registry
from formers.modeling import OPTIONS

TOLERANCE = 1e-5
# each class once: some heads are one under two names
HEADS = list({registry.load(family).HEADS[head]: (family, head) for family, head in SEQ2SEQ_CASES}.values())
WRITERS = [case for case in HEADS if case[1] == "seq2seq-lm"]
WRITTEN = {
    "none": [[1] * 7] * 3,
    "right": [[1] * 7, [1] * 6 + [0], [1] * 3 + [0] * 4],
    "left": [[1] * 7, [0] + [1] * 6, [0] * 4 + [1] * 3],
}


def sides(name: str) -> str:
    """Of which text an output has columns."""
    of_encoder = name.startswith("encoder_") or name in ("text", "hidden_states", "attentions")
    return "encoder" if of_encoder else "decoder"


def inputs_of(ours: Any, head: str, mask: str, written: str = "right") -> dict[str, Any]:
    """A batch for the model, with the decoder's mask of that name."""
    inputs = batch(ours, head, mask)
    if "decoder_attention_mask" in inputs:
        inputs["decoder_attention_mask"] = torch.tensor(WRITTEN[written])
        if "labels" in inputs:
            inputs["labels"] = inputs["labels"].clamp(min=0).masked_fill(inputs["decoder_attention_mask"] == 0, -100)
    return inputs


def masks_of(inputs: dict[str, Any], head: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The mask of what the encoder reads, and of what the decoder does."""
    read = inputs["attention_mask"]
    return read, inputs.get("decoder_attention_mask", torch.ones_like(read))


def queries_first(weights: torch.Tensor, columns: int) -> torch.Tensor:
    """Attention weights (B, H, T, K), or of blocks of T (B, n, H, L, K), as (B, T, H, K)."""
    of_blocks = weights.dim() == 5
    return weights.transpose(2, 3).flatten(1, 2)[:, :columns] if of_blocks else weights.transpose(1, 2)


def parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.every
@pytest.mark.brief(lambda mask, written, kernel, **_: (mask, written) in (("right", "right"), ("left", "none")))
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("family", "head"), HEADS)
def test_eval(family: str, head: str, mask: str, written: str, kernel: str) -> None:
    theirs, ours = pair(family, head, attn_implementation=kernel)
    if mask == "all-masked" or written == "left" or head == "causal-lm":
        written_out(theirs)  # a query that sees nothing takes an even mean there, as here
    inputs = inputs_of(ours, head, mask, written)
    asked = {"output_hidden_states": True, "output_attentions": kernel == "eager"}
    with torch.no_grad():
        expected, got = theirs(**inputs, **asked), ours(**inputs, **asked)
    assert got.keys() - {"past_key_values"} == {n for n in expected if len(parts(expected[n]))} - {"past_key_values"}
    read, wrote = masks_of(inputs, head)
    for name in (n for n in got if n != "past_key_values"):
        side = read if name.startswith("encoder") or "decoder_input_ids" not in ours.inputs() else wrote
        assert len(parts(got[name])) == len(parts(expected[name])), name
        for a, b in zip(parts(got[name]), parts(expected[name]), strict=True):
            if name.endswith("attentions"):
                a, b = (queries_first(x, side.shape[1]) for x in (a, b))
            if a.shape[:2] == side.shape and not name.startswith(("start", "end_")):
                a, b = a[side.bool()], b[side.bool()]
            assert difference(a, b) < TOLERANCE, name


@pytest.mark.every
@pytest.mark.brief(lambda mask, **_: mask == "right")
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("family", "head"), HEADS)
def test_train_step(family: str, head: str, mask: str) -> None:
    theirs, ours = pair(family, head, **dict.fromkeys(rates(family), 0.0))
    if mask in ("left", "all-masked"):
        written_out(theirs)
    inputs = inputs_of(ours, head, mask)

    def loss(model: Any) -> torch.Tensor:
        out = model.train()(**inputs)
        if out.get("loss") is not None:
            return out.loss
        read, wrote = masks_of(inputs, head)
        rows = out.last_hidden_state
        return (rows * (read if rows.shape[1] == read.shape[1] else wrote)[..., None]).square().sum()

    expected, got = loss(theirs), loss(ours)
    assert difference(got, expected) < TOLERANCE
    expected.backward()
    got.backward()
    wanted = {n: p.grad for n, p in theirs.named_parameters(remove_duplicate=False)}
    found = {n: p.grad for n, p in ours.named_parameters()}
    largest = max(float(grad.abs().max()) for grad in wanted.values() if grad is not None)
    assert found.keys() <= wanted.keys()
    for name, grad in found.items():
        zeros = torch.zeros(1)
        off = (zeros if grad is None else grad) - (zeros if wanted[name] is None else wanted[name])
        assert float(off.abs().max()) < TOLERANCE * max(largest, 1.0), name


@pytest.mark.every
@pytest.mark.parametrize(("family", "head"), WRITERS)
def test_gradient_checkpointing_changes_no_gradient(family: str, head: str) -> None:
    _, ours = pair(family, head, **dict.fromkeys(rates(family), 0.2))
    inputs = inputs_of(ours, head, "right")

    def gradients() -> dict[str, torch.Tensor]:
        ours.zero_grad()
        torch.manual_seed(0)
        ours.train()(**inputs).loss.backward()
        return {n: p.grad for n, p in ours.named_parameters() if p.grad is not None}

    runs: list[int] = []
    for part in (ours.get_encoder(), ours.get_decoder()):
        first = next(module for module in part.modules() if isinstance(module, torch.nn.ModuleList))[0]
        first.register_forward_pre_hook(lambda *_: runs.append(1))
    expected = gradients()
    ours.gradient_checkpointing_enable()
    got = gradients()
    assert len(runs) == 2 * 3, "layers have to run again in the backward pass"
    assert got.keys() == expected.keys() and all(difference(got[n], expected[n]) < 1e-5 for n in got)


@pytest.mark.every
@pytest.mark.parametrize(("family", "head"), HEADS)
def test_keys_and_signatures(family: str, head: str) -> None:
    theirs, ours = pair(family, head)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    beside = {"kwargs", "logits_to_keep", *OPTIONS}
    wanted = [n for n in inspect.signature(theirs.forward).parameters if n not in beside]
    assert [n for n in ours.arguments() if n not in OPTIONS][: len(wanted)] == wanted
    assert ours.config.to_dict().keys() >= theirs.config.to_diff_dict().keys() - {"transformers_version"}


@pytest.mark.parametrize("family", ["t5", "bart", "m2m_100"])
def test_exported_encoders(family: str) -> None:
    _, ours = pair(family, "seq2seq-lm")
    encoder, free = ours.get_encoder(), {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = encoder
            self.eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids, attention_mask=attention_mask)[0]

    inputs = {name: inputs_of(ours, "seq2seq-lm", "right")[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        shapes = dict.fromkeys(inputs, free)
        program = torch.export.export(Plain(), (), inputs, dynamic_shapes=shapes, strict=False).module()
        for rows, columns in ((3, 9), (2, 6)):
            part = {name: value[:rows, :columns] for name, value in inputs.items()}
            keep = part["attention_mask"].bool()
            assert difference(program(**part)[keep], encoder(**part)[0][keep]) < TOLERANCE


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_round_trips(family: str, tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    theirs, ours = pair(family, "seq2seq-lm")
    inputs = inputs_of(ours, "seq2seq-lm", "right")
    ours.save_pretrained(tmp_path / "ours")
    again, report = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    again.save_pretrained(tmp_path / "theirs")
    back, report = type(ours).from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert not any(report.values()) and not caplog.text
    with torch.no_grad():
        assert difference(back(**inputs).logits, ours(**inputs).logits) < TOLERANCE
    body = formers.AutoModel.from_pretrained(tmp_path / "theirs")
    whole = ours.base_model.state_dict()
    assert all(torch.equal(v, whole[k]) for k, v in body.state_dict().items())


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_labels_become_what_the_decoder_reads(family: str) -> None:
    theirs, ours = pair(family, "seq2seq-lm")
    labels = torch.tensor([[5, 6, 7, 8], [9, 10, -100, -100]])
    shifted = ours.prepare_decoder_input_ids_from_labels(labels)
    if hasattr(theirs, "prepare_decoder_input_ids_from_labels"):
        assert torch.equal(shifted, theirs.prepare_decoder_input_ids_from_labels(labels=labels))
    ids = torch.tensor([[4, 5, 6], [7, 8, 9]])
    by_hand = ours(input_ids=ids, decoder_input_ids=shifted, labels=labels)
    alone = ours(input_ids=ids, labels=labels)
    assert torch.equal(by_hand.loss, alone.loss) and alone.get("past_key_values") is None
    assert difference(alone.loss, theirs(input_ids=ids, labels=labels).loss) < TOLERANCE
    ours.config.decoder_start_token_id = None
    if family != "mbart":  # whose texts begin with their own last token, the language
        with pytest.raises(formers.InputError, match="decoder_start_token_id"):
            ours(input_ids=ids, labels=labels)


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_an_encoder_s_output_is_handed_in(family: str) -> None:
    _, ours = pair(family, "seq2seq-lm")
    mask = (
        "right" if family == "m2m_100" else "left"
    )  # where positions are those of columns, but of ids those of tokens
    inputs = {k: v for k, v in inputs_of(ours, "seq2seq-lm", mask).items() if k != "labels"}
    ids = inputs.pop("input_ids").clamp(min=4)  # padding takes no position there
    with torch.no_grad():
        expected = ours(input_ids=ids, **inputs)
        encoded = ours.get_encoder()(input_ids=ids, attention_mask=inputs["attention_mask"])
        vectors = ours.get_input_embeddings()(ids) * getattr(ours.get_encoder(), "embed_scale", 1.0)
        for given in (encoded, tuple(encoded.values())[:1], [encoded.last_hidden_state]):
            assert difference(ours(encoder_outputs=given, **inputs).logits, expected.logits) < TOLERANCE
        assert difference(ours(inputs_embeds=vectors, **inputs).logits, expected.logits) < TOLERANCE
        written = ours.get_input_embeddings()(inputs.pop("decoder_input_ids"))
        got = ours(input_ids=ids, decoder_inputs_embeds=written, **inputs)
        assert difference(got.logits, expected.logits) < TOLERANCE
        assert isinstance(ours(input_ids=ids, decoder_inputs_embeds=written, return_dict=False), tuple)
    with pytest.raises(formers.InputError, match="encoder_outputs is a str"):
        ours(encoder_outputs="rows", decoder_input_ids=ids)


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_parts_by_themselves(family: str) -> None:
    theirs, ours = pair(family, "seq2seq-lm")
    inputs = inputs_of(ours, "seq2seq-lm", "right")
    read = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    keep, kept = read["attention_mask"].bool(), inputs["decoder_attention_mask"].bool()
    with torch.no_grad():
        got, expected = ours.get_encoder()(**read)[0], theirs.get_encoder()(**read)[0]
        assert difference(got[keep], expected[keep]) < TOLERANCE
        written = {"input_ids": inputs["decoder_input_ids"], "attention_mask": inputs["decoder_attention_mask"]}
        for memory in ({}, {"encoder_hidden_states": expected, "encoder_attention_mask": read["attention_mask"]}):
            both = [model.get_decoder()(**written, **memory)[0][kept] for model in (ours, theirs)]
            assert difference(*both) < TOLERANCE


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_caches_split_at_every_place(family: str) -> None:
    theirs, ours = pair(family, "seq2seq-lm")
    inputs = inputs_of(ours, "seq2seq-lm", "right", "none")
    ids, mask, written = inputs["input_ids"], inputs["attention_mask"], inputs["decoder_input_ids"]
    with torch.no_grad():
        whole = theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=written).logits
        for cut in range(1, written.shape[1]):
            first = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": written[:, :cut], "use_cache": True}
            got, expected = ours(**first), theirs(**first)
            cache = got.past_key_values
            assert type(cache) is formers.EncoderDecoderCache and len(cache) == len(cache.cross_attention_cache) == 2
            both = (cache.self_attention_cache, cache.cross_attention_cache)
            given = {
                "tuples": cache.to_legacy_cache(),
                "the reference's": expected.past_key_values,
                "both": formers.EncoderDecoderCache(*both),
                "its own": cache,
            }
            for name, past in given.items():
                more = {"encoder_outputs": (got.encoder_last_hidden_state,), "attention_mask": mask}
                out = ours(**more, decoder_input_ids=written[:, cut:], past_key_values=past, use_cache=True)
                assert difference(out.logits, whole[:, cut:]) < TOLERANCE, name
                assert [len(layer) for layer in out.past_key_values] == [4, 4]
                assert out.past_key_values.get_seq_length() == written.shape[1]


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_tuples_hold_what_the_reference_holds(family: str) -> None:
    theirs, ours = pair(family, "seq2seq-lm")
    inputs = {k: v for k, v in inputs_of(ours, "seq2seq-lm", "right", "none").items() if k != "labels"}
    keep, options = inputs["attention_mask"].bool(), {"use_cache": True}
    with torch.no_grad():
        got, expected = ours(**inputs, **options).past_key_values, theirs(**inputs, **options).past_key_values
    for layer, (own, values, across, more) in enumerate(got):
        written, read = (c.layers[layer] for c in (expected.self_attention_cache, expected.cross_attention_cache))
        for a, b in ((own, written.keys), (values, written.values)):
            assert difference(a, b) < TOLERANCE
        for a, b in ((across, read.keys), (more, read.values)):
            assert difference(a.transpose(1, 2)[keep], b.transpose(1, 2)[keep]) < TOLERANCE
    assert got.is_updated == {0: True, 1: True} and got.nbytes > got.self_attention_cache.nbytes
    got.reorder_cache(torch.tensor([2, 0]))
    assert torch.equal(got[0][2][1], got.cross_attention_cache[0][0][1]) and len(got[0][2]) == 2
    short, past = (ours.get_encoder()(input_ids=torch.tensor([[4, 5]] * 2))[0],), got.to_legacy_cache()
    with pytest.raises(formers.InputError, match="give both of the same texts"):
        ours(encoder_outputs=short, decoder_input_ids=torch.tensor([[5], [6]]), past_key_values=past)
    got.cross_attention_cache = formers.DynamicCache()  # what is read is another text from here on
    assert got.is_updated == {0: False, 1: False}
    more, fresh = {"encoder_outputs": short, "decoder_input_ids": torch.tensor([[5], [6]])}, got.self_attention_cache
    assert torch.equal(ours(**more, past_key_values=got).logits, ours(**more, past_key_values=fresh).logits)


@pytest.mark.parametrize("size", [120, 80])
@pytest.mark.parametrize("family", SEQ2SEQ)
def test_other_sizes_of_the_vocabulary(family: str, size: int, tmp_path: Any) -> None:
    theirs, ours = pair(family, "seq2seq-lm")
    if hasattr(ours, "final_logits_bias"):
        for model in (theirs, ours):
            model.final_logits_bias.copy_(torch.linspace(-1, 1, 99)[None])
    for model in (theirs, ours):
        model.resize_token_embeddings(size)
    theirs.load_state_dict(ours.state_dict())
    ids = torch.tensor([[4, 5, size - 1]])
    with torch.no_grad():
        got, expected = (model(input_ids=ids, decoder_input_ids=ids).logits for model in (ours, theirs))
    assert difference(got, expected) < TOLERANCE and ours.config.vocab_size == size
    ours.save_pretrained(tmp_path)
    with torch.no_grad():
        again = type(ours).from_pretrained(tmp_path)(input_ids=ids, decoder_input_ids=ids).logits
    assert difference(again, got) < TOLERANCE


@pytest.mark.parametrize("head", ["base", "seq2seq-lm"])
@pytest.mark.parametrize("family", [f for f in SEQ2SEQ if "causal-lm" in registry.load(f).HEADS])
def test_a_decoder_alone_of_files_of_both(family: str, head: str, tmp_path: Path) -> None:
    """Where tensors are saved once, the table of words is there under the name that both parts share."""
    theirs = pair(family, head)[0]
    theirs.save_pretrained(tmp_path)
    assert not any(name.endswith("embed_tokens.weight") for name in load_file(tmp_path / "model.safetensors"))
    alone = registry.load(family).HEADS["causal-lm"].from_pretrained(tmp_path)
    shared = theirs.get_input_embeddings().weight
    assert torch.equal(alone.get_input_embeddings().weight, shared) and torch.equal(alone.lm_head.weight, shared)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([4, 5]), r"labels has shape \(2,\); it should be \(batch, columns\).*labels\[None\]"),
        ([[4, 5]], "labels is a list, not a tensor"),
        (torch.tensor([[4.0, 5.0]]), r"labels is torch.float32; token ids are integers: labels.long\(\)"),
    ],
)
def test_labels_of_another_form(labels: Any, message: str) -> None:
    for family in ("t5", "mbart"):
        with pytest.raises(formers.FormersError, match=message):
            pair(family, "seq2seq-lm")[1](input_ids=torch.tensor([[4, 5]]), labels=labels)


@pytest.mark.parametrize("family", ["t5", "bart"])
@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_traced(family: str) -> None:
    """What torchscript=True returns are tuples to their ends, keys and values too."""
    ours = pair(family, "seq2seq-lm", torchscript=True, use_cache=True)[1]
    ids = torch.tensor([[4, 5, 6, 7], [8, 9, 10, 11]])
    given = (ids, torch.ones_like(ids), ids[:, :2])
    traced = torch.jit.trace(ours, given, check_trace=False)
    other = (ids.flip(0), torch.ones_like(ids), ids[:, 2:])
    found, expected = traced(*other), ours(*other)
    assert type(expected[1]) is tuple and len(expected[1]) == len(found[1]) == ours.config.num_hidden_layers
    for a, b in zip((found[0], *found[1][0]), (expected[0], *expected[1][0]), strict=True):
        assert difference(a, b) < TOLERANCE


def test_sizes_of_attention_by_their_names() -> None:
    for family, path, names in (
        ("bart", "decoder.layers.0.encoder_attn", ("num_heads", "head_dim")),
        ("t5", "encoder.block.0.layer.0.SelfAttention", ("n_heads", "key_value_proj_dim")),
    ):
        theirs, ours = (model.get_submodule(path) for model in pair(family, "base"))
        assert [getattr(ours, name) for name in names] == [getattr(theirs, name) for name in names]


def test_tokens_shifted_by_their_old_names() -> None:
    from formers.models.bart.modeling_bart import BartPretrainedModel, shift_tokens_right

    ids = torch.tensor([[4, 5, -100]])
    assert shift_tokens_right(ids, 1, 2).tolist() == [[2, 4, 5]]
    theirs = transformers.models.bart.modeling_bart.shift_tokens_right(ids.roll(1), 1, 2)
    assert shift_tokens_right(ids.roll(1), 1, 2).tolist() == theirs.tolist() == [[2, 1, 4]]
    for family in ("marian", "m2m_100", "pegasus", "blenderbot", "blenderbot_small", "led"):
        module = importlib.import_module(f"formers.models.{family}.modeling_{family}")
        assert module.shift_tokens_right(ids, 1, 2).tolist() == [[2, 4, 5]]
    from formers.models.mbart.modeling_mbart import shift_tokens_right as by_language

    theirs = transformers.models.mbart.modeling_mbart.shift_tokens_right(ids.clone(), 1)
    assert by_language(ids, 1).tolist() == theirs.tolist() == [[5, 4, 5]]
    theirs, ours = pair("t5", "base")
    assert ours._shift_right(ids).tolist() == theirs._shift_right(ids).tolist()
    assert issubclass(formers.BartModel, BartPretrainedModel)


@pytest.mark.parametrize("tied", [None, True, False])
def test_scores_of_untied_words(tied: bool | None, tmp_path: Any) -> None:
    """T5 1.1's files have a layer of their own that scores words, whatever their configuration says of it."""
    given = {} if tied is None else {"tie_word_embeddings": tied}
    theirs, _ = pair("t5", "seq2seq-lm", **given)
    ids, weight = torch.tensor([[4, 5, 1]]), torch.randn(99, 32, generator=torch.Generator().manual_seed(0))
    if tied is False:
        theirs.lm_head.weight = torch.nn.Parameter(weight)
    theirs.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    if tied is False:  # as such files were before 5.x
        values |= {"tie_word_embeddings": False}
        values.pop("scale_decoder_outputs")
        (tmp_path / "config.json").write_text(json.dumps(values))
    back, ours = (type(m).from_pretrained(tmp_path).eval() for m in (theirs, pair("t5", "seq2seq-lm")[1]))
    assert (ours.lm_head.weight is ours.shared.weight) == (tied is not False)
    assert torch.equal(ours.lm_head.weight, theirs.lm_head.weight)
    with torch.no_grad():
        got, expected = (m(input_ids=ids, decoder_input_ids=ids).logits for m in (ours, back))
    assert difference(got, expected) < TOLERANCE


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_bad_input(family: str) -> None:
    _, ours = pair(family, "seq2seq-lm")
    ids = torch.tensor([[4, 5, 6]])
    with pytest.raises(formers.FormersError, match="decoder_input_ids is"):
        ours.generate(ids, decoder_input_ids=torch.tensor([5]))
    with pytest.raises(formers.FormersError, match="something to write from: input_ids, inputs_embeds or"):
        ours.generate()
    with pytest.raises(formers.FormersError, match="99"):
        ours(input_ids=torch.tensor([[99]]), decoder_input_ids=ids)
    with pytest.raises(formers.FormersError, match="99"):
        ours(input_ids=ids, decoder_input_ids=torch.tensor([[99]]))
    for texts, written in ((2, 1), (2, 3), (2, 4)):
        with pytest.raises(formers.InputError, match=rf"reads {texts} texts and its decoder writes {written};"):
            ours(input_ids=ids.repeat(texts, 1), decoder_input_ids=ids.repeat(written, 1))
    assert ours(input_ids=ids, decoder_input_ids=ids.repeat(2, 1)).logits.shape == (2, 3, 99)  # as there
    with pytest.raises(formers.FormersError, match="attention_mask"):
        ours(input_ids=ids, attention_mask=torch.ones(1, 2), decoder_input_ids=ids)


@pytest.mark.parametrize("family", ["bart", "t5", "pegasus"])
def test_masks_of_heads_that_attend_to_the_encoder(family: str) -> None:
    """A head that is masked says nothing: its columns of what follows are as good as zeros."""
    _, ours = pair(family, "base")
    ids, mask = torch.tensor([[4, 5, 6], [7, 8, 1]]), torch.tensor([[1, 1, 0], [1, 1, 1]])
    given = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": torch.tensor([[2, 4, 5], [2, 9, 8]])}
    projections = [
        module
        for name, module in ours.decoder.named_modules()
        if name.endswith(("encoder_attn.out_proj", "EncDecAttention.o"))
    ]
    config = ours.config
    heads = config.num_heads if family == "t5" else config.decoder_attention_heads
    kept = torch.ones(len(projections), heads)
    kept[0, 1] = kept[-1, 0] = 0
    kept[0, 0] = 0.5
    with torch.no_grad():
        whole, found = ours(**given)[0], ours(**given, cross_attn_head_mask=kept)[0]
        begin = {**given, "decoder_input_ids": given["decoder_input_ids"][:, :2], "use_cache": True}
        cached = ours(**begin, cross_attn_head_mask=kept)
        after = {**given, "decoder_input_ids": given["decoder_input_ids"][:, 2:]}
        last = ours(**after, past_key_values=cached.past_key_values, cross_attn_head_mask=kept)[0]
        for row, projection in zip(kept, projections, strict=True):
            projection.weight *= row.repeat_interleave(projection.weight.shape[1] // heads)
        expected = ours(**given)[0]
    assert difference(found, expected) < TOLERANCE and difference(last, expected[:, 2:]) < TOLERANCE
    assert difference(found, whole) > 1e-3
    for wrong in (torch.ones(len(kept) + 1, heads), torch.ones(len(kept), heads + 1)):
        with pytest.raises(formers.InputError, match="head_mask"):
            ours(**given, cross_attn_head_mask=wrong)


def test_masks_of_heads() -> None:
    _, ours = pair("bart", "base")
    ids, ones = torch.tensor([[4, 5, 6]]), torch.ones(2, 2)
    with torch.no_grad():  # a layer by hand
        layer, rows, memory = ours.decoder.layers[0], torch.randn(1, 3, 32), torch.randn(1, 4, 32)
        none = layer(rows, encoder_hidden_states=memory, cross_attn_layer_head_mask=torch.zeros(2))[0]
        without = layer(rows, encoder_hidden_states=torch.zeros_like(memory))[0]
        whole = layer(rows, encoder_hidden_states=memory, cross_attn_layer_head_mask=torch.ones(2))[0]
        assert difference(whole, layer(rows, encoder_hidden_states=memory)[0]) < TOLERANCE
        assert difference(none, whole) > 1e-3 and difference(none, without) > 1e-3  # as values have a bias
    with torch.no_grad():  # those of each part's own text are taken
        whole, without = (ours(input_ids=ids, **given)[0] for given in ({}, {"decoder_head_mask": 0 * ones}))
        head = ours(input_ids=ids, head_mask=torch.zeros(2, 4))[0]
        for layer in ours.decoder.layers:
            layer.self_attn.out_proj.weight.zero_()
        assert difference(without, ours(input_ids=ids)[0]) < TOLERANCE
    assert difference(without, whole) > 1e-3 and difference(head, whole) > 1e-3


def test_texts_need_as_many_ends() -> None:
    _, ours = pair("bart", "sequence-classification")
    with pytest.raises(formers.InputError, match=r"\[1, 2\] tokens of eos_token_id=2"):
        ours(input_ids=torch.tensor([[4, 5, 2], [4, 2, 2]]))


def test_tables_of_words_that_differ_are_refused(tmp_path: Any) -> None:
    """In Transformers 5 both parts of an untied model have a table of their own; here they share one."""
    theirs, ours = pair("bart", "seq2seq-lm", tie_word_embeddings=False)
    theirs.save_pretrained(tmp_path)
    with pytest.raises(formers.errors.CheckpointError, match=r"one value only: model\.encoder\.embed_tokens\.weight"):
        type(ours).from_pretrained(tmp_path)
    with torch.no_grad():
        for part in (theirs.model.encoder, theirs.model.decoder):
            part.embed_tokens.weight.copy_(theirs.model.shared.weight)
    theirs.save_pretrained(tmp_path)
    ids = torch.tensor([[4, 5, 6]])
    with torch.no_grad():
        got = type(ours).from_pretrained(tmp_path)(input_ids=ids, decoder_input_ids=ids).logits
        assert difference(got, theirs(input_ids=ids, decoder_input_ids=ids).logits) < TOLERANCE
