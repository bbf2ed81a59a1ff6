"""table-question-answering, beside what the reference's pipeline answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from goldens import tables
from tokenization.test_tables import ROWS, TABLE, Frame

import formers
from formers import pipeline
from formers.errors import ArgumentError, HeadError, InputError


@pytest.fixture(scope="module", params=["aggregating", "selecting"])
def folder(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tables.checkpoint(tmp_path_factory.mktemp(request.param), formers, request.param == "aggregating")


@pytest.fixture(scope="module")
def oracle(folder: Path) -> Any:
    found = pipeline(model=folder)
    assert type(found) is formers.TableQuestionAnsweringPipeline
    return found


def test_answers_are_the_references(oracle: Any) -> None:
    which = "aggregating" if oracle.model.config.aggregation_labels else "selecting"
    golden = json.loads(tables.GOLDEN.read_text(encoding="utf-8"))[which]
    found = [oracle(inputs, **options) for inputs, options in tables.calls()]
    assert any(one["coordinates"] for one in found if isinstance(one, dict))
    assert json.loads(json.dumps(found)) == golden


def test_forms_of_questions(oracle: Any) -> None:
    one = oracle({"table": TABLE, "query": "Who?"})
    assert one["cells"] == [list(TABLE.values())[column][row] for row, column in one["coordinates"]]
    for table in (TABLE, ROWS, Frame(TABLE)):
        assert oracle(table, "Who?") == oracle(table=table, query="Who?") == oracle("Who?", table=table) == one
    two = oracle(TABLE, ["Who?", "How many?"])
    assert (
        two
        == oracle(table=TABLE, query=["Who?", "How many?"])
        == oracle({"table": TABLE, "query": ["Who?", "How many?"]})
    )
    assert two == oracle([{"table": TABLE, "query": "Who?"}, {"table": TABLE, "query": "How many?"}])
    assert two == list(oracle(iter(["Who?", "How many?"]), table=TABLE)) and two[0] == one
    assert oracle([{"table": TABLE, "query": "Who?"}]) == oracle(TABLE, ["Who?"]) == one
    own = pipeline("table-question-answering", oracle.model, tokenizer=oracle.tokenizer, table=TABLE)
    assert own("Who?") == one


def test_batches_give_what_single_questions_give(oracle: Any) -> None:
    items = [{"table": table, "query": questions} for table, questions, _ in tables.cases(12)]
    assert oracle(items) == oracle(items, batch_size=5) == [oracle(item) for item in items]


def test_each_answer_is_read_with_the_next_question(oracle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    compute = oracle.model.compute

    def spy(inputs: dict[str, Any]) -> Any:
        seen.append(inputs["token_type_ids"])
        return compute(inputs)

    monkeypatch.setattr(oracle.model, "compute", spy)
    table, questions = tables.cases()[0][0], ["who is older than 12", "Which of the first?", "the most"]
    found = oracle(table, questions, sequential=True)
    cells = [set(one["coordinates"]) for one in found]
    assert cells[0] and len(seen) == 3
    for types, before in zip(seen, [set(), *cells], strict=False):
        own = {(int(row) - 1, int(column) - 1) for _, column, row, label, *_ in types[0] if label}
        assert own == before


def test_a_long_table_loses_rows(oracle: Any) -> None:
    table = {name: ["a long story of a film"] * 250 for name in ("Film", "Book", "Play")}
    parts = oracle.preprocess_batch([{"table": table, "query": "Which film?"}], None)[0]["parts"]
    assert parts[0]["input_ids"].shape[1] <= 512 and parts[0]["token_type_ids"][..., 2].max() < 250
    assert oracle(table, "Which film?", max_length=100) and oracle(table, "Which film?")
    whole = oracle.preprocess_batch([{"table": table, "query": "Which film?"}], None, truncation=False)[0]["parts"]
    assert whole[0]["token_type_ids"][..., 2].max() == 250


def test_a_table_of_more_numbers_than_the_model_has_ranks_for(oracle: Any) -> None:
    table = {"Year": [str(number) for number in range(300)], "Film": ["a film"] * 300}
    with pytest.raises(InputError, match=r"The input: its table has 300 numbers in a column, .* at most 255 apart"):
        oracle(table, "Which year?")


def test_a_table_that_the_model_has_no_positions_for(data: Path, tmp_path: Path) -> None:
    tables.checkpoint(tmp_path, formers, False)
    config = formers.TapasConfig.from_pretrained(tmp_path, reset_position_index_per_cell=False)
    fixed = pipeline("table-question-answering", model=tmp_path, config=config)
    with pytest.raises(InputError, match=r"The input has \d+ tokens with its table, and this Tapas.* at most 64"):
        fixed({"a": ["good film"] * 60}, "Who?")
    assert fixed({"a": ["good film"] * 60}, "Who?", max_length=64)["answer"] is not None


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("Who?", r"inputs\[1\] is 'Who\?' \(str\); give \{\"table\""),
        ({"table": TABLE}, r"inputs\[1\] is \{'table'"),
        ({"table": {}, "query": "Who?"}, r"inputs\[1\]: its table is empty"),
        ({"table": {"a": []}, "query": "Who?"}, r"inputs\[1\]: its table is empty"),
        ({"table": None, "query": "Who?"}, r"inputs\[1\]: its table is None"),
        ({"table": {"a": [None]}, "query": "Who?"}, r"inputs\[1\]: its table, row 0, column 'a' is None"),
        ({"table": TABLE, "query": ""}, r"inputs\[1\]: its query is ''"),
        ({"table": TABLE, "query": []}, r"inputs\[1\]: its query is an empty list"),
    ],
)
def test_unusable_tables(oracle: Any, item: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        oracle([{"table": TABLE, "query": "Who?"}, item])


def test_calls_and_models_that_do_not_fit(oracle: Any, classifier_folder: Path) -> None:
    for args in ((), (Frame(TABLE),), (TABLE, "Who?", "What?")):
        with pytest.raises(ArgumentError, match="give"):
            oracle(*args)
    with pytest.raises(ArgumentError, match="no argument 'top_k'"):
        oracle(TABLE, "Who?", top_k=2)
    model = pipeline("text-classification", model=classifier_folder).model
    with pytest.raises(HeadError, match="AutoModelForTableQuestionAnswering loads one"):
        pipeline("table-question-answering", model=model, tokenizer=oracle.tokenizer)
    words = formers.BertTokenizer.from_pretrained(classifier_folder)
    with pytest.raises(ArgumentError, match="TapasTokenizer"):
        pipeline("table-question-answering", model=oracle.model, tokenizer=words)
