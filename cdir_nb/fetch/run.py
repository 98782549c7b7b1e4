"""`cdir fetch`: show the terms, fetch from the best source that answers, put the folder together, verify it.

Everything happens in <root>/.fetch, which loaders do not see. A domain's folder is renamed into place when all its
images are there: so no interruption leaves a folder that only looks finished. Running the same command again resumes.
"""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import filelock
from tqdm import tqdm

from cdir_nb.data.card import Card
from cdir_nb.data.check import VerifyReport, verify
from cdir_nb.data.manifest import is_bundled, load_card
from cdir_nb.errors import CdirError
from cdir_nb.fetch.drawings import fetch_class
from cdir_nb.fetch.http import Unreachable, download, size_of
from cdir_nb.fetch.hub import fetch_files, hub_files
from cdir_nb.fetch.table import ArchiveFile, ArchiveSource, ByHand, DrawingSource, Entry, HubSource, Source, entry_of
from cdir_nb.fetch.unpack import Staging, unpack, unpack_parquet

WORK = ".fetch"
ROOM = 2.1  # an archive and what it unpacks to, and a little more


@dataclass(frozen=True)
class Request:
    """What to fetch. `domains`, `classes`: only these (empty: all). `files`: archives that a person downloaded."""

    name: str
    root: Path
    accept: bool = False
    domains: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    per_class: int = 25
    files: tuple[Path, ...] = ()
    jobs: int = 4
    say: Callable[[str], None] = field(default=print)


def fetch_dataset(request: Request) -> VerifyReport:
    """Bring a dataset into <root> and verify it. Raises CdirError, in one line with the remedy."""
    card, entry = load_card(request.name), _entry(request)
    _check_names(request, card)
    request.say(_terms(card, entry))
    if not request.accept:
        raise CdirError("nothing was fetched: if you accept these terms, run the same command with --accept-licence")
    work = request.root / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(work / ".lock", timeout=0):
            part = _fetch_drawings if card.kind == "ndjson" else _fetch_folders
            fetched = part(request, card, entry, work)
        shutil.rmtree(work, ignore_errors=True)
    except filelock.Timeout:
        raise CdirError(f"another `cdir fetch` is at work in {request.root}: wait for it or stop it") from None
    except OSError as error:
        raise CdirError(f"{request.root}: {error.strerror or error}; check the disk and its permissions") from None
    return verify(fetched, request.root)


def _entry(request: Request) -> Entry:
    if is_bundled(load_card(request.name)):
        raise CdirError(f"{request.name} comes with the workbook: there is nothing to fetch")
    return entry_of(request.name)


def _check_names(request: Request, card: Card) -> None:
    for what, given, known in (("domain", request.domains, card.domains), ("class", request.classes, card.classes)):
        if unknown := [name for name in given if name not in known]:
            raise CdirError(f"{card.name} has no {what} {unknown[0]!r}; it has {', '.join(list(known)[:12])}")
    if request.classes and card.kind != "ndjson":
        raise CdirError(f"--class is for drawings, one file a class; {card.name} comes as a whole: leave it out")
    for file in request.files:
        if not file.is_file():
            raise CdirError(f"--from {file}: no such file")


def _terms(card: Card, entry: Entry) -> str:
    return f"{card.title}\n  licence: {card.licence}\n  terms: {entry.terms}\n  please cite: {card.citation}"


# ---- folders of images -----------------------------------------------------------------------------------------


def _fetch_folders(request: Request, card: Card, entry: Entry, work: Path) -> Card:
    """Fetch the domains that are not there yet; returns the card of what is there."""
    domains = request.domains or tuple(card.domains)
    missing = [name for name in domains if not (request.root / card.domains[name].folder).exists()]
    for name in domains:
        if name not in missing:
            request.say(f"kept    {name} is there; remove {request.root / card.domains[name].folder} to fetch it again")
    if missing:
        shutil.rmtree(work / "unpacked", ignore_errors=True)  # of an interrupted command: unpacked again
        staging = Staging(work / "unpacked", card, [card.domains[name].folder for name in missing])
        if request.files:
            _from_files(request, entry, staging)
        else:
            _from_sources(request, entry, staging, missing, work)
        _place(request, staging)
        _say_missing(
            request, entry, [name for name in missing if not (request.root / card.domains[name].folder).exists()]
        )
    there = {name: info for name, info in card.domains.items() if (request.root / info.folder).exists()}
    counts = {name: counts for name, counts in card.counts.items() if name in there}
    return card.model_copy(update={"domains": there, "counts": counts}) if there else card


def _from_files(request: Request, entry: Entry, staging: Staging) -> None:
    _need_room(request.root, sum(file.stat().st_size for file in request.files))
    for file in request.files:
        request.say(f"unpack  {file}")
        unpack(file, staging, entry.folders())


def _from_sources(request: Request, entry: Entry, staging: Staging, domains: list[str], work: Path) -> None:
    """The first source that answers; a source that can give single domains goes first if only some are wanted."""
    sources = sorted(entry.sources, key=lambda s: bool(request.domains) and not isinstance(s, ArchiveSource))
    for source in sources:
        if isinstance(source, ByHand):
            raise CdirError(f"no program can fetch {request.name}: {source.how} ({source.page}), then give --from FILE")
        request.say(f"source  {_address(source)}{'' if source.confirmed else ' (unconfirmed)'}: {source.review}")
        try:
            by_kind = _from_hub if isinstance(source, HubSource) else _from_archives
            return by_kind(request, source, staging, domains, work)
        except Unreachable as error:
            request.say(f"        {error}")
    raise CdirError(f"no source of {request.name} answers: try again later, or give a downloaded archive: --from FILE")


