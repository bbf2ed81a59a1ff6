"""T5. Source: Raffel et al. 2020 (arXiv 1910.10683), https://github.com/google-research/text-to-text-transfer-transformer

Letters: B batch, S columns of the encoder, T columns of the decoder, D width, F width of the feed-forward, H heads, d
width of a head, V vocabulary.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from .. import decoders, heads, outputs, seq2seq
from ..config import PretrainedConfig
from ..cross_attention import EitherAttention
from ..errors import ConfigError
from ..layers import by_hand, through, within_range
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.activations import activation
from ..ops.attention import Bias
from ..ops.bias import buckets
from ..ops.layout import Layout, is_tracing
from ..ops.step import Step
from ..optimize import Block
from ..tokenization import SentencePieceModel, SentencePieceTokenizer


class T5Config(PretrainedConfig):
    """Defaults are those of t5-small."""

    model_type = "t5"
    attribute_map = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0
    feed_forward_proj: str = "relu"
    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    classifier_dropout: float = 0.0
    scale_decoder_outputs: bool | None = None  # where no file says: whether the table scores what is written

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.num_decoder_layers is None:
            self.num_decoder_layers = self.num_layers
        if self.scale_decoder_outputs is None:
            self.scale_decoder_outputs = self.tie_word_embeddings
        gate, _, act = self.feed_forward_proj.rpartition("-")
        if gate not in ("", "gated"):
            raise ConfigError(f"feed_forward_proj={self.feed_forward_proj!r}: it is an activation, or gated-<one>.")
        self.is_gated_act = gate == "gated"
        self.dense_act_fn = "gelu_new" if self.feed_forward_proj == "gated-gelu" else act

    def longest_text(self) -> int | None:
        """No limit: positions are distances."""
        return None


class T5Tokenizer(SentencePieceTokenizer):
    """SentencePiece, with the end after each text: A </s>, or A </s> B </s>.

    extra_ids: how many tokens stand for gaps in texts, <extra_id_0> to <extra_id_99>.
    """

    FRAME = ("$A:0 eos:0", "$A:0 eos:0 $B:0 eos:0")
    TOKENS: ClassVar[dict[str, str]] = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    _options = (*SentencePieceTokenizer._options, "extra_ids", "legacy")

    def __init__(self, *args: Any, extra_ids: int = 100, **kwargs: Any) -> None:
        gaps = [f"<extra_id_{i}>" for i in range(extra_ids)]
        more = kwargs.get("additional_special_tokens")
        kept = {str(token) for token in more or ()}
        if more and extra_ids and (own := [token for token in kept if "<extra_id_" in token]) and len(own) != extra_ids:
            raise ConfigError(
                f"extra_ids={extra_ids}, and additional_special_tokens have {len(own)} tokens <extra_id_…>; "
                "give one of both."
            )
        self._gaps = gaps
        kwargs["additional_special_tokens"] = [*(more or ()), *(gap for gap in gaps if gap not in kept)]
        super().__init__(*args, extra_ids=extra_ids, **kwargs)

    def numbered(self, file: SentencePieceModel, special: dict[str, str]) -> tuple[list[tuple[str, float]], int]:
        """The file's pieces, and the gaps, the last of which comes first."""
        return [*file.pieces, *((gap, 0.0) for gap in reversed(self._gaps))], file.unknown

    def get_sentinel_tokens(self) -> list[str]:
        """The tokens that stand for gaps."""
        return [token for token in self.additional_special_tokens or () if "<extra_id_" in token]

    def get_sentinel_token_ids(self) -> list[int]:
        """Their ids."""
        return [self.convert_tokens_to_ids(token) for token in self.get_sentinel_tokens()]


T5TokenizerFast = T5Tokenizer


class T5LayerNorm(decoders.RMSNorm):
    """Gives numbers of its weight's type: rows come in float32 where the last weights of feed-forwards are kept so."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return super().forward(hidden_states).to(self.weight.dtype)


def _as_of(layer: nn.Module, rows: Tensor) -> Tensor:
    """Rows in the number type of a layer's weight, which a layer that torch quantised has not."""
    weight = layer.weight
    return rows.to(weight.dtype) if isinstance(weight, Tensor) and weight.is_floating_point() else rows


