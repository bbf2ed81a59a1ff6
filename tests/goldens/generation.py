"""Texts that small models write in ways of choosing tokens that later releases of Transformers have no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from goldens import draw_weights

_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
VOCABULARY = 24
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 40}),
    "deep gpt2": ("GPT2", {"n_embd": 16, "n_layer": 5, "n_head": 4, "n_positions": 40}),
    "opt": (
        "OPT",
        {
            "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 19, "num_hidden_layers": 2,
            "num_attention_heads": 4, "max_position_embeddings": 40,
        },
    ),
    "llama": (
        "Llama",
        {
            "hidden_size": 16, "intermediate_size": 19, "num_hidden_layers": 6, "num_attention_heads": 4,
            "num_key_value_heads": 2, "max_position_embeddings": 40,
        },
    ),
}  # fmt: skip
PROMPTS = [[5, 9, 4, 17, 8, 20, 3, 11, 6], [7, 19, 13, 5, 10], [12, 4], [3, 21, 9, 9]]
NEW = 14
ENDS = {"gpt2": 9, "deep gpt2": 18, "opt": 5, "llama": 3}  # tokens at which texts of these models end soon

GROUPS: dict[str, dict[str, Any]] = {
    "alike": {"num_beams": 4, "num_beam_groups": 2},
    "apart": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "num_return_sequences": 4},
    "six in three": {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 2.0, "num_return_sequences": 3},
    "short": {
        "num_beams": 6, "num_beam_groups": 2, "diversity_penalty": 1.0, "length_penalty": -1.5,
        "num_return_sequences": 4,
    },
    "long": {"num_beams": 3, "num_beam_groups": 3, "diversity_penalty": 0.8, "length_penalty": 2.0},
    "early": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.8, "early_stopping": True},
    "without lengths": {
        "num_beams": 4, "num_beam_groups": 4, "diversity_penalty": 1.0, "length_penalty": 0.0,
        "num_return_sequences": 2,
    },
    "with rules": {
        "num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.7, "repetition_penalty": 1.4,
        "no_repeat_ngram_size": 2,
    },
}  # fmt: skip
CONSTRAINED: dict[str, dict[str, Any]] = {
    "a phrase": {"num_beams": 4, "force_words_ids": [[14, 15, 16]]},
    "two": {"num_beams": 5, "force_words_ids": [[14, 15], [18]], "num_return_sequences": 3},
    "one of": {"num_beams": 4, "force_words_ids": [[[14, 15, 16], [22], [23, 3]]]},
    "both kinds": {
        "num_beams": 6, "force_words_ids": [[[14, 15], [22, 23]], [18, 19, 18]], "num_return_sequences": 6
    },
    "begun in the prompt": {"num_beams": 4, "force_words_ids": [[9, 4], [6, 10]]},
    "short": {"num_beams": 4, "force_words_ids": [[18]], "length_penalty": -1.0, "num_return_sequences": 2},
    "early": {"num_beams": 4, "force_words_ids": [[18, 3]], "early_stopping": True, "length_penalty": 2.0},
    "without lengths": {"num_beams": 3, "force_words_ids": [[14, 15]], "length_penalty": 0.0},
    "with rules": {"num_beams": 4, "force_words_ids": [[14, 15]], "repetition_penalty": 1.4},
    "too many": {"num_beams": 2, "force_words_ids": [[14, 15, 16, 18, 19, 20, 21, 22, 23, 3, 4, 6, 7, 8, 10, 11]]},
}  # fmt: skip
CONTRASTIVE: dict[str, dict[str, Any]] = {
    "usual": {"penalty_alpha": 0.6, "top_k": 4},
    "weak": {"penalty_alpha": 0.1, "top_k": 8},
    "strong": {"penalty_alpha": 0.9, "top_k": 3},
    "with rules": {"penalty_alpha": 0.5, "top_k": 5, "repetition_penalty": 1.3, "min_new_tokens": 6},
}
DOLA: dict[str, dict[str, Any]] = {
    "low": {"dola_layers": "low"},
    "high": {"dola_layers": "high"},
    "some": {"dola_layers": [0, 1]},
    "one": {"dola_layers": [1]},
    "with rules": {"dola_layers": "high", "repetition_penalty": 1.2},
    "drawn": {"dola_layers": "low", "do_sample": True, "temperature": 1.5},
}
# release -> way -> (models, options)
RELEASES: dict[str, dict[str, tuple[tuple[str, ...], dict[str, dict[str, Any]]]]] = {
    "4.20.1": {"groups": (("gpt2", "opt"), GROUPS), "constrained": (("gpt2", "opt"), CONSTRAINED)},
    "4.40.2": {"contrastive": (("gpt2", "llama"), CONTRASTIVE)},
    "4.46.3": {"dola": (("gpt2", "deep gpt2", "llama"), DOLA)},
}


def model_of(library: Any, name: str) -> Any:
    """A model of a library with the names of Transformers, in eval mode."""
    family, config = MODELS[name]
    kind = f"{family}LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    made = getattr(library, f"{family}Config")(vocab_size=VOCABULARY, **config, **_TOKENS)
    made._attn_implementation = "eager"
    model = getattr(library, kind)(made).eval()
    draw_weights(model, 0.25)
    return model


def cases(release: str) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(way, model, name, options) of all that a release is asked."""
    for way, (models, options) in RELEASES[release].items():
        for model in models:
            for name, values in options.items():
                yield way, model, name, {**values, "eos_token_id": 2}
                yield way, model, f"{name}, ending", {**values, "eos_token_id": ENDS[model]}


def written(model: Any, options: dict[str, Any], prompt: list[int]) -> list[list[int]]:
    """What follows a prompt, up to its end."""
    end = options["eos_token_id"]
    torch.manual_seed(1)
    found = model.generate(torch.tensor([prompt]), max_length=len(prompt) + NEW, **options)
    rows = [row[len(prompt) :] for row in found.tolist()]
    return [row[: row.index(end) + 1] if end in row else row for row in rows]
