"""Claims: verdicts come from numbers alone, and only from numbers that may be compared."""

import numpy as np
import pytest
from one_claim import CLAIM

from cdir_nb.errors import CdirError
from cdir_nb.results import Claim, Record, compare, load_claims, published_verdicts, verdicts
from cdir_nb.results.claims.verdicts import NO_INTERVAL, claimed_directions
from cdir_nb.results.queries import QueryValues

LAST, NONE = "last epoch", "nothing selected"
HELD = "holds, no interval"  # these records have no values of single queries


def claim(**changes):
    return Claim(**{**CLAIM, **changes})


def records(method, values, rule=LAST, **changes):
    """`values`: {seed: [percent of real -> sketch, sketch -> real, clipart -> real]}, as many as given."""
    places = [("real", "sketch"), ("sketch", "real"), ("clipart", "real")]
    same = {
        "method": method, "dataset": "world", "protocol": "p", "metric": "P@10:hits_over_k",
        "encoder": "tiny", "selection_rule": rule,
    }  # fmt: skip
    return [
        Record(**{**same, "query_domain": q, "gallery_domain": g, "seed": seed, "value": percent / 100, **changes})
        for seed, row in values.items()
        for (q, g), percent in zip(places, row)
    ]


def decide(found, **changes):
    """The rows of one claim."""
    return verdicts(found, [claim(**changes)])


def only(found, **changes):
    table = decide(found, **changes)
    assert len(table) == 1
    return table.iloc[0]


B = records("B", {0: [20, 40]}, NONE)


@pytest.mark.parametrize(
    ("values", "verdict", "differences"),
    [
        ({0: [25, 45], 1: [19, 43]}, HELD, (5, 1)),
        ({0: [25, 45], 1: [18, 41]}, "mixed", (5, -0.5)),
        ({0: [15, 45], 1: [18, 41]}, "does not hold", (0, -0.5)),
    ],
)
def test_a_verdict_is_over_seeds_and_differences_are_means_over_directions(values, verdict, differences):
    row = only(records("A", values) + B)
    assert row["verdict"] == verdict and row["seeds"] == (0, 1) and row["directions"] == 2
    assert row["differences"] == pytest.approx(differences)
    assert row["difference"] == pytest.approx(sum(differences) / 2)
    assert row["selection_rule"] == LAST


def test_seeds_with_fewer_directions_than_others_are_left_out():
    row = only(records("A", {0: [25, 30], 1: [25], 2: [21, 43]}) + B)
    assert row["seeds"] == (0, 2) and row["directions"] == 2
    assert row["differences"] == pytest.approx((-2.5, 2)) and row["verdict"] == "mixed"
    elsewhere = [record for record in records("A", {1: [25, 50, 50]}) if record.query_domain != "real"]
    row = only(records("A", {0: [25, 30]}) + elsewhere + records("B", {0: [20, 40, 40]}, NONE))
    assert row["seeds"] == (0,) and row["directions"] == 2  # seed 1 has two directions as well, but others


def test_a_mean_may_hold_where_not_each_direction_does():
    found = records("A", {0: [19, 50], 1: [21, 50]}) + B
    assert only(found)["verdict"] == HELD
    row = only(found, over="each direction")
    assert row["verdict"] == "mixed" and row["above"] == (1, 2)


def test_the_other_way_round_everything_is_the_opposite():
    found = records("A", {0: [19, 50], 1: [21, 44]}) + B
    one, other = only(found), only(found, better="B", worse="A")
    assert other["differences"] == pytest.approx([-x for x in one["differences"]])
    assert (one["verdict"], other["verdict"]) == (HELD, "does not hold")
    assert [a + b for a, b in zip(one["above"], other["above"])] == [2, 2]


def test_only_directions_and_seeds_that_both_have_are_compared():
    row = only(records("A", {0: [25, 45, 99], 1: [25, 45], 2: [1, 1]}) + records("B", {1: [20, 40], 0: [24, 44]}))
    assert row["seeds"] == (0, 1) and row["differences"] == pytest.approx((1, 5)) and row["directions"] == 2


