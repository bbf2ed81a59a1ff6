"""RoBERTa: BERT's encoder with byte-level tokens, trained longer and on tokens alone.

Source: Liu et al. 2019 (arXiv 1907.11692); fairseq.
Letters: B batch, T columns, D width, V vocabulary, C labels. "rows": see ops/layout.py.

Positions count real tokens, from pad_token_id + 1; padding has the position pad_token_id.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import heads
from ..config import PretrainedConfig
from ..layers import first_column
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.layout import Layout
from ..tokenization import ByteLevelTokenizer
from . import bert


class RobertaConfig(bert.BertConfig):
    """Defaults are those of roberta-base, but for max_position_embeddings (514 there) and type_vocab_size (1)."""

    model_type = "roberta"

    vocab_size: int = 50265
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | None = 2

    def longest_text(self) -> int | None:
        """The positions that come after that of padding."""
        limit = super().longest_text()
        return None if limit is None else limit - (self.pad_token_id or 0) - 1


TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}


class FewerPositions:
    """For tokenizers of models whose positions count from that of padding."""

    @classmethod
    def longest_input(cls, config: dict[str, Any]) -> int | None:
        """The tokens that a model with this configuration can take; None when it does not say."""
        limit = super().longest_input(config)  # type: ignore[misc]
        return None if limit is None else limit - config.get("pad_token_id", 1) - 1


class RobertaTokenizer(FewerPositions, ByteLevelTokenizer):
    """Byte-level BPE with RoBERTa's special tokens: <s> A </s>, or <s> A </s></s> B </s>."""

    TOKENS = TOKENS


RobertaTokenizerFast = RobertaTokenizer


def positions(layout: Layout, rows: Tensor, input_ids: Tensor | None, padding: int) -> Tensor:
    """Of every row: how many tokens it is of its text, `padding` aside; of embeddings, its column."""
    if input_ids is None:
        return layout.positions(rows.device) + padding + 1
    real = (input_ids != padding).long()  # (B, T)
    counted = real.cumsum(1)
    if layout.past is not None:
        counted = counted + torch.tensor(layout.past, device=rows.device)[:, None]
    return layout.pack(counted * real + padding)


class RobertaEmbeddings(bert.BertEmbeddings):
    def __init__(self, config: RobertaConfig) -> None:
        super().__init__(config)
        self.padding_idx: int = 0 if config.pad_token_id is None else config.pad_token_id
        self.position_embeddings = nn.Embedding(
            config.max_position_embeddings, config.hidden_size, padding_idx=config.pad_token_id
        )

    def positions(self, layout: Layout, rows: Tensor, input_ids: Tensor | None) -> Tensor:
        return positions(layout, rows, input_ids, self.padding_idx)


class RobertaPreTrainedModel(PreTrainedModel):
    """What RoBERTa's models share."""

    config_class = RobertaConfig
    base_model_prefix = "roberta"
    SIGNATURE: ClassVar[tuple[str, ...]] = bert.BertPreTrainedModel.SIGNATURE
    OPTIONAL = ("pooler.",)

    def make_body(self, config: RobertaConfig, pooling: bool) -> RobertaModel:
        """The encoder under a head."""
        return RobertaModel(config, add_pooling_layer=pooling)


class RobertaModel(RobertaPreTrainedModel, bert.MaybeDecoder):
    """The encoder: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D)."""

    SIGNATURE = bert.BertModel.SIGNATURE
    OUTPUT = bert.BertModel.OUTPUT

    def __init__(self, config: RobertaConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = RobertaEmbeddings(config)
        self.encoder = bert.BertEncoder(config)
        self.pooler = bert.BertPooler(config) if add_pooling_layer else None
        self.post_init()

    _attentions = bert.BertModel._attentions


class RobertaLMHead(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = self.decoder.bias  # checkpoints have it under both names

    def forward(self, rows: Tensor) -> Tensor:
        return self.decoder(self.layer_norm(F.gelu(self.dense(rows))))  # rows of D -> rows of V


class RobertaForMaskedLM(RobertaPreTrainedModel, heads.MaskedLM):
    TIED = {
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    }
    SIGNATURE: ClassVar[tuple[str, ...]] = bert.BertForMaskedLM.SIGNATURE

    def __init__(self, config: RobertaConfig) -> None:
        super().__init__(config)
        self.add_body(config)
        self.lm_head = RobertaLMHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.lm_head(rows)


class RobertaForCausalLM(RobertaForMaskedLM, heads.CausalLM):
    """Predicts the next token. Needs `is_decoder=True` in the configuration, so that no column sees a later one."""

    OUTPUT = heads.CausalLM.OUTPUT
    SIGNATURE = bert.BertLMHeadModel.SIGNATURE

    def places_of(self, mask: Tensor) -> Tensor:
        embeddings: Any = self.base_model.embeddings
        return super().places_of(mask) + int(embeddings.padding_idx) + 1


class RobertaClassificationHead(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = bert.classifier_dropout(config)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.dense(self.dropout(first_column(features))).tanh()
        return self.out_proj(self.dropout(hidden))  # (B, D) -> (B, C)


class RobertaForSequenceClassification(RobertaPreTrainedModel, bert.FirstClassifier):
    CLASSIFIER = RobertaClassificationHead


class RobertaForMultipleChoice(RobertaPreTrainedModel, heads.MultipleChoice):
    READS = "pooled"
    SIGNATURE = ("input_ids", "token_type_ids", "attention_mask", "labels", *bert.INPUTS[3:], *OPTIONS)

    def __init__(self, config: RobertaConfig) -> None:
        super().__init__(config)
        self.add_body(config, pooling=True)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(self.dropout(rows))  # one score a choice


class RobertaForTokenClassification(RobertaPreTrainedModel, bert.TokenClassifier):
    pass


class RobertaForQuestionAnswering(RobertaPreTrainedModel, bert.SpanClassifier):
    pass


MODEL_TYPES = {"roberta": RobertaConfig}
TOKENIZER = RobertaTokenizer
HEADS = {
    "base": RobertaModel,
    "pretraining": RobertaForMaskedLM,
    "masked-lm": RobertaForMaskedLM,
    "causal-lm": RobertaForCausalLM,
    "sequence-classification": RobertaForSequenceClassification,
    "token-classification": RobertaForTokenClassification,
    "question-answering": RobertaForQuestionAnswering,
    "multiple-choice": RobertaForMultipleChoice,
}
TINY = bert.TINY
