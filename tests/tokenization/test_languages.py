"""Tokenizers of encoders with decoders: languages around texts, targets, ids of a vocab.json."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from tokenization.test_recipes import TEXTS, trained

import formers
from formers.errors import ArgumentError, TokenizerError

sentencepiece = pytest.importorskip("sentencepiece")
OLD = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}


def processor(path: Path) -> Any:
    made = sentencepiece.SentencePieceProcessor()
    made.Load(str(path))
    return made


def made(tmp_path: Path, name: str, file: str, kind: str = "unigram", options: Any = None, **keys: Any) -> Any:
    spiece = trained(tmp_path, kind, **(options or {}))
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / file).write_bytes(spiece.read_bytes())
    return getattr(formers, name).from_pretrained(folder, **keys), processor(spiece)


def test_t5(tmp_path: Path) -> None:
    ours, theirs = made(tmp_path, "T5Tokenizer", "spiece.model", options=OLD)
    size = theirs.GetPieceSize()
    for text in ("a strange film", "it 's  charming , and É 日本 .", " ", ""):
        assert ours(text)["input_ids"] == [*theirs.encode(text), 1]
    assert len(ours) == size + 100
    assert ours.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_99>"]) == [size + 99, size]
    assert ours("a <extra_id_0> b")["input_ids"] == [*theirs.encode("a"), size + 99, *theirs.encode("b"), 1]
    assert ours("a", "b")["input_ids"] == [*theirs.encode("a"), 1, *theirs.encode("b"), 1]
    assert sorted(ours.get_sentinel_token_ids()) == list(range(size, size + 100))
    assert len(formers.T5Tokenizer(tmp_path / "made.model", extra_ids=3)) == size + 3
    ours.save_pretrained(tmp_path / "saved")
    assert formers.AutoTokenizer.from_pretrained(tmp_path / "saved")("<extra_id_5> a") == ours("<extra_id_5> a")


def test_characters_that_are_no_pieces_come_back(tmp_path: Path) -> None:
    """mT5's file has a piece for each byte."""
    ours, theirs = made(tmp_path, "T5Tokenizer", "spiece.model", options={**OLD, "byte_fallback": True})
    for text in ("a strange \U0001f1e9\U0001f1ea film \u2060 of", "\U0001f1e9a"):
        ids = theirs.encode(text)
        assert ours(text)["input_ids"] == [*ids, 1] and theirs.unk_id() not in ids
        assert ours.decode(ids) == theirs.decode(ids) == text
        assert ours.convert_tokens_to_string(ours.tokenize(text)) == text
    ours.save_pretrained(tmp_path / "saved")
    again = formers.T5Tokenizer(tokenizer_file=tmp_path / "saved" / "tokenizer.json")
    assert again.decode(ids) == text


# what is around the pieces of a text, and of a target
FRAMES = {
    "MBartTokenizer": ("en_XX", "ro_RO", lambda ids, end, code: [*ids, end, code]),
    "MBart50Tokenizer": ("en_XX", "uk_UA", lambda ids, end, code: [code, *ids, end]),
    "NllbTokenizer": ("eng_Latn", "fra_Latn", lambda ids, end, code: [code, *ids, end]),
}


@pytest.mark.parametrize("name", FRAMES)
def test_languages(name: str, tmp_path: Path) -> None:
    source, target, around = FRAMES[name]
    kind = "bpe" if name == "NllbTokenizer" else "unigram"
    ours, theirs = made(tmp_path, name, "sentencepiece.bpe.model", kind, tgt_lang=target)
    size, codes = theirs.GetPieceSize(), ours.CODES
    assert ours.src_lang == source
    assert ours.lang_code_to_id == {code: size + 1 + i for i, code in enumerate(codes)}
    assert ours.id_to_lang_code[size + 1] == codes[0]
    assert ours.mask_token_id == size + 1 + len(codes)
    ids = [3 if i == 0 else i + 1 for i in theirs.encode("a strange film")]
    found = ours("a strange film", text_target="a strange film")
    assert found["input_ids"] == around(ids, 2, ours.lang_code_to_id[source])
    assert found["labels"] == around(ids, 2, ours.lang_code_to_id[target])
    assert ours("a strange film")["input_ids"] == found["input_ids"]  # the call has changed nothing
    with ours.as_target_tokenizer():
        assert ours("a strange film")["input_ids"] == found["labels"]
    assert (
        pickle.loads(pickle.dumps(ours))("a strange film", text_target="a")["labels"][-1]
        == ours(text_target="a")["input_ids"][-1]
    )
    texts, written = ["a strange film", "a film"], ["films", "a strange strange film"]
    batch = ours.prepare_seq2seq_batch(texts, written, max_length=6, max_target_length=4, return_tensors="pt")
    expected = ours(texts, max_length=6, padding=True, truncation=True, return_tensors="pt")
    assert {name: batch[name].tolist() for name in expected} == {name: x.tolist() for name, x in expected.items()}
    assert (
        batch["labels"].tolist() == ours(text_target=written, max_length=4, padding=True, truncation=True)["input_ids"]
    )
    assert "labels" not in ours.prepare_seq2seq_batch(texts)
    again = ours.prepare_seq2seq_batch(texts, src_lang=target, tgt_texts=written, tgt_lang=source)
    assert (ours.src_lang, ours.tgt_lang) == (target, source)
    assert again["labels"] == ours(text_target=written, padding=True)["input_ids"] != ours(written)["input_ids"]
    ours.tgt_lang = target
    assert ours("a strange film")["input_ids"] == found["labels"]
    with pytest.raises(ArgumentError, match="'klingon' is no language"):
        ours.src_lang = "klingon"
    assert ours.src_lang == target
    ours.save_pretrained(tmp_path / "saved")
    again = formers.AutoTokenizer.from_pretrained(tmp_path / "saved", src_lang=source)
    assert again("a strange film", text_target="a strange film") == found
    inputs = again._build_translation_inputs("a", src_lang=source, tgt_lang=target)
    assert inputs["forced_bos_token_id"] == ours.lang_code_to_id[target]


