"""Tasks that differ in one thing, for claims that compare a method with itself: a larger gallery, an unseen domain."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

HARDER = {"mixed gallery": (r"-mixed$", ""), "unseen domain": (r"-ucdr-", "-uccdr-")}


def with_counterparts(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Records and, for each protocol, copies of those of its harder counterparts, with other method names.

    A record of `x-ucdr-sketch-mixed` also stands under `x-ucdr-sketch` as "SnMpNet, mixed gallery", one of
    `x-ucdr-sketch` under `x-uccdr-sketch` as "SnMpNet, unseen domain". Copies are for verdicts only; none is kept.
    """
    import pandas as pd

    parts = [frame]
    for name, (ending, easier) in HARDER.items():
        harder = frame[frame["protocol"].str.contains(ending)]
        easy = harder["protocol"].str.replace(ending, easier, regex=True)
        harder = harder.assign(protocol=easy, method=harder["method"] + f", {name}")
        parts.append(harder[easy.isin(set(frame["protocol"]))])
    return pd.concat(parts, ignore_index=True) if any(map(len, parts[1:])) else frame
