"""`formers bench`: a model in every mode of `model.optimize()`: its speed, and how far it is from the model itself."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from ..errors import ArgumentError, InputError
from ..logging import ERROR, logger
from .output import columns, declare_json, printable, show, size
from .run import MODES, device
from .texts import texts_given

ABOUT = "measure a model in every mode of --optimize, and how well they agree"
# sentences in a row that make a text, where none are given: 64 texts of 3 to about 150 tokens
_SENTENCES = (1, 2, 3, 6)
# texts measured one at a time
_ALONE = 16


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="folder or hub name")
    parser.add_argument(
        "text",
        nargs="*",
        default=[],
        metavar="TEXT",
        help="texts like yours, 100 or more; '-': one per line from standard input; none: 64 texts of the package",
    )
    parser.add_argument("--task", help="text-classification, fill-mask, … (default: by the model's architecture)")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="rounds, whose medians are shown (default 5)"
    )
    parser.add_argument("--device", type=device, help="cpu, cuda, cuda:1, or an accelerator's number")
    parser.add_argument(
        "--dtype", help="type of the weights: float32, bfloat16, …; auto for the type they are stored in"
    )
    declare_json(parser)


@dataclass
class _Contestant:
    """A pipeline in one mode, and the seconds it took in each round: for all texts in one call, and one a call."""

    mode: str | None
    pipe: Any
    bulk: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)


def run(given: argparse.Namespace) -> None:
    if given.rounds < 1:
        raise ArgumentError(f"--rounds {given.rounds} is not possible: it is a number from 1 on.")
    import torch

    from ..pipelines import pipeline

    loading = {name: getattr(given, name) for name in ("model", "revision", "device", "dtype")}
    pipe = pipeline(given.task, **loading)
    texts = _texts(given, pipe)
    lengths = [item["input_ids"].shape[1] for item in pipe.preprocess_batch(texts, 0, truncation=True)]
    level = logger.level
    logger.setLevel(ERROR)  # what optimize() warns of is among the notes
    try:
        contestants, notes = _contestants(pipe, texts)
        chosen, reason = _choice(pipe, texts)
    finally:
        logger.setLevel(level)
    _measure(contestants, texts, given.rounds)
    result = {
        "model": given.model,
        "task": pipe.task,
        "device": str(pipe.device),
        "threads": torch.get_num_threads(),
        "texts": len(texts),
        "tokens": {"all": sum(lengths), "least": min(lengths), "most": max(lengths)},
        "rounds": given.rounds,
        "modes": [_numbers(one, contestants[0], len(texts)) for one in contestants],
        "chosen": chosen,
        "notes": list(dict.fromkeys((*notes, *filter(None, [reason])))),
    }
    show(given, result, _lines(result))


def _texts(given: argparse.Namespace, pipe: Any) -> list[str]:
    if given.text:
        texts = list(texts_given(given))
    else:
        from ..optimize.sample import SAMPLE

        texts = [" ".join((SAMPLE * 2)[i : i + count]) for count in _SENTENCES for i in range(len(SAMPLE))]
    if not texts:
        raise InputError("Standard input has no lines, and so no texts to measure with.")
    from ..pipelines import FillMaskPipeline

    if isinstance(pipe, FillMaskPipeline):
        mask = pipe.tokenizer.mask_token
        texts = [text if mask in text else f"{mask} {text}" for text in texts]
    return texts


def _copy(model: Any) -> Any:
    """A model of its own with the same weights: memory is taken once."""
    from copy import deepcopy

    return deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})


def _contestants(pipe: Any, texts: list[str]) -> tuple[list[_Contestant], list[str]]:
    """A pipeline for each mode that there is, the model as it is first; and what is to be said of the modes."""
    contestants, notes = [_Contestant(None, pipe)], []
    for mode in MODES:
        model = _copy(pipe.model).optimize(mode, check=texts, tokenizer=pipe.tokenizer)
        found = model.optimized
        if found.mode == mode:
            contestants.append(_Contestant(mode, type(pipe)(model=model, tokenizer=pipe.tokenizer, task=pipe.task)))
        if found.note:
            notes.append(f"{mode}: {found.note}")
    return contestants, notes


def _choice(pipe: Any, texts: list[str]) -> tuple[str | None, str | None]:
    """What optimize() chooses, None for the model as it is; and why."""
    try:
        found = _copy(pipe.model).optimize(check=texts, tokenizer=pipe.tokenizer).optimized
    except InputError as error:
        return None, str(error)
    if found is None:
        return None, "optimize(): no mode is faster here than the model as it is"
    return found.mode, f"optimize(): {found.note}" if found.note else None


def _measure(contestants: list[_Contestant], texts: list[str], rounds: int) -> None:
    """Let the contestants take turns, each round in another order, since what else runs here comes and goes."""
    from ..pipelines import FeatureExtractionPipeline

    options: dict[str, Any] = {"truncation": True}
    if isinstance(contestants[0].pipe, FeatureExtractionPipeline):
        options["return_tensors"] = True  # millions of Python's numbers would take longer than the model
    alone = sorted(texts, key=len)[:: -(-len(texts) // _ALONE)]

    def seconds(pipe: Any, inputs: list[Any]) -> float:
        start = time.perf_counter()
        for one in inputs:
            pipe(one, **options)
        return (time.perf_counter() - start) / len(inputs)

    for turn in range(-1, rounds):  # the first one warms up
        first = turn % len(contestants)
        for contestant in contestants[first:] + contestants[:first]:
            bulk, single = (seconds(contestant.pipe, inputs) for inputs in ([texts], alone))
            if turn >= 0:
                contestant.bulk.append(bulk)
                contestant.alone.append(single)


def _numbers(one: _Contestant, itself: _Contestant, texts: int) -> dict[str, Any]:
    found = one.pipe.model.optimized if one.mode else None
    return {
        "mode": one.mode,
        "texts_per_second": texts / median(one.bulk),
        "speedup": median(theirs / ours for ours, theirs in zip(one.bulk, itself.bulk, strict=True)),
        "ms_alone": 1000 * median(one.alone),
        "speedup_alone": median(theirs / ours for ours, theirs in zip(one.alone, itself.alone, strict=True)),
        "products": found and found.products,
        "bytes": found.bytes if found else 0,
        "agreement": found and asdict(found.agreement),
    }


def _lines(result: dict[str, Any]) -> Iterator[str]:
    """The table for people."""
    tokens = result["tokens"]
    yield (
        f"{printable(result['model'])}, {result['task']}, on {result['device']} with {result['threads']} threads: "
        f"{result['texts']:,} texts of {tokens['least']:,} to {tokens['most']:,} tokens, rounds: {result['rounds']:,}"
    )
    yield ""
    head = ["mode", "texts/s", "", "alone, ms", "", "memory", "cosine", "worst", "labels changed", "score change"]
    yield from columns([head, *map(_row, result["modes"])])
    yield ""
    yield f"optimize() chooses {result['chosen'] or 'none of them'} by these texts."
    yield from map(printable, result["notes"])


def _row(mode: dict[str, Any]) -> list[str]:
    speed = [f"{mode['texts_per_second']:,.1f}", f"×{mode['speedup']:.2f}"]
    alone = [f"{mode['ms_alone']:.2f}", f"×{mode['speedup_alone']:.2f}"]
    found = mode["agreement"]
    if found is None:
        return ["as it is", *speed, *alone, *["–"] * 5]
    changed, change = found["labels_changed"], found["score_change"]
    return [
        *(mode["mode"], *speed, *alone, size(mode["bytes"]), f"{found['cosine']:.5f}", f"{found['worst_cosine']:.5f}"),
        *("–" if changed is None else f"{changed:.2%}", "–" if change is None else f"{change:.4f}"),
    ]
