"""Record TKI and its variants on a task, several seeds each; `claims_report.py` writes what the records say.

    python scripts/tki_claims.py world-unseen cdir_nb/results/reproduced/tki-world.csv
    python scripts/tki_claims.py world-all cdir_nb/results/reproduced/tki-world-all.csv
    python scripts/tki_claims.py pacs-all FILE.csv --dataset pacs --root PACS --pool world

Nothing is selected: the state after the last step counts. What the file has already is not measured again: remove it
after a change of method or settings.
"""

import functools
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from cdir_nb.data import load_card, load_protocol, open_dataset
from cdir_nb.encoders import load_encoder
from cdir_nb.methods.frozen.clip import VanillaClip
from cdir_nb.methods.tki.method import expand, fit
from cdir_nb.methods.tki.settings import TkiConfig, training_names
from cdir_nb.methods.tki.variants import VARIANTS, variant
from cdir_nb.paths import atomic_write
from cdir_nb.results import load_records, measure, to_frame

DECIMALS = 6  # of a value: more would only make the files larger


def main(
    protocol: str,
    file: Path,
    dataset: str = "world",
    root: Annotated[str, typer.Option(help="folder of the images; the world is drawn and needs none")] = "",
    encoder: str = "tiny-clip",
    pool: Annotated[
        str, typer.Option(help="dataset whose names strategy 2 draws from; default: the seen classes")
    ] = "",
    method: Annotated[list[str], typer.Option(help="variants; default: all")] = list(VARIANTS),  # noqa: B006
    seeds: Annotated[int, typer.Option(help="how many, from 0 on")] = 3,
) -> None:
    """Measure vanilla CLIP and the variants that the file lacks; kept after each."""
    task, clip = load_protocol(protocol, open_dataset(dataset, root or None)), load_encoder(encoder)
    own = [load_card(dataset).display(label) for label in task.classes]
    others = load_card(pool).classes if pool else [label for label in task.seen if label not in task.classes]

    @functools.cache
    def texts(names: tuple[str, ...], config: TkiConfig, seed: int):
        return expand(clip, names, config, seed=seed, progress=False)

    def fitted(name: str, seed: int):
        config, strategy = variant(name)
        names = tuple(training_names(own, strategy, pool=others or None, count=config.other_names, seed=seed))
        shared = texts(names, config.first_stage(), seed)
        return fit(clip, names, config, strategy=strategy, name=name, expansion=shared, seed=seed, progress=False)

    records = load_records(file) if file.exists() else measure(VanillaClip(clip), task)
    done = {(record.method, record.seed) for record in records}
    for seed, name in tqdm([(seed, name) for seed in range(seeds) for name in method], task.name):
        if (name, seed) not in done:
            records += measure(fitted(name, seed), task, seed)
            with atomic_write(file) as path:
                to_frame(records).round({"value": DECIMALS}).to_csv(path, index=False)


if __name__ == "__main__":
    typer.run(main)
