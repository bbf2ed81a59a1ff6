"""Classify texts or pairs of texts, or give each a number: a script of the form that Transformers' examples have."""
# ruff: noqa: UP045

import logging
import os
import random
import sys
from dataclasses import dataclass, field
from typing import Optional

import datasets
import numpy as np
import transformers
from datasets import load_dataset
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    HfArgumentParser,
    PretrainedConfig,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import check_min_version
from transformers.utils.versions import require_version

check_min_version("4.20.0")
require_version("datasets>=1.8.0", "To fix: pip install datasets")
logger = logging.getLogger(__name__)


@dataclass
class DataTrainingArguments:
    """Which data, and how much of it."""

    train_file: str = field(metadata={"help": "A csv or json file to train on."})
    validation_file: str = field(metadata={"help": "A csv or json file to evaluate on."})
    test_file: Optional[str] = field(default=None, metadata={"help": "A csv or json file to predict."})
    max_seq_length: int = field(default=64, metadata={"help": "Texts of more tokens are cut."})
    overwrite_cache: bool = field(default=False, metadata={"help": "Tokenize again what is in the cache."})
    pad_to_max_length: bool = field(default=True, metadata={"help": "Fill all texts up to max_seq_length."})
    max_train_samples: Optional[int] = field(default=None, metadata={"help": "Train on so many rows."})
    max_eval_samples: Optional[int] = field(default=None, metadata={"help": "Evaluate so many rows."})
    max_predict_samples: Optional[int] = field(default=None, metadata={"help": "Predict so many rows."})


@dataclass
class ModelArguments:
    """Which model."""

    model_name_or_path: str = field(metadata={"help": "A name on the hub, or a folder."})
    config_name: Optional[str] = field(default=None, metadata={"help": "Of a configuration, if another."})
    tokenizer_name: Optional[str] = field(default=None, metadata={"help": "Of a tokenizer, if another."})
    cache_dir: Optional[str] = field(default=None, metadata={"help": "Where downloads are kept."})
    use_fast_tokenizer: bool = field(default=True, metadata={"help": "Whether the tokenizer is a fast one."})
    model_revision: str = field(default="main", metadata={"help": "A branch, a tag or a commit."})
    token: Optional[str] = field(default=None, metadata={"help": "For the hub."})
    trust_remote_code: bool = field(default=False, metadata={"help": "Whether code on the hub may run."})
    ignore_mismatched_sizes: bool = field(default=False, metadata={"help": "Draw heads of other sizes anew."})


