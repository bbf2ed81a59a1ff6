"""What differs between llama.cpp's architectures and Transformers' families: keys, names of tensors, changed weights.

llama.cpp's converter changes some weights; that is undone here, tensor by tensor, when they load. Sources of the names:
gguf-py/gguf/constants.py and tensor_mapping.py; of the changes: convert_hf_to_gguf.py, in
https://github.com/ggml-org/llama.cpp
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import LazyTensor
from ..errors import CheckpointError, ConfigError

LAYER = re.compile(r"blk\.(0|[1-9]\d{0,4})\.(\w+)\.(weight|bias)")

_KEYS = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
}
_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NORMS_AFTER = {
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_NORMS_AROUND = {"ffn_norm": "pre_feedforward_layernorm", **_NORMS_AFTER}
_SLIDING = {"attention.sliding_window": "sliding_window"}
_CAPS = {"attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping"}
_BLOOM = {
    "attn_norm": "input_layernorm",
    "attn_qkv": "self_attention.query_key_value",
    "attn_output": "self_attention.dense",
    "ffn_norm": "post_attention_layernorm",
    "ffn_up": "mlp.dense_h_to_4h",
    "ffn_down": "mlp.dense_4h_to_h",
}
_BLOOM_OUTER = {
    "token_embd": "transformer.word_embeddings",
    "token_embd_norm": "transformer.word_embeddings_layernorm",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
}
_SECOND_NORM = "blk.0.attn_norm_2.weight"
_TWO_NORMS = {"attn_norm": "ln_mlp", "attn_norm_2": "ln_attn"}  # of Falcon 40B
_GPT2 = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
_GPT2_OUTER = {
    "token_embd": "transformer.wte",
    "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
}


@dataclass(frozen=True)
class Model:
    """An opened file: its keys under "{architecture}." by what follows, all keys, and the tensors by their names."""

    path: Path
    architecture: str
    keys: Mapping[str, Any]
    all_keys: Mapping[str, Any]
    tensors: Mapping[str, LazyTensor]

    def value(self, key: str) -> Any:
        """A key's value; of a list, which has one for each layer, the one that they share. None where there is none."""
        found = self.keys.get(key)
        if isinstance(found, list):
            if not found or any(one != found[0] for one in found):
                raise ConfigError(
                    f"{str(self.path)!r}: {self.architecture}.{key} differs between layers, {str(found)[:80]}, and the "
                    "layers of this family are all alike."
                )
            return found[0]
        return found

    def size(self, key: str) -> int:
        """A key that counts something. Errors: CheckpointError where it is none."""
        found = self.value(key)
        if type(found) is not int or found < 1:
            raise CheckpointError(
                f"{str(self.path)!r}: {self.architecture}.{key} is {str(found)[:80]}; a number of at least 1 is needed."
            )
        return found


def _nothing(model: Model) -> dict[str, Any]:
    return {}


def _same(model: Model, name: str, tensor: LazyTensor) -> LazyTensor:
    return tensor


@dataclass(frozen=True)
class Architecture:
    """How one is called and named in Transformers.

    Attributes:
        head: the class of the whole model.
        model_type: None where it is the architecture's own name.
        keys: what its keys are in a config.json.
        outer, inner: parts of its tensors' names outside of layers, and within.
        layers: what stands before a layer's number.
        more: what its config.json says besides.
        undone: a tensor as it was before it was converted.
        ties: whether the output is the embedding, whatever the file holds.
    """

    head: str
    model_type: str | None = None
    keys: Mapping[str, str] = field(default_factory=lambda: _KEYS)
    outer: Mapping[str, str] = field(default_factory=lambda: _OUTER)
    inner: Mapping[str, str] = field(default_factory=lambda: _INNER)
    layers: str = "model.layers"
    more: Callable[[Model], dict[str, Any]] = _nothing
    undone: Callable[[Model, str, LazyTensor], LazyTensor] = _same
    ties: bool = False


# ---- tensors as they were


