"""Folders of images: <root>/<domain>/<class>/<image>, with a class list from a card or without one.

The root, or a domain's folder, may be a zip file (`cdir_nb.data.zips`): <root>/<domain>.zip is read as <root>/<domain>.
A domain without class folders may have one image of each class, named after it: <root>/<domain>.zip with <class>.png.

Every file in a class folder is treated as an image, whatever its extension. Only names that begin with a
dot and files left by file browsers (Thumbs.db, desktop.ini) are ignored. Links are followed.

Opening a dataset reads all bytes to compute their digests (PACS: half a second) and fully decodes every file that was
not decoded before (PACS: 2 to 4 s), because only a full decode detects a truncated JPEG. A cache stores the digest of
each file that was decoded, with the properties of its image (`Look`). `open_any_folder`, which opens a user's own
images, reads a file again only if its size or times have changed.
"""

import json
import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np

from cdir_nb.data.images import ImageSet, rename
from cdir_nb.data.names import MAX_NAMES, grouped, listed, name_key, spellings
from cdir_nb.data.notices import copy_notices, look_notices, name_notices
from cdir_nb.data.pictures import Inspection, LoadFile, Look, digest_of, inspect
from cdir_nb.data.zips import archive_of, folder_or_zip, is_folder, is_folder_or_zip, is_zip, paths_in, without_zip
from cdir_nb.errors import CdirError, printable
from cdir_nb.paths import cache_dir, expanded, read_from_cache, write_to_cache
from cdir_nb.progress import progress_bar
from cdir_nb.sources import provenance

LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
LAYOUT = "<root>/<domain>/<class>/<image>"
LAYOUTS = f"{LAYOUT}, <root>/<domain>/<image> or <root>/<image>"
MAX_DEPTH = 3  # names below the root: domain, class, file
RECENT = 2  # seconds: some file systems store times in steps of two, so a file this young may change unseen
BLOCK = 1024  # files that are queued at a time: a million queued tasks would fill the memory
log = logging.getLogger(__name__)


def open_folder(root: Path | str, *, skip_bad: bool = False, progress: bool = True) -> ImageSet:
    """The images of a folder without a card, in alphabetical order.

        <root>/<domain>/<class>/<image>    domains and classes
        <root>/<domain>/<image>            domains; the images have the label ""
        <root>/<image>                     one domain, named after the folder; the label is ""

    The root or a domain may be a zip file. If other domains have classes, each image in a domain's zip file without
    folders is a class, named after the file: 3d.zip with umbrella.png is the image 3d/umbrella.png of the class
    umbrella. Raises CdirError for files that are not images; `skip_bad=True` leaves them out and logs them.
    """
    root = _existing(root, LAYOUTS)
    domains = list(filter(is_folder_or_zip, visible(root)))
    if domains and all(is_zip(path) or any(map(is_folder, visible(path))) for path in domains):
        names = {name: name for name in map(without_zip, domains)}
        images = _one_spelling(open_classes(root, names, None, skip_bad=skip_bad, progress=progress))
    else:
        images, problems, nested = _any_layout(root, progress)
        left_out, count = _left_out(root, problems) + nested, len(problems) + len(nested)
        refuse_or_log(root, left_out, "file", "cannot be read", "skip_bad", skip_bad, count=count)
    for line in (*copy_notices(images), *name_notices(images)):
        log.warning("%s: %s", root, line)
    return images


def open_any_folder(root: Path | str, *, progress: bool = True) -> tuple[ImageSet, list[str]]:
    """The images of a folder in any layout of `open_folder`, or in several at once; and the files left out.

    The second result has one line for each kind of file that was left out, and one for each folder below a class
    folder. If a line cannot hold all names, it gives the path of a text file in the cache that lists them. Images of a
    domain's zip file without folders have the label "". Raises CdirError if there is no folder, or no image in it.
    """
    root = _existing(root, LAYOUTS)
    images, problems, nested = _any_layout(root, progress, trust_times=True)
    return images, _left_out(root, problems) + nested


