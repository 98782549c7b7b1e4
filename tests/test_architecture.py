"""Modules import only from earlier entries of `cdir_nb.MODULES`, and never in a cycle."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from cdir_nb import MODULES
from cdir_nb.paths import PACKAGE

FORBIDDEN = {"retrieval": {"data"}, "analysis": {"data"}}  # although earlier: usable on plain arrays


def files(package: Path) -> dict[str, Path]:
    """{dotted module name below the package: file}; the package's own __init__.py has the name ""."""
    names = {path: path.relative_to(package).with_suffix("").parts for path in sorted(package.rglob("*.py"))}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for path, parts in names.items()}


def imports(package: Path) -> Iterator[tuple[str, str, int]]:
    """(module, imported module, line) of every import, also in functions and under TYPE_CHECKING."""
    modules = files(package)
    for module, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}:{node.lineno}: relative import"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                target = name.removeprefix(f"{package.name}.")
                if target != name and target not in modules:  # a function or class of a module
                    target = target.rpartition(".")[0]
                if target != name and target:
                    yield module, target, node.lineno


def top(module: str) -> str:
    return module.partition(".")[0]


def wrong_imports(package: Path) -> list[str]:
    """Imports from a later entry of MODULES, or from one in FORBIDDEN."""
    return [
        f"{module}:{line} imports {target}"
        for module, target, line in imports(package)
        if MODULES.index(top(target)) > MODULES.index(top(module)) or top(target) in FORBIDDEN.get(top(module), ())
    ]


def cycles(package: Path) -> list[str]:
    """Modules that import themselves through other modules."""
    graph = defaultdict(set)
    for module, target, _ in imports(package):
        if target != module:
            graph[module].add(target)
    return sorted(module for module in list(graph) if module in _reachable(graph, module))


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    reached, queue = set(), list(graph[start])
    while queue:
        module = queue.pop()
        if module not in reached:
            reached.add(module)
            queue += graph.get(module, ())
    return reached


def test_modules_import_only_from_earlier_ones():
    assert wrong_imports(PACKAGE) == []


def test_the_order_lists_every_module():
    assert {top(name) for name in files(PACKAGE)} - {""} == set(MODULES)


def test_there_are_no_import_cycles():
    assert cycles(PACKAGE) == []


# --- the checks themselves, on packages that break the rules


def write(package: Path, code: dict[str, str]) -> Path:
    """Write a package of {path without .py: code}."""
    for name, text in code.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_imports_from_later_modules_are_reported(tmp_path):
    code = {
        "retrieval/a": "from cdir_nb.results.b import x",
        "retrieval/b": "def f():\n    from cdir_nb import results",
        "retrieval/c": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import cdir_nb.results.b",
        "retrieval/d": "from cdir_nb.data.c import x",  # earlier, but forbidden
        "results/__init__": "",
        "results/b": "import cdir_nb.data.c",
        "data/c": "",
    }
    reported = wrong_imports(write(tmp_path / "cdir_nb", code))
    assert [line.partition(":")[0] for line in reported] == [f"retrieval.{name}" for name in "abcd"]


def test_a_cycle_through_functions_is_reported(tmp_path):
    code = {"data/a": "import cdir_nb.data.b", "data/b": "def f():\n    import cdir_nb.data.a", "data/c": ""}
    assert cycles(write(tmp_path / "cdir_nb", code)) == ["data.a", "data.b"]
