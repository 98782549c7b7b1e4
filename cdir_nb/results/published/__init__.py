"""The papers' published numbers: every cell of their tables, with the context needed to compare it with ours.

`<paper>_table<N>.csv` has a table as printed, so that it can be checked by eye; `<paper>.yaml` states what its columns
mean, how certain that is, which printed numbers contradict each other, and which cells are unreadable in our scan.
Texts are exactly as printed, values are fractions.
"""

import csv
import re
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import ValidationError

from cdir_nb.errors import CdirError
from cdir_nb.results.published.sheet import KEYS, Misprint, Paper, Position, Sheet
from cdir_nb.results.records import Record

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).resolve().parent
UNITS = {"percent": 100, "fraction": 1}
NUMBER = re.compile(r"\d+(\.\d+)?|\.\d+")
DASH, LOST = "-", "lost"
FIELDS = [
    "paper", "table", "method", "setting", "backbone", "dataset", "protocol", "query_domain", "gallery_domain",
    "metric", "certainty", "printed", "value", "average", "column", "our_method", "why",
]  # fmt: skip

Key = tuple[str, str, str, str]  # method, setting, backbone, column
Rows = list[dict[str, str]]  # the rows of a table, as printed


def papers() -> list[str]:
    """Names of the papers whose tables are available, in the order of their pages."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=lambda name: _load(name, FOLDER)[0].order)


def own_method(paper: str) -> str:
    """The name of the paper's own method, a row of the table of methods. Raises CdirError as `load_paper` does."""
    return load_paper(paper).method


def load_paper(paper: str) -> Paper:
    """Citation, table headers, misprints and lost cells of a paper. Raises CdirError, naming a file that is wrong."""
    if paper not in papers():
        raise CdirError(f"no paper is called {paper!r}; known: {', '.join(papers())}")
    return _load(paper, FOLDER)[0]


def tables(paper: str) -> dict[str, Sheet]:
    """The headers of a paper's tables: description, unit, and the context of each column."""
    return load_paper(paper).tables


def published(paper: str | None = None, table: str | None = None) -> "pd.DataFrame":
    """Published cells in long form: one row per cell, columns always FIELDS.

    paper, table  one paper and one table of it ("2", "3_left"); None for all
    `metric` is a name such as `mAP@200:over_found`; `printed` is the text in the paper; `value` is the same as a
    fraction, NaN for a dash or a lost cell; `average` marks averages, which have empty domains where they average over
    domains; `our_method` is the method's name in our records, empty if the workbook does not run it.
    Raises CdirError for an unknown name or a damaged file.
    """
    import pandas as pd

    chosen = papers() if paper is None else [paper]
    rows = [row for name in chosen for key in tables(name) if table in (None, key) for row in _long(name, key)]
    if not rows:
        known = dict.fromkeys(key for name in chosen for key in tables(name))
        raise CdirError(f"{', '.join(chosen)}: no table {table!r}; known: {', '.join(known)}")
    return pd.DataFrame(rows, columns=FIELDS).astype({"value": float})


def published_frame(paper: str | None = None, table: str | None = None) -> "pd.DataFrame":
    """Published numbers in the columns of `to_frame`, so that they are processed like records.

    The method is our name if the workbook runs it, `encoder` is the printed backbone, and `seed` is None. The columns
    `paper`, `table`, `setting`, `column`, `average` and `our_method` are added. Dashes are left out; a number that is
    lost in our scan is NaN.
    """
    cells = published(paper, table)
    cells = cells[cells["printed"] != DASH]
    method = cells["our_method"].where(cells["our_method"] != "", cells["method"])
    context = dict.fromkeys(("settings_digest", "selection_rule", "train_set"), "")
    cells = cells.assign(method=method, encoder=cells["backbone"], seed=None, **context)
    more = ["paper", "table", "setting", "column", "average", "our_method"]
    return cells.reindex(columns=[*Record.model_fields, *more])


def wide(paper: str, table: str) -> "pd.DataFrame":
    """One table as printed, as text: one row per printed row (and gains), one column per printed column (and notes)."""
    import pandas as pd

    header = tables(paper).get(table)
    if header is None:
        raise CdirError(f"{paper}: no table {table!r}; known: {', '.join(tables(paper))}")
    rows = _load(paper, FOLDER)[1][table]
    return pd.DataFrame(rows, columns=[*KEYS, *header.notes, *header.columns])


def misprints(paper: str | None = None) -> "pd.DataFrame":
    """Printed numbers that other numbers in the paper contradict: the number, the recomputed one, a note."""
    import pandas as pd

    chosen = papers() if paper is None else [paper]
    rows = [{"paper": name, **item.model_dump()} for name in chosen for item in load_paper(name).misprints]
    return pd.DataFrame(rows, columns=["paper", *Misprint.model_fields])


def recomputed_averages() -> "pd.DataFrame":
    """Every printed average whose parts are also printed, recomputed from them, in the unit of its table.

    `agrees`: rounding explains the difference. Rounding allows half a unit of the average's last digit plus the mean
    of the same for its parts: one unit if all have equally many digits. If a part or the average itself is lost, the
    difference is NaN and `agrees` is missing.
    """
    import pandas as pd

    rows = []
    for paper in papers():
        for table, header in tables(paper).items():
            cells = _cells(_load(paper, FOLDER)[1][table], header)
            for key in cells:
                if parts := _parts(header, key, cells):
                    rows.append({"paper": paper, "table": table, **_recomputed(key, cells[key], parts)})
    fields = ["paper", "table", *KEYS, "column", "printed", "computed", "difference", "agrees"]
    return pd.DataFrame(rows, columns=fields).astype({"agrees": "boolean"})


