"""The recipe of GGUF: a tokenizer from the keys that llama.cpp keeps beside a model's weights.

    tokenizer.ggml.model    "gpt2": byte-level BPE; "llama": SentencePiece's BPE, with scores and pieces for bytes
    tokenizer.ggml.pre      how "gpt2" splits a text before it looks for tokens
    tokenizer.ggml.tokens   in the order of ids; with .token_type, .scores or .merges, and ids of special tokens

Sources: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; `llm_tokenizer_bpe` in
https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp says what the kinds of splitting are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from ..errors import TokenizerError, near
from ..logging import logger
from . import backend
from .base import PreTrainedTokenizerFast
from .byte_level import merge_pairs
from .sentencepiece import SPACE, merges

_CONTROL, _USER_DEFINED = 3, 4
_MOST_CUTS = 200_000_000  # characters of all halves of all pieces, from which merges are told
_IDS = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding", "mask_token": "mask"}

_WORDS_OF_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS_AND_SPACES = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CAPITALISED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+"
_CAPITALS = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
_AND_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

_LLAMA3 = rf"{_ENDINGS}|{_WORDS_OF_LETTERS}|\p{{N}}{{1,3}}|{_SIGNS_AND_SPACES}"
_QWEN2 = rf"{_ENDINGS}|{_WORDS_OF_LETTERS}|\p{{N}}|{_SIGNS_AND_SPACES}"
_TEKKEN = rf"{_CAPITALISED}|{_CAPITALS}|\p{{N}}|{_AND_SLASHES}"
_GPT4O = rf"{_CAPITALISED}{_ENDINGS}?|{_CAPITALS}{_ENDINGS}?|\p{{N}}{{1,3}}|{_AND_SLASHES}"
_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"

_WHOLE_WORDS = ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "tekken")
_SPLITS = {
    **dict.fromkeys((*_WHOLE_WORDS[:-1], "dbrx", "smaug-bpe"), _LLAMA3),
    **dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen", "kormo", "megrez"), _QWEN2),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2"), _GPT4O),
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), _BLOOM),
    "tekken": _TEKKEN,
}
_DIGIT_BY_DIGIT = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
_AS_GPT2 = ("gpt-2", "phi-2", "olmo", "mpt")


@dataclass(frozen=True)
class _Keys:
    """The keys of a file, by their names after "tokenizer.ggml."; `where` names the file in errors."""

    values: Mapping[str, Any]
    where: str

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        """A value of that kind. Errors: TokenizerError for one of another kind."""
        found = self.values.get(f"tokenizer.ggml.{key}", default)
        if found is not default and type(found) is not kind:
            raise self.error(f"tokenizer.ggml.{key} is {str(found)[:80]!r}, and should be a {kind.__name__}")
        return found

    def column(self, key: str, kind: type, length: int) -> list[Any] | None:
        """A value for each token; None where the file has none."""
        found = self.get(key, list)
        if found is not None and (len(found) != length or not all(type(one) is kind for one in found)):
            raise self.error(f"tokenizer.ggml.{key} should be {length:,} values of the kind {kind.__name__}")
        return found

    def error(self, problem: str) -> TokenizerError:
        return TokenizerError(f"{self.where}: {problem}. Give a folder with the tokenizer's own files instead.")


def from_metadata(values: Mapping[str, Any], where: str, cls: Any = PreTrainedTokenizerFast, **options: Any) -> Any:
    """The tokenizer that a GGUF file's keys describe; `options` are those of tokenizers, and override the file.

    `where` names the file, `cls` is the tokenizer's class. Errors: TokenizerError for keys that are missing, or do not
    fit, and for kinds that are not known: none is taken for another.
    """
    keys = _Keys(values, where)
    architecture = str(values.get("general.architecture", ""))
    tokens = keys.get("tokens", list)
    if not tokens or not all(isinstance(token, str) for token in tokens):
        raise keys.error("it has no tokenizer.ggml.tokens, which are texts")
    if architecture.startswith("gemma"):  # whose tokens of several spaces are kept as they look in a text
        tokens = [SPACE * len(token) if len(token) > 1 and not token.strip(" ") else token for token in tokens]
    vocab = {token: number for number, token in enumerate(tokens)}
    if len(vocab) < len(tokens):
        twice = next(token for number, token in enumerate(tokens) if vocab[token] != number)
        raise keys.error(f"the token {twice[:80]!r} is in it twice")
    special = {name: token for name, key in _IDS.items() if (token := _token(keys, f"{key}_token_id", tokens))}
    kind = keys.get("model", str)
    makers = {"gpt2": _byte_level, "llama": _sentencepiece}
    if kind not in makers:
        known = ", ".join(makers)
        raise keys.error(f"tokenizer.ggml.model is {str(kind)[:80]!r}, and known are {known}.{near(kind, makers)}")
    with backend.translated(f"{where}: its tokenizer cannot be made"):
        made = makers[kind](keys, vocab, special, architecture)
        made.add_tokens(_added(keys, tokens))
        framed = kind == "llama" or keys.get("pre", str) in _WHOLE_WORDS
        made.post_processor = _frame(keys, vocab, special, framed)
    limit = values.get(f"{architecture}.context_length")
    given: dict[str, Any] = {**special, "name_or_path": where, "chat_template": _templates(keys)}
    given |= {"clean_up_tokenization_spaces": False, "model_input_names": ["input_ids", "attention_mask"]}
    if type(limit) is int and limit > 0:
        given["model_max_length"] = limit
    given["padding_side"] = "left" if architecture.startswith("gemma") else "right"
    tokenizer = cls(tokenizer_object=made, **{**given, **options})
    tokenizer._template_file = repr(where)
    if "add_prefix_space" not in options and _splits(tokenizer.backend_tokenizer) != _splits(made):
        raise TokenizerError(f"{where}: its texts are not split as {cls.__name__} does it. Load it with AutoTokenizer.")
    return tokenizer


def _splits(tokenizer: Tokenizer) -> tuple[str, str]:
    return str(tokenizer.normalizer), str(tokenizer.pre_tokenizer)


def _token(keys: _Keys, key: str, tokens: list[str]) -> str | None:
    number = keys.get(key, int)
    if number is None:
        return None
    if not 0 <= number < len(tokens):
        raise keys.error(f"tokenizer.ggml.{key} is {number:,}, and there are {len(tokens):,} tokens")
    return tokens[number]


def _added(keys: _Keys, tokens: list[str]) -> list[AddedToken]:
    """The tokens that are found in a text before it is split."""
    kinds = keys.column("token_type", int, len(tokens)) or []
    return [
        AddedToken(token, normalized=False, special=kind == _CONTROL)
        for token, kind in zip(tokens, kinds, strict=False)
        if kind in (_CONTROL, _USER_DEFINED) and token
    ]


def _byte_level(keys: _Keys, vocab: dict[str, int], special: dict[str, str], architecture: str) -> Tokenizer:
    listed = keys.get("merges", list)
    if listed is None:
        raise keys.error("it has no tokenizer.ggml.merges")
    kind = keys.get("pre", str)
    made = Tokenizer(models.BPE(vocab, merge_pairs(listed, keys.where), ignore_merges=kind in _WHOLE_WORDS))
    made.pre_tokenizer = _splitting(keys, kind, keys.get("add_space_prefix", bool, False))
    made.decoder = decoders.ByteLevel()
    return made


def _splitting(keys: _Keys, kind: str | None, prefix: bool) -> Any:
    whole = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    if kind in (None, "default"):  # of llama.cpp before April 2024
        logger.warning(
            "%s does not say how texts are split into words (tokenizer.ggml.pre); they are split as for GPT-2.",
            keys.where,
        )
        return whole
    if kind in _AS_GPT2:
        return whole
    if kind in _DIGIT_BY_DIGIT:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole])
    if kind == "falcon":
        by_three = pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")
        signs, digits = pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(individual_digits=False)
        return pre_tokenizers.Sequence([signs, whole, digits, by_three])
    if kind not in _SPLITS:
        known = sorted({*_SPLITS, *_AS_GPT2, *_DIGIT_BY_DIGIT, "falcon"})
        raise keys.error(f"tokenizer.ggml.pre is {kind[:80]!r}, and known are {', '.join(known)}.{near(kind, known)}")
    mapped = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_SPLITS[kind]), "isolated"), mapped])


def _sentencepiece(keys: _Keys, vocab: dict[str, int], special: dict[str, str], architecture: str) -> Tokenizer:
    as_gemma = architecture.startswith("gemma")
    listed, scores = keys.get("merges", list), keys.column("scores", float, len(vocab))
    if listed is None and sum(len(token) ** 2 for token in vocab) > _MOST_CUTS:
        raise keys.error(f"its tokens are too long, the longest has {max(map(len, vocab)):,} characters")
    # Gemma's tokens came to be in the order of their ids, whatever their scores say
    ranks = repeat(0.0) if scores is None or as_gemma else scores
    joined = merges(list(zip(vocab, ranks, strict=False))) if listed is None else merge_pairs(listed, keys.where)
    unknown = special.get("unk_token")
    made = Tokenizer(models.BPE(vocab, joined, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    prefix = keys.get("add_space_prefix", bool, True) and not as_gemma
    spaces = normalizers.Replace(" ", SPACE)
    if as_gemma:
        made.normalizer, made.pre_tokenizer = spaces, pre_tokenizers.Split(" ", "merged_with_previous")
    elif architecture == "phi3":  # puts a space before a text also where it begins with one
        made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), spaces] if prefix else [spaces])
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "first" if prefix else "never", split=False)
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return made


def _frame(keys: _Keys, vocab: dict[str, int], special: dict[str, str], begins: bool) -> TemplateProcessing:
    """What is put around texts, as the file says; `begins`: whether a token before them is usual for the kind."""
    first = keys.get("add_bos_token", bool, begins) and special.get("bos_token")
    last = keys.get("add_eos_token", bool, False) and special.get("eos_token")

    def around(text: str, kind: int) -> list[str]:
        return [f"{part}:{kind}" for part in (first, text, last) if part]

    return TemplateProcessing(
        around("$A", 0), around("$A", 0) + around("$B", 1), [(token, vocab[token]) for token in {first, last} if token]
    )


def _templates(keys: _Keys) -> str | dict[str, str] | None:
    start = "tokenizer.chat_template"
    found = {key.removeprefix(f"{start}."): value for key, value in keys.values.items() if key.startswith(f"{start}.")}
    if start not in keys.values:
        return None
    found = {"default": keys.values[start], **found}
    if not all(isinstance(template, str) for template in found.values()):
        raise keys.error("its tokenizer.chat_template is no text")
    return found if len(found) > 1 else found["default"]
