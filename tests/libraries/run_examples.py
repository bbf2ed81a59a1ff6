"""What the example scripts of Transformers 4.20 for PyTorch import, under this package's name and through the other."""

from __future__ import annotations

import importlib

import checks

IMPORTS = {  # script: what it imports, by module
    "run_glue.py": {
        "": "AutoConfig AutoModelForSequenceClassification AutoTokenizer DataCollatorWithPadding EvalPrediction "
        "HfArgumentParser PretrainedConfig Trainer TrainingArguments default_data_collator set_seed",
        "trainer_utils": "get_last_checkpoint",
        "utils": "check_min_version send_example_telemetry",
        "utils.versions": "require_version",
    },
    "run_glue_no_trainer.py": {
        "": "AutoConfig AutoModelForSequenceClassification AutoTokenizer DataCollatorWithPadding PretrainedConfig "
        "SchedulerType default_data_collator get_scheduler",
        "utils": "get_full_repo_name send_example_telemetry",
        "utils.versions": "require_version",
    },
    "run_ner.py": {
        "": "AutoConfig AutoModelForTokenClassification AutoTokenizer DataCollatorForTokenClassification "
        "HfArgumentParser PretrainedConfig PreTrainedTokenizerFast Trainer TrainingArguments set_seed",
        "trainer_utils": "get_last_checkpoint",
        "utils": "check_min_version send_example_telemetry",
    },
    "run_qa.py": {
        "": "AutoConfig AutoModelForQuestionAnswering AutoTokenizer DataCollatorWithPadding EvalPrediction "
        "HfArgumentParser PreTrainedTokenizerFast TrainingArguments default_data_collator set_seed",
        "trainer_utils": "get_last_checkpoint",
    },
    "run_mlm.py": {
        "": "CONFIG_MAPPING MODEL_FOR_MASKED_LM_MAPPING AutoConfig AutoModelForMaskedLM AutoTokenizer "
        "DataCollatorForLanguageModeling HfArgumentParser Trainer TrainingArguments is_torch_tpu_available set_seed",
        "trainer_utils": "get_last_checkpoint",
    },
    "run_swag.py": {
        "": "AutoConfig AutoModelForMultipleChoice AutoTokenizer HfArgumentParser Trainer TrainingArguments set_seed",
        "file_utils": "PaddingStrategy",
        "tokenization_utils_base": "PreTrainedTokenizerBase",
        "trainer_utils": "get_last_checkpoint",
    },
    "run_bertology.py": {
        "": "AutoConfig AutoModelForSequenceClassification AutoTokenizer GlueDataset "
        "default_data_collator glue_compute_metrics glue_output_modes glue_processors set_seed",
        "trainer_utils": "is_main_process",
    },
}


def lacking(script: str) -> list[str]:
    """The names of a script that are not here."""
    found = []
    for module, names in IMPORTS[script].items():
        there = importlib.import_module(f"formers.{module}" if module else "formers")
        found += [name for name in names.split() if not hasattr(there, name)]
    return found


def imports(script: str) -> None:
    missing = lacking(script)
    assert not missing, f"not here: {', '.join(missing)}"


for _script in IMPORTS:
    checks.check(f"imports of {_script}")(lambda script=_script: imports(script))


if __name__ == "__main__":
    checks.run()
