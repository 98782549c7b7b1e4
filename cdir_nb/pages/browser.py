"""The browser of records: a page to filter, sort and compare measured numbers, which needs no network or other files.

    python -m cdir_nb.pages.browser OUT.html            the committed records
    python -m cdir_nb.pages.browser OUT.html RUN ...    the records of runs

The page contains every record: each field as a list of its distinct values and one code per record, as compressed JSON.
Means, differences and intervals are computed in the page by the rules of `aggregate.means` and `significance.compare`;
a test compares them.
"""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportReturnType=false

import base64
import gzip
import hashlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cdir_nb.conventions import NOTHING_SELECTED
from cdir_nb.data.manifest import is_bundled, load_card
from cdir_nb.errors import CdirError
from cdir_nb.methods.method import Method
from cdir_nb.methods.table import METHODS
from cdir_nb.paths import atomic_write
from cdir_nb.results import Record, load_records, reproduced_records, to_frame
from cdir_nb.results.aggregate import as_text
from cdir_nb.results.alike import TRAINING_IMAGES, identified
from cdir_nb.results.published import load_paper, papers, published
from cdir_nb.results.significance import DRAWS
from cdir_nb.retrieval.metrics import drawn_times

# Numbers that agree in these fields form one row of the table; only directions and seeds differ within a row.
ROW = (
    "method", "dataset", "protocol", "test_set", "image_set", "encoder", "metric", "selection_rule", "settings_digest",
    "train_set", "train_pool", "data_at_test_time", "pipeline_test",
)  # fmt: skip
OF_RECORD = [name for name in Record.model_fields if name not in (*ROW, "settings", "value")]
PUBLISHED = ("paper", "table", "method", "setting", "backbone", "dataset", "protocol", "query_domain", "gallery_domain",
             "metric", "certainty", "printed")  # fmt: skip
TESTED_ONLY = ("sketchy_mini-20", "pacs-closed-rest", "world-closed-redrawn")  # methods were trained on other tasks
DIGITS = 6  # of a fraction; closer values count as equal (`records.SAME`)
HERE = Path(__file__)


def write_browser(records: Sequence[Record], path: Path, title: str) -> Path:
    """Write the page of these records and of the papers' published numbers, atomically. Returns its path.

    Raises CdirError if there are no records.
    """
    if not records:
        raise CdirError(f"{path}: no records to show: give a run with records, or a table of `cdir results --csv`")
    with atomic_write(path) as temporary:
        temporary.write_text(browser_page(browser_data(records), title), encoding="utf-8")
    return path


def browser_page(data: Mapping[str, Any], title: str) -> str:
    """The page with these data. It loads nothing, and its security policy allows only its own script and style."""
    template, style, script = (
        HERE.with_suffix(suffix).read_text(encoding="utf-8") for suffix in (".html", ".css", ".js")
    )
    packed = gzip.compress(json.dumps(data, separators=(",", ":"), allow_nan=False).encode(), mtime=0)
    words = {
        "SCRIPT_HASH": _hash(script),
        "STYLE_HASH": _hash(style),
        "TITLE": title.replace("&", "&amp;").replace("<", "&lt;"),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": base64.b64encode(packed).decode(),
    }
    for word, text in words.items():
        template = template.replace(f"{{{{{word}}}}}", text)
    return template


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def browser_data(records: Sequence[Record]) -> dict[str, Any]:
    """The contents of the page as plain data.

    rows       the fields in ROW, what each method learns from, and the command of each row, each as in `_codes`
    records    the other fields, as in `_codes`; `row`: the row of each record; `value`: fractions
    queries    {number of a record: [sum of the values of each class, number of defined queries of each class]}
    classes    {number of a record: names of the classes}; equal lists are stored once
    draws      {number of classes: how often each class is drawn, one string of digits (base 36) per bootstrap sample}
    settings   {digest: settings}
    published  the printed cells of the papers
    """
    frame = identified(to_frame(records))
    frame["row"] = frame.groupby(list(ROW), sort=False).ngroup()
    frame = frame.sort_values("row", kind="stable")
    heads = frame.drop_duplicates("row").set_index("row")
    order = {number: place for place, number in enumerate(frame.index)}
    stored = {order[number]: record.queries for number, record in enumerate(records) if record.queries}
    lists: dict[tuple[str, ...], int] = {}
    queries, of_record = {}, {}
    for place, values in stored.items():
        sums, counts, names = _by_class(values)
        queries[place], of_record[place] = [sums, counts], lists.setdefault(names, len(lists))
    moved = [json.dumps(moved) if moved else "" for moved in frame["moved"]]
    return {
        "rows": {
            **_coded(heads, ROW),
            "learns_from": _codes(list(map(_learns_from, heads["method"], heads["selection_rule"]))),
            "command": _codes(_commands(frame, heads)),
        },
        "records": {
            **_coded(frame.assign(moved=moved), OF_RECORD),
            "row": frame["row"].tolist(),
            "value": frame["value"].round(DIGITS).tolist(),
        },
        "queries": queries,
        "class_list": of_record,
        "classes": [list(names) for names in lists],
        "draws": {str(n): _draws(n) for n in sorted({len(names) for names in lists})},
        "settings": dict(zip(heads["settings_digest"], heads["settings"])),
        "published": _published(),
    }


