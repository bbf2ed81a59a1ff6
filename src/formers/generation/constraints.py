"""What texts must contain: phrases, one of several phrases, and conditions of people's own.

A constraint is a small machine that reads a text token by token: it is begun, advanced, begun anew, and completed.

    [7, 8, 9]     text   3 7 8 5 7 8 9        begun at 7, begun anew at 5, completed at 9
                  idx    0 1 2 0 1 2 3

Names, arguments and results are those of Transformers 4.20. Source: Post and Vilar 2018 (arXiv 1804.06609), Hu et al.
2019 (https://aclanthology.org/N19-1090).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ArgumentError, InputError

_PATIENCE = 10_000  # steps after which a constraint that is still not completed is taken for a broken one


class Constraint(ABC):
    """Base of what texts must contain. A subclass of one's own has the six methods, and calls `super().__init__()` when
    its attributes are there, which tries it once.

    seqlen: how many tokens complete it, at most.
    """

    seqlen: int

    def __init__(self) -> None:
        self.test()

    def test(self) -> None:
        """Walk from the beginning to the end, begun anew once; InputError where the methods contradict each other."""
        name = type(self).__name__
        for count in range(_PATIENCE):
            if count == 1:
                self.reset()
            if (step := self.advance()) is None:
                raise InputError(f"{name}: advance() is None, but it is not completed: it should say what may follow.")
            token = step if isinstance(step, int) else next(iter(step))
            if not self.does_advance(token):
                raise InputError(f"{name}: advance() gives {token}, but does_advance({token}) is false.")
            if self.update(token)[1]:
                break
        else:
            raise InputError(f"{name}: update() says after {_PATIENCE} of its own tokens that it is not completed.")
        if self.remaining() != 0:
            raise InputError(f"{name} is completed, but remaining() is {self.remaining()}: it should be 0.")

    @abstractmethod
    def advance(self) -> int | list[int] | None:
        """The token, or the tokens, of which each brings it one step on; None when it is completed."""

    @abstractmethod
    def does_advance(self, token_id: int) -> bool:
        """Whether the token brings it one step on."""

    @abstractmethod
    def update(self, token_id: int) -> tuple[bool, bool, bool]:
        """Read a token: whether it was a step on, whether it is completed now, and whether it begins anew."""

    @abstractmethod
    def reset(self) -> None:
        """Begin anew."""

    @abstractmethod
    def remaining(self) -> int:
        """How many steps are left."""

    @abstractmethod
    def copy(self, stateful: bool = False) -> Any:
        """Another of the same kind, at its beginning, or with `stateful` as far as this one."""


class _Phrases(Constraint):
    """One of several phrases, each a list of token ids."""

    def __init__(self, phrases: list[list[int]]) -> None:
        self.phrases, self.seqlen = phrases, max(map(len, phrases))
        self.current_seq: list[int] = []
        super().__init__()
        self.reset()

    @property
    def completed(self) -> bool:
        """Whether one of the phrases is there."""
        return self.current_seq in self.phrases

    def nexts(self) -> list[int]:
        """The tokens that go on with one of the phrases."""
        read = len(self.current_seq)
        return list({p[read]: None for p in self.phrases if len(p) > read and p[:read] == self.current_seq})

    def does_advance(self, token_id: int) -> bool:
        if not isinstance(token_id, int):
            raise ArgumentError(f"A constraint reads token ids, whole numbers, and {token_id!r} is none: use int(…).")
        return token_id in self.nexts()

    def update(self, token_id: int) -> tuple[bool, bool, bool]:
        if not self.does_advance(token_id):
            self.reset()
            return False, False, True
        self.current_seq = [*self.current_seq, token_id]
        return True, self.completed, False

    def reset(self) -> None:
        self.current_seq = []

    def remaining(self) -> int:
        return 0 if self.completed else self.seqlen - len(self.current_seq)

    def copy(self, stateful: bool = False) -> Any:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        if not stateful:
            new.reset()
        return new


class PhrasalConstraint(_Phrases):
    """A phrase: its tokens, one after the other.

    token_ids (n,): token ids. Errors: InputError for what is no list of them, or an empty one.
    """

    def __init__(self, token_ids: Sequence[int]) -> None:
        if not _is_phrase(token_ids):
            raise InputError(f"token_ids={str(token_ids)[:200]}: give a list of token ids, not an empty one.")
        self.token_ids = list(token_ids)
        super().__init__([self.token_ids])

    def advance(self) -> int | None:
        return None if self.completed else self.nexts()[0]


class DisjunctiveConstraint(_Phrases):
    """One of several phrases.

    nested_token_ids: their token ids. Errors: InputError for what is no list of lists of ids, and where a phrase begins
    with another, after which it would never be needed.
    """

    def __init__(self, nested_token_ids: Sequence[Sequence[int]]) -> None:
        lists = isinstance(nested_token_ids, (list, tuple)) and len(nested_token_ids) > 0
        if not lists or not all(_is_phrase(phrase) for phrase in nested_token_ids):
            raise InputError(
                f"nested_token_ids={str(nested_token_ids)[:200]}: give a list of lists of token ids, none of it empty."
            )
        self.token_ids = [list(phrase) for phrase in nested_token_ids]
        for i, one in enumerate(self.token_ids):
            if longer := [p for j, p in enumerate(self.token_ids) if i != j and p[: len(one)] == one]:
                raise InputError(f"nested_token_ids: {longer[0]} begins with {one}, which alone is enough; give one.")
        super().__init__(self.token_ids)

    def advance(self) -> list[int] | None:
        return self.nexts() or None


def _is_phrase(ids: Any) -> bool:
    numbers = isinstance(ids, (list, tuple)) and len(ids) > 0
    return numbers and all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in ids)


class ConstraintListState:
    """How far a text is with all of its constraints, one of which is in progress at a time."""

    def __init__(self, constraints: Iterable[Constraint]) -> None:
        self.constraints = list(constraints)
        self.max_seqlen = max(constraint.seqlen for constraint in self.constraints)
        self.n_constraints = len(self.constraints)
        self.init_state()

    def init_state(self) -> None:
        """Begin anew."""
        self.complete_constraints: list[Any] = []
        self.inprogress_constraint: Any = None
        self.pending_constraints = [constraint.copy(stateful=False) for constraint in self.constraints]

    @property
    def completed(self) -> bool:
        """Whether all are there."""
        return not self.pending_constraints and self.inprogress_constraint is None

    def get_bank(self) -> int:
        """A number that grows with the steps that are done: texts are compared within a bank."""
        begun = self.inprogress_constraint
        done = 0 if begun is None else self.max_seqlen - begun.remaining()
        return len(self.complete_constraints) * self.max_seqlen + done

    def advance(self) -> list[int] | None:
        """The tokens that go on with the one in progress, or begin another; None for none."""
        begun, found = self.inprogress_constraint, list[int]()
        for constraint in self.pending_constraints if begun is None else [begun]:
            step = constraint.advance()
            found += [] if step is None else [step] if isinstance(step, int) else list(step)
        return found or None

    def reset(self, token_ids: Sequence[int] | None) -> None:
        """Begin anew, and read a text."""
        self.init_state()
        for token in token_ids if token_ids is not None else ():
            self.add(token)
            if self.completed:
                break

    def add(self, token_id: int) -> tuple[bool, bool]:
        """Read a token: whether one is completed by it, or all were, and whether it was a step on."""
        if not isinstance(token_id, int):
            raise ArgumentError(f"token_id is a {type(token_id).__name__}: give a whole number, int(token_id).")
        if self.completed:
            return True, False
        if (begun := self.inprogress_constraint) is not None:
            stepped, complete, anew = begun.update(token_id)
            if anew:
                self.pending_constraints.append(begun.copy(stateful=False))
                self.inprogress_constraint = None
            if complete:
                self.complete_constraints.append(begun)
                self.inprogress_constraint = None
            return complete, stepped
        for place, constraint in enumerate(self.pending_constraints):
            if constraint.does_advance(token_id):
                return self._begin(place, token_id)
        return False, False

    def _begin(self, place: int, token_id: int) -> tuple[bool, bool]:
        constraint = self.pending_constraints[place]
        stepped, complete, _ = constraint.update(token_id)
        if not stepped:
            raise InputError(
                f"{type(constraint).__name__}: update({token_id}) is no step on, but does_advance({token_id}) is true."
            )
        del self.pending_constraints[place]
        if complete:
            self.complete_constraints.append(constraint)
        else:
            self.inprogress_constraint = constraint
        return complete, stepped

    def copy(self, stateful: bool = True) -> ConstraintListState:
        """Another with the same constraints, with `stateful` as far as this one."""
        new = ConstraintListState(self.constraints)
        if stateful:
            new.complete_constraints = [one.copy(stateful=True) for one in self.complete_constraints]
            new.pending_constraints = [one.copy(stateful=False) for one in self.pending_constraints]
            begun = self.inprogress_constraint
            new.inprogress_constraint = None if begun is None else begun.copy(stateful=True)
        return new


def constraints_of(config: Any, vocabulary: int | None) -> list[Any]:
    """What `constraints` and `force_words_ids` of a configuration ask for.

    Errors: ArgumentError for what is no constraint, InputError for what is empty, or not in the vocabulary.
    """
    given, words = config.constraints, config.force_words_ids
    for name, value in (("constraints", given), ("force_words_ids", words)):
        if value is not None and (not isinstance(value, (list, tuple)) or not value):
            raise InputError(f"{name}={value!r}: give a list with at least one, or leave it out.")
    for one in given or ():
        if not isinstance(one, Constraint):
            raise ArgumentError(
                f"constraints has a {type(one).__name__}: give formers.PhrasalConstraint(ids) or others."
            )
    found = list(given or ())
    for number, ids in enumerate(words or ()):
        nested = isinstance(ids, (list, tuple)) and len(ids) > 0 and isinstance(ids[0], (list, tuple))
        try:
            made: _Phrases = DisjunctiveConstraint(ids) if nested else PhrasalConstraint(ids)
        except InputError as error:
            raise InputError(f"force_words_ids[{number}]: {error}") from None
        found.append(made)
    for one in found:
        outside = [i for p in getattr(one, "phrases", ()) for i in p if vocabulary is not None and i >= vocabulary]
        if outside:
            raise InputError(
                f"A text is to contain token {outside[0]}: the vocabulary has ids 0 to {(vocabulary or 0) - 1}."
            )
    return found
