"""feature-extraction with one vector a text: the tokens' vectors pooled, whoever else is in the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pipelines.conftest import texts

from formers import SentenceEncoder
from formers.errors import ArgumentError
from formers.ops.pooling import POOLINGS, pooled

TEXTS = [*texts(40, (1, 10)), ""]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("normalize", [False, True])
def test_one_vector_a_text(extractor: Any, pooling: str, normalize: bool) -> None:
    options = {"pooling": pooling, "normalize": normalize}
    expected = torch.cat([pooled(tokens, None, pooling) for tokens in extractor(TEXTS, return_tensors=True)])
    if normalize:
        expected = torch.nn.functional.normalize(expected, dim=1)
    for size in (None, 1, 8):
        found = extractor(TEXTS, batch_size=size, return_tensors=True, **options)
        assert {tuple(vector.shape) for vector in found} == {(32,)}
        torch.testing.assert_close(torch.stack(found), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.tensor(extractor(TEXTS, **options)), expected, atol=1e-5, rtol=1e-5)
    one = extractor(TEXTS[0], **options)
    assert isinstance(one[0], float) and one == pytest.approx(expected[0].tolist(), abs=1e-5)
    padded = extractor(TEXTS[0], padding="max_length", return_tensors=True, **options)  # padding counts for nothing
    torch.testing.assert_close(padded, expected[0], atol=1e-5, rtol=1e-5)
    assert next(extractor(iter(TEXTS), **options)) == pytest.approx(one, abs=1e-5)


def test_a_text_as_long_as_a_vector_is_wide(extractor: Any) -> None:
    texts = ["good " * 30, "a film"]  # 32 tokens
    assert [len(vector) for vector in extractor(texts, pooling="mean", batch_size=2)] == [32, 32]


def test_as_the_sentence_encoder(extractor: Any, base_folder: Any) -> None:
    vectors = SentenceEncoder.from_pretrained(base_folder).encode(TEXTS, convert_to_tensor=True)
    found = torch.stack(extractor(TEXTS, pooling="mean", return_tensors=True))
    torch.testing.assert_close(found, vectors, atol=1e-5, rtol=1e-5)


def test_arguments(extractor: Any) -> None:
    with pytest.raises(ArgumentError, match=r"pooling='men' is not known\. Did you mean 'mean'"):
        extractor("a", pooling="men")
    with pytest.raises(ArgumentError, match="give pooling too"):
        extractor(["a", "b"], normalize=True)
