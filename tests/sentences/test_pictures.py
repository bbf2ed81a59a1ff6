"""SentenceEncoder on pictures: the vectors of sentence-transformers, of pictures and texts in one space."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from images.photos import NAMES, files, photo
from PIL import Image

import formers
from formers import SentenceEncoder, errors
from formers.sentences import MultimodalTransformer, Normalize, Pooling

PACKAGED = Path(formers.__file__).parent / "packaged"
CLIP, VIT = PACKAGED / "digits_and_words", PACKAGED / "digits"
TEXTS = [
    "a seven",
    "",
    "A picture of an EIGHT, of which one knows little but that it goes on for more tokens than are read of it.",
    "one two three",
]
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.from_pretrained(CLIP)


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    return [Image.fromarray(photo(name)) for name in NAMES]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return files(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def of_texts() -> np.ndarray[Any, Any]:
    return reference(text=TEXTS)


@pytest.fixture(scope="module")
def of_pictures(pictures: list[Any]) -> np.ndarray[Any, Any]:
    return reference(images=pictures)


def reference(**inputs: Any) -> np.ndarray[Any, Any]:
    """The vectors of Transformers, each input by itself: what sentence-transformers computes."""
    model = transformers.CLIPModel.from_pretrained(CLIP, dtype=torch.float32).eval()
    processor = transformers.CLIPProcessor.from_pretrained(CLIP)
    make = model.get_text_features if "text" in inputs else model.get_image_features
    ((name, values),) = inputs.items()
    options = {"truncation": True} if name == "text" else {}
    with torch.no_grad():
        rows = [make(**processor(**{name: [one]}, return_tensors="pt", **options)).pooler_output for one in values]
    return torch.cat(rows).numpy()


def same(found: Any, expected: Any) -> None:
    assert np.shape(found) == np.shape(expected)
    assert np.abs(np.asarray(found) - expected).max() < 1e-6 * max(1.0, np.abs(expected).max())


def test_texts_and_pictures_alone(
    encoder: SentenceEncoder, pictures: list[Any], paths: list[str], of_texts: Any, of_pictures: Any
) -> None:
    assert np.abs(of_texts[0] - of_texts[3]).max() > 0.1  # the texts differ at all
    assert np.abs(of_pictures[0] - of_pictures[1]).max() > 0.1
    same(encoder.encode(TEXTS), of_texts)
    same(encoder.encode(pictures), of_pictures)
    same(encoder.encode(TEXTS[2]), of_texts[2])
    same(encoder.encode(pictures[1]), of_pictures[1])
    for given in (paths, [Path(path) for path in paths], [Path(path).read_bytes() for path in paths]):
        same(encoder.encode(given), of_pictures)


def test_arrays_and_tensors(encoder: SentenceEncoder, of_pictures: Any) -> None:
    array = photo("astronaut")
    same(encoder.encode(array), of_pictures[0])
    same(encoder.encode([array, photo("camera")]), of_pictures[[0, NAMES.index("camera")]])
    same(encoder.encode(photo("camera")), of_pictures[NAMES.index("camera")])  # (H, W)
    same(encoder.encode(torch.from_numpy(array).permute(2, 0, 1)), of_pictures[0])


@pytest.mark.parametrize("size", [None, 1, 2])
def test_a_list_of_both_keeps_its_order(
    encoder: SentenceEncoder, pictures: list[Any], paths: list[str], of_texts: Any, of_pictures: Any, size: int | None
) -> None:
    mixed = [TEXTS[0], pictures[0], TEXTS[2], paths[1], {"image": pictures[4]}, {"text": TEXTS[3]}, TEXTS[1]]
    expected = np.stack(
        [of_texts[0], of_pictures[0], of_texts[2], of_pictures[1], of_pictures[4], of_texts[3], of_texts[1]]
    )
    same(encoder.encode(mixed, batch_size=size), expected)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    found = encoder.encode(inputs=mixed, batch_size=size, normalize_embeddings=True, convert_to_tensor=True)
    assert isinstance(found, torch.Tensor)
    same(found, expected / lengths)
    same(encoder.similarity(found[:1], found[1:])[0], (expected / lengths)[1:] @ (expected / lengths)[0])
    assert np.array_equal(encoder.encode(mixed, precision="ubinary"), np.packbits(expected > 0, axis=1))
    same(encoder.encode(mixed, truncate_dim=5), expected[:, :5])


def test_a_prompt_is_for_texts(encoder: SentenceEncoder, pictures: list[Any], of_pictures: Any) -> None:
    found = encoder.encode([pictures[0], "seven"], prompt="a ")
    same(found[0], of_pictures[0])
    same(found[1], encoder.encode("a seven"))


def test_what_a_text_is(encoder: SentenceEncoder, paths: list[str], of_texts: Any) -> None:
    same(encoder.encode({"text": TEXTS[0]}), of_texts[0])
    same(encoder.encode({"text": paths[0]}), reference(text=[paths[0]])[0])
    for text in ("no/such.png", "see https://a.b/c.png", "http://[a.png", "a seven.png", "pyproject.toml"):
        same(encoder.encode(text), reference(text=[text])[0])


def test_no_such_picture_is_a_text_that_is_said(encoder: SentenceEncoder, caplog: pytest.LogCaptureFixture) -> None:
    encoder.encode("photos/of_nobody.png")
    assert "'photos/of_nobody.png' is read as a text: there is no such file" in caplog.text
    caplog.clear()
    encoder.encode("this is no file.png")
    assert not caplog.text


def test_features(encoder: SentenceEncoder, pictures: list[Any]) -> None:
    text, picture = encoder.encode([TEXTS[0], pictures[0]], output_value=None)
    assert text["modality"] == "text" and text["input_ids"].ndim == 1
    assert picture["modality"] == "image" and picture["pixel_values"].shape == (3, 32, 32)
    assert encoder.preprocess(pictures[:2])["pixel_values"].shape == (2, 3, 32, 32)
    assert torch.equal(encoder.preprocess(TEXTS)["input_ids"], encoder.tokenize(TEXTS)["input_ids"])
    with pytest.raises(errors.InputError, match="give preprocess one kind"):
        encoder.preprocess([TEXTS[0], pictures[0]])


def test_attributes(encoder: SentenceEncoder) -> None:
    assert isinstance(encoder[0], MultimodalTransformer) and len(encoder) == 1
    assert encoder.modalities == ("text", "image") and encoder.max_seq_length == 16
    assert isinstance(encoder.processor, formers.CLIPProcessor)
    assert encoder.tokenizer is encoder.processor.tokenizer
    assert encoder.image_processor is encoder.processor.image_processor
    assert encoder.get_embedding_dimension() == encoder[0].get_word_embedding_dimension() == 32


def older(folder: Path, path: str, **own: Any) -> Path:
    """A folder as older releases wrote it, with the model in a folder of its own, or not."""
    (folder / path).mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy(CLIP / name, folder / path / name)
    step = {"idx": 0, "name": "0", "path": path, "type": "sentence_transformers.models.CLIPModel"}
    (folder / "modules.json").write_text(json.dumps([step]))
    (folder / "config_sentence_transformers.json").write_text('{"__version__": {"sentence_transformers": "2.0.0"}}')
    if own:
        (folder / path / "sentence_bert_config.json").write_text(json.dumps(own))
    return folder


@pytest.mark.parametrize("path", ["", "0_CLIPModel"])
def test_older_folders(tmp_path: Path, path: str, pictures: list[Any], of_texts: Any, of_pictures: Any) -> None:
    encoder = SentenceEncoder(older(tmp_path, path))
    same(encoder.encode([TEXTS[2], pictures[3]]), np.stack([of_texts[2], of_pictures[3]]))
    assert SentenceEncoder(older(tmp_path, path, max_seq_length=6)).max_seq_length == 6


def ways(output: str | None) -> dict[str, Any]:
    """What release 6 writes of CLIP; before Transformers 5 the methods gave the vectors themselves."""
    return {kind: {"method": f"get_{kind}_features", "method_output_name": output} for kind in ("text", "image")}


@pytest.mark.parametrize("output", ["pooler_output", None])
def test_newer_folders(tmp_path: Path, output: str | None, pictures: list[Any], of_pictures: Any) -> None:
    own = {
        "transformer_task": "feature-extraction",
        "modality_config": ways(output),
        "module_output_name": "sentence_embedding",
    }
    folder = older(tmp_path, "", **own)
    step = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}
    (folder / "modules.json").write_text(json.dumps([step]))
    same(SentenceEncoder(folder).encode(pictures[0]), of_pictures[0])


@pytest.mark.parametrize(
    "own",
    [
        {"modality_config": {"text": {"method": "get_text_features", "method_output_name": "last_hidden_state"}}},
        {"modality_config": {"image": {"method": "get_text_features", "method_output_name": "pooler_output"}}},
        {"modality_config": {"audio": {"method": "forward", "method_output_name": "last_hidden_state"}}},
        {"modality_config": ways("pooler_output"), "module_output_name": "token_embeddings"},
        {"processing_kwargs": {"text": {"padding": False}}},
        {"processing_kwargs": {"image": {"do_resize": False}}},
    ],
)
def test_settings_that_change_vectors_are_refused(tmp_path: Path, own: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigError, match="is not known here"):
        SentenceEncoder(older(tmp_path, "", **own))


def test_what_is_saved_is_read_again(tmp_path: Path, pictures: list[Any]) -> None:
    encoder = SentenceEncoder(formers.CLIPModel.from_pretrained(CLIP), formers.AutoProcessor.from_pretrained(CLIP))
    encoder.append(Normalize())
    encoder.max_seq_length, encoder.similarity_fn_name = 7, "dot"
    encoder.prompts = {"query": "a picture of ", "document": ""}
    mixed = [*TEXTS, *pictures]
    for place in ("a", "a", "b"):
        encoder.save(tmp_path / place)
        again = SentenceEncoder(tmp_path / place)
        assert np.array_equal(again.encode(mixed), encoder.encode(mixed))
        assert (again.max_seq_length, again.similarity_fn_name, again.prompts) == (7, "dot", encoder.prompts)
        encoder = again
    modules = json.loads((tmp_path / "b" / "modules.json").read_text())
    assert [step["type"].rpartition(".")[2] for step in modules] == ["CLIPModel", "Normalize"]
    assert modules[0]["path"] == ""  # so that the folder is one of Transformers too


@pytest.mark.parametrize("source", [CLIP, VIT])
def test_sentence_transformers_reads_what_is_saved(tmp_path: Path, source: Path, pictures: list[Any]) -> None:
    library = pytest.importorskip("sentence_transformers")
    encoder = SentenceEncoder(source)
    if "text" in encoder.modalities:
        encoder.max_seq_length = 7
    encoder.save_pretrained(tmp_path)
    theirs = library.SentenceTransformer(str(tmp_path))
    colored = [one.convert("RGB") for one in pictures]
    same(encoder.encode(colored), theirs.encode(colored))
    if "text" in encoder.modalities:
        same(encoder.encode(TEXTS), theirs.encode(TEXTS))
        theirs.save(str(tmp_path / "theirs"))
        same(
            SentenceEncoder(tmp_path / "theirs").encode([TEXTS[2], colored[0]]), encoder.encode([TEXTS[2], colored[0]])
        )


def test_a_model_of_pictures_alone(tmp_path: Path, pictures: list[Any]) -> None:
    encoder = SentenceEncoder(VIT)
    assert encoder.modalities == ("image",) and encoder.tokenizer is None and isinstance(encoder[1], Pooling)
    assert encoder.get_embedding_dimension() == 48 and encoder.max_seq_length is None
    model = transformers.ViTModel.from_pretrained(VIT, dtype=torch.float32).eval()
    inputs = transformers.AutoImageProcessor.from_pretrained(VIT)(pictures[:2], return_tensors="pt")
    with torch.no_grad():
        tokens = model(**inputs).last_hidden_state
    same(encoder.encode(pictures[:2]), tokens.mean(1).numpy())
    found = encoder.encode(pictures[:2], output_value="token_embeddings")
    same(torch.stack(found), tokens.numpy())
    with pytest.raises(
        errors.InputError, match=r"sentences\[1\] is 'a' \(str\); a picture is needed: this model reads"
    ):
        encoder.encode([pictures[0], "a"])
    encoder.save_pretrained(tmp_path)
    same(SentenceEncoder(tmp_path).encode(pictures[:2]), tokens.mean(1).numpy())


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_optimize(pictures: list[Any], of_texts: Any, of_pictures: Any, mode: str) -> None:
    found = SentenceEncoder(CLIP).optimize(mode).encode([*TEXTS, *pictures])
    expected = np.concatenate([of_texts, of_pictures])
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.999
    if mode == "float32":
        assert np.abs(found - expected).max() < 1e-5


def broken(folder: Path) -> str:
    whole = Path(files(folder, "coffee")[0])
    cut = folder / "cut.png"
    cut.write_bytes(whole.read_bytes()[:2000])
    return str(cut)


@pytest.mark.parametrize(
    ("made", "kind", "message"),
    [
        (lambda f: broken(f), errors.InputError, r"sentences\[1\]: .*cut\.png.* is damaged or cut short"),
        (lambda f: {"image": str(f / "gone.png")}, errors.NotFoundError, r"sentences\[1\]: There is no file"),
        (lambda f: f / "gone.png", errors.NotFoundError, r"sentences\[1\]: There is no file"),
        (lambda f: b"no picture", errors.InputError, r"sentences\[1\]: An image in 10 bytes is no image"),
        (lambda f: None, errors.InputError, r"sentences\[1\] is None \(NoneType\); a text or one picture"),
        (lambda f: {"image": ["a", "b"]}, errors.InputError, r"sentences\[1\] is \['a', 'b'\] \(list\); a text or one"),
        (
            lambda f: {"image": "a", "text": "b"},
            errors.InputError,
            r"sentences\[1\] is a dictionary of 'image', 'text'",
        ),
        (lambda f: {}, errors.InputError, r"sentences\[1\] is a dictionary of nothing"),
        (lambda f: {"text": 3}, errors.InputError, r"sentences\[1\] is 3 \(int\); a text \(str\) is needed"),
        (lambda f: np.zeros((2, 3, 8, 8)), errors.InputError, r"sentences\[1\] has the shape \(2, 3, 8, 8\)"),
    ],
)
def test_bad_input(
    encoder: SentenceEncoder, paths: list[str], tmp_path: Path, made: Callable[[Path], Any], kind: Any, message: str
) -> None:
    with pytest.raises(kind, match=message):
        encoder.encode([paths[0], made(tmp_path), "a seven"])


def test_a_model_of_texts_says_that_it_reads_no_picture(
    small: Callable[..., SentenceEncoder], pictures: list[Any]
) -> None:
    encoder = small()
    for given in (pictures[0], [pictures[0]], {"image": pictures[0]}, [photo("coffee")]):
        with pytest.raises(errors.InputError, match=r"sentences\[0\] is .*; a text \(str\) is needed"):
            encoder.encode(given)
    assert encoder.modalities == ("text",) and encoder.processor is encoder.tokenizer
    assert np.array_equal(encoder.encode([{"text": "film"}]), encoder.encode(["film"]))


def test_no_vectors_of_tokens_and_no_training(encoder: SentenceEncoder) -> None:
    with pytest.raises(errors.ConfigError, match="makes no vectors of tokens"):
        encoder.encode(TEXTS, output_value="token_embeddings")
    with pytest.raises(errors.ArgumentError, match="fit trains models of texts, and CLIPModel reads pictures"):
        encoder.fit([])
    with pytest.raises(
        errors.ArgumentError, match="CLIPModel needs a processor of texts and images, got a CLIPTokenizer"
    ):
        SentenceEncoder(encoder.model, encoder.tokenizer)
