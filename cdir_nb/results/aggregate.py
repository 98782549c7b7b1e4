"""Means over directions and seeds, the states chosen by selection rules, and differing settings in words."""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportAttributeAccessIssue=false, reportUnhashable=false

import json
from collections.abc import Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

from cdir_nb.conventions import BEST_ON_TEST, BY_VALIDATION_CLASSES, LAST_EPOCH
from cdir_nb.errors import CdirError
from cdir_nb.results.alike import require_alike
from cdir_nb.results.records import DIRECTION

if TYPE_CHECKING:  # pandas would make every command of `cdir` start slowly
    import pandas as pd

RULES = (LAST_EPOCH, BY_VALIDATION_CLASSES, BEST_ON_TEST)


def means(frame: "pd.DataFrame", by: str, over: Sequence[str] = DIRECTION) -> "pd.DataFrame":
    """The mean over directions of the mean over seeds, for each value of the column `by`.

    frame  a table with the columns `by`, `over`, "seed" and "value"; the seed is missing for published numbers
    over   the columns that identify a direction

    The columns are mean and spread, in the unit of "value"; seeds, a tuple; and directions, a number. The spread is the
    standard deviation over seeds of the mean over directions; it is NaN for one seed, and if a seed lacks a direction.
    Raises CdirError, as `require_alike` does, for records that may not be averaged.
    """
    import pandas as pd

    if bool(frame["seed"].notna().any()):  # records, not published numbers
        require_alike(frame, by, over)
    directions = frame.groupby([by, *over])["value"].mean().groupby(by)
    # Not the grouped mean: its sums are in another order, which would round a tie in docs/results differently.
    mean = directions.agg(lambda values: values.mean())
    table = pd.DataFrame({"mean": mean, "directions": directions.size()})
    runs = frame.groupby([by, "seed", *over])["value"].mean().groupby([by, "seed"]).agg(["mean", "size"])
    complete = (runs["size"] == table["directions"].reindex(runs.index, level=by)).groupby(by).all()
    seeds = runs.reset_index("seed")["seed"].groupby(by).agg(tuple)
    table["spread"] = runs["mean"].groupby(by).std().where(complete)
    table["seeds"] = [seeds.get(key, ()) for key in table.index]
    return table


def plus_minus(percent: float, spread: float | None) -> str:
    """A mean with its spread, such as `51.00 ± 1.41`; the mean alone if the spread is None or NaN."""
    return f"{percent:.2f}" + ("" if spread is None or isnan(spread) else f" ± {spread:.2f}")


def range_text(numbers: "pd.Series") -> str:
    """The smallest and the largest of whole numbers, such as `92 to 184`; empty if all are unknown."""
    known = numbers.dropna()
    return " to ".join(f"{number:,}" for number in sorted({known.min(), known.max()})) if len(known) else ""


def differing(settings: Mapping[str, Mapping[str, Any] | None]) -> dict[str, str]:
    """{digest: values in which the settings differ}, such as `learning_rate=0.001`.

    settings  {digest: settings, None if unknown}

    The names of nested settings are joined with a dot. Unknown settings, and settings without any differing value, are
    named by their digest.
    """
    flat = {digest: flat_settings(values) for digest, values in settings.items() if values is not None}
    names = dict.fromkeys(name for values in flat.values() for name in values)
    several = [name for name in names if len({json.dumps(values.get(name)) for values in flat.values()}) > 1]
    texts = {}
    for digest in settings:
        if digest not in flat:
            texts[digest] = f"settings unknown ({digest})"
            continue
        parts = [f"{name}={as_text(flat[digest][name])}" for name in several if name in flat[digest]]
        texts[digest] = ", ".join(parts) or f"settings {digest}"
    return texts


def differing_by_method(frame: "pd.DataFrame") -> dict[str, dict[str, str]]:
    """{method: `differing` of its settings}, for the methods that have several settings."""
    by_method = {
        str(method): dict(zip(rows["settings_digest"], rows["settings"])) for method, rows in frame.groupby("method")
    }
    return {method: differing(settings) for method, settings in by_method.items() if len(settings) > 1}


def flat_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings as one level, such as {"refinement.steps": 10}."""
    flat = {}
    for name, value in settings.items():
        inner = flat_settings(value) if isinstance(value, Mapping) and value else {}
        flat |= {f"{name}.{key}": nested for key, nested in inner.items()} or {name: value}
    return flat


def as_text(value: Any) -> str:
    """A value of a setting as JSON; a string is not quoted."""
    return value if isinstance(value, str) else json.dumps(value)


def selected(scores: "pd.DataFrame") -> "pd.DataFrame":
    """The state of one training that each selection rule chooses: the index is the rule, columns are `step` and `test`.

    scores  index step (ascending), columns "test" and "validation": the same metric on both sets

    "best on test" is never below the others; the difference is its optimistic bias. Among equal scores, the first
    step is selected. Raises CdirError if there are no steps.
    """
    import pandas as pd

    if scores.empty:
        raise CdirError("no step was measured, so none can be selected: pass at least one row of scores")
    steps = dict(zip(RULES, (scores.index[-1], scores["validation"].idxmax(), scores["test"].idxmax())))
    return pd.DataFrame({"step": steps, "test": {rule: scores.loc[step, "test"] for rule, step in steps.items()}})
