"""What models with an encoder and a decoder share: the rows of one text, which the layers that write another attend to.

    text ─ encoder ─▶ rows ──────────┐ keys and values, once a text and layer
    what is written ─ decoder ─▶ rows ┴▶ …

Both are packed, each in a layout of its own. A decoder's layer makes keys and values of the encoder's rows once; texts
that are written from one, as beams are, attend to them together.
Source: Sutskever et al. 2014 (arXiv 1409.3215), Vaswani et al. 2017 (arXiv 1706.03762).
Letters: B batch, S columns of the encoder, T columns of the decoder, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from . import heads, outputs
from .cache import EncoderDecoderCache
from .errors import InputError
from .generation.source import Source, read_source
from .layers import memory_of
from .modeling import OPTIONS, PreTrainedModel
from .ops import checks
from .ops.layout import Layout

ASKED = ("output_attentions", "output_hidden_states")


def shift_right(ids: Tensor, start: int | None, padding: int | None) -> Tensor:
    """What a decoder reads to predict `ids` (B, T): the start token, then ids but the last; -100 becomes padding."""
    if start is None:
        raise InputError("decoder_start_token_id is None in the configuration; labels need one to begin with.")
    shifted = torch.cat([ids.new_full((len(ids), 1), start), ids[:, :-1]], dim=1)
    if not bool((shifted == -100).any()):
        return shifted
    if padding is None:
        raise InputError("labels have -100, and the configuration no pad_token_id to read in its place.")
    return shifted.masked_fill(shifted == -100, padding)


class Seq2SeqPreTrainedModel(PreTrainedModel):
    """What models with and without a head share.

    READ: what the encoder reads of a call, beside the mask. WRITTEN: what the decoder reads, by a call's names.
    OF_ENCODER: what the encoder returns beside its last hidden state. ENCODED, WHOLE: the classes of what it returns,
    and of what the model without a head does.
    """

    OF_ENCODER: ClassVar[tuple[str, ...]] = ("hidden_states", "attentions")
    ENCODED: ClassVar[Any] = outputs.BaseModelOutput
    WHOLE: ClassVar[Any] = outputs.Seq2SeqModelOutput

    READ: ClassVar[tuple[str, ...]] = ("input_ids", "inputs_embeds", "head_mask")
    WRITTEN: ClassVar[dict[str, str]] = {
        "decoder_input_ids": "input_ids",
        "decoder_inputs_embeds": "inputs_embeds",
        "decoder_attention_mask": "attention_mask",
        "decoder_head_mask": "head_mask",
        "cross_attn_head_mask": "cross_attn_head_mask",
        "past_key_values": "past_key_values",
        "use_cache": "use_cache",
    }
    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask", "encoder_outputs"),
        *("past_key_values", "inputs_embeds", "decoder_inputs_embeds", "labels", "use_cache"),
        *OPTIONS,
    )
    # of release 4
    KEYWORDS: ClassVar[tuple[str, ...]] = ("head_mask", "decoder_head_mask", "cross_attn_head_mask", "cache_position")

    def get_encoder(self) -> Any:
        """The part that reads."""
        return self.base_model.encoder

    def get_decoder(self) -> Any:
        """The part that writes."""
        return self.base_model.decoder

    def writer(self) -> Any:
        """The part that writes, without a head of its own."""
        return self.get_decoder()

    def _shift_right(self, input_ids: Tensor) -> Tensor:  # which the reference's own examples call
        return shift_right(input_ids, self.config.decoder_start_token_id, self.config.pad_token_id)

    def whole_batch(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """With what the decoder reads: the same texts, where a batch does not say."""
        made = dict(batch)
        if "decoder_input_ids" not in made and "decoder_inputs_embeds" not in made and "input_ids" in made:
            start, ids = self.config.decoder_start_token_id, made["input_ids"]
            made["decoder_input_ids"] = ids if start is None else self._shift_right(ids)
            made["decoder_attention_mask"] = made.get("attention_mask", torch.ones_like(ids))
        written = made.get("decoder_input_ids")
        if written is not None and "decoder_attention_mask" not in made:
            made["decoder_attention_mask"] = torch.ones_like(written)
        return made

    def states(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The decoder's last hidden states, whether or not there is a head."""
        found: Tensor = self.run({**batch, "return_dict": True}).last_hidden_state
        return found

    def decoder_layout(self, inputs: dict[str, Any], cache: Any, keep_padding: bool = False) -> Layout:
        """Where the rows of the decoder are in its batch."""
        given = (inputs.get(name) for name in ("decoder_input_ids", "decoder_attention_mask", "decoder_inputs_embeds"))
        found: Layout = self.writer().layout(*given, keep_padding=keep_padding, reads_first=False, cache=cache)
        return found

    def take_cache(self, inputs: dict[str, Any]) -> Any:
        """The cache of a call, put among the inputs in the place of what was given for it."""
        own = {"past_key_values": inputs.get("past_key_values"), "use_cache": inputs.pop("use_cache", None)}
        own["attention_mask"] = inputs.get("decoder_attention_mask")
        inputs.pop("cache_position", None)
        fresh = own["past_key_values"] is None
        cache = self.writer().take_cache(own)
        cache = EncoderDecoderCache() if fresh and cache is not None else cache
        inputs["past_key_values"] = cache
        return cache

    def run(self, inputs: dict[str, Any]) -> Any:
        """What the model without a head computes."""
        asked: dict[str, Any] = self.options(**{name: inputs.get(name) for name in ASKED})
        layout = inputs.get("layout")
        if inputs.get("decoder_input_ids") is None and inputs.get("decoder_inputs_embeds") is None:
            inputs["decoder_input_ids"] = self.first_inputs(inputs)
        cache = inputs.get("past_key_values") if layout is not None else self.take_cache(inputs)
        handed = layout is not None
        layout = self.decoder_layout(inputs, cache) if layout is None else layout
        encoded, memory = self.encoded(inputs, asked)
        if inputs.get("memory") is None and memory[1].batch not in (1, layout.batch):
            raise InputError(
                f"{type(self).__name__}: its encoder reads {memory[1].batch} texts and its decoder writes "
                f"{layout.batch}; give both as many."
            )
        own = {name: inputs.get(given) for given, name in self.WRITTEN.items() if given != "use_cache"}
        body = self.writer()(
            **{name: value for name, value in own.items() if value is not None and name != "attention_mask"},
            **asked, layout=layout, memory=memory, return_dict=True,
        )  # fmt: skip
        rows = body.last_hidden_state
        found = self.WHOLE(
            last_hidden_state=rows if handed else layout.unpack(rows),
            past_key_values=cache,
            decoder_hidden_states=body.hidden_states,
            decoder_attentions=body.attentions,
            cross_attentions=body.get("cross_attentions"),
            encoder_last_hidden_state=encoded.last_hidden_state,
            **{f"encoder_{name}": encoded.get(name) for name in self.OF_ENCODER},
        )
        return self.returned(found, inputs.get("return_dict"))

    def first_inputs(self, inputs: dict[str, Any]) -> Tensor:
        """What the decoder reads where a call does not say."""
        raise InputError(
            f"{type(self).__name__} needs decoder_input_ids beside {self.main_input_name}: what the decoder has "
            "written so far, which begins with config.decoder_start_token_id. "
            f"model.generate({self.main_input_name}) of a model with a head writes."
        )

    def encoded(self, inputs: dict[str, Any], asked: dict[str, Any]) -> tuple[Any, tuple[Tensor, Layout]]:
        """What the encoder says, unpacked; and its rows and their layout."""
        given, mask, who = inputs.get("encoder_outputs"), inputs.get("attention_mask"), type(self).__name__
        if given is not None:
            encoded = given if isinstance(given, outputs.ModelOutput) else _named(given)
            handed = inputs.get("memory")
            memory = memory_of(who, encoded[0], mask) if handed is None else handed
            assert memory is not None  # there is a first one
            return encoded, memory
        encoder = self.get_encoder()
        layout = encoder.layout_of_inputs(inputs, reads_first=getattr(encoder, "pooler", None) is not None)
        read = {name: inputs[name] for name in self.READ if inputs.get(name) is not None}
        body = encoder(**read, **asked, layout=layout, return_dict=True)
        rows = body.last_hidden_state
        fields = {name: body.get(name) for name in self.OF_ENCODER}
        return self.ENCODED(layout.unpack(rows), **fields), (rows, layout)