class T5DenseActDense(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.wi = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.act = activation(config.dense_act_fn, "feed_forward_proj")

    def forward(self, rows: Tensor) -> Tensor:
        return self.wo(_as_of(self.wo, self.dropout(self.act(self.wi(rows)))))


class T5DenseGatedActDense(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.act = activation(config.dense_act_fn, "feed_forward_proj")

    def forward(self, rows: Tensor) -> Tensor:
        return self.wo(_as_of(self.wo, self.dropout(self.act(self.wi_0(rows)) * self.wi_1(rows))))


class T5LayerFF(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        made = T5DenseGatedActDense if config.is_gated_act else T5DenseActDense
        self.DenseReluDense = made(config)
        self.layer_norm = T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return hidden_states + self.dropout(self.DenseReluDense(self.layer_norm(hidden_states)))


# people who call layers by hand give the bias of positions themselves, (1 or B, H, T, T)
by_hand_layer = by_hand(
    *("hidden_states", "attention_mask", "position_bias", "encoder_hidden_states", "encoder_attention_mask"),
    *("encoder_decoder_position_bias", "past_key_values", "use_cache", "output_attentions"),
    shared=lambda given: None if given.get("position_bias") is None else lambda *_: given["position_bias"],
)


class T5Attention(EitherAttention):
    """Scores are not divided by √d: the weights were drawn so that they need not be."""

    LINEAR = ("q", "k", "v", "o")
    SCALE = 1.0
    n_heads, key_value_proj_dim = EitherAttention.num_heads, EitherAttention.head_dim

    def __init__(self, config: T5Config, has_relative_attention_bias: bool = False, layer_idx: int = 0) -> None:
        super().__init__()
        D, H, d = config.d_model, config.num_heads, config.d_kv
        self.heads, self.kernel, self.rate = H, config._attn_implementation, config.dropout_rate
        self.is_decoder, self.buckets = config.is_decoder, config.relative_attention_num_buckets
        self.farthest, self.layer_idx = config.relative_attention_max_distance, layer_idx
        self.q = nn.Linear(D, H * d, bias=False)
        self.k = nn.Linear(D, H * d, bias=False)
        self.v = nn.Linear(D, H * d, bias=False)
        self.o = nn.Linear(H * d, D, bias=False)
        self.has_relative_attention_bias = has_relative_attention_bias
        if has_relative_attention_bias:
            self.relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, H)

    def bias(self, step: Step) -> Bias | None:
        return self.by_distance() if step.shared is None else step.shared

    def by_distance(self, kept: bool = True) -> Bias | None:
        """(1, H, Q, K) what is added to scores of keys so far behind their queries, (Q, K), made once for a size.

        kept: False where layers are computed again for their gradients, and the same has to come about again.
        """
        if not self.has_relative_attention_bias:
            return None
        known, kept = dict[tuple[int, ...], Tensor](), kept and not is_tracing()  # whose sizes are no numbers

        def bias(query: Tensor, key: Tensor, distance: Tensor) -> Tensor:
            size = tuple(distance.shape)
            if kept and size in known:
                return known[size]
            index = buckets(distance, self.buckets, self.farthest, behind=self.is_decoder)
            made = self.relative_attention_bias(index).permute(2, 0, 1)[None].to(query.dtype)
            if kept:
                known[size] = made
            return made

        return bias

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.attended(rows, step, head_mask)


class T5LayerSelfAttention(nn.Module):
    def __init__(self, config: T5Config, has_relative_attention_bias: bool = False, layer_idx: int = 0) -> None:
        super().__init__()
        self.SelfAttention = T5Attention(config, has_relative_attention_bias, layer_idx)
        self.layer_norm = T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.SelfAttention, self.layer_norm(rows), step.alone(), head_mask)
        return rows + self.dropout(context), *weights


class T5LayerCrossAttention(nn.Module):
    def __init__(self, config: T5Config, layer_idx: int = 0) -> None:
        super().__init__()
        self.EncDecAttention = T5Attention(config, layer_idx=layer_idx)
        self.layer_norm = T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.EncDecAttention, self.layer_norm(rows), step, head_mask)
        return rows + self.dropout(context), *weights


