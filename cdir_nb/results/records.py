"""Records: numbers, each with everything needed to interpret it. `results.files` reads and writes them."""

import datetime
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SkipValidation,
    ValidationError,
    model_validator,
)

from cdir_nb.conventions import FROZEN, NOTHING_SELECTED, SELECTION_RULES, Metric
from cdir_nb.errors import CdirError, printable
from cdir_nb.results.queries import QueryValues
from cdir_nb.sources import current_commit

if TYPE_CHECKING:
    import pandas as pd

RANDOM_WEIGHTS = "random weights"
SAME = 1e-6  # closer values count as equal: sums in another order, or a csv file with six decimals
TEST_TIME_DATA = ("gallery", "training images", "all queries")
# Two numbers belong to one setting if they agree in SETTING: only these are averaged, over directions and seeds.
TASK = ("dataset", "protocol", "encoder")  # numbers are compared only within one task and with one encoder
DIRECTION = ("query_domain", "gallery_domain")
SETTING = (
    "method", "dataset", "protocol", "metric", "encoder", "preprocessing", "pooling", "selection_rule", "train_set",
    "test_set", "settings_digest", "data_at_test_time", "seen_in_pretraining", "pipeline_test",
)  # fmt: skip
DERIVED = ("preprocessing", "pooling")  # determined by the encoder's identity; missing in old records
IMAGES = ("query_fingerprint", "gallery_fingerprint")
BASELINE = "vanilla CLIP"  # the name of the baseline in published and reproduced tables; `is_baseline` defines it
WHOLE = (  # whole numbers; None if unknown
    "steps", "threads", "query_images", "gallery_images", "train_images", "own_image_excluded",
    "queries_without_relevant",
)  # fmt: skip


def _plain(value: Any) -> Any:
    """Numpy and torch scalars as plain numbers, so that a notebook can pass any of them."""
    return value.item() if hasattr(value, "item") and not isinstance(value, BaseModel) else value


def _metric(name: Any) -> str:
    """The name of a metric, checked."""
    try:
        return str(name if isinstance(name, Metric) else Metric.parse(name))
    except CdirError as error:
        raise ValueError(str(error)) from None


def _test_time_data(names: Iterable[str]) -> tuple[str, ...]:
    """Names of TEST_TIME_DATA, sorted, each once."""
    names = tuple(sorted({names} if isinstance(names, str) else set(names)))
    if unknown := [name for name in names if name not in TEST_TIME_DATA]:
        raise ValueError(f"{', '.join(unknown)} is unknown: use {', '.join(TEST_TIME_DATA)}")
    return names


def _fractions(moved: Mapping[str, Any]) -> dict[str, float]:
    return {group: float(fraction) for group, fraction in moved.items()}


Text = Annotated[str, Field(min_length=1)]
MetricName = Annotated[str, BeforeValidator(_metric)]
Count = Annotated[int, Field(ge=0), BeforeValidator(_plain)]
Commit = r"([0-9a-f]+(-dirty)?|unknown)"


