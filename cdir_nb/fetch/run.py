"""`cdir fetch`: show the terms, fetch from the first source that responds, assemble the folder, verify it.

Files are collected in <root>/.fetch, which loaders ignore. A domain's folder is moved to <root> only when it is
complete, so an interruption never leaves an incomplete domain folder there. The same command then resumes.
"""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import filelock

from cdir_nb.data.card import Card
from cdir_nb.data.check import VerifyReport, verify
from cdir_nb.data.manifest import is_bundled, load_card
from cdir_nb.errors import CdirError
from cdir_nb.fetch.drawings import fetch_class
from cdir_nb.fetch.http import Unreachable, download
from cdir_nb.fetch.hub import fetch_file, hub_files
from cdir_nb.fetch.table import ArchiveFile, ArchiveSource, ByHand, DrawingSource, Entry, HubSource, load_table
from cdir_nb.fetch.unpack import Staging, unpack, unpack_parquet
from cdir_nb.paths import make_folder
from cdir_nb.progress import progress_bar

WORK = ".fetch"
DOWNLOADS = 4  # at a time


@dataclass(frozen=True)
class Request:
    """The options of `fetch_dataset`.

    name       name of the dataset
    root       the folder to fill
    accept     whether the user accepts the dataset's terms
    domains    only these domains; empty: all
    classes    only these classes (drawings); empty: all
    per_class  number of drawings of each class
    files      archives that the user downloaded, in place of the sources
    log        called with each line of progress
    """

    name: str
    root: Path
    accept: bool = False
    domains: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    per_class: int = 25
    files: tuple[Path, ...] = ()
    log: Callable[[str], None] = print


def fetch_dataset(request: Request) -> VerifyReport:
    """Fetch a dataset into <root> and verify it. Raises CdirError for an invalid request or a failed download."""
    card = load_card(request.name)
    entry = _entry(request, card)
    request.log(f"{card.title}\n  licence: {card.licence}\n  terms: {entry.terms}\n  please cite: {card.citation}")
    if not request.accept:
        raise CdirError("nothing was fetched: if you accept these terms, run the same command with --accept-licence")
    work = request.root / WORK
    try:
        make_folder(work)
        with filelock.FileLock(work / ".lock", timeout=0):
            fetch = _fetch_drawings if card.kind == "ndjson" else _fetch_folders
            fetched = fetch(request, card, entry, work)
        shutil.rmtree(work, ignore_errors=True)
    except filelock.Timeout:
        raise CdirError(f"{request.root}: another `cdir fetch` is running there: wait for it or stop it") from None
    except OSError as error:
        raise CdirError(f"{request.root}: {error.strerror or error}: check the disk and its permissions") from None
    return verify(fetched, request.root)


def _entry(request: Request, card: Card) -> Entry:
    """The dataset's sources, after the request has been checked."""
    table = load_table()
    if is_bundled(card):
        raise CdirError(f"{request.name} comes with the workbook: there is nothing to fetch")
    if request.name not in table:
        raise CdirError(f"{request.name!r} has no source: fetch one of {', '.join(table)}")
    names = {"domain": (request.domains, list(card.domains)), "class": (request.classes, list(card.classes))}
    for kind, (requested, available) in names.items():
        if unknown := [name for name in requested if name not in available]:
            raise CdirError(f"{card.name} has no {kind} {unknown[0]!r}: use one of {', '.join(available[:12])}")
    if request.classes and card.kind != "ndjson":
        raise CdirError(f"--class: {card.name} has no separate file for each class: leave the option out")
    if missing := [file for file in request.files if not file.is_file()]:
        raise CdirError(f"--from {missing[0]}: not a file; check the path")
    return table[request.name]


def _fetch_folders(request: Request, card: Card, entry: Entry, work: Path) -> Card:
    """Fetch the domains that are not in <root>; returns the card with the domains then present."""
    paths = {name: request.root / info.folder for name, info in card.domains.items()}
    requested = request.domains or tuple(paths)
    missing = [name for name in requested if not paths[name].exists()]
    for name in requested:
        if name not in missing:
            request.log(f"exists  {name}: remove {paths[name]} to fetch it again")
    if missing:
        shutil.rmtree(work / "unpacked", ignore_errors=True)  # of an interrupted command
        staging = Staging(work / "unpacked", card, [card.domains[name].folder for name in missing])
        if request.files:
            for file in request.files:
                request.log(f"unpack  {file}")
                unpack(file, staging, entry.folders())
        else:
            _from_sources(request, entry, staging, missing, work)
        _move_finished(request, staging)
    for name in missing:
        if not paths[name].exists():
            request.log(f"MISSING {name}: not in this source; {entry.by_hand()}".removesuffix("; "))
    domains = {name: info for name, info in card.domains.items() if paths[name].exists()}
    counts = {name: counts for name, counts in card.counts.items() if name in domains}
    return card.model_copy(update={"domains": domains, "counts": counts}) if domains else card


