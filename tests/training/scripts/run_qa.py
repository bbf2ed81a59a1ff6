"""Find answers in texts: a script of the form that Transformers' examples have, with a Trainer of its own."""

import logging
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import transformers
from datasets import load_dataset
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    HfArgumentParser,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    default_data_collator,
    is_torch_xla_available,
    set_seed,
)
from transformers.trainer_utils import PredictionOutput, speed_metrics
from transformers.utils import check_min_version

if is_torch_xla_available():
    import torch_xla.core.xla_model as xm

check_min_version("4.20.0")
logger = logging.getLogger(__name__)


@dataclass
class ModelArguments:
    """Which model."""

    model_name_or_path: str = field(metadata={"help": "A name on the hub, or a folder."})


@dataclass
class DataTrainingArguments:
    """Which data, and how it is cut into windows."""

    train_file: str = field(metadata={"help": "A json file with the rows under 'data' to train on."})
    validation_file: str = field(metadata={"help": "The same to evaluate on."})
    max_seq_length: int = field(default=32, metadata={"help": "Tokens of a window."})
    pad_to_max_length: bool = field(default=True, metadata={"help": "Fill windows up."})
    doc_stride: int = field(default=8, metadata={"help": "Tokens that two windows share."})
    n_best_size: int = field(default=20, metadata={"help": "Candidates of each window."})
    max_answer_length: int = field(default=30, metadata={"help": "Tokens of the longest answer."})


