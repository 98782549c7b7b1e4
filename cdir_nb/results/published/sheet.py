"""The schema of a paper's tables (published/<paper>.yaml), validated strictly; a test checks the printed cells.

The context of a cell is merged from the most general to the most specific source: the table's `dataset` and
`protocol`, its `common`, the cell's row (`settings`), its column (`columns`), the cell itself (`exceptions`); the more
specific source wins.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)
KEYS = ["method", "setting", "backbone"]
Kind = Literal["precision", "average_precision", "accuracy"]
Certainty = Literal["stated", "code", "inferred", "unknown"]
Text = Annotated[str, Field(min_length=1)]
Cutoff = Annotated[int, Field(gt=0)]


class Context(BaseModel):
    """The part of a cell's context that a row or column defines; missing fields are taken from a more general source.

    query, gallery  domains, with our names
    metric, k, convention  the parts of the metric's name, since a table states them in different places
    certainty       the source of the convention: stated in the paper, from released code, inferred, or unknown
    why             the reason for `certainty`, in one line
    average_of      for an average: the columns (or settings) that it averages; [] if they are not printed.
                    Its context contains the fields that these have in common.
    """

    model_config = STRICT
    dataset: str = ""
    protocol: str = ""
    query: str = ""
    gallery: str = ""
    metric: Kind | None = None
    k: Cutoff | None = None
    convention: str = ""
    certainty: Certainty | None = None
    why: str = ""
    average_of: list[str] | None = None


class Sheet(BaseModel):
    """The header of one printed table, or of one part of it; its cells are in `file`.

    cells        the number of printed cells (numbers, dashes, and cells that are unreadable in our scan)
    notes        printed columns that describe a row and have no results; only `wide` shows them
    exceptions   {method: {column: context}} of cells with a special context, such as numbers copied from another paper
    differences  {printed row of gains: the two rows whose difference it is}; its cells ("+2.60") are counted and shown
                 by `wide`, but are not results
    our_names    {printed method: name in our records}; takes precedence over the paper's `our_names`
    """

    model_config = STRICT
    file: Text
    about: Text
    dataset: str = ""
    protocol: str = ""
    unit: Literal["percent", "fraction"]
    cells: Cutoff
    common: Context = Context()
    settings: dict[str, Context] = {}
    columns: Annotated[dict[str, Context], Field(min_length=1)]
    notes: list[str] = []
    exceptions: dict[str, dict[str, Context]] = {}
    differences: dict[str, Annotated[list[str], Field(min_length=2, max_length=2)]] = {}
    our_names: dict[str, str] = {}

    def context(self, setting: str, column: str, method: str = "") -> dict[str, Any]:
        """The merged context of the cells of a row group, a column and a method: every field of `Context`."""
        table = {"dataset": self.dataset, "protocol": self.protocol} | _set_fields(self.common)
        exception = _set_fields(self.exceptions.get(method, {}).get(column, Context()))
        merged = table | _resolved(self.settings, setting) | _resolved(self.columns, column) | exception
        return Context().model_dump() | merged

    def is_average(self, setting: str, column: str) -> bool:
        """True if a cell of this row group and column is an average of others."""
        both = self.settings.get(setting), self.columns[column]
        return any(context is not None and context.average_of is not None for context in both)


class Position(BaseModel):
    """The position of a cell in a paper."""

    model_config = STRICT
    table: Text
    method: Text
    setting: str = ""
    backbone: str = ""
    column: Text


class Misprint(Position):
    """A printed number that contradicts other numbers of the paper. `computed`: the number computed from these."""

    printed: Text
    computed: Text
    note: Text


class Lost(Position):
    """A cell that is unreadable in our scan of the paper."""

    note: Text


class Paper(BaseModel):
    """The contents of published/<paper>.yaml."""

    model_config = STRICT
    paper: Text
    method: Text
    order: int
    citation: Text
    tables: Annotated[dict[str, Sheet], Field(min_length=1)]
    our_names: dict[str, str] = {}
    misprints: list[Misprint] = []
    lost: list[Lost] = []


def _set_fields(context: Context) -> dict[str, Any]:
    return context.model_dump(exclude_unset=True, exclude={"average_of"})


def _resolved(contexts: dict[str, Context], name: str) -> dict[str, Any]:
    """The fields that a row group or column sets; for an average, also those that its parts have in common."""
    context = contexts.get(name, Context())
    parts = [_resolved(contexts, part) for part in context.average_of or []]
    agreed = {f: v for f, v in parts[0].items() if all(p.get(f) == v for p in parts)} if parts else {}
    return agreed | _set_fields(context)
