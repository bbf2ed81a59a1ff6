"""ALBERT: groups of layers, each used several times."""

from . import Facts

FACTS = Facts(
    head_rate="classifier_dropout_prob",
    forms=(("base", {"inner_group_num": 2}), ("masked-lm", {"num_hidden_groups": 1})),
    fused={"inner_group_num": 1},
    attentions=lambda group: [group.albert_layers[0], group.albert_layers[0].attention],
)
