"""ONNX export of models of this package, run with ONNX Runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path

import checks
import onnxruntime
import torch


def through_onnx(family: str, dynamo: bool) -> None:
    model = checks.tiny(family)
    inputs = checks.batch(model)
    free = {0: "rows", 1: "columns"}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "model.onnx"
        if dynamo:
            shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
            shapes = {"dynamic_shapes": {"input_ids": shape, "attention_mask": shape}}
        else:
            shapes = {"dynamic_axes": {"input_ids": free, "attention_mask": free, "logits": {0: "rows"}}}
        torch.onnx.export(
            checks.Plain(model), tuple(inputs.values()), str(path), input_names=list(inputs), output_names=["logits"],
            dynamo=dynamo, **shapes,
        )  # fmt: skip
        session = onnxruntime.InferenceSession(str(path))
        for rows, columns in ((3, 8), (2, 12)):
            inputs = checks.batch(model, rows, columns)
            (logits,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
            checks.same(logits, model(**inputs).logits, 1e-4)


for _family in checks.FAMILIES:
    checks.check(f"torch.onnx.export: {_family}")(lambda family=_family: through_onnx(family, True))
checks.check("torch.onnx.export(dynamo=False): bert")(lambda: through_onnx("bert", False))


if __name__ == "__main__":
    checks.run()
