"""SnMpNet: retrieval of unseen classes from unseen domains (Paul, Dutta and Biswas, ICCV 2021), and its baselines."""

from cdir_nb.methods.snmpnet.losses import mixture_prediction, mixup_cross_entropy, semantic_neighbourhood
from cdir_nb.methods.snmpnet.method import SnMpNetEmbedder, fit
from cdir_nb.methods.snmpnet.semantics import Semantics, read_semantics, text_semantics
from cdir_nb.methods.snmpnet.settings import CONFIGS, SnMpNetConfig, named_config
from cdir_nb.methods.snmpnet.variants import ABLATIONS, BASELINES, FULL, TOLD_THE_DOMAIN, VARIANTS, variant

__all__ = [
    "ABLATIONS",
    "BASELINES",
    "CONFIGS",
    "FULL",
    "TOLD_THE_DOMAIN",
    "VARIANTS",
    "Semantics",
    "SnMpNetConfig",
    "SnMpNetEmbedder",
    "fit",
    "mixture_prediction",
    "mixup_cross_entropy",
    "named_config",
    "read_semantics",
    "semantic_neighbourhood",
    "text_semantics",
    "variant",
]
