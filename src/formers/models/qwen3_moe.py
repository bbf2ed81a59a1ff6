"""Qwen3 whose feed-forwards, or some of them, are mixtures of experts.

Source: Yang et al. 2025 (arXiv 2505.09388).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from .. import decoders, experts
from . import llama, qwen3


class Qwen3MoeConfig(decoders.RotaryConfig):
    """Defaults are those of the reference, which are no published model's."""

    model_type = "qwen3_moe"
    attribute_map = {"num_experts": "num_local_experts"}

    vocab_size: int = 151_936
    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_hidden_layers: int = 24
    num_attention_heads: int = 32
    num_key_value_heads: int = 4
    hidden_act: str = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    use_sliding_window: bool = False
    sliding_window: int | None = 4096
    attention_dropout: float = 0.0
    decoder_sparse_step: int = 1
    moe_intermediate_size: int = 768
    num_experts_per_tok: int = 8
    num_local_experts: int = 128
    norm_topk_prob: bool = False
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    mlp_only_layers: list[int] | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mlp_only_layers = self.mlp_only_layers or []
        if not self.use_sliding_window:
            self.sliding_window = None


class Qwen3MoeAttention(qwen3.Qwen3Attention):
    pass


class Qwen3MoeMLP(decoders.GatedMLP):
    pass


class Qwen3MoeExperts(experts.Experts):
    pass


class Qwen3MoeTopKRouter(experts.Router):
    pass


class Qwen3MoeSparseMoeBlock(experts.SparseBlock):
    EXPERTS, ROUTER = Qwen3MoeExperts, Qwen3MoeTopKRouter


class Qwen3MoeRMSNorm(decoders.RMSNorm):
    pass


class Qwen3MoeRotaryEmbedding(decoders.RotaryEmbedding):
    pass


class Qwen3MoeDecoderLayer(experts.SparseLayer):
    ATTENTION, NORM = Qwen3MoeAttention, Qwen3MoeRMSNorm

    def feed_forward(self, config: Any, layer_idx: int) -> nn.Module:
        """A mixture in every `decoder_sparse_step`-th layer that `mlp_only_layers` leaves."""
        dense = layer_idx in config.mlp_only_layers or not config.num_local_experts
        if dense or (layer_idx + 1) % config.decoder_sparse_step:
            return Qwen3MoeMLP(config)
        return Qwen3MoeSparseMoeBlock(config)


class Qwen3MoePreTrainedModel(experts.SparsePreTrainedModel):
    """What Qwen3-MoE's models share."""

    config_class = Qwen3MoeConfig

    def make_body(self, config: Any, pooling: bool = False) -> Qwen3MoeModel:
        """The model under a head."""
        return Qwen3MoeModel(config)


class Qwen3MoeModel(Qwen3MoePreTrainedModel, experts.SparseModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = Qwen3MoeDecoderLayer, Qwen3MoeRMSNorm, Qwen3MoeRotaryEmbedding


class Qwen3MoeForCausalLM(Qwen3MoePreTrainedModel, experts.SparseLMHead):
    pass


class Qwen3MoeForSequenceClassification(Qwen3MoePreTrainedModel, decoders.LastClassifier):
    pass


class Qwen3MoeForTokenClassification(Qwen3MoePreTrainedModel, decoders.TokenClassifier):
    pass


class Qwen3MoeForQuestionAnswering(Qwen3MoePreTrainedModel, decoders.RotarySpanFinder):
    pass


MODEL_TYPES = {"qwen3_moe": Qwen3MoeConfig}
TOKENIZER = llama.LlamaTokenizer
HEADS = {
    "base": Qwen3MoeModel,
    "causal-lm": Qwen3MoeForCausalLM,
    "sequence-classification": Qwen3MoeForSequenceClassification,
    "token-classification": Qwen3MoeForTokenClassification,
    "question-answering": Qwen3MoeForQuestionAnswering,
}
TINY = {
    **llama.TINY,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "mlp_only_layers": [1],
    "use_sliding_window": True,
    "sliding_window": 4,
}
