"""Digests of everything that determines a notebook's result: its code, our package, weights and data."""

import hashlib
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from cdir_nb.batch.parameters import read_notebook
from cdir_nb.data.images import ImageSet
from cdir_nb.paths import MANIFEST, PACKAGE
from cdir_nb.sources import file_digest

LIBRARIES = ("torch", "open_clip_torch", "numpy", "scipy", "scikit-learn", "umap-learn", "pillow", "matplotlib")
NO_NUMBER = ("batch", "fetch", "report", "cli.py", "data_manifest", "notebooks")  # the last two: digested separately


def notebook_digest(path: Path) -> str:
    """Digest of the code cells only: text and outputs do not change a number."""
    code = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "code"]
    return _hash("\x00".join(code).encode())


def source_digest() -> str:
    """Digest of the package's code and data, the manifests, the bundled weights, and the libraries' versions.

    `batch`, `fetch`, `report` and `cli.py` are left out, and the table of sources: they cannot affect a number.
    The digest is the same in a checkout and in a wheel built from it, which has manifests and notebooks inside the
    package.
    """
    package = [path for path in _files(PACKAGE) if path.parts[0] not in NO_NUMBER]
    parts = [f"cdir_nb/{path.as_posix()} {file_digest(PACKAGE / path)}" for path in package]
    cards = [path for path in _files(MANIFEST) if path.name != "sources.yaml"]
    parts += [f"data_manifest/{path.as_posix()} {file_digest(MANIFEST / path)}" for path in cards]
    return _hash("\n".join([*parts, *_versions()]).encode())


def _files(folder: Path) -> list[Path]:
    """Paths of all files below a folder, relative and sorted, without hidden or compiled files."""
    found = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path for path in found if not any(part.startswith((".", "__pycache__")) for part in path.parts)]


def _versions() -> Iterable[str]:
    yield f"python {platform.python_version()}"
    for name in LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} missing"


def images_digest(images: ImageSet) -> str:
    """Digest of a dataset's images: their names, domains, classes and content, wherever the files lie."""
    return _hash("\n".join([images.fingerprint, *images.keys]).encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
