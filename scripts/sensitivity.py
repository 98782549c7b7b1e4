"""Sensitivity of a method to the settings that its paper leaves open, one changed at a time, on the drawn world.

    python scripts/sensitivity.py clair        clipart and sketch, P@10 (hits_over_k), some of the training images
    python scripts/sensitivity.py tki          all directions, mAP@200 (over_min_k_relevant)

Protocol world-unseen, the tiny CLIP, mean over directions. After each training a row is added to
docs/results/METHOD-sensitivity.csv. Rows in the file are not measured again: delete it after a change of method or
settings.
"""

import functools
import operator
from typing import Annotated

import pandas as pd
import typer
from tqdm import tqdm

from cdir_nb.data import load_card, load_protocol, open_dataset
from cdir_nb.encoders import load_encoder
from cdir_nb.methods.clair import method as clair
from cdir_nb.methods.clair.settings import ClairConfig, named_config
from cdir_nb.methods.clair.state import kept_at
from cdir_nb.methods.clair.variants import variant
from cdir_nb.methods.frozen.clip import VanillaClip
from cdir_nb.methods.settings import Settings
from cdir_nb.methods.tki import method as tki
from cdir_nb.methods.tki.settings import TkiConfig
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import current_commit, measure
from cdir_nb.results.records import today

DOMAINS, TRAIN_IMAGES = ("clipart", "sketch"), 360  # CLAIR only
BASE = {"clair": named_config("CLAIR-A, tiny-clip"), "tki": TkiConfig()}
MEASURE = {"clair": ("precision", "hits_over_k", 10), "tki": ("average_precision", "over_min_k_relevant", 200)}
CHANGES = {
    "clair": {
        "prompts": (0, 2, 10),
        "learning_rate": (2e-4, 0.005, 0.1),
        "encoder_momentum": (0.0, 0.9),
        "temperature": (0.07, 0.5),
        "weight_kl": (0.1, 10.0),
        "weight_ii": (1.0,),
        "weight_ic": (10.0,),
        "weight_id": (10.0,),
        "refinement.steps": (1, 100),
        "refinement.weight": (10.0,),
        "refinement.spread": (0.1,),
        "refinement.scale": (100.0,),
        "train_mapping": (False,),
        "least_crop": (1.0,),
    },
    "tki": {
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
    },
}
CLIP, TASK = load_encoder("tiny-clip"), load_protocol("world-unseen", open_dataset("world"))
NAMES = [load_card("world").display(label) for label in TASK.classes]


def fit_clair(config: ClairConfig, seed: int) -> clair.ClairEmbedder:
    """CLAIR, loaded from the cache if it was trained before."""
    pair, config = variant("CLAIR", TASK, DOMAINS, config, train_images=TRAIN_IMAGES, seed=seed)
    return clair.fit(CLIP, pair, config, seed=seed, checkpoint=kept_at(CLIP, pair, config, seed), progress=False)


@functools.cache
def texts(first_stage: TkiConfig, seed: int) -> tki.Expansion:
    """The first stage, shared by runs that differ only in the second."""
    return tki.expand(CLIP, NAMES, first_stage, seed=seed, progress=False)


def fit_tki(config: TkiConfig, seed: int) -> tki.TkiEmbedder:
    """TKI, with the first stage shared and the second one trained."""
    return tki.fit(CLIP, NAMES, config, seed=seed, expansion=texts(config.first_stage(), seed), progress=False)


FIT = {"clair": fit_clair, "tki": fit_tki}


@functools.cache
def percent(method: str, config: Settings | None, seed: int = 0) -> float:
    """The method's metric in percent, averaged over directions; without a config, that of vanilla CLIP."""
    records = measure(FIT[method](config, seed) if config else VanillaClip(CLIP), TASK, seed)
    directions = (DOMAINS, DOMAINS[::-1]) if method == "clair" else TASK.directions
    return round(
        100
        * sum(
            record.value
            for record in records
            if (record.metric, record.convention, record.k) == MEASURE[method]
            and (record.query_domain, record.gallery_domain) in directions
        )
        / len(directions),
        3,
    )


def main(method: str, seeds: Annotated[int, typer.Option(help="number of seeds, starting at 0")] = 3) -> None:
    """Measure all settings that are not in the file yet."""
    base, file = BASE[method], ROOT / "docs" / "results" / f"{method}-sensitivity.csv"
    rows = pd.read_csv(file).to_dict("records") if file.exists() else []
    done = {(row["setting"], str(row["value"]), row["seed"]) for row in rows}
    default = {name: operator.attrgetter(name)(base) for name in CHANGES[method]}
    runs = [(name, value) for name, others in CHANGES[method].items() for value in (default[name], *others)]
    for seed in range(seeds):
        for name, value in tqdm(runs, f"seed {seed}"):
            shown = CLIP.dim if value is None else value  # hidden = None: the width of the features
            if (name, str(shown), seed) in done:
                continue
            row = {"task": TASK.name, "setting": name, "value": shown, "seed": seed}
            row["percent"] = percent(method, base.changed(**{name: value}), seed)
            row |= {"default": value == default[name], "vanilla": percent(method, None)}
            rows.append({**row, "date": today(), "commit": current_commit()})
            with atomic_write(file) as path:
                pd.DataFrame(rows).to_csv(path, index=False)


if __name__ == "__main__":
    typer.run(main)
