"""Write docs/families.md: the families, their heads, how long each file is, and how far results are from Transformers.

    python tools/write_families.py [FAMILY …]

Of families that are not named, where some are, differences stay as they are written there. Needs the test dependencies:
differences are those of tiny models with random weights, over every head and mask of the tests, relative to the largest
value of an output.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path
from typing import Any

import torch

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))
from families import MASKS, TOWERS, batch, difference, pair  # noqa: E402
from images import towers  # noqa: E402

from formers import registry  # noqa: E402

HEAD = """# Families

Each is one file of `src/formers/models/`. Written by `python tools/write_families.py`.

*Lines* are lines of code, without comments, docstrings and blank lines. *Difference* is the largest one of any output
at real tokens, over all heads and masks (none, right, left, holes), of tiny models with random weights, relative to the
largest value of that output.

| family | `model_type` | heads | lines | difference from Transformers |
| --- | --- | --- | --- | --- |
"""


def code_lines(path: Path) -> int:
    """Lines that have code on them."""
    text = path.read_text(encoding="utf-8")
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                lines -= set(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
    return len(lines - {text.count("\n") + 1})


def _of_towers(family: str, head: str) -> float:
    theirs, ours = towers.pair(family, head)
    inputs = towers.batch(ours, head)
    with torch.no_grad():
        got, expected = (towers.flat(model(**inputs)) for model in (ours, theirs))
    return max(difference(value, expected[name]) for name, value in got.items() if value.is_floating_point())


def worst(family: str) -> float:
    """The largest difference of any output of any head."""
    if family in TOWERS:
        return max(_of_towers(family, head) for head in registry.load(family).HEADS)
    return max(
        _of(family, head, mask) for head in registry.load(family).HEADS for mask in MASKS if mask != "all-masked"
    )


def _of(family: str, head: str, mask: str) -> float:
    theirs, ours = pair(family, head, attn_implementation="eager")
    inputs = batch(ours, head, mask)
    with torch.no_grad():
        expected, got = theirs(**inputs), ours(**inputs)
    read = inputs["attention_mask"].flatten(0, -2).bool()
    written = inputs["decoder_attention_mask"].bool() if "decoder_attention_mask" in inputs else read

    def real(name: str, x: Any) -> Any:
        keep = read if name.startswith("encoder") else written
        return x[keep] if x.shape[:2] == keep.shape and "start" not in name and "end_" not in name else x

    names = [name for name in got if isinstance(got[name], torch.Tensor)]
    return max(difference(real(name, got[name]), real(name, expected[name])) for name in names)


def main() -> None:
    """Print the table, and write it."""
    page, rows, named = REPOSITORY / "docs" / "families.md", [], sys.argv[1:]
    written = {line.split(" | ")[0][2:]: line[:-2].split(" | ")[-1] for line in page.read_text("utf-8").splitlines()}
    for family in registry.families():
        module = registry.load(family)
        heads = ", ".join(module.HEADS)
        path = REPOSITORY / "src" / "formers" / "models" / f"{family}.py"
        kinds = ", ".join(f"`{kind}`" for kind in module.MODEL_TYPES)
        kept = written.get(family) if named and family not in named else None
        rows.append(f"| {family} | {kinds} | {heads} | {code_lines(path)} | {kept or f'{worst(family):.0e}'} |")
        print(rows[-1], flush=True)
    page.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
