"""The modules of sentence-transformers: what is done one after the other, from a model's tokens to one vector a text.

Each takes the features of a batch, a dictionary of tensors, and returns it with what it makes: `token_embeddings`
(B, T, D) and `attention_mask` (B, T) become `sentence_embedding` (B, D). Texts are padded on the right.
Letters: B texts, T columns, D width, L layers.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints.write import save_checkpoint
from ..errors import CheckpointError, ConfigError, near
from ..ops.activations import torch_activation
from ..ops.pooling import POOLINGS, pooled

Features = dict[str, Any]

# the keys of a pooling's config.json that have no "tokens" at their end
_FLAGS = {"cls": "pooling_mode_cls_token", "lasttoken": "pooling_mode_lasttoken"}
_MOST_LAYERS = 100


class Module(nn.Module):
    """One of the modules; its constructor takes the keys of its file, and `config` gives them again."""

    FILE: ClassVar[str] = "config.json"
    # names that keys had in other releases
    RENAMED: ClassVar[dict[str, str]] = {}

    @classmethod
    def read(cls, config: Mapping[str, Any], where: str) -> Module:
        """The module that a file describes, without its weights; `where` is for messages.

        Raises ConfigError for a key that is not known, as it may change vectors, and for one that is missing.
        """
        given = {cls.RENAMED.get(key, key): value for key, value in config.items()}
        takes = inspect.signature(cls).parameters
        if not any(one.kind is one.VAR_KEYWORD for one in takes.values()) and (more := given.keys() - takes.keys()):
            key = min(more)
            raise ConfigError(
                f"{where} has {key!r}, which a {cls.__name__} does not know.{near(key, takes)} It knows "
                f"{', '.join(takes) or 'nothing'}."
            )
        try:
            with torch.device("meta"):  # what a file says of sizes costs nothing until weights of that size are there
                return cls(**given)
        except (TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError) as error:
            raise ConfigError(f"{where}: {error}") from error

    def load(self, weights: Mapping[str, Any], where: str) -> None:
        """Take weights, by their names. Raises CheckpointError where they are not those of the module."""
        try:
            self.load_state_dict({name: lazy.load().float() for name, lazy in weights.items()}, assign=True)
        except RuntimeError as error:
            raise CheckpointError(f"{where} has not the weights of a {type(self).__name__}: {error}") from error

    def config(self) -> dict[str, Any]:
        """What its file says, by the names that all releases read."""
        return {}

    def save(self, folder: Path) -> None:
        """Write its file, and its weights if it has any."""
        text = json.dumps(self.config(), indent=2, ensure_ascii=False)
        (folder / self.FILE).write_text(text + "\n", encoding="utf-8")
        if self.state_dict():
            save_checkpoint(self.state_dict(), folder)


class Pooling(Module):
    """One vector a text from those of its tokens, or several side by side.

    Args:
        pooling_mode: one of ops.pooling's kinds, or several; left out, what flags (pooling_mode_mean_tokens, …) say,
            and the mean where none is set. Or the width, before the kind, as in sentence-transformers.
        include_prompt: whether the tokens of a prompt count.
        embedding_dimension: the width of a token's vector, which is only written.
    """

    RENAMED = {"word_embedding_dimension": "embedding_dimension"}

    def __init__(
        self,
        pooling_mode: str | Sequence[str] | int | None = None,
        include_prompt: bool | str = True,
        embedding_dimension: int | None = None,
        **flags: bool,
    ) -> None:
        super().__init__()
        if isinstance(pooling_mode, int):  # in sentence-transformers the width comes first, and then the pooling
            embedding_dimension, pooling_mode = (
                pooling_mode,
                include_prompt if isinstance(include_prompt, str) else None,
            )
        self.include_prompt, self.embedding_dimension = bool(include_prompt), embedding_dimension
        known = {_FLAGS.get(kind, f"pooling_mode_{kind}_tokens"): kind for kind in POOLINGS}
        if unknown := [name for name in flags if name not in known and flags[name]]:
            raise ConfigError(f"The pooling {unknown[0]!r} is not known.{near(unknown[0], known)}")
        if pooling_mode is None:
            pooling_mode = [kind for flag, kind in known.items() if flags.get(flag)] or "mean"
        named = [pooling_mode] if isinstance(pooling_mode, str) else list(pooling_mode)
        self.kinds = [str(kind).removesuffix("_tokens") for kind in named]
        if not self.kinds or (unknown := [kind for kind in self.kinds if kind not in POOLINGS]):
            raise ConfigError(f"The pooling {unknown or 'of nothing'} is not known; it is of {', '.join(POOLINGS)}.")

    def forward(self, features: Features) -> Features:
        """(B, T, D) to (B, D · kinds)."""
        hidden = features["token_embeddings"]
        mask = features.get("attention_mask")
        if mask is None or mask.shape[1] != hidden.shape[1]:  # strides of a CNN leave columns that have no mask
            mask = hidden.new_ones(hidden.shape[:2])
        if not self.include_prompt and features.get("prompt_length"):
            mask = mask.clone()
            mask[:, : features["prompt_length"]] = 0
        vectors = [pooled(hidden, mask, kind) for kind in self.kinds]
        features["sentence_embedding"] = torch.cat(vectors, dim=1)
        return features

    def config(self) -> dict[str, Any]:
        """With flags, since older releases read nothing else, where these can say it."""
        own = {"include_prompt": self.include_prompt}
        if self.kinds == [kind for kind in POOLINGS if kind in self.kinds]:
            flags = {_FLAGS.get(kind, f"pooling_mode_{kind}_tokens"): kind in self.kinds for kind in POOLINGS}
            return {"word_embedding_dimension": self.embedding_dimension, **flags, **own}
        names = [f"{kind}_tokens" if kind == "mean_sqrt_len" else kind for kind in self.kinds]
        return {"embedding_dimension": self.embedding_dimension, "pooling_mode": names, **own}


class _Named(Module):
    """A module that may read and write features of other names; its file says so only where they are not the usual."""

    def __init__(self, module_input_name: str, module_output_name: str | None) -> None:
        super().__init__()
        self.module_input_name = module_input_name
        self.module_output_name = module_output_name or module_input_name

    def config(self) -> dict[str, Any]:
        """The names, unless they are the usual one."""
        names = {"module_input_name": self.module_input_name, "module_output_name": self.module_output_name}
        return {} if set(names.values()) == {"sentence_embedding"} else names

    def forward(self, features: Features) -> Features:
        """(…, D) to (…, D′), under the name that the file gives it."""
        if self.module_input_name not in features:
            raise ConfigError(
                f"A {type(self).__name__} reads {self.module_input_name!r}, which the modules before it do not make: "
                f"they make {', '.join(features)}."
            )
        features[self.module_output_name] = self.change(features[self.module_input_name])
        return features

    def change(self, x: Tensor) -> Tensor:
        """What is done to the vectors."""
        raise NotImplementedError


class Dense(_Named):
    """A linear layer with an activation, added to its input where `use_residual` says so."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation_function: str | nn.Module | None = "Tanh",
        module_input_name: str = "sentence_embedding",
        module_output_name: str | None = None,
        use_residual: bool = False,
    ) -> None:
        super().__init__(module_input_name, module_output_name)
        named = activation_function if isinstance(activation_function, nn.Module) else activation_function or "Identity"
        self.activation = torch_activation(named, "activation_function") if isinstance(named, str) else named
        self.use_residual = use_residual
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        if use_residual and in_features != out_features:
            self.residual = nn.Linear(in_features, out_features, bias=False)

    def change(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D′)."""
        made: Tensor = self.activation(self.linear(x))
        if not self.use_residual:
            return made
        return made + (self.residual(x) if hasattr(self, "residual") else x)

    def config(self) -> dict[str, Any]:
        """Its sizes and its activation."""
        kind = type(self.activation)
        own = {
            "in_features": self.linear.in_features,
            "out_features": self.linear.out_features,
            "bias": self.linear.bias is not None,
            "activation_function": f"{kind.__module__}.{kind.__qualname__}",
        }
        return {**own, **({"use_residual": True} if self.use_residual else {}), **super().config()}


class Normalize(_Named):
    """Vectors at length 1."""

    def __init__(self, module_input_name: str = "sentence_embedding", module_output_name: str | None = None) -> None:
        super().__init__(module_input_name, module_output_name)

    def change(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        return F.normalize(x, dim=-1)


class LayerNorm(Module):
    """Layer normalization of the vectors."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dimension)

    def forward(self, features: Features) -> Features:
        """(B, D) to (B, D)."""
        features["sentence_embedding"] = self.norm(features["sentence_embedding"])
        return features

    def config(self) -> dict[str, Any]:
        """Its width."""
        return {"dimension": self.norm.normalized_shape[0]}