def _named(given: Any) -> outputs.BaseModelOutput:
    if not isinstance(given, (tuple, list)) or not given:
        raise InputError(
            f"encoder_outputs is a {type(given).__name__}; give what the encoder returned, or a tuple whose first is "
            "its last hidden state (batch, columns, width)."
        )
    return outputs.BaseModelOutput(*given[:3])


class Seq2SeqModel(Seq2SeqPreTrainedModel):
    """The model without a head: modules `encoder` and `decoder`, bodies both. The decoder's hidden states (B, T, D)."""

    SIGNATURE = tuple(name for name in Seq2SeqPreTrainedModel.SIGNATURE if name != "labels")

    def compute(self, inputs: dict[str, Any]) -> Any:
        """Encode a batch, and run the decoder over another.

        input_ids, attention_mask: (B, S) of the encoder; decoder_input_ids, decoder_attention_mask: (B, T).
        inputs_embeds (B, S, D), decoder_inputs_embeds (B, T, D): in the place of ids.
        encoder_outputs: what the encoder returned, or a tuple that begins with its last hidden state (B, S, D).
        layout: the decoder's, when a head made it; the last hidden state then stays in its rows.
        """
        return self.run(inputs)


class Seq2SeqHead(Seq2SeqPreTrainedModel, heads.Head):
    """A head over an encoder and a decoder."""

    KEYWORDS = (*heads.Head.KEYWORDS, *Seq2SeqPreTrainedModel.KEYWORDS)

    def layout_of(self, flat: dict[str, Any], inputs: dict[str, Any], targets: dict[str, Any], cache: Any) -> Layout:
        return self.decoder_layout(flat, cache, self.needs_padding(inputs, targets))

    def body(self, inputs: dict[str, Any]) -> Any:
        return self.run(inputs) if self.base_model is self else super().body(inputs)