def _any_layout(
    root: Path, progress: bool, trust_times: bool = False
) -> tuple[ImageSet, list[tuple[str, str]], list[str]]:
    """The images; (name, problem) of each file left out; a line for each folder below a class folder."""
    files, folders, (zips, problems) = [], [root], _zips(root)
    for _ in range(MAX_DEPTH):
        found = [path for folder in folders for path in visible(folder)]
        folders = [path for path in found if is_folder(path) or zips.get(path)]
        others = {*folders, *zips}
        files += [path for path in found if path not in others]
    files.sort(key=lambda path: (path.parent.parts, path.name))
    rows = []
    for path, inspection in zip(files, inspect_all(root, files, progress, trust_times)):
        below = path.relative_to(root)
        domain, label = (*below.parts[:-1], "", "")[:2]
        if inspection.problem:
            problems.append((below.as_posix(), inspection.problem))
        else:
            domain = without_zip(root / domain) if domain else without_zip(root.resolve())
            key = "/".join((domain, *below.parts[1:])) if len(below.parts) > 1 else path.name
            rows.append((key, domain, label, path, inspection))
    if not rows:
        lines = "; ".join(_left_out(root, problems)[:3])
        reason = f"none of its {len(files)} files can be read: {lines}" if files else ""
        raise CdirError(f"{root} has no images ({reason or 'it is empty'}); expected {LAYOUTS}")
    nested = [f"{path.relative_to(root).as_posix()}/ (a folder inside a class folder)" for path in folders]
    return _one_spelling(_image_set(rows)), problems, nested


def _left_out(root: Path, problems: Sequence[tuple[str, str]]) -> list[str]:
    """The lines of `grouped`. If there are many files, a file in the cache lists all of them as "name: problem"."""
    path = _cache_file(root, ".txt")
    if len(problems) > MAX_NAMES:
        lines = [printable(f"{name}: {problem}") + "\n" for name, problem in problems]
        write_to_cache(path, lambda path: path.write_text("".join(lines), encoding="utf-8"))
    return grouped(problems, path if len(problems) > MAX_NAMES and path.exists() else None)


def _zips(root: Path) -> tuple[dict[Path, bool], list[tuple[str, str]]]:
    """{zip file in a folder: whether it is read as a domain}, and (name, problem) of each that is not."""
    zips, problems = {}, []
    for path in filter(is_zip, visible(root)):
        problem = "the folder of its name is read instead" if is_folder(path.with_suffix("")) else ""
        try:
            archive_of(path)
        except CdirError as error:
            problem = str(error)
        zips[path] = not problem
        problems += [(path.name, problem)] if problem else []
    return zips, problems


