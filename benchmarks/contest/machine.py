"""The machine and the versions that a run was made with."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

# kinds of processors: the name of their page, and a unit that those before have not
KINDS = {
    "amx": ("AMX", "amx_tile"),
    "avx512_vnni": ("AVX-512 with VNNI", "avx512_vnni"),
    "avx512": ("AVX-512", "avx512f"),
    "avx2_vnni": ("AVX2 with VNNI", "avx_vnni"),
    "avx2": ("AVX2", "avx2"),
    "avx2_restricted": ("AVX2 alone, by restriction", ""),
    "other": ("another kind", ""),
}
# what tells libraries to use AVX2 alone; ONNX Runtime has no such variable
RESTRICTION = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",
    "CT2_FORCE_CPU_ISA": "AVX2",
}
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


def kind() -> str:
    """One of KINDS."""
    if all(os.environ.get(name, "").lower() == value.lower() for name, value in RESTRICTION.items()):
        return "avx2_restricted"
    units = _info()["flags"].split() if "flags" in _info() else []
    return next((name for name, (_, unit) in KINDS.items() if unit in units), "other")


def _info() -> dict[str, str]:
    pairs = (line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines())
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


def processor(threads: int) -> str:
    """Model, cores, memory and the vector and matrix units of the processor, in one line."""
    info = _info()
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    units = ", ".join(flag for flag in FLAGS if flag in info["flags"].split()) or "none of these"
    name = f"{info['model name']} (family {info['cpu family']}, model {info['model']}, stepping {info['stepping']})"
    if kind() == "avx2_restricted":
        told = ", ".join(f"`{name}={value}`" for name, value in RESTRICTION.items())
        units = f"{units}, of which libraries were told to use AVX2 alone ({told}; ONNX Runtime cannot be told)"
    return f"{name}; {threads} cores and threads used; {memory:.0f} GiB of memory; units: {units}"


def versions(python: str) -> str:
    """Versions of the engines that a Python has, and its own."""
    run = subprocess.run([python, "-c", VERSIONS, *PACKAGES], check=True, capture_output=True, text=True)
    found = json.loads(run.stdout)
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {found[name]}" for name in found)])
