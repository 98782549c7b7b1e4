"""Embedding and ranking by the processes of a dask cluster: the same bits, lost workers, one line for each failure."""

import os
import re
import signal
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from cdir_nb.data import ImageSet
from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.cache import EmbeddingStore
from cdir_nb.errors import CdirError
from cdir_nb.paths import ROOT
from cdir_nb.retrieval import ShardedGallery, evaluate_embeddings, rank, write_gallery
from cdir_nb.run import cluster
from cdir_nb.run.on_cluster import embed_on, evaluate_on, rank_on

pytestmark = pytest.mark.cluster
distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed (pip install '.[cluster]')")


@pytest.fixture(scope="module")
def client():
    """Two worker processes; a lost one is started again."""
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, **options) as made, distributed.Client(made) as client:
        yield client


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@dataclass(frozen=True)
class Held:
    """Writes the process's number into a file, then waits until another file exists."""

    trace: Path
    key: Path

    def wait(self):
        with open(self.trace, "a") as file:
            file.write(f"{os.getpid()}\n")
        wait_for(self.key.exists)

    def pids(self):
        return [int(pid) for pid in self.trace.read_text().split()] if self.trace.exists() else []

    def kill_the_first(self):
        """Kill the first process that waits, and let the others go on when its work has begun again elsewhere."""

        def kill():
            wait_for(self.pids)
            before = len(self.pids())
            os.kill(self.pids()[0], signal.SIGKILL)
            wait_for(lambda: len(self.pids()) > before)
            self.key.touch()

        thread = threading.Thread(target=kill)
        thread.start()
        return thread


@pytest.fixture
def held(tmp_path):
    return Held(tmp_path / "trace", tmp_path / "key")


@dataclass(frozen=True)
class Loader:
    """A picture of noise for each key; the picture of `waits_at` comes late."""

    held: Held | None = None
    waits_at: str = ""

    def __call__(self, key):
        if key == self.waits_at:
            self.held.wait()
        noise = np.random.default_rng(int(key.split("/")[-1])).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(noise)


def noise_images(count, load=None):
    keys = tuple(f"real/cat/{n}" for n in range(count))
    return ImageSet(
        keys, np.full(count, "real"), np.full(count, "cat"), load or Loader(), tuple(map(str, range(count)))
    )


@pytest.fixture
def encoder(fresh_cache):
    return load_encoder("tiny-clip")


@pytest.fixture
def small_tasks(monkeypatch):
    monkeypatch.setattr("cdir_nb.run.on_cluster.IMAGES_PER_TASK", 16)


def test_images_are_embedded_by_the_workers_into_the_cache_of_the_caller(client, encoder, small_tasks, monkeypatch):
    images = noise_images(40)
    expected = encoder.embed_images(images, keep=False, batch_size=8, progress=False)
    images = images.take([*range(40), 3, 3])  # a picture that comes more than once is embedded once
    encoder.embed_images(images.take([5, 20]), progress=False)  # and what the cache has is not
    computed, add = [], EmbeddingStore.add
    monkeypatch.setattr(
        EmbeddingStore, "add", lambda self, digests, rows: computed.append(digests) or add(self, digests, rows)
    )
    found = embed_on(client, encoder, images, batch_size=8)
    assert torch.allclose(found, expected[[*range(40), 3, 3]], atol=1e-5) and not computed  # not by this process
    files = list(encoder.store().folder.glob("*.safetensors"))
    assert len(files) == 1 + 3
    assert torch.equal(found, embed_on(client, encoder, images)) and not encoder.missing(images)


def test_an_image_that_cannot_be_read_is_named_and_the_others_are_kept(client, encoder, small_tasks):
    images = noise_images(40)
    broken = replace(images, keys=(*images.keys[:39], "real/cat/no number"), load=Unreadable())
    with pytest.raises(CdirError, match="real/cat/no number cannot be read"):
        embed_on(client, encoder, broken)
    wait_for(lambda: len(encoder.missing(images)) <= 8)  # the last task has 8 images


@dataclass(frozen=True)
class Unreadable:
    def __call__(self, key):
        if "no number" in key:
            raise CdirError(f"image {key} cannot be read: replace it")
        return Loader()(key)


def test_a_cache_that_workers_cannot_write_is_one_line(client, encoder, small_tasks, monkeypatch):
    (encoder.store().folder.parent.parent).mkdir()
    (encoder.store().folder.parent).touch()  # a file where the folder should be
    with pytest.raises(CdirError, match="is not in .*: set CDIR_CACHE to a folder with free space that all machines"):
        embed_on(client, encoder, noise_images(3))


