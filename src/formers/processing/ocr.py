"""The words on a page, as Tesseract reads them.

Source: Smith 2007, "An Overview of the Tesseract OCR Engine".
"""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..extra import library
from .transforms import Picture, as_array, to_pil

_INSTEAD = "give words and boxes yourself: apply_ocr=False in a processor, word_boxes=… in a pipeline"


def read_words(
    picture: Picture, language: str | None = None, options: str | None = None
) -> tuple[list[str], list[list[int]]]:
    """The words on a page, and each one's box: left, top, right, bottom, in thousandths of the page.

    language: as Tesseract calls it, "deu"; English if left out. options: further ones of the program, "--psm 6".

    Errors: MissingNameError without pytesseract; ArgumentError without the program, or where it fails.
    """
    tesseract: Any = library("pytesseract", f"Reading words off a page (or {_INSTEAD})", "pytesseract")
    page, _ = to_pil(as_array(picture))
    try:
        found = tesseract.image_to_data(page, lang=language, output_type="dict", config=options or "")
    except tesseract.TesseractNotFoundError as error:
        raise ArgumentError(
            "pytesseract starts the program tesseract, which is not there: install it (apt install tesseract-ocr), or "
            f"{_INSTEAD}."
        ) from error
    except tesseract.TesseractError as error:
        raise ArgumentError(
            f"tesseract could not read a page with language {language!r} and options {options!r}: {error}. "
            "`tesseract --list-langs` names the languages that are installed."
        ) from error
    words, boxes = [], []
    places = zip(*(found[key] for key in ("text", "left", "top", "width", "height")), strict=True)
    for word, left, top, width, height in places:
        if word.strip():
            words.append(word)
            edges = ((left, page.width), (top, page.height), (left + width, page.width), (top + height, page.height))
            boxes.append([int(1000 * (edge / whole)) for edge, whole in edges])
    return words, boxes
