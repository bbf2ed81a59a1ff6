"""Byte-level BPE and SentencePiece: made from their own files and from tokenizer.json, beside the reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenization.record import HOSTILE, LONG, SENTENCE
from tokenizers import ByteLevelBPETokenizer, models

import formers
from formers.errors import ArgumentError, TokenizerError
from formers.optimize.sample import SAMPLE
from formers.tokenization import SentencePieceModel
from formers.tokenization.sentencepiece import merges

TEXTS = [*SAMPLE, *HOSTILE, SENTENCE, LONG, "a <mask> b", "  two  spaces ", "<s> as text </s>", "line\nbreak\ttab"]
NAMES = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def same(ours: Any, theirs: Any, texts: list[str], **options: Any) -> None:
    """Equal ids, offsets, masks and decoded texts."""
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True, **options}
    mine, other = ours(texts, **options), theirs(texts, **options)
    assert mine.keys() == other.keys()
    for text, *columns in zip(texts, *(zip(mine[key], other[key], strict=True) for key in other), strict=True):
        for key, (a, b) in zip(other, columns, strict=True):
            assert list(map(tuple, a)) == list(map(tuple, b)) if key == "offset_mapping" else a == b, (text, key)
    for ids in other["input_ids"]:
        for skip in (False, True):
            assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)
    pairs = [texts, texts[::-1]]
    assert (
        ours(*pairs, truncation=True, max_length=12)["input_ids"]
        == (theirs(*pairs, truncation=True, max_length=12)["input_ids"])
    )


class TestByteLevel:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """With a vocab.json and a merges.txt that were learned from the texts."""
        folder = tmp_path_factory.mktemp("bpe")
        learned = ByteLevelBPETokenizer()
        learned.train_from_iterator(TEXTS, vocab_size=600, min_frequency=2, special_tokens=NAMES)
        learned.save_model(str(folder))
        return folder

    @staticmethod
    def theirs(folder: Path, **options: Any) -> Any:
        mask = transformers.AddedToken("<mask>", lstrip=True, special=True)
        return transformers.RobertaTokenizer(
            vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), mask_token=mask, **options
        )

    @pytest.mark.parametrize("options", [{}, {"add_prefix_space": True}, {"trim_offsets": False}])
    def test_beside_the_reference(self, folder: Path, options: dict[str, Any]) -> None:
        ours = formers.RobertaTokenizer(folder / "vocab.json", folder / "merges.txt", **options)
        same(ours, self.theirs(folder, **options), TEXTS)
        first, second = (ours(text)["input_ids"][1] for text in "ab")
        assert ours("a", "b")["input_ids"] == [0, first, 2, 2, second, 2]

    def test_files(self, folder: Path, tmp_path: Path) -> None:
        ours = formers.RobertaTokenizer.from_pretrained(folder)
        ours.save_pretrained(tmp_path / "ours")
        for name in ("vocab.json", "merges.txt"):
            assert (tmp_path / "ours" / name).read_text() == (folder / name).read_text()
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
        assert isinstance(theirs, transformers.RobertaTokenizer)
        same(formers.RobertaTokenizer.from_pretrained(tmp_path / "ours"), theirs, TEXTS)
        self.theirs(folder).save_pretrained(tmp_path / "theirs")
        (tmp_path / "theirs" / "config.json").write_text('{"model_type": "roberta"}')
        again = formers.AutoTokenizer.from_pretrained(tmp_path / "theirs")
        assert type(again) is formers.RobertaTokenizer and again.vocab_size == ours.vocab_size
        same(again, ours, TEXTS)

    @pytest.mark.parametrize("as_json", [False, True])
    def test_words(self, folder: Path, tmp_path: Path, as_json: bool) -> None:
        """From a folder with a tokenizer.json, too, the options reach what trims offsets."""
        theirs = self.theirs(folder, add_prefix_space=True)
        if as_json:
            self.theirs(folder).save_pretrained(tmp_path)
            folder = tmp_path
        words = [["The", "film", "is", "good"], ["Bad"]]
        plain = formers.RobertaTokenizer.from_pretrained(folder)
        for call in (plain, plain.packed):
            with pytest.raises(formers.InputError, match=r"split into words.*add_prefix_space=True"):
                call(words, is_split_into_words=True)
        ours = formers.RobertaTokenizer.from_pretrained(folder, add_prefix_space=True)
        made = ours(words, is_split_into_words=True, return_offsets_mapping=True)
        assert made["input_ids"] == [ours(" ".join(row))["input_ids"] for row in words]
        assert ours.packed(words, is_split_into_words=True).lengths.tolist() == [*map(len, made["input_ids"])]
        expected = theirs(words, is_split_into_words=True, return_offsets_mapping=True)
        assert made["offset_mapping"] == expected["offset_mapping"]
        assert made["offset_mapping"][0][made.tokens().index("Ġis")] == (0, 2)
        ours.save_pretrained(tmp_path / "saved")
        assert formers.RobertaTokenizer.from_pretrained(tmp_path / "saved").add_prefix_space
        for trim, start in ((True, 4), (False, 3)):
            one = formers.RobertaTokenizer.from_pretrained(folder, trim_offsets=trim)
            made = one(["The film"], return_offsets_mapping=True)
            assert made["offset_mapping"][0][made.char_to_token(4)][0] == start and one.trim_offsets is trim

    def test_words_of_a_tokenizer_of_no_family(self, folder: Path, tmp_path: Path) -> None:
        self.theirs(folder).save_pretrained(tmp_path)
        ours = formers.PreTrainedTokenizerFast.from_pretrained(tmp_path, add_prefix_space=True)
        assert ours.tokenize("is") == ["Ġis"]

    def test_dictionaries(self) -> None:
        vocab = {name: i for i, name in enumerate([*NAMES, "a", "b", "ab", "Ġ"])}
        ours = formers.RobertaTokenizer(vocab=vocab, merges=["a b"])
        assert ours("ab")["input_ids"] == [0, 7, 2] and ours.mask_token_id == 4
        assert formers.RobertaTokenizer(vocab, [("a", "b")])("ab")["input_ids"] == [0, 7, 2]

    @pytest.mark.parametrize(
        ("vocab", "pairs", "message"),
        [
            ('{"a": 0', "", "vocab.json.*cannot be read"),
            ('["a"]', "", "vocab.json.*must hold a JSON object"),
            ('{"a": "0"}', "", "vocab.json.*'a' has no id"),
            ('{"a": -1}', "", "vocab.json.*'a' has no id"),
            ('{"a": 0}', "#version: 0.2\na b c\n", "merges.txt.*merge 1 is 'a b c'"),
            ('{"a": 0}', "a b\n", "do not fit"),
        ],
    )
    def test_broken_files(self, tmp_path: Path, vocab: str, pairs: str, message: str) -> None:
        (tmp_path / "vocab.json").write_text(vocab)
        (tmp_path / "merges.txt").write_text(pairs)
        with pytest.raises(TokenizerError, match=message):
            formers.RobertaTokenizer.from_pretrained(tmp_path)

    def test_what_is_missing(self, folder: Path) -> None:
        with pytest.raises(ArgumentError, match=r"merges_file='merges.txt'"):
            formers.RobertaTokenizer(folder / "vocab.json")
        with pytest.raises(ArgumentError, match="errors='strict'"):
            formers.RobertaTokenizer(folder / "vocab.json", folder / "merges.txt", errors="strict")


def trained(folder: Path, kind: str, texts: list[str] = TEXTS, **options: Any) -> Path:
    """A .model file that sentencepiece made of the texts."""
    sentencepiece = pytest.importorskip("sentencepiece")
    (folder / "texts").write_text("\n".join(" ".join(text.replace("\0", "").split()) for text in texts))
    options = {"vocab_size": 400, "hard_vocab_limit": False, "character_coverage": 0.98, "minloglevel": 2, **options}
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "texts"), model_prefix=str(folder / "made"), model_type=kind, **options
    )
    return folder / "made.model"


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def spiece(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp(request.param), request.param)


# what these two put before, between and after texts, as pieces of the file itself
WITH_NAMES = {
    "AlbertTokenizer": ("spiece.model", "albert", {
        "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1,
        "control_symbols": "[CLS],[SEP]", "user_defined_symbols": "[MASK]",
    }),
    "DebertaV2Tokenizer": ("spm.model", "deberta-v2", {
        "pad_id": 0, "unk_id": 3, "bos_id": 1, "eos_id": 2, "pad_piece": "[PAD]", "unk_piece": "[UNK]",
        "bos_piece": "[CLS]", "eos_piece": "[SEP]", "user_defined_symbols": "[MASK]",
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_NAMES)
@pytest.mark.parametrize("lower", [True, False])
def test_sentencepiece_with_the_names_of_bert(name: str, lower: bool, tmp_path: Path) -> None:
    file, model_type, options = WITH_NAMES[name]
    spiece = trained(tmp_path, "unigram", normalization_rule_name="identity", **options)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / file).write_bytes(spiece.read_bytes())
    ours = getattr(formers, name).from_pretrained(tmp_path / "made", do_lower_case=lower)
    pieces = SentencePieceModel.read(spiece).pieces
    mask = transformers.AddedToken("[MASK]", lstrip=name == "AlbertTokenizer", special=True)
    theirs = getattr(transformers, name)(vocab=list(pieces), do_lower_case=lower, mask_token=mask)
    texts = [*SAMPLE, SENTENCE, LONG, "in 1999, for 3,50 and É è", "two  spaces", "a[MASK]b"]
    same(ours, theirs, texts, return_token_type_ids=True)
    ours.save_pretrained(tmp_path / "saved")
    same(getattr(formers, name).from_pretrained(tmp_path / "saved"), ours, TEXTS)
    (tmp_path / "saved" / "config.json").write_text(json.dumps({"model_type": model_type}))
    same(formers.AutoTokenizer.from_pretrained(tmp_path / "saved"), ours, TEXTS)


FAMILIES: dict[str, tuple[str, Callable[[list[int], Any], list[int]]]] = {
    "XLMRobertaTokenizer": ("sentencepiece.bpe.model", lambda ids, _: [3 if i == 0 else i + 1 for i in ids]),
    "CamembertTokenizer": ("sentencepiece.bpe.model", lambda ids, _: [3 if i == 0 else i + 4 for i in ids]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_sentencepiece_ids(spiece: Path, name: str, tmp_path: Path) -> None:
    """The same pieces as sentencepiece itself cuts, under the model's ids."""
    sentencepiece = pytest.importorskip("sentencepiece")
    file, numbered = FAMILIES[name]
    (tmp_path / file).write_bytes(spiece.read_bytes())
    ours = getattr(formers, name).from_pretrained(tmp_path)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(spiece))
    for text in (*SAMPLE, SENTENCE, LONG, "  two  spaces ", "line\nbreak\ttab"):
        expected = numbered(theirs.encode(text), theirs)
        assert ours(text, add_special_tokens=False)["input_ids"] == expected, text
        if theirs.unk_id() not in theirs.encode(text):
            assert ours.decode(ours(text)["input_ids"], skip_special_tokens=True) == theirs.decode(theirs.encode(text))
    ours.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / file).read_bytes() == spiece.read_bytes()
    again = getattr(formers, name).from_pretrained(tmp_path / "saved")
    same(again, ours, TEXTS)
    (tmp_path / "saved" / "config.json").write_text(json.dumps({"model_type": ours_type(name)}))
    if SentencePieceModel.read(spiece).kind == 1:  # it has these tokenizers for Unigram alone
        same(ours, transformers.AutoTokenizer.from_pretrained(tmp_path / "saved"), TEXTS)


