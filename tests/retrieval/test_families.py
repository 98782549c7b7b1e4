"""The table of families: complete, in known words, and each family's number worked out independently."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from cdir_nb.retrieval.families import Family, as_reported, families, family_table

FOUND = {f.name: f for f in families()}


@pytest.fixture(scope="module")
def world():
    """30 queries and 60 gallery items of 5 uneven classes, of uneven length, not normalised."""
    draw = np.random.default_rng(0)
    query, gallery = draw.integers(5, size=30), draw.choice(5, 60, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    centres = draw.standard_normal((5, 6))
    emb = [
        torch.tensor((centres[y] + draw.standard_normal((len(y), 6))) * draw.uniform(0.3, 3, (len(y), 1)))
        for y in (query, gallery)
    ]
    return *emb, query, gallery


def orders(query, gallery, similarity):
    """(Q, G) gallery rows, best first, by full sorting in numpy."""
    q, g = query.numpy().astype(float), gallery.numpy().astype(float)
    if similarity == "raw":
        return np.argsort(((q[:, None] - g[None]) ** 2).sum(-1), axis=1)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, g)]
    return np.argsort(-unit[0] @ unit[1].T, axis=1)


def relevances(world, similarity):
    query, gallery, query_labels, gallery_labels = world
    return gallery_labels[orders(query, gallery, similarity)] == query_labels[:, None]


def test_ucdir_adds_hits_and_ranks_over_queries(world):
    hits = looked_at = 0
    for relevant in relevances(world, "cosine"):
        depth = min(20, relevant.sum())
        hits, looked_at = hits + relevant[:depth].sum(), looked_at + depth
    found = as_reported(FOUND["UCDIR, DG-UCDIR, ProtoOT"], *world, 20)
    assert found == {"precision": pytest.approx(hits / looked_at)}


def test_snmpnet_divides_by_hits_and_orders_raw_vectors(world):
    aps = []
    for relevant in relevances(world, "raw")[:, :20]:
        places = np.flatnonzero(relevant)
        aps.append(np.mean(np.arange(1, len(places) + 1) / (places + 1)) if len(places) else 0)
    found = as_reported(FOUND["SnMpNet"], *world, 20)
    assert found["average_precision"] == pytest.approx(np.mean(aps))
    assert found["precision"] == pytest.approx(relevances(world, "raw")[:, :20].mean())
    assert found["precision"] != pytest.approx(relevances(world, "cosine")[:, :20].mean())


def test_unit_euclidean_is_cosine(world):
    sake, ama = (as_reported(FOUND[name], *world, 20) for name in ("SAKE", "AMA"))
    assert sake == pytest.approx(ama)


def test_no_cut_off_where_the_family_has_none(world):
    aps = [np.mean(np.arange(1, r.sum() + 1) / (np.flatnonzero(r) + 1)) for r in relevances(world, "cosine")]
    found = as_reported(FOUND["Sketch_LVM"], *world, 3)
    assert found == {"average_precision": pytest.approx(np.mean(aps))}


def test_the_table_has_a_row_each_and_says_how_it_is_known():
    table = family_table().set_index("source")
    assert len(table) == len(FOUND) == len(families())
    assert table.loc["SnMpNet", "similarity"] == "Euclidean, raw vectors"
    assert table.loc["SAKE", "similarity"] == "Euclidean, unit vectors"
    assert table.loc["Doodle-to-Search", ["P@k", "AP"]].tolist() == ["-", "over_relevant (@all)"]
    assert {name for name, row in table.iterrows() if row["known from"] != "code"} == {"TKI", "CLAIR"}
    assert not table.isna().any(axis=None)


@pytest.mark.parametrize(
    ("field", "value"),
    [("precision", "hits"), ("average_precision", "over_found "), ("similarity", "dot"), ("why", ""), ("cutoff", 200)],
)
def test_an_invalid_field_is_refused(field, value):
    with pytest.raises(ValidationError):
        Family(**{**families()[0].model_dump(), field: value})
