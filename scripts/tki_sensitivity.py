"""Sensitivity of TKI to the settings that its paper leaves open, changed one by one, a few together, where no result is
reported.

    python scripts/tki_sensitivity.py                   ten of the drawn world's 30 training classes, tiny-clip
    python scripts/tki_sensitivity.py ../shared/data    also the half of PACS that real-clip has seen, real-clip

mAP@200 (over_min_k_relevant), mean over all directions. After each training a row is added to
docs/results/tki-sensitivity.csv. Rows in the file are not measured again: delete it after a change of method or
settings. CLAIR's settings are tried by `clair_grid.py`.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tqdm import tqdm

from cdir_nb.data import load_card, load_protocol, open_dataset
from cdir_nb.data.halves import SEEN, in_list
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ClipEncoder, load_encoder
from cdir_nb.methods.frozen.clip import VanillaClip
from cdir_nb.methods.tki import method as tki
from cdir_nb.methods.tki.settings import TkiConfig
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import by_direction, current_commit, measure
from cdir_nb.results.records import today

MEASURE = ("average_precision", "over_min_k_relevant", 200)
CHANGES = {
    "words": (2, 5, 10),
    "alpha": (10.0, 200.0),
    "mu": (0.0, 0.75),
    "trade_off": (0.1, 10.0),
    "word_std": (0.005, 0.1),
    "expansion_steps": (30, 300),
    "temperature": (0.03, 0.3, 1.0),
    "radius": (0.03, 0.1, 0.3, 3.0, 10.0),
    "hidden": (32, 512),
    "residual": (True,),
    "aggregation_steps": (30, 300),
    "unit_norm": (False,),
    "geometry": ("euclidean", "no bias"),
    "hyperbolic_layers": ("first", "both"),
}  # `output` makes no difference where h has unit norm
IN_BALL = {"unit_norm": False, "output": "ball"}
COMBINED = {  # of several settings: {what is changed: {value: settings}}
    "radius, small ball": {r: {**IN_BALL, "radius": r} for r in (0.03, 0.1, 0.3, 1.0, 10.0)},
    "temperature (Euclidean)": {t: {"geometry": "euclidean", "temperature": t} for t in (0.3, 1.0)},
}
FILE = ROOT / "docs" / "results" / "tki-sensitivity.csv"


def tasks(data: Path | None) -> Iterator[tuple[ClipEncoder, Protocol, str]]:
    """Encoder, task and its name: classes or images on which no result is reported."""
    world = load_protocol("world-unseen", open_dataset("world"))
    classes = world.seen[::3]  # as many as the protocol has unseen ones
    known = replace(world, classes=classes, gallery_classes=classes)
    yield load_encoder("tiny-clip"), known, "world-unseen, ten training classes"
    if data:
        images = in_list(open_dataset("pacs", data / "pacs"), "pacs", SEEN)
        yield load_encoder("real-clip"), load_protocol("pacs-all", images), "pacs, the half that real-clip has seen"


def runs(clip: ClipEncoder) -> Iterator[tuple[str, object, TkiConfig, bool]]:
    """Setting, value, config, and whether it is the default."""
    base = TkiConfig()
    for name, others in CHANGES.items():
        default = getattr(base, name)
        yield name, clip.dim if default is None else default, base, True  # hidden = None: the width of the features
        yield from ((name, value, base.changed(**{name: value}), False) for value in others)
    for named, changes in COMBINED.items():
        yield from ((named, value, base.changed(**change), False) for value, change in changes.items())


def percent_of(clip: ClipEncoder, task: Protocol) -> Callable[[TkiConfig | None, int], float]:
    """A function that gives mAP@200 in percent, mean over directions; without a config, that of vanilla CLIP."""
    names = [load_card(task.dataset).display(label) for label in task.classes]
    first_stage = functools.cache(functools.partial(tki.expand, clip, names, progress=False))

    @functools.cache
    def percent(config: TkiConfig | None, seed: int) -> float:
        method = VanillaClip(clip)
        if config:  # runs that differ only in the second stage share the first
            expansion = first_stage(config.first_stage(), seed=seed)
            method = tki.fit(clip, names, config, seed=seed, expansion=expansion, progress=False)
        return round(by_direction(measure(method, task, seed), *MEASURE).to_numpy().mean(), 3)

    return percent


def main(
    data: Annotated[Path | None, typer.Argument(help="folder of pacs")] = None,
    seeds: Annotated[int, typer.Option(help="number of seeds, starting at 0")] = 3,
) -> None:
    """Measure all settings that are not in the file yet."""
    rows = pd.read_csv(FILE, dtype={"commit": str, "value": str}).to_dict("records") if FILE.exists() else []
    done = {(row["task"], row["setting"], row["value"], row["seed"]) for row in rows}
    commit = current_commit()  # before the file, which is part of it, is changed
    for clip, task, task_name in tasks(data):
        percent = percent_of(clip, task)
        for seed, (name, value, config, default) in tqdm(list(product(range(seeds), runs(clip))), task_name):
            if (task_name, name, str(value), seed) in done:
                continue
            row = {"task": task_name, "encoder": clip.identity.split()[0], "setting": name, "value": str(value)}
            row |= {"seed": seed, "percent": percent(config, seed), "default": default}
            rows.append({**row, "vanilla": percent(None, 0), "date": today(), "commit": commit})
            with atomic_write(FILE) as path:
                pd.DataFrame(rows).to_csv(path, index=False)


if __name__ == "__main__":
    typer.run(main)
