"""What the values of a GenerationConfig may be, each alone and together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import near

CACHES = (
    *("dynamic", "offloaded", "quantized", "static", "offloaded_static", "paged"),
    *("hybrid", "hybrid_chunked", "offloaded_hybrid", "offloaded_hybrid_chunked", "sliding_window"),
)
# what a value of None stands for when texts are written
DEFAULTS: dict[str, Any] = {
    "max_length": 20,
    "min_length": 0,
    "do_sample": False,
    "use_cache": True,
    "early_stopping": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "num_return_sequences": 1,
    "output_scores": False,
    "return_dict_in_generate": False,
    "remove_invalid_values": False,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "encoder_repetition_penalty": 1.0,
    "num_assistant_tokens": 20,
    "num_assistant_tokens_schedule": "constant",
    "assistant_lookbehind": 10,
    "assistant_confidence_threshold": 0.4,
    "target_lookbehind": 10,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
Rule = tuple[Callable[[Any], bool], str]


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)


def _is_whole(x: Any, least: int) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x >= least


def _is_ids(x: Any, least: int = 0) -> bool:
    return isinstance(x, (list, tuple)) and all(_is_whole(i, least) for i in x)


def _is_id(x: Any) -> bool:
    return _is_whole(x, -1)


def _is_sequences(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and len(x) > 0 and all(_is_ids(ids) and len(ids) > 0 for ids in x)


def _is_strings(x: Any) -> bool:
    given = [x] if isinstance(x, str) else x
    return isinstance(given, (list, tuple)) and len(given) > 0 and all(isinstance(s, str) and s for s in given)


def _is_decay(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and len(x) == 2 and _is_whole(x[0], 0) and _is_number(x[1])


def _one_of(*names: str) -> Rule:
    return (lambda x: isinstance(x, str) and x in names), "one of " + ", ".join(names)


_BOOL: Rule = (lambda x: isinstance(x, bool)), "True or False"
_COUNT: Rule = (lambda x: _is_whole(x, 1)), "a whole number, at least 1"
_AMOUNT: Rule = (lambda x: _is_whole(x, 0)), "a whole number, at least 0"
_ID: Rule = _is_id, "a token id, or -1 for none"
_IDS: Rule = (lambda x: _is_id(x) or _is_ids(x, -1)), "a token id or a list of them"
_LIST: Rule = _is_ids, "a list of token ids"
_SEQUENCES: Rule = _is_sequences, "a list of lists of token ids, none of them empty"
_NUMBER: Rule = _is_number, "a number"
_ABOVE: Rule = (lambda x: _is_number(x) and x > 0), "a number above 0"
_DISTANCE: Rule = (lambda x: _is_number(x) and x >= 0), "a number of at least 0"
_SHARE: Rule = (lambda x: _is_number(x) and 0 < x <= 1), "a number above 0, at most 1"
_RATE: Rule = (lambda x: _is_number(x) and 0 <= x <= 1), "a number from 0 to 1"
_CUTOFF: Rule = (lambda x: _is_number(x) and 0 <= x < 1), "a number from 0, below 1"

RULES: dict[str, Rule] = {
    **dict.fromkeys(("max_length", "max_new_tokens", "num_beams", "num_return_sequences", "num_beam_groups"), _COUNT),
    **dict.fromkeys(
        ("max_cache_len", "prefill_chunk_size", "prompt_lookup_num_tokens", "assistant_early_exit"), _COUNT
    ),
    **dict.fromkeys(("max_matching_ngram_size", "assistant_lookbehind", "target_lookbehind"), _COUNT),
    **dict.fromkeys(("min_length", "min_new_tokens", "top_k", "no_repeat_ngram_size"), _AMOUNT),
    "encoder_no_repeat_ngram_size": _AMOUNT,
    "seed": ((lambda x: _is_whole(x, 0) and x < 2**62), "a whole number, at least 0 and below 2**62"),
    **dict.fromkeys(("do_sample", "use_cache", "renormalize_logits", "remove_invalid_values", "token_healing"), _BOOL),
    **dict.fromkeys(("output_attentions", "output_hidden_states", "output_scores", "output_logits"), _BOOL),
    **dict.fromkeys(("return_dict_in_generate", "is_assistant", "low_memory", "disable_compile", "use_mtp"), _BOOL),
    **dict.fromkeys(("pad_token_id", "bos_token_id", "forced_bos_token_id"), _ID),
    **dict.fromkeys(("eos_token_id", "forced_eos_token_id", "decoder_start_token_id"), _IDS),
    **dict.fromkeys(("suppress_tokens", "begin_suppress_tokens"), _LIST),
    "bad_words_ids": _SEQUENCES,
    **dict.fromkeys(("temperature", "repetition_penalty", "encoder_repetition_penalty", "max_time"), _ABOVE),
    "num_assistant_tokens": _ABOVE,
    **dict.fromkeys(("top_p", "typical_p", "top_h"), _SHARE),
    **dict.fromkeys(("min_p", "assistant_confidence_threshold"), _RATE),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff"), _CUTOFF),
    "assistant_ensemble_weight": ((lambda x: _is_number(x) and 0 < x < 1), "a number above 0 and below 1"),
    **dict.fromkeys(("length_penalty", "guidance_scale", "presence_penalty", "frequency_penalty"), _NUMBER),
    **dict.fromkeys(("penalty_alpha", "diversity_penalty"), _DISTANCE),
    "early_stopping": ((lambda x: isinstance(x, bool) or x == "never"), "True, False or 'never'"),
    "stop_strings": (_is_strings, "a text or a list of texts, none of them empty"),
    "exponential_decay_length_penalty": (_is_decay, "(tokens after which it begins, factor)"),
    "num_assistant_tokens_schedule": _one_of("constant", "heuristic", "heuristic_transient"),
    "cache_implementation": _one_of(*CACHES),
}
WAYS_OUT = {
    "temperature": "For the best token instead of a drawn one, set do_sample=False.",
    "top_k": "0 looks at all tokens.",
    "top_p": "1.0 keeps all tokens; for the best token alone, set do_sample=False.",
    "num_beams": "1 searches without beams.",
    "num_return_sequences": "1 gives one text a prompt.",
    "repetition_penalty": "1.0 is no penalty, above it repetitions become rarer.",
    "max_new_tokens": "It counts what is written, without the prompt.",
    "max_length": "It counts the prompt too; max_new_tokens does not.",
    "stop_strings": "Leave it out to stop at the end token only.",
}
# what has an effect only where the first is on; with the values that have none
SAMPLING: dict[str, tuple[Any, ...]] = {
    "temperature": (1.0,),
    "top_k": (50, 0),
    "top_p": (1.0,),
    "min_p": (),
    "top_h": (),
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "seed": (),
}
BEAMS: dict[str, tuple[Any, ...]] = {
    "early_stopping": (False,),
    "length_penalty": (1.0,),
    "num_beam_groups": (1,),
    "diversity_penalty": (0.0,),
}
EXTRA_OUTPUTS = ("output_attentions", "output_hidden_states", "output_scores", "output_logits")
# arguments of `generate` that are no values to be written to a file
OF_GENERATE = (
    *("logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "synced_gpus", "assistant_model"),
    *("streamer", "negative_prompt_ids", "negative_prompt_attention_mask"),
)


def broken(name: str, value: Any) -> str:
    """What is wrong with one value, and the way out; '' where nothing is."""
    fits, rule = RULES.get(name, (None, ""))
    if value is None or fits is None or fits(value):
        return ""
    shown = text if len(text := repr(value)) <= 200 else f"{text[:200]}…"
    hint = f" {WAYS_OUT[name]}" if name in WAYS_OUT else ""
    return f"{name}={shown}: it should be {rule}.{hint}" + (
        near(value, CACHES) if name == "cache_implementation" else ""
    )


def impossible(values: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What cannot be done together: the names, and what is wrong with the way out. Each value alone fits its rule."""
    beams, returned, groups = (values.get(n) for n in ("num_beams", "num_return_sequences", "num_beam_groups"))
    if beams and returned and 1 < beams < returned:
        yield (
            ("num_return_sequences", "num_beams"),
            f"num_return_sequences={returned}: num_beams={beams} beams give at most as many texts. Raise num_beams.",
        )
    if beams == 1 and returned and returned > 1 and values.get("do_sample") is False:
        yield (
            ("num_return_sequences", "num_beams", "do_sample"),
            f"num_return_sequences={returned}: the best token each time gives one text only. "
            "Set do_sample=True, or num_beams to at least as many.",
        )
    if beams and groups and beams % groups:
        yield (
            ("num_beam_groups", "num_beams"),
            f"num_beam_groups={groups}: groups are of equal size, and num_beams={beams} cannot be divided by it.",
        )
    yield from _contrary(values)
    suppressed = set(values.get("suppress_tokens") or ())
    for name in ("forced_bos_token_id", "forced_eos_token_id"):
        forced = values.get(name)
        ids = {forced} if isinstance(forced, int) else set(forced or ())
        if ids and ids <= suppressed:
            yield (
                (name, "suppress_tokens"),
                f"{name}={forced}: suppress_tokens has it too, which leaves nothing to choose. Take it out of one.",
            )


