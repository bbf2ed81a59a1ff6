"""LayoutLMv3: RoBERTa that reads the words of a page with their boxes, and the page's image as patches after them.

    words   <s> Total due </s>      patches  ▣ ▣ ▣ ▣ …       one row of T + P columns; each has a box, and its place
    boxes    ·   [a]  [b]  ·                 ▢ [c] [d] [e]    among the words or among the patches: attention adds what
                                                              its head has learned of how far apart these are
Source: Huang et al. 2022 (arXiv 2204.08387); microsoft/unilm.
Letters: B batch, T columns of text, P of the image, D width, H heads, C labels. "rows": see ops/layout.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import heads
from ..bodies import Body
from ..config import PretrainedConfig
from ..errors import ArgumentError, ConfigError, InputError
from ..layers import LAYER, STACK, HeadMasks, PatchConv, by_hand, first_column
from ..modeling import OPTIONS, PreTrainedModel
from ..ops.attention import attention
from ..ops.bias import PairBias, buckets
from ..ops.embedding import packed_boxes
from ..ops.layout import Layout
from ..ops.step import Step
from ..outputs import BaseModelOutput
from ..processing import BaseImageProcessor, BatchFeature, PILImageResampling, ProcessorMixin
from ..processing.ocr import read_words
from ..processing.transforms import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, Picture
from ..tokenization import BoxedWords
from ..vision import checked_images, project
from . import bert, layoutlm, roberta


class LayoutLMv3Config(PretrainedConfig):
    """Defaults are those of microsoft/layoutlmv3-base, but for max_position_embeddings (514 there) and
    type_vocab_size (1)."""

    model_type = "layoutlmv3"
    position_embedding_type: ClassVar[str] = "absolute"  # which BERT's layers ask for

    vocab_size: int = 50265
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | None = 2
    max_2d_position_embeddings: int = 1024
    coordinate_size: int = 128
    shape_size: int = 128
    has_relative_attention_bias: bool = True
    rel_pos_bins: int = 32
    max_rel_pos: int = 128
    rel_2d_pos_bins: int = 64
    max_rel_2d_pos: int = 256
    has_spatial_attention_bias: bool = True
    text_embed: bool = True
    visual_embed: bool = True
    input_size: int = 224
    num_channels: int = 3
    patch_size: int = 16
    classifier_dropout: float | None = None

    def longest_text(self) -> int | None:
        """The positions that come after that of padding."""
        limit = super().longest_text()
        return None if limit is None else limit - (self.pad_token_id or 0) - 1


class LayoutLMv3Tokenizer(BoxedWords, roberta.RobertaTokenizer):
    """RoBERTa's for words with boxes: <s> words </s>, or <s> question </s></s> words </s>."""

    model_input_names = ["input_ids", "attention_mask", "bbox"]
    _options = tuple({**dict.fromkeys(BoxedWords._options), **dict.fromkeys(roberta.RobertaTokenizer._options)})

    def __init__(self, *args: Any, add_prefix_space: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, add_prefix_space=add_prefix_space, **kwargs)


LayoutLMv3TokenizerFast = LayoutLMv3Tokenizer


class LayoutLMv3ImageProcessor(BaseImageProcessor):
    """Pages to squares of 224 pixels, and the words on them with their boxes, 0 to 1000, as Tesseract reads them.

    apply_ocr: read words (`words`, `boxes`), for which pytesseract and the program tesseract must be there.
    ocr_lang: their language, as Tesseract calls it; tesseract_config: further options of it, "--psm 6".
    """

    skip_tensor_conversion = ("words", "boxes")

    do_resize = True
    size = {"height": 224, "width": 224}
    resample = PILImageResampling.BILINEAR
    do_rescale = True
    do_normalize = True
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    apply_ocr: bool = True
    ocr_lang: str | None = None
    tesseract_config: str | None = ""

    def one(self, picture: Picture) -> Any:
        words = read_words(picture, self.ocr_lang, self.tesseract_config) if self.apply_ocr else None
        return super().one(picture), words

    def batch(self, made: list[Any]) -> dict[str, Any]:
        found = super().batch([image for image, _ in made])
        if self.apply_ocr:
            found["words"] = [words for _, (words, _) in made]
            found["boxes"] = [boxes for _, (_, boxes) in made]
        return found


