"""XLM-RoBERTa: RoBERTa on 100 languages, with SentencePiece tokens.

Source: Conneau et al. 2020 (arXiv 1911.02116); fairseq.
"""

from __future__ import annotations

from ..tokenization import ROBERTA_FRAME, SentencePieceModel, SentencePieceTokenizer
from . import roberta


class XLMRobertaConfig(roberta.RobertaConfig):
    """Defaults are those of RoBERTa, with the size of BERT's vocabulary; xlm-roberta-base has 250,002 tokens."""

    model_type = "xlm-roberta"

    vocab_size: int = 30522


class XLMRobertaTokenizer(roberta.FewerPositions, SentencePieceTokenizer):
    """SentencePiece with RoBERTa's special tokens: <s> A </s>, or <s> A </s></s> B </s>."""

    FRAME = ROBERTA_FRAME  # <s> A </s>, or <s> A </s></s> B </s>
    TOKENS = roberta.TOKENS
    vocab_files_names = {"vocab_file": "sentencepiece.bpe.model", "tokenizer_file": "tokenizer.json"}

    def numbered(self, file: SentencePieceModel, special: dict[str, str]) -> tuple[list[tuple[str, float]], int]:
        """The ids of fairseq: special tokens of its own for the file's first three pieces, and the mask at the end."""
        first = [(special[name], 0.0) for name in ("bos_token", "pad_token", "eos_token", "unk_token")]
        return [*first, *file.pieces[3:], (special["mask_token"], 0.0)], 3


XLMRobertaTokenizerFast = XLMRobertaTokenizer


class XLMRobertaPreTrainedModel(roberta.RobertaPreTrainedModel):
    """What XLM-RoBERTa's models share."""

    config_class = XLMRobertaConfig

    def make_body(self, config: roberta.RobertaConfig, pooling: bool) -> roberta.RobertaModel:
        """The encoder under a head."""
        return XLMRobertaModel(config, add_pooling_layer=pooling)


class XLMRobertaModel(XLMRobertaPreTrainedModel, roberta.RobertaModel):
    """The encoder: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D)."""


class XLMRobertaForMaskedLM(XLMRobertaPreTrainedModel, roberta.RobertaForMaskedLM):
    pass


class XLMRobertaForCausalLM(XLMRobertaPreTrainedModel, roberta.RobertaForCausalLM):
    pass


class XLMRobertaForSequenceClassification(XLMRobertaPreTrainedModel, roberta.RobertaForSequenceClassification):
    pass


class XLMRobertaForMultipleChoice(XLMRobertaPreTrainedModel, roberta.RobertaForMultipleChoice):
    pass


class XLMRobertaForTokenClassification(XLMRobertaPreTrainedModel, roberta.RobertaForTokenClassification):
    pass


class XLMRobertaForQuestionAnswering(XLMRobertaPreTrainedModel, roberta.RobertaForQuestionAnswering):
    pass


MODEL_TYPES = {"xlm-roberta": XLMRobertaConfig}
TOKENIZER = XLMRobertaTokenizer
HEADS = {
    "base": XLMRobertaModel,
    "pretraining": XLMRobertaForMaskedLM,
    "masked-lm": XLMRobertaForMaskedLM,
    "causal-lm": XLMRobertaForCausalLM,
    "sequence-classification": XLMRobertaForSequenceClassification,
    "token-classification": XLMRobertaForTokenClassification,
    "question-answering": XLMRobertaForQuestionAnswering,
    "multiple-choice": XLMRobertaForMultipleChoice,
}
TINY = roberta.TINY
