"""The folders of sentence-transformers: which modules there are, and what their files say.

A setting that changes vectors is heeded or refused. Nothing in a file chooses code, a path outside, or a repository.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import hub
from ..checkpoints import open_checkpoint
from ..config import read_json
from ..errors import ConfigError, near
from .modules import MODULES, Module

# what modules.json calls the modules of sentence-transformers, in all its releases
TYPES = "sentence_transformers.models"
_MOST_MODULES = 100
# the file of the first module was named after the model's family once
_FIRST = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# keys of that file with which only these values are what is done here
_ONLY = {
    "feature-extraction": {
        "transformer_task": "feature-extraction",
        "module_output_name": "token_embeddings",
        "method_output_name": "last_hidden_state",
    },
    "sequence-classification": {
        "transformer_task": "sequence-classification",
        "module_output_name": "scores",
        "method_output_name": "logits",
    },
}
# what 6.x says of models that make vectors of texts, or of pictures: the method, and the output of it that they are
_TOWERS = {kind: f"get_{kind}_features" for kind in ("text", "image")}
_FIRST_TYPES = ("Transformer", "CLIPModel")
# how a model or a tokenizer is loaded, which changes no vector
_NO_MATTER = {
    "attn_implementation", "device_map", "low_cpu_mem_usage", "trust_remote_code", "use_safetensors", "use_cache",
    "add_pooling_layer", "use_fast", "padding_side", "clean_up_tokenization_spaces", "unpad_inputs",
}  # fmt: skip
_OLDER = {"model_args": "model_kwargs", "tokenizer_args": "processor_kwargs", "config_args": "config_kwargs"}
_TOKENIZER = ("model_max_length", "do_lower_case", "truncation_side", "strip_accents", "tokenize_chinese_chars")


class Settings:
    """What the file of the first module says.

    Attributes:
        max_seq_length, do_lower_case: see Transformer.
        model, tokenizer, config: more keyword arguments for the model and the tokenizer, and keys of the configuration.
        towers: whether it says that the model makes vectors of texts and of pictures by towers of their own; None where
            it does not say what the model makes.
    """

    def __init__(self, own: Mapping[str, Any], where: str, task: str) -> None:
        self.where, only = where, _ONLY[task]
        own = {_OLDER.get(key, key): value for key, value in own.items() if value not in (None, {}, [])}
        self.model = self._taken(own.pop("model_kwargs", {}), "model_kwargs", ("dtype", "torch_dtype"))
        self.tokenizer = self._taken(own.pop("processor_kwargs", {}), "processor_kwargs", _TOKENIZER)
        self.config = self._taken(own.pop("config_kwargs", {}), "config_kwargs", None)
        text = self._taken(own.pop("processing_kwargs", {}), "processing_kwargs", ("text",)).get("text", {})
        most = self._taken(text, "processing_kwargs", ("max_length", "padding")).get("max_length")
        if text.get("padding", True) not in (True, "longest", "max_length"):
            raise self._refused("processing_kwargs['text']['padding']", text["padding"])
        self.max_seq_length = most or own.pop("max_seq_length", None) or self.tokenizer.get("model_max_length")
        own.pop("max_seq_length", None)
        self.do_lower_case = bool(own.pop("do_lower_case", False))
        if (limit := self.max_seq_length) is not None and not (type(limit) is int and limit > 0):
            raise ConfigError(f"{where}: max_seq_length={limit!r} should be a number of tokens.")
        self.towers = self._towers(own.pop("modality_config", {}), only["method_output_name"])
        if self.towers:
            only = {**only, "module_output_name": "sentence_embedding"}
        for key, value in own.items():
            if key not in _NO_MATTER and value != only.get(key):
                raise self._refused(key, value)

    def _towers(self, given: Any, output: str) -> bool | None:
        """See `towers`. output: of texts, or of pictures, alone."""
        ways = self._taken(given, "modality_config", tuple(_TOWERS))
        alone = {"method": "forward", "method_output_name": output}
        if all(way == alone for way in ways.values()):
            return False if ways else None
        for kind, way in ways.items():
            if way not in [{"method": _TOWERS[kind], "method_output_name": made} for made in ("pooler_output", None)]:
                raise self._refused(f"modality_config[{kind!r}]", way)
        return True

    def _taken(self, given: Any, key: str, known: tuple[str, ...] | None) -> dict[str, Any]:
        if not isinstance(given, Mapping):
            raise self._refused(key, given)
        kept = {name: value for name, value in given.items() if name not in _NO_MATTER and value not in (None, {})}
        for name, value in kept.items():
            if known is not None and name not in known:
                raise self._refused(f"{key}[{name!r}]", value)
        return kept

    def _refused(self, key: str, value: Any) -> ConfigError:
        return ConfigError(
            f"{self.where}: {key}={value!r:.80} is not known here, and may change what the model gives. Take it out of "
            "the file if it does not."
        )

    def apply(self, config: Any) -> None:
        """Set the keys of the configuration. Raises ConfigError for one that it does not have."""
        known = config.to_dict().keys()
        for key, value in self.config.items():
            if key not in known:
                raise self._refused(f"config_kwargs[{key!r}]", value)
            setattr(config, key, value)


def read(source: hub.Source, name: str) -> dict[str, Any]:
    """The values of a JSON file; none where it is not there."""
    path = source.file(name)
    return {} if path is None else read_json(path)


def settings(source: hub.Source, first: str, task: str = "feature-extraction") -> Settings:
    """What the first module's own file says; `first` is its folder, `task` what sentence-transformers calls its use."""
    for name in _FIRST:
        name = f"{first}/{name}" if first else name
        if own := read(source, name):
            return Settings(own, name, task)
    return Settings({}, "", task)


