"""The evaluation protocol of each family of papers, from `families.yaml`: similarity, metric conventions, averaging."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch.nn.functional as F
import yaml
from pydantic import BaseModel, ConfigDict, Field

from cdir_nb.conventions import AVERAGE_PRECISION, PRECISION
from cdir_nb.errors import CdirError
from cdir_nb.retrieval.metrics import Labels, evaluate_embeddings
from cdir_nb.retrieval.ranking import Embeddings, checked_rows

if TYPE_CHECKING:
    import pandas as pd

FILE = Path(__file__).with_name("families.yaml")
Text = Annotated[str, Field(min_length=1)]


def _one_of(names: tuple[str, ...]) -> Any:
    """A text field: one of these names, or empty if the family does not report the metric."""
    return Field(pattern=f"^({'|'.join(names)})?$")


class Family(BaseModel):
    """The papers that share evaluation code, or one paper without code; `families.yaml` explains the fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    name: Text
    similarity: Literal["cosine", "euclidean"]
    unit: bool = True
    precision: str = _one_of(PRECISION)
    average_precision: str = _one_of(AVERAGE_PRECISION)
    whole_order: bool = False  # True: its AP has no cut-off
    averaging: str
    selection: Literal["", "validation", "best on test", "last epoch"]
    certainty: Literal["stated", "code", "inferred"]
    why: Text


@functools.cache
def families() -> tuple[Family, ...]:
    """All families, in the order of `families.yaml`."""
    return tuple(Family(**row) for row in yaml.safe_load(FILE.read_text(encoding="utf-8")))


def family_named(paper: str) -> Family:
    """The family of a paper, such as "TKI". Raises CdirError, with the known papers, for any other name."""
    papers = {name.strip(): family for family in families() for name in family.name.split(",")}
    if paper not in papers:
        raise CdirError(f"{paper} is not a paper with known conventions: use one of {', '.join(papers)}")
    return papers[paper]


def family_table() -> "pd.DataFrame":
    """A table for display, one row per family: reported metrics, their conventions, and the source of these."""
    import pandas as pd

    rows = [
        {
            "source": f.name,
            "similarity": f"Euclidean, {'unit' if f.unit else 'raw'} vectors"
            if f.similarity == "euclidean"
            else "cosine",
            "P@k": f.precision or "-",
            "AP": f.average_precision + " (@all)" * f.whole_order or "-",
            "averaging": f.averaging,
            "selection": f.selection or "-",
            "known from": f.certainty,
            "why": f.why,
        }
        for f in families()
    ]
    return pd.DataFrame(rows)


def as_reported(
    family: Family,
    query_emb: Embeddings,
    gallery_emb: Embeddings,
    query_labels: Labels,
    gallery_labels: Labels,
    k: int,
    leave_out: Sequence | None = None,
) -> dict[str, float]:
    """The metrics of this family for raw embeddings (Q, D), (G, D): {"precision": ..., "average_precision": ...}.

    k is the cut-off of both; a family with `whole_order` computes the AP without a cut-off. Metrics that the family
    does not report are left out of the result. Arguments, errors and warnings as in `evaluate_embeddings`.
    """
    if family.unit:
        query_emb = F.normalize(checked_rows("query_emb", query_emb, "cosine"), dim=1)
        gallery_emb = F.normalize(checked_rows("gallery_emb", gallery_emb, "cosine"), dim=1)
    results = evaluate_embeddings(
        query_emb,
        gallery_emb,
        query_labels,
        gallery_labels,
        similarity=family.similarity,
        ks=(k,),
        ap_ks=(None if family.whole_order else k,),
        leave_out=leave_out,
    )
    return {r.metric.kind: r.mean for r in results if r.convention == getattr(family, r.metric.kind)}
