"""Tables of what was measured: a page for each kind of processor, and docs/performance.md with what matters of all.

What the pages share is kept in benchmarks/results, a file for each kind.
"""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import machine
from .entrants import CLASSIFY, COMPARISONS, ENGINES, PRODUCTS, Comparison, Contestant
from .inputs import Model
from .rounds import Measured, Setting

BY_NAME = {engine.name: engine for engine in ENGINES}
PICTURED = ("DistilBERT-base, SST-2 dev", "DistilBERT-base, one by one", "all-MiniLM-L6-v2, SST-2 dev")
STEPS = {"fine-tuning": 4, "tokenising": 5}  # of a round: engines/training.py and engines/tokenising.py


@dataclass(frozen=True)
class Case:
    """A case and what came out for each contestant."""

    name: str
    model: Model
    work: str
    lengths: list[int]  # tokens of each text
    results: dict[str, Measured]
    day: str

    @property
    def measured(self) -> dict[str, Measured]:
        """Contestants that did their work, without the matrix product."""
        return {name: result for name, result in self.results.items() if not result.failed and name != PRODUCTS.name}

    @property
    def ours(self) -> list[str]:
        """formers in its modes."""
        return [name for name in self.measured if name.startswith("formers")]


def save(cases: dict[str, Case], path: Path) -> None:
    """Keep what was measured, for a later run that measures some cases again."""
    path.write_text(json.dumps({name: asdict(case) for name, case in cases.items()}), encoding="utf-8")


def load(path: Path) -> dict[str, Case]:
    """What `save` kept."""
    cases = {}
    for name, kept in json.loads(path.read_text(encoding="utf-8")).items():
        results = {who: Measured(**result) for who, result in kept["results"].items()}
        cases[name] = Case(**{**kept, "model": Model(**kept["model"]), "results": results})
    return cases


def ratios(case: Case, ours: str, rivals: tuple[str, ...]) -> list[float]:
    """How many times faster than the fastest of the rivals ours was, round by round."""
    results = [case.measured[rival] for rival in rivals if rival in case.measured]
    if ours not in case.measured or not results:
        return []
    fastest = min(results, key=lambda result: result.median)
    return [theirs / mine for theirs, mine in zip(fastest.seconds, case.measured[ours].seconds, strict=True)]


def section(case: Case) -> str:
    """Heading, table and what failed."""
    tables = {"start-up": _plain, "fine-tuning": _plain, "tokenising": _plain}
    lines = tables.get(case.work, _engines)(case)
    failed = [f"- {name}: {result.failed}" for name, result in case.results.items() if result.failed]
    return "\n".join([f"### {case.name}", "", *lines, *(["", "Not measured:", "", *failed] if failed else []), ""])


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def _engines(case: Case) -> list[str]:
    lengths = case.lengths
    single = case.work == "one by one"
    time, scale, texts = ("ms a text", 1e3, len(lengths)) if single else ("seconds", 1.0, 1)
    rates = _rates(case)
    rows = []
    for name, result in case.results.items():
        if name == PRODUCTS.name:
            continue
        if result.failed:
            rows.append([name] + ["–"] * (5 + len(case.ours) + 2))
            continue
        seconds = result.median * texts
        limit = rates.get(BY_NAME[name].limit)
        share = case.model.flops(lengths) / seconds / 1e9 / limit if limit else math.nan
        rows.append(
            [
                name,
                f"{result.median * scale:.2f}",
                f"{sum(lengths) / seconds:,.0f}",
                f"{share:.0%}" if limit else "",
                f"{result.megabytes:,.0f}",
                *_faster(case, name),
                *_agreement(case, result),
            ]
        )
    ours = [f"{name} is × faster" for name in case.ours]
    agreement = ["labels changed", "largest score change"]
    if case.model.task != CLASSIFY:
        agreement = ["cosine, mean", "cosine, worst"]
    lines = _table(["contestant", time, "tokens/s", "of the limit", "peak MB", *ours, *agreement], rows)
    product = ", ".join(f"{kind} {rate:,.0f}" for kind, rate in rates.items())
    idle = max(result.idle for result in case.measured.values()) if case.measured else 0.0
    note = f"{len(lengths)} texts, {sum(lengths):,} tokens. Matrix products in the same rounds, GFLOP/s: {product}. "
    return [note + f"CPU time taken out of turn: at most {idle * 1e3:.0f} ms a round.", "", *lines]


