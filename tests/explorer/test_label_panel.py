import numpy as np
import pytest
import torch

from cdir_nb.explorer.label_panel import PseudoLabels
from cdir_nb.methods.clair.pseudo_labels import refine


@pytest.fixture(scope="module")
def labels(collection):
    return PseudoLabels(collection)


def test_without_refinement_images_are_ranked_by_a_softmax_of_cosines(labels, collection):
    rows = collection.domain_rows["photo"]
    x = collection.encoder.table[rows].numpy()
    w = collection.encoder.embed_texts([f"A photo of a {name}" for name in ("banana", "guitar", "tree")]).numpy()
    y = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T
    p = np.exp(y / 0.1) / np.exp(y / 0.1).sum(axis=1, keepdims=True)
    found = labels.ask("photo", "guitar", 0, 0.1, 4)
    assert found.rows.tolist() == rows[np.argsort(-p[:, 1], kind="stable")[:4]].tolist()
    assert found.scores == pytest.approx(np.sort(p[:, 1])[::-1][:4], abs=1e-5)
    truth = collection.images.labels[rows]
    assert found.average == pytest.approx(np.mean(np.array(["banana", "guitar", "tree"])[y.argmax(1)] == truth))
    assert found.precision == pytest.approx(np.mean(collection.images.labels[found.rows] == "guitar"))


def test_steps_one_by_one_are_steps_at_once(labels):
    start, target = labels.target("sketch")
    at_once = refine(start, target, labels.config.changed(steps=7))
    assert torch.allclose(labels.refined("sketch", 7), at_once, atol=1e-6)
    assert not torch.allclose(labels.refined("sketch", 7), start, atol=1e-4)
