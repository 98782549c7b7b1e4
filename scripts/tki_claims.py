"""Measure what TKI's claims are about, three seeds each, and write what came out.

    python scripts/tki_claims.py world                          world-unseen (then the sensitivity), world-all
    python scripts/tki_claims.py pacs --root PACS               all real PACS images, with the tiny CLIP

Records go to cdir_nb/results/reproduced/tki-*.csv, one row a direction, and `claims_report.py tki` writes what they say.
Nothing is selected: the state after the last step counts. What a file has already is not measured again: remove the
file after a change of method or settings.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tqdm import tqdm

from cdir_nb.data import load_card, load_protocol, open_dataset
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ClipEncoder, load_encoder
from cdir_nb.methods.tki.method import TkiEmbedder, aggregate, expand
from cdir_nb.methods.tki.settings import TkiConfig, training_names
from cdir_nb.paths import ROOT, atomic_write
from cdir_nb.results import Record, config_digest, current_commit, load_records, to_frame
from cdir_nb.results.records import REPRODUCED, today
from cdir_nb.retrieval import evaluate_embeddings

SENSITIVITY_FILE = ROOT / "docs" / "results" / "tki-sensitivity.csv"
SEEDS = (0, 1, 2)
DECIMALS = 6
VANILLA = "vanilla CLIP"
MAIN = ("average_precision", "over_min_k_relevant", 200)
MEASURES = (MAIN, ("precision", "hits_over_k", 200))
FIRST = ("precision", "hits_over_k", 1)  # the measure of Table 7, kept for its methods
OF_TABLE_7 = (VANILLA, "TKI", "TKI, Euclidean")
VARIANTS = {  # changed settings; strategy 2 changes the class names
    "TKI": {},
    "TKI, L_max only": {"losses": ("max",)},
    "TKI, L_min only": {"losses": ("min",)},
    "TKI, words as drawn": {"losses": ()},
    "TKI, Euclidean": {"geometry": "euclidean"},
    "TKI, Euclidean, no bias": {"geometry": "no bias"},
    "TKI, strategy 2": {"strategy": 2},
    "TKI, P = 2": {"words": 2},
    "TKI, P = 5": {"words": 5},
    "TKI, P = 10": {"words": 10},
    "TKI, radius 0.03": {"radius": 0.03},
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
STAGE_2 = {"geometry", "radius", "hidden", "residual", "aggregation_steps"}  # these leave the words as they are

app = typer.Typer(add_completion=False, help=__doc__)


class Bench:
    """A task and its image features, computed once."""

    def __init__(self, encoder: ClipEncoder, task: Protocol, pool: list[str]) -> None:
        self.encoder, self.task, self.pool = encoder, task, pool
        self.names = [load_card(task.dataset).display(label) for label in task.classes]
        self.images = {domain: task.gallery(domain) for domain in task.domains}  # the queries are the same here
        self.raw = {domain: encoder.embed_images(images) for domain, images in self.images.items()}
        self.texts = {}

    def measure(self, emb: dict) -> dict[tuple[str, str], dict]:
        """For each direction its metrics, by (metric, convention, k)."""
        return {(a, b): self._direction(emb, a, b) for a, b in self.task.directions}

    def _direction(self, emb: dict, a: str, b: str) -> dict:
        labels = self.images[a].labels, self.images[b].labels
        found = evaluate_embeddings(emb[a], emb[b], *labels, ks=(1, 200), ap_ks=(200,))
        return {(r.metric, r.convention, r.k): r for r in found}

    def fit(self, seed: int, strategy: int = 1, **changed) -> TkiEmbedder:
        """Fit a variant. Variants that differ in stage 2 alone share their texts."""
        config = TkiConfig(**changed)
        key = (seed, strategy, *sorted((k, v) for k, v in changed.items() if k not in STAGE_2))
        if key not in self.texts:
            names = training_names(self.names, strategy, pool=self.pool, seed=seed)
            self.texts[key] = expand(self.encoder, names, config, seed=seed, progress=False)
        texts = self.texts[key]
        return TkiEmbedder(self.encoder, config, texts, *aggregate(texts.text_emb, config, seed=seed, progress=False))

    def measured(self, seed: int, **changed) -> dict[tuple[str, str], dict]:
        """`measure` of a variant."""
        fitted = self.fit(seed, **changed)
        return self.measure({domain: fitted.project(raw) for domain, raw in self.raw.items()})

    def records(self, method: str, seed: int, found: dict[tuple[str, str], dict]) -> Iterator[Record]:
        """What is kept of a method, with the same context as in notebook 06; values rounded to keep files small."""
        measures = (*MEASURES, FIRST) if method in OF_TABLE_7 else MEASURES
        same = {"dataset": self.task.dataset, "protocol": self.task.name, "encoder": self.encoder.identity}
        same |= {"test_set": f"queries and gallery of {self.task.name}", **self._training(method)}
        for (a, b), results in found.items():
            for row in (results[measure].row() for measure in measures):
                row["value"] = round(row["value"], DECIMALS)
                yield Record(method=method, query_domain=a, gallery_domain=b, seed=seed, **row, **same)

    def _training(self, method: str) -> dict[str, str]:
        """Digest, training set and selection rule of a method."""
        if method == VANILLA:
            how = {"train_set": "none: frozen encoder", "selection_rule": "nothing selected"}
            return {**how, "config_digest": config_digest({"similarity": "cosine"})}
        changed = dict(VARIANTS[method])
        strategy, config = changed.pop("strategy", 1), TkiConfig(**changed)
        texts = f"no image; {config.words} learnt words x {len(self.names)} class names (strategy {strategy})"
        digest = config_digest({**config.plain(), "strategy": strategy, "similarity": "cosine"})
        return {"train_set": texts, "selection_rule": "last epoch", "config_digest": digest}


def claims(bench: Bench, file: Path, variants: dict[str, dict] | None = None) -> None:
    """Vanilla CLIP and the variants, three seeds, those that the file lacks; kept after each seed."""
    records = load_records(file) if file.exists() else []
    done = {(record.method, record.seed) for record in records}
    for seed in tqdm(SEEDS, bench.task.name):
        if (VANILLA, 0) not in done:
            records += bench.records(VANILLA, 0, bench.measure(bench.raw))
            done.add((VANILLA, 0))
        for method, changed in (VARIANTS if variants is None else variants).items():
            if (method, seed) not in done:
                records += bench.records(method, seed, bench.measured(seed, **changed))
        with atomic_write(file) as path:
            to_frame(records).to_csv(path, index=False)


def sensitivity(bench: Bench) -> pd.DataFrame:
    """One setting at a time, the others at their defaults; the mean over directions of the main metric."""

    def percent(found: dict) -> float:
        return round(100 * sum(results[MAIN].mean for results in found.values()) / len(found), 3)

    rows, vanilla = [], percent(bench.measure(bench.raw))
    for seed in tqdm(SEEDS, "sensitivity"):
        for name, others in SENSITIVITY.items():
            for value in (getattr(TkiConfig(), name), *others):
                row = {"task": bench.task.name, "setting": name, "seed": seed, "vanilla": vanilla}
                row["percent"] = percent(bench.measured(seed, **{name: value} if value in others else {}))
                row["value"] = bench.encoder.dim if value is None else value  # as wide as the features
                rows.append({**row, "default": value not in others, "date": today(), "commit": current_commit()})
    return pd.DataFrame(rows)


@app.command()
def world() -> None:
    """world-unseen with all variants, the sensitivity, and world-all with the main variants; with the tiny CLIP."""
    encoder, images, card = load_encoder("tiny-clip"), open_dataset("world"), load_card("world")
    unseen, everything = load_protocol("world-unseen", images), load_protocol("world-all", images)
    bench = Bench(encoder, unseen, list(unseen.seen))
    claims(bench, REPRODUCED / "tki-world.csv")
    if not SENSITIVITY_FILE.exists():
        with atomic_write(SENSITIVITY_FILE) as path:
            sensitivity(bench).to_csv(path, index=False)
    others = [label for label in load_card("domainnet_cleaned").classes if label not in card.classes]
    main = {name: changed for name, changed in VARIANTS.items() if not name.startswith(("TKI, P", "TKI, radius"))}
    claims(Bench(encoder, everything, others), REPRODUCED / "tki-world-all.csv", main)


@app.command()
def pacs(root: Annotated[Path, typer.Option(help="folder of PACS")]) -> None:
    """All PACS images in 12 directions, with the tiny CLIP, which has seen drawings alone."""
    task = load_protocol("pacs-all", open_dataset("pacs", root))
    claims(Bench(load_encoder("tiny-clip"), task, list(load_card("world").classes)), REPRODUCED / "tki-pacs.csv")


if __name__ == "__main__":
    app()