def _rates(case: Case) -> dict[str, float]:
    """Medians of the machine's matrix product."""
    rounds = case.results[PRODUCTS.name].rates if PRODUCTS.name in case.results else []
    return {kind: statistics.median(rates[kind] for rates in rounds) for kind in (rounds[0] if rounds else ())}


def _faster(case: Case, name: str) -> list[str]:
    found = []
    for ours in case.ours:
        found.append("" if ours == name else f"{statistics.median(ratios(case, ours, (name,))):.2f}")
    return found


def _agreement(case: Case, result: Measured) -> list[str]:
    """How far the answers are from those in float32."""
    exact = next((r for name, r in case.measured.items() if BY_NAME[name].limit == "float32"), None)
    if exact is None or len(exact.answers) != len(result.answers):
        return ["", ""]
    pairs = list(zip(exact.answers, result.answers, strict=True))
    if case.model.task == CLASSIFY:
        changed = sum((a > 0.5) != (b > 0.5) for a, b in pairs)
        return [str(changed), f"{max(abs(a - b) for a, b in pairs):.4f}"]
    cosines = [sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b) for a, b in pairs]
    return [f"{statistics.mean(cosines):.5f}", f"{min(cosines):.5f}"]


def _plain(case: Case) -> list[str]:
    steps = STEPS.get(case.work, 1)
    names = {"start-up": "seconds", "fine-tuning": "seconds a step", "tokenising": "ms a call"}
    scale = 1e3 if case.work == "tokenising" else 1.0
    rows = []
    for name, result in case.results.items():
        if result.failed:
            rows.append([name, "–", *(["–"] if steps > 1 else [])])
        else:
            each = result.median / steps
            rows.append([name, f"{each * scale:.2f}", *([f"{1 / each:,.2f}"] if steps > 1 else [])])
    return _table(["contestant", names[case.work], *(["a second"] if steps > 1 else [])], rows)


def comparisons(cases: dict[str, Case]) -> str:
    """The table of the comparisons that matter most, as far as their cases were measured."""
    return _compared(_comparisons(cases))


def _comparisons(cases: dict[str, Case]) -> list[list[str]]:
    found = ((c, cases.get(f"{c.model}, {texts}")) for c in COMPARISONS for texts in c.texts)
    return [_row(comparison, case) for comparison, case in found if case]


def _compared(rows: list[list[str]]) -> str:
    return "\n".join(_table(["case", "formers", "beside", "× faster", "lowest to highest round"], rows))


def _row(comparison: Comparison, case: Case) -> list[str]:
    rivals = [rival for rival in comparison.rivals if rival in case.measured]
    fastest = min(rivals, key=lambda rival: case.measured[rival].median, default=" / ".join(comparison.rivals))
    found = ratios(case, comparison.ours, comparison.rivals)
    shown = [f"{statistics.median(found):.2f}", f"{min(found):.2f} to {max(found):.2f}"] if found else ["–", "–"]
    return [case.name, comparison.ours, fastest, *shown]


def _ways(engines: tuple[Contestant, ...]) -> str:
    return "\n".join(f"- **{engine.name}**: {engine.how}" for engine in engines)


def essence(cases: dict[str, Case], setting: Setting) -> dict[str, Any]:
    """What is kept of a kind of processor: where, when, the comparisons, and texts a second of the pictures' cases."""
    return {
        "processor": machine.processor(setting.threads),
        "days": sorted({case.day for case in cases.values()}),
        "comparisons": _comparisons(cases),
        "rates": {
            name: {who: round(_texts_a_second(case, who), 1) for who in case.measured}
            for name, case in cases.items()
            if name in PICTURED
        },
    }


