"""What imports may load, and that they only go up."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "formers"
# a file imports from the rooms before its own, and from its own
ROOMS = [
    "version", "errors", "extra", "logging", "machine", "atomic", "registry", "views", "hub", "checkpoints", "gguf",
    "config", "tokenization", "processing", "classes", "outputs", "ops", "optimize", "cache", "report", "loading",
    "pretrained", "adapters", "pruning", "optimizing", "layers", "cross_attention", "masks", "generation", "modeling",
    "bodies", "heads", "vision", "backbone", "segmentation", "convolutional", "spectrograms", "waves", "speech",
    "speech_heads", "two_towers", "decoders", "seeing", "experts", "seq2seq", "models", "auto", "auto_processing",
    "fitting", "convert", "check",
    "training", "pipelines", "sentences", "visualize", "cli",
    "old_paths", "as_transformers",
]  # fmt: skip
# the package itself, and names that are looked up at run time
DOORS = {"__init__", "__main__"}


def imports(path: Path) -> set[str]:
    """Rooms of this package that a file imports, anywhere in it but for its type checker alone."""
    package = ("formers", *path.relative_to(SOURCE).with_suffix("").parts)
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    unseen = {id(inner) for branch in for_types for inner in ast.walk(branch)}
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) if node.level else ""
            module = ".".join(x for x in (base, node.module) if x)
            names = [f"{module}.{a.name}" for a in node.names] if module == "formers" else [module]
        else:
            continue
        found |= {n.split(".")[1] for n in names if n.startswith("formers.")}
    return found


def test_every_room_is_placed() -> None:
    rooms = {p.stem for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms - DOORS == set(ROOMS)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_up(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room in DOORS:
        return
    above = set(ROOMS[: ROOMS.index(room) + 1])
    assert imports(path) <= above | {"__version__"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import formers", ["torch", "numpy", "tokenizers", "huggingface_hub", "tqdm"]),
        ("import formers.errors, formers.hub, formers.config", ["torch", "numpy", "huggingface_hub"]),
        ("from formers import PretrainedConfig, logging", ["torch", "numpy"]),
        ("import formers; formers.PretrainedConfig()._repr_html_()", ["torch", "numpy", "IPython"]),
        ("from formers import visualize", ["matplotlib", "IPython"]),
        ("import formers.tokenization", ["torch"]),
        ("import formers.processing", ["torch", "PIL", "tqdm"]),
        ("from formers import GenerationConfig, TextStreamer; GenerationConfig(top_k=5)", ["torch", "numpy"]),
        ("from formers import pipeline", ["torch", "transformers"]),
        ("from formers import Trainer, TrainingArguments", ["accelerate", "tensorboard", "transformers", "peft"]),
        ("from formers import pipeline; pipeline", ["accelerate", "formers.training.trainer"]),
        ("import formers.cli", ["torch", "numpy", "tokenizers", "huggingface_hub"]),
        (
            "from formers import AutoModel, AutoTokenizer, BertModel",
            ["transformers", "scipy", "huggingface_hub", "torch._dynamo"],
        ),
    ],
)
def test_what_is_loaded(statement: str, absent: list[str]) -> None:
    code = f"import sys; {statement}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_stub_lists_the_public_names() -> None:
    done = subprocess.run(
        [sys.executable, SOURCE.parents[1] / "tools" / "write_stub.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_star_import_and_dir() -> None:
    namespace: dict[str, object] = {}
    exec("from formers import *", namespace)
    assert {"AutoModel", "BertModel", "DistilBertConfig", "BertTokenizerFast", "pipeline"} <= namespace.keys()


def test_names_that_are_not_here() -> None:
    import formers

    with pytest.raises(ImportError, match="Use AutoModel;"):
        from formers import TFAutoModel  # noqa: F401
    with pytest.raises(ImportError, match="Use BertModel;"):
        from formers import FlaxBertModel  # noqa: F401
    with pytest.raises(ImportError, match="BertModel"):
        from formers import BertModle  # noqa: F401
    with pytest.raises(ImportError, match=r"families are: .*bert"):
        from formers import NoSuchModel  # noqa: F401
    with pytest.raises(AttributeError, match="pipeline"):
        formers.pipelin  # noqa: B018
