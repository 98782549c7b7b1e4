"""Verdicts on the papers' claims, computed from numbers. No verdict is written by hand.

Records and published numbers have the same fields and are decided by the same rule.
"""

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product, repeat
from math import nan
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cdir_nb.conventions import NOTHING_SELECTED, Metric
from cdir_nb.data.protocols import protocol_directions, protocol_spec
from cdir_nb.errors import CdirError
from cdir_nb.results.alike import identified, is_constant
from cdir_nb.results.claims.claim import Claim, load_claims
from cdir_nb.results.published import published_frame
from cdir_nb.results.records import BASELINE, SAME, TASK, Record, is_baseline, to_frame
from cdir_nb.results.significance import Interval, class_interval, common_seeds

if TYPE_CHECKING:
    import pandas as pd

HOLDS, MIXED, FAILS, NOT_RUN, NOT_PRINTED = "holds", "mixed", "does not hold", "not run", "not printed"
UNCLEAR = "cannot be told from zero"  # the interval over classes includes zero
NO_INTERVAL = "holds, no interval"  # for every seed, but the values of single queries are not stored
IN_PART = "directions missing"  # a claim about each direction, but only some directions were run
# Shown with the verdict's colour, so that colour is never the only cue.
SIGNS = {HOLDS: "✓", NO_INTERVAL: "✓", MIXED: "~", UNCLEAR: "≈", FAILS: "✗"}
OVERALL = ("", "")  # stands for a direction if a paper prints only an average over all directions
CONTEXT = (*TASK, "image_set")
Points = dict[tuple[str, str], float]  # percent, or a difference in points, by (query domain, gallery domain)
Context = tuple[str, str, str, str]  # dataset, protocol, encoder, set of images
Table = dict[tuple[str, str], list[Any]]  # records, or rows of a frame as named tuples, by (method, metric)
ABOUT = ["id", "paper", "where", "says", "better", "worse", "over", "tolerance"]
MEASURED = [
    "seeds", "differences", "difference", "low", "high", "above", "directions", "claimed", "tightest", "selection_rule",
    "settings", "verdict",
]  # fmt: skip


def verdicts(records: Iterable[Record], claims: Sequence[Claim] | None = None) -> "pd.DataFrame":
    """Verdicts on each claim from our records: one row for each claim, dataset, protocol, encoder and set of images.

    records  any records; pipeline tests (random weights), records on images of the encoder's pretraining, methods that
             are wrongly called vanilla CLIP, and retrieval within one domain are ignored
    claims   None: all of claims.yaml

    Only numbers with the same metric, dataset, protocol, encoder and images are compared, direction by direction and
    seed by seed. A metric in which every ranking scores the same decides nothing. A method without training ("nothing
    selected") has no seed and is compared with every seed; a seed is left out if it lacks directions that another seed
    has. If a method has several settings or selection rules, each combination has its own row; trained methods are
    compared only under the same selection rule.

    Columns: the claim's id, paper, where, says, better, worse, over, tolerance; dataset, protocol, encoder; image_set
    (its number; empty unless the task was measured on several sets of images); measure (the metric), seeds (tuple,
    empty without training); differences (points, one per seed) and their mean `difference`,
    low and high (its interval over classes in points; NaN if the values of single queries are not stored), above
    (number of directions in which the claim holds, one per seed), directions (number compared), all for the pair with
    the smallest margin if there are several; selection_rule, settings (digests); and the verdict.

    The verdict on a claim about the mean:

    "holds"                     for every seed, and the interval is above zero (or above minus the claim's tolerance)
    "holds, no interval"        for every seed; no interval can be computed
    "mixed"                     for some seeds; the interval, if there is one, does not include zero
    "does not hold"             for no seed; the interval, if there is one, is below zero
    "cannot be told from zero"  the interval includes zero

    If a claim has several pairs of methods, these conditions apply to all of them: the interval of every pair must be
    above zero, and a claim with a pair whose interval is below zero is "mixed" or "does not hold". A claim about each
    direction, or about falling precision, has no interval: it holds, is mixed or does not hold, or has "directions
    missing" if it was run in only some of its `claimed` directions. A claim without numbers is "not run".
    """
    claims = load_claims() if claims is None else claims
    usable = (record for record in records if not (record.pipeline_test or record.seen_in_pretraining))
    across = (record for record in usable if record.query_domain != record.gallery_domain)
    numbers = [record for record in across if record.method != BASELINE or is_baseline(record)]
    grouped = by_context(numbers, identified(to_frame(numbers))["image_set"])
    contexts = {context: _without_constants(table) for context, table in grouped.items()}
    contexts, rows = with_counterparts(contexts) or {("",) * len(CONTEXT): {}}, []
    for claim, (context, table) in product(claims, contexts.items()):
        decided = _decided_on_records(claim, table, context[1]) or [{"verdict": NOT_RUN}]
        rows += [{**_described(claim), **dict(zip(CONTEXT, context)), **row} for row in decided]
    return _verdict_table(rows, CONTEXT)


