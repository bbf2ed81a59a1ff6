"""A model as a tree of its modules, with shapes, counts of parameters, and what is frozen or shared."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import html


@dataclass
class Node:
    """A module, or several equal ones in a row: parameters of its own, and totals of all inside it, shared ones once.

    Attributes:
        name: "layer", or "0–11" for several.
        kind: the name of its class.
        times: how many modules this is.
        lines: its own parameters and buffers, as text.
        form: what has to be equal for modules to be shown as one.
        count, trainable: numbers in its parameters, and those of them that are trained.
        bytes: of parameters and buffers.
    """

    name: str
    kind: str
    times: int = 1
    lines: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    form: Hashable = None
    count: int = 0
    trainable: int = 0
    bytes: int = 0


def model_html(model: Any) -> str:
    """The tree of a torch module; totals are on top."""
    tree = _read(model, "", "", {})
    tensors = list(model.parameters())
    places = sorted({f"{_short(x.dtype)} on {x.device}" for x in tensors})
    optimized = getattr(model, "optimized", None)
    facts = [
        f"{tree.count:,} parameters",
        _training(tree.count, tree.trainable) or "all trainable",
        _size(tree.bytes),
        *places,
        *([f"optimized: {optimized.mode}"] if optimized else []),
        "training mode" if model.training else "evaluation mode",
    ]
    source = getattr(getattr(model, "config", None), "name_or_path", "")
    origin = f" from <code>{html.escape(source)}</code>" if source else ""
    chips = " ".join(f'<span class="chip">{html.escape(fact)}</span>' for fact in facts)
    return html.fragment(f"<b>{html.escape(tree.kind)}</b>{origin}<br>{chips}{_inside(tree, depth=0)}")


def _read(module: Any, name: str, path: str, seen: dict[int, str]) -> Node:
    """The node of a module; `seen` has the tensors met before, by identity, with the names they were met under."""
    node = Node(name, type(module).__name__)
    form: list[Hashable] = [node.kind, module.extra_repr()]
    for own, tensor in module.named_parameters(recurse=False, remove_duplicate=False):
        form.append(_add(node, own, f"{path}{own}", tensor, seen, learns=True))
    for own, tensor in module.named_buffers(recurse=False, remove_duplicate=False):
        form.append(_add(node, own, f"{path}{own}", tensor, seen, learns=False))
    for child, inner in module.named_children():
        found = _read(inner, child, f"{path}{child}.", seen)
        node.count += found.count
        node.trainable += found.trainable
        node.bytes += found.bytes
        form.append((found.form, child))
        node.children.append(found)
    node.children = list(_folded(node.children))
    node.form = tuple(form)
    return node


def _add(node: Node, name: str, path: str, tensor: Any, seen: dict[int, str], learns: bool) -> Hashable:
    """Count a tensor and write its line; returns what it has in common with that of an equal module."""
    shape = " × ".join(map(str, tensor.shape)) or "1 number"
    notes = [] if learns else ["buffer"]
    if id(tensor) in seen:
        notes.append(f"tied to {seen[id(tensor)]}")
    else:
        seen[id(tensor)] = path
        node.bytes += tensor.numel() * tensor.element_size()
        if learns:
            node.count += tensor.numel()
            node.trainable += tensor.numel() * tensor.requires_grad
            notes += [] if tensor.requires_grad else ["frozen"]
    line = ", ".join([f"{name} {shape}", _short(tensor.dtype), *notes])
    node.lines.append(line)
    return line, str(tensor.device)


def _folded(nodes: list[Node]) -> Iterator[Node]:
    """Runs of equal numbered modules as one."""
    run: list[Node] = []
    for node in [*nodes, None]:
        if node and run and node.name.isdigit() and run[0].name.isdigit() and node.form == run[0].form:
            run.append(node)
            continue
        if len(run) > 1:
            run[0].name, run[0].times = f"{run[0].name}–{run[-1].name}", len(run)
        yield from run[:1]
        run = [node] if node else []


def _inside(node: Node, depth: int) -> str:
    lines = "".join(f'<div class="leaf dim mono">{html.escape(line)}</div>' for line in node.lines)
    return lines + "".join(_shown(child, depth + 1) for child in node.children)


def _shown(node: Node, depth: int) -> str:
    times = f" <b>{node.times} ×</b>" if node.times > 1 else ""
    facts = [f"{node.count:,}" if node.count else "", _training(node.count, node.trainable)]
    # the shapes of a small module fit into its own line
    if alone := not node.children:
        facts = [*node.lines, *facts] if len(node.lines) < 3 else facts
    said = " · ".join(html.escape(fact) for fact in facts if fact)
    size = f" · {_size(node.bytes)}" if node.bytes >= 2**20 else ""
    name = f"<code><b>{html.escape(node.name)}</b></code>{times} {html.escape(node.kind)}"
    title = f"{name} <span class=dim>{said}{size}</span>"
    if alone and len(node.lines) < 3:
        return f'<div class="leaf">{title}</div>'
    return f'<div class="leaf">{html.folded(title, _inside(node, depth), unfolded=depth == 1)}</div>'


def _training(count: int, trainable: int) -> str:
    """Nothing where all is trained, as usual."""
    if trainable == count:
        return ""
    return "frozen" if not trainable else f"{trainable:,} trainable"


def _short(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
