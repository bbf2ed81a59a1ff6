"""TAPAS' tokenizer beside what the reference's made of the same tables, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from goldens import tables

from formers import AutoTokenizer, TapasTokenizer
from formers.errors import ArgumentError, InputError
from formers.tokenization.tables import column_values, ranks, relations, values_in

TABLE = {"Name": ["Ann", "Bob Lee", "n/a"], "Films": ["87", "53", "69"]}
ROWS = [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]


class Frame:
    """What is read of a DataFrame."""

    def __init__(self, table: dict[str, list[Any]]) -> None:
        self.columns, self._rows = list(table), list(zip(*table.values(), strict=True))

    def itertuples(self, index: bool, name: None) -> Any:
        assert not index
        return iter(self._rows)


@pytest.fixture(scope="module")
def tokenizer(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = AutoTokenizer.from_pretrained(tables.vocabulary(tmp_path_factory.mktemp("tapas")))
    assert type(found) is TapasTokenizer
    return found


def test_tokens_are_the_references(tokenizer: Any) -> None:
    golden = json.loads(tables.GOLDEN.read_text(encoding="utf-8"))["tokens"]
    for (table, questions, options), expected in zip(tables.cases(), golden, strict=True):
        found = json.loads(json.dumps(tables.compact(tokenizer(table, questions, **options))))
        assert found.keys() == expected.keys()
        for name in expected:
            assert found[name] == expected[name], (name, table, questions, options)


def test_forms_of_a_table(tokenizer: Any) -> None:
    expected = tokenizer(TABLE, "Who made 53 films?")
    numbers = {**TABLE, "Films": [87, np.int64(53), 69]}
    for form in (ROWS, Frame(TABLE), numbers, {name: np.array(cells) for name, cells in TABLE.items()}):
        assert tokenizer(form, "Who made 53 films?") == expected
    pandas = pytest.importorskip("pandas")
    assert tokenizer(pandas.DataFrame(TABLE), "Who made 53 films?") == expected


def test_forms_of_a_call(tokenizer: Any) -> None:
    one, several = tokenizer(TABLE, "who?"), tokenizer(TABLE, ["who?", "how many films?"])
    assert several["input_ids"][0] == one["input_ids"] == tokenizer.encode(TABLE, "who?")
    assert tokenizer.encode_plus(TABLE, query="who?") == one
    assert tokenizer.batch_encode_plus(TABLE, ["who?", "how many films?"]) == several
    assert tokenizer("who?")["input_ids"] == [101, 2040, 1029, 102]  # a question without a table
    padded = tokenizer(table=TABLE, queries=["who?", "how many films?"], padding="max_length", return_tensors="pt")
    assert padded["input_ids"].shape == (2, 512) and padded["token_type_ids"].shape == (2, 512, 7)
    assert padded["attention_mask"].sum(1).tolist() == [len(row) for row in several["input_ids"]]
    left = tokenizer(TABLE, ["who?", "how many films?"], padding=True, padding_side="left")
    assert left["token_type_ids"][0][:2] == [[0] * 7] * 2 and left["input_ids"][0][2:] == one["input_ids"]
    parts = [{name: several[name][n] for name in several} for n in range(2)]
    assert tokenizer.pad(parts) == tokenizer(TABLE, ["who?", "how many films?"], padding=True)
    bare = tokenizer(TABLE, "who?", add_special_tokens=False, return_special_tokens_mask=True, return_length=True)
    assert bare["length"] == len(bare["token_type_ids"]) == len(one["input_ids"]) - 2
    assert not any(bare["special_tokens_mask"]) and bare["token_type_ids"][2:] == one["token_type_ids"][4:]


def test_answers_are_labels_and_those_before(tokenizer: Any) -> None:
    found = tokenizer(TABLE, ["who?", "and then?"], answer_coordinates=[[(1, 0)], [(2, 1)]], answer_text=[["x"], ["y"]])
    of_first, of_second = (
        {tuple(t[1:3]) for t, label in zip(types, labels, strict=True) if label}
        for types, labels in zip(found["token_type_ids"], found["labels"], strict=True)
    )
    assert (of_first, of_second) == ({(1, 2)}, {(2, 3)})
    before = [{tuple(t[1:3]) for t in types if t[3]} for types in found["token_type_ids"]]
    assert before == [set(), {(1, 2)}]
    numbers = [value for value in found["numeric_values"][0] if not math.isnan(value)]
    assert numbers == [87.0, 53.0, 69.0] and max(found["numeric_values_scale"][0]) == 2.0  # Bob Lee


def test_saved_and_loaded(tokenizer: Any, tmp_path: Path) -> None:
    own = TapasTokenizer.from_pretrained(tokenizer.name_or_path, cell_trim_length=1, max_row_id=3, model_max_length=64)
    own.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is TapasTokenizer and (again.cell_trim_length, again.max_row_id) == (1, 3)
    assert again(TABLE, "who?", truncation=True) == own(TABLE, "who?", truncation=True)
    assert again(TABLE, "who?", truncation=True) != tokenizer(TABLE, "who?", truncation=True)
    values = json.loads((tmp_path / "tokenizer_config.json").read_text())
    values["extra_special_tokens"] = values.pop("additional_special_tokens")  # as Transformers 5 writes it
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(values))
    assert AutoTokenizer.from_pretrained(tmp_path).additional_special_tokens == ["[EMPTY]"]


def test_questions_of_other_lengths_are_skipped(tokenizer: Any) -> None:
    own = TapasTokenizer.from_pretrained(tokenizer.name_or_path, max_question_length=3)
    assert own(TABLE, "how many films since?")["input_ids"][:3] == [101, 102, 2171]
    assert own(TABLE, "who?") == tokenizer(TABLE, "who?")


def test_cells_of_logits(tokenizer: Any) -> None:
    encoded = tokenizer(TABLE, ["who?", "how many?"], padding=True, return_tensors="pt")
    types = encoded["token_type_ids"]
    logits = torch.where((types[..., 1] == 1) & (types[..., 2] >= 2), 3.0, -3.0)
    logits[0, (types[0, :, 1:3] == torch.tensor([1, 2])).all(-1).nonzero()[0]] = -9.0  # one of its two tokens
    assert tokenizer.convert_logits_to_predictions(encoded, logits) == ([[(2, 0)], [(1, 0), (2, 0)]],)
    found = tokenizer.convert_logits_to_predictions(encoded, logits, torch.eye(2), cell_classification_threshold=0.4)
    assert found == ([[(1, 0), (2, 0)]] * 2, [0, 1])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"a": ["1"], "b": ["1", "2"]}, "column 'a' has 1 cells and column 'b' 2"),
        ({"a": "12"}, "column 'a' is '12'; a list"),
        ([{"a": "1", "b": "2"}, {"a": "1"}], r"table\[1\] has no 'b'"),
        ({"a": ["1", None]}, "row 1, column 'a' is None"),
        ({("a",): ["1"]}, "a column's name is"),
        (5, r"table is 5 \(int\); a table is a dictionary"),
        ({"a": ["x"] * 600}, "600 rows and 1 columns, and fewer than 512"),
    ],
)
def test_tables_that_cannot_be_read(tokenizer: Any, table: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer(table, "who?")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"queries": 5}, InputError, "queries is 5"),
        ({"max_length": 8}, InputError, "have 13 tokens, with 3 of 3 rows, and max_length=8"),
        ({"max_length": 4, "truncation": True}, InputError, "with 0 of 3 rows, and max_length=4"),
        ({"truncation": "longest_first"}, ArgumentError, "drop_rows_to_fit"),
        ({"answer_coordinates": [(3, 0)]}, InputError, r"cell \(3, 0\) \(row, column\), which is not among"),
        ({"answer_text": ["x"]}, InputError, "give answer_coordinates"),
        ({"queries": ["a", "b"], "answer_coordinates": [[(0, 0)]]}, InputError, "2 questions and .* of 1"),
        ({"stride": 3}, ArgumentError, "has no argument 'stride'"),
    ],
)
def test_calls_that_cannot_be_read(tokenizer: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tokenizer(TABLE, **{"queries": "who?", **options})


def test_ids_alone_are_no_table(tokenizer: Any) -> None:
    assert tokenizer.build_inputs_with_special_tokens([7], [8, 9]) == [101, 7, 102, 8, 9]
    for method in (tokenizer.prepare_for_model, tokenizer.create_token_type_ids_from_sequences):
        with pytest.raises(ArgumentError, match="call the TapasTokenizer"):
            method([7], [8, 9])


def test_numbers_and_dates() -> None:
    assert values_in("between 3 june 1999 and 2,345 or twelve") == [(1999, 6, 3), 2345.0, 12.0]
    assert values_in("2012") == [2012.0, (2012, None, None)]
    found = column_values(["May 2010", "2011", "n/a", "3 March 2012"])
    assert found == {0: (2010, 5, None), 1: (2011, None, None), 3: (2012, 3, 3)}
    assert column_values(["1", "2", "a", "b"]) == {}
    assert ranks({0: 5.0, 1: 7.0, 3: 5.0}) == {0: (1, 2), 1: (2, 1), 3: (1, 2)}
    assert relations([6.0, 5.0], {0: 5.0, 1: 7.0}) == {0: 5, 1: 2}
    assert relations([(2010, None, None)], {0: 5.0}) == {}


def test_long_cells_are_read_in_no_time(tokenizer: Any) -> None:
    words = " ".join(f"{number} may" for number in range(20_000))
    assert len(values_in(words)) > 10_000
    assert len(tokenizer({"a": [words]}, "who?", truncation=True)["input_ids"]) <= 512
