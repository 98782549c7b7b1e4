"""Which numbers may be averaged or compared: those of one setting, on the same images. `notes` names what differs."""

# In pandas' stubs, selected rows may be a Series and the fields of a row are unknown.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportReturnType=false
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """The frame with two columns that number its sets of images, which `SETTING` does not tell apart.

    image_set   number of the set of query and gallery images on which a task was measured, from "1"
    train_pool  number of the set of images from which the seeds of one setting drew their training images

    Both are empty if there is only one; unknown images belong to any set. Sets differ if a domain has other queries or
    another gallery. A method that is called vanilla CLIP but is not the baseline is renamed to NOT_BASELINE.
    """
    if set(NUMBERED) <= {*frame.columns}:
        return frame
    false = (frame["method"] == BASELINE).to_numpy(copy=True)
    false[false] = [not is_baseline(row) for row in frame[false].itertuples()]
    method = frame["method"].mask(false, NOT_BASELINE)
    # Queries and gallery of a task are those of a domain; training images are drawn for a direction and a seed.
    drawn = frame["test_set"].str.startswith(TRAINING_IMAGES)
    direction = frame["query_domain"] + " -> " + frame["gallery_domain"]
    draw = direction + ", seed " + frame["seed"].astype(str)
    names = {name: frame[domain].mask(drawn, draw) for name, domain in zip(("queries", "gallery"), DIRECTION)}
    frame = frame.assign(method=method, direction=direction, **names)
    task = ["dataset", "protocol", "test_set"]
    image_set = _numbers(frame, task, [*TRAINING, "seed"], dict(zip(names, IMAGES)))
    train_pool = _numbers(frame, TRAINING, ["seed"], {"direction": POOL})
    return frame.drop(columns=["direction", *names]).assign(image_set=image_set, train_pool=train_pool)


def _numbers(frame: "pd.DataFrame", group: Sequence[str], run: Sequence[str], cells: Mapping[str, str]) -> list[str]:
    """For each row, the number of its run's set of images within its group; "" if the group has only one.

    cells  {column with the name of some images: column with their fingerprint}

    The rows of a run belong to one set unless they have different fingerprints for one name; the same holds for the
    runs of a group.
    """
    if not any(_differ(frame, group, *cell) for cell in cells.items()):
        return [""] * len(frame)
    options = {"dropna": False, "sort": False}
    keys = frame.groupby([*group, *run, *cells, *cells.values()], **options).ngroup()
    rows = frame[~keys.duplicated()]
    named = [[(column, name) for name in rows[column]] for column in cells]
    prints = [rows[column] for column in cells.values()]
    items = [{cell: value for cell, value in zip(*row) if value} for row in zip(zip(*named), zip(*prints))]
    texts = [""] * len(items)
    in_group = defaultdict(lambda: defaultdict(list))
    for i, key in enumerate(zip(*(rows.groupby(list(by), **options).ngroup() for by in (group, [*group, *run])))):
        in_group[key[0]][key[1]].append(i)
    for runs in in_group.values():
        parts = []  # (rows, their fingerprints) of each run, and of each set of images in a run
        for members in runs.values():
            numbers, sets = _joined([items[i] for i in members])
            parts += [([i for i, n in zip(members, numbers) if n == k], prints) for k, prints in enumerate(sets)]
        numbers, sets = _joined([prints for _, prints in parts])
        for (members, _), number in zip(parts, numbers):
            for i in members:
                texts[i] = str(number + 1) if len(sets) > 1 else ""
    return [texts[key] for key in keys]


def _differ(frame: "pd.DataFrame", group: Sequence[str], name: str, fingerprint: str) -> bool:
    """Whether a name has several fingerprints in one group; unknown ones ("") are not compared."""
    known = frame[frame[fingerprint] != ""]
    return len(known) > 0 and bool(known.groupby([*group, name], dropna=False)[fingerprint].nunique().max() > 1)


def _joined(items: Sequence[dict]) -> tuple[list[int], list[dict]]:
    """Join items {name: fingerprint} without a contradiction, first those that have a fingerprint in common.

    Returns the number of each item's set, from 0, and the fingerprints of each set.
    """
    numbers, sets = list(range(len(items))), [*items]
    for with_common in (True, False):
        joined, number = [], []
        for item in sets:
            fitting = (i for i, other in enumerate(joined) if _fits(item, other, with_common))
            number.append(next(fitting, len(joined)))
            if number[-1] == len(joined):
                joined.append({})
            joined[number[-1]] |= item
        numbers, sets = [number[i] for i in numbers], joined
    return numbers, sets


