"""Scoreboards show each verdict in its own column; tables show percent and points above their own reference."""

import numpy as np
import pandas as pd
import pytest

from cdir_nb.results import Record, load_claims, published_verdicts, verdicts
from cdir_nb.results.claims.verdicts import FAILS, HOLDS, IN_PART, MIXED, NOT_PRINTED, NOT_RUN
from cdir_nb.results.claims.wording import VERDICTS_DIFFER
from cdir_nb.results.panels import Panel
from cdir_nb.show.paper_tables import COLOURS, PAPER_COLUMN, scoreboard, table_panels

IDS = "tki-above-clip", "tki-l-max-helps", "tki-more-words-better"
CLAIMS = [claim for claim in load_claims() if claim.id in IDS]


def records(method, percents, protocol="world-unseen", rule="last epoch"):
    return [Record(method=method, dataset=protocol[:5], protocol=protocol, query_domain="real", gallery_domain="sketch",
                   metric="mAP@200:over_min_k_relevant", value=percent / 100, seed=seed,
                   encoder="tiny-clip [ab]", selection_rule=rule) for seed, percent in enumerate(percents)]  # fmt: skip


RECORDS = (
    records("vanilla CLIP", [30], rule="nothing selected")
    + records("TKI", [33, 34])
    + records("TKI, L_max only", [29, 31])
)


def board(decided, claims=CLAIMS):
    """{(column header, row number): text} of a scoreboard."""
    (ax,) = scoreboard(published_verdicts(claims), decided).axes
    headers = {round(x, 2): tick.get_text() for x, tick in zip(ax.get_xticks(), ax.get_xticklabels())}
    texts = {(round(t.get_position()[0], 2), t.get_position()[1]): t.get_text() for t in ax.texts}
    return {(headers[x], row): text for (x, row), text in texts.items()}


def test_each_source_task_and_encoder_has_a_column_beside_the_paper():
    more = records("vanilla CLIP", [30], "pacs-all", "nothing selected") + records("TKI", [20, 20], "pacs-all")
    cells = board({"old": verdicts(RECORDS + more, CLAIMS), "new": verdicts(RECORDS[:2], CLAIMS)})
    headers = list(dict.fromkeys(header for header, _ in cells))
    assert headers[0] == PAPER_COLUMN
    assert [header.split("\n")[:3] for header in headers[1:]] == [
        ["old", "world-unseen", "tiny-clip"], ["old", "pacs-all", "tiny-clip"], ["new", "world-unseen", "tiny-clip"],
    ]  # fmt: skip
    _, world, pacs, _ = headers
    assert [HOLDS in cells[PAPER_COLUMN, 0], HOLDS in cells[world, 0], FAILS in cells[pacs, 0]] == [True] * 3
    assert "+3.5" in cells[world, 0] and MIXED in cells[world, 1] and "-10.0" in cells[pacs, 0]
    assert NOT_PRINTED in cells[PAPER_COLUMN, 2] and cells[world, 2] == NOT_RUN


def test_a_claim_over_each_direction_counts_the_directions():
    one = CLAIMS[0]
    claims = [one, one.model_copy(update={"id": "each", "over": "each direction"})]
    clip, tki = ([r for r in RECORDS if r.method == name] for name in ("vanilla CLIP", "TKI"))
    lower = [r.model_copy(update={"gallery_domain": "clipart", "value": r.value - 0.2}) for r in tki]
    same = [r.model_copy(update={"gallery_domain": "clipart"}) for r in clip]
    unnamed = [r.model_copy(update={"protocol": ""}) for r in (*RECORDS, *lower, *same)]  # no directions are required
    cells = board({"run": verdicts(unnamed, claims)}, claims)
    means, directions = (text for (header, _), text in cells.items() if header != PAPER_COLUMN)
    assert FAILS in means and "-6.5" in means
    assert FAILS in directions and "1 of 2" in directions


def test_verdicts_that_differ_between_settings_are_one_cell():
    other = [r.model_copy(update={"settings_digest": "z", "value": 0.1}) for r in RECORDS if r.method == "TKI"]
    texts = board({"run": verdicts(RECORDS + other, CLAIMS)}).values()
    assert any(VERDICTS_DIFFER in text and "-20.0" in text and "+3.5" in text for text in texts)


def test_a_scoreboard_of_no_runs_has_only_the_paper():
    assert set(board({"run": verdicts([], CLAIMS)})) == {(PAPER_COLUMN, row) for row in range(3)}


def test_a_long_name_of_a_task_has_two_lines():
    renamed = [r.model_copy(update={"protocol": "sketchy_mini-21-heldout"}) for r in RECORDS]
    assert any("sketchy_mini-21-\nheldout" in header for header, _ in board({"run": verdicts(renamed, CLAIMS)}))


def test_every_verdict_has_a_colour():
    assert set(COLOURS) >= {HOLDS, MIXED, FAILS, NOT_RUN, NOT_PRINTED, IN_PART, VERDICTS_DIFFER}


def frame(rows):
    return pd.DataFrame.from_dict(rows, orient="index", columns=["real → sketch", "mean"])


PRINTED = Panel("published: x", frame({"other": [10, None], "vanilla CLIP": [20, 20], "TKI": [25, 26]}))
OURS = Panel("ours", frame({"vanilla CLIP": [50, 50], "TKI": [48, 49]}))


def numbers(ax):
    """The numbers of each cell."""
    return [[float(number) for number in text.get_text().split()] for text in ax.texts]


def test_cells_have_percent_and_points_above_the_reference_of_their_panel():
    printed, ours = table_panels([PRINTED, OURS]).axes
    assert numbers(printed) == [[10, -10], [], [20], [20], [25, 5], [26, 6]]
    assert numbers(ours) == [[50], [50], [48, -2], [49, -1]]
    colours = [ax.images[0].get_clim() for ax in (printed, ours)]
    assert colours[0] == colours[1] and np.isclose(sum(colours[0]), 0)  # one scale around zero


@pytest.mark.parametrize("comparable", [True, False])
def test_differences_from_the_paper_are_drawn_only_for_comparable_runs(comparable):
    fig = table_panels([PRINTED, Panel("ours", OURS.percent, comparable)])
    assert len(fig.axes) == 2 + comparable
    if comparable:
        assert numbers(fig.axes[2])[-4:] == [[30], [30], [23], [23]]


def test_a_panel_without_a_reference_has_only_percent():
    (ax,) = table_panels([Panel("published: y", frame({"a": [1, 2], "b": [3, 4]}))]).axes
    assert numbers(ax) == [[1], [2], [3], [4]]
