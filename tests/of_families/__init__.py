"""What tests have to know of a family that its file does not say: one file for each family that needs one.

A family without a file is BERT's like in all of this.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch


def chained(model: Any, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """The last hidden states of ids (B, T) with the mask `keep`, by a chain of the body's parts."""
    rows = model.embeddings(ids)
    if hasattr(model, "embeddings_project"):
        rows = model.embeddings_project(rows)
    mask = model.get_extended_attention_mask(keep, ids.shape)
    return model.encoder(rows, mask, [None] * model.depth()).last_hidden_state


def attentions(layer: Any) -> list[Any]:
    """The modules of a layer that attend, which can be called as the layer is."""
    return [layer.attention, layer.attention.self]


# keys of the configuration that change nothing that a forward pass in eval mode or a state dict shows, and why
UNSEEN = {
    "initializer_range": "how new weights are drawn",
    "pad_token_id": "which row of the word table starts as zeros and gets no gradient",
    "use_cache": "whether a decoder keeps keys and values",
    **dict.fromkeys(("bos_token_id", "eos_token_id"), "for tokenizers and generation"),
    **dict.fromkeys(("cls_token_id", "sep_token_id"), "for tokenizers"),
}
# other values of keys to which 1 cannot be added, by their most usual names
CHANGED = {"num_attention_heads": 8, "hidden_size": 64, "position_embedding_type": "relative_key"}


@dataclass(frozen=True)
class Facts:
    """causal: whether no column sees a later one, whatever the configuration says.
    same_as: the family that this one is under another name.
    rates: the keys of the body's rates of dropout.
    head_rate: that of the head that labels texts; None where it drops nothing.
    unseen: {key of the configuration that changes no output and no shape: why}, beside UNSEEN.
    seen: those of UNSEEN that do so here.
    changed: {key: another value, which changes an output}, beside CHANGED.
    together: {key: changes of other keys without which a changed one makes no model}.
    forms: (head, changes of TINY) to compare with the reference beside TINY.
    positions: changes of TINY with which positions are looked up in a table; None where there is none.
    between: changes of TINY with which nothing stands between one layer and the next.
    smooth: whether small changes of vectors make small ones of outputs everywhere: no choice among experts, say.
    per_query: whether the reference takes masks for each query that are added to scores.
    embeds: whether the reference takes vectors in place of words, without anything else.
    fused: changes of TINY with which `optimize` has a form for the layers; None where it has none.
    windows: whether some layers see only the nearest columns.
    always: whether causality and windows hold also under masks for each query.
    flat: endings of names of modules that the reference calls with the columns of all texts one after the other.
    wrong_eager: keys with which the reference's attention is wrong where it is written out.
    short_tuples: the heads whose tuples lack the hidden states in the reference, where there is no cache.
    longest: the tokens that the tokenizer gives where its files do not say, if it is not the configuration that does.
    types_are_words: whether types of tokens are looked up among the words.
    chain, attentions: see `chained` and `attentions`.
    fused_pictures: changes of TINY with which the layers of a family that reads pictures have such a form.
    comparable: from the name of an output of a model that reads pictures, and the tensor, to what of it is the
        reference's too.
    texts_alone: whether what reads pictures reads texts without them too, as families of texts do.
    own_defaults: keys whose default is not the reference's newest.
    inputs: from a model that reads pictures, its head, and whether labels are wanted, to a batch: see images/towers.py;
        None for pictures alone.
    """

    causal: bool = False
    same_as: str | None = None
    rates: tuple[str, ...] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    head_rate: str | None = "classifier_dropout"
    unseen: Mapping[str, str] = field(default_factory=dict)
    seen: tuple[str, ...] = ()
    changed: Mapping[str, Any] = field(default_factory=dict)
    together: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    forms: tuple[tuple[str, dict[str, Any]], ...] = ()
    positions: Mapping[str, Any] | None = field(default_factory=dict)
    between: Mapping[str, Any] = field(default_factory=dict)
    smooth: bool = True
    per_query: bool = True
    embeds: bool = True
    fused: Mapping[str, Any] | None = field(default_factory=dict)
    windows: bool = False
    always: bool = False
    flat: tuple[str, ...] = ()
    wrong_eager: tuple[str, ...] = ()
    short_tuples: tuple[str, ...] = ()
    longest: int | None = None
    types_are_words: bool = False
    texts_alone: bool = False
    fused_pictures: Mapping[str, Any] = field(default_factory=dict)
    comparable: Callable[[str, torch.Tensor], torch.Tensor] = lambda _, tensor: tensor
    own_defaults: tuple[str, ...] = ()
    inputs: Callable[[Any, str, bool], dict[str, Any]] | None = None
    chain: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor] = chained
    attentions: Callable[[Any], list[Any]] = attentions


@cache
def facts(family: str) -> Facts:
    """Of the family whose file in `models/` has that name."""
    name = f"{__name__}.{family}"
    if importlib.util.find_spec(name) is None:
        return Facts()
    found: Facts = importlib.import_module(name).FACTS
    return found