def test_a_piece_is_no_language(tmp_path: Path) -> None:
    """NLLB's vocabulary has the pieces "en" and "fr"; a token that was added is a language."""
    ours, theirs = made(tmp_path, "NllbTokenizer", "sentencepiece.bpe.model", "bpe")
    piece = next(p for p in map(theirs.IdToPiece, range(3, theirs.GetPieceSize())) if p.isalpha() and len(p) == 2)
    assert ours.convert_tokens_to_ids(piece) != ours.unk_token_id
    for language in (piece, "", None, 5, "</s>x"):
        with pytest.raises(ArgumentError, match="is no language of this tokenizer"):
            ours.src_lang = language
    with pytest.raises(ArgumentError, match=r"'fr' is no language of this tokenizer\. Did you mean 'fra_Latn'"):
        formers.NllbTokenizer.from_pretrained(tmp_path / "made", src_lang="fr")
    ours.add_special_tokens({"additional_special_tokens": ["tyv_Cyrl"]}, replace_additional_special_tokens=False)
    ours.src_lang = "tyv_Cyrl"
    assert ours("a")["input_ids"][0] == ours.convert_tokens_to_ids("tyv_Cyrl")


def test_led_fills_up_its_own_mask(tmp_path: Path) -> None:
    letters = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "<mask>": 5}
    tokenizer = formers.LEDTokenizer(vocab=letters, merges=[])
    rows = [{"input_ids": ids, "global_attention_mask": [1] + [0] * (len(ids) - 1)} for ids in ([0, 4, 4, 2], [0, 2])]
    padded = tokenizer.pad(rows, return_tensors="pt")
    assert padded["global_attention_mask"].tolist() == [[1, 0, 0, 0], [1, 0, -1, -1]]
    left = tokenizer.pad(rows, padding="max_length", max_length=5, padding_side="left")
    assert left["global_attention_mask"] == [[-1, 1, 0, 0, 0], [-1, -1, -1, 1, 0]]
    model = formers.LEDModel(formers.LEDConfig(**formers.models.led.TINY)).eval()
    chosen = padded["global_attention_mask"]
    inputs = {k: v for k, v in padded.items() if k != "global_attention_mask"} | {"decoder_input_ids": padded.input_ids}
    found, expected = (model(**inputs, global_attention_mask=m)[0] for m in (chosen, chosen.clamp(min=0)))
    assert found.equal(expected)


def test_mbart_50_has_no_first_token(tmp_path: Path) -> None:
    ours, _ = made(tmp_path, "MBart50Tokenizer", "sentencepiece.bpe.model")
    assert ours.bos_token_id is None and ours.cls_token_id == 0 and ours.convert_ids_to_tokens(0) == "<s>"


def test_nllb_as_it_was(tmp_path: Path) -> None:
    ours, _ = made(tmp_path, "NllbTokenizer", "sentencepiece.bpe.model", "bpe", legacy_behaviour=True)
    assert ours("a")["input_ids"][-2:] == [2, ours.lang_code_to_id["eng_Latn"]]
    assert formers.NllbTokenizer.FIRST  # one object's own


def test_pegasus(tmp_path: Path) -> None:
    ours, theirs = made(tmp_path, "PegasusTokenizer", "spiece.model", options=OLD)
    assert ours.convert_tokens_to_ids(["<pad>", "</s>", "<mask_1>", "<mask_2>", "<unk_2>"]) == [0, 1, 2, 3, 4]
    assert ours.unk_token_id == 105
    assert ours("a strange film")["input_ids"] == [*(i + 103 for i in theirs.encode("a strange film")), 1]
    assert ours("a", "b")["input_ids"].count(1) == 1


