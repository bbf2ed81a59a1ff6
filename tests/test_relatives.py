"""What BART's and T5's relatives have of their own; what all of them share is tried family by family elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import families
import pytest
import torch

import formers
from formers import registry
from formers.errors import InputError

transformers = pytest.importorskip("transformers")
NAMES = ("mbart", "marian", "pegasus", "blenderbot", "blenderbot_small", "m2m_100", "mt5", "umt5")
IDS = torch.tensor([[5, 9, 17, 33, 8, 2], [7, 61, 2, 1, 1, 1], [40, 41, 42, 43, 2, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])


def pair(cls: Any, **keys: Any) -> tuple[Any, Any]:
    """Our model and the reference's, with the same weights, large ones."""
    values = {**registry.load(registry.candidates(cls.__name__)[0]).TINY, **keys}
    theirs = getattr(transformers, cls.__name__)(getattr(transformers, cls.config_class.__name__)(**values))
    families.redraw(theirs)
    ours = cls(cls.config_class(**values))
    ours.load_state_dict(theirs.state_dict())
    ours.tie_weights()
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("name", NAMES)
def test_losses_and_gradients(name: str) -> None:
    ours, theirs = pair(registry.load(name).HEADS["seq2seq-lm"])
    labels = torch.tensor([[11, 12, 13, 14], [15, 16, 2, -100], [17, 2, -100, -100]])
    found, expected = (m(input_ids=IDS, attention_mask=MASK, labels=labels) for m in (ours, theirs))
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-5, atol=1e-5)
    found.loss.backward()
    expected.loss.backward()
    own = dict(ours.named_parameters())
    for key, parameter in theirs.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(own[key].grad, parameter.grad, rtol=1e-3, atol=1e-4, msg=key)