def test_one_seed_of_a_trained_method_stands_for_no_other_seed():
    assert only(records("A", {0: [25, 45], 1: [26, 46]}) + records("B", {1: [20, 40]}))["seeds"] == (1,)
    assert only(records("A", {0: [25, 45]}) + records("B", {1: [20, 40]}))["verdict"] == "not run"


def test_a_method_without_training_stands_beside_every_seed_under_whichever_seed_it_was_kept():
    found = records("A", {1: [25, 45], 2: [26, 46]})
    for baseline in (B, records("B", {0: [20, 40], 1: [20, 40]}, NONE)):
        assert only(found + baseline)["differences"] == pytest.approx((5, 6))
    row = only(records("A", {3: [25, 45]}, NONE) + B)
    assert row["seeds"] == () and row["differences"] == pytest.approx((5,)) and row["selection_rule"] == NONE


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": "mAP@10:over_found"},
        {"metric": "P@10:ucdir_micro"},
        {"metric": "P@20:hits_over_k"},
        {"encoder": "other"},
        {"protocol": "q"},
        {"dataset": "pacs"},
        {"pipeline_test": "random weights"},
        {"seen_in_pretraining": 3},
        {"gallery_domain": "clipart"},
    ],
)
def test_what_may_not_be_compared_is_not(changes):
    table = decide(records("A", {0: [25, 45]}, **changes) + B)
    assert set(table["verdict"]) == {"not run"}


def test_pipeline_tests_never_count():
    random = {"encoder": "ViT-B-32:random"}
    table = decide(records("A", {0: [25, 45]}, **random) + records("B", {0: [20, 40]}, **random))
    assert table["verdict"].tolist() == ["not run"] and table["encoder"].tolist() == [""]


def test_a_domain_searched_in_itself_does_not_count():
    within = {"query_domain": "real", "gallery_domain": "real"}
    found = records("A", {0: [1]}, **within) + records("B", {0: [99]}, **within)
    assert only(records("A", {0: [25, 45]}) + B + found)["directions"] == 2


def test_the_first_cut_off_that_both_have_counts():
    at_50 = {"metric": "P@50:hits_over_k"}
    found = records("A", {0: [25, 45]}) + B + records("A", {0: [1, 1]}, **at_50)
    assert only(found)["measure"] == "P@10:hits_over_k"
    row = only(found + records("B", {0: [2, 2]}, **at_50))
    assert row["measure"] == "P@50:hits_over_k" and row["verdict"] == "does not hold"


def test_cut_offs_of_the_protocol_go_before_others():
    found = [
        r
        for k, gain in ((50, -5), (10, 5))
        for p in ("world-unseen", "domainnet-zs")
        for m, value in (("A", 20 + gain), ("B", 20))
        for r in records(m, {0: [value]}, metric=f"P@{k}:hits_over_k", protocol=p)
    ]
    table = decide(found).set_index("protocol")
    assert table["measure"].to_dict() == {"world-unseen": "P@10:hits_over_k", "domainnet-zs": "P@50:hits_over_k"}
    assert table["verdict"].to_dict() == {"world-unseen": HELD, "domainnet-zs": "does not hold"}


def test_the_convention_of_the_protocol_goes_before_others_and_two_are_never_compared():
    both = ["P@50:hits_over_k", "P@50:ucdir_micro"]
    found = [
        r
        for metric, gain in zip(both, (-5, 5))
        for p in ("world-unseen", "domainnet-zs", "nobody's")
        for m, value in (("A", 20 + gain), ("B", 20))
        for r in records(m, {0: [value]}, protocol=p, metric=metric)
    ]
    table = decide(found, metric=both).set_index("protocol")
    assert table["verdict"].to_dict() == {
        "world-unseen": "does not hold", "domainnet-zs": HELD, "nobody's": "does not hold"
    }  # fmt: skip
    assert table.loc["domainnet-zs", "measure"] == both[1]
    a, b = ([r for r in found if (r.method, r.metric) == which] for which in (("A", both[0]), ("B", both[1])))
    assert set(decide(a + b, metric=both)["verdict"]) == {"not run"}
    only_micro = [r for r in found if r.convention == "ucdir_micro"]
    assert set(decide(only_micro, metric=both)["verdict"]) == {HELD}