class T5Block(nn.Module):
    def __init__(self, config: T5Config, has_relative_attention_bias: bool = False, layer_idx: int = 0) -> None:
        super().__init__()
        self.is_decoder = config.is_decoder
        self.layer = nn.ModuleList([T5LayerSelfAttention(config, has_relative_attention_bias, layer_idx)])
        if config.is_decoder:
            self.layer.append(T5LayerCrossAttention(config, layer_idx))
        self.layer.append(T5LayerFF(config))

    def block(self) -> Block | None:
        own, *between, last = cast(Any, self.layer)
        inner, fed = getattr(own, "SelfAttention", None), last.DenseReluDense
        if not isinstance(inner, T5Attention):
            return None
        cross = next((layer.EncDecAttention.cross(layer.layer_norm) for layer in between), None)
        gated = isinstance(fed, T5DenseGatedActDense)
        return Block(
            heads=inner.heads,
            projections=(inner.q, inner.k, inner.v),
            output=inner.o,
            attention_norm=own.layer_norm,
            up=(fed.wi_0, fed.wi_1) if gated else fed.wi,
            activation=fed.act,
            down=fed.wo,
            output_norm=last.layer_norm,
            attend=inner.attend,
            pre=True,
            gated=gated,
            cross=cross,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        rows, *weights = through(self.layer[0], rows, step.alone(), head_mask)
        if self.is_decoder and step.memory is not None:
            rows, *across = through(self.layer[1], within_range(rows), step, step.across_mask())
            weights += across
        return within_range(self.layer[-1](within_range(rows))), *weights


class T5PreTrainedModel(PreTrainedModel):
    """What T5's models share."""

    config_class = T5Config
    base_model_prefix = "transformer"
    WORDS = "shared"
    KEPT_FLOAT32: ClassVar[tuple[str, ...]] = ("wo",)
    BUFFERS = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",)
    PART: ClassVar[Any]  # the class of encoder and decoder

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return T5Model(config)

    def make_encoder(self, config: Any) -> PreTrainedModel:
        """The part that reads, alone, under a head."""
        return T5EncoderModel(config)

    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of one module, so wide that scores need no scale.

        Source: Raffel et al. 2020, section 2.1.
        """
        c, factor = self.config, self.config.initializer_factor
        if isinstance(module, T5LayerNorm):
            nn.init.constant_(module.weight, factor)
        elif isinstance(module, T5Attention):
            nn.init.normal_(module.q.weight, std=factor * (c.d_model * c.d_kv) ** -0.5)
            for layer in (module.k, module.v):
                nn.init.normal_(layer.weight, std=factor * c.d_model**-0.5)
            nn.init.normal_(module.o.weight, std=factor * (c.num_heads * c.d_kv) ** -0.5)
            if module.has_relative_attention_bias:
                nn.init.normal_(module.relative_attention_bias.weight, std=factor * c.d_model**-0.5)
        elif isinstance(module, (T5DenseActDense, T5DenseGatedActDense)):
            for layer in (m for m in module.children() if isinstance(m, nn.Linear)):
                nn.init.normal_(layer.weight, std=factor * layer.in_features**-0.5)
        elif isinstance(module, nn.Embedding) and module.num_embeddings == c.vocab_size:
            nn.init.normal_(module.weight, std=factor)
        elif isinstance(module, nn.Linear):
            scores_words = module.out_features == c.vocab_size
            nn.init.normal_(module.weight, std=factor if scores_words else factor * module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class T5Stack(T5PreTrainedModel, decoders.DecoderBody):
    """The encoder, or the decoder: hidden states (B, T, D). BIASED: whether every layer has a bias of positions.
    BLOCK: the class of a layer."""

    BIASED: ClassVar[bool] = False
    BLOCK: ClassVar[Any] = T5Block
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "attention_mask", "encoder_hidden_states", "encoder_attention_mask", "inputs_embeds"),
        *("past_key_values", "use_cache"),
        *OPTIONS,
    )
    KEYWORDS = ("head_mask", "cross_attn_head_mask", "cache_position")
    OUTPUT = outputs.BaseModelOutputWithPastAndCrossAttentions
    WORDS = "embed_tokens"
    LAYERS, LAST = "block", "final_layer_norm"

    def __init__(self, config: T5Config, embed_tokens: nn.Embedding | None = None) -> None:
        super().__init__(config)
        self.is_decoder = config.is_decoder
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model) if embed_tokens is None else embed_tokens
        self.block = nn.ModuleList(self.BLOCK(config, i == 0 or self.BIASED, i) for i in range(config.num_layers))
        self.final_layer_norm = T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.gradient_checkpointing = False
        self.post_init()

    def causal(self) -> bool:
        return bool(self.config.is_decoder)

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Words or vectors."""
        return self.dropout(super().embed(layout, inputs))

    def finish(self, rows: Tensor) -> Tensor:
        return self.dropout(super().finish(rows))

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Any:
        """The bias of positions, which the first layer has for all."""
        first: Any = self.block[0]
        return None if self.BIASED else first.layer[0].SelfAttention.by_distance(kept=not self.recomputes)

    @property
    def recomputes(self) -> bool:
        """Whether layers are computed again for their gradients."""
        return bool(self.gradient_checkpointing and self.training)


T5PreTrainedModel.PART = T5Stack


def half(config: Any, decoder: bool) -> Any:
    """The configuration of one of the two parts."""
    own = copy.deepcopy(config)
    own.is_decoder, own.is_encoder_decoder = decoder, False
    if decoder:
        own.num_layers = config.num_decoder_layers
    else:
        own.use_cache = False
    return own


class T5Model(T5PreTrainedModel, seq2seq.Seq2SeqModel):
    """The model without a head."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        add_stacks(self, config)
        self.post_init()


def add_stacks(model: Any, config: Any, decoder: bool = True) -> None:
    """The table of words, and the parts that share it."""
    model.shared = nn.Embedding(config.vocab_size, config.d_model)
    model.encoder = model.PART(half(config, decoder=False), model.shared)
    if decoder:
        model.decoder = model.PART(half(config, decoder=True), model.shared)


class T5ForConditionalGeneration(T5PreTrainedModel, seq2seq.Seq2SeqLM):
    """Writes a text from another."""

    TIED = {"lm_head.weight": "shared.weight"}

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.model_dim = config.d_model
        add_stacks(self, config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        # where the table scores what is written, its rows are as long as those of words
        return self.lm_head(rows * self.model_dim**-0.5 if self.config.scale_decoder_outputs else rows)


class T5EncoderModel(T5PreTrainedModel):
    """The part that reads, alone: hidden states (B, T, D)."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        add_stacks(self, config, decoder=False)
        self.post_init()

    def get_encoder(self) -> T5Stack:
        """The part that reads."""
        found: Any = self.encoder
        return found

    def compute(self, inputs: dict[str, Any]) -> Any:
        """What the encoder computes."""
        return self.get_encoder()(**inputs)


class T5ClassificationHead(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.d_model, config.d_model)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.out_proj = nn.Linear(config.d_model, config.num_labels)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.out_proj(self.dropout(self.dense(self.dropout(hidden_states)).tanh()))


class T5ForSequenceClassification(T5PreTrainedModel, seq2seq.EndClassifier):
    """Labels a text where the decoder, which reads it again, has its end."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.add_body(config)
        self.classification_head = T5ClassificationHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classification_head(rows)


class T5ForTokenClassification(T5PreTrainedModel, heads.TokenClassification):
    """Labels the encoder's tokens."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.transformer = self.make_encoder(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.d_model, config.num_labels)
        self.post_init()


class T5ForQuestionAnswering(T5PreTrainedModel, seq2seq.SpanFinder):
    """Finds the answer's span in the decoder's columns."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        add_stacks(self, config)
        self.qa_outputs = nn.Linear(config.d_model, config.num_labels)
        self.post_init()


MODEL_TYPES = {"t5": T5Config}
TOKENIZER = T5Tokenizer
HEADS = {
    "base": T5Model,
    "pretraining": T5ForConditionalGeneration,
    "seq2seq-lm": T5ForConditionalGeneration,
    "text-encoding": T5EncoderModel,
    "sequence-classification": T5ForSequenceClassification,
    "token-classification": T5ForTokenClassification,
    "question-answering": T5ForQuestionAnswering,
}
TINY = {
    "vocab_size": 99,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 37,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 20,
    "decoder_start_token_id": 0,
}