class Seq2SeqLM(Seq2SeqHead, heads.CausalLM):
    """Writes a text from another. labels (B, T): the tokens to be written, -100 to leave one out, from which
    decoder_input_ids follow; logits (B, T, V): at each column the scores of the token there."""

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.Seq2SeqLMOutput
    KEYWORDS = (*Seq2SeqHead.KEYWORDS, *heads.CausalLM.KEYWORDS[1:])

    def compute(self, inputs: dict[str, Any]) -> Any:
        labels = inputs.get("labels")
        if labels is not None:
            inputs["use_cache"] = False
        if inputs.get("decoder_input_ids") is None and inputs.get("decoder_inputs_embeds") is None:
            base: Any = self.base_model
            made = base.first_inputs(inputs) if labels is None else self.prepare_decoder_input_ids_from_labels(labels)
            inputs["decoder_input_ids"] = made
        return super().compute(inputs)

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """The labels (B, T), shifted one column to the right. Errors: FormersError for another shape, or no tensor."""
        checks.token_labels(labels)
        return self._shift_right(labels)

    def read_source(self, inputs: Any, config: Any, kwargs: dict[str, Any]) -> Source:
        """The text that the encoder reads."""
        return read_source(self, inputs, config, kwargs)

    def inputs_of_pass(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The decoder's inputs by their names."""
        names = {own: given for given, own in self.WRITTEN.items()}
        return {names.get(name, name): value for name, value in inputs.items()}

    def prepare_inputs_for_generation(self, input_ids: Tensor, past_key_values: Any = None, **kwargs: Any) -> Any:
        """As for models that write alone, with `input_ids` the decoder's, of `decoder_attention_mask`; what is said of
        the text that is read stays as it is: `encoder_outputs` and `attention_mask`."""
        own, use_cache = kwargs.pop("decoder_attention_mask", None), kwargs.pop("use_cache", True)
        read = {name: kwargs[name] for name in ("encoder_outputs", "attention_mask", "memory") if name in kwargs}
        written = super().prepare_inputs_for_generation(
            input_ids, past_key_values, attention_mask=own, use_cache=use_cache
        )
        return self.inputs_of_pass(written) | read

    def next_logits(self, inputs: dict[str, Any], layout: Layout, cache: Any, every: bool = False) -> Tensor:
        """The logits (B, V) after the last token of each text of a layout, or with `every` in all rows."""
        body = self.writer()(**inputs, layout=layout, past_key_values=cache, return_dict=True)
        rows = body.last_hidden_state
        return self.compute_logits(rows.flatten(0, -2) if every else layout.last(rows))

    def shifted(self, labels: Tensor | None) -> Tensor | None:
        return labels

    def needs_padding(self, inputs: dict[str, Any], targets: dict[str, Any]) -> bool:
        return super().needs_padding({"attention_mask": inputs.get("decoder_attention_mask")}, targets)

    def causal(self) -> bool:
        return True


class _Reader(Seq2SeqHead):
    """A head over a decoder that reads the encoder's text again."""

    def compute(self, inputs: dict[str, Any]) -> Any:
        if any(inputs.get(name) is not None for name in self.TARGETS):
            inputs["use_cache"] = False
        if inputs.get("decoder_input_ids") is None and inputs.get("decoder_inputs_embeds") is None:
            if inputs.get("input_ids") is None:
                raise InputError(
                    f"{type(self).__name__} needs input_ids, which the decoder reads too; or else decoder_input_ids."
                )
            inputs["decoder_input_ids"] = self._shift_right(inputs["input_ids"])
        return super().compute(inputs)


class EndClassifier(_Reader, heads.SequenceClassification):
    """Labels a text by the decoder's row where the text has its last end, `eos_token_id`. logits (B, C)."""

    SIGNATURE: ClassVar[tuple[str, ...]] = tuple(name for name in Seq2SeqHead.SIGNATURE if name != "past_key_values")

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.Seq2SeqSequenceClassifierOutput

    def logits_of_texts(self, body: Any, layout: Layout, inputs: dict[str, Any]) -> Tensor:
        ids = inputs.get("input_ids")
        if ids is None:
            raise InputError(f"{type(self).__name__} needs input_ids, not vectors: it looks for the end of each text.")
        ends = ids == self.config.eos_token_id
        if len(set(ends.sum(1).tolist())) > 1 or not bool(ends.any()):
            counts = ends.sum(1).tolist()
            raise InputError(
                f"The texts have {counts} tokens of eos_token_id={self.config.eos_token_id}; all need the same number, "
                "at least one: the last is where a text is labelled."
            )
        last = (ends * torch.arange(ids.shape[1], device=ids.device)).argmax(1)
        rows = layout.unpack(body.last_hidden_state)
        return self.compute_logits(rows[torch.arange(len(rows), device=rows.device), last])


class SpanFinder(_Reader, heads.QuestionAnswering):
    """Finds the answer's span in the decoder's columns. start_logits, end_logits (B, T)."""

    SIGNATURE: ClassVar[tuple[str, ...]] = (
        *("input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask", "encoder_outputs", "labels"),
        *("inputs_embeds", "decoder_inputs_embeds", "use_cache"),
        *OPTIONS,
    )

    OUTPUT: ClassVar[type[outputs.ModelOutput]] = outputs.Seq2SeqQuestionAnsweringModelOutput
