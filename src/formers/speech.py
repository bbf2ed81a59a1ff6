"""What models share that read sound as it is: samples to frames by convolutions, which layers see as tokens of a text.

    input_values (B, S) ─ convolutions ─▶ frames (B, T, C) ─ projection ─▶ rows of D ─ positions ─ layers ─▶ rows
                                              └────────── normalised ─▶ extract_features

A mask says how many samples of each sound are real. Frames of padding are not computed where nothing reads them: rows
are then those of `Layout.of_lengths`, and every sound goes through the convolutions by itself.
Letters: B batch, S samples, T frames, N frames that are real, C channels of the convolutions, D width, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from . import outputs
from .config import PretrainedConfig
from .errors import ArgumentError, ConfigError, InputError, NotTensorError
from .layers import by_hand, keeps_padding
from .modeling import OPTIONS, PreTrainedModel
from .ops.checks import read_mask
from .ops.layout import Layout, is_tracing
from .ops.step import Step
from .waves import frames_in_pieces, in_pieces

if TYPE_CHECKING:
    from .cache import Cache

# how Transformers calls a layer of sound, its attention, and a stack of layers
LAYER = ("hidden_states", "attention_mask", "output_attentions")
STACK = (*LAYER, "output_hidden_states", "return_dict")
by_hand_layer = by_hand(*LAYER)
by_hand_stack = by_hand(*STACK)
_HOW = "a feature extractor makes them: extractor(sound, sampling_rate=16000, return_tensors='pt')"


class SpeechConfig(PretrainedConfig):
    """What configurations have in common; conv_dim, conv_stride, conv_kernel are of each convolution."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own: Any = self
        own.num_feat_extract_layers = len(own.conv_dim)
        if "output_hidden_size" in own:
            own.output_hidden_size = own.output_hidden_size or own.hidden_size

    def check(self) -> None:
        """Raise ConfigError if a value is not of its key's kind, or lists of the convolutions differ in length."""
        super().check()
        check_convolutions(self)

    @property
    def inputs_to_logits_ratio(self) -> int:
        """How many samples there are to a frame."""
        own: Any = self
        return math.prod(own.conv_stride)


# ---- samples and frames


def frames_of(config: Any, samples: Any) -> Any:
    """How many frames there are of so many samples, a number or a tensor of numbers: below 1 for too few samples."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def samples_of(config: Any, frames: int, first: int = 0) -> int:
    """How many samples so many frames are made of; from layer `first` on, how many columns of what that one reads."""
    layers = [*zip(config.conv_kernel, config.conv_stride, strict=True)]
    for kernel, stride in reversed(layers[first:]):
        frames = (frames - 1) * stride + kernel
    return frames


def checked_sound(who: str, input_values: Any) -> Tensor:
    """Samples (B, S), floating. Raises InputError for anything else; `who` is the model's name."""
    if input_values is None:
        raise InputError(f"{who} reads input_values: {_HOW}.")
    if not isinstance(input_values, Tensor):
        raise NotTensorError(f"input_values is a {type(input_values).__name__}, not a tensor; {_HOW}.")
    shape = tuple(input_values.shape)
    if len(shape) != 2:
        hint = " For one sound, add a batch dimension: input_values[None]." if len(shape) == 1 else ""
        hint = " Of several channels the mean is heard: input_values.mean(1)." if len(shape) == 3 else hint
        raise InputError(f"input_values has shape {shape}; it should be (batch, samples).{hint}")
    if not shape[0]:
        raise InputError(f"input_values has shape {shape}: there is nothing in it.")
    if not input_values.is_floating_point():
        raise InputError(f"input_values is {input_values.dtype}; models read floating numbers: {_HOW}.")
    return input_values


def sounds(lengths: Sequence[int] = (16_000, 12_000)) -> Tensor:
    """Samples (B, S) of sounds that are nobody's, of standard deviation 1: as in speech, low notes are stronger."""
    draw, longest = torch.Generator().manual_seed(0), max(lengths)
    amplitude = torch.fft.rfftfreq(longest).clamp(min=0.01) ** -0.5
    made = torch.fft.irfft(torch.fft.rfft(torch.randn(len(lengths), longest, generator=draw)) * amplitude, n=longest)
    return (made - made.mean(1, keepdim=True)) / made.std(1, keepdim=True)


# ---- what training hides


