"""CamemBERT: RoBERTa for French, with SentencePiece tokens.

Source: Martin et al. 2020 (arXiv 1911.03894); fairseq.
"""

from __future__ import annotations

from ..tokenization import ROBERTA_FRAME, SentencePieceModel, SentencePieceTokenizer
from . import roberta


class CamembertConfig(roberta.RobertaConfig):
    """Defaults are those of RoBERTa, with the size of BERT's vocabulary; camembert-base has 32,005 tokens."""

    model_type = "camembert"

    vocab_size: int = 30522


class CamembertTokenizer(roberta.FewerPositions, SentencePieceTokenizer):
    """SentencePiece with RoBERTa's special tokens: <s> A </s>, or <s> A </s></s> B </s>."""

    FRAME = ROBERTA_FRAME  # <s> A </s>, or <s> A </s></s> B </s>
    TOKENS = roberta.TOKENS
    vocab_files_names = {"vocab_file": "sentencepiece.bpe.model", "tokenizer_file": "tokenizer.json"}

    def numbered(self, file: SentencePieceModel, special: dict[str, str]) -> tuple[list[tuple[str, float]], int]:
        """The ids of fairseq: special tokens of its own before the file's pieces, which has them too, and the mask."""
        first = [("<s>NOTUSED", 0.0), (special["pad_token"], 0.0), ("</s>NOTUSED", 0.0), (special["unk_token"], 0.0)]
        return [*first, ("<unk>NOTUSED", -100.0), *file.pieces[1:], (special["mask_token"], 0.0)], 3


CamembertTokenizerFast = CamembertTokenizer


class CamembertPreTrainedModel(roberta.RobertaPreTrainedModel):
    """What CamemBERT's models share."""

    config_class = CamembertConfig

    def make_body(self, config: roberta.RobertaConfig, pooling: bool) -> roberta.RobertaModel:
        """The encoder under a head."""
        return CamembertModel(config, add_pooling_layer=pooling)


class CamembertModel(CamembertPreTrainedModel, roberta.RobertaModel):
    """The encoder: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D)."""


class CamembertForMaskedLM(CamembertPreTrainedModel, roberta.RobertaForMaskedLM):
    pass


class CamembertForCausalLM(CamembertPreTrainedModel, roberta.RobertaForCausalLM):
    pass


class CamembertForSequenceClassification(CamembertPreTrainedModel, roberta.RobertaForSequenceClassification):
    pass


class CamembertForMultipleChoice(CamembertPreTrainedModel, roberta.RobertaForMultipleChoice):
    pass


class CamembertForTokenClassification(CamembertPreTrainedModel, roberta.RobertaForTokenClassification):
    pass


class CamembertForQuestionAnswering(CamembertPreTrainedModel, roberta.RobertaForQuestionAnswering):
    pass


MODEL_TYPES = {"camembert": CamembertConfig}
TOKENIZER = CamembertTokenizer
HEADS = {
    "base": CamembertModel,
    "pretraining": CamembertForMaskedLM,
    "masked-lm": CamembertForMaskedLM,
    "causal-lm": CamembertForCausalLM,
    "sequence-classification": CamembertForSequenceClassification,
    "token-classification": CamembertForTokenClassification,
    "question-answering": CamembertForQuestionAnswering,
    "multiple-choice": CamembertForMultipleChoice,
}
TINY = roberta.TINY
