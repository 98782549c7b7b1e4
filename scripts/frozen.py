"""Choose the settings of the reference rows, measure them, and measure how they depend on the queries.

    python scripts/frozen.py choose OUT.csv                      docs/results/frozen-settings.csv
    python scripts/frozen.py measure OUT.csv.gz TASK ENCODER     cdir_nb/results/reproduced/frozen-*.csv.gz
    python scripts/frozen.py queries OUT.csv                     docs/results/frozen-queries.csv

`--data DATASET=FOLDER` gives the images of a dataset that is not bundled. All numbers are P@10:hits_over_k in percent,
mean over directions, unless a column says otherwise.
"""

# In pandas' stubs, a grouped column may be anything.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer

from cdir_nb.data import load_card, open_task
from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol, dataset_of
from cdir_nb.encoders import ClipEncoder, ImageEncoder, load_encoder
from cdir_nb.encoders.zero_shot import accuracy, prompt_embeddings, zero_shot_labels, zero_shot_scores
from cdir_nb.methods import (
    AlphaQE,
    Centre,
    Embedder,
    KReciprocal,
    Popularity,
    PostProcessed,
    VanillaClip,
    fit,
    frozen_embedder,
    reference,
)
from cdir_nb.methods.postprocessed import GALLERY, QUERIES, TRAINING, Step
from cdir_nb.paths import atomic_write
from cdir_nb.results import Record, about_images, context_of, measure, save_table
from cdir_nb.results.measure import directions_of, embedded, evaluate_task, measure_references

P10 = "P@10:hits_over_k"
STORED = (P10, "P@1:hits_over_k", "mAP@all:over_relevant", "mAP@200:over_min_k_relevant", "mAP@200:over_found")
app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)
Data = Annotated[list[str], typer.Option("--data", help="DATASET=FOLDER")]

# ---- settings -------------------------------------------------------------------------------------------------------

CHOSEN_ON = (("world-unseen", "tiny-clip"), ("sketchy_mini-21-heldout", "real-clip"))
QUERY_CLASSES = {"world-unseen": 3, "sketchy_mini-21-heldout": 5}  # every so many of the seen classes


def seen_task(task: Protocol) -> Protocol:
    """The task with some of its seen classes as query and gallery classes, and the others for training."""
    classes = task.seen[:: QUERY_CLASSES[task.name]]
    return replace(
        task,
        name=f"{task.name}, seen classes",
        classes=classes,
        gallery_classes=classes,
        unseen=classes,
        seen=tuple(label for label in task.seen if label not in classes),
    )