def test_contexts_have_rows_of_their_own():
    more = records("A", {0: [1, 1]}, dataset="pacs") + records("B", {0: [2, 2]}, NONE, dataset="pacs")
    table = decide(records("A", {0: [25, 45]}) + B + more).set_index("dataset")
    assert table["verdict"].to_dict() == {"world": HELD, "pacs": "does not hold"}


def test_selection_rules_are_never_mixed():
    best = records("A", {0: [60, 60]}, "best on test")
    table = decide(records("A", {0: [25, 45]}) + best + B).set_index("selection_rule")
    assert table["difference"].to_dict() == pytest.approx({LAST: 5, "best on test": 30})
    assert decide(best + records("B", {0: [20, 40]}))["verdict"].tolist() == ["not run"]


def test_settings_of_one_method_are_kept_apart_and_equal_ones_count_once():
    one, other = records("A", {0: [25, 45]}, settings={"x": 1}), records("A", {0: [10, 30]}, settings={"x": 2})
    table = decide(one + other + B)
    found = {row.settings.split(", ")[0]: row.difference for row in table.itertuples()}
    assert found == pytest.approx({one[0].settings_digest: 5, other[0].settings_digest: -10})


def test_an_untrained_method_has_no_seed_and_all_directions_that_were_run():
    a = records("A", {0: [25, 45, 50]})
    row = only(a + B + records("B", {7: [20, 40, 10]}, NONE))
    assert row["directions"] == 3 and row["difference"] == pytest.approx((5 + 5 + 40) / 3)
    assert len(decide(a + B + records("B", {7: [20, 41]}, NONE, settings={"x": 1}))) == 2, "another setting"


WORLD = {"protocol": "world-unseen"}
DOMAINNET = [("clipart", "sketch"), ("infograph", "real"), ("infograph", "sketch"), ("painting", "clipart"),
             ("painting", "quickdraw"), ("quickdraw", "real")]  # fmt: skip


def in_directions(method, directions, value, rule=LAST):
    first = records(method, {0: [value]}, rule, **WORLD)[0]
    return [Record(**{**first.model_dump(), "query_domain": q, "gallery_domain": g}) for q, g in directions]


def test_each_direction_is_decided_on_all_that_the_paper_prints_and_never_on_a_part():
    printed = [*DOMAINNET, *(pair[::-1] for pair in DOMAINNET)]  # CLAIR, Table 2
    each = {"paper": "clair", "tables": ["2"], "over": "each direction"}
    assert claimed_directions(claim(**each), "world-unseen") == set(printed)
    part = [in_directions(m, printed[:2], v, r) for m, v, r in (("A", 30, LAST), ("B", 20, NONE))]
    row = only(sum(part, []), **each)
    assert row["verdict"] == "directions missing" and row["directions"] == 2 and row["claimed"] == 12
    whole = [in_directions(m, printed, v, r) for m, v, r in (("A", 30, LAST), ("B", 20, NONE))]
    assert only(sum(whole, []), **each)["verdict"] == "holds"
    assert only(sum(part, []), **{**each, "over": "mean"})["verdict"] == HELD


def test_claimed_directions_are_the_protocols_own_where_the_paper_prints_none_of_them():
    each = claim(paper="clair", tables=["2"], over="each direction", query="photo")
    assert claimed_directions(each, "sketchy_mini-21") == {("photo", "sketch")}
    assert claimed_directions(each, "nobody's") == set()


def test_values_that_nothing_tells_apart_are_refused():
    with pytest.raises(CdirError, match="A, seed 0: several values for real -> sketch: add what"):
        decide(records("A", {0: [25]}, test_set="x") + records("A", {0: [26]}, test_set="y") + B)


