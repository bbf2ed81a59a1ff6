"""The first module: a model and its tokenizer, from texts to the vectors of their tokens.

Letters: B texts, T columns, D width.
"""

from __future__ import annotations

import os
from typing import Any

from torch import nn

from ..auto import AutoTokenizer
from ..config import longest_text
from ..pipelines.feature_extraction import AutoReader
from ..pipelines.text import least_limit
from .modules import Features


class Transformer(nn.Module):
    """The first module: a model and its tokenizer.

    Attributes:
        auto_model, tokenizer: as AutoModel and AutoTokenizer load them; they are loaded where the model is a name.
        max_seq_length: the tokens of a text that are read; None for no limit.
        do_lower_case: whether texts are lowercased before the tokenizer reads them.
    """

    modalities: tuple[str, ...] = ("text",)
    padding: Any = False  # what texts are filled up to, before they share a batch

    def __init__(
        self, model: Any, tokenizer: Any = None, max_seq_length: int | None = None, do_lower_case: bool = False
    ) -> None:
        super().__init__()
        if isinstance(model, str | os.PathLike):
            tokenizer = AutoTokenizer.from_pretrained(model) if tokenizer is None else tokenizer
            model = AutoReader.from_pretrained(model)
            max_seq_length = max_seq_length or least_limit(tokenizer.model_max_length, longest_text(model.config))
        self.auto_model, self.tokenizer = model.eval(), tokenizer
        self.max_seq_length, self.do_lower_case = max_seq_length, do_lower_case

    @property
    def processor(self) -> Any:
        """What inputs go through."""
        return self.tokenizer

    def get_word_embedding_dimension(self) -> int:
        """How long a token's vector is."""
        return int(self.auto_model.config.hidden_size)

    def forward(self, features: Features) -> Features:
        """Token ids (B, T) to `token_embeddings` (B, T, D), and those of all layers where the configuration asks."""
        inputs = {name: features[name] for name in self.tokenizer.model_input_names if name in features}
        outputs = self.auto_model(**inputs, return_dict=True)
        features["token_embeddings"] = outputs.last_hidden_state.float()
        if (states := getattr(outputs, "hidden_states", None)) is not None:
            features["all_layer_embeddings"] = tuple(state.float() for state in states)
        return features