def _texts_a_second(case: Case, who: str) -> float:
    """One by one, the median is of one text."""
    return (1 if case.work == "one by one" else len(case.lengths)) / case.measured[who].median


def page(kind: str, cases: dict[str, Case], setting: Setting, rounds: int) -> str:
    """The text of a kind's page."""
    return PAGE.format(
        kind=machine.KINDS[kind][0],
        comparisons=comparisons(cases),
        rounds=rounds,
        days=" and ".join(sorted({case.day for case in cases.values()})),
        processor=machine.processor(setting.threads),
        versions=machine.versions(setting.engines),
        ways=_ways(ENGINES),
        sections="\n".join(section(case) for case in cases.values()),
    )


def overview(kept: dict[str, dict[str, Any]]) -> str:
    """The text of docs/performance.md, from each kind's essence."""
    parts = [
        f"## {machine.KINDS[kind][0]}\n\n{' and '.join(one['days'])}, on {one['processor']}. [All of it]"
        f"(performance_{kind}.md).\n\n{_compared(one['comparisons'])}\n"
        for kind, one in kept.items()
    ]
    return OVERVIEW.format(sections="\n".join(parts))


OVERVIEW = """# Performance

formers beside the engines that people run text encoders with on CPUs. A script measured all of it, drew the picture and
wrote these pages:

```sh
make bench
```

<picture>
  <source media="(prefers-color-scheme: dark)" srcset="performance-dark.svg">
  <img alt="Texts a second of formers and of other engines, for each kind of processor" src="performance-light.svg">
</picture>

"× faster" is the median over the rounds of: time of the fastest contestant named / time of formers, in the same round.
Processors differ in what they are fast at, so each kind has a table, and a page with all that was measured on it.

{sections}"""

PAGE = """# Performance: {kind}

formers beside the engines that people run text encoders with on CPUs. A script measured all of it and wrote this page:

```sh
make bench
```

{comparisons}

"× faster" is the median over {rounds} rounds of: time of the fastest contestant named / time of formers, in the same
round.

## How it was measured

{days}, on {processor}. {versions}.

Every contestant is a process of its own that loads its model, warms up with the whole of the work, and then waits. In
each round every contestant does the work once, one after the other, all on the same cores with the same number of
threads. Before each turn there is a pause of a quarter of a second, in which threads that spin for more work give up;
formers gets a new tokenizer there, since its own remembers how the words it has seen are split. Times are medians of
{rounds} rounds. They are end to end, tokenisation included: from a list of texts to labels with scores, or
to embeddings.

all-MiniLM-L6-v2 is the published checkpoint; the other models have random weights, two labels and the vocabulary of
bert-base-uncased. *SST-2 dev* is the development set in corpus order. *Long tail* are texts of 8 to 512 tokens,
log-normal with a median of 64, in random order. *One by one* are sentences of 22 to 28 tokens, each in a call of its
own; the time is the median call. Texts are cut at 512 tokens, for all-MiniLM-L6-v2 at its own limit of 256.

{ways}

Engines without batching of their own get the texts sorted by length, in batches of 32, each padded to its longest text,
from the `tokenizers` library itself.

*Of the limit* is the share of the machine's own matrix product (2,048 × 2,048 × 2,048, or smaller where that takes too
long, by torch, in the contestant's type of number, measured in the same rounds) that went into the encoder's arithmetic
for real tokens. *Peak MB* is the most memory the process had, loading included. Labels, scores and cosines are compared
with the first contestant in float32; with random weights they show that everybody computes the same thing, not how good
a mode is on real weights.

## Results

{sections}
*Start-up* is a fresh process from its start to the first answer: imports, loading, one sentence. *Fine-tuning* is
DistilBERT-base on batches of 32 sentences of the training set in corpus order, with dropout and fused AdamW, in float32
or under `torch.autocast` with bf16; tokenisation is part of a step. *Tokenising* is 872 sentences of the training set
in one call, to padded tensors or to one packed tensor of ids. No sentence comes twice, though most words do. *First
call* is with a new tokenizer, which has seen no words.
"""
