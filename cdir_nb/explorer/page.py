"""Notebook 11 as a page without code (Voilà), for the bundled world or for a folder of your own."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from cdir_nb import paths

NOTEBOOK = "11_explorer.ipynb"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
IDLE_SECONDS = 1800
ASIDE, JUDGED = "not-on-page", "needs-labels"  # tags of cells: about code; only for images with labels


def page_of(folder: Path | None, encoder: str = "", *, say: Callable[[str], None], code: bool = False) -> Path:
    """The page of a folder of images, or of the bundled world. The folder is opened and embedded first, with progress.

    code  keep the cells that speak of code
    Raises CdirError for a folder without images, and for an encoder that is not there.
    """
    if folder is None:
        return write_page({"encoder": encoder or "tiny-clip"}, () if code else (ASIDE,))
    from cdir_nb.explorer import open_own

    collection = open_own(folder, encoder or "real-clip")
    say(collection.summary)
    without = () if code else (ASIDE,) if collection.labelled else (ASIDE, JUDGED)
    return write_page({"encoder": encoder or "real-clip", "folder": str(folder.expanduser().resolve())}, without)


def write_page(parameters: Mapping[str, Any], without: Sequence[str] = (ASIDE,)) -> Path:
    """A copy of the notebook with these parameters, in the cache, without the cells that have one of these tags."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    name = hashlib.sha256(json.dumps([dict(parameters), without], sort_keys=True).encode()).hexdigest()[:16]
    page = paths.cache_dir() / "explorer" / "pages" / name / NOTEBOOK
    book = parameterize_notebook(load_notebook_node(str(paths.NOTEBOOKS / NOTEBOOK)), dict(parameters))
    book.cells = [cell for cell in book.cells if not set(without) & set(cell.metadata.get("tags", []))]
    with paths.atomic_write(page) as temporary:
        nbformat.write(book, temporary)
    return page


def serve_command(page: Path, *, port: int, browser: bool, lab: bool) -> list[str]:
    """The command that serves a page: Voilà, or JupyterLab with the code.

    Each visitor has a kernel of their own. A kernel that nobody has used for half an hour is ended.
    """
    common = [f"--port={port}", *([] if browser else ["--no-browser"])]
    if lab:
        return [sys.executable, "-m", "jupyterlab", str(page), *common]
    cull = ["cull_idle_timeout", "cull_interval", "cull_connected"]
    values = [IDLE_SECONDS, 60, True]
    kernels = [f"--MappingKernelManager.{name}={value}" for name, value in zip(cull, values)]
    return [sys.executable, "-m", "voila", str(page), "--theme=light", *kernels, *common]


def serve(page: Path, *, port: int, browser: bool = True, lab: bool = False) -> int:
    """Serve a page until Ctrl-C; returns the exit code of the server.

    Every kernel computes in one thread: an answer takes milliseconds, and a class shares the cores by visitors instead
    of each visitor taking all of them. A number already set in the environment is respected.
    """
    command, environment = serve_command(page, port=port, browser=browser, lab=lab), {**ONE_THREAD, **os.environ}
    if os.name == "posix":  # the server takes this process's place: signals reach it, and our memory is given back
        sys.stdout.flush()
        os.execve(command[0], command, environment)
    try:
        return subprocess.run(command, env=environment).returncode
    except KeyboardInterrupt:
        return 0
