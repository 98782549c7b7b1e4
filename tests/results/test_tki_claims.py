"""The script behind TKI's committed results, on two domains and four classes of the drawn world."""

import importlib.util
import sys

import pytest

from cdir_nb.data import load_protocol, open_dataset
from cdir_nb.encoders import load_encoder
from cdir_nb.paths import ROOT
from cdir_nb.results import load_records
from cdir_nb.retrieval import evaluate_embeddings


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        spec = importlib.util.spec_from_file_location("tki_claims", ROOT / "scripts" / "tki_claims.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(ROOT / "scripts"))


class Small:
    """world-unseen with fewer classes, domains and images."""

    def __init__(self, task):
        self.name, self.dataset, self.classes = task.name, task.dataset, task.classes[:4]
        self.domains, self.directions = ("real", "sketch"), (("real", "sketch"), ("sketch", "real"))
        self._gallery = task.gallery

    def gallery(self, domain):
        rows = self._gallery(domain).select(domain, self.classes)
        return rows.take(range(0, len(rows), 6))


def test_records_of_every_method_go_to_a_file_once_and_the_report_reads_them(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "SEEDS", (0, 1))
    task = Small(load_protocol("world-unseen", open_dataset("world")))
    bench = script.Bench(load_encoder("tiny-clip"), task, ["bus", "clock", "house", "dog", "cat", "apple"])
    quick = {"expansion_steps": 2, "aggregation_steps": 2}
    variants = {"TKI": quick, "TKI, Euclidean": {"geometry": "euclidean", **quick}}
    script.claims(bench, tmp_path / "tki.csv", variants)
    records = load_records(tmp_path / "tki.csv")
    assert len(records) == 2 * 3 * (1 + 2 * 2)  # directions x measures x (vanilla CLIP, two methods of two seeds)
    assert {r.method: {x.seed for x in records if x.method == r.method} for r in records} == {
        "vanilla CLIP": {0}, "TKI": {0, 1}, "TKI, Euclidean": {0, 1}}  # fmt: skip
    found = evaluate_embeddings(
        bench.raw["real"],
        bench.raw["sketch"],
        bench.images["real"].labels,
        bench.images["sketch"].labels,
        ks=(1,),
        ap_ks=(),
    )
    by_hand = next(r.mean for r in found if (r.metric, r.convention, r.k) == script.FIRST)
    kept = [r.value for r in records if (r.method, r.query_domain, r.k) == ("vanilla CLIP", "real", 1)]
    assert kept == [pytest.approx(by_hand, abs=1e-6)]

    def never(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr(bench, "measured", never)
    script.claims(bench, tmp_path / "tki.csv", variants)
    assert load_records(tmp_path / "tki.csv") == records
    from claims_report import report

    text = report("tki", records)
    assert "TKI, trained on texts alone, is above CLIP on average." in text and "| vanilla CLIP |" in text
    assert "L_max alone" not in text  # not run
