"""Moonshine beside the reference: padding, what is written, and what it cannot read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from families import difference
from images.towers import pair
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

import formers
from formers.errors import InputError, NotTensorError

TOKENS = {"pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1, "decoder_start_token_id": 1}
ENDS = [2, 5, 7, 9, 20, 40, 60]
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "ends": {"eos_token_id": ENDS},
    "beams": {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True, "eos_token_id": ENDS},
    "several": {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.5},
    "no n-gram twice": {"no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
    "drawn": {"do_sample": True},
    "begun": {"decoder_input_ids": torch.tensor([[1, 5, 6]] * 3)},
    "no cache": {"use_cache": False},
}


@pytest.fixture(scope="module")
def both() -> tuple[Any, Any]:
    theirs, ours = pair("moonshine", "speech-seq2seq", use_cache=True)
    theirs.generation_config = transformers.GenerationConfig(**TOKENS)  # type: ignore[no-untyped-call]
    ours.generation_config = formers.GenerationConfig(**TOKENS)
    return theirs, ours


def batch(padded: bool) -> dict[str, torch.Tensor]:
    """Three sounds; of three lengths, one of which ends within a column."""
    made = {"input_values": torch.randn(3, 9000, generator=torch.Generator().manual_seed(3)) / 3}
    if not padded:
        return made
    made["attention_mask"] = torch.ones(3, 9000, dtype=torch.long)
    for row, length in ((1, 5000), (2, 3072)):
        made["input_values"][row, length:] = 0
        made["attention_mask"][row, length:] = 0
    return made


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_tokens_are_the_references(both: tuple[Any, Any], way: str, padded: bool) -> None:
    found = []
    for model in both:
        torch.manual_seed(0)
        found.append(model.generate(**batch(padded), max_new_tokens=12, **WAYS[way]).tolist())
    assert found[0] == found[1]


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_padding(kernel: str) -> None:
    theirs, ours = pair("moonshine", "base", attn_implementation=kernel)
    given = {**batch(True), "decoder_input_ids": torch.tensor([[1, 5, 6, 7]] * 3), "use_cache": False}
    with torch.no_grad():
        got, expected = ours(**given), theirs(**given)
        encoded, by_them = (model.encoder(**batch(True)) for model in (ours, theirs))
    assert difference(got[0], expected[0]) < 1e-5
    assert encoded.attention_mask.tolist() == by_them.attention_mask.tolist()
    real = encoded.attention_mask.bool()
    assert difference(encoded[0][real], by_them[0][real]) < 1e-5


def test_what_the_encoder_said_is_handed_in(both: tuple[Any, Any]) -> None:
    _, ours = both
    given, ids = batch(True), torch.tensor([[1, 5, 6]] * 3)
    with torch.no_grad():
        whole = ours(**given, decoder_input_ids=ids).logits
        encoded = ours.get_encoder()(**given)
        assert torch.equal(ours(encoder_outputs=encoded, decoder_input_ids=ids).logits, whole)
        assert (
            ours.generate(encoder_outputs=encoded, max_new_tokens=5).tolist()
            == ours.generate(**given, max_new_tokens=5).tolist()
        )


def test_layers_by_hand(both: tuple[Any, Any]) -> None:
    theirs, ours = both
    hidden, memory = torch.randn(2, 5, 48), torch.randn(2, 7, 48)
    for name in ("encoder", "decoder"):
        there, here = getattr(theirs.model, name), getattr(ours.model, name)
        turns = there.rotary_emb(hidden, torch.arange(5)[None])
        mask = torch.full((5, 5), torch.finfo(torch.float).min).triu(1)[None, None] if name == "decoder" else None
        more = {} if name == "encoder" else {"encoder_hidden_states": memory}
        with torch.no_grad():
            expected = there.layers[0](hidden, mask, position_embeddings=turns, **more)
            (got, *_) = here.layers[0](
                hidden, position_embeddings=here.rotary_emb(hidden, torch.arange(5)[None]), **more
            )
        assert difference(got, expected) < 1e-5


def test_lengths(both: tuple[Any, Any]) -> None:
    theirs, ours = both
    for samples in (895, 896, 1278, 1279, 16000, 9001):
        assert ours._get_feat_extract_output_lengths(samples) == theirs._get_feat_extract_output_lengths(samples)
        assert ours.model.encoder(torch.zeros(1, samples))[0].shape[1] == ours._get_feat_extract_output_lengths(samples)


BAD: list[tuple[Any, type[Exception], str]] = [
    (None, InputError, "reads input_values"),
    ([0.0] * 9000, NotTensorError, "is a list"),
    (torch.zeros(9000), InputError, r"input_values\[None\]"),
    (torch.zeros(1, 80, 300), InputError, r"it should be \(batch, samples\)"),
    (torch.zeros(1, 0), InputError, "nothing in it"),
    (torch.zeros(1, 400), InputError, "shortest"),
    (torch.zeros(1, 9000, dtype=torch.int16), InputError, "floating"),
    (torch.full((1, 9000), float("nan")), InputError, "NaN"),
]


@pytest.mark.parametrize(("values", "kind", "message"), BAD, ids=[message for *_, message in BAD])
def test_bad_input(both: tuple[Any, Any], values: Any, kind: type[Exception], message: str) -> None:
    _, ours = both
    with pytest.raises(kind, match=message):
        ours(values, decoder_input_ids=torch.ones(1, 1, dtype=torch.long))


def test_a_mask_of_another_length(both: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match="attention_mask has shape"):
        both[1].generate(torch.zeros(1, 9000), attention_mask=torch.ones(1, 22))


def test_optimized(both: tuple[Any, Any]) -> None:
    _, ours = pair("moonshine", "speech-seq2seq")
    given = {**batch(True), "decoder_input_ids": torch.tensor([[1, 5, 6, 7]] * 3)}
    with torch.inference_mode():
        expected = ours(**given).logits
        ours.optimize("float32")
        assert difference(ours(**given).logits, expected) < 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint as the reference writes it, with tokens that are letters."""
    made = tmp_path_factory.mktemp("moonshine")
    theirs, _ = pair("moonshine", "speech-seq2seq", use_cache=True)
    theirs.generation_config = transformers.GenerationConfig(**TOKENS)  # type: ignore[no-untyped-call]
    theirs.save_pretrained(made)
    words = ["<unk>", "<s>", "</s>", *(chr(code) for code in range(32, 127))]
    letters = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    letters.pre_tokenizer, letters.decoder = Split(Regex(r"[\s\S]"), "isolated"), Fuse()
    tokens = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=letters, **tokens)
    sounds = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=False)
    transformers.Wav2Vec2Processor(sounds, tokenizer).save_pretrained(made)
    return str(made)


