"""Label words: a script of the form that Transformers' examples have."""
# ruff: noqa: UP045

import logging
import os
import sys
from dataclasses import dataclass, field
from typing import Optional

import datasets
import numpy as np
import transformers
from datasets import ClassLabel, load_dataset
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    HfArgumentParser,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.utils import check_min_version

check_min_version("4.20.0")
logger = logging.getLogger(__name__)


@dataclass
class ModelArguments:
    """Which model."""

    model_name_or_path: str = field(metadata={"help": "A name on the hub, or a folder."})
    cache_dir: Optional[str] = field(default=None, metadata={"help": "Where downloads are kept."})
    model_revision: str = field(default="main", metadata={"help": "A branch, a tag or a commit."})
    token: Optional[str] = field(default=None, metadata={"help": "For the hub."})


@dataclass
class DataTrainingArguments:
    """Which data, and how it is read."""

    task_name: Optional[str] = field(default="ner", metadata={"help": "ner, pos, …"})
    train_file: Optional[str] = field(default=None, metadata={"help": "A json file to train on."})
    validation_file: Optional[str] = field(default=None, metadata={"help": "A json file to evaluate on."})
    max_seq_length: Optional[int] = field(default=None, metadata={"help": "Texts of more tokens are cut."})
    pad_to_max_length: bool = field(default=False, metadata={"help": "Fill all texts up to max_seq_length."})
    preprocessing_num_workers: Optional[int] = field(default=None, metadata={"help": "Processes of map."})
    label_all_tokens: bool = field(default=False, metadata={"help": "Label all pieces of a word."})
    return_entity_level_metrics: bool = field(default=False, metadata={"help": "Metrics of each label."})

    def __post_init__(self):
        if self.train_file is None or self.validation_file is None:
            raise ValueError("A file to train on and one to evaluate on are needed.")
        self.task_name = self.task_name.lower()


def main():
    parser = HfArgumentParser((ModelArguments, DataTrainingArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    logging.basicConfig(handlers=[logging.StreamHandler(sys.stdout)])
    log_level = training_args.get_process_log_level()
    logger.setLevel(log_level)
    datasets.utils.logging.set_verbosity(log_level)
    transformers.utils.logging.set_verbosity(log_level)
    set_seed(training_args.seed)

    files = {"train": data_args.train_file, "validation": data_args.validation_file}
    raw_datasets = load_dataset("json", data_files=files, cache_dir=model_args.cache_dir)
    features = raw_datasets["train"].features
    text_column = "tokens" if "tokens" in features else raw_datasets["train"].column_names[0]
    label_column = f"{data_args.task_name}_tags"
    labels_are_int = isinstance(features[label_column].feature, ClassLabel)
    label_list = sorted({label for row in raw_datasets["train"][label_column] for label in row})
    label_to_id = {label: i for i, label in enumerate(label_list)}

    config = AutoConfig.from_pretrained(
        model_args.model_name_or_path,
        num_labels=len(label_list),
        finetuning_task=data_args.task_name,
        cache_dir=model_args.cache_dir,
        revision=model_args.model_revision,
        token=model_args.token,
    )
    more = {"add_prefix_space": True} if config.model_type in {"bloom", "gpt2", "roberta"} else {}
    tokenizer = AutoTokenizer.from_pretrained(
        model_args.model_name_or_path, cache_dir=model_args.cache_dir, use_fast=True, **more
    )
    model = AutoModelForTokenClassification.from_pretrained(
        model_args.model_name_or_path, config=config, ignore_mismatched_sizes=True, cache_dir=model_args.cache_dir
    )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError("Words can only be told from their pieces by a fast tokenizer.")
    if model.config.label2id != PretrainedConfig(num_labels=len(label_list)).label2id and not labels_are_int:
        logger.warning("The model has labels of its own, which are replaced.")
    model.config.label2id = label_to_id
    model.config.id2label = dict(enumerate(label_list))
    b_to_i_label = [
        label_list.index(inside) if (inside := label.replace("B-", "I-")) in label_list else i
        for i, label in enumerate(label_list)
    ]
    padding = "max_length" if data_args.pad_to_max_length else False

    def tokenize_and_align_labels(examples):
        tokenized = tokenizer(
            examples[text_column],
            padding=padding,
            truncation=True,
            max_length=data_args.max_seq_length,
            is_split_into_words=True,
        )
        labels = []
        for i, label in enumerate(examples[label_column]):
            previous, ids = None, []
            for word in tokenized.word_ids(batch_index=i):
                if word is None:
                    ids.append(-100)
                elif word != previous:
                    ids.append(label_to_id[label[word]])
                else:
                    ids.append(b_to_i_label[label_to_id[label[word]]] if data_args.label_all_tokens else -100)
                previous = word
            labels.append(ids)
        tokenized["labels"] = labels
        return tokenized

    parts = {}
    for split in ("train", "validation"):
        with training_args.main_process_first(desc=f"tokenizing {split}"):
            parts[split] = raw_datasets[split].map(
                tokenize_and_align_labels, batched=True, num_proc=data_args.preprocessing_num_workers
            )
    data_collator = DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=8 if training_args.fp16 else None)

    def compute_metrics(p):
        predictions, labels = p
        predictions = np.argmax(predictions, axis=2)
        pairs = [
            (label_list[guess], label_list[truth])
            for guesses, truths in zip(predictions, labels, strict=True)
            for guess, truth in zip(guesses, truths, strict=True)
            if truth != -100
        ]
        found = {"accuracy": sum(guess == truth for guess, truth in pairs) / len(pairs)}
        if data_args.return_entity_level_metrics:
            for label in label_list:
                found[f"{label}_share"] = sum(guess == label for guess, _ in pairs) / len(pairs)
        return found

    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=parts["train"] if training_args.do_train else None,
        eval_dataset=parts["validation"] if training_args.do_eval else None,
        processing_class=tokenizer,
        data_collator=data_collator,
        compute_metrics=compute_metrics,
    )
    if training_args.do_train:
        metrics = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint).metrics
        trainer.save_model()
        metrics["train_samples"] = len(parts["train"])
        trainer.log_metrics("train", metrics)
        trainer.save_metrics("train", metrics)
        trainer.save_state()
    if training_args.do_eval:
        metrics = trainer.evaluate()
        metrics["eval_samples"] = len(parts["validation"])
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    if training_args.do_predict:
        predictions, labels, metrics = trainer.predict(parts["validation"], metric_key_prefix="predict")
        true = [
            [label_list[p] for p, truth in zip(row, truths, strict=True) if truth != -100]
            for row, truths in zip(np.argmax(predictions, axis=2), labels, strict=True)
        ]
        trainer.save_metrics("predict", metrics)
        with open(os.path.join(training_args.output_dir, "predictions.txt"), "w") as writer:
            writer.writelines(" ".join(row) + "\n" for row in true)


if __name__ == "__main__":
    main()
