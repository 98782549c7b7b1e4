"""Class vectors ("semantics"): from a file of names and vectors, or from the text tower of a CLIP model."""

import hashlib
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.data.card import display
from cdir_nb.data.manifest import card_names, load_card
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ImageEncoder, load_encoder, require_texts
from cdir_nb.errors import CdirError

TEMPLATE = "a {}"
# What numpy raises for a file that is missing, damaged, pickled, a single array, or lacks one of the two arrays.
UNREADABLE = (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Semantics:
    """One vector per class.

    classes  C class names; vectors: (C, m) float32; origin: their source in words, with a digest
    """

    classes: tuple[str, ...]
    vectors: torch.Tensor
    origin: str

    def of(self, classes: Sequence[str], *, unit: bool = False) -> torch.Tensor:
        """(K, m) vectors of these classes, in their order; with `unit`, scaled to unit length.

        A class is identified by its name, or by the same words in another spelling (Alarm_Clock, alarm-clock).
        Raises CdirError, which lists the classes without a vector.
        """
        rows = {_words(name): row for row, name in enumerate(self.classes)}
        rows |= {name: row for row, name in enumerate(self.classes)}  # an exact name takes precedence
        missing = [name for name in classes if name not in rows and _words(name) not in rows]
        if missing:
            raise CdirError(
                f"{self.origin} has no vector for {', '.join(missing)}: add it to the file, or use a CLIP model"
            )
        vectors = self.vectors[[rows[name] if name in rows else rows[_words(name)] for name in classes]]
        return F.normalize(vectors, dim=1) if unit else vectors


def class_semantics(source: str, task: Protocol, device: torch.device) -> Semantics:
    """Vectors of a protocol's seen classes, from an .npz file or from the text tower of a CLIP model.

    source  path of the file, or name of the CLIP model
    Raises CdirError for an empty source, and as `read_semantics` and `text_semantics` do.
    """
    if not source:
        raise CdirError(
            "SnMpNet needs class vectors: set semantics to an .npz file with `names` and `vectors`, or to the name of "
            "a CLIP model, such as tiny-clip"
        )
    if Path(source).suffix == ".npz":
        return read_semantics(source)
    card = load_card(task.dataset) if task.dataset in card_names() else None
    words = {label: card.display(label) if card else display(label) for label in task.seen}
    return text_semantics(_text_encoder(source, device), task.seen, words)


@lru_cache(maxsize=1)
def _text_encoder(name: str, device: torch.device) -> ImageEncoder:
    """The encoder `name`, loaded once for all methods that are compared."""
    return load_encoder(name, device=device)


def read_semantics(file: Path | str) -> Semantics:
    """Read class vectors from an .npz file with `names` (C,) and `vectors` (C, m). Pickled content is never loaded.

    GloVe and word2vec vectors can be written to such a file with a few lines of NumPy. Raises CdirError for a file that
    is missing, damaged, pickled or incomplete, for duplicate names, and for vectors that are zero or not finite.
    """
    file = Path(file).expanduser()
    try:
        with np.load(file, allow_pickle=False) as content:
            names, vectors = content["names"], content["vectors"]
    except UNREADABLE as error:
        raise CdirError(
            f"{file} cannot be read ({' '.join(str(error).split())}): give an .npz file with `names` (text, not "
            "objects) and `vectors`, which needs no pickle"
        ) from None
    _check(file, names, vectors)
    digest = hashlib.sha256(np.ascontiguousarray(vectors).tobytes() + "\n".join(names.tolist()).encode()).hexdigest()
    tensor = torch.from_numpy(vectors.astype(np.float32))
    return Semantics(tuple(names.tolist()), tensor, f"{file.name} [{digest[:12]}]")


def text_semantics(encoder: ImageEncoder, classes: Sequence[str], words: Mapping[str, str]) -> Semantics:
    """Class vectors of a CLIP text tower from the text "a {words}" (our default; the paper uses word vectors).

    words  class -> natural words
    The mean over these classes is subtracted: CLIP's text embeddings have a large common part, and equation 6, which
    has no temperature, would hardly separate classes whose cosines are nearly equal.
    Raises CdirError for an encoder without a text tower, and for a text that is too long.
    """
    raw = require_texts(encoder).embed_texts([TEMPLATE.format(words[label]) for label in classes])
    unit = F.normalize(raw, dim=1)
    return Semantics(tuple(classes), unit - unit.mean(0), f"texts of {encoder.identity}, centred")


def _check(file: Path, names: np.ndarray, vectors: np.ndarray) -> None:
    text = names.ndim == 1 and names.dtype.kind == "U"
    numbers = vectors.ndim == 2 and vectors.dtype.kind in "fiu"
    if not text or not numbers or len(names) != len(vectors):
        raise CdirError(
            f"{file}: `names` must be (C,) text and `vectors` (C, m) numbers, got {names.dtype} {names.shape} and "
            f"{vectors.dtype} {vectors.shape}"
        )
    duplicates = [name for name, count in Counter(names.tolist()).items() if count > 1]
    if duplicates:
        raise CdirError(f"{file} has several vectors for {', '.join(duplicates)}: give one for each class")
    invalid = ~np.isfinite(vectors).all(1) | ~vectors.any(1)
    if invalid.any():
        raise CdirError(f"{file}: the vectors of {', '.join(names[invalid])} are zero or not finite: replace them")


def _words(name: str) -> str:
    """Alarm_Clock, alarm-clock -> alarm clock."""
    return name.lower().replace("_", " ").replace("-", " ")
