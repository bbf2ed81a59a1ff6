"""Feed a reader with changed files, guided by the code they reach: `python fuzz/run.py READER --seconds 600`.

READER: one of TARGETS below, or "all" in turn. A finding is an error that is no FormersError, a tensor of another shape
than it was said to have, more than two seconds, or more memory than RSS; its file is left in build/fuzz.
Needs atheris (https://github.com/google/atheris), which the package itself does not: pip install atheris
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GOLDENS = ROOT / "tests" / "goldens"
SECONDS, RSS = 2, 2048  # CPU seconds and MB of one input
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##a", "##b", "!"]
CONFIG = {"model_type": "bert", "vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
CONFIG |= {"intermediate_size": 8, "max_position_embeddings": 16, "id2label": {"0": "NO", "1": "YES"}}


# ---- what is tried with an input, at `path`


def weights(path: Path) -> None:
    from formers.checkpoints import open_checkpoint

    _loaded(open_checkpoint(path).values())


def _loaded(lazies: Iterable[Any]) -> None:
    for lazy in lazies:
        tensor = lazy.load()
        assert tuple(tensor.shape) == lazy.shape and tensor.dtype == lazy.dtype
        if tensor.numel():
            tensor.contiguous().reshape(-1).view(__import__("torch").uint8).sum()  # touches every byte


def packed(path: Path) -> None:
    from formers import AutoConfig, GenerationConfig, gguf
    from formers.errors import FormersError

    def renamed(path: Path) -> None:
        _loaded(gguf.tensors(path).values())

    for attempt in (weights, AutoConfig.from_pretrained, GenerationConfig.from_pretrained, renamed, words):
        with contextlib.suppress(FormersError):
            attempt(path)


def words(path: Path) -> None:
    from formers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(path)
    made("a b ab! 12 é", "b", truncation=True, max_length=8)
    made.decode([0, 1])


def config(path: Path) -> None:
    from formers import AutoConfig

    made = AutoConfig.from_pretrained(path.parent)
    made.check()
    made.to_json_string()


def tokenizer(path: Path) -> None:
    from formers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(path.parent)
    made("a b ab! [MASK]", "b", truncation=True, max_length=8)
    made.decode([5, 6])


# ---- small valid files


def _state() -> dict[str, Any]:
    import torch

    return {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(3, dtype=torch.int64), "c": torch.tensor(True)}


def _saved(zipped: bool) -> list[bytes]:
    import torch

    found = []
    for state in (_state(), {"x": torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16)), "n": 1, "l": [1, "a"]}):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=zipped)
        found.append(file.getvalue())
    return found


def _safetensors() -> list[bytes]:
    from formers.checkpoints.write import save_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(_state(), Path(folder))
        return [path.read_bytes() for path in Path(folder).iterdir()]


def _hdf5() -> list[bytes]:
    import h5py

    found = []
    for chunks in (None, (2, 2)):
        file = io.BytesIO()
        with h5py.File(file, "w") as made:
            made.attrs["layer_names"] = [b"bert"]
            layer = made.create_group("bert")
            layer.attrs["weight_names"] = [b"bert/dense/kernel:0", b"bert/dense/bias:0"]
            layer.create_dataset("bert/dense/kernel:0", data=[[1.0, 2.0], [3.0, 4.0]], dtype="f4", chunks=chunks)
            layer.create_dataset("bert/dense/bias:0", data=[1.0, 2.0], dtype="f4")
        found.append(file.getvalue())
    return found


def _goldens(pattern: str) -> list[bytes]:
    """Small files that other frameworks wrote; some are kept compressed."""
    found = [path for path in sorted(GOLDENS.rglob(pattern)) if path.stat().st_size < 10_000][:6]
    return [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in found]


def _flax() -> list[bytes]:
    import msgpack

    array = msgpack.packb(((2, 2), "float32", bytes(16)))
    tree = {"bert": {"dense": {"kernel": msgpack.ExtType(1, array), "bias": msgpack.ExtType(1, array)}}}
    return [msgpack.packb(tree), *_goldens("*.msgpack.gz")]


def _gguf() -> list[bytes]:
    import gguf
    import numpy

    found = []
    for kind in ("gpt2", "llama"):
        with tempfile.TemporaryDirectory() as folder:
            made = gguf.GGUFWriter(Path(folder) / "x.gguf", "llama")
            for key in ("block_count", "attention.head_count", "embedding_length"):
                made.add_uint32(f"llama.{key}", 1)
            made.add_string("tokenizer.ggml.model", kind)
            made.add_string("tokenizer.ggml.pre", "gpt-2")
            made.add_array("tokenizer.ggml.tokens", ["a", "b", "ab"])
            made.add_array("tokenizer.ggml.merges", ["a b"])
            made.add_array("tokenizer.ggml.scores", [0.0, 0.0, 1.0])
            made.add_array("tokenizer.ggml.token_type", [1, 3, 4])
            made.add_string("tokenizer.chat_template", "{{ messages[0].content }}<|im_end|>")
            made.add_uint32("tokenizer.ggml.eos_token_id", 1)
            made.add_uint32("tokenizer.ggml.eot_token_id", 2)
            made.add_float32("general.sampling.temp", 0.5)
            made.add_string("llama.rope.scaling.type", "linear")
            made.add_float32("llama.rope.scaling.factor", 2.0)
            made.add_uint16("split.count", 1)
            made.add_tensor("token_embd.weight", numpy.ones((3, 2), numpy.float32))
            made.add_tensor("blk.0.attn_q.weight", numpy.ones((2, 2), numpy.float16))
            blocks = numpy.zeros((1, 210), numpy.uint8)
            made.add_tensor("blk.0.ffn_up.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q6_K)
            made.write_header_to_file()
            made.write_kv_data_to_file()
            made.write_tensors_to_file()
            made.close()
            found.append((Path(folder) / "x.gguf").read_bytes())
    return found


def _tokenizer_files() -> dict[str, bytes]:
    from formers import BertTokenizer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(WORDS) + "\n")
        BertTokenizer(path).save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()} | {"added_tokens.json": b'{"<n>": 10}'}


def _index() -> list[bytes]:
    return [json.dumps({"metadata": {"total_size": 1}, "weight_map": {"a": "one.safetensors"}}).encode()]


def _beside(names: str) -> Callable[[Path], None]:
    """Puts the other files of a tokenizer into the folder."""

    def put(folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps(CONFIG))
        for name, data in _tokenizer_files().items():
            if name != names and not (names == "vocab.txt" and name == "tokenizer.json"):
                (folder / name).write_bytes(data)

    return put


def _shard(folder: Path) -> None:
    (folder / "one.safetensors").write_bytes(_safetensors()[0])


def _tensorflow_data(folder: Path) -> None:
    """A data file, and a checksum that is never wrong: else nothing that was changed would be read any further."""
    from formers.checkpoints import leveldb, tf_ckpt

    (folder / "model.ckpt.data-00000-of-00001").write_bytes(bytes(100_000))

    class Equal(int):
        def __eq__(self, other: object) -> bool:
            return True

        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = int.__hash__

    for module in (leveldb, tf_ckpt):
        module.masked_crc32c = lambda data: Equal()


Target = tuple[str, Callable[[Path], None], Callable[[], list[bytes]], Callable[[Path], None]]
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt")
# file name, what is tried, seeds, what else is in the folder
TARGETS: dict[str, Target] = {
    "safetensors": ("model.safetensors", weights, _safetensors, lambda _: None),
    "torch_zip": ("pytorch_model.bin", weights, lambda: _saved(True), lambda _: None),
    "torch_legacy": ("pytorch_model.bin", weights, lambda: _saved(False), lambda _: None),
    "tf_h5": ("tf_model.h5", weights, lambda: [*_hdf5(), *_goldens("*.h5.gz")], lambda _: None),
    "tf_ckpt": ("model.ckpt.index", weights, lambda: _goldens("*.index"), _tensorflow_data),
    "flax_msgpack": ("flax_model.msgpack", weights, _flax, lambda _: None),
    "gguf": ("model.gguf", packed, _gguf, lambda _: None),
    "index": ("model.safetensors.index.json", weights, _index, _shard),
    "config": ("config.json", config, lambda: [json.dumps(CONFIG).encode()], lambda _: None),
    **{
        name: (name, tokenizer, lambda name=name: [_tokenizer_files()[name]], _beside(name))  # type: ignore[misc]
        for name in TOKENIZER
    },
}


# ---- running


def fuzz(reader: str, seconds: int) -> None:
    """Run one target in this process; ends the process."""
    import atheris

    rooms = ("checkpoints", "config", "gguf", "tokenization")
    with atheris.instrument_imports(include=[f"formers.{room}" for room in rooms]):
        import formers.auto
        import formers.checkpoints.write
        import formers.pretrained  # noqa: F401
    from formers.errors import FormersError

    logging.disable()
    name, attempt, seeds, beside = TARGETS[reader]
    work = ROOT / "build" / "fuzz" / reader
    corpus = work / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    beside(folder)
    count, start = 0, time.monotonic()

    def one(data: bytes) -> None:
        nonlocal count
        count += 1
        (folder / name).write_bytes(data)
        begin = time.process_time()
        with contextlib.suppress(FormersError):
            attempt(folder / name)
        if time.process_time() - begin > SECONDS:
            raise RuntimeError(f"{time.process_time() - begin:.1f} s")
        if count % 1000 == 0:
            (work / "count").write_text(f"{count} inputs in {time.monotonic() - start:.0f} s\n")

    longest = max(4096, 2 * max(path.stat().st_size for path in corpus.iterdir()))
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={longest}",
        f"-rss_limit_mb={RSS}",
        "-timeout=30",
        f"-artifact_prefix={work}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=600, help="for each reader (default: %(default)s)")
    given = parser.parse_args()
    if given.reader != "all":
        fuzz(given.reader, given.seconds)
        return 0
    failed = []
    for reader in TARGETS:
        command = [sys.executable, __file__, reader, "--seconds", str(given.seconds)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        work = ROOT / "build" / "fuzz" / reader
        (work / "log").write_text(done.stderr[-20_000:])
        said = (work / "count").read_text().strip() if (work / "count").exists() else "under 1000 inputs"
        print(f"{reader}: {said}, {'a finding: see ' + str(work) if done.returncode else 'nothing found'}", flush=True)
        failed += [reader] * (done.returncode != 0)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
