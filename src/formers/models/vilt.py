"""ViLT: the words of a text and the patches of a picture of any shape in one row, which ViT's layers read.

    [CLS] a question [SEP] (padding) | [picture] its patches (padding)     T columns of words, K of the picture

Source: Kim et al. 2021 (arXiv 2102.03334).
Letters: B texts, each with a picture, T columns of words, K columns of a picture, P of them its patches, C channels,
H height, W width, D width of rows, V vocabulary, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import heads, outputs, vision
from ..bodies import Body
from ..config import PretrainedConfig
from ..errors import InputError
from ..layers import LAYER, STACK, PatchConv, by_hand, keeps_padding
from ..modeling import OPTIONS, PreTrainedModel
from ..ops import losses
from ..ops.checks import batch_shape, read_mask
from ..ops.layout import Layout
from ..ops.step import Step
from ..processing import BaseImageProcessor, PILImageResampling, ProcessorMixin
from ..processing.transforms import (
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    Picture,
    pad,
    pixel_mask,
    size_of,
)
from . import bert, vit
from .bert import BertTokenizer


class ViltConfig(PretrainedConfig):
    """Defaults are those of dandelin/vilt-b32-mlm.

    max_image_length: patches of a picture that are read at most, -1 for all: they are chosen anew for each pass in
    training, and evenly otherwise. num_images: of ViltForImagesAndTextClassification.
    """

    model_type = "vilt"
    position_embedding_type: ClassVar[str] = "absolute"  # which BERT's embeddings ask for

    vocab_size: int = 30522
    type_vocab_size: int = 2
    modality_type_vocab_size: int = 2
    max_position_embeddings: int = 40
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: int | list[int] = 384
    patch_size: int | list[int] = 32
    num_channels: int = 3
    qkv_bias: bool = True
    max_image_length: int = -1
    num_images: int = -1
    pad_token_id: int | None = None


class ViltImageProcessor(BaseImageProcessor):
    """Images of their own aspects, the shortest edge at 384 pixels, padded, with a mask of what is no padding.

    size_divisor: both edges are multiples of it.
    """

    model_input_names = ["pixel_values", "pixel_mask"]

    do_resize = True
    size = {"shortest_edge": 384}
    default_to_square = False
    resample = PILImageResampling.BICUBIC
    do_rescale = True
    do_normalize = True
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    do_pad = True
    size_divisor: int = 32

    def resized(self, picture: Picture) -> Picture:
        edge = self.size.shortest_edge  # type: ignore[attr-defined]  # settings are made a SizeDict
        if not edge:
            raise InputError(f"size={dict(self.size)} must have shortest_edge.")
        own, limit = size_of(picture), int(1333 / 800 * edge)  # the usual aspect of COCO's largest images
        scale = edge / min(own)
        exact = [edge if side == min(own) else scale * side for side in own]
        if max(exact) > limit:
            smaller = limit / max(exact)
            exact = [smaller * side for side in exact]
        height, width = (int(side + 0.5) // self.size_divisor * self.size_divisor for side in exact)
        return self.resized_to(picture, (height, width))

    def batch(self, made: list[Any]) -> dict[str, Any]:
        if not self.do_pad:
            return {"pixel_values": made}
        padded = pad(made)
        masks = [pixel_mask(size_of(one), size_of(full)) for one, full in zip(made, padded, strict=True)]
        return {"pixel_values": padded, "pixel_mask": masks}


class ViltProcessor(ProcessorMixin):
    """ViLT's image processor and tokenizer."""

    image_processor_class = ViltImageProcessor
    tokenizer_class = BertTokenizer


class TextEmbeddings(bert.BertEmbeddings):
    pass


