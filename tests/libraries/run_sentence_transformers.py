"""sentence-transformers on this package, through as_transformers, beside itself on Transformers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import checks

TEXTS = ["A short text.", "Another one, which is somewhat longer than the first.", "你好, world", ""]
REAL = "--real" in sys.argv
if not REAL:
    import formers

    formers.as_transformers()

import numpy as np  # noqa: E402
from sentence_transformers import SentenceTransformer, util  # noqa: E402


def encoder() -> SentenceTransformer:
    return SentenceTransformer(str(checks.minilm()), device="cpu")


@checks.check("encode: all-MiniLM-L6-v2, equal to the vectors on Transformers")
def encode() -> None:
    model = encoder()
    assert type(model[0].auto_model).__module__ == "formers.models.bert"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "real.npy"
        subprocess.run([sys.executable, __file__, "--real", str(path)], check=True, capture_output=True)
        checks.same(model.encode(TEXTS), np.load(path))


@checks.check("encode: one by one, in batches, as tensors")
def options() -> None:
    model = encoder()
    one = model.encode(TEXTS, batch_size=1, convert_to_tensor=True)
    checks.same(one, model.encode(TEXTS, batch_size=4))
    assert util.cos_sim(one[0], one[0]).item() > 0.999


@checks.check("save and load again")
def save() -> None:
    with tempfile.TemporaryDirectory() as folder:
        encoder().save(folder)
        checks.same(SentenceTransformer(folder, device="cpu").encode(TEXTS), encoder().encode(TEXTS))


@checks.check("training with a loss of the library, in a loop of one's own")
def train() -> None:
    import torch
    from sentence_transformers.losses import CosineSimilarityLoss

    model = encoder().train()
    loss = CosineSimilarityLoss(model)
    features = [model.tokenize(["a", "b"]), model.tokenize(["c", "d"])]
    loss(features, torch.tensor([0.1, 0.9])).backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if "pooler" not in n)


if __name__ == "__main__":
    if REAL:
        np.save(sys.argv[2], encoder().encode(TEXTS))
    else:
        checks.run()
