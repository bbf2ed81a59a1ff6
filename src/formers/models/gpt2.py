"""GPT-2: a decoder with learned positions, and norms before attention and feed-forward.

Source: Radford et al. 2019 (Language Models are Unsupervised Multitask Learners); openai/gpt-2.
Letters: B batch, T columns, N rows, D width, F width of the feed-forward, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from torch import Tensor, nn

from .. import decoders, heads
from ..config import PretrainedConfig
from ..errors import ConfigError, InputError
from ..layers import SequenceSummary, across, by_hand, through
from ..modeling import OPTIONS
from ..ops import losses
from ..ops.activations import activation
from ..ops.attention import attention
from ..ops.conv1d import Conv1D
from ..ops.embedding import lookup
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block
from ..outputs import (
    BaseModelOutputWithPastAndCrossAttentions,
    CausalLMOutputWithCrossAttentions,
    GPT2DoubleHeadsModelOutput,
)
from ..tokenization import ByteLevelTokenizer


class GPT2Config(PretrainedConfig):
    """Defaults are those of gpt2, the smallest."""

    model_type = "gpt2"
    attribute_map = {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    summary_type: str = "cls_index"
    summary_use_proj: bool = True
    summary_activation: str | None = None
    summary_proj_to_labels: bool = True
    summary_first_dropout: float = 0.1
    scale_attn_weights: bool = True
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    scale_attn_by_inverse_layer_idx: bool = False
    reorder_and_upcast_attn: bool = False


class GPT2Tokenizer(ByteLevelTokenizer):
    """Byte-level BPE with one special token for everything, and none for padding."""

    TOKENS = dict.fromkeys(("unk_token", "bos_token", "eos_token"), "<|endoftext|>")

    @classmethod
    def longest_input(cls, config: dict[str, Any]) -> int | None:
        """The longest text that checkpoints of that configuration read, in tokens."""
        limit = config.get("n_positions")
        return limit if isinstance(limit, int) else super().longest_input(config)


GPT2TokenizerFast = GPT2Tokenizer


by_hand_layer = by_hand(
    *("hidden_states", "layer_past", "attention_mask", "head_mask", "encoder_hidden_states"),
    *("encoder_attention_mask", "use_cache", "output_attentions"),
    causal=True,
)


class GPT2Attention(nn.Module):
    def __init__(self, config: GPT2Config, is_cross_attention: bool = False, layer_idx: int = 0) -> None:
        super().__init__()
        D, H = config.n_embd, config.n_head
        if D % H:
            raise ConfigError(f"n_embd={D} is no multiple of n_head={H}.")
        self.num_heads, self.kernel, self.is_cross_attention = H, config._attn_implementation, is_cross_attention
        self.scaling = (D // H) ** -0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            self.scaling /= layer_idx + 1
        self.c_attn = Conv1D((2 if is_cross_attention else 3) * D, D)
        if is_cross_attention:
            self.q_attn = Conv1D(D, D)
        self.c_proj = Conv1D(D, D)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        if step.memory is None:
            (query, key, value), layout = self.c_attn(rows).chunk(3, dim=-1), None
        elif self.is_cross_attention:
            (key, value), layout = step.crossed(lambda memory: self.c_attn(memory).chunk(2, dim=-1), self.num_heads)
            query = self.q_attn(rows)
        else:
            raise InputError("encoder_hidden_states are for a GPT2Attention(…, is_cross_attention=True).")
        context, *weights = self.attend(query, key, value, step, head_mask, layout)
        return self.resid_dropout(self.c_proj(context)), *weights

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        step: Step,
        head_mask: Tensor | None = None,
        memory: Layout | None = None,
    ) -> tuple[Tensor, ...]:
        """Rows of D each to the context."""
        return attention(
            *(query, key, value, step),
            heads=self.num_heads,
            memory=memory,
            causal=memory is None,
            scale=self.scaling,
            dropout=self.attn_dropout.p if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


class GPT2MLP(nn.Module):
    def __init__(self, intermediate_size: int, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(intermediate_size, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, intermediate_size)
        self.act = activation(config.activation_function, "activation_function")
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, rows: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.act(self.c_fc(rows))))


class GPT2Block(nn.Module):
    def __init__(self, config: GPT2Config, layer_idx: int = 0) -> None:
        super().__init__()
        D, eps = config.n_embd, config.layer_norm_epsilon
        self.ln_1 = nn.LayerNorm(D, eps=eps)
        self.attn = GPT2Attention(config, layer_idx=layer_idx)
        self.ln_2 = nn.LayerNorm(D, eps=eps)
        if config.add_cross_attention:
            self.crossattention = GPT2Attention(config, is_cross_attention=True, layer_idx=layer_idx)
            self.ln_cross_attn = nn.LayerNorm(D, eps=eps)
        self.mlp = GPT2MLP(4 * D if config.n_inner is None else config.n_inner, config)

    def block(self) -> Block | None:
        if hasattr(self, "crossattention"):
            return None
        inner, mlp = self.attn, self.mlp
        return Block(
            *(inner.num_heads, (inner.c_attn,), inner.c_proj, self.ln_1),
            *(mlp.c_fc, mlp.act, mlp.c_proj, self.ln_2),
            attend=inner.attend,
            pre=True,
        )

    @by_hand_layer
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        context, *weights = through(self.attn, self.ln_1(rows), step.alone(), head_mask)
        rows = rows + context
        if step.memory is not None:
            read = self.ln_cross_attn(rows) if hasattr(self, "ln_cross_attn") else rows
            context, *more = across(self, read, step, head_mask)
            rows, weights = rows + context, weights + more
        return rows + self.mlp(self.ln_2(rows)), *weights


INPUTS = (
    *("input_ids", "past_key_values", "attention_mask", "token_type_ids", "position_ids", "head_mask"),
    "inputs_embeds",
)
CROSS = ("encoder_hidden_states", "encoder_attention_mask")


class GPT2PreTrainedModel(decoders.Decoding):
    """What GPT-2's models share."""

    config_class = GPT2Config
    base_model_prefix = "transformer"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, "labels", "use_cache", *OPTIONS)
    WORDS = "wte"
    BUFFERS = ("attn.bias", "attn.masked_bias", "crossattention.bias", "crossattention.masked_bias")

    def make_body(self, config: GPT2Config, pooling: bool = False) -> GPT2Model:
        """The model under a head."""
        return GPT2Model(config)

    def _init_weights(self, module: nn.Module) -> None:
        """Narrower where a residual is added to, by the number of layers."""
        super()._init_weights(module)
        if isinstance(module, Conv1D):
            nn.init.normal_(module.weight, std=self._std())
            nn.init.zeros_(module.bias)
        if isinstance(module, (GPT2Attention, GPT2MLP)):
            nn.init.normal_(module.c_proj.weight, std=self._std() / math.sqrt(2 * self.config.n_layer))


