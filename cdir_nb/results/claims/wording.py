"""The wording of verdicts in figures, the report and the pages on claims.

Rows are those of `verdicts` and `published_verdicts`.
"""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cdir_nb.results.claims.verdicts import IN_PART, NOT_RUN, SIGNS

if TYPE_CHECKING:
    import pandas as pd

VERDICTS_DIFFER = "verdicts differ"


def joint_verdict(rows: "pd.DataFrame") -> str:
    """The common verdict of all rows of a claim; "verdicts differ" if they disagree, "not run" if there are no rows."""
    kinds = list(dict.fromkeys(rows["verdict"])) or [NOT_RUN]
    return kinds[0] if len(kinds) == 1 else VERDICTS_DIFFER


def marked(kind: str) -> str:
    """A verdict with its symbol, such as `✓ holds`."""
    return f"{SIGNS.get(kind, '')} {kind}".strip()


def span(differences: Iterable[float], *, digits: int) -> str:
    """The range of differences, such as `-0.5 to +2.0`, or `+1.0` if both ends agree; empty if all are NaN."""
    points = sorted(round(x, digits) + 0 for x in differences if x == x)  # + 0: no -0.0
    ends = list(dict.fromkeys(f"{x:+.{digits}f}" for x in (points[:1] + points[-1:])))
    return " to ".join(ends)


def expected(row) -> str:
    """The expected sign or size of "better minus worse" in a claim, in words."""
    where = "in each direction" if row.over == "each direction" else "on average"
    return f"at most {row.tolerance:g} points below" if row.tolerance else f"above {where}"


def outcome(rows: "pd.DataFrame") -> str:
    """The result of one or several rows: number of directions for a claim about each direction, otherwise points."""
    row = next(rows.itertuples(), None)
    if len(rows) == 1 and row.over == "each direction" and row.above:
        ends = "–".join(dict.fromkeys(str(n) for n in (min(row.above), max(row.above))))
        return held(row) if row.verdict == IN_PART else f"{ends} of {row.directions}\ndirections"
    points = span(rows["difference"], digits=1)
    return f"{points} points" if points and " to " not in points else points


def interval(row) -> str:
    """The interval over classes, such as `+1.9 to +5.4`; "no interval" if it is unknown; empty if none is needed."""
    if row.low == row.low:
        return f"{row.low:+.1f} to {row.high:+.1f}"
    return "" if row.over == "each direction" else "no interval"


def each_seed(row) -> str:
    """The differences of a row in points, one per seed: `+3.00, +4.00`."""
    return ", ".join(f"{gap:+.2f}" for gap in row.differences)


def held(row) -> str:
    """The number of directions in which a claim holds, for each seed, such as `1, 2 of 2`; empty if none was compared.

    If directions are missing, the number of those that were run, such as `2 of 12 run`.
    """
    if row.verdict == IN_PART:
        return f"{row.directions} of {row.claimed} run"
    return f"{', '.join(map(str, row.above))} of {row.directions}" if row.above else ""


def how(rows: "pd.DataFrame") -> list[str]:
    """Directions, metric and seeds of a single row; for several rows, only the number of rows."""
    if len(rows) != 1:
        return [f"{len(rows)} comparisons"] if len(rows) else []
    row = next(rows.itertuples())
    if not row.differences:
        return []
    seeds = f"seed{'s' if len(row.seeds) > 1 else ''} {', '.join(map(str, row.seeds))}" if row.seeds else ""
    return [f"directions: {held(row)}" if row.directions else "", row.measure, seeds]
