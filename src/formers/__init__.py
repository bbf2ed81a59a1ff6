"""formers: pretrained transformer models with the Transformers API.

Public names are resolved on first use; importing the package loads neither torch nor numpy.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import Any

from . import errors, registry
from .version import __version__ as __version__

_HOME = {
    "auto": (
        "AutoBackbone",
        "AutoConfig",
        "AutoModel",
        "AutoModelForAudioClassification",
        "AutoModelForAudioFrameClassification",
        "AutoModelForAudioXVector",
        "AutoModelForCTC",
        "AutoModelForCausalLM",
        "AutoModelForDocumentQuestionAnswering",
        "AutoModelForImageClassification",
        "AutoModelForImageTextToText",
        "AutoModelForMaskedImageModeling",
        "AutoModelForMaskedLM",
        "AutoModelForMultimodalLM",
        "AutoModelForMultipleChoice",
        "AutoModelForNextSentencePrediction",
        "AutoModelForPreTraining",
        "AutoModelForQuestionAnswering",
        "AutoModelForSemanticSegmentation",
        "AutoModelForSeq2SeqLM",
        "AutoModelForSequenceClassification",
        "AutoModelForSpeechSeq2Seq",
        "AutoModelForTableQuestionAnswering",
        "AutoModelForTextEncoding",
        "AutoModelForTokenClassification",
        "AutoModelForVision2Seq",
        "AutoModelForVisualQuestionAnswering",
        "AutoModelForZeroShotImageClassification",
        "AutoModelWithLMHead",
        "AutoTokenizer",
    ),
    "auto_processing": ("AutoFeatureExtractor", "AutoImageProcessor", "AutoProcessor"),
    "cache": ("Cache", "DynamicCache", "EncoderDecoderCache", "StaticCache"),
    "config": ("PretrainedConfig",),
    "errors": tuple(n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.FormersError)),
    "generation.configuration": ("GenerationConfig",),
    "generation.constraints": ("Constraint", "ConstraintListState", "DisjunctiveConstraint", "PhrasalConstraint"),
    "generation.generate": ("GenerationMixin",),
    "generation.outputs": ("GenerateBeamDecoderOnlyOutput", "GenerateDecoderOnlyOutput"),
    "generation.penalties": (
        "EncoderNoRepeatNGramLogitsProcessor",
        "EncoderRepetitionPenaltyLogitsProcessor",
        "FrequencyPenaltyLogitsProcessor",
        "HammingDiversityLogitsProcessor",
        "NoBadWordsLogitsProcessor",
        "NoRepeatNGramLogitsProcessor",
        "PrefixConstrainedLogitsProcessor",
        "PresencePenaltyLogitsProcessor",
        "RepetitionPenaltyLogitsProcessor",
        "SequenceBiasLogitsProcessor",
    ),
    "generation.processors": (
        "ClassifierFreeGuidanceLogitsProcessor",
        "ExponentialDecayLengthPenalty",
        "ForceTokensLogitsProcessor",
        "ForcedBOSTokenLogitsProcessor",
        "ForcedEOSTokenLogitsProcessor",
        "InfNanRemoveLogitsProcessor",
        "LogitNormalization",
        "LogitsProcessor",
        "LogitsProcessorList",
        "MinLengthLogitsProcessor",
        "MinNewTokensLengthLogitsProcessor",
        "SuppressTokensAtBeginLogitsProcessor",
        "SuppressTokensLogitsProcessor",
        "UnbatchedClassifierFreeGuidanceLogitsProcessor",
    ),
    "generation.scorers": ("BeamScorer", "BeamSearchScorer", "ConstrainedBeamSearchScorer"),
    "generation.stopping": (
        "ConfidenceCriteria",
        "EosTokenCriteria",
        "MaxLengthCriteria",
        "MaxNewTokensCriteria",
        "MaxTimeCriteria",
        "StopStringCriteria",
        "StoppingCriteria",
        "StoppingCriteriaList",
    ),
    "generation.streamers": ("AsyncTextIteratorStreamer", "BaseStreamer", "TextIteratorStreamer", "TextStreamer"),
    "generation.warpers": (
        "EpsilonLogitsWarper",
        "EtaLogitsWarper",
        "LogitsWarper",
        "MinPLogitsWarper",
        "TemperatureLogitsWarper",
        "TopHLogitsWarper",
        "TopKLogitsWarper",
        "TopPLogitsWarper",
        "TypicalLogitsWarper",
        "top_k_top_p_filtering",
    ),
    "generation.watermarking": (
        *("WatermarkDetector", "WatermarkDetectorOutput", "WatermarkLogitsProcessor", "WatermarkingConfig"),
    ),
    "modeling": ("PreTrainedModel",),
    "old_paths.availability": (
        *("is_accelerate_available", "is_apex_available", "is_bitsandbytes_available", "is_datasets_available"),
        *("is_faiss_available", "is_flax_available", "is_phonemizer_available", "is_psutil_available"),
        *("is_py3nvml_available", "is_pyctcdecode_available", "is_scipy_available", "is_sentencepiece_available"),
        *("is_sklearn_available", "is_speech_available", "is_tensorflow_text_available", "is_tf_available"),
        *("is_timm_available", "is_tokenizers_available", "is_torch_available", "is_torch_mlu_available"),
        *("is_torch_npu_available", "is_torch_tpu_available", "is_torch_xla_available", "is_torch_xpu_available"),
        *("is_torchvision_available", "is_vision_available"),
    ),
    "old_paths.mappings": (
        *("CONFIG_MAPPING", "MODEL_FOR_CAUSAL_LM_MAPPING", "MODEL_FOR_MASKED_LM_MAPPING"),
        "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
        *("MODEL_FOR_MULTIPLE_CHOICE_MAPPING", "MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING"),
        *("MODEL_FOR_PRETRAINING_MAPPING", "MODEL_FOR_QUESTION_ANSWERING_MAPPING"),
        *("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING", "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING", "MODEL_MAPPING"),
        *("MODEL_WITH_LM_HEAD_MAPPING", "TOKENIZER_MAPPING"),
    ),
    "old_paths.names": (
        *("CONFIG_NAME", "MODEL_CARD_NAME", "SPIECE_UNDERLINE", "TF2_WEIGHTS_NAME", "TF_WEIGHTS_NAME"),
        *("SpecialTokensMixin", "TRANSFORMERS_CACHE", "WEIGHTS_NAME", "add_end_docstrings", "add_start_docstrings"),
    ),
    "ops.conv1d": ("Conv1D",),
    "old_paths.tensors": ("apply_chunking_to_forward", "prune_layer"),
    "pipelines": (
        "AudioClassificationPipeline",
        "AutomaticSpeechRecognitionPipeline",
        "Conversation",
        "ConversationalPipeline",
        "DocumentQuestionAnsweringPipeline",
        "FeatureExtractionPipeline",
        "FillMaskPipeline",
        "ImageClassificationPipeline",
        "ImageFeatureExtractionPipeline",
        "ImageTextToTextPipeline",
        "ImageToTextPipeline",
        "MultipleChoicePipeline",
        "NerPipeline",
        "NextSentencePipeline",
        "Pipeline",
        "PipelineException",
        "QuestionAnsweringPipeline",
        "SquadExample",
        "SummarizationPipeline",
        "TableQuestionAnsweringPipeline",
        "Text2TextGenerationPipeline",
        "TextClassificationPipeline",
        "TextGenerationPipeline",
        "TextRankingPipeline",
        "TokenClassificationPipeline",
        "TranslationPipeline",
        "VisualQuestionAnsweringPipeline",
        "ZeroShotAudioClassificationPipeline",
        "ZeroShotClassificationPipeline",
        "ZeroShotImageClassificationPipeline",
        "pipeline",
    ),
    "processing": ("BaseImageProcessor", "BatchFeature", "ProcessorMixin", "SequenceFeatureExtractor"),
    "processing.of_sound": ("ClapFeatureExtractor", "Wav2Vec2FeatureExtractor", "WhisperFeatureExtractor"),
    "processing.spoken": ("Wav2Vec2Processor", "Wav2Vec2ProcessorWithLM", "WhisperProcessor"),
    "sentences": ("CrossEncoder", "SentenceEncoder"),
    "tokenization": (
        "AddedToken",
        "BasicTokenizer",
        "BatchEncoding",
        "CharSpan",
        "PreTrainedTokenizer",
        "PreTrainedTokenizerBase",
        "PreTrainedTokenizerFast",
        "TensorType",
        "TokenSpan",
        "WordPieceTokenizer",
        "WordpieceTokenizer",
    ),
    "tokenization.ctc": ("Wav2Vec2CTCTokenizer",),
    "tokenization.whisper": ("WhisperTokenizer", "WhisperTokenizerFast"),
    "training.collators": (
        *("DataCollator", "DataCollatorForMultipleChoice", "DataCollatorForSeq2Seq"),
        *("DataCollatorForTokenClassification", "DataCollatorWithFlattening", "DataCollatorWithPadding"),
        *("DefaultDataCollator", "default_data_collator"),
    ),
    "training.masking": (
        *("DataCollatorForLanguageModeling", "DataCollatorForPermutationLanguageModeling", "DataCollatorForSOP"),
        "DataCollatorForWholeWordMask",
    ),
    "training.arguments": ("Seq2SeqTrainingArguments", "TrainingArguments"),
    "training.callbacks": (
        "DefaultFlowCallback",
        "EarlyStoppingCallback",
        "PrinterCallback",
        "ProgressCallback",
        "TrainerCallback",
        "TrainerControl",
        "TrainerState",
    ),
    "training.choices": ("IntervalStrategy", "SchedulerType"),
    "training.optimizers": ("Adafactor", "AdafactorSchedule", "AdamW", "get_adafactor_schedule"),
    "training.parsing": ("HfArgumentParser",),
    "training.results": ("EvalPrediction",),
    "training.schedules": (
        "get_constant_schedule",
        "get_constant_schedule_with_warmup",
        "get_cosine_schedule_with_warmup",
        "get_cosine_with_hard_restarts_schedule_with_warmup",
        "get_cosine_with_min_lr_schedule_with_warmup",
        "get_inverse_sqrt_schedule",
        "get_linear_schedule_with_warmup",
        "get_polynomial_decay_schedule_with_warmup",
        "get_reduce_on_plateau_schedule",
        "get_scheduler",
        "get_wsd_schedule",
    ),
    "training.seed": ("enable_full_determinism", "set_seed"),
    "training.seq2seq": ("Seq2SeqTrainer",),
    "training.trainer": ("Trainer",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
_ROOMS = (
    *("as_transformers", "auto", "generation", "heads", "hub", "logging", "modeling", "models", "ops", "outputs"),
    *("pipelines", "processing", "sentences", "tokenization", "visualize"),
)
_ENDINGS = ("Config", "Model", "Tokenizer", "TokenizerFast", "Processor")
_BY_RULE = ("_available", "_MAPPING", "_MAPPING_NAMES")
_RENAMED = {"PreTrainedConfig": "PretrainedConfig"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        return __getattr__(_RENAMED[name])
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "load_ipython_extension":  # what `%load_ext formers` calls
        return importlib.import_module(f"{__name__}.views.notebook").load_ipython_extension
    if name == "__all__":
        return sorted({*_MODULE_OF, *_public_classes()})
    if name[:1].isupper() and (found := registry.find_class(name)) is not None:
        return found
    if name.endswith(_BY_RULE):
        for home in ("old_paths.availability", "old_paths.mappings"):
            if hasattr(module := importlib.import_module(f"{__name__}.{home}"), name):
                return getattr(module, name)
    raise errors.MissingAttributeError(lambda: explain_missing(name))


def _public_classes() -> list[str]:
    families = [registry.load(f) for f in registry.families()]
    names = {n for f in families for n, v in vars(f).items() if isinstance(v, type) and v.__module__ == f.__name__}
    return sorted(n for n in names if n.endswith(_ENDINGS) or "For" in n)


def explain_missing(name: str, paths: Iterable[str] = ()) -> str:
    """What to use instead of a name of Transformers that is not here; `paths` are other names it may be near to."""
    for prefix, framework in (("TF", "TensorFlow"), ("Flax", "Flax")):
        bare = name.removeprefix(prefix)
        if bare != name and (bare.startswith("Auto") or registry.candidates(bare)):
            return (
                f"formers has no {name}: models here run on PyTorch. Use {bare}; {framework} code does not carry over."
            )
    families = f" Its model families are: {', '.join(registry.families())}." if name[:1].isupper() else ""
    known = [*_MODULE_OF, *_ROOMS, *paths, *(_public_classes() if families else ())]
    return f"formers has no {name}.{errors.near(name, known)}{families}"


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, *_ROOMS, *_public_classes()})


class _OldPaths:
    """Asked by Python for modules that no file here is: Transformers' paths, as `formers.modeling_outputs`."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if not name.startswith(f"{__name__}."):
            return None
        return importlib.import_module(f"{__name__}.old_paths").find_spec(name)


sys.meta_path.append(_OldPaths)