def published_verdicts(claims: Sequence[Claim] | None = None) -> "pd.DataFrame":
    """Verdicts on the same claims from the papers' printed numbers: one row for each claim, dataset and backbone.

    If a paper prints only averages, claims about the mean are decided by them (`directions` is then 0). The verdict is
    "not printed" for other claims of such a paper, and for claims without printed numbers. Numbers are compared in the
    paper's own metric, convention and cut-off. Columns are those of `verdicts`, with `backbone` instead of `encoder`.
    """
    columns, rows = ("dataset", "protocol", "backbone"), []
    numbers = list(published_frame().dropna(subset="value").astype(object).itertuples(index=False))
    for claim in load_claims() if claims is None else claims:
        decided = []
        for context, table in by_context(_printed(claim, numbers)).items():
            chain, table = _as_chain(claim, table)
            for metric in dict.fromkeys(metric for _, metric in table):
                decided += [{**dict(zip(columns, context)), **row} for row in _decided(chain, table, metric)]
        rows += [{**_described(claim), **row} for row in decided or [{"verdict": NOT_PRINTED}]]
    return _verdict_table(rows, columns)


def by_context(rows: Iterable[Any], image_sets: Iterable[str] = repeat("")) -> dict[Context, Table]:
    """Group rows by dataset, protocol, encoder and set of images, and within these by method and metric.

    rows        records, or rows of a frame as named tuples
    image_sets  the number of the set of images of each row, as in `identified`; empty: there is one
    """
    contexts: dict[Context, Table] = {}
    for row, images in zip(rows, image_sets):
        table = contexts.setdefault((row.dataset, row.protocol, row.encoder, images), {})
        table.setdefault((row.method, row.metric), []).append(row)
    return contexts


def _without_constants(table: Table) -> Table:
    """The table without metrics in which every ranking scores the same."""
    return {
        (method, metric): rows
        for (method, metric), rows in table.items()
        if not is_constant(Metric.parse(metric), (row.gallery_images for row in rows))
    }


def _described(claim: Claim) -> dict[str, Any]:
    """The columns that describe the claim."""
    better, worse = claim.better or (claim.falling,), claim.worse
    if claim.chain:
        better, worse = claim.chain[1:], claim.chain[:-1]
    texts = {"better": ", ".join(better), "worse": ", ".join(worse), "measure": claim.metric[0]}
    return {**{name: getattr(claim, name) for name in ABOUT}, **texts}


