"""Lists of keys in the manifest: the images of real-clip's pretraining, and those left for evaluation.

Keys are listed without their extension, because some copies of PACS are PNG files and others are JPEG files.
"""

import gzip
import re
from functools import lru_cache
from pathlib import Path

from cdir_nb import paths
from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError

SEEN, HELD_OUT = "real_clip_seen.txt.gz", "real_clip_held_out.txt.gz"
SHARED_NAME = re.compile(r"n\d{8}_\d+(-\d+)?")  # ImageNet's photos and Sketchy's drawings of them
DOODLE = re.compile(r"\d{16}")  # QuickDraw's


def listed_keys(dataset: str, file: str) -> frozenset[str]:
    """The keys, without extension, in a gzipped file beside the dataset's card. Raises CdirError if it is damaged."""
    return _read(paths.MANIFEST / dataset / file)


@lru_cache(maxsize=16)
def _read(path: Path) -> frozenset[str]:
    try:
        return frozenset(gzip.decompress(path.read_bytes()).decode().split("\n")[:-1])
    except (OSError, EOFError, ValueError) as error:
        where = "/".join(path.parts[-3:])
        raise CdirError(f"list of keys {where} cannot be read ({error}): install the package again") from error


def without_extension(key: str) -> str:
    """photo/dog/056_0001.jpg -> photo/dog/056_0001"""
    head, _, name = key.rpartition("/")
    return f"{head}/{Path(name).stem}"


def file_id(key: str) -> str:
    """An ID that is the same for copies of an image in different datasets.

    PACS and Sketchy share files under different folders, and so do copies of QuickDraw:
    photo/dog/n02103406_3255.jpg -> n02103406_3255. Other names are unique only with their folders,
    so the ID includes these.
    """
    name = without_extension(key)
    stem = name.rpartition("/")[2]
    return stem if SHARED_NAME.fullmatch(stem) or DOODLE.fullmatch(stem) else name


def photo_id(key: str) -> str:
    """The file id of the photo that a sketch of Sketchy was drawn from; for other images, the key without extension.

    Images were assigned to the two halves by a hash of this id.
    """
    name = file_id(key)
    return name.partition("-")[0] if SHARED_NAME.fullmatch(name) else without_extension(key)


def in_list(images: ImageSet, dataset: str, file: str) -> ImageSet:
    """The images whose keys are in the list, in the order of `images`."""
    keys = listed_keys(dataset, file)
    return images.take([row for row, key in enumerate(images.keys) if without_extension(key) in keys])