def ours_type(name: str) -> str:
    return {"XLMRobertaTokenizer": "xlm-roberta", "CamembertTokenizer": "camembert"}[name]


@pytest.mark.parametrize("name", [*FAMILIES, *WITH_NAMES])
def test_training_anew(name: str, spiece: Path, tmp_path: Path) -> None:
    """The unknown token is still one, and special tokens stand where they did, as in the reference."""
    file, *_, options = {n: (f, {}) for n, (f, _) in FAMILIES.items()}.get(name) or WITH_NAMES[name]
    kind = "unigram" if SentencePieceModel.read(spiece).kind == 1 else "bpe"
    model = trained(tmp_path, kind, **options) if options else spiece
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / file).write_bytes(model.read_bytes())
    ours = getattr(formers, name).from_pretrained(tmp_path / "made")
    made = ours.train_new_from_iterator([*SAMPLE], 150, show_progress=False)
    again = made.train_new_from_iterator([*SAMPLE], 120, show_progress=False)
    for one in (made, again):
        names = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")
        tokens = {getattr(ours, n) for n in names} - {None}
        assert one.convert_tokens_to_ids(sorted(tokens)) == ours.convert_tokens_to_ids(sorted(tokens))
        ids = one("a 漢 <mask>" if "<" in str(ours.mask_token) else "a 漢 [MASK]")["input_ids"]
        assert ids.count(ours.unk_token_id) == 1 and one.mask_token_id in ids
    if kind == "unigram":
        ours.save_pretrained(tmp_path / "saved")
        theirs = getattr(transformers, name).from_pretrained(tmp_path / "saved")
        theirs = theirs.train_new_from_iterator([*SAMPLE], 150, show_progress=False)
        assert theirs.convert_tokens_to_ids(sorted(tokens)) == made.convert_tokens_to_ids(sorted(tokens))
    renamed = ours.train_new_from_iterator(
        [*SAMPLE], 150, show_progress=False, special_tokens_map={ours.unk_token: "<?>"}
    )
    assert renamed.unk_token == "<?>" and renamed("漢", add_special_tokens=False)["input_ids"][-1] == ours.unk_token_id


