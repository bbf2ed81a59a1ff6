"""GGUF files for tests: models of the reference as llama.cpp's converter would write them, with the package `gguf`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from torch import Tensor

COMMON = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 40,
}
GPT2 = {"vocab_size": 96, "n_positions": 40, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48}
BLOOM = {"vocab_size": 96, "hidden_size": 32, "n_layer": 2, "n_head": 4}
FALCON = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED = {"new_decoder_architecture": True, "num_kv_heads": 2}
SCALES = {"attention_multiplier": 0.3, "embedding_multiplier": 5.0, "residual_multiplier": 0.4, "logits_scaling": 3.0}

# by a name for the test: the architecture, the class of the configuration, and its keys
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("llama", "LlamaConfig", COMMON),
    "llama-tied": ("llama", "LlamaConfig", {**COMMON, "tie_word_embeddings": True, "rope_theta": 500_000.0}),
    "llama-biased": ("llama", "LlamaConfig", {**COMMON, "attention_bias": True, "mlp_bias": True}),
    "mistral": ("llama", "MistralConfig", COMMON),
    "qwen2": ("qwen2", "Qwen2Config", {key: value for key, value in COMMON.items() if key != "head_dim"}),
    "qwen3": ("qwen3", "Qwen3Config", {**COMMON, "head_dim": 16}),
    "gemma": ("gemma", "GemmaConfig", {**COMMON, "head_dim": 16}),
    "gemma2": ("gemma2", "Gemma2Config", {**COMMON, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 8}),
    "gemma3": ("gemma3", "Gemma3TextConfig", {**COMMON, "query_pre_attn_scalar": 8, "sliding_window": 8}),
    "phi3": ("phi3", "Phi3Config", {**COMMON, "pad_token_id": 0, "sliding_window": 16}),
    "gpt2": ("gpt2", "GPT2Config", GPT2),
    "falcon": ("falcon", "FalconConfig", FALCON),
    "falcon-40b": ("falcon", "FalconConfig", {**FALCON, **GROUPED}),
    "falcon-11b": ("falcon", "FalconConfig", {**FALCON, **GROUPED, "num_ln_in_parallel_attn": 1}),
    "bloom": ("bloom", "BloomConfig", BLOOM),
    "olmo2": ("olmo2", "Olmo2Config", {**COMMON, "pad_token_id": 0}),
    "granite": ("granite", "GraniteConfig", {**COMMON, **SCALES}),
}


def model(name: str) -> Any:
    """The tiny reference model, its weights drawn at standard deviation 0.2."""
    _, kind, keys = MODELS[name]
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**keys))
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(std=0.2)
    made.tie_weights()
    return made.eval()


def as_converted(name: str, made: Any) -> dict[str, Tensor]:
    """The model's weights by their names in GGUF, changed as convert_hf_to_gguf.py changes them."""
    architecture, config = MODELS[name][0], made.config
    number = {text: kind for kind, text in gguf.MODEL_ARCH_NAMES.items()}[architecture]
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    ties = {"lm_head.weight"} if config.tie_word_embeddings and architecture not in ("falcon", "bloom") else set()
    found = {}
    for full, weight in made.state_dict().items():
        if full in ties:
            continue
        stem, _, end = full.rpartition(".")
        new = names.get_name(stem) or names.get_name(stem.removeprefix("transformer."))
        assert new is not None, full
        found[f"{new}.{end}"] = _converted(architecture, config, full, weight.detach())
    return found


def _converted(architecture: str, config: Any, name: str, x: Tensor) -> Tensor:
    heads = config.num_attention_heads
    if architecture in ("llama", "granite") and (".q_proj." in name or ".k_proj." in name):
        count = heads if ".q_proj." in name else config.num_key_value_heads
        return x.reshape(count, 2, x.shape[0] // count // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
    if architecture.startswith("gemma") and name.endswith("norm.weight"):
        return x + 1
    if architecture == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
        return x.T.contiguous()
    if "query_key_value" in name and architecture == "bloom":
        parts = x.reshape(heads, 3, config.hidden_size // heads, *x.shape[1:])
        return torch.cat([parts[:, i].reshape(-1, *x.shape[1:]) for i in range(3)])
    if "query_key_value" in name:
        groups = config.num_kv_heads if config.new_decoder_architecture else 1
        parts = x.view(groups, heads // groups + 2, config.hidden_size // heads, config.hidden_size)
        return torch.cat([part.reshape(-1, x.shape[1]) for part in (parts[:, :-2], parts[:, [-2]], parts[:, [-1]])])
    return x


def keys(name: str, config: Any) -> dict[str, Any]:
    """What the file says of the configuration."""
    architecture, has = MODELS[name][0], lambda key: getattr(config, key, None)
    theta = (config.rope_parameters or {}) if hasattr(config, "rope_parameters") else {}
    theta = theta.get("rope_theta", (theta.get("full_attention") or {}).get("rope_theta"))
    groups = (config.num_kv_heads if config.new_decoder_architecture else 1) if "falcon" in name else None
    feed_forward = has("intermediate_size") or has("n_inner") or has("ffn_hidden_size") or 4 * config.hidden_size
    found = {
        "block_count": config.num_hidden_layers,
        "context_length": has("max_position_embeddings") or 2048,
        "embedding_length": config.hidden_size,
        "feed_forward_length": feed_forward,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": groups or has("num_key_value_heads"),
        "attention.layer_norm_rms_epsilon": has("rms_norm_eps"),
        "attention.layer_norm_epsilon": has("layer_norm_epsilon"),
        "rope.freq_base": theta,
        "attention.key_length": has("head_dim") if architecture.startswith(("gemma", "qwen3")) else None,
        "rope.dimension_count": config.hidden_size // config.num_attention_heads if architecture != "gpt2" else None,
        "attention.sliding_window": has("sliding_window") if architecture in ("gemma2", "gemma3", "phi3") else None,
        "attn_logit_softcapping": has("attn_logit_softcapping"),
        "final_logit_softcapping": has("final_logit_softcapping"),
        "attention.scale": has("attention_multiplier"),
        "embedding_scale": has("embedding_multiplier"),
        "residual_scale": has("residual_multiplier"),
        "logit_scale": has("logits_scaling"),
        "vocab_size": config.vocab_size,
    }
    return {f"{architecture}.{key}": value for key, value in found.items() if value is not None}


def write(
    path: Path,
    architecture: str,
    keys: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    quantised: Any = None,
    most: int = 0,
) -> Path:
    """Write a file: float32, or matrices in a type of the package. With `most` tensors in each part, its parts."""
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=most)
    for key, value in keys.items():
        kinds = {bool: "bool", int: "uint32", float: "float32", str: "string", list: "array"}
        getattr(writer, f"add_{kinds[type(value)]}")(key, value)
    for name, tensor in tensors.items():
        data = tensor.float().numpy()
        if quantised is not None and data.ndim == 2 and data.shape[1] % 32 == 0:
            writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(data), quantised), raw_dtype=quantised)
        else:
            writer.add_tensor(name, np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def saved(path: Path, name: str, made: Any, quantised: Any = None, most: int = 0, **more: Any) -> Path:
    """Write a model of MODELS, with a vocabulary that has its length, and `more` keys."""
    ids = {f"tokenizer.ggml.{token}_token_id": number for number, token in enumerate(("padding", "bos", "eos"))}
    tokens = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": [f"t{i}" for i in range(96)]}
    named = {"general.name": "mistral" if name == "mistral" else "a model"}
    all_keys = {**named, **keys(name, made.config), **tokens, **ids, **more}
    return write(path, MODELS[name][0], all_keys, as_converted(name, made), quantised, most)
