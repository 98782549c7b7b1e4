"""A gallery in shards against the single pass: in this process, and by the processes of a dask cluster."""

import os
import re
import signal

import numpy as np
import pytest

from cdir_nb.errors import CdirError
from cdir_nb.paths import ROOT
from cdir_nb.retrieval import evaluate, rank, rank_shards


def signs(n, seed):
    """With 16 dimensions cosines of +-1 rows are exact in float32, and ties abound, also between shards."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], (n, 16)).astype(np.float32)


QUERY, GALLERY = signs(40, 1), signs(300, 2)


def assert_single_pass(ranking, k, similarity="cosine"):
    expected = rank(QUERY, GALLERY, k=k, similarity=similarity)
    assert np.array_equal(ranking.indices, expected.indices) and np.allclose(ranking.scores, expected.scores)
    assert ranking.n_gallery == len(GALLERY) and ranking.indices.dtype == np.int32


@pytest.mark.parametrize("cuts", [[], [100, 200], [1, 2, 150, 151, 290]])
@pytest.mark.parametrize("k", [1, 5, 120, 300, 999])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_merged_shards_are_the_single_pass_with_ties_in_gallery_order(cuts, k, similarity):
    assert_single_pass(rank_shards(QUERY, np.split(GALLERY, cuts), k=k, similarity=similarity), k, similarity)


def test_a_bad_shard_is_named(tmp_path):
    np.save(tmp_path / "good.npy", GALLERY)
    (tmp_path / "bad.npy").write_bytes(b"not numpy")
    np.save(tmp_path / "wide.npy", np.ones((3, 17)))
    for bad, k, value in (("bad.npy", 5, "shard 1"), ("none.npy", 5, "none.npy"), ("wide.npy", 5, "17")):
        with pytest.raises(CdirError, match=value) as error:
            rank_shards(QUERY, [tmp_path / "good.npy", tmp_path / bad], k=k)
        assert "\n" not in str(error.value)
    with pytest.raises(CdirError, match="shards is empty"):
        rank_shards(QUERY, [], k=5)
    with pytest.raises(CdirError, match="got None"):
        rank_shards(QUERY, [GALLERY], k=None)


@pytest.fixture(scope="module")
def client():
    """Two worker processes; a lost one is started again."""
    distributed = pytest.importorskip("distributed", reason="not installed: pip install '.[cluster]'")
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, **options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.cluster
def test_workers_rank_shards_and_may_be_lost(client, tmp_path):
    for number, part in enumerate(np.split(GALLERY, [100, 101, 200])):
        np.save(tmp_path / f"{number}.npy", part)
    shards = sorted(tmp_path.glob("*.npy"))
    ranking = rank_shards(QUERY, shards, k=20, client=client)
    assert_single_pass(ranking, 20)
    labels = np.arange(40) % 7, np.arange(300) % 6
    expected = evaluate(rank(QUERY, GALLERY, k=20), *labels, ks=(1, 20), ap_ks=(20,))
    assert [r.mean for r in evaluate(ranking, *labels, ks=(1, 20), ap_ks=(20,))] == pytest.approx(
        [r.mean for r in expected], nan_ok=True
    )
    with pytest.raises(CdirError, match=r"shard 4.*missing\.npy"):
        rank_shards(QUERY, [*shards, tmp_path / "missing.npy"], k=20, client=client)
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    assert_single_pass(rank_shards(QUERY, shards, k=20, client=client), 20)


@pytest.mark.cluster
@pytest.mark.slow
def test_the_example_of_the_documentation_runs(client, fresh_cache, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    client.run(os.environ.__setitem__, "CDIR_CACHE", str(fresh_cache))
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}  # cloudpickle sends functions of this module to the workers
    exec(compile(code.replace("tcp://127.0.0.1:8786", client.scheduler.address), "cluster.md", "exec"), names)
    names["client"].close()
    emb, sketches, photos = (names[name] for name in ("emb", "sketches", "photos"))
    assert np.array_equal(names["ranking"].indices, rank(emb[sketches], emb[photos], k=10).indices)
