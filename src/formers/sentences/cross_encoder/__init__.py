"""Scores of pairs of texts, by a model that reads both at once.

model.py        CrossEncoder
losses.py       what it is trained with
evaluation.py   what is measured of it
"""

from __future__ import annotations

from . import evaluation, losses
from .model import CrossEncoder

__all__ = ["CrossEncoder", "evaluation", "losses"]
