"""The papers' claims about their tables, as data (claims.yaml).

A claim names the method that should be better, the one that should be worse, the metric, and whether it is about the
mean over directions or about each direction. Verdicts are not stored: `verdicts` computes them from numbers.
"""

from itertools import product
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cdir_nb.conventions import Metric
from cdir_nb.errors import CdirError
from cdir_nb.results.published import papers
from cdir_nb.results.records import MetricName, Text, problems

FILE = Path(__file__).with_name("claims.yaml")


def _as_tuple(names: object) -> object:
    return (names,) if isinstance(names, str) else names


def _known_paper(name: str) -> str:
    if name not in papers():
        raise ValueError(f"should be one of {', '.join(papers())}")
    return name


Names = Annotated[tuple[Text, ...], BeforeValidator(_as_tuple)]


class Claim(BaseModel):
    """One statement that some methods are better than others.

    where          table, figure or section of the paper, or a note that the comparison is not in the paper
    tables         published tables with the numbers; a method's numbers are taken from the first table that lists it
    says           the claim, reworded
    better, worse  method names in our records; with several, each of `better` is above each of `worse`
    chain          instead of `better` and `worse`: methods from worst to best, each above its predecessor
    falling        instead of these: a method whose values decrease from each cut-off of `metric` to the next one
                   above it
    metric         names of metrics of one kind, in order of preference; the convention and cut-off listed first in the
                   protocol's card take precedence. The first metric that all methods have is used
    over           whether the claim is about the mean over directions or about each direction
    tolerance      points by which `better` may be BELOW `worse`, for claims that something costs little
    query          only directions with this query domain; empty for all
    protocol       only protocols whose names contain this text, such as "-ucdr-"; empty for all
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    paper: Annotated[str, AfterValidator(_known_paper)]
    where: Text
    tables: tuple[Text, ...] = ()
    says: Text
    better: Names = ()
    worse: Names = ()
    chain: Names = ()
    falling: str = ""
    metric: Annotated[tuple[MetricName, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    over: Literal["mean", "each direction"] = "mean"
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    query: str = ""
    protocol: str = ""

    @model_validator(mode="after")
    def _check(self) -> "Claim":
        if len({metric.kind for metric in self.metrics}) > 1:
            raise ValueError("metric has names of several kinds: give names of one kind")
        if self.falling:
            conventions, cutoffs = ({getattr(m, name) for m in self.metrics} for name in ("convention", "k"))
            if self.better or self.worse or self.chain or len(conventions) > 1 or len(cutoffs - {None}) < 2:
                raise ValueError("falling takes two or more cut-offs of one metric, and no better, worse or chain")
            return self
        if bool(self.chain) == bool(self.better or self.worse) or not self.pairs:
            raise ValueError("give better and worse, or a chain of at least two methods")
        return self

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics, in order of preference."""
        return tuple(map(Metric.parse, self.metric))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(better, worse) for each comparison; the claim holds if every comparison does."""
        if self.chain:
            return [(high, low) for low, high in zip(self.chain, self.chain[1:])]
        return list(product(self.better, self.worse))

    @property
    def methods(self) -> list[str]:
        """All methods of the claim, without duplicates."""
        return [self.falling] if self.falling else list(dict.fromkeys(name for pair in self.pairs for name in pair))


def load_claims(path: Path = FILE) -> list[Claim]:
    """The claims in a file, in its order. Raises CdirError, naming file, claim and field, for an invalid claim."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    claims = []
    for entry in entries:
        try:
            claims.append(Claim(**entry))
        except ValidationError as error:
            raise CdirError(f"{path.name}: {entry.get('id', '?')}: {problems(error)}") from None
    ids = [claim.id for claim in claims]
    if repeated := sorted({name for name in ids if ids.count(name) > 1}):
        raise CdirError(f"{path.name}: {', '.join(repeated)}: id used for several claims: ids must be unique")
    return claims