def mask_spans(
    shape: tuple[int, int], mask_prob: float, mask_length: int, lengths: Sequence[int] | None = None, min_masks: int = 0
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Spans that are drawn at random in each of `shape` (B, T), where the result is True.

    mask_prob: the share of the columns that are in spans, if none overlapped; mask_length: of a span. lengths: (B,) how
    many columns spans may lie in, all T if left out; min_masks: how many spans there are at least.
    The draws are numpy's, in the reference's order. Source: Park et al. 2019 (arXiv 1904.08779).
    """
    batch, columns = shape
    if not 1 <= mask_length <= columns:
        raise InputError(
            f"mask_length={mask_length} is not possible: spans are of 1 to {columns} columns, as there are in the "
            "longest sound. Set mask_time_length, or mask_feature_length, or give longer sounds."
        )
    rounding = np.random.rand(1).item()

    def spans_in(length: int) -> int:
        wanted = max(int(mask_prob * length / mask_length + rounding), min_masks)
        wanted = min(wanted, columns // mask_length)
        return max(min(wanted, length - (mask_length - 1)), 0)

    hidden, most = np.zeros(shape, dtype=bool), spans_in(columns)
    for text, length in enumerate([columns] * batch if lengths is None else lengths):
        if not most:
            break
        starts = np.random.choice(np.arange(max(length - (mask_length - 1), 0)), spans_in(length), replace=False)
        for start in starts:
            hidden[text, start : start + mask_length] = True
        if not len(starts):  # there the reference hides the last column, which is padding
            hidden[text, columns - 1] = True
    return hidden


def sample_negatives(
    features_shape: tuple[int, int], num_negatives: int, mask_time_indices: Any = None
) -> np.ndarray[Any, np.dtype[np.int32]]:
    """For each column of features_shape (B, T) numbers of others of the same sound, (B, T, num_negatives), counted
    through the flattened batch. mask_time_indices: (B, T) the columns that are drawn for, and from; all if left out.

    The draws are numpy's, in the reference's order. Raises InputError where a sound has a single such column."""
    batch, columns = features_shape
    chosen = (
        np.ones(features_shape, dtype=bool) if mask_time_indices is None else np.asarray(mask_time_indices).astype(bool)
    )
    found = np.zeros((batch, columns, num_negatives), dtype=np.int32)
    for text in range(batch):
        places = np.arange(columns)[chosen[text]]
        if len(places) < 2:
            raise InputError(f"sound {text} has {len(places)} masked frames; others to tell one from need at least 2.")
        drawn = np.random.randint(0, len(places) - 1, size=(len(places), num_negatives))
        drawn[drawn >= np.arange(len(places))[:, None]] += 1  # never the frame itself
        found[text][chosen[text]] = places[drawn]
        found[text] += text * columns
    return found


def hide(model: Any, rows: Tensor, layout: Layout, mask_time_indices: Tensor | None) -> Tensor:
    """Rows of frames with `masked_spec_embed` in the place of those that mask_time_indices (B, T) names, or in training
    of spans that are drawn; and zeros in spans of their D numbers."""
    config, columns = model.config, layout.columns
    if not getattr(config, "apply_spec_augment", True):
        return rows
    lengths = None if model.HIDES_PADDING else layout.lengths
    if lengths is None and not model.HIDES_PADDING and (real := layout.real) is not None:
        lengths = tuple(real.expand(layout.batch, -1).sum(1).tolist())
    if mask_time_indices is not None:
        hidden = checked_places(mask_time_indices, layout).to(rows.device, torch.bool)
    elif config.mask_time_prob > 0 and model.training:
        drawn = mask_spans(
            *((layout.batch, columns), config.mask_time_prob, config.mask_time_length),
            *(lengths, config.mask_time_min_masks),
        )
        hidden = torch.from_numpy(drawn).to(rows.device)
    else:
        hidden = None
    if hidden is not None:
        if getattr(model, "masked_spec_embed", None) is None:
            raise InputError(
                "mask_time_indices needs mask_time_prob or mask_feature_prob above 0 in the configuration."
            )
        rows = torch.where(layout.pack(hidden)[..., None], model.masked_spec_embed.to(rows.dtype), rows)
    if config.mask_feature_prob > 0 and model.training:
        width = rows.shape[-1]
        drawn = mask_spans(
            *((layout.batch, width), config.mask_feature_prob, config.mask_feature_length),
            *(None, getattr(config, "mask_feature_min_masks", 0)),
        )
        features = torch.from_numpy(drawn).to(rows.device)[:, None].expand(-1, columns, -1)
        rows = rows.masked_fill(layout.pack(features), 0)
    return rows


def checked_places(places: Any, layout: Layout) -> Tensor:
    """mask_time_indices, (B, T). Raises InputError for another shape."""
    if not isinstance(places, Tensor):
        raise NotTensorError(f"mask_time_indices is a {type(places).__name__}, not a tensor (batch, frames).")
    if tuple(places.shape) != (layout.batch, layout.columns):
        raise InputError(
            f"mask_time_indices has shape {tuple(places.shape)}; it says of each frame whether it is hidden, "
            f"{(layout.batch, layout.columns)}."
        )
    return places


# ---- parts


class ChannelNorm(nn.GroupNorm):
    """Each channel by its own mean and deviation over all columns of a sound, (B, C, T), padding included."""


class BatchNorm(nn.BatchNorm1d):
    """Each channel by its mean and deviation over batches, (B, C, T)."""


class WeightNormConv(nn.Module):
    """A convolution over columns whose kernel is `weight_v`, with each of its K columns brought to the length that
    `weight_g` says. Both have the names that torch 1 gave them, which all releases read; torch 2's are read too.

    Source: Salimans and Kingma 2016 (arXiv 1602.07868)."""

    NEWER: ClassVar[dict[str, str]] = {"original0": "weight_g", "original1": "weight_v"}

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.groups = (kernel,), (kernel // 2,), groups
        plain = nn.Conv1d(width, width, kernel, groups=groups)
        self.bias = nn.Parameter(plain.bias.detach())  # type: ignore[union-attr]
        self.weight_g = nn.Parameter(plain.weight.detach().norm(dim=(0, 1), keepdim=True))  # (1, 1, K)
        self.weight_v = nn.Parameter(plain.weight.detach())  # (D, D / groups, K)

    @property
    def weight(self) -> Tensor:
        """The kernel itself, (D, D / groups, K)."""
        return torch._weight_norm(self.weight_v, self.weight_g, 2)

    def forward(self, columns: Tensor) -> Tensor:
        return F.conv1d(columns, self.weight, self.bias, padding=self.padding, groups=self.groups)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for newer, name in self.NEWER.items():
            if (given := f"{prefix}parametrizations.weight.{newer}") in state_dict:
                state_dict[prefix + name] = state_dict.pop(given)
        super()._load_from_state_dict(state_dict, prefix, *args)


def same_length(kernel: int, columns: Tensor) -> Tensor:
    """Of what a convolution with padding kernel // 2 makes, as many columns as it read."""
    return columns[..., :-1] if kernel % 2 == 0 else columns


def over_columns(module: Any, rows: Tensor, layout: Layout) -> Tensor:
    """Rows through a module whose `of_columns` reads columns (B, D, T) and makes as many: each text by itself, as if
    zeros were around it; or, where its WHOLE says so, with the columns that padding has."""
    convolve: Any = module.of_columns
    if layout.index is None:
        return convolve(rows.transpose(1, 2)).transpose(1, 2)
    if module.WHOLE:
        return layout.pack(convolve(layout.unpack(rows).transpose(1, 2)).transpose(1, 2))
    sizes = [span.texts * span.new for span in layout.spans]
    made = [
        convolve(part.view(span.texts, span.new, -1).transpose(1, 2)).transpose(1, 2).flatten(0, 1)
        for span, part in zip(layout.spans, rows.split(sizes), strict=True)
    ]
    return made[0] if len(made) == 1 else torch.cat(made)


class Convolution(nn.Module):
    """One convolution from samples to frames: `conv`, maybe `layer_norm`, and `activation`. WHOLE: whether it reads a
    whole sound at once, padding included."""

    WHOLE: ClassVar[bool] = False
    conv: nn.Conv1d
    activation: nn.Module


class FeatureEncoder(nn.Module):
    """Convolutions from samples to frames: `conv_layers`, of which those that read whole sounds come first."""

    conv_layers: nn.ModuleList
    config: Any
    gradient_checkpointing = False

    def _freeze_parameters(self) -> None:
        for parameter in self.parameters():
            parameter.requires_grad = False

    def through(self, layers: Iterable[nn.Module], columns: Tensor) -> Tensor:
        """(B, C, T) through layers."""
        for layer in layers:
            if self.gradient_checkpointing and self.training:
                columns = checkpoint(layer, columns, use_reentrant=False)
            else:
                columns = layer(columns)
        return columns

    def forward(self, input_values: Tensor) -> Tensor:
        """(B, S) to (B, C, T)."""
        return self.through(self.conv_layers, self._one_channel(input_values))

    def _one_channel(self, input_values: Tensor) -> Tensor:
        return input_values[:, None].to(next(self.parameters()).dtype)

    def rows(self, input_values: Tensor, layout: Layout) -> Tensor:
        """(B, S) to the frames of a layout, (N, C) or (B, T, C)."""
        if in_pieces(self, input_values):
            return frames_in_pieces(self.conv_layers, input_values, layout)  # type: ignore[arg-type]
        if layout.index is None:
            return self(input_values).transpose(1, 2)
        layers, parts, done = list(self.conv_layers), [], 0
        first = sum(getattr(layer, "WHOLE", False) for layer in layers)
        columns = self.through(layers[:first], self._one_channel(input_values))
        for span in layout.spans:
            texts, done = layout.texts[done : done + span.texts], done + span.texts
            read = columns[texts, :, : samples_of(self.config, span.new, first)]
            parts.append(self.through(layers[first:], read).transpose(1, 2).flatten(0, 1))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


# ---- models


class ReadsSound(PreTrainedModel):
    """The part of a model that reads `input_values`."""

    main_input_name = "input_values"
    SIGNATURE: ClassVar[tuple[str, ...]] = ("input_values", "attention_mask", "labels", *OPTIONS)

    def _get_feat_extract_output_lengths(self, input_lengths: Any, add_adapter: bool | None = None) -> Any:
        """How many frames there are of so many samples, a number or a tensor; of what the adapter makes, if there is
        one and `add_adapter` does not say otherwise."""
        config: Any = self.config
        frames = frames_of(config, torch.as_tensor(input_lengths))
        adapted = getattr(config, "add_adapter", False) if add_adapter is None else add_adapter
        for _ in range(config.num_adapter_layers if adapted else 0):
            frames = (frames - 1) // config.adapter_stride + 1
        return frames

    def _get_feature_vector_attention_mask(
        self, feature_vector_length: int, attention_mask: Tensor, add_adapter: bool | None = None
    ) -> Tensor:
        """Which frames are real, (B, T), from a mask of samples (B, S)."""
        lengths = self._get_feat_extract_output_lengths(attention_mask.sum(-1), add_adapter)
        return torch.arange(feature_vector_length, device=attention_mask.device) < lengths[:, None]

    def layout_of_inputs(
        self, inputs: dict[str, Any], keep_padding: bool = False, reads_first: bool = True, cache: Cache | None = None
    ) -> Layout:
        """The layout of frames. Raises InputError for sounds that are too short for one, and padding before sounds."""
        config, who = of_sound(self.config), type(self).__name__
        values = checked_sound(who, inputs.get("input_values"))
        (batch, samples), mask = values.shape, inputs.get("attention_mask")
        columns = frames_of(config, samples)
        if not is_tracing() and columns < 1:
            raise InputError(f"{who}: a sound of {samples} samples is too short; {_least(config)}.")
        if mask is None:
            return Layout(batch, columns)
        if is_tracing():
            real = frames_of(config, read_mask(mask, batch, samples).sum(1))
            return Layout(batch, columns, mask=torch.arange(columns, device=values.device) < real[:, None])
        lengths = _lengths(who, read_mask(mask, batch, samples))
        frames = [frames_of(config, length) for length in lengths]
        for sound, count in enumerate(frames):
            if count < 1:
                raise InputError(
                    f"{who}: sound {sound} of the batch has {lengths[sound]} samples in its attention_mask, too few; "
                    f"{_least(config)}."
                )
        if keep_padding or getattr(config, "add_adapter", False) or keeps_padding(self.modules(), self):
            if min(frames) == columns:
                return Layout(batch, columns)
            real = torch.tensor(frames, device=values.device)[:, None]
            return Layout(batch, columns, mask=torch.arange(columns, device=values.device) < real)
        return Layout.of_lengths(frames, columns, values.device)

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        return {"input_values": sounds().to(self.device)}

    def get_input_embeddings(self) -> nn.Embedding:
        """Raise InputError: there are no words."""
        raise InputError(f"{type(self).__name__} reads sound: it has no table of words.")

    def resize_token_embeddings(self, *_: Any, **__: Any) -> nn.Embedding:
        """Raise InputError: there are no words."""
        raise InputError(f"{type(self).__name__} reads sound: it has no vocabulary to resize.")

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        return [{"input_values": sounds().to(self.device, self.dtype)}]

    def _encoded(self, texts: list[str], tokenizer: Any) -> Mapping[str, Tensor]:
        raise ArgumentError(
            f"{type(self).__name__} reads sound: check={texts[0]!r:.40} is a list of batches for it, "
            'such as [extractor(sounds, sampling_rate=16000, padding=True, return_tensors="pt")].'
        )

    def freeze_feature_encoder(self) -> None:
        """Let the convolutions be as they are in training."""
        base: Any = self.base_model
        base.feature_extractor._freeze_parameters()

    freeze_feature_extractor = freeze_feature_encoder  # its name until 4.2x

    def freeze_base_model(self) -> None:
        """Let all be as it is in training but the head."""
        for parameter in self.base_model.parameters():
            parameter.requires_grad = False


def of_sound(config: Any) -> Any:
    """Of a model's configuration the one of the part that reads sound: itself where there are no parts."""
    return getattr(config, "encoder", config)


def _least(config: Any) -> str:
    return f"one frame is made of {samples_of(config, 1)}, of 16,000 in a second"


def _lengths(who: str, mask: Tensor) -> list[int]:
    """How many samples of each sound are real, from a mask (B, S). Raises InputError for padding before samples."""
    if mask.dim() != 2:
        raise InputError(f"{who}: attention_mask has shape {tuple(mask.shape)}; it is (batch, samples) for sound.")
    if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise InputError(
            f"{who}: attention_mask hides samples before others that are heard; sound is padded on the right: "
            "extractor(…, padding=True, padding_side='right')."
        )
    lengths: list[int] = mask.sum(1).tolist()
    return lengths


class SpeechBody(ReadsSound):
    """A model without a head: `feature_extractor`, `feature_projection`, `encoder`, and maybe an `adapter`.

    HIDES_PADDING: whether spans that training hides may lie in padding, as in the reference."""

    HIDES_PADDING: ClassVar[bool] = False

    OUTPUT: ClassVar[Any] = outputs.Wav2Vec2BaseModelOutput
    SIGNATURE: ClassVar[tuple[str, ...]] = ("input_values", "attention_mask", "mask_time_indices", *OPTIONS)
    feature_extractor: Any
    feature_projection: Any
    encoder: Any

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Hear a batch.

        input_values: (B, S) floating; attention_mask: (B, S), 1 for samples and 0 for padding, which is on the right.
        mask_time_indices: (B, T) which frames are hidden from the layers. layout: the batch's layout when a head made
        it; the last hidden state then stays in its rows. Hidden states are zeros at padding.
        """
        layout: Layout | None = inputs.get("layout")
        handed = layout is not None
        layout = self.layout_of_inputs(inputs) if layout is None else layout
        asked: dict[str, Any] = self.options(**{n: inputs.get(n) for n in OPTIONS[:2]})
        values = inputs["input_values"].to(self.dtype)  # as what makes them gives float32
        frames = self.feature_extractor.rows(values, layout)
        rows, features = self.projected(frames)
        rows = hide(self, rows, layout, inputs.get("mask_time_indices"))
        body = self.encoder(rows, Step(layout, **asked))
        last, adapter = body.last_hidden_state, getattr(self, "adapter", None)
        last = last if adapter is None else adapter(last)
        fields = dict(body) | {"last_hidden_state": last if handed else layout.unpack(last)}
        if "extract_features" in self.OUTPUT.__match_args__:
            fields["extract_features"] = layout.unpack(features)
        return self.returned(self.OUTPUT(**fields), inputs.get("return_dict"))

    def projected(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames of C channels to rows of D, and the frames normalised."""
        rows, features = self.feature_projection(frames)
        return rows, features

    def depth(self) -> int:
        """How many layers there are."""
        return len(self.encoder.layers)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self and getattr(self, "masked_spec_embed", None) is not None:
            nn.init.uniform_(self.masked_spec_embed)  # type: ignore[arg-type]


def check_convolutions(config: Any) -> None:
    """Raise ConfigError unless there is a width, a stride and a size of the kernel for each convolution."""
    names = ("conv_dim", "conv_stride", "conv_kernel")
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, list | tuple) or not value or not all(type(x) is int and x > 0 for x in value):
            raise ConfigError(f"{name}={value!r} is no list of numbers above 0, one for each convolution.")
    if len({len(getattr(config, name)) for name in names}) > 1:
        found = ", ".join(f"{name} {len(getattr(config, name))}" for name in names)
        raise ConfigError(f"the lists of the convolutions are not of one length: {found}.")


def draw(module: nn.Module) -> None:
    """Draw the weights of what is not drawn like all models' layers."""
    if isinstance(module, WeightNormConv):
        kernel, inner = module.kernel_size[0], module.weight_v.shape[0]
        nn.init.normal_(module.weight_v, std=2 * (1 / (kernel * inner)) ** 0.5)
        with torch.no_grad():
            module.weight_g.copy_(module.weight_v.norm(dim=(0, 1), keepdim=True))
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv1d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            reach = (module.groups / (module.in_channels * module.kernel_size[0])) ** 0.5
            nn.init.uniform_(module.bias, -reach, reach)
    elif isinstance(module, nn.GroupNorm | nn.BatchNorm1d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
