import ipywidgets
import matplotlib.pyplot as plt
import pytest

from cdir_nb.show import style, widgets


@pytest.fixture
def shown(monkeypatch):
    """What the notebook would display, in order; a figure's handle keeps what it was updated to."""
    out = []

    class Handle:
        update = staticmethod(lambda fig: out.append(("update", fig)))

    monkeypatch.setattr(widgets, "display", lambda thing, **kwargs: out.append(thing) or Handle())
    return out


def draw(k, domain):
    fig = plt.figure()
    fig.suptitle(f"{domain} {k}")
    return fig


def title(fig):
    return fig._suptitle.get_text()


def test_headless_leaves_one_static_figure_and_no_widget(shown, monkeypatch):
    monkeypatch.setenv("CDIR_HEADLESS", "1")
    fig = widgets.explore(draw, k=(1, 20, 5), domain=["real", "sketch"])
    assert shown == [fig] and title(fig) == "real 5"
    assert not plt.fignum_exists(fig.number)  # or the notebook would show it twice


def test_headless_shows_the_filmstrip_instead(shown, monkeypatch):
    monkeypatch.setenv("CDIR_HEADLESS", "1")
    strip = draw(3, "three settings")
    assert widgets.explore(draw, filmstrip=strip, k=(1, 20, 5), domain=["real"]) is strip and shown == [strip]
    assert not plt.fignum_exists(strip.number)


def test_live_controls_come_before_the_figure_and_redraw_it(shown, monkeypatch):
    monkeypatch.delenv("CDIR_HEADLESS", raising=False)
    widgets.explore(draw, filmstrip=draw(3, "three settings"), k=(1, 20, 5), domain=["real", "sketch"])
    controls, figure = shown
    assert title(figure) == "real 5" and isinstance(controls, ipywidgets.HBox)
    slider, choice = controls.children
    assert (slider.min, slider.max, slider.value) == (1, 20, 5)
    choice.value = "sketch"
    slider.value = 7
    assert [title(fig) for _, fig in shown[2:]] == ["sketch 5", "sketch 7"]


@pytest.mark.parametrize("value, expected", [("1", True), ("0", False), ("", False)])
def test_headless_is_set_by_the_environment(monkeypatch, value, expected):
    monkeypatch.setenv("CDIR_HEADLESS", value)
    assert widgets.headless() is expected


def test_show_source_shows_the_function_itself(shown):
    widgets.show_source(style.pretty, style.save_figure)
    assert [text.data.splitlines()[0] for text in shown] == [
        "`cdir_nb.show.style.pretty`",
        "`cdir_nb.show.style.save_figure`",
    ]
    assert 'return str(name).replace("_", " ")' in shown[0].data


def test_show_source_sees_through_our_decorator(shown):
    from cdir_nb.show import bars

    widgets.show_source(bars)
    assert "def bars(" in shown[0].data and "def wrapper" not in shown[0].data
