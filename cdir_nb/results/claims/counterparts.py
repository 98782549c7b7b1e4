"""Tasks that differ in one thing, for claims that compare a method with itself: a larger gallery, an unseen domain."""

import re
from collections.abc import Sequence

from cdir_nb.results.records import Record

HARDER = {"mixed gallery": (r"-mixed$", ""), "unseen domain": (r"-ucdr-", "-uccdr-")}


def with_counterparts(records: Sequence[Record]) -> list[Record]:
    """Records and, for each protocol, copies of those of its harder counterparts, with other method names.

    A record of `x-ucdr-sketch-mixed` also stands under `x-ucdr-sketch` as "SnMpNet, mixed gallery", one of
    `x-ucdr-sketch` under `x-uccdr-sketch` as "SnMpNet, unseen domain". Copies are for verdicts only; none is kept.
    """
    protocols, found = {record.protocol for record in records}, list(records)
    for name, (ending, easier) in HARDER.items():
        easy = {protocol: re.sub(ending, easier, protocol) for protocol in protocols if re.search(ending, protocol)}
        found += [
            record.model_copy(update={"protocol": easy[record.protocol], "method": f"{record.method}, {name}"})
            for record in records
            if easy.get(record.protocol) in protocols
        ]
    return found
