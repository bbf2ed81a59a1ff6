"""`formers env`: versions, machine and settings."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..version import __version__
from .output import declare_json, show, table

ABOUT = "show versions, machine and settings, for bug reports"
_LIBRARIES = ("torch", "numpy", "tokenizers", "huggingface_hub", "tqdm", "safetensors", "transformers")
_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "OMP_NUM_THREADS")


def declare(parser: argparse.ArgumentParser) -> None:
    declare_json(parser)


def run(given: argparse.Namespace) -> None:
    import platform
    from importlib import metadata

    import huggingface_hub.constants as hub_constants
    import torch

    from ..machine import processors

    versions: dict[str, str | None] = {"formers": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = None
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    facts = {
        **versions,
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": processors(),
        "threads": torch.get_num_threads(),
        "accelerator": str(accelerator) if accelerator else None,
        "cache": hub_constants.HF_HUB_CACHE,
        **{variable: os.environ.get(variable) for variable in _VARIABLES},
    }
    show(given, facts, table(facts))


def _cpu_name() -> str:
    import platform

    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
