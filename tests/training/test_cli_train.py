"""`formers train`: tables of all kinds to folders that pipelines open, and what bad tables get."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import math
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import formers
from formers import BertConfig, cli, pipeline
from formers.errors import InputError
from formers.training import card, metrics
from formers.training.registered import task_called
from formers.training.splitting import split
from formers.training.tables import read_table
from formers.training.tasks import Columns

GOOD, BAD = ["good", "fine", "great"], ["bad", "poor", "awful"]
WORDS = ["a", "the", "film", "actor", "is", "in", "paris", "ada", "met", "where", "who", "?", *GOOD, *BAD]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
QUICK = ("--epochs", "8", "--batch-size", "8", "--learning-rate", "0.01")
Train = Callable[..., tuple[int, Any, str]]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a BERT that can mask words."""
    folder = tmp_path_factory.mktemp("models") / "encoder"
    torch.manual_seed(0)
    vocabulary = [*SPECIAL, *WORDS]
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **SIZES)
    formers.BertForMaskedLM(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return str(folder)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a GPT-2, whose tokenizer has no padding token."""
    folder = tmp_path_factory.mktemp("models") / "decoder"
    torch.manual_seed(0)
    config = formers.GPT2Config(
        vocab_size=len(WORDS) + 1, n_positions=64, n_embd=32, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    formers.GPT2LMHeadModel(config).save_pretrained(folder)
    _words(eos_token="<end>", ids=["<end>", *WORDS]).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a T5."""
    folder = tmp_path_factory.mktemp("models") / "writer"
    torch.manual_seed(0)
    config = formers.T5Config(
        vocab_size=len(WORDS) + 3, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    formers.T5ForConditionalGeneration(config).save_pretrained(folder)
    ids = ["<pad>", "</s>", "<unk>", *WORDS]
    _words(pad_token="<pad>", eos_token="</s>", unk_token="<unk>", ids=ids).save_pretrained(folder)
    return str(folder)


def _words(ids: list[str], **special: str) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(ids)}, unk_token=special.get("unk_token")))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if "</s>" in ids:
        tokenizer.post_processor = processors.TemplateProcessing(
            "$A </s>", special_tokens=[("</s>", ids.index("</s>"))]
        )
    return formers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special)


