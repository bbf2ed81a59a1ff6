"""ModernBERT: a BERT with rotary positions, gated feed-forwards, normalisation first, and mostly local attention.

Source: Warner et al. 2024 (arXiv 2412.13663); AnswerDotAI/ModernBERT.
Letters: B batch, T columns, D width, F width of the feed-forward, H heads, d width of a head, V vocabulary, C labels.
"rows": see ops/layout.py.

    rows ─┬─ norm ─ rotary attention ─(+)─┬─ norm ─ dense ─ gelu · gate ─ dense ─(+)─▶
          └────────────────────────────┘   └──────────────────────────────────┘
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import heads
from ..bodies import Body
from ..config import PretrainedConfig
from ..errors import ConfigError, InputError
from ..layers import by_hand, first_column, run_layers, through
from ..modeling import OPTIONS, PreTrainedModel
from ..ops import losses
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.embedding import lookup, packed_ids, whole_batch
from ..ops.layout import Layout
from ..ops.rope import angles, rotate
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutput
from ..tokenization import PreTrainedTokenizer
from . import bert

FULL, SLIDING = "full_attention", "sliding_attention"
# what older files call the bases of the rotary angles, and their defaults
THETA = {SLIDING: ("local_rope_theta", 10_000.0), FULL: ("global_rope_theta", 160_000.0)}


class ModernBertConfig(PretrainedConfig):
    """Defaults are those of answerdotai/ModernBERT-base.

    Older files say global_attn_every_n_layers, global_rope_theta and local_rope_theta instead of layer_types and
    rope_parameters.
    """

    model_type = "modernbert"

    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    hidden_activation: str = "gelu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    initializer_cutoff_factor: float | None = 2.0
    norm_eps: float = 1e-5
    norm_bias: bool = False
    pad_token_id: int | None = 50283
    eos_token_id: int | None = 50282
    bos_token_id: int | None = 50281
    cls_token_id: int | None = 50281
    sep_token_id: int | None = 50282
    attention_bias: bool = False
    attention_dropout: float = 0.0
    layer_types: list[str] | None = None
    rope_parameters: dict[str, Any] | None = None
    local_attention: int = 128
    embedding_dropout: float = 0.0
    mlp_bias: bool = False
    mlp_dropout: float = 0.0
    decoder_bias: bool = True
    classifier_pooling: str = "cls"
    classifier_dropout: float = 0.0
    classifier_bias: bool = False
    classifier_activation: str = "gelu"
    deterministic_flash_attn: bool = False
    sparse_prediction: bool = False
    sparse_pred_ignore_index: int = -100

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.layer_types is None:
            every = getattr(self, "global_attn_every_n_layers", 3)
            self.layer_types = [SLIDING if i % every else FULL for i in range(self.num_hidden_layers)]
        given = self.rope_parameters or {}
        self.rope_parameters = {
            kind: {"rope_type": "default", "rope_theta": getattr(self, key, default), **(given.get(kind) or {})}
            for kind, (key, default) in THETA.items()
        }

    def longest_text(self) -> int | None:
        """No limit: positions are angles. The model was trained on `max_position_embeddings` of them."""
        return None

    def theta(self, kind: str) -> float:
        """The base of the rotary angles of layers of that kind."""
        given = (self.rope_parameters or {})[kind]
        if given["rope_type"] != "default":
            raise ConfigError(f"rope_parameters of {kind} have rope_type={given['rope_type']!r}; only default is here.")
        return float(given["rope_theta"])


def _norm(config: ModernBertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


class ModernBertEmbeddings(nn.Module):
    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.norm = _norm(config)
        self.drop = nn.Dropout(config.embedding_dropout)

    def forward(
        self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, layout: Layout | None = None
    ) -> Tensor:
        layout = whole_batch(self, input_ids, inputs_embeds) if layout is None else layout
        if inputs_embeds is None:  # (B, T) ids -> rows of D
            rows = lookup(self.tok_embeddings, layout.pack(input_ids), layout, "input_ids", "vocab_size")
        else:
            rows = layout.pack(inputs_embeds)
        return self.drop(self.norm(rows))


class ModernBertMLP(nn.Module):
    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.Wi = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=config.mlp_bias)
        self.act = activation(config.hidden_activation, "hidden_activation")
        self.drop = nn.Dropout(config.mlp_dropout)
        self.Wo = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)

    def forward(self, rows: Tensor) -> Tensor:
        inner, gate = self.Wi(rows).chunk(2, dim=-1)  # rows of F each
        return self.Wo(self.drop(self.act(inner) * gate))


class ModernBertRotaryEmbedding(nn.Module):
    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.width = bert.head_width(config)
        self.theta = {kind: config.theta(kind) for kind in sorted(set(config.layer_types or ()))}

    def forward(self, x: Tensor, position_ids: Tensor, layer_type: str) -> tuple[Tensor, Tensor]:
        return angles(position_ids, self.width, self.theta[layer_type])


def _turns(given: Mapping[str, Any]) -> dict[str, Any]:
    """What people who call a layer by hand give: the cosines and sines of its positions, (1 or B, T, d) each."""
    if given.get("position_embeddings") is None:
        raise InputError("position_embeddings are needed: model.rotary_emb(hidden, position_ids, layer_type).")
    return dict.fromkeys((FULL, SLIDING), given["position_embeddings"])


# a pass shares the turns of each kind of layer
by_hand_layer = by_hand(
    "hidden_states", "attention_mask", "position_embeddings", "head_mask", "output_attentions", shared=_turns
)
by_hand_attention = by_hand(
    "hidden_states", "position_embeddings", "attention_mask", "head_mask", "output_attentions", shared=_turns
)


class ModernBertAttention(nn.Module):
    def __init__(self, config: ModernBertConfig, kind: str) -> None:
        super().__init__()
        D = config.hidden_size
        self.num_attention_heads, self.kernel = config.num_attention_heads, config._attn_implementation
        self.kind, self.window = kind, config.local_attention // 2 if kind == SLIDING else None
        self.rate = config.attention_dropout
        self.Wqkv = nn.Linear(D, 3 * D, bias=config.attention_bias)
        self.Wo = nn.Linear(D, D, bias=config.attention_bias)
        self.out_drop = nn.Dropout(self.rate) if self.rate > 0 else nn.Identity()

    @by_hand_attention
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        query, key, value = self.Wqkv(rows).chunk(3, dim=-1)
        context, *weights = self.attend(query, key, value, step, head_mask)
        return self.out_drop(self.Wo(context)), *weights

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, head_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Rows of H · d each to the context."""
        cosines, sines = step.shared[self.kind]
        return attention(
            rotate(query, cosines, sines, self.num_attention_heads),
            rotate(key, cosines, sines, self.num_attention_heads),
            value,
            step,
            heads=self.num_attention_heads,
            window=self.window,
            dropout=self.rate if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


class ModernBertEncoderLayer(nn.Module):
    def __init__(self, config: ModernBertConfig, kind: str, first: bool) -> None:
        super().__init__()
        self.attn_norm = nn.Identity() if first else _norm(config)
        self.attn = ModernBertAttention(config, kind)
        self.mlp_norm = _norm(config)
        self.mlp = ModernBertMLP(config)

    def block(self) -> Block:
        inner, mlp = self.attn, self.mlp
        return Block(
            *(inner.num_attention_heads, (inner.Wqkv,), inner.Wo, self.attn_norm, mlp.Wi, mlp.act, mlp.Wo),
            *(self.mlp_norm, inner.attend),
            pre=True,
            gated=True,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.attn, self.attn_norm(rows), step, head_mask)
        rows = rows + context
        return rows + self.mlp(self.mlp_norm(rows)), *weights


class ModernBertPreTrainedModel(PreTrainedModel):
    """What ModernBERT's models share."""

    config_class = ModernBertConfig
    base_model_prefix = "model"
    SIGNATURE = ("input_ids", "attention_mask", "position_ids", "inputs_embeds", "labels", *OPTIONS)
    WORDS = "embeddings.tok_embeddings"

    def _init_weights(self, module: nn.Module) -> None:
        """Truncated normals; narrower where a residual is added to, by the number of layers."""
        super()._init_weights(module)
        std = self._std()
        narrow = std / math.sqrt(2 * self.config.num_hidden_layers)
        drawn: list[tuple[nn.Module, float]] = []
        if isinstance(module, (ModernBertMLP, ModernBertAttention)):
            drawn = [(module.Wi if isinstance(module, ModernBertMLP) else module.Wqkv, std), (module.Wo, narrow)]
        elif isinstance(module, ModernBertEmbeddings):
            drawn = [(module.tok_embeddings, std)]
        elif isinstance(module, ModernBertPredictionHead):
            drawn = [(module.dense, narrow)]
        elif isinstance(module, ModernBertForMaskedLM):
            drawn = [(module.decoder, narrow)]
        elif isinstance(module, _Classifier):
            drawn = [(module.classifier, self.config.hidden_size**-0.5)]
        cut = self.config.initializer_cutoff_factor or 3
        for part, spread in drawn:
            nn.init.trunc_normal_(part.weight, std=spread, a=-cut * spread, b=cut * spread)  # type: ignore[arg-type]


class ModernBertModel(ModernBertPreTrainedModel, Body):
    """The encoder: hidden states (B, T, D)."""

    EMBEDDED = ("input_ids", "inputs_embeds")

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config)
        self.embeddings = ModernBertEmbeddings(config)
        kinds = config.layer_types or []
        if len(kinds) != config.num_hidden_layers or set(kinds) - {FULL, SLIDING}:
            raise ConfigError(
                f"layer_types={kinds}: {config.num_hidden_layers} of {FULL!r} and {SLIDING!r} are needed."
            )
        self.layers = nn.ModuleList(ModernBertEncoderLayer(config, kind, i == 0) for i, kind in enumerate(kinds))
        self.final_norm = _norm(config)
        self.rotary_emb = ModernBertRotaryEmbedding(config)
        self.gradient_checkpointing = False
        self.post_init()

    def depth(self) -> int:
        """How many layers there are."""
        return len(self.layers)

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> dict[str, tuple[Tensor, Tensor]]:
        """The turns of each kind of layer."""
        given = inputs.get("position_ids")
        positions = layout.positions(rows.device) if given is None else packed_ids(given, layout, "position_ids")
        return {kind: self.rotary_emb(rows, positions, kind) for kind in self.rotary_emb.theta}

    def stack(self, rows: Tensor, step: Step, head_masks: Sequence[Tensor | None]) -> BaseModelOutput:
        """Rows through all layers and the last norm."""
        last = len(self.layers) - 1
        checkpointing = self.gradient_checkpointing and self.training
        after = lambda i, found: self.final_norm(found) if i == last else found  # noqa: E731
        return run_layers(self.layers, rows, step, head_masks, checkpointing=checkpointing, after=after)