def general(source: hub.Source, kind: str) -> dict[str, Any]:
    """What the folder says of the whole; `kind` is the class of sentence-transformers that it should be for.

    Raises ConfigError for the folder of another kind, and for prompts that are none.
    """
    name = "config_sentence_transformers.json"
    own = read(source, name)
    if (other := own.get("model_type") or kind) != kind:
        raise ConfigError(f"{name} is of a {other!r:.60}; this class reads the folders of a {kind}.")
    prompts = own.get("prompts") or {}
    if not isinstance(prompts, Mapping) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise ConfigError(f"{name}: prompts={prompts!r:.80} should be texts by their names.")
    if not isinstance(default := own.get("default_prompt_name"), str | None):
        raise ConfigError(f"{name}: default_prompt_name={default!r:.60} should be a name.")
    return own


def steps(source: hub.Source) -> list[dict[str, str]]:
    """{"type", "path"} of each module that modules.json lists, in order; none where it is not there."""
    path = source.file("modules.json")
    if path is None:
        return []
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}") from error
    if isinstance(listed, list) and len(listed) > _MOST_MODULES:
        raise ConfigError(
            f"{path} lists {len(listed):,} modules; at most {_MOST_MODULES} are built. Is it another file?"
        )
    if not isinstance(listed, list) or not all(isinstance(step, dict) and "type" in step for step in listed):
        raise ConfigError(f"{path} should hold a list of modules, each with its type.")
    found = [{"type": str(step["type"]).rpartition(".")[2], "path": str(step.get("path", ""))} for step in listed]
    if not found or found[0]["type"] not in _FIRST_TYPES:
        raise ConfigError(
            f"{path}: the first module should be a {' or a '.join(_FIRST_TYPES)}, not "
            f"{found[0]['type'] if found else 'none'}."
        )
    return found


def module(step: dict[str, str], source: hub.Source) -> Module:
    """The module of a step after the first, with its weights. Raises ConfigError for a kind that is not known."""
    kind, path = step["type"], step["path"]
    if kind not in MODULES:
        raise ConfigError(
            f"modules.json has a {kind}, which is not known here.{near(kind, MODULES)} These are: {', '.join(MODULES)}."
        )
    where = f"{path}/{MODULES[kind].FILE}"
    config = read(source, where)
    if kind == "Normalize":  # whose file has had keys that nothing reads
        config = {key: value for key, value in config.items() if key.startswith("module_")}
    made = MODULES[kind].read(config, where)
    if made.state_dict():
        weights = source.require(f"{path}/model.safetensors", f"{path}/pytorch_model.bin")
        made.load(open_checkpoint([weights]), str(weights))
    return made.eval()


def first_step(kind: str, towers: bool, modalities: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What modules.json says of the first module, and more of what its own file says, where it reads pictures.

    kind: of the model. CLIP has a module of its own in all releases; 5.x has one for all families, and is told what it
    makes.
    """
    own = {"idx": 0, "name": "0", "path": "", "type": f"{TYPES}.{'CLIPModel' if kind == 'clip' else 'Transformer'}"}
    if "image" not in modalities:
        return own, {}
    ways = {
        one: {"method": _TOWERS[one], "method_output_name": "pooler_output"}
        if towers
        else {"method": "forward", "method_output_name": "last_hidden_state"}
        for one in modalities
    }
    made = "sentence_embedding" if towers else "token_embeddings"
    return own, {"transformer_task": "feature-extraction", "modality_config": ways, "module_output_name": made}


def write_json(path: Path, value: Any) -> None:
    """Write a file of settings."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