def _contrary(values: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The same of ways of choosing."""
    beams, groups = values.get("num_beams"), values.get("num_beam_groups")
    drawn = bool(values.get("do_sample"))
    if values.get("diversity_penalty") and groups == 1 and beams != 1:
        yield (
            ("diversity_penalty", "num_beam_groups"),
            f"diversity_penalty={values['diversity_penalty']}: it keeps groups of beams apart, and there is one group. "
            "Set num_beam_groups, to num_beams for a group a beam.",
        )
    if (groups or 1) > 1 and beams != 1 and drawn:
        yield (
            ("num_beam_groups", "do_sample"),
            f"num_beam_groups={groups}: groups take the best tokens, and do_sample=True draws. Set do_sample=False.",
        )
    for name in ("constraints", "force_words_ids"):
        if values.get(name) is None:
            continue
        if beams == 1:
            yield ((name, "num_beams"), f"{name}: beams are searched for them. Set num_beams to at least 2.")
        if drawn or (groups or 1) > 1:
            other = "do_sample=True" if drawn else f"num_beam_groups={groups}"
            yield (
                (name, "do_sample", "num_beam_groups"),
                f"{name}: texts that have to contain something are not written with {other}. Leave one of them out.",
            )
    if values.get("dola_layers") is not None and (beams or 1) > 1:
        yield (
            ("dola_layers", "num_beams"),
            f"dola_layers={values['dola_layers']!r}: layers are contrasted for one text, and num_beams={beams}. "
            "Set num_beams=1.",
        )


def idle(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Values that have no effect beside the others: the name, and why."""
    if values.get("do_sample") is False:
        contrastive = bool(values.get("penalty_alpha"))
        for name, none in SAMPLING.items():
            if values.get(name) not in (None, *none) and not (name == "top_k" and contrastive):
                yield name, "is for drawing, and do_sample is False: set do_sample=True"
    if values.get("num_beams") == 1:
        for name, none in BEAMS.items():
            if values.get(name) not in (None, *none):
                yield name, "is for beams, and num_beams is 1: set num_beams to more"
    if values.get("use_cache") is False:
        for name in ("cache_implementation", "cache_config"):
            if values.get(name) is not None:
                yield name, "is about the cache, and use_cache is False: set use_cache=True"
    if values.get("return_dict_in_generate") is False:
        for name in EXTRA_OUTPUTS:
            if values.get(name):
                yield name, "is part of a result with names: set return_dict_in_generate=True"
    for which in ("max", "min"):
        if values.get(f"{which}_new_tokens") is not None and values.get(f"{which}_length") is not None:
            yield f"{which}_length", f"does not count beside {which}_new_tokens"
    for unit in ("new_tokens", "length"):
        least, most = (values.get(f"{which}_{unit}") for which in ("min", "max"))
        if least and most and least > most:
            yield f"min_{unit}", f"cannot be reached, max_{unit}={most} ends texts before: raise that"
