"""Read a run folder of `cdir reproduce`: its jobs with their outcomes, records and figures."""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdir_nb.errors import CdirError
from cdir_nb.notebook import read_notebook
from cdir_nb.results import load_records, to_frame

if TYPE_CHECKING:
    import pandas as pd

WARNING = re.compile(r"(?m)^.*:\d+: \w*Warning: (.*)$")  # as Python prints it; the line of code follows
DONE, FAILED, NOT_RUN = "done", "failed", "not run"


def clock(seconds: float) -> str:
    """Format a duration in seconds as `m:ss`; below ten seconds, with tenths."""
    return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@dataclass(frozen=True)
class Part:
    """One job of a run. `without`: labels of the failed jobs that it depends on. A failed job has no duration."""

    name: str
    label: str
    folder: Path
    status: str
    seconds: float = 0.0
    finished: str = ""
    commit: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    @property
    def page(self) -> Path:
        """The executed notebook as HTML; it does not exist if the notebook never started."""
        return self.folder / f"{self.name}.html"

    @property
    def title(self) -> str:
        """The first heading of the notebook, or else its name."""
        path = self.folder / f"{self.name}.ipynb"
        cells = read_notebook(path).cells if path.is_file() else []
        lines = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
        return next((line.lstrip("# ").strip() for line in lines if line.startswith("# ")), self.name)

    @property
    def warnings(self) -> list[str]:
        """The warnings that the notebook printed, each once, without the line of code that they name."""
        path = self.folder / f"{self.name}.ipynb"
        cells = read_notebook(path).cells if path.is_file() else []
        outputs = [output for cell in cells for output in cell.get("outputs", ()) if output.get("name") == "stderr"]
        return list(dict.fromkeys(text for output in outputs for text in WARNING.findall(output.text)))

    @property
    def traceback(self) -> str:
        """The traceback, whose last line is the reason for the failure; empty if the job did not fail."""
        path = self.folder / "traceback.txt"
        return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""

    @property
    def figures(self) -> list[Path]:
        """Paths of the figures that the notebook saved, in the order of saving."""
        return sorted(self.folder.glob("*.png"), key=lambda path: (path.stat().st_mtime_ns, path.name))

    @cached_property
    def records(self) -> "pd.DataFrame":
        """The records of a finished job; empty for a failed job, whose records may be incomplete."""
        return to_frame(load_records(self.folder) if self.status == DONE else [])


@dataclass(frozen=True)
class Run:
    """A run folder of `cdir reproduce`."""

    folder: Path
    profile: str
    about: str
    dataset: str
    parts: tuple[Part, ...]

    @property
    def records(self) -> "pd.DataFrame":
        """The records of all finished jobs, with a column that names the notebook."""
        import pandas as pd

        return pd.concat([part.records.assign(notebook=part.name) for part in self.parts], ignore_index=True)

    @property
    def notebooks(self) -> dict[str, list[Part]]:
        """{notebook: its jobs}, sorted by name; a swept notebook has several jobs."""
        names = sorted({part.name for part in self.parts})
        return {name: [part for part in self.parts if part.name == name] for name in names}


def read_run(folder: Path) -> Run:
    """Read the run in `folder`: one of `cdir reproduce`, or any folder or table of records, without notebooks.

    Raises CdirError if there are no records, or a file is missing or damaged.
    """
    if not folder.exists():
        raise CdirError(f"run folder {folder} not found: give a folder made by `cdir reproduce`")
    if not (folder / "run.json").is_file():
        return _numbers_alone(folder)
    listing = _json(folder / "run.json", profile=str, about=str, dataset=str, notebooks=list, folders=list)
    names = [*listing["folders"], *listing["notebooks"]]
    if not names or len(listing["folders"]) * 2 != len(names) or not all(isinstance(name, str) for name in names):
        raise _damaged(folder, "run.json does not list its notebooks")
    parts = zip(listing["notebooks"], listing["folders"])
    jobs = tuple(_part(label, folder / name) for label, name in parts)
    return Run(folder, listing["profile"], listing["about"], listing["dataset"], jobs)


def _numbers_alone(source: Path) -> Run:
    """The records of a folder or table that `cdir reproduce` did not make, such as those of `save_records`."""
    records = load_records(source)
    if not records:
        raise CdirError(f"{source} is not a run folder (it has no run.json), and has no records: give one that has")
    name = source.name.partition(".")[0]
    dates = sorted({record.date for record in records})
    commits = dict.fromkeys(record.measuring_commit for record in records)
    part = Part(name, name, source, DONE, finished=dates[-1], commit=", ".join(commits))
    about = f"Records without notebooks, measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}."
    return Run(source, name, about, ", ".join(dict.fromkeys(record.dataset for record in records)), (part,))


def _part(label: str, folder: Path) -> Part:
    """One job, with its status read from its folder."""
    name, failed = folder.name.rpartition("-")[0], folder.with_name(f"{folder.name}.failed")
    if (folder / "done").is_file():
        done = _json(folder / "done", seconds=(int, float), finished=str)
        if not (folder / f"{name}.html").is_file():
            raise _damaged(folder, f"{name}.html is missing")
        when = {"seconds": done["seconds"], "finished": done["finished"]}
        return Part(name, label, folder, DONE, **when, **_about(folder))
    if failed.is_dir():
        return Part(name, label, failed, FAILED, **_about(failed))
    return Part(name, label, folder, NOT_RUN)


def _about(folder: Path) -> dict[str, Any]:
    job = _json(folder / "params.json", parameters=dict, commit=str)
    return {"commit": job["commit"], "parameters": job["parameters"], "without": tuple(job.get("without", ()))}


def _json(path: Path, **types: Any) -> dict[str, Any]:
    """A JSON object with at least these keys, of these types. Raises CdirError if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise _damaged(path.parent, f"{path.name} cannot be read") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(name), kind) for name, kind in types.items()):
        raise _damaged(path.parent, f"{path.name} needs the keys {', '.join(types)}")
    return content


def _damaged(folder: Path, what: str) -> CdirError:
    return CdirError(f"{folder} is damaged: {what}; run `cdir reproduce` again")
