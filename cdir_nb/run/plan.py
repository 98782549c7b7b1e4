"""From a profile and command-line options to jobs. All input is checked here, before anything runs."""

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdir_nb.data.manifest import needs_folder, open_dataset
from cdir_nb.data.protocols import default_protocol, load_protocol
from cdir_nb.encoders.spec import EncoderSpec
from cdir_nb.errors import CdirError
from cdir_nb.notebook import read_parameters
from cdir_nb.paths import expanded
from cdir_nb.run.declared import check_domains
from cdir_nb.run.digests import images_digest, notebook_digest, source_digest
from cdir_nb.run.experiments import NOTEBOOK as EXPERIMENT
from cdir_nb.run.experiments import check_experiment
from cdir_nb.run.parameters import RESERVED, check, parse_value
from cdir_nb.run.profile import Entry, Profile

ENCODERS = ("encoder", "backbone")  # parameters that are encoder specifications


@dataclass(frozen=True)
class Job:
    """One notebook to run. Its `folder`, inside the run folder, is named by a digest of all that determines its result.

    `label` is the notebook's name, with the swept values if it is part of a sweep; `after` has the folders of the jobs
    that must end before it starts.
    """

    name: str
    label: str
    notebook: Path
    parameters: dict[str, Any]
    after: tuple[str, ...]
    digest: str
    made_of: dict[str, str]

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.digest}"


@dataclass(frozen=True)
class Plan:
    """A run. Its folder is named by what was requested, a job's folder by all that determines the job's result.

    `skip`: what is left out of the user's images, as `open_dataset` reads it from CDIR_SKIP.
    """

    profile: Profile
    jobs: tuple[Job, ...]
    digest: str
    skip: str = ""

    @property
    def folder(self) -> str:
        return f"{self.profile.name}-{self.digest}"


def make_plan(
    profile: Profile,
    *,
    data: Iterable[str] = (),
    encoder: str | None = None,
    settings: Iterable[str] = (),
    skip: Iterable[str] = (),
) -> Plan:
    """Resolve a profile with `--data NAME=PATH`, `--encoder SPEC` and `--set [NOTEBOOK.]NAME=VALUE`.

    skip  "bad" (images) and "unknown" (folders) are left out of the user's images
    Raises CdirError for unknown parameters, values that a notebook cannot take, a missing checkpoint or notebook, and
    for images that are missing, bad, or laid out in another way than the dataset's card says.
    """
    root = _data_root(profile, data)
    defaults = {entry.name: read_parameters(profile.path(entry)) for entry in profile.notebooks}
    given = _from_profile(profile, defaults)
    wished: dict[str, dict] = {name: {} for name in given}  # from the user: overrides the profile
    if encoder:
        _set_everywhere("encoder", encoder, wished, defaults, "--encoder")
    for setting in settings:
        _apply(setting, wished, defaults)
    todo = _to_do(profile, given, wished, defaults)
    images = _images_digest(profile.dataset, root, todo, skip) if root else ""
    jobs = _jobs(profile, todo, defaults, root, images)
    asked = [[job.name, {k: v for k, v in job.parameters.items() if k != "data_root"}] for job in jobs]
    return Plan(profile, jobs, _short([profile.name, asked]), ",".join(skip))


def _to_do(profile: Profile, given: dict, wished: dict, defaults: dict) -> list[tuple[Entry, dict, dict]]:
    """(entry, swept values, all parameters) of each job, in the order of the profile; all are checked."""
    todo = []
    for entry in profile.notebooks:
        for swept in entry.combinations(wished[entry.name]):
            parameters = {**defaults[entry.name], **given[entry.name], **wished[entry.name], **swept}
            check_domains(entry.name, profile.dataset, parameters, defaults[entry.name])
            if entry.notebook == EXPERIMENT:
                check_experiment(parameters)
            todo.append((entry, swept, parameters))
    return todo


def _images_digest(dataset: str, root: Path, todo: list[tuple[Entry, dict, dict]], skip: Iterable[str]) -> str:
    """Open the user's images once, as each notebook will, and check that protocols have theirs. Returns a digest."""
    images = open_dataset(
        dataset, root, skip_bad="bad" in skip, skip_unknown="unknown" in skip, progress=sys.stderr.isatty()
    )
    named = [parameters.get("protocol", parameters.get("task")) for _, _, parameters in todo]
    named += [parameters["test_task"] for _, _, parameters in todo if parameters.get("test_task")]
    for protocol in dict.fromkeys(name for name in named if name is not None):
        load_protocol(protocol or default_protocol(dataset), images)
    return images_digest(images)


def _jobs(
    profile: Profile, todo: list[tuple[Entry, dict, dict]], defaults: dict[str, dict], root: Path | None, images: str
) -> tuple[Job, ...]:
    """One job per notebook (in a sweep, one per combination), in the order of the profile."""
    sources = {entry.name: source_digest(profile.path(entry)) for entry in profile.notebooks}
    jobs: list[Job] = []
    by_entry: dict[str, list[Job]] = {}
    for entry, swept, parameters in todo:
        before = [job for name in entry.after for job in by_entry[name]]
        label = " ".join([entry.name, *(_shown(name, value) for name, value in swept.items())])
        code = sources[entry.name]
        jobs.append(_job(label, profile.path(entry), parameters, defaults[entry.name], root, code, images, before))
        by_entry.setdefault(entry.name, []).append(jobs[-1])
    return tuple(jobs)


