"""SentenceEncoder: texts to vectors that are near each other when the texts mean much the same.

It reads and writes the folders of sentence-transformers: a modules.json names what is done one after the other.
Source: Reimers and Gurevych 2019 (arXiv 1908.10084).
Letters: B texts, T columns, D width.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from . import hub
from .atomic import replacing
from .auto import AutoModel, AutoTokenizer
from .checkpoints import open_checkpoint
from .checkpoints.write import save_checkpoint
from .config import longest_text, read_json
from .errors import ArgumentError, ConfigError, InputError
from .ops.activations import torch_activation
from .ops.pooling import POOLINGS, pooled
from .pipelines.batches import by_count, by_length, collate
from .pipelines.encoding import encoded
from .pipelines.text import least_limit

_STEP_TOKENS = 5_000
# what modules.json calls the modules of sentence-transformers, in all its releases
_TYPES = "sentence_transformers.models"
_MOST_MODULES = 100
# the keys of a pooling's config.json that have no "tokens" at their end
_FLAGS = {"cls": "pooling_mode_cls_token", "lasttoken": "pooling_mode_lasttoken"}


class Pooling(nn.Module):
    """One vector a text from those of its tokens, or several side by side."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        named = config.get("pooling_mode")
        if named is None:
            flags = {key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token"): value
                     for key, value in config.items() if key.startswith("pooling_mode_")}  # fmt: skip
            named = [kind for kind in POOLINGS if flags.get(kind)]
        self.kinds = [kind.removesuffix("_tokens") for kind in ([named] if isinstance(named, str) else named)]
        if not self.kinds or (unknown := [kind for kind in self.kinds if kind not in POOLINGS]):
            raise ConfigError(f"The pooling {unknown or 'of nothing'} is not known; it is of {', '.join(POOLINGS)}.")
        self.with_prompt = bool(config.get("include_prompt", True))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) and 1 at the tokens that count (B, T), to (B, D · kinds)."""
        return torch.cat([pooled(hidden, mask, kind) for kind in self.kinds], dim=1)

    def save(self, folder: Path, width: int) -> None:
        """Write its config.json, for vectors of `width` numbers a token."""
        own: dict[str, Any] = {"include_prompt": self.with_prompt}
        if self.kinds == [kind for kind in POOLINGS if kind in self.kinds]:  # older releases read nothing else
            flags = {_FLAGS.get(kind, f"pooling_mode_{kind}_tokens"): kind in self.kinds for kind in POOLINGS}
            own |= {"word_embedding_dimension": width, **flags}
        else:
            names = [f"{kind}_tokens" if kind == "mean_sqrt_len" else kind for kind in self.kinds]
            own |= {"embedding_dimension": width, "pooling_mode": names}
        _write_json(folder / "config.json", own)


class Dense(nn.Module):
    """A linear layer with an activation."""

    def __init__(self, config: dict[str, Any], weights: Any) -> None:
        super().__init__()
        self.activation = torch_activation(config.get("activation_function", "Tanh"), "activation_function")
        self.linear = nn.Linear(config["in_features"], config["out_features"], bias=config.get("bias", True))
        self.linear.load_state_dict({key.removeprefix("linear."): lazy.load() for key, lazy in weights.items()})

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to (B, D′)."""
        return self.activation(self.linear(x))

    def save(self, folder: Path, width: int) -> None:
        """Write its config.json and its weights."""
        kind = type(self.activation)
        own = {
            "in_features": self.linear.in_features,
            "out_features": self.linear.out_features,
            "bias": self.linear.bias is not None,
            "activation_function": f"{kind.__module__}.{kind.__qualname__}",
        }
        _write_json(folder / "config.json", own)
        save_checkpoint(self.state_dict(), folder)


class Normalize(nn.Module):
    """Vectors at length 1."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to (B, D)."""
        return F.normalize(x, dim=1)

    def save(self, folder: Path, width: int) -> None:
        """Write a config.json, which has nothing to say."""
        _write_json(folder / "config.json", {})


