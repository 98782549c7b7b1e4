"""Cost of ranking a sharded gallery on a cluster, against workers and gallery size, and the arithmetic for 1e8 rows.

    .venv/bin/python bench/sharded.py [--queries N] [--dim N] [--rows N,N,...] [--workers N,N,...] [--folder PATH]

Random galleries of 100 classes are written to a folder in shards of `--shard-rows`, and ranked (top 200) and evaluated
(mAP@all) by clusters of processes on this machine, one thread each. For each size the table has the wall-clock
seconds; those of the straight line fitted to all sizes, since the cost should be a fixed one and one per row; the
speed-up over the first number of workers (ideal: their ratio); and how much the memory of a worker grew at most, pages
of mapped files included, which the system can take back at any time.
With `--check`, the smallest gallery is also ranked in a single pass, which must give the same bits.
"""

import argparse
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster

from cdir_nb.retrieval import ShardedGallery, evaluate_embeddings, rank, write_gallery
from cdir_nb.run.on_cluster import evaluate_on, rank_on

K, N_CLASSES = 200, 100
WAYS = ("top 200", "mAP@all")
QUIET = {
    "processes": True,
    "threads_per_worker": 1,
    "dashboard_address": "127.0.0.1:0",
    "memory_limit": 0,
    "silence_logs": logging.CRITICAL,
}
MANY = 64  # workers of the cluster that 1e8 rows are computed for


def labels(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, N_CLASSES, n)


def rows(of: np.ndarray, dim: int, seed: int) -> np.ndarray:
    """(n, D) weak features around the centres of the classes `of` (n,)."""
    centres = np.random.default_rng(0).standard_normal((N_CLASSES, dim), np.float32)
    return 0.3 * centres[of] + np.random.default_rng([1, seed]).standard_normal((len(of), dim), np.float32)


def gallery_of(folder: Path, n: int, dim: int, shard_rows: int) -> ShardedGallery:
    parts = np.split(labels(n), range(shard_rows, n, shard_rows))
    return write_gallery(folder / str(n), (rows(part, dim, seed) for seed, part in enumerate(parts)))


