"""Other galleries: sizes by class, nothing twice, and the random photo a query."""

from collections import Counter

import numpy as np
import pytest

from cdir_nb.errors import CdirError
from cdir_nb.retrieval.galleries import one_per_query, random_fraction, uneven

LABELS = np.array(list("aaaaaaaaaabbbbc"))


def counts(rows):
    return dict(Counter(LABELS[rows].tolist()))


@pytest.mark.parametrize(
    "share, expected",
    [(0.5, {"a": 5, "b": 2, "c": 1}), (0.1, {"a": 1, "b": 1, "c": 1}), (1, {"a": 10, "b": 4, "c": 1})],
)
def test_a_share_of_each_class_and_never_none(share, expected):
    rows = random_fraction(LABELS, share, seed=3)
    assert counts(rows) == expected and rows.tolist() == sorted(set(rows.tolist()))


def test_shares_follow_the_seed_and_only_it():
    assert random_fraction(LABELS, 0.5, 1).tolist() == random_fraction(LABELS, 0.5, 1).tolist()
    assert len({tuple(random_fraction(LABELS, 0.5, seed)) for seed in range(10)}) > 1


def test_uneven_classes_fall_from_all_to_the_least():
    labels = np.repeat(list("abcde"), 100)
    sizes = Counter(labels[uneven(labels, 0.1)].tolist())
    assert list(sizes.values()) == [100, 56, 32, 18, 10]  # 100 * 0.1 ** (i / 4)
    assert len(uneven(np.array(["a", "a"]))) == 2


def test_one_per_query_is_of_its_class_and_drawn_at_random():
    queries = np.array(list("ba") * 200)
    rows = one_per_query(queries, LABELS, seed=0)
    assert (LABELS[rows] == queries).all()
    assert set(rows.tolist()) == set(range(14))  # with 200 draws a class every image is met, "c" never
    assert one_per_query(queries[:4], LABELS, 5).tolist() == one_per_query(queries[:4], LABELS, 5).tolist()


def test_what_makes_no_gallery_is_refused():
    with pytest.raises(CdirError, match="fraction of the gallery is 0"):
        random_fraction(LABELS, 0)
    with pytest.raises(CdirError, match="no image of z"):
        one_per_query(np.array(["a", "z"]), LABELS)
