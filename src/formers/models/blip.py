"""BLIP: a tower of pictures, and BERT's layers that attend to what it sees, to write about it, answer, or compare.

    pixel_values ─ vision_model ─▶ rows ──────┐ keys and values of each layer's crossattention
    input_ids ─ text_encoder or text_decoder ─┴▶ …

To answer, text_encoder reads the question with the picture, and text_decoder attends to the question's rows.

Texts are packed; the rows of a picture, or of a question, are the memory of a pass.
Source: Li et al. 2022 (arXiv 2201.12086); salesforce/BLIP.
Letters: B batch, T columns of a text, P columns of a picture, D width, E width of the space of both, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import heads, outputs, two_towers, vision
from ..bodies import Body
from ..config import PretrainedConfig
from ..cross_attention import EitherAttention
from ..errors import ConfigError, InputError
from ..generation.generate import GenerationMixin
from ..generation.source import Source
from ..layers import by_hand, first_column, memory_of
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.checks import read_mask
from ..ops.embedding import lookup, packed_ids, whole_batch
from ..ops.layout import Layout
from ..ops.step import Step
from ..optimize import Block, Cross
from ..processing import BaseImageProcessor, PILImageResampling, ProcessorMixin
from ..processing.transforms import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from . import bert, clip

Memory = tuple[Tensor, Layout]


class BlipTextConfig(PretrainedConfig):
    """Defaults are those of Salesforce/blip-vqa-base. encoder_hidden_size: D of what layers attend to.

    is_decoder: whether layers can attend to a picture. Whether a column sees later ones, each call says itself."""

    model_type = "blip_text_model"
    base_config_key = "text_config"

    vocab_size: int = 30524
    hidden_size: int = 768
    encoder_hidden_size: int = 768
    intermediate_size: int = 3072
    projection_dim: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 512
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    bos_token_id: int | None = 30522
    eos_token_id: int | list[int] | None = 2
    pad_token_id: int | None = 0
    sep_token_id: int | None = 102
    is_decoder: bool = True
    use_cache: bool = True
    label_smoothing: float = 0.0


class BlipVisionConfig(PretrainedConfig):
    """Defaults are those of Salesforce/blip-vqa-base."""

    model_type = "blip_vision_model"
    base_config_key = "vision_config"

    hidden_size: int = 768
    intermediate_size: int = 3072
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int | list[int] = 384
    patch_size: int | list[int] = 16
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 1e-10


class BlipConfig(two_towers.TwoTowersConfig):
    """projection_dim: E of BlipModel; image_text_hidden_size: that of BlipForImageTextRetrieval."""

    model_type = "blip"
    sub_configs = {"text_config": BlipTextConfig, "vision_config": BlipVisionConfig}

    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592
    image_text_hidden_size: int = 256
    label_smoothing: float = 0.0
    initializer_factor: float = 1.0
    initializer_range: float = 0.02

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.text_config.encoder_hidden_size = self.vision_config.hidden_size


class BlipImageProcessor(BaseImageProcessor):
    """RGB images to squares of 384 pixels."""

    do_resize = True
    size = {"height": 384, "width": 384}
    resample = PILImageResampling.BICUBIC
    do_convert_rgb = True
    do_rescale = True
    do_normalize = True
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD


class BlipProcessor(ProcessorMixin):
    """Blip's image processor and tokenizer."""

    image_processor_class = BlipImageProcessor
    tokenizer_class = bert.BertTokenizer
    unused_input_names = ("token_type_ids",)


