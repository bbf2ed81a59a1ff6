"""Texts of speech brought to one form: a hundred sentences, and words drawn at random, as the reference does it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from transformers.models.whisper import english_normalizer as reference

from formers.errors import ArgumentError
from formers.tokenization import normalizers_of_speech as ours

SPELLING = {"colour": "color", "colours": "colors", "realise": "realize", "centre": "center", "grey": "gray"}
SENTENCES = """Mr. Smith's been to St. Paul's, hasn't he?
Hmm, uh, I'm gonna pay $20 million for it.
It costs three dollars and ten cents.
twenty twenty one was, um, a year
one oh one and double oh seven
two and a half thousand people and a half
The 1960s, the 274th and the thirty second of May
minus five degrees, plus two, negative thoughts
ninety nine percent of them, and 5 per cent of us
five point two five, point nothing, three point 7
It's twenty-first century stuff, isn't it?
We've £2 and 7 cents, he's €0.45
[laughter] so (he says) I'd've gone <noise> y'all
Dr. Lt. Col. Gov. Brown Jr. won't, can't, shan't
A hundred and one, a thousand and twelve, two hundred and fifty three
nineteen eighty four; eighteen hundred and twelve
oh two one two five five five one two one two
triple seven, double up, triple oh
the first, second, third, fourth, fifth, eighth, ninth, twelfth, twentieths
sixes and sevens, twenties, thirties and hundreds of millions
one million two hundred thirty four thousand five hundred and sixty seven
zero point one two three, 3.14.15, 1,234,567.89
half past one ones 1s 1 1st
the colour is grey in the centre, I realise
3 1/2 apples cost $3.50 or ¢99; 100% sure; % alone
œuvre Ærø straße Łódź naïve café — “quotes” … ‘x’
he 'll go 's been done 'd been
and a half and a half
 and
-5 +3 -two $five 5dollars a1b2
minus minus three minus
billion trillion decillionths zeroth
point five hundred, two point five million, one point two three hundred
٣ and Ⅳ and ² and ½
I have 3 and 4 thousand and five
dollar cents pounds five euros six pound seven cents""".splitlines()
NAMED = """o oh zero one two three six nine ten eleven nineteen twelve ones sixes first twelfth eighth twenty ninety
fifty thirties twentieth hundred thousand million hundredth thousands minus plus pound dollars cents per cent percent
and double triple point a half word dr st's 5 12 100 3.5 0.5 $7 ¢9 -4 +2.50 £0.30 1960s 3rd x7 . , % '' 0"""
WORDS = NAMED.split()
TEXTS = [
    *SENTENCES,
    *(" ".join(random.Random(seed).choices(WORDS, k=1 + seed % 12)) for seed in range(2000)),
    *("".join(random.Random(seed).choices("aé œ.'’$%5 0-()[]<>\n\t²½漢字,ß́", k=1 + seed % 25)) for seed in range(500)),
    *("", " ", "1" * 20),
]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (ours.EnglishTextNormalizer(SPELLING), reference.EnglishTextNormalizer(SPELLING)),
        (ours.EnglishNumberNormalizer(), reference.EnglishNumberNormalizer()),
        (ours.BasicTextNormalizer(), reference.BasicTextNormalizer()),
        (ours.BasicTextNormalizer(True), reference.BasicTextNormalizer(True)),
        (ours.BasicTextNormalizer(True, True), reference.BasicTextNormalizer(True, True)),
        (ours.remove_symbols_and_diacritics, reference.remove_symbols_and_diacritics),
    ],
    ids=["english", "numbers", "basic", "without marks", "letters", "symbols"],
)
def test_equal_to_the_reference(made: Any, expected: Any) -> None:
    for text in TEXTS:
        assert made(text) == expected(text), text


def test_english_needs_a_table_of_spellings() -> None:
    with pytest.raises(ArgumentError, match=r"normalizer\.json"):
        ours.EnglishTextNormalizer(None)  # type: ignore[arg-type]


def test_a_number_of_very_many_digits_stays() -> None:
    assert ours.EnglishNumberNormalizer()("5" * 5000 + " dollars") == "$" + "5" * 5000
