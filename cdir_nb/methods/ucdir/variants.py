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
VARIANTS = (FULL, *ABLATIONS, *BASELINES)


def variant(method: str, config: UcdirConfig) -> UcdirConfig:
    """The settings of a method of `VARIANTS`. Raises CdirError for an unknown one."""
    if method not in VARIANTS:
        raise CdirError(f"unknown variant of UCDIR {method!r}; known: {', '.join(VARIANTS)}")
    if method in BASELINES:
        return config.changed(objective=method)
    return config.changed(objective="UCDIR", **ABLATIONS.get(method, {}))


def objective_of(config: UcdirConfig) -> Objective:
    """The loss that the settings ask for."""
    if config.objective in BASELINES:
        return BASELINES[config.objective]
    return UCDIR if set(config.losses) - {"IW"} else INSTANCES_ONLY


def recorded_name(method: str, encoder: ImageEncoder) -> str:
    """The method's name in records: CLIP-UCDIR and so on where it starts from CLIP's image tower (CLAIR, Table 1)."""
    return f"CLIP-{method}" if isinstance(encoder, ClipEncoder) else method
