"""Every method of the harness by name: SnMpNet, its ablations (Table 5) and its baselines (Tables 1 to 4)."""

from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet.baselines import cross_entropy, cumix, cvae, doodle, eisnet, sake
from cdir_nb.methods.snmpnet.head import SnMpNetHead
from cdir_nb.methods.snmpnet.settings import SnMpNetConfig
from cdir_nb.methods.snmpnet.trainer import MakeHead

FULL = "SnMpNet"
_BASE = {"mix": False, "weight_mp": 0.0, "weight_sn": 0.0}
ABLATIONS = {
    "Base N/W": _BASE,
    "Base N/W + L_Sn (κ = 0)": {**_BASE, "weight_sn": 1.0, "kappa": 0.0},
    "Base N/W + L_Sn (κ = 2)": {**_BASE, "weight_sn": 1.0, "kappa": 2.0},
    "Base N/W + L_CE^mix": {"weight_mp": 0.0, "weight_sn": 0.0},
    "Base N/W + L_CE^mix + L_Mp": {"weight_sn": 0.0},
}
BASELINES: dict[str, MakeHead] = {
    "cross-entropy": cross_entropy.CrossEntropyHead,
    "EISNet-retrieval": eisnet.EisNetHead,
    "CuMix-retrieval": cumix.CuMixHead,
    "CVAE": cvae.CvaeHead,
    "Doodle-to-Search": doodle.DoodleHead,
    "Doodle-to-Search w/o label": doodle.doodle_without_label,
    "SAKE-512": sake.SakeHead,
    "SAKE-512 w/o label": sake.sake_512_without_label,
    "SAKE-300 w/o label": sake.sake_300_without_label,
}
TOLD_THE_DOMAIN = ("SAKE-512",)  # has no feature for an unseen domain
VARIANTS = (FULL, *ABLATIONS, *BASELINES)


def variant(method: str, config: SnMpNetConfig | None = None) -> tuple[MakeHead, SnMpNetConfig]:
    """What `fit` needs for a method of `VARIANTS`: its head and its settings. CdirError for an unknown method."""
    config = config or SnMpNetConfig()
    if method not in VARIANTS:
        raise CdirError(f"unknown method {method!r}; known: {', '.join(VARIANTS)}")
    return BASELINES.get(method, SnMpNetHead), config.changed(**ABLATIONS.get(method, {}))
