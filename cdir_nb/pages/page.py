"""The report: a folder with one page of all numbers, claims and figures, the executed notebooks, and a csv file.

It needs no network or files outside of the folder, so it can be moved, zipped or put on a web server. Only
`browser.html` has a script.

    index.html
    headline-1.png, ...                        the dot plot of each task
    browser.html                               all numbers, to filter, sort and compare
    records.csv, settings.json                 all numbers with their context, as `cdir results --csv` writes them
    <number>-<run>/<notebook>-<digest>/        the executed notebook as HTML, and its figures
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from PIL import Image

from cdir_nb.data.manifest import drawn_title
from cdir_nb.errors import CdirError
from cdir_nb.pages.browser import write_browser
from cdir_nb.pages.html import without_scripts
from cdir_nb.pages.papers import as_texts, beside, claims, in_short, on_real_images
from cdir_nb.pages.run_folder import DONE, FAILED, Part, Run, clock, read_run
from cdir_nb.paths import is_abandoned, make_folder, process_label, share_with_group
from cdir_nb.results import Record, direction_tables, headline, load_records, save_table, to_frame
from cdir_nb.results.aggregate import range_text
from cdir_nb.results.alike import notes, other_counts, pipeline_test_of
from cdir_nb.results.summary import summarise

GENERATOR = '<meta name="generator" content="cdir report">'  # marks a folder as one of our reports
NUMBERS = ("percent",)  # right-aligned columns in tables of text


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Write the report on these run folders to the folder `out`, atomically. Returns the path of its main page.

    An existing report in `out` is replaced. Raises CdirError for a missing or damaged run folder, for two runs that
    disagree on a number, and if `out` contains anything other than a report.
    """
    runs = [read_run(folder) for folder in dict.fromkeys(Path(folder).resolve() for folder in folders)]
    records = load_records([run.folder for run in runs])
    with _new_folder(out) as building:
        sections = [_section(run, building / f"{i}-{run.folder.name}") for i, run in enumerate(runs, start=1)]
        save_table(records, building / "records.csv")
        if records:
            write_browser(records, building / "browser.html", ", ".join(run.folder.name for run in runs))
        (building / "index.html").write_text(_page(sections, records, building), encoding="utf-8")
    return out / "index.html"


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder, which becomes `out` if the block ends without an error."""
    page = out / "index.html"
    is_report = page.is_file() and GENERATOR in page.read_text(encoding="utf-8", errors="replace")[:2000]
    if out.exists() and not is_report and not (out.is_dir() and not any(out.iterdir())):
        raise CdirError(f"{out} exists and is not a report, so it is not replaced: choose another --out")
    make_folder(out.parent)
    for folder in out.parent.iterdir():
        if folder.name.startswith(f".{out.name}-") and is_abandoned(folder.name):  # its process was killed
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-{process_label()}") as scratch:
        share_with_group(Path(scratch), out.parent)
        building = Path(scratch) / "new"
        make_folder(building)
        yield building
        if out.exists():
            os.replace(out, Path(scratch) / "old")
        os.replace(building, out)


def _page(sections: list[dict[str, Any]], records: list[Record], folder: Path) -> str:
    frame = to_frame(records)
    boards = claims(records)
    template = Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        generator=GENERATOR,
        title=sections[0]["name"] if len(sections) == 1 else f"{len(sections)} runs",
        runs=sections,
        pipeline_test=pipeline_test_of(frame),
        counts=other_counts(frame),
        notes=notes(frame),
        headlines=_headlines(frame, folder),
        images=_images(frame),
        claims=boards,
        in_short=in_short(boards),
        beside=beside(frame),
        committed=on_real_images() if all(run["drawn"] for run in sections) else [],
        count=len(frame),
        numbers=NUMBERS,
        made=time.strftime("%Y-%m-%d %H:%M"),
    )


# ---- the sections of the page ---------------------------------------------------------------------------------


def _headlines(frame: pd.DataFrame, folder: Path) -> list[dict[str, Any]]:
    """For each task its dot plot, saved in `folder`, and what was measured."""
    import matplotlib.pyplot as plt

    from cdir_nb.show import headline_dots, save_figure

    headlines = []
    for number, block in enumerate(summarise(frame), start=1):
        drawing = headline_dots(block, title=block.task)
        path = save_figure(drawing, folder, f"headline-{number}")
        plt.close(drawing)
        assert path is not None, "a folder was given"
        with Image.open(path) as image:
            size = image.size
        headlines.append({"link": path.name, "size": size, "task": block.task, "notes": [block.measure, *block.notes]})
    return headlines


def _images(frame: pd.DataFrame) -> list[str]:
    """What was measured on which images: one line per task, with its methods, seeds and numbers of images."""
    lines = []
    ranked = frame[frame["gallery_domain"] != ""]
    tasks: Any = ranked.groupby(["dataset", "protocol", "encoder"], sort=False)  # pandas' stubs: a key may be anything
    for (dataset, protocol, encoder), rows in tasks:
        title = drawn_title(str(dataset))
        counts = [range_text(rows[name]) for name in ("query_images", "gallery_images")]
        images = f", {counts[0]} queries and {counts[1]} gallery images per direction" if all(counts) else ""
        seeds = rows["seed"].nunique()
        methods = f"{rows['method'].nunique()} methods, {seeds} seed{'s' if seeds > 1 else ''}"
        where = f"{title}, not the papers' data" if title else f"images of {dataset}"
        lines.append(f"{protocol or dataset} ({where}){images}; {encoder}; {methods}")
    return lines


def _section(run: Run, folder: Path) -> dict[str, Any]:
    """The page's section on a run; pages and figures of its notebooks are copied to `folder`."""
    return {
        "id": folder.name,
        "name": run.profile,
        "folder": run.folder.name,
        "about": run.about,
        "dataset": run.dataset,
        "drawn": drawn_title(run.dataset),
        "commits": ", ".join(dict.fromkeys(part.commit for part in run.parts if part.commit)),
        "pipeline_test": pipeline_test_of(run.records),
        "notebooks": [_notebook(name, parts, folder) for name, parts in run.notebooks.items()],
    }


