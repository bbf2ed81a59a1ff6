"""Folders of tiny models that hear, as the hub has them: weights drawn at random, files as published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import speech_tokenizers

RATE = 16_000


def write_whisper(folder: Path) -> None:
    """A Whisper of many languages."""
    import torch
    import transformers

    folder.mkdir(parents=True)
    speech_tokenizers.whisper(folder)
    ids = json.loads((folder / "added_tokens.json").read_text(encoding="utf-8"))
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=max(ids.values()) + 1, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, decoder_start_token_id=start,
        pad_token_id=end, bos_token_id=end, eos_token_id=end, begin_suppress_tokens=None,
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config)
    languages = {code: ids[code] for code in map("<|{}|>".format, speech_tokenizers.LANGUAGES) if code in ids}
    said = {
        "max_length": 40, "no_timestamps_token_id": ids["<|notimestamps|>"], "is_multilingual": True,
        "prev_sot_token_id": ids["<|startofprev|>"], "lang_to_id": languages, "alignment_heads": [[0, 1], [1, 0]],
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
    }  # fmt: skip
    for name, value in said.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)


def write_wav2vec2(folder: Path) -> None:
    """A model for CTC, with the letters of English."""
    import torch
    import transformers

    folder.mkdir(parents=True)
    speech_tokenizers.ctc(folder)
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        vocab_size=32, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=[16] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)


def write_clip(path: Path, seconds: float = 3.0) -> None:
    """A sound that goes up and down."""
    import soundfile

    at = np.arange(int(seconds * RATE)) / RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (220 + 110 * np.sin(3 * at)) * at), RATE)
