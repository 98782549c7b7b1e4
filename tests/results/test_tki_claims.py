"""The script that records TKI and its variants, on two domains and four classes of the drawn world."""

import importlib.util

import pytest

from cdir_nb.data import load_protocol, open_dataset
from cdir_nb.methods.tki.settings import TkiConfig
from cdir_nb.paths import ROOT
from cdir_nb.results import load_records


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("tki_claims", ROOT / "scripts" / "tki_claims.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Small:
    """world-unseen with fewer classes, domains and images."""

    def __init__(self, task):
        self.name, self.dataset, self.classes, self.seen = task.name, task.dataset, task.classes[:4], task.seen
        self.cutoffs, self.directions = ([1], [200]), (("real", "sketch"), ("sketch", "real"))
        self._gallery = task.gallery

    def gallery(self, domain):
        rows = self._gallery(domain).select(domain, self.classes)
        return rows.take(range(0, len(rows), 6))

    query = gallery


def test_what_the_file_lacks_is_recorded_and_nothing_twice(script, tmp_path, monkeypatch):
    task, variant = Small(load_protocol("world-unseen", open_dataset("world"))), script.variant
    quick = TkiConfig(expansion_steps=2, aggregation_steps=2)
    monkeypatch.setattr(script, "load_protocol", lambda *_: task)
    monkeypatch.setattr(script, "variant", lambda name: variant(name, quick))
    expansions, expand = [], script.expand
    monkeypatch.setattr(script, "expand", lambda *a, **how: expansions.append(1) or expand(*a, **how))
    file, methods = tmp_path / "tki.csv", ["TKI", "TKI, Euclidean", "TKI, strategy 2"]
    script.main("world-unseen", file, method=methods[:1], seeds=1)
    script.main("world-unseen", file, method=methods, seeds=2)
    records = load_records(file)
    assert {r.method: {x.seed for x in records if x.method == r.method} for r in records} == {
        "vanilla CLIP": {0}, **dict.fromkeys(methods, {0, 1})}  # fmt: skip
    assert len({r.config_digest for r in records}) == 4 and len(expansions) == 1 + 2 * 2, "texts are shared"
    assert "(strategy 2)" in next(r.train_set for r in records if r.method == "TKI, strategy 2")
    monkeypatch.setattr(script, "fit", None)
    script.main("world-unseen", file, method=methods, seeds=2)
    assert load_records(file) == records
