"""Values of single queries behind a record, and the files in which they are stored.

A record has the mean over queries. To decide whether a difference between two methods can be told from zero, `compare`
needs the values of the same queries under both methods.
"""

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdir_nb.errors import CdirError
from cdir_nb.paths import atomic_write

Key = tuple  # the fields of `records.setting_of`


@dataclass(frozen=True)
class QueryValues:
    """One metric of every query of a direction, in the order of the task's queries.

    numerator, denominator  (Q,) float32; their quotient is the value of a query, undefined where the denominator is 0
    labels                  (Q,) the queries' classes
    """

    numerator: np.ndarray
    denominator: np.ndarray
    labels: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """(Q,) float64; NaN for queries whose value is undefined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.denominator > 0, self.numerator.astype(float) / self.denominator, np.nan)


def save_queries(values: Mapping[Key, QueryValues], path: Path) -> None:
    """Write the values of several records to one compressed npz file, atomically. Equal values give an equal file."""
    names, codes = np.unique(np.concatenate([part.labels for part in values.values()]), return_inverse=True)
    arrays = {
        "records": np.array([json.dumps(key) for key in values]),
        "lengths": np.array([len(part.labels) for part in values.values()], np.int32),
        "numerator": np.concatenate([part.numerator for part in values.values()]).astype(np.float32),
        "denominator": np.concatenate([part.denominator for part in values.values()]).astype(np.float32),
        "classes": names.astype(str),
        "codes": codes.astype(np.int32),
    }
    with atomic_write(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **arrays)


def load_queries(path: Path) -> dict[Key, QueryValues]:
    """The inverse of `save_queries`; empty if there is no such file. Raises CdirError for a damaged file."""
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        ends = np.cumsum(arrays["lengths"])[:-1]
        columns = arrays["numerator"], arrays["denominator"], arrays["classes"][arrays["codes"]]
        parts = zip(*(np.split(column, ends) for column in columns))
        keys = [_key(json.loads(text)) for text in arrays["records"].tolist()]
        return {key: QueryValues(*part) for key, part in zip(keys, parts, strict=True)}
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise CdirError(f"{path} is not a file of query values ({error}): measure again, or remove it") from None


def _key(fields: Iterable) -> Key:
    """Restore a key whose tuples JSON turned into lists."""
    return tuple(tuple(field) if isinstance(field, list) else field for field in fields)