def main():
    parser = HfArgumentParser((ModelArguments, DataTrainingArguments, TrainingArguments))
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        model_args, data_args, training_args = parser.parse_json_file(json_file=os.path.abspath(sys.argv[1]))
    else:
        model_args, data_args, training_args = parser.parse_args_into_dataclasses()

    logging.basicConfig(format="%(levelname)s - %(name)s - %(message)s", handlers=[logging.StreamHandler(sys.stdout)])
    if training_args.should_log:
        transformers.utils.logging.set_verbosity_info()
    log_level = training_args.get_process_log_level()
    logger.setLevel(log_level)
    datasets.utils.logging.set_verbosity(log_level)
    transformers.utils.logging.set_verbosity(log_level)
    transformers.utils.logging.enable_default_handler()
    transformers.utils.logging.enable_explicit_format()
    logger.warning(
        f"rank {training_args.local_rank}, {training_args.device}, {training_args.n_gpu} GPUs, "
        f"distributed: {training_args.parallel_mode.value == 'distributed'}, fp16: {training_args.fp16}"
    )
    logger.info(f"Arguments: {training_args}")

    last_checkpoint = None
    if os.path.isdir(training_args.output_dir) and training_args.do_train:
        last_checkpoint = get_last_checkpoint(training_args.output_dir)
        if last_checkpoint is not None and training_args.resume_from_checkpoint is None:
            logger.info(f"Going on from {last_checkpoint}.")
    set_seed(training_args.seed)

    data_files = {"train": data_args.train_file, "validation": data_args.validation_file}
    if training_args.do_predict:
        data_files["test"] = data_args.test_file
    kind = "csv" if data_args.train_file.endswith(".csv") else "json"
    raw_datasets = load_dataset(kind, data_files=data_files, cache_dir=model_args.cache_dir)

    is_regression = raw_datasets["train"].features["label"].dtype in ["float32", "float64"]
    label_list = [] if is_regression else sorted(raw_datasets["train"].unique("label"))
    num_labels = 1 if is_regression else len(label_list)

    hub = {
        "cache_dir": model_args.cache_dir,
        "revision": model_args.model_revision,
        "token": model_args.token,
        "trust_remote_code": model_args.trust_remote_code,
    }
    config = AutoConfig.from_pretrained(
        model_args.config_name or model_args.model_name_or_path, num_labels=num_labels, finetuning_task="own", **hub
    )
    tokenizer = AutoTokenizer.from_pretrained(
        model_args.tokenizer_name or model_args.model_name_or_path, use_fast=model_args.use_fast_tokenizer, **hub
    )
    model = AutoModelForSequenceClassification.from_pretrained(
        model_args.model_name_or_path,
        from_tf=bool(".ckpt" in model_args.model_name_or_path),
        config=config,
        ignore_mismatched_sizes=model_args.ignore_mismatched_sizes,
        **hub,
    )

    columns = [name for name in raw_datasets["train"].column_names if name != "label"]
    first, second = columns[0], columns[1] if len(columns) > 1 else None
    padding = "max_length" if data_args.pad_to_max_length else False
    label_to_id = None
    named = model.config.label2id != PretrainedConfig(num_labels=num_labels).label2id
    if not is_regression and named and sorted(model.config.label2id) == label_list:
        label_to_id = {name: int(model.config.label2id[name]) for name in label_list}
    elif not is_regression:
        label_to_id = {name: i for i, name in enumerate(label_list)}
    if label_to_id is not None:
        model.config.label2id = label_to_id
        model.config.id2label = {i: name for name, i in config.label2id.items()}
    max_seq_length = min(data_args.max_seq_length, tokenizer.model_max_length)

    def preprocess_function(examples):
        texts = (examples[first],) if second is None else (examples[first], examples[second])
        result = tokenizer(*texts, padding=padding, max_length=max_seq_length, truncation=True)
        named = label_to_id is not None
        result["labels"] = [label_to_id[name] for name in examples["label"]] if named else examples["label"]
        return result

    with training_args.main_process_first(desc="tokenizing"):
        raw_datasets = raw_datasets.map(
            preprocess_function,
            batched=True,
            remove_columns=raw_datasets["train"].column_names,
            load_from_cache_file=not data_args.overwrite_cache,
            desc="Running the tokenizer",
        )
    train_dataset, eval_dataset = raw_datasets["train"], raw_datasets["validation"]
    if data_args.max_train_samples is not None:
        train_dataset = train_dataset.select(range(min(len(train_dataset), data_args.max_train_samples)))
    if data_args.max_eval_samples is not None:
        eval_dataset = eval_dataset.select(range(min(len(eval_dataset), data_args.max_eval_samples)))
    for index in random.sample(range(len(train_dataset)), 3):
        logger.info(f"Row {index} of the training set: {train_dataset[index]}.")

    def compute_metrics(p: EvalPrediction):
        predictions = p.predictions[0] if isinstance(p.predictions, tuple) else p.predictions
        predictions = np.squeeze(predictions) if is_regression else np.argmax(predictions, axis=1)
        if is_regression:
            return {"mse": ((predictions - p.label_ids) ** 2).mean().item()}
        return {"accuracy": (predictions == p.label_ids).astype(np.float32).mean().item()}

    if data_args.pad_to_max_length:
        data_collator = default_data_collator
    elif training_args.fp16:
        data_collator = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)
    else:
        data_collator = None
    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=train_dataset if training_args.do_train else None,
        eval_dataset=eval_dataset if training_args.do_eval else None,
        compute_metrics=compute_metrics,
        processing_class=tokenizer,
        data_collator=data_collator,
    )

    if training_args.do_train:
        checkpoint = None
        if training_args.resume_from_checkpoint is not None:
            checkpoint = training_args.resume_from_checkpoint
        elif last_checkpoint is not None:
            checkpoint = last_checkpoint
        train_result = trainer.train(resume_from_checkpoint=checkpoint)
        metrics = train_result.metrics
        metrics["train_samples"] = min(data_args.max_train_samples or len(train_dataset), len(train_dataset))
        trainer.save_model()
        trainer.log_metrics("train", metrics)
        trainer.save_metrics("train", metrics)
        trainer.save_state()

    if training_args.do_eval:
        metrics = trainer.evaluate(eval_dataset=eval_dataset)
        metrics["eval_samples"] = len(eval_dataset)
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)

    if training_args.do_predict:
        predict_dataset = raw_datasets["test"].remove_columns("labels")
        predictions = trainer.predict(predict_dataset, metric_key_prefix="predict").predictions
        predictions = np.squeeze(predictions) if is_regression else np.argmax(predictions, axis=1)
        if trainer.is_world_process_zero():
            with open(os.path.join(training_args.output_dir, "predict_results.txt"), "w") as writer:
                writer.write("index\tprediction\n")
                for index, item in enumerate(predictions):
                    writer.write(f"{index}\t{f'{item:3.3f}' if is_regression else label_list[item]}\n")

    kwargs = {"finetuned_from": model_args.model_name_or_path, "tasks": "text-classification", "language": "en"}
    if training_args.push_to_hub:
        trainer.push_to_hub(**kwargs)
    else:
        trainer.create_model_card(**kwargs)


def _mp_fn(index):
    main()


if __name__ == "__main__":
    main()
