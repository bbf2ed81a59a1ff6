"""Every attack of `hostile.py` through the user's own calls: refused or not heeded, soon, in little memory."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import ATTACKS, RAN, Attack, valid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import formers
from formers.errors import FormersError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
SECONDS, MEGABYTES = 2, 256
LOOKED_AT = [name for name in ATTACKS if not name.endswith(("(legacy)", "(bare)"))]
CHILD = Path(__file__).with_name("hostile_child.py")


@pytest.fixture
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """What happened, by attack and door; "" is the valid folder. One process forks into one for each attempt."""
    base = tmp_path_factory.mktemp("attacks")
    valid(base / "valid")
    cases = [{"name": "", "door": door, "folder": str(base / "valid")} for door in ("model", "tokenizer", "config")]
    for number, (name, attack) in enumerate(ATTACKS.items()):
        folder = base / str(number)
        shutil.copytree(base / "valid", folder)
        attack.make(folder)
        cases.append({"name": name, "door": attack.door, "folder": str(folder), "options": attack.options})
        if name in LOOKED_AT:
            cases.append({"name": name, "door": "info", "folder": str(folder)})
    env = os.environ | {"PYTHONPATH": str(Path(formers.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(CHILD), "formers", str(base / "valid")],
        input=json.dumps(cases), capture_output=True, text=True, env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {}
    for line, case in zip(done.stdout.splitlines(), cases, strict=True):
        folder = Path(case["folder"])
        size = sum(path.lstat().st_size for path in folder.iterdir()) / 2**20
        found[case["name"], case["door"]] = {
            **json.loads(line), "folder": str(folder), "size": size, "ran": (folder / RAN).exists(),
        }  # fmt: skip
    return found


ADVICE = ("weights_only", "unsafe", "trust_remote_code=True", "allow_pickle")  # messages never say to switch safety off


def harm(result: dict[str, Any]) -> list[str]:
    """What an attempt did that no file may do to a process."""
    if "killed" in result:
        return [f"the process ended by signal {result['killed']}"]
    found = ["code of the file ran"] * bool(result["ran"] or result["modules"])
    found += [f"it took {result['seconds']:.1f} s"] * (result["seconds"] >= SECONDS)
    found += [f"it took {result['megabytes']:.0f} MB"] * (result["megabytes"] >= MEGABYTES + result["size"])
    found += [f"{result.get('error')} came out"] * ("error" in result and "FormersError" not in result["error"])
    return found + [f"the message advises {word}" for word in ADVICE if word in result.get("message", "")]


def answer(attack: Attack, result: dict[str, Any], valid: dict[str, Any]) -> list[str]:
    """What is wrong with how the attack was refused, or not heeded."""
    if attack.loads:
        return ["it does not load as the valid folder does"] * (result.get("result") != valid["result"])
    if "error" not in result:
        return ["it was not refused"]
    found = ["the message does not name the file"] * (result["folder"] not in result["message"])
    return found + ["neither an OSError nor a ValueError"] * (not {"OSError", "ValueError"} & set(result["error"]))


def test_every_attack(results: dict[tuple[str, str], dict[str, Any]]) -> None:
    """In one test, as the results are of one process: several workers would each start it."""
    wrong = {}
    for (name, door), result in results.items():
        found = harm(result)
        if name and door != "info" and "killed" not in result:
            found += answer(ATTACKS[name], result, results["", door])
        if found:
            wrong[name, door] = found, result.get("message", "")[:300]
    assert not wrong
    assert len(results) > 200


# Damage: files that a disk or a connection broke

FILES = {
    "config.json": formers.AutoConfig.from_pretrained,
    "model.safetensors.index.json": formers.AutoModel.from_pretrained,
    "tokenizer.json": formers.AutoTokenizer.from_pretrained,
    "tokenizer_config.json": formers.AutoTokenizer.from_pretrained,
    "special_tokens_map.json": formers.AutoTokenizer.from_pretrained,
    "added_tokens.json": formers.AutoTokenizer.from_pretrained,
    "vocab.txt": formers.AutoTokenizer.from_pretrained,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage") / "valid"
    valid(folder)
    (folder / "added_tokens.json").write_text(json.dumps({"<new>": 13, "<newer>": 14}))
    return folder


@pytest.fixture
def damaged(folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[bytes, Callable[[bytes], bool]]:
    """The bytes of a file, and what tries the folder with others in their place: whether it loads."""
    name = request.param
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    if name == "model.safetensors.index.json":
        formers.AutoModel.from_pretrained(copy).save_pretrained(copy, max_shard_size="2KB")
    if name == "vocab.txt":
        (copy / "tokenizer.json").unlink()
    data = (copy / name).read_bytes()

    def loads(changed: bytes) -> bool:
        (copy / name).write_bytes(changed)
        try:
            loaded = FILES[name](copy)
        except FormersError as error:
            assert str(copy) in str(error)  # noqa: PT017
            return False
        if name not in ("config.json", "model.safetensors.index.json"):
            try:
                assert isinstance(loaded("a b")["input_ids"], list)
            except FormersError:
                return False
        return True

    return data, loads


ALL = pytest.mark.parametrize("damaged", FILES, indirect=True)


@ALL
def test_cut_anywhere(damaged: tuple[bytes, Callable[[bytes], bool]], request: pytest.FixtureRequest) -> None:
    data, loads = damaged
    assert loads(data)
    text = "vocab" in request.node.name  # a cut vocabulary is a shorter one
    for size in [*range(0, len(data.rstrip()), 64), len(data.rstrip()) - 1]:
        assert not loads(data[:size]) or text


@ALL
def test_flips_insertions_and_cuts(damaged: tuple[bytes, Callable[[bytes], bool]]) -> None:
    data, loads = damaged

    @settings(max_examples=120, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=3),
        st.integers(0, len(data)),
        st.integers(0, 20),
        st.sampled_from([b"", b"null", b"-1", b"[]", b"{}", b'"', b"1e999", b"true", b"\xff", b'"\\ud800"', b"9" * 20]),
    )
    def check(flips: list[tuple[int, int]], start: int, gone: int, new: bytes) -> None:
        changed = bytearray(data)
        for position, value in flips:
            changed[position] = value
        loads(bytes(changed[:start] + new + changed[start + gone :]))

    check()


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
)
def test_values_of_another_kind(name: str, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    value = json.loads((copy / name).read_text())
    for key in value:
        for other in (None, True, -1, 10**30, 1.5, float("nan"), "x", "", "\ud800", [], ["x"], [[1]], {}, {"a": "b"}):
            (copy / name).write_text(json.dumps(value | {key: other}))
            try:
                if name == "config.json":
                    formers.AutoModel.from_pretrained(copy, torch_dtype="auto")
                else:
                    formers.AutoTokenizer.from_pretrained(copy)("a b")
            except FormersError as error:
                assert str(copy) in str(error) or "text" in str(error)  # noqa: PT017


# The source: what could run code of a file is not there at all

FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "torch.load", "torch.jit.load", "torch.hub.load", "numpy.load",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "yaml.load", "joblib.load", "runpy.run_path",
    "subprocess.run", "subprocess.Popen", "os.system", "shelve.open",
}  # fmt: skip


def test_nothing_in_the_source_runs_what_a_file_says() -> None:
    source = Path(formers.__file__).parent
    imports, readers = [], []
    for path in source.rglob("*.py"):
        where = path.relative_to(source).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                allowed = {"runpy.run_path"} if where == "as_transformers.py" else set()
                # the program ffmpeg, with its own arguments alone and no shell
                allowed |= {"subprocess.Popen"} if where == "processing/hearing.py" else set()
                if any(ast.unparse(keyword) == "weights_only=True" for keyword in node.keywords):
                    allowed = {"torch.load"}  # of tensors and plain values alone
                assert called not in FORBIDDEN - allowed, f"{where}:{node.lineno}"
                imports += [where] * called.endswith("import_module")
                readers += [where] * (called == "pickles.load")
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [getattr(node, "module", None), *(alias.name for alias in node.names)]
                # runs a script that its user names, as Python does
                allowed = {"runpy"} if where == "as_transformers.py" else set()
                assert not {"pickle", "marshal", "shelve", "dill", "joblib", "runpy"} & set(names) - allowed, where
    own = {"__init__.py", "registry.py", "logging.py", "pipelines/__init__.py", "pipelines/registry.py"}
    own.add("extra.py")
    old = {"old_paths/__init__.py", "old_paths/names.py", "as_transformers.py"}
    assert set(imports) <= own | old, "modules are named by our own code"
    assert set(readers) == {"checkpoints/torch_zip.py", "checkpoints/torch_legacy.py"}, "one reader of pickles"