def _fits(item: dict, other: dict, with_common: bool) -> bool:
    equal = [other[name] == fingerprint for name, fingerprint in item.items() if name in other]
    return all(equal) and (bool(equal) or not with_common)


def differs(rows: "pd.DataFrame", column: str) -> bool:
    """Whether a column has several values, counted within each direction if it may differ between directions."""
    if rows[column].nunique() < 2:
        return False
    return column not in BY_DIRECTION or bool(rows.groupby(list(DIRECTION))[column].nunique().max() > 1)


def require_alike(frame: "pd.DataFrame", by: str, over: Sequence[str] = DIRECTION) -> None:
    """Raise CdirError, naming the columns that differ, if a mean over `over` and seeds would mix incomparable numbers.

    frame  rows of `to_frame`, with the columns `by` and `over`
    by     the column for each of whose values one mean is computed

    The rows of a mean must agree in setting; rows of one direction also in training set, images and training pool.
    A seed may have several equal values in one direction. Columns that the frame lacks are not compared.
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
                differing |= {(name, key): several for key, several in values.items() if len(several) > 1}
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

    galleries  number of images of each gallery; None or 0: unknown
    """
    end = (metric.k or 0) if metric.kind == "precision" else 1
    return all(0 < (size or 0) <= end for size in galleries)


def labelled(method: str, test_time_data: str) -> str:
    """A method's name, marked if its vectors depend on all queries."""
    return f"{method} (uses all queries)" if "all queries" in test_time_data else method


def notes(frame: "pd.DataFrame") -> list[str]:
    """What a reader of these numbers must know about their images and the baseline; one line each.

    frame  a table of records from `to_frame`
    """
    frame = identified(frame)
    return [*_false_baselines(frame), *_image_sets(frame), *_pools(frame), *_counts(frame)]


def other_counts(frame: "pd.DataFrame") -> list[str]:
    """Datasets whose numbers of images differ from those in their cards, such as "pacs, 168 of 9,991 images"."""
    rows = frame[frame["image_counts"] != ""]
    return [f"{dataset}, {counts}" for dataset, counts in dict.fromkeys(zip(rows["dataset"], rows["image_counts"]))]


def pipeline_test_of(frame: "pd.DataFrame") -> str:
    """The reason why some numbers are only pipeline tests, such as "random weights"; empty if there are none."""
    return ", ".join(sorted({label for label in frame["pipeline_test"] if label}))


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
        yield (
            f"{test_set or task}: measured on {rows['image_set'].nunique()} different sets of images, whose numbers "
            f"are neither averaged nor compared ({next(_differences(rows))})"
        )


def _differences(rows: "pd.DataFrame") -> Iterator[str]:
    """Each domain whose queries or gallery have several fingerprints, with these."""
    for what, domain, fingerprint in zip(("queries", "gallery"), DIRECTION, IMAGES):
        for name, part in rows[rows[fingerprint] != ""].groupby(domain, sort=False):
            prints = part[fingerprint].str[:8].unique()
            if len(prints) > 1:
                yield f"{what} of {name}: {' and '.join(prints[:3])}"


def _pools(frame: "pd.DataFrame") -> Iterator[str]:
    for (method, task), rows in frame[frame["train_pool"] != ""].groupby(["method", "protocol"], sort=False):
        seeds = rows.groupby("train_pool", sort=False)["seed"].agg(lambda seeds: ", ".join(map(str, seeds.unique())))
        yield f"{method}, {task}: seeds {' and '.join(seeds)} drew training images from different sets: not averaged"


def _counts(frame: "pd.DataFrame") -> Iterator[str]:
    """Queries that no ranking can answer, or whose own image was left out, by protocol and direction."""
    for name in [name for name in COUNTED if name in frame]:
        rows = frame[frame[name].fillna(0) > 0].drop_duplicates(["protocol", *DIRECTION, "image_set", name])
        for task, part in rows.groupby("protocol", sort=False):
            counts = [f"{q} -> {g} {n:,}" for q, g, n in part[[*DIRECTION, name]].itertuples(index=False)]
            more = [f"and {len(counts) - 5} more directions"] if len(counts) > 5 else []
            yield f"{task}, {COUNTED[name]}: {', '.join([*counts[:5], *more])}"
