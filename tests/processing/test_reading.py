"""Images of any kind beside the reference's load_image, and what is said of what is none."""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers.image_utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from formers.errors import ArgumentError, FormersError, InputError, NotFoundError
from formers.processing import load_image, reading


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Any:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    image = Image.fromarray(pixels)
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def saved(image: Any, form: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(picture(), "JPEG", exif=exif)


FILES = {
    "jpeg": saved(picture(), "JPEG"),
    "turned": turned(6),
    "mirrored": turned(2),
    "cmyk": saved(picture("CMYK"), "JPEG"),
    "palette": saved(picture("P"), "PNG"),
    "transparent palette": saved(picture("P"), "PNG", transparency=3),
    "alpha": saved(picture("RGBA"), "PNG"),
    "grey with alpha": saved(picture("LA"), "PNG"),
    "one bit": saved(picture("1"), "PNG"),
    "16 bits": saved(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50), "PNG"),
    "gif": saved(picture("P"), "GIF"),
    "webp": saved(picture("RGBA"), "WEBP", lossless=True),
    "tiff": saved(picture(), "TIFF"),
}


def same(one: Any, other: Any) -> bool:
    return one.mode == other.mode and np.array_equal(np.array(one), np.array(other))


@pytest.mark.parametrize("kind", FILES)
def test_files_are_read_as_the_reference_reads_them(kind: str, tmp_path: Path) -> None:
    data, path = FILES[kind], tmp_path / "photo"
    path.write_bytes(data)
    expected = transformers.image_utils.load_image(str(path))
    text = base64.b64encode(data).decode()
    forms: list[Any] = [str(path), path, data, BytesIO(data), text, base64.encodebytes(data).decode()]
    forms += [f"data:image/x;base64,{text}", base64.urlsafe_b64encode(data).decode().rstrip("=")]
    for form in forms:
        assert same(load_image(form), expected)
    with open(path, "rb") as file:
        assert same(load_image(file), expected)
    with Image.open(path) as image:
        assert same(load_image(image), transformers.image_utils.load_image(image))


def test_arrays_and_tensors() -> None:
    pixels = np.array(picture())
    first = pixels.transpose(2, 0, 1)
    for array in (pixels, first, first / 255, torch.tensor(first), torch.tensor(first) / 255):
        assert same(load_image(array), picture())


def test_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "moving.gif"
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert load_image(path).getpixel((0, 0)) == (255, 0, 0)
    assert "3 pictures" in caplog.text and "frame=" in caplog.text
    assert load_image(path, frame=2).getpixel((0, 0)) == (0, 0, 255)
    with pytest.raises(InputError, match="from 0 to 2"):
        load_image(path, frame=3)


def test_what_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(data: bytes, says: str) -> None:
        path = tmp_path / "photo.jpg"
        path.write_bytes(data)
        with pytest.raises(InputError, match=says):
            load_image(path)

    refused(b"\n<!DOCTYPE html><title>404</title>", "page of HTML")
    refused(b"", "empty")
    refused(b"no image at all", "begins with")
    refused(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript")
    refused(FILES["jpeg"][:400], "cut short")
    for missing in ("photos/cat.png", "cat", str(tmp_path / "none" / "x.png"), "x" * 5000 + ".png", "a\0b"):
        with pytest.raises(NotFoundError, match="no file"):
            load_image(missing)
    with pytest.raises(NotFoundError, match=r"photo\.jpg"):
        load_image(tmp_path / "phto.jpg")
    with pytest.raises(NotFoundError, match="folder"):
        load_image(tmp_path)
    with pytest.raises(ArgumentError, match="mode 'rb'"):
        load_image(open(os.devnull, encoding="utf-8"))  # noqa: SIM115
    with pytest.raises(ArgumentError, match="dict"):
        load_image({})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="MAX_IMAGE_PIXELS"):
        load_image(FILES["jpeg"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="MAX_IMAGE_PIXELS"):
        load_image(FILES["jpeg"])


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if self.path == "/none" else 200)
            self.end_headers()
            if self.path == "/slow":
                waits.wait(20)
            self.wfile.write(b"<html>" if self.path == "/page" else FILES["turned"])

        def log_message(self, *_: Any) -> None:
            pass

    waits = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    waits.set()
    server.shutdown()
    server.server_close()


def test_addresses(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert same(load_image(f"{address}/photo.jpg"), load_image(FILES["turned"]))
    with pytest.raises(NotFoundError, match="404"):
        load_image(f"{address}/none")
    with pytest.raises(InputError, match="page of HTML"):
        load_image(f"{address}/page")
    with pytest.raises(NotFoundError, match="timed out"):
        load_image(f"{address}/slow", timeout=0.3)
    with pytest.raises(NotFoundError, match="cannot be had"):
        load_image("http://127.0.0.1:1/x.png")
    monkeypatch.setattr(reading, "IMAGE", replace(reading.IMAGE, most=100, on_disk=100))
    with pytest.raises(InputError, match="more than 100 bytes"):
        load_image(f"{address}/photo.jpg")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(FILES)), st.integers(0, 5000), st.binary(max_size=4), st.integers(0, 20))
def test_damaged_files_are_errors_of_this_package(kind: str, place: int, put: bytes, cut: int) -> None:
    data = FILES[kind]
    place %= len(data)
    with contextlib.suppress(FormersError):
        load_image(data[:place] + put + data[place + cut :])


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.text(max_size=90), st.text("AZaz09+/=-_ \n", min_size=60), st.text(max_size=40).map("data:{}".format))
)
def test_texts_that_are_no_images(text: str) -> None:
    with pytest.raises(FormersError):
        load_image(text)
