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
from .models.albert import (
    AlbertConfig as AlbertConfig,
    AlbertForMaskedLM as AlbertForMaskedLM,
    AlbertForMultipleChoice as AlbertForMultipleChoice,
    AlbertForPreTraining as AlbertForPreTraining,
    AlbertForPreTrainingOutput as AlbertForPreTrainingOutput,
    AlbertForQuestionAnswering as AlbertForQuestionAnswering,
    AlbertForSequenceClassification as AlbertForSequenceClassification,
    AlbertForTokenClassification as AlbertForTokenClassification,
    AlbertModel as AlbertModel,
    AlbertPreTrainedModel as AlbertPreTrainedModel,
    AlbertTokenizer as AlbertTokenizer,
    AlbertTokenizerFast as AlbertTokenizerFast,
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
from .models.camembert import (
    CamembertConfig as CamembertConfig,
    CamembertForCausalLM as CamembertForCausalLM,
    CamembertForMaskedLM as CamembertForMaskedLM,
    CamembertForMultipleChoice as CamembertForMultipleChoice,
    CamembertForQuestionAnswering as CamembertForQuestionAnswering,
    CamembertForSequenceClassification as CamembertForSequenceClassification,
    CamembertForTokenClassification as CamembertForTokenClassification,
    CamembertModel as CamembertModel,
    CamembertPreTrainedModel as CamembertPreTrainedModel,
    CamembertTokenizer as CamembertTokenizer,
    CamembertTokenizerFast as CamembertTokenizerFast,
)
from .models.data2vec_text import (
    Data2VecTextConfig as Data2VecTextConfig,
    Data2VecTextForCausalLM as Data2VecTextForCausalLM,
    Data2VecTextForMaskedLM as Data2VecTextForMaskedLM,
    Data2VecTextForMultipleChoice as Data2VecTextForMultipleChoice,
    Data2VecTextForQuestionAnswering as Data2VecTextForQuestionAnswering,
    Data2VecTextForSequenceClassification as Data2VecTextForSequenceClassification,
    Data2VecTextForTokenClassification as Data2VecTextForTokenClassification,
    Data2VecTextModel as Data2VecTextModel,
    Data2VecTextPreTrainedModel as Data2VecTextPreTrainedModel,
)
from .models.deberta_v2 import (
    DebertaV2Config as DebertaV2Config,
    DebertaV2ForMaskedLM as DebertaV2ForMaskedLM,
    DebertaV2ForMultipleChoice as DebertaV2ForMultipleChoice,
    DebertaV2ForQuestionAnswering as DebertaV2ForQuestionAnswering,
    DebertaV2ForSequenceClassification as DebertaV2ForSequenceClassification,
    DebertaV2ForTokenClassification as DebertaV2ForTokenClassification,
    DebertaV2Model as DebertaV2Model,
    DebertaV2PreTrainedModel as DebertaV2PreTrainedModel,
    DebertaV2Tokenizer as DebertaV2Tokenizer,
    DebertaV2TokenizerFast as DebertaV2TokenizerFast,
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
from .models.electra import (
    ElectraConfig as ElectraConfig,
    ElectraForCausalLM as ElectraForCausalLM,
    ElectraForMaskedLM as ElectraForMaskedLM,
    ElectraForMultipleChoice as ElectraForMultipleChoice,
    ElectraForPreTraining as ElectraForPreTraining,
    ElectraForQuestionAnswering as ElectraForQuestionAnswering,
    ElectraForSequenceClassification as ElectraForSequenceClassification,
    ElectraForTokenClassification as ElectraForTokenClassification,
    ElectraModel as ElectraModel,
    ElectraPreTrainedModel as ElectraPreTrainedModel,
    ElectraTokenizer as ElectraTokenizer,
    ElectraTokenizerFast as ElectraTokenizerFast,
)
from .models.modernbert import (
    ModernBertConfig as ModernBertConfig,
    ModernBertForMaskedLM as ModernBertForMaskedLM,
    ModernBertForMultipleChoice as ModernBertForMultipleChoice,
    ModernBertForQuestionAnswering as ModernBertForQuestionAnswering,
    ModernBertForSequenceClassification as ModernBertForSequenceClassification,
    ModernBertForTokenClassification as ModernBertForTokenClassification,
    ModernBertModel as ModernBertModel,
    ModernBertPreTrainedModel as ModernBertPreTrainedModel,
)
from .models.mpnet import (
    MPNetConfig as MPNetConfig,
    MPNetForMaskedLM as MPNetForMaskedLM,
    MPNetForMultipleChoice as MPNetForMultipleChoice,
    MPNetForQuestionAnswering as MPNetForQuestionAnswering,
    MPNetForSequenceClassification as MPNetForSequenceClassification,
    MPNetForTokenClassification as MPNetForTokenClassification,
    MPNetModel as MPNetModel,
    MPNetPreTrainedModel as MPNetPreTrainedModel,
    MPNetTokenizer as MPNetTokenizer,
    MPNetTokenizerFast as MPNetTokenizerFast,
)
from .models.roberta import (
    RobertaConfig as RobertaConfig,
    RobertaForCausalLM as RobertaForCausalLM,
    RobertaForMaskedLM as RobertaForMaskedLM,
    RobertaForMultipleChoice as RobertaForMultipleChoice,
    RobertaForQuestionAnswering as RobertaForQuestionAnswering,
    RobertaForSequenceClassification as RobertaForSequenceClassification,
    RobertaForTokenClassification as RobertaForTokenClassification,
    RobertaModel as RobertaModel,
    RobertaPreTrainedModel as RobertaPreTrainedModel,
    RobertaTokenizer as RobertaTokenizer,
    RobertaTokenizerFast as RobertaTokenizerFast,
)
from .models.roformer import (
    RoFormerAttention as RoFormerAttention,
    RoFormerClassificationHead as RoFormerClassificationHead,
    RoFormerConfig as RoFormerConfig,
    RoFormerEmbeddings as RoFormerEmbeddings,
    RoFormerEncoder as RoFormerEncoder,
    RoFormerForCausalLM as RoFormerForCausalLM,
    RoFormerForMaskedLM as RoFormerForMaskedLM,
    RoFormerForMultipleChoice as RoFormerForMultipleChoice,
    RoFormerForQuestionAnswering as RoFormerForQuestionAnswering,
    RoFormerForSequenceClassification as RoFormerForSequenceClassification,
    RoFormerForTokenClassification as RoFormerForTokenClassification,
    RoFormerLayer as RoFormerLayer,
    RoFormerModel as RoFormerModel,
    RoFormerPreTrainedModel as RoFormerPreTrainedModel,
    RoFormerSelfAttention as RoFormerSelfAttention,
    RoFormerSinusoidalPositionalEmbedding as RoFormerSinusoidalPositionalEmbedding,
    RoFormerTokenizer as RoFormerTokenizer,
    RoFormerTokenizerFast as RoFormerTokenizerFast,
)
from .models.xlm_roberta import (
    XLMRobertaConfig as XLMRobertaConfig,
    XLMRobertaForCausalLM as XLMRobertaForCausalLM,
    XLMRobertaForMaskedLM as XLMRobertaForMaskedLM,
    XLMRobertaForMultipleChoice as XLMRobertaForMultipleChoice,
    XLMRobertaForQuestionAnswering as XLMRobertaForQuestionAnswering,
    XLMRobertaForSequenceClassification as XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification as XLMRobertaForTokenClassification,
    XLMRobertaModel as XLMRobertaModel,
    XLMRobertaPreTrainedModel as XLMRobertaPreTrainedModel,
    XLMRobertaTokenizer as XLMRobertaTokenizer,
    XLMRobertaTokenizerFast as XLMRobertaTokenizerFast,
)
from .pipelines import (
    FeatureExtractionPipeline as FeatureExtractionPipeline,
    FillMaskPipeline as FillMaskPipeline,
    MultipleChoicePipeline as MultipleChoicePipeline,
    NerPipeline as NerPipeline,
    NextSentencePipeline as NextSentencePipeline,
    Pipeline as Pipeline,
    PipelineException as PipelineException,
    QuestionAnsweringPipeline as QuestionAnsweringPipeline,
    SquadExample as SquadExample,
    TextClassificationPipeline as TextClassificationPipeline,
    TextRankingPipeline as TextRankingPipeline,
    TokenClassificationPipeline as TokenClassificationPipeline,
    ZeroShotClassificationPipeline as ZeroShotClassificationPipeline,
    pipeline as pipeline,
)
from .sentences import (
    CrossEncoder as CrossEncoder,
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
from . import visualize as visualize
from .version import __version__ as __version__

PreTrainedConfig = PretrainedConfig
AutoModelWithLMHead = AutoModelForMaskedLM
