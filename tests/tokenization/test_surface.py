"""BatchEncoding, special tokens, padding and the plain Python steps, as code written for Transformers uses them."""

from __future__ import annotations

import pickle
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenization.classes import BertTokenizer
from tokenization.record import LONG, SENTENCE

from formers.errors import InputError
from formers.tokenization import AddedToken, BasicTokenizer, BatchEncoding, WordpieceTokenizer


@pytest.fixture(scope="module")
def ours(tiny: Path) -> BertTokenizer:
    return BertTokenizer.from_pretrained(tiny)


def test_batch_encoding_is_a_dictionary(ours: BertTokenizer) -> None:
    batch = ours(["a b", "hello"], padding=True)
    assert repr(batch) == repr(batch.data) and str(batch) == str(dict(batch.items()))
    assert list(batch) == ["input_ids", "token_type_ids", "attention_mask"] and len(batch) == 3
    assert batch.input_ids == batch["input_ids"] == [[2, 5, 6, 3], [2, 8, 3, 0]]
    assert batch[:1]["input_ids"] == [[2, 5, 6, 3]]
    assert batch[1].tokens == ["[CLS]", "hello", "[SEP]", "[PAD]"] and batch.is_fast and batch.n_sequences == 1
    assert (lambda **columns: set(columns))(**batch) == set(batch)
    assert batch.pop("token_type_ids") and "token_type_ids" not in batch
    with pytest.raises(AttributeError, match="Did you mean 'input_ids'"):
        _ = batch.input_id
    with pytest.raises(KeyError):
        batch["labels"]
    with pytest.raises(InputError, match="no row 2"):
        batch.tokens(2)


def test_negative_indices(ours: BertTokenizer) -> None:
    batch = ours(["a b", "hello"], padding=True)
    assert batch.token_to_word(0, -2) == 1 and batch.token_to_chars(-1, 1) == (0, 5)
    assert batch.word_to_tokens(0, -1) == (2, 3) and batch.word_to_chars(0, -2) == (0, 1)


def test_tensors_move_and_keep_their_type(ours: BertTokenizer, caplog: pytest.LogCaptureFixture) -> None:
    batch = ours("a b", return_tensors="pt")
    assert batch.to("cpu") is batch and batch.to(torch.device("cpu")) is batch
    assert batch.to(torch.float16)["input_ids"].dtype == torch.int64 and "ignored" in caplog.text
    assert ours("a b").to("cpu")["input_ids"] == [2, 5, 6, 3]
    again = pickle.loads(pickle.dumps(batch))
    assert torch.equal(again["input_ids"], batch["input_ids"]) and again.tokens() == batch.tokens()


def test_converting_later(ours: BertTokenizer) -> None:
    made = BatchEncoding({"input_ids": [1, 2], "score": 0.5}, tensor_type="pt", prepend_batch_axis=True)
    assert made["input_ids"].shape == (1, 2) and made["score"].dtype == torch.float32
    assert isinstance(ours("a").convert_to_tensors("np")["input_ids"], np.ndarray)
    assert ours("a", return_tensors="np")["input_ids"].dtype == np.int64
    with pytest.raises(InputError, match="ids only"):
        made.tokens()


def test_special_tokens(tiny: Path) -> None:
    ours = BertTokenizer.from_pretrained(tiny)
    assert ours.eos_token is None and ours.eos_token_id is None
    assert ours.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert ours.all_special_ids == [1, 3, 0, 2, 4]
    ours.eos_token = "[SEP]"
    assert ours.eos_token_id == 3
    ours.bos_token_id = 2
    assert ours.bos_token == "[CLS]" and ours.special_tokens_map["bos_token"] == "[CLS]"
    assert ours.add_special_tokens({"mask_token": AddedToken("<m>", lstrip=True), "additional_special_tokens": ["<a>"]})
    assert ours("a  <m><a>")["input_ids"] == [2, 5, 14, 15, 3] and ours.mask_token_id == 14
    assert ours.additional_special_tokens_ids == ours.convert_tokens_to_ids(["<a>"]) == [15]
    assert ours.decode(ours("a <m>")["input_ids"], skip_special_tokens=True) == "a"
    ours.add_special_tokens({"additional_special_tokens": ["<b>"]}, replace_additional_special_tokens=False)
    assert ours.additional_special_tokens == ["<a>", "<b>"]
    named = BertTokenizer.from_pretrained(tiny, extra_special_tokens={"image_token": "<image>"})
    assert named.image_token == "<image>" and named.image_token_id == 14


def test_vocabulary(tiny: Path) -> None:
    ours = BertTokenizer.from_pretrained(tiny)
    assert ours.vocab_size == len(ours) == 14 and ours.vocab["hello"] == 8 and ours.is_fast
    assert ours.add_tokens(["hello", "new", "new"]) == 1
    assert ours.tokenize("hellohello newhello") == ["[UNK]", "new", "hello"]
    assert ours.get_added_vocab() == {"new": 14} and ours.added_tokens_encoder["[PAD]"] == 0
    assert ours.added_tokens_decoder[14].content == "new"
    assert ours.num_special_tokens_to_add() == 2 and ours.num_special_tokens_to_add(pair=True) == 3
    assert BertTokenizer.from_pretrained(tiny, max_len=10).max_len_sentences_pair == 7
    assert repr(ours).startswith("PreTrainedTokenizerFast(name_or_path=")


