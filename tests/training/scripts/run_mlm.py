"""Masked language modelling of lines or of a long text: a script of the form that Transformers' examples have."""

import logging
import math
import sys
from dataclasses import dataclass, field
from itertools import chain

import datasets
import transformers
from datasets import load_dataset
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForMaskedLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    is_torch_xla_available,
    set_seed,
)
from transformers.utils import check_min_version
from transformers.utils.versions import require_version

check_min_version("4.20.0")
require_version("datasets>=1.8.0", "To fix: pip install datasets")
logger = logging.getLogger(__name__)
MODEL_CONFIG_CLASSES = list(MODEL_FOR_MASKED_LM_MAPPING.keys())
MODEL_TYPES = tuple(conf.model_type for conf in MODEL_CONFIG_CLASSES)


@dataclass
class ModelArguments:
    """Which model: one that is there, or a new one."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "A name on the hub, or a folder."})
    model_type: str | None = field(default=None, metadata={"help": "Of a new model: " + ", ".join(MODEL_TYPES)})
    config_overrides: str | None = field(default=None, metadata={"help": "key=value, divided by commas."})
    tokenizer_name: str | None = field(default=None, metadata={"help": "Of a tokenizer, if another."})

    def __post_init__(self):
        if self.config_overrides is not None and self.model_name_or_path is not None:
            raise ValueError("--config_overrides is for new models.")


@dataclass
class DataTrainingArguments:
    """Which data, and how it is cut."""

    train_file: str | None = field(default=None, metadata={"help": "A text file to train on."})
    validation_file: str | None = field(default=None, metadata={"help": "A text file to evaluate on."})
    max_seq_length: int | None = field(default=None, metadata={"help": "Tokens of a row."})
    mlm_probability: float = field(default=0.15, metadata={"help": "Which part of the tokens is masked."})
    line_by_line: bool = field(default=False, metadata={"help": "Each line is a text of its own."})
    pad_to_max_length: bool = field(default=False, metadata={"help": "Fill lines up."})


def main():
    parser = HfArgumentParser((ModelArguments, DataTrainingArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    logging.basicConfig(handlers=[logging.StreamHandler(sys.stdout)])
    log_level = training_args.get_process_log_level()
    datasets.utils.logging.set_verbosity(log_level)
    transformers.utils.logging.set_verbosity(log_level)
    set_seed(training_args.seed)

    files = {"train": data_args.train_file, "validation": data_args.validation_file}
    raw_datasets = load_dataset("text", data_files=files)
    if model_args.model_name_or_path:
        config = AutoConfig.from_pretrained(model_args.model_name_or_path)
    else:
        config = CONFIG_MAPPING[model_args.model_type]()
        config.update_from_string(model_args.config_overrides)
    tokenizer = AutoTokenizer.from_pretrained(model_args.tokenizer_name or model_args.model_name_or_path)
    if model_args.model_name_or_path:
        model = AutoModelForMaskedLM.from_pretrained(model_args.model_name_or_path, config=config)
    else:
        model = AutoModelForMaskedLM.from_config(config)
    embedding_size = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > embedding_size:
        model.resize_token_embeddings(len(tokenizer))
    max_seq_length = min(data_args.max_seq_length or 1024, tokenizer.model_max_length)

    if data_args.line_by_line:

        def tokenize_function(examples):
            examples["text"] = [line for line in examples["text"] if len(line) > 0 and not line.isspace()]
            return tokenizer(
                examples["text"],
                padding="max_length" if data_args.pad_to_max_length else False,
                truncation=True,
                max_length=max_seq_length,
                return_special_tokens_mask=True,
            )

        with training_args.main_process_first(desc="dataset map tokenization"):
            tokenized = raw_datasets.map(tokenize_function, batched=True, remove_columns=["text"])
    else:

        def group_texts(examples):
            whole = {name: list(chain(*examples[name])) for name in examples}
            total = len(whole["input_ids"]) // max_seq_length * max_seq_length
            return {
                name: [ids[i : i + max_seq_length] for i in range(0, total, max_seq_length)]
                for name, ids in whole.items()
            }

        with training_args.main_process_first(desc="dataset map tokenization"):
            tokenized = raw_datasets.map(
                lambda examples: tokenizer(examples["text"], return_special_tokens_mask=True),
                batched=True,
                remove_columns=["text"],
            )
        with training_args.main_process_first(desc="grouping texts together"):
            tokenized = tokenized.map(group_texts, batched=True, desc=f"Rows of {max_seq_length}")

    def preprocess_logits_for_metrics(logits, labels):
        if isinstance(logits, tuple):
            logits = logits[0]
        return logits.argmax(dim=-1)

    def compute_metrics(eval_preds):
        preds, labels = eval_preds
        labels, preds = labels.reshape(-1), preds.reshape(-1)
        mask = labels != -100
        return {"accuracy": float((preds[mask] == labels[mask]).mean())}

    pad_to_multiple_of_8 = data_args.line_by_line and training_args.fp16 and not data_args.pad_to_max_length
    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=tokenized["train"] if training_args.do_train else None,
        eval_dataset=tokenized["validation"] if training_args.do_eval else None,
        processing_class=tokenizer,
        data_collator=DataCollatorForLanguageModeling(
            tokenizer=tokenizer,
            mlm_probability=data_args.mlm_probability,
            pad_to_multiple_of=8 if pad_to_multiple_of_8 else None,
        ),
        compute_metrics=compute_metrics if training_args.do_eval and not is_torch_xla_available() else None,
        preprocess_logits_for_metrics=(
            preprocess_logits_for_metrics if training_args.do_eval and not is_torch_xla_available() else None
        ),
    )
    if training_args.do_train:
        metrics = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint).metrics
        trainer.save_model()
        trainer.log_metrics("train", metrics)
        trainer.save_metrics("train", metrics)
        trainer.save_state()
    if training_args.do_eval:
        metrics = trainer.evaluate()
        try:
            metrics["perplexity"] = math.exp(metrics["eval_loss"])
        except OverflowError:
            metrics["perplexity"] = float("inf")
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    trainer.create_model_card(tasks="fill-mask", finetuned_from=model_args.model_name_or_path)


if __name__ == "__main__":
    main()