class ViltPatchEmbeddings(vit.ViTPatchEmbeddings):
    """Patches as a map, (B, C, H, W) to (B, D, H/p, W/p)."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.projection = PatchConv(config.num_channels, config.hidden_size, self.patch_size, self.patch_size)

    def forward(self, pixel_values: Tensor) -> Tensor:
        images = vision.checked_images(type(self).__name__, pixel_values, self.num_channels)
        return self.projection(images.to(self.projection.weight.dtype))


def grids(config: Any, pixel_values: Tensor, pixel_mask: Tensor | None) -> list[tuple[int, int]]:
    """How many patches of each picture are no padding: below each other, and side by side."""
    down, across = vision.grid_of(config, *pixel_values.shape[2:])
    if not down or not across:
        raise InputError(
            f"pixel_values has shape {tuple(pixel_values.shape)}: less than a patch of {config.patch_size}."
        )
    if pixel_mask is None:
        return [(down, across)] * len(pixel_values)
    if tuple(pixel_mask.shape) != (len(pixel_values), *pixel_values.shape[2:]):
        raise InputError(
            f"pixel_mask has shape {tuple(pixel_mask.shape)}; it says of each pixel whether it is no padding, "
            f"{(len(pixel_values), *pixel_values.shape[2:])}."
        )
    real = F.interpolate(pixel_mask[:, None].float(), size=(down, across))[:, 0] > 0  # the nearest pixel's
    found = [(int(one[:, 0].sum()), int(one[0].sum())) for one in real]
    if any(0 in grid for grid in found):
        raise InputError(f"pixel_mask leaves nothing of picture {[0 in grid for grid in found].index(True)}.")
    return found


def chosen_patches(grids: list[tuple[int, int]], across: int, most: int, draw: bool) -> list[Tensor]:
    """The numbers of the patches that are read of each picture, in a map that is `across` patches wide."""
    found = []
    for h, w in grids:
        rows, columns = torch.arange(h)[:, None], torch.arange(w)[None]
        own = (rows * across + columns).flatten()
        if 0 < most < len(own):
            kept = (
                torch.randperm(len(own))[:most].sort().values if draw else torch.linspace(0, len(own) - 1, most).long()
            )
            own = own[kept]
        found.append(own)
    return found


class ViltEmbeddings(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        D, self.config = config.hidden_size, config
        self.text_embeddings = TextEmbeddings(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, D))
        self.patch_embeddings = ViltPatchEmbeddings(config)
        self.position_embeddings = nn.Parameter(torch.zeros(1, self.patch_embeddings.num_patches + 1, D))
        self.token_type_embeddings = nn.Embedding(config.modality_type_vocab_size, D)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def visual_embed(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pictures to rows (B, K, D), each beginning with that of the whole, and which of them are no padding."""
        config: Any = self.config
        patches = self.patch_embeddings(pixel_values)  # (B, D, H/p, W/p)
        sizes, across = grids(config, pixel_values, pixel_mask), patches.shape[3]
        chosen = chosen_patches(sizes, across, config.max_image_length, self.training)
        columns = max(map(len, chosen))
        rows = patches.new_zeros(len(patches), columns, patches.shape[1])
        real = torch.zeros(len(patches), columns + 1, dtype=torch.bool, device=rows.device)
        flat, tables = patches.flatten(2).transpose(1, 2), {}
        for b, (own, (h, w)) in enumerate(zip(chosen, sizes, strict=True)):
            if (h, w) not in tables:
                tables[h, w] = self.positions(h, w)
            at = own.to(rows.device)
            rows[b, : len(own)] = flat[b, at] + tables[h, w][at // across * w + at % across]
            real[b, : len(own) + 1] = True
        first = (self.cls_token + self.position_embeddings[:, :1]).expand(len(rows), -1, -1)
        return self.dropout(torch.cat([first, rows], dim=1)), real

    def positions(self, height: int, width: int) -> Tensor:
        """(height · width, D), of the table's squares between its corners."""
        own = vision.grid_of(self.config)
        squares = self.position_embeddings[:, 1:].unflatten(1, own).permute(0, 3, 1, 2)
        resized = F.interpolate(squares, size=(height, width), mode="bilinear", align_corners=True)
        return resized[0].flatten(1).T

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        image_embeds: Tensor | None = None,
        image_token_type_idx: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Rows (B, T + K, D), and which of them are no padding, (B, T + K)."""
        words = self.text_embeddings(input_ids, token_type_ids, inputs_embeds=inputs_embeds)
        if image_embeds is None:
            assert pixel_values is not None  # which the model has checked
            image, real = self.visual_embed(pixel_values, pixel_mask)
        else:
            image, real = image_embeds, of_embeds(image_embeds, pixel_mask)
        kinds = self.token_type_embeddings.weight
        kind = 1 if image_token_type_idx is None else image_token_type_idx
        if not 0 <= kind < len(kinds):
            raise InputError(
                f"image_token_type_idx={kind}: modality_type_vocab_size has {len(kinds)} kinds, 0 is of words."
            )
        mask = torch.ones(words.shape[:2], dtype=torch.bool, device=words.device)
        mask = mask if attention_mask is None else attention_mask.bool()
        return torch.cat([words + kinds[0], image + kinds[kind]], dim=1), torch.cat([mask, real], dim=1)


def of_embeds(image_embeds: Tensor, pixel_mask: Tensor | None) -> Tensor:
    """(B, K) which rows of pictures that are given are no padding."""
    if pixel_mask is None:
        return torch.ones(image_embeds.shape[:2], dtype=torch.bool, device=image_embeds.device)
    real = pixel_mask.flatten(1).bool()
    if real.shape != image_embeds.shape[:2]:
        raise InputError(
            f"pixel_mask is of {real.shape[1]} rows of a picture, and image_embeds of {image_embeds.shape[1]}."
        )
    return real


class ViltSelfAttention(vit.ViTSelfAttention):
    forward = by_hand(*LAYER)(vit.ViTSelfAttention.run)


class ViltAttention(vit.ViTAttention):
    SELF = ViltSelfAttention

    forward = by_hand(*LAYER)(vit.ViTAttention.run)


class ViltLayer(vit.ViTLayer):
    ATTENTION = ViltAttention

    forward = by_hand(*LAYER)(vit.ViTLayer.run)


class ViltEncoder(vit.ViTEncoder):
    LAYER = ViltLayer

    forward = by_hand(*STACK)(vit.ViTEncoder.run)


INPUTS = ("input_ids", "attention_mask", "token_type_ids", "pixel_values", "pixel_mask", "head_mask")
GIVEN = ("inputs_embeds", "image_embeds")


class ViltPreTrainedModel(PreTrainedModel):
    """What ViLT's models share."""

    config_class = ViltConfig
    base_model_prefix = "vilt"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*INPUTS, *GIVEN, "labels", *OPTIONS)
    WORDS = "embeddings.text_embeddings.word_embeddings"
    BUFFERS: ClassVar[tuple[str, ...]] = ("position_ids", "token_type_ids")

    def layout_of_inputs(
        self, inputs: dict[str, Any], keep_padding: bool = False, reads_first: bool = True, cache: Any = None
    ) -> Layout:
        """Of words, and then of patches; both may be padded."""
        B, T = batch_shape(type(self).__name__, inputs.get("input_ids"), inputs.get("inputs_embeds"))
        real = self._of_pictures(inputs, B)
        words, given = real.new_ones(B, T), inputs.get("attention_mask")
        if given is not None:
            words = read_mask(given, B, T)
            if words.dim() != 2:
                raise InputError("attention_mask is (batch, columns of words): 1 for words, 0 for padding.")
        kept = keep_padding or keeps_padding(self.modules(), self)
        return Layout.of(torch.cat([words, real], dim=1), B, T + real.shape[1], kept, reads_first)

    def _of_pictures(self, inputs: Mapping[str, Any], batch: int) -> Tensor:
        """(B, K) which columns of pictures are no padding. Raises InputError where they do not go with the texts."""
        pixels, embeds = inputs.get("pixel_values"), inputs.get("image_embeds")
        if (pixels is None) == (embeds is None):
            raise InputError(f"{type(self).__name__} reads pixel_values or image_embeds: give one of them.")
        config: Any = self.config
        if embeds is not None:
            real = of_embeds(embeds, inputs.get("pixel_mask"))
        else:
            images = vision.checked_images(type(self).__name__, pixels, config.num_channels)
            counts = [h * w for h, w in grids(config, images, inputs.get("pixel_mask"))]
            most = config.max_image_length
            counts = [min(count, most) if most > 0 else count for count in counts]
            lengths = torch.tensor(counts, device=images.device)[:, None]
            real = torch.arange(max(counts) + 1, device=images.device)[None] <= lengths
        if len(real) != batch:
            raise InputError(f"There are {len(real)} pictures for {batch} texts: give one for each.")
        return real

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        images = vision.pictures(self.config, 2).to(self.device, self.dtype)
        return {**super().dummy_inputs, "pixel_values": images}

    def whole_batch(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Texts with pictures, where a batch has none."""
        if "pixel_values" in batch or "image_embeds" in batch:
            return batch
        count, images = len(batch["input_ids"]), vision.pictures(self.config).to(self.device, self.dtype)
        return {**batch, "pixel_values": images[torch.arange(count) % len(images)]}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=self._std())
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


class ViltModel(ViltPreTrainedModel, Body):
    """The encoder: hidden states (B, T + K, D), and of column 0 through a dense layer and tanh (B, D)."""

    SIGNATURE = (*INPUTS, *GIVEN, "image_token_type_idx", *OPTIONS)
    OUTPUT = outputs.BaseModelOutputWithPooling
    UNUSED = ()
    EMBEDDED = ("input_ids", "token_type_ids", "pixel_values", "pixel_mask", *GIVEN, "image_token_type_idx")

    def __init__(self, config: ViltConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = ViltEmbeddings(config)
        self.encoder = ViltEncoder(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pooler = bert.BertPooler(config) if add_pooling_layer else None
        self.post_init()

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        rows, _ = self.embeddings(**inputs)
        return layout.pack(rows)

    def stack(self, rows: Tensor, step: Step, head_masks: Any) -> outputs.BaseModelOutput:
        found = super().stack(rows, step, head_masks)
        return outputs.BaseModelOutput(self.layernorm(found.last_hidden_state), found.hidden_states, found.attentions)

    def _attentions(self) -> list[Any]:
        return [layer.attention for layer in self.encoder.layer]


class ViltMLMHead(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.transform = bert.BertPredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, rows: Tensor) -> Tensor:
        return self.decoder(self.transform(rows))


class _OfWords(heads.Head):
    """A head that reads the words, and not the picture."""

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        given: Any = inputs.get("input_ids") if inputs.get("input_ids") is not None else inputs["inputs_embeds"]
        rows = layout.unpack(body.last_hidden_state)[:, : given.shape[1]]
        words = outputs.BaseModelOutput(rows)
        return super().results(words, Layout(rows.shape[0], rows.shape[1]), inputs, targets)


class ViltForMaskedLM(ViltPreTrainedModel, _OfWords, heads.MaskedLM):
    """Fill in words beside a picture."""

    TIED = {"mlm_score.decoder.weight": "vilt.embeddings.text_embeddings.word_embeddings.weight"}
    RENAMES = {"mlm_score.bias": "mlm_score.decoder.bias"}  # of older checkpoints, which may have both
    BUFFERS = (*ViltPreTrainedModel.BUFFERS, "mlm_score.bias")

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.vilt = ViltModel(config)
        self.mlm_score = ViltMLMHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.mlm_score(rows)


class ViltForTokenClassification(ViltPreTrainedModel, _OfWords, heads.TokenClassification):
    """Label the words beside a picture."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.vilt = ViltModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, self.num_labels)
        self.post_init()


def _classifier(width: int, inner: int, labels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, inner), nn.LayerNorm(inner), nn.GELU(), nn.Linear(inner, labels))


