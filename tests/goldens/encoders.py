"""Folders of sentence-transformers with a small BERT, and what is asked of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from goldens import draw_weights
from goldens.answers import CONFIG, VOCABULARY

TEXTS = ["a good film", "It is the story of a film in Paris.", "where", "the film was good", "good, good and good-is"]
PROMPTS = {"query": "who: ", "passage": "the film: "}
_POOLING = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
_SQUARE = {"in_features": 16, "out_features": 16, "activation_function": "torch.nn.modules.activation.Tanh"}

# what follows the model, each as its kind, its settings and the shapes of its weights
Step = tuple[str, dict[str, Any], dict[str, tuple[int, ...]]]
_DENSE = {"linear.weight": (16, 16), "linear.bias": (16,)}
STEPS: dict[str, list[Step]] = {
    "layer norm": [
        ("Pooling", _POOLING, {}),
        ("LayerNorm", {"dimension": 16}, {"norm.weight": (16,), "norm.bias": (16,)}),
    ],
    "dropout": [("Pooling", _POOLING, {}), ("Dropout", {"dropout": 0.5}, {}), ("Normalize", {}, {})],
    "layers": [
        (
            "WeightedLayerPooling",
            {"word_embedding_dimension": 16, "layer_start": 1, "num_hidden_layers": 2},
            {"layer_weights": (2,)},
        ),
        ("Pooling", _POOLING, {}),
    ],
    "convolutions": [
        (
            "CNN",
            {"in_word_embedding_dimension": 16, "out_channels": 3, "kernel_sizes": [1, 3], "stride_sizes": [1, 1]},
            {
                "convs.0.weight": (3, 16, 1),
                "convs.0.bias": (3,),
                "convs.1.weight": (3, 16, 3),
                "convs.1.bias": (3,),
            },
        ),
        ("Pooling", {**_POOLING, "word_embedding_dimension": 6}, {}),
    ],
    "recurrent": [
        (
            "LSTM",
            {
                "word_embedding_dimension": 16,
                "hidden_dim": 4,
                "num_layers": 1,
                "dropout": 0,
                "bidirectional": True,
            },
            {
                f"encoder.{kind}_l0{way}": shape
                for way in ("", "_reverse")
                for kind, shape in {
                    "weight_ih": (16, 16),
                    "weight_hh": (16, 4),
                    "bias_ih": (16,),
                    "bias_hh": (16,),
                }.items()
            },
        ),
        ("Pooling", {**_POOLING, "word_embedding_dimension": 8}, {}),
    ],
    "tokens": [
        ("Dense", {**_SQUARE, "module_input_name": "token_embeddings"}, _DENSE),
        ("Pooling", {"embedding_dimension": 16, "pooling_mode": "max"}, {}),
    ],
    "residual": [
        ("Pooling", _POOLING, {}),
        ("Dense", {**_SQUARE, "out_features": 5, "use_residual": True, "bias": False}, {
            "linear.weight": (5, 16), "residual.weight": (5, 16),
        }),
        ("Normalize", {}, {}),
    ],
    "no flag is the mean": [("Pooling", {"word_embedding_dimension": 16, "pooling_mode_cls_token": False}, {})],
}  # fmt: skip


def folder(path: Path, library: Any, steps: list[Step], own: dict[str, Any] | None = None, **general: Any) -> Path:
    """A folder with a model of a library that has the names of Transformers; `own` are the model's further settings."""
    import torch
    from safetensors.torch import save_file

    model = library.BertModel(library.BertConfig(**CONFIG)).eval()
    draw_weights(model)
    model.save_pretrained(path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **(own or {})}))
    (path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    (path / "sentence_bert_config.json").write_text('{"max_seq_length": 12, "do_lower_case": false}')
    (path / "config_sentence_transformers.json").write_text(json.dumps(general))
    listed = [("Transformer", "")]
    for number, (kind, settings, shapes) in enumerate(steps, 1):
        place = path / f"{number}_{kind}"
        place.mkdir()
        name = f"{kind.lower()}_config.json" if kind in ("CNN", "LSTM") else "config.json"
        (place / name).write_text(json.dumps(settings))
        listed.append((kind, place.name))
        if shapes:
            holder = torch.nn.ParameterDict()
            weights = {key: torch.nn.Parameter(torch.empty(shape)) for key, shape in shapes.items()}
            holder.named_parameters = weights.items  # type: ignore[method-assign]
            draw_weights(holder)
            save_file({key: value.detach() for key, value in weights.items()}, place / "model.safetensors")
    types = [
        {"idx": number, "name": str(number), "path": where, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, where) in enumerate(listed)
    ]
    (path / "modules.json").write_text(json.dumps(types))
    return path


def own_settings(name: str) -> dict[str, Any]:
    """What the model's configuration says besides, in the case of that name."""
    return {"output_hidden_states": True} if name == "layers" else {}


ENCODED: dict[str, dict[str, Any]] = {
    "int8": {"precision": "int8"},
    "uint8": {"precision": "uint8"},
    "binary": {"precision": "binary"},
    "ubinary": {"precision": "ubinary"},
    "cut": {"truncate_dim": 5},
    "cut and normalized": {"truncate_dim": 5, "normalize_embeddings": True},
    "prompt": {"prompt_name": "passage"},
}


def vectors() -> Any:
    """Forty vectors around eight middles, (40, 6)."""
    import numpy

    draw = numpy.random.RandomState(5)
    middles = draw.randn(8, 6)
    return (middles[draw.randint(0, 8, 40)] + 0.25 * draw.randn(40, 6)).astype("float32")


def classifier(path: Path, library: Any, labels: int, **general: Any) -> Path:
    """A cross-encoder with so many labels."""
    from goldens import ranking

    model = library.BertForSequenceClassification(library.BertConfig(**{**ranking.CONFIG, "num_labels": labels})).eval()
    draw_weights(model)
    model.save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    if general:
        (path / "config_sentence_transformers.json").write_text(json.dumps(general))
    return path
