"""Models that TensorFlow and Flax wrote: every head gives what it gave there, and moves on to the reference.

The goldens are from tools/make_goldens_frameworks.py and tools/make_goldens_tf1.py.
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers
from families import difference

import formers
from formers import registry

GOLDENS = Path(__file__).parent / "goldens"
FRAMEWORKS = sorted(path.parent for path in GOLDENS.glob("frameworks/*/*/*/expected.npz"))
GOOGLE = {"pretraining": "PreTraining", "classifier": "SequenceClassification", "squad": "QuestionAnswering"}
GOOGLE_NAMES = {
    "mlm_logits": "prediction_logits",
    "nsp_logits": "seq_relationship_logits",
    "sequence_output": "last_hidden_state",
    "pooled_output": "pooler_output",
}
LABELS = {"classifier": {"num_labels": 3}}  # which Google's configurations do not say
# what Google's model, and TensorFlow's MPNet, have whether or not a head reads it
UNUSED = {"squad": "bert.pooler.dense.", "mpnet": "mpnet.pooler.dense."}
OTHER_CLASS = {"BertForCausalLM": "BertLMHeadModel"}  # Flax's name for it
ALL_OUTPUTS = {"output_hidden_states": True}


def unpacked(golden: Path, folder: Path) -> Path:
    """The golden as its framework left it, in a folder of its own."""
    folder.mkdir()
    for path in golden.iterdir():
        if path.suffix == ".gz":
            (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        elif path.suffix == ".json":
            shutil.copyfile(path, folder / path.name)
    return folder


def arrays(path: Path, prefix: str = "") -> dict[str, torch.Tensor]:
    with numpy.load(path) as file:
        found = {name: torch.from_numpy(file[name]) for name in file.files}
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def outputs(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All outputs of a model by name, hidden states one by one."""
    with torch.no_grad():
        found = model(**inputs, **ALL_OUTPUTS)
    flat = {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}
    layers = {name: value for name, value in found.items() if name.endswith("hidden_states") and name not in flat}
    return flat | {f"{name}.{i}": value for name, states in layers.items() for i, value in enumerate(states)}


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], mask: torch.Tensor) -> None:
    """Equal at real tokens to 1e-5 of the largest value, and the same outputs on both sides."""
    assert ours.keys() == theirs.keys()
    keep = mask.flatten(0, -2).bool()
    for name, want in theirs.items():
        have = ours[name]
        assert have.shape == want.shape, name
        if have.shape[:2] == keep.shape:
            have, want = have[keep], want[keep]
        assert difference(have, want) < 1e-5, name


def loaded(model_class: Any, folder: Path, unused: str = " ", **options: Any) -> Any:
    """The model, in float32, when its weights are neither too few nor too many; names with `unused` in them may be."""
    model, report = model_class.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **options)
    report["unexpected_keys"] = [name for name in report["unexpected_keys"] if unused not in name]
    # fixed ones, which are computed
    report["missing_keys"] = [name for name in report["missing_keys"] if not name.endswith("embed_positions.weight")]
    assert not any(report.values()), report
    return model.eval()


@pytest.fixture(params=FRAMEWORKS, ids=lambda path: "-".join(path.parts[-3:]))
def golden(request: pytest.FixtureRequest) -> Path:
    return request.param


def opened(golden: Path, folder: Path, **options: Any) -> Any:
    """The golden's model from its files in `folder`."""
    name = formers.AutoConfig.from_pretrained(golden).architectures[0]
    return loaded(getattr(formers, OTHER_CLASS.get(name, name)), folder, UNUSED.get(golden.parts[-3], " "), **options)


@pytest.mark.parametrize("flagged", [False, True], ids=["plain", "flagged"])
def test_outputs(golden: Path, flagged: bool, tmp_path: Path) -> None:
    folder = unpacked(golden, tmp_path / "saved")
    options = {f"from_{golden.parent.name}": True} if flagged else {}
    model = opened(golden, folder, **options)
    inputs = arrays(golden / "expected.npz", "inputs.")
    assert_equal(outputs(model, inputs), arrays(golden / "expected.npz", "outputs."), inputs["attention_mask"])


