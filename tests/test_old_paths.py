"""Transformers' paths of modules and what is in them, with the one word changed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest
import torch

import formers
from formers import errors, registry

PATHS = {
    "modeling_outputs": "BaseModelOutputWithPoolingAndCrossAttentions SequenceClassifierOutput ModelOutput",
    "modeling_utils": "PreTrainedModel apply_chunking_to_forward find_pruneable_heads_and_indices unwrap_model",
    "configuration_utils": "PretrainedConfig CONFIG_NAME",
    "tokenization_utils": "PreTrainedTokenizer AddedToken",
    "tokenization_utils_base": "BatchEncoding PaddingStrategy TruncationStrategy SpecialTokensMixin VERY_LARGE_INTEGER",
    "tokenization_utils_fast": "PreTrainedTokenizerFast",
    "data": "DataCollatorWithPadding DataCollatorForLanguageModeling default_data_collator",
    "data.data_collator": "DataCollator DataCollatorForSeq2Seq DataCollatorForPermutationLanguageModeling",
    "file_utils": "ModelOutput is_torch_available WEIGHTS_NAME add_start_docstrings cached_property TensorType",
    "utils": "logging is_torch_available CONFIG_NAME ExplicitEnum check_min_version send_example_telemetry to_py_obj",
    "utils.logging": "get_logger set_verbosity_info enable_explicit_format tqdm disable_progress_bar",
    "utils.import_utils": "is_peft_available is_torchdynamo_compiling",
    "utils.generic": "ModelOutput ExplicitEnum to_numpy flatten_dict",
    "utils.hub": "cached_file TRANSFORMERS_CACHE RepositoryNotFoundError PushToHubMixin",
    "utils.versions": "require_version",
    "pytorch_utils": "Conv1D prune_linear_layer ALL_LAYERNORM_LAYERS",
    "trainer_pt_utils": "LabelSmoother LengthGroupedSampler get_length_grouped_indices get_parameter_names",
    "trainer_utils": "EvalPrediction IntervalStrategy get_last_checkpoint set_seed",
    "activations": "ACT2FN get_activation GELUActivation gelu_new",
    "generation.logits_process": "LogitsProcessorList TopPLogitsWarper NoRepeatNGramLogitsProcessor",
    "generation.stopping_criteria": "StoppingCriteriaList MaxLengthCriteria validate_stopping_criteria",
    "generation.streamers": "TextStreamer TextIteratorStreamer",
    "generation.configuration_utils": "GenerationConfig GenerationMode",
    "generation_logits_process": "LogitsProcessorList HammingDiversityLogitsProcessor",
    "generation_stopping_criteria": "MaxTimeCriteria",
    "models.auto": "AutoModel CONFIG_MAPPING",
    "models.auto.modeling_auto": "MODEL_FOR_MASKED_LM_MAPPING MODEL_MAPPING_NAMES AutoModelForMaskedLM",
    "models.auto.configuration_auto": "AutoConfig CONFIG_MAPPING_NAMES",
    "models.auto.tokenization_auto": "AutoTokenizer TOKENIZER_MAPPING",
    "models.auto.auto_factory": "get_values",
    "models.auto.image_processing_auto": "AutoImageProcessor",
    "models.auto.feature_extraction_auto": "AutoFeatureExtractor",
    "models.auto.processing_auto": "AutoProcessor",
    "image_utils": "load_image ChannelDimension PILImageResampling IMAGENET_DEFAULT_MEAN OPENAI_CLIP_STD",
    "image_processing_utils": "BaseImageProcessor BatchFeature",
    "image_processing_base": "BatchFeature",
    "feature_extraction_utils": "BatchFeature",
    "processing_utils": "ProcessorMixin",
    "models.clip.image_processing_clip": "CLIPImageProcessor",
    "models.clip.processing_clip": "CLIPProcessor",
    "models.clip.tokenization_clip": "CLIPTokenizer",
    "models.clip.modeling_clip": "CLIPVisionTransformer CLIPModel",
    "models.vit.image_processing_vit_fast": "ViTImageProcessor",
    "models.bert": "BertModel BertTokenizer BertConfig",
    "models.bert.modeling_bert": "BertModel BertLayer BertEncoder BertSelfAttention ACT2FN PreTrainedModel",
    "models.bert.tokenization_bert": "BertTokenizer VOCAB_FILES_NAMES load_vocab BasicTokenizer WordpieceTokenizer",
    "models.bert.tokenization_bert_fast": "BertTokenizerFast",
    "models.bert.configuration_bert": "BertConfig",
    "models.data2vec.modeling_data2vec_text": "Data2VecTextModel",
    "modeling_bert": "BertModel",
    "pipelines.text_classification": "TextClassificationPipeline",
}


@pytest.mark.parametrize("path", PATHS)
def test_paths(path: str) -> None:
    module = importlib.import_module(f"formers.{path}")
    for name in PATHS[path].split():
        assert getattr(module, name) is not None


def test_every_family_has_its_paths() -> None:
    for family in registry.families():
        module = importlib.import_module(f"formers.models.{family}.modeling_{family}")
        assert all(getattr(module, head.__name__) is head for head in registry.load(family).HEADS.values())
        config = next(iter(registry.load(family).MODEL_TYPES.values()))
        there = importlib.import_module(f"formers.models.{family}.configuration_{family}")
        assert getattr(there, config.__name__) is config


def test_nothing_is_loaded_that_is_not_asked_for() -> None:
    code = (
        "import sys; from formers.utils import is_torch_available, CONFIG_NAME, logging; "
        "from formers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING, CONFIG_MAPPING; "
        "import formers.modeling_outputs, formers.trainer_utils; hasattr(formers, 'Nothing'); is_torch_available(); "
        "print([m for m in ('torch', 'formers.outputs', 'formers.models.bert') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("from formers.modeling_outputs import BasModelOutput", "Did you mean 'BaseModelOutput'"),
        ("from formers.models.bert.modeling_bert import BertLyer", "Did you mean 'BertLayer'"),
        ("from formers.models.bert import BertModle", "Did you mean 'BertModel'"),
        ("from formers.models.no_such import NoSuchModel", "no model family 'no_such'"),
        ("import formers.modeling_outptus", "Did you mean 'modeling_outputs'"),
        ("from formers.utils import is_torhc_available", "Did you mean 'is_torch_available'"),
        ("from formers.modeling_utils import BertModel", "`from formers import BertModel` gives it"),
        ("from formers.models.bert.modeling_tf_bert import TFBertModel", "has no 'modeling_tf_bert'"),
    ],
)
def test_what_is_not_there(statement: str, said: str) -> None:
    with pytest.raises(ImportError, match=said) as caught:
        exec(statement)
    assert isinstance(caught.value, errors.FormersError)


def test_a_name_that_is_not_there_is_no_attribute() -> None:
    assert not hasattr(formers, "Trianer") and not hasattr(formers, "is_torhc_available")
    with pytest.raises(AttributeError, match="Did you mean 'BertModel'"):
        formers.BertModle  # noqa: B018


def test_a_patch_reaches_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from formers.models import bert

    class Mine(bert.BertPooler):
        pass

    kept = bert.BertPooler
    with mock.patch("formers.models.bert.modeling_bert.BertPooler", Mine):
        assert type(formers.BertModel(formers.BertConfig(**bert.TINY)).pooler) is Mine
    assert bert.BertPooler is kept
    assert importlib.import_module("formers.models.bert.modeling_bert").BertPooler is kept


def test_availability() -> None:
    from formers.utils import check_min_version, is_flash_attn_2_available, is_tokenizers_available, requires_backends
    from formers.utils.versions import require_version

    from formers import is_tf_available, is_torch_available

    assert is_torch_available() and is_tokenizers_available("0.1") and not is_tokenizers_available("99")
    assert not is_tf_available() and not is_flash_attn_2_available()
    check_min_version("4.21.0.dev0")
    require_version("tokenizers>=0.11.1,!=0.11.3", "pip install tokenizers")
    for wrong in (
        lambda: check_min_version("99.0"),
        lambda: require_version("tokenizers>=99"),
        lambda: requires_backends(formers.BertModel, ["torch", "no_such_package"]),
    ):
        with pytest.raises(ImportError):
            wrong()


def test_mappings_are_those_of_the_auto_classes() -> None:
    from formers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING, MODEL_FOR_MASKED_LM_MAPPING_NAMES, get_values

    from formers import CONFIG_MAPPING, MODEL_FOR_MASKED_LM_MAPPING, TOKENIZER_MAPPING

    assert MODEL_FOR_MASKED_LM_MAPPING[formers.BertConfig] is formers.BertForMaskedLM
    assert formers.BertForMaskedLM in get_values(MODEL_FOR_MASKED_LM_MAPPING)
    assert formers.BertConfig in MODEL_FOR_MASKED_LM_MAPPING.keys()  # noqa: SIM118
    assert ("bert", "BertForMaskedLM") in MODEL_FOR_MASKED_LM_MAPPING_NAMES.items()
    assert CONFIG_MAPPING["bert"] is formers.BertConfig and "no-such" not in CONFIG_MAPPING
    assert {*registry.model_types()} <= {*CONFIG_MAPPING} and len(CONFIG_MAPPING) == len(list(CONFIG_MAPPING))
    assert TOKENIZER_MAPPING[formers.BertConfig] == (formers.BertTokenizer, formers.BertTokenizerFast)
    assert formers.BertTokenizer in get_values(TOKENIZER_MAPPING)
    assert formers.BertConfig not in MODEL_FOR_CTC_MAPPING and MODEL_FOR_CTC_MAPPING.get(formers.BertConfig) is None

    class MineConfig(formers.BertConfig):
        model_type = "mine-of-old-paths"

    assert MineConfig not in MODEL_FOR_MASKED_LM_MAPPING
    with pytest.raises(KeyError):
        MODEL_FOR_MASKED_LM_MAPPING[MineConfig]


def test_a_registered_model_is_in_the_mappings(monkeypatch: pytest.MonkeyPatch) -> None:
    from formers import CONFIG_MAPPING, MODEL_MAPPING, classes

    monkeypatch.setattr(classes, "configs", {})
    monkeypatch.setattr(classes, "models", {})

    class MineConfig(formers.BertConfig):
        model_type = "mine"

    class MineModel(formers.BertModel):
        config_class = MineConfig

    formers.AutoConfig.register("mine", MineConfig)
    MODEL_MAPPING.register(MineConfig, MineModel)
    assert CONFIG_MAPPING["mine"] is MineConfig and MODEL_MAPPING[MineConfig] is MineModel
    assert (
        type(formers.AutoModel.from_config(MineConfig(**importlib.import_module("formers.models.bert").TINY)))
        is MineModel
    )
    assert (MineConfig, MineModel) in MODEL_MAPPING.items()


def test_layers_are_those_of_the_reference() -> None:
    from transformers import pytorch_utils as theirs

    from formers import pytorch_utils as ours

    torch.manual_seed(0)
    conv, x = ours.Conv1D(6, 4), torch.randn(2, 3, 4)
    other = theirs.Conv1D(6, 4)
    other.load_state_dict(conv.state_dict())
    torch.testing.assert_close(conv(x), other(x))
    index = torch.tensor([0, 2])
    torch.testing.assert_close(ours.prune_layer(conv, index)(x), conv(x)[..., index])
    linear = torch.nn.Linear(4, 6)
    for dim in (0, 1):
        torch.testing.assert_close(
            ours.prune_linear_layer(linear, index, dim).weight, theirs.prune_linear_layer(linear, index, dim).weight
        )
    chunked = ours.apply_chunking_to_forward(conv, 1, 1, x)
    torch.testing.assert_close(chunked, conv(x))
    with pytest.raises(ValueError, match="multiple of 2"):
        ours.apply_chunking_to_forward(conv, 2, 1, x)
    names = importlib.import_module("formers.trainer_pt_utils").get_parameter_names(
        torch.nn.Sequential(linear, torch.nn.LayerNorm(6)), ours.ALL_LAYERNORM_LAYERS
    )
    assert names == ["0.weight", "0.bias"]


def test_activations_are_made_by_name() -> None:
    from formers.activations import ACT2FN, gelu_new, get_activation

    x = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(ACT2FN["gelu"](x), torch.nn.functional.gelu(x))
    torch.testing.assert_close(gelu_new(x), get_activation("gelu_new")(x))
    assert "relu" in ACT2FN and ACT2FN["relu"] is not ACT2FN["relu"]
    with pytest.raises(KeyError):
        ACT2FN["gleu"]


def test_trainer_utils(tmp_path: Any) -> None:
    from formers.trainer_utils import EvalPrediction, IntervalStrategy, get_last_checkpoint

    predictions, labels = EvalPrediction(predictions=[1], label_ids=[2])
    assert (predictions, labels) == ([1], [2])
    assert IntervalStrategy("steps") == "steps" and IntervalStrategy.NO.value == "no"
    with pytest.raises(ValueError, match="Did you mean 'epoch'"):
        IntervalStrategy("epochs")
    assert get_last_checkpoint(tmp_path) is None
    for step in (9, 100, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
    assert get_last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-100")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=True
    )


def test_logging_says_what_was_asked_for() -> None:
    said = run(
        "from formers.utils import logging\n"
        "log = logging.get_logger('formers.x')\n"
        "log.info('hidden'); logging.set_verbosity_info(); log.info('shown')\n"
        "log.warning_once('once %s', 1); log.warning_once('once %s', 1); log.info_once('i')\n"
        "logging.enable_explicit_format(); log.warning('explicit'); logging.reset_format()\n"
        "logging.disable_default_handler(); log.error('hidden'); logging.enable_default_handler(); log.error('back')\n"
        "import logging as python; python.basicConfig(format='ROOT %(message)s'); log.warning('by the program')\n"
        "logging.disable_propagation(); log.warning('ours'); logging.disable_progress_bar()\n"
        "print(list(logging.tqdm(range(2))), logging.is_progress_bar_enabled())\n"
    )
    lines = said.stderr.splitlines()
    assert lines[:3] == ["shown", "once 1", "i"]
    assert lines[3].startswith("[WARNING|<string>:5]") and lines[3].endswith(">> explicit")
    assert lines[4:] == ["back", "ROOT by the program", "ours"]
    assert said.stdout.strip() == "[0, 1] False"


def test_handlers_of_a_program_get_the_records_too() -> None:
    said = run(
        "import logging as python, sys\n"
        "from formers import logging\n"
        "mine = python.StreamHandler(sys.stdout)\n"
        "logging.add_handler(mine); logging.logger.warning('both'); logging.remove_handler(mine)\n"
        "logging.logger.warning('one')\n"
    )
    assert (said.stdout.split(), said.stderr.split()) == (["both"], ["both", "one"])


@pytest.mark.parametrize(
    ("verbosity", "said"),
    [
        ("error", ""),
        ("info", "i\nw\n"),
        ("critcal", "TRANSFORMERS_VERBOSITY=critcal is none of"),
        ("detail", "INFO [form"),
    ],
)
def test_the_verbosity_of_the_environment(verbosity: str, said: str) -> None:
    code = "from formers import logging; logging.logger.info('i'); logging.logger.warning('w')"
    assert run(code, TRANSFORMERS_VERBOSITY=verbosity).stderr.startswith(said)
    assert said or not run(code, TRANSFORMERS_VERBOSITY=verbosity).stderr


def test_advice_can_be_switched_off() -> None:
    code = "from formers import logging; logging.get_logger('formers.y').warning_advice('advice')"
    assert run(code).stderr == "advice\n"
    assert run(code, TRANSFORMERS_NO_ADVISORY_WARNINGS="1").stderr == ""


@pytest.mark.parametrize("given", [{}, {"epsilon": 0.3}, {"epsilon": 0.0, "ignore_index": 3}], ids=str)
def test_label_smoother(given: dict[str, Any]) -> None:
    from formers.trainer_pt_utils import LabelSmoother
    from transformers.trainer_pt_utils import LabelSmoother as Theirs

    ours, theirs = LabelSmoother(**given), Theirs(**given)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 5, generator=generator)
    labels = torch.tensor([[1, ours.ignore_index, 2, 4], [0, 3, ours.ignore_index, ours.ignore_index]])
    for more in ({}, {"shift_labels": True}, {"num_items_in_batch": torch.tensor(9)}):
        for output in ({"logits": logits}, formers.outputs.Seq2SeqLMOutput(logits=logits), (logits,)):
            if isinstance(output, tuple) and "shift_labels" in more:
                continue  # the reference's loses a dimension there
            torch.testing.assert_close(ours(output, labels, **more), theirs(output, labels.clone(), **more))
    shifted = ours((logits,), labels, shift_labels=True)
    torch.testing.assert_close(shifted, ours({"logits": logits}, labels, shift_labels=True))
    assert repr(ours) == repr(theirs)
    with pytest.raises(errors.InputError, match=r"labels have shape \(2, 3\), but the logits are for \(2, 4\)"):
        ours({"logits": logits}, labels[:, :3])
    with pytest.raises(errors.RangeError, match="labels holds 7"):
        ours({"logits": logits}, labels.masked_fill(labels == 4, 7))
