"""LayoutLM: boxes beside BERT's inputs; tests/test_boxes.py tries what is wrong with them."""

from . import Facts

FACTS = Facts(head_rate="hidden_dropout_prob", per_query=False)  # it fails
