"""What the cache holds, which of it no current code can read, and how to remove that (`cdir cache`).

A stored result states the modules that computed it, the digest of their source and the library versions
(`cdir_nb.sources.provenance`): embeddings in `key.json`, a training in a JSON file beside its checkpoint. Where these
differ from today's, the key of the result differs too, and it is never looked up again.
"""

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import typer

from cdir_nb.errors import CdirError
from cdir_nb.paths import PACKAGE, PART, cache_dir, is_abandoned
from cdir_nb.sources import LIBRARIES, code_digest, library_versions

EARLIER = "from an earlier version"
FOR_THE_EXPLORER = ("explorer", "maps", "texts")  # folders of files that the explorer looks up by their content alone


@dataclass(frozen=True)
class Entry:
    """Files of the cache that are looked up together.

    kind      "embeddings", "trainings", "explorer", "world" or "temporary"
    name      of the encoder or method
    outdated  why no current code can read it; empty if it can
    note      why that cannot be told here; empty if it can
    """

    kind: str
    name: str
    files: tuple[Path, ...]
    outdated: str = ""
    note: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(stat.st_size for stat in self._stats())

    @property
    def last_use(self) -> float:
        """Seconds since the epoch: when a file was last read or written (some systems do not record reading)."""
        return max((max(stat.st_atime, stat.st_mtime) for stat in self._stats()), default=0.0)

    def _stats(self) -> list:
        found = []
        for file in self.files:
            with suppress(FileNotFoundError):  # another process has just removed it
                found.append(file.stat())
        return found


def show_cache(
    remove: Annotated[bool, typer.Option("--prune", help="Remove what no current code can read.")] = False,
) -> None:
    """List what the cache holds: embeddings of each encoder, trainings of each method, files of the explorer.

    A stored result states the source code and the library versions that computed it. After a change of either it is
    computed again, and the old one is never read. The last column names the reason. --prune removes these entries and
    what ended processes left behind; everything in the cache can be computed again.

    \b
    The cache is a folder of the user; set CDIR_CACHE to choose another.
    Example: cdir cache --prune
    """
    found = entries()
    typer.echo(f"cache {cache_dir()}: {readable(sum(entry.size for entry in found))}")
    if found:
        typer.echo("\n".join(table(found)))
    outdated = [entry for entry in found if entry.outdated]
    size = readable(sum(entry.size for entry in outdated))
    if not outdated:
        typer.echo("everything can be read by the current code")
    elif remove:
        typer.echo(f"removing {len(outdated)} entries that no current code can read: {size}")
        prune(outdated)
    else:
        typer.echo(f"no current code can read {len(outdated)} entries, {size}: cdir cache --prune removes them")


def entries(folder: Path | None = None) -> list[Entry]:
    """All entries of the cache (`folder`: another than the user's), by kind and name."""
    folder = folder or cache_dir()
    found = [*_temporary(folder), *_embeddings(folder), *_trainings(folder), *_world(folder), *_explorer(folder)]
    return sorted(found, key=lambda entry: (entry.kind, entry.name, entry.outdated, entry.files))


def prune(outdated: Iterable[Entry]) -> None:
    """Remove the files of these entries, and folders that are then empty."""
    for entry in outdated:
        for file in entry.files:
            file.unlink(missing_ok=True)
        for folder in {file.parent for file in entry.files}:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def table(shown: Iterable[Entry]) -> list[str]:
    """Lines of a table, a row for each kind, name and state: number, size and day of the last use."""
    groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in shown:
        groups[entry.kind, entry.name, entry.outdated or entry.note].append(entry)
    rows = [("kind", "of", "entries", "size", "last use", "")]
    for (kind, name, state), group in groups.items():
        day = time.strftime("%Y-%m-%d", time.localtime(max(entry.last_use for entry in group)))
        rows.append((kind, name, str(len(group)), readable(sum(entry.size for entry in group)), day, state))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]


def readable(size: int) -> str:
    """A number of bytes for people: "3.2 MB"."""
    if size < 1000:
        return f"{size} B"
    power = min((len(str(size)) - 1) // 3, 4)
    return f"{size / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def compare(stated: Mapping[str, Any]) -> tuple[str, str]:
    """(why a result that states this cannot be read any more, why that cannot be told here); empty where neither."""
    try:
        modules, code, libraries = tuple(stated["modules"]), stated["code"], dict(stated["libraries"])
    except (KeyError, TypeError, ValueError):
        return EARLIER, ""
    now = library_versions(*(name for name in libraries if name not in ("python", *LIBRARIES)))
    for name in sorted({*libraries, *now}):
        if libraries.get(name) != now.get(name):
            return f"{name} {libraries.get(name, 'not stated')}, now {now.get(name, 'not needed')}", ""
    try:
        return ("" if _digest(modules) == code else "other code"), ""
    except CdirError as error:
        own = all(module.split(".")[0] == PACKAGE.name for module in modules)
        return ("other code", "") if own else ("", f"not checked: {error}")


@lru_cache
def _digest(modules: tuple[str, ...]) -> str:
    return code_digest(*modules)


def _temporary(folder: Path) -> Iterator[Entry]:
    for file in sorted(folder.rglob(f"{PART}-*")):
        if is_abandoned(file.name):
            yield Entry("temporary", file.relative_to(folder).parts[0], (file,), "its process has ended")


def _embeddings(folder: Path) -> Iterator[Entry]:
    for store in _folders(folder / "embeddings"):
        files = tuple(sorted(file for file in store.iterdir() if not file.name.startswith(PART)))
        stated = _read(store / "key.json")
        part = {"texts": " (texts)"}.get(stated.get("of", ""), " (maps)" if stated.get("features") == "map" else "")
        yield Entry("embeddings", f"{stated.get('model', '?')}{part}", files, *compare(stated))


def _trainings(folder: Path) -> Iterator[Entry]:
    for method in _folders(folder / "trainings"):
        for file in sorted(method.glob("[!.]*.pt")):
            beside = file.with_suffix(".json")
            stated = _read(beside)
            files = (file, beside) if beside.is_file() else (file,)
            yield Entry("trainings", str(stated.get("method", method.name)), files, *compare(stated))
    for method in _folders(folder):  # earlier checkpoints lie in a folder of their method
        if method.name not in ("trainings", *FOR_THE_EXPLORER):
            for file in sorted(method.glob("*.pt")):
                if re.fullmatch(r"[0-9a-f]{16}\.pt", file.name):
                    yield Entry("trainings", method.name, (file,), EARLIER)


def _explorer(folder: Path) -> Iterator[Entry]:
    for name in FOR_THE_EXPLORER:
        for file in sorted(path for path in (folder / name).rglob("[!.]*") if path.is_file()):
            yield Entry("explorer", "methods" if name == "explorer" else name, (file,))


def _world(folder: Path) -> Iterator[Entry]:
    from cdir_nb.data.world import source_digest

    for file in sorted((folder / "world").glob("[!.]*.npy")):
        current = file.stem.rpartition("-")[2] == source_digest()
        yield Entry("world", "drawings", (file,), "" if current else "other code")


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _read(file: Path) -> dict[str, Any]:
    """The content of a JSON file; empty where it is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
