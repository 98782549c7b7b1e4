"""Pages on the papers' claims, docs/results/<paper>.md, written from the committed records.

    python -m cdir_nb.pages.claims_page          every paper with at least one verdict
    python -m cdir_nb.pages.claims_page tki      only that paper

Every verdict is computed from the records. The texts about papers, runs and tasks are in claims_page.yaml.
"""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
import yaml

from cdir_nb.conventions import NOTHING_SELECTED, SELECTION_RULES, Metric
from cdir_nb.data.manifest import display_domain, drawn_title
from cdir_nb.data.protocols import protocol_spec
from cdir_nb.methods import METHODS
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import Record, load_claims, reproduced_records, to_frame, verdicts
from cdir_nb.results.aggregate import differing_by_method, means, plus_minus, range_text
from cdir_nb.results.alike import identified, labelled, require_alike
from cdir_nb.results.claims.claim import Claim
from cdir_nb.results.claims.verdicts import NOT_RUN, as_in_card
from cdir_nb.results.claims.wording import each_seed, held, interval
from cdir_nb.results.panels import belongs_to
from cdir_nb.results.printed import markdown
from cdir_nb.results.published import own_method, papers
from cdir_nb.results.records import DIRECTION

TEXTS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
HEAD = """# {method}'s claims, checked

Written by `python -m cdir_nb.pages.claims_page` from records of {dates} (commit {commits}), encoder {encoders},
seeds {seeds}. The records, one number per direction, are in `cdir_nb/results/reproduced`. Neither the encoders nor most
of the images are the paper's: these numbers say how the method behaves here, and replace none of its own. Untrained
methods do not depend on the seed, except for an accuracy on the training images, which the seed draws.

A claim about a mean *holds* if every seed that has all directions run agrees, and if the 95 % interval over classes is
above zero: classes are drawn again with replacement, so the interval says what other classes might have shown. If it
includes zero, the difference *cannot be told from zero*. Where the values of single queries are not stored, there is no
interval, and the seeds alone decide. A claim is *mixed* if it holds for some seeds, and *does not hold* if it holds for
none. A claim about each direction has no interval. All seeds of a table share test images and encoder; a task with
several sets of test images has a table for each. Differences are in percentage points, averaged over the
directions.{notes}

{about}
"""


def claims_page(paper: str, records: Sequence[Record]) -> str:
    """The Markdown page on a paper's claims.

    For each task, it contains the verdicts on the claims, and the means of untrained methods, of the paper's method
    and of all methods that the claims name.
    """
    texts = TEXTS["papers"].get(paper, {})
    claims = [claim for claim in load_claims() if claim.paper == paper]
    decided = verdicts(records, claims)
    decided = decided[decided["verdict"] != NOT_RUN]
    frame = _relevant(identified(to_frame(records)), paper, claims, set(decided["protocol"]))
    parts = [_head(paper, frame, texts.get("about", ""))]
    for task, rows in frame.groupby("protocol", sort=False):
        parts.append(f"## {task}\n{texts.get('tasks', {}).get(task) or _from_card(rows)}.\n")
        digests = _other_settings(rows)
        for heading, part_verdicts, part in _parts(decided[decided["protocol"] == task], rows):
            parts += [f"### {heading}\n"] * bool(heading)
            parts += [_verdicts(part_verdicts, digests), _means(part, paper, digests)]
            gains = texts.get("gains")
            if gains and {gains["method"], gains["start"]} <= set(part["method"]):
                parts.append(_gains_by_direction(part, **gains))
    return "\n".join(parts)


