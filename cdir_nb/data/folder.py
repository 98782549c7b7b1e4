"""Folders of images: <root>/<domain>/<class>/<image>, with a class list from a card or without one.

Every file in a class folder is treated as an image, whatever its extension. Only names that begin with a
dot and files left by file browsers (Thumbs.db, desktop.ini) are ignored. Links are followed.

Opening a dataset reads all bytes to compute their digests (PACS: half a second) and fully decodes every file that was
not decoded before (PACS: 2 to 4 s), because only a full decode detects a truncated JPEG. A cache stores the digests
of files that decoded.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cdir_nb.data.images import ImageSet
from cdir_nb.data.pictures import LoadFile, digest_of, inspect
from cdir_nb.errors import CdirError, printable
from cdir_nb.paths import cache_dir, write_to_cache

LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
LAYOUT = "<root>/<domain>/<class>/<image>"
LAYOUTS = f"{LAYOUT}, <root>/<domain>/<image> or <root>/<image>"
MAX_DEPTH = 3  # names below the root: domain, class, file
BLOCK = 1024  # files that are queued at a time: a million queued tasks would fill the memory
log = logging.getLogger(__name__)


def open_folder(root: Path | str, *, skip_bad: bool = False, progress: bool = True) -> ImageSet:
    """The images of a folder without a card: <root>/<domain>/<class>/<image>, in alphabetical order."""
    root = _existing(root, LAYOUT)
    domains = {path.name: path.name for path in visible(root) if path.is_dir()}
    return open_classes(root, domains, None, skip_bad=skip_bad, progress=progress)


def open_any_folder(root: Path | str, *, progress: bool = True) -> tuple[ImageSet, list[str]]:
    """The images of a folder, with or without domains and classes, in alphabetical order; and the files left out.

        <root>/<domain>/<class>/<image>    domains and classes
        <root>/<domain>/<image>            domains; the images have the label ""
        <root>/<image>                     one domain, named after the folder; the label is ""

    The layouts may be mixed. The second result has one line "file (what is wrong)" for each file, or folder below a
    class folder, that was left out. Raises CdirError if there is no folder, or no image in it.
    """
    root = _existing(Path(root).expanduser(), LAYOUTS)
    files, folders = [], [root]
    for _ in range(MAX_DEPTH):
        entries = [path for folder in folders for path in visible(folder)]
        files += [path for path in entries if not path.is_dir()]
        folders = [path for path in entries if path.is_dir()]
    files.sort(key=lambda path: (path.parent.parts, path.name))
    rows, problems = [], []
    for path, (digest, problem) in zip(files, inspect_all(root, files, progress)):
        key = path.relative_to(root)
        domain, label = (*key.parts[:-1], "", "")[:2]
        if problem:
            problems.append(f"{key.as_posix()} ({problem})")
        else:
            rows.append((key.as_posix(), domain or root.resolve().name, label, path, digest))
    if not rows:
        reason = f"none of its {len(files)} files can be read: {'; '.join(problems[:3])}" if files else "it is empty"
        raise CdirError(f"{root} has no images ({reason}); expected {LAYOUTS}")
    nested = [f"{path.relative_to(root).as_posix()}/ (a folder inside a class folder)" for path in folders]
    return _image_set(rows), problems + nested


def open_classes(
    root: Path,
    domains: dict[str, str],
    classes: Sequence[str] | None,
    *,
    skip_bad: bool = False,
    skip_unknown: bool = False,
    progress: bool = True,
) -> ImageSet:
    """The images of <root>/<folder>/<class>/<image>. Other options are those of `open_dataset`.

    domains  {domain: its folder}
    classes  the classes to read; None: every class folder
    """
    tree = scan(root, domains, classes)
    require_root(root, domains, tree.missing_domains)
    _refuse_nesting(root, tree, classes)
    refuse_or_log(root, tree.unknown, "folder", "not in the card", "skip_unknown", skip_unknown)
    files = [(domain, label, path) for (domain, label), paths in tree.files.items() for path in paths]
    rows, bad = [], []
    for (domain, label, path), (digest, problem) in zip(files, inspect_all(root, [row[2] for row in files], progress)):
        key = printable(f"{domain}/{label}/{path.name}")
        if problem:
            bad.append(f"{key} ({problem})")
        else:
            rows.append((key, printable(domain), printable(label), path, digest))
    refuse_or_log(root, bad, "image", "bad", "skip_bad", skip_bad, of=len(files))
    if not rows:
        raise CdirError(f"{root} has no images; expected {LAYOUT}")
    return _image_set(rows)


def _image_set(rows: list[tuple[str, str, str, Path, str]]) -> ImageSet:
    """An ImageSet from rows of (key, domain, label, file, digest)."""
    keys, domains, labels, files, digests = zip(*rows)
    if len(set(keys)) < len(keys):  # two names that are escaped to the same text
        raise CdirError(f"two files are called {Counter(keys).most_common(1)[0][0]}: rename one")
    load = LoadFile(dict(zip(keys, zip(files, digests))))
    return ImageSet(keys, np.array(domains, dtype=str), np.array(labels, dtype=str), load, digests)


# -- listing and checking files ----------------------------------------------------------------------------------------


@dataclass
class Tree:
    """The contents of a root folder; except in `files`, all paths are relative to it.

    files            (domain, class) -> files, sorted by name
    missing_domains  domain folders that do not exist
    unknown          class folders that are not in the class list
    extra            files and folders outside of class folders that are not part of the layout
    nested           folders inside class folders
    """

    files: dict[tuple[str, str], list[Path]] = field(default_factory=dict)
    missing_domains: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)


def scan(root: Path, domains: dict[str, str], classes: Sequence[str] | None) -> Tree:
    """List <root>/<domain>/<class>/<image>. `domains`: name -> folder; `classes` None: every folder."""
    tree = Tree()
    for domain, folder in domains.items():
        if not (root / folder).is_dir():
            tree.missing_domains.append(folder)
            continue
        entries = visible(root / folder)
        present = [path.name for path in entries if path.is_dir()]
        expected = present if classes is None else classes
        tree.unknown += [f"{folder}/{name}" for name in present if name not in set(expected)]
        tree.extra += [f"{folder}/{path.name}" for path in entries if not path.is_dir()]
        for label in (label for label in expected if label in set(present)):
            inside = visible(root / folder / label)
            tree.nested += [f"{folder}/{label}/{path.name}" for path in inside if path.is_dir()]
            tree.files[domain, label] = [path for path in inside if not path.is_dir()]
    tree.extra += [path.name for path in visible(root) if path.name not in domains.values()]
    return tree


def visible(folder: Path) -> list[Path]:
    """Entries of a folder, sorted by name, without hidden files and files left behind by file browsers."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise CdirError(f"{folder} cannot be listed: {error.strerror}; make it readable") from None
    return [path for path in entries if not path.name.startswith(".") and path.name.lower() not in LITTER]


