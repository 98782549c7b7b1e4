"""Write docs/results/released.csv.gz: the means of the committed records, which a test compares with the records.

    python scripts/released.py

Run it for a release, after `docs/results/changes.md` names the rows that vanished or moved beyond their spread.
"""

import gzip
import json
from typing import Any

import pandas as pd

from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import reproduced_records, to_frame
from cdir_nb.results.records import Record

RELEASED = ROOT / "docs" / "results" / "released.csv.gz"
CHANGES = ROOT / "docs" / "results" / "changes.md"
ROW = ["dataset", "protocol", "encoder", "method", "selection_rule", "settings_digest", "metric"]
ROUNDING = 5e-5  # of a fraction: half of the last digit that tables print


def released_rows(records: list[Record]) -> pd.DataFrame:
    """Mean and spread over seeds of the mean over directions, as fractions: one row for each value of ROW.

    spread  standard deviation over seeds; 0 for one seed
    """
    frame = to_frame(records)
    runs: Any = frame.groupby([*ROW, "seed"], sort=True)["value"].mean()
    runs = runs.groupby(ROW)
    rows = pd.DataFrame({"mean": runs.mean(), "spread": runs.std().fillna(0.0), "seeds": runs.size()})
    return rows.round(5)


def changes(released: pd.DataFrame, now: pd.DataFrame) -> list[str]:
    """Rows that vanished, or moved by more than the released spread over seeds: name, and what happened."""
    changed = []
    for key, row in released.iterrows():
        name = ", ".join(str(part) for part in key)  # pyright: ignore[reportGeneralTypeIssues]
        if key not in now.index:
            changed.append(f"{name}: vanished")
        elif abs(now.loc[key, "mean"] - row["mean"]) > max(row["spread"], ROUNDING):  # pyright: ignore[reportArgumentType]
            changed.append(f"{name}: {100 * row['mean']:.2f} -> {100 * now.loc[key, 'mean']:.2f}")
    return changed


def read_released() -> pd.DataFrame:
    """The rows of the last release."""
    frame = pd.read_csv(RELEASED, keep_default_na=False, dtype={"settings_digest": str})
    return frame.set_index(ROW)


def undocumented(changed: list[str], text: str) -> list[str]:
    """The changes without a line in the text of `changes.md`: a line with method, task and digest in backticks."""
    lines = text.splitlines()
    return [change for change in changed if not any(f"`{change.partition(': ')[0]}`" in line for line in lines)]


def main() -> None:
    text = released_rows(reproduced_records()).to_csv()
    with atomic_write(RELEASED) as path:
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(json.dumps({"rows": text.count("\n") - 1, "bytes": RELEASED.stat().st_size}))


if __name__ == "__main__":
    main()
