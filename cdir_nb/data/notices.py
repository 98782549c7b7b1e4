"""Faults of a set of images that can be seen without a model, each in one line: copies, blank or long images, names."""

from collections import Counter

from cdir_nb.data.images import ImageSet, copies
from cdir_nb.data.names import listed, spellings

MAX_GROUPS = 5  # lines on copies
MAX_RATIO = 2  # of the longer to the shorter side, beyond which a central crop hides much
LONG = "more than twice as wide as high, or as high as wide: only their middle is compared"


def look_notices(images: ImageSet, cropped: bool = True) -> list[str]:
    """Lines on blank images and, if `cropped`, on long images that lose more than half when cropped to a square."""
    blank, long = [], []
    for key, digest in zip(images.keys, images.digests):
        if look := images.looks.get(digest):
            blank += [key] * look.blank
            long += [key] * (max(look.width, look.height) > MAX_RATIO * min(look.width, look.height))
    lines = [f"{_count(blank)} blank after decoding ({listed(blank)})"] if blank else []
    if long and cropped:
        lines.append(f"{_count(long)} {LONG}; add ,pad=true to the encoder to compare all of them ({listed(long)})")
    return lines


def copy_notices(images: ImageSet) -> list[str]:
    """Lines on images that occur more than once, under other names, in other formats or in other classes."""
    groups = copies(images)
    lines = []
    for rows in groups[:MAX_GROUPS]:
        labels = Counter(images.labels[rows].tolist())
        misplaced = len(rows) - max(labels.values())
        where = f", {misplaced} of them in {'two' if len(labels) == 2 else len(labels)} classes" if misplaced else ""
        lines.append(f"{len(rows)} files are the same picture ({listed([images.keys[row] for row in rows])}){where}")
    more = groups[MAX_GROUPS:]
    return lines + [f"{len(more):,} more pictures occur more than once"] * bool(more)


def name_notices(images: ImageSet) -> list[str]:
    """Lines on names of domains or classes that differ only in spelling, and on classes that some domain lacks."""
    lines = []
    for names in (*spellings(images.domains.tolist()), *spellings(images.labels.tolist())):
        lines.append(f"{' and '.join(names)} differ only in spelling: rename them if they are the same")
    domains = dict.fromkeys(images.domains.tolist())
    present = {domain: set(images.labels[images.domains == domain].tolist()) - {""} for domain in domains}
    labels = sorted(set().union(*present.values()))
    absent = {label: [domain for domain, of_domain in present.items() if label not in of_domain] for label in labels}
    partial = [f"{label}: not in {listed(without)}" for label, without in absent.items() if without]
    if partial:
        lines.append(
            f"{len(partial):,} of {len(labels):,} classes are not in every domain, where their queries find nothing "
            f"relevant ({listed(partial)})"
        )
    return lines


def _count(names: list[str]) -> str:
    return f"{len(names):,} images are" if len(names) > 1 else "1 image is"
