"""Folders of images: <root>/<domain>/<class>/<image>, with a class list from a card or without one.

Every file in a class folder is treated as an image, whatever its extension. Only names that begin with a
dot and files left by file browsers (Thumbs.db, desktop.ini) are ignored. Links are followed.

Opening a dataset reads all bytes to compute their digests (PACS: half a second) and fully decodes every file that was
not decoded before (PACS: 2 to 4 s), because only a full decode detects a truncated JPEG. A cache stores the digests
of files that decoded, and what they show.
"""

import json
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cdir_nb.data.images import ImageSet, rename
from cdir_nb.data.names import grouped, listed, name_key, spellings
from cdir_nb.data.notices import copy_notices, look_notices, name_notices
from cdir_nb.data.pictures import Inspection, LoadFile, Look, digest_of, inspect
from cdir_nb.errors import CdirError, printable
from cdir_nb.paths import cache_dir, write_to_cache
from cdir_nb.sources import provenance

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
    images = _one_spelling(open_classes(root, domains, None, skip_bad=skip_bad, progress=progress))
    for line in (*copy_notices(images), *name_notices(images)):
        log.warning("%s: %s", root, line)
    return images


def open_any_folder(root: Path | str, *, progress: bool = True) -> tuple[ImageSet, list[str]]:
    """The images of a folder, with or without domains and classes, in alphabetical order; and the files left out.

        <root>/<domain>/<class>/<image>    domains and classes
        <root>/<domain>/<image>            domains; the images have the label ""
        <root>/<image>                     one domain, named after the folder; the label is ""

    The layouts may be mixed. The second result has one line for each kind of file that was left out, or for each folder
    below a class folder. Raises CdirError if there is no folder, or no image in it.
    """
    root = _existing(Path(root).expanduser(), LAYOUTS)
    files, folders = [], [root]
    for _ in range(MAX_DEPTH):
        entries = [path for folder in folders for path in visible(folder)]
        files += [path for path in entries if not path.is_dir()]
        folders = [path for path in entries if path.is_dir()]
    files.sort(key=lambda path: (path.parent.parts, path.name))
    rows, problems = [], []
    for path, inspection in zip(files, inspect_all(root, files, progress)):
        key = path.relative_to(root)
        domain, label = (*key.parts[:-1], "", "")[:2]
        if inspection.problem:
            problems.append((key.as_posix(), inspection.problem))
        else:
            rows.append((key.as_posix(), domain or root.resolve().name, label, path, inspection))
    left_out = grouped(problems)
    if not rows:
        reason = f"none of its {len(files)} files can be read: {'; '.join(left_out[:3])}" if files else "it is empty"
        raise CdirError(f"{root} has no images ({reason}); expected {LAYOUTS}")
    nested = [f"{path.relative_to(root).as_posix()}/ (a folder inside a class folder)" for path in folders]
    return _one_spelling(_image_set(rows)), left_out + nested


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
    if tree.respelt:
        log.warning("%s: names that the card spells differently: %s", root, listed(tree.respelt))
    files = [(domain, label, path) for (domain, label), paths in tree.files.items() for path in paths]
    rows, bad = [], []
    for (domain, label, path), inspection in zip(files, inspect_all(root, [row[2] for row in files], progress)):
        key = printable(f"{domain}/{label}/{path.name}")
        if inspection.problem:
            bad.append((key, inspection.problem))
        else:
            rows.append((key, printable(domain), printable(label), path, inspection))
    refuse_or_log(root, grouped(bad), "image", "bad", "skip_bad", skip_bad, count=len(bad), of=len(files))
    if not rows:
        raise CdirError(f"{root} has no images; expected {LAYOUT}")
    images = _image_set(rows)
    for line in look_notices(images):
        log.warning("%s: %s", root, line)
    return images


def _image_set(rows: list[tuple[str, str, str, Path, Inspection]]) -> ImageSet:
    """An ImageSet from rows of (key, domain, label, file, its inspection)."""
    keys, domains, labels, files, inspections = zip(*rows)
    if len(set(keys)) < len(keys):  # two names that are escaped to the same text
        raise CdirError(f"two files are called {Counter(keys).most_common(1)[0][0]}: rename one")
    digests = tuple(inspection.digest for inspection in inspections)
    return ImageSet(
        keys,
        np.array(domains, dtype=str),
        np.array(labels, dtype=str),
        LoadFile(dict(zip(keys, zip(files, digests)))),
        digests,
        {inspection.digest: inspection.look for inspection in inspections},
    )


def _one_spelling(images: ImageSet) -> ImageSet:
    """The images; classes of different domains that are one name by `name_key` get the first spelling, which is logged.

    Classes of one domain that differ only in spelling remain apart.
    """
    renamed = {}
    for first, *others in spellings(images.labels.tolist()):
        domains = [set(images.domains[images.labels == label].tolist()) for label in (first, *others)]
        if sum(map(len, domains)) == len(set().union(*domains)):
            renamed |= dict.fromkeys(others, first)
    if renamed:
        changes = [f"{label!r} as {first!r}" for label, first in renamed.items()]
        log.warning("classes that differ only in spelling are read as one: %s", listed(changes))
    return rename(images, renamed)


# -- listing and checking files ----------------------------------------------------------------------------------------