class BlipVisionEmbeddings(nn.Module):
    """Patches after a vector that is the same for all pictures, with positions."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config, D, patch = config, config.hidden_size, vision.sides(config, "patch_size")
        self.class_embedding = nn.Parameter(torch.zeros(1, 1, D))
        self.patch_embedding = nn.Conv2d(config.num_channels, D, kernel_size=patch, stride=patch)
        down, across = vision.grid_of(config)
        self.position_embedding = nn.Parameter(torch.zeros(1, down * across + 1, D))

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool | None = None) -> Tensor:
        """(B, C, H, W) to (B, P, D)."""
        images = vision.checked_images(type(self).__name__, pixel_values, self.config.num_channels)
        rows = vision.project(self.patch_embedding, images)
        rows = torch.cat([self.class_embedding.expand(len(rows), -1, -1).to(rows.dtype), rows], dim=1)
        size = (images.shape[2], images.shape[3])
        return vision.with_positions(rows, self.position_embedding, self.config, size, interpolate_pos_encoding)


class BlipAttention(EitherAttention):
    def __init__(self, config: Any) -> None:
        super().__init__()
        bert.head_width(config)
        D, self.heads, self.rate = config.hidden_size, config.num_attention_heads, config.attention_dropout
        self.kernel = config._attn_implementation
        self.qkv = nn.Linear(D, 3 * D)
        self.projection = nn.Linear(D, D)

    @by_hand("hidden_states", "head_mask", "output_attentions", "attention_mask")
    def forward(self, rows: Tensor, step: Step, head_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        query, key, value = self.qkv(rows).chunk(3, dim=-1)
        context, *weights = self.attend(query, key, value, step, head_mask)
        return self.projection(context), *weights


class BlipMLP(clip.CLIPMLP):
    pass


class BlipEncoderLayer(two_towers.TowerLayer):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.self_attn = BlipAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = BlipMLP(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def block(self) -> Block:
        inner, up = self.self_attn, self.mlp
        return Block(
            *(inner.heads, (inner.qkv,), inner.projection, self.layer_norm1),
            *(up.fc1, up.activation_fn, up.fc2, self.layer_norm2),
            pre=True,
        )


class BlipEncoder(two_towers.TowerEncoder):
    LAYER = BlipEncoderLayer


class BlipPreTrainedModel(PreTrainedModel):
    """What BLIP's models share."""

    config_class: ClassVar[Any] = BlipConfig
    base_model_prefix = "blip"

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=self._std())
        elif isinstance(module, BlipVisionEmbeddings):
            for vectors in (module.class_embedding, module.position_embedding):
                nn.init.trunc_normal_(vectors, std=module.config.initializer_range)


class BlipVisionModel(BlipPreTrainedModel, vision.ImageBody):
    """The tower of pictures: hidden states (B, P, D), and of the first column through the last norm again (B, D)."""

    config_class = BlipVisionConfig
    base_model_prefix = "vision_model"  # where files of whole models have it
    SIGNATURE = ("pixel_values", *OPTIONS)
    KEYWORDS = ("interpolate_pos_encoding", "attention_mask")
    WORDS = "embeddings.patch_embedding"
    NORM = "post_layernorm"

    def __init__(self, config: BlipVisionConfig) -> None:
        super().__init__(config)
        self.embeddings = BlipVisionEmbeddings(config)
        self.encoder = BlipEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def vector(self, layout: Layout, rows: Tensor, inputs: dict[str, Any]) -> Tensor:
        return self.post_layernorm(first_column(rows))


# ---- texts