def test_training_sets_with_directions_of_their_own_are_one_setting_and_with_the_same_ones_several():
    pairings = [*records("A", {0: [25, 45]}, train_set="real and sketch"),
                *records("A", {0: [0, 0, 50]}, train_set="clipart and real")[2:]]  # fmt: skip
    base = records("B", {0: [20, 40, 45]}, NONE)
    assert only(pairings + base)["directions"] == 3
    again = records("A", {0: [10, 30]}, train_set="another pairing")
    assert sorted(decide(pairings + again + base)["difference"]) == pytest.approx([-10, 5, 5])


def test_a_chain_needs_every_step_and_names_the_tightest():
    found = [*records("A", {0: [10]}), *records("B", {0: [20]}), *records("C", {0: [21]}), *records("D", {0: [40]})]
    chained = {"better": (), "worse": (), "chain": ("A", "B", "C", "D")}
    row = only(found, **chained)
    assert row["verdict"] == HELD and row["differences"] == pytest.approx((1,))
    assert row["tightest"] == "C above B" and row["better"] == "B, C, D" and row["worse"] == "A, B, C"
    assert only(found, **{**chained, "chain": ("A", "B", "D", "C")})["verdict"] == "does not hold"
    assert only(found[:-1], **chained)["verdict"] == "not run"


def test_several_are_compared_each_with_each():
    found = [*records("A", {0: [30]}), *records("B", {0: [20]}), *records("C", {0: [25]}), *records("D", {0: [31]})]
    assert only(found, better=("A", "D"), worse=("B", "C"))["tightest"] == "A above C"
    assert only(found, better=("A", "C"), worse=("B", "D"))["verdict"] == "does not hold"


def test_a_tolerance_is_for_the_mean_and_counts_directions_within_it():
    found = records("A", {0: [18, 40], 1: [16, 39]}) + B
    row = only(found, tolerance=1)
    assert row["verdict"] == "mixed" and row["differences"] == pytest.approx((-1, -2.5)) and row["above"] == (1, 1)


def test_queries_of_one_domain():
    row = only(records("A", {0: [10, 45]}) + B, query="sketch")
    assert row["directions"] == 1 and row["difference"] == pytest.approx(5)


def test_numbers_of_single_domains_are_compared_too():
    single = {"metric": "accuracy:top-1", "gallery_domain": ""}
    found = records("A", {0: [10, 45]}, **single) + records("B", {0: [9, 40]}, **single)
    assert only(found, metric="accuracy:top-1")["difference"] == pytest.approx(3)


def test_no_records_and_every_claim_is_not_run():
    table = verdicts([])
    assert len(table) == len(load_claims()) and set(table["verdict"]) == {"not run"}


def printed(name):
    """The published verdict of one claim of claims.yaml on DomainNet."""
    table = published_verdicts([c for c in load_claims() if c.id == name])
    return table[table["dataset"].isin(["domainnet_cleaned", ""])].iloc[0]


@pytest.mark.parametrize(
    ("name", "points"),  # CLAIR's text says 6.49, 15.89, 0.43 and 2.96; the others are differences of its Table 3
    [
        ("clair-mapping-helps", 6.49),
        ("clair-above-clip", 15.89),
        ("clair-mismatch-costs-little", -0.43),
        ("clair-training-names-not-needed", -2.96),
        ("clair-prompts-help", 57.52 - 53.40),
        ("clair-l-id-and-freezing-matter-most", 51.62 - 50.64),
        ("clair-no-part-is-fatal", 50.11 - 42.44),
        ("clair-above-clip-quickdraw", (26.24 - 9.50 + 26.32 - 8.41) / 2),
    ],
)
def test_a_paper_s_own_numbers_bear_out_its_claims(name, points):
    row = printed(name)
    assert row["verdict"] == "holds" and row["difference"] == pytest.approx(points, abs=0.006)


