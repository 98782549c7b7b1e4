"""The methods that SnMpNet is compared with, one file each: heads for the same trainer, with the backbone, sampler,
steps, stopping and evaluation of SnMpNet. Of these heads only option files and model definitions were released, not
the training: each file lists our choices.
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