class ViltForQuestionAnswering(ViltPreTrainedModel, heads.Head):
    """Choose answers to a question about a picture. labels (B, L): how right each answer is, 0 to 1; logits (B, L)."""

    OUTPUT = outputs.SequenceClassifierOutput
    READS = "pooled"

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.vilt = ViltModel(config)
        self.classifier = _classifier(config.hidden_size, 2 * config.hidden_size, self.num_labels)
        self.post_init()

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        logits, labels = self.classifier(body.pooler_output), targets["labels"]
        if labels is None:
            return {"loss": None, "logits": logits}
        if labels.shape != logits.shape or not labels.is_floating_point():
            raise InputError(
                f"labels has shape {tuple(labels.shape)} and type {labels.dtype}; how right each answer is, 0 to 1, is "
                f"{tuple(logits.shape)}, floating."
            )
        loss = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype)) * labels.shape[1]
        return {"loss": loss, "logits": logits}


class ViltForImageAndTextRetrieval(ViltPreTrainedModel, heads.Head):
    """Say how well a text and a picture go together: logits (B, 1)."""

    OUTPUT = outputs.SequenceClassifierOutput
    READS = "pooled"

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.vilt = ViltModel(config)
        self.rank_output = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        if targets["labels"] is not None:
            raise InputError(
                f"{type(self).__name__} has no loss of its own: rank pairs by their logits, and leave labels out."
            )
        return {"loss": None, "logits": self.rank_output(body.pooler_output)}


