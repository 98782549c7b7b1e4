"""Make the README's images.

python scripts/readme_pictures.py                  only the diagram of the modules
python scripts/readme_pictures.py runs/world-...   also the figures of a finished run, scaled down
"""

from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from cdir_nb.errors import CdirError
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.show.style import PALETTE, QUIET, styled

PICTURES = {  # image: (notebook, figure, width in pixels)
    "ranked_grid": ("00_tour", "worked_example", 560),
    "00_tour": ("00_tour", "domains_by_classes", 320),
    "01_clip_zero_shot": ("01_clip_zero_shot", "directions", 320),
    "02_pseudo_labels": ("02_pseudo_labels", "by_step", 320),
    "03_domain_mapping": ("03_domain_mapping", "way_best", 320),
    "04_prompt_learning": ("04_prompt_learning", "methods", 320),
    "05_retrieval_grids": ("05_retrieval_grids", "confusions", 320),
    "06_data_free_tki": ("06_data_free_tki", "gain", 320),
    "07_unsupervised_ucdir": ("07_unsupervised_ucdir", "methods", 320),
    "08_universal_snmpnet": ("08_universal_snmpnet", "ucdr", 320),
    "09_why_does_my_number_differ": ("09_why_does_my_number_differ", "spread", 320),
    "10_tables": ("10_tables", "claims_clair", 320),
    "11_explorer": ("11_explorer", "drawing", 320),
}


ROAD = (  # room, what it contains, what it passes on to the rooms below
    ("data", "images and where they come from: cards, folders, protocols, the drawn world", "images"),
    ("retrieval", "rank, and every metric convention by name", "rankings, metrics"),
    ("analysis", "what vectors, rankings and probabilities show besides metrics", "more numbers"),
    ("encoders", "images and texts to vectors: CLIP, the cache, the bundled weights", "vectors"),
    ("methods", "one folder per method: settings, losses, training, variants", "embedders"),
    ("results", "records of what was measured, the papers' printed tables, verdicts on their claims", "records"),
    ("show", "pictures: bars, curves, heat maps, grids, maps, mechanisms, sliders", "figures"),
    ("explorer", "questions to embedded images, on sliders, on maps, on a canvas", "answers"),
    ("pages", "one page of all numbers, claims and figures, without a network", "pages"),
    ("run", "notebooks run unattended: profiles, a strict and resumable runner", "run folders"),
    ("fetch", "public datasets downloaded into the layout that the loader reads", "folders of images"),
    ("cache.py", "what the cache holds, and which of it no current code can read", "free space"),
    ("cli.py", "the command line: cdir reproduce, results, report, ...", ""),
)


def find_figure(run: Path, notebook: str, figure: str) -> Path:
    """The newest figure of this name in a run folder."""
    paths = sorted(run.glob(f"{notebook}-*/{figure}.png"), key=lambda path: path.stat().st_mtime)
    if not paths:
        raise CdirError(f"{run}: no {notebook}-*/{figure}.png; make it with `cdir reproduce`")
    return paths[-1]


@styled
def road_figure() -> Figure:
    """The rooms of the package in order, one line each; a room imports only from those above it."""
    fig, ax = plt.subplots(figsize=(9, 0.5 * len(ROAD) + 0.75))
    for row, (room, about, passes) in enumerate(ROAD):
        _room(ax, row, room, about)
        ax.text(9.95, row + 0.36, passes, ha="right", va="center", color=QUIET, style="italic")
    ax.annotate(
        "", xy=(0.22, len(ROAD) - 0.1), xytext=(0.22, 0.1), arrowprops={"arrowstyle": "-|>", "lw": 2, "color": QUIET}
    )
    ax.text(9.95, -0.32, "what it passes on", ha="right", va="center", color=QUIET, fontsize=9)
    ax.text(0.5, -0.32, "A room imports only from rooms above it", va="center", color=QUIET, fontsize=9)
    ax.set(xlim=(0, 10), ylim=(len(ROAD) + 0.02, -0.6))
    ax.axis("off")
    return fig


def _room(ax: Axes, row: int, room: str, about: str) -> None:
    """A box with the room's name, and beside it what the room contains."""
    shape = {"boxstyle": "round,pad=0,rounding_size=0.12", "fc": PALETTE[4], "ec": "none"}
    ax.add_patch(FancyBboxPatch((0.5, row + 0.03), 1.3, 0.66, **shape))
    name = room if "." in room else f"{room}/"
    ax.text(1.15, row + 0.36, name, ha="center", va="center", weight="bold")
    ax.text(2.0, row + 0.36, about, va="center")


def main(run: Annotated[Path | None, typer.Argument(help="A run folder; without it, only the road.")] = None) -> None:
    """Draw the road and shrink the chosen figures of a run, writing all to docs/pictures."""
    with atomic_write(ROOT / "docs" / "pictures" / "road.png") as path:
        road_figure().savefig(path, dpi=100, metadata={"Software": None})
    if run:
        shrink(run)


def shrink(run: Path) -> None:
    """Write the figures of a run at the README's widths; images of notebooks that the run lacks do not change."""
    for picture, (notebook, figure, width) in PICTURES.items():
        if not any(run.glob(f"{notebook}-*")):
            typer.echo(f"{picture}.png is unchanged: {notebook} is not in this run")
            continue
        image = Image.open(find_figure(run, notebook, figure)).convert("RGB")
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        with atomic_write(ROOT / "docs" / "pictures" / f"{picture}.png") as path:
            image.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    typer.run(main)
