"""A tiny Whisper, ours and the reference's, with equal weights and all that its files say of languages and times."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from images.towers import pair

import formers

END, START, TRANSLATE, TRANSCRIBE, PREVIOUS, NO_SPEECH, NO_TIMES = 50, 51, 55, 56, 57, 58, 59
ROWS, POSITIONS, BANDS = 50, 48, 16  # of the encoder: a window is a second
WINDOW = 2 * ROWS
LANGUAGES = {"<|en|>": 52, "<|de|>": 53, "<|fr|>": 54}
FILE: dict[str, Any] = {
    "bos_token_id": END, "eos_token_id": END, "pad_token_id": END, "decoder_start_token_id": START,
    "no_timestamps_token_id": NO_TIMES, "prev_sot_token_id": PREVIOUS, "lang_to_id": LANGUAGES, "is_multilingual": True,
    "task_to_id": {"translate": TRANSLATE, "transcribe": TRANSCRIBE}, "alignment_heads": [[0, 1], [1, 0], [2, 1]],
    "max_initial_timestamp_index": 20, "max_length": POSITIONS, "return_timestamps": False,
    "begin_suppress_tokens": [3, END], "suppress_tokens": [7, 8, *range(START, NO_TIMES)],
}  # fmt: skip


def both(seed: int = 5, without: tuple[str, ...] = (), **changes: Any) -> tuple[Any, Any]:
    """The reference's model and ours. without: keys that generation_config.json lacks; changes: those it has."""
    torch.manual_seed(seed)  # the reference goes on forever where a window marks its own beginning alone
    theirs, ours = pair(
        "whisper", "speech-seq2seq", vocab_size=NO_TIMES + ROWS + 2, max_source_positions=ROWS, use_cache=True,
        max_target_positions=POSITIONS, num_mel_bins=BANDS, eos_token_id=END, bos_token_id=END, pad_token_id=END,
        decoder_start_token_id=START, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randn(ours.config.vocab_size, ours.config.d_model, generator=draw) * 0.35
    places = torch.randn(POSITIONS, ours.config.d_model, generator=draw)  # so that texts change as they go on
    for model in (theirs, ours):
        with torch.no_grad():
            model.get_decoder().embed_tokens.weight.copy_(tokens)
            model.get_decoder().embed_positions.weight.copy_(places)
            for layer in model.get_decoder().layers:  # and with the sound
                layer.encoder_attn.q_proj.weight.mul_(3)
                layer.encoder_attn.out_proj.weight.mul_(4)
    values = {name: value for name, value in {**FILE, **changes}.items() if name not in without}
    theirs.generation_config = transformers.GenerationConfig.from_dict(dict(values))
    ours.generation_config = formers.GenerationConfig.from_dict(dict(values))
    return theirs, ours


def sounds(frames: int, count: int = 1, seed: int = 0) -> torch.Tensor:
    """Features (B, M, T) of sounds that go on and on differently."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, BANDS, frames // 10 + 2, generator=draw)
    return coarse.repeat_interleave(10, 2)[:, :, :frames] + torch.randn(count, BANDS, frames, generator=draw) / 3