class LayoutLMv3Processor(ProcessorMixin):
    """LayoutLMv3's image processor and tokenizer: a page, and its words as Tesseract reads them or as are given."""

    image_processor_class = LayoutLMv3ImageProcessor
    tokenizer_class = LayoutLMv3Tokenizer

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "bbox", "attention_mask", "pixel_values"]

    def __call__(  # type: ignore[override]  # the reference's order, which has more than images and texts
        self,
        images: Any,
        text: Any = None,
        text_pair: Any = None,
        boxes: Any = None,
        word_labels: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """What a model reads of pages, and of questions on them where `text` is given beside `text_pair`, the words."""
        own = self.image_processor
        of_images, of_text = self._shared_out(kwargs)
        reads = of_images.get("apply_ocr", getattr(own, "apply_ocr", False))
        if reads and (boxes is not None or word_labels is not None):
            raise ArgumentError("boxes and word_labels are of words that are given, and apply_ocr=True reads them.")
        seen = own(images, **of_images)
        words, found = seen.data.pop("words", None), seen.data.pop("boxes", None)
        if reads and text is not None and text_pair is None:
            text, text_pair = ([text] if isinstance(text, str) else text), words
        text, boxes = (words if text is None else text), (found if boxes is None else boxes)
        _check_pages(len(seen["pixel_values"]), text, text_pair)
        encoded = dict(self.tokenizer(text, text_pair, boxes=boxes, word_labels=word_labels, **of_text))
        if (rows := encoded.get("overflow_to_sample_mapping")) is not None:
            seen["pixel_values"] = [seen["pixel_values"][int(row)] for row in rows]
        return BatchFeature({**encoded, **seen})


def _check_pages(images: int, text: Any, text_pair: Any) -> None:
    """Raise ArgumentError where there are no words, and InputError where they are of more or fewer pages."""
    words = text if text_pair is None else text_pair
    if words is None:
        raise ArgumentError(
            "A page needs its words: give processor(images, words, boxes=boxes), or let them be read, apply_ocr=True."
        )
    pages = len(words) if len(words) and isinstance(words[0], list | tuple) else 1
    if pages != images:
        raise InputError(f"There are {images} images, and the words of {pages} pages: as many are needed.")


class LayoutLMv3PatchEmbeddings(nn.Module):
    def __init__(self, config: LayoutLMv3Config) -> None:
        super().__init__()
        self.proj = PatchConv(config.num_channels, config.hidden_size, config.patch_size, stride=config.patch_size)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(B, channels, height, width) to (B, patches, D), row by row."""
        return project(self.proj, pixel_values)


class LayoutLMv3TextEmbeddings(roberta.RobertaEmbeddings):
    """RoBERTa's, with the corners, the height and the width of each token's box side by side."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        places, D, E = config.max_2d_position_embeddings, config.coordinate_size, config.shape_size
        if config.hidden_size != 4 * D + 2 * E:
            raise ConfigError(
                f"coordinate_size={D} and shape_size={E}: four times the first and twice the second is "
                f"{4 * D + 2 * E}, and has to be hidden_size={config.hidden_size}."
            )
        self.x_position_embeddings = nn.Embedding(places, D)
        self.y_position_embeddings = nn.Embedding(places, D)
        self.h_position_embeddings = nn.Embedding(places, E)
        self.w_position_embeddings = nn.Embedding(places, E)

    def boxes(self, bbox: Tensor | None, layout: Layout, device: Any) -> Tensor:
        """What the boxes (B, T, 4) add: rows of D. A box whose corners are in the wrong order has no size."""
        x, y = self.x_position_embeddings, self.y_position_embeddings
        x0, y0, x1, y1 = packed_boxes(bbox, layout, device, x.num_embeddings).unbind(-1)
        shape = [self.h_position_embeddings((y1 - y0).clamp(min=0)), self.w_position_embeddings((x1 - x0).clamp(min=0))]
        return torch.cat([x(x0), y(y0), x(x1), y(y1), *shape], dim=-1)

    forward = layoutlm.LayoutLMEmbeddings.forward  # type: ignore[assignment]


def _given_bias(given: Mapping[str, Any]) -> PairBias | None:
    """What people who call layers by hand give: (B, H, T, T) of places, and of boxes, not yet scaled."""
    biases = [given[name] for name in ("rel_pos", "rel_2d_pos") if given.get(name) is not None]
    if not biases:
        return None
    rows, total = given["hidden_states"], sum(biases)
    scaled = total / (rows.shape[-1] // total.shape[1]) ** 0.5
    return PairBias(lambda bias: bias, scaled, Layout(*rows.shape[:2]))


def _given_places(given: Mapping[str, Any]) -> Tensor:
    """What people who call the encoder by hand give, or else the columns, and boxes of zeros."""
    rows = given["hidden_states"]
    return places(len(rows), rows.shape[1], given.get("bbox"), rows.device, given.get("position_ids"))


by_hand_layer = by_hand(*LAYER, "rel_pos", "rel_2d_pos", shared=_given_bias)


def places(
    batch: int, columns: int, bbox: Tensor | None, device: torch.device, positions: Tensor | None = None
) -> Tensor:
    """(B, columns, 3): each column's position, and its box's left and lower end."""
    positions = torch.arange(columns, device=device)[None] if positions is None else positions
    box = torch.zeros(1, columns, 4, dtype=torch.long, device=device) if bbox is None else bbox
    return torch.cat([x.expand(batch, -1, -1) for x in (positions[..., None], box[..., 0::3])], dim=-1)


class LayoutLMv3SelfAttention(bert.BertSelfAttention):
    forward = by_hand_layer(bert.run_self_attention)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        step: Step,
        head_mask: Tensor | None = None,
        memory: Layout | None = None,
    ) -> tuple[Tensor, ...]:
        return attention(
            *(query, key, value, step),
            heads=self.num_attention_heads,
            pairs=step.shared,
            dropout=self.dropout.p if self.training else 0.0,
            head_mask=head_mask,
            kernel=self.kernel,
        )


class LayoutLMv3Attention(bert.BertAttention):
    SELF = LayoutLMv3SelfAttention
    forward = by_hand_layer(bert.run_attention)


class LayoutLMv3Layer(bert.BertLayer):
    ATTENTION = LayoutLMv3Attention
    forward = by_hand_layer(bert.run_layer)


class LayoutLMv3Encoder(bert.BertEncoder):
    LAYER = LayoutLMv3Layer

    def __init__(self, config: LayoutLMv3Config) -> None:
        super().__init__(config)
        self.config, H = config, config.num_attention_heads
        if config.has_relative_attention_bias:
            self.rel_pos_bias = nn.Linear(config.rel_pos_bins, H, bias=False)
        if config.has_spatial_attention_bias:
            self.rel_pos_x_bias = nn.Linear(config.rel_2d_pos_bins, H, bias=False)
            self.rel_pos_y_bias = nn.Linear(config.rel_2d_pos_bins, H, bias=False)

    @torch.no_grad()  # what was learned in pretraining stays, as in the reference
    def bias(self, places: Tensor) -> Tensor:
        """(texts, H, n, n) what scores gain, from `places` (texts, n, 3) of both columns."""
        config, found = self.config, 0.0
        kinds = [(self.rel_pos_bias, config.rel_pos_bins, config.max_rel_pos)]
        if config.has_spatial_attention_bias:
            of_boxes = (config.rel_2d_pos_bins, config.max_rel_2d_pos)
            kinds += [(self.rel_pos_x_bias, *of_boxes), (self.rel_pos_y_bias, *of_boxes)]
        for (table, count, farthest), place in zip(kinds, places.unbind(-1), strict=False):
            behind = place[:, :, None] - place[:, None]
            rows = table(
                torch.eye(count, dtype=table.weight.dtype, device=place.device)
            )  # with adapters around it, too
            found = found + rows[buckets(behind, count, farthest)]  # (texts, n, n, H)
        scaled = found / bert.head_width(config) ** 0.5
        return scaled.permute(0, 3, 1, 2).contiguous()

    @by_hand("hidden_states", "bbox", *STACK[1:], "position_ids", "patch_height", "patch_width", shared=_given_places)
    def forward(self, rows: Tensor, step: Step, head_masks: HeadMasks = None) -> BaseModelOutput:
        """Rows through all layers; the step shares the `places` of the rows."""
        adds = self.config.has_relative_attention_bias  # that of boxes is added to that of positions, or not at all
        shared = PairBias(self.bias, step.shared, step.layout) if adds else None
        return self.run(rows, replace(step, shared=shared), head_masks)


class LayoutLMv3PreTrainedModel(PreTrainedModel):
    """What LayoutLMv3's models share."""

    config_class = LayoutLMv3Config
    base_model_prefix = "layoutlmv3"
    SIGNATURE: ClassVar[tuple[str, ...]] = (*layoutlm.INPUTS, "labels", *OPTIONS, "pixel_values")
    BUFFERS = ("position_ids", "visual_bbox")

    def make_body(self, config: LayoutLMv3Config, pooling: bool) -> LayoutLMv3Model:
        """The encoder under a head; it has no pooler."""
        return LayoutLMv3Model(config)

    def layout_of_inputs(self, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Layout:
        """Of words, of an image, or of both: then the image's columns follow those of the words, padding and all."""
        config: Any = self.config
        if _has_words(inputs) and not config.text_embed:
            raise InputError("This model reads no words (config.text_embed is False): give it pixel_values alone.")
        if (pixels := inputs.get("pixel_values")) is None:
            return super().layout_of_inputs(inputs, *args, **kwargs)
        P = self._image_columns(pixels)
        if not _has_words(inputs):
            if inputs.get("attention_mask") is not None:
                raise InputError("attention_mask is of words, and there are none: an image has no padding.")
            return Layout(len(pixels), P)
        text = super().layout_of_inputs(inputs, *args, **kwargs)
        B, T = text.batch, text.columns
        if len(pixels) != B:
            raise InputError(f"pixel_values are of {len(pixels)} pages, and the words of {B}: as many are needed.")
        if text.mask is not None and text.mask.dim() == 4:
            raise InputError("With pixel_values, attention_mask is (batch, columns of words): 1 for words, 0 for none.")
        if (real := text.tokens) is None:
            return Layout(B, T + P)
        mask = torch.cat([real.expand(B, -1), real.new_ones(B, P)], dim=1)
        return Layout.of(mask, B, T + P, keep_padding=text.index is None)

    def _image_columns(self, pixels: Any) -> int:
        """P, of images that the model can read. Raises InputError for others."""
        config: Any = self.config
        if not config.visual_embed:
            raise InputError("This model reads no images (config.visual_embed is False): leave pixel_values out.")
        side, shape = config.input_size, checked_images(type(self).__name__, pixels, config.num_channels).shape
        if tuple(shape[2:]) != (side, side):
            raise InputError(
                f"pixel_values are of {shape[2]} x {shape[3]} pixels, but the model is for {side} x {side}, "
                "config.input_size: resize the pages, as LayoutLMv3ImageProcessor does."
            )
        return int(config.input_size // config.patch_size) ** 2 + 1

    def _encoded(self, texts: list[str], tokenizer: Any) -> Mapping[str, Tensor]:
        """Texts as pages whose words all have the same box."""
        tokenizer = tokenizer or self._tokenizer()
        if not isinstance(tokenizer, BoxedWords):
            return super()._encoded(texts, tokenizer)
        pages, limit = [text.split() for text in texts], self.config.longest_text()
        boxes = [[[0] * 4] * len(page) for page in pages]
        return tokenizer(pages, boxes=boxes, padding=True, truncation=True, max_length=limit, return_tensors="pt")

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=self._std())
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if isinstance(module, LayoutLMv3Model) and self.config.visual_embed:
            nn.init.zeros_(module.cls_token)
            nn.init.zeros_(module.pos_embed)


def _has_words(inputs: Mapping[str, Any]) -> bool:
    return inputs.get("input_ids") is not None or inputs.get("inputs_embeds") is not None


class LayoutLMv3Model(LayoutLMv3PreTrainedModel, Body):
    """The encoder: hidden states (B, T + P, D), of the words, of the image, or of both.

    bbox: (B, T, 4), the box of each token in thousandths of the page, 0 to 1000; zeros if left out.
    pixel_values: (B, channels, input_size, input_size). Its columns are one for the whole image, then its patches."""

    SIGNATURE = (*layoutlm.INPUTS, "pixel_values", *OPTIONS)
    EMBEDDED = (*Body.EMBEDDED, "bbox", "pixel_values")

    def __init__(self, config: LayoutLMv3Config) -> None:
        super().__init__(config)
        if config.text_embed:
            self.embeddings = LayoutLMv3TextEmbeddings(config)
        if config.visual_embed:
            D, self.size = config.hidden_size, config.input_size // config.patch_size
            self.patch_embed = LayoutLMv3PatchEmbeddings(config)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, D))
            self.pos_embed = nn.Parameter(torch.zeros(1, self.size**2 + 1, D))
            self.pos_drop = nn.Dropout(0.0)
            self.LayerNorm = nn.LayerNorm(D, eps=config.layer_norm_eps)
            self.dropout = nn.Dropout(config.hidden_dropout_prob)
            self.norm = nn.LayerNorm(D, eps=1e-6)
        self.encoder = LayoutLMv3Encoder(config)
        self.post_init()

    @property
    def visual_bbox(self) -> Tensor:
        """(P, 4) the box of the whole image, within its edge, and those of its patches, row by row."""
        edges = 1000 * torch.arange(self.size + 1, device=self.cls_token.device) // self.size
        y, x = torch.meshgrid(torch.arange(self.size), torch.arange(self.size), indexing="ij")
        patches = torch.stack([edges[x], edges[y], edges[x + 1], edges[y + 1]], dim=-1).flatten(0, 1)
        return torch.cat([patches.new_tensor([[1, 1, 999, 999]]), patches])

    def forward_image(self, pixel_values: Tensor) -> Tensor:
        """Images (B, channels, height, width) to (B, P, D)."""
        patches = self.patch_embed(pixel_values)
        rows = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return self.norm(self.pos_drop(rows + self.pos_embed))

    def embed(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        pixels = inputs.pop("pixel_values")
        if pixels is None:
            return self.embeddings(**inputs, layout=layout)
        rows = self.forward_image(pixels)
        if _has_words(inputs):
            rows = torch.cat([self.embeddings(**inputs), rows], dim=1)  # (B, T + P, D)
        return layout.pack(self.dropout(self.LayerNorm(rows)))

    def shared(self, rows: Tensor, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        image = None if inputs.get("pixel_values") is None else self.visual_bbox
        T, B = layout.columns - (0 if image is None else len(image)), layout.batch
        found = [places(B, T, inputs.get("bbox"), rows.device)] if T else []
        if image is not None:
            found.append(places(B, len(image), image[None], rows.device))
        return layout.pack(torch.cat(found, dim=1))


class LayoutLMv3ClassificationHead(nn.Module):
    def __init__(self, config: LayoutLMv3Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = bert.classifier_dropout(config)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(self.dropout(self.dense(self.dropout(x)).tanh()))  # rows of D -> rows of C


# the order of the arguments of heads that read the whole page
WHOLE = ("input_ids", *bert.INPUTS[1:], "labels", *OPTIONS, "bbox", "pixel_values")


class LayoutLMv3ForSequenceClassification(LayoutLMv3PreTrainedModel, heads.SequenceClassification):
    READS = "first"
    SIGNATURE = WHOLE

    def __init__(self, config: LayoutLMv3Config) -> None:
        super().__init__(config)
        self.add_body(config)
        self.classifier = LayoutLMv3ClassificationHead(config)
        self.post_init()

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.classifier(first_column(rows))


class LayoutLMv3ForTokenClassification(LayoutLMv3PreTrainedModel, heads.TokenClassification):
    """Labels the words' tokens, (B, T, C), whether there is an image or not."""

    def __init__(self, config: LayoutLMv3Config) -> None:
        super().__init__(config)
        self.add_body(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        few = config.num_labels < 10
        self.classifier = (
            nn.Linear(config.hidden_size, config.num_labels) if few else LayoutLMv3ClassificationHead(config)
        )
        self.post_init()

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        if not _has_words(inputs):
            raise InputError(f"{type(self).__name__} labels words: give input_ids and bbox beside pixel_values.")
        given = inputs["input_ids"] if inputs.get("input_ids") is not None else inputs["inputs_embeds"]
        T, rows = given.shape[1], body.last_hidden_state
        if layout.index is None:
            logits = self.compute_logits(rows[:, :T])
        else:
            logits = layout.unpacked(self.compute_logits, rows)[:, :T]
        return {"loss": self.loss(logits, targets, Layout(layout.batch, T)), "logits": logits}


class LayoutLMv3ForQuestionAnswering(LayoutLMv3PreTrainedModel, heads.QuestionAnswering):
    SIGNATURE = WHOLE

    def __init__(self, config: LayoutLMv3Config) -> None:
        super().__init__(config)
        self.add_body(config)
        self.qa_outputs = LayoutLMv3ClassificationHead(config)
        self.post_init()


MODEL_TYPES = {"layoutlmv3": LayoutLMv3Config}
TOKENIZER = LayoutLMv3Tokenizer
IMAGE_PROCESSOR = LayoutLMv3ImageProcessor
PROCESSOR = LayoutLMv3Processor
HEADS = {
    "base": LayoutLMv3Model,
    "sequence-classification": LayoutLMv3ForSequenceClassification,
    "token-classification": LayoutLMv3ForTokenClassification,
    "question-answering": LayoutLMv3ForQuestionAnswering,
    "document-question-answering": LayoutLMv3ForQuestionAnswering,
}
TINY = {
    **bert.TINY,
    "coordinate_size": 6,
    "shape_size": 4,
    "rel_pos_bins": 8,
    "max_rel_pos": 6,
    "rel_2d_pos_bins": 16,
    "max_rel_2d_pos": 256,
    "input_size": 24,
    "patch_size": 8,
}
