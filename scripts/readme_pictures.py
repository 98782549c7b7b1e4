"""Make the README's pictures from the figures of a finished run: `python scripts/readme_pictures.py runs/world-...`."""

from pathlib import Path

import typer
from PIL import Image

from cdir_nb.errors import CdirError
from cdir_nb.paths import ROOT, atomic_write

PICTURES = {  # picture: (notebook, figure it saves, width in pixels)
    "ranked_grid": ("05_retrieval_grids", "grid_easiest", 900),
    "00_tour": ("00_tour", "domains_by_classes", 320),
    "01_clip_zero_shot": ("01_clip_zero_shot", "directions", 320),
    "02_pseudo_labels": ("02_pseudo_labels", "by_step", 320),
    "03_domain_mapping": ("03_domain_mapping", "way_best", 320),
    "04_prompt_learning": ("04_prompt_learning", "methods", 320),
    "05_retrieval_grids": ("05_retrieval_grids", "confusions", 320),
    "06_data_free_tki": ("06_data_free_tki", "gain", 320),
    "09_why_does_my_number_differ": ("09_why_does_my_number_differ", "spread", 320),
    "10_tables": ("10_tables", "claims_clair", 320),
}


def find_figure(run: Path, notebook: str, figure: str) -> Path:
    """The newest figure of this name in a run folder."""
    found = sorted(run.glob(f"{notebook}-*/{figure}.png"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise CdirError(f"{run} holds no {notebook}-*/{figure}.png: make it with `cdir reproduce`")
    return found[-1]


def main(run: Path) -> None:
    """Shrink the chosen figures into docs/pictures."""
    for picture, (notebook, figure, width) in PICTURES.items():
        image = Image.open(find_figure(run, notebook, figure)).convert("RGB")
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        with atomic_write(ROOT / "docs" / "pictures" / f"{picture}.png") as path:
            image.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    typer.run(main)
