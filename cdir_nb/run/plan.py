"""Create the jobs of a run from a profile and command-line options. All input is checked before any job starts."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdir_nb.data.manifest import open_dataset
from cdir_nb.data.protocols import default_protocol, load_protocol
from cdir_nb.data.zips import is_folder_or_zip
from cdir_nb.encoders.spec import EncoderSpec
from cdir_nb.errors import CdirError
from cdir_nb.notebook import read_parameters
from cdir_nb.paths import expanded
from cdir_nb.run.digests import images_digest, notebook_digest, source_digest
from cdir_nb.run.options import literal
from cdir_nb.run.parameters import MODELS, Shared, complete_parameters
from cdir_nb.run.profile import RESERVED, Entry, Profile, refuse_reserved

ENCODERS = ("encoder", "backbone")  # parameters that are encoder specifications
Overrides = dict[str, dict[str, Any]]  # {entry's name: {parameter: value}}
Resolved = tuple[Entry, dict[str, Any], dict[str, Any]]  # entry, its swept values, all parameters


@dataclass(frozen=True)
class Job:
    """One notebook to run.

    label   the notebook's name, with the swept values if it is part of a sweep
    after   folders of the jobs that must end before this one starts
    digest  digest of everything that determines the result; `digest_inputs` has its parts
    """

    name: str
    label: str
    notebook: Path
    parameters: dict[str, Any]
    after: tuple[str, ...]
    digest: str
    digest_inputs: dict[str, str]

    @property
    def folder(self) -> str:
        """Name of the job's folder in the run folder."""
        return f"{self.name}-{self.digest}"


@dataclass(frozen=True)
class Plan:
    """The jobs of a run. `digest` identifies what was requested; it does not depend on code and data.

    skip  the value of the environment variable CDIR_SKIP, which tells `open_dataset` which images to leave out
    """

    profile: Profile
    jobs: tuple[Job, ...]
    digest: str
    skip: str = ""

    @property
    def folder(self) -> str:
        """Name of the run folder."""
        return f"{self.profile.name}-{self.digest}"

    @property
    def encoders(self) -> list[str]:
        """Specifications of all encoders, sorted."""
        return sorted({str(spec) for job in self.jobs for spec in _encoders(job.parameters).values()})


def make_plan(
    profile: Profile,
    *,
    data: Iterable[str] = (),
    encoder: str | None = None,
    settings: Iterable[str] = (),
    skip: Iterable[str] = (),
) -> Plan:
    """Resolve a profile with `--data NAME=PATH`, `--encoder SPEC` and `--set [NOTEBOOK.]NAME=VALUE`.

    skip  what to leave out of the user's images: "bad" (images), "unknown" (folders)
    Raises CdirError for an unknown parameter, a value that a notebook cannot use, a missing checkpoint or notebook,
    and images that are missing, damaged, or not laid out as the dataset's card describes.
    """
    root = _data_root(profile, data)
    defaults = {entry.name: read_parameters(profile.path(entry)) for entry in profile.notebooks}
    assignments = [*([f"encoder={encoder}"] if encoder else []), *settings]
    resolved = _resolve(profile, defaults, _overrides(assignments, defaults))
    images = ""
    if root:
        _check_encoders(resolved)
        images = _images_digest(profile.dataset, root, [parameters for _, _, parameters in resolved], skip)
    jobs = _jobs(profile, resolved, root, images)
    request = [[job.name, {k: v for k, v in job.parameters.items() if k != "data_root"}] for job in jobs]
    return Plan(profile, jobs, _short_digest([profile.name, request]), ",".join(skip))


def _resolve(profile: Profile, defaults: Overrides, overrides: Overrides) -> list[Resolved]:
    """(entry, swept values, all parameters, already checked) of each job, in the order of the profile."""
    common = {**profile.parameters, "dataset": profile.dataset}
    for name in common:
        _owners(name, defaults, f"profile {profile.name}")
    resolved = []
    for entry in profile.notebooks:
        available, model = defaults[entry.name], MODELS.get(entry.notebook, Shared)
        if entry.after and "run_folders" not in available:
            raise CdirError(f"{entry.name} has no parameter 'run_folders': add it, or remove `after`")
        shared = {name: value for name, value in common.items() if name in available}
        for swept in entry.combinations(overrides[entry.name]):
            values = {**shared, **entry.parameters, **swept, **overrides[entry.name]}
            resolved.append((entry, swept, complete_parameters(entry.name, values, available, model)))
    return resolved


def _overrides(assignments: Iterable[str], defaults: Overrides) -> Overrides:
    """Values of `--set`.

    `seed=1` sets every notebook that has the parameter; `01_first.seed=1` or `01.seed=1` sets only one.
    """
    overrides: Overrides = {notebook: {} for notebook in defaults}
    for text in assignments:
        match = re.fullmatch(r"(?:([^.=]+)\.)?(\w+)=(.*)", text, re.DOTALL)
        if not match:
            raise CdirError(f"--set {text}: write NAME=VALUE or NOTEBOOK.NAME=VALUE")
        prefix, name, value = match.groups()
        refuse_reserved({name: value})
        chosen = {n: d for n, d in defaults.items() if prefix is None or n == prefix or n.startswith(f"{prefix}_")}
        if not chosen:
            raise CdirError(f"--set {text}: no notebook {prefix!r} in this profile; known: {', '.join(defaults)}")
        for notebook in _owners(name, chosen, f"--set {text}"):
            is_text = isinstance(defaults[notebook][name], str)
            overrides[notebook][name] = value if is_text else literal(value)
    return overrides


