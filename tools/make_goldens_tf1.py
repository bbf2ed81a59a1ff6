"""Write tests/goldens/google_bert and tests/goldens/tf_ckpt: checkpoints by TensorFlow itself, and what they hold.

Run it where TensorFlow 2.15 and Google's own code of BERT are installed, neither of which the package needs:

    pip install tensorflow-cpu==2.15.1 bert-tensorflow==1.0.4
    python tools/make_goldens_tf1.py

google_bert/ has a tiny model in the three layouts that google-research/bert leaves behind: pretraining/ as it was
published, classifier/ and squad/ as run_classifier.py and run_squad.py write them, with the optimizer's slots and the
global step. In each are `inputs.npz`, `outputs.npz` computed with the exact GELU, which is what Transformers takes
"gelu" in bert_config.json for, and `outputs_tanh.npz` with the approximation of Google's code ("gelu_new" there).
tf_ckpt/ has variables of every type, partitioned ones, several data files, and an object graph of TensorFlow 2, with
their values in `values.npz`.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import types
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow
import tensorflow.compat.v1 as tf
from absl import flags

GOLDENS = Path(__file__).parents[1] / "tests" / "goldens"
VOCABULARY = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g h i j k l m n o p q r s t u v w x y z ##a ##e ##ing . , ! ? 0 1"
)
CONFIG = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 8,
    "initializer_range": 0.02,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 40,
}
INPUTS = {
    "input_ids": [[2, 17, 8, 31, 3, 25, 36, 3], [2, 4, 39, 12, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0, 0, 0]],
    "attention_mask": [[1] * 8, [1] * 5 + [0] * 3, [1] * 2 + [0] * 6],
    "token_type_ids": [[0] * 5 + [1] * 3, [0, 0, 1, 1, 1, 0, 0, 0], [0] * 8],
}
LABELS = 3
NUMBERS = [
    *("float16", "float32", "float64", "complex64", "complex128"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
]


def layer_norm(inputs: Any, begin_norm_axis: int, begin_params_axis: int, scope: str | None) -> Any:
    """What Google's code calls in tensorflow.contrib, which TensorFlow 2 does not have."""
    with tf.variable_scope(scope, "LayerNorm"):
        beta = tf.get_variable("beta", [inputs.shape[-1]], initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", [inputs.shape[-1]], initializer=tf.ones_initializer())
    mean, variance = tf.nn.moments(inputs, [-1], keepdims=True)
    return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


def google(name: str) -> Any:
    """A module of Google's. Its scripts all define the same command-line flags, which only one may do at a time."""
    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        if module.startswith("bert."):
            for flag in defined:
                delattr(flags.FLAGS, flag.name)
    return importlib.import_module(f"bert.{name}")


def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + tf.math.erf(x / np.sqrt(2).astype(np.float32)))


def given() -> tuple[Any, list[Any]]:
    """Google's configuration and the inputs: what all of its functions begin with."""
    return google("modeling").BertConfig.from_dict(CONFIG), [tf.constant(value, tf.int32) for value in INPUTS.values()]


def pretraining(training: bool) -> dict[str, Any]:
    config, (ids, mask, kinds) = given()
    bert = google("modeling").BertModel(config, training, ids, mask, kinds)
    heads = google("run_pretraining")
    rows, columns = ids.shape
    every = tf.constant([list(range(columns))] * rows, tf.int32)
    loss, *_ = heads.get_masked_lm_output(
        config, bert.get_sequence_output(), bert.get_embedding_table(), every, tf.zeros_like(ids), tf.ones(ids.shape)
    )
    heads.get_next_sentence_output(config, bert.get_pooled_output(), tf.zeros([rows], tf.int32))
    find = tf.get_default_graph().get_tensor_by_name
    return {
        "loss": loss,
        "hidden_states": tf.stack([bert.get_embedding_output(), *bert.get_all_encoder_layers()]),
        "sequence_output": bert.get_sequence_output(),
        "pooled_output": bert.get_pooled_output(),
        "mlm_logits": tf.reshape(find("cls/predictions/BiasAdd:0"), [rows, columns, -1]),
        "nsp_logits": find("cls/seq_relationship/BiasAdd:0"),
    }


def classifier(training: bool) -> dict[str, Any]:
    config, inputs = given()
    labels = tf.constant([2, 0, 1], tf.int32)
    loss, _, logits, _ = google("run_classifier").create_model(config, training, *inputs, labels, LABELS, False)
    return {"loss": loss, "logits": logits}


def squad(training: bool) -> dict[str, Any]:
    config, inputs = given()
    start, end = google("run_squad").create_model(config, training, *inputs, False)
    return {"loss": tf.reduce_mean(tf.square(start - end)), "start_logits": start, "end_logits": end}


def draw(session: Any) -> None:
    random = np.random.RandomState(0)
    for variable in tf.trainable_variables():
        centre = 1 if "gamma" in variable.name else 0
        variable.load(centre + 0.2 * random.randn(*variable.shape), session)


