"""Texts shown as they are written. Importing this imports torch's part of the package."""

from __future__ import annotations

from typing import Any

from ..errors import visible
from ..generation.streamers import TextStreamer


class Shown(TextStreamer):
    """Prints what is written after a prompt, without what could steer a terminal; `text` is all of it.

    quiet: collect only.
    """

    def __init__(self, tokenizer: Any, quiet: bool = False) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.quiet, self.text = quiet, ""

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Print a piece, and a line's end after the last."""
        self.text += text
        if not self.quiet:
            print(visible(text), end="\n" if stream_end else "", flush=True)
