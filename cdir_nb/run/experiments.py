"""Experiments: jobs of the notebook `experiment`, one for each variant, seed, encoder and value of a setting."""

import ast
import itertools
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cdir_nb.errors import CdirError

NOTEBOOK = "experiment"


class Experiment(BaseModel):
    """One method on one task, as a profile lists it under `experiments`.

    variants, encoders, seeds  a job for each combination; an empty variant is the method itself
    directions  [query domain, gallery domain] pairs that each job is fitted for; empty: all of the task
    settings    override single settings; sweep: {setting: values}, a job for each combination
    test        False: no test image is read, for a search of settings
    test_task   another protocol to measure on; empty: the task
    name        what tells it from other experiments of the profile; empty: its method and task
    """

    model_config = ConfigDict(extra="forbid")
    method: str = Field(min_length=1)
    task: str = Field(min_length=1)
    variants: list[str] = [""]
    encoders: list[str] = []
    seeds: list[int] = [0]
    directions: list[list[str]] = []
    settings: dict[str, Any] = {}
    sweep: dict[str, list[Any]] = {}
    test: bool = True
    test_task: str = ""
    name: str = ""

    def entry(self) -> dict[str, Any]:
        """The same as an entry of a profile: parameters of the notebook, and what is swept."""
        parameters = {"method": self.method, "task": self.task, "directions": self.directions}
        parameters |= {"test": self.test, "test_task": self.test_task}
        combinations = [
            {**self.settings, **dict(zip(self.sweep, values))} for values in itertools.product(*self.sweep.values())
        ]
        sweep: dict[str, list[Any]] = {"encoder": self.encoders, "variant": self.variants}
        sweep |= {"settings": combinations, "seed": self.seeds}
        fixed = {name: values[0] for name, values in sweep.items() if len(values) == 1}
        several = {name: values for name, values in sweep.items() if len(values) > 1}
        return {
            "notebook": NOTEBOOK,
            "title": self.name or f"{self.method}, {self.task}",
            "parameters": parameters | fixed,
            "sweep": several,
        }


def check_experiment(parameters: dict[str, Any]) -> None:
    """Raise CdirError for an unknown method, variant, setting or direction, before anything runs."""
    from cdir_nb.data.protocols import dataset_of, protocol_directions  # methods take a second to import
    from cdir_nb.methods.table import method_named

    method = method_named(parameters["method"])
    method.configured(variant=parameters["variant"] or None, settings=parameters["settings"])
    task, test_task = parameters["task"], parameters["test_task"] or parameters["task"]
    if dataset_of(test_task) != dataset_of(task):
        raise CdirError(
            f"test_task {test_task} is not on the images of {task}: choose a protocol of {dataset_of(task)}"
        )
    for name in dict.fromkeys((task, test_task)):
        known = protocol_directions(name)
        for pair in parameters["directions"]:
            if tuple(pair) not in known:
                listed = "; ".join(" to ".join(direction) for direction in known) or "none"
                raise CdirError(f"{name} has no direction {' to '.join(map(str, pair))}; it has {listed}")


def from_options(
    method: str,
    task: str | None,
    *,
    variants: Iterable[str] = (),
    encoder: str | None = None,
    seeds: str = "0",
    directions: Iterable[str] = (),
    settings: Iterable[str] = (),
    sweep: Iterable[str] = (),
) -> Experiment:
    """The experiment that `cdir reproduce --method` asks for; texts are those of the command line.

    Raises CdirError for a text that is not of the form which `cdir reproduce --help` shows.
    """
    if not task:
        raise CdirError(f"--method {method} needs a task: add --task, such as --task world-unseen")
    from cdir_nb.methods.table import method_named  # takes a second to import

    swept = {}
    for text in sweep:
        name, values = _named(text, "--sweep", "learning_rate=0.01,0.03")
        swept[name] = [_literal(value) for value in values.split(",")]
    return Experiment(
        method=method,
        task=task,
        variants=list(variants) or [""],
        encoders=[encoder or method_named(method).default_encoder],
        seeds=_whole_numbers(seeds),
        directions=[_pair(text) for text in directions],
        settings={name: _literal(value) for name, value in (_named(t, "--set", "epochs=20") for t in settings)},
        sweep=swept,
    )


def _named(text: str, option: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise CdirError(f"{option} {text}: with --method, write SETTING=VALUE, such as {example}")
    return name, value


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise CdirError(f"--seeds {text}: write whole numbers with commas between them, such as 0,1,2") from None


def _pair(text: str) -> list[str]:
    pair = text.split(":")
    if len(pair) != 2 or not all(pair):
        raise CdirError(f"--direction {text}: write QUERY:GALLERY, such as sketch:photo")
    return pair


def _literal(text: str) -> Any:
    """A number, True, False, None or a list as Python writes it; any other text as it is."""
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
