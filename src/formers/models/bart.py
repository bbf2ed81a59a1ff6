"""BART. Source: Lewis et al. 2019 (arXiv 1910.13461), https://github.com/facebookresearch/fairseq

Letters: B batch, S columns of the encoder, T columns of the decoder, D width, F width of the feed-forward, H heads, C
labels, V vocabulary.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import decoders, outputs, seq2seq
from ..config import PretrainedConfig
from ..cross_attention import EitherAttention
from ..errors import ConfigError
from ..layers import by_hand, through, within_range
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.activations import activation
from ..ops.embedding import lookup
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from ..tokenization import ROBERTA_FRAME
from . import roberta


class BartConfig(PretrainedConfig):
    """Defaults are those of facebook/bart-large."""

    model_type = "bart"
    attribute_map = {
        "hidden_size": "d_model",
        "num_attention_heads": "encoder_attention_heads",
        "num_hidden_layers": "encoder_layers",
        "initializer_range": "init_std",
    }
    LABELS: ClassVar[int] = 3  # where no configuration says: those of the checkpoints for inference

    vocab_size: int = 50265
    max_position_embeddings: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    activation_function: str = "gelu"
    d_model: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    classifier_dropout: float = 0.0
    scale_embedding: bool = False
    use_cache: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    is_encoder_decoder: bool = True
    decoder_start_token_id: int | None = 2
    forced_eos_token_id: int | list[int] | None = 2

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("id2label") is None:
            kwargs.setdefault("num_labels", self.LABELS)
        super().__init__(*args, **kwargs)


class BartTokenizer(roberta.RobertaTokenizer):
    """RoBERTa's."""

    FRAME = ROBERTA_FRAME

    @classmethod
    def longest_input(cls, config: dict[str, Any]) -> int | None:
        """The longest text that checkpoints of that configuration read, in tokens."""
        limit = config.get("max_position_embeddings")
        return limit if isinstance(limit, int) else None


class BartScaledWordEmbedding(nn.Embedding):
    """Words, multiplied by a number."""

    def __init__(self, vocab: int, width: int, padding_idx: int | None, embed_scale: float = 1.0) -> None:
        super().__init__(vocab, width, padding_idx=padding_idx)
        self.embed_scale = embed_scale

    def forward(self, input_ids: Tensor) -> Tensor:
        return super().forward(input_ids) * self.embed_scale


