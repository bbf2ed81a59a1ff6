"""Pictures beside texts: which inputs are which, and the first module of models that read pictures.

Letters: B inputs, T columns, D width, E width of the space that texts and pictures share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from torch import Tensor

from ..errors import ArgumentError, ConfigError, FormersError, InputError
from ..logging import warn_once
from ..pipelines.batches import collate
from ..pipelines.threads import in_threads
from ..processing import BaseImageProcessor
from ..processing.transforms import is_pil
from .modules import Features
from .transformer import Transformer

TEXT, IMAGE = "text", "image"
_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tiff", ".webp")
_DIMENSIONS = (2, 3)  # of a picture in an array
_AT_ONCE = 32  # pictures that are read before the model sees them


class MultimodalTransformer(Transformer):
    """A first module that reads pictures: a model of two towers, or one of pictures alone.

    Two towers make `sentence_embedding` (B, E) of texts and of pictures; a model of pictures alone makes
    `token_embeddings` (B, T, D) of them.

    Attributes:
        processor: as AutoProcessor loads it; of a model of pictures alone its image processor.
        image_processor, tokenizer: its parts; tokenizer is None for a model of pictures alone.
    """

    def __init__(
        self, model: Any, processor: Any, max_seq_length: int | None = None, do_lower_case: bool = False
    ) -> None:
        alone = not has_towers(model)
        images = processor if alone else getattr(processor, "image_processor", None)
        if not isinstance(images, BaseImageProcessor):
            raise ArgumentError(
                f"A {type(model).__name__} needs {'an image processor' if alone else 'a processor of texts and images'}"
                f", got a {type(processor).__name__}. Use SentenceEncoder.from_pretrained(…), which loads it."
            )
        super().__init__(model, None if alone else processor.tokenizer, max_seq_length, do_lower_case)
        self._processor, self.image_processor = processor, images
        self.modalities = (IMAGE,) if alone else (TEXT, IMAGE)
        if hasattr(model, "logit_bias"):  # models with one were trained with texts of one length alone
            self.padding = "max_length"

    @property
    def processor(self) -> Any:
        """What inputs go through."""
        return self._processor

    def get_word_embedding_dimension(self) -> int:
        """How long a vector is."""
        config = self.auto_model.config
        return int(getattr(config, "projection_dim", None) or config.hidden_size)

    def forward(self, features: Features) -> Features:
        """Token ids (B, T), or pixel values (B, C, H, W), to vectors: see the class."""
        kind = IMAGE if "pixel_values" in features else TEXT
        names = self.tokenizer.model_input_names if kind == TEXT else self.image_processor.model_input_names
        inputs = {name: features[name] for name in names if name in features}
        features["modality"] = kind
        if self.tokenizer is not None:
            make = self.auto_model.get_text_features if kind == TEXT else self.auto_model.get_image_features
            features["sentence_embedding"] = make(**inputs).pooler_output.float()
            return features
        hidden = self.auto_model(**inputs, return_dict=True).last_hidden_state.float()
        features["token_embeddings"] = hidden.flatten(2).mT if hidden.ndim == 4 else hidden
        return features

    def pixels(self, inputs: Sequence[Any], places: Sequence[int]) -> list[dict[str, Any]]:
        """What the model reads of pictures, tensors (1, …) each; they are read and resized in threads.

        Raises InputError or NotFoundError naming the place of one that is damaged or not there.
        """

        def one(index: int) -> dict[str, Any]:
            try:
                made = dict(self.image_processor(inputs[index], return_tensors="pt"))
            except FormersError as error:
                raise type(error)(f"sentences[{index}]: {error}") from error
            except Exception as error:  # what other code raises, as a hook of a processor, names no picture
                raise InputError(f"sentences[{index}] is no picture: {error or type(error).__name__}") from error
            dtype = self.auto_model.dtype
            return {
                name: value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
                for name, value in made.items()
            }

        return in_threads(one, places)

    def picture_batches(
        self, inputs: Sequence[Any], places: Sequence[int], size: int | None
    ) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Batches of pictures, by their places, and what the model reads of them; those of one size share a batch."""
        step = size or _AT_ONCE
        for start in range(0, len(places), step):
            some = list(places[start : start + step])
            groups: dict[Any, list[int]] = {}
            read = self.pixels(inputs, some)
            for number, row in enumerate(read):
                groups.setdefault(getattr(row.get("pixel_values"), "shape", None), []).append(number)
            for group in groups.values():
                yield [some[n] for n in group], collate([read[n] for n in group], self.tokenizer, True)


