"""Add to tests/goldens/generation.json what one release of Transformers writes in ways that later ones have no more.

Run it where each of the releases in goldens.generation is installed: python tools/make_goldens_generation.py. Weights
and prompts come from names alone, so that only tokens are stored.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import transformers

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from goldens import generation  # noqa: E402


def main() -> None:
    release = transformers.__version__
    path = TESTS / "goldens" / "generation.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    models, found = {}, {}
    for way, name, case, options in generation.cases(release):
        if name not in models:
            models[name] = generation.model_of(transformers, name)
        texts = [generation.written(models[name], options, prompt) for prompt in generation.PROMPTS]
        found[f"{way}, {name}, {case}"] = texts
    results[release] = found
    lines = [
        f"{json.dumps(key)}: {{\n"
        + ",\n".join(f"{json.dumps(case)}: {json.dumps(texts)}" for case, texts in results[key].items())
        + "\n}"
        for key in sorted(results)
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path.name}: {path.stat().st_size:,} bytes, {len(found)} cases from transformers {release}")


if __name__ == "__main__":
    main()