def _shown(name: str, value: Any) -> str:
    """A swept value in a job's label; of a mapping, its items."""
    if isinstance(value, dict):
        return " ".join(_shown(key, inner) for key, inner in value.items()) or f"{name} as named"
    return f"{name}={value}"


def _from_profile(profile: Profile, defaults: dict[str, dict]) -> dict[str, dict]:
    """The parameters that the profile gives each notebook, after checking them."""
    given: dict[str, dict] = {entry.name: {} for entry in profile.notebooks}
    _refuse_reserved(profile.parameters)
    for name, value in {**profile.parameters, "dataset": profile.dataset}.items():
        _set_everywhere(name, value, given, defaults, f"profile {profile.name}")
    for entry in profile.notebooks:
        _refuse_reserved([*entry.parameters, *entry.swept])
        check(entry.name, entry.parameters, defaults[entry.name])
        for swept in entry.combinations({}):
            check(entry.name, swept, defaults[entry.name])
        if entry.after:
            check(entry.name, {"run_folders": ""}, defaults[entry.name])
        given[entry.name].update(entry.parameters)
    return given


def _set_everywhere(name: str, value: Any, given: dict[str, dict], defaults: dict[str, dict], who: str) -> None:
    """Set a parameter in every notebook that has it. Raises CdirError if none has it."""
    owners = [notebook for notebook in given if name in defaults[notebook]]
    if not owners:
        raise CdirError(f"{who}: no notebook has a parameter {name!r}; known: {_catalogue(defaults)}")
    for notebook in owners:
        typed = parse_value(value, defaults[notebook][name]) if who.startswith("--") else value
        check(notebook, {name: typed}, defaults[notebook])
        given[notebook][name] = typed


def _apply(setting: str, given: dict[str, dict], defaults: dict[str, dict]) -> None:
    """Apply one `--set`: `seed=1` to every notebook with that parameter, `01_first.seed=1` or `01.seed=1` to one."""
    match = re.fullmatch(r"(?:([^.=]+)\.)?(\w+)=(.*)", setting, re.DOTALL)
    if not match:
        raise CdirError(f"--set {setting}: write NAME=VALUE or NOTEBOOK.NAME=VALUE")
    where, name, text = match.groups()
    _refuse_reserved([name])
    chosen = [n for n in given if where is None or n == where or n.startswith(f"{where}_")]
    if not chosen:
        raise CdirError(f"--set {setting}: no notebook {where!r} in this profile; known: {', '.join(given)}")
    only = {notebook: given[notebook] for notebook in chosen}
    _set_everywhere(name, text, only, {n: defaults[n] for n in chosen}, f"--set {setting}")


def _refuse_reserved(names: Iterable[str]) -> None:
    for name in names:
        if name in RESERVED:
            raise CdirError(f"parameter {name!r} cannot be set by hand: {RESERVED[name]}")


def _catalogue(defaults: dict[str, dict]) -> str:
    return "; ".join(
        f"{name} has {', '.join(sorted(set(d) - set(RESERVED))) or 'none'}" for name, d in defaults.items()
    )


def _data_root(profile: Profile, data: Iterable[str]) -> Path | None:
    """The folder of the profile's dataset; None for the bundled world."""
    roots = {}
    for item in data:
        name, equals, path = item.partition("=")
        if not (name and equals and path):
            raise CdirError(f"--data {item}: write NAME=PATH, such as pacs=/data/PACS")
        if name != profile.dataset or not needs_folder(profile.dataset):
            raise CdirError(
                f"--data {item}: profile {profile.name} uses dataset {profile.dataset}"
                f"{', which needs no folder' if not needs_folder(profile.dataset) else ''}"
            )
        if name in roots:
            raise CdirError(f"--data {item}: the folder of {name} is given twice")
        roots[name] = expanded(path).resolve()
    if not needs_folder(profile.dataset):
        return None
    if profile.dataset not in roots:
        raise CdirError(f"profile {profile.name} needs the images of {profile.dataset}: add {profile.needs}")
    root = roots[profile.dataset]
    if not root.is_dir():
        raise CdirError(f"--data {profile.dataset}={root}: folder not found, check the path")
    return root


def _job(
    label: str, path: Path, given: dict, defaults: dict, root: Path | None, code: str, images: str, before: list[Job]
) -> Job:
    """A job, with a digest of its code, parameters, encoder, data and the jobs that it comes after. The location of the
    data is not part of the digest."""
    parameters = dict(given)
    encoders = encoders_of(parameters)
    parameters |= {name: str(spec.absolute()) for name, spec in encoders.items()}  # notebooks run in another folder
    if root and "data_root" in defaults:
        parameters["data_root"] = str(root)
    for name in ("out_dir", "run_folders"):  # the runner sets them
        parameters.pop(name, None)
    plain = {k: v for k, v in parameters.items() if k != "data_root" and k not in encoders}
    made_of = {
        "notebook": notebook_digest(path),
        "code": code,
        "data": images,
        "encoder": "; ".join(f"{name} {spec.digest()}" for name, spec in encoders.items()),
        "parameters": json.dumps(plain, sort_keys=True),
    }
    if before:
        made_of["after"] = " ".join(job.digest for job in before)
    return Job(path.stem, label, path, parameters, tuple(job.folder for job in before), _short(made_of), made_of)


def encoders_of(parameters: dict[str, Any]) -> dict[str, EncoderSpec]:
    """{parameter: specification} of the encoders among a notebook's parameters. CdirError for one of another form."""
    return {name: EncoderSpec.parse(parameters[name]) for name in ENCODERS if isinstance(parameters.get(name), str)}


def _short(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
