"""Write tests/goldens/ranking.json: the scores that sentence-transformers' CrossEncoder gives to pairs of texts.

Run it where sentence-transformers is installed (checked with 6.2.0): python tools/make_goldens_ranking.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers import CrossEncoder

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from corpus import sst2  # noqa: E402
from goldens import ranking  # noqa: E402


def rounded(scores: Any) -> list[float]:
    return [float(f"{float(score):.7g}") for score in scores]


def main() -> None:
    sentences = [text for _, text in sst2("dev")[:400]]
    made = ranking.pairs()
    with tempfile.TemporaryDirectory() as folder:
        ranking.folder(Path(folder), transformers)
        ranker = CrossEncoder(folder, device="cpu")
        best = ranker.rank(made[0][0], [document for _, document in made], top_k=20)
        found = {
            "sigmoid": rounded(ranker.predict(made)),
            "identity": rounded(ranker.predict(made, activation_fn=torch.nn.Identity())),
            "cut": rounded(CrossEncoder(folder, device="cpu", max_length=ranking.LIMIT).predict(made)),
            "sst2": rounded(ranker.predict(list(zip(sentences[:200], sentences[200:], strict=True)))),
            "ranked": [[row["corpus_id"], *rounded([row["score"]])] for row in best],
        }
    path = TESTS / "goldens" / "ranking.json"
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
