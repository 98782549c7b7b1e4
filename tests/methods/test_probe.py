"""The probe starts as the encoder, lowers its losses, and is a function of its seed."""

import pytest
import torch
import torch.nn.functional as F

from cdir_nb.errors import CdirError
from cdir_nb.methods.probe import project, train_probe


@pytest.fixture(scope="module")
def two_domains():
    """Three classes in 8 dimensions, 40 images a domain; the second domain is shifted by a common offset."""
    draw = torch.Generator().manual_seed(0)
    centres, offset = torch.randn(3, 8, generator=draw), 2 * torch.randn(8, generator=draw)
    labels = [torch.arange(40) % 3, torch.arange(40) % 3]
    emb = [centres[y] + 0.7 * torch.randn(40, 8, generator=draw) + i * offset for i, y in enumerate(labels)]
    return emb, labels


def across(emb, labels, weight):
    """Mean cosine across the domains of the same class minus that of other classes."""
    cosines = project(emb[0], weight) @ project(emb[1], weight).T
    same = labels[0][:, None] == labels[1][None]
    return float(cosines[same].mean() - cosines[~same].mean())


def test_step_0_is_the_encoder_and_steps_are_kept_as_asked(two_domains):
    kept = train_probe(*two_domains, steps=12, every=5)
    assert list(kept) == [0, 5, 10, 12]
    assert torch.equal(kept[0], torch.eye(8)) and not torch.equal(kept[10], kept[12])
    assert torch.allclose(project(two_domains[0][0], kept[0]), F.normalize(two_domains[0][0], dim=1))


def test_it_brings_classes_together_across_domains(two_domains):
    kept = train_probe(*two_domains, steps=200, every=100)
    gaps = [across(*two_domains, weight) for weight in kept.values()]
    assert gaps[0] < gaps[1] < gaps[2]


def test_labels_matter(two_domains):
    emb, labels = two_domains
    mixed = [labels[0], labels[1].roll(1)]  # the classes of the second domain are named wrongly
    assert across(emb, labels, train_probe(emb, mixed, steps=200)[200]) < across(emb, labels, torch.eye(8))


def test_same_seed_same_run_and_shorter_runs_are_its_beginning(two_domains):
    emb = [e.repeat(3, 1) for e in two_domains[0]]  # more than a batch, so that the seed matters
    labels = [y.repeat(3) for y in two_domains[1]]
    long, short = (train_probe(emb, labels, steps=s, every=5, seed=1) for s in (10, 5))
    assert torch.equal(long[5], short[5])
    assert not torch.equal(long[5], train_probe(emb, labels, steps=5, every=5, seed=2)[5])


def test_one_domain_is_refused(two_domains):
    with pytest.raises(CdirError, match="learns from two domains, got 1"):
        train_probe(two_domains[0][:1], two_domains[1][:1])


def test_a_domain_without_images_is_refused():
    emb, labels = (
        [torch.ones(3, 4), torch.ones(0, 4)],
        [torch.zeros(3, dtype=torch.long), torch.zeros(0, dtype=torch.long)],
    )
    with pytest.raises(CdirError, match="each class needs two images or more"):
        train_probe(emb, labels)
