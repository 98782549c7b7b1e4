"""Profiles are YAML files that define which notebooks run, on which dataset, and with which parameters."""

import itertools
import math
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cdir_nb.data.manifest import needs_folder
from cdir_nb.data.protocols import dataset_of
from cdir_nb.data.strict_yaml import read_yaml
from cdir_nb.errors import CdirError
from cdir_nb.paths import NOTEBOOKS, PROFILES, expanded
from cdir_nb.results.records import problems

COST_BASIS = (
    "costs marked as estimated: time on two cores from ViT-B/32's measured 18 images/s embedded and 6 images/s "
    "trained, a GPU taken as 100 times as fast (not measured), no early stop; disk from the datasets' pages, or 60 KB "
    "an image. Other times are rounded, from runs beside other work."
)
EXPERIMENT = "experiment"  # the notebook that runs one method on one task
MAX_JOBS = 1_000  # of one entry
RESERVED = {
    "out_dir": "the runner sets it",
    "data_root": "use --data NAME=PATH",
    "dataset": "use --profile",
    "run_folders": "`after` in a profile sets it",
}


def refuse_reserved(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters unchanged. Raises CdirError for a parameter that is set by the runner or another option."""
    for name in parameters:
        if name in RESERVED:
            raise CdirError(f"parameter {name!r} cannot be set by hand: {RESERVED[name]}")
    return parameters


Parameters = Annotated[dict[str, Any], AfterValidator(refuse_reserved)]
Values = Annotated[list[Any], Field(min_length=1)]


class Entry(BaseModel):
    """A notebook of a profile: a name in `notebooks/`, or a path ending in .ipynb, relative to the profile's folder.

    sweep  {parameter: values}: one job per combination; the first parameter varies slowest
    cases  a list of {parameter: value}; the jobs of `sweep` are repeated for each case
    after  names of preceding entries, or `all`. The notebook starts once their jobs have ended; its parameter
           `run_folders` lists the folders of those that succeeded, separated by commas
    title  the entry's name, if another entry runs the same notebook; default: the notebook's name
    """

    model_config = ConfigDict(extra="forbid")
    notebook: str = Field(min_length=1)
    parameters: Parameters = {}
    sweep: Annotated[dict[str, Values], AfterValidator(refuse_reserved)] = {}
    cases: list[Parameters] = []
    after: list[str] = []
    title: str = ""

    @field_validator("after", mode="before")
    @classmethod
    def _as_list(cls, names: Any) -> Any:
        return [names] if isinstance(names, str) else names

    @model_validator(mode="after")
    def _check_jobs(self) -> Self:
        if any(case.keys() != self.cases[0].keys() for case in self.cases):
            raise ValueError(f"{self.name}: cases must all set the same parameters")
        names = [*self.parameters, *self.swept]
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.name}: {', '.join(duplicates)} is set twice: remove one")
        if math.prod(map(len, self.sweep.values())) * max(1, len(self.cases)) > MAX_JOBS:
            raise ValueError(f"{self.name}: the sweep has more than {MAX_JOBS:,} combinations: split the profile")
        return self

    def __str__(self) -> str:
        count = len(self.combinations({}))
        return f"{self.name} (x {count})" if count > 1 else self.name

    def combinations(self, overrides: dict[str, Any]) -> list[dict[str, Any]]:
        """The swept parameters of each job, without duplicates; values in `overrides` replace those of the sweep."""
        jobs: list[dict[str, Any]] = []
        for values in itertools.product(*self.sweep.values()):
            for case in self.cases or [{}]:
                swept = {**dict(zip(self.sweep, values)), **case}
                swept |= {name: value for name, value in overrides.items() if name in swept}
                if swept not in jobs:
                    jobs.append(swept)
        return jobs

    @property
    def swept(self) -> list[str]:
        """Names of the parameters that differ between the entry's jobs."""
        return [*self.sweep, *(self.cases[0] if self.cases else ())]

    @property
    def name(self) -> str:
        """Its title, or the name of its notebook."""
        return self.title or Path(self.notebook).name.removesuffix(".ipynb")


class Experiment(BaseModel):
    """One method on one task: an entry under `experiments` of a profile, run by the notebook `experiment`.

    variants, encoders, seeds  one job per combination; an empty variant is the method itself
    directions  [query domain, gallery domain] pairs to fit for; empty: all of the task
    settings    overrides of single settings; sweep: {setting: values}, one job per combination
    test        False: do not use test images, for a search of settings
    test_task   another protocol to measure on; empty: the task
    name        distinguishes experiments of one profile; empty: method and task
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

    def entry(self) -> Entry:
        """The notebook entry of the experiment, with parameters and sweeps."""
        grid = itertools.product(*self.sweep.values())
        axes: dict[str, list[Any]] = {
            "encoder": self.encoders,
            "variant": self.variants,
            "settings": [{**self.settings, **dict(zip(self.sweep, values))} for values in grid],
            "seed": self.seeds,
        }
        return Entry(
            notebook=EXPERIMENT,
            title=self.name or f"{self.method}, {self.task}",
            parameters={
                **self.model_dump(include={"method", "task", "directions", "test", "test_task"}),
                **{name: values[0] for name, values in axes.items() if len(values) == 1},
            },
            sweep={name: values for name, values in axes.items() if len(values) > 1},
        )


class Profile(BaseModel):
    """A profile. Its `parameters` apply to every notebook that has them; an entry's own `parameters` override them.

    cost         disk space and time, "estimated" if nobody measured them (`COST_BASIS`)
    experiments  become entries before those in `notebooks`
    """

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[\w-]+$")
    about: str = Field(min_length=1)
    cost: str = ""
    dataset: str = Field(min_length=1)
    parameters: Parameters = {}
    notebooks: list[Entry] = Field(min_length=1)
    folder: Path = Field(default=PROFILES, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _add_experiments(cls, fields: dict[str, Any]) -> dict[str, Any]:
        entries = [Experiment.model_validate(experiment).entry() for experiment in fields.get("experiments", [])]
        others = {name: value for name, value in fields.items() if name != "experiments"}
        return {**others, "notebooks": [*entries, *fields.get("notebooks", [])]} if entries else fields

    @field_validator("notebooks")
    @classmethod
    def _check_order(cls, entries: list[Entry]) -> list[Entry]:
        above: list[str] = []
        for entry in entries:
            if entry.name in above:
                raise ValueError(f"{entry.name} appears twice: remove one, use a sweep, or give it a title")
            if unknown := [name for name in entry.after if name not in above and not (above and name == "all")]:
                raise ValueError(
                    f"{entry.name}: after has {unknown[0]!r}, which is not an entry above: remove it, or put it first; "
                    f"entries above: {', '.join(above) or 'none'}"
                )
            if "all" in entry.after:
                entry.after = list(above)
            above.append(entry.name)
        return entries

    def only(self, names: Iterable[str]) -> Self:
        """The profile with only these notebooks, and those that they come `after`.

        names  an entry's name, or its beginning, such as "07". Raises CdirError if no entry's name begins with it.
        """
        entries = [entry.name for entry in self.notebooks]
        selected: set[str] = set()
        for name in names:
            matches = [entry for entry in entries if entry == name or entry.startswith(f"{name}_")]
            if not matches:
                raise CdirError(f"--notebook {name}: not in profile {self.name}; known: {', '.join(entries)}")
            selected |= {*matches}
        for entry in reversed(self.notebooks):  # an entry comes after entries above it
            selected |= {*entry.after} if entry.name in selected else set()
        return self.model_copy(update={"notebooks": [entry for entry in self.notebooks if entry.name in selected]})

    @property
    def needs(self) -> str:
        """The option that the user must give, such as `--data pacs=PATH`; empty if the images are bundled."""
        return f"--data {self.dataset}=PATH" if needs_folder(self.dataset) else ""

    def __str__(self) -> str:
        """Notebooks and requirements, as `cdir reproduce --list` prints them."""
        lines = {
            "": self.about,
            "notebooks: ": ", ".join(sorted(map(str, self.notebooks))),
            "encoder: ": self.models,
            "needs: ": self.needs or "nothing, everything is in the package",
            "costs: ": self.cost,
        }
        texts = [head + text for head, text in lines.items() if text]
        filled = [textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="    ") for text in texts]
        return "\n".join([self.name, *filled])

    @property
    def models(self) -> str:
        """Encoders and named settings of its notebooks, such as `ViT-B-32:openai; settings CLAIR-A`."""
        sets = [self.parameters]
        for entry in self.notebooks:
            sets += [entry.parameters, *entry.combinations({})]
        encoders, settings = (
            list(dict.fromkeys(values[name] for values in sets if isinstance(values.get(name), str)))
            for name in ("encoder", "settings")
        )
        return "; ".join([", ".join(encoders), *(f"settings {name}" for name in settings)])

    def path(self, entry: Entry) -> Path:
        """Path of an entry's notebook."""
        if entry.notebook.endswith(".ipynb"):
            return (self.folder / entry.notebook).resolve()
        return NOTEBOOKS / f"{entry.notebook}.ipynb"


def profile_of(experiment: Experiment) -> Profile:
    """A profile of one experiment, on the dataset of its task. Raises CdirError for an unknown task."""
    about = f"{experiment.method} on {experiment.task}"
    name = re.sub(r"\W+", "-", f"{experiment.method} {experiment.task}").strip("-")
    return Profile(name=name, about=about, dataset=dataset_of(experiment.task), notebooks=[experiment.entry()])


def profile_names() -> list[str]:
    """Names of the bundled profiles."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def load_profile(name: str) -> Profile:
    """Load a bundled profile by name, or a YAML file. Raises CdirError, which names file and field."""
    is_file = name.endswith((".yaml", ".yml"))
    path = expanded(name) if is_file else PROFILES / f"{name}.yaml"
    if not (path.is_file() if is_file else name in profile_names()):
        raise CdirError(f"unknown profile {name!r}; known: {', '.join(profile_names())}, or give a .yaml file")
    content = read_yaml(path)
    if "folder" in content:
        raise CdirError(f"{path}: folder: unknown name; remove it")
    try:
        return Profile(**content, folder=path.resolve().parent)
    except ValidationError as error:
        raise CdirError(f"{path}: {problems(error)}") from None
    except CdirError as error:
        raise CdirError(f"{path}: {error}") from None
