"""report.html: all figures and numbers of a run on one page that holds all it shows and needs no network."""

import base64
import time
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import pandas as pd
from PIL import Image

from cdir_nb.batch.plan import Plan
from cdir_nb.batch.runner import Outcome, clock
from cdir_nb.paths import atomic_write
from cdir_nb.results import direction_tables, headline, load_records, to_frame
from cdir_nb.results.records import current_commit

TEXT_COLUMNS = (
    "notebook",
    "method",
    "dataset",
    "protocol",
    "metric",
    "convention",
    "encoder",
    "over what",
    "query",
    "selection rule",
    "trained on",
    "tested on",
    "config",
    "seeds",
)


def write_report(plan: Plan, outcomes: list[Outcome], run_dir: Path) -> Path:
    """Write `run_dir/report.html`, return its path. Pictures are embedded, pages of notebooks linked."""
    template = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    page = (
        jinja2.Environment(autoescape=True)
        .from_string(template)
        .render(
            plan=plan,
            parts=[_part(outcome) for outcome in outcomes],
            texts=TEXT_COLUMNS,
            harness=harness_of(outcomes),
            made=time.strftime("%Y-%m-%d %H:%M"),
            commit=current_commit(),
        )
    )
    with atomic_write(run_dir / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run_dir / "report.html"


def _part(outcome: Outcome) -> dict[str, Any]:
    """What the page says of one notebook."""
    frame = records_of(outcome)
    tables = [
        (name, context, table.round(2).map("{:.2f}".format).reset_index())
        for name, context, table in direction_tables(frame)
    ]
    trace = outcome.folder / "traceback.txt"
    return {
        "name": outcome.job.name,
        "title": _title(outcome),
        "status": outcome.status,
        "time": clock(outcome.seconds),
        "links": _links(outcome),
        "parameters": _parameters(outcome),
        "reason": outcome.reason,
        "traceback": trace.read_text(encoding="utf-8") if trace.is_file() else "",
        "figures": [_figure(path) for path in figures(outcome.folder)],
        "count": len(frame),
        "headline": headline(frame) if len(frame) else None,
        "tables": tables,
    }


def records_of(outcome: Outcome) -> pd.DataFrame:
    """The records of a finished notebook; none of a failed one, whose numbers may be half of the truth."""
    return to_frame(load_records(outcome.folder) if outcome.status in ("done", "kept") else [])


def summary(outcomes: list[Outcome]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Headline numbers of all notebooks, one table."""
    frames = [records_of(outcome).assign(notebook=outcome.job.name) for outcome in outcomes]
    return headline(pd.concat(frames, ignore_index=True), by=("notebook",))


def harness_of(outcomes: list[Outcome]) -> str:
    """Why the numbers of this run are no results (\"random weights\"); empty where they are."""
    labels = {label for outcome in outcomes for label in records_of(outcome)["harness"] if label}
    return ", ".join(sorted(labels))


def figures(folder: Path) -> list[Path]:
    """Pictures that the notebook saved, in the order in which it saved them."""
    return sorted(folder.glob("*.png"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def _figure(path: Path) -> dict[str, str]:
    """A picture and its caption: the PNG's own Description, else its file name in words."""
    with Image.open(path) as image:
        caption = getattr(image, "text", {}).get("Description") or path.stem.replace("_", " ")
    return {"data": base64.b64encode(path.read_bytes()).decode("ascii"), "caption": caption}


def _title(outcome: Outcome) -> str:
    """The first heading of the notebook, else its name."""
    cells = nbformat.read(outcome.job.notebook, as_version=4).cells
    lines = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    return next((line.lstrip("# ").strip() for line in lines if line.startswith("# ")), outcome.job.name)


def _links(outcome: Outcome) -> list[tuple[str, str]]:
    """Executed notebook and its page, as seen from report.html."""
    names = {
        "read the executed notebook": f"{outcome.job.name}.html",
        "notebook file": f"{outcome.job.name}.ipynb",
    }
    return [
        (text, f"{outcome.folder.name}/{name}")
        for text, name in names.items()
        if (outcome.folder / name).is_file()
    ]


def _parameters(outcome: Outcome) -> str:
    """Parameters on one line, without the folder on this machine."""
    given = {k: v for k, v in outcome.job.parameters.items() if k != "data_root" and v != ""}
    return ", ".join(f"{name} = {value!r}" for name, value in given.items())
