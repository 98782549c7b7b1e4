"""Tables of records: headline means over directions, and one table by direction for each measured quantity.

Every field that distinguishes numbers is a column, or is stated once in a caption. Numbers are averaged over seeds
only, and shown as mean ± standard deviation.
"""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportArgumentType=false, reportCallIssue=false

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cdir_nb.conventions import Metric
from cdir_nb.data.manifest import display_domain
from cdir_nb.errors import CdirError
from cdir_nb.results.aggregate import differing_by_method, means, plus_minus
from cdir_nb.results.alike import NUMBERED, identified, require_alike
from cdir_nb.results.records import DIRECTION, SAME, SETTING, TASK, Record, to_frame

if TYPE_CHECKING:
    import pandas as pd

WORDS = {
    "selection_rule": "selection rule",
    "train_set": "trained on",
    "test_set": "tested on",
    "settings_digest": "settings",
    "data_at_test_time": "data used at test time",
    "seen_in_pretraining": "IMAGES SEEN IN PRETRAINING",
    "pipeline_test": "PIPELINE TEST, NOT A RESULT",
    "image_set": "set of images",
    "train_pool": "set of images to train on",
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

    metric  a metric, such as "P@10:hits_over_k"

    Raises CdirError if `metric` is not a metric, and, naming the columns that differ, if a method has numbers that may
    not be averaged: of several settings, selection rules, tasks, encoders or sets of images.
    """
    frame = identified(to_frame(list(records)))
    frame = frame[frame["metric"] == str(Metric.parse(str(metric)))]
    require_alike(frame, by="method")
    table = frame.pivot_table(index=list(DIRECTION), columns="method", values="value")
    directions = dict.fromkeys(zip(frame["query_domain"], frame["gallery_domain"]))
    table = 100 * table.reindex(index=list(directions), columns=list(dict.fromkeys(frame["method"])))
    return table.rename_axis(index=[None, None], columns=None)


def headline(frame: "pd.DataFrame") -> tuple["pd.DataFrame", dict[str, str]]:
    """Headline means: separately over directions between domains, over single domains, and within domains.

    frame  a table of records from `to_frame`
    Returns a table of strings, one row per measured quantity, and the fields that all rows have in common.
    """
    frame = _prepared(frame)
    frame = frame.assign(settings_digest=frame["settings_digest"].replace(_swept(frame)))
    context = [*SETTING, *NUMBERED, "over"]
    quantity = frame.groupby(context, dropna=False, sort=False).ngroup()
    table = frame.loc[~quantity.duplicated(), context].reset_index(drop=True)
    rows = means(frame.assign(quantity=quantity), by="quantity")
    table["seeds"] = [", ".join(map(str, seeds)) for seeds in rows["seeds"]]
    counts = zip(rows["directions"], _all_directions(frame)[~quantity.duplicated()], table["over"])
    table["over what"] = [
        f"{n if n == n_all else f'{n} of {n_all}'} {KINDS[kind][n_all > 1]}" for n, n_all, kind in counts
    ]
    table["percent"] = list(map(plus_minus, 100 * rows["mean"], 100 * rows["spread"]))
    return _split_common(table, always=("method", "metric", "over what", "percent"))


def _all_directions(frame: "pd.DataFrame") -> "pd.Series":
    """For each row, the number of directions that any method has in the row's metric on the row's task."""
    task = [*TASK, "test_set", "image_set", "metric", "over"]
    first = ~frame.duplicated([*task, *DIRECTION])
    return first.groupby([frame[name] for name in task], dropna=False).transform("sum")


def _prepared(frame: "pd.DataFrame") -> "pd.DataFrame":
    """`identified`; digests of unknown settings marked; the column `over`: the kind of each row's pair of domains."""
    frame = identified(frame)
    kinds = [_kind(q, g) for q, g in zip(frame["query_domain"], frame["gallery_domain"], strict=True)]
    known = frame["settings"].notna()
    digests = frame["settings_digest"].where(known, UNKNOWN + " (" + frame["settings_digest"] + ")")
    return frame.assign(settings_digest=digests, over=kinds)


def _swept(frame: "pd.DataFrame") -> dict[str, str]:
    """{digest: values that differ between the settings of its method, and the digest}, such as `rate=0.1 (1a2b3c4d5e)`.

    Empty for methods with one setting, and for settings that are unknown.
    """
    words = differing_by_method(frame[frame["settings"].notna()])
    return {
        digest: f"{text} ({digest})" for texts in words.values() for digest, text in texts.items() if digest not in text
    }


def _kind(query_domain: str, gallery_domain: str) -> str:
    if not gallery_domain:
        return "single" if query_domain else "whole"
    return "across" if query_domain != gallery_domain else "within"


def _split_common(table: "pd.DataFrame", always: tuple[str, ...]) -> tuple["pd.DataFrame", dict[str, str]]:
    """Move columns with one value in all rows from the table to its caption, except `always`; drop empty ones."""
    common, columns = {}, []
    for column in table.columns.drop("over"):
        values = table[column].unique()
        if column in always or len(values) > 1:
            columns.append(column)
        elif len(values) and values[0]:
            common[WORDS.get(column, column)] = str(values[0])
    return table[columns].rename(columns=WORDS), common


def direction_tables(frame: "pd.DataFrame") -> Iterator[tuple[str, dict[str, str], "pd.DataFrame"]]:
    """For each measured quantity: its name, its full context (including the seed), and a table in percent.

    Rows are query domains, and columns are gallery domains (one column `value` for a metric without gallery).
    """
    fields = [*SETTING, *NUMBERED, "seed"]
    for key, group in _prepared(frame).groupby(fields, dropna=False, sort=False):
        context = dict(zip(fields, map(str, key), strict=True))
        name = f"{context.pop('method')}: {context.pop('metric')}"
        yield name, {WORDS.get(k, k): v for k, v in context.items() if v}, _matrix(group)


def _matrix(group: "pd.DataFrame") -> "pd.DataFrame":
    """Percent by query and gallery domain, in the order of the records. Raises CdirError for repeated directions."""
    import pandas as pd

    values: dict[str, dict[str, float]] = {}  # a run has thousands of tables, too many for pandas' pivot_table
    for query, gallery, value in zip(group["query_domain"], group["gallery_domain"], group["value"], strict=True):
        if abs(values.setdefault(query, {}).setdefault(gallery, value) - value) > SAME:
            raise CdirError(f"two values of one setting for {query} -> {gallery}: load one of the runs at a time")
    galleries = dict.fromkeys(group["gallery_domain"])
    columns = [*(d for d in values if d in galleries), *(d for d in galleries if d not in values)]
    rows = [[100 * row[d] if d in row else float("nan") for d in columns] for row in values.values()]
    dataset = group["dataset"].iloc[0]
    index, shown = ([display_domain(d, dataset) for d in domains] for domains in (values, columns))
    return pd.DataFrame(rows, index=pd.Index(index, name="query"), columns=[d or "value" for d in shown])
