"""bertviz draws the attention of models of this package."""

from __future__ import annotations

import checks
from bertviz import head_view, model_view

import formers


@checks.check("head_view and model_view of attentions")
def views() -> None:
    tokenizer = formers.AutoTokenizer.from_pretrained(checks.minilm())
    model = formers.AutoModel.from_pretrained(checks.minilm())
    inputs = tokenizer("The cat sat.", "It slept.", return_tensors="pt")
    attention = model(**inputs, output_attentions=True).attentions
    tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    for view in (head_view, model_view):
        html = view(attention, tokens, sentence_b_start=tokens.index("[SEP]") + 1, html_action="return")
        assert "sat" in html.data


@checks.check("output_attentions=True given to from_pretrained, as bertviz's notebooks do")
def from_configuration() -> None:
    model = formers.AutoModel.from_pretrained(checks.minilm(), output_attentions=True)
    tokenizer = formers.AutoTokenizer.from_pretrained(checks.minilm())
    outputs = model(tokenizer.encode("The cat sat.", return_tensors="pt"))
    head_view(outputs[-1], ["a"] * outputs[-1][0].shape[-1], html_action="return")


if __name__ == "__main__":
    checks.run()
