"""Scores of everything untrained are the same with one thread and with two, to 1e-5."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from cdir_nb.data import load_protocol
from cdir_nb.data.world import load_world
from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.zero_shot import prompt_embeddings, zero_shot_scores
from cdir_nb.methods import METHODS, fit
from cdir_nb.methods.tki import TkiSettings, TkiTraining
from cdir_nb.methods.ucdir.clusters import kmeans

pytestmark = pytest.mark.medium
DIRECTION = ("sketch", "real")


@pytest.fixture(scope="module")
def task():
    return load_protocol("world-unseen", load_world(2)).between(*DIRECTION)


@pytest.fixture
def both(monkeypatch, tmp_path):
    """A function that computes with one thread and with two, each with an empty cache, and returns both results."""
    threads = torch.get_num_threads()

    def compute(function: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, ...]:
        results = []
        for count in (1, 2):
            monkeypatch.setenv("CDIR_CACHE", str(tmp_path / str(count)))
            torch.set_num_threads(count)
            results.append(function())
        return tuple(results)

    yield compute
    torch.set_num_threads(threads)


def scores(embedder, task) -> torch.Tensor:
    query, gallery = (embedder.embed(part, progress=False) for part in (task.query("sketch"), task.gallery("real")))
    return F.normalize(query, dim=1) @ F.normalize(gallery, dim=1).T


UNTRAINED = [
    (method, encoder)
    for encoder in ("tiny-clip", "real-clip", "mobilenet-v2")
    for method in ("vanilla CLIP", "CLIP + Q", "frozen start", "frozen backbone")
    if METHODS[method].encoders in {"any", "convolutional backbone" if encoder == "mobilenet-v2" else "CLIP"}
]


@pytest.mark.parametrize(("method", "encoder"), UNTRAINED)
def test_rankings_of_untrained_methods(both, task, method, encoder):
    def compute():
        (states,) = fit(method, load_encoder(encoder, device="cpu"), task, directions=[DIRECTION]).states.values()
        return scores(states[0], task)

    torch.testing.assert_close(*both(compute), atol=1e-5, rtol=0)


@pytest.mark.parametrize("encoder", ["tiny-clip", "real-clip"])
def test_zero_shot_scores(both, task, encoder):
    def compute():
        clip, images = load_encoder(encoder, device="cpu"), task.query("sketch")
        texts = prompt_embeddings(clip, list(task.classes), "sketch")
        return zero_shot_scores(F.normalize(clip.embed_images(images, progress=False), dim=1), texts)

    torch.testing.assert_close(*both(compute), atol=1e-5, rtol=0)


def test_the_start_of_tki(both, task):
    def compute():
        how = {"name": "TKI", "progress": False}
        training = TkiTraining(load_encoder("tiny-clip", device="cpu"), task, (), TkiSettings(losses=()), **how)
        images = training.embed(training.model.eval(), task.query("sketch"), False).detach()
        texts = training.model.project(training.expansion.text_emb.flatten(0, 1)).detach()
        return F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T

    torch.testing.assert_close(*both(compute), atol=1e-5, rtol=0)


def test_clusters(both):
    features = F.normalize(torch.randn(300, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    one, two = both(lambda: kmeans(features, 10, iterations=20, restarts=2, seed=0).labels)
    assert torch.equal(one, two)
