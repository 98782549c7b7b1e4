"""Records: one number with everything needed to interpret it, stored as a line of JSON or a row of a CSV file."""

import csv
import datetime
import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cdir_nb.commit import current_commit
from cdir_nb.conventions import SELECTION_RULES
from cdir_nb.errors import CdirError
from cdir_nb.paths import atomic_write

if TYPE_CHECKING:
    import pandas as pd

REPRODUCED = Path(__file__).with_name("reproduced")
RANDOM_WEIGHTS = "random weights"
ONE_RUN = ("value", "steps", "moved", "commit", "date")  # fields that may differ between two runs of the same setting
TABLES = (".csv", ".csv.gz")  # large ones are compressed
SAME = 1e-6  # closer values count as equal: sums in another order, or a csv file with six decimals


def _plain(value: Any) -> Any:
    """Numpy and torch scalars as plain numbers, so that a notebook can pass any of them."""
    return value.item() if hasattr(value, "item") and not isinstance(value, BaseModel) else value


Text = Annotated[str, Field(min_length=1)]


def today() -> str:
    """Today's date in UTC, such as 2026-01-31."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


class Record(BaseModel):
    """One number with its context. A number without convention, seed or selection rule is refused.

    value           a fraction in [0, 1]; tables print percent
    k               cut-off of the metric; None if it has none
    gallery_domain  empty for a metric of one domain, such as zero-shot accuracy
    selection_rule  how the reported training state was chosen, one of `conventions.SELECTION_RULES`
    steps           optimiser steps up to the reported state; None if unknown
    moved           how far trained parameters are from their start by then, in words: relative L2 distance by group
    config_digest   digest of the method's settings without the seed, so that seeds of one setting are averaged
    seen_in_pretraining  number of images of `test_set` that the encoder saw in its pretraining; 0 if unknown
    pipeline_test   if not empty, the number only tests the pipeline, for the reason given ("random weights");
                    set automatically if the encoder's name contains "random"
    commit, date    commit of the code and UTC date of the measurement; "inf" and the like are refused, which a
                    spreadsheet makes of a hash such as 912e518
    Raises CdirError with one line that names every field that is wrong.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Text
    dataset: Text
    protocol: str = ""
    query_domain: str = ""
    gallery_domain: str = ""
    metric: Text
    convention: Text
    k: Annotated[int, Field(ge=1), BeforeValidator(_plain)] | None = None
    value: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_plain)]
    seed: Annotated[int, BeforeValidator(_plain)]
    encoder: Text
    config_digest: str = ""
    selection_rule: Literal[SELECTION_RULES]
    steps: Annotated[int, Field(ge=0), BeforeValidator(_plain)] | None = None
    moved: str = ""
    train_set: str = ""
    test_set: str = ""
    seen_in_pretraining: Annotated[int, Field(ge=0), BeforeValidator(_plain)] = 0
    pipeline_test: str = ""
    commit: str = Field(default_factory=current_commit, pattern=r"^([0-9a-f]+(-dirty)?|unknown)$")
    date: str = Field(default_factory=today, pattern=r"^(\d{4}-\d\d-\d\d|unknown)$")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            name = " ".join(str(values.get(field, "?")) for field in ("method", "metric"))
            raise CdirError(f"invalid record ({name}): {problems(error)}") from None

    @model_validator(mode="before")
    @classmethod
    def _label_random_weights(cls, values: dict[str, Any]) -> dict[str, Any]:
        if re.search(r"\brandom\b", str(values.get("encoder", "")), re.I) and not values.get("pipeline_test"):
            return {**values, "pipeline_test": RANDOM_WEIGHTS}
        return values


def problems(error: ValidationError) -> str:
    """Every problem in a pydantic error, on one line: `field: what is wrong`."""
    lines = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"] if isinstance(part, int) or part.isidentifier())
        given = "" if item["type"] in ("missing", "value_error") else f", not {item['input']!r}"
        lines.append(f"{field}: {_friendly(item, field)}{given}")
    return "; ".join(dict.fromkeys(lines))


def _friendly(item: dict[str, Any], field: str) -> str:
    """Pydantic's message in the terms of this workbook."""
    if item["type"] == "missing":
        return "missing, but every record needs it" if field in Record.model_fields else "missing"
    if field == "value" and item["type"] in ("less_than_equal", "greater_than_equal", "finite_number"):
        return "must be a finite fraction in [0, 1] (percent is only for printed tables)"
    if item["type"] == "extra_forbidden":
        return "unknown name"
    if field == "commit":
        return 'must be a git hash or "unknown" (a spreadsheet may have taken it for a number)'
    return (
        item["msg"].removeprefix("Value error, ").replace("Input should", "should").replace("String should", "should")
    )


