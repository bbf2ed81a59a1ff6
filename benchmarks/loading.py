"""Time and memory of loading BERT-base (438 MB) from each format, beside the reference's, each in a fresh process.

    python benchmarks/loading.py [--rounds 7] [--frameworks PYTHON]

`--frameworks` is a Python with Transformers 4.x, TensorFlow and Flax (see tools/make_goldens_frameworks.py): it writes
their files, and loads them into models of their own to compare with. Times are after the imports: to `from_pretrained`,
and to the end of a first forward pass of three tokens, which touches every weight but the unused rows of tables. Memory
is the highest that the process had above what it had after the imports. It counts the pages of mapped files, which the
system takes back when it needs them; private is what it had in the end without these.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WRITE = """
import sys, torch
from pathlib import Path
from formers import BertConfig, BertModel
folder = Path(sys.argv[1])
torch.manual_seed(0)
model = BertModel(BertConfig())
model.save_pretrained(folder / "safetensors")
model.save_pretrained(folder / "torch zip", safe_serialization=False)
model.save_pretrained(folder / "torch legacy", safe_serialization=False)
path = folder / "torch legacy" / "pytorch_model.bin"
torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
"""
WRITE_FRAMEWORKS = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from pathlib import Path
import tensorflow as tf
from transformers import BertConfig, FlaxBertModel, TFBertModel
folder = Path(sys.argv[1])
model = TFBertModel(BertConfig())
model(model.dummy_inputs)
model.save_pretrained(folder / "TensorFlow 2")
FlaxBertModel(BertConfig()).save_pretrained(folder / "Flax")
names = {}
for weight in model.weights:
    name = weight.name.partition("/")[2].removesuffix(":0").replace("layer_._", "layer_")
    for table in ("word", "position", "token_type"):
        name = name.removesuffix(f"{table}_embeddings/weight").removesuffix(f"{table}_embeddings/embeddings") + (
            f"{table}_embeddings" if f"/{table}_embeddings/" in name else "")
    names[name] = weight
first = folder / "TensorFlow 1"
first.mkdir()
tf.raw_ops.SaveV2(prefix=str(first / "bert_model.ckpt") + "_part", tensor_names=list(names),
                  shape_and_slices=[""] * len(names), tensors=[w.value() for w in names.values()])
tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[str(first / "bert_model.ckpt") + "_part"],
                              destination_prefix=str(first / "bert_model.ckpt"))
BertConfig().to_json_file(first / "bert_config.json")
"""
LOAD = """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
def kilobytes(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key + ":"))
{imports}
before, private = kilobytes("VmRSS"), kilobytes("RssAnon")
start = time.perf_counter()
model = Model.from_pretrained(sys.argv[1])
loaded = time.perf_counter()
{forward}
ready = time.perf_counter()
memory = {{"MB": (kilobytes("VmHWM") - before) / 1000, "private": (kilobytes("RssAnon") - private) / 1000}}
print(json.dumps({{"load": loaded - start, "ready": ready - start, **memory}}))
"""
COPIED = """from formers import BertModel
class Model:
    from_pretrained = staticmethod(lambda name: BertModel.from_pretrained(name, mmap=False))
"""
TORCH = ("import torch\n", "with torch.no_grad(): model(torch.tensor([[101, 7592, 102]]))")
NUMPY = ("import numpy\n", "model(numpy.array([[101, 7592, 102]]))")
CONTESTANTS = {
    "formers": ("from formers import BertModel as Model", TORCH),
    "formers, mmap=False": (COPIED, TORCH),
    "transformers": ("from transformers import BertModel as Model", TORCH),
    "TensorFlow 2": ("from transformers import TFBertModel as Model", NUMPY),
    "Flax": ("from transformers import FlaxBertModel as Model", NUMPY),
}


def cases(folder: Path, frameworks: str | None) -> list[tuple[str, str, list[str]]]:
    """What is measured: format, contestant, command line."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime):
        theirs = path.name if path.name in CONTESTANTS else "transformers"
        if path.name == "TensorFlow 1":  # its own framework has no model that is loaded from it
            theirs = "formers"
        for name in dict.fromkeys(("formers", "formers, mmap=False", theirs)):
            imports, (library, forward) = CONTESTANTS[name]
            python = str(frameworks) if name in ("TensorFlow 2", "Flax") else sys.executable
            code = LOAD.format(imports=library + imports, forward=forward)
            found.append((path.name, name, [python, "-c", code, str(path)]))
    return found


def main() -> None:
    """Write the files, then measure all contestants in turn, `--rounds` times after one that warms the disk's cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frameworks", metavar="PYTHON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([sys.executable, "-c", WRITE, name], **quiet)
        if given.frameworks:
            subprocess.run([given.frameworks, "-c", WRITE_FRAMEWORKS, name], **quiet)
        measured = cases(Path(name), given.frameworks)
        results: dict[tuple[str, str], list[dict[str, float]]] = {case[:2]: [] for case in measured}
        for turn in range(given.rounds + 1):
            for form, contestant, command in measured:
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                if turn:
                    results[form, contestant].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"Medians of {given.rounds} rounds; ratio: formers' time to the first answer over theirs, round by round.\n")
    print("| Weights | Loaded by | `from_pretrained`, s | first answer, s | ratio | peak memory, MB | private, MB |")
    print("|---|---|---|---|---|---|---|")
    for (form, contestant), runs in results.items():
        ours = results[form, "formers"]
        ratio = statistics.median(mine["ready"] / run["ready"] for mine, run in zip(ours, runs, strict=True))
        load, ready, memory, private = (
            statistics.median(run[key] for run in runs) for key in ("load", "ready", "MB", "private")
        )
        shown = "" if contestant == "formers" else f"{ratio:.2f}"
        print(f"| {form} | {contestant} | {load:.2f} | {ready:.2f} | {shown} | {memory:,.0f} | {private:,.0f} |")


if __name__ == "__main__":
    main()
