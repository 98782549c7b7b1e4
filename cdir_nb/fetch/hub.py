"""Files of a dataset repository on the Hugging Face hub, at a pinned commit and with the hub's checksums."""

import os
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from cdir_nb.errors import CdirError
from cdir_nb.fetch.http import Unreachable
from cdir_nb.fetch.table import HubSource
from cdir_nb.sources import file_digest

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling


def hub_files(source: HubSource) -> "list[RepoSibling]":
    """Names, sizes and checksums of the source's files at its pinned revision. Raises Unreachable if there are none."""
    from huggingface_hub import HfApi

    try:
        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        info = api.dataset_info(source.repo, revision=source.revision, files_metadata=True, timeout=60)
    except Exception as error:  # the hub's client raises errors of several HTTP libraries
        raise _unreachable(source, error) from None
    files = [file for file in info.siblings or () if any(fnmatch(file.rfilename, name) for name in source.files)]
    if not files:
        raise Unreachable(f"hub repository {source.repo} at {source.revision[:8]} has no file {source.files[0]}")
    return files


def fetch_file(source: HubSource, file: "RepoSibling", folder: Path) -> Path:
    """Download a file into `folder`, or resume its download. Raises Unreachable, or CdirError for a wrong checksum."""
    from huggingface_hub import hf_hub_download

    options = {"repo_type": "dataset", "revision": source.revision, "endpoint": os.environ.get("HF_ENDPOINT")}
    try:
        path = Path(hf_hub_download(source.repo, file.rfilename, local_dir=folder, **options))
    except Exception as error:
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
            raise  # a full or read-only disk
        raise _unreachable(source, error) from None
    if file.lfs and file_digest(path) != file.lfs.sha256:
        path.unlink()
        raise CdirError(f"{file.rfilename} of {source.repo} does not have the hub's checksum: removed; fetch again")
    return path


def _unreachable(source: HubSource, error: Exception) -> Unreachable:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:180]
    return Unreachable(f"hub repository {source.repo} cannot be fetched ({reason})")
