"""Tiny models of every family, ours and the reference's, with equal weights."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from of_families import facts

from formers import PreTrainedModel, registry
from formers.heads import ReplacedTokenDetection
from formers.seq2seq import EndClassifier, Seq2SeqLM, SpanFinder


def reads_and_writes(family: str) -> bool:
    """Whether the family has an encoder and a decoder."""
    return bool(next(iter(registry.load(family).MODEL_TYPES.values())).is_encoder_decoder)


def reads_images(cls: Any) -> bool:
    """Whether a class of models reads pictures, alone or beside texts."""
    return "pixel_values" in cls.inputs()


def reads_sound(cls: Any) -> bool:
    """Whether a class of models reads sound, alone or beside texts."""
    return not {"input_features", "input_values"}.isdisjoint(cls.inputs())


SOUNDS = tuple(f for f in registry.families() if any(reads_sound(cls) for cls in registry.load(f).HEADS.values()))
SOUND_CASES = [(f, h) for f in SOUNDS for h in registry.load(f).HEADS]
JOINED = tuple(
    f for f in registry.families() if f not in SOUNDS and next(iter(registry.load(f).MODEL_TYPES.values())).sub_configs
)
SEQ2SEQ = tuple(f for f in registry.families() if f not in (*JOINED, *SOUNDS) and reads_and_writes(f))
IMAGES = tuple(
    f
    for f in registry.families()
    if f not in SOUNDS
    and not facts(f).texts_alone
    and any(reads_images(cls) for cls in registry.load(f).HEADS.values())
)
IMAGE_CASES = [(f, h) for f in IMAGES for h in registry.load(f).HEADS]
TOWERS, TOWER_CASES = (*IMAGES, *SOUNDS), [*IMAGE_CASES, *SOUND_CASES]
FAMILIES = tuple(  # of one stack of layers, for texts; what has a head alone is a part of others
    f
    for f in registry.families()
    if f not in (*SEQ2SEQ, *JOINED) and "base" in registry.load(f).HEADS and f not in (*IMAGES, *SOUNDS)
)
CASES = [(f, h) for f in FAMILIES for h in registry.load(f).HEADS]
SEQ2SEQ_CASES = [(f, h) for f in SEQ2SEQ for h in registry.load(f).HEADS]


def having(head: str) -> list[str]:
    """The families of one stack of layers with that head."""
    return [family for family in FAMILIES if head in registry.load(family).HEADS]


def main_head(family: str) -> str:
    """The head of tests that try one: what scores the vocabulary, or else the first beside the body."""
    heads = registry.load(family).HEADS
    first = ("seq2seq-lm", "speech-seq2seq", "masked-lm", "causal-lm")
    return next(head for head in (*first, *heads) if head in heads and head != "base")


def is_causal(family: str, head: str) -> bool:
    """Whether no column sees a later one, in a model that `pair` makes."""
    return facts(family).causal or head == "causal-lm"


def rates(family: str) -> list[str]:
    """The configuration's keys that are rates of dropout."""
    keys = registry.load(family).HEADS["base"].config_class.keys()
    return [key for key in keys if "drop" in key]


def first_layer(model: Any) -> Any:
    """The first layer of a model's body, which may be computed more than once."""
    return next(module for module in model.base_model.modules() if isinstance(module, torch.nn.ModuleList))[0]


def prunes(family: str) -> bool:
    """Whether the family's heads of attention can be pruned."""
    return registry.load(family).HEADS["base"]._attentions is not PreTrainedModel._attentions


def redraw(model: torch.nn.Module, seed: int = 0, fixed: bool = True) -> None:
    """Weights at std 0.2: at the usual 0.02 a wrong activation moves outputs less than any tolerance sees.

    fixed: also those that are not trained, which those who load a model may make anew.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if fixed or p.requires_grad):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)


def pair(family: str, head: str, **changes: Any) -> tuple[Any, Any]:
    """The reference's model and ours, from one configuration and with the same weights, both in eval mode."""
    module = registry.load(family)
    ours_class = module.HEADS[head]
    values = {**module.TINY, **changes}
    if head == "causal-lm" and not facts(family).causal and family not in SEQ2SEQ:
        values = {"is_decoder": True, **values}
    if "use_cache" in ours_class.config_class.keys():  # noqa: SIM118
        values = {"use_cache": False, **values}  # the cache comes with generation
    theirs_class = getattr(transformers, ours_class.__name__)
    only = {} if theirs_class._supports_sdpa else {"attn_implementation": "eager"}
    theirs = theirs_class(getattr(transformers, ours_class.config_class.__name__)(**{**values, **only}))
    redraw(theirs, fixed=False)
    ours = ours_class(ours_class.config_class(**values))
    ours.load_state_dict(theirs.state_dict())
    ours.tie_weights()
    return theirs.eval(), ours.eval()


def written_out(theirs: Any) -> None:
    """Let the reference's model compute attention step by step, also one that cannot be told to once it is made."""
    theirs.set_attn_implementation("eager")
    theirs.config._attn_implementation = "eager"


ANSWERS = ("question-answering", "document-question-answering")  # the heads that find a span
MASKS = {
    "none": [[1] * 9] * 3,
    "right": [[1] * 9, [1] * 5 + [0] * 4, [1] * 2 + [0] * 7],
    "left": [[1] * 9, [0] * 4 + [1] * 5, [0] * 7 + [1] * 2],
    "holes": [[1, 1, 0, 1, 1, 0, 0, 1, 1], [1] * 9, [1, 0, 1, 0, 1, 0, 1, 0, 0]],
    "all-masked": [[1] * 9, [0] * 9, [1] * 4 + [0] * 5],
}


