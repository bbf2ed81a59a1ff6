"""Every family that reads pictures or sound × head against the reference, elementwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import TOWER_CASES, TOWERS, difference, main_head, redraw
from of_families import CHANGED, UNSEEN, facts

from formers import registry
from formers.errors import ConfigError, FormersError, InputError
from images.towers import batch, config_of, flat, gradients, in_files, pair, pixels

TOLERANCE = 1e-5


def compare(family: str, got: Any, expected: Any) -> None:
    """That two outputs have the same fields, and the same in them."""
    ours, theirs, own = flat(got), flat(expected), facts(family).comparable
    assert [*ours] == [*theirs]
    for name in ours:
        assert difference(own(name, ours[name]), own(name, theirs[name])) < TOLERANCE, name


@pytest.mark.every
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize(("family", "head"), TOWER_CASES)
def test_eval(family: str, head: str, kernel: str) -> None:
    theirs, ours = pair(family, head, attn_implementation=kernel)
    inputs = batch(ours, head)
    options = {"output_hidden_states": True, "output_attentions": kernel == "eager"}
    options = {name: asked for name, asked in options.items() if name in ours.arguments()}
    with torch.no_grad():
        compare(family, ours(**inputs, **options), theirs(**inputs, **options))


FORMS = [(family, *form) for family in TOWERS for form in facts(family).forms]


@pytest.mark.parametrize(("family", "head", "changes"), FORMS, ids=lambda value: str(value).replace(" ", ""))
def test_other_forms(family: str, head: str, changes: dict[str, Any]) -> None:
    theirs, ours = pair(family, head, **changes)
    inputs = batch(ours, head)
    with torch.no_grad():
        compare(family, ours(**inputs), theirs(**inputs))


FREE = ("beit", "dinov2", "dinov2_with_registers")  # which take pictures of any size
INTERPOLATED = [
    (family, head)
    for family, head in TOWER_CASES
    if "interpolate_pos_encoding" in (cls := registry.load(family).HEADS[head]).inputs() + cls.KEYWORDS
    and family not in FREE
]


@pytest.mark.parametrize(("family", "head"), INTERPOLATED)
@pytest.mark.parametrize("size", [(40, 40), (48, 32)])
def test_pictures_of_another_size(family: str, head: str, size: tuple[int, int]) -> None:
    theirs, ours = pair(family, head)
    inputs = batch(ours, head, labels=False) | {"pixel_values": pixels(ours, size=size)}
    if head == "masked-image-modeling":
        inputs.pop("bool_masked_pos")
        if size[0] != size[1]:  # there the reference makes a square of what is none
            with torch.no_grad():
                assert ours(**inputs, interpolate_pos_encoding=True)[0].shape[2:] == size
            return
    with pytest.raises(InputError, match="interpolate_pos_encoding"):
        ours(**inputs)
    with torch.no_grad():
        compare(family, ours(**inputs, interpolate_pos_encoding=True), theirs(**inputs, interpolate_pos_encoding=True))


OF_ANY_SIZE = [*((family, {}) for family in FREE), ("swin", {"use_absolute_embeddings": False})]


@pytest.mark.parametrize(("family", "changes"), OF_ANY_SIZE, ids=str)
@pytest.mark.parametrize("size", [(40, 40), (48, 32), (45, 58)])
def test_pictures_of_any_size(family: str, changes: dict[str, Any], size: tuple[int, int]) -> None:
    theirs, ours = pair(family, "image-classification", **changes)
    with torch.no_grad():
        compare(family, ours(pixels(ours, size=size)), theirs(pixels(ours, size=size)))


def no_dropping(*models: Any) -> None:
    """Let nothing be dropped in training."""
    for module in (module for model in models for module in model.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("drop_prob", "drop_path_rate", "attention_dropout", "rate", "dropout", "activation_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def loss_of(family: str, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """The model's own, or where it has none a sum of squares."""
    torch.manual_seed(0)  # for what is drawn at random
    found, own = model(**inputs), facts(family).comparable
    if found.get("loss") is not None:
        return found.loss
    kept = (own(name, x) for name, x in flat(found).items() if x.is_floating_point() and x.requires_grad)
    return sum(x.square().sum() for x in kept)  # type: ignore[return-value]


@pytest.mark.parametrize(("family", "head"), TOWER_CASES)
def test_train_step(family: str, head: str) -> None:
    theirs, ours = pair(family, head)
    no_dropping(theirs, ours)
    inputs = batch(ours, head)
    expected, got = loss_of(family, theirs.train(), inputs), loss_of(family, ours.train(), inputs)
    assert difference(got, expected) < TOLERANCE
    expected.backward()
    got.backward()
    wanted = gradients(theirs, ours)
    largest = max(float(x.abs().max()) for x in wanted.values() if x.is_floating_point())
    assert largest > 0
    for name, parameter in ours.named_parameters():
        if parameter.grad is not None:
            assert float((parameter.grad - wanted[name]).abs().max()) < TOLERANCE * max(largest, 1.0), name
        else:
            assert not wanted[name].any(), name


