"""Check TKI's claims over three seeds, and write what came out, holding or not, into docs/results.

    python scripts/tki_claims.py world                          world-unseen and world-all, then the sensitivity
    python scripts/tki_claims.py pacs --root PACS               all real PACS images, with the tiny CLIP
    python scripts/tki_claims.py write                          the report alone, from the tables

Each row of tki-*.csv is one variant, seed and metric: its mean over the directions of a task, and in how many of them
it lies above vanilla CLIP. Nothing is selected: the state after the last step counts. What a table has already is not
measured again: remove the table after a change of method or settings.
"""

import datetime
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tqdm import tqdm

from cdir_nb.data import load_card, load_protocol, open_dataset
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ClipEncoder, load_encoder
from cdir_nb.methods.tki import TkiEmbedder, aggregate, expand
from cdir_nb.methods.tki_config import TkiConfig, training_names
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import current_commit
from cdir_nb.retrieval import evaluate_embeddings

RESULTS = ROOT / "docs" / "results"
SEEDS = (0, 1, 2)
METRICS = (
    ("average_precision", "over_min_k_relevant", 200),
    ("average_precision", "voc_interpolated", 200),
    ("precision", "hits_over_k", 200),
    ("precision", "hits_over_k", 1),
    ("average_precision", "over_relevant", None),
)
MAIN = METRICS[0]
VARIANTS = {  # changed settings; strategy 2 changes the class names
    "TKI": {},
    "L_max only": {"losses": ("max",)},
    "L_min only": {"losses": ("min",)},
    "words as drawn": {"losses": ()},
    "Euclidean": {"geometry": "euclidean"},
    "radius 0.03": {"radius": 0.03},
    "Euclidean, no bias": {"geometry": "no bias"},
    "strategy 2": {"strategy": 2},
    "P = 2": {"words": 2},
    "P = 5": {"words": 5},
    "P = 10": {"words": 10},
}
SENSITIVITY = {
    "words": (2, 5, 10, 40),
    "alpha": (1.0, 10.0, 200.0),
    "mu": (0.0, 0.25, 0.75),
    "trade_off": (0.1, 10.0),
    "word_std": (0.005, 0.1),
    "expansion_steps": (10, 30, 300),
    "temperature": (0.03, 0.3),
    "radius": (0.03, 0.1, 0.3, 3.0, 10.0),
    "hidden": (32, 512),
    "residual": (True,),
    "aggregation_steps": (10, 30, 300),
}
STAGE_2 = {
    "geometry",
    "radius",
    "hidden",
    "residual",
    "aggregation_steps",
}  # these leave the words as they are

app = typer.Typer(add_completion=False, help=__doc__)


class Bench:
    """A task, its image features (computed once) and vanilla CLIP's numbers on it."""

    def __init__(self, encoder: ClipEncoder, task: Protocol, pool: list[str]) -> None:
        self.encoder, self.task, self.pool = encoder, task, pool
        self.names = [load_card(task.dataset).display(label) for label in task.classes]
        self.images = {
            domain: task.gallery(domain) for domain in task.domains
        }  # queries and gallery are the same here
        self.raw = {domain: encoder.embed_images(images) for domain, images in self.images.items()}
        self.texts = {}
        self.vanilla = self.measure(self.raw)

    def measure(self, emb: dict) -> pd.DataFrame:
        """One row a direction, one column a metric, in percent."""
        rows = {}
        for a, b in self.task.directions:
            found = evaluate_embeddings(
                emb[a], emb[b], self.images[a].labels, self.images[b].labels, ks=(1, 200), ap_ks=(200, None)
            )
            by_name = {(r.metric, r.convention, r.k): 100 * r.mean for r in found}
            rows[a, b] = [by_name[metric] for metric in METRICS]
        return pd.DataFrame.from_dict(rows, orient="index", columns=pd.MultiIndex.from_tuples(METRICS))

    def run(self, seed: int, strategy: int = 1, **changed) -> pd.DataFrame:
        """Fit a variant and measure it. Variants that differ in stage 2 alone share their texts."""
        config = TkiConfig(**changed)
        key = (seed, strategy, *sorted((k, v) for k, v in changed.items() if k not in STAGE_2))
        if key not in self.texts:
            names = training_names(self.names, strategy, pool=self.pool, seed=seed)
            self.texts[key] = expand(self.encoder, names, config, seed=seed, progress=False)
        expansion = self.texts[key]
        fitted = TkiEmbedder(
            self.encoder, config, expansion, *aggregate(expansion.text_emb, config, seed=seed, progress=False)
        )
        return self.measure({domain: fitted.project(raw) for domain, raw in self.raw.items()})

    def rows(self, variant: str, seed: int, values: pd.DataFrame) -> list[dict]:
        """What goes into the tables."""
        above = values > self.vanilla
        return [
            {
                "task": self.task.name,
                "variant": variant,
                "seed": seed,
                "metric": metric,
                "convention": convention,
                "k": k or "all",
                "percent": round(values[metric, convention, k].mean(), 3),
                "above": int(above[metric, convention, k].sum()),
                "directions": len(values),
            }
            for metric, convention, k in METRICS
        ]


