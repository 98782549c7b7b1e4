"""One colour-blind-safe style for all figures, and saving a figure to a file."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from cdir_nb.data.images import ImageSet, credit_line
from cdir_nb.paths import atomic_write

WIDTH = 9.0  # inches; with DPI, 990 pixels: the width of a notebook's output on a laptop
DPI = 110
SMALL = 9  # points: the smallest text in a figure
RIGHT, WRONG, QUIET = "#0072B2", "#D55E00", "#777777"  # blue, vermilion (Okabe & Ito): safe for colour-blind readers
PALETTE = (  # P. Tol's "muted" with darker yellow and cyan, ordered so that neighbours differ
    *("#332288", "#CC6677", "#117733", "#C96A00", "#2F8FC0"),
    *("#AA4499", "#44AA99", "#999933", "#882255", "#666666"),
)
CLASSES = (  # as PALETTE, without its orange, sky blue and teal, which are colours of domains
    *("#332288", "#CC6677", "#117733", "#D9B310", "#B8B8B8"),
    *("#AA4499", "#8CC63F", "#999933", "#882255", "#666666"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "*")
LOOKS = {  # of domains that mean the same; distinct for red-blind and green-blind readers too (a test simulates them)
    ("#222222", "o"): ("real", "photo"),
    ("#E07B00", "s"): ("painting", "art_painting", "art"),
    ("#3B5BDB", "^"): ("clipart", "cartoon"),
    ("#2A9D8F", "D"): ("infograph", "product"),
    ("#993404", "v"): ("sketch",),
    ("#3288BD", "P"): ("quickdraw", "doodle"),
}
DOMAIN_LOOKS = {domain: look for look, domains in LOOKS.items() for domain in domains}
SEQUENTIAL = "YlGnBu"
EMPTY = "#EDEDED"  # where there is no value, and behind lines
_titles: dict[str, str] = {}  # {domain: its title}; see `use_titles`
RC = mpl.rc_params_from_file(Path(__file__).with_name("workbook.mplstyle"), use_default_template=False)


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorator that applies the workbook's matplotlib settings in a drawing function, and restores them afterwards.

    Dollar signs in text that is not a valid formula are drawn literally: matplotlib would fail on a class named
    `$x^{$`.

    Only the keys of `RC` are restored: `rc_context` would also restore `interactive`, which the first figure of a
    notebook enables, so that later figures would not be displayed.
    """

    @functools.wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        before = {key: mpl.rcParams[key] for key in RC}
        try:
            mpl.rcParams.update(RC)
            fig = draw(*args, **kwargs)
            _show_titles(fig)
            for text in fig.findobj(Text):
                if not _is_formula(text.get_text()):
                    text.set_parse_math(False)
            return fig
        finally:
            mpl.rcParams.update(before)  # pyright: ignore[reportArgumentType, reportCallIssue]

    return wrapper


def use_titles(titles: Mapping[str, str]) -> None:
    """From now on, figures show these titles instead of the domains' names; `banner` sets those of its dataset.

    titles  {domain: title}, such as {"real": "real (drawn)"}
    """
    _titles.clear()
    _titles.update(titles)


def with_titles(text: str) -> str:
    """The text with each domain that has a title replaced by it, where it stands for itself.

    It does not in "real-clip", nor in "real images", which are images of the world.
    """
    for domain, title in _titles.items():
        shown = text.replace(title, domain)
        text = re.sub(rf"(?<![\w-]){re.escape(domain)}(?![\w-]| images)", title, shown)
    return text


def _show_titles(fig: Figure) -> None:
    """Apply `with_titles` to all texts of a figure; the labels of ticks are written by their formatters."""
    if not _titles:
        return
    for text in fig.findobj(Text):
        text.set_text(with_titles(text.get_text()))
    for axis in (axis for ax in fig.axes for axis in (ax.xaxis, ax.yaxis)):
        formatter = axis.get_major_formatter()
        if isinstance(formatter, (FixedFormatter, FuncFormatter)):  # given labels
            axis.set_major_formatter(FuncFormatter(lambda x, pos, labels=formatter: with_titles(labels(x, pos))))


def _is_formula(text: str) -> bool:
    """Whether matplotlib can parse the formulas in a text, which are between dollar signs."""
    if text.count("$") < 2:
        return True  # nothing is parsed
    try:
        for line in text.splitlines():
            MathTextParser("agg").parse(line)
    except ValueError:
        return False
    return True


def pretty(name: object) -> str:
    """Format a class or domain name for display: `light_bulb` -> `light bulb`."""
    return str(name).replace("_", " ")


def shorten(name: object, length: int) -> str:
    """Format `name` for display, truncated to `length` characters (with an ellipsis) if it is longer."""
    name = pretty(name)
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"


def titled(fig: Figure, title: str) -> Figure:
    """Set a left-aligned title above all panels; returns `fig`."""
    fig.suptitle(title, x=0.01, ha="left")
    return fig


def credited(fig: Figure, *images: ImageSet) -> Figure:
    """Write the credit that the licences of these images ask for, if any, below all panels; returns `fig`."""
    if credit := credit_line(*images):
        fig.supxlabel(credit, x=0.01, ha="left", fontsize=SMALL)
    return fig


def bare(ax: Axes) -> None:
    """Remove ticks and frame."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def keys_of(axes: Iterable[Axes]) -> dict[str, Artist]:
    """{label: artist} of all panels, without duplicates, for a shared legend."""
    return {label: key for ax in axes for key, label in zip(*ax.get_legend_handles_labels())}


def looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """{name: (colour, marker)}; the domains in `DOMAIN_LOOKS` have the same look in every figure.

    Neighbouring names differ in colour and marker, so that colour is not the only cue. No other name has the marker of
    one of these domains.
    """
    reserved = {DOMAIN_LOOKS[name][1] for name in names if name in DOMAIN_LOOKS}
    markers = [marker for marker in MARKERS if marker not in reserved]
    look = {name: (CLASSES[i % len(CLASSES)], markers[i % len(markers)]) for i, name in enumerate(names)}
    return {name: DOMAIN_LOOKS.get(name, look[name]) for name in names}


def save_figure(fig: Figure, out_dir: str | Path, name: str) -> Path | None:
    """Write `fig` to `out_dir/name.png`, atomically. With an empty `out_dir`, write nothing and return None.

    The titles and the credit are stored as the PNG's Description, which the report prints below the image.
    """
    if not str(out_dir):
        return None
    path = Path(out_dir) / f"{name}.png"
    with atomic_write(path) as temporary:
        metadata = {"Software": None, "Description": caption(fig)}
        fig.savefig(temporary, format="png", bbox_inches="tight", metadata=metadata)
    return path


def caption(fig: Figure) -> str:
    """The titles of the figure and its panels, and its credit, in one line; formulas are plain: `$L_{IW}$` as L_IW."""
    titles = [fig.get_suptitle(), *(ax.get_title("left") for ax in fig.axes), fig.get_supxlabel()]
    return re.sub(r"\$([^$]*)\$", lambda match: re.sub(r"[{}\\]", "", match[1]), " · ".join(filter(None, titles)))
