"""The manifest: reads dataset cards from data_manifest/<name>/card.yaml and opens datasets.

A card's `classes` and each of its `class_sets` are a list, or the name of a text file beside the card with
one class per line (lines that begin with # are comments). `counts` is one number for every class and domain,
or the name of a CSV file with a row per class and a column per domain, where an empty cell means unknown. `words` and
`kinds` are each a mapping, or the name of a CSV file and of the column with the values; the first column of the file
contains the classes.
`like: other` copies from another card every field that this one leaves out.
"""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from cdir_nb import paths
from cdir_nb.data.card import Card
from cdir_nb.data.folder import open_classes
from cdir_nb.data.images import ImageSet, combine, rename
from cdir_nb.data.quickdraw import open_drawings
from cdir_nb.data.strict_yaml import read_yaml
from cdir_nb.data.user_card import folder_card
from cdir_nb.data.zips import is_folder_or_zip
from cdir_nb.errors import CdirError

_USER_CARDS: dict[str, tuple[Card, Path]] = {}  # {name: (card, its folder)} of the folders opened in this process


def card_names() -> list[str]:
    """Names of all datasets that have a card, sorted."""
    return sorted(path.parent.name for path in paths.MANIFEST.glob("*/card.yaml"))


def load_card(name: str) -> Card:
    """The card of a dataset by name, or of a user's folder by path (and, once loaded, by name: `load_user_card`).

    Raises CdirError, naming file and field, if the card is wrong.
    """
    if card := _listed_card(name):
        return card
    if name in _USER_CARDS:
        return _USER_CARDS[name][0]
    if is_folder_or_zip(folder := paths.expanded(name)):
        return load_user_card(folder)
    available = ", ".join(card_names())
    raise CdirError(f"unknown dataset {name!r}; available: {available} (for your own folder: its path, or open_folder)")


def load_user_card(root: Path | str) -> Card:
    """The card of a user's folder: its card.yaml or, without one, a card made from its subfolders (`folder_card`).

    From then on, this process finds the card and its protocols by name, like those of the manifest. Raises CdirError if
    the card is wrong, or if its name or that of a protocol is taken.
    """
    root = paths.expanded(root).resolve()
    file = root / "card.yaml"
    with _named_errors(file):
        card = Card.model_validate(_raw(root)) if file.is_file() else folder_card(root)
    others = [other for other in load_cards() if _USER_CARDS.get(other.name, (other, None))[1] != root]
    if card.name in {other.name for other in others}:
        raise CdirError(f"{root}: another dataset is called {card.name}: rename the folder, or give it a card.yaml "
                        "with another name (`cdir card PATH`)")  # fmt: skip
    if taken := [name for other in others for name in other.protocols if name in card.protocols]:
        raise CdirError(f"{file}: another dataset has a protocol {taken[0]}: give it another name")
    _USER_CARDS[card.name] = card, root
    return card


def load_cards() -> list[Card]:
    """The cards of all datasets, sorted by name, then of the user's folders. Raises CdirError as `load_card` does."""
    return [*(_load_card(name, paths.MANIFEST) for name in card_names()), *(card for card, _ in _USER_CARDS.values())]


def _listed_card(name: str) -> Card | None:
    """The card of a dataset of the manifest; None for any other name."""
    return _load_card(name, paths.MANIFEST) if name in card_names() else None


@lru_cache(maxsize=32)
def _load_card(name: str, manifest: Path) -> Card:
    where = f"{manifest.name}/{name}/card.yaml"
    with _named_errors(where):
        card = Card.model_validate(_raw(manifest / name))
        for part in card.parts:
            if _raw(_in_manifest(manifest / name, f"../{part}")).get("kind") == "combined":
                raise ValueError(f"parts: {part} consists of parts itself")
    if card.name != name:
        raise CdirError(f"{where}: name is {card.name!r} but the folder is {name!r}; fix the card")
    return card


@contextmanager
def _named_errors(card: Path | str) -> Iterator[None]:
    """Context in which an error in a card, or in a file beside it, becomes a CdirError that names card and field."""
    try:
        yield
    except ValidationError as error:
        raise CdirError(f"{card}: {_first_problem(error)}; fix the card") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        raise CdirError(f"{card}: invalid field, or invalid file named in a field: {error}; fix the card") from None


def _first_problem(error: ValidationError) -> str:
    """Field and message of the first problem."""
    problem = error.errors()[0]
    field, message = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
    return ": ".join(filter(None, [field, message]))


def _raw(folder: Path, below: tuple[str, ...] = ()) -> dict:
    """The card as plain data, in which `like` is resolved and names of files are replaced by their contents."""
    raw = read_yaml(folder / "card.yaml", f"{folder.parent.name}/{folder.name}/card.yaml")
    base = {}
    if like := raw.pop("like", None):
        if like in (*below, folder.name):
            raise ValueError(f"circular `like`: {like}")
        base = _raw(_in_manifest(folder, f"../{like}"), (*below, folder.name))
    if isinstance(raw.get("classes"), str):
        raw["classes"] = _read_list(_in_manifest(folder, raw["classes"]))
    if isinstance(sets := raw.get("class_sets"), dict):
        lists = {k: _read_list(_in_manifest(folder, v)) for k, v in sets.items() if isinstance(v, str)}
        raw["class_sets"] = sets | lists
    for name in ("words", "kinds"):
        if isinstance(source := raw.get(name), list):
            raw[name] = _read_column(_in_manifest(folder, source[0]), source[1])
    raw = base | raw
    if isinstance(counts := raw.get("counts"), str):
        raw["counts"] = _read_counts(_in_manifest(folder, counts))
    elif isinstance(counts, int):
        raw["counts"] = {domain: dict.fromkeys(raw["classes"], counts) for domain in raw["domains"]}
    return raw


