"""Exercises and the check of an answer.

A `Chapter` has one exercise of each kind: to predict and to explain (`Choice`), to implement (`Implement`), and an open
one (`Open`). Everything about an exercise is in one place, its chapter's module: the question, hints, the solution,
and three wrong answers with what is wrong about each. `notebooks` writes the students' and the teacher's copies.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

TOLERANCE = 1e-4  # of single precision


@dataclass(frozen=True)
class Reply:
    """What `check` says about an answer; a notebook displays it."""

    right: bool
    text: str
    answered: bool = True

    def __repr__(self) -> str:
        return f"{'✓' if self.right else '✗' if self.answered else '…'} {self.text}"

    def _repr_markdown_(self) -> str:
        return "> " + repr(self).replace("\n", "  \n> ")


@dataclass(frozen=True)
class Choice:
    """A question with four statements, of which one is right.

    kind       "predict" or "explain"
    options    {letter: (statement, reply to it)}
    answer     the letter of the right statement
    run        code that shows whether a prediction is right; empty for an explanation
    evidence   code of the teacher's copy that asserts it, after `run`
    """

    kind: str
    question: str
    options: Mapping[str, tuple[str, str]]
    answer: str
    hints: tuple[str, ...] = ()
    run: str = ""
    evidence: str = ""

    @property
    def wrong(self) -> dict[str, str]:
        """{wrong answer: the reply to it}."""
        return {letter: reply for letter, (_, reply) in self.options.items() if letter != self.answer}

    def check(self, answer: Any) -> Reply:
        """The reply to a letter."""
        letter = str(answer or "").strip().lower()
        if letter not in self.options:
            got = f"{answer!r} is none of them" if letter else "not answered yet"
            return Reply(False, f"{got}: set `answer` to one of {', '.join(self.options)}.", answered=bool(letter))
        return Reply(letter == self.answer, self.options[letter][1])


@dataclass(frozen=True)
class Implement:
    """A function to write.

    solution   the function; its signature and docstring are the task
    expected   an independent function with the same result, mostly the package's
    cases      the arguments of several calls: those of the first are shown if a result is wrong
    mistakes   {wrong function: what is wrong}; an answer with its results gets this explanation
    use        code that applies the student's function to images, after a right answer
    figure     draws what a function does; the target is the figure of the solution
    """

    question: str
    solution: Callable
    expected: Callable
    cases: Callable[[], Sequence[tuple]]
    mistakes: Mapping[Callable, str]
    hints: tuple[str, ...] = ()
    use: str = ""
    figure: Callable[[Callable], Any] | None = None
    kind: str = "implement"

    @property
    def wrong(self) -> dict[Callable, str]:
        """{wrong answer: the reply to it}."""
        return dict(self.mistakes)

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.solution.__name__

    @property
    def source(self) -> str:
        """The code of the solution."""
        return textwrap.dedent(inspect.getsource(self.solution)).rstrip()

    @property
    def stub(self) -> str:
        """The solution without its body: signature and docstring."""
        (function,) = ast.parse(self.source).body
        assert isinstance(function, ast.FunctionDef)
        lines = self.source.splitlines()[: function.body[0].end_lineno]
        return "\n".join([*lines, "    ...  # your code"])

    def check(self, answer: Any) -> Reply:
        """Call the function on the cases, and compare its results with those expected and those of known mistakes."""
        if not callable(answer):
            return Reply(False, f"{answer!r} is no function: pass {self.name}, without brackets.")
        results = []
        for case in self.cases():
            try:
                results.append(answer(*map(_copied, case)))
            except Exception as error:  # whatever the student's code raises
                problem = f"{type(error).__name__}: {error}"
                return Reply(False, f"{self.name} raised `{problem}`\nwith the arguments `{_shown(case)}`")
        if all(result is None for result in results):
            return Reply(False, f"{self.name} returns nothing yet.", answered=False)
        if self._agrees(results, self.expected):
            return Reply(True, f"{self.name} gives the expected results in all {len(results)} cases.")
        for mistake, explanation in self.mistakes.items():
            if self._agrees(results, mistake):
                return Reply(False, explanation)
        return self._difference(results)

    def _agrees(self, results: Sequence[Any], function: Callable) -> bool:
        return all(_equal(result, function(*map(_copied, case))) for result, case in zip(results, self.cases()))

    def _difference(self, results: Sequence[Any]) -> Reply:
        """The first case with a wrong result."""
        for result, case in zip(results, self.cases()):
            expected = self.expected(*map(_copied, case))
            if not _equal(result, expected):
                break
        shown = f"With the arguments `{_shown(case)}`"
        return Reply(False, f"{shown}\nthe result is `{_text(result)}`,\nand expected is `{_text(expected)}`")


@dataclass(frozen=True)
class Open:
    """A task without one right answer.

    good  what a good answer contains; only in the teacher's copy
    """

    question: str
    good: str
    hints: tuple[str, ...] = ()
    kind: str = "open"


Exercise = Choice | Implement | Open


@dataclass(frozen=True)
class Chapter:
    """The exercises of a chapter.

    name     of its notebook, such as "04_domain_mapping"
    title    in words
    minutes  how long the exercises take a student
    setup    code that loads what they need
    """

    name: str
    title: str
    minutes: int
    setup: str
    exercises: tuple[Exercise, ...]

    @property
    def number(self) -> str:
        """The chapter's number, "04"."""
        return self.name[:2]

    @cached_property
    def numbered(self) -> dict[str, Exercise]:
        """{"04.3": exercise}."""
        return {f"{self.number}.{i}": exercise for i, exercise in enumerate(self.exercises, 1)}


def _copied(value: Any) -> Any:
    """A copy of an array, so that a function that changes its arguments changes no other case."""
    return value.clone() if hasattr(value, "clone") else value.copy() if isinstance(value, np.ndarray) else value


def _equal(left: Any, right: Any) -> bool:
    """Whether two results agree up to rounding; arrays and tensors of equal values are equal."""
    if isinstance(right, tuple):
        return isinstance(left, tuple | list) and len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(right, str):
        return left == right
    try:
        a, b = _array(left), _array(right)
        return a.shape == b.shape and bool(np.allclose(a, b, atol=TOLERANCE, rtol=TOLERANCE, equal_nan=True))
    except (TypeError, ValueError, AttributeError):
        return False


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach() if hasattr(value, "detach") else value, dtype=float)


def _shown(case: tuple) -> str:
    return ", ".join(_text(value) for value in case)


def _text(value: Any) -> str:
    """A value in a message; of a large array only its shape."""
    if isinstance(value, tuple):
        return f"({_shown(value)})"
    shape = getattr(value, "shape", None)
    if shape is None:
        return repr(value)
    array = value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)
    if array.size > 12:
        return f"an array {tuple(shape)} that begins with {np.array2string(array.ravel()[:4], precision=3)}"
    return " ".join(np.array2string(array, precision=3, separator=", ").split())
