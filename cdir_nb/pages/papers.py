"""Runs compared with the papers and with committed records: claims and verdicts, published tables with ours below."""

import functools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from cdir_nb.data.manifest import drawn_title
from cdir_nb.results import Record, load_claims, published_verdicts, reproduced_records, to_frame, verdicts
from cdir_nb.results.claims.wording import how, joint_verdict, marked, span
from cdir_nb.results.compare import Panel, our_panels, printed_panel, views
from cdir_nb.results.published import own_method
from cdir_nb.results.records import TASK
from cdir_nb.results.summary import summarise


def claims(records: Sequence[Record]) -> list[dict[str, Any]]:
    """For each paper with a claim that was run: its claims, with the verdicts of its own numbers and of ours by task.

    Pipeline tests are ignored.
    """
    ours = verdicts(records)
    run = ours[ours["verdict"] != "not run"]
    theirs = published_verdicts([claim for claim in load_claims() if claim.paper in set(run["paper"])])
    return [_scoreboard(paper, rows, run[run["paper"] == paper]) for paper, rows in theirs.groupby("paper", sort=False)]


def _scoreboard(paper: str, theirs: pd.DataFrame, ours: pd.DataFrame) -> dict[str, Any]:
    """One paper. Columns: its own numbers, then each task and encoder with a claim that was run."""
    keys, tasks = zip(*ours.groupby(list(TASK), sort=False))
    rows = [
        {
            "says": claim.says,
            "where": claim.where,
            "cells": [_verdict(t[t["id"] == claim.id]) for t in (theirs, *tasks)],
        }
        for claim in theirs.drop_duplicates("id").itertuples()
    ]
    heads = [(protocol or dataset, encoder, drawn_title(dataset)) for dataset, protocol, encoder in keys]
    return {
        "paper": own_method(paper),
        "tasks": heads,
        "rows": rows,
        "said": [_said(task, len(rows)) for task in tasks],
    }


def _said(task: pd.DataFrame, count: int) -> str:
    """Such as `11 of 20 claims decided: holds 8, does not hold 3`; one of the verdicts is "verdicts differ"."""
    kinds = [joint_verdict(rows) for _, rows in task.groupby("id", sort=False)]
    counts = ", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
    return f"{len(kinds)} of {count} claims decided: {counts}"


def _verdict(rows: pd.DataFrame) -> dict[str, str]:
    """One cell: the verdict, and below it points (a range for several rows), directions, measure and seeds."""
    kind, points = joint_verdict(rows), span(rows["difference"], digits=2)
    more = [f"{points} points" if points else "", *how(rows)]
    return {"kind": kind, "text": marked(kind), "more": "; ".join(filter(None, more))}


def beside(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Published tables of methods that were run, each with our panels below it.

    If several tables of a paper need the same numbers of ours, these are shown once and then referred to.
    """
    found, first = [], {}
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
        found.append({"title": str(view), "tables": tables, "again": again})
    return found


@functools.cache
def on_real_images() -> list[tuple[str, pd.DataFrame]]:
    """The committed records of real images: for each task a caption, and a table with one line per method."""
    records = reproduced_records()
    real = {name for name in {record.dataset for record in records} if not drawn_title(name)}
    tables = []
    for block in summarise(to_frame([record for record in records if record.dataset in real])):
        where = f"{block.dataset}, {block.protocol}, {block.encoder.split()[0]}"
        rows = [(line.method, *line.texts[1:], line.selection_rule) for line in block.lines]
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
    """Percent with two digits, empty cells where there is no number, and the index as the first column."""
    return table.map(lambda x: "" if pd.isna(x) else f"{x:.2f}").rename_axis(index).reset_index()