def _in_manifest(folder: Path, name: str) -> Path:
    """The file or folder that a card in `folder` names. Raises ValueError if it is outside of the manifest."""
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(folder.parent):
        raise ValueError(f"{name!r} is outside of the folder {folder.parent.name}")
    return path


def _read_list(path: Path) -> list[str]:
    lines = map(str.strip, path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _read_column(path: Path, column: str) -> dict[str, str]:
    return {next(iter(row.values())): row[column] for row in _read_rows(path)}


def _read_counts(path: Path) -> dict[str, dict[str, int]]:
    rows = _read_rows(path)
    domains = [column for column in rows[0] if column != "class"]
    return {domain: {row["class"]: int(row[domain]) for row in rows if row[domain]} for domain in domains}


def open_dataset(
    name: str,
    root: Path | str | None = None,
    *,
    skip_bad: bool | None = None,
    skip_unknown: bool | None = None,
    progress: bool = True,
) -> ImageSet:
    """The images of a dataset that has a card, in the card's order; bundled ones (`is_bundled`) need no root.

    Every file is read, and fully decoded the first time its content is seen. Raises CdirError, with the names, for
    empty files and files that cannot be decoded (`skip_bad=True` leaves them out, counts and logs them), and for class
    folders that are not in the card (`skip_unknown=True` leaves them out and logs them). Files outside of class folders
    and classes without a folder are not checked here: `verify` lists both. An option that is None is read from the
    environment variable CDIR_SKIP, which `cdir reproduce --skip-bad --skip-unknown` sets for its notebooks.
    """
    card = load_card(name)
    if root and is_bundled(card):
        raise CdirError(f"{name} comes with the workbook and takes no folder: leave root ({root}) out")
    if card.kind == "drawn":
        from cdir_nb.data.world import load_world  # imported here, so that cards can be read without the drawing code

        return load_world(images_per_class=30, seed=0)
    skips = os.environ.get("CDIR_SKIP", "").split(",")
    options = {
        "skip_bad": "bad" in skips if skip_bad is None else skip_bad,
        "skip_unknown": "unknown" in skips if skip_unknown is None else skip_unknown,
        "progress": progress,
    }
    root = dataset_root(card, root)
    if card.kind == "combined":
        roots = {part: None if is_bundled(load_card(part)) else root / part for part in card.parts}
        opened = (rename(open_dataset(part, roots[part], **options), names) for part, names in card.parts.items())
        return combine(*opened).select(labels=card.classes)
    if card.kind == "ndjson":
        return open_drawings(root, next(iter(card.domains)), card.classes, **options)
    images = open_classes(root, {d: info.folder for d, info in card.domains.items()}, card.classes, **options)
    return replace(images, credits={d: info.credit for d, info in card.domains.items() if info.credit})


def is_bundled(card: Card) -> bool:
    """Whether all images come with the package: they are drawn, stored beside the card, or in bundled parts."""
    parts = [part is not None and is_bundled(part) for part in map(_listed_card, card.parts)]
    return card.kind == "drawn" or bool(card.bundled) or (bool(parts) and all(parts))


def needs_folder(name: str) -> bool:
    """Whether a dataset needs a folder of images; True for a name without a card."""
    card = _listed_card(name)
    return card is None or not is_bundled(card)


def _is_drawn(name: str) -> bool:
    """Whether a dataset, or a part of it, is drawn by the package; its numbers are not comparable with a paper's."""
    card = _listed_card(name)
    return card is not None and (card.kind == "drawn" or any(map(_is_drawn, card.parts)))


def drawn_title(name: str) -> str:
    """The words "a drawn world", or the title of a dataset with a drawn part; empty for any other dataset."""
    if not _is_drawn(name):
        return ""
    card = load_card(name)
    return "a drawn world" if card.kind == "drawn" else card.title[0].lower() + card.title[1:]


def display_domain(domain: str, dataset: str) -> str:
    """A domain's name in tables and pages: for example, `real` of the drawn world is shown as `real (drawn)`.

    Names in records, parameters and files stay as they are.
    """
    card = _listed_card(dataset)
    return card.domain_titles.get(domain, domain) if card else domain


def dataset_root(card: Card, root: Path | str | None) -> Path:
    """The dataset's folder as a path. Raises CdirError if a folder is required but not given, or does not exist."""
    if is_bundled(card) and not root:
        return paths.MANIFEST / card.name / card.bundled
    if not root and card.name in _USER_CARDS:
        return _USER_CARDS[card.name][1]
    if not root:
        raise CdirError(f"{card.name} needs the folder of its images: pass root; expected layout: {card.layout}")
    if not is_folder_or_zip(Path(root)):
        raise CdirError(f"{root} is not a folder; expected layout of {card.name}: {card.layout}")
    return Path(root)
