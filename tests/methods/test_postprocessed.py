"""Any fitted method with post-processing: its vectors by hand, its records, and what is refused."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cdir_nb.data import ImageSet, load_card, load_protocol
from cdir_nb.errors import CdirError
from cdir_nb.methods import AlphaQE, Centre, Embedder, Popularity, PostProcessed, QBNorm, VanillaClip
from cdir_nb.methods.stored import store
from cdir_nb.results import measure
from cdir_nb.results.measure import evaluate_task
from cdir_nb.results.records import setting_of, settings_digest
from cdir_nb.retrieval import rank

TRAINING, QUERIES, GALLERY = "training images", "all queries", "gallery"
A, B = "real", "sketch"


class Encoder:
    """Vectors drawn from each image's key, around a mean of its domain."""

    identity = "a test [1]"

    def embed_images(self, images, progress=True):
        return torch.stack([self.drawn(key) + self.drawn(key.split("/")[0]) for key in images.keys])

    def drawn(self, text):
        return torch.randn(8, generator=torch.Generator().manual_seed(sum(map(ord, text)) * len(text)))


@pytest.fixture(scope="module")
def task():
    card = load_card("world")
    rows = [(d, c, i) for d in card.domains for c in card.classes for i in range(3)]
    columns = [np.array(column) for column in zip(*rows)]
    keys = tuple(f"{d}/{c}/{i}" for d, c, i in rows)
    images = ImageSet(keys, columns[0], columns[1], lambda key: Image.new("RGB", (1, 1)), keys)
    return load_protocol("world-unseen", images).between(A, B)


@pytest.fixture
def clip():
    return VanillaClip(Encoder())


def prepared(method, query, gallery):
    return method.prepare(query, gallery, method.embed(query), method.embed(gallery))


def unit(images):
    rows = np.stack([row.numpy() for row in Encoder().embed_images(images)]).astype(float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_hand(task, centring, expansion, subtracted):
    """(Q, G) scores of A -> B in numpy."""
    q, g, bank = unit(task.query(A)), unit(task.gallery(B)), unit(task.train.select(A))
    if centring:
        q_mean, g_mean = {
            TRAINING: (bank.mean(0), unit(task.train.select(B)).mean(0)),
            QUERIES: (q.mean(0), g.mean(0)),
            GALLERY: (0, g.mean(0)),
        }[centring]
        bank_mean = bank.mean(0) if centring == QUERIES else q_mean
        q, g, bank = (x - m for x, m in ((q, q_mean), (g, g_mean), (bank, bank_mean)))
        q, g, bank = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, g, bank))
    if expansion:
        n, alpha = expansion
        for rows in (q, bank):
            for row in rows:
                s = g @ row
                for i in np.argsort(-s)[:n]:
                    row += max(s[i], 0) ** alpha * g[i]
                row /= np.linalg.norm(row)
    scores = q @ g.T
    if subtracted:
        similar = (bank if subtracted == TRAINING else q) @ g.T
        scores -= 0.1 * np.log(np.exp(similar / 0.1).mean(0))
    return scores


COMBINATIONS = list(product(["", TRAINING, QUERIES, GALLERY], [(), (4, 2)], ["", TRAINING, QUERIES]))[1:]


@pytest.mark.parametrize(("centring", "expansion", "subtracted"), COMBINATIONS)
def test_each_combination_of_steps_ranks_as_by_hand(task, clip, centring, expansion, subtracted):
    steps = [Centre(centring)] if centring else []
    steps += [AlphaQE(*expansion)] if expansion else []
    steps += [Popularity("softmax", subtracted, tau=0.1)] if subtracted else []
    method = PostProcessed(clip, steps, training_images=task.train)
    ranking = rank(*prepared(method, task.query(A), task.gallery(B)), similarity=method.similarity)
    scores = by_hand(task, centring, expansion, subtracted)
    along = np.take_along_axis(scores, ranking.indices, 1)
    assert (np.diff(along) < 1e-6).all(), "the ranking is in the order of the scores"
    assert method.data_at_test_time == ({centring, subtracted} - {""}) | (
        {GALLERY} if expansion or centring in (QUERIES, GALLERY) else set()
    )


def test_training_means_come_from_the_fitted_method_if_it_has_images(task, clip):
    clip.training_images = task.train
    own, given = PostProcessed(clip, [Centre(TRAINING)]), PostProcessed(clip, [Centre(TRAINING)], task.train)
    pair = task.query(A), task.gallery(B)
    assert all(torch.equal(*both) for both in zip(prepared(own, *pair), prepared(given, *pair)))
    with pytest.raises(CdirError, match="has training images of its own"):
        PostProcessed(clip, [Centre(TRAINING)], task.train.select(A))


def test_the_expansion_of_a_query_leaves_out_its_own_image(task, clip):
    query, method = task.query(A), PostProcessed(clip, [AlphaQE(1, 0)])
    emb = unit(query)
    scores = emb @ emb.T
    np.fill_diagonal(scores, -2)
    expected = emb + emb[scores.argmax(1)]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(prepared(method, query, query)[0], expected, atol=1e-6)


