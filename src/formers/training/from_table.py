"""From a table to a folder that `pipeline` opens: what `formers train` does.

table ─▶ examples ─▶ training part ─▶ features ─▶ Trainer ─▶ folder/checkpoints ─▶ folder, all at once
                 └─▶ held-out part ─▶ features ─▶ metrics, card, plots ───────────────┘
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import auto
from ..atomic import replacing, target_folder
from ..config import CONFIG_NAME, longest_text
from ..errors import ArgumentError, CheckpointError, InputError
from . import card, seed
from .arguments import Seq2SeqTrainingArguments, TrainingArguments
from .callbacks import TRAINER_STATE_NAME, EarlyStoppingCallback, PrinterCallback, ProgressCallback
from .registered import task_called
from .results import get_last_checkpoint
from .seq2seq import Seq2SeqTrainer
from .splitting import split
from .tables import MissingColumnError, Table, read_table
from .tasks import Columns, Example, Report, TableTask
from .trainer import Trainer

CHECKPOINTS, PLAN = "checkpoints", "plan.json"
# what a new model supersedes in the folder
_STALE = ("model*.safetensors*", "pytorch_model*.bin*", "tf_model*.h5", "flax_model*.msgpack", "*.png", "tokenizer*",
          "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.*",
          "generation_config.json", "spiece.model", "*.spm")  # fmt: skip
_OURS = ("output_dir", "overwrite_output_dir", "load_best_model_at_end", "predict_with_generate", "push_to_hub")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    held_out: the part of the rows that is held out where there is no `dev` file, 0 for none. dev_columns: what columns
    of the training file are called in that file. limit: so many rows are drawn. patience: evaluations without gain
    after which it ends. arguments: those of TrainingArguments.
    """

    task: str
    model: str
    train: str
    out: str
    dev: str | None = None
    dev_columns: dict[str, str] = field(default_factory=dict)
    held_out: float = 0.1
    columns: Columns = field(default_factory=Columns)
    max_length: int | None = None
    limit: int | None = None
    patience: int | None = None
    resume: bool = False
    keep_checkpoints: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class Part:
    """Rows that are trained on, or held out: where they stand, what they say."""

    table: Table
    examples: list[Example]

    def chosen(self, rows: list[int]) -> Part:
        return Part(self.table.chosen(rows), [self.examples[i] for i in rows])


@dataclass
class Outcome:
    """What came of it. metrics: of the held-out rows, by the names of the card, {} where there are none."""

    folder: str
    task: str
    metrics: dict[str, float]
    rows: dict[str, int]
    seconds: float
    notes: list[str]


def train_from_table(plan: Plan, say: Say) -> Outcome:
    """Train as planned. say: gets a line of what goes on at a time.

    Errors: ArgumentError, InputError and the like, before anything is written; NotFiniteError and others while it
    trains. The folder is then what it was, but for its checkpoints.
    """
    target = _checked_target(plan)
    task = task_called(plan.task, plan.columns)
    arguments = _arguments(plan, task, target)
    seed.set_seed(arguments.seed)
    training, held = _parts(plan, task, arguments.seed, say)
    tokenizer = auto.AutoTokenizer.from_pretrained(plan.model)
    kind, options = getattr(auto, task.AUTO), task.options()
    model = kind.from_pretrained(plan.model, ignore_mismatched_sizes=bool(options), **options)
    task.ready(tokenizer, model, _limit(plan, task, tokenizer, model))
    features = {name: task.features(part.examples, name == "held") for name, part in
                (("training", training), ("held", held)) if part is not None}  # fmt: skip
    if task.cut:
        say(f"{task.cut:,} texts are longer than {task.limit} tokens and were cut (--max-length)")
    _check_plan(plan, target, training, held)
    try:
        trainer = _trainer(plan, task, arguments, features, say)
        done = trainer.train(resume_from_checkpoint=plan.resume or None)
    except KeyboardInterrupt:
        say(f"stopped; the same command with --resume goes on from {target / CHECKPOINTS}")
        raise
    finally:
        _remove_empty(target)
    metrics, report = {}, Report()
    if held is not None:
        found = trainer.predict(features["held"], metric_key_prefix="eval")
        metrics = {k.removeprefix("eval_"): v for k, v in (found.metrics or {}).items() if not _is_speed(k)}
        report = task.report(found.predictions, found.label_ids)
    rows = {"training": len(training.examples), "held_out": len(held.examples) if held else 0}
    outcome = Outcome(plan.out, task.name, metrics, rows, done.metrics["train_runtime"], [])
    about = card.About(plan, task, training.table, None if held is None else held.table, outcome, report, trainer.state,
                       arguments)  # fmt: skip
    _write(target, trainer, about, say)
    if not plan.keep_checkpoints:
        shutil.rmtree(target / CHECKPOINTS, ignore_errors=True)
    return outcome


# ---- before anything is read


