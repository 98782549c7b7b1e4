"""Sections of the report that compare runs with the papers and with committed records."""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import functools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from cdir_nb.data.manifest import drawn_title
from cdir_nb.results import Record, load_claims, published_verdicts, reproduced_records, to_frame, verdicts
from cdir_nb.results.claims.verdicts import CONTEXT, IN_PART, NOT_RUN, SIGNS
from cdir_nb.results.claims.wording import how, joint_verdict, marked, span
from cdir_nb.results.panels import Panel, our_panels, printed_panel, views
from cdir_nb.results.published import own_method
from cdir_nb.results.summary import summarise


def claims(records: Sequence[Record]) -> list[dict[str, Any]]:
    """For each paper with a reproduced claim: its claims, with verdicts from its own numbers and, by task, from ours.

    Pipeline tests are ignored.
    """
    decided = verdicts(records)
    decided = decided[decided["verdict"] != NOT_RUN]
    printed = published_verdicts([claim for claim in load_claims() if claim.paper in set(decided["paper"])])
    by_paper = printed.groupby("paper", sort=False)
    return [_scoreboard(paper, rows, decided[decided["paper"] == paper]) for paper, rows in by_paper]


def in_short(boards: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """{verdict: claims}, from `claims`: first those that hold, then those that do not or cannot be told from zero."""
    by_verdict: dict[str, list[str]] = {kind: [] for kind in (*SIGNS, IN_PART)}
    for board in boards:
        for row in board["rows"]:
            for (task, encoder, _), cell in zip(board["tasks"], row["cells"][1:]):
                if cell["kind"] != NOT_RUN:
                    more = f"; {cell['more']}" if cell["more"] else ""
                    text = f"{board['paper']}: {row['says']} ({task}, {encoder}{more})"
                    by_verdict.setdefault(cell["kind"], []).append(text)
    return {marked(kind): texts for kind, texts in by_verdict.items() if texts}


def _scoreboard(paper: str, printed: pd.DataFrame, decided: pd.DataFrame) -> dict[str, Any]:
    """One paper. Columns: its own numbers, then each task and encoder with a claim that was run."""
    keys, tasks = zip(*decided.groupby(list(CONTEXT), sort=False))
    rows = [
        {
            "says": claim.says,
            "where": claim.where,
            "cells": [_verdict(t[t["id"] == claim.id]) for t in (printed, *tasks)],
        }
        for claim in printed.drop_duplicates("id").itertuples()
    ]
    heads = [
        (protocol or dataset, encoder, ", ".join(filter(None, [drawn_title(dataset), images and f"images {images}"])))
        for dataset, protocol, encoder, images in keys
    ]
    return {
        "paper": own_method(paper),
        "tasks": heads,
        "rows": rows,
        "summaries": [_summary(task, len(rows)) for task in tasks],
    }


def _summary(task: pd.DataFrame, count: int) -> str:
    """The numbers of verdicts on a task, such as `11 of 20 claims decided: holds 8, does not hold 3`."""
    kinds = [joint_verdict(rows) for _, rows in task.groupby("id", sort=False)]
    counts = ", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
    return f"{len(kinds)} of {count} claims decided: {counts}"


def _verdict(rows: pd.DataFrame) -> dict[str, str]:
    """One cell: the verdict, and below it points (a range for several rows), directions, measure and seeds."""
    kind, points = joint_verdict(rows), span(rows["difference"], digits=2)
    more = [f"{points} points" if points else "", *how(rows)]
    return {"kind": kind, "text": marked(kind), "more": "; ".join(filter(None, more))}


def beside(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Published tables of methods that were run, each followed by panels of reproduced numbers.

    Panels that belong to several tables are shown once; the other tables refer to the first one.
    """
    sections, first = [], {}
    for view in views():
        panels = [(panel, dataset) for dataset, rows in frame.groupby("dataset") for panel in our_panels(view, rows)]
        if not panels:
            continue
        tables, again = [_panel(printed_panel(view), "")], []
        for panel, dataset in panels:
            title = first.setdefault(panel.source + panel.percent.to_csv(), str(view))
            if title == str(view):
                tables.append(_panel(panel, dataset))
            else:
                again.append(title)
        sections.append({"title": str(view), "tables": tables, "again": again})
    return sections


@functools.cache
def on_real_images() -> list[tuple[str, pd.DataFrame]]:
    """The committed records on real images: for each task, a caption and a table with one line per method."""
    records = reproduced_records()
    real = {name for name in {record.dataset for record in records} if not drawn_title(name)}
    tables = []
    for block in summarise(to_frame([record for record in records if record.dataset in real])):
        images = [f"images {block.image_set}"] if block.image_set else []
        where = ", ".join([block.dataset, block.protocol, *images, block.encoder.split()[0]])
        rows = [(line.name, *line.texts[1:], line.selection_rule) for line in block.lines]
        columns = ["method", "percent", "seeds", "steps", "vs vanilla", "better in", "selection rule"]
        table = pd.DataFrame(rows, columns=columns)
        caption = f"{where}: {block.metric}, mean over directions"
        tables.append((caption, table.loc[:, (table != "").any()]))
    return tables


def _panel(panel: Panel, dataset: str) -> tuple[str, pd.DataFrame]:
    """The caption and the table of a panel."""
    title = drawn_title(dataset)
    return f"{panel.source}{title and f' ({title})'}", as_texts(panel.percent, "method")


def as_texts(table: pd.DataFrame, index: str) -> pd.DataFrame:
    """Format a table: percent with two digits, empty cells for missing numbers, and the index as first column."""
    return table.map(lambda x: "" if pd.isna(x) else f"{x:.2f}").rename_axis(index).reset_index()
