"""Sensitivity of TKI to the settings that its paper leaves open, changed one by one, a few together, where no result is
reported.

    python scripts/tki_sensitivity.py                   ten of the drawn world's 30 training classes, tiny-clip
    python scripts/tki_sensitivity.py ../shared/data    also the half of PACS that real-clip has seen, real-clip

mAP@200:over_min_k_relevant, mean over all directions. After each training a row is added to
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
from cdir_nb.methods.tki.settings import TkiConfig, training_names
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import by_direction, current_commit, measure
from cdir_nb.results.records import today

MEASURE = "mAP@200:over_min_k_relevant"
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
ALL, RESIDUAL = {"other_names": 0}, {"residual": True}
STRATEGY_2 = {  # learnt from names of other classes, as many as the task's own unless said
    "as many names": {},
    "10 names": {"other_names": 10},
    "20 names": {"other_names": 20},
    "all names": ALL,
    "as many names, residual": RESIDUAL,
    "all names, residual": {**ALL, **RESIDUAL},
    "all names, 10 steps": {**ALL, "aggregation_steps": 10},
    "all names, residual, 10 steps": {**ALL, **RESIDUAL, "aggregation_steps": 10},
    "all names, residual, 30 steps": {**ALL, **RESIDUAL, "aggregation_steps": 30},
}
FILE = ROOT / "docs" / "results" / "tki-sensitivity.csv"


def tasks(data: Path | None) -> Iterator[tuple[ClipEncoder, Protocol, str, list[str] | None]]:
    """Encoder, task and its name: classes or images on which no result is reported; strategy 2's names to draw from."""
    world = load_protocol("world-unseen", open_dataset("world"))
    classes = world.seen[::3]  # as many as the protocol has unseen ones
    known = replace(world, classes=classes, gallery_classes=classes)
    others = [label for label in world.seen if label not in classes]
    yield load_encoder("tiny-clip"), known, "world-unseen, ten training classes", others
    if data:
        images = in_list(open_dataset("pacs", data / "pacs"), "pacs", SEEN)
        yield (
            load_encoder("real-clip"),
            load_protocol("pacs-all", images),
            "pacs, the half that real-clip has seen",
            None,
        )


def runs(clip: ClipEncoder) -> Iterator[tuple[str, object, TkiConfig, int, bool]]:
    """Setting, value, config, label strategy, and whether it is the default."""
    base = TkiConfig()
    for name, others in CHANGES.items():
        default = getattr(base, name)
        yield name, clip.dim if default is None else default, base, 1, True  # hidden = None: the width of the features
        yield from ((name, value, base.changed(**{name: value}), 1, False) for value in others)
    for named, changes in COMBINED.items():
        yield from ((named, value, base.changed(**change), 1, False) for value, change in changes.items())
    yield from (("strategy 2", value, base.changed(**change), 2, False) for value, change in STRATEGY_2.items())


def percent_of(clip: ClipEncoder, task: Protocol, pool: list[str] | None) -> Callable[..., float]:
    """A function that gives mAP@200 in percent, mean over directions; without a config, that of vanilla CLIP."""
    own = [load_card(task.dataset).display(label) for label in task.classes]
    first_stage = functools.cache(functools.partial(tki.expand, clip, progress=False))

    @functools.cache
    def percent(config: TkiConfig | None, strategy: int, seed: int) -> float:
        method = VanillaClip(clip)
        if config:  # runs that differ only in the second stage share the first
            names = tuple(training_names(own, strategy, pool=pool, count=config.other_names, seed=seed))
            expansion = first_stage(names, config.first_stage(), seed=seed)
            method = tki.fit(clip, names, config, strategy=strategy, seed=seed, expansion=expansion, progress=False)
        return round(by_direction(measure(method, task, seed), MEASURE).to_numpy().mean(), 3)

    return percent


def main(
    data: Annotated[Path | None, typer.Argument(help="folder of pacs")] = None,
    seeds: Annotated[int, typer.Option(help="number of seeds, starting at 0")] = 3,
) -> None:
    """Measure all settings that are not in the file yet."""
    rows = pd.read_csv(FILE, dtype={"commit": str, "value": str}).to_dict("records") if FILE.exists() else []
    done = {(row["task"], row["setting"], row["value"], row["seed"]) for row in rows}
    commit = current_commit()  # before the file, which is part of it, is changed
    for clip, task, task_name, pool in tasks(data):
        percent = percent_of(clip, task, pool)
        for seed, (name, value, config, strategy, default) in tqdm(list(product(range(seeds), runs(clip))), task_name):
            if (task_name, name, str(value), seed) in done:
                continue
            row = {"task": task_name, "encoder": clip.identity.split()[0], "setting": name, "value": str(value)}
            row |= {"seed": seed, "percent": percent(config, strategy, seed), "default": default}
            rows.append({**row, "vanilla": percent(None, 1, 0), "date": today(), "commit": commit})
            with atomic_write(FILE) as path:
                pd.DataFrame(rows).to_csv(path, index=False)


if __name__ == "__main__":
    typer.run(main)
