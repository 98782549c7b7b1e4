"""The road: every module stands at one place, imports only from places before it, and repeats no list."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "cdir_nb"
ROAD = ("errors", "conventions", "paths", "notebook", "sources", "data", "retrieval",
        "analysis", "encoders", "methods", "results", "show", "explorer", "pages", "run", "fetch", "cache",
        "cli")  # fmt: skip
FREE_OF = {"retrieval": {"data"}, "analysis": {"data"}}  # beyond the order of the road


def modules(package: Path) -> dict[str, Path]:
    """{dotted name below the package: file}; a package's own name stands for its __init__.py."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(package: Path) -> Iterator[tuple[str, str, int]]:
    """(module, module that it imports, line), wherever the import stands: in functions and under TYPE_CHECKING too."""
    known = modules(package)
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for target in _targets(node, package.name, known):
                yield name, target, node.lineno


def _targets(node: ast.AST, package: str, known: dict[str, Path]) -> set[str]:
    """Modules of the package that an import statement names."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "relative imports are not used here"
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return set()
    below = [name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}.")]
    return {name if name in known or name in ROAD else name.rpartition(".")[0] for name in below} - {""}


def room(module: str) -> str:
    return module.partition(".")[0]


def off_the_road(package: Path) -> list[str]:
    """Imports from a place that is later on the road, and others that a room must do without."""
    found = []
    for module, target, line in imports(package):
        here, there = room(module), room(target)
        late = module and ROAD.index(there) > ROAD.index(here)
        if late or there in FREE_OF.get(here, ()):
            found.append(f"{module}:{line} imports {target}")
    return found


def circles(package: Path) -> list[str]:
    """Modules that reach themselves through imports, those inside functions included."""
    graph = defaultdict(set)
    for module, target, _ in imports(package):
        if target != module:
            graph[module].add(target)
    return sorted(module for module in list(graph) if module in _reached(graph, module))


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found, todo = set(), list(graph[start])
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += graph.get(module, ())
    return found


def repeated_lists(package: Path) -> list[str]:
    """Constants (UPPER_CASE, collections of two and more strings) that several modules define with the same value."""
    places = defaultdict(set)
    for name, path in modules(package).items():
        for constant, value in _constants(ast.parse(path.read_text(encoding="utf-8"))):
            places[repr(value)].add(f"{name}.{constant}")
    return [" = ".join(sorted(found)) for found in places.values() if len({p.rpartition(".")[0] for p in found}) > 1]


def _constants(tree: ast.Module) -> Iterator[tuple[str, object]]:
    """(name, what is in it): a list in its order, a set sorted, a mapping's items."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()]
        try:
            value = ast.literal_eval(node.value) if names else None
        except (ValueError, AttributeError):
            continue
        if isinstance(value, dict):
            content, strings = sorted(value.items(), key=repr), [*value, *value.values()]
        elif isinstance(value, (tuple, list, set)):
            content = strings = sorted(value, key=repr) if isinstance(value, set) else list(value)
        else:
            continue
        if len(content) > 1 and all(isinstance(text, str) for text in strings):
            yield from ((name, content) for name in names)


def test_nothing_imports_from_a_later_place():
    assert off_the_road(PACKAGE) == []


def test_every_room_has_its_place():
    assert {room(name) for name in modules(PACKAGE)} - {""} == set(ROAD)


def test_the_picture_of_the_road_shows_every_room_in_its_order():
    script = (PACKAGE.parent / "scripts" / "readme_pictures.py").read_text(encoding="utf-8")
    assigned = [node for node in ast.parse(script).body if isinstance(node, ast.Assign)]
    drawn = next(node.value for node in assigned if ast.unparse(node.targets[0]) == "ROAD")
    assert [room.removesuffix(".py") for room, *_ in ast.literal_eval(drawn)] == list(ROAD[5:])


def test_no_import_circle():
    assert circles(PACKAGE) == []


def test_no_list_is_defined_twice():
    assert repeated_lists(PACKAGE) == []


# --- each check against code that breaks it


@pytest.fixture
def package(tmp_path):
    """Make a package of these files: {path: code}."""

    def make(**files: str) -> Path:
        for name, code in files.items():
            path = tmp_path / "cdir_nb" / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
        return tmp_path / "cdir_nb"

    return make


@pytest.mark.parametrize(
    "code",
    [
        "from cdir_nb.results.b import x",
        "import cdir_nb.results.b",
        "def f():\n    from cdir_nb.results import b",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cdir_nb import results",
        "from cdir_nb.data.c import x",
    ],
)
def test_a_wrong_way_is_found_wherever_it_stands(package, code):
    made = package(retrieval__a=code, results__b="", data__c="", results__d="from cdir_nb.retrieval.a import f")
    assert [line.partition(":")[0] for line in off_the_road(made)] == ["retrieval.a"]


def test_a_circle_is_found_through_functions_and_packages(package):
    late = "def f():\n    from cdir_nb.data.a import x"
    one, other = "from cdir_nb.data.b import x", "from cdir_nb.data.c import x"
    assert circles(package(data__a=one, data__b=other, data__c=late, data__d=one)) == ["data.a", "data.b", "data.c"]


@pytest.mark.parametrize(
    "one,other,same",
    [
        ('RULES = ("x", "y")', 'NAMES: list = ["x", "y"]', True),
        ('RULES = {"x", "y"}', 'NAMES = {"y", "x"}', True),
        ('RULES = {"x": "1", "y": "2"}', 'NAMES = {"y": "2", "x": "1"}', True),
        ('RULES = ("x", "y")', 'NAMES = ("y", "x")', False),
        ('RULES = ("x",)', 'NAMES = ("x",)', False),
        ("RULES = (1, 2)", "NAMES = (1, 2)", False),
        ('rules = ("x", "y")', 'names = ("x", "y")', False),
    ],
)
def test_a_list_defined_twice_is_found(package, one, other, same):
    assert bool(repeated_lists(package(data__a=one, results__b=other))) == same