def _relevant(frame: pd.DataFrame, paper: str, claims: Sequence[Claim], tasks: set[str]) -> pd.DataFrame:
    """The rows of the methods on the page, in the metrics that decide the claims and that the paper's method has."""
    of_paper = frame["method"].map(lambda name: belongs_to(name, paper)).astype(bool)
    named = frame["method"].isin({name for claim in claims for name in claim.methods} | _further(paper))
    shown = named | of_paper | (frame["selection_rule"] == NOTHING_SELECTED)
    frame = frame[shown & frame["metric"].isin(frame["metric"][of_paper])]
    decisive = {(task, *_kind_and_convention(as_in_card(claim.metrics, task)[0])) for task in tasks for claim in claims}
    metrics = map(Metric.parse, frame["metric"])
    kinds = [(task, *_kind_and_convention(metric)) for task, metric in zip(frame["protocol"], metrics)]
    return frame[[kind in decisive for kind in kinds]]


def _further(paper: str) -> set[str]:
    """Methods, with their variants, that a paper compares with and that have a separate table on the page."""
    names = TEXTS["papers"].get(paper, {}).get("further", ())
    return {name for method in names for name in (method, *METHODS[method].variants)}


def _kind_and_convention(metric: Metric) -> tuple[str, str]:
    return metric.kind, metric.convention


def _head(paper: str, frame: pd.DataFrame, about: str) -> str:
    dates, commits, encoders = (", ".join(sorted(set(frame[n]))) for n in ("date", "measuring_commit", "encoder"))
    notes = "".join(f"\n\n{note}" for method, note in TEXTS["notes"].items() if method in set(frame["method"]))
    return HEAD.format(
        method=own_method(paper),
        dates=dates,
        commits=commits,
        encoders=encoders,
        seeds=", ".join(map(str, sorted(set(frame["seed"])))),
        notes=notes,
        about=about,
    )


def _from_card(rows: pd.DataFrame) -> str:
    """The description of a task in its dataset's card."""
    task, dataset = rows[["protocol", "dataset"]].iloc[0]
    spec = protocol_spec(task)
    if spec is None:
        return task
    return f"{'drawn world: ' if drawn_title(dataset) else ''}{spec.about.strip().rstrip('.')}"


def _other_settings(frame: pd.DataFrame) -> dict[str, str]:
    """{digest: what differs from the method's first setting}, for the further settings of a task's trained methods."""
    words = differing_by_method(frame[frame["selection_rule"] != NOTHING_SELECTED])
    return {digest: text for texts in words.values() for digest, text in [*texts.items()][1:]}


