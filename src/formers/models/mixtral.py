"""Mixtral: Mistral whose feed-forwards are mixtures of experts, of which each token goes through two.

Source: Jiang et al. 2024 (arXiv 2401.04088).
"""

from __future__ import annotations

from typing import Any

from .. import decoders, experts
from . import llama


class MixtralConfig(decoders.RotaryConfig):
    """Defaults are those of Mixtral 8x7B."""

    model_type = "mixtral"
    attribute_map = {"num_experts": "num_local_experts"}
    THETA = 1_000_000.0

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 131_072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-5
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    sliding_window: int | None = None
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 2
    num_local_experts: int = 8
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    router_jitter_noise: float = 0.0
    rope_parameters: dict[str, Any] | None = None


class MixtralExperts(experts.Experts):
    pass


class MixtralTopKRouter(experts.Router):
    pass


class MixtralSparseMoeBlock(experts.SparseBlock):
    EXPERTS, ROUTER = MixtralExperts, MixtralTopKRouter


class MixtralRMSNorm(decoders.RMSNorm):
    pass


class MixtralRotaryEmbedding(decoders.RotaryEmbedding):
    pass


class MixtralAttention(decoders.RotaryAttention):
    pass


class MixtralDecoderLayer(experts.SparseLayer):
    ATTENTION, MLP, NORM = MixtralAttention, MixtralSparseMoeBlock, MixtralRMSNorm


class MixtralPreTrainedModel(experts.SparsePreTrainedModel):
    """What Mixtral's models share."""

    config_class = MixtralConfig

    def make_body(self, config: Any, pooling: bool = False) -> MixtralModel:
        """The model under a head."""
        return MixtralModel(config)


class MixtralModel(MixtralPreTrainedModel, experts.SparseModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = MixtralDecoderLayer, MixtralRMSNorm, MixtralRotaryEmbedding


class MixtralForCausalLM(MixtralPreTrainedModel, experts.SparseLMHead):
    pass


class MixtralForSequenceClassification(MixtralPreTrainedModel, decoders.LastClassifier):
    pass


class MixtralForTokenClassification(MixtralPreTrainedModel, decoders.TokenClassifier):
    pass


class MixtralForQuestionAnswering(MixtralPreTrainedModel, decoders.RotarySpanFinder):
    base_model_prefix = "model"


MODEL_TYPES = {"mixtral": MixtralConfig}
TOKENIZER = llama.LlamaTokenizer
HEADS = {
    "base": MixtralModel,
    "causal-lm": MixtralForCausalLM,
    "sequence-classification": MixtralForSequenceClassification,
    "token-classification": MixtralForTokenClassification,
    "question-answering": MixtralForQuestionAnswering,
}
TINY = {**llama.TINY, "intermediate_size": 40, "num_local_experts": 4, "sliding_window": 4}
