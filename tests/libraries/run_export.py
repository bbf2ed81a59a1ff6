"""torch.export of models of this package."""

from __future__ import annotations

import checks
import torch


def exported(family: str, strict: bool) -> None:
    model = checks.tiny(family)
    inputs = checks.batch(model)
    with torch.no_grad():
        program = torch.export.export(checks.Plain(model), (), inputs, strict=strict)
        checks.same(program.module()(**inputs), model(**inputs).logits)


for _family in checks.FAMILIES:
    checks.check(f"export: {_family}")(lambda family=_family: exported(family, False))


@checks.check("export with a batch and a length that may change")
def dynamic() -> None:
    model = checks.tiny("bert")
    shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with torch.no_grad():
        program = torch.export.export(
            checks.Plain(model), (), checks.batch(model), dynamic_shapes={"input_ids": shape, "attention_mask": shape}
        )
        for rows, columns in ((3, 8), (2, 12), (5, 5)):
            inputs = checks.batch(model, rows, columns)
            checks.same(program.module()(**inputs), model(**inputs).logits)


@checks.check("the model itself, with its output")
def whole() -> None:
    model = checks.tiny("bert")
    inputs = checks.batch(model)
    with torch.no_grad():
        out = torch.export.export(model, (), inputs, strict=False).module()(**inputs)
    checks.same(out.logits, model(**inputs).logits)


if __name__ == "__main__":
    checks.run()
