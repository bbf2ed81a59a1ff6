"""DistilBERT: BERT with half the layers, no token types and no pooler.

Source: Sanh et al. 2019 (arXiv 1910.01108).
Letters: B batch, T columns, D width, H heads, V vocabulary, C labels. "rows": see ops/layout.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .. import heads
from ..bodies import Body
from ..config import PretrainedConfig
from ..errors import ConfigError, InputError
from ..layers import HeadMasks, by_hand, first_column, run_layers, through
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.embedding import fill_sinusoids, lookup, packed_ids, whole_batch
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutput
from ..pruning import keep, remaining
from . import bert


class DistilBertConfig(PretrainedConfig):
    """Defaults are those of distilbert-base-uncased."""

    model_type = "distilbert"
    attribute_map = {"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"}

    vocab_size: int = 30522
    max_position_embeddings: int = 512
    sinusoidal_pos_embds: bool = False
    n_layers: int = 6
    n_heads: int = 12
    dim: int = 768
    hidden_dim: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"
    initializer_range: float = 0.02
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2
    pad_token_id: int | None = 0


class DistilBertTokenizer(bert.BertTokenizer):
    """BERT's tokenizer, without token types."""

    model_input_names = ["input_ids", "attention_mask"]


DistilBertTokenizerFast = DistilBertTokenizer


class Embeddings(nn.Module):
    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.dim, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.dim)
        self.LayerNorm = nn.LayerNorm(config.dim, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    position_ids = bert.BertEmbeddings.position_ids

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        layout: Layout | None = None,
    ) -> Tensor:
        layout = whole_batch(self, input_ids, inputs_embeds) if layout is None else layout
        if inputs_embeds is None:  # (B, T) ids -> rows of D
            rows = lookup(self.word_embeddings, layout.pack(input_ids), layout, "input_ids", "vocab_size")
        else:
            rows = layout.pack(inputs_embeds)
        positions = (
            layout.positions(rows.device) if position_ids is None else packed_ids(position_ids, layout, "position_ids")
        )
        rows = rows + lookup(self.position_embeddings, positions, layout, "position_ids", "max_position_embeddings")
        return self.dropout(self.LayerNorm(rows))


LAYER = ("x", "attn_mask", "head_mask", "output_attentions")


def _of_itself(given: Mapping[str, Any]) -> None:
    """Raise InputError where keys or values are of other hidden states than the queries."""
    for name in ("key", "value"):
        if given.get(name) is not None and given[name] is not given.get("query"):
            raise InputError(f"{name} is not the query: the layers attend to their own hidden states alone.")


class DistilBertSelfAttention(nn.Module):
    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        if config.dim % config.n_heads:
            raise ConfigError(f"dim={config.dim} is no multiple of n_heads={config.n_heads}.")
        self.n_heads, self.attention_head_size = config.n_heads, config.dim // config.n_heads
        self.kernel = config._attn_implementation
        self.q_lin = nn.Linear(config.dim, config.dim)
        self.k_lin = nn.Linear(config.dim, config.dim)
        self.v_lin = nn.Linear(config.dim, config.dim)
        self.out_lin = nn.Linear(config.dim, config.dim)
        self.dropout = nn.Dropout(config.attention_dropout)
        self.pruned_heads: set[int] = set()

    def prune_heads(self, heads: list[int]) -> None:
        going, stay = remaining(heads, self.pruned_heads, self.n_heads, self.attention_head_size)
        self.q_lin, self.k_lin, self.v_lin = (keep(x, stay) for x in (self.q_lin, self.k_lin, self.v_lin))
        self.out_lin = keep(self.out_lin, stay, dim=1)
        self.n_heads -= len(going)
        self.pruned_heads |= going

    @by_hand("query", "key", "value", "mask", "head_mask", "output_attentions", shared=_of_itself)
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = attention(
            self.q_lin(rows),
            self.k_lin(rows),
            self.v_lin(rows),
            step,
            heads=self.n_heads,
            dropout=self.dropout.p if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )
        return self.out_lin(context), *weights


class FFN(nn.Module):
    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.lin1 = nn.Linear(config.dim, config.hidden_dim)
        self.lin2 = nn.Linear(config.hidden_dim, config.dim)
        self.activation = activation(config.activation, "activation")

    def forward(self, rows: Tensor) -> Tensor:
        return self.dropout(self.lin2(self.activation(self.lin1(rows))))


