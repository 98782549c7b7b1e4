"""Write the two halves of the real images: one for the pretraining of real-clip, one for evaluation.

    python scripts/real_clip_halves.py ../shared/data

A photo and all its sketches are in the same half, across datasets: PACS and Sketchy have files in common. All images of
Sketchy's 21 unseen classes are held out, in QuickDraw too, and so are their files in PACS. Under these rules, every
class of every domain is divided as evenly as possible, in an order given by a hash. The content of the seen images is
listed beside their keys.
"""

import gzip
import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import typer

from cdir_nb.data import ImageSet, load_card, open_dataset
from cdir_nb.data.halves import HELD_OUT, SEEN, file_id, photo_id, without_extension
from cdir_nb.encoders.pretraining import DIGITS, SEEN_CONTENT, look
from cdir_nb.paths import MANIFEST, atomic_write

DATASETS = ("pacs", "sketchy_mini", "quickdraw25")
Row = tuple[str, str]  # dataset, key


def held_out_classes() -> dict[str, set[str]]:
    """For each dataset, the classes without images for pretraining. The only exception is giraffe in PACS."""
    unseen = set(load_card("sketchy_extended").class_set("unseen_21"))
    normal = {label.lower().replace("-", "_") for label in unseen}
    doodles = {label for label in load_card("quickdraw25").classes if label.lower().replace("-", "_") in normal}
    return {"pacs": set(), "sketchy_mini": unseen, "quickdraw25": doodles}


def groups_of(rows: list[Row]) -> dict[str, list[Row]]:
    """Group rows that must be in the same half: each photo with its sketches."""
    groups = defaultdict(list)
    for dataset, key in rows:
        name = photo_id(key)
        groups[name if "/" not in name else f"{dataset}/{name}"].append((dataset, key))
    return groups


def cell(row: Row) -> tuple[str, ...]:
    """The cell of a row, which is divided evenly: a class in a domain of a dataset."""
    return row[0], *row[1].split("/")[:2]


def halves(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Divide the rows into seen rows and held-out rows."""
    closed, counts = held_out_classes(), (Counter(), Counter())
    both: tuple[list[Row], list[Row]] = ([], [])
    groups = groups_of(rows)

    def forced(members: list[Row]) -> bool:
        return any(key.split("/")[1] in closed[dataset] for dataset, key in members)

    def order(name: str) -> tuple[bool, str]:
        return not forced(groups[name]), hashlib.sha256(name.encode()).hexdigest()

    for name in sorted(groups, key=order):
        members = groups[name]
        cells = Counter(map(cell, members))
        excess = sum(size * (counts[0][c] - counts[1][c]) for c, size in cells.items())
        half = 1 if forced(members) or excess > 0 or (excess == 0 and int(order(name)[1][0], 16) % 2) else 0
        both[half].extend(members)
        counts[half].update(cells)
    return both


def check(seen: list[Row], held_out: list[Row]) -> None:
    """Assert that the result follows the rules."""
    ids = [{photo_id(key) if "/" not in file_id(key) else f"{d}/{key}" for d, key in half} for half in (seen, held_out)]
    assert not ids[0] & ids[1], "a file id is in both halves"
    closed = held_out_classes()
    assert not [key for dataset, key in seen if key.split("/")[1] in closed[dataset]]


def content_of(images: ImageSet, keys: list[str]) -> np.ndarray:
    """(N, 2) uint64: the digest, shortened, and the look of each image; keys are without extension."""
    rows = {without_extension(key): row for row, key in enumerate(images.keys)}
    pairs = [(int(images.digests[rows[key]][:DIGITS], 16), look(images.image(rows[key]))) for key in keys]
    return np.array(pairs, dtype=np.uint64)


def main(data: Path, out: Path = MANIFEST) -> None:
    """Write the lists into the folders of the three datasets."""
    datasets = {name: open_dataset(name, data / name, progress=False) for name in DATASETS}
    rows = [(name, key) for name, images in datasets.items() for key in images.keys]
    both = halves(rows)
    check(*both)
    for dataset in DATASETS:
        for half, file in zip(both, (SEEN, HELD_OUT)):
            keys = sorted(without_extension(key) for name, key in half if name == dataset)
            with atomic_write(out / dataset / file) as path:
                path.write_bytes(gzip.compress("".join(f"{key}\n" for key in keys).encode(), mtime=0))
            print(f"{dataset} {file}: {len(keys):,} keys")
        seen = sorted(without_extension(key) for name, key in both[0] if name == dataset)
        with atomic_write(out / dataset / SEEN_CONTENT) as path, path.open("wb") as file:
            np.save(file, content_of(datasets[dataset], seen), allow_pickle=False)


if __name__ == "__main__":
    typer.run(main)
