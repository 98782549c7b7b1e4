"""Run, strip and check the committed notebooks.

    python scripts/notebooks.py run              run all notebooks in place, with their default parameters
    python scripts/notebooks.py run 01 05        run those whose file names begin with 01 or 05
    python scripts/notebooks.py strip            run nothing; remove everything that differs from run to run
    python scripts/notebooks.py lint             print one line per problem; the exit code is 1 if there are any

`run` and `strip` also lint. A notebook is written back only if all its cells ran.
"""

import base64
import io
import os
import time
from pathlib import Path
from typing import Annotated

import nbformat
import typer
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from notebook_lint import FOLDED, problems
from PIL import Image

from cdir_nb.paths import NOTEBOOKS, atomic_write

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
LARGE_IMAGE = 20_000  # bytes

app = typer.Typer(help=__doc__.partition("\n")[0], add_completion=False)  # pyright: ignore[reportOptionalMemberAccess]
Names = Annotated[list[str] | None, typer.Argument(help="beginnings of file names, such as 01 (default: all)")]


def matching(names: list[str] | None, folder: Path = NOTEBOOKS) -> list[Path]:
    """Notebooks whose file names begin with one of `names` (all notebooks if there are none), sorted."""
    paths = [path for path in sorted(folder.glob("*.ipynb")) if not names or path.name.startswith(tuple(names))]
    if not paths:
        raise SystemExit(f"error: {' or '.join(names or ['*'])}: no notebook in {folder.name}/ begins with this")
    return paths


def execute(path: Path, timeout: int = 1200) -> NotebookNode:
    """Execute a notebook in its own folder, headless, and return it stripped. The file does not change."""
    os.environ["CDIR_HEADLESS"] = "1"  # inherited by the kernel: only static figures are shown
    book = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(book, timeout=timeout, kernel_name="python3", resources=resources).execute()
    return stripped(book)


def stripped(book: NotebookNode) -> NotebookNode:
    """Remove everything that is not a result: widget state, times, progress bars, versions."""
    book.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for cell in book.cells:
        tags, folded = cell.metadata.get("tags"), cell.metadata.get("jupyter") == FOLDED
        cell.metadata = nbformat.from_dict(({"tags": tags} if tags else {}) | ({"jupyter": FOLDED} if folded else {}))
        if cell.cell_type == "code":
            cell.outputs = [_stripped_output(output) for output in cell.outputs if not _is_volatile(output)]
    return book


def _is_volatile(output: NotebookNode) -> bool:
    """Whether an output is a progress bar, a warning (both are written to stderr) or a widget."""
    return output.get("name") == "stderr" or WIDGET in output.get("data", {})


def _stripped_output(output: NotebookNode) -> NotebookNode:
    """The output without metadata and with a compressed image."""
    if "metadata" in output:
        output.metadata = nbformat.from_dict({})
    if "image/png" in output.get("data", {}):
        mime, image = compressed(output.data.pop("image/png"))
        output.data[mime] = image
    return output


def compressed(encoded: str) -> tuple[str, str]:
    """Compress a PNG in base64. Returns MIME type and base64 of a smaller image that looks the same in a notebook.

    A palette of 256 colours is enough for most figures. For figures with many photos, which remain large, the smaller
    of a PNG with 64 colours and a JPEG is returned.
    """
    original = base64.b64decode(encoded)
    image = Image.open(io.BytesIO(original))
    if image.mode == "P":
        return "image/png", encoded
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
    candidates = {"image/png": min(original, with_palette(flat, 256), key=len)}
    if len(candidates["image/png"]) > LARGE_IMAGE:
        jpeg = _encoded(flat, "JPEG", quality=50, progressive=True)
        candidates = {"image/png": with_palette(flat, 64), "image/jpeg": jpeg}
    mime = min(candidates, key=lambda kind: len(candidates[kind]))
    return mime, base64.b64encode(candidates[mime]).decode() + "\n"


def with_palette(image: Image.Image, colours: int) -> bytes:
    """PNG of an RGB image, reduced to `colours` colours."""
    method = Image.Quantize.MAXCOVERAGE  # preserves rare colours, such as those of a colour bar, and white
    return _encoded(image.quantize(colours, method=method, dither=Image.Dither.NONE, kmeans=2), "PNG")


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


def write(book: NotebookNode, path: Path) -> None:
    """Write a notebook atomically."""
    with atomic_write(path) as temporary:
        nbformat.write(book, temporary)


@app.command()
def run(names: Names = None) -> None:
    """Run notebooks in place, print the time of each, and lint. A notebook with a failing cell is not changed."""
    for path in matching(names):
        start = time.perf_counter()
        try:
            book = execute(path)
        except CellExecutionError as error:
            raise SystemExit(f"error: {path.name} failed and was not changed\n{error}") from None
        write(book, path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB", flush=True)
    lint(names)


@app.command()
def strip(names: Names = None) -> None:
    """Remove everything that differs from run to run, and lint."""
    for path in matching(names):
        write(stripped(nbformat.read(path, as_version=4)), path)
    lint(names)


@app.command()
def lint(names: Names = None) -> None:
    """Print one line per problem."""
    paths = matching(names)
    complaints = [f"{path.name}: {problem}" for path in paths for problem in problems(path)]
    print("\n".join(complaints) or f"{len(paths)} notebooks are in order")
    if complaints:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