def test_sentencepiece_merges(spiece: Path) -> None:
    file = SentencePieceModel.read(spiece)
    if file.kind == 2:
        made = models.BPE({piece: i for i, (piece, _) in enumerate(file.pieces)}, merges(file.pieces))
        assert made is not None
    assert file.pieces[file.unknown][0] == "<unk>" and file.added["<s>"] is True


@pytest.mark.parametrize("cut", [1, 10, 1000, -1])
def test_broken_models(spiece: Path, tmp_path: Path, cut: int) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(spiece.read_bytes()[:cut])
    with pytest.raises(TokenizerError, match="no SentencePiece model"):
        formers.XLMRobertaTokenizer.from_pretrained(tmp_path)


class TestRealText:
    """Every fifth sentence of a corpus of film reviews, whose vocabularies are learned from the other ones."""

    def test_byte_level(self, sentences: list[str], tmp_path: Path) -> None:
        learned = ByteLevelBPETokenizer()
        learned.train_from_iterator(sentences[1::5], vocab_size=3000, special_tokens=NAMES)
        learned.save_model(str(tmp_path))
        same(formers.RobertaTokenizer.from_pretrained(tmp_path), TestByteLevel.theirs(tmp_path), sentences[::5])

    def test_sentencepiece(self, sentences: list[str], tmp_path: Path) -> None:
        sentencepiece = pytest.importorskip("sentencepiece")
        (tmp_path / "sentencepiece.bpe.model").write_bytes(
            trained(tmp_path, "unigram", sentences[1::5], vocab_size=3000).read_bytes()
        )
        ours = formers.XLMRobertaTokenizer.from_pretrained(tmp_path)
        itself = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "made.model"))
        numbered = FAMILIES["XLMRobertaTokenizer"][1]
        for text in sentences[::5]:
            assert ours(text, add_special_tokens=False)["input_ids"] == numbered(itself.encode(text), itself), text
        ours.save_pretrained(tmp_path / "saved")
        (tmp_path / "saved" / "config.json").write_text('{"model_type": "xlm-roberta"}')
        same(ours, transformers.AutoTokenizer.from_pretrained(tmp_path / "saved"), sentences[::5])

    def test_wordpiece_in_the_frame_of_mpnet(self, sentences: list[str], data: Path, tmp_path: Path) -> None:
        words = (data / "bert-base-uncased-vocab.txt").read_text(encoding="utf-8").splitlines()
        (tmp_path / "vocab.txt").write_text("\n".join([*NAMES[:3], *words, "<mask>"]) + "\n", encoding="utf-8")
        ours = formers.MPNetTokenizer.from_pretrained(tmp_path)
        ids = {word: number for number, word in enumerate(ours.convert_ids_to_tokens(range(ours.vocab_size)))}
        mask = transformers.AddedToken("<mask>", lstrip=True, special=True)
        theirs = transformers.MPNetTokenizer(vocab=ids, mask_token=mask, clean_up_tokenization_spaces=True)
        # of the space before the mask, which it takes here, the reference says so and does otherwise
        same(ours, theirs, [*sentences[::5], *(text for text in TEXTS if " <mask>" not in text)])


