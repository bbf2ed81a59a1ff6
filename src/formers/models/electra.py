"""ELECTRA: BERT's encoder, trained to tell tokens that a small generator has replaced. Narrow embeddings, no pooler.

Source: Clark et al. 2020 (arXiv 2003.10555); google-research/electra.
Letters: B batch, T columns, D width, E width of the embeddings, V vocabulary, C labels. "rows": see ops/layout.py.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from .. import heads
from ..bodies import Body
from ..layers import SequenceSummary, first_column
from ..modeling import PreTrainedModel
from ..ops.activations import activation
from ..ops.layout import Layout
from ..outputs import BaseModelOutputWithPastAndCrossAttentions
from . import bert


class ElectraConfig(bert.BertConfig):
    """Defaults are those of google/electra-small-discriminator."""

    model_type = "electra"

    embedding_size: int = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    summary_type: str = "first"
    summary_use_proj: bool = True
    summary_activation: str | None = "gelu"
    summary_last_dropout: float = 0.1


class ElectraTokenizer(bert.BertTokenizer):
    """BERT's tokenizer."""


ElectraTokenizerFast = ElectraTokenizer


class ElectraPreTrainedModel(PreTrainedModel):
    """What ELECTRA's models share."""

    config_class = ElectraConfig
    base_model_prefix = "electra"
    SIGNATURE: ClassVar[tuple[str, ...]] = bert.BertPreTrainedModel.SIGNATURE

    def make_body(self, config: ElectraConfig, pooling: bool) -> ElectraModel:
        """The encoder under a head, without a pooler."""
        return ElectraModel(config)


class ElectraModel(ElectraPreTrainedModel, bert.MaybeDecoder):
    """The encoder: hidden states (B, T, D)."""

    SIGNATURE = bert.BertModel.SIGNATURE
    OUTPUT = BaseModelOutputWithPastAndCrossAttentions

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        self.embeddings = bert.BertEmbeddings(config, config.embedding_size)
        if config.embedding_size != config.hidden_size:
            self.embeddings_project = nn.Linear(config.embedding_size, config.hidden_size)
        self.encoder = bert.BertEncoder(config)
        self.post_init()

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Rows of D from the model's inputs."""
        rows = Body.embed(self, layout, inputs)
        return self.embeddings_project(rows) if hasattr(self, "embeddings_project") else rows  # E -> D

    _attentions = bert.BertModel._attentions


class ElectraDiscriminatorPredictions(nn.Module):
    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = activation(config.hidden_act)
        self.dense_prediction = nn.Linear(config.hidden_size, 1)

    def forward(self, rows: Tensor) -> Tensor:
        return self.dense_prediction(self.activation(self.dense(rows))).squeeze(-1)  # rows of D -> one number each


class ElectraForPreTraining(ElectraPreTrainedModel, heads.ReplacedTokenDetection):
    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        self.electra = ElectraModel(config)
        self.discriminator_predictions = ElectraDiscriminatorPredictions(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.discriminator_predictions(rows)


class ElectraGeneratorPredictions(nn.Module):
    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.activation = activation("gelu")
        self.LayerNorm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.dense = nn.Linear(config.hidden_size, config.embedding_size)

    def forward(self, rows: Tensor) -> Tensor:
        return self.LayerNorm(self.activation(self.dense(rows)))  # rows of D -> rows of E


class ElectraForMaskedLM(ElectraPreTrainedModel, heads.MaskedLM):
    TIED = {"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"}

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        self.electra = ElectraModel(config)
        self.generator_predictions = ElectraGeneratorPredictions(config)
        self.generator_lm_head = nn.Linear(config.embedding_size, config.vocab_size)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.generator_lm_head(self.generator_predictions(rows))  # rows of D -> rows of V


class ElectraForCausalLM(ElectraForMaskedLM, heads.CausalLM):
    """Predicts the next token. Needs `is_decoder=True` in the configuration, so that no column sees a later one."""

    OUTPUT = heads.CausalLM.OUTPUT
    SIGNATURE = bert.BertLMHeadModel.SIGNATURE


class ElectraClassificationHead(nn.Module):
    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = activation("gelu")
        self.dropout = bert.classifier_dropout(config)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.activation(self.dense(self.dropout(first_column(features))))
        return self.out_proj(self.dropout(hidden))  # (B, D) -> (B, C)


class ElectraForSequenceClassification(ElectraPreTrainedModel, bert.FirstClassifier):
    CLASSIFIER = ElectraClassificationHead


class ElectraForTokenClassification(ElectraPreTrainedModel, bert.TokenClassifier):
    pass


class ElectraForQuestionAnswering(ElectraPreTrainedModel, bert.SpanClassifier):
    pass


class ElectraSequenceSummary(SequenceSummary):
    pass


class SummaryChoice(heads.MultipleChoice):
    """Multiple choice that reads what `sequence_summary` makes of a text."""

    READS = "first"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.sequence_summary = ElectraSequenceSummary(config)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def needs_padding(self, inputs: dict[str, Any], targets: dict[str, Any]) -> bool:
        return self.sequence_summary.kind != "first"

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(self.sequence_summary(rows))  # one score a choice


class ElectraForMultipleChoice(ElectraPreTrainedModel, SummaryChoice):
    pass


MODEL_TYPES = {"electra": ElectraConfig}
TOKENIZER = ElectraTokenizer
HEADS = {
    "base": ElectraModel,
    "pretraining": ElectraForPreTraining,
    "masked-lm": ElectraForMaskedLM,
    "causal-lm": ElectraForCausalLM,
    "sequence-classification": ElectraForSequenceClassification,
    "token-classification": ElectraForTokenClassification,
    "question-answering": ElectraForQuestionAnswering,
    "multiple-choice": ElectraForMultipleChoice,
}
TINY = {**bert.TINY, "embedding_size": 24}
