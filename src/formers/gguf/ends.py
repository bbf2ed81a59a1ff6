"""How a GGUF file's model writes: the tokens that end a text, or a turn of a conversation, and how tokens are drawn.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; the keys of drawing: gguf-py/gguf/constants.py in
https://github.com/ggml-org/llama.cpp
"""

from __future__ import annotations

from typing import Any

from ..errors import CheckpointError
from .architectures import Model

_IDS = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
_ENDS = ("eos", "eot", "eom")  # of the text, of a turn, of a message
_SAMPLING = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}
# what templates end a turn with, for files that do not say it: converters before August 2024, and many since
_TURNS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|end_of_turn|>", "<|eot|>")


def generation_values(model: Model) -> dict[str, Any]:
    """What a generation_config.json would say. Errors: CheckpointError for an id that is no token's."""
    found: dict[str, Any] = {ours: _id(model, key) for ours, key in _IDS.items()}
    ends = [number for key in _ENDS if (number := _id(model, key)) is not None]
    if _id(model, "eot") is None:
        ends += _ends_of_turns(model)
    ends = list(dict.fromkeys(ends))
    found["eos_token_id"] = ends if len(ends) > 1 else next(iter(ends), None)
    drawing = {ours: model.all_keys.get(f"general.sampling.{key}") for key, ours in _SAMPLING.items()}
    if drawing["temperature"] == 0:  # llama.cpp's word for the best token
        drawing = {"repetition_penalty": drawing["repetition_penalty"]}
    elif any(drawing[name] is not None for name in ("temperature", "top_k", "top_p", "min_p")):
        found["do_sample"] = True
    return {key: value for key, value in {**found, **drawing}.items() if value is not None}


def _id(model: Model, key: str) -> int | None:
    name = f"tokenizer.ggml.{key}_token_id"
    found, tokens = model.all_keys.get(name), model.all_keys.get("tokenizer.ggml.tokens")
    count = len(tokens) if isinstance(tokens, list) else 2**31
    if found is not None and not (type(found) is int and 0 <= found < count):
        raise CheckpointError(f"{str(model.path)!r}: {name} is {str(found)[:80]}, and there are {count:,} tokens.")
    return found


def _ends_of_turns(model: Model) -> list[int]:
    """Tokens that the chat template has, by names that are usual for the end of a turn."""
    template = model.all_keys.get("tokenizer.chat_template")
    tokens = model.all_keys.get("tokenizer.ggml.tokens")
    if not isinstance(template, str) or not isinstance(tokens, list):
        return []
    places = {token: number for number, token in enumerate(tokens)}
    return [places[name.encode()] for name in _TURNS if name in template and name.encode() in places]
