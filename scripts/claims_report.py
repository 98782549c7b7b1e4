"""Check the papers' claims against the records in cdir_nb/results/reproduced, and write docs/results/<paper>.md.

    python scripts/claims_report.py          every paper with at least one claim that can be decided
    python scripts/claims_report.py tki      only that paper

Every verdict is computed from the records; what is said of runs and tasks stands in claims_report.yaml.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
import yaml

from cdir_nb.conventions import NOTHING_SELECTED, SELECTION_RULES, Metric
from cdir_nb.data.protocols import protocol_spec
from cdir_nb.methods import METHODS
from cdir_nb.methods.ucdir import CDS, ID, PCS, PROTO_NCE
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import Record, load_claims, reproduced_records, to_frame, verdicts
from cdir_nb.results.claims.verdicts import as_in_card
from cdir_nb.results.claims.wording import each_seed, held
from cdir_nb.results.compare import is_own
from cdir_nb.results.differing import differing
from cdir_nb.results.published import own_method, papers
from cdir_nb.results.summary import spread_over_seeds, steps_taken

CELL = ["method", "query_domain", "gallery_domain", "metric", "train_set"]
CENTRED = """

`CLIP, centred` is no paper's method but a baseline of one line, whose code is in the README: CLIP's vectors minus the
mean over all test images of their domain. So it needs a whole set of queries, not one."""
TEXTS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))  # on runs and tasks, by paper


def report(paper: str, records: Sequence[Record]) -> str:
    """Markdown: for each task, the verdicts on a paper's claims, and the means of untrained methods, of the paper's
    own, and of all named in the claims."""
    claims = [claim for claim in load_claims() if claim.paper == paper]
    decided = verdicts(records, claims)
    decided = decided[decided["verdict"] != "not run"]
    frame = to_frame(records)
    named = frame["method"].isin({name for claim in claims for name in claim.methods})
    own = frame["method"].map(lambda name: is_own(name, paper))
    frame = frame[named | own | (frame["selection_rule"] == NOTHING_SELECTED)]
    measured = set(frame[own[frame.index]]["metric"])
    tasks = set(decided["protocol"])
    named = {(task, *_in_convention(as_in_card(claim.metrics, task)[0])) for task in tasks for claim in claims}
    kept = [
        metric in measured and (task, *_in_convention(Metric.parse(metric))) in named
        for task, metric in frame[["protocol", "metric"]].itertuples(index=False, name=None)
    ]
    frame = frame[kept]
    parts = [_head(paper, frame)]
    for task, rows in frame.groupby("protocol", sort=False):
        title = TEXTS.get(paper, {}).get("tasks", {}).get(task) or _from_card(task)
        here, others = decided[decided["protocol"] == task], _other_settings(rows)
        parts.append(f"## {task}\n{title}.\n")
        for rule, some, numbers in _by_rule(here, rows):
            parts += [f"### Selection rule: {rule}\n"] * bool(rule)
            parts += [_verdicts(some, others), _means(numbers, paper, others)]
            if {"UCDIR", "frozen start"} <= set(numbers["method"]):
                parts.append(_where_gains_are(numbers))
    return "\n".join(parts)


def _in_convention(metric: Metric) -> tuple[str, str]:
    return metric.kind, metric.convention


def _other_settings(frame: pd.DataFrame) -> dict[str, str]:
    """{digest: what is not as in the method's first setting} for the further settings of a task's trained methods."""
    found = {}
    for _, rows in frame[frame["selection_rule"] != NOTHING_SELECTED].groupby("method", sort=False):
        settings = dict(zip(rows["settings_digest"], rows["settings"]))
        words = differing(settings) if len(settings) > 1 else {}
        found |= {digest: words[digest] for digest in list(settings)[1:]}
    return found


def _from_card(task: str) -> str:
    """What the card says of a task."""
    spec = protocol_spec(task)
    if spec is None:
        return task
    return f"{'drawn world: ' if task.startswith('world-') else ''}{spec.about.strip().rstrip('.')}"


def _head(paper: str, frame: pd.DataFrame) -> str:
    dates, commits, encoders = (", ".join(sorted(set(frame[n]))) for n in ("date", "measuring_commit", "encoder"))
    seeds = ", ".join(map(str, sorted(set(frame["seed"]))))
    centred = CENTRED if "CLIP, centred" in set(frame["method"]) else ""
    return f"""# {own_method(paper)}'s claims, checked

Written by `scripts/claims_report.py` from records of {dates} (commit {commits}), encoder {encoders},
seeds {seeds}. The records, one number per direction, are in `cdir_nb/results/reproduced`. Neither the encoders nor most
of the images are the paper's: these numbers say how the method behaves here, and replace none of its own. Untrained
methods do not depend on the seed; they have a spread only where their images differ from seed to seed.

A claim *holds* if it holds for every seed that has all directions run, is *mixed* if it holds for some, and *does not
hold* if it holds for none. Unless a task says otherwise, all seeds share images and encoder, so the spread over seeds
says nothing about other data, and a difference of a few hundredths of a point is meaningless. Differences are in
percentage points, averaged over the directions.{centred}

{TEXTS.get(paper, {}).get("about", "")}
"""


def _by_rule(decided: pd.DataFrame, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """(rule, verdicts, records) for each selection rule if a method has numbers by several; else all, with no rule."""
    if rows.groupby("method")["selection_rule"].nunique().max() < 2:
        yield "", decided, rows
        return
    for rule in (
        rule for rule in SELECTION_RULES if rule != NOTHING_SELECTED and (rows["selection_rule"] == rule).any()
    ):
        some, numbers = (table[table["selection_rule"].isin([rule, NOTHING_SELECTED])] for table in (decided, rows))
        yield rule, some, numbers


def _verdicts(decided: pd.DataFrame, others: dict[str, str]) -> str:
    head = ("claim", "verdict", "difference, mean (each seed)", "directions that hold", "measure")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in decided.itertuples():
        measure = ", ".join([row.measure, *(others[d] for d in row.settings.split(", ") if d in others)])
        allowed = f" Here at most {row.tolerance:g} points below." if row.tolerance else ""
        lines.append(
            f"| {row.says}{allowed} ({row.where}) | {row.verdict} | {row.difference:+.2f} ({each_seed(row)}) "
            f"| {held(row)} | {measure} |"
        )
    return "\n".join(lines) + "\n"


def _means(frame: pd.DataFrame, paper: str, others: dict[str, str]) -> str:
    """A table of the paper's own methods and its baselines, then one of further methods that it compares with, which
    were run in directions of their own."""
    further = {name for row in TEXTS.get(paper, {}).get("further", ()) for name in (row, *METHODS[row].variants)}
    apart = frame["method"].isin(further)
    parts = [_table(frame[~apart], paper, others)]
    if apart.any():
        compared = apart | (frame["method"] == own_method(paper)) | (frame["selection_rule"] == NOTHING_SELECTED)
        names = " and ".join(name for name in TEXTS[paper]["further"] if name in set(frame["method"]))
        parts.append(f"\nBeside {names}, in the directions that all were run in:\n\n")
        parts.append(_table(frame[compared], paper, others))
    return "".join(parts)


def _table(frame: pd.DataFrame, paper: str, others: dict[str, str]) -> str:
    """Mean ± standard deviation over seeds by method, over the directions that all trained methods were run in; a
    method with more of the directions of the paper's own has another row for all of its."""
    kinds = [Metric.parse(metric).kind for metric in frame["metric"]]
    places = list(zip(kinds, frame["query_domain"], frame["gallery_domain"]))
    own = {place for place, name in zip(places, frame["method"]) if is_own(name, paper)}
    frame = frame.assign(kind=kinds, place=places)[[place in own or not own for place in places]]
    main, further = _by_setting(frame, others)
    frame = pd.concat([_in_shared_directions(main), further])
    values = frame.groupby(CELL, dropna=False)["value"].transform("nunique")
    seedless = values.groupby(frame["method"]).transform("max") == 1  # the same value for every seed
    frame = frame[~(seedless & frame.duplicated(CELL))]
    frame = frame.assign(percent=100 * frame["value"])
    measures = list(dict.fromkeys(frame["metric"]))
    lines = [
        "Mean over directions, ± standard deviation over seeds, in percent:\n",
        f"| method | {' | '.join(measures)} | steps |",
        "|---|" + "---|" * (len(measures) + 1),
    ]
    for method, rows in frame.groupby("method", sort=False):
        texts = [_mean(rows[rows["metric"] == metric]) for metric in measures]
        lines.append(f"| {method} | {' | '.join(texts)} | {_training(rows)} |")
    return "\n".join(lines) + "\n"


def _where_gains_are(rows: pd.DataFrame) -> str:
    """UCDIR by direction, hardest first, over the frozen start and over the best baseline (section 4.2 ii 4)."""
    pooled = [m for m in map(Metric.parse, rows["metric"].unique()) if m.convention == "ucdir_micro" and m.k >= 10]
    metric = min(pooled, key=lambda metric: metric.k)
    rows = rows[rows["metric"] == str(metric)].assign(percent=100 * rows["value"])
    table = rows.pivot_table(index=["query_domain", "gallery_domain"], columns="method", values="percent")
    table["best baseline"] = table.reindex(columns=[row.name for row in (ID, PROTO_NCE, CDS, PCS)]).max(axis=1)
    lines = [
        f"Where the gain is, {metric}, mean over seeds; hardest for the frozen start first. The paper: the "
        "gain over the best baseline is largest in painting → quickdraw, the largest gap (section 4.2 ii 4).\n",
        "| direction | frozen start | UCDIR | over the start | over the best baseline |",
        "|---|---|---|---|---|",
    ]
    for pair, row in table.sort_values("frozen start").iterrows():
        over = row["UCDIR"] - row["best baseline"]
        lines.append(
            f"| {' → '.join(pair)} | {row['frozen start']:.1f} | {row['UCDIR']:.1f} "
            f"| {row['UCDIR'] - row['frozen start']:+.1f} | {'' if np.isnan(over) else f'{over:+.1f}'} |"
        )
    return "\n".join(lines) + "\n"


def _mean(rows: pd.DataFrame) -> str:
    """Mean over directions of the mean over seeds; with the spread over seeds, if every seed has every direction."""
    if rows.empty:
        return ""
    percent, (spread, _) = rows.groupby("place")["percent"].mean().mean(), spread_over_seeds(rows)
    return f"{percent:.2f}" + ("" if spread is None else f" ± {spread:.2f}")


def _by_setting(frame: pd.DataFrame, others: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of each method's first setting, and those of further settings of the same training, under names of their
    own: numbers of two settings are never averaged."""
    cell = ["method", "metric", "query_domain", "gallery_domain", "seed"]
    several = set(frame[frame.duplicated(cell, keep=False) & (frame["selection_rule"] != NOTHING_SELECTED)]["method"])
    first = frame.drop_duplicates("method").set_index("method")["settings_digest"]
    other = frame["method"].isin(several) & (frame["settings_digest"] != frame["method"].map(first))
    rows = frame[other]
    named = rows["method"] + ", " + rows["settings_digest"].map(others)
    count = rows.groupby(named)["place"].transform(lambda places: len({place[1:] for place in places}))
    return frame[~other], rows.assign(method=[f"{name}, {n} directions" for name, n in zip(named, count)])


def _in_shared_directions(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of directions that all trained methods share, then once more all rows of a method that has others."""
    trained = frame[frame["selection_rule"] != NOTHING_SELECTED]
    shared = {
        kind: set.intersection(*rows.groupby("method")["place"].agg(set)) for kind, rows in trained.groupby("kind")
    }
    inside = np.array([place in shared.get(place[0], {place}) for place in frame["place"]], bool)
    wider = [
        (name, rows) for name, rows in frame.groupby("method", sort=False) if not inside[frame["method"] == name].all()
    ]
    named = [rows.assign(method=f"{name}, all {rows['place'].nunique()} directions") for name, rows in wider]
    return pd.concat([frame[inside], *named])


def _training(rows: pd.DataFrame) -> str:
    """Steps up to the reported states, fewest to most, and the most that any group of parameters moved."""
    counts, moved = steps_taken(rows), {}
    for record in rows["moved"]:
        for group, fraction in record.items():
            moved[group] = max(moved.get(group, 0.0), 100 * fraction)
    texts = {group: f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}" for group, percent in moved.items()}
    by = ", ".join(f"{group} {text} %" for group, text in texts.items() if moved[group])
    return f"{counts}; moved: at most {by}" if counts and by else counts


def papers_run(records: Sequence[Record]) -> list[str]:
    """Papers whose own method has a record, and with at least one claim that could be decided."""
    methods, decided = {record.method for record in records}, verdicts(records)
    found = set(decided[decided["verdict"] != "not run"]["paper"])
    return [paper for paper in papers() if paper in found and any(is_own(name, paper) for name in methods)]


def main(paper: Annotated[str, typer.Argument(help="clair, tki, ...; empty for all")] = "") -> None:
    """Write docs/results/PAPER.md for one paper, or for all papers with records."""
    records = reproduced_records()
    known = papers_run(records)
    if paper and paper not in known:
        raise SystemExit(f"no claim of {paper} can be decided; papers with records: {', '.join(known)}")
    for name in [paper] if paper else known:
        with atomic_write(ROOT / "docs" / "results" / f"{name}.md") as path:
            path.write_text(report(name, records), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
