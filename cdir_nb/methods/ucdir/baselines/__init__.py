"""The four baselines of UCDIR's Tables 1 and 2, one file each.

They use UCDIR's trainer: initialisation, augmentation, two views, momentum encoder and its memory, steps, evaluation.
Only the loss and the learning rate of a head differ. Each file lists the differences from the original paper, which
mostly used another trainer.
"""

from cdir_nb.methods.ucdir.baselines.cds import CDS
from cdir_nb.methods.ucdir.baselines.instance_discrimination import ID
from cdir_nb.methods.ucdir.baselines.pcs import PCS
from cdir_nb.methods.ucdir.baselines.protonce import PROTO_NCE

__all__ = ["CDS", "ID", "PCS", "PROTO_NCE"]
