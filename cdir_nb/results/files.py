"""Files of records: lines of JSON in a run folder, or a table; settings are stored once, in a separate file."""

import ast
import csv
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdir_nb.errors import CdirError, require_extra
from cdir_nb.paths import atomic_write
from cdir_nb.results.queries import load_queries, save_queries
from cdir_nb.results.records import IMAGES, SAME, WHOLE, Record, same_images, setting_of, settings_digest, to_frame

if TYPE_CHECKING:
    import pandas as pd

REPRODUCED = Path(__file__).with_name("reproduced")
TABLES = (".csv", ".csv.gz", ".parquet")  # large csv files are compressed
SETTINGS = "settings.json"  # {digest: settings}, beside a table or the jsonl files of a folder
# Missing in tables that were written before there were these fields.
NEW_FIELDS = ("train_pool_fingerprint", "image_counts", "queries_without_relevant", "own_image_excluded")
REQUIRED = tuple(name for name in Record.model_fields if name not in ("settings", *NEW_FIELDS))
FINGERPRINTS = tuple(name for name in Record.model_fields if name.endswith("_fingerprint"))
NO_SETTINGS = settings_digest({})
MIN_DIGITS = 4  # of a digest by which settings are searched
MAY_DIFFER = (
    "threads", "training_commit", "measuring_commit", *IMAGES, "train_fingerprint", "train_pool_fingerprint",
    "image_counts", "steps",
)  # fmt: skip
INDEX = re.compile(r"|index|level_0|Unnamed: \d+")  # names of a column with pandas' index
# What a damaged file of records raises in its reader.
DAMAGE = (
    ValueError, TypeError, LookupError, RecursionError, EOFError, SyntaxError, gzip.BadGzipFile, csv.Error, CdirError
)  # fmt: skip

Settings = dict[str, dict[str, Any]]  # by digest


# ---- writing ----------------------------------------------------------------------------------------------------


def save_records(records: Iterable[Record], out_dir: str | Path, name: str = "records") -> int:
    """Write records to `out_dir/name.jsonl`, one JSON object per line, atomically; returns the number of records.

    Their settings are added to `out_dir/settings.json`. If `out_dir` is empty (in an interactive notebook), nothing is
    written. An existing file with this name is replaced.
    """
    records = list(records)
    if str(out_dir):
        _add_settings(records, Path(out_dir) / SETTINGS)
        lines = [record.model_dump_json(exclude={"settings"}) for record in records]
        with atomic_write(Path(out_dir) / f"{name}.jsonl") as temporary:
            temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        _save_queries(records, Path(out_dir) / f"{name}.jsonl")
    return len(records)


def save_table(records: Sequence[Record], path: Path, *, parquet: bool = False) -> None:
    """Write records to a table, atomically: csv, compressed for a name that ends in .gz, or Parquet.

    Their settings are added to the `settings.json` in the same folder. Equal records give an equal file.
    """
    _add_settings(records, path.parent / SETTINGS)
    with atomic_write(path) as temporary:
        if parquet:
            require_extra("notebooks", "fastparquet")
            import fastparquet  # used directly, since pandas is dropping its support for it

            fastparquet.write(str(temporary), _stored_frame(records), write_index=False)
        else:
            text = as_csv(records).encode()
            temporary.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    _save_queries(records, path)


def as_csv(records: Sequence[Record]) -> str:
    """The records as the text of a csv table, one a line."""
    return _stored_frame(records).to_csv(index=False)


def _stored_frame(records: Sequence[Record]) -> "pd.DataFrame":
    frame = to_frame(records).drop(columns="settings")
    frame["moved"] = [json.dumps(moved) if moved else "" for moved in frame["moved"]]
    return frame


def _save_queries(records: Iterable[Record], path: Path) -> None:
    """Write the values of the records' queries beside their file, if they have any; otherwise remove an older file."""
    values = {setting_of(record): record.queries for record in records if record.queries}
    if values:
        save_queries(values, queries_file(path))
    else:
        queries_file(path).unlink(missing_ok=True)


