"""Whisper: a spectrogram of thirty seconds by two convolutions and an encoder, written down by a decoder.

    input_features (B, M, F) ─ conv ─ conv, every other frame ─(+ sines)─ encoder ─▶ rows (B, S, D) ─ decoder ─▶ logits

Source: Radford et al. 2022 (arXiv 2212.04356), https://github.com/openai/whisper
Letters: B batch, M bands of mels, F frames, S columns of the encoder (F / 2), T columns of the decoder, D width, V
vocabulary, C labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import decoders, heads, outputs, seq2seq
from ..config import PretrainedConfig
from ..errors import ArgumentError, ConfigError, InputError
from ..generation.speech import SpeechGeneration
from ..layers import ColumnConv
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.checks import read_mask
from ..ops.embedding import lookup
from ..ops.layout import Layout
from ..processing.of_sound import WhisperFeatureExtractor
from ..processing.spectrogram import log_mel, mel_filters
from ..processing.spoken import WhisperProcessor
from ..spectrograms import checked_sound
from ..speech import mask_spans
from ..tokenization.spoken import LANGUAGES, TO_LANGUAGE_CODE  # noqa: F401
from ..tokenization.whisper import WhisperTokenizer, WhisperTokenizerFast  # noqa: F401
from . import bart

STRIDE = 2  # frames to a column of the encoder


class WhisperConfig(PretrainedConfig):
    """Defaults are those of openai/whisper-tiny, but for the tokens, which are of whisper-tiny.en.

    max_source_positions: S; spectrograms have twice as many frames. apply_spec_augment: whether training hides spans of
    frames and of bands, as the keys mask_… say. use_weighted_layer_sum, classifier_proj_size: of the model that labels.
    median_filter_width: over how many columns weights of attention are smoothed, of which times of words are found.
    """

    model_type = "whisper"
    attribute_map = {
        "num_key_value_heads": "encoder_attention_heads",
        "num_attention_heads": "encoder_attention_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
        "initializer_range": "init_std",
    }

    vocab_size: int = 51865
    num_mel_bins: int = 80
    encoder_layers: int = 4
    encoder_attention_heads: int = 6
    decoder_layers: int = 4
    decoder_attention_heads: int = 6
    decoder_ffn_dim: int = 1536
    encoder_ffn_dim: int = 1536
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    decoder_start_token_id: int | None = 50257
    use_cache: bool = True
    is_encoder_decoder: bool = True
    activation_function: str = "gelu"
    d_model: int = 384
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    scale_embedding: bool = False
    max_source_positions: int = 1500
    max_target_positions: int = 448
    pad_token_id: int | None = 50256
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | tuple[int, ...] | None = (220, 50256)
    use_weighted_layer_sum: bool = False
    classifier_proj_size: int = 256
    apply_spec_augment: bool = False
    mask_time_prob: float = 0.05
    mask_time_length: int = 10
    mask_time_min_masks: int = 2
    mask_feature_prob: float = 0.0
    mask_feature_length: int = 10
    mask_feature_min_masks: int = 0
    median_filter_width: int = 7

    def longest_text(self) -> int | None:
        """The longest text that the decoder writes, in tokens."""
        return self.max_target_positions


class WhisperPositionalEmbedding(bart.BartLearnedPositionalEmbedding):
    OFFSET = 0


class WhisperAttention(bart.BartAttention):
    def __init__(self, config: Any, heads: int, causal: bool = False) -> None:
        super().__init__(config, heads, causal)
        self.k_proj = nn.Linear(config.d_model, config.d_model, bias=False)


class WhisperEncoderLayer(bart.BartEncoderLayer):
    PRE, ATTENTION = True, WhisperAttention


class WhisperDecoderLayer(bart.BartDecoderLayer):
    PRE, ATTENTION = True, WhisperAttention


def sinusoids(length: int, channels: int, max_timescale: float = 10000) -> Tensor:
    """(length, channels) positions that nobody trains: sines, then cosines, of waves up to 2π · max_timescale long."""
    if channels % 2:
        raise ConfigError(f"d_model={channels} is odd: half of a position's numbers are sines, and half cosines.")
    rates = torch.exp(-math.log(max_timescale) / (channels // 2 - 1) * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def shift_tokens_right(input_ids: Tensor, pad_token_id: int, decoder_start_token_id: int) -> Tensor:
    """What a decoder reads to predict `input_ids` (B, T): see `seq2seq.shift_right`."""
    return seq2seq.shift_right(input_ids, decoder_start_token_id, pad_token_id)


class WhisperPreTrainedModel(PreTrainedModel):
    """What Whisper's models share."""

    config_class: ClassVar[Any] = WhisperConfig
    base_model_prefix = "model"
    main_input_name = "input_features"

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return WhisperModel(config)

    def _get_feat_extract_output_lengths(self, input_lengths: Any) -> Any:  # which people call
        """S, of spectrograms of so many frames."""
        return (input_lengths - 1) // STRIDE + 1

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv1d):
            nn.init.normal_(module.weight, std=self._std())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, WhisperEncoder):
            table = module.embed_positions.weight
            with torch.no_grad():
                table.copy_(sinusoids(*table.shape))

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        ids = torch.ones(2, 3, dtype=torch.long)
        return self._batch(hummed(self.config, 2), ids)

    def _batch(self, features: Tensor, ids: Tensor) -> dict[str, Tensor]:
        made = {"input_features": features.to(self.dtype), "decoder_input_ids": ids, "input_ids": ids}
        return {name: x.to(self.device) for name, x in made.items() if name in self.inputs()}

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        """Sounds, and tokens that may be written of them."""
        config, count = self.config, 2
        ids = torch.randint(config.vocab_size, (count, 24), generator=torch.Generator().manual_seed(0))
        made = self._batch(hummed(config, count), ids)
        if isinstance(self, SpeechGeneration):  # what is written is easier to compute than what nobody would write
            asked: dict[str, Any] = {"max_new_tokens": min(24, config.max_target_positions - 1), "do_sample": False}
            start = torch.full((count, 1), config.decoder_start_token_id or 0, device=self.device)
            made["decoder_input_ids"] = self._once(
                made["input_features"], None, None, {"decoder_input_ids": start, **asked}
            )
        return [made]

    def _encoded(self, texts: list[str], tokenizer: Any) -> Mapping[str, Tensor]:
        if "input_features" not in self.inputs():
            return super()._encoded(texts, tokenizer)
        raise ArgumentError(
            f"{type(self).__name__} reads sounds: check={texts[0]!r:.40} is a list of batches for it, such as "
            '[{**processor(sounds, return_tensors="pt"), "decoder_input_ids": ids}].'
        )


