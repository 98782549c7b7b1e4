"""Class vectors ("semantics"): from a file of names and vectors, or from a CLIP text tower."""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from cdir_nb.data.card import display
from cdir_nb.data.manifest import card_names, load_card
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ImageEncoder, load_encoder, require_texts
from cdir_nb.errors import CdirError

TEMPLATE = "a {}"


@dataclass(frozen=True)
class Semantics:
    """One vector per class.

    classes  C class names; vectors (C, m) float32; origin: where they come from, in words, with a digest
    """

    classes: tuple[str, ...]
    vectors: torch.Tensor
    origin: str

    def of(self, classes: Sequence[str], *, unit: bool = False) -> torch.Tensor:
        """(C, m) vectors of these classes, in their order; `unit`: of unit length.

        A class is found by its name, or by the same words spelt otherwise (Alarm_Clock, alarm-clock).
        Raises CdirError that lists every class without a vector.
        """
        rows = {**{_words(name): i for i, name in enumerate(self.classes)}, **_rows(self.classes)}
        missing = [name for name in classes if name not in rows and _words(name) not in rows]
        if missing:
            raise CdirError(
                f"{self.origin} has no vector for {', '.join(missing)}: add {'them' if len(missing) > 1 else 'it'}, "
                "or take texts of a CLIP model in place of a file"
            )
        found = self.vectors[[rows.get(name, rows.get(_words(name))) for name in classes]]
        return torch.nn.functional.normalize(found, dim=1) if unit else found


def class_semantics(source: str, task: Protocol, device: torch.device) -> Semantics:
    """Vectors of a protocol's seen classes: of an .npz file, or of the text tower of a CLIP, by its name.

    Raises CdirError without a source, and as `read_semantics` and `text_semantics` do.
    """
    if not source:
        raise CdirError(
            "SnMpNet needs class vectors: set semantics to an .npz file with `names` and `vectors`, or to the name of "
            "a CLIP, such as tiny-clip"
        )
    if Path(source).suffix == ".npz":
        return read_semantics(source)
    card = load_card(task.dataset) if task.dataset in card_names() else None
    words = {label: card.display(label) if card else display(label) for label in task.seen}
    return text_semantics(_text_encoder(source, device), task.seen, words)


@lru_cache(maxsize=1)
def _text_encoder(name: str, device: torch.device) -> ImageEncoder:
    """Loaded once for all methods that are compared."""
    return load_encoder(name, device=device)


def read_semantics(file: Path | str) -> Semantics:
    """Class vectors of an .npz file: `names` (C,) text, `vectors` (C, m) numbers. Pickled content is never loaded.

    GloVe and word2vec vectors come like this from a few lines of numpy. Raises CdirError for a file that is missing,
    damaged, pickled or lacks one of the two, for names given twice, and for vectors that are not finite or all zero.
    """
    file = Path(file).expanduser()
    try:
        with np.load(file, allow_pickle=False) as content:
            names, vectors = content["names"], content["vectors"]
    except FileNotFoundError:
        raise CdirError(f"{file} does not exist: give an .npz file with `names` and `vectors`") from None
    except (KeyError, AttributeError, TypeError):  # an .npy file is an array, which has no names
        message = f"{file} has no `names` and `vectors`: save them with np.savez(file, names=..., vectors=...)"
        raise CdirError(message) from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise CdirError(
            f"{file} cannot be read ({' '.join(str(error).split())}): give an .npz file with `names` (text, not "
            "objects) and `vectors`, which needs no pickle"
        ) from None
    _check(file, names, vectors)
    digest = hashlib.sha256(np.ascontiguousarray(vectors).tobytes() + "\n".join(names.tolist()).encode()).hexdigest()
    tensor = torch.from_numpy(vectors.astype(np.float32))
    return Semantics(tuple(names.tolist()), tensor, f"{file.name} [{digest[:12]}]")


def text_semantics(encoder: ImageEncoder, classes: Sequence[str], words: Mapping[str, str]) -> Semantics:
    """Class vectors of a CLIP text tower, "a {words}" for each class (our default; the paper takes word vectors).

    words  class -> natural words. The mean over these classes is taken away: CLIP's texts have much in common, and
    without a temperature (equation 6) cosines that are all alike would tell classes hardly apart.
    Raises CdirError for an encoder without a text tower, and for a text that is too long.
    """
    raw = require_texts(encoder).embed_texts([TEMPLATE.format(words[label]) for label in classes])
    unit = torch.nn.functional.normalize(raw, dim=1)
    return Semantics(tuple(classes), unit - unit.mean(0), f"texts of {encoder.identity}, centred")


def _check(file: Path, names: np.ndarray, vectors: np.ndarray) -> None:
    numbers = vectors.dtype.kind in "fiu"
    if names.ndim != 1 or names.dtype.kind != "U" or vectors.ndim != 2 or len(names) != len(vectors) or not numbers:
        raise CdirError(
            f"{file}: `names` must be (C,) text and `vectors` (C, m) numbers, got {names.dtype} {names.shape} and "
            f"{vectors.dtype} {vectors.shape}"
        )
    twice = [name for i, name in enumerate(names.tolist()) if name in set(names[:i].tolist())]
    if twice:
        raise CdirError(f"{file} names {', '.join(twice)} twice: keep one vector for each")
    bad = ~np.isfinite(vectors).all(1) | ~vectors.any(1)
    if bad.any():
        raise CdirError(f"{file}: the vectors of {', '.join(names[bad])} are zero or not finite: replace them")


def _rows(names: Sequence[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}


def _words(name: str) -> str:
    """Alarm_Clock, alarm-clock -> alarm clock."""
    return name.lower().replace("_", " ").replace("-", " ")
