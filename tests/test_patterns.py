"""No regular expression is slow on any text: ours are found in the source and timed, those of files are refused."""

from __future__ import annotations

import ast
import json
import re
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import formers
from formers.tokenization.patterns import harmful, slow
from tests.clock import within

if sys.version_info >= (3, 11):
    from re import _constants as codes
    from re import _parser as parser
else:
    import sre_constants as codes
    import sre_parse as parser

SOURCE = Path(formers.__file__).parent
CALLS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
LENGTH, SECONDS = 100_000, 0.2


# ---- our own


class Finder(ast.NodeVisitor):
    """The patterns of a file: first arguments of functions of `re`, and of the tokenizers' `Regex`."""

    def __init__(self, tree: ast.Module) -> None:
        self.values = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.values[node.targets[0].id] = node.value
        self.found: list[tuple[str | bytes, str]] = []
        self.unknown: list[str] = []
        self.keys: dict[str, Any] = {}  # of loops over a table's items, the names of its keys
        self.visit(tree)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        for loop in node.generators:
            table = self.values.get(ast.unparse(loop.iter).removesuffix(".items()"))
            if isinstance(loop.target, ast.Tuple) and isinstance(table, ast.Dict):
                self.keys[ast.unparse(loop.target.elts[0])] = table.keys
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        of_re = isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "re"
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if (of_re and name in CALLS) or name == "Regex":
            try:
                self.found += [(pattern, name) for pattern in self.read(node.args[0])]
            except ValueError:
                self.unknown.append(ast.unparse(node))
        self.generic_visit(node)

    def read(self, node: ast.expr) -> list[Any]:
        """The values that an expression may have; of a loop's variable, all text constants of what is looped over."""
        if isinstance(node, ast.Constant):
            return [node.value]
        if isinstance(node, ast.JoinedStr):
            return ["".join(parts) for parts in product(*map(self.read, node.values))]
        if isinstance(node, ast.FormattedValue):
            return self.read(node.value)
        if isinstance(node, ast.Name) and node.id in self.keys:
            return [value for key in self.keys[node.id] for value in self.read(key)]
        if isinstance(node, ast.Name) and node.id in self.values:
            return self.read(self.values[node.id])
        if isinstance(node, ast.Name) and node.id == "pattern":  # `for pattern, words in _LOOKS`
            return [n.elts[0].value for n in self.values["_LOOKS"].elts]  # type: ignore[attr-defined]
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):  # of a table, any of its values
            table = self.values.get(node.value.id)
            if isinstance(table, ast.Dict):
                return [pattern for value in table.values for pattern in self.read(value)]
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict.fromkeys":
            return self.read(node.args[1])
        raise ValueError(ast.dump(node))


def methods() -> dict[str, set[str]]:
    """By which methods each compiled pattern is used, by the name of its constant."""
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in CALLS:
                owner = getattr(node.value, "id", getattr(node.value, "attr", ""))
                found.setdefault(owner, set()).add(node.attr)
    return found


def ours() -> dict[str, tuple[str | bytes, set[str]]]:
    """Pattern, and the functions that it is used with, by file and pattern."""
    found: dict[str, tuple[str | bytes, set[str]]] = {}
    used = methods()
    for path in sorted(SOURCE.rglob("*.py")):
        finder = Finder(ast.parse(path.read_text(encoding="utf-8")))
        assert not finder.unknown, f"{path}: what are these patterns? {finder.unknown}"
        where = path.relative_to(SOURCE)
        compiled = {
            ast.unparse(value): used.get(name, CALLS - {"compile"})
            for name, value in finder.values.items()
            if ast.unparse(value).startswith("re.compile(")
        }
        for pattern, function in finder.found:
            by_name = next((m for text, m in compiled.items() if repr(pattern) in text), CALLS - {"compile"})
            found[f"{where} {pattern!r}"] = pattern, by_name if function == "compile" else {function}
    return found


OURS = ours()


def nested(tree: Any, inside: bool = False) -> bool:
    """Whether something repeated many times holds what is itself repeated a varying number of times."""
    for kind, value in tree:
        if kind in (codes.MAX_REPEAT, codes.MIN_REPEAT, getattr(codes, "POSSESSIVE_REPEAT", None)):
            low, high, body = value
            many = high > 100 and low != high
            if (inside and low != high and high > 1) or nested(body, inside or many):
                return True
        elif kind is codes.SUBPATTERN:
            if nested(value[-1], inside):
                return True
        elif kind is codes.BRANCH:
            if any(nested(branch, inside) for branch in value[1]):
                return True
        elif kind in (codes.ASSERT, codes.ASSERT_NOT) and nested(value[1], inside):
            return True
    return False


