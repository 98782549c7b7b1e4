"""The methods that SnMpNet is compared with, one file each.

They are heads for the same trainer: backbone, sampler, steps, stopping and evaluation are those of SnMpNet. Only option
files and model definitions of these heads were released, but no training code; each file lists our choices.
"""

from cdir_nb.methods.snmpnet.baselines.cross_entropy import CROSS_ENTROPY
from cdir_nb.methods.snmpnet.baselines.cumix import CUMIX
from cdir_nb.methods.snmpnet.baselines.cvae import CVAE
from cdir_nb.methods.snmpnet.baselines.doodle import DOODLE, DOODLE_WITHOUT_LABEL
from cdir_nb.methods.snmpnet.baselines.eisnet import EISNET
from cdir_nb.methods.snmpnet.baselines.sake import SAKE_300_WITHOUT_LABEL, SAKE_512, SAKE_512_WITHOUT_LABEL

BASELINES = (
    CROSS_ENTROPY,
    EISNET,
    CUMIX,
    CVAE,
    DOODLE,
    DOODLE_WITHOUT_LABEL,
    SAKE_512,
    SAKE_512_WITHOUT_LABEL,
    SAKE_300_WITHOUT_LABEL,
)
