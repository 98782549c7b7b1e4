"""`cdir explore`: notebook 13 as a page without code (Voilà), on the bundled world or on the user's folder."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from cdir_nb import paths
from cdir_nb.errors import CdirError
from cdir_nb.methods.checkpoints import digest_of

NOTEBOOK = "13_explorer.ipynb"
LOCAL = "127.0.0.1"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
IDLE_SECONDS = 1800
SCRIPT = Path(__file__).with_name("page.js")
ABOUT_CODE, NEEDS_LABELS, ABOUT_WORLD = "not-on-page", "needs-labels", "about-world"  # tags of cells
BUNDLED = {"world": "tiny-clip", "emoji": "real-clip"}  # {images that come with the package: the encoder for them}


def make_page(folder: Path | None, encoder: str = "", *, log: Callable[[str], None], code: bool = False) -> Path:
    """Create the page for a folder of images, after embedding them, or for a name in BUNDLED (None: the drawn world).

    code  keep the cells that explain code
    log   called with a summary of the folder

    Raises CdirError for a folder without images, and for an encoder that is not available.
    """
    removed = () if code else (ABOUT_CODE,)
    name = "world" if folder is None else str(folder)
    if name in BUNDLED and not Path(name).is_dir():
        removed = removed if code or name == "world" else (ABOUT_CODE, ABOUT_WORLD)
        return write_page({"dataset": name, "encoder": encoder or BUNDLED[name]}, removed)
    from cdir_nb.explorer import open_user_folder

    encoder, folder = encoder or "real-clip", Path(name)
    collection = open_user_folder(folder, encoder)
    log(collection.summary)
    if not code:
        removed = (ABOUT_CODE, ABOUT_WORLD) if collection.labelled else (ABOUT_CODE, ABOUT_WORLD, NEEDS_LABELS)
    return write_page({"encoder": encoder, "folder": str(folder.expanduser().resolve())}, removed)


def write_page(parameters: Mapping[str, Any], removed: Sequence[str] = (ABOUT_CODE,)) -> Path:
    """Write the notebook with these parameters, without the cells that have a tag in `removed`; returns its path.

    If the cells about code are removed, the first cell is the script that connects the page to its kernel
    (`page_script`). The copy is in a folder that no other user can write, since it is executed.
    """
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    page = paths.user_folder() / "pages" / digest_of([dict(parameters), removed]) / NOTEBOOK
    notebook = parameterize_notebook(load_notebook_node(str(paths.NOTEBOOKS / NOTEBOOK)), dict(parameters))
    notebook.cells = [cell for cell in notebook.cells if not set(removed) & set(cell.metadata.get("tags", []))]
    if ABOUT_CODE in removed:
        notebook.cells.insert(0, page_script())
    with paths.atomic_write(page) as temporary:
        nbformat.write(notebook, temporary)
    return page


def page_script() -> nbformat.NotebookNode:
    """A cell whose script ends the kernel when the page is left, and shows a message when the kernel has ended."""
    return nbformat.v4.new_markdown_cell(f"<script>\n{SCRIPT.read_text(encoding='utf-8')}</script>")


def serve_command(page: Path, *, port: int, browser: bool, lab: bool, host: str = LOCAL) -> list[str]:
    """The command that serves a page: Voilà, or JupyterLab with the code.

    Each visitor gets a kernel of their own, which ends when the page is left, and after half an hour of inactivity. A
    kernel that was killed is not started again, since it would have lost its widgets; the page shows a message instead.

    host  the address on which the server listens: LOCAL for this machine only
    """
    common = [str(page), f"--port={port}", *([] if browser else ["--no-browser"])]
    if lab:
        return [sys.executable, "-m", "jupyterlab", *common, f"--ServerApp.ip={host}"]
    culling = {"cull_idle_timeout": IDLE_SECONDS, "cull_interval": 60, "cull_connected": True}
    options = [f"--MappingKernelManager.{name}={value}" for name, value in culling.items()]
    options.append("--KernelRestarter.restart_limit=0")
    return [sys.executable, "-m", "voila", *common, f"--Voila.ip={host}", "--theme=light", *options]


def refuse_port(port: int, host: str = LOCAL) -> None:
    """Raise CdirError for a port or a host that cannot be served: out of range, in use, not of this machine."""
    if not 0 < port < 65536:
        raise CdirError(f"--port {port}: choose a port from 1 to 65535, such as 8866")
    with socket.socket() as listener:
        if os.name == "posix":  # as the server does: a port is free again as soon as a server has ended
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except socket.gaierror as error:
            raise CdirError(
                f"--host {host} is not an address of this machine ({error.strerror}): try 0.0.0.0"
            ) from None
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise CdirError(f"--host {host} is not an address of this machine: try 0.0.0.0") from None
            problem = f"--port {port} cannot be used ({error.strerror or error})"
            raise CdirError(f"{problem}: choose another, such as {port % 65535 + 1}") from None


def serve(page: Path, *, port: int, browser: bool = True, lab: bool = False, host: str = LOCAL) -> int:
    """Serve a page until Ctrl-C; returns the exit code of the server.

    Every kernel uses one thread unless the environment sets another number: a query takes milliseconds, and the
    visitors share the cores.
    """
    command = serve_command(page, port=port, browser=browser, lab=lab, host=host)
    environment = {**ONE_THREAD, **os.environ}
    if os.name == "posix":  # the server replaces this process: it receives the signals, and our memory is freed
        sys.stdout.flush()
        os.execve(command[0], command, environment)
    try:
        return subprocess.run(command, env=environment).returncode
    except KeyboardInterrupt:
        return 0
