"""Sensitivity of TKI to the settings that its paper leaves open, one changed at a time, on the drawn world.

    python scripts/tki_sensitivity.py

Protocol world-unseen, the tiny CLIP, mAP@200 (over_min_k_relevant), mean over all directions. After each training a row
is added to docs/results/tki-sensitivity.csv. Rows in the file are not measured again: delete it after a change of
method or settings. CLAIR's settings are tried by `clair_grid.py`.
"""

import functools
from typing import Annotated

import pandas as pd
import typer
from tqdm import tqdm

from cdir_nb.data import load_card, load_protocol, open_dataset
from cdir_nb.encoders import load_encoder
from cdir_nb.methods.frozen.clip import VanillaClip
from cdir_nb.methods.tki import method as tki
from cdir_nb.methods.tki.settings import TkiConfig
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import by_direction, current_commit, measure
from cdir_nb.results.records import today

MEASURE = ("average_precision", "over_min_k_relevant", 200)
CHANGES = {
    "words": (2, 5, 10, 40),
    "alpha": (1.0, 10.0, 200.0),
    "mu": (0.0, 0.25, 0.75),
    "trade_off": (0.1, 10.0),
    "word_std": (0.005, 0.1),
    "expansion_steps": (10, 30, 300),
    "temperature": (0.03, 0.3),
    "radius": (0.03, 0.1, 0.3, 3.0, 10.0),
    "hidden": (32, 512),
    "residual": (True,),
    "aggregation_steps": (10, 30, 300),
}
CLIP, TASK = load_encoder("tiny-clip"), load_protocol("world-unseen", open_dataset("world"))
NAMES = [load_card("world").display(label) for label in TASK.classes]
FILE = ROOT / "docs" / "results" / "tki-sensitivity.csv"


@functools.cache
def texts(first_stage: TkiConfig, seed: int) -> tki.Expansion:
    """The first stage, shared by runs that differ only in the second."""
    return tki.expand(CLIP, NAMES, first_stage, seed=seed, progress=False)


@functools.cache
def percent(config: TkiConfig | None, seed: int = 0) -> float:
    """mAP@200 in percent, mean over directions; without a config, that of vanilla CLIP."""
    method = VanillaClip(CLIP)
    if config:
        expansion = texts(config.first_stage(), seed)
        method = tki.fit(CLIP, NAMES, config, seed=seed, expansion=expansion, progress=False)
    return round(by_direction(measure(method, TASK, seed), *MEASURE).to_numpy().mean(), 3)


def main(seeds: Annotated[int, typer.Option(help="number of seeds, starting at 0")] = 3) -> None:
    """Measure all settings that are not in the file yet."""
    base = TkiConfig()
    rows = pd.read_csv(FILE, dtype={"commit": str}).to_dict("records") if FILE.exists() else []
    done = {(row["setting"], str(row["value"]), row["seed"]) for row in rows}
    runs = [(name, value) for name, others in CHANGES.items() for value in (getattr(base, name), *others)]
    for seed in range(seeds):
        for name, value in tqdm(runs, f"seed {seed}"):
            shown = CLIP.dim if value is None else value  # hidden = None: the width of the features
            if (name, str(shown), seed) in done:
                continue
            row = {"task": TASK.name, "setting": name, "value": shown, "seed": seed}
            row["percent"] = percent(base.changed(**{name: value}), seed)
            row |= {"default": value == getattr(base, name), "vanilla": percent(None)}
            rows.append({**row, "date": today(), "commit": current_commit()})
            with atomic_write(FILE) as path:
                pd.DataFrame(rows).to_csv(path, index=False)


if __name__ == "__main__":
    typer.run(main)
