"""The methods that SnMpNet is compared with, a file each: heads for the same trainer, so that backbone, sampler, steps,
stopping and evaluation are those of SnMpNet. Only option files and model definitions of these were ever released, not
their training: each file says what we had to choose.
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
