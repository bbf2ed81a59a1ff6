"""LayoutLM: BERT that also reads where on the page each word stands.

Source: Xu et al. 2019 (arXiv 1912.13318); microsoft/unilm.
Letters: B batch, T columns, D width, C labels. "rows": see ops/layout.py.

    0        x0   x1      1000     a box is (x0, y0, x1, y1): the words' corners, in thousandths of the page
    y0 ──────┌────┐                embedded as x0 + y0 + x1 + y1 + height + width
    y1 ──────└────┘
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from .. import heads
from ..bodies import Body
from ..config import PretrainedConfig
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.embedding import packed_boxes, whole_batch
from ..ops.layout import Layout
from ..outputs import BaseModelOutputWithPooling
from . import bert


class LayoutLMConfig(PretrainedConfig):
    """Defaults are those of microsoft/layoutlm-base-uncased."""

    model_type = "layoutlm"
    position_embedding_type: ClassVar[str] = "absolute"  # which BERT's layers ask for

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    use_cache: bool = True
    max_2d_position_embeddings: int = 1024


class LayoutLMTokenizer(bert.BertTokenizer):
    """BERT's; boxes of words are for the caller to spread over their tokens, by `encoding.word_ids()`."""


LayoutLMTokenizerFast = LayoutLMTokenizer


class LayoutLMEmbeddings(bert.BertEmbeddings):
    """BERT's, with the corners, the height and the width of each token's box."""

    def __init__(self, config: LayoutLMConfig) -> None:
        super().__init__(config)
        self.absolute = True  # also where attention has positions of its own
        places, D = config.max_2d_position_embeddings, config.hidden_size
        self.x_position_embeddings = nn.Embedding(places, D)
        self.y_position_embeddings = nn.Embedding(places, D)
        self.h_position_embeddings = nn.Embedding(places, D)
        self.w_position_embeddings = nn.Embedding(places, D)

    def boxes(self, bbox: Tensor | None, layout: Layout, device: Any) -> Tensor:
        """What the boxes (B, T, 4) add: rows of D."""
        x, y = self.x_position_embeddings, self.y_position_embeddings
        x0, y0, x1, y1 = packed_boxes(bbox, layout, device, x.num_embeddings, ordered=True).unbind(-1)
        shape = self.h_position_embeddings(y1 - y0) + self.w_position_embeddings(x1 - x0)
        return x(x0) + y(y0) + x(x1) + y(y1) + shape

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        bbox: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        layout: Layout | None = None,
    ) -> Tensor:
        layout = whole_batch(self, input_ids, inputs_embeds) if layout is None else layout
        rows = self.words(layout, input_ids, inputs_embeds)
        return self.placed(
            rows + self.boxes(bbox, layout, rows.device), layout, input_ids, token_type_ids, position_ids
        )


INPUTS = ("input_ids", "bbox", *bert.INPUTS[1:])


class LayoutLMPreTrainedModel(PreTrainedModel):
    """What LayoutLM's models share."""

    config_class = LayoutLMConfig
    base_model_prefix = "layoutlm"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, "labels", *OPTIONS)
    OPTIONAL = ("pooler.",)

    def make_body(self, config: LayoutLMConfig, pooling: bool) -> LayoutLMModel:
        """The encoder under a head, which always has its pooler."""
        return LayoutLMModel(config)


class LayoutLMModel(LayoutLMPreTrainedModel, Body):
    """The encoder: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D).

    bbox: (B, T, 4), the box of each token in thousandths of the page, 0 to 1000; zeros if left out."""

    SIGNATURE = (*INPUTS, *bert.CROSS, *OPTIONS)
    EMBEDDED = (*Body.EMBEDDED, "bbox")
    OUTPUT = BaseModelOutputWithPooling

    def __init__(self, config: LayoutLMConfig) -> None:
        super().__init__(config)
        self.embeddings = LayoutLMEmbeddings(config)
        self.encoder = bert.BertEncoder(config)
        self.pooler = bert.BertPooler(config)
        self.post_init()

    _attentions = bert.BertModel._attentions


class LayoutLMForMaskedLM(LayoutLMPreTrainedModel, heads.MaskedLM):
    SIGNATURE = (*INPUTS, "labels", *bert.CROSS, *OPTIONS)
    TIED = {name: owner.replace("bert.", "layoutlm.") for name, owner in bert.TIED.items()}

    def __init__(self, config: LayoutLMConfig) -> None:
        super().__init__(config)
        self.add_body(config)
        self.cls = bert.BertOnlyMLMHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.cls(rows)


class LayoutLMForSequenceClassification(LayoutLMPreTrainedModel, bert.Classifier, heads.SequenceClassification):
    pass


class LayoutLMForTokenClassification(LayoutLMPreTrainedModel, bert.TokenClassifier):
    pass


class LayoutLMForQuestionAnswering(LayoutLMPreTrainedModel, bert.SpanClassifier):
    pass


MODEL_TYPES = {"layoutlm": LayoutLMConfig}
TOKENIZER = LayoutLMTokenizer
HEADS = {
    "base": LayoutLMModel,
    "pretraining": LayoutLMForMaskedLM,
    "masked-lm": LayoutLMForMaskedLM,
    "sequence-classification": LayoutLMForSequenceClassification,
    "token-classification": LayoutLMForTokenClassification,
    "document-question-answering": LayoutLMForQuestionAnswering,
}
TINY = {**bert.TINY, "max_2d_position_embeddings": 1001}
