"""ALBERT: BERT's encoder with one layer's weights used many times over, and narrow embeddings.

Source: Lan et al. 2020 (arXiv 1909.11942); google-research/albert.
Letters: B batch, T columns, D width, E width of the embeddings, V vocabulary, C labels. "rows": see ops/layout.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, normalizers
from torch import Tensor, nn

from .. import heads
from ..bodies import Body
from ..config import PretrainedConfig
from ..layers import LAYER, STACK, HeadMasks, by_hand, first_column, run_layers, through
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.step import Step
from ..optimize import Block
from ..outputs import BaseModelOutput, BaseModelOutputWithPooling, ModelOutput
from ..pruning import keep, remaining
from ..tokenization import SentencePieceModel, SentencePieceTokenizer
from . import bert


class AlbertConfig(PretrainedConfig):
    """Defaults are those of albert-xxlarge-v2."""

    model_type = "albert"

    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 4096
    num_hidden_layers: int = 12
    num_hidden_groups: int = 1
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    inner_group_num: int = 1
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    classifier_dropout_prob: float | None = 0.1
    position_embedding_type: str = "absolute"
    pad_token_id: int | None = 0
    bos_token_id: int | None = 2
    eos_token_id: int | None = 3


class AlbertTokenizer(SentencePieceTokenizer):
    """SentencePiece with BERT's special tokens: [CLS] A [SEP], or [CLS] A [SEP] B [SEP].

    `do_lower_case` (default True); `keep_accents` (default False).
    """

    TOKENS = {
        "bos_token": "[CLS]",
        "eos_token": "[SEP]",
        "unk_token": "<unk>",
        "sep_token": "[SEP]",
        "pad_token": "<pad>",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    _options = (*SentencePieceTokenizer._options, "do_lower_case", "keep_accents")

    def __init__(self, *args: Any, do_lower_case: bool = True, keep_accents: bool = False, **kwargs: Any) -> None:
        self.do_lower_case, self.keep_accents = do_lower_case, keep_accents
        super().__init__(*args, **kwargs, do_lower_case=do_lower_case, keep_accents=keep_accents)

    def numbered(self, file: SentencePieceModel, special: dict[str, str]) -> tuple[list[tuple[str, float]], int]:
        """The file's pieces; those with a comma after a digit, which ALBERT splits, get a score that none beats."""
        pieces = [(piece, score - 100 * _splits(piece)) for piece, score in file.pieces]
        return pieces, file.unknown

    def normalizing(self, charsmap: list[Any]) -> Any:
        """Quotation marks of old corpora, accents and case, then what the file says."""
        steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
        if not self.keep_accents:
            steps += [normalizers.NFKD(), normalizers.StripAccents()]
        if self.do_lower_case:
            steps.append(normalizers.Lowercase())
        return normalizers.Sequence([*steps, *charsmap, normalizers.Replace(Regex(" {2,}"), " ")])


AlbertTokenizerFast = AlbertTokenizer


def _splits(piece: str) -> bool:
    return len(piece) >= 2 and piece.endswith(",") and piece[-2].isdigit()


class AlbertAttention(nn.Module):
    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.num_attention_heads, self.attention_head_size = config.num_attention_heads, bert.head_width(config)
        self.kernel = config._attn_implementation
        self.attention_dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.output_dropout = nn.Dropout(config.hidden_dropout_prob)
        self.query = nn.Linear(D, D)
        self.key = nn.Linear(D, D)
        self.value = nn.Linear(D, D)
        self.dense = nn.Linear(D, D)
        self.LayerNorm = nn.LayerNorm(D, eps=config.layer_norm_eps)
        self.pruned_heads: set[int] = set()

    def prune_heads(self, heads: list[int]) -> None:
        going, stay = remaining(heads, self.pruned_heads, self.num_attention_heads, self.attention_head_size)
        self.query, self.key, self.value = (keep(x, stay) for x in (self.query, self.key, self.value))
        self.dense = keep(self.dense, stay, dim=1)
        self.num_attention_heads -= len(going)
        self.pruned_heads |= going

    all_head_size = bert.BertSelfAttention.all_head_size

    @by_hand(*LAYER)
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = attention(
            *(self.query(rows), self.key(rows), self.value(rows), step),
            heads=self.num_attention_heads,
            dropout=self.attention_dropout.p if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )
        return self.LayerNorm(rows + self.output_dropout(self.dense(context))), *weights


class AlbertLayer(nn.Module):
    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.full_layer_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = AlbertAttention(config)
        self.ffn = nn.Linear(config.hidden_size, config.intermediate_size)
        self.ffn_output = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation = activation(config.hidden_act)

    def as_block(self) -> Block:
        inner = self.attention
        return Block(
            *(inner.num_attention_heads, (inner.query, inner.key, inner.value), inner.dense, inner.LayerNorm),
            *(self.ffn, self.activation, self.ffn_output, self.full_layer_layer_norm),
            repeats=True,
        )

    @by_hand(*LAYER, "output_hidden_states")
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        rows, *weights = through(self.attention, rows, step, head_mask)
        return self.full_layer_layer_norm(self.ffn_output(self.activation(self.ffn(rows))) + rows), *weights


