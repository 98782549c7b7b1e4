"""The papers' published numbers: every cell of their tables, with the context needed to compare it with ours.

`<paper>_table<N>.csv` contains a table as printed, to be compared with the paper by eye. `<paper>.yaml` states what its
columns mean and how certain this is, which printed numbers contradict each other, and which cells are unreadable in our
scan. `published` returns both the text of each cell, exactly as printed, and its value as a fraction.
"""

import csv
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cdir_nb.conventions import Metric
from cdir_nb.errors import CdirError
from cdir_nb.results.published.sheet import KEYS, Misprint, Paper, Sheet
from cdir_nb.results.records import Record

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).resolve().parent
UNITS = {"percent": 100, "fraction": 1}
DASH, LOST = "-", "lost"
FIELDS = [
    "paper", "table", "method", "setting", "backbone", "dataset", "protocol", "query_domain", "gallery_domain",
    "metric", "certainty", "printed", "value", "average", "column", "our_method", "why",
]  # fmt: skip

Key = tuple[str, str, str, str]  # method, setting, backbone, column


@lru_cache
def papers() -> list[str]:
    """Names of the papers whose tables are available, in the order of their pages."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=lambda name: _load(name).order)


def own_method(paper: str) -> str:
    """The name of the paper's own method, a row of the table of methods. Raises CdirError for an unknown paper."""
    return load_paper(paper).method


def load_paper(paper: str) -> Paper:
    """Citation, table headers, misprints and unreadable cells of a paper. Raises CdirError for an unknown paper."""
    if paper not in papers():
        raise CdirError(f"unknown paper {paper!r}; known: {', '.join(papers())}")
    return _load(paper)


@lru_cache
def _load(paper: str) -> Paper:
    return Paper.model_validate(yaml.safe_load((FOLDER / f"{paper}.yaml").read_text(encoding="utf-8")))


def tables(paper: str) -> dict[str, Sheet]:
    """The headers of a paper's tables: description, unit, and the context of each column."""
    return load_paper(paper).tables


def published(paper: str | None = None, table: str | None = None) -> "pd.DataFrame":
    """Published cells in long form: one row per cell, with the columns in FIELDS.

    paper, table  names of a paper and of one of its tables ("2", "3_left"); None: all

    `metric` is a name such as `mAP@200:over_found`. `printed` is the text in the paper; `value` is the same number as a
    fraction, NaN for a dash or an unreadable cell. `average` is True for averages; the query or gallery domain is empty
    if the average is over it. `our_method` is the method's name in our records, empty if the workbook does not run the
    method.
    Raises CdirError for an unknown name.
    """
    import pandas as pd

    selected = papers() if paper is None else [paper]
    rows = [row for name in selected for key in tables(name) if table in (None, key) for row in _long(name, key)]
    if not rows:
        raise _unknown(table, selected)
    return pd.DataFrame(rows, columns=FIELDS).astype({"value": float})


def _unknown(table: str | None, selected: list[str]) -> CdirError:
    names = dict.fromkeys(key for paper in selected for key in tables(paper))
    return CdirError(f"{', '.join(selected)}: no table {table!r}; known: {', '.join(names)}")


def published_frame(paper: str | None = None, table: str | None = None) -> "pd.DataFrame":
    """Published numbers in a table with the columns of `to_frame`, so that they can be processed like records.

    The method is our name if the workbook runs it, `encoder` is the printed backbone, and `seed` is None. The columns
    `paper`, `table`, `setting`, `column`, `average` and `our_method` are added. Dashes are left out; a number that is
    unreadable in our scan is NaN.
    """
    cells = published(paper, table)
    cells = cells[cells["printed"] != DASH]
    method = [reproduced or printed for reproduced, printed in zip(cells["our_method"], cells["method"])]
    context = dict.fromkeys(("settings_digest", "selection_rule", "train_set"), "")
    cells = cells.assign(method=method, encoder=cells["backbone"], seed=None, **context)
    more = ["paper", "table", "setting", "column", "average", "our_method"]
    return cells.reindex(columns=[*Record.model_fields, *more])


