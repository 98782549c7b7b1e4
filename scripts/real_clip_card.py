"""Measure real-clip on the held-out half of the real images, once, and write its model card.

python scripts/real_clip_card.py ../shared/data
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, cast
from unittest.mock import patch

import torch
import typer
from bundled_models import direction_rows, precision_at_10, write_card, zero_shot_accuracy

from cdir_nb.data import ImageSet, load_card, load_protocol, open_dataset
from cdir_nb.data.halves import HELD_OUT, in_list
from cdir_nb.encoders import ClipEncoder, load_encoder
from cdir_nb.paths import REAL_CLIP


def accuracy_rows(encoder: ClipEncoder, held_out: dict[str, ImageSet]) -> str:
    """A Markdown table of accuracies, with one row per dataset, set of classes and domain."""
    sketchy = load_card("sketchy_mini")
    unseen = sketchy.class_set("unseen_21")
    cases = (
        ("PACS", "pacs", None),
        ("Sketchy, seen classes,", "sketchy_mini", sketchy.class_set("seen_104")),
        ("Sketchy, named among 21 unseen,", "sketchy_mini", unseen),
        ("Sketchy, the same without giraffe,", "sketchy_mini", [label for label in unseen if label != "giraffe"]),
        ("QuickDraw", "quickdraw25", None),
    )
    rows = []
    for title, dataset, subset in cases:
        card = load_card(dataset)
        classes = list(subset or card.classes)
        names = [card.display(label) for label in classes]
        for domain in card.domains:
            images = held_out[dataset].select(domain, classes)
            value = zero_shot_accuracy(encoder, images, classes, card.domain_word(domain), names)
            cells = f"{len(images):,} | {len(classes)} | {value:.1%} | {1 / len(classes):.1%}"
            rows.append(f"| {title} {domain} | {cells} |")
    return "\n".join(rows)


def pacs_table(encoder: ClipEncoder, images: ImageSet) -> str:
    """A Markdown table of P@10 for each direction of pacs-heldout, and the mean."""
    percent = precision_at_10(encoder, load_protocol("pacs-heldout", images))
    mean = sum(percent.values()) / len(percent)
    return f"{direction_rows(percent)}\n\nMean over the {len(percent)} directions {mean:.1f}."


def sketchy_rows(encoder: ClipEncoder, images: ImageSet) -> str:
    """Markdown rows with P@10 of both directions of three protocols, compared with a random ranking."""
    rows = []
    for name, classes in {"sketchy_mini-21": 21, "sketchy_mini-20": 20, "sketchy_mini-104-heldout": 104}.items():
        percent = precision_at_10(encoder, load_protocol(name, images))
        there, back = percent["sketch", "photo"], percent["photo", "sketch"]
        rows.append(f"| {name} | {there:.1f} | {back:.1f} | {100 / classes:.1f} |")
    return "\n".join(rows)


def speed(encoder: ClipEncoder, images: ImageSet) -> float:
    """The number of images embedded per second of CPU time, from files, on one core with an empty cache."""
    chosen = images.take(range(0, len(images), max(1, len(images) // 512)))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, CDIR_CACHE=cache):
        began = time.process_time()
        encoder.embed_images(chosen, progress=False)
        return len(chosen) / (time.process_time() - began)


def main(
    data: Annotated[Path, typer.Argument(help="folder that contains pacs, sketchy_mini and quickdraw25")],
    model: Annotated[Path, typer.Option(help="folder of the model")] = REAL_CLIP,
) -> None:
    """Measure and write MODEL_CARD.md beside the weights."""
    encoder = cast(ClipEncoder, load_encoder("real-clip" if model == REAL_CLIP else f"real-clip:{model}"))
    datasets = {name: open_dataset(name, data / name) for name in ("pacs", "sketchy_mini", "quickdraw25")}
    held_out = {name: in_list(images, name, HELD_OUT) for name, images in datasets.items()}
    facts = json.loads((model / "training.json").read_text(encoding="utf-8"))
    write_card(
        model,
        "real_clip",
        facts=facts,
        config=encoder.built.model_cfg,
        datasets=", ".join(facts["pretraining"]),
        shares=", ".join(f"{domain} {fraction:.0%}" for domain, fraction in facts["domain shares"].items()),
        speed=speed(encoder, datasets["pacs"]),
        accuracy=accuracy_rows(encoder, held_out),
        pacs=pacs_table(encoder, datasets["pacs"]),
        sketchy=sketchy_rows(encoder, datasets["sketchy_mini"]),
    )


if __name__ == "__main__":
    typer.run(main)
