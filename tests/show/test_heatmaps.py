"""Tables with coloured cells: every number that goes in is on the picture, with its sign, verdict or source."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from cdir_nb.analysis import direction_table
from cdir_nb.results import Record, load_claims, published_verdicts, verdicts
from cdir_nb.results.compare import Panel
from cdir_nb.show import heatmaps
from cdir_nb.show.paper_tables import scoreboard, table_panels


def panel_title(ax):
    return ax.get_title("left")


def test_heat_maps_write_every_number_and_name_both_sides():
    table = direction_table({("real", "sketch"): 41.4, ("sketch", "real"): 9.6}, ["real", "sketch"])
    fig = heatmaps.heat_maps({"P@50, hits_over_k (%)": table, "mAP, over_relevant (%)": table / 2}, title="tiny-clip")
    first, second, bar = fig.axes
    assert bar.get_label() == "<colorbar>"
    assert panel_title(first) == "P@50, hits_over_k (%)" and panel_title(second) == "mAP, over_relevant (%)"
    assert sorted(t.get_text() for t in first.texts) == ["10", "41"]
    assert first.get_xlabel() == "gallery domain" and first.get_ylabel() == "query domain"
    assert [t.get_text() for t in first.get_yticklabels()] == ["real", "sketch"]


def test_heat_maps_of_a_figure_have_one_scale():
    low, high = pd.DataFrame([[1.0, 2.0]]), pd.DataFrame([[1.0, 50.0]])
    axes = heatmaps.heat_maps({"a": low, "b": high}).axes
    assert [ax.collections[0].get_clim() for ax in axes[:2]] == [(0, 50), (0, 50)]
    assert axes[2].get_ylim() == (0, 50)  # the bar


def test_gain_map_signs_its_numbers_and_colours_around_zero():
    table = direction_table({("real", "sketch"): 4.0, ("sketch", "real"): -1.0}, ["real", "sketch"])
    ax = heatmaps.gain_map({"mAP": table}).axes[0]
    assert sorted(text.get_text() for text in ax.texts) == ["+4.0", "-1.0"]
    better, worse = (ax.collections[0].to_rgba(value)[:3] for value in (4.0, -4.0))
    assert better[2] > better[0] and worse[0] > worse[2]  # blue and red
    assert np.allclose(ax.collections[0].to_rgba(0.0)[:3], to_rgb("#F7F7F7"), atol=0.02)


IDS = "tki-above-clip", "tki-l-max-helps", "tki-more-words-better"
CLAIMS = [claim for claim in load_claims() if claim.id in IDS]


def records(method, percents, protocol="world-unseen", rule="last epoch"):
    return [Record(method=method, dataset=protocol[:5], protocol=protocol, query_domain="real", gallery_domain="sketch",
                   metric="mAP@200:over_min_k_relevant", value=percent / 100, seed=seed,
                   encoder="tiny-clip [ab]", selection_rule=rule) for seed, percent in enumerate(percents)]  # fmt: skip


FOUND = (
    records("vanilla CLIP", [30], rule="nothing selected")
    + records("TKI", [33, 34])
    + records("TKI, L_max only", [29, 31])
)


def texts(fig):
    return [text.get_text() for ax in fig.axes for text in ax.texts]


def test_the_scoreboard_has_the_paper_s_own_verdict_beside_ours():
    more = records("vanilla CLIP", [30], "pacs-all", "nothing selected") + records("TKI", [20, 20], "pacs-all")
    fig = scoreboard(published_verdicts(CLAIMS), {"kept": verdicts(FOUND + more, CLAIMS)}, title="t")
    ticks = [tick.get_text() for tick in fig.axes[0].get_xticklabels()]
    assert ticks[0] == "the paper's\nown numbers"
    assert ticks[1:] == ["kept\nworld-unseen\ntiny-clip\nseeds 0, 1", "kept\npacs-all\ntiny-clip\nseeds 0, 1"]
    assert texts(fig) == [
        "✓ holds\n+4.3 to +23.2", "✓ holds\n+8.5 points", "not printed",
        "✓ holds\n+3.5 points", "~ mixed\n+0.0 points", "not run",
        "✗ does not hold\n-10.0 points", "not run", "not run",
    ]  # fmt: skip
    assert fig.get_suptitle() == "t"


def test_a_row_says_what_was_expected_and_a_cell_what_came():
    one = CLAIMS[0]
    claims = [one, one.model_copy(update={"id": "each", "over": "each direction"}),
              one.model_copy(update={"id": "little", "tolerance": 2.5})]  # fmt: skip
    lost = [
        r.model_copy(update={"gallery_domain": "clipart", "value": r.value - 0.2}) for r in FOUND if r.method == "TKI"
    ]
    both = [r.model_copy(update={"gallery_domain": "clipart"}) for r in FOUND if r.method == "vanilla CLIP"]
    found = verdicts([r.model_copy(update={"protocol": ""}) for r in (*FOUND, *lost, *both)], claims)
    fig = scoreboard(published_verdicts(claims), {"kept": found})
    assert [tick.get_text().split("expected: ")[1] for tick in fig.axes[0].get_yticklabels()] == [
        "above on average", "above in each direction", "at most 2.5 points below",
    ]  # fmt: skip
    assert "✗ does not hold\n1 of 2\ndirections" in texts(fig) and "✗ does not hold\n-6.5 points" in texts(fig)


def test_verdicts_that_differ_by_setting_say_so():
    found = FOUND + [r.model_copy(update={"settings_digest": "z", "value": 0.1}) for r in FOUND if r.method == "TKI"]
    fig = scoreboard(published_verdicts(CLAIMS), {"kept": verdicts(found, CLAIMS)})
    assert "verdicts differ\n-20.0 to +3.5" in texts(fig)


def test_a_long_name_of_a_task_takes_two_lines():
    found = verdicts([r.model_copy(update={"protocol": "sketchy_mini-21-heldout"}) for r in FOUND], CLAIMS)
    fig = scoreboard(published_verdicts(CLAIMS), {"kept": found})
    assert "kept\nsketchy_mini-21-\nheldout\n" in fig.axes[0].get_xticklabels()[1].get_text()


def test_a_scoreboard_of_no_runs_has_the_paper_alone():
    fig = scoreboard(published_verdicts(CLAIMS), {"kept": verdicts([], CLAIMS)})
    assert len(fig.axes[0].get_xticks()) == 1 and len(texts(fig)) == 3


def test_runs_are_never_in_one_column():
    runs = {name: verdicts(found, CLAIMS) for name, found in (("kept", FOUND), ("new", FOUND[:2]), ("newer", FOUND))}
    fig = scoreboard(published_verdicts(CLAIMS), runs)
    heads = [tick.get_text().split("\n")[0] for tick in fig.axes[0].get_xticklabels()]
    assert heads == ["the paper's", "kept", "new", "newer"]


def frame(rows):
    return pd.DataFrame.from_dict(rows, orient="index", columns=["real → sketch", "mean"])


PRINTED = Panel("published: x", frame({"other": [10, None], "vanilla CLIP": [20, 20], "TKI": [25, 26]}))
OURS = Panel("ours", frame({"vanilla CLIP": [50, 50], "TKI": [48, 49]}))


def test_cells_hold_percent_and_points_above_the_panel_s_own_baseline():
    fig = table_panels([PRINTED, OURS], title="t")
    assert texts(fig) == ["10.0\n-10.0", "", "20.0", "20.0", "25.0\n+5.0", "26.0\n+6.0",
                          "50.0", "50.0", "48.0\n-2.0", "49.0\n-1.0"]  # fmt: skip
    assert [ax.get_title("left") for ax in fig.axes] == ["published: x", "ours"]
    assert fig.get_suptitle() == "t · second number: points above vanilla CLIP"
    for ax in fig.axes:
        assert ax.images[0].get_clim() == pytest.approx((-16, 16))  # one scale, from the largest, 10 points


@pytest.mark.parametrize("comparable", [True, False])
def test_differences_to_the_paper_are_drawn_only_where_they_mean_something(comparable):
    fig = table_panels([PRINTED, Panel("ours", OURS.percent, comparable)])
    assert len(fig.axes) == 2 + comparable
    if comparable:
        assert texts(fig)[-4:] == ["+30.0", "+30.0", "+23.0", "+23.0"]
        assert fig.axes[2].get_title("left") == "difference, ours minus published: ours"


def test_a_panel_without_a_reference_is_drawn_by_value():
    fig = table_panels([Panel("published: y", frame({"a": [1, 2], "b": [3, 4]}))])
    assert texts(fig) == ["1.0", "2.0", "3.0", "4.0"] and fig.get_suptitle() == ""


def test_every_verdict_has_a_colour():

    from cdir_nb.results.claims.verdicts import FAILS, HOLDS, IN_PART, MIXED, NOT_PRINTED, NOT_RUN
    from cdir_nb.results.claims.wording import VERDICTS_DIFFER
    from cdir_nb.show.paper_tables import COLOURS

    assert set(COLOURS) >= {HOLDS, MIXED, FAILS, NOT_RUN, NOT_PRINTED, IN_PART, VERDICTS_DIFFER}


def test_matrices_share_one_scale_and_name_each_group_once():
    small, large = np.zeros((3, 3)), np.full((3, 3), 2.0)
    fig = heatmaps.matrices({"by clipart": small, "by sketch": large}, ["dog", "dog", "cat"])
    first, second = fig.axes[:2]
    assert [ax.images[0].get_clim() for ax in (first, second)] == [(0, 2), (0, 2)]
    assert [label.get_text() for label in first.get_xticklabels()] == ["dog", "cat"]
    assert first.get_xticks().tolist() == [0.5, 2] and len(first.lines) == 2
