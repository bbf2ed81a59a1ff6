"""OpenVINO: converted from the torch model; the precision is what it takes by itself, bf16 where there is AMX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino

from ..inputs import Model
from .padded import Padded

FILE = "model.xml"


class Engine(Padded):
    """A compiled model with one stream on `threads` threads, which is what the latency hint means here."""

    def __init__(self, model: Model, threads: int, exported: str) -> None:
        super().__init__(model)
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(Path(exported, FILE), "CPU", options)
        self.request = compiled.create_infer_request()

    def forward(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.array(self.request.infer([ids, mask], share_inputs=True)[0])


def export(model: Model, exported: str) -> None:
    """Write the converted model into the folder `exported`."""
    from .torch_models import Outputs, example

    shapes = [(name, [-1, -1], openvino.Type.i64) for name in ("input_ids", "attention_mask")]
    converted = openvino.convert_model(Outputs(model), example_input=example(), input=shapes)
    openvino.save_model(converted, Path(exported, FILE), compress_to_fp16=False)
