"""ModernBERT: a BERT with rotary positions, gated feed-forwards, normalisation first, and mostly local attention.

Source: Warner et al. 2024 (arXiv 2412.13663); AnswerDotAI/ModernBERT.
Letters: B batch, T columns, D width, F width of the feed-forward, H heads, d width of a head, V vocabulary, C labels.
"rows": see ops/layout.py.

    rows ─┬─ norm ─ rotary attention ─(+)─┬─ norm ─ dense ─ gelu · gate ─ dense ─(+)─▶
          └────────────────────────────┘   └──────────────────────────────────┘
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .. import heads
from ..config import PretrainedConfig
from ..errors import ConfigError
from ..modeling import PreTrainedModel, run_layers
from ..ops import losses
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.embedding import lookup, packed_ids
from ..ops.layout import Layout
from ..ops.rope import angles, rotate
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

    def forward(self, layout: Layout, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
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

    def forward(self, positions: Tensor, kind: str) -> tuple[Tensor, Tensor]:
        return angles(positions, self.width, self.theta[kind])


class ModernBertAttention(nn.Module):
    def __init__(self, config: ModernBertConfig, kind: str) -> None:
        super().__init__()
        D = config.hidden_size
        self.num_attention_heads, self.kernel = config.num_attention_heads, config._attn_implementation
        self.window = config.local_attention // 2 if kind == SLIDING else None
        self.rate = config.attention_dropout
        self.Wqkv = nn.Linear(D, 3 * D, bias=config.attention_bias)
        self.Wo = nn.Linear(D, D, bias=config.attention_bias)
        self.out_drop = nn.Dropout(self.rate) if self.rate > 0 else nn.Identity()

    def forward(
        self,
        rows: Tensor,
        layout: Layout,
        head_mask: Tensor | None,
        output_attentions: bool,
        turns: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor | None]:
        query, key, value = self.Wqkv(rows).chunk(3, dim=-1)
        context, weights = attention(
            rotate(query, *turns, self.num_attention_heads),
            rotate(key, *turns, self.num_attention_heads),
            value,
            layout,
            heads=self.num_attention_heads,
            window=self.window,
            dropout=self.rate if self.training else 0.0,
            head_mask=head_mask,
            return_weights=output_attentions,
            kernel=self.kernel,
        )
        return self.out_drop(self.Wo(context)), weights


class ModernBertEncoderLayer(nn.Module):
    def __init__(self, config: ModernBertConfig, kind: str, first: bool) -> None:
        super().__init__()
        self.kind = kind
        self.attn_norm = nn.Identity() if first else _norm(config)
        self.attn = ModernBertAttention(config, kind)
        self.mlp_norm = _norm(config)
        self.mlp = ModernBertMLP(config)

    def forward(
        self,
        rows: Tensor,
        layout: Layout,
        head_mask: Tensor | None,
        output_attentions: bool,
        turns: dict[str, tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, Tensor | None]:
        context, weights = self.attn(self.attn_norm(rows), layout, head_mask, output_attentions, turns[self.kind])
        rows = rows + context
        return rows + self.mlp(self.mlp_norm(rows)), weights


class ModernBertPreTrainedModel(PreTrainedModel):
    """What ModernBERT's models share."""

    config_class = ModernBertConfig
    base_model_prefix = "model"
    INPUTS = ("input_ids", "attention_mask", "position_ids", "inputs_embeds")

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of word embeddings."""
        return self.base_model.embeddings.tok_embeddings  # type: ignore[union-attr, return-value]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of word embeddings."""
        self.base_model.embeddings.tok_embeddings = value  # type: ignore[union-attr]

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


class ModernBertModel(ModernBertPreTrainedModel):
    """The encoder: hidden states (B, T, D)."""

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

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        layout: Layout | None = None,
    ) -> Any:
        """Encode a batch.

        input_ids, attention_mask (1 real, 0 padding), position_ids: integers (B, T).
        inputs_embeds: (B, T, D) instead of input_ids.
        layout: the batch's layout when a head made it; the last hidden state then stays in its rows.
        Hidden states are zeros at padding.
        """
        given = layout is not None
        if layout is None:
            layout = self.layout(input_ids, attention_mask, inputs_embeds)
        rows = self.embeddings(layout, input_ids, inputs_embeds)
        positions = (
            layout.positions(rows.device) if position_ids is None else packed_ids(position_ids, layout, "position_ids")
        )
        turns = {kind: self.rotary_emb(positions, kind) for kind in self.rotary_emb.theta}
        rows, states, weights = run_layers(
            [partial(layer, turns=turns) for layer in self.layers],
            rows,
            layout,
            self.head_masks(None, len(self.layers)),
            checkpointing=self.gradient_checkpointing and self.training,
            **self.options(output_attentions=output_attentions, output_hidden_states=output_hidden_states),
        )
        rows = self.final_norm(rows)
        whole = rows if given else layout.unpack(rows)
        if states is not None:
            states = (*states[:-1], layout.unpack(rows))  # the last one is normalised
        return self.returned(BaseModelOutput(whole, states, weights), return_dict)


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

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.decoder(self.head(body.last_hidden_state))

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
        self.num_labels = config.num_labels
        self.model = ModernBertModel(config)
        self.head = ModernBertPredictionHead(config)
        self.drop = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, self.labels())
        self.post_init()

    def labels(self) -> int:
        return self.num_labels

    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.classifier(self.drop(self.head(body.last_hidden_state)))

    def pooled(self, rows: Tensor, layout: Layout) -> Tensor:
        """(B, D): the first column, or the mean over real tokens."""
        if self.config.classifier_pooling == "cls":
            return layout.first(rows)
        whole, seen = layout.unpack(rows), layout.visible()
        if seen is None:
            return whole.mean(dim=1)
        real = seen.flatten(1, 2)[:, 0, :, None].to(whole.dtype)  # (B, T, 1)
        return (whole * real).sum(dim=1) / real.sum(dim=1)


class ModernBertForSequenceClassification(_Classifier, heads.SequenceClassification):
    def score(self, body: Any, layout: Layout) -> Tensor:
        return self.classifier(self.drop(self.head(self.pooled(body.last_hidden_state, layout))))


class ModernBertForMultipleChoice(_Classifier, heads.MultipleChoice):
    """Chooses one of several texts, by the first token that is no padding."""

    def labels(self) -> int:
        return 1  # one score a choice

    def score(self, body: Any, layout: Layout) -> Tensor:
        rows = body.last_hidden_state
        if layout.mask is not None and self.config.classifier_pooling == "cls":
            first = layout.mask.flatten(1, -2)[:, 0] if layout.mask.dim() > 2 else layout.mask
            chosen = rows[torch.arange(len(rows), device=rows.device), first.int().argmax(dim=-1)]
        else:
            chosen = self.pooled(rows, layout)
        return self.classifier(self.drop(self.head(chosen)))


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
