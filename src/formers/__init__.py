"""formers: pretrained transformer models with the Transformers API.

Public names are resolved on first use; importing the package loads neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from typing import Any

from . import errors, registry
from .version import __version__ as __version__

_HOME = {
    "auto": (
        "AutoConfig",
        "AutoModel",
        "AutoModelForCausalLM",
        "AutoModelForMaskedLM",
        "AutoModelForMultipleChoice",
        "AutoModelForNextSentencePrediction",
        "AutoModelForPreTraining",
        "AutoModelForQuestionAnswering",
        "AutoModelForSequenceClassification",
        "AutoModelForTokenClassification",
        "AutoTokenizer",
    ),
    "config": ("PretrainedConfig",),
    "errors": tuple(n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.FormersError)),
    "modeling": ("PreTrainedModel",),
    "pipelines": (
        "FeatureExtractionPipeline",
        "FillMaskPipeline",
        "MultipleChoicePipeline",
        "NerPipeline",
        "NextSentencePipeline",
        "Pipeline",
        "PipelineException",
        "QuestionAnsweringPipeline",
        "SquadExample",
        "TextClassificationPipeline",
        "TextRankingPipeline",
        "TokenClassificationPipeline",
        "ZeroShotClassificationPipeline",
        "pipeline",
    ),
    "sentences": ("CrossEncoder", "SentenceEncoder"),
    "tokenization": (
        "AddedToken",
        "BasicTokenizer",
        "BatchEncoding",
        "PreTrainedTokenizer",
        "PreTrainedTokenizerBase",
        "PreTrainedTokenizerFast",
        "TensorType",
        "WordPieceTokenizer",
        "WordpieceTokenizer",
    ),
    "training.seed": ("set_seed",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
_INSTEAD = {
    "AdamW": "torch.optim.AdamW",
    "Adafactor": "torch.optim.Adafactor",
    "Trainer": "a loop of your own for now: model(**batch, labels=labels).loss.backward()",
    "TrainingArguments": "a loop of your own for now: model(**batch, labels=labels).loss.backward()",
    "DataCollatorWithPadding": "tokenizer.pad(examples, return_tensors='pt') as collate_fn for now",
}
_ROOMS = (
    *("auto", "heads", "hub", "logging", "modeling", "models", "ops", "outputs", "pipelines", "sentences"),
    *("tokenization", "visualize"),
)
_RENAMED = {"PreTrainedConfig": "PretrainedConfig", "AutoModelWithLMHead": "AutoModelForMaskedLM"}


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
    if name[:1].isupper():
        found = registry.find_class(name)
        if found is not None:
            return found
        raise _missing(name)
    raise AttributeError(f"module 'formers' has no attribute {name!r}{errors.near(name, _MODULE_OF)}")


def _public_classes() -> list[str]:
    families = [registry.load(f) for f in registry.families()]
    names = {n for f in families for n, v in vars(f).items() if isinstance(v, type) and v.__module__ == f.__name__}
    return sorted(n for n in names if n.endswith(("Config", "Model", "Tokenizer", "TokenizerFast")) or "For" in n)


def _missing(name: str) -> errors.MissingNameError:
    """An ImportError, so that `from formers import name` shows what to use instead."""
    for prefix, framework in (("TF", "TensorFlow"), ("Flax", "Flax")):
        bare = name.removeprefix(prefix)
        if bare != name and (bare.startswith("Auto") or registry.candidates(bare)):
            return errors.MissingNameError(
                f"formers has no {name}: models here run on PyTorch. Use {bare}; {framework} code does not carry over."
            )
    if name in _INSTEAD:
        return errors.MissingNameError(f"formers has no {name}. Use {_INSTEAD[name]}.")
    known = [*_MODULE_OF, *_public_classes()]
    return errors.MissingNameError(
        f"formers has no {name}.{errors.near(name, known)} Its model families are: {', '.join(registry.families())}."
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, *_ROOMS, *_public_classes()})
