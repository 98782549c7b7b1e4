"""Search: `cdir search` on embedded images beside the import of its libraries, and one query in a large index.

    python bench/search.py [--images 2000] [--vectors 1000000] [--dim 256]

The first line compares whole processes: `cdir search` minus `import torch, open_clip`, in seconds of wall and CPU time,
each the best of three. The second needs 2 x 4 x vectors x dim bytes of disk and as much memory: exact search in a
memory-mapped index, and with --approximate also in a faiss index, whose recall is the fraction of the exact first 10.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from cdir_nb.data import ImageSet
from cdir_nb.search import Index

QUERIES = 20


class Known:
    """An encoder that returns a prepared vector for each query; digests are row numbers."""

    identity = "known"

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def embed_images(self, images: ImageSet, *, progress: bool = True) -> np.ndarray:
        return self.vectors[[int(key) for key in images.keys]]


def process_seconds(*command: str) -> tuple[float, float]:
    """Wall and CPU seconds of a process, each the best of three. Modules are compiled before, as pip does it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)
    times = []
    for _ in range(3):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times.append((time.perf_counter() - start, cpu))
    return min(wall for wall, _ in times), min(cpu for _, cpu in times)


def bench_command(number: int, folder: Path) -> None:
    """`cdir search` on a folder of images that are in the cache."""
    rng = np.random.default_rng(0)
    for i in range(number):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    search = ("-m", "cdir_nb.cli", "search", str(folder), "--query", str(folder / "0.png"))
    subprocess.run([sys.executable, *search], check=True, stdout=subprocess.DEVNULL)
    libraries, command = process_seconds("-c", "import torch, open_clip"), process_seconds(*search)
    for kind, base, total in zip(("wall", "CPU"), libraries, command):
        print(f"{number:,} images, {kind}: libraries {base:.2f} s, cdir search {total:.2f} s, "
              f"difference {total - base:.2f} s, ratio {total / base:.2f}")  # fmt: skip


def queries(vectors: np.ndarray) -> ImageSet:
    """The first rows, slightly changed, as images whose keys are their numbers."""
    keys = tuple(map(str, range(QUERIES)))
    return ImageSet(keys, np.full(QUERIES, ""), np.full(QUERIES, ""), Image.open, tuple(f"query {k}" for k in keys))


def bench_index(number: int, dim: int, approximate: bool, folder: Path) -> None:
    """Queries in an index of random vectors around 1,000 centres, memory-mapped after `save` and `load`."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, dim)).astype(np.float32)
    vectors = np.concatenate([
        centres[rng.integers(1000, size=size)] + 0.7 * rng.standard_normal((size, dim), np.float32)
        for size in np.diff(np.linspace(0, number, 11).astype(int))
    ])  # fmt: skip
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = Index.__new__(Index)
    index.encoder, index.vectors, index.approximate = Known(vectors[:QUERIES] + 0.01), vectors, None
    files = [f"folder/{row}.png" for row in range(number)]
    domains = np.where(np.arange(number) % 2, "photo", "sketch")
    columns = {"file": files, "domain": domains, "label": [""] * number, "content": files}
    index.columns = {name: np.array(values, dtype=object) for name, values in columns.items()}
    index.save(folder)
    start = time.perf_counter()
    index = Index.load(folder, index.encoder)
    print(f"{number:,} x {dim}: loaded in {time.perf_counter() - start:.2f} s")
    exact = timed(index, "exact")
    timed(index, "exact, one domain", domain="photo")
    if approximate:
        start = time.perf_counter()
        index.make_approximate()
        print(f"faiss index made in {time.perf_counter() - start:.0f} s")
        found = timed(index, "approximate", approximate=True)
        print(f"recall of the first 10: {np.mean([len(a & b) / 10 for a, b in zip(exact, found)]):.2f}")


def timed(index: Index, name: str, **options: object) -> list[set[str]]:
    """Print the time per query, and return the names that each query found."""
    images, times, found = queries(index.vectors), [], []
    for row in range(QUERIES):
        start, cpu = time.perf_counter(), time.process_time()
        results = index.search(images.take([row]), **options)  # pyright: ignore[reportArgumentType]
        times.append((time.perf_counter() - start, time.process_time() - cpu))
        found.append({result.file for result in results})
    wall, cpu = np.median(times, axis=0)
    print(f"{name}: median {wall:.3f} s a query, of CPU {cpu:.3f} s; slowest {max(times)[0]:.3f} s")
    return found


def main(
    images: Annotated[int, typer.Option(help="0: leave the command out.")] = 2000,
    vectors: Annotated[int, typer.Option(help="0: leave the index out.")] = 1_000_000,
    dim: int = 256,
    approximate: bool = False,
) -> None:
    """Print both benchmarks; the threads are those of OMP_NUM_THREADS."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        if images:
            (Path(folder) / "images").mkdir()
            bench_command(images, Path(folder) / "images")
        if vectors:
            bench_index(vectors, dim, approximate, Path(folder) / "index")


if __name__ == "__main__":
    typer.run(main)
