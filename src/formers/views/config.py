"""A configuration as a table: what differs from the defaults of its class is marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import html

_MOST_ENTRIES = 50
_LABELS = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
_MISSING = object()


def config_html(config: Any) -> str:
    """The table of a configuration that has `keys`, `defaults`, and `to_dict`."""
    defaults = {"model_type": type(config).model_type, **_LABELS, **config.defaults()}
    values = config.to_dict()
    own = {key: values[key] for key in config.keys() if key in values}  # noqa: SIM118
    others = {key: value for key, value in values.items() if key not in own and key != "model_type"}
    changed = [key for key in values if _differs(values[key], defaults.get(key, _MISSING))]
    shown = [*own, *(key for key in others if key in changed)]
    rows = "".join(_row(key, values[key], defaults.get(key, _MISSING), key in changed) for key in shown)
    usual = "".join(_row(key, others[key], _MISSING, False) for key in others if key not in changed)
    source = f" from <code>{html.escape(config.name_or_path)}</code>" if config.name_or_path else ""
    count = f"{len(changed)} of {len(values)} keys differ from the defaults" if changed else "as by default"
    body = f"<b>{html.escape(type(config).__name__)}</b>{source} <span class=dim>{count}</span>"
    if rows:
        body += f"<table><tr><th>key</th><th>value</th><th>default</th></tr>{rows}</table>"
    if usual:
        body += html.folded("<span class=dim>other keys, as by default</span>", f"<table>{usual}</table>")
    return html.fragment(body)


def _differs(value: Any, default: Any) -> bool:
    return default is _MISSING or bool(value != default)


def _row(key: str, value: Any, default: Any, changed: bool) -> str:
    name = f"<b>{html.escape(key)}</b>" if changed else html.escape(key)
    usual = _value(default) if changed and default is not _MISSING else ""
    mark = ' class="changed" title="differs from the default"' if changed else ""
    return f"<tr><td{mark}><code>{name}</code></td><td>{_value(value)}</td><td class=dim>{usual}</td></tr>"


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        entries = [(f"<code>{html.shortened(k)}</code>", _value(v)) for k, v in list(value.items())[:_MOST_ENTRIES]]
        more = f"… {len(value) - _MOST_ENTRIES:,} more" if len(value) > _MOST_ENTRIES else ""
        return html.folded("1 entry" if len(value) == 1 else f"{len(value):,} entries", html.table(entries) + more)
    return f"<code>{html.shortened(repr(value))}</code>"