class Whitened(PostProcessed):
    """Whitening by means and covariances of all queries and of the gallery, shrunk towards a multiple of identity."""

    def __init__(self, embedder: Embedder, shared: bool, shrinkage: float) -> None:
        super().__init__(embedder, [Centre(QUERIES)])
        self.shared, self.shrinkage = shared, shrinkage

    def prepare(
        self, query: ImageSet, gallery: ImageSet, query_emb: torch.Tensor, gallery_emb: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        centred = [emb - emb.mean(0) for emb in (query_emb, gallery_emb)]
        both = torch.cat(centred)
        roots = [self._root(both if self.shared else emb) for emb in centred]
        query_emb, gallery_emb = (emb @ root for emb, root in zip(centred, roots))
        return query_emb, gallery_emb

    def _root(self, rows: torch.Tensor) -> torch.Tensor:
        """(D, D) the symmetric inverse square root of the shrunk covariance."""
        covariance = rows.T @ rows / len(rows)
        mean = covariance.diagonal().mean() * torch.eye(len(covariance))
        values, vectors = torch.linalg.eigh((1 - self.shrinkage) * covariance + self.shrinkage * mean)
        return vectors @ torch.diag(values.clamp(min=1e-8).rsqrt()) @ vectors.T


def candidates(clip: VanillaClip, task: Protocol) -> Iterator[tuple[str, str, Embedder]]:
    """(row, settings, embedder) of everything that is tried."""
    train = task.train

    def with_steps(*steps: Step) -> PostProcessed:
        needs = any(TRAINING in step.data_at_test_time for step in steps)
        return PostProcessed(clip, steps, train if needs else None)

    yield "vanilla CLIP", "", clip
    for means in (TRAINING, QUERIES, GALLERY):
        yield "centring", means, with_steps(Centre(means))
    for n in (3, 5, 10, 20, 40):
        for alpha in (0, 1, 3, 6):
            yield "query expansion", f"n {n}, alpha {alpha}", with_steps(Centre(TRAINING), AlphaQE(n, alpha))
    for tau in (0.01, 0.02, 0.05, 0.1, 0.2):
        yield "Sinkhorn", f"tau {tau}", with_steps(Popularity("sinkhorn", QUERIES, tau=tau))
    for tau in (0.01, 0.02, 0.05, 0.1, 0.2):
        yield "inverted softmax", f"tau {tau}", with_steps(Popularity("softmax", QUERIES, tau=tau))
    for k1 in (10, 20, 40):
        for k2 in (3, 6, 12):
            yield "k-reciprocal", f"k1 {k1}, k2 {k2}", with_steps(Centre(QUERIES), KReciprocal(k1, k2))
    for shared in (False, True):
        for shrinkage in (0.1, 0.5, 0.9):
            name = f"{'shared' if shared else 'by domain'}, shrinkage {shrinkage}"
            yield "whitening", name, Whitened(clip, shared, shrinkage)
    texts = partial(reference.from_texts, clip.encoder, task)
    yield "centring by texts", "", texts()[0]
    for a in (0, 0.2, 0.5, 0.8):
        for fraction in (0.125, 0.25, 0.5, 0.75):
            yield "projection", f"a {a:g}, d/D {fraction:g}", texts(a=a, fraction=fraction)[1]
    for tau in (0.01, 0.02, 0.05, 0.1, 0.2):
        yield "vocabulary", f"tau {tau}", texts(tau=tau)[2]


@app.command()
def choose(out: Path, data: Data = []) -> None:  # noqa: B006
    """Try every setting on seen classes, and mark for each row the one with the best mean over both encoders."""
    rows = []
    for name, encoder in CHOSEN_ON:
        task = seen_task(_open(name, data)[1])
        clip = VanillaClip(load_encoder(encoder))
        for row, settings, embedder in candidates(clip, task):
            percent = 100 * np.mean(
                [
                    next(r.mean for r in results if str(r.metric) == P10)
                    for results in evaluate_task(embedder, task).values()
                ]
            )
            print(f"{task.name}, {encoder}: {row}, {settings}: {percent:.1f}", flush=True)
            rows.append({"row": row, "settings": settings, "task": task.name, "percent": percent})
    table = pd.DataFrame(rows).pivot_table(index=["row", "settings"], columns="task", values="percent", sort=False)
    table["mean"] = table.mean(axis=1)
    table["best"] = (table["mean"] == table.groupby("row")["mean"].transform("max")).map({True: "best", False: ""})
    _write(table.round(2).reset_index(), out)


# ---- records --------------------------------------------------------------------------------------------------------


@app.command("measure")
def measure_rows(out: Path, task: str, encoder: str, data: Data = [], base: str = "") -> None:  # noqa: B006
    """Measure the frozen encoder and all reference rows on a task; values of single queries for P@10 alone.

    `--base`: a method without training, such as "frozen backbone", instead of the encoder's own vectors.
    """
    images, protocol = _open(task, data)
    embedder = _base(load_encoder(encoder), protocol, base)
    records, absent = measure_references(embedder, protocol, images)
    stored = [_slim(record) for record in measure(embedder, protocol) + records if record.metric in STORED]
    save_table([*stored, *zero_shot(embedder, protocol)], out)
    for name, reason in absent.items():
        print(f"{task}, {encoder}: without {name}: {reason}")
    values: dict[str, list[float]] = {}
    for record in records:
        if record.metric == P10:
            values.setdefault(record.method, []).append(100 * record.value)
    for name, percents in values.items():
        print(f"{task}, {encoder}: {name}: {np.mean(percents):.1f} ({len(percents)} directions)")


def zero_shot(embedder: Embedder, task: Protocol) -> list[Record]:
    """The accuracy of vanilla CLIP in naming the queries of each domain; none for an encoder without texts."""
    encoder, context = embedder.encoder, context_of(embedder, task, 0)
    if not isinstance(encoder, ClipEncoder):
        return []
    card, names = load_card(task.dataset), [task.display(label) for label in task.classes]
    among = f"all {len(names)} classes" if len(names) == len(card.classes) else f"the {len(names)} query classes"
    records = []
    for domain, queries in task.queries.items():
        texts = prompt_embeddings(encoder, names, card.domain_word(domain))
        named = zero_shot_labels(zero_shot_scores(encoder.embed_images(queries), texts), task.classes)
        about = {"query_domain": domain, "value": accuracy(named, queries.labels), **about_images(query=queries)}
        records.append(Record(metric=f"accuracy:zero-shot, among {among}", **about, **context))
    return records


def _slim(record: Record) -> Record:
    return record if record.metric == P10 else record.with_queries(None)


def _base(encoder: ImageEncoder, task: Protocol, method: str) -> Embedder:
    if not method:
        return frozen_embedder(encoder, task)
    ((embedder,),) = fit(method, encoder, task).states.values()
    return embedder


# ---- sets of queries ------------------------------------------------------------------------------------------------

DRAWS = 20
SIZES = (1, 2, 4, 16, 64)


@app.command()
def queries(out: Path, data: Data = []) -> None:  # noqa: B006
    """Vanilla CLIP and both kinds of centring for queries of few classes, and with means of few queries."""
    rows = []
    for name, encoder in (("world-unseen", "tiny-clip"), ("sketchy_mini-21-heldout", "real-clip")):
        task, clip = _open(name, data)[1], VanillaClip(load_encoder(encoder))
        trained = PostProcessed(clip, [Centre(TRAINING)], task.train)
        of_training = {d: trained.training_embeddings(d)[1].mean(0).numpy() for d in task.domains}
        pair_of = embedded(clip, task)
        for a, b in directions_of(clip, task):
            q, g = (emb.numpy() for emb in pair_of(a, b))
            labels = task.query(a).labels, task.gallery(b).labels
            rows += [
                {"protocol": name, "encoder": encoder, "direction": f"{a} -> {b}", **row}
                for row in _query_sets(q, g, *labels, of_training[a], of_training[b])
            ]
    keys = ["protocol", "encoder", "queries", "number", "draw", "method"]
    table = pd.DataFrame(rows).groupby(keys, sort=False)["percent"].mean()
    table = table.groupby([key for key in keys if key != "draw"], sort=False).agg(["mean", "std", "size"])
    table.columns = ["P@10", "deviation over draws", "draws"]
    _write(table.round(2).reset_index(), out)


def _query_sets(
    q: np.ndarray, g: np.ndarray, labels: np.ndarray, gallery_labels: np.ndarray, q_mean: np.ndarray, g_mean: np.ndarray
) -> Iterator[dict[str, object]]:
    """Rows for queries of n classes, and for means of n queries of all classes."""
    gallery = _unit(g - g.mean(0))
    by_training = _precision(_unit(q - q_mean), _unit(g - g_mean), labels, gallery_labels)
    raw = _precision(q, g, labels, gallery_labels)
    classes = np.unique(labels)
    for draw in range(DRAWS):
        random = np.random.default_rng(draw)
        for n in (1, 2, 4, len(classes)):
            rows = np.isin(labels, random.choice(classes, n, replace=False))
            by_test = _precision(_unit(q[rows] - q[rows].mean(0)), gallery, labels[rows], gallery_labels)
            methods = {"vanilla CLIP": raw[rows], "test means": by_test, "training means": by_training[rows]}
            for method, values in methods.items():
                yield {"queries": "of n classes", "number": n, "draw": draw, "method": method, "percent": values.mean()}
        for n in (*SIZES, len(q)):
            mean = q[random.choice(len(q), n, replace=False)].mean(0)
            with np.errstate(invalid="ignore"):  # the query itself is its mean: a row of zeros
                values = _precision(_unit(q - mean), gallery, labels, gallery_labels)
            about = {"queries": "of all classes, mean from n of them", "number": n, "draw": draw}
            yield {**about, "method": "test means", "percent": values.mean()}


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _precision(q: np.ndarray, g: np.ndarray, labels: np.ndarray, gallery_labels: np.ndarray) -> np.ndarray:
    """(Q,) P@10 in percent."""
    best = np.argsort(-(q @ g.T), axis=1, kind="stable")[:, :10]
    return 100 * (gallery_labels[best] == labels[:, None]).mean(1)


# ---- files ----------------------------------------------------------------------------------------------------------


def _open(protocol: str, data: Sequence[str]) -> tuple[ImageSet, Protocol]:
    dataset = dataset_of(protocol)
    folders = dict(text.split("=", 1) for text in data)
    _, images, task = open_task(dataset, folders.get(dataset), protocol)
    return images, task


def _write(table: pd.DataFrame, out: Path) -> None:
    with atomic_write(out) as temporary:
        table.to_csv(temporary, index=False)
    print(f"{out}: {len(table)} rows")


if __name__ == "__main__":
    app()
