"""Reading and writing: what one library saves, the other loads to equal behaviour."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenization.classes import BertTokenizer, DistilBertTokenizer
from tokenization.record import HOSTILE, LONG, SENTENCE
from tokenizers import AddedToken, Tokenizer

from formers.tokenization import PreTrainedTokenizer, PreTrainedTokenizerFast

TEXTS = [SENTENCE, LONG, *HOSTILE, "Hello newtoken <a>NEWTOKEN<b> [MASK]"]


def test_ours_to_theirs(tokenizer: BertTokenizer, tmp_path: Path) -> None:
    import transformers

    tokenizer.add_tokens(["newtoken", AddedToken("<b>", rstrip=True)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<a>"], "bos_token": "[BOS]"})
    files = tokenizer.save_pretrained(tmp_path)
    names = ["tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "added_tokens.json", "tokenizer.json"]
    assert [Path(file).name for file in files] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for loaded in (
        transformers.AutoTokenizer.from_pretrained(tmp_path),
        transformers.BertTokenizer.from_pretrained(tmp_path),
        BertTokenizer.from_pretrained(tmp_path),
        PreTrainedTokenizer.from_pretrained(tmp_path),
    ):
        for text in TEXTS:
            assert dict(loaded(text)) == dict(tokenizer(text))
        assert set(loaded.all_special_tokens) == set(tokenizer.all_special_tokens)
        assert loaded.model_max_length == 512 and len(loaded) == len(tokenizer)


@pytest.mark.parametrize("name", ["uncased", "cased", "chinese"])
def test_theirs_to_ours(pairs: Any, folders: Any, tmp_path: Path, name: str) -> None:
    import transformers

    theirs = transformers.BertTokenizer.from_pretrained(folders[name], padding_side="left")
    theirs.add_tokens(["newtoken", AddedToken("<b>", lstrip=True, single_word=True)])
    theirs.add_special_tokens({"additional_special_tokens": ["<a>"]})
    theirs.save_pretrained(tmp_path)
    ours = BertTokenizer.from_pretrained(tmp_path)
    assert dict(ours(TEXTS, padding=True)) == dict(theirs(TEXTS, padding=True))
    assert ours.additional_special_tokens == ["<a>"] and ours.do_lower_case is (name != "cased")


def test_files_of_4_20(folders: Any, tmp_path: Path) -> None:
    vocab = (folders["cased"] / "vocab.txt").read_text(encoding="utf-8")
    mask = {"content": "[MASK]", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
    config = {
        "do_lower_case": False,
        "mask_token": {"__type": "AddedToken", **mask},
        "name_or_path": "somewhere",
        "special_tokens_map_file": "/cache/map.json",
        "tokenizer_class": "BertTokenizer",
        "never_split": None,
        "do_basic_tokenize": True,
    }
    (tmp_path / "vocab.txt").write_text(vocab, encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"mask_token": mask, "pad_token": "[PAD]", "additional_special_tokens": ["<a>"]})
    )
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<a>": 28997, "newtoken": 28996}))
    ours = BertTokenizer.from_pretrained(tmp_path)
    assert [token.strip() for token in ours.tokenize("Hello newtoken<a>  [MASK]")] == [
        "Hello",
        "newtoken",
        "<a>",
        "[MASK]",
    ]
    assert ours("newtoken <a>")["input_ids"] == [101, 28996, 28997, 102]
    assert ours.get_added_vocab() == {"newtoken": 28996, "<a>": 28997}
    assert ours.name_or_path == str(tmp_path)
    assert "special_tokens_map_file" not in ours.init_kwargs


def test_special_tokens_of_4_20_are_not_normalized(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text((tiny / "vocab.txt").read_text())
    (tmp_path / "added_tokens.json").write_text(json.dumps({"[E1]": 14, "<m>": 15, "New York": 16}))
    mask = {"content": "<m>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"additional_special_tokens": ["[E1]"], "mask_token": mask})
    )
    ours = BertTokenizer.from_pretrained(tmp_path)
    assert ours("a [E1]  <m> new york")["input_ids"] == [2, 5, 14, 15, 16, 3]
    assert 14 not in ours("a [e1]")["input_ids"] and ours.mask_token_id == 15
    assert ours.decode([5, 14, 16], skip_special_tokens=True) == "a New York"
    ours.save_pretrained(tmp_path / "again")
    again = BertTokenizer.from_pretrained(tmp_path / "again")
    assert again.added_tokens_decoder == ours.added_tokens_decoder


def test_added_tokens_keep_their_spelling(tiny: Path) -> None:
    ours = BertTokenizer.from_pretrained(tiny)
    ours.add_tokens(["[Foo]", "Bär"])
    ids = ours("a [foo] bar")["input_ids"]
    assert ids == [2, 5, 14, 15, 3] and ours.decode(ids) == "[CLS] a [Foo] Bär [SEP]"
    assert ours.decode(ids, skip_special_tokens=True) == "a [Foo] Bär" and ours.decode(15) == "Bär"
    assert ours.convert_ids_to_tokens(ids)[2:4] == ["[Foo]", "Bär"] and ours.convert_ids_to_tokens(14) == "[Foo]"
    ours.add_tokens([AddedToken("Bär", normalized=True)], special_tokens=True)
    assert ours.decode(ids, skip_special_tokens=True) == "a [Foo]"


def test_ways_to_construct(folders: Any, pairs: Any, tmp_path: Path) -> None:
    folder = folders["uncased"]
    file = str(folder / "vocab.txt")
    expected = pairs["uncased"].ours(SENTENCE)
    pairs["uncased"].ours.save_pretrained(tmp_path)
    as_json = str(tmp_path / "tokenizer.json")
    made = [
        BertTokenizer(file),
        BertTokenizer(vocab_file=file, do_lower_case=True),
        BertTokenizer(vocab=pairs["uncased"].ours.get_vocab()),
        BertTokenizer(vocab=file),
        BertTokenizer(tokenizer_file=as_json),
        BertTokenizer(tokenizer_object=Tokenizer.from_file(as_json)),
        BertTokenizer.from_pretrained(file),
        BertTokenizer.from_pretrained(as_json),
        PreTrainedTokenizerFast(tokenizer_file=as_json),
        PreTrainedTokenizerFast.from_pretrained(as_json),
    ]
    for one in made:
        assert one(SENTENCE).data == expected.data
    cased = BertTokenizer.from_pretrained(tmp_path, do_lower_case=False, model_max_length=7, pad_token="[unused0]")
    assert cased.tokenize("Café a") == BertTokenizer(file, do_lower_case=False).tokenize("Café a")
    assert cased.model_max_length == 7 and cased.pad_token_id == 1 and not cased.do_lower_case


def test_a_given_tokenizer_is_copied(tiny: Path) -> None:
    backend = BertTokenizer.from_pretrained(tiny).backend_tokenizer
    backend.enable_truncation(3)
    made = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    assert len(made("a a a a")["input_ids"]) == 6
    made.add_tokens(["x"])
    assert backend.token_to_id("x") is None


@pytest.mark.parametrize(
    "options",
    [
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
        {"do_basic_tokenize": False},
        {"never_split": ["don't", "(naïve)"]},
    ],
)
def test_options_survive(folders: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    made = BertTokenizer.from_pretrained(folders["uncased"], **options)
    made.save_pretrained(tmp_path)
    again = BertTokenizer.from_pretrained(tmp_path)
    for name, value in options.items():
        assert getattr(again, name) == value
    for text in (*TEXTS, "don't (naïve) Café 你好"):
        assert again(text) == made(text)
    back = BertTokenizer.from_pretrained(tmp_path, do_basic_tokenize=True, never_split=None)
    assert "##t" not in back.tokenize("don't")


def test_saving_again_leaves_nothing_old(tokenizer: BertTokenizer, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("weights")
    plain = BertTokenizer(tokenizer.get_vocab())
    tokenizer.add_tokens(["newtoken"])
    tokenizer.save_pretrained(tmp_path)
    plain.save_pretrained(tmp_path)
    assert not (tmp_path / "added_tokens.json").exists() and (tmp_path / "model.safetensors").exists()
    assert len(BertTokenizer.from_pretrained(tmp_path)) == len(plain)


def test_parts_of_a_save(tokenizer: BertTokenizer, tmp_path: Path) -> None:
    def names(*args: Any, **options: Any) -> list[str]:
        return [Path(file).name for file in tokenizer.save_pretrained(tmp_path, *args, **options)]

    common = ["tokenizer_config.json", "special_tokens_map.json"]
    assert names(legacy_format=True) == [*common, "vocab.txt"]
    assert names(legacy_format=False) == [*common, "tokenizer.json"]
    assert names(filename_prefix="my") == [f"my-{name}" for name in (*common, "vocab.txt", "tokenizer.json")]
    assert tokenizer.save_vocabulary(str(tmp_path), "other") == (str(tmp_path / "other-vocab.txt"),)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "BertTokenizer"
    DistilBertTokenizer(tokenizer.get_vocab()).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "DistilBertTokenizer"


def test_vocab_txt_is_the_same(folders: Any, tokenizer: BertTokenizer, tmp_path: Path) -> None:
    tokenizer.add_tokens(["newtoken"])
    tokenizer.save_pretrained(tmp_path)
    assert (tmp_path / "vocab.txt").read_bytes() == (folders["uncased"] / "vocab.txt").read_bytes()


def test_training(tokenizer: BertTokenizer, sentences: list[str], tmp_path: Path) -> None:
    batches = (sentences[at : at + 100] for at in range(0, 800, 100))
    made = tokenizer.train_new_from_iterator(
        batches, 400, new_special_tokens=["<n>"], special_tokens_map={"[CLS]": "<s>"}, show_progress=False
    )
    assert type(made) is BertTokenizer and len(made) == 400 and len(tokenizer) == 30522
    assert made.cls_token == "<s>" and made.additional_special_tokens == ["<n>"]
    tokens = made("The film <n>").tokens()
    assert tokens[0] == "<s>" and tokens[-2:] == ["<n>", "[SEP]"]
    made.save_pretrained(tmp_path)
    assert BertTokenizer.from_pretrained(tmp_path)(SENTENCE) == made(SENTENCE)
    with pytest.raises(TypeError, match="Did you mean 'min_frequency'"):
        tokenizer.train_new_from_iterator(["a"], 100, min_frequncy=2)


def test_importing_loads_no_torch() -> None:
    code = "import sys, formers.tokenization; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": "src"})
    assert done.stdout.split() == ["False", "False"], done.stderr
