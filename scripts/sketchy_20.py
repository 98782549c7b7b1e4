"""sketchy_mini-21 without giraffe, which real-clip knows from PACS: the same trainings, tested on the other 20 classes.

    python scripts/sketchy_20.py FOLDER_OF_SKETCHY_MINI OUT

Run `cdir reproduce --profile sketchy_mini` first: this reads its trainings from the cache and trains nothing. Records
of vanilla CLIP, CLIP + Q, CLAIR and its ablations under each selection rule, three seeds, are written to
OUT/sketchy_20.jsonl.
"""

import itertools
from pathlib import Path

import typer

from cdir_nb.data import load_protocol, object_names, open_task
from cdir_nb.encoders import load_encoder
from cdir_nb.methods import VanillaClip, clair
from cdir_nb.results import measure, save_records

DOMAINS = ("sketch", "photo")
SETTINGS, TRAIN_IMAGES, SEEDS = "CLAIR-A, real-clip", 1300, (0, 1, 2)  # those of the profile sketchy_mini


def main(root: Path, out: Path) -> None:
    """Measure on the 20 classes what was trained for the 21."""
    card, images, trained_for = open_task("sketchy_mini", root, "sketchy_mini-21")
    task = load_protocol("sketchy_mini-20", images).between(*DOMAINS)
    clip, config = load_encoder("real-clip"), clair.named_config(SETTINGS)
    names = object_names(exclude=[card.display(label) for label in trained_for.classes])
    words = {domain: card.domain_word(domain) for domain in DOMAINS}
    records = measure(VanillaClip(clip), task, 0)
    records += measure(clair.mapped_clips(clip, names, words, list(task.directions)), task, 0)
    methods = [method for method in clair.VARIANTS if clair.changes(method, config)]
    for method, seed in itertools.product(methods, SEEDS):
        pair, changed = clair.variant(
            method, trained_for.between(*DOMAINS), DOMAINS, config, train_images=TRAIN_IMAGES, seed=seed
        )
        kept = clair.kept_at(clip, pair, changed, seed)
        if not kept.is_file():
            raise SystemExit(f"{method}, seed {seed}: run `cdir reproduce --profile sketchy_mini` first")
        fitted = clair.fit(clip, pair, changed, name=method, seed=seed, checkpoint=kept)
        records += [record for rule in fitted.states for record in measure(fitted.selected(rule), task, seed)]
    print(save_records(records, out, "sketchy_20"), "records")


if __name__ == "__main__":
    typer.run(main)
