"""Find images that an encoder has seen in its pretraining, if these are listed."""

from functools import cache

from cdir_nb.data.halves import SEEN, file_id, listed_keys
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders.image import ImageEncoder


def seen_in_pretraining(encoder: ImageEncoder, images: ImageSet) -> int:
    """The number of `images` that the encoder has seen in its pretraining; 0 if unknown.

    Known for real-clip, whose pretraining images are listed (data_manifest/*/real_clip_seen.txt.gz). Images are
    identified by file id, which is the same in all copies of PACS, Sketchy and QuickDraw.
    """
    seen = _seen_ids(getattr(getattr(encoder, "built", None), "pretraining", ()))
    return sum(file_id(key) in seen for key in images.keys) if seen else 0


def seen_note(encoder: ImageEncoder, images: ImageSet) -> str:
    """A note for `train_set` of records if the encoder's pretraining used some of these training images; else empty."""
    return "; some seen in the encoder's pretraining" if seen_in_pretraining(encoder, images) else ""


@cache
def _seen_ids(datasets: tuple[str, ...]) -> frozenset[str]:
    return frozenset(file_id(key) for dataset in datasets for key in listed_keys(dataset, SEEN))
