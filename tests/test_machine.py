"""The memory that this process may still take, by files of the system made here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import formers
import formers.machine
from formers.cache import DynamicCache
from formers.errors import InputError

GROUPS = {
    "proc/self/cgroup": "4:memory:/box\n0::/in/box\n",
    "proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    4000 kB\n",
}
V1, V2 = "sys/fs/cgroup/memory/box", "sys/fs/cgroup/in"
CASES: dict[str, tuple[dict[str, str], int | None]] = {
    "nothing is known": ({}, None),
    "no limit": ({f"{V2}/memory.max": "max", f"{V2}/memory.current": "5"}, 4_096_000),
    "a limit": ({f"{V2}/memory.max": "3000", f"{V2}/memory.current": "1000"}, 2000),
    "what files take": (
        {f"{V2}/memory.max": "3000", f"{V2}/memory.current": "1000", f"{V2}/memory.stat": "anon 7\ninactive_file 600"},
        2600,
    ),
    "version 1": ({f"{V1}/memory.limit_in_bytes": "700", f"{V1}/memory.usage_in_bytes": "650"}, 50),
    "over the limit": ({f"{V1}/memory.limit_in_bytes": "700", f"{V1}/memory.usage_in_bytes": "900"}, 0),
    "nonsense": ({f"{V1}/memory.limit_in_bytes": "much", f"{V1}/memory.usage_in_bytes": ""}, 4_096_000),
}


@pytest.mark.parametrize("case", CASES)
def test_free_memory(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, expected = CASES[case]
    for name, content in {**(GROUPS if files else {}), **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(formers.machine, "_ROOT", tmp_path)
    assert formers.machine.free_memory() == expected


def test_a_cache_that_memory_has_no_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DynamicCache()
    cache.update(torch.zeros(1, 8, 4, 64), torch.zeros(1, 8, 4, 64), 0)
    monkeypatch.setattr("formers.cache.free_memory", lambda: 2**29)
    cache.check_room(100_000)  # 0.4 GiB
    with pytest.raises(InputError, match=r"200,000 new tokens need 0\.8 GiB .* cpu has 0\.5 GiB .* max_new_tokens"):
        cache.check_room(200_000)
    monkeypatch.setattr("formers.cache.free_memory", lambda: None)
    cache.check_room(10**12)


def test_generate_asks_before_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:

    config = formers.LlamaConfig(
        vocab_size=99, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4
    )
    model = formers.LlamaForCausalLM(config).eval()
    monkeypatch.setattr("formers.cache.free_memory", lambda: 2**28)
    with pytest.raises(InputError, match="max_new_tokens"):
        model.generate(torch.ones(1, 3, dtype=torch.long), max_new_tokens=10**7)
