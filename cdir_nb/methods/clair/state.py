"""What determines a CLAIR training, and its checkpoint file in the cache."""

from pathlib import Path

from cdir_nb.encoders import ClipEncoder
from cdir_nb.methods.checkpoints import digest_of, kept_in_cache
from cdir_nb.methods.clair.pair import Pair
from cdir_nb.methods.clair.settings import ClairConfig

CODE_VERSION = 6  # increase it when training changes: old checkpoints are then ignored


def kept_at(encoder: ClipEncoder, pair: Pair, config: ClairConfig, seed: int) -> Path:
    """The checkpoint file in the cache for exactly this training."""
    return kept_in_cache("clair", made_of(encoder, pair, config, seed))


def made_of(encoder: ClipEncoder, pair: Pair, config: ClairConfig, seed: int) -> dict[str, str]:
    """Everything that determines a training, by name; errors report which of them differ."""
    texts = [pair.domains, pair.words, pair.names, pair.objects]
    return {
        "model": encoder.identity,
        "images": pair.images.fingerprint,
        "class names and words": digest_of(texts),
        "settings": digest_of(config.plain()),
        "seed": str(seed),
        "version": str(CODE_VERSION),
    }
