"""Small models of Transformers, data for their tasks, and Trainers of both libraries over them."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path
from typing import Any

import torch
import transformers

import formers

TASKS = {
    "classification": "SequenceClassification",
    "tokens": "TokenClassification",
    "answers": "QuestionAnswering",
    "masked": "MaskedLM",
    "choice": "MultipleChoice",
    "causal": "CausalLM",
    "seq2seq": "Seq2SeqLM",
}
BERT = {
    "vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


def saved(task: str, folder: Path, labels: int | None = None) -> Path:
    """A model of Transformers for the task, without dropout, in a folder."""
    torch.manual_seed(0)
    kind = TASKS[task]
    if task == "causal":
        config: Any = transformers.LlamaConfig(
            vocab_size=120, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=3, pad_token_id=0,
        )  # fmt: skip
    elif task == "seq2seq":
        config = transformers.T5Config(
            vocab_size=120, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, dropout_rate=0.0,
            decoder_start_token_id=0,
        )  # fmt: skip
    else:
        config = transformers.BertConfig(**BERT, num_labels=labels or {"classification": 3, "tokens": 5}.get(task, 2))
    model = getattr(transformers, f"AutoModelFor{kind}").from_config(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    with contextlib.redirect_stderr(io.StringIO()):
        model.save_pretrained(folder)
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(115))])
    )
    return folder


def data(task: str, count: int = 46, seed: int = 1) -> list[dict[str, Any]]:
    """Tokenized examples of different lengths."""
    rng = random.Random(seed)

    def text(least: int, most: int) -> list[int]:
        return [2, *(rng.randint(5, 119) for _ in range(rng.randint(least, most))), 3]

    rows = []
    for _ in range(count):
        ids = text(3, 20)
        row: dict[str, Any] = {"input_ids": ids, "attention_mask": [1] * len(ids)}
        if task == "classification":
            row["labels"] = rng.randint(0, 2)
        elif task == "tokens":
            row["labels"] = [-100, *(rng.randint(0, 4) for _ in ids[2:]), -100]
        elif task == "answers":
            row |= {"start_positions": rng.randint(1, len(ids) - 2), "end_positions": rng.randint(1, len(ids) - 2)}
        elif task == "seq2seq":
            row["labels"] = text(1, 8)
        elif task == "choice":
            ids = [text(3, 9) for _ in range(3)]
            row = {"input_ids": ids, "attention_mask": [[1] * len(x) for x in ids], "labels": rng.randint(0, 2)}
        rows.append(row)
    return rows


def collator(library: Any, task: str, tokenizer: Any, model: Any) -> Any:
    """The collator of the task."""
    if task in ("masked", "causal"):
        return library.DataCollatorForLanguageModeling(tokenizer, mlm=task == "masked", mlm_probability=0.3)
    name = {
        "tokens": "DataCollatorForTokenClassification",
        "choice": "DataCollatorForMultipleChoice",
        "seq2seq": "DataCollatorForSeq2Seq",
    }.get(task, "DataCollatorWithPadding")
    return getattr(library, name)(tokenizer, **({"model": model} if task == "seq2seq" else {}))


def trainer(library: Any, task: str, folder: Path, out: Path, **options: Any) -> Any:
    """A Trainer of the library over a saved model; options are arguments, or a Trainer's own by these names."""
    own = {name: options.pop(name) for name in ("callbacks", "compute_metrics", "optimizers") if name in options}
    kind, changes = options.pop("kind", library.Trainer), options.pop("config", {})
    rows, held = options.pop("train_dataset", None), options.pop("eval_dataset", None)
    model = getattr(library, f"AutoModelFor{TASKS[task]}").from_pretrained(folder, **changes)
    tokenizer = (
        formers.BertTokenizer(str(folder / "vocab.txt"))
        if library is formers
        else library.BertTokenizer.from_pretrained(str(folder))
    )
    arguments = library.TrainingArguments if kind is library.Trainer else library.Seq2SeqTrainingArguments
    given = {
        "per_device_train_batch_size": 4, "num_train_epochs": 2, "logging_steps": 1, "learning_rate": 1e-3,
        "use_cpu": True, "report_to": [], "disable_tqdm": True, "save_strategy": "no", "seed": 3,
    }  # fmt: skip
    return kind(
        model=model,
        args=arguments(str(out), **given | options),
        train_dataset=data(task) if rows is None else rows,
        eval_dataset=data(task, 11) if held is None else held,
        data_collator=collator(library, task, tokenizer, model),
        processing_class=tokenizer,
        **own,
    )


def quiet(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What a function gives, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*args, **kwargs)
