"""BERT: a bidirectional encoder with learned positions, each residual followed by a normalisation.

Source: Devlin et al. 2018 (arXiv 1810.04805); google-research/bert.
Letters: B batch, T columns, N real tokens, D width, F width of the feed-forward, H heads, V vocabulary, C labels.
"rows" are (N, D), or (B, T, D) where the padding is kept: see ops/layout.py.

    rows ─┬─ self-attention ─ dense ─ dropout ─(+)─ norm ─┬─ dense ─ gelu ─ dense ─ dropout ─(+)─ norm ─▶
          └──────────────────────────────────────┘         └────────────────────────────────────┘
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import heads
from ..bodies import Body
from ..config import PretrainedConfig
from ..errors import ConfigError
from ..layers import HeadMasks, across, by_hand, first_column, run_layers, through
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.bias import relative_key
from ..ops.embedding import lookup, packed_ids, whole_batch
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutput, BaseModelOutputWithPoolingAndCrossAttentions
from ..pruning import keep, remaining
from ..tokenization import WordPieceTokenizer


class BertConfig(PretrainedConfig):
    """Defaults are those of bert-base-uncased."""

    model_type = "bert"

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None


class BertTokenizer(WordPieceTokenizer):
    """WordPiece with BERT's special tokens: [CLS] A [SEP], or [CLS] A [SEP] B [SEP]."""

    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]


BertTokenizerFast = BertTokenizer


