"""Digests of everything that determines a notebook's result: its code, our package, weights and data."""

import hashlib
import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from cdir_nb.batch.parameters import read_notebook
from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError
from cdir_nb.paths import MANIFEST, PACKAGE, expanded

LIBRARIES = ("torch", "open_clip_torch", "numpy", "scipy", "scikit-learn", "umap-learn", "pillow", "matplotlib")
NO_NUMBER = ("batch", "fetch", "report", "cli.py", "data_manifest", "notebooks")  # the last two: digested separately
WEIGHTS = (".pt", ".pth", ".bin", ".safetensors", ".ckpt")


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


def split_spec(encoder: str) -> tuple[str, str]:
    """Model and weights of an encoder spec: `MODEL:WEIGHTS`, or `timm:MODEL:WEIGHTS`."""
    prefix = "timm:" if encoder.startswith("timm:") else ""
    model, _, weights = encoder.removeprefix(prefix).partition(":")
    return prefix + model, weights


def checkpoint(encoder: str) -> Path | None:
    """The file in an encoder spec `MODEL:FILE`, or None if there is none. CdirError if the file is missing."""
    model, weights = split_spec(encoder)
    if model != "moco-v2" and not (weights.endswith(WEIGHTS) or os.sep in weights or weights.startswith("~")):
        return None
    path = expanded(weights).resolve()
    if not path.is_file():
        raise CdirError(f"checkpoint {path} not found: give --encoder {model}:FILE with an existing file")
    return path


def encoder_digest(encoder: str) -> str:
    """Identifies an encoder: a checkpoint by file name and content (not by folder), any other by its spec."""
    path = checkpoint(encoder)
    return f"{split_spec(encoder)[0]}:{path.name}:{file_digest(path)}" if path else encoder


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
