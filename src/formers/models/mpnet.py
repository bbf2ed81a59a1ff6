"""MPNet: RoBERTa's positions on BERT's words, with a bias for the distance of two tokens in every attention.

Source: Song et al. 2020 (arXiv 2004.09297); microsoft/MPNet.
Letters: B batch, T columns, D width, H heads, V vocabulary, C labels. "rows": see ops/layout.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tokenizers import AddedToken
from torch import Tensor, nn

from .. import heads
from ..config import PretrainedConfig
from ..modeling import PreTrainedModel, run_layers
from ..ops.attention import attention
from ..ops.bias import buckets
from ..ops.embedding import lookup, packed_ids
from ..ops.layout import Layout
from ..outputs import BaseModelOutputWithPooling
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

    def forward(
        self, layout: Layout, input_ids: Tensor | None, position_ids: Tensor | None, inputs_embeds: Tensor | None
    ) -> Tensor:
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

    def forward(
        self, rows: Tensor, layout: Layout, head_mask: Tensor | None, output_attentions: bool, bias: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        context, weights = attention(
            self.q(rows),
            self.k(rows),
            self.v(rows),
            layout,
            heads=self.num_attention_heads,
            bias=lambda q, _: bias[..., : q.shape[2], : q.shape[2]],
            dropout=self.dropout.p if self.training else 0.0,
            head_mask=head_mask,
            return_weights=output_attentions,
            kernel=self.kernel,
        )
        return self.o(context), weights


class MPNetAttention(nn.Module):
    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        self.attn = MPNetSelfAttention(config)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, rows: Tensor, layout: Layout, head_mask: Tensor | None, output_attentions: bool, bias: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        context, weights = self.attn(rows, layout, head_mask, output_attentions, bias)
        return self.LayerNorm(self.dropout(context) + rows), weights


class MPNetLayer(nn.Module):
    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        self.attention = MPNetAttention(config)
        self.intermediate = bert.BertIntermediate(config)
        self.output = bert.BertOutput(config)

    def forward(
        self,
        rows: Tensor,
        layout: Layout,
        head_mask: Tensor | None,
        output_attentions: bool,
        bias: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        rows, weights = self.attention(rows, layout, head_mask, output_attentions, bias)
        return self.output(self.intermediate(rows), rows), weights


class MPNetEncoder(nn.Module):
    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(MPNetLayer(config) for _ in range(config.num_hidden_layers))
        self.relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_attention_heads)
        self.gradient_checkpointing = False

    def forward(self, rows: Tensor, layout: Layout, head_masks: list[Tensor | None], **options: bool) -> Any:
        distances = buckets(layout.columns, device=rows.device)
        bias = self.relative_attention_bias(distances).permute(2, 0, 1)[None]  # (1, H, T, T)
        steps = [partial(layer, bias=bias) for layer in self.layer]
        checkpointing = self.gradient_checkpointing and self.training
        return run_layers(steps, rows, layout, head_masks, checkpointing=checkpointing, **options)


class MPNetPreTrainedModel(PreTrainedModel):
    """What MPNet's models share."""

    config_class = MPNetConfig
    base_model_prefix = "mpnet"
    INPUTS = ("input_ids", "attention_mask", "position_ids", "head_mask", "inputs_embeds")
    OPTIONAL = ("pooler.",)


class MPNetModel(MPNetPreTrainedModel):
    """The encoder: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D)."""

    def __init__(self, config: MPNetConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = MPNetEmbeddings(config)
        self.encoder = MPNetEncoder(config)
        self.pooler = bert.BertPooler(config) if add_pooling_layer else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: Layout | None = None,
    ) -> Any:
        """Encode a batch.

        input_ids, attention_mask (1 real, 0 padding), position_ids: integers (B, T).
        inputs_embeds: (B, T, D) instead of input_ids. head_mask: (H,) or (layers, H), 1 keeps a head.
        layout: the batch's layout when a head made it; the last hidden state then stays in its rows.
        Hidden states are zeros at padding.
        """
        given = layout is not None
        if layout is None:
            layout = self.layout(input_ids, attention_mask, inputs_embeds)
        rows, states, weights = self.encoder(
            self.embeddings(layout, input_ids, position_ids, inputs_embeds),
            layout,
            self.head_masks(head_mask, len(self.encoder.layer)),
            **self.options(output_attentions=output_attentions, output_hidden_states=output_hidden_states),
        )
        pooled = None if self.pooler is None else self.pooler(layout.first(rows))
        result = BaseModelOutputWithPooling(rows if given else layout.unpack(rows), pooled, states, weights)
        return self.returned(result, return_dict)


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

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.lm_head(body.last_hidden_state)


class MPNetForSequenceClassification(MPNetPreTrainedModel, heads.SequenceClassification):
    READS_FIRST = True

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.mpnet = MPNetModel(config, add_pooling_layer=False)
        self.classifier = roberta.RobertaClassificationHead(config)
        self.post_init()

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.classifier(layout.first(body.last_hidden_state))


class MPNetForMultipleChoice(MPNetPreTrainedModel, heads.MultipleChoice):
    READS_FIRST = True

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__(config)
        self.mpnet = MPNetModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.classifier(self.dropout(body.pooler_output))  # one score a choice


class MPNetForTokenClassification(MPNetPreTrainedModel, heads.TokenClassification):
    def __init__(self, config: MPNetConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.mpnet = MPNetModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


class MPNetForQuestionAnswering(MPNetPreTrainedModel, heads.QuestionAnswering):
    def __init__(self, config: MPNetConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.mpnet = MPNetModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


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
