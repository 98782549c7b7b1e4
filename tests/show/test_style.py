import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from cdir_nb.show import style


def test_save_figure_writes_a_png_with_the_titles(tmp_path):
    fig, axes = plt.subplots(1, 2)
    fig.suptitle("P@50, hits_over_k → all directions")
    axes[1].set_title("sketch", loc="left")
    path = style.save_figure(fig, tmp_path / "new folder", "curve")
    assert path == tmp_path / "new folder" / "curve.png"
    assert Image.open(path).format == "PNG" and path.stat().st_size < 50_000
    assert Image.open(path).text["Description"] == "P@50, hits_over_k → all directions · sketch"


def test_formulas_in_titles_become_plain_text_in_captions():
    fig, axes = plt.subplots(1, 2)
    axes[0].set_title("$L_{IW}$, weight up to 1", loc="left")
    axes[1].set_title("it costs 5 $", loc="left")
    assert style.caption(fig) == "L_IW, weight up to 1 · it costs 5 $"


def test_save_figure_writes_nothing_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert style.save_figure(plt.figure(), "", "curve") is None
    assert list(tmp_path.iterdir()) == []


def test_save_figure_leaves_the_old_file_when_drawing_fails(tmp_path):
    style.save_figure(plt.figure(), tmp_path, "curve")
    before = (tmp_path / "curve.png").read_bytes()
    broken = plt.figure()
    broken.savefig = lambda *a, **k: (_ for _ in ()).throw(OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        style.save_figure(broken, tmp_path, "curve")
    assert [p.name for p in tmp_path.iterdir()] == ["curve.png"]
    assert (tmp_path / "curve.png").read_bytes() == before


@pytest.mark.parametrize("fails", [False, True])
def test_settings_are_restored_and_interactive_mode_is_not(fails):
    before = dict(mpl.rcParams)

    @style.styled
    def draw():
        plt.ion()  # as a notebook's backend does with its first figure
        if fails:
            raise ValueError
        return plt.figure()

    if fails:
        with pytest.raises(ValueError):
            draw()
    else:
        assert draw().dpi == style.DPI
    assert mpl.is_interactive()
    plt.ioff()
    assert dict(mpl.rcParams) == before


def test_looks_differ_in_colour_and_marker_between_neighbours():
    look = list(style.looks([f"class {i}" for i in range(60)]).values())
    assert len(set(look)) == 60
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in zip(look, look[1:]))


def test_classes_have_other_colours_than_domains():
    classes = [lab(linear(colour)) for colour, _ in style.looks([f"class {i}" for i in range(10)]).values()]
    domains = [lab(linear(colour)) for colour, _ in style.DOMAIN_LOOKS.values()]
    assert min(np.linalg.norm(a - b) for a, b in itertools.product(classes, domains)) > 15
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(classes, 2)) > 15


def linear(colour):
    """(3,) linear RGB."""
    value = np.array(mpl.colors.to_rgb(colour))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* (D65) of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


SEEN = {
    "by all": np.eye(3),
    "red-blind": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green-blind": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}  # Machado, Oliveira, Fernandes 2009, severity 1


@pytest.mark.parametrize("matrix", SEEN.values(), ids=SEEN)
def test_domains_can_be_told_apart_and_are_not_pale(matrix):
    look = style.looks(["real", "painting", "clipart", "infograph", "sketch", "quickdraw"])
    colours = [linear(colour) for colour, _ in look.values()]
    perceived = [lab(np.array(matrix) @ colour) for colour in colours]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(perceived, 2)) > 30
    assert len({marker for _, marker in look.values()}) == 6
    bright = [np.dot([0.2126, 0.7152, 0.0722], colour) for colour in colours]
    assert max(bright) < 1.05 / 2.7 - 0.05  # contrast with white


def test_a_domain_has_one_look_in_every_figure_and_its_marker_alone():
    assert style.looks(["sketch", "real"])["real"] == style.looks(["real", "cat"])["real"]
    assert style.looks(["cat", "dog"])["cat"][0] == style.PALETTE[0]
    look = style.looks(["clipart", "sketch", "together", "alone"])
    assert len({marker for _, marker in look.values()}) == 4
    assert look["clipart"] == style.DOMAIN_LOOKS["clipart"]


def test_names_have_spaces_and_are_truncated():
    assert style.pretty("light_bulb") == "light bulb"
    assert style.shorten("light_bulb", 20) == "light bulb"
    assert style.shorten("hot_air_balloon", 8) == "hot air…"


@pytest.mark.parametrize("name", ["$x^{$", "$\\frac$", "a$b$c^", "$$", "cost $5"])
def test_a_name_that_is_not_a_formula_is_drawn_literally(name, tmp_path):
    @style.styled
    def draw():
        fig, ax = plt.subplots()
        ax.set_xticks([0, 1], labels=[name, "dog"])
        ax.plot([0, 1], label=name)
        ax.legend(title=f"of {name}")
        ax.text(0, 0, name)
        return style.titled(fig, f"{name}: two")

    assert style.save_figure(draw(), tmp_path, "figure").is_file()


def test_a_formula_is_parsed():
    @style.styled
    def draw():
        fig, ax = plt.subplots()
        ax.set_ylabel(r"$\psi(y)$")
        return fig

    (ax,) = draw().axes
    assert ax.yaxis.label.get_parse_math()


def test_figures_show_the_titles_of_domains_wherever_they_stand_for_themselves():
    @style.styled
    def figure():
        fig, ax = plt.subplots()
        ax.set_title("real → sketch, real-clip; unreal")
        ax.set_xticks([0, 1], ["real", "sketch"])
        ax.plot([0, 1], label="real")
        ax.legend()
        return fig

    style.use_titles({"real": "real (drawn)"})
    assert style.with_titles(style.with_titles("real")) == "real (drawn)"
    assert style.with_titles("real images, real") == "real images, real (drawn)"
    assert style.with_titles("real images: Sketchy") == "real images: Sketchy"
    fig = figure()
    fig.canvas.draw()
    (ax,) = fig.axes
    assert ax.get_title("left") == "real (drawn) → sketch, real-clip; unreal"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["real (drawn)", "sketch"]
    assert ax.get_legend().get_texts()[0].get_text() == "real (drawn)"
    style.use_titles({})
    assert figure().axes[0].get_title("left") == "real → sketch, real-clip; unreal"
