"""Verdicts on the papers' claims from the numbers that the papers print, by the rule of `verdicts.verdict`."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cdir_nb.conventions import Metric
from cdir_nb.results.claims.claim import Claim, load_claims
from cdir_nb.results.claims.cutoffs import within_method
from cdir_nb.results.claims.verdicts import Points, described, difference, verdict, verdict_table
from cdir_nb.results.published import published

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
    cells, rows = _cells(), []
    for claim in load_claims() if claims is None else claims:
        found = list(_printed(claim, [cell for cell in cells if cell.paper == claim.paper]))
        rows += [{**described(claim), **row} for row in found or [{"verdict": NOT_PRINTED}]]
    return verdict_table(rows, ["dataset", "protocol", "backbone"])


def _cells() -> list[Any]:
    """The cells with a number, as named tuples; `method` is the name in our records, if we have it."""
    table = published().dropna(subset="value")
    names = table["our_method"].where(table["our_method"] != "", table["method"])
    return list(table.assign(method=names).itertuples(index=False, name="Cell"))


def _printed(claim: Claim, cells: list[Any]) -> Iterator[dict[str, Any]]:
    """Rows for one claim: one for each dataset, metric and backbone for which its tables have all its methods."""
    kind = claim.metrics[0].kind
    cells = [cell for cell in cells if Metric.parse(cell.metric).kind == kind and cell.table in claim.tables]
    cells = [cell for cell in cells if claim.query in ("", cell.query_domain)]
    if claim.falling:
        own = [cell for cell in cells if cell.method == claim.falling]
        claim, found = within_method(claim, _grouped(own, lambda cell: cell.metric))
        cells = [cell._replace(method=name, metric=metric) for (name, metric), group in found.items() for cell in group]
    cells = _with_one_backbone([cell for cell in cells if cell.method in claim.methods])
    groups = _grouped(cells, lambda cell: (cell.dataset, cell.protocol, cell.backbone, cell.metric))
    for (dataset, protocol, backbone, metric), group in groups.items():
        if row := _printed_row(claim, group):
            yield {"dataset": dataset, "protocol": protocol, "backbone": backbone, "measure": metric, **row}


def _grouped(cells: list[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """The cells by a key, in the order in which they come."""
    groups: dict[Any, list[Any]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    return groups


def _with_one_backbone(cells: list[Any]) -> list[Any]:
    """Keep backbones apart if a method is printed with several; else compare all methods, as the paper does."""
    methods = _grouped(cells, lambda cell: (cell.method, cell.dataset)).values()
    if any(len({cell.backbone for cell in group}) > 1 for group in methods):
        return cells
    together = ", ".join(filter(None, dict.fromkeys(cell.backbone for cell in cells)))
    return [cell._replace(backbone=together) for cell in cells]


def _printed_row(claim: Claim, cells: list[Any]) -> dict[str, Any] | None:
    """The verdict on the printed numbers in one context; None if a method is missing."""
    values = {name: _printed_values(claim, [cell for cell in cells if cell.method == name]) for name in claim.methods}
    gaps = [_printed_gap(values[high], values[low]) for high, low in claim.pairs]
    averages = any(list(gap) == [AVERAGE] for gap in gaps)
    if not all(gaps) or (averages and claim.over == "each direction"):
        return None
    row = verdict(claim, [[list(gap.values()) for gap in gaps]])
    return {**row, "directions": 0, "above": ()} if averages else row


def _printed_values(claim: Claim, cells: list[Any]) -> tuple[Points, Points]:
    """Percent by direction, and the overall average, of one method in the first of the claim's tables with it."""
    tables = {cell.table for cell in cells}
    first = next((table for table in claim.tables if table in tables), None)
    single, overall = {}, {}
    for cell in cells:
        place = cell.query_domain, cell.gallery_domain
        if cell.table == first and not cell.average:
            single.setdefault(place, 100 * cell.value)
        elif cell.table == first and place == ("", ""):
            overall.setdefault(AVERAGE, 100 * cell.value)
    return single, overall


def _printed_gap(better: tuple[Points, Points], worse: tuple[Points, Points]) -> Points:
    """Better minus worse in points: by direction, or between averages if one side has only these."""
    return difference(better[0], worse[0]) or difference(better[1], worse[1])
