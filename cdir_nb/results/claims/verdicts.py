"""Verdicts on the papers' claims, computed from our records. No verdict is written by hand.

`printed.published_verdicts` applies the same rule, `verdict`, to the numbers printed in the papers.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cdir_nb.conventions import NOTHING_SELECTED, Metric
from cdir_nb.data.protocols import protocol_directions, protocol_spec
from cdir_nb.errors import CdirError
from cdir_nb.results.claims.claim import Claim, load_claims
from cdir_nb.results.claims.counterparts import with_counterparts
from cdir_nb.results.claims.cutoffs import within_method
from cdir_nb.results.published import published
from cdir_nb.results.records import SAME, Record

if TYPE_CHECKING:
    import pandas as pd

HOLDS, MIXED, FAILS, NOT_RUN = "holds", "mixed", "does not hold", "not run"
IN_PART = "directions missing"  # a claim about each direction, but only some directions were run
SIGNS = {HOLDS: "✓", MIXED: "~", FAILS: "✗"}  # shown with the verdict's colour, so that colour is never the only cue
CONTEXT = ["dataset", "protocol", "encoder"]
Points = dict[tuple[str, str], float]  # percent, or a difference in points, by (query domain, gallery domain)
Table = dict[tuple[str, str], list[Record]]  # records by (method, metric)
MEASURED = [
    "seeds", "differences", "difference", "above", "directions", "claimed", "tightest", "selection_rule", "settings",
    "verdict",
]  # fmt: skip


def verdicts(records: Iterable[Record], claims: Sequence[Claim] | None = None) -> "pd.DataFrame":
    """Verdicts on each claim from our records: one row for each claim, dataset, protocol and encoder.

    records  any; runs with random weights (pipeline tests), records on images that the encoder saw in its pretraining,
             and retrieval within one domain are ignored
    claims   None: all of claims.yaml
    Only numbers with the same metric, dataset, protocol and encoder are compared, direction by direction and seed by
    seed. A method without training ("nothing selected") has no seed and is compared with every
    seed; seeds without all the directions of the seed with most are left out. If a method has several settings or
    selection rules, each combination gets its own row; trained methods are compared only under the same selection rule.

    Columns: the claim's id, paper, where, says, better, worse, over, tolerance; dataset, protocol, encoder; measure
    (the metric), seeds (tuple, empty without training); differences (points, one per seed) and their mean `difference`,
    above (number of directions that hold, one per seed), directions (number compared), all for the pair with the
    smallest margin if there are several; selection_rule, settings (digests); verdict: "holds" (for every seed),
    "mixed" (for some), "does not hold" (for none), "not run", or "directions missing" if a claim about each direction
    was run in only some of its `claimed` directions.
    """
    tables = _tables(with_counterparts([record for record in records if _counts(record)]))
    rows = []
    for claim, context in product(load_claims() if claims is None else claims, tables or [("", "", "")]):
        found = list(_decided(claim, tables.get(context, {}), context[1])) or [{"verdict": NOT_RUN}]
        rows += [{**described(claim), **dict(zip(CONTEXT, context)), **row} for row in found]
    return verdict_table(rows, CONTEXT)


def _counts(record: Record) -> bool:
    within_domain = record.query_domain == record.gallery_domain
    return not (record.pipeline_test or record.seen_in_pretraining or within_domain)


def _tables(records: Iterable[Record]) -> dict[tuple, Table]:
    """Records by context, and among these by method and metric."""
    tables: dict[tuple, Table] = {}
    for record in records:
        table = tables.setdefault((record.dataset, record.protocol, record.encoder), {})
        table.setdefault((record.method, record.metric), []).append(record)
    return tables


def described(claim: Claim) -> dict[str, Any]:
    """The columns that describe the claim."""
    fields = ("id", "paper", "where", "says", "over", "tolerance")
    sides = claim.chain[1:], claim.chain[:-1]
    better, worse = sides if claim.chain else (claim.better or (claim.falling,), claim.worse)
    texts = {"better": ", ".join(better), "worse": ", ".join(worse), "measure": claim.metric[0]}
    return {**{name: getattr(claim, name) for name in fields}, **texts}


def verdict_table(rows: list[dict[str, Any]], context: list[str]) -> "pd.DataFrame":
    """Rows of a claim's columns, of its context and of its verdict, with one type in each column."""
    import pandas as pd

    about = ["id", "paper", "where", "says", "better", "worse", "over", "tolerance"]
    table = pd.DataFrame(rows, columns=[*about, *context, "measure", *MEASURED])
    texts = [*context, "tightest", "selection_rule", "settings"]
    table[texts] = table[texts].astype(object).fillna("")
    for name in ("seeds", "differences", "above"):
        table[name] = [value if isinstance(value, tuple) else () for value in table[name]]
    return table.astype({"directions": "Int64", "claimed": "Int64", "difference": float})


