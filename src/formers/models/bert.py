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
from ..config import PretrainedConfig
from ..errors import ConfigError, InputError
from ..logging import logger
from ..modeling import PreTrainedModel, run_layers
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.bias import relative_key
from ..ops.embedding import lookup, packed_ids
from ..ops.layout import Layout
from ..optimize import Block
from ..outputs import BaseModelOutputWithPoolingAndCrossAttentions, ModelOutput
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

    def positions(self, layout: Layout, rows: Tensor, input_ids: Tensor | None) -> Tensor:
        """The position of every row, where the caller gives none: its column."""
        return layout.positions(rows.device)

    def forward(
        self,
        layout: Layout,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        if inputs_embeds is None:  # (B, T) ids -> rows of D
            rows = lookup(self.word_embeddings, layout.pack(input_ids), layout, "input_ids", "vocab_size")
        else:
            rows = layout.pack(inputs_embeds)
        positions = (
            self.positions(layout, rows, input_ids)
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


class BertSelfAttention(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        D, d = config.hidden_size, head_width(config)
        self.num_attention_heads, self.attention_head_size = config.num_attention_heads, d
        self.query = nn.Linear(D, D)
        self.key = nn.Linear(D, D)
        self.value = nn.Linear(D, D)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.is_decoder, self.kernel = config.is_decoder, config._attn_implementation
        self.position_embedding_type = config.position_embedding_type
        if config.position_embedding_type in ("relative_key", "relative_key_query"):
            self.distance_embedding = nn.Embedding(2 * config.max_position_embeddings - 1, d)
        elif config.position_embedding_type != "absolute":
            raise ConfigError(
                f"position_embedding_type={config.position_embedding_type!r} is unknown; "
                "it is absolute, relative_key or relative_key_query."
            )

    def bias(self, query: Tensor, key: Tensor) -> Tensor:
        both = self.position_embedding_type == "relative_key_query"
        return relative_key(query, key, self.distance_embedding.weight, with_key=both)

    def forward(
        self, rows: Tensor, layout: Layout, head_mask: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        return attention(
            self.query(rows),
            self.key(rows),
            self.value(rows),
            layout,
            heads=self.num_attention_heads,
            bias=None if self.position_embedding_type == "absolute" else self.bias,
            causal=self.is_decoder,
            dropout=self.dropout.p if self.training else 0.0,
            head_mask=head_mask,
            return_weights=output_attentions,
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


class BertAttention(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.self = BertSelfAttention(config)
        self.output = BertSelfOutput(config)
        self.pruned_heads: set[int] = set()

    def prune_heads(self, heads: list[int]) -> None:
        inner = self.self
        going, stay = remaining(heads, self.pruned_heads, inner.num_attention_heads, inner.attention_head_size)
        inner.query, inner.key, inner.value = (keep(x, stay) for x in (inner.query, inner.key, inner.value))
        self.output.dense = keep(self.output.dense, stay, dim=1)
        inner.num_attention_heads -= len(going)
        self.pruned_heads |= going

    def forward(
        self, rows: Tensor, layout: Layout, head_mask: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        context, weights = self.self(rows, layout, head_mask, output_attentions)
        return self.output(context, rows), weights


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


class BertLayer(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config)

    def block(self) -> Block | None:
        inner, after, up, down = self.attention.self, self.attention.output, self.intermediate, self.output
        if inner.is_decoder or inner.position_embedding_type != "absolute":
            return None
        return Block(
            *(inner.num_attention_heads, inner.query, inner.key, inner.value, after.dense, after.LayerNorm),
            *(up.dense, up.intermediate_act_fn, down.dense, down.LayerNorm),
        )

    def forward(
        self, rows: Tensor, layout: Layout, head_mask: Tensor | None = None, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        rows, weights = self.attention(rows, layout, head_mask, output_attentions)
        return self.output(self.intermediate(rows), rows), weights


class BertEncoder(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))
        self.gradient_checkpointing = False

    def forward(self, rows: Tensor, layout: Layout, head_masks: list[Tensor | None], **options: bool) -> Any:
        checkpointing = self.gradient_checkpointing and self.training
        return run_layers(self.layer, rows, layout, head_masks, checkpointing=checkpointing, **options)


class BertPooler(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = nn.Tanh()

    def forward(self, first: Tensor) -> Tensor:
        return self.activation(self.dense(first))  # (B, D)


class BertPreTrainedModel(PreTrainedModel):
    """What BERT's models share."""

    config_class = BertConfig
    base_model_prefix = "bert"
    INPUTS: ClassVar[tuple[str, ...]] = (
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "position_ids",
        "head_mask",
        "inputs_embeds",
    )
    OPTIONAL = ("pooler.",)
    RENAMES = {  # what the fine-tuning scripts of google-research/bert call their output layers
        "output_weights": "classifier.weight",
        "output_bias": "classifier.bias",
        "cls.squad.weight": "qa_outputs.weight",
        "cls.squad.bias": "qa_outputs.bias",
    }


def check_encoder(config: PretrainedConfig) -> None:
    """Raise ConfigError where a decoder that attends to another text is asked for."""
    if config.add_cross_attention:
        raise ConfigError(
            f"add_cross_attention=True: {config.model_type} attends to its own text only here; set it to False."
        )


class BertModel(BertPreTrainedModel):
    """The encoder: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D)."""

    OUTPUT: ClassVar[type[ModelOutput]] = BaseModelOutputWithPoolingAndCrossAttentions

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        check_encoder(config)
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None
        self.post_init()

    def _attentions(self) -> list[Any]:
        return [layer.attention for layer in self.encoder.layer]

    def embed(self, layout: Layout, *inputs: Tensor | None) -> Tensor:
        """Rows from the model's inputs."""
        return self.embeddings(layout, *inputs)

    def pool(self, first: Tensor) -> Tensor:
        """The vector of a text, (B, D), from its first column."""
        return self.pooler(first)  # type: ignore[misc]  # asked where there is one

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: None = None,
        encoder_attention_mask: None = None,
        past_key_values: None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: Layout | None = None,
    ) -> Any:
        """Encode a batch.

        input_ids, attention_mask (1 real, 0 padding), token_type_ids, position_ids: integers (B, T).
        inputs_embeds: (B, T, D) instead of input_ids. head_mask: (H,) or (layers, H), 1 keeps a head.
        layout: the batch's layout when a head made it; the last hidden state then stays in its rows.
        Hidden states are zeros at padding.
        """
        if encoder_hidden_states is not None or past_key_values is not None:
            raise InputError(
                f"{type(self).__name__} here takes no encoder_hidden_states and no past_key_values; leave them out."
            )
        given = layout is not None
        if layout is None:
            layout = self.layout(input_ids, attention_mask, inputs_embeds)
        rows = self.embed(layout, input_ids, token_type_ids, position_ids, inputs_embeds)
        rows, states, weights = self.encoder(
            rows,
            layout,
            self.head_masks(head_mask, self.config.num_hidden_layers),
            **self.options(output_attentions=output_attentions, output_hidden_states=output_hidden_states),
        )
        pooled = {} if self.pooler is None else {"pooler_output": self.pool(layout.first(rows))}
        result = self.OUTPUT(
            last_hidden_state=rows if given else layout.unpack(rows),
            **pooled,
            hidden_states=states,
            attentions=weights,
        )
        return self.returned(result, return_dict)


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

    def score_both(self, body: Any, layout: Layout) -> tuple[Tensor, Tensor]:
        return self.cls(body.last_hidden_state, body.pooler_output)


class BertForMaskedLM(BertPreTrainedModel, heads.MaskedLM):
    TIED = TIED
    INPUTS = (*BertPreTrainedModel.INPUTS, "encoder_hidden_states", "encoder_attention_mask")

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)
        self.post_init()

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.cls(body.last_hidden_state)


class BertLMHeadModel(BertForMaskedLM, heads.CausalLM):
    """Predicts the next token. Needs `is_decoder=True` in the configuration, so that no column sees a later one."""

    OUTPUT = heads.CausalLM.OUTPUT
    NEWER_INPUTS = ("past_key_values", "use_cache")

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        if not config.is_decoder:
            logger.warning(
                "BertLMHeadModel: is_decoder is False, so each token sees the ones to be predicted; set it to True."
            )


class BertForNextSentencePrediction(BertPreTrainedModel, heads.NextSentencePrediction):
    READS_FIRST = True

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertOnlyNSPHead(config)
        self.post_init()

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.cls(body.pooler_output)


def classifier_dropout(config: Any) -> nn.Dropout:
    """The dropout before a classifier; some families have no rate for it alone."""
    rate = getattr(config, "classifier_dropout", None)
    return nn.Dropout(config.hidden_dropout_prob if rate is None else rate)


class _Classifier(BertPreTrainedModel):
    """BERT with dropout and one linear layer."""

    pooled = True

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = BertModel(config, add_pooling_layer=self.pooled)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, self.labels())
        self.post_init()

    def labels(self) -> int:
        return self.num_labels

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.classifier(self.dropout(body.pooler_output if self.pooled else body.last_hidden_state))


class BertForSequenceClassification(_Classifier, heads.SequenceClassification):
    READS_FIRST = True


class BertForMultipleChoice(_Classifier, heads.MultipleChoice):
    READS_FIRST = True

    def labels(self) -> int:
        return 1  # one score a choice


class BertForTokenClassification(_Classifier, heads.TokenClassification):
    pooled = False


class BertForQuestionAnswering(BertPreTrainedModel, heads.QuestionAnswering):
    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


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
