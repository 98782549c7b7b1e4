"""Digests of everything that determines a notebook's result: its code, its imports, its data files and the images."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

from cdir_nb.data.images import ImageSet
from cdir_nb.notebook import read_notebook
from cdir_nb.paths import MANIFEST, MOBILENET_V2, PACKAGE, REAL_CLIP, TINY_CLIP
from cdir_nb.sources import code_digest, file_digest, library_versions, used

MORE_LIBRARIES = ("umap-learn", "matplotlib")  # used by notebooks, in addition to those that compute numbers
NO_NUMBER = ("run", "fetch", "pages", "cli.py", "data_manifest", "notebooks")  # the last two: digested separately

# {module or function: the data files of the package that it reads}. A function is named if notebooks also import other
# names of its module. A folder means all files in it except NOT_READ.
READ_BY: dict[str, tuple[Path, ...]] = {
    "cdir_nb.data.manifest": (MANIFEST,),
    "cdir_nb.data.objects": (PACKAGE / "data" / "objects.txt",),
    "cdir_nb.data.world.drawing": (PACKAGE / "data" / "world" / "classes.yaml",),
    "cdir_nb.retrieval.families": (PACKAGE / "retrieval" / "families.yaml",),
    "cdir_nb.encoders.backbones": (MOBILENET_V2,),
    "cdir_nb.encoders.bundled": (TINY_CLIP, REAL_CLIP),
    "cdir_nb.results.published": (PACKAGE / "results" / "published",),
    "cdir_nb.results.files.reproduced_records": (PACKAGE / "results" / "reproduced",),
    "cdir_nb.results.claims.claim.load_claims": (PACKAGE / "results" / "claims" / "claims.yaml",),
    "cdir_nb.show.running.running_table": (PACKAGE / "results" / "reproduced",),
    "cdir_nb.show.diagrams": (PACKAGE / "show" / "diagrams.yaml",),
    "cdir_nb.show.style": (PACKAGE / "show" / "workbook.mplstyle",),
    "cdir_nb.explorer.serve": (PACKAGE / "explorer" / "page.js",),
    "cdir_nb.explorer.grid": (PACKAGE / "explorer" / "grid.css", PACKAGE / "explorer" / "grid.js"),
}
NOT_READ = ("py.typed", "sources.yaml", "training.json", "MODEL_CARD.md", "ATTRIBUTION.md", "LICENSE")


def notebook_digest(path: Path) -> str:
    """Digest of the code cells; text and outputs do not affect a number."""
    return _hash("\x00".join(_code_cells(path)).encode())


def source_digest(notebook: Path) -> str:
    """Digest of imported modules, of data files that they read, and of library versions.

    Modules in the notebook's folder are included. Raises CdirError if one of them is not valid Python.
    """
    text = python_of(notebook)
    folders = [notebook.resolve().parent]
    readers = used(READ_BY, text=text, folders=folders)
    parts = [f"{reader} {line}" for reader in readers for path in READ_BY[reader] for line in _content(path)]
    return _hash("\n".join([code_digest(text=text, folders=folders), *_versions(), *parts]).encode())


def package_digest() -> str:
    """Digest of the whole package, the manifests and library versions: equal on machines with the same workbook.

    Files that cannot affect a number are excluded (NO_NUMBER, NOT_READ). A checkout and a wheel built from it, which
    has manifests and notebooks inside the package, have the same digest.
    """
    package = [line for line in _content(PACKAGE) if not line.startswith(NO_NUMBER)]
    return _hash("\n".join([*package, *_content(MANIFEST), *_versions()]).encode())


def python_of(notebook: Path) -> str:
    """The Python code of a notebook as one source, for `cdir_nb.sources`; cells in other languages are left out."""
    return "\n".join(filter(None, map(_as_python, _code_cells(notebook))))


def _code_cells(path: Path) -> list[str]:
    return [cell.source for cell in read_notebook(path).cells if cell.cell_type == "code"]


def _as_python(cell: str) -> str:
    """The cell as Python, with IPython's commands (%time, !ls) as calls; empty if it is in another language."""
    if _is_python(cell):
        return cell
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        transformed = TransformerManager().transform_cell(cell)
    except SyntaxError:
        return ""
    return transformed if _is_python(transformed) else ""


def _is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _content(path: Path) -> list[str]:
    """One line per file at `path`, a file or a folder: relative name and digest of its content."""
    if path.is_file():
        return [f"{path.name} {file_digest(path)}"]
    files = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file() and file.name not in NOT_READ)
    visible = [file for file in files if not any(part.startswith((".", "__pycache__")) for part in file.parts)]
    return [f"{file.as_posix()} {file_digest(path / file)}" for file in visible]


def _versions() -> Iterable[str]:
    return [f"{name} {version}" for name, version in library_versions(*MORE_LIBRARIES).items()]


def images_digest(images: ImageSet) -> str:
    """Digest of a dataset's images: names, domains, classes and content, but not the folder."""
    return _hash("\n".join([images.fingerprint, *images.keys]).encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