class LearnedPositions(decoders.DecoderBody):
    """A body with the tables `wte` of words and `wpe` of positions."""

    wpe: nn.Embedding
    drop: nn.Dropout

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """Words, positions and, where they are given, types, which are words too."""
        rows = super().embed(layout, inputs)
        positions = self.positions(layout, inputs, rows.device)
        rows = rows + lookup(self.wpe, positions, layout, "position_ids", "max_position_embeddings")
        found: Tensor = self.drop(rows)
        return found


class GPT2Model(GPT2PreTrainedModel, LearnedPositions):
    """The model without a head: hidden states (B, T, D), and the cache."""

    OUTPUT = BaseModelOutputWithPastAndCrossAttentions
    SIGNATURE = (*INPUTS, *CROSS, "use_cache", *OPTIONS)

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.embed_dim = config.n_embd
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(GPT2Block(config, i) for i in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.gradient_checkpointing = False
        self.post_init()


class GPT2LMHeadModel(GPT2PreTrainedModel, decoders.LMHead):
    """Predicts the next token."""

    OUTPUT = CausalLMOutputWithCrossAttentions
    SIGNATURE = (*INPUTS, *CROSS, "labels", "use_cache", *OPTIONS)
    TIED = {"lm_head.weight": "transformer.wte.weight"}


class GPT2SequenceSummary(SequenceSummary):
    pass


class GPT2DoubleHeadsModel(GPT2PreTrainedModel, decoders.LMHead):
    """Predicts the next token, and chooses one of C texts.

    Inputs are (B, C, T), or (B, T) for the texts of one choice. mc_token_ids (B, C): the column that each text is
    judged by, its last if left out. labels as of any model that predicts tokens, (B, C, T); mc_labels (B,) in [0, C).
    """

    OUTPUT = GPT2DoubleHeadsModelOutput
    TARGETS = ("labels", "mc_labels")
    SIGNATURE = (*INPUTS, "mc_token_ids", "labels", "use_cache", *OPTIONS)
    KEYWORDS = (heads.ITEMS, *decoders.Decoding.KEYWORDS)
    TIED = {"lm_head.weight": "transformer.wte.weight"}

    def __init__(self, config: GPT2Config) -> None:
        config.num_labels = 1
        super().__init__(config)
        self.multiple_choice_head = GPT2SequenceSummary(config)
        self.post_init()

    def flatten(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The texts of all choices one after the other."""
        dims = {"inputs_embeds": 4} | dict.fromkeys(INPUTS, 3)
        return {
            name: x.flatten(0, 1) if isinstance(x, Tensor) and name != "head_mask" and x.dim() == dims.get(name) else x
            for name, x in inputs.items()
            if name != "mc_token_ids"
        }

    def needs_padding(self, inputs: dict[str, Any], targets: dict[str, Any]) -> bool:
        named = self.multiple_choice_head.kind == "cls_index" and inputs.get("mc_token_ids") is not None
        return not named or super().needs_padding(inputs, targets)

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        given = inputs["input_ids"] if inputs.get("input_ids") is not None else inputs["inputs_embeds"][..., 0]
        column, chosen, labels = inputs.get("mc_token_ids"), targets["mc_labels"], targets["labels"]
        logits = layout.unpacked(self.compute_logits, body.last_hidden_state)  # (B · C, T, V)
        vectors = self.multiple_choice_head(
            layout.unpack(body.last_hidden_state), None if column is None else column.flatten()
        )
        scores = vectors.squeeze(-1).unflatten(0, given.shape[:-1])
        flat = {**targets, "labels": None if labels is None else labels.flatten(0, -2)}
        return {
            "loss": self.loss(logits, flat, layout),
            "mc_loss": None
            if chosen is None
            else losses.choice(scores.view(-1, scores.shape[-1]), chosen, "mc_labels"),
            "logits": logits.unflatten(0, given.shape[:-1]),
            "mc_logits": scores,
        }


class GPT2ForSequenceClassification(GPT2PreTrainedModel, decoders.LastClassifier):
    pass


class GPT2ForTokenClassification(GPT2PreTrainedModel, decoders.TokenClassifier):
    SCORE = "classifier"


class GPT2ForQuestionAnswering(GPT2PreTrainedModel, decoders.SpanFinder):
    SIGNATURE = tuple(name for name in (*INPUTS, "labels", *OPTIONS) if name != "past_key_values")


MODEL_TYPES = {"gpt2": GPT2Config}
TOKENIZER = GPT2Tokenizer
HEADS = {
    "base": GPT2Model,
    "pretraining": GPT2LMHeadModel,
    "causal-lm": GPT2LMHeadModel,
    "sequence-classification": GPT2ForSequenceClassification,
    "token-classification": GPT2ForTokenClassification,
    "question-answering": GPT2ForQuestionAnswering,
}
TINY = {
    "vocab_size": 99,
    "n_positions": 40,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_inner": 37,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
