"""The bundled world: 40 classes drawn in six domains, each image a deterministic function of (class, domain, seed).

It allows learning and testing without a download. Numbers on it are not comparable with the papers' numbers.
"""

import hashlib
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from cdir_nb.data.images import ImageSet
from cdir_nb.data.world.domains import DOMAINS, SIZE
from cdir_nb.data.world.drawing import drawings
from cdir_nb.errors import CdirError
from cdir_nb.paths import cache_dir, read_from_cache, write_to_cache
from cdir_nb.progress import progress_bar

PRETRAINING_SEED = 1_000_003  # the tiny CLIP was trained on drawings of this seed; no dataset may use it
SOURCES = ("__init__.py", "classes.yaml", "domains.py", "drawing.py", "paint.py")


def draw(label: str, domain: str, seed: int, number: int = 0) -> Image.Image:
    """One 64 x 64 RGB image; the same arguments always give the same image.

    `seed` identifies a dataset, and `number` an image in it. Raises CdirError for an unknown class or domain.
    """
    if domain not in DOMAINS:
        raise CdirError(f"the world has no domain {domain!r}; it has: {', '.join(DOMAINS)}")
    if label not in drawings():
        raise CdirError(f"the world has no class {label!r}; it has: {', '.join(sorted(drawings()))}")
    rng = np.random.default_rng([seed, number, zlib.crc32(label.encode()), zlib.crc32(domain.encode())])
    return DOMAINS[domain](label, rng)


def load_world(images_per_class: int = 30, seed: int = 0, classes: Sequence[str] = ()) -> ImageSet:
    """Every class in every domain, `images_per_class` each: 40 x 6 x 30 = 7,200 images by default.

    Drawn once (about 20 s on one core), then read from the cache. Raises CdirError for a count below 1, an unknown
    class, and the seed that the tiny CLIP was trained on.

    classes  draw only these; their images are the same as in the full world
    """
    if images_per_class < 1:
        raise CdirError(f"images_per_class is {images_per_class}; the world needs at least 1")
    if seed == PRETRAINING_SEED:
        raise CdirError(f"seed {seed} drew the images that the tiny CLIP was trained on; choose another seed")
    rows = [(d, c, n) for d in DOMAINS for c in sorted(set(classes) or drawings()) for n in range(images_per_class)]
    pixels = _drawn(rows, seed, images_per_class)
    keys = tuple(f"{domain}/{label}/{number:04d}" for domain, label, number in rows)
    digests = tuple(hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in pixels)
    load = partial(_load, pixels, {key: row for row, key in enumerate(keys)})
    return ImageSet(keys, np.array([r[0] for r in rows]), np.array([r[1] for r in rows]), load, digests)


def _load(pixels: np.ndarray, rows: dict[str, int], key: str) -> Image.Image:
    return Image.fromarray(pixels[rows[key]])


def _drawn(rows: list[tuple[str, str, int]], seed: int, images_per_class: int) -> np.ndarray:
    """(N, 64, 64, 3) uint8, read from the cache if a complete file is there."""
    labels = sorted({label for _, label, _ in rows})
    part = "" if len(labels) == len(drawings()) else f"-{hashlib.sha256(' '.join(labels).encode()).hexdigest()[:10]}"
    path = cache_dir() / "world" / f"{images_per_class}-per-class-seed-{seed}{part}-{source_digest()}.npy"
    shape = (len(rows), SIZE, SIZE, 3)
    pixels = read_from_cache(path, partial(np.load, mmap_mode="r"))
    if pixels is not None and pixels.shape == shape and pixels.dtype == np.uint8:
        return pixels
    pixels = np.empty(shape, dtype=np.uint8)
    for row, (domain, label, number) in enumerate(
        progress_bar(rows, desc="drawing the world", unit="image", leave=False, mininterval=0.5)
    ):
        pixels[row] = np.asarray(draw(label, domain, seed, number))
    write_to_cache(path, lambda temporary: np.save(temporary, pixels))
    return pixels


def source_digest() -> str:
    """Digest of everything that determines an image: the sources in this folder, and NumPy's and Pillow's versions."""
    folder = Path(__file__).parent
    sources = b"".join((folder / name).read_bytes() for name in SOURCES)
    return hashlib.sha256(sources + f"{np.__version__} {PIL.__version__}".encode()).hexdigest()[:10]
