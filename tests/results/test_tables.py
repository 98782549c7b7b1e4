"""Tables: numbers that differ in anything but the domain or the seed are never averaged."""

import pytest

from cdir_nb.errors import CdirError
from cdir_nb.results import Record, by_direction, direction_tables, headline, to_frame
from cdir_nb.results.aggregate import means

BASE = {
    "method": "zero-shot",
    "dataset": "world",
    "metric": "P@10:hits_over_k",
    "seed": 0,
    "encoder": "tiny-clip",
    "selection_rule": "nothing selected",
}


def record(query="real", gallery="sketch", value=0.5, **changes):
    return Record(**{**BASE, **changes, "query_domain": query, "gallery_domain": gallery, "value": value})


def rows(*records, column="percent"):
    return headline(to_frame(records))[0][column].tolist()


def test_directions_are_averaged():
    records = record(value=0.2), record("sketch", "real", value=0.4)
    assert rows(*records) == ["30.00"]
    assert rows(*records, column="over what") == ["2 directions"]


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": "P@10:ucdir_micro"},
        {"metric": "P@5:hits_over_k"},
        {"metric": "mAP@10:over_found"},
        {"data_at_test_time": {"gallery"}},
        {"selection_rule": "best on test"},
        {"encoder": "other"},
        {"encoder": "ViT-B-32:random"},
        {"pipeline_test": "stand-in data"},
        {"protocol": "unseen"},
        {"train_set": "x"},
        {"test_set": "y"},
        {"settings": {"x": 1}},
        {"dataset": "pacs"},
        {"method": "m"},
    ],
)
def test_what_differs_is_kept_apart(changes):
    assert rows(record(value=0.2), record("sketch", "real", value=0.4, **changes)) == ["20.00", "40.00"]


def test_across_within_and_single_domains_are_kept_apart():
    records = record(value=0.2), record("real", "real", value=0.9), record("real", "", value=0.7)
    assert rows(*records, column="over what") == ["1 direction", "1 domain, searched in itself", "1 domain"]


def test_seeds_give_a_spread_of_their_means():
    records = [
        record(q, g, v, seed=s)
        for s, vs in enumerate([(0.2, 0.4), (0.4, 0.6)])
        for (q, g), v in zip([("real", "sketch"), ("sketch", "real")], vs, strict=True)
    ]
    table, common = headline(to_frame(records))
    assert table["percent"].tolist() == ["40.00 ± 14.14"]
    assert common["seeds"] == "0, 1"


def test_what_all_rows_share_is_said_once():
    table, common = headline(to_frame([record(), record(metric="P@10:ucdir_micro")]))
    assert list(table.columns) == ["method", "metric", "over what", "percent"]
    assert common["dataset"] == "world" and common["selection rule"] == "nothing selected" and common["seeds"] == "0"
    assert common["settings"] == record().settings_digest


def test_unknown_settings_are_shown_as_such():
    unknown = record(settings=None, settings_digest="0123456789")
    assert headline(to_frame([unknown]))[1]["settings"] == "settings unknown (0123456789)"
    assert headline(to_frame([unknown, record()]))[0]["settings"].tolist()[1] == record().settings_digest


def test_random_weights_are_marked_in_the_table():
    mixed = headline(to_frame([record(), record(encoder="ViT-B-32:random")]))[0]
    assert mixed["PIPELINE TEST, NOT A RESULT"].tolist() == ["", "random weights"]
    assert headline(to_frame([record(encoder="ViT-B-32:random")]))[1]["PIPELINE TEST, NOT A RESULT"] == "random weights"


def test_direction_tables_have_queries_in_rows():
    frame = to_frame(
        [record(value=0.2), record("sketch", "real", value=0.4), record("real", "", 0.7, metric="accuracy:top-1")]
    )
    (name, context, square), (_, _, single) = direction_tables(frame)
    assert name == "zero-shot: P@10:hits_over_k" and context["seed"] == "0"
    drawn = "real (drawn)"  # the world's domain `real`
    assert square.loc[drawn, "sketch"] == 20 and square.loc["sketch", drawn] == 40
    assert list(square.columns) == list(square.index) == [drawn, "sketch"]
    assert single.loc[drawn, "value"] == 70


def test_no_records_no_rows():
    assert rows() == [] and list(direction_tables(to_frame([]))) == []


# ---- helpers that average --------------------------------------------------------------------------------------

PRINTS = {"query_fingerprint": "aa", "gallery_fingerprint": "bb", "train_pool_fingerprint": "cc"}


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("settings_digest", {"settings": {"x": 1}}),
        ("selection_rule", {"selection_rule": "best on test"}),
        ("protocol", {"protocol": "unseen"}),
        ("dataset", {"dataset": "pacs"}),
        ("encoder", {"encoder": "other"}),
        ("train_set", {"train_set": "x"}),
        ("test_set", {"test_set": "y"}),
        ("data_at_test_time", {"data_at_test_time": {"gallery"}}),
        ("seen_in_pretraining", {"seen_in_pretraining": 3}),
        ("query_fingerprint", {"query_fingerprint": "zz"}),
        ("gallery_fingerprint", {"gallery_fingerprint": "zz"}),
        ("train_pool_fingerprint", {"train_pool_fingerprint": "zz"}),
        ("one seed", {"seed": 0}),
    ],
)
def test_means_over_numbers_that_differ_in_more_than_the_seed_are_refused(column, change):
    records = [record(value=0.2, **PRINTS), record(value=0.4, **{"seed": 1, **PRINTS, **change})]
    with pytest.raises(CdirError, match=column) as caught:
        by_direction(records, "P@10:hits_over_k")
    assert "\n" not in str(caught.value)
    with pytest.raises(CdirError, match=column):
        means(to_frame(records), by="method")


def test_seeds_and_unknown_images_are_averaged():
    seeds = [record(value=0.2 + 0.1 * seed, seed=seed, **prints) for seed, prints in enumerate([PRINTS, {}, PRINTS])]
    other = [record("sketch", "real", value=0.7, train_set="other images of another direction")]
    table = by_direction([*seeds, *other], "P@10:hits_over_k")["zero-shot"]
    assert table.to_dict() == pytest.approx({("real", "sketch"): 30, ("sketch", "real"): 70})


def test_a_mean_over_fewer_directions_says_of_how_many():
    records = [record(value=0.2), record("sketch", "real", value=0.4), record(value=0.9, method="m")]
    assert rows(*records, column="over what") == ["2 directions", "1 of 2 directions"]


def test_two_values_of_one_setting_are_in_no_table():
    with pytest.raises(CdirError, match="real -> sketch"):
        list(direction_tables(to_frame([record(value=0.2), record(value=0.4)])))
