"""From an embedder to records: against the same numbers worked out by hand, step by step."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cdir_nb.conventions import AVERAGE_PRECISION, LAST_EPOCH, PRECISION
from cdir_nb.data import ImageSet, load_protocol
from cdir_nb.encoders import load_encoder
from cdir_nb.errors import CdirError
from cdir_nb.methods import Embedder
from cdir_nb.methods.clair.mapped_clip import MappedClipSettings, mapped_clip
from cdir_nb.methods.frozen import VanillaClip
from cdir_nb.results import by_direction, context_of, measure, percent_by_direction, settings_digest
from cdir_nb.results.measure import embedded

PER_CLASS = 3


class Encoder:
    """Vectors drawn from each image's key, and texts from their own."""

    identity = "a test [1]"

    def embed_images(self, images, progress=True):
        return torch.stack([self._drawn(key) for key in images.keys])

    def embed_texts(self, texts):
        return torch.stack([self._drawn(text) for text in texts])

    def _drawn(self, text):
        return torch.randn(6, generator=torch.Generator().manual_seed(sum(map(ord, text)) * len(text)))


@pytest.fixture
def task():
    from cdir_nb.data import load_card

    card = load_card("world")
    rows = [(d, c, i) for d in card.domains for c in card.classes for i in range(PER_CLASS)]
    columns = [np.array(column) for column in zip(*rows)]
    keys = tuple(f"{d}/{c}/{i}" for d, c, i in rows)
    images = ImageSet(keys, columns[0], columns[1], lambda key: Image.new("RGB", (1, 1)), keys)
    return load_protocol("world-unseen", images)


class Trained(Embedder):
    name, selection, steps, similarity = "mine", LAST_EPOCH, 7, "euclidean"
    directions = (("real", "sketch"), ("sketch", "real"))

    def __init__(self, encoder):
        self.encoder, self.calls = encoder, []

    def embed(self, images, *, progress=True):
        self.calls.append(images.domains[0])
        return 3 * self.encoder.embed_images(images)


def by_hand(query, gallery, k):
    """Mean over queries of hits among the k nearest by Euclidean distance, with loops."""
    encoder, shares = Encoder(), []
    q_emb, g_emb = (3 * encoder.embed_images(images) for images in (query, gallery))
    for q, label in zip(q_emb, query.labels):
        nearest = sorted(range(len(gallery)), key=lambda g: float((q - g_emb[g]).norm()))[:k]
        shares.append(sum(gallery.labels[g] == label for g in nearest) / k)
    return sum(shares) / len(shares)


def test_every_direction_convention_and_cutoff_once_with_all_context(task):
    method = Trained(Encoder())
    records = measure(method, task, seed=5)
    ks, ap_ks = task.cutoffs
    assert len(records) == 2 * (len(ks) * len(PRECISION) + len(ap_ks) * len(AVERAGE_PRECISION))
    assert len({(r.query_domain, r.metric) for r in records}) == len(records)
    assert sorted(method.calls) == ["real", "sketch"], "each domain is embedded once"
    one = records[0]
    assert (one.method, one.seed, one.steps, one.selection_rule) == ("mine", 5, 7, LAST_EPOCH)
    assert (one.encoder, one.dataset, one.protocol) == ("a test [1]", "world", "world-unseen")
    for a, b in method.directions:
        found = next(r for r in records if (r.query_domain, r.metric) == (a, "P@10:hits_over_k"))
        assert found.value == pytest.approx(by_hand(task.query(a), task.gallery(b), 10))


def test_a_method_for_other_domains_is_refused(task):
    method = Trained(Encoder())
    method.directions = (("photo", "doodle"),)
    with pytest.raises(CdirError, match="mine was fitted for photo -> doodle, which is not in world-unseen"):
        measure(method, task)


def test_vanilla_clip_is_one_setting_whoever_measures_it(task):
    records = measure(VanillaClip(Encoder()), task, seed=1) + measure(VanillaClip(Encoder()), task, seed=2)
    assert {r.settings_digest for r in records} == {settings_digest({"similarity": "cosine"})} and len(
        task.directions
    ) == 30
    table = by_direction(records, "P@10:hits_over_k")
    assert list(table.columns) == ["vanilla CLIP"] and list(table.index) == list(task.directions)
    explored = percent_by_direction(embedded(VanillaClip(Encoder()), task), task, "P@10:hits_over_k")
    assert table["vanilla CLIP"].to_dict() == pytest.approx(explored.to_dict())