def config_digest(config: dict[str, Any]) -> str:
    """Ten hex digits that identify a configuration; the order of its keys does not matter."""
    text = json.dumps(config, sort_keys=True, default=_only_paths)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _only_paths(value: Any) -> Any:
    """Convert numpy scalars and paths; refuse other objects, whose text may contain a memory address."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"config_digest: {value!r} is not plain data (numbers, strings, lists, dicts)")


def save_records(records: Iterable[Record], out_dir: str | Path, name: str = "records") -> int:
    """Write records to `out_dir/name.jsonl`, one JSON object per line, atomically; returns the number of records.

    With an empty `out_dir` (a notebook run by hand) nothing is written. An existing file of this name is replaced.
    """
    lines = [record.model_dump_json() for record in records]
    if str(out_dir):
        with atomic_write(Path(out_dir) / f"{name}.jsonl") as temporary:
            temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return len(lines)


def load_records(sources: Iterable[str | Path] | str | Path) -> list[Record]:
    """All records of one or several run folders and csv files (from `cdir results --csv`), each number once, in order.

    From a run folder of `cdir reproduce`, only the current results are read: none of superseded, failed or unfinished
    jobs. If two records have the same setting (every field but those in `ONE_RUN`), equal values count once, with the
    fields of the first source; different values raise CdirError with both sources, since a table must not choose
    between them. Also raises CdirError for a missing folder or a damaged line.
    """
    sources = [sources] if isinstance(sources, (str, Path)) else sources
    kept: dict[tuple, tuple[Record, Path]] = {}
    for path in (file for source in sources for file in record_files(Path(source))):
        for record in _read(path):
            first = kept.setdefault(setting_of(record), (record, path))
            if abs(first[0].value - record.value) > SAME:
                raise CdirError(_conflict(first, (record, path)))
    return [record for record, _ in kept.values()]


def reproduced_records() -> list[Record]:
    """The committed results: all csv and csv.gz files in cdir_nb/results/reproduced, from finished runs."""
    return load_records(path for path in sorted(REPRODUCED.iterdir()) if path.name.endswith(TABLES))


def setting_of(record: Record) -> tuple:
    """The setting that a number belongs to: every field but those in `ONE_RUN`."""
    return tuple(value for name, value in record if name not in ONE_RUN)


def _conflict(*both: tuple[Record, Path]) -> str:
    """Error message, in one line, for two different values of one setting."""
    record = both[0][0]
    place = " -> ".join(filter(None, (record.query_domain, record.gallery_domain)))
    what = [record.method, record.dataset, record.protocol, place, record.metric, f"seed {record.seed}"]
    values = " and ".join(f"{r.value:.6f} in {path} (commit {r.commit}, {r.date})" for r, path in both)
    return f"two values of one setting ({', '.join(filter(None, what))}): {values}; load one of them at a time"


def record_files(folder: Path) -> list[Path]:
    """The `*.jsonl` files in a run folder, or in any other folder; for a csv file, the file itself."""
    if folder.name.endswith(TABLES) and folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise CdirError(
            f"no run folder {folder}: give a folder made by `cdir reproduce`, or a csv file made by `cdir results`"
        )
    listing = folder / "run.json"
    if not listing.is_file():
        return [path for path in sorted(folder.rglob("*.jsonl")) if _is_finished(path, folder)]
    try:
        current = [folder / name for name in json.loads(listing.read_text(encoding="utf-8"))["folders"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise CdirError(f"{listing} is damaged: run `cdir reproduce` again") from None
    return [path for part in current if (part / "done").is_file() for path in sorted(part.glob("*.jsonl"))]


def _is_finished(path: Path, folder: Path) -> bool:
    """Whether it is a file outside of working folders (`.name.partial`) and failed ones (`name.failed`)."""
    parts = path.relative_to(folder).parts
    return path.is_file() and not any(part.startswith(".") or part.endswith(".failed") for part in parts)


def _read(path: Path) -> Iterator[Record]:
    """The records in a file. For old records without a date, the date is "unknown", not today."""
    table = path.name.endswith(TABLES)
    parse, remedy = (_csv_row, "export it again") if table else (json.loads, "run its notebook again")
    number = 0
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as handle:
            rows = csv.DictReader(handle) if table else handle
            for number, row in enumerate(rows, start=2 if table else 1):  # noqa: B007
                yield Record(**{"date": "unknown", **parse(row)})
    except (ValueError, TypeError, RecursionError, EOFError, gzip.BadGzipFile, csv.Error, CdirError) as error:
        raise CdirError(f"{path}, line {number}: not a record ({error}); {remedy}") from None


def _csv_row(row: dict[str, str]) -> dict[str, Any]:
    """A csv row as arguments of `Record`; empty k and steps become None. ValueError for a missing column."""
    if missing := [name for name in Record.model_fields if row.get(name) is None]:
        raise ValueError(f"missing columns: {', '.join(missing)}")
    return {**row, "k": row["k"] or None, "steps": row["steps"] or None}


def to_frame(records: Sequence[Record]) -> "pd.DataFrame":
    """One row per record and one column per field; the columns are always the same, `k` may be missing (Int64)."""
    import pandas as pd

    frame = pd.DataFrame([record.model_dump() for record in records], columns=list(Record.model_fields))
    return frame.astype({"k": "Int64", "steps": "Int64", "value": float, "seed": int})
