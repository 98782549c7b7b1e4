"""Diagrams of CLIP and of four methods: boxes and arrows."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from cdir_nb.show.style import SMALL, WIDTH, styled, titled

DATA, FROZEN, TRAINED, LOSS = "#F2F2F2", "#D9E8F5", "#FBE3C8", "#E3EFD9"  # fills; the text of a box repeats its role
EDGE = "#555555"


@dataclass(frozen=True)
class Box:
    """A box: its text, and its centre and half its width and height in inches."""

    text: str
    x: float
    y: float
    fill: str = DATA
    half_width: float = 0.72
    half_height: float = 0.3


def _canvas(height: float) -> tuple[Figure, Axes]:
    """A drawing area in inches, with y upwards."""
    fig, ax = plt.subplots(figsize=(WIDTH, height + 0.35))
    ax.set(xlim=(0, WIDTH), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return fig, ax


def _draw(ax: Axes, *boxes: Box) -> None:
    for box in boxes:
        corner = (box.x - box.half_width, box.y - box.half_height)
        size = (2 * box.half_width, 2 * box.half_height)
        ax.add_patch(FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.07", fc=box.fill, ec=EDGE))
        ax.text(box.x, box.y, box.text, ha="center", va="center", fontsize=SMALL, linespacing=1.2)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "", bend: float = 0.0) -> None:
    """An arrow between two points, with a text above its middle."""
    style = {"arrowstyle": "-|>", "lw": 1.3, "color": EDGE, "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", xy=end, xytext=start, arrowprops={**style, "shrinkA": 0, "shrinkB": 0})
    if text:
        ax.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.05, text, ha="center", fontsize=SMALL)


def _chain(ax: Axes, *boxes: Box) -> None:
    """Boxes from left to right, with arrows between them."""
    _draw(ax, *boxes)
    for left, right in zip(boxes, boxes[1:]):
        _arrow(ax, (left.x + left.half_width, left.y), (right.x - right.half_width, right.y))


@styled
def clip_diagram() -> Figure:
    """CLIP: an image tower and a text tower; cosines compare their vectors."""
    fig, ax = _canvas(2.2)
    texts = Box("prompts\n“A photo of a cat” …", 1.1, 1.75, half_width=0.95)
    _chain(ax, texts, Box("text tower", 3.3, 1.75, FROZEN), Box("one vector $w_j$\nper class", 5.2, 1.75))
    image = Box("an image,\ncut into patches", 1.1, 0.45, half_width=0.95)
    _chain(ax, image, Box("image tower", 3.3, 0.45, FROZEN), Box("its vector $f_i$", 5.2, 0.45))
    cosines = Box("cosines $y_{ij}$:\nthe largest one\nnames the image", 7.7, 1.1, LOSS, 0.95, 0.42)
    _draw(ax, cosines)
    for y, end in ((1.75, 1.3), (0.45, 0.9)):
        _arrow(ax, (5.92, y), (6.75, end))
    return titled(fig, "CLIP: two towers, one space. Images and their captions were trained to have a high cosine")


@styled
def clair_diagram() -> Figure:
    """CLAIR's loop: views, tuned and momentum encoder, memory banks, losses, refinement of pseudo-labels."""
    fig, ax = _canvas(3.65)
    images = Box("unlabelled images\nof two domains", 0.95, 2.0, half_width=0.85)
    tuned = Box("encoder $E_{θ_q}$\nLayerNorms, prompts,\n$Q$: trained", 3.5, 2.85, TRAINED, 0.95, 0.42)
    slow = Box("momentum encoder\n$E_{θ_k}$: a slow copy", 3.5, 1.15, FROZEN, 0.95)
    losses = Box("losses\n$L_{KL}, L_{II}, L_{IC}, L_{ID}$", 6.3, 2.85, LOSS, 0.95)
    bank = Box("memory bank:\na feature per image", 6.3, 1.15, half_width=0.95)
    labels = Box("pseudo-labels,\nfirst from CLIP", 8.15, 2.0, half_width=0.75)
    _draw(ax, images, tuned, slow, losses, bank, labels)
    _arrow(ax, (1.8, 2.15), (2.55, 2.7))
    ax.text(2.0, 2.6, "two views", fontsize=SMALL, ha="right")
    _arrow(ax, (1.8, 1.85), (2.55, 1.25))
    _arrow(ax, (4.45, 2.85), (5.35, 2.85), "features")
    _arrow(ax, (4.45, 1.15), (5.35, 1.15))
    _arrow(ax, (3.5, 2.43), (3.5, 1.45))
    ax.text(3.6, 1.92, "follows after\neach epoch", fontsize=SMALL, va="center")
    _arrow(ax, (6.3, 1.45), (6.3, 2.55))
    ax.text(6.2, 1.92, "compared\nwith", fontsize=SMALL, va="center", ha="right")
    _arrow(ax, (7.25, 1.25), (7.9, 1.7))
    ax.text(7.7, 1.22, "refine after\neach epoch", fontsize=SMALL, va="center")
    _arrow(ax, (7.9, 2.3), (7.25, 2.75))
    _arrow(ax, (5.5, 3.15), (4.3, 3.27), bend=0.25)
    ax.text(4.9, 3.48, "gradients", fontsize=SMALL, ha="center")
    test = "When tested, only the encoder is left; the first domain's vectors are mapped by $Q$, and ranked by cosine."
    ax.text(0.1, 0.35, test, fontsize=SMALL)
    return titled(fig, "CLAIR's loop: features and pseudo-labels teach each other")