def today() -> str:
    """Today's date in UTC, such as 2026-01-31."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


class Record(BaseModel):
    """A number with its context; metric, seed, selection rule, dataset and encoder are required.

    metric          name of a `conventions.Metric`, such as `P@10:hits_over_k`
    value           a fraction in [0, 1]; tables print percent
    gallery_domain  empty for a metric of one domain, such as zero-shot accuracy
    encoder         its identity; `preprocessing` and `pooling` describe it in words ("" if unknown)
    settings        the method's settings as plain data, without the seed; None: unknown
    settings_digest digest of the settings, by which seeds are grouped; it is computed from the settings, or read from
                    the table if they are unknown
    selection_rule  how the reported training state was chosen, one of `conventions.SELECTION_RULES`
    steps           optimiser steps up to the reported state; None if unknown
    moved           {group of parameters: relative L2 distance of the reported state from the initial state}
    train_set, test_set  descriptions of the training data and of the test data
    query_images, gallery_images, train_images  numbers of images; 0: none; None: unknown
    own_image_excluded  number of queries whose own image is in the gallery, and was left out of their rankings; None:
                    unknown
    queries_without_relevant  number of queries without a relevant image in the gallery; the convention decides whether
                    they count as 0 or not at all; None: unknown
    query_fingerprint, gallery_fingerprint, train_fingerprint  `ImageSet.fingerprint`; empty if unknown or if none
    train_pool_fingerprint  fingerprint of the images from which the seed drew the training images; empty if unknown or
                            if none
    image_counts    the number of images of the dataset if it differs from the card's, such as "168 of 9,991 images"
    seen_in_pretraining  number of images of `test_set` that the encoder saw in its pretraining; 0 if unknown
    data_at_test_time  the entries of TEST_TIME_DATA on which an embedding depends besides the image; sorted
    threads         number of CPU threads of torch; None if unknown
    pipeline_test   the reason why the number only tests the pipeline, such as "random weights", which is set
                    automatically if the encoder's name contains "random"; empty for a result
    training_commit commit of the code that trained the method; empty if nothing was trained
    measuring_commit, date  commit of the code and UTC date of the measurement

    Raises CdirError, which names every invalid field. (A commit such as "inf" is invalid: spreadsheets
    convert a hash such as 912e518 to it.)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Text
    dataset: Text
    protocol: str = ""
    query_domain: str = ""
    gallery_domain: str = ""
    metric: MetricName
    value: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_plain)]
    seed: Annotated[int, BeforeValidator(_plain)]
    encoder: Text
    preprocessing: str = ""
    pooling: str = ""
    settings: SkipValidation[Mapping[str, Any] | None] = None
    settings_digest: str = ""
    selection_rule: Literal[SELECTION_RULES]  # pyright: ignore[reportInvalidTypeForm]
    steps: Count | None = None
    moved: Annotated[Mapping[str, float], BeforeValidator(_fractions)] = {}
    train_set: str = ""
    test_set: str = ""
    query_images: Count | None = None
    gallery_images: Count | None = None
    train_images: Count | None = None
    own_image_excluded: Count | None = None
    queries_without_relevant: Count | None = None
    query_fingerprint: str = ""
    gallery_fingerprint: str = ""
    train_fingerprint: str = ""
    train_pool_fingerprint: str = ""
    image_counts: str = ""
    seen_in_pretraining: Count = 0
    data_at_test_time: Annotated[tuple[str, ...], BeforeValidator(_test_time_data)] = ()
    threads: Annotated[int, Field(ge=1), BeforeValidator(_plain)] | None = None
    pipeline_test: str = ""
    training_commit: Annotated[str, Field(pattern=f"^({Commit})?$")] = ""
    measuring_commit: Annotated[str, Field(default_factory=current_commit, pattern=f"^{Commit}$")]
    date: Annotated[str, Field(default_factory=today, pattern=r"^(\d{4}-\d\d-\d\d|unknown)$")]

    _queries: QueryValues | None = PrivateAttr(None)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            name = " ".join(str(values.get(field, "?")) for field in ("method", "metric"))
            raise CdirError(f"invalid record ({printable(name)}): {problems(error)}") from None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Derive the settings' digest, and the label of random weights."""
        more = {}
        if re.search(r"\brandom\b", str(values.get("encoder", "")), re.I) and not values.get("pipeline_test"):
            more["pipeline_test"] = RANDOM_WEIGHTS
        if not values.get("settings_digest"):
            text = _json(values.get("settings") or {})
            more |= {"settings": json.loads(text), "settings_digest": _digest(text)}
        return {**values, **more}

    @property
    def queries(self) -> QueryValues | None:
        """The values of the single queries, for metrics that `measure` stores them for; None if they are unknown."""
        return self._queries

    def with_queries(self, values: QueryValues | None) -> "Record":
        """This record, with the values of its queries."""
        self._queries = values
        return self

    @property
    def kind(self) -> str:
        """The metric's kind: precision, average_precision or accuracy."""
        return Metric.parse(self.metric).kind

    @property
    def k(self) -> int | None:
        """The metric's cut-off; None if it has none."""
        return Metric.parse(self.metric).k

    @property
    def convention(self) -> str:
        """The metric's convention."""
        return Metric.parse(self.metric).convention