class SentenceEncoder:
    """A model, its tokenizer, and what makes one vector of a text's hidden states.

    Attributes:
        model, tokenizer: as AutoModel and AutoTokenizer load them.
        pooling, after: one vector a text, and what is done to it.
        max_seq_length: the tokens of a text that are read; None for no limit.
        prompts: {name: what is put before a text}; default_prompt_name: the one for calls that name none.
        similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan".
        do_lower_case: whether texts are lowercased before the tokenizer reads them.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        pooling: Pooling,
        after: Sequence[Dense | Normalize] = (),
        max_seq_length: int | None = None,
        prompts: dict[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str = "cosine",
        do_lower_case: bool = False,
    ) -> None:
        self.model, self.tokenizer, self.pooling, self.after = model.eval(), tokenizer, pooling, list(after)
        self.max_seq_length, self.prompts = max_seq_length, prompts or {}
        self.default_prompt_name, self.similarity_fn_name = default_prompt_name, similarity_fn_name
        self.do_lower_case = do_lower_case
        if similarity_fn_name not in _SIMILARITIES:
            raise ConfigError(f"similarity_fn_name={similarity_fn_name!r} is not one of {', '.join(_SIMILARITIES)}.")

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **kwargs: Any) -> SentenceEncoder:
        """Load a folder or a hub name; a model without modules.json gets the mean of its hidden states.

        kwargs: those of `AutoModel.from_pretrained`. Errors: as there; ConfigError for a module that is not known.
        """
        where = hub.hub_arguments(kwargs.copy())
        source = hub.locate(name, **where)
        listed = source.file("modules.json")
        steps = [] if listed is None else _steps(listed)
        first = steps[0]["path"] if steps else ""
        if first:
            kwargs["subfolder"] = "/".join(part for part in (kwargs.get("subfolder"), first) if part)
        tokenizer = AutoTokenizer.from_pretrained(
            name, **{**where, **({"subfolder": kwargs["subfolder"]} if first else {})}
        )
        model = AutoModel.from_pretrained(name, **kwargs)
        after: list[Dense | Normalize] = []
        pooling = Pooling({"pooling_mode": "mean"})
        for step in steps[1:]:
            made = _module(step, source)
            if isinstance(made, Pooling):
                pooling = made
            else:
                after.append(made)
        own = _config(source, f"{first}/sentence_bert_config.json" if first else "sentence_bert_config.json")
        positions = longest_text(model.config)
        limit = own.get("max_seq_length") or least_limit(tokenizer.model_max_length, positions)
        config = _config(source, "config_sentence_transformers.json")
        return cls(
            model,
            tokenizer,
            pooling,
            after,
            limit,
            config.get("prompts"),
            config.get("default_prompt_name"),
            config.get("similarity_fn_name") or "cosine",
            bool(own.get("do_lower_case")),
        )

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write a folder that from_pretrained, and sentence-transformers, read again.

        The model, its tokenizer, and what follows them are written one after the other, each of them at once. kwargs
        go to the model's `save_pretrained`. Errors: as there.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory)
        steps = [{"idx": 0, "name": "0", "path": "", "type": f"{_TYPES}.Transformer"}]
        own = {"max_seq_length": self.max_seq_length, "do_lower_case": self.do_lower_case}
        config = {
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt_name,
            "similarity_fn_name": self.similarity_fn_name,
        }
        with replacing(save_directory) as stage:
            for number, module in enumerate((self.pooling, *self.after), 1):
                kind = type(module).__name__
                step = {"idx": number, "name": str(number), "path": f"{number}_{kind}", "type": f"{_TYPES}.{kind}"}
                (stage / f"{number}_{kind}").mkdir()
                module.save(stage / f"{number}_{kind}", self.model.config.hidden_size)
                steps.append(step)
            _write_json(stage / "modules.json", steps)
            _write_json(stage / "sentence_bert_config.json", own)
            _write_json(stage / "config_sentence_transformers.json", config)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    def to(self, device: Any) -> SentenceEncoder:
        """Move it."""
        for module in (self.model, *self.after):
            module.to(device)
        return self

    def optimize(self, mode: str | bool | None = True, **kwargs: Any) -> SentenceEncoder:
        """As the model's own `optimize`."""
        self.model.optimize(mode, **kwargs)
        return self

    def get_sentence_embedding_dimension(self) -> int:
        """How long a vector is."""
        return len(self.encode("a", convert_to_numpy=False))

    @torch.inference_mode()
    def encode(
        self,
        sentences: str | Sequence[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
    ) -> Any:
        """Vectors of texts.

        Args:
            sentences: a text, or a list of texts.
            prompt_name, prompt: what is put before each text, by its name in `prompts`, or as it is.
            batch_size: texts at a time; left out, they are chosen by tokens, which is faster.
            show_progress_bar: whether a bar shows how many are done.
            convert_to_numpy, convert_to_tensor: what is returned: an array, or a tensor, (texts, D); neither: a list.
            normalize_embeddings: vectors at length 1.

        Returns the same for one text, without the first dimension. Raises InputError naming what is no text.
        """
        single = isinstance(sentences, str)
        texts: list[str] = [sentences] if isinstance(sentences, str) else list(sentences)
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"sentences[{index}] is {text!r:.60} ({type(text).__name__}); a text (str) is needed.")
        before = self._prompt(prompt_name, prompt)
        skipped = len(self.tokenizer(before)["input_ids"]) - 1 if before and not self.pooling.with_prompt else 0
        read = self._tokenized([before + text for text in texts])
        lengths = [row["input_ids"].shape[1] for row in read]
        found: list[Tensor] = [torch.empty(0)] * len(texts)
        bar = tqdm(total=len(texts), disable=not show_progress_bar, desc="Texts")
        for batch in self._batches(lengths, batch_size):
            inputs = {k: v.to(self.device) for k, v in collate([read[i] for i in batch], self.tokenizer, True).items()}
            mask = inputs["attention_mask"].clone()
            mask[:, :skipped] = 0
            vectors = self.pooling(self.model(**inputs).last_hidden_state.float(), mask)
            for module in (*self.after, *([Normalize()] if normalize_embeddings else [])):
                vectors = module(vectors)
            for i, vector in zip(batch, vectors.cpu(), strict=True):
                found[i] = vector
            bar.update(len(batch))
        bar.close()
        return _returned(found, single, convert_to_tensor, convert_to_numpy)

    def similarity(self, first: Any, second: Any) -> Tensor:
        """How near each vector of `first` (n, D) is to each of `second` (m, D): (n, m), larger is nearer."""
        a, b = (torch.as_tensor(np.asarray(x) if isinstance(x, list) else x).float() for x in (first, second))
        return _SIMILARITIES[self.similarity_fn_name](a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]))

    def _prompt(self, name: str | None, text: str | None) -> str:
        name = self.default_prompt_name if name is None else name
        if text is not None or name is None:
            return text or ""
        if name not in self.prompts:
            raise ArgumentError(f"prompt_name={name!r} is not one of {', '.join(map(repr, self.prompts)) or 'none'}.")
        return self.prompts[name]

    def _tokenized(self, texts: list[str]) -> list[dict[str, Tensor]]:
        """Each text as tensors (1, T)."""
        cut = {} if self.max_seq_length is None else {"truncation": True, "max_length": self.max_seq_length}
        stripped = [(text.lower() if self.do_lower_case else text).strip() for text in texts]
        return list(encoded(self.tokenizer, [stripped], {"padding": False, "verbose": False, **cut})) if texts else []

    def _batches(self, lengths: list[int], size: int | None) -> list[list[int]]:
        if size is None:
            return by_length(range(len(lengths)), lengths, _STEP_TOKENS)
        if size < 1:
            raise ArgumentError(f"batch_size={size} is not possible: it should be 1 or more.")
        return by_count(range(len(lengths)), lengths, size)


