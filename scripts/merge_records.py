"""Put records of finished runs into a committed table of results.

    python scripts/merge_records.py cdir_nb/results/reproduced/clair-world.csv.gz runs/world-full-1a2b3c

A record replaces the one of the same setting, if there is one; the others are added. A table keeps its choice of
metrics, conventions and cut-offs: records of others are left out. A number in two tables must be replaced in
both, since reading two values of one setting is an error. Then run `scripts/claims_report.py`.
"""

import gzip
from pathlib import Path
from typing import Annotated

import typer

from cdir_nb.paths import atomic_write
from cdir_nb.results import load_records, to_frame
from cdir_nb.results.records import setting_of


def main(
    table: Annotated[Path, typer.Argument(help="a csv or csv.gz file")],
    runs: Annotated[list[Path], typer.Argument(help="run folders, or tables made by `cdir results --csv`")],
) -> None:
    """Merge and say how many records were replaced, and how many added."""
    kept = {setting_of(record): record for record in load_records(table)}
    kinds = {(record.metric, record.convention, record.k) for record in kept.values()}
    found = {setting_of(r): r for r in load_records(runs) if (r.metric, r.convention, r.k) in kinds}
    replaced = len(kept.keys() & found.keys())
    text = to_frame(list((kept | found).values())).to_csv(index=False).encode()
    with atomic_write(table) as path:  # without a time, equal records give an equal file
        path.write_bytes(gzip.compress(text, mtime=0) if table.suffix == ".gz" else text)
    print(f"{table.name}: {replaced} replaced, {len(found) - replaced} added, {len(kept | found)} in all")


if __name__ == "__main__":
    typer.run(main)