def _verdict_table(rows: list[dict[str, Any]], context: Sequence[str]) -> "pd.DataFrame":
    """A table with the columns of the claim, of its context and of the verdict; each column has one type."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=[*ABOUT, *context, "measure", *MEASURED])
    texts = [*context, "tightest", "selection_rule", "settings"]
    table[texts] = table[texts].astype(object).fillna("")
    for name in ("seeds", "differences", "above"):
        table[name] = [value if isinstance(value, tuple) else () for value in table[name]]
    return table.astype({"directions": "Int64", "claimed": "Int64", "difference": float, "low": float, "high": float})


# ---- the rows that a claim is decided on -----------------------------------------------------------------------


def with_counterparts(contexts: dict[Context, Table]) -> dict[Context, Table]:
    """Copy the rows of harder tasks into the contexts of their easier counterparts.

    A claim that compares a method on two tasks can then be decided like any other: numbers of SnMpNet on
    `x-ucdr-sketch-mixed` are copied to `x-ucdr-sketch` as "SnMpNet, mixed gallery", and numbers on `x-ucdr-sketch` to
    `x-uccdr-sketch` as "SnMpNet, unseen domain". Two tasks of a dataset are counterparts if their cards differ only in
    this respect and their queries are the same images.
    """
    result = {context: dict(table) for context, table in contexts.items()}
    for (dataset, hard, encoder, _), table in contexts.items():
        for context, easy in contexts.items():
            change = _harder(hard, context[1]) if (context[0], context[2]) == (dataset, encoder) else ""
            if change and _same_queries(table, easy):
                copies = {(f"{method}, {change}", metric): rows for (method, metric), rows in table.items()}
                result[context].update(copies)
    return result


def _same_queries(*tables: Table) -> bool:
    """Whether no query domain has other images in one table than in the other; unknown images count as the same."""
    left, right = (
        {row.query_domain: row.query_fingerprint for rows in table.values() for row in rows if row.query_fingerprint}
        for table in tables
    )
    return all(right.get(domain, fingerprint) == fingerprint for domain, fingerprint in left.items())


def _harder(hard_task: str, easy_task: str) -> str:
    """What makes one task harder than another that is otherwise the same; empty if they differ in anything else."""
    hard, easy = protocol_spec(hard_task), protocol_spec(easy_task)
    if hard is None or easy is None:
        return ""

    def same_but(*names: str) -> bool:
        texts = {"about", "paper", "metrics"}
        return hard.model_dump(exclude={*texts, *names}) == easy.model_dump(exclude={*texts, *names})

    def class_sets(gallery: str | Mapping[str, float]) -> set[str]:
        return {gallery} if isinstance(gallery, str) else set(gallery)

    if class_sets(hard.gallery) > class_sets(easy.gallery) and same_but("gallery"):
        return "mixed gallery"
    if hard.unseen_domain and not easy.unseen_domain and same_but("unseen_domain", "train_domains"):
        return "unseen domain"
    return ""


def _as_chain(claim: Claim, table: Table) -> tuple[Claim, Table]:
    """A claim that a method's precision falls with the cut-off, as a chain of the cut-offs that were measured.

    Each cut-off becomes a method, such as "UCDIR at 15", measured at the smallest cut-off. With fewer than two cut-offs
    the table is empty. Other claims are returned as they are.
    """
    if not claim.falling:
        return claim, table
    metrics = [metric for metric in claim.metrics if (claim.falling, str(metric)) in table]
    if len(metrics) < 2:
        return claim, {}
    metrics = sorted(metrics, key=lambda metric: -(metric.k or 0))
    names, smallest = tuple(f"{claim.falling} at {metric.k}" for metric in metrics), str(metrics[-1])
    chain = claim.model_copy(update={"falling": "", "chain": names, "metric": (smallest,)})
    return chain, {(name, smallest): table[claim.falling, str(metric)] for name, metric in zip(names, metrics)}


def _printed(claim: Claim, numbers: Sequence[Any]) -> list[Any]:
    """The printed numbers that a claim is about; for each method, from the first of the claim's tables that lists it.

    numbers  rows of `published_frame`
    Of the averages, only those over all directions are included. `encoder` names all printed backbones together, since
    the paper compares them, unless a method has several.
    """
    methods, kind = claim.methods, claim.metrics[0].kind
    rows = [row for row in numbers if row.paper == claim.paper and row.table in claim.tables and row.method in methods]
    rows = [row for row in rows if Metric.parse(row.metric).kind == kind]
    backbones = {(row.method, row.dataset, row.encoder) for row in rows}
    if len(backbones) == len({names[:2] for names in backbones}):
        joint = ", ".join(dict.fromkeys(row.encoder for row in rows if row.encoder))
        rows = [row._replace(encoder=joint) for row in rows]

    numbers_of = operator.attrgetter(*TASK, "metric", "method")
    tables = {}
    for row in sorted(rows, key=lambda row: claim.tables.index(row.table)):
        tables.setdefault(numbers_of(row), row.table)
    unique = {}
    for row in rows:
        direction = row.query_domain, row.gallery_domain
        if row.table == tables[numbers_of(row)] and (not row.average or direction == OVERALL):
            unique.setdefault((*numbers_of(row), direction), row)
    return list(unique.values())


def _decided_on_records(claim: Claim, table: Table, protocol: str) -> list[dict[str, Any]]:
    """Rows for one claim and context, with the first metric that gives any; no rows if it was not run."""
    with_interval = claim.over == "mean" and not claim.falling
    claim, table = _as_chain(claim, table)
    if claim.protocol not in protocol or not set(claim.methods) <= {method for method, _ in table}:
        return []
    claimed = claimed_directions(claim, protocol) if claim.over == "each direction" else set()
    metrics = map(str, as_in_card(claim.metrics, protocol))
    decided = (_decided(claim, table, metric, claimed, with_interval=with_interval) for metric in metrics)
    return next(filter(None, decided), [])


def claimed_directions(claim: Claim, protocol: str) -> set[tuple[str, str]]:
    """The directions needed for a verdict on a claim about each direction.

    These are the protocol's directions that are printed in the claim's tables, or in the paper if the claim names no
    tables. This includes the drawn world, which has DomainNet's domain names. If the tables lack a domain of the
    protocol, all directions of the protocol are needed. The set is empty for a protocol without a card; the directions
    that were run then decide.
    """
    directions = {direction for direction in protocol_directions(protocol) if claim.query in ("", direction[0])}
    printed = _printed_directions(claim.paper, tuple(claim.tables))
    same_domains = {d for pair in directions for d in pair} <= {d for pair in printed for d in pair}
    return directions & printed if same_domains else directions


@functools.lru_cache
def _printed_directions(paper: str, tables: tuple[str, ...]) -> set[tuple[str, str]]:
    """The directions in the given tables of a paper; without tables, those in any of its tables."""
    cells = published_frame(paper)
    cells = cells[cells["table"].isin(tables)] if tables else cells
    return set(zip(cells["query_domain"], cells["gallery_domain"]))


@functools.lru_cache
def as_in_card(metrics: tuple[Metric, ...], protocol: str) -> list[Metric]:
    """Sort metrics of one kind: the convention and cut-off of the first such metric in the protocol's card come first.

    Metrics of one convention stay together; otherwise the order does not change.
    """
    spec, conventions = protocol_spec(protocol), [metric.convention for metric in metrics]
    first = next((entry for entry in spec.metrics if entry.kind == metrics[0].kind), None) if spec else None
    if first is None:
        return sorted(metrics, key=lambda metric: conventions.index(metric.convention))
    return sorted(
        metrics, key=lambda m: (m.convention != first.convention, conventions.index(m.convention), m.k != first.k)
    )


# ---- one rule for all numbers ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """The numbers of a method in one setting. `by_seed`: {seed, or None without training: percent by direction}."""

    digest: str
    rule: str
    by_seed: dict[int | None, Points]
    rows: Sequence[Any] = ()


def _decided(
    claim: Claim, table: Table, metric: str, claimed: Set[tuple[str, str]] = frozenset(), *, with_interval: bool = False
) -> list[dict[str, Any]]:
    """The verdicts on a claim in one metric: a row for each combination of the methods' settings."""
    rows = [[row for row in table.get((name, metric), ()) if claim.query in ("", row.query_domain)]
            for name in claim.methods]  # fmt: skip
    compared = (_compared(claim, chosen, claimed, with_interval) for chosen in product(*map(_settings, rows)))
    return [{**row, "measure": metric} for row in compared if row]


