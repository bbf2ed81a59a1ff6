"""The machine and the versions that a run was made with."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8")
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "onnxruntime",
    "onnx",
    "openvino",
    "ctranslate2",
    "sentence-transformers",
    "numpy",
)
VERSIONS = """
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def processor(threads: int) -> str:
    """Model, cores, memory and the vector and matrix units of the processor, in one line."""
    info = dict(
        line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines() if ":" in line
    )
    info = {key.strip(): value.strip() for key, value in info.items()}
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    units = ", ".join(flag for flag in FLAGS if flag in info["flags"].split()) or "none of these"
    name = f"{info['model name']} (family {info['cpu family']}, model {info['model']}, stepping {info['stepping']})"
    return f"{name}; {threads} cores and threads used; {memory:.0f} GiB of memory; units: {units}"


def versions(python: str) -> str:
    """Versions of the engines that a Python has, and its own."""
    run = subprocess.run([python, "-c", VERSIONS, *PACKAGES], check=True, capture_output=True, text=True)
    found = json.loads(run.stdout)
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {found[name]}" for name in found)])