def _decided(claim: Claim, table: Table, protocol: str) -> Iterator[dict[str, Any]]:
    """Rows for one claim and context, with the first metric that gives any; no rows if it was not run."""
    if claim.protocol not in protocol:
        return
    if claim.falling:
        found = {metric: rows for (method, metric), rows in table.items() if method == claim.falling}
        claim, table = within_method(claim, found)
    if not set(claim.methods) <= {method for method, _ in table}:
        return
    claimed = claimed_directions(claim, protocol) if claim.over == "each direction" else set()
    for metric in map(str, as_in_card(claim.metrics, protocol)):
        asked = [[r for r in table.get((m, metric), ()) if claim.query in ("", r.query_domain)] for m in claim.methods]
        settings = [_settings(records) for records in asked]
        found = [row for chosen in product(*settings) if (row := _compared(claim, chosen, claimed))]
        if found:
            yield from ({**row, "measure": metric} for row in found)
            return


def claimed_directions(claim: Claim, protocol: str) -> set[tuple[str, str]]:
    """The directions needed for a verdict on a claim about each direction.

    These are the protocol's directions that the claim's tables print (or, without tables, the paper), also on the drawn
    world, which has DomainNet's domain names; if the tables lack a domain of the protocol, all its directions. Empty
    for a protocol without a card: then the directions that were run decide.
    """
    directions = {direction for direction in _directions_of(protocol) if claim.query in ("", direction[0])}
    printed = _printed_directions(claim.paper, tuple(claim.tables))
    same_domains = {d for pair in directions for d in pair} <= {d for pair in printed for d in pair}
    return directions & printed if same_domains else directions


_directions_of = functools.lru_cache(protocol_directions)  # it reads all cards


@functools.lru_cache
def _printed_directions(paper: str, tables: tuple[str, ...]) -> set[tuple[str, str]]:
    """The directions that stand in some tables of a paper, or in any of its tables."""
    cells = published(paper)
    cells = cells[cells["table"].isin(tables)] if tables else cells
    return set(zip(cells["query_domain"], cells["gallery_domain"]))


@functools.lru_cache
def as_in_card(metrics: tuple[Metric, ...], protocol: str) -> list[Metric]:
    """Metrics of one kind in the order given, except that convention and cut-off of the first metric of this kind in
    the protocol's card go first. Metrics of one convention stay together."""
    spec, conventions = protocol_spec(protocol), [metric.convention for metric in metrics]
    first = next((entry for entry in spec.metrics if entry.kind == metrics[0].kind), None) if spec else None
    if first is None:
        return sorted(metrics, key=lambda metric: conventions.index(metric.convention))
    return sorted(
        metrics, key=lambda m: (m.convention != first.convention, conventions.index(m.convention), m.k != first.k)
    )