@pytest.fixture
def train(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Run `formers train` in an empty folder; gives exit code, the JSON of standard output, and standard error."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, Any, str]:
        try:
            code = cli.main(["train", *arguments])
        except SystemExit as left:
            code = int(left.code or 0)
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return command


def reviews(count: int = 60, seed: int = 0) -> list[dict[str, Any]]:
    """Sentences whose label the word at their end says."""
    draw, rows = random.Random(seed), []
    for i in range(count):
        word = draw.choice(GOOD if i % 2 else BAD)
        rows.append({"text": f"{draw.choice(['a', 'the'])} {draw.choice(['film', 'actor'])} is {word} {word} {i}",
                     "label": "good" if i % 2 else "bad"})  # fmt: skip
    return rows


def as_csv(rows: list[dict[str, Any]], separator: str = ",") -> str:
    lines = [separator.join(rows[0]), *(separator.join(str(x) for x in row.values()) for row in rows)]
    return "\n".join(lines) + "\n"


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# ---- a whole training


@pytest.fixture(scope="module")
def trained(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was trained from a CSV file."""
    root = tmp_path_factory.mktemp("trained")
    (root / "reviews.csv").write_text(as_csv(reviews()))
    code = cli.main(
        ["train", "text-classification", "--model", encoder, "--train", str(root / "reviews.csv"), "--held-out", "0.2",
         "--out", str(root / "out"), *QUICK]
    )  # fmt: skip
    assert code == 0
    return root


def test_the_folder_answers(trained: Path) -> None:
    pipe = pipeline("text-classification", str(trained / "out"))
    assert [x["label"] for x in pipe(["the film is great great", "an actor is poor poor"])] == ["good", "bad"]
    assert pipe.model.config.id2label == {0: "bad", 1: "good"}
    assert pipe.model.config.problem_type == "single_label_classification"


def test_the_folder_opens_in_the_reference(trained: Path) -> None:
    from transformers import pipeline as reference

    theirs = reference("text-classification", str(trained / "out"), device="cpu")
    ours = pipeline("text-classification", str(trained / "out"))
    text = "the film is great"
    assert theirs(text)[0]["label"] == ours(text)[0]["label"]
    assert theirs(text)[0]["score"] == pytest.approx(ours(text)[0]["score"], abs=1e-5)


def test_what_is_in_the_folder(trained: Path) -> None:
    out = trained / "out"
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "training_args.json", "trainer_state.json", "metrics.json",
            "README.md", "loss.png", "metric.png"} <= names  # fmt: skip
    assert "checkpoints" not in names
    found = json.loads((out / "metrics.json").read_text())
    assert found["rows"] == {"training": 48, "held_out": 12}
    assert found["metrics"]["accuracy"] == 1.0
    assert found["confusion"] == {"labels": ["bad", "good"], "rows_are_true": [[6, 0], [0, 6]]}
    assert (out / "loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_card(trained: Path) -> None:
    from huggingface_hub import ModelCard

    text = (trained / "out" / "README.md").read_text()
    data = ModelCard(text).data
    assert data.pipeline_tag == "text-classification"
    assert data.base_model is None  # a folder
    assert {r.metric_type: r.metric_value for r in data.eval_results}["accuracy"] == 1.0
    assert "language" not in yaml.safe_load(text.split("---")[1])
    assert hashlib.sha256((trained / "reviews.csv").read_bytes()).hexdigest() in text
    assert "| accuracy | 1.0000 |" in text
    assert "| seed | 42 |" in text
    assert str(trained) not in text.split("## Results")[1]


def test_the_same_seed_gives_the_same(encoder: str, train: Train) -> None:
    Path("t.csv").write_text(as_csv(reviews(20)))
    common = ("text-classification", "--model", encoder, "--train", "t.csv", "--steps", "4", "--seed", "5")
    for out in ("one", "two"):
        assert train(*common, "--out", out)[0] == 0
    assert Path("one/model.safetensors").read_bytes() == Path("two/model.safetensors").read_bytes()


def test_results_go_to_standard_output_and_words_to_standard_error(encoder: str, train: Train) -> None:
    Path("t.csv").write_text(as_csv(reviews(20)))
    code, found, err = train("text-classification", "--model", encoder, "--train", "t.csv", "--steps", "3")
    assert code == 0
    assert found["folder"] == "text-classification"
    assert found["rows"] == {"training": 18, "held_out": 2}
    assert (
        found["open"] == "from formers import pipeline; pipe = pipeline('text-classification', 'text-classification')"
    )
    assert "18 rows to train on, 2 held out" in err
    assert "labels: bad (" in err
    space: dict[str, Any] = {}
    exec(found["open"], space)
    assert space["pipe"]("the film is good")[0]["label"] in ("good", "bad")


# ---- labels


def test_numbers_sort_as_numbers(encoder: str, train: Train) -> None:
    rows = [{"text": f"{WORDS[i % 12]} film {i}", "label": [10, 9, 2][i % 3]} for i in range(30)]
    Path("t.tsv").write_text(as_csv(rows, "\t"))
    assert train("text-classification", "--model", encoder, "--train", "t.tsv", "--steps", "2", "--out", "o")[0] == 0
    assert json.loads(Path("o/config.json").read_text())["id2label"] == {"0": "2", "1": "9", "2": "10"}


def test_names_of_labels(encoder: str, train: Train) -> None:
    Path("t.csv").write_text(as_csv([{**row, "label": int(row["label"] == "good")} for row in reviews(20)]))
    common = ("text-classification", "--model", encoder, "--train", "t.csv", "--steps", "2", "--label-names", "0=down")
    assert "calls a label 'up' that t.csv does not have" in train(*common, "7=up")[2]
    code, found, err = train(*common, "1=up", "--out", "o")
    assert code == 0, err
    assert {"f1_down", "f1_up"} <= found["metrics"].keys()
    assert json.loads(Path("o/config.json").read_text())["id2label"] == {"0": "down", "1": "up"}


def test_a_model_that_has_these_labels_keeps_their_order(trained: Path, train: Train) -> None:
    from formers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(trained / "out")
    model.config.id2label, model.config.label2id = {0: "good", 1: "bad"}, {"good": 0, "bad": 1}
    model.classifier.weight.data, model.classifier.bias.data = (
        model.classifier.weight[[1, 0]],
        model.classifier.bias[[1, 0]],
    )
    model.save_pretrained("turned")
    Path("turned/vocab.txt").write_text((trained / "out" / "vocab.txt").read_text())
    Path("t.csv").write_text(as_csv(reviews(40, seed=1)))
    code, found, err = train("text-classification", "--model", "turned", "--train", "t.csv", "--steps", "1", "--out",
                             "o", "--learning-rate", "1e-9")  # fmt: skip
    assert (code, found["metrics"]["accuracy"]) == (0, 1.0), err
    assert json.loads(Path("o/config.json").read_text())["id2label"] == {"0": "good", "1": "bad"}


def test_several_labels(encoder: str, train: Train) -> None:
    rows = [{"text": f"the {'good' if i % 2 else 'a'} {'bad' if i % 3 else 'the'} {i}",
             "label": "+".join(["g"] * (i % 2) + ["b"] * bool(i % 3))} for i in range(60)]  # fmt: skip
    Path("t.jsonl").write_text(as_lines(rows))
    code, found, err = train("text-classification", "--model", encoder, "--train", "t.jsonl", "--label-separator", "+",
                             "--out", "o", *QUICK)  # fmt: skip
    assert code == 0, err
    assert found["metrics"]["f1_micro"] > 0.9
    scores = pipeline("text-classification", "o")("the good the", top_k=None)
    assert {x["label"] for x in scores if x["score"] > 0.5} == {"g"}


def test_numbers_to_regress_on(encoder: str, train: Train) -> None:
    rows = [{"text": f"the film is {'good ' * (i % 5)} {i}", "label": float(i % 5)} for i in range(60)]
    Path("t.jsonl").write_text(as_lines(rows))
    code, found, err = train("text-classification", "--model", encoder, "--train", "t.jsonl", "--task-type",
                             "regression", "--out", "o", "--epochs", "20", "--learning-rate", "0.01")  # fmt: skip
    assert code == 0, err
    assert found["metrics"]["pearson"] > 0.8
    assert pipeline("text-classification", "o")("the film is good good good")[0]["score"] == pytest.approx(3, abs=1.5)


def test_pairs(encoder: str, train: Train) -> None:
    rows = [{"a": f"the film {i}", "b": GOOD[i % 3] if i % 2 else BAD[i % 3], "y": i % 2} for i in range(40)]
    Path("t.csv").write_text(as_csv(rows))
    code, found, err = train("text-classification", "--model", encoder, "--train", "t.csv", "--text", "a",
                             "--text-pair", "b", "--label", "y", "--out", "o", *QUICK)  # fmt: skip
    assert code == 0, err
    assert found["metrics"]["accuracy"] == 1.0
    assert pipeline("text-classification", "o")({"text": "a film", "text_pair": "good"})["label"] == "1"


# ---- other tasks


def test_tags_of_words(encoder: str, train: Train) -> None:
    lines = []
    for i in range(40):
        lines += ["ada B-PER", "met O", f"{['a', 'the'][i % 2]} O", "film O", "in O", "paris B-LOC", f"{i} O", ""]
    Path("t.conll").write_text("\n".join(lines))
    code, found, err = train("ner", "--model", encoder, "--train", "t.conll", "--out", "o", *QUICK)
    assert code == 0, err
    assert found["metrics"]["f1"] == 1.0
    entities = pipeline("ner", "o", aggregation_strategy="simple")("ada met the film in paris")
    assert [(x["entity_group"], x["word"]) for x in entities] == [("PER", "ada"), ("LOC", "paris")]


def test_answers(encoder: str, train: Train) -> None:
    rows = []
    for i in range(60):
        place, who = ["paris", "film"][i % 2], ["ada", "actor"][i // 2 % 2]
        context = f"{who} met the {GOOD[i % 3]} in {place} {i}"
        rows.append(
            {"question": "where ?" if i % 3 else "who ?", "context": context, "answer": place if i % 3 else who}
        )
    Path("t.jsonl").write_text(as_lines(rows))
    code, found, err = train("question-answering", "--model", encoder, "--train", "t.jsonl", "--out", "o", "--epochs",
                             "20", "--learning-rate", "0.01")  # fmt: skip
    assert code == 0, err
    assert found["metrics"]["exact_match"] > 0.8
    answer = pipeline("question-answering", "o")(question="where ?", context="ada met the fine in paris")
    assert answer["answer"] == "paris"


def test_squad_files_are_read(tmp_path: Path) -> None:
    question = {"question": "who?", "answers": [{"text": "Ada", "answer_start": 0}], "id": "1"}
    squad = {"data": [{"title": "t", "paragraphs": [{"context": "Ada met", "qas": [question]}]}]}
    (tmp_path / "s.json").write_text(json.dumps(squad))
    assert read_table(str(tmp_path / "s.json")).rows == [{"context": "Ada met", **question}]


def test_masked_words(encoder: str, train: Train) -> None:
    Path("t.txt").write_text("\n".join(f"the film is good in paris {'a ' * (i % 7)}" for i in range(40)))
    code, found, err = train("fill-mask", "--model", encoder, "--train", "t.txt", "--out", "o", *QUICK)
    assert code == 0, err
    assert found["metrics"]["perplexity"] < 10
    assert pipeline("fill-mask", "o")("the [MASK] is good in paris")[0]["token_str"] == "film"


def test_next_words(decoder: str, train: Train) -> None:
    Path("t.txt").write_text(
        "\n".join(f"{['ada', 'actor'][i % 2]} met the film in paris {'a ' * (i % 11)}" for i in range(40))
    )
    code, found, err = train("text-generation", "--model", decoder, "--train", "t.txt", "--out", "o", "--epochs", "20",
                             "--learning-rate", "0.01", "--set", "packing_length=16")  # fmt: skip
    assert code == 0, err
    assert found["metrics"]["perplexity"] == pytest.approx(math.exp(found["metrics"]["token_loss"]))
    assert found["metrics"]["perplexity"] < 3
    written = pipeline("text-generation", "o")("ada met", max_new_tokens=8, do_sample=False)[0]["generated_text"]
    assert written.startswith("ada met the film in paris")


def test_texts_from_texts(writer: str, train: Train) -> None:
    rows = [{"text": f"{['film', 'actor'][i % 2]} is {GOOD[i % 3]}", "target": f"{GOOD[i % 3]}"} for i in range(48)]
    Path("t.jsonl").write_text(as_lines([{**row, "text": row["text"] + " a" * (i % 7)} for i, row in enumerate(rows)]))
    code, found, err = train("text2text-generation", "--model", writer, "--train", "t.jsonl", "--out", "o", "--epochs",
                             "15", "--learning-rate", "0.02", "--set", "eval_strategy=no")  # fmt: skip
    assert code == 0, err
    assert found["metrics"]["rouge_l"] > 0.9
    assert pipeline("text2text-generation", "o")("film is great")[0]["generated_text"].strip() == "great"


@pytest.mark.parametrize("task", ["summarization", "translation", "translation_en_to_fr"])
def test_what_pipelines_put_before_a_text_is_trained_on(writer: str, train: Train, task: str) -> None:
    shutil.copytree(writer, "base")
    config = json.loads(Path("base/config.json").read_text())
    Path("base/config.json").write_text(json.dumps(config | {"task_specific_params": {task: {"prefix": "film: "}}}))
    rows = [{"text": f"{GOOD[i % 3]}" + " a" * (i % 7), "target": f"{BAD[i % 3]}"} for i in range(48)]
    Path("t.jsonl").write_text(as_lines(rows))
    code, _, err = train(task, "--model", "base", "--train", "t.jsonl", "--out", "o", "--epochs", "2", "--set",
                             "per_device_eval_batch_size=2", "predict_with_generate=true")  # fmt: skip
    assert (code, "sees to that itself" in err) == (2, True)
    code, _, err = train(task, "--model", "base", "--train", "t.jsonl", "--out", "o", "--epochs", "2", "--set",
                             "per_device_eval_batch_size=2")  # fmt: skip
    assert code == 0, err
    given: list[int] = []
    pipe = pipeline(task, "o")
    pipe.model.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: given.extend(kwargs["input_ids"][0].tolist()), with_kwargs=True
    )
    pipe("good a")
    ours = task_called(task, Columns())
    ours.ready(pipe.tokenizer, pipe.model, 64)
    assert ours.features([{"text": "good a", "target": "bad"}], True)[0]["input_ids"] == given
    assert given[0] == pipe.tokenizer.convert_tokens_to_ids("film")


# ---- kinds of files


@pytest.mark.parametrize(
    "ending", [".csv", ".tsv", ".jsonl", ".json", ".csv.gz", ".jsonl.xz", ".parquet", "dataset", ".arrow"]
)
def test_kinds_of_files(tmp_path: Path, ending: str) -> None:
    rows = reviews(4)
    path = tmp_path / f"t{ending}"
    texts = {".csv": as_csv(rows), ".tsv": as_csv(rows, "\t"), ".jsonl": as_lines(rows), ".json": json.dumps(rows)}
    if ending in texts:
        path.write_text(texts[ending])
    elif ending.endswith((".gz", ".xz")):
        stem, _, packing = ending.rpartition(".")
        with (gzip if packing == "gz" else lzma).open(path, "wt") as file:
            file.write(texts[stem])
    elif ending == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        datasets = pytest.importorskip("datasets")
        features = datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
        )
        folder = tmp_path / "saved"
        datasets.Dataset.from_list([{**r, "label": int(r["label"] == "good")} for r in rows], features).save_to_disk(
            folder
        )
        path = folder if ending == "dataset" else next(folder.glob("*.arrow"))
    table = read_table(str(path))
    assert table.rows == rows
    assert table.columns == ("text", "label")


def test_quotes_line_ends_and_marks_of_order(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes('\ufefftext,label\r\n"a, ""b""\nc",1\r\nd,2\r\n'.encode())
    table = read_table(str(tmp_path / "t.csv"))
    assert table.rows == [{"text": 'a, "b"\nc', "label": "1"}, {"text": "d", "label": "2"}]
    assert [table.place(i) for i in range(2)] == ["t.csv, line 2", "t.csv, line 4"]


def test_quotes_between_tabs(tmp_path: Path) -> None:
    (tmp_path / "open.tsv").write_text('label\ttext\n0\t"a film\n1\tfine" actor\n0\tit \'s "ok"\n')
    assert [row["text"] for row in read_table(str(tmp_path / "open.tsv")).rows] == [
        '"a film',
        'fine" actor',
        'it \'s "ok"',
    ]
    (tmp_path / "closed.tsv").write_text('label\ttext\n0\t"a ""b"""\n1\tc\n')
    assert [row["text"] for row in read_table(str(tmp_path / "closed.tsv")).rows] == ['a "b"', "c"]


def test_semicolons(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text;label\na, b;1\n")
    assert read_table(str(tmp_path / "t.csv")).rows == [{"text": "a, b", "label": "1"}]


# ---- bad input: each is one line that says where and what, and nothing is written

BAD_FILES = {
    "ragged.csv": ("text,label\na,1\nb\n", r"ragged\.csv, line 3 has 1 values.*2 columns: column label is missing"),
    "wide.csv": ("text,label\na,b,1\n", r"wide\.csv, line 2 has 3 values.*one too many"),
    "open.csv": ('text,label\na,1\n"b,2\nc,3\n', r"open\.csv, the row that begins in line 3"),
    "twice.csv": ("text,text\na,1\n", r"names two columns 'text'"),
    "names.csv": ("txt,label\na,1\n", r"no column 'text'; it has 'txt', 'label'\. Did you mean 'txt'\?"),
    "headless.csv": ("a film,1\nb,2\n", r"no column 'text'.*The first line names the columns"),
    "empty.csv": ("text,label\n", r"has no rows"),
    "blank.csv": ("text,label\n ,1\n,2\n", r"Column 'text' of blank\.csv has empty texts alone"),
    "latin.csv": (b"text,label\na,1\nn\xe4,2\n", r"latin\.csv, line 3 is no UTF-8: there is the byte 0xe4"),
    "wide16.csv": ("text,label\na,1\n".encode("utf-16"), r"is UTF-16"),
    "broken.jsonl": ('{"text": "a", "label": 1}\n{"text": \n', r"broken\.jsonl, line 2 is no JSON"),
    "lists.jsonl": ('["a", 1]\n', r"lists\.jsonl, line 1 is .*should be an object"),
    "holes.jsonl": ('{"text": "a", "label": 1}\n{"text": "b"}\n', r"'label' has no value in line 2 of holes\.jsonl"),
    "kinds.jsonl": ('{"text": "a", "label": 1}\n{"text": 5, "label": 2}\n', r"'text' is a int.*line 2 of kinds\.jsonl"),
    "one.csv": ("text,label\na,1\nb,1\n", r"has the label '1' alone"),
    "unlabelled.csv": ("text,label\na,1\nb,\n", r"unlabelled\.csv, line 3: column 'label' has ''"),
    "numbers.jsonl": ('{"text": "a", "label": 1.5}\n', r"has 1\.5, which is no label\. For numbers.*regression"),
    "list.jsonl": ('{"text": "a", "label": ["x"]}\n', r"has a list.*--task-type multi-label"),
    "few.csv": ("text,label\na,1\nb,2\n", r"2 rows with 2 different texts are too few"),
    "cut.csv.gz": (gzip.compress(b"text,label\na,1\n" * 99)[:-9], r"cannot be read"),
    "table.xlsx": ("", r"no kind of table that is known"),
    "rows.json": ('{"a": 1}', r"should hold a list of rows"),
    "table.parquet": ("no parquet", r"cannot be read as Parquet"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(encoder: str, train: Train, name: str) -> None:
    content, words = BAD_FILES[name]
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    code, found, err = train("text-classification", "--model", encoder, "--train", name, "--out", "o")
    assert code == 1
    assert found is None
    assert re.search(words, err), err
    assert not Path("o").exists()


def test_many_labels_are_no_labels(encoder: str, train: Train) -> None:
    Path("t.csv").write_text(as_csv([{"text": f"film {i}", "label": i} for i in range(60)]))
    assert "60 different labels in 60 rows" in train("text-classification", "--model", encoder, "--train", "t.csv")[2]


def test_no_file(encoder: str, train: Train) -> None:
    Path("train.csv").write_text(as_csv(reviews(4)))
    code, _, err = train("text-classification", "--model", encoder, "--train", "trian.csv")
    assert (code, "Did you mean 'train.csv'" in err) == (1, True)


def test_labels_of_the_held_out_part_that_nothing_knows(encoder: str, train: Train) -> None:
    Path("t.csv").write_text(as_csv(reviews(10)))
    Path("d.csv").write_text("text,label\na,good\nb,goood\n")
    code, _, err = train("text-classification", "--model", encoder, "--train", "t.csv", "--dev", "d.csv", "--out", "o")
    assert code == 1
    assert "line 3 of d.csv: the label 'goood' is not among the labels of the training part, bad, good" in err
    assert not Path("o").exists()


def test_other_names_in_the_held_out_file(encoder: str, train: Train) -> None:
    Path("t.csv").write_text(as_csv(reviews(10)))
    Path("d.csv").write_text("sentence,label\nthe film is good,good\na film is bad,bad\n")
    common = ("text-classification", "--model", encoder, "--train", "t.csv", "--dev", "d.csv", "--steps", "2")
    assert "--dev-columns OURS=ITS" in train(*common)[2]
    code, found, err = train(*common, "--dev-columns", "text=sentence")
    assert (code, found["rows"]["held_out"]) == (0, 2), err


def test_what_is_odd_is_said(encoder: str, train: Train) -> None:
    odd = [("twice", "good"), ("twice", "bad"), (" ", "bad"), ("alone", "other")]
    rows = [*reviews(20), *({"text": text, "label": label} for text, label in odd)]
    Path("t.csv").write_text(as_csv(rows))
    Path("d.csv").write_text(as_csv(rows[:3]))
    code, found, err = train("text-classification", "--model", encoder, "--train", "t.csv", "--dev", "d.csv", "--steps",
                             "2", "--max-length", "4")  # fmt: skip
    assert code == 0, err
    assert found["rows"]["training"] == 23
    assert "left out for an empty text: line 24 of t.csv" in err
    assert "1 rows repeat a text; 1 texts have different labels" in err
    assert "trained on with one row alone: other" in err
    assert "3 of the held-out rows have a text that is trained on too" in err
    assert "texts are longer than 4 tokens and were cut" in err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--task-type", "regression"], "regression needs a number"),
        (["--text", "txet"], "Did you mean 'text'"),
        (["--label-separator", ",", "--task-type", "single-label"], "is for several labels a row"),
        (["--held-out", "1.5e9"], "is not possible"),
        (["--held-out", "0", "--patience", "2"], "no rows are held out"),
        (["--max-length", "1000"], "is more than the model reads, 64 tokens"),
        (["--set", "output_dir=x"], "sees to that itself"),
        (["--set", "seed=1", "--seed", "2"], "given twice"),
        (["--set", "lerning_rate=1"], "Did you mean 'learning_rate'"),
        (["--resume"], "has nothing to go on from"),
        (["--target", "x"], "takes no --target"),
        (["--steps", "0"], "no number from 1 on"),
        (["--dev", "a", "--held-out", "0.1"], "not allowed with"),
    ],
)
def test_bad_options(encoder: str, train: Train, more: list[str], words: str) -> None:
    Path("t.csv").write_text(as_csv(reviews(10)))
    code, _, err = train("text-classification", "--model", encoder, "--train", "t.csv", "--out", "o", *more)
    assert code in (1, 2)
    assert words in err
    assert not Path("o").exists()


def test_unknown_tasks(encoder: str, train: Train) -> None:
    code, _, err = train("text-clasification", "--model", encoder, "--train", "t.csv")
    assert (code, "Did you mean 'text-classification'" in err) == (2, True)


def test_folders_of_others_stay(encoder: str, train: Train) -> None:
    Path("t.csv").write_text(as_csv(reviews(10)))
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("x")
    code, _, err = train("text-classification", "--model", encoder, "--train", "t.csv", "--out", "mine")
    assert (code, "is no model's folder" in err) == (2, True)
    code, _, err = train("text-classification", "--model", encoder, "--train", "t.csv", "--out", encoder)
    assert (code, "is the model itself" in err) == (2, True)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"words": ["a", "b"], "tags": ["O"]}, "line 1: column 'words' has 2 words, and column 'tags' 1 tags"),
        ({"words": 5, "tags": ["O"]}, "has 5; it should be a list of texts"),
        ({"words": ["a"], "tags": ["O"]}, "has one tag alone"),
    ],
)
def test_bad_tags(encoder: str, train: Train, row: dict[str, Any], words: str) -> None:
    Path("t.jsonl").write_text(as_lines([row]))
    code, _, err = train("ner", "--model", encoder, "--train", "t.jsonl")
    assert (code, words in err) == (1, True), err


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"answers": {"text": ["Ada"], "answer_start": [1]}}, "does not stand at character 1 of the context"),
        ({"answers": {"text": ["Ada"]}}, "should have texts and where they begin"),
        ({"answer": "a"}, "has the answer 'a' 4 times"),
        ({"answer": "Bob"}, "has the answer 'Bob' 0 times"),
        ({"answer": ""}, "has no question with an answer"),
    ],
)
def test_bad_answers(encoder: str, train: Train, row: dict[str, Any], words: str) -> None:
    Path("t.jsonl").write_text(as_lines([{"question": "who?", "context": "Ada ate a pea", **row}]))
    code, _, err = train("question-answering", "--model", encoder, "--train", "t.jsonl")
    assert (code, words in err) == (1, True), err


