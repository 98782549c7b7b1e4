"""Settings: bad values, changed copies, and their form in tables and records."""

import pytest

from cdir_nb.errors import CdirError
from cdir_nb.methods.settings import Settings, setting


class Part(Settings):
    method = "part"
    steps: int = setting(1, "paper", ge=0)


class Whole(Settings):
    method = "whole"
    rate: float = setting(0.1, "paper, section 5", gt=0)
    names: tuple[str, ...] = setting(("a",), "unknown: our default", strict=False)
    size: int | None = setting(None, "unknown: our default", ge=1)
    part: Part = setting(Part(), "paper")


def test_plain_data():
    assert Whole().plain() == {"rate": 0.1, "names": ["a"], "size": None, "part": {"steps": 1}}


def test_a_changed_copy():
    original = Whole()
    changed = original.changed(rate=0.5, **{"part.steps": 3})
    assert (changed.rate, changed.part.steps, changed.names) == (0.5, 3, ("a",)) and original == Whole()


def test_the_table_names_value_and_source():
    rows = {row["setting"]: (row["value"], row["source"]) for row in Whole(rate=0.5, part=Part(steps=2)).table()}
    assert rows["rate"] == ("0.5", "set here; default 0.1 (paper, section 5)")
    assert rows["part.steps"] == ("2", "set here; default 1 (paper)")
    assert rows["size"] == ("None", "unknown: our default") and "part" not in rows


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0}, "whole: rate should be greater than 0, not 0"),
        ({"rate": float("inf")}, "whole: rate should be a finite number, not inf"),
        ({"part": {"steps": -1}}, "part: steps should be greater than or equal to 0, not -1"),
        ({"lr": 1, "eta": 2}, "whole: unknown settings lr, eta; available: rate, names, size, part"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(values, message):
    with pytest.raises(CdirError) as error:
        Whole(**values)
    assert str(error.value) == message


def test_an_unknown_setting_of_a_part_is_refused():
    with pytest.raises(CdirError, match="part: unknown settings stepz; available: steps"):
        Whole().changed(**{"part.stepz": 1})
    with pytest.raises(CdirError, match="whole: unknown settings pert.steps"):
        Whole().changed(**{"pert.steps": 1})
