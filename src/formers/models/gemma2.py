"""Gemma 2: norms before and after attention and feed-forward, capped scores, and windows in every other layer.

Source: Gemma Team 2024 (arXiv 2408.00118).
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .. import decoders
from ..ops.step import Step
from ..optimize import Block
from . import gemma, llama


class Gemma2Config(decoders.RotaryConfig):
    """Defaults are those of Gemma 2 2B."""

    model_type = "gemma2"

    vocab_size: int = 256_000
    hidden_size: int = 2304
    intermediate_size: int = 9216
    num_hidden_layers: int = 26
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 256
    hidden_activation: str = "gelu_pytorch_tanh"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    query_pre_attn_scalar: int = 256
    sliding_window: int | None = 4096
    layer_types: list[str] | None = None
    final_logit_softcapping: float | None = 30.0
    attn_logit_softcapping: float | None = 50.0
    use_bidirectional_attention: bool | None = None

    def layer_type(self, layer: int) -> str:
        """A window in the first layer, and in every other one after it."""
        return decoders.FULL if layer % 2 else decoders.SLIDING


class Gemma2RMSNorm(gemma.GemmaRMSNorm):
    pass


class Gemma2TextScaledWordEmbedding(gemma.GemmaTextScaledWordEmbedding):
    pass


class Gemma2RotaryEmbedding(decoders.RotaryEmbedding):
    pass


class Gemma2MLP(decoders.GatedMLP):
    ACTIVATION = "hidden_activation"


class Gemma2Attention(decoders.RotaryAttention):
    """With a scale, and a cap, of its own."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.scaling, self.softcap = config.query_pre_attn_scalar**-0.5, config.attn_logit_softcapping


class Gemma2DecoderLayer(decoders.DecoderLayer):
    """With norms after attention and feed-forward, too."""

    ATTENTION: ClassVar[Any] = Gemma2Attention
    MLP: ClassVar[Any] = Gemma2MLP
    NORM: ClassVar[Any] = Gemma2RMSNorm
    NORMS = (
        *("input_layernorm", "post_attention_layernorm"),
        *("pre_feedforward_layernorm", "post_feedforward_layernorm"),
    )

    pre_feedforward_layernorm: Any

    def block(self) -> Block:
        after = self.post_attention_layernorm, self.post_feedforward_layernorm
        return self.gated_block(self.input_layernorm, self.pre_feedforward_layernorm, after=after)

    def attended(self, context: Tensor) -> Tensor:
        found: Tensor = self.post_attention_layernorm(context)
        return found

    def fed(self, rows: Tensor, step: Step) -> Tensor:
        found: Tensor = self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(rows)))
        return found


class Gemma2PreTrainedModel(decoders.RotaryModel):
    """What Gemma2's models share."""

    config_class = Gemma2Config

    def make_body(self, config: Any, pooling: bool = False) -> Gemma2Model:
        """The model under a head."""
        return Gemma2Model(config)


class Gemma2Model(Gemma2PreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = Gemma2DecoderLayer, Gemma2RMSNorm, Gemma2RotaryEmbedding
    TABLE = Gemma2TextScaledWordEmbedding


class Gemma2ForCausalLM(Gemma2PreTrainedModel, decoders.LMHead):
    """Predicts the next token, with scores below `final_logit_softcapping`."""

    def compute_logits(self, rows: Tensor) -> Tensor:
        return gemma.capped(super().compute_logits(rows), self.config.final_logit_softcapping)


class Gemma2ForSequenceClassification(Gemma2PreTrainedModel, decoders.LastClassifier):
    pass


class Gemma2ForTokenClassification(Gemma2PreTrainedModel, decoders.TokenClassifier):
    pass


MODEL_TYPES = {"gemma2": Gemma2Config}
TOKENIZER = gemma.GemmaTokenizer
HEADS = {
    "base": Gemma2Model,
    "causal-lm": Gemma2ForCausalLM,
    "sequence-classification": Gemma2ForSequenceClassification,
    "token-classification": Gemma2ForTokenClassification,
}
TINY = {**llama.TINY, "head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 4}