class BlipTextEmbeddings(nn.Module):
    """Words and learned positions, which are columns."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        D = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, D, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, D)
        self.LayerNorm = nn.LayerNorm(D, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values_length: int = 0,
        layout: Layout | None = None,
    ) -> Tensor:
        layout = whole_batch(self, input_ids, inputs_embeds) if layout is None else layout
        if inputs_embeds is None:
            rows = lookup(self.word_embeddings, layout.pack(input_ids), layout, "input_ids", "vocab_size")
        else:
            rows = layout.pack(inputs_embeds)
        if position_ids is None:
            places = layout.positions(rows.device) + past_key_values_length
        else:
            places = packed_ids(position_ids, layout, "position_ids")
        table = self.position_embeddings
        return self.dropout(
            self.LayerNorm(rows + lookup(table, places, layout, "position_ids", "max_position_embeddings"))
        )


class BlipTextSelfAttention(bert.BertSelfAttention):
    def __init__(self, config: Any, is_cross_attention: bool = False) -> None:
        super().__init__(config, position_embedding_type="absolute")
        if is_cross_attention:
            self.key = nn.Linear(config.encoder_hidden_size, config.hidden_size)
            self.value = nn.Linear(config.encoder_hidden_size, config.hidden_size)


class BlipTextAttention(bert.BertAttention):
    def __init__(self, config: Any, is_cross_attention: bool = False) -> None:
        nn.Module.__init__(self)
        self.self = BlipTextSelfAttention(config, is_cross_attention)
        self.output = bert.BertSelfOutput(config)
        self.pruned_heads = set()


class BlipTextLayer(bert.BertLayer):
    def __init__(self, config: Any) -> None:
        nn.Module.__init__(self)
        self.attention = BlipTextAttention(config)
        if config.is_decoder:
            self.crossattention = BlipTextAttention(config, is_cross_attention=True)
        self.intermediate = bert.BertIntermediate(config)
        self.output = bert.BertOutput(config)

    def block(self) -> Block:
        found: Block = self.attention.block(self.intermediate, self.output)
        across = getattr(self, "crossattention", None)
        if across is None:
            return found
        inner, after = across.self, across.output
        projections = (inner.query, inner.key, inner.value)
        return replace(
            found, cross=Cross(inner.num_attention_heads, projections, after.dense, after.LayerNorm, inner.attend)
        )


class BlipTextEncoder(bert.BertEncoder):
    LAYER = BlipTextLayer


READ = ("input_ids", "attention_mask", "position_ids", "head_mask", "inputs_embeds")


class BlipTextPreTrainedModel(PreTrainedModel):
    """What BLIP's models of texts share. is_decoder: of a call, whether no column sees a later one."""

    config_class = BlipTextConfig
    base_model_prefix = "bert"
    OPTIONAL = ("pooler.",)

    def take_cache(self, inputs: dict[str, Any]) -> Any:
        if not inputs.get("is_decoder") and inputs.get("past_key_values") is None:
            inputs.pop("use_cache", None)
            return None
        return super().take_cache(inputs)