def _changed(tensor: LazyTensor, change: Callable[[Tensor], Tensor], dtype: Any = None) -> LazyTensor:
    """The tensor with `change` made to it when it loads, which leaves its shape."""
    return replace(tensor, dtype=dtype or tensor.dtype, read=lambda: change(tensor.load()))


def _rows(model: Model, name: str, tensor: LazyTensor, parts: int) -> None:
    if not tensor.shape or tensor.shape[0] % parts:
        raise CheckpointError(
            f"{str(model.path)!r}: the tensor {name!r} of shape {list(tensor.shape)} cannot be cut into {parts:,} "
            "parts, as the numbers of heads ask for."
        )


def _rotary_halves(model: Model, name: str, tensor: LazyTensor) -> LazyTensor:
    """Queries and keys of Llama: llama.cpp turns neighbouring rows of a head together, Transformers i and i + D/2."""
    if (key := {"attn_q": "attention.head_count", "attn_k": "attention.head_count_kv"}.get(_part(name))) is None:
        return tensor
    heads = model.size(key if key in model.keys else "attention.head_count")
    _rows(model, name, tensor, 2 * heads)
    return _changed(tensor, lambda x: x.view(heads, -1, 2, *x.shape[1:]).transpose(1, 2).reshape(x.shape))


def _less_one(model: Model, name: str, tensor: LazyTensor) -> LazyTensor:
    """Norms of Gemma, which multiplies by 1 + weight and llama.cpp by the weight."""
    return _changed(tensor, lambda x: x.float() - 1, torch.float32) if name.endswith("norm.weight") else tensor


def _transposed(model: Model, name: str, tensor: LazyTensor) -> LazyTensor:
    """Products of GPT-2, whose weights have the input first."""
    turned = _part(name) and len(tensor.shape) == 2
    return tensor.permute(1, 0) if turned else tensor


def _by_groups(model: Model, name: str, tensor: LazyTensor) -> LazyTensor:
    """Bloom's and Falcon's projection: for each head of keys its queries, key and value; not first all queries."""
    if _part(name) != "attn_qkv":
        return tensor
    heads = model.size("attention.head_count")
    groups = model.size("attention.head_count_kv") if model.architecture == "falcon" else heads
    _rows(model, name, tensor, heads + 2 * groups)
    if heads % groups:
        raise CheckpointError(f"{str(model.path)!r}: {heads} heads of queries cannot share {groups} heads of keys.")

    def change(x: Tensor) -> Tensor:
        each = x.view(heads + 2 * groups, -1, *x.shape[1:])  # (heads, rows of a head, …)
        parts = each.split([heads, groups, groups])
        return torch.cat([part.view(groups, -1, *part.shape[1:]) for part in parts], 1).reshape(x.shape)

    return _changed(tensor, change)


def _part(name: str) -> str:
    """What a tensor of a layer is called: "blk.0.attn_q.weight" is "attn_q"."""
    layer = LAYER.fullmatch(name)
    return layer[2] if layer else ""


# ---- what config.json says besides


def _llama(model: Model) -> dict[str, Any]:
    if model.keys.get("expert_count"):
        raise ConfigError(f"{str(model.path)!r} is a mixture of experts (Mixtral), which cannot be read from GGUF.")
    named_so = model.all_keys.get("general.name") == "mistral"
    found: dict[str, Any] = {"model_type": "mistral", "architectures": ["MistralForCausalLM"]} if named_so else {}
    if "attention.key_length" not in model.keys and "rope.dimension_count" in model.keys:
        found["head_dim"] = model.keys["rope.dimension_count"]
    if "blk.0.attn_q.bias" in model.tensors:
        found["attention_bias"] = True
    if "blk.0.ffn_gate.bias" in model.tensors:
        found["mlp_bias"] = True
    return found


def _granite(model: Model) -> dict[str, Any]:
    named = {
        "attention.scale": "attention_multiplier",
        "embedding_scale": "embedding_multiplier",
        "residual_scale": "residual_multiplier",
        "logit_scale": "logits_scaling",
    }
    return _llama(model) | {ours: model.keys[key] for key, ours in named.items() if key in model.keys}


