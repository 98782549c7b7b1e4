"""Digests of the source code that a result depends on: a module and every module that it imports.

Files are found and parsed, never imported. Only modules of this package and a user's own modules are followed;
libraries enter a cache key by their versions (`library_versions`). The rules:

- An import counts wherever it stands, in functions too, but not below `if TYPE_CHECKING:`.
- `from package import name` reads the package's `__init__.py`. That file counts, and so does the submodule that it
  imports the name from; its other imports do not. A name that `__init__.py` defines itself brings all its imports.
- `from package import submodule` and `import package.submodule` do not count the package's `__init__.py`. If the
  submodule is a package too, all of its `__init__.py` counts, with everything that it imports.
- Comments, docstrings and formatting do not change a digest.

An import by a computed name (`importlib.import_module(name)`) is not seen.
"""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path

from cdir_nb.errors import CdirError
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
    code = hashlib.sha256(_text_source(text).digest.encode())
    for module, path in sorted(followed(*modules, text=text, folders=folders).items()):
        code.update(f"\n{module} {_file_source(module, path).digest}".encode())
    return code.hexdigest()[:16]


def source_files(*modules: str, text: str = "", folders: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The files that `code_digest` reads, sorted."""
    return tuple(sorted(followed(*modules, text=text, folders=folders).values()))


def followed(*modules: str, text: str = "", folders: Sequence[Path] = ()) -> dict[str, Path]:
    """{module: its file} of all modules that `code_digest` reads; arguments and errors as there."""
    finder = _Finder(folders)
    for module in modules:
        if finder.find(module) is None:
            raise CdirError(f"module {module} is not found: check its name, and the folder that it is in")
    return _follow([(module, "") for module in modules] + _text_source(text).targets(), finder)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _follow(todo: list[tuple[str, str]], finder: "_Finder") -> dict[str, Path]:
    """{module: file} from targets (module, name in it); a name of "" stands for all of the module."""
    files: dict[str, Path] = {}
    visited = set()
    while todo:
        target = todo.pop()
        path = finder.find(target[0])
        if target in visited or path is None:
            continue
        visited.add(target)
        source = _file_source(target[0], path)
        counts, targets = _resolve(target, source, finder)
        if counts and path.is_file():
            files[target[0]] = path
        todo += targets
    return files


def _resolve(target: tuple[str, str], source: "_Source", finder: "_Finder") -> tuple[bool, list[tuple[str, str]]]:
    """Whether the target's file counts, and the targets that follow from it."""
    module, name = target
    if not name or not source.is_package or name in source.defined:
        return True, source.targets()
    if imported := [i.target for i in source.imports if i.bound == name]:
        return True, imported
    if finder.find(f"{module}.{name}") is not None:
        return False, [(f"{module}.{name}", "")]
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


@dataclass(frozen=True)
class _Import:
    """`from module import name`, or `import module` if `name` is empty.

    bound  the name that it gives in the importing module, if it stands outside functions and classes
    """

    module: str
    name: str
    bound: str

    @property
    def target(self) -> tuple[str, str]:
        return self.module, self.name


@dataclass(frozen=True)
class _Source:
    """What is needed of one file. `defined`: names that it defines outside functions and classes."""

    digest: str = ""
    is_package: bool = False
    imports: tuple[_Import, ...] = ()
    defined: frozenset[str] = frozenset()

    def targets(self) -> list[tuple[str, str]]:
        return [found.target for found in self.imports]


def _file_source(module: str, path: Path) -> _Source:
    if path.is_dir():
        return _Source(is_package=True)
    stat = path.stat()
    return _read_file(module, path, stat.st_mtime_ns, stat.st_size)


@cache
def _read_file(module: str, path: Path, modified: int, size: int) -> _Source:
    """`modified` and `size` are part of the cache's key only."""
    return _parse(path.read_bytes(), str(path), module, path.name == "__init__.py")


@lru_cache(maxsize=64)
def _text_source(text: str) -> _Source:
    return _parse(text.encode(), "the given code", "", False)


def _parse(code: bytes, origin: str, module: str, is_package: bool) -> _Source:
    try:
        tree = _WithoutRemarks().visit(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise CdirError(f"{origin}, line {line}: invalid Python, fix the syntax") from None
    at_top = set(_outside_functions(tree))
    package = module if is_package else module.rpartition(".")[0]
    imports = tuple(found for node in ast.walk(tree) for found in _imports_of(node, package, node in at_top))
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return _Source(digest, is_package, imports, frozenset(name for node in at_top for name in _defined_by(node)))


class _WithoutRemarks(ast.NodeTransformer):
    """Removes what never affects a result: docstrings, and blocks below `if TYPE_CHECKING:`."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(getattr(node, "body", None), list):
            node.body = [part for part in node.body if not _is_text(part)]
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse if ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING" else node


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below `node` that are not part of a function or class."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from _outside_functions(child)


def _imports_of(node: ast.AST, package: str, at_top: bool) -> Iterable[_Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield _Import(alias.name, "", (alias.asname or alias.name.partition(".")[0]) if at_top else "")
    elif isinstance(node, ast.ImportFrom):
        module = _absolute(node, package)
        for alias in node.names:
            yield _Import(module, alias.name, (alias.asname or alias.name) if at_top else "")


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module of `from ..a import x`, by its full name."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join(filter(None, [*parts[: len(parts) - node.level + 1], node.module]))


def _defined_by(node: ast.AST) -> Iterable[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


@cache
def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "missing"
