"""The checks of the exercises: solutions pass, and each stated wrong answer is rejected with its own explanation."""

import numpy as np
import pytest

from cdir_nb import course
from cdir_nb.course.exercise import Choice, Implement, Open
from cdir_nb.errors import CdirError

NUMBERED = {name: exercise for number in course.NUMBERS for name, exercise in course.chapter(number).numbered.items()}
CHOICES = [name for name, exercise in NUMBERED.items() if isinstance(exercise, Choice)]
FUNCTIONS = [name for name, exercise in NUMBERED.items() if isinstance(exercise, Implement)]


@pytest.mark.parametrize("number", course.NUMBERS)
def test_a_chapter_has_one_exercise_of_each_kind(number):
    kinds = [exercise.kind for exercise in course.chapter(number).exercises]
    assert kinds == ["predict", "explain", "implement", "open"]
    assert course.chapter(number).number == number


@pytest.mark.parametrize("name", CHOICES)
def test_one_statement_is_right_and_each_wrong_one_has_its_own_explanation(name):
    exercise = NUMBERED[name]
    assert [letter for letter in exercise.options if course.check(name, letter).right] == [exercise.answer]
    assert len(exercise.wrong) == len(set(exercise.wrong.values())) == 3
    assert course.check(name, f" {exercise.answer.upper()} ").right


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_solution_is_right_and_three_wrong_functions_are_rejected_each_with_its_explanation(name):
    exercise = NUMBERED[name]
    assert course.check(name, exercise.solution).right
    replies = {function: course.check(name, function) for function in exercise.wrong}
    assert len(exercise.wrong) == len(set(exercise.wrong.values())) == 3
    for function, reply in replies.items():
        assert not reply.right and reply.text == exercise.wrong[function]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stub_has_the_task_and_no_code(name):
    stub = NUMBERED[name].stub
    namespace = {}
    exec(stub, namespace)
    reply = course.check(name, namespace[NUMBERED[name].name])
    assert not reply.right and not reply.answered
    assert namespace[NUMBERED[name].name].__doc__ == NUMBERED[name].solution.__doc__


def test_another_wrong_result_is_shown_beside_the_expected_one():
    reply = course.check("02.3", lambda hits, n_relevant: 0.125)
    assert not reply.right and "0.125" in reply.text and "0.833" in reply.text


def test_an_error_in_the_students_function_is_reported():
    reply = course.check("00.3", lambda scores, query_labels, gallery_labels, k: scores.topk(k))
    assert not reply.right and "AttributeError" in reply.text


def test_a_function_that_changes_its_arguments_changes_no_other_case():
    def double(x):
        return 2 * x

    def in_place(x):
        x *= 2
        return x

    shared = np.ones(3)
    assert Implement("", double, double, lambda: [(shared,), (shared,)], {}).check(in_place).right


def test_results_of_a_wrong_shape_are_wrong():
    assert not course.check("01.3", lambda images, texts, scale: np.zeros(3)).right


@pytest.mark.parametrize("answer", ["", None, "e", 3])
def test_a_letter_that_is_no_choice_is_neither_right_nor_explained(answer):
    reply = course.check("00.1", answer)
    assert not reply.right and reply.answered == bool(answer) and "a, b, c, d" in reply.text


@pytest.mark.parametrize("name", ["13.1", "00.5", "3", ""])
def test_an_exercise_that_does_not_exist_is_named(name):
    with pytest.raises(CdirError, match=f"'{name.partition('.')[0]}"):
        course.check(name, "a")


def test_an_open_exercise_has_no_check():
    assert isinstance(NUMBERED["00.4"], Open)
    with pytest.raises(CdirError, match=r"00\.4"):
        course.check("00.4", "anything")
