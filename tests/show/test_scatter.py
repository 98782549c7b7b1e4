"""The scatter plots show the numbers that they were given."""

import pandas as pd
import pytest

from cdir_nb.show import gains_against_knowledge

ROWS = [
    ("weak", "TKI", 0, 20, 6, 10), ("weak", "TKI", 1, 20, 8, 10),
    ("strong", "TKI", 0, 80, 60, 50), ("strong", "CLIP + Q", 0, 80, 53, 50),
]  # fmt: skip


def test_gains_are_means_over_seeds_above_vanilla_clip_of_the_same_encoder():
    table = pd.DataFrame(ROWS, columns=["encoder", "method", "seed", "zero-shot accuracy", "P@10", "vanilla"]).assign(
        task="one"
    )
    (ax,) = gains_against_knowledge(table).axes
    drawn = {line.get_label(): list(zip(*line.get_data())) for line in ax.lines}
    assert drawn["TKI"] == [pytest.approx((20, -3)), pytest.approx((80, 10))]
    assert drawn["CLIP + Q"] == [pytest.approx((80, 3))]
    assert ax.get_title("left") == "one\nweak, strong"


@pytest.mark.parametrize(
    ("encoders", "title"),
    [
        (["real-clip", "real-clip:without-pacs"], "real-clip and real-clip without pacs"),
        (["tiny-clip", "tiny-clip:10-samples", "tiny-clip:20-samples"], "tiny-clip, 3 stages"),
    ],
)
def test_the_title_tells_which_encoders_they_are(encoders, title):
    rows = [(name, "TKI", 0, 20, 6, 10, "one") for name in encoders]
    columns = ["encoder", "method", "seed", "zero-shot accuracy", "P@10", "vanilla", "task"]
    (ax,) = gains_against_knowledge(pd.DataFrame(rows, columns=columns)).axes
    assert ax.get_title("left").splitlines()[1] == title
