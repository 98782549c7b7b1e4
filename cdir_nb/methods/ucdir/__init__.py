"""UCDIR: unsupervised retrieval between two domains (Hu and Lee, ECCV 2022), its ablations and its baselines."""

from cdir_nb.methods.ucdir.baselines import CDS, ID, PCS, PROTO_NCE
from cdir_nb.methods.ucdir.harness import method_row
from cdir_nb.methods.ucdir.method import UcdirSettings, UcdirTraining, ucdir_settings

UCDIR = method_row(
    "UCDIR",
    "Hu and Lee, ECCV 2022",
    UcdirTraining,
    UcdirSettings,
    ucdir_settings(),
    variants={
        "L_IW (v1)": {"losses": ("IW",)},  # Table 3
        "L_IW + L_CW (v2)": {"losses": ("IW", "CW")},
        "L_IW + L_CW + L_SE (v3)": {"losses": ("IW", "CW", "SE")},
        "L_IW + L_CW + L_DD": {"losses": ("IW", "CW", "DD")},  # our addition: is L_SE needed for L_DD?
        "CLIP-UCDIR": {"trains": "all"},  # CLAIR, Table 1: from CLIP's image tower
    },
)

__all__ = ["CDS", "ID", "PCS", "PROTO_NCE", "UCDIR", "UcdirSettings", "UcdirTraining"]
