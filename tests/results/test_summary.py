"""The short summary, against records worked by hand."""

import pytest

from cdir_nb.results import Record, reproduced_records, to_frame
from cdir_nb.results.summary import WIDTH, summarise

AWAY, BACK = ("real", "sketch"), ("sketch", "real")


def number(method, direction, value, *, metric="P@10:hits_over_k", seed=0, **more) -> Record:
    fields = {
        "dataset": "world",
        "protocol": "world-unseen",
        "metric": metric,
        "encoder": "tiny-clip [1a2b]",
        "selection_rule": "nothing selected",
        "test_set": "queries and gallery of world-unseen",
        **more,
    }
    query, gallery = direction
    return Record(method=method, query_domain=query, gallery_domain=gallery, value=value, seed=seed, **fields)


VANILLA = [number("vanilla CLIP", AWAY, 0.40), number("vanilla CLIP", BACK, 0.60)]


def blocks(*records):
    return summarise(to_frame(records))


def lines(*records):
    (block,) = blocks(*records)
    return {line.method: line for line in block.lines}


def test_one_line_per_method_with_its_gain_over_vanilla_clip():
    found = lines(number("Q", AWAY, 0.50), number("Q", BACK, 0.56), *VANILLA)
    assert list(found) == ["vanilla CLIP", "Q"]
    vanilla, ours = found.values()
    assert vanilla.percent == pytest.approx(50) and vanilla.gain is None and vanilla.spread is None
    assert ours.percent == pytest.approx(53) and ours.gain == pytest.approx(3)
    assert ours.better_in == (1, 2) and ours.seeds == 1 and ours.directions == 2


def test_a_method_of_one_direction_is_compared_over_that_direction_alone():
    found = lines(*VANILLA, number("CLAIR", BACK, 0.58))
    assert found["CLAIR"].percent == pytest.approx(58)  # above vanilla's mean of 50, yet below it in this direction
    assert found["CLAIR"].gain == pytest.approx(-2) and found["CLAIR"].better_in == (0, 1)


def test_seeds_are_averaged_and_have_a_spread_where_each_has_all_directions():
    records = [number("Q", AWAY, value, seed=seed) for seed, value in enumerate([0.42, 0.44, 0.46])]
    assert lines(*VANILLA, *records)["Q"].spread == pytest.approx(2)
    found = lines(*VANILLA, *records, number("Q", BACK, 0.90))["Q"]
    assert found.percent == pytest.approx((44 + 90) / 2) and found.seeds == 3 and found.directions == 2
    assert found.spread is None  # the 90 stands at one seed only
    assert found.gain == pytest.approx((4 + 30) / 2) and found.better_in == (2, 2)


def test_equal_numbers_of_two_settings_are_one_line_and_different_ones_are_two():
    same = [number("Q", AWAY, 0.5, settings={"rate": rate, "steps": 1}) for rate in (0.1, 0.2)]
    assert list(lines(*VANILLA, *same)) == ["vanilla CLIP", "Q"]
    other = number("Q", AWAY, 0.6, settings={"rate": 0.3, "steps": 1})
    found = lines(*VANILLA, same[0], other)
    assert list(found) == ["vanilla CLIP", "Q: rate=0.1", "Q: rate=0.3"]
    assert found["Q: rate=0.1"].gain == pytest.approx(10) and found["Q: rate=0.3"].gain == pytest.approx(20)


def test_two_different_vanilla_clips_are_no_baseline():
    again = number("vanilla CLIP", AWAY, 0.1, settings={"x": 1})
    assert lines(*VANILLA, again, number("Q", AWAY, 0.5))["Q"].gain is None


@pytest.mark.parametrize(
    ("dataset", "protocol", "recorded", "headline"),
    [
        ("domainnet_cleaned", "domainnet-zs", [1, 50, 100], 50),  # CLAIR, Table 2; it lists 50, 100, 200
        ("domainnet_cleaned", "domainnet-zs", [1, 200, 100], 100),
        ("domainnet_cleaned", "domainnet-zs", [5, 1], 5),
        ("my_images", "", [5, 1, 50], 5),  # no card
        ("world", "no such protocol", [50, 1], 50),
    ],
)
def test_the_headline_is_the_first_precision_that_the_card_lists(dataset, protocol, recorded, headline):
    task = {"dataset": dataset, "protocol": protocol}
    records = [number("vanilla CLIP", AWAY, 0.5, metric=f"P@{k}:ucdir_micro", **task) for k in recorded]
    (block,) = blocks(*records)
    assert str(block.metric) == f"P@{headline}:ucdir_micro"


def test_the_headline_has_the_convention_of_the_card():
    measures = ["P@50:hits_over_k", "P@50:ucdir_micro", "P@200:ucdir_micro"]
    task = {"dataset": "domainnet_cleaned", "protocol": "domainnet-zs"}
    records = [number("vanilla CLIP", AWAY, 0.5, metric=name, **task) for name in measures]
    (block,) = blocks(*records)
    assert str(block.metric) == "P@50:ucdir_micro"


def test_methods_without_the_headline_are_named():
    (block,) = blocks(*VANILLA, number("TKI", AWAY, 0.7, metric="P@3:hits_over_k"))
    assert block.without == ("TKI",) and "without P@10: TKI" in str(block)


def test_tasks_encoders_and_test_sets_stay_apart():
    other = [{"encoder": "ViT-B-32 [c]"}, {"protocol": "world-all"}, {"test_set": "half of it"}, {"dataset": "pacs"}]
    found = blocks(*VANILLA, *(number("Q", AWAY, 0.9, **fields) for fields in other))
    assert [len(block.lines) for block in found] == [1] * 5
    assert [line.gain for block in found for line in block.lines] == [None] * 5


def test_only_precision_from_one_domain_to_another_counts():
    assert blocks() == []
    accuracy = number("vanilla CLIP", ("real", ""), 0.5, metric="accuracy:top-1")
    assert blocks(accuracy, number("vanilla CLIP", ("real", "real"), 0.5)) == []


def test_the_printed_block():
    runs = [{"value": 0.5, "seed": 0, "steps": 120}, {"value": 0.52, "seed": 1, "steps": 70}]
    trained = [number("CLAIR", AWAY, selection_rule="last epoch", **run) for run in runs]
    (block,) = blocks(*VANILLA, number("CLIP + Q", AWAY, 0.38), *trained)
    assert str(block).splitlines() == [
        "world, queries and gallery of world-unseen, tiny-clip [1a2b]",
        "P@10:hits_over_k in percent, mean over directions; last two columns: common directions",
        "  method, by selection rule  P@10          seeds  steps      vs vanilla  better in",
        "  nothing selected",
        "    vanilla CLIP             50.00         1                             (of 2)",
        "    CLIP + Q                 38.00         1                 -2.00       0 of 1",
        "  last epoch",
        "    CLAIR                    51.00 ± 1.41  2      70 to 120  +11.00      1 of 1",
    ]


@pytest.mark.medium
def test_a_printed_block_is_never_wider_than_a_terminal():
    names = ["a method of one's own with a name that is longer than any table has room for", "CLAIR", "TKI"]
    rules = ["validation by labels of seen classes", "last epoch", "validation by validation classes"]
    long = [number(name, AWAY, 0.5, seed=s, selection_rule=rule) for name, rule in zip(names, rules) for s in range(3)]
    texts = map(str, blocks(*VANILLA, *long, *reproduced_records()))
    assert max(len(line) for text in texts for line in text.splitlines()) <= WIDTH