def _checked_target(plan: Plan) -> Path:
    target = target_folder(plan.out)
    names = {p.name for p in target.iterdir()} if target.is_dir() else set[str]()
    if names - {CHECKPOINTS} and CONFIG_NAME not in names:
        raise ArgumentError(f"{plan.out!r} has files and is no model's folder: give a new --out, or an empty folder.")
    if Path(plan.model).expanduser().is_dir() and target.exists() and target.samefile(Path(plan.model).expanduser()):
        raise ArgumentError(f"--out {plan.out!r} is the model itself, which stays as it is: give another folder.")
    last = get_last_checkpoint(target / CHECKPOINTS) if (target / CHECKPOINTS).is_dir() else None
    if plan.resume and last is None:
        raise ArgumentError(f"--resume has nothing to go on from: {str(target / CHECKPOINTS)!r} has no checkpoint.")
    if last is not None and not plan.resume:
        raise ArgumentError(
            f"{last!r} is a checkpoint of an earlier training: go on with it by --resume, delete "
            f"{str(target / CHECKPOINTS)!r}, or give another --out."
        )
    return target


def _arguments(plan: Plan, task: TableTask, target: Path) -> TrainingArguments:
    """The training's arguments: those that were given, and ours where they say nothing."""
    if own := [name for name in _OURS if name in plan.arguments]:
        raise ArgumentError(f"--set {own[0]} is not possible: `formers train` sees to that itself.")
    measured = plan.dev is not None or plan.held_out > 0
    if plan.patience is not None and not measured:
        raise ArgumentError("--patience waits for a metric, and no rows are held out: give --dev or --held-out.")
    given = dict(plan.arguments)
    every = given.pop("evaluation_strategy", given.pop("eval_strategy", "epoch" if measured else "no"))
    best = measured and every != "no" and given.get("save_strategy") != "no"
    options: dict[str, Any] = {
        "eval_strategy": every,
        "save_strategy": every if best else "epoch",
        "save_total_limit": 1,
    }
    if best and every == "steps":
        options["save_steps"] = given.get("eval_steps", given.get("logging_steps", 500))
    options |= {"load_best_model_at_end": best, "logging_steps": 0.02, "report_to": "none"} | task.arguments() | given
    if best:
        options = {"metric_for_best_model": task.WATCHED, "greater_is_better": task.HIGHER} | options
    kind = Seq2SeqTrainingArguments if task.WRITES else TrainingArguments
    return kind(output_dir=str(target / CHECKPOINTS), **options)


# ---- data


def _parts(plan: Plan, task: TableTask, number: int, say: Say) -> tuple[Part, Part | None]:
    """The rows to train on, and those held out."""
    table = read_table(plan.train)
    whole = _part(table if plan.limit is None else table.drawn(plan.limit, number), task, say)
    config: Any = auto.AutoConfig.from_pretrained(plan.model)
    for line in task.learn(whole.examples, whole.table, [str(config.id2label[i]) for i in sorted(config.id2label)]):
        say(line)
    if plan.dev is not None:
        training, held = whole, _dev_part(plan.dev, plan.dev_columns, task, say)
        task.check(held.examples, held.table)
        both = {task.key(example) for example in training.examples}
        if seen := sum(task.key(example) in both for example in held.examples):
            say(f"{seen:,} of the held-out rows have a text that is trained on too: they flatter the figures")
    elif plan.held_out > 0:
        keys, kinds = ([of(example) for example in whole.examples] for of in (task.group, task.stratum))
        training, held = map(whole.chosen, split(keys, kinds, plan.held_out, number))
    else:
        training, held = whole, None
    how = "none held out" if held is None else f"{len(held.examples):,} held out"
    say(f"{len(training.examples):,} rows to train on, {how}")
    return training, held


def _dev_part(path: str, columns: dict[str, str], task: TableTask, say: Say) -> Part:
    try:
        return _part(read_table(path).renamed(columns), task, say)
    except MissingColumnError as error:
        raise MissingColumnError(
            f"{error} Where columns have other names than in the training file, say so: --dev-columns OURS=ITS."
        ) from error


def _part(table: Table, task: TableTask, say: Say) -> Part:
    """The rows of a table that have a text; what is odd about them is said."""
    examples = task.examples(table)
    empty = [i for i, example in enumerate(examples) if task.is_empty(example)]
    if empty:
        say(f"left out for an empty text: {table.listed(empty)}")
        kept = sorted(set(range(len(examples))) - set(empty))
        table, examples = table.chosen(kept), [examples[i] for i in kept]
    if not examples:
        raise InputError(f"{table.name} has no row with a text.")
    counts = Counter(task.key(example) for example in examples)
    if twice := sum(count - 1 for count in counts.values()):
        truths: dict[Any, set[Any]] = {}
        for example in examples:
            truths.setdefault(task.key(example), set()).add(task.truth(example))
        unlike = sum(len(found) > 1 for found in truths.values())
        say(f"{table.name}: {twice:,} rows repeat a text" + f"; {unlike:,} texts have different labels" * bool(unlike))
    return Part(table, examples)


