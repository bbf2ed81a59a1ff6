"""Tables and questions, what TAPAS' tokenizer makes of them, and what a small model answers.

tables.json holds what Transformers gave, which reads tables with pandas; tools/make_goldens_tables.py wrote it.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import torch
from corpus import DATA
from families import redraw

GOLDEN = Path(__file__).with_suffix(".json")
Case = tuple[dict[str, list[str]], list[str], dict[str, Any]]  # a table, questions, the tokenizer's arguments
NUMBERS = (
    *("12", "2,345", "1,234,567", "3.50", "-7", "+8", "$90", "4%", "21st", "two", "third", ".5", "1e5", "inf", "6."),
    *("1,00", "(5)", "10-20", "5 - 3", "1.2.3", "٣٤", "²", "2012", "0"),
)
DATES = (
    *("May 3, 2010", "3 June 1999", "July 2001", "1987", "1980s", "March 14", "9 Dec", "October", "jun", "may"),
    *("5-12-2008", "2010-05-05", "2010-5", "3.4.2005", "Monday, April 5", "Feb 29", "31 April 2000", "1650", "2017"),
    *("Sept 4, 2003", "13-13-2010", "May 3,2010"),
)
TEXTS = (
    *("Brad Pitt", "n/a", "?", "nan", "", " ", "---", "Émile Zola", "北京 市", "a_b", "New York, N.Y.", "❤ love"),
    *("unaffable supercalifragilistic", "the " * 14, "x" * 101, "[SEP] a", "don't", "ß", "two words", "tab\tand\nline"),
)
KINDS = (NUMBERS, DATES, TEXTS)
QUESTIONS = (
    *(
        "How many films since 2001?",
        "who is older than 12",
        "More than two after May 2010?",
        "?",
        "Which of the first?",
    ),
    *("what is [MASK] in July", "1e5 or 2,345 and 3 June 1999", "the most", "in the 1980s, or 2012"),
)
LABELS = {0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"}


def cases(count: int = 40) -> list[Case]:
    """Tables of few rows and columns, most of a column of one kind."""
    draw = random.Random(20)

    def column(rows: int) -> list[str]:
        kind = draw.choice(KINDS)
        return [draw.choice(kind if draw.random() < 0.85 else draw.choice(KINDS)) for _ in range(rows)]

    def case() -> Case:
        rows, columns = draw.randint(1, 6), draw.randint(1, 4)
        table = {f"{draw.choice(('Name', 'Year of', 'No.'))} {i}": column(rows) for i in range(columns)}
        questions = draw.sample(QUESTIONS, draw.randint(1, 2))
        options: dict[str, Any] = {"truncation": draw.random() < 0.7, "padding": draw.choice((True, False, "longest"))}
        if draw.random() < 0.5 and options["truncation"]:
            options["max_length"] = draw.choice((24, 40))
        if draw.random() < 0.4 and not options["truncation"]:
            cells = [(draw.randrange(rows), draw.randrange(columns)) for _ in questions]
            options |= {"answer_coordinates": [[cell] for cell in cells], "answer_text": [["x"]] * len(cells)}
        return table, questions, options

    return [case() for _ in range(count)]


def vocabulary(folder: Path) -> Path:
    """A folder with BERT's vocabulary, where TAPAS has its token for nothing."""
    text = (DATA / "bert-base-uncased-vocab.txt").read_text(encoding="utf-8").replace("[unused0]", "[EMPTY]")
    (folder / "vocab.txt").write_text(text, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "TapasTokenizer"}))
    return folder


def checkpoint(folder: Path, library: Any, aggregates: bool) -> Path:
    """A folder with a small model that selects about half of the cells, made with Transformers or with formers."""
    own = {"num_aggregation_labels": 4, "aggregation_labels": LABELS, "no_aggregation_label_index": 0}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37}
    config = library.TapasConfig(max_position_embeddings=64, **sizes, **(own if aggregates else {}))
    model = library.TapasForQuestionAnswering(config)
    redraw(model, seed=3)
    with torch.no_grad():
        model.output_weights *= 200.0  # so that cells differ
        model.output_bias.fill_(61.9)
    model.save_pretrained(folder)
    return vocabulary(folder)


def compact(encoded: Any) -> dict[str, Any]:
    """An encoding as JSON holds it in few characters: one word of digits for each kind of type, None for NaN."""
    found = {name: [list(row) for row in encoded[name]] for name in encoded if name != "token_type_ids"}
    for name in ("numeric_values", "numeric_values_scale"):
        if name in found:
            found[name] = [[None if math.isnan(value) else value for value in row] for row in found[name]]
    found["attention_mask"] = [sum(row) for row in found["attention_mask"]]
    found["token_type_ids"] = [
        ["".join(map(str, kind)) for kind in zip(*row, strict=True)] for row in encoded["token_type_ids"]
    ]
    return found


def calls() -> list[tuple[Any, dict[str, Any]]]:
    """What a pipeline is asked, in the forms that there are: inputs and arguments."""
    made: list[tuple[Any, dict[str, Any]]] = []
    for number, (table, questions, _) in enumerate(cases(12)):
        one = {"table": table, "query": questions[0]}
        forms: list[tuple[Any, dict[str, Any]]] = [
            (one, {}),
            ([one, {"table": table, "query": "the most"}], {}),
            ({"table": table, "query": [*questions, "and then?"]}, {}),
            ({"table": table, "query": [*questions, "and then?", "before?"]}, {"sequential": True}),
        ]
        made.append(forms[number % len(forms)])
    return made
