# Written by tools/write_stub.py: run it after adding a public name.

from .auto import (
    AutoConfig as AutoConfig,
    AutoModel as AutoModel,
    AutoModelForCausalLM as AutoModelForCausalLM,
    AutoModelForMaskedLM as AutoModelForMaskedLM,
    AutoModelForMultipleChoice as AutoModelForMultipleChoice,
    AutoModelForNextSentencePrediction as AutoModelForNextSentencePrediction,
    AutoModelForPreTraining as AutoModelForPreTraining,
    AutoModelForQuestionAnswering as AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification as AutoModelForSequenceClassification,
    AutoModelForTokenClassification as AutoModelForTokenClassification,
    AutoTokenizer as AutoTokenizer,
)
from .config import (
    PretrainedConfig as PretrainedConfig,
)
from .errors import (
    ArgumentError as ArgumentError,
    CheckpointError as CheckpointError,
    ConfigError as ConfigError,
    FormersError as FormersError,
    HeadError as HeadError,
    InputError as InputError,
    MissingNameError as MissingNameError,
    NotFoundError as NotFoundError,
    NotTensorError as NotTensorError,
    RangeError as RangeError,
    TokenizerError as TokenizerError,
    UnknownTaskError as UnknownTaskError,
)
from .modeling import (
    PreTrainedModel as PreTrainedModel,
)
from .models.bert import (
    BertConfig as BertConfig,
    BertForMaskedLM as BertForMaskedLM,
    BertForMultipleChoice as BertForMultipleChoice,
    BertForNextSentencePrediction as BertForNextSentencePrediction,
    BertForPreTraining as BertForPreTraining,
    BertForQuestionAnswering as BertForQuestionAnswering,
    BertForSequenceClassification as BertForSequenceClassification,
    BertForTokenClassification as BertForTokenClassification,
    BertLMHeadModel as BertLMHeadModel,
    BertModel as BertModel,
    BertPreTrainedModel as BertPreTrainedModel,
    BertTokenizer as BertTokenizer,
    BertTokenizerFast as BertTokenizerFast,
)
from .models.distilbert import (
    DistilBertConfig as DistilBertConfig,
    DistilBertForMaskedLM as DistilBertForMaskedLM,
    DistilBertForMultipleChoice as DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering as DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification as DistilBertForSequenceClassification,
    DistilBertForTokenClassification as DistilBertForTokenClassification,
    DistilBertModel as DistilBertModel,
    DistilBertPreTrainedModel as DistilBertPreTrainedModel,
    DistilBertTokenizer as DistilBertTokenizer,
    DistilBertTokenizerFast as DistilBertTokenizerFast,
)
from .pipelines import (
    FeatureExtractionPipeline as FeatureExtractionPipeline,
    FillMaskPipeline as FillMaskPipeline,
    MultipleChoicePipeline as MultipleChoicePipeline,
    NextSentencePipeline as NextSentencePipeline,
    Pipeline as Pipeline,
    PipelineException as PipelineException,
    QuestionAnsweringPipeline as QuestionAnsweringPipeline,
    TextClassificationPipeline as TextClassificationPipeline,
    TextRankingPipeline as TextRankingPipeline,
    TokenClassificationPipeline as TokenClassificationPipeline,
    ZeroShotClassificationPipeline as ZeroShotClassificationPipeline,
    pipeline as pipeline,
)
from .sentence_encoder import (
    SentenceEncoder as SentenceEncoder,
)
from .tokenization import (
    AddedToken as AddedToken,
    BasicTokenizer as BasicTokenizer,
    BatchEncoding as BatchEncoding,
    PreTrainedTokenizer as PreTrainedTokenizer,
    PreTrainedTokenizerBase as PreTrainedTokenizerBase,
    PreTrainedTokenizerFast as PreTrainedTokenizerFast,
    TensorType as TensorType,
    WordPieceTokenizer as WordPieceTokenizer,
    WordpieceTokenizer as WordpieceTokenizer,
)
from .training.seed import (
    set_seed as set_seed,
)
from . import logging as logging
from .version import __version__ as __version__

PreTrainedConfig = PretrainedConfig
AutoModelWithLMHead = AutoModelForMaskedLM
