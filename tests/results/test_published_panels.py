"""Published beside ours: the paper's numbers as printed, ours in panels of their own with all that they came from."""

import pytest

from cdir_nb.results import Record, settings_digest, to_frame
from cdir_nb.results.panels import View, our_panels, printed_panel, views

MAPPING = View("clair", "3_left", "precision", 50)
NONE = "nothing selected"
Q = settings_digest({})


def record(method, query, gallery, percent, **changes):
    same = {
        "method": method, "dataset": "world", "protocol": "world-unseen", "metric": "P@10:hits_over_k", "seed": 0,
        "encoder": "tiny-clip [ab]", "selection_rule": NONE, "date": "2026-01-02",
    }  # fmt: skip
    return Record(**{**same, "query_domain": query, "gallery_domain": gallery, "value": percent / 100, **changes})


def run(**changes):
    """vanilla CLIP and CLIP + Q in three directions, one of which the table does not have."""
    pairs = ("clipart", "sketch"), ("sketch", "clipart"), ("real", "sketch")
    return [record(method, q, g, base + 10 * i, **changes) for method, base in (("vanilla CLIP", 20), ("CLIP + Q", 21))
            for i, (q, g) in enumerate(pairs)]  # fmt: skip


def panel(records, view=MAPPING):
    (found,) = our_panels(view, to_frame(records))
    return found


def test_every_table_of_every_paper_has_a_view():
    names = [str(view) for view in views()]
    assert len(names) == len(set(names)) >= 30
    assert "CLAIR, Table 3 left: P@50" in names and "TKI, Table 7: P@1" in names


def test_a_printed_table_by_direction():
    percent = printed_panel(MAPPING).percent
    assert list(percent.index) == ["vanilla CLIP", "CLIP + Q"] and len(percent.columns) == 13
    assert percent.loc["CLIP + Q", "real → infograph"] == pytest.approx(55.81)
    assert percent.loc["CLIP + Q", "mean"] == pytest.approx(48.93, abs=0.01)
    assert printed_panel(MAPPING).gains.loc["CLIP + Q", "clipart → sketch"] == pytest.approx(70.36 - 67.07)


def test_averages_alone_are_one_column():
    found = printed_panel(View("clair", "3_right", "precision", 50))
    assert list(found.percent.columns) == ["mean"] and found.reference == "CLAIR"
    assert found.gains.loc["CLAIR w/o L_ID", "mean"] == pytest.approx(50.11 - 57.52)


def test_many_directions_are_averaged_over_galleries_as_the_paper_does():
    percent = printed_panel(View("tki", "2", "average_precision", 200)).percent
    assert percent.loc["TKI", "from real"] == pytest.approx(21.31, abs=0.006)
    assert percent.loc["vanilla CLIP", "from infograph"] == pytest.approx(10.22, abs=0.006)
    assert percent.loc["TKI", "mean"] == pytest.approx((21.31 + 16.75 + 1.97 + 13.15 + 18.55 + 18.33) / 6, abs=0.01)


def test_a_printed_average_stands_where_a_cell_is_lost():
    percent = printed_panel(View("ucdir", "2", "precision", 50)).percent
    assert percent.loc["PCS"].isna().any() and percent["mean"].notna().all()


def test_ours_has_the_columns_of_the_table_and_says_where_it_came_from():
    found = panel(run() + run(seed=1, date="2026-01-03"))
    assert list(found.percent.columns) == ["clipart → sketch", "sketch → clipart", "real → sketch", "mean"]
    assert found.percent.loc["CLIP + Q"].tolist() == pytest.approx([21, 31, 41, 31])
    assert found.source.startswith("ours, NOT the paper's images: world-unseen, tiny-clip, P@10:hits_over_k")
    assert found.source.endswith("3 directions, seeds 0, 1, 2026-01-02, 2026-01-03") and not found.comparable


def test_only_the_table_s_directions_where_ours_has_all_of_them():
    directions = [place.split(" → ") for place in printed_panel(MAPPING).percent.columns[:-1]]
    more = [["real", "sketch"], ["sketch", "real"]]
    found = panel([record(m, q, g, 20) for m in ("vanilla CLIP", "CLIP + Q") for q, g in [*more, *directions]])
    assert list(found.percent.columns) == list(printed_panel(MAPPING).percent.columns)
    assert "12 of 14 directions" in found.source


def test_another_method_or_measure_is_no_panel():
    assert our_panels(MAPPING, to_frame([record("TKI", "real", "sketch", 1)])) == []
    assert our_panels(MAPPING, to_frame(run(metric="mAP@10:over_found"))) == []
    assert our_panels(MAPPING, to_frame(run(pipeline_test="random weights"))) == []
    assert our_panels(MAPPING, to_frame(run()[:3])) == []  # vanilla CLIP alone has nothing beside it