def hummed(config: Any, count: int) -> Tensor:
    """Spectrograms (count, M, F) of voices that are nobody's: tones of many harmonics that glide, in syllables."""
    frames, rate = STRIDE * config.max_source_positions, 16_000
    time, made = np.arange(frames * 160) / rate, []
    filters = mel_filters(201, config.num_mel_bins, 0.0, 8000.0, rate, "slaney", True)
    for voice in range(count):
        pitch = (100 + 40 * voice) * (1 + 0.2 * np.sin(2 * np.pi * (0.7 + 0.1 * voice) * time))
        turns = 2 * np.pi * np.cumsum(pitch) / rate
        tones = sum(np.sin(n * turns) / n * (1 + np.cos(n + 3 * time)) for n in range(1, 20))
        wave = tones * np.clip(np.sin(2 * np.pi * 2 * time + voice), 0, 1) / 20
        made.append(log_mel(wave.astype(np.float32), len(time), 400, 160, filters))
    return torch.from_numpy(np.stack(made))


def checked_features(who: str, features: Any, config: Any) -> Tensor:
    """Spectrograms (B, M, F) of a whole window. Raises InputError for anything else; `who` is the model's name."""
    features = checked_sound(who, "input_features", features, ("batch", "bands", "frames"))
    (_, bands, frames), wanted = features.shape, STRIDE * config.max_source_positions
    how = "AutoFeatureExtractor.from_pretrained(…) of this checkpoint, a WhisperFeatureExtractor, makes them"
    if bands != config.num_mel_bins:
        turned = " They are turned: features.transpose(1, 2)." if frames == config.num_mel_bins else ""
        raise InputError(
            f"input_features has {bands} bands of mels, {tuple(features.shape)}, but {who} has "
            f"num_mel_bins={config.num_mel_bins}: {how}.{turned}"
        )
    if frames != wanted:
        raise InputError(
            f"input_features has {frames} frames, {tuple(features.shape)}, but {who} reads windows of {wanted} alone, "
            f"whatever they hold: {how}, with padding='max_length' and truncation=True. generate() takes longer ones."
        )
    return features


