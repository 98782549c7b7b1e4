"""Try a paper's profile without its images, on a folder with the same layout and a few random images per class.

    python scripts/try_profiles.py domainnet-zs officehome-tki
    python scripts/try_profiles.py                             all profiles that can run on random images (an hour)

This tests that names, folders and notebooks fit together; the numbers mean nothing. Only the first of swept seeds and
pairs is run, with the tiny CLIP and trainings of a few steps. docs/results/profiles-tried.csv has the last try of each
profile.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from PIL import Image

from cdir_nb.data import load_card
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import current_commit
from cdir_nb.results.records import today
from cdir_nb.run.profile import Profile, load_profile, profile_names

FILE = ROOT / "docs" / "results" / "profiles-tried.csv"
# These need listed images or files of strokes, or search settings and make no table of results.
NOT_TRIED = {"pacs-heldout", "sketchy_mini", "sketchy_mini-20", "snmpnet-sketchy"}
NOT_TRIED |= {"clair-grid-sketchy_mini", "coda-pacs", "coda-sketchlvm-sketchy_mini", "tki-sensitivity-pacs"}
NOT_TRIED |= {"encoders", "when-does-it-pay-pacs", "when-does-it-pay-sketchy_mini"}
SHORT = {  # {number of a notebook: parameters that shorten it}
    "06": {"settings": "CLAIR-A, tiny-clip", "variants": "some"},
    "07": {"expansion_steps": 3, "aggregation_steps": 3},
    "08": {"settings": "as_released, short", "variants": "full", "epochs": 2},
    "09": {"epochs": 2},
}


def write_folder(dataset: str, root: Path, per_class: int) -> None:
    """Write random 64 x 64 images into the folders that a dataset's card describes."""
    card, rng = load_card(dataset), np.random.default_rng(0)
    if card.kind == "combined":
        for part in card.parts:
            write_folder(part, root / part, per_class)
        return
    for info in card.domains.values():
        for label in card.classes:
            folder = root / info.folder / label
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(per_class):
                Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / f"{i}.png")


def try_profile(profile: Profile, work: Path, per_class: int) -> int:
    """Run `cdir reproduce` on random images. Returns its exit code."""
    write_folder(profile.dataset, work / "images", per_class)
    swept = {name: value for entry in profile.notebooks for name, value in entry.combinations({})[0].items()}
    chosen = {**swept, "train_images": 60}
    available = {name for entry in profile.notebooks for name in (*entry.parameters, *entry.swept)}
    options = [f"--set={name}={value}" for name, value in chosen.items() if name in available]
    numbers = [entry.notebook[:2] for entry in profile.notebooks]
    options += [f"--set={number}.{name}={value}" for number in numbers for name, value in SHORT.get(number, {}).items()]
    command = [sys.executable, "-m", "cdir_nb.cli", "reproduce", "--profile", profile.name, "--encoder", "tiny-clip"]
    data = f"--data={profile.dataset}={work / 'images'}"
    return subprocess.run([*command, data, *options, "--out", str(work)]).returncode


def main(
    names: Annotated[list[str] | None, typer.Argument(help="names of profiles")] = None,
    per_class: Annotated[int, typer.Option(help="images per class and domain")] = 3,
) -> None:
    """Try profiles one after the other. The exit code is 1 if one of them fails."""
    profiles = [load_profile(name) for name in names or profile_names()]
    rows = pd.read_csv(FILE, dtype={"commit": str}).set_index("profile").to_dict("index") if FILE.exists() else {}
    failed, commit = [], current_commit()  # before the file, which is part of it, is changed
    for profile in [profile for profile in profiles if profile.needs and profile.name not in NOT_TRIED]:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as work:
            code = try_profile(profile, Path(work), per_class)
        if code:
            failed.append(profile.name)
        row = {"ended": "with an error" if code else "with its table", "images per class and domain": per_class}
        row |= {"minutes": round((time.monotonic() - start) / 60, 1), "date": today(), "commit": commit}
        rows[profile.name] = row
        with atomic_write(FILE) as path:
            pd.DataFrame.from_dict(rows, orient="index").sort_index().to_csv(path, index_label="profile")
    print("failed:" if failed else "all tried profiles ran", ", ".join(failed))
    raise typer.Exit(bool(failed))


if __name__ == "__main__":
    typer.run(main)