def test_averages_alone_decide_no_claim_on_each_direction():
    ablation = {**CLAIM, "paper": "clair", "better": "CLAIR", "worse": "CLAIR w/o prompts", "tables": ["3_right"]}
    table = published_verdicts([Claim(**ablation), Claim(**{**ablation, "over": "each direction"})])
    assert table["verdict"].tolist() == ["holds", "not printed"] and table["directions"].tolist()[0] == 0


def test_claims_without_printed_numbers_say_so():
    assert printed("clair-refinement-mends-labels")["verdict"] == "not printed"


def test_a_paper_that_compares_across_backbones_is_taken_at_its_word():
    rows = published_verdicts([c for c in load_claims() if c.id == "snmpnet-above-vgg"])
    assert rows["backbone"].tolist() == ["VGG-16, SE-ResNet50"]
    assert rows["difference"].tolist() == pytest.approx([20.38])  # 0.5781 - 0.3743


def test_table_1_of_snmpnet_on_one_backbone():
    rows = published_verdicts([c for c in load_claims() if c.where.startswith("Table 1") and c.paper == "snmpnet"])
    found = rows.set_index("id")["difference"].round(2).to_dict()
    assert set(rows["verdict"]) == {"holds"}
    assert found["snmpnet-above-variants"] == 2.97 and found["snmpnet-below-sake"] == 4.65
    assert found["snmpnet-sake-needs-the-domain"] == 7.62 and found["snmpnet-doodle-needs-the-domain"] == 0.42


def test_a_paper_with_several_backbones_has_a_row_for_each():
    rows = published_verdicts([c for c in load_claims() if c.id == "tki-above-clip"])
    assert set(rows["backbone"]) == {"ViT-B/32", "ResNet-50", "ViT-L/14"}


# ---- claims within one method


P = {k: {"metric": f"P@{k}:hits_over_k"} for k in (1, 5, 10, 200)}
FALLS = {"better": [], "worse": [], "falling": "A", "over": "each direction",
         "metric": [P[k]["metric"] for k in (1, 5, 10)]}  # fmt: skip


@pytest.mark.parametrize(("at_5", "verdict", "above"), [([30, 30], "holds", (2,)), ([30, 41], "does not hold", (1,))])
def test_a_method_whose_precision_falls_with_the_cut_off(at_5, verdict, above):
    values = {1: [40, 40], 5: at_5, 10: [10, 20]}
    found = [record for k, row in values.items() for record in records("A", {0: row}, **P[k])]
    row = only(found + records("B", {0: [99, 99]}, **P[5]), **FALLS)
    assert (row["verdict"], row["above"]) == (verdict, above)
    assert row["tightest"] == "A at 1 above A at 5"


def test_a_method_measured_at_one_cut_off_decides_nothing_about_falling():
    found = records("A", {0: [40, 40]}, **P[5]) + records("A", {0: [4, 4]}, **P[200])
    assert only(found, **FALLS)["verdict"] == "not run"


def test_ucdirs_own_precision_falls_in_print():
    table = published_verdicts([claim for claim in load_claims() if claim.id == "ucdir-precision-falls"])
    assert table["verdict"].tolist() == ["holds"] and table["directions"].iloc[0] >= 9


# ---- intervals over classes ------------------------------------------------------------------------------------


def with_queries(method, by_class, seed=0, rule=LAST):
    """One record: `by_class` has the hits among ten of every query of each class."""
    hits = np.concatenate([np.array(part, float) for part in by_class])
    labels = np.repeat([f"class {i}" for i in range(len(by_class))], [len(part) for part in by_class])
    (found,) = records(method, {seed: [10 * hits.mean()]}, rule)
    return found.with_queries(QueryValues(hits, np.full(len(hits), 10.0), labels))


FLAT = with_queries("B", [[2, 2]] * 6, rule=NONE)
EVERYWHERE, ONE_CLASS = [[3, 4]] * 6, [[9, 9], *[[2, 2]] * 5]


