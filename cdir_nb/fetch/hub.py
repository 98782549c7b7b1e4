"""Files of a dataset repository on the Hugging Face hub, at a pinned commit, compared with the hub's own checksums."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pooch

from cdir_nb.errors import CdirError
from cdir_nb.fetch.http import Unreachable, remember, remembered
from cdir_nb.fetch.table import HubSource


@dataclass(frozen=True)
class HubFile:
    """A file as the hub describes it; `sha256` is empty for small files that it keeps in git itself."""

    name: str
    size: int
    sha256: str


def hub_files(source: HubSource) -> list[HubFile]:
    """The source's files at its pinned revision. Raises Unreachable if the hub or the repository is not there."""
    from huggingface_hub import HfApi

    try:
        info = HfApi(endpoint=_endpoint()).dataset_info(
            source.repo, revision=source.revision, files_metadata=True, timeout=60
        )
    except Exception as error:  # the hub's client raises errors of several HTTP libraries
        raise Unreachable(_cannot(source, error)) from None
    files = [
        HubFile(each.rfilename, each.size or 0, each.lfs.sha256 if each.lfs else "")
        for each in info.siblings or ()
        if any(fnmatch(each.rfilename, pattern) for pattern in source.files)
    ]
    if not files:
        raise Unreachable(f"the hub's {source.repo} at {source.revision[:8]} has no file like {source.files[0]}")
    return files


def fetch_files(source: HubSource, files: list[HubFile], folder: Path, jobs: int) -> list[Path]:
    """Download the files into `folder`, several at once; each is compared with its checksum. Resumes."""
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda file: _fetch(source, file, folder), files))


def _fetch(source: HubSource, file: HubFile, folder: Path) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(
            source.repo,
            file.name,
            repo_type="dataset",
            revision=source.revision,
            local_dir=folder,
            endpoint=_endpoint(),
        )
    except OSError as error:
        if error.errno and not isinstance(error, ConnectionError):
            raise CdirError(f"{folder} cannot be written: {error.strerror}") from None
        raise Unreachable(_cannot(source, error)) from None
    except Exception as error:
        raise Unreachable(_cannot(source, error)) from None
    _compare(source, file, Path(path))
    return Path(path)


def _compare(source: HubSource, file: HubFile, path: Path) -> None:
    address = f"hub:{source.repo}@{source.revision}/{file.name}"
    known, found = file.sha256 or remembered(address), pooch.file_hash(str(path))
    if known and known != found:
        path.unlink()
        raise CdirError(f"{file.name} of the hub's {source.repo} does not have its checksum: thrown away; fetch again")
    if not known:
        remember(address, found, path.stat().st_size)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _cannot(source: HubSource, error: Exception) -> str:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return f"the hub's {source.repo} cannot be fetched ({type(error).__name__}: {reason})"
