"""CVAE (after Yelamarthi et al., ECCV 2018): a conditional variational autoencoder of pooled features.

The original generates features of photos from those of sketches, one pair of domains at a time. For a single network
that takes any domain we let class vectors be the condition: a generator makes pooled features from a code, whose
prior lies at a linear image of the class vector. Retrieval is by the mean of the code, so no class vector is
needed for queries. Our choices throughout; the weight of the prior is 1.
"""

import torch
from torch import nn

from cdir_nb.methods.snmpnet.harness import HarnessTraining, baseline
from cdir_nb.methods.snmpnet.network import Batch, Setup
from cdir_nb.methods.snmpnet.views import PLAIN


class CvaeHead(nn.Module):
    views = (PLAIN,)

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        m = setup.semantics.shape[1]
        self.register_buffer("semantics", setup.semantics, persistent=False)
        self.mean, self.log_variance = nn.Linear(setup.channels, m), nn.Linear(setup.channels, m)
        self.prior = nn.Linear(m, m)
        self.generator = nn.Sequential(nn.Linear(m, 2 * m), nn.ReLU(), nn.Linear(2 * m, setup.channels))

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        return self.mean(pooled)

    def losses(self, views: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        """Squared error of the generated feature (in units of a channel's variance), and the divergence of the code
        from its prior N(W a, 1)."""
        pooled = views[PLAIN]
        mean, log_variance = self.mean(pooled), self.log_variance(pooled)
        noise = torch.from_numpy(batch.rng.standard_normal(mean.shape)).to(mean)
        code = mean + noise * (0.5 * log_variance).exp()
        shift = mean - self.prior(self.semantics[batch.labels])
        divergence = 0.5 * (shift.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
        error = (self.generator(code) - pooled.detach()).square().sum(1).mean() / pooled.detach().var(0).mean()
        return {"L_generated": error, "L_prior": divergence}


class CvaeTraining(HarnessTraining):
    head = CvaeHead


CVAE = baseline("CVAE", "Yelamarthi et al., ECCV 2018", CvaeTraining, "class names")
