"""Feed-forwards of which each token goes through a few: what mixtures of experts share.

    rows ─┬─ router ─▶ k of E experts for each row, and their weights
          └─▶ rows sorted by expert ─ one product an expert ─ back in order ─ weighted sum of each row's k ─▶

Source: Shazeer et al. 2017 (arXiv 1701.06538); Fedus et al. 2021 (arXiv 2101.03961).
Letters: B batch, T columns, N rows, D width, F width of an expert, E experts, k those of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import decoders, outputs
from .decoders import own_key
from .errors import ConfigError
from .ops import losses
from .ops.activations import activation
from .ops.layout import Layout, is_tracing
from .ops.step import Step
from .optimize.groups import groups_of


class Experts(nn.Module):
    """E gated feed-forwards, in tensors that hold all of them."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        E, D = config.num_local_experts, config.hidden_size
        width = own_key(config, "moe_intermediate_size") or config.intermediate_size
        self.num_experts = E
        self.gate_up_proj = nn.Parameter(torch.empty(E, 2 * width, D))
        self.down_proj = nn.Parameter(torch.empty(E, D, width))
        self.act_fn = activation(config.hidden_act)

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """Rows (N, D), the numbers of each one's experts (N, k) and their weights (N, k) to rows (N, D)."""
        transformed = torch._C._functorch.peek_interpreter_stack() is not None  # by torch.vmap or torch.func.grad
        if transformed or is_tracing():
            return self._all(hidden_states, top_k_index, top_k_weights)
        (N, k), D, chosen = top_k_index.shape, hidden_states.shape[1], top_k_index.flatten()
        order = chosen.argsort(stable=True)
        counts = torch.bincount(chosen, minlength=self.num_experts).tolist()
        gate, up = self._grouped("gate_up_proj", hidden_states[order // k], counts).chunk(2, dim=-1)
        found = self._grouped("down_proj", self.act_fn(gate) * up, counts)
        in_order = found[order.argsort()].view(N, k, D)
        return (in_order * top_k_weights[..., None]).sum(1).to(hidden_states.dtype)

    def groups(self) -> dict[str, Tensor]:
        """The weights of all experts, for `optimize`."""
        return {"gate_up_proj": self.gate_up_proj, "down_proj": self.down_proj}

    def _grouped(self, name: str, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Rows in the order of their experts, through weights (E, outputs, inputs): a product an expert."""
        if (derived := groups_of(self)) is not None and derived.usable(rows):
            return derived(name, rows, counts)
        weights: Tensor = getattr(self, name)
        found = [F.linear(part, weights[i]) for i, part in enumerate(rows.split(list(counts))) if len(part)]
        return torch.cat(found) if found else rows.new_zeros(0, weights.shape[1])

    def _all(self, rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """Every expert of every row: for a graph, in which the numbers of each expert's rows would become constants."""
        gate, up = (rows @ self.gate_up_proj.transpose(1, 2)).chunk(2, dim=-1)  # (E, N, F)
        found = (self.act_fn(gate) * up) @ self.down_proj.transpose(1, 2)  # (E, N, D)
        shares = weights.new_zeros(len(rows), self.num_experts).scatter(1, index, weights)  # (N, E)
        return (found * shares.t()[..., None]).sum(0).to(rows.dtype)


class Router(nn.Module):
    """Which experts a row goes through: those of its k largest shares, which `norm_topk_prob` makes add up to 1."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        E, k = config.num_local_experts, config.num_experts_per_tok
        if k > E:
            raise ConfigError(f"num_experts_per_tok={k}, but there are num_local_experts={E}.")
        self.top_k, self.num_experts, self.hidden_dim = k, E, config.hidden_size
        self.norm_topk_prob = own_key(config, "norm_topk_prob", True)
        self.weight = nn.Parameter(torch.zeros(E, config.hidden_size))

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows (…, D) to logits (N, E), and the weights and numbers of the chosen, (N, k) each."""
        logits = F.linear(hidden_states.reshape(-1, self.hidden_dim), self.weight)
        shares, index = logits.softmax(-1, dtype=torch.float).topk(self.top_k, dim=-1)
        return logits, shares / shares.sum(-1, keepdim=True) if self.norm_topk_prob else shares, index


class SparseBlock(nn.Module):
    """A router and its experts. EXPERTS, ROUTER: their classes."""

    EXPERTS: Any = Experts
    ROUTER: Any = Router

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.jitter_noise = own_key(config, "router_jitter_noise", 0.0)
        self.gate = self.ROUTER(config)
        self.experts = self.EXPERTS(config)

    def forward(self, hidden_states: Tensor, routed: list[Tensor] | None = None) -> Tensor:
        """Rows to rows; the router's logits are added to `routed`."""
        if self.training and self.jitter_noise > 0:
            low, high = 1.0 - self.jitter_noise, 1.0 + self.jitter_noise
            hidden_states = hidden_states * torch.empty_like(hidden_states).uniform_(low, high)
        rows = hidden_states.reshape(-1, hidden_states.shape[-1])
        logits, weights, index = self.gate(rows)
        if routed is not None:
            routed.append(logits)
        return self.experts(rows, index, weights).view(hidden_states.shape)


class SparseLayer(decoders.DecoderLayer):
    """A layer whose feed-forward may be a mixture."""

    def fed(self, rows: Tensor, step: Step) -> Tensor:
        if not isinstance(self.mlp, SparseBlock):
            return super().fed(rows, step)
        return self.mlp(self.post_attention_layernorm(rows), step.routed)


class SparsePreTrainedModel(decoders.RotaryModel):
    """What models of mixtures share."""

    def _init_weights(self, module: nn.Module) -> None:
        """The same for the tensors of experts and routers."""
        super()._init_weights(module)
        if isinstance(module, (Experts, Router)):
            for weight in module.parameters(recurse=False):
                nn.init.normal_(weight, std=self._std())


def _with_router(names: Sequence[str]) -> tuple[str, ...]:
    """Arguments with output_router_logits where release 4 has it."""
    return tuple(n for name in names for n in ((name,) if name != "return_dict" else ("output_router_logits", name)))


class SparseModel(SparsePreTrainedModel, decoders.DecoderModel):
    """A decoder some of whose feed-forwards are mixtures."""

    OUTPUT = outputs.MoeModelOutputWithPast
    SIGNATURE = _with_router(decoders.DecoderModel.SIGNATURE)
    LAYER = SparseLayer

    def compute(self, inputs: dict[str, Any]) -> Any:
        """As any decoder. output_router_logits: also return those of each layer with a router, (B · T, E)."""
        asked = self.options(output_router_logits=inputs.get("output_router_logits"))
        return super().compute(inputs | asked)

    def stack(self, rows: Tensor, step: Step, head_masks: Sequence[Tensor | None]) -> Any:
        """Rows through all layers and the last norm, and what routers said."""
        found = super().stack(rows, step, head_masks)
        if step.routed is None:
            return found
        logits = [step.layout.unpack(x) for x in step.routed[: len(self.layers)]]
        flat = tuple(x.flatten(0, 1) if x.dim() == 3 else x for x in logits)
        return outputs.MoeModelOutputWithPast(**dict(found), router_logits=flat)


class SparseLMHead(SparsePreTrainedModel, decoders.LMHead):
    """Predicts the next token. With the routers' logits, the loss has a part that is least where all experts are used
    alike: `router_aux_loss_coef` · `aux_loss`."""

    OUTPUT = outputs.MoeCausalLMOutputWithPast
    SIGNATURE = _with_router(decoders.RotaryModel.SIGNATURE)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.router_aux_loss_coef = config.router_aux_loss_coef
        self.num_experts, self.num_experts_per_tok = config.num_local_experts, config.num_experts_per_tok

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        found = super().results(body, layout, inputs, targets)
        if not body.router_logits:
            return found
        real = None if layout.tokens is None else layout.tokens.expand(layout.batch, layout.columns)
        aux = losses.balance(body.router_logits, self.num_experts_per_tok, real)
        if found["loss"] is not None:
            found["loss"] = found["loss"] + self.router_aux_loss_coef * aux
        return {**found, "aux_loss": aux}