class BartLearnedPositionalEmbedding(nn.Embedding):
    """A row for each column of a text. OFFSET: how many rows the table begins with that no column has."""

    OFFSET: ClassVar[int] = 2

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        self.offset = self.OFFSET
        super().__init__(num_embeddings + self.offset, embedding_dim)

    def forward(
        self,
        input_ids: Tensor | torch.Size,  # or their shape
        past_key_values_length: int = 0,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        if position_ids is None:
            batch, columns = (input_ids.shape if isinstance(input_ids, Tensor) else input_ids)[:2]
            position_ids = torch.arange(columns, device=self.weight.device) + past_key_values_length
            position_ids = position_ids.expand(batch, -1)
        return super().forward(position_ids + self.offset)

    def of_rows(self, layout: Layout, inputs: dict[str, Any], rows: Tensor) -> Tensor:
        """What is added to the rows of a layout."""
        read = lambda places: self(places, position_ids=places)  # noqa: E731
        return lookup(self, layout.positions(rows.device), layout, "position_ids", "max_position_embeddings", read)


by_hand_attention = by_hand(
    *("hidden_states", "key_value_states", "past_key_values", "attention_mask", "layer_head_mask", "output_attentions"),
)
by_hand_layer = by_hand(*("hidden_states", "attention_mask", "layer_head_mask", "output_attentions"))
by_hand_decoder_layer = by_hand(
    *("hidden_states", "attention_mask", "encoder_hidden_states", "encoder_attention_mask", "layer_head_mask"),
    *("cross_attn_layer_head_mask", "past_key_values", "use_cache", "output_attentions"),
    causal=True,
)


class BartAttention(EitherAttention):
    def __init__(self, config: Any, heads: int, causal: bool = False) -> None:
        super().__init__()
        D = config.d_model
        if D % heads:
            raise ConfigError(f"d_model={D} is no multiple of {heads} heads.")
        self.heads, self.kernel, self.is_causal = heads, config._attn_implementation, causal
        self.rate = config.attention_dropout
        self.k_proj = nn.Linear(D, D)
        self.v_proj = nn.Linear(D, D)
        self.q_proj = nn.Linear(D, D)
        self.out_proj = nn.Linear(D, D)

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.attended(rows, step, head_mask)


class Layer(nn.Module):
    """What layers of both parts share. PRE: whether norms come first. ATTENTION: the class that attends."""

    PRE: ClassVar[bool] = False
    ATTENTION: ClassVar[type[BartAttention]] = BartAttention

    def __init__(self, config: Any, heads: int, width: int, causal: bool = False) -> None:
        super().__init__()
        D = config.d_model
        self.self_attn: nn.Module = self.ATTENTION(config, heads, causal)
        self.self_attn_layer_norm = nn.LayerNorm(D)
        self.activation_fn = activation(config.activation_function, "activation_function")
        self.dropout, self.activation_dropout = config.dropout, config.activation_dropout
        self.fc1 = nn.Linear(D, width)
        self.fc2 = nn.Linear(width, D)
        self.final_layer_norm = nn.LayerNorm(D)

    def block(self) -> Block | None:
        inner, crossing = self.self_attn, getattr(self, "encoder_attn", None)
        if not isinstance(inner, BartAttention):
            return None
        return Block(
            heads=inner.heads,
            projections=(inner.q_proj, inner.k_proj, inner.v_proj),
            output=inner.out_proj,
            attention_norm=self.self_attn_layer_norm,
            up=self.fc1,
            activation=self.activation_fn,
            down=self.fc2,
            output_norm=self.final_layer_norm,
            attend=inner.attend if inner.is_causal else None,
            pre=self.PRE,
            cross=None if crossing is None else crossing.cross(self.encoder_attn_layer_norm),
        )

    def attended(
        self, module: nn.Module, norm: nn.Module, rows: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The rows, with what attention adds to them."""
        context, *weights = through(module, norm(rows) if self.PRE else rows, step, head_mask)
        rows = rows + F.dropout(context, self.dropout, self.training)
        return rows if self.PRE else norm(rows), *weights

    def fed(self, rows: Tensor) -> Tensor:
        """The rows, with what the feed-forward adds to them."""
        between = self.activation_fn(self.fc1(self.final_layer_norm(rows) if self.PRE else rows))
        added = self.fc2(F.dropout(between, self.activation_dropout, self.training))
        rows = rows + F.dropout(added, self.dropout, self.training)
        return rows if self.PRE else self.final_layer_norm(rows)


class BartEncoderLayer(Layer):
    def __init__(self, config: Any, layer_idx: int | None = None) -> None:
        super().__init__(config, config.encoder_attention_heads, config.encoder_ffn_dim)

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        rows, *weights = self.attended(self.self_attn, self.self_attn_layer_norm, rows, step.alone(), head_mask)
        return within_range(self.fed(rows)), *weights


class BartDecoderLayer(Layer):
    def __init__(self, config: Any, layer_idx: int | None = None) -> None:
        super().__init__(config, config.decoder_attention_heads, config.decoder_ffn_dim, causal=True)
        self.encoder_attn = self.ATTENTION(config, config.decoder_attention_heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(config.d_model)

    @by_hand_decoder_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        rows, *weights = self.attended(self.self_attn, self.self_attn_layer_norm, rows, step.alone(), head_mask)
        if step.memory is not None:
            rows, *across = self.attended(
                self.encoder_attn, self.encoder_attn_layer_norm, rows, step, step.across_mask()
            )
            weights += across
        return self.fed(rows), *weights


class BartPreTrainedModel(PreTrainedModel):
    """What BART's models share."""

    config_class = BartConfig
    base_model_prefix = "model"
    WORDS = "shared"
    BUFFERS: ClassVar[tuple[str, ...]] = ("encoder.version", "decoder.version", "embed_positions.weights")

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return BartModel(config)


BartPretrainedModel = BartPreTrainedModel  # its name in 4.x


def shift_tokens_right(input_ids: Tensor, pad_token_id: int, decoder_start_token_id: int) -> Tensor:
    """What a decoder reads to predict `input_ids` (B, T): see `seq2seq.shift_right`."""
    return seq2seq.shift_right(input_ids, decoder_start_token_id, pad_token_id)


class Part(decoders.DecoderBody):
    """The encoder, or the decoder: hidden states (B, T, D).

    LAYER, POSITIONS, TABLE: the classes of its parts. NORM_WORDS, NORM_LAST: whether there are norms at its start and
    end. VOCABULARY, LENGTH: the configuration's keys of how many words and positions there are.
    """

    SIGNATURE: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "inputs_embeds", *OPTIONS)
    KEYWORDS: ClassVar[tuple[str, ...]] = ("head_mask",)
    WORDS = "embed_tokens"
    LAYERS = "layers"
    SIDE: ClassVar[str] = "encoder"
    LAYER: ClassVar[Any] = BartEncoderLayer
    POSITIONS: ClassVar[Any] = BartLearnedPositionalEmbedding
    TABLE: ClassVar[Any] = BartScaledWordEmbedding
    NORM_WORDS: ClassVar[bool] = True
    NORM_LAST: ClassVar[bool] = False
    VOCABULARY: ClassVar[str] = "vocab_size"
    LENGTH: ClassVar[str] = "max_position_embeddings"

    def __init__(self, config: Any, embed_tokens: nn.Embedding | None = None) -> None:
        super().__init__(config)
        D, depth = config.d_model, getattr(config, f"{self.SIDE}_layers")
        self.dropout, self.layerdrop = config.dropout, getattr(config, f"{self.SIDE}_layerdrop")
        self.embed_scale = 1.0 if issubclass(self.TABLE, BartScaledWordEmbedding) else scale(config)
        self.embed_tokens = self.words(config) if embed_tokens is None else embed_tokens
        self.embed_positions = self.POSITIONS(getattr(config, self.LENGTH), D, config.pad_token_id)
        self.layers = nn.ModuleList(self.LAYER(config, i) for i in range(depth))
        if self.NORM_WORDS:
            self.layernorm_embedding = nn.LayerNorm(D)
        if self.NORM_LAST:
            self.layer_norm = nn.LayerNorm(D)
        self.gradient_checkpointing = False
        self.post_init()

    def causal(self) -> bool:
        return self.SIDE == "decoder"

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Words, or vectors, and positions."""
        rows = super().embed(layout, inputs)
        if self.embed_scale != 1.0 and (self.causal() or inputs.get("inputs_embeds") is None):
            rows = rows * self.embed_scale
        rows = rows + self.embed_positions.of_rows(layout, inputs, rows)
        return F.dropout(self.layernorm_embedding(rows) if self.NORM_WORDS else rows, self.dropout, self.training)

    def finish(self, rows: Tensor) -> Tensor:
        return self.layer_norm(rows) if self.NORM_LAST else rows

    @classmethod
    def words(cls, config: Any) -> nn.Embedding:
        """A table of words, which multiplies them where its class can."""
        more = (scale(config),) if issubclass(cls.TABLE, BartScaledWordEmbedding) else ()
        made: nn.Embedding = cls.TABLE(getattr(config, cls.VOCABULARY), config.d_model, config.pad_token_id, *more)
        return made


def scale(config: Any) -> float:
    """What words are multiplied by."""
    return float(config.d_model**0.5) if decoders.own_key(config, "scale_embedding") else 1.0


class BartEncoder(BartPreTrainedModel, Part):
    WORDS = "embed_tokens"


class BartDecoder(BartPreTrainedModel, Part):
    SIGNATURE = (
        *("input_ids", "attention_mask", "encoder_hidden_states", "encoder_attention_mask", "past_key_values"),
        *("inputs_embeds", "use_cache"),
        *OPTIONS,
    )
    KEYWORDS: ClassVar[tuple[str, ...]] = ("head_mask", "cross_attn_head_mask", "cache_position")
    OUTPUT = outputs.BaseModelOutputWithPastAndCrossAttentions
    WORDS, SIDE, LAYER = "embed_tokens", "decoder", BartDecoderLayer


class Both(seq2seq.Seq2SeqModel):
    """The model without a head: an encoder and a decoder that share their words. PARTS: their classes."""

    PARTS: ClassVar[tuple[Any, Any]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        encoder, decoder = self.PARTS
        self.shared = encoder.words(config)
        self.encoder = encoder(config, self.shared)
        self.decoder = decoder(config, self.shared)
        self.post_init()


class BartModel(BartPreTrainedModel, Both):
    """The model without a head."""

    PARTS = (BartEncoder, BartDecoder)

    def first_inputs(self, inputs: dict[str, Any]) -> Tensor:
        """The encoder's tokens, shifted."""
        ids = inputs.get("input_ids")
        return super().first_inputs(inputs) if ids is None else self._shift_right(ids)


class BartForConditionalGeneration(BartPreTrainedModel, seq2seq.Seq2SeqLM):
    """Writes a text from another."""

    final_logits_bias: Tensor
    TIED = {"lm_head.weight": "model.shared.weight"}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.register_buffer("final_logits_bias", torch.zeros(1, config.vocab_size))
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.post_init()

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Change the vocabulary's size, and with it that of the scores' bias, which is 0 for new tokens."""
        table = super().resize_token_embeddings(*args, **kwargs)
        bias = self.final_logits_bias
        self.final_logits_bias = F.pad(bias, (0, table.num_embeddings - bias.shape[-1]))  # cut where it is negative
        return table

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.lm_head(rows) + self.final_logits_bias.flatten().to(rows.dtype)


class Wrapper(PreTrainedModel):
    """What a decoder alone is held in, so that parts of whole models load into it. DECODER: its class."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = BartDecoder.OUTPUT
    SIGNATURE: ClassVar[tuple[str, ...]] = BartDecoder.SIGNATURE
    KEYWORDS: ClassVar[tuple[str, ...]] = BartDecoder.KEYWORDS
    WORDS = "decoder.embed_tokens"
    DECODER: ClassVar[Any] = BartDecoder

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.decoder = self.DECODER(config)
        self.post_init()

    def causal(self) -> bool:
        return True

    def compute(self, inputs: dict[str, Any]) -> Any:
        """What the decoder computes."""
        decoder: Any = self.decoder
        return decoder(**inputs)


class BartDecoderWrapper(BartPreTrainedModel, Wrapper):
    """What BartForCausalLM holds."""

    WORDS = Wrapper.WORDS


class BartForCausalLM(BartPreTrainedModel, decoders.LMHead):
    """Predicts the next token: the decoder alone, or after the rows of an encoder that are given to it.

    WRAPPER: the class that holds the decoder.
    """

    OUTPUT = outputs.CausalLMOutputWithCrossAttentions
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "attention_mask", "encoder_hidden_states", "encoder_attention_mask", "past_key_values"),
        *("inputs_embeds", "labels", "use_cache"),
        *OPTIONS,
    )
    TIED = {"lm_head.weight": "model.decoder.embed_tokens.weight"}
    RENAMES = {  # files of models with an encoder may have the table that both parts share under this name alone
        "model.shared.weight": "model.decoder.embed_tokens.weight",
        "shared.weight": "model.decoder.embed_tokens.weight",
    }
    WRAPPER: ClassVar[Any] = BartDecoderWrapper

    def __init__(self, config: Any) -> None:
        own = copy.deepcopy(config)
        own.is_decoder, own.is_encoder_decoder = True, False
        super().__init__(own)

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The decoder."""
        made: PreTrainedModel = self.WRAPPER(config)
        return made

    def shifted(self, labels: Tensor | None) -> Tensor | None:
        return labels  # this family's are given shifted, in Transformers too


class BartClassificationHead(nn.Module):
    def __init__(self, input_dim: int, inner_dim: int, num_classes: int, pooler_dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(input_dim, inner_dim)
        self.dropout = nn.Dropout(pooler_dropout)
        self.out_proj = nn.Linear(inner_dim, num_classes)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.out_proj(self.dropout(self.dense(self.dropout(hidden_states)).tanh()))


class BartForSequenceClassification(BartPreTrainedModel, seq2seq.EndClassifier):
    """Labels a text where the decoder, which reads it again, has its end."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        D = config.d_model
        self.classification_head = BartClassificationHead(D, D, config.num_labels, config.classifier_dropout)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classification_head(rows)


class BartForQuestionAnswering(BartPreTrainedModel, seq2seq.SpanFinder):
    """Finds the answer's span in the decoder's columns."""

    def __init__(self, config: Any) -> None:
        config.num_labels = 2
        super().__init__(config)
        self.add_body(config)
        self.qa_outputs = nn.Linear(config.d_model, 2)
        self.post_init()


MODEL_TYPES = {"bart": BartConfig}
TOKENIZER = BartTokenizer
HEADS = {
    "base": BartModel,
    "pretraining": BartForConditionalGeneration,
    "masked-lm": BartForConditionalGeneration,
    "causal-lm": BartForCausalLM,
    "seq2seq-lm": BartForConditionalGeneration,
    "sequence-classification": BartForSequenceClassification,
    "question-answering": BartForQuestionAnswering,
}
TINY = {
    "vocab_size": 99,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 41,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "max_position_embeddings": 40,
}
