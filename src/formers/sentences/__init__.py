"""Vectors of texts, and what is done with them; scores of pairs of texts: what sentence-transformers does.

encoder.py        SentenceEncoder: texts and pictures to vectors; folder.py: its files
transformer.py    its first step; pictures.py: that of models that read pictures; modules.py: the steps after it
cross_encoder/    CrossEncoder: pairs of texts to scores; its losses and evaluators
running.py        how both read texts and batch them
fit.py            how both are trained: examples.py: on what; losses/: by what; evaluation/: what is measured
search.py         semantic_search, paraphrase_mining, community_detection
precision.py      vectors of fewer bits
"""

from __future__ import annotations

from . import evaluation, losses
from .cross_encoder import CrossEncoder
from .encoder import SentenceEncoder
from .examples import InputExample
from .modules import CNN, LSTM, Dense, Dropout, LayerNorm, Normalize, Pooling, WeightedLayerPooling
from .pictures import MultimodalTransformer
from .precision import quantize_embeddings
from .search import (
    SimilarityFunction,
    community_detection,
    cos_sim,
    dot_score,
    euclidean_sim,
    manhattan_sim,
    paraphrase_mining,
    paraphrase_mining_embeddings,
    semantic_search,
)
from .transformer import Transformer

__all__ = [
    "CNN",
    "LSTM",
    "CrossEncoder",
    "Dense",
    "Dropout",
    "InputExample",
    "LayerNorm",
    "MultimodalTransformer",
    "Normalize",
    "Pooling",
    "SentenceEncoder",
    "SimilarityFunction",
    "Transformer",
    "WeightedLayerPooling",
    "community_detection",
    "cos_sim",
    "dot_score",
    "euclidean_sim",
    "evaluation",
    "losses",
    "manhattan_sim",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "quantize_embeddings",
    "semantic_search",
]
