"""TAPAS: BERT that reads a question and a table, and selects cells and what to do with them.

Source: Herzig et al. 2020 (arXiv 2004.02349); google-research/tapas.
Letters: B batch, T columns of tokens, D width, R rows and C columns of a table, A aggregations. "rows" alone are of
hidden states: see ops/layout.py.

    [CLS] question [SEP] header cells …     each token with 7 types: segment, column, row, whether it answered the
      0      0       0    1  0   1  1       question before, rank in its column, rank from the end, relation to the
                                            question's numbers
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import heads
from ..bodies import Body
from ..config import PretrainedConfig
from ..errors import ConfigError, InputError
from ..modeling import OPTIONS, PreTrainedModel
from ..ops import cells as ops
from ..ops.embedding import lookup, packed_ids, whole_batch
from ..ops.layout import Layout
from ..outputs import BaseModelOutputWithPooling, TableQuestionAnsweringOutput
from ..tokenization import TableTokenizer
from . import bert


class TapasConfig(PretrainedConfig):
    """Defaults are those of google/tapas-base-finetuned-sqa."""

    model_type = "tapas"
    position_embedding_type: ClassVar[str] = "absolute"  # which BERT's layers ask for

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 1024
    type_vocab_sizes: tuple[int, ...] = (3, 256, 256, 2, 256, 256, 10)
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    positive_label_weight: float = 10.0
    num_aggregation_labels: int = 0
    aggregation_loss_weight: float = 1.0
    use_answer_as_supervision: bool | None = None
    answer_loss_importance: float = 1.0
    use_normalized_answer_loss: bool = False
    huber_loss_delta: float | None = None
    temperature: float = 1.0
    aggregation_temperature: float = 1.0
    use_gumbel_for_cells: bool = False
    use_gumbel_for_aggregation: bool = False
    average_approximation_function: str = "ratio"
    cell_selection_preference: float | None = None
    answer_loss_cutoff: float | None = None
    max_num_rows: int = 64
    max_num_columns: int = 32
    average_logits_per_cell: bool = False
    select_one_column: bool = True
    allow_empty_column_selection: bool = False
    init_cell_selection_weights_to_zero: bool = False
    reset_position_index_per_cell: bool = True
    disable_per_token_loss: bool = False
    aggregation_labels: dict[int, str] | None = None
    no_aggregation_label_index: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.aggregation_labels, dict):  # JSON's keys are never numbers
            self.aggregation_labels = {int(number): label for number, label in self.aggregation_labels.items()}

    def longest_text(self) -> int | None:
        """None where positions start anew in each cell: the last one then serves for all after it."""
        return None if self.reset_position_index_per_cell else super().longest_text()


class TapasTokenizer(TableTokenizer):
    """A question and a table, as [CLS] question [SEP] header cells, with 7 types for each token."""


class TapasEmbeddings(nn.Module):
    """Words, positions, which may start anew in each cell, and one table for each kind of type."""

    def __init__(self, config: TapasConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.sizes, self.resets = tuple(config.type_vocab_sizes), config.reset_position_index_per_cell
        self.word_embeddings = nn.Embedding(config.vocab_size, D, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, D)
        for kind, size in enumerate(self.sizes):
            self.add_module(f"token_type_embeddings_{kind}", nn.Embedding(size, D))
        self.LayerNorm = nn.LayerNorm(D, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    position_ids = bert.BertEmbeddings.position_ids

    def positions(self, types: Tensor, layout: Layout) -> Tensor:
        """(B, T) the columns, counted from the first one of the cell where positions start anew in each."""
        columns = torch.arange(layout.columns, device=types.device).expand(layout.batch, -1)
        if not self.resets:
            return columns
        C, R = self.sizes[1:3]
        cell = types[..., 1].clamp(0, C - 1) * R + types[..., 2].clamp(0, R - 1)
        first = columns.new_full((layout.batch, C * R), layout.columns).scatter_reduce(1, cell, columns, "amin")
        return (columns - first.gather(1, cell)).clamp(max=self.position_embeddings.num_embeddings - 1)

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        layout: Layout | None = None,
    ) -> Tensor:
        layout = whole_batch(self, input_ids, inputs_embeds) if layout is None else layout
        if inputs_embeds is None:  # (B, T) ids -> rows of D
            rows = lookup(self.word_embeddings, layout.pack(input_ids), layout, "input_ids", "vocab_size")
        else:
            rows = layout.pack(inputs_embeds)
        types = whole_types(token_type_ids, layout, len(self.sizes), rows.device)
        for kind in range(len(self.sizes)):
            table, own = getattr(self, f"token_type_embeddings_{kind}"), packed_ids(types[..., kind], layout, "types")
            rows = rows + lookup(table, own, layout, f"token_type_ids[…, {kind}]", f"type_vocab_sizes[{kind}]")
        position_ids = self.positions(types, layout) if position_ids is None else position_ids
        positions = packed_ids(position_ids, layout, "position_ids")
        rows = rows + lookup(self.position_embeddings, positions, layout, "position_ids", "max_position_embeddings")
        return self.dropout(self.LayerNorm(rows))


def whole_types(types: Tensor | None, layout: Layout, kinds: int, device: torch.device) -> Tensor:
    """(B, T, kinds) token types, zeros where there are none. Raises InputError for another shape."""
    shape = (layout.batch, layout.columns, kinds)
    if types is None:
        return torch.zeros(shape, dtype=torch.long, device=device)
    if tuple(types.shape) not in (shape, (1, *shape[1:])) or types.is_floating_point():
        raise InputError(
            f"token_type_ids has shape {tuple(types.shape)} and type {types.dtype}; TAPAS reads {kinds} integers for "
            f"each token, {shape}, as TapasTokenizer gives them."
        )
    return types.expand(shape)


class TapasPreTrainedModel(PreTrainedModel):
    """What TAPAS' models share."""

    config_class = TapasConfig
    base_model_prefix = "tapas"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*bert.INPUTS, "labels", *OPTIONS)
    OPTIONAL = ("pooler.",)

    def make_body(self, config: TapasConfig, pooling: bool) -> TapasModel:
        """The encoder under a head."""
        return TapasModel(config, add_pooling_layer=pooling)


