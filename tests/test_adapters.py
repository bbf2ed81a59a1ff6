"""Adapters by PEFT: on every family as on the reference's model, through files of both, optimized, and of bad input."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from families import CASES, SEQ2SEQ_CASES, batch, difference, main_head, pair, rates, written_out
from of_families import facts
from peft.tuners.tuners_utils import BaseTunerLayer

import formers
from formers.errors import ArgumentError, CheckpointError, ConfigError, InputError, NotFoundError

TASKS = {
    "base": "FEATURE_EXTRACTION",
    "sequence-classification": "SEQ_CLS",
    "token-classification": "TOKEN_CLS",
    "question-answering": "QUESTION_ANS",
    "causal-lm": "CAUSAL_LM",
    "seq2seq-lm": "SEQ_2_SEQ_LM",
}
ALL = [(family, head) for family, head in (*CASES, *SEQ2SEQ_CASES) if head in TASKS]
HEAD = "sequence-classification"
Make = Callable[[list[str]], Any]


def one_head(family: str, head: str) -> bool:
    """The head that is tried of a family where not all are."""
    heads = [h for f, h in ALL if f == family]
    return head == (main_head(family) if main_head(family) in heads else heads[-1])


def linears(theirs: Any) -> list[str]:
    """The linear layers below the head, but for those that are read as tables of biases."""
    kinds = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)
    body, head = theirs.base_model, theirs.get_output_embeddings()
    below = f"{theirs.base_model_prefix}." if body is not theirs else ""
    found = [name for name, module in body.named_modules() if isinstance(module, kinds) and module is not head]
    return [f"{below}{name}" for name in found if not name.endswith("_bias")]


def adapted(family: str, head: str, make: Make, **changes: Any) -> tuple[Any, Any]:
    """The reference's model and ours with the same adapter, whose weights are drawn; nothing is dropped."""
    theirs, ours = pair(family, head, **dict.fromkeys(rates(family), 0.0), **changes)
    if facts(family).windows:
        written_out(theirs)
    targets = linears(theirs)
    theirs, ours = peft.get_peft_model(theirs, make(targets)), peft.get_peft_model(ours, make(targets))
    for module in (*theirs.modules(), *ours.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    wanted, generator = dict(theirs.named_parameters()), torch.Generator().manual_seed(5)
    trained = {name for name, parameter in ours.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, parameter in wanted.items() if parameter.requires_grad}
    assert set(peft.get_peft_model_state_dict(ours)) == set(peft.get_peft_model_state_dict(theirs))
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if name in trained:
                wanted[name].add_(torch.randn(parameter.shape, generator=generator) * 0.2)
                parameter.copy_(wanted[name])
    return theirs, ours


def compare(theirs: Any, ours: Any, inputs: dict[str, Any]) -> None:
    """Equal losses, or squares of states at tokens where there is none, and gradients."""

    def loss(model: Any) -> torch.Tensor:
        out = model.train()(**inputs)
        if "loss" in out and out["loss"] is not None:
            return out["loss"]
        keep = inputs.get("decoder_attention_mask", inputs["attention_mask"])
        return (out[0][:, -keep.shape[1] :] * keep[..., None]).square().sum()

    expected, got = loss(theirs), loss(ours)
    assert difference(got, expected) < 1e-5
    expected.backward()
    got.backward()
    wanted = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    largest = max(1.0, *(float(grad.abs().max()) for grad in wanted.values()))
    for name, parameter in ours.named_parameters():
        if parameter.requires_grad:
            grad, none = parameter.grad, torch.zeros_like(parameter)
            both = [none if x is None else x for x in (grad, wanted.get(name))]
            assert float((both[0] - both[1]).abs().max()) < 1e-5 * largest, name
        else:
            assert parameter.grad is None, name


@pytest.mark.every
@pytest.mark.brief.with_args(one_head)
@pytest.mark.parametrize(("family", "head"), ALL)
def test_every_family_trains_and_merges(family: str, head: str) -> None:
    make: Make = lambda targets: peft.LoraConfig(  # noqa: E731
        r=2, target_modules=targets, fan_in_fan_out=family == "gpt2", task_type=TASKS[head]
    )
    theirs, ours = adapted(family, head, make)
    inputs = batch(ours, head, "right")
    if head == "question-answering":  # PEFT does not hand them on there
        inputs.pop("token_type_ids", None)
    compare(theirs, ours, inputs)
    ours.eval()
    index = 0 if head == "base" else 1
    keep = inputs.get("decoder_attention_mask", inputs["attention_mask"]).bool()
    with torch.no_grad():
        want = ours(**inputs)[index]
        merged = ours.merge_and_unload()
        got = merged(**inputs)[index]
    if got.shape[: keep.dim()] == keep.shape:
        got, want = got[keep], want[keep]
    assert difference(got, want) < 1e-4
    assert not any(type(module).__module__.startswith("peft") for module in merged.modules())


def methods(family: str) -> dict[str, Make]:
    """Every kind of adapter, from the linear layers of the body."""
    turned = {"fan_in_fan_out": family == "gpt2"}
    prompt: dict[str, Any] = {"num_virtual_tokens": 3, "task_type": "SEQ_CLS"}
    layer = {"layers_to_transform": [1], "layers_pattern": "h" if family == "gpt2" else "layer"}
    return {
        "dora": lambda on: peft.LoraConfig(r=2, target_modules=on, use_dora=True, task_type="SEQ_CLS", **turned),
        "rslora": lambda on: peft.LoraConfig(
            r=2, target_modules=on, use_rslora=True, lora_bias=True, task_type="SEQ_CLS", **turned
        ),
        "one layer": lambda on: peft.LoraConfig(
            r=2, target_modules=[on[0].rpartition(".")[2]], task_type="SEQ_CLS", **layer, **turned
        ),
        "excluded": lambda on: peft.LoraConfig(
            r=2, target_modules=on, exclude_modules=on[:2], task_type="SEQ_CLS", **turned
        ),
        "ia3": lambda on: peft.IA3Config(target_modules=on, feedforward_modules=on[-1:], task_type="SEQ_CLS", **turned),
        "prompt": lambda _: peft.PromptTuningConfig(token_dim=_width(family), **prompt),
        "p-tuning": lambda _: peft.PromptEncoderConfig(token_dim=_width(family), encoder_hidden_size=8, **prompt),
        "prefix": lambda _: peft.PrefixTuningConfig(**prompt),
        "prefix, projected": lambda _: peft.PrefixTuningConfig(prefix_projection=True, encoder_hidden_size=8, **prompt),
    }


def _width(family: str) -> int:
    return int(pair(family, HEAD)[1].get_input_embeddings().embedding_dim)


METHODS = [(family, method) for family in ("bert", "gpt2") for method in methods(family)]


@pytest.mark.parametrize(("family", "method"), METHODS)
def test_every_method_is_the_references(family: str, method: str, tmp_path: Path) -> None:
    theirs, ours = adapted(family, HEAD, methods(family)[method])
    # of vectors instead of ids the reference of a decoder reads the last column, padding or not
    inputs = batch(ours, HEAD, "none" if family == "gpt2" else "right")
    compare(theirs, ours, inputs)
    ours.eval().save_pretrained(tmp_path)
    fresh = pair(family, HEAD, **dict.fromkeys(rates(family), 0.0))
    with torch.no_grad():
        want = ours(**inputs).logits
        for model in fresh:
            again = peft.PeftModel.from_pretrained(model, tmp_path).eval()
            assert difference(again(**inputs).logits, want) < 1e-5


def test_encoders_read_a_prefix_with_every_head() -> None:
    for family, head in (("roberta", HEAD), ("electra", "token-classification"), ("bert", "question-answering")):
        make: Make = lambda _, head=head: peft.PrefixTuningConfig(  # noqa: E731
            num_virtual_tokens=3, task_type=TASKS[head]
        )
        theirs, ours = adapted(family, head, make)
        compare(theirs, ours, batch(ours, head, "right"))


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_checkpointed_and_in_bfloat16(family: str) -> None:
    head = main_head(family) if family == "gpt2" else HEAD
    make: Make = lambda targets: peft.LoraConfig(  # noqa: E731
        r=2, target_modules=targets, fan_in_fan_out=family == "gpt2", task_type=TASKS[head]
    )
    theirs, ours = adapted(family, head, make)
    for model in (theirs, ours):
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    compare(theirs, ours, batch(ours, head, "right"))
    with torch.no_grad():
        want = ours.eval()(**batch(ours, head, "right")).loss
        assert difference(ours.to(torch.bfloat16)(**batch(ours, head, "right")).loss.float(), want) < 0.05


def base(folder: Path, family: str = "bert", **changes: Any) -> Path:
    pair(family, HEAD, **changes)[1].save_pretrained(folder)
    return folder


def lora(**changes: Any) -> Any:
    values = {"r": 2, "target_modules": ["query", "value"], "init_lora_weights": False, **changes}
    return peft.LoraConfig(**values)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(**batch(pair("bert", HEAD)[1], HEAD, "right", labels=False)).logits
    return found


def test_methods_are_the_references(tmp_path: Path) -> None:
    folder, seen = base(tmp_path / "base"), []
    for library in (transformers, formers):
        torch.manual_seed(0)
        model: Any = library.AutoModelForSequenceClassification.from_pretrained(folder)
        plain = logits(model)
        model.add_adapter(lora())
        first, facts_of = logits(model), [model.active_adapters(), sorted(model.get_adapter_state_dict())]
        facts_of += [[name for name, p in model.named_parameters() if p.requires_grad]]
        model.add_adapter(lora(target_modules=["key"]), "two")
        second = logits(model)
        facts_of += [model.active_adapters()]
        model.set_adapter("default")
        facts_of += [model.active_adapters(), torch.equal(logits(model), first)]
        model.disable_adapters()
        facts_of += [torch.equal(logits(model), plain)]
        model.enable_adapters()
        facts_of += [torch.equal(logits(model), first)]
        model.set_adapter(["default", "two"])
        facts_of += [model.active_adapters()]
        model.delete_adapter("default")
        facts_of += [sorted(model.get_adapter_state_dict("two")), sorted(model.peft_config)]
        model.set_adapter("two")
        facts_of += [torch.equal(logits(model), second)]
        seen.append((facts_of, first, second))
    assert seen[0][0] == seen[1][0]
    for ours, theirs in zip(seen[1][1:], seen[0][1:], strict=True):
        assert difference(ours, theirs) < 1e-5
    model.delete_adapter("two")
    assert list(model.state_dict()) == list(pair("bert", HEAD)[1].state_dict())
    assert torch.equal(logits(model), plain)


@pytest.mark.parametrize(("library", "pickled"), [(transformers, False), (formers, False), (formers, True)])
def test_files_of_either_open_in_both(library: Any, pickled: bool, tmp_path: Path) -> None:
    folder = base(tmp_path / "base")
    model = library.AutoModelForSequenceClassification.from_pretrained(folder)
    model.add_adapter(lora(modules_to_save=["classifier"]))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    want = logits(model)
    model.save_pretrained(tmp_path / "adapter", **({"safe_serialization": not pickled} if library is formers else {}))
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert names == {"adapter_config.json", f"adapter_model.{'bin' if pickled else 'safetensors'}"}
    said = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert said["base_model_name_or_path"] == str(folder)
    for other in (formers,) if pickled else (transformers, formers):  # a local .bin is not found by the reference
        opened = other.AutoModelForSequenceClassification.from_pretrained(tmp_path / "adapter")
        assert torch.equal(logits(opened), want)
        plain = other.AutoModelForSequenceClassification.from_pretrained(folder)
        assert torch.equal(logits(peft.PeftModel.from_pretrained(plain, tmp_path / "adapter")), want)
    with pytest.raises(ConfigError, match="model_type is 'bert'"):
        formers.RobertaForSequenceClassification.from_pretrained(tmp_path / "adapter")


def test_a_pipeline_of_an_adapter(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "film"]
    folder = base(tmp_path / "base", vocab_size=len(words))
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = formers.BertTokenizer(str(tmp_path / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    model = formers.AutoModelForSequenceClassification.from_pretrained(folder)
    model.add_adapter(lora())
    model.save_pretrained(tmp_path / "adapter")
    classify = formers.pipeline(model=str(tmp_path / "adapter"))
    want = transformers.pipeline("text-classification", model=str(tmp_path / "adapter"), tokenizer=str(folder))
    assert classify("a good film")[0] == pytest.approx(want("a good film")[0])
    assert classify.tokenizer.model_max_length == 40
    tokenizer.save_pretrained(tmp_path / "adapter")
    own = formers.AutoTokenizer.from_pretrained(tmp_path / "adapter")
    assert own.name_or_path == str(tmp_path / "adapter") and own.model_max_length == 40
    code = (
        f"import sys, formers; formers.pipeline('text-classification', model={str(folder)!r})('a film'); "
        "print([name for name in ('peft', 'accelerate', 'transformers') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_without_peft_the_way_is_named(tmp_path: Path) -> None:
    model = formers.AutoModelForSequenceClassification.from_pretrained(base(tmp_path / "base"))
    model.add_adapter(lora())
    model.save_pretrained(tmp_path / "adapter")
    code = (
        "import sys; sys.modules['peft'] = None; import formers\n"
        f"try: formers.AutoModel.from_pretrained({str(tmp_path / 'adapter')!r})\n"
        "except ImportError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert 'pip install "formers[adapters]"' in said


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_optimized_models_see_adapters(mode: str) -> None:
    torch.manual_seed(0)
    wide = {"vocab_size": 2100, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    model = pair("llama", "causal-lm", **wide)[1]
    inputs = batch(model, "causal-lm", "right", labels=False)
    keep = inputs["attention_mask"].bool()
    bar = 2e-5 if mode == "float32" else 5e-2

    def out(model: Any) -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = model.eval()(**inputs).logits[keep]
        return found

    def same(model: Any, want: torch.Tensor) -> bool:
        return difference(out(model), want) < bar

    config: Callable[[], Any] = lambda: lora(target_modules=["q_proj", "down_proj", "lm_head"])  # noqa: E731
    plain = out(model)
    model.optimize(mode)
    model.add_adapter(config())
    one = out(copy.deepcopy(model))
    assert difference(one, plain) > 4 * bar and same(model, one)
    model.optimize(mode)
    assert same(model, one)
    model.disable_adapters()
    assert same(model, plain)
    model.enable_adapters()
    model.optimize(mode)
    model.add_adapter(config(), "two")
    two = out(copy.deepcopy(model))
    assert difference(two, one) > 4 * bar and same(model, two)
    model.optimize(mode)
    model.set_adapter("default")
    assert same(model, one)
    model.optimize(mode)
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()  # writes into weights without their counting it
    assert same(model, one)
    model.delete_adapter(["default", "two"])
    assert same(model, plain)

    model.optimize(mode)
    wrapped = peft.get_peft_model(model, config())
    wrapped.merge_adapter()  # before a pass has seen that the layers are others
    want = out(copy.deepcopy(wrapped))
    assert difference(want, plain) > 4 * bar and same(wrapped, want)
    wrapped.unmerge_adapter()
    model.optimize(mode)
    wrapped.merge_adapter()
    assert same(wrapped, want)
    merged = wrapped.merge_and_unload()
    merged.optimize(mode)
    assert merged.optimized.stacks == 1 and same(merged, want)
    wrapped.train()
    assert model.optimized is None


def test_optimized_encoders_see_prefixes() -> None:
    make: Make = lambda _: peft.PrefixTuningConfig(num_virtual_tokens=3, task_type="SEQ_CLS")  # noqa: E731
    theirs, ours = adapted("bert", HEAD, make)
    inputs = batch(pair("bert", HEAD)[1], HEAD, "right", labels=False)
    ours.base_model.eval().optimize("float32")
    with torch.inference_mode():
        assert difference(ours.eval()(**inputs).logits, theirs.eval()(**inputs).logits) < 1e-5


def test_all_linear_leaves_the_head_out(tmp_path: Path) -> None:
    for family, head in (("bert", HEAD), ("gpt2", "causal-lm"), ("t5", "seq2seq-lm"), ("bert", "base")):
        names = []
        for model in pair(family, head):
            model.add_adapter(lora(target_modules="all-linear", task_type=TASKS[head], fan_in_fan_out=family == "gpt2"))
            names.append(sorted(model.get_adapter_state_dict()))
        assert names[0] == names[1]


def test_conv1d_is_known_by_its_class() -> None:
    layer = pair("gpt2", "base")[1].h[0].attn.c_attn
    assert isinstance(layer, transformers.pytorch_utils.Conv1D) and isinstance(layer, formers.Conv1D)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(again) is formers.Conv1D and torch.equal(again.weight, layer.weight)


# ---- bad input

BAD_CONFIGS = {
    "unknown type": ({"peft_type": "LORAX"}, ConfigError, "peft_type is 'LORAX'"),
    "no base": ({"base_model_name_or_path": None}, ConfigError, "names no base_model_name_or_path"),
    "another rank": ({"r": 3}, CheckpointError, r"is \(2, 32\) and not \(3, 32\).*Nothing was loaded"),
    "a huge rank": ({"r": 10**9}, ConfigError, "the rank 1000000000"),
    "no such layer": ({"target_modules": ["nothing"]}, InputError, "not found in the base model"),
    "no pattern": ({"target_modules": "(("}, InputError, "cannot be put into"),
    "a number": ({"target_modules": 5}, InputError, "cannot be put into"),
    "a module to import": ({"megatron_config": {"a": 1}, "megatron_core": "os"}, ConfigError, "megatron_config"),
    "a prompt": ({"peft_type": "PROMPT_TUNING", "task_type": "SEQ_CLS"}, InputError, "get_peft_model"),
    "base elsewhere": ({"base_model_name_or_path": "/no/folder"}, NotFoundError, "adapter is for '/no/folder'"),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder of an adapter, beside its model's."""
    model = formers.AutoModelForSequenceClassification.from_pretrained(base(tmp_path / "base"))
    model.add_adapter(lora())
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def untouched(model: Any) -> bool:
    names = list(pair("bert", HEAD)[1].state_dict())
    return list(model.state_dict()) == names and all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_bad_configurations(case: str, saved: Path) -> None:
    changes, error, words = BAD_CONFIGS[case]
    path = saved / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(error, match=words):
        formers.AutoModelForSequenceClassification.from_pretrained(saved)
    if "base" not in case:
        model = formers.AutoModelForSequenceClassification.from_pretrained(saved.parent / "base")
        with pytest.raises(error, match=words):
            model.load_adapter(saved)
        assert untouched(model)


def test_other_models_are_left_as_they_were(saved: Path) -> None:
    wide = pair("bert", HEAD, hidden_size=64, num_attention_heads=4)[1]
    with pytest.raises(CheckpointError, match=r"query\.lora_A.*Nothing was loaded"):
        wide.load_adapter(saved)
    assert untouched(wide)
    with pytest.raises(CheckpointError, match="of another model than this RobertaForSequenceClassification"):
        pair("roberta", HEAD)[1].load_adapter(saved)
    with pytest.raises(InputError, match="not found in the base model"):
        pair("gpt2", HEAD)[1].load_adapter(saved)
    model = pair("bert", HEAD)[1]
    model.add_adapter(lora(), "own")
    want = logits(model)
    path = saved / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "r": 3}))
    with pytest.raises(CheckpointError):
        model.load_adapter(saved)
    assert model.active_adapters() == ["own"] and torch.equal(logits(model), want)
    assert not any(".default." in name for name in model.state_dict())


def test_folders_without_files(saved: Path, tmp_path: Path) -> None:
    model = pair("bert", HEAD)[1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"no adapter_config\.json"):
        model.load_adapter(tmp_path / "empty")
    shutil.copytree(saved, tmp_path / "half")
    (tmp_path / "half" / "adapter_model.safetensors").unlink()
    with pytest.raises(NotFoundError, match="no weights of an adapter"):
        model.load_adapter(tmp_path / "half")
    assert untouched(model)


class Evil:
    def __reduce__(self) -> Any:
        return eval, ("open('evil', 'w').close()",)


def test_pickles_run_nothing(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (saved / "adapter_model.safetensors").unlink()
    torch.save({"base_model.model.x": Evil()}, saved / "adapter_model.bin")
    model = pair("bert", HEAD)[1]
    with pytest.raises(CheckpointError, match="was not opened"):
        model.load_adapter(saved)
    assert untouched(model) and not (tmp_path / "evil").exists()


def test_names_and_arguments(saved: Path) -> None:
    model = pair("bert", HEAD)[1]
    for ask in (model.active_adapters, model.disable_adapters, lambda: model.set_adapter("x")):
        with pytest.raises(ValueError, match="has no adapter"):
            ask()
    model.load_adapter(saved)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ValueError, match="already"):
        model.load_adapter(saved)
    with pytest.raises(ValueError, match="already"):
        model.add_adapter(lora())
    for ask in (lambda: model.set_adapter("defualt"), lambda: model.delete_adapter(["defualt"])):
        with pytest.raises(ValueError, match="Did you mean 'default'"):
            ask()
    with pytest.raises(TypeError, match="a configuration of PEFT"):
        model.add_adapter({"r": 2}, "two")
    with pytest.raises(ArgumentError, match="is_trainable"):
        model.load_adapter(saved, "two", is_trainble=True)
    with pytest.raises(ArgumentError, match="without dots"):
        model.load_adapter(saved, "a.b")
    model.load_adapter(saved, "two", is_trainable=True)
    model.set_adapter(["default", "two"])
    with pytest.raises(ValueError, match="2 adapters are active"):
        model.save_pretrained(saved.parent / "both")
    want = logits(model)
    model.load_adapter(saved, "two", hotswap=True)
    model.set_adapter(["default", "two"])
    assert torch.equal(logits(model), want)
