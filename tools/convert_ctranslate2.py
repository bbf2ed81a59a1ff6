"""A Whisper checkpoint in CTranslate2's form, as faster-whisper has it, to a folder that this package and Transformers
open.

    python tools/convert_ctranslate2.py FOLDER [FOLDER …] OUT

FOLDER has model.bin, or its parts (model.bin.part1, …), which may be in several folders; config.json; tokenizer.json.
Weights become float32, whatever they are stored in: those of bytes are divided by their scales.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from formers.checkpoints import ctranslate2
from formers.checkpoints.tensor import LazyTensor, MappedFile
from formers.errors import CheckpointError, NotFoundError
from formers.tokenization.spoken import LANGUAGES

Folder = str | PathLike[str]
Variables = Mapping[str, LazyTensor]
_END = "<|endoftext|>"
_GELU = 3  # CTranslate2's number of it
# of published models that have as many layers of decoders and are as wide, where config.json lacks them
_HEADS = {
    (4, 384, True): [[2, 2], [3, 0], [3, 2], [3, 3], [3, 4], [3, 5]],
    (4, 384, False): [[1, 0], [2, 0], [2, 5], [3, 0], [3, 1], [3, 2], [3, 3], [3, 4]],
    (6, 512, True): [[3, 1], [4, 2], [4, 3], [4, 7], [5, 1], [5, 2], [5, 4], [5, 6]],
    (6, 512, False): [[3, 3], [4, 7], [5, 1], [5, 5], [5, 7]],
}


def convert(folder_or_files: Folder | Iterable[Folder], out: Folder) -> Path:
    """Write the folder `out`, and return it.

    folder_or_files: a folder, or several, or the files themselves, among which there may be parts of model.bin.
    Errors: NotFoundError for a file that is not there, CheckpointError for a broken one, or of another model.
    """
    files, target = _files(folder_or_files), Path(out)
    tokenizer, said = (json.loads(files[name].read_text("utf-8")) for name in ("tokenizer.json", "config.json"))
    tokens = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    tokens |= tokenizer["model"]["vocab"]
    with tempfile.TemporaryDirectory() as folder:
        path = _joined([files[name] for name in sorted(files) if name.startswith("model.bin")], Path(folder))
        form, variables = ctranslate2.contents(MappedFile(path))
        if form != "WhisperSpec":
            raise CheckpointError(
                f"{str(path)!r} holds a model of {form}; this converts WhisperSpec, which is Whisper."
            )
        config, weights = _config(variables, tokens), _weights(variables)
        model = WhisperForConditionalGeneration(config)
        model.load_state_dict(weights)
    model.generation_config = GenerationConfig.from_dict(_generation(config, tokens, said))
    model.save_pretrained(target)
    _write_processor(target, config, files["tokenizer.json"], tokenizer)
    return target


def _files(given: Folder | Iterable[Folder]) -> dict[str, Path]:
    """The files by their names."""
    paths = [Path(given)] if isinstance(given, str | PathLike) else [Path(path) for path in given]
    each = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    found = {file.name: file for file in each}
    missing = [name for name in ("config.json", "tokenizer.json") if name not in found]
    missing += [] if any(name.startswith("model.bin") for name in found) else ["model.bin"]
    if missing:
        raise NotFoundError(f"{', '.join(map(str, paths))}: there is no {missing[0]}.")
    return found


def _joined(parts: list[Path], folder: Path) -> Path:
    """One file of all parts."""
    if len(parts) == 1:
        return parts[0]
    whole = folder / "model.bin"
    with whole.open("wb") as file:
        for part in parts:
            file.write(part.read_bytes())
    return whole


# ---- weights


def _values(variables: Variables, name: str) -> Tensor:
    """A variable in float32."""
    if name not in variables:
        raise CheckpointError(f"model.bin has no variable {name!r}: it is not of a Whisper that is known here.")
    values, scale = variables[name].load(), variables.get(f"{name}_scale")
    if scale is None or values.is_floating_point():
        return values.float()
    divisor = scale.load().float()
    return values.float() / (divisor[:, None] if divisor.dim() else divisor)


def _weights(variables: Variables) -> dict[str, Tensor]:
    """The state dict: names map one to one, but for products that are one there and several here."""
    made: dict[str, Tensor] = {}

    def linear(source: str, *names: str) -> None:
        for kind in ("weight", "bias"):
            parts = _values(variables, f"{source}/{kind}").chunk(len(names))
            made.update({f"{name}.{kind}": x.clone() for name, x in zip(names, parts, strict=True)})

    def norm(source: str, name: str) -> None:
        made[f"{name}.weight"] = _values(variables, f"{source}/gamma").clone()
        made[f"{name}.bias"] = _values(variables, f"{source}/beta").clone()

    for side in ("encoder", "decoder"):
        own = f"model.{side}"
        made[f"{own}.embed_positions.weight"] = _values(variables, f"{side}/position_encodings/encodings").clone()
        norm(f"{side}/layer_norm", f"{own}.layer_norm")
        for i in range(_depth(variables, side)):
            layer, name = f"{side}/layer_{i}", f"{own}.layers.{i}"
            asks = [f"{name}.self_attn.{part}_proj" for part in "qkv"]
            linear(f"{layer}/self_attention/linear_0", *asks)
            linear(f"{layer}/self_attention/linear_1", f"{name}.self_attn.out_proj")
            norm(f"{layer}/self_attention/layer_norm", f"{name}.self_attn_layer_norm")
            if side == "decoder":
                linear(f"{layer}/attention/linear_0", f"{name}.encoder_attn.q_proj")
                linear(f"{layer}/attention/linear_1", *(f"{name}.encoder_attn.{part}_proj" for part in "kv"))
                linear(f"{layer}/attention/linear_2", f"{name}.encoder_attn.out_proj")
                norm(f"{layer}/attention/layer_norm", f"{name}.encoder_attn_layer_norm")
            linear(f"{layer}/ffn/linear_0", f"{name}.fc1")
            linear(f"{layer}/ffn/linear_1", f"{name}.fc2")
            norm(f"{layer}/ffn/layer_norm", f"{name}.final_layer_norm")
    for number in (1, 2):
        linear(f"encoder/conv{number}", f"model.encoder.conv{number}")
    made["model.decoder.embed_tokens.weight"] = _values(variables, "decoder/embeddings/weight").clone()
    made["proj_out.weight"] = made["model.decoder.embed_tokens.weight"]
    for name in [name for name in made if name.endswith("k_proj.bias")]:
        if made.pop(name).any():
            raise CheckpointError(f"model.bin has a bias for {name[:-5]}, which Whisper has not.")
    return made


def _depth(variables: Variables, side: str) -> int:
    start = f"{side}/layer_"
    numbers = (name.removeprefix(start).partition("/")[0] for name in variables if name.startswith(start))
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)


# ---- configurations


def _config(variables: Variables, tokens: Mapping[str, int]) -> WhisperConfig:
    """What shapes and flags say."""

    def shape(name: str) -> tuple[int, ...]:
        if name not in variables:
            raise CheckpointError(f"model.bin has no variable {name!r}: it is not of a Whisper that is known here.")
        return variables[name].shape

    for side in ("encoder", "decoder"):
        kind = variables.get(f"{side}/activation")
        if kind is not None and int(kind.load()) != _GELU:
            raise CheckpointError(f"model.bin's {side} has activation {int(kind.load())}; Whisper has {_GELU}, gelu.")
    vocabulary, width = shape("decoder/embeddings/weight")
    end = tokens[_END]
    return WhisperConfig(
        vocab_size=vocabulary,
        d_model=width,
        num_mel_bins=shape("encoder/conv1/weight")[1],
        encoder_layers=_depth(variables, "encoder"),
        decoder_layers=_depth(variables, "decoder"),
        encoder_attention_heads=int(_values(variables, "encoder/num_heads")),
        decoder_attention_heads=int(_values(variables, "decoder/num_heads")),
        encoder_ffn_dim=shape("encoder/layer_0/ffn/linear_0/weight")[0],
        decoder_ffn_dim=shape("decoder/layer_0/ffn/linear_0/weight")[0],
        max_source_positions=shape("encoder/position_encodings/encodings")[0],
        max_target_positions=shape("decoder/position_encodings/encodings")[0],
        decoder_start_token_id=tokens["<|startoftranscript|>"],
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        begin_suppress_tokens=[220, end],
    )


def _generation(config: WhisperConfig, tokens: Mapping[str, int], said: Mapping[str, Any]) -> dict[str, Any]:
    """What generation_config.json says. Models of English alone have a token less than the others."""
    many = config.vocab_size >= 51865
    ids = ("decoder_start_token_id", "pad_token_id", "bos_token_id", "eos_token_id")
    values = {
        **{name: getattr(config, name) for name in ids},
        "alignment_heads": said.get("alignment_heads") or _HEADS.get((config.decoder_layers, config.d_model, many)),
        "begin_suppress_tokens": said.get("suppress_ids_begin") or config.begin_suppress_tokens,
        "suppress_tokens": said.get("suppress_ids"),
        "is_multilingual": many,
        "max_initial_timestamp_index": 50,
        "max_length": config.max_target_positions,
        "no_timestamps_token_id": tokens["<|notimestamps|>"],
        "prev_sot_token_id": tokens["<|startofprev|>"],
        "return_timestamps": False,
    }
    if many:
        codes = (f"<|{code}|>" for code in LANGUAGES)
        values["lang_to_id"] = {code: tokens[code] for code in codes if code in tokens}
        values["task_to_id"] = {task: tokens[f"<|{task}|>"] for task in ("transcribe", "translate")}
    return {name: value for name, value in values.items() if value is not None}


def _write_processor(out: Path, config: WhisperConfig, tokenizer_file: Path, tokenizer: dict[str, Any]) -> None:
    """The files of the feature extractor and the tokenizer."""
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(out)
    values = json.loads((out / "preprocessor_config.json").read_text("utf-8"))
    _write(out / "preprocessor_config.json", values | {"processor_class": "WhisperProcessor"})
    shutil.copyfile(tokenizer_file, out / "tokenizer.json")
    named = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), _END)
    kinds = {"tokenizer_class": "WhisperTokenizer", "processor_class": "WhisperProcessor"}
    _write(out / "tokenizer_config.json", {**named, **kinds, "model_max_length": 1024, "errors": "replace"})
    _write(out / "vocab.json", tokenizer["model"]["vocab"], indent=None)
    merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"])
    (out / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")


def _write(path: Path, values: Any, indent: int | None = 2) -> None:
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    torch.set_num_threads(1)
    print(convert(sys.argv[1:-1], sys.argv[-1]))
