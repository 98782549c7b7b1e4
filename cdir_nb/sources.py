"""Identification of the code behind a result: digests of modules and their imports, library versions, commit.

Files are found and parsed, never imported. Only modules of this package and the user's own modules are followed;
libraries enter a cache key by their versions (`library_versions`). The rules:

- An import counts wherever it is, in functions too, but not below `if TYPE_CHECKING:`.
- `from package import name` reads the package's `__init__.py`. That file counts, and so does the submodule from which
  it imports the name; its other imports do not. If `__init__.py` itself defines the name, all of its imports count.
- `from package import submodule` and `import package.submodule` do not count the package's `__init__.py`. If the
  submodule is a package too and is used as `submodule.name` only, these names are read from it as above. If it is used
  otherwise, all of its `__init__.py` counts, with everything that it imports.
- Comments, docstrings and formatting do not change a digest.

An import by a computed name (`importlib.import_module(name)`) is not followed.
"""

import ast
import hashlib
import subprocess
import sys
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from cdir_nb.errors import CdirError
from cdir_nb.paths import PACKAGE, ROOT

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
    """Versions of Python (such as 3.11) and of the libraries that compute numbers: LIBRARIES, and those in `more`.

    A library that is not installed has the version "missing".
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python} | {name: _version(name) for name in (*LIBRARIES, *more)}


@cache
def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "missing"


def code_digest(*modules: str, text: str = "", folders: Sequence[Path] = ()) -> str:
    """Digest (16 hex digits) of the source of these modules and of all modules that they import.

    modules  dotted names, such as "cdir_nb.methods.ucdir.losses"
    text     further Python code, such as the code cells of a notebook; its imports are followed too
    folders  searched for modules before this package's own folder and `sys.path`

    Raises CdirError for a module in `modules` that is not found, and for a file or text that is not valid Python.
    """
    code = hashlib.sha256(_parse_text(text).digest.encode())
    for module, path in sorted(followed(*modules, text=text, folders=folders).items()):
        code.update(f"\n{module} {_parse_file(module, path).digest}".encode())
    return code.hexdigest()[:16]


def source_files(*modules: str, text: str = "", folders: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The files that `code_digest` reads, sorted."""
    return tuple(sorted(followed(*modules, text=text, folders=folders).values()))


def followed(*modules: str, text: str = "", folders: Sequence[Path] = ()) -> dict[str, Path]:
    """{module: its file} of all modules that `code_digest` reads. Arguments and errors are those of `code_digest`."""
    return _follow(modules, text, folders)[0]


def used(candidates: Iterable[str], *modules: str, text: str = "", folders: Sequence[Path] = ()) -> list[str]:
    """The candidates that `code_digest` encounters; candidates are dotted names of modules or of names in modules.

    A name in a module counts if it is imported, or if its module is imported as a whole.
    """
    files, targets = _follow(modules, text, folders)
    names = {(module, name.partition(".")[0]) for module, name in targets}
    split = {candidate: candidate.rpartition(".") for candidate in candidates}
    return [
        candidate
        for candidate, (module, _, name) in split.items()
        if candidate in files or not names.isdisjoint([(module, name), (module, "")])
    ]