def test_pieces_drawn_at_random(spiece: Path, tmp_path: Path) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(spiece.read_bytes())
    load, text = formers.XLMRobertaTokenizer.from_pretrained, "a good film about nothing at all"
    plain = load(tmp_path)
    assert plain.sp_model_kwargs == {} and len({tuple(plain(text)["input_ids"]) for _ in range(9)}) == 1
    for options in ({"alpha": 0.2}, {"alpha": 0.2, "nbest_size": 20}):
        ours = load(tmp_path, sp_model_kwargs={"enable_sampling": True, **options})
        drawn = {tuple(ours(text)["input_ids"]) for _ in range(30)}
        assert len(drawn) > 3 and {ours.decode(ids, skip_special_tokens=True) for ids in drawn} == {text}
        ours.save_pretrained(tmp_path / "saved")
        again = load(tmp_path / "saved")
        assert again.sp_model_kwargs == ours.sp_model_kwargs == {"enable_sampling": True, **options}
        assert len({tuple(again(text)["input_ids"]) for _ in range(30)}) > 3
    for off in ({"enable_sampling": False}, {"enable_sampling": True, "nbest_size": 1}):
        assert load(tmp_path, sp_model_kwargs=off)(text) == plain(text)
    for wrong, said in (({"alpha": "x"}, "from 0 to 1"), ({"alhpa": 0.1}, "Did you mean 'alpha'")):
        with pytest.raises(ArgumentError, match=said):
            load(tmp_path, sp_model_kwargs=wrong)


def test_bytes_of_a_byte_level_tokenizer() -> None:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    ours = formers.RobertaTokenizer({name: i for i, name in enumerate([*NAMES, "a", "Ġ"])}, [])
    assert ours.byte_encoder == bytes_to_unicode() and ours.byte_decoder[ours.byte_encoder[32]] == 32
    assert ours.encoder["a"] == 5 and ours.ids_to_tokens[5] == "a"
