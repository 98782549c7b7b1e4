"""An index of images: their names and unit vectors, searched by an image or a text, and stored as a folder.

Exact search computes one inner product per image, for a million images in less than a second on two cores. The vectors
of a stored index are memory-mapped, so that they need not fit in memory. Search in a faiss index is approximate.
"""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.data.images import ImageSet, contents
from cdir_nb.data.loose import Images, as_image_set
from cdir_nb.data.names import listed
from cdir_nb.data.pictures import digest_of
from cdir_nb.encoders.clip import require_texts
from cdir_nb.encoders.image import ImageEncoder
from cdir_nb.encoders.words import require_known_words
from cdir_nb.errors import CdirError, require_extra
from cdir_nb.paths import atomic_write, expanded
from cdir_nb.retrieval.blocks import indices_of, merge_scores, scores_of
from cdir_nb.retrieval.postprocess import alpha_query_expansion, centre
from cdir_nb.retrieval.ranking import checked_cutoff, checked_rows, nearly_equal

if TYPE_CHECKING:  # pandas would make `cdir search` start slowly
    import pandas as pd

FILES = ("vectors", "table", "approximate")
COLUMNS = ["file", "domain", "label", "content"]
DESCRIPTION = "index.json"
EXAMPLE = "a photo of a dog"  # the bundled encoders know its words
MIN_IMAGES = 3  # of a domain whose mean is subtracted: two vectors minus their mean are opposite
EXPANDED_BY, ALPHA = 10, 3.0
BLOCK = 1024  # images that are compared with all others at a time
LISTS, TRAINED = 2, 40  # faiss: lists per square root of images, and images per list from which it learns the lists
PROBED = 16  # lists that a query looks into


@dataclass(frozen=True)
class Result:
    """An image that was found: its rank from 1, its name, its score (a cosine), its domain and its label ("": none)."""

    rank: int
    file: str
    score: float
    domain: str
    label: str


class Changes(NamedTuple):
    """The result of `Index.update`: names of the files with new content, and of those whose content is gone."""

    added: tuple[str, ...]
    removed: tuple[str, ...]