def _parts(decided: pd.DataFrame, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """(heading, verdicts, records) for each set of images and selection rule; no heading if there is one of each."""
    for images, part in rows.groupby("image_set", sort=False):
        seeds = ", ".join(map(str, sorted(part["seed"].unique())))
        for rule, *tables in _by_rule(decided[decided["image_set"] == images], part):
            heading = [f"Images {images}: seed {seeds}"] * bool(images) + [f"Selection rule: {rule}"] * bool(rule)
            yield ". ".join(heading), *tables


def _by_rule(decided: pd.DataFrame, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """(rule, verdicts, records) for each selection rule if a method has several; otherwise all, with an empty rule."""
    if rows.groupby("method")["selection_rule"].nunique().max() < 2:
        yield "", decided, rows
        return
    trained = [rule for rule in SELECTION_RULES if rule != NOTHING_SELECTED and rule in set(rows["selection_rule"])]
    for rule in trained:
        yield rule, *(table[table["selection_rule"].isin([rule, NOTHING_SELECTED])] for table in (decided, rows))


# ---- tables ---------------------------------------------------------------------------------------------------


def _verdicts(decided: pd.DataFrame, other_settings: Mapping[str, str]) -> str:
    rows = []
    for row in decided.itertuples():
        settings = [other_settings[digest] for digest in row.settings.split(", ") if digest in other_settings]
        tolerance = f" Here at most {row.tolerance:g} points below." if row.tolerance else ""
        claim, difference = f"{row.says}{tolerance} ({row.where})", f"{row.difference:+.2f} ({each_seed(row)})"
        rows.append([claim, row.verdict, difference, interval(row), held(row), ", ".join([row.measure, *settings])])
    head = (
        "claim", "verdict", "difference, mean (each seed)", "95 % interval over classes", "directions that hold",
        "measure",
    )  # fmt: skip
    return markdown(head, rows)


def _means(frame: pd.DataFrame, paper: str, other_settings: Mapping[str, str]) -> str:
    """A table of the paper's own methods and its baselines; then one of further methods that it compares with.

    The further methods were run in other directions than the paper's own.
    """
    names = TEXTS["papers"].get(paper, {}).get("further", ())
    further = frame["method"].isin(_further(paper))
    parts = [_means_table(frame[~further], paper, other_settings)]
    if further.any():
        compared = further | (frame["method"] == own_method(paper)) | (frame["selection_rule"] == NOTHING_SELECTED)
        present = " and ".join(name for name in names if name in set(frame["method"]))
        parts.append(f"\nBeside {present}, in the directions that all were run in:\n\n")
        parts.append(_means_table(frame[compared], paper, other_settings))
    return "".join(parts)


def _means_table(frame: pd.DataFrame, paper: str, other_settings: Mapping[str, str]) -> str:
    """Mean ± standard deviation over seeds for each method, over the directions in which all trained methods were run.

    A method that was run in more directions has a second row, with the mean over all directions in which it was run.
    The name of a method that was run in fewer directions states in how many.
    """
    kinds = [Metric.parse(metric).kind for metric in frame["metric"]]
    frame = frame.assign(quantity=list(zip(kinds, *(frame[name] for name in DIRECTION))), kind=kinds)
    of_paper = set(frame["quantity"][[belongs_to(name, paper) for name in frame["method"]]])
    frame = frame[[quantity in of_paper or not of_paper for quantity in frame["quantity"]]]
    main, further = _by_setting(frame, other_settings)
    frame = pd.concat([_in_shared_directions(main), further])
    cell = ["method", "metric", *DIRECTION, "train_set"]
    same = frame.groupby(cell, dropna=False)["value"].transform("nunique") == 1
    seedless = same.groupby(frame["method"]).transform("all")
    frame = frame[~(seedless & frame.duplicated(cell))]
    frame = frame.assign(value=100 * frame["value"])  # in percent
    measures = list(dict.fromkeys(frame["metric"]))
    rows = []
    for method, part in frame.groupby("method", sort=False):
        table = means(part, by="metric")
        cells = dict(zip(table.index, map(plus_minus, table["mean"], table["spread"])))
        name = labelled(method, part["data_at_test_time"].iloc[0])
        rows.append([name, *(cells.get(metric, "") for metric in measures), _training(part)])
    head = "Mean over directions, ± standard deviation over seeds, in percent:\n\n"
    return head + markdown(["method", *measures, "steps"], rows)


def _by_setting(frame: pd.DataFrame, other_settings: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rows of each method's first setting, rows of its further settings); two settings are never averaged.

    In the second frame, what differs from the first setting is added to the method's name.
    """
    cell = ["method", "metric", *DIRECTION, "seed"]
    several = set(frame[frame.duplicated(cell, keep=False) & (frame["selection_rule"] != NOTHING_SELECTED)]["method"])
    first_digest = frame.drop_duplicates("method").set_index("method")["settings_digest"]
    other = frame["method"].isin(several) & (frame["settings_digest"] != frame["method"].map(first_digest))
    rows = frame[other]
    named = rows["method"] + ", " + rows["settings_digest"].map(other_settings)
    count = rows.groupby(named)["quantity"].transform(lambda quantities: len({quantity[1:] for quantity in quantities}))
    return frame[~other], rows.assign(method=[f"{name}, {n} directions" for name, n in zip(named, count)])


def _in_shared_directions(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows in directions that all trained methods share; then all rows of each method with more directions."""
    trained = frame[frame["selection_rule"] != NOTHING_SELECTED]
    shared = {
        kind: set.intersection(*rows.groupby("method")["quantity"].agg(set)) for kind, rows in trained.groupby("kind")
    }
    inside = np.array([quantity in shared.get(quantity[0], {quantity}) for quantity in frame["quantity"]], bool)
    wider = [
        (name, rows) for name, rows in frame.groupby("method", sort=False) if not inside[frame["method"] == name].all()
    ]
    named = [rows.assign(method=f"{name}, all {rows['quantity'].nunique()} directions") for name, rows in wider]
    return pd.concat([_partial_named(frame[inside]), *named])


def _partial_named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame; the number of directions is added to the name of a method without numbers in some of them."""
    counts = frame.groupby(["method", "metric"])["quantity"].nunique()
    most = counts.groupby("metric").transform("max")
    names = {name: f"{name}, {counts[name, metric]} of {most[name, metric]} directions"
             for name, metric in counts.index[counts < most]}  # fmt: skip
    return frame.assign(method=frame["method"].replace(names))


def _training(rows: pd.DataFrame) -> str:
    """The least and most steps up to the reported states, and the largest relative change of each parameter group."""
    counts, moved = range_text(rows["steps"]), {}
    for fractions in rows["moved"]:
        for group, fraction in (fractions or {}).items():
            moved[group] = max(moved.get(group, 0.0), 100 * fraction)
    texts = {group: f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}" for group, percent in moved.items()}
    groups = ", ".join(f"{group} {text} %" for group, text in texts.items() if moved[group])
    return f"{counts}; moved: at most {groups}" if counts and groups else counts


def _gains_by_direction(rows: pd.DataFrame, method: str, start: str, baselines: Sequence[str], remark: str) -> str:
    """A method's precision by direction, hardest first, compared with `start` and with the best baseline."""
    metrics = [metric for metric in map(Metric.parse, rows["metric"].unique()) if metric.convention == "ucdir_micro"]
    metric = min((metric for metric in metrics if (metric.k or 0) >= 10), key=lambda metric: metric.k or 0)
    rows = rows[rows["metric"] == str(metric)].assign(percent=100 * rows["value"])
    require_alike(rows, by="method")
    table = rows.pivot_table(index=list(DIRECTION), columns="method", values="percent")
    best = table.reindex(columns=baselines).max(axis=1)
    lines = []
    for pair, row in table.sort_values(start).iterrows():
        gain = row[method] - best[pair]
        numbers = f"{row[start]:.1f}", f"{row[method]:.1f}", f"{row[method] - row[start]:+.1f}"
        names = (display_domain(domain, rows["dataset"].iloc[0]) for domain in pair)
        lines.append([" → ".join(names), *numbers, "" if np.isnan(gain) else f"{gain:+.1f}"])
    head = f"Where the gain is, {metric}, mean over seeds; hardest for the {start} first. {remark}\n\n"
    return head + markdown(["direction", start, method, "over the start", "over the best baseline"], lines)


# ---- the command ----------------------------------------------------------------------------------------------


def papers_run(records: Sequence[Record]) -> list[str]:
    """Papers whose method has records, and for which at least one claim has a verdict."""
    methods, decided = {record.method for record in records}, verdicts(records)
    run = set(decided[decided["verdict"] != NOT_RUN]["paper"])
    return [paper for paper in papers() if paper in run and any(belongs_to(name, paper) for name in methods)]


def main(paper: Annotated[str, typer.Argument(help="A paper, such as clair; default: all.")] = "") -> None:
    """Write docs/results/PAPER.md for one paper, or for all papers with records."""
    records = reproduced_records()
    available = papers_run(records)
    if paper and paper not in available:
        raise typer.BadParameter(f"{paper}: no claim can be decided; papers with records: {', '.join(available)}")
    for name in [paper] if paper else available:
        with atomic_write(ROOT / "docs" / "results" / f"{name}.md") as path:
            path.write_text(claims_page(name, records), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
