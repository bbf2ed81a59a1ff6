"""PreTrainedModel: what every model has, whatever its family."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from .adapters import Adapted
from .cache import Cache, DynamicCache
from .config import PretrainedConfig
from .errors import ArgumentError, ConfigError, InputError, NotTensorError, near
from .layers import keeps_padding
from .loading import loaded, modules_of, put, tied_names
from .masks import Masks
from .ops.checks import batch_shape, read_mask
from .ops.layout import Layout
from .optimize import take_back
from .optimizing import Optimizable
from .outputs import ModelOutput
from .pruning import resized
from .views.model import model_html

if TYPE_CHECKING:
    from typing_extensions import Self

KERNELS = ("sdpa", "eager")
OPTIONS = ("output_attentions", "output_hidden_states", "return_dict")
# where each text of a row begins, where the last ends, and the longest's length; the number of each token's text
PACKED = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx")
_CHECKPOINTING = {
    "use_reentrant", "preserve_rng_state", "context_fn", "determinism_check", "debug", "early_stop",
}  # fmt: skip


class PreTrainedModel(Optimizable, Adapted, Masks):
    """Base of all models.

    A family's base class sets `config_class` and `base_model_prefix` (the attribute under which its models with heads
    hold the base model), and, where they apply:
    SIGNATURE: the arguments of its models in their order; "labels" stands for the TARGETS of a model with a head.
        KEYWORDS: further ones, which are given by name alone.
    WORDS: the name of the table of word embeddings in the base model.
    BUFFERS: endings of names of what is computed here: files may hold it or lack it.
    KEPT_FLOAT32: parts of names of parameters that stay in float32 where the others are loaded in float16.
    TIED: {name: name of the parameter that it shares}, when the configuration ties word embeddings.
    OPTIONAL: parts of the base model that checkpoints may lack: what their names begin with, or a module's name.
    RENAMES: {a foreign checkpoint's name, already in torch's form: this family's name}, for names that a model lacks.
    """

    base_model_prefix: ClassVar[str] = ""
    main_input_name: ClassVar[str] = "input_ids"
    supports_gradient_checkpointing: ClassVar[bool] = True
    SIGNATURE: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "inputs_embeds", "labels", *OPTIONS)
    TARGETS: ClassVar[tuple[str, ...]] = ()
    KEYWORDS: ClassVar[tuple[str, ...]] = ()
    WORDS: ClassVar[str] = "embeddings.word_embeddings"
    BUFFERS: ClassVar[tuple[str, ...]] = ("position_ids",)
    KEPT_FLOAT32: ClassVar[tuple[str, ...]] = ()
    TIED: ClassVar[dict[str, str]] = {}
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    num_labels: Any

    def __init__(self, config: PretrainedConfig, *_: Any, **__: Any) -> None:
        super().__init__()
        if not isinstance(config, PretrainedConfig):
            raise ArgumentError(
                f"{type(self).__name__}(…) takes a {self.config_class.__name__}, got {type(config).__name__}. "
                f"To load weights: {type(self).__name__}.from_pretrained(name or folder)."
            )
        config.check()
        self.config = config
        self.name_or_path = config.name_or_path  # where it was loaded from; PEFT reads it from the attributes
        self.set_attn_implementation(config._attn_implementation)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give `forward` the signature of the class, for `help`, and for trainers that inspect it."""
        super().__init_subclass__(**kwargs)
        if cls.forward is not PreTrainedModel.forward and not hasattr(cls.forward, "__signature__"):
            return  # a class with a forward of its own

        def forward(self: PreTrainedModel, *args: Any, **kwargs: Any) -> Any:
            return self.compute(self._bound(args, kwargs))

        kind, by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
        names = [inspect.Parameter(name, kind, default=None) for name in cls.arguments()]
        names += [inspect.Parameter(name, by_name, default=None) for name in cls.KEYWORDS]
        forward.__signature__ = inspect.Signature([inspect.Parameter("self", kind), *names])  # type: ignore[attr-defined]
        forward.__doc__ = cls.compute.__doc__
        cls.forward = forward  # type: ignore[method-assign]

    @classmethod
    def arguments(cls) -> tuple[str, ...]:
        """The names of all arguments of `forward`, in order."""
        return tuple(n for name in cls.SIGNATURE for n in (cls.TARGETS if name == "labels" else (name,)))

    @classmethod
    def inputs(cls) -> tuple[str, ...]:
        """The names of what the model reads: its arguments, but for labels and options."""
        return tuple(name for name in cls.SIGNATURE if name not in ("labels", *OPTIONS))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What a class without one computes: `compute` of the arguments by their names."""
        return self.compute(self._bound(args, kwargs))

    def compute(self, inputs: dict[str, Any]) -> Any:
        """The output of the model, from its arguments by their names."""
        raise NotImplementedError(f"{type(self).__name__} has no forward of its own.")

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        names = self.arguments()
        if len(args) > len(names):
            raise ArgumentError(f"{type(self).__name__} takes {len(names)} arguments, got {len(args)} by position.")
        given = dict(zip(names, args, strict=False))
        if twice := given.keys() & kwargs.keys():
            raise ArgumentError(f"{type(self).__name__} got {min(twice)} twice, by position and by name.")
        return given | kwargs

    def post_init(self) -> None:
        """To be called at the end of a model's `__init__`: weights drawn, heads pruned, weights tied."""
        self._draw()
        if self.base_model is self and self.config.pruned_heads:
            self.config.pruned_heads = self._prune(self.config.pruned_heads)
        self.tie_weights()
        if getattr(self.config, "gradient_checkpointing", False):  # a key of 4.x, of this model and not of its files
            self.gradient_checkpointing_enable()
            del self.config.gradient_checkpointing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], Mapping):
            raise NotTensorError(
                f"{type(self).__name__} was given a {type(args[0]).__name__}; unpack it: model(**encoding)."
            )
        names = None if torch.compiler.is_compiling() else _forward_names(type(self))  # type: ignore[arg-type]
        if names is not None and (unknown := kwargs.keys() - names - {"layout", "memory"}):
            name = sorted(unknown)[0]
            hint = near(name, names)
            if name == "token_type_ids":
                hint = " This model has no token types: call the tokenizer with return_token_type_ids=False."
            elif name in PACKED:
                hint = " Here texts of one row would see each other: DataCollatorWithPadding gives each its own row."
            raise ArgumentError(
                f"{type(self).__name__} takes no argument {name!r}.{hint} It takes {', '.join(sorted(names))}."
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
        for part in (getattr(self.config, name, None) for name in self.config.sub_configs):
            if isinstance(part, PretrainedConfig):
                part._attn_implementation = attn_implementation
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

    @property
    def transformer_backbone_name(self) -> str:
        """The attribute that holds the model without its head: where PEFT puts prefixes."""
        return self.base_model_prefix

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of word embeddings."""
        return self.base_model.get_submodule(self.base_model.WORDS)  # type: ignore[return-value]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of word embeddings."""
        self.base_model.set_submodule(self.base_model.WORDS, value)

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
        elif isinstance(module, nn.LayerNorm) and module.weight is not None:
            nn.init.ones_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def _std(self) -> float:
        return getattr(self.config, "initializer_range", 0.02)  # a user's configuration need not have it

    def init_weights(self) -> None:
        """Draw all weights anew but those that were loaded, and tie them.

        `model.apply(model._init_weights)` draws the loaded ones too.
        """
        self._draw()
        self.tie_weights()

    def _draw(self) -> None:
        if not any(p.is_meta for p in self.parameters()):
            self.apply(lambda module: None if loaded(module) else self._init_weights(module))

    def tie_weights(self, **_: Any) -> None:
        """Make the parameters that TIED names share one tensor; biases always, weights if the configuration says so."""
        always = self.config.tie_word_embeddings
        tied = {name: owner for name, owner in self.TIED.items() if always or name.endswith(".bias")}
        modules = modules_of(self) if tied else {}
        for name, owner in tied.items():
            put(modules, [owner, name], self.get_parameter(owner))

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """Change the vocabulary's size V; old rows are kept. Returns the embedding table.

        New rows are near the mean of the old ones, which changes what other tokens predict least (Hewitt 2021,
        https://nlp.stanford.edu/~johnhew/vocab-expansion.html); with `mean_resizing` False they are drawn as all
        weights are.
        """
        old = self.get_input_embeddings()
        new = old.num_embeddings if new_num_tokens is None else int(new_num_tokens)
        if pad_to_multiple_of:
            new = -(-new // pad_to_multiple_of) * pad_to_multiple_of
        if new < 1:
            raise InputError(f"resize_token_embeddings({new}): a vocabulary needs at least one token.")
        if new != old.num_embeddings:
            table, output, size = old, self.get_output_embeddings(), old.num_embeddings
            modules, std = modules_of(self), None if mean_resizing else self._std()
            for names in tied_names(self):
                owner = modules[names[0].rpartition(".")[0]]
                if owner in (table, output) or names[0] in self.TIED.values():
                    put(modules, names, resized(self.get_parameter(names[0]), size, new, std))
            table.num_embeddings = new
            if table.padding_idx is not None and table.padding_idx >= new:
                table.padding_idx = None
            if isinstance(output, nn.Linear):
                output.out_features = new
            self.config.vocab_size = new
        return self.get_input_embeddings()

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        """Remove attention heads: {layer: heads}; layer -1 is the last.

        Source: Michel et al. 2019 (arXiv 1905.10650).
        """
        known, wanted = self.config.pruned_heads, self.base_model._prune(heads_to_prune)
        self.config.pruned_heads = {k: sorted({*known.get(k, ()), *wanted.get(k, ())}) for k in {*known, *wanted}}

    def _prune(self, heads: Mapping[int, Iterable[int]]) -> dict[int, list[int]]:
        """Prune, and give back what: by the layers' numbers from 0, as the configuration keeps it."""
        attentions = self._attentions()
        count, wanted = len(attentions), dict[int, set[int]]()
        for layer, chosen in ((int(layer), chosen) for layer, chosen in heads.items()):
            if not -count <= layer < count:
                raise InputError(f"layer {layer} has no heads to prune: there are layers 0 to {count - 1}.")
            wanted.setdefault(layer % count, set()).update(chosen)
        for layer, going in wanted.items():
            attentions[layer].prune_heads(sorted(going))
        return {layer: sorted(going) for layer, going in wanted.items()}

    def _attentions(self) -> list[Any]:
        """The attention module of each layer, with its `prune_heads`."""
        raise InputError(f"{type(self).__name__} has no heads that can be pruned.")

    # ---- training

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether layers are computed again in the backward pass instead of kept."""
        return any(getattr(m, "gradient_checkpointing", False) for m in self.modules())

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: Mapping[str, Any] | None = None,
        *,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Compute layers again in the backward pass: less memory, more time.

        The keywords are the reference's. They change what it costs there and nothing here: every layer is computed
        again, from what stays on its device. Source: Chen et al. 2016 (arXiv 1604.06174).
        """
        if unknown := sorted(set(gradient_checkpointing_kwargs or ()) - _CHECKPOINTING):
            raise ArgumentError(
                f"gradient_checkpointing_kwargs: {unknown[0]!r} is no keyword of torch.utils.checkpoint.checkpoint."
                f"{near(unknown[0], _CHECKPOINTING)}"
            )
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

    def layout(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        keep_padding: bool = False,
        reads_first: bool = True,
        cache: Cache | None = None,
        pieces: Tensor | None = None,
    ) -> Layout:
        """The layout of a batch, its inputs checked.

        reads_first: whether somebody reads column 0, so that padding on the left has to be kept.
        pieces: (B, T) where rows hold several texts, which of them each column is of.
        cache: what earlier passes left, in whose columns the mask begins.
        Hooks, and modules of other people's, see the (B, T, D) that they were written for: padding is kept for them.
        """
        batch, columns = batch_shape(type(self).__name__, input_ids, inputs_embeds)
        width = getattr(self.get_input_embeddings(), "embedding_dim", None)
        if inputs_embeds is not None and inputs_embeds.shape[2] != width is not None:
            raise InputError(f"inputs_embeds has width {inputs_embeds.shape[2]}, but the word embeddings have {width}.")
        if pieces is not None:
            return Layout.of_pieces(pieces, keep_padding or keeps_padding(self.modules(), self))
        past, before, mask = None, 0 if cache is None else cache.columns, None
        if attention_mask is not None:
            mask = read_mask(attention_mask, batch, columns, before)
        if cache is not None:
            past = cache.begin(batch)
            if mask is not None and mask.dim() == 2:
                cache.check(mask)
                mask = mask[:, before:] if before else mask
        place: dict[str, Any] = {"past": past, "before": before, "device": self.device}
        layout = Layout.of(mask, batch, columns, keep_padding, reads_first, **place)
        if layout.index is not None and keeps_padding(self.modules(), self):
            return Layout.of(mask, batch, columns, keep_padding=True, **place)
        return layout

    def layout_of_inputs(
        self,
        inputs: dict[str, Any],
        keep_padding: bool = False,
        reads_first: bool = True,
        cache: Cache | None = None,
    ) -> Layout:
        """The layout of the batch that a call's inputs are, checked; keywords as those of `layout`."""
        return self.layout(
            inputs.get("input_ids"),
            inputs.get("attention_mask"),
            inputs.get("inputs_embeds"),
            *(keep_padding, reads_first, cache, self.pieces(inputs, cache)),
        )

    def pieces(self, inputs: dict[str, Any], cache: Cache | None) -> Tensor | None:
        """Of each column which text of its row it is, (B, T), where the inputs of a call say that rows hold several."""
        return None

    def take_cache(self, inputs: dict[str, Any]) -> Cache | None:
        """The cache of a call, in models that take one: what was given for it, or, of decoders, one that `use_cache`
        asks for, is put among the inputs in its place."""
        given, wanted = inputs.get("past_key_values"), inputs.pop("use_cache", None)
        if not {"past_key_values", "use_cache"} & {*self.SIGNATURE}:
            return None
        wanted = self.causal() and (self.config.use_cache if wanted is None else wanted)
        if given is None and (not wanted or (self.training and self.is_gradient_checkpointing)):
            return None
        mask = inputs.get("attention_mask")
        known = isinstance(mask, Tensor) and mask.dim() == 2
        cache = DynamicCache() if given is None else Cache.of(given, mask.bool() if known else None)  # type: ignore[union-attr]
        inputs["past_key_values"] = cache
        return cache

    def options(self, **given: bool | None) -> dict[str, bool]:
        """What a call asks for, and where it does not say, what the configuration does."""
        return {name: getattr(self.config, name) if value is None else value for name, value in given.items()}

    def returned(self, output: ModelOutput, return_dict: bool | None) -> ModelOutput | tuple[Any, ...]:
        """The output itself, or its tuple, as the call or else the configuration asks."""
        named = self.config.use_return_dict if return_dict is None else return_dict
        if named:
            return output
        found = output.to_tuple()
        if not self.config.torchscript:
            return found
        return tuple(x.to_legacy_cache() if isinstance(x, Cache) else x for x in found)  # all that torch.jit traces


@cache
def _forward_names(cls: Any) -> frozenset[str] | None:
    """Names that a model's `forward` takes; None when it takes any."""
    parameters = inspect.signature(cls.forward).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters) - {"self"}
