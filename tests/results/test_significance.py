"""Paired differences: against a loop over draws, scipy's paired bootstrap and a case worked by hand."""

import numpy as np
import pytest
import scipy.stats
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.conventions import BY_PSEUDO_LABELS, LAST_EPOCH, NOTHING_SELECTED
from cdir_nb.errors import CdirError
from cdir_nb.results import Record, compare, load_records, save_records
from cdir_nb.results.queries import QueryValues
from cdir_nb.results.significance import bootstrap
from cdir_nb.retrieval.metrics import drawn_times

METRIC = "P@10:hits_over_k"
DIRECTIONS = (("sketch", "photo"), ("photo", "sketch"))


def record(method, hits, labels, seed=0, direction=DIRECTIONS[0], rule=LAST_EPOCH, **fields):
    hits = np.asarray(hits, float)
    values = QueryValues(hits, np.full(len(hits), 10.0), np.array(list(labels)))
    a, b = direction
    return Record(
        method=method, dataset="d", protocol="p", query_domain=a, gallery_domain=b, metric=METRIC, seed=seed,
        value=float(np.nanmean(values.values)), encoder="e", selection_rule=rule, query_fingerprint="q", **fields,
    ).with_queries(values)  # fmt: skip


def drawn(random, n_classes=4, per_class=6):
    labels = np.repeat([f"c{i}" for i in range(n_classes)], per_class)
    return random.integers(0, 11, len(labels)), random.integers(0, 11, len(labels)), labels


def test_a_case_worked_by_hand():
    a = [record("A", [4, 4, 2, 2], "xxyy", seed) for seed in (0, 1)]
    b = [record("B", [2, 2, 2, 4], "xxyy", 0), record("B", [4, 2, 0, 0], "xxyy", 1)]
    found = compare(a, b)
    # Means of A 0.3, 0.3 and of B 0.25, 0.15. Differences of queries, mean over seeds: .1, .2, .1, 0.
    assert found.points == pytest.approx(10) and found.by_seed == pytest.approx({0: 5, 1: 15})
    assert (found.wins, found.ties, found.losses) == (3, 1, 0)
    assert (found.directions, found.queries, found.classes) == (1, 4, 2)
    # Two classes with differences of 15 and 5: half of the draws have one of each.
    assert found.by_classes == pytest.approx((5, 15))
    assert compare(b, a).points == pytest.approx(-10)


def test_intervals_over_classes_are_those_of_a_loop_over_draws():
    random = np.random.default_rng(0)
    values = [random.normal(size=n) for n in (12, 9)]
    groups = [random.choice(list("abcd"), size=len(part)) for part in values]
    names, means = np.unique(np.concatenate(groups)), []
    draws = np.random.default_rng(5)
    for times in drawn_times(draws, len(names), 100).tolist():
        chosen, by_direction = np.repeat(names, times), []
        for part, labels in zip(values, groups):
            sample = [value for name in chosen for value, label in zip(part, labels) if label == name]
            if sample:
                by_direction.append(np.mean(sample))
        means.append(100 * np.mean(by_direction))
    assert bootstrap(values, groups, 100, seed=5) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_groups_are_drawn_with_replacement_and_equal_chances():
    times = drawn_times(np.random.default_rng(0), 5, 20_000)
    assert (times.sum(axis=1) == 5).all() and times.mean(axis=0) == pytest.approx(np.ones(5), abs=0.03)
    # A group is missing from a draw with probability (4/5)^5.
    assert (times == 0).mean() == pytest.approx(0.8**5, abs=0.01)


