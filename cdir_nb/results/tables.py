"""Tables of records: headline means over domains, and one table by direction for each measured quantity.

Everything that distinguishes two numbers (convention, seed, encoder, selection rule, sets) is either a column or
stated once in a caption; numbers that differ in any of it are never averaged. The one exception is seeds, shown as
mean ± standard deviation.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cdir_nb.results.records import Record, to_frame

if TYPE_CHECKING:
    import pandas as pd

CONTEXT = [
    "method",
    "dataset",
    "protocol",
    "metric",
    "convention",
    "encoder",
    "selection_rule",
    "train_set",
    "test_set",
    "config_digest",
    "seen_in_pretraining",
    "pipeline_test",
]
WORDS = {
    "selection_rule": "selection rule",
    "train_set": "trained on",
    "test_set": "tested on",
    "config_digest": "config",
    "seen_in_pretraining": "TEST IMAGES SEEN IN PRETRAINING",
    "pipeline_test": "PIPELINE TEST, NOT A RESULT",
}

KINDS = {
    "across": ("direction", "directions"),
    "single": ("domain", "domains"),
    "whole": ("set", "sets"),
    "within": ("domain, searched in itself", "domains, each searched in itself"),
}


def metric_name(metric: str, k: int | None) -> str:
    """Such as `precision@200`; a retrieval metric without a cut-off gets `@all`, an accuracy gets nothing."""
    if k is None:
        return metric + ("@all" if metric in ("precision", "average_precision") else "")
    return f"{metric}@{k}"


def metric_names(frame: "pd.DataFrame") -> list[str]:
    """`metric_name` of each row of a frame from `to_frame`."""
    import pandas as pd

    return [metric_name(m, None if k is pd.NA else int(k)) for m, k in zip(frame["metric"], frame["k"], strict=True)]


def by_direction(records: Iterable[Record], metric: str, convention: str, k: int | None = None) -> "pd.DataFrame":
    """One metric in percent: one row per (query domain, gallery domain), one column per method, seeds averaged."""
    frame = to_frame(list(records))
    frame = frame[(frame["metric"] == metric) & (frame["convention"] == convention)]
    frame = frame[frame["k"].isna() if k is None else frame["k"] == k]
    table = frame.pivot_table(index=["query_domain", "gallery_domain"], columns="method", values="value")
    directions = dict.fromkeys(zip(frame["query_domain"], frame["gallery_domain"]))
    table = 100 * table.reindex(index=list(directions), columns=list(dict.fromkeys(frame["method"])))
    return table.rename_axis(index=[None, None], columns=None)


def headline(frame: "pd.DataFrame", by: tuple[str, ...] = ()) -> tuple["pd.DataFrame", dict[str, str]]:
    """Separate means over directions (between domains), over single domains, and within domains.

    frame  from `to_frame`, plus any columns named in `by`
    Returns a table of strings, one row per measured quantity, and the fields that all rows have in common.
    """
    import pandas as pd

    frame = _prepared(frame)
    context = [*by, *CONTEXT, "k", "over"]
    rows = []
    for key, group in frame.groupby(context, dropna=False, sort=False):
        rows.append({**dict(zip(context, key, strict=True)), **_mean(group)})
    table = pd.DataFrame(rows, columns=[*context, "seeds", "over what", "percent"])
    return _split_common(table, keep=(*by, "method", "metric", "convention", "over what", "percent"))


def _prepared(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Join metric and cut-off into one name; add the kind of domain pair of each row."""
    kinds = [_kind(q, g) for q, g in zip(frame["query_domain"], frame["gallery_domain"], strict=True)]
    return frame.assign(metric=metric_names(frame), k=0, over=kinds)


def _kind(query_domain: str, gallery_domain: str) -> str:
    if not gallery_domain:
        return "single" if query_domain else "whole"
    return "across" if query_domain != gallery_domain else "within"


def _mean(group: "pd.DataFrame") -> dict[str, str]:
    """Mean over domains for each seed, then mean and standard deviation over the seeds, in percent."""
    values = group.groupby(["query_domain", "gallery_domain", "seed"])["value"].mean().unstack()
    by_seed = 100 * values.dropna().mean()  # a direction that one seed lacks would shift the others' means
    spread = f" ± {by_seed.std():.2f}" if len(by_seed) > 1 else ""
    places = len(values)
    over = KINDS[group["over"].iloc[0]][places > 1]
    return {
        "seeds": ", ".join(map(str, by_seed.index)),
        "over what": f"{places} {over}",
        "percent": f"{100 * values.mean(axis=1).mean():.2f}{spread}",
    }


def _split_common(table: "pd.DataFrame", keep: tuple[str, ...]) -> tuple["pd.DataFrame", dict[str, str]]:
    """Move columns with one value in all rows from the table to its caption; drop empty ones."""
    common, columns = {}, []
    for column in table.columns.drop(["k", "over"]):
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
    frame = _prepared(frame).drop(columns=["k", "over"])
    for key, group in frame.groupby([*CONTEXT, "seed"], dropna=False, sort=False):
        context = dict(zip([*CONTEXT, "seed"], map(str, key), strict=True))
        name = f"{context.pop('method')}: {context.pop('metric')} ({context['convention']})"
        yield name, {WORDS.get(k, k): v for k, v in context.items() if v}, _pivot(group)


def _pivot(group: "pd.DataFrame") -> "pd.DataFrame":
    """Percent by query and gallery domain, in the order of the records; repeated measurements averaged."""
    table = 100 * group.groupby(["query_domain", "gallery_domain"])["value"].mean().unstack()
    rows, columns = group["query_domain"].unique(), group["gallery_domain"].unique()
    columns = [c for c in rows if c in columns] + [c for c in columns if c not in rows]
    table = table.reindex(index=rows, columns=columns).rename_axis(index="query", columns=None)
    return table.rename(columns={"": "value"})
