"""The heads of models that read sound as it is: what is said, what it is, and whose voice it is.

Letters: B batch, S samples, T frames, C channels of the convolutions, D width, L labels, V vocabulary, E width of a
vector.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import heads, outputs, speech
from .errors import ConfigError, InputError
from .modeling import OPTIONS
from .ops import losses
from .ops.layout import Layout
from .speech import ReadsSound, checked_places

_CERTAIN = 1e4  # how far the blank is above all else where there is no sound


class SpeechHead(ReadsSound, heads.Head):
    """A head over frames. Where the configuration says `use_weighted_layer_sum`, it reads a mean of all hidden states,
    whose weights it learns."""

    KEYWORDS: ClassVar[tuple[str, ...]] = ()
    WEIGHTED: ClassVar[bool] = False
    layer_weights: Tensor

    def __init__(self, config: Any, *_: Any) -> None:
        super().__init__(config)
        self.add_body(config)
        self.add_head(config)
        self.post_init()

    def add_head(self, config: Any) -> None:
        """Make the layers above the body."""
        raise NotImplementedError

    def add_weights(self, config: Any) -> None:
        """Make the weights of hidden states, where they are asked for; errors for an adapter, which has none."""
        if config.use_weighted_layer_sum:
            layers = config.num_hidden_layers + 1
            self.layer_weights = nn.Parameter(torch.ones(layers) / layers)

    def no_adapter(self, config: Any) -> None:
        """Raise ConfigError for an adapter, after whose strides frames are no longer those that the head labels."""
        if getattr(config, "add_adapter", False):
            raise ConfigError(f"{type(self).__name__} reads the frames themselves: add_adapter=True is not possible.")

    def weighted(self) -> bool:
        """Whether the head reads all hidden states."""
        return self.WEIGHTED and bool(getattr(self.config, "use_weighted_layer_sum", False))

    def compute(self, inputs: dict[str, Any]) -> Any:
        asked, named = self.options(output_hidden_states=inputs.get("output_hidden_states")), inputs.get("return_dict")
        if not self.weighted() or asked["output_hidden_states"]:
            return super().compute(inputs)
        found = super().compute(inputs | {"output_hidden_states": True, "return_dict": True})
        return self.returned(replace(found, hidden_states=None), named)

    def read(self, body: Any, layout: Layout) -> Tensor:
        """The rows that the head reads, of the layout."""
        if not self.weighted():
            rows: Tensor = body.last_hidden_state
            return rows
        states = torch.stack([layout.pack(state) for state in body.hidden_states])
        weights = self.layer_weights.softmax(-1)
        return torch.einsum("l...,l->...", states, weights)


class CTC(SpeechHead):
    """Writes what is said: of each frame a token, or the blank, `pad_token_id`. labels (B, K): ids of what is said,
    less than 0 for padding; logits (B, T, V). At padding the blank is certain, so that nothing is written there.

    Source: Graves et al. 2006 (https://www.cs.toronto.edu/~graves/icml_2006.pdf)."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.CausalLMOutput
    dropout: Any
    lm_head: Any

    def add_head(self, config: Any) -> None:
        """Make the last layer. Raises ConfigError without a vocabulary's size."""
        if config.vocab_size is None:
            raise ConfigError(
                f"{type(self).__name__}: vocab_size is None. It is the tokenizer's: "
                "from_pretrained(…, vocab_size=len(tokenizer))."
            )
        self.dropout = nn.Dropout(config.final_dropout)
        width = config.output_hidden_size if getattr(config, "add_adapter", False) else config.hidden_size
        self.lm_head = nn.Linear(width, config.vocab_size)

    def compute_logits(self, rows: Tensor) -> Tensor:
        return self.lm_head(self.dropout(rows))

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        logits, labels = layout.unpacked(self.compute_logits, body.last_hidden_state), targets["labels"]
        heard = self.heard(layout, inputs).clamp(max=logits.shape[1])
        loss = None if labels is None else self.loss(logits, labels, heard)
        if inputs.get("attention_mask") is not None:
            real = torch.arange(logits.shape[1], device=logits.device) < heard[:, None]
            silence = logits.new_full((logits.shape[-1],), -_CERTAIN)
            silence[self.config.pad_token_id or 0] = 0
            logits = torch.where(real[..., None], logits, silence)
        return {"loss": loss, "logits": logits}

    def heard(self, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        """(B,) how many frames of each sound are real."""
        values, mask = inputs["input_values"], inputs.get("attention_mask")
        samples = torch.full((layout.batch,), values.shape[1], device=values.device) if mask is None else mask.sum(1)
        frames: Tensor = self._get_feat_extract_output_lengths(samples)
        return frames

    def loss(self, logits: Tensor, labels: Tensor, frames: Tensor) -> Tensor:
        """From logits (B, T, V), labels (B, K), and the numbers of real frames (B,)."""
        config: Any = self.config
        if labels.dim() != 2 or len(labels) != len(logits) or labels.is_floating_point():
            raise InputError(
                f"labels has shape {tuple(labels.shape)} and type {labels.dtype}; give the ids of what is said in each "
                f"of {len(logits)} sounds, (batch, tokens), -100 for padding."
            )
        if labels.numel() and int(labels.max()) >= config.vocab_size:
            raise InputError(
                f"labels holds {int(labels.max())}, but the model writes ids below vocab_size={config.vocab_size}."
            )
        if config.pad_token_id is None:
            raise InputError("config.pad_token_id is None; it is the blank, without which there is no loss.")
        written = labels >= 0
        with torch.backends.cudnn.flags(enabled=False):
            return F.ctc_loss(
                logits.log_softmax(-1, dtype=torch.float32).transpose(0, 1),  # (T, B, V)
                labels.masked_select(written),
                *(frames.to(torch.long), written.sum(-1)),
                blank=config.pad_token_id,
                reduction=config.ctc_loss_reduction,
                zero_infinity=config.ctc_zero_infinity,
            )


class AudioClassification(SpeechHead):
    """Labels a sound, by the mean of its frames. labels (B,) ids; logits (B, L)."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.SequenceClassifierOutput
    WEIGHTED = True
    projector: Any
    classifier: Any

    def add_head(self, config: Any) -> None:
        """Make both last layers. Raises ConfigError for an adapter."""
        self.no_adapter(config)
        self.add_weights(config)
        self.projector = nn.Linear(config.hidden_size, config.classifier_proj_size)
        self.classifier = nn.Linear(config.classifier_proj_size, config.num_labels)

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        frames, real = layout.unpack(self.projector(self.read(body, layout))), layout.tokens
        if real is None:
            means = frames.mean(1)
        else:
            means = (frames * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        logits, labels = self.classifier(means), targets["labels"]
        return {"loss": None if labels is None else losses.choice(logits, labels), "logits": logits}


class AudioFrameClassification(SpeechHead):
    """Labels frames, as who speaks when. labels (B, T, L): 1 for the frame's label, 0 for the others; those of padding
    count too. logits (B, T, L), zeros at padding where there are no labels."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.TokenClassifierOutput
    WEIGHTED = True
    classifier: Any

    def add_head(self, config: Any) -> None:
        """Make the last layer. Raises ConfigError for an adapter."""
        self.no_adapter(config)
        self.add_weights(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def needs_padding(self, inputs: dict[str, Any], targets: dict[str, Any]) -> bool:
        return targets["labels"] is not None

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        logits, labels = layout.unpacked(self.classifier, self.read(body, layout)), targets["labels"]
        if labels is None:
            return {"loss": None, "logits": logits}
        if labels.shape != logits.shape:
            raise InputError(
                f"labels has shape {tuple(labels.shape)}; give 1 for each frame's label and 0 for the others, "
                f"{tuple(logits.shape)}."
            )
        return {"loss": losses.tokens(logits.flatten(0, 1), labels.flatten(0, 1).argmax(1)), "logits": logits}


class AMSoftmaxLoss(nn.Module):
    """How near vectors are to those of their labels, which have to be nearer than the others by a margin.

    Source: Wang et al. 2018 (arXiv 1801.05599)."""

    def __init__(self, input_dim: int, num_labels: int, scale: float = 30.0, margin: float = 0.4) -> None:
        super().__init__()
        self.scale, self.margin = scale, margin
        self.weight = nn.Parameter(torch.randn(input_dim, num_labels))

    def forward(self, hidden_states: Tensor, labels: Tensor) -> Tensor:
        """From vectors (B, E) and labels (B,)."""
        cosines = F.normalize(hidden_states, dim=1) @ F.normalize(self.weight, dim=0)
        labels = labels.flatten()
        losses.choice(cosines.detach(), labels)  # raises for labels that are none
        margins = self.margin * F.one_hot(labels.long(), cosines.shape[1])
        return F.cross_entropy(self.scale * (cosines - margins), labels.long())


class TDNNLayer(nn.Module):
    """A convolution over frames, (B, T, D), whose kernel is that of a linear layer over a window's numbers.

    Source: Peddinti et al. 2015 (https://www.danielpovey.com/files/2015_interspeech_multisplice.pdf)."""

    def __init__(self, config: Any, layer_id: int = 0) -> None:
        super().__init__()
        self.in_conv_dim = config.tdnn_dim[max(layer_id - 1, 0)]
        self.out_conv_dim = config.tdnn_dim[layer_id]
        self.kernel_size, self.dilation = config.tdnn_kernel[layer_id], config.tdnn_dilation[layer_id]
        self.kernel = nn.Linear(self.in_conv_dim * self.kernel_size, self.out_conv_dim)
        self.activation = nn.ReLU()

    def forward(self, hidden_states: Tensor) -> Tensor:
        kernel = self.kernel.weight.view(self.out_conv_dim, self.kernel_size, self.in_conv_dim).transpose(1, 2)
        made = F.conv1d(hidden_states.transpose(1, 2), kernel, self.kernel.bias, dilation=self.dilation)
        return self.activation(made.transpose(1, 2))


class XVector(SpeechHead):
    """A vector of a voice, from the means and deviations of its frames. labels (B,): whose it is; embeddings (B, E).

    The last windows of a sound reach into its padding, as in the reference, whose lengths leave out dilations.
    Source: Snyder et al. 2018 (https://www.danielpovey.com/files/2018_icassp_xvectors.pdf)."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.XVectorOutput
    WEIGHTED = True
    projector: Any
    tdnn: Any
    feature_extractor: Any
    classifier: Any
    objective: Any

    def add_head(self, config: Any) -> None:
        """Make the layers from frames to a vector."""
        self.add_weights(config)
        self.projector = nn.Linear(config.hidden_size, config.tdnn_dim[0])
        self.tdnn = nn.ModuleList(TDNNLayer(config, i) for i in range(len(config.tdnn_dim)))
        self.feature_extractor = nn.Linear(config.tdnn_dim[-1] * 2, config.xvector_output_dim)
        self.classifier = nn.Linear(config.xvector_output_dim, config.xvector_output_dim)
        self.objective = AMSoftmaxLoss(config.xvector_output_dim, config.num_labels)

    def needs_padding(self, inputs: dict[str, Any], targets: dict[str, Any]) -> bool:
        return True

    def _get_tdnn_output_lengths(self, input_lengths: Any) -> Any:
        """How many windows of so many frames are taken into account."""
        for kernel in self.config.tdnn_kernel:
            input_lengths = input_lengths - kernel + 1
        return input_lengths

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        config, frames = self.config, self.projector(self.read(body, layout))
        reach = sum((k - 1) * d for k, d in zip(config.tdnn_kernel, config.tdnn_dilation, strict=True))
        mask = inputs.get("attention_mask")
        heard = [layout.columns] * layout.batch if mask is None else frames_heard(self, mask)
        counts = [min(self._get_tdnn_output_lengths(n), layout.columns - reach) for n in heard]
        if min(counts) < 2:
            raise InputError(
                f"{type(self).__name__}: sound {counts.index(min(counts))} has {min(heard)} frames, too few: means and "
                f"deviations are of windows of {reach + 1}, at least two."
            )
        for layer in self.tdnn:
            frames = layer(frames)
        kept = [sound[:count] for sound, count in zip(frames, counts, strict=True)]
        pooled = torch.stack([torch.cat([x.mean(0), x.std(0)]) for x in kept])
        vectors = self.feature_extractor(pooled)
        logits, labels = self.classifier(vectors), targets["labels"]
        loss = None if labels is None else self.objective(logits, labels)
        return {"loss": loss, "logits": logits, "embeddings": vectors}


def frames_heard(model: ReadsSound, mask: Tensor) -> list[int]:
    """How many frames of each sound are real."""
    found: list[int] = model._get_feat_extract_output_lengths(mask.sum(1)).tolist()
    return found


class GumbelVectorQuantizer(nn.Module):
    """The entry of a codebook that a frame is nearest to, of each of several groups, put together.

    In training one is drawn, by its probability; `temperature` says how evenly.
    Source: Jang et al. 2016 (arXiv 1611.01144)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.num_groups, self.num_vars = config.num_codevector_groups, config.num_codevectors_per_group
        if config.codevector_dim % self.num_groups:
            raise ConfigError(
                f"codevector_dim={config.codevector_dim} is no multiple of {self.num_groups}, num_codevector_groups."
            )
        width = config.codevector_dim // self.num_groups
        self.codevectors = nn.Parameter(torch.empty(1, self.num_groups * self.num_vars, width).uniform_())
        self.weight_proj = nn.Linear(config.conv_dim[-1], self.num_groups * self.num_vars)
        self.temperature = 2.0

    def forward(self, hidden_states: Tensor, mask_time_indices: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames (B, T, C), and which of them count, (B, T), to entries (B, T, E) and how many are in use."""
        B, T, _ = hidden_states.shape
        scores = self.weight_proj(hidden_states).view(B * T * self.num_groups, self.num_vars)
        if self.training:
            chosen = F.gumbel_softmax(scores.float(), tau=self.temperature, hard=True).type_as(scores)
            shares = scores.view(B * T, self.num_groups, -1).float().softmax(-1)
        else:
            chosen = F.one_hot(scores.argmax(-1), self.num_vars).type_as(scores)
            shares = chosen.view(B * T, self.num_groups, -1)
        used = shares if mask_time_indices is None else shares[mask_time_indices.flatten()]
        mean = used.sum(0) / len(used)
        perplexity = torch.exp(-torch.xlogy(mean, mean).sum(-1)).sum()
        book = self.codevectors[0].view(self.num_groups, self.num_vars, -1)
        entries = torch.einsum("ngv,gvd->ngd", chosen.view(B * T, self.num_groups, -1), book)
        return entries.reshape(B, T, -1), perplexity


class PreTraining(SpeechHead):
    """Tells the codebook's entry of each hidden frame from those of others. mask_time_indices (B, T): the hidden ones;
    sampled_negative_indices (B, T, K): which others, counted through the flattened batch, without which there is no
    loss. projected_states, projected_quantized_states (B, T, E).

    Source: Baevski et al. 2020 (arXiv 2006.11477)."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.Wav2Vec2ForPreTrainingOutput
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_values", "attention_mask", "mask_time_indices", "sampled_negative_indices"),
        *OPTIONS,
    )
    TARGETS = ()
    dropout_features: Any
    quantizer: Any
    project_hid: Any
    project_q: Any

    def add_head(self, config: Any) -> None:
        """Make the codebook and what brings both sides to one width."""
        self.dropout_features = nn.Dropout(config.feat_quantizer_dropout)
        self.quantizer = GumbelVectorQuantizer(config)
        self.project_hid = nn.Linear(config.hidden_size, config.proj_codevector_dim)
        self.project_q = nn.Linear(config.codevector_dim, config.proj_codevector_dim)

    def set_gumbel_temperature(self, temperature: float) -> None:
        """How evenly entries are drawn in training, which is lowered as it goes on."""
        self.quantizer.temperature = temperature

    def flatten(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in inputs.items() if name != "sampled_negative_indices"}

    def needs_padding(self, inputs: dict[str, Any], targets: dict[str, Any]) -> bool:
        return True

    def results(self, body: Any, layout: Layout, inputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
        hidden, others = inputs.get("mask_time_indices"), inputs.get("sampled_negative_indices")
        hidden = None if hidden is None else checked_places(hidden, layout).bool()
        states = self.project_hid(body.last_hidden_state)
        entries, perplexity = self.quantizer(self.dropout_features(body.extract_features), hidden)
        entries = self.project_q(entries.to(self.project_q.weight.dtype))
        found = {
            "projected_states": states,
            "projected_quantized_states": entries,
            "codevector_perplexity": perplexity,
            "loss": None,
        }
        if others is None:
            return found
        if hidden is None:
            raise InputError(
                "sampled_negative_indices are of hidden frames: give mask_time_indices (batch, frames) too."
            )
        contrast = self.contrast(states, entries, others, hidden)
        count, config = self.quantizer.num_groups * self.quantizer.num_vars, self.config
        diversity = (count - perplexity) / count * hidden.sum()
        found["loss"] = contrast + config.diversity_loss_weight * diversity
        return found | {"contrastive_loss": contrast, "diversity_loss": diversity}

    def contrast(self, states: Tensor, entries: Tensor, others: Tensor, hidden: Tensor) -> Tensor:
        """The sum over hidden frames of the cross entropy of their own entries among the others'."""
        if others.shape[:2] != hidden.shape or others.dim() != 3:
            raise InputError(
                f"sampled_negative_indices has shape {tuple(others.shape)}; it names others for each frame, "
                f"{(*hidden.shape, 'others')}."
            )
        own = entries[hidden]  # (N, E)
        wrong = entries.flatten(0, 1)[others.long()[hidden]]  # (N, K, E)
        both = torch.cat([own[:, None], wrong], dim=1)
        logits = self.compute_contrastive_logits(both[:, :1], both[:, 1:], states[hidden][:, None])
        same = (wrong == own[:, None]).all(-1)
        logits = torch.cat([logits[:, :1], logits[:, 1:].masked_fill(same, -torch.inf)], dim=1)
        return F.cross_entropy(logits.float(), hidden.new_zeros(len(logits), dtype=torch.long), reduction="sum")

    def compute_contrastive_logits(
        self,
        target_features: Tensor,
        negative_features: Tensor,
        predicted_features: Tensor,
        temperature: float | None = None,
    ) -> Tensor:
        """Cosines of what is predicted with its own entry and with the others, (N, 1 + K), by `temperature`."""
        both = torch.cat([target_features, negative_features], dim=1)
        cosines = F.cosine_similarity(predicted_features.float(), both.float(), dim=-1).type_as(both)
        return cosines / (self.config.contrastive_logits_temperature if temperature is None else temperature)


def draw(module: nn.Module) -> None:
    """Draw the weights of what is not drawn like all models' layers, of bodies and of heads."""
    speech.draw(module)
    if isinstance(module, GumbelVectorQuantizer):
        nn.init.normal_(module.weight_proj.weight, std=1)
        nn.init.zeros_(module.weight_proj.bias)
        nn.init.uniform_(module.codevectors)
    elif isinstance(module, PreTraining):
        module.project_hid.reset_parameters()
        module.project_q.reset_parameters()
    elif isinstance(module, AMSoftmaxLoss):
        nn.init.normal_(module.weight)
    elif isinstance(projection := getattr(module, "projection", None), nn.Linear):  # of features
        reach = projection.in_features**-0.5
        nn.init.uniform_(projection.weight, -reach, reach)
        nn.init.uniform_(projection.bias, -reach, reach)
