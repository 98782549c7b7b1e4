"""Tiny notebooks and profiles of them, run for real."""

import sys
import time
from pathlib import Path

import nbformat.v4
import yaml
from PIL import Image

from cdir_nb.data import load_card

PARAMETERS = """dataset = "world"  # which images
data_root = ""  # their folder
seed = 0  # of everything random
lr = 0.1  # step
layers = [1, 2]  # sizes
out_dir = ""  # empty: keep nothing"""
CDIR = [sys.executable, "-m", "cdir_nb.cli"]

SAVE = """
from cdir_nb.results import Record, save_records
number = Record(method="zero-shot", dataset=dataset, query_domain="real", gallery_domain="sketch",
                metric="P@10:hits_over_k", value=0.5, seed=seed, encoder="{encoder}",
                selection_rule="nothing selected", train_set="no image", test_set="40 classes")
save_records([number], out_dir, "r")
"""


def save(encoder: str = "tiny-clip [1a2b]") -> str:
    """A cell that saves one record."""
    return SAVE.format(encoder=encoder)


def write_notebook(path: Path, *cells: str, text: str = "# A question?", parameters: str = PARAMETERS) -> Path:
    """A notebook with a parameters cell and these code cells."""
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), tagged, *code])
    nbformat.write(notebook, path)
    return path


def write_profile(folder: Path, **fields) -> Path:
    """A profile of all notebooks in `folder` unless `notebooks` says otherwise."""
    notebooks = [{"notebook": path.name} for path in sorted(folder.glob("*.ipynb"))]
    content = {"name": "mine", "about": "a trial", "dataset": "world", "notebooks": notebooks, **fields}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def write_pacs(root: Path) -> Path:
    """A folder laid out as PACS: one picture for each domain and class, each of its own colour."""
    card = load_card("pacs")
    folders = [root / info.folder / label for info in card.domains.values() for label in card.classes]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), (number, 90, 2 * number)).save(folder / "1.png")
    return root


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
