"""SnMpNet: retrieval of unseen classes from unseen domains (Paul, Dutta and Biswas, ICCV 2021), and its baselines."""

from cdir_nb.methods.snmpnet.baselines import BASELINES
from cdir_nb.methods.snmpnet.method import SNMPNET, SnMpNetSettings, SnMpNetTraining

__all__ = ["BASELINES", "SNMPNET", "SnMpNetSettings", "SnMpNetTraining"]
