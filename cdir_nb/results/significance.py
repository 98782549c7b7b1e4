"""Paired differences between two methods, with bootstrap intervals over classes and over queries.

An interval over seeds says how much a training varies. It says nothing about other classes: with 21 unseen classes, a
difference of two points may come from two of them. So both methods are compared query by query, and classes (or
queries) are resampled with replacement. The methods share the drawn classes, in every direction and for every seed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import NamedTuple

import numpy as np

from cdir_nb.conventions import NOTHING_SELECTED
from cdir_nb.errors import CdirError
from cdir_nb.results.queries import QueryValues
from cdir_nb.results.records import SAME, TASK, Record, same_images

DRAWS = 2000
LEVEL = 0.95
Direction = tuple[str, str]
Seed = int | None  # None: a method without training
Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """`a` minus `b` in one metric, in percentage points: mean over directions of the mean over seeds and queries.

    by_classes, by_queries  95 % percentile bootstrap intervals of `points`
    wins, ties, losses      numbers of queries, over all directions, whose value (mean over seeds) is higher, equal or
                            lower
    by_seed                 {seed: points}; empty if neither method has seeds
    selection_rule          selection rule of the trained methods
    directions, queries, classes  numbers of directions, queries and classes in the comparison
    """

    a: str
    b: str
    encoder: str
    metric: str
    selection_rule: str
    points: float
    by_classes: Interval
    by_queries: Interval
    wins: int
    ties: int
    losses: int
    by_seed: Mapping[int, float]
    directions: int
    queries: int
    classes: int

    def __str__(self) -> str:
        low, high = self.by_classes
        unclear = "" if low > 0 or high < 0 else "; cannot be told from zero"
        lines = [
            f"{self.a} minus {self.b}: {self.points:+.2f} points{unclear}",
            f"  {self.metric}, {self.encoder}, {self.selection_rule}",
            f"  95 % interval over {self.classes} classes: {low:+.2f} to {high:+.2f}",
            f"  95 % interval over queries: {self.by_queries[0]:+.2f} to {self.by_queries[1]:+.2f}",
            f"  queries: {self.wins} won, {self.ties} tied, {self.losses} lost; directions: {self.directions}",
        ]
        if self.by_seed:
            seeds = ", ".join(f"{points:+.2f} (seed {seed})" for seed, points in self.by_seed.items())
            spread = (
                f"; standard deviation {np.std([*self.by_seed.values()], ddof=1):.2f}" if len(self.by_seed) > 1 else ""
            )
            lines.append(f"  by seed: {seeds}{spread}")
        return "\n".join(lines)


def compare(
    a: Sequence[Record], b: Sequence[Record], metric: str | None = None, *, draws: int = DRAWS, seed: int = 0
) -> Comparison:
    """Compare two methods query by query.

    a, b    the records of one setting each, with the values of their queries, such as from `measure`; several seeds are
            allowed. A method without training is compared with every seed of the other
    metric  such as "P@10:hits_over_k"; None: the first metric of `a` with values in both
    draws   bootstrap samples; `seed` makes them reproducible

    Only directions and seeds that both have are compared. Queries whose value is undefined in one of them are left out.
    Raises CdirError if the records are of several settings, on different images, or without values of queries.
    """
    pairs = _paired(a, b, metric or _common_metric(a, b))
    values, directions = pairs.values, pairs.directions
    differences = np.concatenate(values)
    # Directions with the same queries share the drawn queries.
    queries = [[f"{d[0]} {row}" for row in np.flatnonzero(pairs.defined[d])] for d in directions]
    seeds = {
        name: _points([gap[d][pairs.defined[d]] for d in directions])
        for name, gap in pairs.gaps.items()
        if name is not None
    }
    return Comparison(
        a=a[0].method,
        b=b[0].method,
        encoder=a[0].encoder,
        metric=pairs.metric,
        selection_rule=min((r.selection_rule for r in (a[0], b[0])), key=NOTHING_SELECTED.__eq__),
        points=_points(values),
        by_classes=bootstrap(values, pairs.classes, draws, seed),
        by_queries=bootstrap(values, queries, draws, seed),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        by_seed=seeds,
        directions=len(directions),
        queries=len(differences),
        classes=len(set(np.concatenate(pairs.classes))),
    )


def comparisons(
    records: Sequence[Record], a: str, b: str, *, task: str, metric: str | None = None, rule: str = ""
) -> list[Comparison]:
    """Compare two methods on a task: one comparison for each encoder, settings, selection rule and metric.

    Trained methods are compared under the same selection rule. Raises CdirError if a method has no values of single
    queries on the task, or if the two have nothing in common; the message lists what is available.
    """
    a_settings, b_settings = (_settings_of(records, name, task, metric, rule) for name in (a, b))
    compared = [
        compare(left_records, right_records)
        for (left, left_records), (right, right_records) in product(a_settings.items(), b_settings.items())
        if left.metric == right.metric and left.encoder == right.encoder
        and (left.rule == right.rule or NOTHING_SELECTED in (left.rule, right.rule))
    ]  # fmt: skip
    if not compared:
        raise CdirError(
            f"{a} and {b}, {task}: no common encoder, metric and selection rule: measure both alike, and give the runs"
        )
    return compared


class _Key(NamedTuple):
    encoder: str
    metric: str
    rule: str
    settings: str


def _settings_of(
    records: Iterable[Record], method: str, task: str, metric: str | None, rule: str
) -> dict[_Key, list[Record]]:
    """A method's records with values of single queries, by setting and metric. Raises CdirError if there are none."""
    stored = [record for record in records if record.protocol == task and record.queries]
    groups: dict[_Key, list[Record]] = {}
    for record in stored:
        has_rule = not rule or record.selection_rule in (rule, NOTHING_SELECTED)
        if record.method == method and metric in (None, record.metric) and has_rule:
            key = _Key(record.encoder, record.metric, record.selection_rule, record.settings_digest)
            groups.setdefault(key, []).append(record)
    if not groups:
        known = ", ".join(sorted({record.method for record in stored})) or "no method"
        raise CdirError(
            f"{method}, {task}: no values of single queries (only of {known}): measure it, and give its run"
        )
    return groups