def _from_sources(request: Request, entry: Entry, staging: Staging, domains: Sequence[str], work: Path) -> None:
    """Unpack the first source that responds; archives of single domains come first if not all domains are requested."""
    for source in sorted(entry.sources, key=lambda s: bool(request.domains) and not isinstance(s, ArchiveSource)):
        if isinstance(source, ByHand):
            raise CdirError(f"{request.name} cannot be fetched by a program: {entry.by_hand()}")
        try:
            if isinstance(source, HubSource):
                _log_source(request, source, f"hub repository {source.repo} at {source.revision[:8]}")
                return _from_hub(source, staging, work)
            if isinstance(source, ArchiveSource):
                _log_source(request, source, ", ".join(file.url for file in source.files))
                return _from_archives(request, source, staging, domains, work)
        except Unreachable as error:
            request.log(f"        {error}")
    raise CdirError(f"no source of {request.name} responds: try again later, or add a downloaded archive: --from FILE")


def _log_source(request: Request, source: HubSource | ArchiveSource | DrawingSource, address: str) -> None:
    request.log(f"source  {address}{'' if source.confirmed else ' (unconfirmed)'}: {source.review}")


def _from_hub(source: HubSource, staging: Staging, work: Path) -> None:
    folder = staging.card.domains[source.only].folder if source.only else ""
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        paths = list(pool.map(lambda file: fetch_file(source, file, work / "hub"), hub_files(source)))
    for path in paths:
        unpack_parquet(path, staging, image=source.image, label=source.label, domain=source.domain, folder=folder)


def _from_archives(
    request: Request, source: ArchiveSource, staging: Staging, domains: Sequence[str], work: Path
) -> None:
    files = [file for file in source.files if not file.domain or file.domain in domains]
    folder = work / "downloads"
    make_folder(folder)
    bar = progress_bar(unit="B", unit_scale=True, desc=request.name, leave=False)

    def fetch(file: ArchiveFile) -> None:
        download(file.url, folder / _file_name(file.url), file.sha256, file.size, bar.update)
        for url in file.lists:
            download(url, folder / _file_name(url), None, None, bar.update)

    with bar, ThreadPoolExecutor(DOWNLOADS) as pool:
        list(pool.map(fetch, files))
    for file in files:
        request.log(f"unpack  {_file_name(file.url)}")
        lists = [(folder / _file_name(url)).read_text(encoding="utf-8") for url in file.lists]
        lines = "\n".join(lists).splitlines()  # <domain>/<class>/<image> <label>
        listed = {line.rpartition(" ")[0] for line in lines} if lists else None
        unpack(folder / _file_name(file.url), staging, source.folders, listed)


def _file_name(url: str) -> str:
    return url.rpartition("/")[2]


def _move_finished(request: Request, staging: Staging) -> None:
    """Move finished domains to the folder that loaders read. Raises CdirError if no image was unpacked."""
    if not staging.written:
        folders = ", ".join(staging.folders)
        raise CdirError(
            f"{request.name}: none of {staging.ignored:,} files is in a folder {folders}/<class>: check the archive"
        )
    for folder in staging.folders:
        if (staging.root / folder).exists():
            (staging.root / folder).rename(request.root / folder)
    request.log(f"wrote   {staging.written:,} images; ignored {staging.ignored:,} other files")


def _fetch_drawings(request: Request, card: Card, entry: Entry, work: Path) -> Card:
    """Fetch the classes that do not have `per_class` drawings; returns the card with the classes then present."""
    source = next(source for source in entry.sources if isinstance(source, DrawingSource))
    _log_source(request, source, source.url)
    labels = [name for name in request.classes or card.classes if _n_lines(request.root, name) != request.per_class]

    def fetch(label: str) -> None:
        fetch_class(source.url, label, request.per_class, request.root)

    with ThreadPoolExecutor(DOWNLOADS) as pool:
        list(progress_bar(pool.map(fetch, labels), total=len(labels), desc=request.name, unit="class", leave=False))
    counts = {label: n for label in card.classes if (n := _n_lines(request.root, label))}
    ((domain, info),) = card.domains.items()
    domains = {domain: info.model_copy(update={"total": None})}
    return card.model_copy(update={"classes": list(counts), "domains": domains, "counts": {domain: counts}})


def _n_lines(root: Path, label: str) -> int:
    path = root / f"{label}.ndjson"
    return path.read_bytes().count(b"\n") if path.is_file() else 0