class Dropout(Module):
    """Dropout, which changes nothing outside of training."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout_layer = nn.Dropout(dropout)

    def forward(self, features: Features) -> Features:
        """(B, D) to (B, D)."""
        features["sentence_embedding"] = self.dropout_layer(features["sentence_embedding"])
        return features

    def config(self) -> dict[str, Any]:
        """Its rate."""
        return {"dropout": self.dropout_layer.p}


class WeightedLayerPooling(Module):
    """Tokens' vectors as the weighted mean of those of the upper layers."""

    RENAMED = {"word_embedding_dimension": "embedding_dimension"}

    def __init__(self, embedding_dimension: int, num_hidden_layers: int = 12, layer_start: int = 4) -> None:
        super().__init__()
        self.embedding_dimension, self.num_hidden_layers = embedding_dimension, num_hidden_layers
        self.layer_start = layer_start
        self.layer_weights = nn.Parameter(torch.ones(num_hidden_layers + 1 - layer_start))

    def forward(self, features: Features) -> Features:
        """L + 1 times (B, T, D) to (B, T, D)."""
        if "all_layer_embeddings" not in features:
            raise ConfigError(
                "WeightedLayerPooling needs the hidden states of all layers, which the model's config.json does not "
                "ask for. Pass output_hidden_states=True to from_pretrained."
            )
        states = torch.stack(features["all_layer_embeddings"][self.layer_start :])  # (L′, B, T, D)
        if len(states) != len(self.layer_weights):
            raise ConfigError(
                f"WeightedLayerPooling has {len(self.layer_weights)} weights, and the model {len(states)} hidden "
                f"states from number {self.layer_start} on."
            )
        weights = self.layer_weights[:, None, None, None]
        features["token_embeddings"] = (weights * states).sum(0) / self.layer_weights.sum()
        return features

    def config(self) -> dict[str, Any]:
        """Its sizes."""
        sizes = {"layer_start": self.layer_start, "num_hidden_layers": self.num_hidden_layers}
        return {"word_embedding_dimension": self.embedding_dimension, **sizes}


