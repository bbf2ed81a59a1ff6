"""SentenceEncoder: texts to vectors that are near each other when the texts mean much the same.

It reads and writes the folders of sentence-transformers: a modules.json names what is done one after the other.
Source: Reimers and Gurevych 2019 (arXiv 1908.10084).
Letters: B texts, T columns, D width.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import hub
from ..atomic import replacing
from ..auto import AutoConfig, AutoTokenizer
from ..config import longest_text
from ..errors import ArgumentError, ConfigError, InputError, near
from ..pipelines.base import choose_device
from ..pipelines.batches import collate
from ..pipelines.feature_extraction import AutoReader
from ..pipelines.text import least_limit
from . import folder
from .fit import FitsSentences
from .modules import Features, Pooling, Transformer
from .precision import check_precision, quantize_embeddings
from .running import batches, chosen_prompt, opened, refuse_more, tokenized
from .search import PAIRWISE, SIMILARITIES, as_vectors

_OUTPUTS = ("sentence_embedding", "token_embeddings", None)
# the prompts that `encode_document` looks for, in this order
_OF_DOCUMENTS = ("document", "passage", "corpus")


def _of_first(name: str) -> Any:
    """An attribute of the first module."""
    return property(
        lambda self: getattr(self[0], name), lambda self, value: setattr(self[0], name, value), doc=Transformer.__doc__
    )


class SentenceEncoder(FitsSentences):
    """A model, its tokenizer, and what makes one vector of a text's hidden states: encoder[0], encoder[1], …

    Called with the features that `tokenize` gives, it adds `sentence_embedding` (B, D). `fit` trains it.

    Attributes:
        model, tokenizer, max_seq_length, do_lower_case: those of encoder[0], a Transformer.
        prompts: {name: what is put before a text}; default_prompt_name: the one for calls that name none.
        similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan".
        truncate_dim: how many numbers of a vector are kept; None for all.
    """

    model = _of_first("auto_model")
    tokenizer = _of_first("tokenizer")
    max_seq_length = _of_first("max_seq_length")
    do_lower_case = _of_first("do_lower_case")
    prompts: dict[str, str]
    default_prompt_name: str | None
    similarity_fn_name: str
    truncate_dim: int | None

    def __init__(
        self,
        model: Any = None,
        tokenizer: Any = None,
        modules: Sequence[nn.Module] | None = None,
        max_seq_length: int | None = None,
        prompts: dict[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        do_lower_case: bool = False,
        truncate_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Args:
        model: a model; or a name or a folder, of which all is loaded that is not given, with kwargs as from_pretrained.
        modules: what follows the model; left out, the mean of its hidden states, or the last one of a decoder. Without
            a model, all modules, a Transformer first.
        """
        if isinstance(model, str | os.PathLike):
            super().__init__()
            self.__dict__ = opened(type(self), model, {**kwargs, "truncate_dim": truncate_dim}, tokenizer).__dict__
            self.max_seq_length = max_seq_length or self.max_seq_length
            prompts = {**self.prompts, **(prompts or {})}
            default_prompt_name = default_prompt_name or self.default_prompt_name
            similarity_fn_name = similarity_fn_name or self.similarity_fn_name
        else:
            refuse_more(type(self), kwargs)
            if model is not None:
                first = Transformer(model, tokenizer, max_seq_length, do_lower_case)
                modules = [first, *([_usual(model.config)] if modules is None else modules)]
            super().__init__(*_checked_modules(modules))
            self.eval()
            self.truncate_dim = _checked_width(truncate_dim)
        self.prompts = {"query": "", "document": "", **{name: text or "" for name, text in (prompts or {}).items()}}
        self.default_prompt_name, self.similarity_fn_name = default_prompt_name, similarity_fn_name or "cosine"
        if self.similarity_fn_name not in SIMILARITIES:
            raise ConfigError(f"similarity_fn_name={similarity_fn_name!r} is not one of {', '.join(SIMILARITIES)}.")
        if default_prompt_name is not None and default_prompt_name not in self.prompts:
            raise ConfigError(f"default_prompt_name={default_prompt_name!r} is not one of {', '.join(self.prompts)}.")

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str], *, device: Any = None, truncate_dim: int | None = None, **kwargs: Any
    ) -> SentenceEncoder:
        """Load a folder or a hub name; a model without modules.json gets the mean of its hidden states, or the last.

        Args:
            device: where to run; left out, where the model is loaded.
            truncate_dim: how many numbers of a vector are kept, instead of what the folder says.
            kwargs: those of `AutoModel.from_pretrained`.

        Errors: as there; ConfigError for a module, or a setting that changes vectors, that is not known.
        """
        where = hub.hub_arguments(kwargs.copy())
        source = hub.locate(name, **where)
        listed = folder.steps(source)
        first = listed[0]["path"] if listed else ""
        settings = folder.settings(source, first)
        own = folder.general(source, "SentenceTransformer")
        if first:
            where["subfolder"] = kwargs["subfolder"] = "/".join(p for p in (kwargs.get("subfolder"), first) if p)
        if settings.config and "config" not in kwargs:
            kwargs["config"] = AutoConfig.from_pretrained(name, **where)
            settings.apply(kwargs["config"])
        tokenizer = AutoTokenizer.from_pretrained(name, **where, **settings.tokenizer)
        model = AutoReader.from_pretrained(name, **{**settings.model, **kwargs})
        modules = [folder.module(step, source) for step in listed[1:]] if listed else [_usual(model.config)]
        limit = settings.max_seq_length or least_limit(tokenizer.model_max_length, longest_text(model.config))
        made = cls(
            model,
            tokenizer,
            modules,
            limit,
            own.get("prompts"),
            own.get("default_prompt_name"),
            own.get("similarity_fn_name") or "cosine",
            settings.do_lower_case,
            own.get("truncate_dim") if truncate_dim is None else truncate_dim,
        )
        return made.to(model.device if device is None else choose_device(device, model))

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write a folder that from_pretrained, and sentence-transformers, read again.

        The model, its tokenizer, and what follows them are written one after the other, each of them at once. kwargs
        go to the model's `save_pretrained`. Errors: as there.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory)
        steps = [{"idx": 0, "name": "0", "path": "", "type": f"{folder.TYPES}.Transformer"}]
        own = {"max_seq_length": self.max_seq_length, "do_lower_case": self.do_lower_case}
        config = {
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt_name,
            "similarity_fn_name": self.similarity_fn_name,
            **({} if self.truncate_dim is None else {"truncate_dim": self.truncate_dim}),
        }
        with replacing(save_directory) as stage:
            for number, module in enumerate(list(self)[1:], 1):
                kind = type(module).__name__
                step = {
                    "idx": number,
                    "name": str(number),
                    "path": f"{number}_{kind}",
                    "type": f"{folder.TYPES}.{kind}",
                }
                (stage / f"{number}_{kind}").mkdir()
                module.save(stage / f"{number}_{kind}")  # type: ignore[operator]
                steps.append(step)
            folder.write_json(stage / "modules.json", steps)
            folder.write_json(stage / "sentence_bert_config.json", own)
            folder.write_json(stage / "config_sentence_transformers.json", config)

    def optimize(self, mode: str | bool | None = True, **kwargs: Any) -> SentenceEncoder:
        """As the model's own `optimize`."""
        self.model.optimize(mode, **kwargs)
        return self

    def get_embedding_dimension(self) -> int:
        """How long a vector is."""
        return len(self.encode("a", convert_to_numpy=False))

    def get_sentence_embedding_dimension(self) -> int:
        """The older name of get_embedding_dimension."""
        return self.get_embedding_dimension()

    def get_max_seq_length(self) -> int | None:
        """As max_seq_length."""
        limit: int | None = self.max_seq_length
        return limit

    def set_pooling_include_prompt(self, include_prompt: bool) -> None:
        """Say whether the tokens of a prompt count in a text's vector."""
        for module in self:
            if isinstance(module, Pooling):
                module.include_prompt = include_prompt

    @contextmanager
    def truncate_sentence_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Keep so many numbers of a vector inside of a `with`."""
        before, self.truncate_dim = self.truncate_dim, _checked_width(truncate_dim)
        try:
            yield
        finally:
            self.truncate_dim = before

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """What the model reads of texts: tensors (B, T), padded on the right and cut at max_seq_length."""
        return collate(tokenized(self[0], [list(texts)]), self.tokenizer, True)

    def encode_query(self, sentences: Any = None, prompt_name: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """As `encode`, with the prompt called "query" where none is named."""
        if prompt_name is None and not args[:1] and kwargs.get("prompt") is None and "query" in self.prompts:
            prompt_name = "query"
        return self.encode(sentences, prompt_name, *args, **kwargs)

    def encode_document(self, sentences: Any = None, prompt_name: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """As `encode`, with the first there is of the prompts "document", "passage", "corpus" if none is named."""
        if prompt_name is None and not args[:1] and kwargs.get("prompt") is None:
            prompt_name = next((name for name in _OF_DOCUMENTS if name in self.prompts), None)
        return self.encode(sentences, prompt_name, *args, **kwargs)

    @torch.inference_mode()
    def encode(
        self,
        sentences: str | Sequence[str] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str | None = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        *,
        inputs: str | Sequence[str] | None = None,
    ) -> Any:
        """Vectors of texts.

        Args:
            sentences: a text, or a list of texts; `inputs` is its newer name.
            prompt_name, prompt: what is put before each text, by its name in `prompts`, or as it is.
            batch_size: texts at a time; left out, they are chosen by tokens, which is faster.
            show_progress_bar: whether a bar shows how many are done.
            output_value: "sentence_embedding"; "token_embeddings", a tensor (T, D) for each text; None, a dictionary of
                all features for each text, whose tensors are as long as the longest text of its batch.
            precision: "float32", or fewer bits: see quantize_embeddings.
            convert_to_numpy, convert_to_tensor: what is returned: an array, or a tensor, (texts, D); neither: a list.
            device: where to run from now on; left out, where the model is.
            normalize_embeddings: vectors at length 1.
            truncate_dim: how many numbers of a vector are kept, before it is normalized.

        Returns the same for one text, without the first dimension. Raises InputError naming what is no text.
        """
        given = sentences if inputs is None else inputs
        if given is None:
            raise ArgumentError("encode needs sentences: a text, or a list of texts.")
        if output_value not in _OUTPUTS:
            raise ArgumentError(
                f"output_value={output_value!r} is not known.{near(output_value, map(str, _OUTPUTS))} Use "
                "'sentence_embedding', 'token_embeddings' or None."
            )
        precision, to_numpy = check_precision(precision), convert_to_numpy and not convert_to_tensor
        width = self.truncate_dim if truncate_dim is None else _checked_width(truncate_dim)
        if device is not None:
            self.to(choose_device(device, self.model))
        if self.training:
            self.eval()
        texts = _texts(given)
        found: list[Any] = [None] * len(texts)
        before = chosen_prompt(self.prompts, self.default_prompt_name, prompt_name, prompt)
        for batch, features in self._run(texts, before, batch_size, show_progress_bar):
            if output_value == "sentence_embedding" or (output_value is None and "sentence_embedding" in features):
                vectors = self._vectors(features)[:, :width]
                features["sentence_embedding"] = vectors.cpu() if output_value and to_numpy else vectors
            for i, row in zip(batch, _rows(features, len(batch), output_value, normalize_embeddings), strict=True):
                found[i] = row
        if output_value == "sentence_embedding":
            found = _returned(found, precision, convert_to_tensor, convert_to_numpy)
        return found[0] if isinstance(given, str) else found

    def similarity(self, first: Any, second: Any) -> Tensor:
        """How near each vector of `first` (n, D) is to each of `second` (m, D): (n, m), larger is nearer."""
        return SIMILARITIES[self.similarity_fn_name](as_vectors(first), as_vectors(second))

    def similarity_pairwise(self, first: Any, second: Any) -> Tensor:
        """How near each vector of `first` (n, D) is to the one of `second` (n, D) in its place: (n,)."""
        one, other = as_vectors(first), as_vectors(second)
        if one.shape != other.shape:
            raise InputError(
                f"Pairs of vectors need one shape; these have {tuple(one.shape)} and {tuple(other.shape)}."
            )
        return PAIRWISE[self.similarity_fn_name](one, other)

    def _run(
        self, texts: list[str], prompt: str, size: int | None, bar: bool | None
    ) -> Iterator[tuple[list[int], Features]]:
        """Batches of texts, by their places, and what all modules make of them."""
        read = tokenized(self[0], [[prompt + text for text in texts]])
        length = self._length_of(prompt) if prompt else 0
        for batch in batches(read, size, bar):
            inputs = collate([read[i] for i in batch], self.tokenizer, True)
            features: Features = {name: value.to(self.device) for name, value in inputs.items()}
            if length:
                features["prompt_length"] = length
            yield batch, self(features)

    def _length_of(self, prompt: str) -> int:
        """The tokens of a prompt that come before those of a text."""
        ids = tokenized(self[0], [[prompt]])[0]["input_ids"][0].tolist()
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)

    def _vectors(self, features: Features) -> Tensor:
        vectors: Tensor | None = features.get("sentence_embedding")
        if vectors is None:
            raise ConfigError(
                f"The modules {', '.join(type(one).__name__ for one in self)} make no vector of a text; a Pooling "
                "does. output_value='token_embeddings' gives those of tokens."
            )
        return vectors


def _checked_modules(modules: Sequence[nn.Module] | None) -> Sequence[nn.Module]:
    if not modules or not isinstance(modules[0], Transformer):
        raise ArgumentError("A SentenceEncoder needs a model, or modules of which the first is a Transformer.")
    return modules


def _usual(config: Any) -> Pooling:
    """One vector a text where nothing says how: the last token's of a decoder, which alone has seen all others."""
    decoder = any(str(name).endswith("ForCausalLM") for name in (getattr(config, "architectures", None) or [])[:1])
    width = getattr(config, "hidden_size", None)
    return Pooling("lasttoken" if decoder else "mean", embedding_dimension=width)


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"sentences[{index}] is {text!r:.60} ({type(text).__name__}); a text (str) is needed.")
    return texts


