"""Make a smaller model of an encoder of the BERT kind: some of its layers, and the word pieces that texts have most.

    python tools/cut_model.py SOURCE OUT --layers 0 1 2 3 --vocabulary 8000 --positions 256 --texts FILE

What is left keeps its weights, so that fine-tuning starts from them. Of the vocabulary stay the special tokens, single
ASCII characters, the pieces that occur in the texts (one a line), the most frequent first, and then whole words in the
order of their ids, which in BERT's vocabulary is that of their frequency.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import torch

from formers import BertConfig, BertModel, BertTokenizer


def kept_tokens(tokenizer: BertTokenizer, texts: list[str], size: int) -> list[str]:
    """The `size` tokens that stay, in the order of their ids."""
    vocabulary = tokenizer.get_vocab()
    counts = Counter(i for ids in tokenizer(texts, add_special_tokens=False)["input_ids"] for i in ids)
    special = [token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if token in vocabulary]
    single = [t for t in vocabulary if t.isascii() and len(t.removeprefix("##")) == 1]
    names = {i: token for token, i in vocabulary.items()}
    seen = [names[i] for i, _ in counts.most_common()]
    words = [t for t in sorted(vocabulary, key=vocabulary.__getitem__) if t.isascii() and t.isalpha()]
    chosen = list(dict.fromkeys([*special, *single, *seen, *words]))[:size]
    return [*special, *sorted((t for t in chosen if t not in special), key=vocabulary.__getitem__)]


def cut(source: Path, out: Path, layers: list[int], size: int, positions: int, texts: list[str]) -> None:
    """Write the smaller model and its tokenizer to `out`."""
    tokenizer, model = BertTokenizer.from_pretrained(source), BertModel.from_pretrained(source)
    tokens = kept_tokens(tokenizer, texts, size)
    ids = torch.tensor([tokenizer.get_vocab()[token] for token in tokens])
    values = model.config.to_dict() | {
        "num_hidden_layers": len(layers),
        "vocab_size": len(tokens),
        "max_position_embeddings": positions,
        "pad_token_id": tokens.index("[PAD]"),
    }
    state = model.state_dict()
    found = {}
    for name, tensor in BertModel(BertConfig.from_dict(values)).state_dict().items():
        parts = name.split(".")
        if name.startswith("encoder.layer."):
            parts[2] = str(layers[int(parts[2])])
        old = state[".".join(parts)]
        if name.endswith("word_embeddings.weight"):
            old = old[ids]
        found[name] = old[tuple(slice(0, n) for n in tensor.shape)].clone()
    smaller = BertModel(BertConfig.from_dict(values))
    smaller.load_state_dict(found)
    smaller.save_pretrained(out)
    (out / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    BertTokenizer(str(out / "vocab.txt"), model_max_length=positions).save_pretrained(out)


def main() -> None:
    """Cut the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--positions", type=int, default=256)
    parser.add_argument("--texts", type=Path, required=True)
    chosen = parser.parse_args()
    texts = chosen.texts.read_text(encoding="utf-8").splitlines()
    cut(chosen.source, chosen.out, chosen.layers, chosen.vocabulary, chosen.positions, texts)


if __name__ == "__main__":
    main()
