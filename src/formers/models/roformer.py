"""RoFormer: BERT whose queries and keys are turned by their positions, instead of positions in the embeddings.

Source: Su et al. 2021 (arXiv 2104.09864); ZhuiyiTechnology/roformer.
Letters: B batch, T columns, D width, E width of the embeddings, d width of a head, P positions. "rows": see
ops/layout.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import heads
from ..layers import HeadMasks, by_hand, first_column
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.activations import activation
from ..ops.embedding import fill_sinusoids, lookup
from ..ops.layout import Layout
from ..ops.rope import rotate
from ..ops.step import Step
from ..outputs import BaseModelOutput, BaseModelOutputWithPastAndCrossAttentions
from ..tokenization.jieba import JiebaTokenizer
from . import bert, electra


class RoFormerConfig(bert.BertConfig):
    """Defaults are those of junnyu/roformer_chinese_base."""

    model_type = "roformer"

    vocab_size: int = 50000
    embedding_size: int | None = None
    max_position_embeddings: int = 1536
    rotary_value: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.embedding_size = self.embedding_size or self.hidden_size


class RoFormerTokenizer(JiebaTokenizer, bert.BertTokenizer):
    """BERT's tokenizer on the words of Chinese text that jieba finds."""


RoFormerTokenizerFast = RoFormerTokenizer


class RoFormerSinusoidalPositionalEmbedding(nn.Embedding):
    """A fixed table (P, d): sines of all angles, then their cosines."""

    def forward(self, input_ids_shape: Any, past_key_values_length: int = 0, position_ids: Any = None) -> Tensor:
        """Positions, or by hand the shape (B, T) of a batch, to rows of the table."""
        if isinstance(input_ids_shape, Tensor):
            position_ids = input_ids_shape
        elif position_ids is None:
            position_ids = torch.arange(input_ids_shape[1], device=self.weight.device) + past_key_values_length
        return super().forward(position_ids)


class RoFormerEmbeddings(bert.BertEmbeddings):
    def __init__(self, config: RoFormerConfig) -> None:
        super().__init__(config, config.embedding_size)
        del self.position_embeddings
        self.absolute = False

    def forward(  # type: ignore[override]  # in an order of its own
        self, input_ids: Any = None, token_type_ids: Any = None, inputs_embeds: Any = None, **options: Any
    ) -> Tensor:
        return super().forward(input_ids, token_type_ids, inputs_embeds=inputs_embeds, **options)


def _turns(given: Mapping[str, Any]) -> tuple[Tensor, Tensor] | None:
    """What people who call a layer by hand give: sines and cosines, (1, 1, T, d)."""
    table = given.get("sinusoidal_pos")
    return None if table is None else _both(table.flatten(0, 1))


def _both(table: Tensor) -> tuple[Tensor, Tensor]:
    """Sines and cosines (…, d) to cosines and sines (…, d) of neighbouring numbers, which turn together."""
    sines, cosines = (x.repeat_interleave(2, dim=-1) for x in table.chunk(2, dim=-1))
    return cosines, sines


by_hand_layer = by_hand(*bert.LAYER[:2], "sinusoidal_pos", *bert.LAYER[2:], shared=_turns)


class RoFormerSelfAttention(bert.BertSelfAttention):
    def __init__(self, config: RoFormerConfig, position_embedding_type: str | None = None) -> None:
        super().__init__(config, position_embedding_type)
        self.rotary_value = config.rotary_value

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        step: Step,
        head_mask: Tensor | None = None,
        memory: Layout | None = None,
    ) -> tuple[Tensor, ...]:
        if step.shared is not None and memory is None:
            cosines, sines = step.shared
            query, key = (rotate(x, cosines, sines, self.num_attention_heads, pairs=True) for x in (query, key))
            if self.rotary_value:
                value = rotate(value, cosines, sines, self.num_attention_heads, pairs=True)
        return super().attend(query, key, value, step, head_mask, memory)

    forward = by_hand_layer(bert.run_self_attention)


class RoFormerAttention(bert.BertAttention):
    SELF = RoFormerSelfAttention
    forward = by_hand_layer(bert.run_attention)


class RoFormerLayer(bert.BertLayer):
    ATTENTION = RoFormerAttention
    forward = by_hand_layer(bert.run_layer)