def _rows(features: Features, count: int, output: str | None, normalize: bool) -> list[Any]:
    """What is returned of each text of a batch."""
    if output is None:
        return [
            {
                name: value[row] if isinstance(value, Tensor) and value.ndim and len(value) == count else value
                for name, value in features.items()
            }
            for row in range(count)
        ]
    if output == "token_embeddings":
        lengths = features["attention_mask"].sum(1).tolist()
        return [tokens[:length] for tokens, length in zip(features[output], lengths, strict=True)]
    vectors = features[output]
    return list(F.normalize(vectors, dim=1) if normalize else vectors)


def _returned(found: list[Tensor], precision: str, as_tensor: bool, as_numpy: bool) -> Any:
    if not found:
        return torch.empty(0) if as_tensor else np.empty(0, np.float32) if as_numpy else []
    whole: Any = torch.stack(found)
    if precision != "float32":
        whole = torch.from_numpy(quantize_embeddings(whole, precision))
    if as_tensor:
        return whole
    return whole.cpu().numpy() if as_numpy else list(whole)


def _checked_width(width: int | None) -> int | None:
    if width is not None and not (type(width) is int and width > 0):
        raise ArgumentError(f"truncate_dim={width!r} is not possible: it is how many numbers are kept, or None.")
    return width
