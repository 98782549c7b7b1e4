"""The end of a run: short, one line per method."""

import pytest
from run_folders import record

from cdir_nb.results import reproduced_records, to_frame
from cdir_nb.run.overview import MAX_LINES, overview


def test_one_line_per_method_and_no_variant():
    records = [record(method=name) for name in ("vanilla CLIP", "UCDIR", "UCDIR, closed form", "L_IW (v1)", "mine")]
    records.append(record(method="UCDIR", value=0.5, selection_rule="last epoch"))
    lines = overview(to_frame(records)).splitlines()
    assert [line.split("  ")[1] for line in lines[2:]] == ["vanilla CLIP", "UCDIR", "UCDIR, closed form", "mine"]
    assert "50.00" in lines[3] and "last epoch" in lines[3]


@pytest.mark.slow
def test_many_methods_fit_on_a_screen():
    lines = overview(to_frame(reproduced_records())).splitlines()
    assert len(lines) <= MAX_LINES and "more methods" in lines[-1]
    assert len(overview(to_frame([])).splitlines()) == 1