def test_records_say_what_was_done_and_never_merge_with_those_of_the_base(task, clip):
    sets = [
        [Centre(TRAINING)], [Centre(QUERIES)], [Centre(GALLERY)], [AlphaQE(10, 3)], [AlphaQE(10, 2)],
        [Centre(TRAINING), AlphaQE(10, 3)], [Popularity("mean", QUERIES)], [Popularity("mean", TRAINING)],
        [Popularity("top_k", QUERIES, k=5)], [Popularity("sinkhorn", QUERIES, tau=0.1)], [QBNorm(0.05)],
    ]  # fmt: skip
    methods = [clip, *(PostProcessed(clip, steps, training_images=task.train) for steps in sets)]
    records = [next(r for r in measure(method, task) if r.query_domain == A) for method in methods]
    assert len({setting_of(r) for r in records}) == len({r.method for r in records}) == len(methods)
    assert len({r.settings_digest for r in records}) == len(methods)
    assert all(r.method.startswith("vanilla CLIP + ") for r in records[1:])
    for method, record in zip(methods, records):
        assert set(record.data_at_test_time) == method.data_at_test_time
        images = task.train if TRAINING in record.data_at_test_time else None
        assert record.train_fingerprint == (images.fingerprint if images else "")
    assert records[6].settings["postprocessing"] == [
        {"step": "Centre", "means": TRAINING},
        {"step": "AlphaQE", "n": 10, "alpha": 3},
    ]
    digests = {settings_digest(PostProcessed(clip, [AlphaQE(10, alpha)]).settings) for alpha in (3, 3.0)}
    assert len(digests) == 1


def test_a_trained_method_stays_what_it_is(task, clip):
    clip.similarity, clip.directions, clip.steps, clip.moved = "euclidean", ((A, B),), 7, {"head": 0.5}
    clip.selection, clip.training_commit, clip.settings = "last epoch", "abc1234", {"rate": 0.1}
    records = measure(PostProcessed(clip, [AlphaQE()]), task, seed=3)
    assert {(r.query_domain, r.gallery_domain, r.seed, r.steps) for r in records} == {(A, B, 3, 7)}
    one = records[0]
    assert (one.selection_rule, one.training_commit, one.moved) == ("last epoch", "abc1234", {"head": 0.5})
    assert one.settings["rate"] == 0.1 and one.settings["similarity"] == "cosine"


def test_centring_by_all_queries_is_the_readme_method(task, clip):
    class Centred(VanillaClip):
        def embed(self, images, *, progress=True):
            emb = F.normalize(self.encoder.embed_images(images), dim=1)
            return emb - emb.mean(0)

    found, expected = (evaluate_task(m, task) for m in (PostProcessed(clip, [Centre(QUERIES)]), Centred(Encoder())))
    for direction in expected:
        assert [r.mean for r in found[direction]] == pytest.approx([r.mean for r in expected[direction]])


@pytest.mark.parametrize("step", [Centre(QUERIES), Popularity("mean", QUERIES)])
@pytest.mark.parametrize("n", [1, 2])
def test_a_step_that_needs_many_queries_refuses_one_or_two(task, clip, step, n):
    with pytest.raises(CdirError, match=rf"needs all queries at once, and there are {n}") as error:
        prepared(PostProcessed(clip, [step]), task.query(A).take(range(n)), task.gallery(B))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "steps",
    [[], [AlphaQE(), Centre(QUERIES)], [Popularity("mean", QUERIES), AlphaQE()], [Centre(GALLERY), Centre(QUERIES)],
     [Popularity("mean", QUERIES), QBNorm(0.1)], ["centre"]],
)  # fmt: skip
def test_steps_in_another_order_are_refused(clip, steps):
    with pytest.raises(CdirError, match="in this order"):
        PostProcessed(clip, steps)


def test_bad_input_is_refused_in_one_line(task, clip):
    for make, named in (
        (lambda: Centre("all images"), "'all images'"),
        (lambda: Popularity("median", QUERIES), "'median'"),
        (lambda: Popularity("mean", GALLERY), "'gallery'"),
        (lambda: PostProcessed(clip, [Centre(TRAINING)]), "training_images=task.train"),
        (lambda: PostProcessed(clip, [QBNorm(0.1)], task.train.take([])), "no training images"),
        (lambda: store(PostProcessed(clip, [AlphaQE()]), task.images), "store the method without it"),
        (lambda: PostProcessed(PostProcessed(clip, [AlphaQE()]), [AlphaQE()]), "post-processing of its own"),
    ):
        with pytest.raises(CdirError, match=named):
            make()
    method = PostProcessed(clip, [Centre(TRAINING)], task.train.select(A))
    with pytest.raises(CdirError, match="no training images of sketch"):
        measure(method, task)
    mixed = task.images.select((A, B))
    with pytest.raises(CdirError, match="one domain at a time"):
        prepared(PostProcessed(clip, [Centre(TRAINING)], task.train), mixed, task.gallery(B))


def test_a_method_without_steps_is_ranked_as_it_embeds(task, clip):
    query, gallery = task.query(A), task.gallery(B)
    emb = clip.embed(query), clip.embed(gallery)
    assert all(a is b for a, b in zip(emb, Embedder.prepare(clip, query, gallery, *emb)))
