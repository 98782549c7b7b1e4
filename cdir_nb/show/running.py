"""The table that grows from chapter to chapter: every idea of the book so far, measured on the drawn world."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from IPython.display import Markdown

from cdir_nb.conventions import BY_VALIDATION_CLASSES, LAST_EPOCH, NOTHING_SELECTED
from cdir_nb.errors import CdirError
from cdir_nb.results.aggregate import means
from cdir_nb.results.files import REPRODUCED
from cdir_nb.results.printed import markdown
from cdir_nb.results.records import DIRECTION

if TYPE_CHECKING:
    import pandas as pd

METRIC = "P@10:hits_over_k"
RULES = (NOTHING_SELECTED, LAST_EPOCH, BY_VALIDATION_CLASSES)
CLIP = "Queries and gallery of 10 unseen classes, tiny-clip"
CLOSED = "Images of 10 classes, which are training images (without labels), queries and gallery; MobileNetV2"
UNIVERSAL = "Queries of 10 unseen classes and an unseen domain, gallery: real (drawn); MobileNetV2"
PROTOCOLS = {
    CLIP: ("world-unseen",),
    CLOSED: ("world-closed",),
    UNIVERSAL: tuple(f"world-ucdr-{d}" for d in ("painting", "clipart", "infograph", "sketch", "quickdraw")),
}


@dataclass(frozen=True)
class Idea:
    """A row: its chapter and name, what it learns from, the method in the records, their table, and the task.

    settings  the digest of the settings, of a method with records of several
    """

    chapter: str
    name: str
    learns_from: str
    method: str
    table: str
    task: str = CLIP
    settings: str = ""


CENTRED = "vanilla CLIP + centring (training images)"
EXPANDED = CENTRED + " + query expansion (n 5, alpha 1)"
UCDIR, SNMPNET = "ucdir-world.csv.gz", "snmpnet-world.csv.gz"
IDEAS = (
    Idea("01", "CLIP as it is", "nothing", "vanilla CLIP", "q-world.csv"),
    Idea("03", "centred", "unlabelled images: their means", CENTRED, "frozen-world.csv.gz"),
    Idea("03", "centred, query expanded", "unlabelled images: their means", EXPANDED, "frozen-world.csv.gz"),
    Idea("04", "Q", "texts", "CLIP + Q", "q-world.csv", settings="40bffef6d6"),  # null space svd, as in CLAIR's runs
    Idea("06", "CLAIR", "unlabelled images", "CLAIR", "clair-world.csv.gz"),
    Idea("07", "TKI", "the query classes' names", "TKI", "tki-world.csv.gz"),
    Idea("08", "CoDA", "unlabelled images", "CoDA", "coda.csv.gz"),
    Idea("10", "SketchLVM", "labelled images", "SketchLVM", "sketchlvm.csv.gz"),
    Idea("08", "network as it is", "nothing", "frozen start", UCDIR, CLOSED),
    Idea("08", "UCDIR", "unlabelled images", "UCDIR", UCDIR, CLOSED),
    Idea("09", "network as it is", "nothing", "frozen backbone", SNMPNET, UNIVERSAL),
    Idea("09", "SnMpNet's base network", "labelled images", "Base N/W", SNMPNET, UNIVERSAL),
    Idea("09", "SnMpNet", "labelled images", "SnMpNet", SNMPNET, UNIVERSAL),
)


def running_table(upto: str) -> Markdown:
    """The ideas of all chapters up to this one, with P@10 on the drawn world; this chapter's rows are bold.

    upto  a chapter's number, such as "06"

    From the committed records: percent, mean over all directions of the task; trained methods: mean ± standard
    deviation over seeds, last epoch (SnMpNet: chosen by validation classes). Numbers of different tasks are in separate
    tables. If an idea was measured in fewer directions than the chosen, a further column has the means over these
    directions. Raises CdirError if `upto` is not a chapter's number.
    """
    if not re.fullmatch(r"\d\d", upto):
        raise CdirError(f"{upto!r} is not a chapter: use its two digits, such as '06'")
    so_far = [idea for idea in IDEAS if idea.chapter <= upto]
    tasks = groupby(so_far, key=lambda idea: idea.task)
    return Markdown("\n\n".join(_task_table(task, list(ideas), upto) for task, ideas in tasks))


def _task_table(task: str, ideas: Sequence[Idea], upto: str) -> str:
    """One task's caption and table."""
    frame = _records(task, ideas)
    all_directions = _texts(frame, ideas)
    common = _common_directions(frame)
    columns = {f"P@10, {len(_directions(frame))} directions": all_directions}
    if len(common) < len(_directions(frame)):
        within = frame.set_index(list(DIRECTION)).loc[common].reset_index()
        columns[f"P@10, {len(common)} directions that all have"] = _texts(within, ideas)
    rows = []
    for i, idea in enumerate(ideas):
        cells = [idea.chapter, idea.name, idea.learns_from, *(texts[i] for texts in columns.values())]
        rows.append([f"**{cell}**" if idea.chapter == upto and cell else cell for cell in cells])
    caption = f"*{task}. P@10 (`hits_over_k`) in percent, drawn world.*"
    return f"{caption}\n\n{markdown(['chapter', 'idea', 'learns from', *columns], rows)}"


def _records(task: str, ideas: Sequence[Idea]) -> "pd.DataFrame":
    """The committed P@10 of these ideas on a task, with one selection rule per method.

    The rows are not parsed as records, which would take seconds: some tables have ten thousands of them.
    """
    import pandas as pd

    tables = dict.fromkeys(idea.table for idea in ideas)
    frame = pd.concat([pd.read_csv(REPRODUCED / name, dtype=str, keep_default_na=False) for name in tables])
    methods = [idea.method for idea in ideas]
    of_task = frame["method"].isin(methods) & frame["protocol"].isin(PROTOCOLS[task])
    frame = frame.loc[of_task & frame["metric"].eq(METRIC) & frame["selection_rule"].isin(RULES)]
    for idea in (idea for idea in ideas if idea.settings):
        frame = frame.loc[(frame["method"] != idea.method) | (frame["settings_digest"] == idea.settings)]
    numbers = {"value": frame["value"].astype(float), "seed": frame["seed"].astype(int)}
    return frame.assign(**numbers, protocol="", test_set="")  # each query domain of UCDR has its own protocol


def _directions(frame: "pd.DataFrame") -> list[tuple[str, str]]:
    return list(dict.fromkeys(zip(*(frame[column] for column in DIRECTION))))


def _common_directions(frame: "pd.DataFrame") -> list[tuple[str, str]]:
    """The directions in which every method was measured."""
    measured = [set(_directions(rows)) for _, rows in frame.groupby("method")]
    return [direction for direction in _directions(frame) if all(direction in found for found in measured)]


def _texts(frame: "pd.DataFrame", ideas: Sequence[Idea]) -> list[str]:
    """Each idea's mean over the directions of `frame`; empty if it lacks some of them."""
    results, count = means(frame, by="method"), len(_directions(frame))
    texts = []
    for idea in ideas:
        result = results.loc[idea.method]
        spread = f" ± {100 * result['spread']:.1f}" if result["spread"] > 0 else ""
        texts.append(f"{100 * result['mean']:.1f}{spread}" if result["directions"] == count else "")
    return texts
