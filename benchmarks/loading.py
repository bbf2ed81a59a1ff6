"""Time and memory of loading BERT-base (438 MB) from each format, beside the reference's, each in a fresh process.

    python benchmarks/loading.py [--rounds 7] [--frameworks PYTHON]

`--frameworks` is a Python with Transformers 4.x, TensorFlow and Flax (see tools/make_goldens_frameworks.py): it writes
the files of these, and loads them into a model of its own framework to compare with. Times are after the imports: to
`from_pretrained`, and to the end of a first forward pass of three tokens, which touches every weight but the unused rows
of tables. Memory is the highest that the process had, above what it had after the imports; pages of a mapped file count.
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
before = kilobytes("VmRSS")
start = time.perf_counter()
model = Model.from_pretrained(sys.argv[1])
loaded = time.perf_counter()
{forward}
ready = time.perf_counter()
print(json.dumps({{"load": loaded - start, "ready": ready - start, "MB": (kilobytes("VmHWM") - before) / 1000}}))
"""
TORCH = "with torch.no_grad(): model(torch.tensor([[101, 7592, 102]]))"
CONTESTANTS = {
    "formers": ("import torch\nfrom formers import BertModel as Model", TORCH),
    "formers, mmap=False": ("import torch\nfrom formers import BertModel\nclass Model:\n"
                            "    from_pretrained = staticmethod(lambda n: BertModel.from_pretrained(n, mmap=False))", TORCH),
    "transformers": ("import torch\nfrom transformers import BertModel as Model", TORCH),
    "TensorFlow 2": ("import numpy\nfrom transformers import TFBertModel as Model", "model(numpy.array([[101, 7592, 102]]))"),
    "Flax": ("import numpy\nfrom transformers import FlaxBertModel as Model", "model(numpy.array([[101, 7592, 102]]))"),
}  # fmt: skip


def cases(folder: Path, frameworks: str | None) -> list[tuple[str, str, list[str]]]:
    """What is measured: format, contestant, command line."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime):
        theirs = "transformers" if path.name in ("safetensors", "torch zip", "torch legacy") else path.name
        for name in ("formers", "formers, mmap=False", theirs):
            if name in CONTESTANTS:
                imports, forward = CONTESTANTS[name]
                python = (
                    sys.executable if name in ("formers", "formers, mmap=False", "transformers") else str(frameworks)
                )
                found.append(
                    (path.name, name, [python, "-c", LOAD.format(imports=imports, forward=forward), str(path)])
                )
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
    print(
        f"Medians of {given.rounds} rounds; the ratio is formers' time to the first answer over theirs, round by round.\n"
    )
    print(
        "| Weights | Loaded by | from_pretrained, s | first answer, s | peak memory, MB | ratio |\n|---|---|---|---|---|---|"
    )
    for (form, contestant), runs in results.items():
        ours = results[form, "formers"]
        ratio = statistics.median(mine["ready"] / run["ready"] for mine, run in zip(ours, runs, strict=True))
        load, ready, memory = (statistics.median(run[key] for run in runs) for key in ("load", "ready", "MB"))
        shown = "" if contestant == "formers" else f"{ratio:.2f}"
        print(f"| {form} | {contestant} | {load:.2f} | {ready:.2f} | {memory:,.0f} | {shown} |")


if __name__ == "__main__":
    main()
