"""Gain of Q, TKI and CLAIR over vanilla CLIP, against what the encoder knows: one row per encoder, task, method, seed.

    python scripts/when_does_it_pay.py ../shared/data tiny-clip tiny-clip:DIR/35000-samples
    python scripts/when_does_it_pay.py ../shared/data real-clip real-clip:DIR/without-pacs
    python scripts/when_does_it_pay.py ../shared/data real-clip --train      CLAIR too

On images that no encoder here saw: world-unseen for tiny-clip, pacs-heldout and sketchy_mini-21 for real-clip. What an
encoder knows is its zero-shot accuracy on the task's test images, mean over domains. Rows are added to
docs/results/when-does-it-pay.csv, drawn by notebook 10; rows in the file are not measured again.
`scripts/train_tiny_clip.py --stages DIR` and `scripts/train_real_clip.py` make the other encoders, which are not kept.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from cdir_nb.conventions import LAST_EPOCH
from cdir_nb.data import object_names, open_task
from cdir_nb.encoders import ClipEncoder, load_encoder
from cdir_nb.methods import VanillaClip, clair, tki
from cdir_nb.methods.embedder import Embedder
from cdir_nb.methods.frozen.zero_shot import accuracy, prompt_embeddings, zero_shot_labels, zero_shot_scores
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import by_direction, current_commit, measure
from cdir_nb.results.records import today

TASKS = {
    "tiny-clip": {"world": "world-unseen"},
    "real-clip": {"pacs": "pacs-heldout", "sketchy_mini": "sketchy_mini-21"},
}
SEEDS = {"CLIP + Q": (0,), "TKI": (0, 1, 2), "CLAIR": (0,)}
CLAIR = {"world-unseen": ("infograph", "real"), "sketchy_mini-21": ("sketch", "photo")}  # the world's middling pair
SETTINGS = {"world-unseen": "CLAIR-A, tiny-clip, long", "sketchy_mini-21": "CLAIR-A, real-clip"}
TRAIN_IMAGES = {"sketchy_mini-21": 1300}  # of each domain, as in the profile; else all
MEASURE = "P@10:hits_over_k"
FILE = ROOT / "docs" / "results" / "when-does-it-pay.csv"


def knows(clip: ClipEncoder, card, task) -> float:
    """Zero-shot accuracy on the queries, mean over domains."""
    names = [card.display(label) for label in task.classes]
    found = []
    for domain, images in task.queries.items():
        texts = prompt_embeddings(clip, names, card.domain_word(domain))
        scores = zero_shot_scores(clip.embed_images(images, progress=False), texts)
        found.append(accuracy(zero_shot_labels(scores, task.classes), images.labels))
    return float(np.mean(found))


def embedders(method: str, clip: ClipEncoder, card, task, seed: int) -> Iterable[Embedder]:
    """The fitted method, one embedder or several."""
    if method == "TKI":
        return [tki.fit(clip, [card.display(label) for label in task.classes], seed=seed, progress=False)]
    if method == "CLIP + Q":
        names = object_names(exclude=[card.display(label) for label in task.classes])
        return clair.mapped_clips(clip, names, {d: card.domain_word(d) for d in task.domains}, list(task.directions))
    config = clair.named_config(SETTINGS[task.name])
    few = TRAIN_IMAGES.get(task.name, 0)
    pair, config = clair.variant(clair.FULL, task, CLAIR[task.name], config, train_images=few, seed=seed)
    kept = clair.kept_at(clip, pair, config, seed)
    return [clair.fit(clip, pair, config, seed=seed, checkpoint=kept).selected(LAST_EPOCH)]


def main(
    data: Annotated[Path, typer.Argument(help="folder of pacs and sketchy_mini")],
    encoders: Annotated[list[str], typer.Argument(help="encoders; those of one name are told apart by their folder")],
    train: Annotated[bool, typer.Option("--train", help="CLAIR too, on one pair of domains")] = False,
) -> None:
    """Measure what is not in the file yet."""
    rows = pd.read_csv(FILE, dtype={"commit": str}).to_dict("records") if FILE.exists() else []
    done = {(row["encoder"], row["task"], row["method"], row["seed"]) for row in rows}
    commit = current_commit()  # before the file, which is part of it, is changed
    for clip in map(load_encoder, encoders):
        name = clip.identity.split()[0]
        for dataset, protocol in TASKS[name.partition(":")[0]].items():
            card, _, task = open_task(dataset, "" if dataset == "world" else data / dataset, protocol)
            vanilla, accurate = by_direction(measure(VanillaClip(clip), task, 0), MEASURE), knows(clip, card, task)
            for method, seed in ((method, seed) for method, seeds in SEEDS.items() for seed in seeds):
                if (name, protocol, method, seed) in done or (method == "CLAIR" and not (train and protocol in CLAIR)):
                    continue
                records = measure(embedders(method, clip, card, task, seed), task, seed)
                percent = by_direction(records, MEASURE)[method]
                row = {"encoder": name, "task": protocol, "zero-shot accuracy": round(100 * accurate, 2)}
                row |= {"method": method, "seed": seed, "P@10": round(percent.mean(), 3)}
                row |= {"vanilla": round(vanilla.loc[percent.index].to_numpy().mean(), 3), "directions": len(percent)}
                rows.append({**row, "steps": records[0].steps, "date": today(), "commit": commit})
                print(row, flush=True)
                with atomic_write(FILE) as path:
                    pd.DataFrame(rows).to_csv(path, index=False)


if __name__ == "__main__":
    typer.run(main)
