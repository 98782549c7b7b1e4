"""The reviewed table of sources, `data_manifest/sources.yaml`: where each dataset comes from, and under which terms."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cdir_nb import paths
from cdir_nb.data.strict_yaml import read_yaml
from cdir_nb.errors import CdirError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reviewed(Strict):
    """A source. `confirmed`: whether its web pages were checked to exist; `review`: what was checked, and how."""

    confirmed: bool
    review: str = Field(min_length=1)


class HubSource(Reviewed):
    """Parquet files of a repository. `image`, `domain`, `label`: columns; `only`: the domain if there is only one."""

    kind: Literal["hub"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(pattern="^[0-9a-f]{40}$")  # a commit, since a branch can change
    files: list[str]
    image: str = "image"
    domain: str = ""
    only: str = ""
    label: str = "label"


class ArchiveFile(Strict):
    """One archive. `domain`: its domain, if there is only one. `lists`: URLs of lists of the images to extract."""

    url: str = Field(pattern="^https?://")
    domain: str = ""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    size: Annotated[int, Field(gt=0)] | None = None
    lists: list[str] = []


class ArchiveSource(Reviewed):
    """Archives at URLs. `folders`: {folder in the archive: domain folder}, where the two names differ."""

    kind: Literal["archive"]
    files: list[ArchiveFile]
    folders: dict[str, str] = {}


class DrawingSource(Reviewed):
    """One file of drawings per class. `{label}` in `url` stands for the class name, with spaces for underscores."""

    kind: Literal["ndjson"]
    url: str = Field(pattern=r"^https?://.*\{label\}")


class ByHand(Reviewed):
    """A web page that requires a manual download. `how`: the steps; `folders` as in ArchiveSource."""

    kind: Literal["by hand"]
    page: str
    how: str
    folders: dict[str, str] = {}


Source = Annotated[HubSource | ArchiveSource | DrawingSource | ByHand, Field(discriminator="kind")]


class Entry(Strict):
    """A dataset: its terms of use, and its sources, best first."""

    terms: str = Field(min_length=1)
    sources: Annotated[list[Source], Field(min_length=1)]

    def folders(self) -> dict[str, str]:
        """{folder in an archive: domain folder} of all sources, for archives that the user downloaded."""
        archives = [source.folders for source in self.sources if isinstance(source, (ArchiveSource, ByHand))]
        return {inside: folder for folders in archives for inside, folder in folders.items()}

    def by_hand(self) -> str:
        """Instructions for a manual download; empty if no source has them."""
        return next((f"{s.how} ({s.page}), then add --from FILE" for s in self.sources if isinstance(s, ByHand)), "")


def load_table() -> dict[str, Entry]:
    """{dataset: entry}. Raises CdirError naming the field that is invalid."""
    path = paths.MANIFEST / "sources.yaml"
    try:
        return TypeAdapter(dict[str, Entry]).validate_python(read_yaml(path))
    except ValidationError as error:
        raise CdirError(f"{path} is invalid: {' '.join(str(error).split())}") from None