class ViltForImagesAndTextClassification(ViltPreTrainedModel):
    """Label a text about several pictures: pixel_values (B, num_images, C, H, W), labels (B,) ids, logits (B, L).

    Hidden states and attentions are lists, of each picture's pass a tuple."""

    TARGETS = ("labels",)

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.num_labels, width = config.num_labels, config.hidden_size * max(1, config.num_images)
        self.vilt = ViltModel(config)
        self.classifier = _classifier(width, width, self.num_labels)
        self.post_init()

    def compute(self, inputs: dict[str, Any]) -> Any:
        """A pass for each picture of a text, whose vectors are read side by side."""
        labels, return_dict = inputs.pop("labels", None), inputs.pop("return_dict", None)
        beside: dict[str, list[Any]] = {}
        for name, dims in (("pixel_values", 5), ("image_embeds", 4), ("pixel_mask", 4)):
            if (value := inputs.pop(name, None)) is not None:
                beside[name] = list((value if value.dim() == dims else value[:, None]).unbind(1))
        count = len(beside.get("pixel_values", beside.get("image_embeds", ())))
        if count != self.config.num_images:
            raise InputError(
                f"There are {count} pictures for a text; the model reads {self.config.num_images} of them."
            )
        found = [
            self.vilt(
                **inputs,
                **{name: values[i] for name, values in beside.items()},
                image_token_type_idx=i + 1,
                return_dict=True,
            )
            for i in range(count)
        ]
        logits = self.classifier(torch.cat([one.pooler_output for one in found], dim=-1))
        asked: Any = [[one[name] for one in found if name in one] or None for name in ("hidden_states", "attentions")]
        loss = None if labels is None else losses.choice(logits, labels)
        return self.returned(ViltForImagesAndTextClassificationOutput(loss, logits, *asked), return_dict)


class ViltForImagesAndTextClassificationOutput(outputs.SequenceClassifierOutput):
    """As SequenceClassifierOutput; hidden states and attentions are lists, of each picture's pass a tuple."""


MODEL_TYPES = {"vilt": ViltConfig}
TOKENIZER = bert.BertTokenizer
IMAGE_PROCESSOR = ViltImageProcessor
PROCESSOR = ViltProcessor
HEADS = {
    "base": ViltModel,
    "visual-question-answering": ViltForQuestionAnswering,
    "masked-lm": ViltForMaskedLM,
    "token-classification": ViltForTokenClassification,
    "image-text-retrieval": ViltForImageAndTextRetrieval,
    "images-and-text-classification": ViltForImagesAndTextClassification,
}
TINY = {
    "vocab_size": 99,
    "type_vocab_size": 3,
    "modality_type_vocab_size": 3,
    "max_position_embeddings": 40,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "image_size": 24,
    "patch_size": 8,
    "num_images": 2,
    "num_labels": 3,
}
