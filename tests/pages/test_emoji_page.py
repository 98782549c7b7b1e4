"""The page on emoji: its numbers against the records, records that contradict it, and records that come later."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from emoji import CentredByOthers
from PIL import Image

from cdir_nb.conventions import LAST_EPOCH, NOTHING_SELECTED
from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError
from cdir_nb.methods import Embedder
from cdir_nb.pages import emoji, ideas
from cdir_nb.paths import ROOT
from cdir_nb.results import load_records
from cdir_nb.results.files import REPRODUCED


@pytest.fixture(scope="module")
def records():
    return load_records(REPRODUCED / "emoji.csv.gz")


@pytest.fixture(scope="module")
def table(records):
    return emoji.table_of(records)


def test_the_committed_page_is_that_of_the_records(table):
    assert (ROOT / "docs" / "results" / "emoji.md").read_text(encoding="utf-8") == emoji.page(table)
    assert (ROOT / "docs" / "pictures" / f"{emoji.PICTURE}.png").is_file()


def test_every_number_in_a_finding_is_the_mean_of_its_records(table):
    """The sentences have no number of a result of their own; those filled in are recomputed from the csv file."""
    stored = pd.read_csv(REPRODUCED / "emoji.csv.gz", low_memory=False)
    sentences = " ".join(finding["text"] for finding in emoji.TEXTS["findings"])
    assert re.findall(r"\d+\.\d", sentences) == []
    cells = [match.groups() for match in ideas.PLACEHOLDER.finditer(sentences)]
    assert len(cells) > 8
    for row, name in cells:
        column = table.columns[name]
        rows = stored[
            (stored["protocol"] == column.task)
            & stored["encoder"].str.startswith(column.encoder + " ")
            & (stored["metric"] == column.metric)
            & stored["method"].isin(table.rows[row])
            & stored["selection_rule"].isin([NOTHING_SELECTED, LAST_EPOCH])
            & np.array([pair in column.directions for pair in zip(stored["query_domain"], stored["gallery_domain"])])
        ]
        assert float(table.percent(row, name).split()[0]) == pytest.approx(100 * rows["value"].mean(), abs=0.06)


def test_records_that_reverse_a_finding_stop_the_page(records):
    changed = [r for r in records if r.method not in ("vanilla CLIP", "vanilla CLIP + centring (training images)")]
    swap = {"vanilla CLIP": "vanilla CLIP + centring (training images)"}
    swap |= {new: old for old, new in swap.items()}
    changed += [
        r.model_copy(update={"method": swap[r.method]}).with_queries(r.queries) for r in records if r.method in swap
    ]
    with pytest.raises(CdirError, match="trained_means is not above frozen in real, but below"):
        list(ideas.findings(emoji.table_of(changed), "findings"))


def test_a_method_that_is_measured_later_appears_in_its_table(records, table):
    assert not table.has("coda", "pair_real")
    later = [
        r.model_copy(update={"method": "CoDA", "value": 0.5}).with_queries(r.queries)
        for r in records
        if (r.method, r.protocol, r.metric) == ("vanilla CLIP", "emoji-same", "P@1:hits_over_k")
    ]
    assert "| CoDA | 50.0" in ideas.means_table(emoji.table_of([*records, *later]), "pair")


def test_the_figure_shows_every_direction_against_the_frozen_encoder(table):
    start, gain = emoji.gains(table, "trained_means", "real")
    assert len(start) == 30 and (np.diff(start) >= 0).all()
    difference = float(table.percent("trained_means", "real")) - float(table.percent("frozen", "real"))
    assert gain.mean() == pytest.approx(difference, abs=0.11)


class Given(Embedder):
    """Rows that are given by key."""

    name, encoder = "given", None

    def __init__(self, rows):
        self.rows = rows

    def embed(self, images, *, progress=True):
        return torch.tensor([self.rows[key] for key in images.keys])


def image_set(domains, keys):
    labels = np.array(["a"] * len(keys))
    return ImageSet(tuple(keys), np.array(domains), labels, lambda key: Image.new("RGB", (1, 1)), tuple(keys))


def test_a_new_style_is_centred_by_the_mean_of_all_others_and_a_seen_one_by_its_own():
    rows = {"f1": (1.0, 0.0), "f2": (0.6, 0.8), "n1": (0.0, 1.0), "query": (0.8, 0.6)}
    training = image_set(["flat", "flat", "noto"], ["f1", "f2", "n1"])
    query, gallery = image_set(["3d"], ["query"]), image_set(["flat"], ["f1"])
    method = CentredByOthers(Given(rows), training)
    q, g = method.prepare(query, gallery, method.embed(query), method.embed(gallery))
    for found, expected in ((q, (0.8 - 1.6 / 3, 0.6 - 1.8 / 3)), (g, (1 - 0.8, 0 - 0.4))):
        expected = torch.tensor([expected])
        assert torch.allclose(found / found.norm(), expected / expected.norm(), atol=1e-6)
