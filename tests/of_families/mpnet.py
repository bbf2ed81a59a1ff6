"""MPNet: a bias of positions, which people who call layers by hand give."""

from typing import Any

from . import Facts


def attentions(layer: Any) -> list[Any]:
    return [layer.attention, layer.attention.attn]


FACTS = Facts(head_rate="hidden_dropout_prob", attentions=attentions)