def claims(bench: Bench, name: str) -> None:
    """Vanilla CLIP and every variant, three seeds, those that the table lacks; kept after each seed."""
    for seed in tqdm(SEEDS, bench.task.name):
        rows = (
            []
            if (bench.task.name, "vanilla CLIP", 0) in done(name)
            else bench.rows("vanilla CLIP", 0, bench.vanilla)
        )
        for variant, changed in VARIANTS.items():
            if (bench.task.name, variant, seed) not in done(name):
                rows += bench.rows(variant, seed, bench.run(seed, **changed))
        keep(rows, name)


def done(name: str) -> set[tuple]:
    """(task, variant, seed) of what a table has."""
    path = RESULTS / f"{name}.csv"
    return (
        set(pd.read_csv(path)[["task", "variant", "seed"]].itertuples(index=False, name=None))
        if path.exists()
        else set()
    )


def sensitivity(bench: Bench) -> list[dict]:
    """One setting at a time, the others at their defaults; main metric only."""
    rows = []
    for seed in tqdm(SEEDS, "sensitivity"):
        for name, others in SENSITIVITY.items():
            for value in (getattr(TkiConfig(), name), *others):
                mean = bench.run(seed, **{name: value} if value in others else {})[MAIN].mean()
                value = bench.encoder.dim if value is None else value  # as wide as the features
                rows.append(
                    {
                        "task": bench.task.name,
                        "setting": name,
                        "value": value,
                        "seed": seed,
                        "percent": round(mean, 3),
                        "default": value not in others,
                        "vanilla": round(bench.vanilla[MAIN].mean(), 3),
                    }
                )
    return rows


def keep(rows: list[dict], name: str) -> None:
    """Add rows to a table, with date and commit."""
    frame = pd.DataFrame(rows).assign(date=datetime.date.today().isoformat(), commit=current_commit())
    file = RESULTS / f"{name}.csv"
    if file.exists():
        frame = pd.concat([pd.read_csv(file), frame], ignore_index=True)
    with atomic_write(file) as path:
        frame.to_csv(path, index=False)


@app.command()
def world() -> None:
    """world-unseen, world-all and the sensitivity, with the tiny CLIP."""
    encoder, images, card = load_encoder("tiny-clip"), open_dataset("world"), load_card("world")
    unseen, everything = load_protocol("world-unseen", images), load_protocol("world-all", images)
    bench = Bench(encoder, unseen, list(unseen.seen))
    claims(bench, "tki-world")
    if not (RESULTS / "tki-sensitivity.csv").exists():
        keep(sensitivity(bench), "tki-sensitivity")
    others = [label for label in load_card("domainnet_cleaned").classes if label not in card.classes]
    claims(Bench(encoder, everything, others), "tki-world")
    write()


@app.command()
def pacs(root: Annotated[Path, typer.Option(help="folder of PACS")]) -> None:
    """All PACS images in 12 directions, with the tiny CLIP, which has seen drawings alone."""
    task = load_protocol("pacs-all", open_dataset("pacs", root))
    claims(Bench(load_encoder("tiny-clip"), task, list(load_card("world").classes)), "tki-pacs")
    write()


@app.command()
def write() -> None:
    """The report, from the tables at hand."""
    from tki_report import report

    frames = [
        pd.read_csv(RESULTS / f"{name}.csv")
        for name in ("tki-world", "tki-pacs")
        if (RESULTS / f"{name}.csv").exists()
    ]
    with atomic_write(RESULTS / "tki.md") as path:
        path.write_text(report(pd.concat(frames, ignore_index=True)), encoding="utf-8")


if __name__ == "__main__":
    app()
