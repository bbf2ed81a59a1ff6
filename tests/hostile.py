"""Makers of hostile model folders: `ATTACKS` has each by name, as a change to a small valid folder that `valid` makes.

An attack that tries to run code leaves a file in the folder it is loaded from, `RAN`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_weights
from hostile_changes import CONFIG, RAN, Attack, config, content, deep, fifo, index, instead, link, merged, valid

__all__ = ["ATTACKS", "RAN", "Attack", "valid"]

# ---- paths


PATHS = {
    "weight_map with ../": Attack(index("../{secret}"), "model"),
    "weight_map with an absolute path": Attack(index("{folder}/../{secret}"), "model"),
    "weight_map with a backslash": Attack(index("..\\{secret}"), "model"),
    "weight_map with a NUL": Attack(index("a\0b.safetensors"), "model"),
    "weight_map with a device": Attack(index("/dev/zero"), "model"),
    "weight_map to a FIFO": Attack(index("pipe.safetensors", fifo("pipe.safetensors")), "model"),
    "weight_map to a link to /dev/zero": Attack(
        index("zero.safetensors", link("zero.safetensors", "/dev/zero")), "model"
    ),
    "weight_map to a link out of the folder": Attack(index("a.safetensors", link("a.safetensors", "./")), "model"),
    "weight_map to itself": Attack(index("model.safetensors.index.json"), "model"),
    "weight_map that is a list": Attack(content("model.safetensors.index.json", '{"weight_map": [1]}'), "model", True),
    "weights that are a FIFO": Attack(fifo("model.safetensors"), "model"),
    "weights that are a link to /dev/zero": Attack(link("model.safetensors", "/dev/zero"), "model"),
    "weights that are a link out of the folder": Attack(link("model.safetensors", "./"), "model"),
    "config that is a FIFO": Attack(fifo("config.json"), "config"),
    "config that is a link to /dev/zero": Attack(link("config.json", "/dev/zero"), "config"),
    "config that is a link out of the folder": Attack(link("config.json", "./"), "config"),
    "vocabulary that is a link out of the folder": Attack(link("vocab.txt", "/etc/passwd"), "tokenizer"),
    "tokenizer.json that is a FIFO": Attack(fifo("tokenizer.json"), "tokenizer"),
    **{
        f"{file}: {key}": Attack(merged(file, **{key: "/etc/passwd"}), "tokenizer", True)
        for file in ("tokenizer_config.json", "special_tokens_map.json")
        for key in ("vocab_file", "tokenizer_file", "vocab", "merges_file", "special_tokens_map_file", "name_or_path")
    },
    "config: _name_or_path": Attack(config(_name_or_path="/etc", _commit_hash="../../x"), "model", True),
    "chat template that is a path": Attack(
        merged("tokenizer_config.json", chat_template="../../../etc/passwd"), "tokenizer", True
    ),
    "chat templates with paths as names": Attack(
        merged("tokenizer_config.json", chat_template=[{"name": "../../x", "template": "{{ 1 }}"}]), "tokenizer", True
    ),
}


# ---- sizes


def _bert_of(**sizes: int) -> Attack:
    return Attack(config(**sizes), "model")


SIZES = {
    "1,000,000 layers": _bert_of(num_hidden_layers=10**6),
    "10,000 layers": _bert_of(num_hidden_layers=10**4),
    "10^8 labels": _bert_of(num_labels=10**8),
    "labels with a key of 5,000 digits": Attack(config(id2label={"9" * 5000: "a"}), "config"),
    "hidden_size 10^9": _bert_of(hidden_size=10**9),
    "intermediate_size 10^12": _bert_of(intermediate_size=10**12),
    "intermediate_size 10^9": _bert_of(intermediate_size=10**9),
    "vocab_size 10^9": _bert_of(vocab_size=10**9),
    "max_position_embeddings 2^31-1": _bert_of(max_position_embeddings=2**31 - 1),
    "type_vocab_size 10^9": _bert_of(type_vocab_size=10**9),
    "num_attention_heads 10^9": _bert_of(num_attention_heads=10**9),
    "hidden_size -8": _bert_of(hidden_size=-8),
    "vocab_size 1e400": Attack(content("config.json", '{"model_type": "bert", "vocab_size": 1e400}'), "model"),
    "a number of 10,000 digits": Attack(content("config.json", '{"vocab_size": ' + "9" * 10_000 + "}"), "config"),
    "pruned_heads of 10^6 layers": Attack(config(pruned_heads={i: [0] for i in range(10**6)}), "model"),
    "config 200,000 deep": Attack(content("config.json", deep()), "config"),
    "config with lists 200,000 deep": Attack(content("config.json", b'{"a":' + b"[" * 200_000), "config"),
    "config of 100,000 keys": Attack(config(**{f"k{i}": 1 for i in range(10**5)}), "config"),
    "config of 1,000,000 keys": Attack(config(**{f"k{i}": 1 for i in range(10**6)}), "config"),
    "index 200,000 deep": Attack(instead("model.safetensors.index.json", lambda _: deep()), "model"),
    "index of 1,000,000 names": Attack(
        instead(
            "model.safetensors.index.json",
            lambda _: json.dumps(
                {"metadata": {}, "weight_map": dict.fromkeys(map(str, range(10**6)), "a")}
            ).encode(),
        ),
        "model",
    ),
    **{f"{name} 200,000 deep": Attack(content(name, deep()), "tokenizer")
       for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")},
    "added_tokens.json with an id of 10^12": Attack(content("added_tokens.json", '{"x": 1000000000000}'), "tokenizer"),
    "added_tokens.json with a negative id": Attack(content("added_tokens.json", '{"x": -1}'), "tokenizer"),
    "added_tokens.json with an id that is text": Attack(content("added_tokens.json", '{"x": "y"}'), "tokenizer"),
    "100,000 added tokens": Attack(
        content("added_tokens.json", json.dumps({f"<{i}>": i + 13 for i in range(100_000)})), "tokenizer"
    ),
    "vocabulary of 10,000,000 blank lines": Attack(
        lambda folder: (
            (folder / "tokenizer.json").unlink(),
            (folder / "vocab.txt").write_text("[UNK]" + "\n" * 10**7 + "a"),
        ),
        "tokenizer",
    ),
    "model_max_length Infinity": Attack(
        merged("tokenizer_config.json", model_max_length=float("inf")), "tokenizer", True
    ),
    "model_max_length NaN": Attack(merged("tokenizer_config.json", model_max_length=float("nan")), "tokenizer", True),
}  # fmt: skip


# ---- names that ask for code


def _evil(**values: Any) -> Callable[[Path], None]:
    """A config with these values beside a module that would leave the canary."""

    def make(folder: Path) -> None:
        config(**values)(folder)
        (folder / "evil.py").write_text(
            f"open({str(folder / RAN)!r}, 'w')\nclass Model: pass\nConfig = Tokenizer = Model\n"
        )

    return make


def _tokenizer_config(**values: Any) -> Attack:
    def make(folder: Path) -> None:
        _evil()(folder)
        merged("tokenizer_config.json", **values)(folder)

    return Attack(make, "tokenizer", True)


AUTO_MAP = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model", "AutoTokenizer": ["evil.Tokenizer", None]}
CODE = {
    "auto_map": Attack(_evil(auto_map=AUTO_MAP), "model", True),
    "auto_map and trust_remote_code": Attack(_evil(auto_map=AUTO_MAP, trust_remote_code=True), "model", True),
    "auto_map of an unknown model_type": Attack(_evil(model_type="evil", auto_map=AUTO_MAP), "model"),
    "_attn_implementation": Attack(_evil(_attn_implementation="evil.Model"), "model", True),
    "attn_implementation": Attack(_evil(attn_implementation="kernels-community/evil"), "model", True),
    "_attn_implementation_internal": Attack(_evil(_attn_implementation_internal="evil"), "model", True),
    "custom_pipelines": Attack(_evil(custom_pipelines={"evil": {"impl": "evil.Model"}}), "model", True),
    "quantization_config": Attack(_evil(quantization_config={"quant_method": "evil"}), "model", True),
    "use_kernels": Attack(_evil(use_kernels=True, kernel_config={"Linear": "evil/kernel:Model"}), "model", True),
    "model_type ../../evil": Attack(_evil(model_type="../../evil"), "config"),
    "model_type os": Attack(_evil(model_type="os"), "config"),
    "model_type bert.os": Attack(_evil(model_type="bert.os"), "config"),
    "model_type of 1,000,000 characters": Attack(_evil(model_type="bert" * 250_000), "config"),
    "architectures os": Attack(_evil(model_type=None, architectures=["os", "bert", "BertOs"]), "config"),
    "architectures of 1,000,000 characters": Attack(_evil(architectures=["Bert" * 250_000]), "model", True),
    "hidden_act __class__": Attack(_evil(hidden_act="__class__"), "model"),
    "hidden_act torch.load": Attack(_evil(hidden_act="torch.load"), "model"),
    **{
        f"dtype {name!r}": Attack(_evil(torch_dtype=name), "model", options={"torch_dtype": "auto"})
        for name in ("__import__", "load", "Tensor", "_dynamo", "onnx", ["x"])
    },
    **{
        f"key {name!r}": Attack(_evil(**{name: 1}), "model", True)
        for name in ("__class__", "__dict__", "self", "to_dict", "check", "name_or_path", "use_return_dict", "keys")
    },
    "tokenizer_class os.system": _tokenizer_config(tokenizer_class="os.system"),
    "tokenizer_class BertModel": _tokenizer_config(tokenizer_class="BertModel"),
    "tokenizer auto_map": _tokenizer_config(auto_map=AUTO_MAP, tokenizer_class="Tokenizer"),
    "tokenizer_object": _tokenizer_config(tokenizer_object="x"),
    "tokenizer key self": Attack(merged("tokenizer_config.json", self=1), "tokenizer", True),
    "tokenizer key never_split 5": Attack(merged("tokenizer_config.json", never_split=5), "tokenizer"),
    "tokenizer key pad_token 5": Attack(merged("special_tokens_map.json", pad_token=5), "tokenizer"),
    "tokenizer key model_input_names 5": Attack(merged("tokenizer_config.json", model_input_names=5), "tokenizer"),
    "tokenizer key padding_side": Attack(merged("tokenizer_config.json", padding_side={"a": 1}), "tokenizer"),
    "chat template that is code": _tokenizer_config(
        chat_template="{{ ''.__class__.__mro__[1].__subclasses__() }}{% for i in range(10**9) %}{% endfor %}"
    ),
}  # fmt: skip


# ---- JSON that is no JSON

TEXT = json.dumps(CONFIG)
JSON: dict[str, tuple[bytes, bool]] = {
    "NaN": (TEXT.replace("}", ', "layer_norm_eps": NaN}').encode(), False),
    "Infinity": (TEXT.replace("}", ', "initializer_range": Infinity}').encode(), False),
    "a key twice": (TEXT.replace("{", '{"vocab_size": 1000000000, ', 1).encode(), True),
    "a byte order mark": (TEXT.encode("utf-8-sig"), True),
    "UTF-16": (TEXT.encode("utf-16"), False),
    "NUL bytes": (TEXT.replace(" ", "\0").encode(), False),
    "a lone surrogate": (TEXT.replace("}", r', "id2label": {"0": "\ud800", "1": "\udfff"}}').encode(), True),
    "bytes that are no text": (b"\xff\xfe\xfa" + TEXT.encode(), False),
}
TOKENIZER_JSON: dict[str, tuple[str, bytes]] = {
    "a lone surrogate": ("special_tokens_map.json", rb'{"pad_token": "\ud800"}'),
    "a lone surrogate as key": ("added_tokens.json", rb'{"\ud800": 13}'),
    "UTF-16": ("tokenizer_config.json", '{"pad_token": "[PAD]"}'.encode("utf-16")),
    "NUL bytes": ("tokenizer.json", b"\0" * 1000),
    "bytes that are no text": ("vocab.txt", b"\xff\xfe\xfa"),
}


def _json() -> dict[str, Attack]:
    made = {
        f"config.json with {k}": Attack(content("config.json", data), "model", loads)
        for k, (data, loads) in JSON.items()
    }

    def change(name: str, data: bytes) -> Callable[[Path], None]:
        def make(folder: Path) -> None:
            if name == "vocab.txt":
                (folder / "tokenizer.json").unlink()
            content(name, data)(folder)

        return make

    return made | {
        f"{name} with {k}": Attack(change(name, data), "tokenizer") for k, (name, data) in TOKENIZER_JSON.items()
    }


# ---- tokenizer.json


def backend(**parts: Any) -> Attack:
    """A tokenizer.json with these parts, which no class of ours replaces."""

    def make(folder: Path) -> None:
        merged("tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")(folder)
        merged("tokenizer.json", **parts)(folder)

    return Attack(make, "tokenizer")


def _word_piece(number: int) -> dict[str, Any]:
    rest = {"unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    return {"type": "WordPiece", "vocab": {"a": number}, **rest}


def _regex(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _replace(pattern: dict[str, str], new: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": new}


BACKEND = {
    "tokenizer.json: (.+)+é": backend(pre_tokenizer=_regex("(.+)+[é-ü]")),
    "tokenizer.json: (.|th)*é": backend(normalizer=_replace({"Regex": "(.|th)*[é-ü]"}, "x")),
    "tokenizer.json: .+.+é": backend(pre_tokenizer=_regex(".+.+[é-ü]")),
    "tokenizer.json: text that grows": backend(
        normalizer={"type": "Sequence", "normalizers": [_replace({"String": "a"}, "a" * 100)] * 6}
    ),
    "tokenizer.json: a broken pattern": backend(pre_tokenizer=_regex("(a")),
    "tokenizer.json: an unknown part": backend(normalizer={"type": "Evil", "path": "/etc/passwd"}),
    "tokenizer.json: a broken character map": backend(
        normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}
    ),
    "tokenizer.json: a vocabulary with an id of 2^32": backend(model=_word_piece(2**32)),
    "tokenizer.json: a vocabulary with a negative id": backend(model=_word_piece(-1)),
    "tokenizer.json: an unknown token that is not there": backend(
        model={"type": "Unigram", "unk_id": 99, "vocab": [["a", 0.0]]}
    ),
    "tokenizer.json: merges of nothing": backend(model={"type": "BPE", "vocab": {"a": 0}, "merges": ["x y"]}),
    "tokenizer.json: special tokens of no id": backend(
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        }
    ),
}  # fmt: skip

ATTACKS: dict[str, Attack] = {
    **hostile_weights.ATTACKS,
    **PATHS,
    **SIZES,
    **CODE,
    **_json(),
    **BACKEND,
}