def test_padding_for_a_collator(ours: BertTokenizer) -> None:
    rows = [{"input_ids": torch.tensor([1, 2]), "label": 1}, {"input_ids": torch.tensor([1]), "label": 0}]
    made = ours.pad(rows)
    assert made["input_ids"].tolist() == [[1, 2], [1, 0]] and made["label"].tolist() == [1, 0]
    left = ours.pad(ours(["a b", "a"]), padding_side="left", pad_to_multiple_of=5, return_tensors="np")
    assert left["attention_mask"].tolist() == [[0, 1, 1, 1, 1], [0, 0, 1, 1, 1]]
    assert ours.pad([ours("a"), ours("a b")], padding="max_length", max_length=5)["input_ids"] == [
        [2, 5, 3, 0, 0],
        [2, 5, 6, 3, 0],
    ]


def test_older_forms(ours: BertTokenizer) -> None:
    with ours.as_target_tokenizer():
        assert ours.encode_plus("a", "b")["input_ids"] == [2, 5, 3, 6, 3]
    assert ours.batch_encode_plus(["a", "b"], pad_to_max_length=True, max_length=4)["input_ids"][0] == [2, 5, 3, 0]
    assert (
        ours.encode("a", return_tensors="pt").tolist() == ours.encode([5], return_tensors="pt").tolist() == [[2, 5, 3]]
    )
    assert ours.decode(torch.tensor([2, 8, 10, 11])) == "[CLS] hello'm"
    assert ours.decode(np.array([12, 10, 11])) == "i'm" and ours.decode(8) == "hello"
    assert ours.batch_decode(torch.tensor([[8, 13], [9, 13]])) == ["hello.", "world."]
    assert ours.decode([[8], [9]]) == ["hello", "world"]
    kept = BertTokenizer({"[UNK]": 0, "i": 1, "'": 2, "m": 3}, clean_up_tokenization_spaces=False)
    assert kept.decode([1, 2, 3]) == "i ' m"


@pytest.mark.parametrize("name", ["uncased", "cased"])
def test_plain_python_steps(pairs: Any, name: str) -> None:
    ours = pairs[name].ours
    basic = BasicTokenizer(do_lower_case=ours.do_lower_case)
    pieces = WordpieceTokenizer(ours.vocab, unk_token="[UNK]")
    for text in (SENTENCE, LONG, "你好 world", "e\u0301 ÀÉ $5 a_b", "x" * 101, "", " \t"):
        assert [piece for word in basic.tokenize(text) for piece in pieces.tokenize(word)] == ours.tokenize(text)
    assert BasicTokenizer(never_split=["Don't"]).tokenize("Don't DON'T") == ["Don't", "don", "'", "t"]
    assert BasicTokenizer(do_lower_case=False, strip_accents=True).tokenize("Café") == ["Cafe"]
    assert BasicTokenizer(tokenize_chinese_chars=False).tokenize("你好") == ["你好"]


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"]), max_size=30))
def test_plain_python_words_hold_the_text(text: str) -> None:
    words = BasicTokenizer(do_lower_case=False).tokenize(text)
    left = [c for c in text if not c.isspace() and c != "\ufffd" and not unicodedata.category(c).startswith("C")]
    assert "".join(words) == "".join(c for c in left if c not in "\u2028\u2029")


def test_attributes_of_tokenizers_in_python(pairs: Any) -> None:
    ours = pairs["uncased"].ours
    assert ours.ids_to_tokens[101] == "[CLS]" and list(ours.ids_to_tokens)[:3] == [0, 1, 2]
    assert ours._tokenize("Unaffable [MASK]!") == ["una", "##ffa", "##ble", "[MASK]", "!"]
    words = ours.basic_tokenizer.tokenize("Héllo, [MASK] !")
    assert words == ["hello", ",", "[MASK]", "!"] and ours.basic_tokenizer.do_lower_case
    assert ours.wordpiece_tokenizer.tokenize("unaffable") == ["una", "##ffa", "##ble"]
    assert ours.wordpiece_tokenizer is ours.wordpiece_tokenizer
    assert not pairs["cased"].ours.basic_tokenizer.do_lower_case


def test_what_a_tokenizer_was_made_with(tiny: Path, tmp_path: Path) -> None:
    ours = BertTokenizer.from_pretrained(tiny, model_max_length=7, mine=1, bos_token="[CLS]")
    known = {"model_max_length": 7, "mine": 1, "bos_token": "[CLS]", "do_lower_case": True, "unk_token": "[UNK]"}
    assert ours.init_kwargs.items() >= known.items() and ours.init_kwargs["vocab_file"] == str(tiny / "vocab.txt")
    assert ours.init_kwargs["name_or_path"] == str(tiny)
    ours.bos_token = None
    ours.save_pretrained(tmp_path)
    written = (tmp_path / "tokenizer_config.json").read_text()
    assert '"mine": 1' in written and "vocab_file" not in written and str(tiny) not in written
    assert "bos_token" not in written
    assert ours.train_new_from_iterator(["a b"], 20, show_progress=False).init_kwargs["mine"] == 1


def test_no_additional_special_tokens(tiny: Path, tmp_path: Path) -> None:
    ours = BertTokenizer.from_pretrained(tiny, additional_special_tokens=["<a>"])
    ours.additional_special_tokens = None
    assert ours.additional_special_tokens is None and ours.additional_special_tokens_ids is None
    assert ours.extra_special_tokens == [] and "<a>" not in ours.all_special_tokens
    ours.save_pretrained(tmp_path)
    assert BertTokenizer.from_pretrained(tmp_path).additional_special_tokens == []
    ours.add_special_tokens({"additional_special_tokens": ["<b>"]})
    assert ours.additional_special_tokens == ["<b>"]
