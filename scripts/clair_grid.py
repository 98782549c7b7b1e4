"""Learning rates and loss weights of CLAIR, tried on the training classes alone: no unseen class is read.

    python scripts/clair_grid.py real-clip --data FOLDER    sketchy_mini: sketch and photo, 104 classes
    python scripts/clair_grid.py tiny-clip                  the drawn world: quickdraw and real, 30 classes

Each trial trains with seed 7. After every epoch a row is added to docs/results/clair-grid.csv: P@5 between the training
images that are set aside, with frozen CLIP's pseudo-labels as truth (this chooses) and with their true labels (a
diagnostic), the steps so far and how far the parameters have moved. Trials in the file are not run again.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from cdir_nb.data import Protocol, load_protocol, open_task
from cdir_nb.data.world import load_world
from cdir_nb.encoders import load_encoder
from cdir_nb.methods.clair import method as clair
from cdir_nb.methods.clair.settings import ClairConfig, named_config
from cdir_nb.methods.clair.variants import FULL, variant
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import settings_digest

SEED = 7
TASKS = {"real-clip": "sketchy_mini", "tiny-clip": "world"}
PAIRS = {"real-clip": ("sketch", "photo"), "tiny-clip": ("quickdraw", "real")}
TRAIN_IMAGES = {"real-clip": 1300, "tiny-clip": 0}  # of each domain, as in the profiles; 0: all
BASES = {  # what a trial changes, and its name
    "real-clip": (
        named_config("CLAIR-A, real-clip").changed(
            learning_rate_mapping=None, learning_rate_norms=0.003, epochs=4, patience=4
        ),
        "first rates",
    ),
    "tiny-clip": (named_config("CLAIR-A, tiny-clip, long"), "as chosen"),
}
FOUND = {"learning_rate_mapping": 0.1, "learning_rate_norms": 0.001}  # the best rates for real-clip, as in its settings
PER_CLASS = "images per class"  # of the drawn world, which has 30; no setting of CLAIR's
TRIALS = {
    "real-clip": [
        {},
        *({"learning_rate_norms": rate} for rate in (0.001, 0.01, 0.1)),
        {"learning_rate_norms": 0.01, "scale_kl": 20.4},
        {"temperature": 0.07},
        *({"learning_rate_mapping": rate} for rate in (0.1, 0.3, 1.0)),
        FOUND,
        {"weight_ii": 0.1},
        {"freeze": False},
        {**FOUND, "epochs": 12},
        *({**FOUND, "freeze": False, "learning_rate_tower": rate} for rate in (0.00005, 0.0002, 0.001, 0.005)),
        *({**FOUND, **weights} for weights in ({"weight_ic": 0.3}, {"weight_id": 3.0}, {"weight_kl": 10.0})),
        {**FOUND, "refinement.scale": 1.0},
        *({"mapping": False, "learning_rate_norms": rate} for rate in (0.001, 0.003, 0.01)),
    ],
    "tiny-clip": [
        {},
        *(
            {"refinement.scale": 14.1, **change}  # that of the short training
            for change in (
                {},
                *({"learning_rate": rate} for rate in (0.005, 0.1)),
                {"scale_kl": 1.0},
                {"prompts": 0},
                {"weight_kl": 0.0},
                {"freeze": False, "learning_rate_tower": 0.005},
                {"learning_rate_mapping": 0.001},
                {"learning_rate_norms": 0.1},
                {"temperature": 0.07},
            )
        ),
        {"freeze": False},
        {"weight_ii": 0.1},
        {"learning_rate_prompts": 0.1},
        *({"prompt_std": std} for std in (0.1, 1.0)),
        *({"learning_rate": rate} for rate in (0.005, 0.1)),
        {"learning_rate_norms": 0.1},
        *({weight: 0.3} for weight in ("weight_ic", "weight_id")),
        {"weight_kl": 10.0},
        {PER_CLASS: 60},
    ],
}
FILE = ROOT / "docs" / "results" / "clair-grid.csv"


def rows_of(training: clair.ClairTraining) -> list[dict]:
    """One row per epoch, the start included, of a training with patience for all its epochs."""
    rows = []
    training.begin()
    while True:
        last = training.history[-1] if training.history else {}
        moved = {key: value for key, value in last.items() if key.startswith("moved")}
        rows.append(
            {
                "epoch": training.epoch,
                "steps": training.epoch * training.steps_per_epoch,
                "P@5, pseudo-labels": round(100 * last.get(training.score_name, training.best_score), 2),
                "P@5, true labels": round(100 * training.score_by_labels, 2),
                **moved,
                "labels changed": last.get("labels changed"),
                "seconds": round(last.get("seconds", 0)),
            }
        )
        if training.epoch == training.epochs:
            return rows
        training.next_epoch()


def task_of(encoder: str, data: Path | None, per_class: int) -> Protocol:
    """The task whose training classes are used; of the drawn world, with more images than usual if asked."""
    if per_class:
        return load_protocol("world-unseen", load_world(per_class))
    return open_task(TASKS[encoder], data or "")[2]


def main(encoder: str, data: Annotated[Path | None, typer.Option(help="folder of sketchy_mini")] = None) -> None:
    """Run the trials that are not in the file yet."""
    clip, domains, (base, unchanged) = load_encoder(encoder), PAIRS[encoder], BASES[encoder]
    known = pd.read_csv(FILE, dtype={"settings": str}).to_dict("records") if FILE.exists() else []
    for change in TRIALS[encoder]:
        shown = ", ".join(f"{name} = {value}" for name, value in change.items()) or unchanged
        key = {
            "encoder": encoder,
            "pair": "-".join(domains),
            "settings": settings_digest(base.plain()),
            "changed": shown,
        }
        if any(all(row[name] == value for name, value in key.items()) for row in known):
            continue
        task = task_of(encoder, data, change.get(PER_CLASS, 0))
        changed = {name: value for name, value in change.items() if name != PER_CLASS}
        config: ClairConfig = base.changed(**changed, patience=base.epochs + 1)
        pair, config = variant(FULL, task, domains, config, train_images=TRAIN_IMAGES[encoder], seed=SEED)
        rows = rows_of(clair.ClairTraining(clip, pair, config, SEED))
        known += [{**key, **row} for row in rows]
        print(pd.DataFrame(rows).to_string(index=False), shown, flush=True)
        with atomic_write(FILE) as path:
            pd.DataFrame(known).sort_values("encoder", kind="stable").to_csv(path, index=False)


if __name__ == "__main__":
    typer.run(main)
