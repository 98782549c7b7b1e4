"""Run one notebook in its own process: `python -m cdir_nb.run.worker FOLDER`, where FOLDER has params.json.

Writes to FOLDER the executed notebook, its HTML page, what it saved, and traceback.txt if it failed or `done` if not.
"""

import json
import os
import re
import sys
import tempfile
import threading
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from cdir_nb.paths import process_mark

PROGRESS, LOG = ".progress", "log.txt"
KERNEL = "cdir-kernel-"  # begins the name of its folder for temporary files
KERNEL_STARTS = 3  # kernels that start at the same time may choose the same port, and then one of them dies


def main(folder: Path) -> int:
    """Run the notebook that `folder/params.json` names. Returns the exit code: 0 done, 1 failed."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    job = json.loads((folder / "params.json").read_text(encoding="utf-8"))
    os.environ["CDIR_SKIP"] = job.get("skip", "")  # for the kernel
    started = time.monotonic()
    try:
        _execute(job, folder)
    except Exception as error:
        (folder / "traceback.txt").write_text(_traceback(error), encoding="utf-8")
        _publish(job["name"], folder)
        return 1
    _publish(job["name"], folder)
    _mark_done(job, folder, time.monotonic() - started)
    return 0


def _die_with_parent() -> None:
    """Wait until the runner's end of our stdin closes (which happens even if it is killed), then stop everything."""
    while os.read(0, 1024):  # not sys.stdin: holding its lock here would crash the interpreter on exit
        pass
    import psutil

    for process in psutil.Process().children(recursive=True):
        process.kill()
    os._exit(1)


def _execute(job: dict, folder: Path) -> None:
    """Run the notebook; a kernel that died before its first cell is started again."""
    for attempt in range(1, KERNEL_STARTS + 1):
        try:
            return _run(job, folder)
        except RuntimeError as error:
            if attempt == KERNEL_STARTS or "Kernel died before replying" not in str(error):
                raise
    return None


def _run(job: dict, folder: Path) -> None:
    """Run with papermill, in the notebook's own folder as JupyterLab does, with a kernel of this Python."""
    scratch = tempfile.TemporaryDirectory(prefix=f"{KERNEL}{process_mark()}", ignore_cleanup_errors=True)
    with scratch as kernel, open(folder / PROGRESS, "w") as progress:
        _own_kernel(Path(kernel))
        tempfile.tempdir = kernel  # for the connection file: what a kill leaves, the next start finds by its name
        import papermill  # after JUPYTER_PATH is set

        try:
            papermill.execute_notebook(
                _literal(job["notebook"]),
                _literal(folder / f"{job['name']}.ipynb"),
                {**job["parameters"], "out_dir": str(folder)},
                kernel_name="python3",
                language="python",
                cwd=Path(job["notebook"]).parent,
                progress_bar={"file": progress, "bar_format": "{n_fmt}/{total_fmt} ", "mininterval": 0},
            )
        finally:
            tempfile.tempdir = None


def _literal(path: Path | str) -> str:
    """A path for papermill, which fills in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _own_kernel(folder: Path) -> None:
    """Make the kernel name `python3` mean this interpreter: the user's may be one without our packages."""
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    text = json.dumps({"argv": argv, "display_name": "Python 3 (ipykernel)", "language": "python"})
    (spec / "kernel.json").write_text(text, encoding="utf-8")
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("JUPYTER_PATH")]))


def _traceback(error: Exception) -> str:
    """The notebook's own traceback if there is one, otherwise ours (for example if the kernel died)."""
    lines = getattr(error, "traceback", None) or traceback.format_exception(error)
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines)).rstrip() + "\n"


def _publish(name: str, folder: Path) -> None:
    """Clean the executed notebook and write its HTML page; do nothing if the notebook never started."""
    import nbformat

    from cdir_nb.pages.html import strip, to_html

    (folder / PROGRESS).unlink(missing_ok=True)
    path = folder / f"{name}.ipynb"
    if not path.is_file():
        return
    notebook = nbformat.read(path, as_version=4)
    strip(notebook)
    nbformat.write(notebook, path)
    source = json.loads((folder / "params.json").read_text(encoding="utf-8"))["notebook"]
    (folder / f"{name}.html").write_text(to_html(notebook, name, Path(source).parent), encoding="utf-8")


def _mark_done(job: dict, folder: Path, seconds: float) -> None:
    """Write the file `done`, last of all: a folder without it, or whose files are not those it lists, is ignored."""
    from cdir_nb.sources import file_digest

    content = {
        "digest": job["digest"],
        "seconds": round(seconds, 1),
        "without": job.get("without", []),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {
            path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != LOG
        },
    }
    (folder / "done").write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
