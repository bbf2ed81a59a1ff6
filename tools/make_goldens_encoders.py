"""Write tests/goldens/encoders.json: what sentence-transformers makes of small models with all kinds of modules.

Run it where sentence-transformers is installed (checked with 6.2.0): python tools/make_goldens_encoders.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer, quantize_embeddings, util
from sentence_transformers.sentence_transformer.modules import LSTM

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from goldens import encoders, ranking  # noqa: E402


def rounded(value: Any) -> Any:
    listed = value.tolist() if hasattr(value, "tolist") else value
    return json.loads(json.dumps(listed), parse_float=lambda x: float(f"{float(x):.7g}"))


def with_lengths(forward: Any) -> Any:
    """An LSTM that follows a Transformer, whose features lack the lengths that it asks for."""
    return lambda self, features: forward(self, {**features, "sentence_lengths": features["attention_mask"].sum(1)})


def modules() -> dict[str, Any]:
    LSTM.forward = with_lengths(LSTM.forward)
    found = {}
    for name, steps in encoders.STEPS.items():
        with tempfile.TemporaryDirectory() as place:
            encoders.folder(Path(place), transformers, steps, encoders.own_settings(name))
            model = SentenceTransformer(place, device="cpu")
            # one by one: convolutions see what is beside a text
            found[name] = rounded(model.encode(encoders.TEXTS, batch_size=1))
    return found


def encoded() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        steps = encoders.STEPS["layer norm"]
        encoders.folder(Path(place), transformers, steps, prompts=encoders.PROMPTS, truncate_dim=9)
        model = SentenceTransformer(place, device="cpu")
        found = {name: rounded(model.encode(encoders.TEXTS, **call)) for name, call in encoders.ENCODED.items()}
        found["plain"] = rounded(model.encode(encoders.TEXTS))
        found["query"] = rounded(model.encode_query(encoders.TEXTS))
        found["document"] = rounded(model.encode_document(encoders.TEXTS))
        found["tokens"] = [rounded(one[:, :3]) for one in model.encode(encoders.TEXTS, output_value="token_embeddings")]
        for name in ("cosine", "dot", "euclidean", "manhattan"):
            model.similarity_fn_name = name
            pairs = model.encode(encoders.TEXTS[:2]), model.encode(encoders.TEXTS[2:4])
            found[f"{name} of pairs"] = rounded(model.similarity_pairwise(*pairs))
    return found


def searched() -> dict[str, Any]:
    vectors = encoders.vectors()
    ranges = np.stack([vectors.min(0), vectors.max(0)])
    return {
        "search": util.semantic_search(vectors[:5], vectors, top_k=4),
        "dots": util.semantic_search(vectors[:5], vectors, top_k=4, score_function=util.dot_score),
        "pairs": util.paraphrase_mining_embeddings(torch.from_numpy(vectors), top_k=3, max_pairs=20),
        "communities": util.community_detection(vectors, threshold=0.8, min_community_size=3),
        "int8 of ranges": rounded(quantize_embeddings(vectors[:3], "int8", ranges=ranges)),
    }


def scored() -> dict[str, Any]:
    found = {}
    with tempfile.TemporaryDirectory() as place:
        encoders.classifier(Path(place), transformers, 3)
        model = CrossEncoder(place, device="cpu")
        made = ranking.pairs(12)
        found["labels"] = rounded(model.predict(made))
        found["softmax"] = rounded(model.predict(made, apply_softmax=True))
        found["sigmoid"] = rounded(model.predict(made, activation_fn=torch.nn.Sigmoid()))
        found["prompt"] = rounded(model.predict(made, prompt="who: "))
    return found


def main() -> None:
    found = {"modules": modules(), "encoded": encoded(), "searched": searched(), "scored": scored()}
    path = TESTS / "goldens" / "encoders.json"
    lines = [
        f"{json.dumps(key)}: {{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}"
        for key, value in found.items()
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
