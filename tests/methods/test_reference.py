"""Reference rows: their vectors by hand, what they may use, and the reasons for absent ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cdir_nb.data import load_card
from cdir_nb.methods import KReciprocal, PostProcessed, VanillaClip, references
from cdir_nb.methods.clair.mapped_clip import names_of
from cdir_nb.methods.clair.mapping import text_pairs
from cdir_nb.methods.reference import SEES_TEST_IMAGES, from_texts
from cdir_nb.results import measure_references
from cdir_nb.results.measure import evaluate_task
from cdir_nb.retrieval import evaluate, k_reciprocal, rank
from tests.methods.small_clip import make_encoder
from tests.methods.toy_task import shapes, toy_task

TRAINING, QUERIES = "training images", "all queries"


@pytest.fixture(scope="module")
def clip():
    return VanillaClip(make_encoder())


def shapes_task(**changes):
    """The toy task with domains of the drawn world, whose card has a word for each."""
    images = shapes()
    domains = np.where(images.domains == "ink", "real", "sketch")
    task = toy_task(replace(images, domains=domains), train_domains=("real", "sketch"))
    return replace(task, directions=(("real", "sketch"), ("sketch", "real")), **changes)


@pytest.mark.medium
def test_rows_state_what_they_use_and_are_absent_with_a_reason(clip):
    rows, absent = references(clip, shapes_task())
    assert absent == {} and len({row.name for row in rows}) == len(rows) == 8
    trained = [row for row in rows if TRAINING in row.data_at_test_time]
    assert len(trained) == 2 and all(row.train_set.endswith(SEES_TEST_IMAGES) for row in trained)
    of_texts = [row for row in rows if row.train_set == "no image; texts alone"]
    assert len(of_texts) == 3 and not any(row.data_at_test_time for row in of_texts)
    assert sum(QUERIES in row.data_at_test_time for row in rows) == 3

    without = shapes_task(seen=(), train_domains=())
    rows, absent = references(clip, without, without.images)
    assert len(rows) == 6 and set(absent.values()) == {"shapes has no training images"}

    held_out = shapes_task(seen=(), train_domains=(), images=without.images.take(range(0, len(without.images), 2)))
    rows, absent = references(clip, held_out, without.images)
    assert not absent and len(rows[0].training_images) == len(without.images) // 2
    assert set(rows[0].training_images.keys).isdisjoint(held_out.images.keys)
    assert not rows[0].train_set.endswith(SEES_TEST_IMAGES)


@pytest.mark.medium
def test_a_row_has_the_directions_between_domains_with_training_images(clip):
    task = shapes_task(train_domains=("real",))
    rows, absent = references(clip, task)
    assert set(absent.values()) == {"no direction of shapes has training images of both domains"}
    both = replace(task, directions=(("real", "real"), ("sketch", "real")))
    rows, absent = references(clip, both)
    assert rows[0].directions == (("real", "real"),) and not absent
    assert rows[-1].directions is None


@pytest.mark.medium
def test_vectors_from_texts_are_those_worked_out_with_numpy(clip):
    task = shapes_task()
    card, names = load_card("world"), names_of(task, "objects")
    texts = text_pairs(clip.encoder, names, {d: card.domain_word(d) for d in task.domains})
    texts = {d: rows.double().numpy() for d, rows in texts.items()}
    images = task.query("sketch")
    emb = clip.embed(images).double().numpy()

    by_mean, projected, likened = from_texts(clip.encoder, task, a=0.3, fraction=0.5, tau=0.2)
    expected = unit(emb - texts["sketch"].mean(0))
    np.testing.assert_allclose(by_mean.embed(images), expected, atol=1e-5)

    objects = unit((texts["real"] + texts["sketch"]) / 2)
    styles = np.stack([texts["real"].mean(0), texts["sketch"].mean(0)])
    contrast = 0.7 * np.cov(objects.T, bias=True) - 0.3 * np.cov(styles.T, bias=True)
    axes = np.linalg.eigh(contrast)[1][:, -6:]
    np.testing.assert_allclose(projected.embed(images), unit(emb @ axes @ axes.T), atol=1e-4)

    weights = np.exp(emb @ objects.T / 0.2)
    np.testing.assert_allclose(likened.embed(images), unit(weights / weights.sum(1, keepdims=True)), atol=1e-5)


def test_k_reciprocal_as_a_step_gives_the_metrics_of_the_re_ranked_ranking(clip):
    task = shapes_task()
    method = PostProcessed(clip, [KReciprocal(5, 2)])
    for (a, b), results in evaluate_task(method, task).items():
        query, gallery = task.query(a), task.gallery(b)
        q, g = clip.embed(query), clip.embed(gallery)
        new = k_reciprocal(rank(q, g), q, g, 5, 2)
        expected = evaluate(new, query.labels, gallery.labels, ks=(2,), ap_ks=())
        assert [r.mean for r in results] == pytest.approx([r.mean for r in expected])


def test_k_reciprocal_leaves_out_a_querys_own_image(clip):
    task = shapes_task()
    images = task.query("real")
    method = PostProcessed(clip, [KReciprocal(5, 2)])
    scores, _ = method.prepare(images, images, clip.embed(images), clip.embed(images))
    assert torch.equal(scores.argmin(1), torch.arange(len(images)))


@pytest.mark.medium
def test_an_encoder_without_texts_and_few_queries_lack_rows(clip, monkeypatch):
    task = shapes_task()
    few = replace(task, images=task.images.take([*range(8), *range(20, 33)]))
    records, absent = measure_references(clip, few)
    assert sorted(absent) == sorted(name for name in absent if QUERIES in name) and len(absent) == 3
    assert all("has only 8 in real" in reason for reason in absent.values())
    assert len({record.method for record in records}) == 5

    class ImageOnly:
        name, similarity, settings, train_set = "frozen start", "cosine", {}, "none: frozen encoder"
        encoder = type("Encoder", (), {"built": clip.encoder.built})()

    monkeypatch.setattr("cdir_nb.methods.reference.PostProcessed", lambda *_: None)
    _, absent = references(ImageOnly(), shapes_task(seen=(), train_domains=()))
    assert absent["frozen start + texts"] == "small has no text tower"


def unit(rows):
    return F.normalize(torch.as_tensor(rows), dim=1).numpy()
