"""DeBERTa-v2, and v3: attention scores of contents and of distances apart, added up; positions are only there.

Source: He et al. 2020 (arXiv 2006.03654) and 2021 (arXiv 2111.09543); microsoft/DeBERTa.
Letters: B batch, T columns, D width, E width of the embeddings, H heads, d width of a head, S largest distance,
V vocabulary, C labels. "rows": see ops/layout.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from tokenizers import AddedToken, Regex, normalizers, pre_tokenizers
from torch import Tensor, nn

from .. import heads
from ..bodies import Body
from ..config import PretrainedConfig
from ..errors import InputError
from ..layers import ColumnConv, HeadMasks, by_hand, first_column
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.activations import activation
from ..ops.attention import Bias, attention, distances
from ..ops.bias import disentangled, log_buckets
from ..ops.embedding import lookup, packed_ids, whole_batch
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutput
from ..tokenization import SentencePieceTokenizer
from . import bert


class DebertaV2Config(PretrainedConfig):
    """Defaults are those of microsoft/deberta-v2-xlarge, but for its relative attention.

    Further keys, which the published files have: position_buckets, share_att_key, norm_rel_ebd, conv_kernel_size,
    conv_groups, conv_act, embedding_size, attention_head_size, cls_dropout, pooler_hidden_size.
    """

    model_type = "deberta-v2"

    vocab_size: int = 128100
    hidden_size: int = 1536
    num_hidden_layers: int = 24
    num_attention_heads: int = 24
    intermediate_size: int = 6144
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-7
    relative_attention: bool = False
    max_relative_positions: int = -1
    pad_token_id: int | None = 0
    position_biased_input: bool = True
    pos_att_type: str | list[str] | None = None
    pooler_dropout: float = 0.0
    pooler_hidden_act: str = "gelu"
    legacy: bool = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.pos_att_type, str):
            self.pos_att_type = [kind.strip() for kind in self.pos_att_type.lower().split("|")]
        if not hasattr(self, "pooler_hidden_size"):
            self.pooler_hidden_size = self.hidden_size

    def longest_text(self) -> int | None:
        """No limit but where positions are added to the embeddings: no distance is too far for attention."""
        return super().longest_text() if self.position_biased_input else None

    def span(self) -> tuple[int, int]:
        """The largest distance, and how many buckets there are for distances, not positive for none."""
        farthest = self.max_relative_positions
        return self.max_position_embeddings if farthest < 1 else farthest, getattr(self, "position_buckets", -1)


class DebertaV2Tokenizer(SentencePieceTokenizer):
    """SentencePiece with BERT's special tokens: [CLS] A [SEP], or [CLS] A [SEP] B [SEP].

    `do_lower_case` (default False); `split_by_punct` (default False) cuts at every punctuation mark.
    """

    TOKENS = {
        "bos_token": "[CLS]",
        "eos_token": "[SEP]",
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": AddedToken("[MASK]", special=True),  # it leaves the space before it alone
    }
    vocab_files_names = {"vocab_file": "spm.model", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    _options = (*SentencePieceTokenizer._options, "do_lower_case", "split_by_punct")

    def __init__(self, *args: Any, do_lower_case: bool = False, split_by_punct: bool = False, **kwargs: Any) -> None:
        self.do_lower_case, self.split_by_punct = do_lower_case, split_by_punct
        super().__init__(*args, **kwargs, do_lower_case=do_lower_case, split_by_punct=split_by_punct)

    def normalizing(self, charsmap: list[Any]) -> Any:
        """Case and white space, then what the file says."""
        lower = [normalizers.Lowercase()] if self.do_lower_case else []
        return normalizers.Sequence([*lower, normalizers.Strip(), *charsmap, normalizers.Replace(Regex(" {2,}"), " ")])

    def splitting(self, pieces: Any) -> Any:
        """Pieces, within what is between punctuation marks."""
        marks = [pre_tokenizers.Punctuation(behavior="isolated")] if self.split_by_punct else []
        return pre_tokenizers.Sequence([*marks, pieces])


DebertaV2TokenizerFast = DebertaV2Tokenizer


def _real(x: Tensor, layout: Layout) -> Tensor:
    """Rows, (B, T, D), or biases, (B, H, T, T), with zeros where padding was kept."""
    real = layout.real
    if real is None:
        return x
    return x * (real[..., None] if x.dim() == 3 else real[:, None, :, None]).to(x.dtype)


def _apart(layout: Layout) -> Layout:
    """The layout in which padding that was kept sees nothing either."""
    if layout.mask is None or layout.mask.dim() != 2:
        return layout
    return replace(layout, mask=(layout.mask[:, None] & layout.mask[:, :, None])[:, None])  # (B, 1, T, T)


class Relative(NamedTuple):
    """What a pass shares: how far each key is behind each query, (T, T), in buckets where there are any; and the
    embeddings of distances, (2S, D)."""

    distance: Tensor
    embeddings: Tensor


def _relative(given: Mapping[str, Any]) -> Relative | None:
    """What people who call a layer by hand give."""
    distance, embeddings = given.get("relative_pos"), given.get("rel_embeddings")
    if given.get("query_states") is not None:
        raise InputError("query_states has no effect here; leave it out.")
    if (distance is None) != (embeddings is None):
        raise InputError("relative_pos and rel_embeddings belong together; the encoder has both.")
    return None if distance is None or embeddings is None else Relative(distance.flatten(0, -3), embeddings)


by_hand_layer = by_hand(
    *("hidden_states", "attention_mask", "query_states", "relative_pos", "rel_embeddings", "output_attentions"),
    shared=_relative,
)
by_hand_attention = by_hand(
    *("hidden_states", "attention_mask", "output_attentions", "query_states", "relative_pos", "rel_embeddings"),
    shared=_relative,
)


class DebertaV2Embeddings(nn.Module):
    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__()
        E, D = getattr(config, "embedding_size", config.hidden_size), config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, E, padding_idx=config.pad_token_id)
        positions, types = config.max_position_embeddings if config.position_biased_input else 0, config.type_vocab_size
        self.position_embeddings = nn.Embedding(positions, E) if positions else None
        self.token_type_embeddings = nn.Embedding(types, E) if types else None
        self.embed_proj = nn.Linear(E, D, bias=False) if E != D else None
        self.LayerNorm = nn.LayerNorm(D, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        layout: Layout | None = None,
    ) -> Tensor:
        """mask: (B, T), or (B, 1, 1, T), by those who call it by hand: padding gets zeros."""
        if layout is None:
            layout = whole_batch(self, input_ids, inputs_embeds)
            layout = (
                layout
                if mask is None
                else replace(layout, mask=mask.flatten(1, -2).bool().any(1) if mask.dim() > 2 else mask.bool())
            )
        if inputs_embeds is None:  # (B, T) ids -> rows of E
            rows = lookup(self.word_embeddings, layout.pack(input_ids), layout, "input_ids", "vocab_size")
        else:
            rows = layout.pack(inputs_embeds)
        places = layout.positions(rows.device)
        if self.position_embeddings is not None:
            chosen = places if position_ids is None else packed_ids(position_ids, layout, "position_ids")
            rows = rows + lookup(self.position_embeddings, chosen, layout, "position_ids", "max_position_embeddings")
        if self.token_type_embeddings is not None:
            zeros = places.new_zeros(places.shape)
            types = zeros if token_type_ids is None else packed_ids(token_type_ids, layout, "token_type_ids")
            rows = rows + lookup(self.token_type_embeddings, types, layout, "token_type_ids", "type_vocab_size")
        if self.embed_proj is not None:
            rows = self.embed_proj(rows)  # rows of E -> rows of D
        return self.dropout(_real(self.LayerNorm(rows), layout))


class DisentangledSelfAttention(nn.Module):
    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__()
        D, H = config.hidden_size, config.num_attention_heads
        self.num_attention_heads = H
        self.attention_head_size = getattr(config, "attention_head_size", bert.head_width(config))
        self.kernel, width = config._attn_implementation, H * self.attention_head_size
        self.query_proj = nn.Linear(D, width)
        self.key_proj = nn.Linear(D, width)
        self.value_proj = nn.Linear(D, width)
        self.share_att_key = getattr(config, "share_att_key", False)
        self.kinds = config.pos_att_type or []  # c2p: of contents with distances; p2c: the reverse
        self.relative_attention = config.relative_attention
        if config.relative_attention:
            farthest, buckets = config.span()
            self.reach = buckets if buckets > 0 else farthest  # S
            self.pos_dropout = nn.Dropout(config.hidden_dropout_prob)
            if not self.share_att_key:
                if "c2p" in self.kinds:
                    self.pos_key_proj = nn.Linear(D, width)
                if "p2c" in self.kinds:
                    self.pos_query_proj = nn.Linear(D, width)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def tables(self, distances: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Keys and queries for distances, (H, 2S, d) each, from their embeddings (2S, D)."""
        found: list[Tensor | None] = []
        embedded = self.pos_dropout(distances[: 2 * self.reach])
        for kind, shared, own in (("c2p", "key_proj", "pos_key_proj"), ("p2c", "query_proj", "pos_query_proj")):
            if kind in self.kinds:
                made = getattr(self, shared if self.share_att_key else own)(embedded)
                found.append(made.unflatten(-1, (self.num_attention_heads, -1)).transpose(0, 1))
            else:
                found.append(None)
        return found[0], found[1]

    all_head_size = bert.BertSelfAttention.all_head_size

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.attend(self.query_proj(rows), self.key_proj(rows), self.value_proj(rows), step, head_mask)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of H · d each to the context."""
        factor = 1 + len({"c2p", "p2c"} & set(self.kinds))  # as many scores are added up
        return attention(
            _real(query * factor**-0.5, step.layout),  # padding that was kept asks for nothing
            *(key, value, step),
            heads=self.num_attention_heads,
            bias=self.bias(step, factor) if self.relative_attention and factor > 1 else None,
            dropout=self.dropout.p if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )

    def bias(self, step: Step, factor: int) -> Bias | None:
        """What distances add to scores; None where nobody says how far keys are."""
        if step.shared is None:
            return None
        keys, queries = self.tables(step.shared.embeddings)
        queries = None if queries is None else queries * factor**-0.5

        def bias(q: Tensor, k: Tensor, _: Tensor) -> Tensor:
            return _real(disentangled(q, k, step.shared.distance, keys, queries), step.layout)

        return bias


class DebertaV2Attention(bert.BertAttention):
    SELF = DisentangledSelfAttention
    forward = by_hand_attention(bert.run_attention)

    def block(self, up: Any, down: Any) -> Block:
        inner, after = self.self, self.output
        projections = (inner.query_proj, inner.key_proj, inner.value_proj)
        return Block(
            *(inner.num_attention_heads, projections, after.dense, after.LayerNorm),
            *(up.dense, up.intermediate_act_fn, down.dense, down.LayerNorm),
            attend=inner.attend,
        )


class DebertaV2Layer(bert.BertLayer):
    ATTENTION = DebertaV2Attention
    forward = by_hand_layer(bert.run_layer)


class ConvLayer(nn.Module):
    """A convolution over the columns of the embeddings, beside the first layer."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        size, D = config.conv_kernel_size, config.hidden_size
        groups = getattr(config, "conv_groups", 1)
        self.conv_act = activation(getattr(config, "conv_act", "tanh"))
        self.conv = ColumnConv(D, D, size, padding=(size - 1) // 2, groups=groups)
        self.LayerNorm = nn.LayerNorm(D, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, embedded: Tensor, rows: Tensor, layout: Layout) -> Tensor:
        columns = self.conv(layout.unpack(embedded).transpose(1, 2)).transpose(1, 2)  # (B, T, D)
        seen = self.dropout(_real(layout.pack(columns), layout))
        return _real(self.LayerNorm(rows + self.conv_act(seen)), layout)


class DebertaV2Encoder(bert.BertEncoder):
    LAYER = DebertaV2Layer

    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__(config)
        self.relative_attention = config.relative_attention
        self.farthest, self.buckets = config.span()
        if config.relative_attention:
            reach = self.buckets if self.buckets > 0 else self.farthest
            self.rel_embeddings = nn.Embedding(2 * reach, config.hidden_size)
        self.normed = "layer_norm" in getattr(config, "norm_rel_ebd", "none").lower()
        if self.normed:
            self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.conv = ConvLayer(config) if getattr(config, "conv_kernel_size", 0) > 0 else None

    def get_rel_embedding(self) -> Tensor | None:
        """(2S, D) the embeddings of distances, normalised where the configuration says so; None without them."""
        if not self.relative_attention:
            return None
        return self.LayerNorm(self.rel_embeddings.weight) if self.normed else self.rel_embeddings.weight

    def get_rel_pos(self, hidden_states: Tensor, *_: Any) -> Tensor | None:
        """(1, T, T) how far keys are behind queries, in buckets, for hidden states (B, T, D)."""
        if not self.relative_attention:
            return None
        return self._distance(hidden_states.shape[1], hidden_states.device)[None]

    def _distance(self, columns: int, device: torch.device) -> Tensor:
        return log_buckets(distances(columns, columns, device), self.buckets, self.farthest)

    @by_hand(
        *("hidden_states", "attention_mask", "output_hidden_states", "output_attentions", "query_states"),
        *("relative_pos", "return_dict"),
    )
    def forward(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> BaseModelOutput:
        layout, shared = _apart(step.layout), None
        if (embeddings := self.get_rel_embedding()) is not None:
            shared = Relative(self._distance(layout.columns, rows.device), embeddings)

        conv = self.conv
        after = None if conv is None else lambda i, found: found if i else conv(rows, found, layout)
        return self.run(rows, replace(step, layout=layout, shared=shared), head_masks, after=after)


class DebertaV2PreTrainedModel(PreTrainedModel):
    """What the models of DeBERTa-v2 share."""

    config_class = DebertaV2Config
    base_model_prefix = "deberta"
    SIGNATURE = (
        *("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds", "labels"),
        *OPTIONS,
    )

    def make_body(self, config: DebertaV2Config, pooling: bool) -> DebertaV2Model:
        """The encoder under a head, without a pooler."""
        return DebertaV2Model(config)


class DebertaV2Model(DebertaV2PreTrainedModel, Body):
    """The encoder: hidden states (B, T, D)."""

    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__(config)
        self.embeddings = DebertaV2Embeddings(config)
        self.encoder = DebertaV2Encoder(config)
        self.post_init()


class DebertaV2LMPredictionHead(bert.BertPredictionHeadTransform):
    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, rows: Tensor, embeddings: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(rows) @ embeddings.T + self.bias  # rows of D -> rows of V


class DebertaV2OnlyMLMHead(nn.Module):
    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__()
        self.lm_head = DebertaV2LMPredictionHead(config)

    def forward(self, rows: Tensor, embeddings: Tensor) -> Tensor:
        return self.lm_head(rows, embeddings)


class DebertaV2ForMaskedLM(DebertaV2PreTrainedModel, heads.MaskedLM):
    """Fills in tokens, with the head of `legacy=False` or, as the files of today say, the one of BERT."""

    TIED = {
        "cls.predictions.decoder.weight": "deberta.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }

    # published files have the other head, and a configuration that does not say so; both compute the same
    RENAMES = {
        "lm_predictions.lm_head.dense.weight": "cls.predictions.transform.dense.weight",
        "lm_predictions.lm_head.dense.bias": "cls.predictions.transform.dense.bias",
        "lm_predictions.lm_head.LayerNorm.weight": "cls.predictions.transform.LayerNorm.weight",
        "lm_predictions.lm_head.LayerNorm.bias": "cls.predictions.transform.LayerNorm.bias",
        "lm_predictions.lm_head.bias": "cls.predictions.bias",
    }

    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__(config)
        self.deberta = DebertaV2Model(config)
        if config.legacy:
            self.cls = bert.BertOnlyMLMHead(config, getattr(config, "embedding_size", None))
        else:
            self.TIED = {}  # type: ignore[misc]  # it scores with the embeddings themselves
            self.lm_predictions = DebertaV2OnlyMLMHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        if self.config.legacy:
            return self.cls(rows)
        return self.lm_predictions(rows, self.get_input_embeddings().weight)


class ContextPooler(nn.Module):
    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__()
        D = config.pooler_hidden_size
        self.dense = nn.Linear(D, D)
        self.dropout = nn.Dropout(config.pooler_dropout)
        self.act = activation(config.pooler_hidden_act, "pooler_hidden_act")

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.act(self.dense(self.dropout(first_column(hidden_states))))  # (B, D)


class _FirstColumnClassifier(DebertaV2PreTrainedModel):
    """A pooler, dropout and a linear layer on the first column."""

    READS = "first"

    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__(config)
        self.deberta = DebertaV2Model(config)
        self.pooler = ContextPooler(config)
        self.classifier = nn.Linear(config.hidden_size, self.labels())
        rate = getattr(config, "cls_dropout", None)
        self.dropout = nn.Dropout(config.hidden_dropout_prob if rate is None else rate)
        self.post_init()

    def labels(self) -> int:
        return self.num_labels

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.pooler(rows)))


class DebertaV2ForSequenceClassification(_FirstColumnClassifier, heads.SequenceClassification):
    """Labels a text. Where config.problem_type says nothing, labels (B, C) of floats are shares of the labels."""

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        labels = targets["labels"]
        shares = isinstance(labels, Tensor) and labels.shape == (layout.batch, self.num_labels) and self.num_labels > 1
        if not shares or self.config.problem_type is not None:
            return super().results(body, layout, inputs, targets)
        logits = self.logits_of_texts(body, layout, inputs)
        loss, items = -(logits.log_softmax(-1) * labels).sum(-1), targets.get(heads.ITEMS)
        return {"loss": loss.mean() if items is None else loss.sum() / items, "logits": logits}


class DebertaV2ForMultipleChoice(_FirstColumnClassifier, heads.MultipleChoice):
    def labels(self) -> int:
        return 1  # one score a choice


class DebertaV2ForTokenClassification(DebertaV2PreTrainedModel, bert.TokenClassifier):
    pass


class DebertaV2ForQuestionAnswering(DebertaV2PreTrainedModel, bert.SpanClassifier):
    pass


MODEL_TYPES = {"deberta-v2": DebertaV2Config}
TOKENIZER = DebertaV2Tokenizer
HEADS = {
    "base": DebertaV2Model,
    "pretraining": DebertaV2ForMaskedLM,
    "masked-lm": DebertaV2ForMaskedLM,
    "sequence-classification": DebertaV2ForSequenceClassification,
    "token-classification": DebertaV2ForTokenClassification,
    "question-answering": DebertaV2ForQuestionAnswering,
    "multiple-choice": DebertaV2ForMultipleChoice,
}
TINY = {
    **bert.TINY,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 6,
    "norm_rel_ebd": "layer_norm",
    "conv_kernel_size": 3,
    "position_biased_input": False,
}
