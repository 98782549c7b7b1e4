"""Verify a dataset's folder against its card; one run reports every problem."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

from PIL import Image

from cdir_nb.data.card import Card
from cdir_nb.data.folder import in_threads, require_root, scan, visible
from cdir_nb.data.manifest import dataset_root, is_bundled, load_card
from cdir_nb.data.names import grouped, listed
from cdir_nb.data.pictures import inspect
from cdir_nb.data.quickdraw import class_files, read_drawings
from cdir_nb.errors import CdirError, printable

HEADINGS = {
    "respelt": "names that the card spells differently",
    "missing": "missing (listed in the card, not found in the folder)",
    "extra": "extra (not part of the layout in the card)",
    "zero_byte": "empty files (zero bytes)",
    "unreadable": "unreadable files",
    "miscounted": "wrong counts",
}
MAX_LINES = 10  # of one heading
Cell = tuple[str, str]  # domain and class


@dataclass(frozen=True)
class VerifyReport:
    """The result of `verify`; `ok` is True if the folder agrees with the card. Paths are relative to the root.

    images     {domain: number of files}
    unchecked  domains and classes that could not be counted, because the card has no number for them
    same       pictures that occur more than once, as in some published datasets; they do not affect `ok`
    blank      images that are blank after decoding; they do not affect `ok` either
    """

    dataset: str
    root: str
    images: dict[str, int]
    unchecked: tuple[str, ...]
    respelt: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    zero_byte: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    miscounted: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    blank: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if no problem was found."""
        return not any(getattr(self, name) for name in HEADINGS)

    def lines(self) -> list[str]:
        """The report as lines: the counts found, then the problems under headings; long lists are shortened."""
        counts = ", ".join(f"{domain} {count:,}" for domain, count in self.images.items())
        lines = [f"{self.dataset} in {self.root}: {sum(self.images.values()):,} images ({counts})"]
        lines += _cut([f"not checked: {what}" for what in self.unchecked])
        for name, heading in HEADINGS.items():
            items = getattr(self, name)
            lines += [f"{heading}: {len(items):,}"] if items else []
            if name == "unreadable":
                items = grouped([item.split(": ", 1) for item in items])
            lines += _cut([f"  {item}" for item in items])
        lines += _cut([f"same picture: {names}" for names in self.same])
        lines += [f"blank after decoding: {len(self.blank):,} ({listed(self.blank)})"] if self.blank else []
        return [printable(line) for line in (*lines, "ok" if self.ok else "NOT ok")]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _cut(lines: list[str]) -> list[str]:
    more = len(lines) - MAX_LINES
    return [*lines[:MAX_LINES], f"  and {more:,} more"] if more > 0 else lines


def verify(card: Card, root: Path | str | None = None, *, progress: bool = True) -> VerifyReport:
    """Read and decode every file under `root`, and compare the folder with the card.

    All files, including unreadable ones, are counted per class and per domain if the card contains the counts.

    root  None: the files that come with the workbook
    Raises CdirError if `root` is the wrong folder, and for a dataset that the package draws.
    """
    if is_bundled(card) and not card.bundled:
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
    cells = {path: cell for cell, files in tree.files.items() for path in files}
    names = {path: path.relative_to(root).as_posix() for path in cells}
    inspections = dict(zip(cells, in_threads(inspect, list(cells), f"verifying {card.name}", progress)))
    problems = {path: inspection.problem for path, inspection in inspections.items() if inspection.problem}
    empty = {path for path, problem in problems.items() if problem == "zero bytes"}
    image_extensions = Image.registered_extensions()
    stray = {path for path in problems.keys() - empty if path.suffix.lower() not in image_extensions}
    damaged = problems.keys() - empty - stray
    counts = {key: len(set(files) - stray) for key, files in tree.files.items()}
    missing = [f"domain {folder}" for folder in tree.missing_domains] + [
        f"class {folder}/{label}"
        for domain, folder in domains.items()
        for label in card.classes
        if folder not in tree.missing_domains and not counts.get((domain, label))
    ]
    looks = {path: inspection.look for path, inspection in inspections.items() if inspection.look}
    return VerifyReport(
        dataset=card.name,
        root=str(root),
        respelt=tuple(tree.respelt),
        missing=tuple(missing),
        extra=tuple(sorted([*tree.unknown, *tree.extra, *tree.nested, *(names[path] for path in stray)])),
        zero_byte=tuple(names[path] for path in problems if path in empty),
        unreadable=tuple(f"{names[path]}: {problems[path]}" for path in problems if path in damaged),
        same=tuple(_same_pictures(card, {names[path]: (cells[path], look.pixels) for path, look in looks.items()})),
        blank=tuple(names[path] for path, look in looks.items() if look.blank),
        **_counted(card, counts),
    )