def test_q_maps_the_query_domain_alone_and_each_direction_by_its_own(task):
    directions = [("real", "sketch"), ("sketch", "clipart")]
    first, second = (mapped_clip(Encoder(), task, pair, MappedClipSettings()) for pair in directions)
    images = task.images.select(["real", "sketch"], ["cat"]).take([0, 1, PER_CLASS])
    plain = F.normalize(Encoder().embed_images(images), dim=1)
    mapped = first.embed(images)
    assert torch.allclose(mapped[:2], plain[:2] @ first.q.T) and torch.equal(mapped[2], plain[2])
    assert not torch.allclose(mapped[:2], plain[:2]) and not torch.allclose(first.q, second.q)
    records = measure([first, second], task)
    assert {(r.query_domain, r.gallery_domain) for r in records} == set(directions)
    assert len({r.settings_digest for r in records}) == 1


def test_an_embedder_without_embed_says_so():
    with pytest.raises(NotImplementedError, match="Embedder has no embed"):
        Embedder().embed(None)


def test_records_say_how_many_test_images_the_pretraining_saw(task, monkeypatch):
    seen = {"real/cat/0", *task.query("real").keys[:3], *task.gallery("sketch").keys[:2]}
    monkeypatch.setattr(
        "cdir_nb.encoders.pretraining.seen_in_pretraining", lambda _, images: len(seen & set(images.keys))
    )
    assert {r.seen_in_pretraining for r in measure(VanillaClip(Encoder()), task)} == {5}, "a set of images counts once"


def test_a_number_on_training_images_counts_the_seen_ones_among_these(task, monkeypatch):
    train = task.images.select(["real"], ["cat"])
    seen = {*train.keys[:2], *task.query("sketch").keys}
    monkeypatch.setattr(
        "cdir_nb.encoders.pretraining.seen_in_pretraining", lambda _, images: len(seen & set(images.keys))
    )
    same = context_of(VanillaClip(Encoder()), task, 0, train)
    assert (same["seen_in_pretraining"], same["test_set"]) == (2, f"training images of {task.name}")


def test_records_have_the_images_that_were_measured_and_trained_on(task):
    method = Trained(Encoder())
    method.training_images = task.images.select(["real"], ["cat"])
    method.training_commit, method.data_at_test_time = "abc1234", frozenset({"gallery"})
    method.settings, method.moved = {"rate": np.float32(0.5)}, {"head": 0.25}
    for record in measure(method, task, seed=5):
        query, gallery = task.query(record.query_domain), task.gallery(record.gallery_domain)
        assert (record.query_images, record.query_fingerprint) == (len(query), query.fingerprint)
        assert (record.gallery_images, record.gallery_fingerprint) == (len(gallery), gallery.fingerprint)
        assert (record.train_images, record.train_fingerprint) == (PER_CLASS, method.training_images.fingerprint)
        assert (record.training_commit, record.data_at_test_time) == ("abc1234", ("gallery",))
        assert record.settings == {"rate": 0.5, "similarity": "euclidean"} and record.moved == {"head": 0.25}
        assert record.threads == torch.get_num_threads()


def test_queries_and_gallery_are_told_apart_where_they_differ(task):
    mixed = load_protocol("world-uccdr-sketch-mixed", task.images)  # the gallery has more classes than the queries
    record = measure(VanillaClip(Encoder()), mixed)[0]
    query, gallery = mixed.query(record.query_domain), mixed.gallery(record.gallery_domain)
    assert (record.query_images, record.gallery_images) == (len(query), len(gallery)) and len(query) < len(gallery)
    assert (record.query_fingerprint, record.gallery_fingerprint) == (query.fingerprint, gallery.fingerprint)


def test_a_method_without_training_images_has_none(task):
    records = measure(VanillaClip(Encoder()), task)
    assert {(r.train_images, r.train_fingerprint, r.training_commit) for r in records} == {(0, "", "")}


def test_only_a_metric_of_a_ranking_can_be_explored(task):
    for name, message in (("accuracy:top-1", "not computed from a ranking"), ("precision", "is not a metric")):
        with pytest.raises(CdirError, match=message):
            percent_by_direction(lambda a, b: None, task, name)


@pytest.mark.medium
def test_records_describe_the_encoder_where_it_is_described(task):
    described = context_of(VanillaClip(load_encoder("tiny-clip")), task, 0)
    assert described["preprocessing"].startswith("64 px, bicubic") and described["pooling"] == "class token"
    other = context_of(VanillaClip(Encoder()), task, 0)
    assert (other["preprocessing"], other["pooling"]) == ("", "")
