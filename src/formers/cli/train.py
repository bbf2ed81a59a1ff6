"""`formers train`: from a table to a folder that `pipeline` opens."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from ..errors import ArgumentError, visible
from .output import declare_json, show, table
from .values import assigned

ABOUT = "train a model on a table of examples"
# options that are arguments of TrainingArguments under other names
_ARGUMENTS = {
    "epochs": "num_train_epochs", "steps": "max_steps", "batch_size": "per_device_train_batch_size",
    "learning_rate": "learning_rate", "seed": "seed", "bf16": "bf16",
}  # fmt: skip
_TYPES = ("single-label", "multi-label", "regression")
_COLUMNS = ("text", "text_pair", "label", "target", "label_separator", "task_type")


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "task",
        metavar="TASK",
        help="text-classification, token-classification, question-answering, fill-mask, text-generation, "
        "summarization, translation, text2text-generation",
    )
    add = parser.add_argument
    add("--model", required=True, metavar="NAME", help="folder or hub name of what the training begins with")
    add("--train", required=True, metavar="FILE", help=".csv, .tsv, .jsonl, .json, .parquet, .conll, .txt (a text a "
        "line), a folder of datasets' save_to_disk; text files also as .gz, .bz2 or .xz")  # fmt: skip
    add("--out", metavar="FOLDER", help="where the model goes: new, empty, or a model's, which is replaced "
        "(default: TASK)")  # fmt: skip
    rows = parser.add_argument_group("rows")
    held = rows.add_mutually_exclusive_group()
    held.add_argument("--dev", metavar="FILE", help="held-out rows, on which it is measured")
    held.add_argument("--held-out", type=float, default=0.1, metavar="PART", help="or the part of the rows that "
                      "is held out, or their number; 0 for none (0.1)")  # fmt: skip
    rows.add_argument("--dev-columns", action="extend", nargs="+", type=_renamed, default=[], metavar="OURS=ITS",
                      help="what the columns are called in --dev, where they have other names")  # fmt: skip
    rows.add_argument("--limit", type=_positive, metavar="N", help="train with N rows, drawn by the seed")
    _declare_columns(parser.add_argument_group("columns"))
    _declare_training(parser.add_argument_group("training"))
    declare_json(parser)


def _declare_columns(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--text",
        metavar="COLUMN",
        help="the text (text), its words (words), or the question (question)",
        dest="text_column",
    )
    add("--text-pair", metavar="COLUMN", help="a second text beside it, or the context of a question (context)")
    add("--label", metavar="COLUMN", help="its label (label), its words' tags (tags), or the answer (answers)")
    add("--target", metavar="COLUMN", help="what is to be written (target)")
    add("--label-separator", metavar="TEXT", help="what stands between the labels of a row that has several")
    add("--label-names", action="extend", nargs="+", type=_renamed, default=[], metavar="LABEL=NAME",
        help="what labels are called in the model, as 0=negative 1=positive")  # fmt: skip
    add("--task-type", choices=_TYPES, help="what labels are")


def _declare_training(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--epochs", type=float, metavar="N", help="passes over the rows (3)")
    add("--steps", type=_positive, metavar="N", help="or changes of the weights")
    add("--batch-size", type=_positive, metavar="N", help="rows a step (8)")
    add("--learning-rate", type=float, metavar="X", help="the highest rate (5e-5)")
    add(
        "--max-length", type=_positive, metavar="N", help="tokens of a text; longer ones are cut (what the model reads)"
    )
    add("--seed", type=int, metavar="N", help="of all that is drawn (42)")
    add("--bf16", action="store_true", default=None, help="compute in bfloat16")
    add("--patience", type=_positive, metavar="N", help="end after N evaluations that are no better")
    add("--resume", action="store_true", help="go on with a training that was stopped")
    add("--keep-checkpoints", action="store_true", help="leave FOLDER/checkpoints when it is done")
    add("--set", action="extend", nargs="+", type=assigned, default=[], metavar="NAME=VALUE", help="any argument of "
        "TrainingArguments, as --set warmup_steps=0.1 weight_decay=0.01")  # fmt: skip


def run(given: argparse.Namespace) -> None:
    from ..training.card import finite, opening
    from ..training.from_table import Plan, train_from_table
    from ..training.tasks import Columns

    arguments: dict[str, Any] = {
        name: getattr(given, own) for own, name in _ARGUMENTS.items() if getattr(given, own) is not None
    }
    if twice := sorted(arguments.keys() & dict(given.set)):
        raise ArgumentError(f"{twice[0]} is given twice, by --set and by an option of its own.")
    columns = {name: getattr(given, "text_column" if name == "text" else name) for name in _COLUMNS}
    columns["label_names"] = dict(given.label_names)
    plan = Plan(
        given.task,
        given.model,
        given.train,
        out=given.out or given.task,
        dev=given.dev,
        dev_columns=dict(given.dev_columns),
        held_out=given.held_out,
        columns=Columns(**columns),
        max_length=given.max_length,
        limit=given.limit,
        patience=given.patience,
        resume=given.resume,
        keep_checkpoints=given.keep_checkpoints,
        arguments=arguments | dict(given.set),
    )
    done = train_from_table(plan, _say)
    opens = opening(done.task, done.folder)
    result = finite({name: value for name, value in asdict(done).items() if name != "notes"}) | {"open": opens}
    shown = {name: f"{value:.4f}" for name, value in done.metrics.items()}
    show(given, result, [*(table(shown) if shown else ()), opens])


def _say(line: str) -> None:
    print(visible(f"formers: {line}"), file=sys.stderr, flush=True)


def _renamed(value: str) -> tuple[str, str]:
    ours, found, its = value.partition("=")
    if not (ours and found and its):
        raise argparse.ArgumentTypeError(f"{value!r} is no NAME=NAME, as sentence=content")
    return ours, its


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is no number from 1 on")
    return int(value)
