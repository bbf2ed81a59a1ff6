"""Any encoder with any decoder: what the one reads, the other writes from.

    text ─ encoder ─▶ rows (─ enc_to_dec_proj, where widths differ ─▶) ─ decoder ─▶ logits

Both are models of their own families, loaded from checkpoints of these. Layers of the decoder that attend to the
encoder's rows are new there, and are to be trained.
Source: Rothe et al. 2019 (arXiv 1907.12461).
Letters: B batch, S columns of the encoder, T columns of the decoder, V vocabulary.
"""

from __future__ import annotations

import copy
import os
from typing import Any, ClassVar

from torch import Tensor, nn

from .. import hub, outputs, registry, seq2seq
from ..classes import config_class, model_class, read_config
from ..config import PretrainedConfig, longest_text
from ..errors import ArgumentError, ConfigError, InputError
from ..loading import modules_of, put
from ..modeling import PreTrainedModel
from ..ops.layout import Layout

PARTS = {"encoder": "base", "decoder": "causal-lm"}  # and the heads that they have


class EncoderDecoderConfig(PretrainedConfig):
    """encoder, decoder: the configurations of the parts, or their dictionaries; BERT's if left out.

    tie_encoder_decoder: whether the parts share all weights that have the same names in both.
    """

    model_type = "encoder-decoder"
    ENCODER: ClassVar[str] = "bert"  # the model_type of an encoder that is left out
    sub_configs = {"encoder": PretrainedConfig, "decoder": PretrainedConfig}

    encoder: PretrainedConfig | dict[str, Any] | None = None
    decoder: PretrainedConfig | dict[str, Any] | None = None
    is_encoder_decoder: bool = True
    tie_encoder_decoder: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.encoder = self._part("encoder", {"model_type": self.ENCODER})
        of_decoder = {"model_type": "bert", "is_decoder": True, "add_cross_attention": True}
        self.decoder = self._part("decoder", of_decoder)

    def _part(self, name: str, default: dict[str, Any]) -> PretrainedConfig:
        given, where = getattr(self, name), f"{type(self).__name__}.{name}"
        if isinstance(given, PretrainedConfig):
            return given
        given = default if given is None else given
        kind = given.get("model_type") if isinstance(given, dict) else None
        if not isinstance(kind, str) or kind == type(self).model_type:
            raise ConfigError(
                f"{where} is a {type(given).__name__} of model_type {kind!r}; give the configuration of one model, or "
                'its dictionary, {"model_type": "bert", …}.'
            )
        found: PretrainedConfig = config_class(kind, where).from_dict(given)
        return found

    def longest_text(self) -> int | None:
        """The longest text that the encoder reads, in tokens."""
        return longest_text(self.encoder)

    def longest_written(self) -> int | None:
        """The longest text that the decoder writes."""
        return longest_text(self.decoder)

    @classmethod
    def from_encoder_decoder_configs(
        cls, encoder_config: PretrainedConfig, decoder_config: PretrainedConfig, **kwargs: Any
    ) -> EncoderDecoderConfig:
        """One of the configurations of both, the second of which becomes a decoder's; both are copied."""
        encoder, decoder = copy.deepcopy(encoder_config), copy.deepcopy(decoder_config)
        decoder.is_decoder = decoder.add_cross_attention = True
        return cls(encoder=encoder, decoder=decoder, **kwargs)