def _settings(rows: Sequence[Any]) -> list[Setting]:
    """The settings of a method, whose numbers are never averaged.

    Trainings on several training sets are separate settings if they have directions in common.
    """
    cells = [(r.settings_digest, r.selection_rule, r.seed, r.query_domain, r.gallery_domain) for r in rows]
    overlapping = len(set(cells)) < len(cells)
    trainings: dict[tuple[str, str, str], list[Any]] = {}
    for row in sorted(rows, key=lambda row: row.seed or 0):
        training = (row.settings_digest, row.selection_rule, row.train_set if overlapping else "")
        trainings.setdefault(training, []).append(row)
    return [
        Setting(digest, rule, _without_seed(rule, _points_by_seed(part)), part)
        for (digest, rule, _), part in trainings.items()
    ]


def _points_by_seed(rows: Sequence[Any]) -> dict[int | None, Points]:
    """{seed: percent by direction}. Raises CdirError if a seed has several values for a direction."""
    by_seed: dict[int | None, Points] = {}
    for row in rows:
        points = by_seed.setdefault(row.seed, {})
        direction = row.query_domain, row.gallery_domain
        if direction in points:
            raise CdirError(
                f"{row.method}, seed {row.seed}: several values for {' -> '.join(direction)}: "
                "add what differs to the settings or the training set of these records"
            )
        points[direction] = 100 * row.value
    return by_seed


