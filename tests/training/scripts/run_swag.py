"""Choose the ending of a text: a script of the form that Transformers' examples have, with a collator of its own."""

import logging
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
import transformers
from datasets import load_dataset
from transformers import (
    AutoConfig,
    AutoModelForMultipleChoice,
    AutoTokenizer,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import PaddingStrategy, check_min_version

check_min_version("4.20.0")
logger = logging.getLogger(__name__)


@dataclass
class ModelArguments:
    """Which model."""

    model_name_or_path: str = field(metadata={"help": "A name on the hub, or a folder."})


@dataclass
class DataTrainingArguments:
    """Which data, and how it is read."""

    train_file: str = field(metadata={"help": "A json file to train on."})
    validation_file: str = field(metadata={"help": "A json file to evaluate on."})
    max_seq_length: int | None = field(default=32, metadata={"help": "Texts of more tokens are cut."})
    pad_to_max_length: bool = field(default=False, metadata={"help": "Fill all up."})


@dataclass
class DataCollatorForMultipleChoice:
    """Fills up all choices of a batch."""

    tokenizer: PreTrainedTokenizerBase
    padding: bool | str | PaddingStrategy = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None

    def __call__(self, features):
        name = "label" if "label" in features[0] else "labels"
        labels = [feature.pop(name) for feature in features]
        choices = len(features[0]["input_ids"])
        flat = chain(*[[{k: v[i] for k, v in feature.items()} for i in range(choices)] for feature in features])
        batch = self.tokenizer.pad(
            list(flat),
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors="pt",
        )
        batch = {k: v.view(len(features), choices, -1) for k, v in batch.items()}
        batch["labels"] = torch.tensor(labels, dtype=torch.int64)
        return batch


def main():
    parser = HfArgumentParser((ModelArguments, DataTrainingArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    transformers.utils.logging.set_verbosity(training_args.get_process_log_level())
    set_seed(training_args.seed)
    files = {"train": data_args.train_file, "validation": data_args.validation_file}
    raw_datasets = load_dataset("json", data_files=files)
    config = AutoConfig.from_pretrained(model_args.model_name_or_path)
    tokenizer = AutoTokenizer.from_pretrained(model_args.model_name_or_path, use_fast=True)
    model = AutoModelForMultipleChoice.from_pretrained(model_args.model_name_or_path, config=config)
    endings = [f"ending{i}" for i in range(4)]

    def preprocess_function(examples):
        first = list(chain(*[[context] * 4 for context in examples["sent1"]]))
        second = list(
            chain(*[[f"{start} {examples[end][i]}" for end in endings] for i, start in enumerate(examples["sent2"])])
        )
        tokenized = tokenizer(
            first,
            second,
            truncation=True,
            max_length=data_args.max_seq_length,
            padding="max_length" if data_args.pad_to_max_length else False,
        )
        return {k: [v[i : i + 4] for i in range(0, len(v), 4)] for k, v in tokenized.items()}

    with training_args.main_process_first(desc="train dataset map pre-processing"):
        encoded = raw_datasets.map(preprocess_function, batched=True)
    data_collator = (
        default_data_collator
        if data_args.pad_to_max_length
        else DataCollatorForMultipleChoice(tokenizer=tokenizer, pad_to_multiple_of=8 if training_args.fp16 else None)
    )

    def compute_metrics(eval_predictions):
        predictions, label_ids = eval_predictions
        return {"accuracy": (np.argmax(predictions, axis=1) == label_ids).astype(np.float32).mean().item()}

    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=encoded["train"] if training_args.do_train else None,
        eval_dataset=encoded["validation"] if training_args.do_eval else None,
        processing_class=tokenizer,
        data_collator=data_collator,
        compute_metrics=compute_metrics,
    )
    if training_args.do_train:
        metrics = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint).metrics
        trainer.save_model()
        trainer.save_metrics("train", metrics)
        trainer.save_state()
    if training_args.do_eval:
        metrics = trainer.evaluate()
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)


if __name__ == "__main__":
    main()