class EncoderDecoderModel(seq2seq.Seq2SeqLM):
    """Writes a text from another: `encoder` is a model without a head, `decoder` one that predicts the next token.

    It is made of a configuration, of both parts, or of both and the configuration.
    HIDES_PADDING: whether the decoder sees no padding of what follows from labels.
    """

    HIDES_PADDING: ClassVar[bool] = True

    config_class = EncoderDecoderConfig
    base_model_prefix = "encoder_decoder"
    READ = (*seq2seq.Seq2SeqLM.READ, "token_type_ids", "position_ids")
    WRITTEN = {
        **seq2seq.Seq2SeqLM.WRITTEN,
        "decoder_token_type_ids": "token_type_ids",
        "decoder_position_ids": "position_ids",
    }
    KEYWORDS = (
        *seq2seq.Seq2SeqLM.KEYWORDS,
        *("token_type_ids", "position_ids", "decoder_token_type_ids", "decoder_position_ids"),
    )

    def __init__(
        self,
        config: PretrainedConfig | None = None,
        encoder: PreTrainedModel | None = None,
        decoder: PreTrainedModel | None = None,
    ) -> None:
        if config is None:
            if encoder is None or decoder is None:
                raise ArgumentError(f"{type(self).__name__} needs a configuration, or an encoder and a decoder.")
            config = self.config_class.from_encoder_decoder_configs(encoder.config, decoder.config)
        if not isinstance(config, self.config_class):
            raise ArgumentError(
                f"{type(self).__name__} takes a {self.config_class.__name__}, got {type(config).__name__}."
            )
        super().__init__(config)
        self.encoder = self._part("encoder") if encoder is None else encoder
        self.decoder = self._part("decoder") if decoder is None else decoder
        config.encoder, config.decoder = (
            self.encoder.config,
            self.decoder.config,
        )  # the same, so that changes reach both
        self._check()
        widths = self.encoder_width(), self.decoder.config.hidden_size
        across = getattr(self.decoder.config, "cross_attention_hidden_size", None)
        if across not in (None, widths[0]):
            raise ConfigError(
                f"cross_attention_hidden_size={across} of the decoder, and the encoder has {widths[0]}: leave it out."
            )
        if widths[0] != widths[1] and across is None:
            self.enc_to_dec_proj = nn.Linear(*widths)
            if not self.enc_to_dec_proj.weight.is_meta:
                self._init_weights(self.enc_to_dec_proj)  # and nothing else: the parts have their weights
        self._name_parts()
        self.tie_weights()

    def _part(self, name: str) -> PreTrainedModel:
        """The model of a part's configuration, with drawn weights."""
        config, head = getattr(self.config, name), PARTS[name]
        found = model_class(head, type(config))
        if found is None:
            raise ConfigError(f"{type(self).__name__}: {type(config).__name__} has no model to be the {name} ({head}).")
        made: PreTrainedModel = found._from_config(config, attn_implementation=self.config._attn_implementation)
        return made

    def _check(self) -> None:
        """Raise ConfigError for parts that do not fit together."""
        decoder, kind = self.decoder, type(self.decoder).__name__
        if getattr(self.encoder.config, "is_encoder_decoder", False):
            raise ConfigError(f"{type(self.encoder).__name__} writes itself; give a model that reads alone.")
        if (wrong := self.unread()) is not None:
            raise ConfigError(f"{type(self.encoder).__name__} cannot be the encoder: it reads no {wrong}.")
        if not hasattr(decoder, "compute_logits") or "encoder_hidden_states" not in decoder.arguments():
            raise ConfigError(f"{kind} cannot be the decoder: it takes no encoder_hidden_states.")
        if not decoder.causal():
            raise ConfigError(
                f"{kind} is no decoder by its configuration: set is_decoder=True and add_cross_attention=True there."
            )

    def unread(self) -> str | None:
        """What the encoder would have to read, and does not."""
        return None if self.main_input_name in self.encoder.arguments() else self.main_input_name

    def encoder_width(self) -> int:
        """Of the rows that the encoder makes."""
        width: int = self.encoder.config.hidden_size
        return width

    def _name_parts(self) -> None:
        """Say which names of files stand for which weights, and which weights are one."""
        sides = {"encoder": self.encoder, "decoder": self.decoder}
        self.BUFFERS = tuple({name: 0 for part in sides.values() for name in part.BUFFERS})  # type: ignore[misc]
        self.OPTIONAL = tuple(f"{side}.{name}" for side, part in sides.items() for name in part.OPTIONAL)  # type: ignore[misc]
        words = self.decoder.config.tie_word_embeddings
        tied = {n: o for n, o in self.decoder.TIED.items() if words or n.endswith(".bias")}
        self.TIED = {f"decoder.{name}": f"decoder.{owner}" for name, owner in tied.items()}  # type: ignore[misc]
        if self.config.tie_encoder_decoder:
            self.TIED = self._shared() | self.TIED  # type: ignore[misc]

    def _shared(self) -> dict[str, str]:
        """The decoder's weights that are the encoder's too."""
        prefix = self.decoder.base_model_prefix
        own = {name: x.shape for name, x in self.encoder.named_parameters()}
        theirs = {name: x.shape for name, x in self.decoder.base_model.named_parameters()}
        found = {f"decoder.{prefix}.{n}": f"encoder.{n}" for n, shape in theirs.items() if own.get(n) == shape}
        if not found:
            raise ConfigError(
                f"tie_encoder_decoder=True, and no weight of {type(self.encoder).__name__} has the name and shape "
                f"of one of {type(self.decoder.base_model).__name__}; leave it out."
            )
        return found

    def tie_weights(self, **_: Any) -> None:
        """Make the weights that are one share a tensor, as the parts' configurations say, and `tie_encoder_decoder`."""
        groups: dict[str, list[str]] = {}
        for name, owner in self.TIED.items():
            groups.setdefault(self.TIED.get(owner, owner), []).append(name)  # what owns may be another's itself
        modules = modules_of(self) if groups else {}
        for owner, names in groups.items():
            put(modules, [owner, *names], self.get_parameter(owner))

    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of one module as the part does that it belongs to."""
        for part in (self.encoder, self.decoder):
            if any(module is own for own in part.modules()):
                return part._init_weights(module)
        return super()._init_weights(module)

    @classmethod
    def from_encoder_decoder_pretrained(
        cls,
        encoder_pretrained_model_name_or_path: str | os.PathLike[str] | None = None,
        decoder_pretrained_model_name_or_path: str | os.PathLike[str] | None = None,
        *model_args: Any,
        **kwargs: Any,
    ) -> EncoderDecoderModel:
        """A model of two checkpoints, in eval mode. What the decoder attends to the encoder with is drawn anew.

        Keywords that begin with encoder_ or decoder_ are for the `from_pretrained` of a part: keys of its
        configuration, or `encoder_config`; `encoder_model` is a model to use. Others are keys of the whole's, as is
        decoder_start_token_id.
        """
        names = {
            "encoder": encoder_pretrained_model_name_or_path,
            "decoder": decoder_pretrained_model_name_or_path,
        }
        parts: dict[str, Any] = {}
        for side, name in names.items():
            keys = [key for key in kwargs if key.startswith(f"{side}_") and key not in PretrainedConfig.defaults()]
            own = {key.removeprefix(f"{side}_"): kwargs.pop(key) for key in keys}
            parts[side] = own.pop("model", None)
            if parts[side] is None:
                parts[side] = _loaded(side, name, model_args, own)
            elif own:
                raise ArgumentError(f"{side}_{min(own)} is for loading the {side}, and {side}_model is there already.")
        both = [parts[side].config for side in names]
        return cls(config=cls.config_class.from_encoder_decoder_configs(*both, **kwargs), **parts).eval()

    # ---- parts

    def set_attn_implementation(self, attn_implementation: str) -> None:
        super().set_attn_implementation(attn_implementation)
        for part in self.children():
            if isinstance(part, PreTrainedModel):
                part.set_attn_implementation(attn_implementation)

    def writer(self) -> Any:
        return self.decoder.base_model

    def get_input_embeddings(self) -> nn.Embedding:
        """The encoder's table of words."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace it."""
        self.encoder.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module | None:
        """The decoder's layer that scores the vocabulary."""
        return self.decoder.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace it."""
        self.decoder.set_output_embeddings(new_embeddings)

    def resize_token_embeddings(self, *_: Any, **__: Any) -> nn.Embedding:
        """Raise InputError: the parts have a vocabulary each."""
        raise InputError(
            f"{type(self).__name__} has two vocabularies: call model.encoder.resize_token_embeddings(…) or "
            "model.decoder.resize_token_embeddings(…)."
        )

    # ---- running

    def compute(self, inputs: dict[str, Any]) -> Any:
        labels, padding = inputs.get("labels"), self.config.pad_token_id
        given = [inputs.get(f"decoder_{name}") for name in ("input_ids", "inputs_embeds")]
        if labels is not None and given == [None, None]:
            ids = inputs["decoder_input_ids"] = self.prepare_decoder_input_ids_from_labels(labels)
            if self.HIDES_PADDING and inputs.get("decoder_attention_mask") is None and padding is not None:
                inputs["decoder_attention_mask"] = (ids != padding).long()
        return super().compute(inputs)

    def compute_logits(self, rows: Tensor) -> Tensor:
        found: Tensor = self.decoder.compute_logits(rows)  # type: ignore[operator]
        return found

    def encoded(
        self, inputs: dict[str, Any], asked: dict[str, Any]
    ) -> tuple[outputs.ModelOutput, tuple[Tensor, Layout]]:
        encoded, (rows, layout) = super().encoded(inputs, asked)
        project = getattr(self, "enc_to_dec_proj", None)
        if project is not None and inputs.get("memory") is None:  # what is handed over has gone through it
            rows = project(rows)
        return encoded, (rows, layout)


def _loaded(side: str, name: str | os.PathLike[str] | None, model_args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The model of a part, from its checkpoint."""
    if name is None:
        raise ArgumentError(f"{side}_pretrained_model_name_or_path is needed, or {side}_model.")
    where, config = hub.hub_arguments(kwargs.copy()), kwargs.pop("config", None)
    if config is None:
        config, kwargs = read_config(name, **kwargs)
    config = copy.deepcopy(config)
    config.is_decoder = config.add_cross_attention = side == "decoder"
    found = model_class(PARTS[side], type(config))
    if found is None:
        raise ConfigError(f"{name}: {type(config).__name__} has no model to be the {side} ({PARTS[side]}).")
    args = model_args if side == "encoder" else ()
    return found.from_pretrained(name, *args, config=config, **{**where, **kwargs})


MODEL_TYPES = {"encoder-decoder": EncoderDecoderConfig}
TOKENIZER = None  # the parts may have one each
HEADS = {
    "base": EncoderDecoderModel,
    "seq2seq-lm": EncoderDecoderModel,
}
_TINY = registry.load("bert").TINY
TINY = {
    "encoder": {"model_type": "bert", **_TINY},
    "decoder": {"model_type": "bert", **_TINY, "is_decoder": True, "add_cross_attention": True},
    "pad_token_id": 0,
    "decoder_start_token_id": 1,
}
