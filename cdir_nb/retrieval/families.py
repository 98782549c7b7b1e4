"""How each family of papers turns a ranking into numbers, and how we know: reads `families.yaml`."""

import functools
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cdir_nb.conventions import AVERAGE_PRECISION, PRECISION
from cdir_nb.retrieval.metrics import evaluate_embeddings
from cdir_nb.retrieval.ranking import SIMILARITIES

FILE = Path(__file__).with_name("families.yaml")


class Family(BaseModel):
    """One evaluation code, or one paper without code; the comment at the top of `families.yaml` explains the fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    name: str = Field(min_length=1)
    similarity: str
    unit: bool = True
    precision: str
    average_precision: str
    whole_order: bool = False  # True: its AP has no cut-off
    averaging: str
    selection: Literal["", "validation", "best on test", "last epoch"]
    certainty: Literal["stated", "code", "inferred"]
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> "Family":
        known = {
            "similarity": SIMILARITIES,
            "precision": ("", *PRECISION),
            "average_precision": ("", *AVERAGE_PRECISION),
        }
        for field, values in known.items():
            if getattr(self, field) not in values:
                raise ValueError(f"{self.name}: unknown {field} {getattr(self, field)!r}")
        return self


@functools.cache
def families() -> tuple[Family, ...]:
    """All families, in the order of the file."""
    return tuple(Family(**row) for row in yaml.safe_load(FILE.read_text(encoding="utf-8")))


def family_table() -> pd.DataFrame:
    """One row per family, for display: what it reports, in which convention, and how we know."""
    return pd.DataFrame(
        [
            {
                "source": f.name,
                "similarity": _similarity(f),
                "P@k": f.precision or "-",
                "AP": f.average_precision + " (@all)" * f.whole_order or "-",
                "averaging": f.averaging,
                "selection": f.selection or "-",
                "known from": f.certainty,
                "why": f.why,
            }
            for f in families()
        ]
    )


def _similarity(family: Family) -> str:
    return "cosine" if family.similarity == "cosine" else f"Euclidean, {'unit' if family.unit else 'raw'} vectors"


def as_reported(
    family: Family,
    query_emb: torch.Tensor,
    gallery_emb: torch.Tensor,
    query_labels: np.ndarray,
    gallery_labels: np.ndarray,
    k: int,
) -> dict[str, float]:
    """What this family would report for raw embeddings (Q, D), (G, D): {"precision": ..., "average_precision": ...}.

    k is the cut-off of both (AP has none if the family uses none). Metrics that it does not report are left out.
    """
    if family.unit:
        query_emb, gallery_emb = F.normalize(query_emb, dim=1), F.normalize(gallery_emb, dim=1)
    found = evaluate_embeddings(
        query_emb,
        gallery_emb,
        query_labels,
        gallery_labels,
        similarity=family.similarity,
        ks=(k,),
        ap_ks=(None if family.whole_order else k,),
    )
    wanted = {"precision": family.precision, "average_precision": family.average_precision}
    return {r.metric.kind: r.mean for r in found if r.convention == wanted[r.metric.kind]}
