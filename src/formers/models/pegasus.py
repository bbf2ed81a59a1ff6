"""PEGASUS: BART with fixed positions, and norms before its parts and at its end.

Source: Zhang et al. 2019 (arXiv 1912.08777), https://github.com/google-research/pegasus
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..modeling import PreTrainedModel
from ..tokenization import SentencePieceModel, SentencePieceTokenizer
from . import bart, marian, mbart


class PegasusConfig(mbart.MBartConfig):
    """Defaults are those of the reference."""

    model_type = "pegasus"

    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 1
    decoder_start_token_id: int | None = 0
    forced_eos_token_id: int | list[int] | None = 1


class PegasusTokenizer(SentencePieceTokenizer):
    """SentencePiece, with the end after each text: A </s>, or A B </s>.

    offset: how many ids come before those of the file's pieces, of tokens that pre-training alone has.
    """

    FRAME = ("$A:0 eos:0", "$A:0 $B:0 eos:0")
    TOKENS: ClassVar[dict[str, str]] = {
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask_2>",
    }
    WHITESPACE = False
    _options = (*SentencePieceTokenizer._options, "offset", "mask_token_sent")

    def __init__(self, *args: Any, offset: int = 103, mask_token_sent: str | None = "<mask_1>", **kwargs: Any) -> None:
        self.offset, self.mask_token_sent = offset, mask_token_sent
        own = [*([] if mask_token_sent is None else [mask_token_sent]), *(f"<unk_{i}>" for i in range(2, offset))]
        more = [token for token in kwargs.get("additional_special_tokens") or () if str(token) not in own]
        kwargs["additional_special_tokens"] = own + more
        super().__init__(*args, offset=offset, mask_token_sent=mask_token_sent, **kwargs)

    def numbered(self, file: SentencePieceModel, special: dict[str, str]) -> tuple[list[tuple[str, float]], int]:
        """Padding, the end, masks and unknown ones up to `offset`, then the file's pieces after its first two."""
        masks = [name for name in (self.mask_token_sent, special["mask_token"]) if name is not None]
        first = [special["pad_token"], special["eos_token"], *masks, *(f"<unk_{i}>" for i in range(2, self.offset))]
        unknown = len(first)
        return [*((name, 0.0) for name in first), *file.pieces[2:]], unknown


PegasusTokenizerFast = PegasusTokenizer


shift_tokens_right = bart.shift_tokens_right


class PegasusPreTrainedModel(marian.MarianPreTrainedModel):
    """What PEGASUS' models share."""

    config_class = PegasusConfig

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return PegasusModel(config)


class PegasusEncoder(PegasusPreTrainedModel, marian.MarianEncoder):
    LAYER, NORM_LAST = mbart.MBartEncoderLayer, True


class PegasusDecoder(PegasusPreTrainedModel, marian.MarianDecoder):
    LAYER, NORM_LAST, VOCABULARY = mbart.MBartDecoderLayer, True, "vocab_size"


class PegasusModel(PegasusPreTrainedModel, bart.Both):
    """The model without a head."""

    PARTS = (PegasusEncoder, PegasusDecoder)


class PegasusForConditionalGeneration(PegasusPreTrainedModel, bart.BartForConditionalGeneration):
    """Writes a summary of a text."""


class PegasusDecoderWrapper(PegasusPreTrainedModel, bart.Wrapper):
    """What PegasusForCausalLM holds."""

    WORDS, DECODER = bart.Wrapper.WORDS, PegasusDecoder


class PegasusForCausalLM(PegasusPreTrainedModel, bart.BartForCausalLM):
    """Predicts the next token: the decoder alone."""

    WRAPPER, make_body = PegasusDecoderWrapper, bart.BartForCausalLM.make_body


MODEL_TYPES = {"pegasus": PegasusConfig}
TOKENIZER = PegasusTokenizer
HEADS = {
    "base": PegasusModel,
    "causal-lm": PegasusForCausalLM,
    "seq2seq-lm": PegasusForConditionalGeneration,
}
TINY = {**bart.TINY, "scale_embedding": True}