class WhisperEncoder(WhisperPreTrainedModel, decoders.DecoderBody):
    """Spectrograms (B, M, F) to hidden states (B, S, D)."""

    OUTPUT = outputs.BaseModelOutput
    SIGNATURE = ("input_features", "attention_mask", *OPTIONS)
    KEYWORDS = ("head_mask",)
    EMBEDDED = ("input_features",)
    WORDS, LAYERS, LAST = "conv1", "layers", "layer_norm"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        D, self.dropout, self.layerdrop = config.d_model, config.dropout, config.encoder_layerdrop
        self.conv1 = ColumnConv(config.num_mel_bins, D, kernel_size=3, padding=1)
        self.conv2 = ColumnConv(D, D, kernel_size=3, stride=STRIDE, padding=1)
        self.embed_positions = nn.Embedding(config.max_source_positions, D)
        self.embed_positions.requires_grad_(False)
        self.layers = nn.ModuleList(WhisperEncoderLayer(config) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(D)
        self.gradient_checkpointing = False
        self.post_init()

    def causal(self) -> bool:
        return False

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Encode spectrograms: input_features (B, M, F), of exactly F = 2 · max_source_positions frames.

        attention_mask: changes nothing; silence is in the spectrogram. head_mask: (H,) or (layers, H), 1 keeps a head.
        """
        return super().compute({**inputs, "attention_mask": None})

    def layout_of_inputs(self, inputs: dict[str, Any], *_: Any, **__: Any) -> Layout:
        given = checked_features(type(self).__name__, inputs.get("input_features"), self.config)
        return Layout(len(given), given.shape[2] // STRIDE)

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        x = F.gelu(self.conv1(inputs["input_features"].to(self.conv1.weight.dtype)))  # (B, M, F) -> (B, D, F)
        rows = F.gelu(self.conv2(x)).transpose(1, 2) + self.embed_positions.weight  # -> (B, S, D)
        return F.dropout(rows, self.dropout, self.training)

    def _freeze_parameters(self) -> None:  # which people call
        self.requires_grad_(False)


class WhisperDecoder(WhisperPreTrainedModel, bart.BartDecoder):
    """Tokens (B, T), and the encoder's rows, to hidden states (B, T, D)."""

    SIGNATURE = (
        *("input_ids", "attention_mask", "encoder_hidden_states", "past_key_values", "inputs_embeds", "position_ids"),
        *("use_cache", *OPTIONS),
    )
    main_input_name = "input_ids"
    LAYER, POSITIONS, TABLE = WhisperDecoderLayer, WhisperPositionalEmbedding, nn.Embedding
    NORM_WORDS, NORM_LAST, LENGTH = False, True, "max_target_positions"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embed_scale = 1.0  # whatever the configuration says, in the reference too

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        rows, table = decoders.DecoderBody.embed(self, layout, inputs), self.embed_positions
        places = self.positions(layout, inputs, rows.device)
        read = lambda ids: table(ids, position_ids=ids)  # noqa: E731
        rows = rows + lookup(table, places, layout, "position_ids", "max_target_positions", read)
        return F.dropout(rows, self.dropout, self.training)


class Whole(WhisperPreTrainedModel, seq2seq.Seq2SeqPreTrainedModel):
    """What models with an encoder and a decoder share."""

    READ = ("input_features", "head_mask")
    WORDS = "decoder.embed_tokens"
    WRITTEN: ClassVar[dict[str, str]] = {
        **seq2seq.Seq2SeqPreTrainedModel.WRITTEN,
        "decoder_position_ids": "position_ids",
    }
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_features", "attention_mask", "decoder_input_ids", "decoder_attention_mask", "encoder_outputs"),
        *("past_key_values", "decoder_inputs_embeds", "decoder_position_ids", "labels", "use_cache", *OPTIONS),
    )

    def freeze_encoder(self) -> None:
        """Let training leave the encoder as it is."""
        self.get_encoder().requires_grad_(False)

    def encoded(self, inputs: dict[str, Any], asked: dict[str, Any]) -> tuple[Any, tuple[Tensor, Layout]]:
        """As for others; a mask of frames says only where training may hide some."""
        if self.training and inputs.get("encoder_outputs") is None:
            checked = checked_features(type(self).__name__, inputs.get("input_features"), self.config)
            hidden = self._mask_input_features(checked, inputs.get("attention_mask"))
            inputs = {**inputs, "input_features": hidden}
        return super().encoded({**inputs, "attention_mask": None}, asked)

    def _mask_input_features(self, input_features: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Spectrograms (B, M, F) with spans of frames and of bands set to 0, where the configuration has training do
        so. attention_mask: (B, F), 1 where spans of frames may be. Source: Park et al. 2019 (arXiv 1904.08779)."""
        config, (B, M, frames) = self.config, input_features.shape
        if not config.apply_spec_augment or not self.training:
            return input_features
        if config.mask_time_prob > 0:
            mask = None if attention_mask is None else read_mask(attention_mask, B, frames)
            lengths = None if mask is None else mask.sum(-1).tolist()
            drawn = mask_spans(
                *((B, frames), config.mask_time_prob, config.mask_time_length, lengths, config.mask_time_min_masks)
            )
            input_features = input_features.masked_fill(torch.from_numpy(drawn).to(input_features.device)[:, None], 0)
        if config.mask_feature_prob > 0:
            least = config.mask_feature_min_masks
            drawn = mask_spans((B, M), config.mask_feature_prob, config.mask_feature_length, None, least)
            input_features = input_features.masked_fill(torch.from_numpy(drawn).to(input_features.device)[..., None], 0)
        return input_features


class WhisperModel(Whole, seq2seq.Seq2SeqModel):
    """The model without a head: the decoder's hidden states (B, T, D)."""

    SIGNATURE: ClassVar[tuple[str, ...]] = tuple(name for name in Whole.SIGNATURE if name != "labels")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.encoder, self.decoder = WhisperEncoder(config), WhisperDecoder(config)
        self.post_init()


class WhisperForConditionalGeneration(Whole, SpeechGeneration, seq2seq.Seq2SeqLM):
    """Writes what is said. labels (B, T): the tokens to be written, -100 to leave one out; logits (B, T, V)."""

    TIED = {"proj_out.weight": "model.decoder.embed_tokens.weight"}
    STRIDE, LANGUAGES = STRIDE, TO_LANGUAGE_CODE

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.proj_out = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.max_target_positions = config.max_target_positions
        self.post_init()

    def compute(self, inputs: dict[str, Any]) -> Any:
        labels, most = inputs.get("labels"), self.config.max_target_positions
        if isinstance(labels, Tensor) and labels.dim() == 2 and labels.shape[1] > most:
            raise InputError(
                f"labels have {labels.shape[1]} columns, but the decoder writes at most max_target_positions={most} "
                "tokens: give shorter pieces of sound, or leave out what is longer."
            )
        return super().compute(inputs)

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.proj_out(rows)


class WhisperDecoderWrapper(WhisperPreTrainedModel, bart.Wrapper):
    """What WhisperForCausalLM holds."""

    SIGNATURE: ClassVar[tuple[str, ...]] = WhisperDecoder.SIGNATURE
    WORDS, DECODER, main_input_name = bart.Wrapper.WORDS, WhisperDecoder, "input_ids"


class WhisperForCausalLM(WhisperPreTrainedModel, bart.BartForCausalLM):
    """Predicts the next token: the decoder alone, or after what an encoder returned."""

    SCORES = "proj_out"
    TIED = {"proj_out.weight": "model.decoder.embed_tokens.weight"}
    RENAMES: ClassVar[dict[str, str]] = {}
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "attention_mask", "encoder_outputs", "past_key_values", "inputs_embeds", "labels", "use_cache"),
        *OPTIONS,
    )
    KEYWORDS: ClassVar[tuple[str, ...]] = (
        *bart.BartForCausalLM.KEYWORDS,
        *("head_mask", "cross_attn_head_mask", "encoder_hidden_states", "position_ids"),
    )
    WRAPPER, make_body, main_input_name = WhisperDecoderWrapper, bart.BartForCausalLM.make_body, "input_ids"

    def flatten(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """With the rows of what the encoder returned."""
        flat = super().flatten({name: value for name, value in inputs.items() if name != "encoder_outputs"})
        encoded = inputs.get("encoder_outputs")
        if encoded is not None:
            flat["encoder_hidden_states"] = encoded if isinstance(encoded, Tensor) else encoded[0]
        return flat


class WhisperForAudioClassification(WhisperPreTrainedModel, heads.SequenceClassification):
    """Labels a sound by the mean of the encoder's rows. labels (B,) ids; logits (B, C)."""

    SIGNATURE: ClassVar[tuple[str, ...]] = ("input_features", "encoder_outputs", "labels", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = (heads.ITEMS, "attention_mask", "head_mask")
    WORDS = "encoder.conv1"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.encoder = WhisperEncoder(config)
        if config.use_weighted_layer_sum:
            layers = config.encoder_layers + 1
            self.layer_weights = nn.Parameter(torch.ones(layers) / layers)
        self.projector = nn.Linear(config.d_model, config.classifier_proj_size)
        self.classifier = nn.Linear(config.classifier_proj_size, config.num_labels)
        self.post_init()

    def freeze_encoder(self) -> None:
        """Let training leave the encoder as it is."""
        self.encoder.requires_grad_(False)

    def layout_of(self, flat: dict[str, Any], inputs: dict[str, Any], targets: dict[str, Any], cache: Any) -> Layout:
        given = inputs.get("encoder_outputs")
        return self.encoder.layout_of_inputs(inputs) if given is None else Layout(*given[0].shape[:2])

    def body(self, inputs: dict[str, Any]) -> Any:
        given = inputs.pop("encoder_outputs", None)
        if given is not None:
            return given if isinstance(given, outputs.ModelOutput) else outputs.BaseModelOutput(*given[:3])
        if self.config.use_weighted_layer_sum:
            inputs["output_hidden_states"] = True
        return self.encoder(**inputs)

    def logits_of_texts(self, body: Any, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        rows: Tensor = body.last_hidden_state
        if self.config.use_weighted_layer_sum:
            rows = self._weighted(body.hidden_states)
        return self.classifier(self.projector(rows).mean(dim=1))  # (B, S, D) -> (B, C)

    def _weighted(self, states: Sequence[Tensor] | None) -> Tensor:
        """The sum of all layers' hidden states (B, S, D), each by its learned weight."""
        if states is None:
            raise InputError(
                "use_weighted_layer_sum=True needs the hidden states of all layers: give encoder_outputs of "
                "encoder(…, output_hidden_states=True)."
            )
        return torch.einsum("lbsd,l->bsd", torch.stack(tuple(states)), self.layer_weights.softmax(-1))


MODEL_TYPES = {"whisper": WhisperConfig}
TOKENIZER = WhisperTokenizer
FEATURE_EXTRACTOR = WhisperFeatureExtractor
PROCESSOR = WhisperProcessor
HEADS = {
    "base": WhisperModel,
    "speech-seq2seq": WhisperForConditionalGeneration,
    "causal-lm": WhisperForCausalLM,
    "audio-classification": WhisperForAudioClassification,
}
TINY = {
    "vocab_size": 99,
    "num_mel_bins": 16,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 41,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "max_source_positions": 20,
    "max_target_positions": 30,
    "classifier_proj_size": 24,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
    "begin_suppress_tokens": [4],
}
