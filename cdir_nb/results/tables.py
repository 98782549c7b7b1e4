"""Tables of records: headline means over domains, and one table by direction for each measured quantity.

Everything that distinguishes two numbers (convention, seed, encoder, selection rule, sets) is either a column or
stated once in a caption; numbers that differ in any of it are never averaged. The one exception is seeds, shown as
mean ± standard deviation.
"""

from collections.abc import Iterable, Iterator
from statistics import fmean
from typing import TYPE_CHECKING

from cdir_nb.conventions import Metric
from cdir_nb.results.records import Record, to_frame

if TYPE_CHECKING:
    import pandas as pd

CONTEXT = [
    "method",
    "dataset",
    "protocol",
    "metric",
    "encoder",
    "preprocessing",
    "pooling",
    "selection_rule",
    "train_set",
    "test_set",
    "settings_digest",
    "data_at_test_time",
    "seen_in_pretraining",
    "pipeline_test",
]
WORDS = {
    "selection_rule": "selection rule",
    "train_set": "trained on",
    "test_set": "tested on",
    "settings_digest": "settings",
    "data_at_test_time": "data used at test time",
    "seen_in_pretraining": "IMAGES SEEN IN PRETRAINING",
    "pipeline_test": "PIPELINE TEST, NOT A RESULT",
}

UNKNOWN = "settings unknown"

KINDS = {
    "across": ("direction", "directions"),
    "single": ("domain", "domains"),
    "whole": ("set", "sets"),
    "within": ("domain, searched in itself", "domains, each searched in itself"),
}


def by_direction(records: Iterable[Record], metric: str | Metric) -> "pd.DataFrame":
    """One metric in percent: one row per (query domain, gallery domain), one column per method, seeds averaged.

    metric  such as "P@10:hits_over_k". Raises CdirError for anything else.
    """
    frame = to_frame(list(records))
    frame = frame[frame["metric"] == str(Metric.parse(str(metric)))]
    table = frame.pivot_table(index=["query_domain", "gallery_domain"], columns="method", values="value")
    directions = dict.fromkeys(zip(frame["query_domain"], frame["gallery_domain"]))
    table = 100 * table.reindex(index=list(directions), columns=list(dict.fromkeys(frame["method"])))
    return table.rename_axis(index=[None, None], columns=None)


def headline(frame: "pd.DataFrame", by: tuple[str, ...] = ()) -> tuple["pd.DataFrame", dict[str, str]]:
    """Separate means over directions (between domains), over single domains, and within domains.

    frame  from `to_frame`, plus any columns named in `by`
    Returns a table of strings, one row per measured quantity, and the fields that all rows have in common.
    """
    frame = _prepared(frame)
    context = [*by, *CONTEXT, "over"]
    quantity = frame.groupby(context, dropna=False, sort=False).ngroup()
    first = frame.loc[~quantity.duplicated(), context].reset_index(drop=True)
    table = first.join(_means(frame.assign(quantity=quantity), first["over"].tolist()))
    return _split_common(table, keep=(*by, "method", "metric", "over what", "percent"))


def _prepared(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Show the settings by digest, unless they are unknown; add the kind of domain pair of each row."""
    kinds = [_kind(q, g) for q, g in zip(frame["query_domain"], frame["gallery_domain"], strict=True)]
    known = frame["settings"].notna()
    digests = frame["settings_digest"].where(known, UNKNOWN + " (" + frame["settings_digest"] + ")")
    return frame.assign(settings_digest=digests, over=kinds)


def _kind(query_domain: str, gallery_domain: str) -> str:
    if not gallery_domain:
        return "single" if query_domain else "whole"
    return "across" if query_domain != gallery_domain else "within"


def _means(frame: "pd.DataFrame", over: list[str]) -> "pd.DataFrame":
    """For each quantity the mean over its domains of the mean over seeds, and the standard deviation over the seeds of
    the mean over domains, if every seed has every domain; in percent. (All quantities at once: a table of a run has
    thousands, and pandas takes milliseconds for each call.)"""
    import pandas as pd

    keys = ["quantity", "query_domain", "gallery_domain", "seed"]
    values = frame.groupby(keys)["value"].mean().unstack()  # one row per quantity and direction
    counts, sizes = values.groupby(level=0).count(), values.groupby(level=0).size()  # directions: of a seed, of all
    spread = 100 * values.groupby(level=0).mean().std(axis=1)
    overall = 100 * values.mean(axis=1).groupby(level=0).mean()
    rows = []
    for quantity, places in sizes.items():
        seeds = counts.columns[counts.loc[quantity] > 0]
        complete = (counts.loc[quantity, seeds] == places).all()
        more = f" ± {spread[quantity]:.2f}" if len(seeds) > 1 and complete else ""
        rows.append(
            {
                "seeds": ", ".join(map(str, seeds)),
                "over what": f"{places} {KINDS[over[quantity]][places > 1]}",
                "percent": f"{overall[quantity]:.2f}{more}",
            }
        )
    return pd.DataFrame(rows, columns=["seeds", "over what", "percent"])


def _split_common(table: "pd.DataFrame", keep: tuple[str, ...]) -> tuple["pd.DataFrame", dict[str, str]]:
    """Move columns with one value in all rows from the table to its caption; drop empty ones."""
    common, columns = {}, []
    for column in table.columns.drop("over"):
        values = table[column].unique()
        if column in keep or len(values) > 1:
            columns.append(column)
        elif len(values) and values[0]:
            common[WORDS.get(column, column)] = str(values[0])
    return table[columns].rename(columns=WORDS), common


def direction_tables(frame: "pd.DataFrame") -> Iterator[tuple[str, dict[str, str], "pd.DataFrame"]]:
    """For each measured quantity: its name, its full context (including the seed), and a table in percent.

    Rows are query domains, columns gallery domains (one column, `value`, where the metric has no gallery).
    """
    frame = _prepared(frame)
    for key, group in frame.groupby([*CONTEXT, "seed"], dropna=False, sort=False):
        context = dict(zip([*CONTEXT, "seed"], map(str, key), strict=True))
        name = f"{context.pop('method')}: {context.pop('metric')}"
        yield name, {WORDS.get(k, k): v for k, v in context.items() if v}, _pivot(group)


def _pivot(group: "pd.DataFrame") -> "pd.DataFrame":
    """Percent by query and gallery domain, in the order of the records; repeated measurements averaged."""
    import pandas as pd

    measured: dict[str, dict[str, list[float]]] = {}
    for query, gallery, value in zip(group["query_domain"], group["gallery_domain"], group["value"], strict=True):
        measured.setdefault(query, {}).setdefault(gallery, []).append(value)
    galleries = dict.fromkeys(group["gallery_domain"])
    columns = [*(d for d in measured if d in galleries), *(d for d in galleries if d not in measured)]
    rows = [[100 * fmean(found[d]) if d in found else float("nan") for d in columns] for found in measured.values()]
    names = [d or "value" for d in columns]
    return pd.DataFrame(rows, index=pd.Index(list(measured), name="query"), columns=names)
