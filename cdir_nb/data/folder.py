"""The one loader of <root>/<domain>/<class>/<image>: lists the files and finds bad ones.

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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cdir_nb.data.images import ImageSet
from cdir_nb.data.pictures import LoadFile, digest_of, inspect
from cdir_nb.errors import CdirError, printable
from cdir_nb.paths import cache_dir, keep_in_cache

LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
log = logging.getLogger(__name__)


@dataclass
class Tree:
    """The contents of a root folder; all paths but those of `files` are relative to it.

    files            (domain, class) -> files, sorted by name
    missing_domains  domain folders that do not exist
    unknown          class folders that are not in the class list
    extra            files and folders outside of class folders that are not part of the layout
    nested           folders inside class folders
    """

    files: dict[tuple[str, str], list[Path]]
    missing_domains: list[str]
    unknown: list[str]
    extra: list[str]
    nested: list[str]


def scan(root: Path, domains: dict[str, str], classes: Sequence[str] | None) -> Tree:
    """List <root>/<domain>/<class>/<image>. `domains`: name -> folder; `classes` None: every folder."""
    tree = Tree({}, [], [], [], [])
    for domain, folder in domains.items():
        if not (root / folder).is_dir():
            tree.missing_domains.append(folder)
            continue
        inside = visible(root / folder)
        found = [path.name for path in inside if path.is_dir()]
        wanted = found if classes is None else classes
        tree.unknown += [f"{folder}/{name}" for name in found if name not in set(wanted)]
        tree.extra += [f"{folder}/{path.name}" for path in inside if not path.is_dir()]
        for label in (label for label in wanted if label in set(found)):
            entries = visible(root / folder / label)
            tree.nested += [f"{folder}/{label}/{path.name}" for path in entries if path.is_dir()]
            tree.files[domain, label] = [path for path in entries if not path.is_dir()]
    tree.extra += [path.name for path in visible(root) if path.name not in domains.values()]
    return tree


def visible(folder: Path) -> list[Path]:
    """Entries of a folder sorted by name, without hidden files and those that file browsers leave behind."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise CdirError(f"{folder} cannot be listed: {error.strerror}; make it readable") from None
    return [path for path in entries if not path.name.startswith(".") and path.name.lower() not in LITTER]


def require_root(root: Path, domains: dict[str, str], missing: Sequence[str]) -> None:
    """Raise CdirError, with the remedy, if domain folders are missing."""
    if not missing:
        return
    folders = list(domains.values())
    deeper = [path.name for path in visible(root) if all((path / folder).is_dir() for folder in folders)]
    if deeper:
        raise CdirError(f"{root} is one level too high: give {root / deeper[0]}, which holds {', '.join(folders)}")
    if all((root.resolve().parent / folder).is_dir() for folder in folders):
        raise CdirError(f"{root} is one level too deep: give {root.resolve().parent}, which holds {', '.join(folders)}")
    here = ", ".join(path.name for path in visible(root)[:6]) or "nothing"
    raise CdirError(
        f"{root} has no domain folder {', '.join(missing)}; it holds {here}; expected "
        f"{root}/<domain>/<class>/<image> with domains {', '.join(folders)}"
    )


def open_classes(
    root: Path,
    domains: dict[str, str],
    classes: Sequence[str] | None,
    *,
    skip_bad: bool = False,
    skip_unknown: bool = False,
    progress: bool = True,
) -> ImageSet:
    """The images of <root>/<folder>/<class>/<image>. `domains`: name -> folder; see `open_dataset`."""
    tree = scan(root, domains, classes)
    require_root(root, domains, tree.missing_domains)
    refuse_nesting(root, tree, classes)
    refuse_or_log(root, tree.unknown, "folder", "not in the card", "skip_unknown", skip_unknown)
    rows = [
        (printable(f"{domain}/{label}/{path.name}"), printable(domain), printable(label), path)
        for (domain, label), files in tree.files.items()
        for path in files
    ]
    checked = inspect_all(root, [path for *_, path in rows], progress)
    bad = [f"{key} ({wrong})" for (key, *_), (_, wrong) in zip(rows, checked) if wrong]
    refuse_or_log(root, bad, "image", "bad", "skip_bad", skip_bad, of=len(rows))
    if len(bad) == len(rows):
        raise CdirError(f"{root} has no images; expected <root>/<domain>/<class>/<image>")
    return image_set([(*row, digest) for row, (digest, wrong) in zip(rows, checked) if not wrong])


def refuse_nesting(root: Path, tree: Tree, classes: Sequence[str] | None) -> None:
    """Raise CdirError if class folders contain folders or classes are too deep (<domain>/train/<class>)."""
    if tree.nested:
        raise CdirError(
            f"{root / tree.nested[0]} is a folder inside a class folder ({len(tree.nested)} in all); expected "
            "<root>/<domain>/<class>/<image>: move its images one level up, or remove it"
        )
    for folder in tree.unknown:
        if {path.name for path in visible(root / folder)} & set(classes or ()):
            above = (root / folder).parent
            raise CdirError(f"{root / folder} holds class folders: move them one level up, into {above}")


def image_set(rows: list[tuple[str, str, str, Path, str]]) -> ImageSet:
    """An ImageSet from rows of (key, domain, label, file, digest)."""
    keys, domains, labels, files, digests = zip(*rows)
    if len(set(keys)) < len(keys):  # two names that are escaped to the same text
        raise CdirError(f"two files are called {Counter(keys).most_common(1)[0][0]}: rename one")
    load = LoadFile(dict(zip(keys, zip(files, digests))))
    return ImageSet(keys, np.array(domains, dtype=str), np.array(labels, dtype=str), load, digests)


def open_folder(root: Path | str, *, skip_bad: bool = False, progress: bool = True) -> ImageSet:
    """The images of your own folder, without a card: <root>/<domain>/<class>/<image>, in alphabetical order."""
    root = Path(root)
    if not root.is_dir():
        raise CdirError(f"{root} is not a folder; expected <root>/<domain>/<class>/<image>")
    domains = {path.name: path.name for path in visible(root) if path.is_dir()}
    return open_classes(root, domains, None, skip_bad=skip_bad, progress=progress)


def refuse_or_log(
    root: Path, items: list[str], noun: str, problem: str, option: str, skip: bool, of: int | None = None
) -> None:
    """Raise CdirError with the items and the option that skips them; with that option, log them instead."""
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
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        bar = tqdm(total=len(items), desc=title, unit="file", disable=not progress, leave=False)
        results = []
        for start in range(0, len(items), 1024):  # in blocks: a million queued tasks would fill the memory
            for result in pool.map(function, items[start : start + 1024]):
                results.append(result)
                bar.update()
        bar.close()
    return results


def inspect_all(root: Path, files: list[Path], progress: bool = True) -> list[tuple[str, str]]:
    """`inspect` each file; files whose digest is in the cache of decoded files are not decoded again."""
    memory = cache_dir() / "decoded-2" / f"{digest_of(os.fsencode(root.resolve()))}.txt"
    decoded = _decoded_before(memory)
    checked = in_threads(lambda path: inspect(path, decoded), files, "reading images", progress)
    now = {digest for digest, wrong in checked if not wrong}
    if not now <= decoded:
        keep_in_cache(memory, lambda path: path.write_text("\n".join(sorted(now | decoded))))
    return checked


def _decoded_before(memory: Path) -> frozenset[str]:
    """Digests of files that decoded in an earlier run; none where that is not known."""
    try:
        return frozenset(memory.read_text().split())
    except (OSError, ValueError):
        return frozenset()
