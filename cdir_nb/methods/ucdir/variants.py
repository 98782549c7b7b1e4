"""UCDIR, its ablations (Table 3) and its baselines (Tables 1 and 2) by name."""

from cdir_nb.encoders import ClipEncoder, ImageEncoder
from cdir_nb.errors import CdirError
from cdir_nb.methods.ucdir.baselines import CDS, ID, PCS, PROTO_NCE
from cdir_nb.methods.ucdir.objective import INSTANCES_ONLY, UCDIR
from cdir_nb.methods.ucdir.settings import UcdirConfig
from cdir_nb.methods.ucdir.step import Objective

FULL = "UCDIR"
ABLATIONS = {
    "L_IW (v1)": {"losses": ("IW",)},
    "L_IW + L_CW (v2)": {"losses": ("IW", "CW")},
    "L_IW + L_CW + L_SE (v3)": {"losses": ("IW", "CW", "SE")},
    "L_IW + L_CW + L_DD": {"losses": ("IW", "CW", "DD")},  # ours: is L_SE needed for L_DD?
}
BASELINES = {"ID": ID, "ProtoNCE": PROTO_NCE, "CDS": CDS, "PCS": PCS}
# A loss has a learning rate that suits it. Where a head is trained, each baseline's is given here as a multiple of
# UCDIR's, chosen by the same search (see `settings`). At 0.01, 0.03, 0.1, 0.3: ID 36.1, 38.8, 41.8, 40.9 %; ProtoNCE
# 38.2, 39.7, 41.6, 42.3; CDS 33.3, 30.1, 25.4, not run; PCS 36.5, 37.3, 38.9, 38.1.
RATES = {"ID": 1 / 3, "ProtoNCE": 1.0, "CDS": 1 / 30, "PCS": 1 / 3}
VARIANTS = (FULL, *ABLATIONS, *BASELINES)


def variant(method: str, config: UcdirConfig) -> UcdirConfig:
    """The settings of a method of `VARIANTS`: UCDIR's with some losses left out, or those of a baseline.

    Baselines take means, as their papers do, also where UCDIR takes sums. Raises CdirError for an unknown method.
    """
    if method not in VARIANTS:
        raise CdirError(f"unknown variant of UCDIR {method!r}; known: {', '.join(VARIANTS)}")
    if method in BASELINES:
        rate = config.learning_rate * (RATES[method] if config.trains == "head" else 1.0)
        rate *= 2 * config.batch_size if config.reduction == "sum" else 1
        return config.changed(objective=method, reduction="mean", learning_rate=rate)
    return config.changed(objective="UCDIR", **ABLATIONS.get(method, {}))


def objective_of(config: UcdirConfig) -> Objective:
    """The loss that the settings ask for."""
    if config.objective in BASELINES:
        return BASELINES[config.objective]
    return UCDIR if set(config.losses) - {"IW"} else INSTANCES_ONLY


def recorded_name(method: str, encoder: ImageEncoder) -> str:
    """The method's name in records: CLIP-UCDIR and so on where it starts from CLIP's image tower (CLAIR, Table 1)."""
    return f"CLIP-{method}" if isinstance(encoder, ClipEncoder) else method
