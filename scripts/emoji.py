"""Measure the frozen encoders on the emoji, and collect the records of all methods in one table.

    python scripts/emoji.py measure FOLDER TASK ENCODER     one run folder
    python scripts/emoji.py names FOLDER TASK ENCODER       one run folder: how many queries the encoder can name
    python scripts/emoji.py collect FOLDERS ...             cdir_nb/results/reproduced/emoji.csv.gz

Then run `python -m cdir_nb.pages.emoji`, which writes docs/results/emoji.md.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from frozen import zero_shot

from cdir_nb.data import load_card, open_task
from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ClipEncoder, ImageEncoder, load_encoder
from cdir_nb.methods import Centre, Embedder, PostProcessed, fit, frozen_embedder, references
from cdir_nb.methods.postprocessed import QUERIES, TRAINING
from cdir_nb.methods.reference import EXPANSION
from cdir_nb.paths import ROOT
from cdir_nb.results import Record, load_records, measure, save_records, save_table
from cdir_nb.results.files import require_settings

TABLE = ROOT / "cdir_nb" / "results" / "reproduced" / "emoji.csv.gz"
STORED = ("P@1:hits_over_k", "P@10:hits_over_k", "mAP@all:over_relevant")
UCDIR_SIZE = 64  # pixels; the image size of UCDIR and its baselines
app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)


class CentredByOthers(PostProcessed):
    """Centring by training images; a domain that has none uses those of all other domains."""

    def __init__(self, embedder: Embedder, training_images: ImageSet) -> None:
        super().__init__(embedder, [Centre(TRAINING)], training_images)
        self.name = f"{embedder.name} + centring (training images of the other styles)"
        self.settings = {**self.settings, "domain_without_images": "mean of all others"}

    def _training_embeddings(self, domain: str) -> tuple[ImageSet, torch.Tensor]:
        images = self.training_images
        assert images is not None
        images = images if domain not in images.domains else images.select(domain)
        return images, self.embed(images, progress=False)


def rows_of(encoder: ImageEncoder, task: Protocol, images: ImageSet) -> list[Embedder]:
    """The frozen encoder on a task, the reference rows, and where a style is unseen both ways of centring it."""
    frozen = frozen_embedder(encoder, task)
    rows, absent = references(frozen, task, images)
    for name, reason in absent.items():
        print(f"without {name}: {reason}")
    rows = [frozen, *rows]
    if not len(task.train):  # the same rankings, judged by one relevant image (emoji-all) and by many (emoji-kind)
        rows.append(PostProcessed(frozen, [Centre(QUERIES), EXPANSION]))
    if len(task.train) and not set(task.domains) <= set(task.train.domains.tolist()):
        all_styles = PostProcessed(frozen, [Centre(TRAINING)], images.select(task.domains, task.seen))
        all_styles.name = f"{frozen.name} + centring (training images of all styles)"
        rows += [CentredByOthers(frozen, task.train), all_styles]
    if not isinstance(encoder, ClipEncoder) and task.name == "emoji-same":
        ((small,),) = fit("frozen start", encoder, task, settings={"image_size": UCDIR_SIZE}).states.values()
        small.name += f", {UCDIR_SIZE} px"
        rows += [small, PostProcessed(small, [Centre(TRAINING)], task.train)]
    return rows


@app.command("measure")
def measure_rows(folder: Path, task: str, encoder: str) -> None:
    """Measure the frozen encoder and all rows without training on a task; the records are written to a folder."""
    _, images, protocol = open_task("emoji", None, task)
    records = [r for row in rows_of(load_encoder(encoder), protocol, images) for r in measure(row, protocol)]
    save_records([record for record in records if record.metric in STORED], folder)
    print(f"{folder}: {len(records)} records, commit {records[0].measuring_commit}")


@app.command()
def names(folder: Path, task: str, encoder: str) -> None:
    """Measure how many queries of each style CLIP names correctly among a task's classes."""
    protocol = open_task("emoji", None, task)[2]
    save_records(zero_shot(frozen_embedder(load_encoder(encoder), protocol), protocol), folder)


@app.command()
def collect(folders: list[Path], out: Annotated[Path, typer.Option(help="the table")] = TABLE) -> None:
    """Write the records of run folders to one table, with the values of single queries for a task's first metric."""
    records = [record for record in load_records(folders) if record.metric in STORED or record.kind == "accuracy"]
    require_settings(records)
    protocols = load_card("emoji").protocols
    for record in records:
        if record.metric != str(protocols[record.protocol].metrics[0].metric):
            record.with_queries(None)
    save_table(sorted(records, key=_order), out)
    print(f"{out}: {len(records)} records")


def _order(record: Record) -> tuple:
    names = record.protocol, record.encoder, record.method, record.selection_rule, record.metric
    return *names, record.settings_digest, record.seed, record.query_domain, record.gallery_domain


if __name__ == "__main__":
    app()