def queries_file(path: Path) -> Path:
    """The file with the values of single queries that belongs to a file of records."""
    return path.with_name(path.name.partition(".")[0] + ".queries.npz")


def _add_settings(records: Iterable[Record], path: Path) -> None:
    """Add the records' settings to a file; entries that no record here has are left as they are."""
    new = {record.settings_digest: record.settings for record in records if record.settings is not None}
    stored = read_settings(path.parent)
    if not new.keys() <= stored.keys() or not path.exists():
        lines = (f" {json.dumps(digest)}: {json.dumps(values)}" for digest, values in sorted({**stored, **new}.items()))
        with atomic_write(path) as temporary:
            temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


# ---- reading ----------------------------------------------------------------------------------------------------


def load_records(sources: Iterable[str | Path] | str | Path) -> list[Record]:
    """All records in run folders and tables, in order and without duplicates.

    Tables are csv and Parquet files from `cdir results`, also after Excel or pandas has saved them.

    From a run folder of `cdir reproduce`, only the current results are read, not those of superseded, failed or
    unfinished jobs. If two records agree in `setting_of` and in their values, the first one is returned. Settings that
    are not in the `settings.json` beside a file are None.

    Raises CdirError for a missing folder, for a damaged line, and if two records of one setting have different values,
    or equal values on different images; the message names both sources.
    """
    sources = [sources] if isinstance(sources, (str, Path)) else sources
    records: dict[tuple, tuple[Record, Path]] = {}
    for path in (file for source in sources for file in record_files(Path(source))):
        queries = load_queries(queries_file(path))
        for record in _read(path):
            setting = setting_of(record)
            first = records.setdefault(setting, (record.with_queries(queries.get(setting)), path))
            if abs(first[0].value - record.value) > SAME or not same_images(first[0], record):
                raise CdirError(_conflict(first, (record, path)))
    return [record for record, _ in records.values()]


def reproduced_records(*tables: str) -> list[Record]:
    """The committed results, from finished runs: all csv and csv.gz files in cdir_nb/results/reproduced.

    tables  names of files without their ending, such as "clair-world"; none: all files, which takes ten seconds
    Raises CdirError for an unknown name.
    """
    files = {path.name.partition(".")[0]: path for path in reproduced_tables()}
    if unknown := [name for name in tables if name not in files]:
        raise CdirError(f"no committed table {unknown[0]!r}; there are {', '.join(files)}")
    return load_records(files[name] for name in tables or files)


def reproduced_tables() -> list[Path]:
    """The files of `reproduced_records`."""
    return [path for path in sorted(REPRODUCED.iterdir()) if _is_table(path)]


def _conflict(*pair: tuple[Record, Path]) -> str:
    """Error message, in one line, for two different values of one setting."""
    record = pair[0][0]
    direction = " -> ".join(filter(None, (record.query_domain, record.gallery_domain)))
    what = [record.method, record.dataset, record.protocol, direction, record.metric, f"seed {record.seed}"]
    values = " and ".join(f"{r.value:.6f} in {path} (commit {r.measuring_commit}, {r.date})" for r, path in pair)
    images = "" if same_images(pair[0][0], pair[1][0]) else ", on different images"
    differing = [name for name in MAY_DIFFER if len({getattr(r, name) for r, _ in pair}) > 1]
    texts = [f"{name} {' and '.join(str(getattr(r, name) or 'unknown') for r, _ in pair)}" for name in differing]
    reason = f"they differ in {', '.join(texts)}" if texts else f"they agree in {', '.join(MAY_DIFFER)}"
    return (
        f"two values of one setting ({', '.join(filter(None, what))}){images}: {values}; {reason}; load one of them "
        "at a time"
    )


def _is_table(path: Path) -> bool:
    return path.name.lower().endswith(TABLES)


