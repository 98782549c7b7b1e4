"""Write a table of trials from run folders.

    python scripts/trials_table.py trials.csv runs/when-does-it-pay-world-DIGEST runs/when-does-it-pay-pacs-DIGEST

The table is docs/results/clair-grid.csv, tki-sensitivity.csv or when-does-it-pay.csv, depending on the beginning of the
profile's name. All folders must belong to the same table.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from cdir_nb.conventions import BY_PSEUDO_LABELS, BY_SEEN_LABELS, LAST_EPOCH, NOTHING_SELECTED
from cdir_nb.encoders import load_encoder
from cdir_nb.methods.tki import TkiSettings
from cdir_nb.pages.run_folder import DONE, Run, read_run
from cdir_nb.results import Record, by_direction, load_records

VANILLA, ACCURACY = "vanilla CLIP", "accuracy:"
Rows = Iterator[dict[str, Any]]


def clair_grid(run: Run) -> Rows:
    """One row per trial and epoch: the scores on held-out training images. Epoch 0 is the initial state."""
    jobs = [part.parameters["settings"] for part in run.parts]
    for part, job in zip(run.parts, jobs):
        changed = {name: value for name, value in job.items() if any(value != other.get(name) for other in jobs)}
        history = pd.read_csv(part.folder / "history.csv")
        for row in history.to_dict("records"):
            yield {
                "encoder": part.parameters["encoder"],
                "pair": row["domains"],
                "changed": as_text(changed) or "as chosen",
                "epoch": row["epoch"],
                "steps": row["steps"],
                "P@5, pseudo-labels": round(100 * row[BY_PSEUDO_LABELS], 2),
                "P@5, true labels": round(100 * row[BY_SEEN_LABELS], 2),
                **{name: value for name, value in row.items() if name.startswith("moved, ")},
                "labels changed": row["labels changed"],
                "seconds": row["seconds"],
            }


def tki_sensitivity(run: Run) -> Rows:
    """One row per setting, value and seed, with mAP@200 as a mean over directions; defaults are included."""
    jobs = [part.parameters["settings"] for part in run.parts]
    names = {name for job in jobs if len(job) == 1 for name in job} - {"strategy"}
    for part in run.parts:
        records, changed = load_records(part.folder), dict(part.parameters["settings"])
        percent = by_direction(records, "mAP@200:over_min_k_relevant").mean().round(3)
        row = {"task": records[0].protocol, "encoder": encoder_of(records[0]), "seed": part.parameters["seed"]}
        row |= {"percent": percent["TKI"], "vanilla": percent[VANILLA], "default": not changed, **when(records[0])}
        if not changed:
            width = load_encoder(part.parameters["encoder"]).dim  # of h, if `hidden` is None
            yield from ({**row, "setting": name, "value": default_of(name, width)} for name in sorted(names))
        elif changed.pop("strategy", 1) == 2:
            yield {**row, "setting": "strategy 2", "value": as_text(changed) or "as many names"}
        else:
            name, value = changed.popitem()
            yield {**row, "setting": ", ".join(filter(None, [as_text(changed), name])), "value": value}


def default_of(name: str, width: int) -> Any:
    """The default of a setting of TKI; for the hidden width, None is replaced by the width of the features."""
    value = getattr(TkiSettings(), name)
    return width if name == "hidden" and value is None else value


def when_does_it_pay(run: Run) -> Rows:
    """One row per method and seed: P@10 of the method and of vanilla CLIP, mean over the method's directions."""
    for part in run.parts:
        records = load_records(part.folder)
        right = np.mean([record.value for record in records if record.metric.startswith(ACCURACY)])
        last = [record for record in records if record.selection_rule in (LAST_EPOCH, NOTHING_SELECTED)]
        percent = by_direction(last, "P@10:hits_over_k").dropna()
        method = next(name for name in percent if name != VANILLA)
        one = next(record for record in last if record.method == method)
        yield {
            "encoder": encoder_of(one),
            "task": one.protocol,
            "zero-shot accuracy": round(100 * right, 2),
            "method": method,
            "seed": one.seed,
            "P@10": round(percent[method].mean(), 3),
            "vanilla": round(percent[VANILLA].mean(), 3),
            "directions": len(percent),
            "steps": one.steps,
            **when(one),
        }


def encoder_of(record: Record) -> str:
    return record.encoder.split()[0]


def when(record: Record) -> dict[str, str]:
    return {"date": record.date, "commit": record.measuring_commit}


def as_text(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


TABLES = {"clair-grid": clair_grid, "tki-sensitivity": tki_sensitivity, "when-does-it-pay": when_does_it_pay}


def main(
    out: Annotated[Path, typer.Argument(help="the csv file to write")],
    folders: Annotated[list[Path], typer.Argument(help="run folders of `cdir reproduce`, all jobs finished")],
) -> None:
    """Write the table of the trials in the run folders."""
    runs = [read_run(folder) for folder in folders]
    kinds = {kind for kind in TABLES for run in runs if run.profile.startswith(kind)}
    if len(kinds) != 1 or not all(run.profile.startswith(tuple(kinds)) for run in runs):
        raise typer.BadParameter(f"the profiles must be of one kind: {', '.join(f'{kind}-*' for kind in TABLES)}")
    if missing := [part.label for run in runs for part in run.parts if part.status != DONE]:
        raise typer.BadParameter(f"{missing[0]} is not finished: run `cdir reproduce` again")
    table = TABLES[kinds.pop()]
    rows = [row for run in runs for row in table(run)]
    pd.DataFrame(rows).to_csv(out, index=False)
    print(f"{out}: {len(rows)} rows")


if __name__ == "__main__":
    typer.run(main)
