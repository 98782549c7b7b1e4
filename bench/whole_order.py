"""Time of mAP@all with every convention: by counting, as `evaluate_embeddings` does it, and by sorting the gallery.

    .venv/bin/python bench/whole_order.py [--queries N] [--gallery N] [--dim N] [--rounds N]

The default gallery has the size of CLAIR's QuickDraw protocol (54,151 photos of 30 classes, 512 dimensions); of its
92,291 queries only some are timed. The cost of one more query is the difference between a run with `--queries` and one
with a third of them; from it and the fixed cost, the time of all queries is extrapolated. All ways run in each round,
and the values of the first two must be equal to the last digit. The third way is what both need at least: top 200.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from ranking import problem

from cdir_nb.retrieval import evaluate, evaluate_embeddings, rank_blocks

ALL_QUERIES = 92_291
CUTOFFS = {"ks": (1, 50, 100, 200), "ap_ks": (200, None)}


def counted(p: dict) -> list[np.ndarray]:
    results = evaluate_embeddings(p["query"], p["gallery"], p["query_labels"], p["gallery_labels"], **CUTOFFS)
    return [result.values for result in results]


def sorted_whole(p: dict) -> list[np.ndarray]:
    """The gallery sorted for each query, then the same metrics from its whole ranking."""
    parts = [
        [r.values for r in evaluate(block, p["query_labels"][rows], p["gallery_labels"], **CUTOFFS)]
        for rows, block in rank_blocks(p["query"], p["gallery"])
    ]
    return [np.concatenate(values) for values in zip(*parts)]


def top_200(p: dict) -> list[np.ndarray]:
    cutoffs = {**CUTOFFS, "ap_ks": (200,)}
    results = evaluate_embeddings(p["query"], p["gallery"], p["query_labels"], p["gallery_labels"], **cutoffs)
    return [result.values for result in results]


WAYS = {"counted (ours)": counted, "gallery sorted": sorted_whole, "top 200 only": top_200}


def one_round(p: dict, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of each way; the first two must agree."""
    seconds, values = {}, {}
    for name, way in WAYS.items():
        start = clock()
        values[name] = way(p)
        seconds[name] = clock() - start
    ours, old, _ = values.values()
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(ours, old)), "counted and sorted values differ"
    return seconds


def median(rounds: list[dict[str, float]]) -> Callable[[str], float]:
    return lambda name: statistics.median(seconds[name] for seconds in rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--queries", type=int, default=3000)
    parser.add_argument("--gallery", type=int, default=54_151)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="CPU time of all threads: for a machine with other work")
    args = parser.parse_args()
    clock = time.process_time if args.cpu else time.perf_counter
    many = problem(args.queries, args.gallery, args.dim, n_classes=30)
    n_few = args.queries // 3
    few = {**many, "query": many["query"][:n_few], "query_labels": many["query_labels"][:n_few]}
    pairs = [(one_round(few, clock), one_round(many, clock)) for _ in range(args.rounds)]
    of_few, of_many = (median(list(rounds)) for rounds in zip(*pairs))
    print(
        f"{args.gallery:,} x {args.dim}, {torch.get_num_threads()} threads, median of {args.rounds} rounds, "
        f"{'CPU' if args.cpu else 'wall-clock'} seconds"
    )
    print(f"{'':16}{args.queries:>9,} q{'1 more':>12}{ALL_QUERIES:>12,} q (extrapolated)")
    for name in WAYS:
        one_more = (of_many(name) - of_few(name)) / (args.queries - n_few)
        everything = of_many(name) + one_more * (ALL_QUERIES - args.queries)
        print(f"{name:16}{of_many(name):9.2f} s{1e3 * one_more:9.2f} ms{everything:12.0f} s")


if __name__ == "__main__":
    main()
