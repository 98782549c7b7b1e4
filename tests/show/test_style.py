import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from PIL import Image

from cdir_nb.show import style


def test_save_figure_writes_a_png_of_modest_size(tmp_path):
    fig, ax = plt.subplots()
    path = style.save_figure(fig, tmp_path / "new folder", "curve")
    assert path == tmp_path / "new folder" / "curve.png"
    assert Image.open(path).format == "PNG" and path.stat().st_size < 50_000


def test_a_saved_figure_carries_its_titles(tmp_path):
    fig, axes = plt.subplots(1, 2)
    fig.suptitle("P@50, hits_over_k → all directions")
    axes[1].set_title("sketch", loc="left")
    path = style.save_figure(fig, tmp_path, "curve")
    assert Image.open(path).text["Description"] == "P@50, hits_over_k → all directions · sketch"


def test_save_figure_keeps_nothing_without_a_folder(tmp_path, monkeypatch):
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


def test_the_look_stays_inside_our_figures():
    before = dict(mpl.rcParams)

    @style.styled
    def draw():
        return plt.figure()

    assert draw().dpi == style.DPI
    assert dict(mpl.rcParams) == before


def test_settings_come_back_after_a_failure_and_interactive_mode_stays():
    before = dict(mpl.rcParams)

    @style.styled
    def draw():
        plt.ion()  # as a notebook's backend does with its first figure
        raise ValueError

    with pytest.raises(ValueError):
        draw()
    assert mpl.is_interactive()
    plt.ioff()
    assert dict(mpl.rcParams) == before


def test_looks_differ_in_colour_and_marker_between_neighbours():
    look = list(style.looks([f"class {i}" for i in range(60)]).values())
    assert len(set(look)) == 60
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in zip(look, look[1:]))


def test_names_are_written_as_people_write_them():
    assert style.pretty("light_bulb") == "light bulb"
    assert style.shorten("light_bulb", 20) == "light bulb"
    assert style.shorten("hot_air_balloon", 8) == "hot air…"


@pytest.mark.parametrize("name", ["$x^{$", "$\\frac$", "a$b$c^", "$$", "cost $5"])
def test_a_name_that_is_no_formula_is_drawn_as_it_is(name, tmp_path):
    @style.styled
    def draw():
        fig, ax = plt.subplots()
        ax.set_xticks([0, 1], labels=[name, "dog"])
        ax.plot([0, 1], label=name)
        ax.legend(title=f"of {name}")
        ax.text(0, 0, name)
        return style.titled(fig, f"{name}: two")

    assert style.save_figure(draw(), tmp_path, "figure").is_file()


def test_a_formula_stays_one():
    @style.styled
    def draw():
        fig, ax = plt.subplots()
        ax.set_ylabel(r"$\psi(y)$")
        return fig

    (ax,) = draw().axes
    assert ax.yaxis.label.get_parse_math()
