"""The table of methods, and `fit`, which fits any of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from cdir_nb.conventions import NOTHING_SELECTED
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders import ClipEncoder, ImageEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods import clair, coda, sketchlvm, snmpnet, tki, ucdir
from cdir_nb.methods.embedder import Direction
from cdir_nb.methods.frozen import FROZEN_BACKBONE, FROZEN_START, VANILLA_CLIP
from cdir_nb.methods.method import BACKBONE, Fitted, Method
from cdir_nb.methods.settings import Settings
from cdir_nb.methods.training import TrainedEmbedder, Training

_ROWS = (
    VANILLA_CLIP,
    FROZEN_START,
    FROZEN_BACKBONE,
    clair.CLIP_Q,
    clair.CLAIR,
    tki.TKI,
    ucdir.UCDIR,
    ucdir.ID,
    ucdir.PROTO_NCE,
    ucdir.CDS,
    ucdir.PCS,
    coda.CODA,
    snmpnet.SNMPNET,
    *snmpnet.BASELINES,
    sketchlvm.SKETCHLVM,
)
METHODS: dict[str, Method] = {row.name: row for row in _ROWS}


def fit(
    method: str | Method,
    encoder: ImageEncoder,
    task: Protocol,
    *,
    variant: str | None = None,
    settings: Settings | Mapping[str, Any] | str | None = None,
    directions: Sequence[Direction] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Fitted:
    """Fit a method on a protocol's training data. Finished and interrupted trainings are loaded from the cache.

    method      a name in `METHODS`, or a `Method`
    variant     a name in `Method.variants`; it is the name in records
    settings    None: those named for this encoder, else the paper's; a mapping overrides single fields; see
                `Method.configured` for names and complete settings
    directions  the (query domain, gallery domain) pairs to fit for, None: all of the task. For a method that is fitted
                for a pair of domains, one direction stands for both
    Raises CdirError for an unknown method, variant, setting or direction, an encoder that the method cannot use, and a
    protocol without the training data that it needs.
    """
    method = method_named(method) if isinstance(method, str) else method
    method.require_encoder(encoder)
    configured, name = method.configured(encoder, variant=variant, settings=settings), variant or method.name
    results = []
    for domains in method.parts(task, directions):
        result = method.build(encoder, task, domains, configured, name=name, seed=seed, progress=progress)
        if isinstance(result, Training):
            result.run()
        results.append(result)
    if not isinstance(results[0], Training):
        return Fitted(method, name, configured, seed, {NOTHING_SELECTED: tuple(results)})
    by_rule = [
        {rule: TrainedEmbedder(training, rule, *state) for rule, state in training.states().items()}
        for training in results
    ]
    rules = [rule for rule in by_rule[0] if all(rule in embedders for embedders in by_rule)]
    states = {rule: tuple(embedders[rule] for embedders in by_rule) for rule in rules}
    return Fitted(method, name, configured, seed, states, tuple(results))


def method_named(name: str) -> Method:
    """The row of `METHODS` with this name. Raises CdirError for an unknown name."""
    if name not in METHODS:
        raise CdirError(f"unknown method {name!r}; available: {'; '.join(METHODS)}")
    return METHODS[name]


def fit_reference(method: Method, encoder: ImageEncoder, task: Protocol, settings: Settings) -> Fitted:
    """The untrained reference of a method: the encoder's vectors, with the settings that both have in common."""
    if isinstance(encoder, ClipEncoder):
        name = "vanilla CLIP"
    else:
        name = "frozen backbone" if method.encoders == BACKBONE else "frozen start"
    shared = {key: value for key, value in settings if key in METHODS[name].settings.model_fields}
    return fit(name, encoder, task, settings=shared)
