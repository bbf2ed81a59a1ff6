"""Whisper's tokenizer: byte-level BPE, with tokens for languages, tasks and times.

    <|startoftranscript|><|en|><|transcribe|><|0.00|> Good morning.<|1.08|><|1.08|> Come in.<|2.40|><|endoftext|>
    └────────────── prefix ──────────────┘ └ times, or <|notimestamps|> and no times

Radford et al. 2022 (arXiv 2212.04356); https://github.com/openai/whisper/blob/main/whisper/tokenizer.py.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers.processors import TemplateProcessing

from ..errors import InputError, TokenizerError
from .byte_level import ByteLevelTokenizer
from .encoding import BatchEncoding
from .ids import as_list
from .loading import read_object
from .normalizers_of_speech import BasicTextNormalizer, EnglishTextNormalizer
from .spoken import language_code, task_name
from .transcript import Clock, segments, transcript
from .types import TensorType

_START, _PROMPT, _NO_TIMES = "<|startoftranscript|>", "<|startofprev|>", "<|notimestamps|>"
_TIME = re.compile(r"<\|(\d+\.\d+)\|>")
_MOST_TIMES = 1500  # of 30 seconds, in steps of 0.02


class WhisperTokenizer(ByteLevelTokenizer):
    """Byte-level BPE whose texts begin with their language and task.

    language: what texts are in, "french" or "fr"; task: "transcribe" or "translate", into English; predict_timestamps:
    whether times are written, so that the prefix does not say that none are. Each is an attribute too;
    `set_prefix_tokens` changes them and what is put around texts. normalizer_file: the table of spellings,
    {British: American}, for `normalize`, which is the attribute `english_spelling_normalizer`.

    Decoding never closes up spaces before punctuation, whatever files say of it, but for
    `clean_up_tokenization_spaces=True` in the call: spaces are part of tokens.
    """

    TOKENS = dict.fromkeys(("unk_token", "bos_token", "eos_token"), "<|endoftext|>")
    vocab_files_names = {**ByteLevelTokenizer.vocab_files_names, "normalizer_file": "normalizer.json"}
    _options = (*ByteLevelTokenizer._options, "normalizer_file", "language", "task", "predict_timestamps")

    def __init__(
        self,
        vocab_file: Any = None,
        merges_file: Any = None,
        normalizer_file: str | os.PathLike[str] | None = None,
        errors: str = "replace",
        *,
        language: str | None = None,
        task: str | None = None,
        predict_timestamps: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocab_file, merges_file, errors, **kwargs)
        self.init_kwargs |= {"language": language, "task": task, "predict_timestamps": predict_timestamps}
        self.english_spelling_normalizer = None if normalizer_file is None else _spellings(normalizer_file)
        self.language, self.task, self.predict_timestamps = language, task, predict_timestamps
        self.set_prefix_tokens()

    @classmethod
    def longest_input(cls, config: dict[str, Any]) -> int | None:
        """The longest text that a model with this configuration writes, in tokens."""
        limit = config.get("max_target_positions")
        return limit if isinstance(limit, int) and limit > 0 else super().longest_input(config)

    # ---- tokens

    @property
    def timestamp_begin(self) -> int:
        """The id of the token for 0 seconds, <|0.00|>; those after it are each 0.02 seconds later."""
        number = self._tokenizer.token_to_id(_NO_TIMES)
        return (max(filter(None, self.all_special_ids), default=0) if number is None else number) + 1

    def is_timestamp(self, number: int) -> bool:
        """Whether an id is that of a time, of up to 30 seconds; vocabularies may lack these tokens."""
        return 0 <= number - self.timestamp_begin <= _MOST_TIMES

    def is_mark(self, number: int) -> bool:
        """Whether an id is that of the end, of a language, of a task or another between text and times."""
        return self.eos_token_id is not None and self.eos_token_id <= number < self.timestamp_begin

    def timestamp_ids(self, time_precision: float = 0.02) -> list[int]:
        """The ids of times from 0 to 1500 steps."""
        found: list[int] = self.convert_tokens_to_ids([f"<|{at * time_precision:.2f}|>" for at in range(1501)])
        return found

    def _of_prefix(self, token: str, what: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise InputError(
                f"This tokenizer has no token {token!r} for {what}: {self.name_or_path!r} is of a model that was not "
                "trained for it."
            )
        return number

    @property
    def prefix_tokens(self) -> list[int]:
        """The ids before a text: its start, language and task where they are set, and that no times are written."""
        found = [self._tokenizer.token_to_id(_START)]
        if self.language is not None:
            code = language_code(self.language)
            self.language = self.language.lower()
            found.append(self._of_prefix(f"<|{code}|>", f"the language {self.language!r}"))
        if self.task is not None:
            found.append(self._of_prefix(f"<|{task_name(self.task)}|>", f"the task {self.task!r}"))
        if not self.predict_timestamps:
            found.append(self._tokenizer.token_to_id(_NO_TIMES))
        return [number for number in found if number is not None]  # a vocabulary of text alone lacks them all

    def set_prefix_tokens(
        self, language: str | None = None, task: str | None = None, predict_timestamps: bool | None = None
    ) -> None:
        """Set what is given of the language, the task and whether times are written; and put it around texts."""
        before = self.language, self.task, self.predict_timestamps
        self.language = self.language if language is None else language
        self.task = self.task if task is None else task
        self.predict_timestamps = self.predict_timestamps if predict_timestamps is None else predict_timestamps
        try:
            ids = self.prefix_tokens
        except Exception:
            self.language, self.task, self.predict_timestamps = before
            raise
        end = (self.eos_token, self.eos_token_id)
        prefix = [(self._token_of(number), number) for number in ids]
        first = [f"{token}:0" for token, _ in prefix]
        last = [] if None in end else [end]
        self._tokenizer.post_processor = TemplateProcessing(
            [*first, "$A:0", *(f"{token}:0" for token, _ in last)],
            [*first, "$A:0", "$B:1", *(f"{token}:1" for token, _ in last)],
            special_tokens=[*dict.fromkeys([*last, *prefix])],
        )

    def get_decoder_prompt_ids(
        self, task: str | None = None, language: str | None = None, no_timestamps: bool = True
    ) -> list[tuple[int, int]]:
        """What the decoder is made to begin with: (place, id) of the prefix, without its first token.

        They are set for later texts too, as by `set_prefix_tokens`.
        """
        self.set_prefix_tokens(task=task, language=language, predict_timestamps=not no_timestamps)
        return list(enumerate(self.prefix_tokens[1:], start=1))

    def get_prompt_ids(self, text: str, return_tensors: str | TensorType | None = "np") -> Any:
        """The ids of what was said before, for `generate(…, prompt_ids=…)`: a (T,) array, a tensor or a list.

        Errors: InputError for a special token in the text.
        """
        found: list[int] = self(_PROMPT, " " + text.strip(), add_special_tokens=False)["input_ids"]
        end = self.eos_token_id or 0
        for number in found[1:]:
            if number >= end:
                token = self._token_of(number)
                raise InputError(f"The prompt holds {token!r}, a disallowed special token: give text alone.")
        return BatchEncoding({"input_ids": found}, tensor_type=return_tensors)["input_ids"]

    # ---- decoding

    def without_prompt(self, token_ids: list[int]) -> list[int]:
        """The ids from the start of what was heard on: a prompt stands before it."""
        if not token_ids or token_ids[0] != self._tokenizer.token_to_id(_PROMPT):
            return token_ids
        start = self._tokenizer.token_to_id(_START)
        return token_ids[token_ids.index(start) :] if start in token_ids else []

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        output_offsets: bool = False,
        time_precision: float = 0.02,
        decode_with_timestamps: bool = False,
        normalize: bool = False,
        basic_normalize: bool = False,
        remove_diacritics: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The text of a list (array, tensor) of ids; a list of texts for a list of lists.

        Args:
            token_ids: what a model wrote, with tokens of time or without.
            skip_special_tokens: leave special tokens out, and a prompt before what was heard.
            clean_up_tokenization_spaces: whether to close up spaces before punctuation; not unless it is said here.
            output_offsets: give {"text": …, "offsets": [{"text": …, "timestamp": (from, to)}, …]} instead, in seconds.
            time_precision: seconds from a token of time to the next.
            decode_with_timestamps: leave times in the text, as "<|1.08|>", counted from the beginning of the sound.
            normalize: bring English text to one form, by `normalize`; basic_normalize: text of any language, by
                `basic_normalize`, without marks on letters where `remove_diacritics`.
        """
        ids = as_list(token_ids)
        if isinstance(ids, list) and ids and isinstance(ids[0], list):
            options = {"output_offsets": output_offsets, "time_precision": time_precision, **kwargs}
            options |= {"decode_with_timestamps": decode_with_timestamps, "normalize": normalize}
            options |= {"basic_normalize": basic_normalize, "remove_diacritics": remove_diacritics}
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces, **options) for row in ids]
        ids = [ids] if isinstance(ids, int) else ids
        own = self.without_prompt(ids) if skip_special_tokens and isinstance(ids, list) else ids
        clean = bool(clean_up_tokenization_spaces)
        if decode_with_timestamps and isinstance(own, list):
            text = self._with_times(own, skip_special_tokens, time_precision)
        else:
            text = super().decode(own, skip_special_tokens, clean, **kwargs)
            if normalize:
                text = self.normalize(text)
            elif basic_normalize:
                text = self.basic_normalize(text, remove_diacritics=remove_diacritics)
            text = _TIME.sub("", text)
        return {"text": text, "offsets": self._offsets(ids, time_precision)} if output_offsets else text

    def _with_times(self, ids: list[int], skip_special_tokens: bool, precision: float) -> str:
        stamps = [self.is_timestamp(number) for number in ids]
        clock, parts, row = Clock(precision * _MOST_TIMES), [""], list[int]()
        for at, number in enumerate(ids):
            if not stamps[at]:
                row.append(number)
                continue
            parts.append(super().decode(row, skip_special_tokens, False))
            row = []
            time = (number - self.timestamp_begin) * precision
            if clock.tick(time, stamps, at):
                del parts[-2:]  # the time at which the segment was left off, and no text
            parts.append(f"<|{time + clock.before:.2f}|>")
        return "".join([*parts, super().decode(row, skip_special_tokens, False)])

    def _offsets(self, ids: list[int], precision: float) -> list[dict[str, Any]]:
        stamps = [self.is_timestamp(number) for number in ids]
        return [
            {
                "text": _TIME.sub("", super(WhisperTokenizer, self).decode(ids[start:end], False, False)),
                "timestamp": (first * precision + before * precision, last * precision + before * precision),
            }
            for start, end, (first, last, before) in segments(ids, stamps, self.timestamp_begin, _MOST_TIMES)
        ]

    def _decode_asr(
        self,
        model_outputs: Iterable[Mapping[str, Any]],
        *,
        return_timestamps: bool | str | None,
        return_language: bool | None,
        time_precision: float,
    ) -> tuple[str, dict[str, Any]]:
        """`transcript`, for pipelines written for Transformers."""
        asked = {"return_timestamps": return_timestamps, "return_language": return_language}
        return transcript(self, model_outputs, **asked, time_precision=time_precision)  # type: ignore[arg-type]

    def normalize(self, text: str) -> str:
        """English text in one form, see EnglishTextNormalizer. Errors: InputError without a table of spellings."""
        if self.english_spelling_normalizer is None:
            raise InputError(
                f"English text is brought to one form with normalizer.json, which {self.name_or_path!r} lacks. Give "
                "normalizer_file=, or set tokenizer.english_spelling_normalizer = {} to leave spellings as they are."
            )
        return EnglishTextNormalizer(self.english_spelling_normalizer)(text)

    _normalize = normalize

    @staticmethod
    def basic_normalize(text: str, remove_diacritics: bool = False) -> str:
        """Text of any language in one form, see BasicTextNormalizer."""
        return BasicTextNormalizer(remove_diacritics=remove_diacritics)(text)

    _basic_normalize = basic_normalize

    # ---- files

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write vocab.json, merges.txt, and normalizer.json where there is a table of spellings."""
        written = super().save_vocabulary(save_directory, filename_prefix)
        if self.english_spelling_normalizer is None:
            return written
        path = Path(save_directory, f"{filename_prefix}-normalizer.json" if filename_prefix else "normalizer.json")
        text = json.dumps(self.english_spelling_normalizer, indent=2, sort_keys=True, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
        return (*written, str(path))


WhisperTokenizerFast = WhisperTokenizer


def _spellings(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a normalizer.json: {British spelling: American spelling}. Errors: TokenizerError naming the file."""
    found = read_object(Path(path))
    wrong = next((word for word, other in found.items() if not isinstance(other, str)), None)
    if wrong is not None:
        raise TokenizerError(
            f"{os.fspath(path)!r} must hold {{British spelling: American spelling}}, and {wrong[:80]!r} has "
            f"{str(found[wrong])[:80]!r}."
        )
    return found