def open_classes(
    root: Path,
    domains: dict[str, str],
    classes: Sequence[str] | None,
    *,
    skip_bad: bool = False,
    skip_unknown: bool = False,
    progress: bool = True,
) -> ImageSet:
    """The images of <root>/<folder>/<class>/<image>, or <class>.png. Other options are those of `open_dataset`.

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
        key = printable(f"{domain}/{path.name}" if domain in tree.flat else f"{domain}/{label}/{path.name}")
        if inspection.problem:
            bad.append((key, inspection.problem))
        else:
            rows.append((key, printable(domain), printable(label), path, inspection))
    refuse_or_log(root, _left_out(root, bad), "image", "bad", "skip_bad", skip_bad, count=len(bad), of=len(files))
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
    """The images, in which classes of different domains with equal `name_key` get the first spelling (logged).

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
    flat             domains without class folders; each file belongs to the class that it is named after
    respelt          folders whose names differ from the card's only in spelling: "Photo: rename it to photo"
    unknown          class folders that are not in the class list
    extra            files and folders outside of class folders that are not part of the layout
    nested           folders inside class folders
    """

    files: dict[tuple[str, str], list[Path]] = field(default_factory=dict)
    missing_domains: list[str] = field(default_factory=list)
    flat: set[str] = field(default_factory=set)
    respelt: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)


def scan(root: Path, domains: dict[str, str], classes: Sequence[str] | None) -> Tree:
    """List <root>/<domain>/<class>/<image>. `domains`: name -> folder; `classes` None: every folder.

    If a folder does not exist, one with another spelling of its name (`name_key`) is read instead. If a domain has no
    class folders, and is a zip file or has a class list, each file belongs to the class that it is named after.
    """
    tree, used = Tree(), set()
    for domain, folder in domains.items():
        path = _same_name(root / folder)
        if path is None:
            tree.missing_domains.append(folder)
            continue
        used.add(path.name)
        entries, shown = visible(path), path.relative_to(root).as_posix()
        is_flat = not any(map(is_folder, entries)) and (classes is not None or is_zip(path))
        present = _files_by_name(entries) if is_flat else {e.name: visible(e) for e in entries if is_folder(e)}
        found = {name: name for name in present} if classes is None else _matches(present, classes)
        tree.flat |= {domain} if is_flat else set()
        tree.respelt += [f"{shown}: rename it to {folder}"] * (path.with_name(without_zip(path)) != root / folder)
        tree.respelt += [f"{shown}/{name}: rename it to {label}" for label, name in found.items() if name != label]
        unknown = sorted(present.keys() - set(found.values()))
        tree.unknown += [] if is_flat else [f"{shown}/{name}" for name in unknown]
        loose = [entry for name in unknown for entry in present[name]] if is_flat else entries
        tree.extra += [f"{shown}/{entry.name}" for entry in loose if not is_folder(entry)]
        for label in sorted(found) if classes is None else (label for label in classes if label in found):
            inside = present[found[label]]
            tree.nested += [f"{shown}/{found[label]}/{entry.name}" for entry in inside if is_folder(entry)]
            tree.files[domain, label] = [entry for entry in inside if not is_folder(entry)]
    tree.extra += [path.name for path in visible(root) if path.name not in used]
    return tree


def _files_by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """{name without extension: the files}."""
    named: defaultdict[str, list[Path]] = defaultdict(list)
    for file in files:
        named[file.stem].append(file)
    return named


def _same_name(folder: Path) -> Path | None:
    """The folder or its zip file, or else the only one beside it with the same `name_key`; None if there is none."""
    exact = folder_or_zip(folder)
    if is_folder_or_zip(exact) or not is_folder_or_zip(folder.parent):
        return exact if is_folder_or_zip(exact) else None
    beside = {without_zip(path): path for path in visible(folder.parent) if is_folder_or_zip(path)}
    name = _matches(beside, [folder.name]).get(folder.name)
    return beside[name] if name else None


def _matches(present: Collection[str], expected: Iterable[str]) -> dict[str, str]:
    """{expected name: the same name in `present`, or another spelling of it (equal `name_key`)}.

    Another spelling is used only if exactly one is present, and if it is not itself an expected name.
    """
    expected = list(expected)
    near: defaultdict[str, list[str]] = defaultdict(list)
    for name in set(present) - set(expected):
        near[name_key(name)].append(name)
    found = {name: [name] if name in present else near[name_key(name)] for name in expected}
    return {name: names[0] for name, names in found.items() if len(names) == 1}


def visible(folder: Path) -> list[Path]:
    """Entries of a folder or a zip file, sorted by name, without hidden files and files left by file browsers."""
    try:
        found = sorted(paths_in(folder), key=lambda path: path.name)
    except OSError as error:
        raise CdirError(f"{folder} cannot be listed: {error.strerror}; make it readable") from None
    return [path for path in found if not path.name.startswith(".") and path.name.lower() not in LITTER]


def _existing(root: Path | str, layout: str) -> Path:
    root = expanded(root)
    if not is_folder_or_zip(root):
        raise CdirError(f"{root} is not a folder; expected {layout}")
    return root


def require_root(root: Path, domains: dict[str, str], missing: Sequence[str]) -> None:
    """Raise CdirError if domain folders are missing; the message suggests a remedy."""
    if not missing:
        return
    folders, above = list(domains.values()), root.resolve().parent
    deeper = [path for path in visible(root) if is_folder_or_zip(path) and _has_all(path, folders)]
    if deeper:
        raise CdirError(f"{root} is one level too high: give {deeper[0]}, which holds {', '.join(folders)}")
    if _has_all(above, folders):
        raise CdirError(f"{root} is one level too deep: give {above}, which holds {', '.join(folders)}")
    names = ", ".join(path.name for path in visible(root)[:6]) or "nothing"
    raise CdirError(
        f"{root} has no domain folder {', '.join(missing)}; it holds {names}; expected "
        f"{root}/<domain>/<class>/<image> with domains {', '.join(folders)}"
    )


def _has_all(root: Path, folders: Sequence[str]) -> bool:
    return all(is_folder_or_zip(folder_or_zip(root / folder)) for folder in folders)


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

    count  the number of files or folders concerned, if an item stands for several of them
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
    bar = progress_bar(total=len(items), desc=title, unit="file", disable=not progress, leave=False)
    with bar, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(items), BLOCK):
            results += pool.map(function, items[start : start + BLOCK])
            bar.update(len(results) - start)
    return results


def inspect_all(root: Path, files: list[Path], progress: bool = True, trust_times: bool = False) -> list[Inspection]:
    """Apply `inspect` to each file; files whose digest is in the cache of decoded files are not decoded again.

    trust_times  do not even read files whose size and times are those of the cache
    """
    cache_path = _cache_file(root, ".json")
    code = json.dumps(provenance("cdir_nb.data.pictures"), sort_keys=True)  # other code may see other things
    stored = _stored_looks(cache_path, code)
    stamps = _stamps(root, files) if trust_times else {}
    seen = _seen(root) if stamps else {}
    known = {path: Inspection(seen[s], "", stored[seen[s]]) for path, s in stamps.items() if seen.get(s) in stored}
    changed = [path for path in files if path not in known]
    known |= zip(changed, in_threads(lambda path: inspect(path, stored), changed, "reading images", progress))
    inspections = [known[path] for path in files]
    looks = {inspection.digest: inspection.look for inspection in inspections if inspection.look}
    if not looks.keys() <= stored.keys():
        content = {
            "code": code,
            "looks": {digest: astuple(look) for digest, look in sorted({**stored, **looks}.items())},
        }
        write_to_cache(cache_path, lambda path: path.write_text(json.dumps(content)))
    if trust_times and changed:
        seen = {stamp: known[path].digest for path, stamp in stamps.items() if known[path].look}
        write_to_cache(_cache_file(root, ".times.json"), lambda path: path.write_text(json.dumps(seen)))
    return inspections


def _stamps(root: Path, files: list[Path]) -> dict[Path, str]:
    """{file: its name, size and times as one text} of files on the disk, without those that have just been written."""
    stamps, now, above = {}, time.time(), len(str(root))
    for path in files:
        with suppress(OSError):
            status = path.stat()
            if now - max(status.st_mtime, status.st_ctime) > RECENT:
                stamps[path] = f"{str(path)[above:]} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    return stamps


def _seen(root: Path) -> dict[str, str]:
    """{stamp of a file: its digest} from the cache; empty if its file is missing or damaged."""
    try:
        return dict(json.loads(read_from_cache(_cache_file(root, ".times.json"), Path.read_text) or "{}"))
    except (ValueError, TypeError):
        return {}


def _cache_file(root: Path, suffix: str) -> Path:
    """The path of a cache file with data on the files of a folder."""
    return cache_dir() / "decoded" / f"{digest_of(os.fsencode(root.resolve()))}{suffix}"


def _stored_looks(cache_path: Path, code: str) -> dict[str, Look]:
    """{digest of a file: its `Look`} from a cache file; empty if it is missing, damaged, or written by other code."""
    try:
        content = json.loads(read_from_cache(cache_path, Path.read_text) or "{}")
        return {digest: Look(*look) for digest, look in content["looks"].items()} if content["code"] == code else {}
    except (ValueError, TypeError, LookupError, AttributeError):
        return {}
