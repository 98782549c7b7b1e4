"""Answers against rankings made by hand from the same vectors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cdir_nb.data import object_names
from cdir_nb.errors import CdirError
from cdir_nb.explorer import Explorer, Question
from cdir_nb.explorer.methods import ExplorerMethod
from cdir_nb.methods import AlphaQE, Centre, Popularity, PostProcessed, QBNorm, VanillaClip
from cdir_nb.methods.clair.mapping import procrustes, text_pairs

TRAINING = "training images"
ALONE = (
    [Centre(TRAINING), AlphaQE(3, 3), Popularity("mean", TRAINING)],
    [Centre("gallery"), AlphaQE(100, 0), Popularity("sinkhorn", TRAINING, tau=0.1)],
    [AlphaQE(1, 1), Popularity("top_k", TRAINING, k=100)],
    [Popularity("softmax", TRAINING, tau=0.1)],
    [QBNorm(0.1)],
)


@pytest.fixture
def question(collection):
    return Question("vanilla CLIP", "photo", "sketch", "photo/guitar/1.png", "all images", k=5)


def unit(collection) -> np.ndarray:
    table = collection.encoder.table.numpy().astype(float)
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def by_hand(x, query, gallery, k):
    return sorted(gallery, key=lambda row: -float(x[query] @ x[row]))[:k]


def test_the_answer_is_the_ranking_by_hand(explorer, collection, question):
    x, labels = unit(collection), collection.images.labels
    query = collection.images.keys.index(question.query)
    gallery = [row for row, domain in enumerate(collection.images.domains) if domain == "sketch"]
    found = explorer.ask(question)
    assert found.rows.tolist() == by_hand(x, query, gallery, 5)
    assert found.scores == pytest.approx([x[query] @ x[row] for row in found.rows], abs=1e-5)
    assert found.right.tolist() == [labels[row] == "guitar" for row in found.rows]
    assert found.precision == pytest.approx(np.mean(labels[found.rows] == "guitar"))


@pytest.mark.parametrize("gallery_domain", ["sketch", "photo"])
def test_the_average_is_over_all_queries_and_no_query_finds_itself(explorer, collection, question, gallery_domain):
    x, labels, domains = unit(collection), collection.images.labels, collection.images.domains
    hits = []
    for query in np.flatnonzero(domains == "photo"):
        gallery = [row for row in np.flatnonzero(domains == gallery_domain) if row != query]
        hits += [labels[row] == labels[query] for row in by_hand(x, query, gallery, 5)]
    found = explorer.ask(replace(question, gallery_domain=gallery_domain))
    assert found.average == pytest.approx(np.mean(hits)) and found.n_queries == 12
    assert collection.row(question.query) not in found.rows


def test_an_explanation_has_score_rank_popularity_and_the_rank_after_centring(explorer, collection, question):
    x, domains = unit(collection), collection.images.domains
    query = collection.row(question.query)
    queries, gallery = np.flatnonzero(domains == "photo"), np.flatnonzero(domains == "sketch")
    centred = {}
    for rows in (queries, gallery):
        moved = x[rows] - x[rows].mean(0)
        centred |= dict(zip(rows.tolist(), moved / np.linalg.norm(moved, axis=1, keepdims=True)))
    after = sorted(gallery, key=lambda row: -(centred[query] @ centred[row]))
    for rank, row in enumerate(by_hand(x, query, gallery, 12), 1):
        found = explorer.explain(question, collection.images.keys[row])
        assert (found.rank, found.n_queries, found.average_found) == (rank, 12, 5)
        assert found.score == pytest.approx(x[query] @ x[row], abs=1e-5)
        assert found.popularity == pytest.approx((x[queries] @ x[row]).mean(), abs=1e-5)
        assert found.found_by == sum(row in by_hand(x, other, gallery, 5) for other in queries)
        assert found.centred == (pytest.approx(centred[query] @ centred[row], abs=1e-5), after.index(row) + 1)


def test_the_first_question_has_right_and_wrong_results_if_a_query_has(explorer, collection):
    start = explorer.start()
    values = explorer.precisions(start)
    keys = collection.images.keys
    assert values == {row: explorer.ask(replace(start, query=keys[row])).precision for row in values}
    fits = [row for row, p in values.items() if 0.3 <= p <= 0.7]
    assert fits and collection.row(start.query) in fits
    impossible = explorer.begin("photo", "sketch", (2, 3))
    assert impossible.query == keys[collection.query_rows("photo")[6]]


def test_q_of_strength_0_is_clip_and_of_strength_1_the_mapping(explorer, collection, question):
    rows = {value: explorer.ask(replace(question, method="CLIP + Q", value=value)) for value in (0.0, 1.0)}
    assert rows[0.0].rows.tolist() == explorer.ask(question).rows.tolist()
    names = object_names(exclude=["banana", "guitar", "tree"])
    q = procrustes(*text_pairs(collection.encoder, names, {"photo": "photo", "sketch": "sketch"}).values())
    x = F.normalize(collection.encoder.table, dim=1)
    scores = x[collection.domain_rows["sketch"]] @ (q @ x[collection.row(question.query)])
    assert rows[1.0].scores == pytest.approx(scores.sort(descending=True).values[:5].numpy(), abs=1e-4)


def test_a_text_finds_the_images_nearest_to_it(explorer, collection, question):
    text = F.normalize(collection.encoder.embed_texts(["a guitar"]), dim=1)[0]
    scores = F.normalize(collection.encoder.table, dim=1)[collection.domain_rows["sketch"]] @ text
    best = scores.sort(descending=True).values[:5].numpy()
    assert explorer.ask_text(question, " a guitar ").scores == pytest.approx(best, abs=1e-5)
    with pytest.raises(CdirError, match="a photo of a dog"):
        explorer.ask_text(question, "  ")


def test_an_uploaded_image_is_embedded_and_not_stored(explorer, collection, question, cache):
    before = sorted(cache.rglob("*.safetensors"))
    image = collection.images.take([collection.row("photo/tree/0.png")])
    found = explorer.ask_image(question, replace(image, digests=("another",)))
    assert found.rows.tolist() == explorer.ask(replace(question, query="photo/tree/0.png")).rows.tolist()
    assert sorted(cache.rglob("*.safetensors")) == before


def test_temperature_spreads_the_weight_from_one_image_to_all(explorer, question):
    found = explorer.ask(question)
    spread = [found.effective(t) for t in (1e-4, 0.05, 0.5, 1e4)]
    assert spread == sorted(spread) and spread[0] == pytest.approx(1) and spread[-1] == pytest.approx(12)


def test_without_labels_results_are_ranked_and_not_judged(collection, question):
    images = replace(collection.images, labels=np.array([""] * len(collection.images)))
    found = Explorer(replace(collection, images=images, names={})).ask(question)
    assert len(found.rows) == 5 and found.right is None and found.precision is None and found.average is None


def test_a_gallery_of_the_query_alone_is_an_error(collection, question):
    row = collection.row(question.query)
    alone = replace(collection, images=collection.images.take([row]), words={"photo": "photo"})
    with pytest.raises(CdirError, match="no other image"):
        Explorer(alone).ask(replace(question, gallery_domain="photo"))


def test_a_direction_that_a_method_does_not_serve_is_refused(explorer, question, monkeypatch):
    method = replace(explorer.methods["vanilla CLIP"], name="one way", directions=(("photo", "sketch"),))
    monkeypatch.setitem(explorer.methods, "one way", method)
    assert explorer.ask(replace(question, method="one way")).rows.tolist() == explorer.ask(question).rows.tolist()
    with pytest.raises(CdirError, match="one way was fitted only for photo → sketch"):
        explorer.ask(replace(question, method="one way", query_domain="sketch", gallery_domain="photo"))


@pytest.fixture
def post_processed(explorer, collection, monkeypatch):
    """Adds a method to the explorer: the frozen encoder with these steps."""

    def add(*steps):
        method = PostProcessed(VanillaClip(collection.encoder), steps, collection.images)
        entry = ExplorerMethod("post-processed", "", lambda direction, value: method)
        monkeypatch.setitem(explorer.methods, entry.name, entry)
        explorer.vectors.cache_clear()
        explorer.rankings.cache_clear()
        explorer.average.cache_clear()

    return add


def test_embeddings_are_prepared_before_they_are_ranked(explorer, collection, question, post_processed):
    """Also those of a drawing, and of a result that was clicked, which is no query of the direction."""
    x, domains = unit(collection), collection.images.domains
    centred = x.copy()
    for domain in set(domains):
        centred[domains == domain] -= x[domains == domain].mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    gallery, query = np.flatnonzero(domains == "sketch"), collection.row(question.query)
    post_processed(Centre("training images"), Popularity("mean", "training images"))
    asked = replace(question, method="post-processed")
    popular = centred[domains == "photo"] @ centred.T
    expected = sorted(gallery, key=lambda row: -(centred[query] @ centred[row] - popular[:, row].mean()))[:5]
    assert explorer.ask(asked).rows.tolist() == expected
    assert explorer.ask_image(asked, collection.images.take([query])).rows.tolist() == expected
    assert expected != by_hand(x, query, gallery, 5) and explorer.ask(asked).average is not None


@pytest.mark.parametrize("steps", ALONE, ids=str)
def test_one_query_ranks_as_among_all(explorer, collection, question, post_processed, steps):
    """For methods whose data at test time is the query alone, the gallery or training images."""
    post_processed(*steps)
    for name, method in explorer.methods.items():
        asked = replace(question, method=name, k=12)
        assert "all queries" not in method.at(asked.direction, method.start).data_at_test_time
        for row in collection.query_rows("photo"):
            among_all = explorer.ask(replace(asked, query=collection.images.keys[row]))
            alone = explorer.ask_image(asked, collection.images.take([row]))
            np.testing.assert_allclose(alone.scored, among_all.scored, atol=1e-5)
            np.testing.assert_array_equal(alone.rows, among_all.rows)


def test_a_drawing_is_refused_by_a_method_that_needs_all_queries(explorer, collection, question, post_processed):
    post_processed(Centre("all queries"))
    asked = replace(question, method="post-processed")
    with pytest.raises(CdirError, match="needs all queries at once"):
        explorer.ask_image(asked, collection.images.take([0]))


def test_embeddings_in_memory_are_those_of_the_encoder(collection):
    images = collection.images.take([5, 3, 3])
    expected = collection.encoder.encoder.embed_images(images, progress=False)
    assert torch.equal(collection.encoder.embed_images(images), expected)