def test_its_processor(folder: str) -> None:
    ours, theirs = (home.AutoProcessor.from_pretrained(folder) for home in (formers, transformers))
    assert type(ours).__name__ == type(theirs).__name__ == "Wav2Vec2Processor"
    sounds = [wave.numpy() for wave in torch.randn(2, 9000, generator=torch.Generator().manual_seed(1)) / 9]
    sounds[1] = sounds[1][:5000]
    asked: dict[str, Any] = {"sampling_rate": 16000, "padding": True, "return_tensors": "pt"}
    got, expected = ours(sounds, **asked), theirs(sounds, **asked)
    assert {*got} == {*expected} == {"input_values", "attention_mask"}
    assert all(torch.equal(got[name], expected[name].to(got[name].dtype)) for name in got)
    model = formers.MoonshineForConditionalGeneration.from_pretrained(folder)
    ids = model.generate(**got, max_new_tokens=9)
    assert ours.batch_decode(ids, skip_special_tokens=True) == theirs.batch_decode(ids, skip_special_tokens=True)


def test_speech_is_recognized(folder: str) -> None:
    ours, theirs = (
        make("automatic-speech-recognition", model=folder) for make in (formers.pipeline, transformers.pipeline)
    )
    sound = (torch.randn(9000, generator=torch.Generator().manual_seed(1)) / 9).numpy()
    # the reference's pipeline tries five beams where nobody says
    options: dict[str, Any] = {"generate_kwargs": {"max_new_tokens": 9, "num_beams": 1}}
    found: Any = ours
    assert found(sound, **options)["text"] == theirs(sound, **options)["text"]
    texts = [one["text"] for one in found([sound, sound[:5000]], **options)]
    assert texts == [found(sound, **options)["text"], found(sound[:5000], **options)["text"]]