class QuestionAnsweringTrainer(Trainer):
    """A Trainer whose metrics are of texts: what is predicted for windows is put together first."""

    def __init__(self, *args, eval_examples=None, post_process_function=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.eval_examples = eval_examples
        self.post_process_function = post_process_function

    def evaluate(self, eval_dataset=None, eval_examples=None, ignore_keys=None, metric_key_prefix: str = "eval"):
        eval_dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        eval_dataloader = self.get_eval_dataloader(eval_dataset)
        eval_examples = self.eval_examples if eval_examples is None else eval_examples
        compute_metrics = self.compute_metrics
        self.compute_metrics = None
        start_time = time.time()
        try:
            output = self.evaluation_loop(
                eval_dataloader,
                description="Evaluation",
                prediction_loss_only=True if compute_metrics is None else None,
                ignore_keys=ignore_keys,
                metric_key_prefix=metric_key_prefix,
            )
        finally:
            self.compute_metrics = compute_metrics
        total_batch_size = self.args.eval_batch_size * self.args.world_size
        output.metrics.update(
            speed_metrics(
                metric_key_prefix,
                start_time,
                num_samples=output.num_samples,
                num_steps=-(-output.num_samples // total_batch_size),
            )
        )
        metrics = output.metrics
        if self.post_process_function is not None and self.compute_metrics is not None and self.args.should_save:
            predictions = self.post_process_function(eval_examples, eval_dataset, output.predictions)
            for name, value in self.compute_metrics(predictions).items():
                metrics[name if name.startswith(metric_key_prefix) else f"{metric_key_prefix}_{name}"] = value
        if self.args.should_log:
            self.log(metrics)
        if is_torch_xla_available():
            xm.mark_step()
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def predict(self, predict_dataset, predict_examples, ignore_keys=None, metric_key_prefix: str = "test"):
        compute_metrics, self.compute_metrics = self.compute_metrics, None
        try:
            output = self.evaluation_loop(
                self.get_test_dataloader(predict_dataset), description="Prediction", ignore_keys=ignore_keys
            )
        finally:
            self.compute_metrics = compute_metrics
        predictions = self.post_process_function(predict_examples, predict_dataset, output.predictions, "predict")
        metrics = {f"{metric_key_prefix}_{name}": x for name, x in self.compute_metrics(predictions).items()}
        return PredictionOutput(predictions=predictions.predictions, label_ids=predictions.label_ids, metrics=metrics)


def best_answers(examples, features, predictions, n_best_size, max_answer_length):
    """The best span of all windows of each text."""
    starts, ends = predictions
    by_example = {}
    for index, feature in enumerate(features):
        by_example.setdefault(feature["example_id"], []).append(index)
    found = {}
    for example in examples:
        candidates = []
        for index in by_example[example["id"]]:
            offsets = features[index]["offset_mapping"]
            for start in np.argsort(starts[index])[-1 : -n_best_size - 1 : -1].tolist():
                for end in np.argsort(ends[index])[-1 : -n_best_size - 1 : -1].tolist():
                    outside = max(start, end) >= len(offsets) or not offsets[start] or not offsets[end]
                    if not outside and start <= end < start + max_answer_length:
                        span = example["context"][offsets[start][0] : offsets[end][1]]
                        candidates.append((float(starts[index][start] + ends[index][end]), span))
        found[example["id"]] = max(candidates, default=(0.0, ""))[1]
    return found


def main():
    parser = HfArgumentParser((ModelArguments, DataTrainingArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    logging.basicConfig(handlers=[logging.StreamHandler(sys.stdout)])
    transformers.utils.logging.set_verbosity(training_args.get_process_log_level())
    set_seed(training_args.seed)

    files = {"train": data_args.train_file, "validation": data_args.validation_file}
    raw_datasets = load_dataset("json", data_files=files, field="data")
    config = AutoConfig.from_pretrained(model_args.model_name_or_path)
    tokenizer = AutoTokenizer.from_pretrained(model_args.model_name_or_path, use_fast=True)
    model = AutoModelForQuestionAnswering.from_pretrained(model_args.model_name_or_path, config=config)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError("Answers can only be found by a fast tokenizer.")
    column_names = raw_datasets["train"].column_names
    pad_on_right = tokenizer.padding_side == "right"

    def windows(examples):
        questions, contexts = [text.lstrip() for text in examples["question"]], examples["context"]
        return tokenizer(
            questions if pad_on_right else contexts,
            contexts if pad_on_right else questions,
            truncation="only_second" if pad_on_right else "only_first",
            max_length=min(data_args.max_seq_length, tokenizer.model_max_length),
            stride=data_args.doc_stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding="max_length" if data_args.pad_to_max_length else False,
        )

    def prepare_train_features(examples):
        tokenized = windows(examples)
        of_example = tokenized.pop("overflow_to_sample_mapping")
        offset_mapping = tokenized.pop("offset_mapping")
        tokenized["start_positions"], tokenized["end_positions"] = [], []
        for i, offsets in enumerate(offset_mapping):
            cls_index = tokenized["input_ids"][i].index(tokenizer.cls_token_id)
            sequence_ids = tokenized.sequence_ids(i)
            answers = examples["answers"][of_example[i]]
            context = [k for k, which in enumerate(sequence_ids) if which == (1 if pad_on_right else 0)]
            start_char = answers["answer_start"][0] if answers["answer_start"] else -1
            end_char = start_char + len(answers["text"][0]) if answers["answer_start"] else -1
            inside = context and 0 <= start_char >= offsets[context[0]][0] and offsets[context[-1]][1] >= end_char
            if not inside:
                start, end = cls_index, cls_index
            else:
                start = max(k for k in context if offsets[k][0] <= start_char)
                end = min(k for k in context if offsets[k][1] >= end_char)
            tokenized["start_positions"].append(start)
            tokenized["end_positions"].append(end)
        return tokenized

    def prepare_validation_features(examples):
        tokenized = windows(examples)
        of_example = tokenized.pop("overflow_to_sample_mapping")
        tokenized["example_id"] = [examples["id"][row] for row in of_example]
        for i in range(len(tokenized["input_ids"])):
            which = tokenized.sequence_ids(i)
            context = 1 if pad_on_right else 0
            tokenized["offset_mapping"][i] = [
                offset if which[k] == context else None for k, offset in enumerate(tokenized["offset_mapping"][i])
            ]
        return tokenized

    with training_args.main_process_first(desc="train dataset map pre-processing"):
        train_dataset = raw_datasets["train"].map(prepare_train_features, batched=True, remove_columns=column_names)
    eval_examples = raw_datasets["validation"]
    eval_dataset = eval_examples.map(prepare_validation_features, batched=True, remove_columns=column_names)

    data_collator = (
        default_data_collator
        if data_args.pad_to_max_length
        else DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8 if training_args.fp16 else None)
    )

    def post_processing_function(examples, features, predictions, stage="eval"):
        found = best_answers(examples, features, predictions, data_args.n_best_size, data_args.max_answer_length)
        formatted = [{"id": name, "prediction_text": text} for name, text in found.items()]
        references = [{"id": row["id"], "answers": row["answers"]} for row in examples]
        return EvalPrediction(predictions=formatted, label_ids=references)

    def compute_metrics(p: EvalPrediction):
        truths = {row["id"]: row["answers"]["text"] for row in p.label_ids}
        right = [row["prediction_text"] in truths[row["id"]] for row in p.predictions]
        length = [len(row["prediction_text"]) for row in p.predictions]
        return {"exact_match": 100 * sum(right) / len(right), "mean_length": sum(length) / len(length)}

    trainer = QuestionAnsweringTrainer(
        model=model,
        args=training_args,
        train_dataset=train_dataset if training_args.do_train else None,
        eval_dataset=eval_dataset if training_args.do_eval else None,
        eval_examples=eval_examples if training_args.do_eval else None,
        processing_class=tokenizer,
        data_collator=data_collator,
        post_process_function=post_processing_function,
        compute_metrics=compute_metrics,
    )
    if training_args.do_train:
        train_result = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint)
        trainer.save_model()
        trainer.save_metrics("train", train_result.metrics)
        trainer.save_state()
    if training_args.do_eval:
        metrics = trainer.evaluate()
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    if training_args.do_predict:
        results = trainer.predict(eval_dataset, eval_examples)
        trainer.log_metrics("predict", results.metrics)
        trainer.save_metrics("predict", results.metrics)


if __name__ == "__main__":
    main()
