"""An encoder of sound with any decoder: what the one hears, the other writes, in the same language or in another.

    sound ─ encoder ─▶ frames (─ adapter ─▶ fewer) (─ enc_to_dec_proj, where widths differ ─▶) ─ decoder ─▶ logits

Source: Wang et al. 2021 (arXiv 2104.06678).
Letters: B batch, S samples, T frames that the decoder attends to, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import outputs, registry, seq2seq
from ..errors import InputError
from ..generation.source import Source
from ..ops.layout import Layout
from . import encoder_decoder

SOUND = ("input_values", "input_features")  # samples, or spectrograms


class SpeechEncoderDecoderConfig(encoder_decoder.EncoderDecoderConfig):
    """encoder, decoder: the configurations of the parts, or their dictionaries; Wav2Vec2's and BERT's if left out."""

    model_type = "speech-encoder-decoder"
    ENCODER = "wav2vec2"


class SpeechEncoderDecoderModel(encoder_decoder.EncoderDecoderModel):
    """Writes a text from a sound: `encoder` is a model of sound without a head, `decoder` one that predicts the next
    token. The sound may be called `inputs`, or by what the encoder calls it; its `attention_mask` (B, S) is of samples.
    """

    config_class: ClassVar[Any] = SpeechEncoderDecoderConfig
    base_model_prefix = "speech_encoder_decoder"
    main_input_name = "inputs"
    SIGNATURE = (
        *("inputs", "attention_mask", "decoder_input_ids", "decoder_attention_mask", "encoder_outputs"),
        *("past_key_values", "decoder_inputs_embeds", "labels", "use_cache", "output_attentions"),
        *("output_hidden_states", *SOUND, "return_dict"),
    )
    READ = ("inputs", *SOUND, "mask_time_indices")
    KEYWORDS = (
        *(name for name in seq2seq.Seq2SeqLM.KEYWORDS if name != "head_mask"),
        *("mask_time_indices", "decoder_token_type_ids", "decoder_position_ids"),
    )
    HIDES_PADDING = False

    def source_name(self) -> str:
        encoder = getattr(self, "encoder", None)
        return next((name for name in SOUND if name in encoder.arguments()), SOUND[0])  # type: ignore[union-attr]

    def source_width(self) -> int:
        config = self.encoder.config
        adapted = getattr(config, "add_adapter", False)
        width: int = config.output_hidden_size if adapted else config.hidden_size
        return width

    def heard(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs, with the sound by the encoder's name. Raises InputError for several, or another kind."""
        given = {name: inputs[name] for name in ("inputs", *SOUND) if inputs.get(name) is not None}
        rest, name = {key: value for key, value in inputs.items() if key not in ("inputs", *SOUND)}, self.source_name()
        if len(given) > 1:
            raise InputError(f"{type(self).__name__} got the sound twice, as {' and as '.join(given)}; give one.")
        if wrong := given.keys() - {"inputs", name}:
            raise InputError(f"{type(self.encoder).__name__} reads {name}, not {min(wrong)}.")
        return rest | dict.fromkeys([name] if given else [], next(iter(given.values()), None))

    def encoded(
        self, inputs: dict[str, Any], asked: dict[str, Any]
    ) -> tuple[outputs.ModelOutput, tuple[Tensor, Layout]]:
        given, mask, handed = (inputs.get(name) for name in ("encoder_outputs", "attention_mask", "memory"))
        inputs = self.heard(inputs)
        if given is None and inputs.get(self.source_name()) is None:
            raise InputError(f"{type(self).__name__} reads inputs, a sound, or encoder_outputs: give one of them.")
        if given is not None and handed is None:
            inputs["attention_mask"] = self._frames(given[0], mask)
        encoded, (rows, layout) = super().encoded(inputs, asked)
        if handed is not None:
            return encoded, (rows, layout)
        if layout.index is None and layout.columns != rows.shape[1]:  # an adapter has made fewer
            layout = Layout(rows.shape[0], rows.shape[1], mask=self._frames(rows, mask))
        # as the reference has it, where what the decoder attends to is the last hidden state
        fields = {name: encoded.get(name) for name in self.OF_ENCODER}
        return outputs.BaseModelOutput(layout.unpack(rows), **fields), (rows, layout)

    def _frames(self, states: Any, mask: Tensor | None) -> Tensor | None:
        """Which of the encoder's last hidden states (B, T, D) are of sound, from a mask of samples or of frames."""
        if not isinstance(states, Tensor) or mask is None or mask.shape[1] == states.shape[1]:
            return mask
        found: Tensor = self.encoder._get_feature_vector_attention_mask(states.shape[1], mask)  # type: ignore[operator]
        return found

    def read_source(self, inputs: Any, config: Any, kwargs: dict[str, Any]) -> Source:
        """The sound that the encoder reads."""
        name = self.source_name()
        sound = self.heard({"inputs": inputs, **{key: kwargs.pop(key, None) for key in SOUND}}).get(name)
        return super().read_source(sound, config, kwargs)

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
        sound, draw = self.encoder._sample(None)[0], torch.Generator().manual_seed(0)
        size = (len(sound[self.source_name()]), 12)
        ids = torch.randint(self.decoder.config.vocab_size, size, generator=draw).to(self.device)
        return [self.whole_batch({**sound, "decoder_input_ids": ids})]


MODEL_TYPES = {"speech-encoder-decoder": SpeechEncoderDecoderConfig}
TOKENIZER = None  # the decoder's
FEATURE_EXTRACTOR = registry.load("wav2vec2").FEATURE_EXTRACTOR
HEADS = {"base": SpeechEncoderDecoderModel, "speech-seq2seq": SpeechEncoderDecoderModel}
TINY = {
    "encoder": {"model_type": "wav2vec2", **registry.load("wav2vec2").TINY},
    "decoder": {"model_type": "bert", **registry.load("bert").TINY, "is_decoder": True, "add_cross_attention": True},
    "pad_token_id": 1,
    "decoder_start_token_id": 2,
}
