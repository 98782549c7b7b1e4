"""Pages on claims: one for every paper with a claim that can be decided."""

import pytest
import typer

from cdir_nb.data.protocols import protocol_spec
from cdir_nb.pages import claims_page
from cdir_nb.results import Record
from cdir_nb.results.panels import belongs_to
from cdir_nb.results.published import papers


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The module, writing below `tmp_path`; claims of TKI and SnMpNet can be decided, none of UCDIR."""
    module = claims_page
    found = [record(name) for name in ("vanilla CLIP", "TKI", "TKI, Euclidean", "CLIP-UCDIR")]
    found += [record(name, "over_found") for name in ("SnMpNet", "EISNet-retrieval", "CuMix-retrieval")]
    monkeypatch.setattr(module, "reproduced_records", lambda: found)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def record(method: str, convention: str = "over_min_k_relevant") -> Record:
    frozen = method.startswith(("vanilla", "EISNet", "CuMix"))
    protocol = "world-uccdr-sketch" if convention == "over_found" else "world-unseen"
    return Record(
        method=method, dataset="world", protocol=protocol, query_domain="real", gallery_domain="sketch",
        metric=f"mAP@200:{convention}", value=0.3 if frozen else 0.4, seed=0,
        encoder="tiny-clip [ab]", selection_rule="nothing selected" if frozen else "last epoch",
    )  # fmt: skip


def test_every_task_that_the_texts_name_is_a_protocol(script):
    tasks = [task for texts in script.TEXTS["papers"].values() for task in texts["tasks"]]
    assert len(tasks) > 10 and all(map(protocol_spec, tasks))


@pytest.mark.parametrize(
    "method,paper",
    [
        ("CLAIR", "clair"),
        ("CLAIR w/o prompts", "clair"),
        ("CLAIR, refined labels", "clair"),
        ("TKI, Euclidean", "tki"),
        ("UCDIR", "ucdir"),
        ("CLIP-UCDIR", "ucdir"),
        ("SnMpNet", "snmpnet"),
        ("SnMpNet, as released", "snmpnet"),
        ("L_IW (v1)", "ucdir"),
        ("CoDA, one level", ""),
        ("vanilla CLIP", ""),
        ("CLIP + Q", ""),
        ("PCS", ""),
    ],
)
def test_every_method_belongs_to_its_paper_or_to_none(method, paper):
    assert [name for name in papers() if belongs_to(method, name)] == ([paper] if paper else [])


def test_without_a_name_every_paper_that_was_run_gets_its_page(script, tmp_path):
    script.main("")
    assert sorted(path.name for path in tmp_path.rglob("*.md")) == ["snmpnet.md", "tki.md"]
    assert "| SnMpNet | 40.00 |" in (tmp_path / "docs/results/snmpnet.md").read_text()
    page = (tmp_path / "docs/results/tki.md").read_text()
    assert (
        "| TKI, trained on texts alone, is above CLIP on average." in page
        and "+10.00 (+10.00) | no interval | 1 of 1 |" in page
    )


def test_with_a_name_that_page_alone_is_written(script, tmp_path):
    script.main("tki")
    assert [path.name for path in tmp_path.rglob("*.md")] == ["tki.md"]
    with pytest.raises(typer.BadParameter, match="clair: .*tki, snmpnet"):
        script.main("clair")


def test_two_reports_of_one_training_are_never_averaged(script, tmp_path, monkeypatch):
    """TKI by two selection rules, 40 and 46 %: a section each, and vanilla CLIP in both."""
    best = record("TKI").model_copy(update={"selection_rule": "best on test", "value": 0.46})
    found = [record("vanilla CLIP"), record("TKI"), best]
    monkeypatch.setattr(script, "reproduced_records", lambda: found)
    script.main("tki")
    page = (tmp_path / "docs/results/tki.md").read_text()
    last, chosen = page.split("### Selection rule: best on test")
    assert "### Selection rule: last epoch" in last and "| TKI | 40.00 |" in last and "+10.00 (+10.00)" in last
    assert "| TKI | 46.00 |" in chosen and "+16.00 (+16.00)" in chosen and "+10.00" not in chosen
    assert page.count("| vanilla CLIP | 30.00 |") == 2


def test_ucdirs_gain_is_shown_where_the_gap_is(script, tmp_path, monkeypatch):
    """Hardest direction first; the best of two baselines counts, and an empty cell where none was run."""
    values = {
        ("quickdraw", "real"): {"frozen start": 0.1, "UCDIR": 0.3, "ID": 0.15, "PCS": 0.25},
        ("clipart", "sketch"): {"frozen start": 0.4, "UCDIR": 0.45},
    }
    found = [
        record(name).model_copy(
            update={
                "dataset": "world", "protocol": "world-closed", "metric": "P@10:ucdir_micro", "value": value,
                "query_domain": query, "gallery_domain": gallery,
                "selection_rule": "nothing selected" if name == "frozen start" else "last epoch",
            }
        )
        for (query, gallery), row in values.items()
        for name, value in row.items()
    ]  # fmt: skip
    monkeypatch.setattr(script, "reproduced_records", lambda: found)
    script.main("ucdir")
    page = (tmp_path / "docs/results/ucdir.md").read_text()
    hard, easy = (
        "| quickdraw → real (drawn) | 10.0 | 30.0 | +20.0 | +5.0 |",
        "| clipart → sketch | 40.0 | 45.0 | +5.0 |  |",
    )
    assert hard in page and page.index(hard) < page.index(easy)
