"""Reads the published tables: text exactly as printed, values as fractions, every cell with its context."""

import csv
import re
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import ValidationError

from cdir_nb.errors import CdirError
from cdir_nb.results.published.sheet import KEYS, Misprint, Paper, Place, Sheet
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

COMMON = {"dataset", "protocol", "certainty", "why"}  # fields of a cell's context, as they are

Key = tuple[str, str, str, str]  # method, setting, backbone, column


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
    rows = [row for name in chosen for key in _keys(name, table) for row in _long(name, key)]
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


def _keys(paper: str, table: str | None) -> list[str]:
    return [key for key in tables(paper) if table in (None, key)]


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
        domains = {"query_domain": context.query, "gallery_domain": context.gallery, "metric": context.name}
        rows.append(
            {"paper": paper, "table": table, "method": method, "setting": setting, "backbone": backbone}
            | {**context.model_dump(include=COMMON), **domains}
            | {"printed": text, "value": _number(text) / UNITS[header.unit]}
            | {"average": header.is_average(setting, column), "column": column}
            | {"our_method": names.get(method, "")}
        )
    return rows


def _cells(rows: list[dict[str, str]], header: Sheet) -> dict[Key, str]:
    """The printed cells in reading order."""
    keys = ((row, column) for row in rows for column in header.columns)
    return {(*(row[k] for k in KEYS), column): row[column] for row, column in keys if row[column]}


@lru_cache(maxsize=32)
def _load(paper: str, folder: Path) -> tuple[Paper, dict[str, list[dict[str, str]]]]:
    """A paper's headers and, by table, its rows as printed, after all consistency checks."""
    path = folder / f"{paper}.yaml"
    try:
        spec = Paper.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        _same_name(spec, paper)
        texts = {table: _read(folder, header) for table, header in spec.tables.items()}
        _check_listed(spec, texts)
    except ValidationError as error:
        raise CdirError(f"{path.name}: {_first(error)}; fix the file") from None
    except yaml.YAMLError as error:
        raise CdirError(f"{path.name}: not valid YAML: {' '.join(str(error).split())}; fix the file") from None
    return spec, texts


def _same_name(spec: Paper, paper: str) -> None:
    if spec.paper != paper:
        raise CdirError(f"{paper}.yaml: paper is {spec.paper!r}; the file must have the same name")


def _read(folder: Path, header: Sheet) -> list[dict[str, str]]:
    """The rows of one CSV file, checked against its header. Raises CdirError, naming the file."""
    try:
        with (folder / header.file).open(newline="", encoding="utf-8") as file:
            columns, *lines = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise CdirError(f"{header.file}: cannot be read ({error}); check the file name in the yaml") from None
    expected = [*KEYS, *header.notes, *header.columns]
    if columns != expected:
        odd = [*(set(columns) ^ set(expected))] or ["their order"]
        raise CdirError(f"{header.file}: columns differ from the yaml: {', '.join(sorted(odd))}")
    if ragged := [str(n) for n, line in enumerate(lines, start=2) if len(line) != len(columns)]:
        raise CdirError(f"{header.file}: lines with too few or too many cells: {', '.join(ragged)}")
    rows = [dict(zip(columns, line, strict=True)) for line in lines]
    _check_rows(rows, header)
    return rows


def _check_rows(rows: list[dict[str, str]], header: Sheet) -> None:
    keys = [tuple(row[key] for key in KEYS) for row in rows]
    if twice := [" / ".join(key) for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        raise CdirError(f"{header.file}: rows that appear twice: {', '.join(twice)}")
    if unknown := sorted({row["setting"] for row in rows} - {"", *header.settings}):
        raise CdirError(f"{header.file}: settings that are not in its yaml: {', '.join(unknown)}")
    if unknown := sorted(header.methods_named() - {row["method"] for row in rows}):
        where = "our_names, exceptions or differences"
        raise CdirError(f"{header.file}: has no row for methods in its yaml's {where}: {', '.join(unknown)}")
    cells = _cells(rows, header)
    for key, text in cells.items():
        _check_cell(header, key, text)
    if len(cells) != header.cells:
        raise CdirError(f"{header.file}: has {len(cells)} cells, but its yaml says {header.cells}")


def _check_cell(header: Sheet, key: Key, text: str) -> None:
    """Check that a cell is a number in the table's unit ("+2.60" for a gain), a dash or "lost", with a full context."""
    method, setting, _, column = key
    where, most = f"{header.file}: {method}, {column}", UNITS[header.unit]
    number = text.removeprefix("+") if method in header.differences else text
    if text not in (DASH, LOST) and (not NUMBER.fullmatch(number) or float(number) > most):
        raise CdirError(f'{where}: {text!r} is not a number from 0 to {most}, "{DASH}" or "{LOST}"')
    try:
        header.context(setting, column, method)
    except ValidationError as error:
        raise CdirError(f"{where}: incomplete context in its yaml: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first problem in a pydantic error: `field: what is wrong`."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"])) or "whole file"
    return f"{field}: {first['msg'].removeprefix('Value error, ')}"


def _check_listed(spec: Paper, texts: dict[str, list[dict[str, str]]]) -> None:
    """Check that all `our_names` and misprints match printed cells, and that exactly the listed cells are lost."""
    cells = {
        (table, *key): text for table, rows in texts.items() for key, text in _cells(rows, spec.tables[table]).items()
    }
    if unknown := sorted(set(spec.our_names) - {method for _, method, *_ in cells}):
        raise CdirError(f"{spec.paper}.yaml: our_names: not in any table: {', '.join(unknown)}")
    for item in spec.misprints:
        if cells.get(_where(item)) != item.printed:
            raise CdirError(f"{spec.paper}.yaml: misprints: no cell {_where(item)} is printed as {item.printed!r}")
    lost = {_where(item) for item in spec.lost}
    if odd := lost ^ {key for key, text in cells.items() if text == LOST}:
        raise CdirError(f"{spec.paper}.yaml: lost: the list and the lost cells differ in {min(odd)}")


def _where(item: Place) -> tuple[str, ...]:
    return item.table, item.method, item.setting, item.backbone, item.column