@dataclass
class Tree:
    """The contents of a root folder; except in `files`, all paths are relative to it.

    files            (domain, class) -> files, sorted by name
    missing_domains  domain folders that do not exist
    respelt          folders whose names differ from the card's only in spelling: "Photo: rename it to photo"
    unknown          class folders that are not in the class list
    extra            files and folders outside of class folders that are not part of the layout
    nested           folders inside class folders
    """

    files: dict[tuple[str, str], list[Path]] = field(default_factory=dict)
    missing_domains: list[str] = field(default_factory=list)
    respelt: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)


def scan(root: Path, domains: dict[str, str], classes: Sequence[str] | None) -> Tree:
    """List <root>/<domain>/<class>/<image>. `domains`: name -> folder; `classes` None: every folder.

    A folder of another spelling (`name_key`) is read in place of one that does not exist.
    """
    tree, used = Tree(), set()
    for domain, folder in domains.items():
        path = _same_name(root / folder)
        if path is None:
            tree.missing_domains.append(folder)
            continue
        used.add(path.name)
        entries = visible(path)
        present = {entry.name for entry in entries if entry.is_dir()}
        found = {name: name for name in present} if classes is None else _matches(present, classes)
        shown = path.relative_to(root).as_posix()
        tree.respelt += [f"{shown}: rename it to {folder}"] * (shown != folder)
        tree.respelt += [f"{shown}/{name}: rename it to {label}" for label, name in found.items() if name != label]
        tree.unknown += [f"{shown}/{name}" for name in sorted(present - set(found.values()))]
        tree.extra += [f"{shown}/{entry.name}" for entry in entries if not entry.is_dir()]
        for label in sorted(found) if classes is None else (label for label in classes if label in found):
            inside = visible(path / found[label])
            tree.nested += [f"{shown}/{found[label]}/{entry.name}" for entry in inside if entry.is_dir()]
            tree.files[domain, label] = [entry for entry in inside if not entry.is_dir()]
    tree.extra += [path.name for path in visible(root) if path.name not in used]
    return tree


def _same_name(folder: Path) -> Path | None:
    """The folder, or the only one beside it with the same name by `name_key`; None if there is none."""
    if folder.is_dir() or not folder.parent.is_dir():
        return folder if folder.is_dir() else None
    name = _matches([path.name for path in visible(folder.parent) if path.is_dir()], [folder.name]).get(folder.name)
    return folder.with_name(name) if name else None


def _matches(present: Collection[str], expected: Iterable[str]) -> dict[str, str]:
    """{expected name: the same name in `present`, or the only one with the same `name_key` that is not expected}."""
    expected = list(expected)
    near: defaultdict[str, list[str]] = defaultdict(list)
    for name in set(present) - set(expected):
        near[name_key(name)].append(name)
    found = {name: [name] if name in present else near[name_key(name)] for name in expected}
    return {name: names[0] for name, names in found.items() if len(names) == 1}


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
    root: Path,
    items: list[str],
    noun: str,
    problem: str,
    option: str,
    skip: bool,
    *,
    count: int | None = None,
    of: int | None = None,
) -> None:
    """Raise CdirError, which lists the items and the option that skips them; if `skip` is set, log them instead.

    count  the number of what the items name, if that is not the number of items
    """
    if not items:
        return
    number = count or len(items)
    names = "; ".join(items[:10]) + (f"; and {len(items) - 10:,} more" if len(items) > 10 else "")
    shown = f"{number:,}" + (f" of {of:,}" if of else "")
    plural = noun + ("s" if number > 1 or of else "")
    if not skip:
        raise CdirError(
            f"{root}: {shown} {plural} {problem}: {names}. Fix or remove them, or pass {option}=True "
            f"(`cdir reproduce`: --{option.replace('_', '-')})"
        )
    log.warning("%s: skipped %s %s (%s): %s", root, shown, plural, problem, names)


def in_threads(function: Callable, items: Sequence, title: str, progress: bool = True) -> list:
    """Apply `function` to each item in threads, with a progress bar; results in the order of the items."""
    results = []
    bar = tqdm(total=len(items), desc=title, unit="file", disable=not progress, leave=False)
    with bar, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(items), BLOCK):
            results += pool.map(function, items[start : start + BLOCK])
            bar.update(len(results) - start)
    return results


def inspect_all(root: Path, files: list[Path], progress: bool = True) -> list[Inspection]:
    """Apply `inspect` to each file; files whose digest is in the cache of decoded files are not decoded again."""
    cache_path = cache_dir() / "decoded" / f"{digest_of(os.fsencode(root.resolve()))}.json"
    code = json.dumps(provenance("cdir_nb.data.pictures"), sort_keys=True)  # other code may see other things
    stored = _stored_looks(cache_path, code)
    inspections = in_threads(lambda path: inspect(path, stored), files, "reading images", progress)
    looks = {inspection.digest: inspection.look for inspection in inspections if inspection.look}
    if not looks.keys() <= stored.keys():
        content = {
            "code": code,
            "looks": {digest: astuple(look) for digest, look in sorted({**stored, **looks}.items())},
        }
        write_to_cache(cache_path, lambda path: path.write_text(json.dumps(content)))
    return inspections


def _stored_looks(cache_path: Path, code: str) -> dict[str, Look]:
    """The looks in a file of the cache; empty if it is missing, damaged, or of other code."""
    try:
        content = json.loads(cache_path.read_text())
        return {digest: Look(*look) for digest, look in content["looks"].items()} if content["code"] == code else {}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}