class ModernBertPredictionHead(nn.Module):
    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, config.classifier_bias)
        self.act = activation(config.classifier_activation, "classifier_activation")
        self.norm = _norm(config)

    def forward(self, rows: Tensor) -> Tensor:
        return self.norm(self.act(self.dense(rows)))


class ModernBertForMaskedLM(ModernBertPreTrainedModel, heads.MaskedLM):
    """Fills in tokens. With `sparse_prediction` and labels, logits are of the labelled tokens alone, (N, V)."""

    TIED = {"decoder.weight": "model.embeddings.tok_embeddings.weight"}

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config)
        self.model = ModernBertModel(config)
        self.head = ModernBertPredictionHead(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=config.decoder_bias)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.decoder(self.head(rows))

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        labels = targets["labels"]
        if not self.config.sparse_prediction or labels is None:
            return super().results(body, layout, inputs, targets)
        chosen = labels.view(-1) != self.config.sparse_pred_ignore_index
        logits = self.decoder(self.head(layout.unpack(body.last_hidden_state).flatten(0, 1)[chosen]))
        return {"loss": losses.tokens(logits, labels.view(-1)[chosen], targets.get(heads.ITEMS)), "logits": logits}


class _Classifier(ModernBertPreTrainedModel):
    """ModernBERT with a head, dropout and a linear layer."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config)
        if config.classifier_pooling not in ("cls", "mean"):
            raise ConfigError(f"classifier_pooling={config.classifier_pooling!r} is unknown; it is cls or mean.")
        self.model = ModernBertModel(config)
        self.head = ModernBertPredictionHead(config)
        self.drop = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, self.labels())
        self.post_init()

    def labels(self) -> int:
        return self.num_labels

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(self.drop(self.head(rows)))


class _TextClassifier(_Classifier):
    """One that reads a vector of a text: the first column, or the mean over real tokens."""

    READS = "first"

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config)
        if config.classifier_pooling == "mean":
            self.READS = "tokens"

    def logits_of_texts(self, body: Any, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """(B, C)"""
        rows = body.last_hidden_state
        if self.READS == "first":
            return self.compute_logits(self.chosen(rows, layout))
        real = layout.unpack(rows.new_ones(*rows.shape[:-1], 1))  # (B, T, 1)
        real = real if layout.real is None else layout.real[..., None].to(rows.dtype).expand_as(real)
        return self.compute_logits((layout.unpack(rows) * real).sum(dim=1) / real.sum(dim=1))

    def chosen(self, rows: Tensor, layout: Layout) -> Tensor:
        """(B, D) the first column."""
        return first_column(layout.with_first(rows))


class ModernBertForSequenceClassification(_TextClassifier, heads.SequenceClassification):
    pass


class ModernBertForMultipleChoice(_TextClassifier, heads.MultipleChoice):
    """Chooses one of several texts, by the first token that is no padding."""

    def labels(self) -> int:
        return 1  # one score a choice

    def chosen(self, rows: Tensor, layout: Layout) -> Tensor:
        if layout.real is None:
            return super().chosen(rows, layout)
        return rows[torch.arange(len(rows), device=rows.device), layout.real.int().argmax(dim=-1)]


class ModernBertForTokenClassification(_Classifier, heads.TokenClassification):
    pass


class ModernBertForQuestionAnswering(_Classifier, heads.QuestionAnswering):
    pass


MODEL_TYPES = {"modernbert": ModernBertConfig}
TOKENIZER = PreTrainedTokenizer
HEADS = {
    "base": ModernBertModel,
    "masked-lm": ModernBertForMaskedLM,
    "sequence-classification": ModernBertForSequenceClassification,
    "token-classification": ModernBertForTokenClassification,
    "question-answering": ModernBertForQuestionAnswering,
    "multiple-choice": ModernBertForMultipleChoice,
}
TINY = {
    **{key: value for key, value in bert.TINY.items() if key != "type_vocab_size"},
    "num_hidden_layers": 4,
    "local_attention": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
}