def _coded(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    return {name: _codes(frame[name]) for name in names}


def _codes(values: Sequence[Any] | pd.Series) -> dict[str, Any]:
    """{"values": distinct values (None: missing), "codes": for each entry, the index of its value}.

    If all entries are equal, there are no codes.
    """
    codes, distinct = pd.factorize(pd.Series(values).astype(object), use_na_sentinel=False)
    plain = [None if pd.isna(value) else value.item() if hasattr(value, "item") else value for value in distinct]
    return {"values": plain} if len(plain) == 1 else {"values": plain, "codes": codes.tolist()}


def _by_class(values: Any) -> tuple[list[float], list[int], tuple[str, ...]]:
    """(sums, numbers of queries, names), one entry per class, over the queries whose value is defined."""
    defined = ~np.isnan(values.values)
    names, codes = np.unique(values.labels[defined].astype(str), return_inverse=True)
    sums = np.bincount(codes, values.values[defined], len(names)).round(DIGITS)
    return sums.tolist(), np.bincount(codes, minlength=len(names)).tolist(), tuple(map(str, names))


def _draws(classes: int) -> list[str]:
    """The bootstrap samples of `compare`: for each, how often every class is drawn, as one digit in base 36."""
    times = drawn_times(np.random.default_rng(0), classes, DRAWS).clip(max=35)
    return ["".join(map(np.base_repr, row, [36] * classes)) for row in times]


def _published() -> dict[str, Any]:
    cells = published()
    cells = cells[cells["value"].notna() & ~cells["average"]]
    return {
        **_coded(cells, PUBLISHED),
        "percent": (100 * cells["value"]).round(4).tolist(),
        "citation": {name: load_paper(name).citation for name in papers()},
    }


# ---- what a method is, and the command for its numbers ---------------------------------------------------------


def _owner(name: str) -> Method | None:
    """The method that has this name, or a variant or a state with this name; None for a user's own method."""
    named = (method for method in METHODS.values() if name == method.name or name in method.variants)
    states = (method for method in METHODS.values() if name.startswith(f"{method.name},"))
    return next(named, None) or next(states, None)


def _learns_from(name: str, rule: str) -> str:
    owner = _owner(name)
    if owner is None:
        return "nothing" if rule == NOTHING_SELECTED else "unknown"
    return ", ".join(owner.learns_from) or "nothing"


def _commands(frame: pd.DataFrame, heads: pd.DataFrame) -> list[str]:
    """The command that measures each row again; "" if no single command does."""
    seeds = frame.groupby("row")["seed"].agg(lambda values: ",".join(map(str, sorted(set(values)))))
    # A command does not depend on the metric or the selection rule.
    parts = heads.assign(seeds=seeds)[
        ["method", "dataset", "protocol", "test_set", "encoder", "settings_digest", "seeds"]
    ]
    settings = dict(zip(heads["settings_digest"], heads["settings"]))
    command = cache(lambda *part: _command(*part[:-2], settings[part[-2]], part[-1]))
    return [command(*part) for part in parts.itertuples(index=False)]


def _command(
    name: str, dataset: str, task: str, test_set: str, encoder: str, settings: Mapping[str, Any] | None, seeds: str
) -> str:
    owner, spec = _owner(name), encoder.split()[0]
    if owner is None or settings is None or name not in (owner.name, *owner.variants):
        return ""
    if test_set.startswith(TRAINING_IMAGES) or task in TESTED_ONLY:
        return ""
    variant = None if name == owner.name else name
    try:
        overrides = _overrides(owner, variant, spec, settings)
        bundled = is_bundled(load_card(dataset))
    except CdirError:  # the code no longer has this setting or dataset
        return ""
    words = ["cdir", "reproduce", "--method", owner.name, "--task", task, "--encoder", spec, "--seeds", seeds]
    words += ["--variant", variant] if variant else []
    words += [] if bundled else ["--data", f"{dataset}=PATH"]
    words += [word for key, value in overrides.items() for word in ("--set", f"{key}={as_text(value)}")]
    return shlex.join(words)


def _overrides(method: Method, variant: str | None, encoder: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from the defaults of the command. Raises CdirError for an invalid one."""
    named = {"named": method.for_encoder[encoder]} if encoder in method.for_encoder else {}
    base = method.configured(settings=named, variant=variant)
    defaults = json.loads(base.model_dump_json())
    found = {name: value for name, value in settings.items() if name in defaults and value != defaults[name]}
    if str(found.get("semantics", "")).startswith("texts of "):  # a record names the encoder of the class names
        found["semantics"] = found["semantics"].split()[2]
        found = {name: value for name, value in found.items() if value != defaults[name]}
    method.configured(variant=variant, settings={**named, **found})
    return found


if __name__ == "__main__":
    out, runs = Path(sys.argv[1]), sys.argv[2:]
    title = ", ".join(Path(run).name for run in runs) or "the records that come with the workbook"
    write_browser(load_records(runs) if runs else reproduced_records(), out, title)
