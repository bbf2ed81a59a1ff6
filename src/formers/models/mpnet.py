"""MPNet: RoBERTa's positions on BERT's words, with a bias for the distance of two tokens in every attention.

Source: Song et al. 2020 (arXiv 2004.09297); microsoft/MPNet.
Letters: B batch, T columns, D width, H heads, V vocabulary, C labels. "rows": see ops/layout.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor, nn

from .. import heads
from ..bodies import Body
from ..config import PretrainedConfig
from ..layers import STACK, HeadMasks, by_hand, through
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.attention import attention, distances
from ..ops.bias import buckets
from ..ops.embedding import lookup, packed_ids, whole_batch
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutput, BaseModelOutputWithPooling
from ..tokenization import ROBERTA_FRAME, WordPieceTokenizer
from . import bert, roberta

PADDING = 1  # whatever the configuration says, as in the models that were published


class MPNetConfig(PretrainedConfig):
    """Defaults are those of microsoft/mpnet-base, but for max_position_embeddings (514 there)."""

    model_type = "mpnet"

    vocab_size: int = 30527
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    relative_attention_num_buckets: int = 32
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | None = 2

    def longest_text(self) -> int | None:
        """The positions that come after that of padding."""
        limit = super().longest_text()
        return None if limit is None else limit - PADDING - 1


class MPNetTokenizer(roberta.FewerPositions, WordPieceTokenizer):
    """BERT's words with RoBERTa's special tokens: <s> A </s>, or <s> A </s></s> B </s>."""

    FRAME = ROBERTA_FRAME  # <s> A </s>, or <s> A </s></s> B </s>
    TOKENS = {
        **roberta.TOKENS,
        "unk_token": "[UNK]",
        "mask_token": AddedToken("<mask>", lstrip=True, special=True),
    }
    model_input_names = ["input_ids", "attention_mask"]


MPNetTokenizerFast = MPNetTokenizer


class MPNetEmbeddings(nn.Module):
    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, D, padding_idx=PADDING)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, D, padding_idx=PADDING)
        self.LayerNorm = nn.LayerNorm(D, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    position_ids = bert.BertEmbeddings.position_ids

    def forward(
        self,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        layout: Layout | None = None,
    ) -> Tensor:
        layout = whole_batch(self, input_ids, inputs_embeds) if layout is None else layout
        if inputs_embeds is None:  # (B, T) ids -> rows of D
            rows = lookup(self.word_embeddings, layout.pack(input_ids), layout, "input_ids", "vocab_size")
        else:
            rows = layout.pack(inputs_embeds)
        positions = (
            roberta.positions(layout, rows, input_ids, PADDING)
            if position_ids is None
            else packed_ids(position_ids, layout, "position_ids")
        )
        rows = rows + lookup(self.position_embeddings, positions, layout, "position_ids", "max_position_embeddings")
        return self.dropout(self.LayerNorm(rows))


# a pass shares the bias of positions, (1, H, T, T), which people who call layers by hand give themselves
by_hand_layer = by_hand(
    *("hidden_states", "attention_mask", "head_mask", "position_bias", "output_attentions"),
    shared=lambda given: given.get("position_bias"),
)


class MPNetSelfAttention(nn.Module):
    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.num_attention_heads, self.attention_head_size = config.num_attention_heads, bert.head_width(config)
        self.kernel = config._attn_implementation
        self.q = nn.Linear(D, D)
        self.k = nn.Linear(D, D)
        self.v = nn.Linear(D, D)
        self.o = nn.Linear(D, D)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    all_head_size = bert.BertSelfAttention.all_head_size

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = self.attend(self.q(rows), self.k(rows), self.v(rows), step, head_mask)
        return self.o(context), *weights

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of H · d each to the context."""
        bias = step.shared
        return attention(
            *(query, key, value, step),
            heads=self.num_attention_heads,
            bias=None if bias is None else lambda q, k, _: bias[..., : q.shape[2], : k.shape[2]],
            dropout=self.dropout.p if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


class MPNetAttention(nn.Module):
    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        self.attn = MPNetSelfAttention(config)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def block(self, up: Any, down: Any) -> Block:
        inner = self.attn
        return Block(
            *(inner.num_attention_heads, (inner.q, inner.k, inner.v), inner.o, self.LayerNorm),
            *(up.dense, up.intermediate_act_fn, down.dense, down.LayerNorm),
            attend=inner.attend,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.attn, rows, step, head_mask)
        return self.LayerNorm(self.dropout(context) + rows), *weights


class MPNetLayer(bert.BertLayer):
    ATTENTION = MPNetAttention
    forward = by_hand_layer(bert.run_layer)


class MPNetEncoder(bert.BertEncoder):
    LAYER = MPNetLayer

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__(config)
        self.relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_attention_heads)

    def compute_position_bias(self, x: Tensor) -> Tensor:
        """(1, H, T, T) what is added to scores, for hidden states x (B, T, D)."""
        return self._bias(x.shape[1], x.device)

    def _bias(self, columns: int, device: torch.device) -> Tensor:
        return self.relative_attention_bias(buckets(distances(columns, columns, device))).permute(2, 0, 1)[None]

    @by_hand(*STACK)
    def forward(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> BaseModelOutput:
        bias = self._bias(step.layout.columns, rows.device)
        return self.run(rows, replace(step, shared=bias), head_masks)


class MPNetPreTrainedModel(PreTrainedModel):
    """What MPNet's models share."""

    config_class = MPNetConfig
    base_model_prefix = "mpnet"
    SIGNATURE = ("input_ids", "attention_mask", "position_ids", "head_mask", "inputs_embeds", "labels", *OPTIONS)
    OPTIONAL = ("pooler.",)

    def make_body(self, config: MPNetConfig, pooling: bool) -> MPNetModel:
        """The encoder under a head."""
        return MPNetModel(config, add_pooling_layer=pooling)


class MPNetModel(MPNetPreTrainedModel, Body):
    """The encoder: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D)."""

    OUTPUT = BaseModelOutputWithPooling

    def __init__(self, config: MPNetConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = MPNetEmbeddings(config)
        self.encoder = MPNetEncoder(config)
        self.pooler = bert.BertPooler(config) if add_pooling_layer else None
        self.post_init()


class MPNetForMaskedLM(MPNetPreTrainedModel, heads.MaskedLM):
    TIED = {
        "lm_head.decoder.weight": "mpnet.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    }

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__(config)
        self.mpnet = MPNetModel(config, add_pooling_layer=False)
        self.lm_head = roberta.RobertaLMHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.lm_head(rows)


class MPNetForSequenceClassification(MPNetPreTrainedModel, bert.FirstClassifier):
    CLASSIFIER = roberta.RobertaClassificationHead


class MPNetForMultipleChoice(MPNetPreTrainedModel, bert.ChoiceClassifier):
    pass


class MPNetForTokenClassification(MPNetPreTrainedModel, bert.TokenClassifier):
    pass


class MPNetForQuestionAnswering(MPNetPreTrainedModel, bert.SpanClassifier):
    pass


MODEL_TYPES = {"mpnet": MPNetConfig}
TOKENIZER = MPNetTokenizer
HEADS = {
    "base": MPNetModel,
    "pretraining": MPNetForMaskedLM,
    "masked-lm": MPNetForMaskedLM,
    "sequence-classification": MPNetForSequenceClassification,
    "token-classification": MPNetForTokenClassification,
    "question-answering": MPNetForQuestionAnswering,
    "multiple-choice": MPNetForMultipleChoice,
}
TINY = {key: value for key, value in bert.TINY.items() if key != "type_vocab_size"}
