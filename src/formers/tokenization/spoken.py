"""Languages that are spoken: codes and names, in the order in which Whisper's tokens for them stand.

https://github.com/openai/whisper/blob/main/whisper/tokenizer.py
"""

from __future__ import annotations

from ..errors import ArgumentError, near

LANGUAGES = {
    "en": "english", "zh": "chinese", "de": "german", "es": "spanish", "ru": "russian", "ko": "korean",
    "fr": "french", "ja": "japanese", "pt": "portuguese", "tr": "turkish", "pl": "polish", "ca": "catalan",
    "nl": "dutch", "ar": "arabic", "sv": "swedish", "it": "italian", "id": "indonesian", "hi": "hindi",
    "fi": "finnish", "vi": "vietnamese", "he": "hebrew", "uk": "ukrainian", "el": "greek", "ms": "malay",
    "cs": "czech", "ro": "romanian", "da": "danish", "hu": "hungarian", "ta": "tamil", "no": "norwegian",
    "th": "thai", "ur": "urdu", "hr": "croatian", "bg": "bulgarian", "lt": "lithuanian", "la": "latin", "mi": "maori",
    "ml": "malayalam", "cy": "welsh", "sk": "slovak", "te": "telugu", "fa": "persian", "lv": "latvian",
    "bn": "bengali", "sr": "serbian", "az": "azerbaijani", "sl": "slovenian", "kn": "kannada", "et": "estonian",
    "mk": "macedonian", "br": "breton", "eu": "basque", "is": "icelandic", "hy": "armenian", "ne": "nepali",
    "mn": "mongolian", "bs": "bosnian", "kk": "kazakh", "sq": "albanian", "sw": "swahili", "gl": "galician",
    "mr": "marathi", "pa": "punjabi", "si": "sinhala", "km": "khmer", "sn": "shona", "yo": "yoruba", "so": "somali",
    "af": "afrikaans", "oc": "occitan", "ka": "georgian", "be": "belarusian", "tg": "tajik", "sd": "sindhi",
    "gu": "gujarati", "am": "amharic", "yi": "yiddish", "lo": "lao", "uz": "uzbek", "fo": "faroese",
    "ht": "haitian creole", "ps": "pashto", "tk": "turkmen", "nn": "nynorsk", "mt": "maltese", "sa": "sanskrit",
    "lb": "luxembourgish", "my": "myanmar", "bo": "tibetan", "tl": "tagalog", "mg": "malagasy", "as": "assamese",
    "tt": "tatar", "haw": "hawaiian", "ln": "lingala", "ha": "hausa", "ba": "bashkir", "jw": "javanese",
    "su": "sundanese", "yue": "cantonese",
}  # fmt: skip
TO_LANGUAGE_CODE = {
    **{name: code for code, name in LANGUAGES.items()},
    "burmese": "my", "valencian": "ca", "flemish": "nl", "haitian": "ht", "letzeburgesch": "lb", "pushto": "ps",
    "panjabi": "pa", "moldavian": "ro", "moldovan": "ro", "sinhalese": "si", "castilian": "es", "mandarin": "zh",
}  # fmt: skip
TASKS = ("transcribe", "translate")


def language_code(language: str) -> str:
    """The code of a language: of its code, its name in English, or its token, "fr", "French" and "<|fr|>".

    Errors: ArgumentError naming those that are near.
    """
    if not isinstance(language, str):
        raise ArgumentError(f"A language is a name or a code, such as 'french' or 'fr', not {language!r}.")
    plain = language.lower().removeprefix("<|").removesuffix("|>")
    if plain in LANGUAGES:
        return plain
    if plain not in TO_LANGUAGE_CODE:
        known = [*TO_LANGUAGE_CODE, *LANGUAGES]
        raise ArgumentError(
            f"Unsupported language: {language!r} is no language of speech that is known here.{near(plain, known)} "
            f"There are {', '.join(list(LANGUAGES.values())[:5])}…, by these names or by codes: see LANGUAGES."
        )
    return TO_LANGUAGE_CODE[plain]


def task_name(task: str) -> str:
    """The task itself, "transcribe" or "translate". Errors: ArgumentError for another."""
    if task not in TASKS:
        raise ArgumentError(
            f"Unsupported task: {task!r}. Speech is written in its language, 'transcribe', or in English, 'translate'."
            f"{near(str(task), TASKS)}"
        )
    return task
