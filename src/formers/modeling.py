"""PreTrainedModel: what every model has, whatever its family."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from . import registry
from .config import PretrainedConfig
from .errors import ArgumentError, ConfigError, FormersError, InputError, NotTensorError, near
from .loading import modules_of, put, tied_names
from .ops.checks import batch_shape, check_mask
from .ops.layout import Layout
from .optimize import Limits, Optimized, optimize, optimized, stack_of, take_back
from .optimize.guard import hooks_of, watched
from .optimize.sample import SAMPLE
from .outputs import ModelOutput
from .pretrained import Pretrained
from .pruning import resized
from .views.model import model_html

if TYPE_CHECKING:
    from typing_extensions import Self

KERNELS = ("sdpa", "eager")


class PreTrainedModel(Pretrained):
    """Base of all models.

    A family's base class sets `config_class` and `base_model_prefix` (the attribute under which its models with heads
    hold the base model), and, where they apply:
    INPUTS: what its models read, in positional order; NEWER_INPUTS: what came later and follows all other arguments.
    TIED: {name: name of the parameter that it shares}, when the configuration ties word embeddings.
    OPTIONAL: parts of the base model that checkpoints may lack.
    RENAMES: {a foreign checkpoint's name, already in torch's form: this family's name}, for names that a model lacks.
    """

    base_model_prefix: ClassVar[str] = ""
    main_input_name: ClassVar[str] = "input_ids"
    supports_gradient_checkpointing: ClassVar[bool] = True
    INPUTS: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "inputs_embeds")
    NEWER_INPUTS: ClassVar[tuple[str, ...]] = ()
    TIED: ClassVar[dict[str, str]] = {}
    OPTIONAL: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: PretrainedConfig, *_: Any, **__: Any) -> None:
        super().__init__()
        if not isinstance(config, PretrainedConfig):
            raise ArgumentError(
                f"{type(self).__name__}(…) takes a {self.config_class.__name__}, got {type(config).__name__}. "
                f"To load weights: {type(self).__name__}.from_pretrained(name or folder)."
            )
        config.check()
        self.config = config
        self.set_attn_implementation(config._attn_implementation)

    def post_init(self) -> None:
        """To be called at the end of a model's `__init__`: weights drawn, heads pruned, weights tied."""
        if not any(p.is_meta for p in self.parameters()):
            self.apply(self._init_weights)
        if self.base_model is self and self.config.pruned_heads:
            self._prune(self.config.pruned_heads)
        self.tie_weights()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], Mapping):
            raise NotTensorError(
                f"{type(self).__name__} was given a {type(args[0]).__name__}; unpack it: model(**encoding)."
            )
        names = None if torch.compiler.is_compiling() else _forward_names(type(self))  # type: ignore[arg-type]
        if names is not None and (unknown := kwargs.keys() - names):
            name = sorted(unknown)[0]
            hint = near(name, names)
            if name == "token_type_ids":
                hint = " This model has no token types: call the tokenizer with return_token_type_ids=False."
            raise ArgumentError(
                f"{type(self).__name__} takes no argument {name!r}.{hint} "
                f"It takes {', '.join(sorted(names - {'layout'}))}."
            )
        return super().__call__(*args, **kwargs)

    def set_attn_implementation(self, attn_implementation: str) -> None:
        """Compute attention with torch's fused kernels ("sdpa") or written out ("eager")."""
        if attn_implementation not in KERNELS:
            raise ConfigError(
                f"attn_implementation={attn_implementation!r} is unknown; it is one of {', '.join(KERNELS)}."
                f"{near(attn_implementation, KERNELS)}"
            )
        self.config._attn_implementation = attn_implementation
        for module in self.modules():
            if hasattr(module, "kernel"):
                module.kernel = attn_implementation  # type: ignore[assignment]

    _repr_html_ = model_html

    # ---- parts

    @property
    def base_model(self) -> PreTrainedModel:
        """The model without its head; itself when it has none."""
        base = getattr(self, self.base_model_prefix, None) if self.base_model_prefix else None
        return base if isinstance(base, PreTrainedModel) else self

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of word embeddings."""
        return self.base_model.embeddings.word_embeddings  # type: ignore[union-attr, return-value]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of word embeddings."""
        self.base_model.embeddings.word_embeddings = value  # type: ignore[union-attr]

    def get_output_embeddings(self) -> nn.Module | None:
        """The layer that scores the vocabulary, in models that have one."""
        name = next((n for n in self.TIED if n.endswith(".weight")), None)
        return self.get_submodule(name.removesuffix(".weight")) if name else None

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that scores the vocabulary."""
        name = next((n for n in self.TIED if n.endswith(".weight")), None)
        if name is None:
            raise ArgumentError(f"{type(self).__name__} has no output embeddings.")
        layer = name.removesuffix(".weight")
        self.set_submodule(layer, new_embeddings)
        owner, _, attribute = self.TIED.get(f"{layer}.bias", "").rpartition(".")
        if attribute:
            setattr(self.get_submodule(owner), attribute, new_embeddings.bias)

    @property
    def device(self) -> torch.device:
        """Where the first parameter is."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the first floating parameter."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    @property
    def name_or_path(self) -> str:
        """Where the model was loaded from."""
        return self.config.name_or_path

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the model has, shared ones once."""
        left_out = (
            {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding)} if exclude_embeddings else set()
        )
        counted = (p for p in self.parameters() if (p.requires_grad or not only_trainable) and id(p) not in left_out)
        return sum(p.numel() for p in counted)

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes of all parameters, and of buffers."""
        tensors = [*self.parameters(), *(self.buffers() if return_buffers else ())]
        return sum(t.numel() * t.element_size() for t in tensors)

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A batch that the model accepts."""
        return {"input_ids": torch.tensor([[1, 2, 3], [3, 2, 1]], device=self.device)}

    # ---- weights

    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of one module: N(0, initializer_range), biases 0, normalisations 1."""
        std = self._std()
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=std)
            if module.padding_idx is not None:
                with torch.no_grad():
                    module.weight[module.padding_idx].zero_()
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def _std(self) -> float:
        return getattr(self.config, "initializer_range", 0.02)  # a user's configuration need not have it

    def init_weights(self) -> None:
        """Draw all weights anew and tie them."""
        self.apply(self._init_weights)
        self.tie_weights()

    def tie_weights(self) -> None:
        """Make the parameters that TIED names share one tensor; biases always, weights if the configuration says so."""
        always = self.config.tie_word_embeddings
        tied = {name: owner for name, owner in self.TIED.items() if always or name.endswith(".bias")}
        modules = modules_of(self) if tied else {}
        for name, owner in tied.items():
            put(modules, [owner, name], self.get_parameter(owner))

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, **_: Any
    ) -> nn.Embedding:
        """Change the vocabulary's size V; old rows are kept, new ones drawn. Returns the embedding table."""
        old = self.get_input_embeddings()
        new = old.num_embeddings if new_num_tokens is None else int(new_num_tokens)
        if pad_to_multiple_of:
            new = -(-new // pad_to_multiple_of) * pad_to_multiple_of
        if new < 1:
            raise InputError(f"resize_token_embeddings({new}): a vocabulary needs at least one token.")
        if new != old.num_embeddings:
            table, output, size = old, self.get_output_embeddings(), old.num_embeddings
            modules = modules_of(self)
            for names in tied_names(self):
                owner = modules[names[0].rpartition(".")[0]]
                if owner in (table, output) or names[0] in self.TIED.values():
                    put(modules, names, resized(self.get_parameter(names[0]), size, new, self._std()))
            table.num_embeddings = new
            if table.padding_idx is not None and table.padding_idx >= new:
                table.padding_idx = None
            if isinstance(output, nn.Linear):
                output.out_features = new
            self.config.vocab_size = new
        return self.get_input_embeddings()

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        """Remove attention heads: {layer: heads}. Source: Michel et al. 2019 (arXiv 1905.10650)."""
        wanted = {int(layer): sorted(set(heads)) for layer, heads in heads_to_prune.items()}
        self.base_model._prune(wanted)
        known = self.config.pruned_heads
        self.config.pruned_heads = {k: sorted({*known.get(k, ()), *wanted.get(k, ())}) for k in {*known, *wanted}}

    def _prune(self, heads: Mapping[int, list[int]]) -> None:
        attentions = self._attentions()
        if wrong := [layer for layer in heads if not 0 <= layer < len(attentions)]:
            raise InputError(f"layer {wrong[0]} has no heads to prune: there are layers 0 to {len(attentions) - 1}.")
        for layer, chosen in heads.items():
            attentions[layer].prune_heads(chosen)

    def _attentions(self) -> list[Any]:
        """The attention module of each layer, with its `prune_heads`."""
        raise InputError(f"{type(self).__name__} has no heads that can be pruned.")

    # ---- training

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether layers are computed again in the backward pass instead of kept."""
        return any(getattr(m, "gradient_checkpointing", False) for m in self.modules())

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """Compute layers again in the backward pass: less memory, more time.

        Source: Chen et al. 2016 (arXiv 1604.06174).
        """
        for module in self.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = True  # type: ignore[assignment]

    def gradient_checkpointing_disable(self) -> None:
        """Keep all layers' activations again."""
        for module in self.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = False  # type: ignore[assignment]

    def enable_input_require_grads(self) -> None:
        """Let gradients flow to the output of the word embeddings, which adapters on a frozen model need."""
        self._input_grads = self.get_input_embeddings().register_forward_hook(lambda _, __, out: out.requires_grad_())

    def disable_input_require_grads(self) -> None:
        """Undo `enable_input_require_grads`."""
        self._input_grads.remove()

    def train(self, mode: bool = True) -> Self:
        """Switch to training, which takes optimize() back, or with `mode` False to evaluation."""
        if mode:
            take_back(self)
        return super().train(mode)

    # ---- running

    def optimize(
        self,
        mode: str | bool | None = True,
        *,
        check: Iterable[str | Mapping[str, Tensor]] | None = None,
        tokenizer: Any = None,
        min_cosine: float | None = None,
        max_labels_changed: float | None = None,
        max_score_change: float | None = None,
    ) -> Self:
        """Run faster in inference, from derived weights; parameters, names, hooks and saving stay as they are.

        Args:
            mode: "float32" (fused, exact), "bf16", "int8"; True for the fastest that this processor does well and that
                agrees with the model as it is; None to take it back. Where a mode is missing, the next is taken.
            check: texts, or encoded batches, to compare results on; `optimized.agreement` has what came out. What is
                left of int8 to choose is chosen by some of them.
            tokenizer: for the texts, or for a few texts of the package; by default the one saved with the model.
            min_cosine: least mean cosine of embeddings, 0 to 1.
            max_labels_changed: largest share of labels that may change, 0 to 1.
            max_score_change: largest change of a label's probability, 0 to 1.

        Returns the model itself. It is used in `torch.inference_mode()` or `no_grad()`; training takes it back, and so
        does a changed weight. Attentions, hooks and masks that hide columns are served by the model's own code.

        Raises InputError, and changes nothing, when a mode that was named breaks a limit.
        """
        if mode is None or mode is False:
            take_back(self)
            return self
        for name, value in (
            ("min_cosine", min_cosine),
            ("max_labels_changed", max_labels_changed),
            ("max_score_change", max_score_change),
        ):
            if value is not None and not 0 <= value <= 1:
                raise ArgumentError(f"{name}={value!r} is not possible: it is a share, from 0 to 1.")
        limits = Limits(min_cosine, None, max_labels_changed, max_score_change)
        named = limits if limits != Limits() else None
        checked = None if check is None else self._batches(check, tokenizer)

        def sample() -> list[Mapping[str, Tensor]]:
            return self._sample(tokenizer) if checked is None else checked[:: -(-len(checked) // 2)]

        optimize(self, mode, sample, checked, named)
        return self

    @property
    def optimized(self) -> Optimized | None:
        """How the model is run; None for the model as it is."""
        return optimized(self)

    def _batches(self, texts: Iterable[str | Mapping[str, Tensor]], tokenizer: Any) -> list[Mapping[str, Tensor]]:
        """Texts as batches of 32, of neighbours in length; batches as they are."""
        given: list[Any] = [texts] if isinstance(texts, str | Mapping) else list(texts)
        if not given:
            raise InputError("check has no texts to compare results on.")
        if isinstance(given[0], str):
            given.sort(key=len)
            given = [self._encoded(given[i : i + 32], tokenizer) for i in range(0, len(given), 32)]
        read = {*self.INPUTS, *self.NEWER_INPUTS}  # batches for training have labels, and not all models token types
        return [{name: batch[name].to(self.device) for name in batch if name in read} for batch in given]

    def _encoded(self, texts: list[str], tokenizer: Any) -> Mapping[str, Tensor]:
        tokenizer = tokenizer or self._tokenizer()
        if tokenizer is None:
            raise ArgumentError("The tokenizer for `check` cannot be found: pass tokenizer=…, or encoded batches.")
        limit = self.config.longest_text()
        batch: Mapping[str, Tensor] = tokenizer(
            texts, padding=True, truncation=True, max_length=limit, return_tensors="pt"
        )
        return batch

    def _tokenizer(self) -> Any:
        """The tokenizer that was saved with the model; None when there is none."""
        family = registry.family_of(self.config.model_type)
        if family is None or not self.name_or_path:
            return None
        try:
            return family.TOKENIZER.from_pretrained(self.name_or_path)
        except FormersError:
            return None

    def _sample(self, tokenizer: Any) -> list[Mapping[str, Tensor]]:
        """A few texts that are in the package, as a batch; none without a tokenizer."""
        tokenizer = tokenizer or self._tokenizer()
        return [] if tokenizer is None else self._batches(SAMPLE, tokenizer)

    def layout(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        keep_padding: bool = False,
    ) -> Layout:
        """The layout of a batch, its inputs checked.

        Hooks see the (B, T, D) that they were written for: while a module has one, padding is kept.
        """
        batch, columns = batch_shape(type(self).__name__, input_ids, inputs_embeds)
        width = getattr(self.get_input_embeddings(), "embedding_dim", None)
        if inputs_embeds is not None and inputs_embeds.shape[2] != width is not None:
            raise InputError(f"inputs_embeds has width {inputs_embeds.shape[2]}, but the word embeddings have {width}.")
        if attention_mask is None:
            return Layout.of(None, batch, columns)
        check_mask(attention_mask, batch, columns)
        layout = Layout.of(attention_mask, batch, columns, keep_padding)
        if layout.index is not None and self._is_watched():
            return Layout.of(attention_mask, batch, columns, keep_padding=True)
        return layout

    def _is_watched(self) -> bool:
        return watched(hooks_of(self.modules()))

    def options(self, **given: bool | None) -> dict[str, bool]:
        """What a call asks for, and where it does not say, what the configuration does."""
        return {name: getattr(self.config, name) if value is None else value for name, value in given.items()}

    def returned(self, output: ModelOutput, return_dict: bool | None) -> ModelOutput | tuple[Any, ...]:
        """The output itself, or its tuple, as the call or else the configuration asks."""
        named = self.config.use_return_dict if return_dict is None else return_dict
        return output if named else output.to_tuple()

    def head_masks(self, head_mask: Tensor | None, layers: int) -> list[Tensor | None]:
        """One mask a layer, broadcastable to (B, H, T, T), from (H,), (L, H) or (L, B, H, T, T); 1 keeps a head."""
        if head_mask is None:
            return [None] * layers
        if not isinstance(head_mask, Tensor):
            raise NotTensorError(f"head_mask is a {type(head_mask).__name__}, not a tensor; torch.tensor(…) makes one.")
        if head_mask.dim() not in (1, 2, 5) or (head_mask.dim() > 1 and head_mask.shape[0] != layers):
            raise InputError(
                f"head_mask has shape {tuple(head_mask.shape)}; give (heads,) or ({layers}, heads): 1 keeps a head."
            )
        masks = head_mask.to(self.dtype)
        if masks.dim() == 1:
            masks = masks.expand(layers, -1)
        return list(masks if masks.dim() == 5 else masks[:, None, :, None, None])


@cache
def _forward_names(cls: Any) -> frozenset[str] | None:
    """Names that a model's `forward` takes; None when it takes any."""
    parameters = inspect.signature(cls.forward).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters) - {"self"}


def run_layers(
    layers: Iterable[Callable[..., Any]],
    rows: Tensor,
    layout: Layout,
    head_masks: list[Tensor | None],
    *,
    output_attentions: bool = False,
    output_hidden_states: bool = False,
    checkpointing: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
    """Rows through a stack of layers, each layer(rows, layout, head_mask, output_attentions) -> (rows, weights).

    Returns the last rows; and, where asked for, all hidden states, the first one included, each (B, T, D), and all
    attention weights, each (B, H, T, T).
    """
    derived = stack_of(layers)
    asked = output_attentions or any(mask is not None for mask in head_masks)
    if derived is not None and not asked and derived.usable(rows, layout):
        found = derived(rows, layout, output_hidden_states)
        if found is not None:
            return *found, None
    states, weights = [layout.unpack(rows)] if output_hidden_states else [], []
    for layer, head_mask in zip(layers, head_masks, strict=True):
        if checkpointing:
            rows, layer_weights = checkpoint(layer, rows, layout, head_mask, output_attentions, use_reentrant=False)
        else:
            rows, layer_weights = layer(rows, layout, head_mask, output_attentions)
        if output_hidden_states:
            states.append(layout.unpack(rows))
        weights.append(layer_weights)
    return rows, tuple(states) if output_hidden_states else None, tuple(weights) if output_attentions else None
