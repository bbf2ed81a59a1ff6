"""GenerationConfig beside the reference's, its files, who set what, and the rules."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from formers import BertConfig, GenerationConfig
from formers.errors import ArgumentError, ConfigError, InputError, NotFoundError
from formers.generation import rules
from formers.generation.configuration import KEYS

OURS = {"seed", "presence_penalty", "frequency_penalty"}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    """What was warned of, as one text; nothing was said before."""
    monkeypatch.setattr("formers.logging._said", set())
    caplog.set_level(logging.WARNING, logger="formers")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


def test_keys_and_defaults_are_those_of_the_reference() -> None:
    theirs = {k: v for k, v in vars(transformers.GenerationConfig()).items() if not k.startswith("_")}
    assert set(KEYS) - OURS == set(theirs)
    ours = GenerationConfig()
    assert {k: getattr(ours, k) for k in theirs} == theirs
    used = {k: v for k, v in transformers.GenerationConfig._get_default_generation_params().items() if v is not None}
    assert {k: v for k, v in rules.DEFAULTS.items() if k not in OURS} == used


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"max_new_tokens": 5, "do_sample": True, "temperature": 0.7, "top_k": 0, "top_p": 0.9},
        {"num_beams": 4, "num_return_sequences": 2, "early_stopping": "never", "length_penalty": -1.0},
        {"eos_token_id": [1, 2], "pad_token_id": 0, "bad_words_ids": [[1], [2, 3]], "suppress_tokens": [4]},
        {"exponential_decay_length_penalty": (5, 1.1), "stop_strings": ["a", "b"], "transformers_version": "4.30"},
    ],
)
def test_files_go_both_ways(values: dict[str, Any], tmp_path: Path) -> None:
    GenerationConfig(**values).save_pretrained(tmp_path / "ours")
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path / "ours")
    transformers.GenerationConfig(**values).save_pretrained(tmp_path / "theirs")
    ours = GenerationConfig.from_pretrained(tmp_path / "theirs")
    for name in set(values) - {"transformers_version", "exponential_decay_length_penalty"}:
        assert getattr(ours, name) == getattr(theirs, name) == values[name]
    again = GenerationConfig.from_pretrained(tmp_path / "ours")
    assert again == GenerationConfig.from_pretrained(tmp_path / "theirs")
    assert hash(again) == hash(copy.deepcopy(again)) == hash(pickle.loads(pickle.dumps(again)))
    assert {again.source(name) for name in values} <= {"file"}


def test_unknown_keys_of_a_file_survive(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text('{"lang_to_id": {"<|en|>": 5}, "update": 3, "top_k": 7}')
    config = GenerationConfig.from_pretrained(str(tmp_path), top_k=9)
    assert (config.lang_to_id, config.top_k, callable(config.update)) == ({"<|en|>": 5}, 9, True)
    assert (config.source("top_k"), config.source("lang_to_id"), config.source("top_p")) == (
        "caller",
        "file",
        "default",
    )
    config.save_pretrained(tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert kept == {"lang_to_id": {"<|en|>": 5}, "top_k": 9}


def test_from_pretrained_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"generation_config\.json"):
        GenerationConfig.from_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(ConfigError, match="line 1"):
        GenerationConfig.from_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text("{}")
    with pytest.raises(ArgumentError, match="Did you mean 'top_k'"):
        GenerationConfig.from_pretrained(tmp_path, topk=3)
    config, unused = GenerationConfig.from_pretrained(tmp_path, topk=3, top_p=0.5, return_unused_kwargs=True)
    assert config.top_p == 0.5 and unused == {"topk": 3}


def test_explicit_beats_file_beats_default() -> None:
    file = GenerationConfig.from_dict({"do_sample": True, "temperature": 0.6, "top_k": 20, "eos_token_id": [-1, 4]})
    used = GenerationConfig(top_k=5).over(file, top_p=0.5, num_beams=None)
    assert (used.do_sample, used.temperature, used.top_k, used.top_p) == (True, 0.6, 5, 0.5)
    assert used.max_length == 20 and used.num_beams is None and used.eos_token_id == [4]
    assert [used.source(n) for n in ("top_k", "top_p", "temperature", "max_length")] == [
        *("caller", "caller", "file", "default")
    ]
    assert file.eos_token_id == [-1, 4] and file.top_p is None
    assert GenerationConfig().over(GenerationConfig(pad_token_id=-1, max_length=9)).pad_token_id is None
    with pytest.raises(ArgumentError, match="top_k"):
        GenerationConfig().over(file, topk=5)


def test_update_gives_back_what_it_does_not_know() -> None:
    config = GenerationConfig(top_k=3)
    assert config.update(top_k=4, topp=1, _sources={}, validate=2) == {"topp": 1, "_sources": {}, "validate": 2}
    assert config.update(defaults_only=True, top_k=5, top_p=0.5) == {}
    assert (config.top_k, config.top_p, config.source("top_p")) == (4, 0.5, "file")
    assert config.update(allow_custom_entries=True, own=1) == {} and config.own == 1
    config.eos_token_id = np.array([3, 4])
    assert config.eos_token_id == [3, 4]


@pytest.mark.parametrize(
    "values",
    [
        {"max_length": 50, "eos_token_id": 7, "num_beams": 3, "temperature": 0.5, "output_attentions": True},
        {"bos_token_id": 5, "force_bos_token_to_be_generated": True},
        {"decoder": {"max_length": 9, "bos_token_id": 3}, "bos_token_id": 4, "length_penalty": 2.0},
    ],
)
def test_from_model_config(values: dict[str, Any]) -> None:
    theirs = transformers.GenerationConfig.from_model_config(dict(values))
    ours = GenerationConfig.from_model_config(dict(values))
    assert {k: getattr(ours, k) for k in KEYS if k not in OURS} == {
        k: getattr(theirs, k) for k in KEYS if k not in OURS and k != "transformers_version"
    } | {"transformers_version": None}
    if "decoder" not in values:
        of_class = GenerationConfig.from_model_config(BertConfig(**values))
        names = [k for k in values if k in KEYS]
        assert [getattr(of_class, k) for k in names] == [values[k] for k in names]
        assert {of_class.source(k) for k in names} == {"file"}


@pytest.mark.parametrize(
    ("name", "value", "way_out"),
    [
        ("num_beams", 0, "1 searches without beams"),
        ("num_beams", 2.5, "whole number"),
        ("top_p", 1.5, r"1\.0 keeps all"),
        ("top_p", 0, "do_sample=False"),
        ("temperature", 0, "do_sample=False"),
        ("temperature", -1.0, "above 0"),
        ("temperature", float("nan"), "above 0"),
        ("top_k", -1, "0 looks at all"),
        ("top_k", True, "whole number"),
        ("repetition_penalty", 0.0, r"1\.0 is no penalty"),
        ("max_new_tokens", 0, "at least 1"),
        ("max_length", "20", "whole number"),
        ("min_p", 1.1, "from 0 to 1"),
        ("typical_p", 0.0, "above 0"),
        ("epsilon_cutoff", 1.0, "below 1"),
        ("early_stopping", "always", "'never'"),
        ("eos_token_id", 1.5, "token id"),
        ("eos_token_id", [1, "a"], "token id"),
        ("bad_words_ids", [[]], "none of them empty"),
        ("stop_strings", [], "list of texts"),
        ("stop_strings", "", "none of them empty"),
        ("do_sample", "yes", "True or False"),
        ("cache_implementation", "dynamc", "dynamic"),
        ("exponential_decay_length_penalty", (1,), "factor"),
        ("seed", -1, "at least 0"),
    ],
)
def test_values_that_break_a_rule(name: str, value: Any, way_out: str) -> None:
    with pytest.raises(InputError, match=rf"{name}=.*{way_out}"):
        GenerationConfig(**{name: value})
    with pytest.raises(InputError, match=rf"{name}="):
        GenerationConfig().update(**{name: value})
    config = GenerationConfig()
    setattr(config, name, value)
    with pytest.raises(InputError, match=rf"{name}="):
        config.validate()
    file = GenerationConfig.from_dict({name: value, "do_sample": name != "do_sample" or value})
    with pytest.raises(ConfigError, match=rf"json: {name}=.*override"):
        GenerationConfig().over(file)


def test_values_that_do_not_go_together() -> None:
    with pytest.raises(InputError, match="num_beams=2"):
        GenerationConfig(num_beams=2, num_return_sequences=3)
    with pytest.raises(InputError, match="do_sample=True"):
        GenerationConfig(num_return_sequences=3).over()
    with pytest.raises(InputError, match="divided"):
        GenerationConfig(num_beams=5, num_beam_groups=2)
    with pytest.raises(InputError, match="leaves nothing"):
        GenerationConfig(forced_eos_token_id=5, suppress_tokens=[5, 6])
    with pytest.raises(ConfigError, match=r"num_beams=2.*override"):
        GenerationConfig().over(GenerationConfig.from_dict({"num_beams": 2, "num_return_sequences": 3}))
    assert GenerationConfig(num_return_sequences=3).over(do_sample=True).num_return_sequences == 3


def test_unknown_keywords() -> None:
    with pytest.raises(ArgumentError, match="Did you mean 'temperature'"):
        GenerationConfig(temprature=1.0)
    with pytest.raises(ArgumentError, match=r"argument of generate\(\)"):
        GenerationConfig(streamer=None)


@pytest.mark.parametrize(
    ("idle", "beside"),
    [
        ({"temperature": 0.5}, {"do_sample": False}),
        ({"temperature": 0.0}, {"do_sample": False}),
        ({"min_p": 0.1}, {"do_sample": False}),
        ({"early_stopping": True}, {"num_beams": 1}),
        ({"length_penalty": 2.0}, {"num_beams": 1}),
        ({"cache_implementation": "static"}, {"use_cache": False}),
        ({"output_scores": True}, {"return_dict_in_generate": False}),
        ({"max_length": 30}, {"max_new_tokens": 5}),
    ],
)
def test_flags_without_effect_are_told_once_and_of_the_caller_only(
    idle: dict[str, Any], beside: dict[str, Any], said: Any
) -> None:
    (name,) = idle
    GenerationConfig.from_dict(idle | beside).validate()
    GenerationConfig(**beside).over(GenerationConfig.from_dict(idle))
    assert said() == ""
    config = GenerationConfig(**idle, **beside)
    GenerationConfig(**idle, **beside).over()
    assert said().count(name + "=") == said().count("Not used") == 1
    with pytest.raises(InputError, match=f"{name}="):
        config.validate(strict=True)


def test_what_is_not_yet_known_is_not_told(said: Any) -> None:
    config = GenerationConfig(temperature=0.5, early_stopping=True)
    config.over(GenerationConfig.from_dict({"do_sample": True, "num_beams": 2}))
    GenerationConfig(penalty_alpha=0.6, top_k=4, do_sample=False).over()
    assert said() == ""
    config.over()
    assert "temperature=0.5" in said() and "early_stopping=True" in said()


def test_modes_are_those_of_the_reference() -> None:
    for values in (
        {},
        {"do_sample": True},
        {"num_beams": 2},
        {"num_beams": 2, "do_sample": True},
        {"num_beams": 4, "num_beam_groups": 2},
        {"penalty_alpha": 0.5, "top_k": 4},
        {"prompt_lookup_num_tokens": 3},
        {"dola_layers": "high"},
        {"force_words_ids": [[1]], "num_beams": 2},
    ):
        theirs = transformers.GenerationConfig(**values).get_generation_mode()
        assert GenerationConfig(**values).get_generation_mode().value == theirs.value


def test_shown_and_written() -> None:
    config = GenerationConfig(top_k=4, sequence_bias={(1, 2): -1.0}, constraints=[object()])
    assert '"top_k": 4' in repr(config)
    with pytest.raises(InputError, match="cannot be written"):
        config.to_json_string()
    config.constraints = None
    written = json.loads(config.to_json_string())
    assert written == {"top_k": 4, "sequence_bias": [[[1, 2], -1.0]]}
    assert set(json.loads(config.to_json_string(use_diff=False))) == set(KEYS) - {"compile_config"}
    assert config != GenerationConfig(top_k=5) and config == copy.deepcopy(config) and config != 4