@pytest.fixture(params=[False, True], ids=["shared", "separate"])
def marian(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any, Any]:
    """A folder, and what sentencepiece makes of its two models."""
    separate, found = request.param, []
    folder = tmp_path / "marian"
    folder.mkdir()
    texts = {"source": TEXTS, "target": [text[::-1] for text in TEXTS]}
    for side, lines in texts.items():
        (tmp_path / side).mkdir()
        spiece = trained(tmp_path / side, "unigram", lines)
        (folder / f"{side}.spm").write_bytes(spiece.read_bytes())
        found.append(processor(spiece))
    pieces = [[p.IdToPiece(i) for i in range(3, p.GetPieceSize())] for p in found]
    both = sorted({*pieces[0], *pieces[1], ">>fra<<"})
    first, second = ([*pieces[0], ">>fra<<"], pieces[1]) if separate else (both, both)
    for name, tokens in (("vocab", first), ("target_vocab", second)):
        ids = {token: i for i, token in enumerate(["</s>", "<unk>", *tokens, "<pad>"])}
        (folder / f"{name}.json").write_text(json.dumps(ids))
    (folder / "tokenizer_config.json").write_text(json.dumps({"separate_vocabs": separate}))
    return folder, *found


def test_marian(marian: tuple[Path, Any, Any], tmp_path: Path) -> None:
    folder, source, target = marian
    ours = formers.MarianTokenizer.from_pretrained(folder)
    separate = ours.separate_vocabs
    first = json.loads((folder / "vocab.json").read_text())
    second = json.loads((folder / ("target_vocab.json" if separate else "vocab.json")).read_text())
    text = "a strange film"
    found = ours(text, text_target=text)
    assert found["input_ids"] == [*(first[p] for p in source.encode(text, out_type=str)), 0]
    assert found["labels"] == [*(second[p] for p in target.encode(text, out_type=str)), 0]
    assert ours.decode(found["labels"], skip_special_tokens=True) == text
    assert ours.supported_language_codes == ([] if separate else [">>fra<<"])
    assert ours(f">>fra<< {text}")["input_ids"] == [first[">>fra<<"], *found["input_ids"]]
    if separate:  # the target has no such token, and none is made for it
        assert max(ours(text_target=">>fra<<")["input_ids"]) < len(second)
    odd = "a\x85 strange"  # white space for Unicode, and none for sentencepiece
    assert ours(odd)["input_ids"] == [*(first.get(p, 1) for p in source.encode(odd, out_type=str)), 0]
    assert ours.model_max_length == 512
    ours.save_pretrained(tmp_path / "saved")
    again = formers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again(text, text_target=text) == found
    assert again.decode(found["labels"], skip_special_tokens=True) == text
    (folder / "vocab.json").write_text(json.dumps({"<unk>": 0, "</s>": 7}))
    with pytest.raises(TokenizerError, match="is no vocabulary"):
        formers.MarianTokenizer.from_pretrained(folder)
    (folder / "target.spm").unlink()
    with pytest.raises(ArgumentError, match="target_spm is needed: 'target"):
        formers.MarianTokenizer.from_pretrained(folder)


def test_m2m_100(tmp_path: Path) -> None:
    spiece = trained(tmp_path, "bpe")
    theirs, folder = processor(spiece), tmp_path / "made"
    folder.mkdir()
    (folder / "sentencepiece.bpe.model").write_bytes(spiece.read_bytes())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *(theirs.IdToPiece(i) for i in range(3, theirs.GetPieceSize()))]
    ids = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    ours = formers.M2M100Tokenizer.from_pretrained(folder, tgt_lang="fr")
    own = [ids[p] for p in theirs.encode("a strange film", out_type=str)]
    found = ours("a strange film", text_target="a strange film")
    assert found["input_ids"] == [ours.get_lang_id("en"), *own, 2]
    assert found["labels"] == [ours.get_lang_id("fr"), *own, 2]
    assert ours.get_lang_id("af") == len(ids)
    assert ours.get_lang_token("fr") == ours.lang_code_to_token["fr"] == "__fr__"
    assert ours.lang_token_to_id["__fr__"] == ours.lang_code_to_id["fr"] == ours.get_lang_id("fr")
    assert ours.id_to_lang_token[ours.get_lang_id("fr")] == "__fr__"
    assert formers.M2M100Tokenizer.from_pretrained(folder, language_codes="wmt21").get_lang_id("ha") == len(ids) + 1
    ours.save_pretrained(tmp_path / "saved")
    assert formers.AutoTokenizer.from_pretrained(tmp_path / "saved")("a", text_target="b") == ours("a", text_target="b")
    with pytest.raises(ArgumentError, match="language_codes='x'"):
        formers.M2M100Tokenizer.from_pretrained(folder, language_codes="x")


def test_blenderbot_ends_texts() -> None:
    letters = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "Ġ": 4, "a": 5, "<mask>": 6}
    tokenizer = formers.BlenderbotTokenizer(vocab=letters, merges=[])
    assert tokenizer("a a")["input_ids"] == [4, 5, 4, 5, 2]
