"""Q: closed form against scipy, orthogonality, directions without pairs, the way from identity to Q, messages."""

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F

from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.mapping import (
    all_maps,
    apply_by_domain,
    apply_map,
    geodesic,
    pair_error,
    procrustes,
    rotation_angles,
    text_pairs,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthogonal(size: int, det: int, seed: int = 0) -> torch.Tensor:
    q = torch.linalg.qr(normal(size, size, seed=seed)).Q
    if torch.linalg.det(q) * det < 0:
        q[:, 0] *= -1
    return q


def plane_turn(*angles: float) -> torch.Tensor:
    return torch.from_numpy(
        scipy.linalg.block_diag(*([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles))
    )


def is_orthogonal(q: torch.Tensor, atol: float = 1e-5) -> bool:
    return torch.allclose(q @ q.T, torch.eye(len(q), dtype=q.dtype), atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_scipy_and_is_orthogonal(dtype):
    source, target = normal(300, 24, seed=1).to(dtype), normal(300, 24, seed=2).to(dtype)
    q = procrustes(source, target)
    row_form, _ = scipy.linalg.orthogonal_procrustes(source.double().numpy(), target.double().numpy())
    assert q.dtype == dtype and is_orthogonal(q)
    np.testing.assert_allclose(q.numpy(), row_form.T, atol=1e-5)  # scipy's turns rows: w_a R = w_b


def test_finds_the_rotation_that_made_the_pairs():
    q, source = orthogonal(10, -1), normal(40, 10)
    target = source @ q.T
    torch.testing.assert_close(procrustes(source, target), q)
    assert pair_error(q, source, target) < 1e-12 < pair_error(q.T, source, target)


def test_no_other_rotation_leaves_less():
    source, target = normal(50, 6, seed=3), normal(50, 6, seed=4)
    best = pair_error(procrustes(source, target), source, target)
    assert all(best <= pair_error(orthogonal(6, 1, seed), source, target) for seed in range(50))
    nudge = torch.linalg.matrix_exp(0.05 * (normal(6, 6) - normal(6, 6).T))
    assert best < pair_error(nudge @ procrustes(source, target), source, target)


def test_the_way_back_is_the_transpose():
    source, target = normal(50, 6, seed=3), normal(50, 6, seed=4)
    torch.testing.assert_close(procrustes(target, source), procrustes(source, target).T)


@pytest.mark.parametrize("null_space", ["svd", "identity"])
def test_few_pairs_still_give_a_best_and_orthogonal_q(null_space):
    source = normal(4, 12)
    target = source @ orthogonal(12, 1).T
    q = procrustes(source, target, null_space)
    assert is_orthogonal(q) and pair_error(q, source, target) < 1e-9


def test_identity_in_the_null_space_leaves_directions_without_pairs_alone():
    source = torch.zeros(5, 8, dtype=torch.float64)
    source[:, :2] = normal(5, 2)
    q = procrustes(source, source @ torch.block_diag(plane_turn(0.7), torch.eye(6, dtype=torch.float64)).T, "identity")
    torch.testing.assert_close(q[2:, 2:], torch.eye(6, dtype=torch.float64))
    torch.testing.assert_close(q[:2, :2], plane_turn(0.7))
    full = normal(30, 8, seed=5), normal(30, 8, seed=6)  # with enough pairs there is no null space
    torch.testing.assert_close(procrustes(*full, "identity"), procrustes(*full, "svd"))


def test_identity_in_the_null_space_is_the_nearest_to_the_identity_of_all_best_q():
    source = normal(4, 12)
    target = source @ orthogonal(12, 1).T
    q = procrustes(source, target, "identity")
    null_of = [torch.linalg.svd(pairs).Vh[4:].T for pairs in (source, target)]  # (12, 8) directions without a pair
    for seed in range(20):
        turn = null_of[1] @ (orthogonal(8, 1 if seed % 2 else -1, seed) - null_of[1].T @ q @ null_of[0]) @ null_of[0].T
        other = q + turn
        assert is_orthogonal(other) and pair_error(other, source, target) < 1e-9  # as good, but farther away
        assert (q - torch.eye(12)).norm() < (other - torch.eye(12)).norm()


def test_the_null_space_is_found_despite_the_rounding_of_single_precision():
    source, target = normal(50, 8).float(), normal(50, 8, seed=1).float()
    source[:, 2:], target[:, 2:] = 1e-7 * source[:, 2:], 1e-7 * target[:, 2:]
    q = procrustes(source, target, "identity")
    torch.testing.assert_close(q[2:, 2:], torch.eye(6), atol=1e-5, rtol=0)


def test_rounding_of_the_texts_does_not_change_scores():
    source, target = (F.normalize(3 * normal(1, 12) + normal(4, 12, seed=n), dim=1).float() for n in (1, 2))
    images = F.normalize(normal(40, 12, seed=3), dim=1).float()

    def scores(seed):
        noise = [1 + 6e-8 * normal(4, 12, seed=seed + n).float() for n in (0, 1)]
        return apply_map(procrustes(source * noise[0], target * noise[1]), images) @ images.T

    torch.testing.assert_close(scores(10), scores(20), atol=1e-5, rtol=0)


def test_small_directions_survive_a_large_common_part():
    common = 30 * normal(1, 8, seed=7)
    source, target = ((common + 0.05 * normal(200, 8, seed=seed)).float() for seed in (1, 2))
    exact = scipy.linalg.orthogonal_procrustes(source.double().numpy(), target.double().numpy())[0].T
    np.testing.assert_allclose(procrustes(source, target, "svd").numpy(), exact, atol=1e-5)


def test_pair_error_by_hand():
    source, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])  # apart: 1 + 9; turned by 90 degrees: 4
    assert pair_error(plane_turn(np.pi / 2).float(), source, target) == pytest.approx(0.4)
    assert pair_error(torch.eye(2), source, source) == 0


def test_map_of_queries_and_inverse_map_of_gallery_score_alike():
    q, query, gallery = orthogonal(7, 1), normal(3, 7), normal(5, 7, seed=1)
    torch.testing.assert_close(apply_map(q, query) @ gallery.T, query @ apply_map(q.T, gallery).T)
    torch.testing.assert_close(apply_map(q, query)[1], q @ query[1])


def test_only_the_rows_of_a_domain_are_mapped():
    q, emb = orthogonal(4, 1), normal(3, 4)
    before = emb.clone()
    mapped = apply_by_domain({"sketch": q}, emb, ["sketch", "real", "sketch"])
    torch.testing.assert_close(mapped, torch.stack([q @ emb[0], emb[1], q @ emb[2]]))
    assert torch.equal(emb, before)


@pytest.mark.parametrize("det", [1, -1])
@pytest.mark.parametrize("size", [6, 7])
def test_the_way_runs_through_orthogonal_matrices_from_identity_to_q(det, size):
    q = orthogonal(size, det, seed=size)
    at = geodesic(q)
    torch.testing.assert_close(at(0.0), torch.eye(size, dtype=torch.float64))
    torch.testing.assert_close(at(1.0), q)
    for t in (0.2, 0.5, 0.99):
        assert is_orthogonal(at(t), 1e-9) and torch.linalg.det(at(t)) > 0


def test_the_way_is_that_of_the_matrix_logarithm():
    q = orthogonal(6, 1)
    half = scipy.linalg.expm(0.5 * scipy.linalg.logm(q.numpy()).real)
    np.testing.assert_allclose(geodesic(q)(0.5).numpy(), half, atol=1e-8)


def test_two_mirrored_directions_turn_as_a_plane_and_a_third_flips_at_the_end():
    q = torch.diag(torch.tensor([-1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    at = geodesic(q)
    half = at(0.5)
    assert torch.linalg.det(half) > 0 and half.trace() == pytest.approx(2)  # a plane at 90 degrees, two fixed
    torch.testing.assert_close(at(1.0), q)
    assert rotation_angles(q).tolist() == [180]


def test_angles_of_the_planes():
    q = torch.block_diag(plane_turn(0.5, -1.2), torch.eye(3, dtype=torch.float64))
    mixed = orthogonal(7, 1) @ q @ orthogonal(7, 1).T
    np.testing.assert_allclose(rotation_angles(mixed).numpy(), np.rad2deg([1.2, 0.5]), atol=1e-6)


class Encoder:
    """Texts to vectors that depend on the text alone."""

    def embed_texts(self, texts):
        return torch.stack([normal(5, seed=sum(map(ord, text))).float() for text in texts])


def test_pairs_of_texts_and_maps_for_every_direction():
    words = {"real": "photo", "sketch": "sketch", "info": "infograph"}
    texts = text_pairs(Encoder(), ["light_bulb", "apple", "cup"], words)
    apple = Encoder().embed_texts(["An infograph of an apple"])
    torch.testing.assert_close(texts["info"][1:2], apple / apple.norm())
    plain = text_pairs(Encoder(), ["apple"], {"real": "photo", "sketch": "sketch"}, template="{class}, {domain}")
    apple = Encoder().embed_texts(["apple, sketch"])
    torch.testing.assert_close(plain["sketch"], apple / apple.norm())
    maps = all_maps(texts, "identity")
    assert len(maps) == 6
    torch.testing.assert_close(maps["sketch", "info"], procrustes(texts["sketch"], texts["info"], "identity"))


@pytest.mark.parametrize(
    ("call", "value"),
    [
        (lambda: procrustes(normal(3, 4), normal(2, 4)), r"\(3, 4\) and \(2, 4\)"),
        (lambda: geodesic(normal(3, 3)), r"Q \(3, 3\) is not orthogonal"),
        (lambda: geodesic(normal(3, 4)), r"Q \(3, 4\) is not orthogonal"),
        (lambda: text_pairs(Encoder(), ["cup"], {"real": "photo"}), "two domains.*real: photo"),
        (lambda: text_pairs(Encoder(), [], {"real": "photo", "s": "sketch"}), "names of objects.*none"),
        (lambda: text_pairs(Encoder(), ["cup"], {"real": "photo", "s": " "}), "domain s"),
        (lambda: text_pairs(Encoder(), ["cup"], {"real": "photo", "s": "Photo"}), "real: photo, s: Photo"),
    ],
)
def test_bad_input(call, value):
    with pytest.raises(CdirError, match=value):
        call()
