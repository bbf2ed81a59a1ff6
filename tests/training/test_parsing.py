"""HfArgumentParser beside that of Transformers."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import Namespace
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, List, Literal, Optional, Union  # noqa: UP035

import pytest
import transformers

import formers
from formers.errors import ArgumentError

LIBRARIES = (transformers, formers)


class Size(Enum):
    SMALL = "small"
    LARGE = "large"
    THREE = 3


@dataclass
class Model:
    """As those of the example scripts."""

    model_name_or_path: str = field(metadata={"help": "A folder or a name."})
    config_name: Optional[str] = field(default=None, metadata={"help": "Another one."})  # noqa: UP045
    cache_dir: str | None = None
    use_fast_tokenizer: bool = field(default=True, metadata={"help": "Whether."})
    trust_remote_code: bool = False
    ignore_mismatched_sizes: bool | None = None
    revision: Literal["main", "dev", 3] = "main"
    size: Size = Size.SMALL
    maybe_size: Optional[Size] = None  # noqa: UP045
    layers: list[int] = field(default_factory=lambda: [1, 2])
    names: Optional[List[str]] = field(default_factory=list)  # noqa: UP006, UP045
    rates: list[float] | None = None
    either: Union[dict, str, None] = None  # noqa: UP007
    must: bool = field(kw_only=True)
    shard: int | None = field(default=None, metadata={"aliases": ["--part", "-p"]})


@dataclass
class Data:
    task_name: str | None = field(default=None, metadata={"choices": ["cola", "mnli"]})
    max_seq_length: int = 128
    rate: float = 1e-3
    pad_to_max_length: bool = True
    hidden: int = field(default=3, init=False)


def parsed(library: Any, words: str, kinds: Any = (Model, Data), **options: Any) -> Any:
    parser = library.HfArgumentParser(kinds)
    try:
        return parser.parse_args_into_dataclasses(words.split(), **{"look_for_args_file": False, **options})
    except SystemExit:
        return "usage"
    except ValueError:
        return "error"


NEEDED = "--model_name_or_path m --must"


@pytest.mark.parametrize(
    "words",
    [
        NEEDED,
        "--model-name-or-path m --must no --max-seq-length 7",
        f"{NEEDED} --config_name c --cache_dir d --revision dev --size large --maybe_size small",
        f"{NEEDED} --revision 3 --size 3 --layers 4 5 6 --names a b --rates 1e-3 2",
        f"{NEEDED} --no_use_fast_tokenizer --no-pad-to-max-length --trust_remote_code",
        f"{NEEDED} --use_fast_tokenizer false --trust_remote_code yes --ignore_mismatched_sizes 1",
        f"{NEEDED} --use_fast_tokenizer --ignore_mismatched_sizes --pad_to_max_length n",
        f"{NEEDED} --part 5",
        f"{NEEDED} -p 5 --either x --task_name mnli --rate 5",
        f"{NEEDED} --layers",
        f"{NEEDED} --size huge",
        f"{NEEDED} --revision other",
        f"{NEEDED} --task_name sst2",
        f"{NEEDED} --max_seq_length 1.5",
        f"{NEEDED} --trust_remote_code maybe",
        f"{NEEDED} --unknown 3",
        f"{NEEDED} --hidden 3",
        f"{NEEDED} --max_seq 9",  # a beginning is enough
        f"{NEEDED} --max_seq_length=9 --max_seq_length 10",
        "--must",
        "--model_name_or_path m",
    ],
)
def test_words(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    theirs, ours = (parsed(library, words) for library in LIBRARIES)
    assert ours == theirs
    if not isinstance(ours, str):
        assert [type(getattr(ours[0], f.name)) for f in dataclasses.fields(Model)] == [
            type(getattr(theirs[0], f.name)) for f in dataclasses.fields(Model)
        ]


def test_a_help_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed(formers, "--help", (Model, Data, formers.TrainingArguments)) == "usage"
    said = capsys.readouterr().out
    assert "--model_name_or_path" in said and "--no_pad_to_max_length" in said
    assert "--learning_rate" in said and "--no_cuda" not in said


def test_words_that_remain_and_other_options() -> None:
    for library in LIBRARIES:
        words = f"{NEEDED} --other 3 more"
        made = parsed(library, words, return_remaining_strings=True)
        assert len(made) == 3 and made[2] == ["--other", "3", "more"]
        parser = library.HfArgumentParser(Data)
        parser.add_argument("--seed", type=int, default=1)
        parser.set_defaults(max_seq_length=9)
        made = parser.parse_args_into_dataclasses(["--seed", "4"], look_for_args_file=False)
        assert made == (Data(max_seq_length=9), Namespace(seed=4))
    with pytest.raises(ArgumentError, match="no options: --unknown 3"):
        formers.HfArgumentParser(Data).parse_args_into_dataclasses(["--unknown", "3"])


def test_files_of_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.args").write_text("--max_seq_length 5\n--rate 2\n")
    (tmp_path / "more.txt").write_text("--rate 3 --no_pad_to_max_length")
    (tmp_path / "last.txt").write_text("--task_name cola")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "run.py"), "--rate", "4"])
    for library in LIBRARIES:
        parser = library.HfArgumentParser(Data)
        assert parser.parse_args_into_dataclasses() == (Data(max_seq_length=5, rate=4.0),)
        assert parser.parse_args_into_dataclasses([]) == (Data(max_seq_length=5, rate=2.0),)
        assert parser.parse_args_into_dataclasses([], look_for_args_file=False) == (Data(),)
        assert parser.parse_args_into_dataclasses([], args_filename=str(tmp_path / "more.txt")) == (
            Data(rate=3.0, pad_to_max_length=False),
        )
        flags = ["--from", str(tmp_path / "more.txt"), "--from", str(tmp_path / "last.txt"), "--rate", "9"]
        found = library.HfArgumentParser(Data).parse_args_into_dataclasses(flags, args_file_flag="--from")
        assert found == (Data(task_name="cola", max_seq_length=5, rate=9.0, pad_to_max_length=False),)


def test_mappings_and_files_of_them(tmp_path: Path) -> None:
    values = {"model_name_or_path": "m", "must": True, "rate": 0.5, "layers": [7]}
    (tmp_path / "v.json").write_text(json.dumps(values))
    (tmp_path / "v.yaml").write_text("model_name_or_path: m\nmust: true\nrate: 0.5\nlayers: [7]\n")
    expected = (Model("m", must=True, layers=[7]), Data(rate=0.5))
    for library in LIBRARIES:
        parser = library.HfArgumentParser([Model, Data])
        assert parser.parse_dict(values) == expected
        assert parser.parse_json_file(str(tmp_path / "v.json")) == expected
        assert parser.parse_yaml_file(tmp_path / "v.yaml") == expected
        assert parser.parse_dict({**values, "other": 1}, allow_extra_keys=True) == expected
        with pytest.raises(ValueError, match="other"):
            parser.parse_dict({**values, "other": 1})


OLD = (
    "--evaluation_strategy epoch --no_cuda --group_by_length --fp16_opt_level O2 --adafactor --warmup_ratio 0.1 "
    "--gradient_checkpointing --per_gpu_train_batch_size 3 --include_inputs_for_metrics True --local_rank 0"
)


def test_training_arguments(tmp_path: Path) -> None:
    def args(words: str, **options: Any) -> Any:
        (made,) = parsed(formers, f"--output_dir {tmp_path} {words}", formers.TrainingArguments, **options)
        return made

    made = args(OLD)
    assert made.eval_strategy == "epoch" and made.do_eval and made.use_cpu and made.optim == "adafactor"
    assert made.train_sampling_strategy == "group_by_length" and made.warmup_steps == 0.1
    assert made.activation_checkpointing and made.train_batch_size == 3 and made.include_for_metrics == ["inputs"]
    assert args("--evaluation-strategy steps --eval_steps 0.5").eval_steps == 0.5
    assert args("--report_to tensorboard wandb").report_to == ["tensorboard", "wandb"]
    assert args("--report_to none").report_to == [] and args("").report_to == []
    assert args("--include_num_input_tokens_seen").include_num_input_tokens_seen == "all"
    assert args("--include_num_input_tokens_seen non_padding").include_num_input_tokens_seen == "non_padding"
    assert args('--lr_scheduler_kwargs {"num_cycles":2}').lr_scheduler_kwargs == {"num_cycles": 2}
    assert args("--bf16 --tf32 no --no_dataloader_pin_memory --label_names a b").label_names == ["a", "b"]
    assert args("--logging_steps 0.1 --save_steps 20 --disable_tqdm true").save_steps == 20
    for words in ("--push_to_hub", "--fsdp full_shard", "--deepspeed ds.json", "--sharded_ddp simple"):
        with pytest.raises(ArgumentError, match="cannot be honoured"):
            formers.HfArgumentParser(formers.TrainingArguments).parse_args_into_dataclasses(words.split())
    assert parsed(formers, "--eval_strategy steps --evaluation_strategy epoch", formers.TrainingArguments) == "error"
    made = formers.HfArgumentParser(formers.TrainingArguments).parse_dict({"evaluation_strategy": "epoch"})[0]
    assert made.eval_strategy == "epoch"


def test_training_arguments_are_read_as_theirs(tmp_path: Path) -> None:
    words = (
        f"--output_dir {tmp_path} --do_train --do_eval --learning_rate 3e-5 --num_train_epochs 2.5 --use_cpu "
        "--per_device_train_batch_size 32 --eval_strategy steps --eval_steps 50 --save_strategy steps --save_steps 100 "
        "--load_best_model_at_end --metric_for_best_model f1 --warmup_steps 0.1 --weight_decay 0.01 --seed 7 "
        "--lr_scheduler_type cosine --optim adafactor --predict_with_generate --generation_num_beams 4"
    )
    kinds = [library.Seq2SeqTrainingArguments for library in LIBRARIES]
    (theirs,), (ours,) = (parsed(x, words, kind) for x, kind in zip(LIBRARIES, kinds, strict=True))
    names = [word.removeprefix("--") for word in words.split() if word.startswith("--")]
    assert {name: str(getattr(ours, name)) for name in names} == {name: str(getattr(theirs, name)) for name in names}
    assert ours.greater_is_better is theirs.greater_is_better is True
