"""An encoder of sound with any decoder: what the one hears, the other writes, in its language or another.

    sound ─ encoder ─ (adapter) ─▶ rows (─ enc_to_dec_proj, where widths differ ─▶) ─ decoder ─▶ logits

Source: Wang et al. 2021 (arXiv 2104.06678).
Letters: B batch, S samples, T frames, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .. import outputs, registry, seq2seq
from ..errors import InputError
from ..ops.layout import Layout
from ..speech import ReadsSound
from . import encoder_decoder

_SOUND = ("input_values", "input_features")


class SpeechEncoderDecoderConfig(encoder_decoder.EncoderDecoderConfig):
    """encoder, decoder: the configurations of the parts, or their dictionaries; Wav2Vec2's and BERT's if left out."""

    model_type = "speech-encoder-decoder"
    ENCODER = "wav2vec2"


class SpeechEncoderDecoderModel(encoder_decoder.EncoderDecoderModel):
    """Writes a text from a sound: `encoder` is a model of sound without a head, `decoder` one that predicts the next
    token. What is heard may be called `inputs`, or as the encoder calls it, `input_values` or `input_features`."""

    config_class = SpeechEncoderDecoderConfig
    base_model_prefix = "speech_encoder_decoder"
    main_input_name = "inputs"
    SIGNATURE = (
        *("inputs", "attention_mask", "decoder_input_ids", "decoder_attention_mask", "encoder_outputs"),
        *("past_key_values", "decoder_inputs_embeds", "labels", "use_cache", "output_attentions"),
        *("output_hidden_states", *_SOUND, "return_dict"),
    )
    READ = _SOUND
    KEYWORDS = (
        *(name for name in seq2seq.Seq2SeqLM.KEYWORDS if name != "head_mask"),  # encoders of sound take none
        *("decoder_token_type_ids", "decoder_position_ids"),
    )
    HIDES_PADDING = False

    def unread(self) -> str | None:
        """What the encoder would have to read, and does not; what it reads is what this model does."""
        name = self.encoder.main_input_name
        self.main_input_name = name  # type: ignore[misc]
        return None if name in _SOUND else " or ".join(_SOUND)

    def encoder_width(self) -> int:
        """Of the rows that the encoder makes, after its adapter."""
        config: Any = self.encoder.config
        width: int = config.output_hidden_size if getattr(config, "add_adapter", False) else config.hidden_size
        return width

    def compute(self, inputs: dict[str, Any]) -> Any:
        heard = inputs.pop("inputs", None)
        if heard is not None:
            if any(inputs.get(name) is not None for name in _SOUND):
                raise InputError(f"{type(self).__name__} got what is heard twice, as inputs and by its name.")
            inputs[self.main_input_name] = heard
        return super().compute(inputs)

    def encoded(
        self, inputs: dict[str, Any], asked: dict[str, Any]
    ) -> tuple[outputs.ModelOutput, tuple[Tensor, Layout]]:
        """What the encoder says, and its rows and their layout: the mask is of samples, and these are of frames."""
        if inputs.get("memory") is not None:  # what is handed over has been here
            return super().encoded(inputs, asked)
        mask, given = inputs.get("attention_mask"), inputs.get("encoder_outputs")
        of_frames = isinstance(self.encoder, ReadsSound) and mask is not None
        if given is not None and of_frames:
            inputs = inputs | {"attention_mask": self._of_frames(given[0].shape[1], mask)}
        encoded, (rows, layout) = super().encoded(inputs, asked)
        if rows.dim() == 3 and rows.shape[1] != layout.columns:  # after an adapter
            seen = self._of_frames(rows.shape[1], mask) if of_frames else None
            layout = Layout(layout.batch, rows.shape[1], mask=seen)
        return replace(encoded, last_hidden_state=layout.unpack(rows)), (rows, layout)  # type: ignore[type-var]

    def _of_frames(self, frames: int, mask: Any) -> Tensor:
        """Which frames are real, from a mask of samples."""
        found: Tensor = self.encoder._get_feature_vector_attention_mask(frames, mask)  # type: ignore[operator]
        return found

    def freeze_feature_encoder(self) -> None:
        """Let the encoder's convolutions be as they are in training."""
        self.encoder.freeze_feature_encoder()  # type: ignore[operator]

    def get_input_embeddings(self) -> nn.Embedding:
        """The decoder's table of words."""
        return self.decoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace it."""
        self.decoder.set_input_embeddings(value)

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        """Sounds, and texts of random tokens, which is what the decoder makes of them too."""
        heard, draw = self.encoder._sample(None)[0], torch.Generator().manual_seed(0)
        size = (len(heard[self.main_input_name]), 12)
        ids = torch.randint(self.decoder.config.vocab_size, size, generator=draw).to(self.device)
        return [self.whole_batch({**heard, "decoder_input_ids": ids})]


MODEL_TYPES = {"speech-encoder-decoder": SpeechEncoderDecoderConfig}
TOKENIZER = None  # the decoder's
HEADS = {"base": SpeechEncoderDecoderModel, "speech-seq2seq": SpeechEncoderDecoderModel}
TINY = {
    "encoder": {"model_type": "wav2vec2", **registry.load("wav2vec2").TINY},
    "decoder": {"model_type": "bert", **registry.load("bert").TINY, "is_decoder": True, "add_cross_attention": True},
    "pad_token_id": 0,
    "decoder_start_token_id": 1,
}