def _limit(plan: Plan, task: TableTask, tokenizer: Any, model: Any) -> int | None:
    """How many tokens a text may have: no more than the tokenizer and the model take."""
    limits = [x for x in (tokenizer.model_max_length, longest_text(model.config)) if x is not None and x < 10**9]
    most = min(limits, default=None)
    if plan.max_length is not None and most is not None and plan.max_length > most:
        raise ArgumentError(f"--max-length {plan.max_length} is more than the model reads, {most} tokens.")
    usual = task.LONGEST if most is None else min(most, task.LONGEST or most)
    return plan.max_length or usual


# ---- training


def _trainer(plan: Plan, task: TableTask, arguments: Any, features: dict[str, Any], say: Say) -> Trainer:
    if arguments.packing and arguments.packing_length is None:
        arguments.packing_length = task.limit
    kind = Trainer
    if task.WRITES:
        kind = Seq2SeqTrainer
        if arguments.generation_max_length is None:
            arguments.generation_max_length = task.longest_target + 1
    trainer = kind(
        task.model, arguments, data_collator=task.collator(), train_dataset=features["training"],
        eval_dataset=features.get("held"), processing_class=task.tokenizer, compute_metrics=task.metrics,
        preprocess_logits_for_metrics=task.reduce,
        callbacks=[] if plan.patience is None else [EarlyStoppingCallback(plan.patience)],
    )  # fmt: skip
    for printing in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(printing)
    trainer.add_callback(Progress(say, task.WATCHED, bar=not arguments.disable_tqdm and sys.stderr.isatty()))
    return trainer


class Progress(ProgressCallback):
    """A bar on standard error, and a line for each evaluation: standard output is for results."""

    def __init__(self, say: Say, watched: str, bar: bool) -> None:
        super().__init__()
        self.say, self.watched, self.bar, self.loss = say, watched, bar, math.nan

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.bar:
            super().on_train_begin(args, state, control, **kwargs)

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kwargs: Any
    ) -> None:
        if self.bar:
            super().on_prediction_step(args, state, control, eval_dataloader, **kwargs)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.loss = (logs or {}).get("loss", self.loss)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        super().on_evaluate(args, state, control, **kwargs)
        found = {"loss": metrics.get("eval_loss"), self.watched: metrics.get(f"eval_{self.watched}")}
        shown = ", ".join(f"{name} {value:.4f}" for name, value in found.items() if value is not None)
        self.say(
            f"step {state.global_step:,}, epoch {state.epoch:.2f}: training loss {self.loss:.4f}, held out {shown}"
        )


def _is_speed(name: str) -> bool:
    return name.endswith(("_runtime", "_per_second"))


# ---- after it


def _check_plan(plan: Plan, target: Path, training: Part, held: Part | None) -> None:
    """Keep what the checkpoints are of. Errors: ArgumentError for a resumed training that would be another one."""
    tables = [part.table for part in (training, held) if part is not None]
    free = {"resume": None, "keep_checkpoints": None, "out": None}
    now = asdict(plan) | free | {"sha256": [table.sha256 for table in tables], "rows": [len(t) for t in tables]}
    now = json.loads(json.dumps(now, default=str))
    path = target / CHECKPOINTS / PLAN
    if plan.resume:
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{str(path)!r} cannot be read, so nothing says what was trained: {error}."
            ) from error
        for name in now:
            if now[name] != before.get(name):
                raise ArgumentError(
                    f"--resume goes on with a training of {name.replace('_', '-')} {before.get(name)!r}, and now it is "
                    f"{now[name]!r}. Give what was given then, or another --out."
                )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")


def _remove_empty(target: Path) -> None:
    """Leave no folder where no checkpoint was written."""
    folder = target / CHECKPOINTS
    if folder.is_dir() and not any(path.name.startswith("checkpoint-") for path in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()


def _write(target: Path, trainer: Trainer, about: card.About, say: Say) -> None:
    """The model, its tokenizer, figures, card and plots, in one step."""
    with replacing(target, stale=_STALE) as stage:
        inner = stage / "model"  # saving exchanges the folder that it writes, and a stage must stay
        trainer.save_model(str(inner))
        for path in inner.iterdir():
            path.rename(stage / path.name)
        inner.rmdir()
        trainer.state.save_to_json(stage / TRAINER_STATE_NAME)
        (stage / "metrics.json").write_text(card.figures(about), encoding="utf-8")
        pictures = card.plots(about, stage)
        if not pictures:
            about.outcome.notes.append("without plots: matplotlib is not installed (pip install 'formers[train]')")
        (stage / "README.md").write_text(card.text(about, pictures), encoding="utf-8")
    for note in about.outcome.notes:
        say(note)
