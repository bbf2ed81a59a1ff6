"""Write tests/goldens/frameworks: models that TensorFlow and Flax saved, and what they computed with them.

Transformers 4 is the last that could write such files. In an environment of its own (Python 3.10 or 3.11):

    pip install "transformers==4.40.2" "tensorflow-cpu==2.15.1" "flax==0.8.3" "jax[cpu]==0.4.26" "numpy<2" "scipy<1.13"
    python tools/make_goldens_frameworks.py [FAMILY …]

It writes one folder for every head of BERT, DistilBERT, T5 and BART that the framework had, and for HEADS of the other
families. In it are the weights as `save_pretrained` wrote them (compressed, as nine tenths of a small HDF5 file are
empty) and expected.npz, which has the inputs and outputs of one batch. The other shapes that such files come in are
`VARIANTS`.
"""

from __future__ import annotations

import ast
import gzip
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "USE_TORCH": "0", "CUDA_VISIBLE_DEVICES": ""}

import jax
import jax.numpy as jnp
import keras
import numpy as np
import tensorflow as tf
import transformers
from flax.traverse_util import flatten_dict, unflatten_dict

type(jnp.zeros(1)).split = jnp.split  # it had this method when FlaxDistilBertForQuestionAnswering was written

ROOT = Path(__file__).parents[1]
MODELS, GOLDENS = ROOT / "src" / "formers" / "models", ROOT / "tests" / "goldens" / "frameworks"
FLAX_NAMES = {"BertLMHeadModel": "BertForCausalLM"}
SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
T5 = {"d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
BART = {
    "d_model": 8,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 12,
    "decoder_ffn_dim": 10,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "scale_embedding": True,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
}
CONFIGS = {
    "bert": SMALL,
    "distilbert": {"dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12},
    "albert": {**SMALL, "embedding_size": 6, "num_hidden_groups": 2, "inner_group_num": 1},
    "deberta_v2": {
        **SMALL,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 4,
        "norm_rel_ebd": "layer_norm",
        "conv_kernel_size": 3,
        "position_biased_input": False,
        "share_att_key": True,
    },
    "electra": {**SMALL, "embedding_size": 6},
    "mpnet": SMALL,
    "roberta": SMALL,
    "t5": T5,
    "mt5": T5,
    "bart": BART,
    "mbart": BART,
    "marian": BART,
    "pegasus": BART,
    "blenderbot": BART,
    "blenderbot_small": {**BART, "scale_embedding": False},  # which its decoder leaves out in Transformers 5
}
ALL_HEADS = (
    "bert",
    "distilbert",
    "t5",
    "bart",
)  # of the other families, heads whose parts are called differently from family to family
HEADS = ("masked-lm", "pretraining", "seq2seq-lm", "sequence-classification", "multiple-choice")
COMMON = {"vocab_size": 30, "max_position_embeddings": 16}
# family, framework, name of the golden, head, and changes of the configuration
VARIANTS: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    ("bert", "tf", "sharded", "pretraining", {}),
    ("bert", "tf", "second-of-its-name", "base", {}),  # Keras numbers the models of a process: tf_bert_model_1/…
    ("bert", "tf", "one-label", "sequence-classification", {"num_labels": 1}),
    ("bert", "tf", "safetensors", "pretraining", {}),  # with TensorFlow's names in it
    ("bert", "flax", "sharded", "pretraining", {}),
    ("bert", "flax", "safetensors", "pretraining", {}),  # with Flax's, joined by dots
    ("bert", "flax", "float16", "base", {}),
    ("distilbert", "flax", "bfloat16", "base", {}),
    ("bert", "flax", "untied", "masked-lm", {"tie_word_embeddings": False}),
    ("t5", "tf", "untied", "seq2seq-lm", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    ("t5", "flax", "untied", "seq2seq-lm", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    ("t5", "tf", "sharded", "seq2seq-lm", {}),
    ("bart", "tf", "sharded", "seq2seq-lm", {}),
    ("bart", "tf", "safetensors", "seq2seq-lm", {}),
    ("bart", "flax", "sharded", "seq2seq-lm", {}),
    ("t5", "tf", "safetensors", "seq2seq-lm", {}),
    ("bert", "flax", "tied-and-stored", "masked-lm", {}),  # as after a conversion from PyTorch
)


def heads() -> Iterator[tuple[str, str, str]]:
    """Family, head and class name of all that there is, read from the family files without running them."""
    for path in sorted(MODELS.glob("[a-z]*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HEADS":
                assert isinstance(node.value, ast.Dict)
                for key, value in zip(node.value.keys, node.value.values, strict=True):
                    yield path.stem, ast.literal_eval(key), ast.unparse(value)


def batch(config: Any, head: str) -> dict[str, np.ndarray]:
    """Three rows, two of them with padding, as one choice each or as two."""
    random = np.random.RandomState(7)
    ids = random.randint(0, config.vocab_size, (3, 7))
    inputs = {"input_ids": ids, "attention_mask": np.array([[1] * 7, [1] * 4 + [0] * 3, [1] * 6 + [0]])}
    if config.model_type in ("albert", "bert", "electra"):
        inputs["token_type_ids"] = random.randint(0, config.type_vocab_size, ids.shape)
    if config.is_encoder_decoder and head in ("sequence-classification", "question-answering"):  # read again at the end
        ends = inputs["attention_mask"].sum(1) - 1
        ids[ids == config.eos_token_id] += 1
        ids[np.arange(3), ends] = config.eos_token_id
    elif config.is_encoder_decoder and head not in ("text-encoding", "causal-lm"):
        inputs["decoder_input_ids"] = random.randint(0, config.vocab_size, (3, 5))
    if head == "multiple-choice":
        inputs = {name: np.stack([value, value[::-1]], axis=1) for name, value in inputs.items()}
    return inputs


def drawn(values: list[Any]) -> list[np.ndarray]:
    """New values for all weights: no two kernels, biases or norms are alike, and none looks like its transpose."""
    random = np.random.RandomState(3)
    return [(random.randn(*np.shape(value)) * 0.5).astype(np.float32) for value in values]


def tensorflow(name: str, config: Any, head: str, folder: Path, variant: str) -> dict[str, Any]:
    """Save a model of TensorFlow to `folder`; gives its outputs."""
    keras.backend.clear_session()
    model_class = getattr(transformers, f"TF{name}")
    model = model_class(config)
    if variant == "second-of-its-name":
        model = model_class(config)
    inputs = {key: tf.constant(value, tf.int32) for key, value in batch(config, head).items()}
    model(inputs)
    model.set_weights(drawn(model.get_weights()))
    size = "3KB" if variant == "sharded" else "10GB"
    model.save_pretrained(folder, safe_serialization=variant == "safetensors", max_shard_size=size)
    return dict(model(inputs, output_hidden_states=True, training=False))


def flax(name: str, config: Any, head: str, folder: Path, variant: str) -> dict[str, Any]:
    """Save a model of Flax to `folder`; gives its outputs, which are in float32 also with the weights in less."""
    model = getattr(transformers, f"Flax{FLAX_NAMES.get(name, name)}")(config, seed=0)
    leaves, structure = jax.tree_util.tree_flatten(model.params)
    params = jax.tree_util.tree_unflatten(structure, drawn(leaves))
    if variant in ("float16", "bfloat16"):
        params = jax.tree_util.tree_map(lambda x: jnp.asarray(x, variant), params)
    stored = params
    if variant == "tied-and-stored":
        flat = flatten_dict(params)
        table = flat["bert", "embeddings", "word_embeddings", "embedding"]
        stored = unflatten_dict({**flat, ("cls", "predictions", "decoder", "kernel"): table.T})
    size = "3KB" if variant == "sharded" else "10GB"
    model.save_pretrained(folder, params=stored, safe_serialization=variant == "safetensors", max_shard_size=size)
    inputs = {key: jnp.asarray(value) for key, value in batch(config, head).items()}
    params = jax.tree_util.tree_map(lambda x: jnp.asarray(x, jnp.float32), params)
    return dict(model(**inputs, params=params, output_hidden_states=True, train=False))


def write(family: str, framework: str, head: str, name: str, variant: str = "", **changes: Any) -> None:
    labels = {"num_labels": 3} if head.endswith("-classification") else {}
    values = {**COMMON, **CONFIGS[family], **labels, **changes}
    if head == "causal-lm":
        values |= {"is_decoder": True, "use_cache": False}
    config = transformers.AutoConfig.for_model(family.replace("_", "-"), **values)
    target = GOLDENS / family / framework / (variant or head)
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        saved = Path(temporary)
        outputs = (tensorflow if framework == "tf" else flax)(name, config, head, saved, variant)
        for path in sorted(saved.iterdir()):
            if path.suffix == ".json":
                shutil.copyfile(path, target / path.name)
            else:
                packed = gzip.compress(path.read_bytes(), mtime=0)
                (target / f"{path.name}.gz").write_bytes(packed)
    expected = {f"inputs.{key}": value for key, value in batch(config, head).items()}
    outputs.pop("past_key_values", None)
    for key, value in outputs.items():
        parts = {f"{key}.{i}": x for i, x in enumerate(value)} if isinstance(value, tuple) else {key: value}
        expected |= {f"outputs.{part}": np.asarray(x, np.float32) for part, x in parts.items()}
    np.savez_compressed(target / "expected.npz", **expected)
    print(target.relative_to(ROOT), f"{sum(path.stat().st_size for path in target.iterdir()):,} bytes", flush=True)


def main(chosen: list[str]) -> None:
    written: set[str] = set()
    for family in chosen:
        shutil.rmtree(GOLDENS / family, ignore_errors=True)
    classes = {(family, head): name for family, head, name in heads()}
    for (family, head), name in classes.items():
        if family not in chosen or (family not in ALL_HEADS and (head not in HEADS or name in written)):
            continue
        if head != "seq2seq-lm" and name == classes.get((family, "seq2seq-lm")):  # one class under several names
            continue
        written.add(name)
        for framework, theirs in (("tf", f"TF{name}"), ("flax", f"Flax{FLAX_NAMES.get(name, name)}")):
            if theirs == "TFRobertaForMultipleChoice":
                print(f"{theirs} gives logits alone", file=sys.stderr)
            elif hasattr(transformers, theirs):
                write(family, framework, head, name)
            else:
                print(f"transformers has no {theirs}", file=sys.stderr)
    for family, framework, variant, head, changes in VARIANTS:
        if family not in chosen:
            continue
        write(family, framework, head, classes[family, head], variant, **changes)


if __name__ == "__main__":
    main(sys.argv[1:] or list(CONFIGS))