def has_towers(model: Any) -> bool:
    """Whether a model makes vectors of texts, and of pictures, of one space."""
    return hasattr(model, "get_text_features") and hasattr(model, "get_image_features")


def reads_pictures(model: Any) -> bool:
    """Whether a model is one for a MultimodalTransformer.

    Raises ConfigError for a model that reads a picture only with a text.
    """
    names = type(model).inputs() if hasattr(type(model), "inputs") else ()
    if "pixel_values" in names and "input_ids" in names and not has_towers(model):
        raise ConfigError(
            f"{type(model).__name__} reads pictures together with texts, and makes no vector of one alone. Use a model "
            "of two towers, such as CLIP."
        )
    return "pixel_values" in names


def sort_inputs(given: Any, modalities: Sequence[str]) -> tuple[list[str], list[Any], bool]:
    """The kind of each input, "text" or "image", and each input; and whether it was one, and no list.

    A str is a picture where it is the address or the path of one, a data: address included; {"text": …} and
    {"image": …} say which it is. Raises InputError naming what is neither, or not what the model reads.
    """
    single = _is_one(given)
    inputs = [given] if single else list(given)
    kinds = [_kind(one, f"sentences[{index}]", modalities) for index, one in enumerate(inputs)]
    return kinds, [next(iter(one.values())) if isinstance(one, Mapping) else one for one in inputs], single


def _is_one(given: Any) -> bool:
    if isinstance(given, (str, bytes, os.PathLike, Mapping)) or is_pil(given):
        return True
    return getattr(given, "ndim", None) in _DIMENSIONS


def _kind(value: Any, name: str, modalities: Sequence[str]) -> str:
    if isinstance(value, Mapping):
        if len(value) != 1 or not value.keys() <= {TEXT, IMAGE}:
            raise InputError(
                f'{name} is a dictionary of {", ".join(map(repr, value)) or "nothing"}; give {{"text": …}} or '
                '{"image": …}, one of them: each input gets a vector of its own.'
            )
        kind, value = next(iter(value.items()))
    else:
        kind = TEXT if isinstance(value, str) and not (IMAGE in modalities and is_picture(value)) else IMAGE
    if kind == TEXT and not isinstance(value, str):
        raise InputError(f"{name} is {_shown(value)}; a text (str) is needed.")
    if kind not in modalities:
        wanted = "a text (str) is needed." if kind == IMAGE else "a picture is needed: this model reads no texts."
        raise InputError(f"{name} is {_shown(value)}; {wanted}")
    if kind == IMAGE:
        _check_picture(value, name)
    return kind


def _check_picture(value: Any, name: str) -> None:
    if isinstance(value, (str, bytes, os.PathLike)) or is_pil(value):
        return
    if (ndim := getattr(value, "ndim", None)) is None:
        raise InputError(f"{name} is {_shown(value)}; a text or one picture is needed.")
    if ndim not in _DIMENSIONS:
        raise InputError(
            f"{name} has the shape {tuple(value.shape)}; a picture has two dimensions, (H, W), or three, (H, W, C) or "
            "(C, H, W)."
        )


def _shown(value: Any) -> str:
    """A value in a message, on one line."""
    return f"{' '.join(repr(value).split()):.60} ({type(value).__name__})"


def is_picture(text: str) -> bool:
    """Whether a text is the address of a picture, or the path of one that is there, by its ending."""
    if text.startswith("data:image/"):
        return True
    if text.startswith(("http://", "https://")) and " " not in text:
        try:
            return urlsplit(text).path.lower().endswith(_ENDINGS)
        except ValueError:  # brackets that hold no address
            return False
    if not text.lower().endswith(_ENDINGS):
        return False
    if not (found := os.path.isfile(text)) and not any(map(str.isspace, text)):
        warn_once(f'{text!r:.80} is read as a text: there is no such file. {{"image": …}} says that it is a picture.')
    return found
