"""Find by content the images that an encoder saw in its pretraining, if its pretraining images are listed."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import numpy as np
from PIL import Image

from cdir_nb import paths
from cdir_nb.data.halves import SEEN, file_id, listed_keys
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders.image import ImageEncoder
from cdir_nb.errors import CdirError

SEEN_CONTENT = "real_clip_seen.npy"  # (N, 2) uint64 in the order of the sorted keys in SEEN: digest and look
DIGITS = 16  # hex digits of a digest that are listed
EDGE = 3  # smaller differences of brightness, of 255, are noise of an encoding
NOTE = "; some seen in the encoder's pretraining"
_looks: dict[str, int] = {}  # digest: look, since `measure` asks for the same images again and again


def seen_in_pretraining(encoder: ImageEncoder, images: ImageSet) -> int:
    """The number of `images` that the encoder has seen in its pretraining; 0 if unknown.

    Known for real-clip, whose pretraining images are listed (data_manifest/*/real_clip_seen.*). An image counts if its
    bytes are those of a listed image, whatever its name. Other copies of PACS, Sketchy and QuickDraw have other
    encodings or sizes: an image of these counts if its file id is listed, and it looks like the listed image with that
    id. An image that was both renamed and re-encoded is therefore not found.
    """
    datasets = getattr(getattr(encoder, "built", None), "pretraining", ())
    if not datasets:
        return 0
    digests, looks = _listed(datasets)

    def seen(key: str, digest: str) -> bool:
        if digest[:DIGITS] in digests:
            return True
        copies = looks.get(file_id(key), ())
        return bool(copies) and looks_like(_look_of(images, key, digest), copies)

    return sum(map(seen, images.keys, images.digests))


def noted(train_set: str, encoder: ImageEncoder, images: ImageSet | None) -> str:
    """`train_set` of a record, with a note if the encoder's pretraining used some of these training images."""
    unknown = images is None or NOTE in train_set or not seen_in_pretraining(encoder, images)
    return train_set if unknown else train_set + NOTE


def look(image: Image.Image) -> int:
    """64 bits: where the brightness rises from left to right, between the 9 x 8 cells of the image (difference hash).

    The hash hardly changes with the size and the encoding of the image.
    """
    cells = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=int)
    return int.from_bytes(np.packbits(np.diff(cells, axis=1) > EDGE).tobytes(), "big")


def looks_like(one: int, copies: Iterable[int]) -> bool:
    """Whether the hash `one` (see `look`) matches one of `copies`.

    Two hashes match if two thirds of the bits that are set in either are set in both. A blank image matches nothing.
    """
    return any(3 * (one & copy).bit_count() >= 2 * max((one | copy).bit_count(), 1) for copy in copies)


def _look_of(images: ImageSet, key: str, digest: str) -> int:
    if digest not in _looks:
        _looks[digest] = look(images.load(key))
    return _looks[digest]


@cache
def _listed(datasets: tuple[str, ...]) -> tuple[frozenset[str], dict[str, list[int]]]:
    """The digests of the listed images, and {file id: the hashes (see `look`) of the images with that id}."""
    digests, looks = set(), defaultdict(list)
    for dataset in datasets:
        keys, content = sorted(listed_keys(dataset, SEEN)), _content(dataset)
        for key, (digest, image_look) in zip(keys, content.tolist(), strict=True):
            digests.add(f"{digest:0{DIGITS}x}")
            looks[file_id(key)].append(image_look)
    return frozenset(digests), dict(looks)


def _content(dataset: str) -> np.ndarray:
    try:
        return np.load(paths.MANIFEST / dataset / SEEN_CONTENT, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CdirError(f"{dataset}/{SEEN_CONTENT} cannot be read ({error}): install the package again") from error
