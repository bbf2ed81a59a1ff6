"""Pages in a headless Chromium: how they look, and what they are after their scripts ran."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH to look at pages with")


def _run(address: str, folder: Path, *options: str) -> str:
    assert CHROMIUM is not None
    profile = folder / "profile"
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
            *("--disable-background-networking", f"--user-data-dir={profile}", "--virtual-time-budget=20000"),
            *(*options, address),
        ],
        capture_output=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode("utf-8")


def dom(page: Path, fragment: str = "") -> str:
    """The document as HTML, after its scripts ran."""
    return _run(f"{page.as_uri()}{fragment}", page.parent, "--dump-dom")


def picture(page: Path, width: int, height: int, dark: bool = False) -> Any:
    """A screenshot."""
    target = page.with_suffix(".dark.png" if dark else ".png")
    scheme = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    _run(page.as_uri(), page.parent, f"--screenshot={target}", f"--window-size={width},{height}", *scheme)
    return Image.open(target).convert("RGB")


def drawn(image: Any) -> tuple[float, int]:
    """The share of pixels that are not of the commonest colour, and the number of colours."""
    raw = image.tobytes()
    colours = Counter(zip(raw[::3], raw[1::3], raw[2::3], strict=True))
    return 1 - max(colours.values()) / colours.total(), len(colours)


def is_blank(image: Any) -> bool:
    """Whether there is nothing that could be a text or a drawing."""
    share, colours = drawn(image)
    return share < 0.005 or colours < 8
