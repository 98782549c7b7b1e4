"""Time of each move of the explorer's controls, on the bundled world: from the control's new value to the new tiles.

    .venv/bin/python bench/explorer.py [--dataset NAME --root FOLDER --encoder SPEC]

Everything is measured in the kernel, pictures encoded for the browser included; the browser's own time is not.
Each control is moved through all its values (at most 40 moves), and medians are printed as rows of a table.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable

import torch
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
    found = {}
    for name, method in panel.explorer.methods.items():
        panel.method.value = name
        if method.slider:
            found[f"{name}: {method.slider.name}"] = moved(panel.value, values_of(panel.value) * 3)
    panel.method.value = next(iter(panel.explorer.methods))
    for name in ("k", "temperature", "gallery", "query_domain", "gallery_domain"):
        control = getattr(panel, name)
        found[name.replace("_", " ")] = moved(control, values_of(control) * 6)
    panel.gallery.value = panel.gallery.options[-1][1]
    keys = [tile["key"] for tile in panel.queries.items]
    found["another query"] = [seconds(lambda key=key: panel.ask(query=key)) for key in keys]
    return found


def strokes(number: int) -> Image.Image:
    """A canvas with `number` strokes."""
    canvas = Image.new("RGBA", (320, 320), (0, 0, 0, 0))
    for i in range(number):
        ImageDraw.Draw(canvas).line([(40, 30 + 12 * i), (280 - 9 * i, 250)], fill="black", width=3)
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="world")
    parser.add_argument("--root", default="")
    parser.add_argument("--encoder", default="tiny-clip")
    options = parser.parse_args()
    explorer = Explorer(open_collection(options.dataset, options.root, "", options.encoder))
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
    main()
