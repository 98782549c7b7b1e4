"""Run folders as `cdir reproduce` leaves them, written by hand: a finished notebook, a failed one, one never run."""

import json
from collections.abc import Iterable
from pathlib import Path

import nbformat.v4
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cdir_nb.results import Record, save_records

TITLE = "# How far does it <get>?"
GOOD = {  # the required fields of a record, and a direction
    "method": "zero-shot",
    "dataset": "world",
    "query_domain": "real",
    "gallery_domain": "sketch",
    "metric": "P@10:hits_over_k",
    "value": 0.5,
    "seed": 0,
    "encoder": "tiny-clip 1a2b",
    "selection_rule": "nothing selected",
}


def record(**changes) -> Record:
    frozen = changes.get("method") == "vanilla CLIP"
    about = {
        "value": 0.125,
        "seed": 3,
        "encoder": "tiny-clip [1a2b]",
        "selection_rule": "nothing selected" if frozen else "best on test",
        "train_set": "none: frozen encoder" if frozen else "no image at all",
        "test_set": "40 classes of the world",
    }
    return Record(**{**GOOD, **about, **changes})


def write_run(
    folder: Path,
    records: Iterable[Record],
    *,
    dataset: str = "world",
    caption: str | None = "A <line> & more",
    without: Iterable[str] = (),
    sweep: Iterable[Record] | None = None,
) -> Path:
    """A run of notebook a with these records (with `sweep`, twice), of b, which failed, and c, which was not run."""
    labels = {"a-1": "a", "b-1": "b", "c-1": "c"} if sweep is None else {"a-1": "a seed=0", "a-2": "a seed=1"}
    finished(folder / "a-1", records, caption, without)
    if sweep is None:
        failed(folder / "b-1.failed")
    else:
        finished(folder / "a-2", sweep, caption, ())
    listing = {"profile": "mine", "about": "a trial", "dataset": dataset}
    write(folder / "run.json", {**listing, "notebooks": list(labels.values()), "folders": list(labels)})
    return folder


def finished(folder: Path, records: Iterable[Record], caption: str | None, without: Iterable[str]) -> None:
    save_records(records, folder, "r")
    parameters = {"seed": 0, "data_root": str(folder), "run_folders": str(folder)}
    write(folder / "params.json", {"parameters": parameters, "commit": "abc", "without": list(without)})
    write(folder / "done", {"seconds": 75, "finished": "2026-01-02T03:04:05+00:00"})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(TITLE)])
    nbformat.write(notebook, folder / "a.ipynb")
    (folder / "a.html").write_text("<title>a</title>")
    about = PngInfo()
    if caption:
        about.add_text("Description", caption)
    Image.linear_gradient("L").save(folder / "heat_map.png", pnginfo=about)


def failed(folder: Path) -> None:
    write(folder / "params.json", {"parameters": {}, "commit": "abc"})
    (folder / "traceback.txt").write_text("Traceback\nValueError: <b>no</b>\n")


def write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