def problems(error: ValidationError) -> str:
    """Every problem in a pydantic error, on one line: `field: what is wrong`."""
    lines = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"] if isinstance(part, int) or part.isidentifier())
        value = "" if item["type"] in ("missing", "value_error") else f", not {item['input']!r}"
        lines.append(f"{field}: {_message(item, field)}{value}")
    return "; ".join(dict.fromkeys(lines))


def _message(item: Mapping[str, Any], field: str) -> str:
    """Pydantic's message, reworded for users of the workbook."""
    if item["type"] == "missing":
        return "missing, but every record needs it" if field in Record.model_fields else "missing"
    if field == "value" and item["type"] in ("less_than_equal", "greater_than_equal", "finite_number"):
        return "must be a finite fraction in [0, 1] (percent is only for printed tables)"
    if item["type"] == "extra_forbidden":
        return "unknown name"
    if field in ("training_commit", "measuring_commit"):
        return 'must be a git hash or "unknown" (a spreadsheet may have taken it for a number)'
    return (
        item["msg"].removeprefix("Value error, ").replace("Input should", "should").replace("String should", "should")
    )


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Ten hex digits that identify settings; the order of their keys does not matter.

    Raises CdirError for settings that are not plain data, since their text may contain a memory address.
    """
    return _digest(_json(settings))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _json(settings: Mapping[str, Any]) -> str:
    return json.dumps(dict(settings), sort_keys=True, default=_plain_setting)


def _plain_setting(value: Any) -> Any:
    """Convert numpy scalars and paths; raise CdirError for other objects."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise CdirError(f"settings: {value!r} is not plain data: use numbers, strings, lists and dicts")


PLAIN = {settings_digest(settings) for settings in ({}, {"similarity": "cosine"}, {"similarity": "euclidean"})}
_setting = attrgetter(*(name for name in (*SETTING, *DIRECTION, "seed") if name not in DERIVED))


def setting_of(record: Record) -> tuple:
    """The fields that identify a number: repeated measurements have equal values of them."""
    return _setting(record)


def same_images(left: Any, right: Any) -> bool:
    """Whether two records of one direction were measured on the same images; unknown images count as the same."""
    pairs = ((getattr(left, name), getattr(right, name)) for name in IMAGES)
    return all(a == b for a, b in pairs if a and b)


def is_baseline(record: Any) -> bool:
    """Whether a record, or row of a frame, is of the baseline, whatever its name.

    The baseline is a frozen encoder without settings other than its similarity: nothing was trained or selected, and
    no data but the query itself is used at test time. Unknown training data ("") count as none.
    """
    return (
        record.settings_digest in PLAIN
        and record.selection_rule == NOTHING_SELECTED
        and record.train_set in ("", FROZEN)
        and not record.train_fingerprint
        and not record.data_at_test_time
    )


def to_frame(records: Sequence[Record]) -> "pd.DataFrame":
    """One row per record and one column per field, always the same columns; unknown integers are missing (Int64).

    `settings` and `moved` are mappings, or None if unknown or if nothing moved; `data_at_test_time` is text, such as
    "all queries, gallery".
    """
    import pandas as pd

    frame = pd.DataFrame([vars(record) for record in records], columns=list(Record.model_fields))
    frame["moved"] = [moved or None for moved in frame["moved"]]  # pandas writes no empty mapping to Parquet
    frame["data_at_test_time"] = frame["data_at_test_time"].map(", ".join).astype(object)
    return frame.astype({**dict.fromkeys(WHOLE, "Int64"), "value": float, "seed": int})