def test_one_panel_for_each_dataset_task_and_encoder_and_never_a_mean_over_them():
    found = our_panels(MAPPING, to_frame(run() + run(encoder="other") + run(dataset="pacs", protocol="pacs-all")))
    assert [p.percent.loc["CLIP + Q", "mean"] for p in found] == pytest.approx([31, 31, 31])
    assert len({p.source for p in found}) == 3
    assert our_panels(MAPPING, to_frame(run()), "this run")[0].source.endswith("2026-01-02, this run")


@pytest.mark.parametrize(
    ("changes", "comparable"),
    [
        ({}, True),
        ({"encoder": "ViT-B-32-quickgelu:openai"}, True),
        ({"encoder": "ViT-B-32-256:datacomp"}, False),
        ({"encoder": "tiny-clip"}, False),
        ({"protocol": "domainnet-ucdir7"}, False),
        ({"dataset": "world"}, False),
        ({"metric": "P@50:hits_over_k"}, False),
        ({"metric": "P@10:ucdir_micro"}, False),
    ],
)
def test_a_difference_needs_the_paper_s_images_task_encoder_and_measure(changes, comparable):
    same = {"dataset": "domainnet_cleaned", "protocol": "domainnet-zs", "encoder": "ViT-B-32:openai quickgelu [12]"}
    assert panel(run(**{**same, "metric": "P@50:ucdir_micro", **changes})).comparable is comparable


def test_a_panel_in_another_measure_says_so():
    assert "P@10:hits_over_k, another convention and cut-off than the table's," in panel(run()).source
    assert "another cut-off than" in panel(run(metric="P@10:ucdir_micro")).source
    assert "another" not in panel(run(metric="P@50:ucdir_micro")).source


def test_the_table_s_convention_and_cut_off_go_first():
    both = run(metric="P@50:ucdir_micro", dataset="domainnet_cleaned", protocol="domainnet-zs")
    other = run(metric="P@50:hits_over_k", dataset="domainnet_cleaned", protocol="domainnet-zs")
    assert "P@50:ucdir_micro" in panel(other + both).source
    at_50 = run(metric="P@50:hits_over_k")
    assert "P@10:hits_over_k" in panel(at_50 + run()).source  # the world's card lists 10
    assert "P@50:hits_over_k" in panel(at_50 + run()[:3]).source  # measured at by both methods


def test_settings_of_one_method_are_rows_of_their_own():
    again = [record("CLIP + Q", r.query_domain, r.gallery_domain, 50, settings={"n": 9}) for r in run()[:3]]
    found = panel(run()[:3] + run(settings={"n": 1})[3:] + again).percent
    assert found["mean"].to_dict() == pytest.approx({"vanilla CLIP": 30, "CLIP + Q (n=1)": 31, "CLIP + Q (n=9)": 50})


def test_vanilla_clip_of_another_notebook_counts_once():
    again = [r.model_copy(update={"settings_digest": "z"}) for r in run()[:1]]
    assert panel(run() + again).percent.loc["vanilla CLIP", "mean"] == pytest.approx(30)


def test_a_mean_over_fewer_directions_is_left_out():
    found = panel(run() + run(settings={"n": 1})[3:5]).percent
    assert found["mean"].dropna().to_dict() == pytest.approx({"vanilla CLIP": 30, f"CLIP + Q (settings {Q})": 31})
    assert found.loc["CLIP + Q (n=1)"].dropna().tolist() == pytest.approx([21, 31])


def test_panels_of_different_images_are_apart():
    other = [r.model_copy(update={"query_fingerprint": "bb", "seed": 1}) for r in run()]
    found = our_panels(MAPPING, to_frame(run(query_fingerprint="aa") + other))
    assert ["seeds 0" in p.source for p in found] == [True, False] and len(found) == 2


def test_a_false_baseline_is_in_no_panel():
    assert our_panels(MAPPING, to_frame(run(settings={"n": 1}))) == []


def test_a_table_without_a_backbone_says_nothing_of_encoders():
    at_k = {"dataset": "domainnet_cleaned", "protocol": "domainnet-ucdir7", "metric": "P@50:hits_over_k"}
    found = panel(run(**at_k) + [record("UCDIR", "real", "sketch", 50, **at_k)], View("ucdir", "2", "precision", 50))
    assert found.source.startswith("ours, the paper's images and task: domainnet-ucdir7") and not found.comparable