def provenance(*modules: str) -> dict[str, Any]:
    """Describe the code behind a result, for storage: {"modules": [...], "code": their digest, "libraries": {...}}."""
    return {"modules": list(modules), "code": code_digest(*modules), "libraries": library_versions()}


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@cache
def current_commit() -> str:
    """Short git hash of the workbook, with `-dirty` if tracked files were changed; `unknown` outside git."""
    top = _git("rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != ROOT:  # no git, or an installed copy inside another repository
        return "unknown"
    return _git("describe", "--always", "--dirty", "--exclude=*") or "unknown"


def _git(*words: str) -> str:
    """Output of a git command on the workbook; empty if it fails or git is missing."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


# ---- following imports


class _Target(NamedTuple):
    """The target of an import: a name in a module, with an attribute if only that is used ("name.attribute").

    An empty name stands for the whole module.
    """

    module: str
    name: str


class _Source(NamedTuple):
    """A parsed file.

    imports  (target, name that it is bound to; empty in a function or class)
    defined  names that the file defines itself, outside functions and classes
    """

    digest: str = ""
    imports: tuple[tuple[_Target, str], ...] = ()
    defined: frozenset[str] = frozenset()


def _follow(modules: Sequence[str], text: str, folders: Sequence[Path]) -> tuple[dict[str, Path], set[_Target]]:
    """{module: file} of the files that count, and all targets."""

    @cache
    def find(module: str) -> Path | None:
        return _find(module, find, folders)

    for module in modules:
        if find(module) is None:
            raise CdirError(f"module {module} is not found: check its name, and the folder that it is in")
    files: dict[str, Path] = {}
    visited: set[_Target] = set()
    queue = [*(_Target(module, "") for module in modules), *(target for target, _ in _parse_text(text).imports)]
    while queue:
        target = queue.pop()
        path = find(target.module)
        if target in visited or path is None:
            continue
        visited.add(target)
        module, name = target.module, target.name.partition(".")[0]
        source = _parse_file(module, path)
        targets = [imported for imported, _ in source.imports]
        if path.name == "__init__.py" or path.is_dir():
            attribute = target.name.partition(".")[2]
            if imported := [imported for imported, bound in source.imports if bound and bound == name]:
                targets = targets if name in source.defined else imported
            elif name and name not in source.defined and find(f"{module}.{name}"):
                queue.append(_Target(f"{module}.{name}", attribute))
                continue
        if path.is_file():
            files[module] = path
        queue += targets
    return files, visited


def _find(module: str, find: Callable[[str], Path | None], folders: Sequence[Path]) -> Path | None:
    """`module.py`, a package's `__init__.py`, or its folder if it has none; None for a library and if not found.

    find  function that finds the parent package
    """
    parent, _, name = module.rpartition(".")
    if parent:
        package = find(parent)
        is_package = package is not None and (package.is_dir() or package.name == "__init__.py")
        searched = [package if package.is_dir() else package.parent] if package and is_package else []
    elif name in sys.stdlib_module_names:
        searched = []
    else:
        searched = [*folders, *([PACKAGE.parent] if name == PACKAGE.name else _user_folders(tuple(sys.path)))]
    for folder in searched:
        for path in (folder / name / "__init__.py", folder / f"{name}.py", folder / name):
            if path.exists():
                return path
    return None


@lru_cache
def _user_folders(search_path: tuple[str, ...]) -> list[Path]:
    """The folders of `sys.path` that are not those of libraries."""
    standard = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    folders = [Path(folder).resolve() for folder in search_path]
    libraries = {"site-packages", "dist-packages"}
    return [
        folder
        for folder in folders
        if folder.is_dir() and not libraries & {*folder.parts} and not standard & {folder, *folder.parents}
    ]


# ---- parsing


def _parse_file(module: str, path: Path) -> _Source:
    if path.is_dir():
        return _Source()
    stat = path.stat()
    return _parse_version(module, path, stat.st_mtime_ns, stat.st_size)


@cache
def _parse_version(module: str, path: Path, modified: int, size: int) -> _Source:
    """Parse a file; `modified` and `size` are arguments only because they are part of the cache's key."""
    return _parse(path.read_bytes(), str(path), module, path.name == "__init__.py")


@lru_cache(maxsize=64)
def _parse_text(text: str) -> _Source:
    return _parse(text.encode(), "the given code", "", False)


def _parse(code: bytes, origin: str, module: str, is_package: bool) -> _Source:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise CdirError(f"{origin}, line {line}: invalid Python, fix the syntax") from None
    _remove_what_has_no_effect(tree)
    package = module if is_package else module.rpartition(".")[0]
    attributes = {} if is_package else _attributes(tree)
    outside = set(_outside_functions(tree))
    imports = tuple(
        (target, bound if node in outside else "")
        for node in ast.walk(tree)
        for target, bound in _imports(node, package, attributes)
    )
    defined = frozenset(
        node.id if isinstance(node, ast.Name) else node.name
        for node in outside
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    )
    return _Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports, defined)


def _remove_what_has_no_effect(tree: ast.Module) -> None:
    """Remove docstrings, and the blocks below `if TYPE_CHECKING:`."""
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            node.body = []
        elif isinstance(body := getattr(node, "body", None), list):
            body[:] = [part for part in body if not (isinstance(part, ast.Expr) and _is_text(part.value))]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below `node` that are not part of a function or class."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from _outside_functions(child)


def _attributes(tree: ast.Module) -> dict[str, list[str]]:
    """{name: attributes} of the names that occur as `name.attribute` only."""
    attributes: dict[str, list[str]] = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            attributes[node.value.id].append(node.attr)
    uses = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return {name: names for name, names in attributes.items() if len(names) == uses[name]}


def _imports(node: ast.AST, package: str, attributes: dict[str, list[str]]) -> Iterator[tuple[_Target, str]]:
    """The targets of an import statement, and the name that each is bound to."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            # `import a.b` binds a, and a.b.c is then an attribute of an attribute: all of a.b may be used
            bound = alias.asname or (alias.name if "." not in alias.name else "")
            yield from ((_Target(alias.name, name), bound) for name in attributes.get(bound, [""]))
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: -(node.level - 1) or None] if node.level else []
        module = ".".join(filter(None, [*above, node.module]))
        for alias in node.names:
            bound = alias.asname or alias.name
            names = [f"{alias.name}.{attribute}" for attribute in attributes.get(bound, [])] or [alias.name]
            yield from ((_Target(module, name), bound) for name in names)
