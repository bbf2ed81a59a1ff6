"""Folders of tiny models that find answers among the words of a page, pages of words, and Tesseract's part played."""

from __future__ import annotations

import json
import random
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import transformers
from families import redraw
from tokenizers import pre_tokenizers

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *LETTERS,
    *(f"##{x}" for x in LETTERS),
    *"0123456789.,:?",
    "due",
]
BYTES = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "<mask>"]
SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
}  # fmt: skip
V3: dict[str, Any] = {"coordinate_size": 6, "shape_size": 4, "input_size": 32, "patch_size": 16}
Page = list[tuple[str, list[int]]]


def page(count: int, seed: int = 0) -> Page:
    """Words with their boxes."""
    draw, words = random.Random(seed), []
    for _ in range(count):
        x, y = draw.randint(0, 800), draw.randint(0, 900)
        box = [x, y, x + draw.randint(0, 200), y + draw.randint(0, 100)]
        words.append(
            (draw.choice(["".join(draw.choices(LETTERS, k=draw.randint(1, 5))), "Total:", "5,3", "naïve"]), box)
        )
    return words


def write_layoutlm(folder: Path, byte_level: bool = False, positions: int = 64) -> str:
    """A LayoutLM with BERT's tokenizer, or with RoBERTa's, as some have it."""
    tokens = BYTES if byte_level else PIECES
    sizes = {**SIZES, "vocab_size": len(tokens), "max_position_embeddings": positions}
    model = transformers.LayoutLMForQuestionAnswering(transformers.LayoutLMConfig(**sizes))
    said = {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True} if byte_level else {"do_lower_case": True}
    return _written(folder, model, tokens, {"model_max_length": positions, **said})


def write_layoutlmv3(folder: Path, kind: str = "ForQuestionAnswering", positions: int = 64, **processor: Any) -> str:
    """A LayoutLMv3, with what its image processor's file says beside its size."""
    sizes = {**SIZES, "vocab_size": len(BYTES), "max_position_embeddings": positions}
    model = getattr(transformers, f"LayoutLMv3{kind}")(transformers.LayoutLMv3Config(**sizes, **V3))
    said = {"tokenizer_class": "LayoutLMv3Tokenizer", "model_max_length": positions - 2}
    values = {"image_processor_type": "LayoutLMv3ImageProcessor", "size": {"height": 32, "width": 32}, **processor}
    _written(folder, model, BYTES, said)
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return str(folder)


def _written(folder: Path, model: Any, tokens: list[str], said: dict[str, Any]) -> str:
    redraw(model)
    model.save_pretrained(folder)
    if tokens is BYTES:
        (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
        (folder / "merges.txt").write_text("#version: 0.2\n")
    else:
        (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return str(folder)


def play_tesseract(patch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Let pytesseract be there, for this package and the reference; what it is asked: language, options, size, mode."""
    from transformers.models.layoutlmv3 import image_processing_pil_layoutlmv3 as processing
    from transformers.pipelines import document_question_answering as answering

    asked: list[tuple[Any, ...]] = []

    def image_to_data(image: Any, lang: Any = None, output_type: Any = None, config: Any = None) -> dict[str, Any]:
        assert output_type == "dict"
        asked.append((lang, config, image.size, image.mode))
        count = image.height % 5 + 3
        places = {name: [start + 2 * i for i in range(count)] for start, name in enumerate(("left", "top"))}
        sizes = {name: [5 + i for i in range(count)] for name in ("width", "height")}
        return {"text": ["due", " ", "", *(f"w{i}" for i in range(count))][:count], **places, **sizes}

    played = types.ModuleType("pytesseract")
    played.image_to_data = image_to_data  # type: ignore[attr-defined]
    for name in ("TesseractNotFoundError", "TesseractError"):
        setattr(played, name, type(name, (Exception,), {}))
    patch.setitem(sys.modules, "pytesseract", played)
    for module in (processing, answering):
        patch.setattr(module, "pytesseract", played, raising=False)
    patch.setattr(processing, "requires_backends", lambda *_: None)
    patch.setattr(answering, "TESSERACT_LOADED", True)
    return asked
