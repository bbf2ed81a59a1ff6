"""`formers convert`: any checkpoint to safetensors."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from .output import declare_json, show, size, table

ABOUT = "write any checkpoint as safetensors, with its configuration and tokenizer"


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="IN", help="folder, hub name, weight file, or TensorFlow 1 checkpoint without its ending"
    )
    parser.add_argument("folder", metavar="OUT", help="folder to write: new, empty, or a model's, which is replaced")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="type to convert the weights to")
    parser.add_argument("--max-shard-size", default="5GB", metavar="SIZE", help="most that one file may have (5GB)")
    parser.add_argument(
        "--from",
        dest="framework",
        choices=("safetensors", "torch", "tf", "flax"),
        help="whose weights to take, where there are several",
    )
    parser.add_argument("--variant", help="take model.VARIANT.safetensors and so on")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    declare_json(parser)


def run(given: argparse.Namespace) -> None:
    from ..convert import convert

    done = convert(
        given.model,
        given.folder,
        dtype=given.dtype,
        max_shard_size=given.max_shard_size,
        framework=given.framework,
        revision=given.revision,
        variant=given.variant,
        progress=True,
    )
    facts = asdict(done)
    left = done.left_out
    shown = {
        **facts,
        "bytes": size(done.bytes),
        "left_out": f"{len(left):,} tensors of an optimizer, and counters: {left[0]}, …" if left else None,
        "notes": " ".join(done.notes) or None,
    }
    show(given, facts, table({name: value for name, value in shown.items() if value is not None}))