class TransformerBlock(nn.Module):
    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.attention = DistilBertSelfAttention(config)
        self.sa_layer_norm = nn.LayerNorm(config.dim, eps=1e-12)
        self.ffn = FFN(config)
        self.output_layer_norm = nn.LayerNorm(config.dim, eps=1e-12)

    def block(self) -> Block:
        inner, ffn = self.attention, self.ffn
        return Block(
            *(inner.n_heads, (inner.q_lin, inner.k_lin, inner.v_lin), inner.out_lin, self.sa_layer_norm),
            *(ffn.lin1, ffn.activation, ffn.lin2, self.output_layer_norm),
        )

    @by_hand(*LAYER)
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.attention, rows, step, head_mask)
        rows = self.sa_layer_norm(context + rows)
        return self.output_layer_norm(self.ffn(rows) + rows), *weights


class Transformer(nn.Module):
    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))
        self.gradient_checkpointing = False

    @by_hand(*LAYER, "output_hidden_states", "return_dict")
    def forward(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> BaseModelOutput:
        checkpointing = self.gradient_checkpointing and self.training
        return run_layers(self.layer, rows, step, head_masks, checkpointing=checkpointing)


class DistilBertPreTrainedModel(PreTrainedModel):
    """What DistilBERT's models share."""

    config_class = DistilBertConfig
    base_model_prefix = "distilbert"
    SIGNATURE = ("input_ids", "attention_mask", "head_mask", "inputs_embeds", "labels", *OPTIONS, "position_ids")

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Embeddings) and self.config.sinusoidal_pos_embds:
            fill_sinusoids(module.position_embeddings.weight)


class DistilBertModel(DistilBertPreTrainedModel, Body):
    """The encoder: hidden states (B, T, D)."""

    STACK = "transformer"

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.transformer = Transformer(config)
        self.embeddings.position_embeddings.weight.requires_grad_(not config.sinusoidal_pos_embds)
        self.post_init()

    def get_position_embeddings(self) -> nn.Embedding:
        """The table of position embeddings."""
        return self.embeddings.position_embeddings

    def _attentions(self) -> list[Any]:
        return [layer.attention for layer in self.transformer.layer]


class DistilBertForMaskedLM(DistilBertPreTrainedModel, heads.MaskedLM):
    TIED = {"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"}

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.activation = activation(config.activation, "activation")
        self.distilbert = DistilBertModel(config)
        self.vocab_transform = nn.Linear(config.dim, config.dim)
        self.vocab_layer_norm = nn.LayerNorm(config.dim, eps=1e-12)
        self.vocab_projector = nn.Linear(config.dim, config.vocab_size)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        rows = self.activation(self.vocab_transform(rows))
        return self.vocab_projector(self.vocab_layer_norm(rows))  # rows of D -> rows of V


class _FirstColumnClassifier(DistilBertPreTrainedModel):
    """Two linear layers on the first column."""

    READS = "first"

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.pre_classifier = nn.Linear(config.dim, config.dim)
        self.classifier = nn.Linear(config.dim, self.labels())
        self.dropout = nn.Dropout(config.seq_classif_dropout)
        self.post_init()

    def labels(self) -> int:
        return self.num_labels

    def compute_logits(self, rows: Tensor) -> Tensor:
        first = self.pre_classifier(first_column(rows)).relu()  # (B, D)
        return self.classifier(self.dropout(first))


class DistilBertForSequenceClassification(_FirstColumnClassifier, heads.SequenceClassification):
    pass


class DistilBertForMultipleChoice(_FirstColumnClassifier, heads.MultipleChoice):
    def labels(self) -> int:
        return 1  # one score a choice


class DistilBertForTokenClassification(DistilBertPreTrainedModel, heads.TokenClassification):
    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.dim, config.num_labels)
        self.post_init()


class DistilBertForQuestionAnswering(DistilBertPreTrainedModel, heads.QuestionAnswering):
    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.qa_outputs = nn.Linear(config.dim, config.num_labels)
        self.dropout = nn.Dropout(config.qa_dropout)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.qa_outputs(self.dropout(rows))


MODEL_TYPES = {"distilbert": DistilBertConfig}
TOKENIZER = DistilBertTokenizer
HEADS = {
    "base": DistilBertModel,
    "pretraining": DistilBertForMaskedLM,
    "masked-lm": DistilBertForMaskedLM,
    "sequence-classification": DistilBertForSequenceClassification,
    "token-classification": DistilBertForTokenClassification,
    "question-answering": DistilBertForQuestionAnswering,
    "multiple-choice": DistilBertForMultipleChoice,
}
TINY = {"vocab_size": 99, "max_position_embeddings": 40, "n_layers": 2, "n_heads": 4, "dim": 32, "hidden_dim": 37}
