"""TKI trained once and kept in the cache: words and network are small, and learning the words takes seconds."""

from collections.abc import Sequence
from dataclasses import asdict

from cdir_nb.encoders import ClipEncoder
from cdir_nb.methods.checkpoints import digest_of, kept_in_cache, load_checkpoint, save_checkpoint
from cdir_nb.methods.tki.method import Expansion, Projection, TkiEmbedder, fit
from cdir_nb.methods.tki.settings import TkiConfig

CODE_VERSION = 1  # increase it when training changes: old files are then ignored


def fit_or_load(
    encoder: ClipEncoder, names: Sequence[str], config: TkiConfig, *, seed: int = 0, progress: bool = True
) -> TkiEmbedder:
    """`fit`, or its result from the cache if exactly this training was done before. Raises CdirError as `fit` does."""
    made_of = {
        "model": encoder.identity,
        "class names": digest_of(list(names)),
        "settings": digest_of(config.plain()),
        "seed": str(seed),
        "version": str(CODE_VERSION),
    }
    path = kept_in_cache("tki", made_of)
    state = load_checkpoint(path, made_of, encoder.device)
    if state is None:
        fitted = fit(encoder, names, config, seed=seed, progress=progress)
        parts = {"expansion": asdict(fitted.expansion), "projection": fitted.projection.state_dict()}
        save_checkpoint(path, made_of, {**parts, "history": fitted.history})
        return fitted
    expansion = Expansion(**state["expansion"])
    projection = Projection(expansion.text_emb.shape[-1], config).to(encoder.device)
    projection.load_state_dict(state["projection"])
    return TkiEmbedder(encoder, config, expansion, projection.eval(), state["history"], seed=seed)