class BertEmbeddings(nn.Module):
    def __init__(self, config: PretrainedConfig, width: int | None = None) -> None:
        super().__init__()
        D = width or config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, D, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, D)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, D)
        self.LayerNorm = nn.LayerNorm(D, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.absolute = config.position_embedding_type == "absolute"

    @property
    def position_ids(self) -> Tensor:
        """(1, P) all positions, as checkpoints of old have them."""
        table = self.position_embeddings.weight
        return torch.arange(len(table), device=table.device)[None]

    def positions(self, layout: Layout, rows: Tensor, input_ids: Tensor | None) -> Tensor:
        """The position of every row, where the caller gives none: its column."""
        return layout.positions(rows.device)

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values_length: int = 0,
        layout: Layout | None = None,
    ) -> Tensor:
        layout = whole_batch(self, input_ids, inputs_embeds) if layout is None else layout
        rows = self.words(layout, input_ids, inputs_embeds)
        return self.placed(rows, layout, input_ids, token_type_ids, position_ids, past_key_values_length)

    def words(self, layout: Layout, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """Rows of D: of words by their ids (B, T), or as they are given (B, T, D)."""
        if inputs_embeds is not None:
            return layout.pack(inputs_embeds)
        return lookup(self.word_embeddings, layout.pack(input_ids), layout, "input_ids", "vocab_size")

    def placed(
        self,
        rows: Tensor,
        layout: Layout,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        past_key_values_length: int = 0,
    ) -> Tensor:
        """Rows with types and positions added, normalised."""
        positions = (
            self.positions(layout, rows, input_ids) + past_key_values_length
            if position_ids is None
            else packed_ids(position_ids, layout, "position_ids")
        )
        types = (
            torch.zeros_like(positions)
            if token_type_ids is None
            else packed_ids(token_type_ids, layout, "token_type_ids")
        )
        rows = rows + lookup(self.token_type_embeddings, types, layout, "token_type_ids", "type_vocab_size")
        if self.absolute:
            rows = rows + lookup(self.position_embeddings, positions, layout, "position_ids", "max_position_embeddings")
        return self.dropout(self.LayerNorm(rows))


def head_width(config: PretrainedConfig) -> int:
    """d. Raises ConfigError where the heads cannot share the width equally."""
    D, H = config.hidden_size, config.num_attention_heads
    if D % H:
        raise ConfigError(f"hidden_size={D} is no multiple of num_attention_heads={H}.")
    return int(D // H)


# how Transformers calls a layer, its attention, and a stack of layers
LAYER = (
    "hidden_states",
    "attention_mask",
    "head_mask",
    "encoder_hidden_states",
    "encoder_attention_mask",
    "past_key_value",
    "output_attentions",
)
ENCODER = (*LAYER[:5], "past_key_values", "use_cache", "output_attentions", "output_hidden_states", "return_dict")
by_hand_layer = by_hand(*LAYER)
by_hand_encoder = by_hand(*ENCODER)


def run_self_attention(self: Any, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
    """Attention of the rows to themselves; to the step's memory, where it has one."""
    if step.memory is None:
        key, value, layout = self.key(rows), self.value(rows), None
    else:
        made = lambda memory: (self.key(memory), self.value(memory))  # noqa: E731
        (key, value), layout = step.crossed(made, self.num_attention_heads)
    found: tuple[Tensor, ...] = self.attend(self.query(rows), key, value, step, head_mask, layout)
    return found


class BertSelfAttention(nn.Module):
    def __init__(self, config: PretrainedConfig, position_embedding_type: str | None = None) -> None:
        super().__init__()
        D, d = config.hidden_size, head_width(config)
        self.num_attention_heads, self.attention_head_size = config.num_attention_heads, d
        self.query = nn.Linear(D, D)
        self.key = nn.Linear(D, D)
        self.value = nn.Linear(D, D)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.is_decoder, self.kernel = config.is_decoder, config._attn_implementation
        self.position_embedding_type = position_embedding_type or config.position_embedding_type
        if self.position_embedding_type in ("relative_key", "relative_key_query"):
            self.distance_embedding = nn.Embedding(2 * config.max_position_embeddings - 1, d)
        elif self.position_embedding_type != "absolute":
            raise ConfigError(
                f"position_embedding_type={self.position_embedding_type!r} is unknown; "
                "it is absolute, relative_key or relative_key_query."
            )

    @property
    def all_head_size(self) -> int:
        """H · d: the width of all heads that are there."""
        return self.num_attention_heads * self.attention_head_size

    def bias(self, query: Tensor, key: Tensor, distance: Tensor) -> Tensor:
        both = self.position_embedding_type == "relative_key_query"
        return relative_key(query, key, distance, self.distance_embedding.weight, with_key=both)

    forward = by_hand_layer(run_self_attention)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        step: Step,
        head_mask: Tensor | None = None,
        memory: Layout | None = None,
    ) -> tuple[Tensor, ...]:
        """Rows of H · d each to the context."""
        return attention(
            *(query, key, value, step),
            heads=self.num_attention_heads,
            memory=memory,
            bias=None if self.position_embedding_type == "absolute" else self.bias,
            causal=step.causal and memory is None,
            dropout=self.dropout.p if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


class BertSelfOutput(nn.Module):
    def __init__(self, config: PretrainedConfig, width: int | None = None) -> None:
        super().__init__()
        self.dense = nn.Linear(width or config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, rows: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(rows)) + residual)


def run_attention(self: Any, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
    context, *weights = through(self.self, rows, step, head_mask)
    return self.output(context, rows), *weights


class BertAttention(nn.Module):
    SELF: ClassVar[Any] = BertSelfAttention

    def __init__(self, config: PretrainedConfig, position_embedding_type: str | None = None) -> None:
        super().__init__()
        self.self = self.SELF(config, position_embedding_type) if position_embedding_type else self.SELF(config)
        self.output = BertSelfOutput(config)
        self.pruned_heads: set[int] = set()

    forward = by_hand_layer(run_attention)

    def block(self, up: Any, down: Any) -> Block:
        inner, after = self.self, self.output
        plain = not inner.is_decoder and inner.position_embedding_type == "absolute"
        return Block(
            *(inner.num_attention_heads, (inner.query, inner.key, inner.value), after.dense, after.LayerNorm),
            *(up.dense, up.intermediate_act_fn, down.dense, down.LayerNorm),
            attend=None if plain and type(inner) is BertSelfAttention else inner.attend,
        )

    def prune_heads(self, heads: list[int]) -> None:
        inner = self.self
        going, stay = remaining(heads, self.pruned_heads, inner.num_attention_heads, inner.attention_head_size)
        inner.query, inner.key, inner.value = (keep(x, stay) for x in (inner.query, inner.key, inner.value))
        self.output.dense = keep(self.output.dense, stay, dim=1)
        inner.num_attention_heads -= len(going)
        self.pruned_heads |= going


class BertIntermediate(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.intermediate_act_fn = activation(config.hidden_act)

    def forward(self, rows: Tensor) -> Tensor:
        return self.intermediate_act_fn(self.dense(rows))  # rows of D -> rows of F


class BertOutput(BertSelfOutput):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config, config.intermediate_size)


def run_layer(self: Any, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
    rows, *weights = through(self.attention, rows, step.alone(), head_mask)
    if step.memory is not None:
        rows, *more = across(self, rows, step, head_mask)
        weights += more
    return self.output(self.intermediate(rows), rows), *weights


class BertLayer(nn.Module):
    ATTENTION: ClassVar[Any] = BertAttention

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.attention = self.ATTENTION(config)
        if config.add_cross_attention:
            self.crossattention = self.ATTENTION(config, position_embedding_type="absolute")
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config)

    forward = by_hand_layer(run_layer)

    def block(self) -> Block | None:
        crosses = hasattr(self, "crossattention")
        found: Block | None = None if crosses else self.attention.block(self.intermediate, self.output)
        return found


class BertEncoder(nn.Module):
    LAYER: ClassVar[Any] = BertLayer

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(self.LAYER(config) for _ in range(config.num_hidden_layers))
        self.gradient_checkpointing = False

    @by_hand_encoder
    def forward(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> BaseModelOutput:
        return self.run(rows, step, head_masks)

    def run(self, rows: Tensor, step: Step, head_masks: HeadMasks, **options: Any) -> BaseModelOutput:
        checkpointing = self.gradient_checkpointing and self.training
        return run_layers(self.layer, rows, step, head_masks, checkpointing=checkpointing, **options)


class BertPooler(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = nn.Tanh()

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.activation(self.dense(first_column(hidden_states)))  # (B, D)


INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "head_mask", "inputs_embeds")
CROSS = ("encoder_hidden_states", "encoder_attention_mask")
CACHE = ("past_key_values", "use_cache")


class BertPreTrainedModel(PreTrainedModel):
    """What BERT's models share."""

    config_class = BertConfig
    base_model_prefix = "bert"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, "labels", *OPTIONS)
    OPTIONAL = ("pooler.",)
    RENAMES = {  # what the fine-tuning scripts of google-research/bert call their output layers
        "output_weights": "classifier.weight",
        "output_bias": "classifier.bias",
        "cls.squad.weight": "qa_outputs.weight",
        "cls.squad.bias": "qa_outputs.bias",
    }

    def make_body(self, config: BertConfig, pooling: bool) -> BertModel:
        """The encoder under a head."""
        return BertModel(config, add_pooling_layer=pooling)


class MaybeDecoder(Body):
    """A body that is a decoder, with a cache and maybe an encoder's rows to attend to, by its configuration."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if config.add_cross_attention and not config.is_decoder:
            raise ConfigError("add_cross_attention=True is for decoders: set is_decoder=True, or leave it out.")

    def unused(self) -> tuple[str, ...]:
        """What an encoder has no use for; keys and values before a text's own, which prefix tuning learns, it has."""
        return () if self.causal() else tuple(name for name in self.UNUSED if name != "past_key_values")


class BertModel(BertPreTrainedModel, MaybeDecoder):
    """The encoder: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D).

    With `is_decoder` in the configuration, the same as a decoder."""

    SIGNATURE = (*INPUTS, *CROSS, *CACHE, *OPTIONS)
    OUTPUT = BaseModelOutputWithPoolingAndCrossAttentions

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None
        self.post_init()

    def _attentions(self) -> list[Any]:
        return [layer.attention for layer in self.encoder.layer]


class BertPredictionHeadTransform(nn.Module):
    def __init__(self, config: PretrainedConfig, width: int | None = None) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, width or config.hidden_size)
        self.transform_act_fn = activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(width or config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, rows: Tensor) -> Tensor:
        return self.LayerNorm(self.transform_act_fn(self.dense(rows)))


class BertLMPredictionHead(nn.Module):
    def __init__(self, config: PretrainedConfig, width: int | None = None) -> None:
        super().__init__()
        self.transform = BertPredictionHeadTransform(config, width)
        self.decoder = nn.Linear(width or config.hidden_size, config.vocab_size)
        self.bias = self.decoder.bias  # checkpoints have it under both names

    def forward(self, rows: Tensor) -> Tensor:
        return self.decoder(self.transform(rows))  # rows of D -> rows of V


class BertOnlyMLMHead(nn.Module):
    def __init__(self, config: PretrainedConfig, width: int | None = None) -> None:
        super().__init__()
        self.predictions = BertLMPredictionHead(config, width)

    def forward(self, rows: Tensor) -> Tensor:
        return self.predictions(rows)


class BertOnlyNSPHead(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.seq_relationship = nn.Linear(config.hidden_size, 2)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.seq_relationship(pooled)


class BertPreTrainingHeads(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.predictions = BertLMPredictionHead(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)

    def forward(self, rows: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        return self.predictions(rows), self.seq_relationship(pooled)


TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


class BertForPreTraining(BertPreTrainedModel, heads.PreTraining):
    TIED = TIED

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertPreTrainingHeads(config)
        self.post_init()

    def compute_both(self, rows: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls(rows, pooled)


class BertForMaskedLM(BertPreTrainedModel, heads.MaskedLM):
    TIED = TIED
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, *CROSS, "labels", *OPTIONS)

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.cls(rows)


class BertLMHeadModel(BertForMaskedLM, heads.CausalLM):
    """Predicts the next token. Needs `is_decoder=True` in the configuration, so that no column sees a later one."""

    OUTPUT = heads.CausalLM.OUTPUT
    SIGNATURE = (*INPUTS, *CROSS, "labels", *CACHE, *OPTIONS)


class BertForNextSentencePrediction(BertPreTrainedModel, heads.NextSentencePrediction):
    READS = "pooled"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertOnlyNSPHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.cls(rows)


def classifier_dropout(config: Any) -> nn.Dropout:
    """The dropout before a classifier; some families have no rate for it alone."""
    rate = getattr(config, "classifier_dropout", getattr(config, "classifier_dropout_prob", None))
    return nn.Dropout(config.hidden_dropout_prob if rate is None else rate)


class Classifier(heads.Head):
    """A body with dropout and one linear layer."""

    READS: ClassVar[str] = "pooled"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config, pooling=self.READS == "pooled")
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, self.labels())
        self.post_init()

    def labels(self) -> int:
        return self.num_labels

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(self.dropout(rows))


class TokenClassifier(Classifier, heads.TokenClassification):
    READS = "tokens"


class ChoiceClassifier(Classifier, heads.MultipleChoice):
    def labels(self) -> int:
        return 1  # one score a choice


class SpanClassifier(heads.QuestionAnswering):
    """A body with one linear layer."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.qa_outputs = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


class FirstClassifier(heads.SequenceClassification):
    """A body with a classifier of several layers, which reads the first column."""

    READS = "first"
    CLASSIFIER: ClassVar[Any]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.classifier = self.CLASSIFIER(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(rows)


class BertForSequenceClassification(BertPreTrainedModel, Classifier, heads.SequenceClassification):
    pass


class BertForMultipleChoice(BertPreTrainedModel, ChoiceClassifier):
    pass


class BertForTokenClassification(BertPreTrainedModel, TokenClassifier):
    pass


class BertForQuestionAnswering(BertPreTrainedModel, SpanClassifier):
    pass


MODEL_TYPES = {"bert": BertConfig}
TOKENIZER = BertTokenizer
HEADS = {
    "base": BertModel,
    "pretraining": BertForPreTraining,
    "masked-lm": BertForMaskedLM,
    "causal-lm": BertLMHeadModel,
    "next-sentence-prediction": BertForNextSentencePrediction,
    "sequence-classification": BertForSequenceClassification,
    "token-classification": BertForTokenClassification,
    "question-answering": BertForQuestionAnswering,
    "multiple-choice": BertForMultipleChoice,
}
TINY = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 40,
    "type_vocab_size": 3,
}