def test_bad_conll(encoder: str, train: Train) -> None:
    Path("t.conll").write_text("a O\nb x O\n")
    assert (
        "t.conll, line 2 has 3 columns, and should have 2" in train("ner", "--model", encoder, "--train", "t.conll")[2]
    )


# ---- stopping, going on, breaking


def test_a_broken_training_leaves_the_folder(trained: Path, encoder: str, train: Train) -> None:
    before = {p.name: p.read_bytes() for p in (trained / "out").iterdir()}
    code, _, err = train("text-classification", "--model", encoder, "--train", str(trained / "reviews.csv"), "--out",
                         str(trained / "out"), "--learning-rate", "1e30", "--steps", "5")  # fmt: skip
    assert code == 1, err
    assert "The loss is" in err
    assert {p.name: p.read_bytes() for p in (trained / "out").iterdir()} == before


def test_ctrl_c_and_resume(encoder: str, train: Train, tmp_path: Path) -> None:
    Path("t.csv").write_text(as_csv(reviews(40)))
    common = ("text-classification", "--model", encoder, "--train", "t.csv", "--seed", "3", "--epochs", "12",
              "--set", "eval_strategy=steps", "eval_steps=5", "--out")  # fmt: skip
    env = {"PYTHONPATH": str(Path(formers.__file__).parents[1]), "PATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "formers", "train", *common, "o"]
    run = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    while "step 10" not in run.stderr.readline():
        assert run.poll() is None
    run.send_signal(signal.SIGINT)
    err = run.communicate(timeout=60)[1]
    assert (run.returncode, "--resume goes on" in err) == (130, True), err
    assert not Path("o/config.json").exists()
    code, _, err = train(*common, "o")
    assert (code, "go on with it by --resume" in err) == (2, True), err
    code, _, err = train(*common, "o", "--resume", "--max-length", "9")
    assert (code, "a training of max-length None, and now it is 9" in err) == (2, True), err
    for out in (["o", "--resume"], ["p"]):
        code, _, err = train(*common, *out)
        assert code == 0, err
    assert Path("o/model.safetensors").read_bytes() == Path("p/model.safetensors").read_bytes()


def test_patience_ends_it(encoder: str, train: Train) -> None:
    Path("t.csv").write_text(as_csv(reviews(40)))
    code, found, err = train("text-classification", "--model", encoder, "--train", "t.csv", "--epochs", "30", "--bf16",
                             "--learning-rate", "0.01", "--patience", "2", "--out", "o")  # fmt: skip
    assert code == 0, err
    state = json.loads(Path("o/trainer_state.json").read_text())
    assert state["epoch"] < 30
    evaluated = [log["eval_accuracy"] for log in state["log_history"] if "eval_accuracy" in log]
    best = evaluated.index(max(evaluated))
    assert len(evaluated) == best + 3
    assert found["metrics"]["accuracy"] == max(evaluated)
    assert json.loads(Path("o/training_args.json").read_text())["bf16"] is True


def test_a_new_training_replaces_the_old_one(encoder: str, train: Train) -> None:
    Path("t.csv").write_text(as_csv(reviews(20)))
    common = ("text-classification", "--model", encoder, "--train", "t.csv", "--steps", "2", "--out", "o")
    assert train(*common)[0] == 0
    Path("o/notes.txt").write_text("mine")
    assert train(*common, "--held-out", "0")[0] == 0
    assert json.loads(Path("o/metrics.json").read_text())["metrics"] == {}
    assert not Path("o/metric.png").exists()
    assert Path("o/loss.png").exists()
    assert Path("o/notes.txt").read_text() == "mine"


def test_checkpoints_may_stay(encoder: str, train: Train) -> None:
    Path("t.csv").write_text(as_csv(reviews(20)))
    common = ("text-classification", "--model", encoder, "--train", "t.csv", "--steps", "2", "--out", "o")
    assert train(*common, "--keep-checkpoints", "--held-out", "0")[0] == 0
    assert Path("o/checkpoints/checkpoint-2/model.safetensors").is_file()
    assert "No rows were held out" in Path("o/README.md").read_text()


def test_without_matplotlib(encoder: str, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    Path("t.csv").write_text(as_csv(reviews(20)))
    code, _, err = train("text-classification", "--model", encoder, "--train", "t.csv", "--steps", "2", "--out", "o")
    assert (code, "without plots" in err) == (0, True)
    assert not Path("o/loss.png").exists()
    assert "loss.png" not in Path("o/README.md").read_text()


# ---- parts


def test_splits() -> None:
    keys = [f"text {i // 2}" for i in range(100)]  # each twice
    strata = ["a" if i < 80 else "b" for i in range(100)]
    rows, held = split(keys, strata, 0.2, 1)
    assert sorted(rows + held) == list(range(100))
    assert not {keys[i] for i in rows} & {keys[i] for i in held}
    assert [sum(strata[i] == name for i in held) for name in "ab"] == [16, 4]
    assert split(keys, strata, 0.2, 1) == (rows, held)
    assert split(keys, strata, 0.2, 2) != (rows, held)
    assert len(split(range(100), strata, 10, 1)[1]) == 10


def test_a_label_keeps_a_row_to_train_on() -> None:
    rows, _ = split(range(12), ["a"] * 10 + ["b", "c"], 0.5, 0)
    assert {10, 11} <= set(rows)


def test_entities() -> None:
    tags = ["B-PER", "I-PER", "B-PER", "O", "I-LOC", "I-ORG", "S-X", "E-X", "TIME"]
    assert metrics.entities(tags) == {
        ("PER", 0, 1), ("PER", 2, 2), ("LOC", 4, 4), ("ORG", 5, 5), ("X", 6, 6), ("X", 7, 7), ("TIME", 8, 8)
    }  # fmt: skip
    found = metrics.entity_scores([["B-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "B-LOC"]])
    assert (found["f1"], found["f1_LOC"], found["f1_PER"]) == (0.5, 1.0, 0.0)
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_figures_of_classes() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    guess, truth = draw.integers(0, 4, 200), draw.integers(0, 4, 200)
    found = metrics.single_label(metrics.confusion(guess, truth, 4), list("abcd"))
    assert found["f1_macro"] == pytest.approx(sklearn.f1_score(truth, guess, average="macro"))
    assert found["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, guess))
    guess, truth = draw.random((50, 3)) > 0.5, draw.random((50, 3)) > 0.5
    several = metrics.several_labels(guess, truth, list("abc"))
    for kind in ("micro", "macro"):
        assert several[f"f1_{kind}"] == pytest.approx(sklearn.f1_score(truth, guess, average=kind))


def test_figures_of_numbers() -> None:
    stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(0)
    one, other = draw.integers(0, 9, 40).astype(float), draw.normal(size=40)
    found = metrics.regression(one, other)
    assert found["pearson"] == pytest.approx(stats.pearsonr(one, other)[0])
    assert found["spearman"] == pytest.approx(stats.spearmanr(one, other)[0])
    assert math.isnan(metrics.regression(np.ones(4), np.arange(4))["pearson"])


def test_figures_of_texts() -> None:
    assert metrics.answer_scores(["The cat!"], [["cat", "dog"]]) == {"exact_match": 1.0, "f1": 1.0}
    assert metrics.answer_scores(["black cat"], [["a cat"]])["f1"] == pytest.approx(2 / 3)
    assert metrics.rouge_l(["a b c d"], ["a c d e"]) == pytest.approx(0.75)
    assert metrics.chrf(["the cat"], ["the cat"]) == 1.0
    assert 0 < metrics.chrf(["the cat"], ["the dog"]) < 0.6


def test_cells_of_a_card() -> None:
    assert card.table(("a",), [("x|y\n<b>*z*",)]) == "| a |\n| --- |\n| x\\|y &lt;b>\\*z\\* |"


def test_errors_without_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.parquet").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install \"formers\[train\]\""):
        read_table(str(tmp_path / "t.parquet"))


def test_splits_of_a_saved_dictionary(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_list([{"text": "a"}])
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(tmp_path / "both")
    with pytest.raises(InputError, match=r"give one of .*both/test.*both/train"):
        read_table(str(tmp_path / "both"))
    assert read_table(str(tmp_path / "both" / "train")).rows == [{"text": "a"}]
