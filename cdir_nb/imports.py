"""What one file of source code imports and defines, from its syntax tree. `sources.py` follows these imports."""

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from cdir_nb.errors import CdirError


@dataclass(frozen=True)
class Target:
    """A name in a module; an empty name stands for the module.

    attributes  of a module that is used as `module.attribute` only; None: it may be used in any way
    """

    module: str
    name: str = ""
    attributes: frozenset[str] | None = None

    def names(self) -> list[tuple[str, str]]:
        """(module, name) of all that is used, as far as the statement tells."""
        if self.name or self.attributes is None:
            return [(self.module, self.name)]
        return [(self.module, attribute) for attribute in self.attributes]


@dataclass(frozen=True)
class Import:
    """An import statement's target; `bound`: its name in the importing module, if not in a function or class."""

    target: Target
    bound: str


@dataclass(frozen=True)
class Source:
    """What is needed of one file. `defined`: names that it defines outside functions and classes."""

    digest: str = ""
    is_package: bool = False
    imports: tuple[Import, ...] = ()
    defined: frozenset[str] = frozenset()

    def targets(self) -> list[Target]:
        return [found.target for found in self.imports]


def file_source(module: str, path: Path) -> Source:
    if path.is_dir():
        return Source(is_package=True)
    stat = path.stat()
    return _read_file(module, path, stat.st_mtime_ns, stat.st_size)


@cache
def _read_file(module: str, path: Path, modified: int, size: int) -> Source:
    """`modified` and `size` are part of the cache's key only."""
    return _parse(path.read_bytes(), str(path), module, path.name == "__init__.py")


@lru_cache(maxsize=64)
def text_source(text: str) -> Source:
    return _parse(text.encode(), "the given code", "", False)


def _parse(code: bytes, origin: str, module: str, is_package: bool) -> Source:
    try:
        tree = _WithoutRemarks().visit(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise CdirError(f"{origin}, line {line}: invalid Python, fix the syntax") from None
    at_top = set(_outside_functions(tree))
    package = module if is_package else module.rpartition(".")[0]
    attributes = {} if is_package else _attributes(tree)
    imports = tuple(
        Import(replace(target, attributes=attributes.get(bound)), bound if node in at_top else "")
        for node in ast.walk(tree)
        for target, bound in _imports_of(node, package)
    )
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return Source(digest, is_package, imports, frozenset(name for node in at_top for name in _defined_by(node)))


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


def _attributes(tree: ast.Module) -> dict[str, frozenset[str]]:
    """{name: attributes} of the names that are used as `name.attribute` only."""
    used_as: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used_as[node.value.id].add(node.attr)
    with_attribute = {node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    alone = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in with_attribute}
    return {name: frozenset(found) for name, found in used_as.items() if name not in alone}


def _imports_of(node: ast.AST, package: str) -> Iterable[tuple[Target, str]]:
    """What an import statement reads, and the names that it binds."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            # `import a.b` binds a, and a.b.c is then an attribute of an attribute: all of a.b may be used
            yield Target(alias.name), alias.asname or (alias.name if "." not in alias.name else "")
    elif isinstance(node, ast.ImportFrom):
        module = _absolute(node, package)
        for alias in node.names:
            yield Target(module, alias.name), alias.asname or alias.name


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