@pytest.mark.parametrize("name", ["marian", "pegasus"])
def test_fixed_positions_are_no_weights(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cls = registry.load(name).HEADS["seq2seq-lm"]
    model = cls(cls.config_class(**registry.load(name).TINY)).eval()
    expected = getattr(transformers, cls.__name__)(
        getattr(transformers, cls.config_class.__name__)(**registry.load(name).TINY)
    )
    table = "model.encoder.embed_positions.weight"
    torch.testing.assert_close(model.state_dict()[table], expected.state_dict()[table])
    assert not model.get_parameter(table).requires_grad
    kept = {key: value for key, value in model.state_dict().items() if "embed_positions" not in key}
    model.save_pretrained(tmp_path, state_dict=kept)
    again = cls.from_pretrained(tmp_path)
    assert torch.equal(again.state_dict()[table], model.state_dict()[table])
    assert "new weights" not in caplog.text


def test_marian_with_two_vocabularies(tmp_path: Path) -> None:
    ours, theirs = pair(
        formers.MarianMTModel,
        share_encoder_decoder_embeddings=False,
        decoder_vocab_size=71,
        pad_token_id=70,
        decoder_start_token_id=70,
    )
    assert ours.get_input_embeddings() is ours.model.encoder.embed_tokens
    assert ours.lm_head.weight is ours.model.decoder.embed_tokens.weight
    given = {"input_ids": IDS, "attention_mask": MASK, "decoder_input_ids": torch.tensor([[70, 4], [70, 5], [70, 6]])}
    expected = theirs(**given).logits
    assert expected.shape[-1] == 71
    torch.testing.assert_close(ours(**given).logits, expected, rtol=1e-4, atol=1e-4)
    ours.save_pretrained(tmp_path)
    assert torch.equal(formers.MarianMTModel.from_pretrained(tmp_path)(**given).logits, ours(**given).logits)
    torch.testing.assert_close(
        transformers.MarianMTModel.from_pretrained(tmp_path)(**given).logits, expected, rtol=1e-4, atol=1e-4
    )


def test_mbart_begins_with_the_language() -> None:
    ours, theirs = pair(formers.MBartForConditionalGeneration)
    labels = torch.tensor([[5, 6, 2, 90], [7, 2, 91, -100], [2, 92, -100, -100]])
    assert ours.prepare_decoder_input_ids_from_labels(labels).tolist() == [
        [90, 5, 6, 2],
        [91, 7, 2, 91],
        [92, 2, 92, 1],
    ]
    assert torch.equal(
        ours.prepare_decoder_input_ids_from_labels(labels), theirs.prepare_decoder_input_ids_from_labels(labels)
    )
    found, expected = (m.model(input_ids=IDS, attention_mask=MASK).last_hidden_state for m in (ours, theirs))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    ours.config.pad_token_id = None
    with pytest.raises(InputError, match="pad_token_id is None"):
        ours.prepare_decoder_input_ids_from_labels(labels)


def test_others_need_decoder_inputs() -> None:
    model = formers.PegasusModel(formers.PegasusConfig(**registry.load("pegasus").TINY))
    with pytest.raises(InputError, match="needs decoder_input_ids"):
        model(input_ids=IDS)


@pytest.mark.parametrize("padding", ["ids", "vectors"])
def test_positions_of_m2m_100_count_tokens(padding: str) -> None:
    ours, theirs = pair(formers.M2M100Model)
    ids = torch.tensor([[5, 1, 6, 7], [1, 1, 8, 9]])  # with padding among them, whatever the mask says
    given: dict[str, Any] = {"input_ids": ids}
    if padding == "vectors":
        given = {"inputs_embeds": torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(0))}
    given["decoder_input_ids"] = torch.tensor([[2, 5, 1, 6], [2, 1, 7, 8]])
    torch.testing.assert_close(ours(**given).last_hidden_state, theirs(**given).last_hidden_state, rtol=1e-4, atol=1e-4)
    table = ours.encoder.embed_positions
    for args in ((ids,), (None, torch.zeros(2, 4, 32), 3)):
        torch.testing.assert_close(table(*args), theirs.encoder.embed_positions(*args))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_every_layer_of_umt5_has_a_bias() -> None:
    ours, _ = pair(formers.UMT5Model)
    with torch.no_grad():
        before = ours(input_ids=IDS, decoder_input_ids=IDS).last_hidden_state
        for part in (ours.encoder, ours.decoder):
            table = part.block[1].layer[0].SelfAttention.relative_attention_bias.weight
            table += torch.randn(table.shape, generator=torch.Generator().manual_seed(0))
            after = ours(input_ids=IDS, decoder_input_ids=IDS).last_hidden_state
            assert not torch.allclose(before, after, atol=1e-3)
            before = after


@pytest.mark.parametrize("name", ["m2m_100", "bart"])
def test_training_leaves_out_layers(name: str) -> None:
    family = registry.load(name)
    keys = {"encoder_layerdrop": 0.5, "decoder_layerdrop": 0.0, "dropout": 0.0, "attention_dropout": 0.0}
    cls = family.HEADS["base"]
    model = cls(cls.config_class(**{**family.TINY, **keys, "encoder_layers": 4}))
    encoder = model.get_encoder()
    assert encoder.layerdrop == 0.5
    ran: list[int] = []
    for i, layer in enumerate(encoder.layers):
        layer.register_forward_hook(lambda *_, i=i: ran.append(i))
    torch.manual_seed(0)
    counts = []
    for _ in range(50):
        ran.clear()
        states = model(input_ids=IDS, decoder_input_ids=IDS, output_hidden_states=True).encoder_hidden_states
        assert len(states) == len(ran) + 1
        counts.append(len(ran))
    assert min(counts) < 2
    assert max(counts) > 2
    assert 80 < sum(counts) < 120  # of 200
    model.eval()
    ran.clear()
    model(input_ids=IDS, decoder_input_ids=IDS)
    assert ran == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["mt5", "umt5"])
def test_files_say_that_words_are_tied(name: str, tmp_path: Path) -> None:
    """Transformers 4 takes mT5's words for untied where a file does not say, and draws the layer that scores them."""
    family = registry.load(name)
    cls = family.HEADS["seq2seq-lm"]
    cls(cls.config_class(**family.TINY)).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"] is True