def timed(client: Client, work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and the most MiB that a worker needed for it."""
    before = client.run(memory, forget=True)
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    after = client.run(memory)
    return seconds, max(after[worker] - before[worker] for worker in before) / 1024


def memory(forget: bool = False) -> int:
    """The largest memory of this process in KiB; forget: since now. Linux only."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def measure(args: argparse.Namespace, galleries: dict[int, ShardedGallery]) -> dict[tuple[str, int, int], tuple]:
    """{(way, workers, rows): (seconds, MiB)}."""
    found, query_labels = {}, labels(args.queries)
    query = rows(query_labels, args.dim, 10**6)
    for workers in args.workers:
        with LocalCluster(n_workers=workers, **QUIET) as cluster, Client(cluster) as client:
            client.wait_for_workers(workers)
            rank_on(client, query[:10], galleries[args.rows[0]], k=K)  # imports and the check of code are not timed
            for n, gallery in galleries.items():
                works = {
                    "top 200": lambda gallery=gallery: rank_on(client, query, gallery, k=K),
                    "mAP@all": lambda gallery=gallery, n=n: evaluate_on(
                        client, query, gallery, query_labels, labels(n), ap_ks=(None,)
                    ),
                }
                for way, work in works.items():
                    found[way, workers, n] = timed(client, work)
                    seconds, mib = found[way, workers, n]
                    print(f"  {way}, {workers} workers, {n:,} rows: {seconds:.1f} s, {mib:.0f} MiB", flush=True)
    return found


def line(found: dict, way: str, workers: int, sizes: list[int]) -> tuple[float, float]:
    """Seconds per row, and fixed seconds, of the straight line that fits best (least squares)."""
    return tuple(np.polyfit(sizes, [found[way, workers, n][0] for n in sizes], 1).tolist())


def show(args: argparse.Namespace, found: dict) -> None:
    first = args.workers[0]
    print(f"\n{args.queries:,} queries x {args.dim} dimensions, shards of {args.shard_rows:,} rows\n")
    print("| | rows | workers | seconds | straight line | seconds of 1e9 pairs | speed-up | MiB per worker |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for way in WAYS:
        for workers in args.workers:
            per_row, fixed = line(found, way, workers, args.rows)
            for n in args.rows:
                seconds, mib = found[way, workers, n]
                print(
                    f"| {way} | {n:,} | {workers} | {seconds:.1f} | {fixed + per_row * n:.1f} "
                    f"| {seconds / n / args.queries * 1e9:.2f} | {found[way, first, n][0] / seconds:.2f} | {mib:.0f} |"
                )


def arithmetic(args: argparse.Namespace, found: dict) -> None:
    """What the straight line means for 1e8 rows, if the cost is divided among workers."""
    workers, rows_wanted = args.workers[-1], 10**8
    print(f"\n1e8 rows x {args.dim}, {args.queries:,} queries, from the straight line of {workers} workers:")
    for way in WAYS:
        hours = line(found, way, workers, args.rows)[0] * workers * rows_wanted / 3600
        print(f"- {way}: {hours:.2f} hours of one worker, {60 * hours / MANY:.1f} minutes of {MANY}")
    relevant = args.queries * rows_wanted // N_CLASSES
    traffic = relevant * 12 * MANY / 1e9
    print(f"- gallery on disk: {rows_wanted * args.dim * 4 / 1e9:.1f} GB, in {MANY} shards, one for each worker")
    print(f"- at the caller, to find copies: {rows_wanted * 81 / 1e9:.1f} GB, 81 bytes a row (16 of them its digest)")
    print(f"- to the caller, top {K}: {MANY * args.queries * K * 8 / 1e9:.2f} GB of keys")
    print(
        f"- to and from the caller, mAP@all: {traffic:.0f} GB, {traffic / 1.25 / 60:.0f} minutes at 10 Gbit/s: "
        f"each shard gets 8 bytes and gives 4 for each of {relevant:.0e} relevant pairs"
    )


def check(args: argparse.Namespace, gallery: ShardedGallery) -> None:
    n, query_labels = len(gallery), labels(args.queries)
    query, whole = rows(query_labels, args.dim, 10**6), gallery.rows(np.arange(n))
    pair = query_labels, labels(n)
    with LocalCluster(n_workers=2, **QUIET) as cluster, Client(cluster) as client:
        ours, single = rank_on(client, query, gallery, k=K), rank(query, whole, k=K)
        values = zip(evaluate_on(client, query, gallery, *pair), evaluate_embeddings(query, whole, *pair))
        assert np.array_equal(ours.indices, single.indices) and np.array_equal(ours.scores, single.scores)
        assert all(np.array_equal(a.values, b.values, equal_nan=True) for a, b in values)
    print(f"{n:,} rows: ranking and all metrics have the bits of the single pass\n", flush=True)


def numbers(text: str) -> list[int]:
    return [int(float(part)) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog=__doc__.split("\n\n")[-1],
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rows", type=numbers, default="250000,500000,1000000,2000000", help="at least two sizes")
    parser.add_argument("--workers", type=numbers, default="1,2")
    parser.add_argument("--shard-rows", type=int, default=125_000)
    parser.add_argument("--folder", type=Path, help="of the galleries (default: a temporary one, removed at the end)")
    parser.add_argument("--check", action="store_true", help="compare the smallest gallery with the single pass")
    args = parser.parse_args()
    args.rows = sorted(args.rows)
    if len(args.rows) < 2:
        parser.error("--rows needs at least two sizes for a straight line")
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        galleries = {n: gallery_of(folder, n, args.dim, args.shard_rows) for n in args.rows}
        if args.check:
            check(args, galleries[args.rows[0]])
        found = measure(args, galleries)
        show(args, found)
        arithmetic(args, found)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
