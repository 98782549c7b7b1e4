"""Write the class lists and the statistics of the emoji, beside their card: `python scripts/emoji_lists.py`.

The split was drawn once, with the seed below: of each Unicode subgroup, the same fraction of concepts is unseen,
rounded so that the numbers add up (the largest remainders are rounded up).
"""

import csv
from collections import Counter

import numpy as np

from cdir_nb.data import load_card, open_dataset
from cdir_nb.data.protocols import Protocol, load_protocol
from cdir_nb.paths import MANIFEST, atomic_write

FOLDER = MANIFEST / "emoji"
UNSEEN, SEED = 249, 0


def kinds() -> dict[str, str]:
    """{concept: its Unicode subgroup}, in the order of the file."""
    with (FOLDER / "concepts.csv").open(newline="", encoding="utf-8") as file:
        return {row["concept"]: row["subgroup"] for row in csv.DictReader(file)}


def unseen(kind_of: dict[str, str], number: int, seed: int) -> list[str]:
    """`number` concepts, drawn from each subgroup in proportion to its size; in the order of `kind_of`."""
    sizes = Counter(kind_of.values())
    exact = {kind: size * number / len(kind_of) for kind, size in sizes.items()}
    quota = {kind: int(value) for kind, value in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: quota[kind] - exact[kind])
    for kind in by_remainder[: number - sum(quota.values())]:
        quota[kind] += 1
    rng = np.random.default_rng(seed)
    drawn = set()
    for kind, wanted in quota.items():
        drawn.update(rng.permutation([name for name in kind_of if kind_of[name] == kind])[:wanted])
    return [name for name in kind_of if name in drawn]


def statistics(task: Protocol) -> dict[str, object]:
    """One row of statistics.csv: sizes of a protocol, and the values of a random ranking in percent."""
    (a, b), *_ = task.directions
    query, gallery = task.query(a).labels, task.gallery(b).labels
    relevant = np.array([Counter(gallery.tolist())[label] for label in query.tolist()])
    return {
        "protocol": task.name,
        "training concepts": len(task.seen),
        "training images": len(task.train),
        "classes": len(task.classes),
        "directions": len(task.directions),
        "queries": len(query),
        "gallery": len(gallery),
        "fewest relevant": relevant.min(),
        "most relevant": relevant.max(),
        "chance of P@k (%)": round(100 * float((relevant / len(gallery)).mean()), 2),
        "chance of mAP@all (%)": round(100 * float(chance_ap(relevant, len(gallery)).mean()), 2),
    }


def chance_ap(relevant: np.ndarray, gallery: int) -> np.ndarray:
    """Expected average precision over all ranks of a random order, for numbers of relevant images.

    The image at rank k is relevant with probability R / N, and then each of the k - 1 before it with (R - 1) / (N - 1):
    the mean over ranks of (1 + (k - 1) (R - 1) / (N - 1)) / k. With R = 1, the harmonic number of N divided by N.
    """
    harmonic = (1 / np.arange(1, gallery + 1)).sum()
    return (harmonic + (gallery - harmonic) * (relevant - 1) / (gallery - 1)) / gallery


def write(name: str, lines: list[str]) -> None:
    with atomic_write(FOLDER / name) as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    kind_of = kinds()
    drawn = unseen(kind_of, UNSEEN, SEED)
    write("classes.txt", list(kind_of))
    write(f"unseen_{UNSEEN}.txt", drawn)
    write(f"seen_{len(kind_of) - UNSEEN}.txt", [name for name in kind_of if name not in set(drawn)])
    images = open_dataset("emoji")
    rows = [statistics(load_protocol(name, images)) for name in load_card("emoji").protocols]
    write("statistics.csv", [",".join(map(str, row)) for row in ([*rows[0]], *(row.values() for row in rows))])


if __name__ == "__main__":
    main()