def _settings(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The settings of a method: digest, rule, and {seed: percent by direction}; seed None if it has none.

    Runs on several training sets are settings of their own if they have directions in common.
    """
    cells = [(r.settings_digest, r.selection_rule, r.seed, r.query_domain, r.gallery_domain) for r in records]
    twice = len(set(cells)) < len(cells)
    found: dict[tuple, dict[int | None, Points]] = {}
    for r in sorted(records, key=lambda r: r.seed):
        by_seed = found.setdefault((r.settings_digest, r.selection_rule, r.train_set if twice else ""), {})
        points, place = by_seed.setdefault(r.seed, {}), (r.query_domain, r.gallery_domain)
        if place in points:
            raise CdirError(
                f"{r.method}, seed {r.seed}: several values for {' -> '.join(place)}: "
                "put what they differ in into their settings or the training set"
            )
        points[place] = 100 * r.value
    settings = ({"digest": digest, "rule": rule, "by_seed": runs} for (digest, rule, _), runs in found.items())
    return [_without_seed(setting) for setting in settings]


def _without_seed(setting: dict[str, Any]) -> dict[str, Any]:
    """If a setting has no training and its seeds agree, merge them: the seed becomes None, directions are joined."""
    first, *others = setting["by_seed"].values()
    if setting["rule"] == NOTHING_SELECTED and all(_same(first, other) for other in others):
        return {**setting, "by_seed": {None: functools.reduce(lambda x, y: {**y, **x}, others, first)}}
    return setting


def _same(one: Points, other: Points) -> bool:
    """True if both have directions in common, and equal numbers in all of these."""
    differences = difference(one, other).values()
    return bool(differences) and max(map(abs, differences)) <= 100 * SAME


def _compared(claim: Claim, chosen: Sequence[dict[str, Any]], claimed: set[tuple[str, str]]) -> dict[str, Any] | None:
    """The verdict for one setting of each method; None if they have no rule, seed or direction in common."""
    rules = list(dict.fromkeys(setting["rule"] for setting in chosen))
    trained = [rule for rule in rules if rule != NOTHING_SELECTED]
    seeds = _common_seeds([setting["by_seed"] for setting in chosen])
    by_name = {name: setting["by_seed"] for name, setting in zip(claim.methods, chosen, strict=True)}
    by_seed = {seed: [_gap(by_name[high], by_name[low], seed) for high, low in claim.pairs] for seed in seeds}
    places = {seed: set.intersection(*map(set, pairs)) for seed, pairs in by_seed.items()}
    most = max(places.values(), key=len, default=set())
    if len(trained) > 1 or not most:
        return None
    seeds = [seed for seed in seeds if places[seed] == most]  # a mean over other directions is another number
    gaps = [by_seed[seed] for seed in seeds]
    digests = ", ".join(dict.fromkeys(setting["digest"] for setting in chosen))
    shown = tuple(seed for seed in seeds if seed is not None)
    points = [[list(gap.values()) for gap in pairs] for pairs in gaps]
    row = {"seeds": shown, **verdict(claim, points), "selection_rule": (trained or rules)[0], "settings": digests}
    run = set.intersection(*(set(gap) for pairs in gaps for gap in pairs))
    if claimed - run:
        row |= {"verdict": IN_PART, "directions": len(claimed & run), "claimed": len(claimed)}
    return row


def _common_seeds(settings: Sequence[dict]) -> list[int | None]:
    """The seeds that all settings with seeds have in common; [None] if no setting has seeds."""
    seeded = [set(by_seed) for by_seed in settings if None not in by_seed]
    return sorted(set.intersection(*seeded)) if seeded else [None]


def _gap(better: dict[int | None, Points], worse: dict[int | None, Points], seed: int | None) -> Points:
    """Better minus worse for one seed, over the directions that both have."""
    return difference(*(by_seed.get(None, by_seed.get(seed)) for by_seed in (better, worse)))


def difference(one: Points, other: Points) -> Points:
    """One minus the other, over the directions that both have."""
    return {place: percent - other[place] for place, percent in one.items() if place in other}


def verdict(claim: Claim, gaps: Sequence[Sequence[Sequence[float]]]) -> dict[str, Any]:
    """The verdict from the differences in points, by seed, pair of methods and direction; with the numbers of each
    seed's smallest-margin pair."""
    holds, tight = [], []
    for pairs in gaps:
        holds.append(all(_holds(claim, gap) for gap in pairs))
        tight.append(min(range(len(pairs)), key=lambda i: fmean(pairs[i])))
    found = [pairs[i] for pairs, i in zip(gaps, tight)]
    means = tuple(fmean(gap) for gap in found)
    names = dict.fromkeys(" above ".join(claim.pairs[i]) for i in tight)
    return {
        "verdict": HOLDS if all(holds) else MIXED if any(holds) else FAILS,
        "differences": means,
        "difference": sum(means) / len(means),
        "above": tuple(sum(keeps(claim, points) for points in gap) for gap in found),
        "directions": max(len(gap) for gap in found),
        "tightest": "; ".join(names) if len(claim.pairs) > 1 else "",
    }


def _holds(claim: Claim, gap: Sequence[float]) -> bool:
    """True if the claim holds for one pair and one seed."""
    if claim.over == "each direction":
        return all(keeps(claim, points) for points in gap)
    return keeps(claim, fmean(gap))


def keeps(claim: Claim, points: float) -> bool:
    """True if a difference is positive, or within the claim's tolerance if it has one."""
    return bool(points >= -claim.tolerance if claim.tolerance else points > 0)