class TapasModel(TapasPreTrainedModel, Body):
    """The encoder, as BERT's; token_type_ids are (B, T, 7)."""

    SIGNATURE = (*bert.INPUTS, *bert.CROSS, *OPTIONS)
    OUTPUT = BaseModelOutputWithPooling

    def __init__(self, config: TapasConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = TapasEmbeddings(config)
        self.encoder = bert.BertEncoder(config)
        self.pooler = bert.BertPooler(config) if add_pooling_layer else None
        self.post_init()

    def _attentions(self) -> list[Any]:
        return [layer.attention for layer in self.encoder.layer]


class TapasForMaskedLM(TapasPreTrainedModel, heads.MaskedLM):
    SIGNATURE = (*bert.INPUTS, *bert.CROSS, "labels", *OPTIONS)
    TIED = {name: owner.replace("bert.", "tapas.") for name, owner in bert.TIED.items()}

    def __init__(self, config: TapasConfig) -> None:
        super().__init__(config)
        self.tapas = TapasModel(config, add_pooling_layer=False)
        self.cls = bert.BertOnlyMLMHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.cls(rows)


class TapasForSequenceClassification(TapasPreTrainedModel, bert.Classifier, heads.SequenceClassification):
    pass


class TapasForQuestionAnswering(TapasPreTrainedModel, heads.Head):
    """Select the cells of an answer, and an aggregation of them.

    token_type_ids: (B, T, 7). labels (B, T): 1 for tokens of the answer. aggregation_labels (B,) in [0, A).
    With `use_answer_as_supervision` instead of the latter: float_answer (B,), NaN where the answer is no number, and
    numeric_values and numeric_values_scale (B, T), as TapasTokenizer gives them. table_mask (B, T): which tokens are of
    cells, where it is not what the types say.
    """

    OUTPUT = TableQuestionAnsweringOutput
    TARGETS = (
        *("table_mask", "labels", "aggregation_labels"),
        *("float_answer", "numeric_values", "numeric_values_scale"),
    )

    def __init__(self, config: TapasConfig) -> None:
        super().__init__(config)
        self.tapas = TapasModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.output_weights = nn.Parameter(torch.empty(config.hidden_size))
        self.column_output_weights = nn.Parameter(torch.empty(config.hidden_size))
        self.output_bias = nn.Parameter(torch.empty([]))
        self.column_output_bias = nn.Parameter(torch.empty([]))
        if config.num_aggregation_labels > 0:
            self.aggregation_classifier = nn.Linear(config.hidden_size, config.num_aggregation_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            zero = self.config.init_cell_selection_weights_to_zero
            for weight in (self.output_weights, self.column_output_weights):
                nn.init.normal_(weight, std=0.0 if zero else self._std())
            for bias in (self.output_bias, self.column_output_bias):
                nn.init.zeros_(bias)

    def needs_padding(self, inputs: dict[str, Any], targets: dict[str, Any]) -> bool:
        return True  # the mean of what is in no cell is that of the question and the padding

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        config = self.config
        tokens = self.dropout(body.last_hidden_state)  # (B, T, D)
        types = whole_types(inputs.get("token_type_ids"), layout, len(config.type_vocab_sizes), tokens.device)
        shape = tokens.shape[:2]
        real = tokens.new_ones(shape) if layout.tokens is None else layout.tokens.to(tokens.dtype).expand(shape)
        cells = ops.Cells(types[..., 2], types[..., 1], real, (config.max_num_rows, config.max_num_columns))
        logits = (tokens @ self.output_weights + self.output_bias) / config.temperature  # (B, T)
        labels, columns = targets["labels"], None
        if config.average_logits_per_cell and (labels is not None or not config.select_one_column):
            logits = cells.spread(cells.mean(logits))
        of_tokens = logits
        if config.select_one_column:
            columns = tokens @ self.column_output_weights + self.column_output_bias
            columns = cells.column_logits(columns, config.allow_empty_column_selection)  # (B, C)
            logits = cells.of_best_column(of_tokens, columns)
        aggregation = self.aggregation_classifier(body.pooler_output) if config.num_aggregation_labels > 0 else None
        loss = None
        if labels is not None:
            if tuple(labels.shape) != tuple(shape):
                raise InputError(f"labels has shape {tuple(labels.shape)}; give 0 or 1 for each token, {tuple(shape)}.")
            if columns is None:
                selection = ops.token_loss(of_tokens, labels, real, config.positive_label_weight)
            else:
                selection = cells.column_loss(of_tokens, columns, labels)
            if targets["table_mask"] is None:
                targets["table_mask"] = types[..., 2] > 0
            loss = self._loss(selection, logits, aggregation, targets).mean()
        return {"loss": loss, "logits": logits.to(tokens.dtype), "logits_aggregation": aggregation}

    def _loss(self, selection: Tensor, logits: Tensor, aggregation: Tensor | None, targets: dict[str, Any]) -> Tensor:
        """(B,) from the losses of the cells (B,), and the logits of tokens (B, T) and aggregations (B, A)."""
        config, labels = self.config, targets["labels"]
        if config.disable_per_token_loss:
            selection = torch.zeros_like(selection)
        if aggregation is None:
            return selection
        if not config.use_answer_as_supervision:
            wanted = self._needed(targets, "aggregation_labels", "use_answer_as_supervision off")
            of_kind = torch.nn.functional.cross_entropy(aggregation, wanted, reduction="none")
            return selection + config.aggregation_loss_weight * of_kind
        names = ("float_answer", "numeric_values", "numeric_values_scale")
        answer, values, scale = (self._needed(targets, name, "use_answer_as_supervision") for name in names)
        average = ops.AVERAGES.get(config.average_approximation_function)
        delta, preference = config.huber_loss_delta, config.cell_selection_preference
        relative = config.use_normalized_answer_loss
        if average is None or preference is None or (delta is None and not relative):
            raise ConfigError(
                f"average_approximation_function={config.average_approximation_function!r}, cell_selection_preference="
                f"{preference}, huber_loss_delta={delta}: learning from answers needs one of "
                f"{', '.join(ops.AVERAGES)}, a probability, and a number (or use_normalized_answer_loss)."
            )
        mask = ops.aggregates(answer, aggregation, labels, preference)
        temperature = config.temperature if config.use_gumbel_for_cells else None
        found = ops.answers(logits, values, scale, targets["table_mask"], average, temperature)
        found = ops.expected(found, aggregation, config.aggregation_temperature, config.use_gumbel_for_aggregation)
        of_answer = ops.answer_loss(found, answer, mask, None if relative else delta)
        of_kind = config.aggregation_loss_weight * ops.some_aggregation_loss(aggregation, mask)
        more = of_kind + config.answer_loss_importance * of_answer * mask
        if config.answer_loss_cutoff is not None:
            more = more * (of_answer <= config.answer_loss_cutoff)
        return selection * (1 - mask) + more

    def _needed(self, targets: dict[str, Any], name: str, why: str) -> Any:
        if targets[name] is None:
            raise InputError(f"{type(self).__name__} with {why} needs {name} beside labels.")
        return targets[name]


MODEL_TYPES = {"tapas": TapasConfig}
TOKENIZER = TapasTokenizer
HEADS = {
    "base": TapasModel,
    "masked-lm": TapasForMaskedLM,
    "sequence-classification": TapasForSequenceClassification,
    "table-question-answering": TapasForQuestionAnswering,
}
TINY = {
    **{key: value for key, value in bert.TINY.items() if key != "type_vocab_size"},
    "type_vocab_sizes": [3, 5, 4, 2, 6, 7, 8],
    "num_aggregation_labels": 4,
    "max_num_rows": 6,
    "max_num_columns": 5,
}
