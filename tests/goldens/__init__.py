"""Models small enough to write down what they compute, and the calls that Transformers 4.20 answered for them."""

from __future__ import annotations

import zlib
from typing import Any

import numpy
import torch

_SMALL = {"vocab_size": 11, "max_position_embeddings": 8}
BERT = {
    **_SMALL,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 9,
}
DISTILBERT = {**_SMALL, "dim": 8, "n_layers": 2, "n_heads": 4, "hidden_dim": 9}
LEFT, RIGHT = [[1, 1, 1, 1], [0, 1, 1, 1]], [[1, 1, 1, 1], [1, 1, 0, 0]]
PER_QUERY = [[[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], [[1, 1, 1, 0], [0, 1, 0, 0]] * 2]
TWO_LAYERS = [[1.0, 0.0, 1.0, 0.5], [0.0, 1.0, 1.0, 1.0]]


def _case(model: str, config: dict[str, Any] | None = None, **call: Any) -> dict[str, Any]:
    base = DISTILBERT if model.startswith("Distil") else BERT
    return {"model": model, "config": {**base, **(config or {})}, "prune": call.pop("prune", None), "call": call}


_BOXES = {
    "bbox": [[[0, 0, 0, 0], [1, 2, 5, 3], [2, 2, 2, 9], [0, 7, 6, 8]], [[3, 4, 7, 9]] * 4],
    "attention_mask": RIGHT,
}
_PAGE = {"max_2d_position_embeddings": 10}
_RELATIVE = {"position_embedding_type": "relative_key"}
_BOTH = {"position_embedding_type": "relative_key_query"}
CASES = {
    "relative_key": _case("BertModel", _RELATIVE, attention_mask=RIGHT, output_attentions=True),
    "relative_key_query": _case("BertModel", _BOTH, attention_mask=RIGHT, output_attentions=True),
    "relative_key_query, left": _case("BertModel", _BOTH, attention_mask=LEFT),
    "relative_key_query, decoder": _case("BertLMHeadModel", {**_BOTH, "is_decoder": True, "use_cache": False}),
    "head_mask (H)": _case("BertModel", attention_mask=RIGHT, head_mask=[1.0, 0.0, 0.5, 1.0], output_attentions=True),
    "head_mask (L, H)": _case("BertModel", attention_mask=RIGHT, head_mask=TWO_LAYERS),
    "distilbert head_mask": _case("DistilBertModel", attention_mask=RIGHT, head_mask=TWO_LAYERS),
    "pruned": _case("BertModel", attention_mask=RIGHT, prune={0: [1], 1: [0, 3]}, output_attentions=True),
    "distilbert pruned": _case("DistilBertModel", attention_mask=RIGHT, prune={0: [1], 1: [0, 3]}),
    "layoutlm": _case("LayoutLMModel", _PAGE, **_BOXES, head_mask=[1.0, 0.0, 0.5, 1.0], output_attentions=True),
    "layoutlm words": _case("LayoutLMForMaskedLM", _PAGE, **_BOXES, head_mask=TWO_LAYERS),
    "layoutlm relative_key": _case("LayoutLMModel", {**_PAGE, **_RELATIVE}, **_BOXES, output_attentions=True),
    "mask per query": _case("BertModel", attention_mask=PER_QUERY, output_attentions=True),
}


def draw_weights(model: torch.nn.Module, std: float = 0.6) -> None:
    """Weights that depend on nothing but names and shapes; numpy keeps this generator's stream for ever."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = numpy.random.RandomState(zlib.crc32(name.encode())).randn(*parameter.shape) * std
            centre = 1 if name.endswith("orm.weight") else 0
            parameter.copy_(torch.from_numpy(values + centre))


def run(model: Any, case: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The first output of a case, zeros where the mask hides a token, and the last layer's attentions when asked."""
    if case["prune"]:
        model.prune_heads(case["prune"])
    call = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in case["call"].items()}
    with torch.no_grad():
        out = model(torch.tensor([[1, 5, 3, 9], [2, 10, 4, 7]]), **call)
    first, mask = out[0], call.get("attention_mask")
    if mask is not None and mask.dim() == 2:
        first = first * mask[..., None]
    return {"first": first} | ({"attentions": out.attentions[-1]} if call.get("output_attentions") else {})
