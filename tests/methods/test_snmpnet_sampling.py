"""SnMpNet's batches, partners and views: balance, mixtures as defined, and bad input."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet.sampling import (
    derangement,
    draw_epoch,
    mixing_at,
    partners,
    pool_of,
    reshuffled,
    rows_by_domain,
)
from cdir_nb.methods.snmpnet.settings import RELEASED, HarnessSettings
from cdir_nb.methods.snmpnet.views import ORDERS, epoch_views, inverted_in, shuffled

QUICK = HarnessSettings(batch_size=6, image_size=32)


def flat(**counts: int) -> ImageSet:
    """Images of one grey each; {domain: number}, classes in turn."""
    rows = [(domain, f"class{i % 4}", f"{domain}/{i}") for domain, count in counts.items() for i in range(count)]
    domains, labels, keys = zip(*rows)
    greys = {key: 10 * (i % 25) for i, key in enumerate(keys)}
    load = lambda key: Image.new("RGB", (40, 30), (greys[key],) * 3)  # noqa: E731
    return ImageSet(keys, np.array(domains), np.array(labels), load, keys)


def epoch_of(images: ImageSet, number: int = 0, settings: HarnessSettings = QUICK, seed: int = 0):
    return draw_epoch(rows_by_domain(images, settings.batch_size), number, settings, np.random.default_rng(seed))


def test_batches_are_balanced_and_repeat_no_image():
    images = flat(photo=11, sketch=7, clipart=20)
    epoch = epoch_of(images)
    assert epoch.rows.shape == (3, 6)  # the smallest domain fills three batches of two
    for rows in epoch.rows:
        assert images.domains[rows].tolist() == ["photo"] * 2 + ["sketch"] * 2 + ["clipart"] * 2
    assert len(set(epoch.rows.ravel().tolist())) == epoch.rows.size


@pytest.mark.parametrize("within", [0.0, 1.0])
def test_partners_are_of_another_domain_or_of_the_same(within):
    rng = np.random.default_rng(0)
    for _ in range(20):
        found = partners(3, 4, within, rng)
        same = found // 4 == np.arange(12) // 4
        assert same.all() if within else not same.any()
        assert sorted(found) == list(range(12))  # each image is a partner once


def test_bernoulli_mixes_both_kinds_at_its_rate():
    rng = np.random.default_rng(0)
    same = [partners(2, 50, 0.5, rng) // 50 == np.arange(100) // 50 for _ in range(40)]
    assert abs(np.mean(same) - 0.5) < 0.03


def test_derangements_leave_nothing_in_place():
    rng = np.random.default_rng(0)
    assert all((derangement(n, rng) != np.arange(n)).all() for n in (2, 3, 5) for _ in range(20))


def test_the_released_curriculum_and_the_fixed_mixing():
    found = [mixing_at(epoch, HarnessSettings(**RELEASED, beta=2.0)) for epoch in range(6)]
    assert found == [(0.1, 1.0), (1.0, 1.0), (2.0, 1.0), (2.0, 0.5), (2.0, 0.0), (2.0, 0.0)]
    assert {mixing_at(epoch, HarnessSettings()) for epoch in range(6)} == {(1.0, 0.5)}


def test_pools_are_used_in_turn_but_the_curriculum_runs_once():
    assert [pool_of(e, QUICK.changed(pools=3)) for e in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert [pool_of(e, HarnessSettings(**RELEASED, pools=6)) for e in range(9)] == [0, 1, 2, 3, 4, 5, 4, 5, 4]
    assert [pool_of(e, HarnessSettings(**RELEASED, pools=1)) for e in range(3)] == [0, 0, 0]


def test_reshuffled_batches_hold_the_same_views_and_stay_balanced():
    images = flat(photo=12, sketch=12)
    epoch = epoch_of(images)
    places = reshuffled(epoch, 2, np.random.default_rng(1))
    assert sorted(places.ravel()) == list(range(epoch.rows.size))
    for own in places:
        assert images.domains[epoch.rows.ravel()[own]].tolist() == ["photo"] * 3 + ["sketch"] * 3
    assert not np.array_equal(places, np.arange(places.size).reshape(places.shape))


def test_a_mixed_picture_is_the_weighted_sum_of_its_two_images():
    images, plain = flat(photo=8, sketch=8), QUICK.changed(jitter=0.0)
    epoch = epoch_of(images, settings=plain)
    views = epoch_views(images, epoch, "mixed", plain, seed=0, number=0)
    rows, others, ratio = (x.ravel() for x in (epoch.rows, epoch.partners, epoch.ratio))
    for place in range(len(views)):
        first, other = (float(np.asarray(images.image(int(x[place])))[0, 0, 0]) for x in (rows, others))
        wanted = ratio[place] * first + (1 - ratio[place]) * other
        assert abs(np.asarray(views.image(place)).astype(float).mean() - wanted) <= 1
    assert views.image(0).size == (32, 32) and views.labels.tolist() == images.labels[rows].tolist()


def test_views_repeat_exactly_and_differ_between_places_seeds_and_epochs():
    images = flat(photo=8, sketch=8)
    epoch = epoch_of(images)

    def digests(kind="plain", seed=0, number=0):
        return set(epoch_views(images, epoch, kind, QUICK, seed=seed, number=number).digests)

    one, again = (epoch_views(images, epoch, "plain", QUICK, seed=0, number=0) for _ in range(2))
    assert all(np.array_equal(one.image(i), again.image(i)) for i in range(6)) and one.digests == again.digests
    sets = [digests(), digests(seed=1), digests(number=1), digests("mixed"), digests("jigsaw")]
    turned = replace(epoch, rows=epoch.rows[:, ::-1])  # the same images at other positions have other crops
    sets.append(set(epoch_views(images, turned, "plain", QUICK, seed=0, number=0).digests))
    assert all(len(s) == epoch.rows.size for s in sets) and len(set.union(*sets)) == 6 * epoch.rows.size


def test_jigsaw_tiles_move_as_their_order_says():
    pixels = np.zeros((9, 9, 3), np.uint8)
    for tile in range(9):
        pixels[3 * (tile // 3) : 3 * (tile // 3) + 3, 3 * (tile % 3) : 3 * (tile % 3) + 3] = 10 * tile
    moved = np.asarray(shuffled(Image.fromarray(pixels), ORDERS[5]))
    assert [moved[3 * (t // 3), 3 * (t % 3), 0] // 10 for t in range(9)] == ORDERS[5].tolist()
    assert np.array_equal(np.asarray(shuffled(Image.fromarray(pixels), ORDERS[0])), pixels)
    assert len({tuple(order) for order in ORDERS}) == 31


def test_colours_are_inverted_in_the_named_domains_only():
    images = flat(photo=3, sketch=3)
    changed = inverted_in(images, ("sketch", "quickdraw"))
    for row in range(6):
        before, after = (np.asarray(s.image(row)).astype(int) for s in (images, changed))
        assert np.array_equal(after, 255 - before if images.domains[row] == "sketch" else before)
    assert changed.digests[:3] == images.digests[:3] and not set(changed.digests[3:]) & set(images.digests)
    assert inverted_in(images, ()) is images


@pytest.mark.parametrize(
    ("counts", "size", "value"),
    [
        ({"photo": 9}, 6, "got photo"),
        ({"photo": 9, "sketch": 9}, 7, "batch of 7 .* to 6 or 8"),
        ({"photo": 9, "sketch": 2}, 6, "sketch has 2 .* needs 3: .* to 4 or"),
    ],
)
def test_what_cannot_be_balanced(counts, size, value):
    with pytest.raises(CdirError, match=value):
        rows_by_domain(flat(**counts), size)
