"""The course: exercises for each chapter, the check of answers, and notebooks for students and teachers.

from cdir_nb.course import check, figure
check("04.3", procrustes)    whether an answer to exercise 3 of chapter 04 is right, and why
figure("04.3")               the target of the exercise; figure("04.3", procrustes): the same by your function

NUMBERS names the chapters with exercises; an Exercise is one of the classes Choice, Implement and Open.
"""

from importlib import import_module
from typing import Any

from cdir_nb.course.exercise import Chapter, Exercise, Reply
from cdir_nb.errors import CdirError

NUMBERS = tuple(f"{number:02}" for number in range(13))  # of the chapters with exercises


def chapter(number: str) -> Chapter:
    """The exercises of a chapter, such as "04". Raises CdirError if it has none."""
    if number not in NUMBERS:
        raise CdirError(f"chapter {number!r} has no exercises: use {NUMBERS[0]} to {NUMBERS[-1]}")
    return import_module(f"cdir_nb.course.chapter_{number}").CHAPTER


def find_exercise(name: str) -> Exercise:
    """The exercise "04.3". Raises CdirError if there is none."""
    numbered = chapter(str(name).partition(".")[0]).numbered
    if name not in numbered:
        raise CdirError(f"exercise {name!r} does not exist: use one of {', '.join(numbered)}")
    return numbered[name]


def check(name: str, answer: Any) -> Reply:
    """Whether an answer is right, and why: a letter for a choice, a function for an exercise to implement.

    Raises CdirError if there is no such exercise, or if it is open.
    """
    checked = getattr(find_exercise(name), "check", None)
    if checked is None:
        raise CdirError(f"exercise {name} is open: no check can decide it; discuss your answer")
    return checked(answer)


def figure(name: str, function: Any = None) -> Any:
    """The figure of an exercise to implement: the target, or the same by `function`. CdirError if it has none."""
    found: Any = find_exercise(name)
    if getattr(found, "figure", None) is None:
        raise CdirError(f"exercise {name} has no figure: use check")
    return found.figure(function or found.solution)


__all__ = ["NUMBERS", "Chapter", "Exercise", "Reply", "chapter", "check", "figure", "find_exercise"]
