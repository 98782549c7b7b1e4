"""Which numbers may be averaged or compared: those of one setting, on the same images. `notes` names what differs."""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportReturnType=false
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cdir_nb.conventions import Metric
from cdir_nb.errors import CdirError
from cdir_nb.results.records import BASELINE, DERIVED, DIRECTION, IMAGES, SAME, SETTING, is_baseline

if TYPE_CHECKING:  # pandas would make every command of `cdir` start slowly
    import pandas as pd

POOL = "train_pool_fingerprint"
NOT_BASELINE = f"{BASELINE} (not the baseline)"  # another method under the baseline's name
NUMBERED = ("image_set", "train_pool")  # the columns that `identified` adds
TRAINING_IMAGES = "training images"  # how `test_set` begins if training images were measured
# What may differ between the directions of one setting, but not within a direction.
BY_DIRECTION = ("train_set", "seen_in_pretraining")
COMPARED = [name for name in SETTING if name not in DERIVED]
TRAINING = [name for name in COMPARED if name != "metric"]
COUNTED = {
    "queries_without_relevant": "queries without a relevant image in the gallery",
    "own_image_excluded": "queries whose own image is in the gallery, where it is left out of their ranking",
}


def identified(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame with two columns that tell apart what `SETTING` does not, and without false baselines.

    image_set   number of the set of query and gallery images on which a task was measured, from "1"
    train_pool  number of the set of images from which the seeds of one setting drew their training images

    Both are empty if there is only one; unknown images belong to any set. Images that differ only in directions that
    no two runs share are one set. A method that is called vanilla CLIP and is not the baseline becomes NOT_BASELINE.
    """
    if set(NUMBERED) <= {*frame.columns}:
        return frame
    false = (frame["method"] == BASELINE).to_numpy(copy=True)
    false[false] = [not is_baseline(row) for row in frame[false].itertuples()]
    method = frame["method"].mask(false, NOT_BASELINE)
    # Training images are drawn by the seed, so they are the same only within a seed; their pool is compared as well.
    drawn = frame["seed"].where(frame["test_set"].str.startswith(TRAINING_IMAGES), -1)
    frame = frame.assign(method=method, drawn=drawn)
    image_set = _numbers(frame, ["dataset", "protocol", "test_set"], [*TRAINING, "seed"], [*DIRECTION, "drawn"], IMAGES)
    train_pool = _numbers(frame, TRAINING, ["seed"], DIRECTION, [POOL])
    return frame.drop(columns="drawn").assign(image_set=image_set, train_pool=train_pool)


def _numbers(
    frame: "pd.DataFrame", group: Sequence[str], run: Sequence[str], cell: Sequence[str], columns: Sequence[str]
) -> list[str]:
    """For each row, the number of its run's set of fingerprints within its group; "" if the group has only one.

    A run belongs to the first set with which it agrees in every cell that both have; if a run has several fingerprints
    in one cell, it counts as several runs.
    """
    known = frame[(frame[list(columns)] != "").any(axis=1)]
    if known.empty or known.groupby([*group, *cell], dropna=False)[list(columns)].nunique().max().max() == 1:
        return [""] * len(frame)
    options = {"dropna": False, "sort": False}
    keys = frame.groupby([*group, *run, *cell, *columns], **options).ngroup()
    rows = frame[~keys.duplicated()]
    copy = rows.groupby([*group, *run, *cell], **options).cumcount()
    groups = rows.groupby(list(group), **options).ngroup()
    runs = rows.assign(copy=copy).groupby([*group, *run, "copy"], **options).ngroup()
    values = [tuple(fingerprints) for fingerprints in rows[list(columns)].itertuples(index=False)]
    places = [tuple(place) for place in rows[list(cell)].itertuples(index=False)]
    found: dict[tuple[int, int], dict] = {}
    for key, place, value in zip(zip(groups, runs), places, values):
        found.setdefault(key, {})[place] = value
    sets: dict[int, list[dict]] = {}
    number = {key: _add(cells, sets.setdefault(key[0], [])) for key, cells in found.items()}
    texts = [str(number[key] + 1) if len(sets[key[0]]) > 1 else "" for key in zip(groups, runs)]
    return [texts[key] for key in keys]


def _add(run: dict, sets: list[dict]) -> int:
    """Add a run to the first set that agrees with it, or to a new one; returns the set's number."""
    agreeing = (i for i, other in enumerate(sets) if all(_agree(other.get(cell, v), v) for cell, v in run.items()))
    number = next(agreeing, len(sets))
    if number == len(sets):
        sets.append({})
    sets[number] |= {cell: _merged(sets[number].get(cell, value), value) for cell, value in run.items()}
    return number


def _agree(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Whether fingerprints are equal; an unknown one ("") equals any."""
    return all(a == b for a, b in zip(left, right) if a and b)


def _merged(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(a or b for a, b in zip(left, right))


def differs(rows: "pd.DataFrame", column: str) -> bool:
    """Whether a method has several values in a column, in one direction if it may differ between directions."""
    if rows[column].nunique() < 2:
        return False
    return column not in BY_DIRECTION or bool(rows.groupby(list(DIRECTION))[column].nunique().max() > 1)


def require_alike(frame: "pd.DataFrame", by: str, over: Sequence[str] = DIRECTION) -> None:
    """Raise CdirError, naming the columns that differ, if a mean over `over` and seeds would mix incomparable numbers.

    frame  rows of `to_frame`, with the columns `by` and `over`
    by     the column whose values have one mean each

    The rows of a mean must agree in setting; those of one direction also in training set, images and training pool.
    A seed may have a direction several times with equal values. Columns that the frame lacks are not compared.
    """
    always = [name for name in (*COMPARED, *NUMBERED) if name in frame and name not in (by, *BY_DIRECTION)]
    measured = [name for name in (*IMAGES, POOL) if name in frame]
    if "test_set" in frame:  # each seed draws its own training images
        drawn = frame["test_set"].astype(str).str.startswith(TRAINING_IMAGES)
        of_images = [name for name in (*IMAGES, "seen_in_pretraining") if name in frame]
        frame = frame.assign(**{name: frame[name].mask(drawn, "" if name in IMAGES else 0) for name in of_images})
    by_direction = [*(name for name in BY_DIRECTION if name in frame), *measured]
    differing = {}
    for names, cell in ((always, [by]), (by_direction, [by, *over])):
        for name in names:
            rows = frame[frame[name] != ""] if name in measured else frame
            if rows[name].nunique(dropna=False) > 1:
                values = rows.groupby(cell, dropna=False, sort=False)[name].unique()
                differing |= {(name, key): found for key, found in values.items() if len(found) > 1}
    if differing:
        method = next(key if isinstance(key, str) else str(key[0]) for _, key in differing)
        columns = dict.fromkeys(name for name, _ in differing)
        texts = [
            f"{name} ({' and '.join(map(str, next(v for (n, _), v in differing.items() if n == name)[:2]))})"
            for name in columns
        ]
        raise CdirError(f"{method}: not averaged, since its numbers differ in {', '.join(texts)}: select one of each")
    values = frame.groupby([by, "seed", *over])["value"]
    if (values.max() - values.min()).max() > SAME * max(1, frame["value"].max()):
        key, *_ = (values.max() - values.min()).idxmax()
        raise CdirError(f"{key}: one seed has different values in one direction: load one of its runs at a time")


def is_constant(metric: Metric, galleries: Iterable[int | None]) -> bool:
    """Whether every ranking scores the same, because the cut-off of a precision is not below the size of any gallery.

    galleries  their numbers of images; None or 0: unknown
    """
    end = (metric.k or 0) if metric.kind == "precision" else 1
    return all(0 < (size or 0) <= end for size in galleries)


def labelled(method: str, test_time_data: str) -> str:
    """A method's name, marked if its vectors depend on all queries."""
    return f"{method} (uses all queries)" if "all queries" in test_time_data else method


def notes(frame: "pd.DataFrame") -> list[str]:
    """What a reader of these numbers must know about their images and the baseline; one line each.

    frame  from `to_frame`
    """
    frame = identified(frame)
    return [*_false_baselines(frame), *_image_sets(frame), *_pools(frame), *_counts(frame)]


def other_counts(frame: "pd.DataFrame") -> list[str]:
    """Datasets whose numbers of images are not their cards', such as "pacs, 168 of 9,991 images"."""
    rows = frame[frame["image_counts"] != ""]
    return [f"{dataset}, {counts}" for dataset, counts in dict.fromkeys(zip(rows["dataset"], rows["image_counts"]))]


def _false_baselines(frame: "pd.DataFrame") -> Iterator[str]:
    for row in frame[frame["method"] == NOT_BASELINE].drop_duplicates("settings_digest").itertuples():
        settings = [f"{name}={value}" for name, value in (row.settings or {}).items() if name != "similarity"]
        parts = filter(None, [*settings, row.train_set, row.data_at_test_time, row.selection_rule])
        yield (
            f"a method called {BASELINE} is not the frozen encoder without settings ({', '.join(parts)}), so nothing "
            "is compared with it: give it another name"
        )


def _image_sets(frame: "pd.DataFrame") -> Iterator[str]:
    for (task, test_set), rows in frame[frame["image_set"] != ""].groupby(["protocol", "test_set"], sort=False):
        per_cell = rows.groupby(list(DIRECTION), sort=False)[[*IMAGES, "image_set"]]
        place, part = next((key, part) for key, part in per_cell if part["image_set"].nunique() > 1)
        first = part.drop_duplicates("image_set")
        prints = " and ".join(f"{q[:8]} / {g[:8]}" for q, g in first[list(IMAGES)].itertuples(index=False))
        yield (
            f"{test_set or task}: measured on {rows['image_set'].nunique()} different sets of images, whose numbers "
            f"are neither averaged nor compared (queries / gallery of {' -> '.join(place)}: {prints})"
        )


def _pools(frame: "pd.DataFrame") -> Iterator[str]:
    for (method, task), rows in frame[frame["train_pool"] != ""].groupby(["method", "protocol"], sort=False):
        seeds = rows.groupby("train_pool", sort=False)["seed"].agg(lambda seeds: ", ".join(map(str, seeds.unique())))
        yield f"{method}, {task}: seeds {' and '.join(seeds)} drew training images from different sets: not averaged"


def _counts(frame: "pd.DataFrame") -> Iterator[str]:
    """Queries that no ranking can answer, or whose own image was left out, by protocol and direction."""
    for name in [name for name in COUNTED if name in frame]:
        rows = frame[frame[name].fillna(0) > 0].drop_duplicates(["protocol", *DIRECTION, "image_set", name])
        for task, part in rows.groupby("protocol", sort=False):
            places = [f"{q} -> {g} {n:,}" for q, g, n in part[[*DIRECTION, name]].itertuples(index=False)]
            more = [f"and {len(places) - 5} more directions"] if len(places) > 5 else []
            yield f"{task}, {COUNTED[name]}: {', '.join([*places[:5], *more])}"
