"""Select records as `cdir results` does: by task, method, metric, convention, direction and selection rule."""

from collections.abc import Callable, Collection, Iterable, Sequence

from cdir_nb.conventions import NOTHING_SELECTED, SELECTION_RULES, Metric
from cdir_nb.errors import CdirError
from cdir_nb.results.records import Record, is_baseline


def chosen(
    records: Iterable[Record],
    *,
    tasks: Collection[str] = (),
    methods: Collection[str] = (),
    metric: str = "",
    paper: str = "",
    directions: Collection[str] = (),
    rule: str = "",
) -> list[Record]:
    """The records that match all of these selections; an empty selection is ignored.

    tasks       protocols, such as "world-unseen", or datasets
    methods     names of methods; the baseline is always included, since gains are relative to it
    metric      a metric with its convention, such as `mAP@200:over_found`, or without it: all conventions
    paper       a paper, such as "TKI": only the conventions in which it reports (`cdir_nb/retrieval/families.yaml`)
    directions  pairs QUERY:GALLERY of domains
    rule        a selection rule; methods for which nothing is selected are always included

    Raises CdirError for a name that no record has; the message lists the available names.
    """
    if rule and rule not in SELECTION_RULES:
        raise CdirError(f"--rule {rule} is not a selection rule: use one of {', '.join(SELECTION_RULES)}")
    records = list(records)
    records = _with(records, "--task", tasks, lambda record: (record.protocol, record.dataset))
    records = _with(records, "--direction", directions, lambda record: (direction(record),))
    if paper:
        records = _as_reported(records, paper)
    records = _with(records, "--metric", [metric] if metric else [], lambda record: (record.metric, short(record)))
    if rule:
        rules = [rule, NOTHING_SELECTED]
        records = _with(records, "--rule", rules, lambda record: (record.selection_rule,), required=rules[:1])
    baseline = [record.method for record in records if is_baseline(record)] if methods else []
    return _with(records, "--method", {*methods, *baseline}, lambda record: (record.method,), required=methods)


def direction(record: Record) -> str:
    """The domains of a record as `--direction` names them: QUERY:GALLERY."""
    return f"{record.query_domain}:{record.gallery_domain}"


def short(record: Record) -> str:
    """The name of a record's metric without its convention, such as `mAP@200`."""
    return Metric.parse(record.metric).short


def _with(
    records: Sequence[Record],
    option: str,
    values: Collection[str],
    names: Callable[[Record], tuple[str, ...]],
    required: Collection[str] | None = None,
) -> list[Record]:
    """The records with at least one of `names(record)` in `values`; all records if `values` is empty.

    Raises CdirError if one of `required` (default: `values`) is among the names of no record.
    """
    if not values:
        return [*records]
    available = dict.fromkeys(name for record in records for name in names(record)[:1] if name)
    known = {name for record in records for name in names(record)}
    if missing := [value for value in (values if required is None else required) if value not in known]:
        there = ", ".join(available) or "none"
        raise CdirError(
            f"{option} {missing[0]}: no number selected by the options before it has this value; available: {there}"
        )
    return [record for record in records if {*names(record)} & {*values}]


def _as_reported(records: Sequence[Record], paper: str) -> list[Record]:
    """The records in the conventions of a paper."""
    from cdir_nb.retrieval.families import family_named  # imports torch

    family = family_named(paper)

    def reported(metric: Metric) -> bool:
        expected = {"precision": family.precision, "average_precision": family.average_precision}.get(metric.kind)
        whole = metric.kind == "average_precision" and family.whole_order
        return metric.convention == expected and not (whole and metric.k)

    selected = [record for record in records if reported(Metric.parse(record.metric))]
    if records and not selected:
        conventions = " and ".join(filter(None, (family.precision, family.average_precision)))
        raise CdirError(f"--as {paper}: no number in its conventions ({conventions}): measure the task in them")
    return selected
