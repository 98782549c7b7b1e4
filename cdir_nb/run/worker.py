"""Run one notebook in its own process: `python -m cdir_nb.run.worker FOLDER`, where FOLDER has params.json.

Writes to FOLDER the executed notebook, its HTML page, what the notebook saved, and `done` or traceback.txt.
"""

import json
import os
import re
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOG = "log.txt"
PROGRESS = "progress.txt"  # what the notebook does now, for the runner; removed when it ends
BAR = re.compile(r"([^\r\n]*?):? +\d+%\|.*?\| *(\S+)/(\S+) \[[^<\]]*<([^,\]]+)")  # a line of tqdm
KERNEL_STARTS = 3  # kernels that start at the same time may choose the same port, and then one of them dies


def main(folder: Path) -> int:
    """Run the notebook that `folder/params.json` names. Returns the exit code: 0 done, 1 failed."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # nbformat imports jsonschema, which imports this package if it is installed: more than a second for grammars of
    # international addresses, which notebooks do not contain.
    sys.modules.setdefault("rfc3987_syntax", None)  # pyright: ignore[reportArgumentType]
    job = json.loads((folder / "params.json").read_text(encoding="utf-8"))
    os.environ["CDIR_SKIP"] = job.get("skip", "")  # for the kernel
    started = time.monotonic()
    try:
        _execute(job, folder)
    except Exception as error:
        (folder / "traceback.txt").write_text(_traceback(error), encoding="utf-8")
        _publish(job, folder)
        return 1
    _publish(job, folder)
    _mark_done(job, folder, time.monotonic() - started)
    return 0


def _die_with_parent() -> None:
    """Block until stdin closes, which means that the parent has ended; then kill this process and its descendants."""
    while os.read(0, 1024):  # not sys.stdin: its lock, held here, would crash the interpreter on exit
        pass
    import psutil

    for process in psutil.Process().children(recursive=True):
        process.kill()
    os._exit(1)


def _execute(job: dict[str, Any], folder: Path) -> None:
    """Run the notebook with papermill, in the notebook's own folder as JupyterLab does.

    A kernel that died before its first cell is started again.
    """
    tempfile.tempdir = str(folder)  # for the kernel's connection file, so that nothing is left elsewhere after a kill
    import papermill
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(AsyncKernelManager):
        """A kernel that runs this interpreter; the interpreter of the kernelspec `python3` may lack this package."""

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(**get_kernel_dict())

    def escape(path: object) -> str:
        """Double the braces in a path, since papermill replaces fields in braces."""
        return str(path).replace("{", "{{").replace("}", "}}")

    progress = Progress(folder / PROGRESS)
    for attempt in range(1, KERNEL_STARTS + 1):
        try:
            papermill.execute_notebook(
                escape(job["notebook"]),
                escape(_output(job, folder)),
                {**job["parameters"], "out_dir": str(folder)},
                kernel_name="python3",
                language="python",
                kernel_manager_class=ThisPython,
                cwd=Path(job["notebook"]).parent,
                progress_bar=False,
                on_notebook_start=progress.start,
                on_cell_start=progress.start_cell,
                stderr_file=progress,
            )
            return
        except RuntimeError as error:
            if attempt == KERNEL_STARTS or "Kernel died before replying" not in str(error):
                raise


class Progress:
    """Records in a file which cell of a notebook runs, and the last progress bar that this cell printed.

    It receives what the kernel writes to stderr.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.cells, self.cell = file, 0, ""

    def start(self, notebook: Any) -> None:
        """Called by nbclient before the first cell."""
        self.cells = len(notebook.cells)

    def start_cell(self, cell: Any, cell_index: int) -> None:
        """Called by nbclient before each cell."""
        self.cell = f"cell {cell_index + 1} of {self.cells}"
        self._store(self.cell)

    def write(self, text: str) -> None:
        """Store the last progress bar in `text`, such as "cell 7 of 20, TKI sketch 45 of 100, 00:12 left"."""
        if bars := BAR.findall(text):
            title, done, total, left = bars[-1]
            step = f"{title.strip()} {done} of {total}".strip()
            self._store(", ".join([self.cell, step, *([f"{left} left"] if left != "?" else [])]))

    def flush(self) -> None:
        """Do nothing; the interface of a file requires the method."""

    def _store(self, text: str) -> None:
        with suppress(OSError):  # a full disk, which the notebook will notice
            self.file.write_text(text, encoding="utf-8")


def _output(job: dict[str, Any], folder: Path) -> Path:
    return folder / f"{job['name']}.ipynb"


def _traceback(error: Exception) -> str:
    """The traceback of the notebook's cell if one failed, otherwise of this process (the kernel died, for example)."""
    lines = getattr(error, "traceback", None) or traceback.format_exception(error)
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines)).rstrip() + "\n"


def _publish(job: dict[str, Any], folder: Path) -> None:
    """Clean the executed notebook and write its HTML page, if the notebook was started; remove its progress."""
    import nbformat

    from cdir_nb.pages.html import strip, to_html

    path = _output(job, folder)
    if path.is_file():
        notebook = nbformat.read(path, as_version=4)
        strip(notebook)
        nbformat.write(notebook, path)
        page = to_html(notebook, job["name"], Path(job["notebook"]).parent)
        path.with_suffix(".html").write_text(page, encoding="utf-8")
    (folder / PROGRESS).unlink(missing_ok=True)


def _mark_done(job: dict[str, Any], folder: Path, seconds: float) -> None:
    """Write the file `done`, last of all. A folder without it, or whose files differ from its list, is ignored."""
    from cdir_nb.sources import file_digest

    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != LOG)
    content = {
        "digest": job["digest"],
        "seconds": round(seconds, 1),
        "without": job.get("without", []),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {path.name: file_digest(path) for path in files},
    }
    (folder / "done").write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