def test_intervals_over_queries_agree_with_scipy():
    a, b, labels = drawn(np.random.default_rng(1), per_class=50)
    found = compare([record("A", a, labels)], [record("B", b, labels)], draws=4000)
    expected = scipy.stats.bootstrap(
        (a / 10, b / 10), lambda x, y, axis: np.mean(x - y, axis=axis), paired=True, method="percentile",
        n_resamples=4000, rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert found.by_queries == pytest.approx((100 * expected.low, 100 * expected.high), abs=0.3)


def test_classes_that_differ_widen_the_interval():
    labels = np.repeat(list("abcd"), 25)
    by_class = np.repeat([10, 0, 10, 0], 25)
    found = compare([record("A", by_class, labels)], [record("B", 0 * by_class, labels)])
    (low, high), (lower, higher) = found.by_classes, found.by_queries
    assert high - low > 2 * (higher - lower)


def test_a_method_without_training_is_compared_with_every_seed():
    labels = list("xxyy")
    frozen = [record("CLIP", [2, 2, 2, 2], labels, 0, rule=NOTHING_SELECTED)]
    trained = [record("A", [3, 3, 3, 3], labels, 0), record("A", [5, 5, 5, 5], labels, 1)]
    assert compare(trained, frozen).by_seed == pytest.approx({0: 10, 1: 30})
    assert compare(frozen, frozen).by_seed == {} and compare(frozen, frozen).ties == 4


def test_only_common_directions_and_seeds_count():
    labels = list("xxyy")
    a = [record("A", [5] * 4, labels, seed, direction) for seed in (0, 1) for direction in DIRECTIONS]
    b = [record("B", [1] * 4, labels, seed) for seed in (1, 2)]
    found = compare(a, b)
    assert found.directions == 1 and found.by_seed == pytest.approx({1: 40})


def test_queries_without_a_value_are_left_out():
    a, b = record("A", [5, 5, 5], "xyz"), record("B", [1, 1, 1], "xyz")
    for each in (a, b):
        each.queries.denominator[2] = 0
    found = compare([a], [b])
    assert found.queries == 2 and found.classes == 2 and found.points == pytest.approx(40)


def other_images():
    values = record("B", [1, 1], "xy").queries
    return record("B", [1, 1], "xy").model_copy(update={"query_fingerprint": "other"}).with_queries(values)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (record("B", [1, 1], "xz"), "different images"),
        (record("B", [1, 1, 1], "xyy"), "different images"),
        (other_images(), "different images"),
        (record("B", [1, 1], "xy", 1), "seed"),
        (record("B", [1, 1], "xy", direction=("clipart", "photo")), "direction"),
    ],
)
def test_what_cannot_be_compared_is_refused(other, named):
    with pytest.raises(CdirError, match=named):
        compare([record("A", [1, 1], "xy")], [other])


def test_several_settings_are_refused():
    two = [record("A", [1, 1], "xy", settings={"rate": rate}) for rate in (1, 2)]
    with pytest.raises(CdirError, match="settings_digest"):
        compare(two, [record("B", [1, 1], "xy")])


def test_values_of_queries_survive_a_file_and_follow_their_record(tmp_path):
    a, b, labels = drawn(np.random.default_rng(3))
    records = [record("A", a, labels), record("B", b, labels, settings={"rate": 1})]
    save_records(records, tmp_path)
    loaded = load_records(tmp_path)
    assert [(one.queries.numerator == other.queries.numerator).all() for one, other in zip(records, loaded)] == [
        True
    ] * 2
    assert compare(loaded[:1], loaded[1:]) == compare(records[:1], records[1:])
    (tmp_path / "records.queries.npz").write_bytes(b"no archive")
    with pytest.raises(CdirError, match=r"records\.queries\.npz"):
        load_records(tmp_path)


def test_a_new_file_without_values_has_none_of_an_older_one(tmp_path):
    save_records([record("A", [1, 2], "xy")], tmp_path)
    save_records([record("A", [1, 2], "xy").with_queries(None)], tmp_path)
    assert load_records(tmp_path)[0].queries is None


# ---- `cdir compare` --------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    labels = list("xxyy")
    records = [record("CLIP", [2, 2, 2, 2], labels, rule=NOTHING_SELECTED)]
    for rule, hits in ((LAST_EPOCH, 3), (BY_PSEUDO_LABELS, 5)):
        records += [record("A", [hits] * 4, labels, seed, rule=rule) for seed in (0, 1)]
    records += [record("C", [2, 2, 2, 2], labels).with_queries(None)]
    save_records(records, tmp_path)
    return tmp_path


def said(*arguments):
    result = CliRunner().invoke(app, ["compare", *arguments])
    return result.exit_code, result.output


def test_the_command_prints_one_comparison_for_each_rule(run):
    code, text = said("A", "CLIP", "--task", "p", "--run", str(run))
    assert code == 0 and text.count("A minus CLIP") == 2 and "+10.00" in text and "+30.00" in text
    code, text = said("A", "CLIP", "--task", "p", "--run", str(run), "--rule", LAST_EPOCH)
    assert code == 0 and text.count("A minus CLIP") == 1 and "+10.00" in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("C", "CLIP", "--task", "p"), "A, CLIP"),
        (("A", "CLIP", "--task", "q"), "no method"),
        (("A", "CLIP", "--task", "p", "--encoder", "other"), "no method"),
        (("A", "CLIP", "--task", "p", "--rule", "best"), "A"),
    ],
)
def test_the_command_says_what_there_is(run, arguments, named):
    code, text = said(*arguments, "--run", str(run))
    assert code == 2 and text.startswith("error:") and named in text and len(text.splitlines()) == 1
