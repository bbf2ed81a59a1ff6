"""`formers visualize`: a page with the attention weights of a text or a picture, or with what tokens add to a label."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, NotFoundError
from .output import declare_json, show, size, table
from .tokenize import PACKAGED

ABOUT = "write a page that shows whom tokens or patches attend to"


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "text",
        nargs="*",
        default=[],
        metavar="TEXT",
        help="a text, a pair of texts, or for a model that reads pictures a file or an address",
    )
    parser.add_argument("--model", metavar="NAME", default=str(PACKAGED), help="folder or hub name (default: ours)")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    parser.add_argument("--output", default="attention.html", metavar="FILE", help="the page (attention.html)")
    parser.add_argument("--layers", type=_numbers, metavar="0,3", help="keep these layers (default: all)")
    parser.add_argument("--heads", type=_numbers, metavar="0,3", help="keep these heads (default: all)")
    parser.add_argument(
        "--attributions",
        action="store_true",
        help="show what each token of a text adds to the score of a label instead",
    )
    parser.add_argument("--target", metavar="LABEL", help="of --attributions: the label (default: the likeliest)")
    declare_json(parser)


def run(given: argparse.Namespace) -> None:
    if len(given.text) not in (1, 2):
        raise ArgumentError(f"{len(given.text)} texts were given; a text, a pair of texts, or a picture is shown.")
    if given.target is not None and not given.attributions:
        raise ArgumentError("--target is for --attributions.")
    if given.attributions and (given.layers or given.heads):
        raise ArgumentError("--layers and --heads are for attention weights, not for --attributions.")
    path = Path(given.output).expanduser()
    if not path.parent.is_dir():
        raise NotFoundError(f"There is no folder {str(path.parent)!r} for the page: make it, or give another --output.")
    page = _attributions(given) if given.attributions else _attention(given)
    page.save(path)
    facts = {"page": str(path), "shows": repr(page), "bytes": path.stat().st_size}
    show(given, facts, table({**facts, "bytes": size(path.stat().st_size)}))


def _attention(given: argparse.Namespace) -> Any:
    from .. import auto, auto_processing, hub, visualize
    from ..config import required_values
    from ..fitting import named_classes
    from ..processing.sources import is_source

    source = hub.locate(given.model, revision=given.revision)
    # with the head that the file has: without it some families would make a pooler of new weights
    kind: Any = named_classes(required_values(source), source.name)[1] or auto.AutoModel
    model = kind.from_pretrained(given.model, revision=given.revision)
    pictures = model.main_input_name == "pixel_values"
    towers = hasattr(model, "vision_model")
    if pictures or (towers and is_source(given.text[0])):
        reader: Any = auto_processing.AutoImageProcessor
    else:
        model, reader = model.text_model if towers else model, auto.AutoTokenizer
    prepare = reader.from_pretrained(given.model, revision=given.revision)
    return visualize.attention(model, prepare, *given.text, layers=given.layers, heads=given.heads)


def _attributions(given: argparse.Namespace) -> Any:
    from .. import auto, visualize

    model = auto.AutoModelForSequenceClassification.from_pretrained(given.model, revision=given.revision)
    tokenizer = auto.AutoTokenizer.from_pretrained(given.model, revision=given.revision)
    return visualize.attributions(model, tokenizer, *given.text, target=given.target)


def _numbers(value: str) -> list[int]:
    parts = value.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{value!r} is no list of numbers, such as 0,3")
    return [int(part) for part in parts]
