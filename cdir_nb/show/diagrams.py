"""Diagrams of CLIP, of four methods and of the choice between methods, from boxes and arrows in `diagrams.yaml`."""

from pathlib import Path

import matplotlib.pyplot as plt
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from cdir_nb.show.style import SMALL, WIDTH, styled, titled

LAYOUTS = Path(__file__).with_name("diagrams.yaml")
FILLS = {"data": "#F2F2F2", "frozen": "#D9E8F5", "trained": "#FBE3C8", "loss": "#E3EFD9"}
EDGE = "#555555"


@styled
def diagram(name: str) -> Figure:
    """The diagram `name`: "clip", "clair", "tki", "ucdir", "snmpnet" or "decision"."""
    layout = yaml.safe_load(LAYOUTS.read_text(encoding="utf-8"))[name]
    fig, ax = plt.subplots(figsize=(WIDTH, layout["height"] + 0.35))
    ax.set(xlim=(0, WIDTH), ylim=(0, layout["height"]), aspect="equal")
    ax.axis("off")
    for box in layout["boxes"]:
        _box(ax, *box)
    for arrow in layout["arrows"]:
        _arrow(ax, *arrow)
    for text in layout.get("texts", ()):
        _text(ax, *text)
    return titled(fig, layout["title"])


def _box(
    ax: Axes, text: str, x: float, y: float, fill: str = "data", half_width: float = 0.72, half_height: float = 0.3
) -> None:
    """A box with a text in its middle, which is at (x, y)."""
    corner, width, height = (x - half_width, y - half_height), 2 * half_width, 2 * half_height
    style = "round,pad=0,rounding_size=0.07"
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, fc=FILLS[fill], ec=EDGE))
    ax.text(x, y, text, ha="center", va="center", fontsize=SMALL, linespacing=1.2)


def _arrow(ax: Axes, x0: float, y0: float, x1: float, y1: float, text: str = "", bend: float = 0.0) -> None:
    """An arrow between two points, with a text above its middle."""
    style = {"arrowstyle": "-|>", "lw": 1.3, "color": EDGE, "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", xy=(x1, y1), xytext=(x0, y0), arrowprops={**style, "shrinkA": 0, "shrinkB": 0})
    if text:
        ax.text((x0 + x1) / 2, (y0 + y1) / 2 + 0.05, text, ha="center", fontsize=SMALL)


def _text(
    ax: Axes, text: str, x: float, y: float, ha: str = "left", va: str = "baseline", weight: str = "normal"
) -> None:
    """A text beside the boxes; a bold one is a heading and larger."""
    ax.text(x, y, text, ha=ha, va=va, weight=weight, fontsize=SMALL + (weight == "bold"))
