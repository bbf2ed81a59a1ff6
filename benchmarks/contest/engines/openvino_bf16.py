"""OpenVINO: converted from the torch model; the precision is what it takes by itself, bf16 where there is AMX."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import openvino

from ..inputs import Model
from .padded import Padded

FILE = "model.xml"


class Engine(Padded):
    """Single batches with the latency hint, several with the throughput hint: as many at once as it recommends."""

    def __init__(self, model: Model, threads: int, exported: str) -> None:
        super().__init__(model)
        self.path, self.threads = Path(exported, FILE), threads

    def _compiled(self, hint: str) -> openvino.CompiledModel:
        options = {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": self.threads}
        return openvino.Core().compile_model(self.path, "CPU", options)

    @cached_property
    def request(self) -> openvino.InferRequest:
        return self._compiled("LATENCY").create_infer_request()

    @cached_property
    def queue(self) -> openvino.AsyncInferQueue:
        return openvino.AsyncInferQueue(self._compiled("THROUGHPUT"))

    def forward_all(self, batches: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        if len(batches) == 1:
            return [np.array(self.request.infer(list(batches[0]), share_inputs=True)[0])]
        results: dict[int, np.ndarray] = {}
        self.queue.set_callback(lambda request, at: results.update({at: request.get_output_tensor(0).data.copy()}))
        for at, batch in enumerate(batches):
            self.queue.start_async(list(batch), at, share_inputs=True)
        self.queue.wait_all()
        return [results[at] for at in range(len(batches))]


def export(model: Model, exported: str) -> None:
    """Write the converted model into the folder `exported`."""
    from .torch_models import Outputs, example

    shapes = [(name, [-1, -1], openvino.Type.i64) for name in ("input_ids", "attention_mask")]
    converted = openvino.convert_model(Outputs(model), example_input=example(), input=shapes)
    openvino.save_model(converted, Path(exported, FILE), compress_to_fp16=False)
