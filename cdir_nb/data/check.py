"""Verify a dataset's folder against its card, and report every problem in one run."""

from dataclasses import dataclass, fields
from pathlib import Path

from PIL import Image

from cdir_nb.data.card import Card
from cdir_nb.data.folder import in_threads, require_root, scan, visible
from cdir_nb.data.manifest import dataset_root, is_bundled, load_card
from cdir_nb.data.pictures import inspect
from cdir_nb.data.quickdraw import class_files, read_drawings
from cdir_nb.errors import CdirError, printable

HEADINGS = {
    "missing": "missing (listed in the card, not found in the folder)",
    "extra": "extra (not part of the layout in the card)",
    "zero_byte": "empty files (zero bytes)",
    "unreadable": "unreadable files",
    "miscounted": "wrong counts",
}


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found; `ok` if all five lists of problems are empty. Paths are relative to the root."""

    dataset: str
    root: str
    images: dict[str, int]
    unchecked: tuple[str, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    zero_byte: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    miscounted: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if no problem was found."""
        return not any(getattr(self, name) for name in HEADINGS)

    def lines(self) -> list[str]:
        """The report as lines: the counts found, then every problem under its heading."""
        counts = ", ".join(f"{domain} {count:,}" for domain, count in self.images.items())
        lines = [f"{self.dataset} in {self.root}: {sum(self.images.values()):,} images ({counts})"]
        lines += [f"not checked: {what}" for what in self.unchecked]
        for name, heading in HEADINGS.items():
            items = getattr(self, name)
            lines += [f"{heading}: {len(items):,}"] if items else []
            lines += [f"  {item}" for item in items]
        return [printable(line) for line in (*lines, "ok" if self.ok else "NOT ok")]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def verify(card: Card, root: Path | str | None, *, progress: bool = True) -> VerifyReport:
    """Read and decode every file under `root` and compare the folder with the card.

    Files, good and bad, are counted per class and per domain wherever the card gives a count.
    Raises CdirError if `root` is the wrong folder.
    """
    if is_bundled(card):
        raise CdirError(f"{card.name} comes with the workbook: it has no folder to verify")
    root = dataset_root(card, root)
    if card.kind == "combined":
        return _verify_parts(card, root, progress)
    if card.kind == "ndjson":
        return _verify_drawings(card, root, progress)
    return _verify_folder(card, root, progress)


def _verify_folder(card: Card, root: Path, progress: bool) -> VerifyReport:
    domains = {domain: info.folder for domain, info in card.domains.items()}
    tree = scan(root, domains, card.classes)
    if len(tree.missing_domains) == len(domains):
        require_root(root, domains, tree.missing_domains)
    paths = [path for files in tree.files.values() for path in files]
    checked = in_threads(inspect, paths, f"verifying {card.name}", progress)
    bad = {path: wrong for path, (_, wrong) in zip(paths, checked) if wrong}
    empty = {path for path, wrong in bad.items() if wrong == "zero bytes"}
    stray = {path for path in bad.keys() - empty if not _claims_to_be_image(path)}
    files = {key: [path for path in found if path not in stray] for key, found in tree.files.items()}
    place = {path: path.relative_to(root).as_posix() for path in bad}
    missing = [f"domain {folder}" for folder in tree.missing_domains]
    return VerifyReport(
        dataset=card.name,
        root=str(root),
        missing=(*missing, *_missing_classes(card, tree.missing_domains, files)),
        extra=tuple(sorted([*tree.unknown, *tree.extra, *tree.nested, *map(place.get, stray)])),
        zero_byte=tuple(place[path] for path in bad if path in empty),
        unreadable=tuple(f"{place[path]}: {bad[path]}" for path in bad if path not in empty | stray),
        **_counted(card, {key: len(found) for key, found in files.items()}),
    )


def _claims_to_be_image(path: Path) -> bool:
    """True if the extension is an image's: then the file is a damaged image, not a stray text file."""
    Image.init()
    return path.suffix.lower() in Image.registered_extensions()


def _missing_classes(card: Card, missing_domains: list[str], files: dict) -> list[str]:
    """Class folders that are missing or empty, in the domains that exist."""
    there = {domain: info.folder for domain, info in card.domains.items() if info.folder not in missing_domains}
    return [
        f"class {folder}/{label}"
        for domain, folder in there.items()
        for label in card.classes
        if not files.get((domain, label))
    ]


def _counted(card: Card, found: dict[tuple[str, str], int]) -> dict:
    """The report's `images`, `miscounted` and `unchecked` from the number of files per (domain, class)."""
    images = {domain: sum(n for (d, _), n in found.items() if d == domain) for domain in card.domains}
    miscounted, unchecked = [], []
    for domain, info in card.domains.items():
        expected = card.counts.get(domain, {})
        miscounted += [
            f"{domain}/{label}: {n:,} files, expected {expected[label]:,}"
            for (d, label), n in found.items()
            if d == domain and n and n != expected.get(label, n)
        ]
        if info.total is None:
            unchecked.append(f"total of {domain} (not in the card)")
        elif images[domain] not in (0, info.total):
            miscounted.append(f"{domain}: {images[domain]:,} files, expected {info.total:,}")
        if len(expected) < len(card.classes):
            unchecked.append(f"counts of {len(card.classes) - len(expected)} classes of {domain} (not in the card)")
    return {"images": images, "miscounted": tuple(miscounted), "unchecked": tuple(unchecked)}


def _verify_drawings(card: Card, root: Path, progress: bool) -> VerifyReport:
    domain = next(iter(card.domains))
    files = class_files(root)
    if not files:
        raise CdirError(f"{root} has no .ndjson files; expected {root}/<class>.ndjson")
    known = [label for label in card.classes if label in files]
    read = in_threads(lambda label: read_drawings(files[label]), known, f"verifying {card.name}", progress)
    bad = [wrong for file in read for wrong in file.bad]
    named = {files[label].name for label in known}
    return VerifyReport(
        dataset=card.name,
        root=str(root),
        missing=tuple(f"class {label}" for label in card.classes if label not in files),
        extra=tuple(path.name for path in visible(root) if path.name not in named),
        zero_byte=tuple(wrong.split(" (")[0] for wrong in bad if "(zero bytes)" in wrong),
        unreadable=tuple(wrong for wrong in bad if "(zero bytes)" not in wrong),
        **_counted(card, {(domain, label): len(f.drawings) + len(f.bad) for label, f in zip(known, read)}),
    )


def _verify_parts(card: Card, root: Path, progress: bool) -> VerifyReport:
    """Verify each part against its own card; one report for all."""
    reports = [verify(load_card(part), root / part, progress=progress) for part in card.parts]
    together = {}
    for field in (f.name for f in fields(VerifyReport) if f.name in (*HEADINGS, "unchecked")):
        pairs = zip(card.parts, reports)
        together[field] = tuple(f"{part}: {item}" for part, report in pairs for item in getattr(report, field))
    images = {domain: count for report in reports for domain, count in report.images.items()}
    return VerifyReport(card.name, str(root), images, **together)
