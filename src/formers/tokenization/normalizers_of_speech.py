"""What is written down of speech, brought to one form before it is compared: Whisper's normalizers.

Radford et al. 2022 (arXiv 2212.04356), appendix C; https://github.com/openai/whisper/tree/main/whisper/normalizers.

    "Mr. Smith's paid $3 million, um, for twenty-one colours"
    "mister smith is paid $3000000 for 21 colors"
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from ..errors import ArgumentError
from ..extra import library

# letters whose marks no decomposition takes off
_LETTERS = {
    "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "ß": "ss", "ẞ": "SS", "đ": "d", "Đ": "D",
    "ð": "d", "Ð": "D", "þ": "th", "Þ": "th", "ł": "l", "Ł": "L",
}  # fmt: skip


class _Cleaned(dict[int, str]):
    """A table for `str.translate` that looks a character up when it is first met."""

    def __init__(self, cleaned: Callable[[str], str]) -> None:
        super().__init__()
        self._cleaned = cleaned

    def __missing__(self, number: int) -> str:
        self[number] = found = self._cleaned(chr(number))
        return found


def _spaced(character: str) -> str:
    return " " if unicodedata.category(character)[0] in "MSP" else character


def _bare(character: str) -> str:
    if character in _LETTERS:
        return _LETTERS[character]
    return "" if unicodedata.category(character) == "Mn" else _spaced(character)


_KEPT = ".%$¢€£"  # what belongs to numbers
_SPACED, _BARE = _Cleaned(_spaced), _Cleaned(_bare)
_BARE_BUT_NUMBERS = _Cleaned(lambda character: character if character in _KEPT else _bare(character))


def remove_symbols(text: str) -> str:
    """Marks, symbols and punctuation as spaces; what is composed with a letter stays."""
    return unicodedata.normalize("NFKC", text).translate(_SPACED)


def remove_symbols_and_diacritics(text: str, keep: str = "") -> str:
    """Symbols and punctuation as spaces, marks on letters left out. keep: characters that stay."""
    table = {"": _BARE, _KEPT: _BARE_BUT_NUMBERS}.get(keep)
    if table is None:
        table = _Cleaned(lambda character: character if character in keep else _bare(character))
    return unicodedata.normalize("NFKD", text).translate(table)


def _without_brackets(text: str) -> str:
    return _without(_without(text.lower(), _OPEN, _CLOSED), _ROUND, _ROUND_END, least=1)


_OPEN, _CLOSED = re.compile(r"[<\[]"), re.compile(r"[>\]]")
_ROUND, _ROUND_END = re.compile(r"\("), re.compile(r"\)")


def _without(text: str, opened: re.Pattern[str], closed: re.Pattern[str], least: int = 0) -> str:
    """A text without what stands between marks, of at least so many letters; every letter is looked at once."""
    kept, at, start = [], 0, opened.search(text)
    while start is not None:
        end = closed.search(text, start.end())
        if end is None:
            break
        if end.start() - start.end() >= least:
            kept.append(text[at : start.start()])
            at = end.end()
            start = opened.search(text, at)
        else:
            start = opened.search(text, start.end())
    return "".join([*kept, text[at:]])


class BasicTextNormalizer:
    """For any language: small letters, without what stands in brackets and without punctuation.

    remove_diacritics: leave marks on letters out, which loses words in many languages.
    split_letters: a space between letters, for writing without spaces between words.
    """

    def __init__(self, remove_diacritics: bool = False, split_letters: bool = False) -> None:
        self.clean: Callable[[str], str] = remove_symbols_and_diacritics if remove_diacritics else remove_symbols
        self.split_letters = split_letters

    def __call__(self, s: str) -> str:
        text = self.clean(_without_brackets(s)).lower()
        if self.split_letters:
            text = " ".join(library("regex", "split_letters", "regex").findall(r"\X", text))
        return re.sub(r"\s+", " ", text)


Number = int | str | None
_A_ONE = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TEN = "twenty thirty forty fifty sixty seventy eighty ninety"
_THOUSAND = (
    "thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion"
)
_ONES = {name: value for value, name in enumerate(_A_ONE.split(), start=1)}
_TENS = {name: 10 * value for value, name in enumerate(_TEN.split(), start=2)}
_SCALES = {"hundred": 100, **{name: 1000**power for power, name in enumerate(_THOUSAND.split(), start=1)}}
_ZEROS = {"o", "oh", "zero"}
_SIGNS = {"minus": "-", "negative": "-", "plus": "+", "positive": "+"}
_COINS = {"pound": "£", "euro": "€", "dollar": "$", "cent": "¢"}
_COINS |= {f"{name}s": sign for name, sign in _COINS.items()}
_ORDINALS = {"zeroth": (0, "th"), "first": (1, "st"), "second": (2, "nd"), "third": (3, "rd"), "fifth": (5, "th")}
_ORDINALS["twelfth"] = (12, "th")


def _with_ends() -> dict[str, tuple[str, int, str]]:
    """{word: what sort of number, its value, the end of its word}; "nineth" as in the original."""
    found = {name: ("ones", value, "") for name, value in _ONES.items()}
    found |= {("sixes" if name == "six" else f"{name}s"): ("ones", value, "s") for name, value in _ONES.items()}
    found |= {name: ("ones", *of) for name, of in _ORDINALS.items()}
    regular = ((name, value) for name, value in _ONES.items() if value > 3 and value not in (5, 12))
    found |= {name + ("h" if name.endswith("t") else "th"): ("ones", value, "th") for name, value in regular}
    for end, letters in (("", "y"), ("s", "ies"), ("th", "ieth")):
        found |= {name.replace("y", letters): ("tens", value, end) for name, value in _TENS.items()}
        found |= {name + end: ("scale", value, end) for name, value in _SCALES.items()}
    return found


_NUMBERS = _with_ends()
_DECIMALS = {*_ONES, *_TENS, *_ZEROS}
_WORDS = {*_ZEROS, *_NUMBERS, *_SIGNS, *_COINS, "per", "percent", "and", "double", "triple", "point"}
_DIGITS = re.compile(r"\d+(\.\d+)?")
_MARKS = {*_SIGNS.values(), *_COINS.values()}


def _fraction(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except ValueError:
        return None


class _Counting:
    """Words read one after the other: `value` is the number so far, a string where its digits were named one by one."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.said: list[str] = []
        self.prefix = ""
        self.value: Number = None

    def read(self) -> list[str]:
        at = 0
        while at < len(self.words):
            before = self.words[at - 1] if at else None
            after = self.words[at + 1] if at + 1 < len(self.words) else None
            at += 1 + bool(self._word(self.words[at], before, after))
        self._end()
        return self.said

    def _say(self, what: int | str) -> None:
        self.said.append(f"{self.prefix}{what}")
        self.value, self.prefix = None, ""

    def _end(self, word: str | None = None) -> None:
        if self.value is not None:
            self._say(self.value)
        if word is not None:
            self._say(word)

    def _word(self, word: str, before: str | None, after: str | None) -> bool:
        """Read a word; gives whether the next one was read with it."""
        marked = word[0] in _MARKS
        if _DIGITS.fullmatch(word[marked:]):
            self._digits(word, marked)
        elif word in _NUMBERS:
            sort, value, end = _NUMBERS[word]
            number = {"ones": self._ones, "tens": self._tens, "scale": self._scale}[sort](value, before)
            if end:
                self._say(f"{number}{end}")
            else:
                self.value = number
        elif word in _ZEROS:
            self.value = f"{self.value or ''}0"
        elif word in _SIGNS:
            self._end(None if _countable(after) else word)
            self.prefix = _SIGNS[word] if _countable(after) else self.prefix
        elif word in _COINS and self.value is not None:
            self.prefix = _COINS[word]
            self._end()
        elif word in ("per", "percent") and self.value is not None:
            return self._share(word, after)
        elif word in ("and", "double", "triple", "point") and _countable(after):
            return self._joining(word, before, after or "")
        else:
            self._end(word)
        return False

    def _digits(self, word: str, marked: bool) -> None:
        if isinstance(self.value, str) and self.value.endswith("."):
            self.value += word
            return
        self._end()
        self.prefix = word[0] if marked else self.prefix
        exact = _fraction(word[marked:])
        self.value = exact.numerator if exact is not None and exact.denominator == 1 else word[marked:]

    def _ones(self, number: int, before: str | None) -> int | str:
        value = self.value
        if value is None:
            return number
        if isinstance(value, str) or before in _ONES:
            tail = before in _TENS and number < 10
            return f"{str(value)[:-1] if tail else value}{number}"  # "oh twenty one": its zero becomes the digit
        return value + number if value % (10 if number < 10 else 100) == 0 else f"{value}{number}"

    def _tens(self, number: int, before: str | None) -> int | str:
        value = self.value
        if value is None:
            return number
        return value + number if isinstance(value, int) and value % 100 == 0 else f"{value}{number}"

    def _scale(self, number: int, before: str | None) -> int | str:
        if self.value is None:
            return number
        if isinstance(self.value, int):  # "two million three" ─▶ "hundred"
            return self.value // 1000 * 1000 + self.value % 1000 * number
        exact = _fraction(self.value)
        if exact is not None and (exact * number).denominator == 1:
            return (exact * number).numerator
        self._end()
        return number

    def _share(self, word: str, after: str | None) -> bool:
        if word == "percent" or after == "cent":
            self._say(f"{self.value}%")
            return word == "per"
        self._end(word)
        return False

    def _joining(self, word: str, before: str | None, after: str) -> bool:
        if word == "and":
            if before not in _SCALES:
                self._end(word)
        elif word == "point":
            if after in _DECIMALS or _DIGITS.fullmatch(after):
                self.value = f"{self.value or ''}."
        elif after in _ONES or after in _ZEROS:
            self.value = f"{self.value or ''}{str(_ONES.get(after, 0)) * (2 if word == 'double' else 3)}"
            return True
        else:
            self._end(word)
        return False