def _owners(name: str, defaults: Overrides, source: str) -> list[str]:
    """The notebooks that have a parameter. Raises CdirError if none has it."""
    owners = [notebook for notebook in defaults if name in defaults[notebook]]
    if not owners:
        available = [f"{n} has {', '.join(sorted(set(d) - set(RESERVED))) or 'none'}" for n, d in defaults.items()]
        raise CdirError(f"{source}: no notebook has a parameter {name!r}; known: {'; '.join(available)}")
    return owners


def _data_root(profile: Profile, data: Iterable[str]) -> Path | None:
    """The folder of the profile's dataset; None if its images are bundled."""
    roots: dict[str, Path] = {}
    for item in data:
        name, equals, path = item.partition("=")
        if not (name and equals and path):
            raise CdirError(f"--data {item}: write NAME=PATH, such as pacs=/data/PACS")
        if name != profile.dataset or not profile.needs:
            reason = "" if profile.needs else ", which needs no folder"
            raise CdirError(f"--data {item}: profile {profile.name} uses dataset {profile.dataset}{reason}")
        if name in roots:
            raise CdirError(f"--data {item}: the folder of {name} is given twice: keep one")
        roots[name] = expanded(path).resolve()
    if not profile.needs:
        return None
    if profile.dataset not in roots:
        raise CdirError(f"profile {profile.name} needs the images of {profile.dataset}: add {profile.needs}")
    root = roots[profile.dataset]
    if not is_folder_or_zip(root):
        raise CdirError(f"--data {profile.dataset}={root}: folder not found, check the path")
    return root


def _check_encoders(resolved: list[Resolved]) -> None:
    """Raise CdirError for an encoder that does not exist, before images are read."""
    from cdir_nb.encoders.models import check_encoder

    for text in {str(spec) for _, _, parameters in resolved for spec in _encoders(parameters).values()}:
        check_encoder(text)


def _images_digest(dataset: str, root: Path, parameters: list[dict[str, Any]], skip: Iterable[str]) -> str:
    """Digest of the user's images, opened as each notebook will open them.

    Raises CdirError for images that are damaged, or missing for a protocol in `parameters`.
    """
    images = open_dataset(dataset, root, skip_bad="bad" in skip, skip_unknown="unknown" in skip)
    protocols = [values.get("protocol", values.get("task")) for values in parameters]
    protocols += [values["test_task"] for values in parameters if values.get("test_task")]
    for protocol in dict.fromkeys(name for name in protocols if name is not None):
        load_protocol(protocol or default_protocol(dataset), images)
    return images_digest(images)


def _jobs(profile: Profile, resolved: list[Resolved], root: Path | None, images: str) -> tuple[Job, ...]:
    paths = {entry.name: profile.path(entry) for entry in profile.notebooks}
    code = {name: {"notebook": notebook_digest(path), "code": source_digest(path)} for name, path in paths.items()}
    jobs: dict[str, list[Job]] = {name: [] for name in paths}
    for entry, swept, parameters in resolved:
        predecessors = [job for name in entry.after for job in jobs[name]]
        label = " ".join([entry.name, *(_label(name, value) for name, value in swept.items())])
        encoders = _encoders(parameters)
        plain = {k: v for k, v in parameters.items() if k not in (*encoders, "out_dir", "run_folders", "data_root")}
        inputs = {
            **code[entry.name],
            "data": images,  # by content: the location of the images is not part of the digest
            "encoder": "; ".join(f"{name} {spec.digest()}" for name, spec in encoders.items()),
            "parameters": json.dumps(plain, sort_keys=True),
        }
        if predecessors:
            inputs["after"] = " ".join(job.digest for job in predecessors)
        plain |= {name: str(spec.absolute()) for name, spec in encoders.items()}  # notebooks run in another folder
        if "data_root" in parameters:
            plain["data_root"] = str(root or parameters["data_root"])
        folders = tuple(job.folder for job in predecessors)
        path, digest = paths[entry.name], _short_digest(inputs)
        jobs[entry.name].append(Job(path.stem, label, path, plain, folders, digest, inputs))
    return tuple(job for entry_jobs in jobs.values() for job in entry_jobs)


def _label(name: str, value: Any) -> str:
    """A swept value in a job's label; a mapping is written as its items."""
    if isinstance(value, dict):
        return " ".join(_label(key, inner) for key, inner in value.items()) or f"{name} as named"
    return f"{name}={value}"


def _encoders(parameters: dict[str, Any]) -> dict[str, EncoderSpec]:
    """{parameter: specification} of the encoders among a notebook's parameters. Raises CdirError for an invalid one."""
    return {name: EncoderSpec.parse(parameters[name]) for name in ENCODERS if isinstance(parameters.get(name), str)}


def _short_digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
