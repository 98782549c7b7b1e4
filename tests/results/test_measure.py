"""From an embedder to records: against the same numbers worked out by hand, step by step."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cdir_nb.conventions import AVERAGE_PRECISION, LAST_EPOCH, PRECISION
from cdir_nb.data import ImageSet, load_protocol
from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.pretraining import NOTE
from cdir_nb.errors import CdirError
from cdir_nb.methods import Embedder
from cdir_nb.methods.clair.mapped_clip import MappedClipSettings, mapped_clip
from cdir_nb.methods.embedder import FROZEN
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
        if len(images) > 3:  # fewer: whether an embedding depends on other images
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


def test_the_pretraining_that_saw_training_images_is_noted_once_for_any_method(task, monkeypatch):
    encoder, own = Encoder(), Trained(Encoder())
    monkeypatch.setattr("cdir_nb.encoders.pretraining.seen_in_pretraining", lambda _, images: len(images))
    own.training_images = task.train
    (described,) = {record.train_set for record in measure(own, task)}
    assert described == Trained.train_set + NOTE
    own.train_set = described
    assert {record.train_set for record in measure(own, task)} == {described}
    assert {record.train_set for record in measure(VanillaClip(encoder), task)} == {FROZEN}


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


# ---- images that occur more than once --------------------------------------------------------------------------------


def with_digests(task, digest_of):
    """The task with other contents: `digest_of` maps a key to a digest. Vectors of `ByContent` follow the digests."""
    return replace(task, images=replace(task.images, digests=tuple(map(digest_of, task.images.keys))))


class ByContent(Encoder):
    """Vectors drawn from each image's content."""

    def embed_images(self, images, progress=True):
        return torch.stack([self._drawn(digest) for digest in images.digests])


def one_direction(task, a, b):
    return replace(task, directions=((a, b),))


def test_a_query_does_not_find_its_own_image_whatever_its_name(task):
    direction = one_direction(task, "sketch", "real")
    copied = with_digests(direction, lambda key: key.replace("sketch", "real"))  # every sketch is a copy of a photo
    same_set = one_direction(task, "real", "real")
    plain, copies_found, itself_found = (
        {r.metric: r for r in measure(VanillaClip(ByContent()), t)} for t in (direction, copied, same_set)
    )
    query, encoder = task.query("real"), ByContent()
    unit = F.normalize(encoder.embed_images(query), dim=1)
    cosines = (unit @ unit.T).fill_diagonal_(-2)  # by hand: the best other image
    hits = query.labels[cosines.argsort(dim=1, descending=True)[:, :10]] == query.labels[:, None]
    for found in (copies_found, itself_found):
        assert found["P@10:hits_over_k"].value == pytest.approx(hits.mean())
        assert {r.own_image_excluded for r in found.values()} == {len(query)}
    assert {r.own_image_excluded for r in plain.values()} == {0}
    embedder = VanillaClip(encoder)
    explored = percent_by_direction(embedded(embedder, copied), copied, "P@10:hits_over_k")
    assert explored.tolist() == pytest.approx([100 * hits.mean()])


def test_queries_without_a_relevant_image_are_counted(task):
    fewer = replace(one_direction(task, "sketch", "real"), gallery_classes=task.classes[1:])
    records = measure(VanillaClip(Encoder()), fewer)
    assert {r.queries_without_relevant for r in records} == {PER_CLASS}
    assert {r.queries_without_relevant for r in measure(VanillaClip(Encoder()), task)} == {0}


def test_an_image_in_two_classes_is_reported_once(task):
    first, second = (f"real/{label}/0" for label in task.classes[:2])
    twice = with_digests(task, lambda key: first if key == second else key)
    with pytest.warns(UserWarning, match=f"1 test images are in two classes .{first}, {second}") as caught:
        measure([VanillaClip(Encoder())] * 2, twice)
    assert len(caught) == 1


def test_test_images_among_the_training_images_are_reported_unless_the_task_trains_on_them(task):
    method = Trained(Encoder())
    task = task.between("real", "sketch")
    method.training_images = task.train  # of seen classes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(method, task)
        closed = replace(task, seen=task.classes)  # trains on its test images, without labels
        method.training_images = closed.train
        measure(method, closed)
    leak = task.query("sketch").keys[:2]
    leaked = with_digests(task, lambda key: leak[0] if key == task.train.keys[0] else key)
    method.training_images = leaked.train  # a copy of a test image, under another name and class
    with pytest.warns(UserWarning, match=f"mine was trained on 1 of the .*{leak[0]}") as caught:
        measure([method, method], leaked)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)


def test_a_method_that_needs_all_queries_is_refused_with_few(task):
    method = Trained(Encoder())
    method.data_at_test_time = frozenset({"all queries"})
    few = replace(task, classes=task.classes[:3])  # 9 images
    with pytest.raises(CdirError, match="mine .* has only 9 in real"):
        measure(method, few)
    assert measure(method, replace(task, classes=task.classes[:4]))
    method.data_at_test_time = frozenset({"gallery"})
    assert measure(method, few)


def test_collapsed_embeddings_are_reported_by_measure(task):
    class Constant(Encoder):
        def embed_images(self, images, progress=True):
            return torch.ones(len(images), 6)

    with pytest.warns(UserWarning, match="nearly equal"):
        measure(VanillaClip(Constant()), task)


def test_records_name_the_pool_of_training_images(task):
    """The pool is what the seed drew from; without one, the training images."""
    method = Trained(Encoder())
    assert context_of(method, task, 0)["train_pool_fingerprint"] == ""
    method.training_images = task.train.take([3, 1])
    assert context_of(method, task, 0)["train_pool_fingerprint"] == method.training_images.fingerprint
    method.training_pool = task.train
    assert context_of(method, task, 0)["train_pool_fingerprint"] == task.train.fingerprint


def test_records_name_other_numbers_of_images_than_the_card_s(task):
    assert context_of(Trained(Encoder()), task, 0)["image_counts"] == "720 of 7,200 images"
    assert task.between("real", "sketch").image_counts == "720 of 7,200 images"


class Centred(Trained):
    name = "centred"

    def embed(self, images, *, progress=True):
        emb = super().embed(images)
        return emb - emb.mean(0)


def test_a_method_that_looks_at_all_queries_without_saying_so_is_found(task):
    with pytest.warns(UserWarning, match="centred.*data_at_test_time"):
        records = measure(Centred(Encoder()), task)
    assert {record.data_at_test_time for record in records} == {("all queries",)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert {record.data_at_test_time for record in measure(Trained(Encoder()), task)} == {()}
        declared = Centred(Encoder())
        declared.data_at_test_time = frozenset({"all queries", "gallery"})
        assert {record.data_at_test_time for record in measure(declared, task)} == {("all queries", "gallery")}
