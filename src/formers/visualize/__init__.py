"""Seeing what models do: attention weights, attributions of a classifier's answer, and results of pipelines.

    visualize.attention(model, tokenizer, text)         which token attends to which, in every layer and head
    visualize.attributions(model, tokenizer, text)      what each token adds to the score of a label
    visualize.show(result)                              a pipeline's result, an encoding, a configuration, a model

Each returns an object that shows as HTML in a notebook, and whose `save(path)` writes a page that needs no network.
"""

from .attention_weights import Attention, attention
from .show import show
from .token_scores import Attributions, attributions

__all__ = ["Attention", "Attributions", "attention", "attributions", "show"]
