"""What models share that write from texts with pictures in them: a decoder, some of whose columns are pictures' rows.

    pixel_values ─ vision model ─ projection ─▶ rows of pictures ─┐ in place of the vectors
    input_ids ──── table of words ─▶ vectors (B, T, D) ───────────┴─▶ of `image_token_id` ─ decoder ─▶ logits (B, T, V)

Once the rows of pictures are vectors among the others, all else is the decoder's: packing, its cache, generation.
Letters: B texts, T columns, I pictures, R rows of a picture, D width of the decoder, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from . import heads, outputs, vision
from .cache import Cache
from .classes import config_class, model_class
from .config import PretrainedConfig
from .decoders import Decoding
from .errors import ConfigError, InputError
from .modeling import PreTrainedModel
from .ops.embedding import lookup
from .ops.layout import Layout
from .two_towers import TwoTowersConfig

GIVEN = ("image_hidden_states", "mm_encoder_outputs")  # what was computed of pictures before
_SAMPLE = 20  # tokens of a text of nobody's


class SeeingConfig(TwoTowersConfig):
    """sub_configs: the classes of `text_config` and `vision_config` where these do not say their model_type; others are
    possible. DEFAULTS: keys of a part that is left out."""

    DEFAULTS: ClassVar[dict[str, dict[str, Any]]] = {}

    def _part(self, name: str, kind: Any, given: Any, old: dict[str, Any] | None) -> PretrainedConfig:
        if given is None:
            given = self.DEFAULTS.get(name, {})
        if isinstance(given, dict) and isinstance(given.get("model_type"), str):
            kind = config_class(given["model_type"], f"{type(self).__name__}.{name}")
        return super()._part(name, kind, given, old)


def part_of(config: PretrainedConfig, name: str) -> Any:
    """The model, without a head, of a part of a configuration. Raises ConfigError where there is none."""
    part = getattr(config, name)
    found = model_class("base", type(part))
    if found is None:
        raise ConfigError(f"{type(config).__name__}.{name}: {type(part).__name__} has no model here.")
    return found._from_config(part, attn_implementation=config._attn_implementation)


class Seeing(Decoding):
    """What such models share with a head and without.

    IMAGE: what `get_image_features` reads. TEXT: where the decoder is, without its head.
    """

    IMAGE: ClassVar[tuple[str, ...]] = ("pixel_values",)
    TEXT: ClassVar[str] = "text_model"

    def text(self) -> Any:
        """The decoder, without its head."""
        return self.get_submodule(self.TEXT)

    def causal(self) -> bool:
        """As the decoder."""
        found: bool = self.text().causal()
        return found

    def take_cache(self, inputs: dict[str, Any]) -> Cache | None:
        if inputs.get("use_cache") is None:
            config = self.config
            inputs["use_cache"] = getattr(config, "use_cache", getattr(config.text_config, "use_cache", True))
        return super().take_cache(inputs)

    def get_input_embeddings(self) -> nn.Embedding:
        """The decoder's table of words."""
        found: nn.Embedding = self.text().get_input_embeddings()
        return found

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace it."""
        self.text().set_input_embeddings(value)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Change the decoder's vocabulary, as any model's."""
        own = vars(self.config).get("vocab_size")  # of files that say it twice
        table = super().resize_token_embeddings(*args, **kwargs)
        self.config.text_config.vocab_size = table.num_embeddings
        if own is None:
            vars(self.config).pop("vocab_size", None)
        return table

    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of one module, those of a part as the part does."""
        for part in self.modules():
            if part is not self and isinstance(part, PreTrainedModel) and any(module is own for own in part.modules()):
                return part._init_weights(module)
        return super()._init_weights(module)

    def _std(self) -> float:
        return float(getattr(self.config.text_config, "initializer_range", 0.02))

    # ---- pictures

    def get_image_features(self, *args: Any, **kwargs: Any) -> Any:
        """What the vision model says of pictures, its `pooler_output` their rows among words, of each text (I · R, D).

        The arguments are IMAGE's."""
        raise NotImplementedError

    def rows_of_pictures(self, inputs: dict[str, Any]) -> Tensor | None:
        """(I · R, D) the rows of all pictures in their order; None without pictures."""
        given, before = (inputs.get(name) for name in GIVEN)
        if inputs.get("pixel_values") is None:
            found = before.get("image") if isinstance(before, Mapping) else before if given is None else given
            found = getattr(found, "pooler_output", found)
            if found is None:
                return None
        elif given is not None or before:
            raise InputError(f"{type(self).__name__} got pixel_values, and what was computed of pictures; give one.")
        else:
            read = {name: inputs[name] for name in self.IMAGE if inputs.get(name) is not None}
            found = self.get_image_features(**read).pooler_output
        rows = torch.cat([*found]) if isinstance(found, list | tuple) else found
        return rows.flatten(0, -2)

    def with_pictures(self, inputs: dict[str, Any], rows: Tensor) -> Tensor:
        """Vectors (B, T, D) of words, and of the rows of pictures in the columns of `image_token_id`.

        Raises InputError where there are more of these columns than rows, or fewer."""
        ids, vectors, token = inputs.get("input_ids"), inputs.get("inputs_embeds"), self.config.image_token_id
        words = self.get_input_embeddings()
        if ids is None and vectors is None:
            raise InputError(f"{type(self).__name__} reads pictures in texts: give input_ids beside pixel_values.")
        if ids is not None:
            at = ids == token
        else:
            assert vectors is not None
            at = (vectors == words(torch.tensor(token, device=vectors.device))).all(-1)
        if (count := int(at.sum())) != len(rows):
            raise InputError(
                f"The texts have {count} image tokens (id {token}), and the pictures {len(rows)} rows: each row needs "
                "one. The model's processor writes them, processor(images=images, text=texts): give it all images of "
                "the texts, and no max_length that cuts tokens of images off."
            )
        if vectors is None:
            assert ids is not None
            vectors = lookup(words, ids.masked_fill(at, 0), Layout(*ids.shape), "input_ids", "vocab_size")
        return vectors.masked_scatter(at[..., None], rows.to(vectors.device, vectors.dtype))

    def see(self, inputs: dict[str, Any]) -> outputs.MultimodalModelOutputWithPast:
        """What the decoder, without its head, says of texts with pictures."""
        rows = self.rows_of_pictures(inputs)
        inputs = inputs | self.options(**{n: inputs.get(n) for n in ("output_attentions", "output_hidden_states")})
        if rows is not None:
            inputs = inputs | {"inputs_embeds": self.with_pictures(inputs, rows), "input_ids": None}
        text = self.text()
        takes = {*text.SIGNATURE, *text.KEYWORDS, "layout"} - {"return_dict"}
        found = text(**{name: x for name, x in inputs.items() if name in takes}, return_dict=True)
        fields = outputs.MultimodalModelOutputWithPast.__match_args__
        both = {name: found[name] for name in found if name in fields}
        return outputs.MultimodalModelOutputWithPast(**both, image_hidden_states=rows)

    # ---- trying it out

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        return {"input_ids": torch.tensor([[1, 2, 3], [3, 2, 1]], device=self.device)}

    def picture_of_nobody(self) -> dict[str, Tensor]:
        """What the model reads of one picture for each of the two texts of a batch."""
        config = self.config.vision_config
        return {"pixel_values": vision.pictures(config, 2).to(self.device, self.dtype)}

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        """Two texts, each after a picture."""
        size, draw = self.get_input_embeddings().num_embeddings, torch.Generator().manual_seed(0)
        pictures = self.picture_of_nobody()
        tokenizer = tokenizer or self._tokenizer()
        said = super()._sample(tokenizer) if tokenizer is not None else []
        texts = torch.randint(0, size, (2, _SAMPLE), generator=draw)
        if said and said[0]["input_ids"].shape[0] > 1:
            texts = said[0]["input_ids"][-2:].cpu()
        texts = texts.masked_fill(texts == self.config.image_token_id, 0)
        with torch.no_grad():
            rows = self.rows_of_pictures(dict(pictures))
        assert rows is not None
        tokens = torch.full((2, len(rows) // 2), self.config.image_token_id)
        return [{"input_ids": torch.cat([tokens, texts], 1).to(self.device), **pictures}]


class SeeingModel(Seeing):
    """The model without a head: hidden states (B, T, D), the cache, and the rows of pictures."""

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Read texts with pictures in them.

        input_ids (B, T), in which `image_token_id` stands for each row of a picture; pixel_values as IMAGE says; all
        else as the decoder's.
        """
        return self.returned(self.see(inputs), inputs.get("return_dict"))


class SeeingLM(Seeing, heads.CausalLM):
    """Writes on: logits (B, T, V), and with labels (B, T) the loss; see heads.CausalLM. `generate` reads pictures once.
    It has an `lm_head`, or says in `compute_logits` what scores."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.MultimodalCausalLMOutputWithPast
    KEYWORDS = (*heads.CausalLM.KEYWORDS, *Decoding.KEYWORDS)
    lm_head: Any

    def seer(self) -> Any:
        """The part that turns texts with pictures into vectors."""
        return self.base_model

    def body(self, inputs: dict[str, Any]) -> Any:
        return self.base_model(**inputs)

    def compute_logits(self, rows: Tensor) -> Tensor:
        found: Tensor = self.lm_head(rows)
        return found

    def text(self) -> Any:
        return self.seer().get_submodule(self.TEXT)

    def get_image_features(self, *args: Any, **kwargs: Any) -> Any:
        """As the model's without a head."""
        return self.seer().get_image_features(*args, **kwargs)

    def read_source(self, inputs: Any, config: Any, kwargs: dict[str, Any]) -> None:
        """Read pictures once for all that is written of them: what `generate` goes on from are vectors then."""
        ids = kwargs.get("input_ids") if inputs is None else inputs
        rows = self.seer().rows_of_pictures(kwargs)
        for name in (*self.IMAGE, *GIVEN):
            kwargs.pop(name, None)
        if rows is not None:
            given = {"input_ids": ids, "inputs_embeds": kwargs.get("inputs_embeds")}
            kwargs["inputs_embeds"] = self.seer().with_pictures(given, rows)

    def next_logits(self, inputs: dict[str, Any], layout: Any, cache: Cache | None, every: bool = False) -> Tensor:
        found = self.text()(**inputs, layout=layout, past_key_values=cache, return_dict=True).last_hidden_state
        return self.compute_logits(found.flatten(0, -2) if every else layout.last(found))

    def prepare_inputs_for_generation(self, input_ids: Tensor, past_key_values: Any = None, **kwargs: Any) -> Any:
        """As of any decoder; pictures are read in the first pass."""
        found = super().prepare_inputs_for_generation(input_ids, past_key_values, **kwargs)
        if past_key_values is None or not Cache.of(past_key_values).columns:
            found |= {name: kwargs[name] for name in (*self.IMAGE, *GIVEN) if kwargs.get(name) is not None}
        return found


def names_of_parts(model: Seeing, table: str, scores: str = "lm_head.weight") -> None:
    """Say which names of files stand for what is computed, and that the table of words and what scores may be one."""
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel) and part is not model]
    model.BUFFERS = tuple({name: 0 for part in parts for name in part.BUFFERS})  # type: ignore[misc]
    if hasattr(model, "compute_logits"):
        model.TIED = {scores: f"{table}.{model.text().WORDS}.weight"}  # type: ignore[misc]
