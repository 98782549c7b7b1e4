"""Verdicts on the papers' claims from the numbers that the papers print, by the rule of `verdicts.verdict`."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cdir_nb.published import published
from cdir_nb.results.claims.claim import Claim, load_claims
from cdir_nb.results.claims.cutoffs import as_chain, cutoffs_of, named_at
from cdir_nb.results.claims.verdicts import Points, described, difference, verdict, verdict_table
from cdir_nb.results.tables import metric_name

if TYPE_CHECKING:
    import pandas as pd

NOT_PRINTED = "not printed"
AVERAGE = ("average", "")  # stands for a direction if a paper prints only averages


def published_verdicts(claims: Sequence[Claim] | None = None) -> "pd.DataFrame":
    """Verdicts on the same claims from the papers' printed numbers: one row for each claim, dataset and backbone.

    If a paper prints only averages, they decide claims about the mean (with `directions` 0), and a claim about each
    direction is "not printed", as are claims without printed numbers. Numbers are compared in the paper's own metric,
    convention and cut-off. Columns are those of `verdicts`, with `backbone` instead of `encoder`.
    """
    cells = published()
    cells = cells.astype({name: object for name in cells.columns if name not in ("k", "value")})  # faster to compare
    rows = []
    for claim in load_claims() if claims is None else claims:
        found = list(_printed(claim, cells[cells["paper"] == claim.paper])) or [{"verdict": NOT_PRINTED}]
        rows += [{**described(claim), **row} for row in found]
    return verdict_table(rows, ["dataset", "protocol", "backbone"])


def _printed(claim: Claim, cells: "pd.DataFrame") -> Iterator[dict[str, Any]]:
    """Rows for one claim: one for each dataset, cut-off and backbone for which its tables have all its methods."""
    cells = cells[(cells["metric"] == claim.metric) & cells["table"].isin(claim.tables)].dropna(subset="value")
    cells = cells[cells["query_domain"] == claim.query] if claim.query else cells
    cells = cells.assign(name=cells["our_method"].where(cells["our_method"] != "", cells["method"]))
    if claim.falling:
        claim, cells = _within_method(claim, cells[cells["name"] == claim.falling])
    cells = _with_one_backbone(cells[cells["name"].isin(claim.methods)])
    context = ["dataset", "protocol", "backbone", "k", "convention"]
    for key, group in cells.groupby(context, sort=False, dropna=False):
        row = _printed_row(claim, group)
        if row:
            where = dict(zip(context, key))
            measure = f"{metric_name(claim.metric, where['k'])} ({where.pop('convention')})"
            yield {**where, "measure": measure, **row}


def _within_method(claim: Claim, cells: "pd.DataFrame") -> tuple[Claim, "pd.DataFrame"]:
    """A claim within one method as a chain of cut-offs, and the cells of each cut-off named like a method."""
    cutoffs = cutoffs_of(claim, set(cells["k"]))
    if not cutoffs:
        return claim, cells.iloc[:0]
    cells = cells[cells["k"].isin(cutoffs)]
    names = [named_at(claim.falling, k) for k in cells["k"]]
    return as_chain(claim, cutoffs), cells.assign(name=names, k=cutoffs[-1])


def _with_one_backbone(cells: "pd.DataFrame") -> "pd.DataFrame":
    """Keep backbones apart if a method is printed with several; else compare all methods, as the paper does."""
    if (cells.groupby(["name", "dataset"])["backbone"].nunique() > 1).any():
        return cells
    return cells.assign(backbone=", ".join(name for name in dict.fromkeys(cells["backbone"]) if name))


def _printed_row(claim: Claim, cells: "pd.DataFrame") -> dict[str, Any] | None:
    """The verdict on the printed numbers in one context; None if a method is missing."""
    values = {name: _printed_values(claim, cells[cells["name"] == name]) for name in claim.methods}
    gaps = [_printed_gap(values[high], values[low]) for high, low in claim.pairs]
    averages = any(list(gap) == [AVERAGE] for gap in gaps)
    if not all(gaps) or (averages and claim.over == "each direction"):
        return None
    row = verdict(claim, [[list(gap.values()) for gap in gaps]])
    return {**row, "directions": 0, "above": ()} if averages else row


def _printed_values(claim: Claim, cells: "pd.DataFrame") -> tuple[Points, Points]:
    """Percent by direction, and the overall average, of one method in the first of the claim's tables with it."""
    first = next((table for table in claim.tables if (cells["table"] == table).any()), None)
    single, overall = {}, {}
    for cell in cells[cells["table"] == first].itertuples():
        place = cell.query_domain, cell.gallery_domain
        if not cell.average:
            single.setdefault(place, 100 * cell.value)
        elif place == ("", ""):
            overall.setdefault(AVERAGE, 100 * cell.value)
    return single, overall


def _printed_gap(better: tuple[Points, Points], worse: tuple[Points, Points]) -> Points:
    """Better minus worse in points: by direction, or between averages if one side has only these."""
    return difference(better[0], worse[0]) or difference(better[1], worse[1])
