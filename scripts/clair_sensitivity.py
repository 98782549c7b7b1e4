"""CLAIR with one setting changed at a time: every value that the paper leaves open, one seed.

    python scripts/clair_sensitivity.py

World-unseen, clipart and sketch, the tiny CLIP, mean P@10 (hits_over_k) of both directions, state chosen on validation.
Rows go to docs/results/clair-sensitivity.csv after each training; what the file has already is not measured again:
remove it after a change of method or settings. Trainings are kept in the cache.
"""

import dataclasses
import functools

import pandas as pd
from tqdm import tqdm

from cdir_nb.data import load_protocol, open_dataset
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import load_encoder
from cdir_nb.methods.clair.method import fit
from cdir_nb.methods.clair.settings import ClairConfig, named_config
from cdir_nb.methods.clair.state import kept_at
from cdir_nb.methods.clair.variants import variant
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import current_commit
from cdir_nb.results.records import today
from cdir_nb.retrieval import precision_at_k, rank

FILE = ROOT / "docs" / "results" / "clair-sensitivity.csv"
DOMAINS, SEEDS, TRAIN_IMAGES, K = ("clipart", "sketch"), (0,), 360, 10
SETTINGS = "CLAIR-A, tiny-clip"
CHANGES = {
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
}


def changed(config: ClairConfig, setting: str, value: object) -> ClairConfig:
    """A copy with one setting changed, `refinement.steps` and its like among them."""
    first, _, inner = setting.partition(".")
    return config.changed(**{first: dataclasses.replace(getattr(config, first), **{inner: value}) if inner else value})


def standard(config: ClairConfig, setting: str) -> object:
    """The value that a setting has in `config`."""
    return functools.reduce(getattr, setting.split("."), config)


def percent(task: Protocol, embed) -> float:
    """Mean P@10 of both directions."""
    values = []
    for a, b in (DOMAINS, DOMAINS[::-1]):
        query, gallery = task.query(a), task.gallery(b)
        ranking = rank(embed(query), embed(gallery), k=K)
        values.append(precision_at_k(ranking, query.labels, gallery.labels, K, convention="hits_over_k").mean)
    return 100 * sum(values) / len(values)


def main() -> None:
    clip, task = load_encoder("tiny-clip"), load_protocol("world-unseen", open_dataset("world"))
    base = named_config(SETTINGS).changed(mixed_precision=True)
    vanilla = percent(task, clip.embed_images)
    runs = [
        (name, value, value == standard(base, name), changed(base, name, value))
        for name, values in CHANGES.items()
        for value in (standard(base, name), *values)
    ]
    rows = pd.read_csv(FILE).to_dict("records") if FILE.exists() else []
    done = {(row["setting"], str(row["value"]), row["seed"]) for row in rows}
    for seed in SEEDS:
        for name, value, default, config in tqdm(runs, f"seed {seed}"):
            if (name, str(value), seed) in done:
                continue
            pair, config = variant("CLAIR", task, DOMAINS, config, train_images=TRAIN_IMAGES, seed=seed)
            fitted = fit(clip, pair, config, seed=seed, checkpoint=kept_at(clip, pair, config, seed), progress=False)
            rows.append(
                {
                    "task": task.name,
                    "setting": name,
                    "value": value,
                    "seed": seed,
                    "percent": round(percent(task, fitted.embed), 3),
                    "default": default,
                    "vanilla": round(vanilla, 3),
                    "date": today(),
                    "commit": current_commit(),
                }
            )
            with atomic_write(FILE) as path:
                pd.DataFrame(rows).to_csv(path, index=False)


if __name__ == "__main__":
    main()