def _address(source: Source) -> str:
    if isinstance(source, HubSource):
        return f"the hub's {source.repo} at {source.revision[:8]}"
    return ", ".join(file.url for file in source.files[:2]) + (" ..." if len(source.files) > 2 else "")


def _from_hub(request: Request, source: HubSource, staging: Staging, domains: list[str], work: Path) -> None:
    files = hub_files(source)
    _need_room(request.root, sum(file.size for file in files))
    columns = {"image": source.image, "label": source.label, "domain": source.domain}
    only = staging.card.domains[source.only].folder if source.only else ""
    for path in fetch_files(source, files, work / "hub", request.jobs):
        unpack_parquet(path, staging, only=only, **columns)


def _from_archives(request: Request, source: ArchiveSource, staging: Staging, domains: list[str], work: Path) -> None:
    files = [file for file in source.files if not file.domain or file.domain in domains]
    sizes = [file.size or size_of(file.url) or 0 for file in files]
    _need_room(request.root, sum(sizes))
    if not any(file.sha256 for file in files):
        request.say("        no checksum is published: the first one seen here is kept, and compared from then on")
    folder = work / "downloads"
    folder.mkdir(exist_ok=True)
    bar = tqdm(total=sum(sizes) or None, unit="B", unit_scale=True, desc=request.name, leave=False)
    with bar, ThreadPoolExecutor(request.jobs) as pool:
        list(pool.map(lambda file: _download(file, folder, bar), files))
    for file in files:
        request.say(f"unpack  {_name_of(file.url)}")
        listed = {path for url in file.lists for path in _listed(folder / _name_of(url))} if file.lists else None
        unpack(folder / _name_of(file.url), staging, source.folders, listed)


def _download(file: ArchiveFile, folder: Path, bar: tqdm) -> None:
    download(file.url, folder / _name_of(file.url), file.sha256, file.size, bar.update)
    for url in file.lists:
        download(url, folder / _name_of(url), None, None, lambda n: None)


def _name_of(url: str) -> str:
    return url.rsplit("/", 1)[-1]


def _listed(path: Path) -> list[str]:
    """Paths of an image list: lines of <domain>/<class>/<image> <label>."""
    return [line.rsplit(" ", 1)[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _need_room(root: Path, size: int) -> None:
    free, needed = shutil.disk_usage(root).free, ROOM * size
    if needed > free:
        raise CdirError(
            f"{root} has {free / 2**30:.1f} GiB free, and {needed / 2**30:.1f} GiB are needed while fetching: "
            "make room, or choose another --to"
        )


def _place(request: Request, staging: Staging) -> None:
    """Move finished domains to where loaders look; refuse an archive with nothing in it."""
    if not staging.written:
        folders = ", ".join(staging.folders)
        raise CdirError(
            f"no image of {request.name} was found: {staging.ignored:,} files are in none of the folders "
            f"{folders}/<class>; is it the right archive?"
        )
    for folder in staging.folders:
        if (staging.root / folder).exists():
            (staging.root / folder).rename(request.root / folder)
    request.say(f"wrote   {staging.written:,} images; {staging.ignored:,} other files were left out")


def _say_missing(request: Request, entry: Entry, names: list[str]) -> None:
    """Domains that the source does not have, and what a person can do about them."""
    remedy = next((f"{s.how} ({s.page}), then give --from FILE" for s in entry.sources if isinstance(s, ByHand)), "")
    for name in names:
        request.say(f"MISSING {name}: not in this source{'; ' if remedy else ''}{remedy}")


# ---- drawings, one file a class --------------------------------------------------------------------------------


def _fetch_drawings(request: Request, card: Card, entry: Entry, work: Path) -> Card:
    """Fetch the classes that do not have `per_class` drawings yet; returns the card of what is there."""
    source = next(source for source in entry.sources if isinstance(source, DrawingSource))
    labels = request.classes or tuple(card.classes)
    todo = [label for label in labels if _count(request.root, label) != request.per_class]
    request.say(f"source  {source.url}{'' if source.confirmed else ' (unconfirmed)'}: {source.review}")
    request.say("        the first drawings of each file; their checksum is kept, and compared from then on")
    one = partial(fetch_class, source.url, n=request.per_class, folder=request.root)
    with ThreadPoolExecutor(request.jobs) as pool:
        bar = tqdm(pool.map(one, todo), total=len(todo), desc=request.name, unit="class", leave=False)
        counts = dict(zip(labels, [request.per_class] * len(labels))) | dict(zip(todo, bar))
    there = [label for label in card.classes if _count(request.root, label)]
    domain, info = next(iter(card.domains.items()))
    whole = info.model_copy(update={"total": None})
    return card.model_copy(update={"classes": there, "domains": {domain: whole}, "counts": {domain: counts}})


def _count(root: Path, label: str) -> int:
    path = root / f"{label}.ndjson"
    return path.read_bytes().count(b"\n") if path.is_file() else 0
