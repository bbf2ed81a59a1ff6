"""What is measured of encoders of sentences, while they are trained and after. Of pairs: `cross_encoder.evaluation`.

base.py       what all evaluators share, and several of them as one
metrics.py    correlations, thresholds and ranks, of numbers alone
vectors.py    of pairs and triplets; retrieval.py: of a search
"""

from __future__ import annotations

from .base import BaseEvaluator, SentenceEvaluator, SequentialEvaluator
from .retrieval import InformationRetrievalEvaluator
from .vectors import BinaryClassificationEvaluator, EmbeddingSimilarityEvaluator, MSEEvaluator, TripletEvaluator

__all__ = [
    "BaseEvaluator",
    "BinaryClassificationEvaluator",
    "EmbeddingSimilarityEvaluator",
    "InformationRetrievalEvaluator",
    "MSEEvaluator",
    "SentenceEvaluator",
    "SequentialEvaluator",
    "TripletEvaluator",
]