def record_files(folder: Path) -> list[Path]:
    """The `*.jsonl` files in a folder; for a csv or Parquet file, the file itself."""
    if folder.is_file():
        if not _is_table(folder):
            raise CdirError(
                f"{folder} is not a readable table: give a folder made by `cdir reproduce`, or save it as "
                "CSV UTF-8 (.csv) or Parquet (.parquet)"
            )
        return [folder]
    if not folder.is_dir():
        raise CdirError(
            f"no run folder {folder}: give a folder made by `cdir reproduce`, or a table made by `cdir results`"
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
    """False for files in the folders of unfinished (`.name.partial`) and failed (`name.failed`) jobs."""
    parts = path.relative_to(folder).parts
    return path.is_file() and not any(part.startswith(".") or part.endswith(".failed") for part in parts)


def read_settings(folder: Path) -> Settings:
    """{digest: settings} from the `settings.json` in a folder; empty without one.

    Raises CdirError for a damaged file, and for settings that do not match their digest.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict) or not all(isinstance(settings, dict) for settings in stored.values()):
        raise CdirError(f"{path} is not a file of settings: move it, or restore the one that belongs to the records")
    for digest, settings in stored.items():
        if settings_digest(settings) != digest:
            raise CdirError(f"{path}: the settings under {digest} were changed: restore the file")
    return stored


def find_settings(digest: str, sources: Iterable[Path]) -> tuple[str, dict[str, Any], list[str]]:
    """A complete digest, its settings, and the numbers that have them: method, task and encoder, each once.

    digest   at least four digits with which it begins
    sources  run folders and tables

    Raises CdirError if no source has the digest, or if several digests begin with these digits.
    """
    matches: Settings = {}
    numbers: dict[str, None] = {}
    for path in dict.fromkeys(file for source in sources for file in record_files(source)):
        here = {name: values for name, values in read_settings(path.parent).items() if name.startswith(digest)}
        matches |= here
        rows = (row if isinstance(row, Mapping) else json.loads(row) for row in _rows(path)) if here else ()
        for row in rows:
            if row["settings_digest"] in here:
                numbers[f"{row['method']}, {row['protocol'] or row['dataset']}, {row['encoder']}"] = None
    if len(digest) < MIN_DIGITS or not matches:
        raise CdirError(
            f"settings {digest}: not found: give at least {MIN_DIGITS} digits of a digest that `cdir results --all` "
            "prints, and --run for a run that is not in runs/"
        )
    if len(matches) > 1:
        raise CdirError(
            f"settings {digest}: several digests begin with it: give more digits of {' or '.join(sorted(matches))}"
        )
    ((complete, settings),) = matches.items()
    return complete, settings, [*numbers]


def require_settings(records: Iterable[Record]) -> None:
    """Raise CdirError, naming method and digest, if the settings of a record are unknown."""
    for record in records:
        if record.settings is None:
            raise CdirError(
                f"{record.method}, settings {record.settings_digest}: settings unknown: put the {SETTINGS} that was "
                "written with these records beside them"
            )


def _read(path: Path) -> Iterator[Record]:
    """The records in a file. For old records without a date, the date is "unknown", not today."""
    table = _is_table(path)
    parse, remedy = (_table_row, "export it again") if table else (_json_row, "run its notebook again")
    stored, number = read_settings(path.parent), 0
    try:
        for number, row in enumerate(_rows(path), start=2 if table else 1):  # noqa: B007
            if table and not any(row.values()):
                continue  # spreadsheets add empty rows
            values = {"date": "unknown", "settings": None, **parse(row)}
            yield Record(**{**values, "settings": stored.get(values["settings_digest"], values["settings"])})
    except UnicodeDecodeError:
        raise CdirError(f"{path}, line {number}: not a record (not UTF-8); save it as CSV UTF-8, or {remedy}") from None
    except DAMAGE as error:
        raise CdirError(f"{path}, line {number}: not a record ({error}); {remedy}") from None


def _rows(path: Path) -> Iterator[Any]:
    """The lines of a jsonl file, or the rows of a table as dictionaries."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        require_extra("notebooks", "fastparquet")
        import pandas as pd

        frame = pd.read_parquet(path).reset_index()  # columns that pandas made the index
        frame = frame.drop(columns="settings", errors="ignore").astype(object)
        yield from frame.where(frame.notna(), "").to_dict("records")
    elif _is_table(path):
        with (gzip.open if suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as handle:
            header = handle.readline()
            separator = max(",;\t", key=header.count)  # European versions of Excel write semicolons
            yield from csv.DictReader(chain([header], handle), delimiter=separator)
    else:
        with path.open(encoding="utf-8") as handle:
            yield from handle


def _json_row(line: str) -> dict[str, Any]:
    """A line of a jsonl file as arguments of `Record`. Raises ValueError if the digest of the settings is missing."""
    values = json.loads(line)
    if not isinstance(values, Mapping) or not values.get("settings_digest"):
        raise ValueError("settings_digest is missing")
    return {**values}


def _table_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a table as arguments of `Record`; columns without a name are left out, since they are pandas' index.

    Raises ValueError for a missing column, for more cells than columns, and for a value that a spreadsheet has changed.
    """
    if None in row:
        raise ValueError(f"more cells than columns: {row[None]}")
    texts = {name: _text(row[name]) for name in _named(tuple(row)) if row[name] is not None}
    if missing := [name for name in REQUIRED if name not in texts]:
        raise ValueError(f"missing columns: {', '.join(missing)}")
    digest, data, moved = (texts[name] for name in ("settings_digest", "data_at_test_time", "moved"))
    if damaged := [name for name in FINGERPRINTS if "+" in texts.get(name, "")]:
        raise ValueError(f"{damaged[0]}: {texts[damaged[0]]} is a number (a spreadsheet has changed it)")
    if not re.fullmatch("[0-9a-f]{10}", digest):
        raise ValueError(f"settings_digest: {digest} is not ten hex digits (a spreadsheet may have changed it)")
    settings = _mapping(texts.get("settings", ""))
    known = (settings_digest(settings) if settings else NO_SETTINGS) == digest
    return {
        **texts,
        **{name: texts[name].replace(",", ".") for name in ("value", "seed", "seen_in_pretraining")},  # decimal commas
        **{name: texts.get(name, "").replace(",", ".") or None for name in WHOLE},
        "date": _iso_date(texts["date"]),
        "moved": {group: fraction for group, fraction in _mapping(moved).items() if fraction is not None},
        "data_at_test_time": data.split(", ") if data else (),
        "settings": settings if known else None,
    }


@lru_cache
def _named(columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a table, without pandas' index."""
    return tuple(name for name in columns if not INDEX.fullmatch(name))


def _text(value: Any) -> Any:
    """A cell as text, unless it holds a mapping, as Parquet can."""
    return value if isinstance(value, (str, Mapping)) else str(value)


def _mapping(value: Mapping | str) -> Mapping[str, Any]:
    """A mapping written as JSON, or by pandas as Python; empty for empty text. Raises ValueError for other values."""
    if isinstance(value, Mapping) or not value:
        return value or {}
    try:
        mapping = json.loads(value)
    except ValueError:
        mapping = ast.literal_eval(value)
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{value} is no mapping, such as {{}}")
    return mapping


def _iso_date(text: str) -> str:
    """A date as 2026-01-31. Spreadsheets also write 31.01.2026, and 1/2/2026, which is ambiguous: "unknown"."""
    if iso := re.match(r"\d{4}-\d\d-\d\d", text):
        return iso[0]
    if parts := re.fullmatch(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", text):
        return f"{parts[3]}-{parts[2]:0>2}-{parts[1]:0>2}"
    return "unknown" if re.fullmatch(r"\d{1,2}/\d{1,2}/\d{2,4}", text) else text