@pytest.mark.parametrize(
    ("better", "changes", "verdict"),
    [
        ([with_queries("A", EVERYWHERE)], {}, "holds"),
        ([with_queries("A", EVERYWHERE, seed) for seed in (0, 1)], {}, "holds"),
        ([with_queries("A", ONE_CLASS)], {}, "cannot be told from zero"),
        ([with_queries("A", ONE_CLASS)], {"tolerance": 1}, "holds"),
        ([with_queries("A", [[1, 1]] * 6)], {}, "does not hold"),
        ([with_queries("A", [[1, 1]] * 6)], {"tolerance": 5}, "does not hold"),
        ([with_queries("A", [[9, 9]] * 6), with_queries("A", [[1, 1]] * 6, 1)], {}, "mixed"),
        ([with_queries("A", EVERYWHERE, rule=NONE)], {}, "holds"),
    ],
)
def test_a_mean_holds_if_all_seeds_agree_and_the_interval_over_classes_excludes_zero(better, changes, verdict):
    row = only([*better, FLAT], **changes)
    assert row["verdict"] == verdict
    low, high = compare(better, [FLAT]).by_classes
    assert (row["low"], row["high"]) == pytest.approx((low, high)) and low <= row["difference"] <= high


def test_the_interval_of_the_tightest_pair_is_shown_and_every_pair_counts():
    found = [with_queries("A", EVERYWHERE), FLAT, with_queries("C", [[3, 3]] * 6)]
    row = only(found, worse=("B", "C"))
    assert row["verdict"] == "holds" and row["low"] == pytest.approx(5)
    assert (
        only([found[0], FLAT, with_queries("C", ONE_CLASS)], worse=("B", "C"))["verdict"] == "cannot be told from zero"
    )


def test_a_claim_about_each_direction_has_no_interval():
    row = only([with_queries("A", ONE_CLASS), FLAT], over="each direction")
    assert row["verdict"] == "holds" and np.isnan(row["low"])


# ---- images and cut-offs ---------------------------------------------------------------------------------------


def test_numbers_on_different_images_are_not_compared():
    for name in ("query_fingerprint", "gallery_fingerprint"):
        found = records("A", {0: [25, 45]}, **{name: "aa"}) + records("B", {0: [20, 40]}, NONE, **{name: "bb"})
        assert set(decide(found)["verdict"]) == {"not run"}
    assert only(records("A", {0: [25, 45]}, query_fingerprint="aa") + B)["verdict"] == NO_INTERVAL  # B's are unknown


def test_seeds_on_different_images_are_decided_apart():
    found = [
        record
        for seed in (0, 1)
        for method, values, rule in (("A", [25, 45 - 30 * seed], LAST), ("B", [20 + seed, 40], NONE))
        for record in records(method, {seed: values}, rule, query_fingerprint=f"a{seed}")
    ]
    table = decide(found)
    assert table["image_set"].tolist() == ["1", "2"] and table["verdict"].tolist() == [NO_INTERVAL, "does not hold"]


def test_a_false_baseline_decides_nothing():
    baseline = records("vanilla CLIP", {0: [20, 40]}, NONE)
    false = records("vanilla CLIP", {0: [60, 80]}, NONE, settings={"rerank": True})
    row = only(records("A", {0: [25, 45]}) + false + baseline, worse="vanilla CLIP")
    assert row["verdict"] == NO_INTERVAL and row["differences"] == pytest.approx((5,))
    assert set(decide(records("A", {0: [25, 45]}) + false, worse="vanilla CLIP")["verdict"]) == {"not run"}


def test_a_cut_off_that_no_gallery_exceeds_decides_nothing():
    found = records("A", {0: [25, 45]}, gallery_images=10) + records("B", {0: [20, 40]}, NONE, gallery_images=10)
    assert set(decide(found)["verdict"]) == {"not run"}  # P@10 in a gallery of 10
    larger = [record.model_copy(update={"gallery_images": 11}) for record in found]
    assert only(larger)["verdict"] == NO_INTERVAL