def class_interval(a: Sequence[Record], b: Sequence[Record], metric: str) -> Interval:
    """`by_classes` of `compare`, without the intervals over queries, which take longer."""
    pairs = _paired(a, b, metric)
    return bootstrap(pairs.values, pairs.classes)


def bootstrap(
    values: Sequence[np.ndarray], groups: Sequence[Sequence | np.ndarray], draws: int = DRAWS, seed: int = 0
) -> Interval:
    """95 % percentile interval, in points, of the mean over directions; see `interval_over_directions`."""
    from cdir_nb.retrieval.metrics import interval_over_directions

    low, high = interval_over_directions(values, groups, draws, level=LEVEL, seed=seed)
    return 100 * low, 100 * high


@dataclass(frozen=True)
class Paired:
    """Differences of queries in the directions and seeds that two methods have in common.

    gaps     {seed: {direction: (Q,) differences; NaN where one is undefined}}
    defined  {direction: (Q,) whether the difference of a query is defined for every seed}
    values   one array per direction: mean over seeds, for the defined queries; `classes`: their classes
    """

    metric: str
    directions: list[Direction]
    gaps: dict[Seed, dict[Direction, np.ndarray]]
    defined: dict[Direction, np.ndarray]
    values: list[np.ndarray]
    classes: list[np.ndarray]


def _paired(a: Sequence[Record], b: Sequence[Record], metric: str) -> Paired:
    a_runs, b_runs = _by_run(a, metric), _by_run(b, metric)
    seeds = _paired_seeds(a_runs, b_runs)
    directions = sorted(set.intersection(*({*a_runs[left]} & {*b_runs[right]} for _, left, right in seeds)))
    if not directions:
        raise CdirError(f"{a[0].method} and {b[0].method} have no direction in common: measure both on one task")
    gaps = {seed: {d: _gap(a_runs[left][d], b_runs[right][d]) for d in directions} for seed, left, right in seeds}
    means = {d: np.mean([gap[d] for gap in gaps.values()], axis=0) for d in directions}
    defined = {d: ~np.isnan(means[d]) for d in directions}
    if not all(mask.any() for mask in defined.values()):
        raise CdirError(f"{metric}: in some direction, no query has a value in both: check labels and convention")
    labels = {d: _queries(a_runs[seeds[0][1]][d]).labels for d in directions}
    values, classes = ([column[d][defined[d]] for d in directions] for column in (means, labels))
    return Paired(metric, directions, gaps, defined, values, classes)


