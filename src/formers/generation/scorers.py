"""How Transformers 4.20 kept the texts that beams had finished, and its scorers, which say how many there shall be.

Groups of beams and constraints still go by these rules: a score is divided by the length of the whole text with its
prompt, and a text that is not finished counts when there is no more time for it. `num_beams` alone goes by those of
Transformers 5 (beams.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError, InputError
from .constraints import Constraint


@dataclass(frozen=True)
class Finished:
    """A text: its score, its generated tokens with the end, and the row that each came from."""

    score: float
    tokens: list[int]
    origins: list[int]


class BeamHypotheses:
    """The best `size` texts that were finished, as yet."""

    def __init__(self, size: int, length_penalty: float, early_stopping: bool | str, longest: int) -> None:
        self.size, self.length_penalty, self.early_stopping = size, length_penalty, early_stopping
        self.longest = longest  # tokens of the longest text that there may be, with its prompt
        self.texts: list[Finished] = []

    def add(self, total: float, length: int, tokens: list[int], origins: list[int]) -> None:
        """Add a text of `length` tokens, without its end, whose log probabilities are `total`."""
        score = total / length**self.length_penalty
        if len(self.texts) == self.size:
            worst = min(range(self.size), key=lambda i: self.texts[i].score)
            if score <= self.texts[worst].score:
                return
            del self.texts[worst]
        self.texts.append(Finished(score, tokens, origins))

    def settled(self, best: float, length: int) -> bool:
        """Whether no text that goes on can become one of them: the best has log probabilities `best`."""
        if len(self.texts) < self.size:
            return False
        if self.early_stopping is True:
            return True
        if self.early_stopping == "never" and self.length_penalty > 0:
            length = self.longest
        return min(text.score for text in self.texts) >= best / length**self.length_penalty

    def best(self, count: int) -> list[Finished]:
        """The best `count`, best first; of equal ones the latest."""
        return sorted(self.texts, key=lambda text: text.score)[::-1][:count]


class BeamScorer:
    """Base of the scorers of Transformers 4.20: here they say what is asked for, and score nothing themselves."""

    def process(self, *args: Any, **kwargs: Any) -> Any:
        """Not here."""
        raise ArgumentError(_SILENT)

    finalize = process


_SILENT = (
    "Scorers hold arguments here, and have no process() and finalize(): give one to model.group_beam_search(…), "
    "beam_search or constrained_beam_search, or the same values to generate."
)


class BeamSearchScorer(BeamScorer):
    """What `beam_search` and `group_beam_search` of Transformers 4.20 are given.

    batch_size: prompts. num_beams: a prompt's, those of all groups. length_penalty, num_beam_groups: see
    GenerationConfig. do_early_stopping: its `early_stopping`. num_beam_hyps_to_keep: its `num_return_sequences`.
    Errors: InputError for beams that groups cannot share.
    """

    def __init__(
        self,
        batch_size: int,
        num_beams: int,
        device: Any = None,
        length_penalty: float | None = 1.0,
        do_early_stopping: bool | str | None = False,
        num_beam_hyps_to_keep: int | None = 1,
        num_beam_groups: int | None = 1,
        **kwargs: Any,
    ) -> None:
        self.batch_size, self.num_beams, self.device = batch_size, num_beams, device
        self.length_penalty, self.do_early_stopping = length_penalty, do_early_stopping
        self.num_beam_hyps_to_keep, self.num_beam_groups = num_beam_hyps_to_keep, num_beam_groups or 1
        if unknown := sorted(kwargs.keys() - {"max_length"}):
            raise ArgumentError(f"{type(self).__name__} takes no {unknown[0]!r}.")
        if num_beams < 2 or num_beams % self.num_beam_groups:
            raise InputError(
                f"num_beams={num_beams}, num_beam_groups={self.num_beam_groups}: give at least two beams, and "
                "groups of equal size."
            )
        self.group_size = num_beams // self.num_beam_groups

    def asked(self) -> dict[str, Any]:
        """The same by its names in GenerationConfig."""
        return {
            "num_beams": self.num_beams,
            "length_penalty": self.length_penalty,
            "early_stopping": self.do_early_stopping,
            "num_return_sequences": self.num_beam_hyps_to_keep,
            "num_beam_groups": self.num_beam_groups,
        }


class ConstrainedBeamSearchScorer(BeamSearchScorer):
    """What `constrained_beam_search` of Transformers 4.20 is given: see BeamSearchScorer, and `constraints`."""

    def __init__(
        self, batch_size: int, num_beams: int, constraints: Sequence[Constraint], *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(batch_size, num_beams, *args, **kwargs)
        self.constraints = list(constraints)

    def asked(self) -> dict[str, Any]:
        return {**super().asked(), "constraints": self.constraints}


def read_scorer(scorer: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a scorer asks for, or `num_beams` of the keywords. Errors: ArgumentError for a scorer of another kind."""
    if scorer is None:
        return {"num_beams": kwargs.pop("num_beams", 1)}
    if not isinstance(scorer, BeamSearchScorer) or type(scorer).process is not BeamScorer.process:
        raise ArgumentError(f"{type(scorer).__name__} is a scorer of another kind. {_SILENT}")
    return scorer.asked()
