"""Gemma 3, for text: Gemma 2 with norms of queries and keys instead of caps, and angles of their own under a window.

Source: Gemma Team 2025 (arXiv 2503.19786).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .. import decoders
from ..ops.layout import Layout
from ..ops.step import Step
from . import gemma, gemma2, llama


class Gemma3TextConfig(decoders.RotaryConfig):
    """Defaults are those of the reference, which are no published model's.

    Older files say sliding_window_pattern, rope_local_base_freq and rope_scaling for layer_types and rope_parameters.
    """

    model_type = "gemma3_text"

    vocab_size: int = 262_208
    hidden_size: int = 2304
    intermediate_size: int = 9216
    num_hidden_layers: int = 26
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 256
    hidden_activation: str = "gelu_pytorch_tanh"
    max_position_embeddings: int = 131_072
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
    final_logit_softcapping: float | None = None
    attn_logit_softcapping: float | None = None
    use_bidirectional_attention: bool | None = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._sliding_window_pattern: int = kwargs.get("sliding_window_pattern") or 6
        super().__init__(*args, **kwargs)
        if self.use_bidirectional_attention and self.sliding_window is not None:
            self.sliding_window = self.sliding_window // 2 + 1  # from here, half of it on either side

    def to_dict(self) -> dict[str, Any]:
        """All keys and values, ready for JSON; the window as it was given, or one less."""
        values = super().to_dict()
        if self.use_bidirectional_attention and self.sliding_window is not None:
            values["sliding_window"] = (self.sliding_window - 1) * 2
        return values

    def layer_type(self, layer: int) -> str:
        """Full attention in every sixth layer."""
        return decoders.SLIDING if (layer + 1) % self._sliding_window_pattern else decoders.FULL

    def standardized(self, older: Mapping[str, Any]) -> dict[str, Any]:
        """One set of them for each type of layer."""
        full, near = ({**((self.rope_parameters or {}).get(kind) or {})} for kind in (decoders.FULL, decoders.SLIDING))
        full |= older["rope_scaling"] or {}
        local = getattr(self, "rope_local_base_freq", 10_000.0)
        for given, theta in ((full, older["rope_theta"] or 1_000_000.0), (near, local)):
            given.setdefault("rope_type", given.pop("type", "default"))
            given.setdefault("rope_theta", theta)
        return {decoders.SLIDING: near, decoders.FULL: full}


class Gemma3TextScaledWordEmbedding(gemma.GemmaTextScaledWordEmbedding):
    pass


class Gemma3MLP(gemma2.Gemma2MLP):
    pass


class Gemma3RMSNorm(gemma.GemmaRMSNorm):
    pass


class Gemma3RotaryEmbedding(nn.Module):
    """The turns of each type of layer, by its name."""

    def __init__(self, config: Gemma3TextConfig) -> None:
        super().__init__()
        kinds = sorted({*(config.layer_types or ())})
        self.of = {kind: decoders.RotaryEmbedding(config, (config.rope_parameters or {})[kind]) for kind in kinds}

    def forward(self, x: Tensor, position_ids: Tensor, layer_type: str) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.of[layer_type](x, position_ids)
        return found


class Gemma3Attention(decoders.RotaryAttention):
    """With a scale of its own, and norms of each head's queries and keys."""

    def __init__(self, config: Gemma3TextConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.layer_type = (config.layer_types or [])[layer_idx]
        self.scaling = config.query_pre_attn_scalar**-0.5
        self.q_norm = Gemma3RMSNorm(self.head_dim, eps=config.rms_norm_eps)
        self.k_norm = Gemma3RMSNorm(self.head_dim, eps=config.rms_norm_eps)

    def sees(self, config: Any, layer_idx: int) -> int | None:
        window = super().sees(config, layer_idx)
        return window - 1 if window is not None and config.use_bidirectional_attention else window

    def turned(self, query: Tensor, key: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        query = decoders.each_head(self.q_norm, query, self.heads, heads_first=True)
        return super().turned(query, decoders.each_head(self.k_norm, key, self.key_heads, heads_first=True), step)

    def turns(self, step: Step) -> tuple[Tensor, Tensor]:
        given: Any = step.shared  # by the type of layer, but where a layer is called by hand
        found: tuple[Tensor, Tensor] = given[self.layer_type] if isinstance(given, dict) else given
        return found


class Gemma3DecoderLayer(gemma2.Gemma2DecoderLayer):
    ATTENTION, MLP, NORM = Gemma3Attention, Gemma3MLP, Gemma3RMSNorm


class Gemma3PreTrainedModel(decoders.RotaryModel):
    """What Gemma 3's models share."""

    config_class = Gemma3TextConfig

    def make_body(self, config: Any, pooling: bool = False) -> Gemma3TextModel:
        """The model under a head."""
        return Gemma3TextModel(config)


class Gemma3TextModel(Gemma3PreTrainedModel, decoders.DecoderModel):
    """The model without a head."""

    LAYER, NORM, ROTARY = Gemma3DecoderLayer, Gemma3RMSNorm, Gemma3RotaryEmbedding
    TABLE = Gemma3TextScaledWordEmbedding

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> dict[str, Any]:
        """The turns of every row, by the type of layer."""
        positions = self.positions(layout, inputs, rows.device)
        return {kind: self.rotary_emb(rows, positions, kind) for kind in self.rotary_emb.of}


class Gemma3ForCausalLM(Gemma3PreTrainedModel, decoders.LMHead):
    """Predicts the next token, with scores below `final_logit_softcapping`, if there is one."""

    def compute_logits(self, rows: Tensor) -> Tensor:
        return gemma.capped(super().compute_logits(rows), self.config.final_logit_softcapping)


class Gemma3TextForSequenceClassification(Gemma3PreTrainedModel, decoders.LastClassifier):
    pass


MODEL_TYPES = {"gemma3_text": Gemma3TextConfig}
TOKENIZER = gemma.GemmaTokenizer
HEADS = {
    "base": Gemma3TextModel,
    "causal-lm": Gemma3ForCausalLM,
    "sequence-classification": Gemma3TextForSequenceClassification,
}
TINY = {**llama.TINY, "head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 4, "sliding_window_pattern": 2}