def _countable(word: str | None) -> bool:
    return word is not None and (word in _WORDS or _DIGITS.fullmatch(word) is not None)


class EnglishNumberNormalizer:
    """Numbers in words as digits: "twenty twenty one" ─▶ "2021", "three dollars and ten cents" ─▶ "$3.10"."""

    def process_words(self, words: list[str]) -> Iterator[str]:
        """The words with numbers among them as digits."""
        yield from _Counting(words).read()

    def preprocess(self, s: str) -> str:
        """Halves as "point five", and a space between digits and letters that are no ends of numbers."""
        *firsts, last = re.split(r"\band\s+a\s+half\b", s)
        parts = []
        for part in filter(str.strip, firsts):
            counted = part.split()[-1] in _DECIMALS | _SCALES.keys()
            parts += [part, "point five" if counted else "and a half"]
        text = " ".join([*parts, *([last] if last.strip() else [])])
        text = re.sub(r"([0-9])([a-z])", r"\1 \2", re.sub(r"([a-z])([0-9])", r"\1 \2", text))
        return re.sub(r"([0-9])\s+(st|nd|rd|th|s)\b", r"\1\2", text)

    def postprocess(self, s: str) -> str:
        """ "$2 and ¢7" as "$2.07", and 1 as "one"."""
        text = re.sub(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b", lambda m: f"{m[1]}{m[2]}.{int(m[3]):02d}", s)
        text = re.sub(r"[€£$]0.([0-9]{1,2})\b", lambda m: f"¢{int(m[1])}", text)
        return re.sub(r"\b1(s?)\b", r"one\1", text)

    def __call__(self, s: str) -> str:
        return self.postprocess(" ".join(self.process_words(self.preprocess(s).split())))


class EnglishSpellingNormalizer:
    """British spellings as American ones.

    english_spelling_mapping: {British: American}, a checkpoint's normalizer.json. The list: https://www.tysto.com/uk-us-spelling-list.html.
    """

    def __init__(self, english_spelling_mapping: Mapping[str, str]) -> None:
        if not isinstance(english_spelling_mapping, Mapping):
            raise ArgumentError(
                "English text is brought to one form with a table {British spelling: American spelling}, which a "
                f"checkpoint's normalizer.json holds, got {type(english_spelling_mapping).__name__}. Give {{}} to "
                "leave spellings as they are."
            )
        self.mapping = english_spelling_mapping

    def __call__(self, s: str) -> str:
        return " ".join(self.mapping.get(word, word) for word in s.split())


_SHORT = {
    "won't": "will not", "can't": "can not", "let's": "let us", "ain't": "aint", "y'all": "you all",
    "wanna": "want to", "gotta": "got to", "gonna": "going to", "i'ma": "i am going to", "imma": "i am going to",
    "woulda": "would have", "coulda": "could have", "shoulda": "should have", "ma'am": "madam",
}  # fmt: skip
_TITLES = {
    "mr": "mister", "mrs": "missus", "st": "saint", "dr": "doctor", "prof": "professor", "capt": "captain",
    "gov": "governor", "ald": "alderman", "gen": "general", "sen": "senator", "rep": "representative",
    "pres": "president", "rev": "reverend", "hon": "honorable", "asst": "assistant", "assoc": "associate",
    "lt": "lieutenant", "col": "colonel", "jr": "junior", "sr": "senior", "esq": "esquire",
}  # fmt: skip
_ENDS = {  # in this order: "'s been" before "'s"
    "'d been": "had been", "'s been": "has been", "'d gone": "had gone", "'s gone": "has gone", "'d done": "had done",
    "'s got": "has got", "n't": "not", "'re": "are", "'s": "is", "'d": "would", "'ll": "will", "'t": "not",
    "'ve": "have", "'m": "am",
}  # fmt: skip
_REPLACED = [
    *((re.compile(rf"\b{short}\b"), long) for short, long in _SHORT.items()),
    *((re.compile(rf"\b{title}\b"), f"{long} ") for title, long in _TITLES.items()),
    *((re.compile(rf"{end}\b"), f" {long}") for end, long in _ENDS.items()),
]


class EnglishTextNormalizer:
    """English text: without fillers, contractions and titles in full, numbers as digits, American spellings.

    english_spelling_mapping: {British: American}, a checkpoint's normalizer.json; {} leaves spellings as they are.
    """

    def __init__(self, english_spelling_mapping: Mapping[str, str]) -> None:
        self.standardize_numbers = EnglishNumberNormalizer()
        self.standardize_spellings = EnglishSpellingNormalizer(english_spelling_mapping)

    def __call__(self, s: str) -> str:
        text = re.sub(r"\b(hmm|mm|mhm|mmm|uh|um)\b", "", _without_brackets(s))
        text = re.sub(r"(?<!\s)\s+'", "'", text)
        for pattern, long in _REPLACED:
            text = pattern.sub(long, text)
        text = re.sub(r"(\d),(\d)", r"\1\2", text)
        text = re.sub(r"\.([^0-9]|$)", r" \1", text)
        text = remove_symbols_and_diacritics(text, keep=_KEPT)
        text = self.standardize_spellings(self.standardize_numbers(text))
        text = re.sub(r"[.$¢€£]([^0-9])", r" \1", text)
        text = re.sub(r"([^0-9])%", r"\1 ", text)
        return re.sub(r"\s+", " ", text)
