"""A dictation, speech to tokens: windows of 30 seconds in turn, each read once, and written anew where that went wrong.

    features (B, M, T) ─ window ─ encoder ─▶ language? silence? ─ decoder at a temperature ─▶ tokens ─ segments ─┐
                 ▲                                      ▲ too unlikely, or repeats: the next temperature          │
                 └──────────── the window after the last whole segment ◀──────────────────────────────────────────┘

Source: Radford et al. 2022 (arXiv 2212.04356), sections 2.3 and 3.8.
Letters: B sounds, M bands of mel, T frames, V vocabulary, D width.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError, near
from ..ops.layout import Layout
from .alignment import token_times
from .chain import eos_ids
from .configuration import KEYS, GenerationConfig
from .generate import GenerationMixin
from .timestamps import SECONDS, WhisperTimeStampLogitsProcessor, segments

TASKS = ("transcribe", "translate")
_CONDITIONS = ("first-segment", "all-segments")


@dataclass
class Said:
    """What was written of one sound so far. seek, frames: where the next window begins, and where the sound ends.

    begin: what the decoder begins with: start, language, task. before: frames of earlier parts of the sound.
    tokens: those that the next window may begin with, in pieces; likely: whether the last window was written at a low
    temperature.
    """

    begin: list[int]
    frames: int
    seek: int = 0
    before: int = 0
    segments: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[list[int]] = field(default_factory=list)
    likely: bool = True


@dataclass
class Written:
    """A window's tokens without its prompt, with the end if there is one; and the mean of their log probabilities."""

    prompt: list[int]
    tokens: list[int]
    likelihood: float | None
    result: Any