def write(name: str, build: Any, prefix: str, steps: int) -> None:
    """A checkpoint after `steps` of training, and what it computes."""
    folder = GOLDENS / "google_bert" / name
    folder.mkdir(parents=True)
    in_turn = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)  # the same every time
    with tf.Graph().as_default(), tf.Session(config=in_turn) as session:
        tf.set_random_seed(0)
        loss = build(training=bool(steps))["loss"]
        train = google("optimization").create_optimizer(loss, 1e-2, 100, 0, False) if steps else None
        session.run(tf.global_variables_initializer())
        draw(session)
        for _ in range(steps):
            session.run(train)
        tf.train.Saver().save(session, str(folder / prefix), write_meta_graph=False, write_state=False)
    modeling = google("modeling")
    googles = modeling.gelu
    for file, function in (("outputs", gelu), ("outputs_tanh", googles)):
        modeling.gelu = function
        with tf.Graph().as_default(), tf.Session() as session:
            outputs = build(training=False)
            tf.train.Saver().restore(session, str(folder / prefix))
            del outputs["loss"]
            np.savez_compressed(folder / f"{file}.npz", **session.run(outputs))
    modeling.gelu = googles
    np.savez_compressed(folder / "inputs.npz", **{key: np.array(value) for key, value in INPUTS.items()})
    (folder / "bert_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (folder / "vocab.txt").write_text(VOCABULARY.replace(" ", "\n") + "\n")


def values() -> dict[str, np.ndarray]:
    """Values of every type, by the name of their variable."""
    random = np.random.RandomState(0)
    table = {f"types/{name}": (random.randn(3, 5) * 50).astype(name) for name in NUMBERS}
    table["types/bool"] = random.randn(7) > 0
    table["types/bfloat16"] = random.randn(4, 3).astype(tf.bfloat16.as_numpy_dtype)
    table["scalar"] = np.array(1.5, np.float32)
    table["empty"] = np.zeros((0, 3), np.float32)
    table["long"] = random.randn(3_001).astype(np.float32)
    return table


def write_variables() -> None:
    """As TensorFlow 1 writes it: two data files, and variables in slices along either dimension."""
    folder = GOLDENS / "tf_ckpt" / "variables"
    folder.mkdir(parents=True)
    table = values()
    two = tf.ConfigProto(device_count={"CPU": 2})
    with tf.Graph().as_default(), tf.Session(config=two) as session:
        tf.set_random_seed(0)
        for i, (name, value) in enumerate(table.items()):
            with tf.device(f"/cpu:{i % 2}"):
                tf.get_variable(name, initializer=value)
        cut = [tf.get_variable("rows", [300, 7], partitioner=tf.fixed_size_partitioner(4, axis=0))]
        with tf.device("/cpu:1"):
            cut.append(tf.get_variable("columns", [7, 300], partitioner=tf.fixed_size_partitioner(3, axis=1)))
        session.run(tf.global_variables_initializer())
        table["rows"], table["columns"] = session.run([tf.convert_to_tensor(variable) for variable in cut])
        saver = tf.train.Saver(sharded=True)
        saver.save(session, str(folder / "model.ckpt"), write_meta_graph=False, write_state=False)
    table["types/bfloat16"] = table["types/bfloat16"].astype(np.float32)  # numpy has no such type of its own
    np.savez_compressed(folder / "values.npz", **table)


def write_objects() -> None:
    """As TensorFlow 2 writes it: names are paths of objects, and their graph is in it too, as text."""
    folder = GOLDENS / "tf_ckpt" / "objects"
    folder.mkdir(parents=True)
    value = np.random.RandomState(2).randn(4, 3).astype(np.float32)
    with tf.Graph().as_default(), tf.Session().as_default() as session:
        saver = tensorflow.train.Checkpoint(layer=tensorflow.Module())
        saver.layer.kernel = tf.Variable(value)
        session.run(tf.global_variables_initializer())
        saver.write(str(folder / "ckpt"))
    np.savez_compressed(folder / "values.npz", **{"layer/kernel/.ATTRIBUTES/VARIABLE_VALUE": value})


def main() -> None:
    contrib = types.ModuleType("tensorflow.contrib")
    contrib.layers = types.SimpleNamespace(layer_norm=layer_norm)  # type: ignore[attr-defined]
    sys.modules["tensorflow.contrib"] = contrib
    tf.disable_v2_behavior()
    for name in ("google_bert", "tf_ckpt"):
        shutil.rmtree(GOLDENS / name, ignore_errors=True)
    write("pretraining", pretraining, "bert_model.ckpt", steps=0)
    write("classifier", classifier, "model.ckpt-3", steps=3)
    write("squad", squad, "model.ckpt-2", steps=2)
    write_variables()
    write_objects()
    for path in sorted([*GOLDENS.glob("google_bert/*/*"), *GOLDENS.glob("tf_ckpt/*/*")]):
        print(f"{path.relative_to(GOLDENS)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