def _recomputed(key: Key, printed: str, parts: list[str]) -> dict[str, object]:
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
    spec, texts = _load(paper, FOLDER)
    header = spec.tables[table]
    names = {**spec.our_names, **header.our_names}
    rows = []
    for (method, setting, backbone, column), text in _cells(texts[table], header).items():
        if method in header.differences:
            continue
        context = header.context(setting, column, method)
        rows.append(
            {
                "paper": paper,
                "table": table,
                **dict(zip(KEYS, (method, setting, backbone))),
                "query_domain": context.query,
                "gallery_domain": context.gallery,
                "metric": context.name,
                "printed": text,
                "value": _number(text) / UNITS[header.unit],
                "average": header.is_average(setting, column),
                "column": column,
                "our_method": names.get(method, ""),
                **context.model_dump(include={"dataset", "protocol", "certainty", "why"}),
            }
        )
    return rows


def _cells(rows: Rows, header: Sheet) -> dict[Key, str]:
    """The printed cells in reading order."""
    keys = ((row, column) for row in rows for column in header.columns)
    return {(*(row[k] for k in KEYS), column): row[column] for row, column in keys if row[column]}


# ---- reading, with all consistency checks -----------------------------------------------------------------------


@lru_cache(maxsize=32)
def _load(paper: str, folder: Path) -> tuple[Paper, dict[str, Rows]]:
    """A paper's headers and, by table, its rows as printed. Raises CdirError, naming the file that is wrong."""
    path = folder / f"{paper}.yaml"
    try:
        spec = Paper.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        texts = {table: _read(folder, header) for table, header in spec.tables.items()}
    except ValidationError as error:
        raise CdirError(f"{path.name}: {_first(error)}; fix the file") from None
    except yaml.YAMLError as error:
        raise CdirError(f"{path.name}: not valid YAML: {' '.join(str(error).split())}; fix the file") from None
    printed = {table: _cells(rows, spec.tables[table]) for table, rows in texts.items()}
    cells = {(table, *key): text for table, numbers in printed.items() for key, text in numbers.items()}
    if problem := _problem_of_paper(spec, paper, cells):
        raise CdirError(f"{path.name}: {problem}")
    return spec, texts


def _problem_of_paper(spec: Paper, name: str, cells: dict[tuple[str, ...], str]) -> str:
    """What in a paper's yaml does not match its file's name or its printed cells; empty if everything does."""
    if spec.paper != name:
        return f"paper is {spec.paper!r}; the file must have the same name"
    if unknown := sorted(set(spec.our_names) - {method for _, method, *_ in cells}):
        return f"our_names: not in any table: {', '.join(unknown)}"
    for item in spec.misprints:
        if cells.get(_position(item)) != item.printed:
            return f"misprints: no cell {_position(item)} is printed as {item.printed!r}"
    different = {_position(item) for item in spec.lost} ^ {key for key, text in cells.items() if text == LOST}
    return f"lost: the list and the lost cells differ in {min(different)}" if different else ""


def _position(item: Position) -> tuple[str, ...]:
    return item.table, item.method, item.setting, item.backbone, item.column


def _read(folder: Path, header: Sheet) -> Rows:
    """The rows of one CSV file, checked against its header."""
    try:
        with (folder / header.file).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), list(reader.fieldnames or ())
    except (OSError, ValueError, csv.Error) as error:
        raise CdirError(f"{header.file}: cannot be read ({error}); check the file name in the yaml") from None
    problem = _problem_of_columns(columns, rows, header) or _problem_of_cells(rows, header)
    if problem:
        raise CdirError(f"{header.file}: {problem}")
    return rows


def _problem_of_columns(columns: list[str], rows: Rows, header: Sheet) -> str:
    """How a file's columns and the lengths of its lines differ from its header; empty if they do not."""
    expected = [*KEYS, *header.notes, *header.columns]
    if columns != expected:
        return f"columns differ from the yaml: {', '.join(sorted(set(columns) ^ set(expected))) or 'their order'}"
    ragged = [str(n) for n, row in enumerate(rows, start=2) if None in row or None in row.values()]
    return f"lines with too few or too many cells: {', '.join(ragged)}" if ragged else ""


def _problem_of_cells(rows: Rows, header: Sheet) -> str:
    """How a file's rows and cells differ from its header; empty if they do not."""
    keys = [tuple(row[key] for key in KEYS) for row in rows]
    if repeated := [" / ".join(key) for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        return f"rows that appear twice: {', '.join(repeated)}"
    if unknown := sorted({row["setting"] for row in rows} - {"", *header.settings}):
        return f"settings that are not in its yaml: {', '.join(unknown)}"
    if unknown := sorted(header.methods_named() - {row["method"] for row in rows}):
        return f"has no row for methods in its yaml's our_names, exceptions or differences: {', '.join(unknown)}"
    cells = _cells(rows, header)
    for (method, setting, _, column), text in cells.items():
        number, most = text.removeprefix("+") if method in header.differences else text, UNITS[header.unit]
        if text not in (DASH, LOST) and (not NUMBER.fullmatch(number) or float(number) > most):
            return f'{method}, {column}: {text!r} is not a number from 0 to {most}, "{DASH}" or "{LOST}"'
        try:
            header.context(setting, column, method)
        except ValidationError as error:
            return f"{method}, {column}: incomplete context in its yaml: {_first(error)}"
    return "" if len(cells) == header.cells else f"has {len(cells)} cells, but its yaml states {header.cells}"


def _first(error: ValidationError) -> str:
    """The first problem in a pydantic error: `field: what is wrong`."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"])) or "whole file"
    return f"{field}: {first['msg'].removeprefix('Value error, ')}"
