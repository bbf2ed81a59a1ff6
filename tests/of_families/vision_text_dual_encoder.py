"""Any tower for pictures with any for texts: ViT with BERT, and CLIP's with RoBERTa."""

from formers import registry

from . import Facts
from .two_towers import inputs

_CLIP = {"model_type": "clip_vision_model", **registry.load("clip").TINY["vision_config"]}
_ROBERTA = {"model_type": "roberta", **registry.load("roberta").TINY}

FACTS = Facts(inputs=inputs, forms=(("base", {"vision_config": _CLIP, "text_config": _ROBERTA}),))