def batch(model: Any, head: str, mask: str, labels: bool = True) -> dict[str, torch.Tensor]:
    """Inputs of every kind that the model reads, with labels at real tokens."""
    generator = torch.Generator().manual_seed(1)
    config, keep = model.config, torch.tensor(MASKS[mask])
    B, T = keep.shape

    def draw(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, high, shape, generator=generator)

    inputs = {"input_ids": draw(config.get_text_config().vocab_size, B, T), "attention_mask": keep}
    if "decoder_input_ids" in model.inputs():
        return inputs | _of_decoder(model, inputs, draw, labels)
    if getattr(model, "READS", None) == "last":  # there the reference tells padding by its id, and not by the mask
        padding, ids = config.pad_token_id, inputs["input_ids"]
        inputs["input_ids"] = ids.where(ids != padding, padding + 1).masked_fill(keep == 0, padding)
    if "token_type_ids" in model.inputs():  # a model without a table of types looks them up among its words
        inputs["token_type_ids"] = types(config, draw, B, T)
    if "bbox" in model.inputs():
        inputs["bbox"] = boxes(draw, B, T)
    if not labels or head in ("text-encoding", "base"):
        pass
    elif head in ("masked-lm", "causal-lm"):
        inputs["labels"] = draw(config.vocab_size, B, T).masked_fill(keep == 0, -100)
    elif isinstance(model, ReplacedTokenDetection):
        inputs["labels"] = draw(2, B, T)
    elif head == "pretraining":
        inputs["labels"] = draw(config.vocab_size, B, T).masked_fill(keep == 0, -100)
        for name in model.TARGETS[1:]:
            inputs[name] = draw(2, B)
    elif head == "token-classification":
        inputs["labels"] = draw(config.num_labels, B, T).masked_fill(keep == 0, -100)
    elif head in ANSWERS:
        inputs |= {"start_positions": draw(T + 3, B), "end_positions": draw(T + 3, B)}
    elif head == "multiple-choice":
        inputs["labels"] = draw(2, B)
    elif head == "table-question-answering":
        answer = torch.tensor([float("nan"), 1.5, 30.0])
        of_tokens = {"numeric_values": draw(9, B, T).float(), "numeric_values_scale": 1.0 + draw(3, B, T)}
        first, (column, row) = keep.argmax(1), inputs["token_type_ids"][..., 1:3].unbind(-1)
        for kind in (column, row):  # a cell that is there answers each question: what is not has no chance
            kind[torch.arange(B), first] = 1
        inputs["labels"] = draw(2, B, T).scatter(1, first[:, None], 1) * (column > 0) * (row > 0) * keep
        inputs |= {"aggregation_labels": draw(max(1, config.num_aggregation_labels), B)}
        inputs |= {"float_answer": answer, **of_tokens}
    else:
        inputs["labels"] = draw(config.num_labels, B)
    if head == "multiple-choice":
        per_choice = ("input_ids", "attention_mask", "token_type_ids")
        inputs = {k: torch.stack([v, v.flip(0)], 1) if k in per_choice else v for k, v in inputs.items()}
    return inputs


def boxes(draw: Any, *shape: int) -> torch.Tensor:
    """A box (x0, y0, x1, y1) for each token, in thousandths of the page."""
    return torch.stack([draw(1001, *shape, 2).sort(-1).values for _ in range(2)], -2).transpose(-1, -2).flatten(-2)


def types(config: Any, draw: Any, *shape: int) -> torch.Tensor:
    """Types of tokens; of a family with several kinds of them, one of each kind a token."""
    sizes = getattr(config, "type_vocab_sizes", None)
    if sizes is None:
        return draw(getattr(config, "type_vocab_size", config.vocab_size), *shape)
    return torch.stack([draw(size, *shape) for size in sizes], -1)


def _of_decoder(model: Any, inputs: dict[str, Any], draw: Any, labels: bool) -> dict[str, torch.Tensor]:
    """What a model with a decoder reads beside its encoder's inputs, which get ends of their own."""
    ids, config, keep = inputs["input_ids"], model.config.get_text_config(), inputs["attention_mask"]
    B, T = ids.shape
    if isinstance(model, EndClassifier):
        end = config.eos_token_id
        ids.masked_fill_(ids == end, end + 1)
        ids[torch.arange(B), (keep * torch.arange(1, T + 1)).argmax(1)] = end
        return {"labels": draw(config.num_labels, B)} if labels else {}
    if isinstance(model, SpanFinder):
        return {"start_positions": draw(T + 3, B), "end_positions": draw(T + 3, B)} if labels else {}
    written = {
        "decoder_input_ids": draw(config.vocab_size, B, 7),
        "decoder_attention_mask": torch.tensor([[1] * 7, [1] * 6 + [0], [1] * 3 + [0] * 4]),
    }
    if not labels or not isinstance(model, Seq2SeqLM):
        return written
    return written | {"labels": draw(config.vocab_size, B, 7).masked_fill(written["decoder_attention_mask"] == 0, -100)}


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference, relative to the largest value."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    if not theirs.numel():
        return 0.0
    ours, theirs = ours.detach().double(), theirs.detach().double()
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-6))