def test_saved_for_the_reference(golden: Path, tmp_path: Path) -> None:
    ours = opened(golden, unpacked(golden, tmp_path / "saved"))
    ours.save_pretrained(tmp_path / "ours")
    assert [path.name for path in (tmp_path / "ours").glob("model*")] == ["model.safetensors"]
    theirs = loaded(getattr(transformers, type(ours).__name__), tmp_path / "ours")
    inputs = arrays(golden / "expected.npz", "inputs.")
    assert_equal(outputs(ours, inputs), outputs(theirs, inputs), inputs["attention_mask"])
    assert_equal(outputs(theirs, inputs), arrays(golden / "expected.npz", "outputs."), inputs["attention_mask"])


def test_without_mapping(golden: Path, tmp_path: Path) -> None:
    folder = unpacked(golden, tmp_path / "saved")
    mapped, copied = (opened(golden, folder, mmap=mmap).state_dict() for mmap in (True, False))
    assert all(torch.equal(mapped[name], value) for name, value in copied.items())


@pytest.mark.parametrize("framework", ["tf", "flax"])
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_every_head_is_there(family: str, framework: str) -> None:
    there = {path.name for path in FRAMEWORKS if path.parts[-3:-1] == (family, framework)}
    assert there >= set(registry.load(family).HEADS)


# Checkpoints of google-research/bert, with bert_config.json and vocab.txt beside them


def google(name: str, activation: str = "gelu") -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Inputs and expected outputs, these by the names that they have here."""
    file = GOLDENS / "google_bert" / name / ("outputs_tanh.npz" if activation == "gelu_new" else "outputs.npz")
    want = {GOOGLE_NAMES.get(key, key): value for key, value in arrays(file).items()}
    layers = want.pop("hidden_states", ())
    return arrays(GOLDENS / "google_bert" / name / "inputs.npz"), want | {
        f"hidden_states.{i}": layer for i, layer in enumerate(layers)
    }


def assert_has(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], mask: torch.Tensor) -> None:
    """As assert_equal, for the outputs that both sides have; there is at least one."""
    shared = ours.keys() & theirs.keys()
    assert shared
    assert_equal({name: ours[name] for name in shared}, {name: theirs[name] for name in shared}, mask)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
@pytest.mark.parametrize("name", GOOGLE)
def test_google_heads(name: str, activation: str, tmp_path: Path) -> None:
    folder = GOLDENS / "google_bert" / name
    inputs, want = google(name, activation)
    model_class = getattr(formers, f"AutoModelFor{GOOGLE[name]}")
    model = loaded(model_class, folder, unused=UNUSED.get(name, " "), hidden_act=activation, **LABELS.get(name, {}))
    assert_has(outputs(model, inputs), want, inputs["attention_mask"])
    model.save_pretrained(tmp_path / "ours")
    theirs = loaded(getattr(transformers, type(model).__name__), tmp_path / "ours")
    assert_has(outputs(theirs, inputs), want, inputs["attention_mask"])


@pytest.mark.parametrize("options", [{}, {"from_tf": True}, {"mmap": False}], ids=str)
def test_google_base(options: dict[str, Any]) -> None:
    folder = GOLDENS / "google_bert" / "pretraining"
    inputs, want = google("pretraining")
    model = loaded(formers.AutoModel, folder, unused="cls.", **options)
    assert_has(outputs(model, inputs), want, inputs["attention_mask"])


def test_google_tokenizer() -> None:
    folder = GOLDENS / "google_bert" / "pretraining"
    ours = formers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.BertTokenizer.from_pretrained(folder)
    assert ours("A bing, king?")["input_ids"] == theirs("A bing, king?")["input_ids"]
    assert type(ours).__name__.startswith("BertTokenizer")
