"""The reviewed table of sources, `data_manifest/sources.yaml`: where each dataset comes from, and under which terms."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cdir_nb import paths
from cdir_nb.errors import CdirError

STRICT = ConfigDict(extra="forbid", frozen=True)
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Reviewed(BaseModel):
    """`confirmed` False: nobody could check that the source is still there; `review` says what was checked, and how."""

    model_config = STRICT
    confirmed: bool
    review: str = Field(min_length=1)


class HubSource(Reviewed):
    """Parquet files of a dataset repository. `domain` and `label` are columns; `only` is the one domain there is."""

    kind: Literal["hub"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(pattern="^[0-9a-f]{40}$")  # a commit: a branch could change under us
    files: list[str]
    image: str = "image"
    domain: str = ""
    only: str = ""
    label: str = "label"


class ArchiveFile(BaseModel):
    """One archive. `domain`: the only one in it. `lists`: files of image lists; images not in them are left out."""

    model_config = STRICT
    url: str = Field(pattern="^https?://")
    domain: str = ""
    sha256: Sha256 | None = None
    size: Annotated[int, Field(gt=0)] | None = None
    lists: list[str] = []


class ArchiveSource(Reviewed):
    """Archives at an address. `folders`: folder in the archive -> domain's folder, where the two names differ."""

    kind: Literal["archive"]
    files: list[ArchiveFile]
    folders: dict[str, str] = {}


class DrawingSource(Reviewed):
    """One file of drawings per class; {label} in `url` is the class name with spaces for underscores."""

    kind: Literal["ndjson"]
    url: str = Field(pattern=r"^https?://.*\{label\}")


class ByHand(Reviewed):
    """No address that a program can use. `how`: what a person has to do. `folders` as in ArchiveSource."""

    kind: Literal["by hand"]
    page: str
    how: str
    folders: dict[str, str] = {}


Source = Annotated[HubSource | ArchiveSource | DrawingSource | ByHand, Field(discriminator="kind")]


class Entry(BaseModel):
    """One dataset: the terms that its user accepts, and its sources, best first."""

    model_config = STRICT
    terms: str = Field(min_length=1)
    sources: Annotated[list[Source], Field(min_length=1)]

    def folders(self) -> dict[str, str]:
        """Folders of archives that a person downloaded, whichever source they are from."""
        known = [source.folders for source in self.sources if isinstance(source, (ArchiveSource, ByHand))]
        return {inside: folder for folders in known for inside, folder in folders.items()}


class Table(BaseModel):
    model_config = STRICT
    datasets: dict[str, Entry]


def load_table() -> dict[str, Entry]:
    """{dataset: entry}. Raises CdirError naming the field that is wrong."""
    path = paths.MANIFEST / "sources.yaml"
    try:
        return Table.model_validate({"datasets": yaml.safe_load(path.read_text(encoding="utf-8"))}).datasets
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:]))
        raise CdirError(f"{path}: {where}: {first['msg']}; fix the table") from None
    except (OSError, yaml.YAMLError) as error:
        raise CdirError(f"{path} cannot be read: {' '.join(str(error).split())}") from None


def entry_of(name: str) -> Entry:
    """The sources of a dataset. Raises CdirError, with the names that have some, if it has none."""
    table = load_table()
    if name not in table:
        raise CdirError(f"no source is known for {name!r}; `cdir fetch` knows {', '.join(table)}")
    return table[name]


def ends_with(path: PurePosixPath, folder: str) -> bool:
    """Whether a folder's path ends with `folder`, part by part."""
    parts = PurePosixPath(folder).parts
    return path.parts[-len(parts) :] == parts
