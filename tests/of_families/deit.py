"""DeiT: pictures alone."""

from . import Facts, vit

FACTS = Facts(
    own_defaults=vit.FACTS.own_defaults,
    forms=(*vit.FACTS.forms, ("image-classification-with-teacher", {"num_labels": 0})),
)