def _without_seed(rule: str, by_seed: dict[int | None, Points]) -> dict[int | None, Points]:
    """The runs of a method; if it has no training and its seeds agree, they are merged: the seed becomes None."""
    runs = list(by_seed.values())
    if rule == NOTHING_SELECTED and all(_same(runs[0], run) for run in runs[1:]):
        return {None: functools.reduce(lambda merged, run: {**run, **merged}, runs)}
    return by_seed


def _same(left: Points, right: Points) -> bool:
    """True if both have directions in common, and equal numbers in all of these."""
    differences = _difference(left, right).values()
    return bool(differences) and max(map(abs, differences)) <= 100 * SAME


def _difference(left: Points, right: Points) -> Points:
    """Left minus right, over the directions that both have."""
    return {direction: percent - right[direction] for direction, percent in left.items() if direction in right}


def _compared(
    claim: Claim, settings: Sequence[Setting], claimed: Set[tuple[str, str]], with_interval: bool
) -> dict[str, Any] | None:
    """The verdict for one setting of each method; None if they have no rule, seed or direction in common."""
    rules = list(dict.fromkeys(setting.rule for setting in settings))
    trained = [rule for rule in rules if rule != NOTHING_SELECTED]
    if len(trained) > 1:
        return None
    runs = dict(zip(claim.methods, (setting.by_seed for setting in settings), strict=True))
    by_seed = {
        seed: [_gap(runs[better], runs[worse], seed) for better, worse in claim.pairs]
        for seed in common_seeds(runs.values())
    }
    common = {seed: set.intersection(*map(set, gaps)) for seed, gaps in by_seed.items()}
    most = max(common.values(), key=len, default=set())
    if not most or (most == {OVERALL} and claim.over == "each direction"):
        return None
    seeds = [seed for seed in by_seed if common[seed] == most]  # a mean over other directions is another number
    points = [[list(gap.values()) for gap in by_seed[seed]] for seed in seeds]
    intervals = _intervals(claim, settings, most, seeds) if with_interval else ()
    row = {
        "seeds": tuple(seed for seed in seeds if seed is not None),
        **verdict(claim, points, intervals),
        "selection_rule": (trained or rules)[0],
        "settings": ", ".join(dict.fromkeys(setting.digest for setting in settings)),
    }
    if most == {OVERALL}:
        row |= {"directions": 0, "above": ()}
    elif claimed - most:
        row |= {"verdict": IN_PART, "directions": len(claimed & most), "claimed": len(claimed)}
    return row


