"""Tiny models that write, with a tokenizer that knows single bytes and a few words, as folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
WORDS = ("the", "cat", "sat", "on", "mat", "and")
LLAMA = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
BART = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
BART |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 96}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96}


def write(folder: Path, architecture: str = "LlamaForCausalLM", template: bool = True, **changes: Any) -> Path:
    """Write a checkpoint with the reference: weights at std 0.2, so that texts differ, and a tokenizer."""
    import torch
    import transformers

    shapes: dict[str, dict[str, Any]] = {"Llama": LLAMA | {"num_key_value_heads": 2}, "Bart": BART, "T5": T5}
    shape = next((own for name, own in shapes.items() if architecture.startswith(name)), GPT2) | changes
    size = write_tokenizer(folder, template, shape.get("n_positions", 4096))
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    ids |= {"decoder_start_token_id": 1} if shape.keys() & {"d_model"} else {}
    kind = getattr(transformers, architecture)
    model = kind(kind.config_class(vocab_size=size, **shape, **ids))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path, template: bool, longest: int) -> int:
    """Write a byte-level tokenizer that adds <s> before texts; the size of its vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges, tokens = [], ["<s>", "</s>", "<pad>", *alphabet]
    for word in WORDS:
        made = "Ġ"
        for letter in word:
            if (made, letter) not in merges:
                merges.append((made, letter))
                tokens.append(made + letter)
            made += letter
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<s>", "</s>", "<pad>")])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    config |= {"pad_token": "<pad>", "clean_up_tokenization_spaces": False, "model_max_length": longest}
    config |= {"model_input_names": ["input_ids", "attention_mask"]}
    config |= {"chat_template": TEMPLATE} if template else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return len(tokens)
