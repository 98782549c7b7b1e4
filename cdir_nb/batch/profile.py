"""Profiles: which notebooks to run, on which dataset, with which parameters. Plain YAML, strictly read."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cdir_nb.data.manifest import needs_folder
from cdir_nb.errors import CdirError
from cdir_nb.paths import NOTEBOOKS, PROFILES
from cdir_nb.results.records import problems


class Entry(BaseModel):
    """One notebook: its name in `notebooks/`, or a path ending in .ipynb, seen from the profile's folder.

    sweep  parameter -> values: one job for each combination, the first parameter varying slowest. Parameters that
           belong together stand in one line: `query_domain, gallery_domain: [[clipart, sketch], [real, sketch]]`
    after  names of entries above (`all`: every one): the notebook starts once those have ended, and its
           parameter `runs` names the folders of those that went well, separated by commas
    """

    model_config = ConfigDict(extra="forbid")
    notebook: str = Field(min_length=1)
    parameters: dict[str, Any] = {}
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    after: list[str] = []

    @field_validator("after", mode="before")
    @classmethod
    def _listed(cls, names: Any) -> Any:
        return [names] if isinstance(names, str) else names

    @model_validator(mode="after")
    def _given_once(self) -> "Entry":
        if both := ", ".join(sorted(self.parameters.keys() & set(self.swept))):
            raise ValueError(f"{self.name}: {both} stands in both parameters and sweep")
        for names, values in self.sweep.items():
            if any(len(_together(names, value)) != len(names.split(",")) for value in values):
                raise ValueError(f"{self.name}: sweep must give a list of as many values as there are names in {names}")
        for name, values in self.sweep.items():
            if len(set(map(repr, values))) < len(values):
                raise ValueError(f"{self.name}: sweep has a value of {name} twice")
        return self

    def combinations(self, fixed: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Every combination of the swept values; a parameter in `fixed` keeps that one value."""
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
        return Path(self.notebook).name.removesuffix(".ipynb")


def _together(names: str, value: Any) -> dict[str, Any]:
    """{parameter: value} of one step of a sweep; an empty one where names and values do not go together."""
    split = [name.strip() for name in names.split(",")]
    values = [value] if len(split) == 1 else value
    return dict(zip(split, values)) if isinstance(values, list) and len(values) == len(split) else {}


class Profile(BaseModel):
    """`parameters` go to every notebook that has them, an entry's own `parameters` to that notebook alone."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[\w-]+$")
    about: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    parameters: dict[str, Any] = {}
    notebooks: list[Entry] = Field(min_length=1)
    folder: Path = Field(PROFILES, exclude=True)

    @field_validator("notebooks")
    @classmethod
    def _named_once(cls, entries: list[Entry]) -> list[Entry]:
        names = [entry.name for entry in entries]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return entries

    @field_validator("notebooks")
    @classmethod
    def _after_what_stands_above(cls, entries: list[Entry]) -> list[Entry]:
        names = [entry.name for entry in entries]
        for i, entry in enumerate(entries):
            above = names[:i]
            if wrong := [name for name in entry.after if name not in above and not (above and name == "all")]:
                raise ValueError(f"{entry.name}: after {wrong[0]!r}: above it stands {', '.join(above) or 'nothing'}")
            entry.after = above if "all" in entry.after else entry.after
        return entries

    @property
    def needs(self) -> str:
        """What the user has to bring: nothing, or a folder of images."""
        return f"--data {self.dataset}=PATH" if needs_folder(self.dataset) else ""

    def path(self, entry: Entry) -> Path:
        """Where an entry's notebook lies."""
        if entry.notebook.endswith(".ipynb"):
            return (self.folder / entry.notebook).resolve()
        return NOTEBOOKS / f"{entry.notebook}.ipynb"


def profile_names() -> list[str]:
    """Names of the profiles that come with the workbook."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def load_profile(name: str) -> Profile:
    """A profile by name, or from a YAML file of your own. Raises CdirError naming file and field."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise CdirError(f"no profile {name!r}: choose one of {', '.join(profile_names())}, or give a .yaml file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise CdirError(f"{path}: a profile is a list of `field: value` lines")
        return Profile(**{**content, "folder": path.resolve().parent})
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        raise CdirError(f"{path}: not valid YAML{f', line {where.line + 1}' if where else ''}") from None
    except (ValidationError, TypeError) as error:
        text = problems(error) if isinstance(error, ValidationError) else str(error)
        raise CdirError(f"{path}: {text}") from None
