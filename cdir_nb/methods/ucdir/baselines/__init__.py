"""The four baselines of UCDIR's Tables 1 and 2, one file each.

They share UCDIR's trainer: start, augmentation, two views, momentum encoder and its memory, steps, evaluation. Only the
loss differs, and the learning rate of a head. Where the original paper used another trainer, the baseline deviates
from it; each file lists the differences.
"""

from cdir_nb.methods.ucdir.baselines.cds import CDS
from cdir_nb.methods.ucdir.baselines.instance_discrimination import ID
from cdir_nb.methods.ucdir.baselines.pcs import PCS
from cdir_nb.methods.ucdir.baselines.protonce import PROTO_NCE

__all__ = ["CDS", "ID", "PCS", "PROTO_NCE"]
