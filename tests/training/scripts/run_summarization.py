"""Shorten or translate texts: a script of the form that Transformers' examples for both have."""
# ruff: noqa: UP045

import logging
import os
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
import transformers
from datasets import load_dataset
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    HfArgumentParser,
    MBartTokenizer,
    MBartTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.utils import check_min_version

check_min_version("4.20.0")
logger = logging.getLogger(__name__)
MULTILINGUAL_TOKENIZERS = [MBartTokenizer, MBartTokenizerFast]


@dataclass
class ModelArguments:
    """Which model."""

    model_name_or_path: str = field(metadata={"help": "A name on the hub, or a folder."})
    resize_position_embeddings: Optional[bool] = field(default=None, metadata={"help": "For longer texts."})


@dataclass
class DataTrainingArguments:
    """Which data, and how it is read."""

    train_file: str = field(metadata={"help": "A json file to train on."})
    validation_file: str = field(metadata={"help": "A json file to evaluate on."})
    source_lang: Optional[str] = field(default=None, metadata={"help": "Of a translation: from."})
    target_lang: Optional[str] = field(default=None, metadata={"help": "Of a translation: to."})
    text_column: str = field(default="text", metadata={"help": "The column of texts."})
    summary_column: str = field(default="summary", metadata={"help": "The column of summaries."})
    max_source_length: int = field(default=32, metadata={"help": "Texts of more tokens are cut."})
    max_target_length: int = field(default=12, metadata={"help": "Summaries of more tokens are cut."})
    val_max_target_length: Optional[int] = field(default=None, metadata={"help": "The same to evaluate."})
    pad_to_max_length: bool = field(default=False, metadata={"help": "Fill all up."})
    num_beams: Optional[int] = field(default=None, metadata={"help": "Beams of what is written."})
    ignore_pad_token_for_loss: bool = field(default=True, metadata={"help": "Padding is not learned."})
    source_prefix: Optional[str] = field(default="", metadata={"help": "Before each text."})

    def __post_init__(self):
        if self.val_max_target_length is None:
            self.val_max_target_length = self.max_target_length


def main():
    parser = HfArgumentParser((ModelArguments, DataTrainingArguments, Seq2SeqTrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    transformers.utils.logging.set_verbosity(training_args.get_process_log_level())
    set_seed(training_args.seed)

    files = {"train": data_args.train_file, "validation": data_args.validation_file}
    raw_datasets = load_dataset("json", data_files=files)
    config = AutoConfig.from_pretrained(model_args.model_name_or_path)
    tokenizer = AutoTokenizer.from_pretrained(model_args.model_name_or_path)
    model = AutoModelForSeq2SeqLM.from_pretrained(model_args.model_name_or_path, config=config)
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer))
    if isinstance(tokenizer, tuple(MULTILINGUAL_TOKENIZERS)):
        model.config.decoder_start_token_id = tokenizer.lang_code_to_id[data_args.target_lang]
    if model.config.decoder_start_token_id is None:
        raise ValueError("The model does not say with which token it begins to write.")
    prefix = data_args.source_prefix or ""
    padding = "max_length" if data_args.pad_to_max_length else False

    def texts_of(examples):
        if data_args.source_lang is None:
            return examples[data_args.text_column], examples[data_args.summary_column]
        pairs = examples["translation"]
        return [p[data_args.source_lang] for p in pairs], [p[data_args.target_lang] for p in pairs]

    def preprocess_function(examples, most):
        inputs, targets = texts_of(examples)
        inputs = [prefix + text for text in inputs]
        model_inputs = tokenizer(inputs, max_length=data_args.max_source_length, padding=padding, truncation=True)
        labels = tokenizer(text_target=targets, max_length=most, padding=padding, truncation=True)
        if padding == "max_length" and data_args.ignore_pad_token_for_loss:
            labels["input_ids"] = [
                [(token if token != tokenizer.pad_token_id else -100) for token in row] for row in labels["input_ids"]
            ]
        model_inputs["labels"] = labels["input_ids"]
        return model_inputs

    parts = {}
    for split, most in (("train", data_args.max_target_length), ("validation", data_args.val_max_target_length)):
        with training_args.main_process_first(desc=f"{split} dataset map pre-processing"):
            parts[split] = raw_datasets[split].map(
                preprocess_function,
                batched=True,
                fn_kwargs={"most": most},
                remove_columns=raw_datasets[split].column_names,
                desc="Running the tokenizer",
            )

    label_pad_token_id = -100 if data_args.ignore_pad_token_for_loss else tokenizer.pad_token_id
    if data_args.pad_to_max_length:
        data_collator = default_data_collator
    else:
        data_collator = DataCollatorForSeq2Seq(
            tokenizer,
            model=model,
            label_pad_token_id=label_pad_token_id,
            pad_to_multiple_of=8 if training_args.fp16 else None,
        )

    def compute_metrics(eval_preds):
        preds, labels = eval_preds
        preds = preds[0] if isinstance(preds, tuple) else preds
        preds = np.where(preds != -100, preds, tokenizer.pad_token_id)
        labels = np.where(labels != -100, labels, tokenizer.pad_token_id)
        written = tokenizer.batch_decode(preds, skip_special_tokens=True)
        wanted = tokenizer.batch_decode(labels, skip_special_tokens=True)
        pairs = [({*a.split()}, {*b.split()}) for a, b in zip(written, wanted, strict=True)]
        shared = [len(a & b) / max(1, len(b)) for a, b in pairs]
        lengths = [np.count_nonzero(row != tokenizer.pad_token_id) for row in preds]
        return {"shared": round(float(np.mean(shared)), 4), "gen_len": float(np.mean(lengths))}

    training_args.generation_max_length = training_args.generation_max_length or data_args.val_max_target_length
    training_args.generation_num_beams = data_args.num_beams or training_args.generation_num_beams
    trainer = Seq2SeqTrainer(
        model=model,
        args=training_args,
        train_dataset=parts["train"] if training_args.do_train else None,
        eval_dataset=parts["validation"] if training_args.do_eval else None,
        processing_class=tokenizer,
        data_collator=data_collator,
        compute_metrics=compute_metrics if training_args.predict_with_generate else None,
    )
    if training_args.do_train:
        metrics = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint).metrics
        trainer.save_model()
        trainer.save_metrics("train", metrics)
        trainer.save_state()
    if training_args.do_eval:
        metrics = trainer.evaluate(metric_key_prefix="eval")
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    if training_args.do_predict:
        results = trainer.predict(parts["validation"], metric_key_prefix="predict")
        trainer.save_metrics("predict", results.metrics)
        if trainer.is_world_process_zero() and training_args.predict_with_generate:
            ids = np.where(results.predictions != -100, results.predictions, tokenizer.pad_token_id)
            lines = tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True)
            with open(os.path.join(training_args.output_dir, "generated_predictions.txt"), "w") as writer:
                writer.write("\n".join(line.strip() for line in lines))


if __name__ == "__main__":
    main()
