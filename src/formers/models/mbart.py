"""mBART and mBART-50: BART with norms before its parts and at its end, for many languages.

Source: Liu et al. 2020 (arXiv 2001.08210), Tang et al. 2020 (arXiv 2008.00401).
Letters: B batch, T columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..modeling import PreTrainedModel
from ..tokenization import MultilingualTokenizer, SentencePieceModel, SentencePieceTokenizer
from . import bart, roberta


class MBartConfig(bart.BartConfig):
    """Defaults are those of mbart-large-cc25, but for scale_embedding (True there)."""

    model_type = "mbart"
    LABELS = 2

    decoder_start_token_id: int | None = None


def numbered(
    file: SentencePieceModel, special: dict[str, str], codes: Iterable[str]
) -> tuple[list[tuple[str, float]], int]:
    """The ids of fairseq: special tokens of its own for the file's first three; at the end languages and the mask."""
    first, last = ("cls_token", "pad_token", "eos_token", "unk_token"), (*codes, special["mask_token"])
    return [*((special[name], 0.0) for name in first), *file.pieces[3:], *((code, 0.0) for code in last)], 3


LANGUAGES = (  # noqa: SIM905  a list of strings is no easier to read
    "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP "
    "nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN"
).split()
LATER = (  # noqa: SIM905  a list of strings is no easier to read
    "af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE "
    "ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI"
).split()


class MBartTokenizer(MultilingualTokenizer, SentencePieceTokenizer):
    """SentencePiece, with the end and the language after each text: A </s> en_XX."""

    CODES, LANGUAGE, FIRST = tuple(LANGUAGES), "en_XX", False
    TOKENS = roberta.TOKENS
    vocab_files_names = {"vocab_file": "sentencepiece.bpe.model", "tokenizer_file": "tokenizer.json"}
    _options = (*SentencePieceTokenizer._options, "src_lang", "tgt_lang")

    def numbered(self, file: SentencePieceModel, special: dict[str, str]) -> tuple[list[tuple[str, float]], int]:
        """See the function of this name."""
        return numbered(file, special, self.CODES)

    def frame(self) -> Any:
        return self.around(self.src_lang)


class MBart50Tokenizer(MBartTokenizer):
    """SentencePiece, with the language before each text and the end after it: en_XX A </s>."""

    CODES, FIRST, WHITESPACE = (*LANGUAGES, *LATER), True, False
    TOKENS = {name: token for name, token in roberta.TOKENS.items() if name != "bos_token"}


MBartTokenizerFast = MBartTokenizer
MBart50TokenizerFast = MBart50Tokenizer


def shift_tokens_right(input_ids: Tensor, pad_token_id: int | None) -> Tensor:
    """Labels (B, T), with their last token, the language, first and without their last column: what the decoder reads.

    Errors: InputError without a `pad_token_id`.
    """
    if pad_token_id is None:
        raise InputError("pad_token_id is None in the configuration, by which a text's last token is found.")
    ids = input_ids.masked_fill(input_ids == -100, pad_token_id)
    last = (ids != pad_token_id).sum(1, keepdim=True) - 1  # (B, 1)
    return torch.cat([ids.gather(1, last.clamp(min=0)), ids[:, :-1]], dim=1)


class MBartPreTrainedModel(bart.BartPreTrainedModel):
    """What mBART's models share."""

    config_class = MBartConfig

    def make_body(self, config: Any, pooling: bool = False) -> PreTrainedModel:
        """The model under a head."""
        return MBartModel(config)

    def _shift_right(self, input_ids: Tensor) -> Tensor:
        """What the decoder reads to write `input_ids` (B, T): the last of each text, its language, comes first."""
        return shift_tokens_right(input_ids, self.config.pad_token_id)


class MBartEncoderLayer(bart.BartEncoderLayer):
    PRE = True


class MBartDecoderLayer(bart.BartDecoderLayer):
    PRE = True


class MBartEncoder(MBartPreTrainedModel, bart.BartEncoder):
    LAYER, NORM_LAST = MBartEncoderLayer, True


class MBartDecoder(MBartPreTrainedModel, bart.BartDecoder):
    LAYER, NORM_LAST = MBartDecoderLayer, True


class MBartModel(MBartPreTrainedModel, bart.BartModel):
    """The model without a head."""

    PARTS = (MBartEncoder, MBartDecoder)


class MBartForConditionalGeneration(MBartPreTrainedModel, bart.BartForConditionalGeneration):
    """Writes a text from another."""


class MBartForSequenceClassification(MBartPreTrainedModel, bart.BartForSequenceClassification):
    """Labels a text where the decoder, which reads it again, has its end."""


class MBartForQuestionAnswering(MBartPreTrainedModel, bart.BartForQuestionAnswering):
    """Finds the answer's span in the decoder's columns."""


class MBartDecoderWrapper(MBartPreTrainedModel, bart.Wrapper):
    """What MBartForCausalLM holds."""

    WORDS, DECODER = bart.Wrapper.WORDS, MBartDecoder


class MBartForCausalLM(MBartPreTrainedModel, bart.BartForCausalLM):
    """Predicts the next token: the decoder alone."""

    WRAPPER, make_body = MBartDecoderWrapper, bart.BartForCausalLM.make_body


MODEL_TYPES = {"mbart": MBartConfig}
TOKENIZER = MBartTokenizer
HEADS = {
    "base": MBartModel,
    "causal-lm": MBartForCausalLM,
    "seq2seq-lm": MBartForConditionalGeneration,
    "sequence-classification": MBartForSequenceClassification,
    "question-answering": MBartForQuestionAnswering,
}
TINY = {**bart.TINY, "scale_embedding": True, "decoder_start_token_id": 5}