def _same_pictures(card: Card, files: Mapping[str, tuple[Cell, str]]) -> list[str]:
    """A line for each picture that occurs more than once: its files, and the domains, classes or splits it mixes.

    files  {name: ((domain, class), digest of the pixels)}
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name, (_, pixels) in files.items():
        groups[pixels].append(name)
    roles, lines = _training_and_test(card), []
    for names in (names for names in groups.values() if len(names) > 1):
        cells = {files[name][0] for name in names}
        mixed = [_number(len(of_kind), kind) for kind, of_kind in zip(("domains", "classes"), map(set, zip(*cells)))]
        mixed += ["training and test"] * any(cells & train and cells & test for train, test in roles)
        lines.append(f"{listed(names, MAX_LINES)} ({', '.join(filter(None, mixed))})".removesuffix(" ()"))
    return lines


def _number(count: int, kind: str) -> str:
    return "" if count == 1 else f"{'two' if count == 2 else count} {kind}"


def _training_and_test(card: Card) -> list[tuple[set[Cell], set[Cell]]]:
    """For each protocol, the (domain, class) cells that it trains on, and the other cells that it tests on."""
    roles = []
    for spec in card.protocols.values():
        train_domains = card.domains if spec.train_domains == "all" else spec.train_domains
        train = set(product(train_domains, card.class_set(spec.train)))
        pairs = list(permutations(card.domains, 2)) if spec.directions == "all" else spec.directions
        test = {cell for query, _ in pairs for cell in product([query], card.fractions(spec.query))}
        test |= {cell for _, gallery in pairs for cell in product([gallery], card.fractions(spec.gallery))}
        roles.append((train, test - train))
    return roles


def _verify_drawings(card: Card, root: Path, progress: bool) -> VerifyReport:
    domain = next(iter(card.domains))
    files = class_files(root, card.classes)
    labels = [label for label in card.classes if label in files]
    read = in_threads(lambda label: read_drawings(files[label]), labels, f"verifying {card.name}", progress)
    problems = [problem for file in read for problem in file.bad]
    names = {files[label].name for label in labels}
    return VerifyReport(
        dataset=card.name,
        root=str(root),
        missing=tuple(f"class {label}" for label in card.classes if label not in files),
        extra=tuple(path.name for path in visible(root) if path.name not in names),
        zero_byte=tuple(problem.split(" (")[0] for problem in problems if "(zero bytes)" in problem),
        unreadable=tuple(problem for problem in problems if "(zero bytes)" not in problem),
        **_counted(card, {(domain, label): len(file.drawings) + len(file.bad) for label, file in zip(labels, read)}),
    )


def _verify_parts(card: Card, root: Path, progress: bool) -> VerifyReport:
    """Verify each part against its own card; one report for all."""
    reports = {part: verify(load_card(part), root / part, progress=progress) for part in card.parts}
    items = {
        name: tuple(f"{part}: {item}" for part, report in reports.items() for item in getattr(report, name))
        for name in ("unchecked", *HEADINGS, "same", "blank")
    }
    images = {domain: count for report in reports.values() for domain, count in report.images.items()}
    return VerifyReport(card.name, str(root), images, **items)


def _counted(card: Card, counts: dict[tuple[str, str], int]) -> dict[str, Any]:
    """The report's `images`, `miscounted` and `unchecked` from the number of files per (domain, class)."""
    images = {domain: sum(n for (d, _), n in counts.items() if d == domain) for domain in card.domains}
    miscounted, unchecked = [], []
    for domain, info in card.domains.items():
        expected = card.counts.get(domain, {})
        for label in card.classes:
            n = counts.get((domain, label), 0)
            if n not in (0, expected.get(label, n)):
                miscounted.append(f"{domain}/{label}: {n:,} files, expected {expected[label]:,}")
        if info.total is None:
            unchecked.append(f"total of {domain} (not in the card)")
        elif images[domain] not in (0, info.total):
            miscounted.append(f"{domain}: {images[domain]:,} files, expected {info.total:,}")
        if len(expected) < len(card.classes):
            unchecked.append(f"counts of {len(card.classes) - len(expected)} classes of {domain} (not in the card)")
    return {"images": images, "miscounted": tuple(miscounted), "unchecked": tuple(unchecked)}
