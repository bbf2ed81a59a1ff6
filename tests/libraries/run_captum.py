"""captum's attributions of models of this package."""

from __future__ import annotations

from typing import Any

import checks
import torch
from captum.attr import IntegratedGradients, LayerActivation, LayerConductance, LayerIntegratedGradients


def prepared() -> tuple[Any, Any, Any, Any]:
    model = checks.tiny("bert")
    inputs = checks.batch(model)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]

    def logits(input_ids: Any, attention_mask: Any) -> Any:
        return model(input_ids, attention_mask=attention_mask).logits

    return model, ids, mask, logits


def complete(model: Any, scores: Any, ids: Any, baseline: Any, mask: Any) -> None:
    """Attributions sum to the difference of the outputs."""
    with torch.no_grad():
        change = (model(ids, attention_mask=mask).logits - model(baseline, attention_mask=mask).logits)[:, 1]
    torch.testing.assert_close(scores.flatten(1).sum(1).float(), change, rtol=0.05, atol=0.05)


for _name in ("embeddings", "embeddings.word_embeddings"):

    def layer(name: str = _name) -> None:
        model, ids, mask, logits = prepared()
        baseline = torch.full_like(ids, 1)
        method = LayerIntegratedGradients(logits, model.bert.get_submodule(name))
        scores = method.attribute(ids, baseline, additional_forward_args=(mask,), target=1, n_steps=200)
        assert scores.shape == (*ids.shape, model.config.hidden_size), scores.shape
        complete(model, scores, ids, baseline, mask)

    checks.check(f"LayerIntegratedGradients on model.bert.{_name}")(layer)


@checks.check("LayerActivation on a layer, which gives (hidden,)")
def activation() -> None:
    model, ids, mask, logits = prepared()
    found = LayerActivation(logits, model.bert.encoder.layer[0]).attribute(ids, additional_forward_args=(mask,))
    found = found[0] if isinstance(found, tuple) else found
    expected = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states[1]
    kept = mask.bool()
    checks.same(found[kept], expected[kept])


@checks.check("LayerActivation on model.bert.embeddings")
def embeddings() -> None:
    model, ids, mask, logits = prepared()
    found = LayerActivation(logits, model.bert.embeddings).attribute(ids, additional_forward_args=(mask,))
    checks.same(found[mask.bool()], model.bert.embeddings(ids)[mask.bool()])


@checks.check("LayerConductance on a layer")
def conductance() -> None:
    model, ids, mask, _ = prepared()
    vectors = model.bert.embeddings.word_embeddings(ids).detach()

    def of_vectors(inputs_embeds: Any, attention_mask: Any) -> Any:
        return model(inputs_embeds=inputs_embeds, attention_mask=attention_mask).logits

    found = LayerConductance(of_vectors, model.bert.encoder.layer[0]).attribute(
        vectors, additional_forward_args=(mask,), target=1, n_steps=8
    )
    found = found[0] if isinstance(found, tuple) else found
    assert found.shape == vectors.shape and found.isfinite().all()


@checks.check("IntegratedGradients on inputs_embeds")
def vectors() -> None:
    model, ids, mask, _ = prepared()
    vectors = model.bert.embeddings.word_embeddings(ids).detach()

    def of_vectors(inputs_embeds: Any, attention_mask: Any) -> Any:
        return model(inputs_embeds=inputs_embeds, attention_mask=attention_mask).logits

    scores = IntegratedGradients(of_vectors).attribute(vectors, additional_forward_args=(mask,), target=1, n_steps=8)
    assert scores.shape == vectors.shape and scores.isfinite().all() and scores[mask.bool()].abs().sum() > 0


if __name__ == "__main__":
    checks.run()