def normal(n, dim, seed):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


QUERY, ROWS = normal(60, 64, 1), normal(30_000, 64, 2)[np.r_[0:29_000, 100:1100]]  # the last 1,000 rows are copies
LABELS = np.arange(60) % 7, np.arange(30_000) % 6


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return write_gallery(tmp_path_factory.mktemp("gallery"), np.split(ROWS, [9000, 9001, 20_000]))


def assert_single_pass(ranking, k, similarity="cosine"):
    single = rank(QUERY, ROWS, k=k, similarity=similarity)
    assert np.array_equal(ranking.indices, single.indices) and np.array_equal(ranking.scores, single.scores)


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_ranking_and_metrics_have_the_bits_of_the_single_pass(client, gallery, similarity):
    for k in (1, 200):
        assert_single_pass(rank_on(client, QUERY, gallery, k=k, similarity=similarity), k, similarity)
    ours = evaluate_on(client, QUERY, gallery, *LABELS, similarity=similarity)
    single = evaluate_embeddings(QUERY, ROWS, *LABELS, similarity=similarity)
    assert [(str(r.metric), r.mean) for r in ours] == [(str(r.metric), r.mean) for r in single]


def test_a_damaged_shard_is_named(client, gallery, tmp_path):
    broken = write_gallery(tmp_path, np.split(ROWS, [10_000]))
    content = (tmp_path / "00001.safetensors").read_bytes()
    (tmp_path / "00001.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CdirError, match=r"00001\.safetensors is missing or damaged"):
        rank_on(client, QUERY, broken, k=5)


def test_workers_with_other_code_are_refused(client, gallery, monkeypatch):
    monkeypatch.setattr(cluster, "package_digest", lambda: "0" * 64)
    with pytest.raises(CdirError, match="has another version of the workbook"):
        rank_on(client, QUERY, gallery, k=5)


def test_the_example_of_the_documentation_runs(client, fresh_cache, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code.replace("tcp://127.0.0.1:8786", client.scheduler.address), "cluster.md", "exec"), names)
    names["client"].close()
    emb, sketches, photos = (names[name] for name in ("emb", "sketches", "photos"))
    single = rank(emb[sketches], emb[photos], k=10)
    assert np.array_equal(names["ranking"].indices, single.indices)
    assert [str(r.metric) for r in names["results"]][-4:] == [
        f"mAP@all:{c}" for c in ("over_found", "over_min_k_relevant", "over_relevant", "voc_interpolated")
    ]


def test_a_task_that_kills_its_workers_is_one_line(client, gallery, monkeypatch):
    def lost(_):
        raise distributed.scheduler.KilledWorker("task", SimpleNamespace(address="tcp://a"), 3)

    monkeypatch.setattr(distributed.Future, "result", lost)
    with pytest.raises(CdirError, match="KilledWorker: ") as error:
        rank_on(client, QUERY, gallery, k=5)
    assert "\n" not in str(error.value)


# --- workers that are killed: last, since the cluster starts them again, which takes its time


@pytest.fixture
def unchecked(monkeypatch):
    """The check of all workers' code would wait for those that are being started again."""
    monkeypatch.setattr("cdir_nb.run.on_cluster.refuse_other_code", lambda client: None)


def test_the_images_of_a_killed_worker_are_embedded_elsewhere(client, encoder, small_tasks, held, unchecked):
    images = noise_images(48, Loader(held, "real/cat/20"))
    killer = held.kill_the_first()
    found = embed_on(client, encoder, images, batch_size=16)
    killer.join()
    assert len(set(held.pids())) == 2
    plain = noise_images(48)
    assert torch.allclose(found, encoder.embed_images(plain, keep=False, progress=False), atol=1e-5)


@dataclass(frozen=True)
class SlowGallery(ShardedGallery):
    held: Held | None = None

    def rows(self, wanted):
        if wanted[0] == 0:
            self.held.wait()
        return super().rows(wanted)


def test_the_shards_of_a_killed_worker_are_ranked_elsewhere(client, gallery, held, unchecked):
    killer = held.kill_the_first()
    ranking = rank_on(client, QUERY, SlowGallery(gallery.folder, gallery.shards, held), k=50)
    killer.join()
    assert len(set(held.pids())) == 2
    assert_single_pass(ranking, 50)