class Dictation:
    """One call of a speech model's `generate`: see its arguments there."""

    # what a call asks for, or else generation_config.json
    language: Any
    task: str | None
    return_timestamps: bool | None
    is_multilingual: bool | None
    prompt_ids: Any
    prompt_condition_type: str | None
    condition_on_prev_tokens: bool | None
    compression_ratio_threshold: float | None
    logprob_threshold: float | None
    no_speech_threshold: float | None
    return_token_timestamps: bool | None
    monitor_progress: Callable[[Tensor], None] | None
    forced_decoder_ids: Any

    def __init__(
        self, model: Any, config: GenerationConfig | None, more: dict[str, Any], temperature: Any, **asked: Any
    ) -> None:
        keys = {name: more.pop(name) for name in list(more) if name in KEYS}
        self.model, self.more = model, more
        self.config = (config or GenerationConfig()).over(model.generation_config, **keys)
        for name, value in asked.items():
            setattr(self, name, getattr(self.config, name, None) if value is None else value)
        self.window: int = model.config.max_source_positions * model.STRIDE
        several = temperature if isinstance(temperature, (list, tuple)) else [temperature]
        self.temperatures: list[float | None] = list(several)
        self.limit: int = model.config.max_target_positions
        self.ends = eos_ids(self.config.eos_token_id)
        self.no_times: int | None = getattr(self.config, "no_timestamps_token_id", None)
        self.short = True
        self.begin = self.model.config.vocab_size + 1 if self.no_times is None else self.no_times + 1
        self._check()

    def _check(self) -> None:
        self.prompt_condition_type = self.prompt_condition_type or _CONDITIONS[0]
        if self.prompt_condition_type not in _CONDITIONS:
            raise InputError(
                f"prompt_condition_type must be one of {', '.join(map(repr, _CONDITIONS))}, got "
                f"{self.prompt_condition_type!r}."
            )
        if self.prompt_condition_type == _CONDITIONS[1] and not self.condition_on_prev_tokens:
            raise InputError("prompt_condition_type='all-segments' needs condition_on_prev_tokens=True.")
        if (self.return_timestamps or self.return_token_timestamps) and self.no_times is None:
            raise InputError(
                "Timestamps need no_timestamps_token_id in generation_config.json, which this model's files lack: take "
                "it from a newer copy of the checkpoint."
            )
        if self.return_token_timestamps and not getattr(self.config, "alignment_heads", None):
            raise InputError(
                "Times of tokens need alignment_heads, [[layer, head], …], in generation_config.json, which this "
                "model's files lack. return_timestamps=True gives times of segments."
            )
        asked = self.language if isinstance(self.language, (list, tuple)) else [self.language]
        if not self._english_alone(asked):
            for language in asked:
                if language is not None:
                    self._language_token(language)
        for one in self.temperatures:
            if one is not None and (isinstance(one, bool) or not isinstance(one, (int, float)) or not one >= 0):
                raise InputError(
                    f"temperature must be a number, 0 or more, or several to be tried in turn, got {one!r}."
                )
        if isinstance(self.prompt_ids, str):
            raise InputError(
                f"prompt_ids={self.prompt_ids!r} is a text, and tokens are needed: "
                "tokenizer.get_prompt_ids(…, return_tensors='pt') makes them of it."
            )
        if self.prompt_ids is not None:
            self.prompt_ids = [int(token) for token in torch.as_tensor(self.prompt_ids).flatten()]

    # ---- what the decoder begins with

    def _language_token(self, language: Any) -> int:
        known: dict[str, int] | None = getattr(self.config, "lang_to_id", None)
        if known is None:
            raise InputError(
                "language= needs lang_to_id in generation_config.json, which this model's files lack: take it from a "
                "newer copy of the checkpoint."
            )
        text = str(language).lower()
        code = text if text in known else f"<|{self.model.LANGUAGES.get(text, text)}|>"
        if code not in known:
            names = [*self.model.LANGUAGES, *(name.strip("<|>") for name in known)]
            raise InputError(f"The model knows no language {language!r}.{near(text, names)} It knows {len(known)}.")
        return known[code]

    def _languages(self, count: int) -> list[Any]:
        asked = self.language
        if not isinstance(asked, (list, tuple)):
            return [asked] * count
        if len(asked) != count:
            raise InputError(f"language has {len(asked)} entries, and there are {count} sounds: give one, or {count}.")
        return list(asked)

    def _english_alone(self, languages: Sequence[Any]) -> bool:
        """Whether the model knows one language; InputError for a call that asks for another, or for a translation."""
        if self.is_multilingual or self.is_multilingual is None:
            return False
        asked = (one for one in languages if one is not None)
        other = next((one for one in asked if str(one).lower().strip("<|>") not in _ENGLISH), None)
        if other is not None or self.task == TASKS[1]:
            said = f"language={other!r}" if other is not None else f"task={self.task!r}"
            raise InputError(
                f"{said}: this model hears English alone, and writes it as it is said. A model whose name has no "
                "'.en' at its end knows other languages."
            )
        return True

    def prompts(self, count: int, detect: Callable[[], Tensor]) -> list[list[int]]:
        """What the decoder begins with, for each sound. detect: the languages (B,) that are heard."""
        languages, start = self._languages(count), self._start()
        if self.task is not None and self.task not in TASKS:
            raise InputError(f"task must be 'transcribe' or 'translate', got {self.task!r}.{near(self.task, TASKS)}")
        alone = self._english_alone(languages)
        older = self._older() if self.task is None and languages == [None] * count else []
        if alone or (older and older[0] is not None) or getattr(self.config, "lang_to_id", None) is None:
            return [self._with_task([start, *older], alone) for _ in languages]
        heard = detect().tolist() if None in languages else languages
        tokens = [h if one is None else self._language_token(one) for one, h in zip(languages, heard, strict=True)]
        return [self._with_task([start, token, *older[1:]], alone) for token in tokens]

    def _start(self) -> int:
        token = self.config.decoder_start_token_id
        return int(token if isinstance(token, int) else self.model.config.decoder_start_token_id)

    def _older(self) -> list[Any]:
        """The tokens of `forced_decoder_ids`, which older files have in place of language and task."""
        forced = self.forced_decoder_ids
        forced = getattr(self.model.config, "forced_decoder_ids", None) if forced is None else forced
        pairs = sorted((int(column), token) for column, token in forced or ())
        if [column for column, _ in pairs] != list(range(1, len(pairs) + 1)):
            raise InputError(f"forced_decoder_ids={forced} must be of the columns 1, 2, … in turn.")
        return [token for number, (_, token) in enumerate(pairs) if token is not None or not number]

    def _with_task(self, tokens: list[int], alone: bool) -> list[int]:
        tokens = [token for token in tokens if token is not None]
        known: dict[str, int] = getattr(self.config, "task_to_id", None) or {}
        if not alone and len(tokens) > 1 and known:
            said = [token for token in tokens if token in known.values()]
            if self.task is not None or not said:
                tokens = [token for token in tokens if token not in said and token != self.no_times]
                tokens.append(known[self.task or TASKS[0]])
        elif self.task == TASKS[1] and not alone:
            raise InputError(
                "task='translate' needs task_to_id in generation_config.json, which this model's files lack: take it "
                "from a newer copy of the checkpoint."
            )
        tokens = [token for token in tokens if token != self.no_times]
        return tokens if self.timed or self.no_times is None else [*tokens, self.no_times]

    def _prompt(self, said: Said) -> list[int]:
        """What a window of a sound begins with: what was said before, or the caller's words, and the language and task.

        Half of the decoder's columns may be of what was said before.
        """
        given, most = self.prompt_ids, self.limit // 2 - 1
        previous = getattr(self.config, "prev_sot_token_id", None)
        if previous is None and len(self.config.suppress_tokens or ()) > 1:
            previous = self.config.suppress_tokens[-2]  # type: ignore[index]  # where checkpoints have it
        if self.condition_on_prev_tokens and said.likely and said.tokens:
            before = [token for tokens in said.tokens for token in tokens][-most:]
            whole = given is not None and self.prompt_condition_type == _CONDITIONS[1]
            first = given if whole else [] if previous is None else [previous]
            return [*first, *before, *said.begin]
        return [*(given or ()), *said.begin]

    # ---- the windows

    def start(self, features: Tensor | None, attention_mask: Tensor | None, encoder_outputs: Any = None) -> list[Said]:
        """Begin with features (B, M, T), of which a mask (B, T) says which frames are sound, or with what the encoder
        made of one window: what there will be of each sound."""
        self.encoded = encoder_outputs
        count = len(encoder_outputs[0]) if features is None else len(features)
        ends = self._read(features, attention_mask, count)
        windows = self._windows([0] * count, ends, range(count))
        begins = self.prompts(count, lambda: self.detect(windows))
        times = self.config.num_return_sequences or 1
        self.sources = [number for number in range(count) for _ in range(times)]
        all_said = [Said(begins[number], ends[number]) for number in self.sources]
        if self.prompt_ids is not None and self.prompt_condition_type == _CONDITIONS[0]:
            known = self.prompt_ids[:1] == [getattr(self.config, "prev_sot_token_id", None)]
            for said in all_said:
                said.tokens.append(self.prompt_ids[1:] if known else self.prompt_ids)
        self.windows_read = windows if times == 1 else None
        return all_said

    def go_on(self, said: Said, features: Tensor) -> None:
        """Go on with the next part of one sound, features (1, M, T) that begin where its next window does."""
        said.before, said.seek, said.frames = said.before + said.seek, 0, features.shape[2]
        self._read(features, None, 1)

    def _read(self, features: Tensor | None, attention_mask: Tensor | None, count: int) -> list[int]:
        """Take features; where each sound ends in them."""
        self.features, frames = features, self.window if features is None else features.shape[2]
        self.short = self.short and frames <= self.window
        self.timed = bool(self.return_timestamps) or not self.short
        if self.timed and self.no_times is None:
            raise InputError(
                f"{frames} frames are more than a window of {self.window}: what follows needs no_timestamps_token_id "
                "in generation_config.json, which this model's files lack. Give shorter sounds."
            )
        if attention_mask is None and not self.short and count > 1:
            raise InputError(
                "Several sounds of more than 30 s need attention_mask, which says where each ends: "
                "processor(…, return_attention_mask=True, truncation=False, padding='longest')."
            )
        self.heard = [frames] * count if attention_mask is None else [int(end) for end in attention_mask.sum(-1)]
        return self.heard

    def steps(self, all_said: list[Said], silent: Sequence[Tensor] | None = None, last: bool = True) -> Iterator[None]:
        """Write window after window, all sounds beside each other; stops after each.

        silent: (T,) of each sound, the frames without sound: windows begin where there is some. last: whether nothing
        follows; if something does, a window that is not whole waits for it.
        """
        least = 1 if last else self.window
        while True:
            for number, said in enumerate(all_said if silent is not None else ()):
                _skip(said, silent[number])  # type: ignore[index]
            going = [number for number, said in enumerate(all_said) if said.frames - said.seek >= least]
            if not going:
                return
            if self.monitor_progress is not None:
                self.monitor_progress(torch.tensor([[said.seek, said.frames] for said in all_said]))
            self._window(all_said, going)
            yield

    def _windows(self, seeks: Sequence[int], ends: Sequence[int], numbers: Sequence[int]) -> Any:
        """What the encoder says of the next window of those sounds: its outputs."""
        options = {name: bool(getattr(self.config, name)) for name in ("output_attentions", "output_hidden_states")}
        if self.features is None:
            return self.encoded
        parts = []
        for number, seek, end in zip(numbers, seeks, ends, strict=True):
            stop = seek + self.window if self.short else min(end, seek + self.window)
            part = self.features[number, :, seek:stop]
            parts.append(F.pad(part, (0, self.window - part.shape[1])))
        return self.model.get_encoder()(torch.stack(parts), return_dict=True, **options)

    def _window(self, all_said: list[Said], going: list[int]) -> None:
        """Write the next window of those sounds that go on."""
        own = [all_said[number] for number in going]
        encoded, self.windows_read = self.windows_read, None
        if encoded is None:
            sources = [self.sources[number] for number in going]
            encoded = self._windows([s.seek for s in own], [s.frames for s in own], sources)
        prompts = [self._prompt(said) for said in own]
        silent = self._silence(encoded, prompts, own)
        rows, written = list(range(len(own))), dict[int, Written]()
        skipped = set[int]()
        for turn, temperature in enumerate(self.temperatures):
            for row, made in zip(rows, self._written(encoded, prompts, rows, temperature), strict=True):
                written[row] = made
                own[row].likely = temperature is None or temperature < 0.5
            if turn == 0 and silent is not None:
                skipped = {row for row in rows if silent[row] and self._unlikely(written[row])}
            rows = [row for row in rows if row not in skipped and self._failed(written[row])]
            if not rows:
                break
        for row, said in enumerate(own):
            frames = min(said.frames - said.seek, self.window)
            if row in skipped:
                said.seek += frames
            else:
                self._add(said, written[row], encoded, row, frames, self.sources[going[row]])

    def _unlikely(self, made: Written) -> bool:
        least = self.logprob_threshold
        return least is None or (made.likelihood is not None and made.likelihood < least)

    def _failed(self, made: Written) -> bool:
        """Whether a window is to be written at the next temperature: it repeats itself, or is unlikely."""
        most = self.compression_ratio_threshold
        if most is not None and repetition(made.tokens, self.model.config.vocab_size) > most:
            return True
        return self.logprob_threshold is not None and self._unlikely(made)

    def _silence(self, encoded: Any, prompts: list[list[int]], own: list[Said]) -> list[bool] | None:
        """Whether each window is likely without speech; None where nobody asks."""
        if self.no_speech_threshold is None or self.no_times is None:
            return None
        found = []
        for row, (prompt, said) in enumerate(zip(prompts, own, strict=True)):
            at = len(prompt) - len(said.begin)  # the start token, after what was said before
            logits = self._logits(encoded[0][row : row + 1], [prompt[: at + 1]])
            found.append(float(logits.float().softmax(-1)[0, self.no_times - 1]) > self.no_speech_threshold)
        return found

    def _logits(self, memory: Tensor, prompts: list[list[int]]) -> Tensor:
        """(B, V) after prompts of one length, beside the rows (B, S, D) of an encoder."""
        ids = torch.tensor(prompts, device=memory.device)
        layout = Layout(len(memory), memory.shape[1])
        more = {"memory": (layout.pack(memory), layout), "input_ids": ids}
        found: Tensor = self.model.next_logits(
            more, Layout.of_lengths([ids.shape[1]] * len(ids), device=ids.device), None
        )
        return found

    def detect(self, encoded: Any) -> Tensor:
        """(B,) the tokens of the languages that are spoken, of what the encoder says."""
        known: dict[str, int] = self.config.lang_to_id  # type: ignore[attr-defined]
        logits = self._logits(encoded[0], [[self._start()]] * len(encoded[0]))
        ids = torch.tensor(sorted(known.values()), device=logits.device)
        return ids[logits[:, ids].argmax(1)]

    def _written(
        self, encoded: Any, prompts: list[list[int]], rows: list[int], temperature: float | None
    ) -> list[Written]:
        """What is written of those windows at a temperature."""
        config, ids, mask = (
            self._config_of(temperature, max(len(prompts[row]) for row in rows)),
            *_padded([prompts[row] for row in rows], self.config.pad_token_id or 0, encoded[0].device),
        )
        config.decoder_start_token_id = int(ids[0, 0])  # whatever it is, nothing is to come before it
        every = rows == list(range(len(encoded[0])))
        own = encoded if every else type(encoded)(encoded[0][torch.tensor(rows, device=encoded[0].device)])
        given = list(self.more.get("logits_processor") or ())
        if self.timed:
            most = getattr(self.config, "max_initial_timestamp_index", None)
            given.insert(0, WhisperTimeStampLogitsProcessor(self.begin, min(self.ends), ids.shape[1], most))
        more = {**self.more, "logits_processor": given, **({} if mask is None else {"decoder_attention_mask": mask})}
        found = GenerationMixin.generate(
            self.model, encoder_outputs=own, decoder_input_ids=ids, generation_config=config, **more
        )
        by = config.temperature or 1.0 if config.do_sample else 1.0
        return [self._taken(found, number, prompts[row], ids.shape[1], by) for number, row in enumerate(rows)]

    def _config_of(self, temperature: float | None, prompt: int) -> GenerationConfig:
        """How a window is written, after prompts of so many tokens."""
        made, most = self.config.over(), self.config.max_new_tokens
        draws = temperature is not None and temperature > 0
        if temperature is not None:
            made.do_sample = draws
        if draws:
            made.temperature, made.num_beams = temperature, 1
        made.num_return_sequences = 1
        if most is not None and prompt + most > self.limit:
            raise InputError(
                f"A prompt of {prompt} tokens and max_new_tokens={most} are more than the decoder's {self.limit} "
                f"positions: set it to at most {self.limit - prompt}, or give a shorter prompt."
            )
        if most is None:
            longest = self.limit if self.config.source("max_length") == "default" else self.config.max_length
            made.max_length = min((longest or self.limit) + min(prompt, self.limit // 2 - 1), self.limit)
        made.return_dict_in_generate = True
        thresholds = self.logprob_threshold is not None or self.no_speech_threshold is not None
        made.output_scores = bool(made.output_scores) or thresholds
        return made

    def _taken(self, found: Any, number: int, prompt: list[int], columns: int, temperature: float) -> Written:
        """One window's tokens, from what was written of several."""
        tokens: list[int] = found.sequences[number, columns:].tolist()
        end = next((i for i, token in enumerate(tokens) if token in self.ends), None)
        if end is not None:
            tokens = tokens[: end + 1]
        likelihood = None
        if (scored := found.get("sequences_scores")) is not None:
            likelihood = float(scored[number])
        elif found.get("scores") is not None and tokens:
            steps = torch.stack([step[number] for step in found.scores[: len(tokens)]]).float()
            chosen = (steps * temperature).log_softmax(-1)
            likelihood = float(chosen.gather(1, torch.tensor(tokens, device=steps.device)[:, None]).mean())
        return Written(prompt, tokens, likelihood, found)

    def _add(self, said: Said, made: Written, encoded: Any, row: int, frames: int, source: int) -> None:
        """Add a window's segments to what was said of a sound, and go on after the last of them."""
        tokens = made.tokens
        ended = bool(tokens) and tokens[-1] in self.ends
        times: Tensor | None = None
        if self.return_token_timestamps:
            heard = max(0, min(self.heard[source] - said.seek, self.window))
            heads = self.config.alignment_heads  # type: ignore[attr-defined]
            both = [*made.prompt, *tokens]
            rows = heard // self.model.STRIDE
            times = token_times(self.model, encoded[0][row], both, len(made.prompt), heads, rows)
        words = tokens[:-1] if ended else tokens
        offset, first = (said.before + said.seek) / self.model.STRIDE * SECONDS, len(made.prompt)
        found, step = segments(words, self.begin, frames, self.model.STRIDE)
        result: Any = torch.tensor([*made.prompt, *tokens])
        result = result if times is None else {"sequences": result, "token_timestamps": times}
        for one in found:
            own = words[one.start : one.end]
            segment = {
                "start": torch.tensor(offset + one.begins, dtype=torch.float64),
                "end": torch.tensor(offset + one.ends, dtype=torch.float64),
                "tokens": torch.tensor(own, dtype=torch.long),
                "idxs": (first + one.start, first + one.end),
                "result": result,
            }
            if times is not None:
                segment["token_timestamps"] = times[first + one.start : first + one.end] + offset
            said.segments.append(segment)
            double = len(own) > 2 and own[-2] >= self.begin
            said.tokens.append(own[:-1] if double else own)
        # a window that marks its own beginning alone would never end; and there are no rows of what is after a window
        said.seek += step if step > 0 and self.features is not None else frames
        self.last = made.result


_ENGLISH = ("en", "english")
_PAUSE, _LEAD = 200, 20  # frames of a silence that is skipped, and of those before a sound that are not


def _skip(said: Said, silent: Tensor) -> None:
    """Let the next window begin just before there is sound, where a pause is long."""
    ahead = ~silent[said.seek : said.frames]
    found = int(ahead.int().argmax()) if bool(ahead.any()) else len(ahead)
    if found >= min(_PAUSE, len(ahead)):
        said.seek += found if found == len(ahead) else found - _LEAD


def _padded(prompts: list[list[int]], pad: int, device: Any) -> tuple[Tensor, Tensor | None]:
    """(B, T) prompts with padding on the left, and their mask, None where there is no padding."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts], device=device)
    if all(len(prompt) == longest for prompt in prompts):
        return ids, None
    return ids, torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)


def repetition(tokens: Sequence[int], vocabulary: int) -> float:
    """How many times shorter tokens become when they are compressed: text that repeats itself compresses well."""
    width = (vocabulary.bit_length() - 1) // 8 + 1
    data = b"".join(token.to_bytes(width, "little") for token in tokens)
    return len(data) / len(zlib.compress(data)) if data else 0.0
