"""A question about a text, as the pipeline of answers takes it too: the form of SQuAD.

Source: Rajpurkar et al. 2016 (arXiv 1606.05250).
"""

from __future__ import annotations

from typing import Any

_SPACES = " \t\r\n\u202f"


class SquadExample:
    """A question, the text that may answer it, and where it does, if that is known.

    Attributes:
        qas_id, title, question_text, context_text, answer_text, answers, is_impossible: as given.
        doc_tokens: the words of the text, split at spaces.
        char_to_word_offset: for each character the number of its word, or of the last word before it.
        start_position, end_position: numbers of the first and the last word of the answer; 0 where it is not known.
    """

    def __init__(
        self,
        qas_id: Any,
        question_text: str,
        context_text: str,
        answer_text: str | None,
        start_position_character: int | None,
        title: str | None,
        answers: Any = (),
        is_impossible: bool = False,
    ) -> None:
        self.qas_id, self.title, self.is_impossible, self.answers = qas_id, title, is_impossible, list(answers)
        self.question_text, self.context_text, self.answer_text = question_text, context_text, answer_text
        self.doc_tokens: list[str] = []
        self.char_to_word_offset: list[int] = []
        space = True
        for character in context_text:
            if character not in _SPACES:
                if space:
                    self.doc_tokens.append("")
                self.doc_tokens[-1] += character
            space = character in _SPACES
            self.char_to_word_offset.append(len(self.doc_tokens) - 1)
        self.start_position = self.end_position = 0
        if start_position_character is not None and not is_impossible:
            last = start_position_character + len(answer_text or "") - 1
            self.start_position = self.char_to_word_offset[start_position_character]
            self.end_position = self.char_to_word_offset[min(last, len(self.char_to_word_offset) - 1)]
