"""Data2Vec for text: RoBERTa, pretrained to predict hidden states instead of words.

Source: Baevski et al. 2022 (arXiv 2202.03555); fairseq.
"""

from __future__ import annotations

from . import roberta


class Data2VecTextConfig(roberta.RobertaConfig):
    """Defaults are those of RoBERTa, with the size of BERT's vocabulary; the published models have 50,265 tokens."""

    model_type = "data2vec-text"

    vocab_size: int = 30522


class Data2VecTextPreTrainedModel(roberta.RobertaPreTrainedModel):
    """What the models of Data2Vec for text share."""

    config_class = Data2VecTextConfig
    base_model_prefix = "data2vec_text"

    def make_body(self, config: roberta.RobertaConfig, pooling: bool) -> roberta.RobertaModel:
        """The encoder under a head."""
        return Data2VecTextModel(config, add_pooling_layer=pooling)


class Data2VecTextModel(Data2VecTextPreTrainedModel, roberta.RobertaModel):
    """The encoder: hidden states (B, T, D), and of the first column through a dense layer and tanh (B, D)."""


TIED = {name: owner.replace("roberta.", "data2vec_text.") for name, owner in roberta.RobertaForMaskedLM.TIED.items()}


class Data2VecTextForMaskedLM(Data2VecTextPreTrainedModel, roberta.RobertaForMaskedLM):
    TIED = TIED


class Data2VecTextForCausalLM(Data2VecTextPreTrainedModel, roberta.RobertaForCausalLM):
    TIED = TIED


class Data2VecTextForSequenceClassification(Data2VecTextPreTrainedModel, roberta.RobertaForSequenceClassification):
    pass


class Data2VecTextForMultipleChoice(Data2VecTextPreTrainedModel, roberta.RobertaForMultipleChoice):
    pass


class Data2VecTextForTokenClassification(Data2VecTextPreTrainedModel, roberta.RobertaForTokenClassification):
    pass


class Data2VecTextForQuestionAnswering(Data2VecTextPreTrainedModel, roberta.RobertaForQuestionAnswering):
    pass


MODEL_TYPES = {"data2vec-text": Data2VecTextConfig}
TOKENIZER = roberta.RobertaTokenizer
HEADS = {
    "base": Data2VecTextModel,
    "pretraining": Data2VecTextForMaskedLM,
    "masked-lm": Data2VecTextForMaskedLM,
    "causal-lm": Data2VecTextForCausalLM,
    "sequence-classification": Data2VecTextForSequenceClassification,
    "token-classification": Data2VecTextForTokenClassification,
    "question-answering": Data2VecTextForQuestionAnswering,
    "multiple-choice": Data2VecTextForMultipleChoice,
}
TINY = roberta.TINY
