"""Tiny checkpoints under names of the hub: real vocabularies, configurations as published, weights drawn at random.

`make_hub(root)` writes them with the reference, in the layout that hub_server serves.
To try code by hand: `python tests/hub_models.py ROOT`, then `python tests/hub_server.py ROOT`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hearing_folders
import page_folders
import seeing_folders
import writers
from corpus import DATA

STARS = ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")
BYTES = "bytes"  # instead of a vocabulary: every byte is a token
ENTITIES = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")


@dataclass(frozen=True)
class Model:
    """One checkpoint: its name, the reference's class that wrote it, and what its files say."""

    name: str
    architecture: str
    vocabulary: str = "bert-base-uncased"
    labels: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)  # what the model is made with beside its sizes
    tokenizer_json: bool = True
    pickled: bool = False  # pytorch_model.bin instead of model.safetensors
    old_names: bool = False  # LayerNorm.gamma and .beta, as in the first checkpoints
    revision: str = ""  # also there under this branch


MODELS = (
    Model("bert-base-uncased", "BertForPreTraining", old_names=True),
    Model("bert-base-cased", "BertForPreTraining", "bert-base-cased", old_names=True),
    Model("bert-large-uncased", "BertForMaskedLM"),
    Model("dbmdz/bert-base-german-cased", "BertForMaskedLM", "bert-base-cased"),
    Model("distilbert-base-uncased", "DistilBertForMaskedLM", old_names=True),
    Model("distilbert-base-cased", "DistilBertForMaskedLM", "bert-base-cased"),
    Model(
        "distilbert-base-uncased-finetuned-sst-2-english",
        "DistilBertForSequenceClassification",
        labels=("NEGATIVE", "POSITIVE"),
        config={"finetuning_task": "sst-2", "output_past": True},
        tokenizer_json=False,
    ),
    Model(
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
        "DistilBertForSequenceClassification",
        labels=("NEGATIVE", "POSITIVE"),
        tokenizer_json=False,
        revision="714eb0f",
    ),
    Model("distilbert/distilbert-base-cased", "DistilBertForMaskedLM", "bert-base-cased", revision="6ea8117"),
    Model(
        "nlptown/bert-base-multilingual-uncased-sentiment",
        "BertForSequenceClassification",
        labels=STARS,
        config={"_num_labels": 5, "directionality": "bidi", "pooler_type": "first_token_transform"},
        tokenizer_json=False,
        pickled=True,
    ),
    Model("textattack/bert-base-uncased-yelp-polarity", "BertForSequenceClassification", pickled=True),
    Model(
        "cross-encoder/ms-marco-MiniLM-L6-v2",
        "BertForSequenceClassification",
        labels=("LABEL_0",),
        config={"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"},
    ),
    Model("bert-base-cased-finetuned-mrpc", "BertForSequenceClassification", "bert-base-cased"),
    Model("distilbert/distilroberta-base", "RobertaForMaskedLM", BYTES, revision="fb53ab8"),
    Model("roberta-base", "RobertaForMaskedLM", BYTES),
    Model(
        "distilbert/distilbert-base-cased-distilled-squad",
        "DistilBertForQuestionAnswering",
        "bert-base-cased",
        revision="564e9b5",
    ),
    Model("deepset/bert-base-cased-squad2", "BertForQuestionAnswering", "bert-base-cased"),
    Model("bert-large-uncased-whole-word-masking-finetuned-squad", "BertForQuestionAnswering"),
    Model(
        "dbmdz/bert-large-cased-finetuned-conll03-english",
        "BertForTokenClassification",
        "bert-base-cased",
        labels=ENTITIES,
        revision="4c53496",
    ),
    Model(
        "google/tapas-base-finetuned-wtq",
        "TapasForQuestionAnswering",
        tokenizer_json=False,
        more={
            "aggregation_labels": {0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"},
            "num_aggregation_labels": 4,
            "no_aggregation_label_index": 0,
        },
        revision="e3dde19",
    ),
)
# models that write: their names and the reference's classes
WRITERS = {
    "openai-community/gpt2": "GPT2LMHeadModel",
    "microsoft/DialoGPT-medium": "GPT2LMHeadModel",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "LlamaForCausalLM",
}
TRANSLATIONS = {"de": "German", "fr": "French", "ro": "Romanian"}
T5_TASKS: dict[str, Any] = {
    f"translation_en_to_{code}": {
        "early_stopping": True, "max_length": 300, "num_beams": 4, "prefix": f"translate English to {language}: ",
    }
    for code, language in TRANSLATIONS.items()
}  # fmt: skip
T5_TASKS["summarization"] = {"early_stopping": True, "length_penalty": 2.0, "max_length": 200, "min_length": 30}
T5_TASKS["summarization"] |= {"no_repeat_ngram_size": 3, "num_beams": 4, "prefix": "summarize: "}
# those that write from other texts: their classes and what their configurations say
TRANSLATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "google-t5/t5-small": ("T5ForConditionalGeneration", {"task_specific_params": T5_TASKS}),
    "t5-base": ("T5ForConditionalGeneration", {"task_specific_params": T5_TASKS}),
    "google-t5/t5-base": ("T5ForConditionalGeneration", {"task_specific_params": T5_TASKS}),
    "sshleifer/distilbart-cnn-12-6": ("BartForConditionalGeneration", {"max_position_embeddings": 1024}),
    "facebook/bart-large-cnn": ("BartForConditionalGeneration", {"max_position_embeddings": 1024}),
}
# of tasks on pictures, and those that write: their models, and the commits that are loaded
USUAL = {
    "google/vit-base-patch16-224": "3f49326",
    "openai-community/gpt2": "607a30d",
    "google-t5/t5-base": "686f1db",
    "sshleifer/distilbart-cnn-12-6": "a4f8f3e",
    "impira/layoutlm-document-qa": "beed3c4",
}
# those that read pictures: the reference's classes, what they are made with, and the files of 4.20 for their processors
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_HALF = {"do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}
PICTURES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "google/vit-base-patch16-224": (
        "ViTForImageClassification",
        {**_SMALL, "id2label": {0: "Egyptian cat", 1: "lynx, catamount", 2: "tabby, tabby cat"}},
        {**_HALF, "feature_extractor_type": "ViTFeatureExtractor", "size": 224},
    ),
    "facebook/deit-base-distilled-patch16-224": (
        "DeiTForImageClassificationWithTeacher",
        {**_SMALL, "num_labels": 3},
        {**_HALF, "feature_extractor_type": "DeiTFeatureExtractor", "size": 256, "do_center_crop": True,
         "crop_size": 224, "resample": 3},
    ),
}  # fmt: skip
BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
DISTILBERT = {"dim": 24, "n_layers": 2, "n_heads": 12, "hidden_dim": 48}


