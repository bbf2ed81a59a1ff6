"""Tiny models that read pictures, ours and the reference's, with equal weights.

The reference's newest release calls the modules of some families otherwise than its files do, whose names are ours: so
weights, and gradients, go from one to the other through files.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
import transformers
from families import redraw
from of_families import facts
from safetensors.torch import load_file

from formers import registry
from formers.checkpoints.names import torch_names
from formers.vision import of_pictures

transformers.utils.logging.disable_progress_bar()
Tensors = dict[str, torch.Tensor]


def config_of(family: str, head: str, **changes: Any) -> Any:
    """Ours, of a tiny model."""
    module = registry.load(family)
    kind = module.HEADS[head].config_class
    values = module.TINY.get(kind.base_config_key, module.TINY)  # of a part, where the head is a part alone
    return kind(**{**values, **changes})


def pair(family: str, head: str, **changes: Any) -> tuple[Any, Any]:
    """The reference's model and ours, from one configuration and with the same weights, both in eval mode."""
    ours_class, kernel = registry.load(family).HEADS[head], changes.pop("attn_implementation", "sdpa")
    theirs_class = getattr(transformers, ours_class.__name__)
    values = config_of(family, head, **changes).to_dict()
    config = getattr(transformers, ours_class.config_class.__name__).from_dict(values)
    fused = (
        theirs_class._supports_sdpa and not ours_class.config_class.sub_configs
    )  # whose parts may have no such kernel
    theirs = theirs_class._from_config(config, attn_implementation=kernel if fused else "eager").eval()
    redraw(theirs, fixed=False)
    generator = torch.Generator().manual_seed(5)
    for name, buffer in theirs.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours, report = ours_class.from_pretrained(folder, attn_implementation=kernel, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    return theirs, ours


def in_files(theirs: Any, ours: Any) -> Tensors:
    """The weights of the reference's model by the names that its files have; of a tower alone, whose files are without
    the tower's name since 5.0, by those that they had."""
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        found = load_file(f"{folder}/model.safetensors")
    found = torch_names(found)
    names = ours.state_dict()
    other = {name: ours.RENAMES.get(name, f"{ours.base_model_prefix}.{name}") for name in found}
    return {name if name in names else other[name]: x for name, x in found.items()}


def gradients(theirs: Any, ours: Any) -> Tensors:
    """The gradients of the reference's model by the names that its files have, which are its weights then."""
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
    return in_files(theirs, ours)


def pixels(model: Any, count: int = 2, size: tuple[int, int] | None = None) -> torch.Tensor:
    """Pictures (B, C, H, W) of the size that the model is for, or of another."""
    config = of_pictures(model.config)
    side = config.image_size
    height, width = size or (tuple(side) if isinstance(side, list | tuple) else (side, side))
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, config.num_channels, height, width, generator=generator)


def batch(model: Any, head: str, labels: bool = True) -> dict[str, Any]:
    """Inputs of every kind that the model reads, and labels."""
    family = registry.family_of(model.config.model_type)
    assert family is not None
    own = facts(family.__name__.rpartition(".")[2]).inputs
    if own is not None:
        return own(model, head, labels)
    inputs: dict[str, Any] = {"pixel_values": pixels(model)}
    generator = torch.Generator().manual_seed(1)
    if head == "masked-image-modeling":
        patch = model.config.patch_size
        count = (inputs["pixel_values"].shape[2] // patch) * (inputs["pixel_values"].shape[3] // patch)
        inputs["bool_masked_pos"] = torch.rand(2, count, generator=generator) < 0.5
    if labels and head.startswith("image-classification") and "labels" in model.arguments() and model.config.num_labels:
        inputs["labels"] = torch.tensor([0, model.config.num_labels - 1])
    return inputs


def flat(output: Any) -> dict[str, torch.Tensor]:
    """All tensors of an output, of outputs and tuples within it too, by their names."""
    found: dict[str, torch.Tensor] = {}
    for name, value in output.items():
        if name == "image_hidden_states" and hasattr(value, "pooler_output"):  # SmolVLM's in the reference since 5.0
            value = torch.cat(value.pooler_output)
        if isinstance(value, list):  # of passes, each a tuple
            value = tuple(tensor for one in value for tensor in one)
        parts = value.items() if hasattr(value, "items") else enumerate(value) if isinstance(value, tuple) else None
        if parts is None:
            found[name] = value
        elif hasattr(value, "items"):
            found |= {f"{name}.{inner}": tensor for inner, tensor in flat(value).items()}
        else:
            found |= {f"{name}.{number}": tensor for number, tensor in parts if isinstance(tensor, torch.Tensor)}
    return found
