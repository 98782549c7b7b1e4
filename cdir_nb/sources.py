"""Digests of the source code that a result depends on: a module and every module that it imports.

Files are found and parsed, never imported. Only modules of this package and a user's own modules are followed;
libraries enter a cache key by their versions (`library_versions`). The rules:

- An import counts wherever it stands, in functions too, but not below `if TYPE_CHECKING:`.
- `from package import name` reads the package's `__init__.py`. That file counts, and so does the submodule that it
  imports the name from; its other imports do not. A name that `__init__.py` defines itself brings all its imports.
- `from package import submodule` and `import package.submodule` do not count the package's `__init__.py`. If the
  submodule is a package too and is used as `submodule.name` only, these names are read from it as above. If it is used
  otherwise, all of its `__init__.py` counts, with everything that it imports.
- Comments, docstrings and formatting do not change a digest.

An import by a computed name (`importlib.import_module(name)`) is not seen.
"""

import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from cdir_nb.errors import CdirError
from cdir_nb.imports import Source, Target, file_source, text_source
from cdir_nb.paths import PACKAGE

LIBRARIES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "safetensors",
)


def library_versions(*more: str) -> dict[str, str]:
    """Versions of Python (3.11, say) and of the libraries that compute numbers: LIBRARIES, and `more` names.

    A library that is not installed has the version "missing".
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python} | {name: _version(name) for name in (*LIBRARIES, *more)}


def code_digest(*modules: str, text: str = "", folders: Sequence[Path] = ()) -> str:
    """Digest (16 hex digits) of the source of these modules and of all modules that they import.

    modules  dotted names, such as "cdir_nb.methods.ucdir.losses"
    text     further Python code, such as the code cells of a notebook; its imports are followed too
    folders  where modules are looked for before this package's own folder and `sys.path`
    Raises CdirError for a module in `modules` that is not found, and for a file or text that is not valid Python.
    """
    code = hashlib.sha256(text_source(text).digest.encode())
    for module, path in sorted(followed(*modules, text=text, folders=folders).items()):
        code.update(f"\n{module} {file_source(module, path).digest}".encode())
    return code.hexdigest()[:16]


def source_files(*modules: str, text: str = "", folders: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The files that `code_digest` reads, sorted."""
    return tuple(sorted(followed(*modules, text=text, folders=folders).values()))


def followed(*modules: str, text: str = "", folders: Sequence[Path] = ()) -> dict[str, Path]:
    """{module: its file} of all modules that `code_digest` reads; arguments and errors as there."""
    return _follow(modules, text, folders)[0]


def used(candidates: Iterable[str], *modules: str, text: str = "", folders: Sequence[Path] = ()) -> list[str]:
    """Those of the candidates, dotted names of modules or of names in modules, that `code_digest` comes across.

    A name in a module counts if it is imported, or if its module is imported as a whole.
    """
    files, targets = _follow(modules, text, folders)
    split = {candidate: candidate.rpartition(".") for candidate in candidates}
    return [
        candidate
        for candidate, (module, _, name) in split.items()
        if candidate in files or not targets.isdisjoint([(module, name), (module, "")])
    ]


def provenance(*modules: str) -> dict[str, Any]:
    """What a stored result states about its code: {"modules": [...], "code": their digest, "libraries": {...}}."""
    return {"modules": list(modules), "code": code_digest(*modules), "libraries": library_versions()}


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _follow(modules: Sequence[str], text: str, folders: Sequence[Path]) -> tuple[dict[str, Path], set[tuple[str, str]]]:
    """{module: file}, and all targets (module, name in it); a name of "" stands for all of the module."""
    finder = _Finder(folders)
    for module in modules:
        if finder.find(module) is None:
            raise CdirError(f"module {module} is not found: check its name, and the folder that it is in")
    files: dict[str, Path] = {}
    visited: set[Target] = set()
    todo = [Target(module) for module in modules] + text_source(text).targets()
    while todo:
        target = todo.pop()
        path = finder.find(target.module)
        if target in visited or path is None:
            continue
        visited.add(target)
        source = file_source(target.module, path)
        counts, targets = _resolve(target, source, finder)
        if counts and path.is_file():
            files[target.module] = path
        todo += targets
    return files, {name for target in visited for name in target.names()}


def _resolve(target: Target, source: Source, finder: "_Finder") -> tuple[bool, list[Target]]:
    """Whether the target's file counts, and the targets that follow from it."""
    module, name = target.module, target.name
    if source.is_package and not name and target.attributes is not None:
        return False, [Target(module, attribute) for attribute in target.attributes]
    if not name or not source.is_package or name in source.defined:
        return True, source.targets()
    if imported := [found.target for found in source.imports if found.bound == name]:
        return True, imported
    if finder.find(f"{module}.{name}") is not None:
        return False, [Target(f"{module}.{name}", "", target.attributes)]
    return True, source.targets()  # `*`, or a name that __getattr__ provides


class _Finder:
    """Finds the files of modules, except those of libraries."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = list(map(Path, folders))
        self._found: dict[str, Path | None] = {}

    def find(self, module: str) -> Path | None:
        """`module.py`, a package's `__init__.py` or its folder if it has none; None for a library and if not found."""
        if module not in self._found:
            self._found[module] = self._search(module)
        return self._found[module]

    def _search(self, module: str) -> Path | None:
        parent, _, name = module.rpartition(".")
        if parent:
            package = self.find(parent)
            folder = package.parent if package and package.name == "__init__.py" else package
            return _module_in(folder, name) if folder and folder.is_dir() else None
        if name in sys.stdlib_module_names:
            return None
        elsewhere = [PACKAGE.parent] if name == PACKAGE.name else _user_folders(tuple(sys.path))
        return next(filter(None, (_module_in(folder, name) for folder in [*self._folders, *elsewhere])), None)


def _module_in(folder: Path, name: str) -> Path | None:
    candidates = (folder / name / "__init__.py", folder / f"{name}.py")
    found = next((path for path in candidates if path.is_file()), None)
    return found or ((folder / name) if (folder / name).is_dir() else None)


@lru_cache
def _user_folders(search_path: tuple[str, ...]) -> list[Path]:
    """The folders of `sys.path` that are not those of libraries."""
    standard = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    folders = [Path(folder).resolve() for folder in search_path]
    return [
        folder
        for folder in folders
        if folder.is_dir()
        and not {"site-packages", "dist-packages"}.intersection(folder.parts)
        and not standard.intersection((folder, *folder.parents))
    ]


@cache
def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "missing"