def _intervals(
    claim: Claim, settings: Sequence[Setting], directions: Set[tuple[str, str]], seeds: Sequence[int | None]
) -> list[Interval] | None:
    """The interval over classes of each pair; None if the values of single queries are not stored for a method."""
    rows: dict[str, list[Record]] = {}
    for name, setting in zip(claim.methods, settings):
        rows[name] = [
            row
            for row in setting.rows
            if (row.query_domain, row.gallery_domain) in directions and (None in setting.by_seed or row.seed in seeds)
        ]
    if not all(row.queries for chosen in rows.values() for row in chosen):
        return None
    return [class_interval(rows[better], rows[worse], rows[better][0].metric) for better, worse in claim.pairs]


def _gap(better: dict[int | None, Points], worse: dict[int | None, Points], seed: int | None) -> Points:
    """Better minus worse for one seed, over the directions that both have, or else between their printed averages."""
    gap = _difference(*(by_seed.get(None, by_seed.get(seed, {})) for by_seed in (better, worse)))
    return {direction: points for direction, points in gap.items() if direction != OVERALL} or gap


def verdict(
    claim: Claim, gaps: Sequence[Sequence[Sequence[float]]], intervals: Sequence[Interval] | None = ()
) -> dict[str, Any]:
    """The verdict from the differences in points, by seed, pair of methods and direction.

    intervals  the interval over classes of each pair; None: unknown; empty if no interval is needed

    `differences`, `above` and `directions` are those of the pair with the smallest margin, for each seed; `low` and
    `high` those of the pair with the smallest margin over all seeds.
    """
    holds = [all(_holds(claim, gap) for gap in pairs) for pairs in gaps]
    smallest = [min(range(len(pairs)), key=lambda i: fmean(pairs[i])) for pairs in gaps]
    tight = [pairs[i] for pairs, i in zip(gaps, smallest)]
    means = tuple(fmean(gap) for gap in tight)
    names = dict.fromkeys(" above ".join(claim.pairs[i]) for i in smallest)
    over_seeds = [fmean(fmean(pairs[i]) for pairs in gaps) for i in range(len(claim.pairs))]
    low, high = intervals[over_seeds.index(min(over_seeds))] if intervals else (nan, nan)
    return {
        "verdict": _in_words(claim, holds, intervals),
        "low": low,
        "high": high,
        "differences": means,
        "difference": sum(means) / len(means),
        "above": tuple(sum(_is_above(claim, points) for points in gap) for gap in tight),
        "directions": max(len(gap) for gap in tight),
        "tightest": "; ".join(names) if len(claim.pairs) > 1 else "",
    }


def _in_words(claim: Claim, holds: Sequence[bool], intervals: Sequence[Interval] | None) -> str:
    """The verdict from whether the claim holds, by seed, and the intervals of `verdict`."""
    by_seeds = HOLDS if all(holds) else MIXED if any(holds) else FAILS
    if intervals is None:
        return NO_INTERVAL if by_seeds == HOLDS else by_seeds
    if any(high < -claim.tolerance for _, high in intervals):
        return MIXED if any(holds) else FAILS
    if any(low <= -claim.tolerance for low, _ in intervals):
        return UNCLEAR
    return by_seeds


def _holds(claim: Claim, gap: Sequence[float]) -> bool:
    """True if the claim holds for one pair and one seed."""
    if claim.over == "each direction":
        return all(_is_above(claim, points) for points in gap)
    return _is_above(claim, fmean(gap))


def _is_above(claim: Claim, points: float) -> bool:
    """True if a difference is positive, or within the claim's tolerance if it has one."""
    return bool(points >= -claim.tolerance if claim.tolerance else points > 0)
