"""Write the tiny CLIP's model card: what it was trained on, and measurements of what it can and cannot do.

python scripts/tiny_clip_card.py                                       the drawn world only
python scripts/tiny_clip_card.py --quickdraw DIR --pacs DIR            also real drawings and PACS images
"""

import json
from pathlib import Path
from typing import Annotated, cast

import typer
from bundled_models import direction_rows, precision_at_10, write_card, zero_shot_accuracy

from cdir_nb.data import ImageSet, load_card, load_protocol, open_dataset
from cdir_nb.encoders import ClipEncoder, load_encoder
from cdir_nb.paths import TINY_CLIP


def accuracy_rows(encoder: ClipEncoder, world: ImageSet) -> str:
    card, rows = load_card("world"), []
    unseen = list(card.class_set("unseen_10"))
    for domain, info in card.domains.items():
        among_all = zero_shot_accuracy(encoder, world.select(domain), card.classes, info.word)
        among_unseen = zero_shot_accuracy(encoder, world.select(domain, unseen), unseen, info.word)
        rows.append(f"| {domain} | {among_all:.1%} | {among_unseen:.1%} |")
    return "\n".join(rows)


def real_rows(encoder: ClipEncoder, quickdraw: Path | None, pacs: Path | None) -> str:
    """Markdown rows with the accuracy on images that are not from the drawn world."""
    if not (quickdraw and pacs):
        return "Not measured when this card was written."
    drawings = open_dataset("quickdraw25", quickdraw).select(labels=set(load_card("world").classes))
    photos = open_dataset("pacs", pacs)
    rows = ["| pictures | accuracy | chance |", "|---|---|---|"]
    cases = [("QuickDraw drawings (25 per class)", drawings, "quickdraw")]
    words = {"sketch": "sketch", "cartoon": "clipart", "art_painting": "painting", "photo": "photo"}
    cases += [(f"PACS {domain}", photos.select(domain), word) for domain, word in words.items()]
    for title, images, word in cases:
        classes = sorted(set(images.labels))
        value = zero_shot_accuracy(encoder, images, classes, word)
        name = f"{title}: {len(images):,} images of {len(classes)} classes"
        rows.append(f"| {name} | {value:.1%} | {1 / len(classes):.1%} |")
    return "\n".join(rows)


def main(
    quickdraw: Annotated[Path | None, typer.Option(help="folder of quickdraw25")] = None,
    pacs: Annotated[Path | None, typer.Option(help="folder of PACS")] = None,
) -> None:
    """Measure the model and write MODEL_CARD.md beside its weights."""
    encoder, world = cast(ClipEncoder, load_encoder("tiny-clip")), open_dataset("world")
    facts = json.loads((TINY_CLIP / "training.json").read_text())
    percent = precision_at_10(encoder, load_protocol("world-unseen", world))
    write_card(
        TINY_CLIP,
        "tiny_clip",
        facts=facts,
        parameters=sum(p.numel() for p in encoder.model.parameters()) / 1e6,
        shares=", ".join(f"{domain} {fraction:.1%}" for domain, fraction in facts["domain shares"].items()),
        accuracy=accuracy_rows(encoder, world),
        precision=direction_rows(percent),
        mean=sum(percent.values()) / len(percent),
        low=min(percent.values()),
        high=max(percent.values()),
        real=real_rows(encoder, quickdraw, pacs),
    )


if __name__ == "__main__":
    typer.run(main)
