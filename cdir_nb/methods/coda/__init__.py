"""CoDA: unsupervised retrieval between two domains without correspondence (Wang et al., AAAI 2023)."""

from cdir_nb.methods.coda.method import CodaSettings, CodaTraining, coda_settings
from cdir_nb.methods.ucdir.harness import method_row

CODA = method_row(
    "CoDA",
    "Wang et al., AAAI 2023",
    CodaTraining,
    CodaSettings,
    coda_settings(),
    variants={
        "CoDA, separate start": {"start": "separate"},
        "CoDA, shuffled start": {"start": "shuffled"},
        "CoDA, one level": {"levels": (1,)},
        "CoDA, lambda 0": {"agreement_weight": 0.0},
    },
    for_encoder=dict.fromkeys(("mobilenet-v2", "real-clip", "tiny-clip"), "as_released, head"),
)

__all__ = ["CODA", "CodaSettings", "CodaTraining"]