class Index:
    """An index of the vectors of an ImageSet, to search for the images most similar to an image or a text.

    images   the images, such as `open_folder(root)`; their keys are the file names
    encoder  such as `load_encoder("real-clip")`, or any object with `embed_images(images, progress=)` -> (N, D) and a
             string attribute `identity`

    Attributes:

    columns  {name: (N,) strings}, named "file", "domain", "label" and "content", the digest of the image's pixels
    vectors  (N, D) float32, of unit length

    Raises CdirError if an image cannot be read, or if its vector contains NaN or only zeros.
    """

    def __init__(self, images: ImageSet, encoder: Any, *, progress: bool = True) -> None:
        self.encoder = encoder
        self.columns = _as_columns({name: [] for name in COLUMNS})
        self.vectors = np.empty((0, 0), np.float32)
        self.approximate: Any = None  # a faiss index of the vectors
        self.update(images, progress=progress)

    def __len__(self) -> int:
        return len(self.columns["file"])

    @property
    def domains(self) -> list[str]:
        """The domains, in the order of their first images."""
        return list(dict.fromkeys(self.columns["domain"]))

    @property
    def table(self) -> "pd.DataFrame":
        """The columns as a table of N rows."""
        import pandas as pd

        return pd.DataFrame(self.columns)

    # -- search --------------------------------------------------------------------------------------------------------

    def search(
        self,
        query: Images,
        *,
        k: int = 10,
        domain: str | None = None,
        centred_from: str | None = None,
        expand: bool = False,
        approximate: bool = False,
    ) -> list[Result]:
        """The k images most similar to an image, best first; the image itself, if it is in the index, is left out.

        query         a path, a PIL image, or an ImageSet of one image
        domain        search only in this domain; None: in all
        centred_from  the query's domain: its mean is subtracted from the query, and from each other image the mean of
                      that image's domain; None: no mean is subtracted
        expand        add the 10 best images to the query, weighted by their scores, and search again
        approximate   use the faiss index that `make_approximate` made

        Equal scores are in the order of the index. Raises CdirError for a query that cannot be read, and if no other
        image is left.
        """
        image = as_image_set(query)
        if len(image) != 1:
            raise CdirError(f"the query has {len(image)} images: search for one at a time")
        own = self.columns["content"] == contents(image)[0]
        vector = _unit_rows(self.encoder.embed_images(image, progress=False), self.vectors.shape[1])
        return self._results(vector, self._rows(domain) & ~own, k, centred_from, expand, approximate)

    def search_text(
        self, text: str, *, k: int = 10, domain: str | None = None, expand: bool = False, approximate: bool = False
    ) -> list[Result]:
        """The k images that match a text best, such as "a red guitar"; options as in `search`.

        Raises CdirError if the text is empty or too long, or if the encoder has no text tower or does not know a word.
        """
        vector = _unit_rows(embed_text(self.encoder, text), self.vectors.shape[1])
        return self._results(vector, self._rows(domain), k, None, expand, approximate)

    def near_duplicates(self, threshold: float = 0.9) -> list[tuple[str, ...]]:
        """Groups of files that show nearly the same image, the largest groups first.

        threshold  the least cosine of two images that are linked; a group consists of the images that are linked,
                   directly or through others

        All pairs are compared, in time quadratic in the number of images. The default suits real-clip: on 700 photos
        of Sketchy, it links 82 of 100 with their copy as a JPEG of quality 50 or at half the size, 96 of 100 with a
        copy cropped by 5 %, and one pair of the 244,650 of different photos (both of a hedgehog).
        Raises CdirError for a threshold outside of 0 to 1.
        """
        if not 0 < threshold <= 1:
            raise CdirError(f"threshold {threshold}: a cosine above 0 and at most 1 is expected, such as 0.9")
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        links = [np.empty((2, 0), np.int64)]
        for start in range(0, len(self), BLOCK):
            scores = self.vectors[start : start + BLOCK] @ self.vectors[start:].T
            links.append(np.argwhere(np.triu(scores >= threshold - 1e-6, 1)).T + start)
        first, second = np.concatenate(links, axis=1)
        graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(self), len(self)))
        _, group = connected_components(graph, directed=False)
        files = self.table["file"].groupby(group).apply(tuple)
        return sorted((names for names in files if len(names) > 1), key=lambda names: (-len(names), names))

    def _rows(self, domain: str | None) -> np.ndarray:
        """(N,) bool: the images of a domain. Raises CdirError for an unknown one."""
        if domain is None:
            return np.ones(len(self), bool)
        require_domain(domain, self.domains)
        return self.columns["domain"] == domain

    def _results(
        self, query: np.ndarray, rows: np.ndarray, k: int, centred_from: str | None, expand: bool, approximate: bool
    ) -> list[Result]:
        """The k best of the rows (N,) bool for a query (1, D)."""
        k = min(checked_cutoff(k), int(rows.sum()))
        if not k:
            raise CdirError("no other image is left to search in: choose another domain, or add images")
        if approximate and (centred_from or expand):
            raise CdirError("approximate search cannot be combined with centring or expansion: leave one out")
        if approximate:
            best, scores = self._approximate_best(query, rows, k)
        else:
            keys = merge_scores(np.empty((1, 0), np.int64), self._scores(query, rows, centred_from, expand), 0, k, 1.0)
            best, scores = indices_of(keys)[0], scores_of(keys)[0]
        files, domains, labels = (self.columns[name][best] for name in ("file", "domain", "label"))
        return [
            Result(rank, file, round(float(score), 6), domain, label)
            for rank, (file, score, domain, label) in enumerate(zip(files, scores, domains, labels), 1)
        ]

    def _scores(self, query: np.ndarray, rows: np.ndarray, centred_from: str | None, expand: bool) -> np.ndarray:
        """(1, N) cosines; minus infinity outside of the rows."""
        if not (centred_from or expand):
            return np.where(rows, self.vectors @ query[0], np.float32(-np.inf))[None]
        vector, gallery = torch.from_numpy(query), torch.from_numpy(self.vectors[rows])
        if centred_from:
            vector, gallery = self._centred(vector, gallery, rows, centred_from)
        if expand:
            vector = alpha_query_expansion(vector, gallery, EXPANDED_BY, ALPHA)
        scores = np.full((1, len(self)), -np.inf, np.float32)
        scores[:, rows] = (vector @ gallery.T).numpy()
        return scores

    def _centred(
        self, query: torch.Tensor, gallery: torch.Tensor, rows: np.ndarray, domain: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The query minus the mean of its domain, and each row of the gallery minus the mean of its own."""
        query_mean, of_row, centred = self._mean(domain), self.columns["domain"][rows], query
        for name in dict.fromkeys(of_row):
            part = torch.from_numpy(of_row == name)
            centred, gallery[part] = centre(query, gallery[part], query_mean, self._mean(name))
        return centred, gallery

    def _mean(self, domain: str) -> np.ndarray:
        rows = self._rows(domain)
        if rows.sum() < MIN_IMAGES:
            raise CdirError(
                f"centring: domain {domain} has {rows.sum()} images, but its mean needs at least {MIN_IMAGES}: "
                "add images, or search without centring"
            )
        return self.vectors[rows].mean(0)

    # -- approximate search --------------------------------------------------------------------------------------------

    def make_approximate(self) -> None:
        """Make a faiss index for `search(approximate=True)`: 2 sqrt(N) inverted lists, of which a search reads 16.

        It is stored by `save`, and dropped by an `update` that changes images. Raises CdirError without faiss.
        """
        require_extra("search", "faiss")
        import faiss

        lists = max(1, min(round(LISTS * len(self) ** 0.5), len(self) // TRAINED))
        made = faiss.IndexIVFFlat(faiss.IndexFlatIP(self.vectors.shape[1]), self.vectors.shape[1], lists,
                                  faiss.METRIC_INNER_PRODUCT)  # fmt: skip
        sample = np.random.default_rng(0).permutation(len(self))[: lists * TRAINED]
        made.train(np.ascontiguousarray(self.vectors[np.sort(sample)]))
        made.add(np.ascontiguousarray(self.vectors))
        self.approximate = made

    def _approximate_best(self, query: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(k,) rows and scores, best first; fewer if the inverted lists that are read contain fewer images."""
        if self.approximate is None:
            raise CdirError("there is no approximate index: call make_approximate() first, or search exactly")
        import faiss

        allowed = np.packbits(rows, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(rows), faiss.swig_ptr(allowed))
        options = faiss.SearchParametersIVF(sel=selector, nprobe=PROBED)  # pyright: ignore[reportCallIssue]
        # faiss.contrib.torch_utils, which other libraries import, replaces `search` by one without `params`.
        search = getattr(self.approximate, "search_numpy", self.approximate.search)
        scores, best = search(query, k, params=options)
        return best[best >= 0], scores[best >= 0].clip(-1, 1)

    # -- changes and files ---------------------------------------------------------------------------------------------

    def update(self, images: ImageSet, *, progress: bool = True) -> Changes:
        """Make the index contain exactly these images. Only images with new content are embedded.

        An image that was renamed or moved is neither added nor removed; it gets its new name, domain and label.
        Raises CdirError if there are no images; the index is then unchanged.
        """
        if not len(images):
            raise CdirError("there are no images to index: check which domains and classes were selected")
        new, old = contents(images), self.columns
        row_of = {content: row for row, content in enumerate(old["content"])}
        missing = {content: row for row, content in reversed(list(enumerate(new))) if content not in row_of}
        vectors = self.vectors
        if missing:
            parts = images.take(list(missing.values()))
            emb = _unit_rows(self.encoder.embed_images(parts, progress=progress), vectors.shape[1] or None)
            vectors = np.concatenate([vectors, emb]) if len(vectors) else emb
            row_of |= {content: len(self) + i for i, content in enumerate(missing)}
        rows = [row_of[content] for content in new]
        if rows != list(range(len(vectors))):
            vectors = vectors[rows]
        if vectors is not self.vectors:
            _warn_if_equal(vectors)
            self.vectors, self.approximate = vectors, None
        columns = [images.keys, images.domains.tolist(), images.labels.tolist(), new]
        self.columns, kept = _as_columns(dict(zip(COLUMNS, columns))), set(new)
        return Changes(
            tuple(file for file, content in zip(images.keys, new) if content in missing),
            tuple(file for file, content in zip(old["file"], old["content"]) if content not in kept),
        )

    def save(self, folder: Path | str) -> None:
        """Store the index in a folder: the vectors (npy), the table (csv), and last a description that names them.

        After that, the files named in the previous description are removed. If the process is killed, the folder
        therefore contains either the previous index or the new one.
        """
        folder = expanded(folder)
        former = _described(folder) if (folder / DESCRIPTION).is_file() else {}
        text = self.table.to_csv(index=False)
        name = digest_of("\n".join([identity_of(self.encoder), text]).encode("utf-8", "surrogateescape"))
        files = {"vectors": f"vectors-{name}.npy", "table": f"images-{name}.csv"}
        with atomic_write(folder / files["table"]) as file:
            file.write_bytes(text.encode("utf-8", "surrogateescape"))
        if getattr(self.vectors, "filename", None) != str((folder / files["vectors"]).resolve()):  # not mapped from it
            with atomic_write(folder / files["vectors"]) as file, open(file, "wb") as stream:
                np.save(stream, self.vectors)
        if self.approximate is not None:
            import faiss

            files["approximate"] = f"approximate-{name}.faiss"
            with atomic_write(folder / files["approximate"]) as file:
                faiss.write_index(self.approximate, str(file))
        description = {"encoder": identity_of(self.encoder), "images": len(self), **files}
        with atomic_write(folder / DESCRIPTION) as file:
            file.write_text(json.dumps(description, indent=1), encoding="utf-8")
        for name in set(map(former.get, FILES)) - set(files.values()) - {None}:
            with suppress(OSError):  # Windows does not remove a file that is mapped
                (folder / str(name)).unlink()

    @classmethod
    def load(cls, folder: Path | str, encoder: Any) -> "Index":
        """Open a stored index; its vectors are memory-mapped.

        encoder  the encoder that the index was made with

        Raises CdirError for another encoder, and for a folder without an index.
        """
        import pandas as pd

        folder = expanded(folder)
        description = _described(folder)
        if description["encoder"] != identity_of(encoder):
            raise CdirError(
                f"{folder} was made with the encoder {description['encoder']}, not {identity_of(encoder)}: load that "
                "one, or make the index again"
            )
        index = cls.__new__(cls)
        index.encoder, index.approximate = encoder, None
        try:
            index.vectors = np.load(folder / description["vectors"], mmap_mode="r")
            table = pd.read_csv(
                folder / description["table"], dtype=object, keep_default_na=False, encoding_errors="surrogateescape"
            )
            index.columns = {name: table[name].to_numpy() for name in COLUMNS}
            if index.vectors.shape[:1] != (len(index),) or index.vectors.dtype != np.float32:
                raise ValueError(f"vectors {index.vectors.shape} of {len(index)} images")
            if "approximate" in description:
                require_extra("search", "faiss")
                import faiss

                index.approximate = faiss.read_index(str(folder / description["approximate"]), faiss.IO_FLAG_MMAP)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise CdirError(f"{folder} is damaged ({' '.join(str(error).split())}): make the index again") from None
        return index


def require_domain(domain: str, domains: Iterable[str]) -> None:
    """Raise CdirError if a domain is not one of these."""
    if domain not in (names := list(dict.fromkeys(domains))):
        raise CdirError(f"unknown domain {domain!r}: the images have {listed(names, 20)}")


def embed_text(encoder: Any, text: str) -> torch.Tensor:
    """(1, D): the embedding of a text, not normalised.

    Raises CdirError if the text is empty or too long, or if the encoder has no text tower or does not know a word.
    """
    text = text.strip()
    if not text:
        raise CdirError(f'the text is empty: write for example "{EXAMPLE}"')
    if isinstance(encoder, ImageEncoder):
        require_known_words(require_texts(encoder), text)
    elif not hasattr(encoder, "embed_texts"):
        raise CdirError(f"{identity_of(encoder)} has no embed_texts, so a text cannot be searched: give an image")
    return encoder.embed_texts([text])


def identity_of(encoder: Any) -> str:
    """The string that identifies an encoder. Raises CdirError if it has none."""
    if not isinstance(identity := getattr(encoder, "identity", None), str):
        raise CdirError(f"{type(encoder).__name__} has no string `identity`: set one that changes when its vectors do")
    return identity


def _as_columns(columns: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    return {name: np.array(values, dtype=object) for name, values in columns.items()}


def _unit_rows(emb: Any, dim: int | None) -> np.ndarray:
    """(N, D) float32 rows of unit length. Raises CdirError for NaN, rows of zeros, and D other than `dim`."""
    rows = checked_rows("embeddings", emb, "cosine").cpu()
    if dim and rows.shape[1] != dim:
        raise CdirError(
            f"the encoder returned vectors of {rows.shape[1]} numbers, but the index has {dim}: use the encoder that "
            "the index was made with"
        )
    return F.normalize(rows, dim=1).numpy()


def _warn_if_equal(vectors: np.ndarray) -> None:
    few = torch.from_numpy(vectors[[0, len(vectors) // 2, -1]])
    if nearly_equal(few, "cosine") and nearly_equal(torch.from_numpy(vectors), "cosine"):
        warnings.warn(
            "the embeddings of all images are nearly equal, so the order of results means nothing: check the "
            "encoder and the images",
            stacklevel=4,
        )


def _described(folder: Path) -> dict[str, Any]:
    """The description of a stored index. Raises CdirError if there is none."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return description if {"encoder", "vectors", "table"} <= description.keys() else {}[DESCRIPTION]
    except (OSError, ValueError, KeyError, AttributeError):
        raise CdirError(f"{folder} holds no index: give the folder that Index.save wrote") from None
