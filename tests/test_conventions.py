"""Names of metrics: every metric has one, and it reads back; nothing else is a metric."""

from itertools import product

import pytest

from cdir_nb.conventions import AVERAGE_PRECISION, PRECISION, Metric
from cdir_nb.errors import CdirError

METRICS = [
    *(Metric("precision", k, name) for k, name in product((1, 10, 200), PRECISION)),
    *(Metric("average_precision", k, name) for k, name in product((1, 200, None), AVERAGE_PRECISION)),
    Metric("accuracy", None, "top-1"),
    Metric("accuracy", None, "zero-shot, among all 125 classes: no background"),
]


def test_every_metric_has_a_name_of_its_own_that_reads_back():
    assert all(Metric.parse(str(metric)) == metric for metric in METRICS)
    assert len({str(metric) for metric in METRICS}) == len(METRICS)


def test_names():
    assert str(Metric("precision", 10, "hits_over_k")) == "P@10:hits_over_k"
    assert str(Metric("average_precision", None, "over_relevant")) == "mAP@all:over_relevant"
    assert str(Metric("accuracy", None, "top-1")) == "accuracy:top-1"
    assert Metric.parse("mAP@200:over_found").short == "mAP@200"


@pytest.mark.parametrize(
    "text",
    ["", "P", "P@10", "P@:hits_over_k", "P@0:hits_over_k", "P@-1:hits_over_k", "P@010:hits_over_k", "P@all:hits_over_k",
     "P@10:over_found", "mAP@10:hits_over_k", "map@10:over_found", "mAP:over_found", "accuracy", "accuracy:",
     "accuracy@1:top-1", "recall@10:hits_over_k", "P@10:hits_over_k ", "P@10:hits_over_k\n", 10, None],
)  # fmt: skip
def test_what_is_not_a_metric_is_refused_in_one_line_with_the_valid_forms(text):
    with pytest.raises(CdirError, match="is not a metric: use P@K:CONVENTION") as caught:
        Metric.parse(text)
    assert repr(text) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "k", "convention"),
    [("precision", None, "hits_over_k"), ("precision", 0, "hits_over_k"), ("recall", 1, "hits_over_k"),
     ("accuracy", 1, "top-1"), ("average_precision", 10, "ucdir_micro")],
)  # fmt: skip
def test_parameters_without_a_name_are_refused(kind, k, convention):
    with pytest.raises(CdirError, match="is not a metric"):
        Metric(kind, k, convention)
