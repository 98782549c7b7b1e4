"""Profiles: which notebooks to run, on which dataset, with which parameters. YAML files, strictly validated."""

import itertools
import math
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cdir_nb.data.manifest import needs_folder
from cdir_nb.data.protocols import dataset_of
from cdir_nb.data.strict_yaml import read_yaml
from cdir_nb.errors import CdirError
from cdir_nb.paths import NOTEBOOKS, PROFILES, expanded
from cdir_nb.results.records import problems
from cdir_nb.run.experiments import Experiment

COST_BASIS = (
    "costs are estimates: time on two cores from ViT-B/32's measured 18 images/s embedded and 6 images/s trained, a "
    "GPU taken as 100 times as fast (not measured), no early stop; disk from the datasets' pages, or 60 KB an image"
)
MOST_JOBS = 1_000  # in a sweep


class Entry(BaseModel):
    """One notebook: its name in `notebooks/`, or a path ending in .ipynb, relative to the profile's folder.

    sweep  {parameter: values}: one job per combination, the first parameter varying slowest. Parameters that change
           together share one line: `query_domain, gallery_domain: [[clipart, sketch], [real, sketch]]`
    after  names of entries above (`all`: every one): the notebook starts once those have ended, and its parameter
           `run_folders` lists those of those that succeeded, separated by commas
    title  the entry's name, if another entry runs the same notebook; else the notebook's name
    """

    model_config = ConfigDict(extra="forbid")
    notebook: str = Field(min_length=1)
    parameters: dict[str, Any] = {}
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    after: list[str] = []
    title: str = ""

    @field_validator("after", mode="before")
    @classmethod
    def _listed(cls, names: Any) -> Any:
        return [names] if isinstance(names, str) else names

    @model_validator(mode="after")
    def _given_once(self) -> "Entry":
        if both := ", ".join(sorted(self.parameters.keys() & set(self.swept))):
            raise ValueError(f"{self.name}: {both} appears in both parameters and sweep: remove one")
        if twice := sorted({name for name in self.swept if self.swept.count(name) > 1}):
            raise ValueError(f"{self.name}: {', '.join(twice)} is swept twice: remove one")
        if math.prod(map(len, self.sweep.values())) > MOST_JOBS:
            raise ValueError(f"{self.name}: the sweep has more than {MOST_JOBS:,} combinations: split the profile")
        for names, values in self.sweep.items():
            if any(len(_together(names, value)) != len(names.split(",")) for value in values):
                raise ValueError(f"{self.name}: each value in sweep must be a list with one value per name in {names}")
        for name, values in self.sweep.items():
            if len(set(map(repr, values))) < len(values):
                raise ValueError(f"{self.name}: a value of {name} appears twice in sweep: remove one")
        return self

    def __str__(self) -> str:
        """Its name, and how many times a sweep runs it."""
        count = sum(1 for _ in self.combinations({}))
        return f"{self.name} (x {count})" if count > 1 else self.name

    def combinations(self, fixed: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Every combination of the swept values; parameters in `fixed` keep their fixed value."""
        axes = [[_together(names, value) for value in values] for names, values in self.sweep.items()]
        seen: list[dict[str, Any]] = []
        for chosen in itertools.product(*axes):
            found = {name: value for part in chosen for name, value in part.items()}
            found |= {name: value for name, value in fixed.items() if name in found}
            if found not in seen:
                seen.append(found)
        return iter(seen)

    @property
    def swept(self) -> list[str]:
        """Names of the swept parameters."""
        return [name.strip() for names in self.sweep for name in names.split(",")]

    @property
    def name(self) -> str:
        return self.title or self.stem

    @property
    def stem(self) -> str:
        """The notebook's name, without its folder."""
        return Path(self.notebook).name.removesuffix(".ipynb")


def _together(names: str, value: Any) -> dict[str, Any]:
    """{parameter: value} for one step of a sweep; empty if the numbers of names and values differ."""
    split = [name.strip() for name in names.split(",")]
    values = [value] if len(split) == 1 else value
    return dict(zip(split, values)) if isinstance(values, list) and len(values) == len(split) else {}


class Profile(BaseModel):
    """A profile. `parameters` apply to every notebook that has them, an entry's own `parameters` only to that entry.

    cost         disk and time that the images of a paper need, estimated (`COST_BASIS`)
    experiments  methods on tasks; each becomes an entry of the notebook `experiment`, before those in `notebooks`
    """

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[\w-]+$")
    about: str = Field(min_length=1)
    cost: str = ""
    dataset: str = Field(min_length=1)
    parameters: dict[str, Any] = {}
    notebooks: list[Entry] = Field(min_length=1)
    folder: Path = Field(PROFILES, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _with_experiments(cls, values: dict[str, Any]) -> dict[str, Any]:
        experiments = [Experiment.model_validate(one).entry() for one in values.get("experiments", [])]
        rest = {name: value for name, value in values.items() if name != "experiments"}
        return {**rest, "notebooks": [*experiments, *values.get("notebooks", [])]} if experiments else values

    @field_validator("notebooks")
    @classmethod
    def _named_once(cls, entries: list[Entry]) -> list[Entry]:
        names = [entry.name for entry in entries]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} appears twice: remove one, or use a sweep")
        return entries

    @field_validator("notebooks")
    @classmethod
    def _after_what_stands_above(cls, entries: list[Entry]) -> list[Entry]:
        names = [entry.name for entry in entries]
        for i, entry in enumerate(entries):
            above = names[:i]
            if wrong := [name for name in entry.after if name not in above and not (above and name == "all")]:
                raise ValueError(
                    f"{entry.name}: after {wrong[0]!r} must be an entry above: {', '.join(above) or 'none'}"
                )
            entry.after = above if "all" in entry.after else entry.after
        return entries

    @property
    def needs(self) -> str:
        """The option that the user must give: a folder of images, or nothing."""
        return f"--data {self.dataset}=PATH" if needs_folder(self.dataset) else ""

    def __str__(self) -> str:
        """What it runs and needs, as `cdir reproduce --list` shows it."""
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
        """The encoders and the named settings of its notebooks, such as `ViT-B-32:openai; settings CLAIR-A`."""
        given = [self.parameters]
        for entry in self.notebooks:
            given += [entry.parameters, *entry.combinations({})]
        encoders, settings = (
            list(dict.fromkeys(values[name] for values in given if isinstance(values.get(name), str)))
            for name in ("encoder", "settings")
        )
        return "; ".join([", ".join(encoders), *(f"settings {name}" for name in settings)])

    def path(self, entry: Entry) -> Path:
        """The path of an entry's notebook."""
        if entry.notebook.endswith(".ipynb"):
            return (self.folder / entry.notebook).resolve()
        return NOTEBOOKS / f"{entry.notebook}.ipynb"


def profile_of(experiment: Experiment) -> Profile:
    """A profile with one experiment, on the dataset whose card defines its task. CdirError for an unknown task."""
    name = re.sub(r"\W+", "-", f"{experiment.method} {experiment.task}").strip("-")
    about = f"{experiment.method} on {experiment.task}"
    return Profile(name=name, about=about, dataset=dataset_of(experiment.task), experiments=[experiment.model_dump()])


def profile_names() -> list[str]:
    """Names of the bundled profiles."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def load_profile(name: str) -> Profile:
    """Load a bundled profile by name, or your own YAML file. Raises CdirError naming file and field."""
    own = name.endswith((".yaml", ".yml"))
    path = expanded(name) if own else PROFILES / f"{name}.yaml"
    if not (path.is_file() if own else name in profile_names()):
        raise CdirError(f"unknown profile {name!r}; known: {', '.join(profile_names())}, or give a .yaml file")
    content = read_yaml(path)
    if "folder" in content:
        raise CdirError(f"{path}: folder: unknown name")
    try:
        return Profile(**{**content, "folder": path.resolve().parent})
    except ValidationError as error:
        raise CdirError(f"{path}: {problems(error)}") from None
