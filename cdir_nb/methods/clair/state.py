"""What a training of CLAIR is made of, and the file that keeps it."""

from pathlib import Path

from cdir_nb.encoders import ClipEncoder
from cdir_nb.methods.checkpoints import digest_of, kept_in_cache
from cdir_nb.methods.clair.pair import Pair
from cdir_nb.methods.clair.settings import ClairConfig

CODE_VERSION = 4  # raise it when training changes: kept trainings are then left alone


def kept_at(encoder: ClipEncoder, pair: Pair, config: ClairConfig, seed: int) -> Path:
    """The file in the cache that stands for this very training."""
    return kept_in_cache("clair", made_of(encoder, pair, config, seed))


def made_of(encoder: ClipEncoder, pair: Pair, config: ClairConfig, seed: int) -> dict[str, str]:
    """What determines a training, by name; an error says which of them differs."""
    texts = [pair.domains, pair.words, pair.names, pair.objects]
    return {
        "model": encoder.identity,
        "images": pair.images.fingerprint,
        "class names and words": digest_of(texts),
        "settings": digest_of(config.plain()),
        "seed": str(seed),
        "version": str(CODE_VERSION),
    }
