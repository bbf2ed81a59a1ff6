"""The modes on lesser processors than this one: oneDNN, torch and FBGEMM are told what they may use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "FBGEMM_ENABLE_INSTRUCTIONS")
PROCESSORS = {
    "SSE4.1": ("SSE41", "default", "AVX2"),  # FBGEMM knows nothing less
    "AVX2": ("AVX2", "avx2", "AVX2"),
    "AVX-512 without VNNI": ("AVX512_CORE", "avx512", "AVX512"),
    "AVX-512 with VNNI": ("AVX512_CORE_VNNI", "avx512", "AVX512_VNNI"),
    "its own": (),
}
COSINES = {"float32": 0.99999, "fp16": 0.9999, "bf16": 0.999, "int8": 0.99}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_modes(processor: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment |= dict(zip(NAMES, PROCESSORS[processor], strict=False))
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "capable.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    for asked, found in json.loads(ran.stdout.splitlines()[-1]).items():
        mode = found["mode"]
        assert mode is not None or asked == "True"
        assert asked in ("True", mode) or f"took {mode}: {asked} is missing" in ran.stderr
        assert found["cosine"] > COSINES.get(mode, 0.99999), (asked, found)
        # a few times as long as promised and as wanted: other programs run beside tests
        assert found["taken"] < 10 and found["slower"] < 3, (asked, found)
