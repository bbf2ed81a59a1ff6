"""GenerationConfig: how texts are written, as in generation_config.json."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import Any

from .. import gguf, hub
from ..atomic import replacing
from ..config import read_json, refuse_push
from ..errors import ArgumentError, ConfigError, InputError, near
from ..logging import warn_once
from . import rules

GENERATION_CONFIG_NAME = "generation_config.json"
_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id")
_NOT_COMPARED = ("transformers_version",)


class GenerationMode(str, Enum):
    """The way in which tokens are chosen."""

    CONTRASTIVE_SEARCH = "contrastive_search"
    GREEDY_SEARCH = "greedy_search"
    SAMPLE = "sample"
    ASSISTED_GENERATION = "assisted_generation"
    DOLA_GENERATION = "dola_generation"
    BEAM_SEARCH = "beam_search"
    BEAM_SAMPLE = "beam_sample"
    CONSTRAINED_BEAM_SEARCH = "constrained_beam_search"
    GROUP_BEAM_SEARCH = "group_beam_search"


class GenerationConfig:
    """How texts are written. A value of None is not set: a model's own is taken, else the default (`over`).

    It keeps apart what the caller set, by keyword, attribute or `update`, and what a file says: only the first is
    reported where it has no effect. Keys of a file that nobody knows are kept and written back.
    Errors: ArgumentError for a keyword that is no key, InputError for a value that breaks a rule.
    """

    # how long
    max_length: int | None = None
    max_new_tokens: int | None = None
    min_length: int | None = None
    min_new_tokens: int | None = None
    early_stopping: bool | str | None = None
    max_time: float | None = None  # seconds
    stop_strings: str | list[str] | None = None
    # how tokens are chosen
    do_sample: bool | None = None
    seed: int | None = None  # of drawing; None: torch's own generator
    num_beams: int | None = None
    num_beam_groups: int | None = None
    diversity_penalty: float | None = None
    penalty_alpha: float | None = None
    dola_layers: str | list[int] | None = None
    constraints: list[Any] | None = None
    force_words_ids: list[Any] | None = None
    num_return_sequences: int | None = None
    # what is drawn from
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    top_h: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    # how scores are changed
    repetition_penalty: float | None = None
    encoder_repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    length_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    encoder_no_repeat_ngram_size: int | None = None
    bad_words_ids: list[list[int]] | None = None
    sequence_bias: Any = None
    renormalize_logits: bool | None = None
    remove_invalid_values: bool | None = None
    exponential_decay_length_penalty: tuple[int, float] | None = None
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = None
    token_healing: bool | None = None
    guidance_scale: float | None = None
    watermarking_config: Any = None
    # what comes back
    output_attentions: bool | None = None
    output_hidden_states: bool | None = None
    output_scores: bool | None = None
    output_logits: bool | None = None
    return_dict_in_generate: bool | None = None
    # tokens
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    decoder_start_token_id: int | list[int] | None = None
    # how it is computed
    use_cache: bool | None = None
    cache_implementation: str | None = None
    cache_config: Any = None
    max_cache_len: int | None = None
    prefill_chunk_size: int | None = None
    low_memory: bool | None = None
    compile_config: Any = None
    disable_compile: bool | None = None
    continuous_batching_config: Any = None
    # with the help of another model, or of the prompt
    use_mtp: bool | None = None
    is_assistant: bool | None = None
    num_assistant_tokens: float | None = None
    num_assistant_tokens_schedule: str | None = None
    assistant_confidence_threshold: float | None = None
    assistant_early_exit: int | None = None
    assistant_lookbehind: int | None = None
    target_lookbehind: int | None = None
    assistant_ensemble_weight: float | None = None
    prompt_lookup_num_tokens: int | None = None
    max_matching_ngram_size: int | None = None
    speculation_type: str | None = None

    transformers_version: str | None = None

    _sources: dict[str, str]  # of values that are set: "caller" or "file"
    _where: str  # the file

    def __init__(self, **kwargs: Any) -> None:
        for name in (
            "_from_model_config",
            "_commit_hash",
            "_original_object_hash",
        ):  # of the reference's own dictionaries
            kwargs.pop(name, None)
        self._start()
        for name, value in kwargs.items():
            if name not in KEYS:
                raise ArgumentError(_no_key(name))
            setattr(self, name, value)
        self.validate()

    def _start(self) -> None:
        self.__dict__.update(dict.fromkeys(KEYS), _sources={}, _where="")

    def __setattr__(self, name: str, value: Any) -> None:
        self._set(name, value, "caller")

    def _set(self, name: str, value: Any, source: str) -> None:
        self.__dict__[name] = _plain(value)
        if not name.startswith("_"):
            self._sources[name] = source

    def source(self, name: str) -> str:
        """Who set a value: "caller" or "file"; "default" where nobody did."""
        return "default" if getattr(self, name, None) is None else self._sources.get(name, "default")

    # ---- rules

    def validate(self, strict: bool = False, **_: Any) -> None:
        """Raise InputError if a value that the caller set breaks a rule, alone or with others. What the caller set
        without any effect is warned of once, or with `strict` an InputError."""
        self._check(files_too=False)
        values = self._values()
        said = [f"{n}={values[n]!r} {why}" for n, why in rules.idle(values) if self.source(n) == "caller"]
        if said and strict:
            raise InputError(f"GenerationConfig: {'; '.join(said)}. Or leave these out.")
        for text in said:
            warn_once(f"Not used: {text}, or leave it out.")

    def _check(self, files_too: bool) -> None:
        """The rules for what the caller set, and for what a file says when texts are about to be written by it."""
        values = self._values()
        each = (((name,), rules.broken(name, value)) for name, value in values.items() if not self._harmless(name))
        for names, wrong in chain(each, rules.impossible(values)):  # lazily: together they are only read if each fits
            if wrong and any(self.source(name) == "caller" for name in names):
                raise InputError(wrong)
            if wrong and files_too:
                where = self._where or GENERATION_CONFIG_NAME
                raise ConfigError(f"{where}: {wrong} Give {names[0]} yourself to override it.")

    def _harmless(self, name: str) -> bool:
        """Whether a value is for drawing, and nothing is drawn: a file's, or a 0 of who says do_sample=False too."""
        if name not in rules.SAMPLING or self.do_sample is not False:
            return False
        return self.source(name) != "caller" or (getattr(self, name) == 0 and self.source("do_sample") != "default")

    def over(self, below: GenerationConfig | None = None, **kwargs: Any) -> GenerationConfig:
        """What texts are written by: a copy with what is None taken from `below`, the model's own, then from the
        defaults, and keywords, those of `generate`, before all. A keyword of None switches a value off.

        Token ids of -1, which stand for none, become None. Errors: as in `validate`; ArgumentError for a keyword that
        is no key; ConfigError for a value of a file that breaks a rule, where it is used.
        """
        new = copy.deepcopy(self)
        for name, value in kwargs.items():
            if name not in new._all():
                raise ArgumentError(_no_key(name))
            setattr(new, name, value)
        for name, value in (below._all() if below else {}).items():
            if new.__dict__.get(name) is None and name not in kwargs:
                new._set(name, copy.deepcopy(value), below.source(name) if below else "default")
        new.__dict__["_where"] = new._where or (below._where if below else "")
        for name, value in rules.DEFAULTS.items():
            if new.__dict__.get(name) is None and name not in kwargs:
                new._set(name, value, "default")
        new._check(files_too=True)
        new.validate()
        for name in _TOKENS:
            new.__dict__[name] = _real(getattr(new, name))
        return new

    def get_generation_mode(self, assistant_model: Any = None) -> GenerationMode:
        """The way in which tokens are chosen with these values, and with the help of a model."""
        beams, mode = self.num_beams or 1, GenerationMode.GREEDY_SEARCH
        if self.constraints is not None or self.force_words_ids is not None:
            return GenerationMode.CONSTRAINED_BEAM_SEARCH
        if beams > 1:
            if (self.num_beam_groups or 1) > 1:
                return GenerationMode.GROUP_BEAM_SEARCH
            return GenerationMode.BEAM_SAMPLE if self.do_sample else GenerationMode.BEAM_SEARCH
        if self.do_sample:
            mode = GenerationMode.SAMPLE
        elif self.penalty_alpha and (self.top_k or 0) > 1:
            return GenerationMode.CONTRASTIVE_SEARCH
        helped = (assistant_model, self.use_mtp or None, self.prompt_lookup_num_tokens, self.assistant_early_exit)
        if any(help is not None for help in helped):
            return GenerationMode.ASSISTED_GENERATION
        return mode if self.dola_layers is None else GenerationMode.DOLA_GENERATION

    # ---- files

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name: str | os.PathLike[str], config_file_name: str | None = None, **kwargs: Any
    ) -> Any:
        """Load generation_config.json from a folder or a hub name; keywords that are keys override it.

        A GGUF file, or `gguf_file` in the folder or on the hub, has it within.

        Raises NotFoundError when it is not there, ConfigError when it cannot be read.
        """
        packed = gguf.given(pretrained_model_name, kwargs)
        where = hub.hub_arguments(kwargs)
        if packed is not None:
            return cls.from_dict(gguf.generation_values(packed) | {"_where": str(packed)}, **kwargs)
        source = hub.locate(pretrained_model_name, **where)
        values = read_json(path := source.require(config_file_name or GENERATION_CONFIG_NAME))
        return cls.from_dict(values | {"_where": str(path)}, **kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """Make one from what a file says; keywords that are keys override it. With `return_unused_kwargs`, also returns
        the others, which are an ArgumentError without it."""
        new = cls.__new__(cls)
        new._start()
        for name, value in config_dict.items():
            if name == "_where":
                new.__dict__[name] = value
            elif not name.startswith("_") and (name in KEYS or not hasattr(cls, name)):
                new._set(name, value, "file")
        unused = new.update(**kwargs)
        if unused and not return_unused_kwargs:
            raise ArgumentError(_no_key(next(iter(unused))))
        return (new, unused) if return_unused_kwargs else new

    @classmethod
    def from_model_config(cls, model_config: Any) -> Any:
        """What a model's configuration says of writing, a PretrainedConfig or its dictionary, as old checkpoints do."""
        text = model_config
        if isinstance(model_config, dict):
            text = next((model_config[k] for k in ("decoder", "generator", "text_config") if model_config.get(k)), {})
        elif hasattr(model_config, "get_text_config"):
            text = model_config.get_text_config(decoder=True)
        new = cls.from_dict({})
        for values in (_dict(text), _dict(model_config)):
            for name in KEYS:
                if values.get(name) is not None and name not in _NOT_COMPARED:
                    new._set(name, values[name], "file")
            if values.get("force_bos_token_to_be_generated"):
                new._set("forced_bos_token_id", values.get("bos_token_id"), "file")
        if any(getattr(new, name) for name in rules.EXTRA_OUTPUTS) and not new.return_dict_in_generate:
            new._set("return_dict_in_generate", True, "file")
        new.__dict__["_where"] = str(getattr(model_config, "name_or_path", "") or "")
        return new

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        config_file_name: str | None = None,
        push_to_hub: bool = False,
        **_: Any,
    ) -> None:
        """Write generation_config.json to the folder, which is made if needed. Errors: as in `validate`."""
        refuse_push(push_to_hub)
        self.validate()
        with replacing(save_directory) as stage:
            self.to_json_file(stage / (config_file_name or GENERATION_CONFIG_NAME))

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True, **_: Any) -> None:
        """Write the values as JSON."""
        Path(json_file_path).write_text(self.to_json_string(use_diff), encoding="utf-8")

    def to_json_string(self, use_diff: bool = True, ignore_metadata: bool = False, **_: Any) -> str:
        """The values as JSON; with `use_diff` those that are set, with `ignore_metadata` without the version.

        Errors: InputError for a value that JSON has no form for.
        """
        values = self.to_diff_dict() if use_diff else self.to_dict()
        values.pop("compile_config", None)  # of this machine
        for name in _NOT_COMPARED if ignore_metadata else ():
            values.pop(name, None)
        return _json(values, _in_json) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """All keys and values, a copy."""
        return copy.deepcopy(self._all())

    def to_diff_dict(self) -> dict[str, Any]:
        """Those that are set."""
        return {name: value for name, value in self.to_dict().items() if value is not None}

    def _all(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def _values(self) -> dict[str, Any]:
        return {name: value for name, value in self._all().items() if value is not None}

    def update(self, defaults_only: bool = False, allow_custom_entries: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Set the keys among the keywords, and return the others. Errors: as in `validate`.

        defaults_only: only those that are None, and not as the caller's. allow_custom_entries: keys that are new too.
        """
        unused = {}
        for name, value in kwargs.items():
            if name.startswith("_") or not (
                name in self.__dict__ or (allow_custom_entries and not hasattr(self, name))
            ):
                unused[name] = value
            elif not defaults_only:
                setattr(self, name, value)
            elif self.__dict__.get(name) is None:
                self._set(name, value, "file")
        self.validate()
        return unused

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationConfig) and self._compared() == other._compared()

    def _compared(self) -> dict[str, Any]:
        return {name: value for name, value in self._values().items() if name not in _NOT_COMPARED}

    def __hash__(self) -> int:
        return hash(self.to_json_string(ignore_metadata=True))

    def __repr__(self) -> str:
        return f"{type(self).__name__} {_json(self.to_diff_dict(), repr)}\n"


KEYS = tuple(name for name in GenerationConfig.__annotations__ if not name.startswith("_"))


def _no_key(name: str) -> str:
    if name in rules.OF_GENERATE:
        return f"{name} is an argument of generate(), not a value of GenerationConfig: model.generate(…, {name}=…)."
    return f"GenerationConfig has no {name!r}.{near(name, KEYS)}"


def _plain(value: Any) -> Any:
    """NumPy's and torch's numbers and arrays as Python's; other values as they are."""
    module = type(value).__module__.partition(".")[0]
    return value.tolist() if module in ("numpy", "torch") and hasattr(value, "tolist") else value


def _real(ids: Any) -> Any:
    """Token ids without -1, which stands for none."""
    if isinstance(ids, (list, tuple)):
        return [i for i in ids if i >= 0] or None
    return None if ids is None or ids < 0 else ids


def _dict(config: Any) -> dict[str, Any]:
    return config if isinstance(config, dict) else dict(config.to_dict())


def _json(values: dict[str, Any], default: Callable[[Any], Any]) -> str:
    bias = values.get("sequence_bias")
    if isinstance(bias, dict):  # whose keys JSON cannot write
        values = values | {"sequence_bias": [[list(ids), number] for ids, number in bias.items()]}
    return json.dumps(values, indent=2, sort_keys=True, default=default)


def _in_json(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise InputError(f"A {type(value).__name__} cannot be written as JSON. Set this value to None before saving.")
