"""SmolLM3: Llama with some layers whose queries and keys do not turn.

Source: https://huggingface.co/blog/smollm3; Yang et al. 2025 (arXiv 2501.18795).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .. import decoders
from ..ops.step import Step
from . import llama


class SmolLM3Config(decoders.RotaryConfig):
    """Defaults are those of SmolLM3 3B."""

    model_type = "smollm3"
    THETA = 2_000_000.0

    vocab_size: int = 128_256
    hidden_size: int = 2048
    intermediate_size: int = 11008
    num_hidden_layers: int = 36
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 4
    hidden_act: str = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = 128_004
    bos_token_id: int | None = 128_000
    eos_token_id: int | list[int] | None = 128_001
    rope_parameters: dict[str, Any] | None = None
    use_sliding_window: bool = False
    sliding_window: int | None = None
    no_rope_layers: list[int] | None = None
    no_rope_layer_interval: int = 4
    layer_types: list[str] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    tie_word_embeddings: bool = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.no_rope_layers = self._turning()

    def _turning(self) -> list[int]:
        """1 for each layer whose queries and keys turn, in spite of the key's name."""
        if self.no_rope_layers is not None:
            return self.no_rope_layers
        return [int((i + 1) % self.no_rope_layer_interval != 0) for i in range(self.num_hidden_layers)]

    def layer_type(self, layer: int) -> str:
        """A window, if there is one, where queries and keys do not turn."""
        narrow = self.use_sliding_window and self.sliding_window is not None and not self._turning()[layer]
        return decoders.SLIDING if narrow else decoders.FULL


class SmolLM3RMSNorm(decoders.RMSNorm):
    pass


class SmolLM3RotaryEmbedding(decoders.RotaryEmbedding):
    pass


class SmolLM3MLP(decoders.GatedMLP):
    pass


class SmolLM3Attention(decoders.RotaryAttention):
    """Turned in some layers only."""

    def __init__(self, config: SmolLM3Config, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.use_rope = bool((config.no_rope_layers or [])[layer_idx])

    def turned(self, query: Tensor, key: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        return super().turned(query, key, step) if self.use_rope else (query, key)


class SmolLM3DecoderLayer(decoders.DecoderLayer):
    ATTENTION, MLP, NORM = SmolLM3Attention, SmolLM3MLP, SmolLM3RMSNorm


class SmolLM3PreTrainedModel(decoders.RotaryModel):
    """What SmolLM3's models share."""

    config_class = SmolLM3Config

    def make_body(self, config: Any, pooling: bool = False) -> SmolLM3Model:
        """The model under a head."""
        return SmolLM3Model(config)


class SmolLM3Model(SmolLM3PreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = SmolLM3DecoderLayer, SmolLM3RMSNorm, SmolLM3RotaryEmbedding


class SmolLM3ForCausalLM(SmolLM3PreTrainedModel, decoders.LMHead):
    pass


class SmolLM3ForSequenceClassification(SmolLM3PreTrainedModel, decoders.LastClassifier):
    pass


class SmolLM3ForTokenClassification(SmolLM3PreTrainedModel, decoders.TokenClassifier):
    pass


class SmolLM3ForQuestionAnswering(SmolLM3PreTrainedModel, decoders.RotarySpanFinder):
    pass


MODEL_TYPES = {"smollm3": SmolLM3Config}
TOKENIZER = llama.LlamaTokenizer
HEADS = {
    "base": SmolLM3Model,
    "causal-lm": SmolLM3ForCausalLM,
    "sequence-classification": SmolLM3ForSequenceClassification,
    "token-classification": SmolLM3ForTokenClassification,
    "question-answering": SmolLM3ForQuestionAnswering,
}
TINY = {**llama.TINY, "no_rope_layer_interval": 2, "use_sliding_window": True, "sliding_window": 4}