class AlbertLayerGroup(nn.Module):
    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.albert_layers = nn.ModuleList(AlbertLayer(config) for _ in range(config.inner_group_num))

    def block(self) -> Block | None:
        only: Any = self.albert_layers[0]
        return only.as_block() if len(self.albert_layers) == 1 else None

    @by_hand(*LAYER, "output_hidden_states")
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Any, ...]:
        weights: list[Tensor] = []
        for layer in self.albert_layers:
            rows, *more = through(layer, rows, step, head_mask)
            weights += more
        return (rows, tuple(weights)) if step.output_attentions else (rows,)


class AlbertTransformer(nn.Module):
    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.layers, self.groups = config.num_hidden_layers, config.num_hidden_groups
        self.embedding_hidden_mapping_in = nn.Linear(config.embedding_size, config.hidden_size)
        self.albert_layer_groups = nn.ModuleList(AlbertLayerGroup(config) for _ in range(self.groups))
        self.gradient_checkpointing = False

    @by_hand(*STACK)
    def forward(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> BaseModelOutput:
        rows = self.embedding_hidden_mapping_in(rows)  # rows of E -> rows of D
        uses = [int(i / (self.layers / self.groups)) for i in range(self.layers)]
        checkpointing = self.gradient_checkpointing and self.training
        return run_layers(self.albert_layer_groups, rows, step, head_masks, checkpointing=checkpointing, uses=uses)


class AlbertPreTrainedModel(PreTrainedModel):
    """What ALBERT's models share."""

    config_class = AlbertConfig
    base_model_prefix = "albert"
    SIGNATURE = (*bert.INPUTS, "labels", *OPTIONS)
    OPTIONAL = ("pooler.",)

    def make_body(self, config: AlbertConfig, pooling: bool) -> AlbertModel:
        """The encoder under a head."""
        return AlbertModel(config, add_pooling_layer=pooling)


class AlbertModel(AlbertPreTrainedModel, Body):
    """The encoder: hidden states (B, T, D), and of the first column through a linear layer and tanh (B, D)."""

    OUTPUT = BaseModelOutputWithPooling

    def __init__(self, config: AlbertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = bert.BertEmbeddings(config, config.embedding_size)
        self.encoder = AlbertTransformer(config)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size) if add_pooling_layer else None
        self.pooler_activation = nn.Tanh() if add_pooling_layer else None
        self.post_init()

    def _attentions(self) -> list[Any]:
        groups: Any = self.encoder.albert_layer_groups
        return [layer.attention for group in groups for layer in group.albert_layers]

    def depth(self) -> int:
        """How many layers there are: uses of groups."""
        return self.encoder.layers

    def pool(self, rows: Tensor) -> Tensor:
        """The vector of a text, (B, D), from what holds its first column."""
        return self.pooler_activation(self.pooler(first_column(rows)))  # type: ignore[misc]


class AlbertMLMHead(nn.Module):
    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.dense = nn.Linear(config.hidden_size, config.embedding_size)
        self.decoder = nn.Linear(config.embedding_size, config.vocab_size)
        self.bias = self.decoder.bias  # checkpoints have it under both names
        self.activation = activation(config.hidden_act)

    def forward(self, rows: Tensor) -> Tensor:
        return self.decoder(self.LayerNorm(self.activation(self.dense(rows))))  # rows of D -> rows of V


class AlbertSOPHead(nn.Module):
    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout_prob or 0.0)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.classifier(self.dropout(pooled))


TIED = {
    "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
    "predictions.decoder.bias": "predictions.bias",
}


@dataclass
class AlbertForPreTrainingOutput(ModelOutput):
    """`prediction_logits` (B, T, V); `sop_logits` (B, 2): column 0 says that the texts are in their order."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    sop_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class AlbertForPreTraining(AlbertPreTrainedModel, heads.PreTraining):
    """With both heads it was pretrained with: tokens, and whether two texts are in their order."""

    TIED = TIED
    OUTPUT = AlbertForPreTrainingOutput
    TARGETS = ("labels", "sentence_order_label")
    PAIR = ("sentence_order_label", "sop_logits")

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__(config)
        self.albert = AlbertModel(config)
        self.predictions = AlbertMLMHead(config)
        self.sop_classifier = AlbertSOPHead(config)
        self.post_init()

    def compute_both(self, rows: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        return self.predictions(rows), self.sop_classifier(pooled)


class AlbertForMaskedLM(AlbertPreTrainedModel, heads.MaskedLM):
    TIED = TIED

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__(config)
        self.albert = AlbertModel(config, add_pooling_layer=False)
        self.predictions = AlbertMLMHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.predictions(rows)


class AlbertForSequenceClassification(AlbertPreTrainedModel, bert.Classifier, heads.SequenceClassification):
    pass


class AlbertForMultipleChoice(AlbertPreTrainedModel, bert.ChoiceClassifier):
    pass


class AlbertForTokenClassification(AlbertPreTrainedModel, bert.TokenClassifier):
    pass


class AlbertForQuestionAnswering(AlbertPreTrainedModel, bert.SpanClassifier):
    pass


MODEL_TYPES = {"albert": AlbertConfig}
TOKENIZER = AlbertTokenizer
HEADS = {
    "base": AlbertModel,
    "pretraining": AlbertForPreTraining,
    "masked-lm": AlbertForMaskedLM,
    "sequence-classification": AlbertForSequenceClassification,
    "token-classification": AlbertForTokenClassification,
    "question-answering": AlbertForQuestionAnswering,
    "multiple-choice": AlbertForMultipleChoice,
}
TINY = {**bert.TINY, "embedding_size": 24, "num_hidden_layers": 4, "num_hidden_groups": 2}