def make_hub(root: Path) -> Path:
    """Write every model of MODELS as `root/name`, and as `root/name@revision` where it has one."""
    for model in MODELS:
        folder = root / model.name
        write(model, folder, DATA / f"{model.vocabulary}-vocab.txt")
        if model.revision:
            shutil.copytree(folder, root / f"{model.name}@{model.revision}")
    for name, architecture in WRITERS.items():
        changes = {"n_positions": 1024} if architecture.startswith("GPT2") else {}
        writers.write(root / name, architecture, template=not changes, **changes)
    for name, (architecture, says) in TRANSLATORS.items():
        writers.write(root / name, architecture, template=False, **says)
    for name, given in PICTURES.items():
        write_pictures(root / name, *given)
    seeing_folders.write_idefics3(root / "HuggingFaceTB/SmolVLM-256M-Instruct", "SmolVLM")
    page_folders.write_layoutlm(root / "impira/layoutlm-document-qa", byte_level=True, positions=512)
    page_folders.write_layoutlmv3(root / "microsoft/layoutlmv3-base", "Model", positions=514)
    hearing_folders.write_whisper(root / "openai/whisper-tiny")
    hearing_folders.write_wav2vec2(root / "facebook/wav2vec2-base-960h")
    for name, revision in USUAL.items():
        shutil.copytree(root / name, root / f"{name}@{revision}")
    return root


def write_pictures(folder: Path, architecture: str, values: dict[str, Any], processor: dict[str, Any]) -> None:
    """Write the files of a checkpoint that reads pictures."""
    import torch
    import transformers

    torch.manual_seed(0)
    maker = getattr(transformers, architecture)
    maker(maker.config_class(**values)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def write(model: Model, folder: Path, vocabulary: Path) -> None:
    """Write the files of one checkpoint."""
    import torch
    import transformers
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    shape = DISTILBERT if model.architecture.startswith("Distil") else BERT
    labels = {"id2label": dict(enumerate(model.labels))} if model.labels else {}
    maker = getattr(transformers, model.architecture)
    byte_level = model.vocabulary == BYTES
    size = write_bytes(folder) if byte_level else len(vocabulary.read_text(encoding="utf-8").splitlines())
    network = maker(maker.config_class(vocab_size=size, **shape, **labels, **model.more))
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(tensor.shape, generator=generator) * 0.2 for name, tensor in kept(network).items()}
    if model.old_names:
        weights = {old_name(name): tensor for name, tensor in weights.items()}
    if model.pickled:
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    values = network.config.to_dict() | {"architectures": [model.architecture], "dtype": None} | model.config
    values = {key: value for key, value in values.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(values, indent=2))
    if byte_level:
        (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512}))
        return
    text = vocabulary.read_text(encoding="utf-8")
    if model.architecture.startswith("Tapas"):
        text = text.replace("[unused0]", "[EMPTY]")
    (folder / "vocab.txt").write_text(text, encoding="utf-8")
    options = {"do_lower_case": "uncased" in model.vocabulary, "model_max_length": 512}
    if model.tokenizer_json:
        tokenizer = transformers.BertTokenizer(vocab=str(folder / "vocab.txt"), **options)
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(options))


def write_bytes(folder: Path) -> int:
    """Write a byte-level vocabulary without merges; its size."""
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return len(tokens)


def kept(network: Any) -> dict[str, Any]:
    """The tensors that a checkpoint holds: of those that share memory, the first."""
    first: dict[int, str] = {}
    state = network.state_dict()
    return {name: tensor for name, tensor in state.items() if first.setdefault(tensor.data_ptr(), name) == name}


def old_name(name: str) -> str:
    """The name that a parameter had in checkpoints converted from TensorFlow."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write tiny checkpoints under names of the hub.")
    parser.add_argument("root", type=Path)
    make_hub(parser.parse_args().root)
