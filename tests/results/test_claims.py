"""Claims as data: wrong entries are named, and no claim carries a verdict of its own."""

import json

import pytest
from one_claim import CLAIM

from cdir_nb.errors import CdirError
from cdir_nb.results import Claim, load_claims
from cdir_nb.results.published import papers, published, tables


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chain": ["A", "B"]}, "give better and worse, or a chain of at least two methods"),
        ({"worse": []}, "give better and worse"),
        ({"falling": "A"}, "falling takes two or more cut-offs of one metric, and no better, worse or chain"),
        ({"metric": []}, "metric: "),
        ({"metric": "precision"}, "metric.0: 'precision' is not a metric: use P@K:CONVENTION"),
        ({"metric": ["P@1:hits_over_k", "mAP@all:over_found"]}, "metric has names of several kinds"),
        ({"over": "median"}, "over: should be 'mean' or 'each direction'"),
        ({"verdict": "holds"}, "verdict: unknown name"),
    ],
)
def test_a_wrong_entry_is_named(changes, message, tmp_path):
    (tmp_path / "c.yaml").write_text(json.dumps([{**CLAIM, **changes}]))
    with pytest.raises(CdirError, match="c.yaml: a-above-b: ") as caught:
        load_claims(tmp_path / "c.yaml")
    assert message in str(caught.value)


def test_an_id_stands_for_one_claim(tmp_path):
    (tmp_path / "c.yaml").write_text(json.dumps([CLAIM, CLAIM]))
    with pytest.raises(CdirError, match="a-above-b: id used for several claims: ids must be unique"):
        load_claims(tmp_path / "c.yaml")


def test_pairs_of_lists_and_chains():
    several = Claim(**{**CLAIM, "better": ["A", "B"], "worse": ["C", "D"]})
    assert several.pairs == [("A", "C"), ("A", "D"), ("B", "C"), ("B", "D")] and several.methods == ["A", "C", "D", "B"]
    chain = Claim(**{**CLAIM, "better": [], "worse": [], "chain": ["A", "B", "C"]})
    assert chain.pairs == [("B", "A"), ("C", "B")]


def test_every_paper_has_claims_and_their_tables_print_their_methods():
    claims = load_claims()
    assert {claim.paper for claim in claims} == set(papers())
    for claim in claims:
        assert set(claim.tables) <= set(tables(claim.paper)), claim.id
        if claim.tables:
            cells = published(claim.paper)
            cells = cells[cells["table"].isin(claim.tables)]
            assert set(claim.methods) <= set(cells["our_method"]) | set(cells["method"]), claim.id
