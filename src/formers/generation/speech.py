"""`generate` of models that hear: what a call asks of a dictation, and what it gets back."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import ArgumentError, InputError, NotTensorError
from .configuration import GenerationConfig
from .dictation import Dictation, Said
from .generate import GenerationMixin


class SpeechGeneration(GenerationMixin):
    """The part of a model that writes what it hears.

    STRIDE: frames to a row of the encoder. LANGUAGES: the codes of languages by their names, in small letters.
    """

    STRIDE: ClassVar[int] = 2
    LANGUAGES: ClassVar[dict[str, str]] = {}

    @torch.no_grad()
    def generate(  # type: ignore[override]  # the reference's arguments
        self,
        input_features: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Any = None,
        synced_gpus: bool = False,
        return_timestamps: bool | None = None,
        task: str | None = None,
        language: Any = None,
        is_multilingual: bool | None = None,
        prompt_ids: Any = None,
        prompt_condition_type: str | None = None,
        condition_on_prev_tokens: bool | None = None,
        temperature: Any = None,
        compression_ratio_threshold: float | None = None,
        logprob_threshold: float | None = None,
        no_speech_threshold: float | None = None,
        num_segment_frames: int | None = None,
        attention_mask: Tensor | None = None,
        time_precision: float = 0.02,
        time_precision_features: float = 0.01,
        return_token_timestamps: bool | None = None,
        return_segments: bool = False,
        return_dict_in_generate: bool | None = None,
        force_unique_generate_call: bool | None = None,
        monitor_progress: Any = None,
        forced_decoder_ids: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Write what is said.

        Args:
            input_features: (B, M, T), of any length: windows of 30 s (3,000 frames) are read one after the other.
            attention_mask: (B, T) which frames are sound; needed for several sounds of more than a window.
            language: a code ("de") or a name ("german"), or a list with one a sound; heard where it is None.
            task: "transcribe", which is done by default, or "translate", to English.
            return_timestamps: write tokens of time too; None for as generation_config.json says. They are always
                written of more than a window, and with False left out of what is returned.
            prompt_ids: tokens of a text that could come before, from the tokenizer's `get_prompt_ids`.
            prompt_condition_type: whether these are for the "first-segment" or for "all-segments".
            condition_on_prev_tokens: begin a window with what was said before.
            temperature: 0 takes the best tokens, above tokens are drawn; several are tried in turn while a window
                repeats itself (`compression_ratio_threshold`, 1.35 is usual) or its tokens are unlikely
                (`logprob_threshold`, the mean of log probabilities, -1.0 is usual).
            no_speech_threshold: leave a window out that is likelier without speech (0.6 is usual) and whose tokens are
                unlikely.
            return_token_timestamps: when each token begins, from generation_config's `alignment_heads`.
            return_segments: the segments of each sound too.
            monitor_progress: called before each window with (B, 2), the frames read and those there are.
            forced_decoder_ids: language and task as older code says them, from a processor's `get_decoder_prompt_ids`.
            kwargs: keys of GenerationConfig, `encoder_outputs` of one window, `decoder_input_ids` to begin with.

        Returns:
            (B, s) tokens, without those that a window begins with and without its end, padded on the right; or
            {"sequences", "token_timestamps" (B, s) in seconds, "segments"} of what is asked for, where a segment is
            {"start", "end" in seconds, "tokens", "idxs", "result"}; or with `return_dict_in_generate`, for one window
            without times, what `generate` returns elsewhere.

        Errors: InputError for a language or task that the model has not, and for what contradicts itself.
        """
        kwargs.update(logits_processor=logits_processor, stopping_criteria=stopping_criteria)
        kwargs["prefix_allowed_tokens_fn"] = prefix_allowed_tokens_fn
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        given = kwargs.pop("inputs", None)
        features = given if input_features is None else input_features
        encoded = kwargs.pop("encoder_outputs", None)
        self._check_features(features, encoded)
        if "decoder_input_ids" in kwargs or "assistant_model" in kwargs or force_unique_generate_call:
            return self._once(features, encoded, generation_config, kwargs)
        dictation = Dictation(
            self, generation_config, kwargs, temperature, return_timestamps=return_timestamps, task=task,
            language=language, is_multilingual=is_multilingual, prompt_ids=prompt_ids,
            prompt_condition_type=prompt_condition_type, condition_on_prev_tokens=condition_on_prev_tokens,
            compression_ratio_threshold=compression_ratio_threshold, logprob_threshold=logprob_threshold,
            no_speech_threshold=no_speech_threshold, return_token_timestamps=return_token_timestamps,
            monitor_progress=monitor_progress, forced_decoder_ids=forced_decoder_ids,
        )  # fmt: skip
        said = dictation.start(features, attention_mask, encoded)
        for _ in dictation.steps(said):
            pass
        whole = dictation.config.return_dict_in_generate if return_dict_in_generate is None else return_dict_in_generate
        if whole and not dictation.timed and not return_token_timestamps and not return_segments:
            return dictation.last
        return self._collected(dictation, said, return_segments or bool(whole))

    def _check_features(self, features: Any, encoded: Any) -> None:
        who = type(self).__name__
        if (features is None) == (encoded is None):
            raise ArgumentError(f"{who}.generate needs input_features, or encoder_outputs in their place.")
        if features is None:
            return
        if not isinstance(features, Tensor):
            raise NotTensorError(f"{who}: input_features is a {type(features).__name__}, not a tensor.")
        bands = self.config.num_mel_bins
        if features.dim() != 3 or features.shape[1] != bands or not features.shape[2] or not len(features):
            raise InputError(
                f"{who}: input_features has shape {tuple(features.shape)}; it should be (batch, {bands}, frames), as "
                "the model's own feature extractor makes it: AutoFeatureExtractor.from_pretrained(…)."
            )

    def _once(self, features: Any, encoded: Any, config: GenerationConfig | None, kwargs: dict[str, Any]) -> Any:
        """As other models' `generate`, from what the caller begins with."""
        read = {"encoder_outputs": encoded} if features is None else {"inputs": features}
        return super().generate(generation_config=config, **read, **kwargs)

    def _collected(self, dictation: Dictation, said: list[Said], with_segments: bool) -> Any:
        """What a call gets back."""
        padding, drop = dictation.config.pad_token_id or 0, not dictation.short and dictation.return_timestamps is False
        rows, times = [], []
        for one in said:
            kept = [segment["tokens"] for segment in one.segments]
            tokens = torch.cat(kept) if kept else torch.zeros(0, dtype=torch.long)
            stays = tokens < dictation.begin if drop else torch.ones_like(tokens, dtype=torch.bool)
            rows.append(tokens[stays])
            if dictation.return_token_timestamps:
                own = [segment["token_timestamps"] for segment in one.segments]
                times.append((torch.cat(own) if own else torch.zeros(0))[stays])
        sequences = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding).to(self.device)
        if not with_segments and not dictation.return_token_timestamps:
            return sequences
        found: dict[str, Any] = {"sequences": sequences}
        if dictation.return_token_timestamps:
            longest = sequences.shape[1]
            last = [float(row[-1]) if len(row) else 0.0 for row in times]
            wide = [
                torch.nn.functional.pad(row, (0, longest - len(row)), value=end)
                for row, end in zip(times, last, strict=True)
            ]
            found["token_timestamps"] = torch.stack(wide)
        if with_segments:
            found["segments"] = [one.segments for one in said]
        return found

    @torch.no_grad()
    def detect_language(
        self,
        input_features: Tensor | None = None,
        encoder_outputs: Any = None,
        generation_config: GenerationConfig | None = None,
        num_segment_frames: int = 3000,
    ) -> Tensor:
        """(B,) the tokens of the languages that are spoken at the beginning of input_features (B, M, T)."""
        self._check_features(input_features, encoder_outputs)
        if encoder_outputs is None:
            encoder: Any = self.get_encoder()  # type: ignore[attr-defined]
            encoder_outputs = encoder(input_features[:, :, :num_segment_frames], return_dict=True)  # type: ignore[index]
        found: Tensor = self.dictation(generation_config).detect(encoder_outputs)
        return found

    def dictation(self, generation_config: GenerationConfig | None = None, **asked: Any) -> Dictation:
        """A call of `generate`, to be gone through window by window; `asked` are its keywords."""
        known = {name: asked.pop(name, None) for name in _ASKED}
        return Dictation(self, generation_config, asked, asked.pop("temperature", None), **known)


_ASKED = (
    *("return_timestamps", "task", "language", "is_multilingual", "prompt_ids", "prompt_condition_type"),
    *("condition_on_prev_tokens", "compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"),
    *("return_token_timestamps", "monitor_progress", "forced_decoder_ids"),
)
