"""ELECTRA: multiple choice by a summary of its own kinds."""

from . import Facts

FACTS = Facts(
    unseen=dict.fromkeys(("summary_type", "summary_use_proj", "summary_activation"), "multiple choice only"),
    changed={"summary_type": "mean", "summary_activation": None},
    forms=(
        ("base", {"embedding_size": 32}),
        *(("multiple-choice", {"summary_type": kind}) for kind in ("last", "mean", "cls_index")),
        ("multiple-choice", {"summary_use_proj": False}),
    ),
)