def wide(paper: str, table: str) -> "pd.DataFrame":
    """A table as printed: all cells are strings, rows of gains and columns of notes are included."""
    import pandas as pd

    header = tables(paper).get(table)
    if header is None:
        raise _unknown(table, [paper])
    return pd.DataFrame(_rows(header), columns=[*KEYS, *header.notes, *header.columns])


def misprints(paper: str | None = None) -> "pd.DataFrame":
    """Printed numbers that contradict other numbers of the paper, with the recomputed number and a note."""
    import pandas as pd

    selected = papers() if paper is None else [paper]
    rows = [{"paper": name, **item.model_dump()} for name in selected for item in load_paper(name).misprints]
    return pd.DataFrame(rows, columns=["paper", *Misprint.model_fields])


def recomputed_averages() -> "pd.DataFrame":
    """Every printed average whose parts are also printed, recomputed from them, in the unit of its table.

    `agrees` is True if rounding explains the difference: half a unit of the average's last digit, plus the mean of half
    a unit of each part's last digit. If a part or the average is unreadable, the difference is NaN and `agrees`
    is missing.
    """
    import pandas as pd

    rows = []
    for paper in papers():
        for table, header in tables(paper).items():
            cells = _cells(header)
            for key, printed in cells.items():
                if parts := _parts(header, key, cells):
                    rows.append({"paper": paper, "table": table, **_recomputed(key, printed, parts)})
    fields = ["paper", "table", *KEYS, "column", "printed", "computed", "difference", "agrees"]
    return pd.DataFrame(rows, columns=fields).astype({"agrees": "boolean"})


def _recomputed(key: Key, printed: str, parts: list[str]) -> dict[str, Any]:
    computed = sum(map(_number, parts)) / len(parts)
    difference = _number(printed) - computed
    allowed = _half_unit(printed) + sum(map(_half_unit, parts)) / len(parts)
    agrees = None if isnan(difference) else abs(difference) <= allowed + 1e-9
    checked = {"computed": computed, "difference": difference, "agrees": agrees}
    return dict(zip([*KEYS, "column"], key, strict=True)) | {"printed": printed, **checked}


def _parts(header: Sheet, key: Key, cells: dict[Key, str]) -> list[str]:
    """The printed parts of an average, without dashes; empty for a cell that is not an average."""
    method, setting, backbone, column = key
    columns = header.columns[column].average_of or []
    settings = header.settings[setting].average_of or [] if setting else []
    keys = [(method, setting, backbone, part) for part in columns]
    keys = keys or [(method, part, backbone, column) for part in settings]
    return [text for text in (cells.get(part, DASH) for part in keys) if text != DASH]


def _number(text: str) -> float:
    return float("nan") if text in (DASH, LOST) else float(text)


def _half_unit(text: str) -> float:
    """Half a unit of the last printed digit: 0.005 for "67.07"."""
    return 0.5 * 10.0 ** -len(text.partition(".")[2]) if text not in (DASH, LOST) else 0.0


def _long(paper: str, table: str) -> list[dict[str, object]]:
    """The rows of one table in long form."""
    header = tables(paper)[table]
    names = {**load_paper(paper).our_names, **header.our_names}
    rows = []
    for (method, setting, backbone, column), text in _cells(header).items():
        if method in header.differences:
            continue
        cell = {"paper": paper, "table": table, "method": method, "setting": setting, "backbone": backbone}
        cell |= {"column": column, "printed": text, "value": _number(text) / UNITS[header.unit]}
        cell |= {"average": header.is_average(setting, column), "our_method": names.get(method, "")}
        context = header.context(setting, column, method)
        cell["metric"] = str(Metric(context["metric"], context["k"], context["convention"]))
        cell |= {"query_domain": context["query"], "gallery_domain": context["gallery"]}
        rows.append(cell | {name: context[name] for name in ("dataset", "protocol", "certainty", "why")})
    return rows


def _cells(header: Sheet) -> dict[Key, str]:
    """The printed cells of a table, in reading order."""
    cells = {}
    for row in _rows(header):
        key = row["method"], row["setting"], row["backbone"]
        cells |= {(*key, column): row[column] for column in header.columns if row[column]}
    return cells


def _rows(header: Sheet) -> list[dict[str, str]]:
    """The rows of a table, as printed."""
    with (FOLDER / header.file).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
