"""Time of ranking and metrics, compared with other libraries in one run.

    python bench/ranking.py [--small] [--large] [--rounds N]

Sizes: 4,365 x 4,439 x 128 (Office-Home Clipart -> Product) and 20,000 x 50,000 x 512; 65 classes of uneven size.
"cdir_nb" checks and normalises the embeddings, takes labels as text, and computes precision at 1..200 and AP@200 in
every convention. The other libraries get the same unit rows, with labels as integers, and compute less. The machine
may be shared, so each round times every contestant once, and medians are compared.
"""

import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import numpy as np
import torch
import typer

from cdir_nb.retrieval import AVERAGE_PRECISION, PRECISION, evaluate, rank
from cdir_nb.retrieval.ranking import Ranking

SIZES = {"small": (4365, 4439, 128), "large": (20_000, 50_000, 512)}
K = 200
PEERS = ("torch", "numpy", "faiss-cpu", "torchmetrics", "pytorch-metric-learning")


def problem(
    n_query: int, n_gallery: int, dim: int, seed: int = 0, n_classes: int = 65
) -> dict[str, torch.Tensor | np.ndarray]:
    """Weak features around class centres: (Q, D), (G, D) unit rows, and labels drawn from classes of uneven size."""
    draw = np.random.default_rng(seed)
    fraction = 1 / np.arange(5, 5 + n_classes)
    centres = draw.standard_normal((n_classes, dim), np.float32)
    labels = [draw.choice(n_classes, n, p=fraction / fraction.sum()) for n in (n_query, n_gallery)]
    emb = [torch.from_numpy(0.3 * centres[y] + draw.standard_normal((len(y), dim), np.float32)) for y in labels]
    unit = [torch.nn.functional.normalize(x) for x in emb]
    return {"query": unit[0], "gallery": unit[1], "query_labels": labels[0], "gallery_labels": labels[1]}


def bare(p: dict) -> None:
    """One matrix product and topk over the whole gallery; queries in blocks of at most 2 GiB of scores."""
    step = max(1, (2 << 30) // (4 * len(p["gallery"])))
    for start in range(0, len(p["query"]), step):
        (p["query"][start : start + step] @ p["gallery"].T).topk(K)


def all_conventions(ranking: Ranking, p: dict) -> None:
    names = [np.char.add("class ", y.astype(str)) for y in (p["query_labels"], p["gallery_labels"])]
    results = evaluate(ranking, *names, ks=range(1, K + 1), ap_ks=(K,))
    assert len([result.mean for result in results]) == K * len(PRECISION) + len(AVERAGE_PRECISION)


def every_convention(p: dict) -> None:
    all_conventions(rank(p["query"], p["gallery"], k=K), p)


def rank_only(p: dict) -> None:
    rank(p["query"], p["gallery"], k=K)


def faiss_search(p: dict) -> tuple[np.ndarray, np.ndarray]:
    """Scores and indices (Q, K)."""
    import faiss

    index = faiss.IndexFlatIP(p["gallery"].shape[1])
    index.add(p["gallery"].numpy())
    return index.search(p["query"].numpy(), K)


def faiss_and_metrics(p: dict) -> None:
    scores, indices = faiss_search(p)
    all_conventions(Ranking(indices.astype(np.int32), scores, len(p["gallery"])), p)


def torchmetrics_ap(p: dict) -> None:
    """AP@200 (over_found) and P@200, one query at a time, since torchmetrics has no batched version."""
    from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_precision

    gallery_labels = torch.from_numpy(p["gallery_labels"])
    for row, label in zip(p["query"], p["query_labels"].tolist()):
        scores, relevant = p["gallery"] @ row + 2, gallery_labels == label  # + 2: items scored <= 0 are dropped
        retrieval_average_precision(scores, relevant, top_k=K)
        retrieval_precision(scores, relevant, top_k=K)


def pml(p: dict) -> None:
    """Mean average precision at 200 of pytorch-metric-learning, with its own search by faiss."""
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(include=("mean_average_precision",), k=K, device=torch.device("cpu"))
    calculator.get_accuracy(
        p["query"].numpy(),
        torch.from_numpy(p["query_labels"]),
        p["gallery"].numpy(),
        torch.from_numpy(p["gallery_labels"]),
    )


RUNS: dict[str, tuple[Callable[[dict], object], str]] = {
    "bare: matmul + topk": (bare, "torch"),
    "faiss flat": (faiss_search, "faiss-cpu"),
    "cdir_nb, ranking only": (rank_only, "torch"),
    "cdir_nb, every convention": (every_convention, "torch"),
    "faiss flat + cdir_nb metrics": (faiss_and_metrics, "faiss-cpu"),
    "pytorch-metric-learning (mAP@200)": (pml, "pytorch-metric-learning"),
    "torchmetrics (mAP@200, P@200)": (torchmetrics_ap, "torchmetrics"),
}


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def bench(size: str, rounds: int) -> None:
    """Print the table of one size. For torchmetrics at the large size, the time of 200 queries is scaled up."""
    p, seconds = problem(*SIZES[size]), {name: [] for name in RUNS}
    print("\n{}: {:,} x {:,} x {}, top {}, {} rounds".format(size, *SIZES[size], K, rounds))
    for turn in range(rounds + 1):  # the first round is a warm-up and not counted
        for name, (run, package) in RUNS.items():
            if not installed(package):
                continue
            scale = len(p["query"]) / 200 if run is torchmetrics_ap and size == "large" else 1
            part = {**p, "query": p["query"][:200], "query_labels": p["query_labels"][:200]} if scale > 1 else p
            start = time.perf_counter()
            run(part)
            if turn:
                seconds[name].append((time.perf_counter() - start) * scale)
    show(seconds)


def show(seconds: dict[str, list[float]]) -> None:
    names = list(seconds)
    yardstick = names[:2] if seconds[names[1]] else names[:1]
    fastest = [min(times) for times in zip(*(seconds[name] for name in yardstick))]
    median = statistics.median
    print(f"{'':36}{'median s':>9}{'min s':>9}{'x bare':>9}{'x faster of bare, faiss':>25}")
    for name, times in seconds.items():
        if not times:
            print(f"{name:36}skipped: {RUNS[name][1]} is not installed (pip install 'cdir-nb[dev]')")
            continue
        ratios = [median(a / b for a, b in zip(times, other)) for other in (seconds[names[0]], fastest)]
        print(f"{name:36}{median(times):9.3f}{min(times):9.3f}{ratios[0]:9.2f}{ratios[1]:25.2f}")


def main(
    small: Annotated[bool, typer.Option("--small", help="only the small size")] = False,
    large: Annotated[bool, typer.Option("--large", help="only the large size")] = False,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print a table for each size."""
    versions = ", ".join(f"{name} {installed(name) or 'missing'}" for name in PEERS)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, Python {platform.python_version()}; {versions}")
    if small or not large:
        bench("small", rounds)
    if large or not small:
        bench("large", rounds)


if __name__ == "__main__":
    typer.run(main)
