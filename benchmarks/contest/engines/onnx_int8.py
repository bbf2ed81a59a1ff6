"""ONNX Runtime: exported, fused by its transformer optimizer, then quantised dynamically."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from ..inputs import Model
from .padded import Padded

FILE = "model.int8.onnx"


class Engine(Padded):
    """A session on `threads` threads."""

    def __init__(self, model: Model, threads: int, exported: str) -> None:
        super().__init__(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        path = str(Path(exported, FILE))
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.types = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
        self.inputs = [(given.name, self.types[given.type]) for given in self.session.get_inputs()]

    def forward(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        given = {"input_ids": ids, "attention_mask": mask}
        feed = {name: given[name].astype(kind) for name, kind in self.inputs}
        return np.asarray(self.session.run(None, feed)[0])


def export(model: Model, exported: str) -> None:
    """Write the quantised graph into the folder `exported`."""
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    from .torch_models import Outputs, example

    path = Path(exported, FILE)
    axes = {"input_ids": {0: "B", 1: "T"}, "attention_mask": {0: "B", 1: "T"}, "output": {0: "B"}}
    if model.task == "embeddings":
        axes["output"][1] = "T"
    # eager attention and the exporter by tracing give the graph whose parts the optimizer recognises
    torch.onnx.export(
        Outputs(model, attn_implementation="eager"),
        example(),
        path,
        input_names=["input_ids", "attention_mask"],
        output_names=["output"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    config = model.config
    heads = config.get("n_heads") or config["num_attention_heads"]
    width = config.get("dim") or config["hidden_size"]
    fused = optimizer.optimize_model(str(path), model_type="bert", num_heads=heads, hidden_size=width, opt_level=0)
    found = fused.get_fused_operator_statistics()
    layers = config.get("n_layers") or config["num_hidden_layers"]
    if found["Attention"] != layers or found["SkipLayerNormalization"] != 2 * layers or found["BiasGelu"] != layers:
        raise RuntimeError(f"the graph was not fused: {found}")
    fused.save_model_to_file(str(path))
    quantize_dynamic(
        path,
        path,
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
