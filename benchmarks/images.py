"""Pictures beside Transformers and ONNX Runtime: ViT-base's size, and CLIP-base's zero-shot labels of photos.

    python benchmarks/images.py [--rounds 7] [--threads 2] [--photos 200] [--cases one eight photos]

"one" and "eight" are passes of a model of ViT-base's size over so many pictures of 224 x 224; "photos" is
pipeline("zero-shot-image-classification") from files to labels, with a model of CLIP-ViT-B/32's size. Each contestant
runs in its own process, all of them take a turn in each round. Prints medians in milliseconds, and of the rounds'
ratios to Transformers. Weights are drawn: what is computed costs the same.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CASES = {"one": 1, "eight": 8, "photos": 0}
PASSES = ("transformers", "formers", "formers float32", "formers int8", "onnxruntime", "onnxruntime int8")
PIPELINES = ("transformers", "formers", "formers float32", "formers int8")
LABELS = ("a temple", "a flower", "a cat", "a boat", "a street", "food", "a mountain", "a person", "a car", "a tree")


def vit(library: Any) -> Any:
    """A classifier of ViT-base's size."""
    import torch

    torch.manual_seed(0)
    return library.ViTForImageClassification(library.ViTConfig(num_labels=1000)).eval()


def exported(int8: bool) -> Any:
    """A session of the same, exported and fused by ONNX Runtime's own optimizer."""
    import onnx
    import onnxruntime
    import torch
    import transformers
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    model, path = vit(transformers), str(Path(tempfile.mkdtemp(), "model.onnx"))
    model.set_attn_implementation("eager")
    torch.onnx.export(
        model, (torch.randn(1, 3, 224, 224),), path, input_names=["pixel_values"], output_names=["logits"],
        dynamic_axes={"pixel_values": {0: "B"}, "logits": {0: "B"}}, opset_version=17, dynamo=False,
    )  # fmt: skip
    fused = optimizer.optimize_model(path, model_type="vit", num_heads=12, hidden_size=768, opt_level=0)
    fused.save_model_to_file(path)
    if int8:
        extra = {"DefaultTensorType": onnx.TensorProto.FLOAT}
        quantize_dynamic(
            path, path, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Attention"],
            extra_options=extra,
        )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def passes(name: str, count: int) -> Callable[[], Any]:
    """A turn of a contestant: one pass over so many pictures."""
    import torch

    pixels = torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    library, _, mode = name.partition(" ")
    if library == "onnxruntime":
        session, given = exported(mode == "int8"), {"pixel_values": pixels.numpy()}
        return lambda: session.run(None, given)
    model = vit(importlib.import_module(library))
    if mode:
        model.optimize(mode)

    def run() -> None:
        with torch.inference_mode():
            model(pixels)

    return run


def photos(count: int, folder: Path) -> list[str]:
    """Files of photos of 640 x 427: parts of two that scikit-learn brings, no two alike."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng, own = np.random.default_rng(0), load_sample_images().images
    for number in range(count):
        whole = Image.fromarray(own[number % len(own)])
        left, top = (int(rng.integers(0, side // 4)) for side in whole.size)
        part = whole.crop((left, top, left + whole.width * 3 // 4, top + whole.height * 3 // 4))
        part.resize(whole.size).save(folder / f"{number:04}.jpg", quality=90)
    return sorted(map(str, folder.glob("*.jpg")))


def labelled(name: str, files: list[str], saved: str) -> Callable[[], Any]:
    """A turn of a contestant: labels of all photos, in one call."""
    library, _, mode = name.partition(" ")
    more = {"optimize": mode} if mode else {}
    pipe = importlib.import_module(library).pipeline("zero-shot-image-classification", model=saved, **more)
    return lambda: pipe(files, candidate_labels=list(LABELS))


def clip(folder: Path) -> None:
    """Save a model of CLIP-ViT-B/32's size, with a tokenizer of few words, as its repository has them."""
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.CLIPModel(transformers.CLIPConfig()).save_pretrained(folder)
    letters = [chr(i) for i in range(ord("a"), ord("z") + 1)] + ["."]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=77)
    tokenizer.save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)


def contestant(name: str, case: str, threads: int, place: str) -> None:
    """A turn for each line of the input, answered with its milliseconds."""
    import torch

    torch.set_num_threads(threads)
    files = sorted(map(str, Path(place).glob("*.jpg")))
    turn = passes(name, CASES[case]) if CASES[case] else labelled(name, files, place)
    turn()
    for _ in sys.stdin:
        start = time.perf_counter()
        turn()
        print("\n" + json.dumps([1e3 * (time.perf_counter() - start)]), flush=True)


def race(case: str, rounds: int, threads: int, count: int) -> None:
    """Print what all contestants of a case took."""
    place = Path(tempfile.mkdtemp())
    if not CASES[case]:
        photos(count, place)
        clip(place)
    names = PASSES if CASES[case] else PIPELINES
    command = [sys.executable, "-W", "ignore", __file__, "--threads", str(threads), "--work"]
    running = {
        name: subprocess.Popen(
            [*command, name, case, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )
        for name in names
    }  # fmt: skip
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        order = list(running.items())
        for name, process in order if turn % 2 else reversed(order):
            assert process.stdin is not None and process.stdout is not None
            print(file=process.stdin, flush=True)
            found[name] += json.loads(next(line for line in process.stdout if line.startswith("[")))
    for process in running.values():
        process.communicate()
    for name, times in found.items():
        ratio = statistics.median(a / b for a, b in zip(found["transformers"], times, strict=True))
        print(f"{case:8}{name:20}{statistics.median(times):10.1f} ms{ratio:8.2f}×", flush=True)


def main() -> None:
    """Race the contestants of each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        return contestant(*chosen.work[:2], chosen.threads, chosen.work[2])
    for case in chosen.cases:
        race(case, chosen.rounds, chosen.threads, chosen.photos)
    return None


if __name__ == "__main__":
    main()