def test_patterns_are_found() -> None:
    assert len(OURS) > 12
    assert any("ubuntu" not in name and "doctype" in name for name in OURS) and any("--[a-z-]+" in n for n in OURS)
    assert (
        nested(parser.parse("(a+)+")) and nested(parser.parse("(?:x(a|b*))*")) and not nested(parser.parse("(ab)+c*"))
    )


@pytest.mark.parametrize("name", OURS)
def test_no_nested_repetition(name: str) -> None:
    pattern, _ = OURS[name]
    text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    if "\\p{" in text:  # one of the tokenizers' library
        assert slow(text) is None
    else:
        assert not nested(parser.parse(text))


def characters(pattern: str) -> list[str]:
    """Pieces that an adversary would repeat: what the pattern itself is made of."""
    literals = re.findall(r"[A-Za-z0-9_./:@<>?!#%&=,; -]{1,12}", pattern)
    single = set("".join(literals)) | set("aA0 \n\t\0-_./\\\"'([{<é中\u2028")
    return sorted(single) + literals


@pytest.mark.parametrize("name", OURS)
def test_soon_done_with_any_text(name: str) -> None:
    pattern, used = OURS[name]
    as_text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    if "\\p{" in as_text:
        return
    compiled = re.compile(pattern)
    functions: list[Any] = [getattr(compiled, function) for function in used & {"match", "fullmatch"}]
    functions += [compiled.search] if used - {"match", "fullmatch"} else []  # the others search as well
    for piece in characters(as_text):
        for end in ("", "!", "\0", "\n"):
            text: Any = (piece * (LENGTH // len(piece)))[:LENGTH] + end
            subject = text.encode("utf-8", "replace") if isinstance(pattern, bytes) else text
            for function in functions:
                with within(SECONDS, (function, piece, end)):
                    function(subject)


# ---- those of files

PUBLISHED = {
    "GPT-2, ByteLevel": r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "GPT-4, Llama 3": r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+""",
    "Qwen 2": r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+""",
    "GPT-4o": r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re)?"""
    r"""|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re)?|\p{N}{1,3}"""
    r"""| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
    "DeepSeek 3": r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
    "Kimi": r"""[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}&&[^\p{Han}]]*[\p{Ll}\p{M}&&[^\p{Han}]]+(?i:'s|'t)?|\s+""",
    "CLIP": r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""",
    "BLOOM": r""" ?[^(\s|[.,!?…。，、।۔،])]+""",
    "numbers in threes": r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|$))",
    "numbers in threes, from the right": r"(?=(\d{3})+(?!\d))",
    "molecules": r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>|\*|\$|\%[0-9]{2})",
    "spaces": r" {2,}",
    "punctuation": r"[!-/:-@\[-`{-~]|\p{P}",
    "named class": r"[[:alpha:]]+|[]a]+",
}
SLOW = [
    "a+[b-z]", r"(?=(a+))a*b\1", r"(a+)b\1|c", r"\s+$", "x?a+[bc]",
    r"(a+)+$", r"(a|aa)+b", r"(a?a)+b", r"(?:a{1,9})*b", r"(?:a{2,3}+)b", r"a+a+b", r"[^\0]+[^\0]+[^\0]+\0",
    r"((a*)*)*", r"(?=(a+)+$)x", r"(?:(?:a+)b)+c", r"(?:a|b){2,}", r"(?<n>a+)*b", r"(?i:a+)+b", r"x*(?:y*z*)w",
    r".*.*=.*", r"(a+){10}b", r"(?:a+a+)?b", r"[a[b]]*.*c", r"a{1,1000}a{1,1000}b", r"(.*)\1\1+x", r"[\]a]*]*]*b",
    r"(?<n>a+)(?:\g<n>)+b", "(?x)# [\n(a+)+$", r"(?#[)(a+)+$", "(" * 2000 + "a" + ")" * 2000, "ab" * 20_000,
]  # fmt: skip


def test_published_patterns_pass() -> None:
    assert {name: why for name, pattern in PUBLISHED.items() if (why := slow(pattern))} == {}


@pytest.mark.parametrize("pattern", SLOW)
def test_slow_patterns_do_not(pattern: str) -> None:
    with within(SECONDS):
        assert slow(pattern)


@settings(max_examples=300, deadline=None, database=None)
@given(st.text(st.sampled_from("ab()[]{}*+?|\\^$.,19<>:=!-&gkpP"), max_size=60))
def test_any_pattern_is_judged(pattern: str) -> None:
    why = slow(pattern)
    assert why is None or isinstance(why, str)


@settings(max_examples=200, deadline=None, database=None)
@given(st.text(st.sampled_from("ab(|)*+?"), max_size=14))
def test_what_passes_is_soon_done(pattern: str) -> None:
    """By Python's engine, which has no limit of its own and tries the ways one by one as well."""
    try:
        compiled = re.compile(pattern)
    except re.error:
        return
    if slow(pattern) is None:
        for text in ("a" * 300, "ab" * 150, "b" + "a" * 300):
            with within(SECONDS):
                compiled.match(text + "!")


@pytest.mark.parametrize(
    "piece", ["(", "[", "(?:", "(?#", "(?i", "a{", "a{1,", "\\p{", "\\k<", "a*", "a|", "(?<a", "[[:"]
)
def test_judging_is_soon_done(piece: str) -> None:
    with within(SECONDS):
        slow(piece * (10_000 // len(piece)))


@pytest.mark.parametrize("pattern", ["(?=a+b)", "x(?!a+b)y", "(?=a+)b"])
def test_patterns_that_may_split_and_not_replace(pattern: str) -> None:
    assert slow(pattern, replaces=True) and not slow(pattern)
    assert not slow(r"\s+(?!\S)|\s+", replaces=True) and not slow(" {2,}", replaces=True)


def _replacing(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"type": "Replace", "pattern": {"String": old}, "content": new} for old, new in pairs]


def test_replacements_that_make_texts_longer() -> None:
    marks = [(c, f"<|{c.upper()}|>") for c in "abcdefghij"]  # each once: five times as long, not 5^10
    assert harmful(_replacing(*marks)) is None
    assert harmful(_replacing(("a", "bb"), ("b", "cc"), ("c", "dd"))) is None
    assert "times as long" in str(harmful(_replacing(*[("a", "a" * 10)] * 5)))
    assert "times as long" in str(harmful(_replacing(("a", "b" * 200), ("b", "c" * 200))))
    assert "times as long" in str(harmful([{"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 200}] * 2))
    assert "times as long" in str(harmful([{"type": "Prepend", "prepend": "x" * 20_000}]))


@pytest.mark.parametrize("place", ["normalizer", "pre_tokenizer", "decoder", "within a sequence"])
def test_a_tokenizer_file_with_a_slow_pattern(place: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    made = json.loads(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str())
    pattern: dict[str, Any] = {"Regex": "(a+)+$"}
    part: dict[str, Any] = {"type": "Replace", "pattern": pattern, "content": "x"}
    if place == "pre_tokenizer":
        part = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    if place == "within a sequence":
        place, part = "normalizer", {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, part]}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(made | {place: part}))
    with pytest.raises(formers.TokenizerError, match=r"\(a\+\)\+\$.*several ways") as caught:
        formers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    assert str(path) in str(caught.value)
    pattern["Regex"] = PUBLISHED["GPT-4o"]
    path.write_text(json.dumps(made | {place: part}))
    assert formers.PreTrainedTokenizerFast(tokenizer_file=str(path))("a")["input_ids"]


MANY = 100_000
TEXT, TOKEN = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "a", "type_id": 0}}


def _template(single: list[Any], ids: int = 1) -> dict[str, Any]:
    token = {"id": "a", "ids": [0] * ids, "tokens": ["a"] * ids}
    pair = [TEXT, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": {"a": token}}


OUT_OF_PROPORTION: dict[str, dict[str, Any]] = {
    "normalizers": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}] * MANY}},
    "replacements": {"normalizer": {"type": "Sequence", "normalizers": _replacing(*[("z", "y")] * 10_000)}},
    "splits": {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}] * MANY}},
    "decoders": {"decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}] * MANY}},
    "special tokens": {"post_processor": _template([TOKEN] * MANY + [TEXT])},
    "ids of a special token": {"post_processor": _template([TOKEN, TEXT], MANY)},
    "places of the text": {"post_processor": _template([TEXT] * MANY)},
}


@pytest.mark.parametrize("name", OUT_OF_PROPORTION)
def test_a_tokenizer_file_of_too_many_steps(name: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    made = json.loads(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str())
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(made | OUT_OF_PROPORTION[name]))
    with within(2), pytest.raises(formers.TokenizerError, match=r"tokenizer\.json.*more than [14],000"):
        formers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    path.write_text(json.dumps(made | {"post_processor": _template([TOKEN, TEXT, TOKEN])}))
    assert len(formers.PreTrainedTokenizerFast(tokenizer_file=str(path))("a")["input_ids"]) == 3