class RoFormerEncoder(bert.BertEncoder):
    LAYER = RoFormerLayer

    def __init__(self, config: RoFormerConfig) -> None:
        super().__init__(config)
        d = bert.head_width(config)
        self.embed_positions = RoFormerSinusoidalPositionalEmbedding(config.max_position_embeddings, d)
        self.embed_positions.weight.requires_grad_(False)

    @bert.by_hand_encoder
    def forward(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> BaseModelOutput:
        positions = step.layout.positions(rows.device)
        if positions.dim() == 2 and len(positions) == 1:  # (T,) for all texts, which is what hooks of the table see
            positions = positions[0]
        table = lookup(self.embed_positions, positions, step.layout, "position_ids", "max_position_embeddings")
        return self.run(rows, replace(step, shared=_both(table)), head_masks)


INPUTS = tuple(name for name in bert.INPUTS if name != "position_ids")


class RoFormerPreTrainedModel(PreTrainedModel):
    """What RoFormer's models share."""

    config_class = RoFormerConfig
    base_model_prefix = "roformer"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, "labels", *OPTIONS)
    OPTIONAL = ("encoder.embed_positions.",)

    def make_body(self, config: RoFormerConfig, pooling: bool) -> RoFormerModel:
        """The encoder under a head, without a pooler."""
        return RoFormerModel(config)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, RoFormerSinusoidalPositionalEmbedding):
            fill_sinusoids(module.weight, halves=True)


class RoFormerModel(RoFormerPreTrainedModel, bert.MaybeDecoder):
    """The encoder: hidden states (B, T, D)."""

    SIGNATURE = (*INPUTS, *bert.CROSS, *bert.CACHE, *OPTIONS)
    OUTPUT = BaseModelOutputWithPastAndCrossAttentions

    def __init__(self, config: RoFormerConfig) -> None:
        super().__init__(config)
        self.embeddings = RoFormerEmbeddings(config)
        if config.embedding_size != config.hidden_size:
            self.embeddings_project = nn.Linear(self.embeddings.LayerNorm.weight.shape[0], config.hidden_size)
        self.encoder = RoFormerEncoder(config)
        self.post_init()

    embed = electra.ElectraModel.embed
    _attentions = bert.BertModel._attentions


class RoFormerForMaskedLM(RoFormerPreTrainedModel, heads.MaskedLM):
    TIED = {name: owner.replace("bert.", "roformer.") for name, owner in bert.TIED.items()}
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, *bert.CROSS, "labels", *OPTIONS)

    def __init__(self, config: RoFormerConfig) -> None:
        super().__init__(config)
        self.roformer = RoFormerModel(config)
        self.cls = bert.BertOnlyMLMHead(config, config.embedding_size)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.cls(rows)


class RoFormerForCausalLM(RoFormerForMaskedLM, heads.CausalLM):
    """Predicts the next token. Needs `is_decoder=True` in the configuration, so that no column sees a later one."""

    OUTPUT = heads.CausalLM.OUTPUT
    # in an order of its own
    SIGNATURE = (
        *("input_ids", "attention_mask", "token_type_ids", "inputs_embeds", *bert.CROSS, "head_mask"),
        *("past_key_values", "labels", "use_cache", *OPTIONS),
    )


class RoFormerClassificationHead(nn.Module):
    def __init__(self, config: RoFormerConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)
        self.act = config.hidden_act

    def forward(self, features: Tensor) -> Tensor:
        hidden = activation(self.act)(self.dense(self.dropout(first_column(features))))
        return self.out_proj(self.dropout(hidden))  # (B, D) -> (B, C)


class RoFormerForSequenceClassification(RoFormerPreTrainedModel, bert.FirstClassifier):
    CLASSIFIER = RoFormerClassificationHead


class RoFormerForMultipleChoice(RoFormerPreTrainedModel, electra.SummaryChoice):
    pass


class RoFormerForTokenClassification(RoFormerPreTrainedModel, bert.TokenClassifier):
    pass


class RoFormerForQuestionAnswering(RoFormerPreTrainedModel, bert.SpanClassifier):
    pass


MODEL_TYPES = {"roformer": RoFormerConfig}
TOKENIZER = RoFormerTokenizer
HEADS = {
    "base": RoFormerModel,
    "masked-lm": RoFormerForMaskedLM,
    "causal-lm": RoFormerForCausalLM,
    "sequence-classification": RoFormerForSequenceClassification,
    "token-classification": RoFormerForTokenClassification,
    "question-answering": RoFormerForQuestionAnswering,
    "multiple-choice": RoFormerForMultipleChoice,
}
TINY = {**bert.TINY, "embedding_size": 24, "rotary_value": True}