@pytest.mark.every
@pytest.mark.parametrize(("family", "head"), TOWER_CASES)
def test_files(family: str, head: str, tmp_path: Path) -> None:
    """The names are those of the reference's files, and it opens ours."""
    theirs, ours = pair(family, head)
    shared = {name for name in ours.state_dict() if name in getattr(ours, "TIED", {})}
    names = {name for name in in_files(theirs, ours) if not name.endswith(ours.BUFFERS)}
    assert ours.state_dict().keys() - shared <= names <= ours.state_dict().keys()
    ours.save_pretrained(tmp_path)
    again = type(theirs).from_pretrained(tmp_path).eval()
    inputs = batch(ours, head)
    with torch.no_grad():
        compare(family, type(ours).from_pretrained(tmp_path)(**inputs), again(**inputs))


CONFIGS = {f: registry.load(f).HEADS["base"].config_class for f in TOWERS}


@pytest.mark.parametrize("family", TOWERS)
def test_defaults_are_the_references(family: str) -> None:
    ours, theirs = CONFIGS[family](), getattr(transformers, CONFIGS[family].__name__)()
    for key, value in ours.to_dict().items():
        if hasattr(theirs, key) and not isinstance(value, dict) and key not in facts(family).own_defaults:
            assert getattr(theirs, key) == value, key
    known = ours.to_dict().keys() | {"transformers_version", "dtype", "_name_or_path", "_pad_token_id"}
    assert theirs.to_dict().keys() <= known


PARTS = {f: {"": CONFIGS[f]} if not CONFIGS[f].sub_configs else CONFIGS[f].sub_configs for f in TOWERS}
KEYS = [
    (f, f"{part}.{key}".lstrip(".")) for f in TOWERS for part, kind in PARTS[f].items() for key in sorted(kind.keys())
]


@pytest.mark.parametrize(("family", "key"), KEYS)
def test_config_honoured(family: str, key: str) -> None:
    both = ("base",) if CONFIGS[family].sub_configs else ("image-classification", main_head(family))
    head = next(h for h in both if h in registry.load(family).HEADS)

    def result(**change: Any) -> tuple[Any, torch.Tensor | None]:
        torch.manual_seed(0)
        model = registry.load(family).HEADS[head](config_of(family, head, **change)).eval()
        redraw(model)
        with torch.no_grad():
            return {k: v.shape for k, v in model.state_dict().items()}, model(**batch(model, head, labels=False))[0]

    part, _, name = key.rpartition(".")
    config = config_of(family, head)
    value = getattr(getattr(config, part) if part else config, name)
    changed = {**CHANGED, **facts(family).changed}.get(name, another(value))
    changes = {name: changed, **facts(family).together.get(name, {})}
    if part:
        changes = {part: {**registry.load(family).TINY[part], **changes}}
    try:
        (shapes, out), (other_shapes, other_out) = result(), result(**changes)
    except ConfigError:  # the other tower's vectors are not as wide
        assert part
        return
    differs = shapes != other_shapes or out.shape != other_out.shape or not torch.equal(out, other_out)  # type: ignore[union-attr,arg-type]
    training_only = {name: "training only"} if "drop" in name else {}
    unseen = {**training_only, **OF_IMAGES, **UNSEEN, **facts(family).unseen}
    hidden = key in unseen or (name in unseen and name not in facts(family).seen)
    assert differs != hidden, unseen.get(key, unseen.get(name))


OF_IMAGES = {
    "encoder_stride": "the head that paints hidden patches",
    "pooler_output_size": "the body's pooler, which heads leave out",
    "pooler_act": "the body's pooler, which heads leave out",
    **dict.fromkeys(("out_features", "out_indices", "reshape_hidden_states"), "the backbone alone"),
    **dict.fromkeys(("semantic_loss_ignore_index", "auxiliary_loss_weight"), "losses of segments"),
}


def another(value: Any) -> Any:
    """A value that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return "relu" if value != "relu" else "gelu"
    if isinstance(value, float):
        return value * 1000 + 0.1 if value < 1e-3 else value / 2
    if value is None:
        return 1
    if isinstance(value, dict):  # of positions
        return {**value, "rope_theta": 10.0}
    return [2 * x for x in value] if isinstance(value, list) else 2 * value or 1


BAD = [
    ({"pixel_values": None}, "an image processor makes them"),
    ({"pixel_values": [[1.0]]}, "is a list, not a tensor"),
    ({"pixel_values": torch.zeros(3, 24, 24)}, r"pixel_values\[None\]"),
    ({"pixel_values": torch.zeros(2, 24, 24, 3)}, "permute"),
    ({"pixel_values": torch.zeros(2, 1, 24, 24)}, "1 channels"),
    ({"pixel_values": torch.zeros(0, 3, 24, 24)}, "nothing in it"),
    ({"pixel_values": torch.zeros(2, 3, 24, 24, dtype=torch.uint8)}, "scaled and normalised"),
]


@pytest.mark.parametrize(("inputs", "message"), BAD, ids=[message for _, message in BAD])
def test_inputs_that_are_none(inputs: dict[str, Any], message: str) -> None:
    model = registry.load("vit").HEADS["image-classification"](config_of("vit", "image-classification"))
    with pytest.raises(FormersError, match=message):
        model(**inputs)
