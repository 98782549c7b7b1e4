"""Run, clean and check the committed notebooks.

    python scripts/notebooks.py run                 run all notebooks in place, with their default parameters
    python scripts/notebooks.py run 01 05           run those whose file names begin with 01 or 05
    python scripts/notebooks.py clean               do not run; remove everything that differs from run to run
    python scripts/notebooks.py check               lint only; prints one line per problem, exit code 1 if any

`run` also cleans and checks. A notebook is only written back if all its cells ran.
"""

import argparse
import base64
import io
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tests load this file by path and must find notebook_lint
from notebook_lint import problems

from cdir_nb.paths import NOTEBOOKS, atomic_write

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
LARGE_PICTURE = 20_000  # bytes


def find(names: Sequence[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """Notebooks whose file names begin with one of `names` (all if empty), in order."""
    paths = [p for p in sorted(folder.glob("*.ipynb")) if not names or p.name.startswith(tuple(names))]
    if not paths:
        raise SystemExit(f"error: no notebook in {folder.name}/ begins with {' or '.join(names) or 'anything'}")
    return paths


def run(path: Path, timeout: int = 1200) -> NotebookNode:
    """Execute a notebook in its own folder, headless, and return it cleaned. Nothing is written."""
    os.environ["CDIR_HEADLESS"] = "1"  # inherited by the kernel: only static figures are shown
    book = nbformat.read(path, as_version=4)
    NotebookClient(
        book, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    return clean(book)


def clean(book: NotebookNode) -> NotebookNode:
    """Remove everything but the results of a run: widget state, times, progress bars, versions."""
    book.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for cell in book.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            cell.outputs = [clean_output(x) for x in cell.outputs if not volatile(x)]
    return book


def volatile(output: NotebookNode) -> bool:
    """True for progress bars and warnings (stderr) and for widgets."""
    return output.get("name") == "stderr" or WIDGET in output.get("data", {})


def clean_output(output: NotebookNode) -> NotebookNode:
    """The output without metadata and with a smaller image."""
    if "metadata" in output:
        output.metadata = nbformat.from_dict({})
    if "image/png" in output.get("data", {}):
        mime, picture = smaller(output.data.pop("image/png"))
        output.data[mime] = picture
    return output


def smaller(encoded: str) -> tuple[str, str]:
    """Base64 of a PNG -> MIME type and base64 of a smaller image that looks the same at the size of a notebook.

    A palette of 256 colours is enough for most figures. Figures with many photos are still large: for them, take the
    smaller of a PNG with 128 colours and a JPEG.
    """
    original = base64.b64decode(encoded)
    image = Image.open(io.BytesIO(original))
    if image.mode == "P":
        return "image/png", encoded
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
    made = {"image/png": min(original, with_palette(flat, 256), key=len)}
    if len(made["image/png"]) > LARGE_PICTURE:
        made = {"image/png": with_palette(flat, 64), "image/jpeg": saved(flat, "JPEG", quality=50, progressive=True)}
    mime = min(made, key=lambda kind: len(made[kind]))
    return mime, base64.b64encode(made[mime]).decode() + "\n"


def with_palette(image: Image.Image, colours: int) -> bytes:
    """PNG of an RGB image, reduced to `colours` colours."""
    method = Image.Quantize.MAXCOVERAGE  # keeps rare colours, such as those of a colour bar, and white
    return saved(image.quantize(colours, method=method, dither=Image.Dither.NONE, kmeans=2), "PNG")


def saved(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


def write(book: NotebookNode, path: Path) -> None:
    """Write a notebook atomically."""
    with atomic_write(path) as temporary:
        nbformat.write(book, temporary)


def run_and_write(path: Path) -> None:
    """Execute in place and print the time it took; leave the file unchanged if a cell fails."""
    start = time.perf_counter()
    try:
        book = run(path)
    except CellExecutionError as error:
        raise SystemExit(f"error: {path.name} failed and was not changed\n{error}") from None
    write(book, path)
    print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "clean", "check"])
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 01 (default: all)")
    options = parser.parse_args(arguments)
    paths = find(options.names)
    for path in paths:
        if options.what == "run":
            run_and_write(path)
        elif options.what == "clean":
            write(clean(nbformat.read(path, as_version=4)), path)
    wrong = [f"{path.name}: {problem}" for path in paths for problem in problems(path)]
    print("\n".join(wrong) or f"{len(paths)} notebooks are in order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
