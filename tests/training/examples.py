"""Scripts of the form that Transformers' examples have, tiny models and data for them, and a way to run them.

A script of `scripts/` says `transformers`. Under this package only that word is another; in the form of 4.20, what
Transformers itself has renamed since is too.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from training import tiny

SCRIPTS = Path(__file__).parent / "scripts"
GOOD, BAD = ("fine", "lovely", "great", "warm"), ("poor", "dull", "weak", "cold")
THINGS = ("film", "book", "song", "play", "house", "garden", "river", "town", "bird", "cat", "storm", "letter")
OTHERS = (
    *("the", "a", "was", "is", "and", "very", "who", "saw", "in", "near", "of", "it", "then", "."),
    *("anna", "bert", "paris", "oslo", "shorten", ":", "##s", "##ly"),
)
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *THINGS, *OTHERS)
# what Transformers has renamed: the words of 5.x, and those of 4.20
IN_420 = {
    "processing_class=": "tokenizer=",
    "training_args.output_dir) and training_args.do_train:": (
        "training_args.output_dir) and training_args.do_train and not training_args.overwrite_output_dir:"
    ),
    "is_torch_xla_available": "is_torch_tpu_available",
    "token=model_args.token": "use_auth_token=model_args.token",
    '"token": model_args.token': '"use_auth_token": model_args.token',
    "optimizer = torch.optim.AdamW(": "optimizer = transformers.AdamW(",
    "transformers.utils import PaddingStrategy, check_min_version": (
        "transformers.file_utils import PaddingStrategy\n"
        "from transformers.utils import check_min_version, is_offline_mode, send_example_telemetry"
    ),
    "transformers.utils import check_min_version\n": (
        "transformers.utils import check_min_version, is_offline_mode, send_example_telemetry\n"
    ),
    "    set_seed(training_args.seed)\n": (
        "    set_seed(training_args.seed)\n    send_example_telemetry('example', model_args, data_args)\n"
        "    assert is_offline_mode() in (False, True)\n"
    ),
    "--eval_strategy": "--evaluation_strategy",
    "--use_cpu": "--no_cuda",
    "--warmup_steps 0.2": "--warmup_ratio 0.2",
}


@dataclass(frozen=True)
class Example:
    """A script with its data and options. model: the task of a model in `tiny`, with weights anew at a head."""

    script: str
    model: str
    data: str
    options: str = ""


TRAINING = (
    "--do_train --do_eval --num_train_epochs 2 --per_device_train_batch_size 4 --learning_rate 3e-3 --use_cpu "
    "--report_to none --logging_steps 2 --save_strategy epoch --save_total_limit 2 --seed 5 --eval_strategy epoch "
    "--disable_tqdm True --log_level error"
)
EXAMPLES = {
    "glue": Example("run_glue", "classification", "labels.csv", "--max_seq_length 16 --max_train_samples 40"),
    "glue, padded by batches": Example(
        "run_glue", "classification", "labels.json",
        "--pad_to_max_length False --warmup_steps 0.2 --load_best_model_at_end --metric_for_best_model accuracy",
    ),
    "glue, regression": Example("run_glue", "one", "numbers.csv", "--lr_scheduler_type cosine"),
    "ner": Example("run_ner", "tokens", "words.json", "--return_entity_level_metrics --do_predict"),
    "qa": Example("run_qa", "answers", "answers.json", "--max_seq_length 20 --doc_stride 4 --do_predict"),
    "qa, padded by batches": Example("run_qa", "answers", "answers.json", "--pad_to_max_length False"),
    "mlm": Example("run_mlm", "masked", "lines.txt", "--max_seq_length 16"),
    "mlm, line by line": Example("run_mlm", "masked", "lines.txt", "--line_by_line --weight_decay 0.1"),
    "clm": Example("run_clm", "causal", "lines.txt", "--block_size 16 --gradient_accumulation_steps 2"),
    "summarization": Example(
        "run_summarization", "seq2seq", "summaries.json",
        "--predict_with_generate --do_predict --num_beams 2 --source_prefix shorten: --label_smoothing_factor 0.1",
    ),
    "translation": Example(
        "run_summarization", "seq2seq", "pairs.json",
        "--source_lang en --target_lang fr --predict_with_generate --pad_to_max_length",
    ),
    "swag": Example("run_swag", "choice", "endings.json"),
    "glue, no trainer": Example("run_glue_no_trainer", "classification", "labels.json"),
}  # fmt: skip


def rows(kind: str, count: int, seed: int) -> list[Any]:
    """Texts about things that are good or bad, in the columns that a script reads."""
    rng, found = random.Random(seed), []
    for number in range(count):
        good, thing, who, where = rng.random() < 0.5, *map(rng.choice, (THINGS, ("anna", "bert"), ("paris", "oslo")))
        word = rng.choice(GOOD if good else BAD)
        text = f"{who} saw the {thing} in {where} and it was {'very ' * rng.randint(0, 4)}{word} ."
        words = text.split()
        label = "good" if good else "bad"
        if kind == "labels":
            found.append({"text": text, "label": label})
        elif kind == "numbers":
            found.append({"text": text, "second": f"the {thing}", "label": round(len(words) / 10 + good, 2)})
        elif kind == "words":
            tags = ["B-PER" if w == who else "B-LOC" if w == where else "O" for w in words]
            found.append({"tokens": words, "ner_tags": tags})
        elif kind == "answers":
            context = f"it was near the river . {text} then a storm was in the town ."
            answer = {"text": [where], "answer_start": [context.index(where)]}
            found.append({"id": f"{kind}{number}", "question": f" {who} saw the {thing} in", "context": context,
                          "answers": answer})  # fmt: skip
        elif kind == "summaries":
            found.append({"text": text, "summary": f"{label.replace('good', 'fine').replace('bad', 'poor')} {thing}"})
        elif kind == "pairs":
            found.append({"translation": {"en": text, "fr": " ".join(words[::-1][:6])}})
        elif kind == "endings":
            endings = {f"ending{i}": f"was {w} ." for i, w in enumerate(rng.sample((*GOOD, *BAD), 4))}
            found.append({"sent1": text, "sent2": f"the {thing}", **endings, "label": rng.randint(0, 3)})
        else:
            found.append(text)
    return found


def written(name: str, folder: Path) -> dict[str, str]:
    """Files of 48 and 13 rows: {option: file}."""
    kind, ending = name.split(".")
    files = {}
    for part, count, seed in (("train", 48, 1), ("validation", 13, 2)):
        path, found = folder / f"{kind}-{part}.{ending}", rows(kind, count, seed)
        if ending == "csv":
            lines = [",".join(found[0]), *(",".join(map(str, row.values())) for row in found)]
        elif ending == "txt":
            lines = found
        elif kind == "answers":
            lines = [json.dumps({"data": found})]
        else:
            lines = [json.dumps(row) for row in found]
        path.write_text("\n".join(lines) + "\n")
        files[f"--{part}_file"] = str(path)
    return files


def model(task: str, folder: Path) -> Path:
    """A tiny model with a tokenizer that both packages open."""
    if (folder / "config.json").exists():
        return folder
    labels = {"one": 1, "classification": 2, "tokens": 3}.get(task)
    tiny.saved("classification" if task == "one" else task, folder, labels)
    if task == "seq2seq":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": 3, "pad_token_id": 0}))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def loaded(script: str, library: str, old: bool, folder: Path) -> ModuleType:
    """A script as a module: with another import, and with `old` in the form of 4.20."""
    text = (SCRIPTS / f"{script}.py").read_text()
    for new, before in IN_420.items() if old else ():
        text = text.replace(new, before)
    path = folder / f"{script}_{library}{'_420' * old}.py"
    path.write_text(re.sub(r"\btransformers\b", library, text))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where dataclasses look for the types of their fields
    spec.loader.exec_module(module)
    return module


def run(name: str, library: str, folder: Path, *, old: bool = False, more: str = "", as_json: bool = False) -> Path:
    """Run an example; returns the folder that it leaves."""
    example = EXAMPLES[name]
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{example.script}-{library}{'-420' * old}"
    out.mkdir(exist_ok=True)
    given = {"--model_name_or_path": str(model(example.model, folder / example.model)), "--output_dir": str(out)}
    given |= written(example.data, folder)
    options = f"{example.options} {more}"
    if example.script == "run_glue_no_trainer":
        options = f"{options} --seed 5 --gradient_accumulation_steps 2 --weight_decay 0.1 --num_warmup_steps 2"
    else:
        options = f"{TRAINING} {options}"
    for new, before in IN_420.items() if old else ():
        options = options.replace(new, before)
    words = [*(word for pair in given.items() for word in pair), *options.split()]
    if as_json:
        path = folder / "arguments.json"
        path.write_text(json.dumps(_as_dict(words)))
        words = [str(path)]
    level = logging.root.level
    with mock.patch.object(sys, "argv", [f"{example.script}.py", *words]):
        torch.manual_seed(0)
        loaded(example.script, library, old, folder).main()
    logging.root.setLevel(level)
    return out


def _as_dict(words: list[str]) -> dict[str, Any]:
    """Options of a command line as JSON has them."""
    found: dict[str, Any] = {}
    for place, word in enumerate(words):
        if word.startswith("--"):
            value: Any = words[place + 1] if place + 1 < len(words) else "--"
            try:
                found[word[2:]] = True if value.startswith("--") else json.loads(value)
            except ValueError:
                found[word[2:]] = value == "True" if value in ("True", "False") else value
    return found


def results(out: Path) -> dict[str, float]:
    """The figures that a run leaves, without those of time."""
    found = json.loads((out / "all_results.json").read_text())
    return {name: x for name, x in found.items() if not re.search(r"runtime|per_second|flos|memory", name)}
