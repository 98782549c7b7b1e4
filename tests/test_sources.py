"""Which files a digest reads, and which edits change it, on small packages."""

import shutil
import time
from textwrap import dedent

import pytest
import torch

from cdir_nb.errors import CdirError
from cdir_nb.sources import code_digest, followed, library_versions, provenance, source_files, used


@pytest.fixture
def write(tmp_path):
    """Write a package `p` of these files, {path without .py: code}."""

    def write(**files: str):
        for name, code in files.items():
            path = tmp_path / "p" / f"{name.replace('__', '/').replace('INIT', '__init__')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(code))
        return tmp_path

    return write


def names(folder, *modules, **options) -> list[str]:
    found = followed(*modules, folders=[folder], **options)
    assert source_files(*modules, folders=[folder], **options) == tuple(sorted(found.values()))
    return sorted(name.removeprefix("p.") for name in found)


FILES = {
    "INIT": "",
    "sub__INIT": "from p.sub.a import f\nfrom p.sub.b import g as h\nfrom .c import k\nimport p.sub.d as e\nLIMIT = 3",
    "sub__a": "def f(): pass",
    "sub__b": "from p.low import x\ndef g(): pass",
    "sub__c": "k = 1",
    "sub__d": "",
    "low": "x = 1",
}


@pytest.mark.parametrize(
    "statement,expected",
    [
        ("from p.sub import f", ["sub", "sub.a"]),
        ("from p.sub import h", ["low", "sub", "sub.b"]),
        ("from p.sub import f, k", ["sub", "sub.a", "sub.c"]),
        ("import p.sub.b", ["low", "sub.b"]),
        ("from p.sub import b", ["low", "sub.b"]),
        ("from p.sub import LIMIT", ["low", "sub", "sub.a", "sub.b", "sub.c", "sub.d"]),
        ("from p.sub import *", ["low", "sub", "sub.a", "sub.b", "sub.c", "sub.d"]),
        ("from p import sub", ["low", "sub", "sub.a", "sub.b", "sub.c", "sub.d"]),
        ("import p.sub as s\ndef inner(): return s.f", ["sub", "sub.a"]),
        ("from p import sub\nsub.a.f()", ["sub.a"]),
        ("from p import sub\nsub.f(sub)", ["low", "sub", "sub.a", "sub.b", "sub.c", "sub.d"]),
        ("import p.sub\np.sub.f()", ["low", "sub", "sub.a", "sub.b", "sub.c", "sub.d"]),
        ("def inner():\n    from p import low", ["low"]),
        ("class A:\n    def inner(self):\n        import p.low", ["low"]),
        ("try:\n    from p.low import x\nexcept ImportError:\n    from p.sub.c import k as x", ["low", "sub.c"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.low import x", []),
        ("import typing\nif typing.TYPE_CHECKING:\n    import p.low\nelse:\n    import p.sub.c", ["sub.c"]),
        ("from .low import x", ["low"]),
        ("from . import low", ["low"]),
        ("from .sub.b import g", ["low", "sub.b"]),
        ("import numpy, json, not_installed\nfrom p.missing import x", []),
    ],
)
def test_what_an_import_brings(write, statement, expected):
    folder = write(**FILES, start=statement)
    assert names(folder, "p.start") == sorted(["start", *expected])


def test_a_relative_import_of_a_package_above(write):
    folder = write(
        **FILES, sub__deep__INIT="from ..a import f\nfrom ...low import x\nfrom .own import y", sub__deep__own="y = 1"
    )
    assert names(folder, "p.sub.deep") == ["low", "sub.a", "sub.deep", "sub.deep.own"]
    assert names(folder, "p.sub.deep.own") == ["sub.deep.own"]


@pytest.mark.parametrize("code", ["from p.sub.one import f as two", "import p.sub.one\ntwo = p.sub.one.f"])
def test_a_name_of_a_package_wins_over_a_submodule_of_that_name(write, code):
    folder = write(INIT="", sub__INIT=code, sub__one="def f(): pass", sub__two="")
    write(start="from p.sub import two")
    assert names(folder, "p.start") == ["start", "sub", "sub.one"]


def test_a_cycle_ends(write):
    folder = write(INIT="", a="from p import b", b="from p import c", c="from p.a import x")
    assert names(folder, "p.a") == names(folder, "p.c") == ["a", "b", "c"]


def test_a_folder_without_init(write):
    folder = write(a="from p.sub.b import x", sub__b="x = 1")
    assert names(folder, "p.a") == ["a", "sub.b"]


def test_text_is_followed_as_a_module_is(write):
    folder = write(**FILES)
    assert names(folder, text="from p.sub import h") == ["low", "sub", "sub.b"]
    assert code_digest(text="x = 1") == code_digest(text="x   =  1  # as before") != code_digest(text="x = 2")
    before = code_digest(text="import p.low", folders=[folder])
    write(low="x = 2")
    assert code_digest(text="import p.low", folders=[folder]) != before


@pytest.mark.parametrize(
    "code,same",
    [
        ('"""Other words."""\n\n\ndef f(x):\n    """More."""\n    return x + 1  # remark\n', True),
        ("from typing import TYPE_CHECKING\ndef f(x): return x + 1", False),
        ("def f(x): return x + 2", False),
        ("def f(y): return y + 1", False),
    ],
)
def test_comments_do_not_change_a_digest_and_code_does(write, code, same):
    folder = write(INIT="", a="from p.b import f", b='"""Words."""\n\ndef f(x):\n    return x + 1\n')
    before = code_digest("p.a", folders=[folder])
    write(b=code)
    assert (code_digest("p.a", folders=[folder]) == before) == same


def test_a_moved_package_keeps_its_digest(write, tmp_path):
    folder = write(**FILES)
    before = code_digest("p.sub", "p.low", folders=[folder])
    shutil.move(folder / "p", tmp_path / "elsewhere" / "p")
    assert code_digest("p.low", "p.sub", folders=[tmp_path / "elsewhere"]) == before != code_digest()


def test_a_module_of_the_user_is_found_on_the_search_path(write, monkeypatch):
    monkeypatch.syspath_prepend(str(write(INIT="", a="import torch\nimport p.b", b="")))
    assert sorted(followed("p.a")) == ["p.a", "p.b"]


@pytest.mark.parametrize("module", ["p.missing", "missing", "numpy", "json"])
def test_a_module_that_is_not_found(write, module):
    with pytest.raises(CdirError, match=module):
        code_digest(module, folders=[write(INIT="")])


def test_invalid_python(write):
    with pytest.raises(CdirError, match=r"b\.py, line 2"):
        code_digest("p.a", folders=[write(INIT="", a="import p.b", b="x = 1\ny = (")])
    with pytest.raises(CdirError, match="line 1"):
        code_digest(text="x = (")


@pytest.mark.parametrize(
    "text,expected",
    [
        ("from p.sub import f", ["p.sub.a", "p.sub.a.f"]),
        ("from p.sub import a\na.f()", ["p.sub.a", "p.sub.a.f"]),
        ("from p.sub import a\na.other()", ["p.sub.a"]),
        ("from p import sub", ["p.low", "p.sub.a", "p.sub.a.f"]),
        ("from p.sub import h", ["p.low"]),
    ],
)
def test_which_modules_and_names_are_used(write, text, expected):
    assert used(["p.low", "p.sub.a", "p.sub.a.f"], text=text, folders=[write(**FILES)]) == expected


def test_provenance_has_modules_code_and_versions_of_libraries():
    modules = ["cdir_nb.errors", "cdir_nb.paths"]
    stated = provenance(*modules)
    assert (stated["modules"], stated["code"]) == (modules, code_digest(*modules))
    assert (
        stated["libraries"] == library_versions()
        and library_versions("no-such-library")["no-such-library"] == "missing"
    )
    assert stated["libraries"]["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_a_digest_is_fast_once_files_are_parsed():
    code_digest("cdir_nb.methods.ucdir")
    start = time.process_time()
    code_digest("cdir_nb.methods.ucdir")
    assert time.process_time() - start < 0.05