class BlipTextModel(BlipTextPreTrainedModel, Body):
    """BERT without token types: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D).

    Layers attend to `encoder_hidden_states` where these are given; columns see later ones unless `is_decoder` is."""

    SIGNATURE = (*READ, "encoder_embeds", *bert.CROSS, *bert.CACHE, *OPTIONS, "is_decoder")
    EMBEDDED = ("input_ids", "position_ids", "inputs_embeds", "encoder_embeds")
    UNUSED = ()
    OUTPUT = outputs.BaseModelOutputWithPoolingAndCrossAttentions

    def __init__(self, config: BlipTextConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = BlipTextEmbeddings(config)
        self.encoder = BlipTextEncoder(config)
        self.pooler = bert.BertPooler(config) if add_pooling_layer else None
        self.post_init()

    def causal_in(self, inputs: Mapping[str, Any]) -> bool:
        return bool(inputs.get("is_decoder"))

    def layout_of_inputs(self, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Layout:
        given = inputs.get("encoder_embeds")
        return super().layout_of_inputs(
            inputs if given is None else {**inputs, "input_ids": None, "inputs_embeds": given}, *args, **kwargs
        )

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        given = inputs.pop("encoder_embeds", None)  # rows that are embedded already
        return super().embed(layout, inputs) if given is None else layout.pack(given)

    def _attentions(self) -> list[Any]:
        return [layer.attention for layer in self.encoder.layer]


class BlipTextLMHeadModel(BlipTextPreTrainedModel, heads.CausalLM):
    """Predicts the next token of a text about what it attends to."""

    SIGNATURE = (*READ, *bert.CROSS, "labels", *bert.CACHE, *OPTIONS, "is_decoder")
    TIED = bert.TIED

    def __init__(self, config: BlipTextConfig) -> None:
        super().__init__(config)
        self.bert = BlipTextModel(config, add_pooling_layer=False)
        self.cls = bert.BertOnlyMLMHead(config)
        self.label_smoothing = config.label_smoothing
        self.post_init()

    def causal(self) -> bool:
        """Always, but where a call says otherwise."""
        return True

    def compute(self, inputs: dict[str, Any]) -> Any:
        inputs["is_decoder"] = True if inputs.get("is_decoder") is None else inputs["is_decoder"]
        inputs["use_cache"] = False if inputs.get("labels") is not None else inputs.get("use_cache")
        return super().compute(inputs)

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.cls(rows)

    def next_logits(self, inputs: dict[str, Any], layout: Any, cache: Any, every: bool = False) -> Tensor:
        """As of any model, of one whose columns see no later ones."""
        return super().next_logits({**inputs, "is_decoder": True}, layout, cache, every)

    def read_source(self, inputs: Any, config: Any, kwargs: dict[str, Any]) -> Source | None:
        """What all passes attend to: a `memory` of rows and their layout, or `encoder_hidden_states` and their mask."""
        states, mask = (kwargs.pop(name, None) for name in bert.CROSS)
        memory = kwargs.pop("memory", None) or memory_of(type(self).__name__, states, mask)
        start = kwargs.pop("input_ids", None) if inputs is None else inputs
        if memory is None or start is None:
            kwargs |= {} if start is None or inputs is not None else {"input_ids": start}
            return None
        mask = kwargs.pop("attention_mask", None)
        return Source([], outputs.BaseModelOutput(memory[0]), memory, start, mask, named=False)

    def inputs_of_pass(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """All but what the memory says already."""
        return {name: value for name, value in inputs.items() if name != "encoder_outputs"}


# ---- both


@dataclass
class BlipOutput(outputs.CLIPOutput):
    """As CLIP's."""


@dataclass
class BlipForConditionalGenerationModelOutput(outputs.ModelOutput):
    """Scores of the next tokens `logits` (B, T, V), and what the tower of pictures returned."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    image_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None

    @property
    def decoder_logits(self) -> Tensor | None:
        """`logits`, as releases before 4.38 called them."""
        return self.logits


@dataclass
class BlipTextVisionModelOutput(outputs.ModelOutput):
    """The loss of an answer, and what the tower of pictures returned."""

    loss: Tensor | None = None
    image_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class BlipImageTextMatchingModelOutput(outputs.ModelOutput):
    """`itm_score`: (B, 2) whether a text is of its picture, or (I, B) cosines of all pictures with all texts."""

    itm_score: Tensor | None = None
    loss: Tensor | None = None
    image_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    vision_pooler_output: Tensor | None = None
    attentions: tuple[Tensor, ...] | None = None
    question_embeds: Tensor | None = None


class BlipModel(BlipPreTrainedModel, two_towers.TwoTowers):
    """Compares texts with pictures: logits are cosines times a learned scale."""

    OUTPUT = BlipOutput
    PROJECTED = False
    _init_weights = BlipPreTrainedModel._init_weights

    def __init__(self, config: BlipConfig) -> None:
        super().__init__(config)
        self.add_towers(BlipTextModel, BlipVisionModel)
        self.visual_projection = nn.Linear(config.vision_config.hidden_size, config.projection_dim, bias=False)
        self.text_projection = nn.Linear(config.text_config.hidden_size, config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))
        self.post_init()

    def get_multimodal_features(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        interpolate_pos_encoding: bool | None = None,
    ) -> Tensor:
        """Vectors (B, E) of texts that have seen their pictures."""
        seen = self.vision_model(pixel_values, interpolate_pos_encoding=interpolate_pos_encoding, return_dict=True)
        memory = memory_of(type(self).__name__, seen.last_hidden_state, None)
        found = self.text_model(input_ids, attention_mask, memory=memory, return_dict=True)
        return self.project_text(found)


class Seeing(BlipPreTrainedModel):
    """What the heads share: `vision_model`, and models of texts that attend to its rows."""

    vision_model: Any

    def texts(self) -> list[Any]:
        """The models of texts."""
        return [part for name, part in self.named_children() if name in ("text_encoder", "text_decoder")]

    def see(self, inputs: Mapping[str, Any]) -> tuple[Any, Memory]:
        """What the tower of pictures returns, and its last rows for others to attend to."""
        names = ("pixel_values", "interpolate_pos_encoding", *OPTIONS[:2])
        seen = self.vision_model(**{name: inputs.get(name) for name in names}, return_dict=True)
        memory = memory_of(type(self).__name__, seen.last_hidden_state, None)
        assert memory is not None  # there are rows
        return seen, memory

    def of_pictures(self, seen: Any) -> dict[str, Any]:
        """The fields of an output that are the tower's."""
        return {name: seen.get(name) for name in ("last_hidden_state", "hidden_states", "attentions")}

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of words; of questions, where there are two."""
        found: nn.Embedding = self.texts()[0].get_input_embeddings()
        return found

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace it."""
        self.texts()[0].set_input_embeddings(value)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Change the vocabulary's size, in all models of texts."""
        found: list[nn.Embedding] = [part.resize_token_embeddings(*args, **kwargs) for part in self.texts()]
        return found[0]

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        return self.texts()[0].dummy_inputs | self.vision_model.dummy_inputs

    def last_read(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Memory]:
        """What the last model of texts reads, and attends to."""
        return batch["input_ids"], self.see(batch)[1]

    def states(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The last rows (B, T, D) of the texts that have seen their pictures."""
        (ids, memory), last = self.last_read(batch), self.texts()[-1]
        found: Tensor = last.base_model(ids, memory=memory, is_decoder=last.causal(), return_dict=True)[0]
        return found

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        """Pictures, and texts of random tokens."""
        images, draw = self.vision_model._sample(None)[0], torch.Generator().manual_seed(0)
        size = (len(images["pixel_values"]), 12)
        ids = torch.randint(self.config.text_config.vocab_size, size, generator=draw).to(self.device)
        more = {"decoder_input_ids": ids} if "decoder_input_ids" in self.inputs() else {}
        return [{**images, "input_ids": ids, **more}]


TIED = {f"text_decoder.{name}": f"text_decoder.{owner}" for name, owner in bert.TIED.items()}


class Writing(Seeing, GenerationMixin):
    """The heads that write: their `text_decoder` does, with the file's rules for it."""

    TIED = TIED
    text_decoder: Any

    @property
    def generation_config(self) -> Any:
        """How the decoder writes where a call does not say."""
        return self.text_decoder.generation_config

    @generation_config.setter
    def generation_config(self, value: Any) -> None:
        self.text_decoder.generation_config = value

    def begun(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What the decoder's `generate` gets, from what the model's own does."""
        raise NotImplementedError

    @torch.no_grad()
    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Write; the first arguments are those of `forward`, all others those of any model's `generate`.

        A text ends with `sep_token_id`. Padding of texts that are read changes nothing."""
        return self.text_decoder.generate(**self.begun(*args, **kwargs))

    @torch.no_grad()
    def stream(self, *args: Any, **kwargs: Any) -> Iterator[tuple[int, Any]]:
        """As any model's `stream`, with the arguments of `generate`."""
        yield from self.text_decoder.stream(**self.begun(*args, **kwargs))

    def ends(self) -> dict[str, Any]:
        """How texts end, and are padded."""
        text = self.config.text_config
        return {"eos_token_id": text.sep_token_id, "pad_token_id": text.pad_token_id}

    def as_ids(self, given: Any) -> Tensor:
        """Ids (B, T), which may be lists."""
        ids = given if isinstance(given, Tensor) else torch.tensor(given, device=self.device)
        if ids.dim() != 2 or not ids.numel():
            raise InputError(f"input_ids has shape {tuple(ids.shape)}; it should be (batch, columns).")
        return ids


class BlipForConditionalGeneration(Writing):
    """Describes a picture: `input_ids` are the text so far, `labels` (B, T) the same, -100 to leave a token out."""

    main_input_name = "pixel_values"
    SIGNATURE = ("pixel_values", "input_ids", "attention_mask", *OPTIONS[:2], "labels", OPTIONS[2])
    TARGETS = ("labels",)
    KEYWORDS = ("interpolate_pos_encoding", "logits_to_keep")

    def __init__(self, config: BlipConfig) -> None:
        super().__init__(config)
        self.vision_model = BlipVisionModel(config.vision_config)
        self.text_decoder = BlipTextLMHeadModel(config.text_config)
        self.decoder_input_ids, self.decoder_pad_token_id = (
            config.text_config.bos_token_id,
            config.text_config.pad_token_id,
        )
        self.post_init()

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Score the next tokens of texts about pictures."""
        seen, memory = self.see(inputs)
        own = {name: inputs.get(name) for name in ("input_ids", "attention_mask", "labels", "logits_to_keep")}
        found = self.text_decoder(**own, memory=memory, use_cache=False, return_dict=True)
        made = BlipForConditionalGenerationModelOutput(
            found.loss, found.logits, seen.last_hidden_state, **self.of_pictures(seen)
        )
        return self.returned(made, inputs.get("return_dict"))

    def begun(
        self,
        pixel_values: Any = None,
        input_ids: Any = None,
        attention_mask: Tensor | None = None,
        interpolate_pos_encoding: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """`input_ids`: prompts (B, T) as the tokenizer makes them, of which the first token becomes `bos_token_id`, and
        the last, the end, is left out."""
        text = self.config.text_config
        _, memory = self.see({"pixel_values": pixel_values, "interpolate_pos_encoding": interpolate_pos_encoding})
        if input_ids is None:
            ids = torch.full((memory[1].batch, 1), text.bos_token_id, device=memory[0].device)
            return {**self.ends(), **kwargs, "inputs": ids, "memory": memory}
        ids = self.as_ids(input_ids)
        real = (
            ids != text.pad_token_id if attention_mask is None else read_mask(attention_mask, *ids.shape).to(ids.device)
        )
        if bool((real.sum(1) < 2).any()):
            raise InputError("A prompt has fewer than two tokens: [CLS] and [SEP] are needed, or no input_ids.")
        place = real.cumsum(1) * real  # from 1, 0 at padding
        ids = ids.masked_fill(place == 1, text.bos_token_id)
        kept = real & (place != place.amax(1, keepdim=True))
        width = int(kept.any(0).nonzero().max()) + 1
        ids = ids.masked_fill(real & ~kept, text.pad_token_id)
        if memory[1].batch == 1 < len(ids):  # one picture, and several ways to begin
            memory = memory[0].expand(len(ids), -1, -1), Layout(len(ids), memory[1].columns)
        beside = {"attention_mask": kept[:, :width].long(), "memory": memory}
        return {**self.ends(), **kwargs, "inputs": ids[:, :width], **beside}


class BlipForQuestionAnswering(Writing):
    """Answers questions about pictures: `labels` (B, T) is an answer, which the decoder reads too."""

    SIGNATURE = (
        *("input_ids", "pixel_values", "decoder_input_ids", "decoder_attention_mask", "attention_mask"),
        *(*OPTIONS[:2], "labels", OPTIONS[2]),
    )
    TARGETS = ("labels",)
    KEYWORDS = ("interpolate_pos_encoding",)

    def __init__(self, config: BlipConfig) -> None:
        super().__init__(config)
        widths = config.text_config.hidden_size, config.vision_config.hidden_size
        if widths[0] != widths[1]:
            raise ConfigError(
                f"{type(self).__name__} has hidden_size={widths[0]} in text_config and {widths[1]} in vision_config: "
                "both have to be equal, since layers of one form attend to pictures and to questions."
            )
        self.vision_model = BlipVisionModel(config.vision_config)
        self.text_encoder = BlipTextModel(config.text_config, add_pooling_layer=False)
        self.text_decoder = BlipTextLMHeadModel(config.text_config)
        self.decoder_pad_token_id, self.decoder_start_token_id = (
            config.text_config.pad_token_id,
            config.text_config.bos_token_id,
        )
        self.post_init()

    def asked(self, inputs: Mapping[str, Any]) -> tuple[Any, Memory]:
        """What the tower of pictures returns, and the rows of questions that have seen them, and their layout."""
        seen, memory = self.see(inputs)
        read = {name: inputs.get(name) for name in ("input_ids", "attention_mask")}
        layout = self.text_encoder.layout_of_inputs(read)
        found = self.text_encoder(**read, memory=memory, layout=layout, return_dict=True)
        return seen, (found.last_hidden_state, layout)

    def last_read(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Memory]:
        return batch["decoder_input_ids"], self.asked(batch)[1]

    def compute(self, inputs: dict[str, Any]) -> Any:
        """The loss of answers to questions about pictures."""
        labels, ids = inputs.get("labels"), inputs.get("decoder_input_ids")
        if labels is None and ids is None:
            raise InputError(
                f"{type(self).__name__} needs labels, or decoder_input_ids: what is answered. "
                "model.generate(input_ids, pixel_values) answers."
            )
        seen, memory = self.asked(inputs)
        found = self.text_decoder(
            labels if ids is None else ids, inputs.get("decoder_attention_mask"), labels=labels,
            memory=memory, use_cache=False, return_dict=True,
        )  # fmt: skip
        made = BlipTextVisionModelOutput(found.loss, seen.last_hidden_state, **self.of_pictures(seen))
        return self.returned(made, inputs.get("return_dict"))

    def begun(
        self,
        input_ids: Any = None,
        pixel_values: Any = None,
        attention_mask: Tensor | None = None,
        interpolate_pos_encoding: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """`input_ids`: questions (B, T)."""
        given = {"pixel_values": pixel_values, "interpolate_pos_encoding": interpolate_pos_encoding}
        given |= {"input_ids": self.as_ids(input_ids), "attention_mask": attention_mask}
        _, memory = self.asked(given)
        ids = torch.full((memory[1].batch, 1), self.config.text_config.bos_token_id, device=memory[0].device)
        return {**self.ends(), **kwargs, "inputs": ids, "memory": memory}


class BlipForImageTextRetrieval(Seeing):
    """Says whether a text is of its picture; with use_itm_head=False, how near all texts and pictures are."""

    SIGNATURE = ("input_ids", "pixel_values", "use_itm_head", "attention_mask", *OPTIONS)
    KEYWORDS = ("interpolate_pos_encoding",)

    def __init__(self, config: BlipConfig) -> None:
        super().__init__(config)
        self.vision_model = BlipVisionModel(config.vision_config)
        self.text_encoder = BlipTextModel(config.text_config, add_pooling_layer=False)
        self.vision_proj = nn.Linear(config.vision_config.hidden_size, config.image_text_hidden_size)
        self.text_proj = nn.Linear(config.text_config.hidden_size, config.image_text_hidden_size)
        self.itm_head = nn.Linear(config.text_config.hidden_size, 2)
        self.post_init()

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Compare texts with pictures: scores (B, 2) of pairs, or cosines (I, B) of I pictures and B texts."""
        seen, memory = self.see(inputs)
        matching = inputs.get("use_itm_head") is None or inputs["use_itm_head"]
        read = {name: inputs.get(name) for name in ("input_ids", "attention_mask")}
        texts = self.text_encoder(**read, **({"memory": memory} if matching else {}), return_dict=True)
        rows = texts.last_hidden_state
        if matching:
            score = self.itm_head(rows[:, 0])
        else:
            images = F.normalize(self.vision_proj(seen.last_hidden_state[:, 0]), dim=-1)
            score = images @ F.normalize(self.text_proj(rows[:, 0]), dim=-1).T
        made = BlipImageTextMatchingModelOutput(itm_score=score, question_embeds=rows, **self.of_pictures(seen))
        return self.returned(made, inputs.get("return_dict"))


MODEL_TYPES = {"blip": BlipConfig, "blip_text_model": BlipTextConfig, "blip_vision_model": BlipVisionConfig}
TOKENIZER = bert.BertTokenizer
IMAGE_PROCESSOR = BlipImageProcessor
PROCESSOR = BlipProcessor
HEADS = {
    "base": BlipModel,
    "zero-shot-image-classification": BlipModel,
    "image-text-to-text": BlipForConditionalGeneration,
    "visual-question-answering": BlipForQuestionAnswering,
    "image-text-retrieval": BlipForImageTextRetrieval,
    "text": BlipTextModel,
    "vision": BlipVisionModel,
}
PARTS = {"blip_text_model": {"base": BlipTextModel}, "blip_vision_model": {"base": BlipVisionModel}}
TINY = {
    "text_config": {
        "vocab_size": 99,
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 40,
        "bos_token_id": 3,
        "sep_token_id": 4,
    },
    "vision_config": {
        "hidden_size": 32,
        "intermediate_size": 41,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 24,
        "patch_size": 8,
    },
    "projection_dim": 20,
    "image_text_hidden_size": 12,
}
