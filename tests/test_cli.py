"""The `formers` command: as a process where start-up, streams and signals matter, else in this one."""

from __future__ import annotations

import functools
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer

import formers
from formers import cli

SOURCES = Path(formers.__file__).parents[1]
TEXTS = ["good movie", "bad", "", "the good, the bad", "a movie.", "ugly"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "good", "bad", "movie", "##s", ".", ","]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders acme/labels (text classification) and acme/words (masked words)."""
    from formers.models.bert import BertConfig, BertForMaskedLM, BertForSequenceClassification

    torch.manual_seed(0)
    torch.set_num_threads(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    root = tmp_path_factory.mktemp("models")
    for name, kind in (("labels", BertForSequenceClassification), ("words", BertForMaskedLM)):
        config = BertConfig(vocab_size=len(VOCABULARY), max_position_embeddings=16, **sizes)
        config.id2label, config.label2id = {0: "NEGATIVE", 1: "POSITIVE"}, {"NEGATIVE": 0, "POSITIVE": 1}
        kind(config).save_pretrained(root / "acme" / name)
        (root / "acme" / name / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return root


@pytest.fixture
def labels(models: Path) -> str:
    return str(models / "acme/labels")


Formers = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Formers:
    """Run the command in this process; gives exit code, standard output, standard error."""

    def command(*arguments: str) -> tuple[int, str, str]:
        try:
            code = cli.main(arguments)
        except SystemExit as left:
            code = int(left.code or 0)
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def stdin(tmp_path: Path) -> Iterator[Callable[[bytes], None]]:
    """Make bytes the standard input of this process."""
    kept = os.dup(0)

    def give(content: bytes) -> None:
        (tmp_path / "stdin").write_bytes(content)
        with open(tmp_path / "stdin", "rb") as file:
            os.dup2(file.fileno(), 0)

    yield give
    os.dup2(kept, 0)
    os.close(kept)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.output, "on_terminal", lambda: True)


def process(*arguments: str, python: tuple[str, ...] = ("-m", "formers"), **options: Any) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    pipes["env"] = environment
    return subprocess.Popen([sys.executable, *python, *arguments], text=True, **pipes)


def lines(output: str) -> list[Any]:
    return [json.loads(line) for line in output.splitlines()]


class TestStart:
    def test_help_is_quick(self) -> None:
        def cpu_seconds() -> float:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            return used.ru_utime + used.ru_stime

        took = []
        for _ in range(5):
            before = cpu_seconds()
            out, err = process("--help").communicate(timeout=30)
            took.append(cpu_seconds() - before)
            assert out.startswith("usage: formers COMMAND")
            assert err == ""
        assert min(took) < 0.2

    @pytest.mark.parametrize(
        "arguments", [["--help"], ["--version"], ["run", "--help"], ["rnu"], ["run", "x", "--modle"]]
    )
    def test_nothing_heavy_is_imported_first(self, arguments: list[str]) -> None:
        code = (
            "import sys; from formers.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit: pass\n"
            "heavy = ('torch', 'numpy', 'huggingface_hub', 'tokenizers', 'tqdm')\n"
            "print([name for name in heavy if name in sys.modules])"
        )
        out, _ = process(*arguments, python=("-c", code)).communicate(timeout=30)
        assert out.splitlines()[-1] == "[]"

    def test_version(self, run: Formers) -> None:
        assert run("--version") == (0, f"formers {formers.version.__version__}\n", "")

    def test_help(self, run: Formers) -> None:
        code, out, _ = run()
        assert code == 0
        for name in ("run", "chat", "info", "check", "convert", "bench", "tokenize", "train", "visualize", "env"):
            assert f"\n  {name} " in out
            code, about, _ = run(name, "--help")
            assert code == 0
            assert about.startswith(f"usage: formers {name} ")


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["rnu", "x"], "There is no command 'rnu'. Did you mean 'run'?"),
            (["run"], "the following arguments are required: TASK"),
            (["info"], "the following arguments are required: MODEL"),
            (["info", "a", "b"], "'b' is one argument too many"),
            (["convert", "a"], "the following arguments are required: OUT"),
            (["convert", "a", "b", "--dtype", "int8"], "invalid choice: 'int8'"),
            (["check"], "the following arguments are required: MODEL"),
            (["run", "x", "--modle", "y"], "there is no option --modle. Did you mean '--model'?"),
            (["run", "x", "y", "--top-k", "0"], "'0' is no number from 1 on, nor 'all'"),
            (["run", "x", "y", "--batch-size", "many"], "invalid int value: 'many'"),
            (
                ["run", "x", "--optimize", "int7", "y"],
                "--optimize has no value 'int7'. Did you mean 'int8'? If it is a",
            ),
            (["run", "x", "--optimize=int7", "y"], "invalid choice: 'int7'"),
            (["bench"], "the following arguments are required: MODEL"),
            (["visualize"], "0 texts were given"),
            (["visualize", "a", "b", "c"], "3 texts were given"),
            (["visualize", "a", "--layers", "x"], "'x' is no list of numbers, such as 0,3"),
            (["visualize", "a", "--target", "POSITIVE"], "--target is for --attributions"),
            (["visualize", "a", "--attributions", "--heads", "0"], "--layers and --heads are for attention weights"),
            (["bench", "x", "--rounds", "0"], "--rounds 0 is not possible"),
            (
                ["run", "sentimnt-analysis", "x"],
                "There is no task 'sentimnt-analysis'. Did you mean 'sentiment-analysis'",
            ),
        ],
    )
    def test_wrong_usage_is_one_paragraph_and_2(self, arguments: list[str], said: str, run: Formers) -> None:
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("formers: ")
        assert said in err
        assert err.count("\n") == 1

    def test_an_argument_that_the_task_does_not_have(self, models: Path, run: Formers) -> None:
        code, out, err = run("run", "feature-extraction", "a", "--model", str(models / "acme/words"), "--top-k", "2")
        assert (code, out) == (2, "")
        assert "feature-extraction has no argument 'top_k'" in err

    def test_failure_is_one_paragraph_and_1(self, tmp_path: Path, run: Formers) -> None:
        for arguments in (["run", "fill-mask", "x", "--model"], ["info"], ["tokenize", "x", "--model"]):
            code, out, err = run(*arguments, str(tmp_path / "nothing"))
            assert (code, out) == (1, "")
            assert err.startswith("formers: The folder '")
            assert "does not exist" in err
            assert err.count("\n") == 1

    def test_no_text_on_a_terminal(self, run: Formers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        code, _, err = run("run", "fill-mask")
        assert code == 2
        assert "No text was given" in err


class TestRun:
    def test_texts_give_lines_of_json(self, labels: str, run: Formers) -> None:
        code, out, err = run("run", "text-classification", "good movie", "--model", labels, "bad")
        assert (code, err) == (0, "")
        assert [set(result) for result in lines(out)] == [{"label", "score"}] * 2

    def test_lines_of_standard_input_keep_their_order(
        self, labels: str, run: Formers, stdin: Callable[[bytes], None]
    ) -> None:
        code, expected, _ = run("run", "text-classification", *TEXTS, "--model", labels)
        assert code == 0
        for content in ("\n".join(TEXTS), "\r\n".join(TEXTS) + "\r\n", "\ufeff" + "\n".join(TEXTS)):
            for dash in ([], ["-"]):
                stdin(content.encode())
                code, out, err = run("run", "sentiment-analysis", *dash, "--model", labels, "--batch-size", "2")
                assert (code, err) == (0, "")
                for ours, theirs in zip(lines(out), lines(expected), strict=True):
                    assert ours["label"] == theirs["label"]
                    assert ours["score"] == pytest.approx(theirs["score"], rel=1e-5)

    def test_options(self, labels: str, run: Formers) -> None:
        base = ["run", "text-classification", "--model", labels]
        for top_k, count in (("1", 1), ("2", 2), ("all", 2)):
            assert [len(result) for result in lines(run(*base, "a", "--top-k", top_k)[1])] == [count]
        long = "good " * 30
        code, out, err = run(*base, long)
        assert (code, out) == (1, "")
        assert "32 tokens" in err
        assert run(*base, long, "--truncation", "--device", "cpu", "--dtype", "float32")[0] == 0
        code, _, err = run(*base, "a", "--device", "warp")
        assert code == 2
        assert "warp" in err
        assert run(*base, "--", "-5 stars")[0] == 0

    @pytest.mark.parametrize(
        ("arguments", "mode", "texts"),
        [
            (["a", "--optimize", "int8", "b"], "int8", ["a", "b"]),
            (["--optimize=float32", "a", "int8"], "float32", ["a", "int8"]),
            (["a", "--optimize", "b", "c"], True, ["a", "b", "c"]),
            (["--optimize", "a movie"], True, ["a movie"]),
            (["a", "--optimize"], True, ["a"]),
            (["--optimize", "--json", "a"], True, ["a"]),
            (["--optimize", "--", "int8", "--optimize"], True, ["int8", "--optimize"]),
            (["a"], None, ["a"]),
        ],
    )
    def test_optimize_and_texts(
        self, arguments: list[str], mode: Any, texts: list[str], run: Formers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []

        def pipeline(task: str, **options: Any) -> Callable[..., list[str]]:
            seen.append(options["optimize"])
            return lambda given, **_: (seen.append(text) or text for text in given)

        monkeypatch.setattr("formers.pipelines.pipeline", pipeline)
        code, out, err = run("run", "text-classification", *arguments)
        assert (code, err) == (0, "")
        assert seen == [mode, *texts]
        assert lines(out) == texts

    def test_optimized_results(self, labels: str, run: Formers) -> None:
        expected = lines(run("run", "text-classification", *TEXTS, "--model", labels)[1])
        code, out, err = run("run", "text-classification", *TEXTS, "--model", labels, "--optimize", "float32")
        assert (code, err) == (0, "")
        for ours, theirs in zip(lines(out), expected, strict=True):
            assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)

    def test_other_tasks(self, models: Path, run: Formers) -> None:
        words = str(models / "acme/words")
        _, out, err = run("run", "fill-mask", "a [MASK] .", "--model", words, "--top-k", "3")
        assert err == ""
        assert [list(row) for row in lines(out)[0]] == [["score", "token", "token_str", "sequence"]] * 3
        _, out, _ = run("run", "feature-extraction", "a movie", "--model", words)
        assert torch.tensor(lines(out)).shape == (1, 1, 4, 16)

    def test_for_people(self, models: Path, labels: str, run: Formers, terminal: None) -> None:
        words = str(models / "acme/words")
        _, out, _ = run("run", "text-classification", "good\x1b[31m", "--model", labels)
        score, label, text = out.split()
        assert 0 <= float(score) <= 1
        assert label in ("NEGATIVE", "POSITIVE")
        assert text == r"good\x1b[31m"
        _, out, _ = run("run", "text-classification", "good", "--model", labels, "--top-k", "all")
        assert out.splitlines()[0] == "good"
        assert [len(line.split()) for line in out.splitlines()[1:]] == [2, 2]
        _, out, _ = run("run", "fill-mask", "a [MASK] [MASK]", "--model", words, "--top-k", "2")
        assert len(out.splitlines()) == 5
        _, out, _ = run("run", "feature-extraction", "a movie", "--model", words)
        assert out == "1 × 4 × 16 numbers  a movie\n"
        _, out, _ = run("run", "text-classification", "good", "--model", labels, "--json")
        assert set(lines(out)[0]) == {"label", "score"}

    def test_a_line_that_is_no_text(self, labels: str, run: Formers, stdin: Callable[[bytes], None]) -> None:
        stdin(b"good\nb\xe4d\n")
        code, _, err = run("run", "text-classification", "--model", labels)
        assert code == 1
        assert "Line 2 of standard input is no UTF-8: its byte 1 is 0xe4" in err
        assert err.count("\n") == 1

    def test_results_stream_and_ctrl_c_is_quiet(self, labels: str) -> None:
        # tests that run in the background of a shell inherit that Ctrl-C is ignored
        reset = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
        job = process("run", "text-classification", "--model", labels, preexec_fn=reset)
        assert job.stdin is not None
        assert job.stdout is not None
        for text in TEXTS[:2]:
            job.stdin.write(f"{text}\n")
            job.stdin.flush()
            assert "label" in json.loads(job.stdout.readline())
        job.send_signal(signal.SIGINT)
        assert job.wait(timeout=30) == 130
        assert job.communicate()[1] == ""

    def test_a_reader_that_leaves_early(self, labels: str) -> None:
        job = process("run", "text-classification", "--model", labels)
        assert job.stdin is not None
        assert job.stdout is not None
        job.stdin.write("good\n")
        job.stdin.flush()
        job.stdout.readline()
        job.stdout.close()
        job.stdin.write("bad\n" * 100)
        job.stdin.close()
        assert job.wait(timeout=30) == 0
        assert job.stderr is not None
        assert job.stderr.read() == ""

    def test_a_real_terminal(self, labels: str) -> None:
        master, slave = pty.openpty()
        job = process("run", "text-classification", "good", "--model", labels, stdin=slave, stdout=slave)
        os.close(slave)
        assert job.wait(timeout=30) == 0
        assert os.read(master, 1000).decode().rstrip().endswith("TIVE  good")
        os.close(master)


class TestStreams:
    """Standard streams that are closed, or whose reader has left."""

    @pytest.mark.parametrize(
        ("arguments", "close"),
        [
            *(("info {labels}", close) for close in (">&-", "2>&-", "| head -c0")),
            *(("info /no/such", close) for close in (">&-", "2>&-", ">&- 2>&-", "2>&1 | head -c0")),
            *(("--help", "| head -c0"), ("run --help", "| head -c0"), ("tokenize a", "<&-")),
        ],
    )
    def test_they_end_without_a_traceback(self, labels: str, arguments: str, close: str) -> None:
        command = f"{sys.executable} -m formers {arguments.format(labels=labels)}"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{command} {close}"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"},
        )
        assert "Traceback" not in done.stderr and "Exception" not in done.stderr, done.stderr
        failed = "such" in arguments and "head" not in close
        assert done.returncode == int(failed), (done.returncode, done.stderr)
        assert bool(done.stderr) == (failed and close in (">&-", "<&-"))
        assert bool(done.stdout) == (close in ("2>&-", "<&-") and not failed)

    def test_no_text_and_no_standard_input(self, run: Formers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        code, _, said = run("tokenize")
        assert code == 2 and "standard input is closed" in said


class TestInfo:
    def test_a_folder(self, labels: str, run: Formers) -> None:
        code, out, err = run("info", labels)
        assert (code, err) == (0, "")
        (facts,) = lines(out)
        model = formers.AutoModelForSequenceClassification.from_pretrained(labels)
        assert facts["parameters"] == model.num_parameters()
        expected = {
            "model": labels,
            "commit": None,
            "architecture": "BertForSequenceClassification",
            "model_type": "bert",
            "supported": True,
            "layers": 2,
            "heads": 2,
            "hidden_size": 16,
            "vocabulary": len(VOCABULARY),
            "positions": 16,
            "labels": ["NEGATIVE", "POSITIVE"],
            "dtype": "float32",
        }
        assert {key: facts[key] for key in expected} == expected
        assert facts["tokenizer"]["class"].startswith("BertTokenizer")
        assert facts["tokenizer"]["vocabulary"] == len(VOCABULARY)
        sizes = {file["name"]: file["bytes"] for file in facts["files"]}
        assert sizes == {path.name: path.stat().st_size for path in Path(labels).iterdir()}

    def test_a_checkpoint_of_google_s(self, run: Formers) -> None:
        code, out, _ = run("info", str(Path(__file__).parent / "goldens" / "google_bert" / "classifier"))
        (facts,) = lines(out)
        model = {"model_type": "bert", "supported": True, "layers": 2, "hidden_size": 8, "dtype": "float32"}
        assert code == 0 and facts.items() >= model.items()
        assert facts["parameters"] == 1643  # without those of the optimizer

    def test_for_people(self, labels: str, run: Formers, terminal: None) -> None:
        _, out, _ = run("info", labels)
        assert "\narchitecture  BertForSequenceClassification\n" in out
        assert "\nlabels        NEGATIVE, POSITIVE\n" in out
        assert any(line.split()[:2] == ["files", "config.json"] for line in out.splitlines())

    def test_a_model_that_is_not_supported(self, tmp_path: Path, run: Formers) -> None:
        (tmp_path / "config.json").write_text(
            '{"model_type": "brt", "architectures": ["BrtModel"], "dtype": "bfloat16"}'
        )
        code, out, _ = run("info", str(tmp_path))
        (facts,) = lines(out)
        assert code == 0
        assert (facts["supported"], facts["parameters"], facts["dtype"]) == (False, None, "bfloat16")
        assert "bert" in facts["problem"]
        assert "problem" in facts["tokenizer"]

    def test_broken_weights_are_an_error(self, tmp_path: Path, run: Formers) -> None:
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
        code, _, err = run("info", str(tmp_path))
        assert code == 1
        assert "git-LFS pointer" in err

    def test_weights_on_the_hub_are_not_downloaded(self, models: Path, tmp_path: Path) -> None:
        with HubServer(models) as hub:
            environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
            out, err = process("info", "acme/labels", env=environment).communicate(timeout=60)
            assert err == ""
            (facts,) = lines(out)
            assert facts["commit"] == hub.commit("acme/labels")
            model = formers.AutoModelForSequenceClassification.from_pretrained(models / "acme/labels")
            assert facts["parameters"] == model.num_parameters()
            assert {"name": "model.safetensors", "bytes": None} in facts["files"]
            assert hub.paths("safetensors") == []
            assert len(hub.paths("/api/models/")) == 1


class TestCheck:
    def test_a_sound_model(self, labels: str, run: Formers) -> None:
        code, out, err = run("check", labels)
        assert (code, err) == (0, "")
        (report,) = lines(out)
        assert (report["model"], report["ok"]) == (labels, True)
        assert {finding["state"] for finding in report["checks"]} == {"ok"}

    def test_for_people(self, labels: str, run: Formers, terminal: None) -> None:
        _, out, _ = run("check", labels)
        rows = [line.split(maxsplit=2) for line in out.splitlines()]
        assert ["config", "ok", "bert, BertForSequenceClassification"] in rows
        assert ["dtype", "ok", "float32"] in rows
        assert lines(run("check", labels, "--json")[1])[0]["ok"]

    def test_a_problem_is_exit_code_1(self, models: Path, tmp_path: Path, run: Formers) -> None:
        shutil.copytree(models / "acme/labels", tmp_path / "model")
        (tmp_path / "model" / "vocab.txt").write_text("\n".join([*VOCABULARY, "one", "two"]))
        code, out, err = run("check", str(tmp_path / "model"))
        assert (code, err) == (1, "")
        assert [finding["check"] for finding in lines(out)[0]["checks"] if finding["state"] == "problem"] == [
            "tokenizer"
        ]


class TestConvert:
    def test_a_folder(self, labels: str, tmp_path: Path, run: Formers) -> None:
        code, out, err = run("convert", labels, str(tmp_path / "out"), "--dtype", "bfloat16", "--max-shard-size", "5KB")
        assert (code, err) == (0, "")
        (done,) = lines(out)
        assert (done["architecture"], done["dtype"]) == ("BertForSequenceClassification", "bfloat16")
        assert done["files"] == sorted(path.name for path in (tmp_path / "out").iterdir())
        assert "model.safetensors.index.json" in done["files"]
        model = formers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", dtype="auto")
        assert model.dtype == torch.bfloat16

    def test_for_people(
        self, labels: str, tmp_path: Path, run: Formers, terminal: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        code, out, _ = run("convert", labels, str(tmp_path / "out"))
        assert code == 0
        assert "\narchitecture  BertForSequenceClassification\n" in out
        assert "\nfiles         config.json, model.safetensors, vocab.txt\n" in out

    def test_a_folder_that_is_in_use(self, labels: str, tmp_path: Path, run: Formers) -> None:
        (tmp_path / "diary.txt").write_text("")
        code, out, err = run("convert", labels, str(tmp_path))
        assert (code, out) == (2, "")
        assert "no model's folder" in err
        assert run("convert", labels, labels)[0] == 2


class TestTokenize:
    def test_tokens_ids_offsets(self, labels: str, run: Formers) -> None:
        code, out, err = run("tokenize", "Good movies.", "", "--model", labels)
        assert (code, err) == (0, "")
        first, second = lines(out)
        assert first == {
            "tokens": ["[CLS]", "good", "movie", "##s", ".", "[SEP]"],
            "ids": [2, 7, 9, 10, 11, 3],
            "offsets": [[0, 0], [0, 4], [5, 10], [10, 11], [11, 12], [0, 0]],
        }
        assert second["tokens"] == ["[CLS]", "[SEP]"]

    def test_for_people(self, labels: str, run: Formers, terminal: None) -> None:
        _, out, _ = run("tokenize", "movies", "--model", labels)
        assert [line.split() for line in out.splitlines()] == [
            ["[CLS]", "2", "0–0"],
            ["movie", "9", "0–5"],
            ["##s", "10", "5–6"],
            ["[SEP]", "3", "0–0"],
            [],
        ]

    def test_long_texts_and_standard_input(self, labels: str, run: Formers, stdin: Callable[[bytes], None]) -> None:
        stdin(b"good\n" + b"bad " * 100 + b"\n")
        code, out, err = run("tokenize", "-", "--model", labels)
        assert (code, err) == (0, "")
        assert [len(result["ids"]) for result in lines(out)] == [3, 102]

    def test_the_tokenizer_in_the_package(self, run: Formers) -> None:
        if not cli.tokenize.PACKAGED.is_dir():
            pytest.skip("the packaged model is not there")
        code, out, _ = run("tokenize", "a fine film")
        assert code == 0
        assert "film" in "".join(lines(out)[0]["tokens"])


class TestBench:
    def test_texts_given(self, labels: str, run: Formers) -> None:
        code, out, err = run("bench", labels, "--rounds", "1", *TEXTS)
        assert (code, err) == (0, "")
        (result,) = lines(out)
        assert (result["model"], result["task"], result["device"]) == (labels, "text-classification", "cpu")
        assert (result["texts"], result["rounds"]) == (len(TEXTS), 1)
        assert result["tokens"] == {"all": 24, "least": 2, "most": 7}
        itself, *modes = result["modes"]
        assert (itself["mode"], itself["speedup"], itself["bytes"], itself["agreement"]) == (None, 1.0, 0, None)
        missing = [note for note in result["notes"] if "is missing" in note]
        assert len(modes) + len(missing) == 4
        for mode in modes:
            assert min(mode["texts_per_second"], mode["ms_alone"], mode["speedup_alone"], mode["bytes"]) > 0
            assert mode["agreement"]["cosine"] > 0.98
            assert mode["agreement"]["score_change"] < 0.1
        assert result["chosen"] in [mode["mode"] for mode in modes]

    def test_texts_of_the_package(self, models: Path, tmp_path: Path, run: Formers) -> None:
        from formers.models.bert import BertConfig, BertForSequenceClassification

        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        BertForSequenceClassification(BertConfig(vocab_size=len(VOCABULARY), **sizes)).save_pretrained(tmp_path)
        shutil.copy(models / "acme/labels/vocab.txt", tmp_path)
        (result,) = lines(run("bench", str(tmp_path), "--rounds", "1")[1])
        assert result["texts"] == 64
        assert result["tokens"]["most"] > 10 * result["tokens"]["least"]

    def test_lines_of_standard_input(self, labels: str, run: Formers, stdin: Callable[[bytes], None]) -> None:
        stdin("\n".join(TEXTS).encode())
        (result,) = lines(run("bench", labels, "-", "--rounds", "1")[1])
        assert result["texts"] == len(TEXTS)
        stdin(b"")
        code, _, err = run("bench", labels, "-")
        assert code == 1
        assert "no texts" in err

    @pytest.mark.parametrize("task", ["fill-mask", "feature-extraction"])
    def test_other_tasks(self, task: str, models: Path, run: Formers) -> None:
        arguments = ["a movie", "a [MASK] movie", "--task", task, "--rounds", "1"]
        code, out, err = run("bench", str(models / "acme/words"), *arguments)
        assert (code, err) == (0, "")
        (result,) = lines(out)
        assert result["task"] == task
        assert (result["modes"][1]["agreement"]["labels_changed"] is None) == (task == "feature-extraction")

    def test_a_mode_that_is_missing(self, labels: str, run: Formers, monkeypatch: pytest.MonkeyPatch) -> None:
        from formers.optimize import probe

        makers = probe.makers
        monkeypatch.setattr(probe, "makers", lambda mode, device: {} if mode == "int8" else makers(mode, device))
        (result,) = lines(run("bench", labels, "--rounds", "1", *TEXTS)[1])
        assert "int8" not in [mode["mode"] for mode in result["modes"]]
        assert [note for note in result["notes"] if note.startswith("int8: int8 is missing")]

    def test_for_people(self, labels: str, run: Formers, terminal: None) -> None:
        code, out, err = run("bench", labels, "--rounds", "2", *TEXTS)
        assert (code, err) == (0, "")
        rows = [line.split() for line in out.splitlines()]
        assert rows[0][-2:] == ["rounds:", "2"]
        assert rows[2][:2] == ["mode", "texts/s"]
        assert rows[3][:2] == ["as", "it"]
        assert rows[4][0] == "float32"
        assert any(line.startswith("optimize() chooses ") for line in out.splitlines())

    def test_the_copies_share_their_weights(self, labels: str) -> None:
        model = formers.AutoModelForSequenceClassification.from_pretrained(labels).eval()
        other = cli.bench._copy(model)
        other.optimize("float32")
        assert model.optimized is None
        for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
            assert ours.data_ptr() == theirs.data_ptr()


class TestEnv:
    def test_env(self, run: Formers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        code, out, err = run("env")
        assert (code, err) == (0, "")
        assert "hf_secret" not in out
        (facts,) = lines(out)
        assert facts["formers"] == formers.version.__version__
        assert facts["torch"] == torch.__version__
        assert facts["HF_HUB_OFFLINE"] == "1"
        assert facts["threads"] >= 1
        assert facts["cache"]


class TestVisualize:
    PACKAGED = Path(formers.__file__).parent / "packaged"

    def shown(self, run: Formers, page: Path, *arguments: str) -> str:
        code, out, err = run("visualize", *arguments, "--output", str(page))
        assert (code, err) == (0, "")
        (facts,) = lines(out)
        assert facts["page"] == str(page) and facts["bytes"] == page.stat().st_size
        return str(facts["shows"])

    def test_texts(self, run: Formers, labels: str, tmp_path: Path) -> None:
        shown = self.shown(run, tmp_path / "a.html", "good movie", "bad", "--model", labels, "--layers", "1")
        assert shown == "Attention(6 tokens, layers [1], heads [0, 1])"
        assert "movie" in (tmp_path / "a.html").read_text()
        found = self.shown(
            run, tmp_path / "b.html", "good movie", "--model", labels, "--attributions", "--target=POSITIVE"
        )
        assert found.startswith("Attributions(4 tokens, target='POSITIVE'")

    def test_pictures(self, run: Formers, tmp_path: Path) -> None:
        seven, words = str(self.PACKAGED / "digits/7_seven.png"), str(self.PACKAGED / "digits_and_words")
        page = tmp_path / "page.html"
        one = self.shown(run, page, seven, "--model", str(self.PACKAGED / "digits"), "--heads", "0,2")
        assert one == "Attention(65 tokens, layers [0, 1, 2, 3], heads [0, 2])"
        assert 'id="pixels"' in page.read_text()
        assert self.shown(run, page, seven, "--model", words).startswith("Attention(65 tokens")
        assert self.shown(run, page, "a picture of a seven", "--model", words).startswith("Attention(7 tokens")

    def test_what_is_not_there(self, run: Formers, labels: str, tmp_path: Path) -> None:
        digits = str(self.PACKAGED / "digits")
        for arguments, said in (
            (["photo.jpg", "--model", digits], "There is no file 'photo.jpg'"),
            (["good", "--model", labels, "--layers", "9"], "There is no layer 9"),
            (["good", "--model", labels, "--output", str(tmp_path / "no/a.html")], "There is no folder"),
        ):
            code, out, err = run("visualize", *arguments)
            assert code == 1 and not out and said in err
