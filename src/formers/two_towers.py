"""What models of two towers share: one reads texts, the other pictures, and both give vectors of one space.

    input_ids ──── text_model ──── pooled ─ text_projection ──── of length 1 ─┐
                                                                               ├─ · scale (+ bias) ─▶ logits (B, I)
    pixel_values ─ vision_model ── pooled ─ visual_projection ── of length 1 ─┘
Letters: B texts, I pictures, D width of a tower, E width of the space.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from . import outputs
from .bodies import Body
from .config import PretrainedConfig, longest_text
from .errors import ArgumentError, ConfigError, near
from .layers import HeadMasks, by_hand, run_layers, through
from .modeling import OPTIONS, PreTrainedModel
from .ops import losses
from .ops.embedding import lookup, packed_ids, whole_batch
from .ops.layout import Layout, is_tracing
from .ops.step import Step
from .optimize import Block


class TowersConfig(PretrainedConfig):
    """sub_configs: the classes of `text_config` and of the other tower's, of which each may be given as a dictionary.

    text_config_dict and the like: what files up to Transformers 4.25 say; they count before the others.
    """

    sub_configs: ClassVar[dict[str, type]] = {}

    text_config: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        old = {name: kwargs.pop(f"{name}_dict", None) for name in self.sub_configs}
        super().__init__(*args, **kwargs)
        for name, kind in self.sub_configs.items():
            setattr(self, name, self._part(name, kind, getattr(self, name), old[name]))

    def _part(self, name: str, kind: Any, given: Any, old: dict[str, Any] | None) -> PretrainedConfig:
        if isinstance(given, PretrainedConfig) and old is None:
            return given
        values = given.to_dict() if isinstance(given, PretrainedConfig) else given or {}
        if not isinstance(values, dict) or not isinstance(old or {}, dict):
            raise ConfigError(f"{type(self).__name__}.{name} is a {type(given).__name__}; give a {kind.__name__}.")
        found: PretrainedConfig = kind.from_dict({**values, **(kind(**old).to_dict() if old is not None else {})})
        return found

    def check(self) -> None:
        super().check()
        for name in self.sub_configs:
            getattr(self, name).check()

    def longest_text(self) -> int | None:
        """The longest text that is read, in tokens."""
        return longest_text(self.text_config)


class TwoTowersConfig(TowersConfig):
    """As TowersConfig, of a tower for texts and one for pictures: `vision_config`."""

    vision_config: Any = None

    @classmethod
    def from_text_vision_configs(cls, text_config: Any, vision_config: Any, **kwargs: Any) -> Any:
        """One of the configurations of both towers, which are copied."""
        return cls(text_config=copy.deepcopy(text_config), vision_config=copy.deepcopy(vision_config), **kwargs)


class Features(Tensor):
    """The vectors (B, E) of texts or pictures, as Transformers 4 returns them: a tensor like any other.

    Transformers 5 returns an output, whose `pooler_output` they are: code for it finds that here too, and the tower's
    `last_hidden_state`, `hidden_states` and `attentions`. What is computed of it, and what is saved, is a plain tensor.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    last_hidden_state: Tensor | None
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None

    @classmethod
    def of(cls, vectors: Tensor, found: Any) -> Tensor:
        """The vectors that were made of what a tower returned."""
        if is_tracing():
            return vectors
        made = vectors.as_subclass(cls)
        for name in ("last_hidden_state", "hidden_states", "attentions"):
            setattr(made, name, getattr(found, name, None))
        return made

    @property
    def pooler_output(self) -> Tensor:
        """The vectors themselves."""
        return self.as_subclass(Tensor)

    def __getitem__(self, key: Any) -> Any:
        return getattr(self, key) if isinstance(key, str) else self.pooler_output[key]

    def __deepcopy__(self, memo: Any) -> Tensor:
        return copy.deepcopy(self.pooler_output, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.pooler_output.__reduce_ex__(protocol)

    def __repr__(self, *, tensor_contents: Any = None) -> Any:  # type: ignore[override]
        return repr(self.pooler_output)


class Towers(PreTrainedModel):
    """Compares texts with what another tower reads. It has `text_model` and the other.

    OTHER: what that reads is called in the names of outputs.
    TEXT: what the text tower reads, in the order in which `get_text_features` takes it.
    """

    OTHER: ClassVar[str] = "image"
    TEXT: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "position_ids")
    text_model: Any

    @property
    def other(self) -> Any:
        """The other tower."""
        raise NotImplementedError

    def read_text(self, inputs: dict[str, Any]) -> Any:
        """What the text tower returns."""
        return self.text_model(**among(self.TEXT, inputs), return_dict=True)

    def project_text(self, text: Any) -> Tensor:
        """(B, D) to (B, E), of what the tower returned."""
        found: Tensor = self.text_projection(text.pooler_output)  # type: ignore[operator]
        return found

    def get_text_features(self, *args: Any, **kwargs: Any) -> Tensor:
        """The vectors (B, E) of texts, not of length 1; the arguments are TEXT's, then the options of `forward`."""
        found = self.read_text(self._named("get_text_features", self.TEXT, args, kwargs))
        return Features.of(self.project_text(found), found)

    def _named(
        self, method: str, own: tuple[str, ...], args: tuple[Any, ...], kwargs: Any, more: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        names = (*own, *OPTIONS)
        if len(args) > len(names):
            raise ArgumentError(f"{method} takes {len(names)} arguments ({', '.join(names)}), got {len(args)}.")
        if unknown := kwargs.keys() - {*names, *more}:
            name = min(unknown)
            raise ArgumentError(
                f"{method} takes no {name!r}.{near(name, names)} It takes {', '.join((*names, *more))}."
            )
        inputs = dict(zip(names, args, strict=False)) | kwargs
        return inputs | self.options(**{n: inputs.get(n) for n in OPTIONS[:2]})

    # ---- derived weights

    def states(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The vectors of texts, then those of the other tower, (B + I, 1, E)."""
        found = self(**batch, return_dict=True)
        return torch.cat([found.text_embeds, found[f"{self.OTHER}_embeds"]])[:, None]

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        texts, others = super()._sample(tokenizer), self.other._sample(tokenizer)
        return [{**(texts[0] if texts else self.text_model.dummy_inputs), **others[0]}]

    # ---- parts

    def get_input_embeddings(self) -> nn.Embedding:
        """The text tower's table of words."""
        found: nn.Embedding = self.text_model.get_input_embeddings()
        return found

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace it."""
        self.text_model.set_input_embeddings(value)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Change the text tower's vocabulary, as any model's."""
        found: nn.Embedding = self.text_model.resize_token_embeddings(*args, **kwargs)
        return found

    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of one module, those of a tower as the tower does."""
        for tower in (self.text_model, self.other):
            if any(module is own for own in tower.modules()):
                return tower._init_weights(module)
        return super()._init_weights(module)

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        return self.text_model.dummy_inputs | self.other.dummy_inputs


class TwoTowers(Towers):
    """Compares texts with pictures. It has `text_model`, `vision_model`, and what `project_text`, `project_images` and
    `similarities` use.

    PROJECTED: whether outputs of towers have the vectors of the space as their `pooler_output`.
    IMAGE: what the tower of pictures reads, in the order in which `get_image_features` takes it.
    """

    OUTPUT: ClassVar[Any] = outputs.CLIPOutput
    PROJECTED: ClassVar[bool] = True
    IMAGE: ClassVar[tuple[str, ...]] = ("pixel_values",)
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        "input_ids",
        "pixel_values",
        "attention_mask",
        "position_ids",
        "return_loss",
        *OPTIONS,
    )
    KEYWORDS: ClassVar[tuple[str, ...]] = ("interpolate_pos_encoding",)
    vision_model: Any
    logit_scale: nn.Parameter

    def add_towers(self, text: Any, vision: Any) -> None:
        """Hold a tower of each class, made of the configuration's parts."""
        self.text_model = text(self.config.text_config)
        self.vision_model = vision(self.config.vision_config)

    @property
    def other(self) -> Any:
        return self.vision_model

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Compare B texts with I pictures: logits (B, I), and (I, B).

        return_loss: also how badly each text finds the picture of its number, and each picture its text.
        """
        asked = self.options(**{n: inputs.get(n) for n in OPTIONS[:2]})
        image, text = self.read_images(inputs | asked), self.read_text(inputs | asked)
        both = (self.project_text(text), self.project_images(image))
        if self.PROJECTED:
            text.pooler_output, image.pooler_output = both
        texts, images = (vectors / vectors.norm(dim=-1, keepdim=True) for vectors in both)
        logits = self.similarities(texts, images)
        loss = self.loss(logits) if inputs.get("return_loss") else None
        found = self.OUTPUT(loss, logits.T, logits, texts, images, text, image)
        return self.returned(found, inputs.get("return_dict"))

    def read_images(self, inputs: dict[str, Any]) -> Any:
        """What the tower of pictures returns."""
        return self.vision_model(**among((*self.IMAGE, *self.KEYWORDS), inputs), return_dict=True)

    def project_images(self, image: Any) -> Tensor:
        """(I, D) to (I, E)."""
        found: Tensor = self.visual_projection(image.pooler_output)  # type: ignore[operator]
        return found

    def similarities(self, texts: Tensor, images: Tensor) -> Tensor:
        """Logits (B, I), from vectors of length 1."""
        return texts @ images.T.to(texts.device) * self.logit_scale.exp().to(texts.device)

    def loss(self, logits: Tensor) -> Tensor:
        """Of logits (B, B)."""
        return losses.pairs(logits)

    def get_image_features(self, *args: Any, **kwargs: Any) -> Tensor:
        """The vectors (I, E) of pictures, not of length 1; the arguments are IMAGE's, then the options of `forward`."""
        found = self.read_images(self._named("get_image_features", self.IMAGE, args, kwargs, self.KEYWORDS))
        return Features.of(self.project_images(found), found)


class TowerLayer(nn.Module):
    """A layer with norms before its branches: `self_attn`, an EitherAttention, between `layer_norm1` and the sum, and
    `mlp`, with `fc1`, `activation_fn` and `fc2`, after `layer_norm2`. causal: whether no column sees a later one."""

    causal: bool = False
    self_attn: Any
    layer_norm1: Any
    mlp: Any
    layer_norm2: Any

    def run(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """Rows through both branches; and the weights, where they are asked for."""
        attended, *weights = through(self.self_attn, self.layer_norm1(rows), step, head_mask)
        rows = rows + attended
        return rows + self.mlp(self.layer_norm2(rows)), *weights

    forward = by_hand("hidden_states", "attention_mask", "output_attentions")(run)

    def block(self) -> Block:
        inner, up = self.self_attn, self.mlp
        return Block(
            *(inner.heads, (inner.q_proj, inner.k_proj, inner.v_proj), inner.out_proj, self.layer_norm1),
            *(up.fc1, up.activation_fn, up.fc2, self.layer_norm2),
            attend=inner.attend if self.causal else None,
            pre=True,
        )


class TowerEncoder(nn.Module):
    """A stack of `layers`."""

    LAYER: ClassVar[Any] = TowerLayer

    def __init__(self, config: Any, causal: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(self.LAYER(config) for _ in range(config.num_hidden_layers))
        for layer in self.layers:
            layer.causal = causal  # type: ignore[assignment]
        self.gradient_checkpointing = False

    def run(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> outputs.BaseModelOutput:
        """Rows through all layers."""
        return run_layers(
            self.layers, rows, step, head_masks, checkpointing=self.gradient_checkpointing and self.training
        )

    forward = by_hand("inputs_embeds", "attention_mask", "output_attentions", "output_hidden_states", "return_dict")(
        run
    )


def among(names: tuple[str, ...], inputs: dict[str, Any]) -> dict[str, Any]:
    """Of the inputs what a tower reads, and what is asked of it."""
    return {name: inputs[name] for name in (*names, *OPTIONS[:2]) if inputs.get(name) is not None}


class TextTower(Body):
    """The tower that reads texts, without a projection: `embeddings`, `encoder` and `final_layer_norm`."""

    OUTPUT = outputs.BaseModelOutputWithPooling
    UNUSED: ClassVar[tuple[str, ...]] = ()
    SIGNATURE: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "position_ids", *OPTIONS)
    EMBEDDED: ClassVar[tuple[str, ...]] = ("input_ids", "position_ids")
    WORDS = "embeddings.token_embedding"

    def stack(self, rows: Tensor, step: Step, head_masks: Any) -> outputs.BaseModelOutput:
        found = super().stack(rows, step, head_masks)
        last = self.final_layer_norm(found.last_hidden_state)  # type: ignore[operator]
        return outputs.BaseModelOutput(last, found.hidden_states, found.attentions)


class TextEmbeddings(nn.Module):
    """Words and learned positions, which are columns."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)

    def forward(
        self,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        layout: Layout | None = None,
    ) -> Tensor:
        layout = whole_batch(self, input_ids, inputs_embeds) if layout is None else layout
        if inputs_embeds is None:
            words = lookup(self.token_embedding, layout.pack(input_ids), layout, "input_ids", "vocab_size")
        else:
            words = layout.pack(inputs_embeds)
        where = "position_ids"
        ids = layout.positions(words.device) if position_ids is None else packed_ids(position_ids, layout, where)
        return words + lookup(self.position_embedding, ids, layout, where, "max_position_embeddings")


class Around(PreTrainedModel):
    """A tower as the only part of a model, under the name `base_model_prefix`, which does all that the tower does."""

    def compute(self, inputs: dict[str, Any]) -> Any:
        """What the tower computes."""
        return self.base_model(**inputs)
