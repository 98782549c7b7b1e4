"""Harder counterparts of a protocol, by hand."""

import pytest

from cdir_nb.results import Record, load_claims, verdicts
from cdir_nb.results.claims.verdicts import by_context, with_counterparts

CLAIMS = {claim.id: claim for claim in load_claims()}


def record(protocol: str, value: float, *, method: str = "SnMpNet", query: str = "sketch") -> Record:
    return Record(
        method=method,
        dataset="world",
        protocol=protocol,
        query_domain=query,
        gallery_domain="real",
        metric="mAP@200:over_found",
        value=value,
        seed=0,
        encoder="mobilenet-v2",
        selection_rule="validation by validation classes",
    )


RECORDS = [
    record("world-ucdr-sketch", 0.3),
    record("world-ucdr-sketch-mixed", 0.2),
    record("world-uccdr-sketch", 0.5),
    record("world-ucdr-clipart", 0.4, query="clipart"),
    record("world-uccdr-sketch", 0.45, method="EISNet-retrieval"),
    record("world-uccdr-sketch", 0.55, method="CuMix-retrieval"),
]


def test_numbers_of_a_harder_task_are_also_in_the_easier_one():
    before = by_context(RECORDS)
    added = {
        (context[1], method, record.value)
        for context, table in with_counterparts(before).items()
        for (method, metric), records in table.items()
        for record in records
        if (method, metric) not in before[context]
    }
    assert added == {
        ("world-ucdr-sketch", "SnMpNet, mixed gallery", 0.2),
        ("world-uccdr-sketch", "SnMpNet, unseen domain", 0.3),
    }


def test_nothing_is_added_without_a_counterpart():
    contexts = by_context(RECORDS[1:2])
    assert with_counterparts(contexts) == contexts


@pytest.mark.parametrize(
    ("claim", "protocol", "difference"),
    [
        ("snmpnet-mixed-gallery-harder", "world-ucdr-sketch", 10.0),
        ("snmpnet-unseen-domain-harder", "world-uccdr-sketch", 20.0),
        ("snmpnet-unseen-classes", "world-uccdr-sketch", -5.0),
    ],
)
def test_claims_about_two_tasks_are_decided_on_the_easier_one(claim, protocol, difference):
    rows = verdicts(RECORDS, [CLAIMS[claim]])
    (row,) = rows[rows["verdict"] != "not run"].itertuples()
    assert row.protocol == protocol and row.difference == pytest.approx(difference)


def test_a_claim_is_decided_on_its_protocols_only():
    rows = verdicts(RECORDS, [CLAIMS["snmpnet-ucdr"]])  # unseen domains: no other method was run there
    assert set(rows["verdict"]) == {"not run"}


def test_tasks_with_other_queries_are_no_counterparts():
    def compared(*prints):
        tasks = zip(("world-ucdr-sketch", "world-ucdr-sketch-mixed"), (0.3, 0.2), prints)
        found = [record(task, value).model_copy(update={"query_fingerprint": print_}) for task, value, print_ in tasks]
        return set(verdicts(found, [CLAIMS["snmpnet-mixed-gallery-harder"]])["verdict"])

    assert compared("aa", "aa") == compared("aa", "") != {"not run"}
    assert compared("aa", "bb") == {"not run"}
