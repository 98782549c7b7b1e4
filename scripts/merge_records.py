"""Merge records of finished runs into a committed table of results.

    python scripts/merge_records.py cdir_nb/results/reproduced/clair-world.csv.gz runs/world-full-1a2b3c

A record replaces the record of the same setting, or is added if there is none. Records of metrics that are not in the
table are left out. Settings are added to the settings.json beside the table; records with unknown settings, or on
images other than those of the table, cannot be merged. A number that is in two tables must be replaced in both, since
two different values of one setting are an error. Then run `python -m cdir_nb.pages.claims_page`.
"""

from pathlib import Path
from typing import Annotated

import typer

from cdir_nb.errors import CdirError
from cdir_nb.results import Record, load_records, save_table
from cdir_nb.results.files import require_settings
from cdir_nb.results.records import same_images, setting_of


def main(
    table: Annotated[Path, typer.Argument(help="a csv or csv.gz file")],
    runs: Annotated[list[Path], typer.Argument(help="run folders, or tables made by `cdir results --csv`")],
) -> None:
    """Merge the records, and print how many were replaced and how many were added."""
    stored, new = _by_setting([table]), _by_setting(runs)
    metrics = {record.metric for record in stored.values()}
    new = {setting: record for setting, record in new.items() if record.metric in metrics}
    replaced = stored.keys() & new.keys()
    for setting in replaced:
        if not same_images(stored[setting], new[setting]):
            protocol = new[setting].protocol
            raise CdirError(f"{protocol}: measured on other images than in {table.name}: use another table")
    save_table(list((stored | new).values()), table)
    print(f"{table.name}: {len(replaced)} replaced, {len(new) - len(replaced)} added, {len(stored | new)} in all")


def _by_setting(sources: list[Path]) -> dict[tuple, Record]:
    """{setting: record}. Raises CdirError if the settings of a record are unknown."""
    records = load_records(sources)
    require_settings(records)
    return {setting_of(record): record for record in records}


if __name__ == "__main__":
    typer.run(main)