class CNN(Module):
    """Convolutions over the tokens, side by side; what is beside a text counts as zeros."""

    FILE = "cnn_config.json"
    RENAMED = {"in_word_embedding_dimension": "in_embedding_dimension"}

    def __init__(
        self,
        in_embedding_dimension: int,
        out_channels: int = 256,
        kernel_sizes: Sequence[int] = (1, 3, 5),
        stride_sizes: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.sizes, self.strides = list(kernel_sizes), stride_sizes
        self.convs = nn.ModuleList(
            nn.Conv1d(in_embedding_dimension, out_channels, size, stride, padding=(size - 1) // 2)
            for size, stride in zip(self.sizes, stride_sizes or [1] * len(self.sizes), strict=True)
        )

    def forward(self, features: Features) -> Features:
        """(B, T, D) to (B, T, channels · kernels)."""
        x = features["token_embeddings"] * features["attention_mask"][..., None]
        made = [conv(x.transpose(1, 2)) for conv in self.convs]
        features["token_embeddings"] = torch.cat(made, dim=1).transpose(1, 2)
        return features

    def config(self) -> dict[str, Any]:
        """Its sizes."""
        width, channels = self.convs[0].in_channels, self.convs[0].out_channels
        sizes = {"kernel_sizes": self.sizes, "stride_sizes": self.strides or [1] * len(self.sizes)}
        return {"in_word_embedding_dimension": width, "out_channels": channels, **sizes}


class LSTM(Module):
    """A recurrent layer over the tokens of each text, in one direction or both."""

    FILE = "lstm_config.json"
    RENAMED = {"word_embedding_dimension": "embedding_dimension"}

    def __init__(
        self,
        embedding_dimension: int,
        hidden_dim: int,
        num_layers: int = 1,
        dropout: float = 0,
        bidirectional: bool = True,
    ) -> None:
        super().__init__()
        if num_layers > _MOST_LAYERS:
            raise ValueError(f"num_layers={num_layers} is out of proportion.")
        self.encoder = nn.LSTM(
            embedding_dimension,
            hidden_dim,
            num_layers,
            dropout=dropout,
            bidirectional=bidirectional,
            batch_first=True,
        )

    def forward(self, features: Features) -> Features:
        """(B, T, D) to (B, T, hidden · directions)."""
        x, lengths = features["token_embeddings"], features["attention_mask"].sum(1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        made, _ = nn.utils.rnn.pad_packed_sequence(self.encoder(packed)[0], batch_first=True, total_length=x.shape[1])
        features["token_embeddings"] = made
        return features

    def config(self) -> dict[str, Any]:
        """Its sizes."""
        own = self.encoder
        sizes = {"hidden_dim": own.hidden_size, "num_layers": own.num_layers, "dropout": own.dropout}
        return {"word_embedding_dimension": own.input_size, **sizes, "bidirectional": own.bidirectional}


MODULES: dict[str, type[Module]] = {
    kind.__name__: kind for kind in (Pooling, Dense, Normalize, LayerNorm, Dropout, WeightedLayerPooling, CNN, LSTM)
}
