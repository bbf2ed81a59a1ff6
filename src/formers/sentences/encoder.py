"""SentenceEncoder: texts, and pictures, to vectors that are near each other when they mean much the same.

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
from torch import Tensor, nn

from .. import hub
from ..atomic import replacing
from ..auto import AutoConfig, AutoTokenizer
from ..auto_processing import AutoProcessor
from ..config import longest_text
from ..errors import ArgumentError, ConfigError, InputError, near
from ..pipelines.base import choose_device
from ..pipelines.batches import collate
from ..pipelines.feature_extraction import AutoReader
from ..pipelines.text import least_limit
from . import folder
from .fit import FitsSentences
from .modules import Features, Pooling
from .pictures import IMAGE, TEXT, MultimodalTransformer, has_towers, reads_pictures, sort_inputs
from .precision import check_precision
from .running import batches, chosen_prompt, opened, progress, refuse_more, returned, rows, tokenized
from .search import PAIRWISE, SIMILARITIES, as_vectors
from .transformer import Transformer

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
        modalities: what is read: "text", "image" or both; processor: what it goes through: the tokenizer, or with
            pictures the processor, whose part for them is image_processor.
        prompts: {name: what is put before a text}; default_prompt_name: the one for calls that name none.
        similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan".
        truncate_dim: how many numbers of a vector are kept; None for all.
    """

    model = _of_first("auto_model")
    tokenizer = _of_first("tokenizer")
    max_seq_length = _of_first("max_seq_length")
    do_lower_case = _of_first("do_lower_case")
    modalities = _of_first("modalities")
    processor = _of_first("processor")
    image_processor = _of_first("image_processor")
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
        tokenizer: its tokenizer; of a model that reads pictures, its processor.
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
                kind = MultimodalTransformer if reads_pictures(model) else Transformer
                first = kind(model, tokenizer, max_seq_length, do_lower_case)
                modules = [first, *(_usual(model) if modules is None else modules)]
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
        model = AutoReader.from_pretrained(name, **{**settings.model, **kwargs})
        auto = AutoProcessor if reads_pictures(model) else AutoTokenizer
        processor = auto.from_pretrained(name, **where, **settings.tokenizer)
        modules = [folder.module(step, source) for step in listed[1:]] if listed else _usual(model)
        made = cls(
            model,
            processor,
            modules,
            settings.max_seq_length or _limit(model, processor),
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
        self.processor.save_pretrained(save_directory)
        kind = self.model.config.model_type
        first, own = folder.first_step(kind, has_towers(self.model), self.modalities)
        steps = [first]
        own |= {"max_seq_length": self.max_seq_length, "do_lower_case": self.do_lower_case}
        if padding := getattr(self[0], "padding", False):
            own["processing_kwargs"] = {"text": {"padding": padding}}
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
        sample: Any = "a" if TEXT in self.modalities else np.zeros((32, 32, 3), np.uint8)
        return len(self.encode(sample, convert_to_numpy=False))

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
        return self.preprocess(texts)

    def preprocess(self, inputs: Sequence[Any]) -> dict[str, Tensor]:
        """What the model reads of texts, see `tokenize`, or of pictures: pixel values (B, C, H, W).

        Raises InputError for texts and pictures together, and as `encode`.
        """
        kinds, items, _ = sort_inputs(list(inputs), self.modalities)
        if len(set(kinds)) > 1:
            raise InputError("Texts and pictures are read apart: give preprocess one kind; encode takes both.")
        if IMAGE in kinds:
            return collate(self[0].pixels(items, range(len(items))), self.tokenizer, True)  # type: ignore[operator]
        return collate(tokenized(self[0], [items]), self.tokenizer, True)

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
        sentences: Any = None,
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
        inputs: Any = None,
    ) -> Any:
        """Vectors of texts, and of pictures where the model reads them, in their order.

        Args:
            sentences: a text, or a list of texts; `inputs` is its newer name. A picture is an image of Pillow, an array
                or tensor of three dimensions, bytes, a Path, or a str that is an address or a path of one by its ending
                (.jpg, .png, …); {"image": …} and {"text": …} say which one it is. A list may mix them.
            prompt_name, prompt: what is put before each text, by its name in `prompts`, or as it is.
            batch_size: texts, or pictures, at a time; left out, texts are chosen by tokens, which is faster.
            show_progress_bar: whether a bar shows how many are done.
            output_value: "sentence_embedding"; "token_embeddings", a tensor (T, D) for each text; None, a dictionary of
                all features for each text, whose tensors are as long as the longest text of its batch.
            precision: "float32", or fewer bits: see quantize_embeddings.
            convert_to_numpy, convert_to_tensor: what is returned: an array, or a tensor, (texts, D); neither: a list.
            device: where to run from now on; left out, where the model is.
            normalize_embeddings: vectors at length 1.
            truncate_dim: how many numbers of a vector are kept, before it is normalized.

        Returns the same for one text, without the first dimension. Raises InputError naming what is no text, or no
        picture, or is damaged; NotFoundError naming a picture that is not there.
        """
        given = sentences if inputs is None else inputs
        if given is None:
            raise ArgumentError("encode needs sentences: a text, or a list of texts.")
        kinds, items, single = sort_inputs(given, self.modalities)
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
        found: list[Any] = [None] * len(items)
        before = chosen_prompt(self.prompts, self.default_prompt_name, prompt_name, prompt)
        for batch, features in self._run(kinds, items, before, batch_size, show_progress_bar):
            if output_value == "sentence_embedding" or (output_value is None and "sentence_embedding" in features):
                vectors = self._vectors(features)[:, :width]
                features["sentence_embedding"] = vectors.cpu() if output_value and to_numpy else vectors
            for i, row in zip(batch, rows(features, len(batch), output_value, normalize_embeddings), strict=True):
                found[i] = row
        if output_value == "sentence_embedding":
            found = returned(found, precision, convert_to_tensor, convert_to_numpy)
        return found[0] if single else found

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
        self, kinds: list[str], items: list[Any], prompt: str, size: int | None, bar: bool | None
    ) -> Iterator[tuple[list[int], Features]]:
        """Batches of texts, and then of pictures, by their places, and what all modules make of them."""
        texts, pictures = ([i for i, kind in enumerate(kinds) if kind == one] for one in (TEXT, IMAGE))
        read = tokenized(self[0], [[prompt + items[i] for i in texts]])
        length = self._length_of(prompt) if prompt and texts else 0
        for batch in batches(read, size, bar):
            inputs = collate([read[i] for i in batch], self.tokenizer, True)
            more = {"prompt_length": length} if length else {}
            yield [texts[i] for i in batch], self(self._moved(inputs) | more)
        if pictures:
            with progress(len(pictures), bar, "Pictures") as shown:
                for batch, inputs in self[0].picture_batches(items, pictures, size):  # type: ignore[operator]
                    yield batch, self(self._moved(inputs))
                    shown.update(len(batch))

    def _moved(self, inputs: dict[str, Any]) -> Features:
        return {name: value.to(self.device) if isinstance(value, Tensor) else value for name, value in inputs.items()}

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


def _usual(model: Any) -> list[nn.Module]:
    """One vector an input where nothing says how: the last token's of a decoder, which alone has seen all others; what
    a model of two towers gives."""
    if has_towers(model):
        return []
    names = getattr(model.config, "architectures", None) or []
    decoder = any(str(name).endswith("ForCausalLM") for name in names[:1])
    return [Pooling("lasttoken" if decoder else "mean", embedding_dimension=getattr(model.config, "hidden_size", None))]


def _limit(model: Any, processor: Any) -> int | None:
    """The tokens of the longest text that both read; None for no limit, and for a model of pictures alone."""
    tokenizer = getattr(processor, "tokenizer", processor)
    longest = getattr(tokenizer, "model_max_length", None)
    return None if longest is None else least_limit(longest, longest_text(model.config))


def _checked_width(width: int | None) -> int | None:
    if width is not None and not (type(width) is int and width > 0):
        raise ArgumentError(f"truncate_dim={width!r} is not possible: it is how many numbers are kept, or None.")
    return width