def _returned(found: list[Tensor], single: bool, as_tensor: bool, as_numpy: bool) -> Any:
    if not as_tensor and not as_numpy:
        return found[0] if single else found
    whole = torch.stack(found) if found else torch.empty(0)
    whole = whole[0] if single else whole
    return whole if as_tensor else whole.numpy()


def _steps(path: Any) -> list[dict[str, str]]:
    """What a modules.json lists: {"type", "path"} of each module, in order."""
    listed = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(listed, list) and len(listed) > _MOST_MODULES:
        raise ConfigError(
            f"{path} lists {len(listed):,} modules; at most {_MOST_MODULES} are built. Is it another file?"
        )
    if not isinstance(listed, list) or not all(isinstance(step, dict) and "type" in step for step in listed):
        raise ConfigError(f"{path} should hold a list of modules, each with its type.")
    steps = [{"type": str(step["type"]).rpartition(".")[2], "path": str(step.get("path", ""))} for step in listed]
    if not steps or steps[0]["type"] != "Transformer":
        raise ConfigError(
            f"{path}: the first module should be a Transformer, not {steps[0]['type'] if steps else 'none'}."
        )
    return steps


def _module(step: dict[str, str], source: hub.Source) -> Pooling | Dense | Normalize:
    kind, path = step["type"], step["path"]
    if kind == "Pooling":
        return Pooling(_config(source, f"{path}/config.json"))
    if kind == "Normalize":
        return Normalize()
    if kind == "Dense":
        weights = source.require(f"{path}/model.safetensors", f"{path}/pytorch_model.bin")
        return Dense(_config(source, f"{path}/config.json"), open_checkpoint([weights]))
    raise ConfigError(f"modules.json has a {kind}, which is not known here; Pooling, Dense and Normalize are.")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _config(source: hub.Source, name: str) -> dict[str, Any]:
    path = source.file(name)
    return {} if path is None else read_json(path)


_SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda a, b: F.normalize(a, dim=1) @ F.normalize(b, dim=1).T,
    "dot": lambda a, b: a @ b.T,
    "euclidean": lambda a, b: -torch.cdist(a, b),
    "manhattan": lambda a, b: -torch.cdist(a, b, p=1),
}