def _gemma(model: Model) -> dict[str, Any]:
    """The scale of attention, of which llama.cpp knows by the number of layers that the 27B models have another."""
    heads, width, layers = (model.size(key) for key in ("attention.head_count", "embedding_length", "block_count"))
    wide = layers == {"gemma2": 46, "gemma3": 62}[model.architecture]
    return {"query_pre_attn_scalar": width // heads if wide else model.keys.get("attention.key_length", 256)}


def _phi3(model: Model) -> dict[str, Any]:
    turned, heads = model.keys.get("rope.dimension_count"), model.size("attention.head_count")
    whole = model.size("embedding_length") // heads
    found: dict[str, Any] = {}
    if type(turned) is int and turned != whole:
        found["partial_rotary_factor"] = turned / whole
    if "rope.scaling.original_context_length" in model.keys:
        found["original_max_position_embeddings"] = model.keys["rope.scaling.original_context_length"]
    return found


def _falcon(model: Model) -> dict[str, Any]:
    groups = model.size("attention.head_count_kv")
    norms = 2 if _SECOND_NORM in model.tensors else 1
    new = {"new_decoder_architecture": True, "num_ln_in_parallel_attn": norms} if groups > 1 else {}
    return {
        "num_kv_heads": groups,
        "multi_query": True,
        "parallel_attn": True,
        "bias": False,
        "alibi": False,
        **new,
    }


ARCHITECTURES = {
    "llama": Architecture("LlamaForCausalLM", more=_llama, undone=_rotary_halves),
    "qwen2": Architecture("Qwen2ForCausalLM"),
    "qwen3": Architecture("Qwen3ForCausalLM"),
    "gemma": Architecture("GemmaForCausalLM", undone=_less_one),
    "gemma2": Architecture(
        "Gemma2ForCausalLM", keys={**_KEYS, **_SLIDING, **_CAPS}, inner={**_INNER, **_NORMS_AROUND}, more=_gemma,
        undone=_less_one,
    ),
    "gemma3": Architecture(
        "Gemma3ForCausalLM", model_type="gemma3_text", keys={**_KEYS, **_SLIDING, **_CAPS},
        inner={**_INNER, **_NORMS_AROUND}, more=_gemma, undone=_less_one,
    ),
    "phi3": Architecture(
        "Phi3ForCausalLM", keys={**_KEYS, **_SLIDING}, inner={**_INNER, "ffn_up": "mlp.gate_up_proj"}, more=_phi3
    ),
    "gpt2": Architecture(
        "GPT2LMHeadModel",
        keys={
            "context_length": "n_positions", "block_count": "n_layer", "embedding_length": "n_embd",
            "feed_forward_length": "n_inner", "attention.head_count": "n_head",
            "attention.layer_norm_epsilon": "layer_norm_epsilon",
        },
        outer=_GPT2_OUTER, inner=_GPT2, layers="transformer.h", undone=_transposed,
    ),
    "falcon": Architecture(
        "FalconForCausalLM",
        keys={
            **_KEYS, "feed_forward_length": "ffn_hidden_size", "attention.layer_norm_epsilon": "layer_norm_epsilon",
        },
        outer=_BLOOM_OUTER, inner=_BLOOM, layers="transformer.h", more=_falcon, undone=_by_groups, ties=True,
    ),
    "bloom": Architecture(
        "BloomForCausalLM",
        keys={
            "block_count": "n_layer", "embedding_length": "hidden_size", "attention.head_count": "n_head",
            "attention.layer_norm_epsilon": "layer_norm_epsilon",
        },
        outer=_BLOOM_OUTER, inner=_BLOOM, layers="transformer.h", undone=_by_groups, ties=True,
    ),
    "olmo2": Architecture("Olmo2ForCausalLM", inner={**_INNER, **_NORMS_AFTER}),
    "granite": Architecture("GraniteForCausalLM", more=_granite, undone=_rotary_halves),
}  # fmt: skip


def architecture(model: Model) -> Architecture:
    """The architecture of an opened file, whose name is known."""
    how = ARCHITECTURES[model.architecture]
    return replace(how, inner={**how.inner, **_TWO_NORMS}) if _SECOND_NORM in model.tensors else how
