"""Time from a new value of an explorer control to the new tiles, on the bundled world.

    python bench/explorer.py [--dataset NAME --root FOLDER --encoder SPEC]

The time in the kernel is measured, which includes encoding images for the browser but not the browser's own time.
Each control is moved through all its values (at most 40 moves). Prints medians and maxima as rows of a table.
"""

import statistics
import time
from collections.abc import Callable, Iterable

import torch
import typer
from PIL import Image, ImageDraw

from cdir_nb.explorer import DrawPanel, Explorer, LabelPanel, RetrievalPanel, open_collection

MOVES = 40


def seconds(move: Callable[[], object]) -> float:
    start = time.perf_counter()
    move()
    return time.perf_counter() - start


def moved(control, values: Iterable) -> list[float]:
    """Time of each move of a control to the next of these values."""
    return [seconds(lambda value=value: setattr(control, "value", value)) for value in list(values)[:MOVES]]


def values_of(control) -> list:
    """All values of a slider or menu but the first, then the first: every one of them is a change."""
    if hasattr(control, "options"):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
    else:
        values = list(range(control.min, control.max + 1))
    control.value = values[0]
    return [*values[1:], values[0]]


def retrieval_moves(panel: RetrievalPanel) -> dict[str, list[float]]:
    times = {}
    for name, method in panel.explorer.methods.items():
        panel.method.value = name
        if method.slider:
            times[f"{name}: {method.slider.name}"] = moved(panel.value, values_of(panel.value) * 3)
    panel.method.value = next(iter(panel.explorer.methods))
    for name in ("k", "temperature", "gallery", "query_domain", "gallery_domain"):
        control = getattr(panel, name)
        times[name.replace("_", " ")] = moved(control, values_of(control) * 6)
    panel.gallery.value = panel.gallery.options[-1][1]
    keys = [tile["key"] for tile in panel.queries.items]
    times["another query"] = [seconds(lambda key=key: panel.ask(query=key)) for key in keys]
    return times


def strokes(number: int) -> Image.Image:
    """A canvas with `number` strokes."""
    canvas = Image.new("RGBA", (320, 320), (0, 0, 0, 0))
    for i in range(number):
        ImageDraw.Draw(canvas).line([(40, 30 + 12 * i), (280 - 9 * i, 250)], fill="black", width=3)
    return canvas


def main(dataset: str = "world", root: str = "", encoder: str = "tiny-clip") -> None:
    """Print one table row per control."""
    explorer = Explorer(open_collection(dataset, root, "", encoder))
    explorer.prepare()
    table = retrieval_moves(RetrievalPanel(explorer))
    if explorer.collection.labelled and explorer.collection.reads_texts:
        panel = LabelPanel(explorer.collection, step=0)
        for control in panel.controls[2:4]:
            table[f"labels: {control.description}"] = moved(control, values_of(control))
    canvas = DrawPanel(explorer)
    pictures = [strokes(1 + i % 9) for i in range(20)]
    table["draw to rank"] = [seconds(lambda p=picture: canvas.canvas.replace_with_pil(p)) for picture in pictures]
    print(f"{len(explorer.collection.images):,} images, {explorer.collection.encoder.identity}, "
          f"{torch.get_num_threads()} thread")  # fmt: skip
    for name, times in table.items():
        print(f"| {name} | {1000 * statistics.median(times):.0f} ms | {1000 * max(times):.0f} ms | {len(times)} |")


if __name__ == "__main__":
    typer.run(main)
