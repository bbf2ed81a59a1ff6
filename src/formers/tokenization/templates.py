"""Chat templates, which come from files, run in jinja2's sandbox with bounds on their time and their memory.

The sandbox keeps a template from Python's inside. It knows no bounds, and a few lines can loop for ever or double a
text until memory ends. So each loop and macro looks at the clock, and what makes texts or lists larger is asked
beforehand how large they get.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache, wraps
from types import GeneratorType
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

SECONDS = 10.0
_MOST = 20_000_000  # characters of a text, or entries of a list
_LONGEST = 200_000  # characters of a template
# around what the assistant says, where a template marks it; no text has these characters
START, END = "\ufdd0", "\ufdd1"
_WIDE = re.compile(r"\d{6}|%[-+ #0]{0,9}\*")

_until: ContextVar[float] = ContextVar("until")


class TemplateLimitError(TemplateError):
    """A template that takes too long or makes too much."""


class TemplateRefusalError(TemplateError):
    """What a template itself says of a conversation that it does not take."""


@lru_cache(maxsize=16)
def compiled(source: str) -> Template:
    """The template, ready to run. Raises TemplateError, or what Python's compiler raises, for one that is none."""
    if len(source) > _LONGEST:
        raise TemplateLimitError(f"it has {len(source):,} characters; at most {_LONGEST:,} are read")
    return _Environment().from_string(source)


def rendered(source: str, values: Mapping[str, Any]) -> str:
    """What the template gives. Raises TemplateError, and whatever its operations on the values raise."""
    template = compiled(source)
    token = _until.set(time.monotonic() + SECONDS)
    try:
        size, pieces = 0, []
        for piece in template.generate(**values):
            size += len(piece)
            _within(size)
            pieces.append(piece)
        return "".join(pieces)
    finally:
        _until.reset(token)


def _within(size: int) -> None:
    if size > _MOST:
        raise TemplateLimitError(f"it makes a text or list of more than {_MOST:,} characters or entries")


def tick() -> str:
    """Raise TemplateLimitError when the time of this rendering is over."""
    if time.monotonic() > _until.get():
        raise TemplateLimitError(f"it takes more than {SECONDS:.0f} seconds")
    return ""


def _size(value: Any, known: dict[int, int] | None = None) -> int:
    """How long the value is as text, about: a list that holds another one twice shows it twice."""
    if isinstance(value, str):
        return len(value)
    if not isinstance(value, (list, tuple, dict, Namespace)):
        return 1
    known = {} if known is None else known
    if id(value) not in known:
        known[id(value)] = _MOST + 1  # while it is looked at: a list in itself has no end
        inner = (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, Sequence) else ()
        known[id(value)] = 2 + sum(_size(one, known) for one in inner)
    return known[id(value)]


def _counted(values: Iterator[Any]) -> Iterator[Any]:
    """What a filter gives one by one, until it is too much."""
    size = 0
    for value in values:
        tick()
        size += _size(value)
        _within(size)
        yield value


def _check(name: str, values: Sequence[Any]) -> None:
    """Raise TemplateLimitError if the function of this name would make too much of the values."""
    tick()
    size = sum(map(_size, values))
    widest = max((abs(value) for value in values if isinstance(value, int)), default=0)
    texts = [value for value in values if isinstance(value, str)]
    if name in ("indent", "tojson", "expandtabs", "wordwrap", "batch", "slice"):
        size *= 1 + widest
    elif name == "replace" and len(texts) > 2:
        size += (texts[0].count(texts[1]) + 1) * len(texts[2])
    elif name == "join":
        size += max(map(len, (value for value in values if isinstance(value, (list, tuple, str)))), default=0) * max(
            map(len, texts), default=0
        )
    elif name in ("format", "format_map") and texts and _WIDE.search(texts[0]):
        raise TemplateLimitError("it asks for a text of a width of six digits")
    _within(max(size, widest))


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        given = [_counted(value) if isinstance(value, GeneratorType) else value for value in args]
        if name == "join":
            given = [list(value) if isinstance(value, GeneratorType) else value for value in given]
        _check(name, [*given, *kwargs.values()])
        return function(*given, **kwargs)

    return guarded


def _joined(parts: list[Any]) -> str:
    """`a ~ b`."""
    _within(sum(map(_size, parts)))
    return "".join(map(str, parts))


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox with the functions of chat templates."""

    tick, joined = staticmethod(tick), staticmethod(_joined)
    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        self.filters = {name: _guarded(name, function) for name, function in self.filters.items()}
        self.filters["tojson"] = _guarded("tojson", _tojson)
        del self.globals["lipsum"], self.filters["urlize"]  # of use to web pages, and slow
        self.globals |= {"raise_exception": _refuse, "strftime_now": _now, "namespace": _Namespace, "dict": _Dict()}
        self.finalize = _shown

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        node: Any
        for node in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
            clock = nodes.Call(nodes.EnvironmentAttribute("tick"), [], [], None, None)  # no template can set it
            node.body.insert(0, nodes.ExprStmt(clock).set_lineno(node.lineno))
            if isinstance(node, nodes.For) and node.test is not None:
                node.test = nodes.And(nodes.Compare(clock, [nodes.Operand("eq", nodes.Const(""))]), node.test)
        for concat in [*tree.find_all(nodes.Concat)]:
            joined = nodes.EnvironmentAttribute("joined")
            concat.nodes = [nodes.Call(joined, [nodes.List(concat.nodes)], [], None, None)]
        return tree

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator == "*" and isinstance(left, int) and isinstance(right, int)):
            bits = [value.bit_length() if isinstance(value, int) else 64 for value in (left, right)]
            _within(bits[0] * abs(right) if operator == "**" and isinstance(right, int) else sum(bits) * 1000)
        elif operator == "*":
            _within(_size(left) * abs(right) if isinstance(right, int) else _size(right) * int(left))
        elif operator == "%" and isinstance(left, str):
            _check("format", [left, right])
        else:
            _within(_size(left) + _size(right))
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        itself = getattr(function, "__wrapped__", function)
        owner, name = getattr(itself, "__self__", None), getattr(itself, "__name__", "")
        if function is not tick:
            _check(name, [*([owner] if isinstance(owner, (str, list, dict)) else []), *args, *kwargs.values()])
        return super().call(context, function, *args, **kwargs)


def _shown(value: Any) -> Any:
    """`{{ value }}`."""
    _within(_size(value))
    return value


def _refuse(message: object) -> NoReturn:
    raise TemplateRefusalError(str(message))


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    # jinja2's own is for web pages
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class _Dict:
    """`dict(…)` without what the type itself has."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)


class _Namespace(Namespace):
    """jinja2's, but for names that begin as Python's own do."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `self` may be one of the names
        for name in dict(*args[1:], **kwargs):
            _allowed(name)
        Namespace.__init__(*args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _allowed(name)
        super().__setitem__(name, value)


def _allowed(name: object) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace takes no name like {name!r}, which begins with '_'")


class _Generation(Extension):
    """{% generation %} … {% endgeneration %} around what the assistant says."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        before, after = (nodes.Output([nodes.TemplateData(mark)]).set_lineno(line) for mark in (START, END))
        return [before, *body, after]
