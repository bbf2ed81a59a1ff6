"""ModelOutput and the output of each task.

An output is a tuple, a dictionary and an object at once: `out[0]`, `out["logits"]`, `out.logits`. Fields that are None
are there as attributes but not as items. Field order is the reference's, since users index by number.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from .errors import ArgumentError

if TYPE_CHECKING:
    from torch import Tensor


def _pairs(first: Any) -> dict[str, Any] | None:
    """The fields in a mapping, or in a list or another series of (name, value); None for what is none of these."""
    if isinstance(first, Mapping):
        return dict(first)
    if not isinstance(first, (Iterator, list, tuple)):
        return None
    pairs = list(first)
    fits = [isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs]
    if not isinstance(first, Iterator) and not (fits and fits[0]):
        return None  # the field's own value: a tuple of tensors
    if not all(fits):
        place = fits.index(False)
        raise ArgumentError(
            f"an output is made of pairs (name, value), and number {place} is {str(pairs[place])[:80]!r}."
        )
    return dict(pairs)


class ModelOutput(OrderedDict[str, Any]):
    """Base of all outputs; subclasses are dataclasses whose fields default to None."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # transforms that walk containers (DataParallel, vmap, compile) must see through an output
        import torch.utils._pytree as pytree

        pytree.register_pytree_node(
            cls,
            lambda out: (list(out.values()), list(out.keys())),
            lambda values, keys: cls(**dict(zip(keys, values, strict=True))),
            serialized_type_name=f"{cls.__module__}.{cls.__name__}",
        )

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        values = {name: getattr(self, name) for name in names}
        pairs = _pairs(values[names[0]])  # DataParallel gathers an output as a dict, from pairs
        if pairs is not None and all(values[name] is None for name in names[1:]):
            values = dict.fromkeys(names) | pairs
            super().clear()  # of the pairs
        for name, value in values.items():
            super().__setattr__(name, value)
            if value is not None:
                super().__setitem__(name, value)

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        super().__setattr__(key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not None and name in getattr(type(self), "__dataclass_fields__", ()):
            super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def _no_removal(self, *_: Any, **__: Any) -> Any:
        raise ArgumentError(f"the fields of a {type(self).__name__} are fixed; make a dict of it first: dict(output)")

    __delitem__ = setdefault = pop = update = _no_removal

    def __reduce__(self) -> Any:
        return type(self)._from_fields, ({f.name: getattr(self, f.name) for f in fields(self)},)  # type: ignore[arg-type]

    @classmethod
    def _from_fields(cls, values: dict[str, Any]) -> ModelOutput:
        return cls(**values)

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are not None, in order."""
        return tuple(self.values())


@dataclass
class BaseModelOutput(ModelOutput):
    """`last_hidden_state` (B, T, D); `hidden_states` one (B, T, D) per layer and one for the embeddings;
    `attentions` one (B, H, T, T) per layer, after softmax."""

    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class BaseModelOutputWithCrossAttentions(ModelOutput):
    """As BaseModelOutput, with the weights of attention to an encoder's K rows, (B, H, T, K) per layer."""

    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass
class BaseModelOutputWithPast(ModelOutput):
    """As BaseModelOutput, with the cache of keys and values: see cache.py."""

    last_hidden_state: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class MoeModelOutputWithPast(ModelOutput):
    """As BaseModelOutputWithPast; `router_logits` one (B · T, E) for each layer that chooses among E experts."""

    last_hidden_state: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    router_logits: tuple[Tensor, ...] | None = None


@dataclass
class BaseModelOutputWithPooling(ModelOutput):
    """`pooler_output` (B, D): the first column's last hidden state through a dense layer and tanh."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class BaseModelOutputWithPastAndCrossAttentions(ModelOutput):
    """The last hidden states (B, T, D)."""

    last_hidden_state: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass
class BaseModelOutputWithPoolingAndCrossAttentions(ModelOutput):
    """As BaseModelOutputWithPooling, with what only decoders fill."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    past_key_values: Any = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass
class MaskedLMOutput(ModelOutput):
    """`logits` (B, T, V); `loss` over the positions whose label is not -100."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class CausalLMOutputWithPast(ModelOutput):
    """`logits` (B, T, V): at each column the scores of the next token; the cache of keys and values."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class MultimodalModelOutputWithPast(ModelOutput):
    """As BaseModelOutputWithPast; `image_hidden_states` (rows, D): the rows of pictures among the words."""

    last_hidden_state: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    image_hidden_states: Tensor | None = None


@dataclass
class MultimodalCausalLMOutputWithPast(ModelOutput):
    """As CausalLMOutputWithPast; `image_hidden_states` (rows, D): the rows of pictures among the words."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    image_hidden_states: Tensor | None = None


@dataclass
class MoeCausalLMOutputWithPast(ModelOutput):
    """As CausalLMOutputWithPast; `aux_loss`, above 1 where experts are chosen unevenly, is a part of `loss`."""

    loss: Tensor | None = None
    aux_loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    router_logits: tuple[Tensor, ...] | None = None


@dataclass
class CausalLMOutputWithCrossAttentions(ModelOutput):
    """`logits` (B, T, V): at each column the scores of the next token."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass
class Seq2SeqModelOutput(ModelOutput):
    """`last_hidden_state` (B, T, D) of the decoder; hidden states and attentions of both parts, and the encoder's last
    (B, S, D)."""

    last_hidden_state: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None


@dataclass
class Seq2SeqLMOutput(ModelOutput):
    """`logits` (B, T, V) of the decoder: at each column the scores of the token that comes there."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None


@dataclass
class Seq2SeqSequenceClassifierOutput(ModelOutput):
    """`logits` (B, C), read where the decoder has the end of the text."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None


@dataclass
class Seq2SeqQuestionAnsweringModelOutput(ModelOutput):
    """`start_logits` and `end_logits` (B, T) of the decoder's columns."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None


@dataclass
class GPT2DoubleHeadsModelOutput(ModelOutput):
    """`logits` (B, C, T, V) of the tokens of C choices; `mc_logits` (B, C) of the choices."""

    loss: Tensor | None = None
    mc_loss: Tensor | None = None
    logits: Tensor | None = None
    mc_logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class BertForPreTrainingOutput(ModelOutput):
    """`prediction_logits` (B, T, V); `seq_relationship_logits` (B, 2)."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    seq_relationship_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class ElectraForPreTrainingOutput(ModelOutput):
    """`logits` (B, T): above 0 where a token was replaced."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class NextSentencePredictorOutput(ModelOutput):
    """`logits` (B, 2): column 0 says that the second text follows the first."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class SequenceClassifierOutput(ModelOutput):
    """`logits` (B, C) for C labels."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class SequenceClassifierOutputWithPast(ModelOutput):
    """`logits` (B, C) for C labels, read at each text's last token."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class TokenClassifierOutput(ModelOutput):
    """`logits` (B, T, C) for C labels."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class MultipleChoiceModelOutput(ModelOutput):
    """`logits` (B, C) for C choices."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class QuestionAnsweringModelOutput(ModelOutput):
    """`start_logits` and `end_logits` (B, T)."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class TableQuestionAnsweringOutput(ModelOutput):
    """`logits` (B, T), each token's of being in the answer; `logits_aggregation` (B, A) for A aggregations."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    logits_aggregation: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class ImageClassifierOutput(ModelOutput):
    """`logits` (B, C) of B pictures, before softmax."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class MaskedImageModelingOutput(ModelOutput):
    """`reconstruction` (B, C, H, W): the pictures with their hidden patches painted; `logits` is its older name."""

    loss: Tensor | None = None
    reconstruction: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None

    @property
    def logits(self) -> Tensor | None:
        """`reconstruction`, as it was called up to Transformers 4.26."""
        return self.reconstruction


@dataclass
class CLIPVisionModelOutput(ModelOutput):
    """`image_embeds` (B, E): pictures in the space that texts share; `last_hidden_state` (B, T, D)."""

    image_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class CLIPTextModelOutput(ModelOutput):
    """`text_embeds` (B, E): texts in the space that pictures share; `last_hidden_state` (B, T, D)."""

    text_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class CLIPOutput(ModelOutput):
    """`logits_per_image` (I, B) of I pictures and B texts, and the same the other way round; both sides' vectors
    (B, E) and (I, E) of length 1, and what each tower returned."""

    loss: Tensor | None = None
    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None
    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None
    text_model_output: Any = None
    vision_model_output: Any = None

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are not None, in order; outputs among them as tuples too."""
        return tuple(v.to_tuple() if isinstance(v, ModelOutput) else v for v in self.values())


@dataclass
class BackboneOutput(ModelOutput):
    """`feature_maps`, one (B, D, H, W) for each stage that the configuration's `out_features` names; `hidden_states` of
    all layers, and `attentions`, where they are asked for."""

    feature_maps: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class BaseModelOutputWithNoAttention(ModelOutput):
    """`last_hidden_state` (B, D, H, W), of the last stage; `hidden_states`: one map for the stem and each stage."""

    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class BaseModelOutputWithPoolingAndNoAttention(ModelOutput):
    """As BaseModelOutputWithNoAttention, with `pooler_output`, (B, D) or (B, D, 1, 1): the mean of the last map."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class ImageClassifierOutputWithNoAttention(ModelOutput):
    """`logits` (B, C) of B pictures, before softmax."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class SemanticSegmenterOutput(ModelOutput):
    """`logits` (B, C, H, W) of places in B pictures, which may be fewer than there are pixels."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class CausalLMOutput(ModelOutput):
    """`logits` (B, T, V): of each column the scores of the tokens, before softmax."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class Wav2Vec2BaseModelOutput(ModelOutput):
    """As BaseModelOutput; `extract_features` (B, T, C): what the convolutions hear, normalised."""

    last_hidden_state: Tensor | None = None
    extract_features: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class Wav2Vec2ForPreTrainingOutput(ModelOutput):
    """`projected_states` and `projected_quantized_states` (B, T, E): what the model says of each frame, and which entry
    of the codebook the frame is; `codevector_perplexity`: how many entries are in use. `loss` is the sum of both."""

    loss: Tensor | None = None
    projected_states: Tensor | None = None
    projected_quantized_states: Tensor | None = None
    codevector_perplexity: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    contrastive_loss: Tensor | None = None
    diversity_loss: Tensor | None = None


@dataclass
class XVectorOutput(ModelOutput):
    """`embeddings` (B, E), a vector of each speaker's voice, and `logits` (B, E) made from it."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    embeddings: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
