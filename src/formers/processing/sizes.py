"""Sizes of images: how settings say them, and what they make of an image's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError

NAMES = ("height", "width", "shortest_edge", "longest_edge", "max_height", "max_width", "min_pixels", "max_pixels")
_FORMS = (
    *({"height", "width"}, {"shortest_edge"}, {"shortest_edge", "longest_edge"}, {"longest_edge"}),
    *({"max_height", "max_width"}, {"min_pixels", "max_pixels"}),
)
_FORMS_IN_WORDS = "an integer, (height, width), " + ", ".join(
    "{" + ", ".join(f"{name!r}: …" for name in NAMES if name in form) + "}" for form in _FORMS
)


class SizeDict(dict[str, int]):
    """A size, `{"height": 224, "width": 224}` or `{"shortest_edge": 224}`; its parts are attributes too, None where it
    lacks one."""

    def __getattr__(self, name: str) -> int | None:
        if name in NAMES:
            return self.get(name)
        raise AttributeError(f"A size has {', '.join(NAMES)}, no {name}.")

    def __setattr__(self, name: str, value: int) -> None:
        self[name] = value


def as_size(value: Any, name: str, square: bool = True) -> SizeDict:
    """A size in any of its forms. An integer is both edges where `square`, else the shortest one.

    Errors: InputError that names the setting, `name`.
    """
    if isinstance(value, Mapping):
        found = {key: edge for key, edge in value.items() if edge is not None}
    elif isinstance(value, (list, tuple)) and len(value) == 2:
        found = dict(zip(("height", "width"), value, strict=True))
    else:
        edge = value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value
        found = {"height": edge, "width": edge} if square else {"shortest_edge": edge}
    if set(found) not in _FORMS:
        raise InputError(f"{name}={value!r} is no size: it is {_FORMS_IN_WORDS}.")
    for key, edge in found.items():
        if isinstance(edge, bool) or not isinstance(edge, (int, float)) or edge != edge or edge in (0, float("inf")):
            raise InputError(f"{name}={value!r} is no size: {key} must be a whole number of pixels, 1 or more.")
        if edge < 1 or int(edge) != edge:
            raise InputError(f"{name}={value!r} is no size: {key} must be a whole number of pixels, 1 or more.")
    return SizeDict({key: int(edge) for key, edge in found.items()})


def target(own: tuple[int, int], size: SizeDict) -> tuple[int, int]:
    """What an image of `own` (height, width) becomes by a size.

    Height and width are taken as they are; the other forms keep the aspect: the shortest edge becomes so long, but the
    longest one no longer than its limit; or the image just fits into max_height × max_width.
    """
    (height, width), (short, long) = own, sorted(own)
    if size.height and size.width:
        return size.height, size.width
    if size.shortest_edge:
        edges = _edges(short, long, size.shortest_edge, size.longest_edge)
        return edges if height <= width else (edges[1], edges[0])
    if size.max_height and size.max_width:
        scale = min(size.max_height / height, size.max_width / width)
        return int(height * scale), int(width * scale)
    raise InputError(
        f"size={dict(size)} is none that this processor resizes to: give height and width, or shortest_edge."
    )


def _edges(short: int, long: int, wanted: int, limit: int | None) -> tuple[int, int]:
    """The shortest and the longest edge, where the first is to be `wanted` and the second at most `limit`."""
    if limit is None or float(long) / float(short) * wanted <= limit:
        return (short, long) if limit is not None and short == wanted else (wanted, int(wanted * long / short))
    exact = limit * float(short) / float(long)
    return (short, long) if short == round(exact) else (round(exact), int(exact * long / short))
