"""The four baselines of UCDIR's Tables 1 and 2, a file each.

They share UCDIR's trainer: start, augmentation, two views, momentum encoder and its memory, steps, evaluation. Only the
loss differs (and, where a head is trained, the learning rate that suits it). So each one deviates from its own paper
where that had another trainer; its file says where.
"""

from cdir_nb.methods.ucdir.baselines.cds import CDS
from cdir_nb.methods.ucdir.baselines.instance_discrimination import ID
from cdir_nb.methods.ucdir.baselines.pcs import PCS
from cdir_nb.methods.ucdir.baselines.protonce import PROTO_NCE

__all__ = ["CDS", "ID", "PCS", "PROTO_NCE"]
