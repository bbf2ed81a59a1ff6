"""formers beside the engines that people run text encoders with, in one run; writes the pages and the picture of it.

    python benchmarks/performance.py [--rounds 7] [--only CASE] [--contestants NAME] [--engines PYTHON]

Each contestant is a process of its own that has loaded its model and warmed up. They compute in turn, one at a time,
all on the same cores with the same number of threads. `--only` takes cases that have these words in their name, such as
"BERT-base, SST-2 dev" or "fine-tuning"; both it and `--contestants` may be given several times. `--all-texts` takes all
of SST-2's development set instead of 250 sentences of it, and hours. `--engines` is a Python with what requirements.txt
lists, where this one lacks it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from contest import machine, picture, report
from contest.entrants import CLASSIFY, ENGINES, FAMILIES, OF_FAMILIES, PRODUCTS, TOKENISING, TRAINING, Contestant
from contest.inputs import TEXTS, Model, sentences, token_counts, write_models
from contest.rounds import Setting, contest, first_answers

REPOSITORY = Path(__file__).parents[1]


def cases(models: dict[str, Model]) -> list[tuple[str, Model, str, list[Contestant]]]:
    """Name, model, texts or other work, and contestants of everything that is measured."""
    found = []
    for model in models.values():
        few = model.name in FAMILIES
        wanted = [engine for engine in ENGINES if model.task in engine.tasks and (engine.name in OF_FAMILIES) >= few]
        works = ("SST-2 dev",) if few else TEXTS
        found += [(f"{model.name}, {texts}", model, texts, [PRODUCTS, *wanted]) for texts in works]
    distilbert = models["DistilBERT-base"]
    starters = [engine for engine in ENGINES if CLASSIFY in engine.tasks and engine.options != {"batch_size": 32}]
    found.append((f"{distilbert.name}, start-up", distilbert, "start-up", starters))
    found.append((f"{distilbert.name}, fine-tuning", distilbert, "fine-tuning", list(TRAINING)))
    found.append((f"{distilbert.name}, tokenising", distilbert, "tokenising", list(TOKENISING)))
    return found


def texts_for(work: str) -> list[str]:
    """What a case works on."""
    if work in TEXTS:
        return TEXTS[work]()
    return {"fine-tuning": sentences("train")[:3200], "tokenising": sentences("train")}.get(work, sentences("dev"))


def measure(
    setting: Setting, name: str, model: Model, work: str, contestants: list[Contestant], given: argparse.Namespace
) -> report.Case:
    """One case."""
    steps = work in ("fine-tuning", "tokenising")  # which take as many texts as they need
    texts = texts_for(work)[: None if steps else given.texts]
    if work == "start-up":
        results = first_answers(setting, contestants, model, texts, given.rounds)
    else:
        kind = "single" if work == "one by one" else "bulk"
        results = contest(setting, kind, contestants, model, texts, given.rounds)
    lengths = token_counts(texts, model.max_length)
    return report.Case(name, model, work, lengths, results, date.today().isoformat())


def main() -> None:
    """Measure every case, print its table, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", default=[], metavar="CASE")
    parser.add_argument("--contestants", action="append", default=[], metavar="NAME")
    parser.add_argument("--engines", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "build" / "performance")
    parser.add_argument("--texts", type=int, metavar="N", default=250, help="the first N texts of each case")
    parser.add_argument("--all-texts", action="store_const", const=None, dest="texts", help="all of them")
    parser.add_argument("--keep", action="store_true", help="leave on the page what an earlier run measured")
    parser.add_argument("--no-page", action="store_true", help="print only")
    given = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "log.txt").unlink(missing_ok=True)
    setting = Setting(given.folder, given.threads, given.engines)
    kept = given.folder / f"results-{machine.kind()}.json"
    results = report.load(kept) if given.keep and kept.exists() else {}
    for name, model, work, contestants in cases(write_models(given.folder)):
        if not given.only or any(re.search(rf"\b{re.escape(part)}", name) for part in given.only):
            wanted = [c for c in contestants if not given.contestants or c.name.startswith(tuple(given.contestants))]
            results[name] = measure(setting, name, model, work, wanted, given)
            print(report.section(results[name]), flush=True)
            report.save(results, kept)
    print(report.comparisons(results))
    if not given.no_page:
        write_pages(results, setting, given.rounds)


def write_pages(results: dict[str, report.Case], setting: Setting, rounds: int) -> None:
    """The page of this kind of processor, and what is of all kinds: docs/performance.md and the pictures."""
    kind, docs, folder = machine.kind(), REPOSITORY / "docs", REPOSITORY / "benchmarks" / "results"
    (docs / f"performance_{kind}.md").write_text(report.page(kind, results, setting, rounds), encoding="utf-8")
    essence = json.dumps(report.essence(results, setting), indent=1, ensure_ascii=False)
    (folder / f"{kind}.json").write_text(essence + "\n", encoding="utf-8")
    paths = {name: folder / f"{name}.json" for name in machine.KINDS}
    kept = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}
    (docs / "performance.md").write_text(report.overview(kept), encoding="utf-8")
    for shade in picture.SHADES:
        (docs / f"performance-{shade}.svg").write_text(picture.draw(kept, shade), encoding="utf-8")


if __name__ == "__main__":
    main()
