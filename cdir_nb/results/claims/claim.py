"""What the papers claim about their tables, as data (claims.yaml).

A claim names the method that should be better and the one that should be worse, the measure, and whether the mean
over directions or each direction is meant. It has no verdict: `verdicts` works that out from numbers.
"""

from itertools import product
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cdir_nb.errors import CdirError
from cdir_nb.results.records import Text, problems

FILE = Path(__file__).with_name("claims.yaml")
Names = Annotated[tuple[Text, ...], BeforeValidator(lambda names: (names,) if isinstance(names, str) else names)]


class Claim(BaseModel):
    """One statement of order or gain.

    where          table, figure or section of the paper; it says so where the comparison is ours
    tables         published tables that print it, the first one that has a method counts
    says           the claim in our own words
    better, worse  method names of our records; several: each of `better` above each of `worse`
    chain          instead of both: methods from worst to best, each above the one before it
    k              cut-offs in order of preference, those that the protocol's card lists before others; the first
                   that all methods were measured at counts
    over           the mean over directions, or each direction
    tolerance      points: how far `better` may lie BELOW `worse`; for claims that something costs little
    query          only directions with this query domain; empty for all
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    paper: Literal["clair", "tki", "ucdir", "snmpnet"]
    where: Text
    tables: tuple[Text, ...] = ()
    says: Text
    better: Names = ()
    worse: Names = ()
    chain: Names = ()
    metric: Text
    convention: Text
    k: tuple[Annotated[int, Field(ge=1)] | None, ...] = (None,)
    over: Literal["mean", "each direction"] = "mean"
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    query: str = ""

    @model_validator(mode="after")
    def _check(self) -> "Claim":
        if bool(self.chain) == bool(self.better or self.worse) or not self.pairs:
            raise ValueError("give better and worse, or a chain of two and more")
        return self

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(better, worse) for each comparison; the claim holds where all of them do."""
        if self.chain:
            return [(high, low) for low, high in zip(self.chain, self.chain[1:])]
        return list(product(self.better, self.worse))

    @property
    def methods(self) -> list[str]:
        """All methods, each once."""
        return list(dict.fromkeys(name for pair in self.pairs for name in pair))


def load_claims(path: Path = FILE) -> list[Claim]:
    """The claims of a file, in its order. CdirError names file, claim and field."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    claims = []
    for entry in entries:
        try:
            claims.append(Claim(**entry))
        except ValidationError as error:
            raise CdirError(f"{path.name}: {entry.get('id', '?')}: {problems(error)}") from None
    ids = [claim.id for claim in claims]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise CdirError(f"{path.name}: {', '.join(twice)}: an id stands for one claim alone")
    return claims
