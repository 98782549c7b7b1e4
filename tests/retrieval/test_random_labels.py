"""Any text or number as a label: precision is that of a count by hand, or the labels are refused in one line."""

import random

import numpy as np
import pytest
from fuzzing import TEXTS, amount, rounds

from cdir_nb import retrieval
from cdir_nb.errors import CdirError

LABELS = amount(100_000, 1_000)
QUERIES, GALLERY, K = 20, 30, 5
OTHERS = (None, float("nan"), 0, -0.0, 1, 1.0, True, b"dog", 10**400, (), float("inf"))


def random_labels(rng: random.Random) -> list:
    """Labels of few classes, most of them text."""
    classes = rng.sample(TEXTS, 5) + ["".join(chr(rng.randrange(1, 0xD800)) for _ in range(rng.randint(1, 5)))]
    if rng.random() < 0.2:
        classes = [rng.choice(OTHERS) for _ in range(3)] + classes[: rng.choice([0, 2])]
    return [rng.choice(classes) for _ in range(QUERIES + GALLERY)]


def as_given(rng: random.Random, labels: list):
    """The labels in one of the containers that users have."""
    return rng.choice([list, tuple, lambda rows: np.array(rows + [None], dtype=object)[:-1]])(labels)


def test_precision_is_that_of_a_count_by_hand():
    rng, right = random.Random(7), 0
    for _ in rounds(LABELS // (QUERIES + GALLERY)):
        labels = random_labels(rng)
        query, gallery = labels[:QUERIES], labels[QUERIES:]
        emb = np.random.default_rng(rng.randrange(2**32)).normal(size=(QUERIES + GALLERY, 4)).astype(np.float32)
        ranking = retrieval.rank(emb[:QUERIES], emb[QUERIES:])
        try:
            result = retrieval.precision_at_k(ranking, as_given(rng, query), as_given(rng, gallery), K)
        except CdirError as error:
            assert "\n" not in str(error)
            continue
        found = [[gallery[i] == label for i in rows[:K]] for label, rows in zip(query, ranking.indices)]
        assert result.mean == pytest.approx(np.mean(found)), (query, gallery)
        right += 1
    assert right > LABELS // (QUERIES + GALLERY) / 2
