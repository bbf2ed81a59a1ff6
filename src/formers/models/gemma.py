"""Gemma: Llama with the GELU, wider heads, and norms whose weights are distances from 1.

Source: Gemma Team 2024 (arXiv 2403.08295).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .. import decoders
from . import llama


class GemmaConfig(decoders.RotaryConfig):
    """Defaults are those of Gemma 7B."""

    model_type = "gemma"

    vocab_size: int = 256_000
    hidden_size: int = 3072
    intermediate_size: int = 24576
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    num_key_value_heads: int = 16
    head_dim: int = 256
    hidden_act: str = "gelu_pytorch_tanh"
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
    use_bidirectional_attention: bool | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.hidden_act == "gelu":  # the first files say so, and mean the approximation that it was trained with
            self.hidden_act = "gelu_pytorch_tanh"


def capped(logits: Tensor, cap: float | None) -> Tensor:
    """Scores brought below `cap`: cap · tanh(score / cap)."""
    return logits if cap is None else torch.tanh(logits / cap) * cap


class GemmaTokenizer(llama.LlamaTokenizer):
    """What a tokenizer.json holds; no types of tokens."""


GemmaTokenizerFast = GemmaTokenizer


class GemmaTextScaledWordEmbedding(nn.Embedding):
    """Words times `embed_scale`, in the type of the weights."""

    def __init__(
        self, vocabulary: int, width: int, padding_idx: int | None = None, embed_scale: float | None = None
    ) -> None:
        super().__init__(vocabulary, width, padding_idx)
        self.embed_scale = self.embedding_dim**0.5 if embed_scale is None else embed_scale

    def forward(self, input_ids: Tensor) -> Tensor:
        found = super().forward(input_ids)
        return found * found.new_tensor(self.embed_scale)


class GemmaRMSNorm(nn.Module):
    """x · (1 + weight) / √(mean(x²) + eps), in float32."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        whole = x.float()
        whole = whole * torch.rsqrt(whole.square().mean(-1, keepdim=True) + self.eps)
        return (whole * (1.0 + self.weight.float())).to(x.dtype)

    def root_mean_square(self) -> tuple[Tensor, float]:
        """What the norm multiplies by, (D,), and its eps: for `optimize`."""
        return 1.0 + self.weight.float(), self.eps

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.eps}"


class GemmaRotaryEmbedding(decoders.RotaryEmbedding):
    pass


class GemmaMLP(decoders.GatedMLP):
    pass


class GemmaAttention(decoders.RotaryAttention):
    pass


class GemmaDecoderLayer(decoders.DecoderLayer):
    ATTENTION, MLP, NORM = GemmaAttention, GemmaMLP, GemmaRMSNorm


class GemmaPreTrainedModel(decoders.RotaryModel):
    """What Gemma's models share."""

    config_class = GemmaConfig

    def make_body(self, config: Any, pooling: bool = False) -> GemmaModel:
        """The model under a head."""
        return GemmaModel(config)


class GemmaModel(GemmaPreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = GemmaDecoderLayer, GemmaRMSNorm, GemmaRotaryEmbedding
    TABLE = GemmaTextScaledWordEmbedding


class GemmaForCausalLM(GemmaPreTrainedModel, decoders.LMHead):
    pass


class GemmaForSequenceClassification(GemmaPreTrainedModel, decoders.LastClassifier):
    pass


class GemmaForTokenClassification(GemmaPreTrainedModel, decoders.TokenClassifier):
    pass


MODEL_TYPES = {"gemma": GemmaConfig}
TOKENIZER = GemmaTokenizer
HEADS = {
    "base": GemmaModel,
    "causal-lm": GemmaForCausalLM,
    "sequence-classification": GemmaForSequenceClassification,
    "token-classification": GemmaForTokenClassification,
}
TINY = {**llama.TINY, "head_dim": 16}