def _notebook(name: str, parts: list[Part], folder: Path) -> dict[str, Any]:
    """One notebook: its headline numbers over all jobs of a sweep, and each of the jobs."""
    frame = pd.concat([part.records for part in parts], ignore_index=True)
    return {
        "id": f"{folder.name}-{name}",
        "name": name,
        "title": parts[0].title,
        "headline": _numbers_early(*headline(frame)) if len(frame) else None,
        "parts": [_part(part, folder) for part in parts],
    }


def _numbers_early(table: pd.DataFrame, context: dict[str, str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table with its numbers right after method and metric, so that a wide table does not hide them at its end."""
    leading = [name for name in ("method", "metric", *NUMBERS) if name in table]
    others = table.columns.difference(leading, sort=False)
    return table[[*leading, *others]], context  # pyright: ignore[reportReturnType]


def _part(part: Part, folder: Path) -> dict[str, Any]:
    frame = part.records
    target = folder / part.folder.name
    return {
        "label": part.label,
        "status": part.status,
        "time": clock(part.seconds) if part.status == DONE and part.seconds else "",
        "finished": part.finished.replace("T", " ")[:16],
        "without": ", ".join(part.without),
        "parameters": _parameters(part),
        "link": _copy(part.page, target) if part.page.is_file() else "",
        "traceback": part.traceback if part.status == FAILED else "",
        "figures": [_figure(path, target) for path in part.figures],
        "count": len(frame),
        "tables": [
            (name, context, as_texts(table, "query"))
            for name, context, table in direction_tables(frame)
        ],
    }  # fmt: skip


def _parameters(part: Part) -> str:
    """Parameters on one line, without paths on this machine."""
    shown = {k: v for k, v in part.parameters.items() if k not in ("data_root", "run_folders") and v != ""}
    return ", ".join(f"{name} = {_short(value)}" for name, value in shown.items())


def _short(value: Any) -> str:
    """A value as Python writes it; for an encoder from a file, only the file's name."""
    return repr(
        f"{value.partition(':')[0]}:{Path(value).name}" if isinstance(value, str) and os.sep in value else value
    )


def _copy(path: Path, folder: Path) -> str:
    """Copy a file to `folder`; returns its address relative to the report's page. In a page, scripts are disabled."""
    make_folder(folder)
    if path.suffix == ".html":
        page = without_scripts(path.read_text(encoding="utf-8", errors="replace"))
        (folder / path.name).write_text(page, encoding="utf-8")
    else:
        shutil.copyfile(path, folder / path.name)
    return f"{folder.parent.name}/{folder.name}/{path.name}"


def _figure(path: Path, folder: Path) -> dict[str, Any]:
    """A figure with its size and caption: the PNG's text `Description` or, without one, the file name in words."""
    try:
        with Image.open(path) as image:
            image.load()
            caption = getattr(image, "text", {}).get("Description") or path.stem.replace("_", " ")
            size = image.size
    except (OSError, SyntaxError):  # Pillow raises one of these for a damaged file
        raise CdirError(f"{path} is not a readable image: run `cdir reproduce` again") from None
    return {"link": _copy(path, folder), "caption": caption, "size": size}