def _points(values: Iterable[np.ndarray]) -> float:
    return 100 * float(np.mean([np.nanmean(part) for part in values]))


def _queries(record: Record) -> QueryValues:
    assert record.queries is not None, "_by_run chooses records with values of queries"
    return record.queries


def _gap(left: Record, right: Record) -> np.ndarray:
    """The difference of every query. Raises CdirError if the queries or the galleries differ."""
    a, b = _queries(left), _queries(right)
    same_queries = len(a.labels) == len(b.labels) and (a.labels == b.labels).all()
    if not same_queries or not same_images(left, right):
        direction = f"{left.query_domain} -> {left.gallery_domain}"
        raise CdirError(
            f"{left.method} and {right.method}, {direction}: measured on different images: use the same images for both"
        )
    return a.values - b.values


def _common_metric(a: Sequence[Record], b: Sequence[Record]) -> str:
    metrics = {record.metric for record in b if record.queries}
    metric = next((record.metric for record in a if record.queries and record.metric in metrics), None)
    if metric is None:
        names = " and ".join(dict.fromkeys(records[0].method for records in (a, b) if records))
        raise CdirError(f"{names or 'no record'}: no values of single queries in a common metric: measure both again")
    return metric


def _by_run(records: Sequence[Record], metric: str) -> dict[Seed, dict[Direction, Record]]:
    """`by_run` of the records of one metric that have the values of their queries. Raises CdirError if none has."""
    records = [record for record in records if record.metric == metric and record.queries]
    if not records:
        raise CdirError(f"no values of single queries in {metric}: measure both methods again")
    return by_run(records)


def by_run(records: Sequence[Record]) -> dict[Seed, dict[Direction, Record]]:
    """{seed: {direction: record}} of one metric; the seed of a method without training is None.

    Raises CdirError for records of several settings, and for two values of one direction.
    """
    for name in (*TASK, "method", "settings_digest", "selection_rule"):
        if len(values := list(dict.fromkeys(getattr(record, name) for record in records))) > 1:
            raise CdirError(f"{records[0].method}: several values of {name} ({', '.join(values)}): select one of them")
    runs: dict[Seed, dict[Direction, Record]] = {}
    for record in records:
        seed = None if record.selection_rule == NOTHING_SELECTED else record.seed
        direction = record.query_domain, record.gallery_domain
        known = runs.setdefault(seed, {}).setdefault(direction, record)
        if abs(known.value - record.value) > SAME:
            raise CdirError(f"{record.method}, {' -> '.join(direction)}: two values of one setting: select one of them")
    return runs


def seed_differences(a: Sequence[Record], b: Sequence[Record]) -> dict[Seed, float]:
    """{seed: `a` minus `b` in points, mean over the directions that both have}, of records of one metric."""
    a_runs, b_runs = by_run(a), by_run(b)
    points = {}
    for seed, left, right in _paired_seeds(a_runs, b_runs):
        common = a_runs[left].keys() & b_runs[right].keys()
        points[seed] = 100 * fmean(a_runs[left][d].value - b_runs[right][d].value for d in common)
    return points


def _paired_seeds(a_runs: Mapping[Seed, object], b_runs: Mapping[Seed, object]) -> list[tuple[Seed, Seed, Seed]]:
    """(seed, seed of a, seed of b) for each seed that both have.

    A method without training (seed None) is paired with every seed of the other.
    """
    if not (seeds := common_seeds((a_runs, b_runs))):
        raise CdirError("the two methods have no seed in common: measure both with the same seeds")
    return [(seed, None if None in a_runs else seed, None if None in b_runs else seed) for seed in seeds]


def common_seeds(runs: Iterable[Iterable[Seed]]) -> list[Seed]:
    """The seeds that all methods with seeds have in common; [None] if no method has seeds.

    runs  the seeds of each method; [None] for a method without training
    """
    seeded = [seeds for seeds in map(set, runs) if None not in seeds]
    return sorted(set.intersection(*seeded)) if seeded else [None]  # pyright: ignore[reportArgumentType]
