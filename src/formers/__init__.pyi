# Written by tools/write_stub.py: run it after adding a public name.

from .auto import (
    AutoBackbone as AutoBackbone,
    AutoConfig as AutoConfig,
    AutoModel as AutoModel,
    AutoModelForAudioClassification as AutoModelForAudioClassification,
    AutoModelForAudioFrameClassification as AutoModelForAudioFrameClassification,
    AutoModelForAudioXVector as AutoModelForAudioXVector,
    AutoModelForCTC as AutoModelForCTC,
    AutoModelForCausalLM as AutoModelForCausalLM,
    AutoModelForDocumentQuestionAnswering as AutoModelForDocumentQuestionAnswering,
    AutoModelForImageClassification as AutoModelForImageClassification,
    AutoModelForImageTextToText as AutoModelForImageTextToText,
    AutoModelForMaskedImageModeling as AutoModelForMaskedImageModeling,
    AutoModelForMaskedLM as AutoModelForMaskedLM,
    AutoModelForMultimodalLM as AutoModelForMultimodalLM,
    AutoModelForMultipleChoice as AutoModelForMultipleChoice,
    AutoModelForNextSentencePrediction as AutoModelForNextSentencePrediction,
    AutoModelForPreTraining as AutoModelForPreTraining,
    AutoModelForQuestionAnswering as AutoModelForQuestionAnswering,
    AutoModelForSemanticSegmentation as AutoModelForSemanticSegmentation,
    AutoModelForSeq2SeqLM as AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification as AutoModelForSequenceClassification,
    AutoModelForSpeechSeq2Seq as AutoModelForSpeechSeq2Seq,
    AutoModelForTableQuestionAnswering as AutoModelForTableQuestionAnswering,
    AutoModelForTextEncoding as AutoModelForTextEncoding,
    AutoModelForTokenClassification as AutoModelForTokenClassification,
    AutoModelForVision2Seq as AutoModelForVision2Seq,
    AutoModelForVisualQuestionAnswering as AutoModelForVisualQuestionAnswering,
    AutoModelForZeroShotImageClassification as AutoModelForZeroShotImageClassification,
    AutoModelWithLMHead as AutoModelWithLMHead,
    AutoTokenizer as AutoTokenizer,
)
from .auto_processing import (
    AutoFeatureExtractor as AutoFeatureExtractor,
    AutoImageProcessor as AutoImageProcessor,
    AutoProcessor as AutoProcessor,
)
from .cache import (
    Cache as Cache,
    DynamicCache as DynamicCache,
    EncoderDecoderCache as EncoderDecoderCache,
    StaticCache as StaticCache,
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
    MissingAttributeError as MissingAttributeError,
    MissingNameError as MissingNameError,
    NotFoundError as NotFoundError,
    NotTensorError as NotTensorError,
    RangeError as RangeError,
    TokenizerError as TokenizerError,
    UnknownTaskError as UnknownTaskError,
)
from .generation.configuration import (
    GenerationConfig as GenerationConfig,
)
from .generation.constraints import (
    Constraint as Constraint,
    ConstraintListState as ConstraintListState,
    DisjunctiveConstraint as DisjunctiveConstraint,
    PhrasalConstraint as PhrasalConstraint,
)
from .generation.generate import (
    GenerationMixin as GenerationMixin,
)
from .generation.outputs import (
    GenerateBeamDecoderOnlyOutput as GenerateBeamDecoderOnlyOutput,
    GenerateDecoderOnlyOutput as GenerateDecoderOnlyOutput,
)
from .generation.penalties import (
    EncoderNoRepeatNGramLogitsProcessor as EncoderNoRepeatNGramLogitsProcessor,
    EncoderRepetitionPenaltyLogitsProcessor as EncoderRepetitionPenaltyLogitsProcessor,
    FrequencyPenaltyLogitsProcessor as FrequencyPenaltyLogitsProcessor,
    HammingDiversityLogitsProcessor as HammingDiversityLogitsProcessor,
    NoBadWordsLogitsProcessor as NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor as NoRepeatNGramLogitsProcessor,
    PrefixConstrainedLogitsProcessor as PrefixConstrainedLogitsProcessor,
    PresencePenaltyLogitsProcessor as PresencePenaltyLogitsProcessor,
    RepetitionPenaltyLogitsProcessor as RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor as SequenceBiasLogitsProcessor,
)
from .generation.processors import (
    ClassifierFreeGuidanceLogitsProcessor as ClassifierFreeGuidanceLogitsProcessor,
    ExponentialDecayLengthPenalty as ExponentialDecayLengthPenalty,
    ForceTokensLogitsProcessor as ForceTokensLogitsProcessor,
    ForcedBOSTokenLogitsProcessor as ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor as ForcedEOSTokenLogitsProcessor,
    InfNanRemoveLogitsProcessor as InfNanRemoveLogitsProcessor,
    LogitNormalization as LogitNormalization,
    LogitsProcessor as LogitsProcessor,
    LogitsProcessorList as LogitsProcessorList,
    MinLengthLogitsProcessor as MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor as MinNewTokensLengthLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor as SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor as SuppressTokensLogitsProcessor,
    UnbatchedClassifierFreeGuidanceLogitsProcessor as UnbatchedClassifierFreeGuidanceLogitsProcessor,
)
from .generation.scorers import (
    BeamScorer as BeamScorer,
    BeamSearchScorer as BeamSearchScorer,
    ConstrainedBeamSearchScorer as ConstrainedBeamSearchScorer,
)
from .generation.stopping import (
    ConfidenceCriteria as ConfidenceCriteria,
    EosTokenCriteria as EosTokenCriteria,
    MaxLengthCriteria as MaxLengthCriteria,
    MaxNewTokensCriteria as MaxNewTokensCriteria,
    MaxTimeCriteria as MaxTimeCriteria,
    StopStringCriteria as StopStringCriteria,
    StoppingCriteria as StoppingCriteria,
    StoppingCriteriaList as StoppingCriteriaList,
)
from .generation.streamers import (
    AsyncTextIteratorStreamer as AsyncTextIteratorStreamer,
    BaseStreamer as BaseStreamer,
    TextIteratorStreamer as TextIteratorStreamer,
    TextStreamer as TextStreamer,
)
from .generation.warpers import (
    EpsilonLogitsWarper as EpsilonLogitsWarper,
    EtaLogitsWarper as EtaLogitsWarper,
    LogitsWarper as LogitsWarper,
    MinPLogitsWarper as MinPLogitsWarper,
    TemperatureLogitsWarper as TemperatureLogitsWarper,
    TopHLogitsWarper as TopHLogitsWarper,
    TopKLogitsWarper as TopKLogitsWarper,
    TopPLogitsWarper as TopPLogitsWarper,
    TypicalLogitsWarper as TypicalLogitsWarper,
    top_k_top_p_filtering as top_k_top_p_filtering,
)
from .generation.watermarking import (
    WatermarkDetector as WatermarkDetector,
    WatermarkDetectorOutput as WatermarkDetectorOutput,
    WatermarkLogitsProcessor as WatermarkLogitsProcessor,
    WatermarkingConfig as WatermarkingConfig,
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
from .models.audio_spectrogram_transformer import (
    ASTConfig as ASTConfig,
    ASTForAudioClassification as ASTForAudioClassification,
    ASTModel as ASTModel,
    ASTPreTrainedModel as ASTPreTrainedModel,
)
from .models.bart import (
    BartConfig as BartConfig,
    BartForCausalLM as BartForCausalLM,
    BartForConditionalGeneration as BartForConditionalGeneration,
    BartForQuestionAnswering as BartForQuestionAnswering,
    BartForSequenceClassification as BartForSequenceClassification,
    BartModel as BartModel,
    BartPreTrainedModel as BartPreTrainedModel,
    BartPretrainedModel as BartPretrainedModel,
    BartTokenizer as BartTokenizer,
)
from .models.beit import (
    BeitConfig as BeitConfig,
    BeitForImageClassification as BeitForImageClassification,
    BeitForMaskedImageModeling as BeitForMaskedImageModeling,
    BeitForSemanticSegmentation as BeitForSemanticSegmentation,
    BeitImageProcessor as BeitImageProcessor,
    BeitModel as BeitModel,
    BeitPreTrainedModel as BeitPreTrainedModel,
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
from .models.blenderbot import (
    BlenderbotConfig as BlenderbotConfig,
    BlenderbotForCausalLM as BlenderbotForCausalLM,
    BlenderbotForConditionalGeneration as BlenderbotForConditionalGeneration,
    BlenderbotModel as BlenderbotModel,
    BlenderbotPreTrainedModel as BlenderbotPreTrainedModel,
    BlenderbotTokenizer as BlenderbotTokenizer,
    BlenderbotTokenizerFast as BlenderbotTokenizerFast,
)
from .models.blenderbot_small import (
    BlenderbotSmallConfig as BlenderbotSmallConfig,
    BlenderbotSmallForCausalLM as BlenderbotSmallForCausalLM,
    BlenderbotSmallForConditionalGeneration as BlenderbotSmallForConditionalGeneration,
    BlenderbotSmallModel as BlenderbotSmallModel,
    BlenderbotSmallPreTrainedModel as BlenderbotSmallPreTrainedModel,
    BlenderbotSmallTokenizer as BlenderbotSmallTokenizer,
    BlenderbotSmallTokenizerFast as BlenderbotSmallTokenizerFast,
)
from .models.blip import (
    BlipConfig as BlipConfig,
    BlipForConditionalGeneration as BlipForConditionalGeneration,
    BlipForConditionalGenerationModelOutput as BlipForConditionalGenerationModelOutput,
    BlipForImageTextRetrieval as BlipForImageTextRetrieval,
    BlipForQuestionAnswering as BlipForQuestionAnswering,
    BlipImageProcessor as BlipImageProcessor,
    BlipModel as BlipModel,
    BlipPreTrainedModel as BlipPreTrainedModel,
    BlipProcessor as BlipProcessor,
    BlipTextConfig as BlipTextConfig,
    BlipTextLMHeadModel as BlipTextLMHeadModel,
    BlipTextModel as BlipTextModel,
    BlipTextPreTrainedModel as BlipTextPreTrainedModel,
    BlipVisionConfig as BlipVisionConfig,
    BlipVisionModel as BlipVisionModel,
)
from .models.bloom import (
    BloomConfig as BloomConfig,
    BloomForCausalLM as BloomForCausalLM,
    BloomForQuestionAnswering as BloomForQuestionAnswering,
    BloomForSequenceClassification as BloomForSequenceClassification,
    BloomForTokenClassification as BloomForTokenClassification,
    BloomModel as BloomModel,
    BloomPreTrainedModel as BloomPreTrainedModel,
    BloomTokenizer as BloomTokenizer,
    BloomTokenizerFast as BloomTokenizerFast,
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
from .models.chinese_clip import (
    ChineseCLIPConfig as ChineseCLIPConfig,
    ChineseCLIPImageProcessor as ChineseCLIPImageProcessor,
    ChineseCLIPModel as ChineseCLIPModel,
    ChineseCLIPPreTrainedModel as ChineseCLIPPreTrainedModel,
    ChineseCLIPProcessor as ChineseCLIPProcessor,
    ChineseCLIPTextConfig as ChineseCLIPTextConfig,
    ChineseCLIPTextModel as ChineseCLIPTextModel,
    ChineseCLIPVisionConfig as ChineseCLIPVisionConfig,
    ChineseCLIPVisionModel as ChineseCLIPVisionModel,
)
from .models.clap import (
    ClapAudioConfig as ClapAudioConfig,
    ClapAudioModel as ClapAudioModel,
    ClapConfig as ClapConfig,
    ClapModel as ClapModel,
    ClapPreTrainedModel as ClapPreTrainedModel,
    ClapProcessor as ClapProcessor,
    ClapTextConfig as ClapTextConfig,
    ClapTextModel as ClapTextModel,
)
from .models.clip import (
    CLIPConfig as CLIPConfig,
    CLIPForImageClassification as CLIPForImageClassification,
    CLIPImageProcessor as CLIPImageProcessor,
    CLIPModel as CLIPModel,
    CLIPPreTrainedModel as CLIPPreTrainedModel,
    CLIPProcessor as CLIPProcessor,
    CLIPTextConfig as CLIPTextConfig,
    CLIPTextModel as CLIPTextModel,
    CLIPTokenizer as CLIPTokenizer,
    CLIPTokenizerFast as CLIPTokenizerFast,
    CLIPVisionConfig as CLIPVisionConfig,
    CLIPVisionModel as CLIPVisionModel,
)
from .models.convnext import (
    ConvNextConfig as ConvNextConfig,
    ConvNextForImageClassification as ConvNextForImageClassification,
    ConvNextImageProcessor as ConvNextImageProcessor,
    ConvNextModel as ConvNextModel,
    ConvNextPreTrainedModel as ConvNextPreTrainedModel,
)
from .models.data2vec_audio import (
    Data2VecAudioConfig as Data2VecAudioConfig,
    Data2VecAudioForAudioFrameClassification as Data2VecAudioForAudioFrameClassification,
    Data2VecAudioForCTC as Data2VecAudioForCTC,
    Data2VecAudioForSequenceClassification as Data2VecAudioForSequenceClassification,
    Data2VecAudioForXVector as Data2VecAudioForXVector,
    Data2VecAudioModel as Data2VecAudioModel,
    Data2VecAudioPreTrainedModel as Data2VecAudioPreTrainedModel,
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
from .models.deit import (
    DeiTConfig as DeiTConfig,
    DeiTForImageClassification as DeiTForImageClassification,
    DeiTForImageClassificationWithTeacher as DeiTForImageClassificationWithTeacher,
    DeiTForImageClassificationWithTeacherOutput as DeiTForImageClassificationWithTeacherOutput,
    DeiTForMaskedImageModeling as DeiTForMaskedImageModeling,
    DeiTImageProcessor as DeiTImageProcessor,
    DeiTModel as DeiTModel,
    DeiTPreTrainedModel as DeiTPreTrainedModel,
)
from .models.dinov2 import (
    BitImageProcessor as BitImageProcessor,
    Dinov2Config as Dinov2Config,
    Dinov2ForImageClassification as Dinov2ForImageClassification,
    Dinov2Model as Dinov2Model,
    Dinov2PreTrainedModel as Dinov2PreTrainedModel,
)
from .models.dinov2_with_registers import (
    Dinov2WithRegistersConfig as Dinov2WithRegistersConfig,
    Dinov2WithRegistersForImageClassification as Dinov2WithRegistersForImageClassification,
    Dinov2WithRegistersModel as Dinov2WithRegistersModel,
    Dinov2WithRegistersPreTrainedModel as Dinov2WithRegistersPreTrainedModel,
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
from .models.encoder_decoder import (
    EncoderDecoderConfig as EncoderDecoderConfig,
    EncoderDecoderModel as EncoderDecoderModel,
)
from .models.falcon import (
    FalconConfig as FalconConfig,
    FalconForCausalLM as FalconForCausalLM,
    FalconForQuestionAnswering as FalconForQuestionAnswering,
    FalconForSequenceClassification as FalconForSequenceClassification,
    FalconForTokenClassification as FalconForTokenClassification,
    FalconModel as FalconModel,
    FalconPreTrainedModel as FalconPreTrainedModel,
)
from .models.gemma import (
    GemmaConfig as GemmaConfig,
    GemmaForCausalLM as GemmaForCausalLM,
    GemmaForSequenceClassification as GemmaForSequenceClassification,
    GemmaForTokenClassification as GemmaForTokenClassification,
    GemmaModel as GemmaModel,
    GemmaPreTrainedModel as GemmaPreTrainedModel,
    GemmaTokenizer as GemmaTokenizer,
    GemmaTokenizerFast as GemmaTokenizerFast,
)
from .models.gemma2 import (
    Gemma2Config as Gemma2Config,
    Gemma2ForCausalLM as Gemma2ForCausalLM,
    Gemma2ForSequenceClassification as Gemma2ForSequenceClassification,
    Gemma2ForTokenClassification as Gemma2ForTokenClassification,
    Gemma2Model as Gemma2Model,
    Gemma2PreTrainedModel as Gemma2PreTrainedModel,
)
from .models.gemma3 import (
    Gemma3ForCausalLM as Gemma3ForCausalLM,
    Gemma3PreTrainedModel as Gemma3PreTrainedModel,
    Gemma3TextConfig as Gemma3TextConfig,
    Gemma3TextForSequenceClassification as Gemma3TextForSequenceClassification,
    Gemma3TextModel as Gemma3TextModel,
)
from .models.gpt2 import (
    GPT2Config as GPT2Config,
    GPT2DoubleHeadsModel as GPT2DoubleHeadsModel,
    GPT2ForQuestionAnswering as GPT2ForQuestionAnswering,
    GPT2ForSequenceClassification as GPT2ForSequenceClassification,
    GPT2ForTokenClassification as GPT2ForTokenClassification,
    GPT2LMHeadModel as GPT2LMHeadModel,
    GPT2Model as GPT2Model,
    GPT2PreTrainedModel as GPT2PreTrainedModel,
    GPT2Tokenizer as GPT2Tokenizer,
    GPT2TokenizerFast as GPT2TokenizerFast,
)
from .models.gpt_neo import (
    GPTNeoConfig as GPTNeoConfig,
    GPTNeoForCausalLM as GPTNeoForCausalLM,
    GPTNeoForQuestionAnswering as GPTNeoForQuestionAnswering,
    GPTNeoForSequenceClassification as GPTNeoForSequenceClassification,
    GPTNeoForTokenClassification as GPTNeoForTokenClassification,
    GPTNeoModel as GPTNeoModel,
    GPTNeoPreTrainedModel as GPTNeoPreTrainedModel,
)
from .models.gpt_neox import (
    GPTNeoXConfig as GPTNeoXConfig,
    GPTNeoXForCausalLM as GPTNeoXForCausalLM,
    GPTNeoXForQuestionAnswering as GPTNeoXForQuestionAnswering,
    GPTNeoXForSequenceClassification as GPTNeoXForSequenceClassification,
    GPTNeoXForTokenClassification as GPTNeoXForTokenClassification,
    GPTNeoXModel as GPTNeoXModel,
    GPTNeoXPreTrainedModel as GPTNeoXPreTrainedModel,
    GPTNeoXTokenizer as GPTNeoXTokenizer,
    GPTNeoXTokenizerFast as GPTNeoXTokenizerFast,
)
from .models.gptj import (
    GPTJConfig as GPTJConfig,
    GPTJForCausalLM as GPTJForCausalLM,
    GPTJForQuestionAnswering as GPTJForQuestionAnswering,
    GPTJForSequenceClassification as GPTJForSequenceClassification,
    GPTJModel as GPTJModel,
    GPTJPreTrainedModel as GPTJPreTrainedModel,
)
from .models.granite import (
    GraniteConfig as GraniteConfig,
    GraniteForCausalLM as GraniteForCausalLM,
    GraniteModel as GraniteModel,
    GranitePreTrainedModel as GranitePreTrainedModel,
)
from .models.hubert import (
    HubertConfig as HubertConfig,
    HubertForCTC as HubertForCTC,
    HubertForSequenceClassification as HubertForSequenceClassification,
    HubertModel as HubertModel,
    HubertPreTrainedModel as HubertPreTrainedModel,
)
from .models.idefics3 import (
    Idefics3Config as Idefics3Config,
    Idefics3ForConditionalGeneration as Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor as Idefics3ImageProcessor,
    Idefics3Model as Idefics3Model,
    Idefics3PreTrainedModel as Idefics3PreTrainedModel,
    Idefics3Processor as Idefics3Processor,
    Idefics3VisionConfig as Idefics3VisionConfig,
)
from .models.layoutlm import (
    LayoutLMConfig as LayoutLMConfig,
    LayoutLMForMaskedLM as LayoutLMForMaskedLM,
    LayoutLMForQuestionAnswering as LayoutLMForQuestionAnswering,
    LayoutLMForSequenceClassification as LayoutLMForSequenceClassification,
    LayoutLMForTokenClassification as LayoutLMForTokenClassification,
    LayoutLMModel as LayoutLMModel,
    LayoutLMPreTrainedModel as LayoutLMPreTrainedModel,
    LayoutLMTokenizer as LayoutLMTokenizer,
    LayoutLMTokenizerFast as LayoutLMTokenizerFast,
)
from .models.layoutlmv3 import (
    LayoutLMv3Config as LayoutLMv3Config,
    LayoutLMv3ForQuestionAnswering as LayoutLMv3ForQuestionAnswering,
    LayoutLMv3ForSequenceClassification as LayoutLMv3ForSequenceClassification,
    LayoutLMv3ForTokenClassification as LayoutLMv3ForTokenClassification,
    LayoutLMv3ImageProcessor as LayoutLMv3ImageProcessor,
    LayoutLMv3Model as LayoutLMv3Model,
    LayoutLMv3PreTrainedModel as LayoutLMv3PreTrainedModel,
    LayoutLMv3Processor as LayoutLMv3Processor,
    LayoutLMv3Tokenizer as LayoutLMv3Tokenizer,
    LayoutLMv3TokenizerFast as LayoutLMv3TokenizerFast,
)
from .models.led import (
    LEDConfig as LEDConfig,
    LEDForConditionalGeneration as LEDForConditionalGeneration,
    LEDForQuestionAnswering as LEDForQuestionAnswering,
    LEDForSequenceClassification as LEDForSequenceClassification,
    LEDModel as LEDModel,
    LEDPreTrainedModel as LEDPreTrainedModel,
    LEDTokenizer as LEDTokenizer,
    LEDTokenizerFast as LEDTokenizerFast,
)
from .models.llama import (
    LlamaConfig as LlamaConfig,
    LlamaForCausalLM as LlamaForCausalLM,
    LlamaForQuestionAnswering as LlamaForQuestionAnswering,
    LlamaForSequenceClassification as LlamaForSequenceClassification,
    LlamaForTokenClassification as LlamaForTokenClassification,
    LlamaModel as LlamaModel,
    LlamaPreTrainedModel as LlamaPreTrainedModel,
    LlamaTokenizer as LlamaTokenizer,
    LlamaTokenizerFast as LlamaTokenizerFast,
)
from .models.llava import (
    LlavaConfig as LlavaConfig,
    LlavaForConditionalGeneration as LlavaForConditionalGeneration,
    LlavaImageProcessor as LlavaImageProcessor,
    LlavaModel as LlavaModel,
    LlavaPreTrainedModel as LlavaPreTrainedModel,
    LlavaProcessor as LlavaProcessor,
)
from .models.longt5 import (
    LongT5Config as LongT5Config,
    LongT5EncoderModel as LongT5EncoderModel,
    LongT5ForConditionalGeneration as LongT5ForConditionalGeneration,
    LongT5Model as LongT5Model,
    LongT5PreTrainedModel as LongT5PreTrainedModel,
)
from .models.m2m_100 import (
    M2M100Config as M2M100Config,
    M2M100ForConditionalGeneration as M2M100ForConditionalGeneration,
    M2M100Model as M2M100Model,
    M2M100PreTrainedModel as M2M100PreTrainedModel,
    M2M100Tokenizer as M2M100Tokenizer,
    NllbTokenizer as NllbTokenizer,
    NllbTokenizerFast as NllbTokenizerFast,
)
from .models.marian import (
    MarianConfig as MarianConfig,
    MarianForCausalLM as MarianForCausalLM,
    MarianMTModel as MarianMTModel,
    MarianModel as MarianModel,
    MarianPreTrainedModel as MarianPreTrainedModel,
    MarianTokenizer as MarianTokenizer,
)
from .models.mbart import (
    MBart50Tokenizer as MBart50Tokenizer,
    MBart50TokenizerFast as MBart50TokenizerFast,
    MBartConfig as MBartConfig,
    MBartForCausalLM as MBartForCausalLM,
    MBartForConditionalGeneration as MBartForConditionalGeneration,
    MBartForQuestionAnswering as MBartForQuestionAnswering,
    MBartForSequenceClassification as MBartForSequenceClassification,
    MBartModel as MBartModel,
    MBartPreTrainedModel as MBartPreTrainedModel,
    MBartTokenizer as MBartTokenizer,
    MBartTokenizerFast as MBartTokenizerFast,
)
from .models.mistral import (
    MistralConfig as MistralConfig,
    MistralForCausalLM as MistralForCausalLM,
    MistralForQuestionAnswering as MistralForQuestionAnswering,
    MistralForSequenceClassification as MistralForSequenceClassification,
    MistralForTokenClassification as MistralForTokenClassification,
    MistralModel as MistralModel,
    MistralPreTrainedModel as MistralPreTrainedModel,
)
from .models.mixtral import (
    MixtralConfig as MixtralConfig,
    MixtralForCausalLM as MixtralForCausalLM,
    MixtralForQuestionAnswering as MixtralForQuestionAnswering,
    MixtralForSequenceClassification as MixtralForSequenceClassification,
    MixtralForTokenClassification as MixtralForTokenClassification,
    MixtralModel as MixtralModel,
    MixtralPreTrainedModel as MixtralPreTrainedModel,
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
from .models.moonshine import (
    MoonshineConfig as MoonshineConfig,
    MoonshineForConditionalGeneration as MoonshineForConditionalGeneration,
    MoonshineModel as MoonshineModel,
    MoonshinePreTrainedModel as MoonshinePreTrainedModel,
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
from .models.mt5 import (
    MT5Config as MT5Config,
    MT5EncoderModel as MT5EncoderModel,
    MT5ForConditionalGeneration as MT5ForConditionalGeneration,
    MT5ForQuestionAnswering as MT5ForQuestionAnswering,
    MT5ForSequenceClassification as MT5ForSequenceClassification,
    MT5ForTokenClassification as MT5ForTokenClassification,
    MT5Model as MT5Model,
    MT5PreTrainedModel as MT5PreTrainedModel,
)
from .models.olmo2 import (
    Olmo2Config as Olmo2Config,
    Olmo2ForCausalLM as Olmo2ForCausalLM,
    Olmo2ForSequenceClassification as Olmo2ForSequenceClassification,
    Olmo2Model as Olmo2Model,
    Olmo2PreTrainedModel as Olmo2PreTrainedModel,
)
from .models.opt import (
    OPTConfig as OPTConfig,
    OPTForCausalLM as OPTForCausalLM,
    OPTForQuestionAnswering as OPTForQuestionAnswering,
    OPTForSequenceClassification as OPTForSequenceClassification,
    OPTModel as OPTModel,
    OPTPreTrainedModel as OPTPreTrainedModel,
)
from .models.pegasus import (
    PegasusConfig as PegasusConfig,
    PegasusForCausalLM as PegasusForCausalLM,
    PegasusForConditionalGeneration as PegasusForConditionalGeneration,
    PegasusModel as PegasusModel,
    PegasusPreTrainedModel as PegasusPreTrainedModel,
    PegasusTokenizer as PegasusTokenizer,
    PegasusTokenizerFast as PegasusTokenizerFast,
)
from .models.phi import (
    PhiConfig as PhiConfig,
    PhiForCausalLM as PhiForCausalLM,
    PhiForSequenceClassification as PhiForSequenceClassification,
    PhiForTokenClassification as PhiForTokenClassification,
    PhiModel as PhiModel,
    PhiPreTrainedModel as PhiPreTrainedModel,
)
from .models.phi3 import (
    Phi3Config as Phi3Config,
    Phi3ForCausalLM as Phi3ForCausalLM,
    Phi3ForSequenceClassification as Phi3ForSequenceClassification,
    Phi3ForTokenClassification as Phi3ForTokenClassification,
    Phi3Model as Phi3Model,
    Phi3PreTrainedModel as Phi3PreTrainedModel,
)
from .models.qwen2 import (
    Qwen2Config as Qwen2Config,
    Qwen2ForCausalLM as Qwen2ForCausalLM,
    Qwen2ForQuestionAnswering as Qwen2ForQuestionAnswering,
    Qwen2ForSequenceClassification as Qwen2ForSequenceClassification,
    Qwen2ForTokenClassification as Qwen2ForTokenClassification,
    Qwen2Model as Qwen2Model,
    Qwen2PreTrainedModel as Qwen2PreTrainedModel,
    Qwen2Tokenizer as Qwen2Tokenizer,
    Qwen2TokenizerFast as Qwen2TokenizerFast,
)
from .models.qwen3 import (
    Qwen3Config as Qwen3Config,
    Qwen3ForCausalLM as Qwen3ForCausalLM,
    Qwen3ForQuestionAnswering as Qwen3ForQuestionAnswering,
    Qwen3ForSequenceClassification as Qwen3ForSequenceClassification,
    Qwen3ForTokenClassification as Qwen3ForTokenClassification,
    Qwen3Model as Qwen3Model,
    Qwen3PreTrainedModel as Qwen3PreTrainedModel,
)
from .models.qwen3_moe import (
    Qwen3MoeConfig as Qwen3MoeConfig,
    Qwen3MoeForCausalLM as Qwen3MoeForCausalLM,
    Qwen3MoeForQuestionAnswering as Qwen3MoeForQuestionAnswering,
    Qwen3MoeForSequenceClassification as Qwen3MoeForSequenceClassification,
    Qwen3MoeForTokenClassification as Qwen3MoeForTokenClassification,
    Qwen3MoeModel as Qwen3MoeModel,
    Qwen3MoePreTrainedModel as Qwen3MoePreTrainedModel,
)
from .models.resnet import (
    ResNetConfig as ResNetConfig,
    ResNetForImageClassification as ResNetForImageClassification,
    ResNetModel as ResNetModel,
    ResNetPreTrainedModel as ResNetPreTrainedModel,
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
from .models.siglip import (
    SiglipConfig as SiglipConfig,
    SiglipForImageClassification as SiglipForImageClassification,
    SiglipImageProcessor as SiglipImageProcessor,
    SiglipModel as SiglipModel,
    SiglipPreTrainedModel as SiglipPreTrainedModel,
    SiglipProcessor as SiglipProcessor,
    SiglipTextConfig as SiglipTextConfig,
    SiglipTextModel as SiglipTextModel,
    SiglipTokenizer as SiglipTokenizer,
    SiglipTokenizerFast as SiglipTokenizerFast,
    SiglipVisionConfig as SiglipVisionConfig,
    SiglipVisionModel as SiglipVisionModel,
)
from .models.siglip2 import (
    Siglip2Config as Siglip2Config,
    Siglip2ForImageClassification as Siglip2ForImageClassification,
    Siglip2ImageProcessor as Siglip2ImageProcessor,
    Siglip2Model as Siglip2Model,
    Siglip2PreTrainedModel as Siglip2PreTrainedModel,
    Siglip2Processor as Siglip2Processor,
    Siglip2TextConfig as Siglip2TextConfig,
    Siglip2TextModel as Siglip2TextModel,
    Siglip2Tokenizer as Siglip2Tokenizer,
    Siglip2TokenizerFast as Siglip2TokenizerFast,
    Siglip2VisionConfig as Siglip2VisionConfig,
    Siglip2VisionModel as Siglip2VisionModel,
)
from .models.smollm3 import (
    SmolLM3Config as SmolLM3Config,
    SmolLM3ForCausalLM as SmolLM3ForCausalLM,
    SmolLM3ForQuestionAnswering as SmolLM3ForQuestionAnswering,
    SmolLM3ForSequenceClassification as SmolLM3ForSequenceClassification,
    SmolLM3ForTokenClassification as SmolLM3ForTokenClassification,
    SmolLM3Model as SmolLM3Model,
    SmolLM3PreTrainedModel as SmolLM3PreTrainedModel,
)
from .models.smolvlm import (
    SmolVLMConfig as SmolVLMConfig,
    SmolVLMForConditionalGeneration as SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor as SmolVLMImageProcessor,
    SmolVLMModel as SmolVLMModel,
    SmolVLMPreTrainedModel as SmolVLMPreTrainedModel,
    SmolVLMProcessor as SmolVLMProcessor,
    SmolVLMVisionConfig as SmolVLMVisionConfig,
)
from .models.speech_encoder_decoder import (
    SpeechEncoderDecoderConfig as SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel as SpeechEncoderDecoderModel,
)
from .models.swin import (
    SwinConfig as SwinConfig,
    SwinForImageClassification as SwinForImageClassification,
    SwinForMaskedImageModeling as SwinForMaskedImageModeling,
    SwinModel as SwinModel,
    SwinPreTrainedModel as SwinPreTrainedModel,
)
from .models.t5 import (
    T5Config as T5Config,
    T5EncoderModel as T5EncoderModel,
    T5ForConditionalGeneration as T5ForConditionalGeneration,
    T5ForQuestionAnswering as T5ForQuestionAnswering,
    T5ForSequenceClassification as T5ForSequenceClassification,
    T5ForTokenClassification as T5ForTokenClassification,
    T5Model as T5Model,
    T5PreTrainedModel as T5PreTrainedModel,
    T5Tokenizer as T5Tokenizer,
    T5TokenizerFast as T5TokenizerFast,
)
from .models.tapas import (
    TapasConfig as TapasConfig,
    TapasForMaskedLM as TapasForMaskedLM,
    TapasForQuestionAnswering as TapasForQuestionAnswering,
    TapasForSequenceClassification as TapasForSequenceClassification,
    TapasModel as TapasModel,
    TapasPreTrainedModel as TapasPreTrainedModel,
    TapasTokenizer as TapasTokenizer,
)
from .models.trocr import (
    TrOCRConfig as TrOCRConfig,
    TrOCRForCausalLM as TrOCRForCausalLM,
    TrOCRPreTrainedModel as TrOCRPreTrainedModel,
    TrOCRProcessor as TrOCRProcessor,
)
from .models.umt5 import (
    UMT5Config as UMT5Config,
    UMT5EncoderModel as UMT5EncoderModel,
    UMT5ForConditionalGeneration as UMT5ForConditionalGeneration,
    UMT5ForQuestionAnswering as UMT5ForQuestionAnswering,
    UMT5ForSequenceClassification as UMT5ForSequenceClassification,
    UMT5ForTokenClassification as UMT5ForTokenClassification,
    UMT5Model as UMT5Model,
    UMT5PreTrainedModel as UMT5PreTrainedModel,
)
from .models.vilt import (
    ViltConfig as ViltConfig,
    ViltForImageAndTextRetrieval as ViltForImageAndTextRetrieval,
    ViltForImagesAndTextClassification as ViltForImagesAndTextClassification,
    ViltForImagesAndTextClassificationOutput as ViltForImagesAndTextClassificationOutput,
    ViltForMaskedLM as ViltForMaskedLM,
    ViltForQuestionAnswering as ViltForQuestionAnswering,
    ViltForTokenClassification as ViltForTokenClassification,
    ViltImageProcessor as ViltImageProcessor,
    ViltModel as ViltModel,
    ViltPreTrainedModel as ViltPreTrainedModel,
    ViltProcessor as ViltProcessor,
)
from .models.vision_encoder_decoder import (
    VisionEncoderDecoderConfig as VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel as VisionEncoderDecoderModel,
)
from .models.vision_text_dual_encoder import (
    VisionTextDualEncoderConfig as VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel as VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor as VisionTextDualEncoderProcessor,
)
from .models.vit import (
    ViTConfig as ViTConfig,
    ViTForImageClassification as ViTForImageClassification,
    ViTForMaskedImageModeling as ViTForMaskedImageModeling,
    ViTImageProcessor as ViTImageProcessor,
    ViTModel as ViTModel,
    ViTPreTrainedModel as ViTPreTrainedModel,
)
from .models.wav2vec2 import (
    Wav2Vec2Config as Wav2Vec2Config,
    Wav2Vec2FeedForward as Wav2Vec2FeedForward,
    Wav2Vec2ForAudioFrameClassification as Wav2Vec2ForAudioFrameClassification,
    Wav2Vec2ForCTC as Wav2Vec2ForCTC,
    Wav2Vec2ForMaskedLM as Wav2Vec2ForMaskedLM,
    Wav2Vec2ForPreTraining as Wav2Vec2ForPreTraining,
    Wav2Vec2ForSequenceClassification as Wav2Vec2ForSequenceClassification,
    Wav2Vec2ForXVector as Wav2Vec2ForXVector,
    Wav2Vec2Model as Wav2Vec2Model,
    Wav2Vec2PreTrainedModel as Wav2Vec2PreTrainedModel,
)
from .models.wavlm import (
    WavLMConfig as WavLMConfig,
    WavLMForAudioFrameClassification as WavLMForAudioFrameClassification,
    WavLMForCTC as WavLMForCTC,
    WavLMForSequenceClassification as WavLMForSequenceClassification,
    WavLMForXVector as WavLMForXVector,
    WavLMModel as WavLMModel,
    WavLMPreTrainedModel as WavLMPreTrainedModel,
)
from .models.whisper import (
    WhisperConfig as WhisperConfig,
    WhisperForAudioClassification as WhisperForAudioClassification,
    WhisperForCausalLM as WhisperForCausalLM,
    WhisperForConditionalGeneration as WhisperForConditionalGeneration,
    WhisperModel as WhisperModel,
    WhisperPreTrainedModel as WhisperPreTrainedModel,
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
from .old_paths.availability import (
    is_accelerate_available as is_accelerate_available,
    is_apex_available as is_apex_available,
    is_bitsandbytes_available as is_bitsandbytes_available,
    is_datasets_available as is_datasets_available,
    is_faiss_available as is_faiss_available,
    is_flax_available as is_flax_available,
    is_phonemizer_available as is_phonemizer_available,
    is_psutil_available as is_psutil_available,
    is_py3nvml_available as is_py3nvml_available,
    is_pyctcdecode_available as is_pyctcdecode_available,
    is_scipy_available as is_scipy_available,
    is_sentencepiece_available as is_sentencepiece_available,
    is_sklearn_available as is_sklearn_available,
    is_speech_available as is_speech_available,
    is_tensorflow_text_available as is_tensorflow_text_available,
    is_tf_available as is_tf_available,
    is_timm_available as is_timm_available,
    is_tokenizers_available as is_tokenizers_available,
    is_torch_available as is_torch_available,
    is_torch_mlu_available as is_torch_mlu_available,
    is_torch_npu_available as is_torch_npu_available,
    is_torch_tpu_available as is_torch_tpu_available,
    is_torch_xla_available as is_torch_xla_available,
    is_torch_xpu_available as is_torch_xpu_available,
    is_torchvision_available as is_torchvision_available,
    is_vision_available as is_vision_available,
)
from .old_paths.mappings import (
    CONFIG_MAPPING as CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING as MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING as MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_MULTIPLE_CHOICE_MAPPING as MODEL_FOR_MULTIPLE_CHOICE_MAPPING,
    MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING as MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING,
    MODEL_FOR_PRETRAINING_MAPPING as MODEL_FOR_PRETRAINING_MAPPING,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING as MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING as MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING as MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING as MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    MODEL_MAPPING as MODEL_MAPPING,
    MODEL_WITH_LM_HEAD_MAPPING as MODEL_WITH_LM_HEAD_MAPPING,
    TOKENIZER_MAPPING as TOKENIZER_MAPPING,
)
from .old_paths.names import (
    CONFIG_NAME as CONFIG_NAME,
    MODEL_CARD_NAME as MODEL_CARD_NAME,
    SPIECE_UNDERLINE as SPIECE_UNDERLINE,
    SpecialTokensMixin as SpecialTokensMixin,
    TF2_WEIGHTS_NAME as TF2_WEIGHTS_NAME,
    TF_WEIGHTS_NAME as TF_WEIGHTS_NAME,
    TRANSFORMERS_CACHE as TRANSFORMERS_CACHE,
    WEIGHTS_NAME as WEIGHTS_NAME,
    add_end_docstrings as add_end_docstrings,
    add_start_docstrings as add_start_docstrings,
)
from .old_paths.tensors import (
    apply_chunking_to_forward as apply_chunking_to_forward,
    prune_layer as prune_layer,
)
from .ops.conv1d import (
    Conv1D as Conv1D,
)
from .pipelines import (
    AudioClassificationPipeline as AudioClassificationPipeline,
    AutomaticSpeechRecognitionPipeline as AutomaticSpeechRecognitionPipeline,
    Conversation as Conversation,
    ConversationalPipeline as ConversationalPipeline,
    DocumentQuestionAnsweringPipeline as DocumentQuestionAnsweringPipeline,
    FeatureExtractionPipeline as FeatureExtractionPipeline,
    FillMaskPipeline as FillMaskPipeline,
    ImageClassificationPipeline as ImageClassificationPipeline,
    ImageFeatureExtractionPipeline as ImageFeatureExtractionPipeline,
    ImageTextToTextPipeline as ImageTextToTextPipeline,
    ImageToTextPipeline as ImageToTextPipeline,
    MultipleChoicePipeline as MultipleChoicePipeline,
    NerPipeline as NerPipeline,
    NextSentencePipeline as NextSentencePipeline,
    Pipeline as Pipeline,
    PipelineException as PipelineException,
    QuestionAnsweringPipeline as QuestionAnsweringPipeline,
    SquadExample as SquadExample,
    SummarizationPipeline as SummarizationPipeline,
    TableQuestionAnsweringPipeline as TableQuestionAnsweringPipeline,
    Text2TextGenerationPipeline as Text2TextGenerationPipeline,
    TextClassificationPipeline as TextClassificationPipeline,
    TextGenerationPipeline as TextGenerationPipeline,
    TextRankingPipeline as TextRankingPipeline,
    TokenClassificationPipeline as TokenClassificationPipeline,
    TranslationPipeline as TranslationPipeline,
    VisualQuestionAnsweringPipeline as VisualQuestionAnsweringPipeline,
    ZeroShotAudioClassificationPipeline as ZeroShotAudioClassificationPipeline,
    ZeroShotClassificationPipeline as ZeroShotClassificationPipeline,
    ZeroShotImageClassificationPipeline as ZeroShotImageClassificationPipeline,
    pipeline as pipeline,
)
from .processing import (
    BaseImageProcessor as BaseImageProcessor,
    BatchFeature as BatchFeature,
    ProcessorMixin as ProcessorMixin,
    SequenceFeatureExtractor as SequenceFeatureExtractor,
)
from .processing.of_sound import (
    ClapFeatureExtractor as ClapFeatureExtractor,
    Wav2Vec2FeatureExtractor as Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor as WhisperFeatureExtractor,
)
from .processing.spoken import (
    Wav2Vec2Processor as Wav2Vec2Processor,
    Wav2Vec2ProcessorWithLM as Wav2Vec2ProcessorWithLM,
    WhisperProcessor as WhisperProcessor,
)
from .sentences import (
    CrossEncoder as CrossEncoder,
    SentenceEncoder as SentenceEncoder,
)
from .tokenization import (
    AddedToken as AddedToken,
    BasicTokenizer as BasicTokenizer,
    BatchEncoding as BatchEncoding,
    CharSpan as CharSpan,
    PreTrainedTokenizer as PreTrainedTokenizer,
    PreTrainedTokenizerBase as PreTrainedTokenizerBase,
    PreTrainedTokenizerFast as PreTrainedTokenizerFast,
    TensorType as TensorType,
    TokenSpan as TokenSpan,
    WordPieceTokenizer as WordPieceTokenizer,
    WordpieceTokenizer as WordpieceTokenizer,
)
from .tokenization.ctc import (
    Wav2Vec2CTCTokenizer as Wav2Vec2CTCTokenizer,
)
from .tokenization.whisper import (
    WhisperTokenizer as WhisperTokenizer,
    WhisperTokenizerFast as WhisperTokenizerFast,
)
from .training.arguments import (
    Seq2SeqTrainingArguments as Seq2SeqTrainingArguments,
    TrainingArguments as TrainingArguments,
)
from .training.callbacks import (
    DefaultFlowCallback as DefaultFlowCallback,
    EarlyStoppingCallback as EarlyStoppingCallback,
    PrinterCallback as PrinterCallback,
    ProgressCallback as ProgressCallback,
    TrainerCallback as TrainerCallback,
    TrainerControl as TrainerControl,
    TrainerState as TrainerState,
)
from .training.choices import (
    IntervalStrategy as IntervalStrategy,
    SchedulerType as SchedulerType,
)
from .training.collators import (
    DataCollator as DataCollator,
    DataCollatorForMultipleChoice as DataCollatorForMultipleChoice,
    DataCollatorForSeq2Seq as DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification as DataCollatorForTokenClassification,
    DataCollatorWithFlattening as DataCollatorWithFlattening,
    DataCollatorWithPadding as DataCollatorWithPadding,
    DefaultDataCollator as DefaultDataCollator,
    default_data_collator as default_data_collator,
)
from .training.masking import (
    DataCollatorForLanguageModeling as DataCollatorForLanguageModeling,
    DataCollatorForPermutationLanguageModeling as DataCollatorForPermutationLanguageModeling,
    DataCollatorForSOP as DataCollatorForSOP,
    DataCollatorForWholeWordMask as DataCollatorForWholeWordMask,
)
from .training.optimizers import (
    Adafactor as Adafactor,
    AdafactorSchedule as AdafactorSchedule,
    AdamW as AdamW,
    get_adafactor_schedule as get_adafactor_schedule,
)
from .training.parsing import (
    HfArgumentParser as HfArgumentParser,
)
from .training.results import (
    EvalPrediction as EvalPrediction,
)
from .training.schedules import (
    get_constant_schedule as get_constant_schedule,
    get_constant_schedule_with_warmup as get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup as get_cosine_schedule_with_warmup,
    get_cosine_with_hard_restarts_schedule_with_warmup as get_cosine_with_hard_restarts_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup as get_cosine_with_min_lr_schedule_with_warmup,
    get_inverse_sqrt_schedule as get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup as get_linear_schedule_with_warmup,
    get_polynomial_decay_schedule_with_warmup as get_polynomial_decay_schedule_with_warmup,
    get_reduce_on_plateau_schedule as get_reduce_on_plateau_schedule,
    get_scheduler as get_scheduler,
    get_wsd_schedule as get_wsd_schedule,
)
from .training.seed import (
    enable_full_determinism as enable_full_determinism,
    set_seed as set_seed,
)
from .training.seq2seq import (
    Seq2SeqTrainer as Seq2SeqTrainer,
)
from .training.trainer import (
    Trainer as Trainer,
)
from . import logging as logging
from . import visualize as visualize
from .version import __version__ as __version__

PreTrainedConfig = PretrainedConfig