def _existing(root: Path | str, layout: str) -> Path:
    root = Path(root)
    if not root.is_dir():
        raise CdirError(f"{root} is not a folder; expected {layout}")
    return root


def require_root(root: Path, domains: dict[str, str], missing: Sequence[str]) -> None:
    """Raise CdirError, whose message suggests a remedy, if domain folders are missing."""
    if not missing:
        return
    folders, above = list(domains.values()), root.resolve().parent
    deeper = [path for path in visible(root) if all((path / folder).is_dir() for folder in folders)]
    if deeper:
        raise CdirError(f"{root} is one level too high: give {deeper[0]}, which holds {', '.join(folders)}")
    if all((above / folder).is_dir() for folder in folders):
        raise CdirError(f"{root} is one level too deep: give {above}, which holds {', '.join(folders)}")
    names = ", ".join(path.name for path in visible(root)[:6]) or "nothing"
    raise CdirError(
        f"{root} has no domain folder {', '.join(missing)}; it holds {names}; expected "
        f"{root}/<domain>/<class>/<image> with domains {', '.join(folders)}"
    )


def _refuse_nesting(root: Path, tree: Tree, classes: Sequence[str] | None) -> None:
    """Raise CdirError if class folders contain folders or classes are too deep (<domain>/train/<class>)."""
    if tree.nested:
        raise CdirError(
            f"{root / tree.nested[0]} is a folder inside a class folder ({len(tree.nested)} in all); expected "
            f"{LAYOUT}: move its images one level up, or remove it"
        )
    for folder in (root / name for name in tree.unknown):
        if {path.name for path in visible(folder)} & set(classes or ()):
            raise CdirError(f"{folder} holds class folders: move them one level up, into {folder.parent}")


def refuse_or_log(
    root: Path, items: list[str], noun: str, problem: str, option: str, skip: bool, of: int | None = None
) -> None:
    """Raise CdirError, which lists the items and the option that skips them; if `skip` is set, log them instead."""
    if not items:
        return
    names = "; ".join(items[:10]) + (f"; and {len(items) - 10:,} more" if len(items) > 10 else "")
    count = f"{len(items):,}" + (f" of {of:,}" if of else "")
    plural = noun + ("s" if len(items) > 1 or of else "")
    if not skip:
        raise CdirError(
            f"{root}: {count} {plural} {problem}: {names}. Fix or remove them, or pass {option}=True "
            f"(`cdir reproduce`: --{option.replace('_', '-')})"
        )
    log.warning("%s: skipped %s %s (%s): %s", root, count, plural, problem, names)


def in_threads(function: Callable, items: Sequence, title: str, progress: bool = True) -> list:
    """Apply `function` to each item in threads, with a progress bar; results in the order of the items."""
    results = []
    bar = tqdm(total=len(items), desc=title, unit="file", disable=not progress, leave=False)
    with bar, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(items), BLOCK):
            results += pool.map(function, items[start : start + BLOCK])
            bar.update(len(results) - start)
    return results


def inspect_all(root: Path, files: list[Path], progress: bool = True) -> list[tuple[str, str]]:
    """Apply `inspect` to each file; files whose digest is in the cache of decoded files are not decoded again."""
    cache_path = cache_dir() / "decoded-2" / f"{digest_of(os.fsencode(root.resolve()))}.txt"
    try:
        decoded = frozenset(cache_path.read_text().split())
    except (OSError, ValueError):  # missing or damaged
        decoded = frozenset()
    checked = in_threads(lambda path: inspect(path, decoded), files, "reading images", progress)
    good = {digest for digest, problem in checked if not problem}
    if not good <= decoded:
        write_to_cache(cache_path, lambda path: path.write_text("\n".join(sorted(good | decoded))))
    return checked
