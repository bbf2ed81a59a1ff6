"""KeyBERT with sentence-transformers on this package, and with a pipeline of this package."""

from __future__ import annotations

import checks

import formers

formers.as_transformers()

from keybert import KeyBERT  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

TEXT = "Supervised learning maps an input to an output from example pairs of inputs and outputs."


@checks.check("keywords with sentence-transformers")
def keywords() -> None:
    found = KeyBERT(SentenceTransformer(str(checks.minilm()), device="cpu")).extract_keywords(TEXT, top_n=3)
    assert found[0][0] == "supervised", found


@checks.check("keywords with a feature-extraction pipeline")
def with_pipeline() -> None:
    found = KeyBERT(formers.pipeline("feature-extraction", model=str(checks.minilm()))).extract_keywords(TEXT)
    assert len(found) == 5 and all(0 < score <= 1 for _, score in found), found


if __name__ == "__main__":
    checks.run()
