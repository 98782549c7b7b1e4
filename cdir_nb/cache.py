"""The content of the cache, and the removal of outdated entries (`cdir cache`).

The modules that computed a result, the digest of their source and the library versions are stored with it
(`cdir_nb.sources.provenance`): for embeddings in `key.json`, for a training in a JSON file beside its checkpoint. If
one of these has changed, the key of the result changes too, so the stored result is never read again.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from cdir_nb.errors import CdirError
from cdir_nb.paths import PACKAGE, abandoned_files, cache_dir, cached_files
from cdir_nb.sources import code_digest, library_versions

EARLIER = "from an earlier version"
OTHER_CODE = "other code"
EXPLORER = {"explorer": "methods", "maps": "maps"}  # {folder: name}; files are looked up by content


@dataclass(frozen=True)
class Entry:
    """An entry of the cache: files that are kept or removed together.

    kind      "embeddings", "trainings", "explorer", "world" or "temporary"
    name      name of the encoder or method
    outdated  the reason why the current code cannot use the entry; empty if it can
    note      the reason why `outdated` could not be determined; empty if it could
    """

    kind: str
    name: str
    files: tuple[Path, ...]
    outdated: str = ""
    note: str = ""

    @property
    def size(self) -> int:
        """Total size of the files in bytes."""
        return sum(stats.st_size for stats in self._stats)

    @property
    def last_use(self) -> float:
        """Time of the last read or write, in seconds since the epoch (some systems do not record reads)."""
        return max((max(stats.st_atime, stats.st_mtime) for stats in self._stats), default=0.0)

    @property
    def _stats(self) -> list[os.stat_result]:
        """Status of each file that exists, in folders that can be read."""
        return [file.stat() for file in self.files if os.path.exists(file)]


def show_cache(
    remove: Annotated[bool, typer.Option("--prune", help="Remove entries that the current code cannot read.")] = False,
) -> None:
    """List the cache: embeddings of each encoder, trainings of each method, files of the explorer.

    Each result is stored with digests of the source code and versions of the libraries that computed it. When either
    changes, the result is computed again and the old entry is not used any more; the last column gives the reason.
    --prune removes these entries, and temporary files of processes that have ended; everything in the cache can be
    computed again.

    \b
    By default, each user has a separate cache; set CDIR_CACHE to choose another folder.
    Example: cdir cache --prune
    """
    all_entries = entries()
    outdated = [entry for entry in all_entries if entry.outdated]
    typer.echo(f"cache {cache_dir()}: {_total(all_entries)}")
    if all_entries:
        typer.echo("\n".join(table(all_entries)))
    if not outdated:
        typer.echo("the current code can read all entries")
    elif remove:
        typer.echo(f"removing {len(outdated)} entries that the current code cannot read: {_total(outdated)}")
        if failed := prune(outdated):
            typer.echo(f"{failed} of them stay: they belong to other users, who can remove them")
    else:
        typer.echo(
            f"the current code cannot read {len(outdated)} entries, {_total(outdated)}: cdir cache --prune removes them"
        )


def entries() -> list[Entry]:
    """All entries of the cache, by kind and name."""
    folder = cache_dir()
    listed = (_temporary(folder), _embeddings(folder), _trainings(folder), _world(folder), _explorer(folder))
    return sorted(chain(*listed), key=lambda entry: (entry.kind, entry.name, entry.outdated, entry.files))


def prune(outdated: Iterable[Entry]) -> int:
    """Remove these entries and the folders that are then empty; returns the number that other users own."""
    failed = 0
    for entry in outdated:
        try:
            for file in entry.files:
                file.unlink(missing_ok=True)
        except PermissionError:
            failed += 1
        for folder in {file.parent for file in entry.files}:
            with suppress(OSError):  # it is not empty
                folder.rmdir()
    return failed


def table(entries: Iterable[Entry]) -> list[str]:
    """Format the entries as a table: number, size and date of last use for each kind, name and state."""
    groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.kind, entry.name, entry.outdated or entry.note].append(entry)
    rows = [("kind", "of", "entries", "size", "last use", "")]
    for (kind, name, state), group in groups.items():
        day = time.strftime("%Y-%m-%d", time.localtime(max(entry.last_use for entry in group)))
        rows.append((kind, name, str(len(group)), _total(group), day, state))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]


def _total(entries: Iterable[Entry]) -> str:
    """Total size of the entries, such as "3.2MB"."""
    return tqdm.format_sizeof(sum(entry.size for entry in entries), "B")


def _state(stored: Mapping[str, Any]) -> tuple[str, str]:
    """(outdated, note) of an `Entry` with this provenance."""
    try:
        modules, code, libraries = tuple(stored["modules"]), stored["code"], dict(stored["libraries"])
    except (KeyError, TypeError, ValueError):
        return EARLIER, ""
    now = library_versions(*(name for name in libraries if name != "python"))
    for name, version in now.items():
        if libraries.get(name) != version:
            return f"{name} {libraries.get(name, 'unknown')}, now {version}", ""
    try:
        return (OTHER_CODE if _digest(modules) != code else ""), ""
    except CdirError as error:
        is_removed = all(module.split(".")[0] == PACKAGE.name for module in modules)
        return (OTHER_CODE, "") if is_removed else ("", f"not checked: {error}")


@lru_cache
def _digest(modules: tuple[str, ...]) -> str:
    return code_digest(*modules)


def _temporary(folder: Path) -> Iterator[Entry]:
    for file in abandoned_files(folder):
        yield Entry("temporary", file.relative_to(folder).parts[0], (file,), "its process has ended")


def _embeddings(folder: Path) -> Iterator[Entry]:
    for store in folder.glob("embeddings/*/"):
        files = tuple(cached_files(store, ""))
        stored = _read(store / "key.json")
        content = " (texts)" if stored.get("of") == "texts" else " (maps)" if stored.get("features") == "map" else ""
        yield Entry("embeddings", f"{stored.get('model', '?')}{content}", files, *_state(stored))


def _trainings(folder: Path) -> Iterator[Entry]:
    for file in folder.glob("trainings/*/[!.]*.pt"):
        about = file.with_suffix(".json")
        stored = _read(about)
        files = (file, about) if os.path.isfile(about) else (file,)
        yield Entry("trainings", str(stored.get("method", file.parent.name)), files, *_state(stored))


def _explorer(folder: Path) -> Iterator[Entry]:
    for name, content in EXPLORER.items():
        for file in (folder / name).rglob("[!.]*"):
            if os.path.isfile(file):
                yield Entry("explorer", content, (file,))


def _world(folder: Path) -> Iterator[Entry]:
    from cdir_nb.data.world import source_digest

    for file in folder.glob("world/[!.]*.npy"):
        is_current = file.stem.rpartition("-")[2] == source_digest()
        yield Entry("world", "drawings", (file,), "" if is_current else OTHER_CODE)


def _read(file: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if it is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
