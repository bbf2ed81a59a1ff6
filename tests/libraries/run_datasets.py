"""datasets with tokenizers of this package."""

from __future__ import annotations

import checks
from datasets import Dataset
from datasets.fingerprint import Hasher

import formers

ROWS = {"text": ["one text", "another, longer text", "a third"], "label": [0, 1, 0]}


@checks.check("map with a tokenizer, in batches, and in two processes")
def mapping() -> None:
    tokenizer = formers.AutoTokenizer.from_pretrained(checks.minilm())
    data = Dataset.from_dict(ROWS)
    one = data.map(lambda row: tokenizer(row["text"], truncation=True, padding="max_length", max_length=8))
    many = data.map(
        lambda rows: tokenizer(rows["text"], truncation=True, padding="max_length", max_length=8), batched=True
    )
    two = data.map(tokenizer, input_columns="text", batched=True, num_proc=2)
    assert one["input_ids"] == many["input_ids"] and two["input_ids"][0] == tokenizer("one text")["input_ids"]


@checks.check("the fingerprint of a tokenizer stays the same when it is used, so that maps are cached")
def fingerprint() -> None:
    tokenizer = formers.AutoTokenizer.from_pretrained(checks.minilm())
    before = Hasher.hash(tokenizer)
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=4)
    assert Hasher.hash(tokenizer) == before
    assert Hasher.hash(formers.AutoTokenizer.from_pretrained(checks.minilm())) == before


@checks.check("a formatted dataset through a DataLoader into a model")
def loader() -> None:
    from torch.utils.data import DataLoader

    tokenizer = formers.AutoTokenizer.from_pretrained(checks.minilm())
    model = formers.AutoModelForSequenceClassification.from_pretrained(checks.minilm())
    data = Dataset.from_dict(ROWS).map(tokenizer, input_columns="text", batched=True).rename_column("label", "labels")
    data = data.remove_columns("text")
    for rows in DataLoader(data, batch_size=2, collate_fn=lambda rows: tokenizer.pad(rows, return_tensors="pt")):
        assert model(**rows).loss.isfinite()


@checks.check("a pipeline over a column")
def pipeline() -> None:
    from formers.pipelines.pt_utils import KeyDataset

    reader = formers.pipeline("feature-extraction", model=str(checks.minilm()))
    assert len(list(reader(KeyDataset(Dataset.from_dict(ROWS), "text"), batch_size=2))) == 3


if __name__ == "__main__":
    checks.run()
