"""Causal language modelling of a text in blocks: a script of the form that Transformers' examples have."""

import logging
import math
from dataclasses import dataclass, field
from itertools import chain

import torch
import transformers
from datasets import load_dataset
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.testing_utils import CaptureLogger
from transformers.utils import check_min_version

check_min_version("4.20.0")
logger = logging.getLogger(__name__)
MODEL_TYPES = tuple(conf.model_type for conf in MODEL_FOR_CAUSAL_LM_MAPPING)


@dataclass
class ModelArguments:
    """Which model: one that is there, or a new one."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "A name on the hub, or a folder."})
    model_type: str | None = field(default=None, metadata={"help": "Of a new model: " + ", ".join(MODEL_TYPES)})
    tokenizer_name: str | None = field(default=None, metadata={"help": "Of a tokenizer, if another."})
    dtype: str | None = field(
        default=None, metadata={"help": "Of the weights.", "choices": ["auto", "bfloat16", "float16", "float32"]}
    )


@dataclass
class DataTrainingArguments:
    """Which data, and how it is cut."""

    train_file: str | None = field(default=None, metadata={"help": "A text file to train on."})
    validation_file: str | None = field(default=None, metadata={"help": "A text file to evaluate on."})
    block_size: int | None = field(default=None, metadata={"help": "Tokens of a row."})
    keep_linebreaks: bool = field(default=True, metadata={"help": "Whether lines keep their ends."})


def main():
    parser = HfArgumentParser((ModelArguments, DataTrainingArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    transformers.utils.logging.set_verbosity(training_args.get_process_log_level())
    set_seed(training_args.seed)

    raw_datasets = load_dataset(
        "text",
        data_files={"train": data_args.train_file, "validation": data_args.validation_file},
        keep_linebreaks=data_args.keep_linebreaks,
    )
    if model_args.model_name_or_path:
        config = AutoConfig.from_pretrained(model_args.model_name_or_path)
    else:
        config = CONFIG_MAPPING[model_args.model_type]()
    tokenizer = AutoTokenizer.from_pretrained(model_args.tokenizer_name or model_args.model_name_or_path)
    dtype = model_args.dtype if model_args.dtype in ["auto", None] else getattr(torch, model_args.dtype)
    model = AutoModelForCausalLM.from_pretrained(
        model_args.model_name_or_path,
        from_tf=bool(".ckpt" in model_args.model_name_or_path),
        config=config,
        **({} if dtype is None else {"dtype": dtype}),
    )
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer))

    tok_logger = transformers.utils.logging.get_logger("transformers.tokenization_utils_base")

    def tokenize_function(examples):
        with CaptureLogger(tok_logger) as cl:
            output = tokenizer(examples["text"])
        if "Token indices sequence length is longer than the" in cl.out:
            tok_logger.warning("Long texts are cut into blocks below.")
        return output

    block_size = min(data_args.block_size or 1024, tokenizer.model_max_length)

    def group_texts(examples):
        whole = {name: list(chain(*examples[name])) for name in examples}
        total = len(whole["input_ids"]) // block_size * block_size
        result = {name: [ids[i : i + block_size] for i in range(0, total, block_size)] for name, ids in whole.items()}
        result["labels"] = result["input_ids"].copy()
        return result

    with training_args.main_process_first(desc="dataset map tokenization"):
        tokenized = raw_datasets.map(tokenize_function, batched=True, remove_columns=["text"])
        blocks = tokenized.map(group_texts, batched=True)

    def preprocess_logits_for_metrics(logits, labels):
        return (logits[0] if isinstance(logits, tuple) else logits).argmax(dim=-1)

    def compute_metrics(eval_preds):
        preds, labels = eval_preds
        return {"accuracy": float((preds[:, :-1].reshape(-1) == labels[:, 1:].reshape(-1)).mean())}

    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=blocks["train"] if training_args.do_train else None,
        eval_dataset=blocks["validation"] if training_args.do_eval else None,
        processing_class=tokenizer,
        data_collator=default_data_collator,
        compute_metrics=compute_metrics if training_args.do_eval else None,
        preprocess_logits_for_metrics=preprocess_logits_for_metrics if training_args.do_eval else None,
    )
    if training_args.do_train:
        metrics = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint).metrics
        trainer.save_model()
        trainer.save_metrics("train", metrics)
        trainer.save_state()
    if training_args.do_eval:
        metrics = trainer.evaluate()
        metrics["perplexity"] = math.exp(metrics["eval_loss"])
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)


if __name__ == "__main__":
    main()