@styled
def tki_diagram() -> Figure:
    """TKI's two stages, which see texts only, and its use on images."""
    fig, ax = _canvas(3.5)
    rows = {3.1: "1 · expansion", 1.8: "2 · aggregation", 0.5: "retrieval"}
    for y, name in rows.items():
        ax.text(0.05, y, name, fontsize=SMALL + 1, weight="bold", va="center")
    words = Box("$P$ words $ν_p$\nin “A ▢ style of dog.”", 2.55, 3.1, TRAINED, 0.95)
    _chain(ax, words, Box("text tower\n(frozen)", 4.7, 3.1, FROZEN),
           Box("$L_{max}$: styles differ\n$L_{min}$: class stays", 7.1, 3.1, LOSS, 1.0))  # fmt: skip
    texts = Box("texts $t_{pi}$: every word\nwith every class name", 2.55, 1.8, half_width=0.95)
    _chain(ax, texts, Box("network $h$", 4.7, 1.8, TRAINED),
           Box("$L_{agg}$: one class together,\nwhatever the word", 7.1, 1.8, LOSS, 1.0))  # fmt: skip
    image = Box("an image", 2.55, 0.5, half_width=0.95)
    tower, h = Box("image tower\n(frozen)", 4.7, 0.5, FROZEN), Box("the same $h$", 6.4, 0.5, TRAINED, 0.55)
    _chain(ax, image, tower, h, Box("vector\nto rank", 7.75, 0.5, half_width=0.45))
    _arrow(ax, (2.55, 2.8), (2.55, 2.1))
    ax.text(2.65, 2.45, "learnt, then fixed", fontsize=SMALL, va="center")
    _arrow(ax, (5.1, 1.5), (6.2, 0.8))
    return titled(fig, "TKI: two stages on texts alone, then images pass through the same network")


@styled
def ucdir_diagram() -> Figure:
    """UCDIR: in-domain losses above and below, and between them the cross-domain losses, which compare clusters."""
    fig, ax = _canvas(3.6)
    text = "across domains\n$L_{SE}$: be sure of a cluster\n$L_{DD}$: agree on distances"
    across = Box(text, 7.65, 1.8, LOSS, 1.15, 0.42)
    encoder = Box("encoder and its\nslow copy, the same\nfor both domains", 3.05, 1.8, TRAINED, 0.85, 0.42)
    _draw(ax, across, encoder)
    for domain, y, sign in (("A", 3.0, 1), ("B", 0.6, -1)):
        images = Box(f"images of domain {domain},\ntwo views of each", 1.0, y, half_width=0.9)
        clusters = Box(f"clusters of {domain}\nby k-means, every epoch", 5.1, y, half_width=0.95)
        text = f"inside domain {domain}\n$L_{{IW}}$: two views alike\n$L_{{CW}}$: one cluster alike"
        losses = Box(text, 7.65, y, LOSS, 1.15, 0.42)
        _draw(ax, images, clusters, losses)
        _arrow(ax, (1.6, y - 0.3 * sign), (2.2, 1.8 + 0.25 * sign))
        _arrow(ax, (3.7, 1.8 + 0.42 * sign), (4.5, y - 0.3 * sign))
        _arrow(ax, (6.05, y), (6.5, y))
        _arrow(ax, (5.7, y - 0.3 * sign), (6.5, 1.8 + 0.15 * sign))
    return titled(fig, "UCDIR: every domain is clustered; then both sets of clusters must tell images apart alike")


@styled
def snmpnet_diagram() -> Figure:
    """SnMpNet: two images are mixed; one layer predicts the mixture, the next maps it among class vectors."""
    fig, ax = _canvas(3.5)
    first = Box("image of class $c$\nin domain $d$", 0.95, 2.75, half_width=0.85)
    second = Box("image of another class,\nsame or other domain", 0.95, 1.45, half_width=0.85)
    mixed = Box("mixture\n$α x + (1 - α) x'$", 2.85, 2.1)
    network = Box("network with\nattention", 4.55, 2.1, TRAINED)
    prediction = Box("mixture-prediction\nlayer", 6.2, 2.1, TRAINED, 0.68)
    _draw(ax, first, second)
    _chain(ax, mixed, network, prediction, Box("semantic layer:\nfeature $f$", 8.05, 2.1, TRAINED))
    text = "$L_{CE}^{mix}$: right direction\n$L_{Sn}$: as far from each class\nas its class vector is"
    losses = Box(text, 8.05, 0.95, LOSS, 0.9, 0.42)
    classes = Box("vectors $a^j$ of the\nseen class names", 5.5, 0.95, FROZEN, 0.75)
    _draw(ax, losses, classes, Box("$L_{Mp}$: the shares of both classes", 6.2, 3.1, LOSS, 1.2, 0.22))
    for start, end in (
        ((1.8, 2.65), (2.13, 2.3)), ((1.8, 1.55), (2.13, 1.9)), ((6.2, 2.4), (6.2, 2.88)),
        ((8.05, 1.8), (8.05, 1.37)), ((6.25, 0.95), (7.15, 0.95)),
    ):  # fmt: skip
        _arrow(ax, start, end)
    test = "unmixed images of unseen classes are ranked by the Euclidean distance between their features $f$."
    ax.text(0.1, 0.2, f"When tested, {test}", fontsize=SMALL)
    return titled(fig, "SnMpNet: mixed images of seen classes learn their place among the vectors of class names")
