"""RoBERTa under another name."""

from . import Facts

FACTS = Facts(same_as="roberta", seen=("pad_token_id",))
