"""`formers run`: a task on texts, on pictures, or on sounds."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import visible
from .output import declare_json, on_terminal, printable, show
from .subtitles import FORMATS, cues, written
from .texts import declare_texts, texts_given
from .values import assigned

ABOUT = "run a task on texts, pictures or sounds"
MODES = ("float32", "fp16", "bf16", "int8")


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "task",
        metavar="TASK",
        help="text-classification (sentiment-analysis), fill-mask, feature-extraction, text-generation, summarization, "
        "translation_en_to_fr, text2text-generation, table-question-answering with --set 'table={…}', "
        "image-classification, image-to-text, zero-shot-image-classification with --set candidate_labels=cat,dog, "
        "visual-question-answering with --set question=…, automatic-speech-recognition, audio-classification, …; "
        "pictures and sounds are files or addresses",
    )
    declare_texts(parser)
    parser.add_argument("--model", metavar="NAME", help="folder or hub name (default: the task's own)")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    # "all" is None there, so an option that is not given must leave no trace
    parser.add_argument(
        "--top-k",
        type=_count_or_all,
        metavar="N",
        default=argparse.SUPPRESS,
        help="results per text, best first; 'all' for all",
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="texts per step (default: chosen by their length)")
    parser.add_argument("--device", type=device, help="cpu, cuda, cuda:1, or an accelerator's number")
    parser.add_argument(
        "--dtype", help="type of the weights: float32, bfloat16, …; auto for the type they are stored in"
    )
    parser.add_argument(
        "--optimize",
        nargs="?",
        const=True,
        choices=MODES,
        metavar="MODE",
        help=f"run faster: {', '.join(MODES)}, or without MODE the best that this processor does well and that agrees "
        "with the model. A next word that is no mode is a text; a text that is called like one goes after '--'",
    )
    parser.add_argument("--truncation", action="store_true", help="cut texts that are too long for the model")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="tasks that write: the most that is written")
    parser.add_argument("--seed", type=int, metavar="N", help="tasks that write: of drawing tokens, for the same again")
    parser.add_argument(
        "--set",
        action="append",
        type=assigned,
        default=[],
        metavar="NAME=VALUE",
        help="any argument of the task, as --set do_sample=false; the value is JSON, or else a text",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="automatic-speech-recognition: the text, JSON with times, or subtitles (srt, vtt)",
    )
    declare_json(parser)


def run(given: argparse.Namespace) -> None:
    texts = texts_given(given)
    from ..pipelines import pipeline

    loading = {name: getattr(given, name) for name in ("model", "revision", "device", "dtype", "optimize")}
    pipe = pipeline(given.task, **loading)
    options: dict[str, Any] = {"batch_size": given.batch_size}
    if hasattr(given, "top_k"):
        options["top_k"] = given.top_k
    if given.truncation:
        options["truncation"] = True
    for name in ("max_new_tokens", "seed"):
        if getattr(given, name) is not None:
            options[name] = getattr(given, name)
    options.update(given.set)
    if getattr(pipe, "task", None) == "automatic-speech-recognition":
        _heard(pipe, texts, given, options)
        return
    alone = isinstance(texts, list) and len(texts) == 1 and on_terminal() and not given.json
    if alone and pipe.task == "text-generation":
        _written_along(pipe, given.text[0], options)
        return
    waiting: deque[str] = deque()

    def read() -> Iterator[str]:
        for text in texts:
            waiting.append(text)
            yield text

    for result in pipe(read(), **options):
        show(given, result, _describe(waiting.popleft(), result))


def _heard(pipe: Any, sounds: Iterable[str], given: argparse.Namespace, options: dict[str, Any]) -> None:
    """Show what is said in sounds, in the form that is asked for, with a bar of their seconds on the terminal."""
    if "progress" not in options and sys.stderr.isatty():
        options["progress"] = Seconds()
    options.pop("batch_size")
    kind = given.format or ("json" if given.json or not on_terminal() else "text")
    for sound in sounds:
        if kind in ("srt", "vtt"):
            words = pipe.type != "seq2seq_whisper"
            chunks = pipe.stream(sound, **options)
            for line in written(kind, cues(chunks) if words else chunks):
                print(visible(line), flush=True)
        elif kind == "json":
            times = {} if pipe.type == "seq2seq" else {"return_timestamps": pipe.type == "seq2seq_whisper" or "word"}
            show(argparse.Namespace(json=True), pipe(sound, **{**times, **options}), [])
        else:
            result = pipe(sound, **options)
            print(visible(result["text"].strip()), flush=True)


class Seconds:
    """A bar of the seconds of a sound that are heard."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __call__(self, done: float, total: float | None) -> None:
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=total and round(total), unit="s", leave=False)
        self.bar.update(round(done) - self.bar.n)
        if total is not None and done >= total:
            self.bar.close()
            self.bar = None


def _written_along(pipe: Any, prompt: str, options: dict[str, Any]) -> None:
    """Show a text on the terminal as it is written."""
    from .streaming import Shown

    if options.get("num_return_sequences", 1) == 1 and options.get("num_beams", 1) == 1:
        print(visible(prompt), end="", flush=True)
        pipe(prompt, streamer=Shown(pipe.tokenizer), **{**options, "batch_size": 1})
    else:
        print(*(visible(one["generated_text"]) for one in pipe(prompt, **options)), sep="\n\n")


def _count_or_all(value: str) -> int | None:
    if value == "all":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is no number from 1 on, nor 'all'")
    return int(value)


def device(value: str) -> str | int:
    return int(value) if value.removeprefix("-").isdecimal() else value


def _describe(text: str, result: Any) -> list[str]:
    """The lines that show the result of one text: scores first, so that they line up."""
    if written := _written(result):
        return written
    if isinstance(result, dict) and "cells" in result:
        return [f"{printable(result['answer'])}  {printable(text)}"]
    rows = list(_scored(result))
    if not rows:
        return [f"{_shape(result)}  {printable(text)}"]
    lines = [
        f"{row['score']:.4f}  " + "  ".join(printable(v) for v in row.values() if isinstance(v, str)) for row in rows
    ]
    return (
        [f"{lines[0]}  {printable(text)}"]
        if isinstance(result, dict)
        else [printable(text), *(f"  {x}" for x in lines)]
    )


def _written(result: Any) -> list[str]:
    """The texts that a task wrote from one."""
    records = [one for one in result if isinstance(one, dict)] if isinstance(result, list) else []
    return [text for one in records for key, text in one.items() if key.endswith("_text") and isinstance(text, str)]


def _scored(result: Any) -> Iterator[dict[str, Any]]:
    if isinstance(result, dict) and "score" in result:
        yield result
    elif isinstance(result, list):
        for item in result:
            yield from _scored(item)


def _shape(numbers: Any) -> str:
    sizes = []
    while isinstance(numbers, list):
        sizes.append(str(len(numbers)))
        numbers = numbers[0] if numbers else None
    return f"{' × '.join(sizes)} numbers"
