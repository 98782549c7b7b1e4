"""What CLAIR and UCDIR share: training images of two domains, and the score that chooses a state."""

from itertools import permutations, product

import numpy as np
import pytest
import torch

from cdir_nb.data import load_protocol
from cdir_nb.data.world import load_world
from cdir_nb.errors import CdirError
from cdir_nb.methods.training import decides
from cdir_nb.methods.two_domains import class_numbers, drawn_rows, precision_at, training_images


def test_precision_of_both_directions_by_hand():
    scores = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.8, 0.3]])
    labels = [torch.tensor([0, 1]), torch.tensor([0, 1, 1])]
    assert precision_at(1, scores, labels) == pytest.approx((1 + 2 / 3) / 2)  # the third asks the other way and errs
    assert precision_at(5, scores, labels) == pytest.approx(((1 / 3 + 2 / 3) / 2 + 1 / 2) / 2)  # galleries of 3 and 2


def test_a_validation_set_decides_if_two_rankings_have_different_scores():
    for queries, size in product([(0,), (0, 1), (2, 2)], range(5)):
        for gallery in product(range(3), repeat=size):
            hits = [[query == np.array(order) for order in permutations(gallery)] for query in queries]
            places = [np.arange(1, size + 1)] * len(hits[0])
            for k in (1, 3):
                scores = [{row[:k].sum() for row in orders} for orders in hits]
                assert decides(np.array(queries), torch.tensor(gallery), k) == any(len(values) > 1 for values in scores)
            found = [{tuple(place[row]) for row, place in zip(orders, places)} for orders in hits]
            assert decides(np.array(queries), np.array(gallery)) == any(len(values) > 1 for values in found)


def test_classes_have_the_same_numbers_in_both_domains():
    first, second = class_numbers([np.array(["owl", "cat"]), np.array(["dog", "owl"])])
    assert first[0] == second[1] and len({*first.tolist(), *second.tolist()}) == 3


def test_rows_are_drawn_from_each_domain_once_and_in_order():
    images = load_world(2)
    for rows, domain in zip(drawn_rows(images, ("sketch", "real"), 5, seed=3), ("sketch", "real")):
        assert len(set(rows)) == 5 and list(rows) == sorted(rows) and set(images.domains[rows]) == {domain}
    assert [len(rows) for rows in drawn_rows(images, ("sketch", "real"), 0, seed=3)] == [80, 80]
    with pytest.raises(CdirError, match="cannot draw -1"):
        drawn_rows(images, ("sketch", "real"), -1, seed=3)


def test_a_domain_without_training_images_is_named():
    task = load_protocol("world-ucdr-painting", load_world(2))
    with pytest.raises(CdirError, match="does not train on painting: its training domains are"):
        training_images(task, ["painting", "real"])
